#include "tests/unit/auth/fixture.h"

#include "tests/unit/unit.h"

#include <stdlib.h>
#include <string.h>

const uint8_t fixture_kind[FIXTURE_KINDS] = {
    AUTH_KIND_PING,     AUTH_KIND_PONG,    PACKET_PREVOTE,     PACKET_PREVOTE_REPLY,
    PACKET_VOTE,        PACKET_VOTE_REPLY, PACKET_APPEND,      PACKET_APPEND_REPLY,
    PACKET_CHAIN_ASK,   PACKET_CHAIN_TELL, PACKET_TIMEOUT_NOW, PACKET_FETCH,
    PACKET_FETCH_REPLY, PACKET_SUBMIT,     PACKET_OPEN,        PACKET_RESUME,
    PACKET_END,         PACKET_KEEPALIVE,  PACKET_RESULT,      PACKET_SESSION,
    PACKET_REDIRECT};

const uint32_t fixture_right[FIXTURE_KINDS] = {0,
                                               0,
                                               AUTH_RIGHT_PEER,
                                               AUTH_RIGHT_PEER,
                                               AUTH_RIGHT_PEER,
                                               AUTH_RIGHT_PEER,
                                               AUTH_RIGHT_PEER,
                                               AUTH_RIGHT_PEER,
                                               AUTH_RIGHT_PEER,
                                               AUTH_RIGHT_PEER,
                                               AUTH_RIGHT_PEER,
                                               AUTH_RIGHT_PEER,
                                               AUTH_RIGHT_PEER,
                                               AUTH_RIGHT_SUBMIT,
                                               AUTH_RIGHT_SUBMIT,
                                               AUTH_RIGHT_SUBMIT,
                                               AUTH_RIGHT_SUBMIT,
                                               AUTH_RIGHT_SUBMIT,
                                               AUTH_RIGHT_ANSWER,
                                               AUTH_RIGHT_ANSWER,
                                               AUTH_RIGHT_ANSWER};

static const struct auth_peer *last;

uint64_t rng_next(struct rng *rng)
{
    uint64_t z = rng->state += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

uint32_t rng_below(struct rng *rng, uint32_t bound)
{
    return (uint32_t)((rng_next(rng) >> 32) * bound >> 32);
}

void rng_bytes(struct rng *rng, void *bytes, size_t size)
{
    uint8_t *out = bytes;

    for (size_t i = 0; i < size; i++)
        out[i] = (uint8_t)rng_next(rng);
}

void side_init(struct side *side, uint32_t principal, uint64_t cluster)
{
    side->principal = principal;
    side->now_ns = 1000;
    side->size = auth_table_size(FIXTURE_ASSOCIATIONS);
    void *memory = aligned_alloc(64, side->size);
    ENSURE(memory != NULL);
    side->table = auth_table_init(memory, FIXTURE_ASSOCIATIONS, principal, cluster);
    ENSURE(side->table != NULL);
}

void side_free(struct side *side)
{
    free(side->table);
    side->table = NULL;
}

static uint32_t rights_between(uint32_t from, uint32_t to)
{
    if (from >= KEEL_CLIENT_MIN)
        return AUTH_RIGHT_SUBMIT;
    return to >= KEEL_CLIENT_MIN ? AUTH_RIGHT_ANSWER : AUTH_RIGHT_PEER;
}

void pair_draw(struct rng *rng, const struct side *a, const struct side *b,
               struct auth_install *for_a, struct auth_install *for_b)
{
    *for_a = (struct auth_install){.peer = b->principal,
                                   .rights = rights_between(b->principal, a->principal),
                                   .handle = (uint32_t)rng_next(rng) | 1,
                                   .peer_handle = (uint32_t)rng_next(rng) | 1,
                                   .initiator = true,
                                   .cluster = FIXTURE_CLUSTER,
                                   .ip = 0x0a000002,
                                   .port = 7000};
    rng_bytes(rng, for_a->key_in, AUTH_KEY_SIZE);
    rng_bytes(rng, for_a->key_out, AUTH_KEY_SIZE);
    rng_bytes(rng, for_a->salts, sizeof for_a->salts);
    *for_b = *for_a;
    for_b->peer = a->principal;
    for_b->rights = rights_between(a->principal, b->principal);
    for_b->handle = for_a->peer_handle;
    for_b->peer_handle = for_a->handle;
    for_b->initiator = false;
    memcpy(for_b->key_in, for_a->key_out, AUTH_KEY_SIZE);
    memcpy(for_b->key_out, for_a->key_in, AUTH_KEY_SIZE);
}

void pair_connect(struct rng *rng, struct side *a, struct side *b)
{
    struct auth_install for_a, for_b;

    pair_draw(rng, a, b, &for_a, &for_b);
    ENSURE(auth_install(a->table, &for_a) && auth_install(b->table, &for_b));
}

size_t side_seal(struct rng *rng, struct side *side, uint32_t to, uint8_t kind, uint8_t *packet,
                 size_t body_size)
{
    const struct auth_peer *peer = auth_peer(side->table, to);

    if (peer == NULL)
        return 0;
    rng_bytes(rng, packet + sizeof(struct packet), body_size);
    return auth_seal(side->table, peer, kind, packet, body_size);
}

enum auth_reject side_open(struct side *side, const uint8_t *packet, size_t size)
{
    const struct auth_peer *peer = NULL;
    const void *body = NULL;
    size_t body_size = SIZE_MAX;
    /* of its exact size, so that the sanitizer sees every read past a truncated packet */
    uint8_t *copy = malloc(size + (size == 0));
    void *before = malloc(side->size);

    ENSURE(copy != NULL && before != NULL);
    memcpy(copy, packet, size);
    memcpy(before, side->table, side->size);
    enum auth_reject reject =
        auth_open(side->table, copy, size, side->now_ns, &peer, &body, &body_size);
    if (reject == AUTH_OK) {
        CU_ASSERT(peer != NULL && body == copy + sizeof(struct packet) &&
                  body_size == size - sizeof(struct packet) - KEEL_TAG_SIZE);
        last = peer;
    } else {
        CU_ASSERT(memcmp(before, side->table, side->size) == 0);
        CU_ASSERT(peer == NULL && body == NULL && body_size == SIZE_MAX);
    }
    free(before);
    free(copy);
    return reject;
}

const struct auth_peer *side_last(void)
{
    return last;
}

void pair_new(struct pair *p, uint64_t seed, uint32_t a, uint32_t b)
{
    p->rng = (struct rng){seed};
    side_init(&p->a, a, FIXTURE_CLUSTER);
    side_init(&p->b, b, FIXTURE_CLUSTER);
    pair_draw(&p->rng, &p->a, &p->b, &p->for_a, &p->for_b);
}

void pair_install(struct pair *p)
{
    CU_ASSERT_FATAL(auth_install(p->a.table, &p->for_a));
    CU_ASSERT_FATAL(auth_install(p->b.table, &p->for_b));
}

void pair_free(struct pair *p)
{
    side_free(&p->a);
    side_free(&p->b);
}

static void count_one(void *context, const struct auth_peer *peer)
{
    (void)peer;
    ++*(uint32_t *)context;
}

uint32_t side_live(const struct side *side)
{
    uint32_t count = 0;

    auth_each(side->table, count_one, &count);
    return count;
}
