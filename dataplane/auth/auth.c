#include "dataplane/auth/auth.h"

#include "dataplane/auth/gmac.h"
#include "dataplane/auth/index.h"
#include "dataplane/auth/replay_window.h"

#include <string.h>

_Static_assert((int)AUTH_WINDOW_BITS == (int)REPLAY_WINDOW_BITS, "one window");
_Static_assert((int)AUTH_KEY_SIZE == (int)GMAC_KEY_SIZE, "one key size");
_Static_assert((int)KEEL_TAG_SIZE == (int)GMAC_TAG_SIZE, "one tag size");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "packets are little-endian");

enum {
    NONE = -1,       /* no association, no record */
    RIGHT_ANY = 128, /* kinds that every principal may send */
    KIND_LIMIT = 64, /* kinds are below */
    RENEW_SHIFT = 16 /* auth_wants_handshake(): this part of the counters is left */
};

struct association {
    struct auth_peer peer; /* first: callers hold pointers to it */
    uint64_t order;        /* of installation, from 1; 0: place unused */
    uint64_t counter_out;  /* last counter sealed */
    uint64_t counter_in;   /* counter of the last packet opened */
    uint64_t installed_ns;
    uint32_t peer_handle;
    int32_t record; /* of its principal */
    uint8_t salts[2 * AUTH_SALT_SIZE];
    struct replay_window window;
    struct gmac_key in;
    struct gmac_key out;
};
_Static_assert(offsetof(struct association, peer) == 0, "callers' pointers are ours");

struct record { /* a principal */
    uint32_t principal;
    bool used;
    int32_t confirmed; /* association that a valid packet has come under */
    int32_t sending;   /* association to seal under */
    uint32_t pending_count;
    int32_t pending[AUTH_PENDING_MAX]; /* unconfirmed, oldest first */
    uint64_t salts_count;              /* pairs installed since the first */
    uint8_t salts[AUTH_SALTS_KEPT][2 * AUTH_SALT_SIZE];
};

struct auth_table {
    uint64_t cluster;
    uint64_t order;
    uint32_t self;
    int32_t capacity;
    int32_t reached; /* associations from here on were never taken, nor written to */
    int32_t free_association_count;
    int32_t free_record_count;
    struct gmac gmac;
    struct auth_index handles;
    struct auth_index principals;
    struct association *associations;
    struct record *records;
    int32_t *free_associations;
    int32_t *free_records;
};

const char *auth_reject_name(enum auth_reject reject)
{
    switch (reject) {
    case AUTH_OK:
        return "ok";
    case AUTH_MALFORMED:
        return "malformed";
    case AUTH_VERSION:
        return "version";
    case AUTH_WRONG_RECEIVER:
        return "wrong_receiver";
    case AUTH_WRONG_CLUSTER:
        return "wrong_cluster";
    case AUTH_NO_ASSOCIATION:
        return "no_association";
    case AUTH_BAD_TAG:
        return "bad_tag";
    case AUTH_REPLAY:
        return "replay";
    case AUTH_NO_RIGHT:
        return "no_right";
    case AUTH_REJECT_COUNT:
        break;
    }
    return "unknown";
}

/* --- memory ------------------------------------------------------------------------------------
 */

struct layout { /* offsets from the table's start */
    size_t associations, records, free_associations, free_records, handles, principals, size;
};

static size_t aligned(size_t offset)
{
    return (offset + 63) & ~(size_t)63;
}

static struct layout layout_of(uint32_t associations)
{
    size_t count = associations;
    size_t index = sizeof(struct auth_index_cell) * auth_index_cells(associations);
    struct layout l;

    ENSURE(associations >= 1 && associations <= AUTH_ASSOC_MAX);
    l.associations = aligned(sizeof(struct auth_table));
    l.records = aligned(l.associations + count * sizeof(struct association));
    l.free_associations = aligned(l.records + count * sizeof(struct record));
    l.free_records = aligned(l.free_associations + count * sizeof(int32_t));
    l.handles = aligned(l.free_records + count * sizeof(int32_t));
    l.principals = aligned(l.handles + index);
    l.size = aligned(l.principals + index);
    return l;
}

