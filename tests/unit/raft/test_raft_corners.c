/* Branches that no transcript has an event for: messages of a liar or of long ago, a log of
 * billions of entries, replicas that have stopped, leaders without an heir. */
#include "consensus/raft/raft_internal.h"
#include "tests/unit/raft/lone.h"
#include "tests/unit/unit.h"

#include <string.h>

/* --- messages ----------------------------------------------------------------------------------
 */

static void numbers_near_their_end(void)
{
    start(1, 0, 5, 3);
    lead();
    settle();
    CU_ASSERT_EQUAL(raft.commit, 6);
    struct raft_msg bad = reply(3, UINT64_MAX, 0);
    bad.hint_index = 0;
    const struct raft before = raft;
    receive(bad);
    CU_ASSERT_EQUAL(memcmp(&raft, &before, sizeof(raft)), 0);
    bad = reply(3, 0, 0);
    bad.hint_index = UINT64_MAX;
    receive(bad);
    CU_ASSERT_EQUAL(memcmp(&raft, &before, sizeof(raft)), 0);
    bad.hint_index = 0;
    receive(bad);
    CU_ASSERT_NOT_EQUAL(memcmp(&raft, &before, sizeof(raft)), 0);
}

static void a_leader_is_not_told_to_campaign(void)
{
    start(1, 0, 5, 3);
    lead();
    const uint64_t term = raft.term;
    receive((struct raft_msg){
        .kind = RAFT_TIMEOUT_NOW, .from = 2, .term = term, .prev_index = 5, .prev_term = 3});
    CU_ASSERT(raft.role == RAFT_LEADER && raft.term == term && !out.hard && out.send_count == 0);
}

/* The follower's log begins behind what the leader asks about: it tells no chain. */
static void no_chain_of_a_forgotten_entry(void)
{
    start(10, 2, 5, 3);
    struct raft_msg ask = {.kind = RAFT_CHAIN_ASK,
                           .from = 2,
                           .term = 3,
                           .prev_index = 5,
                           .prev_term = 2,
                           .prev_chain = 8};
    receive(ask);
    CU_ASSERT_EQUAL(out.send_count, 0);
    ask.prev_index = 9; /* right before its log: known */
    receive(ask);
    CU_ASSERT(out.send_count == 1 && out.send[0].msg.kind == RAFT_CHAIN_TELL);
    CU_ASSERT(out.send[0].msg.prev_index == 9 && out.send[0].msg.prev_chain == 7);
}

static struct raft_msg differing_append(uint64_t prev)
{
    return (struct raft_msg){.kind = RAFT_APPEND,
                             .from = 2,
                             .term = 3,
                             .prev_index = prev,
                             .prev_term = 3,
                             .prev_chain = 8,
                             .probe = raft.leader_probe + 1};
}

static struct raft_msg tell(uint64_t term, uint64_t index)
{
    return (struct raft_msg){.kind = RAFT_CHAIN_TELL,
                             .from = 3,
                             .term = term,
                             .prev_index = index,
                             .prev_term = 3,
                             .prev_chain = 8};
}

/* H6: an outvoted follower stops; what is told about another entry, in another term, or unasked,
 * outvotes nobody. */
static void h6_told_of_something_else(void)
{
    start(1, 0, 5, 3);
    receive(tell(3, 5)); /* nothing was asked */
    CU_ASSERT(raft.stopped == 0);
    receive(differing_append(5));
    CU_ASSERT(out.send_count == 2 && raft.dispute_index == 5);
    receive(tell(4, 5)); /* and no term is taken over from it */
    CU_ASSERT(raft.stopped == 0 && raft.term == 3);
    receive(tell(3, 4));
    CU_ASSERT(raft.stopped == 0 && out.stop == RAFT_RUN);
    receive(tell(3, 5));
    CU_ASSERT(raft.stopped != 0 && out.stop == RAFT_STOP_OUTVOTED);
    /* who has stopped waits for nothing and lets nothing out */
    const struct raft_send send = {.msg = {.kind = RAFT_APPEND_REPLY, .term = raft.term}};
    CU_ASSERT_FALSE(raft_send_stands(&raft, &send));
    CU_ASSERT_EQUAL(raft_next_tick_ns(&raft), UINT64_MAX);
}

