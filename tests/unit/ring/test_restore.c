/* Pages that are lost and written anew: every page, every sector, whole pages, lost writes; with
 * what peers hold, with what is not that, and cut off in the middle. */
#include "dataplane/ring/restore.h"
#include "tests/unit/ring/world.h"
#include "tests/unit/unit.h"

#include "consensus/ensure.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { WHOLE = RING_SECTORS, LOST = RING_SECTORS + 1, WAYS = RING_SECTORS + 2 };

static void ruin(struct world *world, uint64_t page, uint32_t way)
{
    if (way < RING_SECTORS)
        world_rot(world, page, way);
    else
        memset(world_page_bytes(world, page), way == WHOLE ? 0xa5 : 0, RING_PAGE_SIZE);
}

static bool same_end(const struct ring_recovery *a, const struct ring_recovery *b)
{
    return a->last_index == b->last_index && a->last_chain == b->last_chain && a->term == b->term &&
           a->vote == b->vote && a->last_lsn == b->last_lsn && a->tail_page == b->tail_page &&
           a->map_count == b->map_count && a->commit == b->commit;
}

struct tally {
    uint32_t repaired, stopped, cut, bits;
};

/* One page ruined in one way. */
static void one(struct world *world, const struct ring_recovery *before, uint64_t page,
                uint32_t way, uint8_t *buffer, struct tally *tally)
{
    uint8_t good[RING_PAGE_SIZE], *bytes = world_page_bytes(world, page);
    memcpy(good, bytes, sizeof(good));
    ruin(world, page, way);
    struct ring_recovery found;
    world_look(world, &found);
    bool last = page + 1 == before->tail_page;
    if (last && (way == 0 || way >= WHOLE)) { /* nobody behind it names it: term or vote in doubt */
        CU_ASSERT(!found.repairable);
        tally->stopped++;
    } else {
        CU_ASSERT_FATAL(found.damage != RING_INTACT && found.repairable && found.hole_count == 1);
        CU_ASSERT(found.hole[0].page == page && found.map_count == before->map_count);
        CU_ASSERT(found.term == before->term && found.vote == before->vote &&
                  found.last_index == before->last_index);
        struct world_copy copy;
        world_copy_live(&found, page, good, &copy);
        if (copy.bytes > 0) { /* in form, and not the entries that were there */
            struct entry *first = (struct entry *)(void *)copy.entries;
            first->utc_ns ^= 1;
            ring_entry_finish(first);
            CU_ASSERT(world_restore(world, &copy, before->tail_page, buffer) == -EBADMSG);
            world_copy_live(&found, page, good, &copy);
        }
        uint8_t ruined[RING_PAGE_SIZE];
        memcpy(ruined, bytes, sizeof(ruined));
        CU_ASSERT_FATAL(world_restore(world, &copy, before->tail_page, buffer) == 0);
        CU_ASSERT(memcmp(bytes, buffer, RING_PAGE_SIZE) == 0);
        struct ring_recovery after;
        world_look(world, &after);
        CU_ASSERT(after.damage == RING_INTACT && same_end(&after, before));
        ring_recovery_free(&after);
        tally->repaired++;
        tally->bits += memcmp(bytes, good, sizeof(good)) == 0;
        /* cut off in the middle: known damage as before, whichever sectors got there */
        for (uint32_t cut = 1; cut < RING_SECTORS; cut += 4) {
            memcpy(bytes, ruined, sizeof(ruined));
            memcpy(bytes, buffer, cut * RING_SECTOR_SIZE);
            world_look(world, &after);
            CU_ASSERT(after.damage == RING_INTACT || after.repairable);
            CU_ASSERT(after.term == before->term && after.last_index == before->last_index);
            ring_recovery_free(&after);
            tally->cut++;
        }
    }
    ring_recovery_free(&found);
    memcpy(bytes, good, sizeof(good));
}

