/* Sane log entries to begin a test with; each function fills `bytes` and returns the entry's size.
 */
#ifndef KEEL_TEST_ENTRIES_H
#define KEEL_TEST_ENTRIES_H

#include "consensus/wire/entry.h"

#include <stdbool.h>
#include <stddef.h>

/* entry_check() of a copy that ends where its memory ends and starts at an odd address, so that any
 * read beyond `size` or any aligned load is seen by the sanitisers. */
bool entries_check(const void *bytes, size_t size);

size_t entries_put(uint8_t bytes[KEEL_ENTRY_MAX], enum entry_kind kind, const void *body,
                   size_t size);
/* `count` blocks of the given length each, the last one of `last_length`. */
size_t entries_put_messages(uint8_t bytes[KEEL_ENTRY_MAX], uint32_t count, uint32_t length,
                            uint32_t last_length);
size_t entries_put_node(uint8_t bytes[KEEL_ENTRY_MAX], const struct entry_node *op,
                        const char *path, const char *content);
/* With a node operation's block where that is what it wants. */
size_t entries_put_operator(uint8_t bytes[KEEL_ENTRY_MAX], const struct entry_operator *op);
/* One of each kind. */
size_t entries_sample(uint8_t bytes[KEEL_ENTRY_MAX], enum entry_kind kind);

extern const struct entry_autopilot entries_replace;

#endif
