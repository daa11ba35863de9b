/* keel-gray: what one slow drive or link does to the latency of a simulated cluster, and what is
 * left of an overload.
 *
 *     keel-gray [--seeds N] [--seed S] [--kind drive|link|overload] [--factor N] [--whole]
 *
 * Each seed runs twice in simulated time, with the same draws: once healthy, once with one replica
 * whose drive or whose links take 10, 100 or 1,000 times as long from a second after the start on,
 * until the end. Messages come at a steady rate, and a message's latency counts from when it was
 * due, those that had to be held back too. Half of the seeds slow the replica that leads at that
 * moment, the other half a follower. Latency counts from SETTLED_NS on, or with --whole from the
 * onset; --verbose prints each seed, with the onset's own longest wait. An overload is so many
 * times the rate from the onset until CALM_NS; what comes from SETTLED_NS on must be as if there
 * had been none. One line a kind and factor: the median and the extremes of p99.9 over p99.9
 * healthy. Exit 1 if a median is above RISE or a check of the simulator fails: simulated time is
 * exact, so this can be held.
 */
#include "tests/sim/world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FACTORS_MAX = 8, SEEDS_MAX = 1000, SAMPLES_MAX = 1 << 20 };

#define ONSET_NS UINT64_C(3000000000)
#define CALM_NS UINT64_C(5500000000)
#define SETTLED_NS UINT64_C(6000000000)
#define QUIET_NS UINT64_C(16000000000)
#define END_NS UINT64_C(17000000000)
#define RATE 1000 /* messages a second */

static const double RISE = 1.1;

enum kind { HEALTHY, SLOW_DRIVE, SLOW_LINK, OVERLOAD, KINDS };
static const char *const kind_names[KINDS] = {"healthy", "drive", "link", "overload"};

struct run {
    enum kind kind;
    uint32_t factor;
    bool leader; /* slow the leader, else the replica after it */
    bool whole;
    uint32_t slow; /* which one it is; 0: not yet */
    uint32_t count;
    uint64_t *late_ns; /* sorted at the end */
    uint64_t onset_ns; /* the longest wait between onset and settled */
    uint32_t leads;    /* at the end */
    bool failed;
    char failure[400];
};

static uint32_t leader_of(const struct world *world)
{
    uint32_t leader = 0;
    uint64_t term = 0;
    for (uint32_t id = 1; id <= world->knobs.nodes; id++) {
        const struct node *node = &world->node[id];
        if (node->up && node->replica->raft.role == RAFT_LEADER &&
            node->replica->raft.term > term) {
            leader = id;
            term = node->replica->raft.term;
        }
    }
    return leader;
}

/* A node's next turn may be a millisecond away while its drive completes: good enough to look for
 * faults, too coarse to measure. Here a completion is seen when it is there, as by a core that
 * polls. */
static void poll_drives(struct world *world)
{
    for (uint32_t id = 1; id <= world->knobs.nodes; id++) {
        struct node *node = &world->node[id];
        uint64_t due_ns = node->up ? sim_disk_due_ns(node) : UINT64_MAX;
        if (due_ns < node->turn_at_ns)
            node_wake(world, node, due_ns);
    }
}

static void look(struct world *world, void *context)
{
    struct run *run = context;
    poll_drives(world);
    if (run->kind == OVERLOAD && world->now_ns >= ONSET_NS)
        world->knobs.rate = RATE * (world->now_ns < CALM_NS ? run->factor : 1);
    if (world->now_ns < ONSET_NS || run->slow != 0 || leader_of(world) == 0)
        return;
    run->slow = run->leader ? leader_of(world) : leader_of(world) % world->knobs.nodes + 1;
    if (run->kind == SLOW_DRIVE)
        world->node[run->slow].media.slow_factor = run->factor;
    else if (run->kind == SLOW_LINK)
        world->link_factor[run->slow] = run->factor;
}

