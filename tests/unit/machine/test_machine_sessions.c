#include "tests/unit/machine/bench.h"

#include <stdio.h>
#include <string.h>

static struct bench b;

static void start(void)
{
    struct genesis genesis = bench_genesis();
    bench_init(&b, &genesis);
    bench_noop(&b, 1);
}

static void opens(void)
{
    start();
    const struct machine_outcome *o = bench_open(&b, BENCH_ALICE, "gw", 11, 16);
    CU_ASSERT_EQUAL(o->status, MACHINE_SEQUENCED);
    const struct machine_session *s = bench_session(&b);
    CU_ASSERT_EQUAL(s->id, b.machine->applied);
    CU_ASSERT_EQUAL(s->epoch, s->id);
    CU_ASSERT_EQUAL(s->principal, BENCH_ALICE);
    CU_ASSERT_EQUAL(s->process, 11);
    CU_ASSERT_EQUAL(s->window, 16);
    CU_ASSERT_EQUAL(s->ttl_ms, 5000);
    CU_ASSERT_EQUAL(s->last, 0);
    CU_ASSERT_STRING_EQUAL(s->name, "gw");
    CU_ASSERT_PTR_EQUAL(machine_session(b.machine, s->id), s);
    CU_ASSERT_PTR_EQUAL(machine_session_named(b.machine, BENCH_ALICE, "gw"), s);
    CU_ASSERT_PTR_NULL(machine_session_named(b.machine, BENCH_BOB, "gw"));
    CU_ASSERT_PTR_NULL(machine_session_named(b.machine, BENCH_ALICE, "g"));
    /* A name belongs to its principal. */
    CU_ASSERT_EQUAL(bench_open(&b, BENCH_BOB, "gw", 11, 16)->status, MACHINE_SEQUENCED);
    CU_ASSERT_NOT_EQUAL(bench_session(&b)->id, s->id);
    bench_free(&b);
}

static void wishes_are_clamped(void)
{
    struct genesis genesis = bench_genesis();
    genesis.window_max = 8;
    bench_init(&b, &genesis);
    struct entry_session_open open = {
        .name = "a", .process = 1, .ttl_ms = UINT32_MAX, .window = 64};
    bench_build(&b, ENTRY_SESSION_OPEN, BENCH_ALICE, &open, sizeof(open));
    bench_apply(&b);
    CU_ASSERT_EQUAL(bench_session(&b)->window, 8);
    CU_ASSERT_EQUAL(bench_session(&b)->ttl_ms, 60000);
    open.name[0] = 'b';
    open.ttl_ms = 0;
    bench_build(&b, ENTRY_SESSION_OPEN, BENCH_ALICE, &open, sizeof(open));
    bench_apply(&b);
    CU_ASSERT_EQUAL(bench_session(&b)->ttl_ms, 2000);
    bench_free(&b);
}

static void open_again(void)
{
    start();
    bench_open(&b, BENCH_ALICE, "gw", 11, 16);
    struct machine_session before = *bench_session(&b);
    CU_ASSERT_EQUAL(bench_open(&b, BENCH_ALICE, "gw", 11, 3)->status, MACHINE_SEQUENCED);
    CU_ASSERT_EQUAL(memcmp(bench_session(&b), &before, sizeof(before)), 0);
    CU_ASSERT_EQUAL(bench_open(&b, BENCH_ALICE, "gw", 12, 16)->status, MACHINE_SESSION_EXISTS);
    CU_ASSERT_EQUAL(memcmp(bench_session(&b), &before, sizeof(before)), 0);
    CU_ASSERT_EQUAL(b.machine->session_count, 1);
    bench_free(&b);
}

