/* The first blocks: format, superblock copies, genesis installed once. */
#include "tests/unit/ring/world.h"
#include "tests/unit/unit.h"

#include "dataplane/crc32c.h"

#include <errno.h>
#include <string.h>

static void made_sound(struct genesis *genesis)
{
    genesis->crc = crc32c(genesis, offsetof(struct genesis, crc));
}

struct seen {
    uint64_t calls, done, total;
};

static void note_progress(void *context, uint64_t done, uint64_t total)
{
    struct seen *seen = context;
    seen->calls++;
    CU_ASSERT(done > seen->done && done <= total);
    seen->done = done;
    seen->total = total;
}

static void format_zeroes_everything(void)
{
    struct world world;
    world_init(&world, 600, 64, 4, 1);
    memset(world.store.bytes, 0xee, world.store.size);
    char problem[DISK_PROBLEM_SIZE] = "";
    struct ring_super super;
    CU_ASSERT(ring_super_read(world.writer, &super, problem) == -EBADMSG); /* no ring, not empty */
    struct seen seen = {0};
    CU_ASSERT(ring_format(world.writer, &world.super, note_progress, &seen, problem) == 0);
    CU_ASSERT(seen.calls > 1 && seen.done == seen.total && seen.total == world.store.size);
    CU_ASSERT(ring_super_read(world.writer, &super, problem) == 0);
    CU_ASSERT(super.incarnation == world.super.incarnation && super.slots == 600);
    uint64_t other = 0;
    for (uint64_t i = 2 * 4096; i < world.store.size; i++)
        other += world.store.bytes[i] != 0;
    CU_ASSERT(other == 0);
    struct genesis genesis;
    CU_ASSERT(ring_genesis_read(world.writer, &genesis, problem) == -ENOENT);
    world_free(&world);
}

/* Power goes at each write of a format: either no ring is there, or the whole. */
static void format_is_all_or_nothing(void)
{
    uint64_t rings = 0, none = 0;
    for (uint64_t power = 1; power < 10; power++) {
        struct world world;
        world_init(&world, 256, 64, 4, power);
        world_start(&world);
        CU_ASSERT(world_append(&world, 1, 100));
        world_settle(&world);
        struct ring_super super = world.super;
        super.incarnation = 777;
        world.store.power_at = world.store.writes + power;
        world.store.power_sectors = world_random(&world);
        char problem[DISK_PROBLEM_SIZE] = "";
        int result = ring_format(world.writer, &super, NULL, NULL, problem);
        world.store.powerless = false;
        world.store.power_at = 0;
        struct ring_super found;
        int read = ring_super_read(world.writer, &found, problem);
        CU_ASSERT(read == 0 || read == -ENOENT || read == -EBADMSG);
        rings += read == 0 && found.incarnation == 777;
        none += read != 0;
        if (read == 0 && found.incarnation == 777)
            for (uint64_t slot = 0; slot < 256; slot++)
                CU_ASSERT(world.store.bytes[ring_slot_offset(&found, slot) + 8] == 0);
        world_free(&world);
        if (result == 0)
            break;
    }
    CU_ASSERT(rings > 0 && none > 0);
}

static void bad_geometry(void)
{
    struct world world;
    world_init(&world, 256, 64, 4, 1);
    char problem[DISK_PROBLEM_SIZE] = "";
    struct ring_super super = world.super;
    super.slots = 255;
    CU_ASSERT(ring_format(world.writer, &super, NULL, NULL, problem) == -EINVAL);
    super.slots = 257; /* one more than there is room for */
    CU_ASSERT(ring_format(world.writer, &super, NULL, NULL, problem) == -EINVAL);
    CU_ASSERT(strstr(problem, "smaller") != NULL);
    super = world.super;
    super.checkpoint_blocks = 1;
    CU_ASSERT(ring_format(world.writer, &super, NULL, NULL, problem) == -EINVAL);
    super = world.super;
    super.replica = 8;
    CU_ASSERT(ring_format(world.writer, &super, NULL, NULL, problem) == -EINVAL);
    super = world.super;
    super.incarnation = 0;
    CU_ASSERT(ring_format(world.writer, &super, NULL, NULL, problem) == -EINVAL);
    CU_ASSERT(ring_super_read(world.writer, &super, problem) == 0); /* nothing was touched */
    world_free(&world);
}

