/* A host that holds locks: opens nodes, acquires, releases, shows sequencers, sleeps, and is taken
 * over by another process while the older one goes on believing. Its clock has a rate of its own.
 */
#include "tests/sim/host.h"
#include "tests/sim/timeline.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    HOLDER_MS = 1000000,
    HOLDER_TTL_MIN_MS = 2000,
    HOLDER_TTL_MAX_MS = 6000,
    HOLDER_GRACE_MS = 3000,
    HOLDER_PAUSE_MS = 300, /* between what it does, at most */
    HOLDER_STOPS = 80,     /* one in so many times it stands still ... */
    HOLDER_STOP_MAX_MS = 8000,
    HOLDER_MUTES = 80, /* ... or goes on, hears, and is not heard */
    HOLDER_PAYLOAD = 16,
    HOLDER_OLD = 4 /* sequencers of all holders that are remembered */
};

static const char *const paths[HOLD_PATHS] = {"/a", "/b"};

struct holding {   /* of one path */
    uint64_t node; /* instance; 0: no handle */
    uint64_t generation;
    uint8_t mode;   /* believed in: enum lock_mode; FREE: nothing is */
    uint8_t wanted; /* of a wait; FREE: it does not wait */
    bool leaving;   /* given up, or about to be: nothing is believed from then on */
};

enum doing { DOING_NOTHING, DOING_OPEN, DOING_ACQUIRE, DOING_LEAVE, DOING_OTHER, DOING_FENCED };

struct holder {
    struct world *world;
    uint32_t index;
    struct sim_host host;
    struct engine *engine; /* the host's */
    struct holding of[HOLD_PATHS];
    /* a process that another one took the session over from, and that does not know */
    struct holding before[HOLD_PATHS];
    uint64_t before_until_ns; /* it believes so long, by the host's clock */
    enum doing doing;
    uint32_t which;  /* path of it */
    uint8_t mode;    /* of an acquire */
    uint64_t number; /* that is awaited */
    struct entry_sequencer shown;
    uint8_t payload[HOLDER_PAYLOAD];
    uint64_t lives;
    uint64_t until_ns; /* asleep until, world's time */
    uint64_t next_ns;  /* does something then, local time */
    uint64_t event_ns;
    bool begun; /* this life has its session */
    bool ending;
    struct entry_sequencer old[HOLDER_OLD];
    uint32_t old_next;
    char state[200];
};

static void say(const struct holder *h, const char *what, uint64_t a, uint64_t b, uint64_t c)
{
    if (h->world->verbose)
        printf("%12.6f holder %u (session %lu epoch %lu, lease %.3f s) %s %lu %lu %lu\n",
               (double)h->world->now_ns / 1e9, h->index, (unsigned long)h->engine->session,
               (unsigned long)h->engine->epoch,
               ((double)h->engine->lease.until_ns - (double)host_now_ns(&h->host)) / 1e9, what,
               (unsigned long)a, (unsigned long)b, (unsigned long)c);
}

static void live(struct holder *h)
{
    uint64_t *rng = &h->world->rng_hold;
    struct engine_options options = {
        .window = 8,
        .ttl_ms = (uint32_t)random_between(rng, HOLDER_TTL_MIN_MS, HOLDER_TTL_MAX_MS),
        .leases = true,
        .grace_ms = HOLDER_GRACE_MS};
    options.session[0] = 'h';
    options.session[1] = (char)('0' + h->index);
    say(h, "a new life", 0, 0, 0);
    host_live(&h->host, &options);
    memset(h->of, 0, sizeof(h->of));
    h->doing = DOING_NOTHING;
    h->begun = h->ending = false;
    h->next_ns = host_now_ns(&h->host);
    h->lives++;
    h->world->hold_lives++;
}

/* Anything within what replicas' clocks drift. */
static int64_t rate_of(struct world *world)
{
    uint64_t *rng = &world->rng_hold;
    uint64_t most = world->knobs.drift_ppm;
    int64_t rate = (int64_t)random_between(rng, 0, 2 * most) - (int64_t)most;
    if (world->knobs.beyond != 0) /* slow, and so believing for long */
        return -(int64_t)most;
    return rate;
}

