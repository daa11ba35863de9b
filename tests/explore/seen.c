#include "tests/explore/seen.h"

#include "consensus/ensure.h"

#include <stdlib.h>
#include <string.h>

enum { CHUNK_SIZE = 1 << 20, SLOTS_FIRST = 1 << 16, TRAIL_FIRST = 1 << 16, TRAIL_MAX_SHIFT = 32 };

struct chunk {
    struct chunk *next;
    size_t read, written;
    uint8_t bytes[CHUNK_SIZE];
};

static void *take(struct seen *seen, size_t bytes)
{
    if (seen->bytes + bytes > seen->bytes_max) {
        seen->full = true;
        return NULL;
    }
    void *memory = calloc(1, bytes);
    if (memory == NULL)
        seen->full = true;
    else
        seen->bytes += bytes;
    return memory;
}

void seen_init(struct seen *seen, size_t bytes_max)
{
    *seen = (struct seen){.slots = SLOTS_FIRST, .trail_size = TRAIL_FIRST, .bytes_max = bytes_max};
    seen->table = take(seen, SLOTS_FIRST * sizeof(seen->table[0]));
    seen->trail = take(seen, TRAIL_FIRST * sizeof(seen->trail[0]));
}

void seen_free(struct seen *seen)
{
    free(seen->table);
    free(seen->trail);
    free(seen->spare);
    while (seen->first != NULL) { /* the chunks of the queue */
        struct chunk *next = seen->first->next;
        free(seen->first);
        seen->first = next;
    }
}

static uint64_t rotate(uint64_t x, unsigned by)
{
    return x << by | x >> (64 - by);
}

static uint64_t mix(uint64_t x)
{
    x = (x ^ x >> 32) * UINT64_C(0xd6e8feb86659fd93);
    x = (x ^ x >> 32) * UINT64_C(0xd6e8feb86659fd93);
    return x ^ x >> 32;
}

struct fingerprint seen_fingerprint(const uint8_t *packed, size_t size)
{
    uint64_t a = UINT64_C(0x9e3779b97f4a7c15) ^ size, b = UINT64_C(0xc2b2ae3d27d4eb4f) + size;
    for (size_t at = 0; at < size; at += 8) {
        uint64_t word = 0;
        memcpy(&word, packed + at, size - at < 8 ? size - at : 8);
        a = rotate(a ^ word * UINT64_C(0x87c37b91114253d5), 31) * UINT64_C(0x4cf5ad432745937f);
        b = rotate(b + word * UINT64_C(0x9fb21c651e98df25), 27) * UINT64_C(0xff51afd7ed558ccd);
        b ^= a >> 17;
    }
    struct fingerprint f = {mix(a + rotate(b, 23)), mix(b ^ rotate(a, 41))};
    if (f.a == 0 && f.b == 0)
        f.a = 1; /* zero is an empty slot */
    return f;
}

static struct fingerprint *find(const struct seen *seen, const struct fingerprint *f)
{
    for (uint64_t at = f->a & (seen->slots - 1);; at = (at + 1) & (seen->slots - 1)) {
        struct fingerprint *slot = &seen->table[at]; /* at most two thirds are taken: it ends */
        if ((slot->a == f->a && slot->b == f->b) || (slot->a == 0 && slot->b == 0))
            return slot;
    }
}

static bool grow_table(struct seen *seen)
{
    struct seen larger = *seen;
    larger.slots = 2 * seen->slots;
    larger.table = take(seen, larger.slots * sizeof(seen->table[0]));
    if (larger.table == NULL)
        return false;
    for (uint64_t i = 0; i < seen->slots; i++)
        if (seen->table[i].a != 0 || seen->table[i].b != 0)
            *find(&larger, &seen->table[i]) = seen->table[i];
    free(seen->table);
    seen->bytes -= seen->slots * sizeof(seen->table[0]);
    seen->table = larger.table;
    seen->slots = larger.slots;
    return true;
}

static bool grow_trail(struct seen *seen)
{
    size_t size = seen->trail_size * sizeof(seen->trail[0]);
    struct trail *larger = take(seen, 2 * size);
    if (larger == NULL)
        return false;
    memcpy(larger, seen->trail, size);
    free(seen->trail);
    seen->bytes -= size;
    seen->trail = larger;
    seen->trail_size *= 2;
    return true;
}

static bool queue(struct seen *seen, const uint8_t *packed, size_t size)
{
    struct chunk *chunk = seen->last;
    if (chunk == NULL || chunk->written + size + 2 > CHUNK_SIZE) {
        chunk = seen->spare != NULL ? seen->spare : take(seen, sizeof(*chunk));
        seen->spare = NULL;
        if (chunk == NULL)
            return false;
        chunk->next = NULL;
        chunk->read = chunk->written = 0;
        if (seen->last != NULL)
            seen->last->next = chunk;
        else
            seen->first = chunk;
        seen->last = chunk;
    }
    uint16_t head = (uint16_t)size;
    memcpy(chunk->bytes + chunk->written, &head, 2);
    memcpy(chunk->bytes + chunk->written + 2, packed, size);
    chunk->written += size + 2;
    return true;
}

bool seen_add(struct seen *seen, const uint8_t *packed, size_t size, uint32_t parent, uint16_t move,
              uint16_t depth)
{
    struct fingerprint f = seen_fingerprint(packed, size);
    struct fingerprint *slot = find(seen, &f);
    if (slot->a != 0 || slot->b != 0 || seen->full)
        return false;
    if (seen->count == seen->trail_size && !grow_trail(seen))
        return false;
    if (3 * seen->count > 2 * seen->slots) {
        if (!grow_table(seen))
            return false;
        slot = find(seen, &f);
    }
    if (seen->count >> TRAIL_MAX_SHIFT != 0 || !queue(seen, packed, size)) {
        seen->full = true;
        return false;
    }
    *slot = f;
    seen->trail[seen->count++] = (struct trail){.parent = parent, .move = move, .depth = depth};
    return true;
}

size_t seen_next(struct seen *seen, uint8_t *packed, size_t size_max)
{
    struct chunk *chunk = seen->first;
    if (chunk != NULL && chunk->read == chunk->written && chunk->next != NULL) {
        seen->first = chunk->next;
        if (seen->spare == NULL) {
            seen->spare = chunk;
        } else {
            free(chunk);
            seen->bytes -= sizeof(*chunk);
        }
        chunk = seen->first;
    }
    if (chunk == NULL || chunk->read == chunk->written)
        return 0;
    uint16_t size;
    memcpy(&size, chunk->bytes + chunk->read, 2);
    ENSURE(size <= size_max);
    memcpy(packed, chunk->bytes + chunk->read + 2, size);
    chunk->read += size + 2U;
    return size;
}
