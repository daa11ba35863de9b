/* The ring, one property at a time: when pages close, what fills it, rereads, failures. */
#include "dataplane/ring/ring_internal.h"
#include "tests/unit/ring/world.h"
#include "tests/unit/unit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef unsigned long long ull;

/* --- closing pages -------------------------------------------------------------------------------
 */

static void started(struct world *world, uint32_t flight_pages)
{
    world_init(world, 256, 64, flight_pages, 1);
    world_start(world);
    world_settle(world);
}

static void idle_sends_at_once(void)
{
    struct world world;
    started(&world, 4);
    world.store.hold = true;
    CU_ASSERT(world_append(&world, 1, 64));
    CU_ASSERT(world_seq_turn(&world) == 1);
    ring_disk_turn(world.ring);
    CU_ASSERT(world.store.pending_count == 1);
    /* while that is in flight the next gather */
    for (uint32_t i = 0; i < 5; i++) {
        CU_ASSERT(world_append(&world, 1, 64));
        CU_ASSERT(world_seq_turn(&world) == 0);
    }
    /* full pages go all the same */
    uint64_t tail = world.tail;
    for (uint32_t i = 0; i < 40; i++)
        CU_ASSERT(world_append(&world, 1, 100));
    CU_ASSERT(world.tail > tail);
    ring_disk_turn(world.ring);
    CU_ASSERT(world.store.pending_count > 1);
    memory_complete_all(&world.store);
    ring_disk_turn(world.ring);
    CU_ASSERT(world_seq_turn(&world) == 1);
    world_free(&world);
}

static void seal_does_not_delay(void)
{
    struct world world;
    started(&world, 4);
    world.store.hold = true;
    CU_ASSERT(world_append(&world, 1, 64));
    world_turn(&world);
    memory_complete_all(&world.store);
    ring_disk_turn(world.ring);
    CU_ASSERT(world_seq_turn(&world) == 1); /* the seal */
    ring_disk_turn(world.ring);
    CU_ASSERT(world.store.pending_count == 1);
    CU_ASSERT(world_append(&world, 1, 64));
    CU_ASSERT(world_seq_turn(&world) == 1); /* the next entry doesn't wait for it */
    ring_disk_turn(world.ring);
    CU_ASSERT(world.store.pending_count == 2);
    world_free(&world);
}

static void quiet_ring_stays_quiet(void)
{
    struct world world;
    started(&world, 4);
    CU_ASSERT(world_append(&world, 1, 64));
    world_settle(&world);
    uint64_t tail = world.tail;
    struct ring_stats before, after;
    ring_stats(world.ring, &before);
    for (uint32_t i = 0; i < 1000; i++)
        world_turn(&world);
    ring_stats(world.ring, &after);
    CU_ASSERT(world.tail == tail && after.seals == before.seals);
    CU_ASSERT(before.seals == 2); /* one after the boot's page, one after the entry's */
    world_free(&world);
}

static uint64_t seals(const struct world *world)
{
    struct ring_stats stats;
    ring_stats(world->ring, &stats);
    return stats.seals;
}

/* Entries that come one by one, each before the ring was quiet long enough, cost a page each and no
 * seal; the last of them gets its witness all the same. */
static void seal_waits_for_quiet(void)
{
    struct world world;
    started(&world, 4);
    world_settle(&world);
    uint64_t tail = world.tail, before = seals(&world);
    world.turn_ns = RING_SEAL_AFTER_NS / 10;
    for (uint32_t i = 0; i < 20; i++) {
        CU_ASSERT(world_append(&world, 1, 64));
        for (uint32_t turn = 0; turn < 8; turn++)
            world_turn(&world);
    }
    CU_ASSERT(world.tail == tail + 20 && seals(&world) == before);
    for (uint32_t turn = 0; turn < 12; turn++)
        world_turn(&world);
    CU_ASSERT(world.tail == tail + 21 && seals(&world) == before + 1);
    CU_ASSERT(world_page_head(&world, tail + 20)->durable_page == tail + 20);
    world_free(&world);
}

