/* Counters as OpenMetrics text (openmetrics.io, version 1.0): counters end in _total, each stage's
 * latency is a histogram in seconds, the text ends in "# EOF". Cold: reads published copies and
 * relaxed counters; nothing waits for it.
 */
#ifndef KEEL_OPENMETRICS_H
#define KEEL_OPENMETRICS_H

#include "control/node.h"

enum {
    OPENMETRICS_BUCKET_LOW = 10, /* buckets at 2^10 ns ... */
    OPENMETRICS_BUCKET_HIGH = 34 /* ... to 2^34 ns, each twice the one before */
};

/* malloc'd text with a final zero; NULL: out of memory. */
char *openmetrics_text(const struct node *node, size_t *size);

/* Samples of a histogram below 2^bits nanoseconds; exact, since cells do not straddle powers of
 * two. */
uint64_t openmetrics_below(const struct histogram *histogram, uint32_t bits);

#endif
