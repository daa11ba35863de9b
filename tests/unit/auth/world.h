/* Nodes (replicas and clients) that make associations over a network in memory: what a daemon or a
 * client does with handshake.h and auth.h, on a virtual clock, by a seed. Every packet that was
 * ever sealed is checked against the rule that matters most: no two under an equal (key, counter).
 */
#ifndef KEEL_TESTS_AUTH_WORLD_H
#define KEEL_TESTS_AUTH_WORLD_H

#include "tests/unit/auth/fixture.h"

enum {
    WORLD_NODES = 5,
    WORLD_FLIGHTS = 512, /* datagrams under way */
    WORLD_HISTORY = 256, /* datagrams that may be replayed */
    WORLD_SEALED = 1 << 17,
    WORLD_INSTALLS = 4096,
    WORLD_SILENT_MS = 400 /* an initiator begins anew after that silence */
};

struct boots { /* what a replica remembers, durably, of another's boots (H2) */
    uint64_t boot;
    uint64_t boot_id;
};

struct node {
    struct world *world;
    uint32_t principal;
    bool up;
    struct handshake_identity identity;
    struct handshake_address address;
    struct side side;
    struct handshake *handshake;
    struct keyring *keys;
    struct boots seen[WORLD_NODES];
    uint64_t refused_boots;
    struct auth_install last_install;
    uint64_t installs;
};

struct flight {
    uint64_t due_ms;
    uint32_t from; /* node */
    uint32_t to;
    size_t size;
    uint8_t bytes[256];
};

struct world {
    struct rng rng;
    uint64_t now_ms;
    uint32_t node_count;
    struct node node[WORLD_NODES];
    /* faults, in percent */
    uint32_t loss;
    uint32_t doubled;
    uint32_t replayed;
    uint32_t delay_ms; /* at most */
    uint32_t flight_count;
    struct flight flight[WORLD_FLIGHTS];
    uint32_t history_count;
    struct flight history[WORLD_HISTORY];
    /* every key that a side may seal with, by (node, handle of the peer) */
    uint32_t key_count;
    struct {
        uint32_t node;
        uint32_t peer_handle;
        uint8_t key[AUTH_KEY_SIZE];
    } key[WORLD_INSTALLS];
    uint32_t sealed_count;
    struct {
        uint8_t key[AUTH_KEY_SIZE];
        uint64_t counter;
    } sealed[WORLD_SEALED]; /* open addressing; counter 0: empty */
    uint64_t replays_refused;
    uint64_t opened;
    uint64_t unexpected; /* counted over all lives of all nodes */
    /* called with every datagram that is sent; NULL: nobody */
    void (*capture)(void *context, const struct flight *flight);
    void *capture_context;
};

/* A world of replicas 1, 2, 3 and clients 100, 101 (by count), each with its keys, all down. */
struct world *world_new(uint64_t seed, uint32_t replicas, uint32_t clients);
void world_free(struct world *world);
/* Starts a node, or starts it again: next boot, new boot id, empty table, new cookie secret. */
void world_start(struct world *world, uint32_t node);
void world_stop(struct world *world, uint32_t node);
/* One millisecond: retries, new handshakes where one is wanted, due datagrams. */
void world_step(struct world *world);
/* Seals a packet with a small body to another node and sends it; false: no association. */
bool world_talk(struct world *world, uint32_t from, uint32_t to, uint8_t kind);
/* Sends bytes as they are. */
void world_send(struct world *world, uint32_t from, uint32_t to, const uint8_t *bytes, size_t size);
/* Hands a datagram to a node at once; its handshake answer, if any, to *out (size, 0 for none). */
enum handshake_event world_deliver(struct world *world, uint32_t to, uint32_t from,
                                   const uint8_t *bytes, size_t size, uint8_t *out,
                                   size_t *out_size);
/* True if both nodes have a confirmed association with each other. */
bool world_connected(const struct world *world, uint32_t a, uint32_t b);
/* True if a is the one that begins. */
bool world_initiates(const struct world *world, uint32_t a, uint32_t b);

/* The root key that every node has for a principal; `generation` 1 is the next one (roll-over). */
void world_root(uint32_t principal, uint32_t generation, uint8_t root[AUTH_ROOT_SIZE]);
/* Puts a key with one or two generations (-1: none) into a node's keyring, or takes it out. */
void world_set_key(struct node *node, uint32_t principal, int first, int second);

#endif
