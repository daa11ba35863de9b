/* What the admin socket asks of control for operators, on replicas, sessions, nodes and locks, and
 * how it says what came of it. Keys: docs/operations.md.
 */
#ifndef KEEL_ADMIN_OPERATOR_H
#define KEEL_ADMIN_OPERATOR_H

#include "control/admin_request.h"
#include "control/node.h"

#include <jansson.h>

/* What control is to be asked, for a command that has a target (admin_target_command()). ADMIN_OK,
 * or an error with why (ADMIN_WHY_MAX). */
enum admin_error admin_operator_ask(const struct node *node, const struct admin_request *request,
                                    struct control_request *ask, char *why);

/* The line for control's reply with result CONTROL_APPLIED. The caller frees it. */
char *admin_operator_answer(const struct admin_request *request, const struct control_reply *reply);

/* Puts the request's id into a result, and that it was a dry run. */
void admin_operator_put(json_t *result, const struct admin_request *request);

#endif
