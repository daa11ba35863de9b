/* What operators ask for: request ids, sessions held back, replicas that are not to lead, locks
 * taken from their holders. */
#include "tests/unit/machine/bench.h"

#include <stdlib.h>
#include <string.h>

enum { MS = 1000000, TTL_MS = 5000, CAROL = 18 };

static struct bench b;
static uint64_t alice, bob, node;

static uint64_t session(uint32_t principal, const char *name)
{
    CU_ASSERT_EQUAL_FATAL(bench_open(&b, principal, name, 11, 64)->status, MACHINE_SEQUENCED);
    return bench_session(&b)->id;
}

static void start(void)
{
    struct genesis genesis = bench_genesis();
    bench_init(&b, &genesis);
    b.log_ns = 1000;
    bench_noop(&b, 1);
    alice = session(BENCH_ALICE, "a");
    bob = session(BENCH_BOB, "b");
}

static enum machine_status send(uint64_t id)
{
    const struct machine_session *s = machine_session(b.machine, id);
    bench_send(&b, s->principal, id, s->epoch, s->last + 1, s->last, 1);
    return (enum machine_status)b.outcome.run[0].status;
}

/* --- request ids -------------------------------------------------------------------------------
 */

static enum machine_status create(uint64_t id, const char *path)
{
    uint8_t block[sizeof(struct entry_node) + 8];
    const struct entry_node open = {.operation = NODE_OPEN,
                                    .flags = NODE_CREATE | NODE_EXCLUSIVE,
                                    .path_size = (uint16_t)strlen(path)};
    const struct entry_operator op = {.request = {id, 5},
                                      .operation = OPERATOR_NODE,
                                      .size = (uint16_t)(sizeof(open) + open.path_size)};
    memcpy(block, &open, sizeof(open));
    memcpy(block + sizeof(open), path, open.path_size);
    return (enum machine_status)bench_operate(&b, &op, block)->status;
}

static void a_repeated_request_gets_the_first_answer(void)
{
    start();
    CU_ASSERT_EQUAL(create(1, "/a"), MACHINE_DONE);
    uint64_t index = b.outcome.index, value = b.outcome.value;
    CU_ASSERT_EQUAL(b.outcome.repeats, 0);
    CU_ASSERT_EQUAL(value, index); /* the instance */
    CU_ASSERT_TRUE(b.outcome.nodes_touched);
    CU_ASSERT_EQUAL(create(1, "/a"), MACHINE_DONE);
    CU_ASSERT_EQUAL(b.outcome.value, value);
    CU_ASSERT_EQUAL(b.outcome.repeats, index);
    CU_ASSERT_FALSE(b.outcome.nodes_touched);
    /* a refusal is an answer too, whatever has changed since */
    CU_ASSERT_EQUAL(create(2, "/a"), MACHINE_NODE_EXISTS);
    CU_ASSERT_EQUAL(create(3, "/b/c"), MACHINE_NO_NODE);
    CU_ASSERT_EQUAL(create(4, "/b"), MACHINE_DONE);
    CU_ASSERT_EQUAL(create(3, "/b/c"), MACHINE_NO_NODE);
    /* one id, two requests */
    CU_ASSERT_EQUAL(create(1, "/c"), MACHINE_DIFFERENT);
    CU_ASSERT_EQUAL(b.outcome.value, 0);
    CU_ASSERT_EQUAL(b.outcome.repeats, index);
    CU_ASSERT_PTR_NULL(machine_node_at_path(b.machine, "/c", 2));
    bench_free(&b);
}

