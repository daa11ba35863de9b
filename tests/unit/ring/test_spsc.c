#include "dataplane/spsc.h"

#include "tests/unit/unit.h"

#include <pthread.h>
#include <sched.h>

struct record {
    uint64_t number, twice, thrice;
};

static void fills_and_empties(void)
{
    struct spsc ring;
    struct record memory[8];
    CU_ASSERT(spsc_memory(8, sizeof(memory[0])) == sizeof(memory));
    spsc_init(&ring, memory, 8, sizeof(memory[0]));
    uint64_t pushed = 0, popped = 0;
    for (uint32_t round = 0; round < 1000; round++) {
        uint32_t push = round % 11, pop = (round * 7) % 13;
        for (uint32_t i = 0; i < push; i++) {
            struct record *record = spsc_reserve(&ring);
            CU_ASSERT_FATAL((record == NULL) == (pushed - popped == 8));
            CU_ASSERT_FATAL(spsc_room(&ring) == 8 - (pushed - popped));
            if (record == NULL)
                break;
            record->number = pushed++;
            spsc_push(&ring);
        }
        for (uint32_t i = 0; i < pop; i++) {
            const struct record *record = spsc_peek(&ring);
            CU_ASSERT_FATAL((record == NULL) == (pushed == popped));
            if (record == NULL)
                break;
            CU_ASSERT_FATAL(record->number == popped);
            popped++;
            spsc_drop(&ring);
        }
    }
    CU_ASSERT(pushed > 3000);
}

static void ends_lie_on_lines_of_their_own(void)
{
    CU_ASSERT(offsetof(struct spsc, head) - offsetof(struct spsc, tail) >= SPSC_LINE);
    CU_ASSERT(offsetof(struct spsc, records) - offsetof(struct spsc, head) >= SPSC_LINE);
    CU_ASSERT(_Alignof(struct spsc) == SPSC_LINE);
}

enum { RECORDS = 300000, CAPACITY = 64 };

static void *produce(void *argument)
{
    struct spsc *ring = argument;
    for (uint64_t i = 0; i < RECORDS;) {
        struct record *record = spsc_reserve(ring);
        if (record == NULL) {
            sched_yield();
            continue;
        }
        *record = (struct record){.number = i, .twice = 2 * i, .thrice = 3 * i};
        spsc_push(ring);
        i++;
    }
    return NULL;
}

static void two_threads(void)
{
    static struct record memory[CAPACITY];
    static struct spsc ring;
    spsc_init(&ring, memory, CAPACITY, sizeof(memory[0]));
    pthread_t thread;
    CU_ASSERT_FATAL(pthread_create(&thread, NULL, produce, &ring) == 0);
    uint64_t wrong = 0;
    for (uint64_t i = 0; i < RECORDS;) {
        const struct record *record = spsc_peek(&ring);
        if (record == NULL) {
            sched_yield();
            continue;
        }
        wrong += record->number != i || record->twice != 2 * i || record->thrice != 3 * i;
        spsc_drop(&ring);
        i++;
    }
    pthread_join(thread, NULL);
    CU_ASSERT(wrong == 0 && spsc_peek(&ring) == NULL);
}

int main(void)
{
    static const struct unit_test tests[] = {
        {"fills and empties", fills_and_empties},
        {"each end on lines of its own", ends_lie_on_lines_of_their_own},
        {"two threads", two_threads},
        {0}};
    return unit_main("spsc", tests);
}
