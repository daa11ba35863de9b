#include "tests/sim/heal.h"

#include "consensus/wire/entry.h"
#include "tests/sim/check.h"
#include "tests/sim/timeline.h"

enum { HEAL_MS = 1000000, HEAL_STEP_MS = 150, HEAL_FIRST_MS = 3000 };

static uint32_t bit(uint32_t id)
{
    return 1u << id;
}

void heal_begin(struct world *world)
{
    const struct knobs *k = &world->knobs;
    if (k->standbys == 0)
        return;
    world_event(world, 500ull * HEAL_MS, EVENT_STANDBY, 0, 0);
    world_event(world, (uint64_t)HEAL_FIRST_MS * HEAL_MS, EVENT_GONE, 0, 0);
}

/* The next learner, or, when all are there, the settings. */
static void prepare_at(struct world *world, struct node *node)
{
    const struct members_config *now = members_now(&node->replica->members);
    const struct knobs *k = &world->knobs;
    if (now->body.voters_new != 0 || node->replica->raft.commit < now->index)
        return;
    struct entry_config config = now->body;
    uint32_t standbys = 0;
    for (uint32_t id = k->founders + 1; id <= k->nodes; id++) {
        standbys |= bit(id);
        if ((config.learners & bit(id)) != 0)
            continue;
        config.learners |= bit(id);
        config.member[id] = (struct entry_member){
            .incarnation = world->node[id].super.incarnation, .ip = 0x0a000000u + id, .port = 7400};
        node_change(node, now->index, &config);
        return;
    }
    const struct entry_autopilot body = {.action = AUTOPILOT_SET,
                                         .mode = AUTOPILOT_ON,
                                         .standbys = standbys,
                                         .dead_ms = k->dead_ms,
                                         .stabilise_ms = k->stabilise_ms};
    node_ask(node, ENTRY_AUTOPILOT, &body, sizeof(body));
}

void heal_prepare(struct world *world)
{
    if (world->checker->machine->autopilot.revision != 0)
        return;
    world_event(world, world->now_ns + HEAL_STEP_MS * HEAL_MS, EVENT_STANDBY, 0, 0);
    for (uint32_t id = 1; id <= world->knobs.nodes; id++)
        if (world->node[id].up && world->node[id].replica->raft.role == RAFT_LEADER)
            prepare_at(world, &world->node[id]);
}

/* One voter at a time, and the next when it was replaced: two of three at once are nobody's to
 * heal. */
void heal_lose(struct world *world)
{
    struct heal *h = &world->heal;
    const struct knobs *k = &world->knobs;
    if (world->now_ns >= k->faults_until_ns)
        return;
    world_event(world,
                world->now_ns + random_between(&h->rng, k->gone_every_ns / 2, k->gone_every_ns * 2),
                EVENT_GONE, 0, 0);
    const struct raft_config *config = &world->checker->config;
    uint32_t id = (uint32_t)random_between(&h->rng, 1, k->nodes);
    uint64_t back_ns = world->now_ns + random_between(&h->rng, 500, 8000) * HEAL_MS;
    bool returns = random_below(&h->rng, 2) == 0;
    for (uint32_t other = 1; other <= k->nodes; other++)
        if (h->gone[other] && ((config->voters | config->voters_new) & bit(other)) != 0)
            return;
    if ((config->voters & bit(id)) == 0 || !world->node[id].up ||
        world->checker->machine->autopilot.revision == 0)
        return;
    node_crash(world, &world->node[id]);
    timeline_text(world, TIMELINE_NOTE, id, "it is gone, for long or for good");
    h->gone[id] = true;
    h->losses++;
    if (returns)
        world_event(world, back_ns, EVENT_BACK, id, 0);
}

void heal_back(struct world *world, uint32_t id)
{
    if (!world->heal.gone[id])
        return;
    world->heal.gone[id] = false;
    world_event(world, world->now_ns, EVENT_RESTART, id, 0);
}

void heal_all_back(struct world *world)
{
    for (uint32_t id = 1; id <= world->knobs.nodes; id++)
        world->heal.gone[id] = false;
}

bool heal_settled(const struct world *world)
{
    const struct entry_config *config = check_members_config(world);
    return config->voters_new == 0 &&
           (uint32_t)__builtin_popcount(config->voters) == world->knobs.founders;
}
