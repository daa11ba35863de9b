/* A client that oversteps: an honest handshake with one replica, then packets of every kind that a
 * client may not send, each well-formed, sealed with its own key and about the present term.
 *
 *   keel-stranger KEYFILE PRINCIPAL REPLICA IP PORT TERM LAST_INDEX
 *
 * The APPEND claims TERM + 1 from LAST_INDEX on: whoever believed it would follow this client. A
 * PING before and after shows that the association is alive and that only the right is missing.
 * Exit 0: both were answered, and `overstepped=N` says how many packets were sent between them.
 */
#include "consensus/ensure.h"
#include "consensus/wire/packet.h"
#include "dataplane/auth/handshake.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { WAIT_MS = 20, ROUNDS = 500, ASSOCIATIONS = 8 };

struct stranger {
    struct keyring keys;
    struct handshake_address replica_at;
    uint32_t principal, replica;
    uint64_t term, last_index;
    int socket;
    struct handshake *handshake;
    struct auth_table *auth;
    uint8_t packet[KEEL_DATAGRAM_MAX];
    uint8_t received[2048];
};

_Noreturn void ensure_failed(const char *file, int line, const char *condition)
{
    fprintf(stderr, "stranger: %s:%d: ENSURE failed: %s\n", file, line, condition);
    abort();
}

static uint64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_BOOTTIME, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void fresh(void *context, void *bytes, size_t size)
{
    (void)context;
    ssize_t got = getrandom(bytes, size, 0);
    ENSURE(got == (ssize_t)size);
}

static void *take(size_t size)
{
    void *memory = aligned_alloc(64, (size + 63) & ~(size_t)63);
    ENSURE(memory != NULL);
    return memory;
}

static void out(struct stranger *s, const void *bytes, size_t size)
{
    if (send(s->socket, bytes, size, 0) != (ssize_t)size)
        fprintf(stderr, "stranger: send: %s\n", strerror(errno));
}

/* The next datagram of the replica within WAIT_MS; 0: none. */
static size_t in(struct stranger *s)
{
    struct pollfd ready = {.fd = s->socket, .events = POLLIN};
    if (poll(&ready, 1, WAIT_MS) != 1)
        return 0;
    ssize_t size = recv(s->socket, s->received, sizeof(s->received), 0);
    return size > 0 ? (size_t)size : 0;
}

static void install(struct stranger *s, struct auth_install *done)
{
    s->auth = auth_table_init(take(auth_table_size(ASSOCIATIONS)), ASSOCIATIONS, s->principal,
                              done->cluster);
    ENSURE(s->auth != NULL);
    done->now_ns = now_ms() * 1000000;
    bool installed = auth_install(s->auth, done);
    ENSURE(installed);
}

static bool shake(struct stranger *s)
{
    const struct handshake_options options = {
        .self = {.principal = s->principal}, .keys = &s->keys, .random = fresh};
    uint8_t bytes[HANDSHAKE_PACKET_MAX];
    size_t size;
    s->handshake = handshake_init(take(handshake_size()), &options);
    if (!handshake_begin(s->handshake, s->replica, &s->replica_at, now_ms(), bytes, &size))
        return false;
    out(s, bytes, size);
    for (uint32_t round = 0; round < ROUNDS && s->auth == NULL; round++) {
        struct auth_install done = {0};
        struct handshake_address to;
        size_t got = in(s);
        if (got > 0 && handshake_is_packet(s->received, got)) {
            enum handshake_event event = handshake_receive(
                s->handshake, s->received, got, &s->replica_at, now_ms(), bytes, &size, &done);
            if (event == HANDSHAKE_SEND)
                out(s, bytes, size);
            else if (event == HANDSHAKE_INSTALL)
                install(s, &done);
        }
        while (handshake_retry(s->handshake, now_ms(), &to, bytes, &size)) /* bound: one peer */
            out(s, bytes, size);
    }
    return s->auth != NULL;
}

static void sealed(struct stranger *s, uint8_t kind, size_t body_size)
{
    const struct auth_peer *peer = auth_peer(s->auth, s->replica);
    ENSURE(peer != NULL);
    out(s, s->packet, auth_seal(s->auth, peer, kind, s->packet, body_size));
}

