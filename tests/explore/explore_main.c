/* keel-explore: every run of the real raft_step() within a small scope, breadth first, so that the
 * first violation is one of the shortest.
 *
 * The same options give the same counts, unless --seconds ends the run. Exit 0: no violation;
 * 1: a violation, with its transcript on standard output; 2: usage.
 */
#include "consensus/ensure.h"
#include "tests/explore/moves.h"
#include "tests/explore/seen.h"
#include "tests/explore/transcript.h"

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct limits {
    uint64_t states;
    uint64_t seconds;
    uint64_t bytes;
    const char *transcript; /* file for a counter-example; NULL: standard output */
};

struct explorer {
    struct scope scope;
    struct limits limits;
    struct seen seen;
    struct core core;
    struct state parent, next;
    uint64_t followed;
    uint64_t transitions;
    uint64_t outside;
    uint16_t depth;
    uint16_t broken_move;
    bool broken;
    const char *stopped_by; /* NULL: nothing is left to follow */
    double began_s;
};

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void usage(FILE *out)
{
    fputs("usage: ./dev explore [option]...\n"
          "\n"
          "Searches every run of the real raft_step() within a scope, breadth first.\n"
          "\n"
          "  --scope NAME      a scope by name, then changed by the options after it:\n"
          "                    restart (the default), drive, terms, links, votes, holes,\n"
          "                    members, replace, full\n"
          "  --replicas N      2 to 5\n"
          "  --terms N         up to 7: nobody campaigns for a higher term\n"
          "  --log N           up to 6 entries, no-ops included\n"
          "  --crashes N       crashes, each with a restart\n"
          "  --holes N         entries that a drive loses, found at a restart or while running\n"
          "  --losses N        packets lost (where order is free, any number is: one that stays\n"
          "                    under way for ever is lost)\n"
          "  --duplicates N    packets delivered twice\n"
          "  --overtakes N|any deliveries past an older packet of the same link\n"
          "  --ticks N|any     heartbeats, repeated requests, leaders that give up\n"
          "  --link N          packets under way in one link; what is sent to a full one is lost\n"
          "  --flights N       AppendEntries in flight to one peer, up to 4\n"
          "  --delays N|any    writes that stay in flight until the explorer completes them\n"
          "  --prevote on|off  off: just enough voters are asked and answer at once\n"
          "  --sticky on|off   on: voters may also refuse for having heard a leader\n"
          "  --symmetry on|off states that differ by the replicas' names are one\n"
          "  --states-max N    stop after N distinct states\n"
          "  --seconds N       stop after N seconds\n"
          "  --memory MIB      stop when this much is taken\n"
          "  --transcript FILE put a counter-example there\n",
          out);
}

/* --- options --- */

static bool number(const char *text, uint64_t max, uint64_t *value)
{
    char *end;
    errno = 0;
    unsigned long long n = strtoull(text, &end, 10);
    if (*text < '0' || *text > '9' || *end != '\0' || errno != 0 || n > max)
        return false;
    *value = n;
    return true;
}

static bool small_number(const char *text, uint8_t min, uint8_t max, uint8_t *value)
{
    uint64_t n;
    if (!number(text, max, &n) || n < min)
        return false;
    *value = (uint8_t)n;
    return true;
}

static bool choice(const char *text, const char *yes, const char *no, bool *value)
{
    *value = strcmp(text, yes) == 0;
    return *value || strcmp(text, no) == 0;
}

static bool scope_option(struct scope *s, const char *name, const char *text)
{
    if (strcmp(name, "scope") == 0)
        return scope_named(s, text);
    if (strcmp(name, "replicas") == 0)
        return small_number(text, 2, SCOPE_REPLICAS_MAX, &s->replicas);
    if (strcmp(name, "terms") == 0)
        return small_number(text, 1, SCOPE_TERMS_MAX, &s->terms);
    if (strcmp(name, "log") == 0)
        return small_number(text, 1, SCOPE_LOG_MAX, &s->log);
    if (strcmp(name, "crashes") == 0)
        return small_number(text, 0, 15, &s->crashes);
    if (strcmp(name, "losses") == 0)
        return small_number(text, 0, 15, &s->losses);
    if (strcmp(name, "duplicates") == 0)
        return small_number(text, 0, 15, &s->duplicates);
    if (strcmp(name, "holes") == 0)
        return small_number(text, 0, 15, &s->holes);
    if (strcmp(name, "link") == 0)
        return small_number(text, 1, SCOPE_LINK_MAX, &s->link);
    if (strcmp(name, "flights") == 0)
        return small_number(text, 1, SCOPE_FLIGHTS_MAX, &s->flights);
    if (strcmp(name, "prevote") == 0)
        return choice(text, "on", "off", &s->prevote);
    if (strcmp(name, "sticky") == 0)
        return choice(text, "on", "off", &s->sticky);
    if (strcmp(name, "symmetry") == 0)
        return choice(text, "on", "off", &s->symmetry);
    uint8_t *count = strcmp(name, "ticks") == 0    ? &s->ticks
                     : strcmp(name, "delays") == 0 ? &s->delays
                                                   : &s->overtakes;
    if (strcmp(text, "any") == 0) {
        *count = SCOPE_ANY;
        return true;
    }
    return small_number(text, 0, 15, count);
}

