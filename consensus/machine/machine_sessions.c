#include "consensus/machine/machine_internal.h"

#include <string.h>

static uint32_t clamp(uint32_t value, uint32_t low, uint32_t high)
{
    return value < low ? low : value > high ? high : value;
}

void machine_sweep(struct machine *machine)
{
    uint64_t retain_ns = (uint64_t)machine->session_retain_ms * NS_PER_MS;
    while (machine->ended_first != 0) { /* at most sessions_max, and each end is paid for once */
        uint32_t slot = machine->ended_first - 1;
        const struct machine_session *s = &machine_sessions(machine)[slot];
        if (machine->log_ns < s->ended_log_ns || machine->log_ns - s->ended_log_ns < retain_ns)
            return;
        machine->ended_first = s->ended_next;
        if (machine->ended_first == 0)
            machine->ended_last = 0;
        machine_remove(machine, slot);
    }
}

struct machine_session *machine_session_by_id(struct machine *machine, uint64_t id)
{
    const struct machine_session *s = machine_session(machine, id);
    return s == NULL ? NULL : &machine_sessions(machine)[machine_slot(machine, s)];
}

static struct machine_session *session_by_name(struct machine *machine, uint32_t principal,
                                               const char *name)
{
    const struct machine_session *s = machine_session_named(machine, principal, name);
    return s == NULL ? NULL : &machine_sessions(machine)[machine_slot(machine, s)];
}

/* The lowest unused slot, alike on every replica; MACHINE_NO_SLOT and the status if there is none
 * for this principal. Ended sessions that are kept count. */
static uint32_t find_room(struct machine *machine, uint32_t principal, enum machine_status *status)
{
    const uint32_t *owner = machine_owner(machine);
    uint32_t mine = 0;
    uint32_t room = MACHINE_NO_SLOT;
    for (uint32_t slot = machine->sessions_max; slot-- > 0;) {
        mine += owner[slot] == principal;
        room = owner[slot] == 0 ? slot : room;
    }
    if (mine >= machine->sessions_per_principal) {
        *status = MACHINE_SESSION_LIMIT;
        return MACHINE_NO_SLOT;
    }
    *status = room == MACHINE_NO_SLOT ? MACHINE_SESSION_TABLE : MACHINE_SEQUENCED;
    return room;
}

static void create(struct machine *machine, uint32_t slot, const struct entry *entry,
                   const struct entry_session_open *open)
{
    struct machine_session *s = &machine_sessions(machine)[slot];
    s->id = entry->index;
    s->epoch = entry->index;
    s->process = open->process;
    s->began_log_ns = machine->log_ns;
    s->principal = entry->principal;
    s->ttl_ms = clamp(open->ttl_ms, machine->ttl_min_ms, machine->ttl_max_ms);
    s->window = (uint16_t)clamp(open->window, 1, machine->window_max);
    memcpy(s->name, open->name, sizeof(s->name));
    machine_restrain(machine, s);
    machine_enter(machine, slot);
}

void machine_apply_open(struct machine *machine, const struct entry *entry,
                        struct machine_outcome *outcome)
{
    const struct entry_session_open *open = entry_body(entry);
    if (entry->principal == 0) {
        outcome->status = MACHINE_BAD_ENTRY;
        return;
    }
    const struct machine_session *s = machine_session_named(machine, entry->principal, open->name);
    if (s != NULL && machine_alive(s)) {
        /* H16: the same process id gets the same answer, also when its epoch came by a resume. */
        outcome->status = s->process == open->process ? MACHINE_SEQUENCED : MACHINE_SESSION_EXISTS;
        outcome->slot = machine_slot(machine, s);
        return;
    }
    enum machine_status status;
    uint32_t slot = find_room(machine, entry->principal, &status);
    outcome->status = (uint8_t)status;
    outcome->slot = slot;
    if (slot != MACHINE_NO_SLOT)
        create(machine, slot, entry, open);
}

