#include "consensus/machine/machine_encode.h"
#include "consensus/machine/machine_table.h"

/* Hash indexes, slots and all lists follow from what is written; nothing else of a node or handle
 * is left out. */
struct node_record { /* then path, content, acl_count struct node_right */
    uint64_t id;
    uint64_t parent; /* instance; the root's: its own */
    uint64_t content_generation;
    uint64_t acl_generation;
    uint64_t lock_generation;
    uint64_t delay_log_ns;
    uint64_t content_index;
    uint64_t added_index;
    uint64_t removed_index;
    uint64_t conflict_index;
    uint64_t added;
    uint64_t removed;
    uint64_t conflicts;
    uint16_t content_size;
    uint8_t path_size;
    uint8_t acl_count;
    uint8_t lock_mode;
    uint8_t ephemeral;
    uint8_t reserved[2];
};
_Static_assert(sizeof(struct node_record) == 112, "encoded node");

struct handle_record {
    uint64_t session;
    uint64_t node;
    uint64_t opened;
    uint64_t asked;
    uint64_t generation;
    uint64_t deadline_log_ns;
    uint64_t granted_index;
    uint64_t held_index;
    uint64_t ended_index;
    uint64_t invalid_index;
    uint32_t delay_ms;
    uint8_t state;
    uint8_t mode;
    uint8_t events;
    uint8_t end_reason;
};
_Static_assert(sizeof(struct handle_record) == 88, "encoded handle");

size_t machine_nodes_encoded_max(const struct genesis *genesis)
{
    return genesis->nodes_max * (sizeof(struct node_record) + KEEL_PATH_MAX + KEEL_CONTENT_MAX +
                                 KEEL_ACL_MAX * sizeof(struct node_right)) +
           genesis->handles_max * sizeof(struct handle_record);
}

static void put_node(struct sink *sink, const struct machine *machine,
                     const struct machine_node *node)
{
    const struct node_record record = {
        .id = node->id,
        .parent = machine_node_parent(machine, node)->id,
        .content_generation = node->content_generation,
        .acl_generation = node->acl_generation,
        .lock_generation = node->lock_generation,
        .delay_log_ns = node->delay_log_ns,
        .content_index = node->content_index,
        .added_index = node->added_index,
        .removed_index = node->removed_index,
        .conflict_index = node->conflict_index,
        .added = node->added,
        .removed = node->removed,
        .conflicts = node->conflicts,
        .content_size = node->content_size,
        .path_size = node->path_size,
        .acl_count = node->acl_count,
        .lock_mode = node->lock_mode,
        .ephemeral = node->ephemeral,
    };
    machine_put(sink, &record, sizeof(record));
    machine_put(sink, node->path, node->path_size);
    machine_put(sink, node->content, node->content_size);
    machine_put(sink, node->acl, node->acl_count * sizeof(struct node_right));
}

static void put_handle(struct sink *sink, const struct machine_handle *handle)
{
    const struct handle_record record = {
        .session = handle->session,
        .node = handle->node,
        .opened = handle->opened,
        .asked = handle->asked,
        .generation = handle->generation,
        .deadline_log_ns = handle->deadline_log_ns,
        .granted_index = handle->granted_index,
        .held_index = handle->held_index,
        .ended_index = handle->ended_index,
        .invalid_index = handle->invalid_index,
        .delay_ms = handle->delay_ms,
        .state = handle->state,
        .mode = handle->mode,
        .events = handle->events,
        .end_reason = handle->end_reason,
    };
    machine_put(sink, &record, sizeof(record));
}

void machine_put_nodes(struct sink *sink, const struct machine *machine)
{
    const struct machine_node *nodes = machine_nodes_const(machine);
    const struct machine_handle *handles = machine_handles_const(machine);
    uint32_t next = machine->nodes.first;
    for (uint32_t i = 0; i < machine->node_count; i++) {
        put_node(sink, machine, &nodes[next - 1]);
        next = nodes[next - 1].link[NODE_IN_ALL].next;
    }
    next = machine->handles.first;
    for (uint32_t i = 0; i < machine->handle_count; i++) {
        put_handle(sink, &handles[next - 1]);
        next = handles[next - 1].link[HANDLE_IN_ALL].next;
    }
}

/* --- decode ------------------------------------------------------------------------------------
 */

