/* port.h on the simulated switch (network.c). */
#include "tests/sim/world.h"

#include <stdlib.h>

enum { PORT_RX = 1024, PORT_BUFFER = 2048 };

struct port {
    struct world *world;
    uint32_t endpoint;
    uint32_t head, tail; /* of received frames */
    struct port_frame rx[PORT_RX];
    struct port_stats stats;
    uint8_t *idle[PORT_RX]; /* buffers to use again */
    uint32_t idle_count;
};

struct port *sim_port_open(struct world *world, uint32_t endpoint)
{
    struct port *port = calloc(1, sizeof(*port));
    ENSURE(port != NULL);
    port->world = world;
    port->endpoint = endpoint;
    return port;
}

static uint8_t *buffer_take(struct port *port)
{
    uint8_t *buffer = port->idle_count > 0 ? port->idle[--port->idle_count] : malloc(PORT_BUFFER);
    ENSURE(buffer != NULL);
    return buffer;
}

static void buffer_give(struct port *port, uint8_t *buffer)
{
    if (port->idle_count < PORT_RX)
        port->idle[port->idle_count++] = buffer;
    else
        free(buffer);
}

void sim_port_close(struct port *port)
{
    if (port == NULL)
        return;
    for (; port->head != port->tail; port->head++)
        free(port->rx[port->head % PORT_RX].buffer);
    while (port->idle_count > 0)
        free(port->idle[--port->idle_count]);
    free(port);
}

void sim_port_deliver(struct port *port, const uint8_t *bytes, uint32_t size)
{
    if (port->tail - port->head == PORT_RX) {
        port->stats.rx_missed++;
        return;
    }
    struct port_frame *frame = &port->rx[port->tail++ % PORT_RX];
    frame->buffer = buffer_take(port);
    frame->data = frame->buffer;
    memcpy(frame->data, bytes, size);
    frame->size = size;
    frame->flags = 0;
}

uint32_t port_receive(struct port *port, uint32_t queue, struct port_frame *frames, uint32_t max)
{
    (void)queue;
    uint32_t count = 0;
    while (count < max && port->head != port->tail)
        frames[count++] = port->rx[port->head++ % PORT_RX];
    port->stats.rx_frames += count;
    return count;
}

bool port_alloc(struct port *port, uint32_t queue, struct port_frame *frame)
{
    (void)queue;
    frame->buffer = buffer_take(port);
    frame->data = frame->buffer;
    frame->size = 0;
    frame->flags = 0;
    return true;
}

bool sim_port_is_request(const uint8_t *bytes, uint32_t size)
{
    return size >= FRAME_HEADS_SIZE + MOLD_HEADER_SIZE && bytes[12] == 8 && bytes[13] == 0 &&
           bytes[23] == 17 && (bytes[36] << 8 | bytes[37]) == 7401;
}

/* A feed packet is judged where it leaves its replica, before the network loses any. */
static void look(struct port *port, const struct port_frame *frame)
{
    if (port->endpoint >= ENDPOINT_GUEST || frame->size < FRAME_HEADS_SIZE + MOLD_HEADER_SIZE)
        return;
    const uint8_t *udp = frame->data + FRAME_ETHERNET_SIZE + FRAME_IPV4_SIZE;
    bool is_udp = frame->data[12] == 0x08 && frame->data[13] == 0 && frame->data[23] == 17;
    uint16_t from = (uint16_t)(udp[0] << 8 | udp[1]), to = (uint16_t)(udp[2] << 8 | udp[3]);
    if (is_udp && from == 7401)
        export_frame(port->world, frame->data, frame->size);
    if (is_udp && from == 7401)
        check_feed(port->world, &port->world->node[port->endpoint], frame->data + FRAME_HEADS_SIZE,
                   frame->size - FRAME_HEADS_SIZE, to != 7500);
}

uint32_t port_send(struct port *port, uint32_t queue, struct port_frame *frames, uint32_t count)
{
    (void)queue;
    for (uint32_t i = 0; i < count; i++) {
        look(port, &frames[i]);
        net_send(port->world, port->endpoint, frames[i].data, frames[i].size);
        buffer_give(port, frames[i].buffer);
    }
    port->stats.tx_frames += count;
    return count;
}

void port_free(struct port *port, struct port_frame *frames, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        buffer_give(port, frames[i].buffer);
}

void port_facts(const struct port *port, struct port_facts *facts)
{
    memset(facts, 0, sizeof(*facts));
    strcpy(facts->name, "sim");
    strcpy(facts->driver, "simulator");
    facts->mac[0] = 2;
    facts->mac[5] = (uint8_t)port->endpoint;
    facts->mtu = KEEL_MTU;
    facts->queues = 1;
    facts->numa_node = -1;
}

void port_stats(const struct port *port, struct port_stats *stats)
{
    *stats = port->stats;
}
