/* What the session's engine receives: results, answers to requests, redirections. */
#include "client/engine.h"

#include "consensus/machine/machine.h"

#include <string.h>

_Static_assert((int)KEEL_SEQUENCED == (int)MACHINE_SEQUENCED, "status");
_Static_assert((int)KEEL_DAY_CLOSED == (int)MACHINE_DAY_CLOSED, "status");
_Static_assert((int)KEEL_DONE == (int)MACHINE_DONE, "status");
_Static_assert((int)KEEL_QUEUED == (int)MACHINE_QUEUED, "status");
_Static_assert((int)KEEL_NO_NODE == (int)MACHINE_NO_NODE, "status");
_Static_assert((int)KEEL_NODE_EXISTS == (int)MACHINE_NODE_EXISTS, "status");
_Static_assert((int)KEEL_NOT_ALLOWED == (int)MACHINE_NOT_ALLOWED, "status");
_Static_assert((int)KEEL_CHANGED == (int)MACHINE_CHANGED, "status");
_Static_assert((int)KEEL_NOT_EMPTY == (int)MACHINE_NOT_EMPTY, "status");
_Static_assert((int)KEEL_LOCK_BUSY == (int)MACHINE_LOCK_BUSY, "status");
_Static_assert((int)KEEL_NOT_HELD == (int)MACHINE_NOT_HELD, "status");
_Static_assert((int)KEEL_NODE_TABLE == (int)MACHINE_NODE_TABLE, "status");
_Static_assert((int)KEEL_HANDLE_LIMIT == (int)MACHINE_HANDLE_LIMIT, "status");
_Static_assert((int)KEEL_WAITER_LIMIT == (int)MACHINE_WAITER_LIMIT, "status");
_Static_assert((int)KEEL_STALE_SEQUENCER == (int)MACHINE_STALE_SEQUENCER, "status");
_Static_assert((int)KEEL_NOT_OPEN == (int)MACHINE_NOT_OPEN, "status");
_Static_assert((int)KEEL_DIFFERENT == (int)MACHINE_DIFFERENT, "status");
_Static_assert((int)KEEL_UNKNOWN == (int)MACHINE_UNKNOWN, "status");
_Static_assert((int)KEEL_SUSPENDED == (int)MACHINE_SUSPENDED, "status");

enum { NO_MEMBER = UINT32_MAX };

static uint32_t member_at(const struct engine *e, uint32_t ip, uint16_t port)
{
    for (uint32_t i = 0; i < e->options.member_count; i++)
        if (e->member[i].at.ip == ip && e->member[i].at.port == port)
            return i;
    return NO_MEMBER;
}

static uint32_t member_of(const struct engine *e, uint32_t id)
{
    for (uint32_t i = 0; i < e->options.member_count; i++)
        if (e->member[i].at.id == id)
            return i;
    return NO_MEMBER;
}

/* The leader answered: whatever was wrong is over. */
static void on_answer(struct engine *e, uint32_t member, uint32_t leader)
{
    uint32_t named = member_of(e, leader);
    e->target = named != NO_MEMBER ? named : member;
    if (e->answered_by != 0 && e->answered_by != e->target + 1)
        e->stats.leader_changes++;
    e->answered_by = e->target + 1;
    e->tries = e->redirects = 0;
    e->searching = false;
    e->busy_ns = ENGINE_BUSY_MIN;
}

/* --- results ---------------------------------------------------------------------------------- */

static bool run_ok(const struct packet_result_run *run)
{
    return run->count >= 1 && run->count <= KEEL_SESSION_WINDOW_MAX && run->number >= 1 &&
           run->number <= ENTRY_NUMBER_MAX && run->reserved == 0 &&
           (run->status != MACHINE_SEQUENCED || (run->feed >= 1 && run->feed <= ENTRY_NUMBER_MAX));
}

static void copy_day(char day[KEEL_DAY_SIZE], const char *name)
{
    size_t size = KEEL_DAY_NAME_SIZE;
    while (size > 0 && (name[size - 1] == ' ' || name[size - 1] == 0))
        size--;
    memcpy(day, name, size);
    memset(day + size, 0, KEEL_DAY_SIZE - size);
}

static void fill_result(struct keel_result *result, const struct packet_result_run *run, uint32_t k)
{
    *result = (struct keel_result){
        .number = run->number + k,
        .feed = run->feed == 0 ? 0 : run->feed + k,
        .utc_ns = run->utc_ns,
        .utc_error_ns = run->utc_error_ns,
        .status = run->status,
    };
}

