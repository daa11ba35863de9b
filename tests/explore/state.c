#include "tests/explore/state.h"

#include "consensus/ensure.h"

#include <string.h>

/* --- messages --- */

enum {
    AT_FROM = 52,
    AT_TO = 48,
    AT_KIND = 44,
    AT_TERM = 40,
    AT_STATUS = 36,
    AT_MATCH = 12,
    AT_HINT_INDEX = 8,
    AT_HINT_TERM = 4,
    AT_PROBE = 0
};

static message field(uint64_t value, unsigned at)
{
    ENSURE(value < 16);
    return value << at;
}

static uint64_t take(message m, unsigned at)
{
    return m >> at & 15;
}

message message_pack(const struct raft_msg *msg, enum message_probe probe)
{
    return field(msg->from, AT_FROM) | field(msg->to, AT_TO) | field(msg->kind, AT_KIND) |
           field(msg->term, AT_TERM) | field(msg->status, AT_STATUS) | field(msg->count, 32) |
           field(msg->prev_index, 28) | field(msg->prev_term, 24) | field(msg->entry_term, 20) |
           field(msg->commit, 16) | field(msg->match, AT_MATCH) |
           field(msg->hint_index, AT_HINT_INDEX) | field(msg->hint_term, AT_HINT_TERM) |
           field(probe, AT_PROBE);
}

void message_unpack(message m, struct raft_msg *msg)
{
    *msg = (struct raft_msg){.kind = (uint8_t)take(m, AT_KIND),
                             .from = (uint8_t)take(m, AT_FROM),
                             .to = (uint8_t)take(m, AT_TO),
                             .status = (uint8_t)take(m, AT_STATUS),
                             .count = (uint32_t)take(m, 32),
                             .term = take(m, AT_TERM),
                             .prev_index = take(m, 28),
                             .prev_term = take(m, 24),
                             .entry_term = take(m, 20),
                             .commit = take(m, 16),
                             .match = take(m, AT_MATCH),
                             .hint_index = take(m, AT_HINT_INDEX),
                             .hint_term = take(m, AT_HINT_TERM),
                             .probe = take(m, AT_PROBE)};
    if (msg->kind == RAFT_APPEND) { /* these are numbers of configurations */
        msg->status = 0;
        msg->match = 0;
        msg->hint_index = 0;
        msg->hint_term = 0;
    }
}

uint8_t message_from(message m)
{
    return (uint8_t)take(m, AT_FROM);
}
uint8_t message_to(message m)
{
    return (uint8_t)take(m, AT_TO);
}
uint8_t message_kind(message m)
{
    return (uint8_t)take(m, AT_KIND);
}
uint64_t message_term(message m)
{
    return take(m, AT_TERM);
}
enum message_probe message_probe(message m)
{
    return (enum message_probe)take(m, AT_PROBE);
}

message message_with_probe(message m, enum message_probe probe)
{
    return (m & ~(UINT64_C(15) << AT_PROBE)) | field(probe, AT_PROBE);
}

/* In fields that an APPEND does not use. */
static const unsigned at_config[MESSAGE_CONFIGS_MAX] = {AT_MATCH, AT_HINT_INDEX, AT_HINT_TERM,
                                                        AT_STATUS};

uint8_t message_config(message m, uint32_t i)
{
    return (uint8_t)take(m, at_config[i]);
}

message message_with_config(message m, uint32_t i, uint8_t number)
{
    return m | field(number, at_config[i]);
}

message message_permute(message m, const uint8_t *to)
{
    message rest = m & ~(UINT64_C(0xff) << AT_TO);
    return rest | field(to[message_from(m)], AT_FROM) | field(to[message_to(m)], AT_TO);
}

/* --- packets under way --- */

bool state_send(const struct scope *scope, struct state *s, message m)
{
    uint32_t at = s->net_count, in_link = 0;
    for (uint32_t i = 0; i < s->net_count; i++) {
        if (s->net[i] == m)
            return true;
        in_link += message_same_link(s->net[i], m);
    }
    if (in_link >= scope->link)
        return true;
    if (at == STATE_NET_MAX)
        return false;
    bool sorted = scope->overtakes == SCOPE_ANY;
    while (at > 0 && (sorted ? s->net[at - 1] > m : s->net[at - 1] >> AT_TO > m >> AT_TO)) {
        s->net[at] = s->net[at - 1];
        at--;
    }
    s->net[at] = m;
    s->net_count++;
    return true;
}

void state_take(struct state *s, uint32_t slot)
{
    ENSURE(slot < s->net_count);
    s->net_count--;
    memmove(&s->net[slot], &s->net[slot + 1], (s->net_count - slot) * sizeof(s->net[0]));
    s->net[s->net_count] = 0;
}

/* A vote of its term may yet make it the leader. */
static bool may_win(const struct replica_state *r)
{
    return r->role == RAFT_CANDIDATE || (r->role == RAFT_PRECANDIDATE && r->votes != 0);
}

static bool reply_matters(const struct replica_state *to, message m)
{
    struct raft_msg msg;
    message_unpack(m, &msg);
    if (msg.term > to->term)
        return true;
    if (msg.term > to->disk.term) /* a crash may bring the older term back */
        return true;
    if (msg.term < to->disk.term || (to->role != RAFT_LEADER && !may_win(to)))
        return false;
    if (may_win(to))
        return true;
    const struct peer_view *peer = &to->peer[msg.from];
    if (msg.status != RAFT_APPEND_OK)
        return msg.probe == PROBE_FRESH;
    return msg.match > peer->match || (msg.probe == PROBE_FRESH && peer->probing);
}

