#include "consensus/wire/packet.h"

#include "consensus/ensure.h"

#include <string.h>

enum { NS_PER_US = 1000 };

static const uint8_t zeros[8];

/* Entries as they follow a head: `count` of them, consecutive from `first` on, of one term, no byte
 * over. */
static bool entries_ok(const uint8_t *entries, size_t left, uint32_t count, uint64_t first,
                       uint64_t term)
{
    for (uint32_t i = 0; i < count; i++) {
        struct entry head;
        if (!entry_check(entries, left))
            return false;
        memcpy(&head, entries, sizeof(head));
        if (head.index != first + i || head.term != term)
            return false;
        entries += head.size;
        left -= head.size;
    }
    return left == 0;
}

static bool append_decode(const void *body, size_t size, struct raft_msg *msg, const void **entries,
                          size_t *entries_size)
{
    struct packet_append a;
    if (size < sizeof(a) || size > KEEL_BODY_MAX)
        return false;
    memcpy(&a, body, sizeof(a));
    const uint8_t *behind = (const uint8_t *)body + sizeof(a);
    if (a.bytes != size - sizeof(a) || a.prev_index > UINT64_MAX - 1 - a.count ||
        a.entry_term > a.term || (a.count == 0 && a.entry_term != 0) ||
        !entries_ok(behind, a.bytes, a.count, a.prev_index + 1, a.entry_term))
        return false;
    msg->kind = RAFT_APPEND;
    msg->count = a.count;
    msg->term = a.term;
    msg->prev_index = a.prev_index;
    msg->prev_term = a.prev_term;
    msg->prev_chain = a.prev_chain;
    msg->entry_term = a.entry_term;
    msg->commit = a.commit;
    msg->probe = a.probe;
    msg->quorum_age_ns =
        a.quorum_age_us == UINT32_MAX ? UINT64_MAX : (uint64_t)a.quorum_age_us * NS_PER_US;
    if (a.count > 0) {
        *entries = behind;
        *entries_size = a.bytes;
    }
    return true;
}

static bool append_reply_decode(const void *body, size_t size, struct raft_msg *msg)
{
    struct packet_append_reply r;
    if (size != sizeof(r))
        return false;
    memcpy(&r, body, sizeof(r));
    if (r.status > RAFT_APPEND_NO_SPACE || r.unable > 1 ||
        memcmp(r.reserved, zeros, sizeof(r.reserved)) != 0)
        return false;
    msg->kind = RAFT_APPEND_REPLY;
    msg->status = r.status;
    msg->term = r.term;
    msg->prev_index = r.prev_index;
    msg->prev_chain = r.chain;
    msg->match = r.match;
    msg->hint_index = r.hint_index;
    msg->hint_term = r.hint_term;
    msg->probe = r.probe;
    msg->flags = r.unable != 0 ? RAFT_UNABLE : 0;
    return true;
}

static bool vote_decode(uint8_t kind, const void *body, size_t size, struct raft_msg *msg)
{
    bool reply = kind == PACKET_PREVOTE_REPLY || kind == PACKET_VOTE_REPLY;
    struct packet_vote v;
    if (size != sizeof(v))
        return false;
    memcpy(&v, body, sizeof(v));
    bool pre = kind == PACKET_PREVOTE || kind == PACKET_PREVOTE_REPLY;
    if (v.granted > (reply ? 1 : 0) || v.told > (kind == PACKET_VOTE ? 1 : 0) ||
        v.careful > (pre || kind == PACKET_VOTE ? 1 : 0) || v.reserved != 0 ||
        (!pre && v.copy != 0))
        return false;
    msg->kind = (uint8_t)(kind - PACKET_PREVOTE + RAFT_PREVOTE);
    msg->status = v.granted;
    msg->term = v.term;
    msg->prev_index = v.last_index;
    msg->prev_term = v.last_term;
    msg->probe = v.copy;
    msg->flags = (v.told != 0 ? RAFT_TOLD : 0u) | (v.careful != 0 ? RAFT_CAREFUL : 0u);
    return true;
}

