/* Each predicate over a small stream of records written by hand: one that reaches its state, and
 * one that just misses it. The table's other states may be reached by the way; the near miss is of
 * the one.
 */
#include "tests/reach/written.h"

static void nothing_rare(void)
{
    quiet();
    for (uint64_t index = 2; index < 20; index++) {
        log_is(1, index, 1, 1);
        for (uint8_t id = 2; id <= 3; id++) {
            arrives(1, id, RAFT_APPEND, 1, 0, 1, index - 1, 1);
            log_is(id, index, 1, 0);
            arrives(id, 1, RAFT_APPEND_REPLY, 1, RAFT_APPEND_OK, 0, index, 0);
            commits(id, index - 1);
        }
        log_is(1, index, 1, 0);
        commits(1, index);
    }
    for (uint32_t i = 0; i < REACH_STATES; i++)
        CU_ASSERT_EQUAL(reach.count[i], 0);
}

/* --- elections -------------------------------------------------------------------------------- */

static void split_vote(void)
{
    begin();
    role(1, RAFT_CANDIDATE, 1, 1, 0);
    role(2, RAFT_CANDIDATE, 1, 2, 0);
    MISSED("split-vote"); /* one of them may win yet */
    role(2, RAFT_CANDIDATE, 2, 2, 0);
    REACHED("split-vote");
    begin(); /* one campaigns twice; then one of two wins */
    role(1, RAFT_CANDIDATE, 1, 1, 0);
    role(1, RAFT_CANDIDATE, 2, 1, 0);
    role(2, RAFT_CANDIDATE, 2, 2, 0);
    role(1, RAFT_LEADER, 2, 1, 1);
    role(3, RAFT_CANDIDATE, 3, 3, 0);
    MISSED("split-vote");
}

static void asked_again(void)
{
    begin();
    started(2, 4, 1);
    arrives(1, 2, RAFT_VOTE, 4, 0, 0, 0, 0); /* the candidate itself */
    arrives(3, 2, RAFT_VOTE, 5, 0, 0, 0, 0); /* another term */
    MISSED("asked-again");
    arrives(3, 2, RAFT_VOTE, 4, 0, 0, 0, 0);
    REACHED("asked-again");
    begin(); /* its vote is of this life */
    role(2, RAFT_FOLLOWER, 4, 1, 0);
    arrives(3, 2, RAFT_VOTE, 4, 0, 0, 0, 0);
    MISSED("asked-again");
}

static void two_leaders(void)
{
    quiet();
    leads(2, 2);
    REACHED("two-leaders");
    quiet(); /* the first has stepped down; and the second was dead */
    role(1, RAFT_FOLLOWER, 1, 1, 0);
    leads(2, 2);
    down(2);
    leads(3, 3);
    MISSED("two-leaders");
}

static void deposed_appends(void)
{
    quiet();
    leads(2, 2);
    log_is(2, 2, 2, 0); /* the newest's own */
    log_is(1, 1, 1, 1); /* no growth */
    MISSED("deposed-appends");
    log_is(1, 2, 1, 0);
    log_is(1, 3, 1, 0);
    REACHED("deposed-appends");
}

static void dies_voting(void)
{
    begin();
    role(2, RAFT_FOLLOWER, 1, 1, 0);
    take(REACH_LOG, 2, 0, 0, 0, 0, 0, 1, true, 0);
    take(REACH_LOG, 2, 0, 0, 0, 0, 0, 1, false, 0);
    down(2); /* the vote got there */
    role(3, RAFT_FOLLOWER, 2, 0, 0);
    take(REACH_LOG, 3, 0, 0, 0, 0, 0, 1, true, 0);
    down(3); /* a term alone */
    MISSED("dies-voting");
    role(1, RAFT_FOLLOWER, 2, 2, 0);
    take(REACH_LOG, 1, 0, 0, 0, 0, 0, 1, true, 0);
    down(1);
    REACHED("dies-voting");
}

static void target_dies(void)
{
    quiet();
    take(REACH_HANDOVER, 1, 0, 0, RAFT_TRANSFER_WAITING, 2, 0, 0, 0, 0);
    down(2);
    started(2, 1, 1);
    take(REACH_HANDOVER, 1, 0, 0, RAFT_TRANSFER_TOLD, 2, 0, 0, 0, 0);
    down(3);
    MISSED("target-dies");
    down(2);
    REACHED("target-dies");
}

