#include "tests/unit/client/world.h"

#include "tests/unit/unit.h"

#include <stdlib.h>
#include <string.h>

static bool chance(struct world *w, uint32_t percent)
{
    return percent > 0 && rng_below(&w->rng, 100) < percent;
}

static void put(struct world *w, const struct world_packet *head, const void *bytes, size_t size)
{
    for (uint32_t i = 0; i < WORLD_QUEUE; i++) {
        struct world_packet *p = &w->queue[i];
        if (p->at_ns != 0)
            continue;
        if (i >= w->queue_end)
            w->queue_end = i + 1;
        *p = *head;
        p->order = ++w->order;
        p->at_ns = w->now_ns + w->delay_ns;
        if (chance(w, w->shuffle))
            p->at_ns += rng_below(&w->rng, (uint32_t)(8 * w->delay_ns));
        p->size = size;
        memcpy(p->bytes, bytes, size);
        if (w->flip && !head->to_member) {
            p->bytes[rng_below(&w->rng, (uint32_t)size)] ^= (uint8_t)(1u << rng_below(&w->rng, 8));
            w->corrupted++;
        }
        return;
    }
    CU_FAIL_FATAL("the network's queue is full");
}

static void network(struct world *w, const struct world_packet *head, const void *bytes,
                    size_t size)
{
    if (chance(w, w->loss))
        return;
    put(w, head, bytes, size);
    if (chance(w, w->copies))
        put(w, head, bytes, size);
}

static void client_sends(void *context, uint32_t ip, uint16_t port, const void *packet, size_t size)
{
    struct world_client *c = context;
    const struct world_packet head = {.to_member = true,
                                      .ip = ip,
                                      .port = port,
                                      .from_ip = WORLD_CLIENT_IP + c->index,
                                      .from_port = c->port};
    c->world->packets_to_members++;
    network(c->world, &head, packet, size);
}

static void member_sends(void *context, uint32_t member, uint32_t ip, uint16_t port,
                         const void *packet, size_t size)
{
    const struct world_packet head = {.ip = ip,
                                      .port = port,
                                      .from_ip = WORLD_MEMBER_IP + member,
                                      .from_port = WORLD_MEMBER_PORT};
    network(context, &head, packet, size);
}

static void client_random(void *context, void *bytes, size_t size)
{
    struct world_client *c = context;
    rng_bytes(&c->world->rng, bytes, size);
}

struct world *world_new(uint64_t seed)
{
    struct world *w = calloc(1, sizeof(*w));
    CU_ASSERT_FATAL(w != NULL);
    w->queue = calloc(WORLD_QUEUE, sizeof(*w->queue));
    CU_ASSERT_FATAL(w->queue != NULL);
    w->rng.state = seed;
    w->now_ns = 1000 * ENGINE_MS;
    w->delay_ns = 20000;
    fake_init(&w->fake, seed ^ 0xfa);
    w->fake.send = member_sends;
    w->fake.context = w;
    for (uint32_t i = 0; i < WORLD_CLIENTS; i++) {
        w->client[i].world = w;
        w->client[i].index = i;
        w->client[i].port = WORLD_CLIENT_PORT;
    }
    return w;
}

void world_kill(struct world *w, uint32_t client)
{
    free(w->client[client].engine);
    free(w->client[client].keys);
    w->client[client].engine = NULL;
    w->client[client].keys = NULL;
    w->client[client].port++; /* the next process has another port */
}

void world_free(struct world *w)
{
    for (uint32_t i = 0; i < WORLD_CLIENTS; i++)
        world_kill(w, i);
    fake_free(&w->fake);
    free(w->queue);
    free(w);
}

void world_start(struct world *w, uint32_t client, const char *session, uint16_t window,
                 uint64_t cluster, uint64_t key_seed)
{
    struct world_client *c = &w->client[client];
    struct engine_options options = {
        .member_count = FAKE_MEMBERS,
        .principal = FAKE_PRINCIPAL,
        .cluster = cluster,
        .process = rng_next(&w->rng) | 1,
        .window = window == 0 ? KEEL_WINDOW_MAX : window,
        .ttl_ms = 6000,
        .leases = w->leases,
        .grace_ms = w->grace_ms == 0 ? 10000 : w->grace_ms,
        .random = client_random,
        .send = client_sends,
        .context = c,
    };
    c->keys = calloc(1, sizeof(*c->keys));
    CU_ASSERT_FATAL(c->keys != NULL);
    fake_keys(c->keys, key_seed == 0 ? 7 : key_seed);
    options.keys = c->keys;
    strcpy(options.session, session);
    for (uint32_t i = 0; i < FAKE_MEMBERS; i++)
        options.member[i] = (struct engine_address){
            .id = i + 1, .ip = WORLD_MEMBER_IP + i, .port = WORLD_MEMBER_PORT};
    c->results = 0;
    void *memory = aligned_alloc(64, (engine_size(FAKE_MEMBERS) + 63) & ~(size_t)63);
    c->engine = engine_init(memory, &options, w->now_ns);
    CU_ASSERT_FATAL(c->engine != NULL);
}

