/* Control's parts on whole replicas: cursor, checkpoints, boots, requests, handshakes. */
#include "tests/unit/control/bench.h"
#include "tests/unit/unit.h"

#include <stdlib.h>
#include <string.h>

static void start_all(struct bench *b)
{
    for (uint32_t id = 1; id <= b->count; id++)
        CU_ASSERT_EQUAL_FATAL(bench_start(b, id), STARTUP_OK);
}

static uint32_t other(uint32_t id)
{
    return id % 3 + 1;
}

/* --- log
 * --------------------------------------------------------------------------------------------- */

static void every_replica_applies_alike(void)
{
    struct bench *b = bench_new(3);
    start_all(b);
    uint32_t id = bench_settle(b);
    CU_ASSERT_NOT_EQUAL_FATAL(id, 0);
    CU_ASSERT_EQUAL(bench_day_end(b, id, "DAY1      ").result, CONTROL_APPLIED);
    bench_run(b, 200);
    for (uint32_t i = 1; i <= 3; i++) {
        const struct machine *m = control_machine(b->node[i].start.control);
        CU_ASSERT_EQUAL(m->applied, bench_status(b, id).commit);
        CU_ASSERT_EQUAL(m->day_open, 0);
        CU_ASSERT_EQUAL(m->digest, b->node[i].start.replica->machine->digest);
        for (uint32_t k = 1; k <= 3; k++) { /* each boot is logged */
            CU_ASSERT_EQUAL(m->boot[k], 1);
            CU_ASSERT_EQUAL(m->boot_id[k], b->node[k].start.boot_id);
        }
    }
    CU_ASSERT_EQUAL(b->digests_differ, 0);
    bench_free(b);
}

/* Nobody else has it, but memory does: it is written anew. */
static void a_page_that_rots_under_the_cursor_is_restored(void)
{
    struct bench *b = bench_new(1);
    start_all(b);
    CU_ASSERT_EQUAL_FATAL(bench_settle(b), 1);
    bench_run(b, 100);
    struct bench_node *n = &b->node[1];
    CU_ASSERT_EQUAL(bench_control(b, 1).problem[0], '\0');
    struct entry_day body;
    memset(&body, 0, sizeof(body));
    memcpy(body.name, "DAY1      ", sizeof(body.name));
    struct control_request request = {.entry_kind = ENTRY_DAY_END, .size = sizeof(body)};
    memcpy(request.body, &body, sizeof(body));
    CU_ASSERT_TRUE(control_ask(n->start.control, &request));
    control_turn(n->start.control, b->now_ns); /* proposes, and then falls behind */
    n->idle_control = true;
    bench_run(b, 50);
    uint64_t index = bench_status(b, 1).applied;
    CU_ASSERT_EQUAL(index, control_machine(n->start.control)->applied + 1);
    uint64_t page = ring_page_of(n->start.ring, index);
    uint8_t *byte = n->store.bytes + ring_slot_offset(&n->start.super, page) + RING_HEAD_SIZE + 60;
    uint8_t before = *byte;
    *byte ^= 1;
    n->idle_control = false;
    bench_run(b, 500);
    CU_ASSERT_TRUE(bench_control(b, 1).read_errors > 0);
    CU_ASSERT_EQUAL(bench_status(b, 1).pages_repaired, 1);
    CU_ASSERT_EQUAL(bench_status(b, 1).ring.holes, 0);
    CU_ASSERT_EQUAL(*byte, before);
    CU_ASSERT_EQUAL(control_machine(n->start.control)->applied, index);
    CU_ASSERT_EQUAL(bench_control(b, 1).problem[0], '\0');
    bench_free(b);
}

