#include "dataplane/auth/index.h"

#include "tests/unit/auth/fixture.h"
#include "tests/unit/unit.h"

enum { KEYS = 64, STEPS = 200000 };

/* Against a plain array: keys that share homes, removals in the middle of probe runs and across the
 * wrap. */
static void test_against_array(void)
{
    struct auth_index_cell cells[128];
    uint32_t key[KEYS], place[KEYS];
    uint32_t removals = 0;

    CU_ASSERT_FATAL(auth_index_cells(KEYS) == 128);
    for (uint64_t seed = 1; seed <= 4; seed++) {
        struct rng rng = {seed};
        struct auth_index index;
        auth_index_init(&index, cells, 128);
        for (uint32_t i = 0; i < KEYS; i++) {
            place[i] = AUTH_INDEX_NONE;
            /* crowded: many candidates around few homes, the last cells among them */
            do
                key[i] = (uint32_t)rng_next(&rng);
            while (seed % 2 == 1 && auth_index_home(&index, key[i]) % 128 < 116);
        }
        for (uint32_t step = 0; step < STEPS; step++) {
            uint32_t i = rng_below(&rng, KEYS);
            CU_ASSERT_FATAL(auth_index_find(&index, key[i]) == place[i]);
            if (place[i] == AUTH_INDEX_NONE) {
                place[i] = rng_below(&rng, 1000);
                auth_index_add(&index, key[i], place[i]);
            } else {
                auth_index_remove(&index, key[i]);
                place[i] = AUTH_INDEX_NONE;
                removals++;
            }
        }
        for (uint32_t i = 0; i < KEYS; i++)
            CU_ASSERT_FATAL(auth_index_find(&index, key[i]) == place[i]);
    }
    CU_ASSERT(removals > STEPS);
}

static void test_cells(void)
{
    for (uint32_t count = 1; count <= 4096; count++) {
        uint32_t cells = auth_index_cells(count);
        CU_ASSERT(cells >= 2 * count && (cells & (cells - 1)) == 0);
        CU_ASSERT(cells == 4 || cells / 2 < 2 * count);
    }
}

int main(void)
{
    static const struct unit_test tests[] = {
        {"agrees with an array over crowded and scattered keys", test_against_array},
        {"cells are a power of two, at most half full", test_cells},
        {0}};
    return unit_main("index", tests);
}
