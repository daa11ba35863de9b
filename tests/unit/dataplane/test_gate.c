/* The gate: what is said of this replica leaves when its LSN is durable, in order, in its term. */
#include "dataplane/gate.h"

#include "tests/unit/unit.h"

#include <stdlib.h>
#include <string.h>

enum { TERM = 7, OUT_MAX = GATE_HELD_MAX + 8 };

struct out {
    uint32_t count;
    struct raft_msg msg[OUT_MAX];
};

static struct gate *gate;
static struct out *out;
static struct raft raft; /* the replica of which is spoken */

static const struct raft *in_term(uint64_t term)
{
    raft.term = term;
    return &raft;
}

static void keep(void *context, const struct raft_msg *msg)
{
    struct out *to = context;
    CU_ASSERT_FATAL(to->count < OUT_MAX);
    to->msg[to->count++] = *msg;
}

static void begin(uint64_t durable_lsn)
{
    free(gate);
    free(out);
    gate = malloc(sizeof(*gate));
    out = calloc(1, sizeof(*out));
    CU_ASSERT_FATAL(gate != NULL && out != NULL);
    gate_init(gate, durable_lsn);
}

static void pass(uint64_t lsn, struct raft_msg msg, uint64_t term)
{
    struct raft_send send = {.lsn = lsn, .msg = msg};
    gate_pass(gate, &send, in_term(term), keep, out);
}

static struct raft_msg vote(uint8_t to)
{
    return (struct raft_msg){.kind = RAFT_VOTE_REPLY, .to = to, .term = TERM, .status = 1};
}

static struct raft_msg ack(uint8_t to, uint64_t match)
{
    return (struct raft_msg){
        .kind = RAFT_APPEND_REPLY, .to = to, .term = TERM, .match = match, .probe = match};
}

static void holds_until_durable(void)
{
    begin(10);
    pass(10, vote(2), TERM); /* true already */
    CU_ASSERT_EQUAL(out->count, 1);
    pass(11, vote(3), TERM);
    CU_ASSERT_EQUAL(out->count, 1);
    CU_ASSERT_EQUAL(gate_durable(gate, 10, in_term(TERM), keep, out), 0);
    CU_ASSERT_EQUAL(gate_durable(gate, 11, in_term(TERM), keep, out), 1);
    CU_ASSERT_EQUAL(out->msg[1].to, 3);
    CU_ASSERT_EQUAL(gate_durable(gate, 12, in_term(TERM), keep, out), 0); /* once only */
    CU_ASSERT_EQUAL(gate->released, 2);
}

static void h11_releases_in_the_order_of_passing(void)
{
    /* H11: what waits for a later LSN stays although something passed after it is true already. */
    begin(0);
    pass(3, ack(2, 3), TERM);
    pass(1, ack(3, 1), TERM);
    pass(2, vote(4), TERM);
    CU_ASSERT_EQUAL(gate_durable(gate, 2, in_term(TERM), keep, out), 2);
    CU_ASSERT_EQUAL(out->msg[0].to, 3);
    CU_ASSERT_EQUAL(out->msg[1].to, 4);
    CU_ASSERT_EQUAL(gate->count, 1);
    CU_ASSERT_EQUAL(gate_durable(gate, 3, in_term(TERM), keep, out), 1);
    CU_ASSERT_EQUAL(out->msg[2].match, 3);
}

static void only_the_newest_acknowledgement_of_a_peer_leaves(void)
{
    begin(0);
    for (uint64_t i = 1; i <= 5; i++) {
        pass(i, ack(2, i), TERM);
        pass(i, ack(3, 10 + i), TERM);
    }
    CU_ASSERT_EQUAL(gate_durable(gate, 4, in_term(TERM), keep, out), 2);
    for (uint32_t i = 0; i < 2; i++)
        CU_ASSERT_EQUAL(out->msg[i].match, out->msg[i].to == 2 ? 4 : 14);
    CU_ASSERT_EQUAL(gate_durable(gate, 5, in_term(TERM), keep, out), 2);
    CU_ASSERT_EQUAL(out->msg[2].match, 5);
}

static void a_later_acknowledgement_of_less_supersedes_nothing(void)
{
    begin(0);
    struct raft_msg refusal = ack(2, 0);
    refusal.status = RAFT_APPEND_MISSING;
    pass(1, ack(2, 9), TERM);
    pass(2, ack(2, 4), TERM); /* a doubled, older packet */
    pass(3, refusal, TERM);
    CU_ASSERT_EQUAL(gate_durable(gate, 3, in_term(TERM), keep, out), 3);
    CU_ASSERT_EQUAL(out->msg[0].match, 9);
}

static void one_that_must_still_wait_supersedes_nothing(void)
{
    begin(0);
    pass(1, ack(2, 1), TERM);
    pass(2, ack(2, 2), TERM);
    CU_ASSERT_EQUAL(gate_durable(gate, 1, in_term(TERM), keep, out), 1);
    CU_ASSERT_EQUAL(out->msg[0].match, 1);
}

