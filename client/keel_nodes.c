/* The public face of nodes and locks. */
#include "client/keel_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

_Static_assert((int)KEEL_NODE_PATH_MAX == (int)KEEL_PATH_MAX, "path");
_Static_assert((int)KEEL_NODE_CONTENT_MAX == (int)KEEL_CONTENT_MAX, "content");
_Static_assert((int)KEEL_NODE_ACL_MAX == (int)KEEL_ACL_MAX, "rights");
_Static_assert((int)KEEL_CREATE == (int)NODE_CREATE, "flags");
_Static_assert((int)KEEL_EXCLUSIVE_CREATE == (int)NODE_EXCLUSIVE, "flags");
_Static_assert((int)KEEL_EPHEMERAL == (int)NODE_EPHEMERAL, "flags");
_Static_assert((int)KEEL_WANT_CONFLICT == (int)NODE_EVENT_CONFLICT, "events");
_Static_assert((int)KEEL_EXCLUSIVE == (int)LOCK_EXCLUSIVE, "modes");
_Static_assert((int)KEEL_SHARED == (int)LOCK_SHARED, "modes");
_Static_assert((int)KEEL_EVENT_INVALID == (int)PACKET_EVENT_INVALID, "events");
_Static_assert((int)KEEL_LEASE_EXPIRED == (int)LEASE_EXPIRED, "lease");
_Static_assert(sizeof(struct keel_right_of) == sizeof(struct node_right), "rights");

/* --- operations: each takes a number -----------------------------------------------------------
 */

static int operate(struct keel *keel, const struct entry_node *op, const char *path,
                   const void *content, uint64_t *number)
{
    return engine_operate(keel->engine, op, path, content, number);
}

int keel_node_open(struct keel *keel, const char *path, uint32_t flags, uint32_t wants,
                   const void *content, size_t size, uint64_t *number)
{
    bool creates = (flags & KEEL_CREATE) != 0;
    if (path == NULL || !entry_path_ok(path, strlen(path)) || size > KEEL_CONTENT_MAX ||
        wants > NODE_EVENTS_ALL || (!creates && (flags != 0 || size != 0)) ||
        flags > (KEEL_CREATE | KEEL_EXCLUSIVE_CREATE | KEEL_EPHEMERAL))
        return KEEL_ARGUMENT;
    const struct entry_node op = {.operation = NODE_OPEN,
                                  .events = (uint8_t)wants,
                                  .flags = (uint8_t)flags,
                                  .path_size = (uint16_t)strlen(path),
                                  .content_size = (uint16_t)size};
    return operate(keel, &op, path, content, number);
}

int keel_node_close(struct keel *keel, uint64_t node, uint64_t *number)
{
    const struct entry_node op = {.operation = NODE_CLOSE, .node = node};
    return node == 0 ? KEEL_ARGUMENT : operate(keel, &op, "", "", number);
}

static uint8_t compare(uint64_t generation)
{
    return generation != 0 ? NODE_COMPARE : 0;
}

int keel_node_set(struct keel *keel, uint64_t node, const void *content, size_t size,
                  uint64_t generation, uint64_t *number)
{
    if (node == 0 || size > KEEL_CONTENT_MAX)
        return KEEL_ARGUMENT;
    const struct entry_node op = {.operation = NODE_SET,
                                  .flags = compare(generation),
                                  .content_size = (uint16_t)size,
                                  .node = node,
                                  .compare = generation};
    return operate(keel, &op, "", content, number);
}

int keel_node_delete(struct keel *keel, uint64_t node, uint64_t generation, uint64_t *number)
{
    const struct entry_node op = {.operation = NODE_DELETE,
                                  .flags = compare(generation),
                                  .node = node,
                                  .compare = generation};
    return node == 0 ? KEEL_ARGUMENT : operate(keel, &op, "", "", number);
}

int keel_node_acl(struct keel *keel, uint64_t node, const struct keel_right_of *rights,
                  size_t count, uint64_t generation, uint64_t *number)
{
    if (node == 0 || count > KEEL_ACL_MAX)
        return KEEL_ARGUMENT;
    for (size_t i = 0; i < count; i++)
        if ((rights[i].principal != 0 && rights[i].principal < KEEL_CLIENT_MIN) ||
            rights[i].rights == 0 || rights[i].rights > (KEEL_READ | KEEL_WRITE | KEEL_CHANGE_ACL))
            return KEEL_ARGUMENT;
    const struct entry_node op = {.operation = NODE_ACL,
                                  .flags = compare(generation),
                                  .content_size = (uint16_t)(count * sizeof(*rights)),
                                  .node = node,
                                  .compare = generation};
    return operate(keel, &op, "", rights, number);
}