static void late_word(void)
{
    quiet();
    arrives(1, 2, RAFT_TIMEOUT_NOW, 1, 0, 0, 1, 1);
    MISSED("late-word");
    leads(2, 2);
    arrives(1, 2, RAFT_TIMEOUT_NOW, 1, 0, 0, 1, 1);
    REACHED("late-word");
}

/* --- logs ------------------------------------------------------------------------------------- */

/* 2 leads term 2 with an entry of term 1 that nobody knows to be committed. */
static void inherits(void)
{
    begin();
    leads(1, 1);
    log_is(1, 2, 1, 0);
    log_is(2, 3, 2, 0);
    leads(2, 2);
}

static void old_term_on_quorum(void)
{
    inherits();
    arrives(3, 2, RAFT_APPEND_REPLY, 2, RAFT_APPEND_OK, 0, 1, 0);
    arrives(3, 2, RAFT_APPEND_REPLY, 2, RAFT_APPEND_MISSING, 0, 2, 0);
    arrives(3, 2, RAFT_APPEND_REPLY, 1, RAFT_APPEND_OK, 0, 2, 0);
    MISSED("old-term-on-quorum");
    arrives(3, 2, RAFT_APPEND_REPLY, 2, RAFT_APPEND_OK, 0, 2, 0);
    REACHED("old-term-on-quorum");
    inherits(); /* with the no-op at once */
    arrives(3, 2, RAFT_APPEND_REPLY, 2, RAFT_APPEND_OK, 0, 3, 0);
    MISSED("old-term-on-quorum");
}

static void own_entries_cut(void)
{
    quiet();
    role(1, RAFT_FOLLOWER, 2, 0, 2);
    take(REACH_CUT, 2, 0, 0, 1, 1, 1, 1, 1, 0); /* another's */
    take(REACH_CUT, 1, 0, 0, 1, 1, 0, 1, 1, 0); /* older than its office */
    MISSED("own-entries-cut");
    take(REACH_CUT, 1, 0, 0, 1, 1, 1, 1, 1, 0);
    REACHED("own-entries-cut");
}

static void commit_of_the_dead(void)
{
    quiet();
    log_is(1, 2, 1, 0);
    log_is(2, 2, 1, 0);
    commits(1, 2);
    down(1);
    leads(2, 2);
    commits(2, 1);
    MISSED("commit-of-the-dead");
    commits(2, 3);
    REACHED("commit-of-the-dead");
    quiet(); /* another knew; and who knew was no leader */
    commits(2, 2);
    commits(1, 2);
    down(1);
    commits(3, 3);
    down(3);
    leads(2, 2);
    commits(2, 3);
    MISSED("commit-of-the-dead");
}

static void dies_behind_commit(void)
{
    quiet();
    log_is(1, 3, 1, 1);
    commits(1, 2);
    down(1);
    MISSED("dies-behind-commit");
    quiet();
    log_is(1, 3, 1, 2);
    commits(1, 2);
    down(1);
    REACHED("dies-behind-commit");
}

static void late_append(void)
{
    quiet();
    role(2, RAFT_FOLLOWER, 2, 3, 3);
    commits(2, 5);
    arrives(1, 2, RAFT_APPEND, 2, 0, 1, 3, 1); /* of the term */
    arrives(1, 2, RAFT_APPEND, 1, 0, 0, 3, 1); /* a heartbeat */
    arrives(1, 2, RAFT_APPEND, 1, 0, 1, 5, 1); /* above */
    MISSED("late-append");
    arrives(1, 2, RAFT_APPEND, 1, 0, 1, 4, 1);
    REACHED("late-append");
}

static void fed_from_drive(void)
{
    quiet();
    take(REACH_REREAD, 2, 3, 0, 1, 0, 0, 0, 0, 0); /* no leader */
    MISSED("fed-from-drive");
    take(REACH_REREAD, 1, 3, 0, 1, 0, 0, 0, 0, 0);
    take(REACH_REREAD, 1, 3, 0, 2, 0, 0, 0, 0, 0);
    REACHED("fed-from-drive");
}

