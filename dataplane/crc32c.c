#include "dataplane/crc32c.h"

#include "consensus/ensure.h"

#include <isa-l/crc.h>
#include <limits.h>

uint32_t crc32c_extend(uint32_t crc, const void *bytes, size_t size)
{
    ENSURE(size <= INT_MAX);
    /* ISA-L reads only, though its prototype lacks the const */
    return ~crc32_iscsi((unsigned char *)(uintptr_t)bytes, (int)size, ~crc);
}

uint32_t crc32c_long(const void *bytes, size_t size)
{
    return crc32c_extend(0, bytes, size);
}
