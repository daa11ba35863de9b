#include "dataplane/auth/handshake.h"

#include "dataplane/auth/handshake_crypto.h"
#include "dataplane/auth/handshake_wire.h"
#include "dataplane/auth/source_limit.h"

#include <string.h>

_Static_assert(sizeof(struct handshake_salt) <= HANDSHAKE_PACKET_MAX, "out holds every packet");

enum {
    COOKIE_SLOT_MS = HANDSHAKE_COOKIE_MS / 2, /* this slot's and the last one's cookies are good */
    HANDLE_DRAWN_BITS = 20 /* of 32; the others count, so that none comes twice */
};

enum phase { IDLE = 0, HELLO_SENT, SALT_SENT };

struct initiation { /* a handshake that this side began */
    enum phase phase;
    bool renew; /* the next retry draws a new nonce */
    uint32_t peer;
    uint32_t rounds;   /* HELLOs with a new nonce before this one: which root key to use */
    uint32_t tries;    /* SALTs sent in this round */
    uint32_t delay_ms; /* until the next retry */
    uint64_t retry_ms;
    struct handshake_address address;
    uint8_t nonce[HANDSHAKE_NONCE_SIZE];
    struct handshake_salt salt; /* as sent */
};

struct handshake {
    struct handshake_options options;
    uint8_t secret[HANDSHAKE_SECRET_SIZE]; /* of cookies; new at each start */
    uint32_t handle_count;
    uint64_t rejects[HANDSHAKE_REJECT_COUNT];
    struct source_limit hello_limit;
    struct source_limit salt_limit;
    uint32_t under_way; /* initiations that are not IDLE */
    struct initiation initiation[HANDSHAKE_PEERS_MAX];
};

const char *handshake_reject_name(enum handshake_reject reject)
{
    switch (reject) {
    case HANDSHAKE_OK:
        return "ok";
    case HANDSHAKE_MALFORMED:
        return "malformed";
    case HANDSHAKE_VERSION:
        return "version";
    case HANDSHAKE_WRONG_RECEIVER:
        return "wrong_receiver";
    case HANDSHAKE_UNKNOWN_PRINCIPAL:
        return "unknown_principal";
    case HANDSHAKE_BAD_COOKIE:
        return "bad_cookie";
    case HANDSHAKE_BAD_PROOF:
        return "bad_proof";
    case HANDSHAKE_WRONG_CLUSTER:
        return "wrong_cluster";
    case HANDSHAKE_OLD_BOOT:
        return "old_boot";
    case HANDSHAKE_UNEXPECTED:
        return "unexpected";
    case HANDSHAKE_BUSY:
        return "busy";
    case HANDSHAKE_REJECT_COUNT:
        break;
    }
    return "unknown";
}

/* --- pieces ------------------------------------------------------------------------------------
 */

static bool is_replica(uint32_t principal)
{
    return principal >= 1 && principal <= KEEL_REPLICA_MAX;
}

static bool is_client(uint32_t principal)
{
    return principal >= KEEL_CLIENT_MIN;
}

/* A client initiates to every replica, a replica to those above it; before genesis (cluster 0) to
 * any other, since those below may not know of it. */
static bool initiates_to(const struct handshake *h, uint32_t from, uint32_t to)
{
    bool may = h->options.self.cluster == 0 ? from != to : from < to;
    return is_replica(to) && (is_client(from) || (is_replica(from) && may));
}

static void draw(const struct handshake *h, void *bytes, size_t size)
{
    h->options.random(h->options.context, bytes, size);
}

static struct packet head_of(const struct handshake *h, uint8_t kind, uint32_t to)
{
    return (struct packet){.magic = PACKET_MAGIC,
                           .version = PACKET_VERSION,
                           .kind = kind,
                           .from = h->options.self.principal,
                           .to = to,
                           .cluster = h->options.self.cluster};
}

/* The next 2^12 handles differ in their low bits; the drawn ones cannot be foreseen. */
static uint32_t draw_handle(struct handshake *h)
{
    uint32_t drawn;

    draw(h, &drawn, sizeof drawn);
    uint32_t handle = drawn << (32 - HANDLE_DRAWN_BITS) |
                      (h->handle_count++ & ((1u << (32 - HANDLE_DRAWN_BITS)) - 1));
    return handle != 0 ? handle : 1u << 31;
}

