#include "dataplane/auth/handshake.h"

#include "dataplane/auth/handshake_crypto.h"
#include "dataplane/auth/handshake_wire.h"
#include "tests/unit/auth/shake.h"
#include "tests/unit/unit.h"

#include <stdlib.h>
#include <string.h>

static void test_replica_to_replica(void)
{
    struct world *w = shake_world(1);

    CU_ASSERT_FATAL(shake(w, R1, R2));
    const struct auth_install *at1 = &w->node[R1].last_install, *at2 = &w->node[R2].last_install;
    CU_ASSERT(at1->peer == 2 && at2->peer == 1 && at1->initiator && !at2->initiator);
    CU_ASSERT(at1->rights == AUTH_RIGHT_PEER && at2->rights == AUTH_RIGHT_PEER);
    CU_ASSERT(at1->handle == at2->peer_handle && at2->handle == at1->peer_handle);
    CU_ASSERT(at1->handle != 0 && at2->handle != 0);
    CU_ASSERT(memcmp(at1->key_in, at2->key_out, AUTH_KEY_SIZE) == 0);
    CU_ASSERT(memcmp(at1->key_out, at2->key_in, AUTH_KEY_SIZE) == 0);
    CU_ASSERT(memcmp(at1->key_in, at1->key_out, AUTH_KEY_SIZE) != 0);
    CU_ASSERT(memcmp(at1->salts, at2->salts, sizeof at1->salts) == 0);
    CU_ASSERT(at1->cluster == FIXTURE_CLUSTER && at2->cluster == FIXTURE_CLUSTER);
    CU_ASSERT(at1->peer_incarnation == 501 && at2->peer_incarnation == 500);
    CU_ASSERT(at1->peer_boot == 1 && at1->peer_boot_id == w->node[R2].identity.boot_id);
    CU_ASSERT(at2->peer_boot == 1 && at2->peer_boot_id == w->node[R1].identity.boot_id);
    CU_ASSERT(at1->ip == w->node[R2].address.ip && at2->ip == w->node[R1].address.ip);
    CU_ASSERT(memcmp(at2->mac, w->node[R1].address.mac, 6) == 0);
    CU_ASSERT(carry(w, R1, R2, PACKET_VOTE) == AUTH_OK);
    CU_ASSERT(carry(w, R2, R1, PACKET_VOTE_REPLY) == AUTH_OK);
    world_free(w);
}

/* H13: what each side remembers of the other, of the incarnation that the other really has, arrives
 * there proven. A run of events that needs it: replica 2 loses its last page, which its drive had
 * confirmed; only replica 1 still knows that 2 acknowledged it. */
static void test_h13_witness_facts(void)
{
    struct world *w = shake_world(2);

    CU_ASSERT_FATAL(shake(w, R1, R2));
    const struct auth_install *at1 = &w->node[R1].last_install, *at2 = &w->node[R2].last_install;
    CU_ASSERT(at1->witness_index == 2001 && at1->witness_term == 500 && at1->witness_vote == 1);
    CU_ASSERT(at2->witness_index == 1002 && at2->witness_term == 501 && at2->witness_vote == 2);
    CU_ASSERT_FATAL(shake(w, CLIENT, R1));
    at1 = &w->node[R1].last_install;
    CU_ASSERT(at1->peer == 100 && at1->witness_index == 0 && at1->witness_term == 0 &&
              at1->witness_vote == 0);
    at2 = &w->node[CLIENT].last_install;
    CU_ASSERT(at2->witness_index == 0 && at2->witness_term == 0 && at2->witness_vote == 0);
    world_free(w);
}

