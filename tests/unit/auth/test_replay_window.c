#include "dataplane/auth/replay_window.h"

#include "tests/unit/auth/fixture.h"
#include "tests/unit/unit.h"

#include <stdlib.h>
#include <string.h>

/* The model: every counter ever taken, in a plain bitmap, and the highest. */
enum { MODEL_COUNTERS = 1 << 20 };

struct model {
    uint64_t top;
    uint8_t *taken; /* a byte for each counter */
};

static bool model_fresh(const struct model *model, uint64_t counter)
{
    if (counter == 0 || model->taken[counter])
        return false;
    return counter > model->top || model->top - counter < 2048;
}

static void offer(struct replay_window *window, struct model *model, uint64_t counter)
{
    bool want = model_fresh(model, counter);

    CU_ASSERT_FATAL(replay_window_fresh(window, counter) == want);
    if (!want)
        return;
    replay_window_take(window, counter);
    model->taken[counter] = 1;
    if (counter > model->top)
        model->top = counter;
    CU_ASSERT_FATAL(window->top == model->top);
}

static void compare_all(const struct replay_window *window, const struct model *model,
                        uint64_t upto)
{
    for (uint64_t counter = 0; counter <= upto; counter++)
        CU_ASSERT_FATAL(replay_window_fresh(window, counter) == model_fresh(model, counter));
}

/* Every pair (jump, offset): after a jump of any length up to three windows, from every phase of a
 * word, exactly the counters that the model has are open. */
static void test_every_jump(void)
{
    struct model model = {0, malloc(MODEL_COUNTERS)};

    ENSURE(model.taken != NULL);
    for (uint64_t phase = 0; phase < 64; phase += 7) {
        for (uint64_t jump = 1; jump < 3 * REPLAY_WINDOW_BITS; jump += jump < 200 ? 1 : 61) {
            struct replay_window window = {0};
            memset(model.taken, 0, MODEL_COUNTERS);
            model.top = 0;
            for (uint64_t counter = 1; counter <= 100 + phase; counter += 3)
                offer(&window, &model, counter);
            offer(&window, &model, model.top + jump);
            compare_all(&window, &model, model.top + 70);
        }
    }
    free(model.taken);
}

/* In order, backwards, near the left edge, far ahead: a million offers by each of 8 seeds. */
static void test_random_walks(void)
{
    struct model model = {0, malloc(MODEL_COUNTERS)};
    uint64_t rejected = 0, taken = 0;

    ENSURE(model.taken != NULL);
    for (uint64_t seed = 1; seed <= 8; seed++) {
        struct rng rng = {seed};
        struct replay_window window = {0};
        memset(model.taken, 0, MODEL_COUNTERS);
        model.top = 0;
        for (int i = 0; i < 1000000 && model.top < MODEL_COUNTERS - 20000; i++) {
            uint64_t back = rng_below(&rng, 2200), counter;
            switch (rng_below(&rng, 8)) {
            case 0:
                counter = model.top + 1;
                break;
            case 1:
                counter = model.top + rng_below(&rng, 200);
                break;
            case 2:
                counter =
                    rng_below(&rng, 500) == 0 ? model.top + rng_below(&rng, 10000) : model.top;
                break;
            case 3: /* around the left edge */
                back = 2040 + rng_below(&rng, 16);
                counter = model.top > back ? model.top - back : 0;
                break;
            default:
                counter = model.top > back ? model.top - back : 0;
                break;
            }
            uint64_t before = model.top;
            bool fresh = model_fresh(&model, counter);
            offer(&window, &model, counter);
            rejected += !fresh;
            taken += fresh && counter < before;
        }
        compare_all(&window, &model, model.top + 5000);
    }
    CU_ASSERT(rejected > 100000 && taken > 100000); /* both sides of the edge were walked */
    free(model.taken);
}

static void test_far_ends(void)
{
    struct replay_window window = {0};

    CU_ASSERT(!replay_window_fresh(&window, 0));
    replay_window_take(&window, UINT64_C(1) << 62);
    CU_ASSERT(window.top == UINT64_C(1) << 62);
    CU_ASSERT(!replay_window_fresh(&window, window.top));
    CU_ASSERT(!replay_window_fresh(&window, 0));
    CU_ASSERT(!replay_window_fresh(&window, window.top - 2048));
    CU_ASSERT(replay_window_fresh(&window, window.top - 2047));
    CU_ASSERT(replay_window_fresh(&window, window.top + 1));
}

int main(void)
{
    static const struct unit_test tests[] = {
        {"every jump from every phase leaves open what a plain set leaves open", test_every_jump},
        {"random walks agree with a plain set", test_random_walks},
        {"zero, the left edge and 2^62", test_far_ends},
        {0}};
    return unit_main("replay_window", tests);
}
