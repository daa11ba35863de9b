/* Where a programmer's error inside the library stops. */
#include "consensus/ensure.h"

#include <stdio.h>
#include <stdlib.h>

_Noreturn void ensure_failed(const char *file, int line, const char *condition)
{
    fprintf(stderr, "libkeel: %s:%d: ENSURE failed: %s\n", file, line, condition);
    abort();
}