static bool from_the_future(const struct machine *machine, const struct node_record *r)
{
    uint64_t last = machine->applied;
    return r->content_index > last || r->added_index > last || r->removed_index > last ||
           r->conflict_index > last || r->lock_generation > last ||
           (r->id != NODE_ROOT && r->id > last);
}

static const char *node_problem(const struct machine *machine, const struct node_record *r,
                                uint64_t before)
{
    if (r->id <= before || (before == 0) != (r->id == NODE_ROOT))
        return "nodes out of order, or no root";
    if (r->path_size > KEEL_PATH_MAX || r->content_size > KEEL_CONTENT_MAX ||
        r->acl_count > KEEL_ACL_MAX || r->ephemeral > 1 || r->lock_mode > LOCK_SHARED ||
        r->reserved[0] != 0 || r->reserved[1] != 0 || r->content_generation == 0 ||
        r->acl_generation == 0 || (r->ephemeral && r->id == NODE_ROOT))
        return "a node's numbers out of range";
    return from_the_future(machine, r) ? "a node from the future" : NULL;
}

/* The path is the parent's, a '/', and one component more. */
static bool path_fits(const struct machine_node *parent, const char *path, size_t size)
{
    size_t under = parent->id == NODE_ROOT ? 0 : parent->path_size;
    if (!entry_path_ok(path, size) || size <= under + 1 || path[under] != '/' ||
        memcmp(path, parent->path, under) != 0)
        return false;
    for (size_t i = under + 1; i < size; i++)
        if (path[i] == '/')
            return false;
    return true;
}

static void fill_node(struct machine_node *node, const struct node_record *r)
{
    node->id = r->id;
    node->content_generation = r->content_generation;
    node->acl_generation = r->acl_generation;
    node->lock_generation = r->lock_generation;
    node->delay_log_ns = r->delay_log_ns;
    node->content_index = r->content_index;
    node->added_index = r->added_index;
    node->removed_index = r->removed_index;
    node->conflict_index = r->conflict_index;
    node->added = r->added;
    node->removed = r->removed;
    node->conflicts = r->conflicts;
    node->content_size = r->content_size;
    node->path_size = r->path_size;
    node->acl_count = r->acl_count;
    node->lock_mode = r->lock_mode;
    node->ephemeral = r->ephemeral;
}

/* The root stands in slot 0 since machine_init(), and is filled anew. */
static const char *take_node(struct machine *machine, uint32_t slot, uint64_t before,
                             struct source *source)
{
    struct machine_node *node = &machine_nodes(machine)[slot];
    struct node_record r;
    if (!machine_take(source, &r, sizeof(r)))
        return "cut off";
    const char *problem = node_problem(machine, &r, before);
    if (problem != NULL)
        return problem;
    const struct machine_node *parent = slot == 0 ? node : machine_node(machine, r.parent);
    if (parent == NULL || (slot == 0 && (r.parent != NODE_ROOT || r.path_size != 1)))
        return "a node without a parent";
    uint32_t parent_slot = node_slot(machine, parent);
    fill_node(node, &r);
    node->parent = parent_slot;
    if (!machine_take(source, node->path, r.path_size) ||
        !machine_take(source, node->content, r.content_size) ||
        !machine_take(source, node->acl, r.acl_count * sizeof(struct node_right)))
        return "cut off";
    if (slot == 0 ? node->path[0] != '/' : !path_fits(parent, node->path, r.path_size))
        return "a node without a sane path";
    if (!entry_acl_ok(node->acl, r.acl_count * sizeof(struct node_right)))
        return "a node without a sane access list";
    if (slot == 0)
        return NULL;
    if (machine_node_at_path(machine, node->path, node->path_size) != NULL)
        return "two nodes of one path";
    machine_node_enter(machine, slot);
    return NULL;
}

static const char *handle_problem(const struct machine *machine, const struct handle_record *r,
                                  uint64_t before)
{
    uint64_t last = machine->applied;
    if (r->asked <= before || r->opened == 0 || r->asked < r->opened || r->asked > last ||
        r->granted_index > last || r->held_index > last || r->ended_index > last ||
        r->invalid_index > last)
        return "handles out of order, or from the future";
    if (r->state > HANDLE_HOLDS || r->mode > LOCK_SHARED || r->events > NODE_EVENTS_ALL ||
        (r->state == HANDLE_OPEN) != (r->mode == LOCK_FREE) ||
        (r->state == HANDLE_HOLDS) != (r->generation != 0) ||
        (r->state == HANDLE_HOLDS) != (r->held_index != 0) ||
        (r->state == HANDLE_WAITS) != (r->deadline_log_ns != 0) || r->end_reason > HANDLE_BROKEN ||
        (r->ended_index != 0) != (r->end_reason != 0) || r->delay_ms > machine->lock_delay_max_ms ||
        (r->invalid_index != 0 && r->state != HANDLE_OPEN))
        return "a handle's numbers out of range";
    return NULL;
}

