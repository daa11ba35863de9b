/* The simulated switch: loss, copies, delay, order; links that are cut, clogged, or flap. */
#include "tests/sim/reached.h"
#include "tests/sim/timeline.h"

#include "dataplane/crc32c.h"

enum { NETWORK_MS = 1000000, NETWORK_LATE_NS = 1000000, NETWORK_CUTS = 5 };

/* --- frames
 * ----------------------------------------------------------------------------------------- */

static bool passes(const struct world *world, uint32_t from, uint32_t to)
{
    const struct link *link = &world->link[from][to];
    if (world->cut[from][to])
        return false;
    return world->now_ns >= link->flap_until_ns || world->now_ns / link->flap_ns % 2 == 0;
}

static uint64_t arrival(struct world *world, uint32_t from, uint32_t to)
{
    const struct knobs *k = &world->knobs;
    struct link *link = &world->link[from][to];
    uint64_t delay = random_between(&world->rng_net, k->delay_min_ns, k->delay_max_ns);
    for (int end = 0; end < 2; end++)
        if (world->link_factor[end == 0 ? from : to] > 1)
            delay *= world->link_factor[end == 0 ? from : to];
    uint64_t at = world->now_ns + delay;
    if (delay > NETWORK_LATE_NS)
        world_fault(world, FAULT_DELAY);
    if (at < link->clog_until_ns)
        at = link->clog_until_ns;
    if (at < link->at_ns) {
        if (k->reorder)
            world_fault(world, FAULT_REORDER);
        else
            at = link->at_ns;
    }
    link->at_ns = at;
    return at;
}

static void one_copy(struct world *world, uint32_t from, uint32_t to, const uint8_t *bytes,
                     uint32_t size)
{
    struct knobs *k = &world->knobs;
    uint64_t *rng = &world->rng_net;
    if (!passes(world, from, to)) {
        timeline_frame(world, from, to, bytes, size, world->now_ns, TIMELINE_CUT_OFF);
        return;
    }
    if (random_chance(rng, k->loss_ppm)) {
        world_fault(world, FAULT_LOSS);
        timeline_frame(world, from, to, bytes, size, world->now_ns, TIMELINE_LOST);
        return;
    }
    uint64_t at = arrival(world, from, to);
    timeline_frame(world, from, to, bytes, size, at, TIMELINE_ARRIVED);
    world_frame(world, at, to, bytes, size);
    if (random_chance(rng, k->duplicate_ppm)) {
        world_fault(world, FAULT_DUPLICATE);
        at += random_below(rng, k->delay_max_ns);
        timeline_frame(world, from, to, bytes, size, at, TIMELINE_DUPLICATE);
        world_frame(world, at, to, bytes, size);
    }
}

static bool exists(const struct world *world, uint32_t endpoint)
{
    if (endpoint >= ENDPOINT_HOLDER)
        return endpoint - ENDPOINT_HOLDER < world->knobs.holders;
    return endpoint >= ENDPOINT_GUEST ? endpoint - ENDPOINT_GUEST < world->knobs.guests
                                      : endpoint >= 1 && endpoint <= world->knobs.nodes;
}

void net_send(struct world *world, uint32_t from, const uint8_t *bytes, uint32_t size)
{
    ENSURE(size <= PORT_FRAME_MAX);
    world_trace(world, from, crc32c(bytes, size));
    check_net_sent(world, from, bytes, size);
    REACHED(sent, world, from, bytes, size);
    if ((bytes[0] & 1) && bytes[0] != 0xff)
        return; /* a line's group: the checker hears it at the replica's port, nobody else joins */
    if (bytes[0] & 1) {
        for (uint32_t to = 1; to < ENDPOINTS; to++)
            if (exists(world, to) && to != from)
                one_copy(world, from, to, bytes, size);
        return;
    }
    uint32_t to = bytes[5];
    if (bytes[0] == 2 && to < ENDPOINTS && exists(world, to) && to != from)
        one_copy(world, from, to, bytes, size);
}

