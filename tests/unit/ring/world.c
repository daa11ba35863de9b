#include "tests/unit/ring/world.h"

#include "consensus/ensure.h"
#include "dataplane/crc32c.h"
#include "tests/unit/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

uint64_t world_random(struct world *world)
{
    world->random ^= world->random << 13;
    world->random ^= world->random >> 7;
    world->random ^= world->random << 17;
    return world->random;
}

/* --- life cycle ----------------------------------------------------------------------------------
 */

static void make_genesis(struct world *world)
{
    struct genesis *genesis = &world->genesis;
    genesis_defaults(genesis);
    genesis->magic = GENESIS_MAGIC;
    genesis->version = GENESIS_VERSION;
    genesis->size = GENESIS_SIZE;
    genesis->cluster_id = 0x1122334455667788ull;
    for (uint32_t id = 1; id <= 3; id++)
        genesis->founder[id] =
            (struct genesis_founder){.incarnation = 100 + id, .ip = 0x0a000000 + id, .port = 7400};
    memcpy(genesis->day, "DAY1      ", KEEL_DAY_NAME_SIZE);
    genesis->crc = crc32c(genesis, offsetof(struct genesis, crc));
}

static void open_disks(struct world *world)
{
    char path[MEMORY_PATH_SIZE];
    char problem[DISK_PROBLEM_SIZE] = "";
    memory_store_path(&world->store, path);
    struct disk_options options = {.path = path, .exclusive = true, .depth = 64};
    CU_ASSERT_FATAL(disk_open(&world->writer, &options, problem) == 0);
    options = (struct disk_options){.path = path, .same_file = world->writer, .depth = 80};
    CU_ASSERT_FATAL(disk_open(&world->reader, &options, problem) == 0);
}

void world_init(struct world *world, uint64_t slots, uint32_t window_pages, uint32_t flight_pages,
                uint64_t seed)
{
    memset(world, 0, sizeof(*world));
    world->turn_ns = RING_SEAL_AFTER_NS;
    world->random = seed * 0x9e3779b97f4a7c15ull + 1;
    world->window_pages = window_pages;
    world->flight_pages = flight_pages;
    world->super = (struct ring_super){.replica = WORLD_REPLICA,
                                       .incarnation = 100 + WORLD_REPLICA,
                                       .slots = slots,
                                       .checkpoint_blocks = WORLD_CHECKPOINT_BLOCKS,
                                       .formatted_utc_ns = 1};
    world->log = calloc(WORLD_LOG_MAX, sizeof(*world->log));
    world->made = calloc(WORLD_LOG_MAX, sizeof(*world->made));
    world->pages = calloc(WORLD_PAGES_MAX, sizeof(*world->pages));
    world->memory = aligned_alloc(4096, ring_memory_size(&world->super, window_pages));
    ENSURE(world->log != NULL && world->made != NULL && world->pages != NULL &&
           world->memory != NULL);
    make_genesis(world);
    memory_store_init(&world->store, ring_file_size(&world->super));
    open_disks(world);
    char problem[DISK_PROBLEM_SIZE] = "";
    CU_ASSERT_FATAL(ring_format(world->writer, &world->super, NULL, NULL, problem) == 0);
    CU_ASSERT_FATAL(ring_super_read(world->writer, &world->super, problem) == 0);
    CU_ASSERT_FATAL(ring_genesis_install(world->writer, &world->genesis, false, problem) == 0);
    world->log[0].chain = ring_chain_genesis(world->genesis.cluster_id);
    world->open_first = 1;
}

static void close_disks(struct world *world)
{
    disk_close(world->reader);
    disk_close(world->writer);
    world->reader = world->writer = NULL;
}

void world_free(struct world *world)
{
    close_disks(world);
    memory_store_free(&world->store);
    free(world->memory);
    free(world->log);
    free(world->made);
    free(world->pages);
}

void world_crash(struct world *world)
{
    close_disks(world);
    world->ring = NULL;
    open_disks(world);
}

