/* The only caller of raft_step(): what seq does when a term changes, a window is full, a drive
 * fails. One real replica of a cluster of three; its peers' messages are the test's.
 */
#include "dataplane/feed_internal.h"
#include "dataplane/loop.h"
#include "tests/unit/control/bench.h"
#include "tests/unit/unit.h"

#include <stdlib.h>
#include <string.h>

enum { ENTRY_SIZE = sizeof(struct entry) + sizeof(struct entry_boot) };

static struct replica *replica_of(struct bench *b)
{
    return b->node[1].start.replica;
}

static struct bench *alone(void)
{
    struct bench *b = bench_new(3);
    CU_ASSERT_EQUAL_FATAL(bench_start(b, 1), STARTUP_OK);
    bench_run(b, 200);
    return b;
}

/* The roles take turns; neither feed nor control does, so that nothing leaves the window. */
static void turns(struct bench *b, uint32_t count)
{
    struct replica *r = replica_of(b);
    for (uint32_t i = 0; i < count; i++) {
        b->now_ns += 1000;
        loop_turn(r);
        ring_disk_turn(r->ring);
        ring_aux_turn(r->ring);
    }
}

static void tell(struct bench *b, struct raft_msg msg)
{
    msg.to = 1;
    step_peer(replica_of(b), &msg, 0x1000u + msg.from, NULL, 0);
    turns(b, 20);
}

/* Time passes until the replica asks for votes of its own; false if it does not. */
static bool campaigns(struct bench *b)
{
    struct replica *r = replica_of(b);
    for (uint32_t ms = 0; ms < 2000; ms++) {
        b->now_ns += 1000000;
        turns(b, 1);
        if (r->raft.role == RAFT_CANDIDATE)
            return true; /* with care, and so at a tick */
        if (r->raft.role != RAFT_PRECANDIDATE)
            continue;
        tell(b, (struct raft_msg){.kind = RAFT_PREVOTE_REPLY,
                                  .from = 2,
                                  .status = 1,
                                  .term = r->raft.term + 1,
                                  .probe = r->raft.probe_next - 1});
        if (r->raft.role == RAFT_CANDIDATE)
            return true;
    }
    return false;
}

static void vote(struct bench *b)
{
    struct replica *r = replica_of(b);
    tell(b,
         (struct raft_msg){.kind = RAFT_VOTE_REPLY, .from = 2, .status = 1, .term = r->raft.term});
}

static bool leads(struct bench *b)
{
    if (!campaigns(b))
        return false;
    vote(b);
    CU_ASSERT_EQUAL_FATAL(replica_of(b)->raft.role, RAFT_LEADER);
    return true;
}

static void acknowledge(struct bench *b, uint8_t from, uint64_t match)
{
    tell(b, (struct raft_msg){.kind = RAFT_APPEND_REPLY,
                              .from = from,
                              .term = replica_of(b)->raft.term,
                              .match = match,
                              .hint_index = match,
                              .probe = replica_of(b)->raft.probe_next - 1});
}

/* Entries of the leader's own until there is no room; none is acknowledged by anybody. */
static void fill_window(struct bench *b)
{
    struct replica *r = replica_of(b);
    struct entry_boot body = {.replica = 1, .incarnation = 0x1001, .boot = 1, .boot_id = 1};
    uint32_t taken = 0;
    acknowledge(b, 2, r->raft.noop_index);
    CU_ASSERT_TRUE_FATAL(intake_open(r));
    while (taken < 1u << 16 && intake_own(r, ENTRY_BOOT, &body, sizeof(body)) != 0)
        if (++taken % 32 == 0)
            turns(b, 1);
    turns(b, 10);
    CU_ASSERT_TRUE(taken > 1000);
}

/* A leader whose window is full of what nobody acknowledged, and who lost office over it. */
static struct bench *deposed_with_a_full_window(void)
{
    struct bench *b = alone();
    CU_ASSERT_TRUE_FATAL(leads(b));
    fill_window(b);
    b->now_ns += 1000000000;
    turns(b, 5);
    CU_ASSERT_EQUAL(replica_of(b)->raft.role, RAFT_FOLLOWER); /* check-quorum */
    return b;
}