void machine_apply_resume(struct machine *machine, const struct entry *entry,
                          struct machine_outcome *outcome)
{
    const struct entry_session_open *open = entry_body(entry);
    struct machine_session *s = session_by_name(machine, entry->principal, open->name);
    if (s == NULL) {
        outcome->status = MACHINE_UNKNOWN;
        return;
    }
    outcome->slot = machine_slot(machine, s);
    if (!machine_alive(s)) {
        outcome->status = MACHINE_SESSION_ENDED;
        return;
    }
    if (s->process == open->process)
        return; /* H16: a resume sent twice is one epoch */
    if (s->epoch != open->replaces) {
        outcome->status = MACHINE_EPOCH; /* H16: another life came between */
        return;
    }
    /* H16: "its locks are freed as by an unclean end". Who held them may believe in them for a time
     * to live from the last keepalive that was answered, and that was sent before this was
     * appended. */
    outcome->nodes_touched = s->handle_count > 0;
    machine_locks_end(machine, s, false, s->ttl_ms);
    s->epoch = entry->index;
    s->process = open->process;
    s->began_log_ns = machine->log_ns;
    s->ttl_ms = clamp(open->ttl_ms, machine->ttl_min_ms, machine->ttl_max_ms);
}

/* A session's end is a message of the order, if there is an order to stand in: with no day open it
 * takes no number. */
static void end_session(struct machine *machine, struct machine_session *s, uint32_t reason,
                        struct machine_outcome *outcome)
{
    outcome->nodes_touched = s->handle_count > 0;
    /* Killed: the client may believe in its locks as long as after a resume. Expired: it no longer
     * does; the delay is the one that it chose. */
    machine_locks_end(machine, s, reason == SESSION_END_CLEAN,
                      reason == SESSION_END_KILLED ? s->ttl_ms : 0);
    machine_restraint_forget(machine, s);
    s->end_reason = (uint16_t)reason;
    s->ended_log_ns = machine->log_ns == 0 ? 1 : machine->log_ns;
    machine_ended_append(machine, machine_slot(machine, s));
    if (machine->day_open) {
        machine->feed_next++;
        outcome->session_ended = true;
    }
}

void machine_apply_end(struct machine *machine, const struct entry *entry,
                       struct machine_outcome *outcome)
{
    const struct entry_session_end *end = entry_body(entry);
    bool kill = end->reason == SESSION_END_KILLED;
    struct machine_session *s = machine_session_by_id(machine, end->session);
    if (s == NULL) {
        outcome->status = MACHINE_UNKNOWN;
        return;
    }
    if (kill ? entry->principal >= KEEL_CLIENT_MIN : entry->principal != s->principal) {
        outcome->status = MACHINE_NOT_OWNER; /* H17 */
        return;
    }
    outcome->slot = machine_slot(machine, s);
    if (s->epoch != end->epoch && !(kill && end->epoch == 0)) {
        outcome->status = MACHINE_EPOCH;
        return;
    }
    if (machine_alive(s))
        end_session(machine, s, end->reason, outcome);
}

/* "an expiry is refused unless its term is that of the latest no-op, its epoch is current, and
 * log_ns has passed that no-op + TTL_max x (1 + rho) and the open or resume + TTL x (1 + rho)"
 * (docs/design.md, section 9). ms x (1e6 + rho_ppm) is ns x (1 + rho) without a rounding. */
static bool has_expired(const struct machine *machine, const struct machine_session *s,
                        const struct entry_session_end *end)
{
    uint64_t stretch = PPM + (uint64_t)machine->rho_ppm;
    return end->term == machine->noop_term && end->epoch == s->epoch &&
           machine->log_ns - machine->noop_log_ns >= machine->ttl_max_ms * stretch &&
           machine->log_ns - s->began_log_ns >= s->ttl_ms * stretch;
}

void machine_apply_expire(struct machine *machine, const struct entry *entry,
                          struct machine_outcome *outcome)
{
    const struct entry_session_end *end = entry_body(entry);
    struct machine_session *s = machine_session_by_id(machine, end->session);
    if (s == NULL) {
        outcome->status = MACHINE_UNKNOWN;
        return;
    }
    if (entry->principal >= KEEL_CLIENT_MIN) {
        outcome->status = MACHINE_NOT_OWNER;
        return;
    }
    outcome->slot = machine_slot(machine, s);
    if (!machine_alive(s))
        outcome->status = MACHINE_SESSION_ENDED;
    else if (!has_expired(machine, s, end))
        outcome->status = MACHINE_NOT_EXPIRED;
    else
        end_session(machine, s, SESSION_END_EXPIRED, outcome);
}
