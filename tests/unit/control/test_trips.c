/* Slow links and drives: named by everybody, and a leader behind a slow link hands over. */
#include "tests/unit/control/bench.h"
#include "tests/unit/unit.h"

#include <string.h>

enum { SEEN_MS = 1500, SLOW_NS = 2000000 };

static struct bench *three(uint32_t *leader)
{
    struct bench *b = bench_new(3);
    for (uint32_t id = 1; id <= 3; id++)
        CU_ASSERT_EQUAL_FATAL(bench_start(b, id), STARTUP_OK);
    *leader = bench_settle(b);
    CU_ASSERT_NOT_EQUAL_FATAL(*leader, 0);
    bench_run(b, 2 * SEEN_MS); /* in office for long enough to hand over */
    return b;
}

static uint64_t handed_over(struct bench *b)
{
    uint64_t sum = 0;
    for (uint32_t id = 1; id <= 3; id++)
        sum += bench_control(b, id).transfers_by_link;
    return sum;
}

static uint32_t leads(struct bench *b)
{
    for (uint32_t id = 1; id <= 3; id++)
        if (bench_status(b, id).role == RAFT_LEADER)
            return id;
    return 0;
}

static void nobody_is_slow(void)
{
    uint32_t leader;
    struct bench *b = three(&leader);
    for (uint32_t id = 1; id <= 3; id++) {
        struct control_status c = bench_control(b, id);
        for (uint32_t other = 1; other <= 3; other++) {
            CU_ASSERT_NOT_EQUAL(c.way_ns[other], 0);
            CU_ASSERT(c.way_ns[other] <= 10 * BENCH_STEP_NS);
            CU_ASSERT_EQUAL(c.link_slow[other], 0);
            CU_ASSERT_EQUAL(c.trip_ns[other] == 0, other == id);
        }
        CU_ASSERT_EQUAL(c.way_ns[4], 0); /* no member */
    }
    CU_ASSERT_EQUAL(handed_over(b), 0);
    bench_free(b);
}

static void a_followers_slow_link_is_named(void)
{
    uint32_t leader;
    struct bench *b = three(&leader);
    uint32_t slow = leader % 3 + 1;
    b->node[slow].late_ns = SLOW_NS;
    bench_run(b, SEEN_MS);
    for (uint32_t id = 1; id <= 3; id++) {
        struct control_status c = bench_control(b, id);
        CU_ASSERT(c.way_ns[slow] >= 2 * (uint64_t)SLOW_NS);
        CU_ASSERT(c.link_slow[slow] >= 4);
        CU_ASSERT_EQUAL(c.link_slow[leader], 0);
        CU_ASSERT_EQUAL(c.drive_slow[slow], 0);
        if (id != slow)
            CU_ASSERT(c.trip_ns[slow] >= 2 * (uint64_t)SLOW_NS);
    }
    CU_ASSERT_EQUAL(handed_over(b), 0); /* a majority commits without it */
    CU_ASSERT_EQUAL(leads(b), leader);
    b->node[slow].late_ns = 0;
    bench_run(b, SEEN_MS);
    CU_ASSERT_EQUAL(bench_control(b, leader).link_slow[slow], 0);
    bench_free(b);
}

static void a_leader_behind_a_slow_link_hands_over(void)
{
    uint32_t leader;
    struct bench *b = three(&leader);
    uint64_t term = bench_status(b, leader).term;
    b->node[leader].late_ns = SLOW_NS;
    bench_run(b, SEEN_MS);
    uint32_t now = leads(b);
    CU_ASSERT(now != 0 && now != leader);
    CU_ASSERT_EQUAL(bench_status(b, now).term, term + 1); /* told, not timed out */
    CU_ASSERT_EQUAL(bench_control(b, leader).transfers_by_link, 1);
    bench_run(b, 4 * SEEN_MS);
    CU_ASSERT_EQUAL(leads(b), now); /* and it stays there */
    CU_ASSERT_EQUAL(handed_over(b), 1);
    struct control_status c = bench_control(b, now);
    CU_ASSERT(c.link_slow[leader] >= 4);
    bench_free(b);
}

/* Five times as far may be a busy host: it is looked at for long before anything moves. */
static void a_doubtful_link_is_watched_first(void)
{
    uint32_t leader;
    struct bench *b = three(&leader);
    uint64_t usual_ns = bench_control(b, leader).way_ns[leader % 3 + 1];
    b->node[leader].late_ns = 5 * usual_ns / 2; /* each way */
    bench_run(b, SEEN_MS);
    struct control_status c = bench_control(b, leader);
    CU_ASSERT(c.way_ns[leader] >= 4 * usual_ns && c.way_ns[leader] < 8 * usual_ns);
    CU_ASSERT_EQUAL(leads(b), leader);
    CU_ASSERT_EQUAL(handed_over(b), 0);
    bench_run(b, 3 * SEEN_MS);
    CU_ASSERT_NOT_EQUAL(leads(b), leader);
    CU_ASSERT_EQUAL(handed_over(b), 1);
    bench_free(b);
}

/* Everybody's links are alike, however slow: nobody would be better off. */
static void slow_everywhere_changes_nothing(void)
{
    uint32_t leader;
    struct bench *b = three(&leader);
    for (uint32_t id = 1; id <= 3; id++)
        b->node[id].late_ns = SLOW_NS;
    bench_run(b, 4 * SEEN_MS);
    CU_ASSERT_EQUAL(handed_over(b), 0);
    CU_ASSERT_EQUAL(leads(b), leader);
    for (uint32_t id = 1; id <= 3; id++)
        CU_ASSERT_EQUAL(bench_control(b, leader).link_slow[id], 0);
    bench_free(b);
}

/* One link of three is slow: each of its ends has another way to a majority. */
static void one_silent_peer_slows_nobody(void)
{
    uint32_t leader;
    struct bench *b = three(&leader);
    uint32_t gone = leader % 3 + 1;
    b->node[gone].cut = true;
    bench_run(b, 2 * SEEN_MS);
    struct control_status c = bench_control(b, leader);
    CU_ASSERT_EQUAL(c.way_ns[gone], 0); /* what it told is too old */
    CU_ASSERT_EQUAL(c.link_slow[gone], 0);
    CU_ASSERT(c.trip_ns[gone] >= (uint64_t)SEEN_MS * 1000000); /* its silence, so far */
    CU_ASSERT(c.way_ns[leader] <= 10 * BENCH_STEP_NS);
    CU_ASSERT_EQUAL(handed_over(b), 0);
    bench_free(b);
}

int main(void)
{
    static const struct unit_test tests[] = {
        {"nobody is slow", nobody_is_slow},
        {"a follower's slow link is named, and nothing else", a_followers_slow_link_is_named},
        {"a leader behind a slow link hands over, once", a_leader_behind_a_slow_link_hands_over},
        {"a doubtful link is watched first", a_doubtful_link_is_watched_first},
        {"slow links everywhere change nothing", slow_everywhere_changes_nothing},
        {"a silent peer slows nobody", one_silent_peer_slows_nobody},
        {0}};
    return unit_main("control_trips", tests);
}
