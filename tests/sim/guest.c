/* A client host: the session engine of libkeel on the simulated network, with a deterministic
 * stream. */
#include "tests/sim/timeline.h"

#include "tests/sim/host.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    GUEST_PAYLOAD_MAX = 120,
    GUEST_LOOK_NS = 100000000,
    GUEST_DUES = 64,           /* more than a window */
    GUEST_SLEEP_MIN_MS = 10000 /* a time to live below this may expire while its guest sleeps */
};

struct guest {
    struct world *world;
    uint32_t index;
    struct sim_host host;
    struct engine *engine; /* the host's */
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

static void live(struct guest *guest)
{
    struct engine_options options = {.window = 32, .ttl_ms = guest->world->knobs.ttl_ms};
    options.session[0] = 'g';
    options.session[1] = (char)('0' + guest->index);
    host_live(&guest->host, &options);
    guest->begun = guest->ending = false;
    guest->next_ns = host_now_ns(&guest->host);
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
    host_init(&guest->host, world, ENDPOINT_GUEST + index, 0);
    guest->engine = guest->host.engine;
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
        tell_late(guest, guest->due_ns[result.number % GUEST_DUES], host_now_ns(&guest->host));
        uint8_t payload[GUEST_PAYLOAD_MAX];
        uint32_t size = payload_of(guest, result.number, payload);
        export_ack(guest->world, guest->host.endpoint, guest->engine->session, result.number,
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
        export_session(guest->world, guest->host.endpoint, engine->options.session, engine->session,
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
        check_submit(guest->world, engine->session, number, payload, size, NULL);
        export_submit(guest->world, guest->host.endpoint, engine->session, number, payload, size);
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
    char day[KEEL_DAY_NAME_SIZE + 1];
    world_day_name(world, day);
    uint64_t first = 1 + random_below(rng, have); /* one draw a statement: the order must not */
    uint64_t count = random_between(rng, 1, 30);  /* be the compiler's */
    uint64_t id = 1 + random_below(rng, world->knobs.nodes);
    mold_header_pack((struct mold_header *)(buffer + FRAME_HEADS_SIZE), day, first,
                     (uint16_t)count);
    struct frame_address to = {.ip = 0x0a000000u + (uint32_t)id, .port = 7401};
    host_ask(&guest->host, &to, buffer, MOLD_HEADER_SIZE);
}

static void ended(struct guest *guest)
{
    export_end(guest->world, guest->host.endpoint, guest->engine->session, guest->submitted);
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
    uint64_t now = host_now_ns(&guest->host);
    engine_tick(guest->engine, now);
    results(guest);
    submit(guest, now);
    lives(guest, now);
    ask_feed(guest, now);
    host_arp(&guest->host);
    uint64_t due = engine_deadline(guest->engine);
    uint64_t at = now + 5000000;
    if (due < at)
        at = due > now + 1000 ? due : now + 1000;
    if (guest->begun && guest->next_ns > now && guest->next_ns < at)
        at = guest->next_ns;
    uint64_t world_ns = sim_clock_world_ns(guest->host.clock, at);
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
    if (guest->until_ns > world->now_ns || !host_frame(&guest->host, bytes, size))
        return;
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
    host_free(&guest->host);
    free(guest);
}