static bool limit_option(struct limits *l, const char *name, const char *text)
{
    if (strcmp(name, "states-max") == 0)
        return number(text, UINT32_MAX, &l->states);
    if (strcmp(name, "seconds") == 0)
        return number(text, 1000000000, &l->seconds);
    if (strcmp(name, "transcript") == 0) {
        l->transcript = text;
        return true;
    }
    if (!number(text, 1 << 24, &l->bytes))
        return false;
    l->bytes <<= 20;
    return true;
}

/* Returns -1 to go on, else the exit code. */
static int parse(int argc, char **argv, struct explorer *e)
{
    static const char *const names[] = {
        "scope",      "holes",     "replicas",   "terms",   "log",     "crashes",    "losses",
        "duplicates", "overtakes", "ticks",      "link",    "flights", "delays",     "prevote",
        "sticky",     "symmetry",  "states-max", "seconds", "memory",  "transcript", "help"};
    enum { COUNT = sizeof(names) / sizeof(names[0]), LIMITS = 16, HELP = COUNT - 1 };
    struct option options[COUNT + 1] = {{0}};
    for (int i = 0; i < COUNT; i++)
        options[i] =
            (struct option){names[i], i == HELP ? no_argument : required_argument, NULL, 0};
    int index = 0, c;
    while ((c = getopt_long(argc, argv, "h", options, &index)) != -1) { /* the arguments */
        if (c == 'h' || (c == 0 && index == HELP)) {
            usage(stdout);
            return 0;
        }
        if (c != 0)
            return 2;
        bool good = index < LIMITS ? scope_option(&e->scope, names[index], optarg)
                                   : limit_option(&e->limits, names[index], optarg);
        if (!good) {
            fprintf(stderr, "explore: --%s: %s is not among its values; see --help\n", names[index],
                    optarg);
            return 2;
        }
    }
    if (optind == argc)
        return -1;
    fprintf(stderr, "explore: %s: no such argument; see --help\n", argv[optind]);
    return 2;
}

/* --- the search --- */

static void progress(const struct explorer *e)
{
    static bool asked, wanted;
    if (!asked)
        wanted = isatty(2) != 0;
    asked = true;
    if (!wanted || (e->followed & 8191) != 0)
        return;
    double took_s = now_s() - e->began_s;
    fprintf(stderr, "\r\033[K%lu states, %lu to follow, depth %u, %.0f transitions/s, %zu MiB",
            e->seen.count, e->seen.count - e->followed, e->depth,
            (double)e->transitions / (took_s + 1e-9), e->seen.bytes >> 20);
}

/* All moves of one state; false when one of them violates. */
static bool follow(struct explorer *e)
{
    struct move moves[MOVES_MAX];
    uint8_t packed[STATE_PACKED_MAX];
    uint32_t count = moves_list(&e->scope, &e->parent, moves);
    for (uint32_t i = 0; i < count; i++) {
        e->next = e->parent;
        e->transitions++;
        moves_make(&e->core, &moves[i]);
        if (e->core.violation[0] != '\0') {
            e->broken = true;
            e->broken_move = (uint16_t)i;
            return false;
        }
        if (e->core.outside) {
            e->outside++;
            continue;
        }
        size_t size = state_canonical(&e->scope, &e->next, packed, NULL);
        seen_add(&e->seen, packed, size, (uint32_t)e->followed, (uint16_t)i,
                 (uint16_t)(e->depth + 1));
    }
    return true;
}

static const char *stop_reason(const struct explorer *e)
{
    if (e->seen.full)
        return "--memory";
    if (e->seen.count >= e->limits.states)
        return "--states-max";
    if ((e->followed & 1023) == 0 && now_s() - e->began_s >= (double)e->limits.seconds)
        return "--seconds";
    return NULL;
}

