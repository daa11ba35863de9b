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

/* A ring whose damage is not known through and through is never written to: a start that repairs
 * leaves every byte as it was. */
static enum ring_damage damage_untouched(struct world *world)
{
    uint8_t *before = malloc(world->store.size);
    ENSURE(before != NULL);
    memcpy(before, world->store.bytes, world->store.size);
    struct ring_recovery found;
    char problem[DISK_PROBLEM_SIZE] = "";
    CU_ASSERT_FATAL(ring_recover(world->reader, true, &found, problem) == 0);
    CU_ASSERT(found.damage == RING_INTACT || found.repairable ||
              memcmp(before, world->store.bytes, world->store.size) == 0);
    enum ring_damage damage = found.damage;
    ring_recovery_free(&found);
    free(before);
    return damage;
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
    world_filled(&world, 20);
    struct ring_recovery found;
    world_look(&world, &found);
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
    world_look(&world, &found);
    CU_ASSERT(world_same(&world, &found, world.tail));
    CU_ASSERT(found.term == 30 && found.vote == 2 && found.map_count == 0 && found.seals == 30);
    ring_recovery_free(&found);
    world_free(&world);
}

static void facts_come_back(void)
{
    struct world world;
    world_filled(&world, 3);
    ring_note_config(world.ring, 4);
    ring_note_boot(world.ring, 1, 7, 70);
    ring_note_boot(world.ring, 3, 9, 90);
    ring_note_boot(world.ring, 3, 8, 80); /* lower: not taken */
    for (uint32_t i = 0; i < 8; i++) {
        CU_ASSERT(world_append(&world, 1, 700));
        world_settle(&world);
    }
    struct ring_recovery found;
    world_look(&world, &found);
    CU_ASSERT(found.config_index == 4);
    CU_ASSERT(found.seen_boot[1] == 7 && found.seen_boot_id[1] == 70);
    CU_ASSERT(found.seen_boot[3] == 9 && found.seen_boot_id[3] == 90 && found.seen_boot[2] == 0);
    ring_recovery_free(&found);
    /* H2: every start has a boot counter above all found */
    world_crash(&world);
    world_start(&world);
    world_settle(&world);
    world_look(&world, &found);
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
    world_filled(&world, 5);
    CU_ASSERT(world_append(&world, 1, 700));
    world_settle(&world);
    uint64_t seal = world.tail - 1, page = world.tail - 2;
    uint8_t kept[4096];
    memcpy(kept, world_page_bytes(&world, page), 4096);
    memset(world_page_bytes(&world, page), 0, 4096);
    CU_ASSERT(damage_untouched(&world) == RING_ROT_GAP);
    memcpy(world_page_bytes(&world, page), kept, 4096);
    memset(world_page_bytes(&world, seal), 0, 4096);
    struct ring_recovery found;
    world_look(&world, &found);
    CU_ASSERT(world_same(&world, &found, seal) && found.last_index == world.last);
    ring_recovery_free(&found);
    world_free(&world);
}

/* The same with the drive losing the write itself, and power going before the next write. */
static void h13_lost_write(void)
{
    struct world world;
    world_filled(&world, 5);
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
    world_filled(&world, 2);
    world_crash(&world);
    world_start(&world);
    uint64_t boot_page = world.tail;
    world_settle(&world);
    CU_ASSERT_FATAL(world.tail == boot_page + 2);
    memset(world_page_bytes(&world, boot_page), 0, 4096);
    CU_ASSERT(world_damage(&world) == RING_ROT_GAP);
    world_free(&world);
}

static void every_sector_of_a_durable_page(void)
{
    struct world world;
    world_filled(&world, 10);
    uint64_t tried = 0;
    for (uint64_t page = 0; page + 1 < world.tail; page++)
        for (uint32_t sector = 0; sector < 8; sector++) {
            uint8_t kept[512];
            uint8_t *at = world_page_bytes(&world, page) + sector * 512;
            memcpy(kept, at, 512);
            if (!ring_sectors_zero(world_page_bytes(&world, page), 1u << sector)) {
                memset(at, 0,
                       512); /* as a tear would leave it, but somebody knows that it was whole */
                bool empty = ring_sectors_zero(world_page_bytes(&world, page), 0xff);
                CU_ASSERT_FATAL(world_damage(&world) == (empty ? RING_ROT_GAP : RING_ROT_PAGE));
                tried++;
            }
            memset(at, 0xa5, 512);
            CU_ASSERT_FATAL(world_damage(&world) == RING_ROT_PAGE);
            memcpy(at, kept, 512);
            tried++;
        }
    CU_ASSERT(world_damage(&world) == RING_INTACT && tried > 200);
    world_free(&world);
}