/* The least of the newest pages; a page that is out for longer counts with its age at once. */
static void drive_is_timed(void)
{
    struct world world;
    started(&world, 4);
    world_settle(&world);
    world.turn_ns = 2000000; /* beyond the pause between two watched pages */
    for (uint32_t i = 0; i < 10; i++) {
        CU_ASSERT(world_append(&world, 1, 64));
        world_turn(&world);
        world_turn(&world);
        world_turn(&world);
    }
    uint64_t usual = ring_drive_ns(world.ring, world.now_ns);
    CU_ASSERT(usual > 0 && usual <= 2 * world.turn_ns);
    world.store.hold = true;
    CU_ASSERT(world_append(&world, 1, 64));
    for (uint32_t turn = 0; turn < 100; turn++)
        world_turn(&world);
    uint64_t stalled = ring_drive_ns(world.ring, world.now_ns);
    CU_ASSERT(stalled >= 97 * world.turn_ns && stalled <= 101 * world.turn_ns);
    world.store.hold = false;
    world_turn(&world);
    world_turn(&world);
    CU_ASSERT_EQUAL(ring_drive_ns(world.ring, world.now_ns), usual); /* once is no slow drive */
    world_free(&world);
}

/* Twelve votes that came to nothing lie between two entries: a page's predecessors no longer tell
 * the term before it, and a peer that needs just that page would never be served. The map does,
 * also after a start. */
static void terms_behind_votes(void)
{
    struct world world;
    started(&world, 4);
    CU_ASSERT(world_append(&world, 1, 64));
    world_settle(&world);
    uint64_t index = world.last;
    for (uint32_t i = 0; i < 12; i++) {
        world_hard(&world, world.term + 1, 1);
        world_settle(&world);
    }
    uint64_t term = world.term + 1;
    CU_ASSERT(world_append(&world, term, 64));
    world_settle(&world);
    for (uint32_t start = 0; start < 2; start++) {
        CU_ASSERT(ring_term(world.ring, index) == 1 && ring_term(world.ring, index + 1) == term);
        CU_ASSERT(ring_term(world.ring, index + 2) == 0 && ring_term(world.ring, 0) == 0);
        uint64_t page, first, last;
        CU_ASSERT(ring_span(world.ring, index + 1, &page, &first, &last));
        for (uint32_t i = 0; i < RING_PREDECESSORS; i++)
            CU_ASSERT(world_page_head(&world, page)->before[i].count == 0);
        world_crash(&world);
        world_start(&world);
    }
    world_free(&world);
}

static void boot_goes_alone(void)
{
    struct world world;
    world_init(&world, 256, 64, 16, 1);
    world_start(&world);
    world.store.hold = true;
    CU_ASSERT(!ring_boot_durable(world.ring));
    for (uint32_t i = 0; i < 200; i++)
        CU_ASSERT(world_append(&world, 1, 100));
    ring_disk_turn(world.ring);
    CU_ASSERT(world.store.pending_count == 1);
    memory_complete_all(&world.store);
    ring_disk_turn(world.ring);
    CU_ASSERT(ring_boot_durable(world.ring));
    CU_ASSERT(world.store.pending_count > 1);
    world_free(&world);
}

/* H11: page n + 1, a vote, completes before page n; the vote leaves; a power cut tears n; recovery
 * discards n + 1 and votes again. So n + 1 must not count before n. */
