/* Nodes: a tree of names with a little content, and the handles that sessions have on them. Source:
 * Chubby (Burrows, OSDI 2006), 2.3 and 2.4; what differs is said in docs/leases.md.
 */
#include "consensus/machine/machine_table.h"

#include <string.h>

/* --- tables and lists --------------------------------------------------------------------------
 */

static uint32_t *by_id(struct machine *machine)
{
    return machine_part(machine, machine->node_tables_offset);
}

static uint32_t *by_path(struct machine *machine)
{
    return by_id(machine) + machine->node_mask + 1;
}

static uint64_t *node_bits(struct machine *machine)
{
    return (uint64_t *)(void *)(by_path(machine) + machine->node_mask + 1);
}

static uint32_t *by_pair(struct machine *machine)
{
    return machine_part(machine, machine->handle_tables_offset);
}

static uint64_t *handle_bits(struct machine *machine)
{
    return (uint64_t *)(void *)(by_pair(machine) + machine->handle_mask + 1);
}

static uint32_t hash_of_path(const char *path, size_t size)
{
    return (uint32_t)hash_bytes(path, size, HASH_K3);
}

static uint32_t hash_of_pair(uint64_t session, uint64_t node)
{
    return (uint32_t)hash_mix(session ^ HASH_K2, node ^ HASH_K3);
}

static uint32_t home_of_id(const struct machine *machine, uint32_t slot)
{
    return hash_id(machine_nodes_const(machine)[slot].id);
}

static uint32_t home_of_path(const struct machine *machine, uint32_t slot)
{
    const struct machine_node *node = &machine_nodes_const(machine)[slot];
    return hash_of_path(node->path, node->path_size);
}

static uint32_t home_of_pair(const struct machine *machine, uint32_t slot)
{
    const struct machine_handle *handle = &machine_handles_const(machine)[slot];
    return hash_of_pair(handle->session, handle->node);
}

size_t machine_nodes_layout(struct machine *machine, const struct genesis *genesis, size_t offset)
{
    uint32_t nodes = genesis->nodes_max, handles = genesis->handles_max;
    size_t node_cells = machine_table_cells(nodes), handle_cells = machine_table_cells(handles);
    size_t node_tables = offset;
    size_t handle_tables =
        node_tables + 2 * node_cells * sizeof(uint32_t) + machine_bits_size(nodes);
    size_t end = handle_tables + handle_cells * sizeof(uint32_t) + machine_bits_size(handles);
    size_t nodes_at = (end + 63) / 64 * 64;
    size_t handles_at = nodes_at + nodes * sizeof(struct machine_node);
    if (machine != NULL) {
        machine->nodes_max = nodes;
        machine->handles_max = handles;
        machine->handles_per_session = genesis->handles_per_session;
        machine->waiters_max = genesis->waiters_max;
        machine->lock_delay_max_ms = genesis->lock_delay_max_ms;
        machine->node_mask = (uint32_t)node_cells - 1;
        machine->handle_mask = (uint32_t)handle_cells - 1;
        machine->node_tables_offset = (uint32_t)node_tables;
        machine->handle_tables_offset = (uint32_t)handle_tables;
        machine->nodes_offset = (uint32_t)nodes_at;
        machine->handles_offset = (uint32_t)handles_at;
    }
    return handles_at + handles * sizeof(struct machine_handle);
}

void machine_nodes_init(struct machine *machine)
{
    if (machine->nodes_max == 0)
        return;
    struct machine_node *root = &machine_nodes(machine)[0];
    root->id = NODE_ROOT;
    root->path_size = 1;
    root->path[0] = '/';
    root->content_generation = 1;
    root->acl_generation = 1;
    root->acl_count = 1;
    root->acl[0] = (struct node_right){.rights = NODE_READ | NODE_WRITE | NODE_CHANGE};
    machine_node_enter(machine, 0);
}

uint32_t machine_node_room(const struct machine *machine)
{
    const uint32_t *tables = machine_part_const(machine, machine->node_tables_offset);
    const uint64_t *bits = (const void *)(tables + 2 * ((size_t)machine->node_mask + 1));
    return machine_bits_room(bits, machine->nodes_max);
}

