/* The line of time over a virtual counter and a virtual kernel. */
#include "dataplane/clock_line.h"
#include "tests/unit/unit.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* A host: a counter of `hz`, and a kernel whose time runs at another rate than planned, and at
 * times goes on while the counter stands, or begins anew. */
struct host {
    uint64_t hz;
    double true_ns; /* since the start */
    double kernel_ns;
    double kernel_rate; /* kernel ns per true ns */
    double ticks;
    struct clock_line line;
};

static uint64_t kernel(const struct host *h)
{
    return (uint64_t)h->kernel_ns;
}

static uint64_t tick(const struct host *h)
{
    return (uint64_t)h->ticks;
}

static void pass(struct host *h, double ns)
{
    h->true_ns += ns;
    h->kernel_ns += ns * h->kernel_rate;
    h->ticks += ns * (double)h->hz / 1e9;
}

static uint64_t read_line(struct host *h)
{
    uint64_t ns;
    if (clock_line_read(&h->line, tick(h), &ns))
        return ns;
    return clock_line_beyond(&h->line, tick(h), kernel(h));
}

/* rate_error: of the first calibration. */
static void start(struct host *h, uint64_t hz, double rate_error)
{
    memset(h, 0, sizeof(*h));
    h->hz = hz;
    h->kernel_rate = 1;
    h->kernel_ns = 5e9;
    h->ticks = 3e12;
    uint64_t rate = clock_line_rate(1000000000, hz);
    rate = (uint64_t)((double)rate * (1 + rate_error));
    clock_line_init(&h->line, tick(h), kernel(h), rate);
}

static void measured(struct host *h)
{
    clock_line_measured(&h->line, tick(h), kernel(h));
}

static double off_ns(struct host *h)
{
    return (double)read_line(h) - h->kernel_ns;
}

static void test_follows(void)
{
    /* Counters of 1 to 5 GHz, a calibration that is 20 ppm off, a kernel that runs 100 ppm fast. */
    for (uint64_t hz = 1000000000; hz <= 5000000000; hz += 499999937) {
        struct host h;
        start(&h, hz, 20e-6);
        h.kernel_rate = 1 + 100e-6;
        for (int second = 0; second < 30; second++) {
            pass(&h, 1e9);
            measured(&h);
            uint64_t ns;
            CU_ASSERT(clock_line_read(&h.line, tick(&h), &ns));
            if (second > 15)
                CU_ASSERT(off_ns(&h) < 1000 && off_ns(&h) > -1000);
        }
    }
}

static uint64_t next_random(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return *state >> 33;
}

/* H20: time never steps back, whatever happens, and after any quiet time it is the kernel's again.
 * The run of events: measurements early, late and missed for long, kernel rates of +-500 ppm,
 * suspends in which the counter stands, runs on or begins anew, and a planner that is put aside
 * between measuring and publishing. */
static void test_h20_never_back(void)
{
    uint64_t events[6] = {0};
    for (uint64_t seed = 1; seed <= 300; seed++) {
        struct host h;
        uint64_t random = seed * 7919, last = 0;
        start(&h, 1000000000 + next_random(&random) % 4000000000, 2e-6);
        for (int i = 0; i < 4000; i++) {
            uint64_t event = next_random(&random) % 200;
            if (event == 0) { /* suspended: the counter began anew */
                h.kernel_ns += 1e9 + (double)(next_random(&random) % 100) * 1e8;
                h.ticks = (double)(next_random(&random) % 1000000);
                /* A second suspend before a new piece was laid would find the old one's margins. */
                measured(&h);
                events[0]++;
            } else if (event == 1 && clock_line_read(&h.line, tick(&h), &(uint64_t){0})) {
                /* The counter stood. (Within the millisecond before a piece that stands apart this
                 * would lead back: the kernel was asked meanwhile, and that piece cannot know.) */
                h.kernel_ns += 1e9 + (double)(next_random(&random) % 1000) * 1e7;
                events[1]++;
            } else if (event == 2) { /* nobody measured for long */
                pass(&h, 4e9 + (double)(next_random(&random) % 100) * 1e7);
                events[2]++;
            } else if (event == 3) {
                h.kernel_rate = 1 + ((double)(next_random(&random) % 1001) - 500) * 1e-6;
                events[3]++;
            } else if (event < 60) {
                measured(&h);
                events[4]++;
            } else if (event == 60) { /* put aside: measured now, published later */
                uint64_t then_tick = tick(&h), then_ns = kernel(&h);
                pass(&h, (double)(next_random(&random) % 3000) * 1000);
                clock_line_measured(&h.line, then_tick, then_ns);
                events[5]++;
            } else {
                pass(&h, (double)(next_random(&random) % (event < 130 ? 300 : 20000)) * 1000);
            }
            uint64_t ns = read_line(&h);
            CU_ASSERT_FATAL(ns >= last);
            last = ns;
        }
        h.kernel_rate = 1;
        for (int second = 0; second < 60; second++) {
            pass(&h, 1e9);
            measured(&h);
            uint64_t ns = read_line(&h);
            CU_ASSERT_FATAL(ns >= last);
            last = ns;
        }
        CU_ASSERT(off_ns(&h) < 1000 && off_ns(&h) > -1000);
    }
    for (int i = 0; i < 6; i++)
        CU_ASSERT(events[i] > 100);
}

