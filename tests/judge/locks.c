#include "judge.h"

#include <stdlib.h>
#include <string.h>

/* Nodes, handles and locks, decided anew from docs/leases.md. Nodes and handles that are gone stay
 * in their arrays: a log is finite, and nothing here has to be found again by its place. Time alone
 * changes nothing: a lock is looked at where an entry says so, see settle().
 */

enum { READ = 1, WRITE = 2, CHANGE = 4 };
enum state { OPENED, HOLDS, WAITS };

#define WAIT_ENDLESS UINT32_MAX

struct handle {
    struct session *session;
    struct node *node; /* NULL: deleted under it */
    enum state state;
    uint8_t mode;
    uint32_t delay_ms; /* as chosen at the last request that was judged anew */
    uint64_t node_id, deadline_ns;
    size_t hold;                                   /* HOLDS: place in holds */
    uint32_t next_of_session, next_of_node, after; /* 1 + place, 0: none; after: in the queue */
};

struct node {
    char path[PATH_MAX_SIZE + 1];
    struct node *parent; /* NULL: the root */
    uint64_t id, content_generation, rights_generation, generation;
    uint64_t delay_ns; /* log time at which the lock-delay is over; 0: none */
    uint32_t handles, handle_count, children, holders, waiters, queue;
    uint32_t rights[RIGHTS_MAX][2];
    uint32_t rights_count;
    uint8_t mode;
    bool ephemeral, gone, listed;
};

struct locks {
    const struct genesis_facts *genesis;
    struct report *report;
    uint64_t index, log_ns;
    struct node **node; /* living and gone, by their creation */
    size_t node_count, node_cap, living;
    struct handle *handle;
    size_t handle_count, handle_cap, handles_open;
    struct table by_id;   /* instance -> place */
    struct table by_path; /* (hash, size) of a path -> its latest node's place */
    struct table by_pair; /* (session, instance) -> 1 + place of the handle, 0: closed */
    struct node **due;    /* all that are unsettled, and some that were */
    size_t due_count, due_cap;
    struct holds holds;
};

struct request {
    struct session *session;
    uint32_t principal;
    const uint8_t *block, *path, *content;
    size_t path_size, content_size;
    uint64_t node, compare;
    uint8_t operation, mode, flags;
    bool now;
};

/* --- the tree
 * -------------------------------------------------------------------------------------- */

static struct node *node_add(struct locks *locks, struct node *parent, const uint8_t *path,
                             size_t size, uint64_t id)
{
    bool added;
    struct node *node = zalloc(1, sizeof(struct node));
    locks->node = grow(locks->node, &locks->node_cap, locks->node_count + 1, sizeof(struct node *));
    memcpy(node->path, path, size);
    node->parent = parent;
    node->id = id;
    node->content_generation = node->rights_generation = 1;
    if (parent != NULL) {
        memcpy(node->rights, parent->rights, sizeof(node->rights));
        node->rights_count = parent->rights_count;
        parent->children++;
    }
    table_add(&locks->by_id, id, 0, locks->node_count, &added);
    *table_add(&locks->by_path, sha256_head(path, size), size, 0, &added) = locks->node_count;
    locks->node[locks->node_count++] = node;
    locks->living++;
    return node;
}

struct locks *locks_new(const struct genesis_facts *genesis, struct report *report)
{
    struct locks *locks = zalloc(1, sizeof(struct locks));
    locks->genesis = genesis;
    locks->report = report;
    if (genesis->nodes_max == 0)
        return locks;
    struct node *root = node_add(locks, NULL, (const uint8_t *)"/", 1, 1);
    root->rights[0][1] = READ | WRITE | CHANGE;
    root->rights_count = 1;
    return locks;
}

void locks_at(struct locks *locks, uint64_t index, uint64_t log_ns)
{
    locks->index = index;
    locks->log_ns = log_ns;
}

struct holds *locks_holds(struct locks *locks)
{
    return &locks->holds;
}

static struct node *node_of_id(const struct locks *locks, uint64_t id)
{
    const uint64_t *at = table_find(&locks->by_id, id, 0);
    return at == NULL || locks->node[*at]->gone ? NULL : locks->node[*at];
}

