#include "tests/fuzz/packet_host.h"

#include "consensus/ensure.h"
#include "dataplane/loop.h"
#include "tests/unit/dataplane/frames.h"

#include <stdlib.h>
#include <string.h>

enum {
    UDP_PORT = 7400,
    CLIENT_IP = 0x0a0000c8,
    BLOCKS_MAX = 8,
    ASSOCIATIONS = 16,
    SETTLE_TURNS = 4000,
    TURN_NS = 1000000,
    DISK_LOOK = 64
};

struct block { /* memory that makes up the replica and its world, and how it looked */
    void *at;
    size_t size;
    uint8_t *copy[HOST_MOMENTS];
};

static struct {
    struct host host;
    struct auth_table *auth[HOST_PARTIES]; /* the parties' own */
    struct block block[BLOCKS_MAX + HOST_PARTIES];
    uint32_t block_count;
    uint64_t now_ns[HOST_MOMENTS], secret[HOST_MOMENTS];
    uint64_t issued_to[HOST_MOMENTS];
    bool answers[HOST_MOMENTS][HOST_PEERS];
    uint64_t term; /* newest that the replica spoke of */
} own;

uint32_t host_principal(uint32_t party)
{
    return party < HOST_PEERS ? 2 + party : BENCH_CLIENT + party - HOST_PEERS;
}

static uint32_t host_ip(uint32_t party)
{
    return party < HOST_PEERS ? 0x0a000002 + party : CLIENT_IP + party - HOST_PEERS;
}

/* --- made once ------------------------------------------------------------------------------- */

static void *keep(void *at, size_t size)
{
    ENSURE(own.block_count < BLOCKS_MAX + HOST_PARTIES && at != NULL);
    own.block[own.block_count++] = (struct block){.at = at, .size = size};
    return at;
}

static void *allocate(void *context, size_t size)
{
    (void)context;
    size_t whole = (size + 4095) & ~(size_t)4095;
    void *memory = aligned_alloc(4096, whole);
    ENSURE(memory != NULL);
    memset(memory, 0, whole);
    return keep(memory, whole);
}

static void release(void *context, void *memory, size_t size)
{
    (void)context;
    (void)size;
    for (uint32_t i = 0; i < own.block_count; i++)
        if (own.block[i].at == memory)
            own.block[i] = own.block[--own.block_count];
    free(memory);
}

/* As gateway.c does: an association on both sides, without the handshake. */
static void meet(uint32_t party)
{
    struct bench_node *n = &own.host.bench->node[1];
    uint32_t principal = host_principal(party);
    bool peer = party < HOST_PEERS;
    struct auth_install here = {.peer = 1,
                                .rights = AUTH_RIGHT_ANSWER | AUTH_RIGHT_PEER,
                                .handle = 2 + party,
                                .peer_handle = 5000 + principal,
                                .initiator = true,
                                .cluster = own.host.bench->genesis.cluster_id};
    memset(here.salts, (int)(0x31 + party), sizeof(here.salts));
    memset(here.key_in, (int)(0x10 + party), sizeof(here.key_in));
    memset(here.key_out, (int)(0x20 + party), sizeof(here.key_out));
    struct auth_install there = {.peer = principal,
                                 .rights = peer ? AUTH_RIGHT_PEER : AUTH_RIGHT_SUBMIT,
                                 .handle = 5000 + principal,
                                 .peer_handle = 2 + party,
                                 .initiator = true,
                                 .peer_incarnation = peer ? 0x1000 + principal : 0,
                                 .peer_boot = peer ? 3 : 0,
                                 .peer_boot_id = peer ? 7 : 0,
                                 .cluster = here.cluster,
                                 .ip = host_ip(party),
                                 .port = UDP_PORT};
    memcpy(there.salts, here.salts, sizeof(there.salts));
    memcpy(there.key_in, here.key_out, sizeof(there.key_in));
    memcpy(there.key_out, here.key_in, sizeof(there.key_out));
    size_t size = auth_table_size(ASSOCIATIONS);
    void *memory = keep(aligned_alloc(64, size), size);
    own.auth[party] = auth_table_init(memory, ASSOCIATIONS, principal, here.cluster);
    FUZZ_REQUIRE(own.auth[party] != NULL && auth_install(own.auth[party], &here));
    FUZZ_REQUIRE(auth_install(n->start.replica->auth, &there));
    FUZZ_REQUIRE(
        frame_neighbour_fix(n->start.replica->host, host_ip(party), own.host.bench->outside.mac));
}