static void the_last_requests_are_kept(void)
{
    start();
    CU_ASSERT_EQUAL(create(1, "/a"), MACHINE_DONE);
    for (uint64_t id = 2; id < 1 + MACHINE_REQUESTS_KEPT; id++)
        CU_ASSERT_EQUAL(create(id, "/a"), MACHINE_NODE_EXISTS);
    CU_ASSERT_EQUAL(create(1, "/a"), MACHINE_DONE); /* a repetition pushes nothing out */
    CU_ASSERT_EQUAL(create(1 + MACHINE_REQUESTS_KEPT, "/a"), MACHINE_NODE_EXISTS);
    CU_ASSERT_PTR_NULL(machine_request(b.machine, (const uint64_t[2]){1, 5}));
    CU_ASSERT_PTR_NULL(machine_request(b.machine, (const uint64_t[2]){2, 6}));
    CU_ASSERT_PTR_NOT_NULL(machine_request(b.machine, (const uint64_t[2]){2, 5}));
    CU_ASSERT_EQUAL(create(1, "/a"), MACHINE_NODE_EXISTS);
    bench_free(&b);
}

static void clients_are_no_operators(void)
{
    start();
    const struct entry_operator op = {
        .request = {1, 1}, .principal = BENCH_BOB, .value = 1, .operation = OPERATOR_SUSPEND};
    bench_build(&b, ENTRY_OPERATOR, BENCH_ALICE, &op, sizeof(op));
    CU_ASSERT_EQUAL(bench_apply(&b)->status, MACHINE_NOT_OWNER);
    CU_ASSERT_EQUAL(send(bob), MACHINE_SEQUENCED);
    CU_ASSERT_PTR_NULL(machine_request(b.machine, op.request));
    /* nor has a replica a session, to operate on nodes in */
    const struct entry_node release = {.operation = NODE_RELEASE, .node = NODE_ROOT};
    uint8_t body[sizeof(struct entry_messages) + 2 + sizeof(release)];
    const struct entry_messages head = {
        .session = alice, .epoch = alice, .number = 1, .count = 1, .bytes = 2 + sizeof(release)};
    const uint16_t length = sizeof(release);
    memcpy(body, &head, sizeof(head));
    memcpy(body + sizeof(head), &length, 2);
    memcpy(body + sizeof(head) + 2, &release, sizeof(release));
    bench_build(&b, ENTRY_NODE, BENCH_REPLICA, body, sizeof(body));
    CU_ASSERT_EQUAL(bench_apply(&b)->status, MACHINE_NOT_OWNER);
    bench_free(&b);
}

/* --- held back ---------------------------------------------------------------------------------
 */

static void a_suspended_session_consumes_and_is_refused(void)
{
    start();
    CU_ASSERT_EQUAL(send(alice), MACHINE_SEQUENCED);
    CU_ASSERT_EQUAL(bench_hold_back(&b, OPERATOR_SUSPEND, alice, 0, 1), MACHINE_DONE);
    uint64_t feed = b.machine->feed_next;
    CU_ASSERT_EQUAL(send(alice), MACHINE_SUSPENDED);
    CU_ASSERT_EQUAL(b.outcome.run[0].feed, 0);
    CU_ASSERT_EQUAL(b.machine->feed_next, feed);
    CU_ASSERT_EQUAL(machine_session(b.machine, alice)->last, 2);
    /* what was refused stays refused when it is sent again later (H15) */
    CU_ASSERT_EQUAL(send(bob), MACHINE_SEQUENCED);
    CU_ASSERT_EQUAL(bench_hold_back(&b, OPERATOR_SUSPEND, alice, 0, 0), MACHINE_DONE);
    bench_send(&b, BENCH_ALICE, alice, alice, 2, 1, 1);
    CU_ASSERT_EQUAL(b.outcome.run[0].status, MACHINE_DUPLICATE);
    CU_ASSERT_EQUAL(machine_kept(machine_session(b.machine, alice), 2)->status, MACHINE_SUSPENDED);
    CU_ASSERT_EQUAL(send(alice), MACHINE_SEQUENCED);
    CU_ASSERT_EQUAL(b.machine->operated.restraints, 0);
    CU_ASSERT_EQUAL(bench_hold_back(&b, OPERATOR_SUSPEND, alice, 0, 0), MACHINE_DONE);
    /* without a day there is nothing to be suspended from */
    bench_hold_back(&b, OPERATOR_SUSPEND, alice, 0, 1);
    bench_day(&b, ENTRY_DAY_END, "DAY1");
    CU_ASSERT_EQUAL(send(alice), MACHINE_DAY_CLOSED);
    /* locks and leases go on */
    CU_ASSERT_NOT_EQUAL(bench_node_open(&b, alice, "/n", NODE_CREATE, 0), 0);
    bench_free(&b);
}