static void resumes(void)
{
    start();
    bench_open(&b, BENCH_ALICE, "gw", 11, 16);
    uint64_t id = bench_session(&b)->id;
    bench_send(&b, BENCH_ALICE, id, id, 1, 0, 5);
    b.log_ns = 777;
    CU_ASSERT_EQUAL(bench_resume(&b, BENCH_ALICE, "gw", 12, id)->status, MACHINE_SEQUENCED);
    const struct machine_session *s = bench_session(&b);
    CU_ASSERT_EQUAL(s->id, id);
    CU_ASSERT_EQUAL(s->epoch, b.machine->applied);
    CU_ASSERT_EQUAL(s->process, 12);
    CU_ASSERT_EQUAL(s->window, 16); /* fixed at open */
    CU_ASSERT_EQUAL(s->ttl_ms, 7000);
    CU_ASSERT_EQUAL(s->began_log_ns, 777);
    CU_ASSERT_EQUAL(s->last, 5);
    struct packet_result_run runs[8];
    CU_ASSERT_EQUAL(machine_runs(s, 1, 5, runs, 8), 1);
    CU_ASSERT_EQUAL(runs[0].count, 5);
    CU_ASSERT_EQUAL(bench_resume(&b, BENCH_ALICE, "nobody", 12, id)->status, MACHINE_UNKNOWN);
    CU_ASSERT_EQUAL(bench_resume(&b, BENCH_BOB, "gw", 13, s->epoch)->status, MACHINE_UNKNOWN);
    bench_free(&b);
}

/* H16: a resume sent twice must stay one epoch, or it shuts its own sender out. Process 2's resume
 * is in the log twice; then process 1, which slept, tries with the epoch that it knew; then process
 * 3 takes over rightly and process 2's third copy comes late. */
static void h16_doubled_resume(void)
{
    start();
    bench_open(&b, BENCH_ALICE, "gw", 1, 16);
    uint64_t id = bench_session(&b)->id;
    bench_resume(&b, BENCH_ALICE, "gw", 2, id);
    uint64_t epoch = bench_session(&b)->epoch;
    CU_ASSERT_EQUAL(bench_resume(&b, BENCH_ALICE, "gw", 2, id)->status, MACHINE_SEQUENCED);
    CU_ASSERT_EQUAL(bench_session(&b)->epoch, epoch);
    CU_ASSERT_EQUAL(bench_resume(&b, BENCH_ALICE, "gw", 1, id)->status, MACHINE_EPOCH);
    CU_ASSERT_EQUAL(bench_session(&b)->epoch, epoch);
    CU_ASSERT_EQUAL(bench_session(&b)->process, 2);
    bench_resume(&b, BENCH_ALICE, "gw", 3, epoch);
    uint64_t third = bench_session(&b)->epoch;
    CU_ASSERT_EQUAL(bench_resume(&b, BENCH_ALICE, "gw", 2, id)->status, MACHINE_EPOCH);
    CU_ASSERT_EQUAL(bench_session(&b)->epoch, third);
    CU_ASSERT_EQUAL(bench_open(&b, BENCH_ALICE, "gw", 1, 16)->status, MACHINE_SESSION_EXISTS);
    bench_free(&b);
}

/* H16: after retention a name is opened again, and a process that slept since writes into it. Ids
 * and epochs are log indexes, so what it knew names nothing any more. */