int keel_acquire(struct keel *keel, uint64_t node, const struct keel_lock_options *options,
                 uint64_t *number)
{
    if (node == 0 || (options->mode != KEEL_EXCLUSIVE && options->mode != KEEL_SHARED))
        return KEEL_ARGUMENT;
    const struct entry_node op = {.operation = NODE_ACQUIRE,
                                  .mode = (uint8_t)options->mode,
                                  .flags = options->only_now ? NODE_TRY : 0,
                                  .node = node,
                                  .delay_ms = options->delay_ms,
                                  .wait_ms =
                                      options->wait_ms == 0 ? NODE_WAIT_ENDLESS : options->wait_ms};
    return operate(keel, &op, "", "", number);
}

int keel_release(struct keel *keel, uint64_t node, uint64_t *number)
{
    const struct entry_node op = {.operation = NODE_RELEASE, .node = node};
    return node == 0 ? KEEL_ARGUMENT : operate(keel, &op, "", "", number);
}

static bool sequencer_of(const struct keel_sequencer *sequencer, struct entry_sequencer *to)
{
    *to = (struct entry_sequencer){.node = sequencer->node,
                                   .generation = sequencer->generation,
                                   .mode = (uint8_t)sequencer->mode};
    return sequencer->node != 0 && sequencer->generation != 0 &&
           (sequencer->mode == KEEL_EXCLUSIVE || sequencer->mode == KEEL_SHARED);
}

int keel_submit_fenced(struct keel *keel, const void *payload, size_t size,
                       const struct keel_sequencer *sequencer, uint64_t *number)
{
    struct entry_sequencer shown;
    if (!sequencer_of(sequencer, &shown))
        return KEEL_ARGUMENT;
    return engine_submit_fenced(keel->engine, payload, size, &shown, number);
}

/* --- sequencers as text ------------------------------------------------------------------------
 */

void keel_sequencer_text(const struct keel_sequencer *sequencer,
                         char text[KEEL_SEQUENCER_TEXT_SIZE])
{
    snprintf(text, KEEL_SEQUENCER_TEXT_SIZE, "%s:%" PRIu64 ":%" PRIu64,
             sequencer->mode == KEEL_SHARED ? "shared" : "exclusive", sequencer->node,
             sequencer->generation);
}

bool keel_sequencer_parse(struct keel_sequencer *sequencer, const char *text)
{
    int end = 0;
    struct keel_sequencer read = {.mode = KEEL_EXCLUSIVE};
    struct entry_sequencer checked;
    if (sscanf(text, "exclusive:%" SCNu64 ":%" SCNu64 "%n", &read.node, &read.generation, &end) !=
        2) {
        read.mode = KEEL_SHARED;
        if (sscanf(text, "shared:%" SCNu64 ":%" SCNu64 "%n", &read.node, &read.generation, &end) !=
            2)
            return false;
    }
    if (text[end] != 0 || !sequencer_of(&read, &checked))
        return false;
    *sequencer = read;
    return true;
}

/* --- events and lease --------------------------------------------------------------------------
 */

const char *keel_event_name(int kind)
{
    switch ((enum keel_event_kind)kind) {
    case KEEL_EVENT_CONTENT:
        return "content-changed";
    case KEEL_EVENT_ADDED:
        return "child-added";
    case KEEL_EVENT_REMOVED:
        return "child-removed";
    case KEEL_EVENT_LOCKED:
        return "lock-acquired";
    case KEEL_EVENT_CONFLICT:
        return "conflicting-request";
    case KEEL_EVENT_GRANTED:
        return "lock-granted";
    case KEEL_EVENT_ENDED:
        return "lock-lost";
    case KEEL_EVENT_INVALID:
        return "handle-invalid";
    case KEEL_EVENT_LEADER:
        return "leader-changed";
    case KEEL_EVENT_JEOPARDY:
        return "jeopardy";
    case KEEL_EVENT_SAFE:
        return "safe";
    case KEEL_EVENT_EXPIRED:
        return "expired";
    }
    return "unknown";
}

