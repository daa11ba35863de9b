/* seq's side: the open page, closing it, seals, the head. */
#include "dataplane/ring/ring_internal.h"

#include <string.h>

/* --- room for a page ----------------------------------------------------------------------------
 */

static bool window_has_place(const struct ring *ring)
{
    return ring->open || ring->tail < ring->reusable + ring->window_pages;
}

/* For the next page, which may hold no entry. The last places are for the first page of a boot:
 * terms and votes must not fill a window so far that its replica cannot be started again. */
static bool tail_has_place(const struct ring *ring)
{
    uint64_t kept = ring->tail == ring->boot_page ? 0 : RING_PAGES_TO_START;
    return ring->open || ring->tail + kept < ring->reusable + ring->window_pages;
}

/* The page may be handed to the drive: it and all that can be in flight with it lie in zeroed
 * slots, so that recovery, which judges as many slots behind the last intact page, meets no
 * half-zeroed one (H10). */
static bool slot_is_zeroed(const struct ring *ring, uint64_t page)
{
    /* acquire: pairs with the release in aux's zero_done(); the zeros are durable before the page
     * goes */
    return page + ring->flight_pages < __atomic_load_n(&ring->zeroed_to, __ATOMIC_ACQUIRE);
}

/* Only a page that states a new head makes room in a full ring. Elections of a cluster whose rings
 * are full must leave it a slot, or none of them ever leads again (H8). */
static bool tail_has_slot(const struct ring *ring)
{
    bool needed = ring->head != ring->head_stated || ring->tail == ring->boot_page;
    return slot_is_zeroed(ring, ring->tail + (needed ? 0 : RING_HEAD_SLOTS));
}

static void open_page(struct ring *ring)
{
    ENSURE(!ring->open && window_has_place(ring));
    ring->open_place = ring_window_take(ring);
    ring->place[ring->tail & (ring->window_pages - 1)] = ring->open_place;
    ring->open = true;
    ring->open_count = 0;
    ring->open_bytes = 0;
    ring->open_term = 0;
    ring->open_first = ring->last_index + 1;
    ring->open_chain = ring->last_chain;
}

/* --- closing a page ------------------------------------------------------------------------------
 */

static void fill_seen(struct ring *ring, struct ring_page *head)
{
    for (uint32_t i = 0; i <= KEEL_REPLICA_MAX; i++) {
        ring->seen_turn = (uint8_t)((ring->seen_turn + 1) % (KEEL_REPLICA_MAX + 1));
        if (ring->seen_boot[ring->seen_turn] != 0)
            break;
    }
    head->seen_peer = ring->seen_boot[ring->seen_turn] != 0 ? ring->seen_turn : 0;
    head->seen_boot = ring->seen_boot[ring->seen_turn];
    head->seen_boot_id = ring->seen_boot_id[ring->seen_turn];
}

static void fill_head(struct ring *ring, struct ring_page *head, uint64_t durable_page)
{
    memset(head, 0, sizeof(*head));
    head->magic = RING_PAGE_MAGIC;
    head->version = RING_VERSION;
    head->replica = ring->owner.replica;
    head->vote = ring->hard_vote;
    head->flight_pages = ring->flight_pages;
    head->cluster_id = ring->owner.cluster_id;
    head->incarnation = ring->owner.incarnation;
    head->boot = ring->boot;
    head->boot_id = ring->boot_id;
    head->page = ring->tail;
    head->term = ring->hard_term;
    head->last_lsn = ring->last_lsn;
    /* acquire: pairs with the release in disk's publish(); read after durable_page, so never below
     * it */
    head->durable_lsn = __atomic_load_n(&ring->durable_lsn, __ATOMIC_ACQUIRE);
    head->durable_page = durable_page;
    head->head = ring->head < ring->tail ? ring->head : ring->tail;
    head->commit = ring->commit;
    head->config_index = ring->config_index;
    head->self.first_index = ring->open_first;
    head->self.entry_term = ring->open_count > 0 ? ring->open_term : 0;
    head->self.chain_before = ring->open_chain;
    head->self.count = ring->open_count;
    head->self.bytes = ring->open_bytes;
    memcpy(head->before, ring->before, sizeof(head->before));
    fill_seen(ring, head);
}