static void h8_elections_in_a_full_window(void)
{
    /* H8: the leader's window is full of what nobody acknowledged; it loses office, and elections
     * come to nothing time and again. Each takes a page beside the entries. It must stop
     * campaigning before there is no place for a no-op: to win without one would be the end of the
     * replica. */
    for (uint32_t lost = 0; lost < 8; lost++) {
        struct bench *b = deposed_with_a_full_window();
        struct replica *r = replica_of(b);
        uint32_t terms = 0;
        while (terms < lost && campaigns(b)) { /* nobody votes */
            terms++;
            b->now_ns += 1000000000;
            turns(b, 50); /* seals have their chance */
        }
        if (campaigns(b)) {
            vote(b);
            CU_ASSERT_EQUAL(r->raft.role, RAFT_LEADER);
            CU_ASSERT_EQUAL(ring_last_index(r->ring), r->raft.log.last);
            CU_ASSERT_EQUAL(r->raft.noop_index, r->raft.log.last);
        }
        if (lost <= 3) /* further tries are possible, seals or not: else nothing ever commits */
            CU_ASSERT_EQUAL(r->raft.role, RAFT_LEADER);
        bench_free(b);
    }
}

/* From node 2, as its leader: one entry behind the log's end. */
static void append(struct bench *b, uint64_t term, uint8_t kind, uint64_t commit)
{
    struct replica *r = replica_of(b);
    _Alignas(8) uint8_t bytes[ENTRY_SIZE] = {0};
    struct entry *entry = (struct entry *)bytes;
    struct raft_msg msg = {.kind = RAFT_APPEND,
                           .from = 2,
                           .to = 1,
                           .term = term,
                           .prev_index = r->raft.log.last,
                           .prev_term = raft_log_last_term(&r->raft.log),
                           .prev_chain = ring_chain(r->ring, r->raft.log.last),
                           .count = 1,
                           .entry_term = term,
                           .commit = commit,
                           .probe = r->raft.leader_probe + 1};
    entry->size = ENTRY_SIZE;
    entry->kind = kind;
    entry->version = ENTRY_VERSION;
    entry->principal = 2;
    entry->index = msg.prev_index + 1;
    entry->term = term;
    if (kind == ENTRY_NOOP) {
        entry->size = sizeof(struct entry) + sizeof(struct entry_noop);
        struct entry_noop body = {.leader = 2, .incarnation = 0x1002};
        memcpy(entry + 1, &body, sizeof(body));
    } else {
        struct entry_boot body = {.replica = 2, .incarnation = 0x1002, .boot = 1, .boot_id = 1};
        memcpy(entry + 1, &body, sizeof(body));
    }
    ring_entry_finish(entry);
    step_peer(r, &msg, 0x1002, bytes, entry->size);
    turns(b, 20);
}

static void another_leader_frees_a_full_window(void)
{
    /* H8: the window is full of entries that another leader has too, and it can commit them only
     * behind a no-op of its own: that finds room here, and nothing else does. */
    struct bench *b = deposed_with_a_full_window();
    struct replica *r = replica_of(b);
    uint64_t last = r->raft.log.last, term = r->raft.term + 1;
    append(b, term, ENTRY_BOOT, 0);
    CU_ASSERT_EQUAL(r->raft.log.last, last);
    append(b, term, ENTRY_NOOP, 0);
    CU_ASSERT_EQUAL(r->raft.log.last, last + 1);
    append(b, term, ENTRY_BOOT, last + 1); /* refused, and it says what is committed */
    CU_ASSERT_EQUAL(r->raft.log.last, last + 1);
    CU_ASSERT_EQUAL(r->raft.commit, last + 1);
    bench_run(b, 20);
    append(b, term, ENTRY_BOOT, last + 1);
    CU_ASSERT_EQUAL(r->raft.log.last, last + 2);
    bench_free(b);
}

