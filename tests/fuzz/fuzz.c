#include "tests/fuzz/fuzz.h"

#include "consensus/ensure.h"

#include <CUnit/CUnit.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

_Noreturn void fuzz_failed(const char *file, int line, const char *condition)
{
    dprintf(STDERR_FILENO, "%s:%d: FUZZ_REQUIRE failed: %s\n", file, line, condition);
    abort();
}

_Noreturn void ensure_failed(const char *file, int line, const char *condition)
{
    dprintf(STDERR_FILENO, "%s:%d: ENSURE failed: %s\n", file, line, condition);
    abort();
}

/* In place of CUnit's: the fixtures assert outside any suite here, and one failure is enough. */
CU_BOOL CU_assertImplementation(CU_BOOL holds, unsigned int line, const char *condition,
                                const char *file, const char *function, CU_BOOL fatal)
{
    (void)function;
    (void)fatal;
    if (holds)
        return CU_TRUE;
    dprintf(STDERR_FILENO, "%s:%u: CU_ASSERT failed: %s\n", file, line, condition);
    abort();
}

size_t fuzz_take(struct fuzz_input *in, void *to, size_t size)
{
    size_t have = in->left < size ? in->left : size;
    memset(to, 0, size);
    if (have > 0)
        memcpy(to, in->at, have);
    in->at += have;
    in->left -= have;
    return have;
}

uint8_t fuzz_u8(struct fuzz_input *in)
{
    uint8_t value;
    fuzz_take(in, &value, sizeof(value));
    return value;
}

uint16_t fuzz_u16(struct fuzz_input *in)
{
    uint16_t value;
    fuzz_take(in, &value, sizeof(value));
    return value;
}

uint64_t fuzz_u64(struct fuzz_input *in)
{
    uint64_t value;
    fuzz_take(in, &value, sizeof(value));
    return value;
}

uint32_t fuzz_below(struct fuzz_input *in, uint32_t below)
{
    return (below <= 256 ? fuzz_u8(in) : fuzz_u16(in)) % below;
}