bool world_same(const struct world *world, const struct ring_recovery *found, uint64_t tail)
{
    const struct world_state none = {.last_chain = world->log[0].chain};
    const struct world_state found_then = tail > 0 ? world->pages[tail - 1] : none;
    struct world_state then = found_then, *state = &then;
    bool anew = world->installs > then.stretch;
    if (anew) { /* the checkpoint is durable, the first page behind it is not */
        then.last_index = world->installed;
        then.last_chain = world->installed_chain;
        if (world->installed_term > then.term) {
            then.term = world->installed_term;
            then.vote = 0;
        }
    }
    if (found->damage != RING_INTACT)
        printf("# damage: %s: %s\n", ring_damage_name(found->damage), found->why);
    bool same = found->damage == RING_INTACT && found->begins_anew == anew &&
                found->tail_page == tail && found->last_index == state->last_index &&
                found->last_chain == state->last_chain && found->term == state->term &&
                found->vote == state->vote && found->last_lsn >= state->lsn &&
                found->log.last == state->last_index &&
                found->zeroed_to == found->head_page + found->super.slots;
    for (uint64_t i = 0; i < found->map_count && same; i++) {
        const struct world_state *page = &world->pages[found->map[i].page];
        same = found->map[i].first_index == page->first_index && page->count > 0 &&
               (i == 0 || found->map[i].first_index > found->map[i - 1].first_index);
    }
    if (!same)
        printf("# found tail %llu last %llu term %llu vote %u, want tail %llu last %llu term %llu "
               "vote %u\n",
               (unsigned long long)found->tail_page, (unsigned long long)found->last_index,
               (unsigned long long)found->term, found->vote, (unsigned long long)tail,
               (unsigned long long)state->last_index, (unsigned long long)state->term, state->vote);
    return same;
}

static void start_ring(struct world *world, const struct ring_recovery *found)
{
    char problem[DISK_PROBLEM_SIZE] = "";
    const struct ring_options options = {.writer = world->writer,
                                         .reader = world->reader,
                                         .memory = world->memory,
                                         .window_pages = world->window_pages,
                                         .flight_pages = world->flight_pages,
                                         .cluster_id = world->genesis.cluster_id,
                                         .boot = ++world->boot,
                                         .boot_id = world->boot * 1000};
    int result = ring_start(&world->ring, &options, found, problem);
    if (result != 0)
        printf("# %s\n", problem);
    CU_ASSERT_FATAL(result == 0);
}

void world_start_over(struct world *world, struct ring_recovery *found)
{
    char problem[DISK_PROBLEM_SIZE] = "";
    CU_ASSERT_FATAL(ring_recover(world->reader, true, found, problem) == 0);
    CU_ASSERT_FATAL(found->repairable && !found->unknown);
    start_ring(world, found);
    world->tail = world->store.issued_to = found->tail_page;
    world->lsn = found->last_lsn;
    world->last = found->last_index;
    world->term = found->term;
    world->vote = found->vote;
    world->open_first = world->last + 1;
    world->done = 0;
}

void world_start(struct world *world)
{
    char problem[DISK_PROBLEM_SIZE] = "";
    struct ring_recovery found;
    CU_ASSERT_FATAL(ring_recover(world->reader, true, &found, problem) == 0);
    CU_ASSERT_FATAL(found.tail_page <= world->tail);
    CU_ASSERT_FATAL(world_same(world, &found, found.tail_page));
    CU_ASSERT_FATAL(found.boot <= world->boot);
    start_ring(world, &found);
    /* What the lost pages superseded counts again. */
    world->tail = world->store.issued_to = found.tail_page;
    for (uint64_t page = found.head_page; page < found.tail_page && !found.begins_anew; page++)
        memcpy(&world->log[world->pages[page].first_index], &world->made[world->pages[page].made],
               world->pages[page].count * sizeof(world->log[0]));
    if (found.begins_anew)
        world->log[world->installed] =
            (struct world_entry){.term = world->installed_term, .chain = world->installed_chain};
    world->lsn = found.last_lsn;
    world->last = found.last_index;
    world->term = found.term;
    world->vote = found.vote;
    world->open_first = world->last + 1;
    world->entry_term = world->last > 0 ? world->log[world->last].term : 0;
    world->done = 0;
    if (world->commit > world->last)
        world->commit = world->last;
    world->began = world->installs; /* this start's first page states it */
    ring_recovery_free(&found);
}

