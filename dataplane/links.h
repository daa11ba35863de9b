/* The records that travel between `seq` and its neighbours. Each link is an SPSC ring; a record is
 * complete when pushed. The table of links is in replica.h.
 */
#ifndef KEEL_LINKS_H
#define KEEL_LINKS_H

#include "consensus/machine/machine.h"
#include "consensus/wire/packet.h"
#include "dataplane/auth/handshake.h"
#include "dataplane/frame.h"
#include "dataplane/ring/ring.h"

enum {
    LINK_CONTROL_NOTICES = 1024, /* seq -> control */
    LINK_CONTROL_COMMANDS = 256, /* control -> seq */
    LINK_CHUNKS = 256,           /* of checkpoints, each way; apart, so that no flood of them is in
                                    the way of a handshake */
    LINK_FEED_ITEMS = 16384,     /* seq -> feed */
    LINK_FEED_REQUESTS = 256,    /* seq -> feed */
    NOTICE_SPANS = 32,           /* control applies as many pages a round trip to seq */
    NOTICE_QUERY_MAX = sizeof(struct packet_query) + KEEL_PATH_MAX,
    COMMAND_BYTES_MAX = KEEL_BODY_MAX /* an answer is a whole packet's body */
};

/* --- seq -> control --- */
enum notice_kind {
    NOTICE_DATAGRAM,  /* a handshake packet */
    NOTICE_KEEPALIVE, /* an authenticated KEEPALIVE; only the leader passes it on */
    NOTICE_QUERY,     /* an authenticated QUERY; likewise */
    NOTICE_SPANS_ARE, /* answer to COMMAND_SPANS */
    NOTICE_DIGESTS,   /* what another replica tells of its state */
    NOTICE_MEMBERS,   /* the members as another replica knows them */
    NOTICE_PROPOSED,  /* answer to COMMAND_PROPOSE */
    NOTICE_TRANSFER,  /* answer to COMMAND_TRANSFER: begun or refused */
    NOTICE_READ       /* answer to COMMAND_READ */
};

enum read_outcome {
    READ_PROVEN, /* this replica led, index was committed and is applied, after the question */
    READ_LOST,   /* it does not lead, or not any more */
    READ_BUSY    /* too many wait */
};

/* Where a stretch of the committed, durable log lies on the drive. */
struct log_span {
    uint64_t page;
    uint64_t first, last; /* live entries of that page */
};

struct notice {
    uint32_t kind; /* enum notice_kind */
    uint32_t size; /* DATAGRAM: bytes; SPANS: how many */
    struct frame_address from;
    union {
        uint8_t bytes[HANDSHAKE_PACKET_MAX];
        struct {
            uint64_t durable_lsn; /* read together with the spans */
            struct log_span span[NOTICE_SPANS];
        } spans;
        struct {
            uint64_t tag, index, term; /* index 0: not leader, or no room */
            uint32_t refusal;          /* enum raft_refusal; CONFIG with index 0 */
        } proposed;
        struct {
            uint64_t tag;
            uint64_t number; /* of the transfer that was begun */
            uint8_t reason;  /* enum raft_transfer_reason: why none was */
        } transfer;
        struct {
            uint64_t tag, index, term;
            uint64_t now_ns; /* what is published of this moment shows what was read */
            enum read_outcome outcome;
        } read;
        struct {
            uint32_t principal;
            struct packet_keepalive body;
        } keepalive;
        struct {
            uint64_t commit; /* of a leader, when it was asked: what the answer must know */
            uint32_t principal;
            uint8_t bytes[NOTICE_QUERY_MAX]; /* in form; notice.size of them */
        } query;
        struct {
            uint32_t from; /* replica id */
            struct packet_digests body;
        } digests;
        struct packet_members members;
    } u;
};

