/* Keeps big blocks of aligned_alloc() for the next run that asks for the same size (linked with
 * --wrap): the address sanitizer gives them back to the system each time, and faulting a scan's
 * megabyte in again and again costs ten times what recovery does. A kept block stays an ordinary
 * allocation of its exact size, so that its red zones stand; what is freed is poisoned meanwhile.
 */
#include <sanitizer/asan_interface.h>
#include <stdbool.h>
#include <stddef.h>

enum { BIG = 64 << 10, KEPT_MAX = 64 };

static struct {
    void *block;
    size_t size;
    bool used;
} kept[KEPT_MAX];

void *__real_aligned_alloc(size_t alignment, size_t size);
void __real_free(void *block);
void *__wrap_aligned_alloc(size_t alignment, size_t size);
void __wrap_free(void *block);

void *__wrap_aligned_alloc(size_t alignment, size_t size)
{
    if (size < BIG)
        return __real_aligned_alloc(alignment, size);
    for (unsigned i = 0; i < KEPT_MAX; i++) {
        if (kept[i].used || kept[i].size != size)
            continue;
        kept[i].used = true;
        __asan_unpoison_memory_region(kept[i].block, size);
        return kept[i].block;
    }
    void *block = __real_aligned_alloc(alignment, size);
    for (unsigned i = 0; block != NULL && i < KEPT_MAX; i++)
        if (kept[i].block == NULL) {
            kept[i].block = block;
            kept[i].size = size;
            kept[i].used = true;
            break;
        }
    return block;
}

void __wrap_free(void *block)
{
    for (unsigned i = 0; block != NULL && i < KEPT_MAX && kept[i].block != NULL; i++)
        if (kept[i].block == block) {
            kept[i].used = false;
            __asan_poison_memory_region(block, kept[i].size);
            return;
        }
    __real_free(block);
}
