/* The faults of a seed: crashes, cuts, pauses, clocks, guests, rot; then calm, then all go dark at
 * once. */
#include "tests/sim/reached.h"
#include "tests/sim/timeline.h"

#include "consensus/wire/entry.h"

#include <stdio.h>

enum {
    SCRIPT_MS = 1000000,
    SCRIPT_DAY_MS = 300,
    SCRIPT_DAY_DEATHS = 4,
    SCRIPT_DAY_DIES_MS = 8,
    SCRIPT_READ_MS = 40,
    SCRIPT_ELECTED_US = 13, /* doublings of a microsecond */
    SCRIPT_TAKEN_DEATHS = 4,
    SCRIPT_WORD_READS = 4,
    SCRIPT_WORD_MS = 100,
    SCRIPT_KINDS = 13,
    SCRIPT_PAUSE_MS = 10000
};

static bool wanted(const struct world *world, enum fault fault)
{
    return knobs_on(&world->knobs, fault);
}

void script_power_lost(struct world *world, struct node *node)
{
    uint64_t *rng = &world->rng_fault;
    node_crash(world, node);
    if (random_below(rng, 2) == 0)
        drive_faults_rest(world, node);
    world_event(world, world->now_ns + random_between(rng, 1, 1500) * SCRIPT_MS, EVENT_RESTART,
                node->id, 0);
}

/* Half of the crashes wait for a write in flight: those tear. */
static void crash(struct world *world)
{
    uint64_t *rng = &world->rng_fault;
    uint32_t id = (uint32_t)random_between(rng, 1, world->knobs.nodes);
    bool all = wanted(world, FAULT_CRASH_ALL) && random_below(rng, 8) == 0;
    bool at_write = random_below(rng, 2) == 0;
    for (uint32_t i = 1; i <= world->knobs.nodes; i++) {
        struct node *node = &world->node[i];
        if ((!all && i != id) || !node->up)
            continue;
        if (at_write)
            node->crash_on_write = true;
        else
            script_power_lost(world, node);
    }
    world_fault(world, all ? FAULT_CRASH_ALL : FAULT_CRASH);
}

/* One replica is out for seconds; small rings have been overwritten by then. */
static void outage(struct world *world)
{
    uint64_t *rng = &world->rng_fault;
    struct node *node = &world->node[random_between(rng, 1, world->knobs.nodes)];
    uint64_t until = world->now_ns + random_between(rng, 1500, 6000) * SCRIPT_MS;
    if (!node->up)
        return;
    node_crash(world, node);
    if (until > world->knobs.faults_until_ns)
        until = world->knobs.faults_until_ns;
    world_event(world, until, EVENT_RESTART, node->id, 0);
    world_fault(world, FAULT_OUTAGE);
}

void script_chunk(struct world *world, struct node *node)
{
    uint64_t *rng = &world->rng_fault;
    world->transfers++;
    if (!wanted(world, FAULT_TRANSFER_CUT) || world->now_ns >= world->knobs.faults_until_ns ||
        world->now_ns < world->spared_until_ns || random_below(rng, 8) != 0)
        return;
    if (random_below(rng, 2) == 0)
        for (uint32_t id = 1; id <= world->knobs.nodes; id++)
            if (world->node[id].up && world->node[id].replica->raft.role == RAFT_LEADER)
                node = &world->node[id];
    world_event(world, world->now_ns, EVENT_CRASH, node->id, node->starts);
    world_fault(world, FAULT_TRANSFER_CUT);
}

uint32_t script_leaders(const struct world *world)
{
    uint32_t mask = 0;
    for (uint32_t id = 1; id <= world->knobs.nodes; id++)
        if (world->node[id].up && world->node[id].replica->raft.role == RAFT_LEADER)
            mask |= 1u << id;
    return mask;
}

static void guest_fault(struct world *world, enum fault fault)
{
    uint64_t *rng = &world->rng_fault;
    uint32_t guests = world->knobs.guests;
    uint32_t index = (uint32_t)random_below(rng, guests + world->knobs.holders);
    uint64_t until_ns = world->now_ns + random_between(rng, 100, 5000) * SCRIPT_MS;
    if (index >= guests && fault == FAULT_GUEST_KILL)
        holder_kill(world, index - guests, random_below(rng, 2) == 0);
    else if (index >= guests)
        holder_sleep(world, index - guests, until_ns);
    else if (fault == FAULT_GUEST_KILL)
        guest_kill(world, index);
    else
        guest_sleep(world, index, until_ns);
    world_fault(world, fault);
}

/* 1 ms to 10 s, each order of magnitude as likely. */
static uint64_t pause_ns(uint64_t *rng)
{
    uint64_t ms = 1ull << random_below(rng, 14);
    ms += random_below(rng, ms);
    return (ms > SCRIPT_PAUSE_MS ? SCRIPT_PAUSE_MS : ms) * SCRIPT_MS;
}

