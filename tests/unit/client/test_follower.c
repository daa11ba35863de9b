#include "client/follower.h"

#include "tests/unit/client/scene.h"
#include "tests/unit/unit.h"

#include <stdio.h>
#include <string.h>

/* --- tests ------------------------------------------------------------------------------------ */

static void one_line_in_order(void)
{
    for (uint32_t framing = KEEL_RAW; framing <= KEEL_ENVELOPE; framing++) {
        struct scene *s = scene_new(1, KEEL_FROM_NEXT, 1, 64, (enum keel_framing)framing);
        CU_ASSERT(follower_state(s->f) == KEEL_FOLLOW_WAITING);
        scene_live(s, 100);
        CU_ASSERT(scene_complete(s));
        CU_ASSERT(s->log_count == 0 && s->f->stats.duplicates == 0);
        CU_ASSERT(s->f->stats.first[0] == s->published[0] - 1);
        scene_free(s);
    }
}

/* Whatever one line loses the other brings: no request is needed for what only one lost. */
static void lines_complete_each_other(void)
{
    struct scene *s = scene_new(2, KEEL_FROM_NEXT, 2, 256, KEEL_RAW);
    scene_publish(s, 5);
    scene_run(s, FOLLOWER_MS);
    for (uint32_t i = 0; i < 200; i++) {
        uint64_t first = s->published[0];
        s->published[0] += 3;
        scene_say(s, i % 2, 0, first, 3); /* each packet on one line only */
        scene_run(s, 100000);
    }
    scene_live(s, 1);
    CU_ASSERT(scene_complete(s));
    CU_ASSERT(s->log_count == 0);
    CU_ASSERT(s->f->stats.first[0] >= 290 && s->f->stats.first[1] >= 290);
    CU_ASSERT(s->f->stats.first_server == 0);
    scene_free(s);
}

static void bad_lines(void)
{
    for (uint64_t seed = 1; seed <= 30; seed++) {
        struct scene *s = scene_new(seed, KEEL_FROM_NEXT, 1 + seed % 2, 32, KEEL_ENVELOPE);
        scene_publish(s, 5);
        scene_run(s, FOLLOWER_MS);
        s->loss = rng_below(&s->rng, 40);
        s->copies = rng_below(&s->rng, 50);
        s->shuffle = rng_below(&s->rng, 60);
        s->dead[0] = seed % 3 == 0;
        scene_live(s, 100);
        scene_run(s, 60 * SECOND);
        scene_live(s, 0);
        if (!scene_complete(s)) {
            printf("# seed %llu: %llu of %llu, wrong %llu, %s\n", (unsigned long long)seed,
                   (unsigned long long)s->expected, (unsigned long long)s->published[0],
                   (unsigned long long)s->wrong, s->f->problem);
            CU_FAIL("bad lines");
        }
        scene_free(s);
    }
}

/* A late joiner reads the day from 1 by requests while the day goes on; room for 16 packets only.
 */
static void backfills_while_live(void)
{
    struct scene *s = scene_new(3, 1, 2, 16, KEEL_RAW);
    s->published[0] = 5001;
    scene_publish(s, 1);
    scene_run(s, 1000000);
    CU_ASSERT(follower_state(s->f) == KEEL_FOLLOW_BACKFILL);
    scene_live(s, 1000);
    scene_run(s, 5 * SECOND);
    scene_live(s, 0);
    CU_ASSERT(scene_complete(s));
    CU_ASSERT(s->f->stats.first_server >= 5000);
    CU_ASSERT(s->f->stats.held_dropped > 0);
    scene_free(s);
}

static void starts_where_it_is_told(void)
{
    struct scene *s = scene_new(4, 250, 1, 64, KEEL_RAW);
    s->published[0] = 101;
    scene_live(s, 200); /* passes 250 */
    CU_ASSERT(scene_complete(s));
    CU_ASSERT(s->f->first == 250 && s->log_count == 0);
    scene_free(s);

    s = scene_new(5, KEEL_FROM_NEXT, 1, 64, KEEL_RAW);
    s->published[0] = 1000;
    scene_heartbeat(s, 0);
    scene_run(s, FOLLOWER_MS);
    scene_live(s, 10);
    CU_ASSERT(scene_complete(s));
    CU_ASSERT(s->f->first == 1000);
    scene_free(s);
}

