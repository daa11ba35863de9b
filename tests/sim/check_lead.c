/* What only a leader may say: that it holds a lease while it is the only one that could, and a
 * read's index. */
#include "tests/sim/check.h"

/* H19, H20: who was in contact with a quorum within the minimum election timeout, less what clocks
 * may differ, and has not ended its lease, is the only leader there is. Called when one is elected.
 */
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
            raft->transfer.lease_ended != 0)
            continue;
        if (raft_quorum_age_ns(raft, clock_now_ns(node->clock)) < lease_ns)
            world_fail(world,
                       "node %u is elected in term %lu while node %u holds a lease in term %lu",
                       winner->id, (unsigned long)winner->replica->raft.term, id,
                       (unsigned long)raft->term);
    }
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
