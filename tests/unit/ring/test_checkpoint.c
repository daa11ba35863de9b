/* Checkpoint areas: written, verified, chosen; torn, damaged, lying. */
#include "tests/unit/ring/world.h"
#include "tests/unit/unit.h"

#include "consensus/ensure.h"
#include "dataplane/crc32c.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

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

static uint8_t *area_bytes(struct world *world, unsigned area)
{
    return world->store.bytes + ring_checkpoint_offset(&world->super, area);
}

static void written_and_read(void)
{
    struct world world;
    filled(&world, 20);
    struct ring_recovery found = looked(&world);
    CU_ASSERT(!found.have_checkpoint && found.bad_checkpoints == 0);
    for (uint64_t index = 5; index <= 8; index++) {
        CU_ASSERT(world_checkpoint(&world, index) == 0);
        found = looked(&world);
        CU_ASSERT(found.damage == RING_INTACT && found.have_checkpoint);
        CU_ASSERT(found.checkpoint[0].index == index);
        CU_ASSERT(found.checkpoint[0].sequence == index - 4);
        CU_ASSERT(index == 5 ? found.checkpoint[1].magic == 0
                             : found.checkpoint[1].index == index - 1);
        CU_ASSERT(found.checkpoint_area[0] == (index - 4) % 2);
    }
    uint8_t *bytes = aligned_alloc(4096, 8192);
    ENSURE(bytes != NULL);
    struct ring_checkpoint head;
    CU_ASSERT(ring_checkpoint_read(world.reader, &world.super, 0, &head, bytes, 8192) == 5000);
    CU_ASSERT(head.index == 8 && bytes[0] == 8 && bytes[4999] == (uint8_t)(8 + 4999));
    CU_ASSERT(ring_checkpoint_read(world.reader, &world.super, 0, &head, bytes, 4096) == -ENOBUFS);
    area_bytes(&world, 0)[4096 + 77] ^= 1;
    CU_ASSERT(ring_checkpoint_read(world.reader, &world.super, 0, &head, bytes, 8192) == -EBADMSG);
    free(bytes);
    world_free(&world);
}

/* H14: the leader's drive lags; control would checkpoint index 100 while the ring ends at 90.
 * Refused: by the durable position, and by the page that has to hold the index. */
static void h14_above_the_local_log(void)
{
    struct world world;
    filled(&world, 20);
    world.store.hold = true;
    CU_ASSERT(world_append(&world, 1, 900));
    world_turn(&world); /* its page is on its way */
    CU_ASSERT(world_checkpoint(&world, world.last) == -ERANGE);
    memory_complete_all(&world.store); /* written, but the disk role hasn't said so */
    CU_ASSERT(world_checkpoint(&world, world.last) == -ERANGE);
    ring_disk_turn(world.ring);
    CU_ASSERT(world_checkpoint(&world, world.last) == 0);
    world.store.hold = false;
    /* the base form looks for the page, the term and the chain on the drive itself */
    uint8_t *bytes = aligned_alloc(4096, 4096);
    ENSURE(bytes != NULL);
    memset(bytes, 1, 4096);
    uint64_t page, first, last;
    CU_ASSERT_FATAL(ring_span(world.ring, 10, &page, &first, &last));
    const struct ring_checkpoint good = {.replica = WORLD_REPLICA,
                                         .incarnation = world.super.incarnation,
                                         .cluster_id = world.genesis.cluster_id,
                                         .index = 10,
                                         .term = 1,
                                         .chain = world.log[10].chain,
                                         .lsn = 10,
                                         .page = page,
                                         .sequence = 9};
    struct ring_checkpoint head = good;
    CU_ASSERT(ring_checkpoint_write(world.reader, &world.super, 0, &head, bytes, 100) == 0);
    head = good;
    head.index = last + 1;
    CU_ASSERT(ring_checkpoint_write(world.reader, &world.super, 0, &head, bytes, 100) == -ERANGE);
    head = good;
    head.term = 2;
    CU_ASSERT(ring_checkpoint_write(world.reader, &world.super, 0, &head, bytes, 100) == -ERANGE);
    head = good;
    head.chain ^= 1;
    CU_ASSERT(ring_checkpoint_write(world.reader, &world.super, 0, &head, bytes, 100) == -ERANGE);
    head = good;
    head.page = world.tail + 5;
    CU_ASSERT(ring_checkpoint_write(world.reader, &world.super, 0, &head, bytes, 100) == -ERANGE);
    head = good;
    CU_ASSERT(ring_checkpoint_write(world.reader, &world.super, 0, &head, bytes,
                                    (WORLD_CHECKPOINT_BLOCKS - 1) * 4096 + 1) == -ENOSPC);
    free(bytes);
    world_free(&world);
}

