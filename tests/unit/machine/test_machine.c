#include "consensus/machine/hash.h"
#include "tests/unit/machine/bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct bench b;

static void starts_at_genesis(void)
{
    struct genesis genesis = bench_genesis();
    bench_init(&b, &genesis);
    CU_ASSERT_EQUAL(b.machine->size, machine_size(&genesis));
    CU_ASSERT_EQUAL(b.machine->applied, 0);
    CU_ASSERT_EQUAL(b.machine->feed_next, 1);
    CU_ASSERT_EQUAL(b.machine->day_open, 1);
    CU_ASSERT_EQUAL(memcmp(b.machine->day, genesis.day, sizeof(genesis.day)), 0);
    CU_ASSERT_EQUAL(b.machine->config.voters, 0xe);
    CU_ASSERT_EQUAL(b.machine->config.member[3].incarnation, BENCH_INCARNATION + 3);
    CU_ASSERT_EQUAL(b.machine->session_count, 0);
    CU_ASSERT_PTR_NULL(machine_session(b.machine, 0));
    CU_ASSERT_PTR_NULL(machine_session_at(b.machine, 0));
    CU_ASSERT_PTR_NULL(machine_session_at(b.machine, UINT32_MAX));
    bench_free(&b);
}

/* One block without pointers: a memcpy is a machine that decides alike. */
static void copy_is_memcpy(void)
{
    struct genesis genesis = bench_genesis();
    bench_init(&b, &genesis);
    bench_open(&b, BENCH_ALICE, "gw", 1, 8);
    uint64_t id = bench_session(&b)->id;
    struct machine *copy = bench_memory(&genesis);
    memcpy(copy, b.machine, b.machine->size);
    bench_send(&b, BENCH_ALICE, id, id, 1, 0, 3);
    struct machine_outcome outcome;
    machine_apply(copy, (const struct entry *)(const void *)b.bytes, &outcome);
    CU_ASSERT_TRUE(bench_same_outcome(&outcome, &b.outcome));
    CU_ASSERT_EQUAL(memcmp(copy, b.machine, b.machine->size), 0);
    free(copy);
    bench_free(&b);
}

static void keeps_the_last_window(void)
{
    struct genesis genesis = bench_genesis();
    bench_init(&b, &genesis);
    bench_open(&b, BENCH_ALICE, "gw", 1, 5);
    uint64_t id = bench_session(&b)->id;
    const struct machine_session *s = machine_session(b.machine, id);
    CU_ASSERT_PTR_NULL(machine_kept(s, 0));
    CU_ASSERT_PTR_NULL(machine_kept(s, 1));
    uint64_t last = 0;
    for (uint32_t round = 0; round < 40; round++) {
        bench_send(&b, BENCH_ALICE, id, id, last + 1, last, 1 + round % 5);
        last += 1 + round % 5;
        CU_ASSERT_EQUAL(s->last, last);
        for (uint64_t n = 1; n <= last; n++) {
            const struct machine_kept *kept = machine_kept(s, n);
            CU_ASSERT_EQUAL(kept != NULL, n + 5 > last);
            CU_ASSERT(kept == NULL || kept->feed == n);
        }
        CU_ASSERT_PTR_NULL(machine_kept(s, last + 1));
        CU_ASSERT_PTR_NULL(machine_kept(s, UINT64_MAX));
    }
    bench_free(&b);
}

static void assert_run(const struct packet_result_run *run, uint64_t number, uint32_t count,
                       enum machine_status status, uint64_t feed)
{
    CU_ASSERT_EQUAL(run->number, number);
    CU_ASSERT_EQUAL(run->count, count);
    CU_ASSERT_EQUAL(run->status, status);
    CU_ASSERT_EQUAL(run->feed, feed);
}

