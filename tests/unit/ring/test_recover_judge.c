/* Where the kept pages end, on drives that say what no writer wrote: pages with all their checksums
 * right, of another owner, another lap, or that contradict each other.
 */
#include "tests/unit/ring/world.h"
#include "tests/unit/unit.h"

#include "consensus/ensure.h"
#include "dataplane/crc32c.h"

#include <stdlib.h>
#include <string.h>

/* Two more pages, tail - 2 and tail - 1, that are written, and nobody says that they are durable.
 */
static void unwitnessed(struct world *world)
{
    world->store.hold = true;
    for (uint32_t i = 0; i < 6; i++) /* the third page stays open */
        CU_ASSERT_FATAL(world_append(world, 1, 1200));
    world_turn(world);
    CU_ASSERT_FATAL(world->store.pending_count == 2);
    memory_complete_all(&world->store);
    world->store.hold = false;
    struct ring_recovery found;
    world_look(world, &found);
    CU_ASSERT_FATAL(found.damage == RING_INTACT && found.tail_page == world->tail);
    CU_ASSERT_FATAL(world_page_head(world, world->tail - 1)->durable_page == world->tail - 2);
    ring_recovery_free(&found);
}

static struct ring_page *copy_page(struct world *world, uint64_t to, uint64_t from)
{
    memcpy(world_page_bytes(world, to), world_page_bytes(world, from), RING_PAGE_SIZE);
    return world_page_head(world, to);
}

/* A stranger's page in a slot that must be empty. Where a page can have been in flight it is rot,
 * further on it is zeroed again; it bears no witness. This ring's own, misplaced, is always rot. */
static void pages_of_strangers(void)
{
    struct world world;
    world_filled(&world, 10);
    unwitnessed(&world);
    for (uint32_t whose = 0; whose < 4; whose++)
        for (uint64_t ahead = 0; ahead < 60; ahead += 50) {
            uint64_t number = world.tail + ahead;
            struct ring_page *page = copy_page(&world, number, 5);
            page->page = whose == 3 ? number + 1 : number;
            page->durable_page = number;
            page->last_lsn = page->durable_lsn = 1000;
            page->boot = 9;
            page->cluster_id += whose == 0;
            page->incarnation += whose == 1;
            page->replica = (uint8_t)(page->replica + (whose == 2));
            ring_page_finish(page);
            struct ring_recovery found;
            world_look(&world, &found);
            bool rot = ahead == 0 || whose == 3;
            CU_ASSERT((found.damage != RING_INTACT) == rot && found.unknown == rot);
            CU_ASSERT(found.last_lsn == world.pages[world.tail - 1].lsn && found.boot == 1);
            CU_ASSERT(found.zeroed_slots == (rot ? 0 : 1));
            ring_recovery_free(&found);
            memset(world_page_bytes(&world, number), 0, RING_PAGE_SIZE);
        }
    CU_ASSERT(world_damage(&world) == RING_INTACT);
    world_free(&world);
}

/* The write of a page was lost that nobody witnessed, and the zeroing of its slot before it: the
 * lap before shows through, intact, and a later page stands behind it. */
static void the_lap_before_shows_through(void)
{
    struct world world;
    world_filled(&world, 40);
    uint8_t *old = malloc(world.store.size);
    ENSURE(old != NULL);
    memcpy(old, world.store.bytes, world.store.size);
    CU_ASSERT_FATAL(world.tail > 80);
    for (uint32_t i = 0; world.tail < 256 + 20; i++) {
        CU_ASSERT_FATAL(world_append(&world, 1, 900) && world_append(&world, 1, 900));
        world_settle(&world);
        world_done(&world, world.last);
        if (i % 20 == 19)
            CU_ASSERT_FATAL(world_checkpoint(&world, world.last) == 0);
    }
    unwitnessed(&world);
    uint64_t lost = world.tail - 2;
    memcpy(world_page_bytes(&world, lost), old + ring_slot_offset(&world.super, lost),
           RING_PAGE_SIZE);
    CU_ASSERT_FATAL(world_page_head(&world, lost)->page == lost - 256);
    CU_ASSERT(world_damage(&world) == RING_ROT_GAP);
    world_rot(&world, lost, 1); /* and damaged since then */
    CU_ASSERT(world_damage(&world) == RING_ROT_PAGE);
    world_rot(&world, lost, 0);
    CU_ASSERT(world_damage(&world) == RING_ROT_PAGE);
    free(old);
    world_free(&world);
}

/* A torn write leaves zeros. An entry that was changed under sums made right again is none. */
static void an_entry_that_lies(void)
{
    struct world world;
    world_filled(&world, 10);
    unwitnessed(&world);
    struct ring_page *page = world_page_head(&world, world.tail - 1);
    ring_page_entries(page)[70] ^= 1;
    ring_page_finish(page);
    struct ring_recovery found;
    world_look(&world, &found);
    CU_ASSERT(found.damage == RING_ROT_TAIL && strstr(found.why, "mask: 0)") != NULL);
    ring_recovery_free(&found);
    world_free(&world);
}

