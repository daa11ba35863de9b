#include "dataplane/frame.h"

#include "consensus/ensure.h"
#include "dataplane/frame_bytes.h"
#include "dataplane/metrics.h"
#include "dataplane/neighbour.h"

#include <string.h>

/* Offsets from the first byte of the Ethernet header. */
enum {
    ETHERNET_TO = 0,
    ETHERNET_FROM = 6,
    ETHERNET_TYPE = 12,
    TYPE_IPV4 = 0x0800,
    TYPE_ARP = 0x0806
};

/* Offsets from the first byte of an ARP packet for Ethernet and IPv4 (RFC 826). */
enum {
    ARP_HARDWARE = 0,
    ARP_PROTOCOL = 2,
    ARP_SIZES = 4, /* of a hardware and a protocol address: 6 and 4 */
    ARP_OPERATION = 6,
    ARP_SENDER_MAC = 8,
    ARP_SENDER_IP = 14,
    ARP_TARGET_MAC = 18,
    ARP_TARGET_IP = 24,
    ARP_SIZE = 28,
    ARP_REQUEST = 1,
    ARP_ANSWER = 2
};
_Static_assert(FRAME_ETHERNET_SIZE + ARP_SIZE == FRAME_ARP_SIZE, "an ARP packet in its frame");

/* Offsets from the first byte of the IPv4 header (RFC 791 section 3.1). */
enum {
    IPV4_VERSION = 0,
    IPV4_TOTAL = 2,
    IPV4_FRAGMENT = 6,
    IPV4_TTL = 8,
    IPV4_PROTOCOL = 9,
    IPV4_CHECKSUM = 10,
    IPV4_FROM = 12,
    IPV4_TO = 16,
    IPV4_DONT_FRAGMENT = 0x4000,
    IPV4_FRAGMENTED = 0x3fff, /* more fragments, or an offset */
    PROTOCOL_ICMP = 1,
    PROTOCOL_UDP = 17
};

enum { UDP_FROM = 0, UDP_TO = 2, UDP_LENGTH = 4, UDP_CHECKSUM = 6 };
enum { ICMP_TYPE = 0, ICMP_CODE = 1, ICMP_CHECKSUM = 2, ICMP_SIZE = 8, ICMP_ECHO = 8 };
_Static_assert(FRAME_ETHERNET_SIZE + FRAME_IPV4_SIZE + FRAME_UDP_SIZE == FRAME_HEADS_SIZE, "heads");
_Static_assert(FRAME_HEADS_SIZE + FRAME_PAYLOAD_MAX == PORT_FRAME_MAX, "largest frame");

enum {
    SOURCES = 256, /* rate limits: sources share one by hash */
    ANSWER_MS = 1000 / FRAME_ANSWERS_PER_S,
    /* RFC 5227 section 1.1: announcements, and pauses between defences of an address */
    ANNOUNCE_COUNT = 2,
    ANNOUNCE_PAUSE_MS = 2000,
    DEFEND_PAUSE_MS = 10000
};

struct frame_host {
    struct frame_options options;
    uint32_t mask;          /* of the directly connected network */
    uint32_t announcements; /* still to be sent */
    uint64_t announce_ms;   /* when the next one is due */
    uint64_t defended_ms;   /* 0: never */
    uint64_t drops[FRAME_DROP_COUNT];
    uint64_t arp_next_ms[SOURCES]; /* when the source's budget is whole again */
    uint64_t echo_next_ms[SOURCES];
    struct neighbours neighbours;
};

