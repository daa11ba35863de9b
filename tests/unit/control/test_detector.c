/* What replicas think of each other, in a small cluster. */
#include "tests/unit/control/bench.h"
#include "tests/unit/unit.h"

#include <string.h>

enum {
    WELL_MS = 3 * SUSPICION_SLOW_MS,     /* of a cluster: whatever it was, it is over */
    DEAD_MS = SUSPICION_DEAD_MIN_MS + 20 /* no pause was learnt */
};

static const uint64_t LEAST_NS = SUSPICION_GAP_MIN_MS * 1000000ull;

static struct detector_view view(struct bench *b, uint32_t from, uint32_t of)
{
    return bench_control(b, from).peer[of];
}

static struct bench *three(uint32_t *leader)
{
    struct bench *b = bench_new(3);
    for (uint32_t id = 1; id <= 3; id++)
        CU_ASSERT_EQUAL_FATAL(bench_start(b, id), STARTUP_OK);
    *leader = bench_settle(b);
    CU_ASSERT_NOT_EQUAL_FATAL(*leader, 0);
    bench_run(b, WELL_MS);
    return b;
}

static bool all_well(struct bench *b)
{
    for (uint32_t from = 1; from <= 3; from++)
        for (uint32_t of = 1; of <= 3; of++)
            if (from != of && view(b, from, of).state != DETECTOR_WELL)
                return false;
    return true;
}

static void everybody_is_well(void)
{
    uint32_t leader;
    struct bench *b = three(&leader);
    CU_ASSERT(all_well(b));
    for (uint32_t from = 1; from <= 3; from++)
        for (uint32_t of = 1; of <= 4; of++) {
            struct detector_view v = view(b, from, of);
            bool judged = of != from && of != 4;
            CU_ASSERT_EQUAL(v.judged, judged);
            CU_ASSERT_EQUAL(v.state, judged ? DETECTOR_WELL : DETECTOR_UNKNOWN);
            CU_ASSERT_EQUAL(v.reasons, 0);
            /* followers hear each other often enough as well */
            CU_ASSERT(!judged || v.usual_ns == LEAST_NS);
        }
    bench_free(b);
}

static void a_killed_one_is_dead_everywhere(void)
{
    uint32_t leader;
    struct bench *b = three(&leader);
    uint32_t gone = leader % 3 + 1;
    bench_kill(b, gone);
    bench_run(b, DEAD_MS);
    for (uint32_t id = 1; id <= 3; id++) {
        if (id == gone)
            continue;
        struct detector_view v = view(b, id, gone);
        CU_ASSERT_EQUAL(v.state, DETECTOR_DEAD);
        CU_ASSERT_EQUAL(v.reasons, DETECTOR_SILENT);
        CU_ASSERT(b->now_ns - v.since_ns < 150000000);
        CU_ASSERT_EQUAL(view(b, id, 6 - id - gone).state, DETECTOR_WELL);
    }
    CU_ASSERT_EQUAL_FATAL(bench_start(b, gone), STARTUP_OK);
    for (uint32_t ms = 0; ms < WELL_MS && view(b, leader, gone).state == DETECTOR_DEAD; ms++)
        bench_run(b, 1); /* until they have greeted each other */
    CU_ASSERT_EQUAL(view(b, leader, gone).state, DETECTOR_SUSPECT);
    CU_ASSERT_EQUAL(view(b, leader, gone).reasons, DETECTOR_RETURNING);
    bench_run(b, WELL_MS);
    CU_ASSERT(all_well(b));
    /* an outage is not what it usually does */
    CU_ASSERT(view(b, leader, gone).usual_ns == LEAST_NS);
    bench_free(b);
}

static void who_is_cut_off_thinks_the_same_of_the_others(void)
{
    uint32_t leader;
    struct bench *b = three(&leader);
    uint32_t gone = leader % 3 + 1;
    b->node[gone].cut = true;
    bench_run(b, DEAD_MS);
    for (uint32_t id = 1; id <= 3; id++)
        if (id != gone) {
            CU_ASSERT_EQUAL(view(b, id, gone).state, DETECTOR_DEAD);
            CU_ASSERT_EQUAL(view(b, gone, id).state, DETECTOR_DEAD);
        }
    bench_run(b, 3000);
    b->node[gone].cut = false;
    bench_run(b, WELL_MS);
    CU_ASSERT(all_well(b));
    /* it was there all the time: such a silence is no longer new */
    CU_ASSERT_EQUAL(view(b, leader, gone).usual_ns, SUSPICION_GAP_MAX_MS * 1000000ull);
    bench_free(b);
}

/* A process that was stopped has heard nobody, and knows that this says nothing. */
static void a_sleeper_accuses_nobody(void)
{
    uint32_t leader;
    struct bench *b = three(&leader);
    uint32_t sleeper = leader % 3 + 1;
    b->node[sleeper].asleep = true;
    bench_run(b, 5000);
    CU_ASSERT_EQUAL(view(b, leader, sleeper).state, DETECTOR_DEAD);
    b->node[sleeper].asleep = false;
    for (uint32_t ms = 0; ms < 2000; ms++) {
        bench_run(b, 1);
        for (uint32_t id = 1; id <= 3; id++)
            if (id != sleeper && view(b, sleeper, id).state != DETECTOR_WELL)
                CU_FAIL_FATAL("the sleeper accuses");
    }
    bench_free(b);
}