/* Pages that follow each other are read at one go; one that can't be read keeps none before it. */
static void pages_before_an_unreadable_one_are_applied(void)
{
    struct bench *b = bench_new(1);
    start_all(b);
    CU_ASSERT_EQUAL_FATAL(bench_settle(b), 1);
    bench_run(b, 100);
    struct bench_node *n = &b->node[1];
    struct replica *r = n->start.replica;
    const struct machine *m = control_machine(n->start.control);
    uint64_t before = m->applied;
    struct entry_day body;
    memset(&body, 0, sizeof(body));
    memcpy(body.name, "DAY1      ", sizeof(body.name));
    n->idle_control = true;
    for (int i = 0; i < 250; i++)
        CU_ASSERT_NOT_EQUAL_FATAL(intake_own(r, ENTRY_DAY_END, &body, sizeof(body)), 0);
    bench_run(b, 50);
    uint64_t last = bench_status(b, 1).applied, page = ring_page_of(n->start.ring, before + 1);
    CU_ASSERT_EQUAL(last, before + 250);
    CU_ASSERT_TRUE_FATAL(ring_page_of(n->start.ring, last) >= page + 3);
    uint64_t bad = before + 1; /* the first index of the third page */
    while (ring_page_of(n->start.ring, bad) < page + 2)
        bad++;
    n->store.bad_from = ring_slot_offset(&n->start.super, page + 2);
    n->store.bad_size = RING_PAGE_SIZE;
    n->idle_control = false;
    bench_run(b, 500);
    CU_ASSERT_EQUAL(m->applied, bad - 1);
    CU_ASSERT_TRUE(bench_control(b, 1).read_errors > 0);
    CU_ASSERT_TRUE(bench_status(b, 1).repair_failures > 0); /* it stays bad, whatever is written */
    CU_ASSERT_NOT_EQUAL(bench_control(b, 1).problem[0], 0);
    n->store.bad_size = 0;
    bench_run(b, 2500);
    CU_ASSERT_EQUAL(m->applied, last);
    CU_ASSERT_EQUAL(m->digest, r->machine->digest);
    CU_ASSERT_EQUAL(bench_control(b, 1).problem[0], '\0');
    bench_free(b);
}

/* --- checkpoints
 * ------------------------------------------------------------------------------------- */

static void h14_no_checkpoint_above_the_local_log(void)
{
    /* H14: the leader's drive lags; followers commit; control must not checkpoint what its own
     * drive does not hold, or a crash leaves a checkpoint above the ring's end. */
    struct bench *b = bench_new(3);
    b->tweak.control.checkpoint_ms = 10;
    start_all(b);
    uint32_t id = bench_settle(b);
    CU_ASSERT_NOT_EQUAL_FATAL(id, 0);
    bench_run(b, 200);
    uint64_t durable = bench_status(b, id).durable_index;
    b->node[id].store.hold = true;
    struct entry_day body;
    memset(&body, 0, sizeof(body));
    memcpy(body.name, "DAY1      ", sizeof(body.name));
    struct control_request request = {.entry_kind = ENTRY_DAY_END, .size = sizeof(body)};
    memcpy(request.body, &body, sizeof(body));
    CU_ASSERT_TRUE(control_ask(b->node[id].start.control, &request));
    bench_run(b, 40);                                     /* less than it takes to be deposed */
    CU_ASSERT_TRUE(bench_status(b, id).commit > durable); /* two others hold it */
    CU_ASSERT_TRUE(bench_control(b, id).checkpoint_index[0] <= durable);
    CU_ASSERT_EQUAL(control_machine(b->node[id].start.control)->applied, durable);
    CU_ASSERT_TRUE(bench_control(b, other(id)).checkpoint_index[0] > durable);
    b->node[id].store.hold = false;
    bench_run(b, 500);
    CU_ASSERT_TRUE(bench_control(b, id).checkpoint_index[0] > durable);
    CU_ASSERT_EQUAL(bench_control(b, id).checkpoint_failures, 0);
    bench_free(b);
}

