/* Entries that a drive has lost: found at once or by a start, fetched from anybody, proven by the
 * chain that the next page states. */
#include "consensus/ensure.h"
#include "tests/unit/raft/raft_judge.h"
#include "tests/unit/raft/raft_world.h"

#include <string.h>

void world_forget_rot(bool *what, uint64_t index)
{
    memset(&what[index], 0, (WORLD_LOG_MAX - index) * sizeof(what[0]));
}

static bool lost(const struct world_node *node, uint64_t index)
{
    return node->rotten[index] && node->disk.entry[index].chain == node->log.entry[index].chain;
}

uint64_t world_hole(const struct world_node *node)
{
    uint64_t from = node->disk_base > node->checkpoint ? node->disk_base : node->checkpoint;
    uint64_t last = node->disk.last < node->log.last ? node->disk.last : node->log.last;
    for (uint64_t i = from + 1; i <= last; i++)
        if (lost(node, i))
            return i;
    return 0;
}

static void tell(struct world *world, struct world_node *node, const struct raft_config *config)
{
    uint64_t hole = world_hole(node);
    if (config == NULL && hole == node->raft.hole)
        return;
    struct raft_in in = {
        .event = RAFT_EV_HOLE, .index = hole, .config = config, .config_count = config != NULL};
    world_run(world, node->raft.id, &in);
}

void world_look(struct world *world, uint8_t id)
{
    if (world->node[id].up && !world->node[id].raft.stopped)
        tell(world, &world->node[id], NULL);
}

void world_rot(struct world *world, uint8_t id, uint64_t index)
{
    struct world_node *node = &world->node[id];
    ENSURE(index >= 1 && index <= node->disk.last);
    node->rotten[index] = true;
    world->rots++;
    if (node->up)
        tell(world, node, NULL);
}

void world_fetch(struct world *world, uint8_t id)
{
    struct world_node *node = &world->node[id];
    uint64_t hole = node->raft.hole;
    if (!node->up || hole == 0 || node->raft.failed || node->raft.stopped)
        return;
    for (uint8_t to = 1; to <= world->count; to++) {
        struct raft_send send;
        if (to == id || node->raft.hole != hole)
            continue;
        raft_fetch(&node->raft, to, hole, node->log.entry[hole].term, &send);
        if (send.lsn > node->raft.durable_lsn)
            continue; /* the next tick asks again */
        struct world_packet packet = {.msg = send.msg, .incarnation = node->incarnation};
        world_leave(world, node, &packet);
    }
}

void world_serve(struct world *world, struct world_node *node, const struct raft_msg *ask)
{
    uint64_t index = ask->prev_index;
    if (index == 0 || index <= node->disk_base || index > node->log.last ||
        node->log.entry[index].term != ask->prev_term || lost(node, index) ||
        node->raft.durable_lsn < node->raft.hard_lsn)
        return;
    struct world_packet packet = {.incarnation = node->incarnation,
                                  .msg = {.kind = RAFT_FETCH_REPLY,
                                          .from = node->raft.id,
                                          .to = ask->from,
                                          .term = node->raft.term,
                                          .status = 1,
                                          .count = 1,
                                          .prev_index = index,
                                          .prev_term = ask->prev_term}};
    packet.entry[0] = node->log.entry[index];
    world_leave(world, node, &packet);
}

void world_restore(struct world *world, struct world_node *node, const struct world_packet *packet)
{
    uint64_t index = packet->msg.prev_index;
    if (!node->up || index == 0 || index > node->log.last || !lost(node, index) ||
        packet->entry[0].chain != node->log.entry[index].chain)
        return;
    node->rotten[index] = false;
    world->repaired++;
    struct raft_config config;
    bool hidden = node->hidden[index];
    if (hidden) {
        config = world->config[node->log.entry[index].config];
        config.index = index;
    }
    node->hidden[index] = false;
    tell(world, node, hidden ? &config : NULL);
}
