/* Tear or rot, case by case: what a drive can do to a ring, and what recovery has to say about it.
 */
#include "tests/unit/ring/world.h"
#include "tests/unit/unit.h"

#include "consensus/ensure.h"
#include "dataplane/crc32c.h"
#include "dataplane/ring/inspect.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint8_t *page_bytes(struct world *world, uint64_t page)
{
    return world->store.bytes + ring_slot_offset(&world->super, page);
}

static struct ring_page *page_head(struct world *world, uint64_t page)
{
    return (struct ring_page *)(void *)page_bytes(world, page);
}

/* Flips most of a sector: what no torn write leaves. */
static void rot(struct world *world, uint64_t page, uint32_t sector)
{
    for (uint32_t i = 0; i < 512; i++)
        page_bytes(world, page)[sector * 512 + i] ^= 0x5a;
}

static void look(struct world *world, struct ring_recovery *found)
{
    char problem[DISK_PROBLEM_SIZE] = "";
    CU_ASSERT_FATAL(ring_recover(world->reader, false, found, problem) == 0);
}

static enum ring_damage damage_now(struct world *world)
{
    struct ring_recovery found;
    look(world, &found);
    enum ring_damage damage = found.damage;
    if (damage != RING_INTACT)
        CU_ASSERT(strlen(found.why) > 10);
    ring_recovery_free(&found);
    return damage;
}

/* A damaged ring is never written to: a start that repairs leaves every byte as it was. */
static enum ring_damage damage_untouched(struct world *world)
{
    uint8_t *before = malloc(world->store.size);
    ENSURE(before != NULL);
    memcpy(before, world->store.bytes, world->store.size);
    struct ring_recovery found;
    char problem[DISK_PROBLEM_SIZE] = "";
    CU_ASSERT_FATAL(ring_recover(world->reader, true, &found, problem) == 0);
    CU_ASSERT(found.damage == RING_INTACT ||
              memcmp(before, world->store.bytes, world->store.size) == 0);
    enum ring_damage damage = found.damage;
    ring_recovery_free(&found);
    free(before);
    return damage;
}

/* A started ring with some pages of entries, each followed by its seal. */
static void filled(struct world *world, uint32_t pages)
{
    world_init(world, 256, 64, 4, 11);
    world_start(world);
    world_settle(world);
    for (uint32_t i = 0; i < pages; i++) {
        CU_ASSERT_FATAL(world_append(world, 1, 700) && world_append(world, 1, 700));
        world_settle(world);
        world_done(world, world->last);
    }
}

/* --- what is right -------------------------------------------------------------------------------
 */

static void empty_rings(void)
{
    struct world world;
    world_init(&world, 256, 64, 4, 1);
    struct ring_recovery found;
    for (int repair = 0; repair < 2; repair++) {
        char problem[DISK_PROBLEM_SIZE] = "";
        CU_ASSERT_FATAL(ring_recover(world.reader, repair, &found, problem) == 0);
        CU_ASSERT(found.damage == RING_INTACT && found.tail_page == 0 && found.last_index == 0);
        CU_ASSERT(found.first_index == 1 && found.map_count == 0 && found.term == 0);
        CU_ASSERT(found.last_chain == world.log[0].chain && found.zeroed_slots == 0);
        CU_ASSERT(found.log.first == 1 && found.log.last == 0 && found.log.prev_term == 0);
        ring_recovery_free(&found);
    }
    /* formatted, without a genesis record: may be looked at, not started */
    memset(world.store.bytes + 2 * 4096, 0, 2 * 4096);
    char problem[DISK_PROBLEM_SIZE] = "";
    CU_ASSERT(ring_recover(world.reader, true, &found, problem) == -ENOENT);
    CU_ASSERT(strstr(problem, "genesis") != NULL);
    CU_ASSERT(ring_recover(world.reader, false, &found, problem) == 0);
    CU_ASSERT(found.damage == RING_INTACT && found.genesis.magic == 0);
    ring_recovery_free(&found);
    memset(world.store.bytes, 0, 2 * 4096);
    CU_ASSERT(ring_recover(world.reader, false, &found, problem) == -ENOENT);
    world_free(&world);
}

