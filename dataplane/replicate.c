/* Fills the flights to the peers: as many entries as fit a packet, straight from the window; for a
 * peer behind the window from the drive, by way of aux.
 */
#include "dataplane/replica.h"

#include <string.h>

/* Copies entries first.. (at most count, contiguous by index) from the window into `to`. */
static uint32_t pack_window(struct replica *r, uint64_t first, uint32_t count, uint8_t *to,
                            uint32_t *bytes)
{
    uint32_t packed = 0, used = 0;
    while (packed < count) {
        const struct entry *entry = ring_entry(r->ring, first + packed);
        if (entry == NULL || used + entry->size > KEEL_ENTRY_MAX)
            break;
        memcpy(to + used, entry, entry->size);
        used += entry->size;
        packed++;
    }
    *bytes = used;
    return packed;
}

static void send_append(struct replica *r, struct port_frame *frame, struct raft_msg *msg,
                        uint32_t bytes)
{
    uint8_t kind;
    size_t head = packet_peer_encode(msg, bytes, send_body(frame), &kind);
    send_sealed(r, frame, msg->to, kind, head + bytes);
    metric_add(&r->metrics.appends_sent, 1);
    metric_add(&r->metrics.append_entries_sent, msg->count);
}

/* One packet from the window; false when there was nothing to send from there. */
static bool send_from_window(struct replica *r, struct raft_msg *msg)
{
    uint64_t first = msg->prev_index + 1;
    struct port_frame frame;
    if (ring_entry(r->ring, first) == NULL || !send_begin(r, &frame))
        return false;
    uint32_t bytes;
    uint8_t *entries = (uint8_t *)send_body(&frame) + KEEL_APPEND_HEAD_SIZE;
    msg->count = pack_window(r, first, msg->count, entries, &bytes);
    msg->prev_chain = ring_chain(r->ring, msg->prev_index);
    send_append(r, &frame, msg, bytes);
    step_sent(r, msg->to, first + msg->count - 1, bytes);
    return true;
}

/* Chain and term before entry `index` of a page, as the page and its head tell them. False if the
 * term is not to be told: the last eight pages held no entry. A wrong one would read as corruption
 * (H6). */
static bool before(const struct ring_page *page, uint64_t index, struct raft_msg *msg)
{
    const uint8_t *at = (const uint8_t *)page + RING_HEAD_SIZE;
    uint64_t chain = page->self.chain_before;
    for (uint64_t i = page->self.first_index; i < index; i++) {
        const struct entry *entry = (const struct entry *)at;
        chain = ring_chain_next(chain, entry);
        at += entry->size;
    }
    msg->prev_chain = chain;
    if (index > page->self.first_index) {
        msg->prev_term = page->self.entry_term;
        return true;
    }
    for (uint32_t i = 0; msg->prev_term == 0 && i < RING_PREDECESSORS; i++)
        if (page->before[i].count > 0 && page->before[i].first_index < index)
            msg->prev_term = page->before[i].entry_term;
    return msg->prev_term != 0 || msg->prev_index == 0;
}

/* Sends what a reread page holds for its peer: at most three packets, each within its flights. */
static void send_from_page(struct replica *r, uint8_t peer, const struct ring_page *page,
                           uint64_t live_last)
{
    uint64_t end = page->self.first_index + page->self.count - 1;
    if (end > live_last)
        end = live_last;
    struct raft_msg msg;
    for (uint32_t n = 0; n < 4 && raft_append_next(&r->raft, peer, &msg); n++) {
        uint64_t first = msg.prev_index + 1;
        if (first < page->self.first_index || first > end)
            return;
        struct port_frame frame;
        if (!send_begin(r, &frame))
            return;
        if (!before(page, first, &msg)) {
            port_free(r->port, &frame, 1);
            return;
        }
        msg.entry_term = page->self.entry_term;
        uint8_t *entries = (uint8_t *)send_body(&frame) + KEEL_APPEND_HEAD_SIZE;
        const uint8_t *at = (const uint8_t *)page + RING_HEAD_SIZE;
        uint32_t bytes = 0;
        msg.count = 0;
        for (uint64_t i = page->self.first_index; i <= end; i++) {
            const struct entry *entry = (const struct entry *)at;
            at += entry->size;
            if (i < first)
                continue;
            if (bytes + entry->size > KEEL_ENTRY_MAX)
                break;
            memcpy(entries + bytes, entry, entry->size);
            bytes += entry->size;
            msg.count++;
        }
        send_append(r, &frame, &msg, bytes);
        step_sent(r, peer, first + msg.count - 1, bytes);
    }
}

static uint32_t reread_arrived(struct replica *r)
{
    struct ring_read read;
    uint32_t work = 0;
    while (ring_read_poll(r->ring, RING_READER_SEQ, &read)) {
        uint8_t peer = (uint8_t)read.tag;
        r->reread[peer].asked = false;
        if (read.result == 0 && r->raft.role == RAFT_LEADER) {
            uint64_t page, first, last;
            if (ring_span(r->ring, read.index, &page, &first, &last) && page == read.page->page)
                send_from_page(r, peer, read.page, last);
            metric_add(&r->metrics.reread_pages, 1);
        }
        ring_read_release(r->ring, RING_READER_SEQ, &read);
        work++;
    }
    return work;
}

uint32_t replicate(struct replica *r)
{
    uint32_t work = reread_arrived(r);
    if (r->raft.role != RAFT_LEADER || r->stopped)
        return work;
    for (uint8_t peer = 1; peer <= RAFT_ID_MAX; peer++) {
        struct raft_msg msg;
        for (uint32_t n = 0; n < REPLICA_PACKETS_PER_PEER; n++) {
            if (!raft_append_next(&r->raft, peer, &msg))
                break;
            if (send_from_window(r, &msg)) {
                work++;
                continue;
            }
            if (!r->reread[peer].asked && msg.prev_index + 1 < ring_window_first(r->ring))
                r->reread[peer].asked =
                    ring_read_request(r->ring, RING_READER_SEQ, msg.prev_index + 1, peer);
            break;
        }
    }
    return work;
}
