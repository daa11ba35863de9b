/* Transfers of leadership and proven reads, as people ask for them: three replicas. */
#include "control/control_internal.h"
#include "tests/unit/control/bench.h"
#include "tests/unit/unit.h"

#include <string.h>

static struct bench *three(uint32_t *leader)
{
    struct bench *b = bench_new(3);
    for (uint32_t id = 1; id <= 3; id++)
        CU_ASSERT_EQUAL_FATAL(bench_start(b, id), STARTUP_OK);
    *leader = bench_settle(b);
    CU_ASSERT_NOT_EQUAL_FATAL(*leader, 0);
    bench_run(b, 200);
    return b;
}

static struct control_reply ask(struct bench *b, uint32_t id, enum control_request_kind kind,
                                uint8_t to)
{
    struct control *control = b->node[id].start.control;
    struct control_request request = {.tag = b->now_ns, .kind = (uint8_t)kind, .to = to};
    struct control_reply reply = {.result = CONTROL_LOST};
    CU_ASSERT_TRUE_FATAL(control_ask(control, &request));
    for (uint32_t ms = 0; ms < 2 * CONTROL_REQUEST_MS; ms++) {
        bench_run(b, 1);
        if (!control_answer(control, &reply))
            continue;
        CU_ASSERT_EQUAL(reply.tag, request.tag);
        return reply;
    }
    CU_FAIL("no reply");
    return reply;
}

static void a_transfer_is_answered_when_the_target_leads(void)
{
    uint32_t from;
    struct bench *b = three(&from);
    for (uint32_t round = 0; round < 4; round++) {
        uint8_t to = (uint8_t)(from % 3 + 1);
        uint64_t term = bench_status(b, from).term;
        struct control_reply reply = ask(b, from, CONTROL_TRANSFER, round < 2 ? to : 0);
        CU_ASSERT_EQUAL(reply.result, CONTROL_APPLIED);
        CU_ASSERT_EQUAL(reply.leader, to);
        CU_ASSERT_EQUAL(reply.term, term + 1);
        CU_ASSERT_EQUAL(bench_status(b, to).role, RAFT_LEADER);
        CU_ASSERT_EQUAL(bench_status(b, from).transfer.done, 1 + round / 3);
        bench_run(b, 200);
        from = to;
    }
    /* to whom leads already: done, and nothing has changed */
    uint64_t term = bench_status(b, from).term;
    struct control_reply reply = ask(b, from, CONTROL_TRANSFER, (uint8_t)from);
    CU_ASSERT_EQUAL(reply.result, CONTROL_APPLIED);
    CU_ASSERT_EQUAL(reply.status, RAFT_TRANSFER_SELF);
    CU_ASSERT_EQUAL(bench_status(b, from).term, term);
    bench_free(b);
}

static void who_stepped_down_stays_out_for_an_election_timeout(void)
{
    uint32_t was;
    struct bench *b = three(&was);
    struct replica *r = b->node[was].start.replica;
    struct control_reply reply = ask(b, was, CONTROL_STEP_DOWN, 0);
    CU_ASSERT_EQUAL(reply.result, CONTROL_APPLIED);
    CU_ASSERT_NOT_EQUAL(reply.leader, was);
    uint32_t now = bench_settle(b);
    CU_ASSERT_NOT_EQUAL_FATAL(now, was);
    CU_ASSERT_TRUE(leadership_abstains(r));
    bench_run(b, 30); /* it has said so, and is handed nothing */
    uint64_t until_ns = r->abstains_until_ns;
    if (b->now_ns < until_ns) {
        reply = ask(b, now, CONTROL_TRANSFER, (uint8_t)was);
        CU_ASSERT_EQUAL(reply.result, CONTROL_REFUSED);
        CU_ASSERT_EQUAL(reply.status, RAFT_TRANSFER_UNABLE);
    }
    /* alone with one voter that may lead, it votes for that one, and does not campaign before */
    uint64_t term = bench_status(b, now).term;
    b->node[now].cut = true;
    while (b->now_ns < until_ns) {
        bench_run(b, 1);
        CU_ASSERT_TRUE(bench_status(b, was).role == RAFT_FOLLOWER);
    }
    CU_ASSERT_NOT_EQUAL(bench_settle(b), 0);
    b->node[now].cut = false;
    bench_run(b, 1000);
    uint32_t last = bench_settle(b);
    CU_ASSERT_TRUE(bench_status(b, last).term > term);
    CU_ASSERT_FALSE(leadership_abstains(r));
    if (last != was) {
        reply = ask(b, last, CONTROL_TRANSFER, (uint8_t)was);
        CU_ASSERT_EQUAL(reply.result, CONTROL_APPLIED);
    }
    bench_free(b);
}