/* Pages that are superseded in part, and terms that grow. */
static void fill(struct world *world)
{
    world_filled(world, 12);
    for (uint32_t i = 0; i < 6; i++) {
        CU_ASSERT_FATAL(world_append(world, 1 + i, 300) && world_append(world, 1 + i, 300) &&
                        world_append(world, 1 + i, 300));
        world_settle(world);
        world_hard(world, 2 + i, (uint8_t)(1 + i % 3));
        CU_ASSERT_FATAL(world_truncate(world, world->last - i % 3, 2 + i));
        world_settle(world);
    }
    world_crash(world);
}

enum { SEVERAL = 4, ORDERS = 6 };

/* Neighbours whose heads are gone come back in some order; what one says of the time between the
 * pages that stand contradicts none of the others. */
static void several(struct world *world, const struct ring_recovery *before, uint64_t from,
                    const uint32_t order[SEVERAL], uint8_t *buffer)
{
    uint8_t good[SEVERAL][RING_PAGE_SIZE];
    for (uint32_t i = 0; i < SEVERAL; i++) {
        memcpy(good[i], world_page_bytes(world, from + i), RING_PAGE_SIZE);
        memset(world_page_bytes(world, from + i), 0, RING_PAGE_SIZE);
    }
    for (uint32_t i = 0; i < SEVERAL; i++) {
        struct world_copy copy;
        world_copy_live(before, from + order[i], good[order[i]], &copy);
        CU_ASSERT(world_restore(world, &copy, before->tail_page, buffer) == 0);
    }
    struct ring_recovery after;
    world_look(world, &after);
    CU_ASSERT(after.damage == RING_INTACT && same_end(&after, before));
    ring_recovery_free(&after);
    for (uint32_t i = 0; i < SEVERAL; i++)
        memcpy(world_page_bytes(world, from + i), good[i], RING_PAGE_SIZE);
}

static void neighbours_in_any_order(void)
{
    static const uint32_t orders[ORDERS][SEVERAL] = {{0, 1, 2, 3}, {3, 2, 1, 0}, {1, 0, 3, 2},
                                                     {2, 3, 0, 1}, {1, 3, 0, 2}, {2, 0, 3, 1}};
    struct world world;
    fill(&world);
    uint8_t *buffer = aligned_alloc(4096, RING_PAGE_SIZE);
    ENSURE(buffer != NULL);
    struct ring_recovery before;
    world_look(&world, &before);
    CU_ASSERT_FATAL(before.damage == RING_INTACT);
    for (uint64_t from = before.head_page; from + SEVERAL < before.tail_page; from++)
        for (uint32_t i = 0; i < ORDERS; i++)
            several(&world, &before, from, orders[i], buffer);
    ring_recovery_free(&before);
    free(buffer);
    world_free(&world);
}

/* Once read again, a page that nothing could be read of a moment ago says what it always did. */
static void a_neighbour_can_be_read_again(void)
{
    struct world world;
    fill(&world);
    uint8_t good[RING_PAGE_SIZE], *buffer = aligned_alloc(4096, RING_PAGE_SIZE);
    ENSURE(buffer != NULL);
    struct ring_recovery before;
    world_look(&world, &before);
    for (uint64_t page = before.head_page; page + 8 < before.tail_page; page++) {
        memcpy(good, world_page_bytes(&world, page), sizeof(good));
        memset(world_page_bytes(&world, page), 0, RING_PAGE_SIZE);
        world.store.bad_from = ring_slot_offset(&world.super, page + 1);
        world.store.bad_size = 7 * RING_PAGE_SIZE; /* all but one of those that name it */
        struct world_copy copy;
        world_copy_live(&before, page, good, &copy);
        CU_ASSERT(world_restore(&world, &copy, before.tail_page, buffer) == 0);
        world.store.bad_size = 0;
        struct ring_recovery after;
        world_look(&world, &after);
        CU_ASSERT(after.damage == RING_INTACT && same_end(&after, &before));
        ring_recovery_free(&after);
        memcpy(world_page_bytes(&world, page), good, sizeof(good));
    }
    ring_recovery_free(&before);
    free(buffer);
    world_free(&world);
}

