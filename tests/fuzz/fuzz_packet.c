/* Packet to reply: a whole replica behind frame, authentication, wire and dispatch. The input is a
 * sequence of packets, times and peers' moods; bodies are sealed by the harness under keys that the
 * replica knows, with fields that could be right. Whatever comes, the replica stands, what it sends
 * is in form and opens under the receiver's key, and what came without a tag changed nothing. */
#include "tests/fuzz/packet_host.h"

#include "consensus/ensure.h"

#include <string.h>

enum { STEPS_MAX = 64, SETTLE_ROUNDS = 64, UDP_PORT = 7400, REQUEST_PORT = 7411, MS = 1000000 };

static const char *const names[] = {"desk", "other", "a-name-of-just-thirty-one-bytes"};

/* Mostly 0, else a little off. */
static uint64_t slip(struct fuzz_input *in)
{
    uint8_t byte = fuzz_u8(in);
    return byte < 208 ? 0 : byte < 250 ? (uint64_t)(int64_t)(byte - 228) : fuzz_u64(in);
}

static uint32_t take_body(struct fuzz_input *in, uint8_t *body, uint32_t max)
{
    uint32_t size = fuzz_u16(in) % (max + 1);
    fuzz_take(in, body, size);
    return size;
}

/* --- without a tag --------------------------------------------------------------------------- */

/* What came before has its effect: answers of peers and the drive take a few turns. */
static struct host_state settled(struct host *h)
{
    struct host_state before, now = host_state(h);
    uint32_t rounds = 0;
    do {
        FUZZ_REQUIRE(rounds++ < SETTLE_ROUNDS);
        before = now;
        host_run(h, 8, 0);
        now = host_state(h);
    } while (memcmp(&before, &now, sizeof(now)) != 0);
    return now;
}

static void untagged(struct host *h, struct fuzz_input *in, uint8_t how)
{
    uint8_t bytes[PORT_FRAME_MAX];
    uint32_t party = fuzz_below(in, HOST_PARTIES), size;
    struct host_state before = settled(h);
    switch (how) {
    case 0:
        size = take_body(in, bytes, PORT_FRAME_MAX);
        host_frame(h, bytes, size);
        break;
    case 1:
        size = take_body(in, bytes, KEEL_DATAGRAM_MAX);
        host_datagram(h, party, fuzz_u8(in) < 128 ? UDP_PORT : REQUEST_PORT, bytes, size);
        break;
    case 2: { /* a handshake's packet with a head that could be right */
        size = take_body(in, bytes, 256);
        struct packet head = {.magic = PACKET_MAGIC,
                              .version = PACKET_VERSION,
                              .kind = (uint8_t)(PACKET_HELLO + fuzz_below(in, 4)),
                              .from = host_principal(party),
                              .to = 1,
                              .cluster = h->bench->genesis.cluster_id};
        memcpy(bytes, &head, sizeof(head));
        host_datagram(h, party, UDP_PORT, bytes,
                      size < sizeof(head) ? (uint32_t)sizeof(head) : size);
        break;
    }
    case 3: /* the newest sealed one, spoilt */
        if (h->last_size == 0)
            return;
        memcpy(bytes, h->last, h->last_size);
        bytes[fuzz_u16(in) % h->last_size] ^= (uint8_t)(1 + fuzz_u8(in) % 255);
        host_datagram(h, party, UDP_PORT, bytes, h->last_size);
        break;
    default: /* the same once more */
        if (h->last_size > 0)
            host_datagram(h, h->last_party, UDP_PORT, h->last, h->last_size);
        break;
    }
    host_run(h, 2, 0);
    struct host_state after = host_state(h);
    FUZZ_REQUIRE(memcmp(&before, &after, sizeof(before)) == 0);
}

/* --- peers ----------------------------------------------------------------------------------- */

static uint64_t term_at(const struct raft *raft, uint64_t index)
{
    uint64_t term;
    return raft_log_term(&raft->log, index, &term) ? term : raft->term;
}

