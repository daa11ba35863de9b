#include "tests/unit/machine/bench.h"

#include <stdlib.h>
#include <string.h>

enum { NODE_SIZE = 112, HANDLE_SIZE = 88, LIMITS = 464, BEHIND = 48 }; /* BEHIND: the autopilot */

/* Where the fields of a node lie in its record, */
enum {
    PARENT = 8,
    LOCK_GENERATION = 32,
    CONTENT_SIZE = 104,
    PATH_SIZE = 106,
    ACL_COUNT = 107,
    LOCK_MODE = 108,
    EPHEMERAL = 109,
    PATH = NODE_SIZE
};

/* and those of a handle. */
enum {
    SESSION = 0,
    NODE = 8,
    OPENED = 16,
    ASKED = 24,
    GENERATION = 32,
    DEADLINE = 40,
    HELD = 56,
    ENDED = 64,
    INVALID = 72,
    DELAY = 80,
    STATE = 84,
    MODE = 85,
    EVENTS = 86,
    END_REASON = 87
};

static const char RANGE[] = "a handle's numbers out of range";
static const char ORDER[] = "handles out of order, or from the future";
static const char WITHOUT[] = "a handle without a session or a node";
static const char PATHS[] = "a node without a sane path";
static const char TWO_WAYS[] = "a lock held in two ways";

static struct bench b;
static uint64_t alice, bob, carol, dave;
static uint64_t locked, shared, kept, gone;
static uint8_t *encoding;
static size_t encoding_size;
static struct machine *decoded;

static uint64_t session(uint32_t principal, const char *name)
{
    CU_ASSERT_EQUAL_FATAL(bench_open(&b, principal, name, 11, 64)->status, MACHINE_SEQUENCED);
    return bench_session(&b)->id;
}

/* Held exclusively with a queue: /locked. Held by two: /shared. Ephemeral and kept by a handle,
 * by a child, by a lock-delay: /locked/kept, /above, /delayed. Kept by nothing: /plain. */
static void grow(void)
{
    const struct entry_node create = {.operation = NODE_OPEN, .flags = NODE_CREATE};
    locked = bench_node_open(&b, alice, "/locked", NODE_CREATE, 0);
    bench_node_open(&b, bob, "/locked", 0, 0);
    bench_node_open(&b, carol, "/locked", 0, 0);
    bench_acquire(&b, alice, locked, LOCK_EXCLUSIVE, 0, NULL);
    bench_acquire(&b, bob, locked, LOCK_EXCLUSIVE, 0, NULL);
    bench_acquire(&b, carol, locked, LOCK_SHARED, 0, NULL);
    kept = bench_node_open(&b, bob, "/locked/kept", NODE_CREATE | NODE_EPHEMERAL, 0);
    shared = bench_node_open(&b, alice, "/shared", NODE_CREATE, 0);
    bench_node_open(&b, bob, "/shared", 0, 0);
    bench_acquire(&b, alice, shared, LOCK_SHARED, 0, NULL);
    bench_acquire(&b, bob, shared, LOCK_SHARED, 0, NULL);
    uint64_t above = bench_node_open(&b, carol, "/above", NODE_CREATE | NODE_EPHEMERAL, 0);
    bench_node(&b, 0, &create, "/above/x", "", NULL);
    bench_on_node(&b, carol, above, NODE_CLOSE);
    uint64_t delayed = bench_node_open(&b, dave, "/delayed", NODE_CREATE | NODE_EPHEMERAL, 0);
    bench_acquire(&b, dave, delayed, LOCK_EXCLUSIVE, 60000, NULL);
    b.log_ns += 100 * 1000000000ull;
    bench_expire(&b, BENCH_REPLICA, dave, dave, 1);
    bench_node(&b, 0, &create, "/plain", "", NULL);
    gone = bench_node_open(&b, alice, "/gone", NODE_CREATE, 0);
    CU_ASSERT_EQUAL_FATAL(bench_on_node(&b, 0, gone, NODE_DELETE), MACHINE_DONE);
}

static const char *decode(const struct genesis *genesis)
{
    const char *problem = machine_decode(decoded, genesis, encoding, encoding_size);
    return problem != NULL ? problem : "taken";
}

