/* PACKET_GENESIS: what founders tell each other before there is a genesis record, under an
 * association of cluster id 0. Sender and receiver stand in the packet's head and are proven by its
 * association; so is the sender's incarnation.
 */
#ifndef KEEL_WIRE_PACKET_GENESIS_H
#define KEEL_WIRE_PACKET_GENESIS_H

#include "consensus/paxos/paxos.h"

struct packet_genesis { /* 32 bytes; PROMISE of an accepted value, ACCEPT, DECIDED: then a genesis
                           record */
    uint8_t kind;       /* enum paxos_msg_kind */
    uint8_t locked;     /* 1: the sender has durably locked `list` */
    uint8_t reserved[2];
    uint32_t
        founders;    /* hash of ids, addresses and incarnations of `list`; 0: none, or not known */
    uint64_t list;   /* hash of the sender's founder list, with day and limits; 0: none */
    uint64_t ballot; /* round << 8 | id */
    uint64_t held;   /* PROMISE: ballot of the record behind, 0: none; REFUSE: the promised one */
};
_Static_assert(sizeof(struct packet_genesis) == 32, "genesis packet");

enum { PACKET_GENESIS_MAX = sizeof(struct packet_genesis) + GENESIS_SIZE };

/* Fills *msg from a body of PACKET_GENESIS; from and to are the caller's, and the CRC of a record
 * is the caller's to check. Total: form, size, and whether a record has to be there. */
bool packet_genesis_decode(const void *body, size_t size, struct paxos_msg *msg);

/* The body of a message, PACKET_GENESIS_MAX bytes of room; returns its size. */
size_t packet_genesis_encode(const struct paxos_msg *msg, void *body);

#endif