static void drain_disk(struct disk *disk)
{
    struct disk_done done[DISK_LOOK];
    while (disk_reap(disk, done, DISK_LOOK) > 0) /* bound: its depth */
        continue;
}

static void drain(void)
{
    struct bench_node *n = &own.host.bench->node[1];
    send_flush(n->start.replica);
    memory_complete_all(&n->store);
    drain_disk(n->writer);
    drain_disk(n->reader);
    drain_disk(n->control_disk);
    n->port.head = n->port.tail;
    own.host.bench->outside.head = own.host.bench->outside.tail;
}

/* Nothing under way: what the drive holds and the memory say the same of it. */
static void rest(struct host *h)
{
    struct bench_node *n = &h->bench->node[1];
    for (uint32_t i = 0; i < 8; i++)
        host_run(h, 1, 0);
    FUZZ_REQUIRE(n->store.pending_count == 0);
    drain();
}

static void remember(enum host_moment moment)
{
    struct host *h = &own.host;
    rest(h);
    for (uint32_t i = 0; i < own.block_count; i++) {
        struct block *b = &own.block[i];
        b->copy[moment] = malloc(b->size);
        ENSURE(b->copy[moment] != NULL);
        memcpy(b->copy[moment], b->at, b->size);
    }
    own.now_ns[moment] = h->bench->now_ns;
    own.secret[moment] = h->bench->node[1].clock.secret;
    own.issued_to[moment] = h->bench->node[1].store.issued_to;
    memcpy(own.answers[moment], h->answers, sizeof(h->answers));
}

static void open_session(struct host *h)
{
    struct packet_session_request request = {
        .open = {.name = "desk", .process = 5, .ttl_ms = 5000, .window = 16}, .request = 1};
    host_seal(h, HOST_PEERS, PACKET_OPEN, &request, sizeof(request));
    host_run(h, 20, TURN_NS);
    const struct machine_session *s =
        machine_session_named(h->replica->machine, BENCH_CLIENT, "desk");
    FUZZ_REQUIRE(s != NULL);
    struct {
        struct entry_messages head;
        uint8_t blocks[3];
    } __attribute__((packed))
    submit = {.head = {.session = s->id, .epoch = s->epoch, .number = 1, .count = 1, .bytes = 3},
              .blocks = {1, 0, 'x'}};
    host_seal(h, HOST_PEERS, PACKET_SUBMIT, &submit, sizeof(submit));
    host_run(h, 20, TURN_NS);
    FUZZ_REQUIRE(s->last == 1);
}

struct host *host_get(void)
{
    struct host *h = &own.host;
    if (h->bench != NULL)
        return h;
    struct bench *b = h->bench = bench_new(3);
    b->tweak.allocate = allocate;
    b->tweak.release = release;
    b->tweak.feed.destination_count = 1;
    b->tweak.feed.destination[0] = (struct feed_destination){.ip = 0xef000001u, .port = 7500};
    b->tweak.feed.consumer_count = 1;
    b->tweak.feed.consumer[0] = CLIENT_IP;
    FUZZ_REQUIRE(bench_start(b, 1) == STARTUP_OK);
    struct bench_node *n = &b->node[1];
    h->replica = n->start.replica;
    keep(n->ring_memory,
         ring_memory_size(&n->start.super, n->start.options.window_pages) & ~(size_t)4095);
    keep(n->store.bytes, n->store.size);
    for (uint32_t party = 0; party < HOST_PARTIES; party++)
        meet(party);
    host_run(h, 10, TURN_NS);
    remember(HOST_FOLLOWER);
    h->answers[0] = h->answers[1] = true;
    for (uint32_t i = 0; i < SETTLE_TURNS && h->replica->raft.role != RAFT_LEADER; i++)
        host_run(h, 1, TURN_NS);
    FUZZ_REQUIRE(h->replica->raft.role == RAFT_LEADER);
    host_run(h, 50, TURN_NS);
    open_session(h);
    remember(HOST_LEADER);
    return h;
}

void host_reset(struct host *h, enum host_moment moment)
{
    drain();
    for (uint32_t i = 0; i < own.block_count; i++)
        memcpy(own.block[i].at, own.block[i].copy[moment], own.block[i].size);
    h->bench->now_ns = own.now_ns[moment];
    h->bench->node[1].clock.secret = own.secret[moment];
    h->bench->node[1].store.issued_to = own.issued_to[moment];
    memcpy(h->answers, own.answers[moment], sizeof(h->answers));
    h->last_size = 0;
}