static void every_page(void)
{
    struct world world;
    struct tally tally = {0};
    fill(&world);
    uint8_t *buffer = aligned_alloc(4096, RING_PAGE_SIZE);
    ENSURE(buffer != NULL);
    struct ring_recovery before;
    world_look(&world, &before);
    CU_ASSERT_FATAL(before.damage == RING_INTACT);
    for (uint64_t page = before.head_page; page < before.tail_page; page++)
        for (uint32_t way = page % 2; way < WAYS; way += page + 1 == before.tail_page ? 1 : 3)
            one(&world, &before, page, way, buffer, &tally);
    printf("# %u pages restored, %u of them bit for bit, %u stopped, %u cut off\n", tally.repaired,
           tally.bits, tally.stopped, tally.cut);
    CU_ASSERT(tally.stopped >= 2 && tally.bits > tally.repaired / 4);
    ring_recovery_free(&before);
    free(buffer);
    world_free(&world);
}

/* H12: up to eight neighbours at once; nine are one too many. */
static void neighbours(void)
{
    struct world world;
    world_filled(&world, 12);
    world_crash(&world);
    struct ring_recovery found;
    for (uint64_t page = 4; page < 12; page++)
        world_rot(&world, page, 0);
    world_look(&world, &found);
    CU_ASSERT(found.repairable && found.hole_count == 8);
    ring_recovery_free(&found);
    world_rot(&world, 12, 0);
    world_look(&world, &found);
    CU_ASSERT(found.damage != RING_INTACT && !found.repairable && found.unnamed_pages == 1);
    ring_recovery_free(&found);
    world_free(&world);
}

/* A ring that has lost the first page of entries from number 5 on, started. */
struct holed {
    struct world world;
    struct ring_recovery found;
    struct ring *ring;
    uint64_t page, index; /* what is lost: its number and first entry */
    struct world_copy copy;
    uint8_t *buffer; /* RING_PAGE_SIZE */
};

static void start_holed(struct holed *h)
{
    world_filled(&h->world, 12);
    world_crash(&h->world);
    h->page = 5;
    while (world_page_head(&h->world, h->page)->self.count == 0)
        h->page++;
    uint8_t good[RING_PAGE_SIZE];
    memcpy(good, world_page_bytes(&h->world, h->page), sizeof(good));
    h->index = world_page_head(&h->world, h->page)->self.first_index;
    world_rot(&h->world, h->page, 0);
    char problem[DISK_PROBLEM_SIZE] = "";
    CU_ASSERT_FATAL(ring_recover(h->world.reader, true, &h->found, problem) == 0);
    CU_ASSERT_FATAL(h->found.repairable);
    memset(h->world.memory, 0, ring_memory_size(&h->world.super, h->world.window_pages));
    struct ring_options options = {.writer = h->world.writer,
                                   .reader = h->world.reader,
                                   .memory = h->world.memory,
                                   .window_pages = h->world.window_pages,
                                   .flight_pages = h->world.flight_pages,
                                   .cluster_id = h->world.genesis.cluster_id,
                                   .boot = h->found.boot + 1,
                                   .boot_id = 77};
    CU_ASSERT_FATAL(ring_start(&h->ring, &options, &h->found, problem) == 0);
    world_copy_live(&h->found, h->page, good, &h->copy);
    h->buffer = aligned_alloc(4096, RING_PAGE_SIZE);
    ENSURE(h->buffer != NULL);
}

static void free_holed(struct holed *h)
{
    ring_recovery_free(&h->found);
    free(h->buffer);
    h->world.ring = NULL;
    world_free(&h->world);
}

static void close_hole(struct holed *h)
{
    CU_ASSERT_FATAL(world_restore(&h->world, &h->copy, h->found.tail_page, h->buffer) == 0);
    ring_hole_closed(h->ring, h->page, (const struct ring_page *)(const void *)h->buffer);
    CU_ASSERT(ring_holes(h->ring) == 0 && ring_hole_index(h->ring) == 0);
}

