#include "client/engine.h"

#include "tests/unit/client/world.h"
#include "tests/unit/unit.h"

#include <stdio.h>
#include <string.h>

#define SECOND (1000 * ENGINE_MS)

/* The cluster has no record of the session any more: that is its end, and no number's outcome. */
static void forgotten_session_fails(void)
{
    struct world *w = world_new(33);
    struct engine *e = world_started(w, "forgotten");
    CU_ASSERT(world_publish(w, 0, 5, SECOND));
    fake_forget(&w->fake);
    CU_ASSERT(!world_publish(w, 0, 8, SECOND));
    CU_ASSERT(e->phase == ENGINE_FAILED && e->error == KEEL_ENDED);
    CU_ASSERT_EQUAL(w->client[0].results, 5);
    world_free(w);
}

/* H16: a gateway restarts in mid-window and resumes by name; what was taken stays taken, nothing
 * twice; the kept results agree with what the cluster holds. */
static void resumes_in_mid_window(void)
{
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct world *w = world_new(seed);
        w->loss = (uint32_t)seed % 4 * 5;
        w->copies = (uint32_t)seed % 3 * 20;
        uint64_t last = 0;
        for (uint32_t life = 0; life < 8; life++) {
            struct engine *e = world_started(w, "phoenix");
            CU_ASSERT(e->resumed == (life > 0));
            for (uint32_t i = 0; i < e->kept_count; i++) {
                const struct fake_taken *t = fake_find(&w->fake, e->session, e->kept[i].number);
                CU_ASSERT_FATAL(t != NULL);
                CU_ASSERT(t->feed == e->kept[i].feed);
            }
            CU_ASSERT(e->resumed_last == 0 || e->kept_count > 0);
            CU_ASSERT(e->resumed_last >= last); /* never behind what was acknowledged */
            world_publish(w, 0, e->resumed_last + 200, rng_below(&w->rng, 2000) * 1000);
            last = e->oldest - 1;
            world_kill(w, 0);
        }
        struct engine *e = world_started(w, "phoenix");
        CU_ASSERT(world_publish(w, 0, e->resumed_last + 50, 10 * SECOND));
        for (uint64_t number = 1; number < e->oldest; number++)
            CU_ASSERT(fake_find(&w->fake, e->session, number) != NULL);
        CU_ASSERT_EQUAL(w->fake.taken_count, e->oldest - 1);
        CU_ASSERT(fake_order_ok(&w->fake));
        world_free(w);
    }
}

/* H15, H16: two processes use one name; the older one is shut out, and nothing of it is taken
 * after. */
static void older_life_is_shut_out(void)
{
    struct world *w = world_new(11);
    struct engine *old = world_started(w, "twice");
    CU_ASSERT(world_publish(w, 0, 30, SECOND));
    world_start(w, 1, "twice", 0, 0, 0);
    world_run(w, SECOND, NULL);
    struct engine *young = w->client[1].engine;
    CU_ASSERT_FATAL(young->phase == ENGINE_READY);
    CU_ASSERT(young->resumed && young->resumed_last == 30 && young->epoch > old->epoch);
    CU_ASSERT(!world_publish(w, 0, 40, SECOND));
    CU_ASSERT(old->phase == ENGINE_FAILED && old->error == KEEL_SHUT_OUT);
    CU_ASSERT(strstr(old->problem, "taken it over") != NULL);
    CU_ASSERT_EQUAL(w->fake.taken_count, 30);
    uint8_t byte = 1;
    CU_ASSERT(engine_submit(old, &byte, 1, NULL) == KEEL_SHUT_OUT);
    CU_ASSERT(world_publish(w, 1, 60, SECOND));
    CU_ASSERT(fake_order_ok(&w->fake));
    world_free(w);
}

