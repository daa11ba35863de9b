/* What has arrived of a peer's checkpoint: cut off, torn, unreadable, lying. */
#include "tests/unit/ring/world.h"
#include "tests/unit/unit.h"

#include "consensus/ensure.h"
#include "dataplane/crc32c.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static uint8_t *area_bytes(struct world *world, unsigned area)
{
    return world->store.bytes + ring_checkpoint_offset(&world->super, area);
}

static void filled(struct world *world, uint32_t entries)
{
    world_init(world, 256, 64, 4, 31);
    world_start(world);
    for (uint32_t i = 0; i < entries; i++) {
        CU_ASSERT_FATAL(world_append(world, 1, 900));
        world_settle(world);
        world_done(world, world->last);
    }
}

static struct ring_recovery looked(struct world *world)
{
    struct ring_recovery found;
    char problem[DISK_PROBLEM_SIZE] = "";
    CU_ASSERT_FATAL(ring_recover(world->reader, false, &found, problem) == 0);
    ring_recovery_free(&found);
    return found;
}

enum { TRANSFER_SIZE = 3 * 4096 - 700, TRANSFER_CHUNK = 1024 };

static struct ring_transfer transfer_of(const struct world *world, uint64_t have)
{
    return (struct ring_transfer){.replica = WORLD_REPLICA,
                                  .incarnation = world->super.incarnation,
                                  .cluster_id = world->genesis.cluster_id,
                                  .index = 77,
                                  .term = 3,
                                  .chain = 5,
                                  .size = TRANSFER_SIZE,
                                  .have = have,
                                  .body_crc = 1};
}

/* Cut at every chunk: what had arrived is found, and nothing takes it for a checkpoint. */
static void transfer_cut_at_every_chunk(void)
{
    struct world world;
    filled(&world, 20);
    CU_ASSERT(world_checkpoint(&world, 10) == 0 && world_checkpoint(&world, 15) == 0);
    uint8_t *bytes = aligned_alloc(4096, 16384), *read = aligned_alloc(4096, 16384);
    ENSURE(bytes != NULL && read != NULL);
    for (uint32_t i = 0; i < TRANSFER_SIZE; i++)
        bytes[i] = (uint8_t)(i * 7 + i / 256);
    uint64_t from = 0;
    for (uint64_t have = TRANSFER_CHUNK;; have += TRANSFER_CHUNK) {
        have = have < TRANSFER_SIZE ? have : TRANSFER_SIZE;
        struct ring_transfer head = transfer_of(&world, have), found;
        CU_ASSERT_FATAL(ring_transfer_write(world.reader, &world.super, 1, &head, from, bytes) ==
                        0);
        CU_ASSERT_FATAL(ring_transfer_read(world.reader, &world.super, 1, &found, read, 16384) ==
                        0);
        CU_ASSERT_FATAL(found.have == have && found.index == 77 && memcmp(read, bytes, have) == 0);
        struct ring_recovery now = looked(&world);
        CU_ASSERT_FATAL(now.damage == RING_INTACT && now.checkpoint[0].index == 15);
        CU_ASSERT_FATAL(now.checkpoint[1].magic == 0 && now.bad_checkpoints == 0);
        from = have;
        if (have == TRANSFER_SIZE)
            break;
    }
    struct ring_transfer found;
    CU_ASSERT(ring_transfer_read(world.reader, &world.super, 0, &found, read, 16384) == -ENOENT);
    area_bytes(&world, 1)[4096 + 5000] ^= 1;
    CU_ASSERT(ring_transfer_read(world.reader, &world.super, 1, &found, read, 16384) == -ENOENT);
    struct ring_transfer large = transfer_of(&world, 0);
    large.size = ring_area_room(&world.super) + 1;
    CU_ASSERT(ring_transfer_write(world.reader, &world.super, 1, &large, 0, bytes) == -ENOSPC);
    free(bytes);
    free(read);
    world_free(&world);
}

