/* Neighbours over a virtual clock, through the frames that a host sends and receives. */
#include "dataplane/frame_bytes.h"
#include "dataplane/neighbour.h"
#include "tests/unit/dataplane/frames.h"
#include "tests/unit/unit.h"

#include <stdlib.h>
#include <string.h>

static const uint8_t other_mac[6] = {0x02, 0x11, 0x22, 0x33, 0x44, 0x99};
static const uint8_t everybody[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

static struct frame_host *quiet_host(void)
{
    struct frame_host *host = frames_host();
    struct port_frame frame = frames_room(0);
    for (uint64_t ms = 0; ms < 10000; ms += 100) /* past the announcements */
        frame_arp_due(host, &frame, ms);
    frames_free(&frame);
    return host;
}

/* What ARP packet from `mac` says. */
static enum frame_drop arp(struct frame_host *host, uint16_t operation, const uint8_t mac[6],
                           uint32_t ip, const uint8_t to[6], uint32_t target, uint64_t now_ms)
{
    struct port_frame frame = frames_hex("000000000000 000000000000 0806 0001 0800 0604 0000"
                                         "000000000000 00000000 000000000000 00000000");
    memcpy(frame.data, to, 6);
    memcpy(frame.data + 6, mac, 6);
    frame_put16(frame.data + 20, operation);
    memcpy(frame.data + 22, mac, 6);
    frame_put32(frame.data + 28, ip);
    memcpy(frame.data + 32, operation == 2 ? to : (uint8_t[6]){0}, 6);
    frame_put32(frame.data + 38, target);
    enum frame_drop drop = frames_verdict(host, &frame, now_ms);
    frames_free(&frame);
    return drop;
}

static enum frame_drop answer(struct frame_host *host, const uint8_t mac[6], uint32_t ip,
                              uint64_t now_ms)
{
    return arp(host, 2, mac, ip, own_mac, OWN_IP, now_ms);
}

/* Is a request for `ip` due, to `to`? */
static bool asks(struct frame_host *host, uint32_t ip, const uint8_t to[6], uint64_t now_ms)
{
    struct port_frame frame = frames_room(0xee);
    bool due = frame_arp_pending(host, now_ms) && frame_arp_due(host, &frame, now_ms);
    if (due) {
        CU_ASSERT(frame.size == 60 && frame_get16(frame.data + 20) == 1);
        CU_ASSERT(memcmp(frame.data + 6, own_mac, 6) == 0);
        CU_ASSERT(memcmp(frame.data + 22, own_mac, 6) == 0);
        CU_ASSERT(frame_get32(frame.data + 28) == OWN_IP);
        CU_ASSERT(frame_get32(frame.data + 38) == ip);
        CU_ASSERT(memcmp(frame.data, to, 6) == 0);
        for (uint32_t i = 42; i < 60; i++)
            CU_ASSERT_EQUAL(frame.data[i], 0);
    }
    frames_free(&frame);
    return due;
}

static bool knows(struct frame_host *host, uint32_t ip, const uint8_t mac[6], uint64_t now_ms)
{
    uint8_t found[6];
    return frame_resolve(host, ip, found, now_ms) && memcmp(found, mac, 6) == 0;
}

static bool resolves(struct frame_host *host, uint32_t ip, uint64_t now_ms)
{
    uint8_t found[6];
    return frame_resolve(host, ip, found, now_ms);
}

/* No request is due; and once that was looked at, none is thought to be. */
static bool is_quiet(struct frame_host *host, uint64_t now_ms)
{
    struct port_frame frame = frames_room(0);
    bool quiet = !frame_arp_due(host, &frame, now_ms) && !frame_arp_pending(host, now_ms);
    frames_free(&frame);
    return quiet;
}

static void test_announces(void)
{
    /* RFC 5227 section 2.3: two announcements, two seconds apart. */
    struct frame_host *host = frames_host();
    CU_ASSERT(asks(host, OWN_IP, everybody, 5000));
    CU_ASSERT(!asks(host, OWN_IP, everybody, 5000));
    CU_ASSERT(!asks(host, OWN_IP, everybody, 6999));
    CU_ASSERT(asks(host, OWN_IP, everybody, 7000));
    CU_ASSERT(!asks(host, OWN_IP, everybody, 100000));
    /* Section 2.4: another host claims our address: one defence in ten seconds. */
    CU_ASSERT_EQUAL(arp(host, 1, other_mac, OWN_IP, everybody, OWN_IP, 100000), FRAME_ARP_CONFLICT);
    CU_ASSERT(asks(host, OWN_IP, everybody, 100000));
    CU_ASSERT_EQUAL(arp(host, 2, other_mac, OWN_IP, own_mac, OWN_IP, 105000), FRAME_ARP_CONFLICT);
    CU_ASSERT(!asks(host, OWN_IP, everybody, 105000));
    arp(host, 1, other_mac, OWN_IP, everybody, OWN_IP, 110000);
    CU_ASSERT(asks(host, OWN_IP, everybody, 110000));
    CU_ASSERT_EQUAL(frame_drops(host)[FRAME_ARP_CONFLICT], 3);
    frames_host_free(host);
}

static void test_asks_and_learns(void)
{
    struct frame_host *host = quiet_host();
    CU_ASSERT(is_quiet(host, 10000));
    CU_ASSERT(!resolves(host, PEER_IP, 10000));
    CU_ASSERT(asks(host, PEER_IP, everybody, 10000));
    CU_ASSERT(!asks(host, PEER_IP, everybody, 10099));
    /* Retries: 100, 200, 400, ... up to 400 ms, as long as it is wanted. */
    static const uint64_t pauses_ms[] = {100, 200, 400, 400, 400, 400, 400, 400};
    uint64_t now_ms = 10000;
    for (size_t i = 0; i < sizeof(pauses_ms) / sizeof(pauses_ms[0]); i++) {
        CU_ASSERT(!asks(host, PEER_IP, everybody, now_ms + pauses_ms[i] - 1));
        now_ms += pauses_ms[i];
        CU_ASSERT(asks(host, PEER_IP, everybody, now_ms));
        CU_ASSERT(!resolves(host, PEER_IP, now_ms));
    }
    CU_ASSERT_EQUAL(answer(host, peer_mac, PEER_IP, now_ms + 1), FRAME_TAKEN);
    CU_ASSERT(knows(host, PEER_IP, peer_mac, now_ms + 1));
    CU_ASSERT(is_quiet(host, now_ms + 60000));

    /* Nobody wants it any more: forgotten, and no longer asked for. */
    CU_ASSERT(!resolves(host, PEER_IP + 5, 200000));
    uint32_t requests = 0;
    for (now_ms = 200000; now_ms < 400000; now_ms += 50)
        requests += asks(host, PEER_IP + 5, everybody, now_ms);
    CU_ASSERT(requests > 290 && requests < 310); /* for FRAME_ARP_STALE_MS */
    CU_ASSERT(is_quiet(host, 1000000));
    frames_host_free(host);
}

/* A MAC is learnt only from an answer to our own request: nothing else changes the table. */
static void test_unasked(void)
{
    struct frame_host *host = quiet_host();
    CU_ASSERT_EQUAL(answer(host, peer_mac, PEER_IP, 10000), FRAME_ARP_UNASKED);
    CU_ASSERT_EQUAL(arp(host, 1, peer_mac, PEER_IP, everybody, PEER_IP, 10000), FRAME_ARP_UNASKED);
    CU_ASSERT_EQUAL(arp(host, 1, peer_mac, PEER_IP, everybody, OWN_IP, 10000), FRAME_TAKEN);
    CU_ASSERT(!resolves(host, PEER_IP, 10000));
    /* Wanted, but not yet asked. */
    CU_ASSERT_EQUAL(answer(host, other_mac, PEER_IP, 10000), FRAME_ARP_UNASKED);
    CU_ASSERT(!resolves(host, PEER_IP, 10000));
    CU_ASSERT(asks(host, PEER_IP, everybody, 10000));
    /* An answer for another address, to another host, to all, for another target; too late. */
    CU_ASSERT_EQUAL(answer(host, other_mac, PEER_IP + 1, 10001), FRAME_ARP_UNASKED);
    CU_ASSERT_EQUAL(arp(host, 2, other_mac, PEER_IP, peer_mac, OWN_IP, 10001), FRAME_OTHER_MAC);
    CU_ASSERT_EQUAL(arp(host, 2, other_mac, PEER_IP, everybody, OWN_IP, 10001), FRAME_ARP_UNASKED);
    CU_ASSERT_EQUAL(arp(host, 2, other_mac, PEER_IP, own_mac, PEER_IP + 7, 10001),
                    FRAME_ARP_UNASKED);
    /* To all, though it names us as its target; to us, though it names another. */
    struct port_frame frame = frames_hex("ffffffffffff 021122334499 0806 0001 0800 0604 0002"
                                         "021122334499 0a000002 021122334401 0a000001");
    CU_ASSERT_EQUAL(frames_verdict(host, &frame, 10001), FRAME_ARP_UNASKED);
    memcpy(frame.data, own_mac, 6);
    memcpy(frame.data + 32, peer_mac, 6);
    CU_ASSERT_EQUAL(frames_verdict(host, &frame, 10001), FRAME_ARP_UNASKED);
    frames_free(&frame);
    CU_ASSERT_EQUAL(answer(host, other_mac, PEER_IP, 10001 + NEIGHBOUR_ANSWER_MS),
                    FRAME_ARP_UNASKED);
    CU_ASSERT(!resolves(host, PEER_IP, 10001));
    CU_ASSERT(asks(host, PEER_IP, everybody, 14000));
    CU_ASSERT_EQUAL(answer(host, peer_mac, PEER_IP, 14001), FRAME_TAKEN);
    /* The second answer to one request is no answer. */
    CU_ASSERT_EQUAL(answer(host, other_mac, PEER_IP, 14001), FRAME_ARP_UNASKED);
    CU_ASSERT(knows(host, PEER_IP, peer_mac, 14001));
    frames_host_free(host);
}

static void learn(struct frame_host *host, uint32_t ip, const uint8_t mac[6], uint64_t now_ms)
{
    CU_ASSERT(!resolves(host, ip, now_ms));
    CU_ASSERT(asks(host, ip, everybody, now_ms));
    CU_ASSERT_EQUAL(answer(host, mac, ip, now_ms), FRAME_TAKEN);
}

static void test_refreshes(void)
{
    struct frame_host *host = quiet_host();
    learn(host, PEER_IP, peer_mac, 10000);
    /* Fresh: nothing. No longer fresh and used: asked by unicast, and used meanwhile. */
    CU_ASSERT(knows(host, PEER_IP, peer_mac, 39999));
    CU_ASSERT(!asks(host, PEER_IP, peer_mac, 39999));
    CU_ASSERT(knows(host, PEER_IP, peer_mac, 40000));
    CU_ASSERT(asks(host, PEER_IP, peer_mac, 40000));
    CU_ASSERT(!asks(host, PEER_IP, peer_mac, 40050));
    /* Only the one that was asked may answer. */
    CU_ASSERT_EQUAL(answer(host, other_mac, PEER_IP, 40060), FRAME_ARP_UNASKED);
    CU_ASSERT(knows(host, PEER_IP, peer_mac, 40060));
    CU_ASSERT_EQUAL(answer(host, peer_mac, PEER_IP, 40070), FRAME_TAKEN);
    CU_ASSERT(knows(host, PEER_IP, peer_mac, 70000));
    CU_ASSERT(is_quiet(host, 70000));
    /* Two unicast requests without an answer: asked of all, and another may answer. */
    CU_ASSERT(knows(host, PEER_IP, peer_mac, 70070));
    CU_ASSERT(asks(host, PEER_IP, peer_mac, 70070));
    CU_ASSERT(asks(host, PEER_IP, peer_mac, 70170));
    CU_ASSERT(asks(host, PEER_IP, everybody, 70370));
    CU_ASSERT(knows(host, PEER_IP, peer_mac, 70380));
    CU_ASSERT_EQUAL(answer(host, other_mac, PEER_IP, 70390), FRAME_TAKEN);
    CU_ASSERT(knows(host, PEER_IP, other_mac, 70400));
    frames_host_free(host);
}

static void test_goes_stale(void)
{
    /* In use, never answered: after FRAME_ARP_STALE_MS unknown, and still asked for. */
    struct frame_host *host = quiet_host();
    learn(host, PEER_IP, peer_mac, 10000);
    uint32_t requests = 0;
    for (uint64_t ms = 10000; ms < 10000 + FRAME_ARP_STALE_MS; ms += 10) {
        CU_ASSERT(knows(host, PEER_IP, peer_mac, ms));
        struct port_frame frame = frames_room(0);
        requests += frame_arp_due(host, &frame, ms);
        frames_free(&frame);
    }
    CU_ASSERT(requests > 30 && requests < 40);
    CU_ASSERT(!resolves(host, PEER_IP, 10000 + FRAME_ARP_STALE_MS));
    CU_ASSERT(asks(host, PEER_IP, everybody, 10000 + FRAME_ARP_STALE_MS));

    /* Not used: it is forgotten without a request. */
    learn(host, PEER_IP + 1, other_mac, 500000);
    CU_ASSERT(is_quiet(host, 500000 + FRAME_ARP_STALE_MS - 1));
    CU_ASSERT(!asks(host, PEER_IP + 1, everybody, 500000 + FRAME_ARP_STALE_MS));
    CU_ASSERT(is_quiet(host, 900000));
    frames_host_free(host);
}

static void test_hint(void)
{
    /* An announcement that contradicts the table (a peer with a new card): the old one is asked at
     * once, and the new one is believed only when that stays silent. */
    struct frame_host *host = quiet_host();
    learn(host, PEER_IP, peer_mac, 10000);
    CU_ASSERT_EQUAL(arp(host, 1, other_mac, PEER_IP, everybody, PEER_IP, 10500), FRAME_ARP_UNASKED);
    CU_ASSERT(!asks(host, PEER_IP, peer_mac, 10500)); /* just confirmed */
    arp(host, 1, other_mac, PEER_IP, everybody, PEER_IP, 12000);
    CU_ASSERT(asks(host, PEER_IP, peer_mac, 12000));
    CU_ASSERT_EQUAL(answer(host, other_mac, PEER_IP, 12001), FRAME_ARP_UNASKED);
    CU_ASSERT_EQUAL(answer(host, peer_mac, PEER_IP, 12002), FRAME_TAKEN); /* it lives: a liar */
    CU_ASSERT(is_quiet(host, 13000));

    /* A flood of lies makes at most one question a second. */
    uint32_t requests = 0;
    for (uint64_t ms = 20000; ms < 30000; ms += 10) {
        arp(host, 2, other_mac, PEER_IP, own_mac, OWN_IP, ms);
        if (asks(host, PEER_IP, peer_mac, ms)) {
            requests++;
            answer(host, peer_mac, PEER_IP, ms);
        }
    }
    CU_ASSERT(requests >= 9 && requests <= 10);
    CU_ASSERT(knows(host, PEER_IP, peer_mac, 30000));

    /* Nor does it keep the question from being put to all when the old one is silent. */
    uint32_t to_one = 0, to_all = 0;
    for (uint64_t ms = 31000; ms < 33000; ms += 10) {
        struct port_frame frame = frames_room(0);
        arp(host, 2, other_mac, PEER_IP, own_mac, OWN_IP, ms);
        if (frame_arp_due(host, &frame, ms)) {
            to_one += memcmp(frame.data, peer_mac, 6) == 0;
            to_all += memcmp(frame.data, everybody, 6) == 0;
            if (to_all == 1)
                answer(host, peer_mac, PEER_IP, ms);
        }
        frames_free(&frame);
    }
    CU_ASSERT(to_one >= 2 && to_one <= 4);
    CU_ASSERT_EQUAL(to_all, 1);
    answer(host, peer_mac, PEER_IP, 33000);

    arp(host, 1, other_mac, PEER_IP, everybody, PEER_IP, 40000);
    CU_ASSERT(asks(host, PEER_IP, peer_mac, 40000));
    CU_ASSERT(asks(host, PEER_IP, peer_mac, 40100));
    CU_ASSERT(asks(host, PEER_IP, everybody, 40300));
    CU_ASSERT_EQUAL(answer(host, other_mac, PEER_IP, 40301), FRAME_TAKEN);
    CU_ASSERT(knows(host, PEER_IP, other_mac, 40301));
    frames_host_free(host);
}

static void test_routes(void)
{
    struct frame_host *host = quiet_host();
    CU_ASSERT(!resolves(host, 0x08080808, 10000)); /* not connected: the gateway is asked for */
    CU_ASSERT(asks(host, GATEWAY_IP, everybody, 10000));
    CU_ASSERT_EQUAL(answer(host, other_mac, GATEWAY_IP, 10000), FRAME_TAKEN);
    CU_ASSERT(knows(host, 0x08080808, other_mac, 10000));
    CU_ASSERT(knows(host, 0xc0a80101, other_mac, 10000));
    CU_ASSERT(knows(host, 0xe8010203, (uint8_t[6]){1, 0, 0x5e, 1, 2, 3}, 10000));
    /* Own, network, broadcast, loopback, zero: no way, and nothing is asked. */
    static const uint32_t nowhere[] = {OWN_IP, 0x0a000000, 0x0a0000ff, 0xffffffff, 0x7f000001, 0};
    for (size_t i = 0; i < sizeof(nowhere) / sizeof(nowhere[0]); i++)
        CU_ASSERT(!resolves(host, nowhere[i], 10000));
    CU_ASSERT(is_quiet(host, 10000));
    frames_host_free(host);

    /* Without a gateway there is no way out; a /31 has no edges (RFC 3021). */
    struct frame_options options = {.ip = OWN_IP, .prefix = 31, .ports = {OWN_PORT}};
    memcpy(options.mac, own_mac, 6);
    host = frame_host_init(malloc(frame_host_size()), &options);
    CU_ASSERT(asks(host, OWN_IP, everybody, 0));
    CU_ASSERT(!resolves(host, 0x08080808, 0));
    CU_ASSERT(!resolves(host, PEER_IP, 0));
    CU_ASSERT(is_quiet(host, 0));
    CU_ASSERT(!resolves(host, 0x0a000000, 0)); /* the peer of this /31 */
    CU_ASSERT(asks(host, 0x0a000000, everybody, 0));
    frames_host_free(host);

    /* A prefix of 0: everybody is on the line. */
    options.prefix = 0;
    host = frame_host_init(malloc(frame_host_size()), &options);
    CU_ASSERT(asks(host, OWN_IP, everybody, 0));
    CU_ASSERT(!resolves(host, 0x08080808, 0));
    CU_ASSERT(asks(host, 0x08080808, everybody, 0));
    frames_host_free(host);
}

static void test_fixed(void)
{
    struct frame_host *host = quiet_host();
    CU_ASSERT(frame_neighbour_fix(host, PEER_IP, peer_mac));
    CU_ASSERT(knows(host, PEER_IP, peer_mac, 10000));
    arp(host, 1, other_mac, PEER_IP, everybody, PEER_IP, 50000);
    CU_ASSERT_EQUAL(answer(host, other_mac, PEER_IP, 50000), FRAME_ARP_UNASKED);
    CU_ASSERT(knows(host, PEER_IP, peer_mac, 50000));
    CU_ASSERT(knows(host, PEER_IP, peer_mac, 500000));
    CU_ASSERT(is_quiet(host, 500000));
    /* Outgoing: an address without a MAC goes by the table, and is counted while unknown. */
    struct port_frame frame = frames_room(0);
    struct frame_address to = {.ip = PEER_IP, .port = 1};
    CU_ASSERT_EQUAL(frame_finish(host, &frame, &to, OWN_PORT, 0, 500000), FRAME_OK);
    CU_ASSERT(memcmp(frame.data, peer_mac, 6) == 0);
    to.ip++;
    CU_ASSERT_EQUAL(frame_finish(host, &frame, &to, OWN_PORT, 0, 500000), FRAME_UNRESOLVED);
    CU_ASSERT_EQUAL(frame_drops(host)[FRAME_UNRESOLVED], 1);
    frames_free(&frame);
    frames_host_free(host);
}

static void mac_of(uint32_t ip, uint8_t mac[6])
{
    mac[0] = 0x06;
    mac[1] = 0;
    frame_put32(mac + 2, ip * 2654435761u);
}

/* Each entry is found by its address, and none is there twice. */
static bool is_sound(const struct neighbours *table)
{
    static struct neighbours copy; /* a lookup changes the time of use */
    uint32_t count = 0;
    for (uint32_t i = 0; i < FRAME_NEIGHBOURS_MAX; i++) {
        const struct neighbour *n = &table->slots[i];
        uint8_t mac[6];
        if (n->state == NEIGHBOUR_FREE)
            continue;
        count++;
        for (uint32_t k = 0; k < i; k++)
            if (table->slots[k].state != NEIGHBOUR_FREE && table->slots[k].ip == n->ip)
                return false;
        copy = *table;
        bool known = neighbours_find(&copy, n->ip, mac, n->confirmed_ms);
        if (copy.count != table->count || known != (n->state != NEIGHBOUR_WANTED))
            return false;
    }
    return count == table->count;
}

enum { ADDRESSES_MAX = 600, FIXED = 20 };
static const uint32_t first_ip = 0x0a000000;

/* Random use of so many addresses, `step_ms` apart: what is found is what was told, within its
 * time, and the table stays sound. */
static void churn(struct neighbours *table, uint32_t addresses, uint32_t step_ms, uint64_t *now_ms,
                  uint64_t *lost)
{
    uint64_t known_ms[ADDRESSES_MAX] = {0}; /* 0: not told */
    uint64_t random = addresses, found = 0;
    for (uint32_t round = 0; round < 40000; round++) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        uint32_t at = (uint32_t)(random >> 33) % addresses;
        uint8_t mac[6], wanted[6], to[6];
        *now_ms += (random >> 20) % step_ms;
        mac_of(at, wanted);
        if (neighbours_find(table, first_ip + at, mac, *now_ms)) {
            CU_ASSERT_FATAL(memcmp(mac, wanted, 6) == 0);
            CU_ASSERT_FATAL(at < FIXED || *now_ms - known_ms[at] < FRAME_ARP_STALE_MS);
            found++;
        } else {
            CU_ASSERT_FATAL(at >= FIXED);
            *lost += known_ms[at] != 0;
        }
        uint32_t ip;
        for (int i = 0; i < 4 && neighbours_next(table, *now_ms, &ip, to); i++) {
            mac_of(ip - first_ip, wanted);
            CU_ASSERT_FATAL(to[0] == 0xff || memcmp(to, wanted, 6) == 0);
            if (neighbours_answer(table, ip, wanted, *now_ms))
                known_ms[ip - first_ip] = *now_ms;
        }
        if (round % 37 == 0)
            CU_ASSERT_FATAL(is_sound(table));
    }
    CU_ASSERT(found > 1000);
}

