/* A log-linear histogram of nanoseconds with three significant digits, after Gil Tene's
 * HdrHistogram: each power of two is split into 1,024 equal steps, so that a value is known to 0.1
 * % at any size.
 *
 * Fixed size, no allocation; one writer, readers may copy at any time and see counts a moment old.
 * histogram_record_corrected() also records the samples that a stalled sender failed to take
 * (coordinated omission): for a value above the interval, value - interval, value - 2 x interval,
 * ...
 */
#ifndef KEEL_HISTOGRAM_H
#define KEEL_HISTOGRAM_H

#include <stdint.h>
#include <string.h>

enum {
    HISTOGRAM_STEP_BITS = 10,
    HISTOGRAM_STEPS = 1 << HISTOGRAM_STEP_BITS,
    HISTOGRAM_VALUE_BITS = 40, /* larger values count as the largest: 18 minutes */
    HISTOGRAM_CELLS = (HISTOGRAM_VALUE_BITS - HISTOGRAM_STEP_BITS + 1) * HISTOGRAM_STEPS
};

struct histogram {
    uint64_t count, sum, min, max;
    uint64_t cell[HISTOGRAM_CELLS];
};

/* Values below 2048 have cells of their own; above, cell = exponent block + the 10 bits behind the
 * leading one. */
static inline uint32_t histogram_cell(uint64_t value)
{
    if (value >> HISTOGRAM_VALUE_BITS)
        value = (1ull << HISTOGRAM_VALUE_BITS) - 1;
    if (value < HISTOGRAM_STEPS)
        return (uint32_t)value;
    uint32_t shift = 63u - (uint32_t)__builtin_clzll(value) - HISTOGRAM_STEP_BITS;
    return (shift + 1) * HISTOGRAM_STEPS + ((uint32_t)(value >> shift) - HISTOGRAM_STEPS);
}

/* The largest value that a cell stands for. */
static inline uint64_t histogram_cell_value(uint32_t cell)
{
    if (cell < HISTOGRAM_STEPS)
        return cell;
    uint32_t shift = cell / HISTOGRAM_STEPS - 1;
    uint64_t base = (uint64_t)(cell % HISTOGRAM_STEPS) + HISTOGRAM_STEPS;
    return ((base + 1) << shift) - 1;
}

static inline void histogram_record(struct histogram *h, uint64_t value)
{
    if (h->count == 0 || value < h->min)
        h->min = value;
    if (value > h->max)
        h->max = value;
    h->sum += value;
    h->cell[histogram_cell(value)]++;
    h->count++;
}

static inline void histogram_record_corrected(struct histogram *h, uint64_t value,
                                              uint64_t interval)
{
    histogram_record(h, value);
    if (interval == 0)
        return;
    while (value > interval) {
        value -= interval;
        histogram_record(h, value);
    }
}

/* The value at or below which `per_million` of all samples lie; 0 when empty. */
static inline uint64_t histogram_quantile(const struct histogram *h, uint32_t per_million)
{
    uint64_t wanted = (h->count * per_million + 999999) / 1000000;
    uint64_t seen = 0;
    for (uint32_t cell = 0; cell < HISTOGRAM_CELLS; cell++) {
        seen += h->cell[cell];
        if (seen >= wanted && seen > 0) {
            uint64_t value = histogram_cell_value(cell);
            return value < h->max ? value : h->max;
        }
    }
    return h->max;
}

#endif
