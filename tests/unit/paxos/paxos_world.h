/* A small world for the Paxos core: up to seven servers, each a real `struct paxos` with a drive
 * whose writes take time, messages that wait for them, a timer, and an operator who gives out
 * founder lists, the wrong ones too. Time goes by milliseconds; everything is drawn from a seed.
 * Every step, every message that leaves and every write that lands is judged (paxos_judge.h); the
 * first violation is kept.
 */
#ifndef KEEL_TESTS_PAXOS_WORLD_H
#define KEEL_TESTS_PAXOS_WORLD_H

#include "tests/unit/paxos/paxos_judge.h"

enum {
    WORLD_BAG_MAX = 2048,
    WORLD_WRITES_MAX = 64,
    WORLD_GATE_MAX = 256,
    WORLD_LISTS_MAX = 48,
    WORLD_CHAOS_MS = 4000,
    WORLD_CALM_MS = 60000 /* the longest wait is 6.4 s */
};

enum world_kind {
    WORLD_PLAIN,    /* equal lists; packets are lost, doubled, late; servers restart */
    WORLD_DUELS,    /* the same, and nobody is patient */
    WORLD_CLASHING, /* lists differ or overlap, and change with restarts */
    WORLD_WIPES,    /* and drives are wiped: another incarnation */
    WORLD_KINDS
};

struct world_write {
    uint64_t persist, due_ms;
    struct paxos_record record;
};

struct world_server {
    bool up;
    uint64_t incarnation;
    uint32_t list; /* configured; number of a list */
    uint64_t up_at_ms;
    uint64_t timer_ms; /* 0: none */
    uint64_t lands_ms; /* of its newest write: writes land in order */
    struct paxos paxos;
    struct paxos_record disk;
    uint32_t writes, gated;
    struct world_write write[WORLD_WRITES_MAX];
    struct paxos_send gate[WORLD_GATE_MAX];
};

struct world_packet {
    uint64_t due_ms;
    uint64_t incarnation; /* of the sender */
    struct paxos_msg msg;
};

struct world_facts { /* what happened, so that a run says what it covers */
    uint64_t steps, crashes, wipes, lost, doubled, refusals, carried, ballots, locks;
    uint64_t why[PAXOS_WHYS];
};

struct world {
    enum world_kind kind;
    uint64_t random, now_ms, next_incarnation, next_cluster;
    uint32_t count; /* servers 1..count */
    uint32_t lists;
    struct genesis list[WORLD_LISTS_MAX]; /* [0]: all founders as they were formatted first */
    uint32_t loss_percent, double_percent, delay_ms, write_ms, haste; /* haste divides waits */
    uint32_t crash_per_10000, wipe_per_10000;
    uint32_t cut; /* mask: servers cut off from the others */
    struct world_server server[KEEL_REPLICA_MAX + 1];
    uint32_t bag_count;
    struct world_packet bag[WORLD_BAG_MAX];
    struct judge judge;
    struct world_facts facts;
    const char *violation; /* NULL: none */
};

void world_init(struct world *world, uint64_t seed);

/* Chaos, then calm until nothing goes on any more. */
void world_run(struct world *world);

/* At the end: every list whose founders are all up with it, and free to lock it, is decided. */
const char *world_ends_well(const struct world *world);

#endif
