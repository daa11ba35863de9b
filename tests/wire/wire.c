#include "tests/wire/wire.h"

#include "consensus/ensure.h"

#include <stdlib.h>
#include <string.h>

enum {
    ETHERNET_HEAD = 14,
    ADDRESSES = 12, /* bytes of an Ethernet head before its type */
    IPV4_HEAD = 20,
    UDP_HEAD = 8,
    TYPE_IPV4 = 0x0800,
    PROTOCOL_UDP = 17,
    FORGED_BITS_MAX = 8,
    NONE = WIRE_FRAMES_MAX
};

static const uint64_t NS_PER_S = 1000000000;

/* One copy of a frame on its way. */
struct copy {
    uint64_t due_ns;
    uint64_t number; /* order of coming, which decides between copies that are due at once */
    uint32_t from, to;
    uint32_t size;
    uint32_t next_free;
    uint8_t bytes[WIRE_FRAME_MAX];
};

struct link {
    struct wire_faults faults;
    struct wire_counts counts;
    uint64_t random; /* state of the link's own sequence */
    uint64_t flap_since_ns;
    uint64_t busy_until_ns;
    uint64_t last_due_ns;
};

struct wire {
    uint32_t ports;
    uint64_t number;
    uint64_t in, alien_in;
    struct link link[WIRE_PORTS_MAX][WIRE_PORTS_MAX];
    uint32_t mac_count;
    struct {
        uint8_t mac[6];
        uint32_t port;
    } mac[WIRE_MACS_MAX];
    uint32_t free_head;
    uint32_t taken; /* copy that the last wire_take() told, or NONE */
    uint32_t heap_count;
    uint32_t heap[WIRE_FRAMES_MAX]; /* the earliest first */
    struct copy copy[WIRE_FRAMES_MAX];
};

/* --- chance ------------------------------------------------------------------------------------
 */