/* --- towards the replica --------------------------------------------------------------------- */

void host_frame(struct host *h, const uint8_t *bytes, uint32_t size)
{
    struct port *port = &h->bench->node[1].port;
    uint32_t at = port->tail % BENCH_FRAMES;
    if (port->tail - port->head == BENCH_FRAMES || size > PORT_FRAME_MAX)
        return;
    port->inbox[at].size = size;
    memcpy(port->inbox[at].bytes, bytes, size);
    port->tail++;
}

static void put16(uint8_t *at, uint32_t value)
{
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
}

static void put32(uint8_t *at, uint32_t value)
{
    put16(at, value >> 16);
    put16(at + 2, value);
}

void host_datagram(struct host *h, uint32_t party, uint16_t to_port, const uint8_t *payload,
                   uint32_t size)
{
    uint8_t frame[PORT_FRAME_MAX] = {0};
    uint8_t *ip = frame + FRAME_ETHERNET_SIZE, *udp = ip + FRAME_IPV4_SIZE;
    memcpy(frame, h->bench->node[1].port.mac, 6);
    memcpy(frame + 6, h->bench->outside.mac, 6);
    put16(frame + 12, 0x0800);
    ip[0] = 0x45;
    put16(ip + 2, FRAME_IPV4_SIZE + FRAME_UDP_SIZE + size);
    ip[8] = FRAME_TTL;
    ip[9] = 17;
    put32(ip + 12, host_ip(party));
    put32(ip + 16, 0x0a000001);
    put16(ip + 10, frames_sum(ip, FRAME_IPV4_SIZE, 0));
    put16(udp, UDP_PORT);
    put16(udp + 2, to_port);
    put16(udp + 4, FRAME_UDP_SIZE + size); /* checksum 0: not used */
    memcpy(udp + FRAME_UDP_SIZE, payload, size);
    uint32_t whole = FRAME_HEADS_SIZE + size;
    host_frame(h, frame, whole < FRAME_SIZE_MIN ? FRAME_SIZE_MIN : whole);
}

void host_seal(struct host *h, uint32_t party, uint8_t kind, const void *body, uint32_t size)
{
    ENSURE(size <= KEEL_BODY_MAX);
    const struct auth_peer *to = auth_peer(own.auth[party], 1);
    FUZZ_REQUIRE(to != NULL);
    memcpy(h->last + KEEL_PACKET_HEAD_SIZE, body, size);
    h->last_size = (uint32_t)auth_seal(own.auth[party], to, kind, h->last, size);
    h->last_party = party;
    FUZZ_REQUIRE(h->last_size == KEEL_PACKET_HEAD_SIZE + size + KEEL_TAG_SIZE);
    host_datagram(h, party, UDP_PORT, h->last, h->last_size);
}

/* --- from it --------------------------------------------------------------------------------- */

/* A peer that does as it is told. */
static void answer(struct host *h, uint32_t party, const struct raft_msg *m)
{
    struct raft_msg reply = {.term = m->term};
    uint8_t body[64], kind;
    if (m->kind == RAFT_PREVOTE || m->kind == RAFT_VOTE) {
        reply.kind = m->kind == RAFT_VOTE ? RAFT_VOTE_REPLY : RAFT_PREVOTE_REPLY;
        reply.status = 1;
        reply.probe = m->probe;
    } else if (m->kind == RAFT_APPEND) {
        reply.kind = RAFT_APPEND_REPLY;
        reply.prev_index = m->prev_index;
        reply.match = reply.hint_index = m->prev_index + m->count;
        reply.probe = m->probe;
    } else {
        return;
    }
    size_t size = packet_peer_encode(&reply, 0, body, &kind);
    host_seal(h, party, kind, body, (uint32_t)size);
}