static void start(void)
{
    struct genesis genesis = bench_genesis();
    genesis.nodes_max = 16;
    genesis.handles_max = 16;
    genesis.handles_per_session = 4;
    genesis.waiters_max = 2;
    bench_init(&b, &genesis);
    b.log_ns = 1000;
    bench_noop(&b, 1);
    alice = session(BENCH_ALICE, "a");
    bob = session(BENCH_BOB, "b");
    carol = session(18, "c");
    dave = session(19, "d");
    grow();
    size_t cap = machine_encoded_max(&genesis);
    encoding = malloc(cap);
    encoding_size = machine_encode(b.machine, encoding, cap);
    decoded = bench_memory(&genesis);
    CU_ASSERT_STRING_EQUAL_FATAL(decode(&genesis), "taken");
}

static void stop(void)
{
    free(encoding);
    free(decoded);
    bench_free(&b);
}

static uint64_t word_at(size_t at)
{
    uint64_t word;
    memcpy(&word, encoding + at, sizeof(word));
    return word;
}

/* Behind the handles stands what operators did: here, requests. */
static size_t handles_end(void)
{
    return encoding_size - BEHIND - 16 -
           b.machine->operated.requests * sizeof(struct machine_request);
}

/* Where a handle's record lies: those of all handles end the encoding but for operators' part. */
static size_t handle_at(uint64_t session_id, uint64_t node)
{
    size_t at = handles_end();
    for (uint32_t i = 0; i < b.machine->handle_count; i++) {
        at -= HANDLE_SIZE;
        if (word_at(at + SESSION) == session_id && word_at(at + NODE) == node)
            return at;
    }
    CU_FAIL_FATAL("no such handle");
    return 0;
}

static size_t nodes_size(void)
{
    static const char *all[] = {"/",      "/locked",  "/locked/kept", "/shared",
                                "/above", "/above/x", "/delayed",     "/plain"};
    size_t size = 0;
    CU_ASSERT_EQUAL_FATAL(b.machine->node_count, sizeof(all) / sizeof(all[0]));
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        const struct machine_node *node = machine_node_at_path(b.machine, all[i], strlen(all[i]));
        CU_ASSERT_PTR_NOT_NULL_FATAL(node);
        size += NODE_SIZE + (size_t)node->path_size + node->content_size +
                node->acl_count * sizeof(struct node_right);
    }
    return size;
}

/* Where a node's record lies: before the handles, by rising instance. */
static size_t node_at(const char *path)
{
    size_t at = handles_end() - b.machine->handle_count * HANDLE_SIZE - nodes_size();
    for (uint32_t i = 0; i < b.machine->node_count; i++) {
        uint16_t content;
        memcpy(&content, encoding + at + CONTENT_SIZE, sizeof(content));
        size_t size = encoding[at + PATH_SIZE];
        if (size == strlen(path) && memcmp(encoding + at + PATH, path, size) == 0)
            return at;
        at += PATH + size + content + encoding[at + ACL_COUNT] * sizeof(struct node_right);
    }
    CU_FAIL_FATAL("no such node");
    return 0;
}

/* What decode says to the encoding with these bytes in it; it is as before afterwards. */
static const char *with(size_t at, const void *bytes, size_t size)
{
    uint8_t before[64];
    CU_ASSERT_FATAL(size <= sizeof(before));
    memcpy(before, encoding + at, size);
    memcpy(encoding + at, bytes, size);
    const char *problem = decode(&b.genesis);
    memcpy(encoding + at, before, size);
    return problem;
}

static const char *with_word(size_t at, uint64_t word)
{
    return with(at, &word, sizeof(word));
}

static const char *with_byte(size_t at, uint8_t byte)
{
    return with(at, &byte, sizeof(byte));
}

