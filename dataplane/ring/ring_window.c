/* The window: places in memory, each for one page.
 *
 * A page on its way to the drive has a place. Once it is durable it gives the place up if none of
 * its entries is live (a vote, a seal, what was superseded). Else it stays until its entries are
 * done and a younger page wants the place. So a window is filled by what waits to be committed,
 * applied or fed, and never by votes and seals, however long nothing commits (H8).
 */
#include "dataplane/ring/ring_internal.h"

uint64_t ring_map_find(const struct ring *ring, uint64_t index)
{
    uint64_t low = ring->map_low;
    uint64_t high = ring->map_high; /* the answer lies in low..high - 1; halves each time */
    while (high - low > 1) {
        uint64_t middle = low + (high - low) / 2;
        if (ring_map_at(ring, middle)->first_index <= index)
            low = middle;
        else
            high = middle;
    }
    return low;
}

static void give_up(struct ring *ring, uint32_t place)
{
    ENSURE(ring->free_count < ring->window_pages);
    ring->free[ring->free_count++] = place;
}

/* Of a live page in memory; one that is lost has none. */
static void give_up_live(struct ring *ring, uint64_t position)
{
    uint32_t where = ring->where[ring_map_at(ring, position)->first_index & ring->table_mask];
    if (where != RING_NOWHERE)
        give_up(ring, where / (RING_PAGE_SIZE / 8));
}

static inline void count_reusable(struct ring *ring)
{
    ring->reusable = ring->settled - (ring->map_settled - ring->map_done);
}

HOT void ring_window_done(struct ring *ring)
{
    while (ring->map_done < ring->map_settled && /* bound: window_pages */
           ring_live_last(ring, ring->map_done) <= ring->done_index)
        ring->map_done++;
    count_reusable(ring);
}

HOT void ring_window_settle(struct ring *ring, uint64_t durable_page)
{
    for (; ring->settled < durable_page; ring->settled++) { /* bound: window_pages */
        uint64_t position = ring->map_settled;
        if (position < ring->map_high && ring_map_at(ring, position)->page == ring->settled)
            ring->map_settled++;
        else
            give_up(ring, ring->place[ring->settled & (ring->window_pages - 1)]);
    }
    ring_window_done(ring);
}

void ring_window_forget(struct ring *ring, uint64_t position)
{
    for (; ring->map_window < position; ring->map_window++) /* bound: window_pages */
        if (ring->map_window < ring->map_settled)
            give_up_live(ring, ring->map_window);
    if (ring->map_settled < ring->map_window)
        ring->map_settled = ring->map_window; /* what is in flight gives its place up by itself */
    if (ring->map_done < ring->map_window)
        ring->map_done = ring->map_window;
    count_reusable(ring);
}

void ring_window_cut(struct ring *ring, uint64_t index)
{
    while (ring->map_high > ring->map_window && /* bound: live pages in memory */
           ring_map_at(ring, ring->map_high - 1)->first_index >= index) {
        ring->map_high--;
        if (ring->map_high >= ring->map_settled)
            continue;
        ring->map_settled = ring->map_high;
        give_up_live(ring, ring->map_high);
    }
    if (ring->map_done > ring->map_high)
        ring->map_done = ring->map_high;
    count_reusable(ring);
}

/* The oldest live pages whose entries are done make room: for the place, and in the tables, which
 * are as wide as the window's pages can hold entries. */
HOT uint32_t ring_window_take(struct ring *ring)
{
    while (ring->free_count == 0 || /* bound: window_pages */
           ring->map_high - ring->map_window >= ring->window_pages) {
        ENSURE(ring->map_window < ring->map_done); /* as tail is below its limit */
        give_up_live(ring, ring->map_window++);
    }
    return ring->free[--ring->free_count];
}
