/* What operators ask for, each request under an id of its own: the outcome of the last
 * MACHINE_REQUESTS_KEPT is kept, so that a request that is repeated, to whichever leader, is told
 * what became of it instead of being done twice.
 */
#include "consensus/machine/machine_encode.h"

#include <string.h>

struct operated_record { /* encoded: then the restraints, then the kept requests from the oldest */
    uint64_t requests;
    uint32_t drained;
    uint32_t restraints;
};
_Static_assert(sizeof(struct operated_record) == 16, "encoded operators' part");

const struct machine_request *machine_request(const struct machine *machine, const uint64_t id[2])
{
    const struct machine_operated *o = &machine->operated;
    for (uint32_t i = 0; i < MACHINE_REQUESTS_KEPT; i++) /* no id is zero, like a free place's */
        if (o->request[i].id[0] == id[0] && o->request[i].id[1] == id[1])
            return &o->request[i];
    return NULL;
}

/* --- sessions and principals that are held back ------------------------------------------------
 */

void machine_restrain(const struct machine *machine, struct machine_session *session)
{
    const struct machine_operated *o = &machine->operated;
    session->rate = 0;
    session->suspended = 0;
    for (uint32_t i = 0; i < o->restraints; i++) {
        const struct machine_restraint *r = &o->restraint[i];
        if (r->session != 0 ? r->session != session->id : r->principal != session->principal)
            continue;
        session->suspended |= r->suspended != 0;
        if (r->rate != 0 && (session->rate == 0 || r->rate < session->rate))
            session->rate = r->rate;
    }
}

static void restrain_all(struct machine *machine)
{
    struct machine_session *sessions = machine_sessions(machine);
    for (uint32_t slot = 0; slot < machine->sessions_max; slot++)
        if (sessions[slot].id != 0)
            machine_restrain(machine, &sessions[slot]);
}

/* Place in the table; `restraints`: none. */
static uint32_t restraint_find(const struct machine_operated *o, uint64_t session,
                               uint32_t principal)
{
    uint32_t at = 0;
    while (at < o->restraints &&
           (o->restraint[at].session != session || o->restraint[at].principal != principal))
        at++;
    return at;
}

static void restraint_drop(struct machine_operated *o, uint32_t at)
{
    o->restraints--;
    memmove(&o->restraint[at], &o->restraint[at + 1],
            (o->restraints - at) * sizeof(o->restraint[0]));
    memset(&o->restraint[o->restraints], 0, sizeof(o->restraint[0]));
}

void machine_restraint_forget(struct machine *machine, struct machine_session *session)
{
    uint32_t at = restraint_find(&machine->operated, session->id, 0);
    if (at == machine->operated.restraints)
        return;
    restraint_drop(&machine->operated, at);
    machine_restrain(machine, session); /* by its principal's, if there is one */
}

static enum machine_status hold_back(struct machine *machine, const struct entry_operator *op)
{
    struct machine_operated *o = &machine->operated;
    struct machine_session *session = machine_session_by_id(machine, op->session);
    if (op->session != 0 && session == NULL)
        return MACHINE_UNKNOWN;
    if (session != NULL && !machine_alive(session))
        return MACHINE_SESSION_ENDED;
    uint32_t at = restraint_find(o, op->session, op->principal);
    if (at == o->restraints) {
        if (op->value == 0)
            return MACHINE_DONE; /* nothing holds it back */
        if (at == MACHINE_RESTRAINTS_MAX)
            return MACHINE_RESTRAINT_TABLE;
        o->restraints++;
        o->restraint[at].session = op->session;
        o->restraint[at].principal = op->principal;
    }
    struct machine_restraint *r = &o->restraint[at];
    *(op->operation == OPERATOR_SUSPEND ? &r->suspended : &r->rate) = op->value;
    if (r->suspended == 0 && r->rate == 0)
        restraint_drop(o, at);
    if (session != NULL)
        machine_restrain(machine, session);
    else
        restrain_all(machine);
    return MACHINE_DONE;
}

/* --- replicas that are not to lead -------------------------------------------------------------
 */

/* Who may lead once no change of the members is under way any more. */
static uint32_t electable(const struct entry_config *config)
{
    return config->voters_new != 0 ? config->voters_new : config->voters;
}

static enum machine_status drain(struct machine *machine, const struct entry_operator *op)
{
    uint32_t *drained = &machine->operated.drained;
    uint32_t bit = UINT32_C(1) << op->replica;
    if (machine->config.member[op->replica].incarnation == 0)
        return MACHINE_UNKNOWN;
    if (op->value == 0)
        *drained &= ~bit;
    else if ((electable(&machine->config) & ~(*drained | bit)) == 0)
        return MACHINE_NO_LEADER_LEFT;
    else
        *drained |= bit;
    return MACHINE_DONE;
}

/* It was that server that was to be serviced, not its id; and somebody has to lead. */
void machine_drained_config(struct machine *machine, const struct entry_config *before)
{
    uint32_t *drained = &machine->operated.drained;
    for (uint32_t id = 1; id <= KEEL_REPLICA_MAX; id++)
        if (machine->config.member[id].incarnation != before->member[id].incarnation)
            *drained &= ~(UINT32_C(1) << id);
    if ((electable(&machine->config) & ~*drained) == 0)
        *drained = 0;
}

/* --- the entry ---------------------------------------------------------------------------------
 */

