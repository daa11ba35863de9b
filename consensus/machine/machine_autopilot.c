/* The autopilot's settings and decisions. A leader's control proposes; here it is judged once more
 * by what every replica knows, so that no leader, however it errs, can take a vote away against the
 * settings, twice at once, before its time, or from so many that a quorum is lost.
 *
 * A decision changes no members. It names the configuration that it is about, and the change that
 * follows replaces exactly that one or nothing (Raft's compare-and-set): so another change that
 * comes in between, of people or of another leader, ends the decision.
 */
#include "consensus/machine/machine_encode.h"

#include <string.h>

void machine_autopilot_init(struct machine *machine)
{
    struct machine_autopilot *a = &machine->autopilot;
    memset(a, 0, sizeof(*a));
    a->mode = AUTOPILOT_OFF;
    a->dead_ms = AUTOPILOT_DEAD_MS;
    a->stabilise_ms = AUTOPILOT_STABILISE_MS;
}

const struct machine_decision *machine_decision(const struct machine_autopilot *autopilot,
                                                uint32_t before)
{
    if (before >= MACHINE_DECISIONS || before >= autopilot->decisions)
        return NULL;
    return &autopilot->decision[(autopilot->decisions - 1 - before) % MACHINE_DECISIONS];
}

static uint32_t kept(const struct machine_autopilot *a)
{
    return a->decisions < MACHINE_DECISIONS ? (uint32_t)a->decisions : MACHINE_DECISIONS;
}

/* The newest decision, if it is a replacement. */
static struct machine_decision *newest_replacement(struct machine_autopilot *a)
{
    if (a->decisions == 0)
        return NULL;
    struct machine_decision *d = &a->decision[(a->decisions - 1) % MACHINE_DECISIONS];
    return d->action == AUTOPILOT_REPLACE ? d : NULL;
}

static bool has(uint32_t mask, uint32_t id)
{
    return (mask >> id & 1) != 0;
}

static uint32_t without(uint32_t mask, uint32_t id)
{
    return mask & ~(UINT32_C(1) << id);
}

static void finish(struct machine_decision *d, enum decision_state state, uint64_t index,
                   uint8_t reason)
{
    d->state = (uint8_t)state;
    d->ended_index = index;
    d->reason = reason;
}

/* Log time has passed so long since `from`. */
static bool passed(const struct machine *machine, uint64_t from_log_ns, uint32_t ms)
{
    return machine->log_ns >= from_log_ns + (uint64_t)ms * NS_PER_MS;
}

static enum machine_status apply_settings(struct machine *machine, const struct entry *entry,
                                          const struct entry_autopilot *e)
{
    struct machine_autopilot *a = &machine->autopilot;
    if (e->was != a->revision)
        return MACHINE_CHANGED;
    if ((e->standbys & ~machine->config.learners) != 0)
        return MACHINE_NOT_ALLOWED;
    a->revision = entry->index;
    a->mode = e->mode;
    a->dead_ms = e->dead_ms;
    a->stabilise_ms = e->stabilise_ms;
    a->standbys = e->standbys;
    a->replaced &= ~e->standbys;
    struct machine_decision *d = newest_replacement(a);
    if (d != NULL && d->state == DECISION_OPEN)
        finish(d, DECISION_WITHDRAWN, entry->index, AUTOPILOT_ENDED);
    return MACHINE_SEQUENCED;
}

static void note(struct machine *machine, const struct entry *entry,
                 const struct entry_autopilot *e, enum decision_state state)
{
    struct machine_autopilot *a = &machine->autopilot;
    const struct entry_member *member = machine->config.member;
    a->decision[a->decisions % MACHINE_DECISIONS] = (struct machine_decision){
        .index = entry->index,
        .term = entry->term,
        .log_ns = machine->log_ns,
        .utc_ns = machine->utc_ns,
        .was = e->was,
        .voter_incarnation = member[e->voter].incarnation,
        .standby_incarnation = member[e->standby].incarnation,
        .behind = e->behind,
        .ended_index = state == DECISION_DONE ? entry->index : 0,
        .silent_ms = e->silent_ms,
        .steady_ms = e->steady_ms,
        .well = e->well,
        .action = e->action,
        .voter = e->voter,
        .standby = e->standby,
        .state = (uint8_t)state,
    };
    a->decisions++;
    machine_digest(machine, e->was, (uint64_t)e->voter << 8 | e->standby);
}

