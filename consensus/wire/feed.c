#include "consensus/wire/feed.h"

#include <string.h>

static void put16(uint8_t *at, uint16_t value)
{
    value = __builtin_bswap16(value);
    memcpy(at, &value, sizeof(value));
}

static void put32(uint8_t *at, uint32_t value)
{
    value = __builtin_bswap32(value);
    memcpy(at, &value, sizeof(value));
}

static void put64(uint8_t *at, uint64_t value)
{
    value = __builtin_bswap64(value);
    memcpy(at, &value, sizeof(value));
}

static uint16_t get16(const uint8_t *at)
{
    uint16_t value;
    memcpy(&value, at, sizeof(value));
    return __builtin_bswap16(value);
}

static uint32_t get32(const uint8_t *at)
{
    uint32_t value;
    memcpy(&value, at, sizeof(value));
    return __builtin_bswap32(value);
}

static uint64_t get64(const uint8_t *at)
{
    uint64_t value;
    memcpy(&value, at, sizeof(value));
    return __builtin_bswap64(value);
}

void mold_header_pack(struct mold_header *header, const char *session, uint64_t sequence,
                      uint16_t count)
{
    memcpy(header->session, session, sizeof(header->session));
    put64(header->sequence, sequence);
    put16(header->count, count);
}

uint64_t mold_sequence(const struct mold_header *header)
{
    return get64(header->sequence);
}

uint16_t mold_count(const struct mold_header *header)
{
    return get16(header->count);
}

void mold_length_pack(uint8_t *at, uint16_t length)
{
    put16(at, length);
}

uint16_t mold_length(const uint8_t *at)
{
    return get16(at);
}

bool mold_check(const void *packet, size_t size)
{
    if (size < MOLD_HEADER_SIZE || size > KEEL_DATAGRAM_MAX)
        return false;
    uint16_t count = mold_count(packet);
    if (count == MOLD_END_OF_SESSION)
        count = 0;
    const uint8_t *at = (const uint8_t *)packet + MOLD_HEADER_SIZE;
    size_t left = size - MOLD_HEADER_SIZE;
    for (uint32_t i = 0; i < count; i++) {
        if (left < MOLD_BLOCK_HEAD_SIZE || mold_length(at) > left - MOLD_BLOCK_HEAD_SIZE)
            return false;
        size_t block = MOLD_BLOCK_HEAD_SIZE + (size_t)mold_length(at);
        at += block;
        left -= block;
    }
    return left == 0;
}

void feed_envelope_pack(struct feed_envelope *envelope, const struct feed_stamp *stamp)
{
    envelope->kind = (uint8_t)stamp->kind;
    envelope->version = FEED_ENVELOPE_VERSION;
    envelope->reserved[0] = 0;
    envelope->reserved[1] = 0;
    put32(envelope->utc_error_ns, stamp->utc_error_ns);
    put64(envelope->utc_ns, stamp->utc_ns);
    put64(envelope->session, stamp->session);
    put64(envelope->number, stamp->number);
}

bool feed_envelope_unpack(const void *block, size_t size, struct feed_stamp *stamp)
{
    const struct feed_envelope *envelope = block;
    if (size < sizeof(*envelope) || envelope->version != FEED_ENVELOPE_VERSION ||
        envelope->kind > FEED_SESSION_END || (envelope->reserved[0] | envelope->reserved[1]) != 0)
        return false;
    stamp->kind = (enum feed_kind)envelope->kind;
    stamp->utc_error_ns = get32(envelope->utc_error_ns);
    stamp->utc_ns = get64(envelope->utc_ns);
    stamp->session = get64(envelope->session);
    stamp->number = get64(envelope->number);
    return true;
}
