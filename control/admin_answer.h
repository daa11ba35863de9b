/* What the admin socket says: one line of JSON for each request, `{"v":1,"ok":true,"result":{...}}`
 * or
 * `{"v":1,"ok":false,"error":{"code":...,"why":...}}`, with "leader" where another replica leads.
 *
 * Each function returns a line with its newline, on the heap, the caller's; NULL: no memory. What
 * is passed as `result` is taken.
 */
#ifndef KEEL_ADMIN_ANSWER_H
#define KEEL_ADMIN_ANSWER_H

#include "control/admin_request.h"
#include "control/node.h"
#include "control/reload.h"

#include <jansson.h>

/* `leader`: 0 if not known; said only with ADMIN_NOT_LEADER. */
char *admin_answer_error(enum admin_error error, const char *why, uint32_t leader);
char *admin_answer_result(json_t *result); /* NULL: there was no memory for it */

/* The entry that made it so, or would; `changed` false: it was so already. */
char *admin_answer_entry(const struct admin_request *request, uint64_t index, uint64_t term,
                         bool changed);

/* What control replied to a request that it was asked. */
char *admin_answer_asked(const struct node *node, const struct admin_request *request,
                         const struct control_reply *reply);

char *admin_answer_reload(const struct reload_report *report);

#endif