static void one_copy_will_do(void)
{
    struct world world;
    world_init(&world, 256, 64, 4, 1);
    char problem[DISK_PROBLEM_SIZE] = "";
    struct ring_super super;
    struct genesis genesis;
    struct ring_recovery found;
    for (uint32_t block = 0; block < 4; block++) {
        world.store.bytes[block * 4096 + 40] ^= 1;
        CU_ASSERT(ring_super_read(world.writer, &super, problem) == 0);
        CU_ASSERT(ring_genesis_read(world.writer, &genesis, problem) == 0);
        CU_ASSERT(ring_recover(world.writer, true, &found, problem) == 0);
        CU_ASSERT(found.repaired_blocks == 1 && found.damage == RING_INTACT);
        ring_recovery_free(&found);
        CU_ASSERT(memcmp(world.store.bytes + (block & 2) * 4096,
                         world.store.bytes + ((block & 2) + 1) * 4096, 4096) == 0);
    }
    world.store.bytes[40] ^= 1;
    world.store.bytes[4096 + 40] ^= 1;
    CU_ASSERT(ring_super_read(world.writer, &super, problem) == -EBADMSG);
    world.store.bytes[40] ^= 1;
    world.store.bytes[2 * 4096 + 40] ^= 1;
    world.store.bytes[3 * 4096 + 40] ^= 1;
    CU_ASSERT(ring_genesis_read(world.writer, &genesis, problem) == -EBADMSG);
    CU_ASSERT(ring_recover(world.writer, true, &found, problem) == -EBADMSG);
    world_free(&world);
}

/* Both superblocks wiped: not to be taken for an empty drive, neither by who reads nor by format.
 */
/* The scrub's look at a running ring: a bad copy is made anew, both bad or another ring are told.
 */
static void copies_are_looked_at(void)
{
    struct world world;
    world_init(&world, 256, 64, 4, 1);
    char problem[DISK_PROBLEM_SIZE] = "";
    const struct ring_super super = world.super;
    CU_ASSERT(ring_copies_look(world.writer, &super, problem) == 0);
    for (uint32_t block = 0; block < 4; block++) {
        world.store.bytes[block * 4096 + 40] ^= 1;
        CU_ASSERT(ring_copies_look(world.writer, &super, problem) == 1);
        CU_ASSERT(ring_copies_look(world.writer, &super, problem) == 0);
    }
    struct ring_super other = super;
    other.incarnation++;
    CU_ASSERT(ring_copies_look(world.writer, &other, problem) == -EBADMSG);
    CU_ASSERT(strstr(problem, "another than at the start") != NULL);
    for (uint32_t copy = 0; copy < 2; copy++)
        world.store.bytes[copy * 4096 + 40] ^= 1;
    CU_ASSERT(ring_copies_look(world.writer, &super, problem) == -EBADMSG);
    world_free(&world);
}

static void wiped_is_not_empty(void)
{
    struct world world;
    world_init(&world, 256, 64, 4, 1);
    world_start(&world);
    CU_ASSERT(world_append(&world, 1, 100));
    world_settle(&world);
    char problem[DISK_PROBLEM_SIZE] = "";
    struct ring_super super;
    uint64_t offset = 1;
    memset(world.store.bytes, 0, 2 * 4096);
    CU_ASSERT(ring_super_read(world.reader, &super, problem) == -EBADMSG);
    CU_ASSERT(strstr(problem, "superblock are gone") != NULL);
    CU_ASSERT(ring_first_data(world.reader, &offset) == 0 && offset == 2 * 4096);
    memset(world.store.bytes, 0, 4 * 4096); /* the genesis record with them */
    CU_ASSERT(ring_super_read(world.reader, &super, problem) == -ENOENT);
    CU_ASSERT(ring_first_data(world.reader, &offset) == 0);
    CU_ASSERT(offset == ring_slot_offset(&world.super, 0));
    memset(world.store.bytes, 0, world.store.size);
    CU_ASSERT(ring_first_data(world.reader, &offset) == -ENOENT);
    world_free(&world);
}

