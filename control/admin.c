#include "control/admin.h"

#include "control/admin_answer.h"
#include "control/admin_ask.h"
#include "control/admin_backup.h"
#include "control/admin_events.h"
#include "control/admin_founding.h"
#include "control/admin_health.h"
#include "control/admin_leadership.h"
#include "control/admin_listen.h"
#include "control/admin_places.h"
#include "control/admin_report.h"
#include "control/log.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    ADMIN_TICK_MS = 200,
    ADMIN_WAIT_MS = 5,
    ADMIN_ACCEPTS_A_TURN = ADMIN_LISTEN_BACKLOG, /* an operator stands behind whoever came before */
    ADMIN_READS_A_TURN = 8,                      /* requests of those who may only look */
    ADMIN_READER_ASKS = CONTROL_REQUESTS / 2     /* of them, under way with control */
};

struct connection {
    int fd;         /* -1: place is free */
    bool reloading; /* its request is with the reload worker */
    bool backing;   /* ... with control, which encodes its state */
    bool following; /* ... for an event to come, until then: */
    uint64_t follow_until_ms;
    bool closing; /* after its answer has gone */
    uint64_t tag; /* of that request */
    struct admin_request request;
    size_t size; /* bytes in line */
    char *out;   /* being sent */
    size_t out_size, out_at;
    char line[ADMIN_LINE_MAX + 2];
};

struct admin {
    const struct node *node;
    int listener;
    struct admin_rights rights;
    char path[CONFIG_PATH_MAX];
    uint64_t next_tag;
    struct admin_backup backup;
    struct admin_health health;
    struct admin_share share;
    uint32_t next_reader; /* served first in the next turn */
    struct admin_counts counts;
    struct admin_place place[ADMIN_CONNECTIONS_MAX]; /* of the connection with this number */
    struct connection connection[ADMIN_CONNECTIONS_MAX];
};

