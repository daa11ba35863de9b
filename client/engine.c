#include "client/engine.h"

#include "consensus/ensure.h"
#include "consensus/machine/machine.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

_Static_assert((int)KEEL_PAYLOAD_MAX == (int)KEEL_MSG_MAX, "largest message");
_Static_assert((int)KEEL_FENCED_PAYLOAD_MAX == (int)KEEL_FENCED_MAX, "largest fenced message");
_Static_assert((int)KEEL_PAYLOAD_MIN == (int)KEEL_MSG_MIN, "smallest message");
_Static_assert((int)KEEL_WINDOW_MAX == (int)KEEL_SESSION_WINDOW_MAX, "window");
_Static_assert((int)KEEL_SESSION_MAX == (int)KEEL_NAME_MAX, "session name");
_Static_assert((int)KEEL_MEMBERS_MAX == (int)KEEL_REPLICA_MAX, "members");
_Static_assert((int)KEEL_DAY_SIZE == (int)KEEL_DAY_NAME_SIZE + 1, "day name");

static size_t round_up(size_t size)
{
    return (size + 63) & ~(size_t)63;
}

size_t engine_size(uint32_t member_count)
{
    return round_up(sizeof(struct engine)) +
           round_up(auth_table_size(member_count * ENGINE_ASSOC_PER_MEMBER)) + handshake_size();
}

struct engine *engine_init(void *memory, const struct engine_options *options, uint64_t now_ns)
{
    ENSURE(options->member_count >= 1 && options->member_count <= KEEL_MEMBERS_MAX);
    ENSURE(options->window >= 1 && options->window <= KEEL_WINDOW_MAX && options->process != 0);
    struct engine *e = memory;
    uint32_t associations = options->member_count * ENGINE_ASSOC_PER_MEMBER;
    uint8_t *auth = (uint8_t *)memory + round_up(sizeof(*e));
    memset(e, 0, sizeof(*e));
    e->options = *options;
    e->cluster = options->cluster;
    e->now_ns = now_ns;
    e->jitter = options->process | 1;
    /* H16: an answer to another process of this name is none to this one. */
    e->request = e->question = options->process >> 2;
    e->auth = auth_table_init(auth, associations, options->principal, options->cluster);
    if (e->auth == NULL)
        return NULL;
    const struct handshake_options shake = {
        .self = {.principal = options->principal, .cluster = options->cluster},
        .keys = options->keys,
        .random = options->random,
        .context = options->context,
    };
    e->handshake = handshake_init(auth + round_up(auth_table_size(associations)), &shake);
    e->phase = ENGINE_CONNECT;
    e->busy_ns = ENGINE_BUSY_MIN;
    lease_init(&e->lease, options->grace_ms * ENGINE_MS);
    e->oldest = e->unsent = e->next = 1;
    for (uint32_t i = 0; i < options->member_count; i++) {
        e->member[i].at = options->member[i];
        engine_begin_handshake(e, i);
    }
    return e;
}

void engine_fail(struct engine *e, int error, const char *format, ...)
{
    if (e->phase == ENGINE_FAILED)
        return;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(e->problem, sizeof(e->problem), format, arguments);
    va_end(arguments);
    e->error = error;
    e->phase = ENGINE_FAILED;
    e->timer_ns = e->hold_ns = 0;
}

/* Takes the next number; *taken is what it will carry, NULL as it was if there is none now. */
static int take_number(struct engine *e, struct engine_slot **taken, uint64_t *number)
{
    if (e->phase == ENGINE_FAILED)
        return e->error;
    if (e->end_wanted || e->phase == ENGINE_CLOSED)
        return KEEL_ENDED;
    /* Results not yet collected keep their places, so the window counts from `given`. */
    if (e->phase != ENGINE_READY || e->next - e->given > e->window)
        return KEEL_AGAIN;
    struct engine_slot *slot = engine_slot(e, e->next);
    ENSURE(slot->state == ENGINE_SLOT_FREE);
    slot->state = ENGINE_SLOT_PENDING;
    slot->sends = 0;
    slot->first_ns = slot->last_ns = 0;
    slot->kind = PACKET_SUBMIT;
    slot->fenced = false;
    if (number != NULL)
        *number = e->next;
    e->next++;
    e->stats.submitted++;
    *taken = slot;
    return KEEL_OK;
}

static int submit(struct engine *e, const void *payload, size_t size, size_t most,
                  struct engine_slot **taken, uint64_t *number)
{
    if (size < KEEL_PAYLOAD_MIN || size > most)
        return size < KEEL_PAYLOAD_MIN ? KEEL_EMPTY : KEEL_TOO_LARGE;
    int result = take_number(e, taken, number);
    if (*taken == NULL)
        return result;
    (*taken)->size = (uint16_t)size;
    memcpy((*taken)->payload, payload, size);
    return KEEL_OK;
}

int engine_submit(struct engine *e, const void *payload, size_t size, uint64_t *number)
{
    struct engine_slot *slot = NULL;
    return submit(e, payload, size, KEEL_PAYLOAD_MAX, &slot, number);
}

