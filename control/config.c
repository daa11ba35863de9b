#include "control/config.h"

#include "control/address.h"
#include "control/genesis_fields.h"
#include "dataplane/ini_line.h"

#include <errno.h>
#include <fcntl.h>
#include <ini.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { CONFIG_KEYS_MAX = 64, CONFIG_WORD_MAX = 64 };

struct reading {
    struct config *config;
    const char *name;
    const char *text, *end;
    uint32_t line;
    bool bad;
    uint64_t seen; /* bit i: key i of the table was given */
    uint32_t seen_members;
    char *problem;
};

/* Notes the problem, which ends the reading; false, as libinih's handlers say no. */
static __attribute__((format(printf, 3, 4))) bool problem_at(struct reading *r, uint32_t line,
                                                             const char *format, ...)
{
    r->bad = true;
    int at = line > 0 ? snprintf(r->problem, CONFIG_PROBLEM_SIZE, "%s:%u: ", r->name, line)
                      : snprintf(r->problem, CONFIG_PROBLEM_SIZE, "%s: ", r->name);
    if (at >= CONFIG_PROBLEM_SIZE)
        return false;
    va_list args;
    va_start(args, format);
    vsnprintf(r->problem + at, (size_t)(CONFIG_PROBLEM_SIZE - at), format, args);
    va_end(args);
    return false;
}

/* --- values: each takes the text of one key
 * -------------------------------------------------------- */

struct key;
typedef bool parse_fn(struct reading *r, const struct key *key, const char *value);

struct key {
    const char *section, *name;
    parse_fn *parse;
    size_t offset, size; /* in struct config */
    uint64_t low, high;
    bool required;
    bool live; /* may change while the replica runs */
};

static void *field(struct reading *r, const struct key *key)
{
    return (uint8_t *)r->config + key->offset;
}

static bool parse_u32(struct reading *r, const struct key *key, const char *value)
{
    uint64_t number;
    if (!address_number(value, key->low, key->high, &number))
        return problem_at(r, r->line, "[%s] %s = %s: give a whole number from %llu to %llu",
                          key->section, key->name, value, (unsigned long long)key->low,
                          (unsigned long long)key->high);
    *(uint32_t *)field(r, key) = (uint32_t)number;
    return true;
}

static bool parse_u16(struct reading *r, const struct key *key, const char *value)
{
    uint64_t number;
    if (!address_number(value, key->low, key->high, &number))
        return problem_at(r, r->line, "[%s] %s = %s: give a whole number from %llu to %llu",
                          key->section, key->name, value, (unsigned long long)key->low,
                          (unsigned long long)key->high);
    *(uint16_t *)field(r, key) = (uint16_t)number;
    return true;
}

/* high: bytes of the array. */
static bool parse_text(struct reading *r, const struct key *key, const char *value)
{
    size_t size = strlen(value);
    if (size == 0 || size >= key->high)
        return problem_at(r, r->line, "[%s] %s: give 1 to %llu characters", key->section, key->name,
                          (unsigned long long)key->high - 1);
    memcpy(field(r, key), value, size + 1);
    return true;
}

static bool parse_ip(struct reading *r, const struct key *key, const char *value)
{
    if (!address_ip(value, field(r, key)))
        return problem_at(r, r->line, "[%s] %s = %s: give an IPv4 address, like 10.0.0.1",
                          key->section, key->name, value);
    return true;
}

static bool parse_address(struct reading *r, const struct key *key, const char *value)
{
    if (!address_ip_prefix(value, &r->config->ip, &r->config->prefix))
        return problem_at(r, r->line, "[%s] %s = %s: give address and prefix, like 10.0.0.1/24",
                          key->section, key->name, value);
    return true;
}

static bool interface_name(const char *name)
{
    size_t size = strlen(name);
    if (size == 0 || size > 15)
        return false;
    for (size_t i = 0; i < size; i++)
        if (name[i] <= ' ' || name[i] > '~' || strchr(",/:=", name[i]) != NULL)
            return false;
    return true;
}

