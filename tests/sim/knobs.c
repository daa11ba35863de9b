/* A seed's knobs: each fault is on or off and has a rate of its own, drawn from the seed. What is
 * off altogether in one seed leaves room for what only happens without it (swarm testing: Groce et
 * al. 2012). */
#include "tests/sim/world.h"

enum {
    KNOBS_MS = 1000000,
    KNOBS_S = 1000000000,
    KNOBS_PPM = 1000000,
    KNOBS_BEYOND_PPM =
        300000, /* what clocks drift where the bound, a part of it, is broken on purpose: a
                   keepalive that is held hides a third of a time to live */
    KNOBS_STRIKES = 0x57, /* names a stream of chances */
    KNOBS_LATER = 0x7a,   /* another: of what was added since */
    KNOBS_HOLDERS = 0x1c, /* and of who holds locks */
    KNOBS_STANDBYS = 0x5b /* and of who stands by */
};

static const char *const names[FAULT_COUNT] = {[FAULT_LOSS] = "loss",
                                               [FAULT_DUPLICATE] = "duplicate",
                                               [FAULT_REORDER] = "reorder",
                                               [FAULT_DELAY] = "delay",
                                               [FAULT_CLOG] = "clog",
                                               [FAULT_FLAP] = "flap",
                                               [FAULT_CUT] = "cut",
                                               [FAULT_CUT_ONE_WAY] = "cut-one-way",
                                               [FAULT_CRASH] = "crash",
                                               [FAULT_CRASH_ALL] = "crash-all",
                                               [FAULT_TORN_SECTOR] = "torn-sector",
                                               [FAULT_LOST_WRITE] = "lost-write",
                                               [FAULT_FAILED_WRITE] = "failed-write",
                                               [FAULT_SLOW_DRIVE] = "slow-drive",
                                               [FAULT_PAUSE] = "pause",
                                               [FAULT_CLOCK_DRIFT] = "clock-drift",
                                               [FAULT_CLOCK_STEP] = "clock-step",
                                               [FAULT_GUEST_KILL] = "guest-kill",
                                               [FAULT_GUEST_SLEEP] = "guest-sleep",
                                               [FAULT_OUTAGE] = "outage",
                                               [FAULT_TRANSFER_CUT] = "transfer-cut",
                                               [FAULT_ROT] = "rot",
                                               [FAULT_LATENT] = "latent",
                                               [FAULT_MISDIRECTED] = "misdirected",
                                               [FAULT_PHANTOM] = "phantom",
                                               [FAULT_STALE] = "stale",
                                               [FAULT_TRANSFER] = "transfer",
                                               [FAULT_MEMBERS] = "members",
                                               [FAULT_DISK_LOST] = "disk-lost",
                                               [FAULT_STRIKE_REST] = "strike-rest",
                                               [FAULT_STRIKE_RUNNING] = "strike-running"};

const char *fault_name(enum fault fault)
{
    return names[fault];
}

enum fault fault_find(const char *name)
{
    enum fault fault = 0;
    while (fault < FAULT_COUNT && strcmp(names[fault], name) != 0)
        fault++;
    return fault;
}

/* Small values are the usual ones, large ones the ends of the range. */
static uint64_t skewed(uint64_t *rng, uint64_t most)
{
    uint64_t thousandths = random_below(rng, 1001);
    return most / 1000 * (thousandths * thousandths) / 1000;
}

/* Every order of magnitude between them is as likely. */
static uint64_t scaled(uint64_t *rng, uint64_t low, uint64_t high)
{
    uint32_t doublings = 0;
    while (low << (doublings + 1) <= high)
        doublings++;
    uint64_t value = low << random_below(rng, doublings + 1);
    value += random_below(rng, value);
    return value < high ? value : high;
}

/* Everything is drawn, whatever is on: a fault that is taken away changes no other knob. */
static void draw_network(struct knobs *k, uint64_t *rng)
{
    k->loss_ppm = (uint32_t)skewed(rng, 300000);
    k->duplicate_ppm = (uint32_t)skewed(rng, 500000);
    k->delay_min_ns = 5000;
    k->delay_max_ns = scaled(rng, 20000, 100 * KNOBS_MS);
    k->clog_max_ns = scaled(rng, 10 * KNOBS_MS, 300 * KNOBS_MS);
    k->reorder = true;
}

static void draw_hosts(struct knobs *k, uint64_t *rng)
{
    static const uint32_t slots[] = {256, 256, 512, 1024, 2048};
    k->write_min_ns = 20000;
    k->write_max_ns = scaled(rng, 50000, 5 * KNOBS_MS);
    k->slow_factor = (uint32_t)scaled(rng, 2, 100);
    k->failed_write_ppm = 300;
    k->drift_ppm = (uint32_t)scaled(rng, 10, 10000);
    k->slots = slots[random_below(rng, 5)];
    k->turn_ns = scaled(rng, 2000, 30000);
    k->control_ns = random_between(rng, 1, 20) * KNOBS_MS;
    k->checkpoint_ms = (uint32_t)random_between(rng, 100, 2000);
}