void holder_init(struct world *world, uint32_t index)
{
    struct holder *h = calloc(1, sizeof(*h));
    ENSURE(h != NULL);
    world->holder[index] = h;
    h->world = world;
    h->index = index;
    host_init(&h->host, world, ENDPOINT_HOLDER + index, rate_of(world));
    h->engine = h->host.engine;
    live(h);
    h->event_ns = random_below(&world->rng_hold, 300 * HOLDER_MS);
    world_event(world, h->event_ns, EVENT_HOLDER, index, 0);
}

/* --- what it believes --------------------------------------------------------------------------
 */

uint8_t holder_believes(const struct holder *h, uint32_t which, uint32_t life)
{
    uint64_t now = host_now_ns(&h->host);
    const struct holding *of = life == 0 ? &h->of[which] : &h->before[which];
    if (of->leaving)
        return LOCK_FREE;
    if (life == 1)
        return now < h->before_until_ns ? of->mode : LOCK_FREE;
    struct lease lease = h->engine->lease;
    bool open = h->engine->phase == ENGINE_READY && !h->ending;
    return open && lease_look(&lease, now) == LEASE_SAFE ? of->mode : LOCK_FREE;
}

bool holder_lives_in(const struct holder *h, uint64_t session)
{
    struct lease lease = h->engine->lease;
    return h->engine->phase == ENGINE_READY && !h->ending && h->engine->session == session &&
           lease_look(&lease, host_now_ns(&h->host)) == LEASE_SAFE;
}

static void granted(struct holder *h, uint32_t which, uint64_t generation, uint8_t mode)
{
    struct holding *of = &h->of[which];
    of->generation = generation;
    of->mode = mode;
    of->wanted = LOCK_FREE;
    h->old[h->old_next++ % HOLDER_OLD] =
        (struct entry_sequencer){.node = of->node, .generation = generation, .mode = mode};
    check_locks_granted(h->world, of->node, generation);
}

/* --- results and events ------------------------------------------------------------------------
 */

static bool allowed(const struct holder *h, uint32_t status)
{
    return status <= MACHINE_NOT_OPEN || status == MACHINE_UNKNOWN ||
           (h->world->knobs.days && status == MACHINE_DAY_CLOSED);
}

static void gone(struct holding *of)
{
    *of = (struct holding){0};
}

static void take_result(struct holder *h, const struct keel_result *r)
{
    struct holding *of = &h->of[h->which];
    enum doing doing = h->doing;
    h->doing = DOING_NOTHING;
    say(h, "result: doing, status, value", doing, r->status, r->feed);
    if (!allowed(h, r->status))
        world_fail(h->world, "holder %u: operation %lu ends as %u", h->index,
                   (unsigned long)r->number, (unsigned)r->status);
    if (r->status == KEEL_NO_NODE || r->status == KEEL_NOT_OPEN) {
        if (doing == DOING_ACQUIRE || doing == DOING_LEAVE)
            gone(of);
        return;
    }
    if (doing == DOING_OPEN && r->status == KEEL_DONE)
        of->node = r->feed;
    else if (doing == DOING_ACQUIRE && r->status == KEEL_DONE)
        granted(h, h->which, r->feed, h->mode);
    else if (doing == DOING_ACQUIRE && r->status == KEEL_QUEUED)
        of->wanted = h->mode;
    else if (doing == DOING_LEAVE)
        *of = (struct holding){.node = of->node};
    else if (doing == DOING_FENCED && r->status == KEEL_SEQUENCED)
        check_locks_fenced(h->world, h->engine->session, r->number, &h->shown);
    h->world->stale += doing == DOING_FENCED && r->status == KEEL_STALE_SEQUENCER;
}

