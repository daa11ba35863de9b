/* EAL and ports over rings, in one process without hugepages or privileges. */
#include "dataplane/eal.h"
#include "dataplane/frame.h"
#include "dataplane/port_dpdk.h"
#include "tests/unit/unit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rte_config.h>

#include <rte_mbuf.h>

enum { HEAP_MB = 96, DESCRIPTORS = 64 };

static char said[16][EAL_LINE_MAX];
static int said_count;

static void hear(void *context, const char *line)
{
    (void)context;
    if (said_count < 16)
        strncpy(said[said_count++], line, EAL_LINE_MAX - 1);
}

static bool heard(const char *part)
{
    for (int i = 0; i < said_count; i++)
        if (strstr(said[i], part) != NULL)
            return true;
    return false;
}

static struct port_dpdk_options small_options(void)
{
    return (struct port_dpdk_options){
        .rx_descriptors = DESCRIPTORS, .tx_descriptors = DESCRIPTORS, .say = hear};
}

static void test_eal(void)
{
    char why[EAL_LOG_SIZE + 1024];
    struct eal_facts facts;
    const char *devices[] = {"net_null0,size=64"};
    const int no_core = 100000;
    struct eal_options options = {.memory_mb = HEAP_MB,
                                  .prefix = "test_port",
                                  .pages = EAL_PAGES_HUGE,
                                  .devices = devices,
                                  .device_count = 1,
                                  .say = hear};
    options.memory_mb = 1 << 30;
    CU_ASSERT_EQUAL(eal_init(&options, &facts, why, sizeof(why)), -ENOMEM);
    CU_ASSERT(strstr(why, "hugeadm") != NULL);
    options.memory_mb = HEAP_MB;
    options.pages = EAL_PAGES_ORDINARY;
    options.cores = &no_core;
    options.core_count = 1;
    CU_ASSERT_EQUAL(eal_init(&options, &facts, why, sizeof(why)), -EINVAL);
    options.core_count = 0;
    char extra[EAL_EXTRA_MAX * 4 + 8] = "";
    for (int i = 0; i <= EAL_EXTRA_MAX; i++)
        strcat(extra, "-v ");
    options.extra = extra;
    CU_ASSERT_EQUAL(eal_init(&options, &facts, why, sizeof(why)), -E2BIG);

    said_count = 0;
    options.extra = " --log-level=lib.eal:debug  --no-hpet ";
    CU_ASSERT_EQUAL_FATAL(eal_init(&options, &facts, why, sizeof(why)), 0);
    if (geteuid() == 0) /* nothing is left behind, however the process ends */
        CU_ASSERT_NOT_EQUAL(access("/var/run/dpdk/test_port", F_OK), 0);
    CU_ASSERT(!facts.huge);
    CU_ASSERT(strstr(facts.line, "--no-huge") != NULL && strstr(facts.line, "--no-pci") != NULL);
    CU_ASSERT(strstr(facts.line, "--vdev=net_null0,size=64") != NULL);
    CU_ASSERT(strstr(facts.line, "--in-memory") == NULL);
    CU_ASSERT(strstr(facts.line, "--log-level=lib.eal:debug --no-hpet") != NULL);
    CU_ASSERT(heard(facts.line));
    CU_ASSERT(strlen(eal_log_text()) > 0 && strlen(eal_log_text()) < EAL_LOG_SIZE);
    CU_ASSERT_EQUAL(eal_init(&options, &facts, why, sizeof(why)), -EALREADY);
}

static void test_plan(void)
{
    struct port_dpdk_options options = small_options();
    uint32_t buffers, more;
    uint64_t bytes;
    port_pool_plan(&options, &buffers, &bytes);
    CU_ASSERT((buffers & (buffers + 1)) == 0); /* 2^q - 1 */
    CU_ASSERT(buffers >= 2 * DESCRIPTORS + PORT_CACHE + 2 * PORT_BURST_MAX);
    CU_ASSERT(bytes / buffers >= RTE_MBUF_DEFAULT_BUF_SIZE);
    options.in_flight = 3000;
    port_pool_plan(&options, &more, &bytes);
    CU_ASSERT(more >= 3000 + 2 * DESCRIPTORS && more < 2 * (3000 + buffers));
    options.rx_queues = options.tx_queues = PORT_QUEUE_MAX;
    options.rx_descriptors = options.tx_descriptors = PORT_DESCRIPTORS_MAX;
    port_pool_plan(&options, &more, &bytes);
    CU_ASSERT(more >= 2 * PORT_QUEUE_MAX * PORT_DESCRIPTORS_MAX);
}

