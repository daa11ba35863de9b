/* Rare states of changes of members. */
#include "tests/reach/reach_internal.h"

/* A leader with a joint configuration is one no more; the next finds that very one. word[id]: [0]
 * its index there, while it leads, or when it last did. */
REACH_PREDICATE(joint_left_open)
{
    const struct reach_replica *p = &now->replica[r->who];
    uint64_t *open = own->word[0];
    bool led = was->role == RAFT_LEADER;
    if (led && was->voters_new != 0 && (r->kind == REACH_DOWN || p->role != RAFT_LEADER)) {
        open[0] = was->config;
        open[1] = r->who;
        return false;
    }
    if (r->kind != REACH_ROLE || led || p->role != RAFT_LEADER || open[0] == 0 || open[1] == r->who)
        return false;
    bool found = p->voters_new != 0 && p->config == open[0];
    open[0] = 0;
    return found;
}

/* Not by a start, which reads an older one where a page is lost. */
REACH_PREDICATE(joint_undone)
{
    (void)now, (void)own;
    return was->voters_new != 0 && r->value[0] < was->config;
}

/* word[id]: [0] the start whose configuration is [1], by its index. */
REACH_PREDICATE(change_restarted)
{
    const struct reach_replica *p = &now->replica[r->who];
    uint64_t *found = own->word[r->who];
    if (found[0] != p->starts) {
        found[0] = p->starts;
        found[1] = r->value[0];
        return false;
    }
    return was->config == found[1] && r->value[0] < found[1];
}

/* word[id]: [0] the configuration for which it was counted. */
REACH_PREDICATE(removal_committed)
{
    const struct reach_replica *p = &now->replica[r->who];
    uint32_t after = p->voters_new != 0 ? p->voters_new : p->voters;
    (void)was;
    if (!reach_leads(p) || (after >> r->who & 1) != 0 || p->config == 0 || p->commit < p->config ||
        own->word[r->who][0] == p->config)
        return false;
    own->word[r->who][0] = p->config;
    return true;
}

/* word[8 * id + who]: [0] the configuration without id for which it was counted at who. */
REACH_PREDICATE(removed_campaigns)
{
    const struct reach_replica *p = &now->replica[r->who], *from = &now->replica[r->whom & 7];
    (void)was;
    if ((r->what != RAFT_PREVOTE && r->what != RAFT_VOTE) || !p->up ||
        (reach_members(p) >> r->whom & 1) != 0 || p->commit < p->config ||
        ((from->voters | from->voters_new) >> r->whom & 1) == 0 ||
        own->word[8 * (r->whom & 7) + r->who][0] == p->config)
        return false;
    own->word[8 * (r->whom & 7) + r->who][0] = p->config;
    return true;
}

/* A candidate of a joint configuration is given up with a majority of one half alone. */
REACH_PREDICATE(half_majority)
{
    uint32_t votes = reach_votes(now, r->who, was->term) | UINT32_C(1) << r->who;
    (void)own;
    if (was->role != RAFT_CANDIDATE || was->voters_new == 0 ||
        (r->kind == REACH_ROLE && r->value[0] == RAFT_LEADER))
        return false;
    return reach_majority(was->voters, votes) != reach_majority(was->voters_new, votes);
}

REACH_PREDICATE(wiped_returns)
{
    (void)now, (void)own;
    return was->incarnation != 0 && was->incarnation != r->value[2];
}