static void draw_load(struct knobs *k, uint64_t *rng)
{
    k->rate = random_between(rng, 60, 400) / k->guests;
    k->ttl_ms = random_below(rng, 3) == 0 ? 2000 : 60000;
    k->days = random_below(rng, 3) == 0;
    k->ends = random_below(rng, 3) == 0;
}

/* From a stream of its own, in half of the seeds: the others are what they were without. */
static void draw_strikes(struct world *world)
{
    struct knobs *k = &world->knobs;
    uint64_t rng = world->seed * 0x9e3779b97f4a7c15ull + KNOBS_STRIKES;
    world->rng_strike = random_next(&rng);
    k->strike_every_ns = scaled(&rng, 200 * KNOBS_MS, 3000ull * KNOBS_MS);
    uint32_t scrub_pages_s = (uint32_t)scaled(&rng, 400, 8000);
    if (random_below(&rng, 2) == 0)
        return;
    k->scrub_pages_s = scrub_pages_s;
    for (uint32_t fault = FAULT_STRIKE_REST; fault <= FAULT_STRIKE_RUNNING; fault++)
        k->faults |= (uint64_t)(random_below(&rng, 4) != 0) << fault;
}

/* From a stream of their own, too. A ring whose checkpoints are far apart has its head held by the
 * older one (H14); operators who hand the office over all the time meet every other fault. */
static void draw_later(struct world *world)
{
    static const uint32_t shares[] = {1, 2, 2, 4, 6};
    struct knobs *k = &world->knobs;
    uint64_t rng = world->seed * 0x9e3779b97f4a7c15ull + KNOBS_LATER;
    k->checkpoint_share = shares[random_below(&rng, 5)];
    uint64_t every_ns = scaled(&rng, 100 * KNOBS_MS, 3000ull * KNOBS_MS);
    if (random_below(&rng, 2) == 0)
        k->transfer_every_ns = every_ns;
}

/* Who holds locks, in three of four seeds, mostly in sessions that can expire within one. */
static void draw_holders(struct world *world)
{
    struct knobs *k = &world->knobs;
    uint64_t rng = world->seed * 0x9e3779b97f4a7c15ull + KNOBS_HOLDERS;
    world->rng_hold = random_next(&rng);
    k->holders = (uint32_t)random_below(&rng, HOLDERS_MAX + 1);
    if (k->holders > 0 && random_below(&rng, 3) != 0)
        k->ttl_ms = 2000;
}

static void set_phases(struct knobs *k, uint64_t faults_until_ns)
{
    k->faults_until_ns = faults_until_ns;
    k->blackout_ns = faults_until_ns + (k->standbys == 0 ? 4 : 14) * (uint64_t)KNOBS_S;
    k->quiet_ns = k->blackout_ns + 5 * (uint64_t)KNOBS_S;
    k->end_ns = k->quiet_ns + 2 * (uint64_t)KNOBS_S;
}

/* What is off has the value at which it cannot happen. */
static void switch_off(struct knobs *k)
{
    if (!knobs_on(k, FAULT_LOSS))
        k->loss_ppm = 0;
    if (!knobs_on(k, FAULT_DUPLICATE))
        k->duplicate_ppm = 0;
    if (!knobs_on(k, FAULT_DELAY))
        k->delay_max_ns = 20000;
    k->reorder = k->reorder && knobs_on(k, FAULT_REORDER);
    if (!knobs_on(k, FAULT_CLOG))
        k->clog_max_ns = 0;
    if (!knobs_on(k, FAULT_SLOW_DRIVE))
        k->slow_factor = 1;
    if (!knobs_on(k, FAULT_FAILED_WRITE))
        k->failed_write_ppm = 0;
    if (!knobs_on(k, FAULT_CLOCK_DRIFT))
        k->drift_ppm = 0;
    if (!knobs_on(k, FAULT_MEMBERS))
        k->nodes = k->founders + k->standbys;
    if (!knobs_on(k, FAULT_TRANSFER))
        k->transfer_every_ns = 0;
    if (!knobs_on(k, FAULT_STRIKE_REST) && !knobs_on(k, FAULT_STRIKE_RUNNING))
        k->scrub_pages_s = 0;
    k->late_ns = 2 * k->delay_max_ns + k->clog_max_ns;
}

