/* The machine beside a second, plain one: a list of sessions, each with a list of all that was ever
 * decided in it, every message judged by itself. Random entries, many of them wrong in one way or
 * another, go to both; a third machine is decoded anew from the first one's encoding again and
 * again. Every status must have been reached often, else the generator is at fault.
 */
#include "tests/unit/machine/bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    ENTRIES = 60000,
    MODEL_SESSIONS = 4096,
    MODEL_NUMBERS = 4096, /* per session */
    NAMES = 3,
    CLIENTS = 2,
    PROCESSES = 3,
    SESSIONS_MAX = 5,
    PER_PRINCIPAL = 3,
    TTL_MAX_MS = 40,
    RETAIN_MS = 90
};

struct model_result {
    uint32_t seed; /* names the content together with the number */
    uint8_t status;
    uint64_t feed;
};

struct model_session {
    uint64_t id, epoch, process, last, began, ended;
    uint32_t principal, name, window, ttl_ms;
    bool alive, gone;
    struct model_result *result; /* of number n at n */
};

struct model {
    uint32_t count;
    struct model_session session[MODEL_SESSIONS];
    uint64_t feed_next, log_ns, noop_log_ns, noop_term, index;
    uint32_t day;
    bool day_open;
    uint32_t reached[MACHINE_BAD_ENTRY + 1];
    uint32_t ends, ends_without_day, forgotten;
};

static const char *const names[NAMES] = {"alpha", "beta", "a-name-of-just-thirty-one-bytes"};
static struct model model;
static struct bench bench;
static struct machine *twin;
static uint64_t seed;
static const uint64_t rho = 200;

static uint32_t draw(uint32_t below)
{
    return (uint32_t)(bench_random(&seed) % below);
}

static struct model_session *model_by_id(uint64_t id)
{
    for (uint32_t i = 0; i < model.count; i++)
        if (model.session[i].id == id && !model.session[i].gone)
            return &model.session[i];
    return NULL;
}

static struct model_session *model_by_name(uint32_t principal, uint32_t name)
{
    for (uint32_t i = model.count; i-- > 0;)
        if (!model.session[i].gone && model.session[i].principal == principal &&
            model.session[i].name == name)
            return &model.session[i];
    return NULL;
}

static void model_forget(void)
{
    for (uint32_t i = 0; i < model.count; i++) {
        struct model_session *s = &model.session[i];
        if (!s->gone && !s->alive && model.log_ns >= s->ended + RETAIN_MS * 1000000ull) {
            s->gone = true;
            free(s->result);
            s->result = NULL;
            model.forgotten++;
        }
    }
}

/* One message alone. */
static struct model_result model_message(const struct entry *e, const struct entry_messages *m,
                                         uint64_t number, uint32_t content)
{
    struct model_result r = {.seed = content};
    struct model_session *s = model_by_id(m->session);
    if (s == NULL) {
        r.status = MACHINE_UNKNOWN;
    } else if (s->principal != e->principal) {
        r.status = MACHINE_NOT_OWNER;
    } else if (!s->alive) {
        r.status = MACHINE_SESSION_ENDED;
    } else if (s->epoch != m->epoch) {
        r.status = MACHINE_EPOCH;
    } else if (number <= s->last) {
        if (number + s->window <= s->last)
            r.status = MACHINE_UNKNOWN;
        else
            r.status = s->result[number].seed == content ? MACHINE_DUPLICATE : MACHINE_DIFFERENT;
    } else if (number != s->last + 1) {
        r.status = MACHINE_GAP;
    } else if (number > m->acked + s->window) {
        r.status = MACHINE_WINDOW;
    } else {
        r.status = model.day_open ? MACHINE_SEQUENCED : MACHINE_DAY_CLOSED;
        r.feed = model.day_open ? model.feed_next++ : 0;
        s->last = number;
        s->result[number] = r;
    }
    model.reached[r.status]++;
    return r;
}

