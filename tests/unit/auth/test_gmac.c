#include "dataplane/auth/gmac.h"

#include "tests/unit/auth/fixture.h"
#include "tests/unit/unit.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

/* The tag by OpenSSL's own AES-128-GCM, with additional data alone. */
static void tag_by_openssl(const uint8_t *key, const uint8_t *nonce, const uint8_t *bytes,
                           size_t size, uint8_t *tag)
{
    EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
    int out = 0;
    uint8_t none[16];

    ENSURE(context != NULL);
    ENSURE(EVP_EncryptInit_ex(context, EVP_aes_128_gcm(), NULL, key, nonce) == 1);
    ENSURE(EVP_EncryptUpdate(context, NULL, &out, bytes, (int)size) == 1);
    ENSURE(EVP_EncryptFinal_ex(context, none, &out) == 1);
    ENSURE(EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_GCM_GET_TAG, GMAC_TAG_SIZE, tag) == 1);
    EVP_CIPHER_CTX_free(context);
}

/* The nonce's bytes are written out here by shifts: what a machine of another byte order must read.
 */
static void test_equals_openssl(void)
{
    struct gmac gmac;
    struct gmac_key expanded;
    struct rng rng = {1};
    uint8_t key[GMAC_KEY_SIZE], nonce[GMAC_NONCE_SIZE], want[GMAC_TAG_SIZE], got[GMAC_TAG_SIZE];

    CU_ASSERT_FATAL(gmac_init(&gmac));
    for (size_t size = 1; size <= KEEL_DATAGRAM_MAX; size++) {
        uint64_t counter = size % 3 == 0 ? size : rng_next(&rng);
        uint8_t *bytes = malloc(size);
        ENSURE(bytes != NULL);
        rng_bytes(&rng, key, sizeof key);
        rng_bytes(&rng, bytes, size);
        memset(nonce, 0, sizeof nonce);
        for (int i = 0; i < 8; i++)
            nonce[4 + i] = (uint8_t)(counter >> 8 * i);
        gmac_expand(&gmac, key, &expanded);
        gmac_tag(&gmac, &expanded, counter, bytes, size, got);
        tag_by_openssl(key, nonce, bytes, size, want);
        CU_ASSERT(memcmp(want, got, sizeof want) == 0);
        free(bytes);
    }
}

static void test_packets_differ_in_every_input(void)
{
    struct gmac gmac;
    struct gmac_key one, other;
    uint8_t key[GMAC_KEY_SIZE] = {1}, bytes[100] = {0}, a[GMAC_TAG_SIZE], b[GMAC_TAG_SIZE];

    CU_ASSERT_FATAL(gmac_init(&gmac));
    gmac_expand(&gmac, key, &one);
    key[15] ^= 0x80;
    gmac_expand(&gmac, key, &other);
    gmac_tag(&gmac, &one, 1, bytes, sizeof bytes, a);
    gmac_tag(&gmac, &other, 1, bytes, sizeof bytes, b);
    CU_ASSERT(!gmac_equal(a, b));
    gmac_tag(&gmac, &one, UINT64_C(1) << 56 | 1, bytes, sizeof bytes, b);
    CU_ASSERT(!gmac_equal(a, b));
    gmac_tag(&gmac, &one, 1, bytes, sizeof bytes - 1, b);
    CU_ASSERT(!gmac_equal(a, b));
    gmac_tag(&gmac, &one, 1, bytes, sizeof bytes, b);
    CU_ASSERT(gmac_equal(a, b));
    for (size_t bit = 0; bit < sizeof bytes * 8; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        gmac_tag(&gmac, &one, 1, bytes, sizeof bytes, b);
        CU_ASSERT(!gmac_equal(a, b));
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
}

/* GCM test case 1 (McGrew, Viega: "The Galois/Counter Mode of Operation", appendix B): key and
 * nonce zero, nothing to authenticate. Here through gmac's chosen function, since gmac_tag() takes
 * at least a byte. */
static void test_published_vector(void)
{
    static const uint8_t want[16] = {0x58, 0xe2, 0xfc, 0xce, 0xfa, 0x7e, 0x30, 0x61,
                                     0x36, 0x7f, 0x1d, 0x57, 0xa4, 0xe7, 0x45, 0x5a};
    struct gmac gmac;
    struct gmac_key expanded;
    struct gcm_context_data context;
    uint8_t key[GMAC_KEY_SIZE] = {0}, nonce[GMAC_NONCE_SIZE] = {0}, got[GMAC_TAG_SIZE], byte = 0;

    CU_ASSERT_FATAL(gmac_init(&gmac));
    gmac_expand(&gmac, key, &expanded);
    gmac.run(&expanded.data, &context, NULL, NULL, 0, nonce, &byte, 0, got, sizeof got);
    CU_ASSERT(memcmp(want, got, sizeof want) == 0);
}

static void test_equal_sees_every_bit(void)
{
    uint8_t a[GMAC_TAG_SIZE], b[GMAC_TAG_SIZE];
    struct rng rng = {2};

    rng_bytes(&rng, a, sizeof a);
    memcpy(b, a, sizeof b);
    CU_ASSERT(gmac_equal(a, b));
    for (int bit = 0; bit < 128; bit++) {
        b[bit / 8] ^= (uint8_t)(1 << bit % 8);
        CU_ASSERT(!gmac_equal(a, b));
        b[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
}

int main(void)
{
    static const struct unit_test tests[] = {
        {"tags of 1 to 1472 bytes are those of OpenSSL", test_equals_openssl},
        {"a published vector", test_published_vector},
        {"key, counter, length and each bit of the bytes change the tag",
         test_packets_differ_in_every_input},
        {"comparison sees each of 128 bits", test_equal_sees_every_bit},
        {0}};
    return unit_main("gmac", tests);
}
