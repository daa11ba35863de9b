/* The autopilot in a small cluster: three voters, one or two standbys, and what becomes of them. */
#include "tests/unit/control/bench.h"
#include "tests/unit/unit.h"

#include <string.h>

enum { DEAD_MS = 1000, STABILISE_MS = 1000, LOOK_MS = 100, SILENT_MS = 500, VOTERS = 0xe };

static struct bench *b;

static uint32_t leader(void)
{
    uint32_t id = bench_settle(b);
    CU_ASSERT_NOT_EQUAL_FATAL(id, 0);
    return id;
}

static uint32_t why(void)
{
    return bench_control(b, leader()).autopilot.why;
}

static struct machine_autopilot state(void)
{
    return bench_control(b, leader()).autopilot.state;
}

static struct entry_config config(void)
{
    return bench_status(b, leader()).config;
}

static void change(const struct entry_config *wanted)
{
    uint32_t id = leader();
    struct control_reply reply = {0};
    struct control_request request = {.was = bench_status(b, id).config_index,
                                      .entry_kind = ENTRY_CONFIG,
                                      .size = sizeof(*wanted)};
    memcpy(request.body, wanted, sizeof(*wanted));
    CU_ASSERT_TRUE_FATAL(control_ask(b->node[id].start.control, &request));
    for (uint32_t ms = 0; ms < 1000 && !control_answer(b->node[id].start.control, &reply); ms++)
        bench_run(b, 1);
    CU_ASSERT_EQUAL_FATAL(reply.result, CONTROL_APPLIED);
    bench_run(b, LOOK_MS); /* a joint one is completed */
}

static uint8_t set(enum autopilot_mode mode, uint32_t standbys)
{
    const struct entry_autopilot body = {.action = AUTOPILOT_SET,
                                         .mode = (uint8_t)mode,
                                         .standbys = standbys,
                                         .dead_ms = DEAD_MS,
                                         .stabilise_ms = STABILISE_MS,
                                         .was = state().revision};
    struct control_reply reply =
        bench_ask(b, leader(), ENTRY_AUTOPILOT, &body, (uint8_t)sizeof(body));
    CU_ASSERT_EQUAL_FATAL(reply.result, CONTROL_APPLIED);
    return reply.status;
}

/* Voters 1 2 3 as founded with `count` replicas, the others learners and standbys. */
static void start(uint32_t count, enum autopilot_mode mode)
{
    b = bench_new(count);
    for (uint32_t id = 1; id <= count; id++)
        CU_ASSERT_EQUAL_FATAL(bench_start(b, id), STARTUP_OK);
    for (uint32_t ms = 0; leader() > 3 && ms < 100; ms++) { /* an office that is not a learner's */
        const uint32_t id = leader();
        const struct control_request request = {.kind = CONTROL_TRANSFER, .to = 1};
        struct control_reply reply;
        control_ask(b->node[id].start.control, &request);
        bench_run(b, LOOK_MS);
        control_answer(b->node[id].start.control, &reply);
    }
    for (uint32_t id = count; id > 3; id--) {
        struct entry_config wanted = config();
        wanted.voters &= ~(1u << id);
        wanted.learners |= 1u << id;
        change(&wanted);
    }
    uint32_t standbys = config().learners;
    CU_ASSERT_EQUAL(config().voters, VOTERS);
    CU_ASSERT_EQUAL(why(), AUTOPILOT_WHY_OFF);
    CU_ASSERT_EQUAL(set(mode, standbys), MACHINE_SEQUENCED);
    bench_run(b, DEAD_MS + STABILISE_MS + LOOK_MS);
}

static uint32_t follower(void)
{
    uint32_t id = leader();
    return id == 1 ? 2 : 1;
}

static void the_leader_judges(void)
{
    start(4, AUTOPILOT_ON);
    CU_ASSERT_EQUAL(why(), AUTOPILOT_WHY_WELL);
    CU_ASSERT_EQUAL(bench_control(b, follower()).autopilot.why, AUTOPILOT_WHY_FOLLOWER);
    CU_ASSERT_EQUAL(bench_control(b, follower()).autopilot.state.revision, state().revision);
    CU_ASSERT_TRUE(bench_control(b, leader()).autopilot.watched_ns > DEAD_MS * 1000000ull);
    CU_ASSERT_EQUAL(set(AUTOPILOT_ON, 1u << 1), MACHINE_NOT_ALLOWED);
    CU_ASSERT_EQUAL(state().decisions, 0);
    bench_free(b);
}

