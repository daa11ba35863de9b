/* Checkpoints from one replica to another: lapped replicas come back, cut or not, and what can't be
 * taken is refused by name. */
#include "dataplane/crc32c.h"
#include "dataplane/ring/recover.h"
#include "tests/unit/control/bench.h"
#include "tests/unit/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SESSIONS = 40, CUTS_MIN = 4 };

static void start_all(struct bench *b)
{
    for (uint32_t id = 1; id <= b->count; id++)
        CU_ASSERT_EQUAL_FATAL(bench_start(b, id), STARTUP_OK);
}

static uint32_t other(uint32_t id)
{
    return id % 3 + 1;
}

/* Sessions, so that the machine takes several chunks. */
static void open_sessions(struct bench *b, uint32_t id)
{
    struct replica *r = b->node[id].start.replica;
    for (uint32_t i = 0; i < SESSIONS; i++) {
        struct entry_session_open open;
        memset(&open, 0, sizeof(open));
        snprintf(open.name, sizeof(open.name), "s-%u", i);
        open.process = i + 1;
        open.ttl_ms = 60000;
        open.window = 64;
        CU_ASSERT_NOT_EQUAL_FATAL(intake_own(r, ENTRY_SESSION_OPEN, &open, sizeof(open)), 0);
    }
    bench_run(b, 20);
}

static struct bench *begin(void)
{
    struct bench *b = bench_new(3);
    b->genesis.sessions_per_principal = 64;
    b->genesis.ttl_min_ms = 60000;
    b->genesis.ttl_max_ms = 600000;
    bench_install(b);
    b->tweak.control.checkpoint_pages = BENCH_SLOTS / 8;
    b->tweak.control.checkpoint_ms = 200;
    b->tweak.control.receive_flush = 1;
    start_all(b);
    return b;
}

/* Kills one and fills the leader's ring until nothing of what that one lacks is left. */
static uint32_t lap(struct bench *b, uint32_t id)
{
    uint32_t victim = other(id);
    uint64_t last = bench_status(b, victim).last_index;
    struct entry_day body;
    memset(&body, 0, sizeof(body));
    memcpy(body.name, "NO-DAY    ", sizeof(body.name)); /* refused, and an entry all the same */
    bench_kill(b, victim);
    for (uint32_t i = 0; i < 4 * BENCH_SLOTS && bench_status(b, id).first_index <= last + 1; i++) {
        intake_own(b->node[id].start.replica, ENTRY_DAY_END, &body, sizeof(body));
        bench_run(b, 1);
    }
    CU_ASSERT_TRUE_FATAL(bench_status(b, id).first_index > last + 1);
    return victim;
}

static bool caught_up(struct bench *b, uint32_t victim, uint32_t leader)
{
    const struct machine *m = control_machine(b->node[victim].start.control);
    return bench_status(b, victim).applied == bench_status(b, leader).commit &&
           m->applied == bench_status(b, leader).commit &&
           m->digest == b->node[leader].start.replica->machine->digest &&
           b->node[victim].start.replica->machine->digest == m->digest;
}

