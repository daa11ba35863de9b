/* Frames as they stand on the wire, most of them written out by hand. */
#include "dataplane/frame.h"
#include "dataplane/frame_bytes.h"
#include "tests/unit/dataplane/frames.h"
#include "tests/unit/unit.h"

#include <stdlib.h>
#include <string.h>

/* ARP request: who has 10.0.0.1, tell 10.0.0.2; padded to 60 bytes with rubbish. */
#define ARP_REQUEST_FRAME                                                                          \
    "ffffffffffff 021122334402 0806"                                                               \
    "0001 0800 06 04 0001 021122334402 0a000002 000000000000 0a000001"                             \
    "deadbeefdeadbeefdeadbeefdeadbeefdead"
#define ARP_ANSWER_FRAME                                                                           \
    "021122334402 021122334401 0806"                                                               \
    "0001 0800 06 04 0002 021122334401 0a000001 021122334402 0a000002"                             \
    "000000000000000000000000000000000000"
/* Echo request, identifier 0x1234, sequence 1, "keel" (padding behind). */
#define ECHO_REQUEST_FRAME                                                                         \
    "021122334401 021122334402 0800"                                                               \
    "4500 0020 0007 0000 40 01 66d4 0a000002 0a000001"                                             \
    "08 00 14f9 1234 0001 6b65656c"                                                                \
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define ECHO_ANSWER_FRAME                                                                          \
    "021122334402 021122334401 0800"                                                               \
    "4500 0020 0000 4000 40 01 26db 0a000001 0a000002"                                             \
    "00 00 1cf9 1234 0001 6b65656c"                                                                \
    "0000000000000000000000000000"
/* 10.0.0.2:4000 -> 10.0.0.1:7000, "hello". */
#define UDP_FRAME                                                                                  \
    "021122334401 021122334402 0800"                                                               \
    "4500 0021 0007 0000 40 11 66c3 0a000002 0a000001"                                             \
    "0fa0 1b58 000d 7d07 68656c6c6f"

static bool same(const struct port_frame *frame, const char *hex)
{
    struct port_frame wanted = frames_hex(hex);
    bool equal = wanted.size == frame->size && memcmp(wanted.data, frame->data, wanted.size) == 0;
    frames_free(&wanted);
    return equal;
}

static enum frame_drop verdict_hex(struct frame_host *host, const char *hex)
{
    struct port_frame frame = frames_hex(hex);
    enum frame_drop drop = frames_verdict(host, &frame, 1000);
    frames_free(&frame);
    return drop;
}

static void test_arp_answer(void)
{
    struct frame_host *host = frames_host();
    struct frame_datagram datagram;
    struct port_frame frame = frames_hex(ARP_REQUEST_FRAME);
    bool reply = false;
    CU_ASSERT_EQUAL(frame_receive(host, &frame, 0, &datagram, &reply), FRAME_TAKEN);
    CU_ASSERT(reply);
    CU_ASSERT(same(&frame, ARP_ANSWER_FRAME)); /* no byte of the request is left in the padding */
    frames_free(&frame);

    /* Without padding (veth carries such), the answer has none either. */
    frame = frames_hex(ARP_REQUEST_FRAME);
    frame.size = 42;
    CU_ASSERT_EQUAL(frame_receive(host, &frame, 0, &datagram, &reply), FRAME_TAKEN);
    CU_ASSERT(reply && frame.size == 42);
    frames_free(&frame);

    /* A probe (RFC 5227: the sender has no address yet) is answered. */
    CU_ASSERT_EQUAL(verdict_hex(host, "ffffffffffff 021122334402 0806 0001 0800 0604 0001"
                                      "021122334402 00000000 000000000000 0a000001"),
                    FRAME_TAKEN);
    /* For another host: not answered. */
    CU_ASSERT_EQUAL(verdict_hex(host, "ffffffffffff 021122334402 0806 0001 0800 0604 0001"
                                      "021122334402 0a000002 000000000000 0a000003"),
                    FRAME_OTHER_IP);
    frames_host_free(host);
}

