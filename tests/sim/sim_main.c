/* keel-sim: runs seeds and says what happened in them. */
#include "tests/sim/world.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

struct totals {
    uint64_t seeds, failed, lively, steps, committed;
    double simulated_s;
    uint64_t count[FAULT_COUNT];
};

static const char usage[] =
    "keel-sim --seeds N [--seed S] [--trace] [--verbose]\n"
    "\n"
    "Runs N simulated clusters, seeds S, S+1, ... (default 1), and checks Keel's promises after every\n"
    "step. Prints the faults that happened, the speed, and for a failing seed the command that replays it.\n"
    "\n"
    "  --seeds N    how many seeds\n"
    "  --seed S     the first one\n"
    "  --trace      print a line with the trace hash for each seed\n"
    "  --verbose    print starts, crashes and leader changes\n"
    "  --quiet      no progress line\n"
    "\n"
    "Example: keel-sim --seeds 1 --seed 42 --trace\n"
    "Exit: 0 all held, 1 a check failed, 2 usage.\n";

static double wall_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static bool run_seed(uint64_t seed, bool trace, bool verbose, struct totals *totals)
{
    struct world *world = malloc(sizeof(*world));
    ENSURE(world != NULL);
    world_draw(world, seed);
    world->verbose = verbose;
    bool good = world_run(world);
    uint64_t committed = check_committed(world);
    totals->seeds++;
    totals->steps += world->steps;
    totals->committed += committed;
    totals->simulated_s += (double)world->now_ns / 1e9;
    for (uint32_t f = 0; f < FAULT_COUNT; f++)
        totals->count[f] += world->count[f];
    if (committed >= world->committed_at_last_fault + 100)
        totals->lively++;
    else if (verbose)
        printf("seed %lu: only %lu messages after the last fault\n", (unsigned long)seed,
               (unsigned long)(committed - world->committed_at_last_fault));
    if (trace)
        printf("seed %lu trace %016lx committed %lu nodes %u\n", (unsigned long)seed,
               (unsigned long)world->trace, (unsigned long)committed, world->knobs.nodes);
    if (!good) {
        totals->failed++;
        printf("\nFAILED seed %lu: %s\n  replay: ./dev sim --seeds 1 --seed %lu --verbose\n",
               (unsigned long)seed, world->failure, (unsigned long)seed);
    }
    world_free(world);
    free(world);
    return good;
}

static int summary(const struct totals *t, double took_s)
{
    printf("%lu seeds, %.2f simulated hours in %.1f s (%.0f x real time), %lu steps, "
           "%lu messages ordered\n",
           (unsigned long)t->seeds, t->simulated_s / 3600, took_s, t->simulated_s / took_s,
           (unsigned long)t->steps, (unsigned long)t->committed);
    printf("faults:");
    uint32_t never = 0;
    for (uint32_t f = 0; f < FAULT_COUNT; f++) {
        printf(" %s %lu", fault_name((enum fault)f), (unsigned long)t->count[f]);
        never += t->count[f] == 0;
    }
    printf("\n%lu of %lu seeds ordered 100 messages or more after their last fault\n",
           (unsigned long)t->lively, (unsigned long)t->seeds);
    if (t->seeds >= 200 && never > 0) {
        printf("FAILED: %u kinds of fault never happened\n", never);
        return 1;
    }
    if (t->lively * 10 < t->seeds * 9) {
        printf("FAILED: fewer than 90 %% of the seeds recovered\n");
        return 1;
    }
    printf("%lu passed, %lu failed\n", (unsigned long)(t->seeds - t->failed),
           (unsigned long)t->failed);
    return t->failed > 0;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"seeds", required_argument, NULL, 'n'}, {"seed", required_argument, NULL, 's'},
        {"trace", no_argument, NULL, 't'},       {"verbose", no_argument, NULL, 'v'},
        {"quiet", no_argument, NULL, 'q'},       {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0}};
    uint64_t seeds = 0, first = 1;
    bool trace = false, verbose = false, quiet = !isatty(2);
    for (int o; (o = getopt_long(argc, argv, "h", options, NULL)) != -1;) {
        switch (o) {
        case 'n':
            seeds = strtoull(optarg, NULL, 10);
            break;
        case 's':
            first = strtoull(optarg, NULL, 10);
            break;
        case 't':
            trace = true;
            break;
        case 'v':
            verbose = true;
            break;
        case 'q':
            quiet = true;
            break;
        case 'h':
            fputs(usage, stdout);
            return 0;
        default:
            fputs(usage, stderr);
            return 2;
        }
    }
    if (seeds == 0 || optind != argc) {
        fputs(usage, stderr);
        return 2;
    }
    struct totals totals = {0};
    double began_s = wall_s();
    for (uint64_t i = 0; i < seeds; i++) {
        run_seed(first + i, trace, verbose, &totals);
        if (!quiet)
            fprintf(stderr, "\r%lu of %lu seeds, %lu failed ", (unsigned long)(i + 1),
                    (unsigned long)seeds, (unsigned long)totals.failed);
    }
    if (!quiet)
        fputc('\n', stderr);
    return summary(&totals, wall_s() - began_s);
}
