#include "tests/unit/machine/bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct genesis bench_genesis(void)
{
    struct genesis genesis;
    genesis_defaults(&genesis);
    genesis.cluster_id = 77;
    for (uint32_t id = 1; id <= 3; id++)
        genesis.founder[id] = (struct genesis_founder){
            .incarnation = BENCH_INCARNATION + id, .ip = 0x0a000000 + id, .port = 4000};
    memcpy(genesis.day, "DAY1      ", sizeof(genesis.day));
    return genesis;
}

struct machine *bench_memory(const struct genesis *genesis)
{
    size_t size = (machine_size(genesis) + 63) / 64 * 64;
    struct machine *machine = aligned_alloc(64, size);
    if (machine == NULL)
        abort();
    memset(machine, 0xa5, size); /* init and decode promise to take any content */
    return machine;
}

void bench_init(struct bench *bench, const struct genesis *genesis)
{
    memset(bench, 0, sizeof(*bench));
    bench->genesis = *genesis;
    bench->machine = bench_memory(genesis);
    bench->term = 1;
    bench->utc_ns = 1000;
    machine_init(bench->machine, genesis);
}

void bench_free(struct bench *bench)
{
    free(bench->machine);
    bench->machine = NULL;
}

struct entry *bench_build(struct bench *bench, enum entry_kind kind, uint32_t principal,
                          const void *body, size_t size)
{
    struct entry *entry = (struct entry *)(void *)bench->bytes;
    memset(bench->bytes, 0, sizeof(bench->bytes));
    *entry = (struct entry){
        .size = (uint16_t)((sizeof(*entry) + size + 7) / 8 * 8),
        .kind = (uint8_t)kind,
        .version = ENTRY_VERSION,
        .index = bench->machine->applied + 1,
        .term = bench->term,
        .utc_ns = bench->utc_ns,
        .log_ns = bench->log_ns,
        .utc_error_ns = 50,
        .principal = principal,
    };
    memcpy(entry + 1, body, size);
    return entry;
}

size_t bench_text(char text[24], uint32_t seed, uint64_t number)
{
    return (size_t)snprintf(text, 24, "%x:%llu", seed, (unsigned long long)number);
}

struct entry *bench_build_messages(struct bench *bench, uint32_t principal, uint64_t session,
                                   uint64_t epoch, uint64_t number, uint64_t acked, uint32_t count,
                                   uint32_t seed)
{
    uint8_t body[KEEL_ENTRY_MAX];
    uint32_t bytes = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint8_t *block = body + sizeof(struct entry_messages) + bytes;
        char text[24];
        size_t length = bench_text(text, seed, number + i);
        block[0] = (uint8_t)length;
        block[1] = 0;
        memcpy(block + 2, text, length);
        bytes += (uint32_t)length + 2;
    }
    const struct entry_messages head = {
        .session = session,
        .epoch = epoch,
        .number = number,
        .acked = acked,
        .count = (uint16_t)count,
        .bytes = (uint16_t)bytes,
    };
    memcpy(body, &head, sizeof(head));
    return bench_build(bench, ENTRY_MESSAGES, principal, body, sizeof(head) + bytes);
}

const struct machine_outcome *bench_apply(struct bench *bench)
{
    CU_ASSERT_FATAL(entry_check(bench->bytes, sizeof(bench->bytes)));
    memset(&bench->outcome, 0xee, sizeof(bench->outcome));
    machine_apply(bench->machine, (const struct entry *)(const void *)bench->bytes,
                  &bench->outcome);
    return &bench->outcome;
}

const struct machine_outcome *bench_noop(struct bench *bench, uint64_t term)
{
    bench->term = term;
    const struct entry_noop noop = {.leader = BENCH_REPLICA, .incarnation = 1};
    bench_build(bench, ENTRY_NOOP, BENCH_REPLICA, &noop, sizeof(noop));
    return bench_apply(bench);
}

static const struct machine_outcome *open_or_resume(struct bench *bench, enum entry_kind kind,
                                                    uint32_t principal,
                                                    const struct entry_session_open *fixed,
                                                    const char *name)
{
    struct entry_session_open open = *fixed;
    strncpy(open.name, name, KEEL_NAME_MAX);
    bench_build(bench, kind, principal, &open, sizeof(open));
    return bench_apply(bench);
}