/* A gateway cannot depose a leader: its AppendEntries carries a right tag and is refused. */
static void test_client_rights(void)
{
    struct world *w = shake_world(3);

    CU_ASSERT_FATAL(shake(w, CLIENT, R2));
    CU_ASSERT(w->node[CLIENT].last_install.rights == AUTH_RIGHT_ANSWER);
    CU_ASSERT(w->node[R2].last_install.rights == AUTH_RIGHT_SUBMIT);
    for (int i = 0; i < FIXTURE_KINDS; i++)
        if (fixture_right[i] == AUTH_RIGHT_PEER || fixture_right[i] == AUTH_RIGHT_ANSWER)
            CU_ASSERT(carry(w, CLIENT, R2, fixture_kind[i]) == AUTH_NO_RIGHT);
    CU_ASSERT(carry(w, CLIENT, R2, PACKET_SUBMIT) == AUTH_OK);
    CU_ASSERT(carry(w, R2, CLIENT, PACKET_SUBMIT) == AUTH_NO_RIGHT);
    CU_ASSERT(carry(w, R2, CLIENT, PACKET_APPEND) == AUTH_NO_RIGHT);
    CU_ASSERT(carry(w, R2, CLIENT, PACKET_RESULT) == AUTH_OK);
    world_free(w);
}

/* Of two replicas the lower id begins; nobody begins with a client; nobody without a key. */
static void test_who_begins(void)
{
    struct world *w = shake_world(4);
    struct datagram d;

    CU_ASSERT(
        !handshake_begin(w->node[R2].handshake, 1, &w->node[R1].address, 0, d.bytes, &d.size));
    CU_ASSERT(
        !handshake_begin(w->node[R1].handshake, 1, &w->node[R1].address, 0, d.bytes, &d.size));
    CU_ASSERT(!handshake_begin(w->node[R1].handshake, 100, &w->node[CLIENT].address, 0, d.bytes,
                               &d.size));
    CU_ASSERT(
        !handshake_begin(w->node[R1].handshake, 9, &w->node[R1].address, 0, d.bytes, &d.size));
    world_set_key(&w->node[R1], 1, -1, -1);
    CU_ASSERT(
        !handshake_begin(w->node[R1].handshake, 2, &w->node[R2].address, 0, d.bytes, &d.size));
    world_set_key(&w->node[R1], 1, 0, -1);
    begin(w, R1, R2, &d);
    struct packet head;
    memcpy(&head, d.bytes, sizeof head);
    head.from = 2; /* a HELLO from above, and one from itself */
    head.to = 1;
    memcpy(d.bytes, &head, sizeof head);
    struct datagram out;
    CU_ASSERT(give(w, R1, R2, &d, &out) == HANDSHAKE_NOTHING);
    head.from = 1;
    memcpy(d.bytes, &head, sizeof head);
    CU_ASSERT(give(w, R1, R2, &d, &out) == HANDSHAKE_NOTHING);
    CU_ASSERT(rejects(w, R1, HANDSHAKE_UNEXPECTED) == 2);
    world_free(w);
}

/* H18: the same SALT twice. The responder answers both, with salts, handles and keys of their own;
 * the initiator installs the first answer that comes, whichever it is, and never the other. */
static void test_h18_doubled_salt(void)
{
    for (int first = 0; first < 2; first++) {
        struct world *w = shake_world(5);
        struct datagram salt, reply[2], none;
        struct auth_install install[2];
        until_salt(w, R1, R2, &salt);
        for (int i = 0; i < 2; i++) {
            CU_ASSERT(give(w, R2, R1, &salt, &reply[i]) == HANDSHAKE_SEND_INSTALL);
            install[i] = w->node[R2].last_install;
        }
        CU_ASSERT(memcmp(install[0].salts, install[1].salts, AUTH_SALT_SIZE) == 0);
        CU_ASSERT(memcmp(install[0].salts + AUTH_SALT_SIZE, install[1].salts + AUTH_SALT_SIZE,
                         AUTH_SALT_SIZE) != 0);
        CU_ASSERT(memcmp(install[0].key_in, install[1].key_in, AUTH_KEY_SIZE) != 0);
        CU_ASSERT(memcmp(install[0].key_out, install[1].key_out, AUTH_KEY_SIZE) != 0);
        CU_ASSERT(install[0].handle != install[1].handle);
        CU_ASSERT(give(w, R1, R2, &reply[first], &none) == HANDSHAKE_INSTALL);
        CU_ASSERT(give(w, R1, R2, &reply[!first], &none) == HANDSHAKE_NOTHING);
        CU_ASSERT(give(w, R1, R2, &reply[first], &none) == HANDSHAKE_NOTHING);
        CU_ASSERT(rejects(w, R1, HANDSHAKE_UNEXPECTED) == 2 && w->node[R1].installs == 1);
        CU_ASSERT(carry(w, R1, R2, PACKET_VOTE) == AUTH_OK);
        CU_ASSERT(carry(w, R2, R1, PACKET_VOTE_REPLY) == AUTH_OK);
        CU_ASSERT(auth_peer(w->node[R2].side.table, 1)->handle == install[first].handle);
        world_free(w);
    }
}

