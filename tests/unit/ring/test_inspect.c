/* What the offline tools are shown of a ring: every page and entry once, with its place in the
 * story. */
#include "dataplane/ring/inspect.h"
#include "tests/unit/ring/world.h"
#include "tests/unit/unit.h"

#include <errno.h>
#include <string.h>

struct seen {
    struct world *world;
    uint64_t pages, entries, live, last_page, stop_at;
    uint64_t place[4];
    uint64_t next_live; /* live entries come in order of index */
    uint64_t named;
    bool gaps; /* pages are missing, and their entries with them */
};

static bool see_page(void *context, const struct ring_inspect_page *page)
{
    struct seen *seen = context;
    CU_ASSERT(seen->pages == 0 || page->page > seen->last_page);
    CU_ASSERT(page->slot == page->page % seen->world->super.slots);
    seen->last_page = page->page;
    seen->pages++;
    seen->place[page->place]++;
    seen->named += page->named;
    if (page->place == RING_PLACE_KEPT) {
        CU_ASSERT(page->head != NULL && page->head->page == page->page);
        CU_ASSERT(page->verdict == RING_PAGE_GOOD && page->bad_sectors == 0);
        CU_ASSERT(memcmp(&page->identity, &page->head->self, sizeof(page->identity)) == 0);
    }
    CU_ASSERT(strlen(ring_place_name(page->place)) > 0);
    return seen->stop_at == 0 || seen->pages < seen->stop_at;
}

static bool see_entry(void *context, const struct ring_inspect_entry *entry)
{
    struct seen *seen = context;
    CU_ASSERT(ring_entry_good(entry->entry) && entry->page == seen->last_page);
    seen->entries++;
    if (entry->live) {
        CU_ASSERT(entry->entry->index == seen->next_live ||
                  (seen->gaps && entry->entry->index > seen->next_live));
        CU_ASSERT(entry->chain == seen->world->log[entry->entry->index].chain);
        CU_ASSERT(entry->entry->crc == seen->world->log[entry->entry->index].crc);
        seen->next_live = entry->entry->index + 1;
        seen->live++;
    }
    CU_ASSERT(entry->live || !entry->committed);
    return true;
}

static struct ring_totals inspect(struct world *world, struct seen *seen,
                                  struct ring_recovery *found)
{
    *seen = (struct seen){.world = world, .stop_at = seen->stop_at, .gaps = seen->gaps};
    struct ring_visitor visitor = {.context = seen, .page = see_page, .entry = see_entry};
    struct ring_totals totals;
    char problem[DISK_PROBLEM_SIZE] = "";
    seen->next_live = ring_first_index(world->ring);
    CU_ASSERT_FATAL(ring_inspect(world->reader, &visitor, &totals, found, problem) == 0);
    ring_recovery_free(found);
    return totals;
}

static void laps_and_truncations(void)
{
    struct world world;
    world_init(&world, 256, 64, 4, 41);
    world_start(&world);
    for (uint32_t i = 0; i < 300; i++) {
        CU_ASSERT_FATAL(world_append(&world, world.term + 1, 900));
        CU_ASSERT_FATAL(world_append(&world, world.term, 300));
        world_settle(&world);
        if (i % 10 == 5)
            CU_ASSERT_FATAL(world_truncate(&world, world.last - 1, world.term + 1));
        world_settle(&world);
        world_done(&world, world.last);
        if (i % 20 == 19)
            CU_ASSERT_FATAL(world_checkpoint(&world, world.last) == 0);
    }
    world_settle(&world);
    struct seen seen = {0};
    struct ring_recovery found;
    struct ring_totals totals = inspect(&world, &seen, &found);
    CU_ASSERT(found.damage == RING_INTACT);
    CU_ASSERT(totals.pages_kept == found.tail_page - found.head_page);
    CU_ASSERT(seen.pages == totals.pages_kept && seen.place[RING_PLACE_KEPT] == seen.pages);
    CU_ASSERT(totals.entries == seen.entries && totals.entries_live == seen.live);
    CU_ASSERT(seen.live == world.last + 1 - ring_first_index(world.ring));
    CU_ASSERT(totals.entries > totals.entries_live); /* superseded ones are shown, too */
    CU_ASSERT(totals.laps == world.tail / 256 && totals.laps > 1 && totals.entries_doubtful == 0);
    seen.stop_at = 7;
    inspect(&world, &seen, &found);
    CU_ASSERT(seen.pages == 7);
    world_free(&world);
}