/* The last message before a pause is lost: a heartbeat tells. */
static void heartbeat_finds_lost_tail(void)
{
    struct scene *s = scene_new(6, KEEL_FROM_NEXT, 1, 64, KEEL_RAW);
    scene_publish(s, 10);
    scene_run(s, FOLLOWER_MS);
    s->published[0] += 4; /* sent on no line */
    CU_ASSERT(s->log_count == 0 && follower_state(s->f) == KEEL_FOLLOW_SYNCHRONIZED);
    scene_heartbeat(s, 0);
    scene_run(s, 1000000);
    CU_ASSERT(follower_state(s->f) == KEEL_FOLLOW_GAP && s->log_count == 0); /* waits 2 ms */
    scene_run(s, 5000000);
    CU_ASSERT(scene_complete(s));
    CU_ASSERT(s->log_count == 1 && s->log[0].first == 11 && s->log[0].count == 4);
    scene_free(s);
}

/* MoldUDP64 manners: the same request goes to the same server at most once a second; servers take
 * turns; no request asks for more than 0xfffe messages. */
static void asks_with_restraint(void)
{
    struct scene *s = scene_new(7, 1, 1, 64, KEEL_RAW);
    s->no_server = true;
    s->published[0] = 200001;
    scene_heartbeat(s, 0);
    scene_run(s, 10 * SECOND);
    CU_ASSERT(s->log_count >= 18 && s->log_count <= 21); /* two servers, 10 s */
    uint64_t last[2] = {0, 0};
    for (uint32_t i = 0; i < s->log_count; i++) {
        const struct asked *a = &s->log[i];
        CU_ASSERT(a->first == 1 && a->count == FOLLOWER_REQUEST_MAX);
        CU_ASSERT(last[a->server] == 0 || a->at_ns - last[a->server] >= SECOND);
        last[a->server] = a->at_ns;
    }
    CU_ASSERT(last[0] != 0 && last[1] != 0);
    CU_ASSERT(s->f->unanswered == s->log_count);
    scene_free(s);
}

static void day_rolls(void)
{
    struct scene *s = scene_new(8, KEEL_FROM_NEXT, 2, 64, KEEL_RAW);
    scene_live(s, 30);
    s->loss = 30;
    for (uint32_t round = 0; round < 2; round++) {
        scene_live(s, 30);
        uint64_t next = s->published[s->day];
        for (uint32_t i = 0; i < 6; i++) { /* repeated for a while, instead of heartbeats */
            scene_say(s, i % 2, s->day, next, MOLD_END_OF_SESSION);
            scene_run(s, 100 * FOLLOWER_MS);
        }
        scene_run(s, 30 * SECOND);
        CU_ASSERT(s->ended == round + 1 && s->ended_next == next && s->ended_unseen == 0);
        s->day++;
    }
    scene_live(s, 30);
    scene_run(s, 30 * SECOND);
    scene_live(s, 0);
    CU_ASSERT(scene_complete(s));
    CU_ASSERT(s->begun == 3);
    scene_free(s);
}

/* The announcement of the end is lost on every line. What the old day still owes is fetched; then
 * the end is taken for granted, and said to be unseen. */
static void day_end_goes_unseen(void)
{
    struct scene *s = scene_new(9, KEEL_FROM_NEXT, 1, 64, KEEL_RAW);
    scene_live(s, 30);
    s->published[0] += 20; /* the day's last messages, on no line */
    uint64_t next = s->published[0];
    s->day = 1;
    scene_live(s, 30);
    CU_ASSERT(s->told_day == 0 && s->ended == 0);
    scene_run(s, 20 * SECOND);
    CU_ASSERT(s->ended == 1 && s->ended_unseen == 1 && s->ended_next == next);
    scene_live(s, 30);
    CU_ASSERT(scene_complete(s));
    scene_free(s);
}

/* As above, but the servers do not answer for a while: it is not given up so soon. */
static void old_day_waits_for_servers(void)
{
    struct scene *s = scene_new(19, KEEL_FROM_NEXT, 1, 64, KEEL_RAW);
    scene_live(s, 30);
    s->published[0] += 20;
    s->no_server = true;
    s->day = 1;
    scene_live(s, 30);
    scene_run(s, 3 * SECOND);
    s->no_server = false;
    scene_run(s, 20 * SECOND);
    CU_ASSERT(s->ended == 1 && s->ended_next == s->published[0]);
    scene_live(s, 30);
    CU_ASSERT(scene_complete(s));
    scene_free(s);
}

