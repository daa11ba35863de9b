/* Rare states of entries that a drive has lost. */
#include "tests/reach/reach_internal.h"

REACH_PREDICATE(hole_at_leader)
{
    const struct reach_replica *p = &now->replica[r->who];
    (void)own;
    return p->settling && p->hole != 0 && !was->settling;
}

/* The hole's end is a cut of the log there, and the no-op stands in its place. word[id]: [0] the
 * hole that a leader settles. */
REACH_PREDICATE(hole_given_up)
{
    (void)now, (void)own;
    return was->settling && was->hole != 0 && r->value[0] == was->hole;
}

REACH_PREDICATE(hole_while_leading)
{
    const struct reach_replica *p = &now->replica[r->who];
    (void)own;
    return reach_leads(p) && was->role == RAFT_LEADER && p->hole != 0 && was->hole == 0 &&
           !p->settling;
}

/* An entry that the drive had lost comes back while nobody leads; and a start is no return. */
REACH_PREDICATE(repair_in_election)
{
    const struct reach_replica *p = &now->replica[r->who];
    (void)was, (void)own;
    return r->what == RAFT_FETCH_REPLY && r->value[1] != 0 && p->up && p->hole != 0 &&
           r->value[3] == p->hole && reach_leader(now) == 0 && p->term > 0;
}

REACH_PREDICATE(members_in_hole)
{
    const struct reach_replica *p = &now->replica[r->who];
    (void)own;
    return p->up && p->config_lost && !was->config_lost;
}
