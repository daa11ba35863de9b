#include "dataplane/auth/auth.h"

#include "tests/unit/auth/fixture.h"
#include "tests/unit/unit.h"

#include <stdlib.h>
#include <string.h>

enum { A = 1, B = 2, CLIENT = 100 };

static struct packet head_of(const uint8_t *packet)
{
    struct packet head;

    memcpy(&head, packet, sizeof head);
    return head;
}

static void test_round_trip(void)
{
    struct pair p;
    uint8_t packet[KEEL_DATAGRAM_MAX];

    pair_new(&p, 1, A, B);
    pair_install(&p);
    for (size_t size = 0; size <= KEEL_BODY_MAX; size += size < 40 ? 1 : 23) {
        struct side *from = size % 2 == 0 ? &p.a : &p.b, *to = size % 2 == 0 ? &p.b : &p.a;
        size_t whole = side_seal(&p.rng, from, to->principal, PACKET_APPEND, packet, size);
        struct packet head = head_of(packet);
        CU_ASSERT(whole == size + 48 && head.from == from->principal && head.to == to->principal);
        CU_ASSERT(head.magic == 0x4b && head.version == 1 && head.kind == PACKET_APPEND &&
                  head.reserved == 0 && head.cluster == FIXTURE_CLUSTER);
        CU_ASSERT(head.assoc == (from == &p.a ? p.for_a.peer_handle : p.for_b.peer_handle));
        CU_ASSERT(side_open(to, packet, whole) == AUTH_OK);
        CU_ASSERT(side_last()->principal == from->principal && side_last()->heard_ns == 1000);
        CU_ASSERT(side_open(to, packet, whole) == AUTH_REPLAY);
    }
    CU_ASSERT(auth_peer(p.a.table, B)->sent == auth_peer(p.b.table, A)->received);
    CU_ASSERT(auth_peer(p.b.table, A)->sent == auth_peer(p.a.table, B)->received);
    pair_free(&p);
}

/* Each bit of a packet of each kind, at three lengths: rejected, and the whole table is as before,
 * byte for byte (side_open() compares). Then the packet itself still goes through. */
static void test_flipped_bits(void)
{
    static const size_t sizes[3] = {0, 32, 200};
    uint64_t flips = 0;

    for (int i = 0; i < FIXTURE_KINDS; i++) {
        struct pair p;
        uint8_t packet[KEEL_DATAGRAM_MAX];
        bool answer = fixture_right[i] == AUTH_RIGHT_ANSWER;
        bool submit = fixture_right[i] == AUTH_RIGHT_SUBMIT;
        pair_new(&p, 100 + (uint64_t)i, answer || submit ? CLIENT : A, B);
        pair_install(&p);
        size_t first = side_seal(&p.rng, &p.a, B, AUTH_KIND_PING, packet, 0);
        CU_ASSERT_FATAL(side_open(&p.b, packet, first) == AUTH_OK);
        struct side *from = answer ? &p.b : &p.a, *to = answer ? &p.a : &p.b;
        for (int s = 0; s < 3; s++) {
            size_t size = side_seal(&p.rng, from, to->principal, fixture_kind[i], packet, sizes[s]);
            for (size_t bit = 0; bit < size * 8; bit++, flips++) {
                packet[bit / 8] ^= (uint8_t)(1 << bit % 8);
                CU_ASSERT(side_open(to, packet, size) != AUTH_OK);
                packet[bit / 8] ^= (uint8_t)(1 << bit % 8);
            }
            for (size_t shorter = 0; shorter < size; shorter++)
                CU_ASSERT(side_open(to, packet, shorter) != AUTH_OK);
            CU_ASSERT(side_open(to, packet, size) == AUTH_OK);
        }
        pair_free(&p);
    }
    CU_ASSERT(flips == FIXTURE_KINDS * 8 * (48 + 80 + 248));
}

