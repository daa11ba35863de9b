/* A client host: the session engine of libkeel on the simulated network, with a deterministic
 * stream. */
#include "tests/sim/timeline.h"

#include "client/engine.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    GUEST_PORT = 7600,
    GUEST_FEED_PORT = 7501,
    GUEST_PAYLOAD_MAX = 120,
    GUEST_LOOK_NS = 100000000,
    GUEST_DUES = 64,           /* more than a window */
    GUEST_SLEEP_MIN_MS = 10000 /* a time to live below this may expire while its guest sleeps */
};

struct guest {
    struct world *world;
    uint32_t index;
    struct frame_host *host;
    struct clock *clock;
    struct engine *engine;
    struct keyring *keys;
    uint64_t lives;
    uint64_t stream;             /* seed of payloads */
    uint64_t submitted;          /* session number of the last message given to the engine */
    uint64_t answered_ns;        /* last result, world's time */
    uint64_t looked_ns;          /* associations were looked at, world's time */
    uint64_t until_ns;           /* asleep until, world's time */
    uint64_t ask_ns;             /* next request for feed numbers, local time */
    uint64_t next_ns;            /* when the next message is due, local time */
    uint64_t due_ns[GUEST_DUES]; /* when message n was, at n % GUEST_DUES */
    uint64_t event_ns;           /* scheduled event */
    bool begun;                  /* the session is open in this life */
    bool ending;
    char state[160];
};

/* Message n of a guest's stream: the same in every life. */
static uint32_t payload_of(const struct guest *guest, uint64_t number, uint8_t *payload)
{
    uint64_t rng = guest->stream + number * 0x9e3779b97f4a7c15ull;
    uint32_t size = (uint32_t)random_between(&rng, 8, GUEST_PAYLOAD_MAX);
    for (uint32_t i = 0; i < size; i++)
        payload[i] = (uint8_t)random_next(&rng);
    return size;
}

static void transmit(struct guest *guest, struct port_frame *frame)
{
    if (frame->size > 0)
        net_send(guest->world, ENDPOINT_GUEST + guest->index, frame->data, frame->size);
}

static void arp(struct guest *guest)
{
    uint8_t buffer[2048];
    struct port_frame frame = {.data = buffer};
    uint64_t now_ms = clock_now_ns(guest->clock) / 1000000;
    while (frame_arp_pending(guest->host, now_ms) && frame_arp_due(guest->host, &frame, now_ms))
        transmit(guest, &frame);
}

static void send_packet(void *context, uint32_t ip, uint16_t port, const void *packet, size_t size)
{
    struct guest *guest = context;
    uint8_t buffer[2048];
    struct port_frame frame = {.data = buffer};
    memcpy(buffer + FRAME_HEADS_SIZE, packet, size);
    struct frame_address to = {.ip = ip, .port = port};
    if (frame_finish(guest->host, &frame, &to, GUEST_PORT, (uint32_t)size,
                     clock_now_ns(guest->clock) / 1000000) == FRAME_OK)
        transmit(guest, &frame);
    arp(guest);
}

static void random_bytes(void *context, void *bytes, size_t size)
{
    struct guest *guest = context;
    clock_secret(guest->clock, bytes, size);
}