static const char *join_lock(struct machine *machine, struct machine_node *node, uint32_t slot)
{
    struct machine_handle *handles = machine_handles(machine), *handle = &handles[slot];
    if (handle->state == HANDLE_HOLDS) {
        if (handle->mode != node->lock_mode || handle->generation != node->lock_generation ||
            (node->holders > 0 && handle->mode == LOCK_EXCLUSIVE))
            return "a lock held in two ways";
        node->holders++;
    } else if (handle->state == HANDLE_WAITS) {
        machine_list_append(&node->queue, &handles[0].link[HANDLE_IN_QUEUE], sizeof(*handle), slot);
        node->waiters++;
    }
    return NULL;
}

static const char *take_handle(struct machine *machine, uint32_t slot, uint64_t *before,
                               struct source *source)
{
    struct machine_handle *handle = &machine_handles(machine)[slot];
    struct handle_record r;
    if (!machine_take(source, &r, sizeof(r)))
        return "cut off";
    const char *problem = handle_problem(machine, &r, *before);
    if (problem != NULL)
        return problem;
    const struct machine_session *session = machine_session(machine, r.session);
    const struct machine_node *node = machine_node(machine, r.node);
    if (session == NULL || !machine_alive(session) ||
        session->handle_count >= machine->handles_per_session || r.node == 0 ||
        (node == NULL) != (r.invalid_index != 0) ||
        machine_handle(machine, r.session, r.node) != NULL)
        return "a handle without a session or a node";
    *before = r.asked;
    *handle = (struct machine_handle){
        .session = r.session,
        .node = r.node,
        .opened = r.opened,
        .asked = r.asked,
        .generation = r.generation,
        .deadline_log_ns = r.deadline_log_ns,
        .granted_index = r.granted_index,
        .held_index = r.held_index,
        .ended_index = r.ended_index,
        .invalid_index = r.invalid_index,
        .session_slot = machine_slot(machine, session),
        .node_slot = node == NULL ? 0 : node_slot(machine, node),
        .delay_ms = r.delay_ms,
        .state = r.state,
        .mode = r.mode,
        .events = r.events,
        .end_reason = r.end_reason,
    };
    machine_handle_enter(machine, slot);
    return node == NULL ? NULL
                        : join_lock(machine, &machine_nodes(machine)[handle->node_slot], slot);
}

/* What no single record shows: locks without holders, queues that are too long, what should have
 * withered. Nodes that are due enter their list. */
static const char *finish_node(struct machine *machine, struct machine_node *node)
{
    struct machine_node *nodes = machine_nodes(machine);
    if ((node->holders == 0) != (node->lock_mode == LOCK_FREE))
        return "a lock that nobody holds, or held without a mode";
    if (node->waiters > machine->waiters_max)
        return "a queue that is too long";
    node->due = node->delay_log_ns != 0 || node->waiters != 0;
    if (node->due)
        machine_list_append(&machine->due, &nodes[0].link[NODE_IN_DUE], sizeof(*node),
                            node_slot(machine, node));
    if (node->ephemeral && node->handle_count == 0 && node->child_count == 0 && !node->due)
        return "an ephemeral node that nothing keeps";
    return NULL;
}

const char *machine_take_nodes(struct machine *machine, uint32_t nodes, uint32_t handles,
                               struct source *source)
{
    const char *problem = NULL;
    uint64_t before = 0;
    for (uint32_t slot = 0; slot < nodes && problem == NULL; slot++) {
        problem = take_node(machine, slot, before, source);
        before = machine_nodes(machine)[slot].id;
    }
    before = 0;
    for (uint32_t slot = 0; slot < handles && problem == NULL; slot++)
        problem = take_handle(machine, slot, &before, source);
    for (uint32_t slot = 0; slot < nodes && problem == NULL; slot++)
        problem = finish_node(machine, &machine_nodes(machine)[slot]);
    return problem;
}