int engine_submit_fenced(struct engine *e, const void *payload, size_t size,
                         const struct entry_sequencer *sequencer, uint64_t *number)
{
    struct engine_slot *slot = NULL;
    int result = submit(e, payload, size, KEEL_FENCED_PAYLOAD_MAX, &slot, number);
    if (slot == NULL)
        return result;
    slot->fenced = true;
    slot->sequencer = *sequencer;
    return KEEL_OK;
}

int engine_operate(struct engine *e, const struct entry_node *op, const char *path,
                   const void *content, uint64_t *number)
{
    struct engine_slot *slot = NULL;
    int result = take_number(e, &slot, number);
    if (slot == NULL)
        return result;
    if (engine_gives_up(op->operation))
        engine_lease_overtaken(e, op->node);
    slot->kind = PACKET_NODE;
    slot->size = (uint16_t)(sizeof(*op) + op->path_size + op->content_size);
    memcpy(slot->payload, op, sizeof(*op));
    memcpy(slot->payload + sizeof(*op), path, op->path_size);
    memcpy(slot->payload + sizeof(*op) + op->path_size, content, op->content_size);
    return KEEL_OK;
}

bool engine_result(struct engine *e, struct keel_result *result)
{
    struct engine_slot *slot = engine_slot(e, e->given + 1);
    if (e->given + 1 >= e->oldest || slot->state != ENGINE_SLOT_DONE)
        return false;
    *result = slot->result;
    slot->state = ENGINE_SLOT_FREE;
    e->given++;
    return true;
}

/* --- time ------------------------------------------------------------------------------------- */

void engine_round_trip(struct engine *e, uint64_t sample_ns)
{
    /* RFC 6298, section 2 */
    if (e->rtt_ns == 0) {
        e->rtt_ns = sample_ns;
        e->rtt_var_ns = sample_ns / 2;
    } else {
        uint64_t off = sample_ns > e->rtt_ns ? sample_ns - e->rtt_ns : e->rtt_ns - sample_ns;
        e->rtt_var_ns = (3 * e->rtt_var_ns + off) / 4;
        e->rtt_ns = (7 * e->rtt_ns + sample_ns) / 8;
    }
    e->stats.round_trip_ns = e->rtt_ns;
}

uint64_t engine_retry_ns(const struct engine *e)
{
    uint64_t retry = e->rtt_ns == 0 ? ENGINE_RETRY_FIRST : e->rtt_ns + 4 * e->rtt_var_ns;
    if (retry < ENGINE_RETRY_MIN)
        retry = ENGINE_RETRY_MIN;
    return retry < ENGINE_RETRY_MAX ? retry : ENGINE_RETRY_MAX;
}

/* Doubles while the target is silent; in a search, slower with each eight rounds of all members. */
static uint64_t interval(const struct engine *e)
{
    uint64_t base = engine_retry_ns(e), most = ENGINE_RETRY_MAX;
    uint32_t doublings = e->tries;
    if (e->searching) {
        base = ENGINE_SEARCH_MIN;
        most = ENGINE_SEARCH_MAX;
        doublings = (e->tries - ENGINE_SILENT_TRIES) / (8 * e->options.member_count);
    }
    base <<= doublings < 8 ? doublings : 8;
    return base < most ? base : most;
}

bool engine_awaiting(const struct engine *e)
{
    switch (e->phase) {
    case ENGINE_OPEN:
    case ENGINE_RESUME:
        return true;
    case ENGINE_READY:
        return e->oldest < e->unsent || e->keepalive;
    case ENGINE_END:
        return true;
    case ENGINE_CONNECT:
    case ENGINE_CLOSED:
    case ENGINE_FAILED:
        return false;
    }
    return false;
}

void engine_arm(struct engine *e)
{
    e->stats.retry_ns = engine_retry_ns(e);
    e->timer_ns = engine_awaiting(e) ? e->now_ns + interval(e) : 0;
}

static uint64_t random_below(struct engine *e, uint64_t bound)
{
    e->jitter ^= e->jitter << 13;
    e->jitter ^= e->jitter >> 7;
    e->jitter ^= e->jitter << 17;
    return e->jitter % bound;
}

void engine_back_off(struct engine *e, uint64_t least_ns)
{
    e->stats.busy++;
    if (e->busy_ns < least_ns)
        e->busy_ns = least_ns;
    e->hold_ns = e->now_ns + e->busy_ns / 2 + random_below(e, e->busy_ns / 2 + 1);
    if (e->busy_ns < ENGINE_BUSY_MAX)
        e->busy_ns *= 2;
    e->tries = 0;
    e->searching = false;
    e->timer_ns = 0;
}

/* Nothing came in time. */
static void on_silence(struct engine *e)
{
    struct engine_member *m = &e->member[e->target];
    e->stats.timeouts++;
    e->tries++;
    e->redirects -= e->redirects > 0; /* one more may be followed for each silence */
    e->lost_before_ns = e->now_ns;
    if (e->tries >= ENGINE_SILENT_TRIES) {
        if (m->silent > 0)
            m->suspect_ns = e->now_ns;
        e->searching = true;
        engine_next_member(e);
    }
    engine_push(e);
    engine_arm(e);
}