static void h16_name_opened_again(void)
{
    start();
    b.log_ns = 500;
    bench_open(&b, BENCH_ALICE, "gw", 1, 16);
    uint64_t id = bench_session(&b)->id;
    bench_send(&b, BENCH_ALICE, id, id, 1, 0, 5);
    bench_end(&b, BENCH_ALICE, id, id, SESSION_END_CLEAN);
    b.log_ns += (uint64_t)b.genesis.session_retain_ms * 1000000;
    bench_open(&b, BENCH_ALICE, "gw", 2, 16);
    struct machine_session before = *bench_session(&b);
    CU_ASSERT_NOT_EQUAL(before.id, id);
    CU_ASSERT_EQUAL(before.last, 0);
    CU_ASSERT_EQUAL(b.machine->session_count, 1);
    bench_send(&b, BENCH_ALICE, id, id, 1, 0, 1);
    CU_ASSERT_EQUAL(b.outcome.run[0].status, MACHINE_UNKNOWN);
    bench_send(&b, BENCH_ALICE, before.id, id, 1, 0, 1);
    CU_ASSERT_EQUAL(b.outcome.run[0].status, MACHINE_EPOCH);
    CU_ASSERT_EQUAL(bench_resume(&b, BENCH_ALICE, "gw", 1, id)->status, MACHINE_EPOCH);
    CU_ASSERT_EQUAL(bench_end(&b, BENCH_ALICE, id, id, SESSION_END_CLEAN)->status, MACHINE_UNKNOWN);
    CU_ASSERT_EQUAL(memcmp(machine_session(b.machine, before.id), &before, sizeof(before)), 0);
    bench_free(&b);
}

static void end_takes_a_number(void)
{
    start();
    bench_open(&b, BENCH_ALICE, "gw", 1, 16);
    uint64_t id = bench_session(&b)->id;
    bench_send(&b, BENCH_ALICE, id, id, 1, 0, 5);
    b.log_ns = 4000;
    const struct machine_outcome *o = bench_end(&b, BENCH_ALICE, id, id, SESSION_END_CLEAN);
    CU_ASSERT_EQUAL(o->status, MACHINE_SEQUENCED);
    CU_ASSERT_TRUE(o->session_ended);
    CU_ASSERT_EQUAL(o->feed_before, 6);
    CU_ASSERT_EQUAL(o->feed_after, 7);
    CU_ASSERT_EQUAL(bench_session(&b)->end_reason, SESSION_END_CLEAN);
    CU_ASSERT_EQUAL(bench_session(&b)->ended_log_ns, 4000);
    struct machine_session_end_message message;
    machine_session_end_fill(bench_session(&b), &message);
    CU_ASSERT_EQUAL(message.session[7], id);
    CU_ASSERT_EQUAL(message.last[7], 5);
    CU_ASSERT_EQUAL(message.principal[3], BENCH_ALICE);
    CU_ASSERT_EQUAL(message.reason[3], SESSION_END_CLEAN);
    CU_ASSERT_STRING_EQUAL(message.name, "gw");
    /* Once more: done, and no second number. */
    o = bench_end(&b, BENCH_ALICE, id, id, SESSION_END_CLEAN);
    CU_ASSERT_EQUAL(o->status, MACHINE_SEQUENCED);
    CU_ASSERT_FALSE(o->session_ended);
    CU_ASSERT_EQUAL(o->feed_after, 7);
    bench_free(&b);
}

static void end_outside_a_day_takes_none(void)
{
    start();
    bench_open(&b, BENCH_ALICE, "gw", 1, 16);
    uint64_t id = bench_session(&b)->id;
    bench_day(&b, ENTRY_DAY_END, "DAY1");
    const struct machine_outcome *o = bench_end(&b, BENCH_ALICE, id, id, SESSION_END_CLEAN);
    CU_ASSERT_EQUAL(o->status, MACHINE_SEQUENCED);
    CU_ASSERT_FALSE(o->session_ended);
    CU_ASSERT_EQUAL(o->feed_before, o->feed_after);
    CU_ASSERT_NOT_EQUAL(bench_session(&b)->end_reason, 0);
    CU_ASSERT_NOT_EQUAL(bench_session(&b)->ended_log_ns, 0); /* although log time is 0 */
    bench_free(&b);
}

