/* port -> frame -> auth -> wire -> intake or raft_step: one burst. */
#include "dataplane/replica.h"

#include <string.h>

/* What this message proves of its sender's drive (H13): a pre-vote and its answer prove nothing.
 * Whoever leads or campaigns has voted for itself. */
static void note_witness(struct replica *r, uint32_t id, uint64_t incarnation,
                         const struct raft_msg *msg)
{
    struct witness *w = &r->witness[id];
    if (w->incarnation != incarnation)
        *w = (struct witness){.incarnation = incarnation};
    if (msg->kind == RAFT_PREVOTE || msg->kind == RAFT_PREVOTE_REPLY || msg->term < w->term)
        return;
    if (msg->term > w->term)
        *w = (struct witness){.incarnation = incarnation, .term = msg->term};
    if (msg->kind == RAFT_VOTE || msg->kind == RAFT_APPEND || msg->kind == RAFT_TIMEOUT_NOW)
        w->vote = (uint8_t)id;
    else if (msg->kind == RAFT_VOTE_REPLY && msg->status == 1)
        w->vote = (uint8_t)r->id;
    else if (msg->kind == RAFT_APPEND_REPLY && msg->status == RAFT_APPEND_OK &&
             msg->match > w->index)
        w->index = msg->match;
}

/* The highest boot heard from a replica; only ever higher (H2). */
static void note_boot(struct replica *r, uint32_t id, const struct auth_peer *from)
{
    if (from->incarnation == r->peer_incarnation[id] && from->boot < r->peer_boot[id])
        return;
    r->peer_incarnation[id] = from->incarnation;
    r->peer_boot[id] = from->boot;
    r->peer_boot_id[id] = from->boot_id;
    ring_note_boot(r->ring, (uint8_t)id, from->boot, from->boot_id);
}

/* By the configuration in force. */
HOT static bool is_member(const struct replica *r, const struct auth_peer *from)
{
    return from->principal <= KEEL_REPLICA_MAX &&
           from->incarnation == r->raft.config.incarnation[from->principal];
}

/* Who asks or sends entries may be ahead of this replica's configuration: raft decides. */
HOT static bool asks(uint8_t kind)
{
    return kind == PACKET_PREVOTE || kind == PACKET_VOTE || kind == PACKET_APPEND ||
           kind == PACKET_FETCH || kind == PACKET_FETCH_REPLY;
}

static void pong(struct replica *r, uint32_t principal, const void *asked, size_t size)
{
    struct port_frame frame;
    if (!send_begin(r, &frame))
        return;
    bool timed = principal <= KEEL_REPLICA_MAX && size == sizeof(struct packet_ping);
    if (timed) {
        struct packet_pong body = {.trip_ns = r->majority_ns,
                                   .drive_ns = ring_drive_ns(r->ring, r->now_ns),
                                   .stall_ns = replica_stall_ns(r)};
        memcpy(&body.stamp, asked, sizeof(body.stamp));
        memcpy(send_body(&frame), &body, sizeof(body));
    }
    send_sealed(r, &frame, principal, AUTH_KIND_PONG, timed ? sizeof(struct packet_pong) : 0);
}

/* A stamp from the future is none of this process. */
static void note_trip(struct replica *r, uint32_t id, const void *body, size_t size)
{
    struct packet_pong told = {0};
    if (size != sizeof(told) && size != PACKET_PONG_SHORT)
        return;
    memcpy(&told, body, size);
    if (told.stamp > r->now_ns)
        return;
    struct replica_trip *trip = &r->trip[id];
    trip->count++;
    trip->ns = r->now_ns - told.stamp;
    trip->heard_ns = r->now_ns;
    trip->majority_ns = told.trip_ns;
    trip->drive_ns = told.drive_ns;
    trip->stall_ns = told.stall_ns;
}

static void peer_message(struct replica *r, const struct auth_peer *from, uint8_t kind,
                         const void *body, size_t size)
{
    struct raft_msg msg;
    const void *entries = NULL;
    size_t entries_size = 0;
    uint32_t id = from->principal;
    if (id > KEEL_REPLICA_MAX ||
        !packet_peer_decode(kind, body, size, &msg, &entries, &entries_size)) {
        metric_add(&r->metrics.drop[DROP_BODY], 1);
        return;
    }
    bool member = is_member(r, from);
    if (!member && !asks(kind)) { /* another incarnation's word counts for nothing (pitfall 4) */
        metric_add(&r->metrics.drop[DROP_INCARNATION], 1);
        return;
    }
    const uint8_t *at = entries;
    for (uint32_t i = 0; i < msg.count; i++) {
        const struct entry *entry = (const struct entry *)at;
        if (!ring_entry_good(entry)) {
            metric_add(&r->metrics.drop[DROP_ENTRY_CRC], 1);
            return;
        }
        at += entry->size;
    }
    msg.from = (uint8_t)id;
    msg.to = (uint8_t)r->id;
    /* H22: it may have lain in the port's queue while this loop stood still */
    uint64_t lain_ns = r->now_ns - r->drained_ns;
    msg.quorum_age_ns =
        msg.quorum_age_ns > UINT64_MAX - lain_ns ? UINT64_MAX : msg.quorum_age_ns + lain_ns;
    if (member) {
        note_boot(r, id, from);
        note_witness(r, id, from->incarnation, &msg);
    }
    if (msg.kind == RAFT_FETCH_REPLY && msg.count > 0) { /* proven by the chain, whoever sends it */
        repair_entries(r, &msg, entries);
        return;
    }
    step_peer(r, &msg, from->incarnation, entries, entries_size);
}

