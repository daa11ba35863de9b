/* keel-sim: runs seeds, each in a process of its own, a few at a time, and adds up what happened.
 */
#include "tests/sim/timeline.h"

#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    JOBS_MAX = 16,
    LIVELY = 100,
    SEED_WALL_S = 120,
    SEEDS_FOR_FAULTS = 200,
    EXPORT_SLOTS = 8192 /* no wrap: from a whole log the judge decides everything anew */
};

enum event_count { /* beside the faults: a check that never had anything to look at proves nothing
                    */
                   COUNT_LEADERS,
                   COUNT_VOTES,
                   COUNT_CHECKPOINTS,
                   COUNT_DAYS,
                   COUNT_SESSION_ENDS,
                   COUNT_EXPIRIES,
                   COUNT_SEALED,
                   COUNT_REPLAYS,
                   COUNT_HEARTBEATS,
                   COUNT_ANSWERS,
                   COUNT_TRANSFERS_DONE,
                   COUNT_TRANSFERS_GIVEN_UP,
                   COUNT_TRANSFERS_BY_DRIVE, /* because the leader's own lags */
                   COUNT_READS,              /* proven by a quorum */
                   COUNT_INSTALLS,           /* a peer's checkpoint took the place of a log */
                   COUNT_CHUNKS,             /* turns in which some of one arrived */
                   COUNT_RESUMED,            /* starts that found a part of one */
                   COUNT_KINDS
};
static const char *const count_name[COUNT_KINDS] = {"leaders",
                                                    "votes",
                                                    "checkpoints",
                                                    "days",
                                                    "session-ends",
                                                    "expiries",
                                                    "sealed-packets",
                                                    "replays",
                                                    "heartbeats",
                                                    "feed-answers",
                                                    "transfers-done",
                                                    "transfers-given-up",
                                                    "transfers-by-drive",
                                                    "reads",
                                                    "installs",
                                                    "chunk-turns",
                                                    "resumed"};

struct result { /* what a seed's process says, in one write */
    uint64_t seed, trace, steps, committed, after_last_fault, simulated_ns;
    uint64_t fault[FAULT_COUNT], count[COUNT_KINDS];
    uint32_t nodes;
    bool good;
    char failure[400];
};

struct job {
    pid_t pid;
    int pipe;
    uint64_t seed;
};

struct options {
    uint64_t seeds, first;
    uint32_t jobs;
    bool trace, verbose, quiet, stop;
    const char *export_dir;
    struct timeline_options timeline;
};

struct totals {
    uint64_t seeds, failed, lively, steps, committed, simulated_ns;
    uint64_t fault[FAULT_COUNT], count[COUNT_KINDS];
};

static const char usage[] =
    "keel-sim --seeds N [--seed S] [--jobs J] [--trace] [--verbose] [--quiet]\n"
    "         [--stop] [--export DIR]\n" TIMELINE_USAGE_LINE "\n"
    "Runs N simulated clusters, seeds S, S+1, ... (default 1), and checks Keel's promises after "
    "every\n"
    "step. Prints the faults that happened, the speed, and for a failing seed the command that "
    "replays it.\n"
    "\n"
    "  --seeds N     how many seeds\n"
    "  --seed S      the first one\n"
    "  --jobs J      how many at a time (default: the processors, at most 16)\n"
    "  --trace       print a line with the trace hash for each seed\n"
    "  --verbose     print starts, crashes and leader changes\n"
    "  --quiet       no progress line\n"
    "  --stop        stop at the first failing seed\n"
    "  --export DIR  write evidence for keel-judge: DIR/SEED/ring-ID, guest-N.log, lines.pcap, "
    "starts\n" TIMELINE_USAGE "\n"
    "Example: keel-sim --seeds 1 --seed 42 --trace\n"
    "Exit: 0 all held, 1 a check failed, a fault never happened or clusters did not recover, 2 "
    "usage.\n";

static double wall_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void fill(const struct world *world, struct result *result)
{
    const uint64_t counts[COUNT_KINDS] = {world->leaders,
                                          world->votes,
                                          world->checkpoints,
                                          world->days,
                                          world->sessions_ended,
                                          world->sessions_expired,
                                          world->sealed,
                                          world->replays,
                                          world->heartbeats,
                                          world->answers,
                                          world->transfers_done,
                                          world->transfers_given_up,
                                          world->transfers_by_drive,
                                          world->reads,
                                          world->installs,
                                          world->transfers,
                                          world->resumed};
    result->trace = world->trace;
    result->steps = world->steps;
    result->committed = check_committed(world);
    result->after_last_fault = result->committed - world->committed_at_last_fault;
    result->simulated_ns = world->now_ns;
    result->nodes = world->knobs.nodes;
    memcpy(result->fault, world->count, sizeof(result->fault));
    memcpy(result->count, counts, sizeof(counts));
    memcpy(result->failure, world->failure, sizeof(result->failure));
}

