#include "dataplane/auth/kdf.h"

#include "consensus/ensure.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/kdf.h>
#include <openssl/params.h>

void kdf_hmac(const void *key, size_t key_size, const void *bytes, size_t size,
              uint8_t out[KDF_HASH_SIZE])
{
    unsigned out_size = 0;

    ENSURE(HMAC(EVP_sha256(), key, (int)key_size, bytes, size, out, &out_size) != NULL &&
           out_size == KDF_HASH_SIZE);
}

void kdf_hkdf(const void *secret, size_t secret_size, const void *salt, size_t salt_size,
              const void *info, size_t info_size, void *out, size_t out_size)
{
    char digest[] = "SHA256";
    OSSL_PARAM params[5];
    size_t count = 0;

    /* OpenSSL takes its inputs through pointers to mutable bytes and does not write to them. */
    params[count++] = OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest, 0);
    params[count++] = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY,
                                                        (void *)(uintptr_t)secret, secret_size);
    params[count++] =
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, (void *)(uintptr_t)info, info_size);
    if (salt_size > 0)
        params[count++] = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT,
                                                            (void *)(uintptr_t)salt, salt_size);
    params[count] = OSSL_PARAM_construct_end();

    EVP_KDF *kdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
    ENSURE(kdf != NULL);
    EVP_KDF_CTX *context = EVP_KDF_CTX_new(kdf);
    ENSURE(context != NULL && EVP_KDF_derive(context, out, out_size, params) == 1);
    EVP_KDF_CTX_free(context);
    EVP_KDF_free(kdf);
}
