#include "tests/unit/machine/bench.h"

#include <string.h>

enum { MS = 1000000, TTL_MS = 5000 }; /* what bench_open() asks for */

static struct bench b;
static uint64_t alice, bob, carol, node;

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
    carol = session(18, "c");
    node = bench_node_open(&b, alice, "/lock", NODE_CREATE, 0);
    bench_node_open(&b, bob, "/lock", 0, 0);
    bench_node_open(&b, carol, "/lock", 0, 0);
}

static const struct machine_handle *handle(uint64_t session_id)
{
    return machine_handle(b.machine, session_id, node);
}

static bool holds(uint64_t session_id)
{
    return handle(session_id) != NULL && handle(session_id)->state == HANDLE_HOLDS;
}

static bool valid(uint64_t generation, enum lock_mode mode)
{
    const struct entry_sequencer sequencer = {
        .node = node, .generation = generation, .mode = (uint8_t)mode};
    return machine_sequencer_holds(b.machine, &sequencer);
}

/* The log time of a lock-delay of so many ms. */
static uint64_t stretched(uint64_t ms)
{
    return ms * (MS + (uint64_t)b.genesis.rho_ppm);
}

static enum machine_status acquire(uint64_t session_id, enum lock_mode mode, uint64_t *generation)
{
    return bench_acquire(&b, session_id, node, mode, 0, generation);
}

static void exclusive(void)
{
    start();
    uint64_t first, second;
    CU_ASSERT_EQUAL(acquire(alice, LOCK_EXCLUSIVE, &first), MACHINE_DONE);
    CU_ASSERT_EQUAL(first, b.machine->applied);
    CU_ASSERT(valid(first, LOCK_EXCLUSIVE));
    CU_ASSERT(!valid(first, LOCK_SHARED));
    CU_ASSERT(!valid(first - 1, LOCK_EXCLUSIVE));
    CU_ASSERT_EQUAL(acquire(alice, LOCK_EXCLUSIVE, &second), MACHINE_DONE); /* has it already */
    CU_ASSERT_EQUAL(second, first);
    CU_ASSERT_EQUAL(acquire(alice, LOCK_SHARED, NULL), MACHINE_LOCK_BUSY);
    const struct entry_node try = {
        .operation = NODE_ACQUIRE, .mode = LOCK_SHARED, .flags = NODE_TRY, .node = node};
    CU_ASSERT_EQUAL(bench_node(&b, bob, &try, "", "", NULL), MACHINE_LOCK_BUSY);
    CU_ASSERT_EQUAL(acquire(bob, LOCK_EXCLUSIVE, NULL), MACHINE_QUEUED);
    CU_ASSERT_EQUAL(acquire(bob, LOCK_EXCLUSIVE, NULL), MACHINE_QUEUED);
    CU_ASSERT_EQUAL(machine_node(b.machine, node)->waiters, 1);
    CU_ASSERT_EQUAL(machine_node(b.machine, node)->conflicts, 2);
    CU_ASSERT_EQUAL(bench_on_node(&b, alice, node, NODE_RELEASE), MACHINE_DONE);
    CU_ASSERT(holds(bob));
    CU_ASSERT(!valid(first, LOCK_EXCLUSIVE));
    CU_ASSERT(valid(b.machine->applied, LOCK_EXCLUSIVE));
    CU_ASSERT_EQUAL(bench_on_node(&b, alice, node, NODE_RELEASE), MACHINE_NOT_HELD);
    bench_free(&b);
}

static uint32_t conflicts_told(uint64_t session_id, uint64_t open_node)
{
    struct packet_event events[8];
    const struct packet_event_place none = {0};
    uint32_t told = 0, count = machine_events(b.machine, machine_session(b.machine, session_id),
                                              &none, events, 8);
    for (uint32_t i = 0; i < count; i++)
        told += events[i].at.kind == PACKET_EVENT_CONFLICT && events[i].at.node == open_node;
    return told;
}