/* Sends some entry of messages and compares each number's result. */
static void step_messages(void)
{
    uint64_t session = 1 + bench_random(&seed) % (model.index + 1);
    struct model_session *s = NULL;
    for (uint32_t tries = 0; tries < 8 && (s == NULL || s->gone); tries++)
        s = model.count == 0
                ? NULL
                : &model.session[model.count - 1 - draw(model.count) % 9 % model.count];
    uint64_t last = 0, epoch = 1, window = 4;
    uint32_t principal = BENCH_ALICE + draw(CLIENTS);
    if (s != NULL && draw(20) > 0) {
        session = s->id;
        last = s->last;
        epoch = draw(12) > 0 ? s->epoch : s->id;
        window = s->window;
        if (draw(16) > 0)
            principal = s->principal;
    }
    uint64_t back = draw(3) == 0 ? draw(14) : 0;
    uint64_t number = last + 1 > back ? last + 1 - back : 1;
    if (draw(12) == 0)
        number += 1 + draw(3);
    uint64_t acked = number - 1;
    if (draw(3) == 0)
        acked = acked > window / 2 ? acked - draw((uint32_t)window + 1) % (acked + 1) : 0;
    uint32_t count = 1 + draw(draw(4) == 0 ? 24 : 5);
    if (number + count >= MODEL_NUMBERS)
        return;
    uint32_t content = draw(10) == 0 ? 1 : 0;
    struct entry *e =
        bench_build_messages(&bench, principal, session, epoch, number, acked, count, content);
    const struct machine_outcome *o = bench_apply(&bench);
    const struct entry_messages *m = entry_body(e);
    uint32_t run = 0, within = 0;
    for (uint32_t i = 0; i < count; i++) {
        struct model_result r = model_message(e, m, number + i, content);
        CU_ASSERT_FATAL(run < o->run_count);
        CU_ASSERT_EQUAL_FATAL(o->run[run].number + within, number + i);
        CU_ASSERT_EQUAL_FATAL(o->run[run].status, r.status);
        CU_ASSERT_EQUAL_FATAL(o->run[run].feed == 0 ? 0 : o->run[run].feed + within, r.feed);
        if (++within == o->run[run].count) {
            run++;
            within = 0;
        }
    }
    CU_ASSERT_EQUAL_FATAL(run, o->run_count);
}

static bool model_room(uint32_t principal, enum machine_status *status)
{
    uint32_t mine = 0, all = 0;
    for (uint32_t i = 0; i < model.count; i++) {
        all += !model.session[i].gone;
        mine += !model.session[i].gone && model.session[i].principal == principal;
    }
    *status = mine >= PER_PRINCIPAL ? MACHINE_SESSION_LIMIT
              : all >= SESSIONS_MAX ? MACHINE_SESSION_TABLE
                                    : MACHINE_SEQUENCED;
    return *status == MACHINE_SEQUENCED;
}

static enum machine_status model_open(uint32_t principal, uint32_t name, uint64_t process,
                                      uint32_t window, struct model_session **s)
{
    enum machine_status status;
    *s = model_by_name(principal, name);
    if (*s != NULL && (*s)->alive)
        return (*s)->process == process ? MACHINE_SEQUENCED : MACHINE_SESSION_EXISTS;
    *s = NULL;
    if (!model_room(principal, &status))
        return status;
    CU_ASSERT_FATAL(model.count < MODEL_SESSIONS);
    *s = &model.session[model.count++];
    **s = (struct model_session){
        .id = model.index,
        .epoch = model.index,
        .process = process,
        .began = model.log_ns,
        .principal = principal,
        .name = name,
        .window = window,
        .ttl_ms = 20,
        .alive = true,
        .result = calloc(MODEL_NUMBERS, sizeof(struct model_result)),
    };
    return MACHINE_SEQUENCED;
}

static enum machine_status model_resume(uint32_t principal, uint32_t name, uint64_t process,
                                        uint64_t replaces, struct model_session **s)
{
    *s = model_by_name(principal, name);
    if (*s == NULL)
        return MACHINE_UNKNOWN;
    if (!(*s)->alive)
        return MACHINE_SESSION_ENDED;
    if ((*s)->process == process)
        return MACHINE_SEQUENCED;
    if ((*s)->epoch != replaces)
        return MACHINE_EPOCH;
    (*s)->epoch = model.index;
    (*s)->process = process;
    (*s)->began = model.log_ns;
    return MACHINE_SEQUENCED;
}

static void model_end(struct model_session *s)
{
    s->alive = false;
    s->ended = model.log_ns == 0 ? 1 : model.log_ns;
    if (model.day_open)
        model.feed_next++;
    model.ends++;
    model.ends_without_day += !model.day_open;
}

static void check_answer(enum machine_status status, const struct model_session *s)
{
    model.reached[status]++;
    CU_ASSERT_EQUAL_FATAL(bench.outcome.status, status);
    const struct machine_session *found = machine_session_at(bench.machine, bench.outcome.slot);
    CU_ASSERT_EQUAL_FATAL(found == NULL ? 0 : found->id, s == NULL ? 0 : s->id);
}

static void step_open(bool resume)
{
    uint32_t principal = BENCH_ALICE + draw(CLIENTS);
    uint32_t name = draw(NAMES);
    struct model_session *s = model_by_name(principal, name);
    struct entry_session_open open = {.process = 1 + draw(PROCESSES), .ttl_ms = 20};
    open.window = (uint16_t)(1 + draw(8));
    memcpy(open.name, names[name], strlen(names[name]));
    if (resume && s != NULL)
        open.replaces = draw(4) > 0 ? s->epoch : s->id;
    bench_build(&bench, resume ? ENTRY_SESSION_RESUME : ENTRY_SESSION_OPEN, principal, &open,
                sizeof(open));
    bench_apply(&bench);
    model_forget();
    enum machine_status status =
        resume ? model_resume(principal, name, open.process, open.replaces, &s)
               : model_open(principal, name, open.process, open.window, &s);
    check_answer(status, s);
}