static void test_arp_bad(void)
{
    struct frame_host *host = frames_host();
    struct port_frame good = frames_hex(ARP_REQUEST_FRAME);
    static const struct {
        uint32_t offset;
        uint8_t value;
        enum frame_drop drop;
    } cases[] = {
        {15, 2, FRAME_BAD_ARP},                                    /* hardware: not Ethernet */
        {16, 9, FRAME_BAD_ARP},                                    /* protocol: not IPv4 */
        {18, 8, FRAME_BAD_ARP},                                    /* sizes */
        {19, 16, FRAME_BAD_ARP},        {21, 0, FRAME_BAD_ARP},    /* operation */
        {21, 3, FRAME_BAD_ARP},         {22, 0x03, FRAME_BAD_ARP}, /* sender's MAC is a group */
        {28, 0xe0, FRAME_BAD_ARP}, /* sender's address is a group, loopback, broadcast */
        {28, 0x7f, FRAME_BAD_ARP},      {28, 0xff, FRAME_BAD_ARP},
        {27, 0x01, FRAME_BAD_SOURCE},   /* our own MAC */
        {31, 0x01, FRAME_ARP_CONFLICT}, /* our own address */
        {0, 0x01, FRAME_OTHER_MAC},     /* a multicast frame */
        {0, 0x02, FRAME_OTHER_MAC},     /* to another host */
        {6, 0x03, FRAME_BAD_SOURCE},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint8_t kept = good.data[cases[i].offset];
        good.data[cases[i].offset] = cases[i].value;
        CU_ASSERT_EQUAL(frames_verdict(host, &good, 0), cases[i].drop);
        good.data[cases[i].offset] = kept;
    }
    CU_ASSERT_EQUAL(frames_verdict(host, &good, 0), FRAME_TAKEN);
    for (good.size = 0; good.size < 42; good.size++)
        CU_ASSERT_EQUAL(frames_verdict(host, &good, 0), FRAME_SHORT);
    frames_free(&good);
    frames_host_free(host);
}

static void test_echo(void)
{
    struct frame_host *host = frames_host();
    struct frame_datagram datagram;
    bool reply = false;
    struct port_frame frame = frames_hex(ECHO_REQUEST_FRAME);
    CU_ASSERT_EQUAL(frame_receive(host, &frame, 0, &datagram, &reply), FRAME_TAKEN);
    CU_ASSERT(reply);
    CU_ASSERT(same(&frame, ECHO_ANSWER_FRAME));
    frames_free(&frame);

    /* With options (one NOP word): answered without them, no larger than what came. */
    uint8_t data[PORT_FRAME_MAX];
    struct port_frame plain = frames_hex(ECHO_REQUEST_FRAME);
    memcpy(data, plain.data, 34);
    memset(data + 34, 1, 4);
    memcpy(data + 38, plain.data + 34, 12);
    data[14] = 0x46;
    data[17] = 0x24;
    data[24] = data[25] = 0;
    uint16_t sum = frames_sum(data + 14, 24, 0);
    frame_put16(data + 24, sum);
    frame = frames_copy(data, 50);
    reply = false;
    CU_ASSERT_EQUAL(frame_receive(host, &frame, 0, &datagram, &reply), FRAME_TAKEN);
    CU_ASSERT(reply && frame.size == 50);
    struct port_frame wanted = frames_hex(ECHO_ANSWER_FRAME);
    CU_ASSERT(memcmp(frame.data, wanted.data, 46) == 0);
    CU_ASSERT(frame_get32(frame.data + 46) == 0);
    frames_free(&frame);
    frames_free(&wanted);

    /* An answer, another code, a wrong checksum, a group as destination: none is answered. */
    plain.data[34] = 0;
    frames_seal(&plain);
    CU_ASSERT_EQUAL(frames_verdict(host, &plain, 0), FRAME_OTHER_PROTOCOL);
    plain.data[34] = 8;
    plain.data[35] = 1;
    frames_seal(&plain);
    CU_ASSERT_EQUAL(frames_verdict(host, &plain, 0), FRAME_OTHER_PROTOCOL);
    plain.data[35] = 0;
    frames_seal(&plain);
    plain.data[36] ^= 1;
    CU_ASSERT_EQUAL(frames_verdict(host, &plain, 0), FRAME_OTHER_PROTOCOL);
    memcpy(plain.data, (uint8_t[6]){1, 0, 0x5e, 1, 2, 3}, 6);
    frame_put32(plain.data + 30, 0xef010203);
    frames_seal(&plain);
    CU_ASSERT_EQUAL(frames_verdict(host, &plain, 0), FRAME_OTHER_PROTOCOL);
    frames_free(&plain);
    frames_host_free(host);
}

