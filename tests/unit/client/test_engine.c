#include "client/engine.h"

#include "tests/unit/client/world.h"
#include "tests/unit/unit.h"

#include <stdio.h>
#include <string.h>

#define SECOND (1000 * ENGINE_MS)

static void opens_and_submits(void)
{
    struct world *w = world_new(1);
    struct engine *e = world_started(w, "gateway-1");
    CU_ASSERT(!e->resumed && e->resumed_last == 0 && e->cluster == FAKE_CLUSTER);
    CU_ASSERT(e->ttl_ms == 6000 && e->window == 64 && e->session == e->epoch);
    CU_ASSERT(world_publish(w, 0, 500, 10 * SECOND));
    CU_ASSERT(world_results_ok(w, 0, 1, 500));
    CU_ASSERT(e->stats.messages_resent == 0 && e->stats.timeouts == 0);
    CU_ASSERT(strcmp(w->client[0].result[0].day, "MONDAY") == 0);
    CU_ASSERT(w->client[0].result[0].round_trip_ns == 2 * w->delay_ns);
    world_free(w);
}

/* Everything submitted before a flush goes out together, as far as a packet holds it. */
static void gathers_into_packets(void)
{
    struct world *w = world_new(2);
    struct engine *e = world_started(w, "batch");
    uint8_t payload[KEEL_PAYLOAD_MAX] = {1};
    for (uint32_t i = 0; i < 64; i++)
        CU_ASSERT(engine_submit(e, payload, 20, NULL) == KEEL_OK);
    CU_ASSERT(engine_submit(e, payload, 20, NULL) == KEEL_AGAIN);
    uint32_t before = w->fake.submits;
    engine_flush(e, w->now_ns);
    world_run(w, 1 * ENGINE_MS, NULL);
    CU_ASSERT_EQUAL(w->fake.submits - before, 2); /* 64 x 22 bytes, 57 fit the first packet */
    CU_ASSERT_EQUAL(e->oldest, 65);
    before = w->fake.submits;
    for (uint32_t i = 0; i < 3; i++)
        CU_ASSERT(engine_submit(e, payload, KEEL_PAYLOAD_MAX, NULL) == KEEL_OK);
    engine_flush(e, w->now_ns);
    world_run(w, 1 * ENGINE_MS, NULL);
    CU_ASSERT_EQUAL(w->fake.submits - before, 3);
    CU_ASSERT(engine_submit(e, payload, 0, NULL) == KEEL_EMPTY);
    CU_ASSERT(engine_submit(e, payload, KEEL_PAYLOAD_MAX + 1, NULL) == KEEL_TOO_LARGE);
    world_free(w);
}

/* A result that the application does not collect keeps its place in the window. */
static void window_counts_uncollected(void)
{
    struct world *w = world_new(3);
    world_start(w, 0, "window", 5, 0, 0);
    world_run(w, 5 * SECOND, world_ready);
    struct engine *e = w->client[0].engine;
    uint8_t byte = 7;
    for (uint32_t i = 0; i < 5; i++)
        CU_ASSERT(engine_submit(e, &byte, 1, NULL) == KEEL_OK);
    CU_ASSERT(engine_submit(e, &byte, 1, NULL) == KEEL_AGAIN);
    w->client[0].holds = true;
    world_run(w, 1 * ENGINE_MS, NULL);
    CU_ASSERT_EQUAL(e->oldest, 6); /* all are answered, none is collected */
    CU_ASSERT(engine_submit(e, &byte, 1, NULL) == KEEL_AGAIN);
    w->client[0].holds = false;
    world_run(w, 1 * ENGINE_MS, NULL);
    CU_ASSERT_EQUAL(w->client[0].results, 5);
    CU_ASSERT(engine_submit(e, &byte, 1, NULL) == KEEL_OK);
    world_free(w);
}