static void h11_durable_is_a_prefix(void)
{
    struct world world;
    started(&world, 4);
    world.store.hold = true;
    bool failed;
    CU_ASSERT(world_append(&world, 1, 1000) && world_append(&world, 1, 1000) &&
              world_append(&world, 1, 1000)); /* fills a page, nearly */
    uint64_t entries_lsn = world.lsn;
    CU_ASSERT(world_append(&world, 1, 1000));
    world_hard(&world, 9, 3);
    CU_ASSERT(world_append(&world, 9, 1000) && world_append(&world, 9, 1000)); /* closes the next */
    ring_disk_turn(world.ring);
    CU_ASSERT_FATAL(world.store.pending_count >= 2);
    uint64_t durable = ring_durable_lsn(world.ring, &failed);
    memory_complete(&world.store, 1);
    ring_disk_turn(world.ring);
    CU_ASSERT(ring_durable_lsn(world.ring, &failed) == durable && !failed);
    memory_complete(&world.store, 0);
    ring_disk_turn(world.ring);
    CU_ASSERT(ring_durable_lsn(world.ring, &failed) > entries_lsn);
    world_free(&world);
}

static void window_waits_for_done(void)
{
    struct world world;
    started(&world, 4);
    uint32_t appended = 0;
    while (world_append(&world, 1, 1000)) {
        world_turn(&world);
        appended++;
        CU_ASSERT_FATAL(appended < 1000);
    }
    CU_ASSERT(world.room_refused[RING_NO_WINDOW] == 1);
    CU_ASSERT(ring_window_first(world.ring) == 1);
    world_hard(&world, 2, 1); /* a vote still finds its place */
    world_settle(&world);
    bool failed;
    CU_ASSERT(ring_durable_lsn(world.ring, &failed) == world.lsn);
    world_done(&world, world.last - 10);
    for (uint32_t i = 0; i < 80; i++)
        CU_ASSERT(world_append(&world, 2, 1000));
    CU_ASSERT(ring_window_first(world.ring) > 1 && ring_first_index(world.ring) == 1);
    world_settle(&world);
    world_check_entries(&world);
    world_free(&world);
}

/* H8: entries that nobody commits fill a window, and say that room for elections runs short. Votes
 * and seals add nothing to that; no-ops of leaders who commit nothing do, longer than other
 * entries; and the last places are left to starts: whoever is full can be started, and freed. */
static void full_window_can_be_started(void)
{
    struct world world;
    started(&world, 4);
    CU_ASSERT(!ring_scarce(world.ring));
    while (world_append(&world, 1, 1000))
        world_turn(&world);
    world_settle(&world);
    CU_ASSERT(ring_scarce(world.ring) && ring_room_to_lead(world.ring));
    bool failed = false;
    for (uint32_t votes = 0; votes < 60; votes++) {
        world_hard(&world, world.term + 1, 1);
        world_settle(&world);
        CU_ASSERT(ring_durable_lsn(world.ring, &failed) == world.lsn);
    }
    CU_ASSERT(ring_room_to_lead(world.ring));
    uint32_t noops = 0;
    while (world_append_noop(&world, world.term + 1)) {
        CU_ASSERT_FATAL(noops < 100);
        CU_ASSERT(ring_room(world.ring, 1, 64) == RING_NO_WINDOW);
        world_settle(&world);
        noops++;
    }
    CU_ASSERT(noops >= 5 && !ring_room_to_lead(world.ring));
    world_hard(&world, world.term + 1, 1);
    world_settle(&world);
    CU_ASSERT(ring_durable_lsn(world.ring, &failed) == world.lsn); /* but it can vote */
    for (uint32_t starts = 0; starts < 8; starts++) {
        world_crash(&world);
        world_start(&world);
        world_settle(&world);
        CU_ASSERT(ring_boot_durable(world.ring));
    }
    world_check_entries(&world);
    world_done(&world, world.last);
    CU_ASSERT(world_append(&world, world.term, 1000));
    CU_ASSERT(!ring_scarce(world.ring) && ring_room_to_lead(world.ring));
    world_settle(&world);
    world_check_entries(&world);
    world_free(&world);
}

/* What a reader may hold on to keeps the head in place: it is no older than half a window, however
 * few entries there are. */
