/* What a drive has lost comes back, while terms change, checkpoints arrive and starts follow each
 * other. One real replica of a cluster of three; its peers' messages are the test's.
 */
#include "dataplane/crc32c.h"
#include "dataplane/loop.h"
#include "tests/unit/control/bench.h"
#include "tests/unit/unit.h"

#include <stdlib.h>
#include <string.h>

enum { LOG_MAX = 72, ENTRY_MAX = 512, CONFIG_SIZE = sizeof(struct entry_config) };

struct leader { /* what its log holds */
    struct bench *bench;
    uint8_t id;
    uint64_t term, last, probe, commit;
    uint64_t chain[LOG_MAX]; /* by index */
    _Alignas(8) uint8_t entry[LOG_MAX][ENTRY_MAX];
};

static struct replica *replica_of(const struct leader *l)
{
    return l->bench->node[1].start.replica;
}

/* The roles take turns; control does not. */
static void turns(const struct leader *l, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        l->bench->now_ns += 1000;
        loop_turn(replica_of(l));
        ring_disk_turn(replica_of(l)->ring);
        ring_aux_turn(replica_of(l)->ring);
    }
}

static void begin(struct leader *l)
{
    *l = (struct leader){.bench = bench_new(3), .id = 2, .term = 5};
    l->chain[0] = ring_chain_genesis(l->bench->genesis.cluster_id);
    CU_ASSERT_EQUAL_FATAL(bench_start(l->bench, 1), STARTUP_OK);
}

static void start_again(const struct leader *l)
{
    bench_kill(l->bench, 1);
    CU_ASSERT_EQUAL_FATAL(bench_start(l->bench, 1), STARTUP_OK);
}

static void frame(struct leader *l, uint8_t kind, const void *body, uint16_t size)
{
    uint64_t index = ++l->last;
    CU_ASSERT_TRUE_FATAL(index < LOG_MAX);
    struct entry *entry = (struct entry *)(void *)l->entry[index];
    memset(entry, 0, ENTRY_MAX);
    *entry = (struct entry){.size = (uint16_t)((sizeof(*entry) + size + 7) / 8 * 8),
                            .kind = kind,
                            .version = ENTRY_VERSION,
                            .index = index,
                            .term = l->term,
                            .utc_ns = 1000 + index,
                            .log_ns = index,
                            .principal = l->id};
    memcpy(entry + 1, body, size);
    ring_entry_finish(entry);
    l->chain[index] = ring_chain_next(l->chain[index - 1], entry);
}

static void frame_noops(struct leader *l, uint32_t count)
{
    struct entry_noop body = {.leader = l->id, .incarnation = 0x1000u + l->id};
    for (uint32_t i = 0; i < count; i++)
        frame(l, ENTRY_NOOP, &body, sizeof(body));
}

/* The three founders, and a learner that nobody has heard of. */
static void frame_config(struct leader *l)
{
    struct entry_config body;
    memset(&body, 0, sizeof(body));
    body.voters = 0xe;
    body.learners = 0x10;
    for (uint32_t id = 1; id <= 4; id++)
        body.member[id] =
            (struct entry_member){.incarnation = 0x1000 + id, .ip = 0x0a000000 + id, .port = 7400};
    frame(l, ENTRY_CONFIG, &body, CONFIG_SIZE);
}

static uint64_t term_of(const struct leader *l, uint64_t index)
{
    return index == 0 ? 0 : ((const struct entry *)(const void *)l->entry[index])->term;
}

static size_t gather(const struct leader *l, uint64_t first, uint64_t last, uint8_t *bytes)
{
    size_t size = 0;
    for (uint64_t i = first; i <= last; i++) {
        const struct entry *entry = (const struct entry *)(const void *)l->entry[i];
        memcpy(bytes + size, entry, entry->size);
        size += entry->size;
    }
    return size;
}

static void append(struct leader *l, uint64_t first, uint64_t last)
{
    _Alignas(8) uint8_t bytes[LOG_MAX * ENTRY_MAX];
    struct raft_msg msg = {.kind = RAFT_APPEND,
                           .from = l->id,
                           .to = 1,
                           .count = (uint32_t)(last + 1 - first),
                           .term = l->term,
                           .prev_index = first - 1,
                           .prev_term = term_of(l, first - 1),
                           .prev_chain = l->chain[first - 1],
                           .entry_term = last >= first ? term_of(l, first) : 0,
                           .commit = l->commit,
                           .probe = ++l->probe};
    size_t size = gather(l, first, last, bytes);
    step_peer(replica_of(l), &msg, 0x1000u + l->id, bytes, size);
    turns(l, 20);
}

