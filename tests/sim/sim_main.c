/* keel-sim: runs seeds of the simulator, a few at a time, and adds up what happened. */
#include "tests/sim/run.h"

#include <errno.h>
#include <getopt.h>
#include <malloc.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SHRINK_S = 30, SLOTS_LEAST = 256, SLOTS_MOST = 65536 };

static const char usage[] =
    "keel-sim [--seeds M] [--first-seed N] [--seconds T] [--jobs J] [--stop] [--quiet] [--trace]\n"
    "         [--reach]\n"
    "keel-sim --seed N [--without FAULT,...] [--nodes R] [--guests G] [--slots S]\n"
    "         [--faults-ms L] [--verbose] [--trace] [--shrink T] [--export DIR]\n"
    "         [--timeline FILE.html [--from SECONDS] [--to SECONDS] [--limit RECORDS]]\n"
    "keel-sim --speed\n"
    "\n"
    "Runs M simulated clusters, seeds N, N+1, ..., and checks Keel's promises after every step.\n"
    "Prints the faults that happened, the speed, and for a failing seed the command that replays\n"
    "it; the first one is made smaller, too.\n"
    "\n"
    "  --seeds M       how many seeds (default: one with --seed, endless with --seconds)\n"
    "  --first-seed N  the first one (default: 1)\n"
    "  --seed N        the same, and that one alone unless --seeds says otherwise\n"
    "  --seconds T     begin no further seed after T seconds; the last line says where to go on\n"
    "  --jobs J        how many at a time (default: the processors, at most 16)\n"
    "  --stop          stop at the first failing seed, and leave it as it is\n"
    "  --shrink T      make the first failing seed smaller for T seconds at most (default: 30; 0: "
    "do not)\n"
    "  --without FAULT,...  these never happen (as named in the line of faults)\n"
    "  --nodes R, --guests G  instead of what the seed draws: 1 to 7 replicas, 1 to 4 clients\n"
    "  --slots S       of each replica's ring\n"
    "  --faults-ms L   faults end after L simulated milliseconds (default: 20000)\n"
    "  --no-holders    nobody holds locks\n"
    "  --standbys      one or two standbys and an autopilot; voters go, for long or for good\n"
    "  --beyond N      clocks drift N times what the genesis record allows: two may believe in "
    "one\n"
    "                  lock, and the check of that must find it\n"
    "  --speed         measure the simulator's speed: all faults, and heavy load\n"
    "  --trace         print a line with the trace hash for each seed\n"
    "  --verbose       print starts, crashes and leader changes\n"
    "  --quiet         no progress line\n"
    "  --reach         print the rare states of each seed, as ./dev reach reads them\n"
    "  --export DIR    write evidence for keel-judge: DIR/SEED/ring-ID, guest-N.log, lines.pcap,\n"
    "                  starts\n" TIMELINE_USAGE "\n"
    "Example: keel-sim --seed 42 --trace\n"
    "Exit: 0 all held, 1 a check failed, a fault never happened or clusters did not recover, 2 "
    "usage.\n";

static uint32_t jobs_default(void)
{
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    if (processors < 1)
        return 1;
    return processors > RUN_JOBS_MAX ? RUN_JOBS_MAX : (uint32_t)processors;
}

static bool take_without(const char *text, uint64_t *without)
{
    char name[32];
    while (*text != 0) {
        size_t size = strcspn(text, ",");
        if (size == 0 || size >= sizeof(name))
            return false;
        snprintf(name, sizeof(name), "%.*s", (int)size, text);
        enum fault fault = fault_find(name);
        if (fault == FAULT_COUNT) {
            fprintf(stderr, "keel-sim: --without %s: no such fault\n", name);
            return false;
        }
        *without |= 1ull << fault;
        text += size + (text[size] == ',');
    }
    return true;
}

static bool take_number(const char *text, uint64_t low, uint64_t high, uint64_t *number)
{
    char *end;
    errno = 0;
    *number = strtoull(text, &end, 10);
    return errno == 0 && end != text && *end == 0 && *number >= low && *number <= high;
}

enum {
    OPTION_WITHOUT = 256,
    OPTION_NODES,
    OPTION_GUESTS,
    OPTION_SLOTS,
    OPTION_FAULTS,
    OPTION_BEYOND,
    OPTION_NO_HOLDERS,
    OPTION_STANDBYS,
    OPTION_SHRINK,
    OPTION_SPEED
};

struct wishes {
    struct run_options run;
    bool one, speed, shrink_said;
};

