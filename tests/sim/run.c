#include "tests/sim/run.h"
#include "tests/sim/reached.h"

#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { SEEDS_FOR_FAULTS = 200, EXPORT_SLOTS = 8192 /* no wrap: the judge decides it all anew */ };

struct worker {
    pid_t pid;    /* 0: none */
    int to, from; /* pipes */
    uint64_t seed;
    bool busy;
};

const char *run_count_name(enum event_count count)
{
    static const char *const names[COUNT_ALL] = {
        [COUNT_LEADERS] = "leaders",
        [COUNT_VOTES] = "votes",
        [COUNT_CHECKPOINTS] = "checkpoints",
        [COUNT_DAYS] = "days",
        [COUNT_SESSION_ENDS] = "session-ends",
        [COUNT_EXPIRIES] = "expiries",
        [COUNT_SEALED] = "sealed-packets",
        [COUNT_REPLAYS] = "replays",
        [COUNT_HEARTBEATS] = "heartbeats",
        [COUNT_ANSWERS] = "feed-answers",
        [COUNT_TRANSFERS_DONE] = "transfers-done",
        [COUNT_TRANSFERS_GIVEN_UP] = "transfers-given-up",
        [COUNT_TRANSFERS_BY_DRIVE] = "transfers-by-drive",
        [COUNT_READS] = "reads",
        [COUNT_INSTALLS] = "installs",
        [COUNT_CHUNKS] = "chunk-turns",
        [COUNT_RESUMED] = "resumed",
        [COUNT_LEARNERS] = "learners-added",
        [COUNT_PROMOTED] = "learners-promoted",
        [COUNT_REMOVED] = "members-removed",
        [COUNT_LEADERS_REMOVED] = "leaders-removed",
        [COUNT_GRANTS] = "grants",
        [COUNT_WAITS_GRANTED] = "waits-granted",
        [COUNT_FENCED] = "fenced",
        [COUNT_STALE] = "stale-sequencers",
        [COUNT_JEOPARDIES] = "jeopardies",
        [COUNT_LIVES] = "heals",
        [COUNT_STEADY] = "heals-under-a-leader",
        [COUNT_DEAD] = "peers-dead",
        [COUNT_BACK] = "peers-back",
        [COUNT_STRUCK + STRIKE_TEAR] = "struck-tear",
        [COUNT_STRUCK + STRIKE_LOST] = "struck-lost-write",
        [COUNT_STRUCK + STRIKE_MISDIRECTED] = "struck-misdirected",
        [COUNT_STRUCK + STRIKE_STALE] = "struck-stale-sector",
        [COUNT_STRUCK + STRIKE_LATENT] = "struck-latent-error",
        [COUNT_STRUCK + STRIKE_FLIP] = "struck-bit-flip",
        [COUNT_STRUCK_AT + STRIKE_HEADER] = "struck-header",
        [COUNT_STRUCK_AT + STRIKE_PAYLOAD] = "struck-payload",
        [COUNT_STRUCK_AT + STRIKE_TAIL] = "struck-tail",
        [COUNT_STRUCK_AT + STRIKE_CHECKPOINT] = "struck-checkpoint",
        [COUNT_STRUCK_AT + STRIKE_SUPER] = "struck-superblock",
        [COUNT_PAGES_REPAIRED] = "pages-repaired",
        [COUNT_COPIES_REPAIRED] = "copies-repaired",
        [COUNT_REFUSED] = "starts-refused",
        [COUNT_RESTARTED] = "restarts-asked-for",
        [COUNT_LEFT] = "pages-left-below-checkpoints",
        [COUNT_LOSSES] = "voters-gone",
        [COUNT_REPLACEMENTS] = "voters-replaced",
        [COUNT_WITHDRAWALS] = "decisions-withdrawn",
        [COUNT_RETURNS] = "returned-as-standbys"};
    return names[count];
}

/* --- one seed
 * --------------------------------------------------------------------------------------- */