/* An end that nobody names durable is a tear only where it reads as zeros. */
static void end_that_is_not_zeros(void)
{
    struct world world;
    world_filled(&world, 5);
    world.store.hold = true;
    for (uint32_t i = 0; i < 2; i++)
        CU_ASSERT(world_append(&world, 1, 1200));
    world_turn(&world);
    uint64_t page = world.tail - 1;
    memory_complete_all(&world.store); /* written, the seal is not */
    CU_ASSERT(world_damage(&world) == RING_INTACT);
    uint8_t kept[4096];
    memcpy(kept, world_page_bytes(&world, page), 4096);
    for (uint32_t sector = 0; sector < 6; sector++) {
        world_rot(&world, page, sector);
        CU_ASSERT(damage_untouched(&world) == RING_ROT_TAIL);
        memcpy(world_page_bytes(&world, page), kept, 4096);
        memset(world_page_bytes(&world, page) + sector * 512, 0, 512);
        struct ring_recovery found;
        world_look(&world, &found);
        CU_ASSERT(found.damage == RING_INTACT && found.tail_page == page && found.torn_pages == 1);
        ring_recovery_free(&found);
        memcpy(world_page_bytes(&world, page), kept, 4096);
    }
    world.store.hold = false;
    world_free(&world);
}

/* The last two pages are damaged, one of them in its payload alone: its head names both, and the
 * empty slots behind it held no LSN that was durable. That is known damage, and nothing more is
 * lost. */
static void damaged_end_with_a_head(void)
{
    struct world world;
    uint8_t kept[2 * 4096];
    world_filled(&world, 10);
    CU_ASSERT_FATAL(world_checkpoint(&world, world.last) == 0);
    uint64_t last = world.tail - 1;
    memcpy(kept, world_page_bytes(&world, last - 1), sizeof(kept));
    for (uint32_t how = 0; how < 3; how++) {
        world_rot(&world, last, 1);
        if (how == 1)
            memset(world_page_bytes(&world, last - 1), 0, 4096);
        if (how == 2)
            world_rot(&world, last - 1, 0);
        struct ring_recovery found;
        world_look(&world, &found);
        CU_ASSERT(found.damage != RING_INTACT && found.repairable && !found.unknown);
        CU_ASSERT(found.tail_page == world.tail && found.hole_count == (how == 0 ? 1 : 2));
        CU_ASSERT(found.last_index == world.last && found.term == world.term);
        CU_ASSERT(found.vote == world.vote && found.last_lsn == world.lsn);
        ring_recovery_free(&found);
        memcpy(world_page_bytes(&world, last - 1), kept, sizeof(kept));
    }
    world_free(&world);
}

/* Behind a peer's checkpoint a crash loses the first page of the new stretch and leaves later ones,
 * while the old log has a misplaced page: nothing goes as torn, and the kept pages' head counts. */
static void new_stretch_behind_damage(void)
{
    struct world world;
    world_filled(&world, 10);
    CU_ASSERT_FATAL(world_store_peers(&world, world.last + 40, world.term, 2) == 0);
    CU_ASSERT_FATAL(world_begin(&world));
    uint64_t first = world.tail, index = world.last + 1;
    world.store.hold = true;
    world_turn(&world);            /* the first page says where it begins, and has no entries */
    while (world.tail < first + 4) /* bound: each entry fills a page to a fifth */
        CU_ASSERT_FATAL(world_append(&world, world.term, 700));
    world_turn(&world);
    for (uint32_t i = world.store.pending_count; i-- > 0;)
        if (world.store.pending[i].offset != ring_slot_offset(&world.super, first))
            memory_complete(&world.store, i);
    memcpy(world_page_bytes(&world, 7), world_page_bytes(&world, 9), 4096);
    struct ring_recovery found;
    world_look(&world, &found);
    CU_ASSERT(found.damage != RING_INTACT && found.repairable && !found.unknown);
    CU_ASSERT(found.head_page == first && found.tail_page >= first + 3);
    CU_ASSERT(found.first_index == index && found.last_index >= index + 3);
    CU_ASSERT(found.hole_count == 1 && !found.begins_anew);
    ring_recovery_free(&found);
    world_free(&world);
}

