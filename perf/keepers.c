/* keel-keepers: thousands of sessions whose leases are kept, by one thread.
 *
 *   keel-keepers MEMBERS KEYS PRINCIPALS EACH TTL_MS
 *
 * KEYS is a file name with one %d for the principal, 108 and on: those below are keel-load's, and a
 * principal has one association with a replica. A session of libkeel is a window of
 * messages and a socket; ten thousand of these say more of the client than of the cluster. So one
 * session of each principal makes the association, and EACH further ones are an id, an epoch and a
 * time: opened, then one keepalive always on its way for each, as libkeel does. Their phases are
 * spread over a third of the time to live. Prints a line when all are open; on SIGTERM ends them,
 * prints one JSON object and leaves. Follows the leader where it is told to, no further.
 */
#include "client/keel_internal.h"
#include "consensus/machine/machine.h"

#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

enum {
    PRINCIPALS_MAX = 8,
    PRINCIPAL_FIRST = 108,
    EACH_MAX = 8192,
    TURN_MS = 2,       /* waiting for datagrams */
    UNDER_WAY_MAX = 32 /* opens and ends of one principal */
};
#define MS UINT64_C(1000000)
#define RETRY_NS (200 * MS)  /* an open, an end */
#define MARGIN_NS (500 * MS) /* beyond the third of the time to live that an answer may be held */

enum state { NEW, OPENING, KEPT, ENDING, GONE };

struct kept {
    enum state state;
    uint64_t session, epoch, request;
    uint64_t due_ns; /* the next copy */
    bool awaited;    /* the last one's answer */
};

struct keeper {
    struct keel *keel;
    struct kept *kept;
    uint32_t each;
    uint32_t under_way, count[GONE + 1];
    uint64_t ttl_ns;
    uint64_t sent, answered, again, refused;
};

static volatile sig_atomic_t wants_end;

static void on_signal(int number)
{
    (void)number;
    wants_end = 1;
}

static void enter(struct keeper *k, struct kept *s, enum state state)
{
    k->count[s->state]--;
    k->count[state]++;
    s->state = state;
}

/* --- sending
 * --------------------------------------------------------------------------------------- */

/* A request's number names its session: number % each. */
static uint64_t next_request(const struct keeper *k, struct kept *s)
{
    s->request = s->request == 0 ? (uint64_t)(s - k->kept) + k->each : s->request + k->each;
    return s->request;
}

static void send_body(struct keeper *k, uint8_t kind, const void *body, size_t size)
{
    struct engine *e = k->keel->engine;
    memcpy(e->packet + KEEL_PACKET_HEAD_SIZE, body, size);
    engine_send(e, e->target, kind, size);
}

static void send_open(struct keeper *k, struct kept *s)
{
    const struct engine *e = k->keel->engine;
    struct packet_session_request body = {
        .open = {.process = e->options.process, .ttl_ms = (uint32_t)(k->ttl_ns / MS), .window = 1},
        .request = s->request};
    snprintf(body.open.name, sizeof(body.open.name), "kept-%" PRIx64 "-%u",
             e->options.process >> 32, (unsigned)(s - k->kept));
    send_body(k, PACKET_OPEN, &body, sizeof(body));
}

static void send_copy(struct keeper *k, struct kept *s, uint64_t now_ns)
{
    const struct packet_keepalive body = {
        .session = s->session, .epoch = s->epoch, .request = next_request(k, s)};
    send_body(k, PACKET_KEEPALIVE, &body, sizeof(body));
    s->awaited = true;
    s->due_ns = now_ns + k->ttl_ns / 3 + MARGIN_NS;
    k->sent++;
}

static void send_end(struct keeper *k, struct kept *s)
{
    const struct packet_session_end body = {
        .session = s->session, .epoch = s->epoch, .request = s->request};
    send_body(k, PACKET_END, &body, sizeof(body));
}