/* The answer to what repair asks for. */
static void answer(const struct leader *l, uint64_t first, uint64_t last)
{
    _Alignas(8) uint8_t bytes[LOG_MAX * ENTRY_MAX];
    struct raft_msg msg = {.kind = RAFT_FETCH_REPLY,
                           .from = l->id,
                           .to = 1,
                           .status = 1,
                           .count = (uint32_t)(last + 1 - first),
                           .term = l->term,
                           .prev_index = first,
                           .prev_term = term_of(l, first)};
    gather(l, first, last, bytes);
    repair_entries(replica_of(l), &msg, bytes);
}

/* The payload of the page that holds `index` goes bad. */
static void rot(const struct leader *l, uint64_t index)
{
    struct bench_node *n = &l->bench->node[1];
    uint64_t page = ring_page_of(replica_of(l)->ring, index);
    n->store.bytes[ring_slot_offset(&n->start.super, page) + RING_HEAD_SIZE + 20] ^= 1;
}

static void start_without(const struct leader *l, uint64_t index)
{
    rot(l, index);
    start_again(l);
    CU_ASSERT_EQUAL_FATAL(replica_of(l)->raft.hole, index);
}

static void the_chain_goes_on_behind_a_hole(void)
{
    /* The last page is lost before anything behind it told the chain at its end, and the leader,
     * which had no answer, sends what it held and what follows in one packet. */
    struct leader l;
    begin(&l);
    frame_noops(&l, 6);
    append(&l, 1, 3);
    append(&l, 4, 4);
    start_without(&l, 4);
    struct replica *r = replica_of(&l);
    CU_ASSERT_EQUAL(ring_chain(r->ring, 4), 0);
    append(&l, 4, 5);
    CU_ASSERT_EQUAL_FATAL(ring_last_index(r->ring), 5);
    CU_ASSERT_EQUAL(ring_chain(r->ring, 4), l.chain[4]);
    CU_ASSERT_EQUAL(ring_chain(r->ring, 5), l.chain[5]);
    append(&l, 6, 6);
    CU_ASSERT_EQUAL(ring_last_index(r->ring), 6);
    turns(&l, 2000);
    answer(&l, 4, 4);
    bench_run(l.bench, 20);
    CU_ASSERT_EQUAL(r->raft.hole, 0);
    CU_ASSERT_EQUAL(raft_durable_index(&r->raft), 6);
    start_again(&l);
    r = replica_of(&l);
    CU_ASSERT_EQUAL(ring_holes(r->ring), 0);
    CU_ASSERT_EQUAL(ring_chain(r->ring, 6), l.chain[6]);
    bench_free(l.bench);
}

static bool campaigns(const struct leader *l)
{
    for (uint32_t ms = 0; ms < 3000; ms++) {
        l->bench->now_ns += 1000000;
        turns(l, 1);
        if (replica_of(l)->raft.role != RAFT_FOLLOWER)
            return true;
    }
    return false;
}

static void hear_of_term(const struct leader *l, uint64_t term)
{
    struct raft_msg msg = {.kind = RAFT_VOTE, .from = 3, .to = 1, .term = term};
    step_peer(replica_of(l), &msg, 0x1003, NULL, 0);
    turns(l, 20);
    CU_ASSERT_EQUAL(replica_of(l)->raft.term, term);
}

static void h4_a_hidden_configuration_is_remembered(void)
{
    /* H4: the configuration in force is lost, and no peer is there that holds it. However often
     * the replica is started: it does not campaign under the older one. */
    struct leader l;
    begin(&l);
    frame_noops(&l, 2);
    frame_config(&l);
    append(&l, 1, 2);
    append(&l, 3, 3);
    CU_ASSERT_EQUAL(replica_of(&l)->raft.config.index, 3);
    start_without(&l, 3);
    for (uint32_t starts = 0; starts < 3; starts++) {
        CU_ASSERT_EQUAL(replica_of(&l)->raft.config.index, 0);
        CU_ASSERT_EQUAL(replica_of(&l)->raft.config_stated, 3);
        CU_ASSERT_FALSE(campaigns(&l));
        hear_of_term(&l, 6 + starts); /* a page that states what is in force */
        start_again(&l);
    }
    turns(&l, 2000);
    answer(&l, 3, 3);
    bench_run(l.bench, 20);
    CU_ASSERT_EQUAL(replica_of(&l)->raft.config.index, 3);
    CU_ASSERT_TRUE(campaigns(&l));
    bench_free(l.bench);
}