/* The first packets of a day are lost on every line: it still begins at 1. */
static void new_day_begins_at_1(void)
{
    struct scene *s = scene_new(20, KEEL_FROM_NEXT, 1, 64, KEEL_RAW);
    scene_live(s, 10);
    scene_say(s, 0, 0, s->published[0], MOLD_END_OF_SESSION);
    scene_run(s, FOLLOWER_MS);
    s->day = 1;
    s->published[1] = 40;
    scene_publish(s, 5);
    scene_run(s, SECOND);
    CU_ASSERT(s->f->first == 1 && s->log_count > 0);
    CU_ASSERT(scene_complete(s));
    scene_free(s);
}

/* A replica that lags still publishes yesterday: its packets are late, not a new day. */
static void late_line_is_not_a_new_day(void)
{
    struct scene *s = scene_new(10, KEEL_FROM_NEXT, 2, 64, KEEL_RAW);
    scene_live(s, 30);
    scene_say(s, 0, 0, s->published[0], MOLD_END_OF_SESSION);
    scene_run(s, FOLLOWER_MS);
    CU_ASSERT(follower_state(s->f) == KEEL_FOLLOW_DAY_ENDED);
    scene_say(s, 1, 0, 5, 3);
    scene_run(s, FOLLOWER_MS);
    s->day = 1;
    scene_live(s, 10);
    scene_say(s, 1, 0, s->published[0], MOLD_END_OF_SESSION);
    scene_run(s, FOLLOWER_MS);
    scene_live(s, 10);
    CU_ASSERT(scene_complete(s));
    CU_ASSERT(s->begun == 2 && s->ended == 1 && s->f->stats.late_day == 2);
    scene_free(s);
}

static void differing_lines_stop_it(void)
{
    struct scene *s = scene_new(11, KEEL_FROM_NEXT, 2, 64, KEEL_RAW);
    scene_live(s, 30);
    uint8_t bytes[KEEL_DATAGRAM_MAX];
    size_t size = scene_pack(s, 0, 7, 3, bytes);
    bytes[size - 1] ^= 1;
    follower_receive(s->f, 1, bytes, size, s->now_ns);
    CU_ASSERT(s->f->error == KEEL_CONFLICT && strstr(s->f->problem, "number 9 ") != NULL);
    CU_ASSERT(follower_state(s->f) == KEEL_FOLLOW_FAILED);
    uint64_t messages = s->f->stats.messages;
    scene_publish(s, 5);
    scene_run(s, FOLLOWER_MS);
    CU_ASSERT_EQUAL(s->f->stats.messages, messages);
    scene_free(s);

    s = scene_new(12, KEEL_FROM_NEXT, 2, 64, KEEL_RAW);
    scene_live(s, 30);
    scene_say(s, 0, 0, s->published[0] - 5, MOLD_END_OF_SESSION); /* ends before what is known */
    scene_run(s, FOLLOWER_MS);
    CU_ASSERT(s->f->error == KEEL_CONFLICT);
    scene_free(s);
}

static void wrong_framing_is_said(void)
{
    struct scene *s = scene_new(13, KEEL_FROM_NEXT, 1, 64, KEEL_ENVELOPE);
    s->framing = KEEL_RAW;
    scene_publish(s, 1);
    scene_run(s, FOLLOWER_MS);
    CU_ASSERT(s->f->error == KEEL_FRAMING && strstr(s->f->problem, "raw") != NULL);
    scene_free(s);
}

/* H22: a line that is cut off says nothing; the consumer says so, and does not call itself up to
 * date. */
static void silence_is_said(void)
{
    struct scene *s = scene_new(14, KEEL_FROM_NEXT, 2, 64, KEEL_RAW);
    scene_live(s, 30);
    for (uint32_t i = 0; i < 5; i++) {
        scene_heartbeat(s, 1);
        scene_run(s, SECOND);
    }
    CU_ASSERT(s->silences == 1 && follower_state(s->f) == KEEL_FOLLOW_SYNCHRONIZED);
    scene_run(s, 5 * SECOND);
    CU_ASSERT(s->silences == 2 && follower_state(s->f) == KEEL_FOLLOW_SILENT);
    scene_live(s, 5);
    CU_ASSERT(s->line_events == 4 && scene_complete(s));
    scene_free(s);
}