size_t auth_table_size(uint32_t associations)
{
    return layout_of(associations).size;
}

struct auth_table *auth_table_init(void *memory, uint32_t associations, uint32_t self,
                                   uint64_t cluster)
{
    struct layout l = layout_of(associations);
    struct auth_table *table = memory;
    uint8_t *base = memory;
    uint32_t cells = auth_index_cells(associations);

    ENSURE(((uintptr_t)memory & 63) == 0);
    memset(table, 0, sizeof *table); /* the rest is filled before it is read */
    if (!gmac_init(&table->gmac))    /* unreachable: a processor without AES */
        return NULL;
    table->cluster = cluster;
    table->self = self;
    table->capacity = (int32_t)associations;
    table->associations = (void *)(base + l.associations);
    table->records = (void *)(base + l.records);
    table->free_associations = (void *)(base + l.free_associations);
    table->free_records = (void *)(base + l.free_records);
    auth_index_init(&table->handles, (void *)(base + l.handles), cells);
    auth_index_init(&table->principals, (void *)(base + l.principals), cells);
    for (int32_t i = 0; i < table->capacity; i++) { /* the lowest place is taken first */
        table->free_associations[i] = table->capacity - 1 - i;
        table->free_records[i] = table->capacity - 1 - i;
    }
    table->free_association_count = table->capacity;
    table->free_record_count = table->capacity;
    return table;
}

/* --- associations of a principal ---------------------------------------------------------------
 */

static struct record *record_find(const struct auth_table *table, uint32_t principal)
{
    uint32_t place = auth_index_find(&table->principals, principal);

    return place == AUTH_INDEX_NONE ? NULL : &table->records[place];
}

static struct record *record_take(struct auth_table *table, uint32_t principal)
{
    ENSURE(table->free_record_count > 0); /* as many records as associations */
    int32_t place = table->free_records[--table->free_record_count];
    struct record *record = &table->records[place];

    *record =
        (struct record){.principal = principal, .used = true, .confirmed = NONE, .sending = NONE};
    auth_index_add(&table->principals, principal, (uint32_t)place);
    return record;
}

/* Ends an association. The view that callers may still hold stays readable; keys and window go. */
static void association_end(struct auth_table *table, int32_t place)
{
    struct association *a = &table->associations[place];

    ENSURE(a->order != 0);
    auth_index_remove(&table->handles, a->peer.handle);
    a->order = 0;
    explicit_bzero(a->salts, sizeof a->salts);
    memset(&a->window, 0, sizeof a->window);
    explicit_bzero(&a->in, sizeof a->in);
    explicit_bzero(&a->out, sizeof a->out);
    table->free_associations[table->free_association_count++] = place;
}

static void pending_end(struct auth_table *table, struct record *record, uint32_t which)
{
    ENSURE(which < record->pending_count);
    association_end(table, record->pending[which]);
    if (record->sending == record->pending[which])
        record->sending = record->confirmed;
    record->pending_count--;
    for (uint32_t i = which; i < record->pending_count; i++)
        record->pending[i] = record->pending[i + 1];
}

/* The first valid packet under a pending association: it takes the old one's place. With it go the
 * unconfirmed ones that are older, and those of the same handshake (the same initiator's salt), of
 * which the initiator has installed only this one (H18). */
static void association_confirm(struct auth_table *table, struct association *a)
{
    struct record *record = &table->records[a->record];
    int32_t place = (int32_t)(a - table->associations);
    uint32_t kept = 0;

    for (uint32_t i = 0; i < record->pending_count; i++) {
        int32_t other = record->pending[i];
        struct association *o = &table->associations[other];
        if (other == place)
            continue;
        if (o->order < a->order || memcmp(o->salts, a->salts, AUTH_SALT_SIZE) == 0) {
            if (record->sending == other)
                record->sending = place;
            association_end(table, other);
        } else {
            record->pending[kept++] = other;
        }
    }
    record->pending_count = kept;
    if (record->confirmed != NONE)
        association_end(table, record->confirmed);
    if (record->sending == record->confirmed)
        record->sending = place;
    record->confirmed = place;
    a->peer.confirmed = true;
}

