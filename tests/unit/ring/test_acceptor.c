/* The paxos record on the drive: torn writes, rot, and what may stand beside a lock. */
#include "dataplane/ring/acceptor.h"

#include "dataplane/crc32c.h"
#include "tests/unit/ring/world.h"
#include "tests/unit/unit.h"

#include <errno.h>
#include <string.h>

enum { BLOCK = 4096, SUBSETS = 1 << 8 /* of a block's sectors */ };

static char problem[DISK_PROBLEM_SIZE];

static uint8_t *copy_at(struct world *world, uint32_t which)
{
    return world->store.bytes + (ACCEPTOR_BLOCK + which) * BLOCK;
}

/* A formatted ring without a genesis record. */
static void fresh(struct world *world)
{
    world_init(world, 256, 64, 4, 1);
    CU_ASSERT_FATAL(ring_format(world->writer, &world->super, NULL, NULL, problem) == 0);
    problem[0] = '\0';
}

static struct acceptor_record read_sound(struct world *world, uint32_t *bad)
{
    struct acceptor_record record;
    CU_ASSERT_FATAL(acceptor_read(world->writer, &world->super, &record, bad, problem) == 0);
    return record;
}

/* A lock, then promises: each call another one. */
static void promise(struct world *world, struct acceptor_record *record)
{
    record->paxos.incarnation = world->super.incarnation;
    record->paxos.lock = paxos_list_hash(&world->genesis);
    record->paxos.promised = paxos_ballot(paxos_round(record->paxos.promised) + 1, 1);
}

static void blank_where_never_written(void)
{
    struct world world;
    uint32_t bad = 9;
    fresh(&world);
    struct acceptor_record record = read_sound(&world, &bad);
    CU_ASSERT(bad == 0 && record.sequence == 0 && record.paxos.lock == 0 && record.boot == 0);
    CU_ASSERT(record.incarnation == world.super.incarnation && record.replica == WORLD_REPLICA);
    for (uint32_t which = 0; which < 2; which++) { /* nothing rests on a write that was cut off */
        copy_at(&world, which)[3] = 1;
        record = read_sound(&world, &bad);
        CU_ASSERT(bad == 1u << which && record.sequence == 0);
        copy_at(&world, which)[3] = 0;
    }
    record.boot = 1; /* a start that has promised nothing yet */
    CU_ASSERT(acceptor_write(world.writer, &record, 0) == 0);
    record = read_sound(&world, &bad);
    CU_ASSERT(record.boot == 1 && record.sequence == 1 && record.paxos.incarnation == 0);
    world_free(&world);
}

static void both_blocks_are_written(void)
{
    struct world world;
    uint32_t bad;
    fresh(&world);
    struct acceptor_record record = read_sound(&world, &bad);
    for (uint64_t i = 1; i <= 3; i++) {
        promise(&world, &record);
        record.seen[1] = (struct acceptor_boot){.incarnation = 7, .boot = i, .boot_id = 10 * i};
        CU_ASSERT(acceptor_write(world.writer, &record, 0) == 0 && record.sequence == i);
        CU_ASSERT(memcmp(copy_at(&world, 0), copy_at(&world, 1), BLOCK) == 0);
        struct acceptor_record again = read_sound(&world, &bad);
        CU_ASSERT(bad == 0 && memcmp(&again, &record, sizeof(record)) == 0);
    }
    CU_ASSERT(copy_at(&world, 2)[0] == 0); /* and nothing else */
    struct genesis genesis;
    CU_ASSERT(ring_genesis_read(world.writer, &genesis, problem) == -ENOENT);
    world_free(&world);
}

/* Power goes at each of the two writes, with every subset of the sectors of that write on the
 * drive: the old record or the new one is there, whole, and the new one once its first block is.
 * `before`: records that were written whole first. */
static void torn(uint32_t before)
{
    uint32_t old = 0, new = 0;
    struct world world;
    uint32_t bad;
    fresh(&world);
    for (uint32_t power = 1; power <= 2; power++)
        for (uint32_t sectors = 0; sectors < SUBSETS; sectors++) {
            memset(copy_at(&world, 0), 0, 2 * BLOCK); /* as formatted */
            struct acceptor_record record = read_sound(&world, &bad);
            for (uint32_t i = 0; i < before; i++) {
                promise(&world, &record);
                CU_ASSERT(acceptor_write(world.writer, &record, 0) == 0);
            }
            struct acceptor_record kept = record;
            promise(&world, &record);
            world.store.power_at = world.store.writes + power;
            world.store.power_sectors = sectors;
            CU_ASSERT(acceptor_write(world.writer, &record, 0) < 0);
            world.store.powerless = false;
            world.store.power_at = 0;
            struct acceptor_record found = read_sound(&world, &bad);
            bool is_new = found.sequence == record.sequence;
            CU_ASSERT(memcmp(&found, is_new ? &record : &kept, sizeof(found)) == 0);
            CU_ASSERT(power == 1 || is_new);
            old += !is_new;
            new += is_new;
            /* the next start makes both whole again */
            promise(&world, &found);
            CU_ASSERT(acceptor_write(world.writer, &found, bad) == 0);
            CU_ASSERT(memcmp(copy_at(&world, 0), copy_at(&world, 1), BLOCK) == 0);
            read_sound(&world, &bad);
            CU_ASSERT(bad == 0);
        }
    world_free(&world);
    CU_ASSERT(old > 0 && new > 0);
}