/* af_packet:IFACE, af_xdp:IFACE, a PCI address, or a virtual device in DPDK's own words. */
static bool parse_port(struct reading *r, const struct key *key, const char *value)
{
    char *device = r->config->device;
    size_t size = sizeof(r->config->device);
    if (!parse_text(r, key, value))
        return false;
    if (strncmp(value, "af_packet:", 10) == 0 || strncmp(value, "af_xdp:", 7) == 0) {
        bool packet = value[3] == 'p';
        const char *interface = value + (packet ? 10 : 7);
        if (!interface_name(interface))
            return problem_at(r, r->line,
                              "[network] port = %s: name a network interface behind the "
                              "colon (`ip link` lists them)",
                              value);
        snprintf(device, size,
                 packet ? "net_af_packet0,iface=%s" : "net_af_xdp0,iface=%s,busy_budget=0",
                 interface);
        return true;
    }
    size_t hex = strspn(value, "0123456789abcdefABCDEF:.");
    if (strncmp(value, "net_", 4) != 0 && !(hex >= 7 && (value[hex] == '\0' || value[hex] == ',')))
        return problem_at(r, r->line,
                          "[network] port = %s: give af_packet:IFACE, af_xdp:IFACE, a PCI "
                          "address (0000:04:00.0) or a DPDK device (net_...)",
                          value);
    snprintf(device, size, "%s", value);
    return true;
}

/* Calls take() for each word; words are separated by blanks or commas. */
static bool each_word(struct reading *r, const struct key *key, const char *value,
                      bool (*take)(struct reading *r, const struct key *key, const char *word))
{
    while (*value != '\0') { /* bound: the line's length */
        char word[CONFIG_WORD_MAX];
        size_t size = strcspn(value, " \t,");
        if (size >= sizeof(word))
            return problem_at(r, r->line, "[%s] %s: '%.20s...' is too long for an address",
                              key->section, key->name, value);
        memcpy(word, value, size);
        word[size] = '\0';
        if (size > 0 && !take(r, key, word))
            return false;
        value += size + strspn(value + size, " \t,");
    }
    return true;
}

static bool take_destination(struct reading *r, const struct key *key, const char *word)
{
    struct feed_options *feed = &r->config->feed;
    if (feed->destination_count == FEED_DESTINATIONS_MAX)
        return problem_at(r, r->line, "[%s] %s: at most %d", key->section, key->name,
                          FEED_DESTINATIONS_MAX);
    struct feed_destination *to = &feed->destination[feed->destination_count++];
    if (!address_ip_port(word, &to->ip, &to->port) && !address_ip(word, &to->ip))
        return problem_at(r, r->line, "[%s] %s: '%s': give addresses, like 239.1.1.1:7410",
                          key->section, key->name, word);
    return true;
}

static bool parse_destinations(struct reading *r, const struct key *key, const char *value)
{
    return each_word(r, key, value, take_destination);
}

static bool take_consumer(struct reading *r, const struct key *key, const char *word)
{
    struct feed_options *feed = &r->config->feed;
    /* unreachable: a line has no room for so many */
    if (feed->consumer_count == FEED_CONSUMERS_MAX)
        return problem_at(r, r->line, "[%s] %s: at most %d", key->section, key->name,
                          FEED_CONSUMERS_MAX);
    if (!address_ip(word, &feed->consumer[feed->consumer_count++]))
        return problem_at(r, r->line, "[%s] %s: '%s': give IPv4 addresses without a port",
                          key->section, key->name, word);
    return true;
}

static bool parse_consumers(struct reading *r, const struct key *key, const char *value)
{
    return each_word(r, key, value, take_consumer);
}

/* One of a list of words; the value is its place. */
static int one_of(struct reading *r, const struct key *key, const char *value,
                  const char *const *words)
{
    char list[80] = "";
    for (int i = 0; words[i] != NULL; i++) {
        if (strcmp(value, words[i]) == 0)
            return i;
        size_t at = strlen(list);
        snprintf(list + at, sizeof(list) - at, "%s%s", i > 0 ? ", " : "", words[i]);
    }
    problem_at(r, r->line, "[%s] %s = %s: give one of %s", key->section, key->name, value, list);
    return -1;
}

static bool parse_framing(struct reading *r, const struct key *key, const char *value)
{
    static const char *const words[] = {"raw", "envelope", NULL};
    int place = one_of(r, key, value, words);
    r->config->feed.framing = place == 1 ? FEED_ENVELOPE : FEED_RAW;
    return place >= 0;
}

