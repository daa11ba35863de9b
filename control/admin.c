#include "control/admin.h"

#include "control/admin_answer.h"
#include "control/admin_backup.h"
#include "control/admin_founding.h"
#include "control/admin_leadership.h"
#include "control/admin_report.h"
#include "control/log.h"

#include <errno.h>
#include <grp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { ADMIN_BACKLOG = 16, ADMIN_TICK_MS = 200, ADMIN_WAIT_MS = 5, ADMIN_GROUPS_MAX = 128 };

struct connection {
    int fd; /* -1: place is free */
    bool may_change;
    bool waiting;   /* a request is with control, or with the reload worker */
    bool reloading; /* ... with the worker */
    bool backing;   /* ... with control, which encodes its state */
    bool closing;   /* after its answer has gone */
    uint64_t tag;   /* of that request */
    struct admin_request request;
    uint64_t heard_ms;
    size_t size; /* bytes in line */
    char *out;   /* being sent */
    size_t out_size, out_at;
    char line[ADMIN_LINE_MAX + 2];
};

struct admin {
    const struct node *node;
    int listener;
    gid_t group;
    bool has_group;
    char path[CONFIG_PATH_MAX];
    uint64_t next_tag;
    struct admin_backup backup;
    struct connection connection[ADMIN_CONNECTIONS_MAX];
};

static uint64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* --- requests
 * -------------------------------------------------------------------------------------- */

/* NULL: control has it. */
static char *ask_control(struct admin *a, struct connection *c, const struct admin_request *request,
                         const struct control_request *ask)
{
    if (!control_ask(a->node->start.control, ask))
        return admin_answer_error(ADMIN_BUSY, "too many requests are under way: ask again", 0);
    c->waiting = true;
    c->tag = ask->tag;
    c->request = *request;
    return NULL;
}

/* Ends or begins a day; NULL: control has it. A day that stands as wished is answered at once, so
 * that a request whose answer was lost can be repeated. */
static char *ask_day(struct admin *a, struct connection *c, const struct admin_request *request)
{
    struct replica_status s;
    replica_status(a->node->start.replica, &s);
    bool same = memcmp(s.day, request->day, sizeof(s.day)) == 0;
    if (s.role == RAFT_LEADER && same && (s.day_open != 0) == request->day_begin)
        return admin_answer_entry(s.applied, s.term, false);
    struct entry_day body;
    memset(&body, 0, sizeof(body));
    memcpy(body.name, request->day, sizeof(body.name));
    struct control_request ask = {.tag = ++a->next_tag,
                                  .entry_kind =
                                      request->day_begin ? ENTRY_DAY_BEGIN : ENTRY_DAY_END,
                                  .size = sizeof(body)};
    memcpy(ask.body, &body, sizeof(body));
    return ask_control(a, c, request, &ask);
}

/* A transfer, or a status that must be true. */
static char *ask_leadership(struct admin *a, struct connection *c,
                            const struct admin_request *request)
{
    bool read = request->command == ADMIN_STATUS;
    struct control_request ask = {
        .tag = ++a->next_tag, .kind = read ? CONTROL_READ : CONTROL_TRANSFER, .to = request->to};
    return ask_control(a, c, request, &ask);
}

/* Changes the members; NULL: control has it. Members that stay keep address and incarnation. */
static char *ask_member(struct admin *a, struct connection *c, const struct admin_request *request)
{
    struct replica_status s;
    replica_status(a->node->start.replica, &s);
    struct entry_config body = request->wanted;
    uint32_t mask = members_mask(&body);
    for (uint32_t id = 1; id <= KEEL_REPLICA_MAX; id++) {
        struct entry_member *m = &body.member[id];
        if ((mask >> id & 1) == 0)
            memset(m, 0, sizeof(*m));
        else if (m->incarnation == 0)
            *m = s.config.member[id];
    }
    if (!entry_config_ok(&body))
        return admin_answer_error(
            ADMIN_BAD_REQUEST, "a member that is not there yet is to be described in \"new\"", 0);
    if (s.role == RAFT_LEADER && memcmp(&body, &s.config, sizeof(body)) == 0 &&
        s.config_index <= s.commit)
        return admin_answer_entry(s.config_index, s.term, false);
    struct control_request ask = {.tag = ++a->next_tag,
                                  .was = request->was,
                                  .entry_kind = ENTRY_CONFIG,
                                  .size = sizeof(body)};
    memcpy(ask.body, &body, sizeof(body));
    return ask_control(a, c, request, &ask);
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
    c->waiting = c->reloading = true;
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
        c->waiting = c->backing = error == ADMIN_OK;
        c->tag = a->backup.id;
        return error == ADMIN_OK ? NULL : admin_answer_error(error, why, 0);
    }
    error = admin_backup_piece(&a->backup, a->node->start.control, now_ms(), request, &result, why);
    return error == ADMIN_OK ? admin_answer_result(result) : admin_answer_error(error, why, 0);
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
                                  "only root, the daemon's user and the [admin] group may "
                                  "change things",
                                  0);
    if (request.command == ADMIN_DAY)
        return ask_day(a, &a->connection[place], &request);
    if (request.command == ADMIN_MEMBER)
        return ask_member(a, &a->connection[place], &request);
    if (request.command == ADMIN_BACKUP)
        return ask_backup(a, &a->connection[place], &request);
    if (request.command == ADMIN_RELOAD)
        return ask_reload(a, &a->connection[place]);
    if (request.command == ADMIN_TRANSFER || request.read)
        return ask_leadership(a, &a->connection[place], &request);
    return admin_answer_result(admin_report(a->node, &request));
}

