/* Peers behind the window: their entries come from the drive, by way of aux, a few pages ahead, so
 * that a peer is served at the drive's rate and not a page a round trip.
 *
 * Each peer has a queue of pages in the order of the log: asked for, here, sent. A queue is given
 * up when the peer turns out to stand elsewhere, or when this replica leads no more; what still
 * comes for it then is put back unseen.
 */
#include "dataplane/replica.h"

#include <string.h>

/* Chain and term before entry `index` of a page. False if the term is not to be told: the page is
 * the first that is retained, and the last eight before it held no entry. A wrong one would read as
 * corruption (H6). */
static bool before(const struct replica *r, const struct ring_page *page, uint64_t index,
                   struct raft_msg *msg)
{
    msg->prev_chain = ring_page_chain(page, index - 1);
    if (msg->prev_term == 0)
        msg->prev_term = ring_term(r->ring, msg->prev_index);
    for (uint32_t i = 0; msg->prev_term == 0 && i < RING_PREDECESSORS; i++)
        if (page->before[i].count > 0 && page->before[i].first_index < index)
            msg->prev_term = page->before[i].entry_term;
    return msg->prev_term != 0 || msg->prev_index == 0;
}

/* Adds what a page holds behind the message's entries, as long as the term stays and the packet has
 * room. True: all of it, the next page may follow. */
static bool add_entries(const struct catch_up_page *at, struct raft_msg *msg, uint8_t *entries,
                        uint32_t *bytes)
{
    const struct ring_page *page = at->read.page;
    if (!at->here || at->read.result != 0 || page->page != at->number ||
        page->self.entry_term != msg->entry_term)
        return false;
    uint64_t end = page->self.first_index + ring_page_present(page) - 1;
    if (end > at->last)
        end = at->last;
    const uint8_t *from = (const uint8_t *)page + RING_HEAD_SIZE;
    for (uint64_t i = page->self.first_index; i <= end; i++) {
        const struct entry *entry = (const struct entry *)from;
        from += entry->size;
        if (i <= msg->prev_index + msg->count)
            continue;
        if (*bytes + entry->size > KEEL_ENTRY_MAX)
            return false;
        memcpy(entries + *bytes, entry, entry->size);
        *bytes += entry->size;
        msg->count++;
    }
    return true;
}

/* One packet for a peer from the pages that are here: where messages came one by one each of them
 * has a page of its own. False: no credit, no frame, or what is before is not to be told. */
static bool send_from_pages(struct replica *r, uint8_t peer)
{
    const struct catch_up *queue = &r->catch_up[peer];
    const struct ring_page *page = queue->page[0].read.page;
    struct raft_msg msg;
    if (!raft_append_next(&r->raft, peer, &msg))
        return false;
    uint64_t first = msg.prev_index + 1;
    struct port_frame frame;
    if (first < page->self.first_index || first > queue->page[0].last || !send_begin(r, &frame))
        return false;
    if (!before(r, page, first, &msg)) {
        port_free(r->port, &frame, 1);
        r->lapped |= 1u << peer; /* nothing here says whether the log follows from its */
        return false;
    }
    msg.entry_term = page->self.entry_term;
    msg.count = 0;
    uint32_t bytes = 0;
    uint8_t *entries = (uint8_t *)send_body(&frame) + KEEL_APPEND_HEAD_SIZE;
    for (uint32_t i = 0; i < queue->count; i++)
        if (!add_entries(&queue->page[i], &msg, entries, &bytes))
            break;
    ENSURE(msg.count > 0); /* the first lies in the first page, and fits */
    replicate_send(r, &frame, &msg, bytes);
    step_sent(r, peer, first + msg.count - 1, bytes);
    r->lapped &= ~(1u << peer);
    return true;
}

static void drop_head(struct replica *r, struct catch_up *queue)
{
    if (queue->page[0].here)
        ring_read_release(r->ring, RING_READER_SEQ, &queue->page[0].read);
    queue->count--;
    memmove(&queue->page[0], &queue->page[1], queue->count * sizeof(queue->page[0]));
}

