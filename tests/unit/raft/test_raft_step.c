/* Edges of raft_step() that the transcripts do not reach: bad input, bookkeeping, limits. */
#include "consensus/raft/raft.h"
#include "tests/unit/unit.h"

#include <stdlib.h>
#include <string.h>

static const uint64_t MS = 1000000;

static struct raft raft; /* the replica under test: id 1 of 3 */
static struct raft_out out;
static uint64_t now_ns;

static void start(uint64_t term, uint8_t vote, uint64_t entries, uint64_t entry_term)
{
    struct raft_boot boot = {.id = 1,
                             .term = term,
                             .vote = vote,
                             .durable_lsn = 100,
                             .now_ns = now_ns = 1000 * MS,
                             .incarnation = 11,
                             .config_count = 1,
                             .config = {{.voters = 0x0e, .incarnation = {0, 11, 12, 13}}},
                             .options = {.election_min_ns = 100 * MS,
                                         .heartbeat_ns = 10 * MS,
                                         .stall_ns = 300 * MS,
                                         .flights = 4,
                                         .flight_bytes = 4096}};
    raft_log_init(&boot.log, 1, 0);
    if (entries > 0)
        raft_log_append(&boot.log, entry_term, entries);
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
    step((struct raft_in){
        .event = RAFT_EV_RECV, .msg = msg, .space = true, .incarnation = 10u + msg.from});
}

static void durable(void)
{
    step((struct raft_in){.event = RAFT_EV_DURABLE, .lsn = raft.next_lsn - 1});
}

/* Sends what append_to offers to `peer`, one packet with all entries; returns its probe. */
static uint64_t send_to(uint8_t peer)
{
    struct raft_msg msg;
    CU_ASSERT_FATAL(raft_append_next(&raft, peer, &msg));
    step((struct raft_in){.event = RAFT_EV_SENT,
                          .peer = peer,
                          .index = msg.prev_index + msg.count,
                          .bytes = 64 * msg.count});
    return msg.probe;
}

static void lead(void)
{
    now_ns = raft.timeout_at_ns;
    step((struct raft_in){.event = RAFT_EV_TICK});
    CU_ASSERT_EQUAL_FATAL(raft.role, RAFT_PRECANDIDATE);
    receive((struct raft_msg){.kind = RAFT_PREVOTE_REPLY,
                              .from = 2,
                              .status = 1,
                              .term = raft.term + 1,
                              .probe = raft.probe_next - 1});
    durable();
    receive((struct raft_msg){.kind = RAFT_VOTE_REPLY, .from = 2, .status = 1, .term = raft.term});
    CU_ASSERT_EQUAL_FATAL(raft.role, RAFT_LEADER);
    CU_ASSERT(out.elected && out.noop && out.append_count == 1);
    durable();
}

static struct raft_msg append(uint64_t term, uint64_t prev, uint64_t prev_term, uint32_t count)
{
    static uint64_t probe;
    return (struct raft_msg){.kind = RAFT_APPEND,
                             .from = 2,
                             .term = term,
                             .prev_index = prev,
                             .prev_term = prev_term,
                             .count = count,
                             .entry_term = count > 0 ? term : 0,
                             .probe = ++probe};
}

static struct raft_msg ok(uint64_t match, uint64_t probe)
{
    return (struct raft_msg){.kind = RAFT_APPEND_REPLY,
                             .from = 2,
                             .term = raft.term,
                             .match = match,
                             .hint_index = match,
                             .probe = probe};
}

static bool nothing_happened(void)
{
    return !out.hard && out.truncate_from == 0 && out.append_count == 0 && out.send_count == 0 &&
           out.append_to == 0 && !out.elected && !out.deposed && out.stop == RAFT_RUN;
}

