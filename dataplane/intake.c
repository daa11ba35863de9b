#include "dataplane/intake.h"

#include "dataplane/replica.h"

#include <string.h>

size_t intake_size(const struct genesis *genesis)
{
    return sizeof(struct intake) + genesis->sessions_max * sizeof(struct intake_slot);
}

void intake_init(struct intake *intake, const struct genesis *genesis)
{
    memset(intake, 0, intake_size(genesis));
    intake->slots = genesis->sessions_max;
}

bool intake_open(const struct replica *r)
{
    return r->raft.role == RAFT_LEADER && !r->stopped && r->machine->applied >= r->raft.noop_index;
}

/* The overlay of a session, taken over from the machine when this term first asks for it. */
static struct intake_slot *overlay(struct replica *r, const struct machine_session *session)
{
    struct intake_slot *slot = &r->intake->slot[machine_slot(r->machine, session)];
    if (slot->session != session->id || slot->term != r->raft.term) {
        slot->session = session->id;
        slot->term = r->raft.term;
        slot->epoch = session->epoch;
        slot->appended = session->last;
        slot->acked = session->acked;
        slot->paid_ns = 0;
    }
    return slot;
}

/* Room in ring, window and feed for one more entry; otherwise raft is told that something waits
 * (H8). */
static bool room(struct replica *r, uint32_t size)
{
    if (raft_hands_over(&r->raft))
        return false; /* 3.10: the next leader takes it */
    if (ring_room(r->ring, 1, size) == RING_ROOM)
        return true;
    if (!r->space_told) {
        r->space_told = true;
        step_no_space(r);
    }
    return false;
}

/* Frames an entry in the open page; the caller fills the body and calls step_append(). */
static struct entry *frame_entry(struct replica *r, uint8_t kind, uint32_t principal,
                                 size_t body_size)
{
    uint16_t size = (uint16_t)((sizeof(struct entry) + body_size + 7) & ~(size_t)7);
    struct entry *entry = ring_reserve(r->ring, size, r->raft.term);
    entry->size = size;
    entry->kind = kind;
    entry->version = ENTRY_VERSION;
    entry->principal = principal;
    memset((uint8_t *)entry + sizeof(*entry) + body_size, 0, size - sizeof(*entry) - body_size);
    return entry;
}

static void refuse(struct replica *r, uint32_t principal, const struct entry_messages *messages,
                   const struct machine_session *session, uint8_t status)
{
    struct packet_result_run run = {
        .number = messages->number, .count = messages->count, .status = status};
    if (session != NULL && session->principal == principal)
        answer_runs(r, session, &run, 1);
    else
        answer_stranger(r, principal, messages, &run);
}

/* Numbers that the machine has decided already: the kept results, or that the content differs. Out
 * of the common path, and so out of line. */
static __attribute__((noinline)) void
answer_duplicates(struct replica *r, const struct machine_session *session, uint8_t entry_kind,
                  const struct entry_messages *messages, uint64_t last)
{
    struct entry_sequencer sequencer;
    const struct entry_sequencer *shown = NULL;
    if ((messages->flags & ENTRY_FENCED) != 0) {
        sequencer = entry_messages_sequencer(messages);
        shown = &sequencer;
    }
    struct packet_result_run runs[KEEL_SESSION_WINDOW_MAX];
    const uint8_t *at = (const uint8_t *)(messages + 1);
    uint8_t different = messages->epoch == session->epoch ? MACHINE_DIFFERENT : MACHINE_EPOCH;
    for (uint64_t number = messages->number; number <= last; number++) {
        uint16_t length;
        memcpy(&length, at, sizeof(length));
        const struct machine_kept *kept = machine_kept(session, number);
        if (kept != NULL &&
            kept->hash != machine_message_hash(entry_kind, at + sizeof(length), length, shown)) {
            /* What another life meant by the number is no word about this one's. */
            struct packet_result_run run = {.number = number, .count = 1, .status = different};
            answer_runs(r, session, &run, 1);
        } else {
            uint32_t count = machine_runs(session, number, number, runs, 1);
            answer_runs(r, session, runs, count);
        }
        at += sizeof(length) + length;
    }
    metric_add(&r->metrics.duplicates, last - messages->number + 1);
}