static void a_dead_voter_is_replaced_and_returns_without_its_vote(void)
{
    start(4, AUTOPILOT_ON);
    uint32_t gone = follower();
    bench_kill(b, gone);
    bench_run(b, SILENT_MS);
    CU_ASSERT_EQUAL(why(), AUTOPILOT_WHY_SILENT);
    CU_ASSERT_EQUAL(bench_control(b, leader()).autopilot.about, gone);
    bench_run(b, DEAD_MS);
    CU_ASSERT_EQUAL(config().voters, (VOTERS & ~(1u << gone)) | 1u << 4);
    CU_ASSERT_EQUAL(config().learners, 1u << gone);
    CU_ASSERT_EQUAL(state().decisions, 1);
    CU_ASSERT_EQUAL(state().decision[0].state, DECISION_DONE);
    CU_ASSERT_TRUE(state().decision[0].silent_ms >= DEAD_MS);
    CU_ASSERT_EQUAL(state().replaced, 1u << gone);
    CU_ASSERT_EQUAL_FATAL(bench_start(b, gone), STARTUP_OK);
    bench_run(b, STABILISE_MS / 2);
    CU_ASSERT_EQUAL(state().standbys, 0); /* it has to prove itself first */
    bench_run(b, STABILISE_MS + SILENT_MS);
    CU_ASSERT_EQUAL(state().standbys, 1u << gone);
    CU_ASSERT_EQUAL(state().replaced, 0);
    CU_ASSERT_EQUAL(config().voters, (VOTERS & ~(1u << gone)) | 1u << 4);
    CU_ASSERT_EQUAL(why(), AUTOPILOT_WHY_WELL);
    bench_free(b);
}

static void one_after_the_other(void)
{
    start(5, AUTOPILOT_ON);
    uint32_t gone = follower();
    bench_kill(b, gone);
    bench_run(b, DEAD_MS + SILENT_MS);
    CU_ASSERT_EQUAL(state().decisions, 1);
    uint32_t next = 6 - gone - (leader() <= 3 ? leader() : 0); /* the founder that is left */
    CU_ASSERT_FATAL(next >= 1 && next <= 3 && next != leader() && next != gone);
    bench_kill(b, next);
    bench_run(b, DEAD_MS + STABILISE_MS);
    CU_ASSERT_EQUAL(state().decisions, 2);
    CU_ASSERT_EQUAL(config().learners, 1u << gone | 1u << next);
    CU_ASSERT_EQUAL(__builtin_popcount(config().voters), 3);
    bench_free(b);
}

static void back_in_time_nothing_happens(void)
{
    start(4, AUTOPILOT_ON);
    uint32_t away = follower();
    b->node[away].asleep = true;
    bench_run(b, DEAD_MS - LOOK_MS);
    b->node[away].asleep = false;
    bench_run(b, DEAD_MS);
    CU_ASSERT_EQUAL(state().decisions, 0);
    CU_ASSERT_EQUAL(why(), AUTOPILOT_WHY_WELL);
    CU_ASSERT_EQUAL(config().voters, VOTERS);
    bench_free(b);
}

/* It finds everybody silent when it wakes: that says nothing of them. */
static void a_leader_that_stood_still_accuses_nobody(void)
{
    start(4, AUTOPILOT_ON);
    b->node[leader()].idle_control = true; /* its loop goes on: it stays in office */
    uint32_t before = leader(), away = follower();
    b->node[away].asleep = true;
    bench_run(b, 3 * DEAD_MS);
    b->node[away].asleep = false;
    bench_run(b, 1);
    b->node[before].idle_control = false;
    bench_run(b, DEAD_MS);
    CU_ASSERT_EQUAL(leader(), before);
    CU_ASSERT_EQUAL(state().decisions, 0);
    bench_free(b);
}

