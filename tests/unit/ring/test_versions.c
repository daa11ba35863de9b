/* Records of another version, their checksums right: refused by name, and nothing is changed. The
 * same bytes with a checksum that is wrong are damage like any other. */
#include "tests/unit/ring/world.h"
#include "tests/unit/unit.h"

#include "consensus/ensure.h"
#include "dataplane/crc32c.h"
#include "dataplane/ring/inspect.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A start, a look and the offline tools' walk all end with the sentence, and leave every byte. */
static bool refused(struct world *world, const char *what)
{
    bool all = true;
    uint8_t *before = malloc(world->store.size);
    ENSURE(before != NULL);
    memcpy(before, world->store.bytes, world->store.size);
    for (uint32_t how = 0; how < 3; how++) {
        const struct ring_visitor visitor = {.page = NULL};
        struct ring_totals totals;
        struct ring_recovery found;
        char problem[DISK_PROBLEM_SIZE] = "";
        int result = how < 2 ? ring_recover(world->reader, how == 1, &found, problem)
                             : ring_inspect(world->reader, &visitor, &totals, &found, problem);
        if (result == 0)
            ring_recovery_free(&found);
        all = all && result == -EPROTONOSUPPORT && strstr(problem, what) != NULL &&
              strstr(problem, "start the program that wrote it") != NULL;
        if (!all)
            printf("# %s: %d, %s\n", what, result, problem);
    }
    all = all && memcmp(before, world->store.bytes, world->store.size) == 0;
    free(before);
    return all;
}

static void page_of_version(struct world *world, uint64_t page, uint16_t version)
{
    struct ring_page *head = world_page_head(world, page);
    head->version = version;
    ring_page_finish(head);
}

/* --- pages ---------------------------------------------------------------------------------------
 */

static void a_page_anywhere(void)
{
    struct world world;
    uint8_t kept[4096];
    world_filled(&world, 10);
    CU_ASSERT_FATAL(world_checkpoint(&world, world.last) == 0);
    for (uint64_t page = 0; page < world.tail; page++) { /* the first, the middle, the last */
        memcpy(kept, world_page_bytes(&world, page), 4096);
        page_of_version(&world, page, 2);
        char what[80];
        snprintf(what, sizeof(what), "the page in slot %u is of version 2, this program knows 1",
                 (unsigned)page);
        CU_ASSERT_FATAL(refused(&world, what));
        memcpy(world_page_bytes(&world, page), kept, 4096);
    }
    CU_ASSERT(world_damage(&world) == RING_INTACT);
    page_of_version(&world, 7, 0); /* an older one is not understood either */
    CU_ASSERT(refused(&world, "slot 7 is of version 0, this program knows 1"));
    world_free(&world);
}

/* What a newer program wrote last: its boot's page, behind all of ours; or its only page. */
static void a_page_behind_the_end(void)
{
    struct world world;
    world_filled(&world, 10);
    uint64_t last = world.tail - 1;
    memcpy(world_page_bytes(&world, last + 1), world_page_bytes(&world, last), 4096);
    world_page_head(&world, last + 1)->page = last + 1;
    page_of_version(&world, last + 1, 3);
    CU_ASSERT(refused(&world, "is of version 3, this program knows 1"));
    uint8_t only[4096];
    memcpy(only, world_page_bytes(&world, last + 1), 4096);
    for (uint64_t page = 0; page <= last + 1; page++)
        memset(world_page_bytes(&world, page), 0, 4096);
    CU_ASSERT(world_damage(&world) == RING_INTACT);
    memcpy(world_page_bytes(&world, 200), only, 4096);
    CU_ASSERT(refused(&world, "the page in slot 200 is of version 3"));
    world_free(&world);
}

/* Nothing is known of such a page but that its head is whole: neither whose it is nor how its
 * payload is laid out. */
static void whatever_else_it_says(void)
{
    struct world world;
    world_filled(&world, 10);
    struct ring_page *head = world_page_head(&world, 8);
    memset((uint8_t *)head + RING_HEAD_SIZE, 0x5a, RING_PAGE_ROOM);
    head->version = 2;
    head->cluster_id++;
    head->incarnation++;
    head->page = 99;
    head->sector_crc[0] = 0;
    head->sector_crc[0] = crc32c(head, RING_HEAD_SIZE);
    CU_ASSERT(refused(&world, "the page in slot 8 is of version 2"));
    world_free(&world);
}

static void a_flipped_version_is_damage(void)
{
    struct world world;
    world_filled(&world, 10);
    for (uint32_t bit = 0; bit < 16; bit++) {
        uint16_t *version = &world_page_head(&world, 8)->version;
        *version ^= (uint16_t)(1u << bit);
        struct ring_recovery found;
        world_look(&world, &found);
        CU_ASSERT(found.damage == RING_ROT_PAGE && found.repairable && found.hole_count == 1);
        ring_recovery_free(&found);
        *version ^= (uint16_t)(1u << bit);
    }
    world_free(&world);
}

