/* The machine that a ring holds: its newest checkpoint that decodes, and the log behind it,
 * applied.
 *
 * Used by a starting replica, up to what it knows as committed, and offline by `keelctl recover`,
 * up to the end of the log. Cold: blocking reads, memory of the caller, changes nothing on the
 * drive.
 */
#ifndef KEEL_REPLAY_H
#define KEEL_REPLAY_H

#include "consensus/machine/machine.h"
#include "dataplane/feed_exceptions.h"
#include "dataplane/members.h"
#include "dataplane/ring/recover.h"

enum { REPLAY_PROBLEM_SIZE = 256 };

struct replay {
    struct disk *disk;
    const struct genesis *genesis;
    const struct ring_recovery *found; /* intact, or repairable: up to what is lost */
    struct machine *machine;           /* machine_size() bytes, 64-byte aligned */
    struct feed_exceptions *exceptions;
    struct members *configs; /* takes the configurations behind what was applied; may be NULL */
    uint8_t *bytes;          /* cap bytes, page-aligned: replay_bytes_size() or more */
    size_t cap;
    struct machine_outcome *outcome;
    /* Told of each entry that replay_log() applies; may be NULL. */
    void (*applied)(void *context, const struct machine *machine, const struct entry *entry,
                    const struct machine_outcome *outcome);
    void *context;
    /* results */
    uint64_t chain;            /* at machine->applied */
    uint64_t page;             /* that holds it; UINT64_MAX: none does */
    uint64_t checkpoint_index; /* 0: none was used */
    uint64_t replayed;         /* entries applied */
};

/* For this genesis record's machine; `genesis` is set. */
size_t replay_bytes_size(const struct replay *replay);

/* The machine as the newer checkpoint that decodes has it, or empty where there is none. False with
 * why (REPLAY_PROBLEM_SIZE) in words. */
bool replay_checkpoint(struct replay *replay, char *why);

/* Applies the live entries behind it, up to index `end` or to the first one that is lost. May be
 * called again with a higher one if `configs` is NULL. */
bool replay_log(struct replay *replay, uint64_t end, char *why);

#endif
