/* A DPDK port from the inside, for the files that plan its memory (port_dpdk_plan.c), open it
 * (port_dpdk_open.c) and move its frames (port_dpdk.c).
 */
#ifndef KEEL_PORT_DPDK_INTERNAL_H
#define KEEL_PORT_DPDK_INTERNAL_H

#include <stdbool.h>
#include <stdint.h>

#include <rte_config.h>

#include <rte_mbuf.h>
#include <rte_mempool.h>
#include <rte_ring.h>

#include "dataplane/port.h"

/* Some devices refuse less than 2 KiB per buffer. */
enum { PORT_BUFFER_ROOM = RTE_MBUF_DEFAULT_BUF_SIZE };
_Static_assert(PORT_BUFFER_ROOM - RTE_PKTMBUF_HEADROOM >= PORT_FRAME_MAX, "one frame, one buffer");

static inline uint32_t port_or_default(uint32_t value, uint32_t otherwise)
{
    return value == 0 ? otherwise : value;
}

/* Counters of one queue: written by its thread alone, read by any. */
struct port_queue {
    uint64_t rx_frames, rx_bytes, tx_frames, tx_bytes, tx_dropped, alloc_failed;
} __attribute__((aligned(RTE_CACHE_LINE_SIZE)));

struct port {
    uint16_t id;
    bool rx_checksum;
    bool tx_checksum;
    struct rte_mempool *pool;
    struct rte_ring *rings[2]; /* of a ring pair: the last of the two to close frees them */
    struct port *peer;
    struct port_facts facts;
    struct port_queue queues[PORT_QUEUE_MAX];
};

#endif
