/* The handshake: cookie challenge, fresh salts from both sides, keys by HKDF (design: section 8).
 *
 *   initiator                                   responder
 *   HELLO       who, to whom, nonce      ->
 *                                        <-     COOKIE       stateless, bound to source and nonce
 *   SALT        cookie, salt_i, proof    ->     checks cookie, then proof, then draws salt_r
 *                                        <-     SALT_REPLY   salt_r, handle, proof
 *
 * No answer is larger than what it answers. A client initiates to every replica; of two replicas the
 * lower id does, with its key. Cold path; runs on control's thread and in the client library, never
 * in the loop. Crypto by OpenSSL (HKDF, HMAC). State machine only: sending, time and randomness are the
 * caller's. Proofs are HMAC-SHA256 under a key derived from the root key, over everything both sides
 * said, so that roles, ids, cluster, incarnations and boots cannot be moved between handshakes.
 */
#ifndef KEEL_HANDSHAKE_H
#define KEEL_HANDSHAKE_H

#include "dataplane/auth/auth.h"
#include "dataplane/auth/keys.h"

enum {
    HANDSHAKE_PACKET_MAX = 256,
    HANDSHAKE_PEERS_MAX = 64, /* handshakes that one side has under way as initiator */
    HANDSHAKE_RETRY_MS = 100, /* first retry; doubles to 2 s */
    HANDSHAKE_COOKIE_MS = 10000 /* a cookie's life */
};

struct handshake_identity { /* what one side says of itself */
    uint32_t principal;
    uint64_t cluster;     /* 0 before genesis */
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
    HANDSHAKE_SEND,         /* *out is to be sent to the address it came from */
    HANDSHAKE_INSTALL,      /* *install is complete (initiator); nothing to send */
    HANDSHAKE_SEND_INSTALL  /* responder: install first, then send *out */
};

enum handshake_reject { /* counted reasons */
    HANDSHAKE_OK = 0,
    HANDSHAKE_MALFORMED,
    HANDSHAKE_WRONG_RECEIVER,
    HANDSHAKE_UNKNOWN_PRINCIPAL,
    HANDSHAKE_BAD_COOKIE,
    HANDSHAKE_BAD_PROOF,
    HANDSHAKE_WRONG_CLUSTER,
    HANDSHAKE_OLD_BOOT,      /* a lower boot, or an equal one with another id (H2) */
    HANDSHAKE_UNEXPECTED,    /* no such handshake under way, or an old copy */
    HANDSHAKE_NO_HANDLE,
    HANDSHAKE_REJECT_COUNT
};
const char *handshake_reject_name(enum handshake_reject reject);

struct handshake; /* one per daemon or client */

struct handshake_options {
    struct handshake_identity self;
    const struct keyring *keys;  /* stays the caller's; may be replaced by handshake_keys() */
    void (*random)(void *context, void *bytes, size_t size);
    /* replicas: highest boot seen from a principal, and what is remembered of it (H2, H13); may be
     * NULL in a client */
    void (*witness)(void *context, uint32_t principal, uint64_t incarnation,
                    struct auth_install *witness);
    bool (*boot_allowed)(void *context, uint32_t principal, uint64_t incarnation, uint64_t boot,
                         uint64_t boot_id);
    void *context;
};

size_t handshake_size(void);
struct handshake *handshake_init(void *memory, const struct handshake_options *options);
void handshake_keys(struct handshake *handshake, const struct keyring *keys);
void handshake_identity(struct handshake *handshake, const struct handshake_identity *self);

/* Begins (or begins anew) a handshake with `peer` at `address`: fills *out with HELLO. */
bool handshake_begin(struct handshake *handshake, uint32_t peer,
                     const struct handshake_address *address, uint64_t now_ms, uint8_t *out,
                     size_t *out_size);

/* One handshake datagram came in. out has HANDSHAKE_PACKET_MAX bytes. */
enum handshake_event handshake_receive(struct handshake *handshake, const void *packet, size_t size,
                                       const struct handshake_address *from, uint64_t now_ms,
                                       uint8_t *out, size_t *out_size,
                                       struct auth_install *install);

/* Repeats what was not answered: true with *out and *to filled; call until false. */
bool handshake_retry(struct handshake *handshake, uint64_t now_ms, struct handshake_address *to,
                     uint8_t *out, size_t *out_size);

/* Rejections by reason since start. */
const uint64_t *handshake_rejects(const struct handshake *handshake);

#endif