/* The callback stops in mid-packet; the next call goes on behind that message. */
static void stops_and_goes_on(void)
{
    struct scene *s = scene_new(15, KEEL_FROM_NEXT, 2, 64, KEEL_RAW);
    s->stop_every = 3;
    s->shuffle = 30;
    scene_live(s, 100);
    scene_run(s, 10 * SECOND);
    scene_live(s, 0);
    CU_ASSERT(scene_complete(s));
    scene_free(s);
}

static void malformed_is_counted(void)
{
    struct scene *s = scene_new(16, KEEL_FROM_NEXT, 1, 64, KEEL_RAW);
    scene_live(s, 20);
    uint8_t bytes[KEEL_DATAGRAM_MAX];
    size_t size = scene_pack(s, 0, s->published[0], 4, bytes);
    for (size_t cut = 0; cut < size; cut++)
        follower_receive(s->f, 0, bytes, cut, s->now_ns);
    CU_ASSERT_EQUAL(s->f->stats.malformed, size);
    mold_header_pack((struct mold_header *)bytes, scene_day[0], 0, 0);
    follower_receive(s->f, 0, bytes, MOLD_HEADER_SIZE, s->now_ns);
    mold_header_pack((struct mold_header *)bytes, scene_day[0], UINT64_MAX, 0);
    follower_receive(s->f, 0, bytes, MOLD_HEADER_SIZE, s->now_ns);
    CU_ASSERT_EQUAL(s->f->stats.malformed, size + 2);
    scene_live(s, 20);
    CU_ASSERT(scene_complete(s));
    scene_free(s);
}

/* Days in random order of trouble: rolls under loss, with lines that lag. */
static void days_on_bad_lines(void)
{
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct scene *s = scene_new(seed, 1, 2, 32, KEEL_ENVELOPE);
        s->loss = rng_below(&s->rng, 30);
        s->shuffle = rng_below(&s->rng, 60);
        s->copies = rng_below(&s->rng, 30);
        for (; s->day < DAYS; s->day++) {
            scene_live(s, 40);
            scene_run(s, 20 * SECOND);
            for (uint32_t i = 0; i < 10; i++)
                scene_say(s, i % 2, s->day, s->published[s->day], MOLD_END_OF_SESSION);
            scene_run(s, 10 * SECOND);
        }
        CU_ASSERT(s->wrong == 0 && s->f->error == 0);
        CU_ASSERT(s->begun == DAYS && s->ended == DAYS && s->ended_unseen == 0);
        CU_ASSERT(s->ended_next == s->published[DAYS - 1]);
        scene_free(s);
    }
}

int main(void)
{
    static const struct unit_test tests[] = {
        {"delivers one line in order, raw and envelope", one_line_in_order},
        {"completes one line by the other", lines_complete_each_other},
        {"keeps order and content on bad lines, 30 seeds", bad_lines},
        {"reads a day from 1 while it goes on", backfills_while_live},
        {"starts where it is told", starts_where_it_is_told},
        {"finds a lost tail by the heartbeat", heartbeat_finds_lost_tail},
        {"asks with restraint", asks_with_restraint},
        {"rolls the day", day_rolls},
        {"rolls the day also when its end goes unseen", day_end_goes_unseen},
        {"waits for servers before it gives a day up", old_day_waits_for_servers},
        {"begins a new day at 1 whatever it hears first", new_day_begins_at_1},
        {"takes a late line for late", late_line_is_not_a_new_day},
        {"stops when lines differ", differing_lines_stop_it},
        {"says that the framing is wrong", wrong_framing_is_said},
        {"H22: says that lines are silent", silence_is_said},
        {"stops and goes on in mid-packet", stops_and_goes_on},
        {"counts malformed packets", malformed_is_counted},
        {"rolls days on bad lines, 20 seeds", days_on_bad_lines},
        {0},
    };
    return unit_main("follower", tests);
}
