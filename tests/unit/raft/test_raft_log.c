#include "consensus/raft/raft_log.h"
#include "tests/unit/unit.h"

#include <string.h>

static uint64_t term_at(const struct raft_log *log, uint64_t index)
{
    uint64_t term = UINT64_MAX;
    return raft_log_term(log, index, &term) ? term : UINT64_MAX;
}

/* 1 1 1 4 4 5 5 6 6 6: the leader of figure 3.6. */
static struct raft_log figure(void)
{
    struct raft_log log;
    raft_log_init(&log, 1, 0);
    raft_log_append(&log, 1, 2);
    raft_log_append(&log, 1, 1);
    raft_log_append(&log, 4, 2);
    raft_log_append(&log, 5, 2);
    raft_log_append(&log, 6, 3);
    return log;
}

static void terms_and_runs(void)
{
    struct raft_log log = figure();
    static const uint64_t terms[] = {0, 1, 1, 1, 4, 4, 5, 5, 6, 6, 6};
    for (uint64_t i = 0; i <= 10; i++)
        CU_ASSERT_EQUAL(term_at(&log, i), terms[i]);
    CU_ASSERT_EQUAL(term_at(&log, 11), UINT64_MAX);
    CU_ASSERT_EQUAL(term_at(&log, UINT64_MAX), UINT64_MAX);
    CU_ASSERT_EQUAL(log.run_count, 4);
    CU_ASSERT_EQUAL(raft_log_run_first(&log, 5), 4);
    CU_ASSERT_EQUAL(raft_log_run_last(&log, 4), 5);
    CU_ASSERT_EQUAL(raft_log_run_first(&log, 10), 8);
    CU_ASSERT_EQUAL(raft_log_run_last(&log, 8), 10);
    CU_ASSERT_EQUAL(raft_log_last_term(&log), 6);
}

static void truncation(void)
{
    struct raft_log log = figure();
    raft_log_truncate(&log, 11);
    CU_ASSERT_EQUAL(log.last, 10);
    raft_log_truncate(&log, 7);
    CU_ASSERT_EQUAL(log.last, 6);
    CU_ASSERT_EQUAL(raft_log_last_term(&log), 5);
    raft_log_truncate(&log, 6); /* the first of its run: the run goes */
    CU_ASSERT_EQUAL(log.run_count, 2);
    CU_ASSERT_EQUAL(raft_log_last_term(&log), 4);
    raft_log_truncate(&log, 1);
    CU_ASSERT_EQUAL(log.last, 0);
    CU_ASSERT_EQUAL(log.run_count, 0);
    CU_ASSERT_EQUAL(raft_log_last_term(&log), 0);
    /* What is unused is zero, so that a fingerprint does not depend on the past. */
    struct raft_log fresh;
    raft_log_init(&fresh, 1, 0);
    CU_ASSERT_EQUAL(memcmp(&log, &fresh, sizeof(log)), 0);
}

static void compaction(void)
{
    struct raft_log log = figure();
    raft_log_compact(&log, 5); /* within a run */
    CU_ASSERT_EQUAL(log.first, 5);
    CU_ASSERT_EQUAL(term_at(&log, 3), UINT64_MAX);
    CU_ASSERT_EQUAL(term_at(&log, 4), 4);
    CU_ASSERT_EQUAL(raft_log_run_first(&log, 5), 5);
    raft_log_compact(&log, 3); /* already forgotten: nothing happens */
    CU_ASSERT_EQUAL(log.first, 5);
    raft_log_compact(&log, 8); /* the first of a run */
    CU_ASSERT_EQUAL(log.prev_term, 5);
    CU_ASSERT_EQUAL(log.run_count, 1);
    raft_log_compact(&log, 11); /* everything */
    CU_ASSERT_EQUAL(log.run_count, 0);
    CU_ASSERT_EQUAL(log.last, 10);
    CU_ASSERT_EQUAL(raft_log_last_term(&log), 6);
    CU_ASSERT_EQUAL(term_at(&log, 10), 6);
    raft_log_append(&log, 7, 1);
    CU_ASSERT_EQUAL(term_at(&log, 11), 7);
    struct raft_log fresh;
    raft_log_init(&fresh, 11, 6);
    raft_log_append(&fresh, 7, 1);
    CU_ASSERT_EQUAL(memcmp(&log, &fresh, sizeof(log)), 0);
}

static void last_at_most(void)
{
    struct raft_log log = figure();
    uint64_t found;
    CU_ASSERT(raft_log_last_at_most(&log, 10, 6, &found) && found == 10);
    CU_ASSERT(raft_log_last_at_most(&log, 99, 6, &found) && found == 10);
    CU_ASSERT(raft_log_last_at_most(&log, 9, 6, &found) && found == 9);
    CU_ASSERT(raft_log_last_at_most(&log, 10, 4, &found) && found == 5);
    CU_ASSERT(raft_log_last_at_most(&log, 10, 3, &found) && found == 3);
    CU_ASSERT(raft_log_last_at_most(&log, 2, 3, &found) && found == 2);
    CU_ASSERT(raft_log_last_at_most(&log, 10, 0, &found) && found == 0);
    raft_log_compact(&log, 6);
    CU_ASSERT(raft_log_last_at_most(&log, 10, 4, &found) && found == 5);
    CU_ASSERT_FALSE(raft_log_last_at_most(&log, 10, 3, &found));
    CU_ASSERT_FALSE(raft_log_last_at_most(&log, 4, 9, &found)); /* below all that is known */
}

/* When the run list is full the oldest run is forgotten, if that is committed. */
static void full_run_list(void)
{
    struct raft_log log;
    raft_log_init(&log, 1, 0);
    for (uint64_t term = 1; term <= RAFT_RUNS_MAX; term++)
        raft_log_append(&log, term, 2);
    CU_ASSERT_EQUAL(log.run_count, RAFT_RUNS_MAX);
    CU_ASSERT_TRUE(raft_log_has_room(&log, RAFT_RUNS_MAX, 0)); /* no new run */
    CU_ASSERT_FALSE(raft_log_has_room(&log, RAFT_RUNS_MAX + 1, 1));
    CU_ASSERT_TRUE(raft_log_has_room(&log, RAFT_RUNS_MAX + 1, 2));
    raft_log_append(&log, RAFT_RUNS_MAX + 1, 1);
    CU_ASSERT_EQUAL(log.run_count, RAFT_RUNS_MAX);
    CU_ASSERT_EQUAL(log.first, 3);
    CU_ASSERT_EQUAL(log.prev_term, 1);
    CU_ASSERT_EQUAL(term_at(&log, 1), UINT64_MAX);
    CU_ASSERT_EQUAL(term_at(&log, 2), 1);
    CU_ASSERT_EQUAL(term_at(&log, 3), 2);
    CU_ASSERT_EQUAL(term_at(&log, 2 * RAFT_RUNS_MAX + 1), RAFT_RUNS_MAX + 1);
}

int main(void)
{
    static const struct unit_test tests[] = {
        {"a term for each index, runs of equal terms", terms_and_runs},
        {"truncation within a run, at its start, of all", truncation},
        {"compaction at index 0, first, within a run, last, last + 1 (pitfall 8)", compaction},
        {"the last index whose term is at most another", last_at_most},
        {"a full run list forgets only what is committed", full_run_list},
        {0}};
    return unit_main("raft_log", tests);
}
