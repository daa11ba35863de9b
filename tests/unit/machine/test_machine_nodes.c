#include "tests/unit/machine/bench.h"

#include <string.h>

static struct bench b;
static uint64_t alice, bob;

static uint64_t session(uint32_t principal, const char *name)
{
    CU_ASSERT_EQUAL_FATAL(bench_open(&b, principal, name, 11, 64)->status, MACHINE_SEQUENCED);
    return bench_session(&b)->id;
}

static void start_with(const struct genesis *genesis)
{
    bench_init(&b, genesis);
    bench_noop(&b, 1);
    alice = session(BENCH_ALICE, "a");
    bob = session(BENCH_BOB, "b");
}

static void start(void)
{
    struct genesis genesis = bench_genesis();
    start_with(&genesis);
}

static const struct machine_node *at(const char *path)
{
    return machine_node_at_path(b.machine, path, strlen(path));
}

static enum machine_status opened(uint64_t session_id, const char *path, uint8_t flags)
{
    const struct entry_node op = {.operation = NODE_OPEN, .flags = flags};
    return bench_node(&b, session_id, &op, path, "", NULL);
}

static enum machine_status set(uint64_t session_id, uint64_t node, const char *text,
                               uint64_t compare, uint64_t *generation)
{
    const struct entry_node op = {.operation = NODE_SET,
                                  .flags = compare != 0 ? NODE_COMPARE : 0,
                                  .node = node,
                                  .compare = compare,
                                  .content_size = (uint16_t)strlen(text)};
    return bench_node(&b, session_id, &op, "", text, generation);
}

static void tree(void)
{
    start();
    CU_ASSERT_EQUAL(at("/")->id, NODE_ROOT);
    CU_ASSERT_EQUAL(opened(alice, "/a/b", NODE_CREATE), MACHINE_NO_NODE); /* no parent */
    CU_ASSERT_EQUAL(opened(alice, "/a", 0), MACHINE_NO_NODE);
    uint64_t a = bench_node_open(&b, alice, "/a", NODE_CREATE, 0);
    CU_ASSERT_EQUAL(a, b.machine->applied); /* the instance is the index: never reused */
    CU_ASSERT_EQUAL(bench_node_open(&b, bob, "/a", NODE_CREATE, 0), a);
    CU_ASSERT_EQUAL(opened(bob, "/a", NODE_CREATE | NODE_EXCLUSIVE), MACHINE_NODE_EXISTS);
    uint64_t one = bench_node_open(&b, alice, "/a/1", NODE_CREATE, 0);
    uint64_t two = bench_node_open(&b, alice, "/a/2", NODE_CREATE, 0);
    CU_ASSERT_EQUAL(at("/a")->child_count, 2);
    CU_ASSERT_EQUAL(machine_node_child(b.machine, at("/a"), 0)->id, one);
    CU_ASSERT_EQUAL(machine_node_child(b.machine, at("/a"), one)->id, two);
    CU_ASSERT_PTR_NULL(machine_node_child(b.machine, at("/a"), two));
    CU_ASSERT_EQUAL(bench_on_node(&b, alice, a, NODE_DELETE), MACHINE_NOT_EMPTY);
    CU_ASSERT_EQUAL(bench_on_node(&b, alice, one, NODE_DELETE), MACHINE_DONE);
    /* From one that is gone the list goes on with what is newer. */
    CU_ASSERT_EQUAL(machine_node_child(b.machine, at("/a"), one)->id, two);
    CU_ASSERT_EQUAL(bench_on_node(&b, alice, one, NODE_DELETE), MACHINE_NO_NODE);
    CU_ASSERT_EQUAL(bench_on_node(&b, alice, NODE_ROOT, NODE_DELETE), MACHINE_NOT_ALLOWED);
    uint64_t again = bench_node_open(&b, bob, "/a/1", NODE_CREATE, 0);
    CU_ASSERT(again > two);
    CU_ASSERT_EQUAL(at("/a/1")->id, again);
    CU_ASSERT_EQUAL(at("/a")->added, 3);
    CU_ASSERT_EQUAL(at("/a")->removed, 1);
    bench_free(&b);
}

