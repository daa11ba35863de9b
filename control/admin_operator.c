#include "control/admin_operator.h"

#include "control/admin_answer.h"
#include "control/json_put.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* --- asking
 * ---------------------------------------------------------------------------------------- */

static const uint8_t node_operations[] = {[ADMIN_NODE_CREATE - ADMIN_NODE_CREATE] = NODE_OPEN,
                                          [ADMIN_NODE_SET - ADMIN_NODE_CREATE] = NODE_SET,
                                          [ADMIN_NODE_DELETE - ADMIN_NODE_CREATE] = NODE_DELETE,
                                          [ADMIN_NODE_ACL - ADMIN_NODE_CREATE] = NODE_ACL,
                                          [ADMIN_LOCK_BREAK - ADMIN_NODE_CREATE] = NODE_RELEASE};

static bool on_node(enum admin_command command)
{
    return command >= ADMIN_NODE_CREATE && command <= ADMIN_LOCK_BREAK;
}

static void put_block(const struct admin_request *request, struct entry_operator *op,
                      uint8_t *block)
{
    const struct admin_target *t = &request->target;
    struct entry_node node = {.operation = node_operations[request->command - ADMIN_NODE_CREATE],
                              .flags = t->compares ? NODE_COMPARE : 0,
                              .path_size = (uint16_t)strlen(t->path),
                              .content_size = t->content_size,
                              .compare = t->compare};
    if (node.operation == NODE_OPEN)
        node.flags = NODE_CREATE | NODE_EXCLUSIVE;
    memcpy(block, &node, sizeof(node));
    memcpy(block + sizeof(node), t->path, node.path_size);
    memcpy(block + sizeof(node) + node.path_size, t->content, t->content_size);
    op->operation = OPERATOR_NODE;
    op->value = t->now;
    op->size = (uint16_t)(sizeof(node) + node.path_size + node.content_size);
}

/* An entry for the log. Who gives no id gets one that nobody else has: the socket's own count would
 * do, but for other replicas'; so it is the time, and where this is. */
static void ask_operator(const struct node *node, const struct admin_request *request,
                         struct control_request *ask)
{
    const struct admin_target *t = &request->target;
    enum admin_command command = request->command;
    struct entry_operator op = {.request = {request->id[0], request->id[1]},
                                .session = t->session,
                                .principal = t->principal,
                                .replica = t->replica};
    if ((op.request[0] | op.request[1]) == 0) {
        struct replica_status s;
        replica_status(node->start.replica, &s);
        op.request[0] = (uint64_t)node->config->id << 56 | node->start.boot;
        op.request[1] = s.now_ns ^ ask->tag << 48;
    }
    if (on_node(command)) {
        put_block(request, &op, ask->body + sizeof(op));
    } else if (command == ADMIN_DRAIN || command == ADMIN_RESUME) {
        op.operation = OPERATOR_DRAIN;
        op.value = command == ADMIN_DRAIN;
    } else if (command == ADMIN_SESSION_LIMIT) {
        op.operation = OPERATOR_LIMIT;
        op.value = t->rate;
    } else {
        op.operation = OPERATOR_SUSPEND;
        op.value = command == ADMIN_SESSION_SUSPEND;
    }
    memcpy(ask->body, &op, sizeof(op));
    ask->entry_kind = ENTRY_OPERATOR;
    ask->size = (uint16_t)(sizeof(op) + op.size);
}

static void ask_kick(const struct admin_request *request, struct control_request *ask)
{
    const struct entry_session_end end = {.session = request->target.session,
                                          .epoch = request->target.epoch,
                                          .reason = SESSION_END_KILLED};
    memcpy(ask->body, &end, sizeof(end));
    ask->entry_kind = ENTRY_SESSION_END;
    ask->size = sizeof(end);
}

