/* keel-sim: runs seeds of the simulator, a few at a time, and adds up what happened. */
#include "tests/sim/run.h"

#include <errno.h>
#include <getopt.h>
#include <malloc.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SECONDS_MAX = 1000000 };

static const char usage[] =
    "keel-sim [--seeds N] [--first-seed S] [--seed S] [--seconds T] [--jobs J]\n"
    "         [--trace] [--verbose] [--quiet] [--stop] [--export DIR]\n"
    "keel-sim --seed S --timeline FILE.html [--from SECONDS] [--to SECONDS] [--limit RECORDS]\n"
    "\n"
    "Runs N simulated clusters, seeds S, S+1, ..., and checks Keel's promises after every step.\n"
    "Prints the faults that happened, the speed, and for a failing seed the command that replays "
    "it.\n"
    "\n"
    "  --seeds N       how many seeds (default: 1 with --seed, endless with --seconds)\n"
    "  --first-seed S  the first one (default: 1)\n"
    "  --seed S        the same, and that one alone unless --seeds says otherwise\n"
    "  --seconds T     begin no further seed after T seconds\n"
    "  --jobs J        how many at a time (default: the processors, at most 16)\n"
    "  --trace         print a line with the trace hash for each seed\n"
    "  --verbose       print starts, crashes and leader changes\n"
    "  --quiet         no progress line\n"
    "  --stop          stop at the first failing seed\n"
    "  --export DIR    write evidence for keel-judge: DIR/SEED/ring-ID, guest-N.log, lines.pcap,\n"
    "                  starts\n"
    "  --timeline FILE.html  draw one seed: lanes, messages, elections, faults, in one page for a\n"
    "                  browser\n"
    "  --from, --to    the part of it that is drawn, in simulated seconds (default: all of it)\n"
    "  --limit RECORDS so many frames, drive operations and messages are kept, the last ones\n"
    "                  (default 400000); elections, votes, faults, starts and crashes are kept "
    "all\n"
    "\n"
    "Example: keel-sim --seed 42 --trace\n"
    "Exit: 0 all held, 1 a check failed, a fault never happened or clusters did not recover, 2 "
    "usage.\n";

static uint32_t jobs_default(void)
{
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    return processors < 1 ? 1 : processors > RUN_JOBS_MAX ? RUN_JOBS_MAX : (uint32_t)processors;
}

/* Simulated seconds. */
static bool take_time(const char *name, const char *text, uint64_t *ns)
{
    char *end;
    double seconds = strtod(text, &end);
    bool good = end != text && *end == 0 && seconds >= 0 && seconds <= SECONDS_MAX;
    if (good)
        *ns = (uint64_t)(seconds * 1e9 + 0.5);
    else
        fprintf(stderr, "keel-sim: --%s %s: wants simulated seconds, 0 to %d, such as 1.25\n", name,
                text, SECONDS_MAX);
    return good;
}

static bool take_limit(const char *text, uint32_t *limit)
{
    char *end;
    unsigned long long records = strtoull(text, &end, 10);
    bool good = text[0] >= '0' && text[0] <= '9' && *end == 0 && records > 0 &&
                records <= TIMELINE_LIMIT_MAX;
    if (good)
        *limit = (uint32_t)records;
    else
        fprintf(stderr, "keel-sim: --limit %s: wants records, 1 to %d\n", text, TIMELINE_LIMIT_MAX);
    return good;
}