static void runs(void)
{
    struct genesis genesis = bench_genesis();
    bench_init(&b, &genesis);
    bench_open(&b, BENCH_BOB, "other", 1, 5);
    uint64_t other = bench_session(&b)->id;
    bench_open(&b, BENCH_ALICE, "gw", 1, 12);
    uint64_t id = bench_session(&b)->id;
    const struct machine_session *s = machine_session(b.machine, id);
    struct packet_result_run run[8];
    CU_ASSERT_EQUAL(machine_runs(s, 1, 3, run, 8), 1);
    assert_run(&run[0], 1, 3, MACHINE_UNKNOWN, 0);

    bench_send(&b, BENCH_ALICE, id, id, 1, 0, 4); /* feed 1..4 */
    bench_send(&b, BENCH_ALICE, id, id, 5, 4, 2); /* feed 5..6, same time: the run goes on */
    bench_send(&b, BENCH_BOB, other, other, 1, 0, 1);
    bench_send(&b, BENCH_ALICE, id, id, 7, 6, 2); /* feed 8..9 */
    b.utc_ns += 10;
    bench_send(&b, BENCH_ALICE, id, id, 9, 8, 2); /* feed 10..11 at another time */
    bench_day(&b, ENTRY_DAY_END, "DAY1");
    bench_send(&b, BENCH_ALICE, id, id, 11, 10, 3); /* refused */
    CU_ASSERT_EQUAL(s->last, 13);
    CU_ASSERT_EQUAL(machine_runs(s, 1, 14, run, 8), 6);
    assert_run(&run[0], 1, 1, MACHINE_UNKNOWN, 0);
    assert_run(&run[1], 2, 5, MACHINE_SEQUENCED, 2);
    assert_run(&run[2], 7, 2, MACHINE_SEQUENCED, 8);
    assert_run(&run[3], 9, 2, MACHINE_SEQUENCED, 10);
    assert_run(&run[4], 11, 3, MACHINE_DAY_CLOSED, 0);
    assert_run(&run[5], 14, 1, MACHINE_UNKNOWN, 0);
    CU_ASSERT_EQUAL(run[3].utc_ns, run[2].utc_ns + 10);
    CU_ASSERT_EQUAL(machine_runs(s, 3, 8, run, 8), 2);
    assert_run(&run[0], 3, 4, MACHINE_SEQUENCED, 3);
    CU_ASSERT_EQUAL(machine_runs(s, 3, 13, run, 2), 2); /* no more than asked for */
    CU_ASSERT_EQUAL(machine_runs(s, 5, 4, run, 8), 0);
    /* Absurd ranges end. */
    CU_ASSERT_EQUAL(machine_runs(s, 0, UINT64_MAX, run, 8), 8);
    assert_run(&run[0], 0, 2, MACHINE_UNKNOWN, 0);
    assert_run(&run[6], 14 + 65535, 65535, MACHINE_UNKNOWN, 0);
    CU_ASSERT_EQUAL(machine_runs(s, UINT64_MAX - 5, UINT64_MAX, run, 8), 1);
    assert_run(&run[0], UINT64_MAX - 5, 6, MACHINE_UNKNOWN, 0);
    /* nothing but forgotten numbers */
    CU_ASSERT_EQUAL(machine_runs(s, 0, 0, run, 8), 1);
    assert_run(&run[0], 0, 1, MACHINE_UNKNOWN, 0);
    bench_free(&b);
}

/* One run has one time and one error bound of it. */
static void runs_by_error_of_time(void)
{
    struct genesis genesis = bench_genesis();
    bench_init(&b, &genesis);
    bench_open(&b, BENCH_ALICE, "gw", 1, 12);
    uint64_t id = bench_session(&b)->id;
    const struct machine_session *s = machine_session(b.machine, id);
    struct packet_result_run run[8];
    CU_ASSERT_EQUAL(machine_runs(s, 0, 5, run, 8), 1); /* before the first message */
    assert_run(&run[0], 0, 6, MACHINE_UNKNOWN, 0);
    bench_send(&b, BENCH_ALICE, id, id, 1, 0, 2);
    struct entry *entry = bench_build_messages(&b, BENCH_ALICE, id, id, 3, 2, 2, 0);
    entry->utc_error_ns += 7;
    bench_apply(&b);
    CU_ASSERT_EQUAL(machine_runs(s, 1, 4, run, 8), 2);
    assert_run(&run[0], 1, 2, MACHINE_SEQUENCED, 1);
    assert_run(&run[1], 3, 2, MACHINE_SEQUENCED, 3);
    CU_ASSERT_EQUAL(run[1].utc_error_ns, run[0].utc_error_ns + 7);
    bench_free(&b);
}

/* The indexes by id and by name under churn: sessions come and go in changing order, and what is
 * there is found, what is gone is not. */
static void indexes_survive_churn(void)
{
    enum { ROUNDS = 4000, MAX = 48, PRINCIPALS = 5 };
    struct genesis genesis = bench_genesis();
    genesis.sessions_max = MAX;
    genesis.sessions_per_principal = MAX;
    genesis.session_retain_ms = 0; /* forgotten with the next entry that is no message */
    bench_init(&b, &genesis);
    b.log_ns = 1;
    uint64_t state = 7;
    uint64_t ids[PRINCIPALS][26] = {{0}};
    uint32_t alive = 0;
    for (uint32_t round = 0; round < ROUNDS; round++) {
        uint32_t p = (uint32_t)(bench_random(&state) % PRINCIPALS);
        uint32_t n = (uint32_t)(bench_random(&state) % 26);
        char name[4] = {'n', (char)('a' + n), 0, 0};
        uint64_t *id = &ids[p][n];
        if (*id == 0) {
            bench_open(&b, BENCH_ALICE + p, name, 1, 4);
            CU_ASSERT_EQUAL(b.outcome.status,
                            alive < MAX ? MACHINE_SEQUENCED : MACHINE_SESSION_TABLE);
            if (alive < MAX) {
                *id = bench_session(&b)->id;
                alive++;
            }
        } else {
            bench_end(&b, BENCH_ALICE + p, *id, *id, SESSION_END_CLEAN);
            CU_ASSERT_EQUAL(b.outcome.status, MACHINE_SEQUENCED);
            bench_noop(&b, 1);
            CU_ASSERT_PTR_NULL(machine_session(b.machine, *id));
            *id = 0;
            alive--;
        }
        CU_ASSERT_EQUAL(b.machine->session_count, alive);
        for (uint32_t q = 0; round % 16 == 0 && q < PRINCIPALS; q++)
            for (uint32_t k = 0; k < 26; k++) {
                char other[4] = {'n', (char)('a' + k), 0, 0};
                const struct machine_session *s =
                    machine_session_named(b.machine, BENCH_ALICE + q, other);
                CU_ASSERT_EQUAL(s == NULL ? 0 : s->id, ids[q][k]);
                CU_ASSERT_PTR_EQUAL(ids[q][k] == 0 ? s : machine_session(b.machine, ids[q][k]), s);
                CU_ASSERT(s == NULL ||
                          machine_session_at(b.machine, machine_slot(b.machine, s)) == s);
            }
    }
    bench_free(&b);
}