static void peer_message(struct host *h, struct fuzz_input *in)
{
    const struct raft *raft = &h->replica->raft;
    struct raft_msg m = {.kind = (uint8_t)(RAFT_PREVOTE + fuzz_below(in, 8))};
    uint8_t body[64], kind;
    if (m.kind == RAFT_APPEND)
        m.quorum_age_ns = fuzz_u8(in) * (uint64_t)MS;
    uint64_t index = raft->log.last + slip(in);
    m.term = raft->term + slip(in);
    m.prev_index = index;
    m.prev_term = term_at(raft, index) + slip(in);
    m.prev_chain = (index <= raft->log.last ? ring_chain(h->replica->ring, index) : 1) + slip(in);
    if (m.kind == RAFT_PREVOTE || m.kind == RAFT_PREVOTE_REPLY) {
        m.probe = raft->probe_next + slip(in) - 1;
        m.flags = fuzz_u8(in) < 64 ? RAFT_CAREFUL : 0;
    }
    bool vote_reply = m.kind == RAFT_PREVOTE_REPLY || m.kind == RAFT_VOTE_REPLY;
    if (vote_reply)
        m.status = fuzz_u8(in) < 192;
    if (m.kind == RAFT_APPEND_REPLY) {
        m.status = (uint8_t)fuzz_below(in, RAFT_APPEND_NO_SPACE + 1);
        m.match = raft->log.last + slip(in);
        m.hint_index = raft->log.last + slip(in);
        m.hint_term = raft->term + slip(in);
        m.probe = raft->probe_next + slip(in) - 1;
    }
    if (m.kind == RAFT_APPEND) {
        m.commit = raft->log.last + slip(in);
        m.probe = fuzz_u8(in);
    }
    size_t size = packet_peer_encode(&m, 0, body, &kind);
    host_seal(h, fuzz_below(in, HOST_PEERS), kind, body, (uint32_t)size);
}

static uint16_t put_entry(struct fuzz_input *in, uint8_t *at, uint64_t index, uint64_t term)
{
    _Alignas(8) uint8_t bytes[KEEL_ENTRY_HEAD_SIZE + 80];
    static const uint8_t sizes[] = {16, 48, 56, 56, 32, 32, 16, 16, 32, 80};
    struct entry *entry = (struct entry *)(void *)bytes;
    uint32_t kind = fuzz_below(in, ENTRY_CONFIG);
    memset(bytes, 0, sizeof(bytes));
    *entry = (struct entry){.size = (uint16_t)(sizeof(*entry) + sizes[kind]),
                            .kind = (uint8_t)(ENTRY_NOOP + kind),
                            .version = ENTRY_VERSION,
                            .index = index,
                            .term = term,
                            .utc_ns = fuzz_u8(in),
                            .log_ns = fuzz_u8(in),
                            .principal = fuzz_u8(in) < 128 ? 2 : BENCH_CLIENT};
    fuzz_take(in, entry + 1, sizes[kind]);
    if (fuzz_u8(in) < 240 && !entry_check(bytes, entry->size)) { /* then one that is in form */
        struct entry_noop noop = {.leader = 2, .incarnation = 1};
        entry->kind = ENTRY_NOOP;
        entry->size = sizeof(*entry) + sizeof(noop);
        memcpy(entry + 1, &noop, sizeof(noop));
    }
    ring_entry_finish(entry);
    memcpy(at, bytes, entry->size);
    return entry->size;
}

static void peer_append(struct host *h, struct fuzz_input *in)
{
    const struct raft *raft = &h->replica->raft;
    uint8_t body[KEEL_BODY_MAX];
    uint64_t index = raft->log.last - fuzz_below(in, 4) % (raft->log.last + 1) + slip(in);
    struct packet_append a = {.term = raft->term + fuzz_below(in, 2) + slip(in),
                              .prev_index = index,
                              .prev_term = term_at(raft, index) + slip(in),
                              .commit = index + fuzz_below(in, 4),
                              .probe = fuzz_u8(in)};
    if (index <= raft->log.last)
        a.prev_chain = ring_chain(h->replica->ring, index) + slip(in);
    a.entry_term = a.term - fuzz_below(in, 2);
    uint32_t count = 1 + fuzz_below(in, 8);
    for (; a.count < count; a.count++)
        a.bytes = (uint16_t)(a.bytes + put_entry(in, body + sizeof(a) + a.bytes,
                                                 a.prev_index + 1 + a.count, a.entry_term));
    memcpy(body, &a, sizeof(a));
    host_seal(h, fuzz_below(in, HOST_PEERS), PACKET_APPEND, body, (uint32_t)sizeof(a) + a.bytes);
}

static void peer_digests(struct host *h, struct fuzz_input *in)
{
    struct packet_digests d;
    memset(&d, 0, sizeof(d));
    for (uint32_t i = 0; i < PACKET_DIGESTS; i++) {
        d.mark[i].index = fuzz_u8(in) < 128 ? h->replica->mark_index : fuzz_u16(in);
        d.mark[i].digest = h->replica->mark_digest + slip(in);
    }
    host_seal(h, fuzz_below(in, HOST_PEERS), PACKET_DIGESTS_TELL, &d, sizeof(d));
}

/* --- clients --------------------------------------------------------------------------------- */

static const struct machine_session *some_session(const struct host *h, struct fuzz_input *in)
{
    return machine_session_at(h->replica->machine, fuzz_below(in, 4));
}

