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

enum {
    GENESIS_VERSION = 1,
    GENESIS_VERSION_SEEDED = 2, /* its cluster begins with a state of another one */
    GENESIS_SIZE = 512
};

enum genesis_seed { /* how a cluster came by the state that it begins with */
                    GENESIS_SEED_NONE = 0,
                    GENESIS_SEED_RECOVERED = 1, /* a survivor's ring, the majority being lost */
                    GENESIS_SEED_RESTORED = 2   /* a backup */
};

enum { /* ranges that genesis_problem() holds the record to */
       GENESIS_ELECTION_MAX_MS = 600000,
       GENESIS_RHO_MAX_PPM = 100000,
       GENESIS_SESSIONS_MAX = 65536, /* one session takes a little over 2 KiB */
       GENESIS_NODES_MAX = 16384,    /* what one entry may have to walk; one node takes 640 bytes */
       GENESIS_HANDLES_MAX = 65536,  /* one handle takes 128 bytes */
       GENESIS_LOCK_DELAY_MAX_MS = 600000
};

#define GENESIS_MAGIC 0x3153454e454c454bull /* "KELENES1" as bytes on disk */

/* Where a seeded cluster comes from. Its log begins behind seed_index; a ring of its founder
 * without a checkpoint of at least that index has lost it, and is not an empty one. */
struct genesis_lineage { /* all zero but in a record of version 2 */
    uint64_t cluster_id; /* the cluster that the state was taken from */
    uint64_t index;      /* last entry of that cluster which the state holds */
    uint64_t seed_index; /* the state's index in this cluster; above `index` */
    uint64_t seed_term;
    uint64_t utc_ns; /* when it was formed, by the clock of the host where it was */
    uint32_t seed;   /* enum genesis_seed */
    uint32_t seeds;  /* how often the state was carried over, from 1 */
};
_Static_assert(sizeof(struct genesis_lineage) == 48, "genesis lineage");

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
    uint32_t reserved1;
    struct genesis_lineage lineage;
    /* nodes and locks; all 0: none */
    uint32_t nodes_max;           /* the root among them */
    uint32_t handles_max;         /* of all sessions */
    uint32_t handles_per_session; /* at most as many */
    uint32_t waiters_max;         /* in the queue of one lock */
    uint32_t lock_delay_max_ms;
    uint8_t reserved[GENESIS_SIZE - 24 - 128 - 16 - 14 * 4 - 48 - 5 * 4 - 4];
    uint32_t crc; /* CRC32C of all bytes before it */
};
_Static_assert(sizeof(struct genesis) == GENESIS_SIZE, "genesis record");
_Static_assert(offsetof(struct genesis, lineage) == 224, "genesis lineage");
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
