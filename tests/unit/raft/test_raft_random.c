/* Seeded random worlds of one, three and five replicas: loss, duplicates, any order, one-way cuts,
 * drives that lag and crashes that keep any prefix of what was written. raft_judge.c judges after
 * each step; at the end everything heals and the cluster must commit again.
 *
 * KEEL_RAFT_SEED runs from that seed on (one, if KEEL_RAFT_SEEDS does not say how many);
 * KEEL_RAFT_REACH prints the rare states of each (tests/reach).
 */
#include "consensus/raft/quorum.h"
#include "tests/reach/reach_follow.h"
#include "tests/unit/raft/raft_world.h"
#include "tests/unit/unit.h"

#include <stdlib.h>
#include <string.h>

enum { SEEDS = 400, STEPS = 6000, HEAL_ROUNDS = 4000 };

static const uint64_t US = 1000;

struct knobs { /* per mille of packets, or of ten thousand steps; drawn for each seed */
    uint32_t loss, duplicate, fifo, crash, cut, isolate, slow, space, heal, change, wipe, transfer;
    uint32_t install, rot;
    uint32_t pace; /* packets that arrive in a step */
};

static struct totals {
    uint64_t elections, truncations, crashes, gate_drops, committed, worlds, joints, completed,
        wipes, reborn, hopeless, words, installs, kept, rots, repaired, settled, given_up, reads;
} totals;

static uint32_t below(struct world *world, uint32_t limit)
{
    return (uint32_t)(world_random(world) % limit);
}

static uint8_t any_node(struct world *world)
{
    return (uint8_t)(1 + below(world, world->count));
}

/* A vote that was asked for before the drive was lost is asked for once more after it. */
static void ask_again(struct world *world, uint32_t slot)
{
    const struct raft_msg *msg = &world->bag[slot].msg;
    uint64_t incarnation = world->node[msg->from].incarnation;
    if (msg->kind != RAFT_VOTE || world->bag[slot].incarnation == incarnation ||
        world->cut[msg->from][msg->to])
        return;
    world_duplicate(world, slot);
    world->bag[world->bag_count - 1].incarnation = incarnation;
}

static void deliver_one(struct world *world, const struct knobs *knobs)
{
    if (world->bag_count == 0)
        return;
    uint32_t slot = below(world, 1000) < knobs->fifo ? 0 : below(world, world->bag_count);
    uint32_t fate = below(world, 1000);
    if (fate < knobs->loss) {
        world_drop(world, slot);
        return;
    }
    if (fate < knobs->loss + knobs->duplicate)
        world_duplicate(world, slot);
    else if (fate < knobs->loss + knobs->duplicate + 300 && world->bag_count < WORLD_BAG_MAX / 2)
        ask_again(world, slot);
    world_deliver(world, slot);
}

static void write_some(struct world *world, uint8_t id)
{
    struct world_node *node = &world->node[id];
    if (!node->up || !node->slow)
        return;
    uint64_t open = node->raft.next_lsn - 1 - node->raft.durable_lsn;
    if (open > 0)
        world_durable(world, id, node->raft.durable_lsn + 1 + world_random(world) % open);
}

/* Half of the time trouble strikes a leader, if there is one. */
static uint8_t victim(struct world *world)
{
    uint8_t id = any_node(world);
    if (below(world, 2) == 0)
        return id;
    for (uint8_t i = 1; i <= world->count; i++)
        if (world->node[i].up && world->node[i].raft.role == RAFT_LEADER)
            return i;
    return id;
}

static void crash(struct world *world, uint8_t id)
{
    struct world_node *node = &world->node[id];
    if (!node->up)
        return;
    uint64_t open = node->raft.next_lsn - node->raft.durable_lsn;
    world_crash(world, id, node->raft.durable_lsn + world_random(world) % open);
}

static void restart(struct world *world, uint8_t id)
{
    if (world->node[id].up)
        return;
    world_restart(world, id);
    world->node[id].slow = below(world, 2) == 0;
}

/* One direction or both, between one node and all others. */
static void isolate(struct world *world, uint8_t id)
{
    uint32_t ways = 1 + below(world, 3);
    for (uint8_t other = 1; other <= world->count; other++) {
        world->cut[id][other] = (ways & 1) != 0 && other != id;
        world->cut[other][id] = (ways & 2) != 0 && other != id;
    }
}

