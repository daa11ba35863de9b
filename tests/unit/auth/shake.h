/* Steps of one handshake, by hand: a world of two replicas and a client whose packets a test holds
 * back, doubles, changes.
 */
#ifndef KEEL_TESTS_AUTH_SHAKE_H
#define KEEL_TESTS_AUTH_SHAKE_H

#include "tests/unit/auth/world.h"

enum { R1 = 0, R2 = 1, CLIENT = 2 }; /* nodes of a world of two replicas and a client */

struct datagram {
    uint8_t bytes[HANDSHAKE_PACKET_MAX];
    size_t size;
};

/* Replicas 1 and 2 and client 100, all started. */
struct world *shake_world(uint64_t seed);
/* The initiator's HELLO. */
void begin(struct world *w, uint32_t from, uint32_t to, struct datagram *hello);
/* Hands a datagram to node `to`; its answer to *out. */
enum handshake_event give(struct world *w, uint32_t to, uint32_t from, const struct datagram *in,
                          struct datagram *out);
uint64_t rejects(const struct world *w, uint32_t node, enum handshake_reject reject);
/* HELLO, COOKIE, and the SALT that the initiator would send. */
void until_salt(struct world *w, uint32_t from, uint32_t to, struct datagram *salt);
/* The whole handshake; true if both sides installed. */
bool shake(struct world *w, uint32_t from, uint32_t to);
/* One packet across, at once. AUTH_REJECT_COUNT: there was no association to seal it under. */
enum auth_reject carry(struct world *w, uint32_t from, uint32_t to, uint8_t kind);

#endif