/* H6: the same answer comes when this replica leads: its followers contradict it, or do not. */
static void h6_told_as_a_leader(void)
{
    start(1, 0, 5, 3);
    receive(differing_append(5));
    CU_ASSERT_EQUAL(raft.dispute_index, 5);
    now_ns += ELECTION_MS * MS;
    lead();
    receive(tell(raft.term, 5));
    CU_ASSERT(raft.role == RAFT_LEADER && raft.stopped == 0 && out.stop == RAFT_RUN);
}

/* A checkpoint of an earlier index leaves a question about a later entry open; one that covers the
 * entry closes it. */
static void a_dispute_beyond_a_checkpoint(void)
{
    for (uint64_t index = 4; index <= 5; index++) {
        start(1, 0, 5, 3);
        receive(differing_append(5));
        const struct raft_config config = raft.config;
        step((struct raft_in){
            .event = RAFT_EV_INSTALL, .index = index, .prev_term = 3, .config = &config});
        CU_ASSERT_EQUAL(raft.commit, index);
        CU_ASSERT_EQUAL(raft.dispute_index, index == 4 ? 5 : 0);
    }
}

/* --- replication -------------------------------------------------------------------------------
 */

/* A conflict in a term that is older than all that this log still knows: on from the hint. */
static void a_conflict_older_than_the_log(void)
{
    start(10, 5, 5, 6);
    lead();
    send_all(3);
    struct raft_msg conflict = reply(3, 0, 0);
    conflict.status = RAFT_APPEND_CONFLICT;
    conflict.hint_index = 7;
    conflict.hint_term = 4;
    receive(conflict);
    CU_ASSERT_EQUAL(raft.peer[3].next, 8);
    start(10, 5, 5, 6); /* of a term that may stand right before the log: on from there */
    lead();
    send_all(3);
    conflict = reply(3, 0, 0);
    conflict.status = RAFT_APPEND_CONFLICT;
    conflict.hint_index = 7;
    conflict.hint_term = 5;
    receive(conflict);
    CU_ASSERT_EQUAL(raft.peer[3].next, 10);
}

/* More entries than a message counts: as many as it can. */
static void billions_of_entries(void)
{
    start(1, 0, (uint64_t)UINT32_MAX + 5, 3);
    lead();
    send_all(3);
    struct raft_msg missing = reply(3, 0, 0);
    missing.status = RAFT_APPEND_MISSING;
    receive(missing);
    struct raft_msg msg;
    CU_ASSERT_FATAL(raft_append_next(&raft, 3, &msg));
    CU_ASSERT(msg.prev_index == 0 && msg.count == UINT32_MAX && msg.entry_term == 3);
}

/* When a replica wants to be woken: what it repeats, or its election timeout. */
static void the_next_tick_of_each_role(void)
{
    start(1, 0, 5, 3);
    CU_ASSERT_EQUAL(raft_next_tick_ns(&raft), raft.timeout_at_ns);
    now_ns = raft.timeout_at_ns;
    step((struct raft_in){.event = RAFT_EV_TICK});
    CU_ASSERT_EQUAL(raft.role, RAFT_PRECANDIDATE);
    CU_ASSERT_EQUAL(raft_next_tick_ns(&raft), now_ns + HEARTBEAT_MS * MS);
    now_ns = raft.timeout_at_ns - MS; /* the next round comes before the next repetition */
    step((struct raft_in){.event = RAFT_EV_TICK});
    CU_ASSERT_EQUAL(raft_next_tick_ns(&raft), now_ns + MS);
    receive((struct raft_msg){.kind = RAFT_PREVOTE_REPLY,
                              .from = 2,
                              .status = 1,
                              .term = 4,
                              .probe = raft.probe_next - 1});
    CU_ASSERT_EQUAL(raft.role, RAFT_CANDIDATE);
    CU_ASSERT_EQUAL(raft_next_tick_ns(&raft), raft.timeout_at_ns); /* its vote is not durable */
    durable();
    CU_ASSERT_EQUAL(raft_next_tick_ns(&raft), now_ns + HEARTBEAT_MS * MS);
    receive((struct raft_msg){.kind = RAFT_VOTE_REPLY, .from = 2, .status = 1, .term = 4});
    CU_ASSERT_EQUAL(raft_next_tick_ns(&raft), raft.heartbeat_at_ns);
    step((struct raft_in){.event = RAFT_EV_FAILED});
    CU_ASSERT_EQUAL(raft_next_tick_ns(&raft), UINT64_MAX);
}

