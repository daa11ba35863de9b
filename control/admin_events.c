#include "control/admin_events.h"

bool admin_events_ready(const struct node *node, const struct admin_request *request)
{
    return request->timeout_ms == 0 || node->journal == NULL ||
           journal_newest(node->journal) > request->since;
}

json_t *admin_events_result(const struct node *node, const struct admin_request *request)
{
    json_t *to = json_object(), *list = json_array();
    struct journal_event event;
    uint64_t at = request->since, first = 0;
    for (uint32_t i = 0; i < ADMIN_EVENTS_MAX && node->journal != NULL; i++) {
        if (!journal_next(node->journal, at, &event))
            break;
        first = i == 0 ? event.number : first;
        at = event.number;
        json_array_append_new(
            list, json_pack("{s:I,s:I,s:s,s:s,s:s}", "number", (json_int_t)event.number, "utc_ns",
                            (json_int_t)event.utc_ns, "level", log_level_name(event.level), "event",
                            event.name, "text", event.text));
    }
    uint64_t id = node->journal != NULL ? node->journal->id : 0;
    uint64_t lost = first > request->since + 1 ? first - request->since - 1 : 0;
    json_object_set_new(to, "journal", json_integer((json_int_t)id));
    json_object_set_new(to, "last", json_integer((json_int_t)at));
    json_object_set_new(to, "lost", json_integer((json_int_t)lost));
    json_object_set_new(to, "more",
                        json_boolean(node->journal != NULL && journal_newest(node->journal) > at));
    json_object_set_new(to, "events", list);
    return to;
}