static void round_trip(void)
{
    start();
    CU_ASSERT_EQUAL(machine_fingerprint(decoded), machine_fingerprint(b.machine));
    uint8_t *again = malloc(encoding_size);
    CU_ASSERT_EQUAL(machine_encode(decoded, again, encoding_size), encoding_size);
    CU_ASSERT_EQUAL(memcmp(again, encoding, encoding_size), 0);
    free(again);
    CU_ASSERT_EQUAL(machine_node(decoded, locked)->waiters, 2);
    CU_ASSERT_EQUAL(machine_node(decoded, shared)->holders, 2);
    CU_ASSERT_EQUAL(machine_due_log_ns(decoded), machine_due_log_ns(b.machine));
    CU_ASSERT_PTR_NULL(machine_node(decoded, gone));
    CU_ASSERT(machine_handle(decoded, alice, gone)->invalid_index > gone);
    /* It goes on as the other does: the queue is served in its order. */
    struct machine *first = b.machine;
    b.machine = decoded;
    bench_on_node(&b, alice, locked, NODE_RELEASE);
    CU_ASSERT_EQUAL(machine_handle(decoded, bob, locked)->state, HANDLE_HOLDS);
    CU_ASSERT_EQUAL(machine_handle(decoded, carol, locked)->state, HANDLE_WAITS);
    b.machine = first;
    stop();
}

static void paths(void)
{
    start();
    size_t child = node_at("/locked/kept"), other = node_at("/shared");
    CU_ASSERT_STRING_EQUAL(with(child + PATH, "/locked/kep/", 12), PATHS);
    CU_ASSERT_STRING_EQUAL(with(child + PATH, "/lockedXkept", 12), PATHS);
    CU_ASSERT_STRING_EQUAL(with(child + PATH, "/lucked/kept", 12), PATHS);
    CU_ASSERT_STRING_EQUAL(with(child + PATH, "/locked/k/pt", 12), PATHS);
    CU_ASSERT_STRING_EQUAL(with(child + PATH, "/locked/kep2", 12), "taken");
    CU_ASSERT_STRING_EQUAL(with_word(child + PARENT, NODE_ROOT), PATHS);
    CU_ASSERT_STRING_EQUAL(with_word(other + PARENT, locked), PATHS); /* no longer than that */
    CU_ASSERT_STRING_EQUAL(with_word(child + PARENT, 999), "a node without a parent");
    CU_ASSERT_STRING_EQUAL(with(other + PATH, "/locked", 7), "two nodes of one path");
    stop();
}

static void order_of_handles(void)
{
    start();
    size_t at = handle_at(bob, kept);
    CU_ASSERT_STRING_EQUAL(with_word(at + ASKED, 1), ORDER); /* before the one before it */
    CU_ASSERT_STRING_EQUAL(with_word(at + OPENED, 0), ORDER);
    CU_ASSERT_STRING_EQUAL(with_word(at + OPENED, word_at(at + ASKED) + 1), ORDER);
    CU_ASSERT_STRING_EQUAL(with_word(at + ASKED, b.machine->applied + 1), ORDER);
    stop();
}

static void states_of_handles(void)
{
    start();
    size_t open = handle_at(bob, kept), holds = handle_at(alice, locked);
    size_t waits = handle_at(bob, locked);
    const uint32_t long_delay = b.genesis.lock_delay_max_ms + 1;
    CU_ASSERT_STRING_EQUAL(with_byte(open + STATE, HANDLE_HOLDS + 1), RANGE);
    CU_ASSERT_STRING_EQUAL(with_byte(open + MODE, LOCK_SHARED), RANGE);
    CU_ASSERT_STRING_EQUAL(with_byte(open + EVENTS, NODE_EVENTS_ALL + 1), RANGE);
    CU_ASSERT_STRING_EQUAL(with_word(open + GENERATION, 5), RANGE);
    CU_ASSERT_STRING_EQUAL(with_word(open + HELD, 5), RANGE);
    CU_ASSERT_STRING_EQUAL(with_word(open + DEADLINE, 5), RANGE);
    CU_ASSERT_STRING_EQUAL(with_word(open + ENDED, 5), RANGE);
    CU_ASSERT_STRING_EQUAL(with_byte(open + END_REASON, HANDLE_TIMED_OUT), RANGE);
    CU_ASSERT_STRING_EQUAL(with_byte(open + END_REASON, HANDLE_BROKEN + 1), RANGE);
    CU_ASSERT_STRING_EQUAL(with(open + DELAY, &long_delay, sizeof(long_delay)), RANGE);
    CU_ASSERT_STRING_EQUAL(with_byte(holds + MODE, LOCK_FREE), RANGE);
    CU_ASSERT_STRING_EQUAL(with_byte(holds + MODE, LOCK_SHARED + 1), RANGE);
    CU_ASSERT_STRING_EQUAL(with_word(holds + GENERATION, 0), RANGE);
    CU_ASSERT_STRING_EQUAL(with_word(holds + HELD, 0), RANGE);
    CU_ASSERT_STRING_EQUAL(with_word(holds + INVALID, 5), RANGE);
    CU_ASSERT_STRING_EQUAL(with_word(waits + DEADLINE, 0), RANGE);
    stop();
}