uint32_t machine_handle_room(const struct machine *machine)
{
    const uint32_t *table = machine_part_const(machine, machine->handle_tables_offset);
    const uint64_t *bits = (const void *)(table + machine->handle_mask + 1);
    return machine_bits_room(bits, machine->handles_max);
}

void machine_node_enter(struct machine *machine, uint32_t slot)
{
    struct machine_node *nodes = machine_nodes(machine), *node = &nodes[slot];
    machine_table_insert(machine, by_id(machine), machine->node_mask, slot, home_of_id);
    machine_table_insert(machine, by_path(machine), machine->node_mask, slot, home_of_path);
    machine_bits_flip(node_bits(machine), slot);
    machine_list_append(&machine->nodes, &nodes[0].link[NODE_IN_ALL], sizeof(*node), slot);
    machine->node_count++;
    if (node->id == NODE_ROOT)
        return;
    struct machine_node *parent = &nodes[node->parent];
    machine_list_append(&parent->children, &nodes[0].link[NODE_IN_SIBLINGS], sizeof(*node), slot);
    parent->child_count++;
}

/* It has no handle, no child and no part in a lock. */
static void node_remove(struct machine *machine, struct machine_node *node)
{
    struct machine_node *nodes = machine_nodes(machine), *parent = &nodes[node->parent];
    uint32_t slot = node_slot(machine, node);
    ENSURE(node->handle_count == 0 && node->child_count == 0 && !node->due);
    machine_table_remove(machine, by_id(machine), machine->node_mask, slot, home_of_id);
    machine_table_remove(machine, by_path(machine), machine->node_mask, slot, home_of_path);
    machine_bits_flip(node_bits(machine), slot);
    machine_list_remove(&machine->nodes, &nodes[0].link[NODE_IN_ALL], sizeof(*node), slot);
    machine_list_remove(&parent->children, &nodes[0].link[NODE_IN_SIBLINGS], sizeof(*node), slot);
    parent->child_count--;
    parent->removed++;
    parent->removed_index = machine->applied;
    machine->node_count--;
    memset(node, 0, sizeof(*node));
}

void machine_handle_enter(struct machine *machine, uint32_t slot)
{
    struct machine_handle *handles = machine_handles(machine), *handle = &handles[slot];
    struct machine_session *session = &machine_sessions(machine)[handle->session_slot];
    const size_t stride = sizeof(*handle);
    machine_table_insert(machine, by_pair(machine), machine->handle_mask, slot, home_of_pair);
    machine_bits_flip(handle_bits(machine), slot);
    machine_list_append(&machine->handles, &handles[0].link[HANDLE_IN_ALL], stride, slot);
    machine_list_append(&session->handles, &handles[0].link[HANDLE_IN_SESSION], stride, slot);
    session->handle_count++;
    machine->handle_count++;
    if (handle->invalid_index != 0)
        return;
    struct machine_node *node = &machine_nodes(machine)[handle->node_slot];
    machine_list_append(&node->handles, &handles[0].link[HANDLE_IN_NODE], stride, slot);
    node->handle_count++;
}

void machine_handle_remove(struct machine *machine, struct machine_handle *handle)
{
    struct machine_handle *handles = machine_handles(machine);
    struct machine_session *session = &machine_sessions(machine)[handle->session_slot];
    uint32_t slot = handle_slot(machine, handle);
    const size_t stride = sizeof(*handle);
    ENSURE(handle->state == HANDLE_OPEN);
    if (handle->invalid_index == 0) {
        struct machine_node *node = &machine_nodes(machine)[handle->node_slot];
        machine_list_remove(&node->handles, &handles[0].link[HANDLE_IN_NODE], stride, slot);
        node->handle_count--;
    }
    machine_list_remove(&session->handles, &handles[0].link[HANDLE_IN_SESSION], stride, slot);
    machine_list_remove(&machine->handles, &handles[0].link[HANDLE_IN_ALL], stride, slot);
    machine_table_remove(machine, by_pair(machine), machine->handle_mask, slot, home_of_pair);
    machine_bits_flip(handle_bits(machine), slot);
    session->handle_count--;
    machine->handle_count--;
    memset(handle, 0, sizeof(*handle));
}