/* --- install -----------------------------------------------------------------------------------
 */

/* Those of unconfirmed associations are among the kept: at most AUTH_PENDING_MAX installs came
 * after the oldest of them. */
_Static_assert(AUTH_SALTS_KEPT > AUTH_PENDING_MAX, "the salts of what is unconfirmed are kept");
static bool salts_known(const struct auth_table *table, const struct record *record,
                        const uint8_t salts[2 * AUTH_SALT_SIZE])
{
    uint64_t kept = record->salts_count < AUTH_SALTS_KEPT ? record->salts_count : AUTH_SALTS_KEPT;

    for (uint64_t i = 0; i < kept; i++)
        if (memcmp(record->salts[i], salts, sizeof record->salts[i]) == 0)
            return true;
    /* another answer to the handshake whose association already carries packets */
    return record->confirmed != NONE &&
           memcmp(table->associations[record->confirmed].salts, salts, AUTH_SALT_SIZE) == 0;
}

static void association_fill(struct auth_table *table, struct association *a, int32_t record,
                             const struct auth_install *install)
{
    *a = (struct association){
        .peer = {.principal = install->peer,
                 .rights = install->rights,
                 .handle = install->handle,
                 .ip = install->ip,
                 .port = install->port,
                 .incarnation = install->peer_incarnation,
                 .boot = install->peer_boot,
                 .boot_id = install->peer_boot_id},
        .order = ++table->order,
        .installed_ns = install->now_ns,
        .peer_handle = install->peer_handle,
        .record = record,
    };
    memcpy(a->peer.mac, install->mac, sizeof a->peer.mac);
    memcpy(a->salts, install->salts, sizeof a->salts);
    gmac_expand(&table->gmac, install->key_in, &a->in);
    gmac_expand(&table->gmac, install->key_out, &a->out);
}

bool auth_install(struct auth_table *table, const struct auth_install *install)
{
    struct record *record = record_find(table, install->peer);

    if (install->cluster != table->cluster || install->handle == 0 || install->peer_handle == 0)
        return false;
    if (record != NULL && salts_known(table, record, install->salts))
        return true;
    bool replaces = record != NULL && record->pending_count == AUTH_PENDING_MAX;
    if (auth_index_find(&table->handles, install->handle) != AUTH_INDEX_NONE ||
        (!replaces && table->free_association_count == 0))
        return false;
    if (replaces)
        pending_end(table, record, 0);
    if (record == NULL)
        record = record_take(table, install->peer);

    int32_t place = table->free_associations[--table->free_association_count];
    if (place >= table->reached)
        table->reached = place + 1;
    association_fill(table, &table->associations[place], (int32_t)(record - table->records),
                     install);
    auth_index_add(&table->handles, install->handle, (uint32_t)place);
    record->pending[record->pending_count++] = place;
    if (install->initiator)
        record->sending = place;
    memcpy(record->salts[record->salts_count++ % AUTH_SALTS_KEPT], install->salts,
           sizeof record->salts[0]);
    return true;
}

void auth_forget(struct auth_table *table, uint32_t principal)
{
    struct record *record = record_find(table, principal);

    if (record == NULL)
        return;
    for (uint32_t i = 0; i < record->pending_count; i++)
        association_end(table, record->pending[i]);
    if (record->confirmed != NONE)
        association_end(table, record->confirmed);
    auth_index_remove(&table->principals, principal);
    explicit_bzero(record, sizeof *record);
    table->free_records[table->free_record_count++] = (int32_t)(record - table->records);
}

void auth_set_cluster(struct auth_table *table, uint64_t cluster)
{
    if (cluster == table->cluster)
        return;
    for (int32_t i = 0; i < table->capacity; i++)
        if (table->records[i].used)
            auth_forget(table, table->records[i].principal);
    table->cluster = cluster;
}

/* --- packets -----------------------------------------------------------------------------------
 */

