#include "tests/unit/dataplane/wire_fake.h"

#include "tests/unit/unit.h"

#include <stdlib.h>
#include <string.h>

enum { POOL = 1024, IP_TO = 30, UDP_TO_PORT = 36 };

struct port *wire_new(void)
{
    struct port *port = calloc(1, sizeof(*port));
    CU_ASSERT_PTR_NOT_NULL_FATAL(port);
    port->left = POOL;
    return port;
}

void wire_free(struct port *port)
{
    CU_ASSERT_EQUAL(port->out, 0);
    free(port);
}

void wire_clear(struct port *port)
{
    port->count = 0;
}

bool port_alloc(struct port *port, uint32_t queue, struct port_frame *frame)
{
    (void)queue;
    if (port->left == 0)
        return false;
    port->left--;
    port->out++;
    *frame = (struct port_frame){.data = malloc(PORT_FRAME_MAX)};
    CU_ASSERT_PTR_NOT_NULL_FATAL(frame->data);
    frame->buffer = frame->data;
    return true;
}

void port_free(struct port *port, struct port_frame *frames, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        free(frames[i].buffer);
        port->out--;
        port->left++;
    }
}

static void keep(struct port *port, const struct port_frame *frame)
{
    CU_ASSERT_FATAL(port->count < WIRE_KEPT_MAX);
    CU_ASSERT_FATAL(frame->size >= FRAME_HEADS_SIZE && frame->size <= PORT_FRAME_MAX);
    struct wire_kept *kept = &port->kept[port->count++];
    const uint8_t *at = frame->data;
    kept->size = ((uint32_t)at[38] << 8 | at[39]) - FRAME_UDP_SIZE; /* UDP length */
    CU_ASSERT_FATAL(kept->size + FRAME_HEADS_SIZE <= frame->size);
    memcpy(kept->to_mac, at, sizeof(kept->to_mac));
    kept->to = (uint32_t)at[IP_TO] << 24 | (uint32_t)at[IP_TO + 1] << 16 |
               (uint32_t)at[IP_TO + 2] << 8 | at[IP_TO + 3];
    kept->to_port = (uint16_t)(at[UDP_TO_PORT] << 8 | at[UDP_TO_PORT + 1]);
    memcpy(kept->payload, at + FRAME_HEADS_SIZE, kept->size);
}

uint32_t port_send(struct port *port, uint32_t queue, struct port_frame *frames, uint32_t count)
{
    (void)queue;
    for (uint32_t i = 0; i < count; i++)
        keep(port, &frames[i]);
    port_free(port, frames, count);
    return count;
}
