/* Random histories of two tables, and mutated packets, by seed. */
#include "dataplane/auth/auth.h"

#include "tests/unit/auth/fixture.h"
#include "tests/unit/unit.h"

#include <stdlib.h>
#include <string.h>

enum { A = 1, B = 2 };

static void pair_join(struct pair *p, uint64_t seed)
{
    pair_new(p, seed, A, B);
    pair_install(p);
}

static struct packet head_of(const uint8_t *packet)
{
    struct packet head;

    memcpy(&head, packet, sizeof head);
    return head;
}

/* A random history of two tables: installs, packets lost, doubled, delayed; against the rule alone:
 * a packet opens at most once, what opens was sealed by the peer, and no (handle, counter) is
 * sealed twice. */
static void test_random_history(void)
{
    enum { KEPT = 256 };
    static uint8_t packets[KEPT][64];
    uint64_t opened = 0, replays = 0, gone = 0;

    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct pair p;
        uint32_t count = 0, opens[KEPT];
        pair_join(&p, seed);
        for (int step = 0; step < 2000; step++) {
            uint32_t what = rng_below(&p.rng, 100);
            if (what == 0) {
                pair_connect(&p.rng, &p.a, &p.b);
            } else if (what < 50) {
                bool forth = rng_below(&p.rng, 2) == 0;
                uint32_t at = count < KEPT ? count++ : rng_below(&p.rng, KEPT);
                opens[at] = 0;
                if (side_seal(&p.rng, forth ? &p.a : &p.b, forth ? B : A, PACKET_APPEND,
                              packets[at], 16) == 0)
                    memset(packets[at], 0, 64);
                for (uint32_t i = 0; i < count && packets[at][0] != 0; i++)
                    CU_ASSERT(i == at || memcmp(packets[i] + 4, packets[at] + 4, 20) != 0);
            } else if (count > 0) {
                uint32_t at = rng_below(&p.rng, count);
                bool to_a = head_of(packets[at]).to == A;
                switch (side_open(to_a ? &p.a : &p.b, packets[at], 64)) {
                case AUTH_OK:
                    CU_ASSERT(++opens[at] == 1);
                    opened++;
                    break;
                case AUTH_REPLAY:
                    CU_ASSERT(opens[at] == 1);
                    replays++;
                    break;
                case AUTH_NO_ASSOCIATION:
                    gone++;
                    break;
                case AUTH_MALFORMED:
                    CU_ASSERT(packets[at][0] == 0);
                    break;
                case AUTH_VERSION:
                case AUTH_WRONG_RECEIVER:
                case AUTH_WRONG_CLUSTER:
                case AUTH_BAD_TAG:
                case AUTH_NO_RIGHT:
                case AUTH_REJECT_COUNT:
                    CU_FAIL("a packet of the peer's was refused");
                    break;
                }
            }
        }
        pair_free(&p);
    }
    CU_ASSERT(opened > 3000 && replays > 1000 && gone > 1000);
}

/* Seeded garbage and mutations of good packets, in memory of their exact size. */
static void test_fuzz_open(void)
{
    struct pair p;
    uint8_t good[KEEL_DATAGRAM_MAX], packet[KEEL_DATAGRAM_MAX + 64];
    uint64_t reasons[AUTH_REJECT_COUNT] = {0};

    pair_join(&p, 21);
    for (int i = 0; i < 60000; i++) {
        size_t size = side_seal(&p.rng, &p.a, B, fixture_kind[2 + rng_below(&p.rng, 6)], good,
                                rng_below(&p.rng, 100));
        memcpy(packet, good, size);
        if (rng_below(&p.rng, 4) == 0)
            rng_bytes(&p.rng, packet, size);
        if (rng_below(&p.rng, 8) == 0)
            size = rng_below(&p.rng, (uint32_t)size + 1);
        for (uint32_t n = rng_below(&p.rng, 4); n > 0 && size > 0; n--)
            packet[rng_below(&p.rng, (uint32_t)size)] ^= (uint8_t)(1 << rng_below(&p.rng, 8));
        enum auth_reject reject = side_open(&p.b, packet, size);
        reasons[reject]++;
        CU_ASSERT(reject != AUTH_OK || memcmp(packet, good, size) == 0);
    }
    for (int reject = 0; reject < AUTH_REJECT_COUNT; reject++)
        CU_ASSERT(reasons[reject] > 0 || reject == AUTH_REPLAY || reject == AUTH_NO_RIGHT);
    pair_free(&p);
}

int main(void)
{
    static const struct unit_test tests[] = {
        {"random histories", test_random_history}, {"mutated packets", test_fuzz_open}, {0}};
    return unit_main("auth_random", tests);
}
