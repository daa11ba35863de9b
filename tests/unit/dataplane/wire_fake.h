/* A port that keeps what is sent through it, linked in place of port_dpdk.c: for tests of roles
 * that build packets of their own. It can run out of buffers, and counts that each one comes back.
 */
#ifndef KEEL_TEST_WIRE_FAKE_H
#define KEEL_TEST_WIRE_FAKE_H

#include "dataplane/frame.h"
#include "dataplane/port.h"

enum { WIRE_KEPT_MAX = 512 };

struct wire_kept {
    uint32_t size; /* of the UDP payload */
    uint32_t to;   /* IPv4 address, host order */
    uint16_t to_port;
    uint8_t to_mac[6];
    uint8_t payload[FRAME_PAYLOAD_MAX];
};

struct port {
    uint32_t count;
    uint32_t out;  /* buffers handed out and not come back */
    uint32_t left; /* buffers that the pool still has */
    struct wire_kept kept[WIRE_KEPT_MAX];
};

/* A port with all its buffers; the caller frees it with wire_free(), which asserts that none leaks.
 */
struct port *wire_new(void);
void wire_free(struct port *port);
/* Forgets what was kept. */
void wire_clear(struct port *port);

#endif
