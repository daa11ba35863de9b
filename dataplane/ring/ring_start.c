/* Setting up: the layout of the memory, and the window as the last start left it. */
#include "dataplane/ring/ring_internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

struct layout { /* offsets into the memory */
    size_t window, buffers, chain, where, place, free, map, size;
    uint64_t table_entries, map_entries;
};

static size_t whole_pages(size_t size)
{
    return (size + RING_PAGE_SIZE - 1) / RING_PAGE_SIZE * RING_PAGE_SIZE;
}

static void lay_out(const struct ring_super *super, uint32_t window_pages, struct layout *layout)
{
    layout->table_entries = (uint64_t)window_pages * RING_ENTRIES_PER_PAGE;
    layout->map_entries = 1;
    while (layout->map_entries < super->slots) /* bound: bits of slots */
        layout->map_entries *= 2;
    layout->window = whole_pages(sizeof(struct ring));
    layout->buffers = layout->window + (size_t)window_pages * RING_PAGE_SIZE;
    layout->chain = layout->buffers + (size_t)RING_READER_COUNT * RING_READS_MAX * RING_PAGE_SIZE;
    layout->where = layout->chain + whole_pages(layout->table_entries * sizeof(uint64_t));
    layout->place = layout->where + whole_pages(layout->table_entries * sizeof(uint32_t));
    layout->free = layout->place + window_pages * sizeof(uint32_t);
    layout->map = layout->place + whole_pages(2 * window_pages * sizeof(uint32_t));
    layout->size = layout->map + whole_pages(layout->map_entries * sizeof(struct ring_live));
}

size_t ring_memory_size(const struct ring_super *super, uint32_t window_pages)
{
    struct layout layout;
    lay_out(super, window_pages, &layout);
    return layout.size;
}

static bool fits(const struct ring_options *options, const struct ring_recovery *found,
                 char *problem)
{
    uint64_t slots = found->super.slots;
    bool sound = found->damage == RING_INTACT || found->repairable;
    if (!sound || found->genesis.magic != GENESIS_MAGIC)
        snprintf(problem, DISK_PROBLEM_SIZE, "ring: %s: it can't be started",
                 !sound ? "damaged" : "no genesis record is installed");
    else if (options->window_pages < RING_WINDOW_MIN ||
             (options->window_pages & (options->window_pages - 1)) != 0 ||
             options->window_pages > slots / 2)
        snprintf(
            problem, DISK_PROBLEM_SIZE,
            "ring: window of %u pages: it must be a power of two from %d to half of the ring's "
            "%llu slots",
            options->window_pages, RING_WINDOW_MIN, (unsigned long long)slots);
    else if (options->flight_pages < 1 || options->flight_pages > RING_FLIGHT_PAGES_MAX)
        snprintf(problem, DISK_PROBLEM_SIZE, "ring: %u pages in flight: it must be 1 to %d",
                 options->flight_pages, RING_FLIGHT_PAGES_MAX);
    else
        return true;
    return false;
}

