/* The aux role: rereads pages for their readers, and keeps the ring ahead of the tail zeroed. */
#include "dataplane/ring/ring_internal.h"

#include <errno.h>

/* Only slots of pages below a durable head are zeroed, one write at a time, in order, so that what
 * is durably zeroed is one stretch (H10). */
static uint32_t zero_next(struct ring *ring)
{
    if (ring->zero_from < ring->zero_to || ring->aux_failed != 0)
        return 0;
    /* acquire: pairs with the release in disk's publish() */
    uint64_t head = __atomic_load_n(&ring->durable_head, __ATOMIC_ACQUIRE);
    uint64_t slots = ring->super.slots;
    uint64_t from = ring->zeroed_to;
    uint64_t to = head + slots;
    if (from >= to)
        return 0;
    uint64_t straight = slots - from % slots; /* up to the end of the ring */
    if (to > from + straight)
        to = from + straight;
    if (to > from + RING_ZERO_PAGES)
        to = from + RING_ZERO_PAGES;
    if (disk_submit(ring->reader, DISK_ZERO, ring_slot_offset(&ring->super, from), NULL,
                    (uint32_t)(to - from) * RING_PAGE_SIZE, RING_ZERO_TAG) < 0)
        return 0; /* busy: again in the next turn */
    ring->zero_from = from;
    ring->zero_to = to;
    return 1;
}

static void aux_fail(struct ring *ring)
{
    /* release: pairs with the acquire in ring_durable_lsn() */
    __atomic_store_n(&ring->aux_failed, 1, __ATOMIC_RELEASE);
}

static void zero_done(struct ring *ring, int32_t result)
{
    ring->zero_from = ring->zero_to;
    if (result < 0) {
        aux_fail(ring);
        return;
    }
    ring_count(&ring->count_zeroed, ring->zero_to - ring->zeroed_to);
    /* release: pairs with the acquire in slot_is_zeroed(); the zeros are durable */
    __atomic_store_n(&ring->zeroed_to, ring->zero_to, __ATOMIC_RELEASE);
}

/* What was read must be the very page that was asked for. A slot that is zeroed or holds a later
 * lap's page says that the head has passed; anything else is damage. A page of another version is
 * damage, too: a start refuses a ring that holds one, and nobody else writes here since. */
static int32_t judge_reread(const struct ring *ring, uint64_t asked, const void *bytes)
{
    const struct ring_page *page = bytes;
    uint32_t bad;
    switch (ring_page_judge(bytes, &ring->owner, asked % ring->super.slots, &bad)) {
    case RING_PAGE_GOOD:
        return page->page == asked ? 0 : page->page > asked ? -ESTALE : -EIO;
    case RING_PAGE_ZERO:
        break;
    case RING_PAGE_OTHER:
    case RING_PAGE_VERSION:
    case RING_PAGE_PAYLOAD:
    case RING_PAGE_HEAD:
        break;
    }
    /* Read while it was zeroed or written anew: half of it may be. acquire: pairs with the release
     * in disk's publish() */
    return asked < __atomic_load_n(&ring->durable_head, __ATOMIC_ACQUIRE) ? -ESTALE : -EIO;
}

static void answer(struct ring *ring, uint32_t reader, uint32_t buffer, int32_t result)
{
    if (result == 0)
        result =
            judge_reread(ring, ring->asked_page[reader][buffer], ring_buffer(ring, reader, buffer));
    if (result == -EIO) {
        ring_count(&ring->count_read_errors, 1);
        /* relaxed: pairs with the relaxed exchange in ring_control_suspect() */
        __atomic_store_n(&ring->suspect, ring->asked_page[reader][buffer] + 1, __ATOMIC_RELAXED);
    }
    struct ring_answer *record = spsc_reserve(&ring->link[reader].answers);
    ENSURE(record != NULL); /* as many records as buffers */
    record->buffer = buffer;
    record->result = result;
    spsc_push(&ring->link[reader].answers);
}

static uint32_t take_asks(struct ring *ring, uint32_t reader)
{
    uint32_t count = 0;
    for (; count < RING_READS_MAX; count++) {
        const struct ring_ask *record = spsc_peek(&ring->link[reader].asks);
        if (record == NULL)
            break;
        int result =
            disk_submit(ring->reader, DISK_READ, ring_slot_offset(&ring->super, record->page),
                        ring_buffer(ring, reader, record->buffer), RING_PAGE_SIZE,
                        reader * RING_READS_MAX + record->buffer);
        if (result == -EBUSY)
            break;
        ring->asked_page[reader][record->buffer] = record->page;
        ring_count(&ring->count_reads, 1);
        if (result < 0)
            answer(ring, reader, record->buffer, -EIO);
        else
            ring->aux_in_flight++;
        spsc_drop(&ring->link[reader].asks);
    }
    return count;
}

HOT uint32_t ring_aux_turn(struct ring *ring)
{
    struct disk_done done[RING_REAP_MAX];
    uint32_t work = ring->aux_in_flight > 0 ? disk_reap(ring->reader, done, RING_REAP_MAX) : 0;
    for (uint32_t i = 0; i < work; i++) {
        ring->aux_in_flight--;
        if (done[i].tag == RING_ZERO_TAG)
            zero_done(ring, done[i].result);
        else
            answer(ring, (uint32_t)(done[i].tag / RING_READS_MAX),
                   (uint32_t)(done[i].tag % RING_READS_MAX), done[i].result < 0 ? -EIO : 0);
    }
    uint32_t submitted = zero_next(ring);
    ring->aux_in_flight += submitted;
    for (uint32_t reader = 0; reader < RING_READER_COUNT; reader++)
        submitted += take_asks(ring, reader);
    if (submitted > 0 && disk_kick(ring->reader) < 0)
        aux_fail(ring);
    return work + submitted;
}
