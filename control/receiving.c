/* A checkpoint from a peer: gathered in order, kept on the drive as it comes, verified as a whole,
 * made durable in both areas, and only then offered to seq.
 *
 * What identifies a checkpoint is its content: chunks may come from one leader after another, and
 * from before and after a restart, as long as they are of the same one.
 */
#include "control/control_internal.h"
#include "dataplane/crc32c.h"

#include <errno.h>
#include <string.h>

/* --- the drive ---------------------------------------------------------------------------------
 */

static void forget(struct control *c)
{
    c->receive.state = RECEIVE_NOTHING;
    c->receive.have = c->receive.flushed = 0;
}

void receiving_init(struct control *c)
{
    struct control_receive *in = &c->receive;
    struct ring_transfer head;
    int rc = ring_transfer_read(c->options.disk, &c->super, c->checkpoint_area, &head, in->bytes,
                                c->checkpoint_cap);
    if (rc != 0 || head.cluster_id != c->options.cluster_id || head.index <= c->machine->applied)
        return;
    in->state = RECEIVE_CHUNKS;
    in->from = 0;
    in->id = (struct packet_checkpoint_id){.index = head.index,
                                           .term = head.term,
                                           .chain = head.chain,
                                           .digest = head.digest,
                                           .size = head.size,
                                           .crc = head.body_crc};
    in->have = head.have - head.have % PACKET_CHUNK_SIZE; /* a whole one would be a checkpoint */
    in->flushed = in->have;
    c->status.transfers_resumed++;
}

/* Best effort: what can't be kept would have to be sent once more after a restart, no more. */
static void keep(struct control *c)
{
    struct control_receive *in = &c->receive;
    struct ring_transfer head = {.replica = c->super.replica,
                                 .incarnation = c->super.incarnation,
                                 .cluster_id = c->options.cluster_id,
                                 .index = in->id.index,
                                 .term = in->id.term,
                                 .chain = in->id.chain,
                                 .digest = in->id.digest,
                                 .size = in->id.size,
                                 .have = in->have,
                                 .body_crc = in->id.crc};
    if (ring_transfer_write(c->options.disk, &c->super, c->checkpoint_area, &head, in->flushed,
                            in->bytes) == 0)
        in->flushed = in->have;
    in->flushed_ns = c->now_ns;
}

bool receiving_holds_area(const struct control *c)
{
    const struct control_receive *in = &c->receive;
    return in->state == RECEIVE_OFFERED ||
           (in->state == RECEIVE_CHUNKS && in->from != 0 &&
            c->now_ns < in->heard_ns + CONTROL_RECEIVE_IDLE_MS * 1000000ull);
}

void receiving_lost_area(struct control *c)
{
    c->receive.flushed = 0;
}

/* --- answers -----------------------------------------------------------------------------------
 */

static void reply(struct control *c, uint32_t to, const struct packet_checkpoint_id *id,
                  enum packet_checkpoint_status status, enum packet_checkpoint_reason reason,
                  uint64_t wanted)
{
    struct link_chunk *chunk = spsc_reserve(&c->replica->chunks_out);
    if (chunk == NULL)
        return; /* it asks again */
    struct packet_checkpoint_reply body = {.version = PACKET_CHECKPOINT_VERSION,
                                           .status = (uint8_t)status,
                                           .reason = (uint8_t)reason,
                                           .wanted = wanted};
    if (id != NULL)
        body.id = *id;
    chunk->principal = to;
    chunk->kind = PACKET_CHECKPOINT_REPLY;
    chunk->size = sizeof(body);
    memcpy(chunk->bytes, &body, sizeof(body));
    spsc_push(&c->replica->chunks_out);
}

static void turn_down(struct control *c, uint32_t to, enum packet_checkpoint_reason reason,
                      const char *why)
{
    const struct packet_checkpoint_id *id = &c->receive.id;
    control_unwell(c, PART_RECEIVE,
                   "the checkpoint of index %llu from replica %u is refused: %s: %s",
                   (unsigned long long)id->index, to, packet_checkpoint_reason_name(reason), why);
    reply(c, to, id, PACKET_CHECKPOINT_REFUSED, reason, 0);
    forget(c);
}

/* --- all of it is here -------------------------------------------------------------------------
 */

/* Why the gathered bytes are not the state that the id promises; NULL: they are. */
static const char *decode(struct control *c, struct machine *machine)
{
    const struct control_receive *in = &c->receive;
    const char *why = machine_decode(machine, c->options.genesis, in->bytes, in->id.size);
    if (why != NULL)
        return why;
    if (machine->applied != in->id.index || machine->applied_term != in->id.term ||
        machine->digest != in->id.digest)
        return "its machine stands elsewhere than its id says";
    return NULL;
}

static void complete(struct control *c)
{
    struct control_receive *in = &c->receive;
    if (crc32c_extend(0, in->bytes, in->id.size) != in->id.crc) {
        turn_down(c, in->from, PACKET_CHECKPOINT_DAMAGED, "the checksum of the whole differs");
        return;
    }
    const char *why = decode(c, in->machine);
    if (why != NULL) {
        turn_down(c, in->from, PACKET_CHECKPOINT_CONTENT, why);
        return;
    }
    int rc = checkpoint_store_peers(c, &in->id, in->bytes);
    if (rc != 0) {
        c->status.checkpoint_failures++;
        turn_down(c, in->from, PACKET_CHECKPOINT_DRIVE, strerror(-rc));
        return;
    }
    control_well(c, PART_RECEIVE);
    in->offer = (struct checkpoint_offer){
        .index = in->id.index, .term = in->id.term, .chain = in->id.chain, .machine = in->machine};
    in->state = RECEIVE_OFFERED;
    reply(c, in->from, &in->id, PACKET_CHECKPOINT_BUSY, PACKET_CHECKPOINT_NO_REASON, in->id.size);
    install_offer(c->replica, &in->offer);
}

