/* keel-load: what a gateway meets, measured on libkeel. Prints one JSON object.
 *
 *   keel-load latency    MEMBERS KEYS SIZE COUNT
 *   keel-load throughput MEMBERS KEYS SIZE SECONDS SESSIONS
 *   keel-load fenced     MEMBERS KEYS SIZE SECONDS SESSIONS
 *
 * KEYS is a file name with one %d for the principal, 100 and on. Latency: one message outstanding.
 * Throughput: SESSIONS sessions of one thread, each with its window always full; fenced: the same,
 * each message under the sequencer of a lock that its session holds. The sockets are
 * polled, the core is given up in between: what is measured is the way, not the wake-up.
 */
#include "client/keel.h"

#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

enum {
    SESSIONS_MAX = 8,
    PRINCIPAL_FIRST = 100,
    COUNT_MAX = 1000000,
    SAMPLES_MAX = 1 << 22,
    WARM = 200,           /* messages before those measured, latency */
    WARM_NS = 1000000000, /* ... and time, throughput */
    STUCK_S = 10,         /* nothing answered for so long: the run has failed */
    LOST_NS = 10000000    /* an answer that comes later than this was resent: counted apart */
};

struct load {
    struct keel *keel[SESSIONS_MAX];
    bool fenced;
    struct keel_sequencer sequencer[SESSIONS_MAX];
    struct keel_result operated; /* the last answer to a node operation */
    uint32_t sessions;
    uint32_t size;
    uint64_t answered, late;
    uint64_t answered_ns; /* of the last answer */
    uint64_t samples;
    uint32_t *sample; /* nanoseconds, up to SAMPLES_MAX */
    bool measuring;
    double cpu_began; /* processor seconds of this process when measuring began */
};

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static double cpu_seconds(void)
{
    struct rusage use;
    getrusage(RUSAGE_SELF, &use);
    return (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) +
           (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec) / 1e6;
}

static void result(void *context, const struct keel_result *r)
{
    struct load *load = context;
    load->operated = *r;
    if (r->status == KEEL_DONE)
        return;
    if (r->status != KEEL_SEQUENCED) {
        fprintf(stderr, "keel-load: message %" PRIu64 " ends as %s\n", r->number,
                keel_status_name((int)r->status));
        exit(1);
    }
    load->answered++;
    if (!load->measuring)
        return;
    load->late += r->round_trip_ns > LOST_NS;
    if (load->samples < SAMPLES_MAX)
        load->sample[load->samples++] =
            r->round_trip_ns < UINT32_MAX ? (uint32_t)r->round_trip_ns : UINT32_MAX;
}

static int open_session(struct load *load, uint32_t i, const char *members, const char *keys,
                        uint32_t window)
{
    char file[512], name[32], problem[KEEL_PROBLEM_SIZE];
    const char *mark = strstr(keys, "%d");
    if (mark == NULL) {
        fprintf(stderr, "keel-load: no %%d in '%s'\n", keys);
        return 2;
    }
    snprintf(file, sizeof(file), "%.*s%u%s", (int)(mark - keys), keys, PRINCIPAL_FIRST + i,
             mark + 2);
    snprintf(name, sizeof(name), "%s-%u-%u", load->fenced ? "fenced" : "load", window, i);
    struct keel_options options = {.members = members,
                                   .key_file = file,
                                   .session = name,
                                   .window = window,
                                   .leases = load->fenced,
                                   .result = result,
                                   .context = load};
    if (keel_open(&load->keel[i], &options, problem) != 0) {
        fprintf(stderr, "keel-load: %s\n", problem);
        return 1;
    }
    return 0;
}

/* What a node operation answered; 0: it did not. */
static uint64_t operated(struct load *load, uint32_t i, uint64_t number)
{
    uint64_t began = now_ns();
    load->operated.number = 0;
    keel_flush(load->keel[i]);
    while (load->operated.number != number) { /* bound: time */
        if (keel_poll(load->keel[i], 0) < 0 || now_ns() - began > STUCK_S * UINT64_C(1000000000))
            return 0;
        sched_yield();
    }
    return load->operated.feed;
}

/* Each session holds a lock of its own. */
static int take_lock(struct load *load, uint32_t i)
{
    const struct keel_lock_options options = {.mode = KEEL_EXCLUSIVE};
    char path[32];
    uint64_t number;
    struct keel_sequencer *s = &load->sequencer[i];
    snprintf(path, sizeof(path), "/load-%u", i);
    if (keel_node_open(load->keel[i], path, KEEL_CREATE, 0, "", 0, &number) != KEEL_OK)
        return 1;
    s->node = operated(load, i, number);
    if (s->node == 0 || keel_acquire(load->keel[i], s->node, &options, &number) != KEEL_OK)
        return 1;
    s->generation = operated(load, i, number);
    s->mode = KEEL_EXCLUSIVE;
    return s->generation == 0;
}

