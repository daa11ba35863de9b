#include "tests/unit/unit.h"
#include "tests/wire/wire.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

enum { PORTS = 1 << 1 | 1 << 2 | 1 << 3, HEADS = 42, MS = 1000000 };

/* An Ethernet frame of UDP from host `from` to host `to` (0: to all), with a number inside. */
static uint32_t make(uint8_t *frame, uint32_t from, uint32_t to, uint32_t number, uint32_t size)
{
    memset(frame, 0, size);
    if (to == 0)
        memset(frame, 0xff, 6);
    else
        memcpy(frame, (uint8_t[]){2, 0, 0, 0, 0, (uint8_t)to}, 6);
    memcpy(frame + 6, (uint8_t[]){2, 0, 0, 0, 0, (uint8_t)from}, 6);
    frame[12] = 0x08;
    uint8_t *ip = frame + 14;
    ip[0] = 0x45;
    ip[2] = (uint8_t)((size - 14) >> 8);
    ip[3] = (uint8_t)(size - 14);
    ip[8] = 64;
    ip[9] = 17;
    memcpy(ip + 12, (uint8_t[]){10, 77, 0, (uint8_t)from, 10, 77, 0, (uint8_t)to}, 8);
    uint16_t port = htons(WIRE_SEALED_PORT), length = htons((uint16_t)(size - 34));
    memcpy(ip + 20, &port, 2);
    memcpy(ip + 22, &port, 2);
    memcpy(ip + 24, &length, 2);
    memcpy(frame + HEADS, &number, sizeof(number));
    return size;
}

static uint32_t number_of(const struct wire_out *out)
{
    uint32_t number;
    memcpy(&number, out->bytes + HEADS, sizeof(number));
    return number;
}

static void come(struct wire *wire, uint32_t from, uint32_t to, uint32_t number, uint64_t now_ns)
{
    uint8_t frame[128];
    wire_frame(wire, from, frame, make(frame, from, to, number, sizeof(frame)), now_ns);
}

/* The switch has seen everybody. */
static struct wire *acquainted(uint64_t seed)
{
    struct wire *wire = wire_open(seed, PORTS);
    struct wire_out out;
    CU_ASSERT_FATAL(wire != NULL);
    for (uint32_t port = 1; port <= 3; port++)
        come(wire, port, 0, 0, 0);
    while (wire_take(wire, 0, &out))
        continue;
    return wire;
}

static const char *tell(struct wire *wire, const char *line, uint64_t now_ns)
{
    static char answer[4096];
    wire_command(wire, line, now_ns, answer, sizeof(answer));
    return answer;
}

static void set(struct wire *wire, const char *line, uint64_t now_ns)
{
    CU_ASSERT_STRING_EQUAL(tell(wire, line, now_ns), "ok");
}

static bool balanced(const struct wire *wire)
{
    struct wire_counts c;
    wire_totals(wire, &c);
    return c.copies + c.doubled == c.out + c.refused + c.cut + c.lost + c.full + c.waiting;
}

static void test_learns(void)
{
    struct wire *wire = wire_open(1, PORTS);
    struct wire_out out;
    struct wire_counts c;
    come(wire, 1, 2, 7, 0); /* 2 was never heard: to everybody else */
    CU_ASSERT(wire_take(wire, 0, &out) && out.to == 2 && number_of(&out) == 7);
    CU_ASSERT(wire_take(wire, 0, &out) && out.to == 3);
    CU_ASSERT(!wire_take(wire, 0, &out));
    come(wire, 2, 1, 8, 0);
    CU_ASSERT(wire_take(wire, 0, &out) && out.from == 2 && out.to == 1);
    CU_ASSERT(!wire_take(wire, 0, &out));
    come(wire, 1, 0, 9, 0);
    CU_ASSERT(wire_take(wire, 0, &out) && wire_take(wire, 0, &out) && !wire_take(wire, 0, &out));
    uint8_t frame[WIRE_FRAME_MAX + 1] = {0};
    wire_frame(wire, 1, frame, 13, 0);
    wire_frame(wire, 1, frame, WIRE_FRAME_MAX + 1, 0);
    wire_frame(wire, 1, frame, make(frame, 1, 1, 1, 64), 0); /* to itself */
    wire_totals(wire, &c);
    CU_ASSERT_EQUAL(c.in, 6);
    CU_ASSERT_EQUAL(c.alien_in, 3);
    CU_ASSERT_EQUAL(c.out, 5);
    CU_ASSERT(balanced(wire));
    wire_close(wire);
}

