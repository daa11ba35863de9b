#include "control/log.h"

#include "control/journal.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static struct journal *kept; /* belongs to stderr, which is the process's as well */

void log_keep(struct journal *journal)
{
    kept = journal;
}

const char *log_level_name(uint32_t level)
{
    switch ((enum log_level)level) {
    case LOG_LEVEL_CRITICAL:
        return "critical";
    case LOG_LEVEL_ERROR:
        return "error";
    case LOG_LEVEL_WARNING:
        return "warning";
    case LOG_LEVEL_NOTICE:
        return "notice";
    case LOG_LEVEL_INFO:
        return "info";
    }
    return "unknown";
}

void log_event(enum log_level level, const char *event, const char *pairs, ...)
{
    char line[LOG_LINE_MAX];
    int at = 0;
    if (!isatty(STDERR_FILENO))
        at = snprintf(line, sizeof(line), "<%d>", (int)level);
    at += snprintf(line + at, sizeof(line) - (size_t)at, "event=%.40s ", event);
    const int text_at = at;
    va_list args;
    va_start(args, pairs);
    int size = vsnprintf(line + at, sizeof(line) - (size_t)at - 1, pairs, args);
    va_end(args);
    size_t end = strlen(line);
    for (size_t i = 0; i < end; i++) /* what came from elsewhere must not begin a line */
        if ((unsigned char)line[i] < ' ')
            line[i] = ' ';
    (void)size;
    if (kept != NULL)
        journal_add(kept, level, event, line + text_at);
    line[end] = '\n';
    ssize_t written = write(STDERR_FILENO, line, end + 1); /* one call: lines stay whole */
    (void)written;
}