/* H18: answers of two handshakes swapped. The first handshake's SALT_REPLY comes when the second is
 * under way: it is not this handshake's (nonce), nor would its proof fit. */
static void test_h18_swapped_replies(void)
{
    struct world *w = shake_world(6);
    struct datagram salt1, salt2, reply1, reply2, none;

    until_salt(w, R1, R2, &salt1);
    CU_ASSERT(give(w, R2, R1, &salt1, &reply1) == HANDSHAKE_SEND_INSTALL);
    until_salt(w, R1, R2, &salt2);
    CU_ASSERT(give(w, R2, R1, &salt2, &reply2) == HANDSHAKE_SEND_INSTALL);
    CU_ASSERT(give(w, R1, R2, &reply1, &none) == HANDSHAKE_NOTHING);
    CU_ASSERT(rejects(w, R1, HANDSHAKE_UNEXPECTED) == 1);
    memcpy(reply1.bytes + offsetof(struct handshake_salt_reply, nonce),
           reply2.bytes + offsetof(struct handshake_salt_reply, nonce), HANDSHAKE_NONCE_SIZE);
    CU_ASSERT(give(w, R1, R2, &reply1, &none) == HANDSHAKE_NOTHING);
    CU_ASSERT(rejects(w, R1, HANDSHAKE_BAD_PROOF) == 1);
    CU_ASSERT(give(w, R1, R2, &reply2, &none) == HANDSHAKE_INSTALL);
    CU_ASSERT(carry(w, R1, R2, PACKET_VOTE) == AUTH_OK);
    world_free(w);
}

/* H18: everything recorded before a restart of the responder is worth nothing after it: the
 * cookie's secret is new. After a restart of the initiator nothing recorded is expected. */
static void test_h18_restart(void)
{
    struct world *w = shake_world(7);
    struct datagram hello, cookie, salt, reply, out;
    uint8_t packet[KEEL_DATAGRAM_MAX];

    begin(w, R1, R2, &hello);
    CU_ASSERT(give(w, R2, R1, &hello, &cookie) == HANDSHAKE_SEND);
    CU_ASSERT(give(w, R1, R2, &cookie, &salt) == HANDSHAKE_SEND);
    CU_ASSERT(give(w, R2, R1, &salt, &reply) == HANDSHAKE_SEND_INSTALL);
    CU_ASSERT(give(w, R1, R2, &reply, &out) == HANDSHAKE_INSTALL);
    size_t size = side_seal(&w->rng, &w->node[R1].side, 2, PACKET_VOTE, packet, 32);
    CU_ASSERT(side_open(&w->node[R2].side, packet, size) == AUTH_OK);

    world_start(w, R2);
    CU_ASSERT(give(w, R2, R1, &salt, &out) == HANDSHAKE_NOTHING);
    CU_ASSERT(rejects(w, R2, HANDSHAKE_BAD_COOKIE) == 1);
    CU_ASSERT(side_open(&w->node[R2].side, packet, size) == AUTH_NO_ASSOCIATION);
    world_start(w, R1);
    CU_ASSERT(give(w, R1, R2, &cookie, &out) == HANDSHAKE_NOTHING);
    CU_ASSERT(give(w, R1, R2, &reply, &out) == HANDSHAKE_NOTHING);
    CU_ASSERT(rejects(w, R1, HANDSHAKE_UNEXPECTED) == 2);
    CU_ASSERT(give(w, R2, R1, &hello, &cookie) == HANDSHAKE_SEND); /* anybody may ask */
    CU_ASSERT(give(w, R1, R2, &cookie, &out) == HANDSHAKE_NOTHING);
    CU_ASSERT_FATAL(shake(w, R1, R2));
    CU_ASSERT(side_open(&w->node[R2].side, packet, size) == AUTH_NO_ASSOCIATION);
    CU_ASSERT(carry(w, R1, R2, PACKET_VOTE) == AUTH_OK);
    CU_ASSERT(carry(w, R2, R1, PACKET_VOTE_REPLY) == AUTH_OK);
    world_free(w);
}

