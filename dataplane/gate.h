/* The gate: testimony about this replica leaves only when it has become true.
 *
 * Every message of raft_step names the LSN that it waits for and the term in which it was earned.
 * The gate alone compares both with what is: it releases a message when the durable LSN has reached
 * it, and drops it when it is not true any more (raft_send_stands()): its term is over, or what it
 * acknowledges is lost. Owned by `seq`.
 */
#ifndef KEEL_GATE_H
#define KEEL_GATE_H

#include "consensus/ensure.h"
#include "consensus/raft/raft.h"

enum { GATE_HELD_MAX = 1024 };

struct gate {
    uint64_t durable_lsn;
    uint64_t overflowed; /* dropped because GATE_HELD_MAX messages were waiting */
    uint64_t outdated;   /* dropped because they were true no more */
    uint64_t released;
    uint32_t count;
    uint32_t reserved;
    struct raft_send held[GATE_HELD_MAX];
};

typedef void gate_release_fn(void *context, const struct raft_msg *msg);

void gate_init(struct gate *gate, uint64_t durable_lsn);

/* Takes a message: releases it at once if nothing holds it, else keeps it. */
HOT void gate_pass(struct gate *gate, const struct raft_send *send, const struct raft *raft,
                   gate_release_fn *release, void *context);

/* The durable position moved: releases what it makes true. Of several acknowledgements to one peer
 * that become true together only the newest is sent. Returns how many were released. */
HOT uint32_t gate_durable(struct gate *gate, uint64_t durable_lsn, const struct raft *raft,
                          gate_release_fn *release, void *context);

#endif
