/* One running replica as people see it: what the daemon assembled, for those who report on it.
 * Built by the daemon before its threads start, constant after; what changes is read through the
 * published copies and counters. Any thread.
 */
#ifndef KEEL_CONTROL_NODE_H
#define KEEL_CONTROL_NODE_H

#include "control/config.h"
#include "control/journal.h"
#include "control/reload.h"
#include "control/startup.h"
#include "dataplane/disk.h"
#include "dataplane/loop.h"

enum { NODE_THREADS_MAX = 4 };

struct admin_counts;

struct node {
    const struct config *config; /* as it started: what a reload may change is in `reload` */
    struct reload *reload;
    struct journal *journal; /* NULL: nothing is kept */
    struct startup start;
    struct founding_shown *founding; /* set: there is no genesis record yet, and no `start` */
    struct port *port;
    struct port_facts port_facts;
    struct disk_facts disk_facts;
    struct eal_facts eal;
    struct loop loop[NODE_THREADS_MAX];
    struct config_thread thread[NODE_THREADS_MAX];
    uint32_t thread_count;
    bool ring_huge, ring_locked;             /* the window's memory */
    const struct admin_counts *admin_counts; /* NULL: no socket; for the admin thread alone */
    uint64_t control_turns;                  /* grows while the control thread advances; relaxed */
};

/* Why this replica cannot do its work at the moment: words of a fixed list, NULL: it can. `at`
 * counts from 0; call until NULL. */
const char *node_complaint(const struct node *node, const struct replica_status *status, int at);

const char *node_role_name(uint32_t role);

#endif
