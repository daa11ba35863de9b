/* The last events that the daemon logged, numbered from 1 at its start: what `keelctl events` shows
 * and a black box holds. Fixed memory; the oldest gives way. Written by whichever thread logs,
 * never by a loop; read by the admin thread, and without any lock by the handler of a crash.
 */
#ifndef KEEL_CONTROL_JOURNAL_H
#define KEEL_CONTROL_JOURNAL_H

#include "control/log.h"

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { JOURNAL_EVENTS = 512, JOURNAL_NAME_MAX = 40, JOURNAL_TEXT_MAX = 448 };

struct journal_event {
    uint64_t number; /* 0: none, or being written */
    uint64_t utc_ns;
    uint32_t level; /* enum log_level */
    uint32_t reserved;
    char name[JOURNAL_NAME_MAX + 8]; /* both zero-terminated printable ASCII, cut where too long */
    char text[JOURNAL_TEXT_MAX];
};
_Static_assert(sizeof(struct journal_event) == 520, "an event in a black box");

struct journal {
    pthread_mutex_t lock;
    uint64_t id;     /* when it began: tells a new daemon's numbers from the old one's */
    uint64_t newest; /* number; 0: none yet */
    struct journal_event event[JOURNAL_EVENTS];
};

/* The caller's memory; nothing to close. */
void journal_init(struct journal *journal);

/* What was logged; bytes that are no printable ASCII become '?'. */
void journal_add(struct journal *journal, enum log_level level, const char *name, const char *text);

/* Number of the newest, 0: none. */
uint64_t journal_newest(struct journal *journal);
/* The oldest kept event behind `after`; false: none is newer. Where event->number is not after + 1,
 * those between have given way. */
bool journal_next(struct journal *journal, uint64_t after, struct journal_event *event);

/* Without the lock, for the handler of a crash: event `number`, unless it is being written or has
 * given way. Async-signal-safe. */
bool journal_peek(const struct journal *journal, uint64_t number, struct journal_event *event);

#endif
