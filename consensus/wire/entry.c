#include "consensus/wire/entry.h"

#include <string.h>

static bool all_zero(const void *bytes, size_t size)
{
    const uint8_t *b = bytes;
    uint8_t seen = 0;
    for (size_t i = 0; i < size; i++)
        seen |= b[i];
    return seen == 0;
}

static bool graphic(char c)
{
    return c > ' ' && c < 0x7f;
}

bool entry_name_ok(const char *name)
{
    size_t length = 0;
    while (length < KEEL_NAME_MAX && graphic(name[length]))
        length++;
    return length > 0 && all_zero(name + length, KEEL_NAME_MAX + 1 - length);
}

bool entry_day_name_ok(const char *name)
{
    size_t length = 0;
    while (length < KEEL_DAY_NAME_SIZE && graphic(name[length]))
        length++;
    if (length == 0)
        return false;
    while (length < KEEL_DAY_NAME_SIZE && name[length] == ' ')
        length++;
    return length == KEEL_DAY_NAME_SIZE;
}

static bool sequencer_ok(const uint8_t *bytes)
{
    struct entry_sequencer sequencer;
    memcpy(&sequencer, bytes, sizeof(sequencer));
    return sequencer.node != 0 && sequencer.generation != 0 &&
           (sequencer.mode == LOCK_EXCLUSIVE || sequencer.mode == LOCK_SHARED) &&
           all_zero(sequencer.reserved, sizeof(sequencer.reserved));
}

bool entry_messages_check(const void *body, size_t size)
{
    struct entry_messages head;
    if (size < sizeof(head))
        return false;
    memcpy(&head, body, sizeof(head));
    size_t tail = (head.flags & ENTRY_FENCED) != 0 ? KEEL_SEQUENCER_SIZE : 0;
    if (head.bytes + tail != size - sizeof(head) || head.bytes + tail > KEEL_BLOCKS_MAX ||
        (head.flags & ~ENTRY_FENCED) != 0 || head.reserved != 0 || head.count == 0 ||
        head.count > KEEL_SESSION_WINDOW_MAX || head.number == 0 || head.number > ENTRY_NUMBER_MAX)
        return false;
    if (tail != 0 && !sequencer_ok((const uint8_t *)body + size - tail))
        return false;
    const uint8_t *blocks = (const uint8_t *)body + sizeof(head);
    uint32_t offset = 0;
    for (uint32_t i = 0; i < head.count; i++) {
        if (head.bytes - offset < 2u + KEEL_MSG_MIN)
            return false;
        uint32_t length = blocks[offset] | (uint32_t)blocks[offset + 1] << 8;
        offset += 2;
        if (length < KEEL_MSG_MIN || length > head.bytes - offset)
            return false;
        offset += length;
    }
    return offset == head.bytes;
}

struct entry_sequencer entry_messages_sequencer(const struct entry_messages *messages)
{
    struct entry_sequencer sequencer;
    memcpy(&sequencer, (const uint8_t *)(messages + 1) + messages->bytes, sizeof(sequencer));
    return sequencer;
}

bool entry_path_ok(const char *path, size_t size)
{
    if (size == 0 || size > KEEL_PATH_MAX || path[0] != '/')
        return false;
    uint32_t depth = 0;
    for (size_t i = 0; i < size; i++) {
        bool last = i + 1 == size;
        if (path[i] == '/' && size > 1 && (last || path[i + 1] == '/'))
            return false;
        depth += path[i] == '/';
        if (!graphic(path[i]))
            return false;
    }
    return depth <= KEEL_PATH_DEPTH_MAX;
}

bool entry_acl_ok(const void *rights, size_t size)
{
    const uint8_t *content = rights;
    if (size % sizeof(struct node_right) != 0 || size > KEEL_ACL_MAX * sizeof(struct node_right))
        return false;
    for (size_t at = 0; at < size; at += sizeof(struct node_right)) {
        struct node_right right;
        memcpy(&right, content + at, sizeof(right));
        if ((right.principal != 0 && right.principal < KEEL_CLIENT_MIN) || right.rights == 0 ||
            right.rights > (NODE_READ | NODE_WRITE | NODE_CHANGE))
            return false;
    }
    return true;
}

