/* Pages that are intact each: whether they follow from each other, and what is known when some are
 * missing. */
#include "tests/unit/ring/world.h"
#include "tests/unit/unit.h"

#include "dataplane/crc32c.h"
#include "dataplane/ring/inspect.h"

#include <stdio.h>
#include <string.h>

/* --- pages that contradict each other
 * ------------------------------------------------------------- */

static enum ring_damage with_changed_head(struct world *world, uint64_t page,
                                          void (*change)(struct ring_page *))
{
    uint8_t kept[4096];
    memcpy(kept, world_page_bytes(world, page), 4096);
    change(world_page_head(world, page));
    ring_page_finish(world_page_head(world, page));
    enum ring_damage damage = world_damage(world);
    memcpy(world_page_bytes(world, page), kept, 4096);
    return damage;
}

static void change_vote(struct ring_page *page)
{
    page->vote = (uint8_t)(page->vote + 1);
}

static void change_term(struct ring_page *page)
{
    page->term = 0;
}

static void change_chain(struct ring_page *page)
{
    page->self.chain_before ^= 1;
}

static void change_lsn(struct ring_page *page)
{
    page->last_lsn = 1;
    page->durable_lsn = 1;
}

static void change_before(struct ring_page *page)
{
    page->before[3].count ^= 1;
}

static void change_boot_id(struct ring_page *page)
{
    page->boot_id ^= 1;
}

static void change_entry(struct ring_page *page)
{
    struct entry *entry = (struct entry *)(void *)ring_page_entries(page);
    entry->utc_ns ^= 1;
    ring_entry_finish(entry);
}

static void change_durable(struct ring_page *page)
{
    page->durable_page = page->page + 20;
}

static void change_vote_to_nobody(struct ring_page *page)
{
    page->vote = KEEL_REPLICA_MAX + 1;
}

/* A page without entries that begins where the log cannot be, and does not know what is before. */
static void change_first_index(struct ring_page *page)
{
    page->self.first_index += 5;
    page->self.chain_before = 0;
}

/* Written anew when nobody could say what one of the pages before it had been. */
static void change_to_restored(struct ring_page *page)
{
    page->restored = page->self.count + 1;
    page->before[3] = (struct ring_identity){.first_index = 0};
}

static void change_to_restored_wrong(struct ring_page *page)
{
    page->restored = page->self.count + 1;
    page->before[3].count ^= 1;
}

static void contradictions(void)
{
    struct world world;
    world_filled(&world, 10);
    world_hard(&world, 5, 2);
    world_settle(&world);
    CU_ASSERT(world_append(&world, 5, 700));
    world_settle(&world);
    world_settle(&world);
    uint64_t entries = world.tail - 2;
    CU_ASSERT_FATAL(world_page_head(&world, entries)->self.count == 1);
    CU_ASSERT(with_changed_head(&world, entries, change_vote) == RING_ROT_STATE);
    CU_ASSERT(with_changed_head(&world, world.tail - 1, change_term) == RING_ROT_STATE);
    CU_ASSERT(with_changed_head(&world, entries, change_chain) == RING_ROT_CHAIN);
    CU_ASSERT(with_changed_head(&world, entries, change_lsn) == RING_ROT_CHAIN);
    CU_ASSERT(with_changed_head(&world, entries, change_before) == RING_ROT_CHAIN);
    CU_ASSERT(with_changed_head(&world, entries, change_boot_id) == RING_ROT_STATE);
    CU_ASSERT(with_changed_head(&world, entries, change_entry) == RING_ROT_CHAIN);
    CU_ASSERT(with_changed_head(&world, world.tail - 1, change_durable) != RING_INTACT);
    CU_ASSERT(with_changed_head(&world, world.tail - 1, change_vote_to_nobody) == RING_ROT_CHAIN);
    CU_ASSERT(with_changed_head(&world, world.tail - 1, change_first_index) == RING_ROT_CHAIN);
    CU_ASSERT(with_changed_head(&world, entries, change_to_restored) == RING_INTACT);
    CU_ASSERT(with_changed_head(&world, world.tail - 1, change_to_restored) == RING_ROT_TAIL);
    CU_ASSERT(with_changed_head(&world, entries, change_to_restored_wrong) == RING_ROT_CHAIN);
    CU_ASSERT(world_damage(&world) == RING_INTACT);
    world_free(&world);
}