/* H14, found at a start: a checkpoint that is ahead of the log means that the log's end is lost. */
static void h14_found_ahead(void)
{
    struct world world;
    filled(&world, 20);
    CU_ASSERT(world_checkpoint(&world, 20) == 0);
    struct ring_recovery found = looked(&world);
    CU_ASSERT(found.damage == RING_INTACT);
    uint64_t page = world.tail - 1;
    for (uint32_t i = 0; i < 4; i++, page--) /* the last pages vanish, as if never written */
        memset(world.store.bytes + ring_slot_offset(&world.super, page), 0, 4096);
    found = looked(&world);
    CU_ASSERT(found.damage == RING_ROT_TAIL && strstr(found.why, "checkpoint") != NULL);
    world_free(&world);
}

/* The drive confirms what it does not keep: those of its writes, by bit. */
static void keep_some(struct memory_store *store)
{
    const uint32_t *lost = store->watcher;
    store->lose_blocking = (*lost >> store->writes & 1) != 0;
}

/* H14: the write is read back: what the drive confirmed and did not keep is an error, whatever lies
 * there instead. */
static void h14_verified(void)
{
    for (uint32_t older = 0; older < 3; older++)    /* what the area held: nothing, more, as much */
        for (uint32_t lost = 1; lost < 4; lost++) { /* the body, the head, both */
            struct world world;
            filled(&world, 20);
            for (uint64_t index = 8; older > 0 && index < 10; index++)
                CU_ASSERT_FATAL(world_checkpoint(&world, index) == 0);
            if (older == 1)
                memset(area_bytes(&world, 1), 0xa5, 3 * 4096);
            world.store.watch = keep_some;
            world.store.watcher = &lost;
            world.store.writes = 0;
            CU_ASSERT(world_checkpoint(&world, 12) == -EIO);
            world.store.watch = NULL;
            world.store.lose_blocking = false;
            CU_ASSERT(looked(&world).checkpoint[0].index == (older > 0 ? 9 : 0));
            CU_ASSERT(world_checkpoint(&world, 12) == 0);
            CU_ASSERT(looked(&world).checkpoint[0].index == 12);
            world_free(&world);
        }
}

/* H14: with one area bad the other and the log do, in whatever order: the head stays behind the
 * older. */
static void h14_one_of_two_is_enough(void)
{
    struct world world;
    filled(&world, 20);
    for (uint32_t i = 0; i < 400; i++) {
        CU_ASSERT_FATAL(world_append(&world, 1, 900) && world_append(&world, 1, 900));
        world_settle(&world);
        world_done(&world, world.last);
        if (i % 20 == 19)
            CU_ASSERT_FATAL(world_checkpoint(&world, world.last) == 0);
    }
    struct ring_stats stats;
    ring_stats(world.ring, &stats);
    CU_ASSERT(stats.head_page > 256);
    uint64_t newest = looked(&world).checkpoint[0].index;
    for (unsigned area = 0; area < 2; area++) {
        uint8_t kept = area_bytes(&world, area)[4096 + 9];
        area_bytes(&world, area)[4096 + 9] ^= 0x40;
        struct ring_recovery found = looked(&world);
        CU_ASSERT(found.damage == RING_INTACT && found.bad_checkpoints == 1);
        CU_ASSERT(found.checkpoint[1].magic == 0 && found.checkpoint[0].index <= newest);
        CU_ASSERT(found.first_index <= found.checkpoint[0].index + 1);
        area_bytes(&world, area)[4096 + 9] = kept;
    }
    area_bytes(&world, 0)[4096 + 9] ^= 0x40;
    area_bytes(&world, 1)[30] ^= 0x40;
    CU_ASSERT(looked(&world).damage == RING_ROT_CHECKPOINT);
    world_free(&world);
}