static void take_event(struct holder *h, const struct keel_event *event)
{
    say(h, "event: kind, node, value", event->kind, event->node, event->value);
    h->world->jeopardies += event->kind == KEEL_EVENT_JEOPARDY;
    for (uint32_t which = 0; which < HOLD_PATHS; which++) {
        struct holding *of = &h->of[which];
        if (of->node == 0 || event->node != of->node)
            continue;
        if (event->kind == KEEL_EVENT_GRANTED && !of->leaving && of->mode == LOCK_FREE) {
            granted(h, which, event->value, of->wanted);
            h->world->waits_granted++;
        } else if (event->kind == KEEL_EVENT_ENDED) {
            of->mode = of->wanted = LOCK_FREE;
        } else if (event->kind == KEEL_EVENT_INVALID) {
            gone(of);
        }
    }
}

static void collect(struct holder *h)
{
    struct keel_result result;
    struct keel_event event;
    while (engine_result(h->engine, &result)) { /* one is under way at most */
        world_trace(h->world, result.number, result.feed);
        export_ack(h->world, h->host.endpoint, h->engine->session, result.number,
                   machine_status_name((enum machine_status)result.status), result.feed,
                   result.utc_ns, result.day);
        timeline_mark(h->world, TIMELINE_RESULT, h->host.endpoint, result.number, result.status,
                      result.feed);
        take_result(h, &result);
    }
    while (engine_event(h->engine, &event)) /* at most ENGINE_EVENTS */
        take_event(h, &event);
}

/* --- what it does ------------------------------------------------------------------------------
 */

static void operate(struct holder *h, enum doing doing, const struct entry_node *op,
                    const char *path)
{
    uint8_t block[sizeof(*op) + KEEL_PATH_MAX];
    if (engine_operate(h->engine, op, path, "", &h->number) != KEEL_OK)
        return;
    h->doing = doing;
    memcpy(block, op, sizeof(*op));
    memcpy(block + sizeof(*op), path, op->path_size);
    export_submit(h->world, h->host.endpoint, h->engine->session, h->number, block,
                  (uint32_t)sizeof(*op) + op->path_size);
}

static void open_node(struct holder *h)
{
    uint64_t *rng = &h->world->rng_hold;
    struct entry_node op = {.operation = NODE_OPEN,
                            .events = (uint8_t)random_below(rng, NODE_EVENTS_ALL + 1),
                            .flags = NODE_CREATE,
                            .path_size = (uint16_t)strlen(paths[h->which])};
    if (random_below(rng, 3) == 0)
        op.flags |= NODE_EPHEMERAL;
    operate(h, DOING_OPEN, &op, paths[h->which]);
}

static void acquire(struct holder *h)
{
    uint64_t *rng = &h->world->rng_hold;
    h->mode = random_below(rng, 3) == 0 ? LOCK_SHARED : LOCK_EXCLUSIVE;
    struct entry_node op = {.operation = NODE_ACQUIRE,
                            .mode = h->mode,
                            .node = h->of[h->which].node,
                            .wait_ms = NODE_WAIT_ENDLESS};
    uint64_t how = random_below(rng, 4);
    if (how == 0)
        op.flags = NODE_TRY;
    else if (how == 1)
        op.wait_ms = (uint32_t)random_below(rng, 3000);
    if (random_below(rng, 4) == 0)
        op.delay_ms = (uint32_t)random_below(rng, 2000);
    operate(h, DOING_ACQUIRE, &op, "");
}

/* It believes nothing from the moment at which it decides to give up. */
static void leave(struct holder *h)
{
    struct holding *of = &h->of[h->which];
    struct entry_node op = {.operation = NODE_RELEASE, .node = of->node};
    of->leaving = true;
    operate(h, DOING_LEAVE, &op, "");
}

