#include "tests/unit/machine/bench.h"

#include <stdlib.h>
#include <string.h>

static struct bench b;

static void start(void)
{
    struct genesis genesis = bench_genesis();
    bench_init(&b, &genesis);
    bench_noop(&b, 1);
}

/* Opens "gw" of Alice with this window; returns its id. */
static uint64_t start_session(uint16_t window)
{
    start();
    const struct machine_outcome *o = bench_open(&b, BENCH_ALICE, "gw", 1, window);
    CU_ASSERT_EQUAL_FATAL(o->status, MACHINE_SEQUENCED);
    return bench_session(&b)->id;
}

static void assert_run(uint32_t k, uint64_t number, uint32_t count, enum machine_status status,
                       uint64_t feed)
{
    CU_ASSERT_FATAL(k < b.outcome.run_count);
    const struct packet_result_run *run = &b.outcome.run[k];
    CU_ASSERT_EQUAL(run->number, number);
    CU_ASSERT_EQUAL(run->count, count);
    CU_ASSERT_EQUAL(run->status, status);
    CU_ASSERT_EQUAL(run->feed, feed);
    bool consumed = status == MACHINE_SEQUENCED || status == MACHINE_DAY_CLOSED;
    CU_ASSERT_EQUAL(run->utc_ns, consumed ? b.machine->utc_ns : 0);
    CU_ASSERT_EQUAL(run->utc_error_ns, consumed ? 50 : 0);
    CU_ASSERT_EQUAL(run->reserved, 0);
}

/* One run, and nothing of the session or the feed moved. */
static void assert_refused(uint64_t id, uint64_t number, uint32_t count, enum machine_status status,
                           const struct machine_session *before)
{
    CU_ASSERT_EQUAL(b.outcome.run_count, 1);
    assert_run(0, number, count, status, 0);
    CU_ASSERT_EQUAL(b.outcome.feed_before, b.outcome.feed_after);
    const struct machine_session *s = machine_session(b.machine, id);
    CU_ASSERT_PTR_NOT_NULL_FATAL(s);
    CU_ASSERT_EQUAL(memcmp(s, before, sizeof(*s)), 0);
}

static void sequences_in_order(void)
{
    uint64_t id = start_session(64);
    b.utc_ns = 5000;
    const struct machine_outcome *o = bench_send(&b, BENCH_ALICE, id, id, 1, 0, 3);
    CU_ASSERT_EQUAL(o->run_count, 1);
    assert_run(0, 1, 3, MACHINE_SEQUENCED, 1);
    CU_ASSERT_EQUAL(o->feed_before, 1);
    CU_ASSERT_EQUAL(o->feed_after, 4);
    CU_ASSERT_EQUAL(o->kind, ENTRY_MESSAGES);
    CU_ASSERT_EQUAL(bench_session(&b)->last, 3);
    b.utc_ns = 6000;
    bench_send(&b, BENCH_ALICE, id, id, 4, 3, 1);
    assert_run(0, 4, 1, MACHINE_SEQUENCED, 4);
    CU_ASSERT_EQUAL(bench_session(&b)->acked, 3);
    const struct machine_kept *kept = machine_kept(bench_session(&b), 2);
    CU_ASSERT_PTR_NOT_NULL_FATAL(kept);
    CU_ASSERT_EQUAL(kept->feed, 2);
    CU_ASSERT_EQUAL(kept->utc_ns, 5000);
    CU_ASSERT_EQUAL(kept->utc_error_ns, 50);
    CU_ASSERT_EQUAL(kept->status, MACHINE_SEQUENCED);
    char text[24];
    size_t length = bench_text(text, 0, 2);
    CU_ASSERT_EQUAL(kept->hash, machine_message_hash(ENTRY_MESSAGES, text, length, NULL));
    bench_free(&b);
}

