#include "consensus/wire/packet.h"
#include "tests/unit/unit.h"

#include <stdlib.h>
#include <string.h>

enum { KINDS = 11 };

static const uint8_t kinds[KINDS] = {PACKET_PREVOTE,    PACKET_PREVOTE_REPLY, PACKET_VOTE,
                                     PACKET_VOTE_REPLY, PACKET_APPEND,        PACKET_APPEND_REPLY,
                                     PACKET_CHAIN_ASK,  PACKET_CHAIN_TELL,    PACKET_TIMEOUT_NOW,
                                     PACKET_FETCH,      PACKET_FETCH_REPLY};

static size_t put_noop(uint8_t *bytes, uint64_t index, uint64_t term)
{
    const struct entry head = {.size = sizeof(head) + sizeof(struct entry_noop),
                               .kind = ENTRY_NOOP,
                               .version = ENTRY_VERSION,
                               .index = index,
                               .term = term};
    const struct entry_noop noop = {.leader = 2, .incarnation = 5};
    memcpy(bytes, &head, sizeof(head));
    memcpy(bytes + sizeof(head), &noop, sizeof(noop));
    return head.size;
}

/* Decodes a copy that ends where its memory ends, at an odd address. */
static bool decode(uint8_t kind, const void *body, size_t size, struct raft_msg *msg)
{
    const void *entries;
    size_t entries_size;
    uint8_t *exact = malloc(size + 1);
    memcpy(exact + 1, body, size);
    memset(msg, 0x5a, sizeof(*msg));
    bool ok = packet_peer_decode(kind, exact + 1, size, msg, &entries, &entries_size);
    if (ok && msg->kind == RAFT_APPEND && msg->count > 0) {
        CU_ASSERT_PTR_EQUAL(entries, exact + 1 + KEEL_APPEND_HEAD_SIZE);
        CU_ASSERT_EQUAL(entries_size, size - KEEL_APPEND_HEAD_SIZE);
    } else if (ok && msg->kind == RAFT_FETCH_REPLY && msg->count > 0) {
        CU_ASSERT_PTR_EQUAL(entries, exact + 1 + sizeof(struct packet_fetch));
        CU_ASSERT_EQUAL(entries_size, size - sizeof(struct packet_fetch));
    } else {
        CU_ASSERT_PTR_NULL(entries);
        CU_ASSERT_EQUAL(entries_size, 0);
    }
    free(exact);
    return ok;
}

static struct raft_msg message(uint8_t kind)
{
    struct raft_msg msg = {.kind = kind, .term = 9, .prev_index = 41, .prev_term = 7};
    bool reply = kind == RAFT_PREVOTE_REPLY || kind == RAFT_VOTE_REPLY;
    if (reply)
        msg.status = 1;
    if (kind == RAFT_APPEND) {
        msg.prev_chain = 0x1122334455667788;
        msg.entry_term = 8;
        msg.count = 2;
        msg.commit = 40;
        msg.probe = 12345;
        msg.quorum_age_ns = 3000000;
    }
    if (kind == RAFT_APPEND_REPLY) {
        msg.prev_term = 0; /* not carried */
        msg.status = RAFT_APPEND_CONFLICT;
        msg.prev_chain = 99;
        msg.match = 38;
        msg.hint_index = 37;
        msg.hint_term = 6;
        msg.probe = 12345;
        msg.flags = RAFT_UNABLE;
    }
    if (kind == RAFT_PREVOTE || kind == RAFT_PREVOTE_REPLY)
        msg.flags = RAFT_CAREFUL, msg.probe = UINT32_MAX;
    if (kind == RAFT_VOTE)
        msg.flags = RAFT_TOLD | RAFT_CAREFUL;
    if (kind == RAFT_CHAIN_ASK || kind == RAFT_CHAIN_TELL)
        msg.prev_chain = 0x1122334455667788;
    if (kind == RAFT_FETCH_REPLY)
        msg.status = 1, msg.count = 2;
    return msg;
}

