#include "tests/unit/client/fake.h"

#include "tests/unit/unit.h"

#include <stdlib.h>
#include <string.h>

uint64_t rng_next(struct rng *rng)
{
    uint64_t z = rng->state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

uint32_t rng_below(struct rng *rng, uint32_t bound)
{
    return (uint32_t)(rng_next(rng) % bound);
}

void rng_bytes(void *rng, void *bytes, size_t size)
{
    uint8_t *at = bytes;
    for (size_t i = 0; i < size; i++)
        at[i] = (uint8_t)rng_next(rng);
}

void fake_keys(struct keyring *keys, uint64_t seed)
{
    struct rng rng = {seed};
    memset(keys, 0, sizeof(*keys));
    keys->count = 1;
    keys->key[0].principal = FAKE_PRINCIPAL;
    keys->key[0].rights = AUTH_RIGHT_SUBMIT;
    keys->key[0].key_count = 1;
    rng_bytes(&rng, keys->key[0].key[0], AUTH_ROOT_SIZE);
}

/* --- life ------------------------------------------------------------------------------------- */

static void *block(size_t size)
{
    void *memory = aligned_alloc(64, (size + 63) & ~(size_t)63);
    CU_ASSERT_FATAL(memory != NULL);
    return memory;
}

void fake_restart(struct fake *fake, uint32_t index)
{
    struct fake_member *m = &fake->member[index];
    if (m->auth == NULL) {
        m->auth = block(auth_table_size(64));
        m->handshake = block(handshake_size());
    }
    m->id = index + 1;
    m->up = true;
    m->boot++;
    CU_ASSERT_FATAL(auth_table_init(m->auth, 64, m->id, fake->cluster) != NULL);
    const struct handshake_options options = {
        .self = {.principal = m->id,
                 .cluster = fake->cluster,
                 .incarnation = 0x1000 + m->id,
                 .boot = m->boot,
                 .boot_id = rng_next(&fake->rng)},
        .keys = fake->keys,
        .random = rng_bytes,
        .context = &fake->rng,
    };
    handshake_init(m->handshake, &options);
}

void fake_init(struct fake *fake, uint64_t seed)
{
    memset(fake, 0, sizeof(*fake));
    fake->rng.state = seed;
    fake->cluster = FAKE_CLUSTER;
    fake->now_ns = 1;
    fake->term = 1;
    genesis_defaults(&fake->genesis);
    fake->genesis.cluster_id = fake->cluster;
    memcpy(fake->genesis.day, "MONDAY    ", KEEL_DAY_NAME_SIZE);
    fake->machine = block(machine_size(&fake->genesis));
    machine_init(fake->machine, &fake->genesis);
    fake->keys = block(sizeof(*fake->keys));
    fake_keys(fake->keys, 7);
    fake->taken = block(FAKE_TAKEN_MAX * sizeof(*fake->taken));
    for (uint32_t i = 0; i < FAKE_MEMBERS; i++)
        fake_restart(fake, i);
    const struct entry_noop noop = {.leader = 1};
    fake_entry(fake, ENTRY_NOOP, 1, &noop, sizeof(noop));
}

void fake_free(struct fake *fake)
{
    for (uint32_t i = 0; i < FAKE_MEMBERS; i++) {
        free(fake->member[i].auth);
        free(fake->member[i].handshake);
    }
    free(fake->machine);
    free(fake->keys);
    free(fake->taken);
}

void fake_lead(struct fake *fake, uint32_t member)
{
    fake->term++;
    fake->held.request = 0; /* the next leader knows nothing of it */
    fake->leader = fake->named = member;
    const struct entry_noop noop = {.leader = member + 1};
    fake_entry(fake, ENTRY_NOOP, member + 1, &noop, sizeof(noop));
}

/* --- the log ---------------------------------------------------------------------------------- */

static void note_taken(struct fake *fake, const struct entry *entry)
{
    const struct entry_messages *m = entry_body(entry);
    uint32_t offset = 0;
    for (uint32_t k = 0; k < m->count; k++) {
        uint16_t length;
        const uint8_t *payload = entry_block_next(entry, &offset, &length);
        for (uint32_t i = 0; i < fake->outcome.run_count; i++) {
            const struct packet_result_run *run = &fake->outcome.run[i];
            uint64_t number = m->number + k;
            if (run->status != MACHINE_SEQUENCED || number < run->number ||
                number >= run->number + run->count)
                continue;
            CU_ASSERT_FATAL(fake->taken_count < FAKE_TAKEN_MAX);
            fake->taken[fake->taken_count++] = (struct fake_taken){
                .session = m->session,
                .number = number,
                .feed = run->feed + number - run->number,
                .hash = machine_message_hash(ENTRY_MESSAGES, payload, length, NULL)};
            if (fake->taken_hook != NULL)
                fake->taken_hook(fake->context, fake->taken[fake->taken_count - 1].feed, payload,
                                 length);
        }
    }
}

uint8_t fake_entry(struct fake *fake, enum entry_kind kind, uint32_t principal, const void *body,
                   size_t size)
{
    _Alignas(8) uint8_t bytes[KEEL_ENTRY_MAX] = {0};
    struct entry *entry = (struct entry *)bytes;
    entry->size = (uint16_t)((sizeof(*entry) + size + 7) & ~(size_t)7);
    entry->kind = (uint8_t)kind;
    entry->version = ENTRY_VERSION;
    entry->index = fake->machine->applied + 1;
    entry->term = fake->term;
    entry->utc_ns = 1000000000 + fake->now_ns;
    entry->log_ns = fake->now_ns;
    entry->principal = principal;
    memcpy(entry + 1, body, size);
    CU_ASSERT_FATAL(entry_check(bytes, sizeof(bytes)));
    machine_apply(fake->machine, entry, &fake->outcome);
    if (kind == ENTRY_MESSAGES)
        note_taken(fake, entry);
    if (fake->outcome.session_ended && fake->taken_hook != NULL)
        fake->taken_hook(fake->context, fake->outcome.feed_before, NULL, 0);
    return fake->outcome.status;
}

void fake_forget(struct fake *fake)
{
    machine_init(fake->machine, &fake->genesis);
    fake_lead(fake, fake->leader);
}

void fake_day(struct fake *fake, enum entry_kind kind, const char *name)
{
    struct entry_day day = {0};
    memset(day.name, ' ', sizeof(day.name));
    memcpy(day.name, name, strlen(name));
    CU_ASSERT(fake_entry(fake, kind, 1, &day, sizeof(day)) == MACHINE_SEQUENCED);
}

void fake_kill(struct fake *fake, uint64_t session)
{
    const struct entry_session_end end = {.session = session, .reason = SESSION_END_KILLED};
    CU_ASSERT(fake_entry(fake, ENTRY_SESSION_END, 1, &end, sizeof(end)) == MACHINE_SEQUENCED);
}

/* --- answers ---------------------------------------------------------------------------------- */

static void answer(struct fake *fake, uint32_t member, uint32_t principal, uint8_t kind,
                   const void *body, size_t size)
{
    struct fake_member *m = &fake->member[member];
    const struct auth_peer *peer = auth_peer(m->auth, principal);
    uint8_t packet[KEEL_DATAGRAM_MAX];
    if (peer == NULL || (fake->mute && member == fake->leader && kind != AUTH_KIND_PONG))
        return;
    uint32_t ip = peer->ip;
    uint16_t port = peer->port;
    memcpy(packet + KEEL_PACKET_HEAD_SIZE, body, size);
    size_t total = auth_seal(m->auth, peer, kind, packet, size);
    CU_ASSERT_FATAL(total > 0);
    fake->send(fake->context, member, ip, port, packet, total);
}

static void redirect(struct fake *fake, uint32_t member, uint32_t principal, uint64_t request,
                     uint8_t kind, uint8_t reason)
{
    uint32_t named = reason == PACKET_BUSY ? (fake->successor != 0 ? fake->successor - 1 : member)
                     : fake->circle        ? (member + 1) % FAKE_MEMBERS
                                           : fake->named;
    const struct packet_redirect body = {.request = request,
                                         .leader = named == FAKE_NOBODY ? 0 : named + 1,
                                         .reason = reason,
                                         .answers = kind,
                                         .term = fake->term};
    answer(fake, member, principal, PACKET_REDIRECT, &body, sizeof(body));
}

static void answer_runs(struct fake *fake, uint32_t member, uint32_t principal,
                        const struct entry_messages *messages,
                        const struct machine_session *session, const struct packet_result_run *runs,
                        uint32_t count)
{
    uint8_t body[KEEL_BODY_MAX];
    struct packet_result head = {.session = messages->session,
                                 .epoch = session == NULL ? messages->epoch : session->epoch,
                                 .last = session == NULL ? 0 : session->last,
                                 .run_count = (uint16_t)count,
                                 .leader = member + 1};
    CU_ASSERT_FATAL(count <= PACKET_RESULT_RUNS_MAX);
    memcpy(head.day, fake->machine->day, sizeof(head.day));
    memcpy(body, &head, sizeof(head));
    memcpy(body + sizeof(head), runs, count * sizeof(*runs));
    answer(fake, member, principal, PACKET_RESULT, body, sizeof(head) + count * sizeof(*runs));
}

static void answer_session(struct fake *fake, uint32_t member, uint32_t principal, uint8_t answers,
                           uint64_t request, uint8_t status, const struct machine_session *session)
{
    uint8_t body[KEEL_BODY_MAX];
    struct packet_result_run runs[KEEL_SESSION_WINDOW_MAX];
    struct packet_session head = {
        .request = request, .status = status, .answers = answers, .leader = member + 1};
    if (session != NULL) {
        uint64_t first = session->last > session->window ? session->last - session->window + 1 : 1;
        head.session = session->id;
        head.epoch = session->epoch;
        head.last = session->last;
        head.ttl_ms = session->ttl_ms;
        head.window = session->window;
        head.first = first;
        head.run_count =
            (uint16_t)machine_runs(session, first, session->last, runs, KEEL_SESSION_WINDOW_MAX);
    }
    size_t size = sizeof(head);
    memcpy(body, &head, sizeof(head));
    for (uint32_t i = 0; i < head.run_count; i++) {
        struct packet_kept_run kept = packet_kept_run(&runs[i]);
        memcpy(body + size, &kept, sizeof(kept));
        size += sizeof(kept);
    }
    answer(fake, member, principal, PACKET_SESSION, body, size);
}

/* --- requests, as a leader's intake treats them ----------------------------------------------- */

static void on_duplicates(struct fake *fake, uint32_t member, uint32_t principal,
                          const struct machine_session *session, uint8_t kind,
                          const struct entry_messages *messages)
{
    const uint8_t *at = (const uint8_t *)(messages + 1);
    for (uint32_t k = 0; k < messages->count; k++) {
        uint16_t length;
        memcpy(&length, at, sizeof(length));
        uint64_t number = messages->number + k;
        struct packet_result_run run = {.number = number, .count = 1, .status = MACHINE_DIFFERENT};
        const struct machine_kept *kept =
            number <= session->last ? machine_kept(session, number) : NULL;
        if (number <= session->last &&
            (kept == NULL ||
             kept->hash == machine_message_hash(kind, at + sizeof(length), length, NULL)))
            CU_ASSERT_EQUAL(machine_runs(session, number, number, &run, 1), 1);
        if (number <= session->last)
            answer_runs(fake, member, principal, messages, session, &run, 1);
        at += sizeof(length) + length;
    }
}

static void on_submit(struct fake *fake, uint32_t member, uint32_t principal, uint8_t kind,
                      const void *body, size_t size)
{
    _Alignas(8) uint8_t bytes[KEEL_BODY_MAX];
    memcpy(bytes, body, size);
    const struct entry_messages *messages = (const struct entry_messages *)bytes;
    const struct machine_session *session = machine_session(fake->machine, messages->session);
    uint64_t last = messages->number + messages->count - 1;
    fake->submits++;
    /* Only results that were given can have arrived. */
    CU_ASSERT(messages->acked < messages->number);
    CU_ASSERT(session == NULL || messages->acked <= session->last);
    if (session != NULL && session->principal == principal && messages->number <= session->last)
        on_duplicates(fake, member, principal, session, kind, messages);
    if (session != NULL && last <= session->last)
        return;
    if (session != NULL && session->ended_log_ns == 0 && session->epoch == messages->epoch &&
        messages->number > session->last + 1)
        return; /* a gap: dropped */
    fake_entry(fake, kind, principal, bytes, size);
    struct packet_result_run runs[KEEL_SESSION_WINDOW_MAX];
    uint32_t count = 0;
    for (uint32_t i = 0; i < fake->outcome.run_count; i++)
        if (fake->outcome.run[i].status != MACHINE_DUPLICATE)
            runs[count++] = fake->outcome.run[i];
    answer_runs(fake, member, principal, messages, session, runs, count);
}

static void on_open(struct fake *fake, uint32_t member, uint32_t principal, uint8_t kind,
                    const void *body)
{
    struct packet_session_request request;
    memcpy(&request, body, sizeof(request));
    fake->opens++;
    uint8_t status =
        fake_entry(fake, kind == PACKET_OPEN ? ENTRY_SESSION_OPEN : ENTRY_SESSION_RESUME, principal,
                   &request.open, sizeof(request.open));
    answer_session(fake, member, principal, kind, request.request, status,
                   machine_session_at(fake->machine, fake->outcome.slot));
}

static uint8_t life_of(const struct machine_session *session, uint64_t epoch)
{
    return session == NULL              ? MACHINE_UNKNOWN
           : session->ended_log_ns != 0 ? MACHINE_SESSION_ENDED
           : session->epoch != epoch    ? MACHINE_EPOCH
                                        : MACHINE_SEQUENCED;
}

static void on_end(struct fake *fake, uint32_t member, uint32_t principal, const void *body)
{
    struct packet_session_end request;
    memcpy(&request, body, sizeof(request));
    const struct machine_session *session = machine_session(fake->machine, request.session);
    uint8_t status = life_of(session, request.epoch);
    if (status == MACHINE_SEQUENCED) {
        const struct entry_session_end end = {
            .session = request.session, .epoch = request.epoch, .reason = SESSION_END_CLEAN};
        status = fake_entry(fake, ENTRY_SESSION_END, principal, &end, sizeof(end));
    }
    answer_session(fake, member, principal, PACKET_END, request.request, status, session);
}

static void look_at_held(struct fake *fake)
{
    struct {
        struct packet_lease head;
        struct packet_event event[PACKET_EVENTS_MAX];
    } lease = {0};
    const struct packet_keepalive request = fake->held;
    const struct machine_session *session = machine_session(fake->machine, request.session);
    uint8_t status = life_of(session, request.epoch);
    if (request.request == 0 || fake->leader == FAKE_NOBODY)
        return;
    lease.head = (struct packet_lease){.request = request.request,
                                       .session = request.session,
                                       .epoch = session == NULL ? request.epoch : session->epoch,
                                       .term = fake->term,
                                       .rho_ppm = fake->genesis.rho_ppm,
                                       .leader = fake->leader + 1,
                                       .status = status};
    if (status == MACHINE_SEQUENCED) {
        lease.head.ttl_ms = session->ttl_ms;
        lease.head.last = session->last;
        lease.head.event_count = (uint16_t)machine_events(fake->machine, session, &request.seen,
                                                          lease.event, PACKET_EVENTS_MAX);
        if (lease.head.event_count == 0 && fake->told_term == fake->term &&
            fake->now_ns < fake->told_ns + session->ttl_ms * FAKE_MS / 3)
            return;
    }
    fake->held.request = 0;
    fake->told_ns = fake->now_ns;
    fake->told_term = fake->term;
    answer(fake, fake->leader, fake->held_principal, PACKET_LEASE, &lease,
           sizeof(lease.head) + lease.head.event_count * sizeof(lease.event[0]));
}

static void on_keepalive(struct fake *fake, uint32_t principal, const void *body)
{
    fake->keepalives++;
    memcpy(&fake->held, body, sizeof(fake->held));
    fake->held_principal = principal;
    look_at_held(fake);
}

static bool well_formed(uint8_t kind, const void *body, size_t size)
{
    if (kind == PACKET_SUBMIT)
        return packet_submit_check(body, size);
    if (kind == PACKET_OPEN || kind == PACKET_RESUME)
        return packet_session_request_check(body, size);
    if (kind == PACKET_NODE)
        return entry_node_body_check(body, size);
    return size == (kind == PACKET_KEEPALIVE ? sizeof(struct packet_keepalive)
                                             : sizeof(struct packet_session_end));
}

static uint64_t request_of(uint8_t kind, const void *body)
{
    uint64_t request;
    size_t at = kind == PACKET_SUBMIT || kind == PACKET_NODE
                    ? offsetof(struct entry_messages, number)
                : kind == PACKET_OPEN || kind == PACKET_RESUME
                    ? offsetof(struct packet_session_request, request)
                    : offsetof(struct packet_session_end, request);
    memcpy(&request, (const uint8_t *)body + at, sizeof(request));
    return request;
}

static void on_client(struct fake *fake, uint32_t member, uint32_t principal, uint8_t kind,
                      const void *body, size_t size)
{
    CU_ASSERT(well_formed(kind, body, size));
    if (member != fake->leader) {
        fake->redirected++;
        redirect(fake, member, principal, request_of(kind, body), kind, PACKET_NOT_LEADER);
    } else if (fake->deaf) {
        return;
    } else if (fake->busy) {
        fake->busy_said++;
        redirect(fake, member, principal, request_of(kind, body), kind, PACKET_BUSY);
    } else if (kind == PACKET_SUBMIT) {
        on_submit(fake, member, principal, ENTRY_MESSAGES, body, size);
    } else if (kind == PACKET_NODE) {
        on_submit(fake, member, principal, ENTRY_NODE, body, size);
    } else if (kind == PACKET_KEEPALIVE) {
        on_keepalive(fake, principal, body);
    } else if (kind == PACKET_OPEN || kind == PACKET_RESUME) {
        on_open(fake, member, principal, kind, body);
    } else {
        on_end(fake, member, principal, body);
    }
}

void fake_receive(struct fake *fake, uint32_t member, uint32_t ip, uint16_t port,
                  const void *packet, size_t size, uint64_t now_ns)
{
    struct fake_member *m = &fake->member[member];
    const struct handshake_address from = {.ip = ip, .port = port};
    uint8_t out[HANDSHAKE_PACKET_MAX];
    size_t out_size;
    struct auth_install install;
    fake->now_ns = now_ns;
    if (!m->up)
        return;
    if (member == fake->leader && !fake->deaf)
        look_at_held(fake);
    if (handshake_is_packet(packet, size)) {
        enum handshake_event event = handshake_receive(m->handshake, packet, size, &from,
                                                       now_ns / FAKE_MS, out, &out_size, &install);
        if (event == HANDSHAKE_SEND_INSTALL) {
            install.now_ns = now_ns;
            CU_ASSERT(auth_install(m->auth, &install));
        }
        if (event != HANDSHAKE_NOTHING)
            fake->send(fake->context, member, ip, port, out, out_size);
        return;
    }
    const struct auth_peer *peer;
    const void *body;
    size_t body_size;
    if (auth_open(m->auth, packet, size, now_ns, &peer, &body, &body_size) != AUTH_OK)
        return;
    uint8_t kind = ((const uint8_t *)packet)[offsetof(struct packet, kind)];
    uint32_t principal = peer->principal;
    static const uint8_t no_mac[6];
    auth_heard_from(m->auth, peer, ip, port, no_mac);
    fake->packets++;
    if (kind == AUTH_KIND_PING)
        answer(fake, member, principal, AUTH_KIND_PONG, out, 0);
    else if (kind != AUTH_KIND_PONG)
        on_client(fake, member, principal, kind, body, body_size);
}

/* --- what was taken --------------------------------------------------------------------------- */

const struct fake_taken *fake_find(const struct fake *fake, uint64_t session, uint64_t number)
{
    for (uint32_t i = 0; i < fake->taken_count; i++)
        if (fake->taken[i].session == session && fake->taken[i].number == number)
            return &fake->taken[i];
    return NULL;
}

bool fake_order_ok(const struct fake *fake)
{
    for (uint32_t i = 0; i < fake->taken_count; i++) {
        const struct fake_taken *t = &fake->taken[i];
        for (uint32_t j = i; j-- > 0;) { /* the session's message before this one */
            if (fake->taken[j].session != t->session)
                continue;
            if (fake->taken[j].number >= t->number)
                return false;
            break;
        }
    }
    return true;
}
