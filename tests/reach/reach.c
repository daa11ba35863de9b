/* The table, and the picture that records draw. */
#include "tests/reach/reach_internal.h"

#include "consensus/ensure.h"

#include <string.h>

void reach_init(struct reach *reach)
{
    memset(reach, 0, sizeof(*reach));
}

void reach_another(struct reach *reach)
{
    memset(&reach->picture, 0, sizeof(reach->picture));
    memset(reach->memory, 0, sizeof(reach->memory));
    memset(reach->seen, 0, sizeof(reach->seen));
}

uint8_t reach_leader(const struct reach_picture *now)
{
    uint8_t found = 0;
    for (uint8_t id = 1; id <= RAFT_ID_MAX; id++)
        if (reach_leads(&now->replica[id]) &&
            (found == 0 || now->replica[id].term > now->replica[found].term))
            found = id;
    return found;
}

uint32_t reach_votes(const struct reach_picture *now, uint8_t candidate, uint64_t term)
{
    uint32_t mask = 0;
    for (uint8_t id = 1; id <= RAFT_ID_MAX; id++)
        if (now->replica[id].term == term && now->replica[id].vote == candidate)
            mask |= UINT32_C(1) << id;
    return mask;
}

/* What a record says about its replica. */
static void draw(struct reach_replica *p, const struct reach_record *r)
{
    const uint64_t *v = r->value;
    switch ((enum reach_kind)r->kind) {
    case REACH_STARTED:
        *p = (struct reach_replica){.up = true,
                                    .term = v[0],
                                    .vote = (uint8_t)v[1],
                                    .incarnation = v[2],
                                    .starts = p->starts + 1};
        return;
    case REACH_DOWN:
        p->up = false;
        return;
    case REACH_ROLE:
        p->role = (uint8_t)v[0];
        p->term = v[1];
        p->vote = (uint8_t)v[2];
        p->leader = (uint8_t)v[3];
        return;
    case REACH_LOG:
        p->last = v[0];
        p->last_term = v[1];
        p->durable = v[2];
        p->first = v[3];
        p->hard_waits = v[4] != 0;
        return;
    case REACH_COMMIT:
        p->commit = v[0];
        return;
    case REACH_MEMBERS:
        p->config = v[0];
        p->voters = (uint32_t)v[1];
        p->voters_new = (uint32_t)v[2];
        p->learners = (uint32_t)v[3];
        return;
    case REACH_HOLE:
        p->hole = v[0];
        p->settling = v[1] != 0;
        p->config_lost = v[2] != 0;
        return;
    case REACH_HANDOVER:
        p->handover = (uint8_t)v[0];
        p->handover_to = (uint8_t)v[1];
        return;
    case REACH_ROOM:
        p->short_of_room = v[0] != 0;
        return;
    case REACH_CUT: /* the LOG record that follows shows what is left */
    case REACH_CHECKPOINT:
    case REACH_REREAD:
    case REACH_ARRIVED:
    case REACH_RECOVERED:
    case REACH_TORN:
    case REACH_AHEAD:
    case REACH_ZEROING:
    case REACH_CHUNK:
    case REACH_ASKED:
    case REACH_ANSWERED:
    case REACH_DAY_ASKED:
    case REACH_DAY_BEGUN:
    case REACH_OPENED:
    case REACH_KINDS:
        return;
    }
}

void reach_take(struct reach *reach, const struct reach_record *record)
{
    bool replica = record->who >= 1 && record->who <= RAFT_ID_MAX;
    struct reach_replica nobody = {0};
    struct reach_replica *place = replica ? &reach->picture.replica[record->who] : &nobody;
    const struct reach_replica was = *place;
    ENSURE(record->kind < REACH_KINDS && record->who < REACH_ENDS && record->whom < REACH_ENDS);
    draw(place, record);
    for (uint32_t i = 0; i < REACH_STATES; i++) {
        const struct reach_state *state = &reach_state[i];
        if ((state->kinds & REACH_BIT(record->kind)) == 0 ||
            !state->predicate(&reach->picture, &was, record, &reach->memory[i]))
            continue;
        if (reach->count[i]++ == 0)
            reach->first_ns[i] = record->at_ns;
    }
}

void reach_print(const uint64_t count[REACH_STATES], const uint64_t first_ns[REACH_STATES],
                 FILE *out, const char *where)
{
    for (uint32_t i = 0; i < REACH_STATES; i++)
        if (count[i] > 0)
            fprintf(out, "reach\t%s\t%lu\t%lu\t%s\n", reach_state[i].name, (unsigned long)count[i],
                    (unsigned long)first_ns[i], where);
}

void reach_list(FILE *out)
{
    for (uint32_t i = 0; i < REACH_STATES; i++)
        fprintf(out, "state\t%s\t%s\n", reach_state[i].name, reach_state[i].sentence);
}