static void a_suspended_principal(void)
{
    start();
    CU_ASSERT_EQUAL(bench_hold_back(&b, OPERATOR_SUSPEND, 0, BENCH_ALICE, 1), MACHINE_DONE);
    CU_ASSERT_EQUAL(send(alice), MACHINE_SUSPENDED);
    CU_ASSERT_EQUAL(send(bob), MACHINE_SEQUENCED);
    uint64_t later = session(BENCH_ALICE, "later");
    CU_ASSERT_EQUAL(send(later), MACHINE_SUSPENDED);
    bench_resume(&b, BENCH_ALICE, "a", 12, alice);
    CU_ASSERT_EQUAL(send(alice), MACHINE_SUSPENDED);
    /* either holds it back */
    CU_ASSERT_EQUAL(bench_hold_back(&b, OPERATOR_SUSPEND, alice, 0, 1), MACHINE_DONE);
    CU_ASSERT_EQUAL(bench_hold_back(&b, OPERATOR_SUSPEND, 0, BENCH_ALICE, 0), MACHINE_DONE);
    CU_ASSERT_EQUAL(send(alice), MACHINE_SUSPENDED);
    CU_ASSERT_EQUAL(send(later), MACHINE_SEQUENCED);
    bench_free(&b);
}

static uint32_t rate(uint64_t id)
{
    return machine_session(b.machine, id)->rate;
}

static void the_lower_limit_counts(void)
{
    start();
    CU_ASSERT_EQUAL(bench_hold_back(&b, OPERATOR_LIMIT, alice, 0, 100), MACHINE_DONE);
    CU_ASSERT_EQUAL(rate(alice), 100);
    CU_ASSERT_EQUAL(rate(bob), 0);
    CU_ASSERT_EQUAL(bench_hold_back(&b, OPERATOR_LIMIT, 0, BENCH_ALICE, 70), MACHINE_DONE);
    CU_ASSERT_EQUAL(rate(alice), 70);
    CU_ASSERT_EQUAL(bench_hold_back(&b, OPERATOR_LIMIT, 0, BENCH_ALICE, 170), MACHINE_DONE);
    CU_ASSERT_EQUAL(rate(alice), 100);
    CU_ASSERT_EQUAL(bench_hold_back(&b, OPERATOR_LIMIT, alice, 0, 0), MACHINE_DONE);
    CU_ASSERT_EQUAL(rate(alice), 170);
    /* both in one row; the row goes with the last */
    CU_ASSERT_EQUAL(bench_hold_back(&b, OPERATOR_SUSPEND, 0, BENCH_ALICE, 1), MACHINE_DONE);
    CU_ASSERT_EQUAL(b.machine->operated.restraints, 1);
    CU_ASSERT_EQUAL(bench_hold_back(&b, OPERATOR_LIMIT, 0, BENCH_ALICE, 0), MACHINE_DONE);
    CU_ASSERT_EQUAL(b.machine->operated.restraints, 1);
    CU_ASSERT_EQUAL(send(alice), MACHINE_SUSPENDED);
    CU_ASSERT_EQUAL(bench_hold_back(&b, OPERATOR_SUSPEND, 0, BENCH_ALICE, 0), MACHINE_DONE);
    CU_ASSERT_EQUAL(b.machine->operated.restraints, 0);
    bench_free(&b);
}