/* H2: an image taken at boot 1 is started while the original runs as boot 2: the copy is boot 2 as
 * well, with another boot id, and is refused; so is the image itself at boot 1. A higher boot is
 * taken. Both roles ask. */
static void test_h2_old_boots(void)
{
    struct world *w = shake_world(8);
    struct node *r1 = &w->node[R1], *r2 = &w->node[R2];
    struct datagram salt, reply, none;

    r2->seen[R1] = (struct boots){2, 77};
    until_salt(w, R1, R2, &salt); /* boot 1 */
    CU_ASSERT(give(w, R2, R1, &salt, &none) == HANDSHAKE_NOTHING);
    r1->identity.boot = 2;
    handshake_identity(r1->handshake, &r1->identity); /* boot 2, another id */
    until_salt(w, R1, R2, &salt);
    CU_ASSERT(give(w, R2, R1, &salt, &none) == HANDSHAKE_NOTHING);
    CU_ASSERT(rejects(w, R2, HANDSHAKE_OLD_BOOT) == 2 && r2->refused_boots == 2);
    CU_ASSERT(r2->installs == 0);
    r1->identity.boot_id = 77;
    handshake_identity(r1->handshake, &r1->identity);
    CU_ASSERT(shake(w, R1, R2));
    r1->identity.boot = 3;
    r1->identity.boot_id = 78;
    handshake_identity(r1->handshake, &r1->identity);
    CU_ASSERT(shake(w, R1, R2));
    CU_ASSERT(r2->seen[R1].boot == 2); /* asking notes nothing: that waits for a packet */

    r1->seen[R2] = (struct boots){1, r2->identity.boot_id + 1}; /* a clone of the responder */
    until_salt(w, R1, R2, &salt);
    CU_ASSERT(give(w, R2, R1, &salt, &reply) == HANDSHAKE_SEND_INSTALL);
    CU_ASSERT(give(w, R1, R2, &reply, &none) == HANDSHAKE_NOTHING);
    CU_ASSERT(rejects(w, R1, HANDSHAKE_OLD_BOOT) == 1);
    world_free(w);
}

static void test_wrong_cluster(void)
{
    struct world *w = shake_world(9);
    struct datagram salt, none;

    w->node[R1].identity.cluster++;
    handshake_identity(w->node[R1].handshake, &w->node[R1].identity);
    until_salt(w, R1, R2, &salt);
    CU_ASSERT(give(w, R2, R1, &salt, &none) == HANDSHAKE_NOTHING);
    w->node[R1].identity.cluster = 0; /* a replica before genesis is of no other's cluster */
    handshake_identity(w->node[R1].handshake, &w->node[R1].identity);
    until_salt(w, R1, R2, &salt);
    CU_ASSERT(give(w, R2, R1, &salt, &none) == HANDSHAKE_NOTHING);
    w->node[CLIENT].identity.cluster++;
    handshake_identity(w->node[CLIENT].handshake, &w->node[CLIENT].identity);
    until_salt(w, CLIENT, R2, &salt);
    CU_ASSERT(give(w, R2, CLIENT, &salt, &none) == HANDSHAKE_NOTHING);
    CU_ASSERT(rejects(w, R2, HANDSHAKE_WRONG_CLUSTER) == 3 && w->node[R2].installs == 0);
    world_free(w);
}

/* Before genesis both say 0; after it both associations are made again. A client that names no
 * cluster takes the one that the replica proves. */
