/* The inside of struct ring: who writes what. Included by ring*.c and their test alone.
 *
 * Words that another role reads are accessed with __atomic builtins, each with a comment that names
 * its partner; everything else belongs to one role, on cache lines of its own.
 */
#ifndef KEEL_RING_INTERNAL_H
#define KEEL_RING_INTERNAL_H

#include "consensus/ensure.h"
#include "dataplane/ring/ring.h"
#include "dataplane/spsc.h"

enum {
    RING_LINE = SPSC_LINE,
    RING_ENTRIES_PER_PAGE =
        64,                  /* of the index tables; RING_ENTRY_SIZE_MIN lets no page hold more */
    RING_SPARE_SLOTS = 32,   /* kept from entries, for votes, seals and a new head */
    RING_SCARCE_SLOTS = 48,  /* below these elections take care (H8) */
    RING_HEAD_SLOTS = 8,     /* of them kept from votes and seals too: for a new head, for a boot */
    RING_SPARE_PAGES = 16,   /* kept from entries, of the window; a quarter more of it is left to
                                elections before they take care */
    RING_PAGES_TO_START = 4, /* of them kept from all but the first page of a boot: whoever is full
                                can start, and be freed by a leader */
    RING_PAGES_TO_LEAD = 3,  /* and kept from seals: the open page's, a vote's, a no-op's. Entries
                                that fill a window are committed by nobody but a leader */
    RING_ZERO_PAGES = 64,    /* pages of one zeroing write */
    RING_REAP_MAX = 64
};
_Static_assert(RING_PAGE_ROOM / RING_ENTRY_SIZE_MIN <= RING_ENTRIES_PER_PAGE, "index tables");
_Static_assert(RING_PAGES_TO_START + RING_PAGES_TO_LEAD < RING_SPARE_PAGES,
               "entries stop first, then seals, then votes");
_Static_assert(RING_SPARE_SLOTS < RING_SCARCE_SLOTS, "what entries leave is for careful elections");
_Static_assert(RING_HEAD_SLOTS < RING_SPARE_SLOTS, "entries stop first, then votes and seals");
_Static_assert(RING_ZERO_PAGES *RING_PAGE_SIZE <= DISK_ZERO_MAX, "one zeroing write");
_Static_assert(RING_FLIGHT_PAGES_MAX <= 64, "pages in flight fit one mask");

#define RING_NOWHERE UINT32_MAX  /* in `where`: the entry is lost */
#define RING_ZERO_TAG UINT64_MAX /* else reader * RING_READS_MAX + buffer */

struct ring_ask { /* reader -> aux */
    uint64_t page;
    uint32_t buffer; /* of the reader's own RING_READS_MAX */
    uint32_t reserved;
};

struct ring_answer { /* aux -> reader */
    uint32_t buffer;
    int32_t result;
};

struct ring_reread { /* the reader's note about a buffer in use */
    uint64_t tag;
    uint64_t index;
    uint64_t page;
};

struct ring_link { /* one reader's link to aux */
    /* reader */
    _Alignas(RING_LINE) uint32_t free_count;
    uint32_t free_buffer[RING_READS_MAX];
    struct ring_reread reread[RING_READS_MAX];
    /* both, each at its end */
    struct spsc asks, answers;
    struct ring_ask ask_records[RING_READS_MAX];
    struct ring_answer answer_records[RING_READS_MAX];
};

enum {
    RING_TIMES = 5,              /* newest watched pages whose time is kept */
    RING_TIME_PAUSE_NS = 1000000 /* between the end of one and the next */
};