static bool chain_decode(uint8_t kind, const void *body, size_t size, struct raft_msg *msg)
{
    struct packet_chain c;
    if (size != sizeof(c))
        return false;
    memcpy(&c, body, sizeof(c));
    if (c.chain == 0)
        return false;
    msg->kind = kind == PACKET_CHAIN_ASK ? RAFT_CHAIN_ASK : RAFT_CHAIN_TELL;
    msg->term = c.term;
    msg->prev_index = c.index;
    msg->prev_term = c.index_term;
    msg->prev_chain = c.chain;
    return true;
}

static bool fetch_decode(uint8_t kind, const void *body, size_t size, struct raft_msg *msg,
                         const void **entries, size_t *entries_size)
{
    struct packet_fetch f;
    if (size < sizeof(f) || size > KEEL_BODY_MAX)
        return false;
    memcpy(&f, body, sizeof(f));
    const uint8_t *behind = (const uint8_t *)body + sizeof(f);
    if (f.bytes != size - sizeof(f) || f.holds > (kind == PACKET_FETCH_REPLY ? 1 : 0) ||
        memcmp(f.reserved, zeros, sizeof(f.reserved)) != 0 || (f.count > 0) != (f.holds != 0) ||
        f.index == 0 || f.index > UINT64_MAX - f.count || f.index_term > f.term ||
        !entries_ok(behind, f.bytes, f.count, f.index, f.index_term))
        return false;
    msg->kind = kind == PACKET_FETCH ? RAFT_FETCH : RAFT_FETCH_REPLY;
    msg->status = f.holds;
    msg->count = f.count;
    msg->term = f.term;
    msg->prev_index = f.index;
    msg->prev_term = f.index_term;
    if (f.count > 0) {
        *entries = behind;
        *entries_size = f.bytes;
    }
    return true;
}

/* Apart from what comes with every message, so that those need no table of kinds. */
__attribute__((cold, noinline)) static bool rare_decode(uint8_t kind, const void *body, size_t size,
                                                        struct raft_msg *msg, const void **entries,
                                                        size_t *entries_size)
{
    if ((kind >= PACKET_PREVOTE && kind <= PACKET_VOTE_REPLY) || kind == PACKET_TIMEOUT_NOW)
        return vote_decode(kind, body, size, msg);
    if (kind == PACKET_CHAIN_ASK || kind == PACKET_CHAIN_TELL)
        return chain_decode(kind, body, size, msg);
    if (kind == PACKET_FETCH || kind == PACKET_FETCH_REPLY)
        return fetch_decode(kind, body, size, msg, entries, entries_size);
    return false;
}

bool packet_peer_decode(uint8_t kind, const void *body, size_t size, struct raft_msg *msg,
                        const void **entries, size_t *entries_size)
{
    memset(msg, 0, sizeof(*msg));
    *entries = NULL;
    *entries_size = 0;
    if (kind == PACKET_APPEND)
        return append_decode(body, size, msg, entries, entries_size);
    if (kind == PACKET_APPEND_REPLY)
        return append_reply_decode(body, size, msg);
    return rare_decode(kind, body, size, msg, entries, entries_size);
}

/* Rounded up: a line falls silent rather too early than too late (H22). */
static uint32_t age_us(uint64_t age_ns)
{
    uint64_t us = age_ns / NS_PER_US + (age_ns % NS_PER_US != 0);
    return us >= UINT32_MAX ? UINT32_MAX : (uint32_t)us;
}