/* --- work ----------------------------------------------------------------------------------------
 */

static uint64_t tail_now(const struct world *world)
{
    struct ring_stats stats;
    ring_stats(world->ring, &stats);
    return stats.tail_page;
}

/* If the call before closed a page, the model notes what that page makes true. */
static void note_closed(struct world *world, const struct world_state *state)
{
    uint64_t tail = tail_now(world);
    CU_ASSERT_FATAL(tail - world->tail <= 1 && tail < WORLD_PAGES_MAX);
    if (tail == world->tail)
        return;
    world->pages[world->tail] = *state;
    world->pages[world->tail].first_index = world->open_first;
    world->pages[world->tail].count = (uint32_t)(state->last_index + 1 - world->open_first);
    world->pages[world->tail].made = world->made_count - world->pages[world->tail].count;
    world->tail = tail;
    world->open_first = state->last_index + 1;
}

static struct world_state state_now(const struct world *world)
{
    return (struct world_state){.lsn = world->lsn,
                                .last_index = world->last,
                                .last_chain = world->log[world->last].chain,
                                .term = world->term,
                                .vote = world->vote,
                                .stretch = world->began};
}

static uint16_t entry_size(uint32_t payload)
{
    uint32_t size = KEEL_ENTRY_HEAD_SIZE + KEEL_MESSAGES_HEAD_SIZE + 2 + payload;
    return (uint16_t)((size + 7) / 8 * 8);
}

static void frame(struct world *world, struct entry *entry, uint64_t term, uint32_t payload)
{
    uint16_t size = entry_size(payload);
    memset(entry, 0, size);
    entry->size = size;
    entry->kind = ENTRY_MESSAGES;
    entry->version = ENTRY_VERSION;
    entry->index = world->last + 1;
    entry->term = term;
    entry->utc_ns = world_random(world);
    entry->principal = KEEL_CLIENT_MIN;
    struct entry_messages head = {.session = 1,
                                  .epoch = 1,
                                  .number = world->last + 1,
                                  .count = 1,
                                  .bytes = (uint16_t)(2 + payload)};
    uint8_t *at = (uint8_t *)(entry + 1);
    memcpy(at, &head, sizeof(head));
    at += sizeof(head);
    at[0] = (uint8_t)payload;
    at[1] = (uint8_t)(payload >> 8);
    for (uint32_t i = 0; i < payload; i++)
        at[2 + i] = (uint8_t)world_random(world);
}

static void put_entry(struct world *world, uint64_t term, uint32_t payload)
{
    struct world_state before = state_now(world);
    struct entry *entry = ring_reserve(world->ring, entry_size(payload), term);
    note_closed(world, &before);
    frame(world, entry, term, payload);
    bool framed = world_random(world) % 2 == 0;
    if (framed)
        ring_entry_finish(entry);
    ring_commit(world->ring, ++world->lsn, framed);
    world->last++;
    world->entry_term = term;
    world->log[world->last] =
        (struct world_entry){.term = term,
                             .chain = ring_chain_next(world->log[world->last - 1].chain, entry),
                             .crc = entry->crc};
    world->made[world->made_count++] = world->log[world->last];
    CU_ASSERT_FATAL(world->made_count + 1 < WORLD_LOG_MAX);
}

bool world_append(struct world *world, uint64_t term, uint32_t payload)
{
    enum ring_room room = ring_room(world->ring, 1, entry_size(payload));
    world->room_refused[room]++;
    if (room != RING_ROOM)
        return false;
    if (term > world->term)
        world_hard(world, term, 0);
    put_entry(world, term, payload);
    return true;
}