static void run_seed(const struct options *options, uint64_t seed, struct result *result)
{
    struct world *world = malloc(sizeof(*world));
    char problem[160];
    ENSURE(world != NULL);
    memset(result, 0, sizeof(*result));
    result->seed = seed;
    world_draw(world, seed);
    world->verbose = options->verbose;
    if (options->export_dir != NULL) {
        world->knobs.slots = EXPORT_SLOTS;
        char directory[256];
        snprintf(directory, sizeof(directory), "%s/%lu", options->export_dir, (unsigned long)seed);
        world->export = export_open(world, directory);
        if (world->export == NULL) {
            fprintf(stderr, "keel-sim: %s: cannot write there\n", directory);
            _exit(2);
        }
    }
    if (options->timeline.path != NULL && timeline_open(world, &options->timeline) == NULL)
        _exit(3); /* main() could, a moment ago */
    result->good = world_run(world);
    fill(world, result);
    if (world->timeline != NULL && !timeline_close(world, problem)) {
        result->good = false;
        snprintf(result->failure, sizeof(result->failure), "its timeline: %s", problem);
    }
    if (world->export != NULL && !export_close(world)) {
        result->good = false;
        snprintf(result->failure, sizeof(result->failure), "the evidence could not be written");
    }
    world_free(world);
    free(world);
}

static void begin(const struct options *options, struct job *job, uint64_t seed)
{
    int ends[2];
    fflush(NULL);
    if (pipe(ends) != 0 || (job->pid = fork()) < 0) {
        perror("keel-sim: no process for a seed");
        exit(2);
    }
    if (job->pid == 0) {
        static struct result result;
        close(ends[0]);
        alarm(SEED_WALL_S);
        run_seed(options, seed, &result);
        fflush(NULL);
        _exit(write(ends[1], &result, sizeof(result)) == sizeof(result) ? 0 : 3);
    }
    close(ends[1]);
    job->pipe = ends[0];
    job->seed = seed;
}

/* A process that ends without a result was stopped by ENSURE, a signal, or the clock. */
static void finish(struct job *job, struct result *result)
{
    size_t have = 0;
    int status = 0;
    for (ssize_t n = 1; n > 0 && have < sizeof(*result);) {
        n = read(job->pipe, (uint8_t *)result + have, sizeof(*result) - have);
        have += n > 0 ? (size_t)n : 0;
    }
    close(job->pipe);
    waitpid(job->pid, &status, 0);
    job->pid = 0;
    if (have == sizeof(*result))
        return;
    memset(result, 0, sizeof(*result));
    result->seed = job->seed;
    snprintf(result->failure, sizeof(result->failure),
             WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM
                 ? "it was still running after %d s of real time (%d)"
                 : "its process ended without a result: signal %d, exit %d",
             WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM ? SEED_WALL_S : WTERMSIG(status),
             WIFEXITED(status) ? WEXITSTATUS(status) : 0);
}

static void add(const struct options *options, const struct result *r, struct totals *totals)
{
    totals->seeds++;
    totals->steps += r->steps;
    totals->committed += r->committed;
    totals->simulated_ns += r->simulated_ns;
    for (uint32_t f = 0; f < FAULT_COUNT; f++)
        totals->fault[f] += r->fault[f];
    for (uint32_t i = 0; i < COUNT_KINDS; i++)
        totals->count[i] += r->count[i];
    totals->lively += r->after_last_fault >= LIVELY;
    if (options->trace)
        printf("seed %lu trace %016lx committed %lu nodes %u\n", (unsigned long)r->seed,
               (unsigned long)r->trace, (unsigned long)r->committed, r->nodes);
    if (r->good)
        return;
    totals->failed++;
    printf("%sFAILED seed %lu: %s\n  replay: ./dev sim --seeds 1 --seed %lu --verbose\n"
           "  to look at: ./dev sim --seed %lu --timeline seed-%lu.html\n",
           options->quiet ? "" : "\n", (unsigned long)r->seed, r->failure, (unsigned long)r->seed,
           (unsigned long)r->seed, (unsigned long)r->seed);
    fflush(stdout);
}

static int any(const struct job *jobs, uint32_t count)
{
    struct pollfd polled[JOBS_MAX];
    for (uint32_t i = 0; i < count; i++)
        polled[i] = (struct pollfd){.fd = jobs[i].pid == 0 ? -1 : jobs[i].pipe, .events = POLLIN};
    if (poll(polled, count, -1) <= 0)
        return -1;
    for (uint32_t i = 0; i < count; i++)
        if (polled[i].revents != 0)
            return (int)i;
    return -1;
}

