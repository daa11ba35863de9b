/* The configuration: what it takes, and that each mistake is named with its line and a remedy. */
#include "control/config_show.h"
#include "tests/unit/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char sound[] = "[replica]\n"                 /* 1 */
                            "id = 2\n"                    /* 2 */
                            "data = /var/lib/keel/ring\n" /* 3 */
                            "[network]\n"                 /* 4 */
                            "port = af_packet:eth1\n"     /* 5 */
                            "address = 10.0.0.2/24\n"     /* 6 */
                            "[members]\n"                 /* 7 */
                            "1 = 10.0.0.1:7400\n"         /* 8 */
                            "2 = 10.0.0.2:7400\n"         /* 9 */
                            "[keys]\n"                    /* 10 */
                            "file = /etc/keel/keys\n";    /* 11 */

static bool parse(struct config *config, const char *text, char *problem)
{
    return config_parse(config, "f.conf", text, strlen(text), problem);
}

static void takes_a_sound_file(void)
{
    struct config c;
    char problem[CONFIG_PROBLEM_SIZE];
    CU_ASSERT_TRUE_FATAL(parse(&c, sound, problem));
    CU_ASSERT_EQUAL(c.id, 2);
    CU_ASSERT_STRING_EQUAL(c.data, "/var/lib/keel/ring");
    CU_ASSERT_STRING_EQUAL(c.device, "net_af_packet0,iface=eth1");
    CU_ASSERT_EQUAL(c.ip, 0x0a000002);
    CU_ASSERT_EQUAL(c.prefix, 24);
    CU_ASSERT_EQUAL(c.udp_port, CONFIG_UDP_PORT);
    CU_ASSERT_EQUAL(c.member_count, 2);
    CU_ASSERT_EQUAL(c.member[1].ip, 0x0a000001);
    CU_ASSERT_EQUAL(c.core[CORE_SEQ], -1);
    CU_ASSERT_STRING_EQUAL(c.socket, "/run/keel/keeld.sock");
}

static void every_key(char *text, size_t room)
{
    snprintf(
        text, room,
        "%s# a comment\n; another\n\n  [feed]\n  framing = envelope\n\tport = 9000\n"
        "request_port = 9001\ndestinations = 239.1.1.1, 10.0.0.9:77\nconsumers = 10.0.0.9 "
        "10.0.0.8\n"
        "heartbeat_ms = 250\n[ring]\nwindow_mib = 64\nflight_pages = 8\ncheckpoint_ms = 5000\n"
        "checkpoint_send_kib_s = 2048\nscrub_pages_s = 50\n"
        "[cores]\nseq = 3\ndisk = 4\nfeed =\naux = 4\ncontrol = 0\nidle = spin\nsleep_us = 20\n"
        "[memory]\nhugepages = no\npool_mib = 64\n[eal]\nextra = --log-level=7\n[admin]\n"
        "socket = /tmp/x.sock\nblackbox = /tmp/x.box\ngroup = ops\nusers = alice, 1001\nread_group "
        "= look\n"
        "read_users = 99\n[limits]\nelection_min_ms = 150\nwindow_max = 64\n",
        sound);
}

static void takes_every_key(void)
{
    struct config c;
    char problem[CONFIG_PROBLEM_SIZE], text[4096];
    every_key(text, sizeof(text));
    CU_ASSERT_TRUE_FATAL(parse(&c, text, problem));
    CU_ASSERT_EQUAL(c.feed.framing, FEED_ENVELOPE);
    CU_ASSERT_EQUAL(c.feed.destination_count, 2);
    CU_ASSERT_EQUAL(c.feed.destination[0].port, 9000);
    CU_ASSERT_EQUAL(c.feed.destination[1].port, 77);
    CU_ASSERT_EQUAL(c.feed.consumer_count, 2);
    CU_ASSERT_EQUAL(c.feed.consumer[1], 0x0a000008);
    CU_ASSERT_EQUAL(c.request_port, 9001);
    CU_ASSERT_EQUAL(c.idle, IDLE_SPIN);
    CU_ASSERT_EQUAL(c.pages, EAL_PAGES_ORDINARY);
    CU_ASSERT_STRING_EQUAL(c.group, "ops");
    CU_ASSERT_STRING_EQUAL(c.users, "alice, 1001");
    CU_ASSERT_STRING_EQUAL(c.read_group, "look");
    CU_ASSERT_STRING_EQUAL(c.read_users, "99");
    struct config_thread threads[4];
    CU_ASSERT_EQUAL_FATAL(config_threads(&c, threads), 2);
    CU_ASSERT_EQUAL(threads[0].roles, ROLE_SEQ | ROLE_FEED);
    CU_ASSERT_EQUAL(threads[0].core, 3);
    CU_ASSERT_EQUAL(threads[1].roles, ROLE_DISK | ROLE_AUX);
    CU_ASSERT_EQUAL(threads[1].core, 4);
}

