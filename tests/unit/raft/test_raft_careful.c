/* H8 at elections: no term for an office that could not last, and few where room runs short. What
 * the transcripts h8_careful_campaign, h8_scarce_*, h8_slow_round_trip and h8_slow_vote leave out.
 */
#include "tests/unit/raft/lone.h"
#include "tests/unit/unit.h"

static void precandidate(bool scarce)
{
    start(1, 0, 5, 3);
    now_ns = raft.timeout_at_ns;
    step((struct raft_in){.event = RAFT_EV_TICK, .scarce = scarce});
    CU_ASSERT_EQUAL_FATAL(raft.role, RAFT_PRECANDIDATE);
    CU_ASSERT_EQUAL(out.send_count, 2);
}

static void grant(uint8_t from, uint64_t probe, uint64_t flags)
{
    receive((struct raft_msg){.kind = RAFT_PREVOTE_REPLY,
                              .from = from,
                              .status = 1,
                              .term = 4,
                              .probe = probe,
                              .flags = flags});
}

/* H21: an answer counts for exactly the copy that it echoes, of which 32 bits travel. */
static void which_copy_was_granted(void)
{
    precandidate(false);
    uint64_t first = out.send[0].msg.probe;
    grant(2, raft.probe_next, 0); /* never sent */
    grant(2, 0, 0);
    grant(2, first - RAFT_PROBES_KEPT, 0);
    grant(2, first + (UINT64_C(1) << 31), 0);
    CU_ASSERT_EQUAL(raft.role, RAFT_PRECANDIDATE);
    tick(HEARTBEAT_MS);
    uint64_t second = out.send[0].msg.probe;
    CU_ASSERT_EQUAL(second, first + 1);
    now_ns += (ELECTION_MS - 2 * HEARTBEAT_MS) * MS; /* the first is too old now */
    grant(2, first, 0);
    CU_ASSERT_EQUAL(raft.role, RAFT_PRECANDIDATE);
    grant(2, second, 0);
    CU_ASSERT_EQUAL(raft.role, RAFT_CANDIDATE);

    precandidate(false); /* numbers that have outgrown 32 bits */
    raft.probe_next += UINT64_C(7) << 32;
    tick(HEARTBEAT_MS);
    grant(2, (uint32_t)out.send[0].msg.probe, 0);
    CU_ASSERT_EQUAL(raft.role, RAFT_CANDIDATE);
}

/* One voter's shortage makes the campaign careful, whoever else would vote at once. */
static void one_voters_shortage_is_enough(void)
{
    precandidate(false);
    grant(3, raft.probe_next - 1, RAFT_CAREFUL);
    CU_ASSERT(raft.role == RAFT_PRECANDIDATE && raft.careful != 0 && raft.steady != 0);
    grant(2, raft.probe_next - 1, 0);
    CU_ASSERT_EQUAL(raft.role, RAFT_PRECANDIDATE);
    for (uint64_t until = raft.timeout_at_ns; now_ns < until - HEARTBEAT_MS * MS;) {
        tick(HEARTBEAT_MS); /* everybody is asked again, who has granted too */
        CU_ASSERT(out.send_count == 2 && (out.send[0].msg.flags & RAFT_CAREFUL) != 0);
        CU_ASSERT_EQUAL(raft.role, RAFT_PRECANDIDATE);
        grant(2, raft.probe_next - 1, 0);
    }
    tick(HEARTBEAT_MS);
    CU_ASSERT(raft.role == RAFT_CANDIDATE && out.hard);
    /* what comes of it ends the care; the next round begins without */
    receive((struct raft_msg){.kind = RAFT_VOTE_REPLY, .from = 2, .term = 5});
    CU_ASSERT(raft.role == RAFT_FOLLOWER && raft.careful == 0 && raft.steady == 0);
}

/* A round trip of more than half of what a leader could stand is no steady answer. */
static void slow_answers_are_not_steady(void)
{
    precandidate(true);
    const uint64_t late_ns = (ELECTION_MS - HEARTBEAT_MS) / 2 * MS + HEARTBEAT_MS * MS;
    for (uint32_t round = 0; round < 100; round++) {
        uint64_t probe = raft.probe_next - 1;
        now_ns += late_ns;
        grant(2, probe, 0);
        CU_ASSERT(raft.role == RAFT_PRECANDIDATE && raft.steady == 0);
        step((struct raft_in){.event = RAFT_EV_TICK, .scarce = true});
        CU_ASSERT(!out.hard && raft.term == 3);
    }
    grant(2, raft.probe_next - 1, 0);
    CU_ASSERT(raft.steady != 0 && raft.timeout_at_ns >= now_ns + ELECTION_MS * MS);
}

