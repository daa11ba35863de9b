#include "control/founding.h"

#include "dataplane/crc32c.h"

#include <string.h>

#define MS UINT64_C(1000000)

enum { ASSOCIATIONS = (KEEL_REPLICA_MAX + 1) * (AUTH_PENDING_MAX + 1), ALIGN = 64 };

struct founding {
    struct founding_options options;
    struct handshake *handshake;
    struct auth_table *auth;
    uint64_t now_ns;
    uint64_t timer_ns; /* the wait that paxos asked for ends then; 0: none */
    uint64_t next_begin_ns[KEEL_REPLICA_MAX + 1];
    struct founding_boot seen[KEEL_REPLICA_MAX + 1];
    struct founding_founder founder[KEEL_REPLICA_MAX + 1]; /* but for `said` */
    uint64_t writes, handshakes, sent, received;
    uint64_t auth_reject[AUTH_REJECT_COUNT];
    uint64_t drop[PAXOS_DROPS];
    bool decided;
    enum paxos_why why;
    uint8_t about;
    struct paxos paxos;
    struct paxos_out out;
    uint8_t packet[FOUNDING_PACKET_MAX];
};

static size_t aligned(size_t size)
{
    return (size + ALIGN - 1) & ~(size_t)(ALIGN - 1);
}

size_t founding_size(void)
{
    return aligned(sizeof(struct founding)) + aligned(handshake_size()) +
           aligned(auth_table_size(ASSOCIATIONS));
}

static uint64_t now_ms(const struct founding *f)
{
    return f->now_ns / MS;
}

static uint64_t draw(struct founding *f)
{
    uint64_t bits;
    f->options.random(f->options.context, &bits, sizeof(bits));
    return bits;
}

/* --- packets out
 * ----------------------------------------------------------------------------------- */

static void seal(struct founding *f, uint32_t to, uint8_t kind, size_t body_size)
{
    const struct auth_peer *peer = auth_peer(f->auth, to);
    if (peer == NULL)
        return; /* it is asked again by timer */
    const struct handshake_address address = {.ip = peer->ip, .port = peer->port};
    size_t size = auth_seal(f->auth, peer, kind, f->packet, body_size);
    if (size == 0)
        return;
    f->sent++;
    f->options.send(f->options.context, &address, f->packet, size);
}

static void tell(struct founding *f, const struct paxos_msg *msg)
{
    size_t size = packet_genesis_encode(msg, f->packet + KEEL_PACKET_HEAD_SIZE);
    seal(f, msg->to, PACKET_GENESIS, size);
}

/* --- steps
 * ----------------------------------------------------------------------------------------- */

/* What the step wants written is durable when this returns true. */
static bool write_out(struct founding *f)
{
    ENSURE(f->options.write != NULL);
    f->writes++;
    return f->options.write(f->options.context, &f->paxos.record, f->seen) == 0;
}

static void step(struct founding *f, const struct paxos_in *event)
{
    struct paxos_in in = *event;
    for (uint32_t i = 0; i < FOUNDING_STEPS_MAX; i++) {
        struct paxos_out *out = &f->out;
        in.random = draw(f);
        paxos_step(&f->paxos, &in, out);
        f->drop[out->drop]++;
        f->why = out->why;
        f->about = out->about;
        f->decided = f->decided || out->decided;
        if (out->wait_ns > 0)
            f->timer_ns = f->now_ns + out->wait_ns;
        bool good = !out->write || write_out(f);
        for (uint32_t s = 0; good && s < out->send_count; s++)
            tell(f, &out->send[s].msg);
        if (!out->write)
            return;
        in = (struct paxos_in){.event = good ? PAXOS_EV_DURABLE : PAXOS_EV_FAILED,
                               .persist = out->persist};
    }
}

/* --- life
 * ------------------------------------------------------------------------------------------ */

static void random_bytes(void *context, void *bytes, size_t size)
{
    struct founding *f = context;
    f->options.random(f->options.context, bytes, size);
}

/* H2: a lower start than the last one heard of, or an equal one with another id, is an older copy
 * of that founder's drive, which may have forgotten what it promised. */
static bool boot_allowed(void *context, uint32_t principal, uint64_t incarnation, uint64_t boot,
                         uint64_t boot_id)
{
    struct founding *f = context;
    if (principal > KEEL_REPLICA_MAX)
        return false;
    const struct founding_boot *seen = &f->seen[principal];
    bool older = seen->incarnation == incarnation &&
                 (boot < seen->boot || (boot == seen->boot && boot_id != seen->boot_id));
    f->founder[principal].older = older;
    return !older && (f->options.answers == NULL ||
                      f->options.answers(f->options.context, (uint8_t)principal, incarnation));
}