static void node_fault(struct world *world, enum fault fault)
{
    uint64_t *rng = &world->rng_fault;
    struct node *node = &world->node[random_between(rng, 1, world->knobs.nodes)];
    if (fault == FAULT_PAUSE)
        node->paused_until_ns = world->now_ns + pause_ns(rng);
    else {
        sim_clock_step(node->clock, (int64_t)random_below(rng, 7200000000000ull) - 3600000000000ll);
        timeline_text(world, TIMELINE_NOTE, node->id, "its clock is set");
    }
    world_fault(world, fault);
}

/* An operator, or two: half of the requests are followed by another before the first can be done.
 */
static void transfer(struct world *world, uint64_t *rng)
{
    for (uint32_t id = 1; id <= world->knobs.nodes; id++) {
        if ((script_leaders(world) >> id & 1) == 0)
            continue;
        for (uint64_t asks = random_between(rng, 1, 2); asks > 0; asks--)
            node_transfer(&world->node[id],
                          (uint8_t)(random_below(rng, 3) == 0
                                        ? 0
                                        : random_between(rng, 1, world->knobs.nodes)));
        world_fault(world, FAULT_TRANSFER);
    }
}

/* One after the other, by a stream of their own. One of four meets a server that stands still. */
void script_transfer(struct world *world)
{
    const struct knobs *k = &world->knobs;
    uint64_t rng = world->seed ^ world->now_ns, every_ns = k->transfer_every_ns;
    if (world->now_ns >= k->faults_until_ns)
        return;
    world_event(world, world->now_ns + random_between(&rng, every_ns / 4, every_ns * 7 / 4),
                EVENT_TRANSFER, 0, 0);
    if (world->now_ns < world->spared_until_ns)
        return;
    transfer(world, &rng);
    struct node *node = &world->node[random_between(&rng, 1, k->nodes)];
    if (!wanted(world, FAULT_PAUSE) || random_below(&rng, 4) != 0)
        return;
    node->paused_until_ns = world->now_ns + pause_ns(&rng);
    world_fault(world, FAULT_PAUSE);
}

/* Somebody asks any replica for a status that must be true, also one that is paused. */
void script_read(struct world *world, struct node *node)
{
    uint64_t *rng = &world->rng_fault;
    if (node == NULL) {
        world_event(world, world->now_ns + random_between(rng, 1, SCRIPT_READ_MS) * SCRIPT_MS,
                    EVENT_READ, 0, 0);
        node = &world->node[random_between(rng, 1, world->knobs.nodes)];
    }
    if (node->up)
        node_read(world, node);
}

/* Who looked for a leader asks the new one at once, which may not know yet what is committed. */
void script_elected(struct world *world, const struct node *node)
{
    uint64_t rng = world->seed ^ world->now_ns;
    uint64_t soon_ns = 1000ull << random_below(&rng, SCRIPT_ELECTED_US);
    world_event(world, world->now_ns + random_below(&rng, soon_ns), EVENT_READ, node->id, 0);
}

/* Whoever asks the old leader now, before it has heard of the new one, must not be told what was
 * true once. Half of them hear of nothing for a while. */
void script_word(struct world *world, const struct node *node)
{
    uint64_t rng = world->seed ^ world->now_ns;
    const struct knobs *k = &world->knobs;
    for (uint32_t i = 0; i < SCRIPT_WORD_READS; i++)
        world_event(world, world->now_ns + random_below(&rng, SCRIPT_WORD_MS * SCRIPT_MS),
                    EVENT_READ, node->id, 0);
    if (!wanted(world, FAULT_CLOG) || world->now_ns >= k->faults_until_ns ||
        world->now_ns < world->spared_until_ns || random_below(&rng, 2) == 0)
        return;
    net_clog_to(world, node->id, world->now_ns + random_between(&rng, SCRIPT_MS, k->clog_max_ns));
}

/* The first page of the new stretch may be its last for now. */
void script_taken_over(struct world *world, struct node *node)
{
    uint64_t rng = world->seed ^ world->now_ns;
    if (!wanted(world, FAULT_CRASH) || world->now_ns >= world->knobs.faults_until_ns ||
        world->now_ns < world->spared_until_ns || random_below(&rng, SCRIPT_TAKEN_DEATHS) != 0)
        return;
    node->crash_on_write = true;
    world_fault(world, FAULT_CRASH);
}

