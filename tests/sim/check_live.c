/* What must happen, and what must not, once a cluster is whole again.
 *
 * Must (reliability, row 9): a majority whose pairs all reach each other both ways commits within
 * ten election timeouts. Must not (row 3): a replica that was cut off does not depose who leads
 * with a quorum that is there and has caught up; if nobody had gone ahead in term before, the term
 * grows by one at most, but for leaders that hand over. Both are asked only where
 * nothing else happens meanwhile: what was healed is whole for that long, and packets come through;
 * the second, where the voters stay who they are.
 */
#include "consensus/raft/quorum.h"
#include "tests/sim/check.h"

enum {
    LIVE_TIMEOUTS = 10,
    LIVE_START_MS = 500, /* for who is started at this moment: recovery, the boot's page */
    LIVE_SPARED = 3,     /* of so many heals one is followed by no other fault for that long */
    LIVE_BEHIND = 32,    /* entries: who lacks more has to catch up before it counts */
    LIVE_LOSS_PPM = 50000,
    LIVE_DELAY_NS = 5000000,
    LIVE_WRITE_NS = 5000000
};

static uint64_t window_ns(const struct world *world)
{
    /* 3.4: a timeout is drawn from one to two times the minimum. */
    return (uint64_t)world->genesis.election_min_ms * 2 * LIVE_TIMEOUTS * 1000000 +
           LIVE_START_MS * 1000000ull;
}

static uint64_t highest_term(const struct world *world)
{
    uint64_t term = 0;
    for (uint32_t id = 1; id <= world->knobs.nodes; id++)
        if (world->node[id].up && world->node[id].replica->raft.term > term)
            term = world->node[id].replica->raft.term;
    return term;
}

/* What drives hold may be ahead of who is down. */
static bool nobody_ahead(const struct world *world, uint64_t term)
{
    for (uint32_t id = 1; id <= world->knobs.nodes; id++)
        if (world->node[id].view.term > term)
            return false;
    return highest_term(world) == term;
}

/* A leader in contact with its quorum, at the highest term there is. */
static const struct node *leader(const struct world *world)
{
    uint64_t term = highest_term(world);
    for (uint32_t id = 1; id <= world->knobs.nodes; id++) {
        const struct node *node = &world->node[id];
        if (!node->up || node->paused_until_ns > world->now_ns ||
            node->replica->raft.role != RAFT_LEADER || node->replica->raft.term != term)
            continue;
        uint64_t age_ns = raft_quorum_age_ns(&node->replica->raft, clock_now_ns(node->clock));
        if (age_ns < world->genesis.election_min_ms * 1000000ull)
            return node;
    }
    return NULL;
}

/* Also of the voters that a change on its way adds: it is in force where it stands in a log, and
 * cannot be taken back by who holds it (4.3). */
static bool quorum_everywhere(const struct world *world, uint32_t there)
{
    for (uint32_t id = 1; id <= world->knobs.nodes; id++)
        if ((there >> id & 1) != 0 && !quorum_has(&world->node[id].replica->raft.config, there))
            return false;
    return check_quorum(&world->checker->config, there);
}

/* The leader has of late. Who has just been started, or was cut off until now, it hears no sooner
 * than they have greeted each other again. */
static bool hears(const struct world *world, const struct node *leader, uint32_t id)
{
    uint64_t heard_ns = leader->replica->raft.peer[id].heard_ns;
    return leader->id == id || (heard_ns != 0 && clock_now_ns(leader->clock) - heard_ns <
                                                     world->genesis.election_min_ms * 1000000ull);
}

/* A majority is there on quick drives, each of which holds the log up to about `index`, and, if
 * there is a leader to ask, is heard by it. */
static bool majority_holds(const struct world *world, uint64_t index, const struct node *leader)
{
    uint64_t least = index > LIVE_BEHIND ? index - LIVE_BEHIND : 0;
    uint32_t there = 0;
    for (uint32_t id = 1; id <= world->knobs.nodes; id++) {
        const struct node *node = &world->node[id];
        bool awake = node->up && node->paused_until_ns <= world->now_ns;
        if (awake && node->media.slow_factor <= 1 && !strikes_open(world, node) &&
            check_members_is(world, node) && check_drive_reaches(&node->view, least) &&
            (leader == NULL || hears(world, leader, id)))
            there |= 1u << id;
    }
    return quorum_everywhere(world, there);
}