/* What is shown, as a file again; how many rows are no default. */
static uint32_t shown_text(const struct config *c, char *text, size_t room)
{
    static struct config_shown row;
    uint32_t stated = 0;
    text[0] = '\0';
    for (uint32_t i = 0; config_show(c, i, &row); i++) {
        size_t at = strlen(text);
        CU_ASSERT_TRUE(i < CONFIG_SHOWN_MAX);
        stated += !row.is_default;
        if (!row.is_default)
            snprintf(text + at, room - at, "[%s]\n%s = %s\n", row.section, row.name, row.value);
    }
    return stated;
}

static void what_is_shown_reads_as_the_same(void)
{
    struct config c, again;
    char problem[CONFIG_PROBLEM_SIZE], text[8192];
    every_key(text, sizeof(text));
    strcat(text, "[network]\ngateway = 10.0.0.254\nudp_port = 7400\n");
    CU_ASSERT_TRUE_FATAL(parse(&c, text, problem));
    shown_text(&c, text, sizeof(text));
    CU_ASSERT_TRUE_FATAL(parse(&again, text, problem));
    CU_ASSERT_EQUAL(memcmp(&again, &c, sizeof(c)), 0);
    /* of the shortest file only what it says is no default; a default that 0 stands for is told */
    CU_ASSERT_TRUE_FATAL(parse(&c, sound, problem));
    CU_ASSERT_EQUAL(shown_text(&c, text, sizeof(text)), 7);
    struct config_shown row;
    for (uint32_t i = 0; config_show(&c, i, &row); i++)
        if (strcmp(row.name, "window_mib") == 0)
            CU_ASSERT_STRING_EQUAL(row.value, "16");
}

static void h3_limits_state_what_genesis_says(void)
{
    /* H3: an election timeout that differs between servers lets a vote fall inside a lease. */
    struct config c;
    struct genesis g;
    char problem[CONFIG_PROBLEM_SIZE], text[1024];
    snprintf(text, sizeof(text), "%s[limits]\nelection_min_ms = 150\nrho_ppm = 200\n", sound);
    CU_ASSERT_TRUE_FATAL(parse(&c, text, problem));
    genesis_defaults(&g);
    CU_ASSERT_PTR_NULL(config_limit_problem(&c, &g));
    g.rho_ppm = 300;
    CU_ASSERT_STRING_EQUAL(config_limit_problem(&c, &g), "rho_ppm");
    g.rho_ppm = 200;
    g.window_max = 8; /* not stated: genesis alone decides */
    CU_ASSERT_PTR_NULL(config_limit_problem(&c, &g));
}

/* A line put behind the sound file, at line 12 of a section. */
struct mistake {
    const char *section, *line;
    const char *says;
};