static bool cookie_good(const struct handshake *h, const struct handshake_salt *salt,
                        const struct handshake_address *from, uint64_t now_ms)
{
    uint64_t slot = now_ms / COOKIE_SLOT_MS;
    uint8_t now[HANDSHAKE_COOKIE_SIZE], before[HANDSHAKE_COOKIE_SIZE];

    handshake_cookie(h->secret, slot, salt->head.from, from, salt->nonce, now);
    handshake_cookie(h->secret, slot - 1, salt->head.from, from, salt->nonce, before);
    return handshake_bytes_equal(salt->cookie, now, sizeof now) ||
           handshake_bytes_equal(salt->cookie, before, sizeof before);
}

/* What both sides put into an install alike; the caller adds who the peer is to it. */
static void install_fill(struct auth_install *install, const uint8_t root[AUTH_ROOT_SIZE],
                         const struct handshake_salt *salt,
                         const struct handshake_salt_reply *reply, bool initiator,
                         const struct handshake_address *from)
{
    uint8_t *to_responder = initiator ? install->key_out : install->key_in;
    uint8_t *to_initiator = initiator ? install->key_in : install->key_out;

    *install = (struct auth_install){
        .initiator = initiator, .cluster = reply->head.cluster, .ip = from->ip, .port = from->port};
    memcpy(install->mac, from->mac, sizeof install->mac);
    memcpy(install->salts, salt->salt, AUTH_SALT_SIZE);
    memcpy(install->salts + AUTH_SALT_SIZE, reply->salt, AUTH_SALT_SIZE);
    handshake_key(root, salt, reply, HANDSHAKE_TO_RESPONDER, to_responder);
    handshake_key(root, salt, reply, HANDSHAKE_TO_INITIATOR, to_initiator);
}

static bool boot_allowed(const struct handshake *h, uint32_t principal, uint64_t incarnation,
                         uint64_t boot, uint64_t boot_id)
{
    return !is_replica(principal) || h->options.boot_allowed == NULL ||
           h->options.boot_allowed(h->options.context, principal, incarnation, boot, boot_id);
}

static struct auth_install witness_of(const struct handshake *h, uint32_t principal,
                                      uint64_t incarnation)
{
    struct auth_install witness = {.peer = principal};

    if (is_replica(principal) && h->options.witness != NULL)
        h->options.witness(h->options.context, principal, incarnation, &witness);
    return witness;
}

/* --- life --------------------------------------------------------------------------------------
 */

size_t handshake_size(void)
{
    return sizeof(struct handshake);
}

struct handshake *handshake_init(void *memory, const struct handshake_options *options)
{
    struct handshake *h = memory;
    uint32_t keys[3];

    ENSURE(options->random != NULL && options->keys != NULL);
    ENSURE(is_replica(options->self.principal) || is_client(options->self.principal));
    memset(h, 0, sizeof *h);
    h->options = *options;
    draw(h, h->secret, sizeof h->secret);
    draw(h, keys, sizeof keys);
    h->handle_count = keys[0];
    source_limit_init(&h->hello_limit, keys[1], HANDSHAKE_HELLO_PER_S, HANDSHAKE_HELLO_BURST);
    source_limit_init(&h->salt_limit, keys[2], HANDSHAKE_SALT_PER_S, HANDSHAKE_SALT_BURST);
    return h;
}

void handshake_keys(struct handshake *h, const struct keyring *keys)
{
    ENSURE(keys != NULL);
    h->options.keys = keys;
}

void handshake_identity(struct handshake *h, const struct handshake_identity *self)
{
    h->options.self = *self;
    for (int i = 0; i < HANDSHAKE_PEERS_MAX; i++) {
        if (h->initiation[i].phase == IDLE)
            continue;
        h->initiation[i].phase = HELLO_SENT;
        h->initiation[i].renew = true;
        h->initiation[i].retry_ms = 0;
    }
}

/* --- initiator ---------------------------------------------------------------------------------
 */