static void ask_look(const struct admin_request *request, struct control_request *ask)
{
    const struct admin_target *t = &request->target;
    bool sessions = request->command == ADMIN_SESSION_LIST;
    ask->kind = CONTROL_LOOK;
    ask->read = request->read;
    if (sessions || request->command == ADMIN_SESSION_LOCKS) {
        struct control_look_sessions look = {
            .after = t->after, .session = t->session, .principal = t->principal};
        memcpy(look.name, t->name, sizeof(look.name));
        ask->look = sessions ? LOOK_SESSIONS : LOOK_LOCKS;
        memcpy(ask->body, &look, sizeof(look));
        ask->size = sizeof(look);
        return;
    }
    struct packet_query query = {.request = ask->tag,
                                 .kind = request->command == ADMIN_NODE_GET ? PACKET_QUERY_NODE
                                                                            : PACKET_QUERY_CHILDREN,
                                 .after = t->after,
                                 .path_size = (uint16_t)strlen(t->path)};
    ask->look = LOOK_NODE;
    memcpy(ask->body, &query, sizeof(query));
    memcpy(ask->body + sizeof(query), t->path, query.path_size);
    ask->size = (uint16_t)(sizeof(query) + query.path_size);
}

/* Whether anybody but that one could lead, as this leader sees it: apply judges who is drained, but
 * not who is there. */
static bool others_could_lead(const struct node *node, uint32_t without)
{
    struct replica_status s;
    replica_status(node->start.replica, &s);
    uint64_t patience_ns = 2ull * node->start.genesis.election_min_ms * 1000000u;
    for (uint32_t id = 1; id <= KEEL_REPLICA_MAX; id++) {
        bool voter =
            ((s.config.voters_new != 0 ? s.config.voters_new : s.config.voters) >> id & 1) != 0;
        if (!voter || id == without || (s.drained >> id & 1) != 0)
            continue;
        bool heard = s.assoc_heard_ns[id] != 0 && s.now_ns < s.assoc_heard_ns[id] + patience_ns;
        if (id == node->config->id ||
            (heard && s.last_index - s.peer_match[id] <= RAFT_TRANSFER_BEHIND_MAX))
            return true;
    }
    return s.role != RAFT_LEADER; /* control says who is to be asked */
}

enum admin_error admin_operator_ask(const struct node *node, const struct admin_request *request,
                                    struct control_request *ask, char *why)
{
    enum admin_command command = request->command;
    if (!admin_commands[command].changes) {
        ask_look(request, ask);
        return ADMIN_OK;
    }
    ask->kind = request->dry_run ? CONTROL_TRY : CONTROL_PROPOSE;
    if (command == ADMIN_SESSION_KICK)
        ask_kick(request, ask);
    else
        ask_operator(node, request, ask);
    if (command != ADMIN_DRAIN || others_could_lead(node, request->target.replica))
        return ADMIN_OK;
    snprintf(why, ADMIN_WHY_MAX,
             "no other voter that is in contact, caught up and not drained would be left to lead");
    return ADMIN_UNSAFE;
}

/* --- answering
 * ------------------------------------------------------------------------------------- */

static const char *mode_name(uint32_t mode)
{
    return mode == LOCK_EXCLUSIVE ? "exclusive" : mode == LOCK_SHARED ? "shared" : "free";
}

static const char *state_name(const struct control_session_row *row)
{
    switch ((enum session_end_reason)row->end_reason) {
    case SESSION_END_CLEAN:
        return "ended";
    case SESSION_END_KILLED:
        return "killed";
    case SESSION_END_EXPIRED:
        return "expired";
    case SESSION_END_REPLACED:
        return "replaced";
    }
    return row->suspended ? "suspended" : "alive";
}

