#include "tests/unit/auth/shake.h"

#include "tests/unit/unit.h"

struct world *shake_world(uint64_t seed)
{
    struct world *w = world_new(seed, 2, 1);

    for (uint32_t i = 0; i < 3; i++)
        world_start(w, i);
    return w;
}

void begin(struct world *w, uint32_t from, uint32_t to, struct datagram *hello)
{
    CU_ASSERT_FATAL(handshake_begin(w->node[from].handshake, w->node[to].principal,
                                    &w->node[to].address, w->now_ms, hello->bytes, &hello->size));
    CU_ASSERT(handshake_under_way(w->node[from].handshake, w->node[to].principal));
}

enum handshake_event give(struct world *w, uint32_t to, uint32_t from, const struct datagram *in,
                          struct datagram *out)
{
    return world_deliver(w, to, from, in->bytes, in->size, out->bytes, &out->size);
}

uint64_t rejects(const struct world *w, uint32_t node, enum handshake_reject reject)
{
    return handshake_rejects(w->node[node].handshake)[reject];
}

void until_salt(struct world *w, uint32_t from, uint32_t to, struct datagram *salt)
{
    struct datagram hello, cookie;

    begin(w, from, to, &hello);
    CU_ASSERT_FATAL(give(w, to, from, &hello, &cookie) == HANDSHAKE_SEND);
    CU_ASSERT_FATAL(give(w, from, to, &cookie, salt) == HANDSHAKE_SEND);
    CU_ASSERT(hello.size == 72 && cookie.size == 72 && salt->size == 168);
}

bool shake(struct world *w, uint32_t from, uint32_t to)
{
    struct datagram salt, reply, none;

    until_salt(w, from, to, &salt);
    return give(w, to, from, &salt, &reply) == HANDSHAKE_SEND_INSTALL && reply.size == 144 &&
           give(w, from, to, &reply, &none) == HANDSHAKE_INSTALL &&
           !handshake_under_way(w->node[from].handshake, w->node[to].principal);
}

enum auth_reject carry(struct world *w, uint32_t from, uint32_t to, uint8_t kind)
{
    uint8_t packet[KEEL_DATAGRAM_MAX];
    size_t size = side_seal(&w->rng, &w->node[from].side, w->node[to].principal, kind, packet, 32);

    return size == 0 ? AUTH_REJECT_COUNT : side_open(&w->node[to].side, packet, size);
}