void machine_node_wither(struct machine *machine, struct machine_node *node)
{
    for (uint32_t depth = 0; depth < KEEL_PATH_DEPTH_MAX; depth++) {
        if (!node->ephemeral || node->handle_count != 0 || node->child_count != 0 || node->due)
            return;
        struct machine_node *parent = &machine_nodes(machine)[node->parent];
        node_remove(machine, node);
        node = parent;
    }
}

/* --- lookups -----------------------------------------------------------------------------------
 */

const struct machine_node *machine_node(const struct machine *machine, uint64_t id)
{
    const uint32_t *cell = machine_part_const(machine, machine->node_tables_offset);
    const struct machine_node *nodes = machine_nodes_const(machine);
    uint32_t at = hash_id(id) & machine->node_mask;
    /* unreachable: a table without a free cell */
    for (uint32_t probe = 0; probe <= machine->node_mask && cell[at] != 0; probe++) {
        if (nodes[cell[at] - 1].id == id)
            return &nodes[cell[at] - 1];
        at = (at + 1) & machine->node_mask;
    }
    return NULL;
}

const struct machine_node *machine_node_at_path(const struct machine *machine, const char *path,
                                                size_t size)
{
    const uint32_t *cell = machine_part_const(machine, machine->node_tables_offset);
    cell += machine->node_mask + 1;
    const struct machine_node *nodes = machine_nodes_const(machine);
    uint32_t at = hash_of_path(path, size) & machine->node_mask;
    /* unreachable: a table without a free cell */
    for (uint32_t probe = 0; probe <= machine->node_mask && cell[at] != 0; probe++) {
        const struct machine_node *node = &nodes[cell[at] - 1];
        if (node->path_size == size && memcmp(node->path, path, size) == 0)
            return node;
        at = (at + 1) & machine->node_mask;
    }
    return NULL;
}

const struct machine_node *machine_node_parent(const struct machine *machine,
                                               const struct machine_node *node)
{
    return &machine_nodes_const(machine)[node->parent];
}

const struct machine_node *machine_node_child(const struct machine *machine,
                                              const struct machine_node *node, uint64_t after)
{
    const struct machine_node *nodes = machine_nodes_const(machine);
    const struct machine_node *last = after == 0 ? NULL : machine_node(machine, after);
    uint32_t next = node->children.first;
    if (last != NULL && last->id != NODE_ROOT && &nodes[last->parent] == node) {
        next = last->link[NODE_IN_SIBLINGS].next; /* the common case: on from where one stopped */
    } else {
        for (uint32_t i = 0; i < node->child_count && nodes[next - 1].id <= after; i++)
            next = nodes[next - 1].link[NODE_IN_SIBLINGS].next;
    }
    return next == 0 ? NULL : &nodes[next - 1];
}

uint32_t machine_node_rights(const struct machine_node *node, uint32_t principal)
{
    uint32_t rights = 0;
    if (principal < KEEL_CLIENT_MIN)
        return NODE_READ | NODE_WRITE | NODE_CHANGE;
    for (uint32_t i = 0; i < node->acl_count; i++)
        if (node->acl[i].principal == 0 || node->acl[i].principal == principal)
            rights |= node->acl[i].rights;
    return rights;
}

const struct machine_handle *machine_handle(const struct machine *machine, uint64_t session,
                                            uint64_t node)
{
    const uint32_t *cell = machine_part_const(machine, machine->handle_tables_offset);
    const struct machine_handle *handles = machine_handles_const(machine);
    uint32_t at = hash_of_pair(session, node) & machine->handle_mask;
    /* unreachable: a table without a free cell */
    for (uint32_t probe = 0; probe <= machine->handle_mask && cell[at] != 0; probe++) {
        const struct machine_handle *handle = &handles[cell[at] - 1];
        if (handle->session == session && handle->node == node)
            return handle;
        at = (at + 1) & machine->handle_mask;
    }
    return NULL;
}

