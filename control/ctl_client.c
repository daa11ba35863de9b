/* One request over the admin socket. */
#include "control/ctl.h"

#include "control/admin_request.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

static uint64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static int open_socket(const struct ctl *ctl, int *fd)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(ctl->socket) >= sizeof(address.sun_path))
        return ctl_fail(CTL_USAGE, "--socket: the path is longer than %zu characters",
                        sizeof(address.sun_path) - 1);
    strcpy(address.sun_path, ctl->socket);
    *fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    /* A keeld that lets nobody in, or a crowd at its door, holds connect() up. */
    struct timeval patience = {.tv_sec = ctl->timeout_ms / 1000,
                               .tv_usec = (ctl->timeout_ms % 1000) * 1000};
    if (*fd >= 0)
        setsockopt(*fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
    if (*fd >= 0 && connect(*fd, (struct sockaddr *)&address, sizeof(address)) == 0)
        return CTL_DONE;
    int error = errno;
    if (*fd >= 0)
        close(*fd);
    if (error == EAGAIN)
        return ctl_fail(CTL_TIMED_OUT, "%s: keeld lets nobody in: nothing was asked: look at it",
                        ctl->socket);
    return ctl_fail(CTL_UNREACHABLE, "%s: %s: %s", ctl->socket, strerror(error),
                    error == EACCES ? "run it as a user who may open the socket"
                                    : "is keeld running? name its socket with -s");
}

/* Waits for `events`; false when the time is over. */
static bool ready(int fd, short events, uint64_t until_ms)
{
    struct pollfd one = {.fd = fd, .events = events};
    uint64_t now = now_ms();
    return now < until_ms && poll(&one, 1, (int)(until_ms - now)) > 0;
}

static int exchange(const struct ctl *ctl, int fd, const char *line, char **answer)
{
    uint64_t until_ms = now_ms() + ctl->timeout_ms;
    size_t size = strlen(line), at = 0, room = 65536;
    for (size_t sent = 0; sent < size;) { /* bound: the line */
        ssize_t n =
            ready(fd, POLLOUT, until_ms) ? send(fd, line + sent, size - sent, MSG_NOSIGNAL) : 0;
        if (n < 0 && errno == EPIPE)
            break; /* it closed at once, and may have said why */
        if (n <= 0)
            return n == 0 ? ctl_fail(CTL_TIMED_OUT, "keeld does not read: no answer within %u ms",
                                     ctl->timeout_ms)
                          : ctl_fail(CTL_UNREACHABLE, "%s: %s", ctl->socket, strerror(errno));
        sent += (size_t)n;
    }
    char *text = malloc(room + 1);
    while (text != NULL && at <= CTL_ANSWER_MAX) { /* bound: the answer's size */
        ssize_t n = ready(fd, POLLIN, until_ms) ? recv(fd, text + at, room - at, 0) : -2;
        if (n <= 0) {
            free(text);
            return n == -2
                       ? ctl_fail(CTL_TIMED_OUT,
                                  "no answer within %u ms: whether it was done is "
                                  "unknown",
                                  ctl->timeout_ms)
                       : ctl_fail(CTL_UNREACHABLE, "%s: keeld closed the connection", ctl->socket);
        }
        at += (size_t)n;
        text[at] = '\0';
        if (text[at - 1] == '\n') {
            *answer = text;
            return CTL_DONE;
        }
        if (at == room) {
            char *more = realloc(text, (room *= 2) + 1);
            if (more == NULL)
                break;
            text = more;
        }
    }
    free(text);
    return ctl_fail(CTL_FAILED, "the answer is too large");
}