static void slow_links_and_loops_have_their_names(void)
{
    uint32_t leader;
    struct bench *b = three(&leader);
    uint32_t slow = leader % 3 + 1, other = 6 - leader - slow;
    b->node[slow].late_ns = 2000000;
    bench_run(b, WELL_MS);
    CU_ASSERT_EQUAL(view(b, leader, slow).state, DETECTOR_SLOW);
    CU_ASSERT_EQUAL(view(b, other, slow).reasons, DETECTOR_LINK);
    CU_ASSERT_EQUAL(view(b, other, leader).state, DETECTOR_WELL);
    b->node[slow].late_ns = 0;
    bench_run(b, WELL_MS);
    CU_ASSERT(all_well(b));
    for (uint32_t i = 0; i < 20; i++) { /* within a heartbeat's promise, and beyond it */
        b->node[slow].asleep = true;
        bench_run(b, b->genesis.stall_ms + 5);
        b->node[slow].asleep = false;
        b->node[other].asleep = true;
        bench_run(b, b->genesis.stall_ms / 2);
        b->node[other].asleep = false;
        bench_run(b, 200);
    }
    CU_ASSERT_EQUAL(view(b, leader, slow).state, DETECTOR_SLOW);
    CU_ASSERT_EQUAL(view(b, leader, slow).reasons, DETECTOR_LOOP);
    CU_ASSERT_EQUAL(view(b, leader, other).state, DETECTOR_WELL);
    bench_run(b, WELL_MS);
    CU_ASSERT(all_well(b));
    bench_free(b);
}

static void who_never_came_is_unknown_then_dead(void)
{
    struct bench *b = bench_new(3);
    CU_ASSERT_EQUAL_FATAL(bench_start(b, 1), STARTUP_OK);
    CU_ASSERT_EQUAL_FATAL(bench_start(b, 2), STARTUP_OK);
    bench_run(b, 1000);
    CU_ASSERT_EQUAL(view(b, 1, 3).state, DETECTOR_UNKNOWN);
    CU_ASSERT_EQUAL(view(b, 1, 2).state, DETECTOR_WELL);
    bench_run(b, SUSPICION_DEAD_MAX_MS);
    CU_ASSERT_EQUAL(view(b, 1, 3).state, DETECTOR_DEAD);
    CU_ASSERT_EQUAL(view(b, 2, 3).reasons, DETECTOR_NEVER_HEARD);
    bench_free(b);
}

/* Sends the first `size` bytes of a PONG; true if the other side takes it for an answer. */
static bool answers(struct bench *b, uint32_t from, uint32_t to, size_t size)
{
    struct replica *r = b->node[from].start.replica;
    const struct replica_trip *trip = &b->node[to].start.replica->trip[from];
    const struct packet_pong body = {
        .stamp = b->node[to].start.replica->now_ns, .trip_ns = 1, .drive_ns = 2, .stall_ns = 3};
    uint64_t before = trip->count;
    struct port_frame frame;
    CU_ASSERT_TRUE_FATAL(send_begin(r, &frame));
    memcpy(send_body(&frame), &body, size);
    send_sealed(r, &frame, to, AUTH_KIND_PONG, size);
    bench_run(b, 1);
    CU_ASSERT(trip->count <= before + 1);
    return trip->count == before + 1;
}

static void a_pong_of_an_earlier_release_is_taken(void)
{
    uint32_t leader;
    struct bench *b = three(&leader);
    uint32_t from = leader % 3 + 1, to = 6 - leader - from;
    const struct replica_trip *trip = &b->node[to].start.replica->trip[from];
    b->node[to].idle_control = true; /* no PING, and so no other PONG */
    bench_run(b, 5);                 /* what was under way is over */
    CU_ASSERT(answers(b, from, to, sizeof(struct packet_pong)));
    CU_ASSERT_EQUAL(trip->stall_ns, 3);
    CU_ASSERT(answers(b, from, to, PACKET_PONG_SHORT));
    CU_ASSERT(trip->drive_ns == 2 && trip->stall_ns == 0);
    CU_ASSERT(!answers(b, from, to, 16));
    CU_ASSERT(!answers(b, from, to, 0));
    bench_free(b);
}

int main(void)
{
    static const struct unit_test tests[] = {
        {"everybody is well, and nobody judges itself", everybody_is_well},
        {"who is killed is dead everywhere, and well again later", a_killed_one_is_dead_everywhere},
        {"who is cut off thinks the same of the others",
         who_is_cut_off_thinks_the_same_of_the_others},
        {"who was stopped itself accuses nobody", a_sleeper_accuses_nobody},
        {"a slow link and a slow loop have their names", slow_links_and_loops_have_their_names},
        {"who never came is unknown, then dead", who_never_came_is_unknown_then_dead},
        {"a PONG of an earlier release is taken", a_pong_of_an_earlier_release_is_taken},
        {0}};
    return unit_main("control_detector", tests);
}
