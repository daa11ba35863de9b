/* Keepalives and expiry, at the leader alone.
 *
 * A keepalive is answered at once, with the number of exactly that copy (H21), and only while this
 * leader was in contact with a quorum. A session whose owner was silent for TTL x (1 + rho) after
 * it was last heard or answered is proposed for expiry; from then on its keepalives wait for the
 * outcome. After its own no-op a leader gives every session TTL_max x (1 + rho). apply decides all
 * of this again by log time. Source: design, section 9.
 */
#include "control/control_internal.h"

#include <string.h>

static uint64_t with_rho_ns(const struct control *c, uint64_t ms)
{
    return ms * (1000000ull + c->options.genesis->rho_ppm);
}

/* This slot's notes, begun anew when another session or life stands in it. */
static struct control_session *notes(struct control *c, uint32_t slot,
                                     const struct machine_session *session)
{
    struct control_session *n = &c->session[slot];
    if (n->session != session->id || n->epoch != session->epoch)
        *n = (struct control_session){
            .session = session->id, .epoch = session->epoch, .alive_ns = c->now_ns};
    return n;
}

void sessions_applied(struct control *c, const struct entry *entry)
{
    if (entry->kind != ENTRY_SESSION_OPEN && entry->kind != ENTRY_SESSION_RESUME)
        return;
    const struct machine_session *session =
        c->outcome.slot == UINT32_MAX ? NULL : machine_session_at(c->machine, c->outcome.slot);
    if (session != NULL)
        notes(c, c->outcome.slot, session);
}

static void reply(struct control *c, const struct notice *notice,
                  const struct machine_session *session, uint8_t status)
{
    struct command *command = control_command(c, COMMAND_ANSWER);
    if (command == NULL)
        return;
    const struct packet_session_end *asked = &notice->u.keepalive.body;
    struct packet_session body = {.request = asked->request,
                                  .session = asked->session,
                                  .epoch = asked->epoch,
                                  .status = status,
                                  .answers = PACKET_KEEPALIVE,
                                  .leader = c->replica->id};
    if (session != NULL) {
        body.epoch = session->epoch;
        body.last = session->last;
        body.index = session->epoch;
        body.utc_ns = c->machine->utc_ns;
        body.ttl_ms = session->ttl_ms;
        body.window = session->window;
        memcpy(body.name, session->name, sizeof(body.name));
    }
    command->principal = notice->u.keepalive.principal;
    command->tag = c->seen.term; /* seq lets it go only while that term's lease holds (H19) */
    command->packet_kind = PACKET_SESSION;
    command->size = sizeof(body);
    memcpy(command->u.bytes, &body, sizeof(body));
    control_command_send(c);
    c->status.keepalives_answered++;
}

void sessions_keepalive(struct control *c, const struct notice *notice)
{
    const struct packet_session_end *asked = &notice->u.keepalive.body;
    c->status.keepalives++;
    if (!control_leads(c))
        return;
    const struct machine_session *session = machine_session(c->machine, asked->session);
    if (session == NULL) {
        /* it may stand in entries that this side has not read yet: the client asks again */
        if (asked->session <= c->machine->applied && c->machine->applied >= c->seen.noop_index)
            reply(c, notice, NULL, MACHINE_UNKNOWN);
        return;
    }
    if (session->principal != notice->u.keepalive.principal) { /* H17 */
        reply(c, notice, NULL, MACHINE_NOT_OWNER);
        return;
    }
    if (session->ended_log_ns != 0) {
        reply(c, notice, session, MACHINE_SESSION_ENDED);
        return;
    }
    if (asked->epoch > session->epoch)
        return; /* a resume that is not read yet */
    if (asked->epoch < session->epoch) {
        reply(c, notice, session, MACHINE_EPOCH);
        return;
    }
    struct control_session *n = notes(c, machine_slot(c->machine, session), session);
    if (n->proposed_ns != 0)
        return; /* an expiry is under way: its outcome answers */
    n->alive_ns = c->now_ns;
    reply(c, notice, session, MACHINE_SEQUENCED);
}

/* When seq last took a packet of the session's owner, on this replica's clock. */
static uint64_t heard_ns(const struct control *c, uint32_t slot, uint64_t session)
{
    const struct intake_slot *intake = &c->replica->intake->slot[slot];
    /* relaxed: two words of a moment; a mix of two sessions can only be a later time */
    if (__atomic_load_n(&intake->session, __ATOMIC_RELAXED) != session)
        return 0;
    return __atomic_load_n(&intake->heard_ns, __ATOMIC_RELAXED);
}

static uint32_t consider(struct control *c, uint32_t slot)
{
    const struct machine_session *session = machine_session_at(c->machine, slot);
    if (session == NULL || session->ended_log_ns != 0)
        return 0;
    struct control_session *n = notes(c, slot, session);
    if (n->proposed_ns != 0 && c->now_ns < n->proposed_ns + CONTROL_PROPOSE_RETRY_MS * 1000000ull)
        return 0;
    n->proposed_ns = 0;
    uint64_t since = heard_ns(c, slot, session->id);
    since = since > n->alive_ns ? since : n->alive_ns;
    since = since > c->leading_ns ? since : c->leading_ns;
    if (c->now_ns < since + with_rho_ns(c, session->ttl_ms))
        return 0;
    struct entry_session_end body = {.session = session->id,
                                     .epoch = session->epoch,
                                     .term = c->machine->noop_term,
                                     .reason = SESSION_END_EXPIRED};
    if (!control_propose(c, PROPOSER_EXPIRY, slot, ENTRY_SESSION_EXPIRE, &body, sizeof(body), 0))
        return 0;
    n->proposed_ns = c->now_ns;
    c->status.expiries_proposed++;
    return 1;
}

/* Leading, with the own no-op applied here, for at least TTL_max x (1 + rho)? */
static bool settled(struct control *c)
{
    if (!control_leads(c) || c->machine->noop_term != c->seen.term) {
        c->leading_ns = 0;
        return false;
    }
    if (c->leading_ns == 0 || c->leading_term != c->seen.term) {
        c->leading_term = c->seen.term;
        c->leading_ns = c->now_ns;
    }
    return c->now_ns >= c->leading_ns + with_rho_ns(c, c->options.genesis->ttl_max_ms);
}

uint32_t sessions_turn(struct control *c)
{
    if (c->now_ns < c->scan_at_ns)
        return 0;
    c->scan_at_ns = c->now_ns + CONTROL_EXPIRE_SCAN_MS * 1000000ull;
    if (!settled(c))
        return 0;
    uint32_t slots = c->machine->sessions_max, proposed = 0;
    for (uint32_t i = 0; i < slots && proposed < CONTROL_EXPIRIES_MAX; i++) {
        if (c->scan_slot >= slots)
            c->scan_slot = 0;
        proposed += consider(c, c->scan_slot++);
    }
    return proposed;
}