static void a_lapped_replica_comes_back(void)
{
    struct bench *b = begin();
    uint32_t id = bench_settle(b);
    CU_ASSERT_NOT_EQUAL_FATAL(id, 0);
    open_sessions(b, id);
    uint32_t victim = lap(b, id);
    CU_ASSERT_EQUAL_FATAL(bench_start(b, victim), STARTUP_OK);
    bench_run(b, 2000);
    struct control_status c = bench_control(b, victim);
    CU_ASSERT_EQUAL_FATAL(c.installed, 1);
    CU_ASSERT_EQUAL(c.installed_from, id);
    CU_ASSERT_EQUAL(c.transfers_begun, 1);
    CU_ASSERT_TRUE(c.checkpoint_index[1] >= c.installed_index);
    CU_ASSERT_EQUAL(bench_status(b, victim).first_index, c.installed_index + 1);
    CU_ASSERT_TRUE(caught_up(b, victim, id));
    CU_ASSERT_EQUAL(bench_status(b, id).lapped, 0);
    CU_ASSERT_EQUAL(memcmp(c.installed_day, "DAY1      ", KEEL_DAY_NAME_SIZE), 0);
    CU_ASSERT_EQUAL(c.installed_feed, b->node[id].start.replica->machine->feed_next);
    /* it holds across a restart, and the replica leads when the others fall away */
    bench_kill(b, victim);
    CU_ASSERT_EQUAL_FATAL(bench_start(b, victim), STARTUP_OK);
    bench_run(b, 2000);
    CU_ASSERT_TRUE(caught_up(b, victim, id));
    CU_ASSERT_EQUAL(bench_control(b, victim).installed, 0);
    for (uint32_t tries = 0; tries < 20 && id != victim; tries++) {
        bench_kill(b, id);
        uint32_t next = bench_settle(b);
        CU_ASSERT_NOT_EQUAL_FATAL(next, 0);
        CU_ASSERT_EQUAL_FATAL(bench_start(b, id), STARTUP_OK);
        bench_run(b, 1000);
        id = next;
    }
    CU_ASSERT_EQUAL(id, victim);
    CU_ASSERT_EQUAL(bench_day_end(b, id, "DAY1      ").result, CONTROL_APPLIED);
    CU_ASSERT_EQUAL(b->digests_differ, 0);
    bench_free(b);
}

/* How many of the areas hold an intact checkpoint; *newest is the one with the higher sequence. */
static uint32_t intact_areas(struct bench *b, uint32_t id, unsigned *newest)
{
    struct bench_node *node = &b->node[id];
    const struct ring_super *super = &node->start.super;
    uint64_t highest = 0;
    uint32_t count = 0;
    for (unsigned area = 0; area < 2; area++) {
        const struct ring_checkpoint *head =
            (const void *)(node->store.bytes + ring_checkpoint_offset(super, area));
        if (ring_checkpoint_intact(node->control_disk, super, area) != 0)
            continue;
        count++;
        if (head->sequence > highest)
            *newest = area;
        if (head->sequence > highest)
            highest = head->sequence;
    }
    return count;
}

/* A peer's checkpoint takes the place of the older one. Where the newest has been damaged
 * meanwhile, unnoticed, it takes that one's: the older may be all that is left. */
static void the_newest_is_damaged_when_one_comes(void)
{
    struct bench *b = begin();
    b->tweak.control.checkpoint_send_kib_s = 64; /* a chunk in 16 ms */
    b->tweak.control.scrub_pages_s = 1;          /* it comes too late */
    for (uint32_t i = 1; i <= 3; i++) {
        bench_kill(b, i);
        CU_ASSERT_EQUAL_FATAL(bench_start(b, i), STARTUP_OK);
    }
    uint32_t id = bench_settle(b);
    CU_ASSERT_NOT_EQUAL_FATAL(id, 0);
    open_sessions(b, id);
    bench_run(b, 500);
    CU_ASSERT_EQUAL(bench_day_end(b, id, "DAY1      ").result, CONTROL_APPLIED);
    bench_run(b, 500);
    uint32_t victim = lap(b, id);
    unsigned newest = 0;
    CU_ASSERT_EQUAL_FATAL(bench_start(b, victim), STARTUP_OK);
    CU_ASSERT_EQUAL_FATAL(intact_areas(b, victim, &newest), 2);
    uint64_t at = ring_checkpoint_offset(&b->node[victim].start.super, newest);
    b->node[victim].store.bytes[at + RING_PAGE_SIZE] ^= 0x10;
    while (bench_control(b, victim).transfers_begun == 0) /* bound: it lags */
        bench_run(b, 1);
    bench_run(b, 2);
    CU_ASSERT_TRUE(bench_control(b, victim).installed == 0 &&
                   bench_control(b, victim).transfer_have > 0);
    CU_ASSERT_EQUAL(intact_areas(b, victim, &newest), 1);
    bench_run(b, 2000);
    CU_ASSERT_EQUAL(intact_areas(b, victim, &newest), 2);
    CU_ASSERT_TRUE(bench_control(b, victim).installed == 1 && caught_up(b, victim, id));
    bench_free(b);
}