/* --- chunks ------------------------------------------------------------------------------------
 */

/* Another checkpoint than the one that is on its way here. The older one goes on as long as its
 * sender does: whoever sends another now has given it up, or has taken over from one that is gone.
 */
static bool begins(struct control *c, const struct link_chunk *chunk,
                   const struct packet_checkpoint_id *id)
{
    struct control_receive *in = &c->receive;
    bool idle = c->now_ns >= in->heard_ns + CONTROL_RECEIVE_IDLE_MS * 1000000ull;
    bool same_sender = in->from == chunk->principal && id->index > in->id.index;
    if (in->state == RECEIVE_CHUNKS && in->from != 0 && !idle && !same_sender)
        return false;
    forget(c);
    repairing_look_at_checkpoints(c); /* it takes the place of one: let the other be good */
    in->state = RECEIVE_CHUNKS;
    in->id = *id;
    c->status.transfers_begun++;
    return true;
}

static void take(struct control *c, const struct link_chunk *chunk,
                 const struct packet_checkpoint_chunk *head, const uint8_t *bytes)
{
    struct control_receive *in = &c->receive;
    in->from = chunk->principal;
    in->heard_ns = c->now_ns;
    if (head->offset == in->have) {
        memcpy(in->bytes + in->have, bytes, head->bytes);
        in->have += head->bytes;
        if (in->have == in->id.size) {
            complete(c);
            return;
        }
        if (in->have - in->flushed >= c->options.receive_flush ||
            c->now_ns - in->flushed_ns >= CONTROL_RECEIVE_FLUSH_MS * 1000000ull)
            keep(c);
    }
    reply(c, in->from, &in->id, PACKET_CHECKPOINT_WANT, PACKET_CHECKPOINT_NO_REASON, in->have);
}

void receiving_chunk(struct control *c, const struct link_chunk *chunk)
{
    struct control_receive *in = &c->receive;
    struct packet_checkpoint_chunk head;
    const uint8_t *bytes;
    c->status.chunks_received++;
    if (packet_checkpoint_version(chunk->bytes, chunk->size) != PACKET_CHECKPOINT_VERSION) {
        reply(c, chunk->principal, NULL, PACKET_CHECKPOINT_REFUSED, PACKET_CHECKPOINT_BAD_VERSION,
              0);
        return;
    }
    if (!packet_chunk_decode(chunk->bytes, chunk->size, &head, &bytes)) {
        c->status.chunks_malformed++;
        return;
    }
    if (in->state == RECEIVE_OFFERED) {
        if (packet_checkpoint_same(&in->id, &head.id))
            reply(c, chunk->principal, &head.id, PACKET_CHECKPOINT_BUSY,
                  PACKET_CHECKPOINT_NO_REASON, head.id.size);
        return;
    }
    /* Late, doubled, or from somebody who knows less. */
    uint64_t known = c->seen.hole != 0 ? c->seen.applied : c->seen.commit; /* H7 */
    if (head.id.index <= known || head.id.index <= c->checkpoint_index[1]) {
        reply(c, chunk->principal, &head.id, PACKET_CHECKPOINT_DONE, PACKET_CHECKPOINT_NO_REASON,
              head.id.size);
        return;
    }
    if (head.id.size > ring_area_room(&c->super) || head.id.size > c->checkpoint_cap) {
        reply(c, chunk->principal, &head.id, PACKET_CHECKPOINT_REFUSED, PACKET_CHECKPOINT_TOO_LARGE,
              0);
        return;
    }
    if (in->state == RECEIVE_NOTHING || !packet_checkpoint_same(&in->id, &head.id))
        if (!begins(c, chunk, &head.id))
            return;
    take(c, chunk, &head, bytes);
}

/* --- seq is through with it --------------------------------------------------------------------
 */

/* Control's own machine goes there too, unless its cursor already has. */
static void follow(struct control *c)
{
    struct control_receive *in = &c->receive;
    if (c->machine->applied < in->id.index) {
        const char *why = decode(c, c->machine);
        ENSURE(why == NULL); /* the same bytes as before */
        c->chain = in->id.chain;
        c->page = c->checkpoint_page;
        feed_exceptions_clear(c->exceptions);
        c->exceptions->lost = in->id.index;
        c->asked_ns = 0; /* an answer that is still on its way speaks of the log that went */
        c->next_ask_ns = c->now_ns;
    }
    ring_control_checkpoint(c->replica->ring, c->checkpoint_index[1]);
}

uint32_t receiving_turn(struct control *c)
{
    struct control_receive *in = &c->receive;
    if (in->state != RECEIVE_OFFERED || !install_done(c->replica))
        return 0;
    follow(c);
    if (in->offer.taken) {
        in->machine = in->offer.machine;
        c->status.installed++;
        c->status.installed_index = in->id.index;
        c->status.installed_feed = c->machine->feed_next;
        c->status.installed_from = in->from;
        memcpy(c->status.installed_day, c->machine->day, sizeof(c->status.installed_day));
    }
    reply(c, in->from, &in->id, PACKET_CHECKPOINT_DONE, PACKET_CHECKPOINT_NO_REASON, in->id.size);
    forget(c);
    return 1;
}