/* H17: who may end a session: its owner of the current epoch, or an operator through a replica. */
static void h17_who_may_end(void)
{
    start();
    bench_open(&b, BENCH_ALICE, "gw", 1, 16);
    uint64_t id = bench_session(&b)->id;
    bench_resume(&b, BENCH_ALICE, "gw", 2, id);
    uint64_t epoch = bench_session(&b)->epoch;
    struct machine_session before = *bench_session(&b);
    const struct {
        uint32_t principal;
        uint64_t epoch;
        enum session_end_reason reason;
        enum machine_status status;
    } refused[] = {
        {BENCH_BOB, epoch, SESSION_END_CLEAN, MACHINE_NOT_OWNER},
        {BENCH_BOB, epoch, SESSION_END_KILLED, MACHINE_NOT_OWNER},
        {BENCH_ALICE, epoch, SESSION_END_KILLED, MACHINE_NOT_OWNER},
        {BENCH_REPLICA, epoch, SESSION_END_CLEAN, MACHINE_NOT_OWNER},
        {BENCH_ALICE, id, SESSION_END_CLEAN, MACHINE_EPOCH},
        {BENCH_ALICE, 0, SESSION_END_CLEAN, MACHINE_EPOCH},
        {BENCH_REPLICA, id, SESSION_END_KILLED, MACHINE_EPOCH},
    };
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        bench_end(&b, refused[i].principal, id, refused[i].epoch, refused[i].reason);
        CU_ASSERT_EQUAL(b.outcome.status, refused[i].status);
        CU_ASSERT_EQUAL(b.outcome.slot == UINT32_MAX, refused[i].status == MACHINE_NOT_OWNER);
        CU_ASSERT_EQUAL(memcmp(machine_session(b.machine, id), &before, sizeof(before)), 0);
        CU_ASSERT_EQUAL(b.outcome.feed_after, 1);
    }
    const struct machine_outcome *o = bench_end(&b, BENCH_REPLICA, id, 0, SESSION_END_KILLED);
    CU_ASSERT_EQUAL(o->status, MACHINE_SEQUENCED);
    CU_ASSERT_TRUE(o->session_ended);
    CU_ASSERT_EQUAL(bench_session(&b)->end_reason, SESSION_END_KILLED);
    CU_ASSERT_EQUAL(bench_end(&b, BENCH_REPLICA, 999, 0, SESSION_END_KILLED)->status,
                    MACHINE_UNKNOWN);
    bench_free(&b);
}

/* Expiry: term of the latest no-op, current epoch, no-op + TTL_max x (1 + rho), and the open or
 * resume + TTL x (1 + rho): each bound to the nanosecond, from both sides. */
static void expiry_waits_for_every_bound(void)
{
    start();
    uint64_t noop_wait = 60000ull * (1000000 + b.genesis.rho_ppm);
    uint64_t wait = 5000ull * (1000000 + b.genesis.rho_ppm);
    b.log_ns = noop_wait - 1000;
    bench_open(&b, BENCH_ALICE, "gw", 1, 16);
    uint64_t id = bench_session(&b)->id;
    uint64_t began = b.log_ns;
    b.log_ns = began + wait - 1;
    CU_ASSERT_EQUAL(bench_expire(&b, BENCH_REPLICA, id, id, 1)->status, MACHINE_NOT_EXPIRED);
    b.log_ns = began + wait;
    CU_ASSERT_EQUAL(bench_expire(&b, BENCH_REPLICA, id, id, 2)->status, MACHINE_NOT_EXPIRED);
    CU_ASSERT_EQUAL(bench_expire(&b, BENCH_REPLICA, id, id + 1, 1)->status, MACHINE_NOT_EXPIRED);
    CU_ASSERT_EQUAL(bench_expire(&b, BENCH_ALICE, id, id, 1)->status, MACHINE_NOT_OWNER);
    CU_ASSERT_EQUAL(bench_expire(&b, BENCH_REPLICA, id + 1, id, 1)->status, MACHINE_UNKNOWN);
    CU_ASSERT_EQUAL(machine_session(b.machine, id)->end_reason, 0);
    /* A new leader gives every session TTL_max x (1 + rho) from its own no-op. */
    bench_noop(&b, 2);
    uint64_t noop = b.log_ns;
    CU_ASSERT_EQUAL(bench_expire(&b, BENCH_REPLICA, id, id, 1)->status, MACHINE_NOT_EXPIRED);
    b.log_ns = noop + noop_wait - 1;
    CU_ASSERT_EQUAL(bench_expire(&b, BENCH_REPLICA, id, id, 2)->status, MACHINE_NOT_EXPIRED);
    CU_ASSERT_EQUAL(bench_expire(&b, BENCH_REPLICA, id, id, 1)->status, MACHINE_NOT_EXPIRED);
    b.log_ns = noop + noop_wait;
    const struct machine_outcome *o = bench_expire(&b, BENCH_REPLICA, id, id, 2);
    CU_ASSERT_EQUAL(o->status, MACHINE_SEQUENCED);
    CU_ASSERT_TRUE(o->session_ended);
    CU_ASSERT_EQUAL(bench_session(&b)->end_reason, SESSION_END_EXPIRED);
    CU_ASSERT_EQUAL(bench_expire(&b, BENCH_REPLICA, id, id, 2)->status, MACHINE_SESSION_ENDED);
    CU_ASSERT_FALSE(b.outcome.session_ended);
    bench_free(&b);
}