/* So does one of its own. */
static void the_newest_is_damaged_when_an_own_one_is_due(void)
{
    struct bench *b = begin();
    uint32_t id = bench_settle(b);
    CU_ASSERT_NOT_EQUAL_FATAL(id, 0);
    bench_kill(b, id);
    b->tweak.control.scrub_pages_s = 1; /* it comes too late */
    CU_ASSERT_EQUAL_FATAL(bench_start(b, id), STARTUP_OK);
    unsigned newest = 0;
    for (uint32_t days = 0; days < 4 && intact_areas(b, id, &newest) < 2; days++) {
        uint32_t leader = bench_settle(b);
        CU_ASSERT_NOT_EQUAL_FATAL(leader, 0);
        open_sessions(b, leader);
        bench_run(b, 500);
    }
    CU_ASSERT_EQUAL_FATAL(intact_areas(b, id, &newest), 2);
    uint64_t taken = bench_control(b, id).checkpoints;
    uint64_t at = ring_checkpoint_offset(&b->node[id].start.super, newest);
    b->node[id].store.bytes[at + RING_PAGE_SIZE] ^= 0x10;
    CU_ASSERT_EQUAL(intact_areas(b, id, &newest), 1);
    uint32_t leader = bench_settle(b);
    bench_day_end(b, leader, "DAY1      ");
    for (uint32_t ms = 0; ms < 2000 && bench_control(b, id).checkpoints == taken; ms++)
        bench_run(b, 1);
    CU_ASSERT_EQUAL(bench_control(b, id).checkpoints, taken + 1);
    CU_ASSERT_EQUAL(intact_areas(b, id, &newest), 2);
    bench_free(b);
}

/* Appends go on all the while, and the ring laps itself again. */
static void appends_go_on_meanwhile(void)
{
    struct bench *b = begin();
    uint32_t id = bench_settle(b);
    CU_ASSERT_NOT_EQUAL_FATAL(id, 0);
    open_sessions(b, id);
    uint32_t victim = lap(b, id);
    struct entry_day body;
    memset(&body, 0, sizeof(body));
    memcpy(body.name, "NO-DAY    ", sizeof(body.name));
    CU_ASSERT_EQUAL_FATAL(bench_start(b, victim), STARTUP_OK);
    uint64_t before = bench_status(b, id).commit;
    for (uint32_t i = 0; i < 600; i++) {
        CU_ASSERT_NOT_EQUAL(
            intake_own(b->node[id].start.replica, ENTRY_DAY_END, &body, sizeof(body)), 0);
        bench_run(b, 1);
    }
    bench_run(b, 500);
    CU_ASSERT_TRUE(bench_status(b, id).commit >= before + 600); /* none was turned away */
    CU_ASSERT_TRUE(bench_control(b, victim).installed >= 1);
    CU_ASSERT_TRUE(caught_up(b, victim, id));
    CU_ASSERT_EQUAL(b->digests_differ, 0);
    bench_free(b);
}

