/* The engine's lease, node operations, events and questions, over a bad network of virtual time. */
#include "client/engine.h"

#include "tests/unit/client/world.h"
#include "tests/unit/unit.h"

#include <string.h>

#define SECOND (1000 * ENGINE_MS)

static struct keel_result last; /* of the number that done() waits for */
static uint64_t wanted;

static bool done(struct world *w)
{
    struct engine *e = w->client[0].engine;
    return e->phase == ENGINE_FAILED || e->oldest > wanted;
}

static enum keel_status finish(struct world *w, uint64_t number)
{
    wanted = number;
    world_run(w, 20 * SECOND, done);
    CU_ASSERT_FATAL(w->client[0].engine->oldest > number);
    last = w->client[0].result[w->client[0].results - 1];
    CU_ASSERT_EQUAL_FATAL(last.number, number);
    return (enum keel_status)last.status;
}

static enum keel_status operate(struct world *w, struct entry_node op, const char *path,
                                const char *content)
{
    uint64_t number;
    op.path_size = (uint16_t)strlen(path);
    op.content_size = (uint16_t)strlen(content);
    CU_ASSERT_EQUAL_FATAL(engine_operate(w->client[0].engine, &op, path, content, &number),
                          KEEL_OK);
    return finish(w, number);
}

static struct engine *start(struct world *w)
{
    w->leases = true;
    return world_started(w, "holder");
}

/* Done exactly once each, whatever the network does; among messages of the same session. */
static void operations_are_numbered(void)
{
    for (uint64_t seed = 1; seed <= 10; seed++) {
        struct world *w = world_new(seed);
        struct engine *e = start(w);
        w->loss = (uint32_t)seed % 4 * 8;
        w->copies = (uint32_t)seed % 3 * 30;
        w->shuffle = (uint32_t)seed % 2 * 30;
        CU_ASSERT_EQUAL(
            operate(w, (struct entry_node){.operation = NODE_OPEN, .flags = NODE_CREATE}, "/n", ""),
            KEEL_DONE);
        uint64_t node = last.feed;
        for (uint32_t i = 0; i < 40; i++) {
            CU_ASSERT_EQUAL(
                operate(w, (struct entry_node){.operation = NODE_SET, .node = node}, "", "text"),
                KEEL_DONE);
            CU_ASSERT_EQUAL(last.feed, i + 2u); /* one write each */
        }
        CU_ASSERT(world_publish(w, 0, e->next + 50, 20 * SECOND));
        CU_ASSERT_EQUAL(machine_node(w->fake.machine, node)->content_generation, 41);
        CU_ASSERT_EQUAL(
            operate(w, (struct entry_node){.operation = NODE_DELETE, .node = node + 1}, "", ""),
            KEEL_NO_NODE);
        CU_ASSERT(fake_order_ok(&w->fake));
        world_free(w);
    }
}

static void fences(void)
{
    struct world *w = world_new(5);
    struct engine *e = start(w);
    operate(w, (struct entry_node){.operation = NODE_OPEN, .flags = NODE_CREATE}, "/l", "");
    uint64_t node = last.feed, number;
    CU_ASSERT_EQUAL(operate(w,
                            (struct entry_node){.operation = NODE_ACQUIRE,
                                                .mode = LOCK_EXCLUSIVE,
                                                .node = node,
                                                .wait_ms = NODE_WAIT_ENDLESS},
                            "", ""),
                    KEEL_DONE);
    const struct entry_sequencer good = {
        .node = node, .generation = last.feed, .mode = LOCK_EXCLUSIVE};
    struct entry_sequencer stale = good;
    stale.generation--;
    uint8_t big[KEEL_FENCED_MAX + 1] = {0};
    CU_ASSERT_EQUAL(engine_submit_fenced(e, big, sizeof(big), &good, NULL), KEEL_TOO_LARGE);
    /* In one flush: each packet shows one sequencer, and the order stays. */
    CU_ASSERT_EQUAL(engine_submit_fenced(e, big, sizeof(big) - 1, &good, NULL), KEEL_OK);
    CU_ASSERT_EQUAL(engine_submit_fenced(e, "b", 1, &good, NULL), KEEL_OK);
    CU_ASSERT_EQUAL(engine_submit_fenced(e, "c", 1, &stale, NULL), KEEL_OK);
    CU_ASSERT_EQUAL(engine_submit(e, "d", 1, NULL), KEEL_OK);
    CU_ASSERT_EQUAL(engine_submit_fenced(e, "e", 1, &good, &number), KEEL_OK);
    finish(w, number);
    const struct keel_result *r = &w->client[0].result[w->client[0].results - 5];
    CU_ASSERT_EQUAL(r[0].status, KEEL_SEQUENCED);
    CU_ASSERT_EQUAL(r[1].status, KEEL_SEQUENCED);
    CU_ASSERT_EQUAL(r[2].status, KEEL_STALE_SEQUENCER);
    CU_ASSERT_EQUAL(r[3].status, KEEL_SEQUENCED);
    CU_ASSERT_EQUAL(r[4].status, KEEL_SEQUENCED);
    CU_ASSERT_EQUAL(r[4].feed, r[0].feed + 3);
    world_free(w);
}

static struct keel_event next_event(struct world *w)
{
    struct keel_event event = {0};
    for (uint32_t i = 0; i < 400 && !engine_event(w->client[0].engine, &event); i++)
        world_run(w, SECOND / 20, NULL);
    return event;
}

