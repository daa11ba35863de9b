/* The ring against a plain array, in random worlds: appends, votes, truncations, wrap-around,
 * restarts, lost pages that come back; and after each step what its window holds. */
#include "dataplane/ring/ring_internal.h"
#include "tests/unit/ring/world.h"
#include "tests/unit/unit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef unsigned long long ull;

/* --- places of the window
 * ------------------------------------------------------------------------- */

static void take_place(const struct ring *ring, uint64_t *taken, uint32_t place)
{
    CU_ASSERT_FATAL(place < ring->window_pages);
    CU_ASSERT_FATAL((taken[place / 64] >> place % 64 & 1) == 0);
    taken[place / 64] |= 1ull << place % 64;
}

/* Each place is free, or one page's: of a page that is not settled, or of a live one in memory. */
static uint32_t check_places(const struct ring *ring)
{
    uint64_t taken[4] = {0};
    uint32_t count = ring->free_count, lost = 0;
    uint64_t owed = ring->map_settled - ring->map_done;
    CU_ASSERT_FATAL(ring->window_pages <= 256);
    CU_ASSERT_FATAL(ring->map_low <= ring->map_window && ring->map_window <= ring->map_done);
    CU_ASSERT_FATAL(ring->map_done <= ring->map_settled && ring->map_settled <= ring->map_high);
    CU_ASSERT_FATAL(ring->map_high - ring->map_window <= ring->window_pages);
    CU_ASSERT_FATAL(owed <= ring->settled && ring->reusable == ring->settled - owed);
    CU_ASSERT_FATAL(ring->tail + ring->open <= ring->reusable + ring->window_pages);
    for (uint32_t i = 0; i < ring->free_count; i++)
        take_place(ring, taken, ring->free[i]);
    for (uint64_t page = ring->settled; page < ring->tail + ring->open; page++, count++)
        take_place(ring, taken, ring->place[page & (ring->window_pages - 1)]);
    for (uint64_t at = ring->map_window; at < ring->map_high; at++) {
        const struct ring_live *live = ring_map_at(ring, at);
        uint32_t where = ring->where[live->first_index & ring->table_mask];
        if (where == RING_NOWHERE) {
            CU_ASSERT_FATAL(at < ring->map_settled);
            lost++;
            continue;
        }
        uint32_t place = where / (RING_PAGE_SIZE / 8);
        if (at >= ring->map_settled) {
            CU_ASSERT_FATAL(live->page >= ring->settled);
            CU_ASSERT_FATAL(ring->place[live->page & (ring->window_pages - 1)] == place);
            continue;
        }
        CU_ASSERT_FATAL(ring_at_place(ring, place)->page == live->page);
        take_place(ring, taken, place);
        count++;
    }
    CU_ASSERT_FATAL(count == ring->window_pages);
    return lost;
}

/* What the window holds of the log, lost pages left out. */
static void check_window(const struct world *world)
{
    const struct ring *ring = world->ring;
    CU_ASSERT_FATAL(ring_last_index(ring) == world->last);
    for (uint64_t index = ring_window_first(ring); index <= world->last; index++) {
        const struct entry *entry = ring_entry(ring, index);
        uint64_t chain = ring_chain(ring, index);
        CU_ASSERT_FATAL(entry != NULL || ring_in_hole(ring, index));
        CU_ASSERT_FATAL(chain == world->log[index].chain || (entry == NULL && chain == 0));
        if (entry == NULL)
            continue;
        CU_ASSERT_FATAL(entry->index == index && entry->crc == world->log[index].crc);
        CU_ASSERT_FATAL(entry->term == world->log[index].term);
    }
}

/* --- laps ----------------------------------------------------------------------------------------
 */

struct tally {
    uint64_t appends, truncations, votes, checkpoints, restarts, pages;
};

static void complete_some(struct world *world)
{
    uint32_t count = world->store.pending_count;
    for (uint32_t i = 0; i < count && world->store.pending_count > 0; i++)
        if (world_random(world) % 3 != 0)
            memory_complete(&world->store,
                            (uint32_t)(world_random(world) % world->store.pending_count));
}

static void restart(struct world *world, struct tally *tally)
{
    /* what is in flight is lost wholly or made wholly; torn sectors are test_crash.c's */
    uint64_t durable = ring_durable_page(world->ring);
    complete_some(world);
    world_crash(world);
    if (world_random(world) % 2 == 0) /* the configuration may change between two starts */
        world->flight_pages = 1 + (uint32_t)(world_random(world) % RING_FLIGHT_PAGES_MAX);
    world_start(world);
    CU_ASSERT_FATAL(world->tail >= durable);
    tally->restarts++;
    world->store.hold = false;
    world_check_entries(world);
    world->store.hold = true;
}