static int by_value(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static uint32_t quantile(const struct load *load, double q)
{
    return load->samples == 0 ? 0 : load->sample[(uint64_t)(q * (double)(load->samples - 1))];
}

static void print_figures(struct load *load, uint64_t messages, double seconds)
{
    struct keel_stats sum = {0};
    for (uint32_t i = 0; i < load->sessions; i++) {
        struct keel_stats s;
        keel_stats(load->keel[i], &s);
        sum.messages_resent += s.messages_resent;
        sum.timeouts += s.timeouts;
        sum.busy += s.busy;
        sum.packets_sent += s.packets_sent;
        sum.packets_received += s.packets_received;
    }
    qsort(load->sample, load->samples, sizeof(load->sample[0]), by_value);
    printf("{\"messages\": %" PRIu64 ", \"seconds\": %.3f, \"per_second\": %.0f, \"p10_ns\": %u, "
           "\"p50_ns\": %u, \"p90_ns\": %u, \"p99_ns\": %u, \"p999_ns\": %u, \"max_ns\": %u, "
           "\"late\": %" PRIu64 ", \"resent\": %" PRIu64 ", \"timeouts\": %" PRIu64
           ", \"busy\": %" PRIu64 ", \"packets_sent\": %" PRIu64 ", \"packets_received\": %" PRIu64
           ", \"cpu_seconds\": %.3f}\n",
           messages, seconds, (double)messages / seconds, quantile(load, 0.1), quantile(load, 0.5),
           quantile(load, 0.9), quantile(load, 0.99), quantile(load, 0.999), quantile(load, 1.0),
           load->late, sum.messages_resent, sum.timeouts, sum.busy, sum.packets_sent,
           sum.packets_received, cpu_seconds() - load->cpu_began);
}

static bool stuck(struct load *load, uint64_t before)
{
    uint64_t now = now_ns();
    if (load->answered != before || load->answered_ns == 0)
        load->answered_ns = now;
    if (now - load->answered_ns < STUCK_S * UINT64_C(1000000000))
        return false;
    fprintf(stderr, "keel-load: no answer for %d s: %s\n", STUCK_S, keel_problem(load->keel[0]));
    return true;
}

static int latency(struct load *load, uint32_t count)
{
    uint8_t payload[KEEL_PAYLOAD_MAX];
    memset(payload, 'm', sizeof(payload));
    uint64_t began = 0;
    for (uint32_t i = 0; i < WARM + count; i++) {
        if (i == WARM) {
            load->measuring = true;
            load->cpu_began = cpu_seconds();
            began = now_ns();
        }
        uint64_t before = load->answered;
        if (keel_submit(load->keel[0], payload, load->size, NULL) != 0)
            return 1;
        keel_flush(load->keel[0]);
        while (load->answered == before) { /* bound: stuck() */
            if (keel_poll(load->keel[0], 0) < 0 || stuck(load, before))
                return 1;
            sched_yield();
        }
        load->answered_ns = 0;
    }
    print_figures(load, count, (double)(now_ns() - began) / 1e9);
    return 0;
}

/* A turn of all sessions; false: one has failed. */
static bool fill_and_poll(struct load *load, const uint8_t *payload)
{
    for (uint32_t i = 0; i < load->sessions; i++) {
        struct keel *keel = load->keel[i];
        if (keel_poll(keel, 0) < 0)
            return false;
        for (uint32_t k = 0; k < KEEL_WINDOW_MAX; k++)
            if ((load->fenced
                     ? keel_submit_fenced(keel, payload, load->size, &load->sequencer[i], NULL)
                     : keel_submit(keel, payload, load->size, NULL)) != 0)
                break;
        keel_flush(keel);
    }
    return true;
}

static int throughput(struct load *load, uint64_t seconds)
{
    uint8_t payload[KEEL_PAYLOAD_MAX];
    memset(payload, 'm', sizeof(payload));
    uint64_t began = now_ns(), from = 0, now = began;
    while (now - began < WARM_NS + seconds * 1000000000) { /* bound: time */
        uint64_t before = load->answered;
        if (!fill_and_poll(load, payload) || stuck(load, before))
            return 1;
        now = now_ns();
        if (!load->measuring && now - began >= WARM_NS) {
            load->measuring = true;
            load->cpu_began = cpu_seconds();
            from = load->answered;
            began = now - WARM_NS;
        }
        sched_yield();
    }
    print_figures(load, load->answered - from, (double)(now - began - WARM_NS) / 1e9);
    return 0;
}

int main(int argc, char **argv)
{
    struct load load = {0};
    load.fenced = argc == 7 && strcmp(argv[1], "fenced") == 0;
    bool fast = load.fenced || (argc == 7 && strcmp(argv[1], "throughput") == 0);
    if (!fast && (argc != 6 || strcmp(argv[1], "latency") != 0)) {
        fprintf(stderr, "usage: keel-load latency MEMBERS KEYS SIZE COUNT\n"
                        "       keel-load throughput MEMBERS KEYS SIZE SECONDS SESSIONS\n"
                        "       keel-load fenced     MEMBERS KEYS SIZE SECONDS SESSIONS\n");
        return 2;
    }
    load.size = (uint32_t)strtoul(argv[4], NULL, 10);
    uint32_t amount = (uint32_t)strtoul(argv[5], NULL, 10);
    load.sessions = fast ? (uint32_t)strtoul(argv[6], NULL, 10) : 1;
    load.sample = malloc(SAMPLES_MAX * sizeof(load.sample[0]));
    if (load.size < 1 || load.size > KEEL_PAYLOAD_MAX || amount < 1 || amount > COUNT_MAX ||
        load.sessions < 1 || load.sessions > SESSIONS_MAX || load.sample == NULL) {
        fprintf(stderr, "keel-load: an argument is out of range\n");
        return 2;
    }
    int status = 0;
    for (uint32_t i = 0; i < load.sessions && status == 0; i++)
        status = open_session(&load, i, argv[2], argv[3], fast ? KEEL_WINDOW_MAX : 1);
    for (uint32_t i = 0; load.fenced && i < load.sessions && status == 0; i++)
        status = take_lock(&load, i);
    if (status == 0)
        status = fast ? throughput(&load, amount) : latency(&load, amount);
    if (status == 1)
        fprintf(stderr, "keel-load: the run has failed\n");
    for (uint32_t i = 0; i < load.sessions; i++) {
        if (load.fenced && status == 0)
            keel_end(load.keel[i], STUCK_S * INT64_C(1000000000)); /* frees its lock at once */
        keel_close(load.keel[i]);
    }
    free(load.sample);
    return status;
}