/* Who holds is told of those in his way, not of those that were in the way of who held before. */
static void conflicts(void)
{
    start();
    uint64_t open = bench_node_open(&b, alice, "/told", NODE_CREATE, NODE_EVENT_CONFLICT);
    bench_node_open(&b, bob, "/told", 0, NODE_EVENT_CONFLICT);
    bench_node_open(&b, carol, "/told", 0, NODE_EVENT_CONFLICT);
    bench_acquire(&b, alice, open, LOCK_EXCLUSIVE, 0, NULL);
    CU_ASSERT_EQUAL(conflicts_told(alice, open), 0);
    bench_acquire(&b, bob, open, LOCK_EXCLUSIVE, 0, NULL);
    CU_ASSERT_EQUAL(conflicts_told(alice, open), 1);
    CU_ASSERT_EQUAL(conflicts_told(bob, open), 0);
    bench_acquire(&b, carol, open, LOCK_EXCLUSIVE, 0, NULL);
    uint32_t held, waiting;
    machine_count_locks(b.machine, &held, &waiting);
    CU_ASSERT_TRUE(held == 1 && waiting == 2);
    bench_on_node(&b, alice, open, NODE_RELEASE); /* bob has it, and carol waits */
    CU_ASSERT_EQUAL(conflicts_told(bob, open), 1);
    bench_on_node(&b, bob, open, NODE_RELEASE); /* carol has it, and nobody waits */
    CU_ASSERT_EQUAL(conflicts_told(carol, open), 0);
    bench_free(&b);
}

static void shared_and_fair(void)
{
    start();
    uint64_t one, two;
    CU_ASSERT_EQUAL(acquire(alice, LOCK_SHARED, &one), MACHINE_DONE);
    CU_ASSERT_EQUAL(acquire(bob, LOCK_SHARED, &two), MACHINE_DONE);
    CU_ASSERT_EQUAL(one, two); /* one stretch, one generation */
    uint64_t dave = session(19, "d");
    bench_node_open(&b, dave, "/lock", 0, 0);
    CU_ASSERT_EQUAL(acquire(carol, LOCK_EXCLUSIVE, NULL), MACHINE_QUEUED);
    CU_ASSERT_EQUAL(acquire(dave, LOCK_SHARED, NULL), MACHINE_QUEUED); /* behind the writer */
    bench_on_node(&b, alice, node, NODE_RELEASE);
    CU_ASSERT(!holds(carol));
    CU_ASSERT(valid(one, LOCK_SHARED));
    bench_on_node(&b, bob, node, NODE_CLOSE);
    CU_ASSERT(holds(carol) && !holds(dave));
    bench_on_node(&b, carol, node, NODE_RELEASE);
    CU_ASSERT(holds(dave));
    CU_ASSERT(handle(dave)->generation > handle(carol)->opened);
    bench_free(&b);
}

static void leaves_the_queue(void)
{
    start();
    acquire(alice, LOCK_EXCLUSIVE, NULL);
    acquire(bob, LOCK_EXCLUSIVE, NULL);
    acquire(carol, LOCK_EXCLUSIVE, NULL);
    CU_ASSERT_EQUAL(bench_on_node(&b, bob, node, NODE_RELEASE), MACHINE_DONE);
    bench_on_node(&b, alice, node, NODE_RELEASE);
    CU_ASSERT(!holds(bob) && holds(carol));
    bench_free(&b);
}

/* Pitfall 10: a waiter is granted nothing after its own session has ended. */
static void dead_waiters(void)
{
    start();
    acquire(alice, LOCK_EXCLUSIVE, NULL);
    acquire(bob, LOCK_EXCLUSIVE, NULL);
    acquire(carol, LOCK_EXCLUSIVE, NULL);
    bench_end(&b, BENCH_BOB, bob, bob, SESSION_END_CLEAN);
    CU_ASSERT_PTR_NULL(handle(bob));
    CU_ASSERT_EQUAL(machine_node(b.machine, node)->waiters, 1);
    bench_on_node(&b, alice, node, NODE_RELEASE);
    CU_ASSERT(holds(carol));
    bench_free(&b);
}