static struct initiation *initiation_find(struct handshake *h, uint32_t peer)
{
    for (int i = 0; i < HANDSHAKE_PEERS_MAX; i++)
        if (h->initiation[i].phase != IDLE && h->initiation[i].peer == peer)
            return &h->initiation[i];
    return NULL;
}

static struct initiation *initiation_take(struct handshake *h)
{
    int i = 0;

    for (; h->initiation[i].phase != IDLE; i++)
        ENSURE(i + 1 < HANDSHAKE_PEERS_MAX);
    return &h->initiation[i];
}

static void initiation_end(struct handshake *h, struct initiation *initiation)
{
    h->under_way--;
    explicit_bzero(initiation, sizeof *initiation);
}

/* The root key of this round: after a round that failed, the other one, if there are two. NULL:
 * this side's own key was withdrawn. */
static const uint8_t *own_root(const struct handshake *h, const struct initiation *initiation)
{
    const struct keyring_key *own = keyring_find(h->options.keys, h->options.self.principal);

    return own == NULL ? NULL : own->key[initiation->rounds % own->key_count];
}

static void hello_fill(const struct handshake *h, const struct initiation *initiation, uint8_t *out,
                       size_t *out_size)
{
    struct handshake_hello hello = {.head = head_of(h, PACKET_HELLO, initiation->peer)};

    memcpy(hello.nonce, initiation->nonce, sizeof hello.nonce);
    memcpy(out, &hello, sizeof hello);
    *out_size = sizeof hello;
}

static void next_retry(struct initiation *initiation, uint64_t now_ms)
{
    initiation->retry_ms = now_ms + initiation->delay_ms;
    initiation->delay_ms *= 2;
    if (initiation->delay_ms > HANDSHAKE_RETRY_MAX_MS)
        initiation->delay_ms = HANDSHAKE_RETRY_MAX_MS;
}

bool handshake_begin(struct handshake *h, uint32_t peer, const struct handshake_address *address,
                     uint64_t now_ms, uint8_t *out, size_t *out_size)
{
    struct initiation *initiation = initiation_find(h, peer);

    if (!initiates_to(h, h->options.self.principal, peer) ||
        keyring_find(h->options.keys, h->options.self.principal) == NULL)
        return false;
    if (initiation == NULL)
        initiation = initiation_take(h);
    h->under_way += initiation->phase == IDLE;
    *initiation = (struct initiation){
        .phase = HELLO_SENT, .peer = peer, .delay_ms = HANDSHAKE_RETRY_MS, .address = *address};
    draw(h, initiation->nonce, sizeof initiation->nonce);
    next_retry(initiation, now_ms);
    hello_fill(h, initiation, out, out_size);
    return true;
}

bool handshake_under_way(const struct handshake *h, uint32_t peer)
{
    for (int i = 0; i < HANDSHAKE_PEERS_MAX; i++)
        if (h->initiation[i].phase != IDLE && h->initiation[i].peer == peer)
            return true;
    return false;
}

void handshake_cancel(struct handshake *h, uint32_t peer)
{
    struct initiation *initiation = initiation_find(h, peer);

    if (initiation != NULL)
        initiation_end(h, initiation);
}

static enum handshake_reject receive_cookie(struct handshake *h,
                                            const struct handshake_cookie *cookie, uint64_t now_ms,
                                            uint8_t *out, size_t *out_size)
{
    struct initiation *initiation = initiation_find(h, cookie->head.from);
    const struct handshake_identity *self = &h->options.self;

    if (initiation == NULL || initiation->phase != HELLO_SENT || initiation->renew ||
        !handshake_bytes_equal(cookie->nonce, initiation->nonce, sizeof cookie->nonce))
        return HANDSHAKE_UNEXPECTED;
    const uint8_t *root = own_root(h, initiation);
    if (root == NULL)
        return HANDSHAKE_UNKNOWN_PRINCIPAL;
    struct auth_install witness = witness_of(h, initiation->peer, cookie->incarnation);
    struct handshake_salt *salt = &initiation->salt;
    *salt = (struct handshake_salt){.head = head_of(h, PACKET_SALT, initiation->peer),
                                    .incarnation = self->incarnation,
                                    .boot = self->boot,
                                    .boot_id = self->boot_id,
                                    .responder_incarnation = cookie->incarnation,
                                    .witness_index = witness.witness_index,
                                    .witness_term = witness.witness_term,
                                    .witness_vote = witness.witness_vote,
                                    .handle = draw_handle(h)};
    memcpy(salt->cookie, cookie->cookie, sizeof salt->cookie);
    memcpy(salt->nonce, cookie->nonce, sizeof salt->nonce);
    draw(h, salt->salt, sizeof salt->salt);
    handshake_proof(root, salt, NULL, salt->proof);
    initiation->phase = SALT_SENT;
    initiation->tries = 1;
    initiation->delay_ms = HANDSHAKE_RETRY_MS;
    next_retry(initiation, now_ms);
    memcpy(out, salt, sizeof *salt);
    *out_size = sizeof *salt;
    return HANDSHAKE_OK;
}

