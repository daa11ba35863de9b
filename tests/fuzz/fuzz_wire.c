/* Wire decoders: any bytes give a struct or a refusal, nothing is read past the end, and what
 * decodes encodes to the same bytes. The first byte chooses the decoder. */
#include "tests/fuzz/fuzz.h"

#include "consensus/wire/feed.h"
#include "consensus/wire/genesis.h"
#include "consensus/wire/packet.h"
#include "consensus/wire/packet_genesis.h"

#include <string.h>

static void peer(uint8_t kind, const uint8_t *body, size_t size)
{
    struct raft_msg msg;
    const void *entries;
    size_t entries_size;
    if (!packet_peer_decode(kind, body, size, &msg, &entries, &entries_size)) {
        FUZZ_REQUIRE(entries == NULL && entries_size == 0);
        return;
    }
    uint8_t again[sizeof(struct packet_append)], kind_again;
    _Static_assert(sizeof(again) >= sizeof(struct packet_append_reply), "room for any body");
    size_t head = packet_peer_encode(&msg, entries_size, again, &kind_again);
    FUZZ_REQUIRE(kind_again == kind && head + entries_size == size);
    FUZZ_REQUIRE(memcmp(again, body, head) == 0);
    FUZZ_REQUIRE(entries_size == 0 || entries == body + head);
    const uint8_t *at = entries;
    for (uint32_t i = 0; i < msg.count; i++) {
        struct entry entry;
        memcpy(&entry, at, sizeof(entry));
        FUZZ_REQUIRE(entry.index == msg.prev_index + 1 + i && entry.term == msg.entry_term);
        at += entry.size;
    }
    FUZZ_REQUIRE(msg.count == 0 || at == body + size);
}

/* The blocks of an entry that was found in form, walked as apply does. */
static void blocks(const struct entry *entry)
{
    struct entry_messages head;
    memcpy(&head, entry_body(entry), sizeof(head));
    uint32_t offset = 0, payload = 0;
    for (uint32_t i = 0; i < head.count; i++) {
        uint16_t length;
        const uint8_t *block = entry_block_next(entry, &offset, &length);
        FUZZ_REQUIRE(length >= KEEL_MSG_MIN && offset <= head.bytes);
        for (uint32_t b = 0; b < length; b++) /* each byte is within */
            payload += block[b];
    }
    FUZZ_REQUIRE(offset == head.bytes && payload <= 255u * head.bytes);
}

static void entry(const uint8_t *bytes, size_t size)
{
    _Alignas(8) uint8_t copy[KEEL_ENTRY_MAX];
    if (!entry_check(bytes, size))
        return;
    struct entry *e = (struct entry *)(void *)copy;
    memcpy(e, bytes, sizeof(*e));
    FUZZ_REQUIRE(e->size <= size && e->size <= KEEL_ENTRY_MAX);
    memcpy(copy, bytes, e->size);
    FUZZ_REQUIRE(entry_check(copy, e->size) && !entry_check(copy, e->size - 1u));
    if (e->kind == ENTRY_MESSAGES)
        blocks(e);
}

static void submit(const uint8_t *body, size_t size)
{
    _Alignas(8) uint8_t copy[KEEL_ENTRY_MAX];
    if (!packet_submit_check(body, size))
        return;
    /* what passes here is framed as it is and must pass there */
    struct entry *e = (struct entry *)(void *)copy;
    size_t framed = (sizeof(*e) + size + 7) & ~(size_t)7;
    FUZZ_REQUIRE(framed <= KEEL_ENTRY_MAX);
    memset(copy, 0, sizeof(copy));
    *e = (struct entry){.size = (uint16_t)framed,
                        .kind = ENTRY_MESSAGES,
                        .version = ENTRY_VERSION,
                        .index = 1,
                        .term = 1};
    memcpy(copy + sizeof(*e), body, size);
    FUZZ_REQUIRE(entry_check(copy, framed));
    blocks(e);
}

