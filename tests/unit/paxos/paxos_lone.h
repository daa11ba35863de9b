/* One founder, driven by hand: founder 1 of incarnation 11 in a list of founders i of incarnation
 * 10 + i. Every step is judged.
 */
#ifndef KEEL_TESTS_PAXOS_LONE_H
#define KEEL_TESTS_PAXOS_LONE_H

#include "tests/unit/paxos/paxos_judge.h"

enum { LONE_CLUSTER = 1000 }; /* cluster id of the own proposal; founder i's is LONE_CLUSTER + i */

extern struct paxos paxos;
extern struct paxos_out out;

/* The record that founder id would propose in a list of so many founders. */
struct genesis list_of(uint8_t count, uint8_t id);
struct paxos_boot boot_of(uint8_t count);

/* Starts founder 1 of a list of so many, blank. */
void start(uint8_t count);
void start_from(const struct paxos_boot *boot);
/* Crash and start: what the drive has is `disk`. */
void restart(const struct paxos_record *disk);

void step(struct paxos_in in);
void timeout(void);
void durable(void); /* all that was written */
/* From founder `msg.from` of the usual incarnation and list, unless said otherwise. */
void receive(struct paxos_msg msg);
void receive_from(struct paxos_msg msg, uint64_t incarnation);

/* The only message of that kind to that founder in out; fatal if there is none. */
const struct paxos_send *sent(enum paxos_msg_kind kind, uint8_t to);
uint32_t count_sent(enum paxos_msg_kind kind);

/* Everybody says the same list, and the lock is asked for; then that it is locked, too. */
void agree(uint8_t count);
void lock(uint8_t count);
/* Messages from founder `from` under the usual list. */
struct paxos_msg hello(uint8_t from, bool locked);
struct paxos_msg about(enum paxos_msg_kind kind, uint8_t from, uint64_t ballot);
struct paxos_msg accept_of(uint8_t from, uint64_t ballot, uint8_t proposer);

#endif