static struct control_reply drain(struct bench *b, uint32_t leader, uint32_t id)
{
    struct control *control = b->node[leader].start.control;
    const struct entry_operator op = {.request = {b->now_ns, id},
                                      .value = 1,
                                      .operation = OPERATOR_DRAIN,
                                      .replica = (uint8_t)id};
    struct control_request request = {.tag = id, .entry_kind = ENTRY_OPERATOR, .size = sizeof(op)};
    struct control_reply reply = {.result = CONTROL_LOST};
    memcpy(request.body, &op, sizeof(op));
    CU_ASSERT_TRUE_FATAL(control_ask(control, &request));
    for (uint32_t ms = 0; ms < CONTROL_REQUEST_MS && !control_answer(control, &reply); ms++)
        bench_run(b, 1);
    CU_ASSERT_EQUAL(reply.result, CONTROL_APPLIED);
    return reply;
}

static void a_drained_leader_hands_over_and_leads_only_when_nobody_else_can(void)
{
    uint32_t first;
    struct bench *b = three(&first);
    uint32_t second = first % 3 + 1, third = second % 3 + 1;
    CU_ASSERT_EQUAL(drain(b, first, second).status, MACHINE_DONE);
    bench_run(b, 100);
    struct control_reply reply = ask(b, first, CONTROL_TRANSFER, (uint8_t)second);
    CU_ASSERT_EQUAL(reply.status, RAFT_TRANSFER_UNABLE);
    CU_ASSERT_EQUAL(drain(b, first, first).status, MACHINE_DONE);
    bench_run(b, 1000);
    CU_ASSERT_EQUAL(bench_status(b, third).role, RAFT_LEADER);
    CU_ASSERT_EQUAL(drain(b, third, third).status, MACHINE_NO_LEADER_LEFT);
    CU_ASSERT_TRUE(leadership_abstains(b->node[first].start.replica));
    CU_ASSERT_TRUE(leadership_abstains(b->node[second].start.replica));
    /* the only one that may lead is gone: for long nobody, and then rather one of them than nobody
     */
    const struct genesis *g = b->node[first].start.control->options.genesis;
    uint64_t patience_ms = REPLICA_DRAIN_ELECTIONS * 2ull * g->election_min_ms;
    b->node[third].cut = true;
    for (uint64_t ms = 0; ms + 100 < patience_ms; ms++) {
        bench_run(b, 1);
        CU_ASSERT_TRUE(bench_status(b, first).role == RAFT_FOLLOWER &&
                       bench_status(b, second).role == RAFT_FOLLOWER);
    }
    bench_run(b, 3000);
    bool leads =
        bench_status(b, first).role == RAFT_LEADER || bench_status(b, second).role == RAFT_LEADER;
    CU_ASSERT_TRUE(leads);
    /* it gives the office up as soon as somebody else is fit for it */
    b->node[third].cut = false;
    bench_run(b, 3000);
    CU_ASSERT_EQUAL(bench_status(b, third).role, RAFT_LEADER);
    bench_free(b);
}

static void what_would_come_of_it_is_told_and_not_done(void)
{
    uint32_t leader;
    struct bench *b = three(&leader);
    struct control *control = b->node[leader].start.control;
    uint64_t last = bench_status(b, leader).last_index, term = bench_status(b, leader).term;
    for (uint8_t to = 0; to < 8; to += 7) {
        struct control_request request = {
            .tag = 9, .kind = CONTROL_TRANSFER, .to = to, .dry = true};
        struct control_reply reply = {0};
        CU_ASSERT_TRUE_FATAL(control_ask(control, &request));
        bench_run(b, 20);
        CU_ASSERT_TRUE_FATAL(control_answer(control, &reply));
        CU_ASSERT_EQUAL(reply.result, to == 0 ? CONTROL_APPLIED : CONTROL_REFUSED);
    }
    struct entry_config body = control->seen.config;
    for (uint32_t round = 0; round < 3; round++) { /* a voter less, the same, nobody */
        struct control_request request = {.tag = 9,
                                          .entry_kind = ENTRY_CONFIG,
                                          .dry = true,
                                          .was = control->seen.config_index,
                                          .size = sizeof(body)};
        uint32_t other = leader % 3 + 1;
        body = control->seen.config;
        if (round == 0) {
            body.voters &= ~(1u << other);
            memset(&body.member[other], 0, sizeof(body.member[other]));
        }
        if (round == 2)
            b->node[1].cut = b->node[2].cut = b->node[3].cut = true;
        memcpy(request.body, &body, sizeof(body));
        struct control_reply reply = {0};
        CU_ASSERT_TRUE_FATAL(control_ask(control, &request));
        bench_run(b, 20);
        CU_ASSERT_TRUE_FATAL(control_answer(control, &reply));
        CU_ASSERT_EQUAL(reply.result, round == 0 ? CONTROL_APPLIED : CONTROL_UNCHANGED);
    }
    CU_ASSERT_EQUAL(bench_status(b, leader).last_index, last);
    CU_ASSERT_EQUAL(bench_status(b, leader).term, term);
    bench_free(b);
}

