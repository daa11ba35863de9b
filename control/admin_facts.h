/* What the admin socket tells of clocks, digests and the configuration in force. The admin thread.
 */
#ifndef KEEL_ADMIN_FACTS_H
#define KEEL_ADMIN_FACTS_H

#include "control/node.h"

#include <jansson.h>

json_t *admin_clock(const struct node *node);
json_t *admin_digest(const struct node *node);
json_t *admin_config(const struct node *node);

#endif
