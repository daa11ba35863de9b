/* Handshake packets that their sender could prove and must not have sent; keys that go; bounds. */
#include "dataplane/auth/handshake.h"

#include "dataplane/auth/handshake_crypto.h"
#include "dataplane/auth/handshake_wire.h"
#include "tests/unit/auth/shake.h"
#include "tests/unit/unit.h"

#include <stdlib.h>
#include <string.h>

/* The own key is withdrawn under way: no proof is made or taken without it. */
static void test_own_key_withdrawn(void)
{
    struct world *w = shake_world(21);
    struct datagram hello, cookie, salt, reply, none;

    begin(w, R1, R2, &hello);
    CU_ASSERT(give(w, R2, R1, &hello, &cookie) == HANDSHAKE_SEND);
    world_set_key(&w->node[R1], 1, -1, -1);
    CU_ASSERT(give(w, R1, R2, &cookie, &none) == HANDSHAKE_NOTHING);
    CU_ASSERT(rejects(w, R1, HANDSHAKE_UNKNOWN_PRINCIPAL) == 1);
    world_set_key(&w->node[R1], 1, 0, -1);
    CU_ASSERT(give(w, R1, R2, &cookie, &salt) == HANDSHAKE_SEND);
    CU_ASSERT(give(w, R2, R1, &salt, &reply) == HANDSHAKE_SEND_INSTALL);
    world_set_key(&w->node[R1], 1, -1, -1);
    CU_ASSERT(give(w, R1, R2, &reply, &none) == HANDSHAKE_NOTHING);
    CU_ASSERT(rejects(w, R1, HANDSHAKE_UNKNOWN_PRINCIPAL) == 2 && w->node[R1].installs == 0);
    world_set_key(&w->node[R1], 1, 0, -1);
    CU_ASSERT(give(w, R1, R2, &reply, &none) == HANDSHAKE_INSTALL);
    world_free(w);
}

/* A responder that proves the key and names another cluster than the SALT did. */
static void test_reply_of_another_cluster(void)
{
    struct world *w = shake_world(22);
    struct datagram d, out;
    struct handshake_salt salt;
    struct handshake_salt_reply reply;
    uint8_t root[AUTH_ROOT_SIZE];

    until_salt(w, R1, R2, &d);
    memcpy(&salt, d.bytes, sizeof salt);
    CU_ASSERT(give(w, R2, R1, &d, &out) == HANDSHAKE_SEND_INSTALL);
    memcpy(&reply, out.bytes, sizeof reply);
    reply.head.cluster++;
    world_root(1, 0, root);
    handshake_proof(root, &salt, &reply, reply.proof);
    memcpy(d.bytes, &reply, sizeof reply);
    d.size = sizeof reply;
    CU_ASSERT(give(w, R1, R2, &d, &out) == HANDSHAKE_NOTHING);
    CU_ASSERT(rejects(w, R1, HANDSHAKE_WRONG_CLUSTER) == 1 && w->node[R1].installs == 0);
    world_free(w);
}

/* Form of a SALT that its sender could prove: reserved bytes, handle 0, who has an incarnation. */
static void test_salt_out_of_form(void)
{
    static const uint32_t from[4] = {R1, R1, R1, CLIENT};
    struct world *w = shake_world(23);

    for (uint64_t i = 0; i < 4; i++) {
        struct datagram d, out;
        struct handshake_salt salt;
        uint8_t root[AUTH_ROOT_SIZE];
        until_salt(w, from[i], R2, &d);
        memcpy(&salt, d.bytes, sizeof salt);
        salt.reserved[2] = i == 0;
        if (i == 1)
            salt.handle = 0;
        if (i >= 2)
            salt.incarnation = i == 3;
        world_root(salt.head.from, 0, root);
        handshake_proof(root, &salt, NULL, salt.proof);
        struct datagram bad = d;
        memcpy(bad.bytes, &salt, sizeof salt);
        CU_ASSERT(give(w, R2, from[i], &bad, &out) == HANDSHAKE_NOTHING);
        CU_ASSERT(rejects(w, R2, HANDSHAKE_MALFORMED) == i + 1);
        CU_ASSERT(give(w, R2, from[i], &d, &out) == HANDSHAKE_SEND_INSTALL);
    }
    world_free(w);
}

