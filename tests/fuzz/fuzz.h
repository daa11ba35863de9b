/* What the fuzz targets share. Each target is one LLVMFuzzerTestOneInput() that leaves nothing
 * behind: the same bytes give the same run. Most read their input as a sequence of steps, so that
 * cutting, swapping and repeating bytes makes other sequences and not rubbish; what has to be
 * sealed, numbered or summed up to get past the first check is sealed by the harness.
 *
 * FUZZ_REQUIRE() is a target's statement about the product: where it fails the run aborts, and
 * libFuzzer keeps the input. The fixtures' CU_ASSERT does the same here (fuzz.c).
 */
#ifndef KEEL_FUZZ_H
#define KEEL_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FUZZ_REQUIRE(condition)                                                                    \
    ((condition) ? (void)0 : fuzz_failed(__FILE__, __LINE__, #condition))
_Noreturn void fuzz_failed(const char *file, int line, const char *condition);

/* The input as a reader. Behind its end stand zeros; fuzz_left() ends the loops. */
struct fuzz_input {
    const uint8_t *at;
    size_t left;
};

static inline struct fuzz_input fuzz_open(const uint8_t *data, size_t size)
{
    return (struct fuzz_input){.at = data, .left = size};
}

static inline bool fuzz_left(const struct fuzz_input *in)
{
    return in->left > 0;
}

/* Copies up to `size` bytes, zeros for the rest; returns how many the input had. */
size_t fuzz_take(struct fuzz_input *in, void *to, size_t size);
uint8_t fuzz_u8(struct fuzz_input *in);
uint16_t fuzz_u16(struct fuzz_input *in);
uint64_t fuzz_u64(struct fuzz_input *in);
/* 0..below - 1, below at most 65536. */
uint32_t fuzz_below(struct fuzz_input *in, uint32_t below);

#endif