bool keel_next_event(struct keel *keel, struct keel_event *event)
{
    return engine_event(keel->engine, event);
}

enum keel_lease_state keel_lease(struct keel *keel, uint64_t *left_ns)
{
    struct lease *lease = &keel->engine->lease;
    uint64_t now_ns = net_now_ns();
    enum lease_state state = lease_look(lease, now_ns);
    if (keel->engine->phase == ENGINE_FAILED)
        state = LEASE_EXPIRED; /* shut out, ended, or expired */
    else if (keel->engine->phase != ENGINE_READY || keel->engine->end_wanted)
        state = LEASE_NONE;
    if (left_ns != NULL)
        *left_ns = state == LEASE_SAFE ? lease->until_ns - now_ns : 0;
    return (enum keel_lease_state)state;
}

/* --- blocking forms ----------------------------------------------------------------------------
 */

static int64_t left(uint64_t end_ns)
{
    uint64_t now_ns = net_now_ns();
    return end_ns > now_ns ? (int64_t)(end_ns - now_ns) : 0;
}

static uint64_t end_of(int64_t timeout_ns)
{
    return timeout_ns < 0 ? INT64_MAX : net_now_ns() + (uint64_t)timeout_ns;
}

int keel_wait(struct keel *keel, uint64_t number, int64_t timeout_ns, struct keel_result *result)
{
    uint64_t end_ns = end_of(timeout_ns);
    for (;;) { /* until then */
        while (keel_next_result(keel, result))
            if (result->number == number)
                return result->status == KEEL_SEQUENCED || result->status == KEEL_DONE ||
                               result->status == KEEL_QUEUED
                           ? KEEL_OK
                           : KEEL_REFUSED_NODE;
        int64_t rest_ns = left(end_ns);
        if (rest_ns == 0)
            return KEEL_TIMEOUT;
        int count = keel_poll_results(keel, rest_ns);
        if (count < 0)
            return count;
    }
}

/* Until this session's place in the queue has become the lock, or is no more. */
static int wait_grant(struct keel *keel, uint64_t node, struct keel_result *result)
{
    struct keel_event event;
    for (;;) { /* the cluster ends it */
        while (keel_next_event(keel, &event)) {
            if (event.node != node)
                continue;
            if (event.kind == KEEL_EVENT_GRANTED) {
                result->feed = event.value;
                result->status = KEEL_DONE;
                return KEEL_OK;
            }
            if (event.kind == KEEL_EVENT_ENDED || event.kind == KEEL_EVENT_INVALID) {
                result->status = event.kind == KEEL_EVENT_ENDED ? KEEL_LOCK_BUSY : KEEL_NO_NODE;
                return KEEL_REFUSED_NODE;
            }
        }
        int count = keel_poll(keel, -1);
        if (count < 0)
            return count;
    }
}

int keel_lock(struct keel *keel, const char *path, const struct keel_lock_options *options,
              struct keel_sequencer *sequencer, struct keel_result *result)
{
    uint64_t number;
    int error = keel_node_open(keel, path, KEEL_CREATE, 0, "", 0, &number);
    if (error == KEEL_OK)
        error = keel_wait(keel, number, -1, result);
    if (error != KEEL_OK)
        return error;
    uint64_t node = result->feed;
    error = keel_acquire(keel, node, options, &number);
    if (error == KEEL_OK)
        error = keel_wait(keel, number, -1, result);
    if (error == KEEL_OK && result->status == KEEL_QUEUED)
        error = wait_grant(keel, node, result);
    if (error == KEEL_OK)
        *sequencer = (struct keel_sequencer){
            .node = node, .generation = result->feed, .mode = options->mode};
    return error;
}

static int ask(struct keel *keel, const struct packet_query *query, const char *path,
               int64_t timeout_ns, struct packet_answer *head, const uint8_t **bytes)
{
    uint64_t end_ns = end_of(timeout_ns);
    size_t size;
    int error = engine_ask(keel->engine, query, path);
    const uint8_t *answer = NULL;
    while (error == KEEL_OK && (answer = engine_answer(keel->engine, &size)) == NULL) {
        int64_t rest_ns = left(end_ns); /* until then */
        if (rest_ns == 0)
            return KEEL_TIMEOUT;
        int count = keel_poll_results(keel, rest_ns < 20000000 ? rest_ns : 20000000);
        error = count < 0 ? count : KEEL_OK;
    }
    if (error != KEEL_OK)
        return error;
    memcpy(head, answer, sizeof(*head));
    *bytes = answer + sizeof(*head);
    return (int)head->status == (int)KEEL_DONE ? KEEL_OK : KEEL_REFUSED_NODE;
}