/* Takes the messages from number `first` on (those before are in the log already). */
static void append_messages(struct replica *r, uint32_t principal, struct intake_slot *slot,
                            uint8_t entry_kind, const struct entry_messages *messages,
                            uint64_t first)
{
    bool fenced = (messages->flags & ENTRY_FENCED) != 0;
    const uint8_t *at = (const uint8_t *)(messages + 1);
    uint16_t bytes = messages->bytes;
    for (uint64_t number = messages->number; number < first; number++) {
        uint16_t length;
        memcpy(&length, at, sizeof(length));
        at += sizeof(length) + length;
        bytes = (uint16_t)(bytes - sizeof(length) - length);
    }
    uint16_t count = (uint16_t)(messages->number + messages->count - first);
    size_t body_size = sizeof(struct entry_messages) + bytes + (fenced ? KEEL_SEQUENCER_SIZE : 0);
    if (!room(r, (uint32_t)(sizeof(struct entry) + body_size + 8))) {
        metric_add(&r->metrics.drop[DROP_BUSY], 1);
        answer_redirect(r, principal, first, entry_kind == ENTRY_NODE ? PACKET_NODE : PACKET_SUBMIT,
                        PACKET_BUSY);
        return;
    }
    struct entry *entry = frame_entry(r, entry_kind, principal, body_size);
    struct entry_messages *body = (struct entry_messages *)(entry + 1);
    *body = *messages;
    body->number = first;
    body->count = count;
    body->bytes = bytes;
    memcpy(body + 1, at, body_size - sizeof(*body)); /* the sequencer follows the blocks */
    step_append(r, entry);
    slot->appended = first + count - 1;
    metric_add(&r->metrics.appended_messages, count);
}

/* How many of `count` messages a session may submit now that has so many a second: what it left
 * unused in the last INTAKE_BURST_MS may be made up for. By this leader's clock alone: apply does
 * not judge it, and the next leader begins anew. */
static uint32_t within_rate(const struct replica *r, struct intake_slot *slot, uint32_t rate,
                            uint32_t count)
{
    uint64_t each_ns = 1000000000u / rate;
    uint64_t burst_ns = INTAKE_BURST_MS * 1000000ull;
    uint64_t from_ns = r->now_ns > burst_ns ? r->now_ns - burst_ns : 0;
    if (slot->paid_ns > from_ns)
        from_ns = slot->paid_ns;
    if (from_ns > r->now_ns)
        return 0;
    uint64_t due = 1 + (r->now_ns - from_ns) / each_ns;
    uint32_t taken = due < count ? (uint32_t)due : count;
    slot->paid_ns = from_ns + taken * each_ns;
    return taken;
}

/* Takes the first `count` messages alone. */
static void append_first(struct replica *r, uint32_t principal, struct intake_slot *slot,
                         const struct entry_messages *messages, uint32_t count)
{
    struct {
        struct entry_messages head;
        uint8_t blocks[KEEL_BLOCKS_MAX];
    } part = {.head = *messages};
    const uint8_t *at = (const uint8_t *)(messages + 1);
    uint32_t bytes = 0;
    for (uint32_t i = 0; i < count; i++)
        bytes += 2u + (at[bytes] | (uint32_t)at[bytes + 1] << 8);
    part.head.count = (uint16_t)count;
    part.head.bytes = (uint16_t)bytes;
    memcpy(part.blocks, at, bytes);
    if ((messages->flags & ENTRY_FENCED) != 0)
        memcpy(part.blocks + bytes, at + messages->bytes, KEEL_SEQUENCER_SIZE);
    append_messages(r, principal, slot, ENTRY_MESSAGES, &part.head, slot->appended + 1);
}

/* The rest is asked to come later, as where there is no room. */
static __attribute__((noinline)) void append_within_rate(struct replica *r, uint32_t principal,
                                                         struct intake_slot *slot,
                                                         const struct entry_messages *messages,
                                                         uint32_t rate)
{
    uint64_t last = messages->number + messages->count - 1;
    uint32_t count = (uint32_t)(last - slot->appended);
    uint64_t paid_ns = slot->paid_ns, appended = slot->appended;
    uint32_t taken = within_rate(r, slot, rate, count);
    if (taken > 0)
        append_first(r, principal, slot, messages, messages->count - (count - taken));
    if (taken > 0 && slot->appended == appended) { /* no room, which was answered: not charged */
        slot->paid_ns = paid_ns;
        return;
    }
    if (taken == count)
        return;
    metric_add(&r->metrics.drop[DROP_LIMITED], count - taken);
    answer_redirect(r, principal, last - (count - taken) + 1, PACKET_SUBMIT, PACKET_BUSY);
}

