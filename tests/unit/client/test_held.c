#include "client/held.h"

#include "tests/unit/client/fake.h"
#include "tests/unit/unit.h"

#include <stdlib.h>
#include <string.h>

enum { ROOM = 8, SPAN = 24 };

/* The same as a plain list: what is kept, by day and first number. */
struct model {
    uint32_t count[2][SPAN]; /* messages of the packet that begins there; 0: none */
    uint32_t kept;
};

static enum held_outcome model_add(struct model *m, uint32_t day, uint32_t first, uint32_t count)
{
    uint32_t *place = &m->count[day][first];
    if (*place != 0) {
        if (*place >= count)
            return HELD_KNOWN;
        *place = count;
        return HELD_KEPT;
    }
    if (m->kept == ROOM) {
        for (uint32_t i = 2 * SPAN; i-- > 0;) { /* the farthest goes, if it is farther than this */
            if (m->count[i / SPAN][i % SPAN] == 0)
                continue;
            if (i <= day * SPAN + first)
                return HELD_DROPPED;
            m->count[i / SPAN][i % SPAN] = 0;
            m->kept--;
            break;
        }
    }
    *place = count;
    m->kept++;
    return HELD_KEPT;
}

static bool same_first(const struct held *held, const struct model *m)
{
    const struct held_packet *p = held_peek(held);
    for (uint32_t i = 0; i < 2 * SPAN; i++) {
        uint32_t count = m->count[i / SPAN][i % SPAN];
        if (count == 0)
            continue;
        uint8_t want[3] = {(uint8_t)(i / SPAN), (uint8_t)(i % SPAN), (uint8_t)count};
        return p != NULL && p->day == i / SPAN && p->first == i % SPAN && p->count == count &&
               p->size == 3 && memcmp(p->bytes, want, 3) == 0;
    }
    return p == NULL;
}

static void pop_both(struct held *held, struct model *m)
{
    for (uint32_t i = 0; i < 2 * SPAN; i++) {
        if (m->count[i / SPAN][i % SPAN] == 0)
            continue;
        m->count[i / SPAN][i % SPAN] = 0;
        m->kept--;
        held_pop(held);
        return;
    }
}

static void next_day_both(struct held *held, struct model *m)
{
    held_next_day(held);
    m->kept = 0;
    for (uint32_t i = 0; i < SPAN; i++) {
        m->count[0][i] = m->count[1][i];
        m->count[1][i] = 0;
        m->kept += m->count[0][i] != 0;
    }
}

static void behaves_like_a_list(void)
{
    struct rng rng = {17};
    struct held held;
    struct model m = {0};
    void *memory = malloc(held_size(ROOM));
    held_init(&held, memory, ROOM);
    for (uint32_t i = 0; i < 200000; i++) {
        uint32_t what = rng_below(&rng, 100);
        if (what < 65) {
            uint32_t day = rng_below(&rng, 10) == 0, first = rng_below(&rng, SPAN);
            uint32_t count = 1 + rng_below(&rng, 4);
            const uint8_t bytes[3] = {(uint8_t)day, (uint8_t)first, (uint8_t)count};
            enum held_outcome want = model_add(&m, day, first, count);
            CU_ASSERT_FATAL(held_add(&held, day, first, count, bytes, 3, 0) == want);
        } else if (what < 99) {
            pop_both(&held, &m);
        } else {
            next_day_both(&held, &m);
            /* the packets say which day they were of; that is now the one before */
            for (uint32_t k = 0; k < held.count; k++)
                held.packet[held.order[held.head + k]].bytes[0] = 0;
        }
        CU_ASSERT_FATAL(held.count == m.kept && same_first(&held, &m));
    }
    free(memory);
}

int main(void)
{
    static const struct unit_test tests[] = {
        {"behaves like a list of bounded length, 200,000 steps", behaves_like_a_list},
        {0},
    };
    return unit_main("held", tests);
}
