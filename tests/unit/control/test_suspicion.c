/* The grade of one peer, from what was heard of it: exact times, no cluster. */
#include "control/suspicion.h"
#include "tests/unit/unit.h"

#include <string.h>

static const uint64_t MS = 1000000;

struct run {
    struct suspicion s;
    uint64_t now_ns;
    uint32_t changes;
    uint32_t slow; /* seems so at present */
};

static struct run begin(void)
{
    struct run r = {.now_ns = 5 * MS};
    suspicion_begin(&r.s, r.now_ns);
    return r;
}

static void listen(struct run *r, uint32_t ms)
{
    for (uint32_t i = 0; i < ms; i++) {
        r->now_ns += MS;
        suspicion_listen(&r->s, MS);
        suspicion_slow(&r->s, r->slow);
        r->changes += suspicion_judge(&r->s, r->now_ns);
    }
}

static void beat(struct run *r)
{
    suspicion_beat(&r->s);
    r->changes += suspicion_judge(&r->s, r->now_ns);
}

/* Beats every `every_ms`, the last one now. */
static void steady(struct run *r, uint32_t ms, uint32_t every_ms)
{
    for (uint32_t i = 0; i < ms; i += every_ms) {
        listen(r, every_ms);
        beat(r);
    }
}

static struct run well(void)
{
    struct run r = begin();
    beat(&r);
    steady(&r, 2000, 50);
    CU_ASSERT_EQUAL(r.s.state, DETECTOR_WELL);
    return r;
}

static void unknown_until_heard(void)
{
    struct run r = begin();
    listen(&r, 10);
    CU_ASSERT_EQUAL(r.s.state, DETECTOR_UNKNOWN);
    CU_ASSERT_EQUAL(r.s.reasons, DETECTOR_NEVER_HEARD);
    CU_ASSERT_EQUAL(r.s.since_ns, 5 * MS);
    beat(&r);
    CU_ASSERT_EQUAL(r.s.state, DETECTOR_WELL);
    CU_ASSERT_EQUAL(r.s.reasons, 0);
    CU_ASSERT_EQUAL(r.s.since_ns, 15 * MS);
    CU_ASSERT_EQUAL(r.changes, 1);
}

static void never_heard_is_dead_in_the_end(void)
{
    struct run r = begin();
    listen(&r, SUSPICION_DEAD_MAX_MS - 1);
    CU_ASSERT_EQUAL(r.s.state, DETECTOR_UNKNOWN);
    listen(&r, 1);
    CU_ASSERT_EQUAL(r.s.state, DETECTOR_DEAD);
    CU_ASSERT_EQUAL(r.s.reasons, DETECTOR_NEVER_HEARD);
}

/* 50 ms between beats, but the least counts for more: 300 and 600 ms. */
static void silence_grows(void)
{
    struct run r = well();
    CU_ASSERT_EQUAL(suspicion_usual_ns(&r.s), SUSPICION_GAP_MIN_MS * MS);
    listen(&r, 299);
    CU_ASSERT_EQUAL(r.s.state, DETECTOR_WELL);
    CU_ASSERT_EQUAL(suspicion_milli(&r.s), 1495);
    listen(&r, 1);
    CU_ASSERT_EQUAL(r.s.state, DETECTOR_SUSPECT);
    CU_ASSERT_EQUAL(r.s.reasons, DETECTOR_SILENT);
    CU_ASSERT_EQUAL(r.s.since_ns, r.now_ns);
    listen(&r, 299);
    CU_ASSERT_EQUAL(r.s.state, DETECTOR_SUSPECT);
    listen(&r, 1);
    CU_ASSERT_EQUAL(r.s.state, DETECTOR_DEAD);
    CU_ASSERT_EQUAL(r.s.reasons, DETECTOR_SILENT);
    CU_ASSERT_EQUAL(suspicion_silent_ns(&r.s), SUSPICION_DEAD_MIN_MS * MS);
}

