/* The scope of an exploration: how far the explorer goes. Chosen once, from the options.
 *
 * Inside its scope the explorer follows every run of the real raft_step(), raft_init() and gate.
 * What each limit leaves out is said here; what only merges states that no later step can tell
 * apart ("exact") is said in state.h and core.h.
 *
 * Cuts of the scope:
 * - terms, log, crashes, losses, duplicates, overtakings, slow writes, ticks: bounded by the
 * numbers below. A state whose log or queues outgrow theirs is counted as outside and not followed.
 * - clocks: each replica has its own, and time passes as the explorer likes: any timeout may fire
 *   at any step. A superset of what true clocks do, and no promise of Raft rests on them. Without
 *   `sticky`, the time in which a vote is refused after hearing a leader, or after a start, is
 *   always over when a request arrives; a leader refuses always.
 * - `stall` never silences a leader (H8), nothing is refused for want of space, no write fails, and
 *   log chains are unknown (H6): these have transcripts of their own.
 * - a late AppendEntries of the term in force counts as news of its leader, as if its probe number
 *   were new: a precandidate may step back earlier than it would.
 * - `prevote` off asks just enough voters at once and loses the other requests.
 * - a packet equal to one that is under way is not sent again; only `duplicates` doubles packets.
 * - packets carry all entries that the core offers.
 * - where members change, leaders are asked for the configurations that the scope names, and for no
 *   other; nothing but these and no-ops is appended. Who has acknowledged an entry in the term
 * counts as in contact, nobody as fit to take an office over: a leader that is no voter any more
 * steps down at once. A removed replica is told so for as long as the term lasts. Nobody changes
 * its incarnation.
 */
#ifndef KEEL_EXPLORE_SCOPE_H
#define KEEL_EXPLORE_SCOPE_H

#include "consensus/raft/raft.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    SCOPE_REPLICAS_MAX = 5,
    SCOPE_TERMS_MAX = 7,
    SCOPE_LOG_MAX = 6,
    SCOPE_FLIGHTS_MAX = 4,
    SCOPE_LINK_MAX = 15,
    SCOPE_WANTED_MAX = 2,
    SCOPE_CONFIGS_MAX = 16,
    SCOPE_ANY = 255 /* no limit */
};

struct scope_members { /* masks */
    uint8_t voters, learners;
};

struct scope {
    uint8_t replicas;   /* ids 1..replicas */
    uint8_t terms;      /* nobody campaigns for a higher one */
    uint8_t log;        /* entries of a log, no-ops included */
    uint8_t crashes;    /* a crash loses any suffix of what is not durable yet; then a restart */
    uint8_t losses;     /* packets taken out of a link */
    uint8_t duplicates; /* packets delivered that stay in their link */
    uint8_t overtakes; /* deliveries past an older packet of the link; SCOPE_ANY: no order, and then
                          losses have no limit either: a packet may stay under way for ever */
    uint8_t delays;    /* times that a drive with nothing in flight takes a write and keeps it in
                          flight, with all that follow, until the explorer completes them; other
                          writes are durable at once. SCOPE_ANY: every write waits */
    uint8_t ticks;     /* heartbeats, repeated requests, packets given up, leaders that give up; not
                          election timeouts. SCOPE_ANY: no limit */
    uint8_t holes;   /* entries that a drive loses, found at a restart or while running; of no entry
                        two copies at once. Where there are any, losses and duplicates are of FETCH
                        and its answers alone */
    uint8_t link;    /* packets under way from one replica to another; one more is lost */
    uint8_t flights; /* AppendEntries in flight to a peer */
    bool prevote;    /* pre-votes are packets like any other */
    bool sticky;     /* both answers of a voter that heard a leader of late */
    bool symmetry;   /* states that differ by the names of replicas are one */
    bool whole_packets; /* packets keep what no longer counts: for transcripts */
    uint8_t wanted_count;
    struct scope_members first; /* in force from the start; no voters: all replicas are */
    struct scope_members wanted[SCOPE_WANTED_MAX]; /* what any leader is asked for at any time */
    /* By number: [0] the first, then all that the wanted ones can lead to; their index is 0. */
    struct raft_config config[SCOPE_CONFIGS_MAX];
    uint8_t config_count;
    uint8_t alike[SCOPE_REPLICAS_MAX + 1]; /* masks: whom no configuration tells apart */
    struct raft_options options;
};

/* The numbers of a named scope; false: there is none of that name.
 *
 * restart, terms and drive have a fixpoint, near two million states each, and together show
 * every rule of figure 3.2 at work: a crash with a write in flight; a slow drive behind a longer
 * link; three terms with two entries. holes has one, too: two entries, one of which a drive loses.
 *
 * members and replace are about the rules of 4.1 to 4.3, and have their fixpoints, too. members:
 * of three voters one or two leave, whoever leads. Where one stays, old and new majorities need not
 * meet; where two stay, a leader from outside that counted itself would need but one of them. A
 * crash with a write in flight. replace: a learner takes the place of one of three voters.
 *
 * links and votes are for minutes, full for hours. */
bool scope_named(struct scope *scope, const char *name);

/* Fills config and options from the numbers, once they stand. Returns NULL, or what of the numbers
 * does not go together. */
const char *scope_complete(struct scope *scope);

static inline bool scope_has_members(const struct scope *scope)
{
    return scope->wanted_count > 0;
}

/* The number of a configuration, by its masks; 0: none that a change leads to. */
uint8_t scope_number(const struct scope *scope, const struct raft_config *config);

static inline bool scope_majority(uint32_t voters, uint32_t mask)
{
    return 2 * __builtin_popcount(mask & voters) > __builtin_popcount(voters);
}

/* A majority of the voters; of a joint configuration of the old and of the new. Not quorum.h: the
 * judge does not ask the accused. */
static inline bool scope_quorum(const struct raft_config *config, uint32_t mask)
{
    return scope_majority(config->voters, mask) &&
           (config->voters_new == 0 || scope_majority(config->voters_new, mask));
}

#endif