/* Nothing is to be sent by who does not lead, to no member, and while no quorum moves (H8). */
static void nothing_to_append(void)
{
    struct raft_msg msg;
    start(1, 0, 5, 3);
    CU_ASSERT_FALSE(raft_append_next(&raft, 2, &msg));
    lead();
    CU_ASSERT_TRUE(raft_append_next(&raft, 2, &msg));
    CU_ASSERT_FALSE(raft_append_next(&raft, 1, &msg));
    CU_ASSERT_FALSE(raft_append_next(&raft, 4, &msg));
    now_ns += STALL_MS * MS;
    raft.now_ns = now_ns; /* the no-op waits, and no quorum has moved */
    CU_ASSERT_FALSE(raft_append_next(&raft, 2, &msg));
}

static void a_read_of_an_earlier_office(void)
{
    struct raft_read read;
    start(1, 0, 5, 3);
    CU_ASSERT_FALSE(raft_read_begin(&raft, &read));
    lead();
    settle();
    CU_ASSERT_TRUE(raft_read_begin(&raft, &read));
    const uint64_t soon = now_ns + HEARTBEAT_MS * MS / 4;
    CU_ASSERT_EQUAL(raft.heartbeat_at_ns, soon);
    raft.now_ns += MS; /* another asks a little later: the same heartbeat serves both */
    CU_ASSERT_TRUE(raft_read_begin(&raft, &read));
    CU_ASSERT_EQUAL(raft.heartbeat_at_ns, soon);
    CU_ASSERT_EQUAL(raft_read_state(&raft, &read), RAFT_READ_WAITS);
    tick(ELECTION_MS); /* nobody answers */
    CU_ASSERT_EQUAL(raft.role, RAFT_FOLLOWER);
    CU_ASSERT_EQUAL(raft_read_state(&raft, &read), RAFT_READ_LOST);
    lead();
    settle();
    beat(0, 0);
    CU_ASSERT_EQUAL(raft_read_state(&raft, &read), RAFT_READ_LOST);
    step((struct raft_in){.event = RAFT_EV_FAILED});
    CU_ASSERT_FALSE(raft_read_begin(&raft, &read));
}

/* --- members -----------------------------------------------------------------------------------
 */

static void change(uint32_t voters, uint32_t learners)
{
    static struct raft_config wanted;
    wanted =
        (struct raft_config){.voters = voters, .learners = learners, .index = raft.config.index};
    for (uint8_t id = 1; id <= RAFT_ID_MAX; id++)
        if (((voters | learners) >> id & 1) != 0)
            wanted.incarnation[id] = 10u + id;
    step((struct raft_in){.event = RAFT_EV_CONFIG, .config = &wanted, .space = true});
}

/* 4.2.1: a learner that has begun to store, and still lacks more than a thousand entries. */
static void a_learner_far_behind(void)
{
    start(1, 0, 5, 3);
    lead();
    settle();
    change(0x0e, 0x10);
    CU_ASSERT_EQUAL(out.refusal, RAFT_CHANGED);
    settle();
    propose(2000);
    settle();
    CU_ASSERT_EQUAL(raft.commit, raft.log.last);
    receive(reply(4, raft.commit - 1025, 0));
    change(0x1e, 0);
    CU_ASSERT_EQUAL(out.refusal, RAFT_REFUSED_BEHIND);
    receive(reply(4, raft.commit - 1024, 0));
    change(0x1e, 0);
    CU_ASSERT_EQUAL(out.refusal, RAFT_CHANGED);
}

static void tick_with_space(void)
{
    now_ns += MS;
    step((struct raft_in){.event = RAFT_EV_TICK, .space = true});
}

/* 4.2.2: a leader outside the new configuration hands its office over, unless nobody could take it,
 * or it tried in this term already. */