/* --- connections
 * ----------------------------------------------------------------------------------- */

static void hang_up(struct connection *c)
{
    close(c->fd);
    free(c->out);
    memset(c, 0, offsetof(struct connection, line));
    c->fd = -1;
}

/* What is left of a line that control answers late goes nowhere if its asker has gone. */
static void send_out(struct connection *c)
{
    while (c->out != NULL && c->out_at < c->out_size) { /* bound: the answer */
        ssize_t sent = send(c->fd, c->out + c->out_at, c->out_size - c->out_at, MSG_NOSIGNAL);
        if (sent < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (sent <= 0) {
            hang_up(c);
            return;
        }
        c->out_at += (size_t)sent;
    }
    if (c->out == NULL)
        return;
    free(c->out);
    c->out = NULL;
    if (c->closing)
        hang_up(c);
}

static void put_answer(struct connection *c, char *line)
{
    size_t size = line != NULL ? strlen(line) : 0;
    if (line == NULL || size > ADMIN_ANSWER_MAX) {
        free(line);
        hang_up(c);
        return;
    }
    c->out = line;
    c->out_size = size;
    c->out_at = 0;
    send_out(c);
}

/* Takes the lines that are complete, one at a time: the next waits until the answer has gone. */
static void take_lines(struct admin *a, struct connection *c)
{
    uint32_t place = (uint32_t)(c - a->connection);
    while (c->fd >= 0 && c->out == NULL && !c->waiting) { /* bound: bytes in the buffer */
        char *end = memchr(c->line, '\n', c->size);
        if (end == NULL) {
            if (c->size <= ADMIN_LINE_MAX)
                return;
            c->closing = true; /* where the next line begins is unknown */
            c->size = 0;
            put_answer(
                c, admin_answer_error(ADMIN_BAD_REQUEST, "the line is longer than 4096 bytes", 0));
            return;
        }
        size_t size = (size_t)(end - c->line);
        char *line = admin_line(a, place, c->line, size, c->may_change);
        memmove(c->line, end + 1, c->size - size - 1);
        c->size -= size + 1;
        if (!c->waiting)
            put_answer(c, line);
    }
}

static void receive(struct admin *a, struct connection *c)
{
    size_t room = sizeof(c->line) - c->size;
    if (room == 0)
        return; /* it waits for its answer; the rest stays in the kernel */
    ssize_t got = recv(c->fd, c->line + c->size, room, 0);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got <= 0) {
        hang_up(c);
        return;
    }
    c->size += (size_t)got;
    c->heard_ms = now_ms();
    take_lines(a, c);
}

static bool may_change(const struct admin *a, int fd)
{
    struct ucred peer;
    socklen_t size = sizeof(peer);
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0)
        return false;
    if (peer.uid == 0 || peer.uid == geteuid())
        return true;
    if (!a->has_group)
        return false;
    gid_t groups[ADMIN_GROUPS_MAX];
    size = sizeof(groups);
    if (peer.gid == a->group)
        return true;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &size) != 0)
        return false;
    for (uint32_t i = 0; i < size / sizeof(groups[0]); i++)
        if (groups[i] == a->group)
            return true;
    return false;
}

static void accept_one(struct admin *a)
{
    int fd = accept4(a->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0)
        return;
    for (uint32_t i = 0; i < ADMIN_CONNECTIONS_MAX; i++) {
        struct connection *c = &a->connection[i];
        if (c->fd >= 0)
            continue;
        c->fd = fd;
        c->may_change = may_change(a, fd);
        c->heard_ms = now_ms();
        return;
    }
    static const char busy[] =
        "{\"v\":1,\"ok\":false,\"error\":{\"code\":\"busy\",\"why\":\"too many "
        "connections: try again\"}}\n";
    send(fd, busy, sizeof(busy) - 1, MSG_NOSIGNAL);
    close(fd);
}

static void take_replies(struct admin *a)
{
    struct control_reply reply;
    if (a->node->founding != NULL)
        return;                                            /* there is no control yet */
    while (control_answer(a->node->start.control, &reply)) /* bound: CONTROL_REQUESTS */
        for (uint32_t i = 0; i < ADMIN_CONNECTIONS_MAX; i++) {
            struct connection *c = &a->connection[i];
            if (c->fd < 0 || !c->waiting || c->reloading || c->backing || c->tag != reply.tag)
                continue;
            c->waiting = false;
            put_answer(c, admin_answer_asked(a->node, &c->request, &reply));
            take_lines(a, c);
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
        c->waiting = c->reloading = false;
        put_answer(c, admin_answer_reload(report));
        take_lines(a, c);
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
        c->waiting = c->backing = false;
        put_answer(c, admin_answer_result(result));
        take_lines(a, c);
    }
}

