/* Several lives of a session, several sessions of a principal, several principals: what one says is
 * no word about another's (H15, H16, H17). On real replicas.
 */
#include "tests/unit/dataplane/gateway.h"
#include "tests/unit/unit.h"

#include <string.h>

static void h15_the_epoch_changes_when_the_resume_is_appended(void)
{
    /* H15: the resume is appended; then comes the older process's message. It must consume nothing,
     * so that the new life's number 3 is free. */
    struct gateway *g = gateway_opened(3);
    gateway_submit(g, 1, 2, 0, 0);
    gateway_run(g, 20);
    gateway_forget(g);
    uint64_t old = g->epoch;
    uint64_t request = gateway_ask(g, PACKET_RESUME, "gateway", 78, old);
    gateway_submit(g, 3, 1, 0, 1); /* the older epoch */
    CU_ASSERT_EQUAL(g->leader->metrics.appended_messages, 2);
    gateway_run(g, 20);
    CU_ASSERT_EQUAL(gateway_status(g, 3), MACHINE_EPOCH);
    const struct packet_session *resumed = gateway_session(g, request);
    CU_ASSERT_PTR_NOT_NULL_FATAL(resumed);
    CU_ASSERT_EQUAL(resumed->status, MACHINE_SEQUENCED);
    CU_ASSERT_EQUAL(resumed->session, g->session);
    CU_ASSERT_EQUAL(resumed->last, 2);
    CU_ASSERT_TRUE(resumed->epoch > old);
    g->epoch = resumed->epoch;
    gateway_forget(g);
    gateway_submit(g, 3, 1, 0, 2);
    gateway_run(g, 20);
    CU_ASSERT_EQUAL(gateway_status(g, 3), MACHINE_SEQUENCED);
    CU_ASSERT_EQUAL(gateway_feed(g, 3), 3);
    gateway_free(g);
}

static void h15_a_refused_resume_gives_the_epoch_back(void)
{
    /* H15, H16: two resumes of one epoch cross; the second is refused at its place in the order,
     * and the first one's life goes on. */
    struct gateway *g = gateway_opened(3);
    uint64_t first = gateway_ask(g, PACKET_RESUME, "gateway", 78, g->epoch);
    uint64_t second = gateway_ask(g, PACKET_RESUME, "gateway", 79, g->epoch);
    gateway_run(g, 20);
    const struct packet_session *won = gateway_session(g, first);
    const struct packet_session *lost = gateway_session(g, second);
    CU_ASSERT_FATAL(won != NULL && lost != NULL);
    CU_ASSERT_EQUAL(won->status, MACHINE_SEQUENCED);
    CU_ASSERT_EQUAL(lost->status, MACHINE_EPOCH);
    CU_ASSERT_EQUAL(lost->epoch, won->epoch); /* what a resume must replace now */
    g->epoch = won->epoch;
    gateway_submit(g, 1, 1, 0, 0);
    gateway_run(g, 20);
    CU_ASSERT_EQUAL(gateway_status(g, 1), MACHINE_SEQUENCED);
    /* one that replaces an epoch that never was shuts nobody out, not even for a moment */
    gateway_ask(g, PACKET_RESUME, "gateway", 80, g->epoch + 1000);
    gateway_submit(g, 2, 1, 0, 0);
    gateway_run(g, 20);
    CU_ASSERT_EQUAL(gateway_status(g, 2), MACHINE_SEQUENCED);
    gateway_free(g);
}

static void h15_a_resume_behind_an_end_gives_the_epoch_back(void)
{
    /* H15: an end and a resume are appended in this order; the resume is refused when it is
     * applied, and the overlay says again what the machine says. */
    struct gateway *g = gateway_opened(3);
    struct packet_session_end end = {.session = g->session, .epoch = g->epoch, .request = 900};
    gateway_say(g, PACKET_END, &end, sizeof(end));
    uint64_t request = gateway_ask(g, PACKET_RESUME, "gateway", 78, g->epoch);
    const struct machine_session *session = machine_session(g->leader->machine, g->session);
    uint32_t slot = machine_slot(g->leader->machine, session);
    CU_ASSERT_NOT_EQUAL(g->leader->intake->slot[slot].epoch, g->epoch);
    gateway_run(g, 20);
    const struct packet_session *answer = gateway_session(g, request);
    CU_ASSERT_PTR_NOT_NULL_FATAL(answer);
    CU_ASSERT_NOT_EQUAL(answer->status, MACHINE_SEQUENCED);
    CU_ASSERT_EQUAL(g->leader->intake->slot[slot].epoch, g->epoch);
    gateway_free(g);
}