static struct node *node_of_path(const struct locks *locks, const uint8_t *path, size_t size)
{
    const uint64_t *at = table_find(&locks->by_path, sha256_head(path, size), size);
    return at == NULL || locks->node[*at]->gone ? NULL : locks->node[*at];
}

static bool allowed(const struct request *q, const struct node *node, uint32_t right)
{
    if (q->principal < CLIENTS_FROM)
        return true;
    uint32_t rights = 0;
    for (uint32_t i = 0; i < node->rights_count; i++)
        if (node->rights[i][0] == 0 || node->rights[i][0] == q->principal)
            rights |= node->rights[i][1];
    return (rights & right) != 0;
}

static bool unsettled(const struct node *node)
{
    return node->waiters != 0 || node->delay_ns != 0;
}

static void node_drop(struct locks *locks, struct node *node)
{
    node->gone = true;
    node->parent->children--;
    locks->living--;
}

/* An ephemeral node goes with its last handle, and maybe its parent with it; not while it has
 * children, nor before somebody has seen that its lock-delay is over. */
static void wither(struct locks *locks, struct node *node)
{
    while (node->ephemeral && node->handle_count == 0 && node->children == 0 && !unsettled(node)) {
        struct node *parent = node->parent;
        node_drop(locks, node);
        node = parent;
    }
}

/* --- handles
 * -------------------------------------------------------------------------------------- */

static struct handle *handle_of(const struct locks *locks, const struct request *q, uint64_t node)
{
    if (q->session == NULL)
        return NULL;
    const uint64_t *at = table_find(&locks->by_pair, q->session->id, node);
    return at == NULL || *at == 0 ? NULL : &locks->handle[*at - 1];
}

static void handle_add(struct locks *locks, struct session *session, struct node *node)
{
    bool added;
    locks->handle =
        grow(locks->handle, &locks->handle_cap, locks->handle_count + 1, sizeof(struct handle));
    uint32_t place = (uint32_t)++locks->handle_count;
    locks->handle[place - 1] = (struct handle){.session = session,
                                               .node = node,
                                               .node_id = node->id,
                                               .next_of_session = session->handles,
                                               .next_of_node = node->handles};
    session->handles = node->handles = place;
    session->handle_count++;
    node->handle_count++;
    locks->handles_open++;
    *table_add(&locks->by_pair, session->id, node->id, 0, &added) = place;
}

static void handle_drop(struct locks *locks, struct handle *handle)
{
    struct session *session = handle->session;
    struct node *node = handle->node;
    uint32_t place = (uint32_t)(handle - locks->handle) + 1;
    uint32_t *link = &session->handles;
    while (*link != place)
        link = &locks->handle[*link - 1].next_of_session;
    *link = handle->next_of_session;
    session->handle_count--;
    locks->handles_open--;
    *table_find(&locks->by_pair, session->id, handle->node_id) = 0;
    if (node == NULL)
        return;
    link = &node->handles;
    while (*link != place)
        link = &locks->handle[*link - 1].next_of_node;
    *link = handle->next_of_node;
    node->handle_count--;
    wither(locks, node);
}

/* --- locks
 * ---------------------------------------------------------------------------------------- */

static uint64_t stretched(const struct locks *locks, uint64_t ms)
{
    return locks->log_ns + ms * (1000000 + (uint64_t)locks->genesis->rho_ppm);
}

static bool is_free(const struct locks *locks, const struct node *node, uint8_t mode)
{
    bool joins = mode == SHARED && node->mode == SHARED;
    return locks->log_ns >= node->delay_ns && (node->holders == 0 || joins);
}

static void grant(struct locks *locks, struct handle *handle, uint8_t mode)
{
    struct node *node = handle->node;
    if (node->holders++ == 0) {
        node->mode = mode;
        node->generation = locks->index;
        node->delay_ns = 0;
    }
    struct holds *holds = &locks->holds;
    holds->hold = grow(holds->hold, &holds->cap, holds->count + 1, sizeof(struct hold));
    holds->hold[holds->count] = (struct hold){.path = node->path,
                                              .session = handle->session->id,
                                              .generation = node->generation,
                                              .from = locks->index,
                                              .from_ns = locks->log_ns,
                                              .mode = mode};
    handle->state = HOLDS;
    handle->mode = mode;
    handle->hold = holds->count++;
    locks->report->counts.grants++;
}