static uint64_t read_clock(clockid_t id)
{
    struct timespec now;
    clock_gettime(id, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static uint64_t now_ns(void)
{
    return read_clock(CLOCK_MONOTONIC);
}

/* What this thread has used of a processor: waiting for one is not held against readers. */
static uint64_t used_ns(void)
{
    return read_clock(CLOCK_THREAD_CPUTIME_ID);
}

static uint64_t now_ms(void)
{
    return now_ns() / 1000000;
}

static struct admin_place *place_of(struct admin *a, const struct connection *c)
{
    return &a->place[c - a->connection];
}

/* --- requests
 * -------------------------------------------------------------------------------------- */

/* Readers leave control's places, and the log, to those who may change things. */
static bool reader_asks_too_much(struct admin *a, const struct admin_place *place)
{
    uint32_t asked = 0;
    if (place->right != ADMIN_RIGHT_READ)
        return false;
    for (uint32_t i = 0; i < ADMIN_CONNECTIONS_MAX; i++)
        asked += a->place[i].right == ADMIN_RIGHT_READ && a->place[i].waiting &&
                 !a->connection[i].following;
    return asked >= ADMIN_READER_ASKS || !admin_share_asks(&a->share, now_ms());
}

/* NULL: control has it. */
static char *ask_control(struct admin *a, struct connection *c, const struct admin_request *request)
{
    struct control_request ask = {.tag = ++a->next_tag};
    char *line = admin_ask(a->node, request, &ask);
    if (line != NULL)
        return line;
    if (reader_asks_too_much(a, place_of(a, c)) || !control_ask(a->node->start.control, &ask))
        return admin_answer_error(ADMIN_BUSY, "too many requests are under way: ask again", 0);
    place_of(a, c)->waiting = true;
    c->tag = ask.tag;
    c->request = *request;
    return NULL;
}

static char *ask_reload(struct admin *a, struct connection *c)
{
    uint64_t ticket;
    if (a->node->reload == NULL)
        return admin_answer_error(ADMIN_FAILED, "this process has no files to read again", 0);
    if (!reload_ask(a->node->reload, RELOAD_BY_ADMIN, &ticket))
        return admin_answer_error(
            ADMIN_BUSY,
            "another reload is under way, or a loop still uses what the last one "
            "replaced: ask again",
            0);
    place_of(a, c)->waiting = c->reloading = true;
    c->tag = ticket;
    return NULL;
}

/* Takes a backup, NULL: control has it; or hands out a piece of one. */
static char *ask_backup(struct admin *a, struct connection *c, const struct admin_request *request)
{
    char why[ADMIN_WHY_MAX];
    json_t *result = NULL;
    enum admin_error error;
    if (request->backup == 0) {
        error = admin_backup_begin(&a->backup, a->node->start.control, now_ms(), why);
        place_of(a, c)->waiting = c->backing = error == ADMIN_OK;
        c->tag = a->backup.id;
        return error == ADMIN_OK ? NULL : admin_answer_error(error, why, 0);
    }
    error = admin_backup_piece(&a->backup, a->node->start.control, now_ms(), request, &result, why);
    return error == ADMIN_OK ? admin_answer_result(result) : admin_answer_error(error, why, 0);
}

/* NULL: control has a probe under way. */
static char *ask_health(struct admin *a, struct connection *c, const struct admin_request *request)
{
    json_t *result = admin_health_begin(&a->health, a->node, request, &a->next_tag, now_ms());
    if (result != NULL)
        return admin_answer_result(result);
    place_of(a, c)->waiting = true;
    c->tag = a->health.tag;
    c->request = *request;
    return NULL;
}

/* NULL: nothing has happened yet that it does not know. */
static char *ask_events(struct admin *a, struct connection *c, const struct admin_request *request)
{
    if (admin_events_ready(a->node, request))
        return admin_answer_result(admin_events_result(a->node, request));
    place_of(a, c)->waiting = c->following = true;
    c->follow_until_ms = now_ms() + request->timeout_ms;
    c->request = *request;
    return NULL;
}

char *admin_line(struct admin *a, uint32_t place, const char *line, size_t size, bool may_change)
{
    struct admin_request request;
    char why[ADMIN_WHY_MAX];
    enum admin_error error = admin_request_parse(line, size, &request, why);
    if (error != ADMIN_OK)
        return admin_answer_error(error, why, 0);
    if (a->node->founding != NULL)
        return admin_founding_line(a->node, &request);
    if (admin_commands[request.command].changes && !may_change)
        return admin_answer_error(ADMIN_DENIED,
                                  "only root, the daemon's user and the users and the group "
                                  "of [admin] may change things",
                                  0);
    struct connection *c = &a->connection[place];
    if (request.command == ADMIN_BACKUP)
        return ask_backup(a, c, &request);
    if (request.command == ADMIN_EVENTS)
        return ask_events(a, c, &request);
    if (request.command == ADMIN_HEALTH)
        return ask_health(a, c, &request);
    if (request.command == ADMIN_RELOAD)
        return ask_reload(a, c);
    if (admin_asks_control(&request))
        return ask_control(a, c, &request);
    return admin_answer_result(admin_report(a->node, &request));
}

/* --- connections
 * ----------------------------------------------------------------------------------- */

static void hang_up(struct admin *a, struct connection *c)
{
    close(c->fd);
    free(c->out);
    memset(c, 0, offsetof(struct connection, line));
    memset(place_of(a, c), 0, sizeof(struct admin_place));
    c->fd = -1;
}

static void end(struct admin *a, struct connection *c, enum admin_end why)
{
    a->counts.ended[why]++;
    hang_up(a, c);
}

/* What is left of a line that control answers late goes nowhere if its asker has gone. */
static void send_out(struct admin *a, struct connection *c)
{
    while (c->out != NULL && c->out_at < c->out_size) { /* bound: the answer */
        ssize_t sent = send(c->fd, c->out + c->out_at, c->out_size - c->out_at, MSG_NOSIGNAL);
        if (sent < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (sent <= 0) {
            hang_up(a, c);
            return;
        }
        c->out_at += (size_t)sent;
    }
    if (c->out == NULL)
        return;
    free(c->out);
    c->out = NULL;
    struct admin_place *place = place_of(a, c);
    place->out_ms = 0;
    place->since_ms = now_ms();
    if (place->half_ms != 0) /* what waited behind the answer has its time from now on */
        place->half_ms = place->since_ms;
    if (c->closing)
        hang_up(a, c);
}

static void put_answer(struct admin *a, struct connection *c, char *line)
{
    size_t size = line != NULL ? strlen(line) : 0;
    if (line == NULL || size > ADMIN_ANSWER_MAX) {
        free(line);
        hang_up(a, c);
        return;
    }
    c->out = line;
    c->out_size = size;
    c->out_at = 0;
    place_of(a, c)->out_ms = now_ms();
    send_out(a, c);
}

/* A request stands there whole, or more than one may be, and nothing of this connection is under
 * way. */
static bool has_line(const struct admin *a, const struct connection *c)
{
    return c->fd >= 0 && c->out == NULL && !a->place[c - a->connection].waiting &&
           (c->size > ADMIN_LINE_MAX || memchr(c->line, '\n', c->size) != NULL);
}

/* Takes one line: what stands behind it waits for the next turn, when others had theirs. */
static void take_line(struct admin *a, struct connection *c)
{
    struct admin_place *place = place_of(a, c);
    char *newline = memchr(c->line, '\n', c->size);
    if (newline == NULL) {
        c->closing = true; /* where the next line begins is unknown */
        c->size = 0;
        put_answer(a, c,
                   admin_answer_error(ADMIN_BAD_REQUEST, "the line is longer than 4096 bytes", 0));
        return;
    }
    size_t size = (size_t)(newline - c->line);
    char *line = admin_line(a, (uint32_t)(c - a->connection), c->line, size,
                            place->right >= ADMIN_RIGHT_CHANGE);
    memmove(c->line, newline + 1, c->size - size - 1);
    c->size -= size + 1;
    place->half_ms = c->size > 0 ? now_ms() : 0;
    a->counts.requests++;
    if (!place->waiting)
        put_answer(a, c, line);
}

static void receive(struct admin *a, struct connection *c)
{
    ssize_t got = recv(c->fd, c->line + c->size, sizeof(c->line) - c->size, 0);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got <= 0) {
        hang_up(a, c);
        return;
    }
    c->size += (size_t)got;
    if (place_of(a, c)->half_ms == 0)
        place_of(a, c)->half_ms = now_ms();
}

static void refuse(struct admin *a, int fd, enum admin_end why)
{
    static const char denied[] =
        "{\"v\":1,\"ok\":false,\"error\":{\"code\":\"denied\",\"why\":\"this user may not look "
        "here: [admin] read_users and read_group name who may\"}}\n";
    static const char busy[] = "{\"v\":1,\"ok\":false,\"error\":{\"code\":\"busy\",\"why\":\"too "
                               "many connections: try again\"}}\n";
    if (why == ADMIN_END_DENIED)
        send(fd, denied, sizeof(denied) - 1, MSG_NOSIGNAL);
    else
        send(fd, busy, sizeof(busy) - 1, MSG_NOSIGNAL);
    close(fd);
    a->counts.ended[why]++;
}

/* False: nobody waits to be let in. *lesser: set if who came may change nothing. */
static bool accept_one(struct admin *a, bool *lesser)
{
    int fd = accept4(a->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0)
        return false;
    a->counts.accepted++;
    struct admin_peer peer;
    enum admin_right right = admin_peer_read(&a->rights, fd, &peer)
                                 ? admin_right_of(&a->rights, &peer)
                                 : ADMIN_RIGHT_NONE;
    *lesser = *lesser || right < ADMIN_RIGHT_CHANGE;
    if (right == ADMIN_RIGHT_NONE) {
        refuse(a, fd, ADMIN_END_DENIED);
        return true;
    }
    uint64_t now = now_ms();
    uint32_t at = admin_places_find(a->place, right, peer.uid, now);
    if (at == ADMIN_CONNECTIONS_MAX) {
        refuse(a, fd, ADMIN_END_BUSY);
        return true;
    }
    struct connection *c = &a->connection[at];
    if (c->fd >= 0)
        end(a, c, ADMIN_END_GAVE_WAY);
    c->fd = fd;
    a->place[at] = (struct admin_place){.right = (uint8_t)right, .uid = peer.uid, .since_ms = now};
    return true;
}

static void take_replies(struct admin *a)
{
    struct control_reply reply;
    if (a->node->founding != NULL)
        return;                                              /* there is no control yet */
    while (control_answer(a->node->start.control, &reply)) { /* bound: CONTROL_REQUESTS */
        bool probe = admin_health_reply(&a->health, &reply, now_ms());
        for (uint32_t i = 0; i < ADMIN_CONNECTIONS_MAX; i++) {
            struct connection *c = &a->connection[i];
            if (c->fd < 0 || !a->place[i].waiting || c->reloading || c->backing || c->following ||
                c->tag != reply.tag)
                continue;
            a->place[i].waiting = false;
            put_answer(a, c,
                       probe
                           ? admin_answer_result(admin_health_result(&a->health, a->node, now_ms()))
                           : admin_answer_asked(a->node, &c->request, &reply));
        }
    }
}

static void take_reload(struct admin *a)
{
    for (uint32_t i = 0; i < ADMIN_CONNECTIONS_MAX; i++) {
        struct connection *c = &a->connection[i];
        if (c->fd < 0 || !c->reloading)
            continue;
        const struct reload_report *report = reload_result(a->node->reload, c->tag);
        if (report == NULL)
            continue;
        a->place[i].waiting = c->reloading = false;
        put_answer(a, c, admin_answer_reload(report));
    }
}

static void take_events(struct admin *a)
{
    for (uint32_t i = 0; i < ADMIN_CONNECTIONS_MAX; i++) {
        struct connection *c = &a->connection[i];
        if (c->fd < 0 || !c->following ||
            (now_ms() < c->follow_until_ms && !admin_events_ready(a->node, &c->request)))
            continue;
        a->place[i].waiting = c->following = false;
        put_answer(a, c, admin_answer_result(admin_events_result(a->node, &c->request)));
    }
}

static void take_backup(struct admin *a)
{
    for (uint32_t i = 0; i < ADMIN_CONNECTIONS_MAX; i++) {
        struct connection *c = &a->connection[i];
        json_t *result = c->fd >= 0 && c->backing
                             ? admin_backup_taken(&a->backup, a->node->start.control)
                             : NULL;
        if (result == NULL)
            continue;
        a->place[i].waiting = c->backing = false;
        put_answer(a, c, admin_answer_result(result));
    }
}

/* Returns how many are polled; waits shortly while a request is elsewhere, and not at all while one
 * can be served. Readers that rest are not looked at, nor is who wants to come in. */
static nfds_t watch(const struct admin *a, struct pollfd *fds, uint32_t *place, int *timeout)
{
    bool rest = admin_share_rests(&a->share, now_ns());
    nfds_t count = 1;
    fds[0] = (struct pollfd){.fd = rest ? -1 : a->listener, .events = POLLIN};
    *timeout = rest ? 1 : ADMIN_TICK_MS;
    for (uint32_t i = 0; i < ADMIN_CONNECTIONS_MAX; i++) {
        const struct connection *c = &a->connection[i];
        if (c->fd < 0 || (rest && a->place[i].right == ADMIN_RIGHT_READ))
            continue;
        bool waiting = a->place[i].waiting, ready = has_line(a, c);
        int wait = ready          ? 0
                   : c->following ? ADMIN_EVENTS_LOOK_MS
                   : waiting      ? ADMIN_WAIT_MS
                                  : ADMIN_TICK_MS;
        *timeout = wait < *timeout ? wait : *timeout;
        place[count] = i;
        fds[count++] = (struct pollfd){.fd = c->fd,
                                       .events = c->out != NULL     ? POLLOUT
                                                 : waiting || ready ? 0
                                                                    : POLLIN};
    }
    return count;
}

static void attend(struct admin *a, struct connection *c, short events)
{
    if (events & (POLLERR | POLLHUP) && c->out == NULL && !(events & POLLIN) && !has_line(a, c))
        hang_up(a, c);
    else if (events & POLLOUT)
        send_out(a, c);
    else if (events & POLLIN)
        receive(a, c);
}

/* Those who may change things first, a request of each; then some readers', within their share. */
static void serve(struct admin *a)
{
    for (uint32_t i = 0; i < ADMIN_CONNECTIONS_MAX; i++)
        if (a->place[i].right > ADMIN_RIGHT_READ && has_line(a, &a->connection[i]))
            take_line(a, &a->connection[i]);
    if (admin_share_rests(&a->share, now_ns()))
        return;
    uint64_t began_ns = used_ns();
    uint32_t served = 0, first = a->next_reader;
    for (uint32_t n = 0; n < ADMIN_CONNECTIONS_MAX && served < ADMIN_READS_A_TURN; n++) {
        uint32_t i = (first + n) % ADMIN_CONNECTIONS_MAX;
        if (a->place[i].right != ADMIN_RIGHT_READ || !has_line(a, &a->connection[i]))
            continue;
        take_line(a, &a->connection[i]);
        a->next_reader = (i + 1) % ADMIN_CONNECTIONS_MAX;
        served++;
    }
    if (served > 0)
        admin_share_spent(&a->share, used_ns() - began_ns, now_ns());
}

/* Takes of the readers' share if one of them, or a stranger, was among those who came. */
static void let_in(struct admin *a)
{
    uint64_t began_ns = used_ns();
    bool lesser = false;
    uint32_t n = 0;
    while (n < ADMIN_ACCEPTS_A_TURN && accept_one(a, &lesser)) /* bound: ADMIN_ACCEPTS_A_TURN */
        n++;
    if (lesser)
        admin_share_spent(&a->share, used_ns() - began_ns, now_ns());
}

static void end_what_is_over(struct admin *a)
{
    uint64_t now = now_ms();
    for (uint32_t i = 0; i < ADMIN_CONNECTIONS_MAX; i++) {
        enum admin_end why = ADMIN_END_COUNT;
        if (a->connection[i].fd >= 0 && !has_line(a, &a->connection[i]))
            why = admin_place_over(&a->place[i], now);
        if (why != ADMIN_END_COUNT)
            end(a, &a->connection[i], why);
    }
}

void admin_run(struct admin *a, const uint32_t *stop)
{
    struct pollfd fds[ADMIN_CONNECTIONS_MAX + 1];
    uint32_t place[ADMIN_CONNECTIONS_MAX + 1];
    while (!__atomic_load_n(stop, __ATOMIC_RELAXED)) { /* relaxed: only that it was set matters */
        int timeout;
        nfds_t count = watch(a, fds, place, &timeout);
        poll(fds, count, timeout);
        for (nfds_t i = 1; i < count; i++)
            attend(a, &a->connection[place[i]], fds[i].revents);
        take_replies(a);
        take_reload(a);
        take_backup(a);
        take_events(a);
        serve(a);
        if (fds[0].revents & POLLIN)
            let_in(a);
        end_what_is_over(a);
    }
}

/* --- opening and closing
 * --------------------------------------------------------------------------- */

int admin_open(struct admin **admin, const struct node *node, char *problem)
{
    struct admin *a = calloc(1, sizeof(*a));
    if (a == NULL)
        return -ENOMEM;
    a->node = node;
    a->listener = -1;
    for (uint32_t i = 0; i < ADMIN_CONNECTIONS_MAX; i++)
        a->connection[i].fd = -1;
    snprintf(a->path, sizeof(a->path), "%s", node->config->socket);
    int rc = admin_rights_open(&a->rights, node->config, problem);
    if (rc == 0)
        rc = a->listener = admin_listen(a->path, &a->rights, problem);
    if (rc < 0) {
        free(a);
        return rc;
    }
    *admin = a;
    return 0;
}

void admin_close(struct admin *a)
{
    if (a == NULL)
        return;
    for (uint32_t i = 0; i < ADMIN_CONNECTIONS_MAX; i++)
        if (a->connection[i].fd >= 0)
            hang_up(a, &a->connection[i]);
    close(a->listener);
    unlink(a->path);
    free(a);
}

const struct admin_counts *admin_counts(const struct admin *a)
{
    return &a->counts;
}