static void lock_delay(void)
{
    start();
    uint64_t generation;
    CU_ASSERT_EQUAL(bench_acquire(&b, alice, node, LOCK_EXCLUSIVE, 7000, &generation),
                    MACHINE_DONE);
    acquire(bob, LOCK_EXCLUSIVE, NULL);
    b.log_ns += 100 * 1000000000ull;
    CU_ASSERT_EQUAL(bench_expire(&b, BENCH_REPLICA, alice, alice, 1)->status, MACHINE_SEQUENCED);
    CU_ASSERT(!holds(bob));
    CU_ASSERT(!valid(generation, LOCK_EXCLUSIVE)); /* at once, whatever the delay */
    uint64_t until = b.log_ns + stretched(7000);
    CU_ASSERT_EQUAL(machine_due_log_ns(b.machine), until);
    CU_ASSERT_EQUAL(acquire(carol, LOCK_SHARED, NULL), MACHINE_QUEUED);
    b.log_ns = until - 1;
    bench_due(&b, 1);
    CU_ASSERT(!holds(bob));
    b.log_ns = until;
    CU_ASSERT_EQUAL(bench_due(&b, 9)->status, MACHINE_NOT_EXPIRED); /* a deposed leader's */
    CU_ASSERT(!holds(bob));
    CU_ASSERT_EQUAL(bench_due(&b, 1)->status, MACHINE_SEQUENCED);
    CU_ASSERT(holds(bob) && !holds(carol));
    CU_ASSERT_EQUAL(machine_due_log_ns(b.machine), UINT64_MAX);
    bench_free(&b);
}

/* A clean end frees at once; one who may still believe in his lock keeps it from others for a time
 * to live. */
static void ends(void)
{
    start();
    bench_acquire(&b, alice, node, LOCK_EXCLUSIVE, 60000, NULL);
    acquire(bob, LOCK_EXCLUSIVE, NULL);
    bench_end(&b, BENCH_ALICE, alice, alice, SESSION_END_CLEAN);
    CU_ASSERT(holds(bob));
    acquire(carol, LOCK_EXCLUSIVE, NULL);
    bench_resume(&b, BENCH_BOB, "b", 99, bob); /* H16 */
    CU_ASSERT_PTR_NULL(handle(bob));
    CU_ASSERT(!holds(carol));
    CU_ASSERT_EQUAL(machine_due_log_ns(b.machine), b.log_ns + stretched(TTL_MS));
    b.log_ns += stretched(TTL_MS);
    bench_due(&b, 1);
    CU_ASSERT(holds(carol));
    bench_end(&b, BENCH_REPLICA, carol, 0, SESSION_END_KILLED);
    CU_ASSERT_EQUAL(machine_node(b.machine, node)->delay_log_ns, b.log_ns + stretched(TTL_MS));
    bench_free(&b);
}

/* Log time decides; what ended is told until the session asks anew. */
static void waits_end(void)
{
    start();
    acquire(alice, LOCK_EXCLUSIVE, NULL);
    struct entry_node wait = {
        .operation = NODE_ACQUIRE, .mode = LOCK_EXCLUSIVE, .node = node, .wait_ms = 100};
    CU_ASSERT_EQUAL(bench_node(&b, bob, &wait, "", "", NULL), MACHINE_QUEUED);
    wait.wait_ms = 50;
    CU_ASSERT_EQUAL(bench_node(&b, carol, &wait, "", "", NULL), MACHINE_QUEUED);
    CU_ASSERT_EQUAL(machine_due_log_ns(b.machine), b.log_ns + stretched(50));
    b.log_ns += stretched(50);
    bench_due(&b, 1);
    CU_ASSERT_EQUAL(handle(carol)->state, HANDLE_OPEN);
    CU_ASSERT_EQUAL(handle(bob)->state, HANDLE_WAITS);
    struct packet_event event;
    const struct packet_event_place none = {0};
    CU_ASSERT_EQUAL(machine_events(b.machine, machine_session(b.machine, carol), &none, &event, 1),
                    1);
    CU_ASSERT_EQUAL(event.at.kind, PACKET_EVENT_ENDED);
    CU_ASSERT_EQUAL(event.value, HANDLE_TIMED_OUT);
    CU_ASSERT_EQUAL(bench_node(&b, carol, &wait, "", "", NULL), MACHINE_QUEUED);
    CU_ASSERT_EQUAL(machine_events(b.machine, machine_session(b.machine, carol), &none, &event, 1),
                    0);
    /* The release comes first in the log, but too late for him. */
    b.log_ns += stretched(50);
    bench_on_node(&b, alice, node, NODE_RELEASE);
    CU_ASSERT(!holds(bob));
    CU_ASSERT_EQUAL(machine_node(b.machine, node)->holders, 0);
    bench_free(&b);
}