static void a_superseded_configuration_does_not_come_back(void)
{
    /* While a lost page is being written anew, the next leader supersedes what it held. */
    struct leader l;
    begin(&l);
    frame_noops(&l, 2);
    frame_config(&l);
    append(&l, 1, 2);
    append(&l, 3, 3);
    start_without(&l, 3);
    turns(&l, 2000);
    answer(&l, 3, 3);
    struct replica *r = replica_of(&l);
    CU_ASSERT_EQUAL_FATAL(r->repair.state, REPAIR_OFFERED);
    l.last = 2;
    l.id = 3;
    l.term = 6;
    frame_noops(&l, 2);
    append(&l, 3, 4);
    CU_ASSERT_EQUAL_FATAL(ring_term(r->ring, 3), 6);
    bench_run(l.bench, 20);
    CU_ASSERT_EQUAL(r->repair.state, REPAIR_IDLE);
    CU_ASSERT_EQUAL(r->raft.config.index, 0);
    CU_ASSERT_EQUAL(members_now(&r->members)->index, 0);
    bench_free(l.bench);
}

static void one_that_nobody_holds_keeps_no_other_waiting(void)
{
    struct leader l;
    begin(&l);
    frame_noops(&l, 6);
    for (uint64_t i = 1; i <= 6; i++)
        append(&l, i, i);
    rot(&l, 5);
    start_without(&l, 3);
    struct replica *r = replica_of(&l);
    CU_ASSERT_EQUAL_FATAL(ring_holes(r->ring), 2);
    for (uint32_t ms = 0; ms < 2000 && ring_holes(r->ring) > 1; ms++) {
        bench_run(l.bench, 1);
        answer(&l, 5, 5);
    }
    CU_ASSERT_EQUAL(ring_holes(r->ring), 1);
    CU_ASSERT_PTR_NOT_NULL(ring_entry(r->ring, 5));
    CU_ASSERT_EQUAL(r->raft.hole, 3);
    for (uint32_t ms = 0; ms < 2000 && r->raft.hole != 0; ms++) { /* and its turn comes again */
        bench_run(l.bench, 1);
        answer(&l, 3, 3);
    }
    CU_ASSERT_EQUAL(r->raft.hole, 0);
    bench_free(l.bench);
}

static void more_bytes_than_a_page_holds_are_no_answer(void)
{
    /* Entries of the right numbers that are not what was lost: given up, and asked for anew. */
    struct leader l;
    begin(&l);
    frame_noops(&l, 20);
    append(&l, 1, 19);
    append(&l, 20, 20);
    start_without(&l, 1);
    struct replica *r = replica_of(&l);
    bench_run(l.bench, 2);
    CU_ASSERT_EQUAL_FATAL(r->repair.state, REPAIR_GATHERS);
    struct leader other = {.bench = l.bench, .id = 3, .term = 5};
    other.chain[0] = l.chain[0];
    for (uint32_t i = 0; i < 19; i++)
        frame_config(&other);
    answer(&other, 1, 19);
    CU_ASSERT_EQUAL(r->repair.state, REPAIR_IDLE);
    CU_ASSERT_EQUAL(r->repair.failures, 1);
    bench_run(l.bench, 1100);
    answer(&l, 1, 19);
    bench_run(l.bench, 20);
    CU_ASSERT_EQUAL(r->raft.hole, 0);
    bench_free(l.bench);
}

/* Well-formed entries that are not what was lost, from a peer that always answers first. */
static void wrong_answers_come_first(void)
{
    struct leader l, other;
    begin(&l);
    frame_noops(&l, 9);
    append(&l, 1, 2);
    append(&l, 3, 6);
    append(&l, 7, 9);
    start_without(&l, 3);
    struct replica *r = replica_of(&l);
    other = l;
    other.id = 3;
    struct entry *wrong = (struct entry *)(void *)other.entry[5];
    wrong->utc_ns++;
    ring_entry_finish(wrong);
    for (uint32_t tries = 0; tries < 8 && ring_holes(r->ring) > 0; tries++) {
        for (uint32_t ms = 0; ms < 1000 && r->repair.state != REPAIR_GATHERS; ms++)
            bench_run(l.bench, 1);
        answer(&other, 3, 6);
        answer(&l, 3, 6);
        bench_run(l.bench, 20);
    }
    CU_ASSERT_EQUAL(ring_holes(r->ring), 0);
    CU_ASSERT_TRUE(r->repair.failures >= 1);
    CU_ASSERT_EQUAL(r->repair.only, 0);
    bench_free(l.bench);
}

