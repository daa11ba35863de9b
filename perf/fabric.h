/* The network of a bench: ports for replicas, and a switch between them and the bench's clients.
 *
 * Two implementations of one face, chosen at link time: fabric_memory.c is port.h on plain memory
 * (nothing but the product's own instructions, so that they can be counted), fabric_ring.c puts
 * a DPDK net_ring pair between each replica and the switch. One thread. Nothing is lost unless a
 * queue is full, which is counted by fabric_lost().
 */
#ifndef KEEL_PERF_FABRIC_H
#define KEEL_PERF_FABRIC_H

#include "dataplane/port.h"

enum { FABRIC_PORTS_MAX = 3, FABRIC_QUEUE = 1024 /* frames, a power of two */ };

struct fabric;

/* A frame that no replica is the receiver of, or a broadcast: for the clients. */
typedef void fabric_sink_fn(void *context, const uint8_t *frame, uint32_t size);

/* Ports 1..count. NULL with `why` (FABRIC_WHY bytes): what failed and what to do. */
enum { FABRIC_WHY = 512 };
struct fabric *fabric_open(uint32_t count, fabric_sink_fn *sink, void *context, char *why);
void fabric_close(struct fabric *fabric);

struct port *fabric_port(struct fabric *fabric, uint32_t id);
/* A client's frame, copied to the replica that it is for, or to all. */
void fabric_inject(struct fabric *fabric, const uint8_t *frame, uint32_t size);
/* Moves everything that replicas have sent to where it belongs; returns frames moved. */
uint32_t fabric_turn(struct fabric *fabric);
uint64_t fabric_lost(const struct fabric *fabric);

#endif