static bool parse_idle(struct reading *r, const struct key *key, const char *value)
{
    static const char *const words[] = {"spin", "yield", "sleep", NULL};
    int place = one_of(r, key, value, words);
    r->config->idle = place == 0 ? IDLE_SPIN : place == 1 ? IDLE_YIELD : IDLE_SLEEP;
    return place >= 0;
}

static bool parse_pages(struct reading *r, const struct key *key, const char *value)
{
    static const char *const words[] = {"auto", "yes", "no", NULL};
    int place = one_of(r, key, value, words);
    r->config->pages = place == 0   ? EAL_PAGES_AUTO
                       : place == 1 ? EAL_PAGES_HUGE
                                    : EAL_PAGES_ORDINARY;
    return place >= 0;
}

/* Empty: shares seq's thread. */
static bool parse_core(struct reading *r, const struct key *key, const char *value)
{
    uint64_t number;
    if (*value == '\0')
        return true;
    if (!address_number(value, 0, key->high, &number))
        return problem_at(r, r->line, "[%s] %s = %s: give a core's number, or nothing",
                          key->section, key->name, value);
    *(int *)field(r, key) = (int)number;
    return true;
}

/* --- the table of keys
 * ----------------------------------------------------------------------------- */

#define AT(member) offsetof(struct config, member), sizeof(((struct config *)0)->member)

static const struct key keys[] = {
    {"replica", "id", parse_u32, AT(id), 1, KEEL_REPLICA_MAX, true},
    {"replica", "data", parse_text, AT(data), 0, CONFIG_TEXT_MAX, true},
    {"network", "port", parse_port, AT(port), 0, CONFIG_TEXT_MAX - 32, true},
    {"network", "address", parse_address, offsetof(struct config, ip), 2 * sizeof(uint32_t), 0, 0,
     true},
    {"network", "gateway", parse_ip, AT(gateway), 0, 0, false},
    {"network", "udp_port", parse_u16, AT(udp_port), 1, 65535, false},
    {"feed", "framing", parse_framing, AT(feed.framing), 0, 0, false},
    {"feed", "port", parse_u16, AT(feed_port), 1, 65535, false, true},
    {"feed", "request_port", parse_u16, AT(request_port), 1, 65535, false},
    {"feed", "destinations", parse_destinations, 0, 0, 0, 0, false, true},
    {"feed", "consumers", parse_consumers, 0, 0, 0, 0, false, true},
    {"feed", "heartbeat_ms", parse_u32, AT(feed.heartbeat_ms), 1, 60000, false},
    {"ring", "window_mib", parse_u32, AT(window_mib), 1, 65536, false},
    {"ring", "flight_pages", parse_u32, AT(flight_pages), 1, RING_FLIGHT_PAGES_MAX, false},
    {"ring", "checkpoint_ms", parse_u32, AT(checkpoint_ms), 10, 86400000, false},
    {"ring", "checkpoint_send_kib_s", parse_u32, AT(checkpoint_send_kib_s), 1, 16777216, false},
    {"ring", "scrub_pages_s", parse_u32, AT(scrub_pages_s), 1, 1000000, false},
    {"cores", "seq", parse_core, AT(core[CORE_SEQ]), 0, 1023, false},
    {"cores", "disk", parse_core, AT(core[CORE_DISK]), 0, 1023, false},
    {"cores", "feed", parse_core, AT(core[CORE_FEED]), 0, 1023, false},
    {"cores", "aux", parse_core, AT(core[CORE_AUX]), 0, 1023, false},
    {"cores", "control", parse_core, AT(core[CORE_CONTROL]), 0, 1023, false},
    {"cores", "idle", parse_idle, AT(idle), 0, 0, false},
    {"cores", "sleep_us", parse_u32, AT(sleep_us), 1, 100000, false},
    {"memory", "hugepages", parse_pages, AT(pages), 0, 0, false},
    {"memory", "pool_mib", parse_u32, AT(memory_mib), 8, 65536, false},
    {"eal", "extra", parse_text, AT(eal_extra), 0, CONFIG_TEXT_MAX, false},
    {"admin", "socket", parse_text, AT(socket), 0, CONFIG_PATH_MAX, false},
    {"admin", "blackbox", parse_text, AT(blackbox), 0, CONFIG_TEXT_MAX, false},
    {"admin", "group", parse_text, AT(group), 0, 64, false},
    {"admin", "users", parse_text, AT(users), 0, CONFIG_TEXT_MAX, false},
    {"admin", "read_group", parse_text, AT(read_group), 0, 64, false},
    {"admin", "read_users", parse_text, AT(read_users), 0, CONFIG_TEXT_MAX, false},
    {"keys", "file", parse_text, AT(keys), 0, CONFIG_TEXT_MAX, true, true},
};
enum { KEY_COUNT = sizeof(keys) / sizeof(keys[0]) };
_Static_assert(offsetof(struct config, prefix) == offsetof(struct config, ip) + sizeof(uint32_t),
               "[network] address is both");
