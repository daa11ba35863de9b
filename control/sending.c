/* Checkpoints to peers that no log reaches: the leader's side.
 *
 * seq says which those are. The newest verified checkpoint is read from its area once, into memory
 * of its own: it stays what it is while own checkpoints take the areas again, and nothing of seq's
 * waits. Chunks go out within a window for each peer and a rate for all; the receiver says from
 * where on it wants more, so that whatever is lost, on the way, with its process or with this
 * leader, costs that and no more.
 */
#include "control/control_internal.h"
#include "dataplane/crc32c.h"

#include <string.h>

/* The log must still go on where the checkpoint ends, or the peer would be as far from it as
 * before. */
static bool of_use(const struct control *c)
{
    return c->send.pinned && c->send.id.index + 1 >= c->seen.first_index;
}

static bool pin_newest(struct control *c)
{
    struct control_send *out = &c->send;
    struct ring_checkpoint head;
    out->pinned = false;
    if (c->checkpoint_index[0] == 0 || c->now_ns < out->not_before_ns)
        return false;
    out->not_before_ns = c->now_ns + CONTROL_CHECKPOINT_GAP_MS * 1000000ull;
    int64_t size = ring_checkpoint_read(c->options.disk, &c->super, c->checkpoint_area ^ 1, &head,
                                        out->bytes, c->checkpoint_cap);
    if (size < 0 || head.machine_size > (uint64_t)size || head.machine_size == 0) {
        out->not_before_ns = c->now_ns + CONTROL_CHECKPOINT_RETRY_MS * 1000000ull;
        control_unwell(c, PART_SEND,
                       "a replica needs a checkpoint, and the newest, of index %llu, could not be "
                       "read back: check the drive with `keelctl ring verify`",
                       (unsigned long long)c->checkpoint_index[0]);
        return false;
    }
    control_well(c, PART_SEND);
    /* Without the feed's exceptions: they tell of entries that the peer will not have. */
    out->id = (struct packet_checkpoint_id){.index = head.index,
                                            .term = head.term,
                                            .chain = head.chain,
                                            .digest = head.digest,
                                            .size = head.machine_size,
                                            .crc = crc32c_extend(0, out->bytes, head.machine_size)};
    out->pinned = true;
    memset(out->peer, 0, sizeof(out->peer));
    return of_use(c);
}

static bool send_chunk(struct control *c, uint32_t id, uint64_t offset)
{
    const struct control_send *out = &c->send;
    struct link_chunk *chunk = spsc_reserve(&c->replica->chunks_out);
    if (chunk == NULL)
        return false;
    uint64_t left = out->id.size - offset;
    struct packet_checkpoint_chunk head = {
        .version = PACKET_CHECKPOINT_VERSION, .id = out->id, .offset = offset};
    head.bytes = (uint16_t)(left < PACKET_CHUNK_SIZE ? left : PACKET_CHUNK_SIZE);
    chunk->principal = id;
    chunk->kind = PACKET_CHECKPOINT_CHUNK;
    chunk->size = (uint16_t)(sizeof(head) + head.bytes);
    memcpy(chunk->bytes, &head, sizeof(head));
    memcpy(chunk->bytes + sizeof(head), out->bytes + offset, head.bytes);
    spsc_push(&c->replica->chunks_out);
    c->status.chunks_sent++;
    return true;
}

/* A tenth of a second's bytes can gather, no more. */
static void refill(struct control *c)
{
    struct control_send *out = &c->send;
    uint64_t rate = c->options.checkpoint_send_kib_s * 1024ull;
    uint64_t elapsed_ns = c->now_ns - out->allowed_ns;
    if (elapsed_ns > 100000000)
        elapsed_ns = 100000000;
    out->allowed_ns = c->now_ns;
    out->allowance += rate * (elapsed_ns / 1000) / 1000000;
    uint64_t most = rate / 10 > PACKET_CHUNK_SIZE ? rate / 10 : PACKET_CHUNK_SIZE;
    if (out->allowance > most)
        out->allowance = most;
}

