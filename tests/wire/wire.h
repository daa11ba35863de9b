/* A switch in user space whose links can be made bad: the pure half of keel-wire.
 *
 * Frames come in at ports 1..N and leave at the port where their destination address was last seen
 * as a source, or at every other one (IEEE 802.1D learning). Each pair of ports is a link with a
 * direction and faults of its own: it cuts, flaps, loses, doubles, delays, holds back, corrupts and
 * slows. Nothing here reads a clock or knows a socket: keel-wire brings both, and a test its own.
 * One thread.
 *
 * Every decision comes from one seed. A link draws from its own sequence, and as often for every
 * frame whatever its settings: frame k of a link meets the same fate in each run with equal
 * settings, and one setting does not shift what another decides.
 *
 * Without faults a link keeps its order and adds no time. With delay and jitter it still keeps its
 * order; only `reorder` lets frames overtake each other, and another delay, jitter or rate those
 * that are still on their way under the old one.
 *
 * What corrupts: one bit anywhere behind the Ethernet addresses of an IPv4 frame, so that a
 * checksum always shows it; ARP is left alone, since it has none and a real switch's frame check
 * would have dropped it. What forges: up to eight bits in the payload of a datagram of
 * WIRE_SEALED_PORT, with the UDP checksum made right again: only authentication can refuse it.
 */
#ifndef KEEL_WIRE_H
#define KEEL_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    WIRE_PORTS_MAX = 16,     /* ports are numbered 1..WIRE_PORTS_MAX - 1 */
    WIRE_FRAME_MAX = 2048,   /* bytes; longer ones are dropped */
    WIRE_FRAMES_MAX = 16384, /* on their way at once, over all links */
    WIRE_LINK_FRAMES_MAX = 4096,
    WIRE_MACS_MAX = 64,
    WIRE_SEALED_PORT = 7400, /* UDP: Keel's authenticated packets */
    WIRE_PPM = 1000000
};

/* A link's faults; all zero: none. Chances in millionths of its frames. */
struct wire_faults {
    bool cut;
    uint64_t flap_up_ns, flap_down_ns; /* open and shut in turn, beginning open; 0: no flapping */
    uint32_t loss;
    uint32_t twice; /* the second copy follows the first at once */
    uint32_t reorder;
    uint32_t corrupt;
    uint32_t forge;
    uint64_t delay_ns;
    uint64_t jitter_ns;  /* added, evenly drawn from 0..jitter_ns */
    uint64_t reorder_ns; /* what `reorder` holds a frame back by, while others pass */
    uint64_t rate_bps;   /* bits a second of a frame's bytes; 0: no limit */
};

/* Frames. At every moment
 *     copies + doubled = out + refused + cut + lost + full + waiting
 * and a frame that came in made as many copies as it had ports to go to, or is in a *_in count. */
struct wire_counts {
    uint64_t in;
    uint64_t alien_in; /* too long, too short, or meant for where it came from */
    uint64_t copies;
    uint64_t doubled;
    uint64_t out;
    uint64_t refused; /* the receiving port took it not; keel-wire says so */
    uint64_t cut;
    uint64_t lost;
    uint64_t full; /* no room on the link: tail drop */
    uint64_t waiting;
    uint64_t corrupted, forged, reordered; /* of those that are out or waiting */
    uint64_t bytes_out;
};

struct wire;

/* What leaves now. bytes are the wire's, valid until the next call that takes it. */
struct wire_out {
    uint32_t from, to; /* ports */
    uint32_t size;
    const uint8_t *bytes;
};

/* ports: bit p for port p. NULL: no memory. Freed with wire_close(); NULL is fine there. */
struct wire *wire_open(uint64_t seed, uint32_t ports);
void wire_close(struct wire *wire);

/* Whether there is such a link: two ports that differ. */
bool wire_has(const struct wire *wire, uint32_t from, uint32_t to);
const struct wire_faults *wire_faults(const struct wire *wire, uint32_t from, uint32_t to);
/* From now on; what is on its way is not touched. */
void wire_set(struct wire *wire, uint32_t from, uint32_t to, const struct wire_faults *faults,
              uint64_t now_ns);

/* A frame came in at a port. now_ns never goes back. */
void wire_frame(struct wire *wire, uint32_t port, const uint8_t *bytes, uint32_t size,
                uint64_t now_ns);
/* When the next frame is due; UINT64_MAX: none is on its way. */
uint64_t wire_next_ns(const struct wire *wire);
/* Takes the next frame that is due; false: none is. It counts as out. */
bool wire_take(struct wire *wire, uint64_t now_ns, struct wire_out *out);
/* The frame that was taken last did not leave after all. */
void wire_refused(struct wire *wire, const struct wire_out *out);

/* Of one link; `in` and `alien_in` are 0 there. */
const struct wire_counts *wire_link_counts(const struct wire *wire, uint32_t from, uint32_t to);
void wire_totals(const struct wire *wire, struct wire_counts *totals);

/* One line of the control protocol; the answer is one line without its end: "ok", a JSON object, or
 * "error: what and what to do". wire_command.c lists the words. */
void wire_command(struct wire *wire, const char *line, uint64_t now_ns, char *answer, size_t size);

#endif
