#include "perf/probe.h"

#include "dataplane/replica.h"

#include <stddef.h>
#include <x86intrin.h>

enum { CALIBRATE_CALLS = 20000, CALIBRATE_RUNS = 16 };

enum id {
    P_PUBLISH,
    P_CLOCK,
    P_PORT_RECEIVE,
    P_PORT_SEND,
    P_PORT_ALLOC,
    P_PORT_FREE,
    P_RECEIVE,
    P_FRAME_IN,
    P_OPEN,
    P_CHECK,
    P_DECODE,
    P_INTAKE,
    P_RING_COMMIT,
    P_PROPOSE,
    P_PEER,
    P_RAFT,
    P_RING_TURN,
    P_DURABLE,
    P_REPLICATE,
    P_APPLY,
    P_MACHINE,
    P_FEED_PUSH,
    P_ANSWER,
    P_SEAL,
    P_FRAME_OUT,
    P_SEND,
    P_EMPTY, /* calibration */
    P_COUNT
};

/* --wrap gives no context to carry this in; the bench has one thread. */
static struct {
    struct probe probe[P_COUNT];
    uint64_t children[P_COUNT]; /* probed calls made by it */
    uint64_t below;             /* cycles of probed calls under the one that runs */
    uint64_t calls_below;
    uint64_t inside, outside; /* cycles of a probed call that it and its caller are charged */
    uint64_t on;
} state = {.probe = {[P_PUBLISH] = {"status published", 0, 0},
                     [P_CLOCK] = {"clock read", 0, 0},
                     [P_PORT_RECEIVE] = {"port: receive", 0, 0},
                     [P_PORT_SEND] = {"port: send", 0, 0},
                     [P_PORT_ALLOC] = {"port: take a buffer", 0, 0},
                     [P_PORT_FREE] = {"port: give it back", 0, 0},
                     [P_RECEIVE] = {"receive: dispatch", 0, 0},
                     [P_FRAME_IN] = {"frame in: heads, checksums", 0, 0},
                     [P_OPEN] = {"auth: open (GMAC)", 0, 0},
                     [P_CHECK] = {"wire: submit checked", 0, 0},
                     [P_DECODE] = {"wire: peer decoded", 0, 0},
                     [P_INTAKE] = {"intake", 0, 0},
                     [P_RING_COMMIT] = {"ring: CRC, chain, tables", 0, 0},
                     [P_PROPOSE] = {"step: propose", 0, 0},
                     [P_PEER] = {"step: peer message", 0, 0},
                     [P_RAFT] = {"raft_step", 0, 0},
                     [P_RING_TURN] = {"ring: page close, CRC", 0, 0},
                     [P_DURABLE] = {"step: durable, gate", 0, 0},
                     [P_REPLICATE] = {"replicate: pack", 0, 0},
                     [P_APPLY] = {"apply", 0, 0},
                     [P_MACHINE] = {"machine_apply", 0, 0},
                     [P_FEED_PUSH] = {"feed item", 0, 0},
                     [P_ANSWER] = {"answer", 0, 0},
                     [P_SEAL] = {"auth: seal (GMAC)", 0, 0},
                     [P_FRAME_OUT] = {"frame out: heads, checksums", 0, 0},
                     [P_SEND] = {"send", 0, 0}}};

struct mark {
    uint64_t began, below, calls_below;
};

static inline struct mark enter(void)
{
    struct mark mark = {0, state.below, state.calls_below};
    state.below = 0;
    state.calls_below = 0;
    mark.began = __rdtsc();
    return mark;
}

static inline void leave(enum id id, const struct mark *mark)
{
    uint64_t took = __rdtsc() - mark->began;
    struct probe *probe = &state.probe[id];
    probe->cycles += (took - state.below) * state.on;
    probe->calls += state.on;
    state.children[id] += state.calls_below * state.on;
    state.below = mark->below + took;
    state.calls_below = mark->calls_below + 1;
}

#define PROBE(id, result, name, parameters, arguments)                                             \
    result __real_##name parameters;                                                               \
    result __wrap_##name parameters;                                                               \
    result __wrap_##name parameters                                                                \
    {                                                                                              \
        struct mark mark = enter();                                                                \
        result value = __real_##name arguments;                                                    \
        leave(id, &mark);                                                                          \
        return value;                                                                              \
    }
#define PROBE_VOID(id, name, parameters, arguments)                                                \
    void __real_##name parameters;                                                                 \
    void __wrap_##name parameters;                                                                 \
    void __wrap_##name parameters                                                                  \
    {                                                                                              \
        struct mark mark = enter();                                                                \
        __real_##name arguments;                                                                   \
        leave(id, &mark);                                                                          \
    }

PROBE_VOID(P_PUBLISH, replica_publish, (struct replica * r), (r))
PROBE(P_CLOCK, uint64_t, clock_now_ns, (struct clock * c), (c))
PROBE(P_CLOCK, uint64_t, clock_utc_ns, (struct clock * c, uint32_t *error), (c, error))
PROBE(P_PORT_RECEIVE, uint32_t, port_receive,
      (struct port * p, uint32_t queue, struct port_frame *frames, uint32_t max),
      (p, queue, frames, max))
