/* keel-loop: cycles per committed message at the leader, three replicas turned on one thread over
 * net_ring and drives of memory. Prints one JSON object a line: facts, then one for each batch.
 *
 * Only the leader's turns are timed (TSC); clients, followers and the switch take theirs between.
 * The leader's seq, disk and feed turns are counted apart. keel-loop-probed is the same program
 * whose stages are counted too (probe.h): its totals are dearer, its shares are what it is for.
 */
#include "dataplane/loop.h"
#include "perf/cluster.h"
#if LOOP_PROBED
#include "perf/probe.h"
#endif

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <x86intrin.h>

enum {
    LOOP_SLOTS = 16384, /* 64 MiB a replica */
    LOOP_RUNS = 11,
    LOOP_READY_MS = 10000,
    LOOP_DISCIPLINE_NS = 1000000000,
    LOOP_RUN_TURNS = 2000000 /* a run that takes more has stopped committing */
};

struct batch {
    uint32_t clients, burst; /* messages that each client submits between two turns */
    uint64_t messages;       /* of one run */
};

static const struct batch batches[] = {{1, 1, 4000},    {8, 1, 16000},  {32, 1, 32000},
                                       {4, 4, 32000},   {8, 16, 64000}, {16, 16, 128000},
                                       {32, 16, 128000}};
enum { BATCHES = sizeof(batches) / sizeof(batches[0]) };

struct spent { /* cycles, and what was done with them */
    uint64_t seq, disk, feed, turns, messages;
};

struct bench {
    struct cluster *c;
    uint32_t leader;
    uint64_t disciplined_ns;
};

static void leader_turn(struct bench *b, struct spent *spent)
{
    struct cluster_node *n = &b->c->node[b->leader];
#if LOOP_PROBED
    probe_start();
#endif
    uint64_t t0 = __rdtsc();
    loop_turn(n->replica);
    uint64_t t1 = __rdtsc();
#if LOOP_PROBED
    probe_stop();
#endif
    uint64_t t2 = __rdtsc();
    cluster_disk(n);
    uint64_t t3 = __rdtsc();
    cluster_feed(b->c, n);
    uint64_t t4 = __rdtsc();
    spent->seq += t1 - t0;
    spent->disk += t3 - t2;
    spent->feed += t4 - t3;
    spent->turns++;
}

static void turn(struct bench *b, struct spent *spent)
{
    struct cluster *c = b->c;
    cluster_clients_tick(c);
    fabric_turn(c->fabric);
    for (uint32_t id = 1; id <= CLUSTER_REPLICAS; id++) {
        struct cluster_node *n = &c->node[id];
        if (id == b->leader) {
            leader_turn(b, spent);
        } else {
            loop_turn(n->replica);
            cluster_disk(n);
            cluster_feed(c, n);
        }
        cluster_aux(n);
        cluster_control(c, n);
        fabric_turn(c->fabric);
    }
    uint64_t now_ns = clock_now_ns(c->clock);
    if (now_ns - b->disciplined_ns > LOOP_DISCIPLINE_NS) {
        b->disciplined_ns = now_ns;
        clock_discipline(c->clock);
    }
}

