/* keel-nth-disk: the n-th operation of one replica's drive fails, for every n, in simulated
 * clusters of three under load. A failed write or zeroing of the ring stops that replica within a
 * turn; the other two go on; a start whose flush or first page fails is refused and succeeds later;
 * a read or a checkpoint that fails stops nobody, nor a start: there are two copies, and peers. All
 * of the simulator's checks hold throughout, and in the end every replica stands and every message
 * is answered. */
#include "tests/sim/world.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    NODES = 3,
    SLOTS = 256, /* the ring goes round, so that slots are zeroed anew */
    WINDOW = 64,
    RATE = 400, /* messages a second */
    GOES_ON = 100
};

static const uint64_t until_ns = 1700000000, quiet_ns = 3200000000, end_ns = 4700000000;

enum outcome { STOPPED, REFUSED, WENT_ON, OUTCOMES };
static const char *const outcome_name[OUTCOMES] = {"stopped", "start-refused", "went-on"};
static const char *const op_name[] = {"none", "write", "zero", "read", "pread", "pwrite", "flush"};
enum { OPS = sizeof(op_name) / sizeof(op_name[0]) };

static struct { /* for the handler alone */
    unsigned long seed, node, nth;
} now;

static uint64_t seen[OPS][OUTCOMES];
static uint64_t read_in_start; /* of the preads that failed */

static const char usage[] = "keel-nth-disk [--seed S] [--every K] [--from F] [--one NODE N]\n"
                            "\n"
                            "Fails operation F, F+K, F+2K, ... (default: 1, 1: each) of each "
                            "replica's drive, one in a run.\n"
                            "Exit: 0 all held, 1 a check failed, or --every 1 and a class of "
                            "outcome never came, 2 usage.\n";

static void aborted(int number)
{
    char text[160];
    int size = snprintf(text, sizeof(text),
                        "FAILED: aborted; replay: keel-nth-disk --seed %lu --one %lu %lu\n",
                        now.seed, now.node, now.nth);
    if (write(2, text, (size_t)size) != size)
        _exit(1);
    signal(number, SIG_DFL);
    raise(number);
}

static void draw(struct world *world, uint64_t seed, uint32_t node, uint64_t nth)
{
    world_draw(world, seed);
    struct knobs *k = &world->knobs;
    *k = (struct knobs){.nodes = NODES,
                        .guests = 1,
                        .delay_min_ns = 5000,
                        .delay_max_ns = 50000,
                        .write_min_ns = 20000,
                        .write_max_ns = 200000,
                        .slow_factor = 1,
                        .fault_every_ns = end_ns,
                        .turn_ns = 2000,
                        .control_ns = 1000000,
                        .checkpoint_ms = 200,
                        .window_pages = WINDOW,
                        .slots = SLOTS,
                        .rate = RATE,
                        .ttl_ms = 60000,
                        .faults_until_ns = 1,
                        .blackout_ns = 2 * end_ns, /* never */
                        .quiet_ns = quiet_ns,
                        .end_ns = end_ns};
    world->plan = (struct disk_plan){.node = node, .nth = nth, .until_ns = until_ns};
}

/* What became of it; a sentence on stdout when it is not what it must be. */
static bool judge(const struct world *world)
{
    const struct disk_plan *plan = &world->plan;
    bool ring = plan->failed == PLAN_WRITE || plan->failed == PLAN_ZERO;
    bool flush = plan->failed == PLAN_FLUSH; /* pitfall 2 */
    enum outcome outcome = plan->stopped ? STOPPED : plan->refused ? REFUSED : WENT_ON;
    const char *what = NULL;
    if (world->failure[0] != 0)
        what = world->failure;
    else if (ring && outcome == WENT_ON)
        what = "the ring lost a write, and its replica went on";
    else if (flush && outcome == WENT_ON)
        what = "a flush failed, and its replica went on";
    else if (!ring && !flush && outcome != WENT_ON)
        what = "it is no reason to stop";
    else if (outcome == STOPPED && plan->went_on < GOES_ON)
        what = "the others did not go on without it";
    seen[plan->failed][outcome]++;
    read_in_start += plan->failed == PLAN_PREAD && plan->in_start;
    if (what == NULL)
        return true;
    printf("FAILED: %s (%s, %s, %lu messages meanwhile)\n"
           "  replay: keel-nth-disk --seed %lu --one %u %lu\n",
           what, op_name[plan->failed], outcome_name[outcome], (unsigned long)plan->went_on,
           (unsigned long)world->seed, plan->node, (unsigned long)plan->nth);
    return false;
}

