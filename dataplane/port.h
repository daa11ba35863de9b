/* The seam to the network: bursts of Ethernet frames on one port, no system call where the device
 * needs none. Implemented by port_dpdk.c (any DPDK device) and, at link time in its place, by the
 * simulator.
 *
 * Queue q belongs to one thread at a time. A received frame is the caller's until port_free() or
 * until it is sent back; a frame from port_alloc() until port_send(), which always takes ownership.
 */
#ifndef KEEL_PORT_H
#define KEEL_PORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    PORT_BURST_MAX = 32,
    PORT_QUEUE_MAX = 4,
    PORT_FRAME_MAX = 1514, /* Ethernet without FCS at MTU 1500 */
    PORT_NAME_MAX = 64
};

enum port_flag {
    PORT_RX_IP_GOOD = 1,  /* the device has verified the IPv4 header checksum */
    PORT_RX_UDP_GOOD = 2, /* ... the UDP checksum */
    PORT_RX_UNFIT = 4, /* several segments, larger than PORT_FRAME_MAX: to be counted and freed */
    PORT_TX_CHECKSUM = 8, /* device is to fill both checksums (see port_facts.tx_checksum): the IPv4
                             field holds 0, the UDP field the sum of the pseudo-header */
    PORT_RX_TAGGED = 16   /* the device or kernel has taken a VLAN tag off: not for this host */
};

struct port_frame {
    uint8_t *data;  /* first byte of the Ethernet header */
    uint32_t size;  /* bytes */
    uint32_t flags; /* enum port_flag */
    void *buffer;   /* the port's own: an mbuf */
};

struct port_facts {
    char name[PORT_NAME_MAX]; /* device name */
    char driver[32];
    uint8_t mac[6];
    uint16_t mtu;
    bool rx_checksum;   /* device verifies */
    bool tx_checksum;   /* device fills; then frames may carry PORT_TX_CHECKSUM */
    bool system_calls;  /* the device needs system calls to poll or send (af_packet, af_xdp, tap) */
    int numa_node;      /* -1 unknown */
    uint32_t rx_queues; /* queues that may be given to port_receive() */
    uint32_t queues;    /* queues that may be given to port_alloc() and port_send() */
    uint32_t buffers;   /* mbufs in the pool */
    uint64_t pool_bytes;
};

/* rx_frames, rx_bytes, tx_frames, tx_bytes, tx_dropped and alloc_failed are counted by the port
 * itself; the others come from the device, as far as it knows them. All only grow. */
struct port_stats {
    uint64_t rx_frames, rx_bytes, rx_missed, rx_errors, rx_no_buffer;
    uint64_t tx_frames, tx_bytes, tx_dropped; /* tx_dropped: the device's queue was full */
    uint64_t alloc_failed;
};

struct port;

uint32_t port_receive(struct port *port, uint32_t queue, struct port_frame *frames, uint32_t max);
/* A frame of PORT_FRAME_MAX bytes of room; false (counted) when the pool is empty. */
bool port_alloc(struct port *port, uint32_t queue, struct port_frame *frame);
/* Sends all that the device takes, frees and counts the rest. size and flags must be set. */
uint32_t port_send(struct port *port, uint32_t queue, struct port_frame *frames, uint32_t count);
void port_free(struct port *port, struct port_frame *frames, uint32_t count);

void port_facts(const struct port *port, struct port_facts *facts);
void port_stats(const struct port *port, struct port_stats *stats);

#endif
