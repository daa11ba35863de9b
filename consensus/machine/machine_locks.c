/* Locks: advisory, exclusive or shared, one on each node. A grant, a release, an end are decided by
 * apply, in log time. Source: Chubby (Burrows, OSDI 2006), 2.4; docs/design.md, section 9.
 *
 * Each time a lock goes from free to held its generation becomes the index of the entry that did
 * it: it rises for ever, over deleted nodes, checkpoints and restored clusters alike.
 */
#include "consensus/machine/machine_table.h"

#include <string.h>

/* Counts into the digest whatever order the nodes of one entry are taken in. */
static void digest(struct machine *machine, const struct machine_handle *handle, uint64_t what)
{
    machine->digest += hash_mix(handle->session ^ HASH_K1, handle->node ^ what * HASH_K4);
}

/* "TTL x (1 + rho)": log time is counted by a leader's clock, which may be fast (H20). */
static uint64_t later(const struct machine *machine, uint64_t ms)
{
    return machine->log_ns + ms * (PPM + (uint64_t)machine->rho_ppm);
}

static bool free_for(const struct machine *machine, const struct machine_node *node, uint8_t mode)
{
    if (machine->log_ns < node->delay_log_ns)
        return false;
    return node->holders == 0 || (mode == LOCK_SHARED && node->lock_mode == LOCK_SHARED);
}

static void grant(struct machine *machine, struct machine_node *node, struct machine_handle *handle,
                  uint8_t mode)
{
    if (node->holders == 0) {
        node->lock_mode = mode;
        node->lock_generation = machine->applied;
        node->delay_log_ns = 0;
    }
    node->holders++;
    handle->state = HANDLE_HOLDS;
    handle->mode = mode;
    handle->generation = node->lock_generation;
    handle->held_index = machine->applied;
    digest(machine, handle, handle->generation << 2 | mode);
}

static void leave_queue(struct machine *machine, struct machine_node *node,
                        struct machine_handle *handle)
{
    struct machine_handle *handles = machine_handles(machine);
    machine_list_remove(&node->queue, &handles[0].link[HANDLE_IN_QUEUE], sizeof(*handle),
                        handle_slot(machine, handle));
    node->waiters--;
    handle->state = HANDLE_OPEN;
    handle->mode = LOCK_FREE;
    handle->deadline_log_ns = 0;
}

static void time_out(struct machine *machine, struct machine_node *node,
                     struct machine_handle *handle)
{
    leave_queue(machine, node, handle);
    handle->end_reason = HANDLE_TIMED_OUT;
    handle->ended_index = machine->applied;
    digest(machine, handle, machine->applied);
}

/* A node is due while a lock-delay is in force or somebody waits. */
static void note_due(struct machine *machine, struct machine_node *node)
{
    struct machine_node *nodes = machine_nodes(machine);
    uint32_t slot = node_slot(machine, node);
    bool due = node->delay_log_ns != 0 || node->waiters != 0;
    if (due && !node->due)
        machine_list_append(&machine->due, &nodes[0].link[NODE_IN_DUE], sizeof(*node), slot);
    if (!due && node->due)
        machine_list_remove(&machine->due, &nodes[0].link[NODE_IN_DUE], sizeof(*node), slot);
    node->due = due;
}

void machine_lock_settle(struct machine *machine, struct machine_node *node)
{
    struct machine_handle *handles = machine_handles(machine);
    bool granted = false;
    if (machine->log_ns >= node->delay_log_ns)
        node->delay_log_ns = 0;
    while (node->waiters > 0) { /* at most waiters_max */
        struct machine_handle *handle = &handles[node->queue.first - 1];
        if (machine->log_ns >= handle->deadline_log_ns) {
            time_out(machine, node, handle);
            continue;
        }
        /* Pitfall 10: the waiter's session is judged in the entry that grants. Its end took it out
         * of every queue. */
        ENSURE(machine_alive(&machine_sessions(machine)[handle->session_slot]));
        uint8_t mode = handle->mode;
        if (!free_for(machine, node, mode))
            break;
        leave_queue(machine, node, handle);
        grant(machine, node, handle, mode);
        handle->granted_index = machine->applied;
        granted = true;
    }
    if (granted && node->waiters > 0) { /* who still waits is in the new holder's way from now on */
        node->conflicts++;
        node->conflict_index = machine->applied;
    }
    note_due(machine, node);
    machine_node_wither(machine, node);
}

