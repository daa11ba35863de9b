/* The public face of a consumer: options, sockets, time; the work is the follower's. */
#include "client/address.h"
#include "client/follower.h"
#include "client/net.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

enum {
    HELD_DEFAULT = 4096,
    HELD_LIMIT = 1 << 20,
    REQUEST_DEFAULT_MS = 1000,
    GAP_WAIT_DEFAULT_MS = 2,
    SILENT_DEFAULT_MS = 3000,
    RECEIVE_ROUNDS = 16
};

struct keel_follow {
    struct follower *follower;
    int epoll;
    uint32_t line_count;
    uint32_t server_count;
    struct address line[KEEL_LINES_MAX];
    struct address server[KEEL_SERVERS_MAX];
    struct net requests;
    struct net *lines; /* [line_count] */
};

static int problem_set(char *problem, int error, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static int problem_set(char *problem, int error, const char *format, ...)
{
    va_list arguments;
    if (problem == NULL)
        return error;
    va_start(arguments, format);
    vsnprintf(problem, KEEL_PROBLEM_SIZE, format, arguments);
    va_end(arguments);
    return error;
}

static void send_request(void *context, uint32_t server, const void *packet, size_t size)
{
    struct keel_follow *follow = context;
    net_send(&follow->requests, follow->server[server].ip, follow->server[server].port, packet,
             size);
}

/* --- open ------------------------------------------------------------------------------------- */

static int take_addresses(struct keel_follow *follow, const struct keel_follow_options *options,
                          char *problem)
{
    char why[128];
    int lines = address_list(options->lines == NULL ? "" : options->lines, ADDRESS_LINE,
                             follow->line, KEEL_LINES_MAX, why, sizeof(why));
    if (lines < 0)
        return problem_set(problem, KEEL_ARGUMENT, "feed line %s", why);
    int servers = address_list(options->servers == NULL ? "" : options->servers, ADDRESS_LINE,
                               follow->server, KEEL_SERVERS_MAX, why, sizeof(why));
    if (servers < 0)
        return problem_set(problem, KEEL_ARGUMENT, "request server %s", why);
    if (lines == 0 && (servers == 0 || options->day == NULL || options->from == KEEL_FROM_NEXT))
        return problem_set(problem, KEEL_ARGUMENT,
                           "no feed line to listen on; without one, name request servers, the day "
                           "and a first number");
    follow->line_count = (uint32_t)lines;
    follow->server_count = (uint32_t)servers;
    return KEEL_OK;
}

static uint32_t or_else(uint32_t value, uint32_t fallback)
{
    return value == 0 ? fallback : value;
}

static int take_options(struct follower_options *to, const struct keel_follow *follow,
                        const struct keel_follow_options *options, char *problem)
{
    if (options->message == NULL || (unsigned)options->framing > KEEL_ENVELOPE)
        return problem_set(problem, KEEL_ARGUMENT, "a message callback and a known framing");
    if (options->held_packets > HELD_LIMIT)
        return problem_set(problem, KEEL_ARGUMENT, "held packets: at most %d", HELD_LIMIT);
    to->public = *options;
    to->public.held_packets = or_else(options->held_packets, HELD_DEFAULT);
    to->public.request_ms = or_else(options->request_ms, REQUEST_DEFAULT_MS);
    to->public.gap_wait_ms = or_else(options->gap_wait_ms, GAP_WAIT_DEFAULT_MS);
    to->public.line_silent_ms = or_else(options->line_silent_ms, SILENT_DEFAULT_MS);
    to->lines = follow->line_count;
    to->servers = follow->server_count;
    if (options->day == NULL)
        return KEEL_OK;
    size_t length = strlen(options->day);
    if (length == 0 || length > KEEL_DAY_NAME_SIZE)
        return problem_set(problem, KEEL_ARGUMENT, "day '%s': 1 to %d characters", options->day,
                           KEEL_DAY_NAME_SIZE);
    memset(to->day, ' ', KEEL_DAY_NAME_SIZE);
    memcpy(to->day, options->day, length);
    return KEEL_OK;
}

static int watch(struct keel_follow *follow, int fd, char *problem)
{
    struct epoll_event event = {.events = EPOLLIN};
    if (epoll_ctl(follow->epoll, EPOLL_CTL_ADD, fd, &event) != 0)
        return problem_set(problem, KEEL_SYSTEM, "epoll: %s", strerror(errno));
    return KEEL_OK;
}

static int take_sockets(struct keel_follow *follow, const char *bind, char *problem)
{
    struct address local = {0};
    char why[128];
    if (bind != NULL && address_list(bind, ADDRESS_PLAIN, &local, 1, why, sizeof(why)) != 1)
        return problem_set(problem, KEEL_ARGUMENT, "local address '%s': write IP:PORT", bind);
    follow->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (follow->epoll < 0)
        return problem_set(problem, KEEL_SYSTEM, "epoll: %s", strerror(errno));
    int result = net_open(&follow->requests, &local);
    if (result != 0)
        return problem_set(problem, KEEL_SYSTEM, "socket for requests: %s", strerror(-result));
    if (watch(follow, follow->requests.fd, problem) != KEEL_OK)
        return KEEL_SYSTEM;
    for (uint32_t i = 0; i < follow->line_count; i++) {
        char text[24];
        result = net_open(&follow->lines[i], &follow->line[i]);
        if (result != 0) {
            address_print(follow->line[i].ip, follow->line[i].port, text);
            return problem_set(problem, KEEL_SYSTEM,
                               "feed line %s: %s: is the address this host's, and the port free?",
                               text, strerror(-result));
        }
        if (watch(follow, follow->lines[i].fd, problem) != KEEL_OK)
            return KEEL_SYSTEM;
    }
    return KEEL_OK;
}

static int take_memory(struct keel_follow *follow, char *problem)
{
    follow->lines =
        calloc(follow->line_count == 0 ? 1 : follow->line_count, sizeof(*follow->lines));
    if (follow->lines == NULL)
        return problem_set(problem, KEEL_MEMORY, "no memory for %u feed lines", follow->line_count);
    for (uint32_t i = 0; i < follow->line_count; i++)
        follow->lines[i].fd = -1;
    return KEEL_OK;
}

int keel_follow_open(struct keel_follow **out, const struct keel_follow_options *options,
                     char *problem)
{
    struct follower_options to = {0};
    *out = NULL;
    if (problem != NULL)
        problem[0] = 0;
    struct keel_follow *follow = calloc(1, sizeof(*follow));
    if (follow == NULL)
        return problem_set(problem, KEEL_MEMORY, "no memory for a consumer");
    follow->epoll = follow->requests.fd = -1;
    int result = take_addresses(follow, options, problem);
    if (result == KEEL_OK)
        result = take_options(&to, follow, options, problem);
    if (result == KEEL_OK)
        result = take_memory(follow, problem);
    if (result == KEEL_OK)
        result = take_sockets(follow, options->bind, problem);
    void *memory = result == KEEL_OK ? malloc(follower_size(to.public.held_packets)) : NULL;
    if (result == KEEL_OK && memory == NULL)
        result = problem_set(problem, KEEL_MEMORY, "no memory for %u held packets",
                             to.public.held_packets);
    if (result != KEEL_OK) {
        keel_follow_close(follow);
        return result;
    }
    to.request = send_request;
    to.request_context = follow;
    follow->follower = follower_init(memory, &to, net_now_ns());
    *out = follow;
    return KEEL_OK;
}

void keel_follow_close(struct keel_follow *follow)
{
    if (follow == NULL)
        return;
    for (uint32_t i = 0; follow->lines != NULL && i < follow->line_count; i++)
        net_close(&follow->lines[i]);
    net_close(&follow->requests);
    if (follow->epoll >= 0)
        close(follow->epoll);
    free(follow->lines);
    free(follow->follower);
    free(follow);
}

/* --- use -------------------------------------------------------------------------------------- */

static bool is_server(const struct keel_follow *follow, uint32_t ip)
{
    for (uint32_t i = 0; i < follow->server_count; i++)
        if (follow->server[i].ip == ip)
            return true;
    return false;
}

/* One socket's packets. A reply may come from another port of a server than the one asked. */
static unsigned receive(struct keel_follow *follow, struct net *net, uint32_t source)
{
    struct follower *f = follow->follower;
    unsigned count = net_receive(net);
    uint64_t now_ns = net_now_ns();
    for (unsigned i = 0; i < count; i++) {
        size_t size;
        uint32_t ip;
        uint16_t port;
        const uint8_t *packet = net_datagram(net, i, &size, &ip, &port);
        if (source == FOLLOWER_SERVER && !is_server(follow, ip))
            f->stats.strangers++;
        else
            follower_receive(f, source, packet, size, now_ns);
    }
    return count;
}

static void receive_all(struct keel_follow *follow)
{
    struct follower *f = follow->follower;
    for (unsigned round = 0; round < RECEIVE_ROUNDS && !f->stopped; round++) {
        unsigned count = receive(follow, &follow->requests, FOLLOWER_SERVER);
        for (uint32_t i = 0; i < follow->line_count; i++)
            count += receive(follow, &follow->lines[i], i);
        net_flush(&follow->requests);
        if (count == 0)
            return;
    }
}

int64_t keel_follow_wait_ns(const struct keel_follow *follow)
{
    uint64_t at_ns = follower_deadline(follow->follower), now_ns = net_now_ns();
    if (at_ns == UINT64_MAX)
        return INT64_MAX;
    return at_ns > now_ns ? (int64_t)(at_ns - now_ns) : 0;
}

int keel_follow_fd(const struct keel_follow *follow)
{
    return follow->epoll;
}

static void wait_packet(const struct keel_follow *follow, int64_t timeout_ns)
{
    int64_t due_ns = keel_follow_wait_ns(follow);
    if (timeout_ns < 0 || timeout_ns > due_ns)
        timeout_ns = due_ns;
    struct pollfd fd = {.fd = follow->epoll, .events = POLLIN};
    const struct timespec time = {.tv_sec = timeout_ns / 1000000000,
                                  .tv_nsec = timeout_ns % 1000000000};
    ppoll(&fd, 1, &time, NULL);
}

int keel_follow_poll(struct keel_follow *follow, int64_t timeout_ns)
{
    struct follower *f = follow->follower;
    uint64_t end_ns = net_now_ns() + (uint64_t)(timeout_ns > 0 ? timeout_ns : 0);
    follower_resume(f, net_now_ns());
    for (;;) { /* ends with news, failure, or the time */
        receive_all(follow);
        uint64_t now_ns = net_now_ns();
        follower_tick(f, now_ns);
        net_flush(&follow->requests);
        if (f->delivered > 0 || f->stopped || f->error != 0 || timeout_ns == 0)
            break;
        if (timeout_ns > 0 && now_ns >= end_ns)
            break;
        wait_packet(follow, timeout_ns < 0 ? -1 : (int64_t)(end_ns - now_ns));
    }
    return f->delivered == 0 && f->error != 0 ? f->error : f->delivered;
}

const char *keel_follow_problem(const struct keel_follow *follow)
{
    return follow->follower->problem;
}

void keel_follow_info(const struct keel_follow *follow, struct keel_follow_info *info)
{
    follower_info(follow->follower, info);
}

void keel_follow_stats(const struct keel_follow *follow, struct keel_follow_stats *stats)
{
    *stats = follow->follower->stats;
}