static double clock_s(clockid_t which)
{
    struct timespec t;
    clock_gettime(which, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void fill(const struct world *world, struct run_result *result)
{
    uint64_t counts[COUNT_ALL] = {[COUNT_LEADERS] = world->leaders,
                                  [COUNT_VOTES] = world->votes,
                                  [COUNT_CHECKPOINTS] = world->checkpoints,
                                  [COUNT_DAYS] = world->days,
                                  [COUNT_SESSION_ENDS] = world->sessions_ended,
                                  [COUNT_EXPIRIES] = world->sessions_expired,
                                  [COUNT_SEALED] = world->sealed,
                                  [COUNT_REPLAYS] = world->replays,
                                  [COUNT_HEARTBEATS] = world->heartbeats,
                                  [COUNT_ANSWERS] = world->answers,
                                  [COUNT_TRANSFERS_DONE] = world->transfers_done,
                                  [COUNT_TRANSFERS_GIVEN_UP] = world->transfers_given_up,
                                  [COUNT_TRANSFERS_BY_DRIVE] = world->transfers_by_drive,
                                  [COUNT_READS] = world->reads,
                                  [COUNT_INSTALLS] = world->installs,
                                  [COUNT_CHUNKS] = world->transfers,
                                  [COUNT_RESUMED] = world->resumed,
                                  [COUNT_LEARNERS] = world->learners,
                                  [COUNT_PROMOTED] = world->promoted,
                                  [COUNT_REMOVED] = world->removed,
                                  [COUNT_LEADERS_REMOVED] = world->leaders_removed,
                                  [COUNT_GRANTS] = world->grants,
                                  [COUNT_WAITS_GRANTED] = world->waits_granted,
                                  [COUNT_FENCED] = world->fenced,
                                  [COUNT_STALE] = world->stale,
                                  [COUNT_JEOPARDIES] = world->jeopardies,
                                  [COUNT_LIVES] = world->lives,
                                  [COUNT_STEADY] = world->steady,
                                  [COUNT_DEAD] = world->found_dead,
                                  [COUNT_BACK] = world->found_back,
                                  [COUNT_PAGES_REPAIRED] = world->strikes.pages,
                                  [COUNT_COPIES_REPAIRED] = world->strikes.copies,
                                  [COUNT_REFUSED] = world->strikes.refused,
                                  [COUNT_RESTARTED] = world->strikes.restarted,
                                  [COUNT_LEFT] = world->strikes.left,
                                  [COUNT_LOSSES] = world->heal.losses,
                                  [COUNT_REPLACEMENTS] = world->heal.replacements,
                                  [COUNT_WITHDRAWALS] = world->heal.withdrawals,
                                  [COUNT_RETURNS] = world->heal.returns};
    memcpy(&counts[COUNT_STRUCK], world->strikes.fault, sizeof(world->strikes.fault));
    memcpy(&counts[COUNT_STRUCK_AT], world->strikes.place, sizeof(world->strikes.place));
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

void run_seed(const struct run_options *options, uint64_t seed, struct run_result *result)
{
    struct world *world = malloc(sizeof(*world));
    char problem[160];
    ENSURE(world != NULL);
    double began_s = clock_s(CLOCK_PROCESS_CPUTIME_ID);
    memset(result, 0, sizeof(*result));
    result->seed = seed;
    world_draw(world, seed);
    if (options->speed != RUN_DRAWN)
        world_speed(world, options->speed == RUN_SPEED_FAULTS);
    world_limit(world, &options->limits);
    world->verbose = options->verbose;
    if (options->export_dir != NULL) {
        world->knobs.slots = EXPORT_SLOTS;
        const struct limits plain = {.without = 1ull << FAULT_MEMBERS | 1ull << FAULT_DISK_LOST |
                                                1ull << FAULT_STRIKE_REST |
                                                1ull << FAULT_STRIKE_RUNNING};
        world_limit(world, &plain); /* the judge reads the rings of founders */
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
    world->reached = options->reach ? calloc(1, sizeof(*world->reached)) : NULL;
    ENSURE(world->reached != NULL || !options->reach);
    result->good = world_run(world);
    fill(world, result);
    if (world->reached != NULL) {
        memcpy(result->reached, world->reached->reach.count, sizeof(result->reached));
        memcpy(result->reached_ns, world->reached->reach.first_ns, sizeof(result->reached_ns));
    }
    if (world->timeline != NULL && !timeline_close(world, problem)) {
        result->good = false;
        snprintf(result->failure, sizeof(result->failure), "its timeline: %s", problem);
    }
    if (world->export != NULL && !export_close(world)) {
        result->good = false;
        snprintf(result->failure, sizeof(result->failure), "the evidence could not be written");
    }
    world_free(world);
    free(world->reached);
    free(world);
    result->cpu_ns = (uint64_t)((clock_s(CLOCK_PROCESS_CPUTIME_ID) - began_s) * 1e9);
}

/* --- workers
 * ---------------------------------------------------------------------------------------- */

static _Noreturn void work(const struct run_options *options, int from, int to)
{
    static struct run_result result;
    uint64_t seed;
    while (read(from, &seed, sizeof(seed)) == sizeof(seed)) {
        alarm(RUN_SEED_WALL_S);
        run_seed(options, seed, &result);
        alarm(0);
        fflush(NULL);
        if (write(to, &result, sizeof(result)) != sizeof(result))
            _exit(3);
    }
    _exit(0);
}

static void employ(const struct run_options *options, struct worker *workers, struct worker *w)
{
    int there[2], back[2];
    fflush(NULL);
    if (pipe(there) != 0 || pipe(back) != 0 || (w->pid = fork()) < 0) {
        perror("keel-sim: no worker");
        exit(2);
    }
    if (w->pid == 0) {
        for (uint32_t i = 0; i < RUN_JOBS_MAX; i++)
            if (workers[i].pid != 0) { /* the others' ends: they must see their own close */
                close(workers[i].to);
                close(workers[i].from);
            }
        close(there[1]);
        close(back[0]);
        work(options, there[0], back[1]);
    }
    close(there[0]);
    close(back[1]);
    w->to = there[1];
    w->from = back[0];
}

static void dismiss(struct worker *w, int *status)
{
    close(w->to);
    close(w->from);
    waitpid(w->pid, status, 0);
    w->pid = 0;
}

static void hand(const struct run_options *options, struct worker *workers, struct worker *w,
                 uint64_t seed)
{
    if (w->pid == 0)
        employ(options, workers, w);
    w->seed = seed;
    w->busy = true;
    if (write(w->to, &seed, sizeof(seed)) != sizeof(seed)) {
        perror("keel-sim: a worker is gone");
        exit(2);
    }
}

/* A worker that ends without a result was stopped by ENSURE, a signal, or the clock. */
static void collect(struct worker *w, struct run_result *result)
{
    size_t have = 0;
    for (ssize_t n = 1; n > 0 && have < sizeof(*result);) {
        n = read(w->from, (uint8_t *)result + have, sizeof(*result) - have);
        have += n > 0 ? (size_t)n : 0;
    }
    w->busy = false;
    if (have == sizeof(*result))
        return;
    int status = 0;
    dismiss(w, &status);
    memset(result, 0, sizeof(*result));
    result->seed = w->seed;
    bool late = WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM;
    snprintf(result->failure, sizeof(result->failure),
             late ? "it was still running after %d s of real time (%d)"
                  : "its process ended without a result: signal %d, exit %d",
             late                  ? RUN_SEED_WALL_S
             : WIFSIGNALED(status) ? WTERMSIG(status)
                                   : 0,
             WIFEXITED(status) ? WEXITSTATUS(status) : 0);
}

static struct worker *any(struct worker *workers, uint32_t count)
{
    struct pollfd polled[RUN_JOBS_MAX];
    for (uint32_t i = 0; i < count; i++)
        polled[i] = (struct pollfd){.fd = workers[i].busy ? workers[i].from : -1, .events = POLLIN};
    if (poll(polled, count, -1) <= 0)
        return NULL;
    for (uint32_t i = 0; i < count; i++)
        if (polled[i].revents != 0)
            return &workers[i];
    return NULL;
}

/* --- all seeds
 * -------------------------------------------------------------------------------------- */

static void add(const struct run_options *options, const struct run_result *r,
                struct run_totals *totals)
{
    totals->seeds++;
    totals->steps += r->steps;
    totals->committed += r->committed;
    totals->simulated_ns += r->simulated_ns;
    totals->cpu_ns += r->cpu_ns;
    for (uint32_t f = 0; f < FAULT_COUNT; f++)
        totals->fault[f] += r->fault[f];
    for (uint32_t i = 0; i < COUNT_ALL; i++)
        totals->count[i] += r->count[i];
    char seed[24];
    snprintf(seed, sizeof(seed), "%lu", (unsigned long)r->seed);
    if (options->reach)
        reach_print(r->reached, r->reached_ns, stdout, seed);
    if (options->reach) /* who reads them shows how far this is */
        printf("seed\t%s\n", seed), fflush(stdout);
    totals->lively += r->after_last_fault >= RUN_LIVELY;
    if (options->trace)
        printf("seed %lu trace %016lx committed %lu nodes %u\n", (unsigned long)r->seed,
               (unsigned long)r->trace, (unsigned long)r->committed, r->nodes);
    if (r->good)
        return;
    if (totals->failed++ == 0)
        totals->first_failed = *r;
    char arguments[RUN_ARGUMENTS_SIZE];
    run_arguments(r->seed, &options->limits, arguments, sizeof(arguments));
    printf("%sFAILED seed %lu: %s\n  replay: ./dev sim %s --verbose\n"
           "  to look at: ./dev sim %s --timeline seed-%lu.html\n",
           options->quiet ? "" : "\n", (unsigned long)r->seed, r->failure, arguments, arguments,
           (unsigned long)r->seed);
    fflush(stdout);
}

static bool more(const struct run_options *options, const struct run_totals *totals, double began_s)
{
    if (totals->begun >= options->seeds || (options->stop && totals->failed > 0))
        return false;
    return options->seconds == 0 || clock_s(CLOCK_MONOTONIC) - began_s < (double)options->seconds;
}

void run_all(const struct run_options *options, struct run_totals *totals)
{
    static struct worker workers[RUN_JOBS_MAX];
    static struct run_result result;
    uint64_t running = 0;
    double began_s = clock_s(CLOCK_MONOTONIC);
    signal(SIGPIPE, SIG_IGN);
    while (running > 0 || more(options, totals, began_s)) {
        for (uint32_t i = 0; i < options->jobs && more(options, totals, began_s); i++)
            if (!workers[i].busy) {
                hand(options, workers, &workers[i], options->first + totals->begun++);
                running++;
            }
        struct worker *done = any(workers, options->jobs);
        if (done == NULL)
            continue;
        collect(done, &result);
        running--;
        add(options, &result, totals);
        if (!options->quiet)
            fprintf(stderr, "\r%lu of %lu seeds, %lu failed ", (unsigned long)totals->seeds,
                    (unsigned long)options->seeds, (unsigned long)totals->failed);
    }
    for (uint32_t i = 0; i < RUN_JOBS_MAX; i++)
        if (workers[i].pid != 0)
            dismiss(&workers[i], NULL);
    if (!options->quiet)
        fputc('\n', stderr);
    totals->took_s = clock_s(CLOCK_MONOTONIC) - began_s;
}

void run_alone(const struct run_options *options, uint64_t seed, struct run_result *result)
{
    struct worker workers[RUN_JOBS_MAX] = {0};
    hand(options, workers, &workers[0], seed);
    collect(&workers[0], result);
    if (workers[0].pid != 0)
        dismiss(&workers[0], NULL);
}

void run_arguments(uint64_t seed, const struct limits *limits, char *text, size_t size)
{
    size_t used = (size_t)snprintf(text, size, "--seed %lu", (unsigned long)seed);
    const char *before = " --without ";
    for (enum fault fault = 0; fault < FAULT_COUNT; fault++)
        if (limits->without >> fault & 1) {
            used += (size_t)snprintf(text + used, size - used, "%s%s", before, fault_name(fault));
            before = ",";
        }
    if (limits->nodes != 0)
        used += (size_t)snprintf(text + used, size - used, " --nodes %u", limits->nodes);
    if (limits->guests != 0)
        used += (size_t)snprintf(text + used, size - used, " --guests %u", limits->guests);
    if (limits->slots != 0)
        used += (size_t)snprintf(text + used, size - used, " --slots %u", limits->slots);
    if (limits->faults_ms != 0)
        used += (size_t)snprintf(text + used, size - used, " --faults-ms %lu",
                                 (unsigned long)limits->faults_ms);
    if (limits->beyond != 0)
        used += (size_t)snprintf(text + used, size - used, " --beyond %u", limits->beyond);
    if (limits->no_holders)
        used += (size_t)snprintf(text + used, size - used, " --no-holders");
    if (limits->standbys)
        snprintf(text + used, size - used, " --standbys");
}

/* --- totals
 * ----------------------------------------------------------------------------------------- */

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

int run_summary(const struct run_options *options, const struct run_totals *t)
{
    const char *faults[FAULT_COUNT], *counts[COUNT_ALL];
    for (uint32_t f = 0; f < FAULT_COUNT; f++)
        faults[f] = fault_name((enum fault)f);
    for (uint32_t i = 0; i < COUNT_ALL; i++)
        counts[i] = run_count_name((enum event_count)i);
    double simulated_s = (double)t->simulated_ns / 1e9;
    printf("%lu seeds, %.2f simulated hours in %.1f s, %lu steps, %lu messages ordered\n",
           (unsigned long)t->seeds, simulated_s / 3600, t->took_s, (unsigned long)t->steps,
           (unsigned long)t->committed);
    printf("speed: %.0f x real time, %.0f x per core (%.1f s of processor time)\n",
           simulated_s / t->took_s, simulated_s / ((double)t->cpu_ns / 1e9),
           (double)t->cpu_ns / 1e9);
    printf("seeds run: %lu to %lu\n", (unsigned long)options->first,
           (unsigned long)(options->first + t->begun - 1));
    if (t->begun < options->seeds)
        printf("to go on: ./dev sim --first-seed %lu\n",
               (unsigned long)(options->first + t->begun));
    uint32_t never = print_counts("faults", faults, t->fault, FAULT_COUNT);
    never += print_counts("seen", counts, t->count, COUNT_KINDS);
    print_counts("allowed", counts + COUNT_KINDS, t->count + COUNT_KINDS, COUNT_ALL - COUNT_KINDS);
    printf("%lu of %lu seeds ordered %d messages or more after their last fault\n",
           (unsigned long)t->lively, (unsigned long)t->seeds, RUN_LIVELY);
    bool good = t->failed == 0;
    if (options->limits.standbys &&
        (t->count[COUNT_REPLACEMENTS] == 0 || t->count[COUNT_RETURNS] == 0)) {
        printf("FAILED: no voter was replaced, or none came back\n");
        good = false;
    }
    if (t->seeds >= SEEDS_FOR_FAULTS && never > 0 && !options->limits.standbys) {
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
