/* A backup: the whole state of a cluster at one committed index, in one file. Byte tables in
 * docs/ring-format.md. Pure but for the memory that a check takes; keeld writes the bytes, keelctl
 * stores, verifies and restores them.
 *
 *     head                512 bytes
 *     genesis record      512 bytes
 *     encoded machine     head.machine_size bytes, to the end of the file
 */
#ifndef KEEL_BACKUP_FILE_H
#define KEEL_BACKUP_FILE_H

#include "consensus/machine/machine.h"

#define BACKUP_MAGIC 0x314b41424c45454bull /* "KEELBAK1" as bytes */

enum { BACKUP_VERSION = 1, BACKUP_HEAD_SIZE = 512, BACKUP_WHY_MAX = 160 };

struct backup_head {
    uint64_t magic;
    uint32_t version;
    uint32_t replica; /* that it was taken at */
    uint64_t incarnation;
    uint64_t cluster_id;
    uint64_t index; /* of the last entry in it: committed, durable at that replica */
    uint64_t term;  /* of that entry */
    uint64_t chain; /* log chain there */
    uint64_t digest;
    uint64_t fingerprint;  /* machine_fingerprint() */
    uint64_t current_term; /* highest that the replica knew */
    uint64_t utc_ns;       /* when it was taken, by that replica's clock */
    uint64_t machine_size;
    uint64_t feed_next; /* of the trading day `day` */
    char day[KEEL_DAY_NAME_SIZE];
    uint8_t reserved0[6];
    uint32_t body_crc; /* CRC32C of all that follows the head */
    uint8_t reserved[BACKUP_HEAD_SIZE - 128];
    uint32_t crc; /* CRC32C of all bytes before it */
};
_Static_assert(sizeof(struct backup_head) == BACKUP_HEAD_SIZE, "backup head");
_Static_assert(offsetof(struct backup_head, body_crc) == 120, "backup body");
_Static_assert(offsetof(struct backup_head, crc) == BACKUP_HEAD_SIZE - 4, "backup crc");

/* Bytes that a backup under this genesis record has at most. */
uint64_t backup_size_max(const struct genesis *genesis);

/* The whole file into `bytes` (backup_size_max()): the caller states replica, incarnation, chain,
 * current_term and utc_ns in *head, the rest is filled in. Returns the size. */
uint64_t backup_encode(struct backup_head *head, const struct genesis *genesis,
                       const struct machine *machine, uint8_t *bytes, uint64_t cap);

/* Judges `size` bytes: form, version, checksums, and whether the state is the one that the head
 * names. True, with *head, *genesis and, if `machine` is not NULL, *machine (64-byte aligned,
 * free() gives it back); false with why (BACKUP_WHY_MAX) in words. Total on any bytes. */
bool backup_decode(const uint8_t *bytes, uint64_t size, struct backup_head *head,
                   struct genesis *genesis, struct machine **machine, char *why);

#endif
