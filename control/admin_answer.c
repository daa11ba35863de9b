#include "control/admin_answer.h"

#include "control/admin_autopilot.h"
#include "control/admin_leadership.h"
#include "control/admin_operator.h"
#include "control/admin_report.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *dump(json_t *object)
{
    char *text = object != NULL ? json_dumps(object, JSON_COMPACT) : NULL;
    json_decref(object);
    if (text == NULL)
        return NULL;
    size_t size = strlen(text);
    char *line = realloc(text, size + 2);
    if (line == NULL) {
        free(text);
        return NULL;
    }
    memcpy(line + size, "\n", 2);
    return line;
}

char *admin_answer_error(enum admin_error error, const char *why, uint32_t leader)
{
    json_t *detail = json_object();
    json_object_set_new(detail, "code", json_string(admin_error_name(error)));
    json_object_set_new(detail, "why", json_string(why));
    if (error == ADMIN_NOT_LEADER)
        json_object_set_new(detail, "leader", json_integer(leader));
    json_t *object = json_object();
    json_object_set_new(object, "v", json_integer(ADMIN_VERSION));
    json_object_set_new(object, "ok", json_false());
    json_object_set_new(object, "error", detail);
    return dump(object);
}

char *admin_answer_result(json_t *result)
{
    if (result == NULL)
        return admin_answer_error(ADMIN_BUSY, "out of memory", 0);
    json_t *object = json_object();
    json_object_set_new(object, "v", json_integer(ADMIN_VERSION));
    json_object_set_new(object, "ok", json_true());
    json_object_set_new(object, "result", result);
    return dump(object);
}

char *admin_answer_entry(const struct admin_request *request, uint64_t index, uint64_t term,
                         bool changed)
{
    json_t *result = json_object();
    if (!request->dry_run || !changed) {
        json_object_set_new(result, "index", json_integer((json_int_t)index));
        json_object_set_new(result, "term", json_integer((json_int_t)term));
    }
    json_object_set_new(result, "changed", json_boolean(changed));
    admin_operator_put(result, request);
    return admin_answer_result(result);
}

/* What cannot be now, and what should not be at all. */
static char *answer_unchanged(enum raft_refusal refusal)
{
    enum admin_error error = ADMIN_UNSAFE;
    switch (refusal) {
    case RAFT_CHANGED:
    case RAFT_REFUSED_NOT_LEADER:
    case RAFT_REFUSED_UNSETTLED:
    case RAFT_REFUSED_PENDING:
    case RAFT_REFUSED_NO_ROOM:
        error = ADMIN_BUSY;
        break;
    case RAFT_REFUSED_INVALID:
        error = ADMIN_BAD_REQUEST;
        break;
    case RAFT_REFUSED_BEHIND:
        error = ADMIN_BEHIND;
        break;
    case RAFT_REFUSED_OUTDATED:
    case RAFT_REFUSED_SAME:
    case RAFT_REFUSED_IN_PLACE:
    case RAFT_REFUSED_NO_QUORUM:
        break;
    }
    return admin_answer_error(error, raft_refusal_name(refusal), 0);
}

static char *answer_reply(const struct admin_request *request, const struct control_reply *reply)
{
    char why[ADMIN_WHY_MAX];
    switch ((enum control_result)reply->result) {
    case CONTROL_APPLIED:
        break;
    case CONTROL_NO_QUORUM:
        return admin_answer_error(ADMIN_NO_QUORUM, "no majority confirmed that this replica leads",
                                  0);
    case CONTROL_NOT_LEADER:
        return admin_answer_error(ADMIN_NOT_LEADER, "this replica does not lead", reply->leader);
    case CONTROL_BUSY:
        return admin_answer_error(ADMIN_BUSY, "the leader has no room at the moment: ask again", 0);
    case CONTROL_UNCHANGED:
        return answer_unchanged((enum raft_refusal)reply->status);
    case CONTROL_LOST:
        return admin_answer_error(ADMIN_LOST,
                                  "another leader took over before it was committed: it was not "
                                  "done, ask again",
                                  0);
    case CONTROL_REFUSED: /* a transfer's: leadership_reply() */
    case CONTROL_TIMED_OUT:
        return admin_answer_error(ADMIN_TIMED_OUT,
                                  "not committed in time: whether it will be is unknown, "
                                  "look at `status`",
                                  0);
    }
    if (request->command == ADMIN_AUTOPILOT_SET && reply->status != MACHINE_SEQUENCED)
        return admin_answer_error(ADMIN_UNSAFE, autopilot_refusal(reply->status), 0);
    if (reply->status != MACHINE_SEQUENCED) {
        bool day = reply->status == MACHINE_DAY_STATE;
        char where[32] = "";
        if (!request->dry_run)
            snprintf(where, sizeof(where), " at index %llu", (unsigned long long)reply->index);
        snprintf(why, sizeof(why), "refused%s: %s%s", where,
                 machine_status_name((enum machine_status)reply->status),
                 day ? ": another day stands there: `keelctl status` tells which" : "");
        return admin_answer_error(ADMIN_REFUSED, why, 0);
    }
    return admin_answer_entry(request, reply->index, reply->term, true);
}