static void give_up(struct replica *r, struct catch_up *queue)
{
    while (queue->count > 0)
        drop_head(r, queue);
}

/* Pages below the peer's next index are behind it. */
static void drop_sent(struct replica *r, struct catch_up *queue, uint64_t next)
{
    while (queue->count > 0 && next > queue->page[0].last)
        drop_head(r, queue);
}

static struct catch_up_page *awaited(struct catch_up *queue, uint64_t index)
{
    for (uint32_t i = 0; i < queue->count; i++)
        if (!queue->page[i].here && queue->page[i].first == index)
            return &queue->page[i];
    return NULL;
}

uint32_t catch_up_arrived(struct replica *r)
{
    struct ring_read read;
    uint32_t work = 0;
    if (r->raft.role != RAFT_LEADER)
        r->lapped = 0;
    if (r->catching_up && r->raft.role != RAFT_LEADER) {
        for (uint8_t peer = 1; peer <= RAFT_ID_MAX; peer++)
            give_up(r, &r->catch_up[peer]);
        r->catching_up = false;
    }
    while (ring_read_poll(r->ring, RING_READER_SEQ, &read)) {
        if (read.tag >= REPAIR_TAG) {
            repair_read(r, &read);
            ring_read_release(r->ring, RING_READER_SEQ, &read);
            work++;
            continue;
        }
        struct catch_up_page *page = awaited(&r->catch_up[read.tag], read.index);
        metric_add(&r->metrics.reread_pages, 1);
        if (page != NULL) {
            page->here = true;
            page->read = read;
        } else {
            ring_read_release(r->ring, RING_READER_SEQ, &read);
        }
        work++;
    }
    return work;
}

/* Asks for the pages that follow, up to the window. */
static uint32_t ask_ahead(struct replica *r, uint8_t peer, uint64_t index)
{
    struct catch_up *queue = &r->catch_up[peer];
    uint32_t asked = 0;
    if (queue->count > 0)
        index = queue->page[queue->count - 1].last + 1;
    while (queue->count < CATCH_UP_PAGES && index < ring_window_first(r->ring)) {
        uint64_t page, first, last;
        if (ring_in_hole(r->ring, index) || /* it comes back first */
            !ring_span(r->ring, index, &page, &first, &last) ||
            !ring_read_request(r->ring, RING_READER_SEQ, index, peer))
            break;
        queue->page[queue->count++] =
            (struct catch_up_page){.number = page, .first = index, .last = last};
        r->catching_up = true;
        index = last + 1;
        asked++;
    }
    return asked;
}

uint32_t catch_up(struct replica *r, uint8_t peer, uint64_t index)
{
    struct catch_up *queue = &r->catch_up[peer];
    if (queue->count > 0 && index < queue->page[0].first)
        give_up(r, queue); /* the peer went back: a loss, or a restart */
    drop_sent(r, queue, index);
    while (queue->count > 0 && queue->page[0].here) { /* bound: flights */
        const struct catch_up_page *page = &queue->page[0];
        if (page->read.result != 0 || page->read.page->page != page->number) {
            give_up(r, queue);
            break;
        }
        if (!send_from_pages(r, peer))
            break; /* later */
        drop_sent(r, queue, r->raft.peer[peer].next);
    }
    index = r->raft.peer[peer].next;
    if (index < ring_first_index(r->ring) ||
        ((r->raft.hole == 0 || index < r->raft.hole) && ring_in_hole(r->ring, index))) { /* H7 */
        give_up(r, queue);
        r->lapped |= 1u << peer; /* only a checkpoint can help it */
        return 0;
    }
    return ask_ahead(r, peer, index);
}

void catch_up_done(struct replica *r, uint8_t peer)
{
    r->lapped &= ~(1u << peer);
    give_up(r, &r->catch_up[peer]);
}