static json_t *session_row(const struct control_session_row *row)
{
    json_t *to = json_object();
    json_put_number(to, "session", row->session);
    json_put_number(to, "epoch", row->epoch);
    json_put_number(to, "principal", row->principal);
    json_put_text(to, "name", row->name);
    json_put_text(to, "state", state_name(row));
    json_put_number(to, "last_number", row->last);
    json_put_number(to, "acknowledged_number", row->acked);
    json_put_number(to, "window", row->window);
    json_put_number(to, "ttl_ms", row->ttl_ms);
    json_object_set_new(to, "heard_ms",
                        row->heard_ms == UINT64_MAX || row->end_reason != 0
                            ? json_null()
                            : json_integer((json_int_t)row->heard_ms));
    json_object_set_new(to, "suspended", json_boolean(row->suspended));
    json_object_set_new(to, "limit", row->rate == 0 ? json_null() : json_integer(row->rate));
    json_put_number(to, "handles", row->handles);
    json_put_number(to, "locks_held", row->held);
    json_put_number(to, "locks_waiting", row->waiting);
    return to;
}

static void put_next(json_t *to, bool more, uint64_t after)
{
    json_object_set_new(to, "next", more ? json_integer((json_int_t)after) : json_null());
}

static json_t *sessions(const struct control_reply *reply)
{
    json_t *to = json_object(), *list = json_array();
    struct control_session_row row = {0};
    for (size_t at = 0; at < reply->size; at += sizeof(row)) {
        memcpy(&row, reply->bytes + at, sizeof(row));
        json_array_append_new(list, session_row(&row));
    }
    json_object_set_new(to, "sessions", list);
    put_next(to, reply->more, row.session);
    return to;
}

static json_t *locks(const struct control_reply *reply)
{
    json_t *to = json_object(), *list = json_array();
    struct control_lock_row row = {0};
    for (size_t at = 0; at < reply->size; at += sizeof(row)) {
        memcpy(&row, reply->bytes + at, sizeof(row));
        json_t *one = json_object();
        json_put_text(one, "path", row.path);
        json_put_number(one, "instance", row.node);
        json_put_text(one, "state", row.state == HANDLE_HOLDS ? "holds" : "waits");
        json_put_text(one, "mode", mode_name(row.mode));
        json_put_number(one, "generation", row.generation);
        json_array_append_new(list, one);
    }
    json_object_set_new(to, "locks", list);
    put_next(to, reply->more, row.asked);
    return to;
}

static void put_hex(json_t *to, const char *key, const uint8_t *bytes, size_t size)
{
    char text[2 * KEEL_CONTENT_MAX + 1] = "";
    for (size_t i = 0; i < size && i < KEEL_CONTENT_MAX; i++)
        snprintf(text + 2 * i, 3, "%02x", bytes[i]);
    json_put_text(to, key, text);
}

static json_t *node_of(const uint8_t *at)
{
    struct packet_node node;
    json_t *to = json_object(), *acl = json_array();
    char path[KEEL_PATH_MAX + 1] = "";
    memcpy(&node, at, sizeof(node));
    at += sizeof(node);
    memcpy(path, at, node.path_size);
    json_put_text(to, "path", path);
    json_put_number(to, "instance", node.node);
    put_hex(to, "content", at + node.path_size, node.content_size);
    json_put_number(to, "content_generation", node.content_generation);
    json_put_number(to, "acl_generation", node.acl_generation);
    at += node.path_size + node.content_size;
    for (uint32_t i = 0; i < node.acl_count; i++, at += sizeof(struct node_right)) {
        struct node_right right;
        memcpy(&right, at, sizeof(right));
        json_array_append_new(acl, json_pack("{s:I,s:i}", "principal", (json_int_t)right.principal,
                                             "rights", (int)right.rights));
    }
    json_object_set_new(to, "acl", acl);
    json_put_number(to, "children", node.child_count);
    json_put_number(to, "handles", node.handle_count);
    json_object_set_new(to, "ephemeral", json_boolean(node.ephemeral));
    json_put_text(to, "lock", mode_name(node.lock_mode));
    json_put_number(to, "holders", node.holders);
    json_put_number(to, "waiters", node.waiters);
    json_put_number(to, "lock_generation", node.lock_generation);
    json_put_number(to, "holder_session", node.holder);
    json_put_number(to, "lock_delay_ms", node.delay_ms);
    return to;
}