static enum handshake_reject receive_salt_reply(struct handshake *h,
                                                const struct handshake_salt_reply *reply,
                                                const struct handshake_address *from,
                                                struct auth_install *install)
{
    struct initiation *initiation = initiation_find(h, reply->head.from);
    const struct handshake_identity *self = &h->options.self;
    uint8_t proof[HANDSHAKE_PROOF_SIZE];

    if (initiation == NULL || initiation->phase != SALT_SENT ||
        !handshake_bytes_equal(reply->nonce, initiation->nonce, sizeof reply->nonce))
        return HANDSHAKE_UNEXPECTED;
    const uint8_t *root = own_root(h, initiation);
    if (root == NULL)
        return HANDSHAKE_UNKNOWN_PRINCIPAL;
    handshake_proof(root, &initiation->salt, reply, proof);
    if (!handshake_bytes_equal(proof, reply->proof, sizeof proof))
        return HANDSHAKE_BAD_PROOF;
    bool takes_any = is_client(self->principal) && self->cluster == 0;
    if (reply->head.cluster != self->cluster && !takes_any)
        return HANDSHAKE_WRONG_CLUSTER;
    if (reply->incarnation != initiation->salt.responder_incarnation)
        return HANDSHAKE_UNEXPECTED;
    if (!boot_allowed(h, reply->head.from, reply->incarnation, reply->boot, reply->boot_id))
        return HANDSHAKE_OLD_BOOT;

    install_fill(install, root, &initiation->salt, reply, true, from);
    install->peer = reply->head.from;
    install->rights = is_replica(self->principal) ? AUTH_RIGHT_PEER : AUTH_RIGHT_ANSWER;
    install->handle = initiation->salt.handle;
    install->peer_handle = reply->handle;
    install->peer_incarnation = reply->incarnation;
    install->peer_boot = reply->boot;
    install->peer_boot_id = reply->boot_id;
    install->witness_index = reply->witness_index;
    install->witness_term = reply->witness_term;
    install->witness_vote = reply->witness_vote;
    initiation_end(h, initiation); /* a second SALT_REPLY finds nothing: installed once (H18) */
    return HANDSHAKE_OK;
}

bool handshake_retry(struct handshake *h, uint64_t now_ms, struct handshake_address *to,
                     uint8_t *out, size_t *out_size)
{
    for (int i = 0; h->under_way > 0 && i < HANDSHAKE_PEERS_MAX; i++) {
        struct initiation *initiation = &h->initiation[i];
        if (initiation->phase == IDLE || now_ms < initiation->retry_ms)
            continue;
        *to = initiation->address;
        if (initiation->phase == SALT_SENT && initiation->tries < HANDSHAKE_SALT_TRIES) {
            initiation->tries++;
            memcpy(out, &initiation->salt, sizeof initiation->salt);
            *out_size = sizeof initiation->salt;
        } else {
            if (initiation->phase == SALT_SENT || initiation->renew) {
                initiation->rounds += initiation->phase == SALT_SENT;
                initiation->phase = HELLO_SENT;
                initiation->renew = false;
                draw(h, initiation->nonce, sizeof initiation->nonce);
            }
            hello_fill(h, initiation, out, out_size);
        }
        next_retry(initiation, now_ms);
        return true;
    }
    return false;
}

/* --- responder ---------------------------------------------------------------------------------
 */