static char *answer_transfer(const struct admin_request *request, const struct control_reply *reply)
{
    static const char *const of_the_next[] = {"leader", "index", "term"};
    char why[ADMIN_WHY_MAX];
    json_t *result = NULL;
    enum admin_error error = leadership_reply(reply, &result, why);
    for (uint32_t i = 0; i < 3 && error == ADMIN_OK && request->dry_run; i++)
        json_object_del(result, of_the_next[i]);
    if (error == ADMIN_OK)
        admin_operator_put(result, request);
    return error == ADMIN_OK ? admin_answer_result(result) : admin_answer_error(error, why, 0);
}

static char *answer_snapshot(const struct node *node, const struct control_reply *reply)
{
    struct control_status c;
    char why[ADMIN_WHY_MAX];
    control_status(node->start.control, &c);
    if (reply->result == CONTROL_APPLIED)
        return admin_answer_result(json_pack("{s:I}", "index", (json_int_t)reply->index));
    snprintf(why, sizeof(why), "no checkpoint of index %llu in time: %.90s",
             (unsigned long long)reply->index,
             c.problem[0] != '\0' ? c.problem : "the drive lags, or one is being received");
    return admin_answer_error(ADMIN_TIMED_OUT, why, 0);
}

/* What was read is at least as new as the question; it must not be newer than the leadership. */
static char *answer_read(const struct node *node, const struct admin_request *request,
                         const struct control_reply *reply)
{
    struct replica_status s;
    replica_status(node->start.replica, &s);
    if (s.role != RAFT_LEADER || s.term != reply->term)
        return admin_answer_error(ADMIN_NOT_LEADER, "this replica does not lead any more",
                                  s.leader);
    json_t *result = admin_report(node, request);
    json_object_set_new(result, "read_index", json_integer((json_int_t)reply->index));
    json_object_set_new(result, "read_term", json_integer((json_int_t)reply->term));
    return admin_answer_result(result);
}

char *admin_answer_asked(const struct node *node, const struct admin_request *request,
                         const struct control_reply *reply)
{
    bool common = reply->result == CONTROL_NOT_LEADER || reply->result == CONTROL_BUSY;
    bool hands_over =
        request->command == ADMIN_LEADER_TRANSFER || request->command == ADMIN_LEADER_STEP_DOWN;
    if (hands_over && !common)
        return answer_transfer(request, reply);
    if (request->command == ADMIN_SNAPSHOT)
        return answer_snapshot(node, reply);
    if (request->command == ADMIN_STATUS && reply->result == CONTROL_APPLIED)
        return answer_read(node, request, reply);
    if (admin_target_command(request->command) && reply->result == CONTROL_APPLIED)
        return admin_operator_answer(request, reply);
    return answer_reply(request, reply);
}

char *admin_answer_reload(const struct reload_report *report)
{
    if (report->outcome != RELOAD_DONE)
        return admin_answer_error(
            report->outcome == RELOAD_REFUSED ? ADMIN_CONFIGURATION : ADMIN_FAILED, report->why, 0);
    json_t *list = json_array();
    for (uint32_t i = 0; i < report->count; i++) {
        const struct reload_change *change = &report->change[i];
        char name[RELOAD_NAME_MAX];
        reload_change_name(change, name);
        json_t *row = json_object();
        json_object_set_new(row, "what", json_string(reload_what_name(change->what)));
        json_object_set_new(row, "change", json_string(reload_how_name(change->how)));
        json_object_set_new(row, "name", json_string(name));
        json_array_append_new(list, row);
    }
    json_t *result = json_object();
    json_object_set_new(result, "changed", json_boolean(report->count > 0));
    json_object_set_new(result, "associations_ended", json_integer(report->ended));
    json_object_set_new(result, "changes", list);
    return admin_answer_result(result);
}