/* The members whose drives are still the ones that they had when they joined. */
static uint32_t living(const struct world *world, const struct raft_config *config)
{
    uint32_t mask = 0;
    for (uint8_t id = 1; id <= world->count; id++)
        if (config->incarnation[id] == world->node[id].incarnation)
            mask |= UINT32_C(1) << id;
    return mask;
}

/* A quorum is left under every configuration that may be in force soon: a wiped voter is dead. */
static bool quorums_live(const struct world *world)
{
    bool live = true;
    for (uint8_t id = 1; id <= world->count; id++) {
        const struct raft *raft = &world->node[id].raft;
        live = live && quorum_has(&raft->config, living(world, &raft->config)) &&
               (raft->previous.voters == 0 ||
                quorum_has(&raft->previous, living(world, &raft->previous)));
    }
    return live;
}

/* A drive is lost. As a rule a quorum outlives it. */
static void wipe(struct world *world, uint8_t id)
{
    struct world_node *node = &world->node[id];
    uint64_t incarnation = node->incarnation;
    node->incarnation = UINT64_MAX;
    bool harmless = quorums_live(world);
    node->incarnation = incarnation;
    if (harmless || below(world, 32) == 0)
        world_wipe(world, id);
}

/* A change at whoever leads (or, now and then, at anybody): somebody learns, a learner is promoted,
 * somebody leaves, or any other set. Many are refused, as they should be. */
static void change(struct world *world)
{
    uint8_t id = any_node(world);
    for (uint8_t i = 1; below(world, 16) > 0 && i <= world->count; i++)
        if (world->node[i].up && world->node[i].raft.role == RAFT_LEADER)
            id = i;
    uint32_t all = ((UINT32_C(1) << world->count) - 1) << 1;
    const struct raft_config *now = &world->node[id].raft.config;
    uint32_t voters = now->voters;
    uint32_t learners = now->learners;
    switch (below(world, 16)) {
    case 0:
    case 1:
    case 2:
        learners |= UINT32_C(1) << any_node(world);
        break;
    case 3:
    case 4:
        voters |= learners;
        break;
    case 5:
    case 6:
        voters &= ~(UINT32_C(1) << any_node(world));
        break;
    case 7:
        voters = (uint32_t)world_random(world) & all;
        learners = (uint32_t)world_random(world) & all;
        break;
    default: /* who lost its drive goes, comes back as another and is promoted */
        if (((voters | learners) & ~living(world, now)) != 0) {
            voters &= living(world, now);
            learners &= living(world, now);
        } else if (learners != 0 && below(world, 2) == 0) {
            voters |= learners;
        } else {
            learners |= UINT32_C(1) << any_node(world);
        }
        break;
    }
    uint64_t was = below(world, 16) == 0 ? world_random(world) % 64 : now->index;
    world_change(world, id, voters, learners & ~voters, was, below(world, 16) == 0 ? all : 0);
}

/* Any committed index: behind the log, within it, at an edge, or long since committed there. Mostly
 * at whoever is furthest behind. */
static void install(struct world *world, uint8_t id)
{
    for (uint8_t i = 1; i <= world->count && below(world, 8) != 0; i++)
        if (world->node[i].up && world->node[i].log.last < world->node[id].log.last)
            id = i;
    uint64_t last = world->committed.last, back = world_random(world) % (1 + below(world, 30));
    if (last > back)
        world_install(world, id, last - back);
}

/* How many other drives hold what this one holds at the index; *intact: one of them can read it. */
static uint32_t copies(const struct world *world, uint8_t id, uint64_t index, bool *intact)
{
    uint64_t chain = world->node[id].disk.entry[index].chain;
    uint32_t count = 0;
    *intact = false;
    for (uint8_t i = 1; i <= world->count; i++) {
        const struct world_node *other = &world->node[i];
        if (i == id || other->disk.last < index || other->disk.entry[index].chain != chain)
            continue;
        count++;
        *intact = *intact || (other->disk_base < index && !other->rotten[index]);
    }
    return count;
}

/* One good copy kept: another drive holds the entry; or no other ever did, and there are voters
 * enough to deny it who know that they are. */
