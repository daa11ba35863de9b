#include "tests/unit/paxos/paxos_explore_core.h"

#include "consensus/ensure.h"

#include <stdlib.h>
#include <string.h>

enum {
    MOVES_MAX = EXPLORE_SERVERS * (2 + 2 * EXPLORE_LISTS) + EXPLORE_MESSAGES_MAX,
    VALUES_MAX = 32,
    BALLOTS_MAX = 64,
    MEMORY_MAX_MIB = 3072
};

struct state { /* packed as it lies, up to the last message */
    uint32_t node[EXPLORE_SERVERS];
    uint8_t crashes, wipes;
    uint8_t ghost; /* list that server 1 had locked when its drive was wiped, + 1; 0: none */
    uint8_t reserved;
    uint32_t count;
    uint16_t message[EXPLORE_MESSAGES_MAX]; /* ever sent; ascending */
};

struct move {
    uint8_t at; /* index of the server */
    struct explore_event_of event;
};

struct explorer {
    struct explore_core core;
    struct seen seen;
    struct explore_result result;
    uint64_t hash[EXPLORE_LISTS];
};

static size_t state_size(const struct state *s)
{
    return offsetof(struct state, message) + s->count * sizeof(s->message[0]);
}

static const struct explore_node *node_of(const struct explorer *x, const struct state *s,
                                          uint32_t at)
{
    return intern_blob(&x->core.node, s->node[at]);
}

static const struct paxos_record *disk_of(const struct explorer *x, const struct state *s,
                                          uint32_t at)
{
    return intern_blob(&x->core.record, node_of(x, s, at)->disk);
}

static const struct explore_message *message_of(const struct explorer *x, uint32_t number)
{
    return intern_blob(&x->core.message, number);
}

/* Takes in a message; false: the state knows it. */
static bool send(struct state *s, uint32_t message)
{
    uint32_t at = s->count;
    while (at > 0 && s->message[at - 1] > message)
        at--;
    if (at > 0 && s->message[at - 1] == message)
        return false;
    ENSURE(s->count < EXPLORE_MESSAGES_MAX && message <= UINT16_MAX);
    memmove(&s->message[at + 1], &s->message[at], (s->count - at) * sizeof(s->message[0]));
    s->message[at] = (uint16_t)message;
    s->count++;
    return true;
}

/* --- moves --- */

static uint32_t list_moves(const struct explorer *x, const struct state *s, struct move *moves)
{
    const struct explore_scope *scope = &x->core.scope;
    uint32_t count = 0;
    for (uint8_t at = 0; at < EXPLORE_SERVERS; at++) {
        const struct explore_node *node = node_of(x, s, at);
        moves[count++] = (struct move){at, {.kind = EXPLORE_TIMEOUT}};
        if (node->writes > 0)
            moves[count++] = (struct move){at, {.kind = EXPLORE_DURABLE}};
        for (uint8_t list = 0; list < scope->lists; list++) {
            if (s->crashes < scope->crashes)
                moves[count++] = (struct move){at, {.kind = EXPLORE_CRASH, .list = list}};
            if (s->wipes < scope->wipes && at == 0 && !node->wiped)
                moves[count++] =
                    (struct move){at, {.kind = EXPLORE_CRASH, .list = list, .wipe = true}};
        }
    }
    for (uint32_t i = 0; i < s->count; i++)
        moves[count++] = (struct move){(uint8_t)(message_of(x, s->message[i])->msg.to - 1),
                                       {.kind = EXPLORE_RECV, .message = s->message[i]}};
    return count;
}

/* Makes a move of *s; false: it is outside the scope, or changes nothing. */
static bool make(struct explorer *x, struct state *s, const struct move *move)
{
    const struct paxos_record *disk = disk_of(x, s, move->at);
    if (move->event.kind == EXPLORE_CRASH) {
        s->crashes = (uint8_t)(s->crashes + !move->event.wipe);
        s->wipes = (uint8_t)(s->wipes + move->event.wipe);
        for (uint8_t i = 0; i < EXPLORE_LISTS; i++)
            if (move->event.wipe && disk->lock == x->hash[i])
                s->ghost = (uint8_t)(i + 1);
    }
    const struct explore_step *step = explore_core_step(&x->core, s->node[move->at], &move->event);
    if (step->blocked)
        return false;
    bool changed = step->node != s->node[move->at] || step->violation != NULL;
    s->node[move->at] = step->node;
    for (uint32_t i = 0; i < step->news; i++)
        changed |= send(s, step->message[i]);
    x->result.violation = step->violation;
    return changed;
}

/* Whatever some founder can send without becoming another one is sent at once: a state with more
 * messages can do all that it can do without them, since each may be lost. */
