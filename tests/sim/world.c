#include "tests/sim/reached.h"
#include "tests/sim/timeline.h"

#include "consensus/machine/hash.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

_Noreturn void ensure_failed(const char *file, int line, const char *condition)
{
    fprintf(stderr, "%s:%d: ENSURE failed: %s\n", file, line, condition);
    timeline_aborted(file, line, condition);
    abort();
}

/* SplitMix64 (Steele, Lea, Flood 2014). */
uint64_t random_next(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15ull;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
}

uint64_t random_below(uint64_t *state, uint64_t bound)
{
    return bound == 0 ? 0 : random_next(state) % bound;
}

bool random_chance(uint64_t *state, uint32_t ppm)
{
    return ppm != 0 && random_below(state, 1000000) < ppm;
}

uint64_t random_between(uint64_t *state, uint64_t low, uint64_t high)
{
    return low + random_below(state, high - low + 1);
}

void world_trace(struct world *world, uint64_t a, uint64_t b)
{
    uint64_t mixed = world->trace ^ (a * 0x9e3779b97f4a7c15ull) ^ (b + world->now_ns);
    world->trace = random_next(&mixed);
}

void world_fault(struct world *world, enum fault fault)
{
    world->count[fault]++;
    world->last_fault_ns = world->now_ns;
    world->committed_at_last_fault = check_committed(world);
    world_trace(world, 0xfa, fault);
    if (fault <= FAULT_DELAY)
        return; /* the frames themselves show it */
    world->disturbed_ns = world->now_ns;
    timeline_mark(world, TIMELINE_FAULT, 0, fault, 0, 0);
}

void world_fail(struct world *world, const char *format, ...)
{
    if (world->failure[0] != 0)
        return;
    va_list arguments;
    va_start(arguments, format);
    int used = snprintf(world->failure, sizeof(world->failure),
                        "at %.6f s: ", (double)world->now_ns / 1e9);
    vsnprintf(world->failure + used, sizeof(world->failure) - (size_t)used, format, arguments);
    va_end(arguments);
    timeline_text(world, TIMELINE_VIOLATION, 0, world->failure);
    for (uint32_t id = 1; world->verbose && id <= world->knobs.nodes; id++)
        node_show(world, &world->node[id]);
}

void world_day_name(const struct world *world, char name[KEEL_DAY_NAME_SIZE + 1])
{
    char text[40];
    snprintf(text, sizeof(text), "SIM-%-16lu", (unsigned long)world->day_number + 1);
    memcpy(name, text, KEEL_DAY_NAME_SIZE);
    name[KEEL_DAY_NAME_SIZE] = 0;
}

/* --- the queue: a binary heap by (time, sequence)
 * ---------------------------------------------------- */

static bool before(const struct event *a, const struct event *b)
{
    return a->at_ns != b->at_ns ? a->at_ns < b->at_ns : a->sequence < b->sequence;
}