/* Pitfall 9: who was deposed and does not know it yet is asked of a session, or of a life of it,
 * that began under its successor. Ids and epochs are log indexes: what was not applied here is not
 * judged here. The client asks the others. */
static bool unseen(struct replica *r, uint64_t index)
{
    if (index <= r->machine->applied)
        return false;
    metric_add(&r->metrics.drop[DROP_UNSEEN], 1);
    return true;
}

/* Messages, or one node operation: what takes numbers of a session. */
static void submit(struct replica *r, uint32_t principal, uint8_t entry_kind,
                   const struct entry_messages *messages)
{
    metric_add(&r->metrics.submits, 1);
    metric_add(&r->metrics.submit_messages, messages->count);
    const struct machine_session *session = machine_session(r->machine, messages->session);
    if (session == NULL && unseen(r, messages->session))
        return;
    if (session == NULL || session->principal != principal) {
        refuse(r, principal, messages, session,
               session == NULL ? MACHINE_UNKNOWN : MACHINE_NOT_OWNER);
        return;
    }
    struct intake_slot *slot = overlay(r, session);
    if (slot->epoch == messages->epoch) /* a life that is over keeps nothing alive */
        metric_set(&slot->heard_ns, r->now_ns);
    uint64_t first = messages->number, last = first + messages->count - 1;
    if (first <= session->last) /* also for the older epoch: what was decided stays decided */
        answer_duplicates(r, session, entry_kind, messages,
                          last < session->last ? last : session->last);
    if (last <= session->last)
        return;
    if (slot->epoch != messages->epoch && unseen(r, messages->epoch))
        return;
    if (session->ended_log_ns != 0 || slot->epoch != messages->epoch) {
        refuse(r, principal, messages, session,
               session->ended_log_ns != 0 ? MACHINE_SESSION_ENDED : MACHINE_EPOCH);
        return;
    }
    if (messages->acked > slot->acked)
        slot->acked = messages->acked;
    if (last <= slot->appended) {
        metric_add(&r->metrics.drop[DROP_IN_FLIGHT], messages->count);
        return;
    }
    if (first > slot->appended + 1) {
        metric_add(&r->metrics.drop[DROP_GAP], messages->count);
        return;
    }
    if (last > messages->acked + session->window) {
        refuse(r, principal, messages, session, MACHINE_WINDOW);
        return;
    }
    if (session->rate != 0 && entry_kind == ENTRY_MESSAGES)
        append_within_rate(r, principal, slot, messages, session->rate);
    else
        append_messages(r, principal, slot, entry_kind, messages, slot->appended + 1);
}

/* --- session requests
 * ------------------------------------------------------------------------------ */

/* A copy of a request that is under way: the newest one is answered. */
static bool under_way(struct replica *r, const struct intake_key *key, uint64_t request)
{
    for (uint32_t i = 0; i < r->intake->pending_count; i++) {
        struct intake_pending *p = &r->intake->pending[i];
        if (memcmp(&p->key, key, sizeof(*key)) != 0)
            continue;
        p->request = request;
        return true;
    }
    return false;
}

/* Appends a session request's entry, unless there is no room or no place to remember it: its index,
 * or 0. */
static uint64_t append_request(struct replica *r, const struct intake_key *key, uint64_t request,
                               uint8_t entry_kind, const void *body, size_t body_size)
{
    struct intake *intake = r->intake;
    if (!room(r, (uint32_t)(sizeof(struct entry) + body_size + 8)) ||
        intake->pending_count == INTAKE_PENDING_MAX) {
        metric_add(&r->metrics.drop[DROP_BUSY], 1);
        answer_redirect(r, key->principal, request, key->kind, PACKET_BUSY);
        return 0;
    }
    struct entry *entry = frame_entry(r, entry_kind, key->principal, body_size);
    memcpy(entry + 1, body, body_size);
    step_append(r, entry);
    intake->pending[intake->pending_count++] =
        (struct intake_pending){.index = entry->index, .request = request, .key = *key};
    return entry->index;
}

