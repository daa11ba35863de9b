#include "tests/reach/reach_follow.h"

static void watch(struct world *world, enum world_moment moment, uint8_t id,
                  const struct world_packet *packet, uint64_t index)
{
    struct reach *reach = world->watcher;
    const struct raft *raft = &world->node[id].raft;
    switch (moment) {
    case WORLD_ARRIVES:
        reach_arrived(reach, &packet->msg, world->now_ns, 0);
        return;
    case WORLD_REREAD:
        reach_take(reach, &(struct reach_record){.at_ns = world->now_ns,
                                                 .kind = REACH_REREAD,
                                                 .who = id,
                                                 .whom = packet->msg.to,
                                                 .value = {index}});
        return;
    case WORLD_STEPPED:
        if (reach->picture.replica[id].up)
            reach_look(reach, raft, world->now_ns);
        return;
    case WORLD_CRASHED:
        reach_down(reach, id, world->now_ns);
        return;
    case WORLD_STARTED:
    case WORLD_STARTED_ANEW:
        reach_started(reach, raft, world->now_ns, moment == WORLD_STARTED_ANEW);
        return;
    case WORLD_CHECKPOINT:
        reach_checkpoint(reach, raft, world->now_ns, index, world->committed.entry[index].term);
        return;
    }
}

void reach_follow(struct world *world, struct reach *reach)
{
    world->watch = watch;
    world->watcher = reach;
    for (uint8_t id = 1; id <= world->count; id++)
        reach_started(reach, &world->node[id].raft, world->now_ns, false);
}