int ctl_error(const char *name, const json_t *error)
{
    const char *code = json_string_value(json_object_get(error, "code"));
    const char *why = json_string_value(json_object_get(error, "why"));
    json_int_t leader = json_integer_value(json_object_get(error, "leader"));
    if (code == NULL || why == NULL)
        return ctl_fail(CTL_FAILED, "%s: an answer that this keelctl does not know", name);
    if (strcmp(code, admin_error_name(ADMIN_NOT_LEADER)) == 0) {
        if (leader == 0)
            return ctl_fail(CTL_NO_QUORUM,
                            "%s: %s: and knows no leader: wait for an election, or look "
                            "at `keelctl health`",
                            name, why);
        return ctl_fail(CTL_NOT_LEADER, "%s: %s: ask replica %d", name, why, (int)leader);
    }
    if (strcmp(code, admin_error_name(ADMIN_TIMED_OUT)) == 0)
        return ctl_fail(CTL_TIMED_OUT, "%s: %s", name, why);
    if (strcmp(code, admin_error_name(ADMIN_UNSAFE)) == 0 ||
        strcmp(code, admin_error_name(ADMIN_BEHIND)) == 0)
        return ctl_fail(CTL_REFUSED, "%s: nothing was changed: %s", name, why);
    if (strcmp(code, admin_error_name(ADMIN_NO_QUORUM)) == 0)
        return ctl_fail(CTL_NO_QUORUM, "%s: %s: look at `keelctl health` of each replica", name,
                        why);
    if (strcmp(code, admin_error_name(ADMIN_FOUNDING)) == 0)
        return ctl_fail(CTL_NO_QUORUM, "%s: %s (`keelctl genesis status` says more)", name, why);
    if (strcmp(code, admin_error_name(ADMIN_CONFIGURATION)) == 0)
        return ctl_fail(CTL_REFUSED, "%s: nothing was changed: %s", name, why);
    if (strcmp(code, admin_error_name(ADMIN_BAD_REQUEST)) == 0 ||
        strcmp(code, admin_error_name(ADMIN_UNKNOWN_COMMAND)) == 0)
        return ctl_fail(CTL_USAGE, "%s: %s: keeld and keelctl may differ in version", name, why);
    return ctl_fail(CTL_FAILED, "%s: %s", name, why);
}

/* With --json an error is an object on stdout, too: {"error": {"code", "why", "leader"?}}. */
int ctl_judge(const struct ctl *ctl, const char *name, json_t *answer, json_t **result)
{
    json_t *inner = json_object_get(answer, "result");
    int code = CTL_DONE;
    if (json_is_true(json_object_get(answer, "ok")) && inner != NULL)
        *result = json_incref(inner);
    else
        code = ctl_error(name, json_object_get(answer, "error"));
    if (code != CTL_DONE && ctl->json && json_is_object(json_object_get(answer, "error"))) {
        json_t *shown = json_pack("{s:O}", "error", json_object_get(answer, "error"));
        ctl_print_json(shown);
        json_decref(shown);
    }
    json_decref(answer);
    return code;
}

int ctl_exchange(const struct ctl *ctl, const char *name, json_t *extra, json_t **parsed)
{
    json_t *request = extra != NULL ? extra : json_object();
    json_object_set_new(request, "v", json_integer(ADMIN_VERSION));
    json_object_set_new(request, "cmd", json_string(name));
    char *body = json_dumps(request, JSON_COMPACT);
    json_decref(request);
    char *line = NULL, *answer = NULL;
    if (body == NULL || asprintf(&line, "%s\n", body) < 0)
        line = NULL;
    free(body);
    if (line == NULL)
        return ctl_fail(CTL_FAILED, "out of memory");
    int fd = -1;
    int code = open_socket(ctl, &fd);
    if (code == CTL_DONE) {
        code = exchange(ctl, fd, line, &answer);
        close(fd);
    }
    free(line);
    json_error_t error;
    if (code == CTL_DONE)
        *parsed = json_loads(answer, JSON_REJECT_DUPLICATES, &error);
    free(answer);
    return code;
}

int ctl_ask(const struct ctl *ctl, const char *name, json_t *extra, json_t **result)
{
    json_t *answer = NULL;
    int code = ctl_exchange(ctl, name, extra, &answer);
    return code == CTL_DONE ? ctl_judge(ctl, name, answer, result) : code;
}
