/* Rare states of drives, of checkpoints on their way, and of clients: the simulator's. */
#include "tests/reach/reach_internal.h"

REACH_PREDICATE(wrap_in_recovery)
{
    uint64_t first = r->value[0], next = r->value[1], slots = r->value[2];
    (void)now, (void)was, (void)own;
    return slots != 0 && next > first && first / slots != (next - 1) / slots && r->value[3] != 0;
}

REACH_PREDICATE(torn_at_seam)
{
    uint64_t slot = r->value[1] == 0 ? 1 : r->value[0] % r->value[1];
    (void)now, (void)was, (void)own;
    return r->value[0] >= r->value[1] && (slot == 0 || slot == r->value[1] - 1);
}

REACH_PREDICATE(later_page_first)
{
    (void)now, (void)was, (void)own, (void)r;
    return true;
}

REACH_PREDICATE(zeroing_cut)
{
    (void)now, (void)was, (void)own, (void)r;
    return true;
}

/* word[id]: [0] index, [1] bytes of a checkpoint of which a part is there, [2] it was down since.
 */
REACH_PREDICATE(receiver_resumes)
{
    uint64_t *part = own->word[r->who];
    (void)now, (void)was;
    if (r->kind == REACH_DOWN) {
        part[2] = part[0] != 0;
        return false;
    }
    if (r->kind == REACH_CHECKPOINT) {
        bool resumed = part[2] == 1 && r->value[0] == part[0];
        part[0] = part[1] = part[2] = 0;
        return resumed;
    }
    if (r->value[0] != part[0])
        part[2] = 0;
    part[0] = r->value[0];
    part[1] = r->value[1];
    return false;
}

/* word[id]: [0] index of the checkpoint that id receives, [1] from whom, [2] that one went down. */
REACH_PREDICATE(sender_dies)
{
    uint64_t *part = own->word[r->who];
    (void)now, (void)was;
    if (r->kind == REACH_DOWN) {
        for (uint32_t id = 1; id <= RAFT_ID_MAX; id++)
            if (own->word[id][0] != 0 && own->word[id][1] == r->who)
                own->word[id][2] = 1;
        return false;
    }
    if (r->kind == REACH_CHECKPOINT) {
        part[0] = part[1] = part[2] = 0;
        return false;
    }
    bool another = part[2] == 1 && r->whom != part[1];
    part[0] = r->value[0];
    part[1] = r->whom;
    part[2] = 0;
    return another;
}

/* A client's wish to go on with its session came while nobody led; somebody grants it.
 * word[client]: [0] it waits. */
REACH_PREDICATE(resumed_elsewhere)
{
    (void)was;
    if (r->kind == REACH_ASKED) {
        if (r->what == REACH_RESUME && reach_leader(now) == 0)
            own->word[r->whom][0] = 1;
        return false;
    }
    bool waited = r->value[0] == REACH_RESUME && own->word[r->who][0] != 0;
    if (r->value[0] == REACH_RESUME)
        own->word[r->who][0] = 0;
    return waited;
}

/* What one leader had sequenced is asked for again and answered by another. word[client]: [0] who
 * led when the newest number [1] of the client came. */
REACH_PREDICATE(answered_elsewhere)
{
    uint64_t *asked = own->word[r->kind == REACH_ASKED ? r->whom : r->who];
    (void)was;
    if (r->kind == REACH_ASKED) {
        if (r->what == REACH_SUBMIT && reach_leads(&now->replica[r->who]) &&
            r->value[1] > asked[1]) {
            asked[0] = r->who;
            asked[1] = r->value[1];
        }
        return false;
    }
    return r->value[0] == REACH_SUBMIT && r->value[3] != 0 && asked[0] != 0 &&
           asked[0] != r->whom && r->value[2] <= asked[1];
}

/* word[0]: [0] days asked for, [1] by which leader, [2] it died before that was done. */
REACH_PREDICATE(day_meets_death)
{
    uint64_t *day = own->word[0];
    (void)now, (void)was;
    if (r->kind == REACH_DAY) {
        day[0] = r->value[0];
        day[1] = r->who;
        day[2] = 0;
    } else if (r->kind == REACH_DOWN) {
        day[2] = day[2] == 1 || (day[0] != 0 && day[1] == r->who);
    } else if (r->value[0] >= day[0] && day[0] != 0) {
        bool met = day[2] == 1;
        day[0] = day[1] = day[2] = 0;
        return met;
    }
    return false;
}

REACH_PREDICATE(window_edge)
{
    (void)now, (void)was, (void)own;
    return r->value[0] >= r->value[1] / 2;
}