_Static_assert((int)KEY_COUNT <= (int)CONFIG_KEYS_MAX, "one bit for each key");
_Static_assert((int)GENESIS_FIELDS <= 32, "one bit for each limit");

static bool known_section(const char *section)
{
    if (strcmp(section, "members") == 0 || strcmp(section, "limits") == 0 ||
        strcmp(section, "founders") == 0)
        return true;
    for (int i = 0; i < KEY_COUNT; i++)
        if (strcmp(section, keys[i].section) == 0)
            return true;
    return false;
}

static bool take_member(struct reading *r, const char *name, const char *value)
{
    uint64_t id;
    if (!address_number(name, 1, KEEL_REPLICA_MAX, &id))
        return problem_at(r, r->line, "[members] %s: give replica ids from 1 to %d", name,
                          KEEL_REPLICA_MAX);
    if (r->seen_members & 1u << id)
        return problem_at(r, r->line, "[members] %s is given twice: take one line out", name);
    r->seen_members |= 1u << id;
    struct genesis_founder *member = &r->config->member[id];
    if (!address_ip_port(value, &member->ip, &member->port))
        return problem_at(r, r->line,
                          "[members] %s = %s: give address and port, like 10.0.0.1:7400", name,
                          value);
    r->config->member_count++;
    return true;
}

static bool take_limit(struct reading *r, const char *name, const char *value)
{
    int at = genesis_field_find(name);
    uint64_t number;
    if (at < 0 || strchr(name, '-') != NULL)
        return problem_at(r, r->line, "[limits] %s: no such number in a genesis record", name);
    if (r->config->limit_mask & 1u << at)
        return problem_at(r, r->line, "[limits] %s is given twice: take one line out", name);
    if (!address_number(value, 0, UINT32_MAX, &number))
        return problem_at(r, r->line, "[limits] %s = %s: give a whole number", name, value);
    r->config->limit_mask |= 1u << at;
    r->config->limit[at] = (uint32_t)number;
    return true;
}

static bool take_founder(struct reading *r, const char *name, const char *value)
{
    char why[CONFIG_FOUNDERS_WHY_MAX];
    const char *problem = config_founders_take(&r->config->founders, name, value, why);
    if (problem != NULL)
        return problem_at(r, r->line, "[founders] %s", problem);
    return true;
}

static bool take_key(struct reading *r, const char *section, const char *name, const char *value)
{
    for (int i = 0; i < KEY_COUNT; i++) {
        if (strcmp(section, keys[i].section) != 0 || strcmp(name, keys[i].name) != 0)
            continue;
        if (r->seen & 1ull << i)
            return problem_at(r, r->line, "[%s] %s is given twice: take one line out", section,
                              name);
        r->seen |= 1ull << i;
        return keys[i].parse(r, &keys[i], value);
    }
    char list[160] = "";
    for (int i = 0; i < KEY_COUNT; i++)
        if (strcmp(section, keys[i].section) == 0) {
            size_t at = strlen(list);
            snprintf(list + at, sizeof(list) - at, "%s%s", at > 0 ? ", " : "", keys[i].name);
        }
    return problem_at(r, r->line, "[%s] has no key '%s': it has %s", section, name, list);
}

