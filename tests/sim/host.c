#include "tests/sim/host.h"

#include <stdlib.h>

static void transmit(struct sim_host *host, struct port_frame *frame)
{
    if (frame->size > 0 && host->world->now_ns >= host->mute_until_ns)
        net_send(host->world, host->endpoint, frame->data, frame->size);
}

uint64_t host_now_ns(const struct sim_host *host)
{
    return clock_now_ns(host->clock);
}

void host_arp(struct sim_host *host)
{
    uint8_t buffer[2048];
    struct port_frame frame = {.data = buffer};
    uint64_t now_ms = host_now_ns(host) / 1000000;
    while (frame_arp_pending(host->frames, now_ms) &&
           frame_arp_due(host->frames, &frame, now_ms)) /* at most one for each member */
        transmit(host, &frame);
}

static void send_packet(void *context, uint32_t ip, uint16_t port, const void *packet, size_t size)
{
    struct sim_host *host = context;
    uint8_t buffer[2048];
    struct port_frame frame = {.data = buffer};
    memcpy(buffer + FRAME_HEADS_SIZE, packet, size);
    struct frame_address to = {.ip = ip, .port = port};
    if (frame_finish(host->frames, &frame, &to, HOST_PORT, (uint32_t)size,
                     host_now_ns(host) / 1000000) == FRAME_OK)
        transmit(host, &frame);
    host_arp(host);
}

void host_ask(struct sim_host *host, const struct frame_address *to, uint8_t buffer[2048],
              uint32_t size)
{
    struct port_frame frame = {.data = buffer};
    if (frame_finish(host->frames, &frame, to, HOST_FEED_PORT, size, host_now_ns(host) / 1000000) ==
        FRAME_OK)
        transmit(host, &frame);
}

static void random_bytes(void *context, void *bytes, size_t size)
{
    struct sim_host *host = context;
    clock_secret(host->clock, bytes, size);
}

void host_init(struct sim_host *host, struct world *world, uint32_t endpoint, int64_t rate_ppm)
{
    host->world = world;
    host->endpoint = endpoint;
    host->mute_until_ns = 0;
    host->principal = KEEL_CLIENT_MIN + endpoint - ENDPOINT_GUEST;
    host->clock = sim_clock_open(world, rate_ppm, 0);
    host->frames = aligned_alloc(64, (frame_host_size() + 63) & ~(size_t)63);
    host->engine = aligned_alloc(64, (engine_size(world->knobs.nodes) + 63) & ~(size_t)63);
    host->keys = sim_keys(world, host->principal);
    ENSURE(host->frames != NULL && host->engine != NULL);
}

void host_free(struct sim_host *host)
{
    clock_close(host->clock);
    free(host->keys);
    free(host->frames);
    free(host->engine);
}

void host_live(struct sim_host *host, const struct engine_options *wish)
{
    struct world *world = host->world;
    struct engine_options options = *wish;
    options.principal = host->principal;
    options.keys = host->keys;
    options.process = random_next(&world->rng_start) | 1;
    options.random = random_bytes;
    options.send = send_packet;
    options.context = host;
    for (uint32_t id = 1; id <= world->knobs.nodes; id++)
        options.member[options.member_count++] =
            (struct engine_address){.id = id, .ip = 0x0a000000u + id, .port = 7400};
    memset(host->frames, 0, frame_host_size());
    struct frame_options frame = {.ip = 0x0a000064u + host->endpoint - ENDPOINT_GUEST,
                                  .prefix = 24,
                                  .mac = {2, 0, 0, 0, 0, (uint8_t)host->endpoint},
                                  .ports = {HOST_PORT, HOST_FEED_PORT}};
    host->frames = frame_host_init(host->frames, &frame);
    uint64_t now = host_now_ns(host);
    memset(host->engine, 0, engine_size(options.member_count));
    struct engine *engine = engine_init(host->engine, &options, now);
    ENSURE(engine == host->engine);
}

bool host_frame(struct sim_host *host, uint8_t *bytes, uint32_t size)
{
    struct port_frame frame = {.data = bytes, .size = size};
    struct frame_datagram dg;
    bool reply = false;
    uint64_t now = host_now_ns(host);
    enum frame_drop verdict = frame_receive(host->frames, &frame, now / 1000000, &dg, &reply);
    if (reply)
        transmit(host, &frame);
    if (verdict != FRAME_OK || dg.to_port != HOST_PORT)
        return false;
    engine_receive(host->engine, dg.from.ip, dg.from.port, dg.payload, dg.size, now);
    return true;
}
