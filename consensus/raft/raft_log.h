/* The log as Raft sees it: which term stands at which index, kept as runs of equal terms.
 * Owned by struct raft; pure; O(runs) at worst, O(1) at the tail.
 */
#ifndef KEEL_RAFT_LOG_H
#define KEEL_RAFT_LOG_H

#include <stdbool.h>
#include <stdint.h>

enum { RAFT_RUNS_MAX = 128 }; /* when full, the oldest run is forgotten: first moves up */

struct raft_run {
    uint64_t first; /* first index of the run */
    uint64_t term;
};

/* Entries first..last; an empty log has last == first - 1. prev_term is the term at first - 1 (0 at
 * index 0). run[0].first == first unless the log is empty. */
struct raft_log {
    uint64_t first;
    uint64_t last;
    uint64_t prev_term;
    uint32_t run_count;
    uint32_t reserved;
    struct raft_run run[RAFT_RUNS_MAX];
};

/* An empty log whose next entry is first; prev_term is the term at first - 1. */
void raft_log_init(struct raft_log *log, uint64_t first, uint64_t prev_term);

/* True if entries of this term can be appended without forgetting one above index. */
bool raft_log_has_room(const struct raft_log *log, uint64_t term, uint64_t index);

/* True if more than half of the run list stands above index. */
bool raft_log_fills_above(const struct raft_log *log, uint64_t index);

/* Appends count entries of one term; term >= the last term. */
void raft_log_append(struct raft_log *log, uint64_t term, uint64_t count);

/* Drops entries from index on; first <= index <= last + 1. */
void raft_log_truncate(struct raft_log *log, uint64_t index);

/* Forgets entries below first; first <= last + 1. */
void raft_log_compact(struct raft_log *log, uint64_t first);

/* Term at index, for first - 1 <= index <= last; sets *term and returns true, false outside. */
bool raft_log_term(const struct raft_log *log, uint64_t index, uint64_t *term);

uint64_t raft_log_last_term(const struct raft_log *log);

/* First index of the run that holds index (first <= index <= last). */
uint64_t raft_log_run_first(const struct raft_log *log, uint64_t index);

/* Last index of the run that holds index. */
uint64_t raft_log_run_last(const struct raft_log *log, uint64_t index);

/* The greatest index i with first - 1 <= i <= index whose term is at most `term`; sets *found and
 * returns true, false if there is none. */
bool raft_log_last_at_most(const struct raft_log *log, uint64_t index, uint64_t term,
                           uint64_t *found);

#endif