/* On from an instance that is gone, that has another parent, or that is the root's. */
static void children_from_anywhere(void)
{
    start();
    bench_node_open(&b, alice, "/a", NODE_CREATE, 0);
    uint64_t one = bench_node_open(&b, alice, "/a/1", NODE_CREATE, 0);
    uint64_t under = bench_node_open(&b, alice, "/a/1/x", NODE_CREATE, 0);
    uint64_t two = bench_node_open(&b, alice, "/a/2", NODE_CREATE, 0);
    uint64_t three = bench_node_open(&b, alice, "/a/3", NODE_CREATE, 0);
    const struct machine_node *a = at("/a");
    CU_ASSERT_EQUAL(machine_node_child(b.machine, a, NODE_ROOT)->id, one);
    CU_ASSERT_EQUAL(machine_node_child(b.machine, a, under)->id, two);
    CU_ASSERT_EQUAL(bench_on_node(&b, alice, two, NODE_DELETE), MACHINE_DONE);
    CU_ASSERT_EQUAL(machine_node_child(b.machine, a, two)->id, three);
    CU_ASSERT_EQUAL(bench_on_node(&b, alice, three, NODE_DELETE), MACHINE_DONE);
    CU_ASSERT_PTR_NULL(machine_node_child(b.machine, a, three));
    CU_ASSERT_PTR_NULL(machine_node_child(b.machine, at("/a/1/x"), NODE_ROOT));
    bench_free(&b);
}

static void deletes_what_it_compared(void)
{
    start();
    uint64_t a = bench_node_open(&b, alice, "/a", NODE_CREATE, 0);
    struct entry_node op = {
        .operation = NODE_DELETE, .flags = NODE_COMPARE, .node = a, .compare = 1};
    set(bob, a, "news", 0, NULL);
    CU_ASSERT_EQUAL(bench_node(&b, alice, &op, "", "", NULL), MACHINE_CHANGED);
    CU_ASSERT_PTR_NOT_NULL(at("/a"));
    op.compare = 2;
    CU_ASSERT_EQUAL(bench_node(&b, alice, &op, "", "", NULL), MACHINE_DONE);
    CU_ASSERT_PTR_NULL(at("/a"));
    bench_free(&b);
}

static void content(void)
{
    start();
    uint64_t generation, a = bench_node_open(&b, alice, "/a", NODE_CREATE, 0);
    CU_ASSERT_EQUAL(set(alice, a, "one", 0, &generation), MACHINE_DONE);
    CU_ASSERT_EQUAL(generation, 2);
    CU_ASSERT_EQUAL(set(bob, a, "two", 1, &generation), MACHINE_CHANGED);
    CU_ASSERT_EQUAL(generation, 0);
    CU_ASSERT_EQUAL(at("/a")->content_size, 3);
    CU_ASSERT_EQUAL(memcmp(at("/a")->content, "one", 3), 0);
    CU_ASSERT_EQUAL(set(bob, a, "", 2, &generation), MACHINE_DONE); /* no handle is needed */
    CU_ASSERT_EQUAL(generation, 3);
    CU_ASSERT_EQUAL(at("/a")->content_size, 0);
    CU_ASSERT_EQUAL(set(bob, 999, "x", 0, NULL), MACHINE_NO_NODE);
    /* Exactly once: the same number again is a duplicate, and changes nothing. */
    const struct machine_session *s = machine_session(b.machine, bob);
    struct entry *entry = (struct entry *)(void *)b.bytes;
    struct entry_messages *m = (struct entry_messages *)(entry + 1);
    set(bob, a, "once", 0, NULL);
    entry->index = b.machine->applied + 1;
    CU_ASSERT_EQUAL(bench_apply(&b)->run[0].status, MACHINE_DUPLICATE);
    CU_ASSERT_EQUAL(at("/a")->content_generation, 4);
    struct packet_result_run run;
    CU_ASSERT_EQUAL(machine_runs(s, s->last, s->last, &run, 1), 1);
    CU_ASSERT_EQUAL(run.status, MACHINE_DONE);
    CU_ASSERT_EQUAL(run.feed, 4);
    /* As a message it is another thing. */
    entry->kind = ENTRY_MESSAGES;
    entry->index = b.machine->applied + 1;
    CU_ASSERT_EQUAL(m->number, s->last);
    CU_ASSERT_EQUAL(bench_apply(&b)->run[0].status, MACHINE_DIFFERENT);
    bench_free(&b);
}

