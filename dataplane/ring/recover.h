/* What is on a drive, judged: format, recovery, checkpoints. Cold: blocking reads, no loop calls
 * it. Used by keeld at start, by the simulator, and by `keelctl ring verify|dump`.
 *
 * Recovery reads every slot from the head to the last intact page + the limit of pages in flight,
 * tells a tear (an unacknowledged end, which goes) from rot (which stops), and never truncates in
 * silence.
 */
#ifndef KEEL_RING_RECOVER_H
#define KEEL_RING_RECOVER_H

#include "consensus/raft/raft_log.h"
#include "dataplane/disk.h"
#include "dataplane/ring/format.h"

#include <stdbool.h>
#include <stdint.h>

/* Draws nothing: incarnation and time come from the caller. Zero-fills everything, writes both
 * superblocks last. 0 or negative errno. progress may be NULL (called with bytes done). */
int ring_format(struct disk *disk, const struct ring_super *super,
                void (*progress)(void *context, uint64_t done, uint64_t total), void *context,
                char *problem);

/* Reads a superblock (either copy). -ENOENT: no ring here, and no sign of one; -EBADMSG: a ring
 * that lost both copies, or something else. */
int ring_super_read(struct disk *disk, struct ring_super *super, char *problem);
/* Offset of the first block that is not zeros; -ENOENT: there is none. Reads up to there. */
int ring_first_data(struct disk *disk, uint64_t *offset);

/* Installs a genesis record once (H1): refused with -EEXIST where one is installed that differs,
 * with -EPERM where its incarnation for this replica is not the formatted one, unless this replica
 * is to `join`: it is a stranger to the cluster until a committed change names it. 0 also if the
 * same is there. */
int ring_genesis_install(struct disk *disk, const struct genesis *genesis, bool join,
                         char *problem);
/* -ENOENT: not installed. */
int ring_genesis_read(struct disk *disk, struct genesis *genesis, char *problem);

enum ring_damage {
    RING_INTACT = 0,
    RING_ROT_PAGE,       /* a page between head and tail is bad and no tear */
    RING_ROT_TAIL,       /* a page is bad at the end, but was durable once or is not zeros */
    RING_ROT_CHECKPOINT, /* both checkpoints are bad, or the newer is, and the log does not reach */
    RING_ROT_GAP,        /* pages are missing between head and tail */
    RING_ROT_CHAIN,      /* pages are good each, but do not follow from each other */
    RING_ROT_STATE       /* damage may hide the newest term or vote */
};
const char *ring_damage_name(enum ring_damage damage);

enum { RING_HOLES_MAX = 64 }; /* damaged pages that a running replica repairs */

struct ring_hole { /* a page that is lost, and what it was */
    uint64_t page;
    struct ring_identity identity;
};

struct ring_recovery {
    struct ring_super super;
    struct genesis genesis;
    enum ring_damage damage;
    char why[240]; /* page number, slot, sector, LSNs: what a person needs */
    /* Damaged, but all that is lost is pages whose identity is known, by their own head or an
     * intact successor's, and the last page's head is intact, so that term and vote are known: a
     * replica may run on this, and fetches from its peers what is in hole[]. */
    bool repairable;
    bool unknown; /* damage of another kind was noted */
    uint32_t hole_count;
    struct ring_hole hole[RING_HOLES_MAX];
    /* hard state */
    uint64_t term;
    uint8_t vote;
    /* Highest LSN of the kept pages; the next is last_lsn + 1. A torn page's own numbers are used
     * again: nobody was told of them, and to call them durable would bear false witness. */
    uint64_t last_lsn;
    uint64_t commit; /* highest commit stated in a page or checkpoint */
    uint64_t boot;   /* highest boot found; this start's is boot + 1 */
    uint64_t seen_boot[KEEL_REPLICA_MAX + 1];
    uint64_t seen_boot_id[KEEL_REPLICA_MAX + 1];
    uint64_t config_index;
    /* pages */
    uint64_t head_page, tail_page; /* kept pages are head_page..tail_page - 1; tail = next number */
    uint64_t first_index, last_index; /* live entries; empty: last == first - 1 */
    uint64_t last_chain;              /* 0: unknown, it lies in a hole */
    uint64_t torn_pages;              /* pages of the unacknowledged end that went */
    uint64_t zeroed_slots; /* slots that hold no kept page and were not zeros: torn, left over,
                              stray bits; zeroed again, or to be */
    uint64_t seals;
    uint64_t unreadable_pages; /* the drive answered a read with an error; they count as damaged */
    uint64_t
        repaired_blocks; /* copies of superblock and genesis that were (or would be) made anew */
    /* Damage, as far as it is known (H12): kept pages that are bad, those of them that no intact
     * page names, and entries that look intact but may be superseded by what is missing. */
    uint64_t missing_pages, unnamed_pages;
    uint64_t doubtful_first, doubtful_last; /* 0: none */
    uint64_t zeroed_to; /* slots of page numbers below this are durably zero ahead of the tail */
    struct ring_identity before[RING_PREDECESSORS]; /* what the next page's head repeats */
    struct raft_log log;
    /* live page map: page numbers in order with the first index that is live in each */
    uint64_t map_count;
    struct ring_live *map; /* malloc'd here, freed by ring_recovery_free() */
    /* checkpoints */
    bool have_checkpoint;
    struct ring_checkpoint checkpoint[2]; /* [0]: newest intact; [1]: the other, magic 0 if none */
    uint8_t checkpoint_area[2];
    uint32_t bad_checkpoints; /* areas that hold neither zeros nor an intact checkpoint */
    /* The newest checkpoint came from a peer, and no page of the log behind it is here yet: the log
     * begins at its index + 1, empty. The kept pages are those of the log before; they hold term,
     * vote and boots until this start's first page, which states itself as the head, is durable. */
    bool begins_anew;
};