static void chain_must_agree(void)
{
    struct world world;
    filled(&world, 20);
    CU_ASSERT(world_checkpoint(&world, 10) == 0);
    struct ring_checkpoint *head = (struct ring_checkpoint *)(void *)area_bytes(&world, 1);
    CU_ASSERT_FATAL(head->index == 10);
    head->chain ^= 2;
    head->crc = crc32c(head, offsetof(struct ring_checkpoint, crc));
    CU_ASSERT(looked(&world).damage == RING_ROT_CHECKPOINT);
    world_free(&world);
}

/* Power goes within the write of a checkpoint, at each of its two writes, with any of many draws of
 * sectors: the ring stays intact, and the one before or the new one is found. */
static void crash_while_writing(void)
{
    uint64_t older = 0, newer = 0;
    for (uint32_t area_fill = 0; area_fill < 3; area_fill++)
        for (uint64_t power = 1; power <= 2; power++)
            for (uint32_t draw = 0; draw < 20; draw++) {
                struct world world;
                filled(&world, 20);
                world.random ^= (draw + 1) * 0x9e3779b97f4a7c15ull;
                for (uint32_t i = 0; i < area_fill; i++)
                    CU_ASSERT_FATAL(world_checkpoint(&world, 5 + i) == 0);
                world.store.power_at = world.store.writes + power;
                world.store.power_sectors = world_random(&world) >> 20;
                CU_ASSERT_FATAL(world_checkpoint(&world, 15) < 0);
                world.store.powerless = false;
                struct ring_recovery found = looked(&world);
                CU_ASSERT_FATAL(found.damage == RING_INTACT && found.last_index == 20);
                uint64_t index = found.have_checkpoint ? found.checkpoint[0].index : 0;
                CU_ASSERT_FATAL(index == 15 || index == (area_fill > 0 ? 4 + area_fill : 0));
                older += index != 15;
                newer += index == 15;
                world_free(&world);
            }
    CU_ASSERT(older > 60 && newer > 5);
}

/* --- a peer's ----------------------------------------------------------------------------------
 */

/* Pitfall 8, at a start: a peer's checkpoint at the log's first index, at its last, behind it. What
 * holds its index and term is kept; else the log begins anew, and a start finds it so again. */
static void peers_at_the_edges(void)
{
    for (uint64_t index = 1; index <= 22; index++) {
        struct world world;
        filled(&world, 20);
        bool holds = index <= 20;
        if (holds) { /* as the log has it */
            struct ring_checkpoint head = {.replica = WORLD_REPLICA,
                                           .incarnation = world.super.incarnation,
                                           .cluster_id = world.genesis.cluster_id,
                                           .index = index,
                                           .term = 1,
                                           .chain = world.log[index].chain,
                                           .sequence = 1};
            uint8_t *body = aligned_alloc(4096, 4096);
            ENSURE(body != NULL);
            CU_ASSERT(ring_control_checkpoint_install(world.ring, world.reader, 1, &head, body,
                                                      100) == 0);
            free(body);
        } else {
            CU_ASSERT(world_store_peers(&world, index, 1, 2) == 0);
        }
        struct ring_recovery found = looked(&world);
        CU_ASSERT_FATAL(found.damage == RING_INTACT && found.begins_anew == !holds);
        CU_ASSERT(found.last_index == (holds ? 20 : index) && found.commit >= index);
        CU_ASSERT(found.first_index == (holds ? 1 : index + 1));
        world_crash(&world);
        if (!holds) {
            world_start(&world);
            world_settle(&world);
            CU_ASSERT_FATAL(world_append(&world, 2, 100));
            world_settle(&world);
            world_check_entries(&world);
            world_crash(&world);
            world_start(&world);
            CU_ASSERT(!looked(&world).begins_anew && world.last == index + 1);
        }
        world_free(&world);
    }
}