static void nobody_steps_down_for_nobody(void)
{
    uint32_t leader;
    struct bench *b = three(&leader);
    uint64_t term = bench_status(b, leader).term;
    for (uint32_t id = 1; id <= 3; id++)
        b->node[id].start.replica->abstains_until_ns = id == leader ? 0 : UINT64_MAX;
    bench_run(b, 50);
    struct control_reply reply = ask(b, leader, CONTROL_STEP_DOWN, 0);
    CU_ASSERT_EQUAL(reply.result, CONTROL_REFUSED);
    CU_ASSERT_EQUAL(reply.status, RAFT_TRANSFER_NOBODY);
    CU_ASSERT_EQUAL(bench_status(b, leader).role, RAFT_LEADER);
    CU_ASSERT_EQUAL(bench_status(b, leader).term, term);
    reply = ask(b, leader % 3 + 1, CONTROL_STEP_DOWN, 0);
    CU_ASSERT_EQUAL(reply.result, CONTROL_NOT_LEADER);
    bench_free(b);
}

static void what_is_refused_changes_nothing(void)
{
    uint32_t leader;
    struct bench *b = three(&leader);
    uint32_t other = leader % 3 + 1;
    uint64_t term = bench_status(b, leader).term;
    struct control_reply reply = ask(b, other, CONTROL_TRANSFER, 0);
    CU_ASSERT_EQUAL(reply.result, CONTROL_NOT_LEADER);
    CU_ASSERT_EQUAL(reply.leader, leader);
    reply = ask(b, leader, CONTROL_TRANSFER, 7);
    CU_ASSERT_EQUAL(reply.result, CONTROL_REFUSED);
    CU_ASSERT_EQUAL(reply.status, RAFT_TRANSFER_UNKNOWN);
    b->node[other].cut = true;
    bench_run(b, 500);
    reply = ask(b, leader, CONTROL_TRANSFER, (uint8_t)other);
    CU_ASSERT_EQUAL(reply.result, CONTROL_REFUSED);
    CU_ASSERT_EQUAL(reply.status, RAFT_TRANSFER_SILENT);
    CU_ASSERT_EQUAL(bench_status(b, leader).role, RAFT_LEADER);
    CU_ASSERT_EQUAL(bench_status(b, leader).term, term);
    bench_free(b);
}

static void a_target_that_vanishes_is_answered_with_time_out(void)
{
    uint32_t leader;
    struct bench *b = three(&leader);
    uint8_t to = (uint8_t)(leader % 3 + 1);
    b->node[to].cut = true; /* a moment ago it was heard: the word goes out and is lost */
    struct control_reply reply = ask(b, leader, CONTROL_TRANSFER, to);
    CU_ASSERT_EQUAL(reply.result, CONTROL_TIMED_OUT);
    CU_ASSERT_EQUAL(reply.status, RAFT_TRANSFER_NOT_TAKEN);
    CU_ASSERT_EQUAL(bench_status(b, leader).transfer.given_up, 1);
    CU_ASSERT_NOT_EQUAL(bench_settle(b), 0);
    bench_free(b);
}