/* H4, H5: what lies behind the lowest hole counts for nothing. So one too many may stay unknown
 * above it, and not below. */
static void more_holes_than_are_kept(void)
{
    struct leader l;
    begin(&l);
    frame_noops(&l, RING_HOLES_MAX + 2);
    for (uint64_t i = 1; i <= l.last; i++) {
        l.commit = i - 1; /* the window lets go of what is applied */
        append(&l, i, i);
    }
    struct replica *r = replica_of(&l);
    for (uint64_t i = 2; i <= RING_HOLES_MAX + 1; i++)
        repair_damaged(r, ring_page_of(r->ring, i));
    CU_ASSERT_EQUAL(ring_holes(r->ring), RING_HOLES_MAX);
    CU_ASSERT_EQUAL(r->raft.hole, 2);
    repair_damaged(r, ring_page_of(r->ring, RING_HOLES_MAX + 2));
    CU_ASSERT_EQUAL(ring_holes(r->ring), RING_HOLES_MAX);
    CU_ASSERT_EQUAL(r->stopped, 0);
    repair_damaged(r, ring_page_of(r->ring, 1));
    CU_ASSERT_EQUAL(r->stopped, 1);
    CU_ASSERT_PTR_NOT_NULL(strstr(r->why, "more pages"));
    bench_free(l.bench);
}

struct one_chunk {
    struct packet_checkpoint_chunk head;
    uint8_t bytes[PACKET_CHUNK_SIZE];
};

/* A machine that stands at `index` of the leader's log, in one chunk. */
static void send_checkpoint(const struct leader *l, uint64_t index)
{
    struct bench *b = l->bench;
    struct machine *m = aligned_alloc(4096, (machine_size(&b->genesis) + 4095) / 4096 * 4096);
    struct one_chunk chunk;
    memset(&chunk, 0, sizeof(chunk));
    CU_ASSERT_PTR_NOT_NULL_FATAL(m);
    machine_init(m, &b->genesis);
    m->applied = index;
    m->applied_term = term_of(l, index);
    chunk.head.version = PACKET_CHECKPOINT_VERSION;
    chunk.head.id = (struct packet_checkpoint_id){
        .index = index, .term = m->applied_term, .chain = l->chain[index], .digest = m->digest};
    chunk.head.id.size = machine_encode(m, chunk.bytes, sizeof(chunk.bytes));
    CU_ASSERT_NOT_EQUAL_FATAL(chunk.head.id.size, 0);
    chunk.head.bytes = (uint16_t)chunk.head.id.size;
    chunk.head.id.crc = crc32c(chunk.bytes, chunk.head.id.size);
    free(m);
    CU_ASSERT_TRUE(notice_chunk(replica_of(l), l->id, PACKET_CHECKPOINT_CHUNK, &chunk,
                                sizeof(chunk.head) + chunk.head.bytes));
    control_turn(b->node[1].start.control, b->now_ns += 1000000);
}

/* Ten entries are committed; the third is lost, and nothing is applied from there on. */
static struct replica *begin_without_3_of_10(struct leader *l)
{
    begin(l);
    frame_noops(l, 12);
    append(l, 1, 2);
    append(l, 3, 3);
    append(l, 4, 9);
    start_without(l, 3);
    struct replica *r = replica_of(l);
    l->commit = 10;
    append(l, 10, 10);
    bench_run(l->bench, 5);
    CU_ASSERT_EQUAL_FATAL(r->raft.commit, 10);
    CU_ASSERT_EQUAL_FATAL(r->machine->applied, 2);
    return r;
}