static void every_status_has_its_word(void)
{
    const char *words[256];
    uint32_t count = 0;
    for (uint32_t status = 0; status < 256; status++) {
        const char *word = machine_status_name((enum machine_status)status);
        if (strcmp(word, "invalid") == 0)
            continue;
        for (uint32_t i = 0; i < count; i++)
            CU_ASSERT_STRING_NOT_EQUAL(words[i], word);
        words[count++] = word;
    }
    CU_ASSERT_EQUAL(count, 34);
    CU_ASSERT_STRING_EQUAL(machine_status_name(MACHINE_EPOCH), "stale-epoch");
}

/* Each bit of each length counts, the length too, and short texts do not collide by chance. */
static void hash_sees_every_bit(void)
{
    uint8_t text[200];
    for (size_t i = 0; i < sizeof(text); i++)
        text[i] = (uint8_t)(i * 37 + 11);
    for (size_t size = 1; size < sizeof(text); size++) {
        uint8_t *exact = malloc(size); /* a read beyond it is seen by the sanitiser */
        memcpy(exact, text, size);
        uint64_t whole = machine_message_hash(ENTRY_MESSAGES, exact, size, NULL);
        for (size_t bit = 0; bit < size * 8; bit++) {
            exact[bit / 8] ^= (uint8_t)(1u << bit % 8);
            uint64_t other = machine_message_hash(ENTRY_MESSAGES, exact, size, NULL);
            CU_ASSERT_NOT_EQUAL(other, whole);
            /* Far apart, not just different: at least 8 of 64 bits. */
            CU_ASSERT(__builtin_popcountll(other ^ whole) >= 8);
            exact[bit / 8] ^= (uint8_t)(1u << bit % 8);
        }
        free(exact);
    }
    uint8_t zeros[64] = {0};
    for (size_t size = 1; size < sizeof(zeros); size++)
        for (size_t other = 0; other < size; other++)
            CU_ASSERT_NOT_EQUAL(hash_bytes(zeros, size, 0), hash_bytes(zeros, other, 0));
}

static int by_value(const void *a, const void *c)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)c;
    return x < y ? -1 : x > y;
}

/* 65,536 texts of counters in 8 places each: no two hashes are equal in 64 bits, and in the low 32
 * about as many as chance allows (expected 32 for 2^19 texts). */
static void hash_spreads_counters(void)
{
    enum { TEXTS = 65536, PLACES = 8 };
    uint64_t *hash = malloc(sizeof(uint64_t) * TEXTS * PLACES);
    uint32_t count = 0;
    for (uint32_t place = 0; place < PLACES; place++)
        for (uint32_t i = 0; i < TEXTS; i++) {
            uint8_t text[64] = {0};
            text[place * 8] = (uint8_t)i;
            text[place * 8 + 1] = (uint8_t)(i >> 8);
            text[63 - place * 8] ^= (uint8_t)(place + 1);
            hash[count++] = machine_message_hash(ENTRY_MESSAGES, text, sizeof(text), NULL);
        }
    uint32_t low = 0;
    qsort(hash, count, sizeof(hash[0]), by_value);
    for (uint32_t i = 1; i < count; i++)
        CU_ASSERT_NOT_EQUAL_FATAL(hash[i], hash[i - 1]);
    for (uint32_t i = 0; i < count; i++)
        hash[i] <<= 32;
    qsort(hash, count, sizeof(hash[0]), by_value);
    for (uint32_t i = 1; i < count; i++)
        low += hash[i] == hash[i - 1];
    CU_ASSERT(low < 100);
    free(hash);
}

int main(void)
{
    static const struct unit_test tests[] = {
        {"a machine starts at the genesis record", starts_at_genesis},
        {"a copy is a memcpy", copy_is_memcpy},
        {"the results of the last W numbers are kept", keeps_the_last_window},
        {"kept results as runs", runs},
        {"runs by error of time", runs_by_error_of_time},
        {"the indexes survive churn", indexes_survive_churn},
        {"every status has its own word", every_status_has_its_word},
        {"the hash sees every bit and length", hash_sees_every_bit},
        {"the hash spreads counters", hash_spreads_counters},
        {0}};
    return unit_main("machine", tests);
}