/* Any packet ends a silence; only beats say what is usual. */
static void packets_and_beats(void)
{
    struct run r = well();
    for (uint32_t i = 0; i < 10; i++) {
        listen(&r, 90);
        suspicion_heard(&r.s);
    }
    CU_ASSERT_EQUAL(r.s.state, DETECTOR_WELL);
    CU_ASSERT_EQUAL(suspicion_usual_ns(&r.s), SUSPICION_GAP_MIN_MS * MS);
    beat(&r);
    CU_ASSERT_EQUAL(suspicion_usual_ns(&r.s), 900 * MS);
}

/* A pause is learnt, and forgotten after some minutes; none counts for more than the most. */
static void what_is_usual(void)
{
    struct run r = well();
    listen(&r, 250);
    beat(&r);
    CU_ASSERT_EQUAL(suspicion_usual_ns(&r.s), 250 * MS);
    listen(&r, 375);
    CU_ASSERT_EQUAL(r.s.state, DETECTOR_SUSPECT);
    listen(&r, 374);
    CU_ASSERT_EQUAL(r.s.state, DETECTOR_SUSPECT);
    listen(&r, 1);
    CU_ASSERT_EQUAL(r.s.state, DETECTOR_DEAD);
    listen(&r, 30000);
    beat(&r);
    CU_ASSERT_EQUAL(suspicion_usual_ns(&r.s), SUSPICION_GAP_MAX_MS * MS);
    steady(&r, (SUSPICION_GAPS - 1) * SUSPICION_STRETCH_MS - 100, 50);
    CU_ASSERT_EQUAL(suspicion_usual_ns(&r.s), SUSPICION_GAP_MAX_MS * MS);
    steady(&r, SUSPICION_STRETCH_MS + 100, 50);
    CU_ASSERT_EQUAL(suspicion_usual_ns(&r.s), SUSPICION_GAP_MIN_MS * MS);
}

static void the_time_to_dead_is_bounded(void)
{
    struct run r = well();
    listen(&r, 60000);
    beat(&r);
    listen(&r, SUSPICION_DEAD_MAX_MS - 1);
    CU_ASSERT_EQUAL(r.s.state, DETECTOR_SUSPECT);
    listen(&r, 1);
    CU_ASSERT_EQUAL(r.s.state, DETECTOR_DEAD);
}

static void a_restart_teaches_nothing(void)
{
    struct run r = well();
    listen(&r, 20000);
    suspicion_restarted(&r.s);
    beat(&r);
    CU_ASSERT_EQUAL(suspicion_usual_ns(&r.s), SUSPICION_GAP_MIN_MS * MS);
    steady(&r, 500, 50);
    CU_ASSERT_EQUAL(suspicion_usual_ns(&r.s), SUSPICION_GAP_MIN_MS * MS);
}

/* Heard again it is suspect for a while, and from the start if it falls silent meanwhile. */
static void who_returns_is_looked_at(void)
{
    struct run r = well();
    listen(&r, SUSPICION_DEAD_MIN_MS);
    CU_ASSERT_EQUAL(r.s.state, DETECTOR_DEAD);
    suspicion_restarted(&r.s);
    beat(&r);
    CU_ASSERT_EQUAL(r.s.state, DETECTOR_SUSPECT);
    CU_ASSERT_EQUAL(r.s.reasons, DETECTOR_RETURNING);
    steady(&r, 600, 50);
    CU_ASSERT_EQUAL(r.s.state, DETECTOR_SUSPECT);
    listen(&r, 300);
    CU_ASSERT_EQUAL(r.s.reasons, DETECTOR_SILENT);
    beat(&r);
    steady(&r, 950, 50);
    CU_ASSERT_EQUAL(r.s.state, DETECTOR_SUSPECT);
    CU_ASSERT_EQUAL(r.s.reasons, DETECTOR_RETURNING);
    steady(&r, 50, 50);
    CU_ASSERT_EQUAL(r.s.state, DETECTOR_WELL);
    CU_ASSERT_EQUAL(r.changes, 5); /* well, suspect, dead, suspect, well */
}

