/* What the frame tests share: frames in buffers of exactly their size (so that the address
 * sanitizer sees one byte too many), hexadecimal frames, and checksums the slow way, word by word.
 */
#ifndef KEEL_TEST_FRAMES_H
#define KEEL_TEST_FRAMES_H

#include <stdint.h>

#include "dataplane/frame.h"

enum {
    OWN_IP = 0x0a000001,  /* 10.0.0.1/24 */
    PEER_IP = 0x0a000002, /* 10.0.0.2 */
    GATEWAY_IP = 0x0a0000fe,
    OWN_PORT = 7000,
    PEER_PORT = 4000
};
extern const uint8_t own_mac[6];
extern const uint8_t peer_mac[6];

/* A host of its own memory: 10.0.0.1/24, gateway 10.0.0.254, ports 7000 and 7001. */
struct frame_host *frames_host(void);
void frames_host_free(struct frame_host *host);

/* Takes over `size` bytes (or the text's, spaces allowed) into a buffer of exactly that size. */
struct port_frame frames_copy(const uint8_t *data, uint32_t size);
struct port_frame frames_hex(const char *text);
void frames_free(struct port_frame *frame);
/* A buffer of PORT_FRAME_MAX, filled with `fill`. */
struct port_frame frames_room(uint8_t fill);

/* RFC 1071 word by word, complemented, in host order. */
uint16_t frames_sum(const uint8_t *data, uint32_t size, uint32_t start);
/* Makes IPv4 and UDP (or ICMP) checksums right again; the frame is 42 bytes or more, without
 * options. */
void frames_seal(struct port_frame *frame);

/* A UDP frame from the peer to 10.0.0.1:7000, sealed, with `size` bytes 0, 1, 2, ... */
struct port_frame frames_udp(uint32_t size);

/* Receives a copy; FRAME_OK's datagram is compared with nothing. */
enum frame_drop frames_verdict(struct frame_host *host, const struct port_frame *frame,
                               uint64_t now_ms);

#endif
