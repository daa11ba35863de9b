#include "tests/fuzz/machine_steps.h"

#include <string.h>

enum {
    CLIENTS = 2,
    NAMES = 3,
    PROCESSES = 3,
    DAYS = 3,
    MS = 1000000,
    TTL_MAX_MS = 40,
    RETAIN_MS = 90
};

static const char *const names[NAMES] = {"alpha", "beta", "a-name-of-just-thirty-one-bytes"};
static const char days[DAYS][KEEL_DAY_NAME_SIZE + 1] = {"DAY1      ", "DAY2      ", "x         "};

struct genesis machine_steps_genesis(void)
{
    struct genesis genesis = bench_genesis();
    genesis.sessions_max = STEPS_SESSIONS_MAX;
    genesis.sessions_per_principal = STEPS_PER_PRINCIPAL;
    genesis.ttl_min_ms = 1;
    genesis.ttl_max_ms = TTL_MAX_MS;
    genesis.session_retain_ms = RETAIN_MS;
    genesis.nodes_max = 4;
    genesis.handles_max = 8;
    genesis.handles_per_session = 3;
    genesis.waiters_max = 2;
    genesis.lock_delay_max_ms = 30;
    return genesis;
}

/* Mostly a client; sometimes a replica. */
static uint32_t principal(struct fuzz_input *in)
{
    uint32_t which = fuzz_below(in, 16);
    return which == 15 ? BENCH_REPLICA : BENCH_ALICE + which % CLIENTS;
}

/* Mostly 0, else a little off. */
static uint64_t slip(struct fuzz_input *in)
{
    uint8_t byte = fuzz_u8(in);
    return byte < 200 ? 0 : (uint64_t)(int64_t)(byte - 228);
}

static const struct machine_session *some_session(const struct bench *bench, struct fuzz_input *in)
{
    return machine_session_at(bench->machine, fuzz_below(in, STEPS_SESSIONS_MAX));
}

static bool build_open(struct bench *bench, struct fuzz_input *in, bool resume)
{
    uint32_t who = principal(in);
    struct entry_session_open open = {.process = 1 + fuzz_below(in, PROCESSES),
                                      .ttl_ms = fuzz_below(in, TTL_MAX_MS + 20),
                                      .window = (uint16_t)(1 + fuzz_below(in, 64))};
    const char *name = names[fuzz_below(in, NAMES)];
    memcpy(open.name, name, strlen(name));
    if (resume) {
        const struct machine_session *s = machine_session_named(bench->machine, who, name);
        open.replaces = (s != NULL ? s->epoch : 0) + slip(in);
    }
    bench_build(bench, resume ? ENTRY_SESSION_RESUME : ENTRY_SESSION_OPEN, who, &open,
                sizeof(open));
    return true;
}

static bool build_end(struct bench *bench, struct fuzz_input *in, bool expire)
{
    const struct machine_session *s = some_session(bench, in);
    struct entry_session_end end = {.session = s != NULL ? s->id : 1 + fuzz_below(in, 64)};
    uint32_t who = s != NULL ? s->principal : principal(in);
    end.session += slip(in);
    end.epoch = (s != NULL ? s->epoch : 0) + slip(in);
    if (end.session == 0)
        return false;
    if (expire) {
        end.reason = SESSION_END_EXPIRED;
        end.term = bench->machine->noop_term + slip(in);
        who = slip(in) == 0 ? BENCH_REPLICA : who;
    } else {
        bool killed = fuzz_below(in, 4) == 0;
        end.reason = killed ? SESSION_END_KILLED : SESSION_END_CLEAN;
        if (killed)
            who = BENCH_REPLICA;
    }
    bench_build(bench, expire ? ENTRY_SESSION_EXPIRE : ENTRY_SESSION_END, who, &end, sizeof(end));
    return true;
}

static bool build_messages(struct bench *bench, struct fuzz_input *in)
{
    const struct machine_session *s = some_session(bench, in);
    uint32_t count = 1 + fuzz_below(in, 8);
    uint64_t last = s != NULL ? s->last : 0;
    uint64_t number = last + 1 + slip(in);
    uint64_t acked = last - fuzz_below(in, 4) + slip(in);
    uint32_t who = s != NULL ? s->principal : principal(in);
    uint64_t id = (s != NULL ? s->id : 1) + slip(in), epoch = (s != NULL ? s->epoch : 1) + slip(in);
    if (slip(in) != 0)
        who = principal(in);
    if (number == 0 || number > ENTRY_NUMBER_MAX)
        return false;
    bench_build_messages(bench, who, id, epoch, number, acked, count, fuzz_below(in, 2));
    return true;
}

