#include "tests/unit/dataplane/frames.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

const uint8_t own_mac[6] = {0x02, 0x11, 0x22, 0x33, 0x44, 0x01};
const uint8_t peer_mac[6] = {0x02, 0x11, 0x22, 0x33, 0x44, 0x02};

struct frame_host *frames_host(void)
{
    struct frame_options options = {
        .ip = OWN_IP, .prefix = 24, .gateway = GATEWAY_IP, .ports = {OWN_PORT, OWN_PORT + 1}};
    memcpy(options.mac, own_mac, 6);
    return frame_host_init(malloc(frame_host_size()), &options);
}

void frames_host_free(struct frame_host *host)
{
    free(host);
}

struct port_frame frames_copy(const uint8_t *data, uint32_t size)
{
    struct port_frame frame = {.data = malloc(size == 0 ? 1 : size), .size = size};
    frame.buffer = frame.data;
    if (size == 0) { /* a pointer behind the last byte */
        frame.data++;
        return frame;
    }
    memcpy(frame.data, data, size);
    return frame;
}

struct port_frame frames_hex(const char *text)
{
    uint8_t data[PORT_FRAME_MAX];
    uint32_t digits = 0;
    for (; *text != 0; text++) {
        if (isspace((unsigned char)*text))
            continue;
        char digit[2] = {*text, 0};
        uint8_t value = (uint8_t)strtoul(digit, NULL, 16);
        if (digits % 2 == 0)
            data[digits / 2] = (uint8_t)(value << 4);
        else
            data[digits / 2] |= value;
        digits++;
    }
    return frames_copy(data, digits / 2);
}

void frames_free(struct port_frame *frame)
{
    free(frame->buffer);
    memset(frame, 0, sizeof(*frame));
}

struct port_frame frames_room(uint8_t fill)
{
    uint8_t data[PORT_FRAME_MAX];
    memset(data, fill, sizeof(data));
    struct port_frame frame = frames_copy(data, PORT_FRAME_MAX);
    frame.size = 0;
    return frame;
}

uint16_t frames_sum(const uint8_t *data, uint32_t size, uint32_t start)
{
    uint32_t sum = start;
    for (uint32_t i = 0; i < size; i++)
        sum += i % 2 == 0 ? (uint32_t)data[i] << 8 : data[i];
    while (sum >> 16 != 0)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)~sum;
}

static void put16(uint8_t *at, uint16_t value)
{
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
}

void frames_seal(struct port_frame *frame)
{
    uint8_t *ip = frame->data + 14, *next = ip + 20;
    uint32_t size = (uint32_t)(ip[2] << 8 | ip[3]) - 20;
    put16(ip + 10, 0);
    put16(ip + 10, frames_sum(ip, 20, 0));
    if (ip[9] == 1) {
        put16(next + 2, 0);
        put16(next + 2, frames_sum(next, size, 0));
        return;
    }
    /* 17 is the protocol; the addresses are summed as the bytes that they are. */
    uint32_t pseudo = 17 + size;
    for (int i = 12; i < 20; i += 2)
        pseudo += (uint32_t)(ip[i] << 8 | ip[i + 1]);
    put16(next + 6, 0);
    uint16_t sum = frames_sum(next, size, pseudo);
    put16(next + 6, sum == 0 ? 0xffff : sum);
}

struct port_frame frames_udp(uint32_t size)
{
    uint8_t data[PORT_FRAME_MAX] = {0};
    static const uint8_t ip[20] = {0x45, 0, 0,  0, 0, 1, 0x40, 0, 64, 17,
                                   0,    0, 10, 0, 0, 2, 10,   0, 0,  1};
    memcpy(data, own_mac, 6);
    memcpy(data + 6, peer_mac, 6);
    put16(data + 12, 0x0800);
    memcpy(data + 14, ip, 20);
    put16(data + 16, (uint16_t)(28 + size));
    put16(data + 34, PEER_PORT);
    put16(data + 36, OWN_PORT);
    put16(data + 38, (uint16_t)(8 + size));
    for (uint32_t i = 0; i < size; i++)
        data[42 + i] = (uint8_t)i;
    struct port_frame frame = frames_copy(data, 42 + size);
    frames_seal(&frame);
    return frame;
}

enum frame_drop frames_verdict(struct frame_host *host, const struct port_frame *frame,
                               uint64_t now_ms)
{
    struct frame_datagram datagram;
    bool reply;
    struct port_frame copy = frames_copy(frame->data, frame->size);
    copy.flags = frame->flags;
    enum frame_drop drop = frame_receive(host, &copy, now_ms, &datagram, &reply);
    frames_free(&copy);
    return drop;
}