bool world_append_noop(struct world *world, uint64_t term)
{
    if (ring_room_to_settle(world->ring, 1, entry_size(10)) != RING_ROOM)
        return false;
    world_hard(world, term, 1);
    put_entry(world, term, 10);
    return true;
}

void world_hard(struct world *world, uint64_t term, uint8_t vote)
{
    ring_hard(world->ring, term, vote, ++world->lsn);
    world->term = term;
    world->vote = vote;
}

bool world_truncate(struct world *world, uint64_t index, uint64_t term)
{
    enum ring_room room = ring_room(world->ring, 1, entry_size(10));
    world->room_refused[room]++;
    if (room != RING_ROOM)
        return false;
    if (term > world->term)
        world_hard(world, term, 0);
    struct world_state before = state_now(world);
    ring_truncate(world->ring, index, ++world->lsn);
    note_closed(world, &before);
    world->last = index - 1;
    world->open_first = index;
    put_entry(world, term, 10);
    return true;
}

uint32_t world_seq_turn(struct world *world)
{
    struct world_state now = state_now(world);
    uint32_t closed = ring_turn(world->ring, world->now_ns += world->turn_ns);
    note_closed(world, &now);
    return closed;
}

void world_turn(struct world *world)
{
    world_seq_turn(world);
    ring_disk_turn(world->ring);
    ring_aux_turn(world->ring);
}

void world_settle(struct world *world)
{
    enum { TURNS_MAX = 10000, QUIET = 3 };
    uint32_t quiet = 0;
    for (uint32_t turn = 0; turn < TURNS_MAX && quiet < QUIET; turn++) {
        uint32_t work = world_seq_turn(world);
        work += ring_disk_turn(world->ring);
        work += ring_aux_turn(world->ring);
        quiet = work == 0 ? quiet + 1 : 0;
    }
    CU_ASSERT_FATAL(quiet == QUIET);
}

void world_done(struct world *world, uint64_t index)
{
    world->commit = index > world->commit ? index : world->commit;
    world->done = index;
    ring_note_commit(world->ring, index);
    ring_note_done(world->ring, index);
}

uint64_t world_durable_index(const struct world *world)
{
    uint64_t page = ring_durable_page(world->ring);
    uint64_t index = page > 0 ? world->pages[page - 1].last_index : 0;
    return index < world->last ? index : world->last;
}

int world_checkpoint(struct world *world, uint64_t index)
{
    uint8_t *body = aligned_alloc(4096, 8192);
    ENSURE(body != NULL);
    for (uint32_t i = 0; i < 5000; i++)
        body[i] = (uint8_t)(index + i);
    bool failed;
    uint64_t page, first, last;
    CU_ASSERT_FATAL(ring_span(world->ring, index, &page, &first, &last));
    struct ring_checkpoint head = {.replica = WORLD_REPLICA,
                                   .incarnation = world->super.incarnation,
                                   .cluster_id = world->genesis.cluster_id,
                                   .index = index,
                                   .term = world->log[index].term,
                                   .chain = world->log[index].chain,
                                   .lsn = ring_durable_lsn(world->ring, &failed),
                                   .page = page,
                                   .sequence = world->checkpoint_sequence + 1};
    unsigned area = (unsigned)(head.sequence % 2);
    int result = ring_control_checkpoint_write(world->ring, world->reader, area, &head, body, 5000);
    free(body);
    if (result < 0)
        return result;
    world->checkpoint_sequence++;
    world->checkpoint_index[area] = index;
    if (world->checkpoint_sequence >= 2)
        ring_control_checkpoint(world->ring, world->checkpoint_index[1 - area]);
    return 0;
}