static void client_session(struct host *h, struct fuzz_input *in)
{
    bool resume = (fuzz_u8(in) & 1) != 0;
    uint32_t client = fuzz_below(in, HOST_CLIENTS);
    const char *name = names[fuzz_below(in, 3)];
    struct packet_session_request r = {.open = {.process = 1 + fuzz_below(in, 6),
                                                .ttl_ms = fuzz_u16(in),
                                                .window = (uint16_t)(fuzz_u8(in) % 80)},
                                       .request = fuzz_u8(in)};
    memcpy(r.open.name, name, strlen(name));
    const struct machine_session *s =
        machine_session_named(h->replica->machine, host_principal(HOST_PEERS + client), name);
    r.open.replaces = (resume && s != NULL ? s->epoch : 0) + slip(in);
    host_seal(h, HOST_PEERS + client, resume ? PACKET_RESUME : PACKET_OPEN, &r, sizeof(r));
}

static void client_end(struct host *h, struct fuzz_input *in)
{
    const struct machine_session *s = some_session(h, in);
    struct packet_session_end e = {.session = (s != NULL ? s->id : 1) + slip(in),
                                   .epoch = (s != NULL ? s->epoch : 1) + slip(in),
                                   .request = fuzz_u8(in),
                                   .acked = (s != NULL ? s->last : 0) + slip(in)};
    struct packet_keepalive k = {.session = e.session,
                                 .epoch = e.epoch,
                                 .request = e.request + 1,
                                 .seen = {.index = fuzz_u8(in), .node = fuzz_u8(in)}};
    uint32_t from = HOST_PEERS + fuzz_below(in, HOST_CLIENTS);
    if (fuzz_u8(in) < 64)
        host_seal(h, from, PACKET_END, &e, sizeof(e));
    else
        host_seal(h, from, PACKET_KEEPALIVE, &k, sizeof(k));
}

/* A question about a node by path or instance, its children, or some sequencer. */
static void client_query(struct host *h, struct fuzz_input *in)
{
    uint8_t body[sizeof(struct packet_query) + 4];
    struct packet_query q = {.request = fuzz_u8(in) + 1u,
                             .kind = (uint8_t)(PACKET_QUERY_NODE + fuzz_below(in, 3)),
                             .node = fuzz_below(in, 3)};
    if (q.kind == PACKET_QUERY_CHECK)
        q = (struct packet_query){.request = q.request,
                                  .kind = q.kind,
                                  .sequencer = {.node = fuzz_u8(in),
                                                .generation = fuzz_u8(in),
                                                .mode = (uint8_t)fuzz_below(in, 3)}};
    else if (q.node == 0)
        q.path_size = (uint16_t)(1 + fuzz_below(in, 2));
    memcpy(body, &q, sizeof(q));
    memcpy(body + sizeof(q), "/a", 2);
    host_seal(h, HOST_PEERS + fuzz_below(in, HOST_CLIENTS), PACKET_QUERY, body,
              sizeof(q) + q.path_size);
}

/* An operation of a session's present life, mostly in form. */
static void client_operate(struct host *h, struct fuzz_input *in)
{
    const struct machine_session *s = some_session(h, in);
    uint8_t body[sizeof(struct entry_messages) + 2 + sizeof(struct entry_node) + 2];
    struct entry_node op = {.operation = (uint8_t)(NODE_OPEN + fuzz_below(in, 8)),
                            .flags = fuzz_u8(in) & 31,
                            .mode = (uint8_t)fuzz_below(in, 3),
                            .node = fuzz_u8(in)};
    if (op.operation == NODE_OPEN) {
        op.node = op.mode = 0;
        op.path_size = 2;
    }
    const uint16_t length = (uint16_t)(sizeof(op) + op.path_size);
    const struct entry_messages head = {.session = (s != NULL ? s->id : 1) + slip(in),
                                        .epoch = (s != NULL ? s->epoch : 1) + slip(in),
                                        .number = (s != NULL ? s->last : 0) + 1,
                                        .acked = s != NULL ? s->last : 0,
                                        .count = 1,
                                        .bytes = (uint16_t)(length + 2)};
    memcpy(body, &head, sizeof(head));
    memcpy(body + sizeof(head), &length, sizeof(length));
    memcpy(body + sizeof(head) + 2, &op, sizeof(op));
    memcpy(body + sizeof(head) + 2 + sizeof(op), "/a", 2);
    host_seal(h, HOST_PEERS + fuzz_below(in, HOST_CLIENTS), PACKET_NODE, body,
              (uint32_t)(sizeof(head) + head.bytes));
}