/* Every reason has its own packet, and an earlier reason goes before a later one. */
static void test_reasons_in_order(void)
{
    struct pair p;
    uint8_t good[KEEL_DATAGRAM_MAX], bad[KEEL_DATAGRAM_MAX + 1] = {0};

    pair_new(&p, 3, A, B);
    pair_install(&p);
    size_t size = side_seal(&p.rng, &p.a, B, PACKET_VOTE, good, 32);
    struct packet head = head_of(good);

#define CHANGED(field, value, reason)                                                              \
    do {                                                                                           \
        struct packet h = head;                                                                    \
        h.field = (value);                                                                         \
        memcpy(bad, good, size);                                                                   \
        memcpy(bad, &h, sizeof h);                                                                 \
        CU_ASSERT(side_open(&p.b, bad, size) == (reason));                                         \
    } while (0)
    CHANGED(magic, 0, AUTH_MALFORMED);
    CHANGED(version, 2, AUTH_VERSION);
    CHANGED(version, 0, AUTH_VERSION);
    CHANGED(reserved, 1, AUTH_MALFORMED);
    CHANGED(kind, PACKET_HELLO, AUTH_MALFORMED);
    CHANGED(kind, PACKET_SALT_REPLY, AUTH_MALFORMED);
    CHANGED(kind, 53, AUTH_MALFORMED);
    CHANGED(kind, 255, AUTH_MALFORMED);
    CHANGED(counter, 0, AUTH_MALFORMED);
    CHANGED(counter, AUTH_COUNTER_MAX + 1, AUTH_MALFORMED);
    CHANGED(counter, AUTH_COUNTER_MAX, AUTH_BAD_TAG);
    CHANGED(to, A, AUTH_WRONG_RECEIVER);
    CHANGED(cluster, 0, AUTH_WRONG_CLUSTER);
    CHANGED(assoc, 0, AUTH_NO_ASSOCIATION);
    CHANGED(assoc, head.assoc + 1, AUTH_NO_ASSOCIATION);
    CHANGED(from, 3, AUTH_NO_ASSOCIATION);
    CHANGED(kind, PACKET_VOTE_REPLY, AUTH_BAD_TAG);
#undef CHANGED
    struct packet later = head; /* of it nothing is known but that it is another version's */
    memset(&later, 0xff, sizeof later);
    later.magic = head.magic;
    memcpy(bad, &later, sizeof later);
    CU_ASSERT(side_open(&p.b, bad, size) == AUTH_VERSION);
    memcpy(bad, &head, sizeof head);
    CU_ASSERT(side_open(&p.b, bad, 47) == AUTH_MALFORMED);
    memcpy(bad, &head, sizeof head);
    CU_ASSERT(side_open(&p.b, bad, KEEL_DATAGRAM_MAX + 1) == AUTH_MALFORMED);
    CU_ASSERT(side_open(&p.b, good, size) == AUTH_OK);
    CU_ASSERT(side_open(&p.b, good, size) == AUTH_REPLAY);
    for (int reject = 0; reject < AUTH_REJECT_COUNT; reject++)
        for (int other = 0; other < reject; other++)
            CU_ASSERT(strcmp(auth_reject_name((enum auth_reject)reject),
                             auth_reject_name((enum auth_reject)other)) != 0);
    for (int none = 0; none < 2; none++)
        CU_ASSERT(
            strcmp(auth_reject_name((enum auth_reject)(AUTH_REJECT_COUNT + none)), "unknown") == 0);
    pair_free(&p);
}

/* Each kind under each set of rights. A client key's AppendEntries is refused though its tag is
 * right, and neither confirms the association nor moves the window. */
static void test_rights(void)
{
    uint8_t packet[KEEL_DATAGRAM_MAX];

    for (uint32_t rights = 0; rights < 8; rights++) {
        for (int i = 0; i < FIXTURE_KINDS; i++) {
            struct pair p;
            pair_new(&p, 7, CLIENT, B);
            p.for_b.rights = rights;
            pair_install(&p);
            size_t size = side_seal(&p.rng, &p.a, B, fixture_kind[i], packet, 64);
            bool allowed = fixture_right[i] == 0 || (fixture_right[i] & rights) != 0;
            CU_ASSERT(side_open(&p.b, packet, size) == (allowed ? AUTH_OK : AUTH_NO_RIGHT));
            CU_ASSERT((auth_peer(p.b.table, CLIENT) != NULL) == allowed);
            pair_free(&p);
        }
    }
}