static size_t append_encode(const struct raft_msg *msg, size_t entries_size, void *body)
{
    ENSURE(entries_size <= KEEL_ENTRY_MAX && msg->count <= UINT16_MAX);
    ENSURE((msg->count == 0) == (entries_size == 0));
    const struct packet_append a = {
        .term = msg->term,
        .prev_index = msg->prev_index,
        .prev_term = msg->prev_term,
        .prev_chain = msg->prev_chain,
        .entry_term = msg->count == 0 ? 0 : msg->entry_term,
        .commit = msg->commit,
        .probe = msg->probe,
        .quorum_age_us = age_us(msg->quorum_age_ns),
        .count = (uint16_t)msg->count,
        .bytes = (uint16_t)entries_size,
    };
    memcpy(body, &a, sizeof(a));
    return sizeof(a);
}

static size_t append_reply_encode(const struct raft_msg *msg, void *body)
{
    const struct packet_append_reply r = {
        .term = msg->term,
        .prev_index = msg->prev_index,
        .match = msg->match,
        .hint_index = msg->hint_index,
        .hint_term = msg->hint_term,
        .chain = msg->prev_chain,
        .probe = msg->probe,
        .status = msg->status,
        .unable = (msg->flags & RAFT_UNABLE) != 0,
    };
    memcpy(body, &r, sizeof(r));
    return sizeof(r);
}

static size_t vote_encode(const struct raft_msg *msg, void *body)
{
    const struct packet_vote v = {
        .term = msg->term,
        .last_index = msg->prev_index,
        .last_term = msg->prev_term,
        .granted = msg->status,
        .told = (msg->flags & RAFT_TOLD) != 0,
        .careful = (msg->flags & RAFT_CAREFUL) != 0,
        .copy = (uint32_t)msg->probe,
    };
    memcpy(body, &v, sizeof(v));
    return sizeof(v);
}

static size_t chain_encode(const struct raft_msg *msg, void *body)
{
    const struct packet_chain c = {.term = msg->term,
                                   .index = msg->prev_index,
                                   .index_term = msg->prev_term,
                                   .chain = msg->prev_chain};
    memcpy(body, &c, sizeof(c));
    return sizeof(c);
}

static size_t fetch_encode(const struct raft_msg *msg, size_t entries_size, void *body)
{
    ENSURE(entries_size <= KEEL_ENTRY_MAX && msg->count <= UINT16_MAX);
    ENSURE((msg->count == 0) == (entries_size == 0));
    const struct packet_fetch f = {.term = msg->term,
                                   .index = msg->prev_index,
                                   .index_term = msg->prev_term,
                                   .count = (uint16_t)msg->count,
                                   .bytes = (uint16_t)entries_size,
                                   .holds = msg->status};
    memcpy(body, &f, sizeof(f));
    return sizeof(f);
}

size_t packet_peer_encode(const struct raft_msg *msg, size_t entries_size, void *body,
                          uint8_t *kind)
{
    ENSURE(msg->kind >= RAFT_PREVOTE && msg->kind <= RAFT_FETCH_REPLY);
    ENSURE(msg->kind == RAFT_APPEND || msg->kind == RAFT_FETCH_REPLY || entries_size == 0);
    *kind = (uint8_t)(PACKET_PREVOTE + msg->kind - RAFT_PREVOTE);
    if (msg->kind == RAFT_APPEND)
        return append_encode(msg, entries_size, body);
    if (msg->kind == RAFT_APPEND_REPLY)
        return append_reply_encode(msg, body);
    if (msg->kind == RAFT_CHAIN_ASK || msg->kind == RAFT_CHAIN_TELL)
        return chain_encode(msg, body);
    if (msg->kind == RAFT_FETCH || msg->kind == RAFT_FETCH_REPLY)
        return fetch_encode(msg, entries_size, body);
    return vote_encode(msg, body);
}
_Static_assert(PACKET_FETCH_REPLY - PACKET_PREVOTE == RAFT_FETCH_REPLY - RAFT_PREVOTE,
               "packet kinds follow the order of raft_msg_kind");

bool packet_submit_check(const void *body, size_t size)
{
    return entry_messages_check(body, size);
}