static void test_refused(void)
{
    char why[1024];
    struct port *port = NULL;
    struct port_dpdk_options options = small_options();
    options.device = "net_nothing7,iface=v0";
    CU_ASSERT_EQUAL(port_open_dpdk(&port, &options, why, sizeof(why)), -ENODEV);
    CU_ASSERT(strstr(why, "net_nothing7") != NULL && port == NULL);
    /* More than the heap holds: said in full before it is tried. */
    said_count = 0;
    options.device = "net_null0";
    options.rx_descriptors = options.tx_descriptors = PORT_DESCRIPTORS_MAX;
    options.in_flight = 100000;
    CU_ASSERT_EQUAL(port_open_dpdk(&port, &options, why, sizeof(why)), -ENOMEM);
    CU_ASSERT(strstr(why, "MB more") != NULL && port == NULL);
    CU_ASSERT(heard("131071 packet buffers"));
}

static void test_device(void)
{
    char why[1024] = "";
    struct port *port = NULL;
    struct port_facts facts;
    struct port_dpdk_options options = small_options();
    struct port_frame frames[PORT_BURST_MAX];
    options.device = "net_null0,size=64";
    CU_ASSERT_EQUAL_FATAL(port_open_dpdk(&port, &options, why, sizeof(why)), 0);
    port_facts(port, &facts);
    CU_ASSERT_STRING_EQUAL(facts.name, "net_null0");
    CU_ASSERT_STRING_EQUAL(facts.driver, "net_null");
    CU_ASSERT(!facts.system_calls && !facts.rx_checksum && !facts.tx_checksum);
    CU_ASSERT(facts.queues == 1 && facts.rx_queues == 1 && facts.buffers == 1023);
    /* Zeros of 64 bytes for ever: no buffer is lost on the way. */
    for (int i = 0; i < 10000; i++) {
        uint32_t count = port_receive(port, 0, frames, PORT_BURST_MAX);
        CU_ASSERT_FATAL(count == PORT_BURST_MAX && frames[0].size == 64 && frames[0].flags == 0);
        if (i % 2 == 0)
            port_free(port, frames, count);
        else
            CU_ASSERT_EQUAL(port_send(port, 0, frames, count), count);
    }
    struct port_stats stats;
    port_stats(port, &stats);
    CU_ASSERT_EQUAL(stats.rx_frames, 10000 * PORT_BURST_MAX);
    CU_ASSERT_EQUAL(stats.rx_bytes, 64ull * 10000 * PORT_BURST_MAX);
    CU_ASSERT_EQUAL(stats.tx_frames, 5000 * PORT_BURST_MAX);
    CU_ASSERT_EQUAL(stats.tx_dropped, 0);
    port_close(port);
}

static void open_pair(struct port **a, struct port **b, const char *name)
{
    char why[1024] = "";
    struct port_dpdk_options options = small_options();
    CU_ASSERT_EQUAL_FATAL(port_open_ring_pair(a, b, name, &options, why, sizeof(why)), 0);
}

static uint32_t buffers_left(struct port *port)
{
    static struct port_frame frames[4096];
    uint32_t count = 0;
    while (count < 4096 && port_alloc(port, 0, &frames[count]))
        count++;
    port_free(port, frames, count);
    return count;
}

static void test_pair(void)
{
    struct port *a, *b;
    struct port_facts facts[2];
    struct port_frame frames[PORT_BURST_MAX], back[PORT_BURST_MAX];
    open_pair(&a, &b, "pair");
    port_facts(a, &facts[0]);
    port_facts(b, &facts[1]);
    CU_ASSERT(memcmp(facts[0].mac, facts[1].mac, 6) != 0);
    CU_ASSERT((facts[0].mac[0] & 3) == 2); /* local, not a group */
    CU_ASSERT(!facts[0].system_calls);
    uint32_t free_a = buffers_left(a);
    for (uint32_t round = 0; round < 1000; round++) {
        for (uint32_t i = 0; i < PORT_BURST_MAX; i++) {
            CU_ASSERT_FATAL(port_alloc(a, 0, &frames[i]));
            frames[i].size = 60 + (round * PORT_BURST_MAX + i) % (PORT_FRAME_MAX - 59);
            memset(frames[i].data, (int)(round + i), frames[i].size);
        }
        CU_ASSERT_EQUAL(port_send(a, 0, frames, PORT_BURST_MAX), PORT_BURST_MAX);
        uint32_t count = port_receive(b, 0, back, PORT_BURST_MAX);
        CU_ASSERT_FATAL(count == PORT_BURST_MAX);
        for (uint32_t i = 0; i < count; i++) {
            uint32_t size = 60 + (round * PORT_BURST_MAX + i) % (PORT_FRAME_MAX - 59);
            CU_ASSERT(back[i].size == size && back[i].flags == 0);
            CU_ASSERT(back[i].data[0] == (uint8_t)(round + i));
            CU_ASSERT(back[i].data[size - 1] == (uint8_t)(round + i));
        }
        if (round % 2 == 0) { /* sent back in the very buffers */
            CU_ASSERT_EQUAL(port_send(b, 0, back, count), count);
            count = port_receive(a, 0, back, PORT_BURST_MAX);
            CU_ASSERT_EQUAL(count, PORT_BURST_MAX);
        }
        port_free(a, back, count);
    }
    CU_ASSERT_EQUAL(buffers_left(a), free_a);
    port_close(b);
    port_close(a);
}