static void bad_input_changes_nothing(void)
{
    start(3, 0, 5, 3);
    now_ns += 500 * MS;
    const struct raft_msg good = append(4, 5, 3, 1);
    struct raft_msg bad[] = {good, good, good, good, good, good, good, good, good, good};
    bad[0].from = 0;
    bad[1].from = 1;                                                             /* itself */
    bad[2] = (struct raft_msg){.kind = RAFT_APPEND_REPLY, .from = 7, .term = 4}; /* no member */
    bad[3].from = 200;
    bad[4].kind = 0;
    bad[5].kind = 99;
    bad[6].term = 0;
    bad[7].term = UINT64_MAX;
    bad[8].prev_index = UINT64_MAX;
    bad[9].entry_term = 2; /* below prev_term */
    raft.now_ns = now_ns;
    const struct raft before = raft;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        receive(bad[i]);
        CU_ASSERT(nothing_happened());
        CU_ASSERT_EQUAL(memcmp(&before, &raft, sizeof(raft)), 0);
    }
    struct raft_in in = {.event = RAFT_EV_RECV, .now_ns = now_ns, .msg = good};
    in.msg.to = 3; /* addressed to another */
    raft_step(&raft, &in, &out);
    CU_ASSERT(nothing_happened());
    in.msg = (struct raft_msg){.kind = RAFT_VOTE_REPLY, .from = 2, .to = 1, .term = 4};
    in.incarnation = 99; /* a member's id, and somebody else */
    raft_step(&raft, &in, &out);
    CU_ASSERT(nothing_happened());
    receive(good);
    CU_ASSERT_EQUAL(out.append_count, 1);
}

static uint64_t random_state;

static uint64_t draw(uint64_t limit)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state % limit;
}

/* Any configuration, good or bad. */
static struct raft_config random_config(uint64_t index)
{
    struct raft_config config = raft.config;
    config.index = index;
    if (draw(2) == 0)
        config.voters = (uint32_t)draw(256);
    if (draw(3) == 0)
        config.voters_new = (uint32_t)draw(256);
    if (draw(2) == 0)
        config.learners = (uint32_t)draw(256);
    uint32_t all = config.voters | config.voters_new | config.learners;
    for (uint8_t id = 0; id <= RAFT_ID_MAX && draw(8) > 0; id++)
        config.incarnation[id] = (all >> id & 1) != 0 ? 10u + id : 0;
    return config;
}

static struct raft_in random_event(void)
{
    static struct raft_config config;
    struct raft_in in = {.event = RAFT_EV_RECV, .random = draw(1000 * MS), .space = draw(4) > 0};
    in.chain_mine = draw(3);
    in.config = &config;
    switch (draw(9)) {
    case 8:
        in.event = RAFT_EV_CONFIG;
        config = random_config(draw(4) > 0 ? raft.config.index : draw(100));
        break;
    case 0:
        in.event = RAFT_EV_TICK;
        now_ns += draw(60) * MS;
        break;
    case 1:
        in.event = RAFT_EV_DURABLE;
        in.lsn = raft.durable_lsn + draw(raft.next_lsn - raft.durable_lsn);
        break;
    case 2:
        if (raft.role == RAFT_LEADER)
            in.event = RAFT_EV_PROPOSE;
        else
            in.event = draw(100) == 0 ? RAFT_EV_NO_SPACE : RAFT_EV_TICK;
        in.count = 1 + (uint32_t)draw(5);
        break;
    default:
        in.msg = (struct raft_msg){.kind = (uint8_t)draw(8),
                                   .from = (uint8_t)draw(5),
                                   .to = 1,
                                   .status = (uint8_t)(draw(2) ? draw(8) : RAFT_APPEND_CHAIN),
                                   .count = (uint32_t)draw(4),
                                   .term = draw(30) > 0 ? raft.term : raft.term + draw(3) - 1,
                                   .prev_index = draw(raft.log.last + 3),
                                   .prev_term = draw(raft.term + 2),
                                   .prev_chain = draw(3),
                                   .entry_term = draw(raft.term + 2),
                                   .commit = draw(raft.log.last + 3),
                                   .match = draw(raft.log.last + 3),
                                   .hint_index = draw(raft.log.last + 3),
                                   .hint_term = draw(raft.term + 2),
                                   .probe = raft.probe_next + 2 - draw(6)};
        if (in.msg.kind == RAFT_PREVOTE_REPLY && raft.role == RAFT_PRECANDIDATE)
            in.msg.term = raft.term + draw(2), in.msg.probe = raft.probe_next - draw(2);
        in.incarnation = draw(20) > 0 ? 10u + in.msg.from : draw(30);
        if (in.msg.kind == RAFT_APPEND && in.msg.count > 0 && draw(8) == 0) {
            config = random_config(in.msg.prev_index + 1 + draw(in.msg.count));
            in.config_count = 1;
        }
        if (draw(50) == 0 && in.config_count == 0)
            in.msg.prev_index = in.msg.match = in.msg.hint_index = draw(UINT64_MAX);
    }
    return in;
}