static void run(const struct options *options, struct totals *totals)
{
    struct job jobs[JOBS_MAX] = {0};
    static struct result result;
    uint64_t begun = 0, running = 0;
    while (running > 0 || (begun < options->seeds && !(options->stop && totals->failed > 0))) {
        for (uint32_t i = 0; i < options->jobs && begun < options->seeds; i++)
            if (jobs[i].pid == 0 && !(options->stop && totals->failed > 0)) {
                begin(options, &jobs[i], options->first + begun++);
                running++;
            }
        int done = any(jobs, options->jobs);
        if (done < 0)
            continue;
        finish(&jobs[done], &result);
        running--;
        add(options, &result, totals);
        if (!options->quiet)
            fprintf(stderr, "\r%lu of %lu seeds, %lu failed ", (unsigned long)totals->seeds,
                    (unsigned long)options->seeds, (unsigned long)totals->failed);
    }
    if (!options->quiet)
        fputc('\n', stderr);
}

static uint32_t print_counts(const char *what, const char *const *names, const uint64_t *count,
                             uint32_t kinds)
{
    uint32_t never = 0;
    printf("%s:", what);
    for (uint32_t i = 0; i < kinds; i++) {
        printf(" %s %lu", names[i], (unsigned long)count[i]);
        never += count[i] == 0;
    }
    putchar('\n');
    return never;
}

static int summary(const struct totals *t, double took_s)
{
    const char *faults[FAULT_COUNT];
    for (uint32_t f = 0; f < FAULT_COUNT; f++)
        faults[f] = fault_name((enum fault)f);
    double simulated_s = (double)t->simulated_ns / 1e9;
    printf("%lu seeds, %.2f simulated hours in %.1f s (%.0f x real time), %lu steps, "
           "%lu messages ordered\n",
           (unsigned long)t->seeds, simulated_s / 3600, took_s, simulated_s / took_s,
           (unsigned long)t->steps, (unsigned long)t->committed);
    uint32_t never = print_counts("faults", faults, t->fault, FAULT_COUNT);
    never += print_counts("seen", count_name, t->count, COUNT_KINDS);
    printf("%lu of %lu seeds ordered %d messages or more after their last fault\n",
           (unsigned long)t->lively, (unsigned long)t->seeds, LIVELY);
    bool good = t->failed == 0;
    if (t->seeds >= SEEDS_FOR_FAULTS && never > 0) {
        printf("FAILED: %u kinds of fault or event never happened\n", never);
        good = false;
    }
    if (t->lively * 10 < t->seeds * 9) {
        printf("FAILED: fewer than 90 %% of the seeds recovered\n");
        good = false;
    }
    printf("%lu passed, %lu failed\n", (unsigned long)(t->seeds - t->failed),
           (unsigned long)t->failed);
    return good ? 0 : 1;
}

static uint32_t jobs_default(void)
{
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    return processors < 1 ? 1 : processors > JOBS_MAX ? JOBS_MAX : (uint32_t)processors;
}

static bool take_option(int option, const char *text, struct options *o)
{
    switch (option) {
    case 'n':
        o->seeds = strtoull(text, NULL, 10);
        return o->seeds > 0;
    case 's':
        o->first = strtoull(text, NULL, 10);
        return true;
    case 'j':
        o->jobs = (uint32_t)strtoul(text, NULL, 10);
        return o->jobs > 0 && o->jobs <= JOBS_MAX;
    case 't':
        o->trace = true;
        return true;
    case 'v':
        o->verbose = true;
        return true;
    case 'q':
        o->quiet = true;
        return true;
    case 'x':
        o->stop = true;
        return true;
    case 'e':
        o->export_dir = text;
        return true;
    default:
        return timeline_option(option, text, &o->timeline);
    }
}

int main(int argc, char **argv)
{
    static const struct option known[] = {{"seeds", required_argument, NULL, 'n'},
                                          {"seed", required_argument, NULL, 's'},
                                          {"jobs", required_argument, NULL, 'j'},
                                          {"trace", no_argument, NULL, 't'},
                                          {"verbose", no_argument, NULL, 'v'},
                                          {"quiet", no_argument, NULL, 'q'},
                                          {"stop", no_argument, NULL, 'x'},
                                          {"export", required_argument, NULL, 'e'},
                                          TIMELINE_LONG_OPTIONS{"help", no_argument, NULL, 'h'},
                                          {NULL, 0, NULL, 0}};
    struct options options = {
        .first = 1, .jobs = jobs_default(), .quiet = !isatty(2), .timeline = TIMELINE_OPTIONS_NONE};
    for (int o; (o = getopt_long(argc, argv, "h", known, NULL)) != -1;) {
        if (o == 'h') {
            fputs(usage, stdout);
            return 0;
        }
        if (!take_option(o, optarg, &options)) {
            fputs(usage, stderr);
            return 2;
        }
    }
    if (options.seeds == 0 && options.timeline.path != NULL)
        options.seeds = 1;
    if (!timeline_options_fit(&options.timeline, options.seeds))
        return 2;
    if (options.seeds == 0 || optind != argc) {
        fputs(usage, stderr);
        return 2;
    }
    if (options.export_dir != NULL)
        mkdir(options.export_dir, 0755); /* a seed that cannot write below it says so */
    struct totals totals = {0};
    double began_s = wall_s();
    run(&options, &totals);
    return summary(&totals, wall_s() - began_s);
}
