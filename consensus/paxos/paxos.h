/* The pure core by which founders agree on one genesis record: single-decree Paxos.
 *
 * paxos_step() takes one event and returns effects; it reads no clock, allocates nothing and draws
 * no random number: waiting times and random bits are inputs and outputs. The state is one
 * pointer-free block whose padding is zero, so that a copy is memcpy and a fingerprint is a hash.
 * Control's thread is its only caller. It owns what one founder has promised, accepted and
 * installed, and what it has heard of the others; packets, files, timers and the CRC of the record
 * on the drive are the caller's.
 *
 * A founder is (id, incarnation), the incarnation drawn at format (H1): a wiped and formatted disk
 * is another founder. Each is started with a list of all founders and the limits that it would
 * propose, both in one genesis record. Then, each server by itself and in any order:
 *
 * 1. compare: founders tell one another the hash of their list, which covers the first day's name
 *    and the limits too. Nothing is promised, nothing written; a wrong list is still put right by a
 *    restart.
 * 2. lock: who has heard the same hash from every founder of its list locks it, durably, once in
 *    the life of its format.
 * 3. agree: who knows of the durable lock of every founder may promise, and propose. So a list that
 *    decides anything has every one of its founders to itself, and no two lists that share a
 *    founder decide anything both: one cluster or none.
 * 4. install: the decided record is durable before it is told. Who has one answers every question
 *    with it, and never promises again.
 *
 * Source: Lamport, "Paxos Made Simple" (2001); its sections are named beside each rule. What is
 * not in it: the lock, and that the participants' list is part of every message.
 *
 * Life cycle: paxos_init(), PAXOS_EV_START, then any other events. Every write that a step asks for
 * takes the next persist number, from 1 in each life; the caller writes the record whole, in
 * order, and holds each message until its number is durable.
 */
#ifndef KEEL_PAXOS_H
#define KEEL_PAXOS_H

#include "consensus/wire/genesis.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    PAXOS_SENDS_MAX = 8,    /* messages that one step can emit */
    PAXOS_ROUND_SHIFT = 8,  /* a ballot is round << 8 | id, ordered as a number; 0: none */
    PAXOS_HELLO_MS = 200,   /* between two questions, and up to twice that */
    PAXOS_WAIT_MS = 50,     /* before a ballot, and up to twice that; doubled each time that */
    PAXOS_DOUBLINGS_MAX = 6 /* one did not decide, up to 2^6 times */
};

#define PAXOS_ROUND_MAX (UINT64_C(1) << 40) /* no founder gets there in 1,000 years */

/* What survives a crash: the only state that replies rest on. Its own CRC and place are the
 * caller's; format leaves it all zero. */
struct paxos_record {
    uint64_t incarnation; /* of the founder that wrote it; 0: never written */
    uint64_t lock;        /* paxos_list_hash() of the list that is locked; 0: none */
    uint64_t promised;    /* highest ballot promised; 0: none */
    uint64_t accepted;    /* ballot at which a value was accepted last; 0: none */
    uint32_t decided;     /* 1: value is this server's genesis record for ever */
    uint32_t reserved;
    struct genesis value; /* accepted or decided; else zero */
};
_Static_assert(sizeof(struct paxos_record) == 40 + GENESIS_SIZE, "paxos record");

enum paxos_msg_kind {
    PAXOS_HELLO = 1,   /* which list do you have, is it locked? Says the same of the sender */
    PAXOS_HELLO_REPLY, /* never answered */
    PAXOS_PREPARE,     /* phase 1a (2.2) */
    PAXOS_PROMISE,     /* 1b */
    PAXOS_ACCEPT,      /* 2a */
    PAXOS_ACCEPTED,    /* 2b */
    PAXOS_REFUSE,      /* a higher ballot was promised */
    PAXOS_DECIDED,     /* the genesis record, from a server that has installed it */
    PAXOS_KINDS
};