static void push(struct world *world, struct event event)
{
    if (world->heap_count == world->heap_cap) {
        world->heap_cap = world->heap_cap == 0 ? 1024 : world->heap_cap * 2;
        world->heap = realloc(world->heap, world->heap_cap * sizeof(*world->heap));
        ENSURE(world->heap != NULL);
    }
    event.sequence = world->sequence++;
    uint32_t at = world->heap_count++;
    while (at > 0 && before(&event, &world->heap[(at - 1) / 2])) {
        world->heap[at] = world->heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    world->heap[at] = event;
}

static struct event pop(struct world *world)
{
    struct event top = world->heap[0], last = world->heap[--world->heap_count];
    uint32_t at = 0;
    for (;;) {
        uint32_t child = 2 * at + 1;
        if (child >= world->heap_count)
            break;
        if (child + 1 < world->heap_count && before(&world->heap[child + 1], &world->heap[child]))
            child++;
        if (!before(&world->heap[child], &last))
            break;
        world->heap[at] = world->heap[child];
        at = child;
    }
    if (world->heap_count > 0)
        world->heap[at] = last;
    return top;
}

void world_event(struct world *world, uint64_t at_ns, enum event_kind kind, uint32_t target,
                 uint64_t argument)
{
    push(world, (struct event){.at_ns = at_ns < world->now_ns ? world->now_ns : at_ns,
                               .kind = kind,
                               .target = target,
                               .argument = argument});
}

void world_frame(struct world *world, uint64_t at_ns, uint32_t endpoint, const uint8_t *bytes,
                 uint32_t size)
{
    uint8_t *copy = malloc(size);
    ENSURE(copy != NULL);
    memcpy(copy, bytes, size);
    push(world,
         (struct event){
             .at_ns = at_ns, .kind = EVENT_FRAME, .target = endpoint, .bytes = copy, .size = size});
}

/* --- one seed
 * ---------------------------------------------------------------------------------------- */

static void make_genesis(struct world *world)
{
    struct genesis *g = &world->genesis;
    memset(g, 0, sizeof(*g));
    genesis_defaults(g);
    g->cluster_id = random_next(&world->rng_start) | 1;
    char day[KEEL_DAY_NAME_SIZE + 1];
    world_day_name(world, day);
    memcpy(g->day, day, KEEL_DAY_NAME_SIZE);
    g->ttl_max_ms = world->knobs.ttl_ms;
    /* H20: rho bounds every clock, unless a control of the check wants two holders. */
    if (g->rho_ppm < world->knobs.drift_ppm)
        g->rho_ppm = world->knobs.drift_ppm;
    if (world->knobs.beyond != 0)
        g->rho_ppm = world->knobs.drift_ppm / world->knobs.beyond;
    g->session_retain_ms = 3000; /* ended sessions are forgotten within a seed */
    g->sessions_max = 32;
    g->nodes_max = 16;
    g->handles_max = 64;
    g->handles_per_session = 8;
    g->waiters_max = 16;
    g->sessions_per_principal = 16;
    for (uint32_t id = 1; id <= world->knobs.founders; id++) {
        g->founder[id].incarnation = random_next(&world->rng_start) | 1;
        g->founder[id].ip = 0x0a000000u + id;
        g->founder[id].port = 7400;
    }
}

/* A frame has come: to a client, or to a replica that is up. */
static void deliver(struct world *world, const struct event *event)
{
    uint32_t to = event->target;
    if (to < ENDPOINT_GUEST && !world->node[to].up)
        return;
    check_net_arrived(world, to, event->bytes, event->size);
    REACHED(arrived, world, to, event->bytes, event->size);
    if (to >= ENDPOINT_HOLDER) {
        holder_frame(world, to - ENDPOINT_HOLDER, event->bytes, event->size);
    } else if (to >= ENDPOINT_GUEST) {
        guest_frame(world, to - ENDPOINT_GUEST, event->bytes, event->size);
    } else {
        if (sim_port_is_request(event->bytes, event->size))
            export_frame(world, event->bytes, event->size);
        sim_port_deliver(world->node[to].port, event->bytes, event->size);
        node_wake(world, &world->node[to], world->now_ns);
    }
}

static void dispatch(struct world *world, struct event *event)
{
    switch ((enum event_kind)event->kind) {
    case EVENT_TURN:
        break;
    case EVENT_FRAME:
        deliver(world, event);
        free(event->bytes);
        break;
    case EVENT_GUEST:
        guest_event(world, event->target);
        break;
    case EVENT_HOLDER:
        holder_event(world, event->target);
        break;
    case EVENT_SCRIPT:
        script_turn(world);
        break;
    case EVENT_RESTART: {
        const struct disk_plan *plan = &world->plan;
        bool away = (plan->node == event->target && world->now_ns < plan->back_ns) ||
                    world->heal.gone[event->target];
        if (!world->node[event->target].up && !away)
            node_start(world, &world->node[event->target]);
        break;
    }
    case EVENT_CRASH: {
        struct node *node = &world->node[event->target];
        if (node->up && node->starts == event->argument &&
            world->now_ns < world->knobs.faults_until_ns)
            script_power_lost(world, node);
        break;
    }
    case EVENT_HEAL:
        script_heal(world);
        break;
    case EVENT_CALM:
        script_calm(world);
        break;
    case EVENT_BLACKOUT:
        script_blackout(world);
        break;
    case EVENT_DAY:
        script_day(world);
        break;
    case EVENT_READ:
        script_read(world, event->target == 0 ? NULL : &world->node[event->target]);
        break;
    case EVENT_TRANSFER:
        script_transfer(world);
        break;
    case EVENT_MEMBERS:
        operators_turn(world);
        break;
    case EVENT_LIVE:
        check_live(world, event->argument);
        break;
    case EVENT_QUIET:
        world->quiet = true;
        break;
    case EVENT_STRIKE:
        if (world->strike != NULL)
            strike_now(world);
        else
            strikes_turn(world);
        break;
    case EVENT_REPLACE:
        operators_replace(world, &world->node[event->target]);
        break;
    case EVENT_STANDBY:
        heal_prepare(world);
        break;
    case EVENT_GONE:
        heal_lose(world);
        break;
    case EVENT_BACK:
        heal_back(world, event->target);
        break;
    }
}

static void begin(struct world *world)
{
    struct knobs *k = &world->knobs;
    if (k->founders == 0 || k->founders > k->nodes)
        k->founders = k->nodes;
    make_genesis(world);
    check_init(world);
    for (uint32_t id = 1; id <= k->nodes; id++) {
        struct node *node = &world->node[id];
        node->id = id;
        node->turn_at_ns = UINT64_MAX;
        int64_t drift = k->drift_ppm == 0
                            ? 0
                            : (int64_t)random_between(&world->rng_start, 0, 2 * k->drift_ppm) -
                                  (int64_t)k->drift_ppm;
        if (k->beyond != 0)
            drift = (int64_t)k->drift_ppm; /* fast, and so of little patience */
        node->clock =
            sim_clock_open(world, drift, (int64_t)random_below(&world->rng_start, 1000000));
        if (drift != 0)
            world->count[FAULT_CLOCK_DRIFT]++;
        node_format(world, node);
        world_event(world, random_below(&world->rng_start, 50) * 1000000, EVENT_RESTART, id, 0);
    }
    if (k->slow_factor > 1) {
        world->node[random_between(&world->rng_start, 1, k->nodes)].media.slow_factor =
            k->slow_factor;
        world->count[FAULT_SLOW_DRIVE]++;
    }
    for (uint32_t i = 0; i < k->guests; i++)
        guest_init(world, i);
    for (uint32_t i = 0; i < k->holders; i++)
        holder_init(world, i);
    world_event(world, 1000000000ull, EVENT_SCRIPT, 0, 0);
    world_event(world, 1000000000ull, EVENT_READ, 0, 0);
    if (k->transfer_every_ns != 0)
        world_event(world, 1000000000ull, EVENT_TRANSFER, 0, 0);
    world_event(world, k->faults_until_ns, EVENT_CALM, 0, 0);
    world_event(world, k->blackout_ns, EVENT_BLACKOUT, 0, 0);
    world_event(world, k->quiet_ns, EVENT_QUIET, 0, 0);
    operators_begin(world);
    strikes_begin(world);
    heal_begin(world);
    if (k->days)
        world_event(world, 500000000ull, EVENT_DAY, 0, 0);
}

/* Turns are most of what happens, and each node has one next turn at most: they stand outside the
 * queue, whose events go first at an equal time; then the lowest id. */
static struct node *next_turn(struct world *world)
{
    struct node *first = &world->node[1];
    for (uint32_t id = 2; id <= world->knobs.nodes; id++)
        if (world->node[id].turn_at_ns < first->turn_at_ns)
            first = &world->node[id];
    return first;
}

/* One event or turn; false: the seed's time is over. */
static bool step(struct world *world)
{
    struct node *node = next_turn(world);
    bool turn = world->heap_count == 0 || node->turn_at_ns < world->heap[0].at_ns;
    uint64_t at_ns = turn ? node->turn_at_ns : world->heap[0].at_ns;
    if (at_ns > world->knobs.end_ns)
        return false;
    ENSURE(at_ns >= world->now_ns);
    world->now_ns = at_ns;
    world->steps++;
    if (turn) {
        world_trace(world, EVENT_TURN, node->id);
        node_turn(world, node);
        timeline_event(world,
                       &(struct event){.at_ns = at_ns, .kind = EVENT_TURN, .target = node->id});
        return true;
    }
    struct event event = pop(world);
    world_trace(world, event.kind, event.target);
    dispatch(world, &event);
    timeline_event(world, &event);
    return true;
}

bool world_run(struct world *world)
{
    begin(world);
    while (world->failure[0] == 0 && step(world))
        if (world->onlooker.event != NULL)
            world->onlooker.event(world, world->onlooker.context);
    if (world->failure[0] == 0)
        check_end(world);
    for (uint32_t i = 0; i < world->knobs.guests && world->failure[0] == 0; i++)
        if (!guest_settled(world->guest[i]))
            world_fail(world, "guest %u is still unanswered, long after the last fault: %s", i,
                       guest_state(world->guest[i]));
    for (uint32_t i = 0; i < world->knobs.holders && world->failure[0] == 0; i++)
        if (!holder_settled(world->holder[i]))
            world_fail(world, "holder %u is not safe, long after the last fault: %s", i,
                       holder_state(world->holder[i]));
    if (world->export != NULL)
        for (uint32_t id = 1; id <= world->knobs.nodes; id++)
            if (world->node[id].up)
                node_crash(world, &world->node[id]);
    return world->failure[0] == 0;
}

void world_free(struct world *world)
{
    for (uint32_t i = 0; i < world->heap_count; i++)
        free(world->heap[i].bytes);
    free(world->heap);
    for (uint32_t id = 1; id <= NODES_MAX; id++)
        node_free(&world->node[id]);
    for (uint32_t i = 0; i < GUESTS_MAX; i++)
        guest_free(world->guest[i]);
    for (uint32_t i = 0; i < HOLDERS_MAX; i++)
        holder_free(world->holder[i]);
    check_locks_free(world);
    check_free(world);
}