static void random_step(struct world *world, struct tally *tally)
{
    uint64_t draw = world_random(world) % 1000;
    if (draw < 600) {
        uint32_t payload = 1 + (uint32_t)(world_random(world) % (draw < 30 ? 1270 : 200));
        tally->appends += world_append(world, world->term > 0 ? world->term : 1, payload);
    } else if (draw < 900) {
        world_seq_turn(world);
        ring_disk_turn(world->ring);
        complete_some(world);
        ring_disk_turn(world->ring);
        ring_aux_turn(world->ring);
    } else if (draw < 920) {
        world_hard(world, world->term + 1, (uint8_t)(world_random(world) % 4));
        tally->votes++;
    } else if (draw < 940 && world->last > world->commit) {
        uint64_t index =
            world->last - world_random(world) % (world->last - world->commit); /* > commit */
        if (index >= ring_window_first(world->ring))
            tally->truncations += world_truncate(world, index, world->term + 1);
    } else if (draw < 980) {
        world_done(world, world_durable_index(world));
    } else if (draw < 998 && world->done > 0) {
        uint64_t page, first, last;
        if (ring_span(world->ring, world->done, &page, &first, &last) &&
            page < ring_durable_page(world->ring) && world_checkpoint(world, world->done) == 0)
            tally->checkpoints++;
    } else if (draw == 999 && world_random(world) % 4 == 0) {
        restart(world, tally);
    }
}

static void run_laps(uint32_t flight_pages, uint64_t seed, uint32_t steps, struct tally *tally)
{
    struct world world;
    world_init(&world, 256, 64, flight_pages, seed);
    world_start(&world);
    world.store.hold = true;
    for (uint32_t step = 0; step < steps; step++) {
        random_step(&world, tally);
        check_places(world.ring);
        if (step % 64 == 0)
            check_window(&world);
        if (step % 4096 == 4095) {
            world.store.hold = false;
            world_settle(&world);
            world_check_entries(&world);
            world.store.hold = true;
        }
    }
    world.store.hold = false;
    world_settle(&world);
    world_check_entries(&world);
    struct ring_recovery found;
    char problem[DISK_PROBLEM_SIZE];
    CU_ASSERT_FATAL(ring_recover(world.reader, false, &found, problem) == 0);
    CU_ASSERT(world_same(&world, &found, world.tail));
    CU_ASSERT(found.torn_pages == 0);
    ring_recovery_free(&found);
    tally->pages += world.tail;
    CU_ASSERT(world.tail > 2 * 256);
    CU_ASSERT(world.room_refused[RING_NO_DISK] == 0);
    world_free(&world);
}

static void many_laps(void)
{
    static const uint32_t flights[] = {1, 2, 4, 16, 64};
    struct tally tally = {0};
    for (uint32_t i = 0; i < 5; i++)
        for (uint64_t seed = 1; seed <= 4; seed++)
            run_laps(flights[i], seed * 100 + i, 40000, &tally);
    printf("# %llu appends, %llu truncations, %llu votes, %llu checkpoints, %llu restarts, %llu "
           "laps\n",
           (ull)tally.appends, (ull)tally.truncations, (ull)tally.votes, (ull)tally.checkpoints,
           (ull)tally.restarts, (ull)(tally.pages / 256));
    CU_ASSERT(tally.truncations > 100 && tally.restarts > 50 && tally.checkpoints > 500);
}

/* --- a window with lost pages
 * --------------------------------------------------------------------- */

struct lost {
    uint64_t page; /* UINT64_MAX: nothing is on its way */
    uint8_t bytes[RING_PAGE_SIZE];
    uint8_t good[256 * RING_PAGE_SIZE]; /* every slot as it was */
    uint32_t closed, evicted, truncated, began;
};

/* What is left of the log's end is durable, and none of it done but what a checkpoint covers. */
static void lose_pages(struct world *world, struct lost *lost)
{
    world->store.hold = false;
    world_settle(world);
    uint64_t slots = world->super.slots, page = world->tail, index = world->last;
    memcpy(lost->good, world_page_bytes(world, 0), slots * RING_PAGE_SIZE);
    uint64_t first = ring_first_index(world->ring), window = ring_window_first(world->ring), last;
    uint64_t pages[6], count = 0;
    for (uint32_t i = 0; i < 6; i++) {
        uint64_t from = i < 4 ? window : first;
        if (i == 0 || from > world->last)
            from = world->last;
        index = from + world_random(world) % (world->last + 1 - from);
        uint64_t at;
        pages[i] = ring_span(world->ring, index, &page, &at, &last) ? page : UINT64_MAX;
        count += pages[i] != UINT64_MAX;
    }
    lost->page = UINT64_MAX;
    world->store.hold = count == 0;
    if (count == 0)
        return; /* an empty log */
    world_crash(world);
    for (uint32_t i = 0; i < 6; i++)
        if (pages[i] != UINT64_MAX)
            memset(world_page_bytes(world, pages[i]) + 512, 0x5a, 512);
    struct ring_recovery found;
    uint64_t before = world->last, covered;
    world_start_over(world, &found);
    CU_ASSERT_FATAL(world->last == before && world->last == found.last_index);
    covered = found.have_checkpoint ? found.checkpoint[0].index : 0;
    ring_recovery_free(&found);
    if (covered > 0 && world_random(world) % 2 == 0)
        world_done(world, covered);
    world->store.hold = true;
}

