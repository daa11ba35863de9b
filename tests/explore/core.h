/* One replica of a state, brought to life: a real struct raft and a real gate, loaded from the
 * state, stepped, and put back.
 *
 * What a loaded replica forgets of its past, exactly: LSNs at and below the durable one (all that
 * is asked is whether they are reached); probe numbers but for "before or after the last rewind";
 * which leader it knows, quorum ages, flights' bytes (no rule of the core reads them, or the
 * scope's limits are never reached). And of time, as scope.h says, everything: each event brings
 * its own.
 */
#ifndef KEEL_EXPLORE_CORE_H
#define KEEL_EXPLORE_CORE_H

#include "dataplane/gate.h"
#include "tests/explore/state.h"

#include <stdio.h>

enum { CORE_SENT_MAX = 32, CORE_VIOLATION_SIZE = 256 };

/* A loaded replica's clock and numbers. */
enum { CORE_DURABLE = 64, CORE_PROBE_NEXT = PROBE_FRESH + 1 };
#define CORE_NOW_NS UINT64_C(1000000000000)
#define CORE_LONG_NS UINT64_C(10000000000) /* longer than every timeout */

/* How much time passed before an event, in the core's own terms. */
enum elapsed {
    ELAPSED_NONE,     /* what was heard just now is still recent */
    ELAPSED_BEAT,     /* a heartbeat is due */
    ELAPSED_PATIENCE, /* what is in flight counts as lost */
    ELAPSED_LONG      /* every timeout is over, nothing is recent */
};

struct core {
    const struct scope *scope;
    struct state *state;
    uint8_t id;
    bool delay;               /* what this move writes stays in flight */
    message packet;           /* under delivery */
    struct raft_config asked; /* of a leader */
    bool serve;               /* the last packet asked for an entry that may be here */
    bool outside;             /* the scope's limits were passed: the state is not to be followed */
    char violation[CORE_VIOLATION_SIZE];
    struct raft_out out;
    uint32_t sent_count;
    struct raft_msg sent[CORE_SENT_MAX];
    FILE *trace; /* NULL: silent */
    /* With a trace: of each replica the durable LSN since the very first start, and the commit
     * index that was shown since the last one. */
    uint64_t lsn[SCOPE_REPLICAS_MAX + 1], shown[SCOPE_REPLICAS_MAX + 1];
    struct raft raft;
    struct gate gate;
};

/* The state before anything happened: fresh drives, nobody's start recent. */
void core_genesis(struct core *core);

/* --- load.c --- */
/* Brings replica id to life; events follow; core_close() puts it back, with the packets that left.
 */
void core_open(struct core *core, uint8_t id);
void core_close(struct core *core);
void core_load_log(struct raft_log *log, const uint8_t *terms, uint8_t last);

/* --- core.c --- */
/* One event and all that follows from it at once: persist, send, entries to peers, and, unless
 * they stay in flight, the writes' completion. msg is the RECV's, or NULL. */
void core_event(struct core *core, enum raft_event event, enum elapsed elapsed,
                const struct raft_msg *msg);

/* A packet leaves: the caller's own, which waits for no gate. */
void core_leave(struct core *core, const struct raft_msg *msg);

/* If all power went now: would this replica campaign after its start? */
bool core_would_campaign(struct core *core, uint8_t id);

/* The first `records` records reach the drive. */
void core_durable(struct core *core, uint32_t records);

/* Delivers a packet: open, RECV, close. */
void core_receive(struct core *core, message packet, enum elapsed elapsed);

/* Power goes; the first `records` records had reached the drive, nothing else survives; the replica
 * starts again. With `lost` the drive has lost that entry, too, 0: none. Not between open and
 * close.
 */
void core_crash(struct core *core, uint8_t id, uint32_t records, uint8_t lost);

__attribute__((format(printf, 2, 3))) void core_violate(struct core *core, const char *format, ...);

#endif