const struct machine_handle *machine_handle_of_session(const struct machine *machine,
                                                       const struct machine_session *session,
                                                       const struct machine_handle *handle)
{
    uint32_t next = handle == NULL ? session->handles.first : handle->link[HANDLE_IN_SESSION].next;
    return next == 0 ? NULL : &machine_handles_const(machine)[next - 1];
}

const struct machine_handle *machine_handle_of_node(const struct machine *machine,
                                                    const struct machine_node *node,
                                                    const struct machine_handle *handle)
{
    uint32_t next = handle == NULL ? node->handles.first : handle->link[HANDLE_IN_NODE].next;
    return next == 0 ? NULL : &machine_handles_const(machine)[next - 1];
}

/* --- operations --------------------------------------------------------------------------------
 */

struct request {
    struct machine_session *session; /* NULL: an operator's */
    uint32_t principal;
    bool now; /* an operator's RELEASE: without lock-delay */
    const struct entry_node *op;
    const char *path;
    const uint8_t *content;
};

static bool may(const struct request *q, const struct machine_node *node, uint32_t right)
{
    return (machine_node_rights(node, q->principal) & right) != 0;
}

static struct machine_node *writable(struct machine *machine, const struct machine_node *node)
{
    return node == NULL ? NULL : &machine_nodes(machine)[node_slot(machine, node)];
}

static struct machine_handle *handle_on(struct machine *machine, const struct request *q,
                                        uint64_t node)
{
    const struct machine_handle *handle =
        q->session == NULL ? NULL : machine_handle(machine, q->session->id, node);
    return handle == NULL ? NULL : &machine_handles(machine)[handle_slot(machine, handle)];
}

static void set_content(struct machine_node *node, const struct request *q)
{
    memset(node->content, 0, sizeof(node->content));
    memcpy(node->content, q->content, q->op->content_size);
    node->content_size = q->op->content_size;
}

/* Bytes of the parent's path: "/a" of "/a/b", "/" of "/a". */
static size_t parent_size(const char *path, size_t size)
{
    size_t at = size - 1;
    while (at > 0 && path[at] != '/') /* at most KEEL_PATH_MAX */
        at--;
    return at == 0 ? 1 : at;
}

static enum machine_status create(struct machine *machine, const struct request *q,
                                  struct machine_node **created)
{
    const struct entry_node *op = q->op;
    struct machine_node *parent = writable(
        machine, machine_node_at_path(machine, q->path, parent_size(q->path, op->path_size)));
    if (parent == NULL)
        return MACHINE_NO_NODE;
    if (!may(q, parent, NODE_WRITE))
        return MACHINE_NOT_ALLOWED;
    uint32_t slot = machine_node_room(machine);
    if (slot == MACHINE_NO_SLOT || machine->applied <= NODE_ROOT) /* that is the root's instance */
        return MACHINE_NODE_TABLE;
    struct machine_node *node = &machine_nodes(machine)[slot];
    node->id = machine->applied;
    node->parent = node_slot(machine, parent);
    node->content_generation = 1;
    node->acl_generation = 1;
    node->acl_count = parent->acl_count;
    memcpy(node->acl, parent->acl, sizeof(node->acl));
    node->ephemeral = (op->flags & NODE_EPHEMERAL) != 0;
    node->path_size = (uint8_t)op->path_size;
    memcpy(node->path, q->path, op->path_size);
    set_content(node, q);
    machine_node_enter(machine, slot);
    parent->added++;
    parent->added_index = machine->applied;
    *created = node;
    return MACHINE_DONE;
}