static void test_udp(void)
{
    struct frame_host *host = frames_host();
    struct frame_datagram datagram = {0};
    bool reply = true;
    struct port_frame frame = frames_hex(UDP_FRAME);
    CU_ASSERT_EQUAL(frame_receive(host, &frame, 0, &datagram, &reply), FRAME_OK);
    CU_ASSERT(!reply && !datagram.to_multicast);
    CU_ASSERT(datagram.from.ip == PEER_IP && datagram.from.port == 4000);
    CU_ASSERT(memcmp(datagram.from.mac, peer_mac, 6) == 0 && datagram.to_port == 7000);
    CU_ASSERT(datagram.size == 5 && memcmp(datagram.payload, "hello", 5) == 0);
    CU_ASSERT(datagram.payload == frame.data + FRAME_HEADS_SIZE);

    /* No checksum: accepted and counted (RFC 768). */
    CU_ASSERT_EQUAL(frame_drops(host)[FRAME_NO_CHECKSUM], 0);
    frame_put16(frame.data + 40, 0);
    CU_ASSERT_EQUAL(frames_verdict(host, &frame, 0), FRAME_OK);
    CU_ASSERT_EQUAL(frame_drops(host)[FRAME_NO_CHECKSUM], 1);
    CU_ASSERT_EQUAL(frame_drops(host)[FRAME_OK], 2);

    /* A device that has verified both sums is believed, each for its own. */
    frame_put16(frame.data + 40, 0x1234);
    CU_ASSERT_EQUAL(frames_verdict(host, &frame, 0), FRAME_UDP_CHECKSUM);
    frame.flags = PORT_RX_IP_GOOD;
    CU_ASSERT_EQUAL(frames_verdict(host, &frame, 0), FRAME_UDP_CHECKSUM);
    frame.flags = PORT_RX_UDP_GOOD;
    CU_ASSERT_EQUAL(frames_verdict(host, &frame, 0), FRAME_OK);
    frame.data[24] ^= 1;
    CU_ASSERT_EQUAL(frames_verdict(host, &frame, 0), FRAME_IP_CHECKSUM);
    frame.flags = PORT_RX_UDP_GOOD | PORT_RX_IP_GOOD;
    CU_ASSERT_EQUAL(frames_verdict(host, &frame, 0), FRAME_OK);

    frame.flags |= PORT_RX_UNFIT;
    CU_ASSERT_EQUAL(frames_verdict(host, &frame, 0), FRAME_UNFIT);
    frame.flags = PORT_RX_UDP_GOOD | PORT_RX_IP_GOOD | PORT_RX_TAGGED;
    CU_ASSERT_EQUAL(frames_verdict(host, &frame, 0), FRAME_OTHER_TYPE);
    frames_free(&frame);
    frames_host_free(host);
}

static void test_udp_options(void)
{
    /* 40 bytes of IPv4 options: the payload stands behind them. */
    struct frame_host *host = frames_host();
    uint8_t data[PORT_FRAME_MAX];
    struct port_frame plain = frames_udp(64);
    memcpy(data, plain.data, 34);
    memset(data + 34, 1, 40);
    memcpy(data + 74, plain.data + 34, 72);
    data[14] = 0x4f;
    frame_put16(data + 16, 60 + 72);
    frame_put16(data + 24, 0);
    frame_put16(data + 24, frames_sum(data + 14, 60, 0));
    struct port_frame frame = frames_copy(data, 74 + 72);
    struct frame_datagram datagram;
    bool reply;
    CU_ASSERT_EQUAL(frame_receive(host, &frame, 0, &datagram, &reply), FRAME_OK);
    CU_ASSERT(datagram.payload == frame.data + 82 && datagram.size == 64);
    CU_ASSERT(datagram.payload[63] == 63);
    for (uint32_t size = 0; size < frame.size; size++) { /* cut inside the options, too */
        struct port_frame cut = {.data = frame.data, .size = size};
        CU_ASSERT_EQUAL(frames_verdict(host, &cut, 0), size < 34 ? FRAME_SHORT : FRAME_BAD_IPV4);
    }
    frames_free(&frame);
    frames_free(&plain);
    frames_host_free(host);
}

