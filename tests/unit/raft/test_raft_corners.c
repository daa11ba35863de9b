/* Branches that no transcript has an event for: messages of a liar or of long ago, a log of
 * billions of entries, replicas that have stopped, and a slow drive for minutes. */
#include "consensus/raft/raft.h"
#include "tests/unit/unit.h"

#include <string.h>

static const uint64_t MS = 1000000;
enum { ELECTION_MS = 100, HEARTBEAT_MS = 10, STALL_MS = 300, REST_MS = 1000 };

static struct raft raft; /* the replica under test: id 1, incarnation 11 */
static struct raft_out out;
static uint64_t now_ns;

static struct raft_boot boot_of(uint64_t first, uint64_t prev_term, uint64_t entries, uint64_t term)
{
    struct raft_boot boot = {.id = 1,
                             .term = term,
                             .durable_lsn = 100,
                             .now_ns = now_ns = 1000 * MS,
                             .incarnation = 11,
                             .config_count = 1,
                             .config = {{.voters = 0x0e, .incarnation = {0, 11, 12, 13}}},
                             .options = {.election_min_ns = ELECTION_MS * MS,
                                         .heartbeat_ns = HEARTBEAT_MS * MS,
                                         .stall_ns = STALL_MS * MS,
                                         .flights = 4,
                                         .flight_bytes = 1 << 20}};
    boot.commit = first - 1;
    raft_log_init(&boot.log, first, prev_term);
    if (entries > 0)
        raft_log_append(&boot.log, term, entries);
    return boot;
}

static void start(uint64_t first, uint64_t prev_term, uint64_t entries, uint64_t term)
{
    const struct raft_boot boot = boot_of(first, prev_term, entries, term);
    raft_init(&raft, &boot);
}

static void step(struct raft_in in)
{
    in.now_ns = now_ns;
    raft_step(&raft, &in, &out);
}

static void receive(struct raft_msg msg)
{
    msg.to = 1;
    step((struct raft_in){.event = RAFT_EV_RECV,
                          .msg = msg,
                          .space = true,
                          .chain_mine = 7,
                          .incarnation = 10u + msg.from});
}

static void durable(void)
{
    step((struct raft_in){.event = RAFT_EV_DURABLE, .lsn = raft.next_lsn - 1});
}

/* Wins an election with the vote of 2; the no-op is durable here, and nowhere else. */
static void lead(void)
{
    now_ns = raft.timeout_at_ns;
    step((struct raft_in){.event = RAFT_EV_TICK});
    CU_ASSERT_EQUAL_FATAL(raft.role, RAFT_PRECANDIDATE);
    receive((struct raft_msg){
        .kind = RAFT_PREVOTE_REPLY, .from = 2, .status = 1, .term = raft.term + 1});
    durable();
    receive((struct raft_msg){.kind = RAFT_VOTE_REPLY, .from = 2, .status = 1, .term = raft.term});
    CU_ASSERT_EQUAL_FATAL(raft.role, RAFT_LEADER);
    CU_ASSERT(out.elected && out.noop && out.append_count == 1);
}

/* Sends what is offered to a peer, all that fits. */
static void send_all(uint8_t peer)
{
    struct raft_msg msg;
    while (raft_append_next(&raft, peer, &msg))
        step((struct raft_in){
            .event = RAFT_EV_SENT, .peer = peer, .index = msg.prev_index + msg.count, .bytes = 64});
}

static struct raft_msg reply(uint8_t from, uint64_t match, uint64_t flags)
{
    return (struct raft_msg){.kind = RAFT_APPEND_REPLY,
                             .from = from,
                             .term = raft.term,
                             .match = match,
                             .hint_index = match,
                             .probe = raft.probe_next - 1,
                             .flags = flags};
}

/* The peer of that id has everything durable. */
static void holds_all(uint8_t peer)
{
    send_all(peer);
    receive(reply(peer, raft.log.last, 0));
}

/* So has this replica, and with it a quorum. */
static void settle(void)
{
    durable();
    holds_all(2);
}

static void propose(uint32_t count)
{
    step((struct raft_in){.event = RAFT_EV_PROPOSE, .count = count});
}

