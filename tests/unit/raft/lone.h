/* One replica of three, driven by hand: its peers are what a test says they answer. Time stands
 * still unless a test moves it.
 */
#ifndef KEEL_TEST_RAFT_LONE_H
#define KEEL_TEST_RAFT_LONE_H

#include "consensus/raft/raft.h"

enum { ELECTION_MS = 100, HEARTBEAT_MS = 10, STALL_MS = 300, REST_MS = 1000 };
static const uint64_t MS = 1000000; /* ns */

extern struct raft raft;    /* id 1, incarnation 11; its peers 2 and 3 have 12 and 13 */
extern struct raft_out out; /* of the newest step */
extern uint64_t now_ns;

/* What a start finds: a log that begins at `first` behind an entry of prev_term, all of it
 * committed up to there, and `entries` entries of one term. start() starts with it. */
struct raft_boot boot_of(uint64_t first, uint64_t prev_term, uint64_t entries, uint64_t term);
void start(uint64_t first, uint64_t prev_term, uint64_t entries, uint64_t term);

void step(struct raft_in in);
/* From a member of the right incarnation; the own chain is 7 everywhere. */
void receive(struct raft_msg msg);
void tick(uint64_t ms);
void propose(uint32_t count);
/* Everything that was asked of the own drive. */
void durable(void);

/* Wins an election with the vote of 2. The no-op is durable nowhere yet. */
void lead(void);
/* Sends a peer all that it may be sent. */
void send_all(uint8_t peer);
/* A peer's answer to the newest packet: durable there up to match. */
struct raft_msg reply(uint8_t from, uint64_t match, uint64_t flags);
/* The peer gets everything, and has it durable. */
void holds_all(uint8_t peer);
/* So has this replica, and 2: a quorum. */
void settle(void);
/* A heartbeat's time passes, and both peers answer with what they hold and those flags. */
void beat(uint64_t flags_2, uint64_t flags_3);

#endif