static void a_session_takes_its_restraint_along(void)
{
    start();
    CU_ASSERT_EQUAL(bench_hold_back(&b, OPERATOR_SUSPEND, 999, 0, 1), MACHINE_UNKNOWN);
    bench_hold_back(&b, OPERATOR_SUSPEND, bob, 0, 1);
    bench_hold_back(&b, OPERATOR_SUSPEND, alice, 0, 1);
    bench_hold_back(&b, OPERATOR_LIMIT, 0, CAROL, 7);
    bench_end(&b, BENCH_ALICE, alice, alice, SESSION_END_CLEAN);
    CU_ASSERT_EQUAL(bench_hold_back(&b, OPERATOR_SUSPEND, alice, 0, 0), MACHINE_SESSION_ENDED);
    CU_ASSERT_EQUAL(b.machine->operated.restraints, 2); /* its place is free at once */
    CU_ASSERT_EQUAL(machine_session(b.machine, alice)->suspended, 0);
    b.log_ns += b.genesis.session_retain_ms * (uint64_t)MS;
    bench_noop(&b, 1);
    CU_ASSERT_PTR_NULL(machine_session(b.machine, alice));
    CU_ASSERT_EQUAL(b.machine->operated.restraints, 2);
    CU_ASSERT_EQUAL(b.machine->operated.restraint[0].session, bob);
    CU_ASSERT_EQUAL(b.machine->operated.restraint[1].principal, CAROL);
    CU_ASSERT_EQUAL(send(session(BENCH_ALICE, "a")), MACHINE_SEQUENCED);
    bench_free(&b);
}

static void a_full_table_is_busy(void)
{
    start();
    for (uint32_t i = 0; i < MACHINE_RESTRAINTS_MAX; i++)
        CU_ASSERT_EQUAL(bench_hold_back(&b, OPERATOR_LIMIT, 0, 1000 + i, 5), MACHINE_DONE);
    CU_ASSERT_EQUAL(bench_hold_back(&b, OPERATOR_LIMIT, alice, 0, 5), MACHINE_RESTRAINT_TABLE);
    CU_ASSERT_EQUAL(bench_hold_back(&b, OPERATOR_LIMIT, alice, 0, 0), MACHINE_DONE);
    CU_ASSERT_EQUAL(bench_hold_back(&b, OPERATOR_LIMIT, 0, 1003, 0), MACHINE_DONE);
    CU_ASSERT_EQUAL(bench_hold_back(&b, OPERATOR_LIMIT, alice, 0, 5), MACHINE_DONE);
    CU_ASSERT_EQUAL(rate(alice), 5);
    bench_free(&b);
}

/* --- drained -----------------------------------------------------------------------------------
 */

static void configure(uint32_t voters, uint32_t voters_new, uint32_t other)
{
    struct entry_config config = {.voters = voters, .voters_new = voters_new};
    for (uint32_t id = 1; id <= KEEL_REPLICA_MAX; id++)
        if (((voters | voters_new) >> id & 1) != 0)
            config.member[id] = (struct entry_member){
                .incarnation = BENCH_INCARNATION + id + (id == other), .ip = id, .port = 7400};
    bench_build(&b, ENTRY_CONFIG, BENCH_REPLICA, &config, sizeof(config));
    CU_ASSERT_EQUAL(bench_apply(&b)->status, MACHINE_SEQUENCED);
}

static void somebody_is_left_to_lead(void)
{
    start();
    CU_ASSERT_EQUAL(bench_drain(&b, 4, true), MACHINE_UNKNOWN);
    CU_ASSERT_EQUAL(bench_drain(&b, 1, true), MACHINE_DONE);
    CU_ASSERT_EQUAL(bench_drain(&b, 3, true), MACHINE_DONE);
    CU_ASSERT_TRUE(machine_drained(b.machine, 1) && machine_drained(b.machine, 3));
    CU_ASSERT_FALSE(machine_drained(b.machine, 2));
    CU_ASSERT_EQUAL(bench_drain(&b, 2, true), MACHINE_NO_LEADER_LEFT);
    CU_ASSERT_EQUAL(bench_drain(&b, 1, true), MACHINE_DONE);
    CU_ASSERT_EQUAL(bench_drain(&b, 1, false), MACHINE_DONE);
    CU_ASSERT_EQUAL(bench_drain(&b, 2, true), MACHINE_DONE);
    CU_ASSERT_FALSE(machine_drained(b.machine, 1));
    CU_ASSERT_TRUE(machine_drained(b.machine, 2));
    bench_free(&b);
}

