#include "dataplane/clock.h"

#include "consensus/ensure.h"
#include "dataplane/clock_line.h"

#include <cpuid.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/timex.h>
#include <time.h>
#include <x86intrin.h>

enum {
    MEASURE_TRIES = 8,       /* the narrowest counts */
    CALIBRATE_NS = 20000000, /* first measurement of the rate */
    UTC_GROWTH_PPM = 500, /* of the error since clock_discipline(); the kernel's own assumption */
    SECRET_PIECE = 256    /* getrandom() gives so much in one piece */
};

struct clock {
    struct clock_line line;
    bool tsc; /* else every read asks the kernel */
    /* Written by clock_discipline(). Each is whole by itself; a reader that meets a new offset with
     * an older error is wrong by what the error grew in a second. */
    _Atomic int64_t utc_offset_ns; /* UTC - monotone time */
    _Atomic uint64_t utc_at_ns;    /* monotone, when it was measured */
    _Atomic uint32_t utc_error_ns; /* UINT32_MAX: unknown */
    _Atomic uint64_t utc_steps;
    _Atomic int64_t utc_step_ns;
};

static uint64_t kernel_ns(clockid_t id)
{
    struct timespec t;
    clock_gettime(id, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* Does the counter run at one rate in all states of the processor (its own word), and does the
 * kernel, which watches it, still trust it? */
static bool tsc_is_good(void)
{
    unsigned a, b, c, d;
    if (__get_cpuid(0x80000007, &a, &b, &c, &d) == 0 || (d & 1u << 8) == 0)
        return false;
    char name[32] = "";
    FILE *file = fopen("/sys/devices/system/clocksource/clocksource0/current_clocksource", "re");
    if (file == NULL)
        return true;
    if (fgets(name, sizeof(name), file) == NULL)
        name[0] = 0;
    fclose(file);
    name[strcspn(name, "\n")] = 0;
    return strcmp(name, "tsc") == 0 || strcmp(name, "kvm-clock") == 0 ||
           strcmp(name, "hyperv_clocksource_tsc_page") == 0;
}

/* The counter, not read before what stands before it: else a time could be older than one that
 * another thread has shown. */
static inline uint64_t read_tick(void)
{
    _mm_lfence();
    return __rdtsc();
}

/* Reads a kernel clock between two reads of the counter; *width_ticks is how far they lie apart. */
static uint64_t measure(clockid_t id, uint64_t *tick, uint64_t *width_ticks)
{
    uint64_t best_ns = 0;
    *tick = 0;
    *width_ticks = UINT64_MAX;
    for (int try = 0; try < MEASURE_TRIES; try++) {
        uint64_t before = read_tick();
        uint64_t ns = kernel_ns(id);
        uint64_t after = read_tick();
        if (after - before >= *width_ticks)
            continue;
        *width_ticks = after - before;
        *tick = before + (after - before) / 2;
        best_ns = ns;
    }
    return best_ns;
}

static void open_line(struct clock *clock)
{
    uint64_t width, tick, began_tick;
    uint64_t began_ns = measure(CLOCK_BOOTTIME, &began_tick, &width);
    nanosleep(&(struct timespec){.tv_nsec = CALIBRATE_NS}, NULL);
    uint64_t ns = measure(CLOCK_BOOTTIME, &tick, &width);
    if (tick <= began_tick || ns <= began_ns) {
        clock->tsc = false; /* neither moves backwards on a sane host */
        return;
    }
    clock_line_init(&clock->line, tick, ns, clock_line_rate(ns - began_ns, tick - began_tick));
}

int clock_open(struct clock **clock)
{
    struct clock *opened = aligned_alloc(64, (sizeof(*opened) + 63) / 64 * 64);
    if (opened == NULL)
        return -ENOMEM;
    memset(opened, 0, sizeof(*opened));
    opened->tsc = tsc_is_good();
    if (opened->tsc)
        open_line(opened);
    clock_discipline(opened);
    *clock = opened;
    return 0;
}

void clock_close(struct clock *clock)
{
    free(clock);
}

HOT uint64_t clock_now_ns(struct clock *clock)
{
    uint64_t ns;
    if (!clock->tsc)
        return kernel_ns(CLOCK_BOOTTIME);
    uint64_t tick = read_tick();
    if (__builtin_expect(clock_line_read(&clock->line, tick, &ns), 1))
        return ns;
    return clock_line_beyond(&clock->line, tick, kernel_ns(CLOCK_BOOTTIME));
}

/* The kernel's own bound of its error: half the round trip to the reference, grown since. */
static uint32_t kernel_error_ns(uint64_t width_ns)
{
    struct timex timex = {0};
    int state = adjtimex(&timex);
    if (state < 0 || state == TIME_ERROR || (timex.status & STA_UNSYNC) != 0)
        return UINT32_MAX;
    uint64_t ns = (uint64_t)timex.maxerror * 1000 + width_ns;
    return ns < UINT32_MAX ? (uint32_t)ns : UINT32_MAX;
}

/* What no slewing does within a second or so. One thread. */
static void note_step(struct clock *clock, int64_t offset_ns)
{
    int64_t moved_ns =
        offset_ns - atomic_load_explicit(&clock->utc_offset_ns, memory_order_relaxed);
    if (atomic_load_explicit(&clock->utc_at_ns, memory_order_relaxed) == 0 ||
        llabs(moved_ns) <= CLOCK_UTC_STEP_NS)
        return; /* the first measurement is no step */
    atomic_store_explicit(&clock->utc_step_ns, moved_ns, memory_order_relaxed);
    atomic_fetch_add_explicit(&clock->utc_steps, 1, memory_order_relaxed);
}

void clock_discipline(struct clock *clock)
{
    uint64_t tick, width;
    if (clock->tsc) {
        uint64_t ns = measure(CLOCK_BOOTTIME, &tick, &width);
        clock_line_measured(&clock->line, tick, ns);
    }
    uint64_t best_ns = UINT64_MAX, utc_ns = 0, at_ns = 0;
    for (int try = 0; try < MEASURE_TRIES; try++) {
        uint64_t before_ns = clock_now_ns(clock);
        uint64_t ns = kernel_ns(CLOCK_REALTIME);
        uint64_t took_ns = clock_now_ns(clock) - before_ns;
        if (took_ns >= best_ns)
            continue;
        best_ns = took_ns;
        utc_ns = ns;
        at_ns = before_ns + took_ns / 2;
    }
    note_step(clock, (int64_t)(utc_ns - at_ns));
    /* Relaxed: see struct clock. */
    atomic_store_explicit(&clock->utc_offset_ns, (int64_t)(utc_ns - at_ns), memory_order_relaxed);
    atomic_store_explicit(&clock->utc_at_ns, at_ns, memory_order_relaxed);
    atomic_store_explicit(&clock->utc_error_ns, kernel_error_ns(best_ns), memory_order_relaxed);
}

void clock_facts(const struct clock *clock, struct clock_facts *facts)
{
    /* Relaxed: see struct clock. */
    facts->counter = clock->tsc;
    facts->measured_ns = atomic_load_explicit(&clock->utc_at_ns, memory_order_relaxed);
    facts->steps = atomic_load_explicit(&clock->utc_steps, memory_order_relaxed);
    facts->step_ns = atomic_load_explicit(&clock->utc_step_ns, memory_order_relaxed);
}

HOT uint64_t clock_utc_at(struct clock *clock, uint64_t now_ns, uint32_t *error_ns)
{
    /* Relaxed: see struct clock. */
    int64_t offset_ns = atomic_load_explicit(&clock->utc_offset_ns, memory_order_relaxed);
    uint64_t at_ns = atomic_load_explicit(&clock->utc_at_ns, memory_order_relaxed);
    uint32_t error = atomic_load_explicit(&clock->utc_error_ns, memory_order_relaxed);
    if (error != UINT32_MAX) {
        uint64_t age_ns = now_ns > at_ns ? now_ns - at_ns : 0;
        uint64_t grown_ns = error + age_ns / 1000000 * UTC_GROWTH_PPM;
        error = grown_ns < UINT32_MAX ? (uint32_t)grown_ns : UINT32_MAX;
    }
    *error_ns = error;
    return now_ns + (uint64_t)offset_ns;
}

HOT uint64_t clock_utc_ns(struct clock *clock, uint32_t *error_ns)
{
    return clock_utc_at(clock, clock_now_ns(clock), error_ns);
}

HOT uint64_t clock_random(struct clock *clock, uint64_t *state)
{
    if (*state == 0)
        clock_secret(clock, state, sizeof(*state));
    /* A counter with an odd step, mixed: no state is a dead end (splitmix64). */
    *state += 0x9e3779b97f4a7c15;
    uint64_t mixed = *state;
    mixed = (mixed ^ mixed >> 30) * 0xbf58476d1ce4e5b9;
    mixed = (mixed ^ mixed >> 27) * 0x94d049bb133111eb;
    return mixed ^ mixed >> 31;
}

void clock_secret(struct clock *clock, void *bytes, size_t size)
{
    (void)clock;
    uint8_t *at = bytes;
    for (size_t done = 0;
         done < size;) { /* at most size / SECRET_PIECE + 1 turns without signals */
        size_t piece = size - done < SECRET_PIECE ? size - done : SECRET_PIECE;
        ssize_t got = getrandom(at + done, piece, 0);
        ENSURE(got > 0 || errno == EINTR);
        done += got > 0 ? (size_t)got : 0;
    }
}
