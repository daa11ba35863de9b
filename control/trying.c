/* What an entry would come to, for people who ask before they do it: it is applied to a copy of the
 * state, which is then forgotten. So nothing has to be judged in two places.
 */
#include "control/control_internal.h"

#include <string.h>

void trying_begin(struct control *c, struct control_ask *ask, const struct control_request *request)
{
    struct machine *copy = c->receive.machine; /* a peer's state comes to stand there */
    struct machine_outcome outcome;
    union {
        struct entry head;
        uint8_t bytes[sizeof(struct entry) + CONTROL_BODY_MAX + 8];
    } entry = {.head = {.kind = request->entry_kind,
                        .version = ENTRY_VERSION,
                        .index = c->machine->applied + 1,
                        .term = c->machine->applied_term,
                        .utc_ns = c->machine->utc_ns,
                        .log_ns = c->due_applied + (c->now_ns - c->due_at_ns),
                        .utc_error_ns = UINT32_MAX,
                        .principal = c->replica->id}};
    entry.head.size = (uint16_t)((sizeof(struct entry) + request->size + 7) & ~(size_t)7);
    memcpy(&entry.head + 1, request->body, request->size);
    if (c->receive.state != RECEIVE_NOTHING || !entry_check(entry.bytes, sizeof(entry.bytes))) {
        requests_finish(c, ask, CONTROL_BUSY, 0);
        return;
    }
    memcpy(copy, c->machine, c->machine->size);
    machine_apply(copy, &entry.head, &outcome);
    ask->index = outcome.repeats;
    ask->value = request->entry_kind == ENTRY_OPERATOR ? outcome.value : 0;
    ask->repeated = outcome.repeats != 0;
    requests_finish(c, ask, CONTROL_APPLIED, outcome.status);
}