static void other_members_are_not_drained(void)
{
    start();
    bench_drain(&b, 1, true);
    bench_drain(&b, 3, true);
    /* 2 is to leave: until it has left it counts for nothing any more */
    configure(0x0e, 0x0a, 0);
    CU_ASSERT_EQUAL(b.machine->operated.drained, 0);
    bench_drain(&b, 3, true);
    CU_ASSERT_EQUAL(bench_drain(&b, 1, true), MACHINE_NO_LEADER_LEFT);
    configure(0x0a, 0, 0);
    CU_ASSERT_EQUAL(b.machine->operated.drained, 1u << 3);
    /* another disk under that id was never drained */
    configure(0x0a, 0, 3);
    CU_ASSERT_EQUAL(b.machine->operated.drained, 0);
    bench_drain(&b, 3, true);
    configure(0x06, 0, 0); /* it is gone */
    CU_ASSERT_EQUAL(b.machine->operated.drained, 0);
    bench_free(&b);
}

/* --- locks -------------------------------------------------------------------------------------
 */

static const struct machine_handle *handle(uint64_t id)
{
    return machine_handle(b.machine, id, node);
}

static bool holds(uint64_t id)
{
    return handle(id)->state == HANDLE_HOLDS;
}

static enum machine_status break_lock(bool now)
{
    uint8_t block[sizeof(struct entry_node) + 5];
    const struct entry_node release = {.operation = NODE_RELEASE, .path_size = 5};
    const struct entry_operator op = {
        .value = now, .operation = OPERATOR_NODE, .size = sizeof(block)};
    memcpy(block, &release, sizeof(release));
    memcpy(block + sizeof(release), node != 0 ? "/lock" : "/none", 5);
    return (enum machine_status)bench_operate(&b, &op, block)->status;
}

static bool valid(uint64_t generation, enum lock_mode mode)
{
    const struct entry_sequencer sequencer = {
        .node = node, .generation = generation, .mode = (uint8_t)mode};
    return machine_sequencer_holds(b.machine, &sequencer);
}

static void with_a_lock(void)
{
    start();
    node = bench_node_open(&b, alice, "/lock", NODE_CREATE, 0);
    bench_node_open(&b, bob, "/lock", 0, 0);
}

static void a_broken_lock_is_delayed(void)
{
    uint64_t generation;
    with_a_lock();
    CU_ASSERT_EQUAL(break_lock(false), MACHINE_NOT_HELD);
    CU_ASSERT_EQUAL(break_lock(true), MACHINE_NOT_HELD);
    bench_acquire(&b, alice, node, LOCK_EXCLUSIVE, 0, &generation);
    CU_ASSERT_EQUAL(bench_acquire(&b, bob, node, LOCK_EXCLUSIVE, 0, NULL), MACHINE_QUEUED);
    CU_ASSERT_EQUAL(break_lock(false), MACHINE_DONE);
    CU_ASSERT_TRUE(b.outcome.nodes_touched);
    CU_ASSERT_FALSE(valid(generation, LOCK_EXCLUSIVE));
    CU_ASSERT_EQUAL(handle(alice)->end_reason, HANDLE_BROKEN);
    CU_ASSERT(!holds(alice) && !holds(bob));
    CU_ASSERT_EQUAL(break_lock(false), MACHINE_NOT_HELD);
    CU_ASSERT_EQUAL(break_lock(true), MACHINE_DONE); /* the delay that is left */
    CU_ASSERT(holds(bob) && handle(bob)->generation > generation);
    bench_free(&b);
}

static void a_delay_that_time_has_ended(void)
{
    with_a_lock();
    bench_acquire(&b, alice, node, LOCK_EXCLUSIVE, 0, NULL);
    break_lock(false);
    b.log_ns += TTL_MS * (MS + (uint64_t)b.genesis.rho_ppm);
    CU_ASSERT_EQUAL(break_lock(true), MACHINE_NOT_HELD);
    CU_ASSERT_EQUAL(bench_acquire(&b, bob, node, LOCK_EXCLUSIVE, 0, NULL), MACHINE_DONE);
    bench_free(&b);
}

