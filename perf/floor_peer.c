/* keel-floor-peer DEVICE IP/PREFIX TO-IP PORT SIZE COUNT: round trips between two polled ports.
 *
 * Sends a datagram through a DPDK port, as a leader would, and waits for its echo (port_echo at the
 * other end); one at a time, the core given up between polls. Prints one JSON object.
 */
#include "consensus/ensure.h"
#include "dataplane/eal.h"
#include "dataplane/frame.h"
#include "dataplane/port_dpdk.h"

#include <arpa/inet.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    COUNT_MAX = 1000000,
    WARM = 200,
    LOST_NS = 100000000,
    LOST_MAX = 100, /* then the echo is not there */
    FROM_PORT = 7400
};

struct peer {
    struct port *port;
    struct frame_host *host;
    struct frame_address to;
    uint32_t size, count, lost;
    uint64_t *took_ns;
};

_Noreturn void ensure_failed(const char *file, int line, const char *condition)
{
    fprintf(stderr, "keel-floor-peer: %s:%d: ENSURE failed: %s\n", file, line, condition);
    abort();
}

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static void send_arp(struct peer *p, uint64_t now_ms)
{
    struct port_frame frame;
    if (!frame_arp_pending(p->host, now_ms) || !port_alloc(p->port, 0, &frame))
        return;
    if (frame_arp_due(p->host, &frame, now_ms))
        port_send(p->port, 0, &frame, 1);
    else
        port_free(p->port, &frame, 1);
}

/* True once the echo of `number` has come. */
static bool receive(struct peer *p, uint32_t number, uint64_t now_ms)
{
    struct port_frame frames[PORT_BURST_MAX];
    bool found = false;
    uint32_t count = port_receive(p->port, 0, frames, PORT_BURST_MAX);
    for (uint32_t i = 0; i < count; i++) {
        struct frame_datagram dg;
        bool reply = false;
        uint32_t got;
        if (frame_receive(p->host, &frames[i], now_ms, &dg, &reply) == FRAME_OK &&
            dg.size == p->size) {
            memcpy(&got, dg.payload, sizeof(got));
            found = found || got == number;
        }
        if (reply)
            port_send(p->port, 0, &frames[i], 1);
        else
            port_free(p->port, &frames[i], 1);
    }
    return found;
}

static bool one(struct peer *p, uint32_t number)
{
    uint64_t began = now_ns(), now = began;
    struct port_frame frame;
    if (port_alloc(p->port, 0, &frame)) {
        memset(frame.data + FRAME_HEADS_SIZE, 0, p->size);
        memcpy(frame.data + FRAME_HEADS_SIZE, &number, sizeof(number));
        if (frame_finish(p->host, &frame, &p->to, FROM_PORT, p->size, now / 1000000) == FRAME_OK)
            port_send(p->port, 0, &frame, 1);
        else
            port_free(p->port, &frame, 1);
    }
    while (now - began < LOST_NS) { /* bound: time */
        send_arp(p, now / 1000000);
        bool back = receive(p, number, now / 1000000);
        now = now_ns();
        if (back) {
            if (number >= WARM)
                p->took_ns[number - WARM] = now - began;
            return true;
        }
        sched_yield();
    }
    p->lost++;
    return false;
}

static int open_port(struct peer *p, const char *device, char *why, size_t why_size)
{
    struct port_dpdk_options options = {.device = device, .link_wait_ms = 1000};
    uint32_t buffers;
    uint64_t bytes;
    char prefix[32];
    port_pool_plan(&options, &buffers, &bytes);
    snprintf(prefix, sizeof(prefix), "keelfloor%d", (int)getpid());
    struct eal_facts facts;
    struct eal_options eal = {.memory_mb = (uint32_t)(bytes >> 20) + PORT_EAL_OVERHEAD_MB,
                              .prefix = prefix,
                              .devices = &device,
                              .device_count = 1};
    int error = eal_init(&eal, &facts, why, why_size);
    return error != 0 ? error : port_open_dpdk(&p->port, &options, why, why_size);
}

static bool parse(struct peer *p, char **argv, struct frame_options *frame)
{
    char address[64];
    struct in_addr ip, to;
    unsigned prefix;
    if (sscanf(argv[2], "%63[0-9.]/%u", address, &prefix) != 2 || prefix > 32 ||
        inet_pton(AF_INET, address, &ip) != 1 || inet_pton(AF_INET, argv[3], &to) != 1)
        return false;
    frame->ip = ntohl(ip.s_addr);
    frame->prefix = prefix;
    frame->ports[0] = FROM_PORT;
    p->to = (struct frame_address){.ip = ntohl(to.s_addr),
                                   .port = (uint16_t)strtoul(argv[4], NULL, 10)};
    p->size = (uint32_t)strtoul(argv[5], NULL, 10);
    p->count = (uint32_t)strtoul(argv[6], NULL, 10);
    return p->size >= 4 && p->size <= FRAME_PAYLOAD_MAX && p->count >= 1 && p->count <= COUNT_MAX;
}

static int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
    struct peer p = {0};
    struct frame_options frame = {0};
    char why[EAL_LOG_SIZE + 1024];
    if (argc != 7 || !parse(&p, argv, &frame)) {
        fprintf(stderr, "usage: keel-floor-peer DEVICE IP/PREFIX TO-IP PORT SIZE COUNT\n");
        return 2;
    }
    if (open_port(&p, argv[1], why, sizeof(why)) != 0) {
        fprintf(stderr, "keel-floor-peer: %s\n", why);
        return 1;
    }
    struct port_facts facts;
    port_facts(p.port, &facts);
    memcpy(frame.mac, facts.mac, 6);
    frame.tx_checksum = facts.tx_checksum;
    void *memory = aligned_alloc(64, (frame_host_size() + 63) / 64 * 64);
    p.took_ns = calloc(p.count, sizeof(p.took_ns[0]));
    if (memory == NULL || p.took_ns == NULL)
        return 1;
    p.host = frame_host_init(memory, &frame);
    uint32_t number = 0;
    while (number < WARM + p.count && p.lost < LOST_MAX)
        number += one(&p, number) ? 1 : 0;
    int status = number == WARM + p.count ? 0 : 1;
    if (status == 0) {
        qsort(p.took_ns, p.count, sizeof(p.took_ns[0]), by_value);
        printf("{\"p50_ns\": %lu, \"p99_ns\": %lu, \"lost\": %u}\n",
               (unsigned long)p.took_ns[p.count / 2],
               (unsigned long)p.took_ns[(uint64_t)p.count * 99 / 100], p.lost);
    } else {
        fprintf(stderr, "keel-floor-peer: no echo comes back from %s\n", argv[3]);
    }
    port_close(p.port);
    eal_cleanup();
    free(memory);
    free(p.took_ns);
    return status;
}
