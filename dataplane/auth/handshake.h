/* The handshake: cookie challenge, fresh salts from both sides, keys by HKDF (design: section 8).
 *
 *   initiator                                   responder
 *   HELLO       who, to whom, nonce      ->
 *                                        <-     COOKIE       stateless, bound to source and nonce
 *   SALT        cookie, salt_i, proof    ->     checks cookie, then proof, then draws salt_r
 *                                        <-     SALT_REPLY   salt_r, handle, proof
 *
 * The responder keeps nothing between packets but its cookie secret and its limits; each SALT that
 * it accepts, a doubled one too, gets a salt of its own, so that no key comes twice (H18). The
 * initiator installs once. No answer is larger than what it answers. A client initiates to every
 * replica; of two replicas the lower id does, with its key; before genesis either may. Cold path;
 * runs on control's thread and in the client library, never in the loop. Crypto by OpenSSL (HKDF,
 * HMAC). State machine only: sending, time and randomness are the caller's; its state holds
 * pointers to the caller's options, so it is not to be moved. Proofs are HMAC-SHA256 under a key
 * derived from the root key, over everything both sides said, so that roles, ids, cluster,
 * incarnations and boots cannot be moved between handshakes.
 */
#ifndef KEEL_HANDSHAKE_H
#define KEEL_HANDSHAKE_H

#include "dataplane/auth/auth.h"
#include "dataplane/auth/keys.h"

enum {
    HANDSHAKE_PACKET_MAX = 256,
    HANDSHAKE_PEERS_MAX = KEEL_REPLICA_MAX, /* under way as initiator: one with each replica */
    HANDSHAKE_RETRY_MS = 100,               /* first retry; doubles to HANDSHAKE_RETRY_MAX_MS */
    HANDSHAKE_RETRY_MAX_MS = 400, /* a healed pair hears each other soon: elections wait for it */
    HANDSHAKE_SALT_TRIES = 4,     /* SALTs sent, then HELLO again with the other root key, if any */
    HANDSHAKE_COOKIE_MS = 10000,  /* a cookie's life is half of this at least, this at most */
    /* responder, per source address */
    HANDSHAKE_HELLO_PER_S = 256, /* before any proof of address: one HMAC each */
    HANDSHAKE_HELLO_BURST = 512,
    HANDSHAKE_SALT_PER_S = 64, /* after the cookie: up to two HKDFs and HMACs each */
    HANDSHAKE_SALT_BURST = 128
};

struct handshake_identity { /* what one side says of itself */
    uint32_t principal;
    uint64_t cluster;     /* 0 before genesis; 0 in a client that takes what the replica proves */
    uint64_t incarnation; /* 0 for a client */
    uint64_t boot;
    uint64_t boot_id;
};

struct handshake_address {
    uint32_t ip; /* host order */
    uint16_t port;
    uint8_t mac[6]; /* replicas; zero in a client */
};

enum handshake_event {
    HANDSHAKE_NOTHING = 0,
    HANDSHAKE_SEND,        /* *out is to be sent to the address it came from */
    HANDSHAKE_INSTALL,     /* *install is complete (initiator); nothing to send */
    HANDSHAKE_SEND_INSTALL /* responder: install first, then send *out */
};

enum handshake_reject { /* counted reasons */
                        HANDSHAKE_OK = 0,
                        HANDSHAKE_MALFORMED,
                        HANDSHAKE_VERSION, /* of another protocol version */
                        HANDSHAKE_WRONG_RECEIVER,
                        HANDSHAKE_UNKNOWN_PRINCIPAL,
                        HANDSHAKE_BAD_COOKIE,
                        HANDSHAKE_BAD_PROOF,
                        HANDSHAKE_WRONG_CLUSTER,
                        HANDSHAKE_OLD_BOOT, /* a lower boot, or an equal one with another id (H2) */
                        HANDSHAKE_UNEXPECTED, /* no such handshake under way, or an old copy */
                        HANDSHAKE_BUSY,       /* too many from this source address */
                        HANDSHAKE_REJECT_COUNT
};
const char *handshake_reject_name(enum handshake_reject reject);

struct handshake; /* one per daemon or client */

struct handshake_options {
    struct handshake_identity self;
    const struct keyring *keys; /* stays the caller's; may be replaced by handshake_keys() */
    /* unpredictable bytes: getrandom(), or in a simulation a generator of its own */
    void (*random)(void *context, void *bytes, size_t size);
    /* Fills witness_index, witness_term, witness_vote of *witness with what this side remembers of
     * that incarnation of a replica (H13). NULL: nothing, as in a client. */
    void (*witness)(void *context, uint32_t principal, uint64_t incarnation,
                    struct auth_install *witness);
    /* False for a boot lower than the highest seen, or equal with another id (H2). Asked of
     * replicas only, and only after their proof; it notes nothing: that waits for the first valid
     * packet. NULL: every boot, as in a client. */
    bool (*boot_allowed)(void *context, uint32_t principal, uint64_t incarnation, uint64_t boot,
                         uint64_t boot_id);
    void *context;
};

/* True if the loop is to hand this datagram to handshake_receive() and not to auth_open(). */
static inline bool handshake_is_packet(const void *packet, size_t size)
{
    const uint8_t *bytes = packet;
    return size >= sizeof(struct packet) && bytes[2] >= PACKET_HELLO &&
           bytes[2] <= PACKET_SALT_REPLY;
}

size_t handshake_size(void);
/* Initialises handshake_size() bytes, aligned to 8; draws the cookie secret. The caller wipes the
 * memory at its end. */
struct handshake *handshake_init(void *memory, const struct handshake_options *options);
/* Other root keys from now on; handshakes under way go on with those of the same principal. */
void handshake_keys(struct handshake *handshake, const struct keyring *keys);
/* Another identity (genesis came): handshakes under way start again with their next retry. */
void handshake_identity(struct handshake *handshake, const struct handshake_identity *self);

/* Begins (or begins anew) a handshake with `peer` at `address`: fills *out with HELLO. False: this
 * side is not the one that initiates, or has no root key of its own. */
bool handshake_begin(struct handshake *handshake, uint32_t peer,
                     const struct handshake_address *address, uint64_t now_ms, uint8_t *out,
                     size_t *out_size);

/* True if a handshake that this side began with that peer has not finished. */
bool handshake_under_way(const struct handshake *handshake, uint32_t peer);

/* Gives a handshake up: the peer was removed. */
void handshake_cancel(struct handshake *handshake, uint32_t peer);

/* One handshake datagram came in. out has HANDSHAKE_PACKET_MAX bytes. On INSTALL and SEND_INSTALL
 * the caller hands *install to its table, then sends, then wipes *install. HANDSHAKE_NOTHING may be
 * a rejection: see handshake_rejects(). */
enum handshake_event handshake_receive(struct handshake *handshake, const void *packet, size_t size,
                                       const struct handshake_address *from, uint64_t now_ms,
                                       uint8_t *out, size_t *out_size,
                                       struct auth_install *install);

/* Repeats what was not answered: true with *out and *to filled; call until false. */
bool handshake_retry(struct handshake *handshake, uint64_t now_ms, struct handshake_address *to,
                     uint8_t *out, size_t *out_size);

/* Rejections by reason since start: HANDSHAKE_REJECT_COUNT counters, the first unused. */
const uint64_t *handshake_rejects(const struct handshake *handshake);

#endif
