/* A client's host on the simulated switch: its clock, its frames, and libkeel's session engine. */
#ifndef KEEL_SIM_HOST_H
#define KEEL_SIM_HOST_H

#include "client/engine.h"
#include "tests/sim/world.h"

enum { HOST_PORT = 7600, HOST_FEED_PORT = 7501 };

struct sim_host {
    struct world *world;
    uint32_t endpoint, principal;
    struct frame_host *frames;
    struct clock *clock;
    struct engine *engine;
    struct keyring *keys;
    uint64_t mute_until_ns; /* what it sends is lost so long, world's time */
};

/* At an endpoint from ENDPOINT_GUEST on, with a clock that goes so much too fast. */
void host_init(struct sim_host *host, struct world *world, uint32_t endpoint, int64_t rate_ppm);
void host_free(struct sim_host *host);
/* A new process: another engine under `wish` (members, keys and calls are filled in). */
void host_live(struct sim_host *host, const struct engine_options *wish);
uint64_t host_now_ns(const struct sim_host *host);
/* A datagram from the feed's port. */
void host_ask(struct sim_host *host, const struct frame_address *to, uint8_t buffer[2048],
              uint32_t size);
/* A frame came; true if the engine took it. */
bool host_frame(struct sim_host *host, uint8_t *bytes, uint32_t size);
void host_arp(struct sim_host *host);

#endif
