/* What the admin socket says of the genesis: all that there is before it, one command after it.
 */
#ifndef KEEL_ADMIN_FOUNDING_H
#define KEEL_ADMIN_FOUNDING_H

#include "control/admin_request.h"
#include "control/node.h"

#include <jansson.h>

/* The result of `genesis status`: phase, reason, founders; of a running replica its record. The
 * caller's; NULL: out of memory. */
json_t *admin_genesis(const struct node *node);

/* The answer line of a node that has no genesis record yet (node->founding is set): `genesis
 * status` and `version`; to all else why it cannot be answered. The caller's. */
char *admin_founding_line(const struct node *node, const struct admin_request *request);

#endif
