/* What `keelctl recover` and `keelctl restore` share: a state is at hand, and becomes the beginning
 * of a new cluster on a ring that was formatted and no more.
 *
 * ctl_seed_open() checks everything and changes nothing; ctl_seed_confirm() has a person say which
 * cluster is given up; ctl_seed_form() does it. ctl_seed_close() after each of them.
 */
#ifndef KEEL_CTL_SEED_H
#define KEEL_CTL_SEED_H

#include "control/ctl.h"
#include "control/seed.h"
#include "dataplane/disk.h"

struct ctl_seed { /* the caller fills the first part */
    const struct ctl *ctl;
    enum genesis_seed how;
    const char *to;           /* --to: the new ring */
    const char *genesis_path; /* --genesis: where the new record is written */
    const char *address;      /* --address; NULL: the member's of that id */
    const char *day;          /* --day; NULL: seed_day() */
    const char *yes;          /* --yes-i-lose; NULL: ask */
    const struct genesis *from;
    struct machine *machine; /* the state; carried over by ctl_seed_form() */
    uint64_t term;           /* highest known */
    /* own */
    struct disk *disk;
    struct ring_super super;
    struct genesis genesis;
};

/* Each returns CTL_DONE, or an exit code after saying why on stderr. */
int ctl_seed_open(struct ctl_seed *seed);
int ctl_seed_confirm(const struct ctl_seed *seed);
int ctl_seed_form(struct ctl_seed *seed);
void ctl_seed_close(struct ctl_seed *seed);

/* The result for people and programs: the new cluster's ids, index, day, founder. The caller's. */
json_t *ctl_seed_result(const struct ctl_seed *seed);
/* What to do next, on stdout. */
void ctl_seed_next(const struct ctl_seed *seed);

/* Where the two commands got their state from, for both. */
json_t *ctl_state_object(const struct machine *machine, const struct genesis *genesis);
void *ctl_aligned(size_t size);

#endif