static void members_told(struct replica *r, const void *body, size_t size)
{
    struct packet_members members;
    if (size == sizeof(members)) {
        memcpy(&members, body, sizeof(members));
        if (entry_config_ok(&members.config)) {
            notice_members(r, &members);
            return;
        }
    }
    metric_add(&r->metrics.drop[DROP_BODY], 1);
}

static void authenticated(struct replica *r, const struct auth_peer *from, uint8_t kind,
                          const void *body, size_t size)
{
    if (kind == AUTH_KIND_PING || kind == AUTH_KIND_PONG) {
        uint32_t id = from->principal;
        bool member = is_member(r, from);
        if (member) { /* followers hear nothing else of each other */
            note_boot(r, id, from);
            r->trip[id].beats++;
        }
        if (kind == AUTH_KIND_PING)
            pong(r, id, body, size);
        else if (member)
            note_trip(r, id, body, size);
        return;
    }
    switch ((enum packet_kind)kind) {
    case PACKET_PREVOTE:
    case PACKET_PREVOTE_REPLY:
    case PACKET_VOTE:
    case PACKET_VOTE_REPLY:
    case PACKET_APPEND:
    case PACKET_APPEND_REPLY:
    case PACKET_CHAIN_ASK:
    case PACKET_CHAIN_TELL:
    case PACKET_TIMEOUT_NOW:
    case PACKET_FETCH:
    case PACKET_FETCH_REPLY:
        peer_message(r, from, kind, body, size);
        return;
    case PACKET_DIGESTS_TELL:
        if (size != sizeof(struct packet_digests) || !is_member(r, from))
            metric_add(&r->metrics.drop[DROP_BODY], 1);
        else
            notice_digests(r, from->principal, body);
        return;
    case PACKET_MEMBERS_TELL:
        members_told(r, body, size);
        return;
    case PACKET_CHECKPOINT_CHUNK:
    case PACKET_CHECKPOINT_REPLY:
        /* Also from who is no member by this log: whoever joins knows none of its cluster yet. */
        if (from->principal > KEEL_REPLICA_MAX)
            metric_add(&r->metrics.drop[DROP_KIND], 1);
        else
            notice_chunk(r, from->principal, kind, body, size);
        return;
    case PACKET_SUBMIT:
    case PACKET_OPEN:
    case PACKET_RESUME:
    case PACKET_END:
    case PACKET_KEEPALIVE:
    case PACKET_NODE:
    case PACKET_QUERY:
        intake_packet(r, from->principal, kind, body, size);
        return;
    case PACKET_HELLO:
    case PACKET_COOKIE:
    case PACKET_SALT:
    case PACKET_SALT_REPLY:
    case PACKET_GENESIS: /* not under this cluster's associations */
    case PACKET_RESULT:
    case PACKET_SESSION:
    case PACKET_REDIRECT:
    case PACKET_LEASE:
    case PACKET_ANSWER:
        break;
    }
    metric_add(&r->metrics.drop[DROP_KIND], 1);
}

/* A founder without a genesis record speaks under cluster id 0: control has associations of its
 * own for those (founders.c). Questions are small; what is larger needs no answer. */
static __attribute__((cold, noinline)) void founder_packet(struct replica *r,
                                                           const struct frame_datagram *dg)
{
    struct packet head;
    memcpy(&head, dg->payload, sizeof(head));
    if (head.cluster == 0 && head.from <= KEEL_REPLICA_MAX && dg->size <= HANDSHAKE_PACKET_MAX)
        notice_datagram(r, dg);
}

static void datagram(struct replica *r, const struct frame_datagram *dg)
{
    metric_add(&r->metrics.rx_datagrams, 1);
    if (dg->to_port == r->options.feed_request_port) {
        if (!feed_request(r->feed, dg))
            metric_add(&r->metrics.drop[DROP_FEED_FULL], 1);
        return;
    }
    if (dg->size >= KEEL_PACKET_HEAD_SIZE && dg->payload[2] <= PACKET_SALT_REPLY) {
        notice_datagram(r, dg);
        return;
    }
    const struct auth_peer *from;
    const void *body;
    size_t size;
    enum auth_reject reject =
        auth_open(r->auth, dg->payload, dg->size, r->now_ns, &from, &body, &size);
    if (reject != AUTH_OK) {
        metric_add(&r->metrics.auth_reject[reject], 1);
        if (reject == AUTH_WRONG_CLUSTER)
            founder_packet(r, dg);
        return;
    }
    if (from->principal >= KEEL_CLIENT_MIN)
        auth_heard_from(r->auth, from, dg->from.ip, dg->from.port, dg->from.mac);
    if (!r->stopped)
        authenticated(r, from, dg->payload[2], body, size);
}

uint32_t receive_burst(struct replica *r)
{
    struct port_frame frames[PORT_BURST_MAX];
    uint32_t count = port_receive(r->port, 0, frames, PORT_BURST_MAX);
    uint64_t now_ms = r->now_ns / 1000000;
    for (uint32_t i = 0; i < count; i++) {
        struct frame_datagram dg;
        bool reply = false;
        enum frame_drop verdict = frame_receive(r->host, &frames[i], now_ms, &dg, &reply);
        if (verdict == FRAME_OK)
            datagram(r, &dg);
        if (reply)
            send_frame(r, &frames[i]);
        else
            port_free(r->port, &frames[i], 1);
    }
    if (count < PORT_BURST_MAX)
        r->drained_ns = r->now_ns;
    return count;
}
