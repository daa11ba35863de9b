/* Rare states of logs, commits, and checkpoints in a log's place. */
#include "tests/reach/reach_internal.h"

/* A new leader's last entry, of an earlier term, is durable on a quorum, its no-op is not yet:
 * committing it by counting would be wrong (3.6.2). word[0]: [0] the leader's term, [1] its last
 * index when it won, [2] who holds that and no more. */
REACH_PREDICATE(old_term_on_quorum)
{
    uint64_t *term = own->word[0];
    if (r->kind == REACH_ROLE) {
        if (r->value[0] != RAFT_LEADER || was->role == RAFT_LEADER || r->value[1] < term[0])
            return false;
        term[0] = r->value[1]; /* its no-op is there: it was appended in the same step */
        term[1] = now->replica[r->who].last - 1;
        term[2] = UINT64_C(1) << r->who;
        return false;
    }
    const struct reach_replica *leader = &now->replica[r->who];
    uint64_t before = term[2], match = r->value[3];
    if (r->what != RAFT_APPEND_REPLY || r->value[1] != RAFT_APPEND_OK || !reach_leads(leader) ||
        r->value[0] != term[0] || leader->term != term[0] || leader->commit >= term[1])
        return false;
    if (match > term[1])
        term[1] = 0; /* the no-op is on its way to a quorum */
    if (match != term[1] || term[1] == 0)
        return false;
    term[2] |= UINT64_C(1) << r->whom;
    return !reach_majority(leader->voters, (uint32_t)before) &&
           reach_majority(leader->voters, (uint32_t)term[2]);
}

/* word[id]: [0] the newest term that it led. */
REACH_PREDICATE(own_entries_cut)
{
    (void)now, (void)was;
    if (r->kind == REACH_ROLE) {
        if (r->value[0] == RAFT_LEADER)
            own->word[r->who][0] = r->value[1];
        return false;
    }
    return own->word[r->who][0] != 0 && r->value[2] == own->word[r->who][0];
}

/* word[0]: [0] the commit index that only a dead leader knew of. */
REACH_PREDICATE(commit_of_the_dead)
{
    uint64_t *known = own->word[0];
    if (r->kind == REACH_DOWN) {
        for (uint8_t id = 1; id <= RAFT_ID_MAX; id++)
            if (id != r->who && now->replica[id].commit >= was->commit)
                return false;
        if (was->role == RAFT_LEADER)
            known[0] = was->commit;
        return false;
    }
    bool again = known[0] != 0 && r->value[0] >= known[0] && reach_leads(&now->replica[r->who]);
    if (known[0] != 0 && r->value[0] >= known[0])
        known[0] = 0;
    return again;
}

REACH_PREDICATE(dies_behind_commit)
{
    (void)now, (void)r, (void)own;
    return was->role == RAFT_LEADER && was->durable < was->commit && was->hole == 0;
}

REACH_PREDICATE(late_append)
{
    const struct reach_replica *p = &now->replica[r->who];
    (void)was, (void)own;
    return r->what == RAFT_APPEND && p->up && r->value[2] > 0 && r->value[0] < p->term &&
           r->value[3] < p->commit;
}

REACH_PREDICATE(checkpoint_overtaken)
{
    const struct reach_replica *p = &now->replica[r->who];
    (void)was, (void)own;
    return p->up && r->value[1] == r->value[2] && p->last > r->value[0] && p->commit < r->value[0];
}

REACH_PREDICATE(checkpoint_conflict)
{
    (void)now, (void)was, (void)own;
    return r->value[2] != 0 && r->value[1] != r->value[2];
}

REACH_PREDICATE(installed_by_start)
{
    (void)now, (void)was, (void)own;
    return r->value[3] != 0;
}

/* word[id]: [0] the start in which it was counted. */
REACH_PREDICATE(lapped)
{
    const struct reach_replica *p = &now->replica[r->who];
    uint8_t leader = reach_leader(now);
    (void)was;
    if (!p->up || r->what != RAFT_APPEND || leader == 0 || r->whom != leader ||
        now->replica[leader].first <= p->last + 1 || own->word[r->who][0] == p->starts)
        return false;
    own->word[r->who][0] = p->starts;
    return true;
}

/* word[id]: [0] the start of the peer in which it was counted. */
REACH_PREDICATE(fed_from_drive)
{
    uint64_t starts = now->replica[r->whom & 7].starts;
    (void)was;
    if (!reach_leads(&now->replica[r->who]) || own->word[r->whom][0] == starts)
        return false;
    own->word[r->whom][0] = starts;
    return true;
}

REACH_PREDICATE(no_room)
{
    (void)was, (void)own;
    return r->value[0] != 0 && reach_leads(&now->replica[r->who]);
}
