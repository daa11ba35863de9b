/* Every bit of a resting 1 MiB ring, or every 64th, is flipped, one at a time (pitfall 3). In pages
 * each is found and none taken for a tear; ahead of the tail it is zeroed again and counted; a copy
 * stands in for a block.
 *
 * test_ring_flip [PART PARTS [OFFSET]]: flips bit OFFSET of every 64 (default: drawn), the work
 * shared among PARTS processes. OFFSETs 0 to 63 together are every bit: `./dev images --all`. */
#include "tests/unit/ring/world.h"
#include "tests/unit/unit.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef unsigned long long ull;

enum { STEP = 64 };

/* The work may be shared among processes: part 0..parts - 1. Set in main alone. */
static struct {
    uint64_t part, parts, offset;
} share = {0, 1, STEP};

struct flips {
    uint64_t pages, ahead, copies, checkpoints, unused;
    uint64_t verdict[RING_ROT_STATE + 1]; /* of flips in pages */
};

enum region { REGION_COPY, REGION_CHECKPOINT, REGION_PAGE, REGION_AHEAD, REGION_UNUSED };

static enum region region_of(const struct world *world, uint64_t offset, uint64_t *page)
{
    const struct ring_super *super = &world->super;
    if (offset < 4 * 4096)
        return offset % 4096 < 512 ? REGION_COPY : REGION_UNUSED;
    if (offset < RING_RESERVED_BLOCKS * 4096)
        return REGION_UNUSED;
    uint64_t slots = ring_slot_offset(super, 0);
    if (offset < slots) {
        uint64_t at = offset - ring_checkpoint_offset(super, 0);
        at %= WORLD_CHECKPOINT_BLOCKS * 4096;
        return at < 512 || (at >= 4096 && at < 4096 + 5000) ? REGION_CHECKPOINT : REGION_UNUSED;
    }
    uint64_t slot = (offset - slots) / 4096;
    struct ring_stats stats;
    ring_stats(world->ring, &stats);
    *page = slot;
    while (*page < stats.head_page)
        *page += super->slots;
    return *page < stats.tail_page ? REGION_PAGE : REGION_AHEAD;
}

static void check_flip(struct world *world, uint64_t offset, struct flips *flips)
{
    uint64_t page = 0;
    enum region region = region_of(world, offset, &page);
    struct ring_recovery found;
    char problem[DISK_PROBLEM_SIZE] = "", name[32];
    CU_ASSERT_FATAL(ring_recover(world->reader, false, &found, problem) == 0);
    if (region == REGION_PAGE) {
        snprintf(name, sizeof(name), "page %llu ", (ull)page);
        if (found.damage == RING_INTACT || strstr(found.why, name) == NULL)
            printf("# offset %llu, page %llu: %s\n", (ull)offset, (ull)page, found.why);
        CU_ASSERT_FATAL(found.damage != RING_INTACT && strstr(found.why, name) != NULL);
        flips->pages++;
        flips->verdict[found.damage]++;
    } else {
        CU_ASSERT_FATAL(world_same(world, &found, world->tail));
        CU_ASSERT_FATAL(found.zeroed_slots == (region == REGION_AHEAD));
        CU_ASSERT_FATAL(found.torn_pages == 0);
        CU_ASSERT_FATAL(found.repaired_blocks == (region == REGION_COPY));
        CU_ASSERT_FATAL(found.bad_checkpoints == (region == REGION_CHECKPOINT));
        flips->ahead += region == REGION_AHEAD;
        flips->copies += region == REGION_COPY;
        flips->checkpoints += region == REGION_CHECKPOINT;
        flips->unused += region == REGION_UNUSED;
    }
    ring_recovery_free(&found);
}

static void every_64th_bit(void)
{
    struct world world;
    world_init(&world, 256, 64, 4, 21);
    world_start(&world);
    world_settle(&world);
    /* more than a lap, with votes, a truncation, two checkpoints */
    for (uint32_t i = 0; i < 150; i++) {
        for (uint32_t j = 0; j < 3 + i % 20; j++)
            if (!world_append(&world, world.term > 0 ? world.term : 1, 100 + i))
                break;
        world_settle(&world);
        if (i % 30 == 29)
            CU_ASSERT_FATAL(world_truncate(&world, world.last - 1, world.term + 1));
        world_settle(&world);
        world_done(&world, world.last);
        if (i % 25 == 24)
            CU_ASSERT_FATAL(world_checkpoint(&world, world.last - 1) == 0);
    }
    world_settle(&world);
    struct flips flips = {0};
    uint64_t bits = world.store.size * 8;
    uint64_t offset = share.offset < STEP ? share.offset : world_random(&world) % STEP;
    uint64_t from = offset + STEP * share.part;
    for (uint64_t bit = from; bit < bits; bit += STEP * share.parts) {
        world.store.bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        check_flip(&world, bit / 8, &flips);
        world.store.bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    printf("# tail %llu; flips in pages %llu, all found, taken for a tear 0; ahead of the tail "
           "%llu, all zeroed "
           "again; superblock and genesis %llu, checkpoints %llu, unused blocks %llu\n",
           (ull)world.tail, (ull)flips.pages, (ull)flips.ahead, (ull)flips.copies,
           (ull)flips.checkpoints, (ull)flips.unused);
    CU_ASSERT(world.tail > 256 && flips.pages > 50000 / share.parts &&
              flips.ahead > 1000 / share.parts);
    CU_ASSERT(flips.copies == 4 * 512 * 8 / STEP / share.parts &&
              flips.checkpoints > 1000 / share.parts);
    printf("# figures: flips %llu in-page %llu ahead-of-tail %llu in-copy %llu in-checkpoint %llu "
           "unused %llu",
           (ull)(flips.pages + flips.ahead + flips.copies + flips.checkpoints + flips.unused),
           (ull)flips.pages, (ull)flips.ahead, (ull)flips.copies, (ull)flips.checkpoints,
           (ull)flips.unused);
    for (uint32_t damage = RING_INTACT + 1; damage <= RING_ROT_STATE; damage++)
        if (flips.verdict[damage] > 0)
            printf(" verdict:%s %llu", ring_damage_name((enum ring_damage)damage),
                   (ull)flips.verdict[damage]);
    printf("\n");
    world_free(&world);
}

int main(int argc, char **argv)
{
    if (argc >= 3) {
        share.part = strtoull(argv[1], NULL, 10);
        share.parts = strtoull(argv[2], NULL, 10);
    }
    if (argc >= 4)
        share.offset = strtoull(argv[3], NULL, 10);
    mallopt(M_MMAP_THRESHOLD, 64 << 20);
    mallopt(M_TRIM_THRESHOLD, 256 << 20);
    static const struct unit_test tests[] = {{"every 64th bit of a resting ring", every_64th_bit},
                                             {0}};
    return unit_main("ring bit flips", tests);
}