static void no_room(void)
{
    quiet();
    take(REACH_ROOM, 1, 0, 0, 0, 0, 0, 0, 0, 0);
    take(REACH_ROOM, 2, 0, 0, 1, 0, 0, 0, 0, 0);
    MISSED("no-room");
    take(REACH_ROOM, 1, 0, 0, 1, 0, 0, 0, 0, 0);
    REACHED("no-room");
}

static void lapped(void)
{
    quiet();
    take(REACH_LOG, 1, 0, 0, 9, 1, 9, 2, 0, 0);
    arrives(1, 3, RAFT_APPEND, 1, 0, 0, 1, 1); /* the next is there still */
    MISSED("lapped");
    take(REACH_LOG, 1, 0, 0, 9, 1, 9, 3, 0, 0);
    arrives(1, 3, RAFT_APPEND, 1, 0, 0, 9, 1);
    arrives(1, 3, RAFT_APPEND, 1, 0, 0, 9, 1);
    REACHED("lapped");
}

/* --- members ---------------------------------------------------------------------------------- */

static void joint_left_open(void)
{
    quiet();
    members(1, 2, FIRST, OTHERS);
    members(2, 2, FIRST, OTHERS);
    down(1);
    MISSED("joint-left-open");
    leads(2, 2);
    REACHED("joint-left-open");
    quiet(); /* completed before; and the next does not know of it */
    members(1, 2, FIRST, OTHERS);
    members(1, 3, OTHERS, 0);
    down(1);
    leads(2, 2);
    members(2, 4, FIRST, OTHERS);
    down(2);
    leads(3, 3);
    MISSED("joint-left-open");
}

static void joint_undone(void)
{
    quiet();
    members(1, 2, FIRST, OTHERS);
    members(1, 3, OTHERS, 0);
    members(1, 2, FIRST, OTHERS); /* what came after it is undone */
    MISSED("joint-undone");
    members(1, 0, FIRST, 0);
    REACHED("joint-undone");
}

static void change_restarted(void)
{
    quiet();
    members(2, 5, FIRST, OTHERS);
    members(2, 0, FIRST, 0); /* undone without a restart */
    MISSED("change-restarted");
    members(2, 6, FIRST, OTHERS);
    down(2);
    started(2, 1, 1);
    members(2, 6, FIRST, OTHERS);
    MISSED("change-restarted");
    members(2, 0, FIRST, 0);
    REACHED("change-restarted");
}

static void removal_committed(void)
{
    quiet();
    members(1, 2, FIRST, 0xc);
    commits(1, 1);
    members(2, 2, FIRST, 0x8);
    commits(2, 2); /* no leader */
    MISSED("removal-committed");
    commits(1, 2);
    commits(1, 3);
    REACHED("removal-committed");
}

static void removed_campaigns(void)
{
    quiet();
    members(2, 2, 0xc, 0);
    arrives(1, 2, RAFT_VOTE, 2, 0, 0, 1, 1); /* not committed there */
    commits(2, 2);
    arrives(3, 2, RAFT_VOTE, 2, 0, 0, 1, 1); /* a member */
    arrives(1, 2, RAFT_APPEND, 1, 0, 0, 1, 1);
    MISSED("removed-campaigns");
    arrives(1, 2, RAFT_PREVOTE, 2, 0, 0, 1, 1);
    arrives(1, 2, RAFT_PREVOTE, 2, 0, 0, 1, 1);
    REACHED("removed-campaigns");
}

static void half_majority(void)
{
    quiet();
    members(2, 2, FIRST, OTHERS);
    role(2, RAFT_CANDIDATE, 2, 2, 0);
    role(2, RAFT_CANDIDATE, 3, 2, 0); /* its own vote alone is no majority of either */
    MISSED("half-majority");
    role(3, RAFT_FOLLOWER, 3, 2, 0);
    role(2, RAFT_CANDIDATE, 4, 2, 0);
    REACHED("half-majority");
    quiet();
    members(2, 2, FIRST, OTHERS);
    role(2, RAFT_CANDIDATE, 2, 2, 0);
    role(3, RAFT_FOLLOWER, 2, 2, 0);
    role(4, RAFT_FOLLOWER, 2, 2, 0);
    role(5, RAFT_FOLLOWER, 2, 2, 0);
    role(2, RAFT_LEADER, 2, 2, 2);
    MISSED("half-majority");
}