/* One field of a good UDP frame is changed, and the checksums made right again. */
static void test_udp_fields(void)
{
    static const struct {
        uint32_t offset, size, value;
        enum frame_drop drop;
    } cases[] = {
        {0, 1, 0x04, FRAME_OTHER_MAC},         {0, 4, 0xffffffff, FRAME_OTHER_IP},
        {6, 1, 0x01, FRAME_BAD_SOURCE},        {11, 1, 0x01, FRAME_BAD_SOURCE},
        {12, 2, 0x86dd, FRAME_OTHER_TYPE},     {12, 2, 0x8100, FRAME_OTHER_TYPE},
        {12, 2, 0x88a8, FRAME_OTHER_TYPE},     {12, 2, 60, FRAME_OTHER_TYPE},
        {14, 1, 0x65, FRAME_BAD_IPV4},         {14, 1, 0x44, FRAME_BAD_IPV4},
        {20, 2, 0x2000, FRAME_FRAGMENT},       {20, 2, 0x0001, FRAME_FRAGMENT},
        {20, 2, 0x1fff, FRAME_FRAGMENT},       {20, 2, 0x4000, FRAME_OK},
        {23, 1, 6, FRAME_OTHER_PROTOCOL},      {23, 1, 2, FRAME_OTHER_PROTOCOL},
        {26, 4, 0, FRAME_BAD_SOURCE},          {26, 4, 0xffffffff, FRAME_BAD_SOURCE},
        {26, 4, 0xe0000001, FRAME_BAD_SOURCE}, {26, 4, 0x7f000001, FRAME_BAD_SOURCE},
        {26, 4, OWN_IP, FRAME_BAD_SOURCE},     {26, 4, 0x0a0000ff, FRAME_BAD_SOURCE},
        {26, 4, 0x0a000000, FRAME_BAD_SOURCE}, {26, 4, 0x08080808, FRAME_OK},
        {30, 4, 0x0a000003, FRAME_OTHER_IP},   {30, 4, 0x0a0000ff, FRAME_OTHER_IP},
        {30, 4, 0xffffffff, FRAME_OTHER_IP},   {30, 4, 0xe0000001, FRAME_OTHER_IP},
        {34, 2, 0, FRAME_BAD_SOURCE},          {36, 2, 7001, FRAME_OK},
        {36, 2, 7002, FRAME_OTHER_PORT},       {36, 2, 0, FRAME_OTHER_PORT},
    };
    struct frame_host *host = frames_host();
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct port_frame frame = frames_udp(100);
        for (uint32_t byte = 0; byte < cases[i].size; byte++)
            frame.data[cases[i].offset + byte] =
                (uint8_t)(cases[i].value >> 8 * (cases[i].size - 1 - byte));
        frames_seal(&frame);
        uint64_t before = frame_drops(host)[cases[i].drop];
        enum frame_drop drop = frames_verdict(host, &frame, 0);
        CU_ASSERT_EQUAL(drop, cases[i].drop);
        CU_ASSERT_EQUAL(frame_drops(host)[cases[i].drop], before + 1);
        frames_free(&frame);
    }
    /* A source MAC of zeros; this host's address in a frame for all (RFC 1122 section 3.3.6). */
    struct port_frame frame = frames_udp(0);
    memset(frame.data, 0xff, 6);
    CU_ASSERT_EQUAL(frames_verdict(host, &frame, 0), FRAME_OTHER_MAC);
    memcpy(frame.data, own_mac, 6);
    memset(frame.data + 6, 0, 6);
    CU_ASSERT_EQUAL(frames_verdict(host, &frame, 0), FRAME_BAD_SOURCE);
    frames_free(&frame);
    frames_host_free(host);
}