/* Who is granted in the entry that breaks holds another generation than those who are broken. */
static void no_waiter_takes_a_broken_generation_over(void)
{
    uint64_t generation;
    with_a_lock();
    uint64_t carol = session(CAROL, "c"), dan = session(CAROL, "d");
    bench_node_open(&b, carol, "/lock", 0, 0);
    bench_node_open(&b, dan, "/lock", 0, 0);
    bench_acquire(&b, alice, node, LOCK_SHARED, 7000, &generation);
    bench_acquire(&b, bob, node, LOCK_SHARED, 0, NULL);
    bench_acquire(&b, carol, node, LOCK_SHARED, 0, NULL);
    /* alice's end delays the lock for who is new, dan: bob and carol go on */
    bench_end(&b, BENCH_REPLICA, alice, alice, SESSION_END_KILLED);
    CU_ASSERT_EQUAL(bench_acquire(&b, dan, node, LOCK_SHARED, 0, NULL), MACHINE_QUEUED);
    CU_ASSERT_TRUE(valid(generation, LOCK_SHARED));
    CU_ASSERT_EQUAL(break_lock(true), MACHINE_DONE);
    CU_ASSERT(!holds(bob) && !holds(carol) && holds(dan));
    CU_ASSERT_FALSE(valid(generation, LOCK_SHARED));
    CU_ASSERT_TRUE(handle(dan)->generation > generation);
    CU_ASSERT_EQUAL(handle(dan)->end_reason, 0);
    bench_free(&b);
}

static void a_node_that_is_not_there(void)
{
    with_a_lock();
    node = 0;
    CU_ASSERT_EQUAL(break_lock(false), MACHINE_NO_NODE);
    bench_free(&b);
}

/* --- the encoding ------------------------------------------------------------------------------
 */

/* BEHIND: the autopilot, which has decided nothing. */
enum { RESTRAINT = 24, REQUEST = 48, BEHIND = 48 };

static uint8_t *bytes;
static size_t size;
static struct machine *decoded;

static const char *decode(size_t cut)
{
    const char *problem = machine_decode(decoded, &b.genesis, bytes, cut);
    return problem != NULL ? problem : "taken";
}

static void encoded(void)
{
    size_t cap = machine_encoded_max(&b.genesis);
    bytes = malloc(cap);
    size = machine_encode(b.machine, bytes, cap);
    decoded = bench_memory(&b.genesis);
    CU_ASSERT_STRING_EQUAL_FATAL(decode(size), "taken");
    CU_ASSERT_EQUAL(machine_fingerprint(decoded), machine_fingerprint(b.machine));
}

static void forget(void)
{
    free(bytes);
    free(decoded);
    bench_free(&b);
}

/* After a checkpoint, or under the next leader, a request that comes again is the same one. */
static void it_outlives_a_checkpoint(void)
{
    start();
    for (uint64_t id = 1; id <= MACHINE_REQUESTS_KEPT + 9; id++)
        create(id, "/a");
    bench_hold_back(&b, OPERATOR_SUSPEND, alice, 0, 1);
    bench_hold_back(&b, OPERATOR_LIMIT, 0, BENCH_BOB, 44);
    bench_drain(&b, 2, true);
    encoded();
    struct machine *first = b.machine;
    b.machine = decoded;
    CU_ASSERT_EQUAL(send(alice), MACHINE_SUSPENDED);
    CU_ASSERT_EQUAL(rate(bob), 44);
    CU_ASSERT_TRUE(machine_drained(b.machine, 2));
    CU_ASSERT_EQUAL(create(40, "/a"), MACHINE_NODE_EXISTS);
    CU_ASSERT_NOT_EQUAL(b.outcome.repeats, 0);
    CU_ASSERT_EQUAL(create(1, "/b"), MACHINE_DONE); /* the oldest were forgotten */
    b.machine = first;
    forget();
}