/* --- control -> seq --- */
enum command_kind {
    COMMAND_SEND,     /* a handshake packet to send */
    COMMAND_ANSWER,   /* a packet to seal and send to a principal: body in bytes */
    COMMAND_INSTALL,  /* an association */
    COMMAND_FORGET,   /* a principal's associations */
    COMMAND_PROPOSE,  /* an entry: kind and body; leader only. ENTRY_CONFIG: a change of members,
                         where the configuration of `index` is in force */
    COMMAND_SPANS,    /* where do the entries from index on lie? */
    COMMAND_TRANSFER, /* hand the office to replica `principal`, 0: the most caught-up */
    COMMAND_READ,     /* prove leadership */
    COMMAND_DAMAGED,  /* page `index` of the ring cannot be read */
    COMMAND_PING,     /* a PING that is timed, to replica `principal`; index: the own round trip to
                         a majority, to be told from now on */
    COMMAND_STOP      /* a fault that must not be survived: text in bytes */
};

struct command {
    uint32_t kind;       /* enum command_kind */
    uint32_t size;       /* bytes in u.bytes */
    uint64_t index;      /* SPANS, PROPOSE, PING; ANSWER with a lease: of the state it tells of */
    uint64_t tag;        /* PROPOSE, TRANSFER, READ; ANSWER: the term whose lease it rests on */
    uint32_t principal;  /* ANSWER, FORGET, TRANSFER, PING */
    uint8_t entry_kind;  /* PROPOSE: enum entry_kind */
    uint8_t packet_kind; /* ANSWER */
    uint8_t abstains;    /* TRANSFER: 1: and does not campaign for an election timeout after it */
    uint8_t dry;         /* TRANSFER, PROPOSE of an ENTRY_CONFIG: only whether it would be begun */
    struct frame_address to; /* SEND */
    union {
        uint8_t bytes[COMMAND_BYTES_MAX];
        struct auth_install install;
    } u;
};

/* --- seq <-> control: packets of checkpoints, as they came or are to go --- */
struct link_chunk {
    uint32_t principal; /* the replica at the other end */
    uint16_t size;
    uint8_t kind; /* enum packet_kind */
    uint8_t reserved;
    uint8_t bytes[sizeof(struct packet_checkpoint_chunk) + PACKET_CHUNK_SIZE];
};

/* A peer's checkpoint that is durable in both areas. Control's; seq reads it from when it is
 * offered until it says that it is done with it. */
struct checkpoint_offer {
    uint64_t index, term, chain;
    /* The state at index. In exchange for it seq leaves the machine that it had, if it takes it. */
    struct machine *machine;
    bool taken; /* false: the log went that far by itself */
};

/* A page that the drive has lost, whose entries are gathered: control writes it anew. seq's until
 * it is offered, control's until it is done. */
struct repair_job {
    struct ring_stretch live;
    uint32_t bytes; /* of its entries */
    int32_t result; /* of ring_restore() */
    _Alignas(8) uint8_t entries[RING_PAGE_ROOM];
    _Alignas(8) uint8_t page[RING_PAGE_SIZE]; /* result 0: what lies in the slot now */
};

/* --- seq -> feed --- */
enum item_kind {
    ITEM_MESSAGES,    /* blocks of an entry that were sequenced, numbers feed.. feed + count - 1 */
    ITEM_SESSION_END, /* one message: bytes */
    ITEM_DAY_END,     /* no further number of this day; feed = next number */
    ITEM_DAY_BEGIN,   /* bytes: the new day's name */
    ITEM_ANEW /* a checkpoint took the log's place: feed = next number, bytes: the day's name,
                 count: 1 if it is open; nothing before is known here */
};

struct feed_item {
    uint64_t feed;             /* number of the first message; without one: the next number */
    uint64_t index;            /* log index */
    uint64_t page;             /* of the ring, that holds the entry */
    const struct entry *entry; /* in the window; stays until the feed's done index passes it */
    uint16_t kind;             /* enum item_kind */
    uint16_t count; /* messages; 0: every block was refused (answers from the drive must know) */
    uint16_t block; /* first block of the entry */
    uint16_t live;  /* 0: replayed after a start, answer requests only */
    uint64_t utc_ns;
    uint64_t session;
    uint64_t number; /* session number of the first */
    uint32_t utc_error_ns;
    uint32_t reserved;
    struct machine_session_end_message end; /* SESSION_END; DAY_BEGIN: name in its first bytes */
};

struct feed_request {
    struct frame_address from;
    uint8_t header[20]; /* as it came */
};

#endif