static json_t *children(const uint8_t *at, const struct packet_answer *head)
{
    json_t *to = json_object(), *list = json_array();
    struct packet_child child = {0};
    for (const uint8_t *end = at + head->size; at < end;) { /* at most a packet full */
        char path[KEEL_PATH_MAX + 1] = "";
        memcpy(&child, at, sizeof(child));
        memcpy(path, at + sizeof(child), child.path_size);
        at += sizeof(child) + child.path_size;
        json_array_append_new(
            list, json_pack("{s:s,s:I,s:s,s:b}", "path", path, "instance", (json_int_t)child.node,
                            "lock", mode_name(child.lock_mode), "ephemeral", child.ephemeral));
    }
    json_object_set_new(to, "children", list);
    put_next(to, head->more != 0, child.node);
    return to;
}

static char *refused(uint64_t index, enum machine_status status, bool dry)
{
    char why[ADMIN_WHY_MAX];
    bool unsafe = status == MACHINE_NO_LEADER_LEFT;
    if (unsafe)
        snprintf(why, sizeof(why),
                 "no voter would be left that may lead: resume another one first");
    else if (dry || index == 0)
        snprintf(why, sizeof(why), "refused: %s", machine_status_name(status));
    else
        snprintf(why, sizeof(why), "refused at index %" PRIu64 ": %s", index,
                 machine_status_name(status));
    return admin_answer_error(unsafe ? ADMIN_UNSAFE : ADMIN_REFUSED, why, 0);
}

static char *shown(const struct admin_request *request, const struct control_reply *reply)
{
    struct packet_answer head;
    json_t *result;
    if (request->command == ADMIN_SESSION_LIST || request->command == ADMIN_SESSION_LOCKS) {
        result = request->command == ADMIN_SESSION_LIST ? sessions(reply) : locks(reply);
    } else {
        memcpy(&head, reply->bytes, sizeof(head));
        if (head.status != MACHINE_DONE)
            return refused(0, (enum machine_status)head.status, false);
        const uint8_t *at = reply->bytes + sizeof(head);
        result = request->command == ADMIN_NODE_GET ? node_of(at) : children(at, &head);
    }
    json_put_number(result, "index", reply->index);
    return admin_answer_result(result);
}

void admin_operator_put(json_t *result, const struct admin_request *request)
{
    char text[ADMIN_ID_DIGITS + 1];
    if ((request->id[0] | request->id[1]) != 0) {
        snprintf(text, sizeof(text), "%016" PRIx64 "%016" PRIx64, request->id[0], request->id[1]);
        json_put_text(result, "request", text);
    }
    if (request->dry_run)
        json_object_set_new(result, "dry_run", json_true());
}

static const char *value_name(enum admin_command command)
{
    return command == ADMIN_NODE_CREATE ? "instance"
           : command == ADMIN_NODE_SET  ? "content_generation"
           : command == ADMIN_NODE_ACL  ? "acl_generation"
                                        : NULL;
}

char *admin_operator_answer(const struct admin_request *request, const struct control_reply *reply)
{
    enum admin_command command = request->command;
    enum machine_status status = (enum machine_status)reply->status;
    if (!admin_commands[command].changes)
        return shown(request, reply);
    if (status != MACHINE_DONE && status != MACHINE_SEQUENCED)
        return refused(reply->index, status, request->dry_run);
    json_t *result = json_object();
    if (!request->dry_run) {
        json_put_number(result, "index", reply->index);
        json_put_number(result, "term", reply->term);
    }
    if (value_name(command) != NULL && !request->dry_run)
        json_put_number(result, value_name(command), reply->value);
    json_object_set_new(result, "repeated", json_boolean(reply->repeated));
    admin_operator_put(result, request);
    return admin_answer_result(result);
}