static void the_head_stays_behind_the_older_checkpoint(void)
{
    struct bench *b = bench_new(1);
    b->tweak.control.checkpoint_pages = BENCH_SLOTS / 8;
    start_all(b);
    CU_ASSERT_EQUAL_FATAL(bench_settle(b), 1);
    char name[KEEL_DAY_NAME_SIZE + 1] = "DAY1      ";
    bool wrapped = false;
    for (uint32_t i = 0; i < BENCH_SLOTS; i++) {
        CU_ASSERT_EQUAL_FATAL(bench_day_end(b, 1, name).result, CONTROL_APPLIED);
        struct entry_day body;
        memset(&body, 0, sizeof(body));
        for (uint32_t k = 0, rest = i; k < 4; k++, rest /= 26)
            name[3 + k] = (char)('A' + rest % 26);
        memcpy(body.name, name, sizeof(body.name));
        CU_ASSERT_EQUAL_FATAL(bench_ask(b, 1, ENTRY_DAY_BEGIN, &body, sizeof(body)).result,
                              CONTROL_APPLIED);
        struct control_status c = bench_control(b, 1);
        struct replica_status s = bench_status(b, 1);
        CU_ASSERT_TRUE(s.first_index <= c.checkpoint_index[1] + 1);
        wrapped = wrapped || s.ring.tail_page > BENCH_SLOTS;
    }
    CU_ASSERT_TRUE(wrapped);
    CU_ASSERT_TRUE(bench_control(b, 1).checkpoints > 8);
    bench_kill(b, 1);
    CU_ASSERT_EQUAL_FATAL(bench_start(b, 1), STARTUP_OK);
    CU_ASSERT_EQUAL_FATAL(bench_settle(b), 1);
    CU_ASSERT_EQUAL(b->digests_differ, 0);
    bench_free(b);
}

/* Ends and begins days until the ring takes no more; false: it took BENCH_SLOTS of them. */
static bool fill_rings(struct bench *b, uint32_t id)
{
    char name[KEEL_DAY_NAME_SIZE + 1] = "DAY1      ";
    for (uint32_t i = 0; i < BENCH_SLOTS; i++) {
        struct entry_day body;
        memset(&body, 0, sizeof(body));
        if (bench_day_end(b, id, name).result != CONTROL_APPLIED)
            return true;
        for (uint32_t k = 0, rest = i; k < 4; k++, rest /= 26)
            name[3 + k] = (char)('A' + rest % 26);
        memcpy(body.name, name, sizeof(body.name));
        if (bench_ask(b, id, ENTRY_DAY_BEGIN, &body, sizeof(body)).result != CONTROL_APPLIED)
            return true;
    }
    return false;
}

static void h8_full_rings_become_free_again(void)
{
    /* H8: no checkpoint can be written anywhere, the rings fill up, leaders step down and elections
     * take what slots are left; then checkpoints can be written again. Nothing can be appended, so
     * nothing new is applied: the older checkpoint must reach the newer one's index all the same,
     * and a slot must be left for the page that states the new head. */
    struct bench *b = bench_new(3);
    b->tweak.control.checkpoint_ms = 100;
    for (uint32_t i = 1; i <= 3; i++)
        b->node[i].store.lose_blocking = true;
    start_all(b);
    uint32_t id = bench_settle(b);
    CU_ASSERT_NOT_EQUAL_FATAL(id, 0);
    CU_ASSERT_TRUE_FATAL(fill_rings(b, id));
    bench_run(b, 8000);
    for (uint32_t i = 1; i <= 3; i++) {
        CU_ASSERT_EQUAL(bench_control(b, i).checkpoints, 0);
        b->node[i].store.lose_blocking = false;
    }
    bench_run(b, 3 * CONTROL_CHECKPOINT_RETRY_MS);
    id = bench_settle(b);
    CU_ASSERT_NOT_EQUAL_FATAL(id, 0);
    for (uint32_t i = 1; i <= 3; i++)
        CU_ASSERT_TRUE(bench_status(b, i).ring.head_page > BENCH_SLOTS / 8);
    CU_ASSERT_FALSE(fill_rings(b, id) && bench_control(b, id).checkpoints < 4);
    CU_ASSERT_EQUAL(b->digests_differ, 0);
    bench_free(b);
}

