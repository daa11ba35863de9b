/* What only a leader may say: that it holds a lease while it is the only one that could, a read's
 * index, and what log time it is. */
#include "tests/sim/check.h"

/* H19, H20: who was in contact with a quorum within the minimum election timeout, less what clocks
 * may differ, and has not ended its lease, is the only leader there is. Who wins an earlier term,
 * its votes delayed, can never have a lease in it. Called when one is elected. */
void check_lead_elected(struct world *world, const struct node *winner)
{
    uint64_t lease_ns = world->genesis.election_min_ms * 1000000ull;
    lease_ns -= lease_ns / 1000000 * 4 * world->knobs.drift_ppm;
    for (uint32_t id = 1; id <= world->knobs.nodes; id++) {
        const struct node *node = &world->node[id];
        if (node == winner || !node->up)
            continue;
        const struct raft *raft = &node->replica->raft;
        if (raft->role != RAFT_LEADER || raft->failed || node->replica->stopped ||
            raft->transfer.lease_ended != 0 || raft->term > winner->replica->raft.term)
            continue;
        if (raft_quorum_age_ns(raft, clock_now_ns(node->clock)) < lease_ns)
            world_fail(world,
                       "node %u is elected in term %lu while node %u holds a lease in term %lu",
                       winner->id, (unsigned long)winner->replica->raft.term, id,
                       (unsigned long)raft->term);
    }
}

/* "No leader, no time": log time is what leaders' clocks counted in office, one after the other. It
 * never runs ahead of true time by more than a clock may, whatever the wall clocks say. */
static void time_elapsed(struct world *world, const struct node *node)
{
    uint64_t fast_ns = world->now_ns / 1000000 * world->knobs.drift_ppm + 1000000;
    if (node->replica->last_log_ns > world->now_ns + fast_ns)
        world_fail(world, "node %u: log time stands at %.6f s: it is ahead of true time", node->id,
                   (double)node->replica->last_log_ns / 1e9);
}

/* H19: a lease that was ended, for the word to a successor, is ended for the rest of the term; and
 * an election timeout later somebody else leads, or this leader has stepped down. */
void check_lead_turn(struct world *world, struct node *node)
{
    const struct raft *raft = &node->replica->raft;
    uint64_t now_ns = clock_now_ns(node->clock);
    if (raft->role != RAFT_LEADER || raft->failed || node->replica->stopped)
        return;
    time_elapsed(world, node);
    if (node->word_term != raft->term && raft->transfer.lease_ended != 0) {
        node->word_term = raft->term;
        node->word_ns = now_ns;
        script_word(world, node);
    }
    if (node->word_term != raft->term)
        return;
    uint64_t limit_ns =
        (world->genesis.election_min_ms + 2 * world->genesis.heartbeat_ms) * 1000000ull;
    if (raft->transfer.lease_ended == 0)
        world_fail(world, "node %u holds a lease again in term %lu, in which it has ended it",
                   node->id, (unsigned long)raft->term);
    else if (now_ns - node->word_ns > limit_ns)
        world_fail(world,
                   "node %u leads term %lu on, though its word to a successor came to nothing",
                   node->id, (unsigned long)raft->term);
}

uint64_t check_lead_asks(const struct world *world)
{
    return world->checker->committed;
}

/* 6.4: everything that was committed anywhere when the question was put is seen by the answer. */
void check_lead_read(struct world *world, const struct node *node, uint64_t asked, uint64_t index)
{
    world->reads++;
    world_trace(world, 0x5ead, index);
    if (index < asked)
        world_fail(world,
                   "node %u answers a read with index %lu, %lu was committed when it was asked",
                   node->id, (unsigned long)index, (unsigned long)asked);
}
