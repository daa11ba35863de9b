#include "tests/unit/paxos/paxos_explore_core.h"

#include "consensus/ensure.h"

#include <stdlib.h>
#include <string.h>

struct key {
    uint32_t node;
    struct explore_event_of event;
};

void explore_core_init(struct explore_core *core, const struct explore_scope *scope)
{
    memset(core, 0, sizeof(*core));
    core->scope = *scope;
    struct genesis_founder founder[KEEL_REPLICA_MAX + 1] = {{0}};
    for (uint8_t id = 1; id <= EXPLORE_SERVERS; id++)
        founder[id] = judge_founder(id, id);
    core->list[0] = judge_record(founder, 1);
    founder[1].incarnation = 9;
    core->list[1] = judge_record(founder, 1);
    founder[1].incarnation = 1;
    founder[3] = (struct genesis_founder){0};
    core->list[2] = judge_record(founder, 1);
    intern_init(&core->paxos, sizeof(struct paxos));
    intern_init(&core->record, sizeof(struct paxos_record));
    intern_init(&core->message, sizeof(struct explore_message));
    intern_init(&core->node, sizeof(struct explore_node));
    intern_init(&core->keys, sizeof(struct key));
}

void explore_core_free(struct explore_core *core)
{
    intern_free(&core->paxos);
    intern_free(&core->record);
    intern_free(&core->message);
    intern_free(&core->node);
    intern_free(&core->keys);
    free(core->step);
}

/* A founder with its parts at hand, while it makes a step. */
struct open {
    struct explore_core *core;
    struct explore_node node;
    struct paxos paxos;
    struct paxos_record disk;
    struct explore_step *step;
};

static void broken(struct open *open, const char *what)
{
    if (what != NULL && open->step->violation == NULL)
        open->step->violation = what;
}

static uint64_t incarnation_of(const struct open *open)
{
    return open->paxos.incarnation;
}

static void tell(struct open *open, uint32_t message)
{
    const struct explore_message *m = intern_blob(&open->core->message, message);
    struct explore_step *step = open->step;
    broken(open, judge_release(&open->disk, &m->msg));
    for (uint32_t i = 0; i < step->news; i++)
        if (step->message[i] == message)
            return;
    ENSURE(step->news < EXPLORE_NEWS_MAX);
    step->message[step->news++] = message;
}

/* In order and each once, so that equal gates have equal bytes. */
static void hold(struct open *open, uint64_t persist, uint32_t message)
{
    struct explore_node *node = &open->node;
    uint32_t at = 0;
    struct explore_gated g = {(uint32_t)persist, message};
    while (at < node->gated &&
           (node->gate[at].persist < g.persist ||
            (node->gate[at].persist == g.persist && node->gate[at].message < message)))
        at++;
    if (at < node->gated && node->gate[at].persist == g.persist &&
        node->gate[at].message == message)
        return;
    ENSURE(node->gated < EXPLORE_GATE_MAX);
    memmove(&node->gate[at + 1], &node->gate[at], (node->gated - at) * sizeof(g));
    node->gate[at] = g;
    node->gated++;
}

static void event(struct open *open, struct paxos_in *in)
{
    static struct paxos before;
    static struct paxos_out out;
    struct explore_node *node = &open->node;
    before = open->paxos;
    paxos_step(&open->paxos, in, &out);
    broken(open, judge_step(&before, &open->paxos, &out));
    if (out.drop == PAXOS_DROP_CONTRADICTS)
        broken(open, "a message contradicts what is held");
    if (out.decided && !open->disk.decided)
        broken(open, "a record was handed out before it was durable");
    if (out.write) {
        if (node->writes == open->core->scope.writes) {
            open->step->blocked = true;
            return;
        }
        node->write[node->writes++] = intern_number(&open->core->record, &open->paxos.record);
    }
    for (uint32_t i = 0; i < out.send_count; i++) {
        struct explore_message m = {incarnation_of(open), out.send[i].msg};
        uint32_t message = intern_number(&open->core->message, &m);
        if (out.send[i].persist <= open->paxos.durable)
            tell(open, message);
        else
            hold(open, out.send[i].persist - open->paxos.durable, message);
    }
}

static void start(struct open *open, uint8_t id, bool wiped)
{
    struct paxos_boot boot = {.id = id, .incarnation = wiped ? 8u + id : id, .record = open->disk};
    boot.proposal = open->core->list[open->node.list];
    boot.proposal.cluster_id = (uint64_t)100 * id + open->node.life;
    paxos_init(&open->paxos, &boot);
    struct paxos_in in = {.event = PAXOS_EV_START};
    event(open, &in);
}