static void restore_step(struct world *world, struct lost *lost)
{
    if (lost->page == UINT64_MAX) {
        struct ring_stretch stretch;
        uint64_t from = world->tail - world_random(world) % 256;
        if (ring_hole_next(world->ring, from, &stretch) && ring_hole_pin(world->ring, stretch.page))
            lost->page = stretch.page;
        return;
    }
    uint64_t page = lost->page;
    lost->page = UINT64_MAX;
    if (world_random(world) % 4 == 0) {
        ring_hole_closed(world->ring, page, NULL);
        return;
    }
    memcpy(lost->bytes, lost->good + page % 256 * RING_PAGE_SIZE, RING_PAGE_SIZE);
    memcpy(world_page_bytes(world, page), lost->bytes, RING_PAGE_SIZE);
    uint64_t window = world->ring->map_window;
    ring_hole_closed(world->ring, page, (const struct ring_page *)(const void *)lost->bytes);
    lost->evicted += world->ring->map_window > window;
    lost->closed++;
}

static void hole_step(struct world *world, struct lost *lost)
{
    struct ring *ring = world->ring;
    uint64_t draw = world_random(world) % 1000;
    uint64_t hole = ring_hole_index(ring);
    if (draw < 500) {
        ring_note_chain(ring, world->last, world->log[world->last].chain);
        world_append(world, world->term > 0 ? world->term : 1,
                     1 + (uint32_t)(world_random(world) % (draw < 250 ? 1270 : 100)));
    } else if (draw < 800) {
        world_seq_turn(world);
        ring_disk_turn(ring);
        complete_some(world);
        ring_disk_turn(ring);
        ring_aux_turn(ring);
    } else if (draw < 840) {
        world_hard(world, world->term + 1, (uint8_t)(world_random(world) % 4));
    } else if (draw < 860 && world->last > world->commit) {
        uint64_t index = world->last - world_random(world) % (world->last - world->commit);
        if (index >= ring_window_first(ring) && index > ring_first_index(ring)) {
            ring_note_chain(ring, index - 1, world->log[index - 1].chain);
            lost->truncated += world_truncate(world, index, world->term + 1);
        }
    } else if (draw < 900) {
        uint64_t done = world_durable_index(world);
        if (hole != 0 && done >= hole)
            done = hole - 1;
        if (done > world->done)
            world_done(world, done);
    } else if (draw < 920) {
        uint64_t page, first, last;
        if (world->done > 0 && ring_span(ring, world->done, &page, &first, &last) &&
            page < ring_durable_page(ring) && !ring_in_hole(ring, world->done) &&
            world_checkpoint(world, world->done) == 0)
            ring_control_covered(ring, world->done);
    } else if (draw < 950) {
        restore_step(world, lost);
    } else if (draw == 999 && world_random(world) % 4 == 0 && ring_room_to_begin(ring) &&
               ring_boot_durable(ring)) {
        uint64_t index = world->last + 1 + world_random(world) % 40;
        CU_ASSERT_FATAL(world_store_peers(world, index, world->term, 2) == 0);
        CU_ASSERT_FATAL(world_begin(world));
        lost->began++;
    }
}

static void window_with_lost_pages(void)
{
    struct lost *lost = calloc(1, sizeof(*lost));
    struct world world;
    uint64_t seen = 0;
    CU_ASSERT_FATAL(lost != NULL);
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct tally tally = {0};
        world_init(&world, 256, seed % 2 ? 64 : 128, 1u << seed % 7, seed);
        world_start(&world);
        for (uint32_t round = 0; round < 3; round++) {
            world.store.hold = true;
            for (uint32_t step = 0; step < 3000; step++)
                random_step(&world, &tally);
            lose_pages(&world, lost);
            for (uint32_t step = 0; step < 2000; step++) {
                seen += check_places(world.ring);
                if (step % 16 == 0)
                    check_window(&world);
                hole_step(&world, lost);
            }
            while (lost->page != UINT64_MAX || ring_holes(world.ring) > 0) {
                uint64_t draws = world.random;
                restore_step(&world, lost);
                check_places(world.ring);
                world.store.hold = false;
                world_settle(&world);
                struct ring_stretch stretch;
                if (lost->page == UINT64_MAX && !ring_hole_next(world.ring, 0, &stretch))
                    break;
                CU_ASSERT_FATAL(draws != world.random);
            }
            world.store.hold = false;
            world_settle(&world);
            check_window(&world);
            check_places(world.ring);
        }
        world_free(&world);
    }
    printf("# %u closed, %u of them made others go, %u truncations, %u new stretches, lost "
           "pages in the window in %llu steps\n",
           lost->closed, lost->evicted, lost->truncated, lost->began, (ull)seen);
    free(lost);
}

int main(void)
{
    static const struct unit_test tests[] = {{"a window with lost pages", window_with_lost_pages},
                                             {"many laps against a plain array", many_laps},
                                             {0}};
    return unit_main("ring laps", tests);
}