/* --- the other records ---------------------------------------------------------------------------
 */

static uint8_t *block_bytes(struct world *world, uint64_t block)
{
    return world->store.bytes + block * RING_PAGE_SIZE;
}

/* Magic, version and the checksum's place are alike in all records of 512 bytes. */
static void seal(uint8_t *block, uint32_t version)
{
    memcpy(block + offsetof(struct ring_super, version), &version, sizeof(version));
    uint32_t crc = crc32c(block, offsetof(struct ring_super, crc));
    memcpy(block + offsetof(struct ring_super, crc), &crc, sizeof(crc));
}
_Static_assert(offsetof(struct genesis, version) == 8 && offsetof(struct genesis, crc) == 508 &&
                   offsetof(struct ring_checkpoint, version) == 8 &&
                   offsetof(struct ring_checkpoint, crc) == 508,
               "every record states its version in one place");

/* One copy is enough: who wrote it was about to write the other. The scrub of a running ring says
 * the same, and does not make that copy anew. */
static void blocks_of_another_version(void)
{
    struct world world;
    world_filled(&world, 5);
    const struct {
        uint64_t block;
        uint32_t version;
        const char *what;
    } cases[] = {
        {RING_SUPER_BLOCK, 2, "the superblock is of version 2, this program knows 1"},
        {RING_GENESIS_BLOCK, 3, "the genesis record is of version 3, this program knows 2"},
        {RING_GENESIS_BLOCK, 0, "the genesis record is of version 0, this program knows 2"}};
    for (uint32_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint8_t *both = block_bytes(&world, cases[i].block);
        uint8_t kept[2 * RING_PAGE_SIZE];
        memcpy(kept, both, sizeof(kept));
        for (uint32_t copies = 1; copies <= 3; copies++) {
            for (uint32_t copy = 0; copy < 2; copy++)
                if ((copies >> copy & 1) != 0)
                    seal(both + copy * RING_PAGE_SIZE, cases[i].version);
            CU_ASSERT(refused(&world, cases[i].what));
            char problem[DISK_PROBLEM_SIZE] = "";
            CU_ASSERT(ring_copies_look(world.writer, &world.super, problem) == -EPROTONOSUPPORT);
            CU_ASSERT(strstr(problem, cases[i].what) != NULL);
            /* beside a damaged copy it is the only one that can be read */
            if (copies < 3) {
                both[(copies == 1 ? RING_PAGE_SIZE : 0) + 100] ^= 1;
                CU_ASSERT(refused(&world, cases[i].what));
            }
            memcpy(both, kept, sizeof(kept));
        }
        both[offsetof(struct ring_super, version)] ^= 2; /* its checksum is wrong: damage */
        CU_ASSERT(world_damage(&world) == RING_INTACT);
        memcpy(both, kept, sizeof(kept));
    }
    world_free(&world);
}

static void a_checkpoint_of_another_version(void)
{
    struct world world;
    world_filled(&world, 20);
    CU_ASSERT_FATAL(world_checkpoint(&world, 10) == 0);
    CU_ASSERT_FATAL(world_checkpoint(&world, 20) == 0);
    for (unsigned area = 0; area < 2; area++) { /* the newer and the older one */
        uint8_t *head = world.store.bytes + ring_checkpoint_offset(&world.super, area);
        char what[80];
        snprintf(what, sizeof(what), "checkpoint area %u is of version 2, this program knows 1",
                 area);
        seal(head, 2);
        CU_ASSERT(refused(&world, what));
        CU_ASSERT(ring_checkpoint_intact(world.reader, &world.super, area) == -EPROTONOSUPPORT);
        head[100] ^= 1; /* its checksum is wrong: damage, and the other one will do */
        struct ring_recovery found;
        world_look(&world, &found);
        CU_ASSERT(found.damage == RING_INTACT && found.bad_checkpoints == 1);
        ring_recovery_free(&found);
        head[100] ^= 1;
        seal(head, RING_VERSION);
    }
    CU_ASSERT(world_damage(&world) == RING_INTACT);
    world_free(&world);
}

int main(void)
{
    static const struct unit_test tests[] = {
        {"a page of another version, wherever it lies", a_page_anywhere},
        {"a page of another version behind the end", a_page_behind_the_end},
        {"a page of another version, whatever else it says", whatever_else_it_says},
        {"a flipped version is damage", a_flipped_version_is_damage},
        {"superblock and genesis record of another version", blocks_of_another_version},
        {"a checkpoint of another version", a_checkpoint_of_another_version},
        {0}};
    return unit_main("ring versions", tests);
}