int world_store_peers(struct world *world, uint64_t index, uint64_t term, uint32_t copies)
{
    uint8_t *body = aligned_alloc(4096, 8192);
    ENSURE(body != NULL);
    memset(body, (int)index, 8192);
    uint64_t chain = world_random(world) | 1;
    int result = 0;
    for (uint32_t copy = 0; copy < copies && result == 0; copy++) {
        struct ring_checkpoint head = {.replica = WORLD_REPLICA,
                                       .incarnation = world->super.incarnation,
                                       .cluster_id = world->genesis.cluster_id,
                                       .index = index,
                                       .term = term,
                                       .chain = chain,
                                       .sequence = world->checkpoint_sequence + 1};
        unsigned area = (unsigned)(head.sequence % 2);
        result =
            ring_control_checkpoint_install(world->ring, world->reader, area, &head, body, 5000);
        if (result < 0)
            break;
        world->checkpoint_sequence++;
        world->checkpoint_index[area] = index;
    }
    if (world->checkpoint_index[world->checkpoint_sequence % 2] == index) {
        world->installs++;
        world->installed = index;
        world->installed_term = term;
        world->installed_chain = chain;
    }
    free(body);
    return result;
}

bool world_begin(struct world *world)
{
    if (!ring_room_to_begin(world->ring))
        return false;
    if (world->installed_term > world->term)
        world_hard(world, world->installed_term, 0);
    struct world_state before = state_now(world);
    ring_begin(world->ring, world->installed, world->installed_chain, ++world->lsn);
    note_closed(world, &before);
    world->began = world->installs;
    world->last = world->installed;
    world->log[world->last] =
        (struct world_entry){.term = world->installed_term, .chain = world->installed_chain};
    world->open_first = world->last + 1;
    world->entry_term = world->installed_term;
    world_done(world, world->last);
    return true;
}

/* --- comparing -----------------------------------------------------------------------------------
 */

static void check_entry(const struct world *world, const struct entry *entry, uint64_t index)
{
    CU_ASSERT_FATAL(entry->index == index);
    CU_ASSERT_FATAL(entry->term == world->log[index].term);
    CU_ASSERT_FATAL(entry->crc == world->log[index].crc && ring_entry_good(entry));
}

static void check_page(const struct world *world, const struct ring_read *read)
{
    const uint8_t *at = (const uint8_t *)read->page + RING_HEAD_SIZE;
    CU_ASSERT_FATAL(read->first <= read->index && read->index <= read->last);
    CU_ASSERT_FATAL(read->page->self.chain_before == world->log[read->first - 1].chain);
    for (uint64_t index = read->page->self.first_index; index <= read->last; index++) {
        check_entry(world, (const struct entry *)at, index);
        at += ((const struct entry *)at)->size;
    }
}

/* Rereads the page of each live stretch, in order; false while one is not durable. */
static void check_drive(struct world *world)
{
    uint64_t index = ring_first_index(world->ring);
    uint64_t page, first, last;
    while (ring_span(world->ring, index, &page, &first, &last) &&
           page < ring_durable_page(world->ring)) { /* bound: live pages */
        CU_ASSERT_FATAL(ring_read_request(world->ring, RING_READER_SEQ, index, index * 3));
        struct ring_read read;
        CU_ASSERT_FATAL(!ring_read_poll(world->ring, RING_READER_SEQ, &read));
        for (uint32_t turn = 0; turn < 4; turn++)
            ring_aux_turn(world->ring);
        CU_ASSERT_FATAL(ring_read_poll(world->ring, RING_READER_SEQ, &read));
        CU_ASSERT_FATAL(read.result == 0 && read.tag == index * 3 && read.index == index);
        CU_ASSERT_FATAL(read.page->page == page && read.first == first && read.last == last);
        check_page(world, &read);
        ring_read_release(world->ring, RING_READER_SEQ, &read);
        index = last + 1;
    }
}