/* Power goes at the receiver after every chunk: each start goes on where it was cut off. */
static void cut_at_every_chunk(void)
{
    struct bench *b = begin();
    b->tweak.control.checkpoint_send_kib_s = 64; /* a chunk in 16 ms */
    b->tweak.control.checkpoint_ms = 600000;     /* one and the same checkpoint */
    uint32_t id = bench_settle(b);
    CU_ASSERT_NOT_EQUAL_FATAL(id, 0);
    open_sessions(b, id);
    for (uint32_t i = 1; i <= 3; i++) { /* with these options */
        bench_kill(b, i);
        CU_ASSERT_EQUAL_FATAL(bench_start(b, i), STARTUP_OK);
    }
    id = bench_settle(b);
    CU_ASSERT_NOT_EQUAL_FATAL(id, 0);
    uint32_t victim = lap(b, id);
    uint64_t have = 0, index = 0;
    uint32_t cuts = 0;
    CU_ASSERT_EQUAL_FATAL(bench_start(b, victim), STARTUP_OK);
    for (uint32_t ms = 0; ms < 20000 && bench_control(b, victim).installed == 0; ms++) {
        bench_run(b, 1);
        struct control_status c = bench_control(b, victim);
        if (c.transfer_have <= have)
            continue;
        CU_ASSERT_TRUE(index == 0 || c.transfer_index == index);
        index = c.transfer_index;
        have = c.transfer_have;
        cuts++;
        bench_kill(b, victim);
        CU_ASSERT_EQUAL_FATAL(bench_start(b, victim), STARTUP_OK);
        bench_run(b, 2);
        if (c.transfer_have == c.transfer_size)
            break; /* all of it was stored, and offered: the start carries the rest out */
        CU_ASSERT_EQUAL(bench_control(b, victim).transfers_resumed, 1);
        CU_ASSERT_EQUAL(bench_control(b, victim).transfer_index, index);
        CU_ASSERT_TRUE(bench_control(b, victim).transfer_have >= have);
    }
    CU_ASSERT_TRUE(cuts >= CUTS_MIN);
    CU_ASSERT_EQUAL(bench_control(b, victim).installed_index, index);
    CU_ASSERT_EQUAL(bench_status(b, victim).first_index, index + 1);
    CU_ASSERT_EQUAL(bench_control(b, victim).transfers_begun, 0); /* since its last start */
    bench_run(b, 2000);
    CU_ASSERT_TRUE(caught_up(b, victim, id));
    bench_free(b);
}

/* The wire is cut after every chunk for longer than the sender waits. */
static void cut_wire_at_every_chunk(void)
{
    struct bench *b = begin();
    b->tweak.control.checkpoint_send_kib_s = 64;
    uint32_t id = bench_settle(b);
    CU_ASSERT_NOT_EQUAL_FATAL(id, 0);
    open_sessions(b, id);
    for (uint32_t i = 1; i <= 3; i++) {
        bench_kill(b, i);
        CU_ASSERT_EQUAL_FATAL(bench_start(b, i), STARTUP_OK);
    }
    id = bench_settle(b);
    CU_ASSERT_NOT_EQUAL_FATAL(id, 0);
    uint32_t victim = lap(b, id);
    CU_ASSERT_EQUAL_FATAL(bench_start(b, victim), STARTUP_OK);
    uint64_t have = 0;
    uint32_t cuts = 0;
    for (uint32_t ms = 0; ms < 20000 && bench_control(b, victim).installed == 0; ms++) {
        bench_run(b, 1);
        if (bench_control(b, victim).transfer_have <= have)
            continue;
        have = bench_control(b, victim).transfer_have;
        cuts++;
        b->node[victim].cut = true;
        bench_run(b, 2 * CONTROL_SEND_RETRY_MS);
        b->node[victim].cut = false;
    }
    CU_ASSERT_TRUE(cuts >= CUTS_MIN && bench_control(b, id).chunks_repeated > 0);
    CU_ASSERT_EQUAL(bench_control(b, victim).transfers_begun, 1);
    bench_run(b, 2000);
    CU_ASSERT_TRUE(caught_up(b, victim, id));
    bench_free(b);
}

/* --- what is refused, by name ------------------------------------------------------------------
 */

static struct packet_checkpoint_reply answered(struct bench *b, uint32_t id, const void *chunk,
                                               size_t size)
{
    struct replica *r = b->node[id].start.replica;
    struct packet_checkpoint_reply reply;
    memset(&reply, 0xff, sizeof(reply));
    CU_ASSERT_TRUE(notice_chunk(r, 2, PACKET_CHECKPOINT_CHUNK, chunk, size));
    control_turn(b->node[id].start.control, b->now_ns += 1000000);
    const struct link_chunk *out = spsc_peek(&r->chunks_out);
    if (out == NULL)
        return reply;
    CU_ASSERT_EQUAL(out->kind, PACKET_CHECKPOINT_REPLY);
    CU_ASSERT_EQUAL(out->principal, 2);
    CU_ASSERT_TRUE(packet_chunk_reply_decode(out->bytes, out->size, &reply));
    spsc_drop(&r->chunks_out);
    return reply;
}

