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

/* Chunks of a checkpoint that is there already come late, or twice: word[8 + id][0] is the newest
 * that a replica has whole. */
static bool stale_chunk(const struct reach_record *r, struct reach_memory *own)
{
    uint64_t *whole = &own->word[REACH_CLIENT + r->who][0];
    if (r->kind == REACH_CHECKPOINT && r->value[0] > *whole)
        *whole = r->value[0];
    return r->kind == REACH_CHUNK && r->value[0] <= *whole;
}

/* word[id]: [0] index of the checkpoint of which a part is there, [1] the receiver was down since.
 */
REACH_PREDICATE(receiver_resumes)
{
    uint64_t *part = own->word[r->who];
    (void)now, (void)was;
    if (stale_chunk(r, own))
        return false;
    if (r->kind == REACH_DOWN) {
        part[1] = part[0] != 0;
    } else if (r->kind == REACH_CHECKPOINT) {
        bool resumed = part[1] == 1 && r->value[0] == part[0];
        part[0] = part[1] = 0;
        return resumed;
    } else if (r->value[0] != part[0]) {
        part[0] = r->value[0];
        part[1] = 0;
    }
    return false;
}

/* word[id]: [0] index of the checkpoint that id receives, [1] from whom, [2] that one went down. */
REACH_PREDICATE(sender_dies)
{
    uint64_t *part = own->word[r->who];
    (void)now, (void)was;
    if (stale_chunk(r, own))
        return false;
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
    if (part[2] == 1 && !another)
        return false; /* what the dead one had sent before */
    part[0] = r->value[0];
    part[1] = r->whom;
    part[2] = 0;
    return another;
}

/* A client's wish to go on with its session came while nobody led; somebody grants it.
 * word[client]: [0] it waits. */
REACH_PREDICATE(resumed_elsewhere)
{
    uint64_t *waits = &own->word[r->kind == REACH_ASKED ? r->whom : r->who][0];
    (void)was;
    if (r->value[0] != REACH_RESUME)
        return false;
    bool waited = r->kind == REACH_ANSWERED && *waits != 0;
    *waits = r->kind == REACH_ASKED ? *waits != 0 || reach_leader(now) == 0 : 0;
    return waited;
}

/* word[client]: [0] who led when the newest number [1] of session [2] came first. word[32 +
 * client]: [0] another leader that was asked for [1] when that was in the order already. */
REACH_PREDICATE(answered_elsewhere)
{
    uint32_t client = r->kind == REACH_ASKED ? r->whom : r->who;
    uint64_t *asked = own->word[client], *again = own->word[32 + client], number = r->value[2];
    (void)was;
    if (r->value[0] != REACH_SUBMIT)
        return false;
    if (r->kind == REACH_ANSWERED) {
        bool other =
            again[0] != 0 && again[0] == r->whom && r->value[1] == asked[2] && number <= again[1];
        if (other)
            again[0] = 0;
        return other;
    }
    if (!reach_leads(&now->replica[r->who]))
        return false;
    if (r->value[1] != asked[2] || number > asked[1]) {
        asked[0] = r->who;
        asked[1] = number;
        asked[2] = r->value[1];
        again[0] = 0;
    } else if (r->value[3] != 0 && asked[0] != r->who) {
        again[0] = r->who;
        again[1] = number;
    }
    return false;
}

/* word[0]: [0] the leader that was asked last, [1] it died before that was done. */
REACH_PREDICATE(day_meets_death)
{
    uint64_t *day = own->word[0];
    (void)now, (void)was;
    if (r->kind == REACH_DAY_ASKED) {
        day[0] = r->who;
        day[1] = 0;
    } else if (r->kind == REACH_DOWN) {
        day[1] = day[1] == 1 || (day[0] != 0 && day[0] == r->who);
    } else {
        bool met = day[1] == 1;
        day[0] = day[1] = 0;
        return met;
    }
    return false;
}

/* word[8 * from + to]: [0] the handle under which from speaks, [1] the one before. */
REACH_PREDICATE(ended_association)
{
    (void)now, (void)was;
    if (r->kind == REACH_OPENED) {
        uint64_t *handle = own->word[8 * r->who + (r->whom & 7)];
        handle[1] = handle[0];
        handle[0] = r->value[0];
        return false;
    }
    uint64_t *handle = own->word[8 * (r->whom & 7) + r->who];
    if (r->value[5] == 0 || r->value[5] != handle[1])
        return false;
    handle[1] = 0; /* once for each */
    return true;
}