static const struct mistake mistakes[] = {
    {"replica", "name = x", "[replica] has no key 'name': it has id, data"},
    {"replica", "id = 2", "is given twice"},
    {"eal", "extra =", "give 1 to 191 characters"},
    {"admin", "group = 0123456789012345678901234567890123456789012345678901234567890123",
     "give 1 to 63 characters"},
    {"network", "udp_port = 70000", "from 1 to 65535"},
    {"network", "udp_port = 7400 7401", "whole number"},
    {"network", "udp_port = -1", "whole number"},
    {"network", "gateway = 10.0.0", "IPv4 address"},
    {"network", "gateway = 10.0.0.01", "IPv4 address"},
    {"network", "adress = 10.0.0.2/24", "no key 'adress'"},
    {"members", "8 = 10.0.0.8:7400", "ids from 1 to 7"},
    {"members", "one = 10.0.0.8:7400", "ids from 1 to 7"},
    {"members", "2 = 10.0.0.2:7400", "given twice"},
    {"members", "3 = 10.0.0.3", "address and port"},
    {"feed", "framing = cooked", "one of raw, envelope"},
    {"feed", "destinations = 239.1.1.1:x", "give addresses"},
    {"feed",
     "destinations = 1.1.1.1 1.1.1.2 1.1.1.3 1.1.1.4 1.1.1.5 1.1.1.6 1.1.1.7 1.1.1.8 1.1.1.9",
     "at most 8"},
    {"feed", "consumers = 10.0.0.9:80", "without a port"},
    {"feed",
     "consumers = 10.0.0.9 10.0.0.100.0.0.100.0.0.100.0.0.100.0.0.100.0.0.100.0.0.100.0.0.100",
     "'10.0.0.100.0.0.100.0...' is too long for an address"},
    {"ring", "window_mib = 0", "from 1 to"},
    {"ring", "flight_pages = 65", "from 1 to 64"},
    {"cores", "seq = two", "core's number"},
    {"cores", "idle = nap", "one of spin, yield, sleep"},
    {"memory", "hugepages = maybe", "one of auto, yes, no"},
    {"limits", "election_ms = 1", "no such number"},
    {"limits", "rho_ppm = x", "whole number"},
    {"limits", "rho-ppm = 1", "no such number"},
    {"keys", "file = /else", "given twice"},
    {"keys", "no equals sign here", "neither a section nor"},
    {"nonsense", "a = b", NULL /* line 12 itself */},
};

static void each_mistake_has_its_line(void)
{
    for (size_t i = 0; i < sizeof(mistakes) / sizeof(mistakes[0]); i++) {
        struct config c;
        char problem[CONFIG_PROBLEM_SIZE], text[2048];
        const struct mistake *m = &mistakes[i];
        snprintf(text, sizeof(text), "%s[%s]\n%s\n", sound, m->section, m->line);
        CU_ASSERT_FALSE(parse(&c, text, problem));
        bool section = m->says == NULL;
        const char *place = section ? "f.conf:12: " : "f.conf:13: ";
        const char *says = section ? "unknown section [nonsense]: there are replica" : m->says;
        if (strncmp(problem, place, strlen(place)) != 0 || strstr(problem, says) == NULL) {
            printf("# [%s] %s: %s\n", m->section, m->line, problem);
            CU_FAIL("another message");
        }
    }
}

static void a_required_key_is_named(void)
{
    static const char *const keys[] = {"id = 2\n", "data = /var/lib/keel/ring\n",
                                       "port = af_packet:eth1\n", "address = 10.0.0.2/24\n",
                                       "file = /etc/keel/keys\n"};
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        struct config c;
        char problem[CONFIG_PROBLEM_SIZE], text[1024], name[32];
        strcpy(text, sound);
        char *at = strstr(text, keys[i]);
        memmove(at, at + strlen(keys[i]), strlen(at + strlen(keys[i])) + 1);
        CU_ASSERT_FALSE(parse(&c, text, problem));
        snprintf(name, sizeof(name), "%.*s is missing", (int)strcspn(keys[i], " "), keys[i]);
        CU_ASSERT_PTR_NOT_NULL(strstr(problem, name));
    }
}

static void parts_must_fit_each_other(void)
{
    struct config c;
    char problem[CONFIG_PROBLEM_SIZE], text[1024];
    strcpy(text, sound);
    strstr(text, "2 = 10.0.0.2")[strlen("2 = 10.0.0.")] = '9';
    CU_ASSERT_FALSE(parse(&c, text, problem));
    CU_ASSERT_PTR_NOT_NULL(strstr(problem, "differs from [network]"));
    snprintf(text, sizeof(text), "%s[limits]\nrho_ppm = 1\nrho_ppm = 1\n", sound);
    CU_ASSERT_FALSE(parse(&c, text, problem));
    CU_ASSERT_STRING_EQUAL(problem,
                           "f.conf:14: [limits] rho_ppm is given twice: take one line out");
    snprintf(text, sizeof(text), "%s[feed]\nrequest_port = 7400\n", sound);
    CU_ASSERT_FALSE(parse(&c, text, problem));
    CU_ASSERT_PTR_NOT_NULL(strstr(problem, "give two"));
    snprintf(text, sizeof(text), "%s[cores]\ndisk = 1\n", sound);
    CU_ASSERT_FALSE(parse(&c, text, problem));
    CU_ASSERT_PTR_NOT_NULL(strstr(problem, "seq none"));
}

