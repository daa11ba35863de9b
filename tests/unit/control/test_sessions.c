/* Keepalives and expiry. The session's owner is a replica's principal, since no client takes part:
 * what is looked at are the notices that seq would bring and the commands that it would get.
 */
#include "tests/unit/control/bench.h"
#include "tests/unit/unit.h"

#include <stdlib.h>
#include <string.h>

enum { TTL_MS = 2000, TTL_MAX_MS = 3000 };

struct case_ {
    struct bench *b;
    uint32_t leader;
    uint64_t session, epoch;
};

static uint64_t open_session(struct bench *b, uint32_t leader, const char *name)
{
    struct entry_session_open open = {.process = 77, .ttl_ms = TTL_MS, .window = 8};
    memcpy(open.name, name, strlen(name));
    struct control_reply reply = bench_ask(b, leader, ENTRY_SESSION_OPEN, &open, sizeof(open));
    CU_ASSERT_EQUAL(reply.result, CONTROL_APPLIED);
    CU_ASSERT_EQUAL(reply.status, MACHINE_SEQUENCED);
    return reply.index;
}

static struct case_ begin(uint32_t nodes)
{
    struct case_ c = {.b = bench_new(nodes)};
    for (uint32_t id = 1; id <= nodes; id++)
        CU_ASSERT_EQUAL_FATAL(bench_start(c.b, id), STARTUP_OK);
    c.leader = bench_settle(c.b);
    CU_ASSERT_NOT_EQUAL_FATAL(c.leader, 0);
    c.session = c.epoch = open_session(c.b, c.leader, "gateway");
    return c;
}

/* The answer among control's commands; true if there is one, with *out. */
static bool collect(struct case_ *c, uint32_t node, uint32_t principal, struct packet_lease *out)
{
    struct replica *r = c->b->node[node].start.replica;
    bool answered = false;
    for (const struct command *k; (k = spsc_peek(&r->commands)) != NULL; spsc_drop(&r->commands)) {
        if (k->kind != COMMAND_ANSWER || k->packet_kind != PACKET_LEASE)
            continue;
        CU_ASSERT_EQUAL(k->size, sizeof(*out));
        CU_ASSERT_EQUAL(k->principal, principal);
        memcpy(out, k->u.bytes, sizeof(*out));
        answered = true;
    }
    return answered;
}

/* One keepalive handed to control; true if it answered, with *out. Commands to seq are not taken
 * meanwhile, so that the answer can be looked at. */
static bool keepalive(struct case_ *c, uint32_t node, uint32_t principal,
                      const struct packet_keepalive *asked, struct packet_lease *out)
{
    struct replica *r = c->b->node[node].start.replica;
    struct notice *notice = spsc_reserve(&r->notices);
    memset(notice, 0, sizeof(*notice));
    notice->kind = NOTICE_KEEPALIVE;
    notice->u.keepalive.principal = principal;
    notice->u.keepalive.body = *asked;
    spsc_push(&r->notices);
    control_turn(c->b->node[node].start.control, c->b->now_ns);
    return collect(c, node, principal, out);
}

static void h21_exactly_that_copy_is_answered(void)
{
    /* H21: two copies under way; the client counts from the sending of the one that was answered.
     */
    struct case_ c = begin(1);
    struct packet_lease out;
    struct packet_keepalive asked = {.session = c.session, .epoch = c.epoch, .request = 41};
    CU_ASSERT_TRUE_FATAL(keepalive(&c, 1, 1, &asked, &out));
    CU_ASSERT_EQUAL(out.request, 41);
    CU_ASSERT_EQUAL(out.status, MACHINE_SEQUENCED);
    CU_ASSERT_EQUAL(out.ttl_ms, TTL_MS);
    CU_ASSERT_EQUAL(out.term, bench_status(c.b, 1).term);
    CU_ASSERT_EQUAL(out.rho_ppm, c.b->genesis.rho_ppm);
    /* With nothing to tell the next is held; a newer one says that an answer was lost, and is
     * answered at once; copies of what came before are nothing. */
    asked.request = 42;
    CU_ASSERT_FALSE(keepalive(&c, 1, 1, &asked, &out));
    asked.request = 43;
    CU_ASSERT_TRUE_FATAL(keepalive(&c, 1, 1, &asked, &out));
    CU_ASSERT_EQUAL(out.request, 43);
    CU_ASSERT_FALSE(keepalive(&c, 1, 1, &asked, &out));
    asked.request = 42;
    CU_ASSERT_FALSE(keepalive(&c, 1, 1, &asked, &out));
    CU_ASSERT_EQUAL(bench_control(c.b, 1).keepalives_held, 0);
    /* A third of the time to live, else. */
    uint64_t began = c.b->now_ns;
    asked.request = 44;
    bool answered = keepalive(&c, 1, 1, &asked, &out);
    for (uint32_t ms = 0; !answered && ms < TTL_MS; ms += 5) {
        c.b->now_ns += 5000000;
        control_turn(c.b->node[1].start.control, c.b->now_ns);
        answered = collect(&c, 1, 1, &out);
    }
    CU_ASSERT_TRUE_FATAL(answered);
    CU_ASSERT_EQUAL(out.request, 44);
    CU_ASSERT_TRUE(c.b->now_ns - began >= TTL_MS * 1000000ull / 3);
    CU_ASSERT_TRUE(c.b->now_ns - began <= TTL_MS * 1000000ull / 3 + 40000000);
    bench_free(c.b);
}