static void deletes(void)
{
    start();
    uint64_t generation;
    acquire(alice, LOCK_EXCLUSIVE, &generation);
    CU_ASSERT_EQUAL(bench_on_node(&b, bob, node, NODE_DELETE), MACHINE_LOCK_BUSY);
    CU_ASSERT_EQUAL(bench_on_node(&b, 0, node, NODE_DELETE), MACHINE_LOCK_BUSY);
    CU_ASSERT_EQUAL(bench_on_node(&b, alice, node, NODE_DELETE), MACHINE_DONE);
    CU_ASSERT(!valid(generation, LOCK_EXCLUSIVE));
    node = bench_node_open(&b, bob, "/lock", NODE_CREATE | NODE_EPHEMERAL, 0);
    bench_acquire(&b, bob, node, LOCK_EXCLUSIVE, 3000, NULL);
    b.log_ns += 100 * 1000000000ull;
    bench_expire(&b, BENCH_REPLICA, bob, bob, 1);
    /* Nothing keeps it but its lock-delay: made anew it would have a free lock. */
    CU_ASSERT_PTR_NOT_NULL(machine_node(b.machine, node));
    CU_ASSERT_EQUAL(bench_on_node(&b, 0, node, NODE_DELETE), MACHINE_LOCK_BUSY);
    CU_ASSERT_EQUAL(machine_due_log_ns(b.machine), b.log_ns + stretched(3000));
    b.log_ns += stretched(3000);
    bench_due(&b, 1);
    CU_ASSERT_PTR_NULL(machine_node(b.machine, node));
    bench_free(&b);
}

/* The same, but the operator comes between delay and due. */
static void deletes_what_withers(void)
{
    start();
    node = bench_node_open(&b, bob, "/e", NODE_CREATE | NODE_EPHEMERAL, 0);
    bench_acquire(&b, bob, node, LOCK_EXCLUSIVE, 3000, NULL);
    b.log_ns += 100 * 1000000000ull;
    bench_expire(&b, BENCH_REPLICA, bob, bob, 1);
    b.log_ns += stretched(3000);
    CU_ASSERT_EQUAL(bench_on_node(&b, 0, node, NODE_DELETE), MACHINE_DONE);
    CU_ASSERT_PTR_NULL(machine_node(b.machine, node));
    CU_ASSERT_EQUAL(b.machine->due.first, 0);
    bench_free(&b);
}

/* Who shares a lock cannot take its node from the others. */
static void deletes_alone(void)
{
    start();
    acquire(alice, LOCK_SHARED, NULL);
    acquire(bob, LOCK_SHARED, NULL);
    CU_ASSERT_EQUAL(bench_on_node(&b, alice, node, NODE_DELETE), MACHINE_LOCK_BUSY);
    CU_ASSERT(holds(alice) && holds(bob));
    CU_ASSERT_EQUAL(bench_on_node(&b, bob, node, NODE_RELEASE), MACHINE_DONE);
    CU_ASSERT_EQUAL(bench_on_node(&b, alice, node, NODE_DELETE), MACHINE_DONE);
    CU_ASSERT_PTR_NULL(machine_node(b.machine, node));
    bench_free(&b);
}

/* Only replicas say that something is due. */
static void due_of_a_client(void)
{
    start();
    bench_acquire(&b, alice, node, LOCK_EXCLUSIVE, 7000, NULL);
    acquire(bob, LOCK_EXCLUSIVE, NULL);
    b.log_ns += 100 * 1000000000ull;
    bench_expire(&b, BENCH_REPLICA, alice, alice, 1);
    b.log_ns += stretched(7000);
    const struct entry_due due = {.term = 1};
    bench_build(&b, ENTRY_DUE, BENCH_ALICE, &due, sizeof(due));
    CU_ASSERT_EQUAL(bench_apply(&b)->status, MACHINE_NOT_OWNER);
    CU_ASSERT(!holds(bob));
    CU_ASSERT_EQUAL(bench_due(&b, 1)->status, MACHINE_SEQUENCED);
    CU_ASSERT(holds(bob));
    bench_free(&b);
}

static void operators_break(void)
{
    start();
    acquire(alice, LOCK_SHARED, NULL);
    acquire(bob, LOCK_SHARED, NULL);
    acquire(carol, LOCK_EXCLUSIVE, NULL);
    CU_ASSERT_EQUAL(bench_on_node(&b, 0, node, NODE_RELEASE), MACHINE_DONE);
    CU_ASSERT(!holds(alice) && !holds(bob) && !holds(carol));
    CU_ASSERT_EQUAL(handle(alice)->end_reason, HANDLE_BROKEN);
    b.log_ns += stretched(TTL_MS); /* they may have believed in it */
    bench_due(&b, 1);
    CU_ASSERT(holds(carol));
    bench_free(&b);
}