/* True if it held. *count: operations of that drive that could have failed. */
static bool run_one(uint64_t seed, uint32_t node, uint64_t nth, uint64_t *count)
{
    struct world *world = malloc(sizeof(*world));
    ENSURE(world != NULL);
    now.seed = (unsigned long)seed;
    now.node = node;
    now.nth = (unsigned long)nth;
    draw(world, seed, node, nth);
    world_run(world);
    bool good = true;
    if (world->plan.failed != PLAN_NONE || world->failure[0] != 0)
        good = judge(world);
    *count = world->plan.count;
    world_free(world);
    free(world);
    return good;
}

static int summary(uint64_t runs, uint64_t failed, bool all)
{
    uint64_t never = 0;
    printf("figures: disk-failures %lu", (unsigned long)runs);
    for (uint32_t op = PLAN_WRITE; op < OPS; op++)
        for (uint32_t outcome = 0; outcome < OUTCOMES; outcome++)
            if (seen[op][outcome] > 0)
                printf(" %s-%s %lu", op_name[op], outcome_name[outcome],
                       (unsigned long)seen[op][outcome]);
    printf(" pread-in-start %lu\n", (unsigned long)read_in_start);
    never += seen[PLAN_WRITE][STOPPED] == 0;
    never += seen[PLAN_WRITE][REFUSED] == 0;
    never += seen[PLAN_ZERO][STOPPED] == 0;
    never += seen[PLAN_FLUSH][REFUSED] == 0;
    never += read_in_start == 0;
    never += seen[PLAN_PWRITE][WENT_ON] == 0;
    if (all && never > 0)
        printf("FAILED: %lu classes of outcome never came\n", (unsigned long)never);
    return failed > 0 || (all && never > 0) ? 1 : 0;
}

int main(int argc, char **argv)
{
    uint64_t seed = 1, every = 1, from = 1, count, runs = 0, failed = 0;
    uint32_t one = 0;
    for (int i = 1; i < argc; i++) {
        bool more = i + 1 < argc;
        if (more && strcmp(argv[i], "--seed") == 0)
            seed = strtoull(argv[++i], NULL, 10);
        else if (more && strcmp(argv[i], "--every") == 0)
            every = strtoull(argv[++i], NULL, 10);
        else if (more && strcmp(argv[i], "--from") == 0)
            from = strtoull(argv[++i], NULL, 10);
        else if (i + 2 < argc && strcmp(argv[i], "--one") == 0) {
            one = (uint32_t)strtoul(argv[++i], NULL, 10);
            from = strtoull(argv[++i], NULL, 10);
        } else {
            fputs(usage, stderr);
            return 2;
        }
    }
    if (every == 0 || from == 0 || one > NODES) {
        fputs(usage, stderr);
        return 2;
    }
    signal(SIGABRT, aborted);
    if (one != 0)
        return run_one(seed, one, from, &count) ? 0 : 1;
    for (uint32_t node = 1; node <= NODES; node++) {
        failed += !run_one(seed, node, 0, &count);
        printf("# replica %u: %lu operations can fail\n", node, (unsigned long)count);
        for (uint64_t nth = from, most = count; nth <= most; nth += every, runs++)
            failed += !run_one(seed, node, nth, &count);
    }
    return summary(runs, failed, every == 1);
}
