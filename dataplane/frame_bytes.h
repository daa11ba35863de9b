/* Big-endian fields and the Internet checksum (RFC 1071), shared by frame.c and its tests.
 *
 * Pure functions, any thread. Sums are kept in the machine's own byte order, which RFC 1071 section
 * 2(B) allows: what frame_sum_fold() gives is stored with memcpy, not with frame_put16().
 */
#ifndef KEEL_FRAME_BYTES_H
#define KEEL_FRAME_BYTES_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline uint16_t frame_get16(const uint8_t *p)
{
    return (uint16_t)(p[0] << 8 | p[1]);
}

static inline uint32_t frame_get32(const uint8_t *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof(v));
    return __builtin_bswap32(v);
}

static inline void frame_put16(uint8_t *p, uint16_t v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}

static inline void frame_put32(uint8_t *p, uint32_t v)
{
    v = __builtin_bswap32(v);
    memcpy(p, &v, sizeof(v));
}

static inline uint64_t frame_load64(const uint8_t *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof(v));
    return v;
}

/* One's complement addition of 64-bit words: the carry comes back in at the bottom. */
static inline uint64_t frame_add64(uint64_t sum, uint64_t word)
{
    sum += word;
    return sum + (sum < word);
}

/* Adds `size` bytes to a running sum. A block of odd size may only be the last one. Two chains, so
 * that the carries of one hide behind the loads of the other. */
static inline uint64_t frame_sum(uint64_t sum, const uint8_t *p, size_t size)
{
    uint64_t other = 0;
    for (; size >= 16; p += 16, size -= 16) {
        sum = frame_add64(sum, frame_load64(p));
        other = frame_add64(other, frame_load64(p + 8));
    }
    if (size >= 8) {
        sum = frame_add64(sum, frame_load64(p));
        p += 8;
        size -= 8;
    }
    uint64_t tail = 0;
    memcpy(&tail, p, size); /* at most 7 bytes; the rest counts as zeros */
    return frame_add64(frame_add64(sum, other), tail);
}

/* The complement of the folded sum: the value of a checksum field; 0 over data that holds a correct
 * one. */
static inline uint16_t frame_sum_fold(uint64_t sum)
{
    sum = (sum & 0xffffffff) + (sum >> 32);
    sum = (sum & 0xffffffff) + (sum >> 32);
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)~sum;
}

#endif
