/* What the handshake computes: cookies, proofs, keys (docs/handshake.md). Pure functions of their
 * inputs; cold path, any thread.
 */
#ifndef KEEL_AUTH_HANDSHAKE_CRYPTO_H
#define KEEL_AUTH_HANDSHAKE_CRYPTO_H

#include "dataplane/auth/handshake.h"
#include "dataplane/auth/handshake_wire.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { HANDSHAKE_SECRET_SIZE = 32 };

enum handshake_direction { HANDSHAKE_TO_RESPONDER = 1, HANDSHAKE_TO_INITIATOR = 2 };

/* Compares in time that does not depend on where the bytes differ. */
bool handshake_bytes_equal(const uint8_t *a, const uint8_t *b, size_t size);

/* The cookie of a time slot for an initiator's principal, address and nonce. */
void handshake_cookie(const uint8_t secret[HANDSHAKE_SECRET_SIZE], uint64_t slot,
                      uint32_t principal, const struct handshake_address *from,
                      const uint8_t *nonce, uint8_t cookie[HANDSHAKE_COOKIE_SIZE]);

/* HMAC over what both sides have said so far, under a key that serves for nothing else. `reply` is
 * NULL for the proof in SALT; its label keeps one proof from passing for the other. Reads
 * everything but the proof itself. */
void handshake_proof(const uint8_t root[AUTH_ROOT_SIZE], const struct handshake_salt *salt,
                     const struct handshake_salt_reply *reply, uint8_t proof[HANDSHAKE_PROOF_SIZE]);

/* The association's key of one direction. */
void handshake_key(const uint8_t root[AUTH_ROOT_SIZE], const struct handshake_salt *salt,
                   const struct handshake_salt_reply *reply, enum handshake_direction direction,
                   uint8_t key[AUTH_KEY_SIZE]);

#endif