/* --- H12
 * ------------------------------------------------------------------------------------------ */

struct h12 {
    uint64_t p1, p2, p3; /* 1-8 term 1 (its last page), 6 term 2, 7-8 term 2 */
    uint64_t live6, doubtful;
    uint64_t live6_term;
};

static bool see_entry(void *context, const struct ring_inspect_entry *seen)
{
    struct h12 *h12 = context;
    if (seen->entry->index == 6 && seen->live) {
        h12->live6++;
        h12->live6_term = seen->entry->term;
    }
    h12->doubtful += seen->doubtful;
    return true;
}

static void inspect_h12(struct world *world, struct h12 *h12, struct ring_recovery *found)
{
    h12->live6 = h12->doubtful = 0;
    struct ring_visitor visitor = {.context = h12, .entry = see_entry};
    struct ring_totals totals;
    char problem[DISK_PROBLEM_SIZE] = "";
    CU_ASSERT_FATAL(ring_inspect(world->reader, &visitor, &totals, found, problem) == 0);
    CU_ASSERT(totals.entries_doubtful == h12->doubtful);
}

static void build_h12(struct world *world, struct h12 *h12)
{
    world_init(world, 256, 64, 8, 12);
    world_start(world);
    world_settle(world);
    for (uint32_t i = 0; i < 4; i++)
        CU_ASSERT(world_append(world, 1, 20));
    world_settle(world);
    world->store.hold = true; /* no seals in between */
    for (uint32_t i = 0; i < 4; i++)
        CU_ASSERT(world_append(world, 1, 20));
    world_turn(world);
    h12->p1 = world->tail - 1;
    CU_ASSERT(world_truncate(world, 6, 2));
    CU_ASSERT(world_append(world, 3, 20)); /* another term closes the page of 6 */
    h12->p2 = h12->p1 + 1;
    CU_ASSERT_FATAL(world->tail == h12->p2 + 1);
    CU_ASSERT(world_append(world, 3, 20));
    memory_complete_all(&world->store);
    world_turn(world);
    memory_complete_all(&world->store);
    world_turn(world);
    world_turn(world);
    h12->p3 = h12->p2 + 1;
    memory_complete_all(&world->store);
    world->store.hold = false;
    world_settle(world);
}

/* P1 = 5-8 term 1, P2 = 6 term 2 (supersedes), P3 = 7-8; P2 and P3 rot together: (6, term 1) looks
 * intact and must not be applied. */
static void h12_two_bad_neighbours(void)
{
    struct world world;
    struct h12 h12 = {0};
    struct ring_recovery found;
    build_h12(&world, &h12);
    inspect_h12(&world, &h12, &found);
    CU_ASSERT(found.damage == RING_INTACT && h12.live6 == 0 + 1 && h12.live6_term == 2);
    ring_recovery_free(&found);
    world_rot(&world, h12.p2, 0);
    world_rot(&world, h12.p3, 0);
    /* the next page names both: 6 is known to be superseded, nothing is in doubt */
    inspect_h12(&world, &h12, &found);
    CU_ASSERT(found.damage == RING_ROT_PAGE && found.missing_pages == 2);
    CU_ASSERT(found.unnamed_pages == 0 && h12.live6 == 0 && h12.doubtful == 0);
    CU_ASSERT(found.last_index == 8);
    ring_recovery_free(&found);
    /* nobody names them: everything that no later page confirms is in doubt */
    for (uint64_t page = h12.p3 + 1; page < world.tail; page++)
        world_rot(&world, page, 0);
    inspect_h12(&world, &h12, &found);
    CU_ASSERT(found.damage == RING_ROT_TAIL || found.damage == RING_ROT_PAGE);
    CU_ASSERT(h12.live6 == 1 && h12.live6_term == 1);
    CU_ASSERT(found.doubtful_first <= 5 && found.doubtful_last == 8 && h12.doubtful >= 4);
    ring_recovery_free(&found);
    world_free(&world);
}

/* Nine bad neighbours: the oldest has no name. A later page that begins behind a stretch with that
 * very chain confirms it; where the nameless page held entries, nothing can. */
