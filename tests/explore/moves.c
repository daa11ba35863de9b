#include "tests/explore/moves.h"

#include "consensus/ensure.h"
#include "tests/explore/check.h"
#include "tests/explore/holes.h"
#include "tests/explore/members.h"

#include <setjmp.h>
#include <stdlib.h>

/* --- what can happen --- */

struct list {
    const struct scope *scope;
    const struct state *s;
    struct move *moves;
    uint32_t count;
};

static void add(struct list *l, struct move move)
{
    ENSURE(l->count < MOVES_MAX);
    l->moves[l->count++] = move;
}

/* A move that may write: as it is, and with the write left in flight. */
static void add_writer(struct list *l, struct move move, uint8_t id)
{
    add(l, move);
    move.delay = true;
    if (l->scope->delays != SCOPE_ANY && l->s->delays < l->scope->delays &&
        l->s->replica[id].record_count == 0)
        add(l, move);
}

static bool tries_again(const struct list *l, const struct replica_state *r)
{
    return r->role == RAFT_CANDIDATE || (r->role == RAFT_PRECANDIDATE && l->scope->prevote);
}

/* Without pre-vote packets: every set of voters that is just enough to go on. What is enough under
 * a joint configuration is for the core to know: there also everybody. */
static void list_elections(struct list *l, uint8_t id)
{
    const struct replica_state *r = &l->s->replica[id];
    const struct raft_config *config = members_of(l->scope, r->config, r->last);
    uint32_t self = UINT32_C(1) << id, all = ((UINT32_C(1) << l->scope->replicas) - 1) << 1;
    for (uint32_t via = 0; via <= all; via += 2) {
        bool enough = (via & self) == 0 && scope_quorum(config, via | self);
        for (uint32_t less = via; enough && less != 0; less &= less - 1) /* without its lowest */
            enough = !scope_quorum(config, (via & ~(less & -less)) | self);
        bool everybody = config->voters_new != 0 && via == (all & ~self);
        if (enough || everybody)
            add_writer(l, (struct move){.kind = MOVE_TIMEOUT, .id = id, .via = (uint8_t)via}, id);
    }
}

/* A change is asked for by who knows the configuration in force, and by who knows an older one. */
static void list_members(struct list *l, uint8_t id)
{
    const struct replica_state *r = &l->s->replica[id];
    uint8_t index = members_index(r->config, r->last);
    if (r->role != RAFT_LEADER)
        return;
    add_writer(l, (struct move){.kind = MOVE_GO_ON, .id = id}, id);
    for (uint8_t i = 0; i < l->scope->wanted_count; i++) {
        struct move move = {.kind = MOVE_CHANGE, .id = id, .wanted = i, .was = index};
        add_writer(l, move, id);
        move.was = 0;
        if (index != 0)
            add(l, move);
    }
}

static void list_clock(struct list *l, uint8_t id)
{
    const struct replica_state *r = &l->s->replica[id];
    bool ticks = l->scope->ticks == SCOPE_ANY || l->s->ticks < l->scope->ticks;
    if (r->role == RAFT_LEADER) {
        bool flies = false;
        for (uint32_t peer = 1; peer <= l->scope->replicas; peer++)
            flies = flies || (peer != id && r->peer[peer].flights > 0);
        if (ticks)
            add(l, (struct move){.kind = MOVE_BEAT, .id = id});
        if (ticks && flies)
            add(l, (struct move){.kind = MOVE_PATIENCE, .id = id});
        if (ticks)
            add(l, (struct move){.kind = MOVE_LOST, .id = id});
        if (r->last < l->scope->log && !r->settling && !scope_has_members(l->scope))
            add_writer(l, (struct move){.kind = MOVE_PROPOSE, .id = id}, id);
        return;
    }
    if (ticks && tries_again(l, r))
        add(l, (struct move){.kind = MOVE_BEAT, .id = id});
    if (r->term >= l->scope->terms)
        return;
    if (l->scope->prevote)
        add(l, (struct move){.kind = MOVE_TIMEOUT, .id = id});
    else
        list_elections(l, id);
}

