#include "perf/cluster.h"

#include "dataplane/crc32c.h"
#include "dataplane/loop.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    CLUSTER_UDP = 7400,
    CLUSTER_REQUESTS = 7401,
    CLUSTER_LINE = 7500,
    CLUSTER_CLIENT_UDP = 7600,
    CLUSTER_FLIGHT_PAGES = 16,
    CLUSTER_CHECKPOINT_BLOCKS = 512,
    CLUSTER_TTL_MS = 60000,
    CLUSTER_ELECTION_MS = 1000
};

_Noreturn void ensure_failed(const char *file, int line, const char *condition)
{
    fprintf(stderr, "perf: %s:%d: ENSURE failed: %s\n", file, line, condition);
    abort();
}

static uint32_t client_ip(uint32_t i)
{
    return 0x0a000064u + i;
}

static void *take(size_t size, size_t align)
{
    void *memory = aligned_alloc(align, (size + align - 1) & ~(align - 1));
    ENSURE(memory != NULL);
    memset(memory, 0, (size + align - 1) & ~(align - 1));
    return memory;
}

/* Principals p of 1..3 and all clients; a replica holds those up to its own, a client itself. */
static struct keyring *keys_of(const struct cluster *c, uint32_t self)
{
    struct keyring *keys = take(sizeof(*keys), 64);
    for (uint32_t p = 1; p < KEEL_CLIENT_MIN + c->clients; p++) {
        bool client = p >= KEEL_CLIENT_MIN;
        if (!client && p > CLUSTER_REPLICAS)
            continue;
        if (self >= KEEL_CLIENT_MIN ? p != self : !client && p > self)
            continue;
        struct keyring_key *key = &keys->key[keys->count++];
        key->principal = p;
        key->rights = client ? AUTH_RIGHT_SUBMIT : AUTH_RIGHT_PEER | AUTH_RIGHT_ANSWER;
        key->key_count = 1;
        for (uint32_t i = 0; i < AUTH_ROOT_SIZE; i++)
            key->key[0][i] = (uint8_t)(p * 31 + i * 7 + 1);
    }
    return keys;
}

/* --- replicas --- */

static void format(struct cluster *c, uint32_t id, uint32_t slots)
{
    struct cluster_node *n = &c->node[id];
    char why[DISK_PROBLEM_SIZE];
    struct ring_super super = {.magic = RING_SUPER_MAGIC,
                               .version = RING_VERSION,
                               .replica = id,
                               .incarnation = c->genesis.founder[id].incarnation,
                               .slots = slots,
                               .checkpoint_blocks = CLUSTER_CHECKPOINT_BLOCKS,
                               .formatted_utc_ns = 1};
    drive_open(&n->drive, ring_file_size(&super));
    struct disk_options options = {.path = n->drive.path, .depth = CLUSTER_FLIGHT_PAGES};
    ENSURE(disk_open(&n->writer, &options, why) == 0);
    options = (struct disk_options){
        .path = n->drive.path, .same_file = n->writer, .depth = RING_READS_MAX * 2 + 2};
    ENSURE(disk_open(&n->reader, &options, why) == 0);
    options.depth = 1;
    ENSURE(disk_open(&n->control_disk, &options, why) == 0);
    ENSURE(ring_format(n->writer, &super, NULL, NULL, why) == 0);
    ENSURE(ring_genesis_install(n->writer, &c->genesis, false, why) == 0);
}

static void start(struct cluster *c, uint32_t id)
{
    struct cluster_node *n = &c->node[id];
    struct ring_super super;
    char why[STARTUP_PROBLEM_SIZE];
    ENSURE(ring_super_read(n->writer, &super, why) == 0);
    uint32_t window = startup_window_pages(&super, c->window_pages);
    n->ring_memory = take(ring_memory_size(&super, window), 4096);
    struct startup_options o = {.id = id,
                                .writer = n->writer,
                                .reader = n->reader,
                                .control_disk = n->control_disk,
                                .ring_memory = n->ring_memory,
                                .window_pages = window,
                                .flight_pages = CLUSTER_FLIGHT_PAGES,
                                .port = fabric_port(c->fabric, id),
                                .clock = c->clock,
                                .keys = n->keys,
                                .ip = c->genesis.founder[id].ip,
                                .prefix = 24,
                                .udp_port = CLUSTER_UDP,
                                .feed_request_port = CLUSTER_REQUESTS};
    o.feed.framing = FEED_RAW;
    o.feed.heartbeat_ms = 1000;
    o.feed.destination_count = 1;
    o.feed.destination[0] = (struct feed_destination){.ip = client_ip(0), .port = CLUSTER_LINE};
    enum startup_result result = startup_begin(&n->start, &o, why);
    if (result != STARTUP_OK)
        fprintf(stderr, "perf: a replica does not start: %s\n", why);
    ENSURE(result == STARTUP_OK);
    while (!startup_ready(&n->start, &result)) /* bound: a drive of memory */
        ;
    ENSURE(result == STARTUP_OK);
    n->replica = n->start.replica;
}