bool packet_query_check(const void *body, size_t size)
{
    static const struct entry_sequencer none;
    struct packet_query q;
    if (size < sizeof(q))
        return false;
    memcpy(&q, body, sizeof(q));
    bool check = q.kind == PACKET_QUERY_CHECK;
    if (q.kind < PACKET_QUERY_NODE || q.kind > PACKET_QUERY_CHECK || q.reserved0 != 0 ||
        q.reserved != 0 || size != sizeof(q) + q.path_size)
        return false;
    if (check)
        return q.path_size == 0 && q.node == 0 && q.after == 0;
    if (memcmp(&q.sequencer, &none, sizeof(none)) != 0 ||
        (q.kind == PACKET_QUERY_NODE && q.after != 0))
        return false;
    if (q.node != 0)
        return q.path_size == 0;
    return entry_path_ok((const char *)body + sizeof(q), q.path_size);
}

bool packet_session_request_check(const void *body, size_t size)
{
    struct packet_session_request request;
    if (size != sizeof(request))
        return false;
    memcpy(&request, body, sizeof(request));
    return entry_session_open_ok(&request.open);
}

/* --- checkpoints -------------------------------------------------------------------------------
 */

const char *packet_checkpoint_reason_name(enum packet_checkpoint_reason reason)
{
    switch (reason) {
    case PACKET_CHECKPOINT_NO_REASON:
        return "none";
    case PACKET_CHECKPOINT_BAD_VERSION:
        return "packet-version";
    case PACKET_CHECKPOINT_TOO_LARGE:
        return "too-large";
    case PACKET_CHECKPOINT_DAMAGED:
        return "damaged";
    case PACKET_CHECKPOINT_CONTENT:
        return "content";
    case PACKET_CHECKPOINT_DRIVE:
        return "drive";
    }
    return "invalid";
}

bool packet_checkpoint_same(const struct packet_checkpoint_id *a,
                            const struct packet_checkpoint_id *b)
{
    return memcmp(a, b, sizeof(*a)) == 0;
}

uint16_t packet_checkpoint_version(const void *body, size_t size)
{
    uint16_t version;
    if (size < sizeof(version))
        return 0;
    memcpy(&version, body, sizeof(version));
    return version;
}

static bool id_ok(const struct packet_checkpoint_id *id)
{
    return id->index > 0 && id->term > 0 && id->chain != 0 && id->size > 0 && id->reserved == 0;
}

bool packet_chunk_decode(const void *body, size_t size, struct packet_checkpoint_chunk *chunk,
                         const uint8_t **bytes)
{
    if (size < sizeof(*chunk))
        return false;
    memcpy(chunk, body, sizeof(*chunk));
    *bytes = (const uint8_t *)body + sizeof(*chunk);
    if (chunk->version != PACKET_CHECKPOINT_VERSION || chunk->reserved != 0 || !id_ok(&chunk->id))
        return false;
    if (chunk->bytes != size - sizeof(*chunk) || chunk->offset % PACKET_CHUNK_SIZE != 0 ||
        chunk->offset >= chunk->id.size)
        return false;
    uint64_t left = chunk->id.size - chunk->offset;
    return chunk->bytes == (left < PACKET_CHUNK_SIZE ? left : PACKET_CHUNK_SIZE);
}

bool packet_chunk_reply_decode(const void *body, size_t size, struct packet_checkpoint_reply *reply)
{
    if (size != sizeof(*reply))
        return false;
    memcpy(reply, body, sizeof(*reply));
    bool refused = reply->status == PACKET_CHECKPOINT_REFUSED;
    if (reply->reserved != 0 || reply->status > PACKET_CHECKPOINT_REFUSED ||
        reply->reason > PACKET_CHECKPOINT_DRIVE || refused != (reply->reason != 0))
        return false;
    /* Who does not understand a packet knows no id, and states the version that it does. */
    if (reply->reason == PACKET_CHECKPOINT_BAD_VERSION)
        return true;
    return reply->version == PACKET_CHECKPOINT_VERSION && id_ok(&reply->id) &&
           reply->wanted <= reply->id.size;
}