static void ports_become_devices(void)
{
    static const struct {
        const char *port, *device; /* NULL: refused */
    } list[] = {{"af_xdp:v0", "net_af_xdp0,iface=v0,busy_budget=0"},
                {"0000:04:00.0", "0000:04:00.0"},
                {"04:00.0", "04:00.0"},
                {"0000:04:00.0,rx=1", "0000:04:00.0,rx=1"},
                {"net_tap0,iface=t", "net_tap0,iface=t"},
                {"af_packet:", NULL},
                {"af_packet:much-too-long-a-name", NULL},
                {"af_packet:a,b=c", NULL},
                {"af_packet:a b", NULL},
                {"af_packet:a\x7f", NULL},
                {"0000:04:00.0x", NULL},
                {"04:00", NULL},
                {"eth0", NULL},
                {"/dev/null", NULL}};
    for (size_t i = 0; i < sizeof(list) / sizeof(list[0]); i++) {
        struct config c;
        char problem[CONFIG_PROBLEM_SIZE], text[1024];
        snprintf(text, sizeof(text),
                 "[network]\nport = %s\naddress = 10.0.0.2/24\n"
                 "[replica]\nid = 2\ndata = x\n[keys]\nfile = k\n",
                 list[i].port);
        bool taken = parse(&c, text, problem);
        CU_ASSERT_EQUAL(taken, list[i].device != NULL);
        if (list[i].device != NULL) {
            CU_ASSERT_STRING_EQUAL(c.device, list[i].device);
        } else {
            CU_ASSERT_PTR_NOT_NULL(strstr(problem, "f.conf:2: "));
        }
    }
}

/* What libinih passes over at the begin of a line hides no section from the check of its name. */
static void a_sections_name_is_checked_behind_anything(void)
{
    static const struct {
        const char *before, *text, *says; /* NULL: taken */
    } list[] = {
        {"", "[nonsense]\n", "f.conf:1: unknown section [nonsense]"},
        {"", "\f[nonsense]\n", "f.conf:1: unknown section [nonsense]"},
        {"[replica]\n", "\v\r[nonsense]\n", "f.conf:2: unknown section [nonsense]"},
        {"", "[nonsense\n", "f.conf:1: a section's name ends with ]"},
        {"", "[01234567890123456789012345678901234567890123456789012345678901234567890]\n",
         "[012345678901234567890123456789012345678901234567890123456789]"},
        {"", "\xef\xbb\xbf[nonsense]\na = b\n", "unknown section [nonsense]"},
        {"", "\xef\xbb\xbf[nonsense]\n", "f.conf:1: unknown section [nonsense]"},
        {"", " \xef\xbb\xbf\xef\xbb\xbf\t[nonsense]\n", "f.conf:1: unknown section [nonsense]"},
        {"", "\xef\xbb\xbf", NULL},
        {"", "\f[replica]\r\n\v\n", NULL},
    };
    for (size_t i = 0; i < sizeof(list) / sizeof(list[0]); i++) {
        struct config c;
        char problem[CONFIG_PROBLEM_SIZE], text[1024];
        snprintf(text, sizeof(text), "%s%s%s", list[i].before, list[i].text, sound);
        CU_ASSERT_EQUAL(parse(&c, text, problem), list[i].says == NULL);
        CU_ASSERT_PTR_NOT_NULL(strstr(problem, list[i].says == NULL ? "" : list[i].says));
    }
}

static void a_long_name_leaves_no_room(void)
{
    struct config c;
    char problem[CONFIG_PROBLEM_SIZE], name[2 * CONFIG_PROBLEM_SIZE];
    memset(name, 'n', sizeof(name));
    name[sizeof(name) - 1] = '\0';
    CU_ASSERT_FALSE(config_parse(&c, name, "[x]\n", 4, problem));
    CU_ASSERT_EQUAL(strlen(problem), CONFIG_PROBLEM_SIZE - 1);
    CU_ASSERT_EQUAL(strspn(problem, "n"), CONFIG_PROBLEM_SIZE - 1);
}

