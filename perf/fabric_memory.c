#include "perf/fabric.h"

#include "consensus/ensure.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BUFFERS = 8 * FABRIC_QUEUE, BUFFER_SIZE = 2048 };

struct queue {
    uint32_t head, tail;
    struct port_frame frame[FABRIC_QUEUE];
};

struct port {
    struct fabric *fabric;
    uint8_t mac[6];
    struct queue in, out;
};

struct fabric {
    uint32_t count;
    fabric_sink_fn *sink;
    void *context;
    struct port port[FABRIC_PORTS_MAX + 1];
    uint8_t *bytes;
    uint8_t *idle[BUFFERS]; /* buffers that nobody holds, newest last */
    uint32_t idle_count;
    uint64_t lost;
};

struct fabric *fabric_open(uint32_t count, fabric_sink_fn *sink, void *context, char *why)
{
    struct fabric *f = aligned_alloc(4096, (sizeof(*f) + 4095) & ~(size_t)4095);
    uint8_t *bytes = aligned_alloc(4096, (size_t)BUFFERS * BUFFER_SIZE);
    ENSURE(count <= FABRIC_PORTS_MAX);
    if (f == NULL || bytes == NULL) {
        snprintf(why, FABRIC_WHY, "no memory for the network: free %u MiB",
                 BUFFERS * BUFFER_SIZE >> 20);
        free(f);
        free(bytes);
        return NULL;
    }
    memset(f, 0, sizeof(*f));
    f->count = count;
    f->sink = sink;
    f->context = context;
    f->bytes = bytes;
    for (uint32_t i = 0; i < BUFFERS; i++)
        f->idle[f->idle_count++] = bytes + (size_t)(BUFFERS - 1 - i) * BUFFER_SIZE;
    for (uint32_t id = 1; id <= count; id++) {
        f->port[id].fabric = f;
        memcpy(f->port[id].mac, (uint8_t[]){2, 0, 0, 0, 0, (uint8_t)id}, 6);
    }
    return f;
}

void fabric_close(struct fabric *f)
{
    free(f->bytes);
    free(f);
}

struct port *fabric_port(struct fabric *f, uint32_t id)
{
    ENSURE(id >= 1 && id <= f->count);
    return &f->port[id];
}

uint64_t fabric_lost(const struct fabric *f)
{
    return f->lost;
}

static bool put(struct queue *q, const struct port_frame *frame)
{
    if (q->tail - q->head == FABRIC_QUEUE)
        return false;
    q->frame[q->tail++ % FABRIC_QUEUE] = *frame;
    return true;
}

/* A copy of the frame into a port's queue. */
static void copy_to(struct port *to, const uint8_t *bytes, uint32_t size)
{
    struct port_frame frame;
    if (!port_alloc(to, 0, &frame)) {
        to->fabric->lost++;
        return;
    }
    memcpy(frame.data, bytes, size);
    frame.size = size;
    if (!put(&to->in, &frame)) {
        to->fabric->lost++;
        port_free(to, &frame, 1);
    }
}

static bool is_for(const struct port *port, const uint8_t *frame)
{
    return (frame[0] & 1) != 0 || memcmp(frame, port->mac, 6) == 0;
}

void fabric_inject(struct fabric *f, const uint8_t *frame, uint32_t size)
{
    for (uint32_t id = 1; id <= f->count; id++)
        if (is_for(&f->port[id], frame))
            copy_to(&f->port[id], frame, size);
}

/* From one replica: handed on without a copy where one replica alone is the receiver. */
static void route(struct fabric *f, struct port *from, struct port_frame *frame)
{
    bool broadcast = (frame->data[0] & 1) != 0;
    for (uint32_t id = 1; id <= f->count && !broadcast; id++) {
        if (!is_for(&f->port[id], frame->data))
            continue;
        if (!put(&f->port[id].in, frame)) {
            f->lost++;
            port_free(from, frame, 1);
        }
        return;
    }
    for (uint32_t id = 1; id <= f->count && broadcast; id++)
        if (&f->port[id] != from)
            copy_to(&f->port[id], frame->data, frame->size);
    f->sink(f->context, frame->data, frame->size);
    port_free(from, frame, 1);
}

uint32_t fabric_turn(struct fabric *f)
{
    uint32_t moved = 0;
    for (uint32_t id = 1; id <= f->count; id++) {
        struct queue *q = &f->port[id].out;
        for (; q->head != q->tail; moved++) { /* bound: FABRIC_QUEUE */
            struct port_frame frame = q->frame[q->head++ % FABRIC_QUEUE];
            route(f, &f->port[id], &frame);
        }
    }
    return moved;
}

/* --- port.h --- */

uint32_t port_receive(struct port *port, uint32_t queue, struct port_frame *frames, uint32_t max)
{
    uint32_t count = 0;
    (void)queue;
    for (; count < max && port->in.head != port->in.tail; count++)
        frames[count] = port->in.frame[port->in.head++ % FABRIC_QUEUE];
    return count;
}

bool port_alloc(struct port *port, uint32_t queue, struct port_frame *frame)
{
    struct fabric *f = port->fabric;
    (void)queue;
    if (f->idle_count == 0)
        return false;
    *frame = (struct port_frame){.data = f->idle[--f->idle_count]};
    frame->buffer = frame->data;
    return true;
}

uint32_t port_send(struct port *port, uint32_t queue, struct port_frame *frames, uint32_t count)
{
    uint32_t sent = 0;
    (void)queue;
    for (; sent < count && put(&port->out, &frames[sent]); sent++)
        frames[sent].flags = 0;
    port->fabric->lost += count - sent;
    port_free(port, frames + sent, count - sent);
    return sent;
}

void port_free(struct port *port, struct port_frame *frames, uint32_t count)
{
    struct fabric *f = port->fabric;
    for (uint32_t i = 0; i < count; i++)
        f->idle[f->idle_count++] = frames[i].buffer;
}

void port_facts(const struct port *port, struct port_facts *facts)
{
    memset(facts, 0, sizeof(*facts));
    memcpy(facts->mac, port->mac, 6);
    facts->mtu = 1500;
    facts->numa_node = -1;
    facts->queues = facts->rx_queues = 1;
    facts->buffers = BUFFERS;
}

void port_stats(const struct port *port, struct port_stats *stats)
{
    memset(stats, 0, sizeof(*stats));
    stats->tx_dropped = port->fabric->lost;
}