static bool take_limits(int option, const char *text, struct wishes *w)
{
    struct limits *l = &w->run.limits;
    uint64_t number = 0;
    bool good = false;
    switch (option) {
    case OPTION_WITHOUT:
        return take_without(text, &l->without);
    case OPTION_NODES:
        good = take_number(text, 1, NODES_MAX, &number);
        l->nodes = (uint32_t)number;
        return good;
    case OPTION_GUESTS:
        good = take_number(text, 1, GUESTS_MAX, &number);
        l->guests = (uint32_t)number;
        return good;
    case OPTION_SLOTS:
        good = take_number(text, SLOTS_LEAST, SLOTS_MOST, &number);
        l->slots = (uint32_t)number;
        return good;
    case OPTION_FAULTS:
        return take_number(text, 1, 3600000, &l->faults_ms);
    case OPTION_BEYOND:
        good = take_number(text, 2, 100, &number);
        l->beyond = (uint32_t)number;
        return good;
    case OPTION_NO_HOLDERS:
        return l->no_holders = true;
    case OPTION_STANDBYS:
        return l->standbys = true;
    case OPTION_SHRINK:
        w->shrink_said = true;
        return take_number(text, 0, 1000000, &w->run.shrink_s);
    default:
        return timeline_option(option, text, &w->run.timeline);
    }
}

static bool take_option(int option, const char *text, struct wishes *w)
{
    struct run_options *o = &w->run;
    uint64_t number = 0;
    bool good = true;
    switch (option) {
    case 'n':
        return take_number(text, 1, UINT64_MAX, &o->seeds);
    case 's':
    case 'f':
        w->one = w->one || option == 's';
        return take_number(text, 0, UINT64_MAX, &o->first);
    case 'T':
        return take_number(text, 1, UINT32_MAX, &o->seconds);
    case 'j':
        good = take_number(text, 1, RUN_JOBS_MAX, &number);
        o->jobs = (uint32_t)number;
        return good;
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
    case 'R':
        o->reach = true;
        return true;
    case 'e':
        o->export_dir = text;
        return true;
    case OPTION_SPEED:
        w->speed = true;
        return true;
    default:
        return take_limits(option, text, w);
    }
}

static int take_options(int argc, char **argv, struct wishes *w)
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
                                          {"reach", no_argument, NULL, 'R'},
                                          {"export", required_argument, NULL, 'e'},
                                          TIMELINE_LONG_OPTIONS,
                                          {"without", required_argument, NULL, OPTION_WITHOUT},
                                          {"nodes", required_argument, NULL, OPTION_NODES},
                                          {"guests", required_argument, NULL, OPTION_GUESTS},
                                          {"slots", required_argument, NULL, OPTION_SLOTS},
                                          {"faults-ms", required_argument, NULL, OPTION_FAULTS},
                                          {"beyond", required_argument, NULL, OPTION_BEYOND},
                                          {"no-holders", no_argument, NULL, OPTION_NO_HOLDERS},
                                          {"standbys", no_argument, NULL, OPTION_STANDBYS},
                                          {"shrink", required_argument, NULL, OPTION_SHRINK},
                                          {"speed", no_argument, NULL, OPTION_SPEED},
                                          {"help", no_argument, NULL, 'h'},
                                          {NULL, 0, NULL, 0}};
    struct run_options *o = &w->run;
    bool good = true;
    for (int c; good && (c = getopt_long(argc, argv, "h", known, NULL)) != -1;) {
        if (c == 'h') {
            fputs(usage, stdout);
            return 0;
        }
        good = take_option(c, optarg, w);
        if (!good && c >= TIMELINE_OPTION_FILE)
            return 2; /* it has said what it wants */
    }
    if (o->seeds == 0)
        o->seeds = w->one || w->speed || o->timeline.path != NULL ? 1
                   : o->seconds > 0                               ? UINT64_MAX
                                                                  : 0;
    if (good && !timeline_options_fit(&o->timeline, o->seeds))
        return 2;
    if (o->stop && !w->shrink_said)
        o->shrink_s = 0;
    if (good && o->seeds > 0 && optind == argc)
        return -1;
    fputs(usage, stderr);
    return 2;
}

int main(int argc, char **argv)
{
    static struct wishes w;
    w.run = (struct run_options){.first = 1,
                                 .jobs = jobs_default(),
                                 .quiet = !isatty(2),
                                 .shrink_s = SHRINK_S,
                                 .timeline = TIMELINE_OPTIONS_NONE};
    int end = take_options(argc, argv, &w);
    if (end >= 0)
        return end;
    if (w.run.export_dir != NULL)
        mkdir(w.run.export_dir, 0755); /* a seed that cannot write below it says so */
    /* A worker keeps its memory for the next seed: first touches cost more than the seed. */
    mallopt(M_MMAP_THRESHOLD, 1 << 30);
    mallopt(M_TRIM_THRESHOLD, 1 << 30);
    mallopt(M_TOP_PAD, 16 << 20);
    if (w.speed)
        return speed(&w.run);
    static struct run_totals totals;
    run_all(&w.run, &totals);
    if (totals.failed > 0 && w.run.shrink_s > 0)
        shrink(&w.run, &totals.first_failed);
    return run_summary(&w.run, &totals);
}
