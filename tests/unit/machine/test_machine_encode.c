#include "tests/unit/machine/bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    HEAD_SIZE = 536,
    RECORD_SIZE = 104,
    KEPT_SIZE = 32,
    ROOT_SIZE = 112 + 1 + 8 + 16, /* with what operators did behind it: nothing */
    AUTOPILOT_SIZE = 48
};

static struct bench b;
static uint8_t *encoding;
static size_t encoding_size;
static struct machine *decoded;

/* A state with something of everything: alive, resumed, ended in two ways, a closed day between. */
static void start(void)
{
    struct genesis genesis = bench_genesis();
    genesis.sessions_max = 6;
    genesis.sessions_per_principal = 5;
    genesis.nodes_max = 8;
    genesis.handles_max = 16;
    genesis.handles_per_session = 4;
    genesis.waiters_max = 4;
    bench_init(&b, &genesis);
    b.log_ns = 100;
    bench_noop(&b, 3);
    bench_boot(&b, 2, BENCH_INCARNATION + 2, 4, 44);
    bench_open(&b, BENCH_ALICE, "gw", 1, 6);
    uint64_t gw = bench_session(&b)->id;
    bench_send(&b, BENCH_ALICE, gw, gw, 1, 0, 6);
    bench_send(&b, BENCH_ALICE, gw, gw, 7, 6, 3);
    bench_open(&b, BENCH_BOB, "drop", 2, 4);
    uint64_t drop = bench_session(&b)->id;
    bench_send(&b, BENCH_BOB, drop, drop, 1, 0, 2);
    b.log_ns = 200;
    bench_open(&b, BENCH_ALICE, "old", 3, 4);
    uint64_t old = bench_session(&b)->id;
    bench_end(&b, BENCH_REPLICA, drop, 0, SESSION_END_KILLED);
    bench_day(&b, ENTRY_DAY_END, "DAY1");
    bench_resume(&b, BENCH_ALICE, "gw", 9, gw);
    bench_send(&b, BENCH_ALICE, gw, bench_session(&b)->epoch, 10, 9, 2);
    bench_day(&b, ENTRY_DAY_BEGIN, "DAY2");
    b.log_ns = 300;
    bench_end(&b, BENCH_ALICE, old, old, SESSION_END_CLEAN);
    bench_open(&b, BENCH_ALICE, "old", 4, 4);

    size_t cap = machine_encoded_max(&b.genesis);
    uint8_t *room = malloc(cap);
    encoding_size = machine_encode(b.machine, room, cap);
    CU_ASSERT_FATAL(encoding_size > 0 && encoding_size < cap);
    encoding = malloc(encoding_size); /* exact: a read beyond it is seen by the sanitiser */
    memcpy(encoding, room, encoding_size);
    free(room);
    decoded = bench_memory(&genesis);
}

static void stop(void)
{
    free(encoding);
    free(decoded);
    bench_free(&b);
}

static void round_trip(void)
{
    start();
    CU_ASSERT_EQUAL(encoding_size,
                    HEAD_SIZE + 4 * RECORD_SIZE + (6 + 2) * KEPT_SIZE + ROOT_SIZE + AUTOPILOT_SIZE);
    CU_ASSERT_PTR_NULL(machine_decode(decoded, &b.genesis, encoding, encoding_size));
    CU_ASSERT_EQUAL(machine_fingerprint(decoded), machine_fingerprint(b.machine));
    uint8_t *again = malloc(encoding_size);
    CU_ASSERT_EQUAL(machine_encode(decoded, again, encoding_size), encoding_size);
    CU_ASSERT_EQUAL(memcmp(again, encoding, encoding_size), 0);
    for (size_t cap = 0; cap < encoding_size; cap++)
        CU_ASSERT_EQUAL(machine_encode(decoded, again, cap), 0);
    free(again);
    CU_ASSERT_EQUAL(machine_session_named(decoded, BENCH_ALICE, "gw")->last, 11);
    CU_ASSERT_EQUAL(machine_session_named(decoded, BENCH_BOB, "drop")->end_reason,
                    SESSION_END_KILLED);
    CU_ASSERT_EQUAL(decoded->boot_id[2], 44);
    CU_ASSERT_EQUAL(decoded->noop_term, 3);
    stop();
}

/* Two replicas with one state but another past in memory (stale results, other index layouts)
 * encode alike. */