/* A packet of the kind, with two entries behind an append. */
static size_t sample(uint8_t body[KEEL_BODY_MAX], uint8_t raft_kind, uint8_t *kind)
{
    struct raft_msg msg = message(raft_kind);
    size_t entries = 0;
    if (raft_kind == RAFT_APPEND) {
        entries = put_noop(body + KEEL_APPEND_HEAD_SIZE, 42, 8);
        entries += put_noop(body + KEEL_APPEND_HEAD_SIZE + entries, 43, 8);
    }
    if (raft_kind == RAFT_FETCH_REPLY) {
        entries = put_noop(body + sizeof(struct packet_fetch), 41, 7);
        entries += put_noop(body + sizeof(struct packet_fetch) + entries, 42, 7);
    }
    return packet_peer_encode(&msg, entries, body, kind) + entries;
}

static void round_trips(void)
{
    for (uint8_t raft_kind = RAFT_PREVOTE; raft_kind <= RAFT_FETCH_REPLY; raft_kind++) {
        uint8_t body[KEEL_BODY_MAX], kind;
        struct raft_msg wanted = message(raft_kind), msg;
        size_t size = sample(body, raft_kind, &kind);
        CU_ASSERT_EQUAL(kind, kinds[raft_kind - RAFT_PREVOTE]);
        CU_ASSERT_TRUE(decode(kind, body, size, &msg));
        CU_ASSERT_EQUAL(memcmp(&msg, &wanted, sizeof(msg)), 0);
        for (size_t cut = 0; cut < size; cut++)
            CU_ASSERT_FALSE(decode(kind, body, cut, &msg));
        body[size] = 0;
        CU_ASSERT_FALSE(decode(kind, body, size + 1, &msg));
        for (uint32_t other = 0; other < 256; other++) {
            bool peer = other >= PACKET_PREVOTE && other <= PACKET_FETCH_REPLY;
            CU_ASSERT(peer || !decode((uint8_t)other, body, size, &msg));
        }
    }
}

/* The layout is the document's, not just whatever encode and decode agree on. */
static void layouts(void)
{
    uint8_t body[KEEL_BODY_MAX], kind;
    uint64_t word;
    uint32_t half;
    CU_ASSERT_EQUAL(sample(body, RAFT_APPEND, &kind), 64 + 128);
    memcpy(&word, body + 24, 8);
    CU_ASSERT_EQUAL(word, 0x1122334455667788);
    memcpy(&word, body + 48, 8);
    CU_ASSERT_EQUAL(word, 12345);
    memcpy(&half, body + 56, 4);
    CU_ASSERT_EQUAL(half, 3000);
    CU_ASSERT_EQUAL(body[60], 2);
    CU_ASSERT_EQUAL(body[62], 128);
    CU_ASSERT_EQUAL(sample(body, RAFT_APPEND_REPLY, &kind), 64);
    CU_ASSERT_EQUAL(body[16], 38);
    CU_ASSERT_EQUAL(body[56], RAFT_APPEND_CONFLICT);
    CU_ASSERT_EQUAL(body[57], 1);
    CU_ASSERT_EQUAL(sample(body, RAFT_VOTE, &kind), 32);
    CU_ASSERT_EQUAL(body[24], 0);
    CU_ASSERT_EQUAL(body[25], 1);
    CU_ASSERT_EQUAL(sample(body, RAFT_TIMEOUT_NOW, &kind), 32);
    CU_ASSERT_EQUAL(kind, 24);
    CU_ASSERT_EQUAL(body[8], 41);
    CU_ASSERT_EQUAL(body[25], 0);
    CU_ASSERT_EQUAL(sample(body, RAFT_CHAIN_TELL, &kind), 32);
    CU_ASSERT_EQUAL(body[8], 41);
    memcpy(&word, body + 24, 8);
    CU_ASSERT_EQUAL(word, 0x1122334455667788);
    CU_ASSERT_EQUAL(sample(body, RAFT_VOTE_REPLY, &kind), 32);
    CU_ASSERT_EQUAL(body[8], 41);
    CU_ASSERT_EQUAL(body[24], 1);
}