static void search(struct explorer *e)
{
    uint8_t packed[STATE_PACKED_MAX] = {0};
    e->core.scope = &e->scope;
    e->core.state = &e->next;
    core_genesis(&e->core);
    size_t size = state_canonical(&e->scope, &e->next, packed, NULL);
    seen_add(&e->seen, packed, size, 0, 0, 0);
    while ((e->stopped_by = stop_reason(e)) == NULL) { /* until fixpoint or a limit */
        if (seen_next(&e->seen, packed, sizeof(packed)) == 0)
            break;
        state_unpack(&e->scope, packed, &e->parent);
        e->depth = e->seen.trail[e->followed].depth;
        if (!follow(e))
            return;
        e->followed++;
        progress(e);
    }
}

static void print_count(const char *name, uint8_t count)
{
    if (count == SCOPE_ANY)
        printf(", %s any", name);
    else
        printf(", %s %u", name, count);
}

static void print_mask(uint32_t mask)
{
    for (uint32_t id = 1; id <= SCOPE_REPLICAS_MAX; id++)
        if ((mask >> id & 1) != 0)
            printf(" %u", id);
}

static void print_members(const struct scope *s)
{
    for (uint8_t i = 0; i < s->wanted_count; i++) {
        fputs(i == 0 ? ", voters" : ", or", stdout);
        if (i == 0) {
            print_mask(s->first.voters);
            if (s->first.learners != 0) {
                fputs(" learners", stdout);
                print_mask(s->first.learners);
            }
            fputs(" may become", stdout);
        }
        print_mask(s->wanted[i].voters);
        if (s->wanted[i].learners != 0) {
            fputs(" learners", stdout);
            print_mask(s->wanted[i].learners);
        }
    }
}

static void print_scope(const struct scope *s)
{
    printf("# scope: replicas %u", s->replicas);
    print_count("terms", s->terms);
    print_count("log", s->log);
    print_count("crashes", s->crashes);
    if (s->holes > 0)
        print_count("holes", s->holes);
    print_count("losses", s->losses);
    print_count("duplicates", s->duplicates);
    print_count("overtakes", s->overtakes);
    print_count("delays", s->delays);
    print_count("ticks", s->ticks);
    print_count("link", s->link);
    print_count("flights", s->flights);
    print_members(s);
    printf(", prevote %s, sticky %s, symmetry %s\n", s->prevote ? "on" : "off",
           s->sticky ? "on" : "off", s->symmetry ? "on" : "off");
}

static int report(struct explorer *e)
{
    double took_s = now_s() - e->began_s;
    if (isatty(2))
        fputs("\r\033[K", stderr);
    printf("explore: %lu states distinct of %lu reached, %lu followed, %lu outside the scope\n",
           e->seen.count, e->transitions + 1, e->followed, e->outside);
    printf("explore: depth %u; %.0f s, %.0f transitions/s, %zu MiB\n", e->depth, took_s,
           (double)e->transitions / (took_s + 1e-9), e->seen.bytes >> 20);
    if (e->broken) {
        printf("explore: fixpoint no, stopped by a violation %u moves from the start\n",
               e->depth + 1U);
        FILE *out = e->limits.transcript != NULL ? fopen(e->limits.transcript, "w") : stdout;
        if (out == NULL) {
            fprintf(stderr, "explore: %s: cannot be written: %s\n", e->limits.transcript,
                    strerror(errno));
            out = stdout;
        }
        printf("explore: VIOLATION: %s\n\n", e->core.violation);
        fprintf(out, "# %s\n", e->core.violation);
        bool ends = transcript_print(out, &e->scope, &e->seen, e->followed, e->broken_move);
        if (out != stdout)
            fclose(out);
        if (!ends)
            fputs("explore: the transcript does not end in it: the explorer is wrong\n", stdout);
        return 1;
    }
    if (e->stopped_by == NULL)
        puts("explore: fixpoint yes: nothing is left to follow, 0 violations");
    else
        printf("explore: fixpoint no, stopped by %s; 0 violations; %lu states were left\n",
               e->stopped_by, e->seen.count - e->followed);
    return 0;
}

int main(int argc, char **argv)
{
    struct explorer *e = calloc(1, sizeof(*e));
    if (e == NULL)
        return 99;
    e->limits = (struct limits){.states = UINT32_MAX, .seconds = 60, .bytes = UINT64_C(4096) << 20};
    (void)scope_named(&e->scope, "restart");
    int code = parse(argc, argv, e);
    const char *problem = code < 0 ? scope_complete(&e->scope) : NULL;
    if (problem != NULL) {
        fprintf(stderr, "explore: %s\n", problem);
        code = 2;
    }
    if (code < 0) {
        seen_init(&e->seen, e->limits.bytes);
        print_scope(&e->scope);
        fflush(stdout);
        e->began_s = now_s();
        search(e);
        code = report(e);
        seen_free(&e->seen);
    }
    free(e);
    return code;
}
