/* The bytes on the drive. Little-endian; every layout pinned by static_assert; explained with byte
 * tables in docs/ring-format.md. Pure: no system call, no DPDK; the offline tools link it.
 *
 * A ring file or device:
 *   block 0, 1    superblock, two copies, written at format: identity, geometry, hints
 *   block 2, 3    genesis record, two copies, zero until installed
 *   block 4, 5    paxos record, two copies, zero until founders agree (acceptor.h)
 *   block 6..15   zero
 *   then          checkpoint area A, checkpoint area B (checkpoint_blocks blocks each)
 *   then          slots: `slots` pages of 4 KiB; page number p lies in slot p mod slots
 */
#ifndef KEEL_RING_FORMAT_H
#define KEEL_RING_FORMAT_H

#include "consensus/wire/entry.h"
#include "consensus/wire/genesis.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    RING_PAGE_SIZE = 4096,
    RING_SECTOR_SIZE = 512,
    RING_SECTORS = RING_PAGE_SIZE / RING_SECTOR_SIZE,
    RING_HEAD_SIZE = 512,
    RING_PAGE_ROOM = RING_PAGE_SIZE - RING_HEAD_SIZE, /* 3584 bytes for entries */
    RING_PAGE_ENTRIES_MAX = RING_PAGE_ROOM / KEEL_ENTRY_HEAD_SIZE,
    RING_PREDECESSORS = 8,
    RING_RESERVED_BLOCKS = 16,
    RING_SUPER_BLOCK = 0,   /* first of two */
    RING_GENESIS_BLOCK = 2, /* first of two */
    RING_VERSION = 1,
    RING_FLIGHT_PAGES_MAX = 64, /* upper bound of pages in flight that any ring may state */
    RING_SLOTS_MIN = 256,       /* 1 MiB */
    RING_STRAY_BITS_MAX = 8     /* flipped bits in a slot that still counts as erased */
};
#define RING_SLOTS_MAX (1ull << 40)
#define RING_COUNT_MAX (1ull << 62) /* indexes, terms, LSNs, pages, boots: none comes that far */

#define RING_SUPER_MAGIC 0x314b4c424c45454bull /* "KEELBLK1" */
#define RING_PAGE_MAGIC 0x314547414c45454bull  /* "KEELAGE1" */

struct ring_super { /* first 512 bytes of a block; the rest is zero */
    uint64_t magic;
    uint32_t version;
    uint32_t replica;     /* 1..7 */
    uint64_t incarnation; /* drawn at format, not 0 */
    uint64_t slots;
    uint64_t checkpoint_blocks; /* of one area */
    uint64_t formatted_utc_ns;
    uint8_t reserved[512 - 52];
    uint32_t crc; /* CRC32C of bytes 0..507 */
};
_Static_assert(sizeof(struct ring_super) == RING_SECTOR_SIZE, "superblock");
_Static_assert(offsetof(struct ring_super, crc) == 508, "superblock crc");

/* What a page says of itself, and its successors repeat (H10, H12). A page without entries (a seal,
 * a vote) has count 0 and first_index = the index that the next entry would take. */
struct ring_identity { /* 32 bytes */
    uint64_t first_index;
    uint64_t entry_term;   /* 0 when count is 0 */
    uint64_t chain_before; /* log chain at first_index - 1 */
    uint32_t count;
    uint32_t bytes; /* of the entries */
};
_Static_assert(sizeof(struct ring_identity) == 32, "page identity");

