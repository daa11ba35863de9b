/* The seam to time and chance. Implemented by clock_host.c (TSC calibrated against the kernel's
 * clocks, read once a turn) and, at link time in its place, by the simulator.
 *
 * Monotone time counts suspend (CLOCK_BOOTTIME, H20) and never steps; UTC may.
 */
#ifndef KEEL_CLOCK_H
#define KEEL_CLOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct clock;

/* Sources opened once at start. 0 or negative errno. */
int clock_open(struct clock **clock);
void clock_close(struct clock *clock);

/* Monotone nanoseconds since any origin (> 0); no system call in steady state. One clock may be
 * read by any thread. */
uint64_t clock_now_ns(struct clock *clock);
/* UTC in nanoseconds since 1970 and the clock's known error bound (UINT32_MAX: unknown), as last
 * disciplined by clock_discipline(); no system call. */
uint64_t clock_utc_ns(struct clock *clock, uint32_t *error_ns);
/* Re-measures TSC against CLOCK_BOOTTIME and CLOCK_REALTIME and reads the kernel's error estimate
 * (adjtimex); housekeeping thread, about once a second. */
void clock_discipline(struct clock *clock);
/* How UTC is told, for people; any thread. */
struct clock_facts {
    bool counter;         /* the processor's; else each read asks the kernel */
    uint64_t measured_ns; /* monotone, when UTC was last measured */
    uint64_t steps;  /* UTC moved by more than CLOCK_UTC_STEP_NS between two measurements ... */
    int64_t step_ns; /* ... the last time by so much */
};
#define CLOCK_UTC_STEP_NS 10000000
void clock_facts(const struct clock *clock, struct clock_facts *facts);
/* clock_utc_ns() for a now_ns that clock_now_ns() has just given: the counter is not read again. */
uint64_t clock_utc_at(struct clock *clock, uint64_t now_ns, uint32_t *error_ns);

/* Fresh random bits: cheap, not secret (election timeouts). Any thread that owns `state`, which is
 * 0 before the first call, or a seed. */
uint64_t clock_random(struct clock *clock, uint64_t *state);
/* Secret random bytes (salts, incarnations); cold path. */
void clock_secret(struct clock *clock, void *bytes, size_t size);

#endif
