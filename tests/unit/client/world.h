/* Clients' engines and a fake cluster on a network of virtual time: loss, copies, reordering,
 * delay, all from one seed.
 */
#ifndef KEEL_TESTS_CLIENT_WORLD_H
#define KEEL_TESTS_CLIENT_WORLD_H

#include "client/engine.h"
#include "tests/unit/client/fake.h"

enum { WORLD_CLIENTS = 2, WORLD_QUEUE = 8192, WORLD_RESULTS = 16384 };
#define WORLD_MEMBER_IP 0x0a000001u /* of the first; the port is 7000 */
#define WORLD_CLIENT_IP 0x0a000101u
enum { WORLD_MEMBER_PORT = 7000, WORLD_CLIENT_PORT = 9000 };

struct world;

struct world_client {
    struct world *world;
    struct engine *engine; /* NULL: no process */
    struct keyring *keys;
    uint32_t index;
    uint16_t port;    /* of this process */
    bool holds;       /* the application does not collect its results */
    uint64_t results; /* results given out since it began */
    struct keel_result result[WORLD_RESULTS];
};

struct world_packet {
    uint64_t at_ns; /* 0: free */
    uint64_t order; /* among those of one time */
    bool to_member;
    uint32_t ip; /* destination */
    uint16_t port;
    uint32_t from_ip;
    uint16_t from_port;
    size_t size;
    uint8_t bytes[KEEL_DATAGRAM_MAX];
};

struct world {
    struct rng rng;
    uint64_t now_ns;
    uint64_t order;
    uint32_t loss, copies, shuffle; /* percent */
    uint64_t delay_ns;
    struct fake fake;
    struct world_client client[WORLD_CLIENTS];
    struct world_packet *queue; /* [WORLD_QUEUE], none from queue_end on */
    uint32_t queue_end;
    uint32_t corrupted; /* with `flip`: packets to clients with one bit changed */
    bool flip;
    bool leases;       /* of processes that are started from now on */
    uint32_t grace_ms; /* 0: 10 s */
    uint64_t packets_to_members;
};

struct world *world_new(uint64_t seed);
void world_free(struct world *world);
/* Starts a process of that client; options that are zero get defaults. */
void world_start(struct world *world, uint32_t client, const char *session, uint16_t window,
                 uint64_t cluster, uint64_t key_seed);
void world_kill(struct world *world, uint32_t client);
/* Delivers packets and timers until `until_ns` of virtual time has passed, or until done() says so.
 */
void world_run(struct world *world, uint64_t ns, bool (*done)(struct world *world));
bool world_ready(struct world *world);
/* Client 0 started, with its session open. */
struct engine *world_started(struct world *world, const char *session);
/* Payload of a number in this test: content and size follow from it. */
size_t world_payload(uint64_t number, uint8_t *bytes);
/* Submits and runs until `last` is the last number given and all are answered, or `ns` have passed.
 * True when all are. */
bool world_publish(struct world *world, uint32_t client, uint64_t last, uint64_t ns);
/* Every result given to that client agrees with what the cluster took. */
bool world_results_ok(const struct world *world, uint32_t client, uint64_t first, uint64_t last);

#endif
