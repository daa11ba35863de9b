/* The four handshake packets as they stand on the wire (docs/handshake.md). Little-endian, exact
 * sizes, reserved bytes zero; each begins with struct packet, whose assoc and counter are 0. Pure.
 */
#ifndef KEEL_AUTH_HANDSHAKE_WIRE_H
#define KEEL_AUTH_HANDSHAKE_WIRE_H

#include "consensus/wire/packet.h"
#include "dataplane/auth/auth.h"

#include <stddef.h>
#include <stdint.h>

enum {
    HANDSHAKE_NONCE_SIZE = 16,
    HANDSHAKE_COOKIE_SIZE = 16,
    HANDSHAKE_PROOF_SIZE = 32 /* HMAC-SHA256 */
};

struct handshake_hello { /* 72 bytes: as long as the answer */
    struct packet head;
    uint8_t nonce[HANDSHAKE_NONCE_SIZE];
    uint8_t padding[24]; /* zero */
};
_Static_assert(sizeof(struct handshake_hello) == 72, "HELLO");
_Static_assert(offsetof(struct handshake_hello, nonce) == 32, "HELLO");

struct handshake_cookie { /* 72 bytes */
    struct packet head;
    uint8_t nonce[HANDSHAKE_NONCE_SIZE]; /* HELLO's */
    uint8_t cookie[HANDSHAKE_COOKIE_SIZE];
    uint64_t incarnation; /* the responder's: unproven here, proven by SALT and SALT_REPLY */
};
_Static_assert(sizeof(struct handshake_cookie) == 72, "COOKIE");
_Static_assert(offsetof(struct handshake_cookie, cookie) == 48, "COOKIE");
_Static_assert(offsetof(struct handshake_cookie, incarnation) == 64, "COOKIE");

struct handshake_salt { /* 168 bytes */
    struct packet head;
    uint8_t cookie[HANDSHAKE_COOKIE_SIZE];
    uint8_t nonce[HANDSHAKE_NONCE_SIZE]; /* HELLO's */
    uint8_t salt[AUTH_SALT_SIZE];        /* the initiator's */
    uint64_t incarnation;                /* the initiator's; 0 for a client */
    uint64_t boot;
    uint64_t boot_id;
    uint64_t responder_incarnation; /* COOKIE's */
    uint64_t witness_index;         /* what the initiator remembers of the responder (H13) */
    uint64_t witness_term;
    uint32_t handle; /* the initiator's for this association */
    uint8_t witness_vote;
    uint8_t reserved[3];
    uint8_t proof[HANDSHAKE_PROOF_SIZE];
};
_Static_assert(sizeof(struct handshake_salt) == 168, "SALT");
_Static_assert(offsetof(struct handshake_salt, nonce) == 48, "SALT");
_Static_assert(offsetof(struct handshake_salt, salt) == 64, "SALT");
_Static_assert(offsetof(struct handshake_salt, incarnation) == 80, "SALT");
_Static_assert(offsetof(struct handshake_salt, handle) == 128, "SALT");
_Static_assert(offsetof(struct handshake_salt, proof) == 136, "SALT");

struct handshake_salt_reply { /* 144 bytes */
    struct packet head;
    uint8_t nonce[HANDSHAKE_NONCE_SIZE]; /* HELLO's */
    uint8_t salt[AUTH_SALT_SIZE];        /* the responder's, new for each SALT accepted */
    uint64_t incarnation;
    uint64_t boot;
    uint64_t boot_id;
    uint64_t witness_index; /* what the responder remembers of the initiator */
    uint64_t witness_term;
    uint32_t handle; /* the responder's */
    uint8_t witness_vote;
    uint8_t reserved[3];
    uint8_t proof[HANDSHAKE_PROOF_SIZE];
};
_Static_assert(sizeof(struct handshake_salt_reply) == 144, "SALT_REPLY");
_Static_assert(offsetof(struct handshake_salt_reply, salt) == 48, "SALT_REPLY");
_Static_assert(offsetof(struct handshake_salt_reply, incarnation) == 64, "SALT_REPLY");
_Static_assert(offsetof(struct handshake_salt_reply, handle) == 104, "SALT_REPLY");
_Static_assert(offsetof(struct handshake_salt_reply, proof) == 112, "SALT_REPLY");

/* No answer is larger than what it answers. */
_Static_assert(sizeof(struct handshake_cookie) <= sizeof(struct handshake_hello), "amplifies");
_Static_assert(sizeof(struct handshake_salt_reply) <= sizeof(struct handshake_salt), "amplifies");

#endif
