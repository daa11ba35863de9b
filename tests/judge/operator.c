#include "judge.h"

#include <string.h>

/* What operators asked for, as docs/operations.md describes it: a request is done once, under its
 * id, as long as it is among the last that are remembered; sessions and principals whose messages
 * are refused. Who is drained, and how many messages a second somebody may submit, decides nothing
 * about the order. */

enum { REMEMBERED = 64, HELD_BACK_MAX = 64 };

struct held_back { /* a session, or with session 0 all of a principal */
    uint64_t session;
    uint32_t principal, rate;
    bool suspended;
};

struct operators {
    uint64_t asked[REMEMBERED][2];
    uint64_t count; /* ever */
    struct held_back row[HELD_BACK_MAX];
    uint32_t rows;
};

struct operators *operators_new(void)
{
    return zalloc(1, sizeof(struct operators));
}

bool operators_repeated(struct operators *o, const uint8_t *body)
{
    for (uint32_t i = 0; i < REMEMBERED; i++)
        if (o->asked[i][0] == le64(body) && o->asked[i][1] == le64(body + 8))
            return true;
    o->asked[o->count % REMEMBERED][0] = le64(body);
    o->asked[o->count++ % REMEMBERED][1] = le64(body + 8);
    return false;
}

bool operators_suspended(const struct operators *o, const struct session *s)
{
    for (uint32_t i = 0; i < o->rows; i++) {
        bool his = o->row[i].session == s->id ||
                   (o->row[i].session == 0 && o->row[i].principal == s->principal);
        if (his && o->row[i].suspended)
            return true;
    }
    return false;
}

static void drop(struct operators *o, uint32_t at)
{
    memmove(&o->row[at], &o->row[at + 1], (--o->rows - at) * sizeof(o->row[0]));
}

void operators_forget(struct operators *o, uint64_t session)
{
    for (uint32_t i = 0; i < o->rows; i++)
        if (o->row[i].session == session)
            drop(o, i--);
}

void operators_hold_back(struct operators *o, const struct session *s, const uint8_t *body)
{
    uint64_t session = le64(body + 16);
    uint32_t principal = le32(body + 24), value = le32(body + 28), at = 0;
    if (session != 0 && (s == NULL || s->end_reason != 0 || s->forgotten))
        return;
    while (at < o->rows && (o->row[at].session != session || o->row[at].principal != principal))
        at++;
    if (at == o->rows && (value == 0 || at == HELD_BACK_MAX))
        return;
    if (at == o->rows)
        o->row[o->rows++] = (struct held_back){.session = session, .principal = principal};
    if (body[32] == OPERATOR_SUSPEND)
        o->row[at].suspended = value != 0;
    else
        o->row[at].rate = value;
    if (!o->row[at].suspended && o->row[at].rate == 0)
        drop(o, at);
}