/* H15: results for numbers decided before the takeover still reach the older process. */
static void decided_stays_decided(void)
{
    struct world *w = world_new(12);
    struct engine *old = world_started(w, "late");
    w->fake.mute = true;
    CU_ASSERT(!world_publish(w, 0, 5, 20 * ENGINE_MS));
    CU_ASSERT_EQUAL(w->fake.taken_count, 5);
    w->fake.mute = false;
    world_start(w, 1, "late", 0, 0, 0);
    world_run(w, SECOND, NULL);
    CU_ASSERT_EQUAL(old->oldest, 6);
    CU_ASSERT(world_results_ok(w, 0, 1, 5));
    world_free(w);
}

static void refusals_are_results(void)
{
    struct world *w = world_new(13);
    struct engine *e = world_started(w, "refused");
    CU_ASSERT(world_publish(w, 0, 3, SECOND));
    fake_day(&w->fake, ENTRY_DAY_END, "MONDAY");
    CU_ASSERT(world_publish(w, 0, 6, SECOND));
    fake_day(&w->fake, ENTRY_DAY_BEGIN, "TUESDAY");
    CU_ASSERT(world_publish(w, 0, 9, SECOND));
    const struct keel_result *r = w->client[0].result;
    CU_ASSERT_EQUAL(w->client[0].results, 9);
    for (uint32_t i = 3; i < 6; i++)
        CU_ASSERT(r[i].status == KEEL_DAY_CLOSED && r[i].feed == 0 && r[i].number == i + 1);
    CU_ASSERT(r[6].status == KEEL_SEQUENCED && r[6].feed == 1);
    CU_ASSERT(strcmp(r[6].day, "TUESDAY") == 0);
    CU_ASSERT(e->stats.refused == 3 && e->stats.sequenced == 6);
    world_free(w);
}

/* The application gives a number another content than its earlier life did. */
static void different_content_is_said(void)
{
    struct world *w = world_new(14);
    struct engine *e = world_started(w, "content");
    w->fake.mute = true;
    uint8_t payload[8] = {1};
    CU_ASSERT(engine_submit(e, payload, sizeof(payload), NULL) == KEEL_OK);
    world_run(w, ENGINE_MS, NULL);
    CU_ASSERT_EQUAL(w->fake.taken_count, 1);
    w->fake.mute = false;
    engine_slot(e, 1)->payload[0] = 2;
    world_run(w, SECOND, NULL);
    CU_ASSERT_EQUAL(w->client[0].results, 1);
    CU_ASSERT(w->client[0].result[0].status == KEEL_DIFFERENT);
    world_free(w);
}

static void killed_session_fails(void)
{
    struct world *w = world_new(15);
    struct engine *e = world_started(w, "killed");
    CU_ASSERT(world_publish(w, 0, 3, SECOND));
    fake_kill(&w->fake, e->session);
    CU_ASSERT(!world_publish(w, 0, 6, SECOND));
    CU_ASSERT(e->phase == ENGINE_FAILED && e->error == KEEL_ENDED);
    CU_ASSERT_EQUAL(w->client[0].results, 3); /* numbers 4 to 6: nobody said, nothing guessed */
    world_free(w);
}

/* An idle session learns of its end by its next keep-alive. */
static void idle_session_learns_its_end(void)
{
    struct world *w = world_new(16);
    struct engine *e = world_started(w, "idle");
    world_run(w, 10 * SECOND, NULL);
    CU_ASSERT(w->fake.keepalives >= 4 && w->fake.keepalives <= 6); /* ttl 6 s: one in 2 s */
    fake_kill(&w->fake, e->session);
    world_run(w, 3 * SECOND, NULL);
    CU_ASSERT(e->phase == ENGINE_FAILED && e->error == KEEL_ENDED);
    world_free(w);
}

/* H21: a keep-alive is sent, not answered, sent again; the answer is to the first copy: time counts
 * from the first. */
static void counts_from_the_copy_answered(void)
{
    struct world *w = world_new(17);
    struct engine *e = world_started(w, "copies");
    w->delay_ns = 60 * ENGINE_MS; /* longer than the first repeats */
    uint64_t before_ns = e->alive_ns;
    uint64_t sent_ns = 0;
    for (uint32_t i = 0; i < 4000 && e->alive_ns == before_ns; i++) {
        world_run(w, ENGINE_MS, NULL);
        if (e->keepalive && sent_ns == 0)
            sent_ns = w->now_ns;
    }
    CU_ASSERT(e->stats.keepalives_sent > 1);
    CU_ASSERT(sent_ns != 0 && e->alive_ns > before_ns);
    CU_ASSERT(e->alive_ns <= sent_ns); /* not a later copy, not the answer's arrival */
    world_free(w);
}

