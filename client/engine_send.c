/* What the session's engine sends: handshakes, pings, requests, messages. */
#include "client/engine.h"

#include "consensus/ensure.h"

#include <string.h>

/* --- members ---------------------------------------------------------------------------------- */

static void transmit(struct engine *e, uint32_t ip, uint16_t port, const void *packet, size_t size)
{
    e->stats.packets_sent++;
    e->stats.bytes_sent += size;
    e->options.send(e->options.context, ip, port, packet, size);
}

void engine_begin_handshake(struct engine *e, uint32_t member)
{
    struct engine_member *m = &e->member[member];
    const struct handshake_address at = {.ip = m->at.ip, .port = m->at.port};
    uint8_t out[HANDSHAKE_PACKET_MAX];
    size_t size;
    m->shaken_ns = e->now_ns;
    m->ping_ns = e->now_ns + ENGINE_PING_EVERY;
    m->shaking = handshake_begin(e->handshake, m->at.id, &at, e->now_ns / ENGINE_MS, out, &size);
    m->challenged = false;
    if (!m->shaking)
        return;
    e->stats.handshakes_begun++;
    transmit(e, m->at.ip, m->at.port, out, size);
}

/* Repeats what is under way. A HELLO that nobody answers begins anew, so that a member that comes
 * back is found soon; a member that has been silent for some tries has lost its half. */
void engine_handshakes(struct engine *e)
{
    struct handshake_address to;
    uint8_t out[HANDSHAKE_PACKET_MAX];
    size_t size;
    for (uint32_t n = 0; n < KEEL_MEMBERS_MAX &&
                         handshake_retry(e->handshake, e->now_ns / ENGINE_MS, &to, out, &size);
         n++)
        transmit(e, to.ip, to.port, out, size);
    for (uint32_t i = 0; i < e->options.member_count; i++) {
        struct engine_member *m = &e->member[i];
        bool stale = m->shaking ? !m->challenged : m->silent >= ENGINE_SILENT_TRIES;
        if (stale && e->now_ns - m->shaken_ns >= ENGINE_SHAKE_EVERY)
            engine_begin_handshake(e, i);
    }
}

void engine_handshake_packet(struct engine *e, uint32_t member, const void *packet, size_t size)
{
    struct engine_member *m = &e->member[member];
    const struct handshake_address from = {.ip = m->at.ip, .port = m->at.port};
    uint8_t out[HANDSHAKE_PACKET_MAX];
    size_t out_size;
    struct auth_install install;
    switch (handshake_receive(e->handshake, packet, size, &from, e->now_ns / ENGINE_MS, out,
                              &out_size, &install)) {
    case HANDSHAKE_SEND: /* the member answered a HELLO */
        m->challenged = true;
        transmit(e, m->at.ip, m->at.port, out, out_size);
        return;
    case HANDSHAKE_INSTALL:
        break;
    case HANDSHAKE_NOTHING:
    case HANDSHAKE_SEND_INSTALL: /* a client never responds */
        e->stats.rejected++;
        return;
    }
    if (e->cluster == 0) {
        e->cluster = install.cluster;
        auth_set_cluster(e->auth, install.cluster);
    }
    install.now_ns = e->now_ns;
    if (auth_install(e->auth, &install)) {
        m->shaking = false;
        m->silent = 0;
        m->ping_ns = e->now_ns; /* the first packet is what confirms it */
        e->stats.handshakes_done++;
    } else {
        e->stats.rejected++;
    }
    explicit_bzero(&install, sizeof(install));
}

bool engine_send(struct engine *e, uint32_t member, uint8_t kind, size_t body_size)
{
    struct engine_member *m = &e->member[member];
    const struct auth_peer *peer = auth_peer(e->auth, m->at.id);
    if (peer == NULL)
        return false;
    size_t size = auth_seal(e->auth, peer, kind, e->packet, body_size);
    if (size == 0)
        return false;
    transmit(e, m->at.ip, m->at.port, e->packet, size);
    return true;
}

void engine_pings(struct engine *e)
{
    for (uint32_t i = 0; i < e->options.member_count; i++) {
        struct engine_member *m = &e->member[i];
        if (e->now_ns < m->ping_ns)
            continue;
        m->ping_ns = e->now_ns + ENGINE_PING_RETRY;
        if (m->silent >= ENGINE_SILENT_TRIES || !engine_send(e, i, AUTH_KIND_PING, 0))
            m->ping_ns = e->now_ns + ENGINE_PING_EVERY;
        else
            m->silent++;
    }
}

void engine_next_member(struct engine *e)
{
    uint32_t count = e->options.member_count, best = (e->target + 1) % count, rank = 0;
    for (uint32_t i = 1; i <= count && rank < 2; i++) {
        uint32_t next = (e->target + i) % count;
        const struct engine_member *m = &e->member[next];
        uint32_t this = auth_peer(e->auth, m->at.id) == NULL ? 0 : engine_suspect(e, m) ? 1 : 2;
        if (this > rank) {
            rank = this;
            best = next;
        }
    }
    e->target = best;
}

/* --- requests --------------------------------------------------------------------------------- */

uint64_t engine_next_request(struct engine *e)
{
    e->request++;
    e->copy[e->request % ENGINE_COPIES].request = e->request;
    e->copy[e->request % ENGINE_COPIES].sent_ns = e->now_ns;
    return e->request;
}

uint64_t engine_copy_sent(const struct engine *e, uint64_t request)
{
    uint32_t place = (uint32_t)(request % ENGINE_COPIES);
    return e->copy[place].request == request ? e->copy[place].sent_ns : 0;
}

