/* The persistent ring of one replica: a window of pages in memory, written to the drive in order.
 *
 * The same bytes serve three times: an entry is framed once in the open page of the window, goes to
 * the drive with that page, and travels in AppendEntries. Pages fill while earlier ones are in
 * flight and are closed as soon as the disk role can take one (natural batching, never a timer).
 *
 * Threads: role `seq` calls everything under "seq", `disk` ring_disk_turn(), `aux` ring_aux_turn();
 * they may share a thread. Between them: closed pages go seq -> disk by an SPSC ring, durable LSN
 * comes back as a counter; reads go seq -> aux -> seq; the durable head goes disk -> aux and the
 * zeroed limit comes back to seq. The control thread calls ring_control_*().
 *
 * The first page after a start carries the boot counter and goes alone; see ring_boot_durable().
 * Head and retention: the head stands still while there is room, so that old entries can be reread;
 * when free slots run short it moves as far as the older checkpoint allows, and `aux` zeroes what
 * it left once a page that states it is durable (H10).
 */
#ifndef KEEL_RING_H
#define KEEL_RING_H

#include "dataplane/disk.h"
#include "dataplane/ring/format.h"
#include "dataplane/ring/recover.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    RING_WINDOW_MIN = 64,
    RING_READS_MAX = 64,      /* rereads that one reader has asked for and not released */
    RING_ENTRY_SIZE_MIN = 64, /* no kind of entry has a body smaller than 16 bytes */
    RING_SEAL_AFTER_NS = 1000000
};

struct ring;

struct ring_options {
    struct disk *writer;   /* disk role's handle (holds the flock) */
    struct disk *reader;   /* aux's handle: reread, zero ahead; shares writer's file (H9); depth
                              RING_READS_MAX + 2 or more */
    void *memory;          /* ring_memory_size() bytes, page-aligned; hugepages where they are */
    uint32_t window_pages; /* power of two, 64..slots / 2; bytes kept in memory = 4096 * this */
    uint32_t flight_pages; /* page writes in flight, 1..RING_FLIGHT_PAGES_MAX; depth of writer >= */
    uint64_t cluster_id;
    uint64_t boot; /* this boot's counter and id */
    uint64_t boot_id;
};

/* Bytes of window, tables and page map for a ring with that superblock. */
size_t ring_memory_size(const struct ring_super *super, uint32_t window_pages);

/* Sets up a ring in options->memory from what ring_recover() found (pages still needed in memory
 * are read back into the window). Nothing is written. 0 or negative errno with *problem (160
 * bytes). */
int ring_start(struct ring **ring, const struct ring_options *options,
               const struct ring_recovery *found, char *problem);

/* --- seq: append ---------------------------------------------------------------------------------
 * Room is asked for once per entry or batch; reserve/commit then cannot fail. */

enum ring_room { RING_ROOM, RING_NO_WINDOW, RING_NO_ZEROED, RING_NO_SLOT, RING_NO_DISK };

/* Can `count` more entries of together `bytes` bytes (and a term change) be taken? Says which limit
 * is in the way otherwise: window (oldest page not durable, applied, or fed), zeroed-ahead slots,
 * the head, or a disk that failed. */
enum ring_room ring_room(const struct ring *ring, uint32_t count, uint32_t bytes);

/* Can a term, a vote for it and a leader's no-op be taken? Entries leave room for that (see
 * ring_room()), but each term and each vote that comes to nothing takes a page of it. */
bool ring_room_to_lead(const struct ring *ring);

/* As ring_room(), for what a new leader has to store on a quorum before anything can commit, and
 * make room: entries of terms before its own, and its no-op. They may take what is kept for
 * elections, which come to nothing without them. */
enum ring_room ring_room_to_settle(const struct ring *ring, uint32_t count, uint32_t bytes);

/* Few more elections find room: what entries leave to them, and a quarter of the window. */
bool ring_scarce(const struct ring *ring);

/* Where the next entry of `size` bytes (RING_ENTRY_SIZE_MIN..KEEL_ENTRY_MAX, a multiple of 8) and
 * of `term` is to be framed; opens a page if need be. Reserving again gives up what was reserved.
 */
struct entry *ring_reserve(struct ring *ring, uint16_t size, uint64_t term);
/* Takes the reserved entry into the log at last index + 1: sets its crc unless `framed` (a
 * follower's copy, crc checked before), extends chain and tables. lsn: as raft_step numbered it. */
void ring_commit(struct ring *ring, uint64_t lsn, bool framed);
/* Entries from `index` on are superseded by what is appended next. index > commit, within the
 * window; ring_room() was asked for what is appended next. */