/* splitmix64 (Steele, Lea, Flood 2014). */
static uint64_t draw(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

/* What is decided of one frame on one link, drawn all at once. */
struct fate {
    bool lost, twice, reordered, corrupted, forged;
    uint64_t jitter_ns;
    uint64_t where; /* which bits are changed */
};

static bool chance(uint64_t *state, uint32_t ppm)
{
    return draw(state) % WIRE_PPM < ppm;
}

static struct fate decide(struct link *link)
{
    const struct wire_faults *f = &link->faults;
    struct fate fate;
    fate.lost = chance(&link->random, f->loss);
    fate.twice = chance(&link->random, f->twice);
    fate.reordered = chance(&link->random, f->reorder);
    fate.corrupted = chance(&link->random, f->corrupt);
    fate.forged = chance(&link->random, f->forge);
    uint64_t jitter = draw(&link->random);
    fate.jitter_ns = f->jitter_ns == 0 ? 0 : jitter % (f->jitter_ns + 1);
    fate.where = draw(&link->random);
    return fate;
}

/* --- changed bits ------------------------------------------------------------------------------
 */

static uint32_t be16(const uint8_t *at)
{
    return (uint32_t)at[0] << 8 | at[1];
}

static void flip(uint8_t *bytes, uint64_t bit)
{
    bytes[bit / 8] = (uint8_t)(bytes[bit / 8] ^ (1u << (bit % 8)));
}

static bool corrupt(struct copy *copy, uint64_t where)
{
    if (copy->size < ETHERNET_HEAD + IPV4_HEAD || be16(copy->bytes + ADDRESSES) != TYPE_IPV4)
        return false;
    /* Only what the datagram holds: padding behind it is nobody's. */
    uint32_t total = be16(copy->bytes + ETHERNET_HEAD + 2);
    uint32_t end = ETHERNET_HEAD + total;
    if (total < IPV4_HEAD || end > copy->size)
        end = copy->size;
    flip(copy->bytes + ETHERNET_HEAD, where % ((uint64_t)(end - ETHERNET_HEAD) * 8));
    return true;
}

/* RFC 768 over the pseudo head of RFC 791 addresses. */
static void udp_checksum_make(uint8_t *ip, uint8_t *udp, uint32_t length)
{
    udp[6] = 0;
    udp[7] = 0;
    uint32_t sum = PROTOCOL_UDP + length;
    for (uint32_t i = 12; i < 20; i += 2)
        sum += be16(ip + i);
    for (uint32_t i = 0; i + 1 < length; i += 2)
        sum += be16(udp + i);
    if (length % 2 != 0)
        sum += (uint32_t)udp[length - 1] << 8;
    while (sum >> 16 != 0)
        sum = (sum & 0xffff) + (sum >> 16);
    uint32_t check = sum == 0xffff ? 0xffff : ~sum & 0xffff;
    udp[6] = (uint8_t)(check >> 8);
    udp[7] = (uint8_t)check;
}

static bool forge(struct copy *copy, uint64_t where)
{
    uint8_t *ip = copy->bytes + ETHERNET_HEAD;
    uint8_t *udp = ip + IPV4_HEAD;
    if (copy->size <= ETHERNET_HEAD + IPV4_HEAD + UDP_HEAD ||
        be16(copy->bytes + ADDRESSES) != TYPE_IPV4 || ip[0] != 0x45 || ip[9] != PROTOCOL_UDP ||
        (be16(udp) != WIRE_SEALED_PORT && be16(udp + 2) != WIRE_SEALED_PORT))
        return false;
    uint32_t length = be16(udp + 4);
    if (length <= UDP_HEAD || ETHERNET_HEAD + IPV4_HEAD + length > copy->size)
        return false;
    uint64_t state = where;
    uint64_t first = where % ((uint64_t)(length - UDP_HEAD) * 8);
    flip(udp + UDP_HEAD, first);
    for (uint64_t more = draw(&state) % FORGED_BITS_MAX; more > 0; more--) {
        uint64_t bit = draw(&state) % ((uint64_t)(length - UDP_HEAD) * 8);
        if (bit != first) /* the first one stays changed */
            flip(udp + UDP_HEAD, bit);
    }
    udp_checksum_make(ip, udp, length);
    return true;
}

/* --- what is on its way ------------------------------------------------------------------------
 */

static bool before(const struct wire *wire, uint32_t a, uint32_t b)
{
    const struct copy *x = &wire->copy[wire->heap[a]];
    const struct copy *y = &wire->copy[wire->heap[b]];
    return x->due_ns != y->due_ns ? x->due_ns < y->due_ns : x->number < y->number;
}

static void swap(struct wire *wire, uint32_t a, uint32_t b)
{
    uint32_t held = wire->heap[a];
    wire->heap[a] = wire->heap[b];
    wire->heap[b] = held;
}

static void heap_put(struct wire *wire, uint32_t index)
{
    uint32_t at = wire->heap_count++;
    wire->heap[at] = index;
    for (; at > 0 && before(wire, at, (at - 1) / 2); at = (at - 1) / 2)
        swap(wire, at, (at - 1) / 2);
}

static uint32_t heap_take(struct wire *wire)
{
    uint32_t index = wire->heap[0];
    wire->heap[0] = wire->heap[--wire->heap_count];
    for (uint32_t at = 0;;) { /* at most the heap's depth */
        uint32_t least = at;
        for (uint32_t child = 2 * at + 1; child <= 2 * at + 2 && child < wire->heap_count; child++)
            if (before(wire, child, least))
                least = child;
        if (least == at)
            return index;
        swap(wire, at, least);
        at = least;
    }
}

static void release(struct wire *wire, uint32_t index)
{
    wire->copy[index].next_free = wire->free_head;
    wire->free_head = index;
}

static bool shut(const struct link *link, uint64_t now_ns)
{
    const struct wire_faults *f = &link->faults;
    uint64_t round = f->flap_up_ns + f->flap_down_ns;
    return f->cut || (round > 0 && (now_ns - link->flap_since_ns) % round >= f->flap_up_ns);
}

/* When a frame of this size that begins now has arrived. */
static uint64_t due_ns(struct link *link, const struct fate *fate, uint32_t size, uint64_t now_ns)
{
    const struct wire_faults *f = &link->faults;
    uint64_t start = now_ns;
    if (f->rate_bps > 0) {
        if (start < link->busy_until_ns)
            start = link->busy_until_ns;
        start += (uint64_t)size * 8 * NS_PER_S / f->rate_bps;
        link->busy_until_ns = start;
    }
    uint64_t due = start + f->delay_ns + fate->jitter_ns;
    if (fate->reordered)
        return due + f->reorder_ns; /* the others need not wait for it */
    if (due < link->last_due_ns)
        due = link->last_due_ns;
    link->last_due_ns = due;
    return due;
}

static void put(struct wire *wire, uint32_t from, uint32_t to, const uint8_t *bytes, uint32_t size,
                const struct fate *fate, uint64_t now_ns)
{
    struct link *link = &wire->link[from][to];
    if (wire->free_head == NONE || link->counts.waiting == WIRE_LINK_FRAMES_MAX) {
        link->counts.full++;
        return;
    }
    uint32_t index = wire->free_head;
    struct copy *copy = &wire->copy[index];
    wire->free_head = copy->next_free;
    copy->from = from;
    copy->to = to;
    copy->size = size;
    copy->number = wire->number++;
    memcpy(copy->bytes, bytes, size);
    copy->due_ns = due_ns(link, fate, size, now_ns);
    link->counts.waiting++;
    link->counts.reordered += fate->reordered;
    link->counts.corrupted += fate->corrupted && corrupt(copy, fate->where);
    link->counts.forged += !fate->corrupted && fate->forged && forge(copy, fate->where);
    heap_put(wire, index);
}

static void carry(struct wire *wire, uint32_t from, uint32_t to, const uint8_t *bytes,
                  uint32_t size, uint64_t now_ns)
{
    struct link *link = &wire->link[from][to];
    struct fate fate = decide(link);
    link->counts.copies++;
    if (shut(link, now_ns)) {
        link->counts.cut++;
    } else if (fate.lost) {
        link->counts.lost++;
    } else {
        put(wire, from, to, bytes, size, &fate, now_ns);
        if (fate.twice) {
            struct fate same = {.jitter_ns = fate.jitter_ns};
            link->counts.doubled++;
            put(wire, from, to, bytes, size, &same, now_ns);
        }
    }
}

/* --- the switch --------------------------------------------------------------------------------
 */

static uint32_t port_of(const struct wire *wire, const uint8_t *mac)
{
    for (uint32_t i = 0; i < wire->mac_count; i++)
        if (memcmp(wire->mac[i].mac, mac, 6) == 0)
            return wire->mac[i].port;
    return 0;
}

static void learn(struct wire *wire, const uint8_t *mac, uint32_t port)
{
    if ((mac[0] & 1) != 0)
        return; /* a group is no sender */
    for (uint32_t i = 0; i < wire->mac_count; i++)
        if (memcmp(wire->mac[i].mac, mac, 6) == 0) {
            wire->mac[i].port = port;
            return;
        }
    if (wire->mac_count == WIRE_MACS_MAX)
        return; /* frames for it go everywhere */
    memcpy(wire->mac[wire->mac_count].mac, mac, 6);
    wire->mac[wire->mac_count++].port = port;
}

static bool is_port(const struct wire *wire, uint32_t port)
{
    return port < WIRE_PORTS_MAX && (wire->ports >> port & 1) != 0;
}

void wire_frame(struct wire *wire, uint32_t port, const uint8_t *bytes, uint32_t size,
                uint64_t now_ns)
{
    ENSURE(is_port(wire, port));
    wire->in++;
    if (size < ETHERNET_HEAD || size > WIRE_FRAME_MAX) {
        wire->alien_in++;
        return;
    }
    learn(wire, bytes + 6, port);
    uint32_t to = (bytes[0] & 1) != 0 ? 0 : port_of(wire, bytes);
    if (to == port) {
        wire->alien_in++;
        return;
    }
    if (to != 0) {
        carry(wire, port, to, bytes, size, now_ns);
        return;
    }
    for (to = 1; to < WIRE_PORTS_MAX; to++)
        if (to != port && is_port(wire, to))
            carry(wire, port, to, bytes, size, now_ns);
}

uint64_t wire_next_ns(const struct wire *wire)
{
    return wire->heap_count == 0 ? UINT64_MAX : wire->copy[wire->heap[0]].due_ns;
}

bool wire_take(struct wire *wire, uint64_t now_ns, struct wire_out *out)
{
    if (wire->taken != NONE)
        release(wire, wire->taken);
    wire->taken = NONE;
    if (wire_next_ns(wire) > now_ns || wire->heap_count == 0)
        return false;
    wire->taken = heap_take(wire);
    const struct copy *copy = &wire->copy[wire->taken];
    struct wire_counts *counts = &wire->link[copy->from][copy->to].counts;
    counts->waiting--;
    counts->out++;
    counts->bytes_out += copy->size;
    *out = (struct wire_out){
        .from = copy->from, .to = copy->to, .size = copy->size, .bytes = copy->bytes};
    return true;
}

void wire_refused(struct wire *wire, const struct wire_out *out)
{
    struct wire_counts *counts = &wire->link[out->from][out->to].counts;
    counts->out--;
    counts->bytes_out -= out->size;
    counts->refused++;
}

/* --- life, settings, counts --------------------------------------------------------------------
 */

struct wire *wire_open(uint64_t seed, uint32_t ports)
{
    ENSURE((ports & 1) == 0 && ports >> WIRE_PORTS_MAX == 0);
    struct wire *wire = calloc(1, sizeof(*wire));
    if (wire == NULL)
        return NULL;
    wire->ports = ports;
    wire->taken = NONE;
    for (uint32_t i = 0; i < WIRE_FRAMES_MAX; i++)
        wire->copy[i].next_free = i + 1; /* the last one's is NONE */
    for (uint32_t from = 0; from < WIRE_PORTS_MAX; from++)
        for (uint32_t to = 0; to < WIRE_PORTS_MAX; to++) {
            uint64_t state = seed ^ (uint64_t)(from * WIRE_PORTS_MAX + to) << 32;
            wire->link[from][to].random = draw(&state);
        }
    return wire;
}

void wire_close(struct wire *wire)
{
    free(wire);
}

bool wire_has(const struct wire *wire, uint32_t from, uint32_t to)
{
    return from != to && is_port(wire, from) && is_port(wire, to);
}

const struct wire_faults *wire_faults(const struct wire *wire, uint32_t from, uint32_t to)
{
    ENSURE(wire_has(wire, from, to));
    return &wire->link[from][to].faults;
}

void wire_set(struct wire *wire, uint32_t from, uint32_t to, const struct wire_faults *faults,
              uint64_t now_ns)
{
    ENSURE(wire_has(wire, from, to));
    struct link *link = &wire->link[from][to];
    const struct wire_faults *old = &link->faults;
    if (faults->flap_up_ns != old->flap_up_ns || faults->flap_down_ns != old->flap_down_ns)
        link->flap_since_ns = now_ns;
    if (faults->delay_ns != old->delay_ns || faults->jitter_ns != old->jitter_ns ||
        faults->rate_bps != old->rate_bps) {
        /* What comes now need not wait for what the earlier setting keeps on its way. */
        link->busy_until_ns = 0;
        link->last_due_ns = 0;
    }
    link->faults = *faults;
}

const struct wire_counts *wire_link_counts(const struct wire *wire, uint32_t from, uint32_t to)
{
    ENSURE(wire_has(wire, from, to));
    return &wire->link[from][to].counts;
}

void wire_totals(const struct wire *wire, struct wire_counts *totals)
{
    *totals = (struct wire_counts){.in = wire->in, .alien_in = wire->alien_in};
    for (uint32_t from = 1; from < WIRE_PORTS_MAX; from++)
        for (uint32_t to = 1; to < WIRE_PORTS_MAX; to++) {
            const struct wire_counts *c = &wire->link[from][to].counts;
            totals->copies += c->copies;
            totals->doubled += c->doubled;
            totals->out += c->out;
            totals->refused += c->refused;
            totals->cut += c->cut;
            totals->lost += c->lost;
            totals->full += c->full;
            totals->waiting += c->waiting;
            totals->corrupted += c->corrupted;
            totals->forged += c->forged;
            totals->reordered += c->reordered;
            totals->bytes_out += c->bytes_out;
        }
}