/* Form: what a sender never writes. */
static void append_out_of_form(void)
{
    uint8_t body[KEEL_BODY_MAX], kind;
    struct raft_msg msg;
    size_t size = sample(body, RAFT_APPEND, &kind);
    struct packet_append good, bad;
    memcpy(&good, body, sizeof(good));
    CU_ASSERT_TRUE(decode(kind, body, size, &msg));
#define REFUSED(change)                                                                            \
    do {                                                                                           \
        bad = good;                                                                                \
        change;                                                                                    \
        memcpy(body, &bad, sizeof(bad));                                                           \
        CU_ASSERT_FALSE(decode(kind, body, size, &msg));                                           \
    } while (0)
    REFUSED(bad.count = 1);
    REFUSED(bad.count = 3);
    REFUSED(bad.count = 0);
    REFUSED(bad.bytes = 64);
    REFUSED(bad.bytes = 136);
    REFUSED(bad.prev_index = 40);
    REFUSED(bad.prev_index = UINT64_MAX);
    REFUSED(bad.entry_term = 7);
    REFUSED(bad.term = 7);
    /* a heartbeat carries no term of entries */
    size = sizeof(good);
    good.count = good.bytes = 0;
    REFUSED(bad.entry_term = 8);
    good.entry_term = 0;
    memcpy(body, &good, sizeof(good));
    CU_ASSERT_TRUE(decode(kind, body, size, &msg));
#undef REFUSED
    size = sample(body, RAFT_APPEND, &kind);
    memcpy(&good, body, sizeof(good));
    memcpy(body, &good, sizeof(good));
    put_noop(body + KEEL_APPEND_HEAD_SIZE + 64, 44, 8); /* 42, 44 */
    CU_ASSERT_FALSE(decode(kind, body, size, &msg));
    put_noop(body + KEEL_APPEND_HEAD_SIZE + 64, 43, 9);
    CU_ASSERT_FALSE(decode(kind, body, size, &msg));
    put_noop(body + KEEL_APPEND_HEAD_SIZE + 64, 43, 8);
    CU_ASSERT_TRUE(decode(kind, body, size, &msg));
    body[KEEL_APPEND_HEAD_SIZE + 64 + 7] = 0; /* version of the second entry */
    CU_ASSERT_FALSE(decode(kind, body, size, &msg));
}

/* Entries in good form, and more of them than a packet holds. */
static void append_of_more_than_a_packet(void)
{
    uint8_t body[KEEL_BODY_MAX + 128];
    struct raft_msg msg;
    struct packet_append head = {.term = 9, .prev_index = 41, .entry_term = 8};
    const uint32_t most = (KEEL_BODY_MAX - sizeof(head)) / 64;
    for (head.count = 1; head.count <= most + 1; head.count++) {
        put_noop(body + sizeof(head) + head.bytes, 41u + head.count, 8);
        head.bytes = (uint16_t)(head.bytes + 64);
        memcpy(body, &head, sizeof(head));
        CU_ASSERT_EQUAL(decode(PACKET_APPEND, body, sizeof(head) + head.bytes, &msg),
                        head.count <= most);
    }
    struct packet_fetch fetch = {.term = 9, .index = 42, .index_term = 8, .holds = 1};
    const uint32_t room = (KEEL_BODY_MAX - sizeof(fetch)) / 64;
    for (fetch.count = 1; fetch.count <= room + 1; fetch.count++) {
        put_noop(body + sizeof(fetch) + fetch.bytes, 41u + fetch.count, 8);
        fetch.bytes = (uint16_t)(fetch.bytes + 64);
        memcpy(body, &fetch, sizeof(fetch));
        const void *entries;
        size_t size = sizeof(fetch) + fetch.bytes, entries_size;
        CU_ASSERT_EQUAL(
            packet_peer_decode(PACKET_FETCH_REPLY, body, size, &msg, &entries, &entries_size),
            fetch.count <= room);
        CU_ASSERT_EQUAL(entries_size, fetch.count <= room ? fetch.bytes : 0);
    }
}

static void chains_out_of_form(void)
{
    for (uint8_t raft_kind = RAFT_CHAIN_ASK; raft_kind <= RAFT_CHAIN_TELL; raft_kind++) {
        uint8_t body[KEEL_BODY_MAX], kind;
        struct raft_msg msg;
        size_t size = sample(body, raft_kind, &kind);
        memset(body + 24, 0, 8); /* no chain is 0 */
        CU_ASSERT_FALSE(decode(kind, body, size, &msg));
        body[31] = 1;
        CU_ASSERT_TRUE(decode(kind, body, size, &msg));
    }
}

