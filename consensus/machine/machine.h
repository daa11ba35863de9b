/* The replicated state machine: sessions, the trading day, boots, feed numbers, digest.
 *
 * machine_apply() decides: a message is sequenced (takes the next feed number) or refused when its
 * committed entry is applied, by this code, alike on every replica. Pure: no clock, no allocation;
 * time is the entry's. One block of memory, laid out by machine_size(); position-independent, so
 * that a copy is memcpy. `seq` owns one instance; control owns a second one, fed from the same log.
 */
#ifndef KEEL_MACHINE_H
#define KEEL_MACHINE_H

#include "consensus/ensure.h"
#include "consensus/wire/entry.h"
#include "consensus/wire/genesis.h"
#include "consensus/wire/packet.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum machine_status {
    MACHINE_SEQUENCED = 0, /* message: has a feed number; session request: done */
    /* refusals of a message that consume its number */
    MACHINE_DAY_CLOSED = 1, /* no trading day is open */
    /* refusals that change nothing */
    MACHINE_DUPLICATE = 16,      /* already decided; its kept result says how */
    MACHINE_DIFFERENT = 17,      /* the same number with another content: a definite error */
    MACHINE_UNKNOWN = 18,        /* the record of that number or session is gone */
    MACHINE_GAP = 19,            /* not last + 1 */
    MACHINE_WINDOW = 20,         /* beyond acknowledged + W */
    MACHINE_EPOCH = 21,          /* not the session's current epoch */
    MACHINE_NOT_OWNER = 22,      /* another principal's session (H17) */
    MACHINE_SESSION_ENDED = 23,  /* the record is kept and its results can still be asked for */
    MACHINE_SESSION_EXISTS = 24, /* open: the name is in use; the answer names session and epoch */
    MACHINE_SESSION_TABLE = 25,  /* busy: no room for another session */
    MACHINE_SESSION_LIMIT = 26,  /* busy: this principal has its share */
    MACHINE_NOT_EXPIRED = 27,    /* expiry before its time, of another epoch, or of an old term */
    MACHINE_DAY_STATE = 28,      /* day end without an open day, begin within one, name reused */
    MACHINE_BOOT_OLD = 29,       /* a lower boot counter, or an equal one with another id (H2) */
    MACHINE_BAD_ENTRY = 30
};

/* The word for a status as people, JSON and metrics see it: "sequenced", "stale-epoch" ... */
const char *machine_status_name(enum machine_status status);

struct machine_kept { /* result of one number, kept for the last W */
    uint64_t feed;    /* 0 unless sequenced */
    uint64_t utc_ns;
    uint64_t hash; /* of kind and payload */
    uint32_t utc_error_ns;
    uint16_t status; /* enum machine_status */
    uint16_t day;    /* low bits of day_count when it was decided */
};

struct machine_session {
    uint64_t id;    /* log index of its opening entry; 0: slot unused */
    uint64_t epoch; /* log index of the last open or resume */
    uint64_t process;
    uint64_t last;         /* last number consumed */
    uint64_t acked;        /* highest acknowledged number seen in an entry */
    uint64_t began_log_ns; /* log time of the last open or resume */
    uint64_t ended_log_ns; /* 0: alive; else from 1 */
    uint32_t principal;    /* its owner, not 0 */
    uint32_t ttl_ms;
    uint16_t window;
    uint16_t end_reason; /* enum session_end_reason, 0: alive */
    uint32_t ended_next; /* slot + 1 of the session that ended next after this one; 0: none */
    char name[KEEL_NAME_MAX + 1];
    uint64_t reserved[3];
    struct machine_kept kept[KEEL_SESSION_WINDOW_MAX]; /* number n at n % WINDOW_MAX */
};
_Static_assert(sizeof(struct machine_kept) == 32, "two results share a cache line");
_Static_assert(offsetof(struct machine_session, kept) == 128, "kept results start a cache line");
_Static_assert(sizeof(struct machine_session) % 64 == 0, "sessions start a cache line");

