/* Expiry, at the leader alone.
 *
 * A session whose owner was silent for TTL x (1 + rho) is proposed for expiry; from then on its
 * keepalives wait for the outcome. The time counts from the arrival of the last packet, not from
 * the last answer: the owner counts TTL x (1 - rho) from the sending of the copy that was answered,
 * and that was before it arrived. A copy that was held before it was answered so costs nobody a
 * third of a time to live. After its own no-op a leader gives every session TTL_max x (1 + rho).
 * apply decides all of this again by log time. Source: design, section 9.
 */
#include "control/control_internal.h"

#include <string.h>

static uint64_t with_rho_ns(const struct control *c, uint64_t ms)
{
    return ms * (1000000ull + c->options.genesis->rho_ppm);
}

struct control_session *sessions_notes(struct control *c, uint32_t slot,
                                       const struct machine_session *session)
{
    struct control_session *n = &c->session[slot];
    if (n->session != session->id || n->epoch != session->epoch) {
        c->held -= n->held_request != 0;
        *n = (struct control_session){
            .session = session->id, .epoch = session->epoch, .alive_ns = c->now_ns};
    }
    return n;
}

void sessions_applied(struct control *c, const struct entry *entry)
{
    if (entry->kind != ENTRY_SESSION_OPEN && entry->kind != ENTRY_SESSION_RESUME)
        return;
    const struct machine_session *session =
        c->outcome.slot == UINT32_MAX ? NULL : machine_session_at(c->machine, c->outcome.slot);
    if (session != NULL)
        sessions_notes(c, c->outcome.slot, session);
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
    struct control_session *n = sessions_notes(c, slot, session);
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
