/* Entries that a drive has lost, within an exploration: named still, absent for every testimony.
 * What the product's ring and dataplane/repair.c do with them, in the core's terms: found by a
 * start or under a running replica, asked of the peers, served from whatever is held, written anew.
 * An entry's index and term stand for its bytes and their proof.
 */
#ifndef KEEL_EXPLORE_HOLES_H
#define KEEL_EXPLORE_HOLES_H

#include "tests/explore/core.h"

/* Has the drive this entry of that term, and can it be read? */
bool holes_intact(const struct durable_half *disk, uint64_t index, uint64_t term);

/* May a drive lose the entry now: is no other copy of it lost? (The last one is not taken.) */
bool holes_may_lose(const struct scope *scope, const struct state *s, uint8_t id, uint8_t index);

/* The lowest entry of the open replica's log that its drive has lost; 0: none. */
uint8_t holes_lowest(const struct core *core);

/* A running replica loses an entry and learns of it. */
void holes_rot(struct core *core, uint8_t id, uint8_t index);
/* It asks every peer for the lowest. */
void holes_ask(struct core *core, uint8_t id);

/* The caller's part when the open replica was asked, or an entry came. */
void holes_serve(struct core *core, const struct raft_msg *msg);
void holes_restore(struct core *core, const struct raft_msg *msg);

#endif