/* Liars with a key: whatever a member sends, the core stays in one piece, its commit index never
 * goes back, it votes once a term, and it is deterministic. */
static void total_on_any_message(void)
{
    struct raft *twin = malloc(sizeof(*twin));
    struct raft_out *twin_out = calloc(1, sizeof(*twin_out));
    CU_ASSERT_FATAL(twin != NULL && twin_out != NULL);
    uint32_t leads = 0;
    uint32_t commits = 0;
    uint32_t stops = 0;
    uint32_t wrong = 0;
    for (uint64_t seed = 1; seed <= 600; seed++) {
        random_state = seed * UINT64_C(0x9e3779b97f4a7c15);
        start(draw(4) + 1, 0, draw(6), 1);
        if (seed % 2 == 0)
            lead();
        *twin = raft;
        for (uint32_t i = 0; i < 3000 && !raft.stopped; i++) {
            const struct raft_in in = random_event();
            uint64_t commit = raft.commit;
            uint64_t term = raft.term;
            uint8_t vote = raft.vote;
            step(in);
            struct raft_in again = in;
            again.now_ns = now_ns;
            raft_step(twin, &again, twin_out);
            wrong += memcmp(twin, &raft, sizeof(raft)) != 0;
            wrong += raft.commit < commit || raft.commit > raft.log.last || raft.term < term;
            wrong += raft.term == term && vote != 0 && raft.vote != vote;
            wrong += raft.next_lsn - 1 - raft.base_lsn != raft.log.last - raft.base_index;
            leads += out.elected;
            commits += raft.role == RAFT_LEADER && raft.commit > commit;
            stops += out.stop != RAFT_RUN;
            struct raft_msg msg;
            for (uint8_t peer = 2; peer <= 3 && raft.role == RAFT_LEADER; peer++)
                if (draw(2) == 0 && raft_append_next(&raft, peer, &msg)) {
                    const struct raft_in sent = {.event = RAFT_EV_SENT,
                                                 .now_ns = now_ns,
                                                 .peer = peer,
                                                 .index = msg.prev_index + draw(msg.count + 1),
                                                 .bytes = 64};
                    raft_step(&raft, &sent, &out);
                    raft_step(twin, &sent, twin_out);
                }
        }
    }
    printf("# %u elections, %u commits, %u stops\n", leads, commits, stops);
    CU_ASSERT_EQUAL(wrong, 0);
    CU_ASSERT(leads > 20);
    CU_ASSERT(commits > 20);
    CU_ASSERT(stops > 20);
    free(twin);
    free(twin_out);
}

/* One LSN for a change of term and vote in one step, one for a truncation, one for each entry. */
static void lsn_bookkeeping(void)
{
    start(3, 0, 5, 3);
    CU_ASSERT_EQUAL(raft_durable_index(&raft), 0); /* durable, but not known to be the leader's */
    now_ns += 200 * MS;
    receive((struct raft_msg){
        .kind = RAFT_VOTE, .from = 2, .term = 4, .prev_index = 5, .prev_term = 3});
    CU_ASSERT(out.hard && raft.term == 4 && raft.vote == 2);
    CU_ASSERT_EQUAL(out.hard_lsn, 101);
    CU_ASSERT_EQUAL(raft.next_lsn, 102);
    CU_ASSERT_EQUAL(out.send[0].lsn, 101);
    receive(append(4, 5, 3, 3)); /* LSNs 102..104 */
    CU_ASSERT_EQUAL(out.append_lsn, 102);
    CU_ASSERT_EQUAL(out.send[0].lsn, 104);
    step((struct raft_in){.event = RAFT_EV_DURABLE, .lsn = 103});
    CU_ASSERT_EQUAL(raft_durable_index(&raft), 7);
    /* Term 5 replaces entries 7 and 8: hard 105, truncation 106, entry 107. */
    receive(append(5, 6, 4, 1));
    CU_ASSERT(out.hard && out.truncate_from == 7 && out.append_first == 7);
    CU_ASSERT_EQUAL(out.hard_lsn, 105);
    CU_ASSERT_EQUAL(out.truncate_lsn, 106);
    CU_ASSERT_EQUAL(out.append_lsn, 107);
    CU_ASSERT_EQUAL(out.send[0].lsn, 107);
    /* Index 7 was durable; the new entry 7 is not, though a durable index of 7 was once true. */
    CU_ASSERT_EQUAL(raft_durable_index(&raft), 6);
    step((struct raft_in){.event = RAFT_EV_DURABLE, .lsn = 106});
    CU_ASSERT_EQUAL(raft_durable_index(&raft), 6);
    step((struct raft_in){.event = RAFT_EV_DURABLE, .lsn = 107});
    CU_ASSERT_EQUAL(raft_durable_index(&raft), 7);
}

