/* Intake, on real replicas: what it takes, what it refuses and in which words, and that its overlay
 * never outlives the term that it was made in.
 */
#include "dataplane/loop.h"
#include "tests/unit/dataplane/gateway.h"
#include "tests/unit/unit.h"

#include <string.h>

static void messages_get_numbers(void)
{
    struct gateway *g = gateway_opened(3);
    gateway_submit(g, 1, 3, 0, 0);
    gateway_submit(g, 4, 1, 0, 0);
    gateway_run(g, 20);
    for (uint64_t n = 1; n <= 4; n++) {
        CU_ASSERT_EQUAL(gateway_status(g, n), MACHINE_SEQUENCED);
        CU_ASSERT_EQUAL(gateway_feed(g, n), n);
    }
    CU_ASSERT_EQUAL(g->leader->machine->feed_next, 5);
    gateway_free(g);
}

static void duplicates_get_the_kept_result(void)
{
    struct gateway *g = gateway_opened(3);
    gateway_submit(g, 1, 6, 0, 0);
    gateway_run(g, 20);
    uint64_t last = ring_last_index(g->leader->ring);
    gateway_forget(g);
    gateway_submit(g, 2, 3, 0, 0);
    gateway_run(g, 5);
    CU_ASSERT_EQUAL(gateway_status(g, 1), UINT8_MAX);
    for (uint64_t n = 2; n <= 4; n++) {
        CU_ASSERT_EQUAL(gateway_status(g, n), MACHINE_SEQUENCED);
        CU_ASSERT_EQUAL(gateway_feed(g, n), n);
    }
    CU_ASSERT_EQUAL(ring_last_index(g->leader->ring), last); /* the log did not grow */
    CU_ASSERT_EQUAL(g->leader->metrics.duplicates, 3);
    gateway_free(g);
}

static void another_content_is_a_definite_error(void)
{
    struct gateway *g = gateway_opened(1);
    gateway_submit(g, 1, 3, 0, 0);
    gateway_run(g, 20);
    gateway_forget(g);
    gateway_submit(g, 2, 1, 0, 9);
    gateway_run(g, 5);
    CU_ASSERT_EQUAL(gateway_status(g, 2), MACHINE_DIFFERENT);
    CU_ASSERT_EQUAL(g->leader->machine->feed_next, 4);
    gateway_free(g);
}

static void partial_duplicates_are_cut(void)
{
    /* Of 2..5 the first two are decided, the rest is new: both parts get their word. */
    struct gateway *g = gateway_opened(3);
    gateway_submit(g, 1, 3, 0, 0);
    gateway_run(g, 20);
    gateway_forget(g);
    gateway_submit(g, 2, 4, 0, 0);
    gateway_run(g, 20);
    for (uint64_t n = 2; n <= 5; n++) {
        CU_ASSERT_EQUAL(gateway_status(g, n), MACHINE_SEQUENCED);
        CU_ASSERT_EQUAL(gateway_feed(g, n), n);
    }
    CU_ASSERT_EQUAL(g->leader->machine->feed_next, 6);
    gateway_free(g);
}

static void what_is_under_way_is_not_appended_twice(void)
{
    /* The resend comes before the first copy is applied: not in the log twice, also in part. */
    struct gateway *g = gateway_opened(3);
    gateway_submit(g, 1, 3, 0, 0);
    gateway_submit(g, 1, 3, 0, 0);
    gateway_submit(g, 2, 4, 0, 0);
    CU_ASSERT_EQUAL(g->leader->metrics.drop[DROP_IN_FLIGHT], 3);
    CU_ASSERT_EQUAL(g->leader->metrics.appended_messages, 5);
    gateway_run(g, 20);
    for (uint64_t n = 1; n <= 5; n++)
        CU_ASSERT_EQUAL(gateway_feed(g, n), n);
    CU_ASSERT_EQUAL(g->leader->machine->feed_next, 6);
    gateway_free(g);
}

static void numbers_beyond_the_window_are_refused(void)
{
    struct gateway *g = gateway_opened(1); /* W is 16 */
    gateway_submit(g, 1, 16, 0, 0);
    gateway_run(g, 20);
    gateway_submit(g, 17, 1, 0, 0);
    gateway_run(g, 5);
    CU_ASSERT_EQUAL(gateway_status(g, 17), MACHINE_WINDOW);
    gateway_submit(g, 17, 1, 1, 0);
    gateway_run(g, 20);
    CU_ASSERT_EQUAL(gateway_status(g, 17), MACHINE_SEQUENCED);
    gateway_submit(g, 18, 20, UINT64_MAX,
                   0); /* an acknowledgement of what cannot be wraps nothing */
    gateway_run(g, 20);
    CU_ASSERT_EQUAL(g->leader->machine->feed_next, 18);
    gateway_free(g);
}

