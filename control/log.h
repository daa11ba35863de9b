/* The daemon's log: one line per event on stderr, `event=... key=value ...`. With a journal behind
 * it (stderr is no terminal) each line begins with its <priority>. Any thread but those of the
 * loop.
 */
#ifndef KEEL_CONTROL_LOG_H
#define KEEL_CONTROL_LOG_H

#include <stdint.h>

enum log_level {
    LOG_LEVEL_CRITICAL = 2,
    LOG_LEVEL_ERROR = 3,
    LOG_LEVEL_WARNING = 4,
    LOG_LEVEL_NOTICE = 5,
    LOG_LEVEL_INFO = 6
};

enum { LOG_LINE_MAX = 1024 };

struct journal;

/* Where events are kept besides: like stderr one for the process, set before other threads start.
 * NULL: nowhere (again). */
void log_keep(struct journal *journal);
const char *log_level_name(uint32_t level);

/* `pairs` is a format of key=value pairs; text values are quoted by the caller: why=\"%s\". */
__attribute__((format(printf, 3, 4))) void log_event(enum log_level level, const char *event,
                                                     const char *pairs, ...);

#endif