/* A drive that is smaller than the first blocks, and one without a byte. */
static void no_room_for_a_ring(void)
{
    for (uint64_t size = 0; size < RING_RESERVED_BLOCKS * 4096ull; size += 3 * 4096) {
        struct memory_store store;
        memory_store_init(&store, size);
        char path[MEMORY_PATH_SIZE], problem[DISK_PROBLEM_SIZE] = "";
        memory_store_path(&store, path);
        struct disk_options options = {.path = path, .depth = 1};
        struct disk *disk;
        struct ring_super super;
        CU_ASSERT_FATAL(disk_open(&disk, &options, problem) == 0);
        CU_ASSERT(ring_super_read(disk, &super, problem) == (size == 0 ? -ENOENT : -EBADMSG));
        CU_ASSERT(strstr(problem, size == 0 ? "format it first" : "cut short") != NULL);
        disk_close(disk);
        memory_store_free(&store);
    }
}

/* What cannot be read is not taken for empty. */
static void unreadable_is_not_empty(void)
{
    struct world world;
    world_init(&world, 256, 64, 4, 1);
    char problem[DISK_PROBLEM_SIZE] = "";
    struct ring_super super;
    struct genesis genesis;
    uint64_t offset;
    world.store.bad_size = 4096;
    world.store.bad_from = 3 * 4096;
    CU_ASSERT(ring_genesis_read(world.writer, &genesis, problem) == 0); /* the other copy */
    memset(world.store.bytes + 2 * 4096, 0, 4096);
    CU_ASSERT(ring_genesis_read(world.writer, &genesis, problem) == -EBADMSG);
    CU_ASSERT(strstr(problem, "damaged") != NULL);
    CU_ASSERT(ring_genesis_install(world.writer, &world.genesis, false, problem) == -EBADMSG);
    world.store.bad_from = 0;
    CU_ASSERT(ring_super_read(world.writer, &super, problem) == 0);
    CU_ASSERT(ring_first_data(world.reader, &offset) == -EIO);
    world.store.bad_size = 2 * 4096;
    CU_ASSERT(ring_super_read(world.writer, &super, problem) == -EIO);
    CU_ASSERT(ring_genesis_install(world.writer, &world.genesis, false, problem) == -EIO);
    CU_ASSERT(strstr(problem, "unreadable") != NULL);
    world_free(&world);
}

/* Each operation of a repair of both kinds of blocks fails once: said, and mended at the next
 * start. False: operation n is behind the last. */
static bool repair_fails_at(struct world *world, uint64_t n, uint32_t copy)
{
    char problem[DISK_PROBLEM_SIZE] = "";
    struct ring_recovery found;
    world->store.bytes[copy * 4096 + 40] ^= 1;
    world->store.bytes[(2 + copy) * 4096 + 40] ^= 1;
    world->store.fail_at = world->store.operations + n;
    int result = ring_recover(world->writer, true, &found, problem);
    bool reached = world->store.operations >= world->store.fail_at;
    world->store.fail_at = 0;
    if (result != 0) {
        CU_ASSERT(reached && (result == -ENOSPC || result == -EBADMSG));
        CU_ASSERT(strlen(problem) > 10);
        CU_ASSERT_FATAL(ring_recover(world->writer, true, &found, problem) == 0);
    }
    CU_ASSERT(found.damage == RING_INTACT && (reached || found.repaired_blocks == 2));
    ring_recovery_free(&found);
    for (uint64_t block = 0; block < 4; block += 2)
        CU_ASSERT(memcmp(world->store.bytes + block * 4096, world->store.bytes + (block + 1) * 4096,
                         4096) == 0);
    return reached;
}

static void repair_fails_anywhere(void)
{
    struct world world;
    world_init(&world, 256, 64, 4, 1);
    world.store.fail_error = -ENOSPC;
    for (uint32_t copy = 0; copy < 2; copy++) {
        uint64_t n = 1;
        while (n < 100 && repair_fails_at(&world, n, copy))
            n++;
        CU_ASSERT(n > 8 && n < 100);
    }
    world_free(&world);
}

