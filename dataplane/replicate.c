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

void replicate_send(struct replica *r, struct port_frame *frame, struct raft_msg *msg,
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
    replicate_send(r, &frame, msg, bytes);
    step_sent(r, msg->to, first + msg->count - 1, bytes);
    return true;
}

uint32_t replicate(struct replica *r)
{
    uint32_t work = catch_up_arrived(r);
    if (r->raft.role != RAFT_LEADER || r->stopped)
        return work;
    for (uint8_t peer = 1; peer <= RAFT_ID_MAX; peer++) {
        struct raft_msg msg;
        for (uint32_t n = 0; n < REPLICA_PACKETS_PER_PEER; n++) {
            if (!raft_append_next(&r->raft, peer, &msg))
                break;
            if (send_from_window(r, &msg)) {
                catch_up_done(r, peer);
                work++;
                continue;
            }
            if (msg.prev_index + 1 < ring_window_first(r->ring))
                work += catch_up(r, peer, msg.prev_index + 1);
            break;
        }
    }
    return work;
}