static void a_gap_waits_for_the_packet_before(void)
{
    struct gateway *g = gateway_opened(1);
    gateway_submit(g, 3, 1, 0, 0);
    CU_ASSERT_EQUAL(g->leader->metrics.drop[DROP_GAP], 1);
    gateway_submit(g, 1, 2, 0, 0);
    gateway_submit(g, 3, 1, 0, 0);
    gateway_run(g, 20);
    for (uint64_t n = 1; n <= 3; n++)
        CU_ASSERT_EQUAL(gateway_feed(g, n), n);
    gateway_free(g);
}

static void an_unknown_session_is_said_to_be_unknown(void)
{
    struct gateway *g = gateway_opened(1);
    g->session--; /* an index at which no session began */
    gateway_submit(g, 1, 2, 0, 0);
    gateway_run(g, 5);
    CU_ASSERT_EQUAL(gateway_status(g, 2), MACHINE_UNKNOWN);
    gateway_free(g);
}

static void an_ended_session_takes_nothing_and_tells_what_it_knows(void)
{
    struct gateway *g = gateway_opened(3);
    gateway_submit(g, 1, 2, 0, 0);
    struct packet_session_end end = {.session = g->session, .epoch = g->epoch, .request = 900};
    gateway_say(g, PACKET_END, &end, sizeof(end));
    end.request = 901; /* its copy while the first is under way */
    gateway_say(g, PACKET_END, &end, sizeof(end));
    gateway_run(g, 20);
    CU_ASSERT_PTR_NULL(gateway_session(g, 900));
    CU_ASSERT_PTR_NOT_NULL_FATAL(gateway_session(g, 901));
    CU_ASSERT_EQUAL(gateway_session(g, 901)->status, MACHINE_SEQUENCED);
    gateway_forget(g);
    gateway_submit(g, 2, 2, 0, 0);
    gateway_run(g, 20);
    CU_ASSERT_EQUAL(gateway_status(g, 2), MACHINE_SEQUENCED);
    CU_ASSERT_EQUAL(gateway_status(g, 3), MACHINE_SESSION_ENDED);
    CU_ASSERT_EQUAL(g->leader->machine->feed_next, 4); /* two messages and the end */
    gateway_free(g);
}

static void followers_name_the_leader(void)
{
    struct gateway *g = gateway_opened(3);
    struct replica *leader = g->leader;
    g->leader = g->bench->node[g->leader_id % 3 + 1].start.replica;
    gateway_submit(g, 1, 1, 0, 0);
    gateway_run(g, 5);
    const struct packet_redirect *redirect = gateway_redirect(g);
    CU_ASSERT_PTR_NOT_NULL_FATAL(redirect);
    CU_ASSERT_EQUAL(redirect->reason, PACKET_NOT_LEADER);
    CU_ASSERT_EQUAL(redirect->leader, g->leader_id);
    CU_ASSERT_EQUAL(redirect->request, 1);
    CU_ASSERT_EQUAL(g->leader->metrics.appended_messages, 0);
    CU_ASSERT_EQUAL(leader->machine->feed_next, 1);
    gateway_free(g);
}

static void the_overlay_ends_with_its_term(void)
{
    /* Cut off, the leader appends 2..4 that never commit; another leads and takes other messages
     * under those numbers; then the first leads again: its overlay must be the machine's. */
    struct gateway *g = gateway_opened(3);
    gateway_submit(g, 1, 1, 0, 0);
    gateway_run(g, 20);
    uint32_t first = g->leader_id;
    g->bench->node[first].cut = true;
    gateway_submit(g, 2, 3, 0, 1);
    CU_ASSERT_EQUAL(g->leader->metrics.appended_messages, 4);
    gateway_run(g, 1500);
    gateway_find_leader(g);
    CU_ASSERT_NOT_EQUAL_FATAL(g->leader_id, first);
    gateway_forget(g);
    gateway_submit(g, 2, 1, 0, 2);
    gateway_run(g, 50);
    CU_ASSERT_EQUAL(gateway_status(g, 2), MACHINE_SEQUENCED);
    CU_ASSERT_EQUAL(gateway_feed(g, 2), 2);
    g->bench->node[first].cut = false;
    gateway_run(g, 500);
    for (uint32_t round = 0; round < 40 && g->leader_id != first; round++) {
        g->bench->node[g->leader_id].cut = true; /* until the first is elected */
        gateway_run(g, 1000);
        g->bench->node[g->leader_id].cut = false;
        gateway_run(g, 300);
        gateway_find_leader(g);
    }
    CU_ASSERT_EQUAL_FATAL(g->leader_id, first);
    gateway_forget(g);
    gateway_submit(g, 3, 1, 0, 3);
    gateway_run(g, 50);
    CU_ASSERT_EQUAL(gateway_status(g, 3), MACHINE_SEQUENCED);
    CU_ASSERT_EQUAL(gateway_feed(g, 3), 3);
    CU_ASSERT_EQUAL(g->bench->digests_differ, 0);
    gateway_free(g);
}