static void access_lists(void)
{
    start();
    uint64_t a = bench_node_open(&b, alice, "/a", NODE_CREATE, 0);
    const struct node_right rights[2] = {
        {.principal = BENCH_ALICE, .rights = NODE_READ | NODE_WRITE | NODE_CHANGE},
        {.principal = BENCH_BOB, .rights = NODE_READ}};
    struct entry_node op = {.operation = NODE_ACL, .node = a, .content_size = sizeof(rights)};
    uint64_t generation;
    CU_ASSERT_EQUAL(bench_node(&b, alice, &op, "", rights, &generation), MACHINE_DONE);
    CU_ASSERT_EQUAL(generation, 2);
    CU_ASSERT_EQUAL(bench_node(&b, bob, &op, "", rights, NULL), MACHINE_NOT_ALLOWED);
    CU_ASSERT_EQUAL(bench_node_open(&b, bob, "/a", 0, 0), a);
    CU_ASSERT_EQUAL(set(bob, a, "x", 0, NULL), MACHINE_NOT_ALLOWED);
    CU_ASSERT_EQUAL(bench_acquire(&b, bob, a, LOCK_SHARED, 0, NULL), MACHINE_NOT_ALLOWED);
    CU_ASSERT_EQUAL(bench_on_node(&b, bob, a, NODE_DELETE), MACHINE_NOT_ALLOWED);
    CU_ASSERT_EQUAL(opened(bob, "/a/b", NODE_CREATE), MACHINE_NOT_ALLOWED);
    /* A child begins with its parent's list. */
    bench_node_open(&b, alice, "/a/b", NODE_CREATE, 0);
    CU_ASSERT_EQUAL(machine_node_rights(at("/a/b"), BENCH_BOB), NODE_READ);
    CU_ASSERT_EQUAL(machine_node_rights(at("/a/b"), 99), 0);
    CU_ASSERT_EQUAL(machine_node_rights(at("/a/b"), 1), NODE_READ | NODE_WRITE | NODE_CHANGE);
    /* Nobody may do anything; an operator still may. */
    op.content_size = 0;
    CU_ASSERT_EQUAL(bench_node(&b, alice, &op, "", "", NULL), MACHINE_DONE);
    CU_ASSERT_EQUAL(opened(bob, "/a", 0), MACHINE_NOT_ALLOWED);
    op.content_size = sizeof(rights);
    op.flags = NODE_COMPARE;
    op.compare = 2;
    CU_ASSERT_EQUAL(bench_node(&b, 0, &op, "", rights, NULL), MACHINE_CHANGED);
    op.compare = 3;
    CU_ASSERT_EQUAL(bench_node(&b, 0, &op, "", rights, NULL), MACHINE_DONE);
    bench_free(&b);
}

static void ephemeral(void)
{
    start();
    uint64_t a = bench_node_open(&b, alice, "/a", NODE_CREATE | NODE_EPHEMERAL, 0);
    CU_ASSERT_EQUAL(bench_node_open(&b, bob, "/a", 0, 0), a);
    bench_node_open(&b, bob, "/a/b", NODE_CREATE | NODE_EPHEMERAL, 0);
    CU_ASSERT_EQUAL(bench_on_node(&b, alice, a, NODE_CLOSE), MACHINE_DONE);
    CU_ASSERT_EQUAL(bench_on_node(&b, alice, a, NODE_CLOSE), MACHINE_NOT_OPEN);
    CU_ASSERT_EQUAL(bench_on_node(&b, bob, a, NODE_CLOSE), MACHINE_DONE);
    CU_ASSERT_PTR_NOT_NULL(at("/a")); /* its child keeps it */
    uint64_t removed = at("/")->removed;
    bench_end(&b, BENCH_BOB, bob, bob, SESSION_END_CLEAN);
    CU_ASSERT_PTR_NULL(at("/a/b"));
    CU_ASSERT_PTR_NULL(at("/a"));
    CU_ASSERT_EQUAL(at("/")->removed, removed + 1);
    CU_ASSERT_EQUAL(b.machine->node_count, 1);
    CU_ASSERT_EQUAL(b.machine->handle_count, 0);
    bench_free(&b);
}

