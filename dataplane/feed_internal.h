/* What feed.c (the line) and feed_request.c (the request server) share. */
#ifndef KEEL_FEED_INTERNAL_H
#define KEEL_FEED_INTERNAL_H

#include "dataplane/feed.h"
#include "dataplane/feed_exceptions.h"
#include "dataplane/metrics.h"
#include "dataplane/rcu.h"

/* A page of the ring from which messages of this day were taken: numbers feed.. lie in entries
 * index..last of that page. */
struct feed_sample {
    uint64_t feed, index, last, page;
};

struct feed_past {  /* the search for what lies before this start */
    bool active;    /* some of the day is not found yet */
    bool reading;   /* a page was asked for */
    uint64_t page;  /* to be looked at next; the search goes back */
    uint64_t index; /* highest index not found yet */
    uint64_t feed;  /* number of the first message behind it */
};

struct feed_packet { /* a downstream packet being filled */
    struct port_frame frame;
    uint32_t size; /* of the payload so far; 0: none begun */
    uint16_t count;
    uint16_t reserved;
};

enum { FEED_OLDEST_NS = 100000000 };

enum { FEED_TAG_REQUEST, FEED_TAG_PAST }; /* for what a page was asked */

/* Samples are added at both ends. */
#define FEED_SAMPLES_MIDDLE (UINT64_C(1) << 62)

struct feed_consumer { /* beside each consumer of the table */
    uint32_t ip;
    uint32_t tokens;
    uint64_t at_ns;
};

struct feed {
    struct feed_options options;
    struct port *port;
    struct ring *ring;
    char day[KEEL_DAY_NAME_SIZE];
    bool day_open;
    uint64_t next;       /* next number of the day */
    uint64_t ends_left;  /* end-of-session packets still to send */
    bool began;          /* the first live item was taken, or no consumer is waited for any more */
    uint64_t waiting_ns; /* since when the first live item waits for MAC addresses; 0: none does */
    uint64_t sent_ns;    /* last packet on the line */
    uint64_t now_ns;
    uint64_t oldest_at_ns; /* the oldest number is looked for then */
    struct feed_packet packet;

    struct feed_item *history; /* [options.history] */
    uint64_t history_head, history_tail;
    struct feed_sample *sample; /* [options.samples] */
    uint64_t sample_head, sample_tail;
    struct feed_exceptions *exceptions;
    struct feed_past past;

    bool reading; /* a page was asked for, to answer `asked` */
    struct feed_request asked;
    struct feed_sample asked_sample;
    struct feed_consumer consumer[FEED_CONSUMERS_MAX];
    uint64_t consumer_serial; /* of the table that they stand beside */

    struct spsc items, requests;
    _Alignas(64) uint64_t popped; /* index of the last item taken; feed -> seq */
    uint64_t released;            /* entries up to here are not held; feed -> seq */
    _Alignas(64) uint64_t pushed; /* index of the last item pushed; seq only */
    uint64_t contact_ns;          /* seq -> feed */
    uint64_t keep_from;           /* seq -> feed */
    _Alignas(64) struct feed_stats stats;

    _Alignas(64) struct feed_table *table; /* control -> seq, feed; by feed_table_now() only */
    struct feed_table first;
};

/* The table in force. To be used within this turn only. */
static inline struct feed_table *feed_table_now(const struct feed *feed)
{
    return rcu_dereference(feed->table);
}

/* Adds one message to a packet that is being filled; false if it does not fit. */
bool feed_packet_add(struct feed *feed, struct feed_packet *packet, const struct feed_stamp *stamp,
                     const uint8_t *payload, uint16_t length);
bool feed_packet_begin(struct feed *feed, struct feed_packet *packet);

/* Brings the oldest number that is answered for up to date. */
void feed_note_oldest(struct feed *feed);

/* feed_table.c: brings the consumers' allowances in line with another table; feed. */
void feed_consumers_follow(struct feed *feed, const struct feed_table *table);

/* feed_request.c */
uint32_t feed_requests_turn(struct feed *feed);
/* Messages of an entry that took numbers. */
uint32_t feed_entry_count(const struct feed *feed, const struct entry *entry);

/* feed_past.c */
/* While past.active. */
uint32_t feed_past_turn(struct feed *feed);
/* A page that feed_past_turn() asked for. */
void feed_past_page(struct feed *feed, const struct ring_read *read);

#endif