static bool fill_node(struct keel_node *node, const uint8_t *bytes, size_t size)
{
    struct packet_node told;
    if (size < sizeof(told))
        return false;
    memcpy(&told, bytes, sizeof(told));
    if (told.path_size > KEEL_PATH_MAX || told.content_size > KEEL_CONTENT_MAX ||
        told.acl_count > KEEL_ACL_MAX ||
        size != sizeof(told) + told.path_size + told.content_size +
                    told.acl_count * sizeof(struct node_right))
        return false;
    *node = (struct keel_node){.node = told.node,
                               .content_generation = told.content_generation,
                               .acl_generation = told.acl_generation,
                               .lock_generation = told.lock_generation,
                               .holder = told.holder,
                               .lock_delay_ms = told.delay_ms,
                               .children = told.child_count,
                               .handles = told.handle_count,
                               .holders = told.holders,
                               .waiters = told.waiters,
                               .lock_mode = told.lock_mode,
                               .ephemeral = told.ephemeral != 0,
                               .size = told.content_size,
                               .rights_count = told.acl_count};
    bytes += sizeof(told);
    memcpy(node->path, bytes, told.path_size);
    memcpy(node->content, bytes + told.path_size, told.content_size);
    memcpy(node->rights, bytes + told.path_size + told.content_size,
           told.acl_count * sizeof(struct node_right));
    return true;
}

int keel_node_get(struct keel *keel, const char *path, int64_t timeout_ns, struct keel_node *node,
                  int *status)
{
    struct packet_answer head = {0};
    const uint8_t *bytes;
    if (path == NULL || !entry_path_ok(path, strlen(path)))
        return KEEL_ARGUMENT;
    const struct packet_query query = {.kind = PACKET_QUERY_NODE,
                                       .path_size = (uint16_t)strlen(path)};
    int error = ask(keel, &query, path, timeout_ns, &head, &bytes);
    if (status != NULL)
        *status = head.status;
    if (error != KEEL_OK)
        return error;
    return fill_node(node, bytes, head.size) ? KEEL_OK : KEEL_SYSTEM;
}

int keel_node_children(struct keel *keel, const char *path, uint64_t *after, int64_t timeout_ns,
                       struct keel_child *children, size_t max, int *status)
{
    struct packet_answer head = {0};
    const uint8_t *bytes;
    if (path == NULL || !entry_path_ok(path, strlen(path)) || max == 0)
        return KEEL_ARGUMENT;
    const struct packet_query query = {
        .kind = PACKET_QUERY_CHILDREN, .after = *after, .path_size = (uint16_t)strlen(path)};
    int error = ask(keel, &query, path, timeout_ns, &head, &bytes);
    if (status != NULL)
        *status = head.status;
    if (error != KEEL_OK)
        return error;
    size_t at = 0, count = 0;
    struct packet_child told;
    while (at + sizeof(told) <= head.size && count < max) { /* at most a packet full */
        memcpy(&told, bytes + at, sizeof(told));
        at += sizeof(told);
        if (told.path_size > KEEL_PATH_MAX || told.path_size > head.size - at)
            return KEEL_SYSTEM;
        children[count] = (struct keel_child){
            .node = told.node, .lock_mode = told.lock_mode, .ephemeral = told.ephemeral != 0};
        memcpy(children[count++].path, bytes + at, told.path_size);
        at += told.path_size;
    }
    *after = count > 0 && (head.more || at < head.size) ? children[count - 1].node : 0;
    return (int)count;
}

int keel_sequencer_check(struct keel *keel, const struct keel_sequencer *sequencer,
                         int64_t timeout_ns, bool *holds)
{
    struct packet_answer head = {0};
    const uint8_t *bytes;
    struct packet_query query = {.kind = PACKET_QUERY_CHECK};
    if (!sequencer_of(sequencer, &query.sequencer))
        return KEEL_ARGUMENT;
    int error = ask(keel, &query, "", timeout_ns, &head, &bytes);
    *holds = error == KEEL_OK;
    return error == KEEL_REFUSED_NODE ? KEEL_OK : error;
}