static void send_freely(struct explorer *x, struct state *s)
{
    static struct move moves[MOVES_MAX];
    for (bool more = true; more;) {
        more = false;
        uint32_t count = list_moves(x, s, moves);
        for (uint32_t i = 0; i < count; i++) {
            if (moves[i].event.kind == EXPLORE_CRASH)
                continue;
            const struct explore_step *step =
                explore_core_step(&x->core, s->node[moves[i].at], &moves[i].event);
            if (step->blocked || step->node != s->node[moves[i].at])
                continue;
            if (x->result.violation == NULL)
                x->result.violation = step->violation;
            for (uint32_t n = 0; n < step->news; n++)
                more |= send(s, step->message[n]);
        }
    }
}

/* --- what must hold in every state --- */

static const char *check_locks(const struct explorer *x, const struct state *s)
{
    for (uint32_t at = 0; at < EXPLORE_SERVERS; at++) {
        const struct paxos_record *disk = disk_of(x, s, at);
        uint32_t list = 0;
        if (disk->promised == 0)
            continue;
        while (list < EXPLORE_LISTS && x->hash[list] != disk->lock)
            list++;
        for (uint32_t f = 0; f < EXPLORE_SERVERS && list < EXPLORE_LISTS; f++) {
            uint64_t incarnation = x->core.list[list].founder[f + 1].incarnation;
            const struct paxos_record *other = disk_of(x, s, f);
            bool locked = other->incarnation == incarnation && other->lock == disk->lock;
            locked |= f == 0 && incarnation == 1 && s->ghost == list + 1;
            if (incarnation != 0 && !locked)
                return "a promise before all locks";
        }
    }
    return NULL;
}

static const char *check_records(struct explorer *x, const struct state *s)
{
    const struct genesis *value[EXPLORE_SERVERS + EXPLORE_MESSAGES_MAX];
    uint32_t count = 0;
    for (uint32_t at = 0; at < EXPLORE_SERVERS; at++)
        if (disk_of(x, s, at)->decided)
            value[count++] = &disk_of(x, s, at)->value;
    for (uint32_t i = 0; i < s->count; i++)
        if (message_of(x, s->message[i])->msg.kind == PAXOS_DECIDED)
            value[count++] = &message_of(x, s->message[i])->msg.value;
    x->result.decided += count > 0;
    for (uint32_t i = 1; i < count; i++)
        if (judge_records(value[0], value[i]) != NULL)
            return judge_records(value[0], value[i]);
    return NULL;
}

/* P2 (2.2): what is asked for above a ballot that has chosen is what that ballot chose. A ballot
 * belongs to one list here, since its proposer has locked one. */
static const char *check_chosen(const struct explorer *x, const struct state *s)
{
    struct {
        uint64_t ballot;
        const struct genesis *value;
        uint32_t by;
    } asked[BALLOTS_MAX];
    uint32_t count = 0;
    for (uint32_t i = 0; i < s->count; i++) {
        const struct paxos_msg *msg = &message_of(x, s->message[i])->msg;
        if (msg->kind != PAXOS_ACCEPT)
            continue;
        uint32_t at = 0;
        while (at < count && asked[at].ballot != msg->ballot)
            at++;
        ENSURE(at < BALLOTS_MAX);
        if (at < count && memcmp(asked[at].value, &msg->value, sizeof(msg->value)) != 0)
            return "two values in one ballot";
        if (at == count) {
            asked[count].by = 0;
            asked[count].value = &msg->value;
            asked[count++].ballot = msg->ballot;
        }
    }
    for (uint32_t at = 0; at < count; at++) {
        for (uint32_t f = 0; f < EXPLORE_SERVERS; f++)
            asked[at].by |= (uint32_t)(disk_of(x, s, f)->accepted == asked[at].ballot) << f;
        for (uint32_t i = 0; i < s->count; i++) {
            const struct paxos_msg *msg = &message_of(x, s->message[i])->msg;
            if (msg->kind == PAXOS_ACCEPTED && msg->ballot == asked[at].ballot)
                asked[at].by |= 1u << (msg->from - 1);
        }
        for (uint32_t b = 0; b < count; b++)
            if (2 * __builtin_popcount(asked[at].by) > EXPLORE_SERVERS &&
                asked[b].ballot > asked[at].ballot &&
                asked[b].value->cluster_id != asked[at].value->cluster_id)
                return "a ballot asks for another value than one below it has chosen";
    }
    return NULL;
}

static const char *check(struct explorer *x, const struct state *s)
{
    const char *broken = check_locks(x, s);
    if (broken == NULL)
        broken = check_records(x, s);
    return broken != NULL ? broken : check_chosen(x, s);
}

/* --- the search --- */

/* Everything that is sent arrives, and every write lands, until nothing changes any more. */
static void settle(struct explorer *x, struct state *s)
{
    static struct move moves[MOVES_MAX];
    for (bool changed = true; changed;) {
        changed = false;
        uint32_t count = list_moves(x, s, moves);
        for (uint32_t i = 0; i < count && !changed; i++)
            if (moves[i].event.kind == EXPLORE_DURABLE || moves[i].event.kind == EXPLORE_RECV)
                changed = make(x, s, &moves[i]);
    }
}

