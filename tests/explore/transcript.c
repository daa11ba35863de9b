#include "tests/explore/transcript.h"

#include "consensus/ensure.h"
#include "tests/explore/members.h"
#include "tests/explore/moves.h"
#include "tests/unit/raft/raft_world.h"

#include <stdlib.h>
#include <string.h>

struct replay {
    FILE *out;
    struct core core; /* over `real`: replicas keep their names, packets what they carry */
    struct state real;
    struct scope plain;
    const struct scope *scope;
};

static void print_packet(FILE *out, const char *verb, message packet)
{
    struct raft_msg msg;
    message_unpack(packet, &msg);
    fprintf(out, "%s exactly ", verb);
    world_print_msg(out, &msg);
    fputs("\n", out);
}

/* A world's links have room for everything: what the explorer's have not is dropped there. */
static bool has_room(const struct replay *r, uint32_t from, uint32_t to)
{
    uint32_t in_link = 0;
    for (uint32_t i = 0; i < r->real.net_count; i++)
        in_link += message_from(r->real.net[i]) == from && message_to(r->real.net[i]) == to;
    return in_link < r->scope->link;
}

/* Who owes its drive a vote is silent. */
static void print_prevote(const struct replay *r, uint32_t from, uint32_t to)
{
    fprintf(r->out, "deliver %u %u prevote\n", from, to);
    if (r->real.replica[to].hard == 0)
        fprintf(r->out, "%s %u %u prevote-reply\n", has_room(r, to, from) ? "deliver" : "drop", to,
                from);
}

static void print_timeout(const struct replay *r, const struct move *m)
{
    const struct replica_state *mine = &r->real.replica[m->id];
    const struct raft_config *config = members_of(r->scope, mine->config, mine->last);
    uint32_t voters = (config->voters | config->voters_new) & ~(UINT32_C(1) << m->id);
    uint32_t asked = 0;
    fprintf(r->out, "pass 200 young\ncampaign %u\n", m->id);
    if (r->scope->prevote)
        return;
    for (uint32_t id = 1; id <= r->scope->replicas; id++) {
        if ((voters & m->via) >> id & 1 && has_room(r, m->id, id))
            asked |= UINT32_C(1) << id;
        else if (voters >> id & 1)
            fprintf(r->out, "drop %u %u prevote\n", m->id, id);
    }
    for (uint32_t id = 1; id <= r->scope->replicas; id++)
        if (asked >> id & 1)
            print_prevote(r, m->id, id);
}

static void print_list(FILE *out, const char *what, uint32_t mask)
{
    fputs(what, out);
    for (uint32_t id = 1; id <= SCOPE_REPLICAS_MAX; id++)
        if ((mask >> id & 1) != 0)
            fprintf(out, "%s%u", (mask & ((UINT32_C(1) << id) - 1)) != 0 ? "," : " ", id);
    if (mask == 0)
        fputs(" -", out);
}

static void print_change(FILE *out, const struct move *m, const struct scope_members *wanted)
{
    fprintf(out, "members %u", m->id);
    print_list(out, " voters", wanted->voters);
    print_list(out, " learners", wanted->learners);
    fprintf(out, " was %u\n", m->was);
}

/* The commands that do what the move does. */
static void print_move(struct replay *r, const struct move *m)
{
    FILE *out = r->out;
    unsigned long lsn = r->core.lsn[m->id] + m->records;
    uint8_t kind = message_kind(m->packet);
    if (m->delay)
        fprintf(out, "disk %u slow\n", m->packet != 0 ? message_to(m->packet) : m->id);
    if ((kind == RAFT_VOTE || kind == RAFT_PREVOTE) && !m->at_once && m->kind != MOVE_LOSE)
        fputs("pass 100 young\n", out);
    switch ((enum move_kind)m->kind) {
    case MOVE_TIMEOUT:
        print_timeout(r, m);
        break;
    case MOVE_LOST:
        fprintf(out, "tick %u 200\n", m->id);
        break;
    case MOVE_BEAT:
        fprintf(out, "tick %u 10\n", m->id);
        break;
    case MOVE_PATIENCE:
        fprintf(out, "tick %u 40\n", m->id);
        break;
    case MOVE_PROPOSE:
        fprintf(out, "propose %u 1\n", m->id);
        break;
    case MOVE_CHANGE:
        print_change(out, m, &r->scope->wanted[m->wanted]);
        break;
    case MOVE_GO_ON:
        fprintf(out, "tick %u 0\n", m->id);
        break;
    case MOVE_DURABLE:
        fprintf(out, "durable %u %lu\n", m->id, lsn);
        if (r->scope->delays != SCOPE_ANY && m->records == r->real.replica[m->id].record_count)
            fprintf(out, "disk %u auto\n", m->id);
        break;
    case MOVE_CRASH:
        fprintf(out, "crash %u %lu\n", m->id, lsn);
        if (m->lost != 0)
            fprintf(out, "rot %u %u\n", m->id, m->lost);
        fprintf(out, "restart %u\n", m->id);
        if (r->scope->delays != SCOPE_ANY)
            fprintf(out, "disk %u auto\n", m->id);
        break;
    case MOVE_ROT:
        fprintf(out, "rot %u %u\n", m->id, m->lost);
        break;
    case MOVE_FETCH:
        fprintf(out, "fetch %u\n", m->id);
        break;
    case MOVE_DOUBLE:
        print_packet(out, "duplicate", m->packet);
        print_packet(out, "deliver", m->packet);
        break;
    case MOVE_DELIVER:
        print_packet(out, "deliver", m->packet);
        break;
    case MOVE_LOSE:
        print_packet(out, "drop", m->packet);
        break;
    }
}