static void h19_no_lease_behind_the_word(void)
{
    uint32_t leader;
    struct bench *b = three(&leader);
    uint8_t to = (uint8_t)(leader % 3 + 1);
    struct replica *r = b->node[leader].start.replica;
    CU_ASSERT_TRUE(leadership_lease(r, r->raft.term));
    b->node[to].cut = true;
    struct control_request request = {.tag = 1, .kind = CONTROL_TRANSFER, .to = to};
    CU_ASSERT_TRUE(control_ask(b->node[leader].start.control, &request));
    bench_run(b, 5);
    CU_ASSERT_EQUAL(r->raft.transfer.state, RAFT_TRANSFER_TOLD);
    CU_ASSERT_EQUAL(r->raft.role, RAFT_LEADER);
    CU_ASSERT_FALSE(leadership_lease(r, r->raft.term));
    /* an answer that control had decided before is not sent any more */
    uint64_t before = metric_get(&r->metrics.drop[DROP_LEASE_OVER]);
    struct command *command = spsc_reserve(&r->commands);
    CU_ASSERT_PTR_NOT_NULL_FATAL(command);
    if (command == NULL)
        return;
    memset(command, 0, offsetof(struct command, u));
    command->kind = COMMAND_ANSWER;
    command->tag = r->raft.term;
    command->principal = BENCH_CLIENT;
    command->packet_kind = PACKET_SESSION;
    command->size = sizeof(struct packet_session);
    spsc_push(&r->commands);
    bench_run(b, 1);
    CU_ASSERT_EQUAL(metric_get(&r->metrics.drop[DROP_LEASE_OVER]), before + 1);
    bench_free(b);
}

static void proposals_wait_for_the_next_leader(void)
{
    uint32_t leader;
    struct bench *b = three(&leader);
    uint8_t to = (uint8_t)(leader % 3 + 1);
    b->node[to].cut = true;
    struct control_request request = {.tag = 1, .kind = CONTROL_TRANSFER, .to = to};
    CU_ASSERT_TRUE(control_ask(b->node[leader].start.control, &request));
    bench_run(b, 5);
    uint64_t last = bench_status(b, leader).last_index;
    struct entry_day body;
    memset(&body, 0, sizeof(body));
    memcpy(body.name, "DAY1      ", sizeof(body.name));
    struct control_request day = {.tag = 2, .entry_kind = ENTRY_DAY_END, .size = sizeof(body)};
    memcpy(day.body, &body, sizeof(body));
    CU_ASSERT_TRUE(control_ask(b->node[leader].start.control, &day));
    bench_run(b, 5);
    struct control_reply reply;
    CU_ASSERT_TRUE_FATAL(control_answer(b->node[leader].start.control, &reply));
    CU_ASSERT_EQUAL(reply.tag, 2);
    CU_ASSERT_EQUAL(reply.result, CONTROL_BUSY);
    CU_ASSERT_EQUAL(bench_status(b, leader).last_index, last);
    bench_free(b);
}

static void a_read_is_proven_by_a_quorum(void)
{
    uint32_t leader;
    struct bench *b = three(&leader);
    uint32_t other = leader % 3 + 1;
    struct control_reply day = bench_day_end(b, leader, "DAY1      ");
    CU_ASSERT_EQUAL(day.result, CONTROL_APPLIED);
    struct control_reply reply = ask(b, leader, CONTROL_READ, 0);
    CU_ASSERT_EQUAL(reply.result, CONTROL_APPLIED);
    CU_ASSERT_TRUE(reply.index >= day.index);
    CU_ASSERT_TRUE(bench_status(b, leader).applied >= reply.index);
    reply = ask(b, other, CONTROL_READ, 0);
    CU_ASSERT_EQUAL(reply.result, CONTROL_NOT_LEADER);
    CU_ASSERT_EQUAL(reply.leader, leader);
    /* cut off: it still leads, and cannot prove it; then it does not lead, and knows nobody */
    b->node[leader].cut = true;
    reply = ask(b, leader, CONTROL_READ, 0);
    CU_ASSERT_EQUAL(reply.result, CONTROL_NOT_LEADER);
    CU_ASSERT_EQUAL(reply.leader, 0);
    bench_free(b);
}

/* A read that has just been told to seq, and the serial that it is known by there. */
static uint64_t begin_read(struct bench *b, uint32_t id, uint64_t tag)
{
    struct control *c = b->node[id].start.control;
    struct control_request request = {.tag = tag, .kind = CONTROL_READ};
    CU_ASSERT_TRUE_FATAL(control_ask(c, &request));
    control_turn(c, b->now_ns);
    for (uint32_t i = 0; i < CONTROL_REQUESTS; i++)
        if (c->ask[i].state == ASK_READING && c->ask[i].tag == tag)
            return c->ask[i].serial;
    CU_FAIL("the read was not told");
    return 0;
}

