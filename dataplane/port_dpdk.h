/* Opens port.h's ports over DPDK: any Ethernet device, or a pair of ports joined by two rings.
 *
 * Called by the daemon's main thread after eal_init(), before the roles start; closed after they
 * have stopped. The pool of buffers is sized, and the size said, before a byte of it is allocated.
 */
#ifndef KEEL_PORT_DPDK_H
#define KEEL_PORT_DPDK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dataplane/port.h"

enum {
    PORT_DESCRIPTORS_DEFAULT = 512,
    PORT_DESCRIPTORS_MAX = 8192,
    PORT_CACHE = 256,         /* buffers that a thread keeps by itself */
    PORT_XDP_BUFFERS = 6144,  /* net_af_xdp's own rings: 4096 to fill, 2048 to complete */
    PORT_EAL_OVERHEAD_MB = 16 /* what EAL and the devices' own tables need beside the pools */
};

struct port_dpdk_options {
    const char *device;      /* as given to eal_init(): "net_af_packet0,iface=v0", "0000:04:00.0" */
    uint32_t rx_queues;      /* 0: 1 */
    uint32_t tx_queues;      /* 0: 1; one for each role that sends on a thread of its own */
    uint32_t rx_descriptors; /* of each queue; 0: PORT_DESCRIPTORS_DEFAULT */
    uint32_t tx_descriptors;
    uint32_t in_flight;    /* frames that the caller may hold at once, beside a burst per queue */
    uint16_t mtu;          /* 0: 1500, which is also the largest */
    bool multicast;        /* receive all multicast groups */
    uint32_t link_wait_ms; /* wait so long for the link to come up; it may still be down after */
    void (*say)(void *context, const char *line); /* one line for the operator, or NULL */
    void *say_context;
};

/* Buffers and bytes of the pool that these options need; needs no EAL. A heap of the sum of all
 * pools + PORT_EAL_OVERHEAD_MB is enough. */
void port_pool_plan(const struct port_dpdk_options *options, uint32_t *buffers, uint64_t *bytes);

/* 0 or negative errno, with what failed, why and what to do in `why`. */
int port_open_dpdk(struct port **port, const struct port_dpdk_options *options, char *why,
                   size_t why_size);

/* Two ports of one process, each receiving what the other sends (net_ring: no system call, no copy,
 * no loss but a full ring). `name` (up to 15 bytes) is unique in the process; options->device is
 * not read. Their MAC addresses are local ones, different for each port of the process. */
int port_open_ring_pair(struct port **a, struct port **b, const char *name,
                        const struct port_dpdk_options *options, char *why, size_t why_size);

void port_close(struct port *port);

#endif