/* A torn page whose head alone says that what is lost before it was durable: by LSN, where the page
 * numbers say no more than others do; and of a lap that cannot be. */
static void a_torn_head_bears_witness(void)
{
    for (uint64_t laps = 0; laps < 4; laps += 3) {
        struct world world;
        world_filled(&world, 10);
        unwitnessed(&world);
        uint64_t last = world.tail - 1, number = world.tail + laps * world.super.slots;
        struct ring_page *page = copy_page(&world, number, last);
        page->page = number;
        page->durable_page = laps == 0 ? last - 1 : number;
        page->durable_lsn = page->last_lsn;
        memmove(&page->before[1], &page->before[0], sizeof(page->before) - sizeof(page->self));
        page->before[0] = page->self;
        page->self.first_index += page->self.count;
        page->self.chain_before = world.log[page->self.first_index - 1].chain;
        page->last_lsn++;
        ring_page_finish(page);
        memset((uint8_t *)page + 512, 0, RING_PAGE_SIZE - 512);
        memset(world_page_bytes(&world, last - 1), 0, RING_PAGE_SIZE);
        for (uint32_t start = 0; start < 2; start++) {
            struct ring_recovery found;
            char problem[DISK_PROBLEM_SIZE] = "";
            CU_ASSERT_FATAL(ring_recover(world.reader, true, &found, problem) == 0);
            CU_ASSERT(found.damage != RING_INTACT && found.repairable == (laps == 0));
            CU_ASSERT(laps != 0 || (found.tail_page == number + 1 && found.hole_count == 2));
            ring_recovery_free(&found);
        }
        world_free(&world);
    }
}

/* A page alone that states a head above 0 and that nothing before it was durable: what was kept
 * before it held term and vote. */
static void a_head_and_nothing_behind_it(void)
{
    struct world world;
    world_filled(&world, 10);
    for (uint64_t page = 0; page < world.tail; page++)
        if (page != 6)
            memset(world_page_bytes(&world, page), 0, RING_PAGE_SIZE);
    struct ring_page *page = world_page_head(&world, 6);
    page->head = 3;
    page->durable_page = page->durable_lsn = 0;
    ring_page_finish(page);
    struct ring_recovery found;
    world_look(&world, &found);
    CU_ASSERT(found.damage == RING_ROT_STATE && found.unknown);
    ring_recovery_free(&found);
    world_free(&world);
}

/* Pages in every slot, each intact and following from the one before: no writer leaves the next
 * page without a place. */
static void no_slot_is_free(void)
{
    struct world world;
    world_init(&world, 256, 64, 4, 3);
    world_start(&world);
    world_settle(&world);
    for (uint64_t number = 1; number < 256; number++) {
        struct ring_page *page = copy_page(&world, number, 0);
        page->page = page->durable_page = number;
        for (uint32_t i = 0; i < RING_PREDECESSORS; i++)
            page->before[i] = i < number ? page->self : (struct ring_identity){0};
        ring_page_finish(page);
        struct ring_recovery found;
        if (number > 252) {
            world_look(&world, &found);
            CU_ASSERT((found.damage == RING_INTACT) == (number < 255));
            CU_ASSERT(found.tail_page == number + 1 && found.unknown == (number == 255));
            ring_recovery_free(&found);
        }
    }
    world_free(&world);
}

/* A checkpoint that states no page: of index 0, or the seed with which a ring began. */
static void checkpoints_without_a_page(void)
{
    struct world world;
    world_filled(&world, 10);
    CU_ASSERT_FATAL(world_checkpoint(&world, 5) == 0);
    struct ring_checkpoint *head =
        (struct ring_checkpoint *)(void *)(world.store.bytes +
                                           ring_checkpoint_offset(&world.super, 1));
    CU_ASSERT_FATAL(head->index == 5);
    for (uint32_t what = 0; what < 3; what++) {
        head->index = what == 0 ? 0 : 5;
        head->chain = world.log[head->index].chain;
        head->installed = what == 1 ? RING_INSTALLED_SEED : RING_INSTALLED_NOT;
        head->page = world.tail + 7; /* as one that speaks would have it durable */
        head->crc = crc32c(head, offsetof(struct ring_checkpoint, crc));
        CU_ASSERT((world_damage(&world) == RING_INTACT) == (what < 2));
    }
    world_free(&world);
}

int main(void)
{
    static const struct unit_test tests[] = {
        {"pages of strangers", pages_of_strangers},
        {"the lap before shows through", the_lap_before_shows_through},
        {"an entry that lies", an_entry_that_lies},
        {"a torn head bears witness", a_torn_head_bears_witness},
        {"a head above 0, and nothing behind it", a_head_and_nothing_behind_it},
        {"no slot is free", no_slot_is_free},
        {"checkpoints that state no page", checkpoints_without_a_page},
        {0}};
    return unit_main("ring end", tests);
}