/* Nobody is on the way to being a voter, or to being none: whose drives are quick says something
 * about the majority of these voters alone. */
static bool members_stay(const struct world *world, const struct node *leader)
{
    return leader->replica->raft.config.index == world->checker->config.index;
}

/* A leader that goes on in office: it hands nothing over, and was not itself cut off for so long
 * that it lets others campaign (H8). */
static bool goes_on(const struct node *leader)
{
    const struct raft *raft = &leader->replica->raft;
    return raft->transfer.open == 0 &&
           raft_quorum_age_ns(raft, clock_now_ns(leader->clock)) < raft->options.stall_ns;
}

/* Whether packets come through, and a majority is there. */
static bool whole(const struct world *world)
{
    const struct knobs *k = &world->knobs;
    return majority_holds(world, 0, NULL) && k->loss_ppm <= LIVE_LOSS_PPM &&
           k->delay_max_ns <= LIVE_DELAY_NS && k->write_max_ns <= LIVE_WRITE_NS;
}

void check_live_healed(struct world *world)
{
    struct checker *c = world->checker;
    const struct node *steady = leader(world);
    bool calm = world->now_ns >= world->knobs.faults_until_ns;
    if (!calm && !whole(world))
        return;
    if (!calm && random_below(&world->rng_fault, LIVE_SPARED) == 0)
        world->spared_until_ns = world->now_ns + window_ns(world);
    c->healed_ns = world->disturbed_ns = world->now_ns;
    c->healed_commit = c->committed;
    uint64_t term = !calm && steady != NULL ? steady->replica->raft.term : 0;
    bool rule = term != 0 && !strikes_hurt_any(world) && nobody_ahead(world, term) &&
                members_stay(world, steady) && goes_on(steady) &&
                majority_holds(world, steady->replica->raft.log.last, steady);
    c->healed_term = rule ? term : 0;
    c->healed_config = c->config.index;
    c->healed_transfers = world->transfers_done;
    c->healed_given_up = world->transfers_given_up;
    world_event(world, world->now_ns + window_ns(world), EVENT_LIVE, 0, world->now_ns);
}

/* Committed, or begun: a leader may take itself out, and others may need a voter with a slow drive.
 */
static bool members_changed(const struct world *world)
{
    for (uint32_t id = 1; id <= world->knobs.nodes; id++)
        if (world->node[id].up &&
            world->node[id].replica->raft.config.index > world->checker->healed_config)
            return true;
    return world->checker->config.index != world->checker->healed_config;
}

void check_live(struct world *world, uint64_t healed_ns)
{
    struct checker *c = world->checker;
    bool calm = healed_ns >= world->knobs.faults_until_ns;
    if (c->healed_ns != healed_ns || (!calm && world->disturbed_ns != healed_ns))
        return; /* something else came in between */
    const struct node *now = leader(world);
    bool settled = now != NULL && now->replica->raft.commit == now->replica->raft.log.last;
    world->lives++;
    if (c->committed == c->healed_commit && !settled)
        world_fail(world,
                   "all was healed at %.3f s, and %d election timeouts later nothing is committed",
                   (double)healed_ns / 1e9, LIVE_TIMEOUTS);
    if (c->healed_term == 0 || members_changed(world) ||
        world->transfers_given_up != c->healed_given_up) /* its word may have come to nothing */
        return;
    world->steady++;
    uint64_t handed_over = world->transfers_done - c->healed_transfers;
    if (highest_term(world) > c->healed_term + handed_over + 1)
        world_fail(world,
                   "node %u led term %lu with a quorum at %.3f s, and a heal led to term %lu",
                   now == NULL ? 0 : now->id, (unsigned long)c->healed_term,
                   (double)healed_ns / 1e9, (unsigned long)highest_term(world));
}