static void recent_goes_by_pages(void)
{
    struct world world;
    started(&world, 4);
    CU_ASSERT(world_append(&world, 1, 1000));
    world_settle(&world);
    world_done(&world, world.last);
    CU_ASSERT(ring_recent_first(world.ring) == 1);
    for (uint32_t votes = 0; votes < 40; votes++) {
        world_hard(&world, world.term + 1, 1);
        world_settle(&world);
    }
    CU_ASSERT(ring_window_first(world.ring) == 1);
    CU_ASSERT(ring_recent_first(world.ring) == world.last + 1);
    world_free(&world);
}

/* H8's measure: without a checkpoint the head stands, and the ring says what is in the way. Votes
 * and seals still go, from the spare slots. */
static void full_ring_says_no_slot(void)
{
    struct world world;
    started(&world, 16);
    for (uint32_t i = 0; i < 2000; i++) {
        if (!world_append(&world, 1, 1000))
            break;
        world_settle(&world);
        world_done(&world, world.last);
    }
    CU_ASSERT(world.room_refused[RING_NO_SLOT] == 1);
    uint64_t tail = world.tail;
    for (uint32_t i = 0; i < 3; i++) {
        world_hard(&world, world.term + 1, 1);
        world_settle(&world);
    }
    bool failed;
    CU_ASSERT(ring_durable_lsn(world.ring, &failed) == world.lsn && world.tail > tail);
    /* one checkpoint is not enough: the head stays behind the older of two (H14) */
    CU_ASSERT(world_checkpoint(&world, world.last) == 0);
    world_settle(&world);
    CU_ASSERT(!world_append(&world, world.term, 1000));
    CU_ASSERT(world_checkpoint(&world, world.last) == 0);
    world_settle(&world);
    CU_ASSERT(world_append(&world, world.term, 1000));
    struct ring_stats stats;
    ring_stats(world.ring, &stats);
    CU_ASSERT(stats.head_page > 0 && stats.zeroed_to == stats.head_page + 256);
    world_settle(&world);
    world_check_entries(&world);
    world_crash(&world);
    world_start(&world);
    world_check_entries(&world);
    world_free(&world);
}

/* H8: entries and votes fill a ring whose head cannot move, and it is started, some of the times
 * with a longer flight than its last slots have room for. The start's page must not be the last
 * that finds a slot: the next one moves the head. */
static void full_ring_can_be_started(void)
{
    for (uint32_t starts = 1; starts <= 10; starts++) {
        struct world world;
        started(&world, 4);
        while (world_append(&world, 1, 1000)) { /* bound: slots */
            world_settle(&world);
            world_done(&world, world.last);
        }
        bool failed;
        do { /* bound: slots */
            world_hard(&world, world.term + 1, 1);
            world_settle(&world);
        } while (ring_durable_lsn(world.ring, &failed) == world.lsn);
        world.flight_pages = starts % 2 == 0 ? 4 : 64;
        for (uint32_t start = 0; start < starts; start++) {
            world_crash(&world);
            world_start(&world);
            world_settle(&world);
            CU_ASSERT(ring_boot_durable(world.ring));
        }
        world_done(&world, world.last);
        CU_ASSERT(world_checkpoint(&world, world.last) == 0);
        CU_ASSERT(world_checkpoint(&world, world.last) == 0);
        world_settle(&world);
        CU_ASSERT(world_append(&world, world.term, 1000));
        world_settle(&world);
        world_check_entries(&world);
        world_free(&world);
    }
}

/* --- rereads -------------------------------------------------------------------------------------
 */

