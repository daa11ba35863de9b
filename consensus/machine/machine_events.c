/* What a session has to be told of its handles. Nothing is queued: an event is a question to the
 * state, so that it survives whatever the state survives, and a slow session costs no memory.
 */
#include "consensus/machine/machine_internal.h"

#include <string.h>

struct events { /* the first `count` of those behind `after`, in order */
    const struct packet_event_place *after;
    struct packet_event *event;
    uint32_t count;
    uint32_t max;
};

static void tell(struct events *e, const struct machine_handle *handle, uint64_t index,
                 enum packet_event_kind kind, uint64_t value)
{
    struct packet_event event = {
        .at = {.index = index, .node = handle->node, .kind = (uint8_t)kind}, .value = value};
    if (index <= handle->opened || !packet_event_before(e->after, &event.at))
        return;
    uint32_t place = e->count;
    while (place > 0 && packet_event_before(&event.at, &e->event[place - 1].at))
        place--;
    if (place == e->max)
        return;
    uint32_t behind = (e->count < e->max ? e->count : e->max - 1) - place;
    memmove(&e->event[place + 1], &e->event[place], behind * sizeof(event));
    e->event[place] = event;
    e->count += e->count < e->max;
}

static void tell_node(struct events *e, const struct machine_handle *handle,
                      const struct machine_node *node)
{
    if ((handle->events & NODE_EVENT_CONTENT) != 0)
        tell(e, handle, node->content_index, PACKET_EVENT_CONTENT, node->content_generation);
    if ((handle->events & NODE_EVENT_ADDED) != 0)
        tell(e, handle, node->added_index, PACKET_EVENT_ADDED, node->added);
    if ((handle->events & NODE_EVENT_REMOVED) != 0)
        tell(e, handle, node->removed_index, PACKET_EVENT_REMOVED, node->removed);
    if ((handle->events & NODE_EVENT_LOCKED) != 0)
        tell(e, handle, node->lock_generation, PACKET_EVENT_LOCKED, node->lock_generation);
    if ((handle->events & NODE_EVENT_CONFLICT) != 0 && handle->state == HANDLE_HOLDS &&
        node->conflict_index >= handle->held_index)
        tell(e, handle, node->conflict_index, PACKET_EVENT_CONFLICT, node->conflicts);
}

uint32_t machine_events(const struct machine *machine, const struct machine_session *session,
                        const struct packet_event_place *after, struct packet_event *events,
                        uint32_t max)
{
    struct events e = {.after = after, .event = events, .max = max};
    const struct machine_handle *handle = NULL;
    for (uint32_t i = 0; i < session->handle_count; i++) {
        handle = machine_handle_of_session(machine, session, handle);
        if (handle->state == HANDLE_HOLDS)
            tell(&e, handle, handle->granted_index, PACKET_EVENT_GRANTED, handle->generation);
        tell(&e, handle, handle->ended_index, PACKET_EVENT_ENDED, handle->end_reason);
        if (handle->invalid_index != 0)
            tell(&e, handle, handle->invalid_index, PACKET_EVENT_INVALID, handle->node);
        else
            tell_node(&e, handle, &machine_nodes_const(machine)[handle->node_slot]);
    }
    return e.count;
}
