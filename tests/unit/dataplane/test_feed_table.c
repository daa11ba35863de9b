/* The table of subscribers is replaced while the roles run: who stays misses nothing and gets no
 * new allowance; and no reader ever sees a table that was freed. Meant for the address and the
 * thread sanitizer as well.
 */
#include "dataplane/rcu.h"
#include "tests/unit/dataplane/line.h"
#include "tests/unit/unit.h"

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { TABLES = 3000, READERS = 3 };
#define KNOWN (1ull << 63 | 0x0209)

static struct feed_table *table_of(const struct line *line)
{
    struct feed_table *table = calloc(1, sizeof(*table));
    feed_table_fill(table, &line->options);
    return table;
}

/* Packets kept for a port since the last look, which are forgotten. */
static uint32_t sent_to(struct line *line, uint16_t port)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < line->port->count; i++)
        count += line->port->kept[i].to_port == port;
    return count;
}

static void who_stays_misses_nothing(void)
{
    struct line *line = line_new();
    line_start(line, true);
    line_messages(line, 1, true);
    line_turn(line, 0);
    CU_ASSERT_EQUAL(sent_to(line, 9000), 1);
    line->options.destination[0].mac = 0; /* what a configuration says */
    line->options.destination_count = 3;
    line->options.destination[1] = (struct feed_destination){.ip = LINE_CONSUMER, .port = 9001};
    line->options.destination[2] = (struct feed_destination){.ip = LINE_CONSUMER + 1, .port = 9002};
    struct feed_table *first = table_of(line);
    CU_ASSERT_PTR_NULL(feed_publish(line->feed, first));
    wire_clear(line->port);
    line_messages(line, 1, true);
    line_turn(line, 0);
    CU_ASSERT_EQUAL(sent_to(line, 9000), 1);
    CU_ASSERT_EQUAL(sent_to(line, 9001), 1); /* the same host: its MAC address is known */
    CU_ASSERT_EQUAL(line->feed->stats.unresolved, 1);
    uint32_t count;
    feed_destinations(line->feed, &count)[2].mac = KNOWN;
    line_messages(line, 1, true);
    line_turn(line, 0);
    CU_ASSERT_EQUAL(sent_to(line, 9002), 1);
    line->options.destination_count = 1;
    line->options.destination[0] = line->options.destination[2]; /* that one alone stays */
    struct feed_table *second = table_of(line);
    CU_ASSERT_PTR_EQUAL(feed_publish(line->feed, second), first);
    free(first);
    wire_clear(line->port);
    line_messages(line, 1, true);
    line_turn(line, 0);
    CU_ASSERT_EQUAL(line->port->count, 1);
    CU_ASSERT_EQUAL(sent_to(line, 9002), 1);
    line_free(line);
    free(second);
}

/* An allowance that is used up is not given anew by a reload, whatever place the consumer has. */
static void no_reload_gives_a_new_allowance(void)
{
    struct line *line = line_new();
    line_start(line, true);
    line_messages(line, 1, true);
    line_turn(line, 1000);
    for (uint32_t i = 0; i < FEED_REQUESTS_PER_S / 10 + 5; i++) {
        line_ask(line, LINE_CONSUMER, line->day, 1, 1);
        line_turn(line, 0);
        wire_clear(line->port);
    }
    CU_ASSERT_EQUAL(line->feed->stats.request_limited, 5);
    line->options.consumer_count = 2;
    line->options.consumer[0] = LINE_CONSUMER + 1;
    line->options.consumer[1] = LINE_CONSUMER;
    struct feed_table *table = table_of(line);
    feed_publish(line->feed, table);
    line_ask(line, LINE_CONSUMER, line->day, 1, 1);
    line_ask(line, LINE_CONSUMER + 1, line->day, 1, 1);
    line_ask(line, LINE_CONSUMER + 2, line->day, 1, 1);
    line_turn(line, 0);
    CU_ASSERT_EQUAL(line->feed->stats.request_limited, 6);
    CU_ASSERT_EQUAL(line->feed->stats.request_stranger, 1);
    CU_ASSERT_EQUAL(line->port->count, 1);
    line->options.consumer_count = 1; /* and who is taken out is a stranger */
    struct feed_table *without = table_of(line);
    CU_ASSERT_PTR_EQUAL(feed_publish(line->feed, without), table);
    free(table);
    line_ask(line, LINE_CONSUMER, line->day, 1, 1);
    line_turn(line, 1000);
    CU_ASSERT_EQUAL(line->feed->stats.request_stranger, 2);
    line_free(line);
    free(without);
}

/* --- threads
 * --------------------------------------------------------------------------------------- */

struct crowd {
    struct line *line;
    uint32_t stop, started; /* relaxed: only the number matters */
    uint64_t wrong[READERS], looks[READERS];
};

struct reader {
    struct crowd *crowd;
    uint32_t number;
};

/* In a whole table all addresses say the same, and there are as many as they say. */
static bool whole(const struct feed_table *table)
{
    uint32_t count = table->destination_count;
    for (uint32_t i = 0; i < count; i++)
        if (table->destination[i].ip != count || table->destination[i].port != count)
            return false;
    return count >= 1 && count <= FEED_DESTINATIONS_MAX && table->consumer_count == count &&
           table->consumer[count - 1] == count;
}

