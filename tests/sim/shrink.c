/* A failing seed made smaller: faults are switched off one by one, the run is cut in length,
 * replicas and guests are taken away, as long as the same failure stays. What is off draws the same
 * chances as before where it can, so that the rest happens much as it did. */
#include "tests/sim/run.h"

#include <ctype.h>
#include <stdlib.h>
#include <time.h>

enum { SHRINK_LEAST_MS = 500 };

struct shrinking {
    struct run_options options; /* the smallest so far, in its limits */
    struct run_result failed;   /* what it said */
    double until_s;
    uint32_t tries, kept;
};

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* The same failure: the same words, whatever the numbers in them. */
static bool alike(const char *a, const char *b)
{
    for (;;) {
        while (isdigit((unsigned char)*a) || *a == '.')
            a++;
        while (isdigit((unsigned char)*b) || *b == '.')
            b++;
        if (*a != *b)
            return false;
        if (*a == 0)
            return true;
        a++;
        b++;
    }
}

/* Keeps the limits if the failure stays; true if it does. */
static bool attempt(struct shrinking *s, const struct limits *limits)
{
    if (now_s() >= s->until_s)
        return false;
    struct run_options options = s->options;
    static struct run_result result;
    options.limits = *limits;
    s->tries++;
    run_alone(&options, s->failed.seed, &result);
    if (result.good || !alike(result.failure, s->failed.failure))
        return false;
    s->kept++;
    s->options.limits = *limits;
    s->failed = result;
    return true;
}

static bool fewer_faults(struct shrinking *s)
{
    bool any = false;
    for (enum fault fault = 0; fault < FAULT_COUNT; fault++) {
        struct limits limits = s->options.limits;
        if ((limits.without >> fault & 1) != 0)
            continue;
        limits.without |= 1ull << fault;
        any = attempt(s, &limits) || any;
    }
    return any;
}

/* At first just behind the moment of the failure, then ever shorter. */
static bool shorter(struct shrinking *s)
{
    bool any = false;
    uint64_t high = s->failed.simulated_ns / 1000000 + 1, low = SHRINK_LEAST_MS;
    struct limits limits = s->options.limits;
    if (limits.faults_ms != 0 && limits.faults_ms < high)
        high = limits.faults_ms;
    while (low + SHRINK_LEAST_MS < high) { /* halves each time */
        limits.faults_ms = low + (high - low) / 2;
        if (attempt(s, &limits)) {
            any = true;
            high = limits.faults_ms;
        } else {
            low = limits.faults_ms;
        }
    }
    return any;
}

static bool smaller(struct shrinking *s)
{
    bool any = false;
    for (uint32_t nodes = 3; nodes < s->failed.nodes; nodes += 2) {
        struct limits limits = s->options.limits;
        limits.nodes = nodes;
        if (attempt(s, &limits)) {
            any = true;
            break;
        }
    }
    struct limits limits = s->options.limits;
    if (limits.guests != 1) {
        limits.guests = 1;
        any = attempt(s, &limits) || any;
    }
    return any;
}

void shrink(const struct run_options *options, const struct run_result *failed)
{
    struct shrinking *s = calloc(1, sizeof(*s));
    ENSURE(s != NULL);
    double began_s = now_s();
    s->options = *options;
    s->options.verbose = false;
    s->options.export_dir = NULL;
    s->options.timeline.path = NULL;
    s->failed = *failed;
    s->until_s = began_s + (double)options->shrink_s;
    bool more = true;
    while (more && now_s() < s->until_s) { /* bound: each round makes it smaller */
        more = smaller(s);
        more = fewer_faults(s) || more;
        more = shorter(s) || more;
    }
    char arguments[RUN_ARGUMENTS_SIZE];
    run_arguments(failed->seed, &s->options.limits, arguments, sizeof(arguments));
    printf("shrunk in %.0f s, %u of %u tries kept the failure%s: %s\n  replay: ./dev sim %s\n",
           now_s() - began_s, s->kept, s->tries, more ? ", then the time was over" : "",
           s->failed.failure, arguments);
    free(s);
}