static void answered(struct world *world, void *context, uint64_t late_ns)
{
    struct run *run = context;
    if (world->now_ns >= ONSET_NS && world->now_ns < SETTLED_NS && late_ns > run->onset_ns)
        run->onset_ns = late_ns;
    if (world->now_ns >= (run->whole ? ONSET_NS : SETTLED_NS) && run->count < SAMPLES_MAX)
        run->late_ns[run->count++] = late_ns;
}

static int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* A quiet world of three: what is drawn is when things happen, not what goes wrong. */
static void draw(struct world *world, uint64_t seed)
{
    world_draw(world, seed);
    struct knobs *k = &world->knobs;
    k->nodes = 3;
    k->guests = 1; /* of several, it would be chance whether their messages meet */
    k->rate = RATE;
    k->loss_ppm = k->duplicate_ppm = k->failed_write_ppm = k->drift_ppm = 0;
    k->delay_min_ns = 5000;
    k->delay_max_ns = 20000;
    k->reorder = false;
    k->write_min_ns = 20000;
    k->write_max_ns = 100000;
    k->slow_factor = 1;
    k->faults = 0;
    k->transfer_every_ns = 0;
    k->clog_max_ns = 0;
    k->late_ns = 1000000000; /* a slow host's frames */
    k->turn_ns = 2000;
    k->control_ns = 1000000;
    k->checkpoint_ms = 1000;
    k->scrub_pages_s = 0;
    k->window_pages = 256;
    k->slots = 4096;
    k->checkpoint_share = 0; /* the default */
    k->ttl_ms = 60000;
    k->days = k->ends = false;
    k->quiet_ns = QUIET_NS;
    k->end_ns = END_NS;
    k->faults_until_ns = k->blackout_ns = END_NS + 1;
}

static void measure(struct run *run, uint64_t seed)
{
    struct world *world = calloc(1, sizeof(*world));
    run->late_ns = malloc(SAMPLES_MAX * sizeof(*run->late_ns));
    ENSURE(world != NULL && run->late_ns != NULL);
    draw(world, seed);
    world->onlooker = (struct onlooker){.context = run, .event = look, .answered = answered};
    run->failed = !world_run(world);
    memcpy(run->failure, world->failure, sizeof(run->failure));
    run->leads = run->failed ? 0 : leader_of(world);
    world_free(world);
    free(world);
    qsort(run->late_ns, run->count, sizeof(*run->late_ns), by_value);
}

static uint64_t quantile(const struct run *run, double q)
{
    return run->count == 0 ? 0 : run->late_ns[(uint64_t)(q * (double)(run->count - 1))];
}

struct task {
    enum kind kind;
    uint32_t factor;
    uint64_t first, seeds;
    bool whole, verbose;
};

static double ms(uint64_t ns)
{
    return (double)ns / 1e6;
}

/* Of one run: what it is compared by. */
struct figures {
    bool known;
    uint64_t p50, p999, onset_ns;
};

static bool run_one(struct run *run, uint64_t seed, struct figures *figures)
{
    measure(run, seed);
    *figures = (struct figures){.known = true,
                                .p50 = quantile(run, 0.5),
                                .p999 = quantile(run, 0.999),
                                .onset_ns = run->onset_ns};
    free(run->late_ns);
    if (run->failed)
        printf("keel-gray: seed %lu: %s\n", (unsigned long)seed, run->failure);
    return !run->failed;
}