static bool build_day(struct bench *bench, struct fuzz_input *in)
{
    bool begin = (fuzz_u8(in) & 1) != 0;
    struct entry_day day = {.name = ""};
    memcpy(day.name, begin ? days[fuzz_below(in, DAYS)] : bench->machine->day, sizeof(day.name));
    bench_build(bench, begin ? ENTRY_DAY_BEGIN : ENTRY_DAY_END,
                slip(in) == 0 ? BENCH_REPLICA : BENCH_ALICE, &day, sizeof(day));
    return true;
}

static bool build_boot(struct bench *bench, struct fuzz_input *in)
{
    uint32_t id = 1 + fuzz_below(in, KEEL_REPLICA_MAX);
    const struct entry_boot boot = {.replica = id,
                                    .incarnation = BENCH_INCARNATION + id + slip(in),
                                    .boot = bench->machine->boot[id] + fuzz_below(in, 3),
                                    .boot_id = fuzz_below(in, 3)};
    if (boot.boot == 0)
        return false;
    bench_build(bench, ENTRY_BOOT, BENCH_REPLICA, &boot, sizeof(boot));
    return true;
}

static bool build_noop(struct bench *bench, struct fuzz_input *in)
{
    bench->term += 1 + fuzz_below(in, 2);
    const struct entry_noop noop = {.leader = 1 + fuzz_below(in, 3), .incarnation = 1};
    bench_build(bench, ENTRY_NOOP, noop.leader, &noop, sizeof(noop));
    return true;
}

static const char *const paths[] = {"/a", "/b", "/a/x", "/a/x/y"};

/* A node operation of some session's present life, or an operator's. */
static bool build_node(struct bench *bench, struct fuzz_input *in)
{
    uint8_t body[sizeof(struct entry_messages) + 2 + sizeof(struct entry_node) + 16];
    uint32_t slot = fuzz_below(in, STEPS_SESSIONS_MAX + 1);
    const struct machine_session *s = machine_session_at(bench->machine, slot);
    struct entry_node op = {.operation = (uint8_t)(NODE_OPEN + fuzz_below(in, 7)),
                            .flags = fuzz_u8(in) & 31};
    const char *path = "";
    if (op.operation == NODE_OPEN) {
        path = paths[fuzz_below(in, 4)];
        op.path_size = (uint16_t)strlen(path);
        op.events = fuzz_u8(in) & NODE_EVENTS_ALL;
    } else {
        op.node = 1 + fuzz_below(in, 64);
        const char *known = paths[fuzz_below(in, 4)];
        const struct machine_node *node =
            machine_node_at_path(bench->machine, known, strlen(known));
        op.node = node != NULL ? node->id : op.node;
    }
    if (op.operation == NODE_ACQUIRE) {
        op.mode = (uint8_t)(LOCK_EXCLUSIVE + fuzz_below(in, 2));
        op.delay_ms = fuzz_u8(in);
        op.wait_ms = fuzz_u8(in);
    }
    const uint16_t length = (uint16_t)(sizeof(op) + op.path_size);
    const struct entry_messages head = {.session = s != NULL ? s->id : 0,
                                        .epoch = s != NULL ? s->epoch : 0,
                                        .number = s != NULL ? s->last + 1 : 1,
                                        .acked = s != NULL ? s->last : 0,
                                        .count = 1,
                                        .bytes = (uint16_t)(length + 2)};
    memcpy(body, &head, sizeof(head));
    memcpy(body + sizeof(head), &length, sizeof(length));
    memcpy(body + sizeof(head) + 2, &op, sizeof(op));
    memcpy(body + sizeof(head) + 2 + sizeof(op), path, op.path_size);
    bench_build(bench, ENTRY_NODE, s != NULL ? s->principal : BENCH_REPLICA, body,
                sizeof(head) + head.bytes);
    return entry_check(bench->bytes, sizeof(bench->bytes));
}