static void test_window_through_packets(void)
{
    enum { COUNT = 2050 };
    struct pair p;
    uint8_t(*packets)[64] = malloc(COUNT * sizeof *packets);

    ENSURE(packets != NULL);
    pair_new(&p, 8, A, B);
    pair_install(&p);
    for (int i = 0; i < COUNT; i++)
        CU_ASSERT_FATAL(side_seal(&p.rng, &p.a, B, PACKET_APPEND, packets[i], 16) == 64);
    CU_ASSERT(side_open(&p.b, packets[COUNT - 1], 64) == AUTH_OK); /* counter 2050 */
    CU_ASSERT(side_open(&p.b, packets[0], 64) == AUTH_REPLAY);
    CU_ASSERT(side_open(&p.b, packets[1], 64) == AUTH_REPLAY); /* counter 2 = 2050 - 2048 */
    for (int i = COUNT - 2; i >= 2; i--)
        CU_ASSERT(side_open(&p.b, packets[i], 64) == AUTH_OK);
    for (int i = 0; i < COUNT; i++)
        CU_ASSERT(side_open(&p.b, packets[i], 64) == AUTH_REPLAY);
    free(packets);
    pair_free(&p);
}

/* H18: a new association is installed beside an old one. The old one lives, for receiving at both
 * and for sending at the responder, until the first valid packet under the new key; a packet that
 * only looks like one (bad tag, no right) does not end it. */
static void test_h18_old_lives_until_first_packet(void)
{
    struct pair p;
    uint8_t old_ab[96], old_ba[96], late[96], bad[96], fresh[96], answer[96];

    pair_new(&p, 9, A, B);
    pair_install(&p);
    CU_ASSERT(auth_peer(p.b.table, A) == NULL); /* unconfirmed: the responder says nothing yet */
    CU_ASSERT(!auth_peer(p.a.table, B)->confirmed);
    side_seal(&p.rng, &p.a, B, PACKET_VOTE, old_ab, 48);
    side_seal(&p.rng, &p.a, B, PACKET_VOTE, late, 48);
    CU_ASSERT(side_open(&p.b, old_ab, 96) == AUTH_OK && side_last()->received == 1);
    uint32_t old_handle = auth_peer(p.b.table, A)->handle;

    pair_connect(&p.rng, &p.a, &p.b);
    CU_ASSERT(side_live(&p.a) == 2 && side_live(&p.b) == 2);
    CU_ASSERT(auth_peer(p.b.table, A)->handle == old_handle); /* the responder stays */
    side_seal(&p.rng, &p.b, A, PACKET_VOTE_REPLY, old_ba, 48);
    CU_ASSERT(side_open(&p.a, old_ba, 96) == AUTH_OK);
    side_seal(&p.rng, &p.a, B, PACKET_VOTE, fresh, 48); /* the initiator has switched */
    CU_ASSERT(head_of(fresh).counter == 1 && head_of(fresh).assoc != head_of(old_ab).assoc);
    memcpy(bad, fresh, 96);
    bad[60] ^= 1;
    CU_ASSERT(side_open(&p.b, bad, 96) == AUTH_BAD_TAG);
    CU_ASSERT(side_open(&p.b, late, 96) == AUTH_OK && side_live(&p.b) == 2);

    CU_ASSERT(side_open(&p.b, fresh, 96) == AUTH_OK && side_last()->received == 1);
    CU_ASSERT(side_live(&p.b) == 1 && auth_peer(p.b.table, A)->confirmed);
    CU_ASSERT(side_open(&p.b, old_ab, 96) == AUTH_NO_ASSOCIATION);
    CU_ASSERT(side_open(&p.b, fresh, 96) == AUTH_REPLAY);
    CU_ASSERT(side_live(&p.a) == 2);
    side_seal(&p.rng, &p.b, A, PACKET_VOTE_REPLY, answer, 48);
    CU_ASSERT(side_open(&p.a, answer, 96) == AUTH_OK && side_live(&p.a) == 1);
    pair_free(&p);
}

/* H18: the same salts installed again, at once, after packets, and after the association was
 * replaced. A counter that started again would seal a second packet under an equal key and nonce.
 */
