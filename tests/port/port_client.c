/* A kernel UDP client that judges an echo: every datagram comes back once, with its own bytes.
 *
 * port_client IP PORT PAYLOAD-SIZE IN-FLIGHT COUNT
 *
 * Keeps IN-FLIGHT numbered datagrams under way, prints "name value" lines (lost, doubled, changed,
 * strange, p50_ns, p99_ns, per_s) and exits with 0 only if none was changed, doubled or lost. It
 * polls its socket, giving the core up in between: what is measured is the way, not the wake-up.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    COUNT_MAX = 10000000,
    FLIGHT_MAX = 256,
    RECEIVE_BUFFER = 4 << 20, /* all in flight, however late this process is */
    PAYLOAD_MIN = 16,
    PAYLOAD_MAX = 1472,
    SILENCE_MS = 500, /* then what is in flight is taken for lost, and the next goes out */
    SILENCE_MAX = 6,  /* as many in a row, and nothing comes any more */
    LINGER_MS = 200   /* for doubled answers */
};

struct client {
    int fd;
    uint32_t size, in_flight, count;
    uint32_t sent, back, doubled, changed, strange;
    uint32_t given_up; /* of those that are not back; one that comes late is back all the same */
    uint64_t *sent_ns; /* by number; 0: not sent */
    uint32_t *took_ns; /* by number; 0: not back */
    uint64_t last_ns;  /* of any answer */
};

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* The bytes of a datagram follow from its number, so that a changed one is seen. */
static void fill(uint8_t *data, uint32_t size, uint64_t number)
{
    uint64_t state = number + 1;
    memcpy(data, &number, sizeof(number));
    for (uint32_t i = sizeof(number); i < size; i++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        data[i] = (uint8_t)(state >> 56);
    }
}

static bool send_one(struct client *c)
{
    uint8_t data[PAYLOAD_MAX];
    fill(data, c->size, c->sent);
    c->sent_ns[c->sent] = now_ns();
    if (send(c->fd, data, c->size, 0) != (ssize_t)c->size)
        return false;
    c->sent++;
    return true;
}

/* False: nothing to receive. */
static bool receive_one(struct client *c)
{
    uint8_t data[2048], wanted[PAYLOAD_MAX];
    ssize_t size = recv(c->fd, data, sizeof(data), MSG_DONTWAIT);
    if (size < 0)
        return false;
    uint64_t number, t = now_ns();
    c->last_ns = t;
    if ((uint32_t)size != c->size) {
        c->strange++;
        return true;
    }
    memcpy(&number, data, sizeof(number));
    if (number >= c->sent) {
        c->strange++;
        return true;
    }
    fill(wanted, c->size, number);
    if (memcmp(data, wanted, c->size) != 0)
        c->changed++;
    if (c->took_ns[number] != 0) {
        c->doubled++;
        return true;
    }
    c->took_ns[number] = (uint32_t)(t - c->sent_ns[number]);
    c->back++;
    return true;
}

static int by_size(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

/* A process that gets no turn for half a second has lost nothing: only who stays silent for
 * SILENCE_MAX times that long, with everything sent, keeps what is missing. */
static void run(struct client *c)
{
    uint32_t silence = 0;
    c->last_ns = now_ns();
    while (c->back < c->count && silence < SILENCE_MAX) {
        if (c->given_up > c->sent - c->back)
            c->given_up = c->sent - c->back;
        while (c->sent < c->count && c->sent - c->back - c->given_up < c->in_flight)
            if (!send_one(c))
                break;
        bool any = false;
        while (receive_one(c))
            any = true;
        if (any)
            silence = 0;
        if (!any && now_ns() - c->last_ns > SILENCE_MS * 1000000ull) {
            c->given_up = c->sent - c->back;
            silence++;
            c->last_ns = now_ns();
        }
        if (!any)
            sched_yield();
    }
}

static int report(struct client *c, double seconds)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < c->count; i++)
        if (c->took_ns[i] != 0)
            c->took_ns[n++] = c->took_ns[i];
    qsort(c->took_ns, n, sizeof(*c->took_ns), by_size);
    printf("sent %u\nback %u\nlost %u\ndoubled %u\nchanged %u\nstrange %u\n", c->sent, c->back,
           c->sent - c->back, c->doubled, c->changed, c->strange);
    if (n > 0)
        printf("p50_ns %u\np99_ns %u\nmax_ns %u\nper_s %.0f\n", c->took_ns[n / 2],
               c->took_ns[(uint64_t)n * 99 / 100], c->took_ns[n - 1], n / seconds);
    return c->back == c->count && c->doubled + c->changed + c->strange == 0 ? 0 : 1;
}

int main(int argc, char **argv)
{
    struct client c = {0};
    struct sockaddr_in to = {.sin_family = AF_INET};
    if (argc != 6 || inet_pton(AF_INET, argv[1], &to.sin_addr) != 1) {
        fprintf(stderr, "usage: port_client IP PORT PAYLOAD-SIZE IN-FLIGHT COUNT\n");
        return 2;
    }
    to.sin_port = htons((uint16_t)strtoul(argv[2], NULL, 10));
    c.size = (uint32_t)strtoul(argv[3], NULL, 10);
    c.in_flight = (uint32_t)strtoul(argv[4], NULL, 10);
    c.count = (uint32_t)strtoul(argv[5], NULL, 10);
    if (c.size < PAYLOAD_MIN || c.size > PAYLOAD_MAX || c.in_flight < 1 ||
        c.in_flight > FLIGHT_MAX || c.count < 1 || c.count > COUNT_MAX) {
        fprintf(stderr, "port_client: size, in-flight or count out of range\n");
        return 2;
    }
    c.sent_ns = calloc(c.count, sizeof(*c.sent_ns));
    c.took_ns = calloc(c.count, sizeof(*c.took_ns));
    c.fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (c.sent_ns == NULL || c.took_ns == NULL || c.fd < 0 ||
        connect(c.fd, (struct sockaddr *)&to, sizeof(to)) != 0) {
        fprintf(stderr, "port_client: %s\n", strerror(errno));
        return 1;
    }
    int buffer = RECEIVE_BUFFER;
    setsockopt(c.fd, SOL_SOCKET, SO_RCVBUFFORCE, &buffer, sizeof(buffer));
    uint64_t began_ns = now_ns();
    run(&c);
    double seconds = (double)(now_ns() - began_ns) / 1e9;
    for (uint64_t until = now_ns() + LINGER_MS * 1000000ull; now_ns() < until;)
        if (!receive_one(&c))
            sched_yield();
    int status = report(&c, seconds);
    close(c.fd);
    free(c.sent_ns);
    free(c.took_ns);
    return status;
}
