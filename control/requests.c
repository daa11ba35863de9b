/* Requests of people that need the log: proposed, followed until control's own machine has applied
 * that index, then answered. The answer never guesses: applied, definitely not, or unknown.
 */
#include "control/control_internal.h"

#include <string.h>

/* --- the asker's thread
 * ---------------------------------------------------------------------------- */

bool control_ask(struct control *c, const struct control_request *request)
{
    if (c->asked - c->answered == CONTROL_REQUESTS || request->size > CONTROL_BODY_MAX)
        return false;
    struct control_request *place = spsc_reserve(&c->requests);
    if (place == NULL)
        return false;
    *place = *request;
    spsc_push(&c->requests);
    c->asked++;
    return true;
}

bool control_answer(struct control *c, struct control_reply *reply)
{
    const struct control_reply *oldest = spsc_peek(&c->replies);
    if (oldest == NULL)
        return false;
    *reply = *oldest;
    spsc_drop(&c->replies);
    c->answered++;
    return true;
}

/* --- control's thread
 * ------------------------------------------------------------------------------ */

struct control_reply *requests_reply(struct control *c, const struct control_ask *ask,
                                     enum control_result result, uint8_t status)
{
    struct control_reply *reply = spsc_reserve(&c->replies);
    ENSURE(reply != NULL); /* control_ask() lets no more in than there are places */
    memset(reply, 0, offsetof(struct control_reply, bytes));
    reply->tag = ask->tag;
    reply->index = ask->index;
    reply->term = ask->term;
    reply->value = ask->value;
    reply->leader = c->seen.leader;
    reply->result = (uint8_t)result;
    reply->status = status;
    reply->repeated = ask->repeated;
    return reply;
}

void requests_send(struct control *c, struct control_ask *ask)
{
    spsc_push(&c->replies);
    memset(ask, 0, sizeof(*ask));
}

void requests_finish(struct control *c, struct control_ask *ask, enum control_result result,
                     uint8_t status)
{
    requests_reply(c, ask, result, status);
    requests_send(c, ask);
}

static struct control_ask *free_place(struct control *c)
{
    for (uint32_t i = 0; i < CONTROL_REQUESTS; i++)
        if (c->ask[i].state == ASK_FREE)
            return &c->ask[i];
    return NULL;
}

/* Whether a change of the members would be begun. */
static void ask_whether(struct control *c, struct control_ask *ask,
                        const struct control_request *request)
{
    struct command *command = control_command(c, COMMAND_PROPOSE);
    if (command == NULL) {
        requests_finish(c, ask, CONTROL_BUSY, 0);
        return;
    }
    command->tag = (uint64_t)PROPOSER_REQUEST << CONTROL_TAG_SHIFT | ask->serial;
    command->entry_kind = request->entry_kind;
    command->index = request->was;
    command->dry = true;
    command->size = request->size;
    memcpy(command->u.bytes, request->body, request->size);
    control_command_send(c);
    ask->asked.dry = true;
    ask->state = ASK_PROPOSED;
}

static void begin_snapshot(struct control *c, struct control_ask *ask)
{
    ask->state = ASK_SNAPSHOT;
    ask->index = c->checkpoint_wanted = c->machine->applied;
}

static void begin(struct control *c, struct control_ask *ask, const struct control_request *request)
{
    c->status.requests++;
    ask->tag = request->tag;
    ask->serial = ++c->ask_serial;
    uint32_t timeout_ms = request->timeout_ms;
    if (timeout_ms == 0 || timeout_ms > CONTROL_REQUEST_MS)
        timeout_ms = CONTROL_REQUEST_MS;
    ask->deadline_ns = c->now_ns + timeout_ms * 1000000ull;
    bool enters = request->kind == CONTROL_PROPOSE || request->kind == CONTROL_TRY;
    if (request->kind == CONTROL_LOOK) {
        ask->asked = *request;
        ask->looks = true;
    }
    if (request->kind == CONTROL_SNAPSHOT)
        begin_snapshot(c, ask);
    else if (ask->looks && !request->read)
        looking_answer(c, ask);
    else if (!enters)
        leadership_begin(c, ask, request);
    else if (c->seen.role != RAFT_LEADER)
        requests_finish(c, ask, CONTROL_NOT_LEADER, 0);
    else if (request->kind == CONTROL_TRY)
        trying_begin(c, ask, request);
    else if (request->dry)
        ask_whether(c, ask, request);
    else if (!control_propose(c, PROPOSER_REQUEST, ask->serial, request->entry_kind, request->body,
                              request->size, request->was))
        requests_finish(c, ask, CONTROL_BUSY, 0);
    else
        ask->state = ASK_PROPOSED;
}