static void test_udp_lengths(void)
{
    struct frame_host *host = frames_host();
    struct port_frame frame = frames_udp(30);
    /* Cut at every length: never accepted. */
    for (uint32_t size = 0; size < frame.size; size++) {
        struct port_frame cut = {.data = frame.data, .size = size};
        CU_ASSERT_EQUAL(frames_verdict(host, &cut, 0), size < 34 ? FRAME_SHORT : FRAME_BAD_IPV4);
    }
    /* Every IPv4 total length but its own; every UDP length but its own. */
    for (uint32_t total = 0; total < 65536; total++) {
        frame_put16(frame.data + 16, (uint16_t)total);
        frame_put16(frame.data + 24, 0);
        frame_put16(frame.data + 24, frames_sum(frame.data + 14, 20, 0));
        enum frame_drop drop = total == 58                ? FRAME_OK
                               : total < 20 || total > 58 ? FRAME_BAD_IPV4
                                                          : FRAME_BAD_UDP;
        CU_ASSERT_EQUAL(frames_verdict(host, &frame, 0), drop);
    }
    frame_put16(frame.data + 16, 58);
    frames_seal(&frame);
    for (uint32_t size = 0; size < 65536; size++) {
        frame_put16(frame.data + 38, (uint16_t)size);
        CU_ASSERT_EQUAL(frames_verdict(host, &frame, 0), size == 38 ? FRAME_OK : FRAME_BAD_UDP);
    }
    frames_free(&frame);

    /* The largest is taken, one byte more is not; what stands behind the IPv4 length is padding. */
    frame = frames_udp(FRAME_PAYLOAD_MAX);
    CU_ASSERT_EQUAL(frames_verdict(host, &frame, 0), FRAME_OK);
    frames_free(&frame);
    uint8_t data[PORT_FRAME_MAX + 1] = {0};
    struct port_frame small = frames_udp(1);
    memcpy(data, small.data, small.size);
    frame = frames_copy(data, PORT_FRAME_MAX + 1);
    CU_ASSERT_EQUAL(frames_verdict(host, &frame, 0), FRAME_UNFIT);
    frame.size = PORT_FRAME_MAX;
    struct frame_datagram datagram;
    bool reply;
    CU_ASSERT_EQUAL(frame_receive(host, &frame, 0, &datagram, &reply), FRAME_OK);
    CU_ASSERT_EQUAL(datagram.size, 1);
    frames_free(&frame);
    frames_free(&small);
    frames_host_free(host);
}

/* Any one bit flipped: never accepted with another sender's address, port or content. The Ethernet
 * addresses and what IPv4 and UDP do not sum cannot be told. */
static void test_udp_flips(void)
{
    struct frame_host *host = frames_host();
    for (uint32_t size = 0; size < 80; size += 13) {
        struct port_frame good = frames_udp(size);
        for (uint32_t bit = 0; bit < good.size * 8; bit++) {
            struct port_frame frame = frames_copy(good.data, good.size);
            struct frame_datagram datagram;
            bool reply;
            frame.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
            if (frame_receive(host, &frame, 0, &datagram, &reply) == FRAME_OK) {
                CU_ASSERT(bit / 8 >= 6 && bit / 8 < 12); /* the sender's MAC address only */
                CU_ASSERT(datagram.from.ip == PEER_IP && datagram.from.port == PEER_PORT);
                CU_ASSERT(datagram.to_port == OWN_PORT && datagram.size == size);
                CU_ASSERT(memcmp(datagram.payload, good.data + 42, size) == 0);
            }
            frames_free(&frame);
        }
        frames_free(&good);
    }
    frames_host_free(host);
}

static void test_multicast(void)
{
    uint8_t mac[6];
    frame_multicast_mac(0xef010203, mac); /* 239.1.2.3 */
    CU_ASSERT(memcmp(mac, (uint8_t[6]){1, 0, 0x5e, 1, 2, 3}, 6) == 0);
    frame_multicast_mac(0xe0ffffff, mac); /* 224.255.255.255: only 23 bits go over */
    CU_ASSERT(memcmp(mac, (uint8_t[6]){1, 0, 0x5e, 0x7f, 0xff, 0xff}, 6) == 0);

    struct frame_host *host = frames_host();
    struct frame_datagram datagram;
    bool reply;
    struct port_frame frame = frames_udp(10);
    memcpy(frame.data, (uint8_t[6]){1, 0, 0x5e, 1, 2, 3}, 6);
    frame_put32(frame.data + 30, 0xef010203);
    frames_seal(&frame);
    CU_ASSERT_EQUAL(frame_receive(host, &frame, 0, &datagram, &reply), FRAME_OK);
    CU_ASSERT(datagram.to_multicast);
    /* A group in a frame for another group, or for this host alone; this host in a group's frame.
     */
    frame.data[5] = 4;
    CU_ASSERT_EQUAL(frames_verdict(host, &frame, 0), FRAME_OTHER_IP);
    memcpy(frame.data, own_mac, 6);
    CU_ASSERT_EQUAL(frames_verdict(host, &frame, 0), FRAME_OTHER_IP);
    memcpy(frame.data, (uint8_t[6]){1, 0, 0x5e, 0, 0, 1}, 6);
    frame_put32(frame.data + 30, OWN_IP);
    frames_seal(&frame);
    CU_ASSERT_EQUAL(frames_verdict(host, &frame, 0), FRAME_OTHER_IP);
    frames_free(&frame);
    frames_host_free(host);
}