static void resends_are_duplicates(void)
{
    uint64_t id = start_session(64);
    bench_send(&b, BENCH_ALICE, id, id, 1, 0, 4);
    struct machine_session before = *bench_session(&b);
    bench_send(&b, BENCH_ALICE, id, id, 2, 1, 3);
    assert_refused(id, 2, 3, MACHINE_DUPLICATE, &before);
    /* A resend that goes on with new messages: both, each as if alone. */
    const struct machine_outcome *o = bench_send(&b, BENCH_ALICE, id, id, 3, 2, 4);
    CU_ASSERT_EQUAL(o->run_count, 2);
    assert_run(0, 3, 2, MACHINE_DUPLICATE, 0);
    assert_run(1, 5, 2, MACHINE_SEQUENCED, 5);
    bench_free(&b);
}

static void other_content_is_an_error(void)
{
    uint64_t id = start_session(64);
    bench_send(&b, BENCH_ALICE, id, id, 1, 0, 4);
    struct machine_session before = *bench_session(&b);
    bench_build_messages(&b, BENCH_ALICE, id, id, 2, 0, 2, 9);
    bench_apply(&b);
    assert_refused(id, 2, 2, MACHINE_DIFFERENT, &before);
    bench_free(&b);
}

/* What lies W or more behind the last number is not remembered, and never guessed. */
static void forgotten_numbers_are_unknown(void)
{
    uint64_t id = start_session(4);
    bench_send(&b, BENCH_ALICE, id, id, 1, 0, 4);
    bench_send(&b, BENCH_ALICE, id, id, 5, 4, 2);
    const struct machine_outcome *o = bench_send(&b, BENCH_ALICE, id, id, 1, 4, 7);
    CU_ASSERT_EQUAL(o->run_count, 3);
    assert_run(0, 1, 2, MACHINE_UNKNOWN, 0);
    assert_run(1, 3, 4, MACHINE_DUPLICATE, 0);
    assert_run(2, 7, 1, MACHINE_SEQUENCED, 7);
    bench_free(&b);
}

static void gap_changes_nothing(void)
{
    uint64_t id = start_session(8);
    bench_send(&b, BENCH_ALICE, id, id, 1, 0, 1);
    struct machine_session before = *bench_session(&b);
    bench_send(&b, BENCH_ALICE, id, id, 3, 1, 2);
    assert_refused(id, 3, 2, MACHINE_GAP, &before);
    bench_free(&b);
}

/* n is taken only if n <= the number acknowledged in that very entry + W, whatever an earlier one
 * acknowledged. */
static void window_is_of_this_entry(void)
{
    uint64_t id = start_session(2);
    const struct machine_outcome *o = bench_send(&b, BENCH_ALICE, id, id, 1, 0, 5);
    CU_ASSERT_EQUAL(o->run_count, 3);
    assert_run(0, 1, 2, MACHINE_SEQUENCED, 1);
    assert_run(1, 3, 1, MACHINE_WINDOW, 0);
    assert_run(2, 4, 2, MACHINE_GAP, 0);
    CU_ASSERT_EQUAL(bench_session(&b)->last, 2);
    bench_send(&b, BENCH_ALICE, id, id, 3, 2, 1);
    assert_run(0, 3, 1, MACHINE_SEQUENCED, 3);
    struct machine_session before = *bench_session(&b);
    bench_send(&b, BENCH_ALICE, id, id, 4, 1, 1);
    assert_refused(id, 4, 1, MACHINE_WINDOW, &before);
    bench_send(&b, BENCH_ALICE, id, id, 4, 2, 1);
    assert_run(0, 4, 1, MACHINE_SEQUENCED, 4);
    /* A senseless acknowledgement does not wrap the arithmetic, and is not believed. */
    bench_send(&b, BENCH_ALICE, id, id, 5, UINT64_MAX, 1);
    assert_run(0, 5, 1, MACHINE_SEQUENCED, 5);
    CU_ASSERT_EQUAL(bench_session(&b)->acked, 5);
    bench_free(&b);
}