static void h17_another_principal_learns_nothing(void)
{
    struct case_ c = begin(1);
    struct packet_keepalive asked = {.session = c.session, .epoch = c.epoch, .request = 1};
    struct packet_lease out;
    CU_ASSERT_TRUE_FATAL(keepalive(&c, 1, 100, &asked, &out));
    CU_ASSERT_EQUAL(out.status, MACHINE_NOT_OWNER);
    CU_ASSERT_EQUAL(out.ttl_ms, 0);
    CU_ASSERT_EQUAL(out.event_count, 0);
    bench_free(c.b);
}

static void each_other_case_has_its_word(void)
{
    struct case_ c = begin(1);
    struct packet_lease out;
    struct packet_keepalive asked = {.session = 2, .epoch = 2, .request = 1};
    CU_ASSERT_TRUE_FATAL(keepalive(&c, 1, 1, &asked, &out));
    CU_ASSERT_EQUAL(out.status, MACHINE_UNKNOWN);
    asked = (struct packet_keepalive){.session = c.session, .epoch = c.epoch - 1};
    CU_ASSERT_TRUE_FATAL(keepalive(&c, 1, 1, &asked, &out));
    CU_ASSERT_EQUAL(out.status, MACHINE_EPOCH);
    CU_ASSERT_EQUAL(out.epoch, c.epoch);
    /* what stands in entries that this side has not read is no reason for a word */
    asked = (struct packet_keepalive){.session = c.session + 1000, .epoch = c.session + 1000};
    CU_ASSERT_FALSE(keepalive(&c, 1, 1, &asked, &out));
    asked = (struct packet_keepalive){.session = c.session, .epoch = c.epoch + 1000};
    CU_ASSERT_FALSE(keepalive(&c, 1, 1, &asked, &out));
    struct entry_session_end end = {
        .session = c.session, .epoch = c.epoch, .reason = SESSION_END_KILLED};
    bench_ask(c.b, 1, ENTRY_SESSION_END, &end, sizeof(end));
    asked = (struct packet_keepalive){.session = c.session, .epoch = c.epoch};
    CU_ASSERT_TRUE_FATAL(keepalive(&c, 1, 1, &asked, &out));
    CU_ASSERT_EQUAL(out.status, MACHINE_SESSION_ENDED);
    bench_free(c.b);
}

static void only_a_leader_with_a_quorum_answers(void)
{
    struct case_ c = begin(3);
    struct packet_lease out;
    struct packet_keepalive asked = {.session = c.session, .epoch = c.epoch, .request = 1};
    bench_run(c.b, 100);
    CU_ASSERT_TRUE(keepalive(&c, c.leader, c.leader, &asked, &out));
    CU_ASSERT_FALSE(keepalive(&c, c.leader % 3 + 1, c.leader, &asked, &out));
    /* cut off, it still believes to lead for a while, and must not answer once a rival is possible
     */
    c.b->node[c.leader].cut = true;
    uint32_t ms = 0;
    for (; ms < c.b->genesis.election_min_ms; ms += 5)
        bench_run(c.b, 5);
    CU_ASSERT_FALSE(keepalive(&c, c.leader, c.leader, &asked, &out));
    bench_free(c.b);
}

static bool alive(struct case_ *c, uint32_t node)
{
    const struct machine_session *s =
        machine_session(control_machine(c->b->node[node].start.control), c->session);
    return s != NULL && s->ended_log_ns == 0;
}

static struct case_ begin_expiry(uint32_t nodes)
{
    struct case_ c = {.b = bench_new(nodes)};
    /* the same record on every drive, with a shorter longest TTL */
    c.b->genesis.ttl_max_ms = TTL_MAX_MS;
    bench_install(c.b);
    for (uint32_t id = 1; id <= nodes; id++)
        CU_ASSERT_EQUAL_FATAL(bench_start(c.b, id), STARTUP_OK);
    c.leader = bench_settle(c.b);
    c.session = c.epoch = open_session(c.b, c.leader, "gateway");
    return c;
}