static void lists_and_words(void)
{
    static const struct {
        const char *word;
        enum loop_idle idle;
        const char *hugepages;
        enum eal_pages pages;
    } list[] = {{"spin", IDLE_SPIN, "auto", EAL_PAGES_AUTO},
                {"yield", IDLE_YIELD, "yes", EAL_PAGES_HUGE},
                {"sleep", IDLE_SLEEP, "no", EAL_PAGES_ORDINARY}};
    for (size_t i = 0; i < sizeof(list) / sizeof(list[0]); i++) {
        struct config c;
        char problem[CONFIG_PROBLEM_SIZE], text[1024];
        snprintf(text, sizeof(text),
                 "%s[feed]\ndestinations = ,10.0.0.8 ,, 10.0.0.9,\n"
                 "[network]\ngateway = 10.0.0.254\n[cores]\nidle = %s\n[memory]\nhugepages = %s\n",
                 sound, list[i].word, list[i].hugepages);
        CU_ASSERT_TRUE(parse(&c, text, problem));
        CU_ASSERT_EQUAL(c.idle, list[i].idle);
        CU_ASSERT_EQUAL(c.pages, list[i].pages);
        CU_ASSERT_EQUAL(c.gateway, 0x0a0000fe);
        CU_ASSERT_EQUAL(c.feed.destination_count, 2);
        CU_ASSERT_EQUAL(c.feed.destination[0].ip, 0x0a000008);
        CU_ASSERT_EQUAL(c.feed.destination[1].ip, 0x0a000009);
    }
}

static void odd_bytes_are_errors(void)
{
    struct config c;
    char problem[CONFIG_PROBLEM_SIZE], text[2048];
    size_t size = (size_t)snprintf(text, sizeof(text), "%s", sound);
    memcpy(text + size, "a\0b\n", 4);
    CU_ASSERT_FALSE(config_parse(&c, "f.conf", text, size + 4, problem));
    CU_ASSERT_PTR_NOT_NULL(strstr(problem, "f.conf:12: a zero byte"));
    memset(text + size, 'x', 300);
    CU_ASSERT_FALSE(config_parse(&c, "f.conf", text, size + 300, problem));
    CU_ASSERT_PTR_NOT_NULL(strstr(problem, "f.conf:12: the line is longer"));
    /* every prefix and every changed byte is taken or refused, never anything else */
    uint64_t taken = 0;
    for (size_t i = 0; i < strlen(sound); i++) {
        taken += config_parse(&c, "f.conf", sound, i, problem);
        memcpy(text, sound, sizeof(sound));
        for (int b = 0; b < 256; b += 5) {
            text[i] = (char)b;
            bool good = config_parse(&c, "f.conf", text, strlen(sound), problem);
            CU_ASSERT_TRUE(good || strncmp(problem, "f.conf:", 7) == 0);
        }
    }
    CU_ASSERT_TRUE(taken < 20); /* only what lacks the end of the last value */
}

static void a_file_that_cannot_be_read_is_said(void)
{
    struct config c;
    char problem[CONFIG_PROBLEM_SIZE];
    CU_ASSERT_FALSE(config_read(&c, "/nonexistent/keeld.conf", problem));
    CU_ASSERT_PTR_NOT_NULL(strstr(problem, "No such file"));
    CU_ASSERT_FALSE(config_read(&c, "/", problem));
    CU_ASSERT_PTR_NOT_NULL(strstr(problem, "cannot be read"));
    char path[] = "/tmp/keel-config-XXXXXX";
    int fd = mkstemp(path);
    CU_ASSERT_EQUAL(write(fd, sound, strlen(sound)), (ssize_t)strlen(sound));
    CU_ASSERT_TRUE(config_read(&c, path, problem));
    /* comments as far as a file may reach; one byte more is refused */
    for (size_t size = strlen(sound); size < CONFIG_FILE_MAX; size += 64) {
        char line[64];
        memset(line, '#', sizeof(line));
        line[63] = '\n';
        size_t room = CONFIG_FILE_MAX - 1 - size;
        size_t part = room < sizeof(line) ? room : sizeof(line);
        CU_ASSERT_EQUAL(write(fd, line + sizeof(line) - part, part), (ssize_t)part);
    }
    CU_ASSERT_TRUE(config_read(&c, path, problem));
    CU_ASSERT_EQUAL(write(fd, "\n", 1), 1);
    CU_ASSERT_FALSE(config_read(&c, path, problem));
    CU_ASSERT_PTR_NOT_NULL(strstr(problem, "longer than 65536 bytes"));
    close(fd);
    unlink(path);
}