/* Loss, copies and reordering: each number once, in order, with the content submitted. */
static void bad_network(void)
{
    for (uint64_t seed = 1; seed <= 30; seed++) {
        struct world *w = world_new(seed);
        w->loss = rng_below(&w->rng, 31);
        w->copies = rng_below(&w->rng, 51);
        w->shuffle = rng_below(&w->rng, 51);
        struct engine *e = world_started(w, "storm");
        bool done = world_publish(w, 0, 400, 60 * SECOND);
        if (!done || !world_results_ok(w, 0, 1, 400) || !fake_order_ok(&w->fake) ||
            e->stats.answered != 400 || e->stats.sequenced != 400) {
            printf("# seed %llu: %llu answered of %llu\n", (unsigned long long)seed,
                   (unsigned long long)e->oldest - 1, (unsigned long long)e->next - 1);
            CU_FAIL("a bad network");
        }
        world_free(w);
    }
}

/* The leader dies and another one is elected; the old one comes back later as a follower. */
static void leader_changes(void)
{
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct world *w = world_new(seed);
        w->loss = (uint32_t)seed % 3 * 5;
        struct engine *e = world_started(w, "failover");
        uint64_t last = 0;
        for (uint32_t round = 0; round < 6; round++) {
            last += 100;
            uint32_t old = w->fake.leader, next = (old + 1 + rng_below(&w->rng, 2)) % FAKE_MEMBERS;
            world_publish(w, 0, last, ENGINE_MS);
            w->fake.member[old].up = false;
            w->fake.leader = FAKE_NOBODY; /* followers still name the dead one */
            world_publish(w, 0, last, (20 + rng_below(&w->rng, 400)) * ENGINE_MS);
            fake_lead(&w->fake, next);
            CU_ASSERT(world_publish(w, 0, last, 2 * SECOND));
            fake_restart(&w->fake, old);
            world_publish(w, 0, last + 1, (uint64_t)rng_below(&w->rng, 3) * SECOND);
            last++;
        }
        CU_ASSERT(world_publish(w, 0, last, 5 * SECOND));
        CU_ASSERT(world_results_ok(w, 0, 1, last));
        CU_ASSERT(fake_order_ok(&w->fake));
        CU_ASSERT(e->stats.leader_changes > 0);
        world_free(w);
    }
}

/* After an election the client finds the leader within a few search rounds, not within a back-off.
 */
static void finds_leader_soon(void)
{
    struct world *w = world_new(5);
    struct engine *e = world_started(w, "soon");
    CU_ASSERT(world_publish(w, 0, 200, SECOND));
    w->fake.member[0].up = false;
    w->fake.leader = FAKE_NOBODY;
    CU_ASSERT(!world_publish(w, 0, 210, 150 * ENGINE_MS));
    CU_ASSERT(engine_state(e) == KEEL_SEARCHING);
    fake_lead(&w->fake, 2);
    uint64_t elected_ns = w->now_ns;
    CU_ASSERT(world_publish(w, 0, 210, SECOND));
    CU_ASSERT(w->now_ns - elected_ns <= 2 * ENGINE_SEARCH_MAX);
    CU_ASSERT(engine_state(e) == KEEL_READY && e->target == 2);
    world_free(w);
}

/* Followers that name each other must not make a storm of redirected packets. */
static void redirect_loop_is_bounded(void)
{
    struct world *w = world_new(6);
    struct engine *e = world_started(w, "loop");
    w->fake.leader = FAKE_NOBODY;
    w->fake.circle = true;
    uint64_t before = w->packets_to_members;
    CU_ASSERT(!world_publish(w, 0, 10, SECOND));
    CU_ASSERT(e->stats.redirects > 0);
    CU_ASSERT(w->packets_to_members - before < 600); /* one every 4 ms, pings, a few followed */
    fake_lead(&w->fake, 1);
    CU_ASSERT(world_publish(w, 0, 10, SECOND));
    world_free(w);
}

static void busy_backs_off(void)
{
    struct world *w = world_new(7);
    struct engine *e = world_started(w, "busy");
    w->fake.busy = true;
    CU_ASSERT(!world_publish(w, 0, 50, 2 * SECOND));
    CU_ASSERT(e->stats.busy == w->fake.busy_said || e->stats.busy > 10);
    CU_ASSERT(w->fake.busy_said < 60); /* 1, 2, 4 ... 100 ms, not one a millisecond */
    CU_ASSERT(e->stats.timeouts == 0); /* busy is an answer, not silence */
    w->fake.busy = false;
    CU_ASSERT(world_publish(w, 0, 50, SECOND));
    CU_ASSERT(world_results_ok(w, 0, 1, 50));
    world_free(w);
}

