/* The genesis record: Raft's configuration at index 0 and every number that apply, stickiness and
 * leases read (H3). Built once from the founders' printed identities, installed once at each (H1),
 * alike on every replica for ever; changes come only by entry. Little-endian, fixed size, CRC32C
 * last.
 */
#ifndef KEEL_WIRE_GENESIS_H
#define KEEL_WIRE_GENESIS_H

#include "consensus/wire/limits.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { GENESIS_VERSION = 1, GENESIS_SIZE = 512 };

enum { /* ranges that genesis_problem() holds the record to */
       GENESIS_ELECTION_MAX_MS = 600000,
       GENESIS_RHO_MAX_PPM = 100000,
       GENESIS_SESSIONS_MAX = 65536 /* one session takes a little over 2 KiB */
};

#define GENESIS_MAGIC 0x3153454e454c454bull /* "KELENES1" as bytes on disk */

struct genesis_founder {
    uint64_t incarnation; /* drawn by `keeld format`; 0: no founder in this place */
    uint32_t ip;          /* IPv4, host byte order */
    uint16_t port;        /* UDP, peers and clients */
    uint16_t reserved;
};
_Static_assert(sizeof(struct genesis_founder) == 16, "genesis founder");

struct genesis {
    uint64_t magic;
    uint32_t version;
    uint32_t size;                                        /* GENESIS_SIZE */
    uint64_t cluster_id;                                  /* random, not 0 */
    struct genesis_founder founder[KEEL_REPLICA_MAX + 1]; /* by replica id; [0] unused */
    char day[KEEL_DAY_NAME_SIZE];                         /* name of the first trading day */
    uint8_t reserved0[6];
    /* timing */
    uint32_t election_min_ms;
    uint32_t heartbeat_ms;
    uint32_t stall_ms;
    uint32_t rho_ppm;       /* bound on each clock's rate error against true time */
    uint32_t feed_stale_ms; /* a line without quorum contact this long falls silent */
    /* sessions */
    uint32_t ttl_min_ms;
    uint32_t ttl_max_ms;
    uint32_t session_retain_ms; /* ended sessions keep their results this long, in log time */
    uint32_t sessions_max;
    uint32_t sessions_per_principal;
    uint32_t window_max; /* 1..KEEL_SESSION_WINDOW_MAX */
    uint32_t flights;    /* AppendEntries packets in flight to a peer */
    uint32_t flight_bytes;
    uint8_t reserved[GENESIS_SIZE - 24 - 128 - 16 - 13 * 4 - 4];
    uint32_t crc; /* CRC32C of all bytes before it */
};
_Static_assert(sizeof(struct genesis) == GENESIS_SIZE, "genesis record");
_Static_assert(offsetof(struct genesis, crc) == GENESIS_SIZE - 4, "genesis crc");

/* Zeroes *genesis, then sane defaults for every field but cluster id, founders, day and crc. */
void genesis_defaults(struct genesis *genesis);

/* NULL if the record is well-formed (magic, version, ranges, 1..7 founders with distinct
 * incarnations and addresses, reserved bytes zero; the crc is the caller's to check), else why not,
 * in a few words. */
const char *genesis_problem(const struct genesis *genesis);

/* Mask of founders: bit i for replica id i. */
uint32_t genesis_voters(const struct genesis *genesis);

#endif