static void test_order(void)
{
    struct wire *wire = acquainted(2);
    struct wire_out out;
    uint32_t next = 0;
    for (uint32_t n = 0; n < 3000; n++) {
        come(wire, 1, 2, n, n * 100);
        CU_ASSERT_EQUAL(wire_next_ns(wire) <= n * 100, true);
        while (n % 7 == 0 && wire_take(wire, n * 100, &out))
            CU_ASSERT_EQUAL(number_of(&out), next++);
    }
    while (wire_take(wire, 300000, &out))
        CU_ASSERT_EQUAL(number_of(&out), next++);
    CU_ASSERT_EQUAL(next, 3000);
    CU_ASSERT_EQUAL(wire_next_ns(wire), UINT64_MAX);
    CU_ASSERT(balanced(wire));
    wire_close(wire);
}

/* Delay, jitter and a rate keep the order; what is due when is exact. */
static void test_time(void)
{
    struct wire *wire = acquainted(3);
    struct wire_out out;
    set(wire, "delay 1>2 5", 0);
    come(wire, 1, 2, 1, 10);
    CU_ASSERT_EQUAL(wire_next_ns(wire), 5 * MS + 10);
    CU_ASSERT(!wire_take(wire, 5 * MS + 9, &out));
    CU_ASSERT(wire_take(wire, 5 * MS + 10, &out));
    set(wire, "delay 1>2 1 4", 0);
    uint64_t last = 0;
    bool spread = false;
    for (uint32_t n = 0; n < 500; n++)
        come(wire, 1, 2, n, 6 * MS + n * 1000);
    for (uint32_t n = 0; n < 500; n++) {
        uint64_t due = wire_next_ns(wire);
        CU_ASSERT(due >= last && due >= 7 * MS && due <= 12 * MS);
        spread |= last != 0 && due - last > 10000;
        last = due;
        CU_ASSERT(wire_take(wire, due, &out) && number_of(&out) == n);
    }
    CU_ASSERT(spread);
    set(wire, "heal 1>2", 0);
    set(wire, "rate 1>2 1024000", 0); /* a frame of 128 bytes takes a millisecond */
    for (uint32_t n = 0; n < 3; n++)
        come(wire, 1, 2, n, 20 * MS);
    for (uint64_t n = 1; n <= 3; n++) {
        CU_ASSERT_EQUAL(wire_next_ns(wire), (20 + n) * MS);
        CU_ASSERT(wire_take(wire, (20 + n) * MS, &out));
    }
    CU_ASSERT(balanced(wire));
    wire_close(wire);
}

static uint32_t arrived(struct wire *wire, uint64_t now_ns)
{
    struct wire_out out;
    uint32_t count = 0;
    while (wire_take(wire, now_ns, &out))
        count++;
    return count;
}

static void test_cuts(void)
{
    struct wire *wire = acquainted(4);
    set(wire, "cut 1-2", 0);
    come(wire, 1, 2, 1, 1);
    come(wire, 2, 1, 1, 1);
    CU_ASSERT_EQUAL(arrived(wire, 1), 0);
    come(wire, 1, 3, 1, 2);
    CU_ASSERT_EQUAL(arrived(wire, 2), 1);
    set(wire, "join 2>1", 2);
    come(wire, 1, 2, 1, 3);
    CU_ASSERT_EQUAL(arrived(wire, 3), 0);
    come(wire, 2, 1, 1, 3);
    CU_ASSERT_EQUAL(arrived(wire, 3), 1);
    set(wire, "heal", 4);
    set(wire, "cut 3-*", 4);
    come(wire, 3, 0, 1, 5);
    come(wire, 1, 3, 1, 5);
    CU_ASSERT_EQUAL(arrived(wire, 5), 0);
    set(wire, "heal", 5);
    set(wire, "flap 1>2 2 3", MS); /* open for 2 ms of every 5 */
    uint32_t passed = 0;
    for (uint64_t t = 0; t < 20; t++) {
        come(wire, 1, 2, 1, (1 + t) * MS);
        uint32_t now = arrived(wire, (1 + t) * MS);
        CU_ASSERT_EQUAL(now, t % 5 < 2);
        passed += now;
    }
    CU_ASSERT_EQUAL(passed, 8);
    CU_ASSERT_EQUAL(wire_link_counts(wire, 1, 2)->cut, 2 + 12);
    CU_ASSERT(balanced(wire));
    wire_close(wire);
}