/* Nor does a break bring anybody back: who was silent before it is no less so behind it. */
static void a_break_makes_nobody_well(void)
{
    start(4, AUTOPILOT_ON);
    uint32_t leads = leader();
    bench_kill(b, follower());
    bench_run(b, SILENT_MS);
    CU_ASSERT_EQUAL(why(), AUTOPILOT_WHY_SILENT);
    b->node[leads].idle_control = true;
    bench_run(b, DEAD_MS / 2);
    b->node[leads].idle_control = false;
    bench_run(b, LOOK_MS);
    CU_ASSERT_EQUAL_FATAL(leader(), leads);
    CU_ASSERT_EQUAL(why(), AUTOPILOT_WHY_WATCHING);
    bench_run(b, 2 * DEAD_MS);
    CU_ASSERT_EQUAL(state().decisions, 1);
    CU_ASSERT_EQUAL(state().decision[0].state, DECISION_DONE);
    bench_free(b);
}

static void dry_run_tells_and_does_nothing(void)
{
    start(4, AUTOPILOT_DRY_RUN);
    bench_kill(b, follower());
    bench_run(b, 2 * DEAD_MS);
    CU_ASSERT_EQUAL(why(), AUTOPILOT_WHY_DRY_RUN);
    CU_ASSERT_EQUAL(state().decisions, 1);
    CU_ASSERT_EQUAL(state().decision[0].state, DECISION_DRY);
    CU_ASSERT_EQUAL(config().voters, VOTERS);
    CU_ASSERT_EQUAL(set(AUTOPILOT_ON, 1u << 4), MACHINE_SEQUENCED);
    bench_run(b, SILENT_MS);
    CU_ASSERT_EQUAL(state().decisions, 2);
    CU_ASSERT_EQUAL(config().voters >> 4 & 1, 1);
    bench_free(b);
}

static void without_a_standby(void)
{
    start(4, AUTOPILOT_ON);
    uint32_t gone = follower();
    bench_kill(b, 4);
    bench_kill(b, gone);
    bench_run(b, DEAD_MS + SILENT_MS);
    CU_ASSERT_EQUAL(why(), AUTOPILOT_WHY_NOT_READY);
    CU_ASSERT_EQUAL(set(AUTOPILOT_ON, 0), MACHINE_SEQUENCED);
    bench_run(b, LOOK_MS);
    CU_ASSERT_EQUAL(why(), AUTOPILOT_WHY_NO_STANDBY);
    CU_ASSERT_EQUAL(state().decisions, 0);
    CU_ASSERT_EQUAL(set(AUTOPILOT_ON, 1u << 4), MACHINE_SEQUENCED);
    CU_ASSERT_EQUAL_FATAL(bench_start(b, 4), STARTUP_OK);
    bench_run(b, STABILISE_MS - LOOK_MS);
    CU_ASSERT_EQUAL(state().decisions, 0); /* up again is not proven */
    bench_run(b, STABILISE_MS);
    CU_ASSERT_EQUAL(config().voters >> 4 & 1, 1);
    bench_free(b);
}

static void words(void)
{
    for (uint32_t i = 0; i < AUTOPILOT_WHY_COUNT; i++) {
        CU_ASSERT_STRING_NOT_EQUAL(autopilot_why_name((enum autopilot_why)i), "unknown");
        CU_ASSERT_STRING_NOT_EQUAL(autopilot_why_text((enum autopilot_why)i), "unknown");
    }
    CU_ASSERT_STRING_EQUAL(autopilot_why_name(AUTOPILOT_WHY_COUNT), "unknown");
    CU_ASSERT_STRING_EQUAL(autopilot_why_text(AUTOPILOT_WHY_COUNT), "unknown");
}

int main(void)
{
    static const struct unit_test tests[] = {
        {"the leader judges, all show", the_leader_judges},
        {"a dead voter is replaced, and returns without its vote",
         a_dead_voter_is_replaced_and_returns_without_its_vote},
        {"one after the other", one_after_the_other},
        {"back in time: nothing happens", back_in_time_nothing_happens},
        {"a leader that stood still accuses nobody", a_leader_that_stood_still_accuses_nobody},
        {"a break makes nobody well", a_break_makes_nobody_well},
        {"dry-run tells and does nothing", dry_run_tells_and_does_nothing},
        {"without a standby that is ready", without_a_standby},
        {"its words", words},
        {0}};
    return unit_main("control_autopilot", tests);
}