static enum handshake_reject receive_hello(struct handshake *h, const struct handshake_hello *hello,
                                           const struct handshake_address *from, uint64_t now_ms,
                                           uint8_t *out, size_t *out_size)
{
    static const uint8_t zero[sizeof hello->padding];

    if (!initiates_to(h, hello->head.from, h->options.self.principal))
        return HANDSHAKE_UNEXPECTED;
    if (!handshake_bytes_equal(hello->padding, zero, sizeof zero))
        return HANDSHAKE_MALFORMED;
    if (keyring_find(h->options.keys, hello->head.from) == NULL)
        return HANDSHAKE_UNKNOWN_PRINCIPAL;
    if (!source_limit_take(&h->hello_limit, from->ip, now_ms))
        return HANDSHAKE_BUSY;
    struct handshake_cookie cookie = {.head = head_of(h, PACKET_COOKIE, hello->head.from),
                                      .incarnation = h->options.self.incarnation};
    memcpy(cookie.nonce, hello->nonce, sizeof cookie.nonce);
    handshake_cookie(h->secret, now_ms / COOKIE_SLOT_MS, hello->head.from, from, hello->nonce,
                     cookie.cookie);
    memcpy(out, &cookie, sizeof cookie);
    *out_size = sizeof cookie;
    return HANDSHAKE_OK;
}

/* The root key that the proof was made with: of the two that may overlap, either. */
static const uint8_t *proven_root(const struct keyring_key *key, const struct handshake_salt *salt)
{
    uint8_t proof[HANDSHAKE_PROOF_SIZE];

    for (uint32_t i = 0; i < key->key_count; i++) { /* at most 2 */
        handshake_proof(key->key[i], salt, NULL, proof);
        if (handshake_bytes_equal(proof, salt->proof, sizeof proof))
            return key->key[i];
    }
    return NULL;
}

/* Everything that must hold before a salt is drawn. */
static enum handshake_reject check_salt(struct handshake *h, const struct handshake_salt *salt,
                                        const struct handshake_address *from, uint64_t now_ms,
                                        const struct keyring_key **key, const uint8_t **root)
{
    static const uint8_t zero[sizeof salt->reserved];
    const struct handshake_identity *self = &h->options.self;
    uint32_t initiator = salt->head.from;

    if (!initiates_to(h, initiator, self->principal))
        return HANDSHAKE_UNEXPECTED;
    if (!handshake_bytes_equal(salt->reserved, zero, sizeof zero) || salt->handle == 0 ||
        is_client(initiator) != (salt->incarnation == 0))
        return HANDSHAKE_MALFORMED;
    if (!cookie_good(h, salt, from, now_ms))
        return HANDSHAKE_BAD_COOKIE;
    if (!source_limit_take(&h->salt_limit, from->ip, now_ms))
        return HANDSHAKE_BUSY;
    *key = keyring_find(h->options.keys, initiator);
    if (*key == NULL)
        return HANDSHAKE_UNKNOWN_PRINCIPAL;
    *root = proven_root(*key, salt);
    if (*root == NULL)
        return HANDSHAKE_BAD_PROOF;
    bool takes_any = is_client(initiator) && salt->head.cluster == 0;
    if (salt->head.cluster != self->cluster && !takes_any)
        return HANDSHAKE_WRONG_CLUSTER;
    if (salt->responder_incarnation != self->incarnation)
        return HANDSHAKE_UNEXPECTED;
    if (!boot_allowed(h, initiator, salt->incarnation, salt->boot, salt->boot_id))
        return HANDSHAKE_OLD_BOOT;
    return HANDSHAKE_OK;
}

static enum handshake_reject receive_salt(struct handshake *h, const struct handshake_salt *salt,
                                          const struct handshake_address *from, uint64_t now_ms,
                                          uint8_t *out, size_t *out_size,
                                          struct auth_install *install)
{
    const struct handshake_identity *self = &h->options.self;
    const struct keyring_key *key = NULL;
    const uint8_t *root = NULL;
    enum handshake_reject reject = check_salt(h, salt, from, now_ms, &key, &root);