static void open_or_resume(struct replica *r, uint32_t principal, uint8_t kind,
                           const struct packet_session_request *request)
{
    const struct entry_session_open *open = &request->open;
    struct intake_key key = {.process = open->process, .principal = principal, .kind = kind};
    memcpy(key.name, open->name, sizeof(key.name));
    if (under_way(r, &key, request->request))
        return;
    const struct machine_session *session =
        machine_session_named(r->machine, principal, open->name);
    if (session != NULL && session->ended_log_ns == 0 && session->process == open->process) {
        answer_session(r, principal, request->request, kind, MACHINE_SEQUENCED, session,
                       session->epoch);
        return;
    }
    uint8_t entry_kind = kind == PACKET_OPEN ? ENTRY_SESSION_OPEN : ENTRY_SESSION_RESUME;
    uint64_t index = append_request(r, &key, request->request, entry_kind, open, sizeof(*open));
    if (index == 0)
        return;
    if (kind == PACKET_RESUME && session != NULL && session->ended_log_ns == 0) {
        struct intake_slot *slot = overlay(r, session);
        if (slot->epoch == open->replaces || session->epoch == open->replaces)
            slot->epoch = index; /* H15: the older life ends here, for intake */
    }
}

static void end_session(struct replica *r, uint32_t principal, const struct packet_session_end *end)
{
    const struct machine_session *session = machine_session(r->machine, end->session);
    if (session == NULL && unseen(r, end->session))
        return;
    if (session == NULL || session->principal != principal || session->ended_log_ns != 0) {
        uint8_t status = session == NULL                   ? MACHINE_UNKNOWN
                         : session->principal != principal ? MACHINE_NOT_OWNER
                                                           : MACHINE_SEQUENCED;
        answer_session(r, principal, end->request, PACKET_END, status,
                       status == MACHINE_NOT_OWNER ? NULL : session, 0);
        return;
    }
    const struct intake_key key = {
        .session = end->session, .epoch = end->epoch, .principal = principal, .kind = PACKET_END};
    const struct entry_session_end body = {
        .session = end->session, .epoch = end->epoch, .reason = SESSION_END_CLEAN};
    if (!under_way(r, &key, end->request))
        append_request(r, &key, end->request, ENTRY_SESSION_END, &body, sizeof(body));
}

static void keepalive(struct replica *r, uint32_t principal, const struct packet_keepalive *body)
{
    const struct machine_session *session = machine_session(r->machine, body->session);
    if (session != NULL && session->principal == principal && session->epoch == body->epoch)
        metric_set(&overlay(r, session)->heard_ns, r->now_ns);
    notice_keepalive(r, principal, body);
}

/* Whether the body is in form for its kind; *request: what a refusal echoes. */
static bool well_formed(uint8_t kind, const void *body, size_t size, uint64_t *request)
{
    bool good = false;
    if (kind == PACKET_SUBMIT || kind == PACKET_NODE) {
        good = kind == PACKET_SUBMIT ? packet_submit_check(body, size)
                                     : entry_node_body_check(body, size);
        *request = good ? ((const struct entry_messages *)body)->number : 0;
    } else if (kind == PACKET_OPEN || kind == PACKET_RESUME) {
        good = packet_session_request_check(body, size);
        *request = good ? ((const struct packet_session_request *)body)->request : 0;
    } else if (kind == PACKET_QUERY) {
        good = packet_query_check(body, size);
        *request = good ? ((const struct packet_query *)body)->request : 0;
    } else if (kind == PACKET_KEEPALIVE) {
        good = size == sizeof(struct packet_keepalive);
        *request = good ? ((const struct packet_keepalive *)body)->request : 0;
    } else {
        good = size == sizeof(struct packet_session_end);
        *request = good ? ((const struct packet_session_end *)body)->request : 0;
    }
    return good;
}