/* Run: an entry of the old term is held but not durable when a new leader's append covers it. Its
 * acknowledgement waits for an LSN that is at least the entry's own. */
static void duplicate_of_undurable_entry(void)
{
    start(3, 0, 5, 3);
    receive(append(4, 5, 3, 2)); /* hard 101, entries 102 and 103 */
    struct raft_msg again = append(5, 5, 3, 2);
    again.entry_term = 4;
    receive(again); /* hard 104; nothing new to store */
    CU_ASSERT_EQUAL(out.append_count, 0);
    CU_ASSERT_EQUAL(out.truncate_from, 0);
    CU_ASSERT_EQUAL(out.send[0].msg.match, 7);
    CU_ASSERT(out.send[0].lsn >= 104);
}

/* Run: it led term 4, lost it, leads term 6; a late acknowledgement of term 4 covers index 6, where
 * another entry stands now. */
static void old_acknowledgement(void)
{
    start(3, 0, 5, 3);
    lead();
    uint64_t first = raft.noop_index;
    struct raft_msg late = ok(first, send_to(2));
    receive((struct raft_msg){.kind = RAFT_APPEND_REPLY, .from = 3, .term = 5});
    CU_ASSERT_EQUAL(raft.role, RAFT_FOLLOWER);
    CU_ASSERT(out.deposed && out.hard);
    durable();
    lead();
    CU_ASSERT_EQUAL(raft.term, 6);
    receive(late);
    CU_ASSERT_EQUAL(raft.peer[2].match, 0);
    CU_ASSERT_EQUAL(raft.commit, 0);
    /* Nor does an acknowledgement of more than it holds count. */
    receive(ok(raft.log.last + 1, raft.probe_next - 1));
    CU_ASSERT_EQUAL(raft.peer[2].match, 0);
    receive(ok(raft.log.last, send_to(2)));
    CU_ASSERT_EQUAL(raft.commit, raft.log.last);
}

/* H21: time counts from the sending of exactly the copy that was echoed; a number that was never
 * sent, or so long ago that its time is forgotten, proves nothing. */
static void h21_echo_of_exactly_this_copy(void)
{
    start(3, 0, 5, 3);
    lead();
    uint64_t first = send_to(2);
    uint64_t sent_first = now_ns;
    receive(ok(raft.log.last, first));
    CU_ASSERT_EQUAL(raft.peer[2].heard_ns, sent_first);
    now_ns += 10 * MS;
    step((struct raft_in){.event = RAFT_EV_TICK});
    uint64_t second = out.send[0].msg.probe;
    CU_ASSERT_EQUAL(out.send[0].msg.to, 2);
    CU_ASSERT_EQUAL(out.send[0].msg.quorum_age_ns, 10 * MS);
    now_ns += 30 * MS;
    receive(ok(raft.log.last, first)); /* the older one again */
    CU_ASSERT_EQUAL(raft.peer[2].heard_ns, sent_first);
    CU_ASSERT_EQUAL(raft_quorum_age_ns(&raft, now_ns), 40 * MS);
    receive(ok(raft.log.last, raft.probe_next)); /* never sent */
    CU_ASSERT_EQUAL(raft.peer[2].heard_ns, sent_first);
    receive(ok(raft.log.last, second));
    CU_ASSERT_EQUAL(raft_quorum_age_ns(&raft, now_ns), 30 * MS);
    for (uint32_t i = 0; i < RAFT_PROBES_KEPT / 2; i++) {
        now_ns += 10 * MS;
        raft.elected_ns = now_ns; /* keeps it in office: only the numbers matter here */
        step((struct raft_in){.event = RAFT_EV_TICK});
    }
    receive(ok(raft.log.last, second + 1));
    CU_ASSERT_EQUAL(raft.peer[2].heard_ns, sent_first + 10 * MS);
}

