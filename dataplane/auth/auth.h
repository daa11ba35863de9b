/* Packet authentication on the hot path: associations, seal, open, replay window, rights.
 *
 * A table belongs to one thread (a replica's `seq`, a client's library); it takes no lock.
 * Handshakes (handshake.h) run elsewhere and hand finished associations over as struct
 * auth_install. One association = one pair of principals, one AES-128-GMAC key per direction,
 * counters from 1. A new association of a pair is tried beside the old one until its first valid
 * packet, which retires the old (H18). Who initiated sends under the new one at once; the other
 * side sends under the old one until that first packet has come.
 *
 * A packet opened or sealed costs one index probe, one tag and one word of the window. Nothing is
 * allocated after auth_table_init().
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
    AUTH_ASSOC_MAX = 4096,   /* associations of one table */
    AUTH_PENDING_MAX = 3, /* unconfirmed associations of one peer; a fourth replaces the oldest */
    AUTH_SALTS_KEPT = 8   /* salt pairs of one peer that are remembered after their end */
};

/* A key is given up long before its counter could turn: past this nothing is sealed or opened. */
#define AUTH_COUNTER_MAX (UINT64_C(1) << 62)

/* Two kinds that every principal may send. The initiator sends PING as soon as it has installed, so
 * that the other side confirms at once; whoever opens a PING answers PONG. Neither reaches intake
 * or Raft. They have no body but between replicas, which measure their round trips with them
 * (consensus/wire/packet.h). */
enum { AUTH_KIND_PING = 5, AUTH_KIND_PONG = 6 };

enum auth_reject { /* each one a counter */
                   AUTH_OK = 0,
                   AUTH_MALFORMED,      /* size, magic, kind, reserved bits, counter out of range */
                   AUTH_VERSION,        /* of another protocol version: whatever else it says */
                   AUTH_WRONG_RECEIVER, /* `to` is not this principal */
                   AUTH_WRONG_CLUSTER,
                   AUTH_NO_ASSOCIATION, /* the handle names none, or one with another sender */
                   AUTH_BAD_TAG,
                   AUTH_REPLAY,   /* counter seen before, or left of the window */
                   AUTH_NO_RIGHT, /* the sender's key does not allow this kind */
                   AUTH_REJECT_COUNT
};
const char *auth_reject_name(enum auth_reject reject);

/* Rights: which packet kinds a principal may send. */
enum {
    AUTH_RIGHT_PEER = 1,   /* PREVOTE .. TIMEOUT_NOW */
    AUTH_RIGHT_SUBMIT = 2, /* SUBMIT .. QUERY */
    AUTH_RIGHT_ANSWER = 4  /* RESULT .. ANSWER (what a replica may send to a client) */
};

/* A finished handshake: everything a table needs. */
struct auth_install {
    uint32_t peer;        /* principal */
    uint32_t rights;      /* of the peer */
    uint32_t handle;      /* this side's handle: the peer puts it into packet.assoc; not 0 */
    uint32_t peer_handle; /* the peer's handle: this side puts it into packet.assoc; not 0 */
    bool initiator;       /* this side began the handshake: it sends under the new key at once */
    uint8_t key_in[AUTH_KEY_SIZE];
    uint8_t key_out[AUTH_KEY_SIZE];
    uint8_t salts[2 * AUTH_SALT_SIZE]; /* initiator's, responder's: installed once only */
    uint64_t peer_incarnation;         /* 0 for a client */
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
    /* filled by whoever calls auth_install(), from the clock of auth_open(); the handshake leaves 0
     */
    uint64_t now_ns;
};

/* One association, as callers see it. A pointer to it is good until the next auth_install(),
 * auth_forget() or auth_set_cluster() of its table; packets opened in between may retire the
 * association, but auth_seal() then uses the one that replaced it. incarnation, boot and boot_id
 * are those of the process that this very association was made with. */
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
    bool confirmed;    /* a valid packet has come under this association; received == 1: just now.
                        * Only then is the peer's boot to be believed and noted (H2, H18) */
};

struct auth_table;

/* Bytes (64-byte aligned) for a table of `associations` places, 1..AUTH_ASSOC_MAX. Four a peer
 * (AUTH_PENDING_MAX and the confirmed one) never run out. */
size_t auth_table_size(uint32_t associations);
/* Initialises memory of that size, which stays the caller's and is wiped by it. `self`: this side's
 * principal; `cluster`: 0 before genesis. NULL if the processor offers no AES-GCM path. */
struct auth_table *auth_table_init(void *memory, uint32_t associations, uint32_t self,
                                   uint64_t cluster);

/* Takes a finished association; the caller wipes *install. A pair of salts that was installed
 * before, or another answer to the handshake that made the confirmed association, changes nothing
 * (true). The older association of that peer stays valid until the new one's first valid packet.
 * False, and nothing changed: table full, handle 0 or in use, or made for another cluster. */
bool auth_install(struct auth_table *table, const struct auth_install *install);
/* Forgets every association of a principal (its key was withdrawn, it was silent for long). */
void auth_forget(struct auth_table *table, uint32_t principal);
/* Genesis came, or a client learnt its cluster: forgets every association and takes the new id. The
 * same id changes nothing. */
void auth_set_cluster(struct auth_table *table, uint64_t cluster);

/* Checks one datagram completely, in this order: form, receiver, cluster, association, tag, window,
 * rights. On AUTH_OK *peer is set, *body and *body_size point into the packet, and the replay
 * window has moved; on anything else nothing changed. */
HOT enum auth_reject auth_open(struct auth_table *table, const void *packet, size_t size,
                               uint64_t now_ns, const struct auth_peer **peer, const void **body,
                               size_t *body_size);

/* Notes where the packet just opened came from, with the peer that auth_open() gave. Only the
 * highest counter so far moves an address: a packet held back and sent from elsewhere does not. */
void auth_heard_from(struct auth_table *table, const struct auth_peer *peer, uint32_t ip,
                     uint16_t port, const uint8_t mac[6]);

/* The association to use towards a principal: the newest confirmed one, or for the initiator of a
 * new one that one (its first packet is what confirms it). NULL: none. */
const struct auth_peer *auth_peer(const struct auth_table *table, uint32_t principal);

/* True if the initiator should begin a handshake: no association to send under; or the one it sends
 * under has had no valid packet for silent_ns (the peer restarted, or lost its half); or its
 * counter is nearly used up. */
bool auth_wants_handshake(const struct auth_table *table, uint32_t principal, uint64_t now_ns,
                          uint64_t silent_ns);

/* Completes a packet to the principal of `peer`, under the association that auth_peer() names:
 * `packet` has room for head + body_size + tag (body_size up to KEEL_BODY_MAX); body is in place
 * behind the head. Fills the whole head, takes the next counter, writes the tag. Returns the
 * datagram's size; 0 if there is no association or its counters are used up. */
HOT size_t auth_seal(struct auth_table *table, const struct auth_peer *peer, uint8_t kind,
                     void *packet, size_t body_size);

/* Associations in use, for status: calls visit for each. */
void auth_each(const struct auth_table *table,
               void (*visit)(void *context, const struct auth_peer *peer), void *context);

#endif