static void set_up(struct ring *ring, const struct ring_options *options,
                   const struct ring_recovery *found, const struct layout *layout)
{
    uint8_t *memory = options->memory;
    ring->super = found->super;
    ring->owner = (struct ring_owner){.cluster_id = options->cluster_id,
                                      .incarnation = found->super.incarnation,
                                      .slots = found->super.slots,
                                      .replica = (uint8_t)found->super.replica};
    ring->writer = options->writer;
    ring->reader = options->reader;
    ring->window = memory + layout->window;
    ring->buffers = memory + layout->buffers;
    ring->chain = (uint64_t *)(void *)(memory + layout->chain);
    ring->where = (uint32_t *)(void *)(memory + layout->where);
    ring->place = (uint32_t *)(void *)(memory + layout->place);
    ring->free = (uint32_t *)(void *)(memory + layout->free);
    ring->map = (struct ring_live *)(void *)(memory + layout->map);
    ring->table_mask = layout->table_entries - 1;
    ring->map_mask = layout->map_entries - 1;
    ring->window_pages = options->window_pages;
    ring->flight_pages = options->flight_pages;
    uint64_t zeroed = found->zeroed_to - found->tail_page; /* for the first page, and behind it */
    if (ring->flight_pages + 1 >=
        zeroed) /* a page that moves the head must have a slot behind it */
        ring->flight_pages =
            zeroed > RING_HEAD_SLOTS + 2 ? (uint32_t)zeroed - RING_HEAD_SLOTS - 1 : 1;
    while (ring->free_count < ring->window_pages) {
        ring->free[ring->free_count] = ring->window_pages - 1 - ring->free_count;
        ring->free_count++;
    }
    ring->boot = options->boot;
    ring->boot_id = options->boot_id;

    ring->tail = ring->boot_page = ring->tail_now = found->tail_page;
    ring->closed_to = ring->submitted = ring->disk_durable = ring->durable_page = ring->tail;
    ring->data_to = ring->settled = ring->tail;
    ring->head = ring->head_now = ring->head_stated = found->head_page;
    ring->disk_head = ring->durable_head = found->zeroed_to - found->super.slots;
    if (found->begins_anew)
        ring->head = ring->head_now = ring->tail; /* once this boot's page states it, durably */
    ring->zeroed_to = ring->zero_from = ring->zero_to = found->zeroed_to;
    ring->last_index = found->last_index;
    ring->last_chain = found->last_chain;
    ring->last_lsn = ring->durable_lsn = found->last_lsn;
    ring->hard_term = found->term;
    ring->hard_vote = found->vote;
    ring->commit = found->commit < found->last_index ? found->commit : found->last_index;
    ring->config_index = found->config_index;
    ring->pinned = UINT64_MAX;
    ring->covered = found->have_checkpoint ? found->checkpoint[0].index : 0;
    for (uint32_t i = 0; i < found->hole_count; i++)
        ring->hole[ring->hole_count++] = found->hole[i].page;
    ring->count_holes = ring->hole_count;
    memcpy(ring->seen_boot, found->seen_boot, sizeof(ring->seen_boot));
    memcpy(ring->seen_boot_id, found->seen_boot_id, sizeof(ring->seen_boot_id));
    memcpy(ring->before, found->before, sizeof(ring->before));
    ring->chain[ring->last_index & ring->table_mask] = ring->last_chain;
    ring->dirty = true; /* the boot's first page goes in the first turn */
    for (uint32_t reader = 0; reader < RING_READER_COUNT; reader++) {
        struct ring_link *link = &ring->link[reader];
        spsc_init(&link->asks, link->ask_records, RING_READS_MAX, sizeof(struct ring_ask));
        spsc_init(&link->answers, link->answer_records, RING_READS_MAX, sizeof(struct ring_answer));
        for (uint32_t i = 0; i < RING_READS_MAX; i++)
            link->free_buffer[link->free_count++] = i;
    }
}

bool ring_index_page(struct ring *ring, uint64_t position, uint32_t place)
{
    const struct ring_live *live = ring_map_at(ring, position);
    struct ring_page *page = ring_at_place(ring, place);
    uint32_t bad;
    if (ring_page_judge(page, &ring->owner, live->page % ring->super.slots, &bad) !=
            RING_PAGE_GOOD ||
        page->page != live->page)
        return false;
    uint64_t chain = page->self.chain_before;
    if (live->first_index > 0)
        ring->chain[(live->first_index - 1) & ring->table_mask] = chain;
    uint64_t last = ring_live_last(ring, position);
    uint32_t offset = RING_HEAD_SIZE;
    for (uint64_t index = live->first_index; index <= last; index++) {
        const struct entry *entry = (const struct entry *)((uint8_t *)page + offset);
        chain = ring_chain_next(chain, entry);
        ring_table_set(ring, index, place, offset, chain);
        offset += entry->size;
    }
    return true;
}

/* The page is lost: where its entries begin and end is known, what they are is not. */
static void index_hole(struct ring *ring, uint64_t position)
{
    const struct ring_live *live = ring_map_at(ring, position);
    uint64_t last = ring_live_last(ring, position);
    if (live->first_index > 0 && live->chain != 0)
        ring->chain[(live->first_index - 1) & ring->table_mask] = live->chain;
    for (uint64_t index = live->first_index; index <= last; index++)
        ring_table_lose(ring, index);
    if (last == ring->last_index)
        ring->chain[last & ring->table_mask] = ring->last_chain;
}

