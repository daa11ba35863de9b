#include "dataplane/auth/source_limit.h"

#include "consensus/ensure.h"

#include <string.h>

enum { MILLI = 1000, KEY_SHIFT = 26 };
_Static_assert(1 << (32 - KEY_SHIFT) == SOURCE_LIMIT_SETS, "the hash's high bits name a set");

void source_limit_init(struct source_limit *limit, uint32_t key, uint32_t per_s, uint32_t burst)
{
    ENSURE(per_s >= 1 && per_s <= 1000000 && burst >= 1 && burst <= 1000000);
    memset(limit, 0, sizeof *limit);
    limit->key = key | 1;
    limit->per_s = per_s;
    limit->burst = burst;
}

static struct source_bucket *bucket_of(struct source_limit *limit, uint32_t ip, uint64_t now_ms)
{
    struct source_bucket *set = limit->bucket[(ip * limit->key) >> KEY_SHIFT];
    struct source_bucket *chosen = &set[0];

    for (int way = 0; way < SOURCE_LIMIT_WAYS; way++) {
        if (set[way].used && set[way].ip == ip)
            return &set[way];
        if (chosen->used && (!set[way].used || set[way].last_ms < chosen->last_ms))
            chosen = &set[way];
    }
    *chosen = (struct source_bucket){
        .last_ms = now_ms, .ip = ip, .milli = limit->burst * MILLI, .used = true};
    return chosen;
}

bool source_limit_take(struct source_limit *limit, uint32_t ip, uint64_t now_ms)
{
    struct source_bucket *bucket = bucket_of(limit, ip, now_ms);
    uint64_t full = (uint64_t)limit->burst * MILLI;

    if (now_ms > bucket->last_ms) { /* per_s tokens a second are per_s thousandths a millisecond */
        uint64_t elapsed = now_ms - bucket->last_ms;
        uint64_t room = full - bucket->milli;
        bool fills = elapsed >= room / limit->per_s + 1;
        bucket->milli = (uint32_t)(fills ? full : bucket->milli + elapsed * limit->per_s);
        bucket->last_ms = now_ms;
    }
    if (bucket->milli < MILLI)
        return false;
    bucket->milli -= MILLI;
    return true;
}