static void rereads(void)
{
    struct world world;
    started(&world, 4);
    for (uint32_t i = 0; i < 100; i++) {
        CU_ASSERT(world_append(&world, 1, 1000));
        world_settle(&world);
        world_done(&world, world.last);
    }
    /* a page that is not durable is not asked for */
    CU_ASSERT(world_append(&world, 1, 10));
    CU_ASSERT(!ring_read_request(world.ring, RING_READER_SEQ, world.last, 1));
    CU_ASSERT(!ring_read_request(world.ring, RING_READER_SEQ, world.last + 1, 1));
    /* the two readers don't take each other's buffers; the link says when it is full */
    uint32_t taken = 0;
    while (ring_read_request(world.ring, RING_READER_SEQ, 1 + taken % 50, taken))
        taken++;
    CU_ASSERT(taken == RING_READS_MAX);
    CU_ASSERT(ring_read_page(world.ring, RING_READER_FEED, 3, 77));
    for (uint32_t i = 0; i < 10; i++)
        ring_aux_turn(world.ring);
    struct ring_read read;
    CU_ASSERT_FATAL(ring_read_poll(world.ring, RING_READER_FEED, &read));
    CU_ASSERT(read.tag == 77 && read.result == 0 && read.page->page == 3);
    CU_ASSERT(read.last == read.first + read.page->self.count - 1);
    ring_read_release(world.ring, RING_READER_FEED, &read);
    uint64_t tags = 0;
    for (uint32_t i = 0; i < taken; i++) {
        CU_ASSERT_FATAL(ring_read_poll(world.ring, RING_READER_SEQ, &read));
        CU_ASSERT(read.result == 0 && read.index == 1 + read.tag % 50);
        tags |= 1ull << read.tag;
        ring_read_release(world.ring, RING_READER_SEQ, &read);
    }
    CU_ASSERT(tags == UINT64_MAX && !ring_read_poll(world.ring, RING_READER_SEQ, &read));
    /* damage on the drive is an error, a truncation meanwhile makes the answer stale */
    world_settle(&world);
    uint64_t page = ring_page_of(world.ring, 5);
    world.store.bytes[ring_slot_offset(&world.super, page) + 700] ^= 4;
    CU_ASSERT(ring_read_request(world.ring, RING_READER_SEQ, 5, 1));
    CU_ASSERT(ring_read_request(world.ring, RING_READER_SEQ, world.last, 2));
    CU_ASSERT(world_truncate(&world, world.last, 2));
    for (uint32_t i = 0; i < 4; i++)
        ring_aux_turn(world.ring);
    for (uint32_t i = 0; i < 2; i++) {
        CU_ASSERT_FATAL(ring_read_poll(world.ring, RING_READER_SEQ, &read));
        CU_ASSERT(read.result == (read.tag == 1 ? -EIO : -ESTALE) && read.page == NULL);
        ring_read_release(world.ring, RING_READER_SEQ, &read);
    }
    struct ring_stats stats;
    ring_stats(world.ring, &stats);
    CU_ASSERT(stats.read_errors == 1);
    bool failed;
    ring_durable_lsn(world.ring, &failed);
    CU_ASSERT(!failed); /* a bad reread is the reader's affair */
    world_free(&world);
}

/* --- failures ------------------------------------------------------------------------------------
 */

/* Pitfall 2: EIO once on the n-th asynchronous operation, for every n. From then on nothing more
 * becomes durable and nothing is appended, and what was durable before is found at the next start.
 */
static bool fail_nth(uint64_t n, uint64_t *operations)
{
    struct world world;
    world_init(&world, 256, 64, 4, 7);
    world_start(&world);
    uint64_t before = world.store.operations;
    world.store.fail_at = n > 0 ? before + n : 0;
    world.store.shuffle = n + 1;
    bool failed = false;
    uint64_t durable = 0, at_failure = UINT64_MAX;
    for (uint32_t i = 0; i < 1500; i++) {
        world_append(&world, i == 700 ? world.term + 1 : world.term > 0 ? world.term : 1, 300);
        if (i % 300 == 299 && !failed && world.last > world.commit + 2)
            world_truncate(&world, world.last, world.term + 1);
        world_turn(&world);
        durable = ring_durable_lsn(world.ring, &failed);
        if (failed && at_failure == UINT64_MAX)
            at_failure = durable;
        CU_ASSERT_FATAL(!failed || durable == at_failure);
        if (!failed)
            world_done(&world, world_durable_index(&world));
        if (i % 100 == 99 && !failed && world.done > 0 &&
            ring_entry(world.ring, world.done) != NULL)
            world_checkpoint(&world, world.done); /* its own calls may be the n-th */
    }
    *operations = world.store.operations - before;
    if (failed) {
        CU_ASSERT(ring_room(world.ring, 1, 64) == RING_NO_DISK);
        CU_ASSERT(world_seq_turn(&world) == 0);
    }
    uint64_t page = ring_durable_page(world.ring);
    world.store.fail_at = 0;
    world_crash(&world);
    world_start(&world); /* asserts that it is a state of the model */
    CU_ASSERT_FATAL(world.tail >= page);
    world_free(&world);
    return failed;
}