static bool settles(uint8_t status)
{
    return status <= MACHINE_NOT_OPEN || status == MACHINE_DIFFERENT || status == MACHINE_UNKNOWN ||
           status == MACHINE_SUSPENDED;
}

/* A definite word on some numbers. True if any of them was waited for. */
static bool settle_run(struct engine *e, const struct packet_result_run *run, const char *day)
{
    bool news = false;
    for (uint32_t k = 0; k < run->count; k++) {
        uint64_t number = run->number + k;
        if (number < e->oldest || number >= e->unsent)
            continue;
        struct engine_slot *slot = engine_slot(e, number);
        if (slot->state != ENGINE_SLOT_PENDING)
            continue;
        fill_result(&slot->result, run, k);
        if (day != NULL)
            copy_day(slot->result.day, day);
        slot->result.round_trip_ns = e->now_ns - slot->first_ns;
        slot->state = ENGINE_SLOT_DONE;
        if (number > e->settled)
            e->settled = number;
        /* Only a number sent once tells its round trip (Karn); an answer may be to the first copy
         * sent (H21). */
        if (slot->sends == 1 && k + 1u == run->count)
            engine_round_trip(e, slot->result.round_trip_ns);
        if (slot->first_ns > e->alive_ns)
            e->alive_ns = slot->first_ns;
        e->stats.answered++;
        if (run->status == MACHINE_SEQUENCED)
            e->stats.sequenced++;
        else if (run->status == MACHINE_DONE || run->status == MACHINE_QUEUED)
            e->stats.operated++;
        else
            e->stats.refused++;
        news = true;
    }
    while (e->oldest < e->unsent && engine_slot(e, e->oldest)->state == ENGINE_SLOT_DONE)
        e->oldest++; /* at most a window */
    return news;
}

/* A refusal that changed nothing. `epoch`, `last`: of the packet's head. */
static void refused_run(struct engine *e, const struct packet_result_run *run, uint64_t epoch)
{
    switch (run->status) {
    case MACHINE_GAP:
    case MACHINE_WINDOW:
    case MACHINE_DUPLICATE: /* not the outcome: asked again, the kept result says it */
        if (run->number >= e->oldest && run->number < e->unsent)
            e->lost_before_ns = e->now_ns - e->rtt_ns / 2;
        break;
    case MACHINE_EPOCH: /* our own epoch: a successor's resume is not decided yet */
        if (epoch > e->epoch)
            engine_fail(e, KEEL_SHUT_OUT,
                        "session '%s': another process has taken it over (epoch %llu): only one "
                        "process may use a session; stop one of them",
                        e->options.session, (unsigned long long)epoch);
        break;
    case MACHINE_SESSION_ENDED:
        engine_fail(e, KEEL_ENDED,
                    "session '%s' (%llu): it has ended, expired or was killed: open it anew; its "
                    "numbers then begin at 1",
                    e->options.session, (unsigned long long)e->session);
        break;
    default:
        engine_fail(e, KEEL_REFUSED, "session '%s' (%llu): refused: %s", e->options.session,
                    (unsigned long long)e->session, machine_status_name(run->status));
    }
}

/* Settled runs first: what was decided stays decided also when the session is lost. */
static bool settle_runs(struct engine *e, const uint8_t *at, uint32_t count, uint64_t last,
                        const char *day)
{
    bool news = false;
    for (uint32_t i = 0; i < count; i++) {
        struct packet_result_run run;
        memcpy(&run, at + i * sizeof(run), sizeof(run));
        if (!run_ok(&run)) {
            e->stats.rejected++;
            continue;
        }
        bool gone = run.status == MACHINE_UNKNOWN && run.number > last;
        if (settles(run.status) && !gone)
            news |= settle_run(e, &run, day);
    }
    return news;
}

static void refused_runs(struct engine *e, const uint8_t *at, uint32_t count,
                         const struct packet_result *head)
{
    for (uint32_t i = 0; i < count && e->phase != ENGINE_FAILED; i++) {
        struct packet_result_run run;
        memcpy(&run, at + i * sizeof(run), sizeof(run));
        if (!run_ok(&run))
            continue;
        if (run.status == MACHINE_UNKNOWN && run.number > head->last)
            engine_fail(e, KEEL_ENDED,
                        "session '%s' (%llu): the cluster no longer knows it: it ended long ago; "
                        "open it anew; its numbers then begin at 1",
                        e->options.session, (unsigned long long)e->session);
        else if (!settles(run.status))
            refused_run(e, &run, head->epoch);
    }
}

