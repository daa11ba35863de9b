/* Packed states: half a byte a number, only what is in use. One walk serves both directions, so
 * that they cannot differ. */
#include "consensus/ensure.h"
#include "tests/explore/state.h"

#include <string.h>

struct walk {
    bool reading;
    uint8_t over; /* of all numbers written: must stay below 16 */
    uint32_t at;  /* in half bytes */
    uint8_t half[2 * STATE_PACKED_MAX];
};

static inline void number(struct walk *w, uint8_t *value)
{
    if (w->reading) {
        *value = w->half[w->at++];
        return;
    }
    w->over |= *value;
    w->half[w->at++] = *value;
}

static void numbers(struct walk *w, uint8_t *values, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        number(w, &values[i]);
}

static void wide(struct walk *w, uint8_t *value) /* a mask */
{
    uint8_t low = *value & 15, high = *value >> 4;
    number(w, &low);
    number(w, &high);
    *value = (uint8_t)(low | high << 4);
}

static void word(struct walk *w, message *m)
{
    message value = *m;
    if (w->reading)
        value = 0;
    for (unsigned at = 0; at < 56; at += 4) {
        uint8_t half = (uint8_t)(value >> at & 15);
        number(w, &half);
        if (w->reading)
            value |= (message)half << at;
    }
    *m = value;
}

static void walk_peers(struct walk *w, const struct scope *scope, struct replica_state *r,
                       uint32_t self)
{
    for (uint32_t id = 1; id <= scope->replicas; id++) {
        struct peer_view *peer = &r->peer[id];
        if (id == self)
            continue;
        number(w, &peer->match);
        number(w, &peer->next);
        uint8_t flags = (uint8_t)(peer->probing | peer->starved << 1);
        number(w, &flags);
        peer->probing = flags & 1;
        peer->starved = flags >> 1;
        number(w, &peer->flights);
        numbers(w, peer->flight, peer->flights);
    }
}

static void walk_replica(struct walk *w, const struct scope *scope, struct replica_state *r,
                         uint32_t self)
{
    uint8_t role = (uint8_t)(r->role | r->stopped << 2 | r->recent << 3);
    number(w, &role);
    r->role = role & 3;
    r->stopped = role >> 2 & 1;
    r->recent = role >> 3;
    number(w, &r->vote);
    number(w, &r->term);
    number(w, &r->commit);
    number(w, &r->last);
    numbers(w, &r->log[1], r->last);
    bool members = scope_has_members(scope);
    if (members)
        numbers(w, &r->config[1], r->last);
    number(w, &r->hard);
    number(w, &r->base);
    number(w, &r->base_index);
    number(w, &r->floor);
    number(w, &r->agreed);
    number(w, &r->disk.term);
    number(w, &r->disk.vote);
    number(w, &r->disk.last);
    numbers(w, &r->disk.log[1], r->disk.last);
    if (members)
        numbers(w, &r->disk.config[1], r->disk.last);
    if (scope->holes > 0) {
        wide(w, &r->disk.lost);
        number(w, &r->hole);
        number(w, &r->settling);
    }
    number(w, &r->record_count);
    for (uint32_t i = 0; i < r->record_count; i++) {
        number(w, &r->record[i].kind);
        number(w, &r->record[i].index);
        number(w, &r->record[i].term);
        number(w, &r->record[i].vote);
        if (members)
            number(w, &r->record[i].config);
    }
    number(w, &r->gate_count);
    for (uint32_t i = 0; i < r->gate_count; i++) {
        number(w, &r->gate_lsn[i]);
        word(w, &r->gate[i]);
    }
    if (r->role == RAFT_PRECANDIDATE || r->role == RAFT_CANDIDATE) {
        wide(w, &r->granted);
        wide(w, &r->denied);
        wide(w, &r->votes);
        for (uint32_t id = 1; r->votes != 0 && id <= scope->replicas; id++)
            number(w, &r->peer[id].next);
    } else if (r->role == RAFT_LEADER) {
        wide(w, &r->contradicted);
        if (scope->holes > 0)
            wide(w, &r->hole_denied);
        if (members)
            wide(w, &r->leaving);
        number(w, &r->noop_index);
        number(w, &r->quorum_index);
        walk_peers(w, scope, r, self);
    }
}

static void walk_state(struct walk *w, const struct scope *scope, struct state *s)
{
    number(w, &s->crashes);
    number(w, &s->losses);
    number(w, &s->duplicates);
    number(w, &s->overtakes);
    number(w, &s->ticks);
    number(w, &s->delays);
    if (scope->holes > 0)
        number(w, &s->holes);
    numbers(w, &s->leader_of[1], scope->terms);
    number(w, &s->committed);
    numbers(w, &s->committed_log[1], s->committed);
    numbers(w, &s->committed_in[1], s->committed);
    if (scope_has_members(scope))
        number(w, &s->committed_by);
    for (uint32_t id = 1; id <= scope->replicas; id++)
        walk_replica(w, scope, &s->replica[id], id);
    wide(w, &s->net_count);
    for (uint32_t i = 0; i < s->net_count; i++)
        word(w, &s->net[i]);
}

