/* Start-up: makes one running replica out of opened disks, a port, a clock and a key ring.
 *
 * Used by keeld and, unchanged, by the simulator: no DPDK, no path, no thread, no static state
 * here. Cold: blocking reads, allocation allowed. The order is: judge the ring (damage refuses the
 * start), the newest checkpoint that decodes, replay of the committed log behind it through
 * machine_apply(), ring, replica, feed, control, in memory that is never grown after. The page that
 * states the new boot goes to the drive through startup_ready(): before that returns true, no role
 * may take a turn, so that no packet leaves under a boot that is not durable (H2).
 */
#ifndef KEEL_STARTUP_H
#define KEEL_STARTUP_H

#include "control/control.h"

enum {
    STARTUP_PROBLEM_SIZE = 320,
    STARTUP_WINDOW_PAGES = 4096, /* default: 16 MiB */
    STARTUP_FLIGHT_PAGES = 16,
    STARTUP_FEED_HISTORY = 65536,     /* feed items kept for requests from memory */
    STARTUP_FEED_SAMPLES_MIN = 16384, /* pages that requests are answered from, 32 bytes each */
    STARTUP_FEED_SAMPLES_MAX = 1 << 20
};

/* Why a start was refused; keeld exits with the value. */
enum startup_result {
    STARTUP_OK = 0,
    STARTUP_FAILED = 1,     /* the drive or memory cannot be used: the text says what to do */
    STARTUP_CONFIG = 2,     /* configuration and genesis or ring disagree (H3) */
    STARTUP_NO_RING = 3,    /* not formatted */
    STARTUP_NO_GENESIS = 4, /* formatted, no genesis record installed */
    STARTUP_REFUSED = 6     /* damage, or state that must not run: starting would endanger data */
};

struct startup_options {
    uint32_t id; /* as configured; must be the ring's */
    /* Handles of one file: writer holds the lock, the others name it as same_file (H9). writer:
     * depth flight_pages or more, and registered memory = ring_memory if any; reader: depth
     * RING_READS_MAX + 2 or more; control: depth 1 or more. They stay the caller's, who closes them
     * after startup_close(). */
    struct disk *writer, *reader, *control_disk;
    void *ring_memory; /* ring_memory_size(super, window_pages) zeroed bytes, page-aligned; the
                          caller's */
    uint32_t window_pages, flight_pages; /* 0: defaults */
    struct port *port;
    struct clock *clock;
    const struct keyring *keys;   /* stays the caller's */
    uint32_t ip, prefix, gateway; /* host order */
    uint16_t udp_port, feed_request_port;
    /* The members as configured: compared with the genesis record (H3). member_count 0: not stated.
     */
    uint32_t member_count;
    struct genesis_founder
        member[KEEL_REPLICA_MAX + 1]; /* by id; port 0: not named; incarnation unused */
    /* framing, heartbeat_ms, destinations, consumers; queue, history and samples (0: defaults). The
     * rest is filled in here. */
    struct feed_options feed;
    struct control_options control; /* silent_ms, checkpoint_*, receive_flush only */
    /* Optional: page-aligned memory of any content for replica, feed and control (hugepages); NULL:
     * the heap. Given back by `release` in startup_close(). */
    void *(*allocate)(void *context, size_t size);
    void (*release)(void *context, void *memory, size_t size);
    void *context;
};

struct startup { /* what was made; read-only for the caller */
    struct startup_options options;
    struct genesis genesis;
    struct ring_super super;
    struct members tail_configs; /* of entries that may not be committed */
    struct replica *replica;     /* feed attached */
    struct ring *ring;
    struct control *control;
    uint64_t boot, boot_id;
    /* for the line that says what recovery found */
    uint64_t term, first_index, last_index, commit, checkpoint_index, replayed;
    uint64_t torn_pages, zeroed_slots, pages;
    uint64_t lost_pages, repaired_blocks; /* to be fetched from peers; copies made anew */
    uint32_t vote;
    /* own */
    struct ring_recovery found;
    struct machine *machine;            /* only while starting */
    struct feed_exceptions *exceptions; /* only while starting */
    void *replica_memory, *feed_memory, *control_memory;
    size_t replica_bytes, feed_bytes, control_bytes;
};

/* Window pages that a ring takes with at most `wanted` (0: default): a power of two within
 * RING_WINDOW_MIN .. slots / 2. */
uint32_t startup_window_pages(const struct ring_super *super, uint32_t wanted);

/* Everything but the boot page. On failure *problem (STARTUP_PROBLEM_SIZE) says what and what to
 * do, and nothing is left behind. *s may hold any bytes and must not move afterwards. */
enum startup_result startup_begin(struct startup *s, const struct startup_options *options,
                                  char *problem);

/* Turns the ring towards the boot page; true once it is durable. Call until then, before any other
 * turn. STARTUP_FAILED in *result if the write failed, else STARTUP_OK. */
bool startup_ready(struct startup *s, enum startup_result *result);

/* Releases what startup_begin() took; no role may run any more. A crash in the simulator is this
 * without anything before it. */
void startup_close(struct startup *s);

#endif