static enum machine_status model_judge_end(const struct model_session *s, uint32_t principal,
                                           const struct entry_session_end *end, bool expire)
{
    bool replica = principal < KEEL_CLIENT_MIN;
    if (s == NULL)
        return MACHINE_UNKNOWN;
    if (expire || end->reason == SESSION_END_KILLED ? !replica : principal != s->principal)
        return MACHINE_NOT_OWNER;
    if (!expire)
        return end->epoch == s->epoch || (replica && end->epoch == 0) ? MACHINE_SEQUENCED
                                                                      : MACHINE_EPOCH;
    if (!s->alive)
        return MACHINE_SESSION_ENDED;
    bool due = end->term == model.noop_term && end->epoch == s->epoch &&
               model.log_ns >= model.noop_log_ns + TTL_MAX_MS * (1000000 + rho) &&
               model.log_ns >= s->began + s->ttl_ms * (1000000 + rho);
    return due ? MACHINE_SEQUENCED : MACHINE_NOT_EXPIRED;
}

static void step_end(bool expire)
{
    uint32_t pick = model.count == 0 ? 0 : model.count - 1 - draw(model.count) % 9 % model.count;
    const struct model_session *wanted = &model.session[pick];
    struct entry_session_end end = {.session = model.count == 0 ? 1 : wanted->id};
    end.epoch = draw(5) > 0 ? wanted->epoch : wanted->id * draw(2);
    end.term = expire ? bench.term - (draw(6) == 0 ? 1 : 0) : 0;
    end.reason = expire        ? SESSION_END_EXPIRED
                 : draw(3) > 0 ? SESSION_END_CLEAN
                               : SESSION_END_KILLED;
    bool as_replica = end.reason == SESSION_END_CLEAN ? draw(8) == 0 : draw(8) > 0;
    uint32_t principal = as_replica    ? BENCH_REPLICA
                         : draw(8) > 0 ? wanted->principal
                                       : BENCH_ALICE + draw(CLIENTS);
    if (principal == 0)
        principal = BENCH_ALICE;
    bench_build(&bench, expire ? ENTRY_SESSION_EXPIRE : ENTRY_SESSION_END, principal, &end,
                sizeof(end));
    bench_apply(&bench);
    model_forget();
    struct model_session *s = model_by_id(end.session);
    enum machine_status status = model_judge_end(s, principal, &end, expire);
    check_answer(status, status == MACHINE_NOT_OWNER ? NULL : s);
    bool ends = status == MACHINE_SEQUENCED && s->alive;
    CU_ASSERT_EQUAL_FATAL(bench.outcome.session_ended, ends && model.day_open);
    if (ends)
        model_end(s);
}

static void step_day(void)
{
    bool end = draw(2) == 0;
    uint32_t wanted = model.day + draw(2);
    char text[24];
    bench_text(text, wanted, 0);
    bench_day(&bench, end ? ENTRY_DAY_END : ENTRY_DAY_BEGIN, text);
    model_forget();
    bool ok = end ? model.day_open && wanted == model.day : !model.day_open && wanted != model.day;
    check_answer(ok ? MACHINE_SEQUENCED : MACHINE_DAY_STATE, NULL);
    if (!ok)
        return;
    model.day_open = !end;
    model.day = wanted;
    if (!end)
        model.feed_next = 1;
}

static void step_noop(void)
{
    bench_noop(&bench, bench.term + 1);
    model_forget();
    model.noop_term = bench.term;
    model.noop_log_ns = model.log_ns;
}

static void step(void)
{
    uint32_t what = draw(1000);
    bench.utc_ns += draw(1000);
    bench.log_ns += draw(4) == 0 ? draw(6000000) : draw(3);
    if (model.log_ns < bench.log_ns)
        model.log_ns = bench.log_ns;
    model.index = bench.machine->applied + 1;
    if (what < 700)
        step_messages();
    else if (what < 800)
        step_open(false);
    else if (what < 880)
        step_open(true);
    else if (what < 920)
        step_end(false);
    else if (what < 980)
        step_end(true);
    else if (what < 995)
        step_day();
    else
        step_noop();
}

