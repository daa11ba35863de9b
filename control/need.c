#include "control/need.h"

#include "dataplane/port_dpdk.h"

uint32_t need_feed_queue(const struct config *config)
{
    struct config_thread threads[4];
    uint32_t count = config_threads(config, threads);
    for (uint32_t i = 1; i < count; i++)
        if (threads[i].roles & ROLE_FEED)
            return 1;
    return 0;
}

void need_port(const struct config *config, struct port_dpdk_options *options)
{
    options->device = config->device;
    options->rx_queues = 1;
    options->tx_queues = need_feed_queue(config) + 1;
    options->in_flight = NEED_PORT_FRAMES;
}

static uint32_t dpdk_mb(const struct config *config)
{
    struct port_dpdk_options port = {0};
    uint32_t buffers;
    uint64_t bytes;
    need_port(config, &port);
    port_pool_plan(&port, &buffers, &bytes);
    uint32_t needed = (uint32_t)(bytes >> 20) + 1 + PORT_EAL_OVERHEAD_MB;
    return config->memory_mib > needed ? config->memory_mib : needed;
}

void need_of(const struct config *config, const struct ring_super *super, struct need *need)
{
    const size_t page = (size_t)NEED_PAGE_MB << 20;
    uint32_t wanted = config->window_mib * (1048576 / RING_PAGE_SIZE);
    need->window_bytes = ring_memory_size(super, startup_window_pages(super, wanted));
    need->window_huge = (need->window_bytes + page - 1) / page;
    need->dpdk_mb = dpdk_mb(config);
}

/* What is left for DPDK's heap once the window has taken its part. */
static uint64_t left_mb(const struct need *need, uint64_t usable_pages, uint64_t usable_mb)
{
    uint64_t taken = need->window_huge <= usable_pages ? need->window_huge * NEED_PAGE_MB : 0;
    return usable_mb > taken ? usable_mb - taken : 0;
}

bool need_dpdk_fits(const struct need *need, uint64_t usable_pages, uint64_t usable_mb)
{
    return left_mb(need, usable_pages, usable_mb) >= need->dpdk_mb;
}

uint64_t need_missing(const struct need *need, uint64_t usable_pages, uint64_t usable_mb)
{
    uint64_t same = usable_pages * NEED_PAGE_MB;
    uint64_t others_mb = usable_mb > same ? usable_mb - same : 0;
    uint64_t heap_mb = need->dpdk_mb > others_mb ? need->dpdk_mb - others_mb : 0;
    uint64_t pages = need->window_huge + (heap_mb + NEED_PAGE_MB - 1) / NEED_PAGE_MB;
    return pages > usable_pages ? pages - usable_pages : 0;
}
