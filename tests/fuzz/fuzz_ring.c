/* Recovery on a drive that was changed: bits, sectors, whole pages that were lost, are old, or lie
 * in another's place. Recovery never crashes and never takes what was not written there: where it
 * finds the ring intact, every page and every entry is one that the ring did write, the history
 * ends at one of its own pages, and what a witness proves is not missing. With the checksums made
 * right again by somebody who chooses bytes, of pages or of checkpoints' heads, only the first of
 * these is asked, and of the start that follows. */
#include "tests/fuzz/fuzz.h"

#include "consensus/ensure.h"
#include "dataplane/crc32c.h"
#include "dataplane/ring/inspect.h"
#include "tests/unit/ring/world.h"

#include <malloc.h>
#include <stdlib.h>
#include <string.h>

enum { CHANGES_MAX = 12, OLD_AT = 60, ROUNDS = 90 };
enum { MODE_SEALED = 192, MODE_CHECKPOINTS = 224 };

enum change {
    CHANGE_XOR,    /* a byte */
    CHANGE_BIT,    /* a bit of a page's head */
    CHANGE_SECTOR, /* a sector is zeros: never written */
    CHANGE_LOST,   /* a page is zeros */
    CHANGE_OLD,    /* a page as it was some time ago */
    CHANGE_PLACE,  /* a page lies in another's slot */
    CHANGE_WORD,   /* eight bytes of a page's head */
    CHANGE_KINDS
};

static struct {
    struct world world;
    uint8_t *bytes; /* of the whole drive */
    uint8_t *old;   /* and earlier in its life */
    uint64_t first_slot;
} base;

/* More than a lap: votes, a truncation, two checkpoints. */
static void work(struct world *world, uint32_t from, uint32_t to)
{
    for (uint32_t i = from; i < to; i++) {
        for (uint32_t j = 0; j < 3 + i % 20; j++)
            if (!world_append(world, world->term > 0 ? world->term : 1, 100 + i * 3))
                break;
        world_settle(world);
        if (i % 30 == 29)
            ENSURE(world_truncate(world, world->last - 1, world->term + 1));
        if (i % 13 == 12)
            world_hard(world, world->term + 1, 2);
        world_settle(world);
        world_done(world, world->last);
        if (i % 25 == 24)
            ENSURE(world_checkpoint(world, world->last - 1) == 0);
    }
}

static uint8_t *copy_of(const struct world *world)
{
    uint8_t *copy = malloc(world->store.size);
    ENSURE(copy != NULL);
    memcpy(copy, world->store.bytes, world->store.size);
    return copy;
}

static void prepare(void)
{
    struct world *world = &base.world;
    if (base.bytes != NULL)
        return;
    mallopt(M_MMAP_THRESHOLD, 64 << 20);
    world_init(world, 256, 64, 4, 21);
    world_start(world);
    world_settle(world);
    work(world, 0, OLD_AT);
    base.old = copy_of(world);
    work(world, OLD_AT, ROUNDS);
    base.bytes = copy_of(world);
    base.first_slot = ring_slot_offset(&world->super, 0);
    ENSURE(world->tail > world->super.slots);
}

/* Half of the changes go near the tail, where tear and rot have to be told apart. */
static uint64_t slot_offset(struct fuzz_input *in)
{
    uint8_t byte = fuzz_u8(in);
    uint64_t slots = base.world.super.slots;
    uint64_t slot = byte < 128 ? (base.world.tail + 16 - byte % 32) % slots : byte * 2u % slots;
    return base.first_slot + slot * RING_PAGE_SIZE;
}

static void change(struct fuzz_input *in, uint8_t *bytes, uint64_t size, bool finish)
{
    enum change kind = (enum change)fuzz_below(in, CHANGE_KINDS);
    uint64_t at = slot_offset(in), other;
    switch (kind) {
    case CHANGE_XOR:
        other = (at + fuzz_u16(in)) % size;
        if (fuzz_u8(in) < 64) /* the blocks in front of the slots */
            other %= base.first_slot;
        bytes[other] ^= fuzz_u8(in);
        break;
    case CHANGE_BIT:
        other = fuzz_u16(in) % (RING_HEAD_SIZE * 8);
        bytes[at + other / 8] ^= (uint8_t)(1u << other % 8);
        break;
    case CHANGE_SECTOR:
        memset(bytes + at + fuzz_u8(in) % RING_SECTORS * RING_SECTOR_SIZE, 0, RING_SECTOR_SIZE);
        break;
    case CHANGE_LOST:
        memset(bytes + at, 0, RING_PAGE_SIZE);
        break;
    case CHANGE_OLD:
        memcpy(bytes + at, base.old + at, RING_PAGE_SIZE);
        break;
    case CHANGE_PLACE:
        other = slot_offset(in);
        memmove(bytes + at, bytes + other, RING_PAGE_SIZE);
        break;
    case CHANGE_WORD:
    case CHANGE_KINDS:
        other = fuzz_u64(in);
        memcpy(bytes + at + fuzz_u8(in) % (RING_HEAD_SIZE / 8) * 8, &other, sizeof(other));
        break;
    }
    if (finish && fuzz_u8(in) < 192)
        ring_page_finish((struct ring_page *)(void *)(bytes + at));
}

/* A field of a checkpoint's head, its checksum made right again. */
static void change_checkpoint(struct fuzz_input *in, uint8_t *bytes)
{
    unsigned area = fuzz_u8(in) & 1;
    struct ring_checkpoint *head =
        (struct ring_checkpoint *)(void *)(bytes + ring_checkpoint_offset(&base.world.super, area));
    uint64_t word = fuzz_u64(in);
    size_t at = fuzz_u8(in) % (offsetof(struct ring_checkpoint, reserved) / 4) * 4;
    memcpy((uint8_t *)head + at, &word, at % 8 == 0 && at < 96 ? 8 : 4);
    head->crc = crc32c(head, offsetof(struct ring_checkpoint, crc));
}

