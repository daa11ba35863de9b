/* Sizes as people write them: "4096", "64K", "4G" (powers of 1024). */
#ifndef KEEL_CONTROL_SIZE_H
#define KEEL_CONTROL_SIZE_H

#include <stdbool.h>
#include <stdint.h>

/* False: no such size, 0, or 2^50 and more. */
bool size_parse(const char *text, uint64_t *size);

#endif
