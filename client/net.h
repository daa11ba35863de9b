/* A UDP socket that sends and receives in batches (sendmmsg, recvmmsg). Kernel sockets only: any
 * host can be a client. Belongs to one thread; buffers are part of the struct.
 */
#ifndef KEEL_CLIENT_NET_H
#define KEEL_CLIENT_NET_H

#include "client/address.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/uio.h>

enum {
    NET_BATCH = 32,
    NET_PACKET_MAX = 2048,     /* larger datagrams are cut off, and fail their checks */
    NET_BUFFER_BYTES = 4 << 20 /* asked of the kernel for each direction */
};

struct net_batch {
    struct mmsghdr message[NET_BATCH];
    struct iovec vector[NET_BATCH];
    struct sockaddr_in address[NET_BATCH];
    uint8_t bytes[NET_BATCH][NET_PACKET_MAX];
};

struct net {
    int fd;
    unsigned out_count;
    uint64_t errors; /* datagrams that the kernel did not take */
    struct net_batch out;
    struct net_batch in;
};

/* Binds ip:port (0: any). A multicast group is joined on interface_ip. 0, or negative errno. */
int net_open(struct net *net, const struct address *local);
void net_close(struct net *net);

/* Queues one datagram; a full queue is sent. */
void net_send(struct net *net, uint32_t ip, uint16_t port, const void *packet, size_t size);
void net_flush(struct net *net);

/* Takes what has arrived, up to NET_BATCH datagrams, without waiting: returns how many. */
unsigned net_receive(struct net *net);
/* Datagram `i` of those: its bytes and where it came from. */
const uint8_t *net_datagram(const struct net *net, unsigned i, size_t *size, uint32_t *ip,
                            uint16_t *port);

/* CLOCK_BOOTTIME (counts suspend, H20) and CLOCK_REALTIME, nanoseconds. */
uint64_t net_now_ns(void);
uint64_t net_utc_ns(void);
/* Fills from the kernel's generator. */
void net_random(void *context, void *bytes, size_t size);

#endif