const struct machine_outcome *bench_open(struct bench *bench, uint32_t principal, const char *name,
                                         uint64_t process, uint16_t window)
{
    const struct entry_session_open open = {.process = process, .ttl_ms = 5000, .window = window};
    return open_or_resume(bench, ENTRY_SESSION_OPEN, principal, &open, name);
}

const struct machine_outcome *bench_resume(struct bench *bench, uint32_t principal,
                                           const char *name, uint64_t process, uint64_t replaces)
{
    const struct entry_session_open open = {
        .process = process, .replaces = replaces, .ttl_ms = 7000, .window = 1};
    return open_or_resume(bench, ENTRY_SESSION_RESUME, principal, &open, name);
}

const struct machine_outcome *bench_end(struct bench *bench, uint32_t principal, uint64_t session,
                                        uint64_t epoch, enum session_end_reason reason)
{
    const struct entry_session_end end = {
        .session = session, .epoch = epoch, .reason = (uint32_t)reason};
    bench_build(bench, ENTRY_SESSION_END, principal, &end, sizeof(end));
    return bench_apply(bench);
}

const struct machine_outcome *bench_expire(struct bench *bench, uint32_t principal,
                                           uint64_t session, uint64_t epoch, uint64_t term)
{
    const struct entry_session_end end = {
        .session = session, .epoch = epoch, .term = term, .reason = SESSION_END_EXPIRED};
    bench_build(bench, ENTRY_SESSION_EXPIRE, principal, &end, sizeof(end));
    return bench_apply(bench);
}

const struct machine_outcome *bench_day(struct bench *bench, enum entry_kind kind, const char *name)
{
    struct entry_day day = {0};
    memset(day.name, ' ', sizeof(day.name));
    memcpy(day.name, name, strlen(name));
    bench_build(bench, kind, BENCH_REPLICA, &day, sizeof(day));
    return bench_apply(bench);
}

const struct machine_outcome *bench_boot(struct bench *bench, uint32_t replica,
                                         uint64_t incarnation, uint64_t boot, uint64_t boot_id)
{
    const struct entry_boot body = {
        .replica = replica, .incarnation = incarnation, .boot = boot, .boot_id = boot_id};
    bench_build(bench, ENTRY_BOOT, BENCH_REPLICA, &body, sizeof(body));
    return bench_apply(bench);
}

const struct machine_outcome *bench_send(struct bench *bench, uint32_t principal, uint64_t session,
                                         uint64_t epoch, uint64_t number, uint64_t acked,
                                         uint32_t count)
{
    bench_build_messages(bench, principal, session, epoch, number, acked, count, 0);
    return bench_apply(bench);
}

/* An operator names the node by its path; one that is gone by one that never was. */
static const struct machine_outcome *operate_on_node(struct bench *bench,
                                                     const struct entry_node *op, const char *path,
                                                     const void *content)
{
    const struct machine_node *node = machine_node(bench->machine, op->node);
    struct entry_node head = *op;
    uint8_t block[KEEL_ENTRY_MAX];
    if (op->operation != NODE_OPEN)
        path = node != NULL ? node->path : "/gone";
    head.node = 0;
    head.path_size = (uint16_t)strlen(path);
    memcpy(block, &head, sizeof(head));
    memcpy(block + sizeof(head), path, head.path_size);
    memcpy(block + sizeof(head) + head.path_size, content, head.content_size);
    const struct entry_operator wish = {
        .operation = OPERATOR_NODE,
        .size = (uint16_t)(sizeof(head) + head.path_size + head.content_size)};
    return bench_operate(bench, &wish, block);
}

enum machine_status bench_node(struct bench *bench, uint64_t session, const struct entry_node *op,
                               const char *path, const void *content, uint64_t *value)
{
    struct entry_node head = *op;
    head.path_size = (uint16_t)strlen(path);
    uint8_t body[KEEL_ENTRY_MAX];
    const struct machine_session *s = machine_session(bench->machine, session);
    uint16_t length = (uint16_t)(sizeof(head) + head.path_size + head.content_size);
    const struct entry_messages messages = {.session = session,
                                            .epoch = s != NULL ? s->epoch : 0,
                                            .number = s != NULL ? s->last + 1 : 1,
                                            .acked = s != NULL ? s->last : 0,
                                            .count = 1,
                                            .bytes = (uint16_t)(length + 2)};
    uint8_t *at = body + sizeof(messages);
    memcpy(body, &messages, sizeof(messages));
    memcpy(at, &length, sizeof(length));
    memcpy(at + 2, &head, sizeof(head));
    memcpy(at + 2 + sizeof(head), path, head.path_size);
    memcpy(at + 2 + sizeof(head) + head.path_size, content, head.content_size);
    const struct machine_outcome *outcome;
    if (session == 0) {
        outcome = operate_on_node(bench, &head, path, content);
    } else {
        bench_build(bench, ENTRY_NODE, s != NULL ? s->principal : BENCH_REPLICA, body,
                    sizeof(messages) + messages.bytes);
        outcome = bench_apply(bench);
    }
    if (value != NULL)
        *value = session == 0 ? outcome->value : outcome->run[0].feed;
    return (enum machine_status)outcome->status;
}