static void testimony_of_a_term_that_is_over_is_dropped(void)
{
    begin(0);
    pass(1, ack(2, 1), TERM);
    pass(2, vote(3), TERM);
    CU_ASSERT_EQUAL(gate_durable(gate, 1, in_term(TERM + 1), keep, out), 0);
    pass(0, vote(3), TERM + 1); /* not even at once */
    CU_ASSERT_EQUAL(gate_durable(gate, 2, in_term(TERM + 1), keep, out), 0);
    CU_ASSERT_EQUAL(out->count, 0);
    CU_ASSERT_EQUAL(gate->outdated, 3);
    CU_ASSERT_EQUAL(gate->count, 0);
}

/* H5: what an acknowledgement speaks of was found lost before it left. */
static void what_was_lost_meanwhile_is_not_acknowledged(void)
{
    begin(0);
    pass(1, ack(2, 4), TERM);
    pass(1, ack(3, 5), TERM);
    pass(1, ack(4, 6), TERM);
    pass(1, vote(5), TERM);
    raft.hole = 5;
    CU_ASSERT_EQUAL(gate_durable(gate, 1, in_term(TERM), keep, out), 2);
    CU_ASSERT(out->msg[0].to == 2 && out->msg[1].to == 5);
    raft.hole = 0;
    begin(0); /* what goes does not take with it what is true */
    pass(1, ack(2, 4), TERM);
    pass(2, ack(2, 9), TERM);
    raft.hole = 8;
    CU_ASSERT_EQUAL(gate_durable(gate, 2, in_term(TERM), keep, out), 1);
    CU_ASSERT_EQUAL(out->msg[0].match, 4);
    raft.hole = 0;
}

static void prevotes_speak_of_another_term(void)
{
    begin(5);
    struct raft_msg ask = {.kind = RAFT_PREVOTE, .to = 2, .term = TERM + 1};
    struct raft_msg grant = {.kind = RAFT_PREVOTE_REPLY, .to = 3, .term = TERM + 4, .status = 1};
    pass(5, ask, TERM);
    pass(0, grant, TERM);
    CU_ASSERT_EQUAL(out->count, 2);
    pass(6, ask, TERM); /* also one that waits */
    CU_ASSERT_EQUAL(gate_durable(gate, 6, in_term(TERM), keep, out), 1);
    CU_ASSERT_EQUAL(gate->outdated, 0);
}

static void overflow_is_a_counted_loss(void)
{
    begin(0);
    for (uint64_t i = 1; i <= GATE_HELD_MAX + 3; i++)
        pass(i, vote(2), TERM);
    CU_ASSERT_EQUAL(gate->overflowed, 3);
    CU_ASSERT_EQUAL(gate->count, GATE_HELD_MAX);
    pass(0, vote(3), TERM); /* what waits for nothing needs no place */
    CU_ASSERT_EQUAL(out->count, 1);
    CU_ASSERT_EQUAL(gate_durable(gate, GATE_HELD_MAX + 3, in_term(TERM), keep, out), GATE_HELD_MAX);
    CU_ASSERT_EQUAL(gate->count, 0);
}

static void the_durable_position_never_goes_back(void)
{
    /* Any order of passing and any growth: nothing leaves early, nothing that stands is lost. */
    uint64_t random = 1;
    begin(0);
    uint64_t durable = 0, sent[2000] = {0};
    uint32_t passed = 0;
    for (uint32_t i = 0; i < 2000; i++) {
        random = random * 6364136223846793005ull + 1442695040888963407ull;
        uint64_t lsn = durable + (random >> 33) % 20;
        struct raft_msg msg = vote(2);
        msg.probe = i;
        sent[i] = lsn;
        pass(lsn, msg, TERM);
        passed++;
        durable += (random >> 50) % 8;
        gate_durable(gate, durable, in_term(TERM), keep, out);
        for (uint32_t k = 0; k < out->count; k++)
            CU_ASSERT_FATAL(sent[out->msg[k].probe] <= durable);
        passed -= out->count;
        out->count = 0;
        CU_ASSERT_EQUAL_FATAL(passed, gate->count);
    }
}

int main(void)
{
    static const struct unit_test tests[] = {
        {"holds until durable", holds_until_durable},
        {"H11: releases in the order of passing", h11_releases_in_the_order_of_passing},
        {"only a peer's newest acknowledgement leaves",
         only_the_newest_acknowledgement_of_a_peer_leaves},
        {"a later acknowledgement of less supersedes nothing",
         a_later_acknowledgement_of_less_supersedes_nothing},
        {"one that must still wait supersedes nothing",
         one_that_must_still_wait_supersedes_nothing},
        {"testimony of a term that is over is dropped",
         testimony_of_a_term_that_is_over_is_dropped},
        {"H5: what was lost meanwhile is not acknowledged",
         what_was_lost_meanwhile_is_not_acknowledged},
        {"pre-votes speak of another term", prevotes_speak_of_another_term},
        {"overflow is a counted loss", overflow_is_a_counted_loss},
        {"random passing: nothing early, nothing lost", the_durable_position_never_goes_back},
        {0}};
    int result = unit_main("gate", tests);
    free(gate);
    free(out);
    return result;
}