struct one_chunk {
    struct packet_checkpoint_chunk head;
    uint8_t bytes[PACKET_CHUNK_SIZE];
};

static void seal(struct one_chunk *chunk)
{
    chunk->head.bytes = (uint16_t)chunk->head.id.size;
    chunk->head.id.crc = crc32c(chunk->bytes, chunk->head.id.size);
}

/* A machine that stands at `index`, in one chunk. */
static struct one_chunk chunk_of(const struct bench *b, uint64_t index)
{
    struct machine *m = aligned_alloc(4096, (machine_size(&b->genesis) + 4095) / 4096 * 4096);
    struct one_chunk chunk;
    memset(&chunk, 0, sizeof(chunk));
    CU_ASSERT_PTR_NOT_NULL_FATAL(m);
    machine_init(m, &b->genesis);
    m->applied = index;
    m->applied_term = 1;
    chunk.head.version = PACKET_CHECKPOINT_VERSION;
    chunk.head.id =
        (struct packet_checkpoint_id){.index = index, .term = 1, .chain = 77, .digest = m->digest};
    chunk.head.id.size = machine_encode(m, chunk.bytes, sizeof(chunk.bytes));
    CU_ASSERT_NOT_EQUAL_FATAL(chunk.head.id.size, 0);
    seal(&chunk);
    free(m);
    return chunk;
}

#define SIZE_OF(chunk) (sizeof((chunk).head) + (chunk).head.bytes)

static void refused(struct bench *b, const struct one_chunk *chunk,
                    enum packet_checkpoint_reason reason)
{
    struct packet_checkpoint_reply reply = answered(b, 1, chunk, SIZE_OF(*chunk));
    CU_ASSERT_EQUAL(reply.status, PACKET_CHECKPOINT_REFUSED);
    CU_ASSERT_EQUAL(reply.reason, reason);
    CU_ASSERT_EQUAL(bench_control(b, 1).transfer_index, 0);
    CU_ASSERT_EQUAL(bench_control(b, 1).installed, 0);
}

static void refusals_have_names(void)
{
    struct bench *b = bench_new(3);
    CU_ASSERT_EQUAL_FATAL(bench_start(b, 1), STARTUP_OK); /* alone: nothing is committed */
    bench_run(b, 20);
    const struct one_chunk good = chunk_of(b, 50);
    struct one_chunk bad = good;
    bad.head.version = 2;
    struct packet_checkpoint_reply reply = answered(b, 1, &bad, SIZE_OF(bad));
    CU_ASSERT_EQUAL(reply.reason, PACKET_CHECKPOINT_BAD_VERSION);
    CU_ASSERT_EQUAL(reply.version, PACKET_CHECKPOINT_VERSION); /* what it does understand */
    bad = good;
    bad.head.id.crc ^= 1;
    refused(b, &bad, PACKET_CHECKPOINT_DAMAGED);
    CU_ASSERT_PTR_NOT_NULL(strstr(bench_control(b, 1).problem, "damaged"));
    bad = good;
    bad.bytes[8] ^= 4; /* the encoding's version */
    seal(&bad);
    refused(b, &bad, PACKET_CHECKPOINT_CONTENT);
    CU_ASSERT_PTR_NOT_NULL(strstr(bench_control(b, 1).problem, "version"));
    bad = good;
    bad.head.id.digest ^= 1;
    refused(b, &bad, PACKET_CHECKPOINT_CONTENT);
    bad = good;
    bad.head.id.size = ring_area_room(&b->node[1].start.super) + 1;
    bad.head.bytes = PACKET_CHUNK_SIZE;
    refused(b, &bad, PACKET_CHECKPOINT_TOO_LARGE);
    b->node[1].store.lose_blocking = true; /* confirmed, and not kept */
    refused(b, &good, PACKET_CHECKPOINT_DRIVE);
    b->node[1].store.lose_blocking = false;
    CU_ASSERT_EQUAL(answered(b, 1, &good, 40).status, 0xff); /* malformed: counted */
    CU_ASSERT_EQUAL(bench_control(b, 1).chunks_malformed, 1);
    CU_ASSERT_STRING_EQUAL(packet_checkpoint_reason_name(PACKET_CHECKPOINT_BAD_VERSION),
                           "packet-version");
    bench_free(b);
}