static void test_full_table(void)
{
    static struct neighbours table;
    uint64_t now_ms = 1000, evicted = 0, expired = 0;
    neighbours_init(&table);
    for (uint32_t i = 0; i < FIXED; i++) {
        uint8_t mac[6];
        mac_of(i, mac);
        CU_ASSERT(neighbours_fix(&table, first_ip + i, mac));
    }
    churn(&table, ADDRESSES_MAX, 16, &now_ms, &evicted); /* more than there is room for */
    CU_ASSERT(evicted > 1000);
    now_ms += FRAME_ARP_STALE_MS;
    churn(&table, 200, 2000, &now_ms, &expired); /* most are forgotten before they are used again */
    CU_ASSERT(expired > 1000);

    /* Left alone, all but the fixed ones go. */
    uint32_t ip;
    uint8_t to[6];
    for (int i = 0; i < 2000; i++)
        neighbours_next(&table, now_ms + FRAME_ARP_STALE_MS + 1, &ip, to);
    CU_ASSERT(table.count == FIXED && is_sound(&table));

    /* Full of fixed ones: one more is refused, and an unknown one is simply unknown. */
    for (uint32_t i = FIXED; i < FRAME_NEIGHBOURS_MAX; i++)
        CU_ASSERT(neighbours_fix(&table, first_ip + i, peer_mac));
    CU_ASSERT(!neighbours_fix(&table, 0x0b000000, peer_mac));
    CU_ASSERT(neighbours_fix(&table, first_ip, peer_mac));
    CU_ASSERT(!neighbours_find(&table, 0x0b000000, to, now_ms));
}

int main(void)
{
    static const struct unit_test tests[] = {
        {"announcements and defence of the own address", test_announces},
        {"asks, with growing pauses, and learns", test_asks_and_learns},
        {"learns from nothing but an answer", test_unasked},
        {"refreshes by unicast, then asks all", test_refreshes},
        {"goes stale", test_goes_stale},
        {"a contradiction is only a reason to ask", test_hint},
        {"next hops", test_routes},
        {"fixed neighbours", test_fixed},
        {"the table, full and churning", test_full_table},
        {0}};
    return unit_main("neighbour", tests);
}