static void live(struct guest *guest)
{
    struct world *world = guest->world;
    struct engine_options options = {.principal = KEEL_CLIENT_MIN + guest->index,
                                     .keys = guest->keys,
                                     .process = random_next(&world->rng_start) | 1,
                                     .window = 32,
                                     .ttl_ms = world->knobs.ttl_ms,
                                     .random = random_bytes,
                                     .send = send_packet,
                                     .context = guest};
    options.session[0] = 'g';
    options.session[1] = (char)('0' + guest->index);
    for (uint32_t id = 1; id <= world->knobs.nodes; id++)
        options.member[options.member_count++] =
            (struct engine_address){.id = id, .ip = 0x0a000000u + id, .port = 7400};
    memset(guest->host, 0, frame_host_size());
    struct frame_options frame = {.ip = 0x0a000064u + guest->index,
                                  .prefix = 24,
                                  .mac = {2, 0, 0, 0, 0, (uint8_t)(ENDPOINT_GUEST + guest->index)},
                                  .ports = {GUEST_PORT, GUEST_FEED_PORT}};
    guest->host = frame_host_init(guest->host, &frame);
    uint64_t now = clock_now_ns(guest->clock);
    memset(guest->engine, 0, engine_size(options.member_count));
    struct engine *engine = engine_init(guest->engine, &options, now);
    ENSURE(engine == guest->engine);
    guest->begun = guest->ending = false;
    guest->next_ns = now;
    guest->lives++;
}

void guest_init(struct world *world, uint32_t index)
{
    struct guest *guest = calloc(1, sizeof(*guest));
    ENSURE(guest != NULL);
    world->guest[index] = guest;
    guest->world = world;
    guest->index = index;
    guest->stream = random_next(&world->rng_start);
    guest->clock = sim_clock_open(world, 0, 0);
    guest->host = aligned_alloc(64, (frame_host_size() + 63) & ~(size_t)63);
    guest->engine = aligned_alloc(64, (engine_size(world->knobs.nodes) + 63) & ~(size_t)63);
    guest->keys = sim_keys(world, KEEL_CLIENT_MIN + index);
    ENSURE(guest->host != NULL && guest->engine != NULL);
    live(guest);
    guest->event_ns = random_below(&world->rng_start, 300000000);
    world_event(world, guest->event_ns, EVENT_GUEST, index, 0);
}

void guest_kill(struct world *world, uint32_t index)
{
    live(world->guest[index]);
}

/* For who looks on: a message that was due then has its answer, or was held back until now. */
static void tell_late(struct guest *guest, uint64_t due_ns, uint64_t now)
{
    struct onlooker *onlooker = &guest->world->onlooker;
    if (onlooker->answered != NULL)
        onlooker->answered(guest->world, onlooker->context, now > due_ns ? now - due_ns : 0);
}

/* A session that expired takes its unanswered messages with it; a closed day refuses them. */
static bool allowed(const struct guest *guest, uint32_t status)
{
    const struct knobs *k = &guest->world->knobs;
    bool expires = k->ttl_ms < GUEST_SLEEP_MIN_MS &&
                   (status == MACHINE_SESSION_ENDED || status == MACHINE_EPOCH);
    return status == MACHINE_UNKNOWN || expires || (k->days && status == MACHINE_DAY_CLOSED);
}

static void results(struct guest *guest)
{
    struct keel_result result;
    while (engine_result(guest->engine, &result)) {
        guest->answered_ns = guest->world->now_ns;
        tell_late(guest, guest->due_ns[result.number % GUEST_DUES], clock_now_ns(guest->clock));
        uint8_t payload[GUEST_PAYLOAD_MAX];
        uint32_t size = payload_of(guest, result.number, payload);
        export_ack(guest->world, guest->index, guest->engine->session, result.number,
                   machine_status_name((enum machine_status)result.status), result.feed,
                   result.utc_ns, result.day);
        timeline_mark(guest->world, TIMELINE_RESULT, ENDPOINT_GUEST + guest->index, result.number,
                      result.status, result.feed);
        world_trace(guest->world, result.number, result.feed);
        if (result.status == MACHINE_SEQUENCED)
            check_ack(guest->world, guest->index, guest->engine->session, result.number,
                      result.feed, machine_message_hash(ENTRY_MESSAGES, payload, size, NULL));
        else if (!allowed(guest, result.status))
            world_fail(guest->world, "guest %u: message %lu ends as %u", guest->index,
                       (unsigned long)result.number, (unsigned)result.status);
    }
}