/* Opens and ends, some at a time; repeats what was not answered; the next copies. */
static void send_due(struct keeper *k, uint64_t now_ns, bool ending)
{
    for (uint32_t i = 0; i < k->each; i++) {
        struct kept *s = &k->kept[i];
        bool begins = s->state == NEW || (ending && s->state == KEPT);
        if (begins && k->under_way < UNDER_WAY_MAX) {
            enter(k, s, s->state == NEW ? OPENING : ENDING);
            k->under_way++;
            next_request(k, s); /* the same for its repetitions: a late answer counts */
            s->due_ns = 0;
        }
        if (s->state == NEW || s->state == GONE || now_ns < s->due_ns)
            continue;
        if (s->state == KEPT) {
            k->again += s->awaited;
            send_copy(k, s, now_ns);
            continue;
        }
        if (s->state == OPENING)
            send_open(k, s);
        else
            send_end(k, s);
        s->due_ns = now_ns + RETRY_NS;
    }
    net_flush(&k->keel->net);
}

/* --- receiving
 * ------------------------------------------------------------------------------------- */

static void on_session(struct keeper *k, const struct packet_session *answer, uint64_t now_ns)
{
    struct kept *s = &k->kept[answer->request % k->each];
    if (answer->request != s->request || (s->state != OPENING && s->state != ENDING))
        return;
    bool opened = s->state == OPENING;
    if (opened && answer->status != MACHINE_SEQUENCED) {
        k->refused++;
        s->due_ns = now_ns + RETRY_NS;
        return;
    }
    k->under_way--;
    s->session = answer->session;
    s->epoch = answer->epoch;
    /* Spread: a third of the time to live for all, in order of their places. */
    s->due_ns = now_ns + k->ttl_ns / 3 * (uint64_t)(s - k->kept) / k->each;
    enter(k, s, opened ? KEPT : GONE);
}

static void on_lease(struct keeper *k, const struct packet_lease *answer, uint64_t now_ns)
{
    struct kept *s = &k->kept[answer->request % k->each];
    if (answer->request != s->request || s->state != KEPT || answer->session != s->session)
        return;
    if (answer->status != MACHINE_SEQUENCED) {
        k->refused++;
        enter(k, s, GONE);
        return;
    }
    k->answered++;
    send_copy(k, s, now_ns);
}

static uint32_t member_of(const struct engine *e, uint32_t id)
{
    uint32_t i = 0;
    while (i + 1 < e->options.member_count && e->member[i].at.id != id)
        i++;
    return i;
}

static void on_redirect(struct engine *e, const struct packet_redirect *redirect)
{
    if (redirect->leader != 0)
        e->target = member_of(e, redirect->leader);
}

/* Handshakes are the engine's. */
static void take(struct keeper *k, const uint8_t *packet, size_t size, uint32_t ip, uint16_t port,
                 uint64_t now_ns)
{
    struct engine *e = k->keel->engine;
    const struct auth_peer *peer;
    const void *body;
    size_t body_size;
    uint8_t copy[NET_PACKET_MAX];
    memcpy(copy, packet, size);
    if (auth_open(e->auth, copy, size, now_ns, &peer, &body, &body_size) != AUTH_OK) {
        engine_receive(e, ip, port, packet, size, now_ns);
        return;
    }
    uint8_t kind = copy[offsetof(struct packet, kind)];
    if (kind == AUTH_KIND_PING)
        engine_send(e, member_of(e, peer->principal), AUTH_KIND_PONG, 0);
    union {
        struct packet_session session;
        struct packet_lease lease;
        struct packet_redirect redirect;
    } u;
    memset(&u, 0, sizeof(u));
    memcpy(&u, body, body_size < sizeof(u) ? body_size : sizeof(u));
    if (kind == PACKET_SESSION && body_size >= sizeof(u.session))
        on_session(k, &u.session, now_ns);
    else if (kind == PACKET_LEASE && body_size >= sizeof(u.lease))
        on_lease(k, &u.lease, now_ns);
    else if (kind == PACKET_REDIRECT && body_size >= sizeof(u.redirect))
        on_redirect(e, &u.redirect);
}

static void receive(struct keeper *k)
{
    struct net *net = &k->keel->net;
    for (uint32_t round = 0; round < UNDER_WAY_MAX; round++) {
        unsigned count = net_receive(net);
        uint64_t now_ns = net_now_ns();
        for (unsigned i = 0; i < count; i++) {
            size_t size;
            uint32_t ip;
            uint16_t port;
            const uint8_t *packet = net_datagram(net, i, &size, &ip, &port);
            k->keel->engine->now_ns = now_ns;
            take(k, packet, size, ip, port, now_ns);
        }
        net_flush(net);
        if (count < NET_BATCH)
            return;
    }
}

