/* The feed of one replica: its MoldUDP64 line, and the server for requests of what was missed.
 *
 * Role `feed`. Items come from `seq` as messages are applied; blocks are copied from the window
 * straight into packets, as many as fit (natural batching), the same packet to each destination. A
 * line shows only what this replica has applied, is silent when there has been no quorum contact
 * for feed_stale_ms (H22), and begins after a start at the commit index first learnt from a leader.
 *
 * Requests are answered from memory (items whose entries are still in the window: the feed holds on
 * to its younger half by lagging with its done index), else from the drive by way of aux. An answer
 * goes to the request's source, at most one packet, only to configured consumers. MoldUDP64 1.00
 * knows no refusal: what cannot be served is counted.
 *
 * Who is sent to and who may ask is a table that control replaces as a whole while the roles run
 * (dataplane/rcu.h); it begins as the options say.
 */
#ifndef KEEL_FEED_H
#define KEEL_FEED_H

#include "consensus/wire/feed.h"
#include "consensus/wire/genesis.h"
#include "dataplane/clock.h"
#include "dataplane/links.h"
#include "dataplane/port.h"
#include "dataplane/ring/ring.h"
#include "dataplane/spsc.h"

enum {
    FEED_DESTINATIONS_MAX = 8,
    FEED_CONSUMERS_MAX = 64,
    FEED_TURN_ITEMS = 64,      /* items taken in one turn */
    FEED_TURN_REQUESTS = 4,    /* requests answered in one turn */
    FEED_END_REPEATS = 10,     /* end-of-session packets after a day, one each heartbeat */
    FEED_RESOLVE_MS = 2000,    /* a line waits so long for its consumers' MAC addresses */
    FEED_REQUESTS_PER_S = 5000 /* answered to one consumer */
};

enum feed_framing { FEED_RAW, FEED_ENVELOPE };

struct feed_destination {
    uint32_t ip; /* host order; unicast or multicast */
    uint16_t port;
    uint16_t reserved;
    uint64_t mac; /* low 48 bits, bit 63: known; written by seq, read by feed (relaxed) */
};

/* The subscribers. What is published is never changed but for the MAC addresses in it. Readers: seq
 * and feed, each within one turn. */
struct feed_table {
    uint64_t serial; /* counts tables; given by feed_publish() */
    uint32_t destination_count, consumer_count;
    struct feed_destination destination[FEED_DESTINATIONS_MAX];
    uint32_t consumer[FEED_CONSUMERS_MAX]; /* who may ask */
};

struct feed_options {
    enum feed_framing framing;
    uint32_t queue;        /* of the port */
    uint32_t heartbeat_ms; /* default 1000 */
    uint32_t stale_ms;     /* from genesis */
    uint32_t history;      /* items kept for requests, power of two */
    uint32_t samples;      /* pages remembered for requests from the drive, power of two */
    uint32_t ip;           /* own address */
    uint16_t port_from;    /* source port of the line and of answers */
    bool tx_checksum;
    uint8_t mac[6];
    /* of the first table */
    uint32_t destination_count;
    struct feed_destination destination[FEED_DESTINATIONS_MAX];
    uint32_t consumer_count;
    uint32_t consumer[FEED_CONSUMERS_MAX];
};

struct feed_stats { /* writer: feed */
    uint64_t packets, messages, bytes, heartbeats, ends;
    uint64_t silent; /* heartbeats withheld because the line was stale */
    uint64_t requests, answered_memory, answered_drive;
    uint64_t request_malformed, request_stranger, request_limited, request_session, request_low,
        request_high, request_gone; /* why a request got no answer */
    uint64_t no_frame, unresolved, exceptions_lost;
    uint64_t oldest; /* of the day: the lowest number that a request is answered for */
};

struct feed;

size_t feed_size(const struct feed_options *options);
/* The day, whether it is open and its next number: where the line stands after recovery. Entries
 * above `index` will come as items. */
struct feed *feed_init(void *memory, const struct feed_options *options, struct port *port,
                       struct ring *ring, const char *day, bool day_open, uint64_t feed_next,
                       uint64_t index);
/* Before the first turn: where the search for the day's older messages begins. `page` holds
 * `index`, the one of feed_init(); `known`: the exceptions up to there, copied. Without this call
 * what lies before the start is not answered for. */
struct feed_exceptions;
void feed_look_back(struct feed *feed, uint64_t page, const struct feed_exceptions *known);

/* --- seq --- */
/* Room for `count` more items? */
bool feed_room(struct feed *feed, uint32_t count);
void feed_push(struct feed *feed, const struct feed_item *item);
/* A datagram to the request port; false if the link is full. from.mac must be resolved or zero. */
bool feed_request(struct feed *feed, const struct frame_datagram *datagram);
/* When quorum contact was last known, on this replica's clock; 0: never. And up to where entries of
 * the window's older half are to be let go. */
void feed_contact(struct feed *feed, uint64_t contact_ns, uint64_t keep_from);
/* Entries up to here are needed no more, given that seq has applied up to `applied`. */
uint64_t feed_done(const struct feed *feed, uint64_t applied);
/* Of the table in force, for this turn: MAC addresses are noted there. */
struct feed_destination *feed_destinations(struct feed *feed, uint32_t *count);

/* --- feed --- */
uint32_t feed_turn(struct feed *feed, uint64_t now_ns);

/* --- control's side: one thread at a time --- */
/* The table that a configuration asks for; no MAC address is known. */
void feed_table_fill(struct feed_table *table, const struct feed_options *options);
/* Puts *table, the caller's, in force from the readers' next look, with the MAC addresses that are
 * known so that nobody who stays misses a packet. Returns the one it replaces: the caller's to free
 * once rcu_wait_readers() has returned. NULL: that was the first, in the feed's own memory. */
struct feed_table *feed_publish(struct feed *feed, struct feed_table *table);

void feed_stats(const struct feed *feed, struct feed_stats *stats);
/* The day's lowest number that a request is answered for; any thread. */
uint64_t feed_oldest(const struct feed *feed);
/* The next number that the line will carry, and of which day. */
uint64_t feed_next(const struct feed *feed, char day[KEEL_DAY_NAME_SIZE]);

#endif
