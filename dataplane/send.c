/* One datagram out: body -> auth -> frame -> outbox -> port. */
#include "dataplane/replica.h"

#include <string.h>

bool send_begin(struct replica *r, struct port_frame *frame)
{
    if (port_alloc(r->port, 0, frame))
        return true;
    metric_add(&r->metrics.drop[DROP_NO_FRAME], 1);
    return false;
}

uint32_t send_flush(struct replica *r)
{
    uint32_t count = r->outbox.count;
    if (count > 0)
        port_send(r->port, 0, r->outbox.frame, count);
    r->outbox.count = 0;
    if (r->sample.applied_ns != 0) { /* the answer to the sampled message has left */
        histogram_record(&r->metrics.stage[STAGE_SENT],
                         clock_now_ns(r->clock) - r->sample.applied_ns);
        r->sample.applied_ns = 0;
    }
    return count;
}

void send_frame(struct replica *r, struct port_frame *frame)
{
    if (r->outbox.count == REPLICA_OUTBOX)
        send_flush(r);
    r->outbox.frame[r->outbox.count++] = *frame;
}

/* Heads in front of the payload and into the outbox; the frame is gone either way. */
static void send_datagram(struct replica *r, struct port_frame *frame,
                          const struct frame_address *to, uint16_t from_port, uint32_t size)
{
    if (frame_finish(r->host, frame, to, from_port, size, r->now_ns / 1000000) != FRAME_OK) {
        metric_add(&r->metrics.drop[DROP_UNRESOLVED], 1);
        port_free(r->port, frame, 1);
        return;
    }
    metric_add(&r->metrics.tx_datagrams, 1);
    send_frame(r, frame);
}

void send_sealed(struct replica *r, struct port_frame *frame, uint32_t principal, uint8_t kind,
                 size_t body_size)
{
    const struct auth_peer *peer = auth_peer(r->auth, principal);
    if (peer == NULL || r->stopped) {
        metric_add(&r->metrics.drop[DROP_NO_ASSOCIATION], 1);
        port_free(r->port, frame, 1);
        return;
    }
    struct frame_address to = {.ip = peer->ip, .port = peer->port};
    size_t size = auth_seal(r->auth, peer, kind, frame->data + FRAME_HEADS_SIZE, body_size);
    ENSURE(size > 0);
    send_datagram(r, frame, &to, r->options.udp_port, (uint32_t)size);
}

void send_raw(struct replica *r, const struct frame_address *to, uint16_t from_port,
              const void *payload, uint32_t size)
{
    struct port_frame frame;
    if (!send_begin(r, &frame))
        return;
    memcpy(frame.data + FRAME_HEADS_SIZE, payload, size);
    send_datagram(r, &frame, to, from_port, size);
}

void send_peer(void *replica, const struct raft_msg *msg)
{
    struct replica *r = replica;
    struct port_frame frame;
    if (!send_begin(r, &frame))
        return;
    struct raft_msg m = *msg;
    if (m.kind == RAFT_APPEND)
        m.prev_chain = ring_chain(r->ring, m.prev_index);
    uint8_t kind;
    size_t size = packet_peer_encode(&m, 0, send_body(&frame), &kind);
    send_sealed(r, &frame, m.to, kind, size);
}
