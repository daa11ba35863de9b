/* Three replicas on drives of memory and their clients, in one thread: what stage and loop drive.
 *
 * The replicas are the product's, started by startup_begin(); the network is fabric.h's, time
 * clock.h's as linked. Clients are libkeel's engines on hosts of their own behind the switch; each
 * has one session and one unanswered window. Not a test: it stops by ENSURE where the product
 * refuses.
 */
#ifndef KEEL_PERF_CLUSTER_H
#define KEEL_PERF_CLUSTER_H

#include "client/engine.h"
#include "control/startup.h"
#include "perf/drive.h"
#include "perf/fabric.h"

enum {
    CLUSTER_REPLICAS = 3,
    CLUSTER_CLIENTS_MAX = 32,
    CLUSTER_MESSAGE = 64, /* bytes of each message */
    CLUSTER_CONTROL_NS = 20000
};

struct cluster_client {
    struct cluster *cluster;
    struct engine *engine;
    struct frame_host *host;
    struct keyring *keys;
    uint8_t mac[6];
    uint64_t submitted, answered;
};

struct cluster_node {
    struct drive drive;
    struct disk *writer, *reader, *control_disk;
    struct keyring *keys;
    void *ring_memory;
    struct startup start;
    struct replica *replica; /* start's */
    uint64_t control_at_ns;
};

struct cluster {
    struct fabric *fabric;
    struct clock *clock;
    struct genesis genesis;
    uint32_t clients;
    uint32_t window_pages;
    uint64_t random;
    struct cluster_node node[CLUSTER_REPLICAS + 1]; /* by id */
    struct cluster_client client[CLUSTER_CLIENTS_MAX];
};

/* Formats, starts, opens nothing yet: turn it until cluster_ready(). `slots` pages a ring. */
struct cluster *cluster_new(struct clock *clock, uint32_t clients, uint32_t slots,
                            uint32_t window_pages);
void cluster_free(struct cluster *cluster);

/* The replica that leads and whose own term is committed; 0: none. */
uint32_t cluster_leader(const struct cluster *cluster);
/* Somebody leads and every session is open. */
bool cluster_ready(const struct cluster *cluster);

/* Roles disk, feed and aux of one replica; `seq` is loop_turn(). Control takes a turn each
 * CLUSTER_CONTROL_NS. */
void cluster_disk(struct cluster_node *node);
void cluster_feed(struct cluster *cluster, struct cluster_node *node);
void cluster_aux(struct cluster_node *node);
void cluster_control(struct cluster *cluster, struct cluster_node *node);

/* Timers and results of all clients. */
void cluster_clients_tick(struct cluster *cluster);
/* Submits up to `count` messages for client i, as its window allows, and sends them. */
void cluster_submit(struct cluster *cluster, uint32_t i, uint32_t count);
/* Messages submitted by all clients and not answered yet. */
uint64_t cluster_unanswered(const struct cluster *cluster);

#endif
