#include "client/net.h"

#include "consensus/ensure.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

static void batch_init(struct net_batch *batch)
{
    memset(batch->message, 0, sizeof(batch->message));
    for (unsigned i = 0; i < NET_BATCH; i++) {
        batch->vector[i].iov_base = batch->bytes[i];
        batch->vector[i].iov_len = NET_PACKET_MAX;
        batch->message[i].msg_hdr.msg_iov = &batch->vector[i];
        batch->message[i].msg_hdr.msg_iovlen = 1;
        batch->message[i].msg_hdr.msg_name = &batch->address[i];
        batch->message[i].msg_hdr.msg_namelen = sizeof(batch->address[i]);
    }
}

/* Whoever listens to a group binds the group's address, so that other groups on the same port stay
 * out. */
static int join(int fd, const struct address *local)
{
    const struct ip_mreq group = {.imr_multiaddr.s_addr = htonl(local->ip),
                                  .imr_interface.s_addr = htonl(local->interface_ip)};
    return setsockopt(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &group, sizeof(group));
}

static int set_up(int fd, const struct address *local)
{
    const int buffer = NET_BUFFER_BYTES, one = 1, whole = IP_PMTUDISC_DO;
    struct sockaddr_in at = {
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(local->ip), .sin_port = htons(local->port)};
    /* The kernel gives what it may; no datagram is ever sent in fragments, which a replica drops.
     */
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof(buffer));
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &buffer, sizeof(buffer));
    setsockopt(fd, IPPROTO_IP, IP_MTU_DISCOVER, &whole, sizeof(whole));
    bool group = address_is_multicast(local->ip);
    if (group && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) != 0)
        return -errno;
    if (bind(fd, (struct sockaddr *)&at, sizeof(at)) != 0)
        return -errno;
    return group && join(fd, local) != 0 ? -errno : 0;
}

int net_open(struct net *net, const struct address *local)
{
    net->out_count = 0;
    net->errors = 0;
    batch_init(&net->out);
    batch_init(&net->in);
    net->fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (net->fd < 0)
        return -errno;
    int result = set_up(net->fd, local);
    if (result != 0)
        net_close(net);
    return result;
}

void net_close(struct net *net)
{
    if (net->fd >= 0)
        close(net->fd);
    net->fd = -1;
}

void net_send(struct net *net, uint32_t ip, uint16_t port, const void *packet, size_t size)
{
    ENSURE(size <= NET_PACKET_MAX);
    if (net->out_count == NET_BATCH)
        net_flush(net);
    unsigned i = net->out_count++;
    net->out.address[i] = (struct sockaddr_in){
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(ip), .sin_port = htons(port)};
    net->out.vector[i].iov_len = size;
    memcpy(net->out.bytes[i], packet, size);
}

void net_flush(struct net *net)
{
    unsigned sent = 0;
    while (sent < net->out_count) { /* each round sends or gives up at least one */
        int n = sendmmsg(net->fd, &net->out.message[sent], net->out_count - sent, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) { /* this one is lost, as on any network; it is repeated like any other */
            net->errors++;
            n = 1;
        }
        sent += (unsigned)n;
    }
    net->out_count = 0;
}

unsigned net_receive(struct net *net)
{
    for (unsigned i = 0; i < NET_BATCH; i++)
        net->in.message[i].msg_hdr.msg_namelen = sizeof(net->in.address[i]);
    int n = recvmmsg(net->fd, net->in.message, NET_BATCH, MSG_DONTWAIT, NULL);
    return n > 0 ? (unsigned)n : 0;
}

const uint8_t *net_datagram(const struct net *net, unsigned i, size_t *size, uint32_t *ip,
                            uint16_t *port)
{
    *size = net->in.message[i].msg_len;
    *ip = ntohl(net->in.address[i].sin_addr.s_addr);
    *port = ntohs(net->in.address[i].sin_port);
    return net->in.bytes[i];
}

static uint64_t read_clock(clockid_t id)
{
    struct timespec now;
    clock_gettime(id, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

uint64_t net_now_ns(void)
{
    return read_clock(CLOCK_BOOTTIME);
}

uint64_t net_utc_ns(void)
{
    return read_clock(CLOCK_REALTIME);
}

void net_random(void *context, void *bytes, size_t size)
{
    (void)context;
    uint8_t *at = bytes;
    while (size > 0) { /* calls of up to 256 bytes are never cut short */
        size_t part = size < 256 ? size : 256;
        ssize_t n = getrandom(at, part, 0);
        if (n < 0 && errno == EINTR)
            continue;
        ENSURE(n == (ssize_t)part);
        at += part;
        size -= part;
    }
}