/* Pitfall 8: a second one while one is on its way, from another sender, from the same, a late one.
 */
static void a_second_one_meanwhile(void)
{
    struct bench *b = bench_new(3);
    CU_ASSERT_EQUAL_FATAL(bench_start(b, 1), STARTUP_OK);
    bench_run(b, 20);
    struct replica *r = b->node[1].start.replica;
    struct one_chunk first = chunk_of(b, 50);
    first.head.id.size = 5000; /* more follows */
    first.head.bytes = PACKET_CHUNK_SIZE;
    struct packet_checkpoint_reply reply = answered(b, 1, &first, SIZE_OF(first));
    CU_ASSERT_EQUAL(reply.status, PACKET_CHECKPOINT_WANT);
    CU_ASSERT_EQUAL(reply.wanted, PACKET_CHUNK_SIZE);
    reply = answered(b, 1, &first, SIZE_OF(first)); /* doubled */
    CU_ASSERT_EQUAL(reply.wanted, PACKET_CHUNK_SIZE);
    /* another sender's waits while this one's is alive */
    struct one_chunk second = chunk_of(b, 60);
    CU_ASSERT_TRUE(notice_chunk(r, 3, PACKET_CHECKPOINT_CHUNK, &second, SIZE_OF(second)));
    control_turn(b->node[1].start.control, b->now_ns += 1000000);
    CU_ASSERT_PTR_NULL(spsc_peek(&r->chunks_out));
    CU_ASSERT_EQUAL(bench_control(b, 1).transfer_index, 50);
    /* an older one of the same sender is late, a newer one takes its place */
    struct one_chunk late = chunk_of(b, 40);
    CU_ASSERT_EQUAL(answered(b, 1, &late, SIZE_OF(late)).status, 0xff);
    reply = answered(b, 1, &second, SIZE_OF(second));
    CU_ASSERT_EQUAL(reply.status, PACKET_CHECKPOINT_BUSY);
    bench_run(b, 5);
    CU_ASSERT_EQUAL(bench_control(b, 1).installed_index, 60);
    CU_ASSERT_EQUAL(bench_status(b, 1).applied, 60);
    /* and then neither says anything new */
    CU_ASSERT_EQUAL(answered(b, 1, &first, SIZE_OF(first)).status, PACKET_CHECKPOINT_DONE);
    CU_ASSERT_EQUAL(answered(b, 1, &second, SIZE_OF(second)).status, PACKET_CHECKPOINT_DONE);
    CU_ASSERT_EQUAL(bench_control(b, 1).installed, 1);
    bench_free(b);
}

int main(void)
{
    static const struct unit_test tests[] = {
        {"a lapped replica comes back", a_lapped_replica_comes_back},
        {"the newest is damaged when one comes", the_newest_is_damaged_when_one_comes},
        {"the newest is damaged when an own one is due",
         the_newest_is_damaged_when_an_own_one_is_due},
        {"appends go on meanwhile", appends_go_on_meanwhile},
        {"cut at every chunk", cut_at_every_chunk},
        {"the wire is cut at every chunk", cut_wire_at_every_chunk},
        {"refusals have names", refusals_have_names},
        {"a second one meanwhile", a_second_one_meanwhile},
        {0}};
    return unit_main("checkpoints to others", tests);
}