/* A run list of which more than half is not committed runs short as a ring does. */
static void a_run_list_runs_short(void)
{
    for (uint64_t runs = RAFT_RUNS_MAX / 2; runs <= RAFT_RUNS_MAX / 2 + 1; runs++) {
        struct raft_boot boot = boot_of(1, 0, 0, 3);
        for (uint64_t i = 1; i <= runs; i++)
            raft_log_append(&boot.log, i, 1);
        boot.term = runs;
        raft_init(&raft, &boot);
        now_ns = raft.timeout_at_ns;
        step((struct raft_in){.event = RAFT_EV_TICK});
        CU_ASSERT_EQUAL(raft.role, RAFT_PRECANDIDATE);
        CU_ASSERT_EQUAL(raft.careful, runs > RAFT_RUNS_MAX / 2);
        boot.commit = 1;
        raft_init(&raft, &boot);
        step((struct raft_in){.event = RAFT_EV_TICK});
        CU_ASSERT_EQUAL(raft.careful, 0);
    }
}

static void vote(uint8_t from, uint64_t term, uint8_t status)
{
    receive(
        (struct raft_msg){.kind = RAFT_VOTE_REPLY, .from = from, .status = status, .term = term});
}

/* What comes late counts for the term in which it was asked for, and says nothing against the next
 * (h8_slow_vote). */
static void late_votes(void)
{
    precandidate(false);
    vote(2, 3, 1); /* it was no candidate in that term */
    vote(3, 3, 1);
    CU_ASSERT(raft.role == RAFT_PRECANDIDATE && raft.votes == 0);
    grant(2, raft.probe_next - 1, 0);
    vote(2, 4, 1); /* before its own is durable: not enough yet */
    CU_ASSERT_EQUAL(raft.role, RAFT_CANDIDATE);
    durable();
    CU_ASSERT_EQUAL(raft.role, RAFT_LEADER);

    precandidate(false);
    grant(2, raft.probe_next - 1, 0);
    now_ns = raft.timeout_at_ns;
    step((struct raft_in){.event = RAFT_EV_TICK}); /* its own vote is on its way */
    CU_ASSERT(raft.role == RAFT_CANDIDATE && out.send_count == 0);
    CU_ASSERT(raft.timeout_at_ns > now_ns);
    durable();
    now_ns = raft.timeout_at_ns;
    step((struct raft_in){.event = RAFT_EV_TICK});
    CU_ASSERT(raft.role == RAFT_PRECANDIDATE && raft.term == 4);
    vote(2, 4, 0);
    vote(3, 4, 0);
    CU_ASSERT_EQUAL(raft.role, RAFT_PRECANDIDATE);
    vote(2, 3, 1);
    CU_ASSERT_EQUAL(raft.role, RAFT_PRECANDIDATE);
    vote(2, 4, 1);
    CU_ASSERT(raft.role == RAFT_LEADER && raft.term == 4);
}

/* Who leads alone needs nobody's answer. */
static void a_lone_voter_campaigns_at_once(void)
{
    struct raft_boot boot = boot_of(1, 0, 5, 3);
    boot.config[0] = (struct raft_config){.voters = 2, .incarnation = {0, 11}};
    raft_init(&raft, &boot);
    now_ns = raft.timeout_at_ns;
    step((struct raft_in){.event = RAFT_EV_TICK, .scarce = true});
    CU_ASSERT_EQUAL(raft.role, RAFT_CANDIDATE);
}

int main(void)
{
    static const struct unit_test tests[] = {
        {"H21: which copy was granted", which_copy_was_granted},
        {"H8: one voter's shortage is enough", one_voters_shortage_is_enough},
        {"H8: slow answers are not steady", slow_answers_are_not_steady},
        {"H8: late votes", late_votes},
        {"H8: a run list runs short", a_run_list_runs_short},
        {"H8: a lone voter campaigns at once", a_lone_voter_campaigns_at_once},
        {0}};
    return unit_main("raft_careful", tests);
}