void ring_truncate(struct ring *ring, uint64_t index, uint64_t lsn);
/* A checkpoint that is durable in both areas takes the log's place: the log goes on at index + 1,
 * behind `chain`, and the next page states itself as the head. ring_room_to_begin() was asked, and
 * nobody reads an entry of the log that goes (the feed has let go of the window). */
void ring_begin(struct ring *ring, uint64_t index, uint64_t chain, uint64_t lsn);
/* No entry waits in the open page (it goes as soon as the drive can take it), and there is a slot,
 * of those kept for a new head. */
bool ring_room_to_begin(const struct ring *ring);
/* New hard state; goes out with the open page, or with an empty one. */
void ring_hard(struct ring *ring, uint64_t term, uint8_t vote, uint64_t lsn);

/* Facts that page heads repeat. */
void ring_note_commit(struct ring *ring, uint64_t commit);
void ring_note_config(struct ring *ring, uint64_t index);
void ring_note_boot(struct ring *ring, uint8_t peer, uint64_t boot, uint64_t boot_id);
/* Window pages whose entries are all <= index may be reused (applied and fed). */
void ring_note_done(struct ring *ring, uint64_t index);
/* The older of two verified durable checkpoints covers everything up to index: the head may move.
 */
void ring_note_checkpoint(struct ring *ring, uint64_t index);

/* Once a turn, after all appends: closes the open page if the disk can take it; writes a seal when
 * for RING_SEAL_AFTER_NS nothing was in flight and nothing waited, and the newest durable page does
 * not witness the last one (H13). now_ns: any monotonic clock. Returns pages closed. */
uint32_t ring_turn(struct ring *ring, uint64_t now_ns);
/* How long the drive takes for a page at present, from closed to durable with all before it: the
 * least of the newest few that were watched, so that a loop that got no turn does not look like a
 * slow drive; or the age of one that is out for longer. 0: none yet. Any clock of ring_turn(). */
uint64_t ring_drive_ns(const struct ring *ring, uint64_t now_ns);

/* --- seq: pages that the drive has lost (ring_hole.c)
 * --------------------------------------------- A bad page leaves its place in the map: which
 * entries it holds stays known. It is written anew into its own slot (restore.h) by somebody else,
 * while the head is pinned behind it. */
struct ring_stretch {
    uint64_t page;
    uint64_t first, last; /* live entries; none: last == first - 1, all of the page is dead */
    uint64_t term;
    uint64_t chain_before, chain_after; /* log chain at first - 1 and at last; 0: unknown */
};

/* A kept, durable page turned out to be bad. False: it is none of those, is known, or is one too
 * many. */
bool ring_hole_add(struct ring *ring, uint64_t page);

/* One too many, and below all that are known: what they hold for absent would count as present. */
bool ring_hole_exceeds(const struct ring *ring, uint64_t page);
uint32_t ring_holes(const struct ring *ring);
/* The one to be repaired next: of pages from number `from` on, then of those below, the one with
 * the lowest live entries, then a dead one. False: none. */
bool ring_hole_next(const struct ring *ring, uint64_t from, struct ring_stretch *stretch);
/* Index lies in one. */
bool ring_in_hole(const struct ring *ring, uint64_t index);
/* The lowest entry that is lost and that no durable checkpoint of this replica covers (H7); 0. */
uint64_t ring_hole_index(const struct ring *ring);
/* The head does not pass `page` until ring_hole_closed(). False: it has. */
bool ring_hole_pin(struct ring *ring, uint64_t page);
/* `bytes` lie durably in its slot, and go to the window if the page has a place there; NULL:
 * nothing came of it, the hole stays. */
void ring_hole_closed(struct ring *ring, uint64_t page, const struct ring_page *bytes);
/* The chain at index, told by a leader, where a hole has swallowed it. */
void ring_note_chain(struct ring *ring, uint64_t index, uint64_t chain);
/* A durable checkpoint of this replica covers everything up to index. */
void ring_note_covered(struct ring *ring, uint64_t index);

/* --- seq: look up
 * ---------------------------------------------------------------------------------*/