/* One struct for all kinds; what a kind does not use is zero. */
struct paxos_msg {
    uint8_t kind;      /* enum paxos_msg_kind */
    uint8_t from;      /* replica id */
    uint8_t to;        /* replica id */
    uint8_t locked;    /* 1: the sender has durably locked `list` */
    uint32_t founders; /* paxos_founders_hash() of `list`; 0: none, or not known any more */
    uint64_t list; /* hash of the sender's founder list: the locked one if there is one; 0: none */
    uint64_t ballot;      /* PREPARE .. REFUSE: the ballot that this is about */
    uint64_t held;        /* PROMISE: ballot of value, 0: none accepted; REFUSE: the promised one */
    struct genesis value; /* PROMISE with held, ACCEPT, DECIDED */
};
_Static_assert(sizeof(struct paxos_msg) == 32 + GENESIS_SIZE, "paxos message");

enum paxos_event {
    PAXOS_EV_START = 1, /* once, first */
    PAXOS_EV_TIMEOUT,   /* the wait that was asked for last is over; harmless at any other time */
    PAXOS_EV_RECV,      /* msg arrived, authenticated */
    PAXOS_EV_DURABLE,   /* writes up to number `persist` are durable */
    PAXOS_EV_FAILED     /* a write failed: this founder is silent for good */
};

struct paxos_in {
    enum paxos_event event;
    uint64_t random;      /* fresh random bits, for the waits */
    uint64_t persist;     /* DURABLE */
    uint64_t incarnation; /* RECV: of the sender, as its association proves it */
    struct paxos_msg msg; /* RECV; values with a good CRC */
};

/* What another server has said last. */
enum paxos_word {
    PAXOS_SAID_NOTHING,
    PAXOS_SAID_CLUSTER_STRANGE, /* it has a genesis record that does not name this founder */
    PAXOS_SAID_CLUSTER_OTHER,   /* one that does, with another list */
    PAXOS_SAID_INCARNATION,     /* it is not the incarnation that the own list names */
    PAXOS_SAID_OTHER_LIST,
    PAXOS_SAID_OTHER_LIMITS, /* the same founders, with another day or other limits */
    PAXOS_SAID_SAME_LIST,    /* not locked yet */
    PAXOS_SAID_LOCKED        /* the same, durably */
};

/* Why there is no genesis record yet; where it is about a founder, its id stands beside it. */
enum paxos_why {
    PAXOS_WHY_INSTALLED,       /* there is one */
    PAXOS_WHY_FAILED,          /* a write failed */
    PAXOS_WHY_CLUSTER_STRANGE, /* founder N is in a cluster that does not name this server */
    PAXOS_WHY_CLUSTER_OTHER, /* founder N is in a cluster of other founders, this one among them */
    PAXOS_WHY_NO_LIST,
    PAXOS_WHY_NOT_NAMED,    /* the own list does not name this id with this incarnation */
    PAXOS_WHY_LOCKED,       /* another list was locked since the format */
    PAXOS_WHY_INCARNATION,  /* founder N is of another incarnation than the list says */
    PAXOS_WHY_OTHER_LIST,   /* founder N has another list */
    PAXOS_WHY_OTHER_LIMITS, /* founder N has the same founders, another day or other limits */
    PAXOS_WHY_SILENT,       /* waiting for founder N */
    PAXOS_WHY_UNLOCKED,     /* waiting for founder N's lock to be durable */
    PAXOS_WHY_MAJORITY,     /* all have locked; waiting for a majority to agree */
    PAXOS_WHYS
};

/* Why a message changed nothing: the caller counts. */
enum paxos_drop {
    PAXOS_TAKEN,
    PAXOS_DROP_MALFORMED,   /* no sane message, or no sane record in it */
    PAXOS_DROP_STRANGER,    /* not of a founder of the locked list, or under another list */
    PAXOS_DROP_EARLY,       /* not all locks are known here */
    PAXOS_DROP_STALE,       /* about a ballot that is over */
    PAXOS_DROP_CONTRADICTS, /* another record than the one that is installed, or another value in
                               the same ballot: cannot happen, and wants an alarm */
    PAXOS_DROPS
};

struct paxos_send {
    uint64_t persist; /* held until writes up to this number are durable; 0: goes at once */
    struct paxos_msg msg;
};