const struct machine_outcome *bench_operate(struct bench *bench, const struct entry_operator *op,
                                            const void *block)
{
    uint8_t body[KEEL_ENTRY_MAX];
    struct entry_operator head = *op;
    if ((head.request[0] | head.request[1]) == 0)
        head.request[0] = ++bench->requests;
    memcpy(body, &head, sizeof(head));
    if (head.size > 0)
        memcpy(body + sizeof(head), block, head.size);
    bench_build(bench, ENTRY_OPERATOR, BENCH_REPLICA, body, sizeof(head) + head.size);
    return bench_apply(bench);
}

enum machine_status bench_hold_back(struct bench *bench, enum operator_operation operation,
                                    uint64_t session, uint32_t principal, uint32_t value)
{
    const struct entry_operator op = {.session = session,
                                      .principal = principal,
                                      .value = value,
                                      .operation = (uint8_t)operation};
    return (enum machine_status)bench_operate(bench, &op, NULL)->status;
}

enum machine_status bench_drain(struct bench *bench, uint8_t replica, bool drained)
{
    const struct entry_operator op = {
        .value = drained, .operation = OPERATOR_DRAIN, .replica = replica};
    return (enum machine_status)bench_operate(bench, &op, NULL)->status;
}

uint64_t bench_node_open(struct bench *bench, uint64_t session, const char *path, uint8_t flags,
                         uint8_t events)
{
    const struct entry_node op = {.operation = NODE_OPEN, .flags = flags, .events = events};
    uint64_t node;
    return bench_node(bench, session, &op, path, "", &node) == MACHINE_DONE ? node : 0;
}

enum machine_status bench_acquire(struct bench *bench, uint64_t session, uint64_t node,
                                  enum lock_mode mode, uint32_t delay_ms, uint64_t *generation)
{
    const struct entry_node op = {.operation = NODE_ACQUIRE,
                                  .mode = (uint8_t)mode,
                                  .node = node,
                                  .delay_ms = delay_ms,
                                  .wait_ms = NODE_WAIT_ENDLESS};
    return bench_node(bench, session, &op, "", "", generation);
}

enum machine_status bench_on_node(struct bench *bench, uint64_t session, uint64_t node,
                                  enum node_operation operation)
{
    const struct entry_node op = {.operation = (uint8_t)operation, .node = node};
    return bench_node(bench, session, &op, "", "", NULL);
}

const struct machine_outcome *bench_due(struct bench *bench, uint64_t term)
{
    const struct entry_due due = {.term = term};
    bench_build(bench, ENTRY_DUE, BENCH_REPLICA, &due, sizeof(due));
    return bench_apply(bench);
}

const struct machine_session *bench_session(const struct bench *bench)
{
    const struct machine_session *s = machine_session_at(bench->machine, bench->outcome.slot);
    CU_ASSERT_PTR_NOT_NULL_FATAL(s);
    return s;
}

bool bench_same_outcome(const struct machine_outcome *a, const struct machine_outcome *b)
{
    return a->index == b->index && a->kind == b->kind && a->status == b->status &&
           a->run_count == b->run_count && a->slot == b->slot && a->feed_before == b->feed_before &&
           a->feed_after == b->feed_after && a->day_ended == b->day_ended &&
           a->day_began == b->day_began && a->session_ended == b->session_ended &&
           (a->kind != ENTRY_OPERATOR || a->value == b->value) && a->repeats == b->repeats &&
           memcmp(a->run, b->run, a->run_count * sizeof(a->run[0])) == 0;
}

uint64_t bench_random(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15ull;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ z >> 27) * 0x94d049bb133111ebull;
    return z ^ z >> 31;
}