static void make_genesis(struct cluster *c)
{
    genesis_defaults(&c->genesis);
    c->genesis.election_min_ms = CLUSTER_ELECTION_MS; /* one core taken away deposes nobody */
    c->genesis.cluster_id = 0xc1;
    memcpy(c->genesis.day, "DAY1      ", KEEL_DAY_NAME_SIZE);
    for (uint32_t id = 1; id <= CLUSTER_REPLICAS; id++)
        c->genesis.founder[id] = (struct genesis_founder){
            .incarnation = 0x1000 + id, .ip = 0x0a000000 + id, .port = CLUSTER_UDP};
    c->genesis.crc = crc32c(&c->genesis, offsetof(struct genesis, crc));
}

/* --- clients --- */

static void arp(struct cluster_client *client, uint64_t now_ms)
{
    uint8_t buffer[2048];
    struct port_frame frame = {.data = buffer};
    while (frame_arp_pending(client->host, now_ms) && /* bound: the neighbours asked for */
           frame_arp_due(client->host, &frame, now_ms))
        fabric_inject(client->cluster->fabric, frame.data, frame.size);
}

static void client_send(void *context, uint32_t ip, uint16_t port, const void *packet, size_t size)
{
    struct cluster_client *client = context;
    uint64_t now_ms = clock_now_ns(client->cluster->clock) / 1000000;
    uint8_t buffer[2048];
    struct port_frame frame = {.data = buffer};
    struct frame_address to = {.ip = ip, .port = port};
    memcpy(buffer + FRAME_HEADS_SIZE, packet, size);
    if (frame_finish(client->host, &frame, &to, CLUSTER_CLIENT_UDP, (uint32_t)size, now_ms) ==
        FRAME_OK)
        fabric_inject(client->cluster->fabric, frame.data, frame.size);
    arp(client, now_ms);
}

static void client_random(void *context, void *bytes, size_t size)
{
    struct cluster_client *client = context;
    clock_secret(client->cluster->clock, bytes, size);
}

static void client_init(struct cluster *c, uint32_t i)
{
    struct cluster_client *client = &c->client[i];
    client->cluster = c;
    memcpy(client->mac, (uint8_t[]){2, 0, 0, 0, 1, (uint8_t)i}, 6);
    client->keys = keys_of(c, KEEL_CLIENT_MIN + i);
    struct frame_options frame = {
        .ip = client_ip(i), .prefix = 24, .ports = {CLUSTER_CLIENT_UDP, CLUSTER_LINE}};
    memcpy(frame.mac, client->mac, 6);
    client->host = frame_host_init(take(frame_host_size(), 64), &frame);
    struct engine_options o = {.principal = KEEL_CLIENT_MIN + i,
                               .keys = client->keys,
                               .process = i + 1,
                               .window = KEEL_WINDOW_MAX,
                               .ttl_ms = CLUSTER_TTL_MS,
                               .random = client_random,
                               .send = client_send,
                               .context = client,
                               .member_count = CLUSTER_REPLICAS};
    snprintf(o.session, sizeof(o.session), "client-%u", i);
    for (uint32_t id = 1; id <= CLUSTER_REPLICAS; id++)
        o.member[id - 1] =
            (struct engine_address){.id = id, .ip = c->genesis.founder[id].ip, .port = CLUSTER_UDP};
    client->engine =
        engine_init(take(engine_size(CLUSTER_REPLICAS), 64), &o, clock_now_ns(c->clock));
    ENSURE(client->engine != NULL);
}

static void client_frame(struct cluster *c, struct cluster_client *client, const uint8_t *bytes,
                         uint32_t size)
{
    uint8_t buffer[2048];
    struct port_frame frame = {.data = buffer, .size = size};
    struct frame_datagram dg;
    bool reply = false;
    uint64_t now_ns = clock_now_ns(c->clock);
    memcpy(buffer, bytes, size);
    enum frame_drop verdict = frame_receive(client->host, &frame, now_ns / 1000000, &dg, &reply);
    if (reply)
        fabric_inject(c->fabric, frame.data, frame.size);
    if (verdict == FRAME_OK && dg.to_port == CLUSTER_CLIENT_UDP)
        engine_receive(client->engine, dg.from.ip, dg.from.port, dg.payload, dg.size, now_ns);
}

