/* Look-ups of seq, the readers' ends of their links, and what other threads may ask. */
#include "dataplane/ring/ring_internal.h"

#include <errno.h>
#include <string.h>

/* --- seq: look up --------------------------------------------------------------------------------
 */

uint64_t ring_last_index(const struct ring *ring)
{
    return ring->last_index;
}

uint64_t ring_first_index(const struct ring *ring)
{
    return ring->map_low < ring->map_high ? ring_map_at(ring, ring->map_low)->first_index
                                          : ring->last_index + 1;
}

HOT uint64_t ring_window_first(const struct ring *ring)
{
    return ring->map_window < ring->map_high ? ring_map_at(ring, ring->map_window)->first_index
                                             : ring->last_index + 1;
}

/* By page numbers, not places: what a reader holds on to the head does not pass, and where pages
 * without entries lie between a few live ones, half of the places is most of a ring. */
uint64_t ring_recent_first(const struct ring *ring)
{
    uint64_t half = ring->window_pages / 2;
    uint64_t page = ring->tail > half ? ring->tail - half : 0;
    uint64_t low = ring->map_window;
    uint64_t high =
        ring->map_high; /* first live page >= page lies in low..high; halves each time */
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        if (ring_map_at(ring, middle)->page < page)
            low = middle + 1;
        else
            high = middle;
    }
    return low < ring->map_high ? ring_map_at(ring, low)->first_index : ring->last_index + 1;
}

HOT const struct entry *ring_entry(const struct ring *ring, uint64_t index)
{
    if (index > ring->last_index || index < ring_window_first(ring))
        return NULL;
    uint64_t where = ring->where[index & ring->table_mask];
    if (where == RING_NOWHERE)
        return NULL;
    return (const struct entry *)(ring->window + where * 8);
}

HOT uint64_t ring_chain(const struct ring *ring, uint64_t index)
{
    /* The table still holds the entry before the window's first: it is wider than the window's
     * entries. */
    if (index > ring->last_index || index + 1 < ring_window_first(ring))
        return 0;
    return index == ring->last_index ? ring->last_chain : ring->chain[index & ring->table_mask];
}

uint64_t ring_head_page(const struct ring *ring)
{
    /* relaxed: pairs with the relaxed stores in move_head() and ring_begin() */
    return __atomic_load_n(&ring->head_now, __ATOMIC_RELAXED);
}

HOT uint64_t ring_durable_lsn(const struct ring *ring, bool *failed)
{
    /* acquire: pairs with the releases in disk's fail() and aux's zero_done() */
    *failed = __atomic_load_n(&ring->failed, __ATOMIC_ACQUIRE) != 0 ||
              __atomic_load_n(&ring->aux_failed, __ATOMIC_ACQUIRE) != 0;
    /* acquire: pairs with the release in disk's publish() */
    return __atomic_load_n(&ring->durable_lsn, __ATOMIC_ACQUIRE);
}

HOT uint64_t ring_durable_page(const struct ring *ring)
{
    /* acquire: pairs with the release in disk's publish(); the drive no longer reads those pages */
    return __atomic_load_n(&ring->durable_page, __ATOMIC_ACQUIRE);
}

bool ring_boot_durable(const struct ring *ring)
{
    return ring_durable_page(ring) > ring->boot_page;
}

uint64_t ring_page_of(const struct ring *ring, uint64_t index)
{
    if (index > ring->last_index || index < ring_first_index(ring))
        return UINT64_MAX;
    return ring_map_at(ring, ring_map_find(ring, index))->page;
}

uint64_t ring_term(const struct ring *ring, uint64_t index)
{
    if (index > ring->last_index || index < ring_first_index(ring))
        return 0;
    return ring_map_at(ring, ring_map_find(ring, index))->term;
}

bool ring_span(const struct ring *ring, uint64_t index, uint64_t *page, uint64_t *first,
               uint64_t *last)
{
    if (index > ring->last_index || index < ring_first_index(ring))
        return false;
    uint64_t position = ring_map_find(ring, index);
    *page = ring_map_at(ring, position)->page;
    *first = ring_map_at(ring, position)->first_index;
    *last = ring_live_last(ring, position);
    return *page < ring->tail;
}

/* --- readers -------------------------------------------------------------------------------------
 */

static bool ask(struct ring *ring, enum ring_reader reader, const struct ring_reread *reread)
{
    ENSURE(reader < RING_READER_COUNT);
    struct ring_link *link = &ring->link[reader];
    if (reread->page >= ring_durable_page(ring) || link->free_count == 0)
        return false;
    struct ring_ask *record = spsc_reserve(&link->asks);
    ENSURE(record != NULL); /* as many records as buffers */
    uint32_t buffer = link->free_buffer[--link->free_count];
    link->reread[buffer] = *reread;
    record->page = reread->page;
    record->buffer = buffer;
    record->reserved = 0;
    spsc_push(&link->asks);
    return true;
}

bool ring_read_request(struct ring *ring, enum ring_reader reader, uint64_t index, uint64_t tag)
{
    ENSURE(reader == RING_READER_SEQ && index >= 1);
    struct ring_reread reread = {.tag = tag, .index = index, .page = ring_page_of(ring, index)};
    return ask(ring, reader, &reread);
}

