#include "control/config_show.h"

#include "control/address.h"
#include "control/genesis_fields.h"

#include <stdio.h>
#include <string.h>

enum form {
    FORM_U32,
    FORM_U16,
    FORM_TEXT,
    FORM_IP,
    FORM_ADDRESS, /* IP and prefix */
    FORM_FRAMING,
    FORM_IDLE,
    FORM_PAGES,
    FORM_CORE,
    FORM_DESTINATIONS,
    FORM_CONSUMERS
};

#define AT(member) offsetof(struct config, member)

static const struct row {
    const char *section, *name;
    enum form form;
    size_t offset;
    uint32_t instead; /* of 0, which stands for a default */
} rows[] = {
    {"replica", "id", FORM_U32, AT(id), 0},
    {"replica", "data", FORM_TEXT, AT(data), 0},
    {"network", "port", FORM_TEXT, AT(port), 0},
    {"network", "address", FORM_ADDRESS, AT(ip), 0},
    {"network", "gateway", FORM_IP, AT(gateway), 0},
    {"network", "udp_port", FORM_U16, AT(udp_port), 0},
    {"feed", "framing", FORM_FRAMING, AT(feed.framing), 0},
    {"feed", "port", FORM_U16, AT(feed_port), 0},
    {"feed", "request_port", FORM_U16, AT(request_port), 0},
    {"feed", "destinations", FORM_DESTINATIONS, 0, 0},
    {"feed", "consumers", FORM_CONSUMERS, 0, 0},
    {"feed", "heartbeat_ms", FORM_U32, AT(feed.heartbeat_ms), 0},
    {"ring", "window_mib", FORM_U32, AT(window_mib), STARTUP_WINDOW_PAGES / 256},
    {"ring", "flight_pages", FORM_U32, AT(flight_pages), STARTUP_FLIGHT_PAGES},
    {"ring", "checkpoint_ms", FORM_U32, AT(checkpoint_ms), CONTROL_CHECKPOINT_MS},
    {"ring", "checkpoint_send_kib_s", FORM_U32, AT(checkpoint_send_kib_s), CONTROL_SEND_KIB_S},
    {"ring", "scrub_pages_s", FORM_U32, AT(scrub_pages_s), CONTROL_SCRUB_PAGES_S},
    {"cores", "seq", FORM_CORE, AT(core[CORE_SEQ]), 0},
    {"cores", "disk", FORM_CORE, AT(core[CORE_DISK]), 0},
    {"cores", "feed", FORM_CORE, AT(core[CORE_FEED]), 0},
    {"cores", "aux", FORM_CORE, AT(core[CORE_AUX]), 0},
    {"cores", "control", FORM_CORE, AT(core[CORE_CONTROL]), 0},
    {"cores", "idle", FORM_IDLE, AT(idle), 0},
    {"cores", "sleep_us", FORM_U32, AT(sleep_us), 0},
    {"memory", "hugepages", FORM_PAGES, AT(pages), 0},
    {"memory", "pool_mib", FORM_U32, AT(memory_mib), 0},
    {"eal", "extra", FORM_TEXT, AT(eal_extra), 0},
    {"admin", "socket", FORM_TEXT, AT(socket), 0},
    {"admin", "blackbox", FORM_TEXT, AT(blackbox), 0},
    {"admin", "group", FORM_TEXT, AT(group), 0},
    {"admin", "users", FORM_TEXT, AT(users), 0},
    {"admin", "read_group", FORM_TEXT, AT(read_group), 0},
    {"admin", "read_users", FORM_TEXT, AT(read_users), 0},
    {"keys", "file", FORM_TEXT, AT(keys), 0},
};
enum { ROWS = sizeof(rows) / sizeof(rows[0]) };
_Static_assert((int)ROWS + (int)KEEL_REPLICA_MAX + (int)GENESIS_FIELDS <= (int)CONFIG_SHOWN_MAX,
               "rows");
_Static_assert(KEEL_REPLICA_MAX == 7, "names of ids");

static void put_ip(char *value, uint32_t ip)
{
    snprintf(value, ADDRESS_TEXT_MAX, "%u.%u.%u.%u", ip >> 24, ip >> 16 & 255, ip >> 8 & 255,
             ip & 255);
}