static void nth_operation_fails(void)
{
    uint64_t operations, ignored, sticky = 0;
    CU_ASSERT(!fail_nth(0, &operations));
    for (uint64_t n = 1; n <= operations; n++)
        sticky += fail_nth(n, &ignored);
    printf("# %llu operations, %llu of them of the ring\n", (ull)operations, (ull)sticky);
    CU_ASSERT(operations > 400 && sticky > 300);
}

static void start_checks_options(void)
{
    struct world world;
    world_init(&world, 256, 64, 4, 1);
    struct ring_recovery found;
    char problem[DISK_PROBLEM_SIZE] = "";
    CU_ASSERT_FATAL(ring_recover(world.reader, true, &found, problem) == 0);
    struct ring_options options = {.writer = world.writer,
                                   .reader = world.reader,
                                   .memory = world.memory,
                                   .window_pages = 64,
                                   .flight_pages = 4,
                                   .cluster_id = world.genesis.cluster_id,
                                   .boot = 1,
                                   .boot_id = 1};
    struct ring *ring;
    static const uint32_t windows[] = {0, 32, 65, 96, 256};
    for (uint32_t i = 0; i < 5; i++) {
        options.window_pages = windows[i];
        CU_ASSERT(ring_start(&ring, &options, &found, problem) == -EINVAL && ring == NULL);
    }
    options.window_pages = 64;
    options.flight_pages = 65;
    CU_ASSERT(ring_start(&ring, &options, &found, problem) == -EINVAL);
    options.flight_pages = 0;
    CU_ASSERT(ring_start(&ring, &options, &found, problem) == -EINVAL);
    options.flight_pages = 64;
    found.damage = RING_ROT_PAGE;
    CU_ASSERT(ring_start(&ring, &options, &found, problem) == -EINVAL);
    found.damage = RING_INTACT;
    CU_ASSERT(ring_start(&ring, &options, &found, problem) == 0);
    ring_recovery_free(&found);
    world_free(&world);
}

int main(void)
{
    static const struct unit_test tests[] = {
        {"an idle ring sends at once, a busy one gathers", idle_sends_at_once},
        {"a seal in flight delays no entry", seal_does_not_delay},
        {"a seal waits until the ring is quiet", seal_waits_for_quiet},
        {"the drive is timed", drive_is_timed},
        {"a quiet ring stays quiet", quiet_ring_stays_quiet},
        {"terms are told behind many votes", terms_behind_votes},
        {"the first page of a boot goes alone", boot_goes_alone},
        {"H11 durable is a prefix", h11_durable_is_a_prefix},
        {"the window waits for what is not done", window_waits_for_done},
        {"H8: votes fill no window, and whose is full can be started", full_window_can_be_started},
        {"what may be held goes by pages", recent_goes_by_pages},
        {"a full ring says so, and two checkpoints free it", full_ring_says_no_slot},
        {"H8: a full ring is started, and its head moves", full_ring_can_be_started},
        {"rereads, one link a reader", rereads},
        {"the n-th operation fails, for every n", nth_operation_fails},
        {"bad options are refused", start_checks_options},
        {0}};
    return unit_main("ring", tests);
}