static void h14_the_head_waits_for_the_second(void)
{
    /* H14: a full ring, and one checkpoint: what is behind it alone must stay readable. */
    struct bench *b = bench_new(1);
    b->tweak.control.checkpoint_ms = 100;
    struct bench_node *n = &b->node[1];
    n->store.lose_blocking = true;
    start_all(b);
    CU_ASSERT_EQUAL_FATAL(bench_settle(b), 1);
    CU_ASSERT_TRUE_FATAL(fill_rings(b, 1));
    n->store.lose_blocking = false;
    for (uint32_t ms = 0; ms < 3000 && bench_control(b, 1).checkpoints == 0; ms++)
        bench_run(b, 1);
    n->store.lose_blocking = true;
    bench_run(b, 500);
    CU_ASSERT_EQUAL(bench_control(b, 1).checkpoints, 1);
    CU_ASSERT_EQUAL(bench_status(b, 1).first_index, 1);
    n->store.lose_blocking = false;
    bench_run(b, 3 * CONTROL_CHECKPOINT_RETRY_MS);
    CU_ASSERT_TRUE(bench_status(b, 1).first_index > 1);
    bench_free(b);
}

static void a_checkpoint_that_fails_is_said_and_repeated(void)
{
    struct bench *b = bench_new(1);
    b->tweak.control.checkpoint_ms = 100;
    start_all(b);
    CU_ASSERT_EQUAL_FATAL(bench_settle(b), 1);
    bench_run(b, 300);
    struct bench_node *n = &b->node[1];
    uint64_t before = bench_control(b, 1).checkpoints;
    n->store.lose_blocking =
        true; /* the drive confirms what it never writes: read back, and seen */
    bench_day_end(b, 1, "DAY1      ");
    bench_run(b, 300);
    CU_ASSERT_EQUAL(bench_control(b, 1).checkpoints, before);
    CU_ASSERT_TRUE(bench_control(b, 1).checkpoint_failures > 0);
    CU_ASSERT_PTR_NOT_NULL(strstr(bench_control(b, 1).problem, "checkpoint"));
    n->store.lose_blocking = false;
    bench_run(b, 2 * CONTROL_CHECKPOINT_RETRY_MS);
    CU_ASSERT_TRUE(bench_control(b, 1).checkpoints > before);
    CU_ASSERT_EQUAL(bench_control(b, 1).problem[0], '\0');
    bench_free(b);
}

/* --- requests
 * ---------------------------------------------------------------------------------------- */

static void a_follower_names_the_leader(void)
{
    struct bench *b = bench_new(3);
    start_all(b);
    uint32_t id = bench_settle(b);
    struct control_reply reply = bench_day_end(b, other(id), "DAY1      ");
    CU_ASSERT_EQUAL(reply.result, CONTROL_NOT_LEADER);
    CU_ASSERT_EQUAL(reply.leader, id);
    CU_ASSERT_EQUAL(control_machine(b->node[id].start.control)->day_open, 1);
    bench_free(b);
}

static void a_refusal_of_the_machine_is_told(void)
{
    struct bench *b = bench_new(1);
    start_all(b);
    bench_settle(b);
    struct control_reply reply = bench_day_end(b, 1, "OTHER     ");
    CU_ASSERT_EQUAL(reply.result, CONTROL_APPLIED);
    CU_ASSERT_EQUAL(reply.status, MACHINE_DAY_STATE);
    CU_ASSERT_TRUE(reply.index > 0);
    bench_free(b);
}

