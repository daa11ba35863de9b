/* What Paxos promises, judged from outside: of one step, of one message that leaves, and of a whole
 * history of founders. Used by the random worlds and, but for the history, by the explorer. Each
 * function returns NULL, or what was broken.
 */
#ifndef KEEL_TESTS_PAXOS_JUDGE_H
#define KEEL_TESTS_PAXOS_JUDGE_H

#include "consensus/paxos/paxos.h"

enum {
    JUDGE_INCARNATIONS = 64, /* incarnations are 1..63 */
    JUDGE_VOTES = 4096,
    JUDGE_RECORDS = 64
};

/* Founder id of a list for tests: address and port follow from the id. */
struct genesis_founder judge_founder(uint8_t id, uint64_t incarnation);

/* A whole record with these founders, the limits' defaults and this cluster id. */
struct genesis judge_record(const struct genesis_founder founder[KEEL_REPLICA_MAX + 1],
                            uint64_t cluster_id);

/* One step: lock, promise, acceptance and decision only go forward, nothing changes without being
 * written, and who has a record says nothing else. */
const char *judge_step(const struct paxos *before, const struct paxos *after,
                       const struct paxos_out *out);

/* A message leaves: the drive holds what it says. */
const char *judge_release(const struct paxos_record *disk, const struct paxos_msg *msg);

/* Two records that are installed somewhere: the same, or without a founder in common. */
const char *judge_records(const struct genesis *a, const struct genesis *b);

struct judge_vote {
    uint64_t incarnation, list, ballot, cluster_id;
};

/* All that was ever durable anywhere. A drive that is wiped takes nothing back. */
struct judge {
    uint64_t locked[JUDGE_INCARNATIONS]; /* by incarnation */
    uint32_t votes, records;
    struct judge_vote vote[JUDGE_VOTES];
    struct genesis record[JUDGE_RECORDS];
    uint64_t chosen; /* ballots that chose, counted anew at each vote that completes a majority */
};

/* A founder's record has become durable. `list`: a record with the founders of its lock, NULL if it
 * has none. */
const char *judge_durable(struct judge *judge, const struct paxos_record *record,
                          const struct genesis *list);

#endif