/* A wish of an operator under one of few ids; a node operation takes the block of the last one. */
static bool build_operator(struct bench *bench, struct fuzz_input *in)
{
    struct entry_operator op = {.request = {fuzz_below(in, 100), 1},
                                .operation = (uint8_t)(OPERATOR_SUSPEND + fuzz_below(in, 3))};
    const struct machine_session *s = some_session(bench, in);
    if (op.operation == OPERATOR_DRAIN) {
        op.replica = (uint8_t)(1 + fuzz_below(in, KEEL_REPLICA_MAX));
        op.value = fuzz_below(in, 2);
    } else {
        op.value = fuzz_below(in, op.operation == OPERATOR_SUSPEND ? 2 : 1000);
        op.session = s != NULL ? s->id + slip(in) : 0;
        op.principal = op.session == 0 ? BENCH_ALICE + fuzz_below(in, 80) : 0;
    }
    bench_build(bench, ENTRY_OPERATOR, slip(in) == 0 ? BENCH_REPLICA : BENCH_ALICE, &op,
                sizeof(op));
    return true;
}

/* The block of an ENTRY_NODE that was built last, as an operator's. */
static bool build_as_operator(struct bench *bench, struct fuzz_input *in)
{
    uint8_t body[sizeof(struct entry_operator) + sizeof(struct entry_node) + 16];
    uint32_t offset = 0;
    uint16_t length;
    struct entry_node node;
    memcpy(&node,
           entry_block_next((const struct entry *)(const void *)bench->bytes, &offset, &length),
           sizeof(node));
    const char *path = paths[fuzz_below(in, 4)];
    node.node = 0;
    node.events = 0;
    node.path_size = (uint16_t)strlen(path);
    struct entry_operator op = {.request = {fuzz_below(in, 100), 1},
                                .operation = OPERATOR_NODE,
                                .size = (uint16_t)(sizeof(node) + node.path_size)};
    op.value = node.operation == NODE_RELEASE ? fuzz_below(in, 2) : 0;
    memcpy(body, &op, sizeof(op));
    memcpy(body + sizeof(op), &node, sizeof(node));
    memcpy(body + sizeof(op) + sizeof(node), path, node.path_size);
    bench_build(bench, ENTRY_OPERATOR, BENCH_REPLICA, body, sizeof(op) + op.size);
    return entry_check(bench->bytes, sizeof(bench->bytes));
}

static bool build_due(struct bench *bench)
{
    const struct entry_due due = {.term = bench->machine->noop_term};
    bench_build(bench, ENTRY_DUE, BENCH_REPLICA, &due, sizeof(due));
    return true;
}

/* Any body of any kind, if it has an entry's form. */
static bool build_raw(struct bench *bench, struct fuzz_input *in)
{
    uint8_t body[sizeof(struct entry_messages) + 64];
    enum entry_kind kind = (enum entry_kind)(ENTRY_NOOP + fuzz_below(in, ENTRY_PROBE));
    static const uint8_t sizes[] = {
        [ENTRY_NOOP] = 16,           [ENTRY_MESSAGES] = 64,    [ENTRY_SESSION_OPEN] = 56,
        [ENTRY_SESSION_RESUME] = 56, [ENTRY_SESSION_END] = 32, [ENTRY_SESSION_EXPIRE] = 32,
        [ENTRY_DAY_END] = 16,        [ENTRY_DAY_BEGIN] = 16,   [ENTRY_BOOT] = 32,
        [ENTRY_CONFIG] = 80,         [ENTRY_NODE] = 76,        [ENTRY_DUE] = 16,
        [ENTRY_OPERATOR] = 40,       [ENTRY_AUTOPILOT] = 56,   [ENTRY_PROBE] = 16};
    fuzz_take(in, body, sizes[kind]);
    bench_build(bench, kind, principal(in), body, sizes[kind]);
    return entry_check(bench->bytes, sizeof(bench->bytes));
}

bool machine_steps_build(struct bench *bench, struct fuzz_input *in)
{
    uint8_t byte = fuzz_u8(in);
    bench->utc_ns += byte >> 4;
    switch (byte & 15) {
    case 0:
        bench->log_ns += fuzz_below(in, 128) * (uint64_t)MS;
        return false;
    case 1:
        return build_noop(bench, in);
    case 2:
        return build_open(bench, in, true);
    case 3:
        return build_end(bench, in, false);
    case 4:
        return build_end(bench, in, true);
    case 5:
        return build_day(bench, in);
    case 6:
        return build_boot(bench, in);
    case 7:
        return build_raw(bench, in);
    case 8:
    case 9:
        return build_open(bench, in, false);
    case 10:
        return build_node(bench, in);
    case 11:
        if (slip(in) != 0)
            return build_operator(bench, in);
        return build_node(bench, in) &&
               (((const struct entry *)(const void *)bench->bytes)->principal != BENCH_REPLICA ||
                build_as_operator(bench, in));
    case 12:
        return build_due(bench);
    default:
        return build_messages(bench, in);
    }
}
