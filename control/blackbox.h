/* What a failed ENSURE, or a signal like SIGSEGV, leaves behind: one struct in a file, written
 * while the process goes down. `keelctl blackbox FILE` prints it.
 *
 * The file is opened and given its room at start, so that going down takes one write and no memory.
 * A box that an earlier life wrote is not written over: at start it gets a number behind its name.
 * The numbers in it are this host's, as they lay in memory.
 */
#ifndef KEEL_CONTROL_BLACKBOX_H
#define KEEL_CONTROL_BLACKBOX_H

#include "control/journal.h"
#include "control/node.h"

enum {
    BLACKBOX_VERSION = 1,
    BLACKBOX_EVENTS = 64,
    BLACKBOX_FRAMES = 32,
    BLACKBOX_KEPT = 9 /* of earlier lives: FILE.1 to FILE.9; then the last gives way */
};
#define BLACKBOX_MAGIC "KEELBOX\n"

/* As last published; `whole` 0: caught in the middle of a writer, numbers may not fit together. */
struct blackbox_replica {
    uint64_t term, commit, applied, last_index, first_index, durable_index, last_lsn, durable_lsn;
    uint64_t feed_next, quorum_age_ns, uptime_ns, turns;
    uint32_t leader, vote, stopped, failed, whole;
    char role[16];
    uint32_t reserved;
    char why[160];
};

struct blackbox_control {
    uint64_t applied, checkpoint_index, checkpoint_older_index;
    uint32_t digest_differs, whole;
    char problem[CONTROL_PROBLEM_SIZE];
};

struct blackbox {
    char magic[8];
    uint32_t version, size;
    uint64_t utc_ns;
    uint64_t boot;
    uint64_t address; /* that a signal was about */
    uint32_t signal;  /* 0: an ENSURE */
    uint32_t line;
    uint32_t replica, pid;
    char file[128];
    char condition[256]; /* of the ENSURE */
    char thread[16];
    char keel[32]; /* version */
    uint32_t packet_version, ring_version, genesis_version, admin_version;
    struct blackbox_replica state;
    struct blackbox_control control;
    /* Return addresses, innermost first, less the address at which the program lies: as `addr2line
     * -e keeld` wants them. */
    uint64_t frame_count;
    uint64_t frame[BLACKBOX_FRAMES];
    uint64_t event_count;
    struct journal_event event[BLACKBOX_EVENTS]; /* the last of the journal, oldest first */
};

/* Where a configuration has it: [admin] blackbox, or beside the ring's file, or (a ring on a
 * device) /var/lib/keel/keeld-ID.blackbox. */
void blackbox_path(const struct config *config, char path[CONFIG_TEXT_MAX + 16]);

/* Opens the file, puts an earlier life's box aside and logs where, and takes the signals of a
 * crash. What the node's pointers name (they may be NULL still) must live until blackbox_close(). 0
 * or negative errno: the process runs without a box. One at a time in a process. */
int blackbox_open(const struct node *node);
/* Before the node's parts go; an empty file goes too. */
void blackbox_close(void);

/* Writes it: the first caller's stands. `signal` 0: a failed ENSURE. Async-signal-safe. */
void blackbox_write(uint32_t signal, uint64_t address, const char *file, int line,
                    const char *condition);

/* The words of a box read from anywhere: NULL, or why it is none. Ends all its texts. */
const char *blackbox_check(struct blackbox *box, uint64_t bytes);

#endif