static void silence_expires_not_before_its_time(void)
{
    struct case_ c = begin_expiry(1);
    uint64_t began = c.b->now_ns;
    while (alive(&c, 1) && c.b->now_ns < began + 20000000000ull) /* bound: 20 s of the clock */
        bench_run(c.b, 5);
    uint64_t took_ms = (c.b->now_ns - began) / 1000000;
    CU_ASSERT_FALSE(alive(&c, 1));
    CU_ASSERT_TRUE(took_ms >= TTL_MS);
    CU_ASSERT_TRUE(took_ms <= TTL_MAX_MS + 1000);
    const struct machine_session *s =
        machine_session(control_machine(c.b->node[1].start.control), c.session);
    CU_ASSERT_EQUAL(s->end_reason, SESSION_END_EXPIRED);
    CU_ASSERT_EQUAL(bench_control(c.b, 1).expiries_proposed, 1);
    bench_free(c.b);
}

static void a_session_that_speaks_does_not_expire(void)
{
    struct case_ c = begin_expiry(1);
    struct packet_lease out;
    for (uint64_t i = 0; i < 20; i++) {
        struct packet_keepalive asked = {.session = c.session, .epoch = c.epoch, .request = i + 1};
        CU_ASSERT_TRUE(keepalive(&c, 1, 1, &asked, &out));
        bench_run(c.b, TTL_MS / 2);
    }
    CU_ASSERT_TRUE(alive(&c, 1));
    CU_ASSERT_EQUAL(bench_control(c.b, 1).expiries_proposed, 0);
    bench_free(c.b);
}

static void keepalives_wait_for_an_expiry_under_way(void)
{
    /* Proposed and not decided: an answer now would promise a life that the log may already have
     * ended. */
    struct case_ c = begin_expiry(3);
    uint32_t id = c.leader;
    for (uint32_t ms = 0; bench_control(c.b, id).expiries_proposed == 0 && ms < 5000; ms++) {
        bench_run(c.b, 1);
        if (ms % 10 == 0)
            CU_ASSERT_EQUAL_FATAL(bench_status(c.b, id).role, RAFT_LEADER);
    }
    CU_ASSERT_EQUAL_FATAL(bench_control(c.b, id).expiries_proposed, 1);
    struct packet_keepalive asked = {.session = c.session, .epoch = c.epoch, .request = 9};
    struct packet_lease out;
    if (alive(&c, id))
        CU_ASSERT_FALSE(keepalive(&c, id, id, &asked, &out));
    bench_run(c.b, 200);
    CU_ASSERT_FALSE(alive(&c, id));
    CU_ASSERT_TRUE_FATAL(keepalive(&c, id, id, &asked, &out));
    CU_ASSERT_EQUAL(out.status, MACHINE_SESSION_ENDED);
    bench_free(c.b);
}

static void a_new_leader_gives_every_session_its_time(void)
{
    struct case_ c = begin_expiry(3);
    bench_run(c.b, TTL_MS - 200);
    bench_kill(c.b, c.leader);
    uint32_t id = bench_settle(c.b);
    CU_ASSERT_NOT_EQUAL_FATAL(id, 0);
    CU_ASSERT_NOT_EQUAL(id, c.leader);
    uint64_t leads_ns = c.b->now_ns;
    bench_run(c.b, TTL_MAX_MS - 100);
    CU_ASSERT_TRUE(alive(&c, id)); /* long past its TTL, within the new leader's grace */
    CU_ASSERT_EQUAL(bench_control(c.b, id).expiries_proposed, 0);
    while (alive(&c, id) && c.b->now_ns < leads_ns + 20000000000ull) /* bound: 20 s of the clock */
        bench_run(c.b, 10);
    CU_ASSERT_FALSE(alive(&c, id));
    bench_free(c.b);
}

int main(void)
{
    static const struct unit_test tests[] = {
        {"H21: exactly that copy is answered", h21_exactly_that_copy_is_answered},
        {"H17: another principal learns nothing", h17_another_principal_learns_nothing},
        {"unknown, old epoch, not read yet, ended", each_other_case_has_its_word},
        {"only a leader in contact with a quorum answers", only_a_leader_with_a_quorum_answers},
        {"silence expires a session, not before its time", silence_expires_not_before_its_time},
        {"a session that speaks does not expire", a_session_that_speaks_does_not_expire},
        {"keepalives wait for an expiry under way", keepalives_wait_for_an_expiry_under_way},
        {"a new leader gives every session TTL_max", a_new_leader_gives_every_session_its_time},
        {0}};
    return unit_main("sessions", tests);
}
