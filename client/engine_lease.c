/* The session's lease: a keepalive is always on its way, so that the cluster can tell events as
 * they happen, and the next one follows each answer. lease.c does the arithmetic.
 */
#include "client/engine.h"

#include <string.h>

/* A copy is held for a third of the time to live; then so much longer until it is taken for lost.
 */
#define LEASE_MARGIN (50 * ENGINE_MS)
/* Unanswered, each of the others is asked so often. */
#define LEASE_RETRY (20 * ENGINE_MS)
#define LEASE_RETRY_MAX (160 * ENGINE_MS)

static bool wanted(const struct engine *e)
{
    return e->options.leases && e->phase == ENGINE_READY;
}

static void push(struct engine *e, const struct keel_event *event, uint64_t after)
{
    uint32_t place = (e->event_first + e->event_count) % ENGINE_EVENTS;
    e->event[place] = *event;
    e->event_after[place] = after;
    e->event_count++;
}

/* What the lease itself has to say: at most one such event waits for each change of state. */
static void look(struct engine *e)
{
    static const uint8_t kind[] = {[LEASE_NONE] = 0,
                                   [LEASE_SAFE] = KEEL_EVENT_SAFE,
                                   [LEASE_JEOPARDY] = KEEL_EVENT_JEOPARDY,
                                   [LEASE_EXPIRED] = KEEL_EVENT_EXPIRED};
    enum lease_state state = lease_look(&e->lease, e->now_ns);
    if (state == e->told || e->event_count == ENGINE_EVENTS)
        return;
    e->told = state;
    push(e, &(struct keel_event){.kind = kind[state]}, 0);
    if (state == LEASE_EXPIRED)
        engine_fail(e, KEEL_EXPIRED,
                    "session '%s' (%llu): no leader answered within lease and grace: its locks may "
                    "be others' by now; open it anew",
                    e->options.session, (unsigned long long)e->session);
}

static void send_copy(struct engine *e)
{
    uint64_t retry = LEASE_RETRY;
    engine_send_keepalive(e);
    e->lease_target = e->target + 1;
    if (e->lease_silent++ > 0)
        retry <<= e->lease_silent < 5 ? e->lease_silent - 1 : 3;
    e->lease_next_ns = e->now_ns + retry;
}

void engine_lease_begin(struct engine *e)
{
    lease_init(&e->lease, e->options.grace_ms * ENGINE_MS);
    e->told = LEASE_NONE;
    e->seen = (struct packet_event_place){0};
    e->lease_silent = 0;
    e->lease_next_ns = e->now_ns;
}

void engine_lease_redirected(struct engine *e)
{
    if (wanted(e) && e->lease_next_ns > e->now_ns + LEASE_RETRY / 4)
        e->lease_next_ns = e->now_ns + LEASE_RETRY / 4;
}

void engine_lease_tick(struct engine *e)
{
    if (!wanted(e))
        return;
    look(e);
    if (e->phase != ENGINE_READY)
        return;
    /* Messages have found another leader, which knows nothing of the copy that is under way. */
    if (e->lease_target != e->target + 1 && e->lease_next_ns > e->now_ns + LEASE_RETRY)
        e->lease_next_ns = e->now_ns;
    if (e->now_ns < e->lease_next_ns)
        return;
    /* Who was named since the last copy has not been asked yet. */
    bool asked = e->lease_target == e->target + 1;
    if (asked && e->lease_silent >= ENGINE_SILENT_TRIES && e->oldest == e->unsent) {
        struct engine_member *m = &e->member[e->target];
        if (m->heard_ns + LEASE_RETRY < e->now_ns) /* others may still name it: not worth asking */
            m->suspect_ns = e->now_ns;
        engine_next_member(e);
    }
    send_copy(e);
}

uint64_t engine_lease_due(const struct engine *e)
{
    if (!wanted(e))
        return UINT64_MAX;
    uint64_t changes = lease_changes_ns(&e->lease);
    return e->lease_next_ns < changes ? e->lease_next_ns : changes;
}

static bool of_lock(uint32_t kind)
{
    return kind == KEEL_EVENT_GRANTED || kind == KEEL_EVENT_ENDED;
}

