/* What the read-only admin commands answer, as JSON. Keys carry their unit (`_ms`, `_ns`, `_bytes`)
 * and are stable: programs read them. Cold; the admin thread.
 */
#ifndef KEEL_ADMIN_REPORT_H
#define KEEL_ADMIN_REPORT_H

#include "control/admin_request.h"
#include "control/node.h"

#include <jansson.h>

/* The result object of a command that changes nothing (not DAY); the caller's. NULL: out of memory.
 */
json_t *admin_report(const struct node *node, const struct admin_request *request);

#endif