static void a_removed_leader_without_heir(void)
{
    for (int tried = 0; tried < 2; tried++) {
        start(1, 0, 5, 3);
        lead();
        settle();
        if (tried) { /* 3 never gets there: given up, and the leader goes on */
            step((struct raft_in){.event = RAFT_EV_TRANSFER, .peer = 3});
            CU_ASSERT_EQUAL(out.refused, RAFT_TRANSFER_SILENT);
            receive(reply(3, 0, 0));
            tick(1);
            step((struct raft_in){.event = RAFT_EV_TRANSFER, .peer = 3});
            CU_ASSERT_EQUAL(out.refused, RAFT_TRANSFER_TAKEN);
            for (int i = 0; i <= ELECTION_MS / HEARTBEAT_MS; i++)
                beat(0, 0);
            CU_ASSERT_EQUAL(raft.transfer.reason, RAFT_TRANSFER_LATE);
        } else {
            beat(RAFT_UNABLE, RAFT_UNABLE);
        }
        change(0x0c, 0);
        CU_ASSERT_EQUAL(out.refusal, RAFT_CHANGED);
        durable();
        for (uint8_t id = 2; id <= 3; id++) {
            send_all(id);
            receive(reply(id, raft.log.last, tried ? 0 : RAFT_UNABLE));
        }
        tick_with_space(); /* joint, committed: the final one follows */
        CU_ASSERT_EQUAL(raft.config.voters_new, 0);
        durable();
        for (uint8_t id = 2; id <= 3; id++) {
            send_all(id);
            receive(reply(id, raft.log.last, tried ? 0 : RAFT_UNABLE));
        }
        CU_ASSERT_EQUAL(raft.commit, raft.config.index);
        const uint64_t transfers = raft.transfer.number;
        tick_with_space();
        CU_ASSERT(raft.role == RAFT_FOLLOWER && out.deposed);
        CU_ASSERT_EQUAL(raft.transfer.number, transfers);
    }
}

/* An operator's transfer ends in vain while the configuration without this leader is not committed:
 * it goes on, to commit that. */
static void a_removed_leader_goes_on_to_commit(void)
{
    start(1, 0, 5, 3);
    lead();
    settle();
    beat(0, 0);
    change(0x0c, 0);
    CU_ASSERT_EQUAL(out.refusal, RAFT_CHANGED);
    durable();
    holds_all(2);
    holds_all(3);
    tick_with_space();
    CU_ASSERT(raft.config.voters_new == 0 && !raft_is_voter(&raft));
    CU_ASSERT(raft.config.index > raft.commit);
    step((struct raft_in){.event = RAFT_EV_TRANSFER, .peer = 3});
    CU_ASSERT_EQUAL(out.refused, RAFT_TRANSFER_TAKEN);
    for (int i = 0; i <= ELECTION_MS / HEARTBEAT_MS; i++)
        beat(0, 0);
    CU_ASSERT_EQUAL(raft.transfer.reason, RAFT_TRANSFER_LATE);
    CU_ASSERT(raft.role == RAFT_LEADER && raft.config.index > raft.commit);
    holds_all(2);
    holds_all(3);
    CU_ASSERT_EQUAL(raft.commit, raft.config.index);
    tick_with_space();
    CU_ASSERT_EQUAL(raft.role, RAFT_FOLLOWER);
}

static void refusals_have_words(void)
{
    for (int i = 0; i <= RAFT_REFUSED_NO_ROOM; i++) {
        CU_ASSERT_STRING_NOT_EQUAL(raft_refusal_name((enum raft_refusal)i), "?");
        for (int k = 0; k < i; k++)
            CU_ASSERT_STRING_NOT_EQUAL(raft_refusal_name((enum raft_refusal)i),
                                       raft_refusal_name((enum raft_refusal)k));
    }
    CU_ASSERT_STRING_EQUAL(raft_refusal_name((enum raft_refusal)(RAFT_REFUSED_NO_ROOM + 1)), "?");
}

/* --- holes -------------------------------------------------------------------------------------
 */

static void hole(uint64_t index, const struct raft_config *config)
{
    step((struct raft_in){
        .event = RAFT_EV_HOLE, .index = index, .config = config, .config_count = config != NULL});
}

static struct raft_msg denial(uint8_t from, uint64_t term, uint64_t index, uint64_t index_term)
{
    return (struct raft_msg){.kind = RAFT_FETCH_REPLY,
                             .from = from,
                             .term = term,
                             .prev_index = index,
                             .prev_term = index_term};
}

