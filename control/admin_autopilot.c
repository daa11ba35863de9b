#include "control/admin_autopilot.h"

#include "control/admin_request.h"
#include "control/json_put.h"

#include <inttypes.h>
#include <stdio.h>

static json_t *ids(uint32_t mask)
{
    json_t *list = json_array();
    for (uint32_t id = 1; id <= KEEL_REPLICA_MAX; id++)
        if ((mask >> id & 1) != 0)
            json_array_append_new(list, json_integer(id));
    return list;
}

const char *autopilot_state_name(uint32_t state)
{
    switch ((enum decision_state)state) {
    case DECISION_OPEN:
        return "open";
    case DECISION_DONE:
        return "done";
    case DECISION_WITHDRAWN:
        return "withdrawn";
    case DECISION_OVERTAKEN:
        return "overtaken";
    case DECISION_DRY:
        return "dry-run";
    }
    return "unknown";
}

const char *autopilot_withdrawal_name(uint32_t reason)
{
    switch ((enum autopilot_withdrawal)reason) {
    case AUTOPILOT_VOTER_BACK:
        return "the voter is back";
    case AUTOPILOT_STANDBY_LOST:
        return "the standby is silent or behind";
    case AUTOPILOT_ENDED:
        return "other settings";
    }
    return "";
}

const char *autopilot_text(const struct machine_decision *d, char *text)
{
    if (d->action == AUTOPILOT_RETURN)
        snprintf(text, AUTOPILOT_TEXT_MAX,
                 "replica %u, which was replaced, is back: heard and caught up for %u ms, %" PRIu64
                 " entries behind; it is a standby from now on",
                 d->voter, d->steady_ms, d->behind);
    else
        snprintf(text, AUTOPILOT_TEXT_MAX,
                 "voter %u was silent for %u ms; standby %u takes its place: heard and caught up "
                 "for %u ms, %" PRIu64 " entries behind; %d voters were heard",
                 d->voter, d->silent_ms, d->standby, d->steady_ms, d->behind,
                 __builtin_popcount(d->well));
    return text;
}

static json_t *decision(const struct machine_decision *d)
{
    char text[AUTOPILOT_TEXT_MAX];
    json_t *to = json_object();
    json_put_number(to, "index", d->index);
    json_put_number(to, "term", d->term);
    json_put_number(to, "log_ns", d->log_ns);
    json_put_number(to, "utc_ns", d->utc_ns);
    json_put_number(to, "config_index", d->was);
    json_object_set_new(to, "action",
                        json_string(d->action == AUTOPILOT_RETURN ? "return" : "replace"));
    json_put_number(to, "replica", d->voter);
    json_object_set_new(to, "standby", d->standby != 0 ? json_integer(d->standby) : json_null());
    json_object_set_new(to, "state", json_string(autopilot_state_name(d->state)));
    json_put_number(to, "ended_index", d->ended_index);
    json_object_set_new(to, "withdrawn_for", json_string(autopilot_withdrawal_name(d->reason)));
    json_put_number(to, "silent_ms", d->silent_ms);
    json_put_number(to, "steady_ms", d->steady_ms);
    json_put_number(to, "behind_entries", d->behind);
    json_object_set_new(to, "heard_voters", ids(d->well));
    json_object_set_new(to, "reason", json_string(autopilot_text(d, text)));
    return to;
}

static const char *role(const struct replica_status *s, const struct machine_autopilot *state,
                        uint32_t id)
{
    if (((s->config.voters | s->config.voters_new) >> id & 1) != 0)
        return "voter";
    if ((state->standbys >> id & 1) != 0)
        return "standby";
    return (state->replaced >> id & 1) != 0 ? "replaced" : "learner";
}

/* What a leader sees; null where nobody looks, or at itself. */
static json_t *sight(const struct replica_status *s, const struct autopilot_status *a, uint32_t id,
                     uint64_t ns)
{
    bool looks = s->role == RAFT_LEADER && a->watched_ns != 0 && s->leader != id;
    return looks ? json_integer((json_int_t)(ns / 1000000)) : json_null();
}

static json_t *members(const struct replica_status *s, const struct autopilot_status *a)
{
    json_t *list = json_array();
    for (uint32_t id = 1; id <= KEEL_REPLICA_MAX; id++) {
        if (s->config.member[id].incarnation == 0)
            continue;
        json_t *to = json_object();
        json_put_number(to, "replica", id);
        json_object_set_new(to, "role", json_string(role(s, &a->state, id)));
        json_object_set_new(to, "silent_ms", sight(s, a, id, a->silent_ns[id]));
        json_object_set_new(to, "steady_ms", sight(s, a, id, a->steady_ns[id]));
        json_array_append_new(list, to);
    }
    return list;
}

json_t *autopilot_report(const struct node *node)
{
    struct replica_status s;
    struct control_status c;
    replica_status(node->start.replica, &s);
    control_status(node->start.control, &c);
    const struct autopilot_status *a = &c.autopilot;
    json_t *to = json_object(), *list = json_array();
    json_object_set_new(to, "mode", json_string(admin_autopilot_mode_name(a->state.mode)));
    json_put_number(to, "revision", a->state.revision);
    json_put_number(to, "dead_ms", a->state.dead_ms);
    json_put_number(to, "stabilise_ms", a->state.stabilise_ms);
    json_object_set_new(to, "standbys", ids(a->state.standbys));
    json_object_set_new(to, "replaced", ids(a->state.replaced));
    json_put_number(to, "leader", s.leader);
    json_put_number(to, "watched_ms", a->watched_ns / 1000000);
    json_object_set_new(to, "why_code", json_string(autopilot_why_name(a->why)));
    json_object_set_new(to, "why", json_string(autopilot_why_text(a->why)));
    json_object_set_new(to, "about", a->about != 0 ? json_integer(a->about) : json_null());
    json_object_set_new(to, "refusal",
                        json_string(a->refusal != 0 ? raft_refusal_name(a->refusal) : ""));
    json_put_number(to, "decisions_made", a->state.decisions);
    json_object_set_new(to, "members", members(&s, a));
    const struct machine_decision *d;
    for (uint32_t i = 0; (d = machine_decision(&a->state, i)) != NULL; i++)
        json_array_insert_new(list, 0, decision(d));
    json_object_set_new(to, "decisions", list);
    return to;
}

bool autopilot_stands(const struct node *node, const struct entry_autopilot *wanted)
{
    struct control_status c;
    control_status(node->start.control, &c);
    const struct machine_autopilot *state = &c.autopilot.state;
    return state->revision != 0 && wanted->was == state->revision && wanted->mode == state->mode &&
           wanted->dead_ms == state->dead_ms && wanted->stabilise_ms == state->stabilise_ms &&
           wanted->standbys == state->standbys;
}

const char *autopilot_refusal(uint32_t status)
{
    if (status == MACHINE_CHANGED)
        return "other settings are in force by now: look at `keelctl autopilot show`, ask again";
    return "a standby must be a learner: `keelctl member add --learner` makes one";
}