static void unqueue(struct locks *locks, struct handle *handle)
{
    struct node *node = handle->node;
    uint32_t *link = &node->queue;
    while (&locks->handle[*link - 1] != handle)
        link = &locks->handle[*link - 1].after;
    *link = handle->after;
    handle->after = 0;
    handle->state = OPENED;
    node->waiters--;
}

static void list_due(struct locks *locks, struct node *node)
{
    if (node->listed || !unsettled(node))
        return;
    locks->due = grow(locks->due, &locks->due_cap, locks->due_count + 1, sizeof(struct node *));
    locks->due[locks->due_count++] = node;
    node->listed = true;
}

/* What an entry that looks at a lock finds changed by time, or by the entry: a lock-delay that is
 * over, then from the front of the queue whose time is over and who may have the lock. */
static void settle(struct locks *locks, struct node *node)
{
    if (locks->log_ns >= node->delay_ns)
        node->delay_ns = 0;
    while (node->queue != 0) {
        struct handle *first = &locks->handle[node->queue - 1];
        uint8_t mode = first->mode;
        bool late = locks->log_ns >= first->deadline_ns;
        if (!late && !is_free(locks, node, mode))
            break;
        unqueue(locks, first);
        if (!late)
            grant(locks, first, mode);
    }
    list_due(locks, node);
    wither(locks, node);
}

/* A hold is over. The lock is delayed for `ms`: so long its session may believe that it holds it.
 */
static void unhold(struct locks *locks, struct handle *handle, uint32_t ms)
{
    struct node *node = handle->node;
    uint64_t until = ms == 0 ? 0 : stretched(locks, ms);
    struct hold *hold = &locks->holds.hold[handle->hold];
    hold->to = locks->index;
    hold->believes_ns = until;
    handle->state = OPENED;
    if (--node->holders == 0)
        node->mode = 0;
    if (until > node->delay_ns)
        node->delay_ns = until;
}

/* Gives up a lock, or the place in its queue; nobody else gets the lock for `ms`. */
static void leave(struct locks *locks, struct handle *handle, uint32_t ms)
{
    struct node *node = handle->node;
    if (handle->state == WAITS)
        unqueue(locks, handle);
    else
        unhold(locks, handle, ms);
    settle(locks, node);
}

static uint32_t larger(uint32_t a, uint32_t b)
{
    return a > b ? a : b;
}

void locks_end(struct locks *locks, struct session *session, enum leaving leaving)
{
    while (session->handles != 0) {
        struct handle *handle = &locks->handle[session->handles - 1];
        uint32_t ms = leaving == LEAVES_CLEAN ? 0 : handle->delay_ms;
        if (leaving == LEAVES_TAKEN)
            ms = larger(ms, session->ttl_ms);
        if (handle->state != OPENED)
            leave(locks, handle, ms);
        handle_drop(locks, handle);
    }
}

bool locks_hold(const struct locks *locks, const uint8_t *sequencer)
{
    const struct node *node = node_of_id(locks, le64(sequencer));
    return node != NULL && node->holders > 0 && node->generation == le64(sequencer + 8) &&
           node->mode == sequencer[16];
}

void locks_due(struct locks *locks)
{
    size_t kept = 0;
    for (size_t i = 0; i < locks->due_count; i++) {
        struct node *node = locks->due[i];
        uint32_t next = node->queue;
        while (next != 0) { /* everybody whose time is over, not only at the front */
            struct handle *handle = &locks->handle[next - 1];
            next = handle->after;
            if (locks->log_ns >= handle->deadline_ns)
                unqueue(locks, handle);
        }
        if (!node->gone)
            settle(locks, node);
        node->listed = unsettled(node);
        if (node->listed)
            locks->due[kept++] = node;
    }
    locks->due_count = kept;
}

/* --- operations
 * ----------------------------------------------------------------------------------- */

static uint8_t create(struct locks *locks, const struct request *q, struct node **node)
{
    size_t size = q->path_size;
    do
        size--;
    while (size > 0 && q->path[size] != '/');
    struct node *parent = node_of_path(locks, q->path, size == 0 ? 1 : size);
    if (parent == NULL)
        return STATUS_NO_NODE;
    if (!allowed(q, parent, WRITE))
        return STATUS_NOT_ALLOWED;
    if (locks->living >= locks->genesis->nodes_max)
        return STATUS_NODES_FULL;
    *node = node_add(locks, parent, q->path, q->path_size, locks->index);
    (*node)->ephemeral = (q->flags & FLAG_EPHEMERAL) != 0;
    return STATUS_DONE;
}