static void put_word(char *value, size_t room, const char *word)
{
    size_t at = strlen(value);
    snprintf(value + at, room - at, "%s%s", at > 0 ? " " : "", word);
}

static void put_lists(const struct config *c, enum form form, char *value, size_t room)
{
    char word[ADDRESS_TEXT_MAX];
    const struct feed_options *feed = &c->feed;
    for (uint32_t i = 0; form == FORM_DESTINATIONS && i < feed->destination_count; i++)
        put_word(value, room,
                 address_text(word, feed->destination[i].ip, feed->destination[i].port));
    for (uint32_t i = 0; form == FORM_CONSUMERS && i < feed->consumer_count; i++) {
        put_ip(word, feed->consumer[i]);
        put_word(value, room, word);
    }
}

static const char *word_of(const struct config *c, enum form form)
{
    if (form == FORM_FRAMING)
        return c->feed.framing == FEED_ENVELOPE ? "envelope" : "raw";
    if (form == FORM_IDLE)
        return c->idle == IDLE_SPIN ? "spin" : c->idle == IDLE_YIELD ? "yield" : "sleep";
    return c->pages == EAL_PAGES_AUTO ? "auto" : c->pages == EAL_PAGES_HUGE ? "yes" : "no";
}

static void put_value(const struct config *c, const struct row *row, char *value, size_t room)
{
    const void *at = (const uint8_t *)c + row->offset;
    uint32_t number = 0;
    uint16_t half = 0;
    int core = -1;
    value[0] = '\0';
    switch (row->form) {
    case FORM_U32:
    case FORM_IP:
        memcpy(&number, at, sizeof(number));
        number = number == 0 ? row->instead : number;
        if (number != 0 && row->form == FORM_IP)
            put_ip(value, number);
        else if (number != 0)
            snprintf(value, room, "%u", number);
        break;
    case FORM_U16:
        memcpy(&half, at, sizeof(half));
        snprintf(value, room, "%u", half);
        break;
    case FORM_TEXT:
        snprintf(value, room, "%s", (const char *)at);
        break;
    case FORM_ADDRESS:
        put_ip(value, c->ip);
        snprintf(value + strlen(value), room - strlen(value), "/%u", c->prefix);
        break;
    case FORM_CORE:
        memcpy(&core, at, sizeof(core));
        if (core >= 0)
            snprintf(value, room, "%d", core);
        break;
    case FORM_FRAMING:
    case FORM_IDLE:
    case FORM_PAGES:
        snprintf(value, room, "%s", word_of(c, row->form));
        break;
    case FORM_DESTINATIONS:
    case FORM_CONSUMERS:
        put_lists(c, row->form, value, room);
        break;
    }
}

/* Members and limits behind the rest: those that are stated. */
static bool show_stated(const struct config *c, uint32_t at, struct config_shown *shown)
{
    static const char *const ids[] = {"0", "1", "2", "3", "4", "5", "6", "7"};
    for (uint32_t id = 1; id <= KEEL_REPLICA_MAX; id++) {
        if (c->member[id].port == 0 || at-- > 0)
            continue;
        shown->section = "members";
        shown->name = ids[id];
        address_text(shown->value, c->member[id].ip, c->member[id].port);
        return true;
    }
    for (uint32_t i = 0; i < GENESIS_FIELDS; i++) {
        if ((c->limit_mask >> i & 1) == 0 || at-- > 0)
            continue;
        shown->section = "limits";
        shown->name = genesis_fields[i].name;
        snprintf(shown->value, sizeof(shown->value), "%u", c->limit[i]);
        return true;
    }
    return false;
}

bool config_show(const struct config *c, uint32_t at, struct config_shown *shown)
{
    struct config defaults;
    char problem[CONFIG_PROBLEM_SIZE], value[CONFIG_VALUE_MAX];
    memset(shown, 0, sizeof(*shown));
    if (at >= ROWS)
        return show_stated(c, at - ROWS, shown);
    config_parse(&defaults, "", "", 0, problem); /* incomplete; what it lacks has its default */
    shown->section = rows[at].section;
    shown->name = rows[at].name;
    put_value(c, &rows[at], shown->value, sizeof(shown->value));
    put_value(&defaults, &rows[at], value, sizeof(value));
    shown->is_default = strcmp(shown->value, value) == 0;
    return true;
}