static void on_result(struct engine *e, uint32_t member, const uint8_t *body, size_t size)
{
    struct packet_result head;
    if (size < sizeof(head)) {
        e->stats.rejected++;
        return;
    }
    memcpy(&head, body, sizeof(head));
    if (head.run_count > PACKET_RESULT_RUNS_MAX ||
        size != sizeof(head) + head.run_count * sizeof(struct packet_result_run)) {
        e->stats.rejected++;
        return;
    }
    if ((e->phase != ENGINE_READY && e->phase != ENGINE_END) || head.session != e->session)
        return; /* a late answer to an earlier life */
    bool news = settle_runs(e, body + sizeof(head), head.run_count, head.last, head.day);
    refused_runs(e, body + sizeof(head), head.run_count, &head);
    if (e->phase == ENGINE_FAILED)
        return;
    if (news)
        on_answer(e, member, head.leader);
    if (e->hold_ns == 0 && e->lost_before_ns != 0)
        engine_resend(e);
    if (news)
        engine_arm(e);
}

/* --- answers to requests ---------------------------------------------------------------------- */

static bool run_before(const struct keel_result *a, uint64_t number)
{
    return a->number < number;
}

/* The results that a resume brought, in number order, each number once. */
static void keep_runs(struct engine *e, const uint8_t *at, uint32_t count, uint64_t last)
{
    for (uint32_t i = 0; i < count; i++) {
        struct packet_result_run run;
        memcpy(&run, at + i * sizeof(run), sizeof(run));
        for (uint32_t k = 0; run_ok(&run) && settles(run.status) && k < run.count; k++) {
            uint64_t number = run.number + k;
            bool follows = e->kept_count == 0 || run_before(&e->kept[e->kept_count - 1], number);
            if (!follows || number > last || e->kept_count == ENGINE_SLOTS)
                break;
            fill_result(&e->kept[e->kept_count++], &run, k);
        }
    }
}

/* H21: time counts from the sending of exactly the copy that was answered; one that is no longer
 * remembered proves nothing. */
static void note_alive(struct engine *e, uint64_t request)
{
    uint64_t sent_ns = engine_copy_sent(e, request);
    if (sent_ns > e->alive_ns)
        e->alive_ns = sent_ns;
}

static void on_opened(struct engine *e, const struct packet_session *answer, const uint8_t *runs)
{
    if (answer->last >= ENTRY_NUMBER_MAX || answer->session == 0 ||
        answer->epoch < answer->session) {
        e->stats.rejected++;
        return;
    }
    e->session = answer->session;
    e->epoch = answer->epoch;
    e->ttl_ms = answer->ttl_ms == 0 ? e->options.ttl_ms : answer->ttl_ms;
    e->window = answer->window >= 1 && answer->window < e->options.window ? answer->window
                                                                          : e->options.window;
    e->resumed = e->phase == ENGINE_RESUME || answer->last > 0;
    e->resumed_last = answer->last;
    e->kept_count = 0;
    keep_runs(e, runs, answer->run_count, answer->last);
    e->given = e->settled = answer->last;
    e->oldest = e->unsent = e->next = answer->last + 1;
    note_alive(e, answer->request);
    e->open_status = 0;
    engine_enter(e, ENGINE_READY);
    engine_lease_begin(e);
}

static void refuse_open(struct engine *e, uint8_t status)
{
    engine_fail(e, KEEL_REFUSED,
                "session '%s' of principal %u was not opened: %s: see the cluster's limits and "
                "this principal's rights",
                e->options.session, e->options.principal, machine_status_name(status));
}

/* Asks anew, from OPEN or with RESUME; two processes that fight over a name do not do so for ever.
 */
static void open_again(struct engine *e, enum engine_phase phase)
{
    if (++e->rounds > ENGINE_RESUME_ROUNDS) {
        engine_fail(e, KEEL_SHUT_OUT,
                    "session '%s': other processes take it over again and again: only one process "
                    "may use a session",
                    e->options.session);
        return;
    }
    engine_enter(e, phase);
    engine_push(e);
}

static void on_open_answer(struct engine *e, const struct packet_session *answer,
                           const uint8_t *runs)
{
    e->open_status = 0;
    switch (answer->status) {
    case MACHINE_SEQUENCED:
        on_opened(e, answer, runs);
        break;
    case MACHINE_SESSION_EXISTS:
        e->replaces = answer->epoch; /* H16 */
        open_again(e, ENGINE_RESUME);
        break;
    case MACHINE_EPOCH: /* a third process came between, or it ended: look again */
    case MACHINE_UNKNOWN:
    case MACHINE_SESSION_ENDED:
        if (e->phase == ENGINE_RESUME)
            open_again(e, ENGINE_OPEN);
        else
            refuse_open(e, answer->status);
        break;
    case MACHINE_SESSION_TABLE:
    case MACHINE_SESSION_LIMIT:
        e->open_status = answer->status;
        engine_back_off(e, ENGINE_ROOM_MIN);
        break;
    default:
        refuse_open(e, answer->status);
    }
}

