/* A fast 64-bit hash by multiply and fold, against accidents only: whoever may choose both texts
 * can make them collide. Pure; used by the machine for kept contents, digest, fingerprint and
 * indexes, never on a wire that an adversary writes. Alike on every little-endian host.
 */
#ifndef KEEL_MACHINE_HASH_H
#define KEEL_MACHINE_HASH_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "words are loaded as they lie");

/* Odd numbers with as many ones as zeros in each byte, drawn at random. */
#define HASH_K0 0x95c7a3e18d4bb26bull
#define HASH_K1 0x6ad2369c5be14e93ull
#define HASH_K2 0xd18bc53a747a8e2dull
#define HASH_K3 0x4e6b93d82db8c7a5ull
#define HASH_K4 0xb4a5c6691ec3d257ull

enum { HASH_STRIPE = 32 }; /* bytes that one round takes, in two lanes */

/* Both halves of the 128-bit product, folded. */
static inline uint64_t hash_mix(uint64_t a, uint64_t b)
{
    unsigned __int128 product = (unsigned __int128)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

/* Where an index looks first for what is known by a log index: a session, a node. */
static inline uint32_t hash_id(uint64_t id)
{
    return (uint32_t)hash_mix(id ^ HASH_K1, HASH_K2);
}

static inline uint64_t hash_load64(const uint8_t *at)
{
    uint64_t word;
    memcpy(&word, at, sizeof(word));
    return word;
}

static inline uint64_t hash_load32(const uint8_t *at)
{
    uint32_t word;
    memcpy(&word, at, sizeof(word));
    return word;
}

/* The last 1..16 bytes as two words; loads may overlap, never reach outside. */
static inline void hash_tail(const uint8_t *at, size_t size, uint64_t *a, uint64_t *b)
{
    if (size > 8) {
        *a = hash_load64(at);
        *b = hash_load64(at + size - 8);
    } else if (size >= 4) {
        *a = hash_load32(at);
        *b = hash_load32(at + size - 4);
    } else {
        *a = (uint64_t)at[0] << 16 | (uint64_t)at[size / 2] << 8 | at[size - 1];
        *b = 0;
    }
}

/* Hash of size bytes; another seed gives another function. The size counts, so that a text and the
 * same text with zeros behind it differ. */
static inline uint64_t hash_bytes(const void *bytes, size_t size, uint64_t seed)
{
    const uint8_t *at = bytes;
    size_t left = size;
    uint64_t a = seed ^ HASH_K0;
    uint64_t b = seed ^ HASH_K4;
    while (left >= HASH_STRIPE) {
        a = hash_mix(hash_load64(at) ^ HASH_K1, hash_load64(at + 8) ^ a);
        b = hash_mix(hash_load64(at + 16) ^ HASH_K2, hash_load64(at + 24) ^ b);
        at += HASH_STRIPE;
        left -= HASH_STRIPE;
    }
    if (left > 16) {
        a = hash_mix(hash_load64(at) ^ HASH_K1, hash_load64(at + 8) ^ a);
        at += 16;
        left -= 16;
    }
    if (left > 0) {
        uint64_t x, y;
        hash_tail(at, left, &x, &y);
        b = hash_mix(x ^ HASH_K2, y ^ b);
    }
    return hash_mix(a ^ HASH_K3 ^ size, b ^ HASH_K1);
}

#endif