static void closed_day_consumes_the_number(void)
{
    uint64_t id = start_session(8);
    bench_send(&b, BENCH_ALICE, id, id, 1, 0, 2);
    bench_day(&b, ENTRY_DAY_END, "DAY1");
    const struct machine_outcome *o = bench_send(&b, BENCH_ALICE, id, id, 2, 1, 3);
    CU_ASSERT_EQUAL(o->run_count, 2);
    assert_run(0, 2, 1, MACHINE_DUPLICATE, 0);
    assert_run(1, 3, 2, MACHINE_DAY_CLOSED, 0);
    CU_ASSERT_EQUAL(o->feed_before, o->feed_after);
    CU_ASSERT_EQUAL(bench_session(&b)->last, 4);
    CU_ASSERT_EQUAL(machine_kept(bench_session(&b), 3)->status, MACHINE_DAY_CLOSED);
    bench_day(&b, ENTRY_DAY_BEGIN, "DAY2");
    bench_send(&b, BENCH_ALICE, id, id, 3, 2, 2); /* the refusal stands, also in the new day */
    assert_run(0, 3, 2, MACHINE_DUPLICATE, 0);
    bench_send(&b, BENCH_ALICE, id, id, 5, 4, 1);
    assert_run(0, 5, 1, MACHINE_SEQUENCED, 1);
    bench_free(&b);
}

static void unknown_and_ended_sessions(void)
{
    uint64_t id = start_session(8);
    bench_send(&b, BENCH_ALICE, id + 100, id, 1, 0, 2);
    CU_ASSERT_EQUAL(b.outcome.slot, UINT32_MAX);
    CU_ASSERT_EQUAL(b.outcome.run_count, 1);
    assert_run(0, 1, 2, MACHINE_UNKNOWN, 0);
    bench_send(&b, BENCH_ALICE, id, id, 1, 0, 2);
    bench_end(&b, BENCH_ALICE, id, id, SESSION_END_CLEAN);
    struct machine_session before = *bench_session(&b);
    bench_send(&b, BENCH_ALICE, id, id, 2, 0, 2); /* also what was decided: ask by resume */
    assert_refused(id, 2, 2, MACHINE_SESSION_ENDED, &before);
    CU_ASSERT_EQUAL(bench_session(&b)->last, 2);
    bench_free(&b);
}

/* H15: the resume is appended, then the old process's message 14; its refusal must not consume 14.
 * Here: process 1 sends 1..13, process 2 resumes, process 1's 14 arrives, then process 2's own 14.
 */
static void h15_old_life_eats_no_number(void)
{
    uint64_t id = start_session(64);
    bench_send(&b, BENCH_ALICE, id, id, 1, 0, 13);
    bench_resume(&b, BENCH_ALICE, "gw", 2, id);
    struct machine_session before = *bench_session(&b);
    CU_ASSERT_EQUAL(before.last, 13);
    bench_send(&b, BENCH_ALICE, id, id, 14, 13, 1);
    assert_refused(id, 14, 1, MACHINE_EPOCH, &before);
    bench_build_messages(&b, BENCH_ALICE, id, before.epoch, 14, 13, 1, 5);
    bench_apply(&b);
    assert_run(0, 14, 1, MACHINE_SEQUENCED, 14);
    bench_free(&b);
}

/* H15, with the day closed: the only refusal that consumes a number is for the current life alone.
 */
static void h15_closed_day_refuses_old_life_for_nothing(void)
{
    uint64_t id = start_session(64);
    bench_resume(&b, BENCH_ALICE, "gw", 2, id);
    bench_day(&b, ENTRY_DAY_END, "DAY1");
    struct machine_session before = *machine_session(b.machine, id);
    bench_send(&b, BENCH_ALICE, id, id, 1, 0, 1);
    assert_refused(id, 1, 1, MACHINE_EPOCH, &before);
    bench_free(&b);
}

/* H17: Bob, well authenticated, submits into Alice's session with its right epoch and number. */
static void h17_another_principal_changes_nothing(void)
{
    uint64_t id = start_session(8);
    bench_send(&b, BENCH_ALICE, id, id, 1, 0, 1);
    struct machine_session before = *bench_session(&b);
    bench_send(&b, BENCH_BOB, id, id, 2, 1, 1);
    assert_refused(id, 2, 1, MACHINE_NOT_OWNER, &before);
    CU_ASSERT_EQUAL(b.outcome.slot, UINT32_MAX); /* nor does he learn anything of it */
    bench_send(&b, BENCH_REPLICA, id, id, 2, 1, 1);
    assert_refused(id, 2, 1, MACHINE_NOT_OWNER, &before);
    bench_end(&b, BENCH_ALICE, id, id, SESSION_END_CLEAN);
    before = *bench_session(&b);
    bench_send(&b, BENCH_BOB, id, id, 2, 1, 1);
    assert_refused(id, 2, 1, MACHINE_NOT_OWNER, &before);
    bench_free(&b);
}

