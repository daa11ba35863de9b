#include "control/admin_leadership.h"

#include "control/json_put.h"

#include <stdio.h>

const char *leadership_state_name(uint32_t state)
{
    switch ((enum raft_transfer_state)state) {
    case RAFT_TRANSFER_NONE:
        return "none";
    case RAFT_TRANSFER_WAITING:
        return "waiting";
    case RAFT_TRANSFER_TOLD:
        return "told";
    case RAFT_TRANSFER_DONE:
        return "done";
    case RAFT_TRANSFER_GIVEN_UP:
        return "given-up";
    }
    return "unknown";
}

const char *leadership_reason_name(uint32_t reason)
{
    switch ((enum raft_transfer_reason)reason) {
    case RAFT_TRANSFER_TAKEN:
        return "none";
    case RAFT_TRANSFER_NOT_LEADER:
        return "not-leader";
    case RAFT_TRANSFER_SELF:
        return "leads-already";
    case RAFT_TRANSFER_UNDER_WAY:
        return "under-way";
    case RAFT_TRANSFER_UNKNOWN:
        return "no-member";
    case RAFT_TRANSFER_LEARNER:
        return "learner";
    case RAFT_TRANSFER_LEAVING:
        return "leaving";
    case RAFT_TRANSFER_SILENT:
        return "silent";
    case RAFT_TRANSFER_BEHIND:
        return "far-behind";
    case RAFT_TRANSFER_UNABLE:
        return "short-of-room";
    case RAFT_TRANSFER_NOBODY:
        return "nobody-fit";
    case RAFT_TRANSFER_LATE:
        return "not-caught-up-in-time";
    case RAFT_TRANSFER_NOT_TAKEN:
        return "not-elected-in-time";
    case RAFT_TRANSFER_OFFICE_LOST:
        return "deposed-meanwhile";
    case RAFT_TRANSFER_REASONS:
        break;
    }
    return "unknown";
}

/* What a person can do about it. */
static const char *advice(uint32_t reason)
{
    switch ((enum raft_transfer_reason)reason) {
    case RAFT_TRANSFER_UNDER_WAY:
        return "another transfer is under way: look at `keelctl status`, ask again";
    case RAFT_TRANSFER_UNKNOWN:
        return "no member has that id: `keelctl member list` lists them";
    case RAFT_TRANSFER_LEARNER:
        return "that member is a learner and cannot lead";
    case RAFT_TRANSFER_LEAVING:
        return "that member is leaving the cluster";
    case RAFT_TRANSFER_SILENT:
        return "that member was not heard within the election timeout: is it up?";
    case RAFT_TRANSFER_BEHIND:
        return "that member lacks too much of the log: wait until its lag in `keelctl member list` "
               "is "
               "small";
    case RAFT_TRANSFER_UNABLE:
        return "that member is short of ring space (look at its `keelctl ring`) or keeps out of "
               "elections";
    case RAFT_TRANSFER_NOBODY:
        return "no other voter is in contact, caught up and with room to lead";
    case RAFT_TRANSFER_LATE:
        return "the target did not catch up within an election timeout, or nothing could be "
               "committed: this replica still leads";
    case RAFT_TRANSFER_NOT_TAKEN:
        return "the target was told and not elected in time: this replica stepped down, another "
               "was elected";
    case RAFT_TRANSFER_OFFICE_LOST:
        return "this replica was deposed meanwhile, another was elected";
    case RAFT_TRANSFER_TAKEN:
        return "the outcome is not known in time: look at `keelctl status` of each replica";
    case RAFT_TRANSFER_NOT_LEADER:
    case RAFT_TRANSFER_SELF:
    case RAFT_TRANSFER_REASONS:
        break;
    }
    return "unknown";
}

void leadership_put(json_t *to, const struct replica_status *s)
{
    const struct raft_transfer *t = &s->transfer;
    json_object_set_new(to, "transfer", json_string(leadership_state_name(t->state)));
    json_put_number(to, "transfer_to", t->to);
    json_object_set_new(to, "transfer_reason", json_string(leadership_reason_name(t->reason)));
    json_put_number(to, "transfers_begun", t->number);
    json_put_number(to, "transfers_done", t->done);
    json_put_number(to, "transfers_given_up", t->given_up);
    json_put_number(to, "transfers_by_drive", t->by_drive);
    json_put_number(to, "drive_lag_entries", s->last_index - s->durable_index);
    json_put_number(to, "drive_lag_ms", s->drive_lag_ns / 1000000);
}

enum admin_error leadership_reply(const struct control_reply *reply, json_t **result,
                                  char why[ADMIN_WHY_MAX])
{
    snprintf(why, ADMIN_WHY_MAX, "%s", advice(reply->status));
    if (reply->result == CONTROL_REFUSED)
        return ADMIN_UNSAFE;
    if (reply->result != CONTROL_APPLIED)
        return ADMIN_TIMED_OUT;
    *result = json_object();
    json_put_number(*result, "leader", reply->leader);
    json_put_number(*result, "index", reply->index);
    json_put_number(*result, "term", reply->term);
    json_object_set_new(*result, "changed", json_boolean(reply->status != RAFT_TRANSFER_SELF));
    return ADMIN_OK;
}