/* The last handle takes a path of the greatest depth with it, and not the root. */
static void withers_to_the_root(void)
{
    start();
    char path[2 * KEEL_PATH_DEPTH_MAX + 1] = "";
    for (uint32_t depth = 0; depth < KEEL_PATH_DEPTH_MAX; depth++) {
        strcat(path, "/n");
        bench_node_open(&b, alice, path, NODE_CREATE | NODE_EPHEMERAL, 0);
    }
    CU_ASSERT_EQUAL(b.machine->node_count, KEEL_PATH_DEPTH_MAX + 1);
    bench_end(&b, BENCH_ALICE, alice, alice, SESSION_END_CLEAN);
    CU_ASSERT_EQUAL(b.machine->node_count, 1);
    CU_ASSERT_EQUAL(at("/")->child_count, 0);
    bench_free(&b);
}

static void handles_die_with_the_instance(void)
{
    start();
    uint64_t a = bench_node_open(&b, alice, "/a", NODE_CREATE, 0);
    bench_node_open(&b, bob, "/a", 0, 0);
    CU_ASSERT_EQUAL(bench_on_node(&b, alice, a, NODE_DELETE), MACHINE_DONE);
    uint64_t next = bench_node_open(&b, alice, "/a", NODE_CREATE, 0);
    CU_ASSERT_EQUAL(bench_acquire(&b, bob, a, LOCK_EXCLUSIVE, 0, NULL), MACHINE_NO_NODE);
    CU_ASSERT_EQUAL(bench_acquire(&b, bob, next, LOCK_EXCLUSIVE, 0, NULL), MACHINE_NOT_OPEN);
    CU_ASSERT_EQUAL(set(bob, a, "x", 0, NULL), MACHINE_NO_NODE);
    const struct packet_event_place none = {0};
    struct packet_event events[4];
    CU_ASSERT_EQUAL(machine_events(b.machine, machine_session(b.machine, bob), &none, events, 4),
                    1);
    CU_ASSERT_EQUAL(events[0].at.kind, PACKET_EVENT_INVALID);
    CU_ASSERT_EQUAL(events[0].at.node, a);
    CU_ASSERT_EQUAL(bench_on_node(&b, bob, a, NODE_CLOSE), MACHINE_DONE);
    CU_ASSERT_EQUAL(machine_events(b.machine, machine_session(b.machine, bob), &none, events, 4),
                    0);
    bench_free(&b);
}

static void limits(void)
{
    struct genesis genesis = bench_genesis();
    genesis.nodes_max = 4;
    genesis.handles_max = 4;
    genesis.handles_per_session = 3;
    genesis.waiters_max = 1;
    start_with(&genesis);
    bench_node_open(&b, alice, "/1", NODE_CREATE, 0);
    bench_node_open(&b, alice, "/2", NODE_CREATE, 0);
    bench_node_open(&b, alice, "/3", NODE_CREATE, 0);
    CU_ASSERT_EQUAL(opened(alice, "/", 0), MACHINE_HANDLE_LIMIT);
    CU_ASSERT_EQUAL(opened(bob, "/4", NODE_CREATE), MACHINE_NODE_TABLE);
    CU_ASSERT_EQUAL(b.machine->handle_count, 3); /* a refusal takes nothing */
    uint64_t one = bench_node_open(&b, bob, "/1", 0, 0);
    CU_ASSERT_EQUAL(opened(bob, "/2", 0), MACHINE_HANDLE_LIMIT);
    CU_ASSERT_EQUAL(bench_acquire(&b, alice, one, LOCK_EXCLUSIVE, 0, NULL), MACHINE_DONE);
    CU_ASSERT_EQUAL(bench_acquire(&b, bob, one, LOCK_EXCLUSIVE, 0, NULL), MACHINE_QUEUED);
    CU_ASSERT_EQUAL(
        bench_on_node(&b, alice, machine_node_child(b.machine, at("/"), one)->id, NODE_CLOSE),
        MACHINE_DONE);
    uint64_t carol = session(18, "c");
    CU_ASSERT_EQUAL(bench_node_open(&b, carol, "/1", 0, 0), one);
    CU_ASSERT_EQUAL(bench_acquire(&b, carol, one, LOCK_EXCLUSIVE, 0, NULL), MACHINE_WAITER_LIMIT);
    bench_free(&b);
    /* A cluster without nodes: a record of before there were any. */
    genesis.nodes_max = genesis.handles_max = genesis.handles_per_session = 0;
    genesis.waiters_max = genesis.lock_delay_max_ms = 0;
    CU_ASSERT_PTR_NULL(genesis_problem(&genesis));
    start_with(&genesis);
    CU_ASSERT_EQUAL(opened(alice, "/1", NODE_CREATE), MACHINE_HANDLE_LIMIT);
    CU_ASSERT_EQUAL(set(alice, NODE_ROOT, "x", 0, NULL), MACHINE_NO_NODE);
    bench_free(&b);
}