/* H10: a crash loses the first page that states a new head and leaves the second, and the page
 * before both cannot be read at one start and can at the next: then both go as torn, and what the
 * older head keeps has to be there still. */
static void h10_head_in_flight(void)
{
    struct world world;
    world_filled(&world, 100);
    CU_ASSERT_FATAL(world.tail > 192); /* with its seals: the head may move soon */
    uint64_t first = world.tail;
    world.store.hold = true;
    CU_ASSERT_FATAL(world_checkpoint(&world, world.last) == 0);
    CU_ASSERT_FATAL(world_checkpoint(&world, world.last) == 0);
    while (world.tail < first + 2) { /* bound: each entry fills a page to a fifth */
        CU_ASSERT_FATAL(world_append(&world, world.term, 700));
        world_turn(&world);
    }
    for (uint32_t i = world.store.pending_count; i-- > 0;)
        if (world.store.pending[i].offset == ring_slot_offset(&world.super, first + 1))
            memory_complete(&world.store, i);
    uint64_t before = world_page_head(&world, first - 1)->head;
    CU_ASSERT_FATAL(world_page_head(&world, first + 1)->head > before);
    world_crash(&world);
    world.store.hold = false;
    world.store.bad_from = ring_slot_offset(&world.super, first - 1);
    world.store.bad_size = RING_PAGE_SIZE;
    struct ring_recovery found;
    char problem[DISK_PROBLEM_SIZE] = "";
    CU_ASSERT_FATAL(ring_recover(world.reader, true, &found, problem) == 0);
    CU_ASSERT(found.damage != RING_INTACT && found.repairable && found.tail_page == first + 2);
    CU_ASSERT(found.head_page > before && found.zeroed_to == before + world.super.slots);
    ring_recovery_free(&found);
    world.store.bad_size = 0;
    world_look(&world, &found);
    CU_ASSERT(found.damage == RING_INTACT && found.tail_page == first && found.head_page == before);
    ring_recovery_free(&found);
    world_free(&world);
}

/* A start over the damage that finds so many lost pages and loses no entry; then the power goes. */
static void start_over(struct world *world, uint32_t holes, uint64_t head)
{
    struct ring_recovery found;
    world_start_over(world, &found);
    CU_ASSERT(found.hole_count == holes && found.last_index == world->last);
    CU_ASSERT(found.head_page == head);
    ring_recovery_free(&found);
    world_settle(world);
    CU_ASSERT(ring_boot_durable(world->ring));
    world_crash(world);
}

/* The last page is damaged, and its own head, the only one to do so, says that the head moved: what
 * is written behind it must not say less, or the next start finds a contradiction. */
static void damaged_end_moved_the_head(void)
{
    struct world world;
    world_filled(&world, 100);
    CU_ASSERT_FATAL(world.tail > 192); /* with its seals: the head may move soon */
    uint64_t last = world.tail, before = world_page_head(&world, last - 1)->head;
    CU_ASSERT_FATAL(world_checkpoint(&world, world.last) == 0);
    CU_ASSERT_FATAL(world_checkpoint(&world, world.last) == 0);
    CU_ASSERT_FATAL(world_append(&world, world.term, 700));
    world_turn(&world);
    ring_disk_turn(world.ring);
    CU_ASSERT_FATAL(world.tail == last + 1 && world_page_head(&world, last)->head > before);
    world_crash(&world);
    world_rot(&world, last, 1);
    for (uint32_t start = 0; start < 3; start++)
        start_over(&world, 1, world_page_head(&world, last)->head);
    world_free(&world);
}

