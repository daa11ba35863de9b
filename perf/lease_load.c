/* keel-lease-load: a durable acquire beside a plain submit, one request outstanding, in turns.
 *
 *   keel-lease-load MEMBERS KEY COUNT
 *
 * One session submits a message of 64 bytes, acquires an uncontended lock, releases it; every other
 * time the message comes last. Each waits for its answer, which comes when a quorum of drives has
 * the entry. Prints one JSON object, nanoseconds. The socket is polled, the core is given up in
 * between.
 */
#include "client/keel.h"

#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { WARM = 100, COUNT_MAX = 100000, MESSAGE = 64, STUCK_S = 10 };
enum step { SUBMIT, ACQUIRE, RELEASE, STEPS };
static const char *const step_name[STEPS] = {"submit", "acquire", "release"};

struct run {
    struct keel *keel;
    uint64_t node;
    double *sample[STEPS];
};

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* Polls until that number is answered; false: it is not, or not as it should be. */
static bool answered(struct keel *keel, uint64_t number, struct keel_result *result)
{
    uint64_t began = now_ns();
    while (now_ns() - began < STUCK_S * UINT64_C(1000000000)) { /* bound: time */
        if (keel_poll(keel, 0) < 0)
            break;
        if (keel_next_result(keel, result)) {
            if (result->number == number &&
                (result->status == KEEL_SEQUENCED || result->status == KEEL_DONE))
                return true;
            fprintf(stderr, "keel-lease-load: number %" PRIu64 ": %s\n", result->number,
                    keel_status_name((int)result->status));
            return false;
        }
        sched_yield();
    }
    fprintf(stderr, "keel-lease-load: no answer: %s\n", keel_problem(keel));
    return false;
}

/* Nanoseconds until the answer; negative: failed. */
static double timed(struct run *run, enum step step)
{
    static const uint8_t message[MESSAGE];
    const struct keel_lock_options options = {.mode = KEEL_EXCLUSIVE};
    struct keel_result result;
    uint64_t number, began = now_ns();
    int rc = step == SUBMIT    ? keel_submit(run->keel, message, sizeof(message), &number)
             : step == ACQUIRE ? keel_acquire(run->keel, run->node, &options, &number)
                               : keel_release(run->keel, run->node, &number);
    if (rc != KEEL_OK)
        return -1;
    keel_flush(run->keel);
    return answered(run->keel, number, &result) ? (double)(now_ns() - began) : -1;
}

static bool measure(struct run *run, uint32_t count)
{
    static const enum step order[2][STEPS] = {{SUBMIT, ACQUIRE, RELEASE},
                                              {ACQUIRE, RELEASE, SUBMIT}};
    for (uint32_t i = 0; i < WARM + count; i++)
        for (uint32_t k = 0; k < STEPS; k++) {
            enum step step = order[i % 2][k];
            double ns = timed(run, step);
            if (ns < 0)
                return false;
            if (i >= WARM)
                run->sample[step][i - WARM] = ns;
        }
    return true;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void report(struct run *run, uint32_t count)
{
    printf("{\"count\": %u", count);
    for (uint32_t step = 0; step < STEPS; step++) {
        double *sample = run->sample[step];
        qsort(sample, count, sizeof(sample[0]), by_value);
        printf(", \"%s\": {\"p50_ns\": %.0f, \"p90_ns\": %.0f, \"p99_ns\": %.0f, \"max_ns\": %.0f}",
               step_name[step], sample[count / 2], sample[count * 9 / 10], sample[count * 99 / 100],
               sample[count - 1]);
    }
    printf("}\n");
}

int main(int argc, char **argv)
{
    uint32_t count = argc == 4 ? (uint32_t)strtoul(argv[3], NULL, 10) : 0;
    if (count < 1 || count > COUNT_MAX) {
        fputs("usage: keel-lease-load MEMBERS KEY COUNT\n", stderr);
        return 2;
    }
    struct run run = {0};
    char problem[KEEL_PROBLEM_SIZE];
    const struct keel_options options = {
        .members = argv[1], .key_file = argv[2], .session = "lease-load", .leases = true};
    if (keel_open(&run.keel, &options, problem) != KEEL_OK) {
        fprintf(stderr, "keel-lease-load: %s\n", problem);
        return 1;
    }
    for (uint32_t step = 0; step < STEPS; step++)
        run.sample[step] = calloc(count, sizeof(double));
    struct keel_result opened;
    uint64_t number;
    bool good = keel_node_open(run.keel, "/lease-load", KEEL_CREATE, 0, "", 0, &number) == KEEL_OK;
    keel_flush(run.keel);
    good = good && answered(run.keel, number, &opened);
    run.node = good ? opened.feed : 0;
    good = good && measure(&run, count);
    if (good)
        report(&run, count);
    keel_end(run.keel, 5000000000);
    keel_close(run.keel);
    return good ? 0 : 1;
}