static void canonical(void)
{
    start();
    CU_ASSERT_PTR_NULL(machine_decode(decoded, &b.genesis, encoding, encoding_size));
    struct machine *first = b.machine;
    uint64_t term = b.term;
    for (uint32_t which = 0; which < 2; which++) {
        b.machine = which == 0 ? first : decoded;
        b.log_ns = 400 + (uint64_t)b.genesis.session_retain_ms * 1000000;
        bench_noop(&b, term + 1);
        bench_open(&b, BENCH_BOB, "new", 1, 4);
        uint64_t id = bench_session(&b)->id;
        CU_ASSERT_EQUAL(b.outcome.slot, 1);
        bench_send(&b, BENCH_BOB, id, id, 1, 0, 4);
    }
    b.machine = first;
    uint8_t *one = malloc(machine_encoded_max(&b.genesis));
    uint8_t *two = malloc(machine_encoded_max(&b.genesis));
    size_t size = machine_encode(first, one, machine_encoded_max(&b.genesis));
    CU_ASSERT_EQUAL(machine_encode(decoded, two, machine_encoded_max(&b.genesis)), size);
    CU_ASSERT_EQUAL(memcmp(one, two, size), 0);
    CU_ASSERT_EQUAL(first->digest, decoded->digest);
    free(one);
    free(two);
    stop();
}

static void cut_at_each_byte(void)
{
    start();
    CU_ASSERT_EQUAL(machine_encoded_version(encoding, HEAD_SIZE), MACHINE_ENCODING_VERSION);
    CU_ASSERT_EQUAL(machine_encoded_version(encoding, HEAD_SIZE - 1), 0);
    encoding[0] ^= 1; /* another magic */
    CU_ASSERT_EQUAL(machine_encoded_version(encoding, encoding_size), 0);
    encoding[0] ^= 1;
    struct machine *fresh = bench_memory(&b.genesis);
    machine_init(fresh, &b.genesis);
    for (size_t size = 0; size < encoding_size; size++) {
        uint8_t *cut = malloc(size > 0 ? size : 1);
        memcpy(cut, encoding, size);
        CU_ASSERT_PTR_NOT_NULL(machine_decode(decoded, &b.genesis, cut, size));
        CU_ASSERT_EQUAL(memcmp(decoded, fresh, fresh->size), 0); /* nothing half-read remains */
        free(cut);
    }
    uint8_t *longer = malloc(encoding_size + 1);
    memcpy(longer, encoding, encoding_size);
    longer[encoding_size] = 0;
    CU_ASSERT_PTR_NOT_NULL(machine_decode(decoded, &b.genesis, longer, encoding_size + 1));
    free(longer);
    free(fresh);
    stop();
}

/* Every bit flipped: refused, or another state that is as sane as the encoding can tell (the file's
 * checksum is the caller's), never equal to the true one and never one that apply breaks on. */