/* H20: a lease counted over a suspend is over when the host wakes, before anybody has measured. The
 * run of events: a lease of 2 s is taken, the host sleeps for 10 s, the counter begins anew. */
static void test_h20_suspend_counts(void)
{
    struct host h;
    start(&h, 2500000000, 0);
    pass(&h, 1e9);
    measured(&h);
    pass(&h, 1e9);
    uint64_t taken_ns = read_line(&h);
    h.kernel_ns += 10e9;
    h.ticks = 1e6;
    CU_ASSERT(read_line(&h) - taken_ns >= 10000000000);
    measured(&h);
    pass(&h, 2e6);
    uint64_t ns;
    CU_ASSERT(clock_line_read(&h.line, tick(&h), &ns));
    CU_ASSERT(ns - taken_ns >= 10000000000);
    CU_ASSERT(ns - taken_ns < 10010000000);
}

static void test_stands_still(void)
{
    /* The counter stood while the kernel's time went on: the next measurement puts time forward,
     * and the rate stays. */
    struct host h;
    start(&h, 3000000000, 0);
    pass(&h, 1e9);
    measured(&h);
    uint64_t rate = h.line.rate;
    h.kernel_ns += 5e9;
    pass(&h, 1e6);
    measured(&h);
    pass(&h, 2e6);
    CU_ASSERT(off_ns(&h) < 10000 && off_ns(&h) > -10000);
    CU_ASSERT_EQUAL(h.line.rate, rate);
}

static void step(struct host *h, double ns, int steps, uint64_t *last)
{
    for (int i = 0; i < steps; i++) {
        pass(h, ns);
        uint64_t read_ns = read_line(h);
        CU_ASSERT_FATAL(read_ns >= *last);
        *last = read_ns;
    }
}

/* Nobody measures for longer than a piece lasts, while the kernel's rate changes by so much that
 * the line is ahead of it or behind: looked at in small steps over the end, over the next
 * measurement, and over the beginning of the piece that follows. */
static void test_late(void)
{
    for (int ppm = -500; ppm <= 500; ppm += 100) {
        struct host h;
        uint64_t last = 0, ns;
        start(&h, 2500000000, 0);
        pass(&h, 1e9);
        measured(&h);
        h.kernel_rate = 1 + ppm * 1e-6;
        pass(&h, 2.99e9);
        CU_ASSERT(clock_line_read(&h.line, tick(&h), &ns));
        for (int i = 0; i < 20000 && clock_line_read(&h.line, tick(&h), &ns); i++)
            step(&h, 1e3, 1, &last);
        CU_ASSERT(!clock_line_read(&h.line, tick(&h), &ns));
        double off = off_ns(&h);
        CU_ASSERT(off > -1 && off < 2000000);
        measured(&h);
        h.kernel_rate = 1 - ppm * 1e-6;
        /* What is told meanwhile goes with the kernel, or stands: it does not run ahead. */
        CU_ASSERT(off_ns(&h) < off + 1);
        step(&h, 1e3, 900, &last);
        CU_ASSERT(!clock_line_read(&h.line, tick(&h), &ns));
        step(&h, 1e2, 2000, &last);
        CU_ASSERT(clock_line_read(&h.line, tick(&h), &ns));
        step(&h, 1e6, 1000, &last);
    }
}