/* What may not be zero for this operation is not looked at, what must be is. */
static bool node_fields_ok(const struct entry_node *op, bool by_path)
{
    bool opens = op->operation == NODE_OPEN;
    bool acquires = op->operation == NODE_ACQUIRE;
    uint32_t flags = 0;
    switch ((enum node_operation)op->operation) { /* unreachable: none of them, see node_ok() */
    case NODE_OPEN:
        flags = NODE_CREATE;
        if ((op->flags & NODE_CREATE) != 0)
            flags |= NODE_EXCLUSIVE | NODE_EPHEMERAL;
        break;
    case NODE_SET:
    case NODE_DELETE:
    case NODE_ACL:
        flags = NODE_COMPARE;
        break;
    case NODE_ACQUIRE:
        flags = NODE_TRY;
        break;
    case NODE_CLOSE:
    case NODE_RELEASE:
        break;
    }
    bool content = (opens && (op->flags & NODE_CREATE) != 0) || op->operation == NODE_SET ||
                   op->operation == NODE_ACL;
    return (op->flags & ~flags) == 0 && (op->node == 0) == by_path &&
           (op->path_size != 0) == by_path && (content || op->content_size == 0) &&
           (opens ? (op->events & ~NODE_EVENTS_ALL) == 0 : op->events == 0) &&
           ((op->flags & NODE_COMPARE) != 0 || op->compare == 0) &&
           (acquires ? op->mode == LOCK_EXCLUSIVE || op->mode == LOCK_SHARED
                     : op->mode == 0 && op->delay_ms == 0 && op->wait_ms == 0);
}

/* Operators name every node by its path, sessions only what they open. */
static bool node_ok(const uint8_t *block, size_t size, bool operators)
{
    struct entry_node op;
    if (size < sizeof(op))
        return false;
    memcpy(&op, block, sizeof(op));
    bool by_path = operators || op.operation == NODE_OPEN;
    const uint8_t *content = block + sizeof(op) + op.path_size;
    if (op.operation < NODE_OPEN || op.operation > NODE_RELEASE ||
        size != sizeof(op) + op.path_size + op.content_size || !node_fields_ok(&op, by_path))
        return false;
    if (by_path && !entry_path_ok((const char *)block + sizeof(op), op.path_size))
        return false;
    return op.operation == NODE_ACL ? entry_acl_ok(content, op.content_size)
                                    : op.content_size <= KEEL_CONTENT_MAX;
}

bool entry_node_body_check(const void *body, size_t size)
{
    struct entry_messages head;
    if (!entry_messages_check(body, size))
        return false;
    memcpy(&head, body, sizeof(head));
    const uint8_t *block = (const uint8_t *)body + sizeof(head) + 2;
    return head.count == 1 && head.flags == 0 && node_ok(block, head.bytes - 2u, false);
}

bool entry_session_open_ok(const struct entry_session_open *open)
{
    return entry_name_ok(open->name) && open->process != 0 && open->window >= 1 &&
           open->window <= KEEL_SESSION_WINDOW_MAX && open->reserved == 0;
}

static bool open_ok(const void *body)
{
    struct entry_session_open open;
    memcpy(&open, body, sizeof(open));
    return entry_session_open_ok(&open);
}

static bool end_ok(const void *body, bool expire)
{
    struct entry_session_end end;
    memcpy(&end, body, sizeof(end));
    if (end.session == 0 || end.reserved != 0)
        return false;
    if (expire)
        return end.reason == SESSION_END_EXPIRED;
    return end.reason == SESSION_END_CLEAN || end.reason == SESSION_END_KILLED;
}

static bool day_ok(const void *body)
{
    struct entry_day day;
    memcpy(&day, body, sizeof(day));
    return entry_day_name_ok(day.name) && all_zero(day.reserved, sizeof(day.reserved));
}

static bool boot_ok(const void *body)
{
    struct entry_boot boot;
    memcpy(&boot, body, sizeof(boot));
    return boot.replica >= 1 && boot.replica <= KEEL_REPLICA_MAX && boot.reserved == 0 &&
           boot.incarnation != 0 && boot.boot != 0;
}

static bool noop_ok(const void *body)
{
    struct entry_noop noop;
    memcpy(&noop, body, sizeof(noop));
    return noop.leader <= KEEL_REPLICA_MAX && noop.reserved == 0;
}

static bool due_ok(const void *body)
{
    struct entry_due due;
    memcpy(&due, body, sizeof(due));
    return due.reserved == 0;
}

