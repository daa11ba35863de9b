#include "dataplane/crc32c.h"

#include "tests/unit/unit.h"

#include <string.h>

/* Bit by bit, from the polynomial: shares nothing with the instruction or the library. */
static uint32_t plain(const uint8_t *bytes, size_t size)
{
    uint32_t crc = UINT32_MAX;
    for (size_t i = 0; i < size; i++) {
        crc ^= bytes[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ ((crc & 1) != 0 ? 0x82f63b78u : 0);
    }
    return ~crc;
}

static void known_values(void)
{
    static const uint8_t zeros[32];
    uint8_t ones[32], up[32];
    memset(ones, 0xff, sizeof(ones));
    for (uint8_t i = 0; i < 32; i++)
        up[i] = i;
    CU_ASSERT(crc32c("123456789", 9) == 0xe3069283u);
    CU_ASSERT(crc32c("", 0) == 0);
    CU_ASSERT(crc32c(zeros, 32) == 0x8a9136aau); /* RFC 3720, B.4 */
    CU_ASSERT(crc32c(ones, 32) == 0x62a8ab43u);
    CU_ASSERT(crc32c(up, 32) == 0x46dd794eu);
}

static void every_size(void)
{
    static uint8_t bytes[4200];
    uint32_t random = 1;
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)((random = random * 1664525 + 1013904223) >> 24);
    for (size_t size = 0; size <= 600; size++)
        for (size_t shift = 0; shift < 9; shift++)
            CU_ASSERT_FATAL(crc32c(bytes + shift, size) == plain(bytes + shift, size));
    CU_ASSERT(crc32c(bytes, 4096) == plain(bytes, 4096));
    CU_ASSERT(crc32c_long(bytes, 64) == plain(bytes, 64));
    for (size_t cut = 0; cut <= 512; cut += 7)
        CU_ASSERT(crc32c_extend(crc32c(bytes, cut), bytes + cut, 512 - cut) == plain(bytes, 512));
}

int main(void)
{
    static const struct unit_test tests[] = {
        {"known values", known_values}, {"every size, every alignment", every_size}, {0}};
    return unit_main("crc32c", tests);
}