static size_t pack(const struct scope *scope, const struct state *s, uint8_t *packed)
{
    struct walk w;
    w.reading = false;
    w.over = 0;
    w.at = 0;
    struct state *writable = (struct state *)(uintptr_t)s; /* writing leaves it as it is */
    walk_state(&w, scope, writable);
    ENSURE(w.over < 16 && w.at + 1 < sizeof(w.half));
    w.half[w.at] = 0;
    size_t size = (w.at + 1) / 2;
    for (size_t i = 0; i < size; i++)
        packed[i] = (uint8_t)(w.half[2 * i] | w.half[2 * i + 1] << 4);
    return size;
}

void state_unpack(const struct scope *scope, const uint8_t *packed, struct state *s)
{
    struct walk w;
    w.reading = true;
    w.at = 0;
    for (size_t i = 0; i < STATE_PACKED_MAX; i++) {
        w.half[2 * i] = packed[i] & 15;
        w.half[2 * i + 1] = packed[i] >> 4;
    }
    memset(s, 0, sizeof(*s));
    walk_state(&w, scope, s);
}

/* What of a replica does not depend on names: equal for replicas that a renaming may exchange. */
static uint64_t signature(const struct replica_state *r, uint32_t id)
{
    uint64_t h = (uint64_t)r->role << 1 | r->recent;
    const uint8_t parts[] = {r->term,
                             r->vote == id ? 2 : r->vote != 0,
                             r->commit,
                             r->last,
                             r->agreed,
                             r->hard,
                             r->base,
                             r->disk.term,
                             r->disk.vote == id ? 2 : r->disk.vote != 0,
                             r->disk.last,
                             r->record_count,
                             r->gate_count,
                             r->hole,
                             r->disk.lost};
    for (uint32_t i = 0; i < sizeof(parts); i++)
        h = h * 31 + parts[i];
    for (uint32_t i = 1; i <= r->last; i++)
        h = h * 31 + r->log[i] + 7u * r->config[i];
    for (uint32_t i = 1; i <= r->disk.last; i++)
        h = h * 31 + r->disk.log[i] + 7u * r->disk.config[i];
    return h;
}

struct renaming {
    const struct scope *scope;
    const struct state *s;
    uint64_t signature[SCOPE_REPLICAS_MAX + 1];
    uint8_t by[SCOPE_REPLICAS_MAX + 1]; /* by[place] = id */
    uint32_t used;
    bool any;
    size_t size;
    uint8_t *best;
    uint8_t to[SCOPE_REPLICAS_MAX + 1];
};

static void try_renaming(struct renaming *n)
{
    uint8_t to[SCOPE_REPLICAS_MAX + 1] = {0}, packed[STATE_PACKED_MAX];
    bool same = true;
    for (uint32_t place = 1; place <= n->scope->replicas; place++) {
        to[n->by[place]] = (uint8_t)place;
        same = same && n->by[place] == place;
    }
    struct state renamed;
    if (!same)
        state_permute(n->scope, n->s, to, &renamed);
    size_t size = pack(n->scope, same ? n->s : &renamed, packed);
    /* A renaming keeps the number of half bytes. */
    if (n->any && memcmp(packed, n->best, size) >= 0)
        return;
    n->any = true;
    n->size = size;
    memcpy(n->best, packed, size);
    memcpy(n->to, to, sizeof(to));
}

/* Places the replicas by falling signature, each where it is no other by configuration; all orders
 * of equal ones are tried. */
static void place(struct renaming *n, uint32_t at)
{
    if (at > n->scope->replicas) {
        try_renaming(n);
        return;
    }
    uint64_t greatest = 0;
    uint32_t free = n->scope->alike[at] & ~n->used;
    for (uint32_t id = 1; id <= n->scope->replicas; id++)
        if ((free >> id & 1) != 0 && n->signature[id] > greatest)
            greatest = n->signature[id];
    for (uint32_t id = 1; id <= n->scope->replicas; id++) {
        if ((free >> id & 1) == 0 || n->signature[id] != greatest)
            continue;
        n->used |= UINT32_C(1) << id;
        n->by[at] = (uint8_t)id;
        place(n, at + 1);
        n->used &= ~(UINT32_C(1) << id);
    }
}

size_t state_canonical(const struct scope *scope, const struct state *s, uint8_t *packed,
                       uint8_t *to)
{
    if (!scope->symmetry) {
        for (uint32_t id = 0; to != NULL && id <= SCOPE_REPLICAS_MAX; id++)
            to[id] = (uint8_t)id;
        return pack(scope, s, packed);
    }
    struct renaming n = {.scope = scope, .s = s, .best = packed};
    for (uint32_t id = 1; id <= scope->replicas; id++)
        n.signature[id] = signature(&s->replica[id], id);
    place(&n, 1);
    if (to != NULL)
        memcpy(to, n.to, sizeof(n.to));
    return n.size;
}