static void quiet_ring(void)
{
    struct world world;
    filled(&world, 20);
    struct ring_recovery found;
    look(&world, &found);
    CU_ASSERT(world_same(&world, &found, world.tail));
    CU_ASSERT(found.torn_pages == 0 && found.zeroed_slots == 0 && found.seals == 21);
    CU_ASSERT(found.boot == 1 && found.last_lsn == world.lsn && found.map_count == 20);
    CU_ASSERT(found.commit == world.pages[world.tail - 1].last_index - 2);
    CU_ASSERT(found.log.run_count == 1 && found.log.run[0].term == 1 && found.log.first == 1);
    ring_recovery_free(&found);
    uint64_t flushes = world.store.flushes;
    world_crash(&world);
    world_start(&world);
    CU_ASSERT(world.store.flushes > flushes); /* H9: ends with a device flush */
    world_free(&world);
}

static void votes_only(void)
{
    struct world world;
    world_init(&world, 256, 64, 4, 1);
    world_start(&world);
    for (uint32_t i = 1; i <= 30; i++) {
        world_hard(&world, i, (uint8_t)(i % 4));
        world_settle(&world);
    }
    struct ring_recovery found;
    look(&world, &found);
    CU_ASSERT(world_same(&world, &found, world.tail));
    CU_ASSERT(found.term == 30 && found.vote == 2 && found.map_count == 0 && found.seals == 30);
    ring_recovery_free(&found);
    world_free(&world);
}

static void facts_come_back(void)
{
    struct world world;
    filled(&world, 3);
    ring_note_config(world.ring, 4);
    ring_note_boot(world.ring, 1, 7, 70);
    ring_note_boot(world.ring, 3, 9, 90);
    ring_note_boot(world.ring, 3, 8, 80); /* lower: not taken */
    for (uint32_t i = 0; i < 8; i++) {
        CU_ASSERT(world_append(&world, 1, 700));
        world_settle(&world);
    }
    struct ring_recovery found;
    look(&world, &found);
    CU_ASSERT(found.config_index == 4);
    CU_ASSERT(found.seen_boot[1] == 7 && found.seen_boot_id[1] == 70);
    CU_ASSERT(found.seen_boot[3] == 9 && found.seen_boot_id[3] == 90 && found.seen_boot[2] == 0);
    ring_recovery_free(&found);
    /* H2: every start has a boot counter above all found */
    world_crash(&world);
    world_start(&world);
    world_settle(&world);
    look(&world, &found);
    CU_ASSERT(found.boot == 2);
    ring_recovery_free(&found);
    world_free(&world);
}

/* --- witnesses -----------------------------------------------------------------------------------
 */

/* H13: the drive confirms the page of an acknowledged entry and never makes it. The seal that
 * follows names it durable, so that its loss is rot and no tear. The seal alone may be lost: it
 * says nothing new. */
static void h13_lost_last_page(void)
{
    struct world world;
    filled(&world, 5);
    CU_ASSERT(world_append(&world, 1, 700));
    world_settle(&world);
    uint64_t seal = world.tail - 1, page = world.tail - 2;
    uint8_t kept[4096];
    memcpy(kept, page_bytes(&world, page), 4096);
    memset(page_bytes(&world, page), 0, 4096);
    CU_ASSERT(damage_untouched(&world) == RING_ROT_GAP);
    memcpy(page_bytes(&world, page), kept, 4096);
    memset(page_bytes(&world, seal), 0, 4096);
    struct ring_recovery found;
    look(&world, &found);
    CU_ASSERT(world_same(&world, &found, seal) && found.last_index == world.last);
    ring_recovery_free(&found);
    world_free(&world);
}

/* The same with the drive losing the write itself, and power going before the next write. */
static void h13_lost_write(void)
{
    struct world world;
    filled(&world, 5);
    CU_ASSERT(world_append(&world, 1, 700));
    world.store.hold = true;
    world_turn(&world);
    world.store.lose_writes = true;
    memory_complete_all(&world.store);
    world.store.lose_writes = false;
    world.store.hold = false;
    world_settle(&world);
    CU_ASSERT(damage_untouched(&world) == RING_ROT_GAP);
    world_free(&world);
}

/* A boot's page takes no LSN, yet its loss would bring an old boot counter back: the next page's
 * durable_page bears witness for it. */
static void lost_boot_page(void)
{
    struct world world;
    filled(&world, 2);
    world_crash(&world);
    world_start(&world);
    uint64_t boot_page = world.tail;
    world_settle(&world);
    CU_ASSERT_FATAL(world.tail == boot_page + 2);
    memset(page_bytes(&world, boot_page), 0, 4096);
    CU_ASSERT(damage_now(&world) == RING_ROT_GAP);
    world_free(&world);
}