static void fetches_out_of_form(void)
{
    uint8_t body[KEEL_BODY_MAX], kind;
    struct raft_msg msg;
    size_t size = sample(body, RAFT_FETCH_REPLY, &kind);
    struct packet_fetch good, bad;
    memcpy(&good, body, sizeof(good));
    CU_ASSERT_EQUAL(kind, 26);
    CU_ASSERT_TRUE(decode(kind, body, size, &msg));
    CU_ASSERT_FALSE(decode(PACKET_FETCH, body, size, &msg)); /* a question carries nothing */
#define REFUSED(change)                                                                            \
    do {                                                                                           \
        bad = good;                                                                                \
        change;                                                                                    \
        memcpy(body, &bad, sizeof(bad));                                                           \
        CU_ASSERT_FALSE(decode(kind, body, size, &msg));                                           \
    } while (0)
    REFUSED(bad.count = 1);
    REFUSED(bad.count = 3);
    REFUSED(bad.holds = 0);
    REFUSED(bad.holds = 2);
    REFUSED(bad.bytes = 64);
    REFUSED(bad.index = 40);
    REFUSED(bad.index = UINT64_MAX);
    REFUSED(bad.index_term = 6);
    REFUSED(bad.term = 6);
    REFUSED(bad.reserved[2] = 1);
    size = sizeof(good); /* a denial */
    good.count = good.bytes = good.holds = 0;
    REFUSED(bad.holds = 1);
    REFUSED(bad.index = 0);
#undef REFUSED
    memcpy(body, &good, sizeof(good));
    CU_ASSERT_TRUE(decode(kind, body, size, &msg));
    CU_ASSERT_EQUAL(msg.status, 0);
    CU_ASSERT_TRUE(decode(PACKET_FETCH, body, size, &msg));
    CU_ASSERT_EQUAL(msg.kind, RAFT_FETCH);
}

static void replies_out_of_form(void)
{
    uint8_t body[KEEL_BODY_MAX], kind;
    struct raft_msg msg;
    size_t size = sample(body, RAFT_APPEND_REPLY, &kind);
    body[56] = RAFT_APPEND_NO_SPACE + 1;
    CU_ASSERT_FALSE(decode(kind, body, size, &msg));
    body[56] = RAFT_APPEND_NO_SPACE;
    CU_ASSERT_TRUE(decode(kind, body, size, &msg));
    body[57] = 2;
    CU_ASSERT_FALSE(decode(kind, body, size, &msg));
    body[57] = 0;
    CU_ASSERT_TRUE(decode(kind, body, size, &msg));
    CU_ASSERT_EQUAL(msg.flags, 0);
    body[63] = 1;
    CU_ASSERT_FALSE(decode(kind, body, size, &msg));
    size = sample(body, RAFT_TIMEOUT_NOW, &kind);
    for (size_t at = 24; at < 32; at++) {
        body[at] = 1;
        CU_ASSERT_FALSE(decode(kind, body, size, &msg));
        body[at] = 0;
    }
    CU_ASSERT_TRUE(decode(kind, body, size, &msg));
    for (uint8_t raft_kind = RAFT_PREVOTE; raft_kind <= RAFT_VOTE_REPLY; raft_kind++) {
        bool reply = raft_kind == RAFT_PREVOTE_REPLY || raft_kind == RAFT_VOTE_REPLY;
        size = sample(body, raft_kind, &kind);
        for (uint32_t granted = 0; granted < 256; granted++) {
            body[24] = (uint8_t)granted;
            CU_ASSERT_EQUAL(decode(kind, body, size, &msg), granted <= (reply ? 1u : 0u));
        }
        body[24] = 0;
        for (uint32_t told = 0; told < 256; told++) {
            body[25] = (uint8_t)told;
            CU_ASSERT_EQUAL(decode(kind, body, size, &msg),
                            told <= (raft_kind == RAFT_VOTE ? 1u : 0u));
        }
        body[25] = 0;
        for (uint32_t careful = 0; careful < 256; careful++) {
            body[26] = (uint8_t)careful;
            CU_ASSERT_EQUAL(decode(kind, body, size, &msg),
                            careful <= (raft_kind == RAFT_VOTE_REPLY ? 0u : 1u));
        }
        body[26] = 0;
        body[27] = 1;
        CU_ASSERT_FALSE(decode(kind, body, size, &msg));
        body[27] = 0;
        bool pre = raft_kind == RAFT_PREVOTE || raft_kind == RAFT_PREVOTE_REPLY;
        memset(&body[28], 0, 4);
        CU_ASSERT_TRUE(decode(kind, body, size, &msg) && msg.probe == 0);
        body[31] = 1;
        CU_ASSERT_EQUAL(decode(kind, body, size, &msg), pre);
        CU_ASSERT(!pre || msg.probe == UINT32_C(1) << 24);
    }
}