struct ring_page { /* the 512-byte head; entries follow */
    uint64_t magic;
    uint16_t version;
    uint8_t replica;
    uint8_t vote;          /* hard state: candidate voted for in term, 0 none */
    uint32_t flight_pages; /* limit of pages in flight when this was written */
    /* CRC32C of each sector; [0] with itself as zero, so that it covers the others too */
    uint32_t sector_crc[RING_SECTORS];
    uint64_t cluster_id;
    uint64_t incarnation;
    uint64_t boot;
    uint64_t page;         /* page number, from 0 */
    uint64_t term;         /* hard state */
    uint64_t last_lsn;     /* highest LSN that this page makes durable */
    uint64_t durable_lsn;  /* highest known durable when it was written */
    uint64_t head;         /* lowest page number kept when it was written */
    uint64_t commit;       /* commit index known when it was written (a true lower bound) */
    uint64_t config_index; /* configuration in force (H4) */
    struct ring_identity self;
    struct ring_identity before[RING_PREDECESSORS]; /* [0]: page - 1, ... ; zero before page 0 */
    /* highest (boot, boot id) seen from one peer, peers taking turns (H2); peer 0: none */
    uint64_t seen_boot;
    uint64_t seen_boot_id;
    uint32_t seen_peer;
    uint32_t restored; /* written anew into its own slot: the first restored - 1 of its entries are
                          here, the others were superseded; 0: all are (restore.h) */
    uint64_t boot_id;  /* this replica's own, drawn at this boot */
    uint64_t durable_page; /* every page below this was known durable: bears witness for pages that
                              carry no LSN of their own (a boot, a seal) as well */
    uint8_t reserved[56];
};
_Static_assert(offsetof(struct ring_page, sector_crc) == 16, "page crcs");
_Static_assert(offsetof(struct ring_page, self) == 128, "page identity");
_Static_assert(offsetof(struct ring_page, before) == 160, "predecessors");
_Static_assert(offsetof(struct ring_page, seen_boot) == 416, "page peers");
_Static_assert(offsetof(struct ring_page, durable_page) == 448, "page witness");
_Static_assert(sizeof(struct ring_page) == RING_HEAD_SIZE, "page head");

/* Entries that lie in the page: of a restored one perhaps fewer than it was written with. */
static inline uint32_t ring_page_present(const struct ring_page *page)
{
    return page->restored != 0 ? page->restored - 1 : page->self.count;
}

static inline uint8_t *ring_page_entries(struct ring_page *page)
{
    return (uint8_t *)page + RING_HEAD_SIZE;
}

/* A checkpoint area: head block, then the encoded machine (padded with zeros). Written body first,
 * durable, then the head. */
enum ring_installed {
    RING_INSTALLED_NOT = 0,  /* this replica's own */
    RING_INSTALLED_PEER = 1, /* it came from a peer */
    RING_INSTALLED_SEED = 2  /* the ring begins with it: it was there before any page */
};
#define RING_CHECKPOINT_MAGIC 0x31504b434c45454bull /* "KEELCKP1" */
struct ring_checkpoint {
    uint64_t magic;
    uint32_t version;
    uint32_t replica;
    uint64_t incarnation;
    uint64_t cluster_id;
    uint64_t index; /* applied up to here; <= the local durable position when written (H14), unless
                       it came from a peer */
    uint64_t term;  /* of the entry at index */
    uint64_t chain; /* log chain at index */
    uint64_t lsn;   /* highest LSN durable when it was written */
    uint64_t page;  /* page that holds index; installed: the last one durable when it was written */
    uint64_t size;  /* bytes of the body: the encoded machine, then the feed's exceptions */
    uint64_t digest;
    uint64_t sequence;     /* 1, 2, ...: the higher of two intact areas is the newer */
    uint32_t body_crc;     /* CRC32C of the body */
    uint32_t installed;    /* enum ring_installed: where the log does not reach it, or took another
                              way,    it stands in the log's place (recover_walk.c) */
    uint64_t machine_size; /* bytes of the machine */
    uint8_t reserved[512 - 116];
    uint32_t crc; /* CRC32C of bytes 0..507 */
};
_Static_assert(sizeof(struct ring_checkpoint) == RING_SECTOR_SIZE, "checkpoint head");

/* In the place of a checkpoint's head: as much as has arrived of one that a peer sends. Recovery
 * takes the area for empty; the receiver goes on where it was cut off. */