static void on_lease(struct engine *e, uint32_t member, const uint8_t *body, size_t size)
{
    struct packet_lease answer;
    if (size < sizeof(answer)) {
        e->stats.rejected++;
        return;
    }
    memcpy(&answer, body, sizeof(answer));
    if (answer.event_count > PACKET_EVENTS_MAX ||
        size != sizeof(answer) + answer.event_count * sizeof(struct packet_event)) {
        e->stats.rejected++;
        return;
    }
    if (e->phase != ENGINE_READY || answer.session != e->session ||
        answer.request < e->request_first || answer.request > e->request)
        return; /* to an earlier phase */
    on_answer(e, member, answer.leader);
    if (answer.status == MACHINE_SEQUENCED) {
        note_alive(e, answer.request);
        e->keepalive = false;
        engine_lease_answer(e, &answer, body + sizeof(answer));
    } else if (answer.status == MACHINE_UNKNOWN) {
        engine_fail(e, KEEL_ENDED,
                    "session '%s' (%llu): the cluster no longer knows it: open it anew; its "
                    "numbers then begin at 1",
                    e->options.session, (unsigned long long)e->session);
    } else {
        const struct packet_result_run run = {.status = answer.status};
        refused_run(e, &run, answer.epoch);
    }
    if (e->hold_ns == 0)
        engine_arm(e);
}

static void on_end_answer(struct engine *e, const struct packet_session *answer)
{
    if (answer->session != 0 && answer->session != e->session)
        return; /* another of this principal */
    if (answer->status == MACHINE_EPOCH)
        engine_fail(e, KEEL_SHUT_OUT,
                    "session '%s' was not ended: another process has taken it over",
                    e->options.session);
    else if (answer->status == MACHINE_SEQUENCED || answer->status == MACHINE_SESSION_ENDED ||
             answer->status == MACHINE_UNKNOWN) /* an earlier copy ended it */
        engine_enter(e, ENGINE_CLOSED);
    else
        engine_fail(e, KEEL_REFUSED, "session '%s' was not ended: %s", e->options.session,
                    machine_status_name(answer->status));
}

/* The kept runs behind an answer, each with its number. */
static void long_runs(const struct packet_session *answer, const uint8_t *at,
                      struct packet_result_run *runs)
{
    uint64_t number = answer->first;
    for (uint32_t i = 0; i < answer->run_count; i++) {
        struct packet_kept_run kept;
        memcpy(&kept, at + i * sizeof(kept), sizeof(kept));
        runs[i] = packet_result_run(&kept, number);
        number += kept.count;
    }
}

static void on_session(struct engine *e, uint32_t member, const uint8_t *body, size_t size)
{
    struct packet_session answer;
    if (size < sizeof(answer)) {
        e->stats.rejected++;
        return;
    }
    memcpy(&answer, body, sizeof(answer));
    if (answer.run_count > PACKET_KEPT_RUNS_MAX ||
        size != sizeof(answer) + answer.run_count * sizeof(struct packet_kept_run)) {
        e->stats.rejected++;
        return;
    }
    if (answer.request < e->request_first || answer.request > e->request)
        return; /* to an earlier phase */
    static const uint8_t expected[] = {[ENGINE_OPEN] = PACKET_OPEN, [ENGINE_RESUME] = PACKET_RESUME,
                                       [ENGINE_READY] = 0,          [ENGINE_END] = PACKET_END,
                                       [ENGINE_CLOSED] = 0,         [ENGINE_FAILED] = 0};
    if (answer.answers != expected[e->phase] || answer.answers == 0)
        return;
    struct packet_result_run runs[PACKET_KEPT_RUNS_MAX];
    long_runs(&answer, body + sizeof(answer), runs);
    on_answer(e, member, answer.leader);
    if (e->phase == ENGINE_END)
        on_end_answer(e, &answer);
    else
        on_open_answer(e, &answer, (const uint8_t *)runs);
    if (e->hold_ns == 0)
        engine_arm(e);
}

/* --- redirections ----------------------------------------------------------------------------- */

/* Is this member worth asking at once? Not if it was just left for its silence. */
static bool worth_asking(const struct engine *e, uint32_t member)
{
    const struct engine_member *m = &e->member[member];
    return auth_peer(e->auth, m->at.id) != NULL && !engine_suspect(e, m);
}