/* An expiry proposed for the old life does not end the one that resumed before it was applied. */
static void expiry_loses_to_a_resume(void)
{
    start();
    bench_open(&b, BENCH_ALICE, "gw", 1, 16);
    uint64_t id = bench_session(&b)->id;
    b.log_ns = 3600ull * 1000000000;
    bench_resume(&b, BENCH_ALICE, "gw", 2, id);
    uint64_t epoch = bench_session(&b)->epoch;
    CU_ASSERT_EQUAL(bench_expire(&b, BENCH_REPLICA, id, id, 1)->status, MACHINE_NOT_EXPIRED);
    CU_ASSERT_EQUAL(bench_expire(&b, BENCH_REPLICA, id, epoch, 1)->status, MACHINE_NOT_EXPIRED);
    b.log_ns += 7000ull * (1000000 + b.genesis.rho_ppm);
    CU_ASSERT_EQUAL(bench_expire(&b, BENCH_REPLICA, id, epoch, 1)->status, MACHINE_SEQUENCED);
    bench_free(&b);
}

static void ended_sessions_keep_their_results(void)
{
    start();
    bench_open(&b, BENCH_ALICE, "gw", 1, 16);
    uint64_t id = bench_session(&b)->id;
    bench_send(&b, BENCH_ALICE, id, id, 1, 0, 5);
    b.log_ns = 1000;
    bench_end(&b, BENCH_ALICE, id, id, SESSION_END_CLEAN);
    CU_ASSERT_EQUAL(bench_resume(&b, BENCH_ALICE, "gw", 2, id)->status, MACHINE_SESSION_ENDED);
    CU_ASSERT_EQUAL(bench_session(&b)->id, id);
    CU_ASSERT_EQUAL(machine_kept(bench_session(&b), 5)->feed, 5);
    /* A new one beside it; by name the alive one is found, by id both. */
    bench_open(&b, BENCH_ALICE, "gw", 3, 16);
    uint64_t second = bench_session(&b)->id;
    CU_ASSERT_EQUAL(machine_session_named(b.machine, BENCH_ALICE, "gw")->id, second);
    CU_ASSERT_EQUAL(machine_session(b.machine, id)->last, 5);
    b.log_ns = 2000;
    bench_end(&b, BENCH_ALICE, second, second, SESSION_END_CLEAN);
    CU_ASSERT_EQUAL(machine_session_named(b.machine, BENCH_ALICE, "gw")->id, second);
    /* Retention is log time, to the nanosecond, and frees the slots one by one. */
    uint64_t retain = (uint64_t)b.genesis.session_retain_ms * 1000000;
    b.log_ns = 1000 + retain - 1;
    bench_noop(&b, 1);
    CU_ASSERT_PTR_NOT_NULL(machine_session(b.machine, id));
    b.log_ns = 1000 + retain;
    bench_noop(&b, 1);
    CU_ASSERT_PTR_NULL(machine_session(b.machine, id));
    CU_ASSERT_PTR_NOT_NULL(machine_session(b.machine, second));
    b.log_ns = 2000 + retain;
    bench_noop(&b, 1);
    CU_ASSERT_PTR_NULL(machine_session_named(b.machine, BENCH_ALICE, "gw"));
    CU_ASSERT_EQUAL(b.machine->session_count, 0);
    CU_ASSERT_EQUAL(b.machine->ended_first, 0);
    CU_ASSERT_EQUAL(b.machine->ended_last, 0);
    bench_free(&b);
}