/* Where the drive's log ends when the first n records have reached it. */
static uint8_t last_after(const struct replica_state *r, uint8_t n)
{
    uint8_t last = r->disk.last;
    for (uint8_t i = 0; i < n; i++)
        if (r->record[i].kind == RECORD_ENTRY)
            last = r->record[i].index;
        else if (r->record[i].kind == RECORD_TRUNCATE)
            last = r->record[i].index - 1;
    return last;
}

static void list_holes(struct list *l, uint8_t id)
{
    const struct replica_state *r = &l->s->replica[id];
    for (uint8_t i = 1; i <= r->disk.last && i <= r->last; i++)
        if (r->disk.log[i] == r->log[i] && holes_may_lose(l->scope, l->s, id, i))
            add_writer(l, (struct move){.kind = MOVE_ROT, .id = id, .lost = i}, id);
    if (r->hole != 0)
        add(l, (struct move){.kind = MOVE_FETCH, .id = id});
}

static void list_drive(struct list *l, uint8_t id)
{
    const struct replica_state *r = &l->s->replica[id];
    for (uint8_t n = 1; n <= r->record_count; n++)
        add(l, (struct move){.kind = MOVE_DURABLE, .id = id, .records = n});
    for (uint8_t n = 0; l->s->crashes < l->scope->crashes && n <= r->record_count; n++)
        for (uint8_t lost = 0; lost <= last_after(r, n); lost++)
            if (lost == 0 || holes_may_lose(l->scope, l->s, id, lost))
                add(l, (struct move){.kind = MOVE_CRASH, .id = id, .records = n, .lost = lost});
}

static void list_packet(struct list *l, uint32_t slot, bool first)
{
    const struct scope *scope = l->scope;
    message packet = l->s->net[slot];
    uint8_t kind = message_kind(packet);
    bool asks = kind == RAFT_VOTE || kind == RAFT_PREVOTE;
    bool recent = asks && l->s->replica[message_to(packet)].recent;
    bool free_order = scope->overtakes == SCOPE_ANY;
    bool repairs = kind == RAFT_FETCH || kind == RAFT_FETCH_REPLY || scope->holes == 0;
    if (first && repairs && !free_order && l->s->losses < scope->losses)
        add(l, (struct move){.kind = MOVE_LOSE, .packet = packet});
    if (!first && !free_order && l->s->overtakes >= scope->overtakes)
        return;
    for (uint32_t at_once = 0; at_once <= recent; at_once++) {
        struct move move = {.kind = MOVE_DELIVER, .packet = packet, .at_once = at_once};
        add_writer(l, move, message_to(packet));
        move.kind = MOVE_DOUBLE;
        if (repairs && l->s->duplicates < scope->duplicates)
            add_writer(l, move, message_to(packet));
    }
}

uint32_t moves_list(const struct scope *scope, const struct state *s, struct move moves[MOVES_MAX])
{
    struct list l = {.scope = scope, .s = s, .moves = moves};
    for (uint32_t slot = 0; slot < s->net_count; slot++)
        list_packet(&l, slot, slot == 0 || !message_same_link(s->net[slot], s->net[slot - 1]));
    for (uint8_t id = 1; id <= scope->replicas; id++) {
        list_drive(&l, id);
        list_holes(&l, id);
        list_clock(&l, id);
        if (scope_has_members(scope))
            list_members(&l, id);
    }
    return l.count;
}

/* --- what it does --- */

/* An ENSURE of the core that fails stops a replica in earnest; here it ends the move. */
static jmp_buf stopped;
static struct core *stepping;

_Noreturn void ensure_failed(const char *file, int line, const char *condition)
{
    if (stepping == NULL) {
        fflush(stdout);
        fprintf(stderr, "%s:%d: ENSURE failed: %s\n", file, line, condition);
        abort();
    }
    core_violate(stepping, "node %u stops: %s:%d: ENSURE failed: %s", stepping->id, file, line,
                 condition);
    longjmp(stopped, 1);
}

static void receive(struct core *core, message packet, bool at_once)
{
    uint8_t kind = message_kind(packet);
    bool asks = kind == RAFT_VOTE || kind == RAFT_PREVOTE;
    core_receive(core, packet, asks && !at_once ? ELAPSED_LONG : ELAPSED_NONE);
}

static void notice(struct core *core, uint8_t id, enum elapsed elapsed)
{
    core_open(core, id);
    core_event(core, RAFT_EV_TICK, elapsed, NULL);
    core_close(core);
}

