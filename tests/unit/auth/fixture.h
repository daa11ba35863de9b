/* What the authentication tests share: a seeded generator, a side (table, handshake, keys, boot), a
 * pair of tables with associations made by hand, and packets for every kind.
 */
#ifndef KEEL_TESTS_AUTH_FIXTURE_H
#define KEEL_TESTS_AUTH_FIXTURE_H

#include "dataplane/auth/auth.h"
#include "dataplane/auth/handshake.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    FIXTURE_ASSOCIATIONS = 16,
    FIXTURE_CLUSTER = 0x7e57,
    FIXTURE_KINDS = 21 /* kinds under an association, PING and PONG among them */
};
extern const uint8_t fixture_kind[FIXTURE_KINDS];
/* The right that fixture_kind[i] needs; 0: none. */
extern const uint32_t fixture_right[FIXTURE_KINDS];

struct rng { /* splitmix64 */
    uint64_t state;
};
uint64_t rng_next(struct rng *rng);
uint32_t rng_below(struct rng *rng, uint32_t bound);
void rng_bytes(struct rng *rng, void *bytes, size_t size);

/* A table in memory of its own. */
struct side {
    uint32_t principal;
    uint64_t now_ns; /* the clock of side_open() */
    size_t size;
    struct auth_table *table; /* also the start of its memory */
};
void side_init(struct side *side, uint32_t principal, uint64_t cluster);
void side_free(struct side *side);

/* The two halves of a finished handshake between a (initiator) and b, everything drawn from rng.
 * Rights follow from the principals. */
void pair_draw(struct rng *rng, const struct side *a, const struct side *b,
               struct auth_install *for_a, struct auth_install *for_b);

/* Draws and installs on both sides. */
void pair_connect(struct rng *rng, struct side *a, struct side *b);

/* Both sides and the halves of a handshake between them, drawn. */
struct pair {
    struct rng rng;
    struct side a; /* initiator */
    struct side b;
    struct auth_install for_a;
    struct auth_install for_b;
};
void pair_new(struct pair *pair, uint64_t seed, uint32_t a, uint32_t b);
void pair_install(struct pair *pair);
void pair_free(struct pair *pair);

/* Associations that stand. */
uint32_t side_live(const struct side *side);

/* Seals `body_size` bytes of the generator as `kind` to principal `to`; returns the datagram's
 * size, 0 if there is no association. `packet` has KEEL_DATAGRAM_MAX bytes. */
size_t side_seal(struct rng *rng, struct side *side, uint32_t to, uint8_t kind, uint8_t *packet,
                 size_t body_size);

/* Opens a datagram; checks that any rejection left the whole table as it was. */
enum auth_reject side_open(struct side *side, const uint8_t *packet, size_t size);

/* The peer that the last successful side_open() gave. */
const struct auth_peer *side_last(void);

#endif
