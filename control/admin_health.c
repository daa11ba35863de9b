#include "control/admin_health.h"

#include "control/admin_report.h"

static json_t *report(const struct node *node, const struct replica_status *s, const char *probe)
{
    const struct admin_request request = {.command = ADMIN_HEALTH};
    json_t *to = admin_report(node, &request);
    json_object_set_new(to, "role", json_string(node_role_name(s->role)));
    json_object_set_new(to, "probe", json_string(probe));
    json_object_set_new(to, "probe_index", json_null());
    json_object_set_new(to, "probe_age_ms", json_null());
    json_object_set_new(to, "commit_us", json_null());
    return to;
}

static void complain(json_t *to, const char *word)
{
    json_object_set_new(to, "healthy", json_false());
    json_array_append_new(json_object_get(to, "complaints"), json_string(word));
}

static const char *probe_word(const struct control_reply *reply)
{
    switch ((enum control_result)reply->result) {
    case CONTROL_APPLIED:
        return "committed";
    case CONTROL_NOT_LEADER:
    case CONTROL_LOST:
        return "deposed";
    case CONTROL_BUSY:
        return "busy";
    case CONTROL_TIMED_OUT:
        return "timed-out";
    case CONTROL_UNCHANGED:
    case CONTROL_REFUSED:
    case CONTROL_NO_QUORUM:
        break;
    }
    return "unknown";
}

json_t *admin_health_result(const struct admin_health *h, const struct node *node, uint64_t now_ms)
{
    struct replica_status s;
    replica_status(node->start.replica, &s);
    json_t *to = report(node, &s, probe_word(&h->last));
    if (h->last.result == CONTROL_APPLIED) {
        json_object_set_new(to, "probe_index", json_integer((json_int_t)h->last.index));
        json_object_set_new(to, "commit_us", json_integer((json_int_t)(h->last.value / 1000)));
    } else {
        complain(to, "not-committed");
    }
    json_object_set_new(to, "probe_age_ms", json_integer((json_int_t)(now_ms - h->told_ms)));
    return to;
}

json_t *admin_health_begin(struct admin_health *h, const struct node *node,
                           const struct admin_request *request, uint64_t *next_tag, uint64_t now_ms)
{
    struct replica_status s;
    replica_status(node->start.replica, &s);
    if (s.role != RAFT_LEADER)
        return report(node, &s, s.leader != 0 ? "follows" : "no-leader");
    if (s.stopped || s.failed)
        return report(node, &s, "stopped");
    if (h->tag != 0)
        return NULL;
    if (h->told && h->last.result == CONTROL_APPLIED && now_ms - h->told_ms < ADMIN_PROBE_FRESH_MS)
        return admin_health_result(h, node, now_ms);
    struct control_request ask = {.tag = ++*next_tag,
                                  .kind = CONTROL_PROPOSE,
                                  .entry_kind = ENTRY_PROBE,
                                  .timeout_ms = request->timeout_ms,
                                  .size = sizeof(struct entry_probe)};
    if (!control_ask(node->start.control, &ask)) {
        json_t *to = report(node, &s, "busy");
        complain(to, "not-committed");
        return to;
    }
    h->tag = ask.tag;
    return NULL;
}

bool admin_health_reply(struct admin_health *h, const struct control_reply *reply, uint64_t now_ms)
{
    if (h->tag == 0 || reply->tag != h->tag)
        return false;
    h->tag = 0;
    h->told = true;
    h->told_ms = now_ms;
    h->last = *reply;
    return true;
}