static bool bearable(const struct world *world, uint8_t id, uint64_t index)
{
    const struct raft_config *config = &world->node[id].raft.config;
    bool intact;
    uint32_t count = copies(world, id, index, &intact);
    return intact || (count == 0 && index > world->committed.last && config->index == 0 &&
                      quorum_blocked(config, config->voters & ~(UINT32_C(1) << id)));
}

/* A checkpoint has taken the place of the last good copy: there it ends, and is no liveness. */
static bool copies_left(const struct world *world)
{
    for (uint8_t id = 1; id <= world->count; id++) {
        uint64_t first = world_hole(&world->node[id]);
        for (uint64_t i = first; i != 0 && i <= world->committed.last; i++) {
            bool intact = true;
            if (world->node[id].rotten[i])
                copies(world, id, i, &intact);
            if (!intact)
                return false;
        }
    }
    return true;
}

/* Mostly near the end, where elections look. */
static void rot(struct world *world, uint8_t id)
{
    const struct world_node *node = &world->node[id];
    uint64_t back = below(world, below(world, 4) == 0 ? 40 : 4);
    if (node->disk.last > node->disk_base + back && bearable(world, id, node->disk.last - back))
        world_rot(world, id, node->disk.last - back);
}

static void disturb(struct world *world, const struct knobs *knobs)
{
    uint32_t what = below(world, 10000);
    if (what < knobs->crash)
        crash(world, victim(world));
    else if ((what -= knobs->crash) < knobs->cut)
        world->cut[victim(world)][any_node(world)] ^= true;
    else if ((what -= knobs->cut) < knobs->isolate)
        isolate(world, victim(world));
    else if ((what -= knobs->isolate) < knobs->slow)
        world->node[victim(world)].slow ^= true;
    else if ((what -= knobs->slow) < knobs->space) {
        world->node[any_node(world)].no_space ^= true;
        world->node[any_node(world)].scarce ^= true;
    } else if ((what -= knobs->space) < knobs->heal)
        memset(world->cut, 0, sizeof(world->cut));
    else if ((what -= knobs->heal) < knobs->install)
        install(world, any_node(world));
    else if ((what -= knobs->install) < knobs->rot)
        rot(world, below(world, 2) == 0 ? victim(world) : any_node(world));
    else if ((what -= knobs->rot) < 100)
        restart(world, any_node(world));
    else if ((what -= 100) < knobs->change)
        change(world);
    else if (what - knobs->change < knobs->wipe)
        wipe(world, victim(world));
}

static struct asked { /* of a leader, one at a time */
    struct raft_read read;
    uint64_t committed; /* when it was asked */
    bool open;
} asked[RAFT_ID_MAX + 1];

/* 6.4: what a read sees is all that was committed anywhere when it was asked. */
static void look_at_read(struct world *world, uint8_t id)
{
    struct raft *raft = &world->node[id].raft;
    struct asked *a = &asked[id];
    if (!a->open && world->node[id].up && below(world, 8) == 0) {
        a->committed = world->committed.last;
        a->open = raft_read_begin(raft, &a->read);
    }
    if (!a->open)
        return;
    enum raft_read_state state =
        world->node[id].up ? raft_read_state(raft, &a->read) : RAFT_READ_LOST;
    a->open = state == RAFT_READ_WAITS;
    totals.reads += state == RAFT_READ_PROVEN;
    if (state == RAFT_READ_PROVEN && a->read.index < a->committed && world->violation[0] == '\0')
        snprintf(world->violation, sizeof(world->violation),
                 "node %u answers a read with %lu, %lu was committed when it was asked", id,
                 a->read.index, a->committed);
}

static void advance(struct world *world, const struct knobs *knobs)
{
    uint32_t what = below(world, 100);
    uint8_t id = any_node(world);
    disturb(world, knobs);
    if (what < 45) {
        for (uint32_t i = 0; i < knobs->pace; i++)
            deliver_one(world, knobs);
    } else if (what < 75) {
        world->now_ns += below(world, 3000) * US;
        world_tick(world, id);
    } else if (what < 90) {
        write_some(world, id);
    } else if (world->node[id].raft.role == RAFT_LEADER && world->node[id].log.last < 4000) {
        if (below(world, 1000) < knobs->transfer)
            world_transfer(world, id, below(world, 2) == 0 ? 0 : any_node(world));
        else if (below(world, 8) == 0)
            world_no_space(world, id);
        else
            world_propose(world, id, 1 + below(world, 20));
    }
    look_at_read(world, id);
}