static bool take(struct state *s, uint8_t kind, uint8_t from, uint8_t to, message *packet)
{
    for (uint32_t slot = 0; slot < s->net_count; slot++) {
        message m = s->net[slot];
        if (message_kind(m) != kind || message_from(m) != from || message_to(m) != to)
            continue;
        *packet = m;
        state_take(s, slot);
        return true;
    }
    return false;
}

/* An election timeout; without pre-vote packets some voters are asked and answer at once. The
 * requests to the others are lost first: in their links there has to be room for requests of votes.
 */
static void time_out(struct core *core, const struct move *move)
{
    notice(core, move->id, ELAPSED_LONG);
    message packet;
    if (core->scope->prevote)
        return;
    for (uint8_t voter = 1; voter <= core->scope->replicas; voter++)
        if ((move->via >> voter & 1) == 0)
            (void)take(core->state, RAFT_PREVOTE, move->id, voter, &packet);
    for (uint8_t voter = 1; voter <= core->scope->replicas; voter++) {
        if ((move->via >> voter & 1) == 0)
            continue;
        if (take(core->state, RAFT_PREVOTE, move->id, voter, &packet))
            receive(core, packet, false);
        if (!core->outside && take(core->state, RAFT_PREVOTE_REPLY, voter, move->id, &packet))
            receive(core, packet, false);
    }
}

static void make(struct core *core, const struct move *move)
{
    struct state *s = core->state;
    uint32_t slot = 0;
    bool tick = move->kind == MOVE_LOST || move->kind == MOVE_BEAT || move->kind == MOVE_PATIENCE;
    if (tick && core->scope->ticks != SCOPE_ANY)
        s->ticks++;
    switch ((enum move_kind)move->kind) {
    case MOVE_TIMEOUT:
        time_out(core, move);
        break;
    case MOVE_LOST:
        notice(core, move->id, ELAPSED_LONG);
        break;
    case MOVE_BEAT:
        notice(core, move->id, ELAPSED_BEAT);
        break;
    case MOVE_PATIENCE:
        notice(core, move->id, ELAPSED_PATIENCE);
        break;
    case MOVE_PROPOSE:
        core_open(core, move->id);
        core_event(core, RAFT_EV_PROPOSE, ELAPSED_NONE, NULL);
        core_close(core);
        break;
    case MOVE_CHANGE:
        members_ask(core, move->id, move->wanted, move->was);
        break;
    case MOVE_GO_ON:
        notice(core, move->id, ELAPSED_NONE);
        break;
    case MOVE_DURABLE:
        core_open(core, move->id);
        core_durable(core, move->records);
        core_close(core);
        break;
    case MOVE_CRASH:
        s->crashes++;
        core_crash(core, move->id, move->records, move->lost);
        break;
    case MOVE_ROT:
        holes_rot(core, move->id, move->lost);
        break;
    case MOVE_FETCH:
        holes_ask(core, move->id);
        break;
    case MOVE_DELIVER:
    case MOVE_DOUBLE:
    case MOVE_LOSE:
        while (slot < s->net_count && s->net[slot] != move->packet)
            slot++;
        ENSURE(slot < s->net_count);
        if (core->scope->overtakes != SCOPE_ANY && slot > 0 && move->kind != MOVE_LOSE &&
            message_same_link(s->net[slot - 1], move->packet))
            s->overtakes++;
        s->duplicates = (uint8_t)(s->duplicates + (move->kind == MOVE_DOUBLE));
        s->losses = (uint8_t)(s->losses + (move->kind == MOVE_LOSE));
        if (move->kind != MOVE_DOUBLE)
            state_take(s, slot);
        if (move->kind != MOVE_LOSE)
            receive(core, move->packet, move->at_once);
        break;
    }
}

void moves_make(struct core *core, const struct move *move)
{
    core->outside = false;
    core->delay = move->delay;
    core->violation[0] = '\0';
    stepping = core;
    if (setjmp(stopped) == 0) {
        make(core, move);
        if (!core->outside && core->violation[0] == '\0')
            check_state(core);
        if (!core->outside && core->violation[0] == '\0')
            check_reduction(core);
        state_tidy(core->scope, core->state);
    }
    stepping = NULL;
}
