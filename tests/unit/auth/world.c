#include "tests/unit/auth/world.h"

#include "tests/unit/unit.h"

#include <stdlib.h>
#include <string.h>

/* --- keys --------------------------------------------------------------------------------------
 */

void world_root(uint32_t principal, uint32_t generation, uint8_t root[AUTH_ROOT_SIZE])
{
    struct rng rng = {principal * 1000 + generation};

    rng_bytes(&rng, root, AUTH_ROOT_SIZE);
}

void world_set_key(struct node *node, uint32_t principal, int first, int second)
{
    struct keyring *keys = node->keys;
    struct keyring_key key = {.principal = principal};
    uint32_t at = 0;

    while (at < keys->count && keys->key[at].principal < principal)
        at++;
    if (at < keys->count && keys->key[at].principal == principal) {
        keys->count--;
        memmove(&keys->key[at], &keys->key[at + 1], (keys->count - at) * sizeof key);
    }
    if (first < 0)
        return;
    key.rights = principal < KEEL_CLIENT_MIN ? AUTH_RIGHT_PEER : AUTH_RIGHT_SUBMIT;
    key.key_count = second < 0 ? 1 : 2;
    world_root(principal, (uint32_t)first, key.key[0]);
    if (second >= 0)
        world_root(principal, (uint32_t)second, key.key[1]);
    memmove(&keys->key[at + 1], &keys->key[at], (keys->count - at) * sizeof key);
    keys->key[at] = key;
    keys->count++;
}

/* --- what a daemon gives to its handshake ------------------------------------------------------
 */

static void node_random(void *context, void *bytes, size_t size)
{
    struct node *node = context;

    rng_bytes(&node->world->rng, bytes, size);
}

static uint32_t node_of(const struct world *world, uint32_t principal)
{
    for (uint32_t i = 0; i < world->node_count; i++)
        if (world->node[i].principal == principal)
            return i;
    return WORLD_NODES;
}

static void node_witness(void *context, uint32_t principal, uint64_t incarnation,
                         struct auth_install *witness)
{
    const struct node *node = context;

    witness->witness_index = node->principal * 1000 + principal;
    witness->witness_term = incarnation;
    witness->witness_vote = (uint8_t)principal;
}

static bool node_boot_allowed(void *context, uint32_t principal, uint64_t incarnation,
                              uint64_t boot, uint64_t boot_id)
{
    struct node *node = context;
    const struct boots *seen = &node->seen[node_of(node->world, principal)];
    bool allowed = boot > seen->boot || (boot == seen->boot && boot_id == seen->boot_id);

    (void)incarnation;
    node->refused_boots += !allowed;
    return allowed;
}

/* --- life --------------------------------------------------------------------------------------
 */

struct world *world_new(uint64_t seed, uint32_t replicas, uint32_t clients)
{
    struct world *world = calloc(1, sizeof *world);

    ENSURE(world != NULL && replicas + clients <= WORLD_NODES);
    world->rng.state = seed;
    world->now_ms = 1000000;
    world->node_count = replicas + clients;
    for (uint32_t i = 0; i < world->node_count; i++) {
        struct node *node = &world->node[i];
        node->world = world;
        node->principal = i < replicas ? i + 1 : 100 + i - replicas;
        node->address = (struct handshake_address){
            .ip = 0x0a000001 + i, .port = 7000, .mac = {2, 0, 0, 0, 0, (uint8_t)i}};
        node->identity = (struct handshake_identity){.principal = node->principal,
                                                     .cluster = FIXTURE_CLUSTER,
                                                     .incarnation = i < replicas ? 500 + i : 0};
        node->keys = calloc(1, sizeof *node->keys);
        node->handshake = malloc(handshake_size());
        ENSURE(node->keys != NULL && node->handshake != NULL);
    }
    for (uint32_t i = 0; i < world->node_count; i++)
        for (uint32_t j = 0; j < world->node_count; j++)
            if (i == j || world_initiates(world, j, i))
                world_set_key(&world->node[i], world->node[j].principal, 0, -1);
    return world;
}

void world_free(struct world *world)
{
    for (uint32_t i = 0; i < world->node_count; i++) {
        world_stop(world, i);
        free(world->node[i].keys);
        free(world->node[i].handshake);
    }
    free(world);
}