static void a_full_window_frees_itself_under_a_leader(void)
{
    /* The other side of H8: the replica that holds the full window is elected and its entries are
     * acknowledged; then there is room again. */
    struct bench *b = deposed_with_a_full_window();
    struct replica *r = replica_of(b);
    CU_ASSERT_TRUE_FATAL(leads(b));
    acknowledge(b, 3, r->raft.log.last);
    CU_ASSERT_EQUAL(r->raft.commit, r->raft.log.last);
    bench_run(b, 20); /* feed and all */
    CU_ASSERT_EQUAL(ring_room(r->ring, 1, ENTRY_SIZE), RING_ROOM);
    bench_free(b);
}

static void lsns_agree_with_the_ring(void)
{
    /* Entries framed, a refusal told, a peer's message between them: raft and ring number alike. */
    struct bench *b = alone();
    struct replica *r = replica_of(b);
    CU_ASSERT_TRUE_FATAL(leads(b));
    acknowledge(b, 2, r->raft.noop_index);
    struct entry_boot body = {.replica = 1, .incarnation = 0x1001, .boot = 1, .boot_id = 1};
    for (uint32_t i = 0; i < 300; i++) {
        for (uint32_t n = 0; n <= i % 5; n++)
            CU_ASSERT_NOT_EQUAL_FATAL(intake_own(r, ENTRY_BOOT, &body, sizeof(body)), 0);
        CU_ASSERT_EQUAL(r->proposing, i % 5 + 1);
        if (i % 3 == 0)
            step_no_space(r);
        else if (i % 3 == 1)
            acknowledge(b, 2, r->raft.log.last);
        else
            step_propose(r);
        CU_ASSERT_EQUAL(r->proposing, 0);
        CU_ASSERT_EQUAL_FATAL(ring_last_index(r->ring), r->raft.log.last);
        turns(b, 8);
        acknowledge(b, 2, r->raft.log.last);
        bool failed;
        CU_ASSERT_TRUE_FATAL(ring_durable_lsn(r->ring, &failed) < r->raft.next_lsn);
    }
    turns(b, 50);
    bool failed;
    CU_ASSERT_EQUAL(ring_durable_lsn(r->ring, &failed), r->raft.next_lsn - 1);
    CU_ASSERT_EQUAL(raft_durable_index(&r->raft), r->raft.log.last);
    bench_free(b);
}

static void a_failed_write_silences_for_good(void)
{
    /* Pitfall 2: no vote, no acknowledgement, no heartbeat after a write failed. */
    struct bench *b = alone();
    struct replica *r = replica_of(b);
    CU_ASSERT_TRUE_FATAL(leads(b));
    b->node[1].store.fail_at = b->node[1].store.operations + 1;
    struct entry_boot body = {.replica = 1, .incarnation = 0x1001, .boot = 1, .boot_id = 1};
    acknowledge(b, 2, r->raft.noop_index);
    CU_ASSERT_NOT_EQUAL(intake_own(r, ENTRY_BOOT, &body, sizeof(body)), 0);
    turns(b, 20);
    CU_ASSERT_EQUAL(r->stopped, 1);
    CU_ASSERT_EQUAL(r->raft.failed, 1);
    uint64_t said = r->gate.released, term = r->raft.term;
    tell(b, (struct raft_msg){.kind = RAFT_VOTE, .from = 2, .term = term + 5, .prev_index = 1000});
    b->now_ns += 5000000000ull;
    turns(b, 50);
    CU_ASSERT_EQUAL(r->gate.released + r->gate.count, said);
    CU_ASSERT_EQUAL(r->raft.vote == 2, 0);
    CU_ASSERT_EQUAL(r->raft.term, term);
    CU_ASSERT_EQUAL(intake_own(r, ENTRY_BOOT, &body, sizeof(body)), 0);
    bench_free(b);
}