void intake_packet(struct replica *r, uint32_t principal, uint8_t kind, const void *body,
                   size_t size)
{
    uint64_t request;
    if (!well_formed(kind, body, size, &request)) {
        metric_add(&r->metrics.drop[DROP_BODY], 1);
        return;
    }
    if (r->raft.role != RAFT_LEADER) {
        metric_add(&r->metrics.drop[DROP_NOT_LEADER], 1);
        answer_redirect(r, principal, request, kind, PACKET_NOT_LEADER);
        return;
    }
    if (!intake_open(r)) {
        metric_add(&r->metrics.drop[DROP_BUSY], 1);
        answer_redirect(r, principal, request, kind, PACKET_BUSY);
        return;
    }
    switch (kind) {
    case PACKET_SUBMIT:
        submit(r, principal, ENTRY_MESSAGES, body);
        break;
    case PACKET_NODE:
        submit(r, principal, ENTRY_NODE, body);
        break;
    case PACKET_QUERY:
        notice_query(r, principal, body, size);
        break;
    case PACKET_OPEN:
    case PACKET_RESUME:
        open_or_resume(r, principal, kind, body);
        break;
    case PACKET_END:
        end_session(r, principal, body);
        break;
    case PACKET_KEEPALIVE:
        keepalive(r, principal, body);
        break;
    default:
        metric_add(&r->metrics.drop[DROP_KIND], 1);
    }
}

/* A life that an operator ends, or an expiry may end, is over for intake when that is appended; a
 * refused one gives it back (intake_applied). */
static void note_end(struct replica *r, uint64_t index, const struct entry_session_end *end)
{
    const struct machine_session *session = machine_session(r->machine, end->session);
    if (session == NULL || session->ended_log_ns != 0)
        return;
    struct intake_slot *slot = overlay(r, session);
    if (end->epoch == 0 || end->epoch == slot->epoch)
        slot->epoch = index;
}

uint64_t intake_own(struct replica *r, uint8_t entry_kind, const void *body, uint16_t body_size)
{
    if (!intake_open(r) || !room(r, (uint32_t)sizeof(struct entry) + body_size + 8u))
        return 0;
    struct entry *entry = frame_entry(r, entry_kind, r->id, body_size);
    memcpy(entry + 1, body, body_size);
    if (!entry_check(entry, entry->size)) { /* followers would refuse it, and all that follows */
        metric_add(&r->metrics.drop[DROP_BODY], 1);
        return 0; /* the next reservation takes its place */
    }
    step_append(r, entry);
    if (entry_kind == ENTRY_SESSION_END || entry_kind == ENTRY_SESSION_EXPIRE)
        note_end(r, entry->index, body);
    if (entry_kind == ENTRY_OPERATOR)
        r->intake->operated = entry->index;
    return entry->index;
}

bool intake_lives(struct replica *r, const struct packet_lease *lease, uint64_t known)
{
    const struct machine_session *session = machine_session(r->machine, lease->session);
    if (known < r->raft.noop_index || known < r->intake->operated)
        return false;
    if (lease->status != MACHINE_SEQUENCED || session == NULL)
        return lease->status != MACHINE_SEQUENCED;
    return session->ended_log_ns == 0 && overlay(r, session)->epoch == lease->epoch;
}

void intake_applied(struct replica *r, const struct entry *entry,
                    const struct machine_outcome *outcome)
{
    struct intake *intake = r->intake;
    bool mine = r->raft.role == RAFT_LEADER && entry->term == r->raft.term;
    const struct machine_session *session =
        outcome->slot == UINT32_MAX ? NULL : machine_session_at(r->machine, outcome->slot);
    if (session != NULL && mine) {
        struct intake_slot *slot = &intake->slot[outcome->slot];
        if (slot->session == session->id && slot->term == r->raft.term &&
            slot->epoch == entry->index)
            slot->epoch = session->epoch; /* a refused resume gives the epoch back */
    }
    for (uint32_t i = 0; i < intake->pending_count; i++) {
        struct intake_pending *p = &intake->pending[i];
        if (p->index != entry->index)
            continue;
        if (mine)
            answer_session(r, p->key.principal, p->request, p->key.kind, outcome->status, session,
                           entry->index);
        *p = intake->pending[--intake->pending_count];
        break;
    }
}