/* What is lost is not shown, and comes back in place. */
static void started_with_a_hole(void)
{
    struct holed h;
    start_holed(&h);
    struct ring *ring = h.ring;
    uint64_t page = h.page, index = h.index;
    CU_ASSERT(ring_holes(ring) == 1 && ring_in_hole(ring, index) && !ring_in_hole(ring, 1));
    CU_ASSERT(ring_entry(ring, index) == NULL && ring_entry(ring, index - 1) != NULL);
    CU_ASSERT(ring_hole_index(ring) == index && ring_chain(ring, index - 1) != 0);
    struct ring_stretch first;
    CU_ASSERT(ring_hole_next(ring, 0, &first) && memcmp(&first, &h.copy.live, sizeof(first)) == 0);
    CU_ASSERT_FATAL(ring_hole_pin(ring, page));
    CU_ASSERT(!ring_room_to_begin(ring)); /* nobody takes the slot meanwhile */
    close_hole(&h);
    const struct entry *entry = ring_entry(ring, index);
    CU_ASSERT(entry != NULL && entry->index == index && ring_entry_good(entry));
    CU_ASSERT(ring_chain(ring, h.copy.live.last) == h.copy.live.chain_after);
    /* H7: what a checkpoint covers is no hole for anybody but rereads */
    CU_ASSERT(!ring_hole_add(ring, h.found.tail_page + 1));
    CU_ASSERT(ring_hole_add(ring, page) && !ring_hole_add(ring, page));
    CU_ASSERT(ring_hole_index(ring) == index);
    ring_note_covered(ring, h.copy.live.last);
    CU_ASSERT(ring_hole_index(ring) == 0 && ring_in_hole(ring, index));
    free_holed(&h);
}

/* It was covered by a checkpoint and is restored when younger pages have taken all of the window:
 * memory begins behind it. */
static void hole_among_done_pages(void)
{
    struct holed h;
    start_holed(&h);
    h.world.ring = h.ring;
    world_settle(&h.world);
    ring_note_done(h.ring, h.world.last);
    uint64_t first = ring_window_first(h.ring);
    CU_ASSERT_FATAL(first < h.index);
    while (ring_window_first(h.ring) == first) {
        CU_ASSERT_FATAL(world_append(&h.world, h.world.term, 1000));
        world_settle(&h.world);
        ring_note_done(h.ring, h.world.last);
    }
    CU_ASSERT_FATAL(world_append(&h.world, h.world.term, 1000)); /* in place of the last seal */
    CU_ASSERT_FATAL(ring_window_first(h.ring) <= h.index);
    CU_ASSERT_FATAL(ring_hole_pin(h.ring, h.page));
    close_hole(&h);
    CU_ASSERT(ring_window_first(h.ring) == h.copy.live.last + 1);
    CU_ASSERT(ring_chain(h.ring, h.copy.live.last) == h.copy.live.chain_after);
    CU_ASSERT(ring_entry(h.ring, h.copy.live.last) == NULL);
    CU_ASSERT(ring_entry(h.ring, h.copy.live.last + 1) != NULL);
    world_settle(&h.world);
    CU_ASSERT(world_append(&h.world, h.world.term, 1000));
    world_settle(&h.world);
    world_check_entries(&h.world);
    free_holed(&h);
}

/* What was restored without superseded entries stands there intact, and the page that superseded
 * them is gone: it is not whole, however good it looks. */
