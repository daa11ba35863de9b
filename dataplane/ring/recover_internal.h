/* What the files of recovery share; included by them, by inspect.c and by their tests alone. */
#ifndef KEEL_RING_RECOVER_INTERNAL_H
#define KEEL_RING_RECOVER_INTERNAL_H

#include "dataplane/ring/recover.h"
#include "dataplane/ring/scan.h"

/* --- recover.c: the sentence for a record that is intact and of a version that this program does
 * not know. -EPROTONOSUPPORT. --- */
int ring_refuse_version(const char *what, uint32_t version, uint32_t known, char *problem);

/* --- super.c: as the public forms, and bit i of *bad_copies: copy i is to be made anew --- */
int ring_super_copies(struct disk *disk, struct ring_super *super, uint32_t *bad_copies,
                      char *problem);
int ring_genesis_copies(struct disk *disk, struct genesis *genesis, uint32_t *bad_copies,
                        char *problem);
int ring_copies_repair(struct disk *disk, const struct ring_super *super, uint32_t bad_supers,
                       const struct genesis *genesis, uint32_t bad_genesis);

/* --- checkpoint.c: verifies head and body. -ENOENT: empty; -EBADMSG: damaged or torn;
 * -EPROTONOSUPPORT: of another version. --- */
int ring_checkpoint_look(struct disk *disk, const struct ring_super *super, unsigned area,
                         struct ring_checkpoint *head);

/* --- recover_judge.c: which pages stay --- */

struct ring_evidence { /* what intact heads and checkpoints say, gathered over every slot */
    uint64_t good_pages;
    uint64_t newest;       /* highest number of a good page; valid if good_pages > 0 */
    uint32_t flight_pages; /* as the newest states it */
    uint64_t durable_page; /* pages below were durable ... */
    uint64_t durable_lsn;  /* ... and LSNs up to this */
    uint64_t witness;      /* page that says so; UINT64_MAX: a checkpoint, or nobody */
    uint64_t head;         /* highest head stated by a good page */
    uint64_t good_page; /* durable_page and durable_lsn as good pages and checkpoints state them */
    uint64_t good_lsn;
    uint64_t torn; /* the newest page of which the head is intact, and no more: number + 1, ... */
    uint64_t torn_page, torn_lsn; /* ... and as it states them */
    uint64_t boot;
    uint64_t misplaced;      /* a page of this ring lies where it doesn't belong: its slot + 1 */
    uint64_t misplaced_page; /* the highest number of such */
    uint8_t *used;           /* bit by slot: not all zeros */
};

struct ring_judgement {
    uint64_t head; /* pages head..tail - 1 stay, or, where damaged, are looked at */
    uint64_t tail;
    uint64_t torn_pages;
    uint64_t zero_below; /* no durable page states a higher head: what is not below stays (H10) */
};

/* -EPROTONOSUPPORT with *problem: a slot holds a page of another version. */
int ring_evidence_gather(struct ring_scan *scan, struct ring_recovery *found,
                         struct ring_evidence *evidence, char *problem);
/* Sets found->damage and why where the end is no tear. */
void ring_judge_end(struct ring_scan *scan, const struct ring_evidence *evidence,
                    struct ring_recovery *found, struct ring_judgement *judgement);

/* --- recover_walk.c: the kept pages in order --- */
int ring_walk(struct ring_scan *scan, const struct ring_judgement *judgement,
              struct ring_recovery *found);

/* Notes damage unless some is noted already; why is printf-like. No replica runs on it. */
__attribute__((format(printf, 3, 4))) void
ring_damage_note(struct ring_recovery *found, enum ring_damage damage, const char *why, ...);
/* The same of a page that is bad: whether that is known damage the walk decides. */
__attribute__((format(printf, 3, 4))) void
ring_bad_page_note(struct ring_recovery *found, enum ring_damage damage, const char *why, ...);
/* The head of `page` in its slot, where that sector at least is intact: what it says of itself and
 * of its predecessors is true. NULL otherwise, or with scan->error set. */
const struct ring_page *ring_scan_head(struct ring_scan *scan, uint64_t page);

#endif