static void every_sector_of_a_durable_page(void)
{
    struct world world;
    filled(&world, 10);
    uint64_t tried = 0;
    for (uint64_t page = 0; page + 1 < world.tail; page++)
        for (uint32_t sector = 0; sector < 8; sector++) {
            uint8_t kept[512];
            uint8_t *at = page_bytes(&world, page) + sector * 512;
            memcpy(kept, at, 512);
            if (!ring_sectors_zero(page_bytes(&world, page), 1u << sector)) {
                memset(at, 0,
                       512); /* as a tear would leave it, but somebody knows that it was whole */
                bool empty = ring_sectors_zero(page_bytes(&world, page), 0xff);
                CU_ASSERT_FATAL(damage_now(&world) == (empty ? RING_ROT_GAP : RING_ROT_PAGE));
                tried++;
            }
            memset(at, 0xa5, 512);
            CU_ASSERT_FATAL(damage_now(&world) == RING_ROT_PAGE);
            memcpy(at, kept, 512);
            tried++;
        }
    CU_ASSERT(damage_now(&world) == RING_INTACT && tried > 200);
    world_free(&world);
}

/* An end that nobody names durable is a tear only where it reads as zeros. */
static void end_that_is_not_zeros(void)
{
    struct world world;
    filled(&world, 5);
    world.store.hold = true;
    for (uint32_t i = 0; i < 2; i++)
        CU_ASSERT(world_append(&world, 1, 1200));
    world_turn(&world);
    uint64_t page = world.tail - 1;
    memory_complete_all(&world.store); /* written, the seal is not */
    CU_ASSERT(damage_now(&world) == RING_INTACT);
    uint8_t kept[4096];
    memcpy(kept, page_bytes(&world, page), 4096);
    for (uint32_t sector = 0; sector < 6; sector++) {
        rot(&world, page, sector);
        CU_ASSERT(damage_untouched(&world) == RING_ROT_TAIL);
        memcpy(page_bytes(&world, page), kept, 4096);
        memset(page_bytes(&world, page) + sector * 512, 0, 512);
        struct ring_recovery found;
        look(&world, &found);
        CU_ASSERT(found.damage == RING_INTACT && found.tail_page == page && found.torn_pages == 1);
        ring_recovery_free(&found);
        memcpy(page_bytes(&world, page), kept, 4096);
    }
    world.store.hold = false;
    world_free(&world);
}

/* H10: what lies behind the last intact page + the limit in flight is not judged, but zeroed again;
 * before that only an empty slot with a few stray bits is. */
static void h10_left_overs(void)
{
    struct world world;
    filled(&world, 5);
    rot(&world, world.tail + 4, 0); /* the limit is 4 pages: tail .. tail + 3 are judged */
    rot(&world, world.tail + 100, 3);
    page_bytes(&world, world.tail)[9] ^= 0x10;
    struct ring_recovery found;
    char problem[DISK_PROBLEM_SIZE] = "";
    CU_ASSERT_FATAL(ring_recover(world.reader, true, &found, problem) == 0);
    CU_ASSERT(world_same(&world, &found, world.tail));
    CU_ASSERT(found.zeroed_slots == 3 && found.torn_pages == 0);
    ring_recovery_free(&found);
    look(&world, &found);
    CU_ASSERT(found.zeroed_slots == 0);
    ring_recovery_free(&found);
    for (uint64_t page = world.tail; page < world.tail + 4; page++) {
        rot(&world, page, 0);
        CU_ASSERT(damage_untouched(&world) == RING_ROT_TAIL);
        memset(page_bytes(&world, page), 0, 4096);
    }
    world_free(&world);
}

/* --- the drive puts things in the wrong place
 * ------------------------------------------------------ */