static void compare_sessions(void)
{
    uint32_t present = 0;
    for (uint32_t i = 0; i < model.count; i++) {
        const struct model_session *s = &model.session[i];
        const struct machine_session *found = machine_session(bench.machine, s->id);
        if (s->gone) {
            CU_ASSERT_PTR_NULL_FATAL(found);
            continue;
        }
        present++;
        CU_ASSERT_PTR_NOT_NULL_FATAL(found);
        CU_ASSERT_FATAL(found->last == s->last && found->epoch == s->epoch &&
                        found->process == s->process && found->window == s->window &&
                        (found->end_reason == 0) == s->alive && found->ended_log_ns == s->ended);
        for (uint64_t n = s->last > s->window ? s->last - s->window + 1 : 1; n <= s->last; n++) {
            const struct machine_kept *kept = machine_kept(found, n);
            CU_ASSERT_PTR_NOT_NULL_FATAL(kept);
            CU_ASSERT_FATAL(kept->feed == s->result[n].feed && kept->status == s->result[n].status);
        }
    }
    CU_ASSERT_EQUAL_FATAL(bench.machine->session_count, present);
    for (uint32_t p = BENCH_ALICE; p < BENCH_ALICE + CLIENTS; p++)
        for (uint32_t n = 0; n < NAMES; n++) {
            const struct model_session *s = model_by_name(p, n);
            const struct machine_session *found = machine_session_named(bench.machine, p, names[n]);
            CU_ASSERT_EQUAL_FATAL(found == NULL ? 0 : found->id, s == NULL ? 0 : s->id);
        }
}

/* The twin is decoded anew at times, and must decide the same from there on. */
static void follow_with_twin(uint32_t round, uint8_t *bytes, size_t cap)
{
    if (round % 1000 == 0) {
        size_t size = machine_encode(bench.machine, bytes, cap);
        CU_ASSERT_FATAL(size > 0);
        const char *problem = machine_decode(twin, &bench.genesis, bytes, size);
        CU_ASSERT_PTR_NULL_FATAL(problem);
        CU_ASSERT_EQUAL_FATAL(machine_fingerprint(twin), machine_fingerprint(bench.machine));
        return;
    }
    if (twin->applied == bench.machine->applied)
        return;
    struct machine_outcome outcome;
    machine_apply(twin, (const struct entry *)(const void *)bench.bytes, &outcome);
    CU_ASSERT_FATAL(bench_same_outcome(&outcome, &bench.outcome));
    CU_ASSERT_EQUAL_FATAL(twin->digest, bench.machine->digest);
}

static void run_model(void)
{
    struct genesis genesis = bench_genesis();
    genesis.sessions_max = SESSIONS_MAX;
    genesis.sessions_per_principal = PER_PRINCIPAL;
    genesis.window_max = 8;
    genesis.ttl_min_ms = 10;
    genesis.ttl_max_ms = TTL_MAX_MS;
    genesis.session_retain_ms = RETAIN_MS;
    memset(genesis.day, ' ', sizeof(genesis.day));
    memcpy(genesis.day, "0:0", 3);
    bench_init(&bench, &genesis);
    twin = bench_memory(&genesis);
    machine_init(twin, &genesis);
    memset(&model, 0, sizeof(model));
    model.feed_next = 1;
    model.day_open = true;
    seed = 20240611;
    size_t cap = machine_encoded_max(&bench.genesis);
    uint8_t *bytes = malloc(cap);
    for (uint32_t round = 0; round < ENTRIES; round++) {
        step();
        CU_ASSERT_EQUAL_FATAL(bench.machine->feed_next, model.feed_next);
        CU_ASSERT_EQUAL_FATAL(bench.machine->day_open, model.day_open);
        follow_with_twin(round, bytes, cap);
        if (round % 64 == 0)
            compare_sessions();
    }
    CU_ASSERT_EQUAL(machine_fingerprint(twin), machine_fingerprint(bench.machine));
    free(bytes);
    free(twin);
    for (uint32_t i = 0; i < model.count; i++)
        free(model.session[i].result);
    bench_free(&bench);
}

/* A generator that never makes the bad input proves nothing. */
static void every_status_was_reached(void)
{
    for (int status = 0; status < MACHINE_BAD_ENTRY; status++) {
        bool known = strcmp(machine_status_name((enum machine_status)status), "invalid") != 0;
        if (status >= MACHINE_DONE && status <= MACHINE_NOT_OPEN)
            continue; /* of nodes and locks: test_machine_nodes_random.c */
        if (known && status != MACHINE_BOOT_OLD && model.reached[status] < 100)
            printf("# %s: reached %u times\n", machine_status_name((enum machine_status)status),
                   model.reached[status]);
        CU_ASSERT(!known || status == MACHINE_BOOT_OLD || model.reached[status] >= 100);
    }
    CU_ASSERT(model.ends >= 100);
    CU_ASSERT(model.ends_without_day >= 20);
    CU_ASSERT(model.forgotten >= 100);
}

int main(void)
{
    static const struct unit_test tests[] = {
        {"60,000 random entries decide as a plain model does", run_model},
        {"every status was reached", every_status_was_reached},
        {0}};
    return unit_main("machine_model", tests);
}