static uint8_t open_node(struct locks *locks, const struct request *q, uint64_t *value)
{
    const struct genesis_facts *g = locks->genesis;
    struct node *node = node_of_path(locks, q->path, q->path_size);
    if (node != NULL && (q->flags & FLAG_ANEW) != 0)
        return STATUS_NODE_EXISTS;
    if (node == NULL && (q->flags & FLAG_CREATE) == 0)
        return STATUS_NO_NODE;
    if (node != NULL && !allowed(q, node, READ))
        return STATUS_NOT_ALLOWED;
    bool wants = q->session != NULL && (node == NULL || handle_of(locks, q, node->id) == NULL);
    if (wants &&
        (q->session->handle_count >= g->handles_each || locks->handles_open >= g->handles_max))
        return STATUS_HANDLE_LIMIT;
    uint8_t status = node == NULL ? create(locks, q, &node) : STATUS_DONE;
    if (status != STATUS_DONE)
        return status;
    if (wants)
        handle_add(locks, q->session, node);
    *value = node->id;
    return STATUS_DONE;
}

static uint8_t close_node(struct locks *locks, const struct request *q)
{
    struct handle *handle = handle_of(locks, q, q->node);
    if (handle == NULL)
        return STATUS_NOT_OPEN;
    if (handle->state != OPENED)
        leave(locks, handle, 0);
    handle_drop(locks, handle);
    return STATUS_DONE;
}

/* Content or access list: of both only the generation shows, and who may do what. */
static uint8_t change(struct locks *locks, const struct request *q, uint64_t *value)
{
    bool rights = q->operation == NODE_RIGHTS;
    struct node *node = node_of_id(locks, q->node);
    if (node == NULL)
        return STATUS_NO_NODE;
    if (!allowed(q, node, rights ? CHANGE : WRITE))
        return STATUS_NOT_ALLOWED;
    uint64_t *generation = rights ? &node->rights_generation : &node->content_generation;
    if ((q->flags & FLAG_COMPARE) != 0 && q->compare != *generation)
        return STATUS_CHANGED;
    *value = ++*generation;
    if (!rights)
        return STATUS_DONE;
    node->rights_count = (uint32_t)(q->content_size / 8);
    for (uint32_t i = 0; i < node->rights_count; i++) {
        node->rights[i][0] = le32(q->content + 8 * i);
        node->rights[i][1] = le32(q->content + 8 * i + 4);
    }
    return STATUS_DONE;
}

static uint8_t delete_node(struct locks *locks, const struct request *q)
{
    struct node *node = node_of_id(locks, q->node);
    if (node == NULL)
        return STATUS_NO_NODE;
    if (node->parent == NULL || !allowed(q, node, WRITE))
        return STATUS_NOT_ALLOWED;
    if ((q->flags & FLAG_COMPARE) != 0 && q->compare != node->content_generation)
        return STATUS_CHANGED;
    if (node->children != 0)
        return STATUS_NOT_EMPTY;
    struct handle *own = handle_of(locks, q, node->id);
    uint32_t others = node->holders - (own != NULL && own->state == HOLDS);
    if (others != 0 || node->waiters != 0 || locks->log_ns < node->delay_ns)
        return STATUS_BUSY;
    if (node->holders != 0)
        leave(locks, own, 0);
    node->delay_ns = 0;
    while (node->handles != 0) {
        struct handle *handle = &locks->handle[node->handles - 1];
        node->handles = handle->next_of_node;
        handle->node = NULL;
        node->handle_count--;
    }
    struct node *parent = node->parent;
    node_drop(locks, node);
    wither(locks, parent);
    return STATUS_DONE;
}

