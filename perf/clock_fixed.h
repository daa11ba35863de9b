/* clock.h for counting instructions: time stands still until moved, chance is a fixed sequence. */
#ifndef KEEL_PERF_CLOCK_FIXED_H
#define KEEL_PERF_CLOCK_FIXED_H

#include "dataplane/clock.h"

void clock_fixed_advance(struct clock *clock, uint64_t ns);

#endif
