/* What the log alone does not tell about the feed: entries whose blocks did not all take numbers,
 * and ends of sessions, which are messages of the feed without being in the entry that ends them.
 *
 * Whoever answers for old numbers from the drive needs this beside the pages. Two lists are kept:
 * the feed's own, and control's, which goes into each checkpoint, so that a replica that was
 * restarted can answer for what lies before. Each is its owner's alone. Only the current day's
 * matter.
 */
#ifndef KEEL_FEED_EXCEPTIONS_H
#define KEEL_FEED_EXCEPTIONS_H

#include "consensus/machine/machine.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    FEED_EXCEPTIONS = 16384, /* newest kept, power of two */
    FEED_EXCEPTIONS_VERSION = 1
};

/* As it stands in a checkpoint, too (docs/ring-format.md). */
struct feed_exception { /* 96 bytes */
    uint64_t index;     /* of the entry */
    uint64_t sequenced; /* bit k: block k took a number */
    struct machine_session_end_message end;
    uint32_t is_end; /* 1: the entry ended a session, whose message `end` is */
    uint32_t utc_error_ns;
    uint64_t utc_ns, session, number; /* of an end */
};
_Static_assert(sizeof(struct feed_exception) == 40 + 8 + sizeof(struct machine_session_end_message),
               "no padding: written as it is");

struct feed_exceptions {
    uint64_t head, tail; /* at[head & mask] .. : by rising index */
    uint64_t lost;       /* highest index of one that had to go; below it nothing is known */
    struct feed_exception at[FEED_EXCEPTIONS];
};

/* Those that are listed; the rest of `to` is not written to. */
void feed_exceptions_copy(struct feed_exceptions *to, const struct feed_exceptions *from);

/* After machine_apply(): adds the entry if it is an exception; a day's begin clears the list. */
void feed_exceptions_applied(struct feed_exceptions *list, const struct machine *machine,
                             const struct entry *entry, const struct machine_outcome *outcome);

/* The next one's place, its index above all others'. The oldest goes if the list is full. */
struct feed_exception *feed_exceptions_add(struct feed_exceptions *list);
/* Forgets all: another day. */
void feed_exceptions_clear(struct feed_exceptions *list);
const struct feed_exception *feed_exceptions_find(const struct feed_exceptions *list,
                                                  uint64_t index);

/* A head of 16 bytes and the newest exceptions, as many as fit; 0 if not even the head does. */
size_t feed_exceptions_encode(const struct feed_exceptions *list, void *bytes, size_t cap);
size_t feed_exceptions_encoded_max(void);
/* False if the bytes are none of these; the list then says that it knows nothing up to `index`. */
bool feed_exceptions_decode(struct feed_exceptions *list, uint64_t index, const void *bytes,
                            size_t size);

#endif