static void take_handle(struct machine *machine, const struct request *q,
                        const struct machine_node *node)
{
    uint32_t slot = machine_handle_room(machine);
    struct machine_handle *handle = &machine_handles(machine)[slot];
    handle->session = q->session->id;
    handle->node = node->id;
    handle->opened = machine->applied;
    handle->asked = machine->applied;
    handle->session_slot = machine_slot(machine, q->session);
    handle->node_slot = node_slot(machine, node);
    handle->events = q->op->events;
    machine_handle_enter(machine, slot);
}

/* A second open of a handle changes which events are wanted, nothing else. An operator has no
 * session, so no handle, and creates only what stays (entry_check()). */
static enum machine_status open_node(struct machine *machine, const struct request *q,
                                     uint64_t *value)
{
    const struct entry_node *op = q->op;
    struct machine_node *node =
        writable(machine, machine_node_at_path(machine, q->path, op->path_size));
    if (node != NULL && (op->flags & NODE_EXCLUSIVE) != 0)
        return MACHINE_NODE_EXISTS;
    if (node == NULL && (op->flags & NODE_CREATE) == 0)
        return MACHINE_NO_NODE;
    if (node != NULL && !may(q, node, NODE_READ))
        return MACHINE_NOT_ALLOWED;
    struct machine_handle *handle = node == NULL ? NULL : handle_on(machine, q, node->id);
    if (handle == NULL && q->session != NULL &&
        (q->session->handle_count >= machine->handles_per_session ||
         machine_handle_room(machine) == MACHINE_NO_SLOT))
        return MACHINE_HANDLE_LIMIT;
    if (node == NULL) {
        enum machine_status status = create(machine, q, &node);
        if (status != MACHINE_DONE)
            return status;
    }
    if (handle != NULL)
        handle->events = op->events;
    else if (q->session != NULL)
        take_handle(machine, q, node);
    *value = node->id;
    return MACHINE_DONE;
}

static enum machine_status close_node(struct machine *machine, const struct request *q)
{
    struct machine_handle *handle = handle_on(machine, q, q->op->node);
    if (handle == NULL)
        return MACHINE_NOT_OPEN;
    struct machine_node *node =
        handle->invalid_index != 0 ? NULL : &machine_nodes(machine)[handle->node_slot];
    if (handle->state != HANDLE_OPEN)
        machine_lock_leave(machine, handle, 0); /* the handle keeps the node */
    machine_handle_remove(machine, handle);
    if (node != NULL)
        machine_node_wither(machine, node);
    return MACHINE_DONE;
}

static enum machine_status set(struct machine *machine, const struct request *q, uint64_t *value)
{
    struct machine_node *node = writable(machine, machine_node(machine, q->op->node));
    if (node == NULL)
        return MACHINE_NO_NODE;
    if (!may(q, node, NODE_WRITE))
        return MACHINE_NOT_ALLOWED;
    if ((q->op->flags & NODE_COMPARE) != 0 && q->op->compare != node->content_generation)
        return MACHINE_CHANGED;
    set_content(node, q);
    *value = ++node->content_generation;
    node->content_index = machine->applied;
    return MACHINE_DONE;
}

static enum machine_status set_acl(struct machine *machine, const struct request *q,
                                   uint64_t *value)
{
    struct machine_node *node = writable(machine, machine_node(machine, q->op->node));
    if (node == NULL)
        return MACHINE_NO_NODE;
    if (!may(q, node, NODE_CHANGE))
        return MACHINE_NOT_ALLOWED;
    if ((q->op->flags & NODE_COMPARE) != 0 && q->op->compare != node->acl_generation)
        return MACHINE_CHANGED;
    memset(node->acl, 0, sizeof(node->acl));
    memcpy(node->acl, q->content, q->op->content_size);
    node->acl_count = (uint8_t)(q->op->content_size / sizeof(struct node_right));
    *value = ++node->acl_generation;
    return MACHINE_DONE;
}

/* A held lock keeps its node from others, and so does a lock-delay: a node of that name made anew
 * would have a lock that nobody holds (docs/leases.md). Whoever alone holds it gives it up with the
 * node. */