static const struct raft_config *newest_config(const struct world *world)
{
    uint64_t index = world->committed.last;
    while (index > 0 && world->committed.entry[index].config == 0)
        index--;
    return &world->config[index == 0 ? 0 : world->committed.entry[index].config];
}

/* Pitfall 6: after everything healed, a commit follows. */
static bool heals(struct world *world)
{
    memset(world->cut, 0, sizeof(world->cut));
    for (uint8_t id = 1; id <= world->count; id++) {
        if (!world->node[id].up)
            world_restart(world, id);
        world->node[id].slow = false;
        world->node[id].no_space = world->node[id].scarce = false;
        world_durable(world, id, world->node[id].raft.next_lsn - 1);
    }
    if (!quorums_live(world) || !copies_left(world)) { /* promises hold all the same */
        totals.hopeless++;
        return true;
    }
    /* Whoever is a member by the last committed configuration, and not wiped, has to get there. */
    uint64_t goal = world->committed.last + 10;
    uint64_t until = world->now_ns + 20 * world->options.election_min_ns;
    while (world->now_ns < until && world->violation[0] == '\0') {
        world->now_ns += world->options.heartbeat_ns / 4;
        for (uint8_t id = 1; id <= world->count; id++) {
            world_tick(world, id);
            world_propose(world, id, 1);
        }
        for (uint32_t i = 0; i < HEAL_ROUNDS && world->bag_count > 0; i++)
            world_deliver(world, 0);
        const struct raft_config *config = newest_config(world);
        uint32_t members = (config->voters | config->learners) & living(world, config);
        bool all = config->voters_new == 0;
        for (uint8_t id = 1; id <= world->count; id++)
            all = all && ((members >> id & 1) == 0 || world->node[id].raft.commit >= goal);
        if (all)
            return true;
    }
    return false;
}

static bool run_seed(struct world *world, uint64_t seed)
{
    static const uint32_t sizes[] = {3, 5, 3, 5, 3, 1, 4, 2};
    static const struct raft_options options = {.election_min_ns = 20000000,
                                                .heartbeat_ns = 2000000,
                                                .stall_ns = 60000000,
                                                .flights = 4,
                                                .flight_bytes = 2000};
    /* Half of the worlds change their members; they have spare nodes, some of which learn. */
    bool changes = seed % 2 == 0;
    uint32_t voters = ((UINT32_C(1) << sizes[seed / 2 % 8]) - 1) << 1;
    uint32_t count =
        changes && sizes[seed / 2 % 8] < 6 ? sizes[seed / 2 % 8] + 2 : sizes[seed / 2 % 8];
    world_init(world, count, voters, 0, &options, seed * UINT64_C(0x9e3779b97f4a7c15) | 1);
    static struct reach reach;
    reach_init(&reach);
    if (getenv("KEEL_RAFT_REACH") != NULL)
        reach_follow(world, &reach);
    if (getenv("KEEL_RAFT_TRACE") != NULL)
        world->trace = stdout;
    struct knobs knobs = {.loss = below(world, 2) * below(world, 300),
                          .duplicate = below(world, 2) * below(world, 500),
                          .fifo = below(world, 2) * 1000,
                          .crash = below(world, 2) * below(world, 100),
                          .cut = below(world, 2) * below(world, 100),
                          .isolate = below(world, 2) * below(world, 100),
                          .slow = below(world, 2) * below(world, 200),
                          .space = below(world, 4) == 0 ? 20 : 0,
                          .heal = 20 + below(world, 100),
                          .pace = 1,
                          .install = below(world, 2) * below(world, 400),
                          .transfer = below(world, 2) * below(world, 600),
                          .change = changes ? 50 + below(world, 800) : 0,
                          .wipe = changes ? below(world, 2) * below(world, 60) : 0,
                          .rot = below(world, 2) * below(world, 300)};
    if (knobs.rot > 0)
        knobs.wipe = 0;                   /* a lost drive would take the last good copy with it */
    if (changes && below(world, 4) > 0) { /* leaders that live long enough to change something */
        knobs.pace = 4 + below(world, 8);
        knobs.crash /= 4;
        knobs.cut /= 4;
        knobs.isolate /= 4;
    }
    for (uint8_t id = 1; id <= world->count; id++)
        world->node[id].slow = below(world, 2) == 0;
    memset(asked, 0, sizeof(asked));
    for (uint32_t i = 0; i < STEPS && world->violation[0] == '\0'; i++)
        advance(world, &knobs);
    bool healed = heals(world);
    char name[32];
    snprintf(name, sizeof(name), "%lu", seed);
    reach_print(reach.count, reach.first_ns, stdout, name);
    totals.elections += world->elections;
    totals.truncations += world->truncations;
    totals.installs += world->installs;
    totals.rots += world->rots;
    totals.repaired += world->repaired;
    totals.settled += world->settled;
    totals.given_up += world->given_up;
    totals.kept += world->installs_kept;
    totals.crashes += world->crashes;
    totals.gate_drops += world->gate_drops;
    totals.words += world->words;
    totals.committed += world->committed.last;
    totals.joints += world->joints;
    totals.completed += world->completed;
    totals.wipes += world->wipes;
    totals.reborn += world->reborn;
    totals.worlds++;
    if (world->violation[0] != '\0')
        printf("# seed %lu: %s\n", seed, world->violation);
    else if (!healed)
        printf("# seed %lu: no commit everywhere after the heal\n", seed);
    bool good = healed && world->violation[0] == '\0';
    if (!good)
        printf("# replay: KEEL_RAFT_SEED=%lu build/tests/unit/raft/test_raft_random\n", seed);
    return good;
}