struct founding *founding_init(void *memory, const struct founding_options *options,
                               uint64_t now_ns)
{
    uint8_t *at = memory;
    struct founding *f = memory;
    memset(f, 0, sizeof(*f));
    f->options = *options;
    f->now_ns = now_ns;
    memcpy(f->seen, options->seen, sizeof(f->seen));
    at += aligned(sizeof(*f));
    f->auth = auth_table_init(at + aligned(handshake_size()), ASSOCIATIONS, options->id, 0);
    if (f->auth == NULL)
        return NULL;
    const struct handshake_options handshake = {.self = {.principal = options->id,
                                                         .incarnation = options->incarnation,
                                                         .boot = options->boot,
                                                         .boot_id = options->boot_id},
                                                .keys = options->keys,
                                                .random = random_bytes,
                                                .boot_allowed = boot_allowed,
                                                .context = f};
    f->handshake = handshake_init(at, &handshake);
    /* Of two founders the lower id begins; the other does so only where it has not heard from it,
     * which may know nothing of it. */
    for (uint32_t id = 1; id < options->id; id++)
        f->next_begin_ns[id] = now_ns + FOUNDING_SILENT_MS * MS;
    const struct paxos_boot boot = {.id = options->id,
                                    .incarnation = options->incarnation,
                                    .record = options->record,
                                    .proposal = options->proposal};
    paxos_init(&f->paxos, &boot);
    step(f, &(struct paxos_in){.event = PAXOS_EV_START});
    return f;
}

void founding_keys(struct founding *f, const struct keyring *keys)
{
    f->options.keys = keys;
    handshake_keys(f->handshake, keys);
    for (uint32_t id = 1; id <= KEEL_REPLICA_MAX; id++)
        auth_forget(f->auth, id);
}

void founding_stop(struct founding *f)
{
    explicit_bzero(f, founding_size());
}

/* --- packets in
 * ------------------------------------------------------------------------------------ */

static void install(struct founding *f, struct auth_install *done)
{
    done->now_ns = f->now_ns;
    f->handshakes += auth_install(f->auth, done);
    if (done->initiator)
        seal(f, done->peer, AUTH_KIND_PING, 0); /* its answer confirms it both ways */
}

static void shake_hands(struct founding *f, const struct handshake_address *from,
                        const uint8_t *bytes, size_t size)
{
    uint8_t out[HANDSHAKE_PACKET_MAX];
    size_t out_size = 0;
    struct auth_install done;
    memset(&done, 0, sizeof(done));
    enum handshake_event event =
        handshake_receive(f->handshake, bytes, size, from, now_ms(f), out, &out_size, &done);
    if (event == HANDSHAKE_INSTALL || event == HANDSHAKE_SEND_INSTALL)
        install(f, &done);
    if (event == HANDSHAKE_SEND || event == HANDSHAKE_SEND_INSTALL)
        f->options.send(f->options.context, from, out, out_size);
    explicit_bzero(&done, sizeof(done));
}

/* Believed only now, with the first valid packet (H18). */
static void note_boot(struct founding *f, const struct auth_peer *peer)
{
    struct founding_boot *seen = &f->seen[peer->principal];
    if (seen->incarnation == peer->incarnation && peer->boot < seen->boot)
        return;
    *seen = (struct founding_boot){
        .incarnation = peer->incarnation, .boot = peer->boot, .boot_id = peer->boot_id};
}

static void genesis_packet(struct founding *f, const struct auth_peer *peer, const void *body,
                           size_t size)
{
    struct paxos_in in = {.event = PAXOS_EV_RECV, .incarnation = peer->incarnation};
    const struct genesis *value = &in.msg.value;
    bool good = packet_genesis_decode(body, size, &in.msg) &&
                (value->magic == 0 || value->crc == crc32c(value, offsetof(struct genesis, crc)));
    if (!good) {
        f->drop[PAXOS_DROP_MALFORMED]++;
        return;
    }
    in.msg.from = (uint8_t)peer->principal;
    in.msg.to = f->options.id;
    struct founding_founder *founder = &f->founder[peer->principal];
    founder->heard_ns = f->now_ns;
    step(f, &in);
    bool strange = in.msg.kind == PAXOS_DECIDED && f->out.drop == PAXOS_DROP_STRANGER;
    if (strange)
        founder->cluster = value->cluster_id;
}