/* --- the run
 * --------------------------------------------------------------------------------------- */

static bool open_keeper(struct keeper *k, uint32_t i, char **argv)
{
    char file[512], name[32], problem[KEEL_PROBLEM_SIZE];
    const char *mark = strstr(argv[2], "%d");
    if (mark == NULL)
        return false;
    snprintf(file, sizeof(file), "%.*s%u%s", (int)(mark - argv[2]), argv[2], PRINCIPAL_FIRST + i,
             mark + 2);
    snprintf(name, sizeof(name), "keeper-%u", i);
    const struct keel_options options = {
        .members = argv[1], .key_file = file, .session = name, .window = 1};
    if (keel_open(&k->keel, &options, problem) != KEEL_OK) {
        fprintf(stderr, "keel-keepers: %s\n", problem);
        return false;
    }
    k->each = (uint32_t)atoi(argv[4]);
    k->ttl_ns = (uint64_t)atoi(argv[5]) * MS;
    k->kept = calloc(k->each, sizeof(k->kept[0]));
    k->count[NEW] = k->each;
    return k->kept != NULL;
}

static uint32_t in_state(const struct keeper *keepers, uint32_t count, enum state state)
{
    uint32_t sum = 0;
    for (uint32_t i = 0; i < count; i++)
        sum += keepers[i].count[state];
    return sum;
}

static void turn(struct keeper *keepers, uint32_t count, bool ending)
{
    struct pollfd fds[PRINCIPALS_MAX];
    for (uint32_t i = 0; i < count; i++)
        fds[i] = (struct pollfd){.fd = keepers[i].keel->net.fd, .events = POLLIN};
    poll(fds, count, TURN_MS);
    for (uint32_t i = 0; i < count; i++) {
        receive(&keepers[i]);
        keepers[i].keel->engine->now_ns = net_now_ns();
        send_due(&keepers[i], keepers[i].keel->engine->now_ns, ending);
    }
}

static void report(const struct keeper *keepers, uint32_t count, uint32_t kept, double seconds)
{
    uint64_t sent = 0, answered = 0, again = 0, refused = 0;
    struct rusage use;
    getrusage(RUSAGE_SELF, &use);
    for (uint32_t i = 0; i < count; i++) {
        sent += keepers[i].sent;
        answered += keepers[i].answered;
        again += keepers[i].again;
        refused += keepers[i].refused;
    }
    printf("{\"kept\": %u, \"sent\": %" PRIu64 ", \"answered\": %" PRIu64 ", \"again\": %" PRIu64
           ", \"refused\": %" PRIu64 ", \"seconds\": %.3f, \"cpu_seconds\": %.3f}\n",
           kept, sent, answered, again, refused, seconds,
           (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) +
               (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec) / 1e6);
}

int main(int argc, char **argv)
{
    uint32_t count = argc == 6 ? (uint32_t)atoi(argv[3]) : 0;
    if (count < 1 || count > PRINCIPALS_MAX || atoi(argv[4]) < 1 || atoi(argv[4]) > EACH_MAX ||
        atoi(argv[5]) < 1) {
        fputs("usage: keel-keepers MEMBERS KEYS PRINCIPALS EACH TTL_MS\n", stderr);
        return 2;
    }
    const struct sigaction act = {.sa_handler = on_signal};
    sigaction(SIGTERM, &act, NULL);
    struct keeper keepers[PRINCIPALS_MAX] = {0};
    for (uint32_t i = 0; i < count; i++)
        if (!open_keeper(&keepers[i], i, argv))
            return 1;
    uint32_t all = count * keepers[0].each;
    while (in_state(keepers, count, KEPT) < all && wants_end == 0)
        turn(keepers, count, false);
    uint64_t began_ns = net_now_ns();
    printf("ready: %u sessions\n", all);
    fflush(stdout);
    while (wants_end == 0)
        turn(keepers, count, false);
    uint32_t kept = in_state(keepers, count, KEPT);
    report(keepers, count, kept, (double)(net_now_ns() - began_ns) / 1e9);
    fflush(stdout);
    while (in_state(keepers, count, KEPT) + in_state(keepers, count, ENDING) > 0)
        turn(keepers, count, true); /* until all have ended, or it is killed */
    return 0;
}