/* A configuration that a hole had hidden, between the two that a start has found, or not. */
static void configurations_behind_a_hole(void)
{
    struct raft_boot boot = boot_of(1, 0, 90, 3);
    boot.config_count = 2;
    boot.config[0].index = 70;
    boot.config[1] = boot.config[0];
    boot.config[1].index = 80;
    raft_init(&raft, &boot);
    CU_ASSERT(raft.commit == 70 && raft.previous.index == 70);
    struct raft_config found = boot.config[0];
    static const uint64_t known[] = {60, 70, 80};
    for (int i = 0; i < 3; i++) {
        found.index = known[i];
        hole(0, &found);
        CU_ASSERT(raft.commit == 70 && raft.previous.index == 70 && raft.config.index == 80);
    }
    found.index = 75; /* the one in force proves it committed */
    hole(0, &found);
    CU_ASSERT(raft.commit == 75 && raft.previous.index == 75 && raft.config.index == 80);
    receive((struct raft_msg){.kind = RAFT_APPEND,
                              .from = 2,
                              .term = 4,
                              .prev_index = 79,
                              .prev_term = 3,
                              .commit = 78,
                              .probe = 1});
    receive((struct raft_msg){.kind = RAFT_APPEND,
                              .from = 2,
                              .term = 4,
                              .prev_index = 75,
                              .prev_term = 3,
                              .entry_term = 3,
                              .count = 4,
                              .commit = 78,
                              .probe = 2});
    CU_ASSERT_EQUAL(raft.commit, 78);
    found.index = 77; /* committed by what the leader says already */
    hole(0, &found);
    CU_ASSERT(raft.commit == 78 && raft.previous.index == 77);
    receive((struct raft_msg){.kind = RAFT_APPEND,
                              .from = 2,
                              .term = 4,
                              .prev_index = 79,
                              .prev_term = 3,
                              .entry_term = 3,
                              .count = 1,
                              .commit = 80,
                              .probe = 3});
    CU_ASSERT_EQUAL(raft.commit, 80);
    found.index = 78; /* what is before the one in force says nothing any more */
    hole(0, &found);
    CU_ASSERT(raft.commit == 80 && raft.previous.voters == 0);
}

/* H5: a leader that settles a hole sends nothing behind it, and denials of another entry, of
 * another term's leader, or without a hole give nothing up. */
static void h5_denials_that_do_not_count(void)
{
    start(1, 0, 5, 3);
    hole(4, NULL);
    lead();
    struct raft_msg msg;
    CU_ASSERT(raft.settling != 0 && !raft_append_next(&raft, 2, &msg));
    receive(denial(2, raft.term, 4, 3));
    CU_ASSERT_EQUAL(raft.hole_denied, 1u << 2);
    hole(4, NULL); /* told again: what was denied stays denied */
    CU_ASSERT_EQUAL(raft.hole_denied, 1u << 2);
    receive(denial(3, raft.term, 5, 3));
    receive(denial(3, raft.term, 4, 2));
    CU_ASSERT(raft.hole == 4 && raft.hole_denied == 1u << 2);
    hole(0, NULL);
    CU_ASSERT(raft.settling == 0 && out.noop);
    receive(denial(3, raft.term, 4, 3));
    CU_ASSERT(raft.role == RAFT_LEADER && out.truncate_from == 0);
    const uint64_t term = raft.term;
    receive(denial(3, term + 1, 4, 3)); /* 3.3 */
    CU_ASSERT(raft.role == RAFT_FOLLOWER && raft.term == term + 1);
}

/* What is committed is never given up, whoever denies it; nor by who cannot read the configuration
 * in force; nor what the log no longer tells the term of. */
static void h5_what_is_never_given_up(void)
{
    start(1, 0, 5, 3);
    lead();
    settle();
    CU_ASSERT_EQUAL(raft.commit, 6);
    hole(5, NULL);
    receive(denial(2, raft.term, 5, 3));
    receive(denial(3, raft.term, 5, 3));
    CU_ASSERT(raft.role == RAFT_LEADER && raft.hole == 5 && out.truncate_from == 0);

    struct raft_boot boot = boot_of(1, 0, 5, 3);
    raft_init(&raft, &boot);
    lead();
    hole(3, NULL);
    raft.config_stated = 4;
    receive(denial(2, raft.term, 3, 3));
    receive(denial(3, raft.term, 3, 3));
    CU_ASSERT(raft.role == RAFT_LEADER && raft.hole_denied == 0);

    start(10, 2, 5, 3);
    lead();
    hole(5, NULL);
    receive(denial(2, raft.term, 5, 2));
    receive(denial(3, raft.term, 5, 2));
    CU_ASSERT(raft.role == RAFT_LEADER && raft.hole_denied == 0);
}