void engine_enter(struct engine *e, enum engine_phase phase)
{
    e->phase = phase;
    e->request_first = e->request + 1;
    e->tries = e->redirects = 0;
    e->searching = false;
    e->hold_ns = 0;
}

static bool connected(const struct engine *e)
{
    for (uint32_t i = 0; i < e->options.member_count; i++)
        if (auth_peer(e->auth, e->member[i].at.id) != NULL)
            return true;
    return false;
}

/* The next keep-alive is due after a third of the time to live since something was answered. */
static uint64_t keepalive_due(const struct engine *e)
{
    if (e->phase != ENGINE_READY || e->keepalive || e->oldest < e->unsent || e->options.leases)
        return UINT64_MAX;
    return e->alive_ns + e->ttl_ms * ENGINE_MS / 3;
}

void engine_tick(struct engine *e, uint64_t now_ns)
{
    e->now_ns = now_ns;
    if (e->phase == ENGINE_FAILED || e->phase == ENGINE_CLOSED)
        return;
    engine_handshakes(e);
    engine_pings(e);
    if (e->phase == ENGINE_CONNECT) {
        if (!connected(e))
            return;
        engine_enter(e, ENGINE_OPEN);
        engine_next_member(e);
        engine_push(e);
        engine_arm(e);
        return;
    }
    if (e->end_wanted && e->phase == ENGINE_READY && e->oldest == e->next) {
        engine_enter(e, ENGINE_END);
        engine_push(e);
        engine_arm(e);
    }
    if (e->hold_ns != 0 && now_ns >= e->hold_ns) {
        e->hold_ns = 0;
        e->lost_before_ns = now_ns;
        if (e->phase == ENGINE_READY && e->oldest < e->unsent)
            engine_resend(e);
        else
            engine_push(e);
        engine_arm(e);
    }
    if (e->hold_ns == 0 && e->timer_ns != 0 && now_ns >= e->timer_ns)
        on_silence(e);
    if (now_ns >= keepalive_due(e))
        engine_keepalive(e);
    engine_lease_tick(e);
    engine_query_tick(e);
}

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

uint64_t engine_deadline(const struct engine *e)
{
    if (e->phase == ENGINE_FAILED || e->phase == ENGINE_CLOSED)
        return UINT64_MAX;
    if (engine_may_flush(e))
        return e->now_ns;
    uint64_t at = least(least(keepalive_due(e), engine_lease_due(e)), engine_query_due(e));
    if (e->hold_ns != 0)
        at = least(at, e->hold_ns);
    else if (e->timer_ns != 0)
        at = least(at, e->timer_ns);
    for (uint32_t i = 0; i < e->options.member_count; i++) {
        at = least(at, e->member[i].ping_ns);
        if (e->member[i].shaking)
            at = least(at, e->now_ns + ENGINE_SHAKE_TICK);
    }
    return at;
}

void engine_end(struct engine *e, uint64_t now_ns)
{
    e->end_wanted = true;
    engine_flush(e, now_ns);
    engine_tick(e, now_ns);
}

/* --- words ------------------------------------------------------------------------------------ */

enum keel_state engine_state(const struct engine *e)
{
    switch (e->phase) {
    case ENGINE_CONNECT:
        return KEEL_CONNECTING;
    case ENGINE_OPEN:
    case ENGINE_RESUME:
        return KEEL_OPENING;
    case ENGINE_READY:
        return e->searching ? KEEL_SEARCHING : KEEL_READY;
    case ENGINE_END:
        return KEEL_ENDING;
    case ENGINE_CLOSED:
        return KEEL_CLOSED;
    case ENGINE_FAILED:
        return KEEL_FAILED;
    }
    return KEEL_FAILED;
}

int engine_blame(const struct engine *e, char *problem, size_t size)
{
    if (e->phase == ENGINE_FAILED) {
        snprintf(problem, size, "%s", e->problem);
        return e->error;
    }
    if (e->open_status != 0) {
        snprintf(problem, size,
                 "session '%s' was not opened: %s: end sessions that are not needed, or raise "
                 "the limit in the genesis record",
                 e->options.session, machine_status_name(e->open_status));
        return KEEL_BUSY;
    }
    uint32_t challenged = 0;
    for (uint32_t i = 0; i < e->options.member_count; i++)
        challenged += e->member[i].challenged;
    if (e->phase != ENGINE_CONNECT) {
        snprintf(problem, size,
                 "session '%s' was not opened: the members answer but none of them leads: see "
                 "`keelctl status` on each; a majority must run and reach each other",
                 e->options.session);
        return KEEL_NO_LEADER;
    }
    if (challenged > 0) {
        snprintf(problem, size,
                 "session '%s' was not opened: %u members answer but none accepts the key of "
                 "principal %u: compare the key, the principal and the cluster id with theirs",
                 e->options.session, challenged, e->options.principal);
        return KEEL_KEY;
    }
    snprintf(problem, size,
             "session '%s' was not opened: no member answers at all: check the addresses, the "
             "UDP port, and that keeld runs there",
             e->options.session);
    return KEEL_UNREACHABLE;
}