static void misplaced_and_stale(void)
{
    struct world world;
    filled(&world, 10);
    /* an intact page written into a free slot */
    memcpy(page_bytes(&world, world.tail + 50), page_bytes(&world, 7), 4096);
    CU_ASSERT(damage_untouched(&world) == RING_ROT_PAGE);
    memset(page_bytes(&world, world.tail + 50), 0, 4096);
    /* a page over another */
    uint8_t kept[4096];
    memcpy(kept, page_bytes(&world, 6), 4096);
    memcpy(page_bytes(&world, 6), page_bytes(&world, 8), 4096);
    CU_ASSERT(damage_now(&world) == RING_ROT_PAGE);
    memcpy(page_bytes(&world, 6), kept, 4096);
    CU_ASSERT(damage_now(&world) == RING_INTACT);
    /* a lost write shows the page of the lap before */
    uint64_t page = 0;
    for (uint32_t i = 0; i < 300; i++) {
        if (i == 40)
            memcpy(kept, page_bytes(&world, 60), 4096);
        CU_ASSERT_FATAL(world_append(&world, 1, 900) && world_append(&world, 1, 900));
        world_settle(&world);
        world_done(&world, world.last);
        if (i % 20 == 19)
            CU_ASSERT_FATAL(world_checkpoint(&world, world.last) == 0);
        page = world.tail;
        if (page > 256 + 62)
            break;
    }
    CU_ASSERT_FATAL(page > 256 + 62);
    memcpy(page_bytes(&world, 60), kept, 4096);
    CU_ASSERT(((struct ring_page *)(void *)kept)->page == 60);
    CU_ASSERT(damage_now(&world) == RING_ROT_GAP);
    world_free(&world);
}

/* --- pages that contradict each other
 * ------------------------------------------------------------- */

