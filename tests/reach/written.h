/* Records written by hand, for the tests of the predicates: a small cluster's life, taken by one
 * `struct reach` as a run's would be.
 */
#ifndef KEEL_REACH_WRITTEN_H
#define KEEL_REACH_WRITTEN_H

#include "tests/reach/reach.h"
#include "tests/unit/unit.h"

#include <string.h>

static struct reach reach;
static uint64_t clock_ns;

static inline uint64_t count_of(const char *name)
{
    for (uint32_t i = 0; i < REACH_STATES; i++)
        if (strcmp(reach_state[i].name, name) == 0)
            return reach.count[i];
    CU_FAIL_FATAL("no such state");
    return 0;
}

#define REACHED(name) CU_ASSERT_EQUAL(count_of(name), 1)
#define MISSED(name) CU_ASSERT_EQUAL(count_of(name), 0)

static inline void take(enum reach_kind kind, uint8_t who, uint8_t whom, uint8_t what, uint64_t a,
                        uint64_t b, uint64_t c, uint64_t d, uint64_t e, uint64_t f)
{
    struct reach_record record = {.at_ns = clock_ns += 1000,
                                  .kind = (uint8_t)kind,
                                  .who = who,
                                  .whom = whom,
                                  .what = what,
                                  .value = {a, b, c, d, e, f}};
    reach_take(&reach, &record);
}

/* --- records, as they are written ------------------------------------------------------------- */

static inline void started(uint8_t id, uint64_t term, uint64_t vote)
{
    take(REACH_STARTED, id, 0, 0, term, vote, id, 0, 0, 0);
}

static inline void down(uint8_t id)
{
    take(REACH_DOWN, id, 0, 0, 0, 0, 0, 0, 0, 0);
}

static inline void role(uint8_t id, enum raft_role role, uint64_t term, uint64_t vote,
                        uint64_t leader)
{
    take(REACH_ROLE, id, 0, 0, role, term, vote, leader, 0, 0);
}

static inline void leads(uint8_t id, uint64_t term)
{
    role(id, RAFT_CANDIDATE, term, id, 0);
    role(id, RAFT_LEADER, term, id, id);
}

/* Durable up to its end, but for what `behind` says. */
static inline void log_is(uint8_t id, uint64_t last, uint64_t term, uint64_t behind)
{
    take(REACH_LOG, id, 0, 0, last, term, last - behind, 1, 0, 0);
}

static inline void commits(uint8_t id, uint64_t index)
{
    take(REACH_COMMIT, id, 0, 0, index, 0, 0, 0, 0, 0);
}

static inline void members(uint8_t id, uint64_t index, uint64_t voters, uint64_t voters_new)
{
    take(REACH_MEMBERS, id, 0, 0, index, voters, voters_new, 0, 0, 0);
}

static inline void arrives(uint8_t from, uint8_t to, enum raft_msg_kind what, uint64_t term,
                           uint64_t status, uint64_t count, uint64_t index, uint64_t index_term)
{
    take(REACH_ARRIVED, to, from, (uint8_t)what, term, status, count, index, index_term, 0);
}

static inline void hole(uint8_t id, uint64_t index, bool settles, bool members_lost)
{
    take(REACH_HOLE, id, 0, 0, index, settles, members_lost, 0, 0, 0);
}

static inline void checkpoint(uint8_t id, uint64_t index, uint64_t term, uint64_t own)
{
    take(REACH_CHECKPOINT, id, 0, 0, index, term, own, 0, 0, 0);
}

static inline void chunk(uint8_t from, uint8_t to, uint64_t index, uint64_t bytes)
{
    take(REACH_CHUNK, to, from, 0, index, bytes, 0, 0, 0, 0);
}

static inline void asked(uint8_t client, uint8_t of, enum reach_request what, uint64_t number,
                         bool ordered)
{
    take(REACH_ASKED, of, client, 0, what, 77, number, ordered, 0, 0);
}

static inline void answered(uint8_t client, uint8_t by, enum reach_request what, uint64_t number)
{
    take(REACH_ANSWERED, client, by, 0, what, 77, number, 0, 0, 0);
}

static const uint64_t ALL = 0xe, FIRST = 0xe, OTHERS = 0x32; /* 1 2 3; 1 2 3; 1 4 5 */

/* Five replicas, of which 1, 2, 3 vote, with empty logs. */
static inline void begin(void)
{
    reach_init(&reach);
    for (uint8_t id = 1; id <= 5; id++) {
        started(id, 0, 0);
        members(id, 0, ALL, 0);
    }
}

/* 1 leads term 1, everybody has its no-op. */
static inline void quiet(void)
{
    begin();
    leads(1, 1);
    for (uint8_t id = 1; id <= 3; id++) {
        if (id != 1)
            role(id, RAFT_FOLLOWER, 1, 1, 1);
        log_is(id, 1, 1, 0);
        if (id != 1)
            arrives(id, 1, RAFT_APPEND_REPLY, 1, RAFT_APPEND_OK, 0, 1, 0);
        commits(id, 1);
    }
}

#endif