static void a_new_leader_answers_for_the_old_ones_entries(void)
{
    /* The leader dies with the message committed and not answered: its resend is answered from the
     * kept result, once. */
    struct gateway *g = gateway_opened(3);
    uint32_t dead = g->leader_id;
    gateway_submit(g, 1, 1, 0, 0);
    for (uint32_t turn = 0; turn < 200; turn++)
        bench_run(g->bench, 1);
    bench_kill(g->bench, dead);
    gateway_forget(g);
    gateway_run(g, 1500);
    gateway_find_leader(g);
    gateway_forget(g);
    gateway_submit(g, 1, 2, 0, 0);
    gateway_run(g, 50);
    CU_ASSERT_EQUAL(gateway_feed(g, 1), 1);
    CU_ASSERT_EQUAL(gateway_feed(g, 2), 2);
    CU_ASSERT_EQUAL(g->leader->machine->feed_next, 3);
    gateway_free(g);
}

static void a_leader_that_hands_over_names_its_successor(void)
{
    struct gateway *g = gateway_opened(3);
    struct replica *r = g->leader;
    gateway_submit(g, 1, 1, 0, 0);
    gateway_run(g, 20);
    uint8_t to = (uint8_t)(r->id % 3 + 1);
    g->bench->node[to].cut =
        true; /* the word is lost: the leader is told apart from the successor */
    CU_ASSERT_EQUAL(step_transfer(r, to), RAFT_TRANSFER_TAKEN);
    CU_ASSERT_EQUAL(r->raft.transfer.state, RAFT_TRANSFER_TOLD);
    uint64_t last = ring_last_index(r->ring);
    gateway_forget(g);
    gateway_submit(g, 2, 1, 1, 0);
    gateway_run(g, 2);
    const struct packet_redirect *said = gateway_redirect(g);
    CU_ASSERT_PTR_NOT_NULL_FATAL(said);
    CU_ASSERT_EQUAL(said->reason, PACKET_BUSY);
    CU_ASSERT_EQUAL(said->leader, to);
    CU_ASSERT_EQUAL(said->request, 2);
    CU_ASSERT_EQUAL(ring_last_index(r->ring), last);
    gateway_submit(g, 1, 1, 0, 0); /* what was decided before is answered all the same */
    gateway_run(g, 2);
    CU_ASSERT_PTR_NOT_NULL(gateway_result(g, 1));
    gateway_free(g);
}

static void h8_no_room_is_said_and_counts_as_waiting(void)
{
    /* H8: the window is full because the feed stands still; what was in flight commits. From then
     * on nothing is in the log that waits: each refusal itself must tell raft that something does.
     */
    struct gateway *g = gateway_opened(1);
    struct replica *r = g->leader;
    uint64_t number = 1;
    for (uint32_t i = 0; i < 20000 && r->metrics.drop[DROP_BUSY] == 0; i++) {
        gateway_submit(g, number, 16, number - 1, 0);
        number += 16;
        g->bench->now_ns += 1000;
        loop_turn(r); /* and the drive; the feed takes no turns */
        ring_disk_turn(r->ring);
        ring_aux_turn(r->ring);
        g->bench->outside.head = g->bench->outside.tail;
    }
    CU_ASSERT_FATAL(r->metrics.drop[DROP_BUSY] > 0);
    for (uint32_t i = 0; i < 200; i++) {
        g->bench->now_ns += 1000;
        loop_turn(r);
        ring_disk_turn(r->ring);
    }
    CU_ASSERT_EQUAL_FATAL(r->raft.commit, r->raft.log.last);
    g->bench->outside.head = g->bench->outside.tail = 0;
    uint64_t last = ring_last_index(r->ring);
    uint64_t before = r->metrics.drop[DROP_BUSY];
    gateway_submit(g, r->machine->applied > 0 ? number - 16 : 1, 16, number - 17, 0);
    CU_ASSERT_EQUAL(r->metrics.drop[DROP_BUSY], before + 1);
    CU_ASSERT_EQUAL(ring_last_index(r->ring), last);
    CU_ASSERT_EQUAL(r->raft.waiting, 1);
    CU_ASSERT_NOT_EQUAL(r->raft.no_space_ns, 0);
    gateway_free(g);
}