static void a_short_page_is_no_whole_one(void)
{
    struct world world;
    world_filled(&world, 12);
    world_crash(&world);
    struct ring_recovery found;
    world_look(&world, &found);
    uint64_t number = 5;
    while (world_page_head(&world, number)->self.count < 2)
        number++;
    uint8_t good[RING_PAGE_SIZE], *bytes = world_page_bytes(&world, number);
    memcpy(good, bytes, sizeof(good));
    struct world_copy all, some;
    world_copy_live(&found, number, good, &all);
    some = all;
    some.live.last = some.live.first;
    some.bytes = ((const struct entry *)(const void *)some.entries)->size;
    some.live.chain_after =
        ring_page_chain((const struct ring_page *)(const void *)good, some.live.last);
    uint8_t *buffer = aligned_alloc(4096, RING_PAGE_SIZE);
    ENSURE(buffer != NULL);
    world_rot(&world, number, 1);
    CU_ASSERT_FATAL(world_restore(&world, &some, found.tail_page, buffer) == 0);
    const struct ring_page *page = (const struct ring_page *)(const void *)buffer;
    CU_ASSERT(ring_page_present(page) == 1);
    CU_ASSERT_FATAL(world_restore(&world, &all, found.tail_page, buffer) == 0);
    CU_ASSERT(ring_page_present(page) == all.live.last + 1 - all.live.first);
    CU_ASSERT(memcmp(bytes, buffer, RING_PAGE_SIZE) == 0);
    /* the short one rots again: its own sums prove what it held */
    memcpy(bytes, good, sizeof(good));
    world_rot(&world, number, 1);
    CU_ASSERT_FATAL(world_restore(&world, &some, found.tail_page, buffer) == 0);
    world_rot(&world, number, 1);
    some.live.chain_after = 0;
    CU_ASSERT(world_restore(&world, &some, found.tail_page, buffer) == 0);
    CU_ASSERT(memcmp(bytes, buffer, RING_PAGE_SIZE) == 0);
    ring_recovery_free(&found);
    free(buffer);
    world_free(&world);
}

/* --- refused
 * ---------------------------------------------------------------------------------------------- */

/* A page of two entries in the middle, as it was and as a peer sends it. */
struct lost {
    struct world world;
    struct ring_recovery found;
    uint64_t page;
    uint8_t good[RING_PAGE_SIZE];
    struct world_copy copy;
    uint8_t *buffer;
};

static void lose(struct lost *lost)
{
    world_filled(&lost->world, 20);
    world_crash(&lost->world);
    world_look(&lost->world, &lost->found);
    lost->page = 20;
    while (world_page_head(&lost->world, lost->page)->self.count != 2)
        lost->page++;
    memcpy(lost->good, world_page_bytes(&lost->world, lost->page), RING_PAGE_SIZE);
    world_copy_live(&lost->found, lost->page, lost->good, &lost->copy);
    lost->buffer = aligned_alloc(4096, RING_PAGE_SIZE);
    ENSURE(lost->buffer != NULL && lost->copy.live.last == lost->copy.live.first + 1);
}

static void lose_no_more(struct lost *lost)
{
    ring_recovery_free(&lost->found);
    free(lost->buffer);
    world_free(&lost->world);
}

static int restore_copy(struct lost *lost, const struct world_copy *copy)
{
    return world_restore(&lost->world, copy, lost->found.tail_page, lost->buffer);
}

/* The same, refused, and the drive as it was. */
static bool refused(struct lost *lost, const struct world_copy *copy, int why)
{
    uint8_t before[RING_PAGE_SIZE], *bytes = world_page_bytes(&lost->world, lost->page);
    memcpy(before, bytes, sizeof(before));
    return restore_copy(lost, copy) == why && memcmp(before, bytes, sizeof(before)) == 0;
}

/* What does not fit the page's identity; with its own head intact, or told by the next page. */
static void others_entries(void)
{
    struct lost lost;
    lose(&lost);
    const struct entry *first = (const struct entry *)(const void *)lost.copy.entries;
    for (uint32_t sector = 0; sector < 2; sector++) {
        memcpy(world_page_bytes(&lost.world, lost.page), lost.good, RING_PAGE_SIZE);
        world_rot(&lost.world, lost.page, sector);
        for (uint32_t what = 0; what < 9; what++) {
            struct world_copy copy = lost.copy;
            switch (what) {
            case 0:
                copy.live.first++;
                break;
            case 1:
                copy.live.term++;
                break;
            case 2: /* more than there were */
                copy.live.last++;
                break;
            case 3:
                copy.bytes += 8;
                break;
            case 4:
                copy.bytes -= 8;
                break;
            case 5: /* fewer, and as many bytes */
                copy.live.last--;
                break;
            case 6:
                copy.bytes = RING_PAGE_ROOM + 8;
                break;
            case 7: /* none, and bytes */
                copy.live.last = copy.live.first - 1;
                break;
            default: /* an entry's content, under the sum that the chain stands for */
                copy.entries[first->size - 9] ^= 1;
                break;
            }
            CU_ASSERT(refused(&lost, &copy, -EBADMSG));
        }
        /* no later page states the chain: the sums in the page's own head, or nothing, prove it */
        struct world_copy copy = lost.copy;
        copy.live.chain_after = 0;
        struct entry *changed = (struct entry *)(void *)copy.entries;
        changed->utc_ns ^= 1;
        ring_entry_finish(changed);
        CU_ASSERT(refused(&lost, &copy, -EBADMSG));
        changed->utc_ns ^= 1;
        ring_entry_finish(changed);
        CU_ASSERT(restore_copy(&lost, &copy) == (sector == 0 ? -EBADMSG : 0));
        CU_ASSERT(restore_copy(&lost, &lost.copy) == 0);
    }
    lose_no_more(&lost);
}

