/* One ring on a drive of memory beside a plain model of it: what the log and hard state were at
 * each page's closing. Shared by the ring's tests. */
#ifndef KEEL_TEST_RING_WORLD_H
#define KEEL_TEST_RING_WORLD_H

#include "dataplane/ring/recover_internal.h"
#include "dataplane/ring/restore.h"
#include "dataplane/ring/ring.h"
#include "tests/unit/ring/disk_memory.h"

enum {
    WORLD_PAGES_MAX = 1 << 16, /* page numbers that a test may reach */
    WORLD_LOG_MAX = 1 << 18,   /* entries ever appended */
    WORLD_REPLICA = 2,
    WORLD_CHECKPOINT_BLOCKS = 4
};

struct world_state { /* as of the closing of a page */
    uint64_t lsn, last_index, last_chain, term;
    uint64_t first_index; /* of the page */
    uint64_t made;        /* its entries' place in world.made */
    uint32_t count;
    uint8_t vote;
    uint64_t stretch; /* world.installs then */
};

struct world_entry {
    uint64_t term, chain;
    uint32_t crc;
};

struct world {
    struct memory_store store;
    struct disk *writer, *reader;
    struct ring *ring;
    void *memory;
    struct ring_super super;
    struct genesis genesis;
    uint32_t window_pages, flight_pages;
    uint64_t boot;
    uint64_t now_ns, turn_ns; /* a turn takes so long: at first as long as a seal waits */
    uint64_t random;          /* state of the generator */
    /* the model: of what was given to the ring */
    uint64_t lsn, last, term;
    uint64_t entry_term;
    uint64_t commit, done;
    uint8_t vote;
    struct world_entry *log;  /* by index */
    struct world_entry *made; /* every entry ever appended */
    uint64_t made_count;
    struct world_state *pages; /* by page number */
    uint64_t tail;             /* pages closed */
    uint64_t open_first;       /* first index of the open page */
    uint64_t checkpoint_index[2];
    uint64_t checkpoint_sequence;
    /* A peer's checkpoint, durable in at least one area, and how many there were. */
    uint64_t began; /* of them, that the log is behind */
    uint64_t installs, installed, installed_term, installed_chain;
    uint64_t room_refused[5];
};

uint64_t world_random(struct world *world);

/* Formats, installs genesis; not started. */
void world_init(struct world *world, uint64_t slots, uint32_t window_pages, uint32_t flight_pages,
                uint64_t seed);
void world_free(struct world *world);

/* Recovers with repair and starts; fails the test unless the ring is intact. The model's log is cut
 * back to what was found, which must be a state of the model. */
void world_start(struct world *world);
/* The same over damage, of pages that had all been durable: the model stays as it is. The caller
 * frees *found. */
void world_start_over(struct world *world, struct ring_recovery *found);
/* Drops the ring as a crash does: nothing in flight gets through. */
void world_crash(struct world *world);

/* One entry of `term`, of about `payload` bytes; false if the ring has no room now. */
bool world_append(struct world *world, uint64_t term, uint32_t payload);
/* A leader's first entry in a term of its own, from the room that is kept for it. */
bool world_append_noop(struct world *world, uint64_t term);
void world_hard(struct world *world, uint64_t term, uint8_t vote);
/* Cuts the log back to index - 1 and appends one entry of a higher term; false if there is no room.
 */
bool world_truncate(struct world *world, uint64_t index, uint64_t term);
/* seq's, disk's and aux's turn, in this order. */
void world_turn(struct world *world);
uint32_t world_seq_turn(struct world *world);
/* Turns until nothing is left to do (the store must not hold). */
void world_settle(struct world *world);
/* The last entry that is durable and live. */
uint64_t world_durable_index(const struct world *world);
/* Everything is committed, applied and fed up to the durable index. */
void world_done(struct world *world, uint64_t index);
/* Writes a checkpoint at index, tells the ring about the older of two. */
int world_checkpoint(struct world *world, uint64_t index);

/* A peer's checkpoint of that index, on a way of its own, into area(s); 0 or negative errno. The
 * newest one's area is the last. */
int world_store_peers(struct world *world, uint64_t index, uint64_t term, uint32_t copies);
/* And in the log's place; false if there is no room now. */
bool world_begin(struct world *world);

/* Compares a recovery with the model as of the closing of page tail - 1; asserts. */
bool world_same(const struct world *world, const struct ring_recovery *found, uint64_t tail);
/* Compares each entry that the ring has in its window and, by its page map, on the drive. */
void world_check_entries(struct world *world);

/* --- what peers hold, and a page written anew --- */
struct world_copy { /* live entries of a page, as a peer sends them */
    struct ring_stretch live;
    uint8_t entries[RING_PAGE_ROOM];
    uint32_t bytes;
};

/* Of a page as it was (`good`), by the map that recovery found. */
void world_copy_live(const struct ring_recovery *found, uint64_t number, const uint8_t *good,
                     struct world_copy *copy);
/* ring_restore(): pages below `durable` are durable; *page has RING_PAGE_SIZE bytes. */
int world_restore(struct world *world, const struct world_copy *copy, uint64_t durable,
                  uint8_t *page);

/* --- damage --- */
uint8_t *world_page_bytes(struct world *world, uint64_t page);
struct ring_page *world_page_head(struct world *world, uint64_t page);
/* Flips most of a sector: what no torn write leaves. */
void world_rot(struct world *world, uint64_t page, uint32_t sector);
void world_look(struct world *world, struct ring_recovery *found);
/* What recovery says now, looking only; asserts that it gives a reason. */
enum ring_damage world_damage(struct world *world);
/* A started ring with some pages of entries, each followed by its seal. */
void world_filled(struct world *world, uint32_t pages);

#endif