static void tick(uint64_t ms)
{
    now_ns += ms * MS;
    step((struct raft_in){.event = RAFT_EV_TICK});
}

/* A heartbeat's time passes, and both peers answer with what they hold and those flags. */
static void beat(uint64_t flags_2, uint64_t flags_3)
{
    tick(HEARTBEAT_MS);
    if (raft.role == RAFT_LEADER)
        receive(reply(2, raft.peer[2].match, flags_2));
    if (raft.role == RAFT_LEADER)
        receive(reply(3, raft.peer[3].match, flags_3));
}

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

static void a_read_of_an_earlier_office(void)
{
    struct raft_read read;
    start(1, 0, 5, 3);
    CU_ASSERT_FALSE(raft_read_begin(&raft, &read));
    lead();
    settle();
    CU_ASSERT_TRUE(raft_read_begin(&raft, &read));
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

/* --- transfer, and the own drive ---------------------------------------------------------------
 */

static void transfers_to_nobody(void)
{
    start(1, 0, 5, 3);
    step((struct raft_in){.event = RAFT_EV_TRANSFER});
    CU_ASSERT_EQUAL(out.refused, RAFT_TRANSFER_NOT_LEADER);
    lead();
    settle();
    step((struct raft_in){.event = RAFT_EV_TRANSFER, .peer = RAFT_ID_MAX + 1});
    CU_ASSERT_EQUAL(out.refused, RAFT_TRANSFER_UNKNOWN);
    step((struct raft_in){.event = RAFT_EV_TRANSFER, .peer = 200});
    CU_ASSERT_EQUAL(out.refused, RAFT_TRANSFER_UNKNOWN);
    CU_ASSERT(!raft_hands_over(&raft) && raft.transfer.number == 0);
}

/* A leader of three whose own drive stands at the no-op while `entries` are durable at the others.
 */
static void lead_with_a_slow_drive(uint32_t entries)
{
    start(1, 0, 5, 3);
    lead();
    propose(entries);
    holds_all(2);
    holds_all(3);
    CU_ASSERT_EQUAL(raft.commit, raft.log.last);
}

/* Beats until `ms` in office, the own drive making so many more entries durable each time. */
static void serve_until(uint64_t ms, uint64_t entries, uint64_t flags_2, uint64_t flags_3)
{
    while (raft.role == RAFT_LEADER && !raft_hands_over(&raft) &&
           now_ns + HEARTBEAT_MS * MS <= raft.elected_ns + ms * MS) {
        if (entries > 0)
            step((struct raft_in){.event = RAFT_EV_DURABLE, .lsn = raft.durable_lsn + entries});
        beat(flags_2, flags_3);
    }
}

/* A drive that moves all the time, and stays more than a thousand entries behind. */
static void a_drive_that_crawls(void)
{
    lead_with_a_slow_drive(3000);
    serve_until(REST_MS - HEARTBEAT_MS, 1, 0, 0);
    CU_ASSERT(raft.transfer.by_drive == 0 && raft.log.last > raft.durable_lsn - 100 + 1024);
    serve_until(REST_MS, 1, 0, 0);
    CU_ASSERT(raft.transfer.by_drive == 1 && raft.transfer.to == 2);
    lead_with_a_slow_drive(1000); /* the same, within a thousand */
    serve_until(3 * REST_MS, 1, 0, 0);
    CU_ASSERT(raft.transfer.by_drive == 0 && raft.role == RAFT_LEADER);
}

/* The drive's lag begins nothing while an operator's transfer is under way, nor where nobody could
 * take the office, nor where the only one that could holds no more. */
static void a_slow_drive_and_nobody_better(void)
{
    lead_with_a_slow_drive(10);
    serve_until(2 * REST_MS, 0, RAFT_UNABLE, RAFT_UNABLE);
    CU_ASSERT(raft.transfer.number == 0 && raft.role == RAFT_LEADER);
    beat(RAFT_UNABLE, 0); /* 3 has room again */
    beat(RAFT_UNABLE, 0);
    CU_ASSERT(raft.transfer.by_drive == 1 && raft.transfer.to == 3);

    /* of five, the three that hold more have no room */
    struct raft_boot boot = boot_of(1, 0, 5, 3);
    boot.config[0].voters = 0x3e;
    boot.config[0].incarnation[4] = 14;
    boot.config[0].incarnation[5] = 15;
    raft_init(&raft, &boot);
    now_ns = raft.timeout_at_ns;
    step((struct raft_in){.event = RAFT_EV_TICK});
    for (uint8_t id = 2; id <= 3; id++)
        receive((struct raft_msg){.kind = RAFT_PREVOTE_REPLY, .from = id, .status = 1, .term = 4});
    durable();
    for (uint8_t id = 2; id <= 3; id++)
        receive((struct raft_msg){.kind = RAFT_VOTE_REPLY, .from = id, .status = 1, .term = 4});
    CU_ASSERT_EQUAL_FATAL(raft.role, RAFT_LEADER);
    propose(10);
    for (uint8_t id = 2; id <= 4; id++)
        holds_all(id);
    CU_ASSERT(raft.commit == raft.log.last && raft_durable_index(&raft) == 5);
    for (int i = 0; i < 2 * REST_MS / HEARTBEAT_MS; i++) {
        beat(RAFT_UNABLE, RAFT_UNABLE);
        receive(reply(4, raft.peer[4].match, RAFT_UNABLE));
        receive(reply(5, 5, 0));
    }
    CU_ASSERT(raft.role == RAFT_LEADER && raft.transfer.number == 0);
    send_all(5);
    receive(reply(5, 6, 0)); /* one more than the own drive holds: better than nothing */
    beat(RAFT_UNABLE, RAFT_UNABLE);
    CU_ASSERT(raft.transfer.by_drive == 1 && raft.transfer.to == 5);
}

static void a_slow_drive_during_a_transfer(void)
{
    lead_with_a_slow_drive(10);
    serve_until(REST_MS - 2 * HEARTBEAT_MS, 0, 0, 0);
    propose(1); /* which 3 does not get: the transfer waits */
    step((struct raft_in){.event = RAFT_EV_TRANSFER, .peer = 3});
    CU_ASSERT_EQUAL(out.refused, RAFT_TRANSFER_TAKEN);
    beat(0, 0);
    beat(0, 0);
    beat(0, 0);
    CU_ASSERT(raft_hands_over(&raft) && raft.transfer.to == 3 && raft.transfer.by_drive == 0);
}

/* Each office that a slow drive gave away makes the next rest twice as long, up to 64 times. */
static void rests_grow_to_a_bound(void)
{
    start(1, 0, 5, 3);
    for (uint32_t round = 0; round < RAFT_DRIVE_RESTS_MAX + 3; round++) {
        lead();
        propose(10);
        holds_all(2);
        holds_all(3);
        uint64_t rest = REST_MS << (round < RAFT_DRIVE_RESTS_MAX ? round : RAFT_DRIVE_RESTS_MAX);
        serve_until(rest - HEARTBEAT_MS, 0, 0, 0);
        CU_ASSERT_EQUAL(raft.transfer.by_drive, round);
        serve_until(rest + HEARTBEAT_MS, 0, 0, 0);
        CU_ASSERT_EQUAL(raft.transfer.by_drive, round + 1);
        while (raft.role == RAFT_LEADER) /* told, and not taken */
            beat(0, 0);
        CU_ASSERT_EQUAL(raft.transfer.reason, RAFT_TRANSFER_NOT_TAKEN);
        durable();
    }
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
        {"a read of an earlier office", a_read_of_an_earlier_office},
        {"a learner far behind", a_learner_far_behind},
        {"a removed leader without an heir", a_removed_leader_without_heir},
        {"refusals have words", refusals_have_words},
        {"transfers to nobody", transfers_to_nobody},
        {"a drive that crawls", a_drive_that_crawls},
        {"a slow drive and nobody better", a_slow_drive_and_nobody_better},
        {"a slow drive during a transfer", a_slow_drive_during_a_transfer},
        {"rests grow to a bound", rests_grow_to_a_bound},
        {0}};
    return unit_main("raft_corners", tests);
}