/* The same messages, one entry or many: same results, same feed. */
static void split_does_not_matter(void)
{
    for (uint32_t part = 1; part <= 7; part++) {
        uint64_t id = start_session(8);
        bench_send(&b, BENCH_ALICE, id, id, 1, 0, 3);
        enum machine_status status[12];
        for (uint64_t number = 2; number < 14;) {
            uint32_t count = 14 - number < part ? (uint32_t)(14 - number) : part;
            const struct machine_outcome *o = bench_send(&b, BENCH_ALICE, id, id, number, 1, count);
            for (uint32_t r = 0; r < o->run_count; r++)
                for (uint32_t i = 0; i < o->run[r].count; i++)
                    status[o->run[r].number - 2 + i] = (enum machine_status)o->run[r].status;
            number += count;
        }
        for (uint64_t number = 2; number < 14; number++) {
            enum machine_status expected = number <= 3    ? MACHINE_DUPLICATE
                                           : number <= 9  ? MACHINE_SEQUENCED
                                           : number == 10 ? MACHINE_WINDOW
                                                          : MACHINE_GAP;
            CU_ASSERT_EQUAL(status[number - 2], expected);
        }
        CU_ASSERT_EQUAL(b.machine->feed_next, 10);
        CU_ASSERT_EQUAL(machine_session(b.machine, id)->last, 9);
        CU_ASSERT_EQUAL(machine_kept(machine_session(b.machine, id), 9)->feed, 9);
        bench_free(&b);
    }
}

static void days(void)
{
    uint64_t id = start_session(8);
    CU_ASSERT_EQUAL(bench_day(&b, ENTRY_DAY_BEGIN, "DAY2")->status, MACHINE_DAY_STATE);
    CU_ASSERT_EQUAL(bench_day(&b, ENTRY_DAY_END, "DAY2")->status, MACHINE_DAY_STATE);
    CU_ASSERT_FALSE(b.outcome.day_ended);
    bench_send(&b, BENCH_ALICE, id, id, 1, 0, 5);
    const struct machine_outcome *o = bench_day(&b, ENTRY_DAY_END, "DAY1");
    CU_ASSERT_EQUAL(o->status, MACHINE_SEQUENCED);
    CU_ASSERT_TRUE(o->day_ended);
    CU_ASSERT_FALSE(o->day_began);
    CU_ASSERT_EQUAL(o->feed_after, 6);
    CU_ASSERT_EQUAL(b.machine->day_open, 0);
    CU_ASSERT_EQUAL(bench_day(&b, ENTRY_DAY_END, "DAY1")->status, MACHINE_DAY_STATE);
    CU_ASSERT_EQUAL(bench_day(&b, ENTRY_DAY_BEGIN, "DAY1")->status, MACHINE_DAY_STATE);
    o = bench_day(&b, ENTRY_DAY_BEGIN, "DAY2");
    CU_ASSERT_EQUAL(o->status, MACHINE_SEQUENCED);
    CU_ASSERT_TRUE(o->day_began);
    CU_ASSERT_EQUAL(o->feed_before, 6);
    CU_ASSERT_EQUAL(o->feed_after, 1);
    CU_ASSERT_EQUAL(b.machine->day_count, 2);
    CU_ASSERT_EQUAL(memcmp(b.machine->day, "DAY2      ", 10), 0);
    bench_free(&b);
}

/* H2: an image taken at boot 5 is restored while the original runs as 6; both are 6, with two boot
 * ids. The first that is logged is the one. */