/* A leader that hands over is busy and names its successor: that one is asked next, at once, also
 * by who had backed off before. */
static void follows_the_successor(void)
{
    struct world *w = world_new(41);
    struct engine *e = world_started(w, "successor");
    CU_ASSERT(world_publish(w, 0, 100, SECOND));
    w->fake.busy = true;
    CU_ASSERT(!world_publish(w, 0, 110, 300 * ENGINE_MS)); /* its pauses have grown long */
    w->fake.successor = 3;
    w->fake.named = 0; /* the others name the old one, still: it goes to and fro */
    world_run(w, ENGINE_BUSY_MAX, NULL);
    uint32_t redirected = w->fake.redirected;
    CU_ASSERT(redirected > 0 && redirected < 100);
    fake_lead(&w->fake, 2);
    w->fake.busy = false;
    uint64_t elected_ns = w->now_ns;
    CU_ASSERT(world_publish(w, 0, 110, SECOND));
    CU_ASSERT(w->now_ns - elected_ns <= 20 * ENGINE_MS);
    CU_ASSERT(e->target == 2);
    CU_ASSERT(world_results_ok(w, 0, 1, 110));
    world_free(w);
}

/* A window of packets meets a busy leader: that is one "busy", not one for each packet. */
static void one_busy_for_a_window(void)
{
    struct world *w = world_new(31);
    struct engine *e = world_started(w, "packets");
    uint8_t payload[KEEL_PAYLOAD_MAX] = {1};
    w->fake.busy = true;
    for (uint32_t i = 0; i < 64; i++)
        CU_ASSERT(engine_submit(e, payload, KEEL_PAYLOAD_MAX, NULL) == KEEL_OK);
    engine_flush(e, w->now_ns);
    world_run(w, 100000, NULL);
    CU_ASSERT_EQUAL(w->fake.busy_said, 64);
    CU_ASSERT_EQUAL(e->stats.busy, 1);
    /* What a deposed leader says does not hold the session up: the term of the new one is known. */
    fake_lead(&w->fake, 1);
    w->fake.busy = false;
    world_run(w, SECOND, NULL);
    CU_ASSERT_EQUAL(e->oldest, 65);
    world_free(w);
}

/* A whole window is lost: the first packet is repeated, and with its answer all the others. */
static void window_is_repeated_at_once(void)
{
    struct world *w = world_new(32);
    struct engine *e = world_started(w, "lost");
    CU_ASSERT(world_publish(w, 0, 50, SECOND)); /* a round trip is known */
    uint8_t payload[KEEL_PAYLOAD_MAX] = {1};
    w->fake.deaf = true;
    for (uint32_t i = 0; i < 20; i++)
        CU_ASSERT(engine_submit(e, payload, KEEL_PAYLOAD_MAX, NULL) == KEEL_OK);
    engine_flush(e, w->now_ns);
    world_run(w, ENGINE_MS, NULL);
    w->fake.deaf = false;
    uint32_t before = w->fake.submits;
    world_run(w, 3 * ENGINE_MS, NULL);
    CU_ASSERT_EQUAL(e->oldest, 71);
    CU_ASSERT_EQUAL(w->fake.submits - before, 20);
    CU_ASSERT_EQUAL(e->stats.timeouts, 1);
    world_free(w);
}

/* The leader's process restarts at once and leads on: its associations are gone. */
static void replica_restarts(void)
{
    struct world *w = world_new(8);
    struct engine *e = world_started(w, "restart");
    CU_ASSERT(world_publish(w, 0, 20, SECOND));
    uint64_t begun = e->stats.handshakes_begun;
    world_run(w, SECOND, NULL);
    for (uint32_t i = 0; i < FAKE_MEMBERS; i++)
        fake_restart(&w->fake, i);
    CU_ASSERT(world_publish(w, 0, 60, 3 * SECOND));
    CU_ASSERT(e->stats.handshakes_begun > begun);
    CU_ASSERT(world_results_ok(w, 0, 1, 60));
    world_free(w);
}