/* Slow for long, or not: a moment of either changes nothing. */
static void slow_is_no_moment(void)
{
    struct run r = well();
    r.slow = DETECTOR_LINK;
    steady(&r, 2000, 50);
    CU_ASSERT_EQUAL(r.s.state, DETECTOR_WELL);
    steady(&r, 1500, 50);
    CU_ASSERT_EQUAL(r.s.state, DETECTOR_SLOW);
    CU_ASSERT_EQUAL(r.s.reasons, DETECTOR_LINK);
    r.slow = DETECTOR_DRIVE | DETECTOR_LOOP;
    steady(&r, 2000, 50);
    CU_ASSERT_EQUAL(r.s.reasons, DETECTOR_LINK);
    r.slow = DETECTOR_LINK;
    steady(&r, 2000, 50);
    r.slow = DETECTOR_DRIVE | DETECTOR_LOOP;
    steady(&r, 3000, 50);
    CU_ASSERT_EQUAL(r.s.reasons, DETECTOR_DRIVE | DETECTOR_LOOP);
    r.slow = 0;
    steady(&r, 2900, 50);
    CU_ASSERT_EQUAL(r.s.state, DETECTOR_SLOW);
    steady(&r, 200, 50);
    CU_ASSERT_EQUAL(r.s.state, DETECTOR_WELL);
}

/* Silence says more than slowness, which is there again afterwards. */
static void silence_comes_first(void)
{
    struct run r = well();
    r.slow = DETECTOR_LOOP;
    steady(&r, 4000, 50);
    CU_ASSERT_EQUAL(r.s.state, DETECTOR_SLOW);
    listen(&r, 350);
    CU_ASSERT_EQUAL(r.s.state, DETECTOR_SUSPECT);
    CU_ASSERT_EQUAL(r.s.reasons, DETECTOR_SILENT);
    beat(&r);
    steady(&r, 1000, 50);
    CU_ASSERT_EQUAL(r.s.state, DETECTOR_SLOW);
    CU_ASSERT_EQUAL(r.s.reasons, DETECTOR_LOOP);
}

static void a_day_that_nobody_listened(void)
{
    struct run r = well();
    listen(&r, 250);
    beat(&r);
    suspicion_listen(&r.s, 86400000ull * 1000 * MS); /* many stretches at once */
    CU_ASSERT_EQUAL(suspicion_usual_ns(&r.s), SUSPICION_GAP_MIN_MS * MS);
    CU_ASSERT_EQUAL(suspicion_milli(&r.s), UINT32_MAX);
}

static void words(void)
{
    static const char *const states[] = {"unknown", "well", "slow", "suspect", "dead", "unknown"};
    static const char *const reasons[] = {"silent", "never-heard", "returning", "link",
                                          "drive",  "loop",        "unknown"};
    for (int i = 0; i <= DETECTOR_STATES; i++)
        CU_ASSERT_STRING_EQUAL(detector_state_name((enum detector_state)i), states[i]);
    for (unsigned i = 0; i <= DETECTOR_REASONS; i++)
        CU_ASSERT_STRING_EQUAL(detector_reason_name(i), reasons[i]);
}

int main(void)
{
    static const struct unit_test tests[] = {
        {"unknown until something is heard", unknown_until_heard},
        {"who is never heard is dead in the end", never_heard_is_dead_in_the_end},
        {"silence grows into suspect and dead", silence_grows},
        {"any packet ends a silence, beats say what is usual", packets_and_beats},
        {"a pause is learnt, and forgotten after some minutes", what_is_usual},
        {"the time to dead is bounded, whatever was learnt", the_time_to_dead_is_bounded},
        {"an outage before a restart teaches nothing", a_restart_teaches_nothing},
        {"who returns is suspect for a while", who_returns_is_looked_at},
        {"slow, or quick, for a moment changes nothing", slow_is_no_moment},
        {"silence comes before slowness", silence_comes_first},
        {"more time at once than is remembered", a_day_that_nobody_listened},
        {"the words", words},
        {0}};
    return unit_main("control_suspicion", tests);
}