/* A majority is heard, the dead one not among it: as many as before vote then, and these with them.
 * So neither the joint configuration nor the one behind it lacks a quorum. */
static bool keeps_quorum(const struct machine *machine, const struct entry_autopilot *e)
{
    uint32_t voters = machine->config.voters;
    return !has(e->well, e->voter) &&
           2 * __builtin_popcount(voters & e->well) > __builtin_popcount(voters);
}

/* A decision that stands: it is open, or dry-run has told the same already. */
static bool stands(const struct machine_autopilot *a, const struct machine_decision *d,
                   const struct entry_autopilot *e)
{
    if (d == NULL)
        return false;
    if (d->state == DECISION_OPEN)
        return true;
    return a->mode == AUTOPILOT_DRY_RUN && d->state == DECISION_DRY && d->was == e->was &&
           d->voter == e->voter;
}

static enum machine_status apply_replace(struct machine *machine, const struct entry *entry,
                                         const struct entry_autopilot *e)
{
    struct machine_autopilot *a = &machine->autopilot;
    const struct entry_config *config = &machine->config;
    if (a->mode == AUTOPILOT_OFF)
        return MACHINE_NOT_ALLOWED;
    if (e->was != machine->config_index || config->voters_new != 0 ||
        stands(a, newest_replacement(a), e))
        return MACHINE_CHANGED;
    if (!has(config->voters, e->voter) || !has(a->standbys, e->standby) ||
        !keeps_quorum(machine, e))
        return MACHINE_NOT_ALLOWED;
    if (e->silent_ms < a->dead_ms || e->steady_ms < a->stabilise_ms ||
        !passed(machine, machine->noop_log_ns, a->dead_ms) ||
        !passed(machine, a->changed_log_ns, a->stabilise_ms))
        return MACHINE_NOT_EXPIRED;
    note(machine, entry, e, a->mode == AUTOPILOT_ON ? DECISION_OPEN : DECISION_DRY);
    return MACHINE_SEQUENCED;
}

static enum machine_status apply_withdraw(struct machine *machine, const struct entry *entry,
                                          const struct entry_autopilot *e)
{
    struct machine_decision *d = newest_replacement(&machine->autopilot);
    if (d == NULL || d->state != DECISION_OPEN || d->was != e->was || d->voter != e->voter ||
        d->standby != e->standby)
        return MACHINE_CHANGED;
    finish(d, DECISION_WITHDRAWN, entry->index, (uint8_t)e->reason);
    return MACHINE_SEQUENCED;
}

/* Its vote does not come back with it: it waits, as a standby, until another one dies. */
static enum machine_status apply_return(struct machine *machine, const struct entry *entry,
                                        const struct entry_autopilot *e)
{
    struct machine_autopilot *a = &machine->autopilot;
    const struct machine_decision *d = newest_replacement(a);
    if (a->mode != AUTOPILOT_ON || !has(a->replaced, e->voter))
        return MACHINE_NOT_ALLOWED;
    if (e->was != machine->config_index || (d != NULL && d->state == DECISION_OPEN))
        return MACHINE_CHANGED;
    if (e->steady_ms < a->stabilise_ms)
        return MACHINE_NOT_EXPIRED;
    note(machine, entry, e, DECISION_DONE);
    a->replaced = without(a->replaced, e->voter);
    a->standbys |= UINT32_C(1) << e->voter;
    return MACHINE_SEQUENCED;
}

enum machine_status machine_apply_autopilot(struct machine *machine, const struct entry *entry)
{
    struct entry_autopilot e;
    memcpy(&e, entry_body(entry), sizeof(e));
    if (e.action == AUTOPILOT_SET)
        return apply_settings(machine, entry, &e);
    if (e.term != machine->noop_term)
        return MACHINE_NOT_EXPIRED; /* of a leader that is none any more */
    if (e.action == AUTOPILOT_REPLACE)
        return apply_replace(machine, entry, &e);
    return e.action == AUTOPILOT_WITHDRAW ? apply_withdraw(machine, entry, &e)
                                          : apply_return(machine, entry, &e);
}