static void h2_equal_boots(void)
{
    start();
    uint64_t incarnation = BENCH_INCARNATION + 2;
    CU_ASSERT_EQUAL(bench_boot(&b, 2, incarnation, 5, 50)->status, MACHINE_SEQUENCED);
    CU_ASSERT_EQUAL(bench_boot(&b, 2, incarnation, 6, 60)->status, MACHINE_SEQUENCED);
    CU_ASSERT_EQUAL(bench_boot(&b, 2, incarnation, 6, 61)->status, MACHINE_BOOT_OLD);
    CU_ASSERT_EQUAL(bench_boot(&b, 2, incarnation, 5, 50)->status, MACHINE_BOOT_OLD);
    CU_ASSERT_EQUAL(bench_boot(&b, 2, incarnation, 6, 60)->status, MACHINE_SEQUENCED);
    CU_ASSERT_EQUAL(bench_boot(&b, 2, incarnation + 9, 7, 70)->status, MACHINE_BOOT_OLD);
    CU_ASSERT_EQUAL(bench_boot(&b, 5, incarnation, 1, 1)->status, MACHINE_BOOT_OLD);
    CU_ASSERT_EQUAL(bench_boot(&b, 3, BENCH_INCARNATION + 3, 1, 0)->status, MACHINE_SEQUENCED);
    CU_ASSERT_EQUAL(b.machine->boot[2], 6);
    CU_ASSERT_EQUAL(b.machine->boot_id[2], 60);
    bench_free(&b);
}

static void configuration(void)
{
    start();
    CU_ASSERT_EQUAL(b.machine->config.voters, 0xe);
    bench_boot(&b, 2, BENCH_INCARNATION + 2, 9, 90);
    struct entry_config config = {.voters = 0xe};
    for (uint32_t id = 1; id <= 3; id++)
        config.member[id] = (struct entry_member){
            .incarnation = BENCH_INCARNATION + id, .ip = 0x0a000000 + id, .port = 7400};
    config.member[2].incarnation = 4242;
    bench_build(&b, ENTRY_CONFIG, BENCH_REPLICA, &config, sizeof(config));
    CU_ASSERT_EQUAL(bench_apply(&b)->status, MACHINE_SEQUENCED);
    CU_ASSERT_EQUAL(b.machine->config_index, b.machine->applied);
    CU_ASSERT_EQUAL(memcmp(&b.machine->config, &config, sizeof(config)), 0);
    /* The new incarnation counts its boots anew; the old one is over. */
    CU_ASSERT_EQUAL(bench_boot(&b, 2, BENCH_INCARNATION + 2, 10, 1)->status, MACHINE_BOOT_OLD);
    CU_ASSERT_EQUAL(bench_boot(&b, 2, 4242, 1, 7)->status, MACHINE_SEQUENCED);
    CU_ASSERT_EQUAL(b.machine->boot[2], 1);
    bench_free(&b);
}

/* Of a machine that differs in nothing but digest and place nobody can tell that it was asked. */
static void a_probe_changes_nothing(void)
{
    start();
    const size_t size = machine_size(&b.genesis);
    struct machine *before = malloc(size);
    const struct entry_probe probe = {{0}};
    memcpy(before, b.machine, size);
    bench_build(&b, ENTRY_PROBE, BENCH_REPLICA, &probe, sizeof(probe));
    CU_ASSERT_EQUAL(bench_apply(&b)->status, MACHINE_SEQUENCED);
    CU_ASSERT_EQUAL(b.outcome.feed_after, b.outcome.feed_before);
    CU_ASSERT_EQUAL(b.machine->applied, before->applied + 1);
    CU_ASSERT_NOT_EQUAL(b.machine->digest, before->digest);
    before->applied = b.machine->applied;
    before->applied_term = b.machine->applied_term;
    before->digest = b.machine->digest;
    before->utc_ns = b.machine->utc_ns;
    before->log_ns = b.machine->log_ns;
    CU_ASSERT_EQUAL(memcmp(b.machine, before, size), 0);
    free(before);
    bench_free(&b);
}