static void test_full(void)
{
    /* A ring of 64 places holds 63: the rest is dropped, counted and given back. */
    struct port *a, *b;
    struct port_frame frames[100];
    struct port_stats stats;
    open_pair(&a, &b, "full");
    uint32_t free_a = buffers_left(a);
    port_stats(a, &stats);
    uint64_t failed = stats.alloc_failed; /* buffers_left() ends with one */
    CU_ASSERT_EQUAL(failed, 1);
    for (uint32_t i = 0; i < 100; i++) {
        CU_ASSERT_FATAL(port_alloc(a, 0, &frames[i]));
        frames[i].size = 60;
    }
    CU_ASSERT_EQUAL(port_send(a, 0, frames, 100), DESCRIPTORS - 1);
    port_stats(a, &stats);
    CU_ASSERT(stats.tx_frames == DESCRIPTORS - 1 && stats.tx_dropped == 100 - (DESCRIPTORS - 1));
    CU_ASSERT(stats.tx_bytes == 60 * (DESCRIPTORS - 1));
    CU_ASSERT_EQUAL(buffers_left(a), free_a - (DESCRIPTORS - 1));
    /* What lies in the rings goes back to its pool when the ports are closed, in either order. */
    port_close(a);
    port_close(b);
    open_pair(&a, &b, "full");
    CU_ASSERT_EQUAL(buffers_left(a), free_a);
    port_close(a);
    port_close(b);
}

static void test_unfit(void)
{
    struct port *a, *b;
    struct port_frame frame, tail, back[PORT_BURST_MAX];
    open_pair(&a, &b, "unfit");
    uint32_t free_a = buffers_left(a);
    CU_ASSERT_FATAL(port_alloc(a, 0, &frame) && port_alloc(a, 0, &tail));
    struct rte_mbuf *m = frame.buffer;
    m->next = tail.buffer;
    m->nb_segs = 2;
    frame.size = 60;
    CU_ASSERT_EQUAL(port_send(a, 0, &frame, 1), 1);
    CU_ASSERT_EQUAL_FATAL(port_receive(b, 0, back, PORT_BURST_MAX), 1);
    CU_ASSERT_EQUAL(back[0].flags, PORT_RX_UNFIT);
    port_free(b, back, 1); /* with its tail */
    CU_ASSERT_EQUAL(buffers_left(a), free_a);

    CU_ASSERT_FATAL(port_alloc(a, 0, &frame));
    m = frame.buffer;
    frame.size = 60;
    CU_ASSERT_EQUAL(port_send(a, 0, &frame, 1), 1);
    m->pkt_len = m->data_len = PORT_FRAME_MAX + 1; /* while it lies in the ring */
    m->ol_flags = RTE_MBUF_F_RX_VLAN | RTE_MBUF_F_RX_VLAN_STRIPPED;
    CU_ASSERT_EQUAL_FATAL(port_receive(b, 0, back, PORT_BURST_MAX), 1);
    CU_ASSERT_EQUAL(back[0].flags, PORT_RX_UNFIT | PORT_RX_TAGGED);
    port_free(b, back, 1);
    port_close(a);
    port_close(b);
}

/* One end of a conversation: ARP by itself, UDP to and fro. */
struct end {
    struct port *port;
    struct frame_host *host;
    uint32_t got;
    uint8_t last;
};