/* Pitfall 2: after a failed write it is silent, whatever comes, for good. */
static void failure_is_sticky(void)
{
    start(3, 0, 5, 3);
    lead();
    step((struct raft_in){.event = RAFT_EV_FAILED});
    CU_ASSERT(out.deposed && raft.role == RAFT_FOLLOWER);
    CU_ASSERT_EQUAL(raft_next_tick_ns(&raft), UINT64_MAX);
    const struct raft before = raft;
    now_ns += 1000 * MS;
    step((struct raft_in){.event = RAFT_EV_TICK});
    CU_ASSERT(nothing_happened());
    receive((struct raft_msg){
        .kind = RAFT_VOTE, .from = 2, .term = 40, .prev_index = 500, .prev_term = 30});
    CU_ASSERT(nothing_happened());
    receive((struct raft_msg){
        .kind = RAFT_PREVOTE, .from = 2, .term = 40, .prev_index = 500, .prev_term = 30});
    CU_ASSERT(nothing_happened());
    receive(append(9, 5, 3, 1));
    CU_ASSERT(nothing_happened());
    durable();
    CU_ASSERT(nothing_happened());
    CU_ASSERT_EQUAL(memcmp(&before, &raft, sizeof(raft)), 0);
    const struct raft_send send = {.msg = {.kind = RAFT_APPEND_REPLY, .term = raft.term}};
    CU_ASSERT_FALSE(raft_send_stands(&raft, &send));
}

static void what_stands_at_the_gate(void)
{
    start(3, 0, 5, 3);
    struct raft_send send = {.msg = {.kind = RAFT_VOTE_REPLY, .term = 3}};
    CU_ASSERT_TRUE(raft_send_stands(&raft, &send));
    send.msg.term = 2;
    CU_ASSERT_FALSE(raft_send_stands(&raft, &send));
    send.msg = (struct raft_msg){.kind = RAFT_PREVOTE, .term = 4};
    CU_ASSERT_TRUE(raft_send_stands(&raft, &send));
    send.msg.term = 3;
    CU_ASSERT_FALSE(raft_send_stands(&raft, &send));
    send.msg = (struct raft_msg){.kind = RAFT_PREVOTE_REPLY, .term = 7, .status = 1};
    CU_ASSERT_TRUE(raft_send_stands(&raft, &send));
    raft.hole = 5; /* H5 */
    send.msg = (struct raft_msg){.kind = RAFT_APPEND_REPLY, .term = 3, .match = 4};
    CU_ASSERT_TRUE(raft_send_stands(&raft, &send));
    send.msg.match = 5;
    CU_ASSERT_FALSE(raft_send_stands(&raft, &send));
    send.msg.status = RAFT_APPEND_MISSING;
    CU_ASSERT_TRUE(raft_send_stands(&raft, &send));
    send.msg = (struct raft_msg){.kind = RAFT_VOTE_REPLY, .term = 3, .match = 5};
    CU_ASSERT_TRUE(raft_send_stands(&raft, &send));
    send.msg = (struct raft_msg){
        .kind = RAFT_FETCH_REPLY, .term = 3, .prev_index = raft.log.last, .prev_term = 3};
    CU_ASSERT_FALSE(raft_send_stands(&raft, &send));
    send.msg.status = 1;
    CU_ASSERT_TRUE(raft_send_stands(&raft, &send));
    send.msg.status = 0;
    send.msg.prev_term = 2;
    CU_ASSERT_TRUE(raft_send_stands(&raft, &send));
    send.msg.prev_index++;
    CU_ASSERT_TRUE(raft_send_stands(&raft, &send));
}

