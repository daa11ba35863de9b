/* Seeded mutations of good frames: whatever comes, a host stays within the frame's bytes (the
 * address sanitizer watches), answers with no more than came, and delivers only what passes an
 * independent, slow check of RFC 791 and 768.
 */
#include "dataplane/frame.h"
#include "dataplane/frame_bytes.h"
#include "tests/unit/dataplane/frames.h"
#include "tests/unit/unit.h"

#include <stdlib.h>
#include <string.h>

enum { SEEDS = 40, ROUNDS = 5000, KINDS = 5 };

static uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static uint32_t below(uint64_t *state, uint32_t limit)
{
    return (uint32_t)(next_random(state) % limit);
}

static struct port_frame good_frame(uint64_t *random)
{
    switch (below(random, KINDS)) {
    case 0:
        return frames_hex("ffffffffffff 021122334402 0806 0001 0800 0604 0001"
                          "021122334402 0a000002 000000000000 0a000001"
                          "000000000000000000000000000000000000");
    case 1:
        return frames_hex("021122334401 021122334402 0806 0001 0800 0604 0002"
                          "021122334402 0a000002 021122334401 0a000001");
    case 2: {
        struct port_frame frame = frames_udp(8 + below(random, 64));
        frame.data[23] = 1;
        frame.data[34] = 8;
        frame.data[35] = 0;
        frames_seal(&frame);
        return frame;
    }
    default:
        return frames_udp(below(random, FRAME_PAYLOAD_MAX + 1));
    }
}

/* Interesting values, flips, noise, another length; often sealed again, so that it gets further in.
 */
static void mutate(struct port_frame *frame, uint64_t *random)
{
    static const uint8_t values[] = {0, 1, 0x7f, 0x80, 0xfe, 0xff, 0x45, 0x46, 0x4f, 17, 28};
    uint32_t changes = below(random, 4);
    uint32_t heads = frame->size < 50 ? frame->size : 50;
    for (uint32_t i = 0; i < changes; i++) {
        uint32_t at = below(random, 3) == 0 ? below(random, frame->size) : below(random, heads);
        switch (below(random, 3)) {
        case 0:
            frame->data[at] ^= (uint8_t)(1 << below(random, 8));
            break;
        case 1:
            frame->data[at] = values[below(random, sizeof(values))];
            break;
        default:
            frame->data[at] = (uint8_t)next_random(random);
            break;
        }
    }
    uint32_t total = frame_get16(frame->data + 16);
    if (below(random, 2) == 0 && frame_get16(frame->data + 12) == 0x0800 && total >= 28 &&
        total + 14 <= frame->size)
        frames_seal(frame);
    if (below(random, 4) == 0) {
        uint32_t size = below(random, frame->size + 40);
        struct port_frame other = frames_room((uint8_t)next_random(random));
        memcpy(other.data, frame->data, frame->size);
        struct port_frame cut = frames_copy(other.data, size < PORT_FRAME_MAX ? size : frame->size);
        frames_free(&other);
        frames_free(frame);
        *frame = cut;
    }
}

/* What a delivered datagram must have been, said again from the bytes. */
static bool is_right(const struct port_frame *sent, const struct frame_datagram *datagram)
{
    const uint8_t *ip = sent->data + 14;
    uint32_t head = (ip[0] & 15u) * 4, total = frame_get16(ip + 2);
    const uint8_t *udp = ip + head;
    if (ip[0] >> 4 != 4 || head < 20 || 14 + total > sent->size || total < head + 8)
        return false;
    if (frames_sum(ip, head, 0) != 0 || ip[9] != 17 || (frame_get16(ip + 6) & 0x3fff) != 0)
        return false;
    uint32_t pseudo = 17 + total - head;
    for (int i = 12; i < 20; i += 2)
        pseudo += frame_get16(ip + i);
    if (frame_get16(udp + 6) != 0 && frames_sum(udp, total - head, pseudo) != 0)
        return false;
    uint32_t to = frame_get32(ip + 16);
    if (datagram->to_multicast ? to >> 28 != 14 : to != OWN_IP)
        return false;
    return datagram->size == total - head - 8 && datagram->from.port == frame_get16(udp) &&
           datagram->from.port != 0 && datagram->from.ip == frame_get32(ip + 12) &&
           datagram->to_port == frame_get16(udp + 2) &&
           (datagram->to_port == OWN_PORT || datagram->to_port == OWN_PORT + 1);
}