static enum machine_status enqueue(struct machine *machine, struct machine_node *node,
                                   struct machine_handle *handle, const struct entry_node *op)
{
    struct machine_handle *handles = machine_handles(machine);
    uint32_t slot = handle_slot(machine, handle);
    struct machine_session *session = &machine_sessions(machine)[handle->session_slot];
    if (node->waiters >= machine->waiters_max)
        return MACHINE_WAITER_LIMIT;
    /* To the end of every list that it stands in: they all go by `asked`. */
    machine_list_remove(&machine->handles, &handles[0].link[HANDLE_IN_ALL], sizeof(*handle), slot);
    machine_list_remove(&session->handles, &handles[0].link[HANDLE_IN_SESSION], sizeof(*handle),
                        slot);
    machine_list_remove(&node->handles, &handles[0].link[HANDLE_IN_NODE], sizeof(*handle), slot);
    machine_list_append(&machine->handles, &handles[0].link[HANDLE_IN_ALL], sizeof(*handle), slot);
    machine_list_append(&session->handles, &handles[0].link[HANDLE_IN_SESSION], sizeof(*handle),
                        slot);
    machine_list_append(&node->handles, &handles[0].link[HANDLE_IN_NODE], sizeof(*handle), slot);
    machine_list_append(&node->queue, &handles[0].link[HANDLE_IN_QUEUE], sizeof(*handle), slot);
    node->waiters++;
    handle->asked = machine->applied;
    handle->state = HANDLE_WAITS;
    handle->mode = op->mode;
    handle->deadline_log_ns =
        op->wait_ms == NODE_WAIT_ENDLESS ? UINT64_MAX : later(machine, op->wait_ms);
    note_due(machine, node);
    return MACHINE_QUEUED;
}

enum machine_status machine_lock_acquire(struct machine *machine, struct machine_handle *handle,
                                         const struct entry_node *op, uint64_t *value)
{
    struct machine_node *node = &machine_nodes(machine)[handle->node_slot];
    if (handle->state == HANDLE_HOLDS) {
        *value = handle->generation;
        return handle->mode == op->mode ? MACHINE_DONE : MACHINE_LOCK_BUSY;
    }
    if (handle->state == HANDLE_WAITS) /* its place in the queue is as it was */
        return handle->mode == op->mode ? MACHINE_QUEUED : MACHINE_LOCK_BUSY;
    handle->ended_index = 0; /* how an earlier wait or hold ended is no news any more */
    handle->end_reason = 0;
    machine_lock_settle(machine, node); /* who waits and may have it by now goes first */
    handle->delay_ms =
        op->delay_ms < machine->lock_delay_max_ms ? op->delay_ms : machine->lock_delay_max_ms;
    if (node->waiters == 0 && free_for(machine, node, op->mode)) {
        grant(machine, node, handle, op->mode);
        note_due(machine, node);
        *value = handle->generation;
        return MACHINE_DONE;
    }
    if (node->holders > 0) {
        node->conflicts++;
        node->conflict_index = machine->applied;
    }
    return (op->flags & NODE_TRY) != 0 ? MACHINE_LOCK_BUSY : enqueue(machine, node, handle, op);
}

/* A hold ends; who may have the lock next is not looked at. */
static void let_go(struct machine *machine, struct machine_node *node,
                   struct machine_handle *handle, uint64_t delay_ms)
{
    ENSURE(handle->state == HANDLE_HOLDS && node->holders > 0);
    digest(machine, handle, ~handle->generation);
    handle->state = HANDLE_OPEN;
    handle->mode = LOCK_FREE;
    handle->generation = 0;
    handle->granted_index = 0;
    handle->held_index = 0;
    node->holders--;
    if (node->holders == 0)
        node->lock_mode = LOCK_FREE;
    uint64_t until = delay_ms == 0 ? 0 : later(machine, delay_ms);
    if (until > node->delay_log_ns)
        node->delay_log_ns = until;
}

void machine_lock_leave(struct machine *machine, struct machine_handle *handle, uint64_t delay_ms)
{
    struct machine_node *node = &machine_nodes(machine)[handle->node_slot];
    if (handle->state == HANDLE_WAITS)
        leave_queue(machine, node, handle);
    else
        let_go(machine, node, handle, delay_ms);
    machine_lock_settle(machine, node);
}

/* All holders go before anybody is granted: a waiter that joined those who are left would keep the
 * generation that is to be over. */