static void h11_a_vote_leaves_when_it_is_durable(void)
{
    /* H11: the vote's page is held up by the drive: nothing leaves, however many turns pass. */
    struct bench *b = alone();
    struct replica *r = replica_of(b);
    b->now_ns += 400000000;
    b->node[1].store.hold = true;
    uint64_t released = r->gate.released;
    step_peer(r,
              &(struct raft_msg){.kind = RAFT_VOTE,
                                 .from = 2,
                                 .to = 1,
                                 .term = r->raft.term + 7,
                                 .prev_index = 1000,
                                 .prev_term = 1},
              0x1002, NULL, 0);
    CU_ASSERT_EQUAL_FATAL(r->raft.vote, 2);
    turns(b, 50);
    CU_ASSERT_EQUAL(r->gate.released, released);
    CU_ASSERT_EQUAL(r->gate.count, 1);
    b->node[1].store.hold = false;
    turns(b, 5);
    CU_ASSERT_EQUAL(r->gate.released, released + 1);
    CU_ASSERT_EQUAL(r->gate.count, 0);
    bench_free(b);
}

static uint64_t contact_of(struct bench *b, uint32_t id)
{
    struct replica *r = b->node[id].start.replica;
    bench_run(b, 5);
    return __atomic_load_n(&r->feed->contact_ns, __ATOMIC_RELAXED);
}

static void a_line_begins_where_the_leader_is(void)
{
    /* A follower was down while others went on: its line begins behind the commit index that it
     * first learns from the leader, not behind its own. While it still catches up it has no contact
     * to speak of, though it hears the leader (H22). All down at once: whoever leads next shows
     * what lies above its own commit index, since no other line did. */
    struct bench *b = bench_new(3);
    for (uint32_t id = 1; id <= 3; id++)
        CU_ASSERT_EQUAL_FATAL(bench_start(b, id), STARTUP_OK);
    uint32_t leader = bench_settle(b);
    CU_ASSERT_FATAL(leader != 0);
    CU_ASSERT_EQUAL(b->node[leader].start.replica->line_from, 0);
    uint32_t follower = leader % 3 + 1;
    bench_kill(b, follower);
    CU_ASSERT_EQUAL(bench_day_end(b, leader, b->genesis.day).result, CONTROL_APPLIED);
    uint64_t commit = b->node[leader].start.replica->raft.commit;
    CU_ASSERT_EQUAL_FATAL(bench_start(b, follower), STARTUP_OK);
    struct replica *late = b->node[follower].start.replica;
    CU_ASSERT_EQUAL(late->line_from, UINT64_MAX);
    CU_ASSERT(late->machine->applied < commit);
    bench_run(b, 5000); /* the peer with the lower id notices the silence */
    CU_ASSERT(late->line_from >= commit && late->line_from != UINT64_MAX);
    CU_ASSERT(late->machine->applied >= late->line_from && contact_of(b, follower) != 0);
    late->line_from = late->machine->applied + 1000; /* as if it had far to go */
    CU_ASSERT(contact_of(b, follower) == 0);
    late->line_from = commit;

    for (uint32_t id = 1; id <= 3; id++)
        bench_kill(b, id);
    uint64_t known[4] = {0};
    for (uint32_t id = 1; id <= 3; id++) {
        CU_ASSERT_EQUAL_FATAL(bench_start(b, id), STARTUP_OK);
        known[id] = b->node[id].start.replica->raft.commit;
    }
    leader = bench_settle(b);
    CU_ASSERT_FATAL(leader != 0);
    CU_ASSERT_EQUAL(b->node[leader].start.replica->line_from, known[leader]);
    bench_free(b);
}

int main(void)
{
    static const struct unit_test tests[] = {
        {"H8: elections in a full window", h8_elections_in_a_full_window},
        {"H8: another leader frees a full window", another_leader_frees_a_full_window},
        {"a full window frees itself under a leader", a_full_window_frees_itself_under_a_leader},
        {"LSNs agree with the ring", lsns_agree_with_the_ring},
        {"a failed write silences for good", a_failed_write_silences_for_good},
        {"H11: a vote leaves when it is durable", h11_a_vote_leaves_when_it_is_durable},
        {"H22: a line begins where the leader is", a_line_begins_where_the_leader_is},
        {0}};
    return unit_main("step", tests);
}