/* Slots are counted in words of 64: a table that fills its last word, and one that begins it. */
static void full_tables(void)
{
    const struct entry_node create = {.operation = NODE_OPEN, .flags = NODE_CREATE};
    for (uint32_t room = 64; room <= 65; room++) {
        struct genesis genesis = bench_genesis();
        genesis.nodes_max = room;
        start_with(&genesis);
        char path[] = "/0";
        for (uint32_t i = 1; i < room; i++, path[1]++)
            CU_ASSERT_EQUAL(bench_node(&b, 0, &create, path, "", NULL), MACHINE_DONE);
        CU_ASSERT_EQUAL(b.machine->node_count, room);
        CU_ASSERT_EQUAL(bench_node(&b, 0, &create, "/more", "", NULL), MACHINE_NODE_TABLE);
        CU_ASSERT_EQUAL(bench_on_node(&b, 0, at("/1")->id, NODE_DELETE), MACHINE_DONE);
        CU_ASSERT_EQUAL(bench_node(&b, 0, &create, "/more", "", NULL), MACHINE_DONE);
        bench_free(&b);
    }
}

/* The first entry's index is the root's instance: no node can be created by it. */
static void the_first_entry_creates_nothing(void)
{
    const struct entry_node create = {.operation = NODE_OPEN, .flags = NODE_CREATE};
    struct genesis genesis = bench_genesis();
    bench_init(&b, &genesis);
    CU_ASSERT_EQUAL(bench_node(&b, 0, &create, "/a", "", NULL), MACHINE_NODE_TABLE);
    CU_ASSERT_EQUAL(b.machine->applied, NODE_ROOT);
    CU_ASSERT_EQUAL(b.machine->node_count, 1);
    CU_ASSERT_EQUAL(bench_node(&b, 0, &create, "/a", "", NULL), MACHINE_DONE);
    CU_ASSERT_EQUAL(at("/a")->id, NODE_ROOT + 1);
    bench_free(&b);
}

static void operators(void)
{
    start();
    const struct entry_node create = {
        .operation = NODE_OPEN, .flags = NODE_CREATE, .content_size = 2};
    uint64_t node;
    CU_ASSERT_EQUAL(bench_node(&b, 0, &create, "/ops", "hi", &node), MACHINE_DONE);
    CU_ASSERT_EQUAL(at("/ops")->id, node);
    CU_ASSERT_EQUAL(at("/ops")->handle_count, 0);
    CU_ASSERT_EQUAL(set(0, node, "text", 0, NULL), MACHINE_DONE);
    CU_ASSERT_EQUAL(set(0, 9999, "text", 0, NULL), MACHINE_NO_NODE);
    CU_ASSERT_EQUAL(bench_on_node(&b, 0, node, NODE_RELEASE), MACHINE_NOT_HELD);
    CU_ASSERT_EQUAL(bench_on_node(&b, 0, node, NODE_DELETE), MACHINE_DONE);
    bench_free(&b);
}