static void torn_at_the_first_write(void)
{
    torn(0);
}

static void torn_at_a_later_write(void)
{
    torn(1);
    torn(2);
}

/* A good copy is not overwritten while the other is bad. */
static void heals_the_bad_copy_first(void)
{
    for (uint32_t which = 0; which < 2; which++)
        for (uint32_t more = 0; more < 2; more++) { /* whichever is first otherwise */
            struct world world;
            uint32_t bad;
            fresh(&world);
            struct acceptor_record record = read_sound(&world, &bad);
            for (uint32_t i = 0; i <= more; i++) {
                promise(&world, &record);
                CU_ASSERT(acceptor_write(world.writer, &record, 0) == 0);
            }
            copy_at(&world, which)[700] ^= 4;
            struct acceptor_record kept = record;
            struct acceptor_record found = read_sound(&world, &bad);
            CU_ASSERT(bad == 1u << which && memcmp(&found, &kept, sizeof(kept)) == 0);
            world.store.power_at = world.store.writes + 1;
            world.store.power_sectors = 1;
            CU_ASSERT(acceptor_write(world.writer, &found, bad) < 0);
            world.store.powerless = false;
            world.store.power_at = 0;
            found = read_sound(&world, &bad);
            CU_ASSERT(memcmp(&found, &kept, sizeof(kept)) == 0);
            world_free(&world);
        }
}

/* One bit anywhere in one copy forgets nothing; in both, nothing is believed. */
static void rot(void)
{
    struct world world;
    uint32_t bad;
    fresh(&world);
    struct acceptor_record record = read_sound(&world, &bad);
    for (int i = 0; i < 3; i++) {
        promise(&world, &record);
        CU_ASSERT(acceptor_write(world.writer, &record, 0) == 0);
    }
    for (uint32_t bit = 0; bit < 8 * ACCEPTOR_SIZE; bit += 7)
        for (uint32_t which = 0; which < 2; which++) {
            copy_at(&world, which)[bit / 8] ^= (uint8_t)(1u << bit % 8);
            struct acceptor_record found = read_sound(&world, &bad);
            CU_ASSERT(bad == 1u << which && memcmp(&found, &record, sizeof(found)) == 0);
            if (which == 1) {
                copy_at(&world, 0)[5] ^= 1;
                CU_ASSERT(acceptor_read(world.writer, &world.super, &found, &bad, problem) ==
                          -EBADMSG);
                CU_ASSERT(bad == 3 && strstr(problem, "format the ring anew") != NULL);
                CU_ASSERT(found.paxos.lock == 0);
                copy_at(&world, 0)[5] ^= 1;
            }
            copy_at(&world, which)[bit / 8] ^= (uint8_t)(1u << bit % 8);
        }
    world.store.bad_from = ACCEPTOR_BLOCK * BLOCK; /* a sector that cannot be read is as bad */
    world.store.bad_size = BLOCK;
    struct acceptor_record found = read_sound(&world, &bad);
    CU_ASSERT(bad == 1 && memcmp(&found, &record, sizeof(found)) == 0);
    world.store.bad_size = 2 * BLOCK;
    CU_ASSERT(acceptor_read(world.writer, &world.super, &found, &bad, problem) == -EIO);
    world.store.bad_size = 0;
    memset(copy_at(&world, 1), 0, BLOCK); /* the other one may hold a record that was told */
    world.store.bad_size = BLOCK;
    CU_ASSERT(acceptor_read(world.writer, &world.super, &found, &bad, problem) == -EIO);
    world.store.bad_size = 0;
    world_free(&world);
}

static void seal(struct world *world, struct acceptor_record *record)
{
    record->crc = crc32c(record, offsetof(struct acceptor_record, crc));
    for (uint32_t i = 0; i < 2; i++)
        memcpy(copy_at(world, i), record, sizeof(*record));
}

static void what_is_not_of_here(void)
{
    struct world world;
    uint32_t bad;
    fresh(&world);
    struct acceptor_record record = read_sound(&world, &bad), found;
    promise(&world, &record);
    CU_ASSERT(acceptor_write(world.writer, &record, 0) == 0);
    struct acceptor_record other = record;
    other.version = 2;
    seal(&world, &other);
    CU_ASSERT(acceptor_read(world.writer, &world.super, &found, &bad, problem) == -EPROTONOSUPPORT);
    CU_ASSERT(strstr(problem, "the paxos record is of version 2") != NULL);
    other = record;
    other.incarnation++;
    seal(&world, &other);
    CU_ASSERT(read_sound(&world, &bad).paxos.lock == 0);
    other = record;
    other.replica++;
    seal(&world, &other);
    CU_ASSERT(read_sound(&world, &bad).paxos.lock == 0);
    other = record;
    other.paxos.incarnation++;
    seal(&world, &other);
    CU_ASSERT(acceptor_read(world.writer, &world.super, &found, &bad, problem) == -EBADMSG);
    other = record;
    other.paxos.lock = 0; /* a promise without a lock */
    seal(&world, &other);
    CU_ASSERT(acceptor_read(world.writer, &world.super, &found, &bad, problem) == -EBADMSG);
    CU_ASSERT(strstr(problem, "a promise without a lock") != NULL);
    world_free(&world);
}