/* A timeline is of one seed, of a window that has a length, in a file that can be written. */
static bool timeline_fits(struct run_options *o)
{
    const struct timeline_options *t = &o->timeline;
    if (t->path == NULL) {
        if (t->from_ns != 0 || t->to_ns != UINT64_MAX)
            fprintf(stderr, "keel-sim: --from and --to are the window of a --timeline\n");
        return t->from_ns == 0 && t->to_ns == UINT64_MAX;
    }
    if (o->seeds != 1 || t->from_ns >= t->to_ns) {
        fprintf(stderr, o->seeds != 1
                            ? "keel-sim: --timeline draws one seed: --seed S, without --seeds\n"
                            : "keel-sim: the window ends before it begins: --from must be below "
                              "--to\n");
        return false;
    }
    FILE *page = fopen(t->path, "wb");
    if (page == NULL)
        fprintf(stderr, "keel-sim: --timeline %s: cannot write there: %s\n", t->path,
                strerror(errno));
    return page != NULL && fclose(page) == 0;
}

static bool take_option(int option, const char *text, struct run_options *o, bool *one)
{
    switch (option) {
    case 'n':
        o->seeds = strtoull(text, NULL, 10);
        return o->seeds > 0;
    case 's':
        *one = true;
        o->first = strtoull(text, NULL, 10);
        return true;
    case 'f':
        o->first = strtoull(text, NULL, 10);
        return true;
    case 'T':
        o->seconds = strtoull(text, NULL, 10);
        return o->seconds > 0;
    case 'j':
        o->jobs = (uint32_t)strtoul(text, NULL, 10);
        return o->jobs > 0 && o->jobs <= RUN_JOBS_MAX;
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
    case 'P':
        o->timeline.path = text;
        return text[0] != 0;
    case 'F':
        return take_time("from", text, &o->timeline.from_ns);
    case 'U':
        return take_time("to", text, &o->timeline.to_ns);
    case 'L':
        return take_limit(text, &o->timeline.limit);
    default:
        return false;
    }
}

int main(int argc, char **argv)
{
    static const struct option known[] = {{"seeds", required_argument, NULL, 'n'},
                                          {"seed", required_argument, NULL, 's'},
                                          {"first-seed", required_argument, NULL, 'f'},
                                          {"seconds", required_argument, NULL, 'T'},
                                          {"jobs", required_argument, NULL, 'j'},
                                          {"trace", no_argument, NULL, 't'},
                                          {"verbose", no_argument, NULL, 'v'},
                                          {"quiet", no_argument, NULL, 'q'},
                                          {"stop", no_argument, NULL, 'x'},
                                          {"export", required_argument, NULL, 'e'},
                                          {"timeline", required_argument, NULL, 'P'},
                                          {"from", required_argument, NULL, 'F'},
                                          {"to", required_argument, NULL, 'U'},
                                          {"limit", required_argument, NULL, 'L'},
                                          {"help", no_argument, NULL, 'h'},
                                          {NULL, 0, NULL, 0}};
    struct run_options options = {.first = 1,
                                  .jobs = jobs_default(),
                                  .quiet = !isatty(2),
                                  .timeline = {.to_ns = UINT64_MAX, .limit = TIMELINE_LIMIT}};
    bool one = false, good = true;
    for (int o; good && (o = getopt_long(argc, argv, "h", known, NULL)) != -1;) {
        if (o == 'h') {
            fputs(usage, stdout);
            return 0;
        }
        good = take_option(o, optarg, &options, &one);
    }
    if (options.seeds == 0)
        options.seeds = one || options.timeline.path != NULL ? 1
                        : options.seconds > 0                ? UINT64_MAX
                                                             : 0;
    if (!good || options.seeds == 0 || optind != argc) {
        fputs(usage, stderr);
        return 2;
    }
    if (!timeline_fits(&options))
        return 2;
    if (options.export_dir != NULL)
        mkdir(options.export_dir, 0755); /* a seed that cannot write below it says so */
    /* A worker keeps its memory for the next seed: first touches cost more than the seed. */
    mallopt(M_MMAP_THRESHOLD, 1 << 30);
    mallopt(M_TRIM_THRESHOLD, 1 << 30);
    mallopt(M_TOP_PAD, 16 << 20);
    struct run_totals totals = {0};
    run_all(&options, &totals);
    return run_summary(&totals);
}