struct control_ask *requests_find(struct control *c, uint64_t serial)
{
    for (uint32_t i = 0; i < CONTROL_REQUESTS; i++)
        if (c->ask[i].state != ASK_FREE && c->ask[i].serial == serial)
            return &c->ask[i];
    return NULL;
}

void requests_proposed(struct control *c, const struct notice *notice)
{
    uint64_t tag = notice->u.proposed.tag;
    if (tag >> CONTROL_TAG_SHIFT != PROPOSER_REQUEST)
        return;
    uint64_t serial = tag & ((1ull << CONTROL_TAG_SHIFT) - 1);
    for (uint32_t i = 0; i < CONTROL_REQUESTS; i++) {
        struct control_ask *ask = &c->ask[i];
        if (ask->state != ASK_PROPOSED || ask->serial != serial)
            continue;
        ask->index = notice->u.proposed.index;
        ask->term = notice->u.proposed.term;
        if (ask->asked.dry && notice->u.proposed.refusal == RAFT_CHANGED)
            requests_finish(c, ask, CONTROL_APPLIED, MACHINE_SEQUENCED);
        else if (notice->u.proposed.refusal != RAFT_CHANGED &&
                 notice->u.proposed.refusal != RAFT_REFUSED_NOT_LEADER)
            requests_finish(c, ask, CONTROL_UNCHANGED, (uint8_t)notice->u.proposed.refusal);
        else if (ask->index == 0)
            requests_finish(c, ask, c->seen.role == RAFT_LEADER ? CONTROL_BUSY : CONTROL_NOT_LEADER,
                            0);
        else
            ask->state = ASK_APPENDED;
        return;
    }
}

void requests_applied(struct control *c, const struct entry *entry)
{
    for (uint32_t i = 0; i < CONTROL_REQUESTS; i++) {
        struct control_ask *ask = &c->ask[i];
        if (ask->state != ASK_APPENDED || ask->index != entry->index)
            continue;
        if (entry->kind == ENTRY_OPERATOR && c->outcome.repeats != 0) {
            ask->index = c->outcome.repeats;
            ask->repeated = true;
        }
        ask->value = entry->kind == ENTRY_OPERATOR ? c->outcome.value : 0;
        if (ask->term == entry->term && entry->kind == ENTRY_PROBE)
            ask->state = ASK_PROBED;
        else if (ask->term == entry->term)
            requests_finish(c, ask, CONTROL_APPLIED, c->outcome.status);
        else
            requests_finish(c, ask, CONTROL_LOST, 0);
    }
}

/* seq says so within a millisecond of applying it, unless it is deposed just then. */
static void follow_probe(struct control *c, struct control_ask *ask)
{
    if (c->seen.probe_index >= ask->index) {
        ask->value = c->seen.probe_ns;
        requests_finish(c, ask, CONTROL_APPLIED, MACHINE_SEQUENCED);
    } else if (c->seen.role != RAFT_LEADER) {
        requests_finish(c, ask, CONTROL_NOT_LEADER, 0);
    }
}

uint32_t requests_turn(struct control *c)
{
    uint32_t work = 0;
    for (; work < CONTROL_REQUESTS; work++) {
        struct control_ask *ask = free_place(c);
        const struct control_request *request = ask != NULL ? spsc_peek(&c->requests) : NULL;
        if (request == NULL)
            break;
        begin(c, ask, request);
        spsc_drop(&c->requests);
    }
    for (uint32_t i = 0; i < CONTROL_REQUESTS; i++) {
        struct control_ask *ask = &c->ask[i];
        if (ask->state == ASK_PROBED)
            follow_probe(c, ask);
        if (ask->state == ASK_SNAPSHOT && c->checkpoint_index[0] >= ask->index) {
            ask->index = c->checkpoint_index[0];
            requests_finish(c, ask, CONTROL_APPLIED, MACHINE_SEQUENCED);
        }
        if (ask->state >= ASK_HANDING_OVER)
            leadership_follow(c, ask);
        if (ask->state == ASK_READING && c->now_ns >= ask->deadline_ns)
            requests_finish(c, ask, CONTROL_NO_QUORUM, 0);
        else if (ask->state != ASK_FREE && c->now_ns >= ask->deadline_ns)
            requests_finish(c, ask, CONTROL_TIMED_OUT, 0);
    }
    return work;
}