static const uint8_t broadcast_mac[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
static const uint8_t zero_mac[6] = {0};

const char *frame_drop_name(enum frame_drop drop)
{
    static const char *const names[FRAME_DROP_COUNT] = {
        [FRAME_OK] = "ok",
        [FRAME_TAKEN] = "taken",
        [FRAME_SHORT] = "short",
        [FRAME_UNFIT] = "unfit",
        [FRAME_OTHER_MAC] = "other_mac",
        [FRAME_OTHER_TYPE] = "other_type",
        [FRAME_BAD_ARP] = "bad_arp",
        [FRAME_BAD_IPV4] = "bad_ipv4",
        [FRAME_IP_CHECKSUM] = "ip_checksum",
        [FRAME_OTHER_IP] = "other_ip",
        [FRAME_FRAGMENT] = "fragment",
        [FRAME_OTHER_PROTOCOL] = "other_protocol",
        [FRAME_BAD_UDP] = "bad_udp",
        [FRAME_UDP_CHECKSUM] = "udp_checksum",
        [FRAME_OTHER_PORT] = "other_port",
        [FRAME_BAD_SOURCE] = "bad_source",
        [FRAME_ECHO_LIMIT] = "echo_limit",
        [FRAME_ARP_LIMIT] = "arp_limit",
        [FRAME_ARP_UNASKED] = "arp_unasked",
        [FRAME_ARP_CONFLICT] = "arp_conflict",
        [FRAME_NO_CHECKSUM] = "no_checksum",
        [FRAME_UNRESOLVED] = "unresolved",
    };
    ENSURE(drop < FRAME_DROP_COUNT && names[drop] != NULL);
    return names[drop];
}

static bool is_multicast(uint32_t ip)
{
    return ip >> 28 == 0xe;
}

/* An address that one host can have: not 0/8, loopback, multicast or above. */
static bool is_unicast(uint32_t ip)
{
    return ip >> 24 != 0 && ip >> 24 != 127 && ip >> 28 < 0xe;
}

static bool mac_is(const uint8_t *a, const uint8_t *b)
{
    return memcmp(a, b, 6) == 0;
}

static bool mac_is_unicast(const uint8_t *mac)
{
    return (mac[0] & 1) == 0 && !mac_is(mac, zero_mac);
}

/* The broadcast or network address of the directly connected network (RFC 1122 section 3.2.1.3); a
 * /31 or /32 has none (RFC 3021). */
static bool is_network_edge(const struct frame_host *host, uint32_t ip)
{
    uint32_t rest = ip & ~host->mask;
    return host->options.prefix < 31 && ((ip ^ host->options.ip) & host->mask) == 0 &&
           (rest == 0 || rest == ~host->mask);
}

size_t frame_host_size(void)
{
    return sizeof(struct frame_host);
}

struct frame_host *frame_host_init(void *memory, const struct frame_options *options)
{
    struct frame_host *host = memory;
    ENSURE(options->prefix <= 32);
    ENSURE(is_unicast(options->ip) && mac_is_unicast(options->mac));
    memset(host, 0, sizeof(*host));
    host->options = *options;
    host->mask = options->prefix == 0 ? 0 : ~0u << (32 - options->prefix);
    host->announcements = ANNOUNCE_COUNT;
    neighbours_init(&host->neighbours);
    return host;
}

/* One answer from the budget of a source: a burst at first, then one each ANSWER_MS. */
static bool may_answer(uint64_t next_ms[SOURCES], uint32_t source, uint64_t now_ms)
{
    uint64_t *next = &next_ms[(source * 2654435761u) >> 24 & (SOURCES - 1)];
    uint64_t from = *next > now_ms ? *next : now_ms;
    if (from - now_ms > (FRAME_ANSWERS_BURST - 1) * ANSWER_MS)
        return false;
    *next = from + ANSWER_MS;
    return true;
}

/* Zeros up to the shortest Ethernet frame, but not past `room`. */
static void pad(struct port_frame *frame, uint32_t size, uint32_t room)
{
    uint32_t padded = room < FRAME_SIZE_MIN ? room : FRAME_SIZE_MIN;
    if (size < padded) {
        memset(frame->data + size, 0, padded - size);
        size = padded;
    }
    frame->size = size;
}

static void put_arp(const struct frame_host *host, uint8_t *data, uint16_t operation,
                    const uint8_t to[6], const uint8_t target_mac[6], uint32_t target_ip)
{
    uint8_t *arp = data + FRAME_ETHERNET_SIZE;
    memcpy(data + ETHERNET_TO, to, 6);
    memcpy(data + ETHERNET_FROM, host->options.mac, 6);
    frame_put16(data + ETHERNET_TYPE, TYPE_ARP);
    frame_put16(arp + ARP_HARDWARE, 1);
    frame_put16(arp + ARP_PROTOCOL, TYPE_IPV4);
    frame_put16(arp + ARP_SIZES, 6 << 8 | 4);
    frame_put16(arp + ARP_OPERATION, operation);
    memcpy(arp + ARP_SENDER_MAC, host->options.mac, 6);
    frame_put32(arp + ARP_SENDER_IP, host->options.ip);
    memcpy(arp + ARP_TARGET_MAC, target_mac, 6);
    frame_put32(arp + ARP_TARGET_IP, target_ip);
}

/* RFC 5227 section 2.4(b): one announcement, if the last defence is long ago. */
static void defend(struct frame_host *host, uint64_t now_ms)
{
    if (host->defended_ms != 0 && now_ms - host->defended_ms < DEFEND_PAUSE_MS)
        return;
    host->defended_ms = now_ms == 0 ? 1 : now_ms;
    if (host->announcements == 0) {
        host->announcements = 1;
        host->announce_ms = now_ms;
    }
}

static enum frame_drop receive_arp(struct frame_host *host, struct port_frame *frame,
                                   uint64_t now_ms, bool *reply)
{
    const struct frame_options *own = &host->options;
    const uint8_t *arp = frame->data + FRAME_ETHERNET_SIZE;
    if (frame->size < FRAME_ARP_SIZE)
        return FRAME_SHORT;
    uint16_t operation = frame_get16(arp + ARP_OPERATION);
    if (frame_get16(arp + ARP_HARDWARE) != 1 || frame_get16(arp + ARP_PROTOCOL) != TYPE_IPV4 ||
        frame_get16(arp + ARP_SIZES) != (6 << 8 | 4) ||
        (operation != ARP_REQUEST && operation != ARP_ANSWER))
        return FRAME_BAD_ARP;

    uint8_t sender[6];
    memcpy(sender, arp + ARP_SENDER_MAC, 6);
    uint32_t sender_ip = frame_get32(arp + ARP_SENDER_IP);
    uint32_t target_ip = frame_get32(arp + ARP_TARGET_IP);
    bool probe = operation == ARP_REQUEST && sender_ip == 0; /* RFC 5227 section 2.1 */
    if (!mac_is_unicast(sender) || (!probe && !is_unicast(sender_ip)))
        return FRAME_BAD_ARP;
    if (mac_is(sender, own->mac))
        return FRAME_BAD_SOURCE;
    if (sender_ip == own->ip) {
        defend(host, now_ms);
        return FRAME_ARP_CONFLICT;
    }

    if (operation == ARP_ANSWER && target_ip == own->ip && mac_is(arp + ARP_TARGET_MAC, own->mac) &&
        mac_is(frame->data, own->mac) &&
        neighbours_answer(&host->neighbours, sender_ip, sender, now_ms))
        return FRAME_TAKEN;
    if (!probe)
        neighbours_hint(&host->neighbours, sender_ip, sender, now_ms);
    if (operation == ARP_ANSWER || sender_ip == target_ip)
        return FRAME_ARP_UNASKED;
    if (target_ip != own->ip)
        return FRAME_OTHER_IP;

    if (!may_answer(host->arp_next_ms, frame_get32(sender + 2), now_ms))
        return FRAME_ARP_LIMIT;
    put_arp(host, frame->data, ARP_ANSWER, sender, sender, sender_ip);
    pad(frame, FRAME_ARP_SIZE, frame->size);
    frame->flags = 0;
    *reply = true;
    return FRAME_TAKEN;
}

/* A header of 20 bytes for `size` bytes behind it; its checksum is left 0. */
static void put_ipv4(uint8_t *ip, uint32_t from, uint32_t to, uint8_t protocol, uint32_t size)
{
    ip[IPV4_VERSION] = 0x45;
    ip[1] = 0;
    frame_put16(ip + IPV4_TOTAL, (uint16_t)(FRAME_IPV4_SIZE + size));
    /* Never fragmented, so the identification means nothing: RFC 6864 section 4. */
    frame_put32(ip + 4, IPV4_DONT_FRAGMENT);
    ip[IPV4_TTL] = is_multicast(to) ? FRAME_MULTICAST_TTL : FRAME_TTL;
    ip[IPV4_PROTOCOL] = protocol;
    memset(ip + IPV4_CHECKSUM, 0, 2);
    frame_put32(ip + IPV4_FROM, from);
    frame_put32(ip + IPV4_TO, to);
}

static void seal_ipv4(uint8_t *ip)
{
    uint16_t sum = frame_sum_fold(frame_sum(0, ip, FRAME_IPV4_SIZE));
    memcpy(ip + IPV4_CHECKSUM, &sum, 2);
}

/* RFC 792, RFC 1122 section 3.2.2.6. `body` is the ICMP message of `size` bytes. */
static enum frame_drop receive_icmp(struct frame_host *host, struct port_frame *frame,
                                    const uint8_t *body, uint32_t size, uint32_t from,
                                    uint64_t now_ms, bool *reply)
{
    if (size < ICMP_SIZE || body[ICMP_TYPE] != ICMP_ECHO || body[ICMP_CODE] != 0 ||
        frame_sum_fold(frame_sum(0, body, size)) != 0)
        return FRAME_OTHER_PROTOCOL;
    if (!may_answer(host->echo_next_ms, from, now_ms))
        return FRAME_ECHO_LIMIT;

    uint8_t *ip = frame->data + FRAME_ETHERNET_SIZE;
    uint8_t *icmp = ip + FRAME_IPV4_SIZE;
    memmove(icmp, body, size); /* the options of the request, if any, are left out */
    icmp[ICMP_TYPE] = 0;
    memset(icmp + ICMP_CHECKSUM, 0, 2);
    uint16_t sum = frame_sum_fold(frame_sum(0, icmp, size));
    memcpy(icmp + ICMP_CHECKSUM, &sum, 2);
    put_ipv4(ip, host->options.ip, from, PROTOCOL_ICMP, size);
    seal_ipv4(ip);
    memcpy(frame->data + ETHERNET_TO, frame->data + ETHERNET_FROM, 6);
    memcpy(frame->data + ETHERNET_FROM, host->options.mac, 6);
    pad(frame, FRAME_ETHERNET_SIZE + FRAME_IPV4_SIZE + size, frame->size);
    frame->flags = 0;
    *reply = true;
    return FRAME_TAKEN;
}

/* RFC 768: the two addresses, the protocol and the UDP length, as they stand in memory. */
static uint64_t pseudo_sum(const uint8_t *ip, uint32_t udp_size)
{
    uint64_t tail = (uint64_t)PROTOCOL_UDP << 8; /* zero byte, protocol */
    tail |= (uint64_t)__builtin_bswap16((uint16_t)udp_size) << 16;
    return frame_add64(frame_load64(ip + IPV4_FROM), tail);
}

HOT static enum frame_drop receive_udp(struct frame_host *host, const struct port_frame *frame,
                                       const uint8_t *ip, const uint8_t *udp, uint32_t size,
                                       struct frame_datagram *datagram)
{
    if (size < FRAME_UDP_SIZE || frame_get16(udp + UDP_LENGTH) != size)
        return FRAME_BAD_UDP;
    uint16_t from_port = frame_get16(udp + UDP_FROM);
    uint16_t to_port = frame_get16(udp + UDP_TO);
    if (from_port == 0)
        return FRAME_BAD_SOURCE;
    bool open = false;
    for (uint32_t i = 0; i < FRAME_PORTS_MAX && host->options.ports[i] != 0; i++)
        open |= host->options.ports[i] == to_port;
    if (!open)
        return FRAME_OTHER_PORT;
    if (frame_get16(udp + UDP_CHECKSUM) == 0)
        metric_add(&host->drops[FRAME_NO_CHECKSUM], 1); /* RFC 768: the sender made none */
    else if ((frame->flags & PORT_RX_UDP_GOOD) == 0 &&
             frame_sum_fold(frame_sum(pseudo_sum(ip, size), udp, size)) != 0)
        return FRAME_UDP_CHECKSUM;

    datagram->from.ip = frame_get32(ip + IPV4_FROM);
    datagram->from.port = from_port;
    memcpy(datagram->from.mac, frame->data + ETHERNET_FROM, 6);
    datagram->to_port = to_port;
    datagram->to_multicast = is_multicast(frame_get32(ip + IPV4_TO));
    datagram->payload = udp + FRAME_UDP_SIZE;
    datagram->size = size - FRAME_UDP_SIZE;
    return FRAME_OK;
}

/* A unicast frame carries our own address, a multicast frame the group of its MAC (RFC 1122 section
 * 3.3.6: a unicast datagram in a broadcast frame is dropped). */
static bool is_for_us(const struct frame_host *host, const uint8_t *to_mac, uint32_t to)
{
    if (to == host->options.ip)
        return mac_is(to_mac, host->options.mac);
    if (!is_multicast(to))
        return false;
    uint8_t group[6];
    frame_multicast_mac(to, group);
    return mac_is(to_mac, group);
}

HOT static enum frame_drop receive_ipv4(struct frame_host *host, struct port_frame *frame,
                                        uint64_t now_ms, struct frame_datagram *datagram,
                                        bool *reply)
{
    const uint8_t *ip = frame->data + FRAME_ETHERNET_SIZE;
    uint32_t room = frame->size - FRAME_ETHERNET_SIZE;
    if (room < FRAME_IPV4_SIZE)
        return FRAME_SHORT;
    uint32_t head = (ip[IPV4_VERSION] & 0x0fu) * 4;
    uint32_t total = frame_get16(ip + IPV4_TOTAL);
    if (ip[IPV4_VERSION] >> 4 != 4 || head < FRAME_IPV4_SIZE || total < head || total > room)
        return FRAME_BAD_IPV4;
    if ((frame->flags & PORT_RX_IP_GOOD) == 0 && frame_sum_fold(frame_sum(0, ip, head)) != 0)
        return FRAME_IP_CHECKSUM;
    if (!is_for_us(host, frame->data + ETHERNET_TO, frame_get32(ip + IPV4_TO)))
        return FRAME_OTHER_IP;
    uint32_t from = frame_get32(ip + IPV4_FROM);
    if (!is_unicast(from) || from == host->options.ip || is_network_edge(host, from))
        return FRAME_BAD_SOURCE;
    if ((frame_get16(ip + IPV4_FRAGMENT) & IPV4_FRAGMENTED) != 0)
        return FRAME_FRAGMENT;
    if (ip[IPV4_PROTOCOL] == PROTOCOL_UDP)
        return receive_udp(host, frame, ip, ip + head, total - head, datagram);
    if (ip[IPV4_PROTOCOL] == PROTOCOL_ICMP && frame_get32(ip + IPV4_TO) == host->options.ip)
        return receive_icmp(host, frame, ip + head, total - head, from, now_ms, reply);
    return FRAME_OTHER_PROTOCOL;
}

HOT static enum frame_drop receive(struct frame_host *host, struct port_frame *frame,
                                   uint64_t now_ms, struct frame_datagram *datagram, bool *reply)
{
    const uint8_t *data = frame->data;
    if ((frame->flags & PORT_RX_UNFIT) != 0 || frame->size > PORT_FRAME_MAX)
        return FRAME_UNFIT;
    if (frame->size < FRAME_ETHERNET_SIZE)
        return FRAME_SHORT;
    if ((frame->flags & PORT_RX_TAGGED) != 0)
        return FRAME_OTHER_TYPE;
    bool unicast = mac_is(data + ETHERNET_TO, host->options.mac);
    bool broadcast = mac_is(data + ETHERNET_TO, broadcast_mac);
    if (!unicast && (data[ETHERNET_TO] & 1) == 0)
        return FRAME_OTHER_MAC;
    if (!mac_is_unicast(data + ETHERNET_FROM) || mac_is(data + ETHERNET_FROM, host->options.mac))
        return FRAME_BAD_SOURCE;
    uint16_t type = frame_get16(data + ETHERNET_TYPE);
    if (type == TYPE_IPV4)
        return broadcast ? FRAME_OTHER_MAC : receive_ipv4(host, frame, now_ms, datagram, reply);
    if (type != TYPE_ARP)
        return FRAME_OTHER_TYPE;
    if (!unicast && !broadcast)
        return FRAME_OTHER_MAC;
    return receive_arp(host, frame, now_ms, reply);
}

HOT enum frame_drop frame_receive(struct frame_host *host, struct port_frame *frame,
                                  uint64_t now_ms, struct frame_datagram *datagram, bool *reply)
{
    *reply = false;
    enum frame_drop drop = receive(host, frame, now_ms, datagram, reply);
    metric_add(&host->drops[drop], 1);
    return drop;
}

void frame_multicast_mac(uint32_t group, uint8_t mac[6])
{
    mac[0] = 0x01;
    mac[1] = 0x00;
    mac[2] = 0x5e;
    mac[3] = group >> 16 & 0x7f;
    mac[4] = group >> 8 & 0xff;
    mac[5] = group & 0xff;
}

HOT void frame_build(struct port_frame *frame, const uint8_t mac[6], uint32_t ip,
                     const struct frame_address *to, uint16_t from_port, uint32_t size,
                     bool tx_checksum)
{
    ENSURE(size <= FRAME_PAYLOAD_MAX);
    uint8_t *data = frame->data;
    uint8_t *head = data + FRAME_ETHERNET_SIZE;
    uint8_t *udp = head + FRAME_IPV4_SIZE;
    uint32_t udp_size = FRAME_UDP_SIZE + size;

    if (is_multicast(to->ip))
        frame_multicast_mac(to->ip, data + ETHERNET_TO);
    else
        memcpy(data + ETHERNET_TO, to->mac, 6);
    memcpy(data + ETHERNET_FROM, mac, 6);
    frame_put16(data + ETHERNET_TYPE, TYPE_IPV4);
    put_ipv4(head, ip, to->ip, PROTOCOL_UDP, udp_size);
    frame_put16(udp + UDP_FROM, from_port);
    frame_put16(udp + UDP_TO, to->port);
    frame_put16(udp + UDP_LENGTH, (uint16_t)udp_size);
    memset(udp + UDP_CHECKSUM, 0, 2);

    uint64_t pseudo = pseudo_sum(head, udp_size);
    uint16_t sum;
    if (tx_checksum) {
        sum = (uint16_t)~frame_sum_fold(pseudo); /* the device adds the rest */
    } else {
        seal_ipv4(head);
        sum = frame_sum_fold(frame_sum(pseudo, udp, udp_size));
        if (sum == 0)
            sum = 0xffff; /* RFC 768: 0 would say that there is none */
    }
    memcpy(udp + UDP_CHECKSUM, &sum, 2);
    frame->flags = tx_checksum ? PORT_TX_CHECKSUM : 0;
    pad(frame, FRAME_HEADS_SIZE + size, PORT_FRAME_MAX);
}

HOT bool frame_resolve(struct frame_host *host, uint32_t ip, uint8_t mac[6], uint64_t now_ms)
{
    const struct frame_options *own = &host->options;
    if (is_multicast(ip)) {
        frame_multicast_mac(ip, mac);
        return true;
    }
    if (!is_unicast(ip) || ip == own->ip || is_network_edge(host, ip))
        return false;
    uint32_t hop = ((ip ^ own->ip) & host->mask) == 0 ? ip : own->gateway;
    if (hop == 0)
        return false;
    return neighbours_find(&host->neighbours, hop, mac, now_ms);
}

HOT enum frame_drop frame_finish(struct frame_host *host, struct port_frame *frame,
                                 const struct frame_address *to, uint16_t from_port, uint32_t size,
                                 uint64_t now_ms)
{
    struct frame_address hop = *to;
    if (mac_is(hop.mac, zero_mac) && !frame_resolve(host, to->ip, hop.mac, now_ms)) {
        metric_add(&host->drops[FRAME_UNRESOLVED], 1);
        return FRAME_UNRESOLVED;
    }
    frame_build(frame, host->options.mac, host->options.ip, &hop, from_port, size,
                host->options.tx_checksum);
    return FRAME_OK;
}

bool frame_neighbour_fix(struct frame_host *host, uint32_t ip, const uint8_t mac[6])
{
    ENSURE(is_unicast(ip) && mac_is_unicast(mac));
    return neighbours_fix(&host->neighbours, ip, mac);
}

bool frame_arp_pending(const struct frame_host *host, uint64_t now_ms)
{
    return (host->announcements > 0 && now_ms >= host->announce_ms) ||
           now_ms >= host->neighbours.due_ms;
}

bool frame_arp_due(struct frame_host *host, struct port_frame *frame, uint64_t now_ms)
{
    uint32_t target = host->options.ip;
    uint8_t to[6];
    if (host->announcements > 0 && now_ms >= host->announce_ms) {
        /* RFC 5227 section 2.3: a request whose sender and target are our own address. */
        host->announcements--;
        host->announce_ms = now_ms + ANNOUNCE_PAUSE_MS;
        memcpy(to, broadcast_mac, 6);
    } else if (!neighbours_next(&host->neighbours, now_ms, &target, to)) {
        return false;
    }
    put_arp(host, frame->data, ARP_REQUEST, to, zero_mac, target);
    pad(frame, FRAME_ARP_SIZE, PORT_FRAME_MAX);
    frame->flags = 0;
    return true;
}

const uint64_t *frame_drops(const struct frame_host *host)
{
    return host->drops;
}