void world_check_entries(struct world *world)
{
    struct ring *ring = world->ring;
    CU_ASSERT_FATAL(ring_last_index(ring) == world->last);
    uint64_t first = ring_window_first(ring);
    CU_ASSERT_FATAL(first >= ring_first_index(ring) || first == world->last + 1);
    CU_ASSERT_FATAL(ring_entry(ring, first - 1) == NULL);
    CU_ASSERT_FATAL(ring_entry(ring, world->last + 1) == NULL);
    CU_ASSERT_FATAL(ring_chain(ring, world->last + 1) == 0);
    CU_ASSERT_FATAL(ring_chain(ring, first - 1) == world->log[first - 1].chain);
    for (uint64_t index = first; index <= world->last; index++) {
        const struct entry *entry = ring_entry(ring, index);
        CU_ASSERT_FATAL(entry != NULL);
        check_entry(world, entry, index);
        CU_ASSERT_FATAL(ring_chain(ring, index) == world->log[index].chain);
    }
    uint64_t recent = ring_recent_first(ring);
    CU_ASSERT_FATAL(recent >= first && recent <= world->last + 1);
    check_drive(world);
}

/* --- what peers hold
 * ------------------------------------------------------------------------------------- */

/* As seq knows it from its map, and a peer from its log. */
void world_copy_live(const struct ring_recovery *found, uint64_t number, const uint8_t *good,
                     struct world_copy *copy)
{
    *copy = (struct world_copy){.live = {.page = number, .first = 1}};
    for (uint64_t i = 0; i < found->map_count; i++) {
        if (found->map[i].page != number)
            continue;
        bool more = i + 1 < found->map_count;
        copy->live.first = found->map[i].first_index;
        copy->live.last = more ? found->map[i + 1].first_index - 1 : found->last_index;
        copy->live.term = found->map[i].term;
        copy->live.chain_before = found->map[i].chain;
        copy->live.chain_after = more ? found->map[i + 1].chain : found->last_chain;
    }
    const uint8_t *at = good + RING_HEAD_SIZE;
    const struct ring_page *head = (const struct ring_page *)good;
    for (uint32_t i = 0; i < head->self.count; i++) {
        const struct entry *entry = (const struct entry *)at;
        if (entry->index >= copy->live.first && entry->index <= copy->live.last) {
            memcpy(copy->entries + copy->bytes, at, entry->size);
            copy->bytes += entry->size;
        }
        at += entry->size;
    }
}

int world_restore(struct world *world, const struct world_copy *copy, uint64_t durable,
                  uint8_t *page)
{
    return ring_restore(world->reader, &world->super, world->genesis.cluster_id, &copy->live,
                        copy->entries, copy->bytes, durable, (struct ring_page *)(void *)page);
}

/* --- damage --------------------------------------------------------------------------------------
 */

uint8_t *world_page_bytes(struct world *world, uint64_t page)
{
    return world->store.bytes + ring_slot_offset(&world->super, page);
}

struct ring_page *world_page_head(struct world *world, uint64_t page)
{
    return (struct ring_page *)(void *)world_page_bytes(world, page);
}

/* Flips most of a sector: what no torn write leaves. */
void world_rot(struct world *world, uint64_t page, uint32_t sector)
{
    for (uint32_t i = 0; i < 512; i++)
        world_page_bytes(world, page)[sector * 512 + i] ^= 0x5a;
}

void world_look(struct world *world, struct ring_recovery *found)
{
    char problem[DISK_PROBLEM_SIZE] = "";
    CU_ASSERT_FATAL(ring_recover(world->reader, false, found, problem) == 0);
}

enum ring_damage world_damage(struct world *world)
{
    struct ring_recovery found;
    world_look(world, &found);
    enum ring_damage damage = found.damage;
    if (damage != RING_INTACT)
        CU_ASSERT(strlen(found.why) > 10);
    ring_recovery_free(&found);
    return damage;
}

/* A started ring with some pages of entries, each followed by its seal. */
void world_filled(struct world *world, uint32_t pages)
{
    world_init(world, 256, 64, 4, 11);
    world_start(world);
    world_settle(world);
    for (uint32_t i = 0; i < pages; i++) {
        CU_ASSERT_FATAL(world_append(world, 1, 700) && world_append(world, 1, 700));
        world_settle(world);
        world_done(world, world->last);
    }
}