static enum ring_damage with_changed_head(struct world *world, uint64_t page,
                                          void (*change)(struct ring_page *))
{
    uint8_t kept[4096];
    memcpy(kept, page_bytes(world, page), 4096);
    change(page_head(world, page));
    ring_page_finish(page_head(world, page));
    enum ring_damage damage = damage_now(world);
    memcpy(page_bytes(world, page), kept, 4096);
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

static void contradictions(void)
{
    struct world world;
    filled(&world, 10);
    world_hard(&world, 5, 2);
    world_settle(&world);
    CU_ASSERT(world_append(&world, 5, 700));
    world_settle(&world);
    world_settle(&world);
    uint64_t entries = world.tail - 2;
    CU_ASSERT_FATAL(page_head(&world, entries)->self.count == 1);
    CU_ASSERT(with_changed_head(&world, entries, change_vote) == RING_ROT_STATE);
    CU_ASSERT(with_changed_head(&world, world.tail - 1, change_term) == RING_ROT_STATE);
    CU_ASSERT(with_changed_head(&world, entries, change_chain) == RING_ROT_CHAIN);
    CU_ASSERT(with_changed_head(&world, entries, change_lsn) == RING_ROT_CHAIN);
    CU_ASSERT(with_changed_head(&world, entries, change_before) == RING_ROT_CHAIN);
    CU_ASSERT(with_changed_head(&world, entries, change_boot_id) == RING_ROT_STATE);
    CU_ASSERT(with_changed_head(&world, entries, change_entry) == RING_ROT_CHAIN);
    CU_ASSERT(with_changed_head(&world, world.tail - 1, change_durable) != RING_INTACT);
    CU_ASSERT(damage_now(&world) == RING_INTACT);
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
    rot(&world, h12.p2, 0);
    rot(&world, h12.p3, 0);
    /* the next page names both: 6 is known to be superseded, nothing is in doubt */
    inspect_h12(&world, &h12, &found);
    CU_ASSERT(found.damage == RING_ROT_PAGE && found.missing_pages == 2);
    CU_ASSERT(found.unnamed_pages == 0 && h12.live6 == 0 && h12.doubtful == 0);
    CU_ASSERT(found.last_index == 8);
    ring_recovery_free(&found);
    /* nobody names them: everything that no later page confirms is in doubt */
    for (uint64_t page = h12.p3 + 1; page < world.tail; page++)
        rot(&world, page, 0);
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
    filled(&world, 30);
    struct ring_recovery found;
    for (uint64_t first = 20; first < 22; first++) {
        bool seal = page_head(&world, first)->self.count == 0;
        uint64_t last = page_head(&world, first)->self.first_index - 1;
        uint8_t kept[9][4096];
        for (uint64_t i = 0; i < 9; i++) {
            memcpy(kept[i], page_bytes(&world, first + i), 4096);
            rot(&world, first + i, 0);
        }
        look(&world, &found);
        CU_ASSERT(found.damage == RING_ROT_PAGE && found.missing_pages == 9);
        CU_ASSERT(found.unnamed_pages == 1);
        CU_ASSERT(seal ? found.doubtful_last == 0
                       : found.doubtful_first == 1 && found.doubtful_last == last);
        CU_ASSERT(found.last_index == world.last);
        ring_recovery_free(&found);
        for (uint64_t i = 0; i < 9; i++)
            memcpy(page_bytes(&world, first + i), kept[i], 4096);
    }
    CU_ASSERT(damage_now(&world) == RING_INTACT);
    world_free(&world);
}

/* --- everything bad
 * -------------------------------------------------------------------------------- */

static void whole_ring_ruined(void)
{
    struct world world;
    filled(&world, 10);
    for (uint64_t page = 0; page < world.tail; page++)
        rot(&world, page, 0);
    CU_ASSERT(damage_untouched(&world) != RING_INTACT);
    for (uint64_t page = 0; page < world.tail; page++)
        memset(page_bytes(&world, page), 0, 512); /* only heads are gone, payloads stand */
    CU_ASSERT(damage_untouched(&world) == RING_ROT_TAIL);
    /* of a first page alone nobody was told, if its head never got there */
    memset(page_bytes(&world, 0), 0, 256 * 4096);
    page_bytes(&world, 0)[600] = 1;
    memset(page_bytes(&world, 0) + 1024, 0x77, 1024);
    CU_ASSERT(damage_untouched(&world) == RING_INTACT);
    world_free(&world);
}

/* Heads with sound checksums and nonsense in them: recovery and inspection stay within bounds, and
 * find every change that contradicts its neighbours. */
static void nonsense_heads(void)
{
    struct world world;
    filled(&world, 30);
    uint64_t intact = 0, damaged = 0;
    for (uint32_t round = 0; round < 4000; round++) {
        uint64_t slot = world_random(&world) % (world.tail + 3);
        uint8_t kept[4096];
        memcpy(kept, page_bytes(&world, slot), 4096);
        if (slot >= world.tail)
            memcpy(page_bytes(&world, slot), page_bytes(&world, 3), 4096);
        struct ring_page *page = page_head(&world, slot);
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
        memcpy(page_bytes(&world, slot), kept, 4096);
    }
    /* what may pass: facts that nothing repeats (commit, configuration, peers' boots, reserved
     * bytes) */
    printf("# %llu found, %llu said nothing false\n", (unsigned long long)damaged,
           (unsigned long long)intact);
    CU_ASSERT(damaged > 2500);
    CU_ASSERT(damage_now(&world) == RING_INTACT);
    world_free(&world);
}

static void unreadable_page(void)
{
    struct world world;
    filled(&world, 10);
    struct ring_recovery found;
    char problem[DISK_PROBLEM_SIZE] = "";
    world.store.bad_from = ring_slot_offset(&world.super, 7);
    world.store.bad_size = 4096;
    CU_ASSERT(ring_recover(world.reader, true, &found, problem) == 0);
    CU_ASSERT(found.damage == RING_ROT_PAGE && found.unreadable_pages > 0);
    CU_ASSERT(strstr(found.why, "page 7 ") != NULL);
    ring_recovery_free(&found);
    /* one bad block among superblocks, genesis, checkpoints: the other copy will do */
    for (uint64_t block = 0; block < 4; block++) {
        world.store.bad_from = block * 4096;
        CU_ASSERT(damage_now(&world) == RING_INTACT);
    }
    world.store.bad_size = 8192;
    world.store.bad_from = 0;
    CU_ASSERT(ring_recover(world.reader, false, &found, problem) == -EIO);
    world.store.bad_size = 0;
    CU_ASSERT(damage_now(&world) == RING_INTACT);
    world_free(&world);
}

int main(void)
{
    static const struct unit_test tests[] = {
        {"empty rings", empty_rings},
        {"H9 a quiet ring, flushed at its start", quiet_ring},
        {"a ring of votes", votes_only},
        {"H2 boots and facts come back", facts_come_back},
        {"H13 the last page is lost behind its seal", h13_lost_last_page},
        {"H13 the drive loses a confirmed write", h13_lost_write},
        {"the loss of a boot's page is seen", lost_boot_page},
        {"every sector of every durable page", every_sector_of_a_durable_page},
        {"an end that is not zeros is no tear", end_that_is_not_zeros},
        {"H10 left-overs are zeroed again, not judged", h10_left_overs},
        {"misplaced and stale writes", misplaced_and_stale},
        {"contradictory pages", contradictions},
        {"H12 two bad neighbours hide a truncation", h12_two_bad_neighbours},
        {"H12 nine bad neighbours", h12_nine_bad_neighbours},
        {"the whole ring is ruined", whole_ring_ruined},
        {"heads full of nonsense", nonsense_heads},
        {"pages that can't be read", unreadable_page},
        {0}};
    return unit_main("ring recovery", tests);
}