/* Each kind once, by its last occurrence, behind what was seen; the value says how many. */
static void events_in_order(void)
{
    start();
    uint64_t a = bench_node_open(&b, bob, "/a", NODE_CREATE, NODE_EVENTS_ALL);
    const struct machine_session *s = machine_session(b.machine, bob);
    struct packet_event_place seen = {0};
    struct packet_event events[8];
    CU_ASSERT_EQUAL(machine_events(b.machine, s, &seen, events, 8), 0);
    set(alice, a, "1", 0, NULL);
    bench_node_open(&b, alice, "/a/x", NODE_CREATE, 0);
    set(alice, a, "2", 0, NULL);
    CU_ASSERT_EQUAL_FATAL(machine_events(b.machine, s, &seen, events, 8), 2);
    CU_ASSERT_EQUAL(events[0].at.kind, PACKET_EVENT_ADDED);
    CU_ASSERT_EQUAL(events[1].at.kind, PACKET_EVENT_CONTENT);
    CU_ASSERT_EQUAL(events[1].value, 3);
    CU_ASSERT_EQUAL(events[1].at.index, b.machine->applied);
    /* One at a time is the same order. */
    CU_ASSERT_EQUAL(machine_events(b.machine, s, &seen, events, 1), 1);
    CU_ASSERT_EQUAL(events[0].at.kind, PACKET_EVENT_ADDED);
    seen = events[0].at;
    CU_ASSERT_EQUAL(machine_events(b.machine, s, &seen, events, 1), 1);
    CU_ASSERT_EQUAL(events[0].at.kind, PACKET_EVENT_CONTENT);
    seen = events[0].at;
    CU_ASSERT_EQUAL(machine_events(b.machine, s, &seen, events, 8), 0);
    bench_node_open(&b, alice, "/a", 0, 0);
    uint64_t generation;
    bench_acquire(&b, alice, a, LOCK_EXCLUSIVE, 0, &generation);
    CU_ASSERT_EQUAL(machine_events(b.machine, s, &seen, events, 8), 1);
    CU_ASSERT_EQUAL(events[0].at.kind, PACKET_EVENT_LOCKED);
    CU_ASSERT_EQUAL(events[0].value, generation);
    bench_free(&b);
}

/* The first ones are told first, in whichever order the kinds are looked at. */
static void the_first_events_that_fit(void)
{
    start();
    uint64_t a = bench_node_open(&b, bob, "/a", NODE_CREATE, NODE_EVENTS_ALL);
    const struct machine_session *s = machine_session(b.machine, bob);
    const struct packet_event_place none = {0};
    struct packet_event events[2];
    set(alice, a, "1", 0, NULL);
    bench_node_open(&b, alice, "/a/x", NODE_CREATE, 0);
    CU_ASSERT_EQUAL_FATAL(machine_events(b.machine, s, &none, events, 2), 2);
    CU_ASSERT_EQUAL(events[0].at.kind, PACKET_EVENT_CONTENT);
    CU_ASSERT_EQUAL(events[1].at.kind, PACKET_EVENT_ADDED);
    memset(events, 0, sizeof(events));
    CU_ASSERT_EQUAL(machine_events(b.machine, s, &none, events, 1), 1);
    CU_ASSERT_EQUAL(events[0].at.kind, PACKET_EVENT_CONTENT);
    CU_ASSERT_EQUAL(events[1].at.index, 0);
    bench_free(&b);
}

int main(void)
{
    static const struct unit_test tests[] = {
        {"a tree of names", tree},
        {"children, on from anywhere", children_from_anywhere},
        {"delete compares", deletes_what_it_compared},
        {"content, compared and set, exactly once", content},
        {"access lists", access_lists},
        {"an ephemeral node goes with its last handle", ephemeral},
        {"an ephemeral path goes up to the root", withers_to_the_root},
        {"handles die with their node's instance", handles_die_with_the_instance},
        {"limits are refusals", limits},
        {"full tables", full_tables},
        {"the first entry creates no node", the_first_entry_creates_nothing},
        {"operators need no session", operators},
        {"events in order, none lost", events_in_order},
        {"the first events that fit", the_first_events_that_fit},
        {0}};
    return unit_main("machine_nodes", tests);
}
