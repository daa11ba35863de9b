/* Packet authentication on the hot path: associations, seal, open, replay window, rights.
 *
 * A table belongs to one thread (a replica's `seq`, a client's library); it takes no lock. Handshakes
 * (handshake.h) run elsewhere and hand finished associations over as struct auth_install.
 * One association = one pair of principals, one AES-128-GMAC key per direction, counters from 1. A
 * new association of a pair is tried beside the old one until its first valid packet, which retires
 * the old (H18).
 */
#ifndef KEEL_AUTH_H
#define KEEL_AUTH_H

#include "consensus/ensure.h"
#include "consensus/wire/packet.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    AUTH_KEY_SIZE = 16,
    AUTH_SALT_SIZE = 16,
    AUTH_ROOT_SIZE = 32,     /* root key, bytes */
    AUTH_WINDOW_BITS = 2048, /* replay window, as in RFC 6479 */
    AUTH_ASSOC_MAX = 4096    /* associations of one table */
};

enum auth_reject { /* each one a counter */
    AUTH_OK = 0,
    AUTH_MALFORMED,      /* shorter than head and tag, magic, version, kind, reserved bits */
    AUTH_WRONG_RECEIVER, /* `to` is not this principal */
    AUTH_WRONG_CLUSTER,
    AUTH_NO_ASSOCIATION, /* the handle names none, or one with another sender */
    AUTH_BAD_TAG,
    AUTH_REPLAY,         /* counter seen before, or left of the window */
    AUTH_NO_RIGHT,       /* the sender's key does not allow this kind */
    AUTH_REJECT_COUNT
};
const char *auth_reject_name(enum auth_reject reject);

/* Rights: which packet kinds a principal may send. */
enum {
    AUTH_RIGHT_PEER = 1,    /* PREVOTE .. APPEND_REPLY */
    AUTH_RIGHT_SUBMIT = 2,  /* SUBMIT, OPEN, RESUME, END, KEEPALIVE */
    AUTH_RIGHT_ANSWER = 4   /* RESULT, SESSION, REDIRECT (what a replica may send to a client) */
};

/* A finished handshake: everything a table needs. */
struct auth_install {
    uint32_t peer;          /* principal */
    uint32_t rights;        /* of the peer */
    uint32_t handle;        /* this side's handle: the peer puts it into packet.assoc */
    uint32_t peer_handle;   /* the peer's handle: this side puts it into packet.assoc */
    uint8_t key_in[AUTH_KEY_SIZE];
    uint8_t key_out[AUTH_KEY_SIZE];
    uint8_t salts[2 * AUTH_SALT_SIZE]; /* initiator's, responder's: installed once only */
    uint64_t peer_incarnation; /* 0 for a client */
    uint64_t peer_boot;
    uint64_t peer_boot_id;
    uint64_t cluster;
    /* what the peer remembers of this replica (H13); 0 for clients */
    uint64_t witness_index;
    uint64_t witness_term;
    uint8_t witness_vote;
    /* where the peer was heard from: answers go there until a valid packet says otherwise */
    uint32_t ip; /* host order */
    uint16_t port;
    uint8_t mac[6];
};

/* What the table knows of a peer, as callers see it. */
struct auth_peer {
    uint32_t principal;
    uint32_t rights;
    uint32_t handle;
    uint32_t ip;
    uint16_t port;
    uint8_t mac[6];
    uint64_t incarnation;
    uint64_t boot;
    uint64_t boot_id;
    uint64_t received; /* valid packets */
    uint64_t sent;
    uint64_t heard_ns; /* of the last valid packet */
    bool confirmed;    /* a valid packet has come under this association */
};

struct auth_table;

/* Bytes (64-byte aligned) for a table of `associations` places. */
size_t auth_table_size(uint32_t associations);
/* Initialises memory of that size. `self`: this side's principal; `cluster`: 0 before genesis. NULL if
 * the processor offers no AES-GCM path. */
struct auth_table *auth_table_init(void *memory, uint32_t associations, uint32_t self,
                                   uint64_t cluster);

/* Takes a finished association. A pair of salts that was installed before changes nothing. The older
 * association of that peer stays valid until the new one's first valid packet. False: table full. */
bool auth_install(struct auth_table *table, const struct auth_install *install);
/* Forgets every association of a principal (its key was withdrawn, it was silent for long). */
void auth_forget(struct auth_table *table, uint32_t principal);

/* Checks one datagram completely, in this order: form, receiver, cluster, association, tag, window,
 * rights. On AUTH_OK *peer is set, *body and *body_size point into the packet, and the replay window
 * has moved; on anything else nothing changed. */
HOT enum auth_reject auth_open(struct auth_table *table, const void *packet, size_t size,
                               uint64_t now_ns, const struct auth_peer **peer, const void **body,
                               size_t *body_size);

/* Notes where the peer's last valid packet came from. */
void auth_heard_from(struct auth_table *table, const struct auth_peer *peer, uint32_t ip,
                     uint16_t port, const uint8_t mac[6]);

/* The association to use towards a principal: the newest confirmed one, or for the initiator of a new
 * one that one (its first packet is what confirms it). NULL: none. */
const struct auth_peer *auth_peer(const struct auth_table *table, uint32_t principal);

/* Completes a packet: `packet` has room for head + body_size + tag; body is in place behind the head.
 * Fills the whole head, takes the next counter, writes the tag. Returns the datagram's size; 0 if
 * there is no association. */
HOT size_t auth_seal(struct auth_table *table, const struct auth_peer *peer, uint8_t kind,
                     void *packet, size_t body_size);

/* Associations in use, for status: calls visit for each. */
void auth_each(const struct auth_table *table,
               void (*visit)(void *context, const struct auth_peer *peer), void *context);

#endif