uint64_t ring_last_index(const struct ring *ring);
uint64_t ring_first_index(const struct ring *ring);  /* lowest index retained on the drive */
uint64_t ring_window_first(const struct ring *ring); /* lowest index in memory */
/* Lowest index in the younger half of the window: what a reader of the window may hold on to. */
uint64_t ring_recent_first(const struct ring *ring);
/* The entry in the window, NULL if it is not there (below window_first or above last, or lost). */
const struct entry *ring_entry(const struct ring *ring, uint64_t index);
/* Log chain at index: from the window's tables, 0 if unknown there. */
uint64_t ring_chain(const struct ring *ring, uint64_t index);
/* Lowest page number kept; any thread. */
uint64_t ring_head_page(const struct ring *ring);
/* Load-acquire of the disk role's durable position; *failed: a write failed (sticky). */
uint64_t ring_durable_lsn(const struct ring *ring, bool *failed);
/* Pages below this number are durable. */
uint64_t ring_durable_page(const struct ring *ring);
/* The page that states this boot's counter is durable: before that no packet may leave. */
bool ring_boot_durable(const struct ring *ring);
/* Page that holds index (the live version, an open page too), UINT64_MAX if none retained. */
uint64_t ring_page_of(const struct ring *ring, uint64_t index);
/* Term of a retained entry; 0 if index is not retained. */
uint64_t ring_term(const struct ring *ring, uint64_t index);
/* The live stretch of the page that holds index: its number and first and last live entries (a
 * later page may supersede its end). False if index is not retained or its page is not closed yet.
 */
bool ring_span(const struct ring *ring, uint64_t index, uint64_t *page, uint64_t *first,
               uint64_t *last);

/* --- reading back from the drive (served by aux)
 * --------------------------------------------------- Each reader has a link of its own to aux, and
 * may be a thread of its own. What is asked for comes back by ring_read_poll() some turns later, in
 * any order. */
enum ring_reader { RING_READER_SEQ, RING_READER_FEED, RING_READER_CONTROL, RING_READER_COUNT };

/* RING_READER_SEQ only, which owns the page map: asks for the page that holds index. False if the
 * link is full, the index is below the head, or its page is not durable yet (then it is in the
 * window). */
bool ring_read_request(struct ring *ring, enum ring_reader reader, uint64_t index, uint64_t tag);
/* Any reader: asks for a page by its number (ring_span() told it). False if the link is full or the
 * page is not durable yet. */
bool ring_read_page(struct ring *ring, enum ring_reader reader, uint64_t page, uint64_t tag);
struct ring_read {
    uint64_t tag;
    uint64_t index;  /* as asked; 0 after ring_read_page() */
    int32_t result;  /* 0, or negative: -EIO (unreadable or damaged), -ESTALE (overwritten or
                        superseded meanwhile) */
    uint32_t buffer; /* the ring's own */
    const struct ring_page
        *page;            /* judged good; valid until ring_read_release(); NULL on failure */
    uint64_t first, last; /* entries of the page that are live, the rest is superseded; after
                             ring_read_page() all that it holds */
};
bool ring_read_poll(struct ring *ring, enum ring_reader reader, struct ring_read *read);
/* After every poll that returned true, also after a failure. */
void ring_read_release(struct ring *ring, enum ring_reader reader, const struct ring_read *read);

/* --- disk, aux: one turn each; return the amount of work done
 * --------------------------------------*/
uint32_t ring_disk_turn(struct ring *ring);
uint32_t ring_aux_turn(struct ring *ring);

/* --- control
 * ------------------------------------------------------------------------------------*/
/* The older of two verified durable checkpoints covers everything up to index; seq takes it up in
 * its next ring_turn(). Never goes back. */
void ring_control_checkpoint(struct ring *ring, uint64_t index);
/* The newest verified durable checkpoint covers everything up to index. */
void ring_control_covered(struct ring *ring, uint64_t index);
/* A page that a reader found bad since the last call; false: none. One is remembered, and what is
 * forgotten the scrub finds. */
bool ring_control_suspect(struct ring *ring, uint64_t *page);
/* ring_checkpoint_write() on the caller's own handle (same file as the writer's, H9), refused with
 * -ERANGE unless head->page and head->lsn lie within the durable position (H14). */
int ring_control_checkpoint_write(const struct ring *ring, struct disk *disk, unsigned area,
                                  struct ring_checkpoint *head, void *bytes, size_t size);
/* The same for one that a peer sent: fills head->page and head->lsn with the durable position. */
int ring_control_checkpoint_install(const struct ring *ring, struct disk *disk, unsigned area,
                                    struct ring_checkpoint *head, void *bytes, size_t size);

struct ring_stats {
    uint64_t pages_written, bytes_written, seals, entries, zeroed_pages, reads, read_errors;
    uint64_t write_errors;
    uint64_t holes; /* bad pages that wait for repair */
    uint32_t in_flight, in_flight_max;
    uint64_t head_page, tail_page, slots, zeroed_to;
    uint64_t oldest_flight_lsn; /* last LSN of the oldest page in flight; 0: none */
};
/* Any thread; counters are each true, not of one instant. */
void ring_stats(const struct ring *ring, struct ring_stats *stats);

/* Waits for writes in flight (shutdown). */
void ring_stop(struct ring *ring);

#endif