/* A follower that restarts is noticed while nothing needs it, so that it is there when it leads. */
static void keeps_associations_warm(void)
{
    struct world *w = world_new(9);
    world_started(w, "warm");
    fake_restart(&w->fake, 2);
    world_run(w, 4 * SECOND, NULL);
    CU_ASSERT(auth_peer(w->fake.member[2].auth, FAKE_PRINCIPAL) != NULL);
    world_free(w);
}

/* Every answer has one bit changed: none is believed, and afterwards all is as if nothing had come.
 */
static void forged_answers_change_nothing(void)
{
    struct world *w = world_new(23);
    struct engine *e = world_started(w, "forged");
    CU_ASSERT(world_publish(w, 0, 10, SECOND));
    w->flip = true;
    uint64_t rejected = e->stats.rejected;
    CU_ASSERT(!world_publish(w, 0, 40, 300 * ENGINE_MS));
    CU_ASSERT_EQUAL(e->oldest, 11);
    CU_ASSERT(w->corrupted > 20);
    CU_ASSERT(e->stats.rejected - rejected >= w->corrupted - 8); /* some are still on their way */
    w->flip = false;
    CU_ASSERT(world_publish(w, 0, 40, 5 * SECOND));
    CU_ASSERT(world_results_ok(w, 0, 1, 40));
    world_free(w);
}

static void garbage_is_counted(void)
{
    struct world *w = world_new(24);
    struct engine *e = world_started(w, "garbage");
    uint64_t rejected = e->stats.rejected;
    uint8_t bytes[KEEL_DATAGRAM_MAX];
    for (uint32_t i = 0; i < 2000; i++) {
        size_t size = rng_below(&w->rng, sizeof(bytes) + 1);
        rng_bytes(&w->rng, bytes, size);
        if (size > 2 && i % 2 == 0) {
            bytes[0] = PACKET_MAGIC;
            bytes[1] = PACKET_VERSION;
            bytes[2] = (uint8_t)rng_below(&w->rng, 52);
        }
        engine_receive(e, WORLD_MEMBER_IP + i % 4, WORLD_MEMBER_PORT, bytes, size, w->now_ns);
    }
    CU_ASSERT_EQUAL(e->stats.rejected - rejected, 2000);
    CU_ASSERT(world_publish(w, 0, 10, SECOND));
    world_free(w);
}

static void seal_and_give(struct world *w, uint8_t kind, uint8_t *packet, size_t body_size)
{
    struct fake_member *m = &w->fake.member[0];
    const struct auth_peer *peer = auth_peer(m->auth, FAKE_PRINCIPAL);
    size_t size = auth_seal(m->auth, peer, kind, packet, body_size);
    CU_ASSERT_FATAL(size > 0);
    engine_receive(w->client[0].engine, WORLD_MEMBER_IP, WORLD_MEMBER_PORT, packet, size,
                   w->now_ns);
    engine_tick(w->client[0].engine, w->now_ns);
    struct keel_result result;
    while (!w->client[0].holds && engine_result(w->client[0].engine, &result)) {
    }
}

