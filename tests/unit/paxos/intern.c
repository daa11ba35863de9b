#include "tests/unit/paxos/intern.h"

#include "consensus/ensure.h"

#include <stdlib.h>
#include <string.h>

enum { ROOM_FIRST = 256 };

void intern_init(struct intern *intern, size_t size)
{
    *intern = (struct intern){.size = size, .room = ROOM_FIRST, .slots = 4 * ROOM_FIRST};
    intern->blob = malloc(intern->room * size);
    intern->slot = calloc(intern->slots, sizeof(intern->slot[0]));
    ENSURE(intern->blob != NULL && intern->slot != NULL);
}

void intern_free(struct intern *intern)
{
    free(intern->blob);
    free(intern->slot);
}

static uint64_t hash(const uint8_t *at, size_t size)
{
    uint64_t h = UINT64_C(0x9e3779b97f4a7c15);
    for (size_t i = 0; i < size; i += 8) {
        uint64_t word = 0;
        memcpy(&word, at + i, size - i < 8 ? size - i : 8);
        h = (h ^ word) * UINT64_C(0xd6e8feb86659fd93);
        h ^= h >> 32;
    }
    return h;
}

static uint32_t *find(const struct intern *intern, const void *blob)
{
    uint32_t at = (uint32_t)hash(blob, intern->size) & (intern->slots - 1);
    for (;; at = (at + 1) & (intern->slots - 1)) { /* at most a quarter is taken: it ends */
        uint32_t *slot = &intern->slot[at];
        if (*slot == 0 || memcmp(intern_blob(intern, *slot - 1), blob, intern->size) == 0)
            return slot;
    }
}

static void grow(struct intern *intern)
{
    intern->room *= 2;
    intern->slots *= 2;
    free(intern->slot);
    intern->blob = realloc(intern->blob, intern->room * intern->size);
    intern->slot = calloc(intern->slots, sizeof(intern->slot[0]));
    ENSURE(intern->blob != NULL && intern->slot != NULL);
    for (uint32_t i = 0; i < intern->count; i++)
        *find(intern, intern_blob(intern, i)) = i + 1;
}

uint32_t intern_number(struct intern *intern, const void *blob)
{
    uint32_t *slot = find(intern, blob);
    if (*slot != 0)
        return *slot - 1;
    if (intern->count == intern->room) {
        grow(intern);
        slot = find(intern, blob);
    }
    memcpy(intern->blob + intern->count * intern->size, blob, intern->size);
    *slot = ++intern->count;
    return intern->count - 1;
}

const void *intern_blob(const struct intern *intern, uint32_t number)
{
    return intern->blob + number * intern->size;
}
