#include "tests/unit/control/bench.h"

#include "dataplane/crc32c.h"
#include "dataplane/loop.h"
#include "tests/unit/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    BENCH_WINDOW = RING_WINDOW_MIN,
    BENCH_DEPTH = 64,
    BENCH_UDP = 7400,
    BENCH_SETTLE_MS = 10000
};

/* --- the wire
 * -------------------------------------------------------------------------------------- */

uint32_t port_receive(struct port *port, uint32_t queue, struct port_frame *frames, uint32_t max)
{
    uint32_t count = 0, kept = port->head;
    (void)queue;
    for (uint32_t i = port->head; i != port->tail; i++) {
        uint32_t at = i % BENCH_FRAMES;
        if (count == max || port->inbox[at].due_ns > port->bench->now_ns) {
            if (kept != i)
                port->inbox[kept % BENCH_FRAMES] = port->inbox[at];
            kept++;
            continue;
        }
        frames[count] = (struct port_frame){.size = port->inbox[at].size};
        frames[count].data = malloc(PORT_FRAME_MAX);
        memcpy(frames[count].data, port->inbox[at].bytes, port->inbox[at].size);
        count++;
    }
    port->tail = kept;
    return count;
}

bool port_alloc(struct port *port, uint32_t queue, struct port_frame *frame)
{
    (void)port;
    (void)queue;
    *frame = (struct port_frame){.data = malloc(PORT_FRAME_MAX)};
    return frame->data != NULL;
}

static void deliver(struct port *to, const struct port_frame *frame, uint64_t due_ns)
{
    if (to->tail - to->head == BENCH_FRAMES)
        return;
    uint32_t at = to->tail++ % BENCH_FRAMES;
    to->inbox[at].due_ns = due_ns;
    to->inbox[at].size = frame->size;
    memcpy(to->inbox[at].bytes, frame->data, frame->size);
}

/* NULL: the host outside. */
static const struct bench_node *node_of(const struct bench *b, const struct port *port)
{
    for (uint32_t id = 1; id <= b->count; id++)
        if (&b->node[id].port == port)
            return &b->node[id];
    return NULL;
}

uint32_t port_send(struct port *port, uint32_t queue, struct port_frame *frames, uint32_t count)
{
    struct bench *b = port->bench;
    const struct bench_node *from = node_of(b, port);
    bool cut = from != NULL && from->cut;
    uint64_t due_ns = b->now_ns + (from != NULL ? from->late_ns : 0);
    (void)queue;
    for (uint32_t i = 0; i < count; i++) {
        for (uint32_t id = 1; id <= b->count; id++) {
            struct bench_node *n = &b->node[id];
            bool mine = (frames[i].data[0] & 1) || memcmp(frames[i].data, n->port.mac, 6) == 0;
            if (mine && !cut && n->up && !n->cut && &n->port != port)
                deliver(&n->port, &frames[i], due_ns + n->late_ns);
        }
        if (!cut && memcmp(frames[i].data, b->outside.mac, 6) == 0)
            deliver(&b->outside, &frames[i], due_ns);
        port->sent++;
    }
    port_free(port, frames, count);
    return count;
}

void port_free(struct port *port, struct port_frame *frames, uint32_t count)
{
    (void)port;
    for (uint32_t i = 0; i < count; i++)
        free(frames[i].data);
}

void port_facts(const struct port *port, struct port_facts *facts)
{
    memset(facts, 0, sizeof(*facts));
    memcpy(facts->mac, port->mac, 6);
    facts->mtu = 1500;
    facts->queues = facts->rx_queues = 1;
}

void port_stats(const struct port *port, struct port_stats *stats)
{
    memset(stats, 0, sizeof(*stats));
    stats->tx_frames = port->sent;
}

/* --- time and chance
 * ------------------------------------------------------------------------------- */

uint64_t clock_now_ns(struct clock *clock)
{
    return clock->bench->now_ns;
}

uint64_t clock_utc_ns(struct clock *clock, uint32_t *error_ns)
{
    *error_ns = 1000;
    return 1700000000000000000ull + clock->bench->now_ns;
}

void clock_facts(const struct clock *clock, struct clock_facts *facts)
{
    *facts = (struct clock_facts){.measured_ns = clock->bench->now_ns};
}

uint64_t clock_random(struct clock *clock, uint64_t *state)
{
    (void)clock;
    *state = *state * 6364136223846793005ull + 1442695040888963407ull;
    return *state ^ *state >> 29;
}

void clock_secret(struct clock *clock, void *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++)
        ((uint8_t *)bytes)[i] = (uint8_t)(clock_random(clock, &clock->secret) >> 24);
}

/* --- drives
 * ---------------------------------------------------------------------------------------- */