/* H22: a line counts the age that the packet states; it must not come out younger than it was. */
static void h22_quorum_age_is_never_rounded_down(void)
{
    const uint64_t ages[] = {0,
                             1,
                             999,
                             1000,
                             1001,
                             123456789,
                             4294967293ull * 1000 + 1,
                             4294967294ull * 1000,
                             4294967294ull * 1000 + 1,
                             UINT64_MAX - 1,
                             UINT64_MAX};
    for (size_t i = 0; i < sizeof(ages) / sizeof(ages[0]); i++) {
        uint8_t body[64], kind;
        struct raft_msg msg = {.kind = RAFT_APPEND, .term = 1, .quorum_age_ns = ages[i]}, got;
        size_t size = packet_peer_encode(&msg, 0, body, &kind);
        CU_ASSERT_TRUE(decode(kind, body, size, &got));
        CU_ASSERT(got.quorum_age_ns >= ages[i]);
        CU_ASSERT(got.quorum_age_ns == UINT64_MAX || got.quorum_age_ns - ages[i] < 1000);
        CU_ASSERT_EQUAL(got.quorum_age_ns == UINT64_MAX, ages[i] > 4294967294ull * 1000);
    }
}

static void any_bytes_decode_or_not(void)
{
    uint64_t state = 3;
    uint32_t taken = 0;
    for (uint32_t round = 0; round < 60000; round++) {
        uint8_t body[KEEL_BODY_MAX], kind;
        struct raft_msg msg;
        size_t size = sample(body, (uint8_t)(RAFT_PREVOTE + round % KINDS), &kind);
        for (uint32_t i = 0; i < round % 3; i++) {
            state = state * 6364136223846793005ull + 1442695040888963407ull;
            body[(state >> 33) % size] = (uint8_t)(state >> 20);
        }
        state = state * 6364136223846793005ull + 1442695040888963407ull;
        if (state >> 62 == 0)
            size = (state >> 33) % (size + 1);
        taken += decode(kind, body, size, &msg);
    }
    CU_ASSERT(taken > 10000 && taken < 50000);
}

static void submit_is_an_entrys_body(void)
{
    uint8_t body[sizeof(struct entry_messages) + KEEL_BLOCKS_MAX] = {0};
    struct entry_messages head = {.session = 1, .epoch = 1, .number = 1, .count = 2, .bytes = 9};
    memcpy(body, &head, sizeof(head));
    memcpy(body + sizeof(head), "\3\0abc\2\0de", 9);
    CU_ASSERT_TRUE(packet_submit_check(body, sizeof(head) + 9));
    CU_ASSERT_FALSE(packet_submit_check(body, sizeof(head) + 8));
    CU_ASSERT_FALSE(packet_submit_check(body, sizeof(head) + 10));
    CU_ASSERT_FALSE(packet_submit_check(body, 0));
    for (uint32_t value = 0; value < 256; value++) {
        body[sizeof(head)] = (uint8_t)value;
        CU_ASSERT_EQUAL(packet_submit_check(body, sizeof(head) + 9), value == 3);
    }
    head = (struct entry_messages){.session = 1, .epoch = 1, .number = 1, .count = 1};
    head.bytes = KEEL_BLOCKS_MAX;
    memcpy(body, &head, sizeof(head));
    body[sizeof(head)] = KEEL_MSG_MAX & 0xff;
    body[sizeof(head) + 1] = KEEL_MSG_MAX >> 8;
    CU_ASSERT_TRUE(packet_submit_check(body, sizeof(body)));
    CU_ASSERT(sizeof(body) <= KEEL_BODY_MAX);
}