static void test_cluster_zero(void)
{
    struct world *w = shake_world(10);

    for (uint32_t i = 0; i < 3; i++) {
        w->node[i].identity.cluster = 0;
        handshake_identity(w->node[i].handshake, &w->node[i].identity);
        auth_set_cluster(w->node[i].side.table, 0);
    }
    CU_ASSERT_FATAL(shake(w, R1, R2));
    CU_ASSERT(carry(w, R1, R2, PACKET_VOTE) == AUTH_OK);
    for (uint32_t i = 0; i < 2; i++) {
        w->node[i].identity.cluster = 1234;
        handshake_identity(w->node[i].handshake, &w->node[i].identity);
        auth_set_cluster(w->node[i].side.table, 1234);
    }
    CU_ASSERT(carry(w, R1, R2, PACKET_VOTE) == AUTH_REJECT_COUNT);
    CU_ASSERT_FATAL(shake(w, R1, R2));
    CU_ASSERT(carry(w, R1, R2, PACKET_VOTE) == AUTH_OK);
    auth_set_cluster(w->node[CLIENT].side.table, 1234);
    CU_ASSERT_FATAL(shake(w, CLIENT, R1));
    CU_ASSERT(w->node[CLIENT].last_install.cluster == 1234);
    CU_ASSERT(carry(w, CLIENT, R1, PACKET_SUBMIT) == AUTH_OK);
    world_free(w);
}

/* Genesis comes between SALT and SALT_REPLY: the answer is dropped, the next retry says HELLO with
 * the new identity. */
static void test_identity_changes_under_way(void)
{
    struct world *w = shake_world(11);
    struct datagram salt, reply, none, retry;
    struct handshake_address to;

    until_salt(w, R1, R2, &salt);
    CU_ASSERT(give(w, R2, R1, &salt, &reply) == HANDSHAKE_SEND_INSTALL);
    w->node[R1].identity.boot = 9;
    handshake_identity(w->node[R1].handshake, &w->node[R1].identity);
    CU_ASSERT(give(w, R1, R2, &reply, &none) == HANDSHAKE_NOTHING);
    CU_ASSERT_FATAL(
        handshake_retry(w->node[R1].handshake, w->now_ms, &to, retry.bytes, &retry.size));
    CU_ASSERT(retry.size == 72 && retry.bytes[2] == PACKET_HELLO);
    CU_ASSERT(!handshake_retry(w->node[R1].handshake, w->now_ms, &to, none.bytes, &none.size));
    CU_ASSERT(give(w, R2, R1, &retry, &reply) == HANDSHAKE_SEND);
    CU_ASSERT(give(w, R1, R2, &reply, &salt) == HANDSHAKE_SEND);
    CU_ASSERT(give(w, R2, R1, &salt, &reply) == HANDSHAKE_SEND_INSTALL);
    CU_ASSERT(w->node[R2].last_install.peer_boot == 9);
    CU_ASSERT(give(w, R1, R2, &reply, &none) == HANDSHAKE_INSTALL);
    /* between HELLO and COOKIE: that cookie is not taken either */
    begin(w, R1, R2, &retry);
    CU_ASSERT(give(w, R2, R1, &retry, &reply) == HANDSHAKE_SEND);
    w->node[R1].identity.boot = 10;
    handshake_identity(w->node[R1].handshake, &w->node[R1].identity);
    uint64_t before = rejects(w, R1, HANDSHAKE_UNEXPECTED);
    CU_ASSERT(give(w, R1, R2, &reply, &none) == HANDSHAKE_NOTHING);
    CU_ASSERT(rejects(w, R1, HANDSHAKE_UNEXPECTED) == before + 1);
    CU_ASSERT(shake(w, R1, R2) && w->node[R2].last_install.peer_boot == 10);
    world_free(w);
}

/* Runs retries until a handshake is finished or 60 s have passed; true if finished. */
static bool shake_with_retries(struct world *w, uint32_t from, uint32_t to)
{
    struct datagram d;
    uint64_t until = w->now_ms + 60000;

    begin(w, from, to, &d);
    world_send(w, from, to, d.bytes, d.size);
    while (w->now_ms < until && handshake_under_way(w->node[from].handshake, w->node[to].principal))
        world_step(w);
    return !handshake_under_way(w->node[from].handshake, w->node[to].principal);
}

