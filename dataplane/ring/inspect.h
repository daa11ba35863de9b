/* Walks a ring for people: `keelctl ring verify|dump`. Cold, offline, only reads; prints nothing.
 *
 * A caller passes a visitor; each page of interest is shown once, in the order of page numbers,
 * with its place in the story, and each entry of a readable page with whether it is live. Totals
 * come at the end.
 */
#ifndef KEEL_RING_INSPECT_H
#define KEEL_RING_INSPECT_H

#include "dataplane/ring/recover.h"

enum ring_place {
    RING_PLACE_KEPT,    /* between head and tail, intact */
    RING_PLACE_MISSING, /* between head and tail, and bad */
    RING_PLACE_TORN,    /* behind the tail: an end that nobody was told of */
    RING_PLACE_STRAY /* behind the tail: an empty slot with a few bits set, zeroed at the next start
                      */
};
const char *ring_place_name(enum ring_place place);

struct ring_inspect_page {
    uint64_t page; /* number expected here */
    uint64_t slot;
    enum ring_place place;
    enum ring_verdict verdict;
    uint32_t bad_sectors;           /* as a mask */
    const struct ring_page *head;   /* NULL if its sector is ruined or another page's */
    bool named;                     /* MISSING: a successor says what it held, in *identity */
    struct ring_identity identity;  /* what it holds, or held */
    uint64_t live_first, live_last; /* live entries; last < first: none */
};

struct ring_inspect_entry {
    const struct entry *entry; /* intact */
    uint64_t page;
    uint64_t chain; /* log chain at this entry */
    bool live;      /* not superseded */
    bool doubtful;  /* a missing page may have superseded it (H12) */
    bool committed; /* at or below the commit index that the ring itself states */
};

/* Either may be NULL. A visitor that returns false ends the walk. */
struct ring_visitor {
    void *context;
    bool (*page)(void *context, const struct ring_inspect_page *page);
    bool (*entry)(void *context, const struct ring_inspect_entry *entry);
};

struct ring_totals {
    uint64_t pages_kept, pages_missing, pages_torn, pages_stray;
    uint64_t pages_empty; /* of those kept: votes, seals */
    uint64_t entries;     /* in kept pages */
    uint64_t entries_live, entries_doubtful;
    uint64_t entry_bytes; /* of the entries in kept pages */
    uint64_t laps;        /* whole laps of the tail */
};

/* Judges the ring (found: as ring_recover() without repair, to be freed by ring_recovery_free()
 * after a 0) and shows it to the visitor. 0 also for a damaged ring; negative errno with *problem
 * if it can't be read. */
int ring_inspect(struct disk *disk, const struct ring_visitor *visitor, struct ring_totals *totals,
                 struct ring_recovery *found, char *problem);

#endif
