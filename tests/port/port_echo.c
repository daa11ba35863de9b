/* A host over a real port: answers ARP and ICMP echo, and sends every UDP datagram back whence it
 * came.
 *
 * port_echo EAL-DEVICE IP/PREFIX PORT spin|yield|sleep [SECONDS]
 *
 * Prints "ready" once it polls, and at its end one line "name value" for each counter. One thread.
 */
#include "consensus/ensure.h"
#include "dataplane/eal.h"
#include "dataplane/frame.h"
#include "dataplane/port_dpdk.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    IDLE_TURNS_BEFORE_SLEEP = 1000,
    SLEEP_NS = 50000,
    SECONDS_MAX = 3600,
    CLOCK_EVERY = 64 /* idle turns for each look at the clock */
};

enum idle { IDLE_SPIN, IDLE_YIELD, IDLE_SLEEP };

struct echo {
    struct port *port;
    struct frame_host *host;
    enum idle idle;
    uint64_t now_ms;
    uint64_t useful, useless;
};

static volatile sig_atomic_t stopped;

static void stop(int number)
{
    (void)number;
    stopped = 1;
}

_Noreturn void ensure_failed(const char *file, int line, const char *condition)
{
    fprintf(stderr, "%s:%d: ENSURE failed: %s\n", file, line, condition);
    abort();
}

static void say(void *context, const char *line)
{
    (void)context;
    fprintf(stderr, "port_echo: %s\n", line);
}

static uint64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_BOOTTIME, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* True: the frame is to be sent. */
static bool deal_with(struct echo *echo, struct port_frame *frame)
{
    struct frame_datagram datagram;
    bool reply;
    enum frame_drop drop = frame_receive(echo->host, frame, echo->now_ms, &datagram, &reply);
    if (drop == FRAME_TAKEN)
        return reply;
    if (drop != FRAME_OK)
        return false;
    struct frame_address to = datagram.from;
    uint16_t port = datagram.to_port;
    uint32_t size = datagram.size;
    memmove(frame->data + FRAME_HEADS_SIZE, datagram.payload, size); /* if there were options */
    return frame_finish(echo->host, frame, &to, port, size, echo->now_ms) == FRAME_OK;
}

static uint32_t turn(struct echo *echo)
{
    struct port_frame in[PORT_BURST_MAX], out[PORT_BURST_MAX];
    uint32_t out_count = 0;
    uint32_t count = port_receive(echo->port, 0, in, PORT_BURST_MAX);
    if (count > 0 || echo->useless % CLOCK_EVERY == 0)
        echo->now_ms = now_ms();
    for (uint32_t i = 0; i < count; i++) {
        if (deal_with(echo, &in[i]))
            out[out_count++] = in[i];
        else
            port_free(echo->port, &in[i], 1);
    }
    if (out_count > 0)
        port_send(echo->port, 0, out, out_count);
    struct port_frame frame;
    if (frame_arp_pending(echo->host, echo->now_ms) && port_alloc(echo->port, 0, &frame)) {
        if (frame_arp_due(echo->host, &frame, echo->now_ms))
            port_send(echo->port, 0, &frame, 1);
        else
            port_free(echo->port, &frame, 1);
    }
    return count;
}

static void poll_port(struct echo *echo)
{
    uint32_t idle_turns = 0;
    while (!stopped) { /* bounded by alarm() in main() */
        if (turn(echo) > 0) {
            echo->useful++;
            idle_turns = 0;
            continue;
        }
        echo->useless++;
        idle_turns++;
        if (echo->idle == IDLE_YIELD)
            sched_yield();
        else if (echo->idle == IDLE_SLEEP && idle_turns > IDLE_TURNS_BEFORE_SLEEP)
            nanosleep(&(struct timespec){.tv_nsec = SLEEP_NS}, NULL);
    }
}