/* Roll-over: each order of steps keeps the two sides together as long as their files share a key.
 */
static void test_key_rollover(void)
{
    static const struct {
        int own[2], held[2]; /* generations in the initiator's and the responder's file */
        bool meets;
    } step[] = {{{0, -1}, {0, -1}, true},  {{0, -1}, {0, 1}, true},  {{0, 1}, {0, 1}, true},
                {{1, 0}, {0, 1}, true},    {{1, -1}, {0, 1}, true},  {{1, -1}, {1, -1}, true},
                {{0, 1}, {1, -1}, true},   {{1, 0}, {0, -1}, true},  {{1, -1}, {0, -1}, false},
                {{0, -1}, {1, -1}, false}, {{0, -1}, {-1, 0}, false}};

    for (size_t i = 0; i < sizeof step / sizeof step[0]; i++) {
        struct world *w = world_new(12, 2, 0);
        world_start(w, R1);
        world_start(w, R2);
        world_set_key(&w->node[R1], 1, step[i].own[0], step[i].own[1]);
        world_set_key(&w->node[R2], 1, step[i].held[0], step[i].held[1]);
        handshake_keys(w->node[R1].handshake, w->node[R1].keys);
        handshake_keys(w->node[R2].handshake, w->node[R2].keys);
        CU_ASSERT(shake_with_retries(w, R1, R2) == step[i].meets);
        CU_ASSERT((w->node[R2].installs > 0) == step[i].meets);
        if (!step[i].meets)
            CU_ASSERT(rejects(w, R2, HANDSHAKE_BAD_PROOF) +
                          rejects(w, R2, HANDSHAKE_UNKNOWN_PRINCIPAL) >
                      5);
        world_free(w);
    }
}

/* A cookie is bound to address, principal and nonce, and dies. */
static void test_cookie_bounds(void)
{
    struct world *w = shake_world(13);
    struct datagram salt, out;

    w->now_ms = HANDSHAKE_COOKIE_MS * 7; /* a slot's first instant */
    until_salt(w, R1, R2, &salt);
    struct handshake_address home = w->node[R1].address;
    w->node[R1].address.port++;
    CU_ASSERT(give(w, R2, R1, &salt, &out) == HANDSHAKE_NOTHING);
    w->node[R1].address = home;
    w->node[R1].address.ip += 100;
    CU_ASSERT(give(w, R2, R1, &salt, &out) == HANDSHAKE_NOTHING);
    w->node[R1].address = home;
    CU_ASSERT(rejects(w, R2, HANDSHAKE_BAD_COOKIE) == 2);
    w->now_ms += HANDSHAKE_COOKIE_MS - 1;
    CU_ASSERT(give(w, R2, R1, &salt, &out) == HANDSHAKE_SEND_INSTALL);
    w->now_ms += 1;
    CU_ASSERT(give(w, R2, R1, &salt, &out) == HANDSHAKE_NOTHING);
    CU_ASSERT(rejects(w, R2, HANDSHAKE_BAD_COOKIE) == 3);
    world_free(w);
}

/* One principal's cookie, with the proof of another that it also has the key of. */
static void test_cookie_names_its_principal(void)
{
    struct world *w = shake_world(19);
    struct datagram d, out;
    struct handshake_salt salt;
    uint8_t root[AUTH_ROOT_SIZE];

    until_salt(w, CLIENT, R2, &d);
    memcpy(&salt, d.bytes, sizeof salt);
    salt.head.from = 1;
    salt.incarnation = 500;
    world_root(1, 0, root);
    handshake_proof(root, &salt, NULL, salt.proof);
    memcpy(d.bytes, &salt, sizeof salt);
    CU_ASSERT(give(w, R2, CLIENT, &d, &out) == HANDSHAKE_NOTHING);
    CU_ASSERT(rejects(w, R2, HANDSHAKE_BAD_COOKIE) == 1);
    world_free(w);
}