static void end_open(struct end *end, struct port *port, uint32_t ip)
{
    struct port_facts facts;
    port_facts(port, &facts);
    struct frame_options options = {.ip = ip, .prefix = 24, .ports = {9}};
    memcpy(options.mac, facts.mac, 6);
    *end = (struct end){.port = port, .host = frame_host_init(malloc(frame_host_size()), &options)};
}

static void end_turn(struct end *end, uint64_t now_ms)
{
    struct port_frame frames[PORT_BURST_MAX], out;
    uint32_t count = port_receive(end->port, 0, frames, PORT_BURST_MAX);
    for (uint32_t i = 0; i < count; i++) {
        struct frame_datagram datagram;
        bool reply;
        if (frame_receive(end->host, &frames[i], now_ms, &datagram, &reply) == FRAME_OK) {
            end->got++;
            end->last = datagram.payload[0];
        }
        if (reply)
            port_send(end->port, 0, &frames[i], 1);
        else
            port_free(end->port, &frames[i], 1);
    }
    if (frame_arp_pending(end->host, now_ms) && port_alloc(end->port, 0, &out)) {
        if (frame_arp_due(end->host, &out, now_ms))
            port_send(end->port, 0, &out, 1);
        else
            port_free(end->port, &out, 1);
    }
}

static void test_conversation(void)
{
    struct port *a, *b;
    struct end ends[2];
    open_pair(&a, &b, "talk");
    end_open(&ends[0], a, 0x0a000001);
    end_open(&ends[1], b, 0x0a000002);
    uint32_t unresolved = 0;
    for (uint64_t ms = 0; ms < 1000; ms++) {
        for (int i = 0; i < 2; i++) {
            struct port_frame frame;
            struct frame_address to = {.ip = 0x0a000002 - (uint32_t)i, .port = 9};
            CU_ASSERT_FATAL(port_alloc(ends[i].port, 0, &frame));
            frame.data[FRAME_HEADS_SIZE] = (uint8_t)ms;
            if (frame_finish(ends[i].host, &frame, &to, 9, 1, ms) == FRAME_OK)
                port_send(ends[i].port, 0, &frame, 1);
            else
                port_free(ends[i].port, &frame, 1);
            end_turn(&ends[i], ms);
        }
    }
    for (int i = 0; i < 2; i++) {
        end_turn(&ends[i], 1000);
        unresolved += (uint32_t)frame_drops(ends[i].host)[FRAME_UNRESOLVED];
        CU_ASSERT(ends[i].last == (uint8_t)999);
        CU_ASSERT_EQUAL(frame_drops(ends[i].host)[FRAME_UDP_CHECKSUM], 0);
    }
    CU_ASSERT_EQUAL(ends[0].got + ends[1].got + unresolved, 2000);
    CU_ASSERT(unresolved >= 2 && unresolved < 20);
    free(ends[0].host);
    free(ends[1].host);
    port_close(a);
    port_close(b);
}

static void test_memory(void)
{
    struct eal_memory memory;
    for (size_t align = 64; align <= 2 << 20; align *= 8) {
        size_t size = 3 * 1024 * 1024 + 17;
        CU_ASSERT_EQUAL_FATAL(eal_memory_take(&memory, size, align), 0);
        CU_ASSERT((uintptr_t)memory.base % align == 0 && memory.size == size);
        uint8_t *bytes = memory.base;
        uint8_t any = 0;
        for (size_t i = 0; i < size; i++)
            any |= bytes[i];
        CU_ASSERT_EQUAL(any, 0);
        memset(bytes, 0xff, size);
        eal_memory_return(&memory);
        CU_ASSERT(memory.base == NULL);
    }
    CU_ASSERT_EQUAL(eal_memory_take(&memory, (size_t)1 << 60, 64), -ENOMEM);
}

static void test_threads(void)
{
    CU_ASSERT(eal_thread_register() <= 0);
    eal_cleanup();
    eal_cleanup(); /* twice is as once */
}

int main(void)
{
    static const struct unit_test tests[] = {
        {"EAL: refusals, the arguments, once", test_eal},
        {"the pool is planned", test_plan},
        {"what cannot be is refused, and says why", test_refused},
        {"a device", test_device},
        {"a pair of ports", test_pair},
        {"a full ring, an empty pool", test_full},
        {"several segments, too long, tagged", test_unfit},
        {"two hosts find each other and talk", test_conversation},
        {"memory for the window", test_memory},
        {"threads, and the end", test_threads},
        {0}};
    return unit_main("port_dpdk", tests);
}
