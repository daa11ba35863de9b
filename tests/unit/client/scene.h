/* A feed for the follower's tests on virtual time: days of numbered messages, up to two lines and
 * two request servers, with loss, copies and reordering from one seed; and the consumer's
 * callbacks, which compare whatever is delivered with what was published.
 */
#ifndef KEEL_TESTS_CLIENT_SCENE_H
#define KEEL_TESTS_CLIENT_SCENE_H

#include "client/follower.h"
#include "tests/unit/client/fake.h"

#define SECOND (1000 * FOLLOWER_MS)
enum { SCENE_QUEUE = 4096, DAYS = 3, REPLY_MAX = 9, LOG_MAX = 4096 };

extern const char *const scene_day[DAYS];

struct parcel {
    uint64_t at_ns; /* 0: free */
    uint32_t source;
    size_t size;
    uint8_t bytes[KEEL_DATAGRAM_MAX];
};

struct asked {
    uint64_t at_ns, first;
    uint32_t server, count;
};

/* A feed with up to two lines and request servers, and the consumer that a test watches. */
struct scene {
    struct rng rng;
    uint64_t now_ns;
    uint32_t loss, copies, shuffle; /* percent, on lines and of replies */
    bool dead[2];                   /* request servers */
    bool no_server;                 /* none answers */
    enum keel_framing framing;
    uint64_t published[DAYS]; /* next number of each day */
    uint32_t day;             /* published now */
    struct parcel queue[SCENE_QUEUE];
    struct follower *f;
    /* what the consumer was told */
    uint32_t told_day;
    uint64_t expected;
    uint64_t wrong;
    uint64_t stop_every;
    uint32_t begun, ended, ended_unseen, line_events, silences;
    uint64_t ended_next;
    struct asked log[LOG_MAX];
    uint32_t log_count;
};

struct scene *scene_new(uint64_t seed, uint64_t from, uint32_t lines, uint32_t held,
                        enum keel_framing framing);
void scene_free(struct scene *scene);
/* A downstream packet of those numbers; returns its size. */
size_t scene_pack(const struct scene *scene, uint32_t day, uint64_t first, uint32_t count,
                  uint8_t *bytes);
/* Delivers packets and timers for so long. */
void scene_run(struct scene *scene, uint64_t ns);
/* One packet on one line, subject to the network. */
void scene_say(struct scene *scene, uint32_t line, uint32_t day, uint64_t first, uint32_t count);
/* `count` more messages of the day on all lines, each line in packets of its own sizes. */
void scene_publish(struct scene *scene, uint32_t count);
void scene_heartbeat(struct scene *scene, uint32_t line);
/* Publishes for some rounds, then a heartbeat on each line that is not lost. */
void scene_live(struct scene *scene, uint32_t rounds);
/* All that was published of the day is delivered, and nothing was wrong. */
bool scene_complete(const struct scene *scene);

#endif
