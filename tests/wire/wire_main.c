/* keel-wire: joins network interfaces as a switch whose links can be made bad while it runs.
 *
 *     ip netns exec NS keel-wire --seed S 1=p1 2=p2 9=p9
 *
 * Each interface is one end of a veth pair in a namespace of its own; the frames that come in there
 * are taken by an AF_PACKET socket and leave through another, never by way of the kernel's stack.
 * Lines of wire_command.c come on stdin, each answered by one line on stdout, and one word more,
 * "missed": frames that the kernel could not keep until this process took them. The first line out
 * is "ready". It ends with stdin, by SIGTERM, or by itself when an interface is gone, and then says
 * on stderr what passed.
 */
#include "tests/wire/wire.h"

#include "consensus/ensure.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    BURST = 64, /* frames taken from one port, and sent, before the others have their turn */
    BUFFER_BYTES = 1 << 25,
    ANSWER_BYTES = 1 << 16,
    LINE_BYTES = 512
};

struct shell {
    struct wire *wire;
    uint32_t count;
    uint32_t port[WIRE_PORTS_MAX]; /* number of the i-th interface */
    int fd[WIRE_PORTS_MAX];        /* by the same i */
    int fd_of[WIRE_PORTS_MAX];     /* by port number */
    uint64_t missed;               /* frames that the kernel had no room to keep for this process */
    size_t line_size;
    char line[LINE_BYTES];
    bool ending;
    bool gone; /* an interface is down or was deleted */
};

static volatile sig_atomic_t signalled;

_Noreturn void ensure_failed(const char *file, int line, const char *condition)
{
    fprintf(stderr, "keel-wire: %s:%d: %s does not hold\n", file, line, condition);
    abort();
}

static void note_signal(int number)
{
    signalled = number;
}

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static int fail(const char *what, const char *why)
{
    fprintf(stderr, "keel-wire: %s: %s\n", what, why);
    return -1;
}

static int open_port(const char *interface)
{
    int fd = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct sockaddr_ll address = {.sll_family = AF_PACKET,
                                  .sll_protocol = htons(ETH_P_ALL),
                                  .sll_ifindex = (int)if_nametoindex(interface)};
    struct packet_mreq every = {.mr_ifindex = address.sll_ifindex, .mr_type = PACKET_MR_PROMISC};
    int bytes = BUFFER_BYTES, one = 1;
    if (fd < 0)
        return fail("AF_PACKET", strerror(errno));
    if (address.sll_ifindex == 0)
        return fail(interface, "no such interface in this namespace");
    /* Own frames would come back at once otherwise. They are not sent past the kernel's taps
     * (PACKET_QDISC_BYPASS): captures are to see them. */
    if (setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &one, sizeof(one)) != 0 ||
        setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes)) != 0 ||
        setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof(bytes)) != 0 ||
        setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &every, sizeof(every)) != 0 ||
        bind(fd, (const struct sockaddr *)&address, sizeof(address)) != 0)
        return fail(interface, strerror(errno));
    return fd;
}

static bool open_ports(struct shell *shell, char **words)
{
    uint32_t ports = 0;
    for (; *words != NULL; words++) {
        char *interface;
        unsigned long port = strtoul(*words, &interface, 10);
        if (port == 0 || port >= WIRE_PORTS_MAX || *interface != '=' || (ports >> port & 1) != 0) {
            fail(*words, "a port is NUMBER=INTERFACE, each number from 1 to 15 once");
            return false;
        }
        int fd = open_port(interface + 1);
        if (fd < 0)
            return false;
        shell->port[shell->count] = (uint32_t)port;
        shell->fd[shell->count++] = fd;
        shell->fd_of[port] = fd;
        ports |= 1u << port;
    }
    return shell->count >= 2 || fail("ports", "two at least") == 0;
}

/* --- frames ------------------------------------------------------------------------------------
 */

static void take_in(struct shell *shell, uint32_t i)
{
    uint8_t frame[WIRE_FRAME_MAX + 1];
    for (int n = 0; n < BURST; n++) {
        ssize_t size = recv(shell->fd[i], frame, sizeof(frame), MSG_TRUNC);
        if (size < 0) {
            shell->gone |= errno == ENETDOWN || errno == ENODEV || errno == ENXIO;
            return;
        }
        wire_frame(shell->wire, shell->port[i], frame, (uint32_t)size, now_ns());
    }
}

static void send_due(struct shell *shell)
{
    struct wire_out out;
    for (uint32_t n = 0; n < BURST * shell->count && wire_take(shell->wire, now_ns(), &out); n++) {
        ssize_t sent = send(shell->fd_of[out.to], out.bytes, out.size, 0);
        if (sent != (ssize_t)out.size)
            wire_refused(shell->wire, &out);
    }
}