static void collect(struct world_client *c)
{
    struct keel_result result;
    while (!c->holds && engine_result(c->engine, &result)) {
        CU_ASSERT_FATAL(c->results < WORLD_RESULTS);
        c->result[c->results++] = result;
    }
}

static void deliver(struct world *w, struct world_packet *p)
{
    if (p->to_member) {
        fake_receive(&w->fake, p->ip - WORLD_MEMBER_IP, p->from_ip, p->from_port, p->bytes, p->size,
                     w->now_ns);
        return;
    }
    struct world_client *c = &w->client[p->ip - WORLD_CLIENT_IP];
    if (c->engine == NULL || c->port != p->port)
        return;
    engine_receive(c->engine, p->from_ip, p->from_port, p->bytes, p->size, w->now_ns);
    collect(c);
}

/* The next packet, or NULL if a timer comes first; moves the time there. */
static struct world_packet *step(struct world *w, uint64_t end_ns)
{
    struct world_packet *next = NULL;
    while (w->queue_end > 0 && w->queue[w->queue_end - 1].at_ns == 0)
        w->queue_end--;
    for (uint32_t i = 0; i < w->queue_end; i++) {
        struct world_packet *p = &w->queue[i];
        if (p->at_ns != 0 && (next == NULL || p->at_ns < next->at_ns ||
                              (p->at_ns == next->at_ns && p->order < next->order)))
            next = p;
    }
    uint64_t timer = end_ns;
    for (uint32_t i = 0; i < WORLD_CLIENTS; i++) {
        uint64_t due = w->client[i].engine == NULL ? end_ns : engine_deadline(w->client[i].engine);
        timer = due < timer ? due : timer;
    }
    bool packet_first = next != NULL && next->at_ns <= timer;
    uint64_t to = packet_first ? next->at_ns : timer;
    if (to > w->now_ns)
        w->now_ns = to;
    return packet_first ? next : NULL;
}

void world_run(struct world *w, uint64_t ns, bool (*done)(struct world *world))
{
    uint64_t end_ns = w->now_ns + ns;
    uint32_t idle = 0;
    while (w->now_ns < end_ns && (done == NULL || !done(w))) {
        uint64_t before = w->now_ns;
        struct world_packet *p = step(w, end_ns);
        if (p != NULL) {
            struct world_packet copy = *p;
            p->at_ns = 0;
            deliver(w, &copy);
        }
        for (uint32_t i = 0; i < WORLD_CLIENTS; i++) {
            if (w->client[i].engine == NULL)
                continue;
            engine_tick(w->client[i].engine, w->now_ns);
            engine_flush(w->client[i].engine, w->now_ns);
            collect(&w->client[i]);
        }
        idle = w->now_ns == before && p == NULL ? idle + 1 : 0;
        CU_ASSERT_FATAL(idle < 100); /* a deadline that is due must lead to something */
    }
}

bool world_ready(struct world *w)
{
    return w->client[0].engine->phase == ENGINE_READY;
}

struct engine *world_started(struct world *w, const char *session)
{
    world_start(w, 0, session, 0, 0, 0);
    world_run(w, 5000 * ENGINE_MS, world_ready);
    CU_ASSERT_FATAL(w->client[0].engine->phase == ENGINE_READY);
    return w->client[0].engine;
}

size_t world_payload(uint64_t number, uint8_t *bytes)
{
    struct rng rng = {number * 77};
    size_t size = number % 97 == 0 ? KEEL_PAYLOAD_MAX : 1 + rng_below(&rng, 60);
    rng_bytes(&rng, bytes, size);
    return size;
}

bool world_publish(struct world *w, uint32_t client, uint64_t last, uint64_t ns)
{
    struct engine *e = w->client[client].engine;
    uint64_t end_ns = w->now_ns + ns;
    while (w->now_ns < end_ns && e->phase != ENGINE_FAILED) {
        uint32_t burst = 1 + rng_below(&w->rng, 20);
        for (uint32_t i = 0; i < burst && e->phase == ENGINE_READY && e->next <= last; i++) {
            uint8_t payload[KEEL_PAYLOAD_MAX];
            uint64_t number;
            size_t size = world_payload(e->next, payload);
            if (engine_submit(e, payload, size, &number) != KEEL_OK)
                break;
        }
        engine_flush(e, w->now_ns);
        if (e->phase == ENGINE_READY && e->next > last && e->oldest == e->next)
            return true;
        world_run(w, 10000 + rng_below(&w->rng, 40000), NULL);
    }
    return false;
}

bool world_results_ok(const struct world *w, uint32_t client, uint64_t first, uint64_t last)
{
    const struct world_client *c = &w->client[client];
    if (c->results != last - first + 1 || c->engine->stats.answered != c->results)
        return false;
    for (uint64_t i = 0; i < c->results; i++) {
        const struct keel_result *r = &c->result[i];
        uint8_t payload[KEEL_PAYLOAD_MAX];
        size_t size = world_payload(r->number, payload);
        const struct fake_taken *t = fake_find(&w->fake, c->engine->session, r->number);
        if (r->number != first + i || r->status != KEEL_SEQUENCED || t == NULL ||
            t->feed != r->feed ||
            t->hash != machine_message_hash(ENTRY_MESSAGES, payload, size, NULL))
            return false;
    }
    return true;
}
