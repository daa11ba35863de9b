/* Who is a member, and whose word makes a majority: by the configuration in force in the log, and
 * by incarnation. Counted here, without the product's own arithmetic.
 */
#include "tests/sim/check.h"

#include "consensus/wire/entry.h"

static bool majority(uint32_t set, uint32_t mask)
{
    return 2 * __builtin_popcount(set & mask) > __builtin_popcount(set);
}

bool check_quorum(const struct raft_config *config, uint32_t mask)
{
    return majority(config->voters, mask) &&
           (config->voters_new == 0 || majority(config->voters_new, mask));
}

void check_members_init(struct world *world)
{
    struct raft_config *config = &world->checker->config;
    for (uint32_t id = 1; id <= world->knobs.founders; id++) {
        config->voters |= 1u << id;
        config->incarnation[id] = world->genesis.founder[id].incarnation;
    }
}

/* Which of a configuration's voters hold that entry durably, whoever is up. A drive that was lost
 * as a whole counts for what it held, as long as nobody has taken its place: what was promised with
 * its word still needs as many of the others. */
uint32_t check_members_holding(const struct world *world, const struct raft_config *config,
                               uint64_t index, uint64_t chain)
{
    uint32_t mask = 0;
    for (uint32_t id = 1; id <= world->knobs.nodes; id++) {
        const struct node *node = &world->node[id];
        uint64_t incarnation = config->incarnation[id];
        if (incarnation == 0)
            continue;
        if (incarnation == node->super.incarnation &&
            check_drive_holds(world, &node->view, index, chain))
            mask |= 1u << id;
        if (incarnation == node->lost_incarnation &&
            check_drive_holds(world, &node->lost_view, index, chain))
            mask |= 1u << id;
    }
    return mask;
}

bool check_members_committed(const struct world *world, const struct node *node, uint64_t index,
                             uint64_t chain)
{
    const struct raft_config *before = &node->checked_config;
    const struct raft_config *now = &node->replica->raft.config;
    /* A turn may commit under one configuration and then enter the next. */
    return check_quorum(now, check_members_holding(world, now, index, chain)) ||
           check_quorum(before, check_members_holding(world, before, index, chain));
}

/* 4.2.1: only who has caught up as a learner, as this very incarnation, becomes a voter. */
static void check_voters(struct world *world, const struct raft_config *was,
                         const struct raft_config *now)
{
    uint32_t known = was->voters | was->voters_new | was->learners;
    for (uint32_t id = 1; id <= KEEL_REPLICA_MAX; id++) {
        const struct node *node = &world->node[id];
        uint64_t incarnation = now->incarnation[id];
        bool votes = ((now->voters | now->voters_new) >> id & 1) != 0;
        bool is_new = incarnation != was->incarnation[id];
        if (incarnation != 0 && incarnation != node->super.incarnation &&
            incarnation != node->lost_incarnation && is_new)
            world_fail(world, "index %lu names an incarnation of node %u that never was",
                       (unsigned long)now->index, id);
        if (votes && (is_new || (known >> id & 1) == 0))
            world_fail(world, "index %lu makes node %u a voter that was no learner",
                       (unsigned long)now->index, id);
        if (incarnation != 0 && was->incarnation[id] != 0 && is_new)
            world_fail(world, "index %lu makes another of member %u in its place",
                       (unsigned long)now->index, id);
    }
}

void check_members_taken(struct world *world, const struct node *node, const struct entry *entry)
{
    struct checker *c = world->checker;
    const struct entry_config *body = entry_body(entry);
    struct raft_config was = c->config, *now = &c->config;
    c->config_term = entry->term;
    *now = (struct raft_config){.voters = body->voters,
                                .voters_new = body->voters_new,
                                .learners = body->learners,
                                .index = entry->index};
    for (uint32_t id = 1; id <= KEEL_REPLICA_MAX; id++)
        now->incarnation[id] = body->member[id].incarnation;
    check_voters(world, &was, now);
    uint32_t voters = was.voters | was.voters_new, all = voters | was.learners;
    uint32_t voters_now = now->voters | now->voters_new, all_now = voters_now | now->learners;
    world->learners += (uint64_t)__builtin_popcount(now->learners & ~all);
    world->promoted += (uint64_t)__builtin_popcount(voters_now & ~voters);
    world->removed += (uint64_t)__builtin_popcount(all & ~all_now);
    world->leaders_removed += (voters & ~voters_now & 1u << node->id) != 0;
}

/* A deposed leader may have appended another configuration where one is committed now. */
static bool is_committed_one(const struct world *world, const struct node *node)
{
    const struct raft *raft = &node->replica->raft;
    uint64_t index = world->checker->config.index, term;
    return raft->config.index == index &&
           (index <= raft->commit ||
            (raft_log_term(&raft->log, index, &term) && term == world->checker->config_term));
}

/* Where a log holds a configuration, it is the one in force there, unless a later one is. */
void check_members_turn(struct world *world, struct node *node)
{
    const struct raft_config *now = &node->replica->raft.config;
    const struct raft_config *committed = &world->checker->config;
    /* H4: it may have lost the configuration itself, and then neither campaigns nor judges; also
     * while the page is written already, and the core does not know yet. */
    uint64_t hole = node->wounds.hole != 0 ? node->wounds.hole : node->replica->raft.hole;
    if (node->replica->raft.hole != 0 && node->replica->raft.hole < hole)
        hole = node->replica->raft.hole;
    bool lost = node->wounds.ever && hole != 0 && hole <= committed->index;
    if (node->replica->raft.commit >= committed->index && now->index < committed->index && !lost)
        world_fail(world, "node %u goes by the configuration of index %lu, %lu is committed",
                   node->id, (unsigned long)now->index, (unsigned long)committed->index);
    if (is_committed_one(world, node) &&
        (now->voters != committed->voters || now->voters_new != committed->voters_new ||
         now->learners != committed->learners ||
         memcmp(now->incarnation, committed->incarnation, sizeof(now->incarnation)) != 0))
        world_fail(world, "node %u has other members at index %lu", node->id,
                   (unsigned long)now->index);
    node->checked_config = *now;
}

bool check_members_is(const struct world *world, const struct node *node)
{
    const struct raft_config *config = &world->checker->config;
    return config->incarnation[node->id] != 0 &&
           config->incarnation[node->id] == node->super.incarnation;
}

const struct entry_config *check_members_config(const struct world *world)
{
    return &world->checker->machine->config;
}

/* Under the committed configuration, or the one that the node goes by, or went by before. */
bool check_members_contact(const struct world *world, uint32_t id, uint32_t mask)
{
    const struct node *node = &world->node[id];
    return check_quorum(&world->checker->config, mask) ||
           (node->up && (check_quorum(&node->replica->raft.config, mask) ||
                         (node->replica->raft.previous.voters != 0 &&
                          check_quorum(&node->replica->raft.previous, mask))));
}
