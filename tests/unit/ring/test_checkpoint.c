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

/* H14: the write is read back: what the drive confirmed and did not keep is an error. */
static void h14_verified(void)
{
    struct world world;
    filled(&world, 20);
    CU_ASSERT(world_checkpoint(&world, 10) == 0);
    world.store.lose_blocking = true;
    CU_ASSERT(world_checkpoint(&world, 12) == -EIO);
    world.store.lose_blocking = false;
    CU_ASSERT(looked(&world).checkpoint[0].index == 10);
    CU_ASSERT(world_checkpoint(&world, 12) == 0);
    world_free(&world);
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
        {"transfer: cut at every chunk", transfer_cut_at_every_chunk},
        {"transfer: torn", transfer_torn},
        {0}};
    return unit_main("ring checkpoints", tests);
}