static void send_open(struct engine *e, uint8_t kind)
{
    struct packet_session_request request = {
        .open = {.process = e->options.process,
                 .replaces = kind == PACKET_RESUME ? e->replaces : 0,
                 .ttl_ms = e->options.ttl_ms,
                 .window = e->options.window},
        .request = engine_next_request(e),
    };
    memcpy(request.open.name, e->options.session, sizeof(request.open.name));
    memcpy(e->packet + KEEL_PACKET_HEAD_SIZE, &request, sizeof(request));
    engine_send(e, e->target, kind, sizeof(request));
}

static void send_end(struct engine *e)
{
    const struct packet_session_end end = {
        .session = e->session,
        .epoch = e->epoch,
        .request = engine_next_request(e),
        .acked = e->oldest - 1,
    };
    memcpy(e->packet + KEEL_PACKET_HEAD_SIZE, &end, sizeof(end));
    engine_send(e, e->target, PACKET_END, sizeof(end));
}

void engine_send_keepalive(struct engine *e)
{
    const struct packet_keepalive body = {.session = e->session,
                                          .epoch = e->epoch,
                                          .request = engine_next_request(e),
                                          .number = e->settled,
                                          .seen = e->seen};
    memcpy(e->packet + KEEL_PACKET_HEAD_SIZE, &body, sizeof(body));
    engine_send(e, e->target, PACKET_KEEPALIVE, sizeof(body));
    e->stats.keepalives_sent++;
}

void engine_keepalive(struct engine *e)
{
    e->keepalive = true;
    engine_send_keepalive(e);
    engine_arm(e);
}

/* --- messages --------------------------------------------------------------------------------- */

static void note_sent(struct engine *e, struct engine_slot *slot)
{
    slot->last_ns = e->now_ns;
    if (slot->sends++ == 0)
        slot->first_ns = e->now_ns;
    else
        e->stats.messages_resent++;
    e->stats.messages_sent++;
}

/* Whether this number may go into one packet behind `first`: messages that show the same sequencer,
 * or none. A node operation has a packet of its own. */
static bool goes_along(const struct engine_slot *first, const struct engine_slot *slot)
{
    return slot->kind == PACKET_SUBMIT && first->kind == PACKET_SUBMIT &&
           slot->fenced == first->fenced &&
           (!slot->fenced ||
            memcmp(&slot->sequencer, &first->sequencer, sizeof(slot->sequencer)) == 0);
}

/* Sends one packet with consecutive unanswered messages from `first` on, below `end`, as many as
 * fit. Returns the number behind the last. */
static uint64_t send_messages(struct engine *e, uint64_t first, uint64_t end)
{
    const struct engine_slot *begin = engine_slot(e, first);
    uint8_t *body = e->packet + KEEL_PACKET_HEAD_SIZE;
    struct entry_messages head = {
        .session = e->session, .epoch = e->epoch, .number = first, .acked = e->oldest - 1};
    uint8_t *at = body + sizeof(head);
    size_t bytes = 0, tail = begin->fenced ? sizeof(begin->sequencer) : 0;
    uint64_t number = first;
    for (; number < end && number - first < KEEL_WINDOW_MAX; number++) {
        struct engine_slot *slot = engine_slot(e, number);
        size_t block = sizeof(uint16_t) + slot->size;
        if (slot->state != ENGINE_SLOT_PENDING || bytes + block + tail > KEEL_BLOCKS_MAX ||
            (number > first && !goes_along(begin, slot)))
            break;
        memcpy(at + bytes, &slot->size, sizeof(uint16_t));
        memcpy(at + bytes + sizeof(uint16_t), slot->payload, slot->size);
        bytes += block;
        note_sent(e, slot);
    }
    ENSURE(number > first);
    head.count = (uint16_t)(number - first);
    head.bytes = (uint16_t)bytes;
    head.flags = begin->fenced ? ENTRY_FENCED : 0;
    memcpy(body, &head, sizeof(head));
    memcpy(at + bytes, &begin->sequencer, tail);
    engine_send(e, e->target, begin->kind, sizeof(head) + bytes + tail);
    return number;
}

bool engine_may_flush(const struct engine *e)
{
    return e->phase == ENGINE_READY && !e->searching && e->hold_ns == 0 && e->unsent < e->next;
}

void engine_flush(struct engine *e, uint64_t now_ns)
{
    e->now_ns = now_ns;
    if (!engine_may_flush(e))
        return;
    while (e->unsent < e->next) /* at most a window's messages */
        e->unsent = send_messages(e, e->unsent, e->next);
    if (e->timer_ns == 0)
        engine_arm(e);
}

void engine_resend(struct engine *e)
{
    uint64_t before = e->lost_before_ns;
    uint64_t number = e->oldest;
    e->lost_before_ns = 0;
    while (number < e->unsent) { /* at most a window's messages */
        const struct engine_slot *slot = engine_slot(e, number);
        if (slot->state == ENGINE_SLOT_PENDING && slot->last_ns < before)
            number = send_messages(e, number, e->unsent);
        else
            number++;
    }
}

void engine_push(struct engine *e)
{
    e->member[e->target].silent++;
    switch (e->phase) {
    case ENGINE_OPEN:
        send_open(e, PACKET_OPEN);
        break;
    case ENGINE_RESUME:
        send_open(e, PACKET_RESUME);
        break;
    case ENGINE_READY:
        if (e->oldest < e->unsent)
            send_messages(e, e->oldest, e->unsent);
        else if (e->keepalive)
            engine_send_keepalive(e);
        break;
    case ENGINE_END:
        send_end(e);
        break;
    case ENGINE_CONNECT:
    case ENGINE_CLOSED:
    case ENGINE_FAILED:
        break;
    }
}