static void wiped_returns(void)
{
    quiet();
    down(2);
    started(2, 1, 1);
    MISSED("wiped-returns");
    take(REACH_STARTED, 2, 0, 0, 0, 0, 12, 0, 0, 0);
    REACHED("wiped-returns");
}

/* --- holes ------------------------------------------------------------------------------------ */

static void hole_at_leader(void)
{
    quiet();
    hole(2, 1, false, false); /* a follower's */
    leads(3, 2);
    MISSED("hole-at-leader");
    hole(2, 1, true, false);
    leads(2, 3);
    REACHED("hole-at-leader");
}

static void hole_given_up(void)
{
    quiet();
    hole(2, 3, false, false);
    take(REACH_CUT, 2, 0, 0, 3, 4, 1, 1, 4, 0); /* a follower's log gives way to its leader's */
    hole(2, 3, true, false);
    take(REACH_CUT, 2, 0, 0, 4, 4, 1, 1, 4, 0); /* behind it */
    MISSED("hole-given-up");
    take(REACH_CUT, 2, 0, 0, 3, 4, 1, 1, 4, 0);
    REACHED("hole-given-up");
}

static void hole_while_leading(void)
{
    quiet();
    hole(2, 1, false, false);
    leads(2, 2);
    hole(2, 1, true, false); /* it had it before */
    MISSED("hole-while-leading");
    hole(1, 1, false, false);
    REACHED("hole-while-leading");
}

static void repair_in_election(void)
{
    quiet();
    hole(2, 1, false, false);
    arrives(3, 2, RAFT_FETCH_REPLY, 1, 1, 1, 1, 1); /* 1 leads */
    down(1);
    arrives(3, 2, RAFT_FETCH_REPLY, 1, 0, 0, 1, 1); /* denied */
    arrives(3, 2, RAFT_FETCH_REPLY, 1, 1, 1, 2, 1); /* another entry */
    MISSED("repair-in-election");
    arrives(3, 2, RAFT_FETCH_REPLY, 1, 1, 1, 1, 1);
    REACHED("repair-in-election");
}

static void members_in_hole(void)
{
    quiet();
    hole(2, 1, false, false);
    MISSED("members-in-hole");
    hole(2, 1, false, true);
    hole(2, 2, false, true);
    REACHED("members-in-hole");
}

static void table_is_whole(void)
{
    for (uint32_t i = 0; i < REACH_STATES; i++) {
        CU_ASSERT_PTR_NOT_NULL_FATAL(reach_state[i].name);
        CU_ASSERT_PTR_NOT_NULL(reach_state[i].predicate);
        CU_ASSERT(reach_state[i].kinds != 0);
        for (uint32_t j = 0; j < i; j++)
            CU_ASSERT_NOT_EQUAL(strcmp(reach_state[i].name, reach_state[j].name), 0);
    }
    CU_ASSERT(REACH_KINDS <= 32);
}

int main(void)
{
    static const struct unit_test tests[] = {
        {"forty states, each with a name of its own", table_is_whole},
        {"a quiet run reaches none", nothing_rare},
        {"split-vote", split_vote},
        {"asked-again", asked_again},
        {"two-leaders", two_leaders},
        {"deposed-appends", deposed_appends},
        {"dies-voting", dies_voting},
        {"target-dies", target_dies},
        {"late-word", late_word},
        {"old-term-on-quorum", old_term_on_quorum},
        {"own-entries-cut", own_entries_cut},
        {"commit-of-the-dead", commit_of_the_dead},
        {"dies-behind-commit", dies_behind_commit},
        {"late-append", late_append},
        {"fed-from-drive", fed_from_drive},
        {"no-room", no_room},
        {"lapped", lapped},
        {"joint-left-open", joint_left_open},
        {"joint-undone", joint_undone},
        {"change-restarted", change_restarted},
        {"removal-committed", removal_committed},
        {"removed-campaigns", removed_campaigns},
        {"half-majority", half_majority},
        {"wiped-returns", wiped_returns},
        {"hole-at-leader", hole_at_leader},
        {"hole-given-up", hole_given_up},
        {"hole-while-leading", hole_while_leading},
        {"repair-in-election", repair_in_election},
        {"members-in-hole", members_in_hole},
        {0}};
    return unit_main("reach", tests);
}