    if (reject != HANDSHAKE_OK)
        return reject;
    struct auth_install witness = witness_of(h, salt->head.from, salt->incarnation);
    struct handshake_salt_reply reply = {.head = head_of(h, PACKET_SALT_REPLY, salt->head.from),
                                         .incarnation = self->incarnation,
                                         .boot = self->boot,
                                         .boot_id = self->boot_id,
                                         .witness_index = witness.witness_index,
                                         .witness_term = witness.witness_term,
                                         .witness_vote = witness.witness_vote,
                                         .handle = draw_handle(h)};
    memcpy(reply.nonce, salt->nonce, sizeof reply.nonce);
    draw(h, reply.salt, sizeof reply.salt); /* here, after every check, for this SALT alone (H18) */
    handshake_proof(root, salt, &reply, reply.proof);

    bool replica = is_replica(salt->head.from);
    install_fill(install, root, salt, &reply, false, from);
    install->peer = salt->head.from;
    install->rights = key->rights;
    install->handle = reply.handle;
    install->peer_handle = salt->handle;
    install->peer_incarnation = salt->incarnation;
    install->peer_boot = salt->boot;
    install->peer_boot_id = salt->boot_id;
    install->witness_index = replica ? salt->witness_index : 0;
    install->witness_term = replica ? salt->witness_term : 0;
    install->witness_vote = replica ? salt->witness_vote : 0;
    memcpy(out, &reply, sizeof reply);
    *out_size = sizeof reply;
    return HANDSHAKE_OK;
}

/* --- both --------------------------------------------------------------------------------------
 */

static enum handshake_reject check_head(const struct handshake *h, const void *packet, size_t size,
                                        struct packet *head)
{
    if (size < sizeof *head || size > HANDSHAKE_PACKET_MAX)
        return HANDSHAKE_MALFORMED;
    memcpy(head, packet, sizeof *head);
    if (head->magic == PACKET_MAGIC && head->version != PACKET_VERSION)
        return HANDSHAKE_VERSION;
    if (head->magic != PACKET_MAGIC || head->reserved != 0 || head->assoc != 0 ||
        head->counter != 0)
        return HANDSHAKE_MALFORMED;
    return head->to == h->options.self.principal ? HANDSHAKE_OK : HANDSHAKE_WRONG_RECEIVER;
}

enum handshake_event handshake_receive(struct handshake *h, const void *packet, size_t size,
                                       const struct handshake_address *from, uint64_t now_ms,
                                       uint8_t *out, size_t *out_size, struct auth_install *install)
{
    union {
        struct handshake_hello hello;
        struct handshake_cookie cookie;
        struct handshake_salt salt;
        struct handshake_salt_reply salt_reply;
    } in;
    struct packet head = {0};
    enum handshake_event event = HANDSHAKE_NOTHING;
    enum handshake_reject reject = check_head(h, packet, size, &head);

    *out_size = 0;
    if (reject == HANDSHAKE_OK && size <= sizeof in) {
        memcpy(&in, packet, size);
        reject = HANDSHAKE_MALFORMED;
        if (head.kind == PACKET_HELLO && size == sizeof in.hello) {
            reject = receive_hello(h, &in.hello, from, now_ms, out, out_size);
            event = HANDSHAKE_SEND;
        } else if (head.kind == PACKET_COOKIE && size == sizeof in.cookie) {
            reject = receive_cookie(h, &in.cookie, now_ms, out, out_size);
            event = HANDSHAKE_SEND;
        } else if (head.kind == PACKET_SALT && size == sizeof in.salt) {
            reject = receive_salt(h, &in.salt, from, now_ms, out, out_size, install);
            event = HANDSHAKE_SEND_INSTALL;
        } else if (head.kind == PACKET_SALT_REPLY && size == sizeof in.salt_reply) {
            reject = receive_salt_reply(h, &in.salt_reply, from, install);
            event = HANDSHAKE_INSTALL;
        }
    } else if (reject == HANDSHAKE_OK) {
        reject = HANDSHAKE_MALFORMED;
    }
    if (reject == HANDSHAKE_OK)
        return event;
    h->rejects[reject]++;
    return HANDSHAKE_NOTHING;
}

const uint64_t *handshake_rejects(const struct handshake *h)
{
    return h->rejects;
}