/* Hands the open page (an empty one if none is open) to the disk role. */
static void close_page(struct ring *ring)
{
    ENSURE(slot_is_zeroed(ring, ring->tail));
    if (!ring->open)
        open_page(ring);
    struct ring_page *page = ring_at_place(ring, ring->open_place);
    uint64_t durable_page = ring_durable_page(ring);
    fill_head(ring, page, durable_page);
    memset(ring_page_entries(page) + ring->open_bytes, 0, RING_PAGE_ROOM - ring->open_bytes);
    ring_page_finish(page);
    memmove(&ring->before[1], &ring->before[0], sizeof(ring->before) - sizeof(ring->before[0]));
    ring->before[0] = page->self;
    ring->head_stated = page->head;
    ring->sealed = !ring->dirty && durable_page == ring->tail;
    if (ring->sealed)
        ring_count(&ring->count_seals, 1);
    else
        ring->data_to = ring->tail + 1;
    ring->open = false;
    ring->dirty = false;
    ring->anew = false;
    ring->reserved_size = 0;
    ring->tail++;
    /* relaxed: pairs with the relaxed load in ring_stats() */
    __atomic_store_n(&ring->tail_now, ring->tail, __ATOMIC_RELAXED);
    /* release: pairs with the acquire in ring_disk_turn(); the page's bytes are whole before it
     * shows */
    __atomic_store_n(&ring->closed_to, ring->tail, __ATOMIC_RELEASE);
}

/* --- append --------------------------------------------------------------------------------------
 */

/* Leaves so many slots and places of the window. */
static inline __attribute__((always_inline)) enum ring_room
room_beside(const struct ring *ring, uint32_t count, uint32_t bytes, uint32_t slots, uint32_t pages)
{
    bool failed;
    ring_durable_lsn(ring, &failed);
    if (failed)
        return RING_NO_DISK;
    if (ring->anew)
        return RING_NO_WINDOW;
    /* A change of term or a truncation begins one page; after that an entry begins another only
     * when less than the largest entry's room is left. */
    enum { PAGE_FILL_MIN = RING_PAGE_ROOM - KEEL_ENTRY_MAX + 8 };
    uint64_t page = ring->tail + (count > 0 ? 1 + bytes / PAGE_FILL_MIN : 0);
    uint64_t behind = page + ring->flight_pages + slots;
    if (behind >= ring->head + ring->super.slots)
        return RING_NO_SLOT;
    if (!slot_is_zeroed(ring, page + slots))
        return RING_NO_ZEROED;
    if (page + pages >= ring->reusable + ring->window_pages)
        return RING_NO_WINDOW;
    return RING_ROOM;
}

HOT enum ring_room ring_room(const struct ring *ring, uint32_t count, uint32_t bytes)
{
    return room_beside(ring, count, bytes, RING_SPARE_SLOTS, RING_SPARE_PAGES);
}

enum ring_room ring_room_to_settle(const struct ring *ring, uint32_t count, uint32_t bytes)
{
    return room_beside(ring, count, bytes, RING_HEAD_SLOTS, RING_PAGES_TO_START);
}

bool ring_scarce(const struct ring *ring)
{
    uint64_t careless = RING_SPARE_PAGES + ring->window_pages / 4;
    return ring->tail + careless > ring->reusable + ring->window_pages ||
           !slot_is_zeroed(ring, ring->tail + RING_SCARCE_SLOTS);
}

bool ring_room_to_lead(const struct ring *ring)
{
    uint64_t page = ring->tail + RING_PAGES_TO_LEAD;
    return !ring->anew && page + RING_PAGES_TO_START <= ring->reusable + ring->window_pages &&
           slot_is_zeroed(ring, page + RING_HEAD_SLOTS);
}

HOT struct entry *ring_reserve(struct ring *ring, uint16_t size, uint64_t term)
{
    ENSURE(size >= RING_ENTRY_SIZE_MIN && size <= KEEL_ENTRY_MAX && size % 8 == 0);
    if (ring->open && ring->open_count > 0 &&
        (ring->open_term != term || ring->open_bytes + size > RING_PAGE_ROOM))
        close_page(ring);
    if (!ring->open)
        open_page(ring);
    ring->open_term = term;
    ring->reserved_size = size;
    return (struct entry *)(ring_page_entries(ring_at_place(ring, ring->open_place)) +
                            ring->open_bytes);
}

HOT void ring_commit(struct ring *ring, uint64_t lsn, bool framed)
{
    ENSURE(ring->open && ring->reserved_size != 0 && lsn > ring->last_lsn);
    uint32_t offset = RING_HEAD_SIZE + ring->open_bytes;
    struct entry *entry =
        (struct entry *)((uint8_t *)ring_at_place(ring, ring->open_place) + offset);
    ENSURE(entry->index == ring->last_index + 1 && entry->size == ring->reserved_size &&
           entry->term == ring->open_term);
    if (!framed)
        ring_entry_finish(entry);
    if (ring->open_count == 0) {
        struct ring_live *live = ring_map_at(ring, ring->map_high);
        live->page = ring->tail;
        live->first_index = entry->index;
        live->term = entry->term;
        live->chain = ring->last_chain;
        ring->map_high++;
        ring->open_first = entry->index;
        ring->open_chain = ring->last_chain;
    }
    ring->last_chain = ring_chain_next(ring->last_chain, entry);
    ring_table_set(ring, entry->index, ring->open_place, offset, ring->last_chain);
    ring->last_index = entry->index;
    ring->last_lsn = lsn;
    ring->open_count++;
    ring->open_bytes += ring->reserved_size;
    ring->reserved_size = 0;
    ring->dirty = true;
    ring_count(&ring->count_entries, 1);
}