void engine_lease_overtaken(struct engine *e, uint64_t node)
{
    for (uint32_t i = 0; i < e->event_count; i++) {
        struct keel_event *event = &e->event[(e->event_first + i) % ENGINE_EVENTS];
        if (event->node == node && of_lock(event->kind))
            event->kind = 0;
    }
}

/* Whether the session gives this lock up, of which that state knows nothing yet. */
static bool overtaken(struct engine *e, uint64_t node, uint64_t last)
{
    for (uint64_t number = last + 1; number < e->next; number++) { /* at most a window */
        const struct engine_slot *slot = engine_slot(e, number);
        struct entry_node op;
        if (slot->state != ENGINE_SLOT_PENDING || slot->kind != PACKET_NODE)
            continue;
        memcpy(&op, slot->payload, sizeof(op));
        if (op.node == node && engine_gives_up(op.operation))
            return true;
    }
    return false;
}

/* Those that find no place are told again: only what was taken counts as seen. True if all were. */
static bool take_events(struct engine *e, const struct packet_lease *answer, const uint8_t *events)
{
    for (uint32_t i = 0; i < answer->event_count; i++) {
        if (e->event_count == ENGINE_EVENTS)
            return false;
        struct packet_event event;
        memcpy(&event, events + i * sizeof(event), sizeof(event));
        if (!packet_event_before(&e->seen, &event.at))
            continue; /* an answer to an older copy */
        if (of_lock(event.at.kind) && overtaken(e, event.at.node, answer->last))
            return false; /* the state behind that operation says what is left of it */
        e->seen = event.at;
        push(e,
             &(struct keel_event){.node = event.at.node,
                                  .index = event.at.index,
                                  .value = event.value,
                                  .kind = event.at.kind},
             answer->last);
    }
    return answer->more == 0;
}

/* An end of a hold that comes behind results which are not given out yet. */
static bool withheld(const struct engine *e)
{
    for (uint32_t i = 0; i < e->event_count; i++) {
        uint32_t place = (e->event_first + i) % ENGINE_EVENTS;
        uint32_t kind = e->event[place].kind;
        if ((kind == KEEL_EVENT_ENDED || kind == KEEL_EVENT_INVALID) &&
            e->event_after[place] > e->given)
            return true;
    }
    return false;
}

/* Only who has been told everything may go on believing: an answer whose events did not all find a
 * place, that has more to tell, or that tells of an end which must wait for results is no lease,
 * and the next copy goes out at once. */
void engine_lease_answer(struct engine *e, const struct packet_lease *answer, const uint8_t *events)
{
    uint64_t sent_ns = engine_copy_sent(e, answer->request);
    if (sent_ns == 0 || !e->options.leases)
        return;
    bool known = answer->last >= e->settled; /* else they are told again, of a newer state */
    bool whole = known ? take_events(e, answer, events) : answer->event_count == 0;
    whole = whole && !withheld(e);
    if (answer->ttl_ms != 0)
        e->ttl_ms = answer->ttl_ms;
    if (whole) {
        bool other =
            lease_answered(&e->lease, sent_ns, e->ttl_ms, answer->rho_ppm, answer->term, e->now_ns);
        look(e);
        if (e->phase != ENGINE_READY)
            return;
        if (other && e->event_count < ENGINE_EVENTS)
            push(e, &(struct keel_event){.kind = KEEL_EVENT_LEADER, .value = answer->leader}, 0);
    }
    send_copy(e);
    e->lease_silent = 1;
    if (whole)
        e->lease_next_ns = e->now_ns + e->ttl_ms * ENGINE_MS / 3 + LEASE_MARGIN;
}

/* Results first: an event of a state comes behind the results that this state knows. */
bool engine_event(struct engine *e, struct keel_event *event)
{
    while (e->event_count > 0) { /* at most ENGINE_EVENTS */
        uint32_t place = e->event_first;
        if (e->event[place].kind != 0 && e->event_after[place] > e->given)
            return false;
        e->event_first = (place + 1) % ENGINE_EVENTS;
        e->event_count--;
        if (e->event[place].kind != 0) {
            *event = e->event[place];
            return true;
        }
    }
    return false;
}