/* Three pages that were in flight together are durable: so says the head of the page behind them,
 * and no other, and that page is torn. The drive has lost the first of the three. A start over that
 * is cut off before its own page is durable: the next one has to find no less. */
static void torn_page_bears_witness(void)
{
    struct world world;
    world_filled(&world, 3);
    uint64_t first = world.tail;
    world.store.hold = true;
    for (uint64_t pages = 3; pages <= 4; pages++) { /* three are made, then the one behind them */
        while (world.tail < first + pages) {        /* bound: three entries fill a page */
            CU_ASSERT_FATAL(world_append(&world, world.term, 1000));
            ring_disk_turn(world.ring);
        }
        memory_complete_all(&world.store);
        if (pages == 3)
            ring_disk_turn(world.ring);
    }
    CU_ASSERT_FATAL(ring_durable_page(world.ring) == first + 3);
    ring_disk_turn(world.ring);
    memory_complete_all(&world.store);
    CU_ASSERT_FATAL(world_page_head(&world, first + 2)->durable_page == first);
    CU_ASSERT_FATAL(world_page_head(&world, first + 3)->durable_page == first + 3);
    world_crash(&world);
    world.store.hold = false;
    memset(world_page_bytes(&world, first), 0, RING_PAGE_SIZE);
    memset(world_page_bytes(&world, first + 3) + 1024, 0, RING_PAGE_SIZE - 1024);
    struct ring_recovery found;
    char problem[DISK_PROBLEM_SIZE] = "";
    for (uint32_t start = 0; start < 3; start++) {
        CU_ASSERT_FATAL(ring_recover(world.reader, true, &found, problem) == 0);
        CU_ASSERT(found.repairable && found.hole_count == 2 && found.tail_page == first + 4);
        ring_recovery_free(&found);
    }
    for (uint32_t start = 0; start < 2; start++)
        start_over(&world, 2, world_page_head(&world, first + 2)->head);
    world_free(&world);
}

/* H10: what lies behind the last intact page + the limit in flight is not judged, but zeroed again;
 * before that only an empty slot with a few stray bits is. */
static void h10_left_overs(void)
{
    struct world world;
    world_filled(&world, 5);
    world_rot(&world, world.tail + 4, 0); /* the limit is 4 pages: tail .. tail + 3 are judged */
    world_rot(&world, world.tail + 100, 3);
    world_page_bytes(&world, world.tail)[9] ^= 0x10;
    struct ring_recovery found;
    char problem[DISK_PROBLEM_SIZE] = "";
    CU_ASSERT_FATAL(ring_recover(world.reader, true, &found, problem) == 0);
    CU_ASSERT(world_same(&world, &found, world.tail));
    CU_ASSERT(found.zeroed_slots == 3 && found.torn_pages == 0);
    ring_recovery_free(&found);
    world_look(&world, &found);
    CU_ASSERT(found.zeroed_slots == 0);
    ring_recovery_free(&found);
    for (uint64_t page = world.tail; page < world.tail + 4; page++) {
        world_rot(&world, page, 0);
        CU_ASSERT(damage_untouched(&world) == RING_ROT_TAIL);
        memset(world_page_bytes(&world, page), 0, 4096);
    }
    world_free(&world);
}

/* --- the drive puts things in the wrong place
 * ------------------------------------------------------ */