/* The ratio of one seed; negative: a check failed. Its healthy run is the same for every kind. */
static double pair(const struct task *task, uint64_t seed)
{
    static struct figures healthies[SEEDS_MAX];
    struct figures *healthy = &healthies[seed - task->first], slow;
    struct run run = {.kind = HEALTHY, .leader = seed % 2 == 0, .whole = task->whole};
    if (!healthy->known && !run_one(&run, seed, healthy))
        return -1;
    run = (struct run){
        .kind = task->kind, .factor = task->factor, .leader = seed % 2 == 0, .whole = task->whole};
    if (!run_one(&run, seed, &slow))
        return -1;
    double ratio = (double)slow.p999 / (double)healthy->p999;
    if (task->verbose)
        printf("  seed %lu: %s of replica %u, %s: p50 %.3f and %.3f ms, p99.9 %.3f and %.3f ms, "
               "ratio %.2f; replica %u leads; longest wait at the onset %.3f ms, healthy %.3f\n",
               (unsigned long)seed, kind_names[task->kind], run.slow,
               run.leader ? "which led" : "a follower", ms(healthy->p50), ms(slow.p50),
               ms(healthy->p999), ms(slow.p999), ratio, run.leads, ms(slow.onset_ns),
               ms(healthy->onset_ns));
    return ratio;
}

static int by_double(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static bool series(const struct task *task)
{
    static double ratios[SEEDS_MAX];
    for (uint64_t i = 0; i < task->seeds; i++)
        ratios[i] = pair(task, task->first + i);
    qsort(ratios, task->seeds, sizeof(*ratios), by_double);
    double median = ratios[task->seeds / 2];
    bool good = ratios[0] >= 0 && median <= RISE;
    char what[64];
    snprintf(what, sizeof(what), task->kind == OVERLOAD ? "%s of %u x, over" : "a %s %u x slower",
             kind_names[task->kind], task->factor);
    printf("%s%s: p99.9 %.2f x healthy (median of %lu seeds, %.2f to %.2f)\n",
           good ? "ok    " : "FAIL  ", what, median, (unsigned long)task->seeds, ratios[0],
           ratios[task->seeds - 1]);
    fflush(stdout);
    return good;
}

static int usage(void)
{
    fprintf(stderr, "usage: keel-gray [--seeds N] [--seed S] [--kind drive|link|overload]\n"
                    "                 [--factor N] [--whole] [--verbose]\n"
                    "A simulated cluster with one slow drive or link, or an overload, beside the "
                    "same without: p99.9 may rise by a tenth.\n");
    return 2;
}

static enum kind kind_of(const char *name)
{
    for (int kind = SLOW_DRIVE; kind < KINDS; kind++)
        if (strcmp(kind_names[kind], name) == 0)
            return (enum kind)kind;
    return KINDS;
}

int main(int argc, char **argv)
{
    static const uint32_t factors[] = {10, 100, 1000};
    struct task task = {.first = 1, .seeds = 4};
    for (int i = 1; i < argc; i++) {
        bool more = i + 1 < argc;
        if (strcmp(argv[i], "--seeds") == 0 && more)
            task.seeds = strtoull(argv[++i], NULL, 10);
        else if (strcmp(argv[i], "--seed") == 0 && more)
            task.first = strtoull(argv[++i], NULL, 10);
        else if (strcmp(argv[i], "--factor") == 0 && more)
            task.factor = (uint32_t)strtoul(argv[++i], NULL, 10);
        else if (strcmp(argv[i], "--kind") == 0 && more)
            task.kind = kind_of(argv[++i]);
        else if (strcmp(argv[i], "--whole") == 0)
            task.whole = true;
        else if (strcmp(argv[i], "--verbose") == 0)
            task.verbose = true;
        else
            return usage();
    }
    if (task.seeds == 0 || task.seeds > SEEDS_MAX)
        return usage();
    if (task.kind == KINDS)
        return usage();
    bool good = true;
    for (int kind = SLOW_DRIVE; kind < KINDS; kind++)
        for (size_t f = 0; f < sizeof(factors) / sizeof(factors[0]); f++) {
            struct task one = task;
            one.kind = (enum kind)kind;
            one.factor = task.factor != 0 ? task.factor : factors[f];
            bool wanted = task.kind == HEALTHY || task.kind == one.kind;
            if (wanted && (task.factor == 0 || f == 0))
                good = series(&one) && good;
        }
    return good ? 0 : 1;
}