/* The oldest write lands, and what waited for it goes. */
static void land(struct open *open)
{
    struct explore_node *node = &open->node;
    struct explore_gated gate[EXPLORE_GATE_MAX];
    uint32_t gated = node->gated;
    open->disk = *(const struct paxos_record *)intern_blob(&open->core->record, node->write[0]);
    node->disk = node->write[0];
    memmove(node->write, node->write + 1, (EXPLORE_WRITES_MAX - 1) * sizeof(node->write[0]));
    node->write[EXPLORE_WRITES_MAX - 1] = 0;
    node->writes--;
    memcpy(gate, node->gate, sizeof(gate));
    memset(node->gate, 0, sizeof(node->gate));
    node->gated = 0;
    for (uint32_t i = 0; i < gated; i++)
        if (gate[i].persist == 1)
            tell(open, gate[i].message);
        else
            hold(open, gate[i].persist - 1, gate[i].message);
    struct paxos_in in = {.event = PAXOS_EV_DURABLE, .persist = open->paxos.durable + 1};
    event(open, &in);
}

static void crash(struct open *open, const struct explore_event_of *e)
{
    struct explore_node *node = &open->node;
    uint8_t id = open->paxos.id;
    if (e->wipe) {
        memset(&open->disk, 0, sizeof(open->disk));
        node->disk = intern_number(&open->core->record, &open->disk);
        node->wiped = 1;
    }
    node->writes = 0;
    node->gated = 0;
    memset(node->write, 0, sizeof(node->write));
    memset(node->gate, 0, sizeof(node->gate));
    node->list = e->list;
    node->life++;
    start(open, id, node->wiped != 0);
}

/* Renames the persist numbers: the durable one is 0. What is behind it no longer matters. */
static uint64_t renamed(uint64_t persist, uint64_t durable)
{
    return persist > durable ? persist - durable : 0;
}

static void close_node(struct open *open)
{
    struct paxos *p = &open->paxos;
    p->persist -= p->durable;
    p->lock_persist = renamed(p->lock_persist, p->durable);
    p->own_persist = renamed(p->own_persist, p->durable);
    p->decided_persist = renamed(p->decided_persist, p->durable);
    p->durable = 0;
    p->attempts = 0; /* only waits depend on it */
    open->node.paxos = intern_number(&open->core->paxos, p);
    open->step->node = intern_number(&open->core->node, &open->node);
}

void explore_core_start(struct explore_core *core, uint8_t id, struct explore_step *step)
{
    static struct open open;
    memset(&open, 0, sizeof(open));
    memset(step, 0, sizeof(*step));
    open.core = core;
    open.step = step;
    open.node.disk = intern_number(&core->record, &open.disk);
    start(&open, id, false);
    close_node(&open);
}

static void make(struct explore_core *core, uint32_t number, const struct explore_event_of *e,
                 struct explore_step *step)
{
    static struct open open;
    open.core = core;
    open.step = step;
    open.node = *(const struct explore_node *)intern_blob(&core->node, number);
    open.paxos = *(const struct paxos *)intern_blob(&core->paxos, open.node.paxos);
    open.disk = *(const struct paxos_record *)intern_blob(&core->record, open.node.disk);
    uint64_t ballot = open.paxos.ballot;
    bool proposes = (core->scope.proposers >> open.paxos.id & 1) != 0;
    struct paxos_in in = {.event = PAXOS_EV_TIMEOUT};
    switch ((enum explore_event)e->kind) {
    case EXPLORE_TIMEOUT:
        event(&open, &in);
        if (open.paxos.ballot != ballot &&
            (!proposes || paxos_round(open.paxos.ballot) > core->scope.rounds))
            step->blocked = true;
        break;
    case EXPLORE_DURABLE:
        land(&open);
        break;
    case EXPLORE_CRASH:
        crash(&open, e);
        break;
    case EXPLORE_RECV: {
        const struct explore_message *m = intern_blob(&core->message, e->message);
        in =
            (struct paxos_in){.event = PAXOS_EV_RECV, .msg = m->msg, .incarnation = m->incarnation};
        event(&open, &in);
        break;
    }
    }
    if (!step->blocked)
        close_node(&open);
}

const struct explore_step *explore_core_step(struct explore_core *core, uint32_t node,
                                             const struct explore_event_of *event_of)
{
    struct key key = {node, *event_of};
    uint32_t number = intern_number(&core->keys, &key);
    if (number < core->steps)
        return &core->step[number];
    ENSURE(number == core->steps);
    if (core->steps == core->steps_room) {
        core->steps_room = core->steps_room == 0 ? 1024 : 2 * core->steps_room;
        core->step = realloc(core->step, core->steps_room * sizeof(core->step[0]));
        ENSURE(core->step != NULL);
    }
    struct explore_step *step = &core->step[core->steps++];
    memset(step, 0, sizeof(*step));
    step->node = node;
    make(core, node, event_of, step);
    return step;
}
