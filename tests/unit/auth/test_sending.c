/* Which association is sealed under while some are confirmed and others are not. */
#include "dataplane/auth/auth.h"

#include "tests/unit/auth/fixture.h"
#include "tests/unit/unit.h"

#include <string.h>

enum { A = 1, B = 2 };

/* What is sealed under gives way unconfirmed, as the oldest: sealing goes on under the confirmed
 * one, or waits. */
static void test_sending_gives_way(void)
{
    for (int confirmed = 0; confirmed < 2; confirmed++) {
        struct pair p;
        uint8_t packet[96];
        uint32_t handle = 0;
        pair_new(&p, 21, A, B);
        if (confirmed) {
            pair_install(&p);
            side_seal(&p.rng, &p.a, B, PACKET_VOTE, packet, 48);
            CU_ASSERT(side_open(&p.b, packet, 96) == AUTH_OK);
            side_seal(&p.rng, &p.b, A, PACKET_VOTE_REPLY, packet, 48);
            CU_ASSERT(side_open(&p.a, packet, 96) == AUTH_OK);
            handle = auth_peer(p.a.table, B)->handle;
        }
        pair_connect(&p.rng, &p.a, &p.b);
        CU_ASSERT(auth_peer(p.a.table, B)->handle != handle);
        for (int i = 0; i < AUTH_PENDING_MAX; i++) { /* B initiates, and is not heard under any */
            pair_draw(&p.rng, &p.a, &p.b, &p.for_a, &p.for_b);
            p.for_a.initiator = false;
            CU_ASSERT(auth_install(p.a.table, &p.for_a));
        }
        const struct auth_peer *peer = auth_peer(p.a.table, B);
        CU_ASSERT(confirmed ? peer != NULL && peer->handle == handle : peer == NULL);
        CU_ASSERT(side_seal(&p.rng, &p.a, B, PACKET_VOTE, packet, 48) == (confirmed ? 96 : 0));
        pair_free(&p);
    }
}

/* The peer's own handshake is confirmed while ours, older, is not: ours goes, and sealing moves. */
static void test_sending_moves_to_the_confirmed(void)
{
    struct pair p;
    uint8_t packet[96];

    pair_new(&p, 22, A, B);
    pair_install(&p);
    CU_ASSERT(auth_peer(p.a.table, B)->handle == p.for_a.handle);
    pair_draw(&p.rng, &p.a, &p.b, &p.for_a, &p.for_b);
    p.for_a.initiator = false;
    p.for_b.initiator = true;
    pair_install(&p);
    CU_ASSERT(auth_peer(p.a.table, B)->handle != p.for_a.handle && side_live(&p.a) == 2);
    side_seal(&p.rng, &p.b, A, PACKET_VOTE, packet, 48);
    CU_ASSERT(side_open(&p.a, packet, 96) == AUTH_OK && side_live(&p.a) == 1);
    CU_ASSERT(auth_peer(p.a.table, B)->handle == p.for_a.handle);
    side_seal(&p.rng, &p.a, B, PACKET_VOTE_REPLY, packet, 48);
    CU_ASSERT(side_open(&p.b, packet, 96) == AUTH_OK);
    pair_free(&p);
}

struct handle_seen {
    uint32_t handle;
    bool seen;
};

static void look_for(void *context, const struct auth_peer *peer)
{
    struct handle_seen *look = context;

    look->seen = look->seen || peer->handle == look->handle;
}

static bool has(const struct side *side, uint32_t handle)
{
    struct handle_seen look = {.handle = handle};

    auth_each(side->table, look_for, &look);
    return look.seen;
}

/* Whatever came after them and was confirmed, the salts of what stands unconfirmed are known, and
 * nothing is installed of them a second time. */
static void test_h18_unconfirmed_salts_install_once(void)
{
    enum { INSTALLS = 12 };
    uint64_t again = 0;

    for (uint64_t seed = 1; seed <= 300; seed++) {
        struct pair p;
        struct auth_install made[INSTALLS];
        uint8_t packet[96];
        pair_new(&p, 1000 + seed, A, B);
        for (uint32_t count = 0; count < INSTALLS;) {
            for (uint32_t i = 0; i < count; i++) {
                struct auth_install other = made[i];
                other.handle ^= 0x55;
                if (!has(&p.b, made[i].handle))
                    continue;
                CU_ASSERT(auth_install(p.b.table, &other) && !has(&p.b, other.handle));
                again++;
            }
            if (rng_below(&p.rng, 3) == 0) { /* confirms what the initiator has, old or new */
                size_t size = side_seal(&p.rng, &p.a, B, PACKET_VOTE, packet, 48);
                CU_ASSERT(size == 0 || side_open(&p.b, packet, size) != AUTH_REPLAY);
                continue;
            }
            pair_draw(&p.rng, &p.a, &p.b, &p.for_a, &made[count]);
            if (count > 0 && rng_below(&p.rng, 3) == 0) /* another answer to an earlier SALT */
                memcpy(made[count].salts, made[rng_below(&p.rng, count)].salts, AUTH_SALT_SIZE);
            CU_ASSERT(auth_install(p.b.table, &made[count]));
            if (rng_below(&p.rng, 2) == 0)
                CU_ASSERT(auth_install(p.a.table, &p.for_a));
            count++;
        }
        pair_free(&p);
    }
    CU_ASSERT(again > 5000);
}

static void keep_peer(void *context, const struct auth_peer *peer)
{
    *(const struct auth_peer **)context = peer;
}

/* A responder says nothing under an association before the initiator's first packet. */
static void test_unconfirmed_view(void)
{
    struct pair p;
    uint8_t packet[96], answer[96];
    const struct auth_peer *view = NULL;

    pair_new(&p, 23, A, B);
    pair_install(&p);
    auth_each(p.b.table, keep_peer, &view);
    CU_ASSERT_PTR_NOT_NULL_FATAL(view);
    CU_ASSERT(auth_seal(p.b.table, view, PACKET_VOTE_REPLY, answer, 48) == 0);
    side_seal(&p.rng, &p.a, B, PACKET_VOTE, packet, 48);
    CU_ASSERT(side_open(&p.b, packet, 96) == AUTH_OK);
    CU_ASSERT(auth_seal(p.b.table, view, PACKET_VOTE_REPLY, answer, 48) == 96);
    pair_free(&p);
}

int main(void)
{
    static const struct unit_test tests[] = {
        {"what is sealed under gives way", test_sending_gives_way},
        {"sealing moves to what the peer confirmed", test_sending_moves_to_the_confirmed},
        {"H18: unconfirmed salts are known", test_h18_unconfirmed_salts_install_once},
        {"an answer before the first packet", test_unconfirmed_view},
        {0}};
    return unit_main("auth sending", tests);
}
