/* Rare states of elections and of transfers of leadership. */
#include "tests/reach/reach_internal.h"

/* word[0]: [0] the newest term in which anybody campaigned, [1] who did, [2] it has a leader. */
REACH_PREDICATE(split_vote)
{
    uint64_t *term = own->word[0], role = r->value[0], of = r->value[1];
    (void)now, (void)was;
    if (role == RAFT_LEADER && of == term[0])
        term[2] = 1;
    if (role != RAFT_CANDIDATE || of < term[0])
        return false;
    bool split = of > term[0] && term[2] == 0 && __builtin_popcountll(term[1]) > 1;
    if (of > term[0])
        term[1] = term[2] = 0;
    term[0] = of;
    term[1] |= UINT64_C(1) << r->who;
    return split;
}

/* word[id]: [0] the term, [1] the vote that its last start found. */
REACH_PREDICATE(asked_again)
{
    const struct reach_replica *p = &now->replica[r->who];
    uint64_t *found = own->word[r->who];
    (void)was;
    if (r->kind == REACH_STARTED) {
        found[0] = r->value[0];
        found[1] = r->value[1];
        return false;
    }
    return r->what == RAFT_VOTE && p->up && found[1] != 0 && found[1] != r->whom &&
           r->value[0] == found[0] && p->term == found[0];
}

REACH_PREDICATE(two_leaders)
{
    (void)own;
    bool elected = r->value[0] == RAFT_LEADER && was->role != RAFT_LEADER;
    for (uint8_t id = 1; elected && id <= RAFT_ID_MAX; id++)
        if (id != r->who && reach_leads(&now->replica[id]))
            return true;
    return false;
}

/* word[id]: [0] the term in which that was counted. */
REACH_PREDICATE(deposed_appends)
{
    const struct reach_replica *p = &now->replica[r->who];
    uint8_t newest = reach_leader(now);
    if (!reach_leads(p) || p->last <= was->last || now->replica[newest].term <= p->term ||
        own->word[r->who][0] == p->term)
        return false;
    own->word[r->who][0] = p->term;
    return true;
}

REACH_PREDICATE(dies_voting)
{
    (void)now, (void)r, (void)own;
    return was->hard_waits && was->vote != 0;
}

REACH_PREDICATE(target_dies)
{
    (void)was, (void)own;
    for (uint8_t id = 1; id <= RAFT_ID_MAX; id++) {
        const struct reach_replica *p = &now->replica[id];
        if (reach_leads(p) && p->handover == RAFT_TRANSFER_TOLD && p->handover_to == r->who)
            return true;
    }
    return false;
}

REACH_PREDICATE(late_word)
{
    const struct reach_replica *p = &now->replica[r->who];
    (void)was, (void)own;
    return r->what == RAFT_TIMEOUT_NOW && p->up && r->value[0] < p->term;
}