static void a_proposal_that_was_superseded_is_lost(void)
{
    /* The leader is cut off, appends a request, comes back and finds another's entry in its place.
     */
    struct bench *b = bench_new(3);
    start_all(b);
    uint32_t id = bench_settle(b);
    struct control *control = b->node[id].start.control;
    struct entry_day body;
    memset(&body, 0, sizeof(body));
    memcpy(body.name, "DAY1      ", sizeof(body.name));
    struct control_request request = {.tag = 7, .entry_kind = ENTRY_DAY_END, .size = sizeof(body)};
    memcpy(request.body, &body, sizeof(body));
    struct control_reply reply;
    b->node[id].cut = true;
    CU_ASSERT_TRUE(control_ask(control, &request));
    bench_run(b, 1500); /* the others elect one of theirs, whose no-op takes that index */
    CU_ASSERT_FALSE(control_answer(control, &reply));
    b->node[id].cut = false;
    bench_run(b, 3000);
    CU_ASSERT_TRUE_FATAL(control_answer(control, &reply));
    CU_ASSERT_EQUAL(reply.result, CONTROL_LOST);
    CU_ASSERT_EQUAL(reply.tag, 7);
    CU_ASSERT_EQUAL(control_machine(control)->day_open, 1);
    bench_free(b);
}

static void without_a_quorum_the_outcome_is_unknown(void)
{
    struct bench *b = bench_new(3);
    start_all(b);
    uint32_t id = bench_settle(b);
    struct control *control = b->node[id].start.control;
    struct control_request request = {.entry_kind = ENTRY_DAY_END,
                                      .size = sizeof(struct entry_day)};
    memcpy(request.body, "DAY1      ", KEEL_DAY_NAME_SIZE);
    struct control_reply reply;
    b->node[id].cut = true;
    for (uint32_t i = 0; i < CONTROL_REQUESTS; i++) {
        request.tag = i;
        CU_ASSERT_TRUE(control_ask(control, &request));
    }
    CU_ASSERT_FALSE(control_ask(control, &request)); /* as many as there are places */
    bench_run(b, CONTROL_REQUEST_MS + 100);
    uint32_t seen = 0;
    while (control_answer(control, &reply)) { /* each exactly once */
        CU_ASSERT_EQUAL(reply.result, CONTROL_TIMED_OUT);
        seen |= 1u << reply.tag;
    }
    CU_ASSERT_EQUAL(seen, (1u << CONTROL_REQUESTS) - 1);
    CU_ASSERT_TRUE(control_ask(control, &request));
    bench_free(b);
}

/* What is told is the leader's own time from appending to applying; without a quorum it gives up in
 * the time that it was given. */
static void a_probe_is_timed_and_bounded(void)
{
    struct bench *b = bench_new(3);
    start_all(b);
    uint32_t id = bench_settle(b);
    struct control *control = b->node[id].start.control;
    struct control_request request = {
        .tag = 1, .entry_kind = ENTRY_PROBE, .size = sizeof(struct entry_probe)};
    struct control_reply reply;
    bench_run(b, 100);
    uint64_t digest = control_machine(control)->digest;
    CU_ASSERT_TRUE(control_ask(control, &request));
    for (int ms = 0; !control_answer(control, &reply); ms++) {
        CU_ASSERT_TRUE_FATAL(ms < 1000);
        bench_run(b, 1);
    }
    CU_ASSERT_EQUAL(reply.result, CONTROL_APPLIED);
    CU_ASSERT_EQUAL(reply.index, control_machine(control)->applied);
    CU_ASSERT_NOT_EQUAL(control_machine(control)->digest, digest);
    /* the bench's drive and wire take turns of 100 us */
    CU_ASSERT(reply.value >= BENCH_STEP_NS && reply.value < 50 * BENCH_STEP_NS);
    CU_ASSERT_EQUAL(
        bench_ask(b, other(id), ENTRY_PROBE, request.body, (uint8_t)request.size).result,
        CONTROL_NOT_LEADER);
    b->node[id].cut = true;
    request.timeout_ms = 20;
    CU_ASSERT_TRUE(control_ask(control, &request));
    bench_run(b, 19);
    CU_ASSERT_FALSE(control_answer(control, &reply));
    bench_run(b, 3);
    CU_ASSERT_TRUE_FATAL(control_answer(control, &reply));
    CU_ASSERT_EQUAL(reply.result, CONTROL_TIMED_OUT);
    bench_free(b);
}

/* --- handshakes
 * -------------------------------------------------------------------------------------- */

