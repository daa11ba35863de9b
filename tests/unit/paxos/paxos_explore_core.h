/* One founder in the explorer: what an event makes of it. */
#ifndef KEEL_TESTS_PAXOS_EXPLORE_CORE_H
#define KEEL_TESTS_PAXOS_EXPLORE_CORE_H

#include "tests/unit/paxos/paxos_explore.h"

enum explore_event { EXPLORE_TIMEOUT = 1, EXPLORE_DURABLE, EXPLORE_CRASH, EXPLORE_RECV };

struct explore_event_of {
    uint8_t kind;
    bool wipe;    /* CRASH */
    uint8_t list; /* CRASH: that it is started with */
    uint8_t reserved;
    uint32_t message; /* RECV: number */
};

struct explore_gated {
    uint32_t persist; /* 1: the oldest write in flight, ... */
    uint32_t message;
};

struct explore_node { /* without padding: known by its bytes */
    uint32_t paxos;   /* number of the struct paxos, and of its drive's record */
    uint32_t disk;
    uint8_t list;
    uint8_t life;
    uint8_t wiped;
    uint8_t writes;
    uint32_t gated;
    uint32_t write[EXPLORE_WRITES_MAX]; /* in flight, oldest first */
    struct explore_gated gate[EXPLORE_GATE_MAX];
};

struct explore_message {
    uint64_t incarnation; /* of the sender */
    struct paxos_msg msg;
};

struct explore_step { /* what came of (node, event) */
    uint32_t node;
    bool blocked; /* outside the scope: too many writes in flight, or a ballot too many */
    uint32_t news;
    uint32_t message[EXPLORE_NEWS_MAX];
    const char *violation;
};

struct explore_core {
    struct explore_scope scope;
    struct genesis list[EXPLORE_LISTS];
    struct intern paxos, record, message, node;
    struct intern keys; /* (node, event): the number of its step */
    struct explore_step *step;
    uint32_t steps, steps_room;
};

void explore_core_init(struct explore_core *core, const struct explore_scope *scope);
void explore_core_free(struct explore_core *core);

/* A blank founder, started: its messages are in step->message. */
void explore_core_start(struct explore_core *core, uint8_t id, struct explore_step *step);

/* Valid until the next call. */
const struct explore_step *explore_core_step(struct explore_core *core, uint32_t node,
                                             const struct explore_event_of *event);

#endif