struct ring_live {
    uint64_t page;
    uint64_t first_index; /* first entry of the page; entries up to the next live page's first - 1
                             count */
    uint64_t term;        /* of its entries */
    uint64_t chain;       /* log chain before first_index */
};

/* What stands on the drive is read only if it is of a version that this program knows. Superblock,
 * genesis record, page or checkpoint that are intact and of another one are refused by name, with
 * -EPROTONOSUPPORT and *problem, by all functions that read them; nothing is changed then. */

/* Judges the whole ring. `repair`: zeroes torn and left-over slots ahead of the tail durably and
 * ends with a device flush (H9), as a starting replica must; false: only looks (offline tools). 0
 * even when damaged (see damage); negative errno when it could not be read at all. */
int ring_recover(struct disk *disk, bool repair, struct ring_recovery *found, char *problem);
void ring_recovery_free(struct ring_recovery *found);

/* Reads a checkpoint's body into `bytes` (cap); returns its size or negative errno. */
int64_t ring_checkpoint_read(struct disk *disk, const struct ring_super *super, unsigned area,
                             struct ring_checkpoint *head, void *bytes, size_t cap);

/* Writes body then head into area, reads both back and verifies (H14). The caller fills *head but
 * for magic, version, body_crc, crc. `bytes` has room for `size` rounded up to blocks. */
int ring_checkpoint_write(struct disk *disk, const struct ring_super *super, unsigned area,
                          struct ring_checkpoint *head, void *bytes, size_t size);

/* 0: the area holds an intact checkpoint; -EBADMSG: it holds neither one nor zeros nor what has
 * arrived of a peer's, or cannot be read; -ENOENT: one of the latter; another negative errno. */
int ring_checkpoint_intact(struct disk *disk, const struct ring_super *super, unsigned area);
/* Looks at both copies of superblock and genesis record, and makes a bad one anew from the other.
 * Copies repaired, or negative errno with *problem. */
int ring_copies_look(struct disk *disk, const struct ring_super *super, char *problem);

/* --- a peer's checkpoint on its way here (transfer.c) --- */
/* Bytes that an area has room for. */
uint64_t ring_area_room(const struct ring_super *super);
/* Writes `bytes`[from..have - 1] behind the area's first block, then the head that says so; what
 * lay there is gone. The caller fills *head but for magic, version, have_crc, crc. `from`: as much
 * as the last call wrote, rounded down to blocks; `bytes` has room for `have` rounded up. */
int ring_transfer_write(struct disk *disk, const struct ring_super *super, unsigned area,
                        struct ring_transfer *head, uint64_t from, void *bytes);
/* Reads back what had arrived. -ENOENT: nothing that could be used. */
int ring_transfer_read(struct disk *disk, const struct ring_super *super, unsigned area,
                       struct ring_transfer *head, void *bytes, size_t cap);

#endif