static void followers_keep_their_association_warm(void)
{
    struct bench *b = bench_new(3);
    start_all(b);
    uint32_t id = bench_settle(b);
    bench_run(b, 500);
    uint64_t begun[4];
    for (uint32_t i = 1; i <= 3; i++)
        begun[i] = bench_control(b, i).handshakes_begun;
    bench_run(b, 5000);
    for (uint32_t i = 1; i <= 3; i++) {
        CU_ASSERT_EQUAL(bench_control(b, i).handshakes_begun, begun[i]);
        for (uint32_t k = 1; k <= 3; k++)
            if (k != i)
                CU_ASSERT_TRUE(bench_status(b, i).assoc_heard_ns[k] + 1000000000 > b->now_ns);
    }
    CU_ASSERT_EQUAL(bench_status(b, id).role, RAFT_LEADER);
    bench_free(b);
}

static void a_restarted_peer_is_met_again(void)
{
    struct bench *b = bench_new(3);
    start_all(b);
    bench_settle(b);
    for (uint32_t id = 1; id <= 3; id++) {
        bench_kill(b, id);
        bench_run(b, 1000);
        CU_ASSERT_EQUAL_FATAL(bench_start(b, id), STARTUP_OK);
        bench_run(b, 3000);
        for (uint32_t i = 1; i <= 3; i++)
            for (uint32_t k = 1; k <= 3; k++)
                if (i != k) {
                    struct replica_status s = bench_status(b, i);
                    CU_ASSERT_TRUE(s.assoc_heard_ns[k] + 1000000000 > b->now_ns);
                    CU_ASSERT_EQUAL(s.peer_boot_id[k], b->node[k].start.boot_id);
                }
    }
    uint32_t leader = bench_settle(b);
    CU_ASSERT_NOT_EQUAL_FATAL(leader, 0);
    bench_run(b, 1000);
    for (uint32_t id = 1; id <= 3; id++)
        CU_ASSERT_EQUAL(control_machine(b->node[leader].start.control)->boot[id], 2);
    bench_free(b);
}

static void h2_an_old_image_is_refused(void)
{
    /* H2: the image was taken at boot 1; the original ran as boot 2; the image starts as boot 2 as
     * well, with another boot id. */
    struct bench *b = bench_new(3);
    start_all(b);
    bench_settle(b);
    bench_kill(b, 3);
    uint8_t *image = malloc(b->node[3].store.size);
    memcpy(image, b->node[3].store.bytes, b->node[3].store.size);
    CU_ASSERT_EQUAL_FATAL(bench_start(b, 3), STARTUP_OK);
    bench_run(b, 3000);
    CU_ASSERT_EQUAL(bench_status(b, 1).peer_boot_id[3], b->node[3].start.boot_id);
    uint64_t original = b->node[3].start.boot_id;
    bench_kill(b, 3);
    memcpy(b->node[3].store.bytes, image, b->node[3].store.size);
    CU_ASSERT_EQUAL_FATAL(bench_start(b, 3), STARTUP_OK);
    CU_ASSERT_EQUAL(b->node[3].start.boot, 2);
    CU_ASSERT_NOT_EQUAL(b->node[3].start.boot_id, original);
    bench_run(b, 5000);
    for (uint32_t i = 1; i <= 2; i++) {
        CU_ASSERT_TRUE(bench_control(b, i).handshake_reject[HANDSHAKE_OLD_BOOT] > 0);
        CU_ASSERT_EQUAL(bench_status(b, i).peer_boot_id[3], original);
        CU_ASSERT_EQUAL(bench_status(b, 3).assoc_heard_ns[i], 0);
    }
    /* also after both peers have restarted: page heads and the log remember */
    for (uint32_t i = 1; i <= 2; i++) {
        bench_kill(b, i);
        CU_ASSERT_EQUAL_FATAL(bench_start(b, i), STARTUP_OK);
    }
    bench_run(b, 5000);
    CU_ASSERT_EQUAL(bench_status(b, 3).assoc_heard_ns[1], 0);
    CU_ASSERT_EQUAL(bench_status(b, 3).assoc_heard_ns[2], 0);
    free(image);
    bench_free(b);
}