/* The change that a decision called for, also when it was withdrawn while that was on its way. */
static bool carries_out(const struct entry_config *config, const struct machine_decision *d)
{
    uint32_t voters = config->voters_new != 0 ? config->voters_new : config->voters;
    return !has(voters, d->voter) && has(voters, d->standby) && has(config->learners, d->voter) &&
           config->member[d->voter].incarnation == d->voter_incarnation;
}

void machine_autopilot_members(struct machine *machine, const struct entry *entry,
                               const struct entry_config *before, uint64_t before_index)
{
    struct machine_autopilot *a = &machine->autopilot;
    const struct entry_config *now = &machine->config;
    a->changed_log_ns = machine->log_ns;
    struct machine_decision *d = newest_replacement(a);
    if (d != NULL && d->was == before_index && d->state != DECISION_DRY) {
        if (carries_out(now, d)) {
            finish(d, DECISION_DONE, entry->index, 0);
            a->replaced |= UINT32_C(1) << d->voter;
        } else if (d->state == DECISION_OPEN) {
            finish(d, DECISION_OVERTAKEN, entry->index, 0);
        }
    }
    for (uint32_t id = 1; id <= KEEL_REPLICA_MAX; id++)
        if (!has(now->learners, id) ||
            now->member[id].incarnation != before->member[id].incarnation) {
            a->standbys = without(a->standbys, id);
            a->replaced = without(a->replaced, id);
        }
}

/* --- checkpoints: the settings, then the decisions that are kept, by their place
 * --------------- */

static bool time_ok(uint32_t ms)
{
    return ms >= AUTOPILOT_TIME_MIN_MS && ms <= AUTOPILOT_TIME_MAX_MS;
}

/* Only a decision about the configuration in force can be open. */
static bool decision_ok(const struct machine *machine, const struct machine_decision *d)
{
    static const uint8_t zeros[sizeof(d->reserved)];
    bool replaces = d->action == AUTOPILOT_REPLACE;
    if (d->index == 0 || d->index > machine->applied || d->ended_index > machine->applied ||
        d->was >= d->index || memcmp(d->reserved, zeros, sizeof(zeros)) != 0 ||
        (!replaces && d->action != AUTOPILOT_RETURN) || d->voter == 0 ||
        d->voter > KEEL_REPLICA_MAX || d->standby > KEEL_REPLICA_MAX ||
        (d->standby != 0) != replaces || d->state < DECISION_OPEN || d->state > DECISION_DRY)
        return false;
    bool ended = d->state != DECISION_OPEN && d->state != DECISION_DRY;
    return (d->ended_index != 0) == ended && (d->reason != 0) == (d->state == DECISION_WITHDRAWN) &&
           d->reason <= AUTOPILOT_ENDED &&
           (d->state != DECISION_OPEN || d->was == machine->config_index);
}

static const char *problem_of(const struct machine *machine)
{
    const struct machine_autopilot *a = &machine->autopilot;
    if (a->revision > machine->applied || a->changed_log_ns > machine->log_ns ||
        a->mode > AUTOPILOT_ON || !time_ok(a->dead_ms) || !time_ok(a->stabilise_ms) ||
        a->reserved != 0)
        return "no sane autopilot";
    if (((a->standbys | a->replaced) & ~machine->config.learners) != 0 ||
        (a->standbys & a->replaced) != 0)
        return "a standby that is no learner";
    for (uint32_t i = 0; i < kept(a); i++)
        if (!decision_ok(machine, &a->decision[i]))
            return "no sane decision of the autopilot";
    return NULL;
}

void machine_put_autopilot(struct sink *sink, const struct machine *machine)
{
    const struct machine_autopilot *a = &machine->autopilot;
    machine_put(sink, a, offsetof(struct machine_autopilot, decision));
    machine_put(sink, a->decision, kept(a) * sizeof(a->decision[0]));
}

const char *machine_take_autopilot(struct machine *machine, struct source *source)
{
    struct machine_autopilot *a = &machine->autopilot;
    if (!machine_take(source, a, offsetof(struct machine_autopilot, decision)) ||
        !machine_take(source, a->decision, kept(a) * sizeof(a->decision[0])))
        return "cut off";
    return problem_of(machine);
}
