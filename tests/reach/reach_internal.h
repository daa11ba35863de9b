/* The predicates' own: what they share, and where they lie. */
#ifndef KEEL_TESTS_REACH_INTERNAL_H
#define KEEL_TESTS_REACH_INTERNAL_H

#include "tests/reach/reach.h"

#define REACH_BIT(kind) (UINT32_C(1) << (kind))

#define REACH_PREDICATE(name)                                                                      \
    bool reach_##name(const struct reach_picture *now, const struct reach_replica *was,            \
                      const struct reach_record *r, struct reach_memory *own)

/* Does it lead, as far as it knows? */
static inline bool reach_leads(const struct reach_replica *replica)
{
    return replica->up && replica->role == RAFT_LEADER;
}

/* A mask of members of either kind has a majority of `voters`. */
static inline bool reach_majority(uint32_t voters, uint32_t mask)
{
    return __builtin_popcount(voters & mask) > __builtin_popcount(voters) / 2;
}

static inline uint32_t reach_members(const struct reach_replica *replica)
{
    return replica->voters | replica->voters_new | replica->learners;
}

/* The replica that leads the highest term, 0: none leads. */
uint8_t reach_leader(const struct reach_picture *now);
/* Replicas whose vote of that term the candidate has, itself too. */
uint32_t reach_votes(const struct reach_picture *now, uint8_t candidate, uint64_t term);

/* reach_elect.c */
REACH_PREDICATE(split_vote);
REACH_PREDICATE(asked_again);
REACH_PREDICATE(two_leaders);
REACH_PREDICATE(deposed_appends);
REACH_PREDICATE(dies_voting);
REACH_PREDICATE(target_dies);
REACH_PREDICATE(late_word);
/* reach_log.c */
REACH_PREDICATE(old_term_on_quorum);
REACH_PREDICATE(own_entries_cut);
REACH_PREDICATE(commit_of_the_dead);
REACH_PREDICATE(dies_behind_commit);
REACH_PREDICATE(late_append);
REACH_PREDICATE(checkpoint_overtaken);
REACH_PREDICATE(checkpoint_conflict);
REACH_PREDICATE(installed_by_start);
REACH_PREDICATE(lapped);
REACH_PREDICATE(fed_from_drive);
REACH_PREDICATE(no_room);
/* reach_members.c */
REACH_PREDICATE(joint_left_open);
REACH_PREDICATE(joint_undone);
REACH_PREDICATE(change_restarted);
REACH_PREDICATE(removal_committed);
REACH_PREDICATE(removed_campaigns);
REACH_PREDICATE(half_majority);
REACH_PREDICATE(wiped_returns);
/* reach_holes.c */
REACH_PREDICATE(hole_at_leader);
REACH_PREDICATE(hole_given_up);
REACH_PREDICATE(hole_while_leading);
REACH_PREDICATE(repair_in_election);
REACH_PREDICATE(members_in_hole);
/* reach_drive.c: drives and clients */
REACH_PREDICATE(wrap_in_recovery);
REACH_PREDICATE(torn_at_seam);
REACH_PREDICATE(later_page_first);
REACH_PREDICATE(zeroing_cut);
REACH_PREDICATE(receiver_resumes);
REACH_PREDICATE(sender_dies);
REACH_PREDICATE(resumed_elsewhere);
REACH_PREDICATE(answered_elsewhere);
REACH_PREDICATE(day_meets_death);
REACH_PREDICATE(ended_association);

#endif
