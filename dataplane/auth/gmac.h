/* AES-128-GMAC (NIST SP 800-38D, GCM without a plaintext) over libipsec-mb's direct functions.
 *
 * A key is expanded once, when its association is installed; a tag is one call and touches no
 * memory but the key, the packet and the stack. GCM with additional data alone is used: on 64 to
 * 1400 bytes it took 7 to 23 % fewer cycles than the library's GMAC init, update, finalize. Any
 * thread; no state is shared. The nonce is 4 zero bytes, then the packet's counter, little-endian.
 */
#ifndef KEEL_AUTH_GMAC_H
#define KEEL_AUTH_GMAC_H

#include "consensus/ensure.h"

#include <intel-ipsec-mb.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum { GMAC_KEY_SIZE = 16, GMAC_TAG_SIZE = 16, GMAC_NONCE_SIZE = 12 };

struct gmac { /* the functions that fit this processor */
    aes_gcm_enc_dec_t run;
    aes_gcm_pre_t expand;
};

struct gmac_key { /* expanded: round keys and powers of the hash key */
    _Alignas(64) struct gcm_key_data data;
};
_Static_assert(_Alignof(struct gmac_key) == 64, "libipsec-mb loads keys by cache lines");

/* Chooses the functions. The library's manager (some 200 kB) lives only inside this call. False: no
 * memory, no AES-NI and carry-less multiply, or the library's self-test failed. */
bool gmac_init(struct gmac *gmac);

/* Expands a key; the caller wipes both copies. */
void gmac_expand(const struct gmac *gmac, const uint8_t key[GMAC_KEY_SIZE], struct gmac_key *out);

/* The tag of `size` bytes (at least 1) under `counter`. `tag` may lie directly behind the bytes. */
HOT static inline void gmac_tag(const struct gmac *gmac, const struct gmac_key *key,
                                uint64_t counter, const void *bytes, size_t size,
                                uint8_t tag[GMAC_TAG_SIZE])
{
    struct gcm_context_data context;
    uint8_t nonce[GMAC_NONCE_SIZE] = {0};

    memcpy(nonce + 4, &counter, sizeof counter);
    gmac->run(&key->data, &context, NULL, NULL, 0, nonce, bytes, size, tag, GMAC_TAG_SIZE);
}

/* Compares in time that does not depend on where two tags differ. */
static inline bool gmac_equal(const uint8_t a[GMAC_TAG_SIZE], const uint8_t b[GMAC_TAG_SIZE])
{
    uint64_t left[2], right[2];

    memcpy(left, a, sizeof left);
    memcpy(right, b, sizeof right);
    return ((left[0] ^ right[0]) | (left[1] ^ right[1])) == 0;
}

#endif
