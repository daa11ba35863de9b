/* Pages that the drive has lost, as seq sees them: which, what they held, what is forbidden
 * meanwhile.
 */
#include "dataplane/ring/ring_internal.h"

#include <string.h>

/* Position of a page in the map; map_high: all of it is dead. */
static uint64_t position_of(const struct ring *ring, uint64_t page)
{
    uint64_t low = ring->map_low, high = ring->map_high; /* the answer, if any, lies in low..high;
                                                            halves each time */
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        if (ring_map_at(ring, middle)->page < page)
            low = middle + 1;
        else
            high = middle;
    }
    return low < ring->map_high && ring_map_at(ring, low)->page == page ? low : ring->map_high;
}

static void count_holes(struct ring *ring)
{
    /* relaxed: pairs with the relaxed load in ring_stats() */
    __atomic_store_n(&ring->count_holes, ring->hole_count, __ATOMIC_RELAXED);
}

static void remove_at(struct ring *ring, uint32_t at)
{
    ring->hole_count--;
    memmove(&ring->hole[at], &ring->hole[at + 1], (ring->hole_count - at) * sizeof(ring->hole[0]));
    count_holes(ring);
}

/* What the head has passed is no hole any more. */
static void forget_passed(struct ring *ring)
{
    while (ring->hole_count > 0 && ring->hole[0] < ring->head) /* bound: RING_HOLES_MAX */
        remove_at(ring, 0);
}

uint32_t ring_holes(const struct ring *ring)
{
    return ring->hole_count;
}

bool ring_hole_add(struct ring *ring, uint64_t page)
{
    forget_passed(ring);
    if (page < ring->head || page >= ring_durable_page(ring) || ring->hole_count == RING_HOLES_MAX)
        return false;
    uint32_t at = ring->hole_count;
    while (at > 0 && ring->hole[at - 1] > page)
        at--;
    if (at > 0 && ring->hole[at - 1] == page)
        return false;
    memmove(&ring->hole[at + 1], &ring->hole[at], (ring->hole_count - at) * sizeof(ring->hole[0]));
    ring->hole[at] = page;
    ring->hole_count++;
    count_holes(ring);
    return true;
}

bool ring_hole_exceeds(const struct ring *ring, uint64_t page)
{
    return ring->hole_count == RING_HOLES_MAX && page >= ring->head && page < ring->hole[0];
}

static void stretch_of(const struct ring *ring, uint64_t page, struct ring_stretch *stretch)
{
    uint64_t position = position_of(ring, page);
    *stretch = (struct ring_stretch){.page = page, .first = 1};
    if (position == ring->map_high)
        return;
    const struct ring_live *live = ring_map_at(ring, position);
    stretch->first = live->first_index;
    stretch->last = ring_live_last(ring, position);
    stretch->term = live->term;
    stretch->chain_before = live->chain;
    stretch->chain_after = stretch->last == ring->last_index
                               ? ring->last_chain
                               : ring_map_at(ring, position + 1)->chain;
}

bool ring_hole_next(const struct ring *ring, uint64_t from, struct ring_stretch *stretch)
{
    uint32_t best = 0;
    /* A page is restored without what a truncation has superseded, once that is durable. */
    if (ring->cut_page >= ring_durable_page(ring) && ring->cut_page != 0)
        return false;
    for (uint32_t i = 0; i < ring->hole_count; i++) { /* pages and live entries ascend together */
        struct ring_stretch at;
        if (ring->hole[i] < ring->head)
            continue;
        stretch_of(ring, ring->hole[i], &at);
        uint32_t rank = (at.last >= at.first ? 2u : 1u) + (at.page >= from ? 2u : 0u);
        if (rank > best)
            *stretch = at;
        best = rank > best ? rank : best;
    }
    return best > 0;
}

bool ring_in_hole(const struct ring *ring, uint64_t index)
{
    if (ring->hole_count == 0)
        return false;
    uint64_t page = ring_page_of(ring, index);
    for (uint32_t i = 0; i < ring->hole_count; i++)
        if (ring->hole[i] == page)
            return true;
    return false;
}

uint64_t ring_hole_index(const struct ring *ring)
{
    for (uint32_t i = 0; i < ring->hole_count; i++) {
        struct ring_stretch at;
        stretch_of(ring, ring->hole[i], &at);
        if (at.last >= at.first && at.last > ring->covered)
            return at.first > ring->covered ? at.first : ring->covered + 1;
    }
    return 0;
}

bool ring_hole_pin(struct ring *ring, uint64_t page)
{
    ENSURE(ring->pinned == UINT64_MAX);
    if (page < ring->head)
        return false;
    ring->pinned = page;
    return true;
}

void ring_hole_closed(struct ring *ring, uint64_t page, const struct ring_page *bytes)
{
    ENSURE(ring->pinned == page);
    ring->pinned = UINT64_MAX;
    if (bytes == NULL)
        return;
    for (uint32_t i = 0; i < ring->hole_count; i++)
        if (ring->hole[i] == page) {
            remove_at(ring, i);
            break;
        }
    uint64_t position = position_of(ring, page);
    if (position < ring->map_window || position == ring->map_high)
        return;
    const struct ring_live *live = ring_map_at(ring, position);
    if (ring->where[live->first_index & ring->table_mask] != RING_NOWHERE)
        return; /* memory had it all the time */
    uint64_t last = ring_live_last(ring, position);
    if (last == ring->last_index)
        ring_note_chain(ring, last, ring_page_chain(bytes, last));
    bool full = ring->free_count == 0 || ring->map_high - ring->map_window >= ring->window_pages;
    if (position < ring->map_done && full) {
        ring_window_forget(ring, position + 1); /* younger pages have all places: it is done */
        return;
    }
    uint32_t place = ring_window_take(ring);
    memcpy(ring_at_place(ring, place), bytes, RING_PAGE_SIZE);
    bool good = ring_index_page(ring, position, place);
    ENSURE(good);
}

void ring_note_chain(struct ring *ring, uint64_t index, uint64_t chain)
{
    if (index > ring->last_index || index + 1 < ring_window_first(ring) || chain == 0)
        return;
    if (ring->chain[index & ring->table_mask] == 0)
        ring->chain[index & ring->table_mask] = chain;
    if (index != ring->last_index || ring->last_chain != 0)
        return;
    ring->last_chain = chain;
    if (ring->open && ring->open_count == 0)
        ring->open_chain = chain;
}

void ring_note_covered(struct ring *ring, uint64_t index)
{
    if (index > ring->covered)
        ring->covered = index;
}
