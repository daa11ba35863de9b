/* HMAC-SHA256 (RFC 2104) and HKDF-SHA256 (RFC 5869) by OpenSSL's libcrypto. Cold path, any thread.
 * Both stop the program where OpenSSL cannot do SHA-256 at these fixed sizes (no memory, broken
 * library): there is no weaker way on.
 */
#ifndef KEEL_AUTH_KDF_H
#define KEEL_AUTH_KDF_H

#include <stddef.h>
#include <stdint.h>

enum { KDF_HASH_SIZE = 32 };

void kdf_hmac(const void *key, size_t key_size, const void *bytes, size_t size,
              uint8_t out[KDF_HASH_SIZE]);

/* Extract with `salt` (size 0: the zero salt of RFC 5869), expand with `info` to out_size bytes. */
void kdf_hkdf(const void *secret, size_t secret_size, const void *salt, size_t salt_size,
              const void *info, size_t info_size, void *out, size_t out_size);

#endif
