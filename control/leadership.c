/* Transfers of leadership and proofs of it that people ask for: told to seq, followed in what seq
 * publishes, then answered. Each question has a serial of its own, also when it is asked again.
 */
#include "control/control_internal.h"

static void not_leader(struct control *c, struct control_ask *ask)
{
    if (c->seen.leader == c->replica->id)
        c->seen.leader = 0; /* what was published before it lost its office */
    requests_finish(c, ask, CONTROL_NOT_LEADER, 0);
}

void leadership_begin(struct control *c, struct control_ask *ask,
                      const struct control_request *request)
{
    if (c->seen.role != RAFT_LEADER || c->seen.stopped) {
        not_leader(c, ask);
        return;
    }
    bool read = request->kind == CONTROL_READ || request->kind == CONTROL_LOOK;
    struct command *command = control_command(c, read ? COMMAND_READ : COMMAND_TRANSFER);
    if (command == NULL) {
        requests_finish(c, ask, CONTROL_BUSY, 0);
        return;
    }
    command->tag = ask->serial;
    command->principal = request->to;
    command->abstains = request->kind == CONTROL_STEP_DOWN;
    command->dry = request->dry;
    ask->asked.dry = request->dry;
    control_command_send(c);
    ask->state = read ? ASK_READING : ASK_HANDING_OVER;
}

static void transfer_told(struct control *c, struct control_ask *ask, const struct notice *notice)
{
    switch ((enum raft_transfer_reason)notice->u.transfer.reason) {
    case RAFT_TRANSFER_TAKEN:
        if (ask->asked.dry)
            requests_finish(c, ask, CONTROL_APPLIED, RAFT_TRANSFER_TAKEN);
        else
            ask->index = notice->u.transfer.number;
        break;
    case RAFT_TRANSFER_SELF: /* done before it was asked */
        ask->index = c->seen.commit;
        ask->term = c->seen.term;
        requests_finish(c, ask, CONTROL_APPLIED, RAFT_TRANSFER_SELF);
        break;
    case RAFT_TRANSFER_NOT_LEADER:
        not_leader(c, ask);
        break;
    case RAFT_TRANSFER_UNDER_WAY:
    case RAFT_TRANSFER_UNKNOWN:
    case RAFT_TRANSFER_LEARNER:
    case RAFT_TRANSFER_LEAVING:
    case RAFT_TRANSFER_SILENT:
    case RAFT_TRANSFER_BEHIND:
    case RAFT_TRANSFER_UNABLE:
    case RAFT_TRANSFER_NOBODY:
    case RAFT_TRANSFER_LATE:
    case RAFT_TRANSFER_NOT_TAKEN:
    case RAFT_TRANSFER_OFFICE_LOST:
    case RAFT_TRANSFER_REASONS:
        requests_finish(c, ask, CONTROL_REFUSED, notice->u.transfer.reason);
        break;
    }
}

static void read_told(struct control *c, struct control_ask *ask, const struct notice *notice)
{
    switch (notice->u.read.outcome) {
    case READ_PROVEN:
        ask->state = ASK_READ;
        ask->index = notice->u.read.index;
        ask->term = notice->u.read.term;
        ask->read_ns = notice->u.read.now_ns;
        break;
    case READ_LOST:
        not_leader(c, ask);
        break;
    case READ_BUSY:
        requests_finish(c, ask, CONTROL_BUSY, 0);
        break;
    }
}

void leadership_told(struct control *c, const struct notice *notice)
{
    bool read = notice->kind == NOTICE_READ;
    struct control_ask *ask = requests_find(c, read ? notice->u.read.tag : notice->u.transfer.tag);
    if (ask == NULL)
        return;
    if (read)
        read_told(c, ask, notice);
    else
        transfer_told(c, ask, notice);
}

/* Until the next leader is known: then this one is asked, and knows the term. */
static void follow_transfer(struct control *c, struct control_ask *ask)
{
    const struct raft_transfer *t = &c->seen.transfer;
    if (ask->index == 0 || t->number < ask->index)
        return;
    if (t->number > ask->index) { /* another one has begun: this one was settled before */
        requests_finish(c, ask, CONTROL_TIMED_OUT, RAFT_TRANSFER_LATE);
        return;
    }
    bool settled = t->open == 0;
    if (settled && t->state == RAFT_TRANSFER_DONE) {
        ask->index = c->seen.commit;
        ask->term = c->seen.term;
        requests_finish(c, ask, CONTROL_APPLIED, RAFT_TRANSFER_TAKEN);
    } else if (settled && t->state == RAFT_TRANSFER_GIVEN_UP) {
        requests_finish(c, ask, CONTROL_TIMED_OUT, t->reason);
    }
}

void leadership_follow(struct control *c, struct control_ask *ask)
{
    if (ask->state == ASK_HANDING_OVER)
        follow_transfer(c, ask);
    else if (ask->state == ASK_READ && ask->looks && c->machine->applied >= ask->index)
        looking_answer(c, ask);
    else if (ask->state == ASK_READ && !ask->looks && c->seen.now_ns >= ask->read_ns)
        requests_finish(c, ask, CONTROL_APPLIED, 0);
}

uint32_t leadership_drained_turn(struct control *c)
{
    if (c->seen.role != RAFT_LEADER || c->seen.stopped || c->seen.transfer.open ||
        !machine_drained(c->machine, c->replica->id) || c->now_ns < c->drained_at_ns)
        return 0;
    struct command *command = control_command(c, COMMAND_TRANSFER);
    if (command == NULL)
        return 0;
    command->tag = TRIPS_TAG; /* nobody waits for the answer */
    control_command_send(c);
    /* Each try closes intake for up to an election timeout: where none succeeds, because nobody
     * else can take over, the rests grow. */
    c->drained_tries = c->drained_term == c->seen.term ? c->drained_tries + 1 : 0;
    c->drained_term = c->seen.term;
    uint32_t doublings =
        c->drained_tries < DRAINED_DOUBLINGS ? c->drained_tries : DRAINED_DOUBLINGS;
    c->drained_at_ns =
        c->now_ns + (DRAINED_REST * c->options.genesis->election_min_ms * 1000000ull << doublings);
    return 1;
}
