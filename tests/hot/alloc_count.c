#include "tests/hot/alloc_count.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

/* glibc's own names of what is replaced here. */
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *memory, size_t size);
void *__libc_memalign(size_t align, size_t size);
void __libc_free(void *memory);

static _Thread_local bool
    counting; /* in the executable's own block: reading it allocates nothing */
static uint64_t taken, given;

/* relaxed: figures only, read after the thread was asked to stop or while it runs */
static void note(uint64_t *figure)
{
    if (counting)
        __atomic_fetch_add(figure, 1, __ATOMIC_RELAXED);
}

void alloc_count_begin(void)
{
    counting = true;
}

uint64_t alloc_count_taken(void)
{
    return __atomic_load_n(&taken, __ATOMIC_RELAXED); /* relaxed: see note() */
}

uint64_t alloc_count_given(void)
{
    return __atomic_load_n(&given, __ATOMIC_RELAXED); /* relaxed: see note() */
}

void *malloc(size_t size)
{
    note(&taken);
    return __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
    note(&taken);
    return __libc_calloc(count, size);
}

void *realloc(void *memory, size_t size)
{
    note(&taken);
    return __libc_realloc(memory, size);
}

void *aligned_alloc(size_t align, size_t size)
{
    note(&taken);
    return __libc_memalign(align, size);
}

void *memalign(size_t align, size_t size);
void *memalign(size_t align, size_t size)
{
    note(&taken);
    return __libc_memalign(align, size);
}

int posix_memalign(void **memory, size_t align, size_t size)
{
    note(&taken);
    *memory = __libc_memalign(align, size);
    return *memory == NULL ? ENOMEM : 0;
}

void free(void *memory)
{
    note(&given);
    __libc_free(memory);
}