static void h12_nine_bad_neighbours(void)
{
    struct world world;
    world_filled(&world, 30);
    struct ring_recovery found;
    for (uint64_t first = 20; first < 22; first++) {
        bool seal = world_page_head(&world, first)->self.count == 0;
        uint64_t last = world_page_head(&world, first)->self.first_index - 1;
        uint8_t kept[9][4096];
        for (uint64_t i = 0; i < 9; i++) {
            memcpy(kept[i], world_page_bytes(&world, first + i), 4096);
            world_rot(&world, first + i, 0);
        }
        world_look(&world, &found);
        CU_ASSERT(found.damage == RING_ROT_PAGE && found.missing_pages == 9);
        CU_ASSERT(found.unnamed_pages == 1);
        CU_ASSERT(seal ? found.doubtful_last == 0
                       : found.doubtful_first == 1 && found.doubtful_last == last);
        CU_ASSERT(found.last_index == world.last);
        ring_recovery_free(&found);
        for (uint64_t i = 0; i < 9; i++)
            memcpy(world_page_bytes(&world, first + i), kept[i], 4096);
    }
    CU_ASSERT(world_damage(&world) == RING_INTACT);
    world_free(&world);
}

/* Ruins page `first` and the eight behind it: nobody names it. */
static void ruin_nine(struct world *world, uint64_t first)
{
    for (uint64_t i = 0; i < 9; i++)
        world_rot(world, first + i, 0);
}

/* Nine pages are gone, the first of them superseded entry 6. A later page that begins behind entry
 * `from` - 1 says what became of those before it; `wanted`: the last one in doubt, 0: none. */
static void h12_page_behind_nine(uint64_t checkpoint, uint64_t from, uint64_t wanted)
{
    struct world world;
    struct ring_recovery found;
    world_init(&world, 256, 64, 8, 12);
    world_start(&world);
    world_settle(&world);
    for (uint32_t i = 0; i < 8; i++)
        CU_ASSERT(world_append(&world, 1, 20));
    world_settle(&world);
    if (checkpoint > 0)
        CU_ASSERT_FATAL(world_checkpoint(&world, checkpoint) == 0);
    CU_ASSERT_FATAL(world_truncate(&world, 6, 2) && world_append(&world, 2, 20));
    uint64_t lost = world.tail;
    world_settle(&world);
    for (uint64_t term = 3; world.tail < lost + 9; term++) {
        world_hard(&world, term, 0);
        world_settle(&world);
    }
    CU_ASSERT_FATAL(world_truncate(&world, from, 20));
    world_settle(&world);
    CU_ASSERT_FATAL(world_page_head(&world, lost)->self.first_index == 6);
    ruin_nine(&world, lost);
    world_look(&world, &found);
    CU_ASSERT(found.damage != RING_INTACT && found.unnamed_pages == 1);
    CU_ASSERT(found.doubtful_last == wanted && found.last_index == from);
    CU_ASSERT(wanted == 0 || found.doubtful_first == checkpoint + 1);
    ring_recovery_free(&found);
    world_free(&world);
}

static void h12_later_pages(void)
{
    h12_page_behind_nine(0, 7, 6); /* behind an entry that is not the one that stands here */
    h12_page_behind_nine(0, 5, 0); /* behind one that does: the rest is superseded */
    h12_page_behind_nine(4, 7, 6);
    h12_page_behind_nine(4, 5, 0); /* supersedes all that the checkpoint does not cover */
}

/* --- many pages
 * ------------------------------------------------------------------------------------------- */

static void many_live_pages(void)
{
    enum { PAGES = 1100 }; /* more than room is made for at first */
    struct world world;
    struct ring_recovery found;
    world_init(&world, 2048, 64, 4, 5);
    world_start(&world);
    for (uint32_t i = 0; i < PAGES; i++) {
        CU_ASSERT_FATAL(world_append(&world, 1, 1200) && world_append(&world, 1, 1200));
        if (i % 16 == 15)
            world_settle(&world);
        world_done(&world, world.last);
    }
    world_settle(&world);
    world_look(&world, &found);
    CU_ASSERT(world_same(&world, &found, world.tail) && found.map_count == PAGES);
    ring_recovery_free(&found);
    /* as many as a replica repairs, and one more */
    for (uint32_t i = 0; i <= RING_HOLES_MAX; i++) {
        world_rot(&world, 10 + 3 * i, 0);
        world_look(&world, &found);
        CU_ASSERT(found.hole_count == (i < RING_HOLES_MAX ? i + 1 : RING_HOLES_MAX));
        CU_ASSERT(found.repairable == (i < RING_HOLES_MAX) && found.missing_pages == i + 1);
        ring_recovery_free(&found);
    }
    world_free(&world);
}