/* The responder was formatted anew between COOKIE and SALT: what the initiator remembers is of
 * another incarnation. And an answer, proven, of another incarnation than the SALT was for. */
static void test_incarnation_changes_under_way(void)
{
    struct world *w = shake_world(20);
    struct datagram d, out;
    struct handshake_salt salt;
    struct handshake_salt_reply reply;
    uint8_t root[AUTH_ROOT_SIZE];

    until_salt(w, R1, R2, &d);
    memcpy(&salt, d.bytes, sizeof salt);
    w->node[R2].identity.incarnation++;
    handshake_identity(w->node[R2].handshake, &w->node[R2].identity);
    CU_ASSERT(give(w, R2, R1, &d, &out) == HANDSHAKE_NOTHING);
    CU_ASSERT(rejects(w, R2, HANDSHAKE_UNEXPECTED) == 1 && w->node[R2].installs == 0);
    w->node[R2].identity.incarnation--;
    handshake_identity(w->node[R2].handshake, &w->node[R2].identity);
    CU_ASSERT(give(w, R2, R1, &d, &out) == HANDSHAKE_SEND_INSTALL);
    memcpy(&reply, out.bytes, sizeof reply);
    reply.incarnation++;
    world_root(1, 0, root);
    handshake_proof(root, &salt, &reply, reply.proof);
    memcpy(d.bytes, &reply, sizeof reply);
    d.size = sizeof reply;
    CU_ASSERT(give(w, R1, R2, &d, &out) == HANDSHAKE_NOTHING);
    CU_ASSERT(rejects(w, R1, HANDSHAKE_UNEXPECTED) == 1 && w->node[R1].installs == 0);
    world_free(w);
}

/* Each bit of each handshake packet: nothing is installed on either side, and the packet as it was
 * still works. The proof covers all that the cookie and the form do not. */
static void test_flipped_bits(void)
{
    struct world *w = shake_world(14);
    struct datagram d[4], out;
    static const uint32_t to[4] = {R2, R1, R2, R1}, from[4] = {R1, R2, R1, R2};
    static const enum handshake_event want[4] = {HANDSHAKE_SEND, HANDSHAKE_SEND,
                                                 HANDSHAKE_SEND_INSTALL, HANDSHAKE_INSTALL};
    uint64_t harmless = 0;

    begin(w, R1, R2, &d[0]);
    for (int i = 0; i < 4; i++) {
        for (size_t bit = 0; bit < d[i].size * 8; bit++) {
            w->now_ms += 1000 / HANDSHAKE_SALT_PER_S + 1;
            if (i == 1 || i == 3) { /* a changed COOKIE ends the round: give it to a copy */
                struct handshake *kept = malloc(handshake_size());
                ENSURE(kept != NULL);
                memcpy(kept, w->node[R1].handshake, handshake_size());
                d[i].bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
                enum handshake_event event = give(w, to[i], from[i], &d[i], &out);
                CU_ASSERT(event == HANDSHAKE_NOTHING || i == 1);
                if (event == HANDSHAKE_SEND) { /* the SALT that follows is refused */
                    struct datagram reply;
                    enum handshake_event then = give(w, R2, R1, &out, &reply);
                    bool head = bit / 8 >= 24 && bit / 8 < 32; /* COOKIE's cluster says nothing */
                    CU_ASSERT(then == (head ? HANDSHAKE_SEND_INSTALL : HANDSHAKE_NOTHING));
                    harmless += then == HANDSHAKE_SEND_INSTALL;
                }
                memcpy(w->node[R1].handshake, kept, handshake_size());
                free(kept);
            } else {
                uint64_t installs = w->node[R2].installs;
                if (i == 2) /* a fresh cookie each time, so that the proof has to tell */
                    until_salt(w, R1, R2, &d[2]);
                d[i].bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
                enum handshake_event event = give(w, to[i], from[i], &d[i], &out);
                CU_ASSERT(event == HANDSHAKE_NOTHING || (i == 0 && event == HANDSHAKE_SEND));
                CU_ASSERT(w->node[R2].installs == installs);
            }
            d[i].bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        }
        for (size_t size = 0; size <= HANDSHAKE_PACKET_MAX; size++) {
            struct datagram cut = d[i];
            cut.size = size;
            if (size != d[i].size)
                CU_ASSERT(give(w, to[i], from[i], &cut, &out) == HANDSHAKE_NOTHING);
        }
        if (i == 2)
            until_salt(w, R1, R2, &d[2]);
        CU_ASSERT_FATAL(give(w, to[i], from[i], &d[i], i < 3 ? &d[i + 1] : &out) == want[i]);
    }
    /* SALT: salt, incarnation to witness, handle and vote, proof; and kinds, from, cluster of its
     * head */
    CU_ASSERT(rejects(w, R2, HANDSHAKE_BAD_PROOF) >= 8 * (16 + 40 + 16 + 5 + 32));
    CU_ASSERT(harmless == 64);
    CU_ASSERT(w->node[R1].installs == 1);
    world_free(w);
}