static void limits(void)
{
    struct genesis genesis = bench_genesis();
    genesis.sessions_max = 5;
    genesis.sessions_per_principal = 3;
    bench_init(&b, &genesis);
    char name[8];
    uint64_t id = 0;
    for (uint32_t i = 0; i < 3; i++) {
        snprintf(name, sizeof(name), "a%u", i);
        CU_ASSERT_EQUAL(bench_open(&b, BENCH_ALICE, name, 1, 1)->status, MACHINE_SEQUENCED);
        id = bench_session(&b)->id;
    }
    CU_ASSERT_EQUAL(bench_open(&b, BENCH_ALICE, "a3", 1, 1)->status, MACHINE_SESSION_LIMIT);
    CU_ASSERT_EQUAL(b.outcome.slot, UINT32_MAX);
    bench_end(&b, BENCH_ALICE, id, id, SESSION_END_CLEAN); /* kept ones count */
    CU_ASSERT_EQUAL(bench_open(&b, BENCH_ALICE, "a3", 1, 1)->status, MACHINE_SESSION_LIMIT);
    bench_open(&b, BENCH_BOB, "b0", 1, 1);
    bench_open(&b, BENCH_BOB, "b1", 1, 1);
    CU_ASSERT_EQUAL(bench_open(&b, BENCH_BOB, "b2", 1, 1)->status, MACHINE_SESSION_TABLE);
    CU_ASSERT_EQUAL(b.outcome.slot, UINT32_MAX);
    b.log_ns = (uint64_t)genesis.session_retain_ms * 1000000 + 1;
    CU_ASSERT_EQUAL(bench_open(&b, BENCH_BOB, "b2", 1, 1)->status, MACHINE_SEQUENCED);
    CU_ASSERT_EQUAL(b.outcome.slot, 2); /* the slot that fell free */
    bench_build(&b, ENTRY_SESSION_OPEN, 0,
                &(struct entry_session_open){.name = "x", .process = 1, .window = 1},
                sizeof(struct entry_session_open));
    CU_ASSERT_EQUAL(bench_apply(&b)->status, MACHINE_BAD_ENTRY); /* nobody is no owner */
    bench_free(&b);
}

int main(void)
{
    static const struct unit_test tests[] = {
        {"a session opens", opens},
        {"wishes are clamped to the genesis limits", wishes_are_clamped},
        {"a name that is open already", open_again},
        {"a session is resumed by name", resumes},
        {"H16: a resume sent twice is one epoch", h16_doubled_resume},
        {"H16: a name opened again is another session", h16_name_opened_again},
        {"a session's end takes a feed number", end_takes_a_number},
        {"an end outside a day takes none", end_outside_a_day_takes_none},
        {"H17: who may end a session", h17_who_may_end},
        {"an expiry waits for every bound", expiry_waits_for_every_bound},
        {"an expiry loses to a resume", expiry_loses_to_a_resume},
        {"ended sessions keep their results for the retention", ended_sessions_keep_their_results},
        {"limits answer busy", limits},
        {0}};
    return unit_main("machine_sessions", tests);
}