struct ring {
    /* --- fixed at start --- */
    struct ring_super super;
    struct ring_owner owner;
    struct disk *writer;
    struct disk *reader;
    uint8_t *window;       /* window_pages places of RING_PAGE_SIZE */
    uint8_t *buffers;      /* RING_READS_MAX pages for each reader */
    uint64_t *chain;       /* by index & table_mask */
    uint32_t *where;       /* by index & table_mask: place * 512 + offset / 8 */
    uint32_t *place;       /* by page mod window_pages, of pages that are not settled */
    uint32_t *free;        /* places that no page has, free_count */
    struct ring_live *map; /* by position & map_mask */
    uint64_t table_mask;
    uint64_t map_mask;
    uint32_t window_pages;
    uint32_t flight_pages;
    uint64_t boot;
    uint64_t boot_id;
    uint64_t boot_page; /* number of the first page of this boot */

    /* --- seq --- */
    _Alignas(RING_LINE) uint64_t tail; /* number of the open page, or of the next */
    bool open;                         /* the open page has its place in the window */
    bool anew;        /* the open page begins a stretch, and goes when all before it is durable */
    bool dirty;       /* something waits to be made durable with the open page */
    uint64_t busy_ns; /* when something was in flight or waited last */
    /* how long the drive takes: one page at a time is watched */
    uint64_t timed_page; /* UINT64_MAX: none */
    uint64_t timed_ns;   /* it was closed then; 0: none is watched */
    uint64_t timed_next_ns;
    uint64_t times; /* pages that were */
    uint64_t time_ns[RING_TIMES];
    bool sealed; /* the last closed page says that all before it is durable, and no more */
    uint16_t reserved_size;
    uint32_t open_count;
    uint32_t open_bytes;
    uint64_t open_first; /* entries of the open page, as in its identity */
    uint64_t open_term;
    uint64_t open_chain;
    uint64_t last_index;
    uint64_t last_lsn;
    uint64_t last_chain;
    uint64_t data_to;  /* pages that are no seals have numbers below this */
    uint64_t settled;  /* pages below are durable, and have kept their place or given it up */
    uint64_t reusable; /* tail - reusable places are not to be had: of pages that are not durable,
                          and of live ones that are not done */
    uint64_t done_index;
    uint32_t free_count;
    uint32_t open_place; /* of the open page */
    /* live page map: positions map_low..map_high - 1, oldest first */
    uint64_t map_low, map_high;
    uint64_t map_window;  /* position of the first live page in memory */
    uint64_t map_done;    /* of the first that is not durable and done: those below may leave it */
    uint64_t map_settled; /* of the first live page >= settled */
    /* facts for the heads */
    uint64_t head;
    uint64_t head_stated; /* in the last closed page */
    uint64_t checkpoint_index;
    uint64_t hard_term;
    uint64_t commit;
    uint64_t config_index;
    uint64_t cut_page; /* the last truncation is durable with this page */
    uint32_t hole_count;
    uint64_t hole[RING_HOLES_MAX]; /* pages, ascending */
    uint64_t pinned;               /* the head does not pass it; UINT64_MAX: none */
    uint64_t covered;              /* by a durable checkpoint of this replica */
    uint8_t hard_vote;
    uint8_t seen_turn;
    uint64_t seen_boot[KEEL_REPLICA_MAX + 1];
    uint64_t seen_boot_id[KEEL_REPLICA_MAX + 1];
    struct ring_identity before[RING_PREDECESSORS];
    /* counters: written by seq, read by anybody (relaxed) */
    uint64_t count_seals, count_entries, count_holes;

    /* --- seq -> disk: pages below are closed; their bytes stand still until they are durable ---
     */
    _Alignas(RING_LINE) uint64_t closed_to;
    uint64_t head_now; /* copies for ring_stats() */
    uint64_t tail_now;

    /* --- disk --- */
    _Alignas(RING_LINE) uint64_t submitted; /* pages below were handed to the drive */
    uint64_t disk_durable;                  /* pages below are durable */
    uint64_t disk_head;
    uint64_t done_mask; /* bit i: page disk_durable + i is written */
    uint32_t in_flight;

    /* --- disk -> seq, aux, control --- */
    _Alignas(RING_LINE) uint64_t durable_page;
    uint64_t durable_lsn;
    uint64_t durable_head; /* highest head that a durable page states */
    uint32_t failed;
    uint32_t in_flight_now, in_flight_max;
    uint64_t oldest_flight_lsn;
    uint64_t count_pages, count_write_errors;