static void open_drive(struct bench_node *n)
{
    char path[MEMORY_PATH_SIZE], why[DISK_PROBLEM_SIZE];
    memory_store_path(&n->store, path);
    struct disk_options options = {.path = path, .exclusive = true, .depth = BENCH_DEPTH};
    ENSURE(disk_open(&n->writer, &options, why) == 0);
    options = (struct disk_options){.path = path, .same_file = n->writer, .depth = 130};
    ENSURE(disk_open(&n->reader, &options, why) == 0);
    options.depth = 1;
    ENSURE(disk_open(&n->control_disk, &options, why) == 0);
}

static void close_drive(struct bench_node *n)
{
    disk_close(n->control_disk);
    disk_close(n->reader);
    disk_close(n->writer);
    n->writer = n->reader = n->control_disk = NULL;
}

static void format(struct bench *b, uint32_t id)
{
    struct bench_node *n = &b->node[id];
    char path[MEMORY_PATH_SIZE], why[DISK_PROBLEM_SIZE];
    struct ring_super super = {.magic = RING_SUPER_MAGIC,
                               .version = RING_VERSION,
                               .replica = id,
                               .incarnation = n->incarnation,
                               .slots = BENCH_SLOTS,
                               .checkpoint_blocks = 256,
                               .formatted_utc_ns = 1};
    memory_store_free(&n->store);
    memory_store_init(&n->store, ring_file_size(&super));
    memory_store_path(&n->store, path);
    struct disk_options options = {.path = path, .exclusive = true, .depth = BENCH_DEPTH};
    struct disk *disk;
    ENSURE(disk_open(&disk, &options, why) == 0);
    ENSURE(ring_format(disk, &super, NULL, NULL, why) == 0);
    ENSURE(ring_genesis_install(disk, &b->genesis, false, why) == 0);
    disk_close(disk);
}

static void give_keys(struct bench *b, uint32_t id)
{
    struct keyring *keys = calloc(1, sizeof(*keys));
    for (uint32_t i = 1; i <= b->count + 1; i++) {
        struct keyring_key *key = &keys->key[keys->count++];
        bool client = i > b->count;
        key->principal = client ? BENCH_CLIENT : i;
        key->rights = client ? AUTH_RIGHT_SUBMIT : AUTH_RIGHT_PEER;
        key->key_count = 1;
        memset(key->key[0], (int)(0x40 + i), AUTH_ROOT_SIZE);
    }
    b->node[id].keys = keys;
}

void bench_install(struct bench *b)
{
    b->genesis.crc = crc32c(&b->genesis, offsetof(struct genesis, crc));
    for (uint32_t id = 1; id <= b->count; id++)
        format(b, id);
}

struct bench *bench_new(uint32_t count)
{
    struct bench *b = calloc(1, sizeof(*b));
    ENSURE(b != NULL && count <= BENCH_NODES_MAX);
    b->count = count;
    b->now_ns = 1000000000;
    genesis_defaults(&b->genesis);
    memcpy(b->outside.mac, (uint8_t[]){2, 0, 0, 0, 1, 0}, 6);
    b->genesis.cluster_id = 0xc1;
    b->genesis.sessions_max = 64;
    b->genesis.nodes_max = 64;
    b->genesis.handles_max = 128;
    b->genesis.handles_per_session = 16;
    b->genesis.waiters_max = 64;
    memcpy(b->genesis.day, "DAY1      ", KEEL_DAY_NAME_SIZE);
    for (uint32_t id = 1; id <= count; id++) {
        b->node[id].incarnation = 0x1000 + id;
        b->genesis.founder[id] = (struct genesis_founder){
            .incarnation = 0x1000 + id, .ip = 0x0a000000 + id, .port = BENCH_UDP};
    }
    for (uint32_t id = 1; id <= count; id++) {
        struct bench_node *n = &b->node[id];
        n->port.bench = n->clock.bench = b;
        n->clock.secret = id * 977;
        memcpy(n->port.mac, (uint8_t[]){2, 0, 0, 0, 0, (uint8_t)id}, 6);
        give_keys(b, id);
    }
    bench_install(b);
    return b;
}

void bench_free(struct bench *b)
{
    for (uint32_t id = 1; id <= b->count; id++) {
        bench_kill(b, id);
        memory_store_free(&b->node[id].store);
        free(b->node[id].keys);
    }
    free(b);
}

/* --- starting and stopping
 * ------------------------------------------------------------------------- */

static void fill_options(struct bench *b, uint32_t id, struct startup_options *o)
{
    struct bench_node *n = &b->node[id];
    *o = b->tweak;
    if (o->id == 0)
        o->id = id;
    if (o->ip == 0)
        o->ip = 0x0a000000 + id;
    o->writer = n->writer;
    o->reader = n->reader;
    o->control_disk = n->control_disk;
    o->ring_memory = n->ring_memory;
    o->window_pages = BENCH_WINDOW;
    o->port = &n->port;
    o->clock = &n->clock;
    o->keys = n->keys;
    o->prefix = 24;
    o->udp_port = BENCH_UDP;
    o->feed_request_port = 7411;
    o->feed.history = 1024;
    o->feed.samples = 1024;
}