#define RING_TRANSFER_MAGIC 0x315246584c45454bull /* "KEELXFR1" */
struct ring_transfer {
    uint64_t magic;
    uint32_t version;
    uint32_t replica;
    uint64_t incarnation;
    uint64_t cluster_id;
    uint64_t index, term, chain, digest; /* of the checkpoint that is being sent */
    uint64_t size;                       /* bytes of it */
    uint64_t have;                       /* so many are here, from the second block on */
    uint32_t body_crc;                   /* CRC32C of all of it */
    uint32_t have_crc;                   /* CRC32C of what is here */
    uint8_t reserved[508 - 88];
    uint32_t crc; /* CRC32C of bytes 0..507 */
};
_Static_assert(sizeof(struct ring_transfer) == RING_SECTOR_SIZE, "transfer head");
_Static_assert(offsetof(struct ring_transfer, crc) == 508, "transfer crc");

/* --- log chain ---------------------------------------------------------------------------------
 * chain(0) comes from the cluster id; chain(i) mixes chain(i-1) with the head word (the first eight
 * bytes: crc, size, kind, version), index and term of entry i. 64 bits wide; the entry's CRC32C
 * stands for its content. It proves against accidents (a missed change has odds of about 2^-32 for
 * content, 2^-64 for order), not against somebody who chooses bytes. Never 0: 0 means unknown. */
uint64_t ring_chain_genesis(uint64_t cluster_id);
uint64_t ring_chain_next(uint64_t chain, const struct entry *entry);
/* Log chain at an index that the page holds; first_index - 1 gives chain_before. 0: a restored page
 * does not hold it any more. */
uint64_t ring_page_chain(const struct ring_page *page, uint64_t index);

/* --- geometry ----------------------------------------------------------------------------------
 */
uint64_t ring_checkpoint_offset(const struct ring_super *super, unsigned area);
uint64_t ring_slot_offset(const struct ring_super *super, uint64_t page);
uint64_t ring_file_size(const struct ring_super *super);

/* --- sealing and judging single blocks -----------------------------------------------------------
 */
/* Fills the CRC of every sector; bytes behind the entries must be zero. */
void ring_page_finish(struct ring_page *page);

enum ring_verdict {
    RING_PAGE_GOOD,
    RING_PAGE_ZERO,    /* every byte is zero */
    RING_PAGE_OTHER,   /* intact, but of another cluster, replica, incarnation or slot */
    RING_PAGE_VERSION, /* head sector intact, of another version: nothing else is known of it */
    RING_PAGE_PAYLOAD, /* head sector intact, *bad_sectors names the bad ones */
    RING_PAGE_HEAD     /* head sector ruined, or it states numbers that no writer does, whatever its
                          checksum says; *bad_sectors as far as it can be told: bit 0 */
};

struct ring_owner { /* whose pages these must be */
    uint64_t cluster_id;
    uint64_t incarnation;
    uint64_t slots;
    uint8_t replica;
};

/* Judges the page in slot `slot`. Also checks that entries fill self.bytes with consecutive
 * indexes, one term, good CRCs and form; a failure there is RING_PAGE_PAYLOAD with bad_sectors 0.
 */
enum ring_verdict ring_page_judge(const void *bytes, const struct ring_owner *owner, uint64_t slot,
                                  uint32_t *bad_sectors);

const char *ring_verdict_name(enum ring_verdict verdict);

/* The head sector alone: magic and CRC. True also for another ring's page. */
bool ring_page_head_good(const void *bytes);

/* Every sector named in the mask is zeros: what a write that never got there leaves, since the ring
 * ahead of the tail is durably zero. */
bool ring_sectors_zero(const void *bytes, uint32_t sectors);

/* All zeros but for at most RING_STRAY_BITS_MAX bits: no head or payload sector that was ever
 * written comes that close, so this is an empty slot with flipped bits, not a damaged page. */
bool ring_page_erased(const void *bytes);

void ring_super_finish(struct ring_super *super);
/* NULL if sound and, with file_size not 0, within the file; else why not, in a few words. */
const char *ring_super_problem(const struct ring_super *super, uint64_t file_size);

/* Entry CRC: finish sets it, check compares. */
void ring_entry_finish(struct entry *entry);
bool ring_entry_good(const struct entry *entry);

#endif