/* Submits what is due; a new life goes on behind the last number that the session had consumed. */
static void submit(struct guest *guest, uint64_t now)
{
    struct engine *engine = guest->engine;
    if (engine->phase != ENGINE_READY)
        return;
    if (!guest->begun) {
        guest->begun = true;
        guest->submitted = engine->resumed ? engine->resumed_last : 0;
        export_session(guest->world, guest->index, engine->options.session, engine->session,
                       engine->epoch, KEEL_CLIENT_MIN + guest->index);
        timeline_mark(guest->world, TIMELINE_SESSION, ENDPOINT_GUEST + guest->index,
                      engine->session, engine->epoch, engine->resumed);
    }
    uint64_t gap = 1000000000ull / guest->world->knobs.rate;
    bool more = !guest->world->quiet && !guest->ending;
    while (more && guest->next_ns <= now) {
        uint8_t payload[GUEST_PAYLOAD_MAX];
        uint64_t number = guest->submitted + 1, given;
        uint32_t size = payload_of(guest, number, payload);
        if (engine_submit(engine, payload, size, &given) != 0)
            break;
        if (given != number)
            world_fail(guest->world, "guest %u: engine gives %lu to message %lu", guest->index,
                       (unsigned long)given, (unsigned long)number);
        check_submit(guest->world, engine->session, number, payload, size);
        export_submit(guest->world, guest->index, engine->session, number, payload, size);
        timeline_mark(guest->world, TIMELINE_MESSAGE, ENDPOINT_GUEST + guest->index, number,
                      engine->session, 0);
        guest->submitted = number;
        guest->due_ns[number % GUEST_DUES] = guest->next_ns;
        guest->next_ns += gap;
    }
    if (guest->next_ns + 20 * gap < now) { /* no burst to make up for a long silence */
        for (; more && guest->next_ns < now; guest->next_ns += gap)
            tell_late(guest, guest->next_ns, now);
        guest->next_ns = now;
    }
    engine_flush(engine, now);
}

/* A consumer that missed something asks any replica for it. */
static void ask_feed(struct guest *guest, uint64_t now)
{
    struct world *world = guest->world;
    uint64_t *rng = &world->rng_net, have = check_committed(world);
    if (now < guest->ask_ns || have == 0)
        return;
    guest->ask_ns = now + random_between(rng, 20, 200) * 1000000;
    uint8_t buffer[2048];
    struct port_frame frame = {.data = buffer};
    char day[KEEL_DAY_NAME_SIZE + 1];
    world_day_name(world, day);
    uint64_t first = 1 + random_below(rng, have); /* one draw a statement: the order must not */
    uint64_t count = random_between(rng, 1, 30);  /* be the compiler's */
    uint64_t id = 1 + random_below(rng, world->knobs.nodes);
    mold_header_pack((struct mold_header *)(buffer + FRAME_HEADS_SIZE), day, first,
                     (uint16_t)count);
    struct frame_address to = {.ip = 0x0a000000u + (uint32_t)id, .port = 7401};
    if (frame_finish(guest->host, &frame, &to, GUEST_FEED_PORT, MOLD_HEADER_SIZE, now / 1000000) ==
        FRAME_OK)
        transmit(guest, &frame);
}

static void ended(struct guest *guest)
{
    export_end(guest->world, guest->index, guest->engine->session, guest->submitted);
    timeline_mark(guest->world, TIMELINE_SESSION_END, ENDPOINT_GUEST + guest->index,
                  guest->engine->session, guest->submitted, 0);
}

/* Now and then a guest ends its session, and its next life opens another of the same name; a
 * session that was lost (expired) ends a life too. */
