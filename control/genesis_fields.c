#include "control/genesis_fields.h"

#include <string.h>

#define FIELD(name, help)                                                                          \
    {                                                                                              \
#name, help, offsetof(struct genesis, name)                                                \
    }

const struct genesis_field genesis_fields[GENESIS_FIELDS] = {
    FIELD(election_min_ms, "minimum election timeout; the maximum is twice that"),
    FIELD(heartbeat_ms, "a leader's heartbeats"),
    FIELD(stall_ms, "no heartbeats when something waits and nothing moved for this long"),
    FIELD(rho_ppm, "bound on each clock's rate error against true time"),
    FIELD(feed_stale_ms, "a line without quorum contact for this long falls silent"),
    FIELD(ttl_min_ms, "shortest time to live of a session"),
    FIELD(ttl_max_ms, "longest time to live of a session"),
    FIELD(session_retain_ms, "ended sessions keep their results this long"),
    FIELD(sessions_max, "sessions alive or kept"),
    FIELD(sessions_per_principal, "of them of one principal"),
    FIELD(window_max, "messages of a session under way"),
    FIELD(flights, "AppendEntries packets in flight to a peer"),
    FIELD(flight_bytes, "bytes of them"),
    FIELD(nodes_max, "nodes in the tree of names, the root among them; 0: none"),
    FIELD(handles_max, "handles on nodes, of all sessions"),
    FIELD(handles_per_session, "of them of one session"),
    FIELD(waiters_max, "requests in the queue of one lock"),
    FIELD(lock_delay_max_ms, "longest lock-delay that a client may choose"),
};

static bool same(const char *a, const char *b)
{
    for (; *a != '\0' && *b != '\0'; a++, b++) {
        char left = *a == '-' ? '_' : *a, right = *b == '-' ? '_' : *b;
        if (left != right)
            return false;
    }
    return *a == *b;
}

int genesis_field_find(const char *name)
{
    for (int i = 0; i < GENESIS_FIELDS; i++)
        if (same(name, genesis_fields[i].name))
            return i;
    return -1;
}

uint32_t genesis_field_get(const struct genesis *genesis, int field)
{
    uint32_t value;
    memcpy(&value, (const uint8_t *)genesis + genesis_fields[field].offset, sizeof(value));
    return value;
}

void genesis_field_set(struct genesis *genesis, int field, uint32_t value)
{
    memcpy((uint8_t *)genesis + genesis_fields[field].offset, &value, sizeof(value));
}