/* A root key that the other side does not have, and a principal that it does not know. */
static void test_strangers(void)
{
    struct world *w = shake_world(15);
    struct datagram salt, hello, out;

    world_set_key(&w->node[R2], 100, 1, -1);
    until_salt(w, CLIENT, R2, &salt);
    CU_ASSERT(give(w, R2, CLIENT, &salt, &out) == HANDSHAKE_NOTHING);
    CU_ASSERT(rejects(w, R2, HANDSHAKE_BAD_PROOF) == 1);
    world_set_key(&w->node[R2], 100, -1, -1); /* withdrawn between HELLO and SALT */
    CU_ASSERT(give(w, R2, CLIENT, &salt, &out) == HANDSHAKE_NOTHING);
    begin(w, CLIENT, R2, &hello);
    CU_ASSERT(give(w, R2, CLIENT, &hello, &out) == HANDSHAKE_NOTHING);
    CU_ASSERT(rejects(w, R2, HANDSHAKE_UNKNOWN_PRINCIPAL) == 2);
    CU_ASSERT(give(w, R1, CLIENT, &hello, &out) == HANDSHAKE_NOTHING);
    CU_ASSERT(rejects(w, R1, HANDSHAKE_WRONG_RECEIVER) == 1);
    handshake_cancel(w->node[CLIENT].handshake, 2);
    CU_ASSERT(!handshake_under_way(w->node[CLIENT].handshake, 2));
    world_free(w);
}

static void test_names(void)
{
    for (int a = 0; a < HANDSHAKE_REJECT_COUNT; a++)
        for (int b = 0; b < a; b++)
            CU_ASSERT(strcmp(handshake_reject_name((enum handshake_reject)a),
                             handshake_reject_name((enum handshake_reject)b)) != 0);
    for (int none = 0; none < 2; none++)
        CU_ASSERT(
            strcmp(handshake_reject_name((enum handshake_reject)(HANDSHAKE_REJECT_COUNT + none)),
                   "unknown") == 0);
}

int main(void)
{
    static const struct unit_test tests[] = {
        {"two replicas", test_replica_to_replica},
        {"H13: witness facts of the right incarnation arrive", test_h13_witness_facts},
        {"a client's rights", test_client_rights},
        {"who begins", test_who_begins},
        {"H18: doubled SALT, either answer", test_h18_doubled_salt},
        {"H18: swapped answers", test_h18_swapped_replies},
        {"H18: nothing recorded survives a restart", test_h18_restart},
        {"H2: old and equal boots are refused by both roles", test_h2_old_boots},
        {"wrong cluster", test_wrong_cluster},
        {"cluster 0 before genesis, and in a client", test_cluster_zero},
        {"identity changes under way", test_identity_changes_under_way},
        {"key roll-over", test_key_rollover},
        {"a cookie's bounds", test_cookie_bounds},
        {"a cookie names its principal", test_cookie_names_its_principal},
        {"incarnations change under way", test_incarnation_changes_under_way},
        {"each bit of each handshake packet", test_flipped_bits},
        {"strangers", test_strangers},
        {"names of rejections", test_names},
        {0}};
    return unit_main("handshake", tests);
}
