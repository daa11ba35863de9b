/* Token buckets by source address, so that no sender can burn the handshake's thread.
 *
 * A fixed table of sets; a set that is full drops the bucket that was idle longest. Who floods from
 * forged addresses therefore weakens the limit of addresses that share a set, and starves nobody
 * but the address that it forges; what must not suffer from that is limited only after the sender
 * has shown a cookie. One thread. Time in milliseconds; going back counts as standing still.
 */
#ifndef KEEL_AUTH_SOURCE_LIMIT_H
#define KEEL_AUTH_SOURCE_LIMIT_H

#include <stdbool.h>
#include <stdint.h>

enum { SOURCE_LIMIT_SETS = 64, SOURCE_LIMIT_WAYS = 4 };

struct source_bucket {
    uint64_t last_ms; /* of the last refill */
    uint32_t ip;
    uint32_t milli; /* thousandths of a token */
    bool used;
};

struct source_limit {
    uint32_t key; /* odd, random: which addresses share a set cannot be foreseen */
    uint32_t per_s;
    uint32_t burst;
    struct source_bucket bucket[SOURCE_LIMIT_SETS][SOURCE_LIMIT_WAYS];
};

/* per_s and burst: 1..10^6 tokens. */
void source_limit_init(struct source_limit *limit, uint32_t key, uint32_t per_s, uint32_t burst);

/* Takes a token of that source. False: none left. */
bool source_limit_take(struct source_limit *limit, uint32_t ip, uint64_t now_ms);

#endif