/* A session or a principal, never both. */
static bool subject_ok(const struct entry_operator *op)
{
    return op->session != 0 ? op->principal == 0 : op->principal >= KEEL_CLIENT_MIN;
}

/* What needs no handle. */
static bool operators_block_ok(const struct entry_operator *op, const uint8_t *block)
{
    if (!node_ok(block, op->size, true))
        return false;
    uint8_t operation = block[0], flags = block[3];
    if (operation == NODE_OPEN && (flags & (NODE_CREATE | NODE_EPHEMERAL)) != NODE_CREATE)
        return false;
    return operation != NODE_CLOSE && operation != NODE_ACQUIRE && block[2] == 0 &&
           op->value <= (operation == NODE_RELEASE ? 1u : 0u);
}

static bool operator_ok(const struct entry_operator *op, const uint8_t *block)
{
    bool subject = op->session != 0 || op->principal != 0;
    if ((op->request[0] | op->request[1]) == 0 || op->reserved != 0 ||
        op->operation < OPERATOR_NODE || op->operation > OPERATOR_DRAIN ||
        (op->operation != OPERATOR_NODE && op->size != 0) ||
        (op->operation != OPERATOR_DRAIN && op->replica != 0))
        return false;
    switch ((enum operator_operation)op->operation) { /* unreachable: none of them */
    case OPERATOR_NODE:
        return !subject && operators_block_ok(op, block);
    case OPERATOR_SUSPEND:
        return subject_ok(op) && op->value <= 1;
    case OPERATOR_LIMIT:
        return subject_ok(op) && op->value <= OPERATOR_RATE_MAX;
    case OPERATOR_DRAIN:
        return !subject && op->value <= 1 && op->replica >= 1 && op->replica <= KEEL_REPLICA_MAX;
    }
    return false;
}

static bool replica_ok(uint32_t id)
{
    return id >= 1 && id <= KEEL_REPLICA_MAX;
}

static bool autopilot_time_ok(uint32_t ms)
{
    return ms >= AUTOPILOT_TIME_MIN_MS && ms <= AUTOPILOT_TIME_MAX_MS;
}

/* Compared with a copy that holds what the action may say, and nothing else. */
static bool autopilot_ok(const void *body)
{
    struct entry_autopilot e, said = {0};
    memcpy(&e, body, sizeof(e));
    bool ok = false;
    said.action = e.action;
    said.was = e.was;
    said.term = e.term;
    if (e.action == AUTOPILOT_SET) {
        said.term = 0;
        said.mode = e.mode;
        said.standbys = e.standbys;
        said.dead_ms = e.dead_ms;
        said.stabilise_ms = e.stabilise_ms;
        ok = e.mode <= AUTOPILOT_ON && (e.standbys & 1) == 0 &&
             e.standbys >> (KEEL_REPLICA_MAX + 1) == 0 && autopilot_time_ok(e.dead_ms) &&
             autopilot_time_ok(e.stabilise_ms);
    } else if (e.action == AUTOPILOT_REPLACE) {
        said.voter = e.voter;
        said.standby = e.standby;
        said.silent_ms = e.silent_ms;
        said.steady_ms = e.steady_ms;
        said.behind = e.behind;
        said.well = e.well;
        ok = replica_ok(e.voter) && replica_ok(e.standby) && e.voter != e.standby;
    } else if (e.action == AUTOPILOT_WITHDRAW) {
        said.voter = e.voter;
        said.standby = e.standby;
        said.reason = e.reason;
        ok = replica_ok(e.voter) && replica_ok(e.standby) &&
             (e.reason == AUTOPILOT_VOTER_BACK || e.reason == AUTOPILOT_STANDBY_LOST);
    } else if (e.action == AUTOPILOT_RETURN) {
        said.voter = e.voter;
        said.steady_ms = e.steady_ms;
        said.behind = e.behind;
        ok = replica_ok(e.voter);
    }
    return ok && memcmp(&e, &said, sizeof(e)) == 0;
}

static bool probe_ok(const void *body)
{
    struct entry_probe probe;
    memcpy(&probe, body, sizeof(probe));
    return (probe.reserved[0] | probe.reserved[1]) == 0;
}