static void leaders_entries_of_a_client_are_refused(void)
{
    start();
    const enum entry_kind kinds[] = {ENTRY_DAY_END, ENTRY_BOOT, ENTRY_CONFIG, ENTRY_PROBE};
    struct entry_day day = {.name = "DAY1      "};
    struct entry_boot boot = {.replica = 1, .incarnation = BENCH_INCARNATION + 1, .boot = 1};
    struct entry_config config = {.voters = 2, .member = {{0}, {3, 1, 1, 0}}};
    struct entry_probe probe = {{0}};
    const void *bodies[] = {&day, &boot, &config, &probe};
    const size_t sizes[] = {sizeof(day), sizeof(boot), sizeof(config), sizeof(probe)};
    for (uint32_t i = 0; i < 4; i++) {
        bench_build(&b, kinds[i], BENCH_ALICE, bodies[i], sizes[i]);
        CU_ASSERT_EQUAL(bench_apply(&b)->status, MACHINE_NOT_OWNER);
    }
    CU_ASSERT_EQUAL(b.machine->day_open, 1);
    CU_ASSERT_FALSE(b.outcome.day_ended);
    CU_ASSERT_EQUAL(b.machine->boot[1], 0);
    CU_ASSERT_EQUAL(b.machine->config.voters, 0xe);
    bench_free(&b);
}

/* No decoder lets such a kind in; all replicas would do the same with it. */
static void unknown_kinds_are_refused(void)
{
    static const uint8_t kinds[] = {0, ENTRY_PROBE + 1, 255};
    for (uint32_t i = 0; i < sizeof(kinds); i++) {
        uint64_t id = start_session(64);
        bench_send(&b, BENCH_ALICE, id, id, 1, 0, 2);
        uint64_t feed = b.machine->feed_next, digest = b.machine->digest;
        const struct entry_noop noop = {.leader = BENCH_REPLICA, .incarnation = 1};
        struct entry *entry = bench_build(&b, ENTRY_NOOP, BENCH_REPLICA, &noop, sizeof(noop));
        entry->kind = kinds[i];
        entry->term = 9;
        machine_apply(b.machine, entry, &b.outcome);
        CU_ASSERT_EQUAL(b.outcome.status, MACHINE_BAD_ENTRY);
        CU_ASSERT_EQUAL(b.outcome.run_count, 0);
        CU_ASSERT_EQUAL(b.machine->noop_term, 1);
        CU_ASSERT_EQUAL(b.machine->feed_next, feed);
        CU_ASSERT_NOT_EQUAL(b.machine->digest, digest);
        bench_free(&b);
    }
}

static void time_never_runs_back(void)
{
    uint64_t id = start_session(8);
    b.utc_ns = 9000;
    b.log_ns = 800;
    bench_send(&b, BENCH_ALICE, id, id, 1, 0, 1);
    b.utc_ns = 100;
    b.log_ns = 10;
    bench_send(&b, BENCH_ALICE, id, id, 2, 0, 1);
    CU_ASSERT_EQUAL(b.outcome.run[0].utc_ns, 9000);
    CU_ASSERT_EQUAL(b.machine->utc_ns, 9000);
    CU_ASSERT_EQUAL(b.machine->log_ns, 800);
    bench_free(&b);
}

/* The digest depends on everything that is decided. */
static void digest_tells_histories_apart(void)
{
    uint64_t digest[5];
    for (uint32_t variant = 0; variant < 5; variant++) {
        uint64_t id = start_session(8);
        uint64_t number = variant == 1 ? 2 : 1;
        uint32_t count = variant == 2 ? 1 : 2;
        uint32_t seed = variant == 3 ? 1 : 0;
        if (variant == 4)
            bench_day(&b, ENTRY_DAY_END, "DAY1");
        bench_build_messages(&b, BENCH_ALICE, id, id, number, 0, count, seed);
        bench_apply(&b);
        digest[variant] = b.machine->digest;
        for (uint32_t other = 0; other < variant; other++)
            CU_ASSERT_NOT_EQUAL(digest[other], digest[variant]);
        bench_free(&b);
    }
}

/* Whatever passes entry_check() is applied without harm: bodies of small random bytes, so that many
 * name what exists, under every kind and several principals. */