static void print_counters(const struct echo *echo)
{
    struct port_stats stats;
    port_stats(echo->port, &stats);
    printf("rx_frames %" PRIu64 "\ntx_frames %" PRIu64 "\n", stats.rx_frames, stats.tx_frames);
    printf("rx_missed %" PRIu64 "\nrx_no_buffer %" PRIu64 "\n", stats.rx_missed,
           stats.rx_no_buffer);
    printf("tx_dropped %" PRIu64 "\nalloc_failed %" PRIu64 "\n", stats.tx_dropped,
           stats.alloc_failed);
    printf("turns_useful %" PRIu64 "\nturns_idle %" PRIu64 "\n", echo->useful, echo->useless);
    for (int drop = 0; drop < FRAME_DROP_COUNT; drop++)
        printf("%s %" PRIu64 "\n", frame_drop_name((enum frame_drop)drop),
               frame_drops(echo->host)[drop]);
}

static bool parse(char **argv, struct frame_options *frame, enum idle *idle)
{
    static const char *const idles[] = {"spin", "yield", "sleep"};
    char address[64];
    struct in_addr ip;
    unsigned prefix, port;
    bool found = false;
    for (int i = 0; i < 3; i++) {
        if (strcmp(argv[4], idles[i]) != 0)
            continue;
        *idle = (enum idle)i;
        found = true;
    }
    if (!found || sscanf(argv[2], "%63[0-9.]/%u", address, &prefix) != 2 || prefix > 32 ||
        inet_pton(AF_INET, address, &ip) != 1 || sscanf(argv[3], "%u", &port) != 1 || port > 65535)
        return false;
    frame->ip = ntohl(ip.s_addr);
    frame->prefix = prefix;
    frame->ports[0] = (uint16_t)port;
    return true;
}

static int open_port(const char *device, struct port **port, char *why, size_t why_size)
{
    struct port_dpdk_options options = {.device = device, .say = say, .link_wait_ms = 1000};
    uint32_t buffers;
    uint64_t bytes;
    port_pool_plan(&options, &buffers, &bytes);
    struct eal_facts facts;
    char prefix[32];
    snprintf(prefix, sizeof(prefix), "port_echo_%d", (int)getpid());
    struct eal_options eal = {.memory_mb = (uint32_t)(bytes >> 20) + PORT_EAL_OVERHEAD_MB,
                              .prefix = prefix,
                              .devices = &device,
                              .device_count = 1,
                              .say = say};
    int error = eal_init(&eal, &facts, why, why_size);
    return error != 0 ? error : port_open_dpdk(port, &options, why, why_size);
}

int main(int argc, char **argv)
{
    struct echo echo = {0};
    struct frame_options frame = {0};
    if (argc < 5 || argc > 6 || !parse(argv, &frame, &echo.idle)) {
        fprintf(stderr, "usage: port_echo DEVICE IP/PREFIX PORT spin|yield|sleep [SECONDS]\n");
        return 2;
    }
    long seconds = argc == 6 ? strtol(argv[5], NULL, 10) : SECONDS_MAX;
    struct sigaction action = {.sa_handler = stop};
    sigaction(SIGALRM, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    alarm((unsigned)(seconds > 0 && seconds < SECONDS_MAX ? seconds : SECONDS_MAX));

    char why[EAL_LOG_SIZE + 1024];
    if (open_port(argv[1], &echo.port, why, sizeof(why)) != 0) {
        fprintf(stderr, "port_echo: %s\n", why);
        return 1;
    }
    struct port_facts facts;
    port_facts(echo.port, &facts);
    memcpy(frame.mac, facts.mac, 6);
    frame.tx_checksum = facts.tx_checksum;
    void *memory = aligned_alloc(64, (frame_host_size() + 63) / 64 * 64);
    if (memory == NULL)
        return 1;
    echo.host = frame_host_init(memory, &frame);
    printf("ready\n");
    fflush(stdout);
    poll_port(&echo);
    print_counters(&echo);
    port_close(echo.port);
    eal_cleanup();
    free(memory);
    return 0;
}