/* The page is there, and not the one that seq has in mind. */
static void another_page_is_there(void)
{
    struct lost lost;
    lose(&lost);
    CU_ASSERT(restore_copy(&lost, &lost.copy) == 0); /* as it is */
    struct world_copy copy = lost.copy;
    copy.live.first--;
    copy.live.last--;
    CU_ASSERT(refused(&lost, &copy, -EBADMSG));
    copy = lost.copy;
    copy.live.term++;
    CU_ASSERT(refused(&lost, &copy, -EBADMSG));
    copy = lost.copy;
    copy.live.last++;
    CU_ASSERT(refused(&lost, &copy, -EBADMSG));
    copy.live.last = copy.live.first - 1; /* dead, whatever it is */
    copy.bytes = 0;
    CU_ASSERT(restore_copy(&lost, &copy) == 0);
    lose_no_more(&lost);
}

/* Its own head is gone, and who would name it is gone as well, or does not know. */
static void named_by_nobody(void)
{
    struct lost lost;
    lose(&lost);
    world_rot(&lost.world, lost.page, 0);
    lost.world.store.bad_from = ring_slot_offset(&lost.world.super, lost.page + 1);
    lost.world.store.bad_size = 8 * RING_PAGE_SIZE;
    CU_ASSERT(refused(&lost, &lost.copy, -ENODATA));
    lost.world.store.bad_size = 0;
    CU_ASSERT(world_restore(&lost.world, &lost.copy, lost.page + 1, lost.buffer) == -ENODATA);
    struct ring_page *next = world_page_head(&lost.world, lost.page + 1);
    struct ring_identity named = next->before[0];
    next->before[0] = (struct ring_identity){.first_index = 0}; /* itself written anew */
    ring_page_finish(next);
    CU_ASSERT(world_restore(&lost.world, &lost.copy, lost.page + 2, lost.buffer) == -ENODATA);
    CU_ASSERT(restore_copy(&lost, &lost.copy) == 0); /* the one behind it knows */
    next->before[0] = named;
    ring_page_finish(next);
    CU_ASSERT(world_damage(&lost.world) == RING_INTACT);
    lose_no_more(&lost);
}

/* --- little is known
 * -------------------------------------------------------------------------------------- */

/* Pages page - behind .. page are lost; of their neighbours the next seven, and `unread` before
 * them, can't be read at the moment. What the page's new head cannot know it leaves open, and it
 * contradicts nobody once the others are there again. */
