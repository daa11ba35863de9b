/* The disk role: closed pages go to the drive in order, come back in any order, and count as
 * durable only as a prefix (H11). A failure is sticky. */
#include "dataplane/ring/ring_internal.h"

#include <errno.h>
#include <time.h>

/* From here on nothing more becomes durable, not even earlier pages that still complete: after a
 * failed write no later answer of that drive is believed until a new start has judged what lies
 * there. */
static void fail(struct ring *ring)
{
    ring_count(&ring->count_write_errors, 1);
    /* release: pairs with the acquire in ring_durable_lsn() */
    __atomic_store_n(&ring->failed, 1, __ATOMIC_RELEASE);
}

static bool stopped(const struct ring *ring)
{
    /* acquire: pairs with the release in aux_fail(): a failed zeroing ends it as a failed write
     * does */
    return ring->failed != 0 || __atomic_load_n(&ring->aux_failed, __ATOMIC_ACQUIRE) != 0;
}

/* What the pages below disk_durable state becomes true for everybody. */
static void publish(struct ring *ring, uint64_t lsn)
{
    /* release: pairs with the acquire in ring_durable_lsn() and fill_head() */
    __atomic_store_n(&ring->durable_lsn, lsn, __ATOMIC_RELEASE);
    /* release: pairs with the acquire in aux's zero_next(): a durable page states that head (H10)
     */
    __atomic_store_n(&ring->durable_head, ring->disk_head, __ATOMIC_RELEASE);
    /* release: pairs with the acquire in ring_durable_page(); last, so that who sees a page counted
     * sees its LSN counted too, and takes its place in the window only when the drive is through
     * with it */
    __atomic_store_n(&ring->durable_page, ring->disk_durable, __ATOMIC_RELEASE);
}

static uint32_t reap(struct ring *ring)
{
    struct disk_done done[RING_REAP_MAX];
    uint32_t count = disk_reap(ring->writer, done, RING_REAP_MAX);
    for (uint32_t i = 0; i < count; i++) {
        ENSURE(done[i].tag >= ring->disk_durable && done[i].tag < ring->submitted);
        ring->in_flight--;
        if (done[i].result < 0)
            fail(ring);
        else
            ring->done_mask |= 1ull << (done[i].tag - ring->disk_durable);
    }
    if (count == 0 || stopped(ring))
        return count;
    ring_count(&ring->count_pages, count);
    uint64_t from = ring->disk_durable;
    while ((ring->done_mask & 1) != 0) { /* bound: RING_FLIGHT_PAGES_MAX bits */
        ring->done_mask >>= 1;
        ring->disk_durable++;
    }
    if (ring->disk_durable > from) {
        const struct ring_page *last = ring_window_page(ring, ring->disk_durable - 1);
        ring->disk_head = last->head;
        publish(ring, last->last_lsn);
    }
    return count;
}

static uint32_t submit(struct ring *ring)
{
    /* acquire: pairs with the release in close_page() */
    uint64_t closed_to = __atomic_load_n(&ring->closed_to, __ATOMIC_ACQUIRE);
    /* The limit bounds the span from the oldest page in flight, not the number: recovery relies on
     * it. The first page of a boot goes alone, since the page before may state another limit. */
    uint64_t limit =
        ring->disk_durable + (ring->disk_durable > ring->boot_page ? ring->flight_pages : 1);
    uint32_t count = 0;
    while (ring->submitted < closed_to && ring->submitted < limit) { /* bound: flight_pages */
        int result =
            disk_submit(ring->writer, DISK_WRITE, ring_slot_offset(&ring->super, ring->submitted),
                        ring_window_page(ring, ring->submitted), RING_PAGE_SIZE, ring->submitted);
        if (result == -EBUSY)
            break;
        if (result < 0) {
            fail(ring);
            return count;
        }
        ring->submitted++;
        ring->in_flight++;
        count++;
    }
    if (count > 0 && disk_kick(ring->writer) < 0)
        fail(ring);
    return count;
}

HOT uint32_t ring_disk_turn(struct ring *ring)
{
    uint32_t work = ring->in_flight > 0 ? reap(ring) : 0;
    if (!stopped(ring))
        work += submit(ring);
    if (work > 0) {
        /* relaxed: pairs with the relaxed loads in ring_stats() */
        __atomic_store_n(&ring->in_flight_now, ring->in_flight, __ATOMIC_RELAXED);
        if (ring->in_flight > ring->in_flight_max)
            __atomic_store_n(&ring->in_flight_max, ring->in_flight, __ATOMIC_RELAXED);
        uint64_t oldest = ring->disk_durable < ring->submitted
                              ? ring_window_page(ring, ring->disk_durable)->last_lsn
                              : 0;
        __atomic_store_n(&ring->oldest_flight_lsn, oldest, __ATOMIC_RELAXED);
    }
    return work;
}

void ring_stop(struct ring *ring)
{
    enum {
        WAITS_MAX = 100000
    }; /* ten seconds; a drive that takes longer is waited for at closing */
    const struct timespec pause = {.tv_nsec = 100000};
    for (uint32_t wait = 0; wait < WAITS_MAX; wait++) {
        ring_disk_turn(ring);
        if (ring->in_flight == 0 && (stopped(ring) || ring->disk_durable == ring->closed_to))
            return;
        nanosleep(&pause, NULL);
    }
}