static enum machine_status operate(struct machine *machine, const struct entry *entry,
                                   const struct entry_operator *op, uint64_t *value)
{
    *value = machine->applied;
    switch ((enum operator_operation)op->operation) { /* unreachable: none, see entry_check() */
    case OPERATOR_NODE:
        return machine_node_operate(machine, NULL, entry->principal, op->value != 0,
                                    (const uint8_t *)(op + 1), value);
    case OPERATOR_SUSPEND:
    case OPERATOR_LIMIT:
        return hold_back(machine, op);
    case OPERATOR_DRAIN:
        return drain(machine, op);
    }
    return MACHINE_BAD_ENTRY;
}

void machine_apply_operator(struct machine *machine, const struct entry *entry,
                            struct machine_outcome *outcome)
{
    const struct entry_operator *op = entry_body(entry);
    outcome->value = 0;
    if (entry->principal >= KEEL_CLIENT_MIN) {
        outcome->status = MACHINE_NOT_OWNER;
        return;
    }
    uint64_t hash = hash_bytes(op, sizeof(*op) + op->size, HASH_K1);
    const struct machine_request *before = machine_request(machine, op->request);
    if (before != NULL) {
        bool same = before->hash == hash;
        outcome->status = same ? (uint8_t)before->status : MACHINE_DIFFERENT;
        outcome->value = same ? before->value : 0;
        outcome->repeats = before->index;
        return;
    }
    outcome->status = (uint8_t)operate(machine, entry, op, &outcome->value);
    outcome->nodes_touched = op->operation == OPERATOR_NODE;
    struct machine_operated *o = &machine->operated;
    o->request[o->requests++ % MACHINE_REQUESTS_KEPT] =
        (struct machine_request){.id = {op->request[0], op->request[1]},
                                 .hash = hash,
                                 .index = entry->index,
                                 .value = outcome->value,
                                 .status = outcome->status,
                                 .operation = op->operation};
    machine_digest(machine, hash, outcome->value);
}

/* --- the encoding ------------------------------------------------------------------------------
 */

static uint32_t kept(uint64_t requests)
{
    return requests < MACHINE_REQUESTS_KEPT ? (uint32_t)requests : MACHINE_REQUESTS_KEPT;
}

size_t machine_operated_encoded_max(void)
{
    return sizeof(struct operated_record) +
           MACHINE_RESTRAINTS_MAX * sizeof(struct machine_restraint) +
           MACHINE_REQUESTS_KEPT * sizeof(struct machine_request);
}

void machine_put_operated(struct sink *sink, const struct machine *machine)
{
    const struct machine_operated *o = &machine->operated;
    const struct operated_record head = {
        .requests = o->requests, .drained = o->drained, .restraints = o->restraints};
    machine_put(sink, &head, sizeof(head));
    machine_put(sink, o->restraint, o->restraints * sizeof(o->restraint[0]));
    for (uint64_t i = o->requests - kept(o->requests); i < o->requests; i++)
        machine_put(sink, &o->request[i % MACHINE_REQUESTS_KEPT], sizeof(o->request[0]));
}

static const char *restraint_problem(const struct machine *machine,
                                     const struct machine_restraint *r)
{
    const struct machine_operated *o = &machine->operated;
    const struct machine_session *session = machine_session(machine, r->session);
    bool known = r->session != 0 ? r->principal == 0 && session != NULL && machine_alive(session)
                                 : r->principal >= KEEL_CLIENT_MIN;
    if (!known || restraint_find(o, r->session, r->principal) != o->restraints)
        return "a restraint of nobody, or a second one";
    if (r->suspended > 1 || r->rate > OPERATOR_RATE_MAX || r->reserved != 0 ||
        (r->suspended == 0 && r->rate == 0))
        return "a restraint out of range";
    return NULL;
}

static const char *request_problem(const struct machine *machine, const struct machine_request *r,
                                   uint64_t after)
{
    if ((r->id[0] | r->id[1]) == 0 || machine_request(machine, r->id) != NULL)
        return "an operator's request without an id of its own";
    if (r->index <= after || r->index > machine->applied || r->status > MACHINE_NO_LEADER_LEFT ||
        r->operation < OPERATOR_NODE || r->operation > OPERATOR_DRAIN)
        return "an operator's request out of range";
    return NULL;
}

static const char *drained_problem(const struct machine *machine, uint32_t drained)
{
    uint32_t members = 0;
    for (uint32_t id = 1; id <= KEEL_REPLICA_MAX; id++)
        members |= (uint32_t)(machine->config.member[id].incarnation != 0) << id;
    bool fit = (drained & ~members) == 0 && (electable(&machine->config) & ~drained) != 0;
    return fit ? NULL : "drained replicas that are no members, or leave no leader";
}

const char *machine_take_operated(struct machine *machine, struct source *source)
{
    struct machine_operated *o = &machine->operated;
    struct operated_record head;
    if (!machine_take(source, &head, sizeof(head)))
        return "cut off";
    if (head.restraints > MACHINE_RESTRAINTS_MAX)
        return "more restraints than the table holds";
    const char *problem = drained_problem(machine, head.drained);
    o->drained = head.drained;
    while (problem == NULL &&
           o->restraints < head.restraints) { /* at most MACHINE_RESTRAINTS_MAX */
        struct machine_restraint r;
        if (!machine_take(source, &r, sizeof(r)))
            return "cut off";
        problem = restraint_problem(machine, &r);
        o->restraint[o->restraints++] = r;
    }
    uint64_t after = 0;
    for (uint32_t i = 0; problem == NULL && i < kept(head.requests); i++) {
        struct machine_request r;
        if (!machine_take(source, &r, sizeof(r)))
            return "cut off";
        problem = request_problem(machine, &r, after);
        after = r.index;
        o->request[(head.requests - kept(head.requests) + i) % MACHINE_REQUESTS_KEPT] = r;
    }
    o->requests = head.requests;
    restrain_all(machine);
    return problem;
}
