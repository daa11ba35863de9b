/* What the admin socket asks of control: a request of a person made into a proposal, a transfer or
 * a read. Pure but for what the replica has published. The admin thread's.
 */
#ifndef KEEL_ADMIN_ASK_H
#define KEEL_ADMIN_ASK_H

#include "control/admin_request.h"
#include "control/node.h"

/* True: the command is one for admin_ask(). */
bool admin_asks_control(const struct admin_request *request);

/* Fills *ask, whose tag the caller has set and whose rest is zero: NULL. Or the line that answers
 * at once, malloc'd: an error, or that all stands as wished, so that a request whose answer was
 * lost can be repeated. */
char *admin_ask(const struct node *node, const struct admin_request *request,
                struct control_request *ask);

#endif
