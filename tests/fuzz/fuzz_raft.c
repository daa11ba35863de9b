/* Sequences of events for raft_step() at three replicas: ticks, proposals, packets delivered, lost,
 * doubled and in any order, drives that lag, crashes, cuts. The world of the Raft tests judges
 * after each step: election safety, log matching, leader completeness, commits that never change,
 * and that nothing leaves before what it testifies to is durable. */
#include "tests/fuzz/fuzz.h"

#include "tests/unit/raft/raft_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    REPLICAS = 4,
    FOUNDERS = 0x0e, /* replicas 1 to 3; the fourth may join */
    STEPS_MAX = 1000,
    DELIVER_MAX = 64,
    MARGIN = 40
};

static const struct raft_options options = {.election_min_ns = 20000000,
                                            .heartbeat_ns = 2000000,
                                            .stall_ns = 60000000,
                                            .flights = 4,
                                            .flight_bytes = 2000};

/* The world is small and ENSUREs that nothing overflows: a run ends before. */
static bool has_room(const struct world *world)
{
    uint64_t term = 0, last = 0, records = 0, gate = 0;
    for (uint32_t id = 1; id <= REPLICAS; id++) {
        const struct world_node *n = &world->node[id];
        term = n->raft.term > term ? n->raft.term : term;
        last = n->log.last > last ? n->log.last : last;
        records = n->record_count > records ? n->record_count : records;
        gate = n->gate_count > gate ? n->gate_count : gate;
    }
    return term + MARGIN < WORLD_TERMS_MAX && last + MARGIN < WORLD_LOG_MAX &&
           records + MARGIN < WORLD_RECORDS_MAX && gate + MARGIN < WORLD_GATE_MAX &&
           world->known_count + MARGIN < WORLD_TABLE_SIZE / 2;
}

static void deliver(struct world *world, uint32_t count)
{
    for (uint32_t i = 0; i < count && world->bag_count > 0 && has_room(world); i++)
        world_deliver(world, 0);
}

/* Time passes until this one's election timeout; what it says then arrives. */
static void campaign(struct world *world, uint8_t id)
{
    if (!world->node[id].up)
        return;
    if (world->node[id].raft.timeout_at_ns > world->now_ns)
        world->now_ns = world->node[id].raft.timeout_at_ns;
    world_tick(world, id);
    deliver(world, DELIVER_MAX);
}

static void drive(struct world *world, uint8_t id, struct fuzz_input *in)
{
    struct world_node *node = &world->node[id];
    uint64_t open = node->raft.next_lsn - 1 - node->raft.durable_lsn;
    uint64_t part = fuzz_u8(in);
    if (node->up && open > 0)
        world_durable(world, id, node->raft.durable_lsn + 1 + part % open);
}

static void power(struct world *world, uint8_t id, struct fuzz_input *in)
{
    struct world_node *node = &world->node[id];
    uint64_t open = node->raft.next_lsn - node->raft.durable_lsn;
    if (node->up)
        world_crash(world, id, node->raft.durable_lsn + fuzz_u8(in) % open);
    else
        world_restart(world, id);
}

static void packet(struct world *world, uint8_t what, struct fuzz_input *in)
{
    uint32_t slot = fuzz_u8(in);
    if (world->bag_count == 0)
        return;
    slot %= world->bag_count;
    if (what == 0)
        world_drop(world, slot);
    else if (what == 1)
        world_duplicate(world, slot);
    else
        world_deliver(world, slot);
}

static void cut(struct world *world, uint8_t id, struct fuzz_input *in)
{
    uint8_t ways = fuzz_u8(in);
    if (ways == 0)
        memset(world->cut, 0, sizeof(world->cut));
    for (uint8_t other = 1; other <= REPLICAS; other++) {
        world->cut[id][other] ^= (ways & 1) != 0 && other != id;
        world->cut[other][id] ^= (ways & 2) != 0 && other != id;
    }
}

/* Other members, asked of a leader or of anybody. */
static void change(struct world *world, uint8_t id, struct fuzz_input *in)
{
    uint32_t all = ((UINT32_C(1) << REPLICAS) - 1) << 1;
    uint32_t voters = fuzz_u8(in) & all;
    uint32_t learners = fuzz_u8(in) & all;
    world_change(world, id, voters, learners & ~voters, world->node[id].raft.config.index, 0);
}

static void step(struct world *world, struct fuzz_input *in)
{
    uint8_t byte = fuzz_u8(in);
    uint8_t id = (uint8_t)(1 + (byte >> 4) % REPLICAS);
    switch (byte & 15) {
    case 0:
        world->now_ns += (uint64_t)fuzz_u8(in) * 250000;
        world_tick(world, id);
        break;
    case 1:
        world->now_ns += options.heartbeat_ns;
        for (uint8_t each = 1; each <= REPLICAS; each++)
            world_tick(world, each);
        break;
    case 2:
        if ((byte & 0x80) != 0)
            change(world, id, in);
        else
            world_transfer(world, id, fuzz_u8(in) % (REPLICAS + 1));
        break;
    case 3:
        world_propose(world, id, 1 + fuzz_u8(in) % 12);
        break;
    case 4:
        deliver(world, byte >> 4);
        break;
    case 5:
    case 6:
        packet(world, 2, in);
        break;
    case 7:
        packet(world, 0, in);
        break;
    case 8:
        packet(world, 1, in);
        break;
    case 9:
        campaign(world, id);
        break;
    case 10:
        world->node[id].slow ^= true;
        break;
    case 11:
        drive(world, id, in);
        break;
    case 12:
        power(world, id, in);
        break;
    case 13:
        cut(world, id, in);
        break;
    case 14:
        if ((byte & 0x40) != 0)
            world_no_space(world, id);
        else
            world->node[id].no_space ^= true;
        break;
    default:
        if (fuzz_u8(in) >= 250)
            world_fail(world, id);
        else
            world->node[id].window = world->node[id].log.last;
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct world world;
    struct fuzz_input in = fuzz_open(data, size);
    world_init(&world, REPLICAS, FOUNDERS, 0, &options, 1 + fuzz_u8(&in));
    if (getenv("KEEL_FUZZ_TRACE") != NULL)
        world.trace = stderr;
    for (uint32_t i = 0; i < STEPS_MAX && fuzz_left(&in) && has_room(&world); i++) {
        step(&world, &in);
        if (world.violation[0] != 0)
            fuzz_failed(__FILE__, __LINE__, world.violation);
    }
    return 0;
}
