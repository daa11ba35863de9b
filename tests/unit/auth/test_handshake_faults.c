/* Handshakes and associations under loss, doubling, reordering, replays and restarts, by seed. */
#include "dataplane/auth/handshake_wire.h"
#include "tests/unit/auth/world.h"
#include "tests/unit/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SEEDS = 60, FAULTY_MS = 8000, QUIET_MS = 6000 };

static void talk_somewhere(struct world *w)
{
    uint32_t from = rng_below(&w->rng, w->node_count), to = rng_below(&w->rng, w->node_count);

    if (from == to || !w->node[from].up)
        return;
    bool client = w->node[from].principal >= KEEL_CLIENT_MIN;
    bool to_client = w->node[to].principal >= KEEL_CLIENT_MIN;
    if (client && to_client)
        return;
    world_talk(w, from, to,
               client ? PACKET_SUBMIT : (uint8_t)(to_client ? PACKET_RESULT : PACKET_APPEND));
}

static void all_connected(const struct world *w)
{
    for (uint32_t a = 0; a < w->node_count; a++)
        for (uint32_t b = 0; b < w->node_count; b++)
            if (world_initiates(w, a, b))
                CU_ASSERT(world_connected(w, a, b));
}

/* H18 and pitfall 11: whatever is lost, doubled, delayed, replayed, and whoever restarts, no two
 * packets are sealed under an equal (key, counter) (world.c checks each), no packet opens twice,
 * and when the faults end every pair has an association that both have confirmed. */
static void test_seeds(void)
{
    uint64_t opened = 0, replays = 0, unexpected = 0, sealed = 0, installs = 0, restarts = 0;

    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct world *w = world_new(seed, 3, 2);
        w->loss = rng_below(&w->rng, 40);
        w->doubled = rng_below(&w->rng, 40);
        w->replayed = rng_below(&w->rng, 40);
        w->delay_ms = rng_below(&w->rng, 300);
        for (uint32_t i = 0; i < w->node_count; i++)
            world_start(w, i);
        for (int ms = 0; ms < FAULTY_MS; ms++) {
            world_step(w);
            if (ms % 16 == 0)
                talk_somewhere(w);
            if (rng_below(&w->rng, 1000) == 0) {
                world_start(w, rng_below(&w->rng, w->node_count));
                restarts++;
            }
        }
        w->loss = w->doubled = w->replayed = 0;
        w->delay_ms = 2;
        for (int ms = 0; ms < QUIET_MS; ms++) {
            world_step(w);
            talk_somewhere(w);
        }
        all_connected(w);
        for (uint32_t i = 0; i < w->node_count; i++) {
            installs += w->node[i].installs;
            const uint64_t *r = handshake_rejects(w->node[i].handshake);
            CU_ASSERT(r[HANDSHAKE_MALFORMED] == 0 && r[HANDSHAKE_BAD_PROOF] == 0 &&
                      r[HANDSHAKE_WRONG_CLUSTER] == 0);
            world_stop(w, i);
        }
        opened += w->opened;
        replays += w->replays_refused;
        unexpected += w->unexpected;
        sealed += w->sealed_count;
        world_free(w);
    }
    printf("# %d seeds: %llu sealed, %llu opened, %llu replays refused, %llu installs, %llu "
           "unexpected, %llu restarts\n",
           SEEDS, (unsigned long long)sealed, (unsigned long long)opened,
           (unsigned long long)replays, (unsigned long long)installs,
           (unsigned long long)unexpected, (unsigned long long)restarts);
    CU_ASSERT(opened > 100000 && replays > 5000 && unexpected > 500 && restarts > 200);
}

/* The same seed gives the same history. */
static void test_repeatable(void)
{
    uint64_t end[2];

    for (int i = 0; i < 2; i++) {
        struct world *w = world_new(99, 3, 2);
        w->loss = 20;
        w->delay_ms = 50;
        for (uint32_t n = 0; n < w->node_count; n++)
            world_start(w, n);
        for (int ms = 0; ms < 3000; ms++)
            world_step(w);
        end[i] = rng_next(&w->rng) + w->opened;
        world_free(w);
    }
    CU_ASSERT(end[0] == end[1]);
}

/* Mutated and random bytes for both roles, in memory of their exact size: no install, no answer
 * longer than the question, and the handshake under way still ends well. */
static void test_fuzz_receive(void)
{
    uint64_t answers = 0, reasons[HANDSHAKE_REJECT_COUNT] = {0};

    for (uint64_t seed = 1; seed <= 40; seed++) {
        struct world *w = world_new(seed, 2, 1);
        uint8_t out[HANDSHAKE_PACKET_MAX];
        size_t out_size;
        w->delay_ms = 20;
        for (uint32_t i = 0; i < w->node_count; i++)
            world_start(w, i);
        for (int ms = 0; ms < 1500; ms++) {
            world_step(w);
            if (w->history_count == 0)
                continue;
            struct flight f = w->history[rng_below(&w->rng, w->history_count)];
            if (!handshake_is_packet(f.bytes, f.size))
                continue;
            uint64_t before = w->node[f.to].installs;
            for (uint32_t n = 1 + rng_below(&w->rng, 3); n > 0; n--)
                f.bytes[rng_below(&w->rng, (uint32_t)f.size)] = (uint8_t)rng_next(&w->rng);
            if (rng_below(&w->rng, 4) == 0)
                rng_bytes(&w->rng, f.bytes + 32, f.size - 32);
            if (rng_below(&w->rng, 8) == 0)
                f.size = rng_below(&w->rng, sizeof f.bytes);
            uint8_t *copy = malloc(f.size + (f.size == 0));
            ENSURE(copy != NULL);
            memcpy(copy, f.bytes, f.size);
            enum handshake_event event =
                world_deliver(w, f.to, f.from, copy, f.size, out, &out_size);
            free(copy);
            bool same = event == HANDSHAKE_SEND_INSTALL || event == HANDSHAKE_INSTALL;
            if (same) { /* bytes changed into themselves */
                same = false;
                for (uint32_t i = 0; i < w->history_count && !same; i++)
                    same = w->history[i].size == f.size &&
                           memcmp(w->history[i].bytes, f.bytes, f.size) == 0;
                CU_ASSERT(same);
            } else {
                CU_ASSERT(w->node[f.to].installs == before);
            }
            answers += event == HANDSHAKE_SEND;
        }
        for (uint32_t i = 0; i < w->node_count; i++)
            for (int r = 0; r < HANDSHAKE_REJECT_COUNT; r++)
                reasons[r] += handshake_rejects(w->node[i].handshake)[r];
        for (int ms = 0; ms < 8000; ms++) {
            world_step(w);
            talk_somewhere(w);
        }
        all_connected(w);
        world_free(w);
    }
    CU_ASSERT(answers > 100);
    for (int r = HANDSHAKE_MALFORMED; r <= HANDSHAKE_BAD_PROOF; r++)
        CU_ASSERT(reasons[r] > 0);
}

int main(void)
{
    static const struct unit_test tests[] = {
        {"H18: loss, doubling, reordering, replays, restarts", test_seeds},
        {"the same seed, the same history", test_repeatable},
        {"mutated handshake packets", test_fuzz_receive},
        {0}};
    return unit_main("handshake_faults", tests);
}