bool ring_read_page(struct ring *ring, enum ring_reader reader, uint64_t page, uint64_t tag)
{
    struct ring_reread reread = {.tag = tag, .index = 0, .page = page};
    return ask(ring, reader, &reread);
}

bool ring_read_poll(struct ring *ring, enum ring_reader reader, struct ring_read *read)
{
    ENSURE(reader < RING_READER_COUNT);
    struct ring_link *link = &ring->link[reader];
    const struct ring_answer *answer = spsc_peek(&link->answers);
    if (answer == NULL)
        return false;
    const struct ring_reread *reread = &link->reread[answer->buffer];
    *read = (struct ring_read){.tag = reread->tag,
                               .index = reread->index,
                               .result = answer->result,
                               .buffer = answer->buffer};
    spsc_drop(&link->answers);
    if (read->result < 0)
        return true;
    const struct ring_page *page = (const void *)ring_buffer(ring, reader, read->buffer);
    read->first = page->self.first_index;
    read->last = page->self.first_index + ring_page_present(page) - 1;
    uint64_t live_page;
    if (reread->index != 0 &&
        (!ring_span(ring, reread->index, &live_page, &read->first, &read->last) ||
         live_page != reread->page))
        read->result = -ESTALE; /* superseded or passed by the head since it was asked for */
    else
        read->page = page;
    return true;
}

void ring_read_release(struct ring *ring, enum ring_reader reader, const struct ring_read *read)
{
    ENSURE(reader < RING_READER_COUNT);
    struct ring_link *link = &ring->link[reader];
    ENSURE(link->free_count < RING_READS_MAX && read->buffer < RING_READS_MAX);
    link->free_buffer[link->free_count++] = read->buffer;
}

/* --- control, statistics -------------------------------------------------------------------------
 */

void ring_control_checkpoint(struct ring *ring, uint64_t index)
{
    if (index > ring->control_checkpoint)
        /* release: pairs with the acquire in ring_turn(); both checkpoints were verified before */
        __atomic_store_n(&ring->control_checkpoint, index, __ATOMIC_RELEASE);
}

void ring_control_covered(struct ring *ring, uint64_t index)
{
    if (index > ring->control_covered)
        /* release: pairs with the acquire in ring_turn(); the checkpoint was verified before */
        __atomic_store_n(&ring->control_covered, index, __ATOMIC_RELEASE);
}

bool ring_control_suspect(struct ring *ring, uint64_t *page)
{
    /* relaxed: pairs with the relaxed store in aux's answer(); a value of its own */
    uint64_t suspect = __atomic_exchange_n(&ring->suspect, 0, __ATOMIC_RELAXED);
    *page = suspect - 1;
    return suspect != 0;
}

int ring_control_checkpoint_write(const struct ring *ring, struct disk *disk, unsigned area,
                                  struct ring_checkpoint *head, void *bytes, size_t size)
{
    bool failed;
    uint64_t durable_lsn = ring_durable_lsn(ring, &failed);
    if (failed)
        return -EIO;
    if (head->lsn > durable_lsn || (head->index > 0 && head->page >= ring_durable_page(ring)))
        return -ERANGE;
    return ring_checkpoint_write(disk, &ring->super, area, head, bytes, size);
}

int ring_control_checkpoint_install(const struct ring *ring, struct disk *disk, unsigned area,
                                    struct ring_checkpoint *head, void *bytes, size_t size)
{
    bool failed;
    head->lsn = ring_durable_lsn(ring, &failed);
    if (failed)
        return -EIO;
    uint64_t durable_page = ring_durable_page(ring);
    if (durable_page == 0)
        return -ERANGE; /* the first page of this boot is still on its way */
    head->page = durable_page - 1;
    head->installed = 1;
    return ring_checkpoint_write(disk, &ring->super, area, head, bytes, size);
}

uint64_t ring_drive_ns(const struct ring *ring, uint64_t now_ns)
{
    uint64_t least = ring->times > 0 ? ring->time_ns[0] : 0;
    for (uint32_t i = 1; i < RING_TIMES && i < ring->times; i++)
        if (ring->time_ns[i] < least)
            least = ring->time_ns[i];
    uint64_t out = ring->timed_ns != 0 ? now_ns - ring->timed_ns : 0;
    return out > least ? out : least;
}

void ring_stats(const struct ring *ring, struct ring_stats *stats)
{
    /* relaxed: pairs with the relaxed stores of each role; every word is true by itself */
#define LOAD(word) __atomic_load_n(&ring->word, __ATOMIC_RELAXED)
    *stats = (struct ring_stats){
        .pages_written = LOAD(count_pages),
        .bytes_written = LOAD(count_pages) * RING_PAGE_SIZE,
        .seals = LOAD(count_seals),
        .entries = LOAD(count_entries),
        .zeroed_pages = LOAD(count_zeroed),
        .reads = LOAD(count_reads),
        .read_errors = LOAD(count_read_errors),
        .write_errors = LOAD(count_write_errors),
        .holes = LOAD(count_holes),
        .in_flight = LOAD(in_flight_now),
        .in_flight_max = LOAD(in_flight_max),
        .head_page = LOAD(head_now),
        .tail_page = LOAD(tail_now),
        .slots = ring->super.slots,
        .zeroed_to = LOAD(zeroed_to),
        .oldest_flight_lsn = LOAD(oldest_flight_lsn),
    };
#undef LOAD
}