/* A body of the right form with fields at random, some of them those that the session waits for. */
static size_t draw_body(struct world *w, uint8_t kind, uint8_t *body)
{
    const struct engine *e = w->client[0].engine;
    size_t size = rng_below(&w->rng, KEEL_BODY_MAX + 1);
    rng_bytes(&w->rng, body, size);
    uint32_t runs = rng_below(&w->rng, 43);
    if (kind == PACKET_RESULT && runs < 42) {
        struct packet_result head = {.session = e->session,
                                     .epoch = e->epoch + rng_below(&w->rng, 2),
                                     .last = rng_next(&w->rng) >> rng_below(&w->rng, 64),
                                     .run_count = (uint16_t)runs,
                                     .leader = rng_below(&w->rng, 9)};
        memcpy(body, &head, sizeof(head));
        for (uint32_t i = 0; i < runs; i++) {
            struct packet_result_run run = {.number = e->oldest + rng_below(&w->rng, 80) - 10,
                                            .feed = rng_next(&w->rng) >> rng_below(&w->rng, 64),
                                            .count = (uint16_t)rng_below(&w->rng, 70),
                                            .status = (uint8_t)rng_below(&w->rng, 32),
                                            .reserved = rng_below(&w->rng, 10) == 0};
            memcpy(body + sizeof(head) + i * sizeof(run), &run, sizeof(run));
        }
        return sizeof(head) + runs * sizeof(struct packet_result_run);
    }
    if (kind == PACKET_SESSION && runs < 42) {
        struct packet_session head = {.request = e->request,
                                      .session = e->session + rng_below(&w->rng, 2),
                                      .epoch = e->epoch + rng_below(&w->rng, 2),
                                      .last = rng_next(&w->rng) >> rng_below(&w->rng, 64),
                                      .status = (uint8_t)rng_below(&w->rng, 32),
                                      .answers = (uint8_t)(PACKET_OPEN + rng_below(&w->rng, 4)),
                                      .window = (uint16_t)rng_next(&w->rng),
                                      .ttl_ms = (uint32_t)rng_next(&w->rng),
                                      .first = rng_next(&w->rng) >> rng_below(&w->rng, 64),
                                      .run_count = (uint16_t)runs};
        memcpy(body, &head, sizeof(head));
        return sizeof(head) + runs * sizeof(struct packet_kept_run);
    }
    return kind == PACKET_REDIRECT && runs > 5 ? sizeof(struct packet_redirect) : size;
}

/* A number has one result: what is said of it later, while an earlier number is still waited for,
 * changes nothing. */
static void first_word_counts(void)
{
    struct world *w = world_new(34);
    struct engine *e = world_started(w, "first-word");
    uint8_t packet[KEEL_DATAGRAM_MAX], byte = 1;
    w->fake.deaf = true;
    w->client[0].holds = true;
    for (uint32_t i = 0; i < 2; i++)
        CU_ASSERT(engine_submit(e, &byte, 1, NULL) == KEEL_OK);
    engine_flush(e, w->now_ns);
    const uint64_t number[] = {2, 2, 1}, feed[] = {70, 71, 69};
    for (uint32_t i = 0; i < 3; i++) {
        const struct packet_result head = {
            .session = e->session, .epoch = e->epoch, .last = 2, .run_count = 1, .leader = 1};
        const struct packet_result_run run = {.number = number[i], .feed = feed[i], .count = 1};
        memcpy(packet + KEEL_PACKET_HEAD_SIZE, &head, sizeof(head));
        memcpy(packet + KEEL_PACKET_HEAD_SIZE + sizeof(head), &run, sizeof(run));
        seal_and_give(w, PACKET_RESULT, packet, sizeof(head) + sizeof(run));
        CU_ASSERT_EQUAL(e->oldest, i < 2 ? 1 : 3);
    }
    CU_ASSERT_EQUAL(e->stats.answered, 2);
    struct keel_result result;
    CU_ASSERT(engine_result(e, &result) && result.number == 1 && result.feed == 69);
    CU_ASSERT(engine_result(e, &result) && result.number == 2 && result.feed == 70);
    world_free(w);
}

static void answer(struct world *w, struct packet_session said)
{
    uint8_t packet[KEEL_DATAGRAM_MAX];
    memcpy(packet + KEEL_PACKET_HEAD_SIZE, &said, sizeof(said));
    seal_and_give(w, PACKET_SESSION, packet, sizeof(said));
}

/* H16: answers go to a principal's newest association, whichever process asked. Requests of another
 * process have other numbers; and the end of another session of this principal ends none here. */