static void on_not_leader(struct engine *e, uint32_t member, const struct packet_redirect *redirect)
{
    uint32_t named = member_of(e, redirect->leader);
    bool stale = redirect->term < e->term;
    if (redirect->term > e->term)
        e->term = redirect->term;
    e->stats.redirects++;
    if (member != e->target && !e->searching)
        return; /* of one asked earlier */
    if (named != NO_MEMBER && named != member && !stale && worth_asking(e, named) &&
        e->redirects < 2 * e->options.member_count) {
        e->redirects++;
        e->target = named;
        engine_push(e);
        engine_arm(e);
        return;
    }
    /* Nobody leads yet, as far as it knows: the others, one each interval. */
    if (e->tries < ENGINE_SILENT_TRIES) {
        e->tries = ENGINE_SILENT_TRIES;
        e->searching = true;
        engine_arm(e);
    }
}

/* No message waits, but a keepalive or a question may: they are sent again when due, to whom this
 * says. */
static void on_idle_redirect(struct engine *e, uint32_t member,
                             const struct packet_redirect *redirect)
{
    uint32_t named = member_of(e, redirect->leader);
    if (redirect->reason != PACKET_NOT_LEADER || redirect->term < e->term || member != e->target)
        return;
    e->term = redirect->term;
    e->stats.redirects++;
    if (named != NO_MEMBER && named != member && worth_asking(e, named))
        e->target = named;
    else
        engine_next_member(e);
    engine_lease_redirected(e);
}

static void on_redirect(struct engine *e, uint32_t member, const uint8_t *body, size_t size)
{
    struct packet_redirect redirect;
    if (size != sizeof(redirect)) {
        e->stats.rejected++;
        return;
    }
    memcpy(&redirect, body, sizeof(redirect));
    if (!engine_awaiting(e)) {
        on_idle_redirect(e, member, &redirect);
        return;
    }
    if (redirect.reason == PACKET_NOT_LEADER) {
        on_not_leader(e, member, &redirect);
    } else if (redirect.reason == PACKET_BUSY) {
        if (redirect.term > e->term)
            e->term = redirect.term;
        if (redirect.term < e->term || e->hold_ns != 0)
            return;
        uint32_t named = member_of(e, redirect.leader);
        e->target = member;
        if (named != NO_MEMBER && named != member && worth_asking(e, named)) {
            e->target = named; /* that one is taking over: after the shortest pause */
            e->busy_ns = ENGINE_BUSY_MIN;
        }
        engine_back_off(e, ENGINE_BUSY_MIN);
    } else {
        e->stats.rejected++;
    }
}

/* --- all -------------------------------------------------------------------------------------- */

static void on_heard(struct engine *e, uint32_t member)
{
    struct engine_member *m = &e->member[member];
    m->silent = 0;
    m->suspect_ns = 0;
    m->heard_ns = e->now_ns;
    m->ping_ns = e->now_ns + ENGINE_PING_EVERY;
}

void engine_receive(struct engine *e, uint32_t ip, uint16_t port, const void *packet, size_t size,
                    uint64_t now_ns)
{
    uint32_t member = member_at(e, ip, port);
    e->now_ns = now_ns;
    e->stats.packets_received++;
    e->stats.bytes_received += size;
    if (member == NO_MEMBER) {
        e->stats.rejected++;
        return;
    }
    if (handshake_is_packet(packet, size)) {
        engine_handshake_packet(e, member, packet, size);
        engine_tick(e, now_ns);
        return;
    }
    const struct auth_peer *peer;
    const void *body;
    size_t body_size;
    if (auth_open(e->auth, packet, size, now_ns, &peer, &body, &body_size) != AUTH_OK ||
        peer->principal != e->member[member].at.id) {
        e->stats.rejected++;
        return;
    }
    on_heard(e, member);
    uint8_t kind = ((const uint8_t *)packet)[offsetof(struct packet, kind)];
    if (kind == AUTH_KIND_PING)
        engine_send(e, member, AUTH_KIND_PONG, 0);
    else if (kind == PACKET_RESULT)
        on_result(e, member, body, body_size);
    else if (kind == PACKET_SESSION)
        on_session(e, member, body, body_size);
    else if (kind == PACKET_LEASE)
        on_lease(e, member, body, body_size);
    else if (kind == PACKET_ANSWER)
        engine_query_answer(e, body, body_size);
    else if (kind == PACKET_REDIRECT)
        on_redirect(e, member, body, body_size);
}