PROBE(P_PORT_SEND, uint32_t, port_send,
      (struct port * p, uint32_t queue, struct port_frame *frames, uint32_t count),
      (p, queue, frames, count))
PROBE(P_PORT_ALLOC, bool, port_alloc, (struct port * p, uint32_t queue, struct port_frame *frame),
      (p, queue, frame))
PROBE_VOID(P_PORT_FREE, port_free, (struct port * p, struct port_frame *frames, uint32_t count),
           (p, frames, count))
PROBE(P_RECEIVE, uint32_t, receive_burst, (struct replica * r), (r))
PROBE(P_FRAME_IN, enum frame_drop, frame_receive,
      (struct frame_host * host, struct port_frame *frame, uint64_t now_ms,
       struct frame_datagram *datagram, bool *reply),
      (host, frame, now_ms, datagram, reply))
PROBE(P_OPEN, enum auth_reject, auth_open,
      (struct auth_table * table, const void *packet, size_t size, uint64_t now_ns,
       const struct auth_peer **peer, const void **body, size_t *body_size),
      (table, packet, size, now_ns, peer, body, body_size))
PROBE(P_CHECK, bool, packet_submit_check, (const void *body, size_t size), (body, size))
PROBE(P_DECODE, bool, packet_peer_decode,
      (uint8_t kind, const void *body, size_t size, struct raft_msg *msg, const void **entries,
       size_t *entries_size),
      (kind, body, size, msg, entries, entries_size))
PROBE_VOID(P_INTAKE, intake_packet,
           (struct replica * r, uint32_t principal, uint8_t kind, const void *body, size_t size),
           (r, principal, kind, body, size))
PROBE_VOID(P_RING_COMMIT, ring_commit, (struct ring * ring, uint64_t lsn, bool framed),
           (ring, lsn, framed))
PROBE(P_PROPOSE, uint32_t, step_propose, (struct replica * r), (r))
PROBE_VOID(P_PEER, step_peer,
           (struct replica * r, const struct raft_msg *msg, const uint8_t *entries, size_t size),
           (r, msg, entries, size))
PROBE_VOID(P_RAFT, raft_step, (struct raft * raft, const struct raft_in *in, struct raft_out *out),
           (raft, in, out))
PROBE(P_RING_TURN, uint32_t, ring_turn, (struct ring * ring), (ring))
PROBE(P_DURABLE, uint32_t, step_durable, (struct replica * r), (r))
PROBE(P_REPLICATE, uint32_t, replicate, (struct replica * r), (r))
PROBE(P_APPLY, uint32_t, apply, (struct replica * r), (r))
PROBE_VOID(P_MACHINE, machine_apply,
           (struct machine * machine, const struct entry *entry, struct machine_outcome *outcome),
           (machine, entry, outcome))
PROBE_VOID(P_FEED_PUSH, feed_push, (struct feed * feed, const struct feed_item *item), (feed, item))
PROBE(P_ANSWER, uint32_t, answer_flush, (struct replica * r), (r))
PROBE(P_SEAL, size_t, auth_seal,
      (struct auth_table * table, const struct auth_peer *peer, uint8_t kind, void *packet,
       size_t body_size),
      (table, peer, kind, packet, body_size))
PROBE(P_FRAME_OUT, enum frame_drop, frame_finish,
      (struct frame_host * host, struct port_frame *frame, const struct frame_address *to,
       uint16_t from_port, uint32_t size, uint64_t now_ms),
      (host, frame, to, from_port, size, now_ms))
PROBE(P_SEND, uint32_t, send_flush, (struct replica * r), (r))

static __attribute__((noinline)) void empty(void)
{
    struct mark mark = enter();
    leave(P_EMPTY, &mark);
}

/* What a probed call that does nothing costs: counted as its own, and as its caller's. The least of
 * several runs, so that an interrupt is not taken for the cost. */
static void calibrate(void)
{
    uint64_t inside = UINT64_MAX, outside = UINT64_MAX;
    state.on = 1;
    for (int run = 0; run < CALIBRATE_RUNS; run++) {
        state.probe[P_EMPTY] = (struct probe){0};
        uint64_t began = __rdtsc();
        for (int i = 0; i < CALIBRATE_CALLS; i++)
            empty();
        uint64_t took = __rdtsc() - began, own = state.probe[P_EMPTY].cycles;
        if (own < inside)
            inside = own;
        if (took - own < outside)
            outside = took - own;
    }
    state.inside = inside / CALIBRATE_CALLS;
    state.outside = outside / CALIBRATE_CALLS;
    state.on = 0;
}

void probe_start(void)
{
    if (state.outside == 0)
        calibrate();
    state.on = 1;
}

void probe_stop(void)
{
    state.on = 0;
}

void probe_clear(void)
{
    for (uint32_t i = 0; i < P_COUNT; i++) {
        state.probe[i].cycles = state.probe[i].calls = 0;
        state.children[i] = 0;
    }
}

bool probe_at(uint32_t i, struct probe *probe)
{
    if (i >= P_EMPTY)
        return false;
    *probe = state.probe[i];
    uint64_t cost = probe->calls * state.inside + state.children[i] * state.outside;
    probe->cycles = probe->cycles > cost ? probe->cycles - cost : 0;
    return true;
}