/* The same index and term with another chain is damage (H6); so is a log whose witnessed end is
 * gone, whatever the checkpoint covers: term and vote may be gone with it. */
static void peers_excuse_no_damage(void)
{
    struct world world;
    filled(&world, 20);
    CU_ASSERT(world_store_peers(&world, 15, 1, 1) == 0);
    CU_ASSERT(looked(&world).damage == RING_ROT_CHECKPOINT);
    world_free(&world);
    filled(&world, 20);
    CU_ASSERT(world_store_peers(&world, 30, 2, 2) == 0);
    CU_ASSERT(looked(&world).damage == RING_INTACT);
    for (uint64_t page = world.tail - 1; page >= world.tail - 4; page--)
        memset(world.store.bytes + ring_slot_offset(&world.super, page), 0, 4096);
    CU_ASSERT(looked(&world).damage != RING_INTACT);
    world_free(&world);
    filled(&world, 20); /* committed here, by its pages, on another way */
    world_append(&world, 1, 900);
    world_settle(&world);
    CU_ASSERT(world_store_peers(&world, 12, 2, 2) == 0);
    CU_ASSERT(looked(&world).damage != RING_INTACT);
    world_free(&world);
}

/* Power goes at each write of the two copies: the log as it was, or the checkpoint. */
static void peers_crash_while_storing(void)
{
    uint64_t anew = 0, as_it_was = 0;
    for (uint64_t power = 1; power <= 4; power++)
        for (uint32_t draw = 0; draw < 20; draw++) {
            struct world world;
            filled(&world, 20);
            CU_ASSERT_FATAL(world_checkpoint(&world, 9) == 0 && world_checkpoint(&world, 15) == 0);
            world.random ^= (draw + 1) * 0x9e3779b97f4a7c15ull;
            world.store.power_at = world.store.writes + power;
            world.store.power_sectors = world_random(&world) >> 20;
            CU_ASSERT_FATAL(world_store_peers(&world, 40, 3, 2) < 0);
            world.store.powerless = false;
            struct ring_recovery found = looked(&world);
            CU_ASSERT_FATAL(found.damage == RING_INTACT && found.have_checkpoint);
            CU_ASSERT_FATAL(found.last_index == (found.begins_anew ? 40 : 20));
            CU_ASSERT_FATAL(found.term == (found.begins_anew ? 3u : world.term));
            anew += found.begins_anew;
            as_it_was += !found.begins_anew;
            world_free(&world);
        }
    CU_ASSERT(anew >= 40 && as_it_was >= 30);
}

/* --- any bytes, with right checksums
 * ---------------------------------------------------------------- */

static void lie(struct world *world, uint32_t what, struct ring_checkpoint *head)
{
    switch (what) {
    case 0:
        head->replica++;
        break;
    case 1:
        head->incarnation++;
        break;
    case 2:
        head->cluster_id++;
        break;
    case 3:
        head->size = ring_area_room(&world->super) + 1;
        break;
    case 4:
        head->sequence = 0;
        break;
    case 5:
        head->chain = 0;
        break;
    case 6:
        head->installed = RING_INSTALLED_SEED + 1;
        break;
    case 7: /* an index behind which there is none */
        head->index = UINT64_MAX;
        head->installed = RING_INSTALLED_PEER;
        break;
    case 8:
        head->page = UINT64_MAX;
        break;
    case 9:
        head->term = RING_COUNT_MAX;
        break;
    case 10:
        head->lsn = UINT64_MAX;
        break;
    default:
        head->body_crc++;
        break;
    }
    head->crc = crc32c(head, offsetof(struct ring_checkpoint, crc));
}

