/* keel-stage BURST SHAPE SIDE ROUNDS: fixed input for callgrind, which counts what stage.py reads.
 *
 * A round: BURST messages come in one burst (SHAPE `spread`: a datagram and session for each; SHAPE
 * `packed`: one session), and everybody turns until all are answered. SIDE says whose turns are
 * collected in measured rounds: `leader`, `follower` (the first of two), or `none`. Prints what was
 * done, so that a count is not divided by messages that did not come.
 */
#include "dataplane/loop.h"
#include "perf/clock_fixed.h"
#include "perf/cluster.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <valgrind/callgrind.h>

enum {
    STAGE_SLOTS = 8192,
    STAGE_WINDOW = 1024,
    STAGE_TURN_NS = 10000, /* the clock moves so much a turn of all */
    STAGE_READY_NS = 50000,
    STAGE_READY_TURNS = 200000,
    STAGE_ANSWER_TURNS = 64,
    STAGE_WARM = 32 /* rounds before those measured */
};

enum side { SIDE_NONE, SIDE_LEADER, SIDE_FOLLOWER };

static void turn_node(struct cluster *c, struct cluster_node *n, bool collect)
{
    if (collect)
        CALLGRIND_TOGGLE_COLLECT;
    loop_turn(n->replica);
    cluster_disk(n);
    cluster_feed(c, n);
    if (collect)
        CALLGRIND_TOGGLE_COLLECT;
    cluster_aux(n);
    cluster_control(c, n);
}

static void turn(struct cluster *c, uint64_t ns, uint32_t collect_id)
{
    clock_fixed_advance(c->clock, ns);
    cluster_clients_tick(c);
    for (uint32_t id = 1; id <= CLUSTER_REPLICAS; id++)
        turn_node(c, &c->node[id], id == collect_id);
    fabric_turn(c->fabric);
}

static bool round_of(struct cluster *c, uint32_t burst, bool packed, uint32_t collect_id)
{
    for (uint32_t i = 0; i < (packed ? 1 : burst); i++)
        cluster_submit(c, i, packed ? burst : 1);
    uint32_t turns = 0;
    for (; turns < STAGE_ANSWER_TURNS && cluster_unanswered(c) > 0; turns++)
        turn(c, STAGE_TURN_NS, collect_id);
    return cluster_unanswered(c) == 0;
}

static int run(struct cluster *c, uint32_t burst, bool packed, enum side side, uint32_t rounds)
{
    uint32_t turns = 0;
    for (; turns < STAGE_READY_TURNS && !cluster_ready(c); turns++)
        turn(c, STAGE_READY_NS, 0);
    uint32_t leader = cluster_leader(c);
    if (leader == 0 || !cluster_ready(c)) {
        fprintf(stderr, "keel-stage: no leader or no session after %u turns\n", turns);
        return 1;
    }
    uint32_t collect_id = 0;
    if (side == SIDE_LEADER)
        collect_id = leader;
    else if (side == SIDE_FOLLOWER)
        collect_id = leader == 1 ? 2 : 1;
    for (uint32_t i = 0; i < STAGE_WARM; i++)
        if (!round_of(c, burst, packed, 0))
            return 1;
    struct replica *r = c->node[leader].replica;
    uint64_t before = r->metrics.sequenced, pages = r->metrics.turns;
    CALLGRIND_START_INSTRUMENTATION;
    for (uint32_t i = 0; i < rounds; i++) {
        if (!round_of(c, burst, packed, collect_id)) {
            fprintf(stderr, "keel-stage: a round is not answered in %d turns\n",
                    STAGE_ANSWER_TURNS);
            return 1;
        }
    }
    CALLGRIND_STOP_INSTRUMENTATION;
    if (cluster_leader(c) != leader || fabric_lost(c->fabric) != 0) {
        fprintf(stderr, "keel-stage: the leader changed or frames were lost\n");
        return 1;
    }
    printf("{\"messages\": %lu, \"rounds\": %u, \"turns\": %lu}\n",
           (unsigned long)(r->metrics.sequenced - before), rounds,
           (unsigned long)(r->metrics.turns - pages));
    return 0;
}

int main(int argc, char **argv)
{
    uint32_t burst = argc == 5 ? (uint32_t)strtoul(argv[1], NULL, 10) : 0;
    uint32_t rounds = argc == 5 ? (uint32_t)strtoul(argv[4], NULL, 10) : 0;
    if (burst < 1 || burst > CLUSTER_CLIENTS_MAX || rounds < 1) {
        fprintf(stderr,
                "usage: keel-stage BURST(1..%d) spread|packed leader|follower|none ROUNDS\n",
                CLUSTER_CLIENTS_MAX);
        return 2;
    }
    enum side side = SIDE_NONE;
    if (strcmp(argv[3], "leader") == 0)
        side = SIDE_LEADER;
    else if (strcmp(argv[3], "follower") == 0)
        side = SIDE_FOLLOWER;
    struct clock *clock;
    if (clock_open(&clock) != 0)
        return 1;
    bool packed = strcmp(argv[2], "packed") == 0;
    struct cluster *c = cluster_new(clock, packed ? 1 : burst, STAGE_SLOTS, STAGE_WINDOW);
    if (c == NULL)
        return 1;
    int status = run(c, burst, packed, side, rounds);
    cluster_free(c);
    clock_close(clock);
    return status;
}