static void damage_and_torn_end(void)
{
    struct world world;
    world_init(&world, 256, 64, 4, 42);
    world_start(&world);
    for (uint32_t i = 0; i < 10; i++) {
        CU_ASSERT_FATAL(world_append(&world, 1, 900));
        world_settle(&world);
    }
    uint8_t *slots = world.store.bytes + ring_slot_offset(&world.super, 0);
    struct seen seen = {0};
    struct ring_recovery found;
    slots[world.tail * 4096 + 4000] = 1; /* a stray bit */
    struct ring_totals totals = inspect(&world, &seen, &found);
    CU_ASSERT(found.damage == RING_INTACT && totals.pages_stray == 1);
    slots[world.tail * 4096 + 4000] = 0;
    memset(slots + world.tail * 4096 + 512, 0x11, 600); /* a page whose head never got there */
    totals = inspect(&world, &seen, &found);
    CU_ASSERT(found.damage == RING_INTACT && totals.pages_torn == 1 && found.torn_pages == 1);
    memset(slots + world.tail * 4096, 0, 4096);
    seen.gaps = true;
    slots[9 * 4096 + 1000] ^= 1; /* a payload: its head still speaks for itself */
    slots[10 * 4096 + 10] ^= 1;  /* a head: its successors speak for it */
    totals = inspect(&world, &seen, &found);
    CU_ASSERT(found.damage == RING_ROT_PAGE && totals.pages_missing == 2 && seen.named == 2);
    CU_ASSERT(totals.pages_kept == world.tail - 2 && found.missing_pages == 2);
    world_free(&world);
}

struct doubt {
    struct ring_recovery *found;
    uint64_t below, within, above; /* live entries around those in doubt */
    uint64_t stop_at, entries;
};

static bool see_doubt(void *context, const struct ring_inspect_entry *entry)
{
    struct doubt *doubt = context;
    uint64_t index = entry->entry->index;
    bool within = index >= doubt->found->doubtful_first && index <= doubt->found->doubtful_last;
    CU_ASSERT(entry->live && entry->doubtful == within);
    doubt->within += within;
    doubt->below += index < doubt->found->doubtful_first;
    doubt->above += index > doubt->found->doubtful_last;
    return ++doubt->entries != doubt->stop_at;
}

/* A stretch of pages without a name: in doubt is what lies between the checkpoint and the stretch.
 */
static void entries_in_doubt(void)
{
    struct world world;
    world_filled(&world, 30);
    uint64_t covered = world.last / 4;
    CU_ASSERT_FATAL(world_checkpoint(&world, covered) == 0);
    uint64_t first = world_page_head(&world, 20)->self.count > 0 ? 20 : 21;
    CU_ASSERT_FATAL(world_page_head(&world, first)->self.count > 0);
    uint64_t before = world_page_head(&world, first)->self.first_index - 1;
    for (uint64_t page = first; page <= first + RING_PREDECESSORS; page++)
        world_rot(&world, page, 0);
    struct ring_recovery found;
    struct ring_totals totals;
    struct doubt doubt = {.found = &found};
    struct ring_visitor visitor = {.context = &doubt, .entry = see_doubt};
    char problem[DISK_PROBLEM_SIZE] = "";
    CU_ASSERT_FATAL(ring_inspect(world.reader, &visitor, &totals, &found, problem) == 0);
    CU_ASSERT(found.unnamed_pages == 1 && found.doubtful_first == covered + 1);
    CU_ASSERT(found.doubtful_last == before);
    CU_ASSERT(doubt.below == covered && doubt.above > 0);
    CU_ASSERT(doubt.within == found.doubtful_last - covered);
    CU_ASSERT(totals.entries_doubtful == doubt.within);
    ring_recovery_free(&found);
    /* a visitor that has seen enough of a page's entries sees no more */
    doubt = (struct doubt){.found = &found, .stop_at = 1};
    CU_ASSERT_FATAL(ring_inspect(world.reader, &visitor, &totals, &found, problem) == 0);
    CU_ASSERT(doubt.entries == 1 && totals.entries == 1);
    ring_recovery_free(&found);
    /* none that asks: totals alone */
    visitor = (struct ring_visitor){0};
    CU_ASSERT_FATAL(ring_inspect(world.reader, &visitor, &totals, &found, problem) == 0);
    CU_ASSERT(totals.entries > 2 && totals.pages_missing == 9);
    ring_recovery_free(&found);
    world_free(&world);
}