static void begin(struct explorer *x, struct state *s)
{
    memset(s, 0, sizeof(*s));
    for (uint32_t i = 0; i < EXPLORE_LISTS; i++)
        x->hash[i] = paxos_list_hash(&x->core.list[i]);
    for (uint8_t at = 0; at < EXPLORE_SERVERS; at++) {
        struct explore_step step;
        explore_core_start(&x->core, (uint8_t)(at + 1), &step);
        s->node[at] = step.node;
        for (uint32_t i = 0; i < step.news; i++)
            send(s, step.message[i]);
    }
    if (x->core.scope.locked)
        settle(x, s);
    send_freely(x, s);
}

static void print_move(const struct explorer *x, const struct move *move, FILE *text)
{
    static const char *const kinds[PAXOS_KINDS] = {"",         "hello",   "hello-reply",
                                                   "prepare",  "promise", "accept",
                                                   "accepted", "refuse",  "decided"};
    fprintf(text, "#   %u ", move->at + 1u);
    switch ((enum explore_event)move->event.kind) {
    case EXPLORE_TIMEOUT:
        fprintf(text, "timeout\n");
        break;
    case EXPLORE_DURABLE:
        fprintf(text, "write lands\n");
        break;
    case EXPLORE_CRASH:
        fprintf(text, "%s, starts with list %u\n", move->event.wipe ? "wiped" : "crashes",
                move->event.list);
        break;
    case EXPLORE_RECV: {
        const struct paxos_msg *m = &message_of(x, move->event.message)->msg;
        fprintf(text, "receives %s of %u locked %u ballot %u.%u held %u.%u value %llu\n",
                kinds[m->kind], m->from, m->locked, (unsigned)paxos_round(m->ballot),
                (unsigned)(uint8_t)m->ballot, (unsigned)paxos_round(m->held),
                (unsigned)(uint8_t)m->held, (unsigned long long)m->value.cluster_id);
        break;
    }
    }
}

/* The way to state `number`, then `last`. */
static void print_way(struct explorer *x, uint32_t number, const struct move *last, FILE *text)
{
    static struct move moves[MOVES_MAX];
    static uint16_t way[UINT16_MAX];
    struct state s;
    uint32_t length = 0;
    for (; number != 0; number = x->seen.trail[number].parent)
        way[length++] = x->seen.trail[number].move;
    begin(x, &s);
    while (length > 0) {
        list_moves(x, &s, moves);
        const struct move *move = &moves[way[--length]];
        print_move(x, move, text);
        make(x, &s, move);
        send_freely(x, &s);
    }
    print_move(x, last, text);
}

static void follow(struct explorer *x, const struct state *from, uint32_t number, FILE *text)
{
    static struct move moves[MOVES_MAX];
    uint32_t count = list_moves(x, from, moves);
    uint16_t depth = (uint16_t)(x->seen.trail[number].depth + 1);
    for (uint32_t i = 0; i < count && x->result.violation == NULL; i++) {
        struct state s = *from;
        if (!make(x, &s, &moves[i]))
            continue;
        if (x->result.violation == NULL)
            send_freely(x, &s);
        x->result.transitions++;
        uint64_t known = x->seen.count;
        if (x->result.violation == NULL &&
            seen_add(&x->seen, (const uint8_t *)&s, state_size(&s), number, (uint16_t)i, depth)) {
            x->result.depth = depth;
            x->result.violation = check(x, &s);
        }
        if (x->result.violation != NULL && text != NULL) {
            const char *violation = x->result.violation;
            fprintf(text, "# %s, after %u moves, in state %llu:\n", violation, depth,
                    (unsigned long long)known);
            print_way(x, number, &moves[i], text);
            x->result.violation = violation;
        }
    }
}

struct explore_result explore_run(const struct explore_scope *scope, FILE *text)
{
    static struct explorer x;
    static struct state s;
    memset(&x, 0, sizeof(x));
    ENSURE(scope->lists >= 1 && scope->lists <= EXPLORE_LISTS);
    ENSURE(scope->writes >= 1 && scope->writes <= EXPLORE_WRITES_MAX);
    explore_core_init(&x.core, scope);
    seen_init(&x.seen, (size_t)MEMORY_MAX_MIB << 20);
    begin(&x, &s);
    seen_add(&x.seen, (const uint8_t *)&s, state_size(&s), 0, 0, 0);
    uint32_t number = 0;
    while (x.result.violation == NULL && !x.seen.full && x.seen.count < scope->states_max) {
        memset(&s, 0, sizeof(s));
        if (seen_next(&x.seen, (uint8_t *)&s, sizeof(s)) == 0) {
            x.result.fixpoint = true;
            break;
        }
        follow(&x, &s, number++, text);
    }
    x.result.states = x.seen.count;
    x.result.founders = x.core.node.count;
    x.result.messages = x.core.message.count;
    struct explore_result result = x.result;
    seen_free(&x.seen);
    explore_core_free(&x.core);
    return result;
}