static void note_missed(struct shell *shell)
{
    for (uint32_t i = 0; i < shell->count; i++) {
        struct tpacket_stats stats; /* since the last time */
        socklen_t size = sizeof(stats);
        if (getsockopt(shell->fd[i], SOL_PACKET, PACKET_STATISTICS, &stats, &size) == 0)
            shell->missed += stats.tp_drops;
    }
}

/* --- lines -------------------------------------------------------------------------------------
 */

static void answer_line(struct shell *shell, const char *line)
{
    static char answer[ANSWER_BYTES];
    if (strcmp(line, "missed") == 0) {
        note_missed(shell);
        snprintf(answer, sizeof(answer), "%" PRIu64, shell->missed);
    } else {
        wire_command(shell->wire, line, now_ns(), answer, sizeof(answer));
    }
    printf("%s\n", answer);
    fflush(stdout);
}

static void read_lines(struct shell *shell)
{
    ssize_t size =
        read(STDIN_FILENO, shell->line + shell->line_size, sizeof(shell->line) - shell->line_size);
    if (size <= 0) {
        shell->ending = size == 0 || (errno != EINTR && errno != EAGAIN);
        return;
    }
    shell->line_size += (size_t)size;
    char *end;
    while ((end = memchr(shell->line, '\n', shell->line_size)) != NULL) {
        *end = '\0';
        answer_line(shell, shell->line);
        size_t used = (size_t)(end - shell->line) + 1;
        memmove(shell->line, shell->line + used, shell->line_size - used);
        shell->line_size -= used;
    }
    if (shell->line_size == sizeof(shell->line)) {
        fail("stdin", "a line without an end");
        shell->ending = true;
    }
}

/* --- the loop ----------------------------------------------------------------------------------
 */

static void turn(struct shell *shell)
{
    struct pollfd fds[WIRE_PORTS_MAX + 1];
    fds[0] = (struct pollfd){.fd = STDIN_FILENO, .events = POLLIN};
    for (uint32_t i = 0; i < shell->count; i++)
        fds[i + 1] = (struct pollfd){.fd = shell->fd[i], .events = POLLIN};
    uint64_t next = wire_next_ns(shell->wire), now = now_ns();
    uint64_t left = next <= now ? 0 : next - now;
    struct timespec wait = {.tv_sec = (time_t)(left / 1000000000u),
                            .tv_nsec = (long)(left % 1000000000u)};
    int ready = ppoll(fds, shell->count + 1, next == UINT64_MAX ? NULL : &wait, NULL);
    for (uint32_t i = 0; ready > 0 && i < shell->count; i++)
        if (fds[i + 1].revents != 0)
            take_in(shell, i);
    send_due(shell);
    if (ready > 0 && fds[0].revents != 0)
        read_lines(shell);
}

static void report(struct shell *shell)
{
    char answer[1024];
    note_missed(shell);
    wire_command(shell->wire, "counts", now_ns(), answer, sizeof(answer));
    fprintf(stderr, "keel-wire: %s, missed %" PRIu64 "\n", answer, shell->missed);
}

static int usage(void)
{
    fprintf(stderr,
            "usage: keel-wire --seed NUMBER PORT=INTERFACE PORT=INTERFACE...\n"
            "Joins interfaces of this network namespace as a switch; commands come on stdin, as\n"
            "tests/wire/wire_command.c lists them.\n");
    return 2;
}

int main(int argc, char **argv)
{
    struct shell shell = {0};
    if (argc < 5 || strcmp(argv[1], "--seed") != 0)
        return usage();
    char *end;
    uint64_t seed = strtoull(argv[2], &end, 10);
    if (*end != '\0' || end == argv[2])
        return usage();
    if (!open_ports(&shell, argv + 3))
        return 1;
    uint32_t ports = 0;
    for (uint32_t i = 0; i < shell.count; i++)
        ports |= 1u << shell.port[i];
    shell.wire = wire_open(seed, ports);
    if (shell.wire == NULL)
        return fail("wire", "no memory"), 1;
    struct sigaction action = {.sa_handler = note_signal};
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    prctl(PR_SET_TIMERSLACK, 1ul); /* else every delay is 50 us longer */
    printf("ready\n");
    fflush(stdout);
    while (!shell.ending && !shell.gone && signalled == 0)
        turn(&shell);
    report(&shell);
    wire_close(shell.wire);
    return shell.gone ? fail("a port", "its interface is gone"), 1 : 0;
}