static void h16_a_doubled_request_gets_the_same_answer(void)
{
    /* H16: the copy that comes while the first is under way, and the one after, make no new epoch.
     */
    struct gateway *g = gateway_opened(3);
    uint64_t epoch = g->epoch;
    uint64_t a = gateway_ask(g, PACKET_RESUME, "gateway", 78, epoch);
    uint64_t b = gateway_ask(g, PACKET_RESUME, "gateway", 78, epoch);
    gateway_run(g, 20);
    uint64_t c = gateway_ask(g, PACKET_RESUME, "gateway", 78, epoch);
    gateway_run(g, 20);
    CU_ASSERT_PTR_NULL(gateway_session(g, a)); /* the newest copy is answered */
    const struct packet_session *second = gateway_session(g, b), *third = gateway_session(g, c);
    CU_ASSERT_FATAL(second != NULL && third != NULL);
    CU_ASSERT_EQUAL(second->epoch, third->epoch);
    CU_ASSERT_EQUAL(third->status, MACHINE_SEQUENCED);
    CU_ASSERT_EQUAL(g->leader->intake->pending_count, 0);
    gateway_free(g);
}

static void a_resume_tells_every_result_of_the_window(void)
{
    /* 70 messages, each with a clock stamp of its own, so that none shares a run with another; the
     * gateway loses its memory. All 64 that are kept must come with the answer. */
    struct gateway *g = gateway_new(1);
    g->window = KEEL_SESSION_WINDOW_MAX;
    gateway_open(g, "gateway", 77);
    for (uint64_t n = 1; n <= 70; n++) {
        gateway_submit(g, n, 1, n - 1, 0);
        gateway_run(g, 2);
    }
    CU_ASSERT_EQUAL(g->leader->machine->feed_next, 71);
    gateway_forget(g);
    uint64_t request = gateway_ask(g, PACKET_RESUME, "gateway", 78, g->epoch);
    gateway_run(g, 20);
    const struct packet_session *answer = gateway_session(g, request);
    CU_ASSERT_PTR_NOT_NULL_FATAL(answer);
    CU_ASSERT_EQUAL(answer->last, 70);
    CU_ASSERT_EQUAL(answer->first, 7);
    CU_ASSERT_EQUAL(answer->run_count, KEEL_SESSION_WINDOW_MAX);
    uint64_t utc_ns = 0;
    for (uint64_t n = 7; n <= 70; n++) {
        struct packet_result_run run = gateway_kept(answer, n);
        CU_ASSERT_EQUAL(run.status, MACHINE_SEQUENCED);
        CU_ASSERT_EQUAL(run.feed, n);
        CU_ASSERT_TRUE(run.utc_ns > utc_ns);
        utc_ns = run.utc_ns;
    }
    gateway_free(g);
}

static void h17_only_the_owner_has_a_say(void)
{
    /* H17: another gateway, with a good key of its own, submits into this session, ends it, asks.
     */
    struct gateway *g = gateway_opened(3);
    gateway_submit(g, 1, 1, 0, 0);
    gateway_run(g, 20);
    gateway_as(g, 1);
    gateway_forget(g);
    gateway_submit(g, 2, 1, 0, 5);
    gateway_submit(g, 1, 1, 0, 0); /* the other's kept results are not told either */
    gateway_run(g, 20);
    CU_ASSERT_EQUAL(gateway_status(g, 1), MACHINE_NOT_OWNER);
    CU_ASSERT_EQUAL(gateway_status(g, 2), MACHINE_NOT_OWNER);
    CU_ASSERT_EQUAL(gateway_feed(g, 1), 0);
    struct packet_session_end end = {.session = g->session, .epoch = g->epoch, .request = 900};
    gateway_say(g, PACKET_END, &end, sizeof(end));
    gateway_run(g, 20);
    const struct packet_session *answer = gateway_session(g, 900);
    CU_ASSERT_PTR_NOT_NULL_FATAL(answer);
    CU_ASSERT_EQUAL(answer->status, MACHINE_NOT_OWNER);
    CU_ASSERT_EQUAL(answer->name[0], 0);
    CU_ASSERT_EQUAL(answer->last, 0);
    gateway_as(g, 0);
    gateway_submit(g, 2, 1, 0, 0);
    gateway_run(g, 20);
    CU_ASSERT_EQUAL(gateway_status(g, 2), MACHINE_SEQUENCED); /* nothing was consumed */
    CU_ASSERT_EQUAL(gateway_feed(g, 2), 2);
    gateway_free(g);
}

/* Pitfall 9: a leader that was cut off is asked of a session, and of a session's life, that began
 * under its successor. It does not say that they are none. */
static void what_began_elsewhere_is_not_judged(void)
{
    struct gateway *g = gateway_opened(1);
    const uint64_t session = g->session, epoch = g->epoch;
    const uint64_t ahead = g->leader->machine->applied + 1;
    g->session = ahead;
    gateway_submit(g, 1, 2, 0, 0);
    struct packet_session_end end = {.session = ahead, .epoch = ahead, .request = 900};
    gateway_say(g, PACKET_END, &end, sizeof(end));
    g->session = session;
    g->epoch = ahead;
    gateway_submit(g, 1, 2, 0, 0);
    gateway_run(g, 5);
    CU_ASSERT_PTR_NULL(gateway_result(g, 1));
    CU_ASSERT_PTR_NULL(gateway_session(g, 900));
    CU_ASSERT_EQUAL(g->leader->metrics.drop[DROP_UNSEEN], 3);
    g->epoch = epoch - 1; /* one that was, or never was, is over */
    gateway_submit(g, 1, 2, 0, 0);
    gateway_run(g, 5);
    CU_ASSERT_EQUAL(gateway_status(g, 1), MACHINE_EPOCH);
    CU_ASSERT_EQUAL(g->leader->machine->feed_next, 1);
    gateway_free(g);
}

