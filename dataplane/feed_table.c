/* The feed's table of subscribers, and its replacement while the roles run. */
#include "dataplane/feed_internal.h"

#include <string.h>

void feed_table_fill(struct feed_table *table, const struct feed_options *options)
{
    memset(table, 0, sizeof(*table));
    table->destination_count = options->destination_count;
    table->consumer_count = options->consumer_count;
    memcpy(table->destination, options->destination,
           options->destination_count * sizeof(table->destination[0]));
    memcpy(table->consumer, options->consumer,
           options->consumer_count * sizeof(table->consumer[0]));
}

/* seq may note an address in the old table after this look: it does so in the new one within a
 * millisecond. */
static uint64_t known_mac(const struct feed_table *table, uint32_t ip)
{
    for (uint32_t i = 0; i < table->destination_count; i++) {
        /* relaxed: a value of its own, as where seq stores it */
        uint64_t mac = __atomic_load_n(&table->destination[i].mac, __ATOMIC_RELAXED);
        if (table->destination[i].ip == ip && mac != 0)
            return mac;
    }
    return 0;
}

struct feed_table *feed_publish(struct feed *feed, struct feed_table *table)
{
    struct feed_table *old = feed->table; /* this thread alone stores it */
    table->serial = old->serial + 1;
    for (uint32_t i = 0; i < table->destination_count; i++)
        table->destination[i].mac = known_mac(old, table->destination[i].ip);
    rcu_assign_pointer(feed->table, table);
    return old == &feed->first ? NULL : old;
}

/* Who stays keeps what is left of his allowance: a reload gives nobody a new one. */
void feed_consumers_follow(struct feed *feed, const struct feed_table *table)
{
    struct feed_consumer old[FEED_CONSUMERS_MAX];
    memcpy(old, feed->consumer, sizeof(old));
    memset(feed->consumer, 0, sizeof(feed->consumer));
    for (uint32_t i = 0; i < table->consumer_count; i++) {
        uint32_t at = 0;
        while (at < FEED_CONSUMERS_MAX && old[at].ip != table->consumer[i])
            at++;
        if (at < FEED_CONSUMERS_MAX)
            feed->consumer[i] = old[at];
        feed->consumer[i].ip = table->consumer[i];
    }
    feed->consumer_serial = table->serial;
}