/* One run; false if commits stopped. */
static bool run(struct bench *b, const struct batch *batch, struct spent *spent)
{
    struct replica *r = b->c->node[b->leader].replica;
    uint64_t from = r->metrics.sequenced;
    memset(spent, 0, sizeof(*spent));
    for (uint32_t i = 0; i < LOOP_RUN_TURNS; i++) {
        for (uint32_t k = 0; k < batch->clients; k++)
            cluster_submit(b->c, k, batch->burst);
        turn(b, spent);
        spent->messages = r->metrics.sequenced - from;
        if (spent->messages >= batch->messages)
            return r->raft.role == RAFT_LEADER;
    }
    return false;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

#if LOOP_PROBED
static void print_stages(uint64_t messages)
{
    struct probe probe;
    printf(", \"stages\": [");
    for (uint32_t i = 0; probe_at(i, &probe); i++)
        printf("%s[\"%s\", %.1f, %.3f]", i == 0 ? "" : ", ", probe.name,
               (double)probe.cycles / (double)messages, (double)probe.calls / (double)messages);
    printf("]");
    probe_clear();
}
#endif

static bool measure(struct bench *b, const struct batch *batch)
{
    double seq[LOOP_RUNS], disk[LOOP_RUNS], feed[LOOP_RUNS], turns = 0;
    struct spent spent;
    if (!run(b, batch, &spent)) /* warm */
        return false;
    uint64_t messages = 0;
#if LOOP_PROBED
    probe_clear();
#endif
    for (uint32_t i = 0; i < LOOP_RUNS; i++) {
        if (!run(b, batch, &spent))
            return false;
        double n = (double)spent.messages;
        seq[i] = (double)spent.seq / n;
        disk[i] = (double)spent.disk / n;
        feed[i] = (double)spent.feed / n;
        turns += (double)spent.turns;
        messages += spent.messages;
    }
    qsort(seq, LOOP_RUNS, sizeof(seq[0]), by_value);
    qsort(disk, LOOP_RUNS, sizeof(disk[0]), by_value);
    qsort(feed, LOOP_RUNS, sizeof(feed[0]), by_value);
    printf("{\"clients\": %u, \"burst\": %u, \"messages\": %lu, \"per_turn\": %.1f, "
           "\"seq_best\": %.0f, \"seq_median\": %.0f, \"disk_median\": %.0f, \"feed_median\": %.0f",
           batch->clients, batch->burst, (unsigned long)messages, (double)messages / turns, seq[0],
           seq[LOOP_RUNS / 2], disk[LOOP_RUNS / 2], feed[LOOP_RUNS / 2]);
#if LOOP_PROBED
    print_stages(messages);
#endif
    printf("}\n");
    fflush(stdout);
    return true;
}

/* Until everybody has a session at a leader. */
static bool begin(struct bench *b)
{
    struct spent none = {0};
    uint64_t until_ns = clock_now_ns(b->c->clock) + LOOP_READY_MS * UINT64_C(1000000);
    while (!cluster_ready(b->c) && clock_now_ns(b->c->clock) < until_ns) /* bound: until_ns */
        turn(b, &none);
    b->leader = cluster_leader(b->c);
    return cluster_ready(b->c);
}

static double tsc_ghz(struct clock *clock)
{
    uint64_t ns = clock_now_ns(clock), cycles = __rdtsc(), now_ns = ns;
    while (now_ns - ns < 50000000) /* bound: 50 ms */
        now_ns = clock_now_ns(clock);
    return (double)(__rdtsc() - cycles) / (double)(now_ns - ns);
}

int main(void)
{
    struct bench b = {0};
    struct clock *clock;
    if (clock_open(&clock) != 0) {
        fprintf(stderr, "keel-loop: no clock\n");
        return 1;
    }
    b.c = cluster_new(clock, CLUSTER_CLIENTS_MAX, LOOP_SLOTS, 0);
    if (b.c == NULL)
        return 1;
    int status = 1;
    if (!begin(&b)) {
        fprintf(stderr, "keel-loop: no leader and sessions within %d ms\n", LOOP_READY_MS);
    } else {
        printf("{\"tsc_ghz\": %.3f}\n", tsc_ghz(clock));
        uint32_t done = 0;
        while (done < BATCHES && measure(&b, &batches[done]))
            done++;
        if (done < BATCHES)
            fprintf(stderr, "keel-loop: commits stopped or the leader changed\n");
        if (fabric_lost(b.c->fabric) != 0)
            fprintf(stderr, "keel-loop: %lu frames were lost\n",
                    (unsigned long)fabric_lost(b.c->fabric));
        status = done == BATCHES ? 0 : 1;
    }
    cluster_free(b.c);
    clock_close(clock);
    return status;
}