static bool ping(struct stranger *s)
{
    for (uint32_t round = 0; round < ROUNDS; round++) {
        const struct auth_peer *peer;
        const void *body;
        size_t body_size;
        if (round % 10 == 0)
            sealed(s, AUTH_KIND_PING, 0);
        size_t got = in(s);
        if (got > 0 &&
            auth_open(s->auth, s->received, got, now_ms() * 1000000, &peer, &body, &body_size) ==
                AUTH_OK &&
            s->received[offsetof(struct packet, kind)] == AUTH_KIND_PONG)
            return true;
    }
    return false;
}

/* Every kind of a peer's and every answer. */
static uint32_t overstep(struct stranger *s)
{
    uint8_t *body = s->packet + KEEL_PACKET_HEAD_SIZE;
    uint32_t count = 0;
    for (uint8_t kind = RAFT_PREVOTE; kind <= RAFT_FETCH_REPLY; kind++) {
        const struct raft_msg msg = {.kind = kind,
                                     .from = 1,
                                     .to = (uint8_t)s->replica,
                                     .status = kind == RAFT_VOTE_REPLY,
                                     .term = s->term + 1,
                                     .prev_index = s->last_index,
                                     .prev_term = s->term,
                                     .prev_chain = 1,
                                     .commit = s->last_index};
        uint8_t packet_kind;
        size_t size = packet_peer_encode(&msg, 0, body, &packet_kind);
        sealed(s, packet_kind, size);
        count++;
    }
    static const struct {
        uint8_t kind;
        size_t size;
    } others[] = {{PACKET_DIGESTS_TELL, sizeof(struct packet_digests)},
                  {PACKET_CHECKPOINT_CHUNK, sizeof(struct packet_checkpoint_chunk)},
                  {PACKET_CHECKPOINT_REPLY, sizeof(struct packet_checkpoint_reply)},
                  {PACKET_MEMBERS_TELL, sizeof(struct packet_members)},
                  {PACKET_RESULT, sizeof(struct packet_result)},
                  {PACKET_SESSION, sizeof(struct packet_session)},
                  {PACKET_REDIRECT, sizeof(struct packet_redirect)}};
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        memset(body, 0, others[i].size);
        sealed(s, others[i].kind, others[i].size);
        count++;
    }
    return count;
}

static bool arguments(struct stranger *s, char **argv)
{
    char problem[256];
    struct sockaddr_in to = {.sin_family = AF_INET};
    if (keyring_read(&s->keys, argv[1], problem) != 0) {
        fprintf(stderr, "stranger: %s: %s\n", argv[1], problem);
        return false;
    }
    s->principal = (uint32_t)strtoul(argv[2], NULL, 10);
    s->replica = (uint32_t)strtoul(argv[3], NULL, 10);
    s->replica_at.port = (uint16_t)strtoul(argv[5], NULL, 10);
    s->term = strtoull(argv[6], NULL, 10);
    s->last_index = strtoull(argv[7], NULL, 10);
    to.sin_port = htons(s->replica_at.port);
    if (inet_pton(AF_INET, argv[4], &to.sin_addr) != 1)
        return false;
    s->replica_at.ip = ntohl(to.sin_addr.s_addr);
    s->socket = socket(AF_INET, SOCK_DGRAM, 0);
    return s->socket >= 0 && connect(s->socket, (struct sockaddr *)&to, sizeof(to)) == 0;
}

int main(int argc, char **argv)
{
    static struct stranger stranger;
    if (argc != 8) {
        fprintf(stderr, "usage: keel-stranger KEYFILE PRINCIPAL REPLICA IP PORT TERM LAST_INDEX\n");
        return 2;
    }
    if (!arguments(&stranger, argv))
        return 2;
    if (!shake(&stranger) || !ping(&stranger)) {
        fprintf(stderr, "stranger: no association\n");
        return 1;
    }
    uint32_t count = overstep(&stranger);
    if (!ping(&stranger)) {
        fprintf(stderr, "stranger: the association does not answer any more\n");
        return 1;
    }
    printf("overstepped=%u\n", count);
    return 0;
}