void world_draw(struct world *world, uint64_t seed)
{
    memset(world, 0, sizeof(*world));
    world->seed = seed;
    uint64_t rng = seed * 0x2545f4914f6cdd1dull + 1;
    world->rng_net = random_next(&rng);
    world->rng_disk = random_next(&rng);
    world->rng_fault = random_next(&rng);
    world->rng_start = random_next(&rng);
    struct knobs *k = &world->knobs;
    static const uint32_t sizes[] = {3, 3, 3, 5, 5, 7};
    k->nodes = sizes[random_below(&rng, 6)];
    k->founders = k->nodes;
    k->nodes += (uint32_t)random_below(&rng, 3);
    if (k->nodes > NODES_MAX)
        k->nodes = NODES_MAX;
    k->guests = (uint32_t)random_between(&rng, 1, 3);
    for (uint32_t fault = 0; fault < FAULT_STRIKE_REST; fault++)
        k->faults |= (uint64_t)(random_below(&rng, 4) != 0) << fault;
    if (random_below(&rng, 3) != 0) /* a failed write stops its replica: rarer than the rest */
        k->faults &= ~(1ull << FAULT_FAILED_WRITE);
    draw_network(k, &rng);
    draw_hosts(k, &rng);
    draw_load(k, &rng);
    k->fault_every_ns = scaled(&rng, 100 * KNOBS_MS, 3000ull * KNOBS_MS);
    /* The smallest window there is: what fills one shows there first (H8). */
    k->window_pages = random_below(&rng, 4) == 0 ? 64 : 256;
    set_phases(k, 20 * (uint64_t)KNOBS_S);
    draw_strikes(world);
    draw_later(world);
    draw_holders(world);
    switch_off(k);
}

/* Who is added and removed by operators, or formatted anew, is nobody's to replace. */
static void draw_standbys(struct world *world)
{
    struct knobs *k = &world->knobs;
    uint64_t rng = world->seed * 0x9e3779b97f4a7c15ull + KNOBS_STANDBYS;
    world->heal.rng = random_next(&rng);
    k->faults &= ~(1ull << FAULT_MEMBERS | 1ull << FAULT_DISK_LOST | 1ull << FAULT_STRIKE_REST |
                   1ull << FAULT_STRIKE_RUNNING);
    k->standbys = (uint32_t)random_between(&rng, 1, 2);
    if (k->founders + k->standbys > NODES_MAX)
        k->founders = NODES_MAX - k->standbys;
    k->dead_ms = (uint32_t)random_between(&rng, 1000, 2500);
    k->stabilise_ms = (uint32_t)random_between(&rng, 1000, 3000);
    k->gone_every_ns = scaled(&rng, 200ull * KNOBS_MS, 4000ull * KNOBS_MS);
}

void world_limit(struct world *world, const struct limits *limits)
{
    struct knobs *k = &world->knobs;
    k->faults &= ~limits->without;
    if (limits->nodes != 0) {
        uint32_t spare = k->nodes - k->founders;
        k->founders = limits->nodes;
        k->nodes = limits->nodes + spare < NODES_MAX ? limits->nodes + spare : NODES_MAX;
    }
    if (limits->slots != 0)
        k->slots = limits->slots;
    if (limits->guests != 0)
        k->guests = limits->guests;
    if (limits->no_holders)
        k->holders = 0;
    if (limits->beyond != 0) { /* all that the check of two holders needs */
        k->beyond = limits->beyond;
        k->drift_ppm = KNOBS_BEYOND_PPM;
        k->holders = HOLDERS_MAX;
        k->ttl_ms = 2000;
    }
    if (limits->standbys)
        draw_standbys(world);
    if (limits->faults_ms != 0 || limits->standbys)
        set_phases(k, limits->faults_ms != 0 ? limits->faults_ms * KNOBS_MS : k->faults_until_ns);
    switch_off(k);
}

void world_speed(struct world *world, bool faults)
{
    struct knobs *k = &world->knobs;
    k->nodes = k->founders = 3;
    k->turn_ns = 10000;
    k->control_ns = 10 * KNOBS_MS;
    k->checkpoint_ms = 1000;
    k->slots = 512;
    k->checkpoint_share = 0; /* the default */
    k->window_pages = 256;
    k->holders = 0; /* the speed is that of the message path's world */
    if (faults) {
        k->faults = ~0ull >> (64 - FAULT_COUNT);
        k->strike_every_ns = 1000 * KNOBS_MS;
        k->transfer_every_ns = 1000 * KNOBS_MS;
        k->scrub_pages_s = 0;
        k->guests = 2;
        k->rate = 100;
        k->loss_ppm = k->duplicate_ppm = KNOBS_PPM / 20;
        k->delay_max_ns = KNOBS_MS;
        k->reorder = true;
        k->clog_max_ns = 100 * KNOBS_MS;
        k->slow_factor = 10;
        k->failed_write_ppm = 100;
        k->drift_ppm = 1000;
        k->fault_every_ns = 500 * KNOBS_MS;
        switch_off(k);
        return;
    }
    k->faults = 0;
    k->scrub_pages_s = 0;
    k->guests = GUESTS_MAX;
    k->rate = 20000;
    k->ttl_ms = 60000;
    k->days = k->ends = false;
    k->slots = 4096;
    switch_off(k);
    k->write_max_ns = 100000;
    k->faults_until_ns = 1;
    k->quiet_ns = 2 * (uint64_t)KNOBS_S;
    k->end_ns = 3 * (uint64_t)KNOBS_S;
    k->blackout_ns = 2 * k->end_ns; /* never */
}