static void session_requests(void)
{
    struct packet_session_request good = {.open = {.name = "gw", .process = 1, .window = 1},
                                          .request = 5};
    struct packet_session_request bad;
    CU_ASSERT_TRUE(packet_session_request_check(&good, sizeof(good)));
    CU_ASSERT_FALSE(packet_session_request_check(&good, sizeof(good) - 1));
    CU_ASSERT_FALSE(packet_session_request_check(&good, sizeof(good) + 1));
    bad = good;
    bad.open.name[0] = 0;
    CU_ASSERT_FALSE(packet_session_request_check(&bad, sizeof(bad)));
    bad = good;
    bad.open.name[5] = 'x';
    CU_ASSERT_FALSE(packet_session_request_check(&bad, sizeof(bad)));
    bad = good;
    bad.open.process = 0;
    CU_ASSERT_FALSE(packet_session_request_check(&bad, sizeof(bad)));
    bad = good;
    bad.open.window = 65;
    CU_ASSERT_FALSE(packet_session_request_check(&bad, sizeof(bad)));
    bad = good;
    bad.open.reserved = 1;
    CU_ASSERT_FALSE(packet_session_request_check(&bad, sizeof(bad)));
}

/* At an odd address, and without a byte behind. */
static bool query_ok(const struct packet_query *query, const char *path, size_t cut)
{
    struct packet_query head = *query;
    size_t size = strlen(path);
    uint8_t *exact = malloc(sizeof(head) + size + 1);
    CU_ASSERT_PTR_NOT_NULL_FATAL(exact);
    head.path_size = (uint16_t)size;
    memcpy(exact + 1, &head, sizeof(head));
    memcpy(exact + 1 + sizeof(head), path, size);
    bool ok = packet_query_check(exact + 1, sizeof(head) + size - cut);
    free(exact);
    return ok;
}

#define ASKS(path, ...) CU_ASSERT_TRUE(query_ok(&(struct packet_query){__VA_ARGS__}, path, 0))
#define REFUSES(path, ...) CU_ASSERT_FALSE(query_ok(&(struct packet_query){__VA_ARGS__}, path, 0))

/* What a question does not use must be zero, as with operations. */
static void queries(void)
{
    const struct packet_query children = {.kind = PACKET_QUERY_CHILDREN};
    CU_ASSERT_TRUE(query_ok(&children, "/a", 0));
    CU_ASSERT_FALSE(query_ok(&children, "/a", 1));
    CU_ASSERT_FALSE(query_ok(&children, "", 1));
    ASKS("/a", .kind = PACKET_QUERY_NODE);
    ASKS("", .kind = PACKET_QUERY_NODE, .node = 4);
    ASKS("/", .kind = PACKET_QUERY_CHILDREN, .after = 9);
    ASKS("", .kind = PACKET_QUERY_CHILDREN, .node = 4, .after = 9);
    ASKS("", .kind = PACKET_QUERY_CHECK, .sequencer = {.node = 4, .generation = 5, .mode = 1});
    ASKS("", .kind = PACKET_QUERY_CHECK); /* a sequencer that never holds */
    REFUSES("/a", .kind = 0);
    REFUSES("/a", .kind = PACKET_QUERY_CHECK + 1);
    REFUSES("/a", .kind = PACKET_QUERY_NODE, .reserved0 = 1);
    REFUSES("/a", .kind = PACKET_QUERY_NODE, .reserved = 1);
    REFUSES("/a", .kind = PACKET_QUERY_NODE, .after = 9);
    REFUSES("/a", .kind = PACKET_QUERY_NODE, .sequencer.node = 4);
    REFUSES("/a", .kind = PACKET_QUERY_CHILDREN, .sequencer.reserved = {1});
    REFUSES("/a", .kind = PACKET_QUERY_NODE, .node = 4);
    REFUSES("", .kind = PACKET_QUERY_NODE);
    REFUSES("/a/", .kind = PACKET_QUERY_NODE);
    REFUSES("/a", .kind = PACKET_QUERY_CHECK);
    REFUSES("", .kind = PACKET_QUERY_CHECK, .node = 4);
    REFUSES("", .kind = PACKET_QUERY_CHECK, .after = 9);
}