static void answers_to_others(void)
{
    struct world *w = world_new(36);
    world_start(w, 0, "others", 16, 0, 0);
    w->fake.deaf = true;
    world_run(w, SECOND, NULL);
    struct engine *e = w->client[0].engine;
    CU_ASSERT_EQUAL_FATAL(e->phase, ENGINE_OPEN);
    for (uint64_t request = 1; request < 100; request++)
        answer(w, (struct packet_session){.request = request,
                                          .answers = PACKET_OPEN,
                                          .session = 5,
                                          .epoch = 5,
                                          .window = 16,
                                          .leader = 1});
    CU_ASSERT_EQUAL(e->phase, ENGINE_OPEN);
    w->fake.deaf = false;
    world_run(w, 5 * SECOND, world_ready);
    CU_ASSERT_EQUAL_FATAL(e->phase, ENGINE_READY);
    w->fake.deaf = true;
    engine_end(e, w->now_ns);
    world_run(w, SECOND / 10, NULL);
    CU_ASSERT_EQUAL_FATAL(e->phase, ENGINE_END);
    struct packet_session end = {
        .request = e->request, .answers = PACKET_END, .session = e->session + 1, .leader = 1};
    answer(w, end);
    CU_ASSERT_EQUAL(e->phase, ENGINE_END);
    end.session = e->session;
    answer(w, end);
    CU_ASSERT_EQUAL(e->phase, ENGINE_CLOSED);
    world_free(w);
}

/* A member that is authentic and wrong: whatever it says, the client stays within its bounds. */
static void authentic_nonsense(void)
{
    for (uint64_t seed = 1; seed <= 60; seed++) {
        struct world *w = world_new(seed);
        struct engine *e = world_started(w, "nonsense");
        for (uint32_t i = 0; i < 200 && e->phase != ENGINE_FAILED; i++) {
            uint8_t packet[KEEL_DATAGRAM_MAX], payload[KEEL_PAYLOAD_MAX] = {1};
            uint8_t kind = (uint8_t)(PACKET_RESULT + rng_below(&w->rng, 3));
            for (uint32_t n = rng_below(&w->rng, 9); n > 0; n--)
                engine_submit(e, payload, 1 + rng_below(&w->rng, 100), NULL);
            engine_flush(e, w->now_ns);
            if (rng_below(&w->rng, 20) == 0)
                engine_keepalive(e);
            seal_and_give(w, kind, packet, draw_body(w, kind, packet + KEEL_PACKET_HEAD_SIZE));
            CU_ASSERT_FATAL(e->given < e->oldest && e->oldest <= e->unsent && e->unsent <= e->next);
            CU_ASSERT_FATAL(e->next - e->given - 1 <= e->window);
        }
        CU_ASSERT(e->phase != ENGINE_FAILED || e->problem[0] != 0);
        world_free(w);
    }
}

/* The same seed gives the same run. */
static void same_seed_same_run(void)
{
    uint64_t packets[2], now_ns[2];
    for (uint32_t i = 0; i < 2; i++) {
        struct world *w = world_new(4242);
        w->loss = 20;
        w->shuffle = 40;
        world_started(w, "again");
        world_publish(w, 0, 300, 20 * SECOND);
        packets[i] = w->packets_to_members;
        now_ns[i] = w->now_ns;
        world_free(w);
    }
    CU_ASSERT(packets[0] == packets[1] && now_ns[0] == now_ns[1]);
}

int main(void)
{
    static const struct unit_test tests[] = {
        {"opens a session and gets results in order", opens_and_submits},
        {"gathers what is submitted into few packets", gathers_into_packets},
        {"counts uncollected results in the window", window_counts_uncollected},
        {"keeps order and content on a bad network, 30 seeds", bad_network},
        {"goes on when the leader changes, 20 seeds", leader_changes},
        {"finds a new leader soon", finds_leader_soon},
        {"does not storm when redirected in a circle", redirect_loop_is_bounded},
        {"backs off while busy", busy_backs_off},
        {"takes a window's busy answers for one", one_busy_for_a_window},
        {"follows whom a busy leader names", follows_the_successor},
        {"repeats a lost window at once", window_is_repeated_at_once},
        {"makes new associations when replicas restart", replica_restarts},
        {"keeps associations warm", keeps_associations_warm},
        {"believes no forged answer", forged_answers_change_nothing},
        {"counts garbage", garbage_is_counted},
        {"believes the first word on a number", first_word_counts},
        {"H16: answers to others", answers_to_others},
        {"stays within its bounds whatever a member says, 60 seeds", authentic_nonsense},
        {"runs alike from the same seed", same_seed_same_run},
        {0},
    };
    return unit_main("engine", tests);
}
