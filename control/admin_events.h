/* `events`: what the daemon logged, from its journal. A request names the last event that it knows;
 * with "wait_ms" the answer is held until there is a newer one. The admin thread.
 */
#ifndef KEEL_ADMIN_EVENTS_H
#define KEEL_ADMIN_EVENTS_H

#include "control/admin_request.h"
#include "control/node.h"

#include <jansson.h>

enum {
    ADMIN_EVENTS_MAX = 256,   /* of one answer */
    ADMIN_EVENTS_LOOK_MS = 50 /* how often a held answer is looked at */
};

/* Is there anything behind request->since, or nothing to wait for? */
bool admin_events_ready(const struct node *node, const struct admin_request *request);
/* The caller's. */
json_t *admin_events_result(const struct node *node, const struct admin_request *request);

#endif