static void check_client(uint8_t kind, const uint8_t *body, size_t size)
{
    struct packet_result result;
    struct packet_session session;
    struct packet_lease lease;
    struct packet_answer answer;
    if (kind == PACKET_RESULT) {
        FUZZ_REQUIRE(size >= sizeof(result));
        memcpy(&result, body, sizeof(result));
        FUZZ_REQUIRE(size == sizeof(result) + result.run_count * sizeof(struct packet_result_run));
    } else if (kind == PACKET_SESSION) {
        FUZZ_REQUIRE(size >= sizeof(session));
        memcpy(&session, body, sizeof(session));
        FUZZ_REQUIRE(size == sizeof(session) + session.run_count * sizeof(struct packet_kept_run));
    } else if (kind == PACKET_LEASE) {
        FUZZ_REQUIRE(size >= sizeof(lease));
        memcpy(&lease, body, sizeof(lease));
        FUZZ_REQUIRE(size == sizeof(lease) + lease.event_count * sizeof(struct packet_event));
    } else if (kind == PACKET_ANSWER) {
        FUZZ_REQUIRE(size >= sizeof(answer));
        memcpy(&answer, body, sizeof(answer));
        FUZZ_REQUIRE(size == sizeof(answer) + answer.size);
    } else {
        FUZZ_REQUIRE(kind == PACKET_REDIRECT && size == sizeof(struct packet_redirect));
    }
}

static void check_packet(struct host *h, uint32_t party, const uint8_t *payload, size_t size)
{
    const struct auth_peer *from;
    const void *body;
    size_t body_size;
    FUZZ_REQUIRE(auth_open(own.auth[party], payload, size, h->bench->now_ns, &from, &body,
                           &body_size) == AUTH_OK);
    h->replies++;
    uint8_t kind = payload[2];
    if (kind == AUTH_KIND_PING || kind == AUTH_KIND_PONG) {
        size_t timed =
            kind == AUTH_KIND_PING ? sizeof(struct packet_ping) : sizeof(struct packet_pong);
        FUZZ_REQUIRE(body_size == 0 || (party < HOST_PEERS && body_size == timed));
    } else if (kind == PACKET_DIGESTS_TELL) {
        FUZZ_REQUIRE(party < HOST_PEERS && body_size == sizeof(struct packet_digests));
    } else if (kind == PACKET_MEMBERS_TELL) {
        FUZZ_REQUIRE(party < HOST_PEERS && body_size == sizeof(struct packet_members));
    } else if (party >= HOST_PEERS) {
        check_client(kind, body, body_size);
    } else {
        struct raft_msg msg;
        const void *entries;
        size_t entries_size;
        FUZZ_REQUIRE(packet_peer_decode(kind, body, body_size, &msg, &entries, &entries_size));
        if (h->answers[party])
            answer(h, party, &msg);
    }
}

static void collect(struct host *h)
{
    struct port *port = &h->bench->outside;
    for (; port->head != port->tail; port->head++) {
        const uint8_t *bytes = port->inbox[port->head % BENCH_FRAMES].bytes;
        const uint8_t *udp = bytes + FRAME_HEADS_SIZE - FRAME_UDP_SIZE;
        const uint8_t *payload = bytes + FRAME_HEADS_SIZE;
        size_t size = ((size_t)udp[4] << 8 | udp[5]) - FRAME_UDP_SIZE;
        struct packet head;
        if (bytes[12] != 8 || bytes[13] != 0 || bytes[23] != 17)
            continue; /* ARP, echo */
        if (((unsigned)udp[0] << 8 | udp[1]) != UDP_PORT)
            continue; /* the request server's answers */
        FUZZ_REQUIRE(size >= sizeof(head) && size <= KEEL_DATAGRAM_MAX);
        memcpy(&head, payload, sizeof(head));
        if (head.kind <= PACKET_SALT_REPLY)
            continue; /* a handshake, which nobody answers */
        for (uint32_t party = 0; party < HOST_PARTIES; party++)
            if (host_principal(party) == head.to)
                check_packet(h, party, payload, size);
    }
}

void host_run(struct host *h, uint32_t turns, uint64_t ns)
{
    struct startup *s = &h->bench->node[1].start;
    for (uint32_t i = 0; i < turns; i++) {
        h->bench->now_ns += ns;
        loop_turn(s->replica);
        ring_disk_turn(s->ring);
        feed_turn(s->replica->feed, h->bench->now_ns);
        ring_aux_turn(s->ring);
        control_turn(s->control, h->bench->now_ns);
        collect(h);
    }
}

struct host_state host_state(const struct host *h)
{
    const struct replica *r = h->replica;
    struct host_state s;
    memset(&s, 0, sizeof(s));
    s.term = r->raft.term;
    s.commit = r->raft.commit;
    s.next_lsn = r->raft.next_lsn;
    s.last = r->raft.log.last;
    s.applied = r->machine->applied;
    s.digest = r->machine->digest;
    s.ring_last = ring_last_index(r->ring);
    s.vote = r->raft.vote;
    s.role = r->raft.role;
    s.leader = r->raft.leader;
    return s;
}