static void each_bit_flipped(void)
{
    start();
    uint64_t fingerprint = machine_fingerprint(b.machine);
    uint32_t refused = 0;
    for (size_t bit = 0; bit < encoding_size * 8; bit++) {
        encoding[bit / 8] ^= (uint8_t)(1u << bit % 8);
        if (machine_decode(decoded, &b.genesis, encoding, encoding_size) != NULL) {
            refused++;
        } else {
            CU_ASSERT_NOT_EQUAL(machine_fingerprint(decoded), fingerprint);
            struct machine *kept = b.machine;
            b.machine = decoded;
            b.log_ns = UINT64_MAX;
            if (decoded->applied < UINT64_MAX - 8) {
                bench_open(&b, BENCH_ALICE, "next", 1, 4);
                bench_noop(&b, 9);
                bench_send(&b, BENCH_ALICE, 3, 3, 1, 0, 64);
            }
            b.machine = kept;
            b.log_ns = 300;
        }
        encoding[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    CU_ASSERT(refused > encoding_size * 8 / 4);
    stop();
}

/* Where the records of start() lie: gw alive, old alive, drop ended, the first old ended. */
enum {
    R0 = HEAD_SIZE,
    R1 = R0 + RECORD_SIZE + 6 * KEPT_SIZE,
    R2 = R1 + RECORD_SIZE,
    R3 = R2 + RECORD_SIZE + 2 * KEPT_SIZE,
    ROOT = R3 + RECORD_SIZE
};

static const uint64_t zero64 = 0, big64 = 1ull << 40, first_id = 3, all64 = UINT64_MAX;
static const uint64_t second_id = 2;
static const uint32_t all32 = UINT32_MAX, zero32 = 0, seven = 7, slot0 = 0, twenty = 20;
static const uint16_t none16 = 0, wide = 65;

/* What no machine ever wrote, field by field, and why it is refused. */
static const struct {
    const char *what;
    size_t offset;
    const void *bytes;
    size_t size;
    const char *why;
} insane[] = {
    {"magic", 0, &zero64, 8, "not a machine's state"},
    {"version", 8, &seven, 4, "another version of the machine's state"},
    {"fewer alive", 12, &zero32, 4, "a session neither alive nor ended"},
    {"more ended than room", 16, &seven, 4, "more sessions than the table holds"},
    {"a day neither open nor closed", 20, &seven, 4, "no sane trading day"},
    {"another cluster", 24, &big64, 8, "another cluster's state"},
    {"no-op term ahead", 64, &big64, 8, "a no-op after the last entry"},
    {"no-op time ahead", 72, &big64, 8, "a no-op after the last entry"},
    {"feed number 0", 88, &zero64, 8, "no sane trading day"},
    {"no day counted", 96, &zero64, 8, "no sane trading day"},
    {"day without a name", 104, "          ", 10, "no sane trading day"},
    {"reserved", 114, "x", 1, "reserved bytes are not zero"},
    {"boot of id 0", 120, &first_id, 8, "a boot without an incarnation"},
    {"boot without incarnation", 120 + 128 + 16, &zero64, 8, "a boot without an incarnation"},
    {"boot id without incarnation", 184 + 8, &big64, 8, "a boot without an incarnation"},
    {"no voters", 312, &zero32, 4, "no sane configuration"},
    {"configuration ahead", 456, &big64, 8, "no sane configuration"},
    {"other limits", 464, &seven, 4, "other limits than the genesis record's"},
    {"a seed without an index", 512, &seven, 4, "no sane seed"},
    {"an index without a seed", 528, &first_id, 8, "no sane seed"},
    {"seed ahead", 528, &big64, 8, "no sane seed"},
    {"more nodes than room", 516, &wide, 2, "more nodes or handles than the tables hold"},
    {"no root", 516, &zero32, 4, "more nodes or handles than the tables hold"},
    {"more handles than room", 520, &wide, 2, "more nodes or handles than the tables hold"},
    {"fewer bytes than handles", 520, &seven, 4, "cut off"},
    {"reserved behind them", 524, "x", 1, "reserved bytes are not zero"},
    {"another root", ROOT, &second_id, 8, "nodes out of order, or no root"},
    {"a root under another", ROOT + 8, &second_id, 8, "a node without a parent"},
    {"a root held by nobody", ROOT + 108, "\1", 1,
     "a lock that nobody holds, or held without a mode"},
    {"an ephemeral root", ROOT + 109, "\1", 1, "a node's numbers out of range"},
    {"a node changed ahead", ROOT + 48, &big64, 8, "a node from the future"},
    {"a root of another name", ROOT + 112, "x", 1, "a node without a sane path"},
    {"rights of nobody", ROOT + 117, &zero32, 4, "a node without a sane access list"},
    {"slot out of range", R0, &seven, 4, "a slot out of range or used twice"},
    {"slot used twice", R1, &slot0, 4, "sessions out of order"},
    {"slot of an alive one", R2, &slot0, 4, "a slot out of range or used twice"},
    {"no owner", R0 + 4, &zero32, 4, "a session without a sane identity"},
    {"id 0", R0 + 8, &zero64, 8, "a session without a sane identity"},
    {"id used twice", R1 + 8, &first_id, 8, "a session without a sane identity"},
    {"epoch ahead", R0 + 16, &big64, 8, "a session without a sane identity"},
    {"epoch before id", R0 + 16, &zero64, 8, "a session without a sane identity"},
    {"process 0", R0 + 24, &zero64, 8, "a session without a sane identity"},
    {"acked beyond last", R0 + 40, &big64, 8, "a session's numbers out of range"},
    {"began ahead", R0 + 48, &big64, 8, "a session from the future"},
    {"alive yet ended", R0 + 56, &first_id, 8, "a session neither alive nor ended"},
    {"ttl below the limit", R0 + 64, &seven, 4, "a session's numbers out of range"},
    {"ttl above the limit", R0 + 64, &all32, 4, "a session's numbers out of range"},
    {"last beyond all numbers", R0 + 32, &all64, 8, "a session's numbers out of range"},
    {"window 0", R0 + 68, &none16, 2, "a session's numbers out of range"},
    {"window 65", R0 + 68, &wide, 2, "a session's numbers out of range"},
    {"alive with a reason", R0 + 70, &wide, 2, "a session neither alive nor ended"},
    {"name empty", R0 + 72, &zero32, 4, "a session without a sane name"},
    {"name not padded", R0 + 100, "x", 1, "a session without a sane name"},
    {"ended without a reason", R2 + 70, &none16, 2, "a session neither alive nor ended"},
    {"ended at 0", R2 + 56, &zero64, 8, "a session neither alive nor ended"},
    {"ended ahead", R2 + 56, &big64, 8, "a session from the future"},
    {"sequenced without a number", R0 + RECORD_SIZE, &zero64, 8,
     "a kept result that no entry could leave"},
    {"result from the future", R0 + RECORD_SIZE + 8, &big64, 8,
     "a kept result that no entry could leave"},
    {"result of no status", R0 + RECORD_SIZE + 28, &twenty, 4,
     "a kept result that no entry could leave"},
    {"opened before one that ended", R1 + 8, &second_id, 8,
     "sessions of one name in the wrong order"},
    {"second name alive", R1 + 72, "gw\0\0", 4, "sessions of one name in the wrong order"},
};

static void insane_states_are_refused(void)
{
    start();
    CU_ASSERT_EQUAL_FATAL(encoding_size, R3 + RECORD_SIZE + ROOT_SIZE + AUTOPILOT_SIZE);
    for (size_t i = 0; i < sizeof(insane) / sizeof(insane[0]); i++) {
        uint8_t before[16];
        memcpy(before, encoding + insane[i].offset, insane[i].size);
        memcpy(encoding + insane[i].offset, insane[i].bytes, insane[i].size);
        const char *problem = machine_decode(decoded, &b.genesis, encoding, encoding_size);
        if (problem == NULL || strcmp(problem, insane[i].why) != 0)
            printf("# %s: %s\n", insane[i].what, problem == NULL ? "accepted" : problem);
        CU_ASSERT(problem != NULL && strcmp(problem, insane[i].why) == 0);
        memcpy(encoding + insane[i].offset, before, insane[i].size);
    }
    stop();
}

static const char *decode_problem(void)
{
    const char *problem = machine_decode(decoded, &b.genesis, encoding, encoding_size);
    return problem != NULL ? problem : "taken";
}

/* What takes more than one field to say. */
static void insane_in_two_places(void)
{
    start();
    const uint64_t boot = 1, ids[2] = {10, 10};
    memcpy(encoding + 120, &boot, 8); /* boot, boot id and incarnation of id 0 */
    memcpy(encoding + 184, &boot, 8);
    memcpy(encoding + 248, &boot, 8);
    CU_ASSERT_STRING_EQUAL(decode_problem(), "a boot without an incarnation");
    memset(encoding + 120, 0, 8);
    memset(encoding + 184, 0, 8);
    memset(encoding + 248, 0, 8);
    CU_ASSERT_STRING_EQUAL(decode_problem(), "taken");
    /* two that ended, of one name, the later opened one first */
    memcpy(encoding + R2 + 4, encoding + R3 + 4, 4);
    memcpy(encoding + R2 + 72, "zed", 4);
    memcpy(encoding + R3 + 72, "zed", 4);
    CU_ASSERT_STRING_EQUAL(decode_problem(), "taken");
    memcpy(encoding + R2 + 8, ids, 16);
    CU_ASSERT_STRING_EQUAL(decode_problem(), "sessions of one name in the wrong order");
    stop();
}

/* Log time stands at 0 until a leader's clock has run: what ended then has ended at 1. */
static void ended_at_log_time_0(void)
{
    struct genesis genesis = bench_genesis();
    bench_init(&b, &genesis);
    bench_noop(&b, 1);
    bench_open(&b, BENCH_ALICE, "gw", 1, 4);
    uint64_t id = bench_session(&b)->id;
    bench_end(&b, BENCH_ALICE, id, id, SESSION_END_CLEAN);
    CU_ASSERT_EQUAL(b.machine->log_ns, 0);
    size_t cap = machine_encoded_max(&genesis);
    uint8_t *bytes = malloc(cap);
    size_t size = machine_encode(b.machine, bytes, cap);
    decoded = bench_memory(&genesis);
    CU_ASSERT_PTR_NULL(machine_decode(decoded, &genesis, bytes, size));
    CU_ASSERT_EQUAL(machine_session(decoded, id)->ended_log_ns, 1);
    CU_ASSERT_EQUAL(machine_fingerprint(decoded), machine_fingerprint(b.machine));
    free(bytes);
    free(decoded);
    bench_free(&b);
}

/* The same records in another order: the two alive ones, and the two ended ones. */
static void the_order_of_records_is_fixed(void)
{
    start();
    CU_ASSERT_PTR_NULL(machine_decode(decoded, &b.genesis, encoding, encoding_size));
    uint8_t *swapped = malloc(encoding_size);
    memcpy(swapped, encoding, R0);
    memcpy(swapped + R0, encoding + R1, RECORD_SIZE);
    memcpy(swapped + R0 + RECORD_SIZE, encoding + R0, R1 - R0);
    memcpy(swapped + R2, encoding + R2, encoding_size - R2);
    const char *problem = machine_decode(decoded, &b.genesis, swapped, encoding_size);
    CU_ASSERT(problem != NULL && strcmp(problem, "sessions out of order") == 0);
    memcpy(swapped, encoding, R2);
    memcpy(swapped + R2, encoding + R3, RECORD_SIZE);
    memcpy(swapped + R2 + RECORD_SIZE, encoding + R2, R3 - R2);
    memcpy(swapped + R3 + RECORD_SIZE, encoding + R3 + RECORD_SIZE, ROOT_SIZE);
    problem = machine_decode(decoded, &b.genesis, swapped, encoding_size);
    CU_ASSERT(problem != NULL && strcmp(problem, "ended sessions out of order") == 0);
    free(swapped);
    stop();
}

/* H3: a checkpoint under other limits than the genesis record's is refused, each limit named. */
static void h3_other_limits_are_refused(void)
{
    start();
    struct genesis other = b.genesis;
    uint32_t *limits[] = {&other.sessions_per_principal,
                          &other.window_max,
                          &other.ttl_min_ms,
                          &other.ttl_max_ms,
                          &other.session_retain_ms,
                          &other.rho_ppm,
                          &other.nodes_max,
                          &other.handles_max,
                          &other.handles_per_session,
                          &other.waiters_max,
                          &other.lock_delay_max_ms};
    for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
        *limits[i] -= 1;
        CU_ASSERT_PTR_NOT_NULL(machine_decode(decoded, &other, encoding, encoding_size));
        *limits[i] += 1;
    }
    CU_ASSERT_PTR_NULL(machine_decode(decoded, &other, encoding, encoding_size));
    stop();
}

static void fingerprint_sees_the_whole_state(void)
{
    start();
    uint64_t whole = machine_fingerprint(b.machine);
    struct machine *m = b.machine;
    struct machine_session *s =
        (struct machine_session *)(uintptr_t)machine_session_named(m, BENCH_ALICE, "gw");
    uint64_t *words[] = {&m->applied,
                         &m->applied_term,
                         &m->utc_ns,
                         &m->log_ns,
                         &m->noop_term,
                         &m->noop_log_ns,
                         &m->digest,
                         &m->feed_next,
                         &m->day_count,
                         &m->boot[2],
                         &m->boot_id[2],
                         &m->boot_incarnation[2],
                         &m->config.member[1].incarnation,
                         &m->config_index,
                         &s->epoch,
                         &s->process,
                         &s->acked,
                         &s->began_log_ns,
                         &s->kept[6].feed,
                         &s->kept[11].hash,
                         &s->kept[8].utc_ns};
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        *words[i] ^= 1ull << 33;
        CU_ASSERT_NOT_EQUAL(machine_fingerprint(m), whole);
        *words[i] ^= 1ull << 33;
    }
    s->kept[5].hash ^= 1; /* older than the last W: no part of the state */
    CU_ASSERT_EQUAL(machine_fingerprint(m), whole);
    stop();
}

int main(void)
{
    static const struct unit_test tests[] = {
        {"decode of encode is the same machine", round_trip},
        {"the encoding is canonical", canonical},
        {"cut at each byte it is refused", cut_at_each_byte},
        {"each bit flipped never breaks anything", each_bit_flipped},
        {"insane states are refused, each for its reason", insane_states_are_refused},
        {"insane in two places", insane_in_two_places},
        {"ended at log time 0", ended_at_log_time_0},
        {"the order of records is fixed", the_order_of_records_is_fixed},
        {"H3: other limits are refused", h3_other_limits_are_refused},
        {"the fingerprint sees the whole state", fingerprint_sees_the_whole_state},
        {0}};
    return unit_main("machine_encode", tests);
}
