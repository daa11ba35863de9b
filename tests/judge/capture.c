#include "judge.h"

#include <inttypes.h>

/* Classic pcap (draft-ietf-opsawg-pcap), Ethernet or Linux cooked, IPv4 (RFC 791), UDP (RFC 768).
 */

enum {
    PCAP_HEAD = 24,
    RECORD_HEAD = 16,
    LINK_ETHERNET = 1,
    LINK_COOKED = 113,
    LINK_COOKED2 = 276,
    TYPE_IPV4 = 0x0800,
    TYPE_VLAN = 0x8100,
    PROTOCOL_UDP = 17,
    IP_HEAD = 20,
    UDP_HEAD = 8
};

struct pcap {
    bool swapped; /* big-endian */
    bool nanoseconds;
    uint32_t link;
};

static uint32_t word(const struct pcap *pcap, const uint8_t *at)
{
    return pcap->swapped ? be32(at) : le32(at);
}

static bool pcap_head(struct pcap *pcap, const struct file *file, struct report *report)
{
    if (file->size < PCAP_HEAD) {
        unreadable(report, "%s: too short for a capture", file->path);
        return false;
    }
    uint32_t little = le32(file->at);
    uint32_t big = be32(file->at);
    pcap->swapped = big == 0xa1b2c3d4u || big == 0xa1b23c4du;
    pcap->nanoseconds = little == 0xa1b23c4du || big == 0xa1b23c4du;
    if (!pcap->swapped && little != 0xa1b2c3d4u && little != 0xa1b23c4du) {
        unreadable(report, "%s: not a classic pcap file", file->path);
        return false;
    }
    pcap->link = word(pcap, file->at + 20) & 0xffff;
    if (pcap->link != LINK_ETHERNET && pcap->link != LINK_COOKED && pcap->link != LINK_COOKED2) {
        unreadable(report, "%s: link type %u is not Ethernet nor Linux cooked", file->path,
                   pcap->link);
        return false;
    }
    return true;
}

/* Offset of the IPv4 header within a frame; 0: not IPv4. */
static size_t ip_offset(const struct pcap *pcap, const uint8_t *at, size_t size)
{
    if (pcap->link == LINK_COOKED)
        return size >= 16 && be16(at + 14) == TYPE_IPV4 ? 16 : 0;
    if (pcap->link == LINK_COOKED2)
        return size >= 20 && be16(at) == TYPE_IPV4 ? 20 : 0;
    if (size >= 18 && be16(at + 12) == TYPE_VLAN)
        return be16(at + 16) == TYPE_IPV4 ? 18 : 0;
    return size >= 14 && be16(at + 12) == TYPE_IPV4 ? 14 : 0;
}

/* Fills the datagram; false: no UDP over IPv4. */
static bool udp_take(struct datagram *datagram, const uint8_t *ip, size_t size)
{
    if (size < IP_HEAD || ip[0] >> 4 != 4 || ip[9] != PROTOCOL_UDP)
        return false;
    size_t head = (size_t)(ip[0] & 15) * 4;
    size_t total = be16(ip + 2);
    datagram->from = be32(ip + 12);
    datagram->to = be32(ip + 16);
    datagram->broken =
        head < IP_HEAD || total < head + UDP_HEAD || total > size || (be16(ip + 6) & 0x3fff) != 0;
    if (datagram->broken)
        return true;
    const uint8_t *udp = ip + head;
    size_t length = be16(udp + 4);
    datagram->from_port = be16(udp);
    datagram->to_port = be16(udp + 2);
    datagram->broken = length < UDP_HEAD || length > total - head;
    if (datagram->broken)
        return true;
    datagram->at = udp + UDP_HEAD;
    datagram->size = length - UDP_HEAD;
    return true;
}

void capture_read(const struct file *file, int capture, struct report *report,
                  void (*each)(void *context, const struct datagram *datagram), void *context)
{
    struct pcap pcap;
    if (!pcap_head(&pcap, file, report))
        return;
    uint64_t number = 0;
    size_t at = PCAP_HEAD;
    while (at < file->size) {
        number++;
        const uint8_t *record = file->at + at;
        size_t left = file->size - at;
        if (left < RECORD_HEAD || word(&pcap, record + 8) > left - RECORD_HEAD) {
            fail(report, "%s packet %" PRIu64 ": the capture is cut off", file->path, number);
            return;
        }
        size_t size = word(&pcap, record + 8);
        const uint8_t *frame = record + RECORD_HEAD;
        uint64_t part = word(&pcap, record + 4);
        struct datagram datagram = {.number = number, .capture = capture};
        datagram.utc_ns =
            word(&pcap, record) * 1000000000ull + (pcap.nanoseconds ? part : part * 1000);
        size_t ip = ip_offset(&pcap, frame, size);
        if (ip != 0 && udp_take(&datagram, frame + ip, size - ip))
            each(context, &datagram);
        at += RECORD_HEAD + size;
    }
}