static void other(struct holder *h)
{
    uint64_t *rng = &h->world->rng_hold;
    struct holding *of = &h->of[h->which];
    struct entry_node op = {.operation = NODE_SET, .node = of->node};
    if (of->mode == LOCK_FREE && of->wanted == LOCK_FREE && random_below(rng, 3) == 0) {
        op.operation = random_below(rng, 2) == 0 ? NODE_DELETE : NODE_CLOSE;
        of->leaving = true; /* and so is done with this handle, if it succeeds */
        operate(h, op.operation == NODE_CLOSE ? DOING_LEAVE : DOING_OTHER, &op, "");
        gone(of);
        return;
    }
    operate(h, DOING_OTHER, &op, "");
}

/* Under a sequencer that is its own, or somebody's of long ago. */
static void publish(struct holder *h)
{
    uint64_t *rng = &h->world->rng_hold;
    const struct holder *from = h->world->holder[random_below(rng, h->world->knobs.holders)];
    h->shown = from->old[random_below(rng, HOLDER_OLD)];
    if (h->of[h->which].mode != LOCK_FREE && random_below(rng, 2) == 0)
        h->shown = (struct entry_sequencer){.node = h->of[h->which].node,
                                            .generation = h->of[h->which].generation,
                                            .mode = h->of[h->which].mode};
    if (h->shown.node == 0)
        return;
    for (uint32_t i = 0; i < HOLDER_PAYLOAD; i++)
        h->payload[i] = (uint8_t)random_next(rng);
    if (engine_submit_fenced(h->engine, h->payload, HOLDER_PAYLOAD, &h->shown, &h->number) !=
        KEEL_OK)
        return;
    h->doing = DOING_FENCED;
    check_submit(h->world, h->engine->session, h->number, h->payload, HOLDER_PAYLOAD, &h->shown);
    export_submit(h->world, h->host.endpoint, h->engine->session, h->number, h->payload,
                  HOLDER_PAYLOAD);
    timeline_mark(h->world, TIMELINE_MESSAGE, h->host.endpoint, h->number, h->engine->session, 0);
}

static void begin(struct holder *h)
{
    const struct engine *e = h->engine;
    if (h->begun || e->phase != ENGINE_READY)
        return;
    h->begun = true;
    export_session(h->world, h->host.endpoint, e->options.session, e->session, e->epoch,
                   h->host.principal);
    timeline_mark(h->world, TIMELINE_SESSION, h->host.endpoint, e->session, e->epoch, e->resumed);
}

static void act(struct holder *h, uint64_t now)
{
    uint64_t *rng = &h->world->rng_hold;
    if (h->doing != DOING_NOTHING || h->engine->phase != ENGINE_READY || h->world->quiet ||
        h->ending || now < h->next_ns)
        return;
    h->next_ns = now + random_below(rng, HOLDER_PAUSE_MS * HOLDER_MS);
    h->which = (uint32_t)random_below(rng, HOLD_PATHS);
    struct holding *of = &h->of[h->which];
    uint64_t what = random_below(rng, 12);
    if (random_below(rng, HOLDER_STOPS) == 0 && knobs_on(&h->world->knobs, FAULT_GUEST_SLEEP) &&
        h->world->now_ns < h->world->knobs.faults_until_ns) {
        h->until_ns = h->world->now_ns + random_between(rng, 500, HOLDER_STOP_MAX_MS) * HOLDER_MS;
        world_fault(h->world, FAULT_GUEST_SLEEP);
    } else if (random_below(rng, HOLDER_MUTES) == 0 &&
               knobs_on(&h->world->knobs, FAULT_CUT_ONE_WAY) &&
               h->world->now_ns < h->world->knobs.faults_until_ns) {
        h->host.mute_until_ns =
            h->world->now_ns + random_between(rng, 500, HOLDER_STOP_MAX_MS) * HOLDER_MS;
        world_fault(h->world, FAULT_CUT_ONE_WAY);
    } else if (what == 0 && h->world->knobs.ends && random_below(rng, 20) == 0) {
        h->ending = true; /* and believes nothing any more */
        engine_end(h->engine, now);
    } else if (what < 4) {
        publish(h);
    } else if (of->node == 0) {
        open_node(h);
    } else if (what < 6) {
        other(h);
    } else if (of->mode == LOCK_FREE && of->wanted == LOCK_FREE) {
        acquire(h);
    } else if (what < 9) {
        leave(h);
    }
}