static void h13_a_peer_remembers_what_the_drive_lost(void)
{
    /* H13: replica 3 acknowledged entries whose writes its drive confirmed and never made; it is
     * killed before any later page names them durable. */
    struct bench *b = bench_new(3);
    start_all(b);
    uint32_t id = bench_settle(b);
    bench_run(b, 500);
    if (id == 3) { /* it shall follow */
        b->node[3].cut = true;
        bench_run(b, 1500);
        b->node[3].cut = false;
        bench_run(b, 1500);
        id = bench_settle(b);
    }
    CU_ASSERT_NOT_EQUAL_FATAL(id, 3);
    b->node[3].store.lose_writes = true;
    CU_ASSERT_EQUAL(bench_day_end(b, id, "DAY1      ").result, CONTROL_APPLIED);
    bench_run(b, 200);
    uint64_t acknowledged = bench_status(b, id).peer_match[3];
    CU_ASSERT_EQUAL(acknowledged, bench_status(b, id).commit);
    bench_kill(b, 3);
    b->node[3].store.lose_writes = false;
    CU_ASSERT_EQUAL_FATAL(bench_start(b, 3), STARTUP_OK);
    CU_ASSERT_TRUE(b->node[3].start.last_index < acknowledged);
    bench_run(b, 3000);
    struct replica_status s = bench_status(b, 3);
    CU_ASSERT_EQUAL(s.stopped, 1);
    CU_ASSERT_PTR_NOT_NULL(strstr(s.why, "remembers"));
    CU_ASSERT_NOT_EQUAL(bench_settle(b), 0); /* the others go on */
    bench_free(b);
}

static void h13_honest_restarts_are_never_denied(void)
{
    /* The other half of H13: whatever peers remember of a replica that lost nothing, it holds. */
    struct bench *b = bench_new(3);
    start_all(b);
    bench_settle(b);
    for (uint32_t round = 0; round < 12; round++) {
        uint32_t id = round % 3 + 1;
        bench_run(b, 37 * round % 101);
        bench_kill(b, id);
        bench_run(b, 300);
        CU_ASSERT_EQUAL_FATAL(bench_start(b, id), STARTUP_OK);
        bench_run(b, 1500);
        for (uint32_t i = 1; i <= 3; i++)
            CU_ASSERT_EQUAL(bench_status(b, i).stopped, 0);
    }
    CU_ASSERT_NOT_EQUAL(bench_settle(b), 0);
    CU_ASSERT_EQUAL(b->digests_differ, 0);
    bench_free(b);
}

/* Two entries, as long as somebody leads and is not stopped. */
static bool next_day(struct bench *b)
{
    struct entry_day body;
    uint32_t leader = bench_settle(b);
    if (leader == 0 || bench_status(b, leader).stopped)
        return false;
    char name[KEEL_DAY_NAME_SIZE + 1] = "";
    memcpy(name, b->node[leader].start.replica->machine->day, KEEL_DAY_NAME_SIZE);
    if (bench_day_end(b, leader, name).result != CONTROL_APPLIED)
        return false;
    char *last = &name[KEEL_DAY_NAME_SIZE - 1];
    for (char *at = name; at < last; at++)
        *at = *at == ' ' ? 'A' : *at;
    *last = *last < 'A' || *last == 'Z' ? 'A' : (char)(*last + 1);
    memset(&body, 0, sizeof(body));
    memcpy(body.name, name, sizeof(body.name));
    return bench_ask(b, leader, ENTRY_DAY_BEGIN, &body, sizeof(body)).result == CONTROL_APPLIED;
}

/* Entries enough for several steps of digests to be told and compared. */
static void end_days(struct bench *b, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        CU_ASSERT_TRUE_FATAL(next_day(b));
    bench_run(b, 2000);
}

static bool is_stopped(struct bench *b, uint32_t id, const char *why)
{
    struct replica_status s = bench_status(b, id);
    return s.stopped && strstr(s.why, why) != NULL;
}

