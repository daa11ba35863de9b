/* One whole replica (of three founders) with everything around it played by the harness: its peers
 * 2 and 3, two clients, and a stranger. Made once; host_reset() puts it back to one of two
 * moments by copying its memory: a follower that knows nobody, or a leader with a session.
 */
#ifndef KEEL_FUZZ_PACKET_HOST_H
#define KEEL_FUZZ_PACKET_HOST_H

#include "tests/fuzz/fuzz.h"
#include "tests/unit/control/bench.h"

enum {
    HOST_PEERS = 2,   /* principals 2, 3 */
    HOST_CLIENTS = 2, /* BENCH_CLIENT and the next */
    HOST_PARTIES = HOST_PEERS + HOST_CLIENTS,
    HOST_PAYLOAD_MAX = KEEL_DATAGRAM_MAX
};

enum host_moment { HOST_FOLLOWER, HOST_LEADER, HOST_MOMENTS };

struct host {
    struct bench *bench;
    struct replica *replica;
    bool answers[HOST_PEERS];       /* this peer grants votes and acknowledges what it is sent */
    uint64_t replies;               /* packets that the replica sent and a party could open */
    uint8_t last[HOST_PAYLOAD_MAX]; /* the newest sealed datagram */
    uint32_t last_size, last_party;
};

struct host *host_get(void);
void host_reset(struct host *host, enum host_moment moment);

/* Principal of a party, and its address. */
uint32_t host_principal(uint32_t party);

/* `size` bytes of an Ethernet frame arrive. */
void host_frame(struct host *host, const uint8_t *bytes, uint32_t size);
/* A UDP datagram from a party's address. */
void host_datagram(struct host *host, uint32_t party, uint16_t to_port, const uint8_t *payload,
                   uint32_t size);
/* A packet under the party's association; the sealed bytes stay in host->last. */
void host_seal(struct host *host, uint32_t party, uint8_t kind, const void *body, uint32_t size);

/* So many turns of all roles, `ns` of the clock before each; what is sent is opened, checked for
 * form, and answered by those peers that do. */
void host_run(struct host *host, uint32_t turns, uint64_t ns);

/* What no packet without a tag may change. */
struct host_state {
    uint64_t term, commit, next_lsn, last, applied, digest, ring_last;
    uint8_t vote, role, leader;
};
struct host_state host_state(const struct host *host);

#endif