void world_start(struct world *world, uint32_t at)
{
    struct node *node = &world->node[at];
    const struct handshake_options options = {.keys = node->keys,
                                              .random = node_random,
                                              .witness = node_witness,
                                              .boot_allowed = node_boot_allowed,
                                              .context = node};
    struct handshake_options own = options;

    world_stop(world, at);
    node->identity.boot++;
    node->identity.boot_id = rng_next(&world->rng);
    own.self = node->identity;
    side_init(&node->side, node->principal, node->identity.cluster);
    handshake_init(node->handshake, &own);
    node->up = true;
}

void world_stop(struct world *world, uint32_t at)
{
    struct node *node = &world->node[at];

    if (!node->up)
        return;
    world->unexpected += handshake_rejects(node->handshake)[HANDSHAKE_UNEXPECTED];
    side_free(&node->side);
    node->up = false;
}

bool world_initiates(const struct world *world, uint32_t a, uint32_t b)
{
    uint32_t from = world->node[a].principal, to = world->node[b].principal;

    return to < KEEL_CLIENT_MIN && from != to && (from >= KEEL_CLIENT_MIN || from < to);
}

bool world_connected(const struct world *world, uint32_t a, uint32_t b)
{
    const struct node *from = &world->node[a], *to = &world->node[b];
    const struct auth_peer *there = auth_peer(from->side.table, to->principal);
    const struct auth_peer *back = auth_peer(to->side.table, from->principal);

    return there != NULL && there->confirmed && back != NULL && back->confirmed;
}

/* --- network -----------------------------------------------------------------------------------
 */

static void put(struct world *world, const struct flight *flight)
{
    if (world->flight_count == WORLD_FLIGHTS || rng_below(&world->rng, 100) < world->loss)
        return;
    struct flight *at = &world->flight[world->flight_count++];
    *at = *flight;
    at->due_ms = world->now_ms + 1 + rng_below(&world->rng, world->delay_ms + 1);
}

void world_send(struct world *world, uint32_t from, uint32_t to, const uint8_t *bytes, size_t size)
{
    struct flight flight = {.from = from, .to = to, .size = size};

    ENSURE(size <= sizeof flight.bytes);
    memcpy(flight.bytes, bytes, size);
    if (world->capture != NULL)
        world->capture(world->capture_context, &flight);
    put(world, &flight);
    if (rng_below(&world->rng, 100) < world->doubled)
        put(world, &flight);
    uint32_t at = world->history_count < WORLD_HISTORY ? world->history_count++
                                                       : rng_below(&world->rng, WORLD_HISTORY);
    world->history[at] = flight;
}

/* Notes a sealed packet's (key, counter): no pair comes twice, in any life of any node (H18). */
static void note_sealed(struct world *world, uint32_t from, const uint8_t *bytes)
{
    struct packet head;
    const uint8_t *key = NULL;
    uint64_t hash = 0;

    memcpy(&head, bytes, sizeof head);
    for (uint32_t i = 0; i < world->key_count; i++)
        if (world->key[i].node == from && world->key[i].peer_handle == head.assoc)
            key = world->key[i].key;
    CU_ASSERT_FATAL(key != NULL);
    memcpy(&hash, key, sizeof hash);
    hash = (hash + head.counter) * UINT64_C(0x9e3779b97f4a7c15) >> 32;
    CU_ASSERT_FATAL(++world->sealed_count < WORLD_SEALED / 2);
    for (;; hash++) {
        uint64_t at = hash % WORLD_SEALED;
        if (world->sealed[at].counter == 0) {
            memcpy(world->sealed[at].key, key, AUTH_KEY_SIZE);
            world->sealed[at].counter = head.counter;
            return;
        }
        CU_ASSERT_FATAL(world->sealed[at].counter != head.counter ||
                        memcmp(world->sealed[at].key, key, AUTH_KEY_SIZE) != 0);
    }
}

bool world_talk(struct world *world, uint32_t from, uint32_t to, uint8_t kind)
{
    uint8_t packet[KEEL_DATAGRAM_MAX];
    size_t body = kind == AUTH_KIND_PING || kind == AUTH_KIND_PONG ? 0 : 32;
    size_t size = side_seal(&world->rng, &world->node[from].side, world->node[to].principal, kind,
                            packet, body);

    if (size == 0)
        return false;
    note_sealed(world, from, packet);
    world_send(world, from, to, packet, size);
    return true;
}