static void any_checked_entry_is_applied(void)
{
    static const size_t sizes[] = {16, 0, 56, 56, 32, 32, 16, 16, 32, 80};
    uint64_t state = 11;
    uint32_t applied = 0;
    start_session(64);
    for (uint32_t round = 0; round < 60000; round++) {
        uint32_t kind = 1 + (uint32_t)(bench_random(&state) % 10);
        uint32_t principal = (uint32_t)(bench_random(&state) % 3) * 8 + 1;
        if (principal == 17 && bench_random(&state) % 2 == 0)
            principal = BENCH_ALICE;
        if (kind == ENTRY_MESSAGES) {
            bench_build_messages(&b, principal, bench_random(&state) % 4, bench_random(&state) % 4,
                                 1 + bench_random(&state) % 90, bench_random(&state) % 90,
                                 1 + (uint32_t)(bench_random(&state) % 64), 0);
        } else {
            uint8_t body[80] = {0};
            for (size_t i = 0; i < sizes[kind - 1]; i += 1 + bench_random(&state) % 9)
                body[i] = (uint8_t)(bench_random(&state) % 5);
            if (kind == ENTRY_SESSION_OPEN || kind == ENTRY_SESSION_RESUME)
                memset(body, 0, 32);
            if (kind != ENTRY_CONFIG && sizes[kind - 1] != 32 && kind != ENTRY_NOOP)
                body[0] = (uint8_t)('a' + bench_random(&state) % 3);
            if (kind == ENTRY_DAY_END || kind == ENTRY_DAY_BEGIN)
                memset(body + 1, ' ', 9);
            bench_build(&b, (enum entry_kind)kind, principal, body, sizes[kind - 1]);
        }
        b.utc_ns = bench_random(&state);
        b.log_ns += bench_random(&state) % 100000000000ull;
        if (!entry_check(b.bytes, sizeof(b.bytes)))
            continue;
        const struct machine_outcome *o = bench_apply(&b);
        applied++;
        uint32_t numbers = 0;
        for (uint32_t i = 0; i < o->run_count; i++)
            numbers += o->run[i].count;
        if (kind == ENTRY_MESSAGES)
            CU_ASSERT_EQUAL(numbers,
                            ((const struct entry_messages *)(const void *)(b.bytes + 48))->count);
        CU_ASSERT(b.machine->session_count <= b.machine->sessions_max);
        CU_ASSERT(o->slot == UINT32_MAX || machine_session_at(b.machine, o->slot) != NULL);
    }
    CU_ASSERT(applied > 10000);
    bench_free(&b);
}

int main(void)
{
    static const struct unit_test tests[] = {
        {"consecutive messages are sequenced in order", sequences_in_order},
        {"resends are duplicates and change nothing", resends_are_duplicates},
        {"the same number with other content is an error", other_content_is_an_error},
        {"forgotten numbers are unknown", forgotten_numbers_are_unknown},
        {"a gap changes nothing", gap_changes_nothing},
        {"the window is that of this very entry", window_is_of_this_entry},
        {"a closed day refuses and consumes", closed_day_consumes_the_number},
        {"unknown and ended sessions", unknown_and_ended_sessions},
        {"H15: an old life eats no number", h15_old_life_eats_no_number},
        {"H15: nor while the day is closed", h15_closed_day_refuses_old_life_for_nothing},
        {"H17: another principal changes nothing", h17_another_principal_changes_nothing},
        {"the split of messages over entries does not matter", split_does_not_matter},
        {"trading days", days},
        {"H2: equal boots with two ids", h2_equal_boots},
        {"configuration entries", configuration},
        {"a probe changes nothing", a_probe_changes_nothing},
        {"leaders' entries of a client are refused", leaders_entries_of_a_client_are_refused},
        {"unknown kinds are refused", unknown_kinds_are_refused},
        {"time never runs back", time_never_runs_back},
        {"the digest tells histories apart", digest_tells_histories_apart},
        {"any checked entry is applied without harm", any_checked_entry_is_applied},
        {0}};
    return unit_main("machine_apply", tests);
}
