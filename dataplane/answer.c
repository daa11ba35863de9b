/* Answers to clients. Results of one session are gathered within a turn into one packet. */
#include "dataplane/replica.h"

#include <string.h>

static void answer_send(struct replica *r, struct answer *answer)
{
    const struct machine_session *session = machine_session_at(r->machine, answer->slot);
    if (session == NULL || session->id != answer->session) {
        port_free(r->port, &answer->frame, 1);
        return;
    }
    struct packet_result *result = send_body(&answer->frame);
    result->session = session->id;
    result->epoch = session->epoch;
    result->last = session->last;
    memcpy(result->day, answer->day, sizeof(result->day));
    result->run_count = (uint16_t)answer->run_count;
    result->leader = r->raft.leader;
    size_t size = sizeof(*result) + answer->run_count * sizeof(struct packet_result_run);
    send_sealed(r, &answer->frame, session->principal, PACKET_RESULT, size);
    metric_add(&r->metrics.answers, 1);
}

uint32_t answer_flush(struct replica *r)
{
    uint32_t count = r->answer_count;
    for (uint32_t i = 0; i < count; i++)
        answer_send(r, &r->answer[i]);
    r->answer_count = 0;
    return count;
}

static struct answer *answer_of(struct replica *r, const struct machine_session *session)
{
    for (uint32_t i = r->answer_count; i > 0; i--)
        if (r->answer[i - 1].session == session->id)
            return &r->answer[i - 1];
    if (r->answer_count == REPLICA_ANSWERS)
        answer_flush(r);
    struct answer *answer = &r->answer[r->answer_count];
    if (!send_begin(r, &answer->frame))
        return NULL;
    answer->slot = machine_slot(r->machine, session);
    answer->session = session->id;
    answer->run_count = 0;
    r->answer_count++;
    return answer;
}

/* A run that follows the last one in number, feed number and time becomes part of it. */
static bool merge(struct packet_result_run *last, const struct packet_result_run *run)
{
    bool follows = last->status == run->status && last->utc_ns == run->utc_ns &&
                   last->number + last->count == run->number &&
                   (run->status == MACHINE_SEQUENCED ? last->feed + last->count == run->feed
                                                     : last->feed == run->feed);
    if (follows)
        last->count = (uint16_t)(last->count + run->count);
    return follows;
}

/* The day that a result belongs to: a resend may ask for one of an earlier day. */
static void day_of(const struct replica *r, const struct machine_session *session,
                   const struct packet_result_run *run, char day[KEEL_DAY_NAME_SIZE])
{
    const struct machine_kept *kept = machine_kept(session, run->number);
    if (kept != NULL && kept->day != (uint16_t)r->machine->day_count)
        memset(day, 0, KEEL_DAY_NAME_SIZE);
    else
        memcpy(day, r->machine->day, KEEL_DAY_NAME_SIZE);
}

void answer_runs(struct replica *r, const struct machine_session *session,
                 const struct packet_result_run *runs, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        char day[KEEL_DAY_NAME_SIZE];
        day_of(r, session, &runs[i], day);
        struct answer *answer = answer_of(r, session);
        if (answer != NULL && answer->run_count > 0 && memcmp(answer->day, day, sizeof(day)) != 0) {
            answer_flush(r);
            answer = answer_of(r, session);
        }
        if (answer == NULL)
            return;
        memcpy(answer->day, day, sizeof(day));
        struct packet_result *result = send_body(&answer->frame);
        struct packet_result_run *to = (struct packet_result_run *)(result + 1);
        if (answer->run_count > 0 && merge(&to[answer->run_count - 1], &runs[i]))
            continue;
        to[answer->run_count++] = runs[i];
        if (answer->run_count == PACKET_RESULT_RUNS_MAX)
            answer_flush(r);
    }
}

void answer_stranger(struct replica *r, uint32_t principal, const struct entry_messages *messages,
                     const struct packet_result_run *run)
{
    struct port_frame frame;
    if (!send_begin(r, &frame))
        return;
    struct packet_result *result = send_body(&frame);
    memset(result, 0, sizeof(*result));
    result->session = messages->session;
    result->epoch = messages->epoch;
    memcpy(result->day, r->machine->day, sizeof(result->day));
    result->run_count = 1;
    result->leader = r->raft.leader;
    memcpy(result + 1, run, sizeof(*run));
    send_sealed(r, &frame, principal, PACKET_RESULT, sizeof(*result) + sizeof(*run));
}

/* All results that the session keeps, in the short form. */
static void kept_runs(const struct machine_session *session, struct packet_session *body)
{
    struct packet_result_run all[KEEL_SESSION_WINDOW_MAX];
    struct packet_kept_run *to = (struct packet_kept_run *)(body + 1);
    uint64_t first = session->last > session->window ? session->last - session->window + 1 : 1;
    uint32_t count = machine_runs(session, first, session->last, all, KEEL_SESSION_WINDOW_MAX);
    for (uint32_t i = 0; i < count; i++)
        to[i] = packet_kept_run(&all[i]);
    body->first = first;
    body->run_count = (uint16_t)count;
}

void answer_session(struct replica *r, uint32_t principal, uint64_t request, uint8_t answers,
                    uint8_t status, const struct machine_session *session, uint64_t index)
{
    struct port_frame frame;
    if (!send_begin(r, &frame))
        return;
    struct packet_session *body = send_body(&frame);
    memset(body, 0, sizeof(*body));
    body->request = request;
    body->index = index;
    body->utc_ns = r->utc_ns;
    body->status = status;
    body->answers = answers;
    body->leader = r->raft.leader;
    if (session != NULL) {
        body->session = session->id;
        body->epoch = session->epoch;
        body->last = session->last;
        body->ttl_ms = session->ttl_ms;
        body->window = session->window;
        memcpy(body->name, session->name, sizeof(body->name));
        kept_runs(session, body);
    }
    size_t size = sizeof(*body) + body->run_count * sizeof(struct packet_kept_run);
    send_sealed(r, &frame, principal, PACKET_SESSION, size);
}

void answer_redirect(struct replica *r, uint32_t principal, uint64_t request, uint8_t answers,
                     uint8_t reason)
{
    struct port_frame frame;
    if (!send_begin(r, &frame))
        return;
    struct packet_redirect *body = send_body(&frame);
    memset(body, 0, sizeof(*body));
    body->request = request;
    /* who was told to take over is the one to ask next */
    bool told = raft_hands_over(&r->raft) && r->raft.transfer.state == RAFT_TRANSFER_TOLD;
    body->leader = told ? r->raft.transfer.to : r->raft.leader;
    body->reason = reason;
    body->answers = answers;
    body->term = r->raft.term;
    send_sealed(r, &frame, principal, PACKET_REDIRECT, sizeof(*body));
}