/* Shares come out as set, counts add up, and equal seeds decide alike. */
static void test_chances(void)
{
    enum { N = 20000 };
    static uint32_t fate[2][2 * N];
    for (int round = 0; round < 2; round++) {
        struct wire *wire = acquainted(5);
        struct wire_out out;
        uint32_t count = 0;
        set(wire, "loss 1>2 0.2", 0);
        set(wire, "double 1>2 0.1", 0);
        for (uint32_t n = 0; n < N; n++) {
            come(wire, 1, 2, n, n);
            while (wire_take(wire, n, &out))
                fate[round][count++] = number_of(&out);
        }
        const struct wire_counts *c = wire_link_counts(wire, 1, 2);
        CU_ASSERT(c->lost > N / 5 - N / 50 && c->lost < N / 5 + N / 50);
        CU_ASSERT(c->doubled > N * 8 / 100 - N / 50 && c->doubled < N * 8 / 100 + N / 50);
        CU_ASSERT_EQUAL(count, c->out - 1); /* beside port 1's greeting */
        CU_ASSERT_EQUAL(c->copies, N + 1);
        CU_ASSERT(balanced(wire));
        wire_close(wire);
    }
    CU_ASSERT_EQUAL(memcmp(fate[0], fate[1], sizeof(fate[0])), 0);
}

static void test_reorders(void)
{
    struct wire *wire = acquainted(6);
    struct wire_out out;
    uint32_t late = 0, last = 0;
    set(wire, "reorder 1-2 0.1 1", 0);
    for (uint32_t n = 0; n < 2000; n++)
        come(wire, 1, 2, n, n * 10000);
    while (wire_take(wire, 1000 * MS, &out)) {
        late += number_of(&out) < last;
        if (number_of(&out) > last)
            last = number_of(&out);
    }
    const struct wire_counts *c = wire_link_counts(wire, 1, 2);
    CU_ASSERT(late > 100 && late <= c->reordered);
    CU_ASSERT_EQUAL(c->out, c->copies);
    wire_close(wire);
}

/* RFC 1071 over what a receiver of UDP sums up; 0: right. */
static uint16_t udp_sum(const uint8_t *frame)
{
    uint32_t length = (uint32_t)frame[38] << 8 | frame[39], sum = 17 + length;
    for (uint32_t i = 26; i < 34 + length; i += 2)
        sum += (uint32_t)frame[i] << 8 | (i + 1 < 34 + length ? frame[i + 1] : 0);
    while (sum >> 16 != 0)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)~sum;
}

static void test_changes(void)
{
    struct wire *wire = acquainted(7);
    struct wire_out out;
    uint8_t sent[128];
    set(wire, "corrupt 1>2 1", 0);
    set(wire, "forge 1>3 1", 0);
    for (uint32_t n = 0; n < 500; n++) {
        make(sent, 1, 2, n, sizeof(sent));
        wire_frame(wire, 1, sent, sizeof(sent), n);
        CU_ASSERT_FATAL(wire_take(wire, n, &out) && out.size == sizeof(sent));
        uint32_t bits = 0;
        for (uint32_t i = 0; i < sizeof(sent); i++)
            bits += (uint32_t)__builtin_popcount((unsigned)(sent[i] ^ out.bytes[i]));
        CU_ASSERT_EQUAL(bits, 1);
        CU_ASSERT_EQUAL(memcmp(sent, out.bytes, 14), 0);
        make(sent, 1, 3, n, sizeof(sent));
        wire_frame(wire, 1, sent, sizeof(sent), n);
        CU_ASSERT_FATAL(wire_take(wire, n, &out) && out.size == sizeof(sent));
        CU_ASSERT_EQUAL(udp_sum(out.bytes), 0);
        CU_ASSERT_EQUAL(memcmp(sent, out.bytes, 40), 0); /* the checksum is at 40 */
        CU_ASSERT_NOT_EQUAL(memcmp(sent + HEADS, out.bytes + HEADS, sizeof(sent) - HEADS), 0);
    }
    make(sent, 1, 2, 0, sizeof(sent));
    sent[13] = 6; /* ARP */
    wire_frame(wire, 1, sent, sizeof(sent), 500);
    CU_ASSERT(wire_take(wire, 500, &out) && memcmp(sent, out.bytes, sizeof(sent)) == 0);
    make(sent, 1, 3, 0, sizeof(sent));
    sent[34] = sent[36] = 9; /* another UDP port: nobody authenticates it */
    wire_frame(wire, 1, sent, sizeof(sent), 500);
    CU_ASSERT(wire_take(wire, 500, &out) && memcmp(sent, out.bytes, sizeof(sent)) == 0);
    CU_ASSERT_EQUAL(wire_link_counts(wire, 1, 2)->corrupted, 500);
    CU_ASSERT_EQUAL(wire_link_counts(wire, 1, 3)->forged, 500);
    wire_close(wire);
}