static void h7_a_checkpoint_is_waited_for(void)
{
    /* H7: nobody's log has the entry any more. A peer's checkpoint is durable here, but cannot be
     * taken over at once, since a page is open and the drive takes its time. */
    struct leader l;
    struct replica *r = begin_without_3_of_10(&l);
    l.bench->node[1].store.hold = true;
    append(&l, 11, 11);
    append(&l, 12, 12);
    send_checkpoint(&l, 8);
    turns(&l, 5000);
    CU_ASSERT_EQUAL(r->machine->applied, 2);
    l.bench->node[1].store.hold = false;
    bench_run(l.bench, 20);
    CU_ASSERT_EQUAL(bench_control(l.bench, 1).installed_index, 8);
    CU_ASSERT_EQUAL(r->machine->applied, 10);
    CU_ASSERT_EQUAL(r->raft.hole, 0);
    bench_free(l.bench);
}

/* Told by its leader, and voted for by it. */
static void take_office(const struct leader *l)
{
    struct replica *r = replica_of(l);
    struct raft_msg msg = {.kind = RAFT_TIMEOUT_NOW, .from = l->id, .to = 1, .term = l->term};
    step_peer(r, &msg, 0x1000u + l->id, NULL, 0);
    turns(l, 50);
    CU_ASSERT_EQUAL_FATAL(r->raft.role, RAFT_CANDIDATE);
    msg.kind = RAFT_VOTE_REPLY;
    msg.term = l->term + 1;
    msg.status = 1;
    step_peer(r, &msg, 0x1000u + l->id, NULL, 0);
    CU_ASSERT_EQUAL_FATAL(r->raft.role, RAFT_LEADER);
}

static void h7_a_leader_takes_the_checkpoint_when_it_has_left(void)
{
    /* H7: elected while the checkpoint that is to close its hole was on its way. A leader's log
     * stands, and without the checkpoint nothing would ever be applied across the hole. */
    struct leader l;
    struct replica *r = begin_without_3_of_10(&l);
    take_office(&l);
    CU_ASSERT_EQUAL(r->raft.settling, 1);
    send_checkpoint(&l, 8);
    turns(&l, 50);
    CU_ASSERT_EQUAL(r->raft.role, RAFT_LEADER);
    CU_ASSERT_EQUAL(r->raft.settling, 1);
    CU_ASSERT_EQUAL(r->machine->applied, 2);
    l.term += 2;
    append(&l, 11, 10); /* a heartbeat of the next leader */
    bench_run(l.bench, 20);
    CU_ASSERT_EQUAL(r->raft.role, RAFT_FOLLOWER);
    CU_ASSERT_EQUAL(bench_control(l.bench, 1).installed_index, 8);
    CU_ASSERT_EQUAL(r->machine->applied, 10);
    CU_ASSERT_EQUAL(r->raft.hole, 0);
    bench_free(l.bench);
}

static void a_checkpoint_ends_within_a_hole(void)
{
    /* The log goes on behind a checkpoint that ends at its last entry, which is lost. */
    struct leader l;
    begin(&l);
    frame_noops(&l, 9);
    append(&l, 1, 2);
    append(&l, 3, 8);
    start_without(&l, 3);
    struct replica *r = replica_of(&l);
    CU_ASSERT_EQUAL(ring_chain(r->ring, 8), 0);
    bench_run(l.bench, 5);
    send_checkpoint(&l, 8);
    bench_run(l.bench, 20);
    CU_ASSERT_EQUAL(r->machine->applied, 8);
    CU_ASSERT_EQUAL(r->raft.hole, 0);
    CU_ASSERT_EQUAL(ring_chain(r->ring, 8), l.chain[8]);
    bench_free(l.bench);
}

int main(void)
{
    static const struct unit_test tests[] = {
        {"the chain goes on behind a hole", the_chain_goes_on_behind_a_hole},
        {"H4: a hidden configuration is remembered", h4_a_hidden_configuration_is_remembered},
        {"a superseded configuration does not come back",
         a_superseded_configuration_does_not_come_back},
        {"one that nobody holds keeps no other waiting",
         one_that_nobody_holds_keeps_no_other_waiting},
        {"more bytes than a page holds are no answer", more_bytes_than_a_page_holds_are_no_answer},
        {"wrong answers come first", wrong_answers_come_first},
        {"more holes than are kept", more_holes_than_are_kept},
        {"H7: a checkpoint is waited for", h7_a_checkpoint_is_waited_for},
        {"H7: a leader takes the checkpoint when it has left",
         h7_a_leader_takes_the_checkpoint_when_it_has_left},
        {"H7: a checkpoint ends within a hole", a_checkpoint_ends_within_a_hole},
        {0}};
    return unit_main("repair", tests);
}
