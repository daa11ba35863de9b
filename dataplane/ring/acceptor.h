/* What a founder has promised and accepted before there is a genesis record, on the drive: the
 * paxos record in blocks 4 and 5 (docs/ring-format.md). Cold: blocking reads and writes, by the one
 * thread that founds, or by `keelctl` on a ring that nobody runs.
 *
 * Each write goes to both blocks, one after the other, alternating which is first, and is durable
 * when it returns. So a write that is torn leaves the record before it or the new one whole, and a
 * block that rots later leaves its twin: a promise that was told is never forgotten for one bad
 * sector.
 */
#ifndef KEEL_RING_ACCEPTOR_H
#define KEEL_RING_ACCEPTOR_H

#include "consensus/paxos/paxos.h"
#include "dataplane/disk.h"
#include "dataplane/ring/format.h"

enum {
    ACCEPTOR_BLOCK = 4, /* first of two */
    ACCEPTOR_VERSION = 1,
    ACCEPTOR_SIZE = 1024
};
#define ACCEPTOR_MAGIC 0x315841504c45454bull /* "KEELPAX1" */

/* The start of a founder that its peers have heard of last (H2). */
struct acceptor_boot {
    uint64_t incarnation;
    uint64_t boot;
    uint64_t boot_id;
};

struct acceptor_record { /* the first two sectors of its block; the rest is zero */
    uint64_t magic;
    uint32_t version;
    uint32_t replica;     /* 1..7 */
    uint64_t incarnation; /* of the format; another one's counts as never written */
    uint64_t sequence;    /* 1, 2, ...: the higher of two intact ones counts; 0: never written */
    uint64_t boot;        /* starts before the genesis record, from 1 */
    struct acceptor_boot seen[KEEL_REPLICA_MAX + 1]; /* of the other founders, by id */
    struct paxos_record paxos;
    uint8_t reserved[ACCEPTOR_SIZE - 40 - 192 - sizeof(struct paxos_record) - 4];
    uint32_t crc; /* CRC32C of all bytes before it */
};
_Static_assert(sizeof(struct acceptor_record) == ACCEPTOR_SIZE, "acceptor record");
_Static_assert(offsetof(struct acceptor_record, seen) == 40, "acceptor boots");
_Static_assert(offsetof(struct acceptor_record, paxos) == 232, "acceptor's paxos record");
_Static_assert(offsetof(struct acceptor_record, crc) == ACCEPTOR_SIZE - 4, "acceptor crc");

/* The newest intact record of this format; all zero but for replica and incarnation where none was
 * ever written whole. *bad_copies: mask of blocks that hold something else than an intact record or
 * zeros. 0; -EBADMSG: both are damaged, or the one that is intact says what cannot be: what was
 * promised is not known, nothing may be; -EPROTONOSUPPORT: another program's; or the drive's
 * negative errno. *problem (DISK_PROBLEM_SIZE) says which. */
int acceptor_read(struct disk *disk, const struct ring_super *super, struct acceptor_record *record,
                  uint32_t *bad_copies, char *problem);

/* Takes the next sequence number and writes both blocks, that of bad_copies first. 0: durable; else
 * a negative errno: what lies on the drive now is not known, write no more. */
int acceptor_write(struct disk *disk, struct acceptor_record *record, uint32_t bad_copies);

/* Installs a genesis record that did not come by agreement (ring_genesis_install()), and notes it
 * for those who would still ask. -EBUSY where a founder list is locked: only what that list decides
 * is installed there. */
int acceptor_install(struct disk *disk, const struct genesis *genesis, bool join, char *problem);

#endif
