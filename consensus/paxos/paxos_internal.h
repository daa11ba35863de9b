/* What the files of the Paxos core share; nobody else includes it. */
#ifndef KEEL_PAXOS_INTERNAL_H
#define KEEL_PAXOS_INTERNAL_H

#include "consensus/paxos/paxos.h"

/* paxos.c */

/* Takes the next persist number for the record as it stands. At most once a step. */
void paxos_persist(struct paxos *paxos, struct paxos_out *out);
/* Adds a message that waits for write number `persist`, its head filled in; the rest is zero. */
struct paxos_msg *paxos_emit(const struct paxos *paxos, struct paxos_out *out, uint64_t persist,
                             enum paxos_msg_kind kind, uint8_t to);
/* Starts the timer anew: one to two times `ms`. */
void paxos_wait(struct paxos_out *out, uint64_t ms, uint64_t random);
/* Starts the timer that leads to an own ballot. */
void paxos_back_off(const struct paxos *paxos, struct paxos_out *out, uint64_t random);

/* paxos_lock.c */

bool paxos_is_founder(const struct paxos *paxos, uint8_t id);
/* The own list names this very founder. */
bool paxos_is_named(const struct paxos *paxos);
/* Every founder of the list, this one included, has durably locked it: one may promise. */
bool paxos_all_locked(const struct paxos *paxos);
/* Asks whoever is not known to have locked the list. */
void paxos_ask(struct paxos *paxos, struct paxos_out *out);
/* Callers have checked that nothing is installed here. */
void paxos_lock_when_agreed(struct paxos *paxos, struct paxos_out *out);
/* What the head of any message says of its sender. */
void paxos_hear(struct paxos *paxos, const struct paxos_in *in);
void paxos_on_hello(struct paxos *paxos, const struct paxos_in *in, struct paxos_out *out);
void paxos_on_decided(struct paxos *paxos, const struct paxos_in *in, struct paxos_out *out);
/* A record that the locked list can decide. */
bool paxos_value_fits(uint64_t list, const struct genesis *value);

/* paxos_acceptor.c */

void paxos_on_prepare(struct paxos *paxos, const struct paxos_in *in, struct paxos_out *out);
void paxos_on_accept(struct paxos *paxos, const struct paxos_in *in, struct paxos_out *out);

/* paxos_proposer.c */

void paxos_begin(struct paxos *paxos, struct paxos_out *out);
void paxos_yield(struct paxos *paxos);
void paxos_on_promise(struct paxos *paxos, const struct paxos_in *in, struct paxos_out *out);
void paxos_on_accepted(struct paxos *paxos, const struct paxos_in *in, struct paxos_out *out);
void paxos_on_refuse(struct paxos *paxos, const struct paxos_in *in, struct paxos_out *out);
/* The own promise, or acceptance, may have become durable. */
void paxos_count_own(struct paxos *paxos, struct paxos_out *out);
void paxos_install(struct paxos *paxos, const struct genesis *value, struct paxos_out *out);

#endif