/* First by entry, then by node, then by kind: no two are at one place. */
static void places_of_events(void)
{
    static const struct packet_event_place in_order[] = {
        {.index = 4, .node = 9, .kind = PACKET_EVENT_INVALID},
        {.index = 5, .node = 2, .kind = PACKET_EVENT_INVALID},
        {.index = 5, .node = 3, .kind = PACKET_EVENT_CONTENT},
        {.index = 5, .node = 3, .kind = PACKET_EVENT_LOCKED}};
    for (size_t a = 0; a < 4; a++)
        for (size_t b = 0; b < 4; b++)
            CU_ASSERT_EQUAL(packet_event_before(&in_order[a], &in_order[b]), a < b);
}

static struct packet_checkpoint_id some_id(uint64_t size)
{
    return (struct packet_checkpoint_id){
        .index = 7, .term = 2, .chain = 3, .digest = 4, .size = size, .crc = 5};
}

/* At an odd address, and without a byte behind. */
static bool chunk_ok(const struct packet_checkpoint_chunk *head, size_t bytes)
{
    struct packet_checkpoint_chunk read;
    const uint8_t *at;
    uint8_t *exact = malloc(sizeof(*head) + bytes + 1);
    CU_ASSERT_PTR_NOT_NULL_FATAL(exact);
    memcpy(exact + 1, head, sizeof(*head));
    memset(exact + 1 + sizeof(*head), 0x11, bytes);
    bool ok = packet_chunk_decode(exact + 1, sizeof(*head) + bytes, &read, &at);
    CU_ASSERT_TRUE(!ok ||
                   (memcmp(&read, head, sizeof(read)) == 0 && at == exact + 1 + sizeof(*head)));
    free(exact);
    return ok;
}

static void checkpoint_chunks(void)
{
    const struct packet_checkpoint_chunk first = {
        .version = PACKET_CHECKPOINT_VERSION, .bytes = PACKET_CHUNK_SIZE, .id = some_id(2500)};
    struct packet_checkpoint_chunk head = first;
    CU_ASSERT_TRUE(chunk_ok(&head, PACKET_CHUNK_SIZE));
    CU_ASSERT_FALSE(chunk_ok(&head, PACKET_CHUNK_SIZE - 1));
    CU_ASSERT_FALSE(chunk_ok(&head, PACKET_CHUNK_SIZE + 1));
    uint8_t part[sizeof(head)] = {PACKET_CHECKPOINT_VERSION};
    const uint8_t *at;
    CU_ASSERT_FALSE(packet_chunk_decode(part, sizeof(part) - 1, &head, &at));
    head.offset = 2048; /* the last, and short */
    CU_ASSERT_FALSE(chunk_ok(&head, PACKET_CHUNK_SIZE));
    head.bytes = 2500 - 2048;
    CU_ASSERT_TRUE(chunk_ok(&head, 2500 - 2048));
    head.offset = 3072;
    CU_ASSERT_FALSE(chunk_ok(&head, 2500 - 2048));
    head = first;
    head.offset = 512;
    CU_ASSERT_FALSE(chunk_ok(&head, PACKET_CHUNK_SIZE));
    struct packet_checkpoint_chunk bad[8] = {first, first, first, first,
                                             first, first, first, first};
    bad[0].version = 2;
    bad[1].reserved = 1;
    bad[2].id.index = 0;
    bad[3].id.term = 0;
    bad[4].id.chain = 0;
    bad[5].id.size = 0;
    bad[6].id.reserved = 1;
    bad[7].offset = UINT64_MAX - 1023;
    for (uint32_t i = 0; i < 8; i++)
        CU_ASSERT_FALSE(chunk_ok(&bad[i], PACKET_CHUNK_SIZE));
    CU_ASSERT_EQUAL(packet_checkpoint_version(&first, sizeof(first)), PACKET_CHECKPOINT_VERSION);
    CU_ASSERT_EQUAL(packet_checkpoint_version(&first, 1), 0);
}