/* --- the log and its checkpoints
 * ------------------------------------------------------------------- */

enum { BEGAN = 40, BEGAN_TERM = 5 };

/* Behind a peer's checkpoint; entries with their seals. */
static void begun_anew(struct world *world, uint32_t entries)
{
    world_filled(world, 10);
    CU_ASSERT_FATAL(world_store_peers(world, BEGAN, BEGAN_TERM, 2) == 0);
    CU_ASSERT_FATAL(world_begin(world));
    world_settle(world);
    for (uint32_t i = 0; i < entries; i++) {
        CU_ASSERT_FATAL(world_append(world, BEGAN_TERM, 700));
        world_settle(world);
    }
}

/* What both areas say of their index, with their checksums right; INTACT also if it is unchanged.
 */
static enum ring_damage with_checkpoints(struct world *world, uint64_t index, uint64_t term,
                                         uint64_t chain, enum ring_installed installed)
{
    struct ring_checkpoint kept[2];
    for (unsigned area = 0; area < 2; area++) {
        struct ring_checkpoint *head =
            (struct ring_checkpoint *)(void *)(world->store.bytes +
                                               ring_checkpoint_offset(&world->super, area));
        kept[area] = *head;
        head->index = index;
        head->term = term;
        head->chain = chain;
        head->installed = installed;
        head->crc = crc32c(head, offsetof(struct ring_checkpoint, crc));
    }
    enum ring_damage damage = world_damage(world);
    for (unsigned area = 0; area < 2; area++)
        memcpy(world->store.bytes + ring_checkpoint_offset(&world->super, area), &kept[area],
               sizeof(kept[area]));
    return damage;
}

static void checkpoints_that_contradict_the_log(void)
{
    struct world world;
    for (uint32_t entries = 0; entries < 4; entries += 3) {
        begun_anew(&world, entries);
        uint64_t chain = world.installed_chain, last = BEGAN + entries;
        CU_ASSERT(with_checkpoints(&world, BEGAN, BEGAN_TERM, chain, 1) == RING_INTACT);
        /* terms never fall, and the one before the log's first entry is told by nobody else */
        CU_ASSERT(with_checkpoints(&world, BEGAN, BEGAN_TERM + 1, chain, 1) ==
                  (entries > 0 ? RING_ROT_CHECKPOINT : RING_INTACT));
        CU_ASSERT(with_checkpoints(&world, BEGAN, BEGAN_TERM - 1, chain, 1) == RING_INTACT);
        CU_ASSERT(with_checkpoints(&world, last, BEGAN_TERM, world.log[last].chain, 0) ==
                  RING_INTACT);
        CU_ASSERT(with_checkpoints(&world, last + 1, BEGAN_TERM, chain, 0) == RING_ROT_TAIL);
        CU_ASSERT(with_checkpoints(&world, BEGAN - 1, BEGAN_TERM, chain, 0) == RING_ROT_CHECKPOINT);
        CU_ASSERT(world_damage(&world) == RING_INTACT);
        world_free(&world);
    }
}

/* H12 in a log that begins behind its checkpoint: all of it is in doubt, and no more. */
static void h12_behind_a_checkpoint(void)
{
    struct world world;
    struct ring_recovery found;
    begun_anew(&world, 12);
    CU_ASSERT_FATAL(world_page_head(&world, world.tail - 12)->self.count == 1);
    ruin_nine(&world, world.tail - 12);
    world_look(&world, &found);
    CU_ASSERT(found.unnamed_pages == 1 && found.doubtful_first == BEGAN + 1);
    CU_ASSERT(found.doubtful_last ==
              world_page_head(&world, world.tail - 13)->self.first_index - 1);
    ring_recovery_free(&found);
    world_free(&world);
}

/* A cluster that began with another one's state: its founder's ring was never empty; that of a
 * member that joined later was. */