static void a_flood_of_handshakes_leaves_room_for_keepalives(void)
{
    /* Control takes no turns; anybody on the network sends HELLOs; sessions must not die of it. */
    struct gateway *g = gateway_opened(1);
    struct replica *r = g->leader;
    uint8_t bytes[64] = {PACKET_MAGIC, PACKET_VERSION, PACKET_HELLO};
    struct frame_datagram hello = {.from = {.ip = 0x0a000050, .port = 1},
                                   .to_port = 7400,
                                   .payload = bytes,
                                   .size = sizeof(bytes)};
    uint32_t taken = 0;
    while (taken < 2 * LINK_CONTROL_NOTICES && notice_datagram(r, &hello))
        taken++;
    CU_ASSERT_TRUE(taken > 0 && taken <= LINK_CONTROL_NOTICES / 2);
    CU_ASSERT_EQUAL(r->metrics.drop[DROP_CONTROL_FULL], 1);
    struct packet_keepalive alive = {.session = g->session, .epoch = g->epoch, .request = 900};
    gateway_say(g, PACKET_KEEPALIVE, &alive, sizeof(alive));
    CU_ASSERT_EQUAL(r->metrics.drop[DROP_CONTROL_FULL], 1);
    gateway_run(g, 50);
    const struct packet_lease *answer = gateway_lease(g, 900);
    CU_ASSERT_PTR_NOT_NULL_FATAL(answer);
    CU_ASSERT_EQUAL(answer->status, MACHINE_SEQUENCED);
    gateway_free(g);
}

static void a_malformed_entry_of_its_own_is_not_appended(void)
{
    /* In the log it would stop every follower for good: their decoders refuse the packet. */
    struct gateway *g = gateway_opened(3);
    struct entry_day day = {"  no day ", {0}};
    uint64_t last = ring_last_index(g->leader->ring);
    CU_ASSERT_EQUAL(intake_own(g->leader, ENTRY_DAY_BEGIN, &day, sizeof(day)), 0);
    CU_ASSERT_EQUAL(ring_last_index(g->leader->ring), last);
    CU_ASSERT_EQUAL(intake_own(g->leader, 77, &day, sizeof(day)), 0);
    gateway_run(g, 5);
    gateway_submit(g, 1, 1, 0, 0);
    gateway_run(g, 20);
    CU_ASSERT_EQUAL(gateway_feed(g, 1), 1);
    gateway_free(g);
}

static void nonsense_is_dropped(void)
{
    struct gateway *g = gateway_opened(1);
    _Alignas(8) uint8_t body[KEEL_BODY_MAX] = {0};
    uint64_t last = ring_last_index(g->leader->ring);
    uint64_t dropped = g->leader->metrics.drop[DROP_BODY];
    static const uint8_t kinds[] = {PACKET_SUBMIT, PACKET_OPEN, PACKET_RESUME, PACKET_END,
                                    PACKET_KEEPALIVE};
    uint32_t wrong = 0;
    for (uint32_t k = 0; k < sizeof(kinds); k++)
        for (uint32_t size = 0; size < sizeof(body); size += 1 + size / 3)
            if (size != (kinds[k] == PACKET_KEEPALIVE ? sizeof(struct packet_keepalive)
                                                      : sizeof(struct packet_session_end))) {
                gateway_say(g, kinds[k], body, size);
                wrong++;
            }
    CU_ASSERT_EQUAL(g->leader->metrics.drop[DROP_BODY], dropped + wrong);
    CU_ASSERT_EQUAL(ring_last_index(g->leader->ring), last);
    gateway_free(g);
}

int main(void)
{
    static const struct unit_test tests[] = {
        {"messages get numbers", messages_get_numbers},
        {"duplicates get the kept result", duplicates_get_the_kept_result},
        {"another content is a definite error", another_content_is_a_definite_error},
        {"partial duplicates are cut", partial_duplicates_are_cut},
        {"what is under way is not appended twice", what_is_under_way_is_not_appended_twice},
        {"numbers beyond the window are refused", numbers_beyond_the_window_are_refused},
        {"a gap waits for the packet before", a_gap_waits_for_the_packet_before},
        {"an unknown session is said to be unknown", an_unknown_session_is_said_to_be_unknown},
        {"an ended session takes nothing and tells what it knows",
         an_ended_session_takes_nothing_and_tells_what_it_knows},
        {"followers name the leader", followers_name_the_leader},
        {"the overlay ends with its term", the_overlay_ends_with_its_term},
        {"a new leader answers for the old one's entries",
         a_new_leader_answers_for_the_old_ones_entries},
        {"a leader that hands over names its successor",
         a_leader_that_hands_over_names_its_successor},
        {"H8: no room is said and counts as waiting", h8_no_room_is_said_and_counts_as_waiting},
        {"a flood of handshakes leaves room for keepalives",
         a_flood_of_handshakes_leaves_room_for_keepalives},
        {"a malformed entry of its own is not appended",
         a_malformed_entry_of_its_own_is_not_appended},
        {"nonsense is dropped", nonsense_is_dropped},
        {0}};
    return unit_main("intake", tests);
}