/* The right that each kind needs; 0: no such kind under an association. */
static const uint8_t kind_right[KIND_LIMIT] = {
    [AUTH_KIND_PING] = RIGHT_ANY,
    [AUTH_KIND_PONG] = RIGHT_ANY,
    [PACKET_PREVOTE] = AUTH_RIGHT_PEER,
    [PACKET_PREVOTE_REPLY] = AUTH_RIGHT_PEER,
    [PACKET_VOTE] = AUTH_RIGHT_PEER,
    [PACKET_VOTE_REPLY] = AUTH_RIGHT_PEER,
    [PACKET_APPEND] = AUTH_RIGHT_PEER,
    [PACKET_APPEND_REPLY] = AUTH_RIGHT_PEER,
    [PACKET_CHAIN_ASK] = AUTH_RIGHT_PEER,
    [PACKET_CHAIN_TELL] = AUTH_RIGHT_PEER,
    [PACKET_TIMEOUT_NOW] = AUTH_RIGHT_PEER,
    [PACKET_FETCH] = AUTH_RIGHT_PEER,
    [PACKET_FETCH_REPLY] = AUTH_RIGHT_PEER,
    [PACKET_GENESIS] = AUTH_RIGHT_PEER,
    [PACKET_DIGESTS_TELL] = AUTH_RIGHT_PEER,
    [PACKET_MEMBERS_TELL] = AUTH_RIGHT_PEER,
    [PACKET_CHECKPOINT_CHUNK] = AUTH_RIGHT_PEER,
    [PACKET_CHECKPOINT_REPLY] = AUTH_RIGHT_PEER,
    [PACKET_SUBMIT] = AUTH_RIGHT_SUBMIT,
    [PACKET_OPEN] = AUTH_RIGHT_SUBMIT,
    [PACKET_RESUME] = AUTH_RIGHT_SUBMIT,
    [PACKET_END] = AUTH_RIGHT_SUBMIT,
    [PACKET_KEEPALIVE] = AUTH_RIGHT_SUBMIT,
    [PACKET_NODE] = AUTH_RIGHT_SUBMIT,
    [PACKET_QUERY] = AUTH_RIGHT_SUBMIT,
    [PACKET_RESULT] = AUTH_RIGHT_ANSWER,
    [PACKET_SESSION] = AUTH_RIGHT_ANSWER,
    [PACKET_REDIRECT] = AUTH_RIGHT_ANSWER,
    [PACKET_LEASE] = AUTH_RIGHT_ANSWER,
    [PACKET_ANSWER] = AUTH_RIGHT_ANSWER,
};

static inline uint8_t right_of(uint8_t kind)
{
    return kind < KIND_LIMIT ? kind_right[kind] : 0;
}

/* Of a packet of another version nothing is known but its first two bytes. */
static inline enum auth_reject check_form(const struct packet *head, size_t size)
{
    if (head->magic == PACKET_MAGIC && head->version != PACKET_VERSION)
        return AUTH_VERSION;
    bool good = head->magic == PACKET_MAGIC && head->reserved == 0 && right_of(head->kind) != 0 &&
                size <= KEEL_DATAGRAM_MAX && head->counter != 0 &&
                head->counter <= AUTH_COUNTER_MAX;
    return good ? AUTH_OK : AUTH_MALFORMED;
}