static bool is_hole(const struct ring *ring, uint64_t page)
{
    for (uint32_t i = 0; i < ring->hole_count; i++)
        if (ring->hole[i] == page)
            return true;
    return false;
}

/* Position of the first live page that is wanted in memory: of as many as fill half of the window;
 * of all with entries that are not known to be committed: a new leader may cut the log back to
 * anywhere among those; and, if they have room, of those from the first hole on: what is behind it
 * can't be applied before it is repaired. */
static uint64_t first_wanted(const struct ring *ring)
{
    uint64_t half = ring->window_pages / 2;
    uint64_t position =
        ring->map_high - ring->map_low > half ? ring->map_high - half : ring->map_low;
    if (ring->map_low == ring->map_high)
        return position;
    uint64_t first = ring_first_index(ring);
    uint64_t uncommitted = ring->commit >= first ? ring->commit + 1 : first;
    if (uncommitted <= ring->last_index && ring_map_find(ring, uncommitted) < position)
        position = ring_map_find(ring, uncommitted);
    uint64_t hole = ring_hole_index(ring);
    uint64_t lost = hole >= first ? ring_map_find(ring, hole) : position;
    bool fits = lost < position && ring->map_high - lost + RING_SPARE_PAGES <= ring->window_pages;
    return fits ? lost : position;
}

static int read_window(struct ring *ring, char *problem)
{
    uint64_t position = first_wanted(ring);
    if (ring->map_high - position >= ring->window_pages) { /* no place for this boot's first page */
        snprintf(
            problem, DISK_PROBLEM_SIZE,
            "ring: %llu pages hold entries not known to be committed: set a window of more than "
            "that",
            (unsigned long long)(ring->map_high - position));
        return -ENOSPC;
    }
    ring->map_window = ring->map_done = position;
    ring->map_settled = ring->map_high;
    ring->reusable = ring->settled - (ring->map_settled - ring->map_done);
    for (; position < ring->map_high; position++) { /* bound: window_pages */
        uint64_t page = ring_map_at(ring, position)->page;
        if (is_hole(ring, page)) {
            index_hole(ring, position);
            continue;
        }
        uint32_t place = ring_window_take(ring);
        int result = disk_pread(ring->reader, ring_slot_offset(&ring->super, page),
                                ring_at_place(ring, place), RING_PAGE_SIZE);
        if (result < 0) {
            snprintf(problem, DISK_PROBLEM_SIZE, "ring: reading page %llu: %s",
                     (unsigned long long)page, strerror(-result));
            return result;
        }
        if (!ring_index_page(ring, position, place)) {
            snprintf(problem, DISK_PROBLEM_SIZE,
                     "ring: page %llu changed since recovery: is another process writing?",
                     (unsigned long long)page);
            return -EIO;
        }
    }
    return 0;
}

int ring_start(struct ring **ring_out, const struct ring_options *options,
               const struct ring_recovery *found, char *problem)
{
    *ring_out = NULL;
    ENSURE(((uintptr_t)options->memory & (RING_PAGE_SIZE - 1)) == 0);
    if (!fits(options, found, problem))
        return -EINVAL;
    struct layout layout;
    lay_out(&found->super, options->window_pages, &layout);
    memset(options->memory, 0, layout.size);
    struct ring *ring = options->memory;
    set_up(ring, options, found, &layout);
    for (uint64_t i = 0; i < found->map_count; i++)
        *ring_map_at(ring, i) = found->map[i];
    ring->map_high = found->map_count;
    int result = read_window(ring, problem);
    if (result < 0)
        return result;
    if (found->have_checkpoint) /* the log may end there, behind a hole that is given up */
        ring_note_chain(ring, found->checkpoint[0].index, found->checkpoint[0].chain);
    ENSURE(ring->tail < ring->zeroed_to);
    *ring_out = ring;
    return 0;
}