static void test_h18_salts_install_once(void)
{
    struct pair p;
    uint8_t packet[96];

    pair_new(&p, 10, A, B);
    pair_install(&p);
    struct auth_install again_a = p.for_a, again_b = p.for_b;
    again_a.handle += 2;
    again_b.handle += 2;
    for (uint64_t counter = 1; counter <= 5; counter++) {
        CU_ASSERT(auth_install(p.a.table, &p.for_a) && auth_install(p.a.table, &again_a));
        CU_ASSERT(auth_install(p.b.table, &p.for_b) && auth_install(p.b.table, &again_b));
        CU_ASSERT(side_live(&p.a) == 1 && side_live(&p.b) == 1);
        side_seal(&p.rng, &p.a, B, PACKET_VOTE, packet, 48);
        CU_ASSERT(head_of(packet).counter == counter);
        CU_ASSERT(side_open(&p.b, packet, 96) == AUTH_OK);
        CU_ASSERT(side_open(&p.b, packet, 96) == AUTH_REPLAY);
    }
    for (int i = 0; i < AUTH_SALTS_KEPT - 1; i++) { /* replaced by others, and still known */
        pair_connect(&p.rng, &p.a, &p.b);
        side_seal(&p.rng, &p.a, B, PACKET_VOTE, packet, 48);
        CU_ASSERT(side_open(&p.b, packet, 96) == AUTH_OK && side_live(&p.b) == 1);
        uint32_t before = side_live(&p.a);
        CU_ASSERT(auth_install(p.a.table, &again_a) && auth_install(p.b.table, &again_b));
        CU_ASSERT(side_live(&p.b) == 1 && side_live(&p.a) == before);
    }
    pair_free(&p);
}

/* H18: SALT was doubled, the responder answered both, each with a salt of its own; the initiator
 * has installed either answer. The other association goes with the first packet, and another answer
 * that comes later is not installed any more. */
static void test_h18_doubled_salt(void)
{
    for (int which = 0; which < 2; which++) {
        struct pair p;
        uint8_t packet[96];
        struct auth_install a[2], b[2], a3, b3;
        pair_new(&p, 11, A, B);
        pair_draw(&p.rng, &p.a, &p.b, &a[0], &b[0]);
        pair_draw(&p.rng, &p.a, &p.b, &a[1], &b[1]);
        pair_draw(&p.rng, &p.a, &p.b, &a3, &b3);
        memcpy(b[1].salts, b[0].salts, AUTH_SALT_SIZE);
        memcpy(b3.salts, b[0].salts, AUTH_SALT_SIZE);
        memcpy(a[1].salts, a[0].salts, AUTH_SALT_SIZE);
        CU_ASSERT(auth_install(p.b.table, &b[0]) && auth_install(p.b.table, &b[1]));
        CU_ASSERT(side_live(&p.b) == 2);
        CU_ASSERT(auth_install(p.a.table, &a[which]));
        side_seal(&p.rng, &p.a, B, PACKET_VOTE, packet, 48);
        CU_ASSERT(side_open(&p.b, packet, 96) == AUTH_OK);
        CU_ASSERT(side_live(&p.b) == 1);
        CU_ASSERT(auth_peer(p.b.table, A)->handle == b[which].handle);
        CU_ASSERT(auth_install(p.b.table, &b3) && side_live(&p.b) == 1);
        pair_free(&p);
    }
}

/* Unconfirmed associations are bounded: a fourth replaces the oldest, never the confirmed one. */
static void test_pending_bound(void)
{
    struct pair p;
    uint8_t packet[96], first[96], last_one[96];

    pair_new(&p, 12, A, B);
    pair_install(&p);
    side_seal(&p.rng, &p.a, B, PACKET_VOTE, packet, 48);
    CU_ASSERT(side_open(&p.b, packet, 96) == AUTH_OK);
    uint32_t confirmed = auth_peer(p.b.table, A)->handle;
    for (int i = 0; i < 50; i++) {
        pair_connect(&p.rng, &p.a, &p.b);
        if (i == 0)
            side_seal(&p.rng, &p.a, B, PACKET_VOTE, first, 48);
        CU_ASSERT(side_live(&p.b) <= 1 + AUTH_PENDING_MAX &&
                  side_live(&p.a) <= 1 + AUTH_PENDING_MAX);
        CU_ASSERT(auth_peer(p.b.table, A)->handle == confirmed);
    }
    CU_ASSERT(side_open(&p.b, first, 96) == AUTH_NO_ASSOCIATION);
    side_seal(&p.rng, &p.a, B, PACKET_VOTE, last_one, 48);
    CU_ASSERT(side_open(&p.b, last_one, 96) == AUTH_OK && side_live(&p.b) == 1);
    pair_free(&p);
}