static void test_build(void)
{
    struct frame_host *host = frames_host();
    struct frame_address to = {.ip = PEER_IP, .port = 4000};
    memcpy(to.mac, peer_mac, 6);
    struct port_frame frame = frames_room(0xee);
    memcpy(frame.data + FRAME_HEADS_SIZE, "hello", 5);
    CU_ASSERT_EQUAL(frame_finish(host, &frame, &to, 7000, 5, 0), FRAME_OK);
    CU_ASSERT(same(&frame, "021122334402 021122334401 0800"
                           "4500 0021 0000 4000 40 11 26ca 0a000001 0a000002"
                           "1b58 0fa0 000d 7d07 68656c6c6f 00000000000000000000000000"));
    CU_ASSERT_EQUAL(frame.data[frame.size], 0xee);

    /* A group: its MAC by rule, a longer way to live, whatever MAC was given. */
    to.ip = 0xef8a0203;
    frame_build(&frame, own_mac, OWN_IP, &to, 7000, 5, false);
    CU_ASSERT(memcmp(frame.data, (uint8_t[6]){1, 0, 0x5e, 0x0a, 2, 3}, 6) == 0);
    CU_ASSERT_EQUAL(frame.data[22], FRAME_MULTICAST_TTL);

    /* A device that sums: 0 in the IPv4 field, the pseudo-header's sum in the UDP field. */
    to.ip = PEER_IP;
    frame_build(&frame, own_mac, OWN_IP, &to, 7000, 5, true);
    CU_ASSERT_EQUAL(frame.flags, PORT_TX_CHECKSUM);
    CU_ASSERT_EQUAL(frame_get16(frame.data + 24), 0);
    CU_ASSERT_EQUAL(
        frame_get16(frame.data + 40),
        (uint16_t)~frames_sum((uint8_t[12]){10, 0, 0, 1, 10, 0, 0, 2, 0, 17, 0, 13}, 12, 0));
    frames_free(&frame);
    frames_host_free(host);
}

/* What one host builds another takes, at every size and with every sum; a computed 0 goes as
 * 0xffff. */
static void test_build_and_receive(void)
{
    struct frame_host *host = frames_host();
    uint8_t from_mac[6];
    uint32_t ones = 0;
    memcpy(from_mac, peer_mac, 6);
    struct frame_address to = {.ip = OWN_IP, .port = OWN_PORT};
    memcpy(to.mac, own_mac, 6);
    for (uint32_t round = 0; round < 65536 + FRAME_PAYLOAD_MAX; round++) {
        uint32_t size = round < 65536 ? 2 : round - 65536;
        struct port_frame frame = frames_room((uint8_t)round);
        if (round < 65536)
            frame_put16(frame.data + FRAME_HEADS_SIZE, (uint16_t)round);
        struct port_frame sent = frames_copy(frame.data, PORT_FRAME_MAX);
        frame_build(&frame, from_mac, PEER_IP, &to, PEER_PORT, size, false);
        struct frame_datagram datagram;
        bool reply;
        struct port_frame copy = frames_copy(frame.data, frame.size);
        CU_ASSERT_EQUAL(frame_receive(host, &copy, 0, &datagram, &reply), FRAME_OK);
        CU_ASSERT(datagram.size == size);
        CU_ASSERT(memcmp(datagram.payload, sent.data + FRAME_HEADS_SIZE, size) == 0);
        CU_ASSERT(frame.size == (size < 18 ? 60 : 42 + size));
        ones += frame_get16(frame.data + 40) == 0xffff;
        frames_free(&copy);
        frames_free(&sent);
        frames_free(&frame);
    }
    CU_ASSERT(ones >= 1);
    CU_ASSERT_EQUAL(frame_drops(host)[FRAME_NO_CHECKSUM], 0);
    frames_host_free(host);
}

static void test_sum(void)
{
    uint8_t data[200];
    uint64_t random = 5;
    for (uint32_t round = 0; round < 20000; round++) {
        uint32_t size = round % 200, at = round / 200 % 8;
        size = size > at ? size - at : 0;
        for (uint32_t i = 0; i < sizeof(data); i++) {
            random = random * 6364136223846793005u + 1442695040888963407u;
            data[i] = round % 3 == 0 ? 0xff : (uint8_t)(random >> 56);
        }
        uint16_t fast = frame_sum_fold(frame_sum(0, data + at, size));
        uint8_t stored[2];
        memcpy(stored, &fast, 2);
        CU_ASSERT_EQUAL(frame_get16(stored), frames_sum(data + at, size, 0));
    }
}