static void client_submit(struct host *h, struct fuzz_input *in)
{
    const struct machine_session *s = some_session(h, in);
    uint8_t body[KEEL_BODY_MAX];
    struct entry_messages m = {.session = (s != NULL ? s->id : 1) + slip(in),
                               .epoch = (s != NULL ? s->epoch : 1) + slip(in),
                               .number =
                                   (s != NULL ? s->last : 0) + 1 + fuzz_below(in, 3) + slip(in),
                               .acked = (s != NULL ? s->last : 0) + slip(in),
                               .count = (uint16_t)(1 + fuzz_below(in, 10))};
    for (uint32_t i = 0; i < m.count; i++) {
        uint8_t *block = body + sizeof(m) + m.bytes;
        uint32_t length = 1 + fuzz_u8(in) % 100;
        block[0] = (uint8_t)length;
        block[1] = 0;
        memset(block + 2, (int)(i + length), length);
        m.bytes = (uint16_t)(m.bytes + 2 + length);
    }
    memcpy(body, &m, sizeof(m));
    host_seal(h, HOST_PEERS + fuzz_below(in, HOST_CLIENTS), PACKET_SUBMIT, body,
              (uint32_t)sizeof(m) + m.bytes);
}

static void feed_ask(struct host *h, struct fuzz_input *in)
{
    struct mold_header ask;
    mold_header_pack(&ask, h->replica->machine->day, 1 + fuzz_u8(in) + slip(in), fuzz_u16(in));
    ask.session[fuzz_u8(in) % KEEL_DAY_NAME_SIZE] ^= (char)slip(in);
    host_datagram(h, fuzz_below(in, HOST_PARTIES), REQUEST_PORT, (const uint8_t *)&ask,
                  sizeof(ask));
}

/* --- the sequence ---------------------------------------------------------------------------- */

static void raw_body(struct host *h, struct fuzz_input *in)
{
    /* every kind that can be sealed */
    static const uint8_t kinds[] = {
        AUTH_KIND_PING,   AUTH_KIND_PONG,     PACKET_PREVOTE,      PACKET_PREVOTE_REPLY,
        PACKET_VOTE,      PACKET_VOTE_REPLY,  PACKET_APPEND,       PACKET_APPEND_REPLY,
        PACKET_CHAIN_ASK, PACKET_CHAIN_TELL,  PACKET_DIGESTS_TELL, PACKET_TIMEOUT_NOW,
        PACKET_FETCH,     PACKET_FETCH_REPLY, PACKET_MEMBERS_TELL, PACKET_SUBMIT,
        PACKET_OPEN,      PACKET_RESUME,      PACKET_END,          PACKET_KEEPALIVE,
        PACKET_RESULT,    PACKET_SESSION,     PACKET_REDIRECT,     PACKET_NODE,
        PACKET_QUERY,     PACKET_LEASE,       PACKET_ANSWER};
    uint8_t body[KEEL_BODY_MAX];
    uint8_t kind = kinds[fuzz_below(in, sizeof(kinds))];
    uint32_t party = fuzz_below(in, HOST_PARTIES);
    uint32_t size = take_body(in, body, KEEL_BODY_MAX);
    host_seal(h, party, kind, body, size);
}

static void step(struct host *h, struct fuzz_input *in)
{
    uint8_t byte = fuzz_u8(in);
    switch (byte & 15) {
    case 0:
        host_run(h, 1 + (byte >> 4), (1 + fuzz_u8(in) % 64) * (uint64_t)MS);
        return;
    case 1:
        h->answers[byte >> 4 & 1] ^= true;
        return;
    case 2:
        untagged(h, in, fuzz_u8(in) % 5);
        return;
    case 3:
        raw_body(h, in);
        break;
    case 4:
    case 5:
    case 6:
        peer_message(h, in);
        break;
    case 7:
    case 8:
        peer_append(h, in);
        break;
    case 9:
        peer_digests(h, in);
        break;
    case 10:
        client_session(h, in);
        break;
    case 11:
        client_end(h, in);
        break;
    case 12:
        client_submit(h, in);
        break;
    case 13:
        if ((byte >> 4 & 3) == 0)
            client_query(h, in);
        else
            client_operate(h, in);
        break;
    default:
        feed_ask(h, in);
        break;
    }
    host_run(h, 1 + (byte >> 6), (uint64_t)(byte >> 4 & 3) * MS / 4);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input in = fuzz_open(data, size);
    struct host *h = host_get();
    host_reset(h, fuzz_below(&in, HOST_MOMENTS));
    for (uint32_t i = 0; i < STEPS_MAX && fuzz_left(&in); i++)
        step(h, &in);
    host_run(h, 4, MS);
    struct host_state s = host_state(h);
    FUZZ_REQUIRE(s.last == s.ring_last && s.commit <= s.last && s.applied <= s.commit);
    return 0;
}
