#include "control/node.h"

const char *node_role_name(uint32_t role)
{
    switch ((enum raft_role)role) {
    case RAFT_FOLLOWER:
        return "follower";
    case RAFT_PRECANDIDATE:
        return "precandidate";
    case RAFT_CANDIDATE:
        return "candidate";
    case RAFT_LEADER:
        return "leader";
    }
    return "unknown";
}

const char *node_complaint(const struct node *node, const struct replica_status *s, int at)
{
    struct control_status control;
    control_status(node->start.control, &control);
    const struct {
        bool bad;
        const char *word;
    } list[] = {{s->stopped != 0, "stopped"},
                {s->failed != 0, "drive-failed"},
                {s->leader == 0, "no-leader"},
                {s->stale != 0, "no-quorum-contact"},
                {control.digest_differs != 0, "state-differs"}};
    for (uint32_t i = 0; i < sizeof(list) / sizeof(list[0]); i++)
        if (list[i].bad && at-- == 0)
            return list[i].word;
    return NULL;
}
