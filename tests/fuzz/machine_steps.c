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

/* Any body of any kind, if it has an entry's form. */
static bool build_raw(struct bench *bench, struct fuzz_input *in)
{
    uint8_t body[sizeof(struct entry_messages) + 64];
    enum entry_kind kind = (enum entry_kind)(ENTRY_NOOP + fuzz_below(in, ENTRY_CONFIG));
    static const uint8_t sizes[] = {
        [ENTRY_NOOP] = 16,           [ENTRY_MESSAGES] = 64,    [ENTRY_SESSION_OPEN] = 56,
        [ENTRY_SESSION_RESUME] = 56, [ENTRY_SESSION_END] = 32, [ENTRY_SESSION_EXPIRE] = 32,
        [ENTRY_DAY_END] = 16,        [ENTRY_DAY_BEGIN] = 16,   [ENTRY_BOOT] = 32,
        [ENTRY_CONFIG] = 80};
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
    default:
        return build_messages(bench, in);
    }
}