/* The drive goes away at each read, once: an error, and no half of a story. */
static void drive_that_goes_away(void)
{
    struct world world;
    world_init(&world, 600, 256, 4, 44);
    world_start(&world);
    while (world.tail < 300) {
        CU_ASSERT_FATAL(world_append(&world, 1, 900));
        world_settle(&world);
        world_done(&world, world.last);
    }
    world_rot(&world, 255, 0); /* its name is in the next piece that is read */
    struct ring_visitor visitor = {0};
    struct ring_totals totals;
    struct ring_recovery found;
    char problem[DISK_PROBLEM_SIZE] = "";
    uint64_t reading = 0;
    world.store.fail_error = -ENXIO;
    world.store.fail_on = true;
    uint64_t before = world.store.operations;
    CU_ASSERT_FATAL(ring_inspect(world.reader, &visitor, &totals, &found, problem) == 0);
    CU_ASSERT(totals.pages_missing == 1 && found.missing_pages == 1);
    ring_recovery_free(&found);
    uint64_t reads = world.store.operations - before;
    for (uint64_t n = 1; n <= reads; n++) {
        world.store.fail_at = world.store.operations + n;
        CU_ASSERT(ring_inspect(world.reader, &visitor, &totals, &found, problem) < 0);
        CU_ASSERT(strlen(problem) > 10);
        CU_ASSERT_PTR_NULL(found.map);
        reading += strncmp(problem, "ring: reading: ", 15) == 0;
        world.store.fail_at = 0;
    }
    CU_ASSERT(reading == 4); /* 0-255, from 256 for the name, from 255 on, the rest */
    world_free(&world);
}

static void places_have_names(void)
{
    for (int i = 0; i <= RING_PLACE_STRAY; i++)
        CU_ASSERT_STRING_NOT_EQUAL(ring_place_name((enum ring_place)i), "unknown");
    CU_ASSERT_STRING_EQUAL(ring_place_name((enum ring_place)(RING_PLACE_STRAY + 1)), "unknown");
}

static void no_ring(void)
{
    struct world world;
    world_init(&world, 256, 64, 4, 43);
    memset(world.store.bytes, 0, 8192);
    struct ring_visitor visitor = {0};
    struct ring_totals totals;
    struct ring_recovery found;
    char problem[DISK_PROBLEM_SIZE] = "";
    CU_ASSERT(ring_inspect(world.reader, &visitor, &totals, &found, problem) == -EBADMSG);
    CU_ASSERT(strstr(problem, "superblock are gone") != NULL);
    memset(world.store.bytes, 0, world.store.size);
    CU_ASSERT(ring_inspect(world.reader, &visitor, &totals, &found, problem) == -ENOENT);
    CU_ASSERT(strstr(problem, "format") != NULL);
    world_free(&world);
}

int main(void)
{
    static const struct unit_test tests[] = {{"laps and truncations", laps_and_truncations},
                                             {"damage and a torn end", damage_and_torn_end},
                                             {"entries in doubt", entries_in_doubt},
                                             {"a drive that goes away", drive_that_goes_away},
                                             {"places have names", places_have_names},
                                             {"no ring", no_ring},
                                             {0}};
    return unit_main("ring inspection", tests);
}