enum startup_result bench_start(struct bench *b, uint32_t id)
{
    struct bench_node *n = &b->node[id];
    struct ring_super super;
    struct startup_options options;
    char why[DISK_PROBLEM_SIZE];
    ENSURE(!n->up);
    open_drive(n);
    enum startup_result result;
    size_t size = 0;
    if (ring_super_read(n->writer, &super, why) == 0)
        size = ring_memory_size(&super, startup_window_pages(&super, BENCH_WINDOW));
    n->ring_memory = aligned_alloc(4096, (size + 8191) & ~(size_t)4095);
    memset(n->ring_memory, 0, size);
    fill_options(b, id, &options);
    result = startup_begin(&n->start, &options, n->problem);
    while (result == STARTUP_OK && !startup_ready(&n->start, &result)) /* bound: the drive */
        ;
    n->port.head = n->port.tail;
    n->up = result == STARTUP_OK;
    if (!n->up) {
        close_drive(n);
        free(n->ring_memory);
    }
    return result;
}

void bench_kill(struct bench *b, uint32_t id)
{
    struct bench_node *n = &b->node[id];
    if (!n->up)
        return;
    ring_stop(n->start.ring);
    startup_close(&n->start);
    close_drive(n);
    free(n->ring_memory);
    n->up = false;
}

/* --- turns
 * ----------------------------------------------------------------------------------------- */

/* Every replica's second machine says the same of the same index, in every life. */
static void note_digest(struct bench *b, const struct machine *m)
{
    if (m->applied < b->digests_from)
        return;
    ENSURE(m->applied - b->digests_from < BENCH_INDEX_MAX);
    uint64_t *known = &b->digest_at[m->applied - b->digests_from];
    if (*known == 0)
        *known = m->digest;
    b->digests_differ += *known != m->digest;
}

static void turn(struct bench *b, struct bench_node *n)
{
    struct startup *s = &n->start;
    uint64_t now_ns = b->now_ns;
    loop_turn(s->replica);
    ring_disk_turn(s->ring);
    feed_turn(s->replica->feed, now_ns);
    ring_aux_turn(s->ring);
    if (!n->idle_control)
        control_turn(s->control, now_ns);
    note_digest(b, control_machine(s->control));
}

static void step(struct bench *b)
{
    b->now_ns += BENCH_STEP_NS;
    for (uint32_t id = 1; id <= b->count; id++) {
        struct bench_node *n = &b->node[id];
        if (n->cut)
            n->port.head = n->port.tail;
        if (n->up && !n->asleep)
            turn(b, n);
    }
}

void bench_run(struct bench *b, uint32_t ms)
{
    for (uint64_t i = 0; i < ms * 1000000ull / BENCH_STEP_NS; i++)
        step(b);
}

struct replica_status bench_status(struct bench *b, uint32_t id)
{
    struct replica_status s;
    replica_status(b->node[id].start.replica, &s);
    return s;
}

struct control_status bench_control(struct bench *b, uint32_t id)
{
    struct control_status s;
    control_status(b->node[id].start.control, &s);
    return s;
}

static uint32_t leader(struct bench *b)
{
    for (uint32_t id = 1; id <= b->count; id++) {
        if (!b->node[id].up)
            continue;
        struct replica_status s = bench_status(b, id);
        if (s.role == RAFT_LEADER && s.noop_index > 0 && s.applied >= s.noop_index &&
            bench_control(b, id).applied == s.commit && s.commit == s.last_index)
            return id;
    }
    return 0;
}

uint32_t bench_settle(struct bench *b)
{
    for (uint32_t ms = 0; ms < BENCH_SETTLE_MS; ms += 5) {
        bench_run(b, 5);
        uint32_t id = leader(b);
        if (id != 0)
            return id;
    }
    return 0;
}

struct control_reply bench_ask(struct bench *b, uint32_t id, uint8_t entry_kind, const void *body,
                               uint8_t size)
{
    struct control_request request = {.tag = b->now_ns, .entry_kind = entry_kind, .size = size};
    struct control_reply reply = {.result = CONTROL_TIMED_OUT};
    memcpy(request.body, body, size);
    ENSURE(control_ask(b->node[id].start.control, &request));
    for (uint32_t ms = 0; ms < 2 * CONTROL_REQUEST_MS; ms++) {
        bench_run(b, 1);
        if (control_answer(b->node[id].start.control, &reply)) {
            CU_ASSERT_EQUAL(reply.tag, request.tag);
            return reply;
        }
    }
    CU_FAIL("no reply");
    return reply;
}

struct control_reply bench_day_end(struct bench *b, uint32_t id, const char *name)
{
    struct entry_day body;
    memset(&body, 0, sizeof(body));
    memcpy(body.name, name, sizeof(body.name));
    return bench_ask(b, id, ENTRY_DAY_END, &body, sizeof(body));
}