static enum machine_status delete_node(struct machine *machine, const struct request *q)
{
    struct machine_node *node = writable(machine, machine_node(machine, q->op->node));
    if (node == NULL)
        return MACHINE_NO_NODE;
    if (node->id == NODE_ROOT || !may(q, node, NODE_WRITE))
        return MACHINE_NOT_ALLOWED;
    if ((q->op->flags & NODE_COMPARE) != 0 && q->op->compare != node->content_generation)
        return MACHINE_CHANGED;
    if (node->child_count != 0)
        return MACHINE_NOT_EMPTY;
    struct machine_handle *own = handle_on(machine, q, node->id);
    bool holds = own != NULL && own->state == HANDLE_HOLDS && node->holders == 1;
    if (node->waiters != 0 || (node->holders != 0 && !holds) ||
        machine->log_ns < node->delay_log_ns)
        return MACHINE_LOCK_BUSY;
    if (holds)
        machine_lock_leave(machine, own, 0);
    machine_lock_settle(machine, node); /* its lock-delay is over */
    if (node->id != q->op->node)
        return MACHINE_DONE; /* nothing else kept it */
    struct machine_handle *handles = machine_handles(machine);
    while (node->handle_count > 0) { /* at most handles_max */
        uint32_t slot = node->handles.first - 1;
        handles[slot].invalid_index = machine->applied;
        handles[slot].node_slot = 0;
        machine_list_remove(&node->handles, &handles[0].link[HANDLE_IN_NODE], sizeof(*handles),
                            slot);
        node->handle_count--;
    }
    struct machine_node *parent = &machine_nodes(machine)[node->parent];
    node_remove(machine, node);
    machine_node_wither(machine, parent);
    return MACHINE_DONE;
}

static enum machine_status acquire(struct machine *machine, const struct request *q,
                                   uint64_t *value)
{
    struct machine_handle *handle = handle_on(machine, q, q->op->node);
    if (handle == NULL)
        return MACHINE_NOT_OPEN;
    if (handle->invalid_index != 0)
        return MACHINE_NO_NODE;
    if (!may(q, &machine_nodes(machine)[handle->node_slot], NODE_WRITE))
        return MACHINE_NOT_ALLOWED;
    return machine_lock_acquire(machine, handle, q->op, value);
}

static enum machine_status release(struct machine *machine, const struct request *q)
{
    if (q->session == NULL)
        return machine_lock_break(machine, writable(machine, machine_node(machine, q->op->node)),
                                  q->now);
    struct machine_handle *handle = handle_on(machine, q, q->op->node);
    if (handle == NULL)
        return MACHINE_NOT_OPEN;
    if (handle->state == HANDLE_OPEN)
        return MACHINE_NOT_HELD;
    machine_lock_leave(machine, handle, 0);
    return MACHINE_DONE;
}

enum machine_status machine_node_operate(struct machine *machine, struct machine_session *session,
                                         uint32_t principal, bool now, const uint8_t *block,
                                         uint64_t *value)
{
    struct entry_node op;
    memcpy(&op, block, sizeof(op));
    const struct request q = {.session = session,
                              .principal = principal,
                              .now = now,
                              .op = &op,
                              .path = (const char *)block + sizeof(op),
                              .content = block + sizeof(op) + op.path_size};
    *value = machine->applied;
    if (session == NULL && op.operation != NODE_OPEN) {
        const struct machine_node *node = machine_node_at_path(machine, q.path, op.path_size);
        if (node == NULL)
            return MACHINE_NO_NODE;
        op.node = node->id;
    }
    switch ((enum node_operation)op.operation) {
    case NODE_OPEN:
        return open_node(machine, &q, value);
    case NODE_CLOSE:
        return close_node(machine, &q);
    case NODE_SET:
        return set(machine, &q, value);
    case NODE_DELETE:
        return delete_node(machine, &q);
    case NODE_ACL:
        return set_acl(machine, &q, value);
    case NODE_ACQUIRE:
        return acquire(machine, &q, value);
    case NODE_RELEASE:
        return release(machine, &q);
    }
    return MACHINE_BAD_ENTRY; /* unreachable: entry_check() */
}