static uint64_t number_of(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text == NULL ? otherwise : strtoull(text, NULL, 10);
}

static void random_worlds(void)
{
    struct world *world = malloc(sizeof(*world));
    CU_ASSERT_PTR_NOT_NULL_FATAL(world);
    uint64_t first = number_of("KEEL_RAFT_SEED", 1);
    uint64_t count = number_of("KEEL_RAFT_SEEDS", getenv("KEEL_RAFT_SEED") != NULL ? 1 : SEEDS);
    uint64_t failed = 0;
    for (uint64_t seed = first; seed < first + count && failed < 5; seed++)
        failed += !run_seed(world, seed);
    CU_ASSERT_EQUAL(failed, 0);
    printf(
        "# %lu worlds: %lu elections, %lu truncations, %lu crashes, %lu gate drops, %lu words of "
        "transfers, %lu entries committed, %lu joint configurations, %lu others, %lu wipes, %lu "
        "voters reborn, %lu without quorum\n",
        totals.worlds, totals.elections, totals.truncations, totals.crashes, totals.gate_drops,
        totals.words, totals.committed, totals.joints, totals.completed, totals.wipes,
        totals.reborn, totals.hopeless);
    printf("# %lu installs, %lu with the log kept; %lu entries lost, %lu repaired, %lu leaders "
           "settled a hole, %lu by giving it up; %lu reads proven\n",
           totals.installs, totals.kept, totals.rots, totals.repaired, totals.settled,
           totals.given_up, totals.reads);
    if (count >= SEEDS) { /* pitfall 14: a generator that never makes the bad input */
        CU_ASSERT(totals.elections > 2 * count);
        CU_ASSERT(totals.truncations > count / 4);
        CU_ASSERT(totals.crashes > count);
        CU_ASSERT(totals.gate_drops > count / 4);
        CU_ASSERT(totals.committed > 20 * count);
        CU_ASSERT(totals.joints > count / 4);
        CU_ASSERT(totals.completed > count / 2);
        CU_ASSERT(totals.words > count / 2);
        CU_ASSERT(totals.wipes > count / 4);
        CU_ASSERT(totals.reborn > count / 20);
        CU_ASSERT(totals.hopeless < count / 10);
        CU_ASSERT(totals.installs > count / 4 && totals.kept > count / 4);
        CU_ASSERT(totals.repaired > count && totals.settled > count / 8);
        CU_ASSERT(totals.given_up > count / 40);
        CU_ASSERT(totals.reads > count);
    }
    free(world);
}

int main(void)
{
    static const struct unit_test tests[] = {
        {"random worlds keep Raft's promises and heal", random_worlds}, {0}};
    return unit_main("raft_random", tests);
}