static void a_write_that_fails(void)
{
    for (uint64_t nth = 1; nth <= 2; nth++) {
        struct world world;
        uint32_t bad;
        fresh(&world);
        struct acceptor_record record = read_sound(&world, &bad);
        promise(&world, &record);
        world.store.fail_at = world.store.operations + nth;
        CU_ASSERT(acceptor_write(world.writer, &record, 0) == -EIO);
        world_free(&world);
    }
}

/* By hand a genesis record is installed where nothing is locked, and is noted for who asks. */
static void installed_by_hand(void)
{
    struct world world;
    uint32_t bad;
    struct genesis found;
    fresh(&world);
    CU_ASSERT(acceptor_install(world.writer, &world.genesis, false, problem) == 0);
    CU_ASSERT(ring_genesis_read(world.writer, &found, problem) == 0);
    struct acceptor_record record = read_sound(&world, &bad);
    CU_ASSERT(record.sequence == 1 && record.paxos.decided == 1 && record.paxos.lock == 0);
    CU_ASSERT(memcmp(&record.paxos.value, &world.genesis, sizeof(found)) == 0);
    CU_ASSERT(acceptor_install(world.writer, &world.genesis, false, problem) == 0); /* again */
    CU_ASSERT(read_sound(&world, &bad).sequence == 1);
    struct genesis other = world.genesis;
    other.cluster_id++;
    other.crc = crc32c(&other, offsetof(struct genesis, crc));
    CU_ASSERT(acceptor_install(world.writer, &other, false, problem) == -EEXIST);

    int result = 0; /* the note cannot be written */
    for (uint64_t nth = 1; nth < 40 && result != -EIO; nth++) {
        CU_ASSERT_FATAL(ring_format(world.writer, &world.super, NULL, NULL, problem) == 0);
        world.store.fail_at = world.store.operations + nth;
        result = acceptor_install(world.writer, &world.genesis, false, problem);
        if (strstr(problem, "paxos record: writing") == NULL)
            result = 0; /* an earlier operation of it failed, or none: the next one */
    }
    CU_ASSERT(result == -EIO && strstr(problem, "paxos record: writing") != NULL);
    world_free(&world);
}

/* H1 and paxos.h: a founder that has locked installs what its list decides, and nothing else. */
static void not_beside_a_lock(void)
{
    struct world world;
    uint32_t bad;
    struct genesis found;
    fresh(&world);
    struct acceptor_record record = read_sound(&world, &bad);
    promise(&world, &record);
    CU_ASSERT(acceptor_write(world.writer, &record, 0) == 0);
    CU_ASSERT(acceptor_install(world.writer, &world.genesis, false, problem) == -EBUSY);
    CU_ASSERT(strstr(problem, "locked a founder list") != NULL);
    CU_ASSERT(acceptor_install(world.writer, &world.genesis, true, problem) == -EBUSY);
    CU_ASSERT(ring_genesis_read(world.writer, &found, problem) == -ENOENT);
    record.paxos.decided = 1;
    record.paxos.value = world.genesis;
    CU_ASSERT(acceptor_write(world.writer, &record, 0) == 0);
    struct genesis other = world.genesis;
    other.cluster_id++;
    other.crc = crc32c(&other, offsetof(struct genesis, crc));
    CU_ASSERT(acceptor_install(world.writer, &other, false, problem) == -EBUSY);
    CU_ASSERT(acceptor_install(world.writer, &world.genesis, false, problem) == 0);
    CU_ASSERT(ring_genesis_read(world.writer, &found, problem) == 0);
    CU_ASSERT(read_sound(&world, &bad).paxos.lock == record.paxos.lock);
    /* without a superblock, or with a paxos record that nobody can read, nothing is installed */
    copy_at(&world, 0)[0] ^= 1;
    copy_at(&world, 1)[0] ^= 1;
    CU_ASSERT(acceptor_install(world.writer, &world.genesis, false, problem) == -EBADMSG);
    memset(world.store.bytes, 0, world.store.size);
    CU_ASSERT(acceptor_install(world.writer, &world.genesis, false, problem) == -ENOENT);
    world_free(&world);
}

int main(void)
{
    static const struct unit_test tests[] = {
        {"blank where never written", blank_where_never_written},
        {"both blocks are written", both_blocks_are_written},
        {"torn at the first write", torn_at_the_first_write},
        {"torn at a later write", torn_at_a_later_write},
        {"heals the bad copy first", heals_the_bad_copy_first},
        {"rot", rot},
        {"what is not of here", what_is_not_of_here},
        {"a write that fails", a_write_that_fails},
        {"installed by hand", installed_by_hand},
        {"not beside a lock", not_beside_a_lock},
        {0}};
    return unit_main("the paxos record on the drive", tests);
}