void script_turn(struct world *world)
{
    uint64_t *rng = &world->rng_fault;
    struct knobs *k = &world->knobs;
    if (world->now_ns >= k->faults_until_ns)
        return;
    world_event(world,
                world->now_ns +
                    random_between(rng, k->fault_every_ns / 4, k->fault_every_ns * 7 / 4),
                EVENT_SCRIPT, 0, 0);
    static const enum fault kinds[SCRIPT_KINDS] = {
        FAULT_CRASH,      FAULT_CUT,         FAULT_CUT_ONE_WAY, FAULT_PAUSE,    FAULT_CLOCK_STEP,
        FAULT_GUEST_KILL, FAULT_GUEST_SLEEP, FAULT_OUTAGE,      FAULT_TRANSFER, FAULT_CLOG,
        FAULT_FLAP,       FAULT_MEMBERS,     FAULT_DISK_LOST};
    enum fault fault = kinds[random_below(rng, SCRIPT_KINDS)];
    if (!wanted(world, fault) || world->now_ns < world->spared_until_ns)
        return;
    if (fault == FAULT_CRASH)
        crash(world);
    else if (fault == FAULT_OUTAGE)
        outage(world);
    else if (fault == FAULT_CUT || fault == FAULT_CUT_ONE_WAY)
        net_cut(world, fault == FAULT_CUT_ONE_WAY);
    else if (fault == FAULT_CLOG)
        net_clog(world);
    else if (fault == FAULT_FLAP)
        net_flap(world);
    else if (fault == FAULT_GUEST_KILL || fault == FAULT_GUEST_SLEEP)
        guest_fault(world, fault);
    else if (fault == FAULT_TRANSFER)
        transfer(world, rng);
    else if (fault == FAULT_MEMBERS)
        operators_change(world);
    else if (fault == FAULT_DISK_LOST)
        operators_lose_disk(world);
    else
        node_fault(world, fault);
}

void script_heal(struct world *world)
{
    net_heal(world);
}

/* The faults end: links are whole, drives quick, everybody is started. */
void script_calm(struct world *world)
{
    struct knobs *k = &world->knobs;
    k->loss_ppm = k->duplicate_ppm = k->failed_write_ppm = 0;
    k->delay_max_ns = 50000;
    k->reorder = false;
    memset(world->link, 0, sizeof(world->link));
    for (uint32_t id = 1; id <= k->nodes; id++) {
        struct node *node = &world->node[id];
        node->media.slow_factor = 1;
        node->paused_until_ns = 0;
        node->crash_on_write = false;
        node_wake(world, node, world->now_ns);
        if (!node->up)
            world_event(world, world->now_ns, EVENT_RESTART, id, 0);
    }
    for (uint32_t i = 0; i < k->guests; i++)
        guest_sleep(world, i, 0);
    for (uint32_t i = 0; i < k->holders; i++)
        holder_sleep(world, i, 0);
    net_heal(world);
}

/* Power fails everywhere within a moment, most drives in mid-write; all come back. */
void script_blackout(struct world *world)
{
    uint64_t *rng = &world->rng_fault;
    for (uint32_t i = 0; i < world->knobs.guests; i++)
        if (guest_answered_ns(world->guest[i]) < world->knobs.faults_until_ns)
            world_fail(world, "guest %u had no answer since the faults ended: %s", i,
                       guest_state(world->guest[i]));
    check_heal_blackout(world);
    heal_all_back(world);
    for (uint32_t id = 1; id <= world->knobs.nodes; id++) {
        struct node *node = &world->node[id];
        if (node->up)
            node_crash(world, node);
        world_event(world, world->now_ns + random_between(rng, 1, 200) * SCRIPT_MS, EVENT_RESTART,
                    id, 0);
    }
    world_fault(world, FAULT_CRASH_ALL);
    check_blackout(world);
}

/* A leader may die with a day's beginning on its way: a state that chance alone makes too rarely.
 * Its draws have a stream of their own, so that whoever meets no such death meets the rest as
 * before. */
static void endanger_day(struct world *world, const struct node *leader)
{
    uint64_t rng = world->seed ^ world->now_ns;
    if (!wanted(world, FAULT_CRASH) || world->now_ns >= world->knobs.faults_until_ns ||
        world->now_ns < world->spared_until_ns || random_below(&rng, SCRIPT_DAY_DEATHS) != 0)
        return;
    world_event(world, world->now_ns + random_below(&rng, SCRIPT_DAY_DIES_MS * SCRIPT_MS),
                EVENT_CRASH, leader->id, leader->starts);
    world_fault(world, FAULT_CRASH);
}

/* An operator's clock: a closed day begins anew at once, an open one ends now and then. */
void script_day(struct world *world)
{
    uint64_t *rng = &world->rng_fault;
    world_event(world, world->now_ns + SCRIPT_DAY_MS * SCRIPT_MS, EVENT_DAY, 0, 0);
    struct entry_day body = {.name = ""};
    char name[KEEL_DAY_NAME_SIZE + 1];
    for (uint32_t id = 1; id <= world->knobs.nodes; id++) {
        struct node *node = &world->node[id];
        if (!node->up || node->replica->raft.role != RAFT_LEADER)
            continue;
        const struct machine *machine = node->replica->machine;
        if (machine->day_open) {
            if (world->now_ns >= world->knobs.faults_until_ns || random_below(rng, 6) != 0)
                continue;
            memcpy(body.name, machine->day, sizeof(body.name));
            node_ask(node, ENTRY_DAY_END, &body, sizeof(body));
        } else {
            world->day_number++;
            world_day_name(world, name);
            memcpy(body.name, name, sizeof(body.name));
            REACHED(day, world, id);
            node_ask(node, ENTRY_DAY_BEGIN, &body, sizeof(body));
            endanger_day(world, node);
        }
    }
}
