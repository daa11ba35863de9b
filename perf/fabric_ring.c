/* Each replica has one end of a DPDK net_ring pair, the switch the other. What a frame costs at the
 * switch is the bench's, what it costs at the replica's end is the product's. */
#include "perf/fabric.h"

#include "consensus/ensure.h"
#include "dataplane/eal.h"
#include "dataplane/port_dpdk.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct fabric {
    uint32_t count;
    fabric_sink_fn *sink;
    void *context;
    struct {
        struct port *replica, *here;
        uint8_t mac[6];
    } link[FABRIC_PORTS_MAX + 1];
    uint64_t lost;
};

static bool open_links(struct fabric *f, char *why)
{
    const struct port_dpdk_options options = {.rx_descriptors = FABRIC_QUEUE,
                                              .tx_descriptors = FABRIC_QUEUE,
                                              .in_flight = 2 * FABRIC_QUEUE};
    for (uint32_t id = 1; id <= f->count; id++) {
        char name[16];
        struct port_facts facts;
        snprintf(name, sizeof(name), "bench%u", id);
        if (port_open_ring_pair(&f->link[id].replica, &f->link[id].here, name, &options, why,
                                FABRIC_WHY) != 0)
            return false;
        port_facts(f->link[id].replica, &facts);
        memcpy(f->link[id].mac, facts.mac, 6);
    }
    return true;
}

struct fabric *fabric_open(uint32_t count, fabric_sink_fn *sink, void *context, char *why)
{
    struct fabric *f = calloc(1, sizeof(*f));
    const struct port_dpdk_options plan = {.rx_descriptors = FABRIC_QUEUE,
                                           .tx_descriptors = FABRIC_QUEUE,
                                           .in_flight = 2 * FABRIC_QUEUE};
    uint32_t buffers;
    uint64_t bytes;
    char prefix[32];
    ENSURE(f != NULL && count <= FABRIC_PORTS_MAX);
    snprintf(prefix, sizeof(prefix), "keelbench%d", (int)getpid());
    port_pool_plan(&plan, &buffers, &bytes);
    const struct eal_options eal = {.memory_mb = (uint32_t)(2 * count * (bytes >> 20)) +
                                                 4 * PORT_EAL_OVERHEAD_MB,
                                    .pages = EAL_PAGES_AUTO,
                                    .prefix = prefix};
    struct eal_facts facts;
    f->count = count;
    f->sink = sink;
    f->context = context;
    if (eal_init(&eal, &facts, why, FABRIC_WHY) == 0 && open_links(f, why))
        return f;
    fabric_close(f);
    return NULL;
}

void fabric_close(struct fabric *f)
{
    for (uint32_t id = 1; id <= f->count; id++) {
        port_close(f->link[id].replica);
        port_close(f->link[id].here);
    }
    free(f);
}

struct port *fabric_port(struct fabric *f, uint32_t id)
{
    ENSURE(id >= 1 && id <= f->count);
    return f->link[id].replica;
}

uint64_t fabric_lost(const struct fabric *f)
{
    uint64_t lost = f->lost;
    for (uint32_t id = 1; id <= f->count; id++) {
        struct port_stats stats;
        port_stats(f->link[id].replica, &stats);
        lost += stats.tx_dropped + stats.alloc_failed;
    }
    return lost;
}

static void copy_to(struct fabric *f, uint32_t id, const uint8_t *bytes, uint32_t size)
{
    struct port_frame frame;
    if (!port_alloc(f->link[id].here, 0, &frame)) {
        f->lost++;
        return;
    }
    memcpy(frame.data, bytes, size);
    frame.size = size;
    frame.flags = 0;
    f->lost += 1 - port_send(f->link[id].here, 0, &frame, 1);
}

void fabric_inject(struct fabric *f, const uint8_t *frame, uint32_t size)
{
    for (uint32_t id = 1; id <= f->count; id++)
        if ((frame[0] & 1) != 0 || memcmp(frame, f->link[id].mac, 6) == 0)
            copy_to(f, id, frame, size);
}

static void route(struct fabric *f, uint32_t from, const struct port_frame *frame)
{
    bool broadcast = (frame->data[0] & 1) != 0, taken = false;
    for (uint32_t id = 1; id <= f->count; id++) {
        if (id == from || !(broadcast || memcmp(frame->data, f->link[id].mac, 6) == 0))
            continue;
        copy_to(f, id, frame->data, frame->size);
        taken = true;
    }
    if (broadcast || !taken)
        f->sink(f->context, frame->data, frame->size);
}

uint32_t fabric_turn(struct fabric *f)
{
    uint32_t moved = 0;
    for (uint32_t id = 1; id <= f->count; id++) {
        struct port_frame frames[PORT_BURST_MAX];
        uint32_t count;
        while ((count = port_receive(f->link[id].here, 0, frames, PORT_BURST_MAX)) > 0) {
            for (uint32_t i = 0; i < count; i++)
                route(f, id, &frames[i]);
            port_free(f->link[id].here, frames, count);
            moved += count;
        }
    }
    return moved;
}
