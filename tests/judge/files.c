#include "judge.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

bool file_map(struct file *file, const char *path, struct report *report)
{
    file->path = path;
    file->at = NULL;
    file->size = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        unreadable(report, "%s: cannot be opened: %s", path, strerror(errno));
        return false;
    }
    off_t size = lseek(fd, 0, SEEK_END); /* also of a block device */
    if (size < 0) {
        unreadable(report, "%s: has no size: %s", path, strerror(errno));
        close(fd);
        return false;
    }
    if (size > 0) {
        void *at = mmap(NULL, (size_t)size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (at == MAP_FAILED) {
            unreadable(report, "%s: cannot be mapped: %s", path, strerror(errno));
            close(fd);
            return false;
        }
        file->at = at;
        file->size = (size_t)size;
    }
    close(fd);
    return true;
}

static void *enough(void *memory)
{
    if (memory == NULL) {
        fputs("keel-judge: out of memory\n", stderr);
        exit(2);
    }
    return memory;
}

void *zalloc(size_t count, size_t each)
{
    return enough(calloc(count, each));
}

void *grow(void *array, size_t *cap, size_t need, size_t each)
{
    if (need <= *cap)
        return array;
    size_t cap_new = *cap < 16 ? 16 : *cap * 2;
    if (cap_new < need)
        cap_new = need;
    char *grown = enough(realloc(array, cap_new * each));
    memset(grown + *cap * each, 0, (cap_new - *cap) * each);
    *cap = cap_new;
    return grown;
}

static struct table_slot *table_place(const struct table *table, uint64_t a, uint64_t b)
{
    size_t at = mix64(a * 0x9e3779b97f4a7c15ull ^ mix64(b)) & table->mask;
    while (table->slot[at].used && (table->slot[at].a != a || table->slot[at].b != b))
        at = (at + 1) & table->mask; /* ends: at most half of the slots are used */
    return &table->slot[at];
}

uint64_t *table_find(const struct table *table, uint64_t a, uint64_t b)
{
    if (table->slot == NULL)
        return NULL;
    struct table_slot *slot = table_place(table, a, b);
    return slot->used ? &slot->value : NULL;
}

static void table_double(struct table *table)
{
    struct table old = *table;
    size_t size = old.slot == NULL ? 256 : (old.mask + 1) * 2;
    table->slot = zalloc(size, sizeof(*table->slot));
    table->mask = size - 1;
    for (size_t i = 0; old.slot != NULL && i <= old.mask; i++)
        if (old.slot[i].used)
            *table_place(table, old.slot[i].a, old.slot[i].b) = old.slot[i];
    free(old.slot);
}

uint64_t *table_add(struct table *table, uint64_t a, uint64_t b, uint64_t value, bool *added)
{
    if (table->slot == NULL || table->count * 2 >= table->mask)
        table_double(table);
    struct table_slot *slot = table_place(table, a, b);
    *added = !slot->used;
    if (!slot->used) {
        *slot = (struct table_slot){a, b, value, true};
        table->count++;
    }
    return &slot->value;
}