static void tell_proven(struct replica *r, uint64_t serial, uint64_t index)
{
    struct notice *notice = spsc_reserve(&r->notices);
    CU_ASSERT_PTR_NOT_NULL_FATAL(notice);
    if (notice == NULL)
        return;
    memset(notice, 0, sizeof(*notice));
    notice->kind = NOTICE_READ;
    notice->u.read.tag = serial;
    notice->u.read.index = index;
    notice->u.read.term = r->raft.term;
    notice->u.read.outcome = READ_PROVEN;
    spsc_push(&r->notices);
}

static void no_read_is_proven_by_another_ones_proof(void)
{
    /* Pitfall 7: a read asked again is another read. Places are used again, serials never; a proof
     * that comes when its read has been answered, or given up, proves nothing. */
    enum { READS = 3 * CONTROL_REQUESTS };
    uint32_t leader;
    struct bench *b = three(&leader);
    struct control *c = b->node[leader].start.control;
    uint64_t serial[READS + 1];
    struct control_reply reply;
    for (uint64_t i = 0; i < READS; i++) {
        serial[i] = begin_read(b, leader, 1);
        CU_ASSERT(i == 0 || serial[i] > serial[i - 1]);
        bench_run(b, 20);
        CU_ASSERT_TRUE_FATAL(control_answer(c, &reply));
        CU_ASSERT_EQUAL(reply.result, CONTROL_APPLIED);
    }
    b->node[leader].cut = true; /* from here on nobody confirms anything */
    bench_run(b, 10);
    serial[READS] = begin_read(b, leader, 1);
    CU_ASSERT(serial[READS] > serial[READS - 1]);
    for (uint64_t i = 0; i < READS; i++)
        tell_proven(b->node[leader].start.replica, serial[i], 1000);
    bench_run(b, 20);
    CU_ASSERT_FALSE(control_answer(c, &reply));
    CU_ASSERT_PTR_NOT_NULL(requests_find(c, serial[READS]));
    b->node[leader].cut = false;
    bench_run(b, 40);
    CU_ASSERT_TRUE_FATAL(control_answer(c, &reply));
    CU_ASSERT_EQUAL(reply.result, CONTROL_APPLIED);
    CU_ASSERT_EQUAL(reply.index, bench_status(b, leader).commit);
    bench_free(b);
}

static void more_reads_than_places_are_busy(void)
{
    uint32_t leader;
    struct bench *b = three(&leader);
    struct replica *r = b->node[leader].start.replica;
    b->node[1].cut = b->node[2].cut = b->node[3].cut = true;
    for (uint64_t tag = 1; tag <= REPLICA_READS; tag++)
        leadership_read(r, tag);
    CU_ASSERT_EQUAL(r->read_count, REPLICA_READS);
    leadership_read(r, REPLICA_READS + 1);
    CU_ASSERT_EQUAL(r->read_count, REPLICA_READS);
    bench_run(b, 1000); /* deposed: all are answered, none stays */
    CU_ASSERT_EQUAL(r->read_count, 0);
    bench_free(b);
}

int main(void)
{
    static const struct unit_test tests[] = {
        {"a transfer is answered when the target leads",
         a_transfer_is_answered_when_the_target_leads},
        {"who stepped down stays out for an election timeout",
         who_stepped_down_stays_out_for_an_election_timeout},
        {"a drained leader hands over, and leads only when nobody else can",
         a_drained_leader_hands_over_and_leads_only_when_nobody_else_can},
        {"what would come of it is told and not done", what_would_come_of_it_is_told_and_not_done},
        {"nobody steps down for nobody", nobody_steps_down_for_nobody},
        {"what is refused changes nothing", what_is_refused_changes_nothing},
        {"a target that vanishes is answered with time-out",
         a_target_that_vanishes_is_answered_with_time_out},
        {"H19: no lease behind the word", h19_no_lease_behind_the_word},
        {"proposals wait for the next leader", proposals_wait_for_the_next_leader},
        {"a read is proven by a quorum", a_read_is_proven_by_a_quorum},
        {"no read is proven by another one's proof", no_read_is_proven_by_another_ones_proof},
        {"more reads than places are busy", more_reads_than_places_are_busy},
        {0}};
    return unit_main("control_leadership", tests);
}