bool state_reduce(const struct state *s, message *m)
{
    const struct replica_state *to = &s->replica[message_to(*m)];
    uint64_t term = message_term(*m);
    struct raft_msg msg;
    switch ((enum raft_msg_kind)message_kind(*m)) {
    case RAFT_PREVOTE:
    case RAFT_VOTE:
    case RAFT_APPEND:
        if (term >= to->disk.term)
            return true;
        msg = (struct raft_msg){
            .kind = message_kind(*m), .from = message_from(*m), .to = message_to(*m), .term = 1};
        *m = message_pack(&msg, PROBE_NONE);
        return true;
    case RAFT_PREVOTE_REPLY:
        return term > to->disk.term;
    case RAFT_VOTE_REPLY:
        return term > to->disk.term || (term == to->disk.term && may_win(to));
    case RAFT_APPEND_REPLY:
        return reply_matters(to, *m);
    case RAFT_FETCH_REPLY: /* an entry is proven by itself, a denial speaks in its term */
        message_unpack(*m, &msg);
        return msg.status != 0 || term >= to->disk.term;
    case RAFT_CHAIN_ASK:
    case RAFT_CHAIN_TELL:
    case RAFT_TIMEOUT_NOW:
    case RAFT_FETCH:
        break;
    }
    return true;
}

/* Takes a message into a gate's list, behind those to the same replica; its like is there at most
 * once, since the link would take only one of them. */
static void hold(struct replica_state *r, uint8_t lsn, message m)
{
    uint32_t at = r->gate_count;
    for (uint32_t i = 0; i < r->gate_count; i++)
        if (r->gate[i] == m && r->gate_lsn[i] == lsn)
            return;
    while (at > 0 && message_to(r->gate[at - 1]) > message_to(m)) {
        r->gate[at] = r->gate[at - 1];
        r->gate_lsn[at] = r->gate_lsn[at - 1];
        at--;
    }
    r->gate[at] = m;
    r->gate_lsn[at] = lsn;
    r->gate_count++;
}

bool state_gate_over(const struct replica_state *r, uint32_t i)
{
    uint8_t kind = message_kind(r->gate[i]);
    return kind != RAFT_PREVOTE && kind != RAFT_PREVOTE_REPLY &&
           message_term(r->gate[i]) != r->term;
}

static void tidy_gate(struct replica_state *r)
{
    const struct replica_state before = *r;
    r->gate_count = 0;
    memset(r->gate, 0, sizeof(r->gate));
    memset(r->gate_lsn, 0, sizeof(r->gate_lsn));
    for (uint32_t i = 0; i < before.gate_count; i++)
        if (!state_gate_over(&before, i))
            hold(r, before.gate_lsn[i], before.gate[i]);
}

void state_tidy(const struct scope *scope, struct state *s)
{
    for (uint32_t id = 1; id <= scope->replicas; id++)
        tidy_gate(&s->replica[id]);
    message net[STATE_NET_MAX];
    uint32_t count = s->net_count;
    memcpy(net, s->net, count * sizeof(net[0]));
    s->net_count = 0;
    for (uint32_t i = 0; i < count; i++) {
        message m = net[i];
        if (state_reduce(s, &m))
            (void)state_send(scope, s, scope->whole_packets ? net[i] : m);
    }
    for (uint32_t i = s->net_count; i < count; i++)
        s->net[i] = 0;
}

/* --- names --- */

uint8_t state_permute_mask(uint8_t mask, const uint8_t *to)
{
    uint32_t out = 0;
    for (uint32_t id = 1; id <= SCOPE_REPLICAS_MAX; id++)
        if (mask >> id & 1)
            out |= UINT32_C(1) << to[id];
    return (uint8_t)out;
}

static void permute_replica(const struct scope *scope, const struct replica_state *r,
                            const uint8_t *to, struct replica_state *out)
{
    *out = *r;
    out->vote = to[r->vote];
    out->disk.vote = to[r->disk.vote];
    out->granted = state_permute_mask(r->granted, to);
    out->denied = state_permute_mask(r->denied, to);
    out->votes = state_permute_mask(r->votes, to);
    out->contradicted = state_permute_mask(r->contradicted, to);
    out->hole_denied = state_permute_mask(r->hole_denied, to);
    out->leaving = state_permute_mask(r->leaving, to);
    for (uint32_t id = 1; id <= scope->replicas; id++)
        out->peer[to[id]] = r->peer[id];
    for (uint32_t i = 0; i < r->record_count; i++)
        out->record[i].vote = to[r->record[i].vote];
    out->gate_count = 0;
    for (uint32_t i = 0; i < r->gate_count; i++)
        hold(out, r->gate_lsn[i], message_permute(r->gate[i], to));
}

void state_permute(const struct scope *scope, const struct state *s, const uint8_t *to,
                   struct state *out)
{
    *out = *s;
    for (uint32_t id = 1; id <= scope->replicas; id++)
        permute_replica(scope, &s->replica[id], to, &out->replica[to[id]]);
    for (uint32_t t = 1; t <= scope->terms; t++)
        out->leader_of[t] = to[s->leader_of[t]];
    out->net_count = 0;
    for (uint32_t i = 0; i < s->net_count; i++) {
        message m = message_permute(s->net[i], to);
        uint32_t at = out->net_count++;
        bool sorted = scope->overtakes == SCOPE_ANY;
        while (at > 0 && (sorted ? out->net[at - 1] > m : out->net[at - 1] >> AT_TO > m >> AT_TO)) {
            out->net[at] = out->net[at - 1];
            at--;
        }
        out->net[at] = m;
    }
}