static uint32_t send_to(struct control *c, uint32_t id)
{
    struct control_send *out = &c->send;
    struct control_send_peer *peer = &out->peer[id];
    uint64_t heard_ns = c->seen.peer_heard_ns[id];
    if (c->now_ns < peer->not_before_ns || heard_ns == 0 ||
        c->seen.now_ns >= heard_ns + CONTROL_SEND_PAUSE_MS * 1000000ull)
        return 0;     /* who does not answer gets nothing */
    if (peer->done) { /* and needs one all the same: the log has moved on meanwhile */
        peer->done = false;
        if (c->checkpoint_index[0] > out->id.index && !pin_newest(c))
            return 0;
    }
    if (peer->sent == peer->acked || peer->progress_ns == 0)
        peer->progress_ns = c->now_ns;
    if (c->now_ns - peer->progress_ns >= CONTROL_SEND_RETRY_MS * 1000000ull) {
        c->status.chunks_repeated += (peer->sent - peer->acked) / PACKET_CHUNK_SIZE;
        peer->sent = peer->acked;
        peer->progress_ns = c->now_ns;
        peer->lost = true;
    }
    uint32_t work = 0;
    while (peer->sent < out->id.size && out->allowance >= PACKET_CHUNK_SIZE &&
           peer->sent - peer->acked < (uint64_t)CONTROL_SEND_WINDOW * PACKET_CHUNK_SIZE &&
           send_chunk(c, id, peer->sent)) {
        uint64_t left = out->id.size - peer->sent;
        peer->sent += left < PACKET_CHUNK_SIZE ? left : PACKET_CHUNK_SIZE;
        out->allowance -= PACKET_CHUNK_SIZE;
        work++;
    }
    return work;
}

uint32_t sending_turn(struct control *c)
{
    bool leads = c->seen.role == RAFT_LEADER && !c->seen.stopped && !c->seen.failed;
    uint32_t lapped = leads ? c->seen.lapped : 0;
    uint32_t work = 0;
    if (lapped == 0) {
        c->send.pinned = false;
        memset(c->status.send_refused, 0, sizeof(c->status.send_refused));
        return 0;
    }
    if (!of_use(c) && !pin_newest(c))
        return 0;
    refill(c);
    for (uint32_t id = 1; id <= KEEL_REPLICA_MAX; id++)
        if ((lapped >> id & 1) != 0)
            work += send_to(c, id);
    return work;
}

/* On, where more is wanted: the rest of an earlier transfer is there. Back only after a while
 * without progress, as when the receiver has lost it: an answer that is merely late says less. */
static void go_on_at(struct control *c, struct control_send_peer *peer, uint64_t offset)
{
    if (offset <= peer->acked && !peer->lost)
        return;
    if (peer->sent < offset || offset < peer->acked)
        peer->sent = offset;
    peer->acked = offset;
    peer->progress_ns = c->now_ns;
    peer->lost = false;
}

static void note_refusal(struct control *c, uint32_t id,
                         const struct packet_checkpoint_reply *reply)
{
    struct control_send_peer *peer = &c->send.peer[id];
    peer->sent = peer->acked = 0;
    peer->not_before_ns = c->now_ns + CONTROL_SEND_PAUSE_MS * 1000000ull;
    c->status.send_refused[id] = reply->reason;
    control_unwell(
        c, PART_SEND,
        "replica %u needs a checkpoint and refuses the one of index %llu: %s (packets of "
        "version %u, it speaks %u)",
        id, (unsigned long long)c->send.id.index, packet_checkpoint_reason_name(reply->reason),
        PACKET_CHECKPOINT_VERSION, reply->version);
}

void sending_reply(struct control *c, const struct link_chunk *chunk)
{
    struct packet_checkpoint_reply reply;
    if (!packet_chunk_reply_decode(chunk->bytes, chunk->size, &reply)) {
        c->status.chunks_malformed++;
        return;
    }
    bool version = reply.reason == PACKET_CHECKPOINT_BAD_VERSION;
    if (!c->send.pinned || (!version && !packet_checkpoint_same(&reply.id, &c->send.id)))
        return; /* about one that is not being sent any more */
    struct control_send_peer *peer = &c->send.peer[chunk->principal];
    switch ((enum packet_checkpoint_status)reply.status) {
    case PACKET_CHECKPOINT_WANT:
        go_on_at(c, peer, reply.wanted);
        break;
    case PACKET_CHECKPOINT_BUSY: /* its last chunk, now and then, asks how it fares */
        peer->acked = (c->send.id.size - 1) / PACKET_CHUNK_SIZE * PACKET_CHUNK_SIZE;
        break;
    case PACKET_CHECKPOINT_DONE:
        peer->not_before_ns = c->now_ns + CONTROL_SEND_PAUSE_MS * 1000000ull;
        peer->sent = peer->acked = 0;
        peer->done = true;
        c->status.send_refused[chunk->principal] = 0;
        control_well(c, PART_SEND);
        break;
    case PACKET_CHECKPOINT_REFUSED:
        note_refusal(c, chunk->principal, &reply);
        break;
    }
}