/* Reader 0 plays feed, 1 plays seq, which notes MAC addresses, 2 sleeps between its turns. */
static void reader_turn(const struct reader *reader, uint64_t now_ns)
{
    struct crowd *crowd = reader->crowd;
    struct feed *feed = crowd->line->feed;
    struct feed_table *table = feed_table_now(feed);
    __atomic_fetch_add(&crowd->looks[reader->number], 1, __ATOMIC_RELAXED);
    crowd->wrong[reader->number] += !whole(table);
    if (reader->number == 0) {
        feed_turn(feed, now_ns);
        wire_clear(crowd->line->port);
    }
    uint32_t count;
    struct feed_destination *to = feed_destinations(feed, &count);
    for (uint32_t i = 0; reader->number == 1 && i < count; i++)
        __atomic_store_n(&to[i].mac, KNOWN, __ATOMIC_RELAXED);
    sched_yield();
    crowd->wrong[reader->number] += !whole(table); /* still the turn in which it was taken */
}

static void *read_tables(void *context)
{
    const struct reader *reader = context;
    uint64_t now_ns = 5000000000ull;
    rcu_reader_begin();
    __atomic_fetch_add(&reader->crowd->started, 1, __ATOMIC_RELAXED);
    while (!__atomic_load_n(&reader->crowd->stop, __ATOMIC_RELAXED)) {
        reader_turn(reader, now_ns += 1000000);
        rcu_reader_turn();
        if (reader->number == 2) {
            rcu_reader_sleep();
            nanosleep(&(struct timespec){0, 20000}, NULL);
            rcu_reader_wake();
        }
    }
    rcu_reader_end();
    return NULL;
}

static void crowd_options(struct line *line, uint32_t count)
{
    line->options.destination_count = line->options.consumer_count = count;
    for (uint32_t i = 0; i < count; i++) {
        line->options.destination[i] =
            (struct feed_destination){.ip = count, .port = (uint16_t)count};
        line->options.consumer[i] = count;
    }
}

/* Until each reader that does not sleep has begun another turn: then it is likely to be in one. */
static void let_them_look(const struct crowd *crowd)
{
    for (uint32_t i = 0; i < 2; i++) {
        uint64_t before = __atomic_load_n(&crowd->looks[i], __ATOMIC_RELAXED);
        while (__atomic_load_n(&crowd->looks[i], __ATOMIC_RELAXED) == before)
            sched_yield(); /* bound: the readers run until they are stopped */
    }
}

static void no_reader_sees_a_freed_table(void)
{
    struct line *line = line_new();
    struct crowd crowd = {.line = line};
    struct reader reader[READERS];
    pthread_t thread[READERS];
    line->options.heartbeat_ms = 1;
    crowd_options(line, 1);
    line_start(line, true);
    line_contact(line, 0);
    for (uint32_t i = 0; i < READERS; i++) {
        reader[i] = (struct reader){&crowd, i};
        CU_ASSERT_EQUAL_FATAL(pthread_create(&thread[i], NULL, read_tables, &reader[i]), 0);
    }
    while (__atomic_load_n(&crowd.started, __ATOMIC_RELAXED) < READERS)
        sched_yield();
    uint64_t random = 7;
    uint32_t freed = 0;
    for (uint32_t i = 0; i < TABLES; i++) {
        random = random * 6364136223846793005ull + 1442695040888963407ull;
        crowd_options(line, 1 + (uint32_t)(random >> 40) % FEED_DESTINATIONS_MAX);
        let_them_look(&crowd);
        struct feed_table *old = feed_publish(line->feed, table_of(line));
        rcu_wait_readers();
        if (old == NULL)
            continue;
        memset(old, 0xdd, sizeof(*old)); /* whoever still looks sees this, or the sanitizer him */
        __asm__ volatile("" ::"r"(old) : "memory");
        free(old);
        freed++;
    }
    __atomic_store_n(&crowd.stop, 1, __ATOMIC_RELAXED);
    for (uint32_t i = 0; i < READERS; i++) {
        pthread_join(thread[i], NULL);
        CU_ASSERT_EQUAL(crowd.wrong[i], 0);
        CU_ASSERT_TRUE(crowd.looks[i] > 0);
    }
    CU_ASSERT_EQUAL(freed, TABLES - 1);
    printf("# looks %llu %llu %llu\n", (unsigned long long)crowd.looks[0],
           (unsigned long long)crowd.looks[1], (unsigned long long)crowd.looks[2]);
    struct feed_table *last = feed_table_now(line->feed);
    line_free(line);
    free(last);
}

/* Who has not begun, sleeps, or has ended is not waited for; liburcu would never return. */
static void only_a_reader_in_a_turn_is_waited_for(void)
{
    rcu_wait_readers();
    rcu_reader_begin();
    rcu_reader_sleep();
    rcu_wait_readers();
    rcu_reader_wake();
    rcu_reader_turn();
    rcu_reader_end();
    rcu_wait_readers();
    CU_PASS("returned");
}

int main(void)
{
    static const struct unit_test tests[] = {
        {"who stays misses nothing", who_stays_misses_nothing},
        {"no reload gives a new allowance", no_reload_gives_a_new_allowance},
        {"no reader sees a freed table", no_reader_sees_a_freed_table},
        {"only a reader in a turn is waited for", only_a_reader_in_a_turn_is_waited_for},
        {0}};
    return unit_main("feed_table", tests);
}