/* A conflict at or below what is committed, or was found equal in this term, is damage: it is
 * refused as such, and nothing is truncated. */
static void conflict_below_commit_is_damage(void)
{
    start(3, 0, 5, 3);
    struct raft_msg msg = append(4, 5, 3, 2);
    msg.commit = 6;
    receive(msg);
    CU_ASSERT_EQUAL(out.commit, 6);
    msg = append(4, 6, 3, 1);
    receive(msg);
    CU_ASSERT_EQUAL(out.send[0].msg.status, RAFT_APPEND_CHAIN);
    CU_ASSERT(out.truncate_from == 0 && out.append_count == 0);
    CU_ASSERT_EQUAL(raft.log.last, 7);
    /* A term that falls along the log is damage too. */
    msg = append(4, 7, 4, 1);
    msg.prev_term = 3;
    msg.entry_term = 3;
    receive(msg);
    CU_ASSERT_EQUAL(out.send[0].msg.status, RAFT_APPEND_CHAIN);
    CU_ASSERT_EQUAL(raft.log.last, 7);
}

/* Below the run list the caller knows the terms; heartbeats to such a peer agree with any log. */
static void peer_below_the_run_list(void)
{
    start(3, 0, 5, 3);
    lead();
    receive(ok(raft.log.last, send_to(2)));
    CU_ASSERT_EQUAL(raft.commit, 6);
    raft_compact(&raft, 5);
    uint64_t probe = send_to(3);
    receive((struct raft_msg){.kind = RAFT_APPEND_REPLY,
                              .from = 3,
                              .status = RAFT_APPEND_MISSING,
                              .term = raft.term,
                              .hint_index = 2,
                              .probe = probe});
    CU_ASSERT_EQUAL(out.append_to, 0x08);
    struct raft_msg msg;
    CU_ASSERT_FATAL(raft_append_next(&raft, 3, &msg));
    CU_ASSERT(msg.prev_index == 2 && msg.prev_term == 0 && msg.entry_term == 0);
    CU_ASSERT_EQUAL(msg.count, 2); /* 3 and 4; from 5 on the terms are known */
    /* The ring is being read: nothing sent, offered again with the next tick and not before. */
    step((struct raft_in){.event = RAFT_EV_SENT, .peer = 3, .index = 2});
    CU_ASSERT_EQUAL(out.append_to, 0);
    step((struct raft_in){.event = RAFT_EV_PROPOSE, .count = 1});
    CU_ASSERT_EQUAL(out.append_to, 0x04);
    CU_ASSERT_FALSE(raft_append_next(&raft, 3, &msg));
    now_ns += 10 * MS;
    step((struct raft_in){.event = RAFT_EV_TICK});
    CU_ASSERT_EQUAL(out.append_to, 0x0c);
    CU_ASSERT_EQUAL(out.send_count, 2);
    CU_ASSERT(out.send[1].msg.to == 3 && out.send[1].msg.prev_index == 2 - 2);
    step((struct raft_in){.event = RAFT_EV_SENT, .peer = 3, .index = 4, .bytes = 128});
    CU_ASSERT_EQUAL(raft.peer[3].next, 5);
}

/* 128 uncommitted terms: the log takes no further one, neither as follower nor as candidate. */
static void full_run_list(void)
{
    start(3, 0, 0, 0);
    uint64_t term = 4;
    for (uint64_t last = 0; last < RAFT_RUNS_MAX; last++, term++) {
        receive(append(term, last, last == 0 ? 0 : term - 1, 1));
        CU_ASSERT_EQUAL(out.append_count, 1);
    }
    receive(append(term, RAFT_RUNS_MAX, term - 1, 1));
    CU_ASSERT_EQUAL(out.append_count, 0);
    CU_ASSERT_EQUAL(out.send[0].msg.status, RAFT_APPEND_NO_SPACE);
    durable();
    raft.no_space_ns = 0;
    now_ns += 500 * MS;
    step((struct raft_in){.event = RAFT_EV_TICK});
    CU_ASSERT(nothing_happened());
    struct raft_msg msg = append(term, RAFT_RUNS_MAX, term - 1, 1);
    msg.commit = 1; /* now the oldest run may be forgotten */
    receive(msg);
    CU_ASSERT_EQUAL(out.append_count, 0);
    receive(append(term, RAFT_RUNS_MAX, term - 1, 1));
    CU_ASSERT_EQUAL(out.append_count, 1);
    CU_ASSERT_EQUAL(raft.log.first, 2);
}

