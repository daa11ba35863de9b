/* Operators who change the members while everything else goes on, and drives that are lost whole.
 *
 * The script says which replicas are to be voters; an operator then does one step after the other,
 * as `keelctl member` does: a learner is added, promoted when it has caught up, who is not wanted
 * is removed. Each step names the configuration that it replaces, and is asked of whoever says that
 * it leads. A replica whose drive was lost is formatted anew, with another incarnation: its old one
 * is removed, and it joins as a learner.
 */
#include "tests/sim/timeline.h"

#include "consensus/wire/entry.h"

enum {
    MEMBERS_MS = 1000000,
    MEMBERS_LEAST = 3,
    MEMBERS_STEP_MS = 150,
    MEMBERS_AGAIN = 8 /* one of so many steps is asked for though the last is not complete */
};

static uint32_t bit(uint32_t id)
{
    return 1u << id;
}

static bool is_current(const struct world *world, const struct entry_config *config, uint32_t id)
{
    return config->member[id].incarnation == world->node[id].super.incarnation;
}

static void drop_member(struct entry_config *config, uint32_t id)
{
    config->voters &= ~bit(id);
    config->learners &= ~bit(id);
    memset(&config->member[id], 0, sizeof(config->member[id]));
}

/* The next step from a configuration towards what is wanted; false: that is it. */
static bool next_step(const struct world *world, struct entry_config *config)
{
    uint32_t wanted = world->operators.wanted, members = config->voters | config->learners;
    for (uint32_t id = 1; id <= world->knobs.nodes; id++)
        if ((members & bit(id)) != 0 && !is_current(world, config, id)) {
            drop_member(config, id);
            return config->voters != 0;
        }
    for (uint32_t id = 1; id <= world->knobs.nodes; id++) {
        if ((wanted & bit(id)) == 0 || (config->voters & bit(id)) != 0)
            continue;
        if ((config->learners & bit(id)) != 0) {
            config->learners &= ~bit(id);
            config->voters |= bit(id);
            return true;
        }
        config->learners |= bit(id);
        config->member[id] = (struct entry_member){
            .incarnation = world->node[id].super.incarnation, .ip = 0x0a000000u + id, .port = 7400};
        return true;
    }
    for (uint32_t id = 1; id <= world->knobs.nodes; id++)
        if ((members & ~wanted & bit(id)) != 0) {
            drop_member(config, id);
            return true;
        }
    return false;
}

static void ask(struct world *world, struct node *node)
{
    const struct members_config *now = members_now(&node->replica->members);
    bool pending = now->body.voters_new != 0 || node->replica->raft.commit < now->index;
    if (pending && random_below(&world->rng_fault, MEMBERS_AGAIN) != 0)
        return;
    struct entry_config config = now->body;
    config.voters_new = 0;
    if (next_step(world, &config))
        node_change(node, now->index, &config);
}

void operators_turn(struct world *world)
{
    if (world->quiet)
        return;
    world_event(world,
                world->now_ns + random_between(&world->rng_fault, 1, MEMBERS_STEP_MS) * MEMBERS_MS,
                EVENT_MEMBERS, 0, 0);
    for (uint32_t id = 1; id <= world->knobs.nodes; id++) {
        struct node *node = &world->node[id];
        if (node->up && node->replica->raft.role == RAFT_LEADER)
            ask(world, node);
    }
}

bool operators_settled(const struct world *world)
{
    if (world->knobs.standbys != 0)
        return heal_settled(world);
    struct entry_config config = *check_members_config(world);
    return config.voters_new == 0 && !next_step(world, &config);
}

static uint32_t pick(struct world *world, uint32_t mask)
{
    uint64_t nth = random_below(&world->rng_fault, (uint64_t)__builtin_popcount(mask));
    while (nth-- > 0)
        mask &= mask - 1;
    return (uint32_t)__builtin_ctz(mask);
}

/* One more voter, one less, or one for another; half of those that go lead at this moment. */
void operators_change(struct world *world)
{
    struct operators *plan = &world->operators;
    uint32_t all = ((1u << world->knobs.nodes) - 1) << 1;
    uint32_t others = all & ~plan->wanted, leading = script_leaders(world) & plan->wanted;
    uint64_t kind = random_below(&world->rng_fault, 3);
    uint32_t gone = pick(world, plan->wanted);
    if (leading != 0 && random_below(&world->rng_fault, 2) == 0)
        gone = pick(world, leading);
    if (!operators_settled(world))
        return;
    if (kind != 1 && others != 0)
        plan->wanted |= bit(pick(world, others));
    if (kind != 0 && __builtin_popcount(plan->wanted & ~bit(gone)) >= MEMBERS_LEAST)
        plan->wanted &= ~bit(gone);
    if (!operators_settled(world))
        world_fault(world, FAULT_MEMBERS);
}

/* Only when all members are whole: a second loss before the first is made good may be one too many.
 */
void operators_lose_disk(struct world *world)
{
    struct operators *plan = &world->operators;
    struct node *node = &world->node[pick(world, plan->wanted)];
    if (!operators_settled(world) || __builtin_popcount(plan->wanted) < MEMBERS_LEAST ||
        strikes_hurt_any(world))
        return;
    if (node->up)
        node_crash(world, node);
    node_lose_disk(world, node);
    timeline_text(world, TIMELINE_NOTE, node->id, "its whole drive is lost");
    world_event(world, world->now_ns + random_between(&world->rng_fault, 1, 1500) * MEMBERS_MS,
                EVENT_RESTART, node->id, 0);
    world_fault(world, FAULT_DISK_LOST);
}

/* Whose start was refused for damage is formatted anew, and becomes a member again as a stranger.
 */
void operators_replace(struct world *world, struct node *node)
{
    if (node->up || !node->wounds.refused)
        return;
    node_lose_disk(world, node);
    timeline_text(world, TIMELINE_NOTE, node->id, "an operator formats another drive");
    world_event(world, world->now_ns + MEMBERS_MS, EVENT_RESTART, node->id, 0);
    world->disturbed_ns = world->now_ns;
}

static bool replaces(const struct knobs *knobs)
{
    return knobs_on(knobs, FAULT_MEMBERS) || knobs_on(knobs, FAULT_DISK_LOST) ||
           knobs_on(knobs, FAULT_STRIKE_REST) || knobs_on(knobs, FAULT_STRIKE_RUNNING);
}

void operators_begin(struct world *world)
{
    world->operators.wanted = ((1u << world->knobs.founders) - 1) << 1;
    if (replaces(&world->knobs))
        world_event(world, 1000 * MEMBERS_MS, EVENT_MEMBERS, 0, 0);
}
