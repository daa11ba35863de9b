#include "dataplane/port_dpdk.h"

#include "consensus/ensure.h"
#include "dataplane/port_dpdk_internal.h"

#include <stdlib.h>
#include <string.h>

#include <rte_dev.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <rte_prefetch.h>

/* Relaxed on both sides: a reader wants each counter, not their order. Pairs with count_of(). */
static inline void count(uint64_t *counter, uint64_t by)
{
    __atomic_store_n(counter, *counter + by, __ATOMIC_RELAXED);
}

static inline uint64_t count_of(const uint64_t *counter)
{
    return __atomic_load_n(counter, __ATOMIC_RELAXED);
}

/* What still lies in a pair's rings goes back to its pools. */
static void drain(struct rte_ring *ring)
{
    void *buffer;
    for (uint32_t i = 0; i < PORT_DESCRIPTORS_MAX && rte_ring_dequeue(ring, &buffer) == 0; i++)
        rte_pktmbuf_free(buffer);
}

void port_close(struct port *port)
{
    if (port == NULL)
        return;
    struct rte_eth_dev_info info;
    bool known = rte_eth_dev_info_get(port->id, &info) == 0;
    rte_eth_dev_stop(port->id);
    rte_eth_dev_close(port->id);
    if (known && info.device != NULL)
        rte_dev_remove(info.device); /* else its name is taken for ever */
    for (int i = 0; i < 2 && port->rings[i] != NULL; i++) {
        drain(port->rings[i]); /* while both pools live */
        if (port->peer == NULL)
            rte_ring_free(port->rings[i]);
    }
    if (port->peer != NULL)
        port->peer->peer = NULL;
    rte_mempool_free(port->pool);
    free(port);
}

static inline uint32_t rx_flags(const struct port *port, const struct rte_mbuf *m)
{
    uint32_t flags = 0;
    if (port->rx_checksum) {
        if ((m->ol_flags & RTE_MBUF_F_RX_IP_CKSUM_MASK) == RTE_MBUF_F_RX_IP_CKSUM_GOOD)
            flags |= PORT_RX_IP_GOOD;
        if ((m->ol_flags & RTE_MBUF_F_RX_L4_CKSUM_MASK) == RTE_MBUF_F_RX_L4_CKSUM_GOOD)
            flags |= PORT_RX_UDP_GOOD;
    }
    if (m->nb_segs != 1 || m->pkt_len > PORT_FRAME_MAX)
        flags |= PORT_RX_UNFIT;
    /* The kernel takes tags off before af_packet sees the frame. */
    if ((m->ol_flags & (RTE_MBUF_F_RX_VLAN_STRIPPED | RTE_MBUF_F_RX_VLAN)) != 0)
        flags |= PORT_RX_TAGGED;
    return flags;
}

HOT uint32_t port_receive(struct port *port, uint32_t queue, struct port_frame *frames,
                          uint32_t max)
{
    struct rte_mbuf *mbufs[PORT_BURST_MAX];
    uint64_t bytes = 0;
    uint16_t want = (uint16_t)(max < PORT_BURST_MAX ? max : PORT_BURST_MAX);
    uint16_t got = rte_eth_rx_burst(port->id, (uint16_t)queue, mbufs, want);
    for (uint16_t i = 0; i < got; i++) {
        struct rte_mbuf *m = mbufs[i];
        frames[i].data = rte_pktmbuf_mtod(m, uint8_t *);
        frames[i].size = m->data_len;
        frames[i].flags = rx_flags(port, m);
        frames[i].buffer = m;
        bytes += m->pkt_len;
        rte_prefetch0(frames[i].data);
    }
    if (got > 0) {
        count(&port->queues[queue].rx_frames, got);
        count(&port->queues[queue].rx_bytes, bytes);
    }
    return got;
}

HOT bool port_alloc(struct port *port, uint32_t queue, struct port_frame *frame)
{
    struct rte_mbuf *m = rte_pktmbuf_alloc(port->pool);
    if (m == NULL) {
        count(&port->queues[queue].alloc_failed, 1);
        return false;
    }
    frame->data = rte_pktmbuf_mtod(m, uint8_t *);
    frame->size = 0;
    frame->flags = 0;
    frame->buffer = m;
    return true;
}

static inline struct rte_mbuf *to_mbuf(const struct port *port, const struct port_frame *frame)
{
    struct rte_mbuf *m = frame->buffer;
    ENSURE(frame->size <= PORT_FRAME_MAX && frame->data == rte_pktmbuf_mtod(m, uint8_t *));
    m->data_len = (uint16_t)frame->size;
    m->pkt_len = frame->size;
    m->ol_flags = 0; /* a frame that was received and goes back carries those of its arrival */
    if ((frame->flags & PORT_TX_CHECKSUM) != 0) {
        ENSURE(port->tx_checksum);
        m->l2_len = RTE_ETHER_HDR_LEN;
        m->l3_len = sizeof(struct rte_ipv4_hdr);
        m->ol_flags = RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_IP_CKSUM | RTE_MBUF_F_TX_UDP_CKSUM;
    }
    return m;
}

HOT uint32_t port_send(struct port *port, uint32_t queue, struct port_frame *frames, uint32_t n)
{
    struct port_queue *q = &port->queues[queue];
    uint32_t sent = 0;
    for (uint32_t at = 0; at < n; at += PORT_BURST_MAX) {
        struct rte_mbuf *mbufs[PORT_BURST_MAX];
        uint32_t left = n - at;
        uint16_t burst = (uint16_t)(left < PORT_BURST_MAX ? left : PORT_BURST_MAX);
        uint64_t bytes = 0;
        for (uint16_t i = 0; i < burst; i++)
            mbufs[i] = to_mbuf(port, &frames[at + i]);
        uint16_t took = rte_eth_tx_burst(port->id, (uint16_t)queue, mbufs, burst);
        for (uint16_t i = 0; i < took; i++)
            bytes += frames[at + i].size; /* the buffers are no longer ours to look at */
        if (took < burst) {
            rte_pktmbuf_free_bulk(&mbufs[took], burst - took);
            count(&q->tx_dropped, (uint64_t)(burst - took));
        }
        count(&q->tx_frames, took);
        count(&q->tx_bytes, bytes);
        sent += took;
    }
    return sent;
}

HOT void port_free(struct port *port, struct port_frame *frames, uint32_t n)
{
    (void)port;
    for (uint32_t i = 0; i < n; i++)
        rte_pktmbuf_free(frames[i].buffer);
}

void port_facts(const struct port *port, struct port_facts *facts)
{
    *facts = port->facts;
}

void port_stats(const struct port *port, struct port_stats *stats)
{
    struct rte_eth_stats device;
    memset(stats, 0, sizeof(*stats));
    if (rte_eth_stats_get(port->id, &device) == 0) {
        stats->rx_missed = device.imissed;
        stats->rx_errors = device.ierrors;
        stats->rx_no_buffer = device.rx_nombuf;
    }
    for (uint32_t i = 0; i < PORT_QUEUE_MAX; i++) {
        const struct port_queue *q = &port->queues[i];
        stats->rx_frames += count_of(&q->rx_frames);
        stats->rx_bytes += count_of(&q->rx_bytes);
        stats->tx_frames += count_of(&q->tx_frames);
        stats->tx_bytes += count_of(&q->tx_bytes);
        stats->tx_dropped += count_of(&q->tx_dropped);
        stats->alloc_failed += count_of(&q->alloc_failed);
    }
}
