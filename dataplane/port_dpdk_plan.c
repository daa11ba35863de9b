/* How much memory a port's buffers take. A file of its own, so that who only asks links no driver.
 */
#include "dataplane/port_dpdk.h"
#include "dataplane/port_dpdk_internal.h"

#include <string.h>

#include <rte_mempool.h>

void port_pool_plan(const struct port_dpdk_options *options, uint32_t *buffers, uint64_t *bytes)
{
    uint32_t rx = port_or_default(options->rx_queues, 1),
             tx = port_or_default(options->tx_queues, 1);
    uint64_t need =
        (uint64_t)rx * port_or_default(options->rx_descriptors, PORT_DESCRIPTORS_DEFAULT) +
        (uint64_t)tx * port_or_default(options->tx_descriptors, PORT_DESCRIPTORS_DEFAULT);
    /* A cache may hold half as much again before it gives back (rte_mempool.h). */
    need += (uint64_t)(rx > tx ? rx : tx) * (PORT_CACHE + PORT_CACHE / 2 + 2 * PORT_BURST_MAX);
    need += options->in_flight;
    if (options->device != NULL && strncmp(options->device, "net_af_xdp", 10) == 0)
        need += (uint64_t)rx * PORT_XDP_BUFFERS;
    /* A pool's own ring has 2^q places, of which it uses 2^q - 1 (rte_mbuf.h). */
    uint32_t fit = 1023;
    while (fit < need && fit < UINT32_MAX / 2)
        fit = fit * 2 + 1;
    struct rte_mempool_objsz object;
    uint32_t size =
        rte_mempool_calc_obj_size(sizeof(struct rte_mbuf) + PORT_BUFFER_ROOM, 0, &object);
    *buffers = fit;
    *bytes = (uint64_t)fit * size;
}