/* A page that holds superseded entries is closed as it is, not cut back: bytes once framed are
 * never altered, the numbers of the superseded effects become durable with the page that held them,
 * and recovery knows one kind of truncation only, a page that begins at or below the last index. It
 * costs at most one page write, at a change of leader. */
void ring_truncate(struct ring *ring, uint64_t index, uint64_t lsn)
{
    ENSURE(index >= 1 && index <= ring->last_index && lsn > ring->last_lsn);
    ENSURE(index > ring->commit && index >= ring_window_first(ring));
    if (ring->open && ring->open_count > 0)
        close_page(ring);
    ring->last_chain = ring_chain(ring, index - 1);
    ENSURE(ring->last_chain != 0); /* in a hole the caller has noted it */
    ring_window_cut(ring, index);
    ring->cut_page = ring->tail;
    ring->last_index = index - 1;
    ring->last_lsn = lsn;
    ring->reserved_size = 0;
    if (ring->open) {
        ring->open_first = index;
        ring->open_chain = ring->last_chain;
        ring->open_term = 0;
    }
    ring->dirty = true;
}

bool ring_room_to_begin(const struct ring *ring)
{
    return ring->pinned == UINT64_MAX && !(ring->open && ring->open_count > 0) &&
           window_has_place(ring) && slot_is_zeroed(ring, ring->tail);
}

/* The first page of the new stretch names no predecessors: what they held is no part of this log,
 * and must be taken neither for the entries before it nor for such as it supersedes.
 *
 * It states itself as the head, and what lies below a durable head is made zeros. So it goes alone,
 * when all before it is durable: else a start would look for pages that it takes for witnessed, and
 * find zeros. Until then no entry is taken that could fill it. */
__attribute__((cold, noinline)) void ring_begin(struct ring *ring, uint64_t index, uint64_t chain,
                                                uint64_t lsn)
{
    ENSURE(index > 0 && chain != 0 && lsn > ring->last_lsn && ring_room_to_begin(ring));
    ring_window_forget(ring, ring->map_high);
    ring->map_low = ring->map_high;
    ring->last_index = index;
    ring->last_chain = chain;
    ring->last_lsn = lsn;
    ring->chain[index & ring->table_mask] = chain;
    ring->reserved_size = 0;
    if (ring->open) {
        ring->open_first = index + 1;
        ring->open_chain = chain;
        ring->open_term = 0;
    }
    memset(ring->before, 0, sizeof(ring->before));
    ring->head = ring->tail;
    /* relaxed: pairs with the relaxed load in ring_stats() */
    __atomic_store_n(&ring->head_now, ring->head, __ATOMIC_RELAXED);
    ring_note_checkpoint(ring, index);
    ring->dirty = ring->anew = true;
}

void ring_hard(struct ring *ring, uint64_t term, uint8_t vote, uint64_t lsn)
{
    ENSURE(lsn > ring->last_lsn && vote <= KEEL_REPLICA_MAX && term >= ring->hard_term);
    ring->hard_term = term;
    ring->hard_vote = vote;
    ring->last_lsn = lsn;
    ring->dirty = true;
}

/* --- facts for the heads -------------------------------------------------------------------------
 */

void ring_note_commit(struct ring *ring, uint64_t commit)
{
    if (commit > ring->commit)
        ring->commit = commit;
}

void ring_note_config(struct ring *ring, uint64_t index)
{
    ring->config_index = index;
}

void ring_note_boot(struct ring *ring, uint8_t peer, uint64_t boot, uint64_t boot_id)
{
    ENSURE(peer >= 1 && peer <= KEEL_REPLICA_MAX);
    if (boot <= ring->seen_boot[peer])
        return;
    ring->seen_boot[peer] = boot;
    ring->seen_boot_id[peer] = boot_id;
}

void ring_note_done(struct ring *ring, uint64_t index)
{
    if (index <= ring->done_index)
        return;
    ring->done_index = index;
    ring_window_done(ring);
}

void ring_note_checkpoint(struct ring *ring, uint64_t index)
{
    if (index > ring->checkpoint_index)
        ring->checkpoint_index = index;
}

/* The head moves in steps, and only when free slots run short: until then old entries can be
 * reread, and a quiet ring is not kept busy by seals that each move the head by the page that they
 * take. */