static bool same_entry(const struct world_entry *written, const struct ring_inspect_entry *shown)
{
    return written->crc == shown->entry->crc && written->term == shown->entry->term &&
           written->chain == shown->chain;
}

/* Each entry that recovery calls live is one that the ring wrote: what stands there at last, or
 * stood there before a truncation that is gone with the tail. The chain says where. */
static bool check_entry(void *context, const struct ring_inspect_entry *shown)
{
    const struct world *world = context;
    uint64_t index = shown->entry->index;
    if (!shown->live || shown->doubtful)
        return true;
    if (index <= world->last && same_entry(&world->log[index], shown))
        return true;
    for (uint64_t i = 0; i < world->made_count; i++)
        if (same_entry(&world->made[i], shown))
            return true;
    fuzz_failed(__FILE__, __LINE__, "an entry that nobody wrote");
}

/* A page that recovery let go: what differs in it from what was written is zeros, as a write that
 * never got there leaves it, or the slot is empty but for a few stray bits. All else is rot. Where
 * the head never got there, the other sectors' checksums are lost with it, and nothing tells what
 * else became of them: the head alone makes it a tear. */
static void check_torn(const struct world *world, uint64_t page)
{
    uint64_t offset = ring_slot_offset(&world->super, page);
    const uint8_t *now = world->store.bytes + offset, *written = base.bytes + offset;
    if (ring_page_erased(now) || ring_sectors_zero(now, 1))
        return;
    for (uint32_t sector = 0; sector < RING_SECTORS; sector++) {
        size_t at = (size_t)sector * RING_SECTOR_SIZE;
        FUZZ_REQUIRE(memcmp(now + at, written + at, RING_SECTOR_SIZE) == 0 ||
                     ring_sectors_zero(now, 1u << sector));
    }
}

/* No page of the history is cut off that this recovery's own pages bear witness for, and none that
 * is there and damaged. */
static void check_intact(const struct world *world, const struct ring_recovery *found)
{
    FUZZ_REQUIRE(found->tail_page <= world->tail && found->tail_page > 0);
    FUZZ_REQUIRE(world_same(world, found, found->tail_page));
    const struct ring_page *last =
        (const void *)(base.bytes + ring_slot_offset(&world->super, found->tail_page - 1));
    FUZZ_REQUIRE(last->page == found->tail_page - 1);
    FUZZ_REQUIRE(found->tail_page >= last->durable_page && found->last_lsn >= last->durable_lsn);
    for (uint64_t page = found->tail_page; page < world->tail; page++)
        check_torn(world, page);
    FUZZ_REQUIRE(found->commit <= world->commit && found->boot == world->boot);
}

/* Whatever was chosen, a start goes well or says why not. */
static void start(struct world *world)
{
    char problem[DISK_PROBLEM_SIZE] = "";
    struct ring_recovery found;
    if (ring_recover(world->reader, true, &found, problem) != 0)
        return;
    const struct ring_options options = {.writer = world->writer,
                                         .reader = world->reader,
                                         .memory = world->memory,
                                         .window_pages = world->window_pages,
                                         .flight_pages = world->flight_pages,
                                         .cluster_id = world->genesis.cluster_id,
                                         .boot = found.boot + 1,
                                         .boot_id = 7};
    struct ring *ring;
    int result = ring_start(&ring, &options, &found, problem);
    FUZZ_REQUIRE(result == 0 || problem[0] != 0);
    ring_recovery_free(&found);
}

static void look(struct world *world, bool sealed, bool twice)
{
    const struct ring_visitor visitor = {.context = world, .entry = sealed ? NULL : check_entry};
    struct ring_totals totals;
    struct ring_recovery found;
    char problem[DISK_PROBLEM_SIZE] = "";
    if (ring_inspect(world->reader, &visitor, &totals, &found, problem) != 0) {
        FUZZ_REQUIRE(problem[0] != 0);
        return;
    }
    enum ring_damage damage = found.damage;
    FUZZ_REQUIRE(damage == RING_INTACT || strlen(found.why) > 10);
    if (damage == RING_INTACT && !sealed)
        check_intact(world, &found);
    uint64_t tail = found.tail_page;
    ring_recovery_free(&found);
    if (damage != RING_INTACT)
        return;
    /* with repair it finds the same, and finds it again with nothing left to do */
    for (uint32_t round = 0; round < (twice ? 2 : 1); round++) {
        FUZZ_REQUIRE(ring_recover(world->reader, true, &found, problem) == 0);
        FUZZ_REQUIRE(found.damage == RING_INTACT && found.tail_page == tail);
        FUZZ_REQUIRE(round == 0 || (found.torn_pages == 0 && found.zeroed_slots == 0));
        ring_recovery_free(&found);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input in = fuzz_open(data, size);
    prepare();
    struct world *world = &base.world;
    memcpy(world->store.bytes, base.bytes, world->store.size);
    uint8_t mode = fuzz_u8(&in);
    bool sealed = mode >= MODE_SEALED;
    for (uint32_t i = 0; i < CHANGES_MAX && fuzz_left(&in); i++)
        if (mode >= MODE_CHECKPOINTS && i % 2 == 0)
            change_checkpoint(&in, world->store.bytes);
        else
            change(&in, world->store.bytes, world->store.size, sealed);
    look(world, sealed, mode % 8 == 0);
    if (sealed)
        start(world);
    return 0;
}