/* A full link drops at its end and says so; a refused frame is not out. */
static void test_full(void)
{
    struct wire *wire = acquainted(8);
    struct wire_out out;
    set(wire, "delay *-* 1000", 0);
    for (uint32_t n = 0; n < WIRE_LINK_FRAMES_MAX + 10; n++)
        come(wire, 1, 2, n, 1);
    CU_ASSERT_EQUAL(wire_link_counts(wire, 1, 2)->full, 10);
    CU_ASSERT_EQUAL(wire_link_counts(wire, 1, 2)->waiting, WIRE_LINK_FRAMES_MAX);
    for (uint32_t n = 0; n < WIRE_FRAMES_MAX; n++) {
        come(wire, 2, 1, n, 1);
        come(wire, 2, 3, n, 1);
        come(wire, 3, 1, n, 1);
        come(wire, 3, 2, n, 1);
    }
    struct wire_counts c;
    wire_totals(wire, &c);
    CU_ASSERT_EQUAL(c.waiting, WIRE_FRAMES_MAX);
    CU_ASSERT(balanced(wire));
    CU_ASSERT(wire_take(wire, 1001 * (uint64_t)MS, &out));
    wire_refused(wire, &out);
    CU_ASSERT_EQUAL(arrived(wire, 1001 * (uint64_t)MS), WIRE_FRAMES_MAX - 1);
    wire_totals(wire, &c);
    CU_ASSERT_EQUAL(c.refused, 1);
    CU_ASSERT_EQUAL(c.waiting, 0);
    CU_ASSERT(balanced(wire));
    come(wire, 1, 2, 1, 1001 * (uint64_t)MS); /* all room is there again */
    CU_ASSERT_EQUAL(wire_link_counts(wire, 1, 2)->waiting, 1);
    wire_close(wire);
}

static bool refused(struct wire *wire, const char *line)
{
    return strncmp(tell(wire, line, 0), "error: ", 7) == 0;
}

static void test_commands(void)
{
    static const char *const wrong[] = {"",
                                        "storm",
                                        "cut",
                                        "cut 1",
                                        "cut 1-1",
                                        "cut 1-9",
                                        "cut 0-1",
                                        "cut 1-16",
                                        "cut 1-2 3",
                                        "cut 1<2",
                                        "loss 1-2",
                                        "loss 1-2 2",
                                        "loss 1-2 -1",
                                        "loss 1-2 nan",
                                        "loss 1-2 0.5x",
                                        "delay 1-2",
                                        "rate 1-2 -1",
                                        "flap 1-2 3",
                                        "delay 1-2 1e9",
                                        "reorder 1-2 0.1",
                                        "cut 1-2 3 4 5 6",
                                        "cut 1--2",
                                        "cut -1-2"};
    struct wire *wire = wire_open(9, PORTS);
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        CU_ASSERT(refused(wire, wrong[i]));
    char line[400];
    memset(line, 'x', sizeof(line) - 1);
    line[sizeof(line) - 1] = '\0';
    CU_ASSERT(refused(wire, line));
    set(wire, "loss *>2 0.25", 0);
    CU_ASSERT_EQUAL(wire_faults(wire, 1, 2)->loss, 250000);
    CU_ASSERT_EQUAL(wire_faults(wire, 3, 2)->loss, 250000);
    CU_ASSERT_EQUAL(wire_faults(wire, 2, 3)->loss, 0);
    set(wire, "delay 2-3 0.5 2", 0); /* beside the loss */
    CU_ASSERT_EQUAL(wire_faults(wire, 3, 2)->delay_ns, MS / 2);
    CU_ASSERT_EQUAL(wire_faults(wire, 3, 2)->jitter_ns, 2 * MS);
    CU_ASSERT_EQUAL(wire_faults(wire, 3, 2)->loss, 250000);
    set(wire, "rate 3>1 1e6", 0);
    CU_ASSERT_EQUAL(wire_faults(wire, 3, 1)->rate_bps, 1000000);
    set(wire, "heal", 0);
    CU_ASSERT_EQUAL(wire_faults(wire, 3, 2)->delay_ns, 0);
    CU_ASSERT_EQUAL(wire_faults(wire, 3, 1)->rate_bps, 0);
    come(wire, 1, 2, 0, 0);
    CU_ASSERT(strstr(tell(wire, "counts", 0), "\"in\":1,") != NULL);
    CU_ASSERT(strstr(tell(wire, "links", 0), "\"1>2\":{\"copies\":1,") != NULL);
    wire_close(wire);
}

int main(void)
{
    static const struct unit_test tests[] = {{"learns where hosts are", test_learns},
                                             {"keeps the order", test_order},
                                             {"delay, jitter, rate", test_time},
                                             {"cuts, one way, flapping", test_cuts},
                                             {"loses and doubles by its seed", test_chances},
                                             {"reorders", test_reorders},
                                             {"corrupts and forges", test_changes},
                                             {"drops what has no room", test_full},
                                             {"commands", test_commands},
                                             {0}};
    return unit_main("switch", tests);
}