struct tally {
    uint64_t verdicts[FRAME_DROP_COUNT];
    uint64_t replies;
};

static void one_frame(struct frame_host *host, uint64_t *random, uint64_t now_ms,
                      struct tally *tally)
{
    struct port_frame frame = good_frame(random);
    mutate(&frame, random);
    struct port_frame sent = frames_copy(frame.data, frame.size);
    struct frame_datagram datagram;
    bool reply = true;
    enum frame_drop drop = frame_receive(host, &frame, now_ms, &datagram, &reply);
    tally->verdicts[drop]++;
    if (drop == FRAME_OK) {
        CU_ASSERT_FATAL(is_right(&sent, &datagram));
        CU_ASSERT_FATAL(datagram.payload >= frame.data &&
                        datagram.payload + datagram.size <= frame.data + frame.size);
    }
    CU_ASSERT_FATAL(!reply || drop == FRAME_TAKEN);
    if (reply) {
        tally->replies++;
        CU_ASSERT_FATAL(frame.size <= sent.size);
        CU_ASSERT_FATAL(memcmp(frame.data + 6, own_mac, 6) == 0);
        CU_ASSERT_FATAL((frame.data[0] & 1) == 0);
    } else {
        CU_ASSERT_FATAL(frame.size == sent.size);
        CU_ASSERT_FATAL(memcmp(frame.data, sent.data, sent.size) == 0);
    }
    frames_free(&sent);
    frames_free(&frame);
}

static void test_mutations(void)
{
    struct tally tally = {0};
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct frame_host *host = frames_host();
        struct port_frame due = frames_room(0);
        uint64_t random = seed * 0x9e3779b97f4a7c15, now_ms = 0;
        uint8_t mac[6];
        for (int round = 0; round < ROUNDS; round++) {
            now_ms += below(&random, 100);
            one_frame(host, &random, now_ms, &tally);
            if (below(&random, 10) == 0)
                frame_resolve(host, PEER_IP + below(&random, 3), mac, now_ms);
            if (frame_arp_pending(host, now_ms) && frame_arp_due(host, &due, now_ms))
                CU_ASSERT_FATAL(due.size == FRAME_SIZE_MIN);
        }
        uint64_t counted = 0;
        for (int drop = 0; drop < FRAME_DROP_COUNT; drop++)
            if (drop != FRAME_NO_CHECKSUM && drop != FRAME_UNRESOLVED)
                counted += frame_drops(host)[drop];
        CU_ASSERT_EQUAL(counted, ROUNDS); /* each frame is counted once */
        frames_free(&due);
        frames_host_free(host);
    }
    /* A generator that never makes the bad input shows nothing: every verdict was reached. */
    for (int drop = 0; drop < FRAME_DROP_COUNT; drop++) {
        bool not_here = drop == FRAME_UNFIT || drop == FRAME_NO_CHECKSUM ||
                        drop == FRAME_UNRESOLVED || drop == FRAME_ECHO_LIMIT ||
                        drop == FRAME_ARP_LIMIT;
        CU_ASSERT(not_here || tally.verdicts[drop] > 0);
        if (!not_here && tally.verdicts[drop] == 0)
            printf("# never: %s\n", frame_drop_name((enum frame_drop)drop));
    }
    CU_ASSERT(tally.replies > 1000 && tally.verdicts[FRAME_OK] > 1000);
}

static void test_noise(void)
{
    /* Nothing but noise, of every length. */
    struct frame_host *host = frames_host();
    uint64_t random = 77;
    for (uint32_t round = 0; round < 20000; round++) {
        uint8_t data[PORT_FRAME_MAX];
        uint32_t size = round % (PORT_FRAME_MAX + 1);
        for (uint32_t i = 0; i < size; i += 8) {
            uint64_t noise = next_random(&random);
            memcpy(data + i, &noise, size - i < 8 ? size - i : 8);
        }
        struct port_frame frame = {.data = data, .size = size};
        enum frame_drop drop = frames_verdict(host, &frame, 0);
        CU_ASSERT(drop != FRAME_OK && drop != FRAME_TAKEN);
    }
    frames_host_free(host);
}

int main(void)
{
    static const struct unit_test tests[] = {
        {"mutated frames", test_mutations}, {"noise", test_noise}, {0}};
    return unit_main("frame_fuzz", tests);
}
