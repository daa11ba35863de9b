#include "consensus/wire/feed.h"
#include "tests/unit/unit.h"

#include <stdlib.h>
#include <string.h>

static bool check_exact(const void *bytes, size_t size)
{
    uint8_t *exact = malloc(size + 1);
    memcpy(exact + 1, bytes, size);
    bool ok = mold_check(exact + 1, size);
    free(exact);
    return ok;
}

/* Byte by byte as the MoldUDP64 1.00 specification has it: session, sequence number, message count.
 */
static void mold_headers(void)
{
    struct mold_header header;
    mold_header_pack(&header, "20240611  ", 0x0102030405060708, 0x0a0b);
    CU_ASSERT_EQUAL(memcmp(&header, "20240611  \1\2\3\4\5\6\7\10\12\13", 20), 0);
    CU_ASSERT_EQUAL(mold_sequence(&header), 0x0102030405060708);
    CU_ASSERT_EQUAL(mold_count(&header), 0x0a0b);
    uint8_t length[2];
    mold_length_pack(length, 0x04f6);
    CU_ASSERT_EQUAL(memcmp(length, "\4\366", 2), 0);
    CU_ASSERT_EQUAL(mold_length(length), 0x04f6);
}

static void mold_packets(void)
{
    uint8_t packet[64];
    struct mold_header *header = (struct mold_header *)packet;
    mold_header_pack(header, "A         ", 1, 3);
    memcpy(packet + 20, "\0\3abc\0\0\0\1x", 10); /* the middle one: a session's end on a raw line */
    CU_ASSERT_TRUE(check_exact(packet, 30));
    for (size_t size = 0; size < 30; size++)
        CU_ASSERT_FALSE(check_exact(packet, size));
    packet[30] = 0;
    CU_ASSERT_FALSE(check_exact(packet, 31));
    for (uint32_t count = 0; count < 6; count++) {
        mold_header_pack(header, "A         ", 1, (uint16_t)count);
        CU_ASSERT_EQUAL(check_exact(packet, 30), count == 3);
    }
    mold_header_pack(header, "A         ", 9, MOLD_HEARTBEAT);
    CU_ASSERT_TRUE(check_exact(packet, 20));
    mold_header_pack(header, "A         ", 9, MOLD_END_OF_SESSION);
    CU_ASSERT_TRUE(check_exact(packet, 20));
    CU_ASSERT_FALSE(check_exact(packet, 21));
    static uint8_t huge[KEEL_DATAGRAM_MAX + 1];
    CU_ASSERT_FALSE(check_exact(huge, sizeof(huge)));
}

static void envelopes(void)
{
    struct feed_envelope envelope;
    struct feed_stamp stamp = {.kind = FEED_SESSION_END,
                               .utc_error_ns = 0x01020304,
                               .utc_ns = 0x1112131415161718,
                               .session = 0x2122232425262728,
                               .number = 0x3132333435363738};
    struct feed_stamp got;
    memset(&envelope, 0xff, sizeof(envelope));
    feed_envelope_pack(&envelope, &stamp);
    CU_ASSERT_EQUAL(
        memcmp(&envelope, "\1\1\0\0\1\2\3\4\x11\x12\x13\x14\x15\x16\x17\x18!\"#$%&'(12345678", 32),
        0);
    CU_ASSERT_TRUE(feed_envelope_unpack(&envelope, sizeof(envelope), &got));
    CU_ASSERT(got.kind == stamp.kind && got.utc_error_ns == stamp.utc_error_ns &&
              got.utc_ns == stamp.utc_ns && got.session == stamp.session &&
              got.number == stamp.number);
    CU_ASSERT_FALSE(feed_envelope_unpack(&envelope, sizeof(envelope) - 1, &got));
    uint8_t *bytes = (uint8_t *)&envelope;
    const uint32_t taken[4] = {2, 1, 1, 1}; /* kinds, versions, reserved */
    for (uint32_t at = 0; at < 4; at++) {
        uint8_t before = bytes[at];
        uint32_t count = 0;
        for (uint32_t value = 0; value < 256; value++) {
            bytes[at] = (uint8_t)value;
            count += feed_envelope_unpack(&envelope, sizeof(envelope), &got);
        }
        CU_ASSERT_EQUAL(count, taken[at]);
        bytes[at] = before;
    }
}

int main(void)
{
    static const struct unit_test tests[] = {{"MoldUDP64 headers", mold_headers},
                                             {"MoldUDP64 packets and their blocks", mold_packets},
                                             {"envelopes", envelopes},
                                             {0}};
    return unit_main("feed", tests);
}
