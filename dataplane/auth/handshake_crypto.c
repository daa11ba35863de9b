#include "dataplane/auth/handshake_crypto.h"

#include "dataplane/auth/kdf.h"

#include <string.h>

_Static_assert((int)HANDSHAKE_PROOF_SIZE == (int)KDF_HASH_SIZE, "proofs are HMACs");

bool handshake_bytes_equal(const uint8_t *a, const uint8_t *b, size_t size)
{
    uint8_t difference = 0;

    for (size_t i = 0; i < size; i++) /* at most HANDSHAKE_PROOF_SIZE; all of them, always */
        difference |= (uint8_t)(a[i] ^ b[i]);
    return difference == 0;
}

void handshake_cookie(const uint8_t secret[HANDSHAKE_SECRET_SIZE], uint64_t slot,
                      uint32_t principal, const struct handshake_address *from,
                      const uint8_t *nonce, uint8_t cookie[HANDSHAKE_COOKIE_SIZE])
{
    struct {
        uint64_t slot;
        uint32_t ip;
        uint32_t port;
        uint32_t principal;
        uint32_t zero;
        uint8_t nonce[HANDSHAKE_NONCE_SIZE];
    } bound = {slot, from->ip, from->port, principal, 0, {0}};
    uint8_t hash[KDF_HASH_SIZE];

    memcpy(bound.nonce, nonce, sizeof bound.nonce);
    kdf_hmac(secret, HANDSHAKE_SECRET_SIZE, &bound, sizeof bound, hash);
    memcpy(cookie, hash, HANDSHAKE_COOKIE_SIZE);
}

void handshake_proof(const uint8_t root[AUTH_ROOT_SIZE], const struct handshake_salt *salt,
                     const struct handshake_salt_reply *reply, uint8_t proof[HANDSHAKE_PROOF_SIZE])
{
    struct {
        char label[12];
        uint32_t from;
        uint32_t to;
    } info = {"keel 1 proof", salt->head.from, salt->head.to};
    struct {
        char label[8];
        struct handshake_salt salt;
        struct handshake_salt_reply reply;
    } said = {"reply", *salt, {.handle = 0}};
    size_t size = offsetof(__typeof__(said), salt) + offsetof(struct handshake_salt, proof);
    uint8_t key[KDF_HASH_SIZE];

    kdf_hkdf(root, AUTH_ROOT_SIZE, NULL, 0, &info, sizeof info, key, sizeof key);
    if (reply == NULL) {
        memcpy(said.label, "salt\0\0\0", sizeof said.label);
    } else {
        said.reply = *reply;
        size = offsetof(__typeof__(said), reply) + offsetof(struct handshake_salt_reply, proof);
    }
    kdf_hmac(key, sizeof key, &said, size, proof);
    explicit_bzero(key, sizeof key);
}

void handshake_key(const uint8_t root[AUTH_ROOT_SIZE], const struct handshake_salt *salt,
                   const struct handshake_salt_reply *reply, enum handshake_direction direction,
                   uint8_t key[AUTH_KEY_SIZE])
{
    struct __attribute__((packed)) {
        char label[6];
        uint64_t cluster;
        uint32_t initiator;
        uint32_t responder;
        uint64_t initiator_incarnation;
        uint64_t responder_incarnation;
        uint8_t direction;
    } info = {"keel 1",          reply->head.cluster, salt->head.from,   salt->head.to,
              salt->incarnation, reply->incarnation,  (uint8_t)direction};
    uint8_t salts[2 * AUTH_SALT_SIZE];

    _Static_assert(sizeof info == 39, "docs/handshake.md says so");
    memcpy(salts, salt->salt, AUTH_SALT_SIZE);
    memcpy(salts + AUTH_SALT_SIZE, reply->salt, AUTH_SALT_SIZE);
    kdf_hkdf(root, AUTH_ROOT_SIZE, salts, sizeof salts, &info, sizeof info, key, AUTH_KEY_SIZE);
}
