/* Keepalives, at the leader alone: they are a client's lease, and their answers carry its events.
 *
 * An answer names exactly the copy that it answers (H21), goes out only while this leader was in
 * contact with a quorum, and only while seq knows of no entry that ends that life of the session
 * (intake_lives). A copy is held until there is an event to tell, at most a third of the session's
 * time to live. At once are answered the first one in a term, so that who found the new leader is
 * safe soon, and a newer one while one is held: whoever sends it has taken an answer for lost.
 * While an expiry is under way none is answered but by its outcome. Source: Chubby (Burrows, OSDI
 * 2006), 2.8; design, section 9.
 */
#include "control/control_internal.h"

#include <string.h>

enum { HELD_SHARE = 3, HELD_SCAN_MS = 20 };

static uint64_t share_ns(const struct machine_session *session)
{
    return session->ttl_ms * 1000000ull / HELD_SHARE;
}

/* False: the link to seq is full; the copy is as if it had been lost. */
static bool answer(struct control *c, uint32_t principal, struct packet_lease *lease,
                   const struct packet_event events[PACKET_EVENTS_MAX])
{
    struct command *command = control_command(c, COMMAND_ANSWER);
    if (command == NULL)
        return false;
    lease->term = c->seen.term;
    lease->rho_ppm = c->options.genesis->rho_ppm;
    lease->leader = c->replica->id;
    size_t bytes = lease->event_count * sizeof(*events);
    command->principal = principal;
    command->tag = c->seen.term; /* seq lets it go only while that term's lease holds (H19) */
    command->index = c->machine->applied;
    command->packet_kind = PACKET_LEASE;
    command->size = (uint32_t)(sizeof(*lease) + bytes);
    memcpy(command->u.bytes, lease, sizeof(*lease));
    if (bytes > 0)
        memcpy(command->u.bytes + sizeof(*lease), events, bytes);
    control_command_send(c);
    c->status.keepalives_answered++;
    c->status.events_told += lease->event_count;
    return true;
}

static void refuse(struct control *c, const struct notice *notice,
                   const struct machine_session *session, enum machine_status status)
{
    const struct packet_keepalive *asked = &notice->u.keepalive.body;
    struct packet_lease lease = {.request = asked->request,
                                 .session = asked->session,
                                 .epoch = session != NULL ? session->epoch : asked->epoch,
                                 .status = (uint8_t)status};
    answer(c, notice->u.keepalive.principal, &lease, NULL);
}

/* Answers the copy that is held: with what there is to tell, or, `now`, with nothing. True if it
 * did. */
static bool tell(struct control *c, struct control_session *n,
                 const struct machine_session *session, bool now)
{
    struct packet_event events[PACKET_EVENTS_MAX];
    struct packet_event_place last = n->seen;
    if (session->last < n->number || c->machine->applied < c->seen.noop_index)
        return false; /* this side has not read what its owner, or seq, knows already */
    uint32_t count = machine_events(c->machine, session, &n->seen, events, PACKET_EVENTS_MAX);
    if (count == 0 && !now)
        return false;
    if (count > 0)
        last = events[count - 1].at;
    struct packet_event further;
    struct packet_lease lease = {.request = n->held_request,
                                 .session = session->id,
                                 .epoch = session->epoch,
                                 .last = session->last,
                                 .ttl_ms = session->ttl_ms,
                                 .event_count = (uint16_t)count,
                                 .status = MACHINE_SEQUENCED,
                                 .more =
                                     machine_events(c->machine, session, &last, &further, 1) != 0};
    if (!answer(c, session->principal, &lease, events))
        return false;
    n->alive_ns = n->held_ns;
    n->told_ns = c->now_ns;
    n->told_term = c->seen.term;
    n->held_request = 0;
    c->held--;
    return true;
}

/* Why this session's life has no lease; MACHINE_SEQUENCED: it has. */
static enum machine_status judge(const struct machine_session *session, const struct notice *notice)
{
    if (session->principal != notice->u.keepalive.principal)
        return MACHINE_NOT_OWNER; /* H17 */
    if (session->ended_log_ns != 0)
        return MACHINE_SESSION_ENDED;
    return notice->u.keepalive.body.epoch < session->epoch ? MACHINE_EPOCH : MACHINE_SEQUENCED;
}

void keepalive_arrived(struct control *c, const struct notice *notice)
{
    const struct packet_keepalive *asked = &notice->u.keepalive.body;
    c->status.keepalives++;
    if (!control_leads(c))
        return;
    const struct machine_session *session = machine_session(c->machine, asked->session);
    if (session == NULL) {
        /* it may stand in entries that this side has not read yet: the client asks again */
        if (asked->session <= c->machine->applied && c->machine->applied >= c->seen.noop_index)
            refuse(c, notice, NULL, MACHINE_UNKNOWN);
        return;
    }
    enum machine_status status = judge(session, notice);
    if (status != MACHINE_SEQUENCED) {
        refuse(c, notice, status == MACHINE_NOT_OWNER ? NULL : session, status);
        return;
    }
    if (asked->epoch > session->epoch || asked->request == 0)
        return; /* a resume that is not read yet */
    struct control_session *n = sessions_notes(c, machine_slot(c->machine, session), session);
    if (n->proposed_ns != 0 || asked->request <= n->newest)
        return; /* an expiry is under way: its outcome answers; or a copy of a copy, or an older one
                 */
    bool again = n->held_request != 0;
    c->held += n->held_request == 0;
    n->held_request = n->newest = asked->request;
    n->held_ns = c->now_ns;
    n->number = asked->number;
    n->seen = asked->seen;
    bool first = n->told_term != c->seen.term;
    n->held_until_ns = first || again ? c->now_ns : n->told_ns + share_ns(session);
    tell(c, n, session, c->now_ns >= n->held_until_ns);
}

/* What is held of a session that ended or was taken over is not answered: its owner, or who was,
 * asks again. */
static uint32_t consider(struct control *c, uint32_t slot)
{
    struct control_session *n = &c->session[slot];
    if (n->held_request == 0)
        return 0;
    const struct machine_session *session = machine_session_at(c->machine, slot);
    if (session == NULL || session->id != n->session || session->epoch != n->epoch ||
        session->ended_log_ns != 0 || n->proposed_ns != 0) {
        n->held_request = 0;
        c->held--;
        return 0;
    }
    return tell(c, n, session, c->now_ns >= n->held_until_ns);
}

uint32_t keepalive_turn(struct control *c)
{
    bool touched = c->nodes_touched; /* also once what an owner knows may be read here */
    if (c->held == 0 || (!touched && c->now_ns < c->held_scan_ns))
        return 0;
    c->nodes_touched = false;
    c->held_scan_ns = c->now_ns + HELD_SCAN_MS * 1000000ull;
    uint32_t work = 0;
    bool leads = control_leads(c);
    for (uint32_t slot = 0; slot < c->machine->sessions_max && c->held > 0; slot++) {
        if (leads) {
            work += consider(c, slot);
        } else if (c->session[slot].held_request != 0) {
            c->session[slot].held_request = 0; /* its owner asks the next leader */
            c->held--;
        }
    }
    return work;
}
