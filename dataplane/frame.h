/* Ethernet, ARP, IPv4, UDP and ICMP echo over a port: what a kernel would do for an ordinary host.
 *
 * frame_receive() turns one received frame into a datagram or deals with it (ARP, echo) or drops it
 * with a counted reason; frame_finish() completes an outgoing datagram in place. One struct
 * frame_host per replica, owned by `seq`. Other roles send through copies of resolved addresses
 * only. Sources: RFC 826 (ARP), 791 (IPv4), 768 (UDP), 792 (ICMP), 1112 (multicast MAC), 5227
 * (gratuitous ARP).
 */
#ifndef KEEL_FRAME_H
#define KEEL_FRAME_H

#include "dataplane/port.h"

enum {
    FRAME_ETHERNET_SIZE = 14,
    FRAME_IPV4_SIZE = 20,
    FRAME_UDP_SIZE = 8,
    FRAME_ARP_SIZE = 42,   /* Ethernet header and ARP packet, without padding */
    FRAME_SIZE_MIN = 60,   /* shortest Ethernet frame without FCS; padded with zeros up to it */
    FRAME_HEADS_SIZE = 42, /* offset of the UDP payload in a frame that this host builds */
    FRAME_PAYLOAD_MAX = 1472,
    FRAME_NEIGHBOURS_MAX = 256,
    FRAME_ARP_RETRY_MS = 100,    /* first retry, doubles to 400 ms */
    FRAME_ARP_FRESH_MS = 30000,  /* then asked again by unicast while in use */
    FRAME_ARP_STALE_MS = 120000, /* then forgotten */
    FRAME_PORTS_MAX = 8,
    FRAME_TTL = 64,
    FRAME_MULTICAST_TTL = 16,  /* stays within a site */
    FRAME_ANSWERS_PER_S = 100, /* to ARP requests, and as many echoes, for each hashed source */
    FRAME_ANSWERS_BURST = 64
};

/* Each is a counter. */
enum frame_drop {
    FRAME_OK = 0,
    FRAME_TAKEN, /* ARP or echo, dealt with; not a drop */
    FRAME_SHORT,
    FRAME_UNFIT, /* several segments, or too long */
    FRAME_OTHER_MAC,
    FRAME_OTHER_TYPE, /* neither IPv4 nor ARP; VLAN tags too */
    FRAME_BAD_ARP,
    FRAME_BAD_IPV4, /* version, header length, total length */
    FRAME_IP_CHECKSUM,
    FRAME_OTHER_IP,
    FRAME_FRAGMENT,
    FRAME_OTHER_PROTOCOL,
    FRAME_BAD_UDP, /* length */
    FRAME_UDP_CHECKSUM,
    FRAME_OTHER_PORT,
    FRAME_BAD_SOURCE, /* zero, broadcast or multicast source address or port 0 */
    FRAME_ECHO_LIMIT, /* echo requests past the rate limit */
    FRAME_ARP_LIMIT,
    FRAME_ARP_UNASKED,  /* an ARP answer or announcement that we did not ask for */
    FRAME_ARP_CONFLICT, /* another host claims our address */
    FRAME_NO_CHECKSUM,  /* accepted, and counted as FRAME_OK too: UDP checksum 0 */
    FRAME_UNRESOLVED,   /* outgoing: no MAC address known yet (one was asked for) */
    FRAME_DROP_COUNT
};
const char *frame_drop_name(enum frame_drop drop);

struct frame_address {
    uint32_t ip;   /* host order */
    uint16_t port; /* host order */
    uint8_t mac[6];
};

struct frame_datagram {
    struct frame_address from;
    uint16_t to_port;
    bool to_multicast;
    const uint8_t *payload;
    uint32_t size;
};

struct frame_options {
    uint32_t ip;      /* own address, host order */
    uint32_t prefix;  /* bits of the directly connected network */
    uint32_t gateway; /* 0: none */
    uint8_t mac[6];
    uint16_t ports[FRAME_PORTS_MAX]; /* UDP ports that are answered; 0 ends the list */
    bool tx_checksum;                /* device fills checksums */
};

struct frame_host; /* pointer-free block */

/* Bytes of a frame_host; `memory` is aligned to 8. ENSURE: address and MAC are one host's. */
size_t frame_host_size(void);
struct frame_host *frame_host_init(void *memory, const struct frame_options *options);

/* Looks at one received frame. FRAME_OK: *datagram points into it. FRAME_TAKEN: if *reply is set,
 * the answer was built in the very buffer of `frame`, never larger than what came: send it; the
 * frame stays the caller's as usual. Anything else: counted, drop it. A MAC address is learnt only
 * from an answer to our own request (or is configured). Not a byte at or behind frame->data +
 * frame->size is touched. */
enum frame_drop frame_receive(struct frame_host *host, struct port_frame *frame, uint64_t now_ms,
                              struct frame_datagram *datagram, bool *reply);

/* Completes an outgoing frame whose UDP payload of `size` bytes lies at frame->data +
 * FRAME_HEADS_SIZE: all three heads, checksums (or flags), frame->size. Destination MAC: multicast
 * by rule, else `to->mac` if not zero, else the neighbour table. FRAME_UNRESOLVED: not known yet.
 */
enum frame_drop frame_finish(struct frame_host *host, struct port_frame *frame,
                             const struct frame_address *to, uint16_t from_port, uint32_t size,
                             uint64_t now_ms);
/* The same without a host: for roles that carry their own copy of addresses. `mac` and `ip` are
 * this host's own; `to->mac` must be set, unless to->ip is a multicast group. */
void frame_build(struct port_frame *frame, const uint8_t mac[6], uint32_t ip,
                 const struct frame_address *to, uint16_t from_port, uint32_t size,
                 bool tx_checksum);

/* The MAC of a multicast group (RFC 1112 section 6.4): 01:00:5e and the low 23 bits of the address.
 */
void frame_multicast_mac(uint32_t group, uint8_t mac[6]);
/* The MAC of an address (of its next hop), if known; else false, and it is asked for at the next
 * frame_arp_due(). False without asking: own, broadcast, or no route (no gateway). */
bool frame_resolve(struct frame_host *host, uint32_t ip, uint8_t mac[6], uint64_t now_ms);
/* A fixed neighbour from the configuration: never asked for, never aged, never changed by a packet.
 * False: the table is full of fixed ones. */
bool frame_neighbour_fix(struct frame_host *host, uint32_t ip, const uint8_t mac[6]);

/* ARP requests that are due (retries, refreshes, gratuitous at start): builds the next into *frame
 * (a port_alloc()ed one); false: none, the frame is still the caller's to free. */
bool frame_arp_due(struct frame_host *host, struct port_frame *frame, uint64_t now_ms);
/* May one be due? (so that no frame is allocated in vain) */
bool frame_arp_pending(const struct frame_host *host, uint64_t now_ms);

const uint64_t *frame_drops(const struct frame_host *host); /* [FRAME_DROP_COUNT] */

#endif