/* H1: a wiped server is formatted again with the same genesis record and would come back as the old
 * voter with an empty log. Its new format drew another incarnation: the record is refused. */
static void h1_genesis_once(void)
{
    struct world world;
    world_init(&world, 256, 64, 4, 1);
    char problem[DISK_PROBLEM_SIZE] = "";
    CU_ASSERT(ring_genesis_install(world.writer, &world.genesis, false, problem) ==
              0); /* the same again */
    struct genesis other = world.genesis;
    other.cluster_id++;
    made_sound(&other);
    CU_ASSERT(ring_genesis_install(world.writer, &other, false, problem) == -EEXIST);
    struct ring_super super = world.super;
    super.incarnation = 999; /* wiped, formatted again */
    CU_ASSERT(ring_format(world.writer, &super, NULL, NULL, problem) == 0);
    CU_ASSERT(ring_genesis_install(world.writer, &world.genesis, false, problem) == -EPERM);
    struct genesis read;
    CU_ASSERT(ring_genesis_read(world.writer, &read, problem) == -ENOENT);
    /* a newcomer is in no genesis record: it joins with the cluster's own */
    CU_ASSERT(ring_genesis_install(world.writer, &world.genesis, true, problem) == 0);
    CU_ASSERT(ring_format(world.writer, &super, NULL, NULL, problem) == 0);
    other = world.genesis;
    other.founder[WORLD_REPLICA].incarnation = 999;
    CU_ASSERT(ring_genesis_install(world.writer, &other, false, problem) ==
              -EINVAL); /* its crc is wrong */
    CU_ASSERT(strstr(problem, "checksum") != NULL);
    other.stall_ms = 0;
    made_sound(&other);
    CU_ASSERT(ring_genesis_install(world.writer, &other, false, problem) == -EINVAL);
    CU_ASSERT(strstr(problem, "stall_ms") != NULL);
    other.stall_ms = world.genesis.stall_ms;
    made_sound(&other);
    CU_ASSERT(ring_genesis_install(world.writer, &other, false, problem) == 0);
    CU_ASSERT(ring_genesis_read(world.writer, &read, problem) == 0);
    CU_ASSERT(memcmp(&read, &other, sizeof(read)) == 0);
    world_free(&world);
}

/* Power goes while the record is installed: it is there, or can be installed again. */
static void install_torn(void)
{
    struct world world;
    world_init(&world, 256, 64, 4, 1);
    char problem[DISK_PROBLEM_SIZE] = "";
    for (uint64_t power = 1; power <= 2; power++)
        for (uint64_t sectors = 0; sectors < 4; sectors++) {
            memset(world.store.bytes + 2 * 4096, 0, 2 * 4096);
            world.store.power_at = world.store.writes + power;
            world.store.power_sectors = sectors;
            CU_ASSERT(ring_genesis_install(world.writer, &world.genesis, false, problem) == -EIO);
            world.store.powerless = false;
            struct genesis read;
            int result = ring_genesis_read(world.writer, &read, problem);
            CU_ASSERT(result == (power == 2 || (sectors & 1) != 0 ? 0 : -ENOENT));
            CU_ASSERT(ring_genesis_install(world.writer, &world.genesis, false, problem) == 0);
            CU_ASSERT(ring_genesis_read(world.writer, &read, problem) == 0);
        }
    world_free(&world);
}

int main(void)
{
    static const struct unit_test tests[] = {
        {"format zeroes everything", format_zeroes_everything},
        {"format is all or nothing", format_is_all_or_nothing},
        {"bad geometry is refused", bad_geometry},
        {"one intact copy will do, and is copied", one_copy_will_do},
        {"the scrub's look at both copies", copies_are_looked_at},
        {"a wiped superblock makes no empty drive", wiped_is_not_empty},
        {"no room for a ring", no_room_for_a_ring},
        {"what cannot be read is not empty", unreadable_is_not_empty},
        {"a repair fails anywhere", repair_fails_anywhere},
        {"H1 the genesis record is installed once, for this incarnation", h1_genesis_once},
        {"power goes while genesis is installed", install_torn},
        {0}};
    return unit_main("ring superblock and genesis", tests);
}
