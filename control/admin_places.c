#include "control/admin_places.h"

const char *admin_end_name(enum admin_end end)
{
    switch (end) {
    case ADMIN_END_DENIED:
        return "denied";
    case ADMIN_END_BUSY:
        return "busy";
    case ADMIN_END_GAVE_WAY:
        return "gave-way";
    case ADMIN_END_HALF:
        return "half-request";
    case ADMIN_END_SLOW:
        return "slow-reader";
    case ADMIN_END_IDLE:
        return "idle";
    case ADMIN_END_COUNT:
        break;
    }
    return "none";
}

/* How many places those of this right and the lesser ones have together. */
static uint32_t places_of(uint32_t right)
{
    return right == ADMIN_RIGHT_READ     ? ADMIN_READERS_MAX
           : right == ADMIN_RIGHT_CHANGE ? ADMIN_CHANGERS_MAX
                                         : ADMIN_CONNECTIONS_MAX;
}

static uint32_t count_up_to(const struct admin_place *place, uint32_t right)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < ADMIN_CONNECTIONS_MAX; i++)
        count += place[i].right != ADMIN_RIGHT_NONE && place[i].right <= right;
    return count;
}

static uint32_t count_of_reader(const struct admin_place *place, uid_t uid)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < ADMIN_CONNECTIONS_MAX; i++)
        count += place[i].right == ADMIN_RIGHT_READ && place[i].uid == uid;
    return count;
}

/* Nothing of it is lost when it ends: no request is under way, no answer leaves, and it had its
 * time. */
static bool idle(const struct admin_place *p, uint64_t now_ms)
{
    return !p->waiting && p->out_ms == 0 && now_ms - p->since_ms >= ADMIN_YOUNG_MS;
}

/* The idle connection of least right, and among these the oldest, that gives way to one of this
 * right; `only`: among those of this user. */
static uint32_t oldest_idle(const struct admin_place *place, uint32_t right, const uid_t *only,
                            uint64_t now_ms)
{
    uint32_t found = ADMIN_CONNECTIONS_MAX;
    for (uint32_t i = 0; i < ADMIN_CONNECTIONS_MAX; i++) {
        const struct admin_place *p = &place[i];
        if (p->right == ADMIN_RIGHT_NONE || p->right > right || !idle(p, now_ms) ||
            (only != NULL && p->uid != *only))
            continue;
        const struct admin_place *best = found < ADMIN_CONNECTIONS_MAX ? &place[found] : p;
        if (p == best || p->right < best->right ||
            (p->right == best->right && p->since_ms < best->since_ms))
            found = i;
    }
    return found;
}

uint32_t admin_places_find(const struct admin_place place[ADMIN_CONNECTIONS_MAX],
                           enum admin_right right, uid_t uid, uint64_t now_ms)
{
    if (right == ADMIN_RIGHT_READ && count_of_reader(place, uid) >= ADMIN_READERS_EACH)
        return oldest_idle(place, ADMIN_RIGHT_READ, &uid, now_ms);
    for (uint32_t r = right; r < ADMIN_RIGHT_COUNT; r++)
        if (count_up_to(place, r) >= places_of(r))
            return oldest_idle(place, right, NULL, now_ms);
    uint32_t at = 0;
    while (at < ADMIN_CONNECTIONS_MAX && place[at].right != ADMIN_RIGHT_NONE)
        at++;
    return at;
}

enum admin_end admin_place_over(const struct admin_place *p, uint64_t now_ms)
{
    if (p->out_ms != 0)
        return now_ms - p->out_ms > ADMIN_SLOW_MS ? ADMIN_END_SLOW : ADMIN_END_COUNT;
    if (p->waiting)
        return ADMIN_END_COUNT;
    if (p->half_ms != 0 && now_ms - p->half_ms > ADMIN_HALF_MS)
        return ADMIN_END_HALF;
    return now_ms - p->since_ms > ADMIN_IDLE_MS ? ADMIN_END_IDLE : ADMIN_END_COUNT;
}

bool admin_share_asks(struct admin_share *share, uint64_t now_ms)
{
    if (now_ms < share->ask_ms)
        return false;
    share->ask_ms = now_ms + ADMIN_ASK_EVERY_MS;
    return true;
}

bool admin_share_rests(const struct admin_share *share, uint64_t now_ns)
{
    return now_ns < share->until_ns;
}

void admin_share_spent(struct admin_share *share, uint64_t spent_ns, uint64_t now_ns)
{
    uint64_t rest_ns = spent_ns * ADMIN_SHARE_REST;
    uint64_t most_ns = ADMIN_REST_MAX_MS * 1000000ull;
    share->until_ns = now_ns + (rest_ns < most_ns ? rest_ns : most_ns);
}