static void ends_cleanly(void)
{
    for (uint64_t seed = 1; seed <= 10; seed++) {
        struct world *w = world_new(seed);
        struct engine *e = world_started(w, "end");
        w->loss = 30;
        world_publish(w, 0, 20, 100 * 1000);
        uint64_t last = e->next - 1;
        engine_end(e, w->now_ns);
        uint8_t byte = 1;
        CU_ASSERT(engine_submit(e, &byte, 1, NULL) == KEEL_ENDED);
        world_run(w, 5 * SECOND, NULL);
        CU_ASSERT(e->phase == ENGINE_CLOSED);
        CU_ASSERT(e->oldest == last + 1);
        const struct machine_session *s = machine_session(w->fake.machine, e->session);
        CU_ASSERT(s != NULL && s->ended_log_ns != 0 && s->last == last);
        world_free(w);
    }
}

static int blame(struct world *w, char problem[KEEL_PROBLEM_SIZE])
{
    world_run(w, 3 * SECOND, NULL);
    return engine_blame(w->client[0].engine, problem, KEEL_PROBLEM_SIZE);
}

static void says_why_not(void)
{
    char problem[KEEL_PROBLEM_SIZE];
    struct world *w = world_new(18);
    for (uint32_t i = 0; i < FAKE_MEMBERS; i++)
        w->fake.member[i].up = false;
    world_start(w, 0, "why", 0, 0, 0);
    CU_ASSERT(blame(w, problem) == KEEL_UNREACHABLE);
    world_free(w);

    w = world_new(19);
    world_start(w, 0, "why", 0, 0, 99); /* another key */
    CU_ASSERT(blame(w, problem) == KEEL_KEY);
    CU_ASSERT(strstr(problem, "principal 100") != NULL);
    CU_ASSERT_EQUAL(w->fake.opens, 0);
    world_free(w);

    w = world_new(20);
    world_start(w, 0, "why", 0, FAKE_CLUSTER + 1, 0); /* another cluster */
    CU_ASSERT(blame(w, problem) == KEEL_KEY);
    world_free(w);

    w = world_new(21);
    w->fake.leader = w->fake.named = FAKE_NOBODY;
    world_start(w, 0, "why", 0, 0, 0);
    CU_ASSERT(blame(w, problem) == KEEL_NO_LEADER);
    world_free(w);

    w = world_new(22);
    w->fake.machine->sessions_per_principal = 0;
    world_start(w, 0, "why", 0, 0, 0);
    CU_ASSERT(blame(w, problem) == KEEL_BUSY);
    CU_ASSERT(strstr(problem, "session-limit") != NULL);
    w->fake.machine->sessions_per_principal = 1;
    world_run(w, SECOND, NULL);
    CU_ASSERT(w->client[0].engine->phase == ENGINE_READY); /* it goes on asking */
    world_free(w);
}

int main(void)
{
    static const struct unit_test tests[] = {
        {"fails when the session is forgotten, and guesses nothing", forgotten_session_fails},
        {"H16: resumes in mid-window, 20 seeds", resumes_in_mid_window},
        {"H15, H16: shuts the older process out", older_life_is_shut_out},
        {"H15: what was decided stays decided", decided_stays_decided},
        {"gives refusals as results", refusals_are_results},
        {"says when a number has another content", different_content_is_said},
        {"fails when the session is killed, and guesses nothing", killed_session_fails},
        {"learns of the end of an idle session", idle_session_learns_its_end},
        {"H21: counts from the copy that was answered", counts_from_the_copy_answered},
        {"ends cleanly over a lossy network", ends_cleanly},
        {"says why a session did not open", says_why_not},
        {0},
    };
    return unit_main("engine_session", tests);
}