static void a_life_that_is_over_keeps_nothing_alive(void)
{
    /* The session was resumed and its new owner died; the older process goes on sending. */
    struct gateway *g = gateway_opened(1);
    struct intake_slot *slot = NULL;
    for (uint32_t i = 0; i < g->leader->intake->slots; i++)
        if (g->leader->intake->slot[i].session == g->session)
            slot = &g->leader->intake->slot[i];
    CU_ASSERT_PTR_NULL(slot); /* first used by the first packet */
    gateway_ask(g, PACKET_RESUME, "gateway", 78, g->epoch);
    gateway_run(g, 20);
    for (uint32_t i = 0; i < g->leader->intake->slots; i++)
        if (g->leader->intake->slot[i].session == g->session)
            slot = &g->leader->intake->slot[i];
    CU_ASSERT_PTR_NOT_NULL_FATAL(slot);
    uint64_t heard_ns = slot->heard_ns;
    gateway_run(g, 50);
    gateway_submit(g, 1, 1, 0, 0);
    CU_ASSERT_EQUAL(slot->heard_ns, heard_ns);
    g->epoch = slot->epoch;
    gateway_submit(g, 1, 1, 0, 0);
    CU_ASSERT_TRUE(slot->heard_ns > heard_ns);
    gateway_run(g, 20);
    gateway_free(g);
}

/* Two sessions of one principal end at once; neither was ever resumed. Each gets its own end. */
static void two_ends_are_two(void)
{
    struct gateway *g = gateway_opened(3);
    struct packet_session_end end[2] = {{.session = g->session, .epoch = g->epoch, .request = 901}};
    gateway_open(g, "second", 78);
    end[1] = (struct packet_session_end){.session = g->session, .epoch = g->epoch, .request = 902};
    for (uint32_t i = 0; i < 2; i++)
        gateway_say(g, PACKET_END, &end[i], sizeof(end[i]));
    gateway_run(g, 40);
    for (uint32_t i = 0; i < 2; i++) {
        const struct packet_session *answer = gateway_session(g, end[i].request);
        CU_ASSERT_PTR_NOT_NULL_FATAL(answer);
        CU_ASSERT(answer->status == MACHINE_SEQUENCED && answer->session == end[i].session);
        const struct machine_session *session = machine_session(g->leader->machine, end[i].session);
        CU_ASSERT(session != NULL && session->ended_log_ns != 0);
    }
    gateway_free(g);
}

/* What an older life meant by a number is no word about the newer one's, and is not said as one. */
static void another_lifes_content_is_of_another_epoch(void)
{
    struct gateway *g = gateway_opened(3);
    const uint64_t old = g->epoch;
    uint64_t request = gateway_ask(g, PACKET_RESUME, "gateway", 78, old);
    gateway_run(g, 20);
    g->epoch = gateway_session(g, request)->epoch;
    gateway_submit(g, 1, 1, 0, 5);
    gateway_run(g, 20);
    CU_ASSERT_EQUAL(gateway_status(g, 1), MACHINE_SEQUENCED);
    gateway_forget(g);
    g->epoch = old;
    gateway_submit(g, 1, 1, 0, 9); /* late, and of other bytes */
    gateway_run(g, 5);
    CU_ASSERT_EQUAL(gateway_status(g, 1), MACHINE_EPOCH);
    gateway_forget(g);
    gateway_submit(g, 1, 1, 0, 5); /* the very message: what was decided stays decided */
    gateway_run(g, 5);
    CU_ASSERT_EQUAL(gateway_status(g, 1), MACHINE_SEQUENCED);
    gateway_free(g);
}

int main(void)
{
    static const struct unit_test tests[] = {
        {"H15: the epoch changes when the resume is appended",
         h15_the_epoch_changes_when_the_resume_is_appended},
        {"H15: a refused resume gives the epoch back", h15_a_refused_resume_gives_the_epoch_back},
        {"H15: a resume behind an end gives the epoch back",
         h15_a_resume_behind_an_end_gives_the_epoch_back},
        {"H16: a doubled request gets the same answer", h16_a_doubled_request_gets_the_same_answer},
        {"a resume tells every result of the window", a_resume_tells_every_result_of_the_window},
        {"H17: only the owner has a say", h17_only_the_owner_has_a_say},
        {"what began elsewhere is not judged", what_began_elsewhere_is_not_judged},
        {"a life that is over keeps nothing alive", a_life_that_is_over_keeps_nothing_alive},
        {"two ends are two", two_ends_are_two},
        {"another life's content is of another epoch", another_lifes_content_is_of_another_epoch},
        {0}};
    return unit_main("intake_lives", tests);
}