static int on_key(void *user, const char *section, const char *name, const char *value)
{
    struct reading *r = user;
    if (*section == '\0')
        return problem_at(r, r->line, "'%s' stands before any section: begin with [replica]", name);
    if (strcmp(section, "members") == 0)
        return take_member(r, name, value);
    if (strcmp(section, "limits") == 0)
        return take_limit(r, name, value);
    if (strcmp(section, "founders") == 0)
        return take_founder(r, name, value);
    return take_key(r, section, name, value);
}

/* --- lines
 * ----------------------------------------------------------------------------------------- */

/* A section may be empty, so its name is looked at here; libinih calls for keys only. What comes to
 * on_key() stands in a known one, or in none. */
static void check_section(struct reading *r, const char *line)
{
    char section[CONFIG_WORD_MAX];
    size_t size = strcspn(line + 1, "]");
    if (line[1 + size] != ']') {
        problem_at(r, r->line, "a section's name ends with ]");
        return;
    }
    snprintf(section, sizeof(section), "%.*s", (int)(size < 60 ? size : 60), line + 1);
    if (!known_section(section))
        problem_at(r, r->line,
                   "unknown section [%s]: there are replica, network, members, founders, feed, "
                   "ring, cores, memory, eal, admin, keys, limits",
                   section);
}

/* Hands libinih one line without leading blanks, so that no line continues the one before. */
static char *next_line(char *line, int room, void *stream)
{
    struct reading *r = stream;
    if (r->text == r->end || r->bad)
        return NULL;
    r->line++;
    const char *stop = memchr(r->text, '\n', (size_t)(r->end - r->text));
    const char *next = stop != NULL ? stop + 1 : r->end;
    const char *from = r->text, *to = stop != NULL ? stop : r->end;
    r->text = next;
    if (memchr(from, '\0', (size_t)(to - from)) != NULL) {
        problem_at(r, r->line, "a zero byte: this is no text");
        return NULL;
    }
    from = ini_line_begin(from, to);
    size_t size = (size_t)(to - from);
    /* unreachable: libinih's room is 200 bytes */
    if (size > CONFIG_LINE_MAX - 2 || size > (size_t)room - 2) {
        problem_at(r, r->line, "the line is longer than %d characters", CONFIG_LINE_MAX - 2);
        return NULL;
    }
    memcpy(line, from, size);
    line[size] = '\0';
    if (line[0] == '[')
        check_section(r, line);
    return r->bad ? NULL : line;
}

static void defaults(struct config *config)
{
    memset(config, 0, sizeof(*config));
    config->udp_port = CONFIG_UDP_PORT;
    config->feed_port = CONFIG_FEED_PORT;
    config->request_port = CONFIG_REQUEST_PORT;
    config->feed.heartbeat_ms = 1000;
    config->idle = IDLE_YIELD;
    config->sleep_us = CONFIG_SLEEP_US;
    config->pages = EAL_PAGES_AUTO;
    for (int i = 0; i < CONFIG_CORES; i++)
        config->core[i] = -1;
    snprintf(config->socket, sizeof(config->socket), "/run/keel/keeld.sock");
}

/* What only shows when all lines are read. */
static bool complete(struct reading *r)
{
    struct config *c = r->config;
    for (int i = 0; i < KEY_COUNT; i++)
        if (keys[i].required && !(r->seen & 1ull << i))
            return problem_at(r, 0, "[%s] %s is missing: every configuration needs it",
                              keys[i].section, keys[i].name);
    if (c->udp_port == c->request_port)
        return problem_at(r, 0, "[network] udp_port and [feed] request_port are both %u: give two",
                          c->udp_port);
    if (c->member_count > 0) {
        const struct genesis_founder *own = &c->member[c->id];
        if (own->port == 0)
            return problem_at(r, 0, "[members] has no line for this replica, %u", c->id);
        if (own->ip != c->ip || own->port != c->udp_port)
            return problem_at(r, 0, "[members] %u differs from [network] address and udp_port",
                              c->id);
    }
    char why[CONFIG_FOUNDERS_WHY_MAX];
    const char *founders = config_founders_complete(c, why);
    if (founders != NULL)
        return problem_at(r, 0, "[founders] %s", founders);
    for (uint32_t i = 0; i < c->feed.destination_count; i++)
        if (c->feed.destination[i].port == 0)
            c->feed.destination[i].port = c->feed_port;
    if (c->core[CORE_SEQ] < 0)
        for (int i = CORE_DISK; i <= CORE_AUX; i++)
            if (c->core[i] >= 0)
                return problem_at(r, 0,
                                  "[cores] gives a role a core of its own but seq none: give "
                                  "seq one");
    return true;
}

