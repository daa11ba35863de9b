#include "judge.h"

#include <string.h>

uint16_t le16(const uint8_t *at)
{
    return (uint16_t)(at[0] | at[1] << 8);
}

uint32_t le32(const uint8_t *at)
{
    return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

uint64_t le64(const uint8_t *at)
{
    return (uint64_t)le32(at) | (uint64_t)le32(at + 4) << 32;
}

uint16_t be16(const uint8_t *at)
{
    return (uint16_t)(at[0] << 8 | at[1]);
}

uint32_t be32(const uint8_t *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | (uint32_t)at[3];
}

uint64_t be64(const uint8_t *at)
{
    return (uint64_t)be32(at) << 32 | be32(at + 4);
}

bool zeros(const uint8_t *at, size_t size)
{
    uint64_t seen = 0;
    size_t i = 0;
    for (; i + 8 <= size; i += 8) {
        uint64_t word;
        memcpy(&word, at + i, sizeof(word));
        seen |= word;
    }
    for (; i < size; i++)
        seen |= at[i];
    return seen == 0;
}

/* --- CRC32C (RFC 3720, B.4): reflected, polynomial 0x1EDC6F41, eight tables at a time
 * ------------- */

struct crc_tables {
    uint32_t t[8][256];
    bool ready;
};

static const struct crc_tables *crc_tables(void)
{
    static struct crc_tables tables;
    if (tables.ready)
        return &tables;
    for (uint32_t byte = 0; byte < 256; byte++) {
        uint32_t crc = byte;
        for (int bit = 0; bit < 8; bit++)
            crc = (crc & 1) != 0 ? crc >> 1 ^ 0x82f63b78u : crc >> 1;
        tables.t[0][byte] = crc;
    }
    for (int slice = 1; slice < 8; slice++)
        for (int byte = 0; byte < 256; byte++) {
            uint32_t before = tables.t[slice - 1][byte];
            tables.t[slice][byte] = before >> 8 ^ tables.t[0][before & 0xff];
        }
    tables.ready = true;
    return &tables;
}

uint32_t crc32c(uint32_t crc, const uint8_t *at, size_t size)
{
    const struct crc_tables *tables = crc_tables();
    crc = ~crc;
    while (size >= 8) {
        uint32_t low = crc ^ le32(at);
        uint32_t high = le32(at + 4);
        crc = tables->t[7][low & 0xff] ^ tables->t[6][low >> 8 & 0xff] ^
              tables->t[5][low >> 16 & 0xff] ^ tables->t[4][low >> 24] ^ tables->t[3][high & 0xff] ^
              tables->t[2][high >> 8 & 0xff] ^ tables->t[1][high >> 16 & 0xff] ^
              tables->t[0][high >> 24];
        at += 8;
        size -= 8;
    }
    for (; size > 0; size--)
        crc = crc >> 8 ^ tables->t[0][(crc ^ *at++) & 0xff];
    return ~crc;
}

/* --- SHA-256 (FIPS 180-4) ----------------------------------------------------------------------
 */

static const uint32_t sha_k[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

static uint32_t rotate(uint32_t value, int by)
{
    return value >> by | value << (32 - by);
}

static void sha_block(uint32_t state[8], const uint8_t *at)
{
    uint32_t w[64];
    for (int i = 0; i < 16; i++)
        w[i] = be32(at + 4 * i);
    for (int i = 16; i < 64; i++) {
        uint32_t a = rotate(w[i - 15], 7) ^ rotate(w[i - 15], 18) ^ w[i - 15] >> 3;
        uint32_t b = rotate(w[i - 2], 17) ^ rotate(w[i - 2], 19) ^ w[i - 2] >> 10;
        w[i] = w[i - 16] + a + w[i - 7] + b;
    }
    uint32_t s[8];
    memcpy(s, state, sizeof(s));
    for (int i = 0; i < 64; i++) {
        uint32_t e = rotate(s[4], 6) ^ rotate(s[4], 11) ^ rotate(s[4], 25);
        uint32_t choose = (s[4] & s[5]) ^ (~s[4] & s[6]);
        uint32_t t1 = s[7] + e + choose + sha_k[i] + w[i];
        uint32_t a = rotate(s[0], 2) ^ rotate(s[0], 13) ^ rotate(s[0], 22);
        uint32_t most = (s[0] & s[1]) ^ (s[0] & s[2]) ^ (s[1] & s[2]);
        memmove(s + 1, s, 7 * sizeof(s[0]));
        s[4] += t1;
        s[0] = t1 + a + most;
    }
    for (int i = 0; i < 8; i++)
        state[i] += s[i];
}

uint64_t sha256_head(const uint8_t *at, size_t size)
{
    uint32_t state[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                         0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
    uint64_t bits = (uint64_t)size * 8;
    for (; size >= 64; at += 64, size -= 64)
        sha_block(state, at);
    uint8_t last[128] = {0};
    memcpy(last, at, size);
    last[size] = 0x80;
    size_t total = size < 56 ? 64 : 128;
    for (int i = 0; i < 8; i++)
        last[total - 1 - (size_t)i] = (uint8_t)(bits >> 8 * i);
    sha_block(state, last);
    if (total == 128)
        sha_block(state, last + 64);
    return (uint64_t)state[0] << 32 | state[1];
}

uint64_t mix64(uint64_t value)
{
    value ^= value >> 33;
    value *= 0xff51afd7ed558ccdull;
    value ^= value >> 33;
    value *= 0xc4ceb9fe1a85ec53ull;
    value ^= value >> 33;
    return value != 0 ? value : 1;
}

/* --- log chain (docs/ring-format.md) -------------------------------------------------------------
 */

#define CHAIN_A 0x9e3779b97f4a7c15ull
#define CHAIN_B 0xc2b2ae3d27d4eb4full
#define CHAIN_C 0xd6e8feb86659fd93ull

static uint64_t chain_fold(uint64_t value)
{
    value *= CHAIN_C;
    value ^= value >> 32;
    return value != 0 ? value : CHAIN_A;
}

uint64_t chain_genesis(uint64_t cluster_id)
{
    return chain_fold(cluster_id ^ CHAIN_A);
}

uint64_t chain_next(uint64_t chain, const uint8_t *entry)
{
    uint64_t word = (le64(entry) ^ le64(entry + 8) * CHAIN_A) * CHAIN_B;
    word = (word ^ word >> 32) + le64(entry + 16) * CHAIN_A;
    return chain_fold(chain ^ word);
}