struct paxos_out {
    bool write;       /* write paxos->record, as it stands after this step ... */
    uint64_t persist; /* ... under this number */
    bool decided;     /* once in each life: paxos->record.value is durable, install it */
    enum paxos_drop drop;
    enum paxos_why why;
    uint8_t about;    /* the founder that `why` speaks of; 0: none */
    uint64_t wait_ns; /* 0: the timer stays as it is; else it starts anew, TIMEOUT in so long */
    uint32_t send_count;
    struct paxos_send send[PAXOS_SENDS_MAX];
};

enum paxos_phase { PAXOS_IDLE, PAXOS_PREPARING, PAXOS_ACCEPTING };

struct paxos {
    uint8_t id;
    uint8_t failed;   /* 1: a write failed (sticky) */
    uint8_t phase;    /* enum paxos_phase, of the own ballot */
    uint8_t attempts; /* own ballots that did not decide, at most PAXOS_DOUBLINGS_MAX */
    uint32_t heard;   /* mask: founders that promised, or accepted, the own ballot */
    uint32_t locked; /* mask: founders known to have locked the own list, for their format's life */
    uint32_t founders;                  /* paxos_founders_hash() of the own list */
    uint8_t said[KEEL_REPLICA_MAX + 1]; /* enum paxos_word */
    uint64_t incarnation;
    uint64_t list;            /* hash of the own list; 0: none was given */
    uint64_t persist;         /* the last number given out */
    uint64_t durable;         /* writes up to this number are durable */
    uint64_t lock_persist;    /* the write that makes the lock durable; 0: it was at the start */
    uint64_t own_persist;     /* the write by which it takes part in its own ballot's phase */
    uint64_t decided_persist; /* the write that installs the record */
    uint64_t ballot;          /* the own one; means nothing when idle */
    uint64_t seen;            /* highest ballot heard of in refusals */
    uint64_t choice_ballot;  /* at which choice was accepted somewhere; 0: it is the own proposal */
    struct genesis choice;   /* what the own ballot proposes; zero when idle */
    struct genesis proposal; /* the own one: the list, and limits; zero: none */
    struct paxos_record record;
};

/* What a start knows. */
struct paxos_boot {
    uint8_t id;           /* 1..7 */
    uint64_t incarnation; /* drawn at format */
    /* As read back; one that another incarnation wrote counts as blank. A server whose genesis
     * record was installed by hand, or that joined later, has paxos_record_installed(). */
    struct paxos_record record;
    /* The founder list with the limits and a cluster id drawn anew, complete with CRC; all zero for
     * a server that was given no list. Else genesis_problem() finds nothing. */
    struct genesis proposal;
};

/* NULL if a record from the drive is well-formed, else why not, in a few words. */
const char *paxos_record_problem(const struct paxos_record *record);

/* The record of a server that has a genesis record by other means. By hand one is installed only
 * where record->lock is 0: who has locked a list installs what that list decides, and nothing else.
 */
void paxos_record_installed(struct paxos_record *record, uint64_t incarnation,
                            const struct genesis *genesis);

/* Hash of a founder list as far as founders must agree on it beforehand: ids, addresses,
 * incarnations, the first day's name, every limit; all but the cluster id, which is drawn. Never 0.
 * Against accidents, not malice. */
uint64_t paxos_list_hash(const struct genesis *list);
/* Of ids, addresses and incarnations alone; never 0. Tells other limits from other founders, for
 * people: nothing rests on it. */
uint32_t paxos_founders_hash(const struct genesis *list);

/* Zeroes *paxos first. */
void paxos_init(struct paxos *paxos, const struct paxos_boot *boot);

/* One event in, effects out. *out is wholly overwritten. */
void paxos_step(struct paxos *paxos, const struct paxos_in *in, struct paxos_out *out);

/* Why there is no genesis record here; *about: the founder that it speaks of, else 0. */
enum paxos_why paxos_why(const struct paxos *paxos, uint8_t *about);

/* For people: "waiting for a founder" ... The founder's id is printed by the caller. */
const char *paxos_why_name(enum paxos_why why);

static inline uint64_t paxos_ballot(uint64_t round, uint8_t id)
{
    return round << PAXOS_ROUND_SHIFT | id;
}

static inline uint64_t paxos_round(uint64_t ballot)
{
    return ballot >> PAXOS_ROUND_SHIFT;
}

#endif