static bool reply_ok(const struct packet_checkpoint_reply *reply, size_t size)
{
    struct packet_checkpoint_reply read;
    uint8_t copy[sizeof(*reply) + 2] = {0};
    memcpy(copy + 1, reply, sizeof(*reply));
    return packet_chunk_reply_decode(copy + 1, size, &read);
}

static void checkpoint_replies(void)
{
    const struct packet_checkpoint_reply want = {
        .version = PACKET_CHECKPOINT_VERSION, .id = some_id(2500), .wanted = 1024};
    struct packet_checkpoint_reply bad = want;
    CU_ASSERT_TRUE(reply_ok(&want, sizeof(want)));
    CU_ASSERT_FALSE(reply_ok(&want, sizeof(want) - 1));
    CU_ASSERT_FALSE(reply_ok(&want, sizeof(want) + 1));
    bad.wanted = 2501;
    CU_ASSERT_FALSE(reply_ok(&bad, sizeof(bad)));
    bad = want;
    bad.status = PACKET_CHECKPOINT_REFUSED; /* without a reason */
    CU_ASSERT_FALSE(reply_ok(&bad, sizeof(bad)));
    bad.reason = PACKET_CHECKPOINT_DRIVE;
    CU_ASSERT_TRUE(reply_ok(&bad, sizeof(bad)));
    bad.reason = PACKET_CHECKPOINT_DRIVE + 1;
    CU_ASSERT_FALSE(reply_ok(&bad, sizeof(bad)));
    bad = want;
    bad.reason = PACKET_CHECKPOINT_DRIVE; /* without a refusal */
    CU_ASSERT_FALSE(reply_ok(&bad, sizeof(bad)));
    bad = want;
    bad.reserved = 1;
    CU_ASSERT_FALSE(reply_ok(&bad, sizeof(bad)));
    bad = want;
    bad.status = PACKET_CHECKPOINT_REFUSED + 1;
    CU_ASSERT_FALSE(reply_ok(&bad, sizeof(bad)));
    bad = want;
    bad.version = PACKET_CHECKPOINT_VERSION + 1;
    CU_ASSERT_FALSE(reply_ok(&bad, sizeof(bad)));
    bad = want;
    bad.id.chain = 0;
    CU_ASSERT_FALSE(reply_ok(&bad, sizeof(bad)));
    /* who speaks another version says which, and knows no id */
    bad = (struct packet_checkpoint_reply){
        .version = 9, .status = PACKET_CHECKPOINT_REFUSED, .reason = PACKET_CHECKPOINT_BAD_VERSION};
    CU_ASSERT_TRUE(reply_ok(&bad, sizeof(bad)));
    bad.reason = PACKET_CHECKPOINT_CONTENT;
    CU_ASSERT_FALSE(reply_ok(&bad, sizeof(bad)));
    for (uint8_t reason = 0; reason <= PACKET_CHECKPOINT_DRIVE; reason++)
        CU_ASSERT_STRING_NOT_EQUAL(packet_checkpoint_reason_name(reason), "invalid");
    CU_ASSERT_STRING_EQUAL(packet_checkpoint_reason_name(PACKET_CHECKPOINT_DRIVE + 1), "invalid");
}

int main(void)
{
    static const struct unit_test tests[] = {
        {"peer messages survive the wire", round_trips},
        {"fields lie where the document says", layouts},
        {"appends out of form", append_out_of_form},
        {"appends of more than a packet", append_of_more_than_a_packet},
        {"chain questions and answers out of form", chains_out_of_form},
        {"replies and votes out of form", replies_out_of_form},
        {"questions for lost entries out of form", fetches_out_of_form},
        {"H22: the quorum age is never rounded down", h22_quorum_age_is_never_rounded_down},
        {"any bytes decode or do not", any_bytes_decode_or_not},
        {"a submit is an entry's body", submit_is_an_entrys_body},
        {"session requests", session_requests},
        {"queries", queries},
        {"places of events have an order", places_of_events},
        {"chunks of checkpoints", checkpoint_chunks},
        {"answers to chunks", checkpoint_replies},
        {0}};
    return unit_main("packet", tests);
}
