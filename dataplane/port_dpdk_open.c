#include "dataplane/port_dpdk.h"

#include "consensus/ensure.h"
#include "dataplane/eal.h"
#include "dataplane/port_dpdk_internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_dev.h>
#include <rte_errno.h>
#include <rte_eth_ring.h>
#include <rte_ethdev.h>
#include <rte_malloc.h>
#include <rte_mbuf.h>
#include <rte_mbuf_pool_ops.h>

enum { LINE_MAX_SIZE = 512, LINK_POLL_US = 10000 };

static void say(const struct port_dpdk_options *options, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void say(const struct port_dpdk_options *options, const char *format, ...)
{
    if (options->say == NULL)
        return;
    char line[LINE_MAX_SIZE];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    options->say(options->say_context, line);
}

static int fail(char *why, size_t why_size, int error, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* The last two lines of DPDK's log, on one. */
static void last_words(char words[LINE_MAX_SIZE])
{
    const char *log = eal_log_text();
    size_t end = strlen(log), from = end;
    for (int breaks = 0; from > 0 && end - from < LINE_MAX_SIZE - 1; from--) {
        breaks += log[from - 1] == '\n' && from < end;
        if (breaks == 2)
            break;
    }
    snprintf(words, LINE_MAX_SIZE, "%s", log + from);
    for (size_t i = 0; words[i] != 0; i++)
        if (words[i] == '\n')
            words[i] = words[i + 1] == 0 ? 0 : ' ';
}

/* Writes "<text>: <error>", with what DPDK said last, and returns the error, negative. */
static int fail(char *why, size_t why_size, int error, const char *format, ...)
{
    char text[LINE_MAX_SIZE];
    error = error < 0 ? -error : error;
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    char words[LINE_MAX_SIZE];
    last_words(words);
    snprintf(why, why_size, "%s: %s (DPDK's last words: %s)", text, rte_strerror(error), words);
    return error == 0 ? -EIO : -error;
}

/* Does DPDK's heap hold so much, with what it may still take from the host's free hugepages? */
static int check_memory(uint64_t bytes, int node, char *why, size_t why_size)
{
    struct rte_malloc_socket_stats heap;
    if (rte_malloc_get_socket_stats(node < 0 ? 0 : node, &heap) != 0)
        return 0;
    uint64_t free_bytes = heap.heap_freesz_bytes;
    if (rte_eal_has_hugepages())
        free_bytes += eal_huge_free_mb() << 20;
    if (free_bytes >= bytes)
        return 0;
    snprintf(why, why_size,
             "packet buffers: the pool needs %llu KiB, %llu KiB of DPDK's memory are free: give "
             "DPDK %llu MB more, or take fewer descriptors",
             (unsigned long long)(bytes >> 10), (unsigned long long)(free_bytes >> 10),
             (unsigned long long)((bytes - free_bytes) >> 20) + 1);
    return -ENOMEM;
}

/* rte_pktmbuf_pool_create() with one more flag: where devices see virtual addresses, a buffer may
 * cross a page. Without it ordinary pages hold one buffer each, and net_af_xdp, which takes a pool
 * for one packed block, reads past its half. */
static struct rte_mempool *create_pool(const char *name, uint32_t buffers, int node)
{
    struct rte_pktmbuf_pool_private private = {.mbuf_data_room_size = PORT_BUFFER_ROOM};
    unsigned flags = rte_eal_iova_mode() == RTE_IOVA_VA ? RTE_MEMPOOL_F_NO_IOVA_CONTIG : 0;
    struct rte_mempool *pool = rte_mempool_create_empty(
        name, buffers, sizeof(struct rte_mbuf) + PORT_BUFFER_ROOM, PORT_CACHE, sizeof(private),
        node < 0 ? SOCKET_ID_ANY : node, flags);
    if (pool == NULL)
        return NULL;
    int error = rte_mempool_set_ops_byname(pool, rte_mbuf_best_mempool_ops(), NULL);
    rte_pktmbuf_pool_init(pool, &private);
    if (error == 0)
        error = rte_mempool_populate_default(pool);
    if (error < 0) {
        rte_mempool_free(pool);
        rte_errno = -error;
        return NULL;
    }
    rte_mempool_obj_iter(pool, rte_pktmbuf_init, NULL);
    return pool;
}

static int make_pool(struct port *port, const struct port_dpdk_options *options, char *why,
                     size_t why_size)
{
    uint32_t buffers;
    uint64_t bytes;
    port_pool_plan(options, &buffers, &bytes);
    say(options, "%s: %u packet buffers, %llu KiB", port->facts.name, buffers,
        (unsigned long long)(bytes >> 10));
    int error = check_memory(bytes, port->facts.numa_node, why, why_size);
    if (error != 0)
        return error;
    char name[32];
    snprintf(name, sizeof(name), "keel_port_%u", port->id);
    port->pool = create_pool(name, buffers, port->facts.numa_node);
    if (port->pool == NULL)
        return fail(why, why_size, rte_errno, "%s: %u packet buffers of %llu KiB in all",
                    port->facts.name, buffers, (unsigned long long)(bytes >> 10));
    port->facts.buffers = buffers;
    port->facts.pool_bytes = bytes;
    return 0;
}

static bool needs_system_calls(const char *driver)
{
    static const char *const drivers[] = {"net_af_packet", "net_af_xdp", "net_tap", "net_pcap",
                                          "net_virtio_user"};
    for (size_t i = 0; i < sizeof(drivers) / sizeof(drivers[0]); i++)
        if (strcmp(driver, drivers[i]) == 0)
            return true;
    return false;
}

static bool has(uint64_t capabilities, uint64_t wanted)
{
    return (capabilities & wanted) == wanted;
}

static int configure(struct port *port, const struct rte_eth_dev_info *info, char *why,
                     size_t why_size)
{
    static const uint64_t rx_wanted = RTE_ETH_RX_OFFLOAD_IPV4_CKSUM | RTE_ETH_RX_OFFLOAD_UDP_CKSUM;
    static const uint64_t tx_wanted = RTE_ETH_TX_OFFLOAD_IPV4_CKSUM | RTE_ETH_TX_OFFLOAD_UDP_CKSUM;
    struct rte_eth_conf conf = {0};
    port->rx_checksum = has(info->rx_offload_capa, rx_wanted);
    port->tx_checksum = has(info->tx_offload_capa, tx_wanted);
    if (port->rx_checksum)
        conf.rxmode.offloads |= rx_wanted;
    if (port->tx_checksum)
        conf.txmode.offloads |= tx_wanted;
    if (port->facts.rx_queues > 1) {
        conf.rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
        conf.rx_adv_conf.rss_conf.rss_hf = info->flow_type_rss_offloads & RTE_ETH_RSS_UDP;
    }
    port->facts.rx_checksum = port->rx_checksum;
    port->facts.tx_checksum = port->tx_checksum;
    int error = rte_eth_dev_configure(port->id, (uint16_t)port->facts.rx_queues,
                                      (uint16_t)port->facts.queues, &conf);
    if (error != 0)
        return fail(why, why_size, error, "%s: configuring %u receive and %u send queues",
                    port->facts.name, port->facts.rx_queues, port->facts.queues);
    return 0;
}

/* 0 or negative errno, with what failed in *what. */
static int set_up_queues(struct port *port, const struct port_dpdk_options *options,
                         const struct rte_eth_dev_info *info, const char **what)
{
    uint16_t rx = (uint16_t)port_or_default(options->rx_descriptors, PORT_DESCRIPTORS_DEFAULT);
    uint16_t tx = (uint16_t)port_or_default(options->tx_descriptors, PORT_DESCRIPTORS_DEFAULT);
    unsigned node = (unsigned)port->facts.numa_node;
    struct rte_eth_rxconf rx_conf = info->default_rxconf;
    struct rte_eth_txconf tx_conf = info->default_txconf;
    rx_conf.offloads = 0;
    tx_conf.offloads = 0;
    *what = "number of descriptors";
    int error = rte_eth_dev_adjust_nb_rx_tx_desc(port->id, &rx, &tx);
    *what = error == 0 ? "receive queue" : *what;
    for (uint16_t q = 0; q < port->facts.rx_queues && error == 0; q++)
        error = rte_eth_rx_queue_setup(port->id, q, rx, node, &rx_conf, port->pool);
    *what = error == 0 ? "send queue" : *what;
    for (uint16_t q = 0; q < port->facts.queues && error == 0; q++)
        error = rte_eth_tx_queue_setup(port->id, q, tx, node, &tx_conf);
    return error;
}

static int set_mtu(struct port *port, uint16_t wanted, char *why, size_t why_size)
{
    /* Always set: what some drivers give as theirs is not what their interface has. */
    uint16_t mtu = 0;
    int error = rte_eth_dev_set_mtu(port->id, wanted);
    if (error == -ENOTSUP && rte_eth_dev_get_mtu(port->id, &mtu) == 0 && mtu >= wanted)
        error = 0; /* frames of the wanted size pass; longer ones are not ours */
    if (error != 0)
        return fail(why, why_size, error, "%s: setting the MTU to %u", port->facts.name, wanted);
    port->facts.mtu = wanted;
    return 0;
}

/* An interface of the kernel that a driver takes over ("net_af_packet0,iface=v0") carries no
 * address: else two hosts answer on it, and it may be the way by which its operator came. */
static int check_interface(const char *device, char *why, size_t why_size)
{
    const char *at = strstr(device, ",iface=");
    struct ifaddrs *list;
    if (at == NULL || getifaddrs(&list) != 0)
        return 0;
    at += strlen(",iface=");
    size_t size = strcspn(at, ",");
    int error = 0;
    for (const struct ifaddrs *i = list; i != NULL && error == 0; i = i->ifa_next) {
        if (i->ifa_addr == NULL || i->ifa_addr->sa_family != AF_INET ||
            strlen(i->ifa_name) != size || memcmp(i->ifa_name, at, size) != 0)
            continue;
        char address[INET_ADDRSTRLEN] = "";
        inet_ntop(AF_INET, &((const struct sockaddr_in *)(const void *)i->ifa_addr)->sin_addr,
                  address, sizeof(address));
        snprintf(why, why_size,
                 "%s: the kernel has address %s on it, and two hosts would answer there: take an "
                 "interface without one, or take it off (ip addr del %s dev %s)",
                 i->ifa_name, address, address, i->ifa_name);
        error = -EADDRINUSE;
    }
    freeifaddrs(list);
    return error;
}

static void wait_for_link(struct port *port, const struct port_dpdk_options *options)
{
    struct rte_eth_link link = {0};
    uint32_t polls_max = options->link_wait_ms / (LINK_POLL_US / 1000);
    for (uint32_t poll = 0; poll <= polls_max; poll++) {
        if (rte_eth_link_get_nowait(port->id, &link) != 0)
            return; /* the device does not know */
        if (link.link_status == RTE_ETH_LINK_UP)
            return;
        if (poll < polls_max)
            rte_delay_us_sleep(LINK_POLL_US);
    }
    say(options, "%s: the link is down: check the cable, the switch port and the peer's side",
        port->facts.name);
}

static int start(struct port *port, const struct port_dpdk_options *options, char *why,
                 size_t why_size)
{
    int error = rte_eth_dev_start(port->id);
    if (error != 0)
        return fail(why, why_size, error, "%s: starting the device", port->facts.name);
    error = rte_eth_promiscuous_disable(port->id);
    if (error != 0 && error != -ENOTSUP)
        return fail(why, why_size, error, "%s: leaving promiscuous mode", port->facts.name);
    if (options->multicast) {
        error = rte_eth_allmulticast_enable(port->id);
        if (error == -ENOTSUP)
            say(options, "%s: the device cannot be told to receive multicast", port->facts.name);
        else if (error != 0)
            return fail(why, why_size, error, "%s: receiving multicast", port->facts.name);
    }
    wait_for_link(port, options);
    return 0;
}

/* The common way of all openers: the device exists and its id is known. */
static int bring_up(struct port *port, const struct port_dpdk_options *options, char *why,
                    size_t why_size)
{
    struct rte_eth_dev_info info;
    struct rte_ether_addr mac;
    int error = rte_eth_dev_info_get(port->id, &info);
    if (error == 0)
        error = rte_eth_macaddr_get(port->id, &mac);
    if (error != 0)
        return fail(why, why_size, error, "%s: asking the device", port->facts.name);
    struct port_facts *facts = &port->facts;
    snprintf(facts->driver, sizeof(facts->driver), "%s", info.driver_name);
    if (memcmp(facts->mac, (uint8_t[6]){0}, 6) == 0)
        memcpy(facts->mac, mac.addr_bytes, 6);
    facts->system_calls = needs_system_calls(facts->driver);
    facts->numa_node = rte_eth_dev_socket_id(port->id);
    facts->rx_queues = port_or_default(options->rx_queues, 1);
    facts->queues = port_or_default(options->tx_queues, 1);
    if (facts->rx_queues > info.max_rx_queues || facts->queues > info.max_tx_queues) {
        snprintf(why, why_size,
                 "%s: %u receive and %u send queues are asked for, the device has %u and %u: "
                 "let roles share a thread",
                 facts->name, facts->rx_queues, facts->queues, info.max_rx_queues,
                 info.max_tx_queues);
        return -ENOSPC;
    }
    error = make_pool(port, options, why, why_size);
    if (error == 0)
        error = configure(port, &info, why, why_size);
    if (error == 0)
        error = set_mtu(port, (uint16_t)port_or_default(options->mtu, 1500), why, why_size);
    if (error != 0)
        return error;
    const char *what;
    eal_quiet_begin();
    error = set_up_queues(port, options, &info, &what);
    eal_quiet_end();
    if (error != 0)
        return fail(why, why_size, error, "%s: setting up: %s", facts->name, what);
    return start(port, options, why, why_size);
}

static void check_options(const struct port_dpdk_options *options)
{
    ENSURE(options->rx_queues <= PORT_QUEUE_MAX && options->tx_queues <= PORT_QUEUE_MAX);
    ENSURE(options->rx_descriptors <= PORT_DESCRIPTORS_MAX);
    ENSURE(options->tx_descriptors <= PORT_DESCRIPTORS_MAX);
    ENSURE(options->mtu <= PORT_FRAME_MAX - RTE_ETHER_HDR_LEN);
}

static struct port *new_port(uint16_t id, const char *name)
{
    struct port *port = aligned_alloc(RTE_CACHE_LINE_SIZE, sizeof(*port));
    if (port == NULL)
        return NULL;
    memset(port, 0, sizeof(*port));
    port->id = id;
    snprintf(port->facts.name, sizeof(port->facts.name), "%s", name);
    return port;
}

int port_open_dpdk(struct port **port, const struct port_dpdk_options *options, char *why,
                   size_t why_size)
{
    check_options(options);
    char name[PORT_NAME_MAX];
    snprintf(name, sizeof(name), "%.*s", (int)strcspn(options->device, ","), options->device);
    int error = check_interface(options->device, why, why_size);
    if (error != 0)
        return error;
    uint16_t id;
    /* A port that was closed before is found anew by its device. */
    if (rte_eth_dev_get_port_by_name(name, &id) != 0 &&
        (rte_dev_probe(options->device) != 0 || rte_eth_dev_get_port_by_name(name, &id) != 0))
        return fail(why, why_size, ENODEV,
                    "%s: check the name, that it is bound, and that the driver's package "
                    "(librte-net-*) is installed",
                    name);
    struct port *opened = new_port(id, name);
    if (opened == NULL)
        return fail(why, why_size, ENOMEM, "%s", name);
    error = bring_up(opened, options, why, why_size);
    if (error != 0) {
        port_close(opened);
        return error;
    }
    *port = opened;
    return 0;
}

/* One end of a pair: sends into one ring, receives from the other. */
static struct port *open_ring_end(const char *name, struct rte_ring *rx, struct rte_ring *tx,
                                  const struct port_dpdk_options *options, char *why,
                                  size_t why_size)
{
    int id = rte_eth_from_rings(name, &rx, 1, &tx, 1, (unsigned)SOCKET_ID_ANY);
    if (id < 0) {
        fail(why, why_size, rte_errno, "%s: a port over rings", name);
        return NULL;
    }
    struct port *port = new_port((uint16_t)id, name);
    if (port == NULL) {
        fail(why, why_size, ENOMEM, "%s", name);
        return NULL;
    }
    /* net_ring's own address is all zeros, which is nobody's. */
    const uint8_t mac[6] = {0x02, 'k', 'e', 'l', (uint8_t)(id >> 8), (uint8_t)id};
    memcpy(port->facts.mac, mac, 6);
    if (bring_up(port, options, why, why_size) == 0)
        return port;
    port_close(port);
    return NULL;
}

int port_open_ring_pair(struct port **a, struct port **b, const char *name,
                        const struct port_dpdk_options *options, char *why, size_t why_size)
{
    check_options(options);
    ENSURE(options->rx_queues <= 1 && options->tx_queues <= 1 && strlen(name) <= 15);
    char names[2][32];
    struct rte_ring *rings[2];
    unsigned size =
        rte_align32pow2(port_or_default(options->rx_descriptors, PORT_DESCRIPTORS_DEFAULT));
    for (int i = 0; i < 2; i++) {
        snprintf(names[i], sizeof(names[i]), "%s_%c", name, 'a' + i);
        rings[i] = rte_ring_create(names[i], size, SOCKET_ID_ANY, RING_F_SP_ENQ | RING_F_SC_DEQ);
    }
    int error = 0;
    *a = NULL;
    *b = NULL;
    if (rings[0] == NULL || rings[1] == NULL) {
        error = fail(why, why_size, rte_errno, "%s: rings of %u places", name, size);
    } else {
        *a = open_ring_end(names[0], rings[0], rings[1], options, why, why_size);
        *b =
            *a == NULL ? NULL : open_ring_end(names[1], rings[1], rings[0], options, why, why_size);
        error = *b == NULL ? -EIO : 0;
    }
    if (error == 0) {
        for (int i = 0; i < 2; i++)
            (*a)->rings[i] = (*b)->rings[i] = rings[i];
        (*a)->peer = *b;
        (*b)->peer = *a;
        return 0;
    }
    if (*a != NULL)
        port_close(*a);
    rte_ring_free(rings[0]);
    rte_ring_free(rings[1]);
    *a = NULL;
    return error;
}