static void whose_handles(void)
{
    start();
    size_t open = handle_at(bob, kept), invalid = handle_at(alice, gone);
    CU_ASSERT_STRING_EQUAL(with_word(open + SESSION, 999), WITHOUT);
    CU_ASSERT_STRING_EQUAL(with_word(open + SESSION, dave), WITHOUT); /* has ended */
    CU_ASSERT_STRING_EQUAL(with_word(open + NODE, 999), WITHOUT);
    CU_ASSERT_STRING_EQUAL(with_word(open + INVALID, 5), WITHOUT);   /* its node is there */
    CU_ASSERT_STRING_EQUAL(with_word(open + NODE, locked), WITHOUT); /* has one on it */
    CU_ASSERT_STRING_EQUAL(with_word(invalid + INVALID, 0), WITHOUT);
    CU_ASSERT_STRING_EQUAL(with_word(invalid + NODE, 0), WITHOUT);
    stop();
}

static void holders(void)
{
    start();
    size_t waits = handle_at(bob, locked), holds = handle_at(alice, locked);
    CU_ASSERT_STRING_EQUAL(with_byte(holds + MODE, LOCK_SHARED), TWO_WAYS);
    CU_ASSERT_STRING_EQUAL(with_word(holds + GENERATION, 1), TWO_WAYS);
    CU_ASSERT_STRING_EQUAL(with_word(node_at("/locked") + LOCK_GENERATION, 1), TWO_WAYS);
    CU_ASSERT_STRING_EQUAL(with_byte(node_at("/plain") + LOCK_MODE, LOCK_SHARED),
                           "a lock that nobody holds, or held without a mode");
    /* The first waiter holds it too. */
    memcpy(encoding + waits + GENERATION, encoding + holds + GENERATION, 8);
    memcpy(encoding + waits + HELD, encoding + holds + HELD, 8);
    memset(encoding + waits + DEADLINE, 0, 8);
    CU_ASSERT_STRING_EQUAL(with_byte(waits + STATE, HANDLE_HOLDS), TWO_WAYS);
    stop();
}

/* Under smaller limits, which the encoding names too. */
static void more_than_the_limits(void)
{
    start();
    struct genesis other = b.genesis;
    const uint32_t one = 1, few = 2;
    other.waiters_max = one;
    memcpy(encoding + LIMITS + 10 * sizeof(one), &one, sizeof(one));
    CU_ASSERT_STRING_EQUAL(decode(&other), "a queue that is too long");
    other = b.genesis;
    other.handles_per_session = few;
    memcpy(encoding + LIMITS + 10 * sizeof(one), &other.waiters_max, sizeof(one));
    memcpy(encoding + LIMITS + 9 * sizeof(few), &few, sizeof(few));
    CU_ASSERT_STRING_EQUAL(decode(&other), WITHOUT);
    stop();
}

static void what_should_have_withered(void)
{
    start();
    CU_ASSERT_STRING_EQUAL(with_byte(node_at("/plain") + EPHEMERAL, 1),
                           "an ephemeral node that nothing keeps");
    stop();
}

int main(void)
{
    static const struct unit_test tests[] = {
        {"nodes, handles and queues come back", round_trip},
        {"a path fits its parent's", paths},
        {"handles in their order", order_of_handles},
        {"handles in sane states", states_of_handles},
        {"handles of a session, on a node", whose_handles},
        {"a lock is held in one way", holders},
        {"no more handles and waiters than the limits", more_than_the_limits},
        {"no node that should have withered", what_should_have_withered},
        {0}};
    return unit_main("machine_encode_nodes", tests);
}