static void test_full_table(void)
{
    struct pair p;
    struct side clients[FIXTURE_ASSOCIATIONS + 1];
    struct auth_install for_client, for_b;
    uint8_t packet[96];

    pair_new(&p, 13, A, B);
    for (uint32_t i = 0; i <= FIXTURE_ASSOCIATIONS; i++) {
        side_init(&clients[i], CLIENT + i, FIXTURE_CLUSTER);
        pair_draw(&p.rng, &clients[i], &p.b, &for_client, &for_b);
        CU_ASSERT(auth_install(clients[i].table, &for_client));
        void *before = malloc(p.b.size);
        ENSURE(before != NULL);
        memcpy(before, p.b.table, p.b.size);
        bool fits = auth_install(p.b.table, &for_b);
        CU_ASSERT(fits == (i < FIXTURE_ASSOCIATIONS));
        CU_ASSERT(fits || memcmp(before, p.b.table, p.b.size) == 0);
        free(before);
    }
    for (uint32_t i = 0; i < FIXTURE_ASSOCIATIONS; i++) {
        side_seal(&p.rng, &clients[i], B, PACKET_SUBMIT, packet, 48);
        CU_ASSERT(side_open(&p.b, packet, 96) == AUTH_OK);
    }
    auth_forget(p.b.table, CLIENT + 3);
    auth_forget(p.b.table, CLIENT + 3);
    CU_ASSERT(side_live(&p.b) == FIXTURE_ASSOCIATIONS - 1 &&
              auth_peer(p.b.table, CLIENT + 3) == NULL);
    side_seal(&p.rng, &clients[3], B, PACKET_SUBMIT, packet, 48);
    CU_ASSERT(side_open(&p.b, packet, 96) == AUTH_NO_ASSOCIATION);
    CU_ASSERT(auth_install(p.b.table, &for_b));
    for (uint32_t i = 0; i <= FIXTURE_ASSOCIATIONS; i++)
        side_free(&clients[i]);
    pair_free(&p);
}

static void test_install_refused(void)
{
    struct pair p;
    struct auth_install other;

    pair_new(&p, 14, A, B);
    other = p.for_a;
    other.cluster++;
    CU_ASSERT(!auth_install(p.a.table, &other));
    other = p.for_a;
    other.handle = 0;
    CU_ASSERT(!auth_install(p.a.table, &other));
    other = p.for_a;
    other.peer_handle = 0;
    CU_ASSERT(!auth_install(p.a.table, &other));
    CU_ASSERT(side_live(&p.a) == 0);
    pair_install(&p);
    other = p.for_a; /* a handle in use, other salts, another peer */
    other.peer = 3;
    other.salts[0] ^= 1;
    CU_ASSERT(!auth_install(p.a.table, &other) && side_live(&p.a) == 1);
    pair_free(&p);
}

/* A caller answers with the view of an association that a later packet of the same burst has
 * retired: the answer goes out under the one that replaced it. After forgetting nothing goes out.
 */
static void test_stale_view(void)
{
    struct pair p;
    uint8_t old[96], fresh[96], answer[96];

    pair_new(&p, 15, A, B);
    pair_install(&p);
    side_seal(&p.rng, &p.a, B, PACKET_VOTE, old, 48);
    pair_connect(&p.rng, &p.a, &p.b);
    side_seal(&p.rng, &p.a, B, PACKET_VOTE, fresh, 48);
    CU_ASSERT(side_open(&p.b, old, 96) == AUTH_OK);
    const struct auth_peer *view = side_last();
    CU_ASSERT(side_open(&p.b, fresh, 96) == AUTH_OK && side_live(&p.b) == 1);
    CU_ASSERT(auth_seal(p.b.table, view, PACKET_VOTE_REPLY, answer, 48) == 96);
    CU_ASSERT(head_of(answer).assoc == auth_peer(p.a.table, B)->handle);
    CU_ASSERT(side_open(&p.a, answer, 96) == AUTH_OK);
    auth_heard_from(p.b.table, view, 1, 1, (const uint8_t[6]){1}); /* of a retired one: nothing */
    CU_ASSERT(auth_peer(p.b.table, A)->ip == 0x0a000002);
    auth_forget(p.b.table, A);
    CU_ASSERT(auth_seal(p.b.table, view, PACKET_VOTE_REPLY, answer, 48) == 0);
    struct side client; /* in the place of the forgotten one: nothing for it goes to another */
    struct auth_install for_client, for_b;
    side_init(&client, CLIENT, FIXTURE_CLUSTER);
    pair_draw(&p.rng, &client, &p.b, &for_client, &for_b);
    CU_ASSERT(auth_install(p.b.table, &for_b));
    CU_ASSERT(auth_seal(p.b.table, view, PACKET_VOTE_REPLY, answer, 48) == 0);
    side_free(&client);
    pair_free(&p);
}

