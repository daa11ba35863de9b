/* Questions about nodes, locks and sequencers, answered by the leader from control's own machine.
 *
 * A question waits until this machine knows the index that was committed when seq took it, and its
 * answer leaves only while the leader's lease holds: it tells a state that was the newest at some
 * moment between question and answer. Nothing of it is logged.
 */
#include "control/control_internal.h"

#include <string.h>

struct reply {
    struct packet_answer head;
    uint8_t bytes[KEEL_BODY_MAX - sizeof(struct packet_answer)];
};
_Static_assert(offsetof(struct reply, bytes) == sizeof(struct packet_answer),
               "one behind the other");

static void append(struct reply *reply, const void *bytes, size_t size)
{
    ENSURE(reply->head.size + size <= sizeof(reply->bytes));
    memcpy(reply->bytes + reply->head.size, bytes, size);
    reply->head.size = (uint16_t)(reply->head.size + size);
}

static void tell_node(const struct control *c, const struct machine_node *node, struct reply *reply)
{
    const struct machine *m = c->machine;
    struct packet_node told = {
        .node = node->id,
        .content_generation = node->content_generation,
        .acl_generation = node->acl_generation,
        .lock_generation = node->lock_generation,
        .added = node->added,
        .removed = node->removed,
        .conflicts = node->conflicts,
        .child_count = node->child_count,
        .handle_count = node->handle_count,
        .holders = node->holders,
        .waiters = node->waiters,
        .content_size = node->content_size,
        .path_size = node->path_size,
        .acl_count = node->acl_count,
        .lock_mode = node->lock_mode,
        .ephemeral = node->ephemeral,
    };
    if (node->delay_log_ns > m->log_ns)
        told.delay_ms = (node->delay_log_ns - m->log_ns + 999999) / 1000000;
    const struct machine_handle *handle = NULL;
    for (uint32_t i = 0; i < node->handle_count && node->holders > 0 && told.holder == 0; i++) {
        handle = machine_handle_of_node(m, node, handle);
        if (handle->state == HANDLE_HOLDS)
            told.holder = handle->session;
    }
    append(reply, &told, sizeof(told));
    append(reply, node->path, node->path_size);
    append(reply, node->content, node->content_size);
    append(reply, node->acl, node->acl_count * sizeof(struct node_right));
}

static void tell_children(const struct control *c, const struct machine_node *node, uint64_t after,
                          struct reply *reply)
{
    const struct machine_node *child = machine_node_child(c->machine, node, after);
    while (child != NULL) { /* at most a packet full */
        const struct packet_child told = {.node = child->id,
                                          .path_size = child->path_size,
                                          .lock_mode = child->lock_mode,
                                          .ephemeral = child->ephemeral};
        if (reply->head.size + sizeof(told) + child->path_size > sizeof(reply->bytes)) {
            reply->head.more = 1;
            return;
        }
        append(reply, &told, sizeof(told));
        append(reply, child->path, child->path_size);
        child = machine_node_child(c->machine, node, child->id);
    }
}

static void tell(const struct control *c, uint32_t principal, const uint8_t *question,
                 struct reply *to)
{
    struct packet_query asked;
    struct reply reply = {0};
    memcpy(&asked, question, sizeof(asked));
    const char *path = (const char *)question + sizeof(asked);
    reply.head.request = asked.request;
    reply.head.index = c->machine->applied;
    reply.head.leader = c->replica->id;
    reply.head.kind = asked.kind;
    reply.head.status = MACHINE_DONE;
    if (asked.kind == PACKET_QUERY_CHECK) {
        if (!machine_sequencer_holds(c->machine, &asked.sequencer))
            reply.head.status = MACHINE_STALE_SEQUENCER;
    } else {
        const struct machine_node *node =
            asked.node != 0 ? machine_node(c->machine, asked.node)
                            : machine_node_at_path(c->machine, path, asked.path_size);
        if (node == NULL)
            reply.head.status = MACHINE_NO_NODE;
        else if ((machine_node_rights(node, principal) & NODE_READ) == 0)
            reply.head.status = MACHINE_NOT_ALLOWED;
        else if (asked.kind == PACKET_QUERY_NODE)
            tell_node(c, node, &reply);
        else
            tell_children(c, node, asked.after, &reply);
    }
    *to = reply;
}

uint32_t queries_tell(const struct control *c, uint32_t principal, const uint8_t *question,
                      uint8_t *bytes)
{
    struct reply reply;
    tell(c, principal, question, &reply);
    memcpy(bytes, &reply, sizeof(reply.head) + reply.head.size);
    return (uint32_t)sizeof(reply.head) + reply.head.size;
}

static void answer(struct control *c, const struct control_query *query)
{
    struct reply reply;
    tell(c, query->principal, query->bytes, &reply);
    struct command *command = control_command(c, COMMAND_ANSWER);
    if (command == NULL)
        return; /* the client asks again */
    command->principal = query->principal;
    command->tag = c->seen.term;
    command->packet_kind = PACKET_ANSWER;
    command->size = (uint32_t)(sizeof(reply.head) + reply.head.size);
    memcpy(command->u.bytes, &reply, command->size);
    control_command_send(c);
    c->status.queries_answered++;
}

void queries_arrived(struct control *c, const struct notice *notice)
{
    c->status.queries++;
    if (c->query_count == CONTROL_QUERIES)
        return; /* the client asks again */
    struct control_query *query = &c->query[(c->query_first + c->query_count++) % CONTROL_QUERIES];
    *query = (struct control_query){.commit = notice->u.query.commit,
                                    .since_ns = c->now_ns,
                                    .principal = notice->u.query.principal,
                                    .size = notice->size};
    memcpy(query->bytes, notice->u.query.bytes, notice->size);
}

/* In the order in which they came, so by rising index. */
uint32_t queries_turn(struct control *c)
{
    uint32_t work = 0;
    for (; c->query_count > 0; work++) { /* at most CONTROL_QUERIES */
        const struct control_query *query = &c->query[c->query_first];
        bool late = c->now_ns >= query->since_ns + CONTROL_QUERY_MS * 1000000ull;
        if (!late && c->machine->applied < query->commit)
            break;
        if (!late && control_leads(c))
            answer(c, query);
        c->query_first = (c->query_first + 1) % CONTROL_QUERIES;
        c->query_count--;
    }
    return work;
}