static void session(const uint8_t *body, size_t size)
{
    struct packet_session_request request;
    if (!packet_session_request_check(body, size))
        return;
    memcpy(&request, body, sizeof(request));
    size_t length = strnlen(request.open.name, sizeof(request.open.name));
    FUZZ_REQUIRE(length >= 1 && length <= KEEL_NAME_MAX && entry_name_ok(request.open.name));
    FUZZ_REQUIRE(request.open.window >= 1 && request.open.window <= KEEL_SESSION_WINDOW_MAX);
}

static void mold(const uint8_t *packet, size_t size)
{
    if (!mold_check(packet, size))
        return;
    struct mold_header header, again;
    memcpy(&header, packet, sizeof(header));
    mold_header_pack(&again, header.session, mold_sequence(&header), mold_count(&header));
    FUZZ_REQUIRE(memcmp(&header, &again, sizeof(header)) == 0);
    uint32_t count = mold_count(&header) == MOLD_END_OF_SESSION ? 0 : mold_count(&header);
    size_t at = sizeof(header);
    for (uint32_t i = 0; i < count; i++) {
        FUZZ_REQUIRE(size - at >= MOLD_BLOCK_HEAD_SIZE);
        uint8_t length[MOLD_BLOCK_HEAD_SIZE];
        mold_length_pack(length, mold_length(packet + at));
        FUZZ_REQUIRE(memcmp(length, packet + at, sizeof(length)) == 0);
        at += sizeof(length) + mold_length(packet + at);
        FUZZ_REQUIRE(at <= size);
    }
    FUZZ_REQUIRE(at == size);
}

static void envelope(const uint8_t *block, size_t size)
{
    struct feed_stamp stamp;
    struct feed_envelope again;
    if (!feed_envelope_unpack(block, size, &stamp))
        return;
    feed_envelope_pack(&again, &stamp);
    FUZZ_REQUIRE(memcmp(&again, block, sizeof(again)) == 0);
}

static void genesis(const uint8_t *bytes, size_t size)
{
    struct genesis g;
    genesis_defaults(&g);
    memcpy(&g, bytes, size < sizeof(g) ? size : sizeof(g));
    g.magic = GENESIS_MAGIC; /* the rest is to be reached */
    const char *problem = genesis_problem(&g);
    FUZZ_REQUIRE(problem == NULL || problem[0] != 0);
    if (problem != NULL)
        return;
    uint32_t voters = genesis_voters(&g);
    FUZZ_REQUIRE(voters != 0 && (voters & 1) == 0 && voters >> (KEEL_REPLICA_MAX + 1) == 0);
    FUZZ_REQUIRE(entry_day_name_ok(g.day));
    FUZZ_REQUIRE(g.window_max >= 1 && g.window_max <= KEEL_SESSION_WINDOW_MAX);
}

static void founding(const uint8_t *body, size_t size)
{
    struct paxos_msg msg;
    uint8_t again[PACKET_GENESIS_MAX];
    if (!packet_genesis_decode(body, size, &msg))
        return;
    FUZZ_REQUIRE(packet_genesis_encode(&msg, again) == size && memcmp(again, body, size) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    const uint8_t *bytes = data + 1;
    size_t left = size - 1;
    switch (data[0] >> 5) { /* the low bits choose among the kinds of peer packets */
    case 0:
        peer((uint8_t)(PACKET_PREVOTE + (data[0] & 0x0f)), bytes, left);
        break;
    case 1:
        if ((data[0] & 0x10) != 0)
            founding(bytes, left);
        else
            peer((uint8_t)(PACKET_PREVOTE + (data[0] & 0x0f)), bytes, left);
        break;
    case 2:
        entry(bytes, left);
        break;
    case 3:
        submit(bytes, left);
        break;
    case 4:
        session(bytes, left);
        break;
    case 5:
        mold(bytes, left);
        break;
    case 6:
        envelope(bytes, left);
        break;
    default:
        genesis(bytes, left);
        break;
    }
    return 0;
}