/* A session that was lost ends a life, and so does one that was ended. */
static void lives(struct holder *h)
{
    const struct engine *e = h->engine;
    if (e->phase == ENGINE_CLOSED) {
        export_end(h->world, h->host.endpoint, e->session, e->oldest - 1);
        timeline_mark(h->world, TIMELINE_SESSION_END, h->host.endpoint, e->session, e->oldest - 1,
                      0);
    }
    if (e->phase == ENGINE_FAILED || e->phase == ENGINE_CLOSED)
        live(h);
}

static void turn(struct holder *h)
{
    struct world *world = h->world;
    if (h->until_ns > world->now_ns) {
        world_event(world, h->until_ns, EVENT_HOLDER, h->index, 0);
        return;
    }
    uint64_t now = host_now_ns(&h->host);
    engine_tick(h->engine, now);
    begin(h);
    collect(h);
    act(h, now);
    engine_flush(h->engine, now);
    lives(h);
    host_arp(&h->host);
    check_locks(world);
    uint64_t due = engine_deadline(h->engine);
    uint64_t at = now + 5 * HOLDER_MS;
    if (due < at)
        at = due > now + 1000 ? due : now + 1000;
    uint64_t world_ns = sim_clock_world_ns(h->host.clock, at);
    if (h->event_ns <= world->now_ns || world_ns < h->event_ns) {
        h->event_ns = world_ns;
        world_event(world, world_ns, EVENT_HOLDER, h->index, 0);
    }
}

void holder_event(struct world *world, uint32_t index)
{
    turn(world->holder[index]);
}

void holder_frame(struct world *world, uint32_t index, uint8_t *bytes, uint32_t size)
{
    struct holder *h = world->holder[index];
    if (h->until_ns <= world->now_ns && host_frame(&h->host, bytes, size))
        turn(h);
}

void holder_kill(struct world *world, uint32_t index, bool lingers)
{
    struct holder *h = world->holder[index];
    struct lease lease = h->engine->lease;
    bool safe = h->engine->phase == ENGINE_READY && !h->ending &&
                lease_look(&lease, host_now_ns(&h->host)) == LEASE_SAFE;
    memcpy(h->before, h->of, sizeof(h->before));
    h->before_until_ns = lingers && safe ? lease.until_ns : 0;
    live(h);
}

void holder_sleep(struct world *world, uint32_t index, uint64_t until_ns)
{
    world->holder[index]->until_ns = until_ns;
    world_event(world, until_ns, EVENT_HOLDER, index, 0);
}

void holder_look(const struct holder *h, uint64_t *lives, uint64_t *asleep_until_ns)
{
    *lives = h->lives;
    *asleep_until_ns = h->until_ns;
}

uint64_t holder_generation(const struct holder *h, uint32_t which)
{
    return h->of[which].generation;
}

bool holder_settled(const struct holder *h)
{
    struct lease lease = h->engine->lease;
    return h->engine->phase == ENGINE_READY && h->engine->oldest == h->engine->next &&
           lease_look(&lease, host_now_ns(&h->host)) == LEASE_SAFE;
}

const char *holder_state(struct holder *h)
{
    const struct engine *e = h->engine;
    uint64_t now = host_now_ns(&h->host);
    snprintf(
        h->state, sizeof(h->state),
        "phase %d, session %lu epoch %lu, oldest %lu, next %lu, target %u, lease %d until %+.3f "
        "s, holds %u %u",
        (int)e->phase, (unsigned long)e->session, (unsigned long)e->epoch, (unsigned long)e->oldest,
        (unsigned long)e->next, e->target, (int)e->lease.state,
        ((double)e->lease.until_ns - (double)now) / 1e9, h->of[0].mode, h->of[1].mode);
    return h->state;
}

void holder_free(struct holder *h)
{
    if (h == NULL)
        return;
    host_free(&h->host);
    free(h);
}