/* One value in the encoded part, counted from its end, and why it is refused. */
static void insane(size_t from_end, const void *value, size_t length, const char *why)
{
    uint8_t before[16];
    uint8_t *at = bytes + size - BEHIND - from_end;
    memcpy(before, at, length);
    memcpy(at, value, length);
    CU_ASSERT_STRING_EQUAL(decode(size), why);
    memcpy(at, before, length);
}

static void insane_operators_are_refused(void)
{
    start();
    bench_hold_back(&b, OPERATOR_SUSPEND, alice, 0, 1);
    bench_hold_back(&b, OPERATOR_LIMIT, 0, BENCH_BOB, 44);
    bench_end(&b, BENCH_BOB, bob, bob, SESSION_END_CLEAN);
    encoded();
    enum { HEAD = 16 + 2 * RESTRAINT + 2 * REQUEST, A = HEAD - 16, B = A - RESTRAINT };
    enum { R = 2 * REQUEST, S = REQUEST };
    static const char who[] = "a restraint of nobody, or a second one";
    static const char range[] = "a restraint out of range";
    static const char id[] = "an operator's request without an id of its own";
    static const char request[] = "an operator's request out of range";
    static const char drained[] = "drained replicas that are no members, or leave no leader";
    const uint64_t ahead = 1ull << 40, zero = 0;
    const uint32_t many = MACHINE_RESTRAINTS_MAX + 1, all = 0x0e, fourth = 1u << 4, two = 2;
    const uint32_t fast = OPERATOR_RATE_MAX + 1, low = 15, last = MACHINE_NO_LEADER_LEFT + 1;
    insane(HEAD - 12, &many, 4, "more restraints than the table holds");
    insane(HEAD - 8, &all, 4, drained);
    insane(HEAD - 8, &fourth, 4, drained);
    insane(A, &ahead, 8, who);
    insane(A, &zero, 8, who);
    insane(A, &bob, 8, who);     /* it has ended */
    insane(A - 8, &two, 4, who); /* a session and a principal */
    insane(B - 8, &low, 4, who);
    insane(B, bytes + size - BEHIND - A, 16, who);
    insane(A - 16, &two, 4, range);
    insane(A - 16, &zero, 4, range);
    insane(B - 12, &fast, 4, range);
    insane(B - 20, &two, 4, range);
    insane(R, &zero, 8, id);
    insane(S, bytes + size - BEHIND - R, 16, id);
    insane(R - 24, &zero, 8, request);
    insane(S - 24, &ahead, 8, request);
    insane(S - 24, bytes + size - BEHIND - (R - 24), 8, request);
    insane(S - 40, &last, 4, request);
    insane(S - 44, &zero, 4, request);
    insane(S - 44, &all, 4, request);
    for (size_t cut = size - BEHIND - HEAD; cut < size; cut++)
        CU_ASSERT_STRING_EQUAL(decode(cut), "cut off");
    forget();
}

int main(void)
{
    static const struct unit_test tests[] = {
        {"a repeated request gets the first answer", a_repeated_request_gets_the_first_answer},
        {"the last requests are kept", the_last_requests_are_kept},
        {"clients are no operators", clients_are_no_operators},
        {"a suspended session consumes and is refused",
         a_suspended_session_consumes_and_is_refused},
        {"a suspended principal", a_suspended_principal},
        {"the lower limit counts", the_lower_limit_counts},
        {"a session takes its restraint along", a_session_takes_its_restraint_along},
        {"a full table is busy", a_full_table_is_busy},
        {"somebody is left to lead", somebody_is_left_to_lead},
        {"other members are not drained", other_members_are_not_drained},
        {"a broken lock is delayed", a_broken_lock_is_delayed},
        {"a delay that time has ended", a_delay_that_time_has_ended},
        {"no waiter takes a broken generation over", no_waiter_takes_a_broken_generation_over},
        {"a node that is not there", a_node_that_is_not_there},
        {"it outlives a checkpoint", it_outlives_a_checkpoint},
        {"insane operators are refused", insane_operators_are_refused},
        {0}};
    return unit_main("machine_operator", tests);
}