static void move_head(struct ring *ring)
{
    uint64_t slots = ring->super.slots;
    uint64_t reserve = slots / 4;
    uint64_t least =
        ring->flight_pages + 2u * RING_SPARE_SLOTS; /* entries stop SPARE_SLOTS earlier */
    if (reserve < least)
        reserve = least;
    uint64_t kept_max = slots - reserve;
    if (ring->tail - ring->head <= kept_max)
        return;
    uint64_t wanted = ring->tail - kept_max + slots / 16;
    uint64_t limit = ring->head;
    if (ring->checkpoint_index >= ring->last_index)
        limit = ring->tail;
    else if (ring->map_low < ring->map_high &&
             ring_map_at(ring, ring->map_low)->first_index <= ring->checkpoint_index + 1)
        limit = ring_map_at(ring, ring_map_find(ring, ring->checkpoint_index + 1))->page;
    if (wanted > limit)
        wanted = limit;
    if (wanted > ring->pinned)
        wanted = ring->pinned; /* it is being written anew: its slot must stay its own */
    if (ring->map_done < ring->map_high && wanted > ring_map_at(ring, ring->map_done)->page)
        wanted = ring_map_at(ring, ring->map_done)->page; /* the feed may hold on to it */
    if (wanted <= ring->head)
        return;
    ring->head = wanted;
    /* relaxed: pairs with the relaxed load in ring_stats() */
    __atomic_store_n(&ring->head_now, ring->head, __ATOMIC_RELAXED);
    while (ring->map_low < ring->map_high && /* bound: pages that the head passed */
           ring_map_at(ring, ring->map_low)->page < ring->head)
        ring->map_low++;
    ring_window_forget(ring, ring->map_low);
}

/* --- once a turn ---------------------------------------------------------------------------------
 */

/* The page that was watched is durable. */
static __attribute__((noinline)) void timed(struct ring *ring, uint64_t now_ns)
{
    if (ring->timed_ns != 0)
        ring->time_ns[ring->times++ % RING_TIMES] = now_ns - ring->timed_ns;
    ring->timed_ns = 0;
    ring->timed_next_ns = now_ns + RING_TIME_PAUSE_NS;
    ring->timed_page = UINT64_MAX;
}

/* When a page that is not full goes to the drive: at once while no other data page is on its way,
 * else when the last of those is durable. An idle system so sends at once, and its seals, which
 * don't count, hold nothing up; a loaded one fills pages and pays at most one more write's time.
 * Several small pages at once would shorten that wait, but each costs the drive a whole write:
 * where drives are shared or slow the sum is worse. Full pages go at once in any case, up to
 * flight_pages of them.
 *
 * A seal costs a whole write and a slot. Where messages come one by one the next page bears witness
 * just as well, so a seal waits until the ring has been quiet for a while. Until then its last page
 * is no worse off than under load, where there is always one without a witness. */
HOT uint32_t ring_turn(struct ring *ring, uint64_t now_ns)
{
    bool failed;
    ring_durable_lsn(ring, &failed);
    if (failed)
        return 0;
    uint64_t durable_page = ring_durable_page(ring);
    if (durable_page > ring->timed_page)
        timed(ring, now_ns);
    if (durable_page > ring->settled)
        ring_window_settle(ring, durable_page);
    /* acquire: pairs with the release in ring_control_checkpoint(); both checkpoints are durable */
    ring_note_checkpoint(ring, __atomic_load_n(&ring->control_checkpoint, __ATOMIC_ACQUIRE));
    /* acquire: pairs with the release in ring_control_covered() */
    ring_note_covered(ring, __atomic_load_n(&ring->control_covered, __ATOMIC_ACQUIRE));
    move_head(ring);
    if (ring->dirty || durable_page < ring->tail)
        ring->busy_ns = now_ns;
    if (!tail_has_place(ring) || !tail_has_slot(ring) || (ring->anew && durable_page < ring->tail))
        return 0;
    if (ring->dirty) {
        if (durable_page < ring->data_to)
            return 0;
    } else if (durable_page < ring->tail) {
        return 0; /* something is in flight */
    } else if (ring->head == ring->head_stated &&
               (ring->sealed ||
                ring->tail + 1 + RING_PAGES_TO_LEAD + RING_PAGES_TO_START >
                    ring->reusable + ring->window_pages ||
                now_ns - ring->busy_ns < RING_SEAL_AFTER_NS)) {
        return 0; /* the last page is a seal and says all there is (H13), or a seal would take a
                     place of the window that a leader may need */
    }
    if (ring->timed_ns == 0 && now_ns >= ring->timed_next_ns) {
        ring->timed_page = ring->tail;
        ring->timed_ns = now_ns;
    }
    close_page(ring);
    return 1;
}