    /* --- aux --- */
    _Alignas(RING_LINE) uint64_t zero_from, zero_to; /* pages being zeroed; equal: none */
    uint32_t aux_in_flight;
    uint64_t asked_page[RING_READER_COUNT]
                       [RING_READS_MAX]; /* by buffer, while its read is in flight */

    /* --- aux -> seq --- */
    _Alignas(
        RING_LINE) uint64_t zeroed_to; /* slots of pages below are durably zero or written since */
    uint32_t aux_failed;
    uint64_t count_zeroed, count_reads, count_read_errors;
    uint64_t suspect; /* aux -> control, who takes it: a page that was read and is bad, + 1 */

    /* --- control -> seq --- */
    _Alignas(RING_LINE) uint64_t control_checkpoint;
    uint64_t control_covered;

    struct ring_link link[RING_READER_COUNT];
};

static inline struct ring_page *ring_at_place(const struct ring *ring, uint32_t place)
{
    return (struct ring_page *)(ring->window + (size_t)place * RING_PAGE_SIZE);
}

/* Of a page that is not durable yet. */
static inline struct ring_page *ring_window_page(const struct ring *ring, uint64_t page)
{
    return ring_at_place(ring, ring->place[page & (ring->window_pages - 1)]);
}

static inline struct ring_live *ring_map_at(const struct ring *ring, uint64_t position)
{
    return &ring->map[position & ring->map_mask];
}

static inline uint8_t *ring_buffer(const struct ring *ring, uint32_t reader, uint32_t buffer)
{
    return ring->buffers + (size_t)(reader * RING_READS_MAX + buffer) * RING_PAGE_SIZE;
}

/* Last live entry of the live page at a position of the map. */
static inline uint64_t ring_live_last(const struct ring *ring, uint64_t position)
{
    return position + 1 < ring->map_high ? ring_map_at(ring, position + 1)->first_index - 1
                                         : ring->last_index;
}

/* --- ring_window.c: which pages are in memory --- */

/* Position of the live page that holds index, map_low <= result < map_high; index is retained. */
uint64_t ring_map_find(const struct ring *ring, uint64_t index);
/* A place for page `tail`, which is below reusable + window_pages. */
uint32_t ring_window_take(struct ring *ring);
/* Pages below this number are durable. */
void ring_window_settle(struct ring *ring, uint64_t durable_page);
/* done_index has moved. */
void ring_window_done(struct ring *ring);
/* Live pages below the position leave memory. */
void ring_window_forget(struct ring *ring, uint64_t position);
/* Entries from index on leave the map. */
void ring_window_cut(struct ring *ring, uint64_t index);

/* Sets the tables for one entry of the log. */
static inline void ring_table_set(struct ring *ring, uint64_t index, uint32_t place,
                                  uint32_t offset, uint64_t chain)
{
    uint64_t slot = index & ring->table_mask;
    ring->where[slot] = place * (RING_PAGE_SIZE / 8) + offset / 8;
    ring->chain[slot] = chain;
}

/* The tables tell nothing of an entry that is lost. */
static inline void ring_table_lose(struct ring *ring, uint64_t index)
{
    ring->where[index & ring->table_mask] = RING_NOWHERE;
    ring->chain[index & ring->table_mask] = 0;
}

/* Takes the live entries of a page into the tables, which lies at that place; false: the bytes
 * there are not that page. */
bool ring_index_page(struct ring *ring, uint64_t position, uint32_t place);

/* A counter that one role writes and anybody reads: no order is wanted, only whole words. */
static inline void ring_count(uint64_t *counter, uint64_t more)
{
    /* relaxed: pairs with the relaxed loads in ring_stats(); nothing hangs on it */
    __atomic_store_n(counter, *counter + more, __ATOMIC_RELAXED);
}

#endif