/* Power goes between body and head, or within either: less is found, or nothing, never else. */
static void transfer_torn(void)
{
    uint8_t *bytes = aligned_alloc(4096, 16384), *read = aligned_alloc(4096, 16384);
    ENSURE(bytes != NULL && read != NULL);
    memset(bytes, 0x3c, 16384);
    uint64_t older = 0, none = 0;
    for (uint64_t power = 1; power <= 2; power++)
        for (uint32_t draw = 0; draw < 30; draw++) {
            struct world world;
            filled(&world, 3);
            struct ring_transfer head = transfer_of(&world, 4096), found;
            CU_ASSERT_FATAL(ring_transfer_write(world.reader, &world.super, 0, &head, 0, bytes) ==
                            0);
            world.random ^= (draw + 1) * 0x9e3779b97f4a7c15ull;
            world.store.power_at = world.store.writes + power;
            world.store.power_sectors = world_random(&world) >> 20;
            head.have = 9000;
            CU_ASSERT_FATAL(ring_transfer_write(world.reader, &world.super, 0, &head, 4096, bytes) <
                            0);
            world.store.powerless = false;
            int rc = ring_transfer_read(world.reader, &world.super, 0, &found, read, 16384);
            CU_ASSERT_FATAL(rc == 0 || rc == -ENOENT);
            CU_ASSERT_FATAL(rc != 0 || ((found.have == 4096 || found.have == 9000) &&
                                        memcmp(read, bytes, found.have) == 0));
            older += rc == 0 && found.have == 4096;
            none += rc != 0;
            world_free(&world);
        }
    CU_ASSERT(older > 20);
    free(bytes);
    free(read);
}

/* A head that is not of this ring, or of sizes that cannot be: nothing has arrived. */
static void heads_that_lie(void)
{
    struct world world;
    filled(&world, 3);
    uint8_t *bytes = aligned_alloc(4096, 16384);
    ENSURE(bytes != NULL);
    memset(bytes, 0x3c, 16384);
    struct ring_transfer good = transfer_of(&world, 5000), found;
    CU_ASSERT_FATAL(ring_transfer_write(world.reader, &world.super, 0, &good, 0, bytes) == 0);
    struct ring_transfer *head = (struct ring_transfer *)(void *)area_bytes(&world, 0);
#define NOTHING(change)                                                                            \
    do {                                                                                           \
        *head = good;                                                                              \
        change;                                                                                    \
        head->crc = crc32c(head, offsetof(struct ring_transfer, crc));                             \
        CU_ASSERT(ring_transfer_read(world.reader, &world.super, 0, &found, bytes, 16384) ==       \
                  -ENOENT);                                                                        \
    } while (0)
    NOTHING(head->magic = RING_CHECKPOINT_MAGIC);
    NOTHING(head->version++);
    NOTHING(head->replica++);
    NOTHING(head->incarnation++);
    NOTHING(head->size = ring_area_room(&world.super) + 1);
    NOTHING(head->size = head->have - 1);
    NOTHING(head->have = UINT64_MAX);
    NOTHING(head->have_crc++);
#undef NOTHING
    *head = good;
    head->index++; /* and the checksum as it was */
    CU_ASSERT(ring_transfer_read(world.reader, &world.super, 0, &found, bytes, 16384) == -ENOENT);
    *head = good;
    CU_ASSERT(ring_transfer_read(world.reader, &world.super, 0, &found, bytes, 4096) == -ENOENT);
    CU_ASSERT(ring_transfer_read(world.reader, &world.super, 0, &found, bytes, 8192) == 0);
    for (uint64_t block = 0; block < 3; block++) {
        world.store.bad_from = ring_checkpoint_offset(&world.super, 0) + block * 4096;
        world.store.bad_size = 4096;
        CU_ASSERT(ring_transfer_read(world.reader, &world.super, 0, &found, bytes, 16384) == -EIO);
    }
    free(bytes);
    world_free(&world);
}

/* The first word of a peer: how large it will be, and nothing of it. */
static void begun(void)
{
    struct world world;
    filled(&world, 3);
    uint8_t *bytes = aligned_alloc(4096, 4096);
    ENSURE(bytes != NULL);
    struct ring_transfer head = transfer_of(&world, 0), found;
    uint64_t writes = world.store.writes;
    CU_ASSERT(ring_transfer_write(world.reader, &world.super, 0, &head, 0, bytes) == 0);
    CU_ASSERT(world.store.writes == writes + 1);
    CU_ASSERT(ring_transfer_read(world.reader, &world.super, 0, &found, bytes, 4096) == 0);
    CU_ASSERT(found.have == 0 && found.size == TRANSFER_SIZE);
    free(bytes);
    world_free(&world);
}

int main(void)
{
    static const struct unit_test tests[] = {{"cut at every chunk", transfer_cut_at_every_chunk},
                                             {"torn", transfer_torn},
                                             {"heads that lie", heads_that_lie},
                                             {"begun, and nothing has come yet", begun},
                                             {0}};
    return unit_main("ring transfers", tests);
}