bool entry_config_ok(const struct entry_config *config)
{
    uint32_t named = config->voters | config->voters_new | config->learners;
    if (config->voters == 0 || config->reserved != 0 || (named & 1) != 0 ||
        named >> (KEEL_REPLICA_MAX + 1) != 0)
        return false;
    uint32_t to_be = config->voters_new != 0 ? config->voters_new : config->voters;
    if ((config->learners & to_be) != 0)
        return false;
    for (uint32_t id = 0; id <= KEEL_REPLICA_MAX; id++) {
        const struct entry_member *m = &config->member[id];
        bool full = m->incarnation != 0 && m->ip != 0 && m->port != 0 && m->reserved == 0;
        bool empty = m->incarnation == 0 && m->ip == 0 && m->port == 0 && m->reserved == 0;
        if ((named >> id & 1) != 0 ? !full : !empty)
            return false;
    }
    return true;
}

static bool config_ok(const void *body)
{
    struct entry_config config;
    memcpy(&config, body, sizeof(config));
    return entry_config_ok(&config);
}

/* Size of the body without padding and whether it is in form; 0: bad or of an unknown kind. */
static size_t body_check(uint8_t kind, const uint8_t *body, size_t room)
{
    size_t size = 0;
    bool ok = false;
    switch ((enum entry_kind)kind) {
    case ENTRY_NOOP:
        size = sizeof(struct entry_noop);
        ok = size <= room && noop_ok(body);
        break;
    case ENTRY_MESSAGES:
    case ENTRY_NODE: {
        struct entry_messages head;
        if (room < sizeof(head))
            return 0;
        memcpy(&head, body, sizeof(head));
        size = sizeof(head) + head.bytes;
        if ((head.flags & ENTRY_FENCED) != 0)
            size += KEEL_SEQUENCER_SIZE;
        ok = size <= room && (kind == ENTRY_NODE ? entry_node_body_check(body, size)
                                                 : entry_messages_check(body, size));
        break;
    }
    case ENTRY_SESSION_OPEN:
    case ENTRY_SESSION_RESUME:
        size = sizeof(struct entry_session_open);
        ok = size <= room && open_ok(body);
        break;
    case ENTRY_SESSION_END:
    case ENTRY_SESSION_EXPIRE:
        size = sizeof(struct entry_session_end);
        ok = size <= room && end_ok(body, kind == ENTRY_SESSION_EXPIRE);
        break;
    case ENTRY_DAY_END:
    case ENTRY_DAY_BEGIN:
        size = sizeof(struct entry_day);
        ok = size <= room && day_ok(body);
        break;
    case ENTRY_BOOT:
        size = sizeof(struct entry_boot);
        ok = size <= room && boot_ok(body);
        break;
    case ENTRY_CONFIG:
        size = sizeof(struct entry_config);
        ok = size <= room && config_ok(body);
        break;
    case ENTRY_DUE:
        size = sizeof(struct entry_due);
        ok = size <= room && due_ok(body);
        break;
    case ENTRY_OPERATOR: {
        struct entry_operator op;
        if (room < sizeof(op))
            return 0;
        memcpy(&op, body, sizeof(op));
        size = sizeof(op) + op.size;
        ok = size <= room && operator_ok(&op, body + sizeof(op));
        break;
    }
    case ENTRY_AUTOPILOT:
        size = sizeof(struct entry_autopilot);
        ok = size <= room && autopilot_ok(body);
        break;
    case ENTRY_PROBE:
        size = sizeof(struct entry_probe);
        ok = size <= room && probe_ok(body);
        break;
    }
    return ok ? size : 0;
}

bool entry_check(const void *bytes, size_t available)
{
    struct entry head;
    if (available < sizeof(head))
        return false;
    memcpy(&head, bytes, sizeof(head));
    if (head.version != ENTRY_VERSION || head.size < sizeof(head) || head.size > available ||
        head.size > KEEL_ENTRY_MAX || head.size % 8 != 0)
        return false;
    const uint8_t *body = (const uint8_t *)bytes + sizeof(head);
    size_t room = head.size - sizeof(head);
    size_t used = body_check(head.kind, body, room);
    return used != 0 && room - used < 8 && all_zero(body + used, room - used);
}

const uint8_t *entry_block_next(const struct entry *e, uint32_t *offset, uint16_t *length)
{
    const uint8_t *block = (const uint8_t *)entry_body(e) + sizeof(struct entry_messages) + *offset;
    *length = (uint16_t)(block[0] | block[1] << 8);
    *offset += 2u + *length;
    return block + 2;
}
