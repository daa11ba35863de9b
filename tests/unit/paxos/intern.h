/* Numbers for equal blobs: each distinct blob of one size is kept once and known by the order in
 * which it came. */
#ifndef KEEL_TESTS_PAXOS_INTERN_H
#define KEEL_TESTS_PAXOS_INTERN_H

#include <stddef.h>
#include <stdint.h>

struct intern {
    size_t size; /* of a blob, bytes */
    uint32_t count, room;
    uint32_t slots; /* a power of two */
    uint8_t *blob;
    uint32_t *slot; /* number + 1; 0: empty */
};

void intern_init(struct intern *intern, size_t size);
void intern_free(struct intern *intern);
uint32_t intern_number(struct intern *intern, const void *blob);
/* Valid until the next new blob. */
const void *intern_blob(const struct intern *intern, uint32_t number);

#endif
