/* What the main thread does while the replica runs: says what changed, one line per event, and
 * feeds the supervisor's watchdog only while every loop and control advance.
 */
#ifndef KEEL_WATCH_H
#define KEEL_WATCH_H

#include "control/node.h"

struct watch {
    const struct node *node;
    uint64_t alive[NODE_THREADS_MAX + 1]; /* turns last seen of each loop, then of control */
    uint64_t alive_at_ms;                 /* when all had advanced */
    uint64_t fed_at_ms;
    uint64_t watchdog_ms; /* feed at least this often; 0: no watchdog */
    uint32_t role, leader, stopped, failed, stale;
    uint64_t term, stalls, installed;
    uint64_t by_drive, by_link; /* leaderships that this replica gave up of itself */
    uint32_t autopilot_why, autopilot_about;
    bool autopilot_seen;
    uint64_t decisions;                              /* of the autopilot, said */
    uint64_t decided;                                /* end of the newest, said */
    struct detector_view peer[KEEL_REPLICA_MAX + 1]; /* as last said */
    bool hung;
    bool start_again; /* nothing but a start is wanted any more */
    char problem[CONTROL_PROBLEM_SIZE];
};

enum { WATCH_HUNG_MS = 2000 }; /* a loop that stood this long is said to hang */

void watch_init(struct watch *watch, const struct node *node);
void watch_look(struct watch *watch);

#endif