/* Move `number` of the state that stands for the real one, in the real one's names and packets. */
static struct move translate(struct replay *r, uint16_t number)
{
    struct state reduced = r->real, canonical;
    uint8_t packed[STATE_PACKED_MAX] = {0}, to[SCOPE_REPLICAS_MAX + 1],
            back[SCOPE_REPLICAS_MAX + 1] = {0};
    state_tidy(r->scope, &reduced);
    (void)state_canonical(r->scope, &reduced, packed, to);
    state_unpack(r->scope, packed, &canonical);
    for (uint8_t id = 1; id <= r->scope->replicas; id++)
        back[to[id]] = id;
    struct move moves[MOVES_MAX];
    uint32_t count = moves_list(r->scope, &canonical, moves);
    ENSURE(number < count);
    struct move move = moves[number];
    move.id = back[move.id];
    move.via = state_permute_mask(move.via, back);
    if (move.packet == 0)
        return move;
    message wanted = message_permute(move.packet, back);
    for (uint32_t slot = 0; slot < r->real.net_count; slot++) {
        message reduced_packet = r->real.net[slot];
        if (state_reduce(&r->real, &reduced_packet) && reduced_packet == wanted) {
            move.packet = r->real.net[slot];
            return move;
        }
    }
    ENSURE(!"the packet is under way");
    return move;
}

static void begin(struct replay *r)
{
    const struct scope *scope = r->scope;
    r->core.scope = &r->plain;
    r->core.state = &r->real;
    core_genesis(&r->core);
    fprintf(r->out, "cluster %u", scope->replicas);
    if (scope_has_members(scope))
        print_list(r->out, " voters", scope->first.voters);
    for (uint32_t id = 1; id <= scope->replicas; id++)
        if ((scope->first.learners >> id & 1) != 0)
            fprintf(r->out, " learner %u", id);
    fprintf(r->out, " flights %u\n", scope->flights);
    for (uint32_t id = 1; scope->delays == SCOPE_ANY && id <= scope->replicas; id++)
        fprintf(r->out, "disk %u slow\n", id);
}

static void make(struct replay *r, uint16_t number)
{
    struct move move = translate(r, number);
    char *text = NULL;
    size_t size = 0;
    print_move(r, &move);
    fputs("----\n", r->out);
    r->core.trace = open_memstream(&text, &size);
    ENSURE(r->core.trace != NULL);
    moves_make(&r->core, &move);
    if (r->core.violation[0] != '\0')
        fprintf(r->core.trace, "VIOLATION: %s\n", r->core.violation);
    fclose(r->core.trace);
    r->core.trace = NULL;
    fputs(size > 0 ? text : "(nothing)\n", r->out);
    fputs("\n", r->out);
    free(text);
}

bool transcript_print(FILE *out, const struct scope *scope, const struct seen *seen,
                      uint64_t number, uint16_t move)
{
    uint32_t depth = seen->trail[number].depth;
    uint16_t *path = calloc(depth + 1U, sizeof(path[0]));
    struct replay *r = calloc(1, sizeof(*r));
    ENSURE(path != NULL && r != NULL);
    path[depth] = move;
    for (uint32_t at = depth; at > 0; at--) {
        path[at - 1] = seen->trail[number].move;
        number = seen->trail[number].parent;
    }
    r->out = out;
    r->scope = scope;
    r->plain = *scope;
    r->plain.whole_packets = true;
    begin(r);
    for (uint32_t at = 0; at <= depth; at++)
        make(r, path[at]);
    bool ends = r->core.violation[0] != '\0';
    free(path);
    free(r);
    return ends;
}