static uint8_t enqueue(struct locks *locks, const struct request *q, struct handle *handle)
{
    struct node *node = handle->node;
    uint32_t wait_ms = le32(q->block + 28);
    if (node->waiters >= locks->genesis->waiters_max)
        return STATUS_WAITER_LIMIT;
    uint32_t *link = &node->queue;
    while (*link != 0)
        link = &locks->handle[*link - 1].after;
    *link = (uint32_t)(handle - locks->handle) + 1;
    node->waiters++;
    handle->state = WAITS;
    handle->mode = q->mode;
    handle->deadline_ns = wait_ms == WAIT_ENDLESS ? UINT64_MAX : stretched(locks, wait_ms);
    list_due(locks, node);
    return STATUS_QUEUED;
}

static uint8_t acquire(struct locks *locks, const struct request *q, uint64_t *value)
{
    struct handle *handle = handle_of(locks, q, q->node);
    if (handle == NULL)
        return STATUS_NOT_OPEN;
    struct node *node = handle->node;
    if (node == NULL)
        return STATUS_NO_NODE;
    if (!allowed(q, node, WRITE))
        return STATUS_NOT_ALLOWED;
    if (handle->state != OPENED && handle->mode != q->mode)
        return STATUS_BUSY;
    if (handle->state == WAITS)
        return STATUS_QUEUED;
    if (handle->state == OPENED) {
        uint32_t delay_ms = le32(q->block + 24);
        uint32_t most = locks->genesis->lock_delay_max_ms;
        settle(locks, node); /* who waits goes first */
        handle->delay_ms = delay_ms < most ? delay_ms : most;
        if (node->waiters != 0 || !is_free(locks, node, q->mode))
            return (q->flags & FLAG_TRY) != 0 ? STATUS_BUSY : enqueue(locks, q, handle);
        grant(locks, handle, q->mode);
    }
    *value = node->generation;
    return STATUS_DONE;
}

/* Of all holders, as if their sessions had been killed; with `now` the delay is over at once, that
 * of an earlier holder too. */
static uint8_t break_lock(struct locks *locks, const struct request *q)
{
    struct node *node = node_of_id(locks, q->node);
    if (node == NULL)
        return STATUS_NO_NODE;
    if (node->holders == 0 && !(q->now && locks->log_ns < node->delay_ns))
        return STATUS_NOT_HELD;
    for (uint32_t next = node->handles; next != 0;) {
        struct handle *handle = &locks->handle[next - 1];
        next = handle->next_of_node;
        if (handle->state == HOLDS)
            unhold(locks, handle, larger(handle->delay_ms, handle->session->ttl_ms));
    }
    if (q->now) {
        holds_freed(&locks->holds, node->path, locks->log_ns);
        node->delay_ns = 0;
    }
    settle(locks, node);
    return STATUS_DONE;
}

static uint8_t release(struct locks *locks, const struct request *q)
{
    if (q->session == NULL)
        return break_lock(locks, q);
    struct handle *handle = handle_of(locks, q, q->node);
    if (handle == NULL)
        return STATUS_NOT_OPEN;
    if (handle->state == OPENED)
        return STATUS_NOT_HELD;
    leave(locks, handle, 0);
    return STATUS_DONE;
}

uint8_t locks_operate(struct locks *locks, struct session *session, uint32_t principal, bool now,
                      const uint8_t *block, uint64_t *value)
{
    struct request q = {.session = session,
                        .principal = principal,
                        .block = block,
                        .path = block + BLOCK_HEAD,
                        .path_size = le16(block + 4),
                        .content = block + BLOCK_HEAD + le16(block + 4),
                        .content_size = le16(block + 6),
                        .node = le64(block + 8),
                        .compare = le64(block + 16),
                        .operation = block[0],
                        .mode = block[1],
                        .flags = block[3],
                        .now = now};
    *value = locks->index;
    if (session == NULL && q.operation != NODE_OPEN) { /* operators name nodes by their paths */
        const struct node *named = node_of_path(locks, q.path, q.path_size);
        if (named == NULL)
            return STATUS_NO_NODE;
        q.node = named->id;
    }
    if (q.operation == NODE_OPEN)
        return open_node(locks, &q, value);
    if (q.operation == NODE_CLOSE)
        return close_node(locks, &q);
    if (q.operation == NODE_DELETE)
        return delete_node(locks, &q);
    if (q.operation == NODE_ACQUIRE)
        return acquire(locks, &q, value);
    if (q.operation == NODE_RELEASE)
        return release(locks, &q);
    return change(locks, &q, value);
}
