/* `health`: besides looking at the replica, the leader commits an entry that changes nothing, and
 * says how long it took. Anybody who can open the socket may ask, so one such entry is under way at
 * a time, and a fresh one answers all who ask: nobody fills the log by asking. The admin thread.
 */
#ifndef KEEL_ADMIN_HEALTH_H
#define KEEL_ADMIN_HEALTH_H

#include "control/admin_request.h"
#include "control/node.h"

#include <jansson.h>

enum { ADMIN_PROBE_FRESH_MS = 100 }; /* so long the last one counts as an answer */

struct admin_health {
    uint64_t tag; /* of the probe under way; 0: none is */
    bool told;    /* `last` is of use */
    uint64_t told_ms;
    struct control_reply last;
};

/* Begins a probe, or joins the one under way: then health->tag is the reply's to wait for, and NULL
 * is returned. Else what there is to say at once, the caller's. `next_tag` counts up. */
json_t *admin_health_begin(struct admin_health *health, const struct node *node,
                           const struct admin_request *request, uint64_t *next_tag,
                           uint64_t now_ms);
/* Every reply of control's passes here first; false: it is not of a probe. */
bool admin_health_reply(struct admin_health *health, const struct control_reply *reply,
                        uint64_t now_ms);
/* What came of the last probe, beside the rest; the caller's. */
json_t *admin_health_result(const struct admin_health *health, const struct node *node,
                            uint64_t now_ms);

#endif