/* Each of the four as another version would send it: counted apart and not answered, and the true
 * one that follows is taken. */
static void test_another_version(void)
{
    struct world *w = shake_world(26);
    struct datagram next, out;

    begin(w, R1, R2, &next);
    for (uint64_t i = 0; i < 4; i++) {
        uint32_t to = i % 2 == 0 ? R2 : R1, from = to == R2 ? R1 : R2;
        struct datagram other = next;
        other.bytes[1] = (uint8_t)(2 + i);
        CU_ASSERT(give(w, to, from, &other, &out) == HANDSHAKE_NOTHING);
        CU_ASSERT(rejects(w, to, HANDSHAKE_VERSION) == i / 2 + 1);
        other.bytes[0] ^= 1; /* no packet of ours, whatever its second byte is */
        CU_ASSERT(give(w, to, from, &other, &out) == HANDSHAKE_NOTHING);
        CU_ASSERT(rejects(w, to, HANDSHAKE_VERSION) == i / 2 + 1);
        CU_ASSERT(rejects(w, to, HANDSHAKE_MALFORMED) == i / 2 + 1);
        CU_ASSERT(give(w, to, from, &next, &out) != HANDSHAKE_NOTHING);
        next = out;
    }
    CU_ASSERT(w->node[R1].installs == 1 && w->node[R2].installs == 1);
    world_free(w);
}

static void zero_random(void *context, void *bytes, size_t size)
{
    (void)context;
    memset(bytes, 0, size);
}

/* Handle 0 means none: what is drawn as 0 becomes another. */
static void test_handle_is_never_0(void)
{
    struct world *w = shake_world(24);
    const struct handshake_options options = {
        .self = w->node[R1].identity, .keys = w->node[R1].keys, .random = zero_random};
    void *memory = calloc(1, handshake_size());
    struct datagram hello, cookie, out;
    struct handshake_salt salt;
    struct auth_install install;

    CU_ASSERT_PTR_NOT_NULL_FATAL(memory);
    struct handshake *h = handshake_init(memory, &options);
    for (uint32_t count = 0; count < 2; count++) {
        CU_ASSERT(handshake_begin(h, 2, &w->node[R2].address, w->now_ms, hello.bytes, &hello.size));
        CU_ASSERT(give(w, R2, R1, &hello, &cookie) == HANDSHAKE_SEND);
        CU_ASSERT(handshake_receive(h, cookie.bytes, cookie.size, &w->node[R2].address, w->now_ms,
                                    out.bytes, &out.size, &install) == HANDSHAKE_SEND);
        memcpy(&salt, out.bytes, sizeof salt);
        CU_ASSERT(salt.handle == (count == 0 ? 1u << 31 : 1));
    }
    free(memory);
    world_free(w);
}

/* A client has a handshake with every replica under way at once, and begins each anew. */
static void test_one_with_each_replica(void)
{
    struct world *w = shake_world(25);
    struct handshake *h = w->node[CLIENT].handshake;
    struct datagram d;

    for (int again = 0; again < 2; again++)
        for (uint32_t id = 1; id <= KEEL_REPLICA_MAX; id++)
            CU_ASSERT(handshake_begin(h, id, &w->node[R1].address, w->now_ms, d.bytes, &d.size));
    for (uint32_t id = 1; id <= KEEL_REPLICA_MAX; id++)
        CU_ASSERT(handshake_under_way(h, id));
    CU_ASSERT(!handshake_begin(h, KEEL_REPLICA_MAX + 1, &w->node[R1].address, w->now_ms, d.bytes,
                               &d.size));
    world_free(w);
}

int main(void)
{
    static const struct unit_test tests[] = {
        {"the own key is withdrawn under way", test_own_key_withdrawn},
        {"an answer of another cluster", test_reply_of_another_cluster},
        {"a SALT out of form", test_salt_out_of_form},
        {"a packet of another version", test_another_version},
        {"no handle is 0", test_handle_is_never_0},
        {"one handshake with each replica", test_one_with_each_replica},
        {0}};
    return unit_main("handshake forms", tests);
}
