/* seq, feed and the drive's roles on threads of their own: the window's pages go round many times,
 * and whatever leaves the line or answers a request still is what its number stands for. Built with
 * -fsanitize=thread it also shows that each byte is handed over by a release and an acquire.
 */
#include "tests/unit/dataplane/line.h"

#include "tests/unit/unit.h"

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>

enum { ENTRIES = 20000, IDLE_MAX = 200000000 };

struct roles {
    struct line *line;
    uint32_t stop;           /* relaxed: only that it was set matters */
    uint64_t shown, answers; /* of the feed's thread */
    uint64_t wrong;
    uint64_t next; /* number that the line must show next */
};

static bool stopped(struct roles *roles)
{
    return __atomic_load_n(&roles->stop, __ATOMIC_RELAXED);
}

/* Every message's content is its feed number. */
static void look(struct roles *roles, const struct wire_kept *kept)
{
    const struct mold_header *header = (const struct mold_header *)kept->payload;
    uint16_t count = mold_count(header);
    if (count == MOLD_HEARTBEAT)
        return;
    bool answer = kept->to_port == 5000;
    uint64_t n = mold_sequence(header);
    roles->wrong += !mold_check(kept->payload, kept->size) || (!answer && n != roles->next);
    const uint8_t *at = kept->payload + MOLD_HEADER_SIZE;
    for (uint16_t i = 0; i < count; i++, n++) {
        uint64_t serial;
        memcpy(&serial, at + MOLD_BLOCK_HEAD_SIZE, sizeof(serial));
        roles->wrong += serial != n;
        at += MOLD_BLOCK_HEAD_SIZE + mold_length(at);
    }
    if (answer)
        roles->answers++;
    else
        roles->next = n;
    roles->shown += count;
}

static void *feed_role(void *context)
{
    struct roles *roles = context;
    struct line *line = roles->line;
    uint64_t now_ns = 5000000000ull;
    while (!stopped(roles)) {
        now_ns += 200000;
        if (feed_turn(line->feed, now_ns) == 0)
            sched_yield();
        for (uint32_t i = 0; i < line->port->count; i++)
            look(roles, &line->port->kept[i]);
        wire_clear(line->port);
    }
    return NULL;
}

static void *drive_roles(void *context)
{
    struct roles *roles = context;
    while (!stopped(roles))
        if (ring_disk_turn(roles->line->world.ring) + ring_aux_turn(roles->line->world.ring) == 0)
            sched_yield();
    return NULL;
}

/* seq's turn; a request now and then, for something old or something new. */
static void seq_turn(struct line *line, uint64_t *random)
{
    *random = *random * 6364136223846793005ull + 1442695040888963407ull;
    ring_note_checkpoint(line->world.ring, line->applied);
    ring_turn(line->world.ring, line->world.now_ns += RING_SEAL_AFTER_NS);
    line_done(line);
    if ((*random >> 40) % 16 == 0)
        feed_contact(line->feed, line->now_ns, ring_recent_first(line->world.ring));
    if ((*random >> 50) % 8 != 0 || line->next < 2)
        return;
    struct mold_header header;
    uint64_t back = (*random >> 20) % ((*random >> 60) % 2 == 0 ? 20 : 4000);
    mold_header_pack(&header, line->day, line->next > back + 1 ? line->next - 1 - back : 1, 20);
    struct frame_datagram datagram = {.from = {.ip = LINE_CONSUMER, .port = 5000, .mac = {2}},
                                      .payload = (const uint8_t *)&header,
                                      .size = sizeof(header)};
    (void)feed_request(line->feed, &datagram);
}

static void nothing_is_reused_while_it_is_read(void)
{
    struct line *line = line_new();
    line->options.history = line->options.samples = 4096;
    line_start(line, true);
    struct roles roles = {.line = line, .next = 1};
    pthread_t feed, drive;
    CU_ASSERT_EQUAL_FATAL(pthread_create(&feed, NULL, feed_role, &roles), 0);
    CU_ASSERT_EQUAL_FATAL(pthread_create(&drive, NULL, drive_roles, &roles), 0);
    uint64_t random = 11, refused = 0;
    uint32_t appended = 0;
    for (uint32_t idle = 0; appended < ENTRIES && idle < IDLE_MAX; idle++) {
        seq_turn(line, &random);
        if (!feed_room(line->feed, 64) || line_entry(line, 1, 1, true) == NULL) {
            refused++;
            sched_yield();
        } else {
            if (++appended % 64 == 0)
                sched_yield(); /* on few cores the others have their share */
        }
    }
    CU_ASSERT_EQUAL(appended, ENTRIES);
    for (uint32_t idle = 0;
         idle < IDLE_MAX && feed_done(line->feed, line->applied) != line->applied; idle++) {
        feed_contact(line->feed, line->now_ns, line->applied + 1);
        sched_yield();
    }
    __atomic_store_n(&roles.stop, 1, __ATOMIC_RELAXED);
    pthread_join(feed, NULL);
    pthread_join(drive, NULL);
    CU_ASSERT_EQUAL(roles.wrong, 0);
    CU_ASSERT_EQUAL(roles.next, ENTRIES + 1);
    printf("# %llu answers, %llu from memory, %llu from the drive, %llu gone, refused %llu, "
           "requests %llu\n",
           (unsigned long long)roles.answers, (unsigned long long)line->feed->stats.answered_memory,
           (unsigned long long)line->feed->stats.answered_drive,
           (unsigned long long)line->feed->stats.request_gone, (unsigned long long)refused,
           (unsigned long long)line->feed->stats.requests);
    CU_ASSERT_TRUE(roles.answers > 0);
    struct ring_stats stats;
    ring_stats(line->world.ring, &stats);
    CU_ASSERT_TRUE(stats.tail_page > 3 * RING_WINDOW_MIN); /* laps of the window */
    line_settle(line); /* what aux still has under way comes back */
    line_free(line);
}

int main(void)
{
    static const struct unit_test tests[] = {
        {"nothing is reused while it is read", nothing_is_reused_while_it_is_read}, {0}};
    return unit_main("feed_threads", tests);
}
