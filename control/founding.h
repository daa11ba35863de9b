/* A founder's part in agreeing on the genesis record, over packets: the core of consensus/paxos,
 * handshakes and associations of cluster id 0, PACKET_GENESIS.
 *
 * Two places use it: keeld before its genesis (founding_run.h), which asks, promises and proposes;
 * and control of a running replica (founders.c), which has a record and answers those who do not.
 * One thread; deterministic given what it is told: time is an argument, chance and packets go
 * through the options. Memory is the caller's, founding_size() bytes; nothing is allocated.
 *
 * What a message rests on is durable before it leaves: options.write returns when it is, and a
 * write that fails silences this founder for good.
 */
#ifndef KEEL_FOUNDING_H
#define KEEL_FOUNDING_H

#include "consensus/wire/packet_genesis.h"
#include "dataplane/auth/handshake.h"

enum {
    FOUNDING_SILENT_MS = 1000, /* no valid packet of a founder this long: handshake anew */
    FOUNDING_STEPS_MAX = 8,    /* steps that one event can lead to, by what became durable */
    FOUNDING_PACKET_MAX = KEEL_DATAGRAM_MAX,
    FOUNDING_ANSWER_MAX =
        KEEL_PACKET_HEAD_SIZE + PACKET_GENESIS_MAX + KEEL_TAG_SIZE /* largest that is sent */
};

/* The last start of a founder that was heard of, and believed (H2). */
struct founding_boot {
    uint64_t incarnation;
    uint64_t boot;
    uint64_t boot_id;
};

struct founding_options {
    uint8_t id;
    uint64_t incarnation, boot, boot_id;
    const struct keyring *keys; /* stays the caller's */
    struct paxos_record record; /* as read back */
    struct genesis proposal;    /* the founder list; all zero: none is given. Of who has a record:
                                   that record */
    struct founding_boot seen[KEEL_REPLICA_MAX + 1];
    /* unpredictable bytes */
    void (*random)(void *context, void *bytes, size_t size);
    /* One datagram out; it may be lost. to->mac is zero where it is not known. */
    void (*send)(void *context, const struct handshake_address *to, const uint8_t *bytes,
                 size_t size);
    /* Makes the record durable, with what was seen; 0, or a negative errno. NULL: there is a
     * decided record, nothing is ever written. */
    int (*write)(void *context, const struct paxos_record *record,
                 const struct founding_boot seen[KEEL_REPLICA_MAX + 1]);
    /* False: that server is not answered, nor sought (it had the record once). NULL: all are. */
    bool (*answers)(void *context, uint8_t id, uint64_t incarnation);
    void *context;
};

struct founding_founder { /* what is known of another one */
    uint8_t said;         /* enum paxos_word */
    bool older;           /* it runs from an older copy of its drive: refused (H2) */
    uint64_t heard_ns;    /* its last message; 0: none yet */
    uint64_t cluster;     /* of the record that it has and that does not fit here; 0: none */
};

struct founding_status {
    enum paxos_why why;
    uint8_t about; /* founder that `why` speaks of; 0: none */
    bool decided;  /* `genesis` is the record, and durable */
    uint64_t list; /* hash of the own list; 0: none */
    uint64_t lock; /* of the locked one; 0: none */
    uint64_t ballot, promised, accepted;
    uint64_t writes; /* since the start */
    uint64_t handshakes, sent, received;
    uint64_t auth_reject[AUTH_REJECT_COUNT];
    uint64_t handshake_reject[HANDSHAKE_REJECT_COUNT];
    uint64_t drop[PAXOS_DROPS];
    struct genesis genesis; /* decided: the record; else the proposal */
    struct founding_founder founder[KEEL_REPLICA_MAX + 1];
};

struct founding;

size_t founding_size(void);
/* Starts: the first messages go out with the first turn. NULL: the processor lacks what packet
 * authentication needs. memory is aligned to 64. */
struct founding *founding_init(void *memory, const struct founding_options *options,
                               uint64_t now_ns);
/* A datagram to this server's UDP port. Whatever is not a good one of cluster id 0 is counted. */
void founding_datagram(struct founding *founding, const struct handshake_address *from,
                       const uint8_t *bytes, size_t size, uint64_t now_ns);
/* Timers and handshakes. To be called every few milliseconds. */
void founding_turn(struct founding *founding, uint64_t now_ns);
/* Other root keys. */
void founding_keys(struct founding *founding, const struct keyring *keys);
void founding_status(const struct founding *founding, struct founding_status *status);
/* Wipes keys. */
void founding_stop(struct founding *founding);

/* Why there is no genesis record here, as a sentence, and what to do about it; both for people. */
enum { FOUNDING_TEXT_MAX = 320 };
void founding_why_text(const struct founding_status *status, char why[FOUNDING_TEXT_MAX],
                       char remedy[FOUNDING_TEXT_MAX]);
/* A stable word for programs: "waiting", "locked-other-list" ... */
const char *founding_why_word(enum paxos_why why);
/* "compare", "lock", "agree", "installed", "refused" */
const char *founding_phase(const struct founding_status *status);
/* What a founder said last: "silent", "same-list" ... */
const char *founding_said(enum paxos_word word);

#endif
