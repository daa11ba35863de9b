/* A small cluster in one thread for control's tests: real replicas, started by startup_begin(), on
 * drives of memory, a clock that moves when told to, and a wire that loses nothing unless cut.
 */
#ifndef KEEL_TEST_CONTROL_BENCH_H
#define KEEL_TEST_CONTROL_BENCH_H

#include "control/startup.h"
#include "tests/unit/ring/disk_memory.h"

enum {
    BENCH_NODES_MAX = 5,
    BENCH_SLOTS = 1024,
    BENCH_STEP_NS = 100000, /* of the clock, each turn of all */
    BENCH_FRAMES = 512,     /* of one port's inbox */
    BENCH_INDEX_MAX = 4096,
    BENCH_CLIENT = 100 /* a principal with a key */
};

struct bench;

struct port { /* the fake of port.h */
    struct bench *bench;
    uint8_t mac[6];
    uint32_t head, tail;
    struct {
        uint64_t due_ns; /* not there before */
        uint32_t size;
        uint8_t bytes[PORT_FRAME_MAX];
    } inbox[BENCH_FRAMES];
    uint64_t sent;
};

struct clock { /* the fake of clock.h */
    struct bench *bench;
    uint64_t secret; /* state of the generator behind clock_secret() */
};

struct bench_node {
    struct memory_store store;
    struct disk *writer, *reader, *control_disk;
    struct port port;
    struct clock clock;
    struct startup start;
    struct keyring *keys;
    void *ring_memory;
    bool up, cut;      /* cut: its frames go nowhere, none arrive */
    bool idle_control; /* control takes no turns */
    bool asleep;       /* nothing does: frames wait in its port */
    uint64_t late_ns;  /* its frames, and those to it, take so long */
    uint64_t incarnation;
    char problem[STARTUP_PROBLEM_SIZE];
};

struct bench {
    uint32_t count;
    uint64_t now_ns;
    struct genesis genesis;
    struct bench_node node[BENCH_NODES_MAX + 1]; /* by id */
    uint64_t digests_from;
    uint64_t digest_at[BENCH_INDEX_MAX]; /* digest of whoever's control stood at digests_from +
                                            that; 0: none did */
    uint32_t digests_differ;             /* two stood there with different ones */
    struct port outside;          /* a host beside the nodes: what was sent to its MAC address */
    struct startup_options tweak; /* members, control: copied into every start's options */
};

/* `count` formatted rings with one genesis record; nothing runs. The caller frees. */
struct bench *bench_new(uint32_t count);
void bench_free(struct bench *bench);
/* Formats every drive anew with bench->genesis as it stands now; nothing runs. */
void bench_install(struct bench *bench);

/* Starts a node, boot page and all. */
enum startup_result bench_start(struct bench *bench, uint32_t id);
/* Stops it without a word, as a kill does: what is in flight to its drive is done. */
void bench_kill(struct bench *bench, uint32_t id);

/* Turns of all nodes that are up, for so many ms of the clock. */
void bench_run(struct bench *bench, uint32_t ms);
/* Runs until somebody leads and its control has applied all it committed; its id, 0: nobody within
 * 10 s of the clock. */
uint32_t bench_settle(struct bench *bench);

struct replica_status bench_status(struct bench *bench, uint32_t id);
struct control_status bench_control(struct bench *bench, uint32_t id);

/* Runs until a request's reply is there. */
struct control_reply bench_ask(struct bench *bench, uint32_t id, uint8_t entry_kind,
                               const void *body, uint8_t size);
/* Ends day `name` (10 bytes) at node id. */
struct control_reply bench_day_end(struct bench *bench, uint32_t id, const char *name);

#endif