bool config_parse(struct config *config, const char *name, const char *text, size_t size,
                  char problem[CONFIG_PROBLEM_SIZE])
{
    struct reading r = {
        .config = config, .name = name, .text = text, .end = text + size, .problem = problem};
    defaults(config);
    problem[0] = '\0';
    int line = ini_parse_stream(next_line, &r, on_key, &r);
    if (!r.bad && line > 0)
        problem_at(&r, (uint32_t)line, "neither a section nor `key = value`: correct the line");
    if (!r.bad && line < 0) /* unreachable: an allocation that fails */
        problem_at(&r, 0, "out of memory");
    return !r.bad && complete(&r);
}

bool config_read(struct config *config, const char *path, char problem[CONFIG_PROBLEM_SIZE])
{
    char text[CONFIG_FILE_MAX];
    size_t size = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = fd < 0 ? -1 : 1;
    while (got > 0 && size < sizeof(text)) { /* bound: the buffer */
        got = read(fd, text + size, sizeof(text) - size);
        size += got > 0 ? (size_t)got : 0;
    }
    int error = errno;
    if (fd >= 0)
        close(fd);
    if (got < 0) {
        snprintf(problem, CONFIG_PROBLEM_SIZE,
                 "%s: cannot be read: %s: name the file with --config", path, strerror(error));
        return false;
    }
    if (size == sizeof(text)) {
        snprintf(problem, CONFIG_PROBLEM_SIZE, "%s: longer than %d bytes: this is no configuration",
                 path, CONFIG_FILE_MAX);
        return false;
    }
    return config_parse(config, path, text, size, problem);
}

/* --- what others take from it
 * ---------------------------------------------------------------------- */

void config_startup(const struct config *config, struct startup_options *options)
{
    options->id = config->id;
    options->window_pages = config->window_mib * (1048576 / RING_PAGE_SIZE);
    options->flight_pages = config->flight_pages;
    options->ip = config->ip;
    options->prefix = config->prefix;
    options->gateway = config->gateway;
    options->udp_port = config->udp_port;
    options->feed_request_port = config->request_port;
    options->member_count = config->member_count;
    memcpy(options->member, config->member, sizeof(options->member));
    options->feed = config->feed;
    options->control.checkpoint_ms = config->checkpoint_ms;
    options->control.checkpoint_send_kib_s = config->checkpoint_send_kib_s;
    options->control.scrub_pages_s = config->scrub_pages_s;
}

static void note_key(char *list, size_t room, const char *section, const char *name)
{
    size_t at = strlen(list);
    snprintf(list + at, room - at, "%s[%s]%s%s", at > 0 ? ", " : "", section,
             name[0] != '\0' ? " " : "", name);
}

uint32_t config_fixed_changes(const struct config *a, const struct config *b, char *list,
                              size_t room)
{
    uint32_t count = 0;
    list[0] = '\0';
    for (int i = 0; i < KEY_COUNT; i++) {
        const struct key *key = &keys[i];
        if (key->live || memcmp((const uint8_t *)a + key->offset, (const uint8_t *)b + key->offset,
                                key->size) == 0)
            continue;
        note_key(list, room, key->section, key->name);
        count++;
    }
    if (memcmp(a->member, b->member, sizeof(a->member)) != 0) {
        note_key(list, room, "members", "");
        count++;
    }
    if (a->limit_mask != b->limit_mask || memcmp(a->limit, b->limit, sizeof(a->limit)) != 0) {
        note_key(list, room, "limits", "");
        count++;
    }
    return count;
}

const char *config_limit_problem(const struct config *config, const struct genesis *genesis)
{
    for (int i = 0; i < GENESIS_FIELDS; i++)
        if (config->limit_mask & 1u << i && config->limit[i] != genesis_field_get(genesis, i))
            return genesis_fields[i].name;
    return NULL;
}