/* H8: who is short of space does not campaign; the shortage has to be repeated to last. */
static void h8_short_of_space(void)
{
    start(3, 0, 5, 3);
    now_ns = raft.timeout_at_ns;
    step((struct raft_in){.event = RAFT_EV_NO_SPACE});
    step((struct raft_in){.event = RAFT_EV_TICK});
    CU_ASSERT(nothing_happened());
    now_ns += 199 * MS;
    step((struct raft_in){.event = RAFT_EV_TICK});
    CU_ASSERT(nothing_happened());
    now_ns += 101 * MS;
    step((struct raft_in){.event = RAFT_EV_TICK});
    CU_ASSERT_EQUAL(raft.role, RAFT_PRECANDIDATE);
}

/* H22: never in touch is not "just now"; a leader's word ages with own time. */
static void h22_age_of_the_quorum(void)
{
    start(3, 0, 5, 3);
    CU_ASSERT_EQUAL(raft_quorum_age_ns(&raft, now_ns), UINT64_MAX);
    struct raft_msg msg = append(4, 5, 3, 0);
    msg.quorum_age_ns = UINT64_MAX;
    receive(msg);
    CU_ASSERT_EQUAL(raft_quorum_age_ns(&raft, now_ns + MS), UINT64_MAX);
    msg = append(4, 5, 3, 0);
    msg.quorum_age_ns = 7 * MS;
    receive(msg);
    CU_ASSERT_EQUAL(raft_quorum_age_ns(&raft, now_ns + 3 * MS), 10 * MS);
    /* A new leader that knows of no quorum yet does not make the older knowledge void. */
    now_ns += 10 * MS;
    msg = append(5, 5, 3, 0);
    msg.quorum_age_ns = UINT64_MAX;
    receive(msg);
    CU_ASSERT_EQUAL(raft_quorum_age_ns(&raft, now_ns), 17 * MS);
}

/* Only what counts say is valid is written: raft_out is longer than a kilobyte. */
static void out_is_not_cleared_as_a_whole(void)
{
    start(3, 0, 5, 3);
    memset(&out, 0xa5, sizeof(out));
    receive(append(4, 5, 3, 1));
    CU_ASSERT_EQUAL(out.send_count, 1);
    unsigned char *rest = (unsigned char *)&out.send[1];
    CU_ASSERT(rest[0] == 0xa5 && rest[sizeof(out.send[0]) * (RAFT_SENDS_MAX - 1) - 1] == 0xa5);
}

int main(void)
{
    static const struct unit_test tests[] = {
        {"bad input changes nothing", bad_input_changes_nothing},
        {"total and deterministic on any message of a member", total_on_any_message},
        {"LSNs: hard state, truncation, entries (pitfall 1)", lsn_bookkeeping},
        {"a duplicate of an entry that is not durable waits for it", duplicate_of_undurable_entry},
        {"an acknowledgement of an old term counts for nothing", old_acknowledgement},
        {"H21: exactly the copy that was echoed", h21_echo_of_exactly_this_copy},
        {"a failed write silences for good (pitfall 2)", failure_is_sticky},
        {"what still stands when the gate opens", what_stands_at_the_gate},
        {"a conflict below commit is damage", conflict_below_commit_is_damage},
        {"a peer below the run list is served by the caller", peer_below_the_run_list},
        {"a run list full of uncommitted terms takes no more", full_run_list},
        {"H8: who is short of space does not campaign", h8_short_of_space},
        {"H22: the quorum's age", h22_age_of_the_quorum},
        {"raft_out is not cleared as a whole", out_is_not_cleared_as_a_whole},
        {0}};
    return unit_main("raft_step", tests);
}