/* Returns how many are polled; waits shortly while a request is elsewhere. */
static nfds_t watch(const struct admin *a, struct pollfd *fds, uint32_t *place, int *timeout)
{
    nfds_t count = 1;
    fds[0] = (struct pollfd){.fd = a->listener, .events = POLLIN};
    *timeout = ADMIN_TICK_MS;
    for (uint32_t i = 0; i < ADMIN_CONNECTIONS_MAX; i++) {
        const struct connection *c = &a->connection[i];
        if (c->fd < 0)
            continue;
        if (c->waiting)
            *timeout = ADMIN_WAIT_MS;
        short events = c->out != NULL ? POLLOUT : c->waiting ? 0 : POLLIN;
        place[count] = i;
        fds[count++] = (struct pollfd){.fd = c->fd, .events = events};
    }
    return count;
}

void admin_run(struct admin *a, const uint32_t *stop)
{
    struct pollfd fds[ADMIN_CONNECTIONS_MAX + 1];
    uint32_t place[ADMIN_CONNECTIONS_MAX + 1];
    while (!__atomic_load_n(stop, __ATOMIC_RELAXED)) { /* relaxed: only that it was set matters */
        int timeout;
        nfds_t count = watch(a, fds, place, &timeout);
        poll(fds, count, timeout);
        for (nfds_t i = 1; i < count; i++) {
            struct connection *c = &a->connection[place[i]];
            if (fds[i].revents & (POLLERR | POLLHUP) && c->out == NULL &&
                !(fds[i].revents & POLLIN))
                hang_up(c);
            else if (fds[i].revents & POLLOUT) {
                send_out(c);
                take_lines(a, c);
            } else if (fds[i].revents & POLLIN)
                receive(a, c);
            else if (!c->waiting && now_ms() - c->heard_ms > ADMIN_IDLE_MS)
                hang_up(c);
        }
        if (fds[0].revents & POLLIN)
            accept_one(a);
        take_replies(a);
        take_reload(a);
        take_backup(a);
    }
}

/* --- the socket
 * ------------------------------------------------------------------------------------ */

static int find_group(struct admin *a, const char *name, char *problem)
{
    if (name[0] == '\0')
        return 0;
    struct group entry, *found = NULL;
    char buffer[8192];
    if (getgrnam_r(name, &entry, buffer, sizeof(buffer), &found) != 0 || found == NULL) {
        snprintf(problem, CONFIG_PROBLEM_SIZE,
                 "[admin] group %s does not exist: make it with "
                 "`groupadd %s`, or take the line out",
                 name, name);
        return -ENOENT;
    }
    a->group = found->gr_gid;
    a->has_group = true;
    return 0;
}

/* A socket that a dead daemon left answers nobody. */
static bool answers(const struct sockaddr_un *address)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool alive = fd >= 0 && connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0;
    if (fd >= 0)
        close(fd);
    return alive;
}

static int listen_at(struct admin *a, char *problem)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct stat st;
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", a->path);
    a->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (a->listener >= 0 && lstat(a->path, &st) == 0) {
        if (!S_ISSOCK(st.st_mode) || answers(&address)) {
            snprintf(problem, CONFIG_PROBLEM_SIZE, "[admin] socket %s: %s", a->path,
                     S_ISSOCK(st.st_mode)
                         ? "another keeld answers there: give each its own"
                         : "something that is no socket stands there: name another");
            return -EEXIST;
        }
        unlink(a->path);
    }
    mode_t mask = umask(0117); /* 0660 from the first moment */
    int rc = a->listener < 0 ||
                     bind(a->listener, (const struct sockaddr *)&address, sizeof(address)) != 0
                 ? -errno
                 : 0;
    umask(mask);
    if (rc == 0 && a->has_group && chown(a->path, (uid_t)-1, a->group) != 0)
        rc = -errno;
    if (rc == 0 && (chmod(a->path, 0666) != 0 || listen(a->listener, ADMIN_BACKLOG) != 0))
        rc = -errno;
    if (rc != 0)
        snprintf(problem, CONFIG_PROBLEM_SIZE,
                 "[admin] socket %s: %s: make its directory, owned by "
                 "the daemon's user",
                 a->path, strerror(-rc));
    return rc;
}

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
    int rc = find_group(a, node->config->group, problem);
    if (rc == 0)
        rc = listen_at(a, problem);
    if (rc != 0) {
        if (a->listener >= 0)
            close(a->listener);
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
            hang_up(&a->connection[i]);
    close(a->listener);
    unlink(a->path);
    free(a);
}