struct machine {
    uint64_t size; /* of the whole block */
    uint64_t cluster_id;
    uint64_t applied; /* index of the last entry applied */
    uint64_t applied_term;
    uint64_t utc_ns; /* of the last entry */
    uint64_t log_ns;
    uint64_t noop_term; /* term and log time of the latest no-op */
    uint64_t noop_log_ns;
    uint64_t digest;        /* running hash over everything decided */
    uint64_t feed_next;     /* next feed number of the day, from 1 */
    uint64_t day_count;     /* days begun, the genesis day included */
    uint32_t day_open;      /* 1: messages are sequenced */
    uint32_t session_count; /* slots in use, alive or kept */
    char day[KEEL_DAY_NAME_SIZE];
    uint8_t reserved[6];
    uint64_t boot[KEEL_REPLICA_MAX + 1];
    uint64_t boot_id[KEEL_REPLICA_MAX + 1];
    uint64_t boot_incarnation[KEEL_REPLICA_MAX + 1];
    struct entry_config config; /* in force by the log; genesis at first */
    uint64_t config_index;
    /* from genesis, the numbers that apply reads */
    uint32_t sessions_max;
    uint32_t sessions_per_principal;
    uint32_t window_max;
    uint32_t ttl_min_ms;
    uint32_t ttl_max_ms;
    uint32_t session_retain_ms;
    uint32_t rho_ppm;
    uint32_t table_mask;   /* of the two hash indexes */
    uint32_t table_offset; /* bytes from the start of this struct */
    uint32_t sessions_offset;
    uint32_t ended_first; /* slot + 1 of the session that ended first of those kept; 0: none */
    uint32_t ended_last;
    uint32_t seeds; /* how often this state was carried into a new cluster */
    /* Index at which it was, last; 0: never. Ids, epochs and generations that are given out from
     * then on are log indexes above it, and no earlier cluster of this line ever gave one out that
     * high: see machine_seed(). */
    uint64_t seed_index;
    /* tables follow, at table_offset: uint32_t by_id[table_mask + 1] and by_name[table_mask + 1]
     * (slot + 1, 0: empty), uint32_t owner[sessions_max] (principal, 0: slot unused); at
     * sessions_offset: struct machine_session[sessions_max] */
};

/* What apply decided, in a form that intake, feed and answers use. Valid until the next apply. */
struct machine_outcome {
    uint64_t index;
    uint8_t kind;   /* enum entry_kind */
    uint8_t status; /* of a session request, day, boot entry; of messages see runs */
    uint16_t run_count;
    uint32_t slot;        /* session that the sender may know of, UINT32_MAX: none. Set also when a
                             request of its owner is refused, never with NOT_OWNER */
    uint64_t feed_before; /* feed_next before this entry */
    uint64_t feed_after;
    bool day_ended, day_began;
    bool session_ended; /* this entry ended a session; the end took feed number feed_before. An
                           end while no day is open takes no number and leaves this false */
    /* messages: runs of consecutive numbers with one status; the k-th block of the entry belongs to
     * the number entry.number + k. utc is 0 unless the run consumed its numbers. A DUPLICATE run
     * says nothing of the first decision: ask machine_runs(). Only the first run_count are set. */
    struct packet_result_run run[KEEL_SESSION_WINDOW_MAX];
};

/* Bytes for a machine under these limits. */
size_t machine_size(const struct genesis *genesis);

/* Initialises memory of machine_size() bytes (any content; 64-byte aligned) to index 0. */
void machine_init(struct machine *machine, const struct genesis *genesis);

/* Applies the entry with index applied + 1; entry_check() has passed, entry is 8-byte aligned.
 *
 * Every entry moves applied, log and wall time (neither ever back) and the digest. A message is
 * sequenced iff its session exists, the entry's principal owns it, it is alive, the epoch is the
 * current one, its number is last + 1 and <= the number acknowledged in this entry + W, and a day
 * is open; the first of these that fails names the status. Whatever the order of statuses, only a
 * number that passes all but the last of them is consumed (H15).
 *
 * An entry other than messages first forgets the ended sessions whose retention is over. END by the
 * owner and KILL by a replica's principal end a session, also once more (done, changes nothing).
 * Entries that only a leader proposes (expiry, days, boots, configuration) are refused with
 * NOT_OWNER when a client's principal stands on them. */