static void says(const char *more, uint32_t count, const char *list)
{
    struct config runs, file;
    char problem[CONFIG_PROBLEM_SIZE], text[4096], names[128];
    snprintf(text, sizeof(text), "%s%s", sound, more);
    CU_ASSERT_TRUE_FATAL(parse(&runs, sound, problem));
    CU_ASSERT_TRUE_FATAL(parse(&file, text, problem));
    CU_ASSERT_EQUAL(config_fixed_changes(&runs, &file, names, sizeof(names)), count);
    CU_ASSERT_STRING_EQUAL(names, list);
    CU_ASSERT_EQUAL(config_fixed_changes(&file, &runs, names, sizeof(names)), count);
}

static void what_needs_a_restart_is_named(void)
{
    says("", 0, "");
    /* the default, said aloud */
    says("[feed]\nheartbeat_ms = 1000\n[admin]\nsocket = /run/keel/keeld.sock\n", 0, "");
    says("[feed]\ndestinations = 10.0.0.9\nconsumers = 10.0.0.9\nport = 9000\n", 0, "");
    says("[feed]\nframing = envelope\nheartbeat_ms = 9\n", 2,
         "[feed] framing, [feed] heartbeat_ms");
    says("[cores]\nseq = 1\n[admin]\nsocket = /s\n", 2, "[cores] seq, [admin] socket");
    says("[members]\n3 = 10.0.0.3:7400\n[limits]\nwindow_max = 64\n", 2, "[members], [limits]");
    says("[cores]\nseq = 1\ndisk = 2\nfeed = 3\naux = 4\ncontrol = 5\nidle = spin\nsleep_us = 9\n"
         "[memory]\nhugepages = no\npool_mib = 64\n[ring]\nwindow_mib = 64\n",
         10,
         "[ring] window_mib, [cores] seq, [cores] disk, [cores] feed, [cores] aux, "
         "[cores] control, [cores] idle, [cores] sleep_us, [memo"); /* as far as there is room */
    struct config runs, file;
    char problem[CONFIG_PROBLEM_SIZE], text[1024], names[128];
    snprintf(text, sizeof(text), "%s[limits]\nrho_ppm = 1\n", sound);
    CU_ASSERT_TRUE_FATAL(parse(&runs, text, problem));
    text[strlen(text) - 2] = '2';
    CU_ASSERT_TRUE_FATAL(parse(&file, text, problem));
    CU_ASSERT_EQUAL(config_fixed_changes(&runs, &file, names, sizeof(names)), 1);
    CU_ASSERT_STRING_EQUAL(names, "[limits]");
    CU_ASSERT_TRUE_FATAL(parse(&runs, sound, problem));
    strcpy(text, sound);
    char *at = strstr(text, "10.0.0.2/24");
    CU_ASSERT_PTR_NOT_NULL_FATAL(at);
    memcpy(at, "10.0.0.2/25", 11);
    CU_ASSERT_TRUE_FATAL(parse(&file, text, problem));
    CU_ASSERT_EQUAL(config_fixed_changes(&runs, &file, names, sizeof(names)), 1);
    CU_ASSERT_STRING_EQUAL(names, "[network] address");
}

int main(void)
{
    static const struct unit_test tests[] = {
        {"a sound file is taken, with defaults", takes_a_sound_file},
        {"every key is taken; roles on one core share a thread", takes_every_key},
        {"what is shown reads as the same", what_is_shown_reads_as_the_same},
        {"H3: limits state what the genesis record says", h3_limits_state_what_genesis_says},
        {"each mistake is named with its line", each_mistake_has_its_line},
        {"a required key that lacks is named", a_required_key_is_named},
        {"parts that contradict each other", parts_must_fit_each_other},
        {"ports become DPDK devices", ports_become_devices},
        {"a section's name is checked behind anything", a_sections_name_is_checked_behind_anything},
        {"a long name leaves no room", a_long_name_leaves_no_room},
        {"lists with commas, words of a choice, a gateway", lists_and_words},
        {"zero bytes, long lines, prefixes, changed bytes", odd_bytes_are_errors},
        {"what needs a restart is named", what_needs_a_restart_is_named},
        {"a file that cannot be read", a_file_that_cannot_be_read_is_said},
        {0}};
    return unit_main("config", tests);
}