/* The address follows the highest counter only. */
static void test_heard_from(void)
{
    static const uint8_t mac[6] = {2, 4, 6, 8, 10, 12};
    struct pair p;
    uint8_t first[96], second[96];

    pair_new(&p, 16, CLIENT, B);
    pair_install(&p);
    side_seal(&p.rng, &p.a, B, PACKET_SUBMIT, first, 48);
    side_seal(&p.rng, &p.a, B, PACKET_SUBMIT, second, 48);
    CU_ASSERT(side_open(&p.b, second, 96) == AUTH_OK);
    auth_heard_from(p.b.table, side_last(), 0x0a000003, 99, mac);
    CU_ASSERT(auth_peer(p.b.table, CLIENT)->ip == 0x0a000003 &&
              auth_peer(p.b.table, CLIENT)->port == 99 &&
              memcmp(auth_peer(p.b.table, CLIENT)->mac, mac, 6) == 0);
    CU_ASSERT(side_open(&p.b, first, 96) == AUTH_OK); /* held back, sent from elsewhere */
    auth_heard_from(p.b.table, side_last(), 0x0a0000ff, 66, mac);
    CU_ASSERT(auth_peer(p.b.table, CLIENT)->ip == 0x0a000003);
    pair_free(&p);
}

/* The counter is moved by writing into the table: 2^62 packets cannot be sealed here. Its place is
 * found by sealing a packet and looking for the only 8 bytes that went from 1 to 2 besides the
 * packets sent. */
static uint64_t *counter_of(struct pair *p)
{
    uint8_t packet[96];
    uint64_t *words = (uint64_t *)(void *)p->a.table, *before = malloc(p->a.size), *found = NULL;

    ENSURE(before != NULL);
    side_seal(&p->rng, &p->a, B, PACKET_VOTE, packet, 48);
    memcpy(before, words, p->a.size);
    side_seal(&p->rng, &p->a, B, PACKET_VOTE, packet, 48);
    const uint64_t *sent = &auth_peer(p->a.table, B)->sent;
    for (size_t i = 0; i < p->a.size / 8; i++)
        if (before[i] == 1 && words[i] == 2 && &words[i] != sent) {
            CU_ASSERT(found == NULL);
            found = &words[i];
        }
    free(before);
    CU_ASSERT_FATAL(found != NULL);
    return found;
}

static void test_counter_exhaustion(void)
{
    struct pair p;
    uint8_t packet[96];

    pair_new(&p, 17, A, B);
    pair_install(&p);
    CU_ASSERT(!auth_wants_handshake(p.a.table, B, 0, 1000));
    uint64_t *counter = counter_of(&p);
    *counter = AUTH_COUNTER_MAX - 2;
    CU_ASSERT(auth_wants_handshake(p.a.table, B, 0, 1000));
    CU_ASSERT(side_seal(&p.rng, &p.a, B, PACKET_VOTE, packet, 48) == 96);
    CU_ASSERT(side_seal(&p.rng, &p.a, B, PACKET_VOTE, packet, 48) == 96);
    CU_ASSERT(head_of(packet).counter == AUTH_COUNTER_MAX);
    CU_ASSERT(side_open(&p.b, packet, 96) == AUTH_OK);
    for (int i = 0; i < 3; i++)
        CU_ASSERT(side_seal(&p.rng, &p.a, B, PACKET_VOTE, packet, 48) == 0);
    CU_ASSERT(*counter == AUTH_COUNTER_MAX);
    pair_connect(&p.rng, &p.a, &p.b);
    CU_ASSERT(side_seal(&p.rng, &p.a, B, PACKET_VOTE, packet, 48) == 96);
    pair_free(&p);
}

