/* Cycles spent in the stages of a turn, by the linker's --wrap: the product's objects are the same,
 * only their calls to the functions named in probe.c lead through a counter. One thread.
 *
 * A stage that calls another counts its own cycles alone. Reading the counter costs cycles too:
 * what an empty probed call costs itself and its caller is measured once and taken off.
 */
#ifndef KEEL_PERF_PROBE_H
#define KEEL_PERF_PROBE_H

#include <stdbool.h>
#include <stdint.h>

struct probe {
    const char *name;
    uint64_t cycles, calls; /* cycles: TSC, without those of probed functions below it */
};

/* What runs between these two is counted, on top of what was counted before. */
void probe_start(void);
void probe_stop(void);
void probe_clear(void);
/* The i-th stage; false behind the last. */
bool probe_at(uint32_t i, struct probe *probe);

#endif