void founding_datagram(struct founding *f, const struct handshake_address *from,
                       const uint8_t *bytes, size_t size, uint64_t now_ns)
{
    const struct auth_peer *peer;
    const void *body;
    size_t body_size;
    f->now_ns = now_ns;
    struct packet head = {.from = 0};
    if (size >= sizeof(head))
        memcpy(&head, bytes, sizeof(head));
    if (head.from > KEEL_REPLICA_MAX) { /* a client: there is no cluster yet to speak to */
        f->auth_reject[AUTH_NO_RIGHT]++;
        return;
    }
    if (handshake_is_packet(bytes, size)) {
        shake_hands(f, from, bytes, size);
        return;
    }
    enum auth_reject reject = auth_open(f->auth, bytes, size, now_ns, &peer, &body, &body_size);
    if (reject != AUTH_OK || peer->principal > KEEL_REPLICA_MAX) {
        f->auth_reject[reject != AUTH_OK ? reject : AUTH_NO_RIGHT]++;
        return;
    }
    f->received++;
    if (peer->received == 1)
        note_boot(f, peer);
    if (bytes[2] == AUTH_KIND_PING)
        seal(f, peer->principal, AUTH_KIND_PONG, 0);
    else if (bytes[2] == PACKET_GENESIS)
        genesis_packet(f, peer, body, body_size);
    else if (bytes[2] != AUTH_KIND_PONG)
        f->auth_reject[AUTH_NO_RIGHT]++;
}

/* --- time
 * ------------------------------------------------------------------------------------------ */

/* Who founds begins with every other founder. Who has a record begins with those above it alone:
 * only their key files are sure to have its key. */
static bool wants(const struct founding *f, uint32_t id)
{
    const struct founding_options *o = &f->options;
    uint64_t incarnation = o->proposal.founder[id].incarnation;
    if (incarnation == 0 || id == o->id)
        return false;
    return o->write != NULL ||
           (id > o->id && (o->answers == NULL || o->answers(o->context, (uint8_t)id, incarnation)));
}

static void begin(struct founding *f, uint32_t id)
{
    const struct genesis_founder *founder = &f->options.proposal.founder[id];
    const struct handshake_address to = {.ip = founder->ip, .port = founder->port};
    uint8_t out[HANDSHAKE_PACKET_MAX];
    size_t size = 0;
    if (f->now_ns < f->next_begin_ns[id] || !wants(f, id) ||
        handshake_under_way(f->handshake, id) ||
        !auth_wants_handshake(f->auth, id, f->now_ns, FOUNDING_SILENT_MS * MS))
        return;
    f->next_begin_ns[id] = f->now_ns + FOUNDING_SILENT_MS * MS / 2;
    if (handshake_begin(f->handshake, id, &to, now_ms(f), out, &size))
        f->options.send(f->options.context, &to, out, size);
}

void founding_turn(struct founding *f, uint64_t now_ns)
{
    uint8_t out[HANDSHAKE_PACKET_MAX];
    size_t size = 0;
    struct handshake_address to;
    f->now_ns = now_ns;
    for (uint32_t i = 0; i < HANDSHAKE_PEERS_MAX; i++) {
        if (!handshake_retry(f->handshake, now_ms(f), &to, out, &size))
            break;
        f->options.send(f->options.context, &to, out, size);
    }
    for (uint32_t id = 1; id <= KEEL_REPLICA_MAX; id++)
        begin(f, id);
    if (f->timer_ns == 0 || now_ns < f->timer_ns)
        return;
    f->timer_ns = 0;
    step(f, &(struct paxos_in){.event = PAXOS_EV_TIMEOUT});
}

/* --- what it shows
 * --------------------------------------------------------------------------------- */

void founding_status(const struct founding *f, struct founding_status *s)
{
    const struct paxos *p = &f->paxos;
    memset(s, 0, sizeof(*s));
    s->why = f->why;
    s->about = f->about;
    s->decided = f->decided;
    s->list = p->list;
    s->lock = p->record.lock;
    s->ballot = p->phase != PAXOS_IDLE ? p->ballot : 0;
    s->promised = p->record.promised;
    s->accepted = p->record.accepted;
    s->writes = f->writes;
    s->handshakes = f->handshakes;
    s->sent = f->sent;
    s->received = f->received;
    memcpy(s->auth_reject, f->auth_reject, sizeof(s->auth_reject));
    memcpy(s->handshake_reject, handshake_rejects(f->handshake), sizeof(s->handshake_reject));
    memcpy(s->drop, f->drop, sizeof(s->drop));
    s->genesis = f->decided ? p->record.value : p->proposal;
    memcpy(s->founder, f->founder, sizeof(s->founder));
    for (uint32_t id = 1; id <= KEEL_REPLICA_MAX; id++)
        s->founder[id].said = p->said[id];
}