static void test_slew_is_bounded(void)
{
    /* Put 900 us behind (less than a step), the line catches up at no more than the allowed rate.
     */
    struct host h;
    start(&h, 3000000000, 0);
    h.kernel_ns += 900000;
    uint64_t last = read_line(&h);
    double off = off_ns(&h);
    CU_ASSERT(off < -890000);
    for (int i = 0; i < 20; i++) {
        pass(&h, 1e9);
        measured(&h);
        uint64_t ns = read_line(&h);
        double rate = (double)(ns - last) / 1e9;
        CU_ASSERT(rate < 1 + 201e-6 && rate > 1 - 201e-6);
        last = ns;
    }
    off = off_ns(&h);
    CU_ASSERT(off > -1000 && off < 1000);
}

static void test_other_rate(void)
{
    /* A counter that changes its rate for good (a host that moved) is believed after a few looks.
     */
    struct host h;
    start(&h, 3000000000, 0);
    uint64_t last = 0;
    h.hz = 2000000000;
    for (int i = 0; i < 40; i++) {
        pass(&h, 1e9);
        measured(&h);
        uint64_t ns = read_line(&h);
        CU_ASSERT(ns >= last);
        last = ns;
    }
    CU_ASSERT(off_ns(&h) < 1000 && off_ns(&h) > -1000);
}

/* A writer publishes as fast as it can while readers read: each value lies between the ends of the
 * writer's own time, and none steps back. The counter is the writer's, shared. */
struct shared {
    struct clock_line line;
    _Atomic uint64_t tick;
    _Atomic bool done;
    _Atomic uint64_t bad, reads;
};

static void *read_forever(void *context)
{
    struct shared *s = context;
    uint64_t last = 0;
    while (!atomic_load(&s->done)) {
        uint64_t at = atomic_load(&s->tick), ns;
        if (!clock_line_read(&s->line, at, &ns))
            continue;
        uint64_t kernel_ns = at + 1000000000;
        uint64_t off = ns > kernel_ns ? ns - kernel_ns : kernel_ns - ns;
        if (ns < last || off > 10000000)
            atomic_fetch_add(&s->bad, 1);
        last = ns;
        atomic_fetch_add(&s->reads, 1);
    }
    return NULL;
}

static void test_threads(void)
{
    static struct shared s;
    pthread_t readers[2];
    uint64_t at = 1000000; /* a counter of 1 GHz; the kernel is 1 s ahead of it */
    clock_line_init(&s.line, at, at + 1000000000, clock_line_rate(1000, 1000));
    atomic_store(&s.tick, at);
    for (int i = 0; i < 2; i++)
        CU_ASSERT_EQUAL_FATAL(pthread_create(&readers[i], NULL, read_forever, &s), 0);
    /* On a busy machine the readers come to their turn late. */
    for (int i = 0; i < 400000 || (atomic_load(&s.reads) == 0 && i < 400000000); i++) {
        at += 200000000 + (uint64_t)(i % 7) * 1000;
        atomic_store(&s.tick, at);
        clock_line_measured(&s.line, at, at + 1000000000 + (uint64_t)(i % 5) * 300);
    }
    atomic_store(&s.done, true);
    for (int i = 0; i < 2; i++)
        pthread_join(readers[i], NULL);
    CU_ASSERT_EQUAL(atomic_load(&s.bad), 0);
    CU_ASSERT(atomic_load(&s.reads) > 0);
}

int main(void)
{
    static const struct unit_test tests[] = {
        {"follows the kernel's rate at any counter frequency", test_follows},
        {"H20: never steps back, under every mishap", test_h20_never_back},
        {"H20: a suspend counts before anybody has measured", test_h20_suspend_counts},
        {"a counter that stood still is put forward", test_stands_still},
        {"late measurements: no step back at either edge", test_late},
        {"a slew is bounded", test_slew_is_bounded},
        {"a counter that changes its rate for good is followed", test_other_rate},
        {"readers beside a writer see whole pieces in order", test_threads},
        {0}};
    return unit_main("clock_line", tests);
}
