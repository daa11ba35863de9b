/* What people are told of slow links and drives (trips.c): in a status, of each member, as metrics.
 * Times in microseconds of JSON, null where not known; how slow, in times the median of all. */
#ifndef KEEL_ADMIN_SLOW_H
#define KEEL_ADMIN_SLOW_H

#include "control/control.h"

#include <jansson.h>
#include <stdio.h>

/* "slow_replica" (0: none), "slow" (none, link, drive), "slow_times" of the slowest; the own
 * "majority_us" and "drive_us"; "transfers_by_link". */
void slow_put(json_t *to, const struct control_status *c, uint32_t self);

/* "trip_us", "majority_us", "drive_us", "slow", "slow_times" of one member. */
void slow_put_member(json_t *to, const struct control_status *c, uint32_t id);

/* As OpenMetrics text. */
void slow_metrics(FILE *out, const struct control_status *c);

#endif