static void misplaced_and_stale(void)
{
    struct world world;
    world_filled(&world, 10);
    /* an intact page written into a free slot */
    memcpy(world_page_bytes(&world, world.tail + 50), world_page_bytes(&world, 7), 4096);
    CU_ASSERT(damage_untouched(&world) == RING_ROT_PAGE);
    memset(world_page_bytes(&world, world.tail + 50), 0, 4096);
    /* a page over another */
    uint8_t kept[4096];
    memcpy(kept, world_page_bytes(&world, 6), 4096);
    memcpy(world_page_bytes(&world, 6), world_page_bytes(&world, 8), 4096);
    CU_ASSERT(world_damage(&world) == RING_ROT_PAGE);
    memcpy(world_page_bytes(&world, 6), kept, 4096);
    CU_ASSERT(world_damage(&world) == RING_INTACT);
    /* a lost write shows the page of the lap before */
    uint64_t page = 0;
    for (uint32_t i = 0; i < 300; i++) {
        if (i == 40)
            memcpy(kept, world_page_bytes(&world, 60), 4096);
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
    memcpy(world_page_bytes(&world, 60), kept, 4096);
    CU_ASSERT(((struct ring_page *)(void *)kept)->page == 60);
    CU_ASSERT(world_damage(&world) == RING_ROT_GAP);
    world_free(&world);
}

/* --- everything bad
 * -------------------------------------------------------------------------------- */

static void whole_ring_ruined(void)
{
    struct world world;
    world_filled(&world, 10);
    for (uint64_t page = 0; page < world.tail; page++)
        world_rot(&world, page, 0);
    CU_ASSERT(damage_untouched(&world) != RING_INTACT);
    for (uint64_t page = 0; page < world.tail; page++)
        memset(world_page_bytes(&world, page), 0, 512); /* only heads are gone, payloads stand */
    CU_ASSERT(damage_untouched(&world) == RING_ROT_TAIL);
    /* of a first page alone nobody was told, if its head never got there */
    memset(world_page_bytes(&world, 0), 0, 256 * 4096);
    world_page_bytes(&world, 0)[600] = 1;
    memset(world_page_bytes(&world, 0) + 1024, 0x77, 1024);
    CU_ASSERT(damage_untouched(&world) == RING_INTACT);
    world_free(&world);
}

static void unreadable_page(void)
{
    struct world world;
    world_filled(&world, 10);
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
        CU_ASSERT(world_damage(&world) == RING_INTACT);
    }
    world.store.bad_size = 8192;
    world.store.bad_from = 0;
    CU_ASSERT(ring_recover(world.reader, false, &found, problem) == -EIO);
    world.store.bad_size = 0;
    CU_ASSERT(world_damage(&world) == RING_INTACT);
    world_free(&world);
}

/* Left-overs to the very last slot, more than are made zeros at once. */
static void many_left_overs(void)
{
    struct world world;
    world_init(&world, 600, 64, 4, 11);
    world_start(&world);
    world_settle(&world);
    uint64_t first = world.tail + 4;
    for (uint64_t page = first; page < 600; page++)
        world_rot(&world, page, 0);
    struct ring_recovery found;
    char problem[DISK_PROBLEM_SIZE] = "";
    CU_ASSERT_FATAL(ring_recover(world.reader, true, &found, problem) == 0);
    CU_ASSERT(world_same(&world, &found, world.tail) && found.zeroed_slots == 600 - first);
    for (uint64_t page = first; page < 600; page++)
        CU_ASSERT(ring_sectors_zero(world_page_bytes(&world, page), 0xff));
    ring_recovery_free(&found);
    world_free(&world);
}
static void damage_has_names(void)
{
    for (int i = 0; i <= RING_ROT_STATE; i++) {
        CU_ASSERT_STRING_NOT_EQUAL(ring_damage_name((enum ring_damage)i), "unknown");
        for (int k = 0; k < i; k++)
            CU_ASSERT_STRING_NOT_EQUAL(ring_damage_name((enum ring_damage)i),
                                       ring_damage_name((enum ring_damage)k));
    }
    CU_ASSERT_STRING_EQUAL(ring_damage_name((enum ring_damage)(RING_ROT_STATE + 1)), "unknown");
}

/* --- operations that fail, and drives that change
 * --------------------------------------------------- */

/* A log of two ways: a checkpoint and a truncation in the middle of pages, so that both are read
 * again; and left-overs to be made zeros. */
static void with_two_ways(struct world *world)
{
    world_filled(world, 12);
    CU_ASSERT_FATAL(world_append(world, 1, 700) && world_append(world, 1, 700));
    world_settle(world);
    world_done(world, world->last);
    CU_ASSERT_FATAL(world_checkpoint(world, world->last - 1) == 0);
    CU_ASSERT_FATAL(world_append(world, 1, 700) && world_append(world, 1, 700));
    world_settle(world);
    CU_ASSERT_FATAL(world_truncate(world, world->last, 2));
    world_settle(world);
    world_rot(world, world->tail + 100, 0);
}

