#include "consensus/raft/raft_log.h"

#include "consensus/ensure.h"

#include <string.h>

void raft_log_init(struct raft_log *log, uint64_t first, uint64_t prev_term)
{
    ENSURE(first > 0);
    memset(log, 0, sizeof(*log));
    log->first = first;
    log->last = first - 1;
    log->prev_term = prev_term;
}

bool raft_log_has_room(const struct raft_log *log, uint64_t term, uint64_t index)
{
    if (log->run_count < RAFT_RUNS_MAX || raft_log_last_term(log) == term)
        return true;
    return log->run[1].first - 1 <= index;
}

bool raft_log_fills_above(const struct raft_log *log, uint64_t index)
{
    enum { HALF = RAFT_RUNS_MAX / 2 };
    return log->run_count > HALF && log->run[log->run_count - HALF - 1].first > index;
}

static void forget_oldest_run(struct raft_log *log)
{
    ENSURE(log->run_count > 1);
    log->prev_term = log->run[0].term;
    log->first = log->run[1].first;
    log->run_count--;
    memmove(&log->run[0], &log->run[1], log->run_count * sizeof(log->run[0]));
    memset(&log->run[log->run_count], 0, sizeof(log->run[0]));
}

HOT void raft_log_append(struct raft_log *log, uint64_t term, uint64_t count)
{
    ENSURE(count > 0);
    ENSURE(term >= raft_log_last_term(log));
    if (log->run_count == 0 || log->run[log->run_count - 1].term != term) {
        if (log->run_count == RAFT_RUNS_MAX)
            forget_oldest_run(log);
        log->run[log->run_count++] = (struct raft_run){.first = log->last + 1, .term = term};
    }
    log->last += count;
}

void raft_log_truncate(struct raft_log *log, uint64_t index)
{
    ENSURE(index >= log->first && index <= log->last + 1);
    log->last = index - 1;
    while (log->run_count > 0 && log->run[log->run_count - 1].first >= index) {
        log->run_count--;
        log->run[log->run_count] = (struct raft_run){0}; /* a fingerprint covers unused runs too */
    }
}

/* Number of the run that holds index, which lies within first..last. Searches from the tail, where
 * nearly every question is asked. */
static uint32_t run_of(const struct raft_log *log, uint64_t index)
{
    ENSURE(index >= log->first && index <= log->last);
    uint32_t i = log->run_count - 1;
    while (i > 0 && log->run[i].first > index)
        i--;
    return i;
}

void raft_log_compact(struct raft_log *log, uint64_t first)
{
    ENSURE(first <= log->last + 1);
    if (first <= log->first)
        return;
    uint32_t dropped = log->run_count;
    uint64_t prev_term = raft_log_last_term(log);
    if (first <= log->last) {
        dropped = run_of(log, first);
        bool known = raft_log_term(log, first - 1, &prev_term);
        ENSURE(known);
        log->run[dropped].first = first;
    }
    log->prev_term = prev_term;
    log->first = first;
    log->run_count -= dropped;
    memmove(&log->run[0], &log->run[dropped], log->run_count * sizeof(log->run[0]));
    memset(&log->run[log->run_count], 0, dropped * sizeof(log->run[0]));
}

HOT bool raft_log_term(const struct raft_log *log, uint64_t index, uint64_t *term)
{
    if (index > log->last || index + 1 < log->first)
        return false;
    *term = index + 1 == log->first ? log->prev_term : log->run[run_of(log, index)].term;
    return true;
}

HOT uint64_t raft_log_last_term(const struct raft_log *log)
{
    return log->run_count > 0 ? log->run[log->run_count - 1].term : log->prev_term;
}

uint64_t raft_log_run_first(const struct raft_log *log, uint64_t index)
{
    return log->run[run_of(log, index)].first;
}

uint64_t raft_log_run_last(const struct raft_log *log, uint64_t index)
{
    uint32_t i = run_of(log, index);
    return i + 1 < log->run_count ? log->run[i + 1].first - 1 : log->last;
}

bool raft_log_last_at_most(const struct raft_log *log, uint64_t index, uint64_t term,
                           uint64_t *found)
{
    uint64_t at = index < log->last ? index : log->last;
    for (uint32_t i = log->run_count; i > 0; i--) {
        const struct raft_run *run = &log->run[i - 1];
        if (run->first > at)
            continue;
        if (run->term <= term) {
            *found = at;
            return true;
        }
        at = run->first - 1;
    }
    *found = at;
    return at + 1 == log->first && log->prev_term <= term;
}