static void seeded(void)
{
    for (uint32_t founder = 0; founder < 2; founder++) {
        struct world world;
        char problem[DISK_PROBLEM_SIZE] = "";
        world_init(&world, 256, 64, 4, 7);
        struct genesis genesis = world.genesis;
        memset(genesis.founder, 0, sizeof(genesis.founder));
        genesis.founder[WORLD_REPLICA] = world.genesis.founder[WORLD_REPLICA];
        genesis.founder[WORLD_REPLICA].incarnation += founder == 0;
        genesis.version = GENESIS_VERSION_SEEDED;
        genesis.lineage = (struct genesis_lineage){.cluster_id = 9,
                                                   .index = 20,
                                                   .seed_index = 21,
                                                   .seed_term = 3,
                                                   .utc_ns = 1,
                                                   .seed = GENESIS_SEED_RESTORED,
                                                   .seeds = 1};
        genesis.crc = crc32c(&genesis, offsetof(struct genesis, crc));
        memset(world.store.bytes + RING_GENESIS_BLOCK * 4096, 0, 2 * 4096);
        CU_ASSERT_FATAL(ring_genesis_install(world.writer, &genesis, true, problem) == 0);
        CU_ASSERT(world_damage(&world) == (founder != 0 ? RING_ROT_CHECKPOINT : RING_INTACT));
        world_free(&world);
    }
}

/* Heads with sound checksums and nonsense in them: recovery and inspection stay within bounds, and
 * find every change that contradicts its neighbours. */
static void nonsense_heads(void)
{
    struct world world;
    world_filled(&world, 30);
    uint64_t intact = 0, damaged = 0;
    for (uint32_t round = 0; round < 4000; round++) {
        uint64_t slot = world_random(&world) % (world.tail + 3);
        uint8_t kept[4096];
        memcpy(kept, world_page_bytes(&world, slot), 4096);
        if (slot >= world.tail)
            memcpy(world_page_bytes(&world, slot), world_page_bytes(&world, 3), 4096);
        struct ring_page *page = world_page_head(&world, slot);
        uint32_t at = 48 + 8 * (uint32_t)(world_random(&world) % 58);
        static const uint64_t values[] = {
            0, 1, 2, 255, 256, 1000, UINT32_MAX, INT64_MAX, UINT64_MAX - 63};
        uint64_t value = values[world_random(&world) % 9];
        if (world_random(&world) % 4 == 0)
            value = world_random(&world);
        memcpy((uint8_t *)page + at, &value, 8);
        if (world_random(&world) % 4 == 0)
            page->page = world_random(&world) % 2 == 0 ? slot + 256 * (value % 1000)
                                                       : UINT64_MAX - 255 + slot;
        page->sector_crc[0] = 0;
        page->sector_crc[0] = crc32c(page, RING_SECTOR_SIZE);
        struct ring_recovery found;
        struct ring_visitor visitor = {0};
        struct ring_totals totals;
        char problem[DISK_PROBLEM_SIZE] = "";
        CU_ASSERT_FATAL(ring_inspect(world.reader, &visitor, &totals, &found, problem) == 0);
        intact += found.damage == RING_INTACT;
        damaged += found.damage != RING_INTACT;
        ring_recovery_free(&found);
        memcpy(world_page_bytes(&world, slot), kept, 4096);
    }
    /* what may pass: facts that nothing repeats (commit, configuration, peers' boots, reserved
     * bytes) */
    printf("# %llu found, %llu said nothing false\n", (unsigned long long)damaged,
           (unsigned long long)intact);
    CU_ASSERT(damaged > 2500);
    CU_ASSERT(world_damage(&world) == RING_INTACT);
    world_free(&world);
}

int main(void)
{
    static const struct unit_test tests[] = {
        {"contradictory pages", contradictions},
        {"H12 two bad neighbours hide a truncation", h12_two_bad_neighbours},
        {"H12 nine bad neighbours", h12_nine_bad_neighbours},
        {"H12 a page behind nine that are lost", h12_later_pages},
        {"H12 behind a checkpoint", h12_behind_a_checkpoint},
        {"more live pages than at first, more holes than may be", many_live_pages},
        {"checkpoints that contradict the log", checkpoints_that_contradict_the_log},
        {"a ring that began with a state", seeded},
        {"heads full of nonsense", nonsense_heads},
        {0}};
    return unit_main("ring pages in order", tests);
}