/* A fabric_sink_fn. */
static void sink(void *context, const uint8_t *frame, uint32_t size)
{
    struct cluster *c = context;
    for (uint32_t i = 0; i < c->clients; i++)
        if ((frame[0] & 1) != 0 || memcmp(frame, c->client[i].mac, 6) == 0)
            client_frame(c, &c->client[i], frame, size);
}

void cluster_clients_tick(struct cluster *c)
{
    uint64_t now_ns = clock_now_ns(c->clock);
    struct keel_result result;
    for (uint32_t i = 0; i < c->clients; i++) {
        struct cluster_client *client = &c->client[i];
        if (engine_deadline(client->engine) <= now_ns)
            engine_tick(client->engine, now_ns);
        arp(client, now_ns / 1000000);
        while (engine_result(client->engine, &result)) { /* bound: the window */
            ENSURE(result.status == KEEL_SEQUENCED);
            client->answered++;
        }
    }
}

void cluster_submit(struct cluster *c, uint32_t i, uint32_t count)
{
    struct cluster_client *client = &c->client[i];
    uint8_t payload[CLUSTER_MESSAGE];
    uint64_t number;
    for (uint32_t k = 0; k < count; k++) {
        memset(payload, (int)(client->submitted & 0xff), sizeof(payload));
        if (engine_submit(client->engine, payload, sizeof(payload), &number) != 0)
            break;
        client->submitted++;
    }
    engine_flush(client->engine, clock_now_ns(c->clock));
}

uint64_t cluster_unanswered(const struct cluster *c)
{
    uint64_t count = 0;
    for (uint32_t i = 0; i < c->clients; i++)
        count += c->client[i].submitted - c->client[i].answered;
    return count;
}

/* --- life --- */

struct cluster *cluster_new(struct clock *clock, uint32_t clients, uint32_t slots,
                            uint32_t window_pages)
{
    struct cluster *c = take(sizeof(*c), 64);
    char why[FABRIC_WHY];
    ENSURE(clients <= CLUSTER_CLIENTS_MAX);
    c->clock = clock;
    c->clients = clients;
    c->window_pages = window_pages;
    c->fabric = fabric_open(CLUSTER_REPLICAS, sink, c, why);
    if (c->fabric == NULL) {
        fprintf(stderr, "perf: no network: %s\n", why);
        free(c);
        return NULL;
    }
    make_genesis(c);
    for (uint32_t id = 1; id <= CLUSTER_REPLICAS; id++) {
        c->node[id].keys = keys_of(c, id);
        format(c, id, slots);
        start(c, id);
    }
    for (uint32_t i = 0; i < clients; i++)
        client_init(c, i);
    return c;
}

void cluster_free(struct cluster *c)
{
    for (uint32_t id = 1; id <= CLUSTER_REPLICAS; id++) {
        struct cluster_node *n = &c->node[id];
        ring_stop(n->start.ring);
        startup_close(&n->start);
        disk_close(n->control_disk);
        disk_close(n->reader);
        disk_close(n->writer);
        drive_close(&n->drive);
        free(n->ring_memory);
        free(n->keys);
    }
    for (uint32_t i = 0; i < c->clients; i++) {
        free(c->client[i].engine);
        free(c->client[i].host);
        free(c->client[i].keys);
    }
    fabric_close(c->fabric);
    free(c);
}

uint32_t cluster_leader(const struct cluster *c)
{
    for (uint32_t id = 1; id <= CLUSTER_REPLICAS; id++)
        if (intake_open(c->node[id].replica))
            return id;
    return 0;
}

bool cluster_ready(const struct cluster *c)
{
    for (uint32_t i = 0; i < c->clients; i++)
        if (c->client[i].engine->phase != ENGINE_READY)
            return false;
    return cluster_leader(c) != 0;
}

void cluster_disk(struct cluster_node *node)
{
    ring_disk_turn(node->start.ring);
}

void cluster_feed(struct cluster *c, struct cluster_node *node)
{
    feed_turn(node->replica->feed, clock_now_ns(c->clock));
}

void cluster_aux(struct cluster_node *node)
{
    ring_aux_turn(node->start.ring);
}

void cluster_control(struct cluster *c, struct cluster_node *node)
{
    uint64_t now_ns = clock_now_ns(c->clock);
    if (now_ns < node->control_at_ns)
        return;
    node->control_at_ns = now_ns + CLUSTER_CONTROL_NS;
    control_turn(node->start.control, now_ns);
}