enum machine_status machine_lock_break(struct machine *machine, struct machine_node *node, bool now)
{
    struct machine_handle *handles = machine_handles(machine);
    bool delayed = machine->log_ns < node->delay_log_ns;
    if (node->holders == 0 && !(now && delayed))
        return MACHINE_NOT_HELD;
    uint32_t next = node->handles.first;
    while (next != 0) { /* at most handles_max */
        struct machine_handle *handle = &handles[next - 1];
        next = handle->link[HANDLE_IN_NODE].next;
        if (handle->state != HANDLE_HOLDS)
            continue;
        uint32_t ttl_ms = machine_sessions(machine)[handle->session_slot].ttl_ms;
        handle->end_reason = HANDLE_BROKEN;
        handle->ended_index = machine->applied;
        let_go(machine, node, handle, ttl_ms > handle->delay_ms ? ttl_ms : handle->delay_ms);
    }
    if (now)
        node->delay_log_ns = 0;
    machine_lock_settle(machine, node);
    return MACHINE_DONE;
}

void machine_locks_end(struct machine *machine, struct machine_session *session, bool clean,
                       uint32_t floor_ms)
{
    struct machine_handle *handles = machine_handles(machine);
    while (session->handle_count > 0) { /* at most handles_per_session */
        struct machine_handle *handle = &handles[session->handles.first - 1];
        uint32_t delay_ms = handle->delay_ms > floor_ms ? handle->delay_ms : floor_ms;
        struct machine_node *node =
            handle->invalid_index != 0 ? NULL : &machine_nodes(machine)[handle->node_slot];
        if (handle->state != HANDLE_OPEN)
            machine_lock_leave(machine, handle, clean ? 0 : delay_ms);
        machine_handle_remove(machine, handle);
        if (node != NULL)
            machine_node_wither(machine, node);
    }
}

bool machine_sequencer_holds(const struct machine *machine, const struct entry_sequencer *sequencer)
{
    const struct machine_node *node = machine_node(machine, sequencer->node);
    return node != NULL && node->holders > 0 && node->lock_mode == sequencer->mode &&
           node->lock_generation == sequencer->generation;
}

/* When something becomes due at this node. */
static uint64_t node_due_log_ns(const struct machine *machine, const struct machine_node *node)
{
    const struct machine_handle *handles = machine_handles_const(machine);
    uint64_t due = UINT64_MAX;
    bool waits = node->waiters > 0 || (node->ephemeral && node->handle_count == 0);
    if (node->delay_log_ns != 0 && waits)
        due = node->delay_log_ns;
    uint32_t next = node->queue.first;
    for (uint32_t i = 0; i < node->waiters; i++) {
        if (handles[next - 1].deadline_log_ns < due)
            due = handles[next - 1].deadline_log_ns;
        next = handles[next - 1].link[HANDLE_IN_QUEUE].next;
    }
    return due;
}

uint64_t machine_due_log_ns(const struct machine *machine)
{
    const struct machine_node *nodes = machine_nodes_const(machine);
    uint64_t due = UINT64_MAX;
    uint32_t next = machine->due.first;
    while (next != 0) { /* at most nodes_max */
        uint64_t this = node_due_log_ns(machine, &nodes[next - 1]);
        due = this < due ? this : due;
        next = nodes[next - 1].link[NODE_IN_DUE].next;
    }
    return due;
}

static void time_out_waiters(struct machine *machine, struct machine_node *node)
{
    struct machine_handle *handles = machine_handles(machine);
    uint32_t next = node->queue.first;
    while (next != 0) { /* at most waiters_max */
        struct machine_handle *handle = &handles[next - 1];
        next = handle->link[HANDLE_IN_QUEUE].next;
        if (machine->log_ns >= handle->deadline_log_ns)
            time_out(machine, node, handle);
    }
}

/* "unless its term is that of the latest no-op": a deposed leader's is refused. */
void machine_apply_due(struct machine *machine, const struct entry *entry,
                       struct machine_outcome *outcome)
{
    const struct entry_due *body = entry_body(entry);
    if (entry->principal >= KEEL_CLIENT_MIN) {
        outcome->status = MACHINE_NOT_OWNER;
        return;
    }
    if (body->term != machine->noop_term) {
        outcome->status = MACHINE_NOT_EXPIRED;
        return;
    }
    struct machine_node *nodes = machine_nodes(machine);
    uint32_t next = machine->due.first;
    while (next != 0) { /* at most nodes_max: settling a node puts no other into the list */
        struct machine_node *node = &nodes[next - 1];
        next = node->link[NODE_IN_DUE].next;
        time_out_waiters(machine, node);
        machine_lock_settle(machine, node);
    }
    outcome->nodes_touched = true;
}

void machine_count_locks(const struct machine *machine, uint32_t *held, uint32_t *waiting)
{
    const struct machine_node *nodes = machine_nodes_const(machine);
    *held = *waiting = 0;
    for (uint32_t i = 0; i < machine->nodes_max; i++) { /* an unused one is all zeros */
        *held += nodes[i].lock_mode != LOCK_FREE;
        *waiting += nodes[i].waiters;
    }
}