/* Nobody's checkpoint, or nobody's numbers: the other one does. */
static void heads_that_lie(void)
{
    struct world world;
    filled(&world, 20);
    uint8_t *bytes = aligned_alloc(4096, 16384);
    ENSURE(bytes != NULL);
    CU_ASSERT_FATAL(world_checkpoint(&world, 5) == 0 && world_checkpoint(&world, 8) == 0);
    struct ring_checkpoint *head = (struct ring_checkpoint *)(void *)area_bytes(&world, 0);
    const struct ring_checkpoint good = *head;
    CU_ASSERT_FATAL(good.index == 8);
    for (uint32_t what = 0; what < 12; what++) {
        *head = good;
        lie(&world, what, head);
        struct ring_recovery found = looked(&world);
        CU_ASSERT(found.damage == RING_INTACT && found.bad_checkpoints == 1);
        CU_ASSERT(found.checkpoint[0].index == 5 && found.checkpoint[1].magic == 0);
        bool of_here = what == 2; /* recovery alone knows the cluster */
        struct ring_checkpoint read;
        CU_ASSERT(ring_checkpoint_intact(world.reader, &world.super, 0) ==
                  (of_here ? 0 : -EBADMSG));
        CU_ASSERT(ring_checkpoint_read(world.reader, &world.super, 0, &read, bytes, 16384) ==
                  (of_here ? 5000 : -EBADMSG));
    }
    *head = good;
    head->size = 0; /* of no byte: read as such */
    head->body_crc = 0;
    head->crc = crc32c(head, offsetof(struct ring_checkpoint, crc));
    struct ring_checkpoint read;
    CU_ASSERT(ring_checkpoint_read(world.reader, &world.super, 0, &read, bytes, 16384) == 0);
    CU_ASSERT(looked(&world).checkpoint[0].index == 8);
    free(bytes);
    world_free(&world);
}

static void areas_that_cannot_be_read(void)
{
    struct world world;
    filled(&world, 20);
    uint8_t *bytes = aligned_alloc(4096, 16384);
    ENSURE(bytes != NULL);
    CU_ASSERT_FATAL(world_checkpoint(&world, 5) == 0 && world_checkpoint(&world, 8) == 0);
    for (uint64_t block = 0; block < 3; block++) { /* the head, and both of the body */
        world.store.bad_from = ring_checkpoint_offset(&world.super, 0) + block * 4096;
        world.store.bad_size = 4096;
        struct ring_recovery found = looked(&world);
        CU_ASSERT(found.damage == RING_INTACT && found.bad_checkpoints == 1);
        CU_ASSERT(found.checkpoint[0].index == 5);
        CU_ASSERT(ring_checkpoint_intact(world.reader, &world.super, 0) == -EBADMSG);
        struct ring_checkpoint read;
        CU_ASSERT(ring_checkpoint_read(world.reader, &world.super, 0, &read, bytes, 16384) == -EIO);
    }
    free(bytes);
    world_free(&world);
}

static int write_one(struct world *world, const struct ring_checkpoint *wanted, size_t size)
{
    uint8_t *bytes = aligned_alloc(4096, 4096);
    ENSURE(bytes != NULL);
    memset(bytes, 7, 4096);
    struct ring_checkpoint head = *wanted;
    int result = ring_checkpoint_write(world->reader, &world->super, 0, &head, bytes, size);
    free(bytes);
    return result;
}