/* The install goes to the table before the answer goes out. */
static void node_install(struct world *world, uint32_t at, struct auth_install *install)
{
    struct node *node = &world->node[at];

    CU_ASSERT_FATAL(world->key_count < WORLD_INSTALLS);
    for (uint32_t i = 0; i < world->key_count; i++) /* a key serves one direction of one install */
        CU_ASSERT_FATAL(memcmp(world->key[i].key, install->key_out, AUTH_KEY_SIZE) != 0);
    world->key[world->key_count].node = at;
    world->key[world->key_count].peer_handle = install->peer_handle;
    memcpy(world->key[world->key_count++].key, install->key_out, AUTH_KEY_SIZE);
    CU_ASSERT(install->peer_boot > 0);
    install->now_ns = world->now_ms * 1000000;
    CU_ASSERT(auth_install(node->side.table, install));
    node->last_install = *install;
    node->installs++;
}

enum handshake_event world_deliver(struct world *world, uint32_t to, uint32_t from,
                                   const uint8_t *bytes, size_t size, uint8_t *out,
                                   size_t *out_size)
{
    struct node *node = &world->node[to];
    struct auth_install install;
    enum handshake_event event =
        handshake_receive(node->handshake, bytes, size, &world->node[from].address, world->now_ms,
                          out, out_size, &install);

    if (event == HANDSHAKE_INSTALL || event == HANDSHAKE_SEND_INSTALL)
        node_install(world, to, &install);
    if (event == HANDSHAKE_SEND || event == HANDSHAKE_SEND_INSTALL)
        CU_ASSERT(bytes[2] == PACKET_COOKIE || *out_size <= size);
    return event;
}

static void receive(struct world *world, const struct flight *flight)
{
    struct node *node = &world->node[flight->to];
    uint8_t out[HANDSHAKE_PACKET_MAX];
    size_t out_size = 0;

    if (!node->up)
        return;
    if (handshake_is_packet(flight->bytes, flight->size)) {
        enum handshake_event event = world_deliver(world, flight->to, flight->from, flight->bytes,
                                                   flight->size, out, &out_size);
        if (event == HANDSHAKE_SEND || event == HANDSHAKE_SEND_INSTALL)
            world_send(world, flight->to, flight->from, out, out_size);
        if (event == HANDSHAKE_INSTALL)
            world_talk(world, flight->to, flight->from, AUTH_KIND_PING);
        return;
    }
    node->side.now_ns = world->now_ms * 1000000;
    enum auth_reject reject = side_open(&node->side, flight->bytes, flight->size);
    CU_ASSERT(reject == AUTH_OK || reject == AUTH_REPLAY || reject == AUTH_NO_ASSOCIATION);
    world->replays_refused += reject == AUTH_REPLAY;
    if (reject != AUTH_OK)
        return;
    world->opened++;
    if (side_last()->received == 1) { /* only now is the boot believed */
        struct boots *seen = &node->seen[node_of(world, side_last()->principal)];
        if (side_last()->boot >= seen->boot)
            *seen = (struct boots){side_last()->boot, side_last()->boot_id};
    }
    if (flight->bytes[2] == AUTH_KIND_PING)
        world_talk(world, flight->to, flight->from, AUTH_KIND_PONG);
}

static void begin_and_retry(struct world *world, uint32_t at)
{
    struct node *node = &world->node[at];
    struct handshake_address to;
    uint8_t out[HANDSHAKE_PACKET_MAX];
    size_t out_size;

    for (uint32_t peer = 0; peer < world->node_count; peer++) {
        struct node *other = &world->node[peer];
        if (!world_initiates(world, at, peer) ||
            handshake_under_way(node->handshake, other->principal) ||
            !auth_wants_handshake(node->side.table, other->principal, world->now_ms * 1000000,
                                  WORLD_SILENT_MS * 1000000ull) ||
            rng_below(&world->rng, 20) != 0)
            continue;
        CU_ASSERT(handshake_begin(node->handshake, other->principal, &other->address, world->now_ms,
                                  out, &out_size));
        world_send(world, at, peer, out, out_size);
    }
    while (handshake_retry(node->handshake, world->now_ms, &to, out, &out_size))
        world_send(world, at, to.ip - world->node[0].address.ip, out, out_size);
}

void world_step(struct world *world)
{
    world->now_ms++;
    for (uint32_t at = 0; at < world->node_count; at++)
        if (world->node[at].up)
            begin_and_retry(world, at);
    if (world->history_count > 0 && rng_below(&world->rng, 100) < world->replayed)
        put(world, &world->history[rng_below(&world->rng, world->history_count)]);
    for (uint32_t i = 0; i < world->flight_count;) { /* those that answers add are due later */
        if (world->flight[i].due_ms > world->now_ms) {
            i++;
            continue;
        }
        struct flight due = world->flight[i];
        world->flight[i] = world->flight[--world->flight_count];
        receive(world, &due);
    }
}