static void start_without_config(void)
{
    struct raft_boot boot = boot_of(1, 0, 5, 3);
    boot.hole = boot.config_stated = 4;
    raft_init(&raft, &boot);
    receive(denial(2, 3, 4, 3));
    receive(denial(3, 3, 4, 3));
    CU_ASSERT(raft.hole == 4 && raft.log.last == 5); /* it may have acknowledged it in this term */
    now_ns += ELECTION_MS * MS;
    receive((struct raft_msg){
        .kind = RAFT_PREVOTE, .from = 2, .term = 4, .prev_index = 3, .prev_term = 3, .probe = 1});
    CU_ASSERT(raft.role == RAFT_FOLLOWER && raft.term == 4 && out.hard);
    CU_ASSERT(out.send_count == 1 && out.send[0].msg.status == 0 && out.send[0].msg.term == 4);
}

/* H4, H5: whose configuration is lost is freed by denials in a later term, but for what the leader
 * of that term holds too. */
static void h4_the_configuration_is_lost(void)
{
    start_without_config();
    receive(denial(2, 4, 4, 3));
    CU_ASSERT(raft.hole == 4 && raft.log.last == 5);
    receive(denial(3, 4, 4, 3));
    CU_ASSERT(out.truncate_from == 4 && raft.hole == 0 && raft.log.last == 3);
    CU_ASSERT(raft_config_known(&raft) && raft.role == RAFT_FOLLOWER);

    start_without_config();
    receive((struct raft_msg){
        .kind = RAFT_APPEND, .from = 3, .term = 4, .prev_index = 5, .prev_term = 3, .probe = 1});
    CU_ASSERT_EQUAL(raft.agreed, 5);
    receive(denial(2, 4, 4, 3));
    receive(denial(3, 4, 4, 3));
    CU_ASSERT(raft.hole == 4 && raft.log.last == 5);
}

/* H5: who is asked for an entry right before its log has other words for that index, and is not one
 * to deny it. */
static void h5_no_denial_before_the_log(void)
{
    start(10, 2, 5, 3);
    struct raft_msg fetch = {
        .kind = RAFT_FETCH, .from = 2, .term = 3, .prev_index = 9, .prev_term = 1};
    receive(fetch);
    CU_ASSERT(out.send_count == 0 && !out.serve);
    fetch.prev_index = 10;
    receive(fetch);
    CU_ASSERT(out.send_count == 1 && out.send[0].msg.kind == RAFT_FETCH_REPLY);
    fetch.prev_term = 3;
    receive(fetch);
    CU_ASSERT(out.send_count == 0 && out.serve);
}

int main(void)
{
    static const struct unit_test tests[] = {
        {"numbers near their end", numbers_near_their_end},
        {"a leader is not told to campaign", a_leader_is_not_told_to_campaign},
        {"no chain of a forgotten entry", no_chain_of_a_forgotten_entry},
        {"H6: told of something else", h6_told_of_something_else},
        {"H6: told as a leader", h6_told_as_a_leader},
        {"a dispute beyond a checkpoint", a_dispute_beyond_a_checkpoint},
        {"a conflict older than the log", a_conflict_older_than_the_log},
        {"billions of entries", billions_of_entries},
        {"the next tick of each role", the_next_tick_of_each_role},
        {"nothing to append", nothing_to_append},
        {"a read of an earlier office", a_read_of_an_earlier_office},
        {"a learner far behind", a_learner_far_behind},
        {"a removed leader without an heir", a_removed_leader_without_heir},
        {"a removed leader goes on to commit", a_removed_leader_goes_on_to_commit},
        {"configurations behind a hole", configurations_behind_a_hole},
        {"H5: denials that do not count", h5_denials_that_do_not_count},
        {"H5: what is never given up", h5_what_is_never_given_up},
        {"H4: the configuration is lost", h4_the_configuration_is_lost},
        {"H5: no denial before the log", h5_no_denial_before_the_log},
        {"refusals have words", refusals_have_words},
        {0}};
    return unit_main("raft_corners", tests);
}
