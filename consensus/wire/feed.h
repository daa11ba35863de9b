/* What a feed line carries: the MoldUDP64 1.00 header and Keel's envelope before a payload. Pure;
 * called by the role `feed`, by the request server and by consumers. Big-endian, as MoldUDP64 is;
 * structs are made of bytes, so they need no alignment.
 *
 * A downstream packet is a mold_header and `count` blocks, each uint16_t length (BE) and that many
 * bytes. On a `raw` line a block is the submitted bytes, and a session's end is a block of length
 * 0. On an `envelope` line a block is a feed_envelope and then the submitted bytes, or, for a
 * session's end, a struct machine_session_end_message.
 */
#ifndef KEEL_WIRE_FEED_H
#define KEEL_WIRE_FEED_H

#include "consensus/wire/limits.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { MOLD_HEADER_SIZE = 20, MOLD_BLOCK_HEAD_SIZE = 2, FEED_ENVELOPE_SIZE = 32 };

enum { /* counts with a meaning of their own */
       MOLD_HEARTBEAT = 0,
       MOLD_END_OF_SESSION = 0xffff
};

struct mold_header {                  /* downstream packets and request packets alike */
    char session[KEEL_DAY_NAME_SIZE]; /* the trading day's name */
    uint8_t sequence[8]; /* of the first block; heartbeat, end of session: the next expected */
    uint8_t count[2];    /* of blocks; in a request: of blocks wanted */
};
_Static_assert(sizeof(struct mold_header) == MOLD_HEADER_SIZE, "Mold header");
_Static_assert(offsetof(struct mold_header, sequence) == 10, "Mold sequence");
_Static_assert(offsetof(struct mold_header, count) == 18, "Mold count");

enum feed_kind { FEED_MESSAGE = 0, FEED_SESSION_END = 1 };
enum { FEED_ENVELOPE_VERSION = 1 };

struct feed_envelope {
    uint8_t kind; /* enum feed_kind */
    uint8_t version;
    uint8_t reserved[2];
    uint8_t utc_error_ns[4]; /* 0xffffffff: unknown */
    uint8_t utc_ns[8];
    uint8_t session[8]; /* session id: log index of its opening entry */
    uint8_t number[8];  /* session number; of a session's end: its last number */
};
_Static_assert(sizeof(struct feed_envelope) == FEED_ENVELOPE_SIZE, "feed envelope");
_Static_assert(offsetof(struct feed_envelope, utc_error_ns) == 4, "envelope clock error");
_Static_assert(offsetof(struct feed_envelope, number) == 24, "envelope number");
_Static_assert(MOLD_HEADER_SIZE + MOLD_BLOCK_HEAD_SIZE + FEED_ENVELOPE_SIZE + KEEL_MSG_MAX <=
                   KEEL_DATAGRAM_MAX,
               "the largest message fits an envelope line");

struct feed_stamp { /* an envelope in host order */
    enum feed_kind kind;
    uint32_t utc_error_ns;
    uint64_t utc_ns;
    uint64_t session;
    uint64_t number;
};

/* Fills a header; session points at KEEL_DAY_NAME_SIZE bytes. */
void mold_header_pack(struct mold_header *header, const char *session, uint64_t sequence,
                      uint16_t count);
uint64_t mold_sequence(const struct mold_header *header);
uint16_t mold_count(const struct mold_header *header);

/* A block's length field, two bytes. */
void mold_length_pack(uint8_t *at, uint16_t length);
uint16_t mold_length(const uint8_t *at);

/* True if `size` bytes are a downstream packet: a header and exactly the blocks that it counts. */
bool mold_check(const void *packet, size_t size);

void feed_envelope_pack(struct feed_envelope *envelope, const struct feed_stamp *stamp);
/* False if size is below an envelope's, or version, kind or reserved bytes are unknown. */
bool feed_envelope_unpack(const void *block, size_t size, struct feed_stamp *stamp);

#endif