/* Of index 0 there is no page to name; of the others the page must be that very one. */
static void refused_to_be_written(void)
{
    struct world world;
    filled(&world, 20);
    uint64_t page, first, last;
    CU_ASSERT_FATAL(ring_span(world.ring, 10, &page, &first, &last));
    const struct ring_checkpoint empty = {.replica = WORLD_REPLICA,
                                          .incarnation = world.super.incarnation,
                                          .cluster_id = world.genesis.cluster_id,
                                          .chain = world.log[0].chain,
                                          .sequence = 1};
    CU_ASSERT(write_one(&world, &empty, 0) == 0);
    CU_ASSERT(looked(&world).have_checkpoint);
    struct ring_checkpoint head = empty;
    head.sequence = 0;
    CU_ASSERT(write_one(&world, &head, 100) == -EINVAL);
    struct ring_checkpoint good = empty;
    good.index = 10;
    good.term = 1;
    good.chain = world.log[10].chain;
    good.page = page;
    good.sequence = 2;
    CU_ASSERT(write_one(&world, &good, 100) == 0);
    head = good;
    head.index = first - 1;
    CU_ASSERT(write_one(&world, &head, 100) == -ERANGE);
    head = good;
    head.page += world.super.slots; /* the next lap's, in the same slot */
    CU_ASSERT(write_one(&world, &head, 100) == -ERANGE);
    world.store.bad_from = ring_slot_offset(&world.super, page);
    world.store.bad_size = 4096;
    CU_ASSERT(write_one(&world, &good, 100) == -EIO);
    world.store.bad_size = 0;
    CU_ASSERT(looked(&world).checkpoint[0].index == 10);
    world_free(&world);
}

/* The second piece cannot be read: what is known of the first proves nothing. */
static void a_body_of_many_pieces(void)
{
    enum { BLOCKS = 600, BODY = (BLOCKS - 1) * 4096 - 77 };
    struct ring_super super = {
        .replica = 1, .incarnation = 9, .slots = RING_SLOTS_MIN, .checkpoint_blocks = BLOCKS};
    struct memory_store store;
    char path[MEMORY_PATH_SIZE], problem[DISK_PROBLEM_SIZE];
    struct disk *disk;
    memory_store_init(&store, ring_slot_offset(&super, 0));
    memory_store_path(&store, path);
    const struct disk_options options = {.path = path, .depth = 1};
    CU_ASSERT_FATAL(disk_open(&disk, &options, problem) == 0);
    uint8_t *bytes = aligned_alloc(4096, BLOCKS * 4096);
    ENSURE(bytes != NULL);
    for (uint32_t i = 0; i < BODY; i++)
        bytes[i] = (uint8_t)(i * 7 + i / 4096);
    struct ring_checkpoint head = {.replica = 1, .incarnation = 9, .chain = 1, .sequence = 1};
    CU_ASSERT(ring_checkpoint_write(disk, &super, 1, &head, bytes, BODY) == 0);
    CU_ASSERT(ring_checkpoint_intact(disk, &super, 1) == 0);
    uint64_t offset = ring_checkpoint_offset(&super, 1) + RING_PAGE_SIZE;
    for (uint64_t at = 0; at < BODY; at += 1 << 20) {
        store.bytes[offset + at + 5] ^= 1;
        CU_ASSERT(ring_checkpoint_intact(disk, &super, 1) == -EBADMSG);
        store.bytes[offset + at + 5] ^= 1;
        store.bad_from = offset + at;
        store.bad_size = 1;
        struct ring_checkpoint found;
        CU_ASSERT(ring_checkpoint_look(disk, &super, 1, &found) == -EIO);
        store.bad_size = 0;
    }
    CU_ASSERT(ring_checkpoint_intact(disk, &super, 1) == 0);
    free(bytes);
    disk_close(disk);
    memory_store_free(&store);
}

int main(void)
{
    static const struct unit_test tests[] = {
        {"written, chosen, read", written_and_read},
        {"H14 an index above the local log is refused", h14_above_the_local_log},
        {"H14 a checkpoint ahead of the log is a lost end", h14_found_ahead},
        {"H14 what is written is read back", h14_verified},
        {"H14 one of two is enough", h14_one_of_two_is_enough},
        {"log and checkpoint must agree", chain_must_agree},
        {"power goes while one is written", crash_while_writing},
        {"a peer's at the log's edges", peers_at_the_edges},
        {"a peer's excuses no damage", peers_excuse_no_damage},
        {"power goes while a peer's is stored", peers_crash_while_storing},
        {"heads that lie", heads_that_lie},
        {"an area that can't be read", areas_that_cannot_be_read},
        {"what is refused to be written", refused_to_be_written},
        {"a body of many pieces", a_body_of_many_pieces},
        {0}};
    return unit_main("ring checkpoints", tests);
}