static void test_wants_handshake(void)
{
    struct pair p;
    uint8_t packet[96];

    pair_new(&p, 18, A, B);
    CU_ASSERT(auth_wants_handshake(p.a.table, B, 0, 1000));
    p.for_a.now_ns = 5000;
    pair_install(&p);
    CU_ASSERT(!auth_wants_handshake(p.a.table, B, 6000, 1000));
    CU_ASSERT(auth_wants_handshake(p.a.table, B, 6001, 1000)); /* never answered */
    side_seal(&p.rng, &p.a, B, AUTH_KIND_PING, packet, 0);
    CU_ASSERT(side_open(&p.b, packet, 48) == AUTH_OK);
    CU_ASSERT(side_seal(&p.rng, &p.b, A, AUTH_KIND_PONG, packet, 0) == 48);
    const struct auth_peer *peer;
    const void *body;
    size_t body_size;
    CU_ASSERT(auth_open(p.a.table, packet, 48, 7000, &peer, &body, &body_size) == AUTH_OK);
    CU_ASSERT(body_size == 0 && !auth_wants_handshake(p.a.table, B, 8000, 1000));
    CU_ASSERT(auth_wants_handshake(p.a.table, B, 8001, 1000)); /* silent */
    pair_free(&p);
}

static void test_set_cluster(void)
{
    struct pair p;
    uint8_t packet[96];

    pair_new(&p, 19, A, B);
    pair_install(&p);
    side_seal(&p.rng, &p.a, B, PACKET_VOTE, packet, 48);
    auth_set_cluster(p.b.table, FIXTURE_CLUSTER);
    CU_ASSERT(side_live(&p.b) == 1);
    auth_set_cluster(p.b.table, 77);
    CU_ASSERT(side_live(&p.b) == 0);
    CU_ASSERT(side_open(&p.b, packet, 96) == AUTH_WRONG_CLUSTER);
    CU_ASSERT(!auth_install(p.b.table, &p.for_b));
    p.for_b.cluster = 77;
    CU_ASSERT(auth_install(p.b.table, &p.for_b));
    pair_free(&p);
}

/* Ended associations leave no key behind: neither raw nor expanded bytes of theirs are in the
 * table. */
static void test_keys_are_wiped(void)
{
    struct pair p;
    size_t found = 0;

    pair_new(&p, 20, A, B);
    pair_install(&p);
    for (int pass = 0; pass < 2; pass++) {
        const uint8_t *bytes = (const uint8_t *)p.a.table;
        found = 0;
        for (size_t i = 0; i + AUTH_KEY_SIZE <= p.a.size; i++) /* the first round key is the key */
            found += memcmp(bytes + i, p.for_a.key_in, AUTH_KEY_SIZE) == 0 ||
                     memcmp(bytes + i, p.for_a.key_out, AUTH_KEY_SIZE) == 0;
        CU_ASSERT(pass == 0 ? found >= 2 : found == 0);
        auth_forget(p.a.table, B);
    }
    pair_free(&p);
}

int main(void)
{
    static const struct unit_test tests[] = {
        {"seal and open, all lengths, both ways", test_round_trip},
        {"each bit of a packet of each kind", test_flipped_bits},
        {"each reason, in order", test_reasons_in_order},
        {"each kind under each set of rights", test_rights},
        {"2048 counters are open", test_window_through_packets},
        {"H18: the old association lives until the new one's first valid packet",
         test_h18_old_lives_until_first_packet},
        {"H18: a salt pair is installed once", test_h18_salts_install_once},
        {"H18: a doubled SALT leaves one association", test_h18_doubled_salt},
        {"unconfirmed associations are bounded", test_pending_bound},
        {"a full table refuses and changes nothing", test_full_table},
        {"wrong cluster, handle 0 or in use", test_install_refused},
        {"an answer by a retired association's view", test_stale_view},
        {"the address follows the highest counter", test_heard_from},
        {"no counter above 2^62", test_counter_exhaustion},
        {"when a handshake is due", test_wants_handshake},
        {"another cluster forgets all", test_set_cluster},
        {"ended keys are wiped", test_keys_are_wiped},
        {0}};
    return unit_main("auth", tests);
}
