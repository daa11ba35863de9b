/* What people are shown of control's machine: sessions, nodes. A page at a time, each of one state.
 */
#include "control/control_internal.h"

#include <string.h>

static uint64_t heard_ms(const struct control *c, uint32_t slot,
                         const struct machine_session *session)
{
    const struct intake_slot *intake = &c->replica->intake->slot[slot];
    /* relaxed: two words of a moment, shown to people */
    uint64_t heard_ns = __atomic_load_n(&intake->heard_ns, __ATOMIC_RELAXED);
    if (__atomic_load_n(&intake->session, __ATOMIC_RELAXED) != session->id)
        heard_ns = 0;
    const struct control_session *notes = &c->session[slot];
    if (notes->session == session->id && notes->alive_ns > heard_ns)
        heard_ns = notes->alive_ns;
    if (c->seen.role != RAFT_LEADER || heard_ns == 0)
        return UINT64_MAX;
    return heard_ns < c->now_ns ? (c->now_ns - heard_ns) / 1000000 : 0;
}

static struct control_session_row row_of(const struct control *c, uint32_t slot)
{
    const struct machine_session *s = machine_session_at(c->machine, slot);
    struct control_session_row row = {.session = s->id,
                                      .epoch = s->epoch,
                                      .last = s->last,
                                      .acked = s->acked,
                                      .heard_ms = heard_ms(c, slot, s),
                                      .principal = s->principal,
                                      .ttl_ms = s->ttl_ms,
                                      .rate = s->rate,
                                      .window = s->window,
                                      .handles = (uint16_t)s->handle_count,
                                      .end_reason = (uint8_t)s->end_reason,
                                      .suspended = s->suspended};
    memcpy(row.name, s->name, sizeof(row.name));
    const struct machine_handle *handle = NULL;
    while ((handle = machine_handle_of_session(c->machine, s, handle)) != NULL) {
        row.held = (uint16_t)(row.held + (handle->state == HANDLE_HOLDS));
        row.waiting = (uint16_t)(row.waiting + (handle->state == HANDLE_WAITS));
    }
    return row;
}

static bool wanted(const struct machine_session *s, const struct control_look_sessions *look)
{
    return s != NULL && s->id > look->after && (look->session == 0 || s->id == look->session) &&
           (look->principal == 0 || s->principal == look->principal) &&
           (look->name[0] == 0 || strcmp(s->name, look->name) == 0);
}

/* The slot of the wanted session with the lowest id above look->after; UINT32_MAX: none. */
static uint32_t next_of(const struct control *c, const struct control_look_sessions *look)
{
    uint32_t found = UINT32_MAX;
    uint64_t id = UINT64_MAX;
    for (uint32_t slot = 0; slot < c->machine->sessions_max; slot++) {
        const struct machine_session *s = machine_session_at(c->machine, slot);
        if (!wanted(s, look) || s->id >= id)
            continue;
        found = slot;
        id = s->id;
    }
    return found;
}

/* A page's rows: each is looked for anew, so that nothing is sorted and nothing kept. */
static void tell_sessions(const struct control *c, const struct control_request *asked,
                          struct control_reply *reply)
{
    struct control_look_sessions look;
    memcpy(&look, asked->body, sizeof(look));
    for (;;) { /* at most as many as fit */
        uint32_t slot = next_of(c, &look);
        if (slot == UINT32_MAX)
            return;
        reply->more = reply->size + sizeof(struct control_session_row) > CONTROL_LOOK_BYTES;
        if (reply->more)
            return;
        struct control_session_row row = row_of(c, slot);
        memcpy(reply->bytes + reply->size, &row, sizeof(row));
        reply->size = (uint16_t)(reply->size + sizeof(row));
        look.after = row.session;
    }
}

static void tell_locks(const struct control *c, const struct control_request *asked,
                       struct control_reply *reply)
{
    struct control_look_sessions look;
    memcpy(&look, asked->body, sizeof(look));
    const struct machine_session *s = machine_session(c->machine, look.session);
    const struct machine_handle *handle = NULL;
    while (s != NULL && (handle = machine_handle_of_session(c->machine, s, handle)) != NULL) {
        if (handle->state == HANDLE_OPEN || handle->asked <= look.after)
            continue;
        struct control_lock_row row = {.node = handle->node,
                                       .asked = handle->asked,
                                       .generation = handle->generation,
                                       .state = handle->state,
                                       .mode = handle->mode};
        const struct machine_node *node = machine_node(c->machine, handle->node);
        memcpy(row.path, node->path, node->path_size);
        reply->more = reply->size + sizeof(row) > CONTROL_LOOK_BYTES;
        if (reply->more)
            return;
        memcpy(reply->bytes + reply->size, &row, sizeof(row));
        reply->size = (uint16_t)(reply->size + sizeof(row));
    }
}

void looking_answer(struct control *c, struct control_ask *ask)
{
    struct control_reply *reply = requests_reply(c, ask, CONTROL_APPLIED, 0);
    reply->index = c->machine->applied;
    if (ask->asked.look == LOOK_SESSIONS)
        tell_sessions(c, &ask->asked, reply);
    else if (ask->asked.look == LOOK_LOCKS)
        tell_locks(c, &ask->asked, reply);
    else
        reply->size = (uint16_t)queries_tell(c, c->replica->id, ask->asked.body, reply->bytes);
    requests_send(c, ask);
}