/* False: operation n is behind the last. */
static bool fails_at(struct world *world, uint64_t n, int error, bool repair)
{
    char problem[DISK_PROBLEM_SIZE] = "";
    struct ring_recovery found;
    world->store.fail_error = error;
    world->store.fail_at = world->store.operations + n;
    int result = ring_recover(world->reader, repair, &found, problem);
    bool reached = world->store.operations >= world->store.fail_at;
    world->store.fail_at = 0;
    if (result == 0) { /* it was read again, or there is another copy, or it counts as damage */
        CU_ASSERT(found.tail_page >= world->tail && found.last_index == world->last);
        CU_ASSERT(found.damage == RING_INTACT || found.repairable || found.damage == RING_ROT_TAIL);
        ring_recovery_free(&found);
        return reached;
    }
    CU_ASSERT(reached && (result == error || result == -EBADMSG));
    CU_ASSERT(strlen(problem) > 10 && found.map == NULL);
    return true;
}

static void every_operation_fails_once(void)
{
    static const int errors[] = {-EIO, -ENODEV};
    struct world world;
    with_two_ways(&world);
    uint8_t *before = malloc(world.store.size);
    ENSURE(before != NULL);
    memcpy(before, world.store.bytes, world.store.size);
    for (uint32_t i = 0; i < 8; i++) {
        bool repair = i % 2 != 0;
        world.store.bad_from = ring_slot_offset(&world.super, 7);
        world.store.bad_size = i < 4 ? 0 : 4096; /* and one page can never be read */
        uint64_t n = 1;
        for (; n < 1000 && fails_at(&world, n, errors[i / 2 % 2], repair); n++)
            memcpy(world.store.bytes, before, world.store.size);
        CU_ASSERT(n > 10 && n < 1000);
    }
    world.store.bad_size = 0;
    memcpy(world.store.bytes, before, world.store.size);
    CU_ASSERT(world_damage(&world) == RING_INTACT);
    free(before);
    world_free(&world);
}

struct change { /* one page rots at one operation */
    struct world *world;
    uint64_t page, at;
};

static void rot_now(struct memory_store *store)
{
    struct change *change = store->watcher;
    if (store->operations == change->at)
        world_rot(change->world, change->page, 0);
}

/* What was intact a moment ago is not when it is read again: nothing that was read then is believed
 * of it, and nothing else is lost with it. */
static void every_page_changes_once(void)
{
    struct world world;
    with_two_ways(&world);
    uint8_t good[RING_PAGE_SIZE];
    for (uint64_t page = world.tail - 8; page < world.tail; page++)
        for (uint64_t n = 1; n < 20; n++) {
            struct change change = {&world, page, world.store.operations + n};
            memcpy(good, world_page_bytes(&world, page), sizeof(good));
            world.store.watch = rot_now;
            world.store.watcher = &change;
            struct ring_recovery found;
            world_look(&world, &found);
            world.store.watch = NULL;
            CU_ASSERT(found.tail_page == world.tail || page + 1 == world.tail);
            CU_ASSERT(found.damage != RING_INTACT || found.last_index == world.last);
            CU_ASSERT(found.damage == RING_INTACT || world_damage(&world) != RING_INTACT);
            ring_recovery_free(&found);
            memcpy(world_page_bytes(&world, page), good, sizeof(good));
        }
    CU_ASSERT(world_damage(&world) == RING_INTACT);
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
        {"the end is damaged, its last head intact", damaged_end_with_a_head},
        {"a new stretch behind damage, its first page lost", new_stretch_behind_damage},
        {"H10 a head in flight", h10_head_in_flight},
        {"the end is damaged, and its head had moved the head", damaged_end_moved_the_head},
        {"a torn page bears witness", torn_page_bears_witness},
        {"H10 left-overs are zeroed again, not judged", h10_left_overs},
        {"misplaced and stale writes", misplaced_and_stale},
        {"the whole ring is ruined", whole_ring_ruined},
        {"pages that can't be read", unreadable_page},
        {"left-overs to the last slot", many_left_overs},
        {"damage has names", damage_has_names},
        {"every operation fails once", every_operation_fails_once},
        {"every page changes once", every_page_changes_once},
        {0}};
    return unit_main("ring recovery", tests);
}
