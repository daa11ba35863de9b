/* Counts what a thread asks of the heap: the C library's allocator, interposed for the whole
 * process, so that calls from shared libraries are seen too.
 *
 * A thread counts its own calls between alloc_count_begin() and its end; any thread may read the
 * figures, which are of the one thread that began last.
 */
#ifndef KEEL_TESTS_ALLOC_COUNT_H
#define KEEL_TESTS_ALLOC_COUNT_H

#include <stdint.h>

/* From here on the calling thread's calls are counted. */
void alloc_count_begin(void);
/* Calls that give memory (malloc, calloc, realloc, aligned forms), and calls of free(). */
uint64_t alloc_count_taken(void);
uint64_t alloc_count_given(void);

#endif