static void with_neighbours_unread(uint64_t behind, uint64_t unread)
{
    struct lost lost;
    lose(&lost);
    struct world *world = &lost.world;
    uint8_t kept[4][RING_PAGE_SIZE];
    for (uint64_t i = 0; i <= behind; i++) {
        memcpy(kept[i], world_page_bytes(world, lost.page - i), RING_PAGE_SIZE);
        memset(world_page_bytes(world, lost.page - i), 0, RING_PAGE_SIZE);
    }
    struct memory_store *store = &world->store;
    store->bad_from = ring_slot_offset(&world->super, lost.page + 1);
    store->bad_size = 7 * RING_PAGE_SIZE;
    if (unread > 0) { /* the lost page with them: it is written and read back all the same */
        store->bad_from -= (1 + behind + unread) * RING_PAGE_SIZE;
        store->bad_size += (1 + behind + unread) * RING_PAGE_SIZE;
        store->good_from = ring_slot_offset(&world->super, lost.page);
        store->good_size = RING_PAGE_SIZE;
    }
    CU_ASSERT(restore_copy(&lost, &lost.copy) == 0);
    store->bad_size = 0;
    const struct ring_page *page = (const struct ring_page *)(const void *)lost.buffer;
    CU_ASSERT(page->before[0].first_index == 0 || behind == 0);
    CU_ASSERT((page->before[7].first_index == 0) == (unread > 0));
    struct ring_recovery after;
    world_look(world, &after); /* the pages behind it know what it does not */
    CU_ASSERT(after.unnamed_pages == 0 && after.hole_count == behind);
    CU_ASSERT(behind == 0 ? after.damage == RING_INTACT : after.repairable);
    ring_recovery_free(&after);
    for (uint64_t i = 1; i <= behind; i++) {
        struct world_copy copy;
        world_copy_live(&lost.found, lost.page - i, kept[i], &copy);
        CU_ASSERT(restore_copy(&lost, &copy) == 0);
    }
    world_look(world, &after);
    CU_ASSERT(after.damage == RING_INTACT && same_end(&after, &lost.found));
    ring_recovery_free(&after);
    lose_no_more(&lost);
}

static void neighbours_cannot_be_read(void)
{
    with_neighbours_unread(0, 0);
    with_neighbours_unread(2, 0);
    with_neighbours_unread(0, 9);
    with_neighbours_unread(2, 9);
}

/* --- the drive
 * ------------------------------------------------------------------------------------------------
 */

static void a_drive_that_fails(void)
{
    static const int errors[] = {-EIO, -ENODEV};
    struct lost lost;
    lose(&lost);
    struct memory_store *store = &lost.world.store;
    for (uint32_t i = 0; i < 4; i++) {
        uint64_t n = 1;
        bool reached = true;
        for (; reached && n < 100; n++) {
            memcpy(world_page_bytes(&lost.world, lost.page), lost.good, RING_PAGE_SIZE);
            world_rot(&lost.world, lost.page, i / 2 == 0 ? 0 : 1);
            store->fail_error = errors[i % 2];
            store->fail_at = store->operations + n;
            int result = restore_copy(&lost, &lost.copy);
            reached = store->operations >= store->fail_at;
            store->fail_at = 0;
            CU_ASSERT(result == 0 || (reached && result == errors[i % 2]));
            CU_ASSERT(reached || result == 0);
            CU_ASSERT(restore_copy(&lost, &lost.copy) == 0);
        }
        CU_ASSERT(n > 4 && n < 100);
    }
    /* confirmed, and not kept */
    world_rot(&lost.world, lost.page, 0);
    store->lose_blocking = true;
    CU_ASSERT(restore_copy(&lost, &lost.copy) == -EIO);
    store->lose_blocking = false;
    CU_ASSERT(restore_copy(&lost, &lost.copy) == 0);
    lose_no_more(&lost);
}

int main(void)
{
    static const struct unit_test tests[] = {
        {"entries that are not the page's", others_entries},
        {"another page is there", another_page_is_there},
        {"named by nobody", named_by_nobody},
        {"neighbours that can't be read", neighbours_cannot_be_read},
        {"a drive that fails", a_drive_that_fails},
        {"every page, every sector: restored, or its loss is in doubt", every_page},
        {"H12: eight neighbours are known, nine are not", neighbours},
        {"neighbours come back in any order", neighbours_in_any_order},
        {"a neighbour can be read again", a_neighbour_can_be_read_again},
        {"a short page is no whole one", a_short_page_is_no_whole_one},
        {"H7: a ring with a hole starts and is made whole", started_with_a_hole},
        {"a hole among pages that are done", hole_among_done_pages},
        {0}};
    return unit_main("ring_restore", tests);
}