static void the_odd_one_out_stops(void)
{
    /* A bit flips in one replica's state, in both its machines: it holds the open day for closed,
     * refuses its end, and so has another digest than the two others. It stops, whether it leads or
     * not; the others go on, and say who differs. */
    for (uint32_t leads = 0; leads < 2; leads++) {
        struct bench *b = bench_new(3);
        start_all(b);
        uint32_t leader = bench_settle(b);
        CU_ASSERT_FATAL(leader != 0);
        end_days(b, 20);
        uint32_t odd = leads ? leader : leader % 3 + 1;
        for (uint32_t id = 1; id <= 3; id++) {
            CU_ASSERT(bench_control(b, id).digests_equal > 0);
            CU_ASSERT_EQUAL(bench_control(b, id).digest_differs, 0);
        }
        struct machine *control =
            (struct machine *)(uintptr_t)control_machine(b->node[odd].start.control);
        CU_ASSERT_TRUE_FATAL(control->day_open && b->node[odd].start.replica->machine->day_open);
        control->day_open ^= 1;
        b->node[odd].start.replica->machine->day_open ^= 1;
        end_days(b, 20);
        for (uint32_t id = 1; id <= 3; id++) {
            CU_ASSERT_EQUAL(is_stopped(b, id, "a majority's state"), id == odd);
            CU_ASSERT_EQUAL(bench_status(b, id).stopped != 0, id == odd);
            CU_ASSERT(id == odd || bench_control(b, id).digest_differs == 1u << odd);
        }
        bench_free(b);
    }
}

static void two_machines_of_one_replica(void)
{
    /* The machine that answers clients, or the one that makes checkpoints, is damaged: they differ.
     */
    struct bench *b = bench_new(1);
    start_all(b);
    end_days(b, 10);
    CU_ASSERT_FALSE(bench_status(b, 1).stopped);
    b->node[1].start.replica->machine->day_open ^= 1;
    for (uint32_t i = 0; i < 40 && next_day(b); i++)
        continue;
    CU_ASSERT(is_stopped(b, 1, "two machines differ"));
    bench_free(b);
}

int main(void)
{
    static const struct unit_test tests[] = {
        {"every replica's second machine applies alike, boots are logged",
         every_replica_applies_alike},
        {"a page that rots under the cursor is restored",
         a_page_that_rots_under_the_cursor_is_restored},
        {"pages before an unreadable one are applied", pages_before_an_unreadable_one_are_applied},
        {"H14: no checkpoint above the local log", h14_no_checkpoint_above_the_local_log},
        {"the head stays behind the older checkpoint, over a lap",
         the_head_stays_behind_the_older_checkpoint},
        {"H8: full rings become free again", h8_full_rings_become_free_again},
        {"H14 the head waits for the second", h14_the_head_waits_for_the_second},
        {"a checkpoint that fails is said and repeated",
         a_checkpoint_that_fails_is_said_and_repeated},
        {"a follower names the leader", a_follower_names_the_leader},
        {"a refusal of the machine is told", a_refusal_of_the_machine_is_told},
        {"a superseded proposal is lost, not unknown", a_proposal_that_was_superseded_is_lost},
        {"a probe is timed and bounded", a_probe_is_timed_and_bounded},
        {"without a quorum the outcome is unknown", without_a_quorum_the_outcome_is_unknown},
        {"followers keep their association warm", followers_keep_their_association_warm},
        {"a restarted peer is met again, its boot logged", a_restarted_peer_is_met_again},
        {"H2: an old image with an equal boot is refused", h2_an_old_image_is_refused},
        {"H13: a peer remembers what the drive lost", h13_a_peer_remembers_what_the_drive_lost},
        {"H13: honest restarts are never denied", h13_honest_restarts_are_never_denied},
        {"the odd one out stops", the_odd_one_out_stops},
        {"two machines of one replica", two_machines_of_one_replica},
        {0}};
    return unit_main("control", tests);
}