static void fail_over(void)
{
    struct world *w = world_new(8);
    struct engine *e = start(w);
    CU_ASSERT_EQUAL(next_event(w).kind, KEEL_EVENT_SAFE);
    world_run(w, 10 * SECOND, NULL);
    CU_ASSERT_EQUAL(lease_look(&e->lease, e->now_ns), LEASE_SAFE);
    CU_ASSERT(w->fake.keepalives < 12); /* held, a third of six seconds each */
    /* Nobody leads for longer than the lease: jeopardy; then another does: safe. */
    w->fake.leader = w->fake.named = FAKE_NOBODY;
    CU_ASSERT_EQUAL(next_event(w).kind, KEEL_EVENT_JEOPARDY);
    fake_lead(&w->fake, 2);
    CU_ASSERT_EQUAL(next_event(w).kind, KEEL_EVENT_SAFE);
    struct keel_event event = next_event(w);
    CU_ASSERT_EQUAL(event.kind, KEEL_EVENT_LEADER);
    CU_ASSERT_EQUAL(event.value, 3);
    /* A quick one is noticed while the lease still stands. */
    fake_lead(&w->fake, 0);
    CU_ASSERT_EQUAL(next_event(w).kind, KEEL_EVENT_LEADER);
    CU_ASSERT_EQUAL(lease_look(&e->lease, e->now_ns), LEASE_SAFE);
    /* And one that never ends is the session's end for this client. */
    w->fake.leader = w->fake.named = FAKE_NOBODY;
    CU_ASSERT_EQUAL(next_event(w).kind, KEEL_EVENT_JEOPARDY);
    CU_ASSERT_EQUAL(next_event(w).kind, KEEL_EVENT_EXPIRED);
    CU_ASSERT(e->phase == ENGINE_FAILED && e->error == KEEL_EXPIRED);
    world_free(w);
}

/* The leader dies with a keepalive held: it is missed after a third of the time to live, and
 * whoever is named by the others is asked at once. */
static void finds_the_next_leader(void)
{
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct world *w = world_new(seed);
        struct engine *e = start(w);
        CU_ASSERT_EQUAL(next_event(w).kind, KEEL_EVENT_SAFE);
        world_run(w, 3 * SECOND + seed * 97 * ENGINE_MS, NULL);
        w->fake.member[w->fake.leader].up = false;
        fake_lead(&w->fake, 1 + (uint32_t)seed % 2);
        uint64_t died_ns = w->now_ns;
        CU_ASSERT_EQUAL(next_event(w).kind, KEEL_EVENT_LEADER);
        CU_ASSERT(w->now_ns - died_ns < 2 * SECOND + 500 * ENGINE_MS);
        CU_ASSERT_EQUAL(lease_look(&e->lease, e->now_ns), LEASE_SAFE);
        world_free(w);
    }
}

/* Of a node that others change: in order, none lost, none twice, though packets are. */
static void events_come(void)
{
    struct world *w = world_new(12);
    start(w);
    w->loss = 20;
    w->copies = 30;
    operate(w,
            (struct entry_node){
                .operation = NODE_OPEN, .flags = NODE_CREATE, .events = NODE_EVENTS_ALL},
            "/n", "");
    uint64_t node = last.feed, generation = 1, index = 0;
    CU_ASSERT_EQUAL(next_event(w).kind, KEEL_EVENT_SAFE);
    for (uint32_t i = 0; i < 30; i++) {
        struct {
            struct entry_operator head;
            struct entry_node op;
            char path[2];
        } body = {.head = {.operation = OPERATOR_NODE, .size = sizeof(body.op) + sizeof(body.path)},
                  .op = {.operation = NODE_SET, .path_size = sizeof(body.path)},
                  .path = {'/', 'n'}};
        for (uint32_t k = 0; k <= i % 3; k++) {
            body.head.request[0] = 3 * i + k + 1;
            CU_ASSERT_EQUAL(fake_entry(&w->fake, ENTRY_OPERATOR, 1, &body,
                                       offsetof(typeof(body), path) + sizeof(body.path)),
                            MACHINE_DONE);
        }
        struct keel_event event = next_event(w);
        CU_ASSERT_EQUAL(event.kind, KEEL_EVENT_CONTENT);
        CU_ASSERT_EQUAL(event.node, node);
        CU_ASSERT_EQUAL(event.value, generation + 1 + i % 3); /* it says how many there were */
        CU_ASSERT(event.index > index);
        generation = event.value;
        index = event.index;
    }
    world_free(w);
}

/* Each change of the engine's lease is known before anybody asks, also without a single packet. */
static void only_with_leases(void)
{
    struct world *w = world_new(3);
    struct engine *e = world_started(w, "plain");
    world_run(w, 30 * SECOND, NULL);
    CU_ASSERT_EQUAL(e->lease.state, LEASE_NONE);
    CU_ASSERT_EQUAL(e->event_count, 0);
    CU_ASSERT(e->phase == ENGINE_READY); /* kept alive all the same */
    world_free(w);
}

int main(void)
{
    static const struct unit_test tests[] = {
        {"node operations are done exactly once", operations_are_numbered},
        {"a packet shows one sequencer", fences},
        {"safe, jeopardy, another leader, expired", fail_over},
        {"a dead leader's successor is found within half a time to live", finds_the_next_leader},
        {"events in order, none lost, none twice", events_come},
        {"a session without leases has none", only_with_leases},
        {0}};
    return unit_main("client_engine_lease", tests);
}