static const struct machine_outcome *fenced(uint64_t session_id, uint64_t generation)
{
    const struct machine_session *s = machine_session(b.machine, session_id);
    const struct entry_sequencer sequencer = {
        .node = node, .generation = generation, .mode = LOCK_EXCLUSIVE};
    uint8_t body[sizeof(struct entry_messages) + 6 + sizeof(sequencer)] = {0};
    const struct entry_messages head = {.session = session_id,
                                        .epoch = s->epoch,
                                        .number = s->last + 1,
                                        .acked = s->last,
                                        .count = 2,
                                        .bytes = 6,
                                        .flags = ENTRY_FENCED};
    memcpy(body, &head, sizeof(head));
    body[sizeof(head)] = body[sizeof(head) + 3] = 1; /* "x", "x" */
    body[sizeof(head) + 2] = body[sizeof(head) + 5] = 'x';
    memcpy(body + sizeof(head) + 6, &sequencer, sizeof(sequencer));
    bench_build(&b, ENTRY_MESSAGES, s->principal, body, sizeof(body));
    return bench_apply(&b);
}

/* Promise 4: a stale sequencer is refused where the message stands in the order, and its number is
 * used up (H15). Whose session shows it does not matter. */
static void fenced_messages(void)
{
    start();
    uint64_t generation;
    acquire(alice, LOCK_EXCLUSIVE, &generation);
    const struct machine_outcome *o = fenced(carol, generation);
    CU_ASSERT_EQUAL(o->run_count, 1);
    CU_ASSERT_EQUAL(o->run[0].status, MACHINE_SEQUENCED);
    CU_ASSERT_EQUAL(o->feed_after - o->feed_before, 2);
    bench_on_node(&b, alice, node, NODE_RELEASE);
    acquire(bob, LOCK_EXCLUSIVE, NULL);
    uint64_t last = machine_session(b.machine, carol)->last;
    o = fenced(carol, generation);
    CU_ASSERT_EQUAL(o->run[0].status, MACHINE_STALE_SEQUENCER);
    CU_ASSERT_EQUAL(o->run[0].count, 2);
    CU_ASSERT_EQUAL(o->feed_after, o->feed_before);
    CU_ASSERT_EQUAL(machine_session(b.machine, carol)->last, last + 2);
    /* Resent it is a duplicate; under another sequencer the same text is another message. */
    struct entry *entry = (struct entry *)(void *)b.bytes;
    entry->index = b.machine->applied + 1;
    CU_ASSERT_EQUAL(bench_apply(&b)->run[0].status, MACHINE_DUPLICATE);
    entry->index = b.machine->applied + 1;
    struct entry_sequencer *shown =
        (struct entry_sequencer *)(void *)(b.bytes + sizeof(struct entry) +
                                           sizeof(struct entry_messages) + 6);
    struct entry_sequencer other;
    memcpy(&other, shown, sizeof(other));
    other.generation++;
    memcpy(shown, &other, sizeof(other));
    CU_ASSERT_EQUAL(bench_apply(&b)->run[0].status, MACHINE_DIFFERENT);
    bench_free(&b);
}

int main(void)
{
    static const struct unit_test tests[] = {
        {"one holder, then the next in the queue", exclusive},
        {"shared locks, and no writer starves", shared_and_fair},
        {"a holder is told of those in its own way", conflicts},
        {"a waiter leaves the queue", leaves_the_queue},
        {"a waiter of a dead session gets nothing", dead_waiters},
        {"the lock-delay goes by log time", lock_delay},
        {"how a session ends decides about its locks", ends},
        {"waits end by log time", waits_end},
        {"a held lock keeps its node", deletes},
        {"a node that its lock-delay alone kept", deletes_what_withers},
        {"who shares a lock does not delete its node", deletes_alone},
        {"a client does not say what is due", due_of_a_client},
        {"an operator breaks a lock", operators_break},
        {"a stale sequencer is refused at its place in the order", fenced_messages},
        {0}};
    return unit_main("machine_locks", tests);
}