/* --- links
 * ------------------------------------------------------------------------------------------ */

static void cut_link(struct world *world, uint32_t a, uint32_t b, bool one_way)
{
    world->cut[a][b] = true;
    if (!one_way)
        world->cut[b][a] = true;
}

/* Between two sides: any; a leader alone with the guests (it appends, and cannot commit); one
 * replica alone. */
static void cut_sides(struct world *world, uint32_t side, bool one_way)
{
    for (uint32_t a = 1; a < ENDPOINTS; a++)
        for (uint32_t b = 1; b < ENDPOINTS; b++)
            if ((side >> a & 1) && !(side >> b & 1))
                cut_link(world, a, b, one_way);
}

/* One pair, or every third link in each direction: who does not reach each other has common
 * friends. */
static void cut_some(struct world *world, bool pair, bool one_way)
{
    uint64_t *rng = &world->rng_fault;
    uint32_t nodes = world->knobs.nodes;
    uint32_t a = (uint32_t)random_between(rng, 1, nodes), b = a % nodes + 1;
    if (pair) {
        cut_link(world, a, b, one_way);
        return;
    }
    for (a = 1; a <= nodes; a++)
        for (b = 1; b <= nodes; b++)
            if (a != b && random_below(rng, 3) == 0)
                cut_link(world, a, b, one_way);
}

void net_cut(struct world *world, bool one_way)
{
    uint64_t *rng = &world->rng_fault;
    uint32_t side = (uint32_t)random_next(rng); /* bit: on which side an endpoint is */
    switch (random_below(rng, NETWORK_CUTS)) {
    case 0:
        cut_sides(world, side, one_way);
        break;
    case 1:
        cut_sides(world, script_leaders(world) | ~0u << ENDPOINT_GUEST, one_way);
        break;
    case 2:
        cut_sides(world, 1u << random_between(rng, 1, world->knobs.nodes), one_way);
        break;
    case 3:
        cut_some(world, true, one_way);
        break;
    default:
        cut_some(world, false, one_way);
        break;
    }
    world_event(world, world->now_ns + random_between(rng, 10, 2500) * NETWORK_MS, EVENT_HEAL, 0,
                0);
    world_fault(world, one_way ? FAULT_CUT_ONE_WAY : FAULT_CUT);
}

static struct link *any_link(struct world *world)
{
    uint64_t *rng = &world->rng_fault;
    uint32_t a = (uint32_t)random_between(rng, 1, world->knobs.nodes);
    uint32_t b = (uint32_t)random_between(rng, 1, world->knobs.nodes);
    return &world->link[a][b];
}

void net_clog(struct world *world)
{
    any_link(world)->clog_until_ns =
        world->now_ns + random_between(&world->rng_fault, NETWORK_MS, world->knobs.clog_max_ns);
    world_fault(world, FAULT_CLOG);
}

void net_clog_to(struct world *world, uint32_t id, uint64_t until_ns)
{
    for (uint32_t from = 1; from <= world->knobs.nodes; from++)
        if (from != id && world->link[from][id].clog_until_ns < until_ns)
            world->link[from][id].clog_until_ns = until_ns;
    world_fault(world, FAULT_CLOG);
}

void net_flap(struct world *world)
{
    uint64_t *rng = &world->rng_fault;
    struct link *link = any_link(world);
    link->flap_ns = random_between(rng, 1, 200) * NETWORK_MS;
    link->flap_until_ns = world->now_ns + random_between(rng, 100, 3000) * NETWORK_MS;
    world_fault(world, FAULT_FLAP);
}

void net_heal(struct world *world)
{
    memset(world->cut, 0, sizeof(world->cut));
    for (uint32_t a = 1; a < ENDPOINTS; a++)
        for (uint32_t b = 1; b < ENDPOINTS; b++)
            world->link[a][b].flap_until_ns = 0;
    check_live_healed(world);
}