HOT enum auth_reject auth_open(struct auth_table *table, const void *packet, size_t size,
                               uint64_t now_ns, const struct auth_peer **peer, const void **body,
                               size_t *body_size)
{
    const uint8_t *bytes = packet;
    struct packet head;
    uint8_t tag[GMAC_TAG_SIZE];

    if (size < sizeof head + sizeof tag)
        return AUTH_MALFORMED;
    memcpy(&head, packet, sizeof head);
    enum auth_reject form = check_form(&head, size);
    if (form != AUTH_OK)
        return form;
    if (head.to != table->self)
        return AUTH_WRONG_RECEIVER;
    if (head.cluster != table->cluster)
        return AUTH_WRONG_CLUSTER;
    uint32_t place = auth_index_find(&table->handles, head.assoc);
    if (place == AUTH_INDEX_NONE || table->associations[place].peer.principal != head.from)
        return AUTH_NO_ASSOCIATION;
    struct association *a = &table->associations[place];
    size_t covered = size - sizeof tag;
    gmac_tag(&table->gmac, &a->in, head.counter, bytes, covered, tag);
    if (!gmac_equal(tag, bytes + covered))
        return AUTH_BAD_TAG;
    if (!replay_window_fresh(&a->window, head.counter))
        return AUTH_REPLAY;
    if ((right_of(head.kind) & (a->peer.rights | RIGHT_ANY)) == 0)
        return AUTH_NO_RIGHT;

    replay_window_take(&a->window, head.counter);
    a->counter_in = head.counter;
    a->peer.received++;
    a->peer.heard_ns = now_ns;
    if (!a->peer.confirmed)
        association_confirm(table, a);
    *peer = &a->peer;
    *body = bytes + sizeof head;
    *body_size = covered - sizeof head;
    return AUTH_OK;
}

/* The association behind a caller's view. */
static inline struct association *association_of(const struct auth_table *table,
                                                 const struct auth_peer *peer)
{
    uintptr_t offset = (uintptr_t)peer - (uintptr_t)table->associations;

    ENSURE(offset % sizeof(struct association) == 0 &&
           offset / sizeof(struct association) < (uintptr_t)table->capacity);
    return &table->associations[offset / sizeof(struct association)];
}

void auth_heard_from(struct auth_table *table, const struct auth_peer *peer, uint32_t ip,
                     uint16_t port, const uint8_t mac[6])
{
    struct association *a = association_of(table, peer);

    if (a->order == 0 || a->counter_in != a->window.top)
        return;
    a->peer.ip = ip;
    a->peer.port = port;
    memcpy(a->peer.mac, mac, sizeof a->peer.mac);
}

const struct auth_peer *auth_peer(const struct auth_table *table, uint32_t principal)
{
    const struct record *record = record_find(table, principal);

    if (record == NULL || record->sending == NONE)
        return NULL;
    return &table->associations[record->sending].peer;
}

bool auth_wants_handshake(const struct auth_table *table, uint32_t principal, uint64_t now_ns,
                          uint64_t silent_ns)
{
    const struct auth_peer *peer = auth_peer(table, principal);

    if (peer == NULL)
        return true;
    const struct association *a = association_of(table, peer);
    uint64_t since = peer->heard_ns > a->installed_ns ? peer->heard_ns : a->installed_ns;
    return (now_ns > since && now_ns - since > silent_ns) ||
           a->counter_out > AUTH_COUNTER_MAX - (AUTH_COUNTER_MAX >> RENEW_SHIFT);
}

HOT size_t auth_seal(struct auth_table *table, const struct auth_peer *peer, uint8_t kind,
                     void *packet, size_t body_size)
{
    uint8_t *bytes = packet;
    const struct association *named = association_of(table, peer);
    const struct record *record = &table->records[named->record];

    ENSURE(body_size <= KEEL_BODY_MAX && right_of(kind) != 0);
    if (!record->used || record->principal != peer->principal || record->sending == NONE)
        return 0;
    struct association *a = &table->associations[record->sending];
    if (a->counter_out >= AUTH_COUNTER_MAX)
        return 0;
    struct packet head = {.magic = PACKET_MAGIC,
                          .version = PACKET_VERSION,
                          .kind = kind,
                          .from = table->self,
                          .to = a->peer.principal,
                          .assoc = a->peer_handle,
                          .counter = ++a->counter_out,
                          .cluster = table->cluster};
    size_t covered = sizeof head + body_size;
    memcpy(bytes, &head, sizeof head);
    gmac_tag(&table->gmac, &a->out, head.counter, bytes, covered, bytes + covered);
    a->peer.sent++;
    return covered + GMAC_TAG_SIZE;
}

void auth_each(const struct auth_table *table,
               void (*visit)(void *context, const struct auth_peer *peer), void *context)
{
    for (int32_t i = 0; i < table->reached; i++)
        if (table->associations[i].order != 0)
            visit(context, &table->associations[i].peer);
}