static void lives(struct guest *guest, uint64_t now)
{
    struct world *world = guest->world;
    struct engine *engine = guest->engine;
    if (engine->phase == ENGINE_FAILED || engine->phase == ENGINE_CLOSED) {
        if (engine->phase == ENGINE_CLOSED)
            ended(guest);
        else if (world->knobs.ttl_ms >= GUEST_SLEEP_MIN_MS)
            world_fail(world, "guest %u: its session fails: %s", guest->index, engine->problem);
        live(guest);
    } else if (world->knobs.ends && guest->begun && !guest->ending && !world->quiet &&
               engine->phase == ENGINE_READY && random_below(&world->rng_start, 1000) == 0) {
        guest->ending = true;
        engine_end(engine, now);
    }
}

static void turn(struct guest *guest)
{
    struct world *world = guest->world;
    if (guest->until_ns > world->now_ns) { /* asleep: packets are lost on it, too */
        world_event(world, guest->until_ns, EVENT_GUEST, guest->index, 0);
        return;
    }
    uint64_t now = clock_now_ns(guest->clock);
    engine_tick(guest->engine, now);
    results(guest);
    submit(guest, now);
    lives(guest, now);
    ask_feed(guest, now);
    arp(guest);
    uint64_t due = engine_deadline(guest->engine);
    uint64_t at = now + 5000000;
    if (due < at)
        at = due > now + 1000 ? due : now + 1000;
    if (guest->begun && guest->next_ns > now && guest->next_ns < at)
        at = guest->next_ns;
    uint64_t world_ns = sim_clock_world_ns(guest->clock, at);
    if (guest->event_ns <= world->now_ns || world_ns < guest->event_ns) {
        guest->event_ns = world_ns;
        world_event(world, world_ns, EVENT_GUEST, guest->index, 0);
    }
}

void guest_sleep(struct world *world, uint32_t index, uint64_t until_ns)
{
    world->guest[index]->until_ns = until_ns;
    world_event(world, until_ns, EVENT_GUEST, index, 0);
}

void guest_look(const struct guest *guest, uint64_t *lives, uint64_t *asleep_until_ns)
{
    *lives = guest->lives;
    *asleep_until_ns = guest->until_ns;
}

uint64_t guest_answered_ns(const struct guest *guest)
{
    return guest->answered_ns;
}

bool guest_settled(const struct guest *guest)
{
    const struct engine *engine = guest->engine;
    return engine->phase == ENGINE_READY && engine->oldest == engine->next &&
           engine->given + 1 == engine->next;
}

void guest_event(struct world *world, uint32_t index)
{
    turn(world->guest[index]);
}

void guest_frame(struct world *world, uint32_t index, uint8_t *bytes, uint32_t size)
{
    struct guest *guest = world->guest[index];
    struct port_frame frame = {.data = bytes, .size = size};
    struct frame_datagram dg;
    bool reply = false;
    uint64_t now = clock_now_ns(guest->clock);
    if (guest->until_ns > world->now_ns)
        return;
    enum frame_drop verdict = frame_receive(guest->host, &frame, now / 1000000, &dg, &reply);
    if (reply)
        transmit(guest, &frame);
    if (verdict != FRAME_OK || dg.to_port != GUEST_PORT)
        return;
    engine_receive(guest->engine, dg.from.ip, dg.from.port, dg.payload, dg.size, now);
    if (world->now_ns >= guest->looked_ns + GUEST_LOOK_NS) {
        guest->looked_ns = world->now_ns;
        check_net_table(world, KEEL_CLIENT_MIN + index, guest->engine->auth);
    }
    turn(guest);
}

const char *guest_state(struct guest *guest)
{
    const struct engine *e = guest->engine;
    snprintf(guest->state, sizeof(guest->state),
             "phase %d, session %lu epoch %lu, given %lu, oldest %lu, next %lu, target %u",
             (int)e->phase, (unsigned long)e->session, (unsigned long)e->epoch,
             (unsigned long)e->given, (unsigned long)e->oldest, (unsigned long)e->next, e->target);
    return guest->state;
}

void guest_free(struct guest *guest)
{
    if (guest == NULL)
        return;
    clock_close(guest->clock);
    free(guest->keys);
    free(guest->host);
    free(guest->engine);
    free(guest);
}