static void test_limits(void)
{
    struct frame_host *host = frames_host();
    struct port_frame echo = frames_hex(ECHO_REQUEST_FRAME);
    uint32_t answered = 0;
    for (int i = 0; i < 1000; i++)
        answered += frames_verdict(host, &echo, 5000) == FRAME_TAKEN;
    CU_ASSERT_EQUAL(answered, FRAME_ANSWERS_BURST);
    CU_ASSERT_EQUAL(frame_drops(host)[FRAME_ECHO_LIMIT], 1000 - FRAME_ANSWERS_BURST);
    /* Over ten seconds of a flood: the rate, whatever the pattern. */
    answered = 0;
    for (uint64_t ms = 6000; ms < 16000; ms++)
        answered += frames_verdict(host, &echo, ms) == FRAME_TAKEN;
    CU_ASSERT(answered >= 10 * FRAME_ANSWERS_PER_S - 1);
    CU_ASSERT(answered <= 10 * FRAME_ANSWERS_PER_S + FRAME_ANSWERS_BURST);
    /* Another source is not touched by it. */
    frame_put32(echo.data + 26, 0x0a000007);
    frames_seal(&echo);
    CU_ASSERT_EQUAL(frames_verdict(host, &echo, 16000), FRAME_TAKEN);
    frames_free(&echo);

    struct port_frame arp = frames_hex(ARP_REQUEST_FRAME);
    answered = 0;
    for (int i = 0; i < 1000; i++)
        answered += frames_verdict(host, &arp, 5000) == FRAME_TAKEN;
    CU_ASSERT_EQUAL(answered, FRAME_ANSWERS_BURST);
    CU_ASSERT_EQUAL(frame_drops(host)[FRAME_ARP_LIMIT], 1000 - FRAME_ANSWERS_BURST);
    frames_free(&arp);
    frames_host_free(host);
}

static void test_names(void)
{
    for (int a = 0; a < FRAME_DROP_COUNT; a++)
        for (int b = 0; b < a; b++)
            CU_ASSERT(strcmp(frame_drop_name((enum frame_drop)a),
                             frame_drop_name((enum frame_drop)b)) != 0);
}

/* As many ports as there is room for: the list then ends without a 0. */
static void test_all_ports(void)
{
    struct frame_options options = {.ip = OWN_IP, .prefix = 24};
    memcpy(options.mac, own_mac, 6);
    for (uint16_t i = 0; i < FRAME_PORTS_MAX; i++)
        options.ports[i] = (uint16_t)(OWN_PORT + i);
    struct frame_host *host = frame_host_init(malloc(frame_host_size()), &options);
    for (uint32_t i = 0; i <= FRAME_PORTS_MAX; i++) {
        struct port_frame frame = frames_udp(5);
        uint16_t port = __builtin_bswap16((uint16_t)(OWN_PORT + i));
        memcpy(frame.data + 36, &port, 2);
        frames_seal(&frame);
        CU_ASSERT_EQUAL(frames_verdict(host, &frame, 1000),
                        i < FRAME_PORTS_MAX ? FRAME_OK : FRAME_OTHER_PORT);
        frames_free(&frame);
    }
    frames_host_free(host);
}

int main(void)
{
    static const struct unit_test tests[] = {
        {"an ARP request is answered, without a byte of it left", test_arp_answer},
        {"bad ARP packets", test_arp_bad},
        {"ICMP echo, with and without options", test_echo},
        {"UDP, with and without a checksum", test_udp},
        {"UDP behind IPv4 options", test_udp_options},
        {"UDP: each field wrong", test_udp_fields},
        {"UDP: each length wrong, each cut", test_udp_lengths},
        {"UDP: each bit flipped is never another datagram", test_udp_flips},
        {"multicast groups", test_multicast},
        {"built frames, byte by byte", test_build},
        {"what one host builds another takes", test_build_and_receive},
        {"the fast sum is RFC 1071's", test_sum},
        {"answers are limited for each source", test_limits},
        {"each counter has a name of its own", test_names},
        {"as many ports as there is room for", test_all_ports},
        {0}};
    return unit_main("frame", tests);
}