HOT void machine_apply(struct machine *machine, const struct entry *entry,
                       struct machine_outcome *outcome);

/* Session by id or by (principal, name), alive or kept; NULL: none. By name: the alive one, else
 * the one that ended last. `name` is zero-terminated. Both O(1). */
HOT const struct machine_session *machine_session(const struct machine *machine, uint64_t id);
const struct machine_session *machine_session_named(const struct machine *machine,
                                                    uint32_t principal, const char *name);
/* Slot 0..sessions_max-1 of a session that one of the two returned; and back (NULL: unused). */
HOT uint32_t machine_slot(const struct machine *machine, const struct machine_session *session);
HOT const struct machine_session *machine_session_at(const struct machine *machine, uint32_t slot);

/* The kept result of a number, or NULL if it is not among the last W consumed. */
HOT const struct machine_kept *machine_kept(const struct machine_session *session, uint64_t number);

/* Writes the kept results of numbers first..last as runs (at most max); returns how many. Numbers
 * whose record is gone, or that are not consumed yet, get runs of status MACHINE_UNKNOWN. */
HOT uint32_t machine_runs(const struct machine_session *session, uint64_t first, uint64_t last,
                          struct packet_result_run *runs, uint32_t max);

/* Hash of one message's content, as kept: 64 bits, against accidents only. */
HOT uint64_t machine_message_hash(const void *payload, size_t size);

/* Hash over the whole canonical state, the running digest included: equal on every replica at the
 * same index. Reads every session: for checkpoints and checks, not for the loop. */
uint64_t machine_fingerprint(const struct machine *machine);

/* Canonical, versioned encoding (the caller adds the checksum: a checkpoint file has CRC32C over
 * it). Slots that are unused take no room. encode returns bytes written, 0 if cap is too small;
 * machine_encoded_max() is enough for any state under this genesis record. decode into memory of
 * machine_size(genesis), 64-byte aligned: NULL, or why the bytes are refused, in a few words; then
 * the machine is as machine_init() leaves it. A decoded machine has the fingerprint of the encoded
 * one and decides alike from there on. */
enum { MACHINE_ENCODING_VERSION = 3 }; /* 1: members had no addresses; 2: no seed */
size_t machine_encoded_max(const struct genesis *genesis);
size_t machine_encode(const struct machine *machine, void *bytes, size_t cap);
const char *machine_decode(struct machine *machine, const struct genesis *genesis,
                           const void *bytes, size_t size);
/* The version that encoded bytes state; 0: they are no machine's state. */
uint32_t machine_encoded_version(const void *bytes, size_t size);

/* Carries a state over into the cluster that `genesis` founds (a record of version 2 with one
 * founder and the limits of the state's own cluster), as if its log had gone on to
 * lineage.seed_index with one entry:
 *
 * - the trading day ends, and the record's begins: numbers from 1, under a name that is another;
 * - the only member is the founder, and no boot of anybody is known;
 * - every alive session gets a new epoch, the seed's index: what an older life sends is refused
 *   (H15, H16). Last numbers and kept results stay.
 *
 * NULL, or why it cannot be, in a few words; then nothing was changed. */
const char *machine_seed(struct machine *machine, const struct genesis *genesis);

/* The feed's message for a session end (taken by the number feed_before of an outcome with
 * session_ended): what an envelope line carries as payload. Big-endian like the envelope. */
struct machine_session_end_message { /* 48 bytes */
    uint8_t session[8];
    uint8_t last[8];                  /* last number consumed */
    uint8_t principal[4];             /* the owner */
    uint8_t reason[4];                /* enum session_end_reason */
    char name[KEEL_NAME_MAX + 1 - 8]; /* first 24 bytes, padded with zeros */
};
_Static_assert(sizeof(struct machine_session_end_message) == 48, "session end message");

/* Fills the message of a session that has ended (machine_session_at() of the outcome's slot). */
void machine_session_end_fill(const struct machine_session *session,
                              struct machine_session_end_message *message);

#endif
