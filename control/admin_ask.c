#include "control/admin_ask.h"

#include "control/admin_answer.h"
#include "control/admin_autopilot.h"
#include "control/admin_operator.h"

#include <string.h>

bool admin_asks_control(const struct admin_request *request)
{
    static const bool asks[ADMIN_COMMAND_COUNT] = {
        [ADMIN_DAY] = true,      [ADMIN_MEMBER] = true,          [ADMIN_AUTOPILOT_SET] = true,
        [ADMIN_SNAPSHOT] = true, [ADMIN_LEADER_TRANSFER] = true, [ADMIN_LEADER_STEP_DOWN] = true};
    return asks[request->command] || request->read || admin_target_command(request->command);
}

static void propose(const struct admin_request *request, struct control_request *ask,
                    enum entry_kind kind, const void *body, size_t size)
{
    ask->kind = request->dry_run ? CONTROL_TRY : CONTROL_PROPOSE;
    ask->entry_kind = (uint8_t)kind;
    ask->size = (uint16_t)size;
    memcpy(ask->body, body, size);
}

/* Ends or begins a day. */
static char *ask_day(const struct node *node, const struct admin_request *request,
                     struct control_request *ask)
{
    struct replica_status s;
    replica_status(node->start.replica, &s);
    bool same = memcmp(s.day, request->day, sizeof(s.day)) == 0;
    if (s.role == RAFT_LEADER && same && (s.day_open != 0) == request->day_begin)
        return admin_answer_entry(request, s.applied, s.term, false);
    struct entry_day body;
    memset(&body, 0, sizeof(body));
    memcpy(body.name, request->day, sizeof(body.name));
    propose(request, ask, request->day_begin ? ENTRY_DAY_BEGIN : ENTRY_DAY_END, &body,
            sizeof(body));
    return NULL;
}

/* Changes the members. Those that stay keep address and incarnation. */
static char *ask_member(const struct node *node, const struct admin_request *request,
                        struct control_request *ask)
{
    struct replica_status s;
    replica_status(node->start.replica, &s);
    struct entry_config body = request->wanted;
    uint32_t mask = members_mask(&body);
    for (uint32_t id = 1; id <= KEEL_REPLICA_MAX; id++) {
        struct entry_member *m = &body.member[id];
        if ((mask >> id & 1) == 0)
            memset(m, 0, sizeof(*m));
        else if (m->incarnation == 0)
            *m = s.config.member[id];
    }
    if (!entry_config_ok(&body))
        return admin_answer_error(
            ADMIN_BAD_REQUEST, "a member that is not there yet is to be described in \"new\"", 0);
    if (s.role == RAFT_LEADER && memcmp(&body, &s.config, sizeof(body)) == 0 &&
        s.config_index <= s.commit)
        return admin_answer_entry(request, s.config_index, s.term, false);
    propose(request, ask, ENTRY_CONFIG, &body, sizeof(body));
    ask->kind = CONTROL_PROPOSE; /* tried by seq, which alone knows whether it fits */
    ask->dry = request->dry_run;
    ask->was = request->was;
    return NULL;
}

/* Whether the standbys are learners is decided where the entry is. */
static char *ask_autopilot(const struct node *node, const struct admin_request *request,
                           struct control_request *ask)
{
    struct replica_status s;
    replica_status(node->start.replica, &s);
    if (s.role == RAFT_LEADER && autopilot_stands(node, &request->autopilot))
        return admin_answer_entry(request, request->was, s.term, false);
    propose(request, ask, ENTRY_AUTOPILOT, &request->autopilot, sizeof(request->autopilot));
    return NULL;
}

char *admin_ask(const struct node *node, const struct admin_request *request,
                struct control_request *ask)
{
    if (request->command == ADMIN_DAY)
        return ask_day(node, request, ask);
    if (request->command == ADMIN_MEMBER)
        return ask_member(node, request, ask);
    if (request->command == ADMIN_AUTOPILOT_SET)
        return ask_autopilot(node, request, ask);
    if (admin_target_command(request->command)) {
        char why[ADMIN_WHY_MAX];
        enum admin_error error = admin_operator_ask(node, request, ask, why);
        return error == ADMIN_OK ? NULL : admin_answer_error(error, why, 0);
    }
    if (request->command == ADMIN_SNAPSHOT) {
        ask->kind = CONTROL_SNAPSHOT;
        ask->timeout_ms = request->timeout_ms;
    } else {
        bool transfer = request->command == ADMIN_LEADER_TRANSFER;
        bool leaves = transfer || request->command == ADMIN_LEADER_STEP_DOWN;
        ask->kind = transfer ? CONTROL_TRANSFER : leaves ? CONTROL_STEP_DOWN : CONTROL_READ;
        ask->to = request->to;
        ask->dry = request->dry_run;
    }
    return NULL;
}
