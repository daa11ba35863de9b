/* Texts of people and programs: addresses, sizes, identities, admin requests, keelctl's command
 * line. */
#include "control/address.h"
#include "control/admin_request.h"
#include "control/ctl.h"
#include "control/genesis_fields.h"
#include "control/identity.h"
#include "control/size.h"
#include "tests/unit/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void addresses(void)
{
    static const char *const bad[] = {"",         "1",       "1.2.3",    "1.2.3.4.5", "1.2.3.256",
                                      "1.2.3.04", "a.b.c.d", "1.2.3.4 ", " 1.2.3.4",  "1..2.3",
                                      "1.2.3.4:", "1.2.3.",  "-1.2.3.4", "1.0002.3.4"};
    uint32_t ip, prefix;
    uint16_t port;
    char text[ADDRESS_TEXT_MAX];
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        CU_ASSERT_FALSE(address_ip(bad[i], &ip));
    CU_ASSERT_TRUE(address_ip("255.255.255.255", &ip));
    CU_ASSERT_EQUAL(ip, UINT32_MAX);
    CU_ASSERT_TRUE(address_ip_port("10.1.2.3:65535", &ip, &port));
    CU_ASSERT_STRING_EQUAL(address_text(text, ip, port), "10.1.2.3:65535");
    CU_ASSERT_FALSE(address_ip_port("10.1.2.3:0", &ip, &port));
    CU_ASSERT_FALSE(address_ip_port("10.1.2.3:65536", &ip, &port));
    CU_ASSERT_FALSE(address_ip_port("10.1.2.3", &ip, &port));
    CU_ASSERT_FALSE(address_ip_port("10.1.2.3.4.5.6.7.8.9.10:1", &ip, &port));
    CU_ASSERT_TRUE(address_ip_prefix("10.1.2.3/32", &ip, &prefix));
    CU_ASSERT_FALSE(address_ip_prefix("10.1.2.3/33", &ip, &prefix));
    CU_ASSERT_FALSE(address_ip_prefix("10.1.2.3/0", &ip, &prefix));
    CU_ASSERT_FALSE(address_ip_prefix("10.1.2.3", &ip, &prefix));
}

static void sizes(void)
{
    uint64_t size;
    CU_ASSERT_TRUE(size_parse("4096", &size) && size == 4096);
    CU_ASSERT_TRUE(size_parse("64M", &size) && size == 64u << 20);
    CU_ASSERT_TRUE(size_parse("2T", &size) && size == 2ull << 40);
    static const char *const bad[] = {
        "", "0", "K", "4X", "4GB", "-1", "1.5G", "1024T", "99999999999T", "18446744073709551616"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        CU_ASSERT_FALSE(size_parse(bad[i], &size));
}

static void identities(void)
{
    struct genesis g;
    char why[IDENTITY_WHY_MAX];
    const char *lines[] = {"replica=1 incarnation=00000000000000aB address=10.0.0.1:7400\n",
                           "replica=3", "incarnation=ff", "address=10.0.0.3:7400"};
    genesis_defaults(&g);
    CU_ASSERT_PTR_NULL(identity_read(&g, 4, lines, why));
    CU_ASSERT_EQUAL(g.founder[1].incarnation, 0xab);
    CU_ASSERT_EQUAL(g.founder[3].ip, 0x0a000003);
    const char *spaced[] = {"\n replica=1\t incarnation=1 address=10.0.0.1:7400 \n", " "};
    genesis_defaults(&g);
    CU_ASSERT_PTR_NULL(identity_read(&g, 2, spaced, why));
    CU_ASSERT_EQUAL(g.founder[1].port, 7400);
    static const char *const bad[] = {
        "",
        "replica=0 incarnation=1 address=1.1.1.1:1",
        "replica=8 incarnation=1 address=1.1.1.1:1",
        "incarnation=1 replica=1 address=1.1.1.1:1",
        "replica=1 incarnation=0 address=1.1.1.1:1",
        "replica=1 incarnation= address=1.1.1.1:1",
        "replica=1 incarnation=12x address=1.1.1.1:1",
        "replica=1 incarnation=11111111111111111 address=1.1.1.1:1",
        "replica=1 address=1.1.1.1:1",
        "replica=1 incarnation=1",
        "replica=1 incarnation=1 address=1.1.1.1",
        "replica=1 incarnation=1 address=1.1.1.1:1 extra=1",
        "replica=1 incarnation=1 incarnation=2",
        "replica=1 incarnation=1 address=1.1.1.1:1 address=1.1.1.1:2",
        "replica=1 incarnatio2=1 address=1.1.1.1:1",
        "replica=1 incarnation=1 addreso=1.1.1.1:1",
        "replica=1 incarnation=1 address=1.1.1.1:1 more",
        "address=1.1.1.1:1 replica=1 incarnation=1",
        "replica=1 incarnation=1 "
        "address=0000000000000000000000000000000000000000000000000000000000001.1.1.1:1",
        "replica=1 incarnation=1 address=1.1.1.1:1 replica=1 incarnation=2 address=1.1.1.1:2",
        "replica=1 replica=2 incarnation=2 address=1.1.1.1:2"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        genesis_defaults(&g);
        CU_ASSERT_PTR_NOT_NULL(identity_read(&g, 1, &bad[i], why));
    }
}

static void genesis_field_names(void)
{
    struct genesis g;
    genesis_defaults(&g);
    CU_ASSERT_EQUAL(genesis_field_get(&g, genesis_field_find("election_min_ms")),
                    g.election_min_ms);
    CU_ASSERT_EQUAL(genesis_field_find("election-min-ms"), genesis_field_find("election_min_ms"));
    CU_ASSERT_EQUAL(genesis_field_find("election_min"), -1);
    CU_ASSERT_EQUAL(genesis_field_find(""), -1);
    genesis_field_set(&g, genesis_field_find("flight_bytes"), 77);
    CU_ASSERT_EQUAL(g.flight_bytes, 77);
    /* each number of the record has its name: two stretches, each without a hole */
    int second = genesis_field_find("nodes_max");
    CU_ASSERT_EQUAL(genesis_fields[0].offset, offsetof(struct genesis, election_min_ms));
    for (int i = 1; i < GENESIS_FIELDS; i++)
        if (i != second)
            CU_ASSERT_EQUAL(genesis_fields[i].offset, genesis_fields[i - 1].offset + 4);
    CU_ASSERT_EQUAL(genesis_fields[second - 1].offset + 4, offsetof(struct genesis, reserved1));
    CU_ASSERT_EQUAL(genesis_fields[second].offset, offsetof(struct genesis, nodes_max));
    CU_ASSERT_EQUAL(genesis_fields[GENESIS_FIELDS - 1].offset + 4,
                    offsetof(struct genesis, reserved));
}

/* --- admin requests
 * ---------------------------------------------------------------------------------- */

static enum admin_error ask(const char *text, struct admin_request *request)
{
    char why[ADMIN_WHY_MAX];
    enum admin_error error = admin_request_parse(text, strlen(text), request, why);
    CU_ASSERT_EQUAL(error == ADMIN_OK, why[0] == '\0');
    return error;
}

/* What a command cannot do without. */
static const char *needs(int command)
{
    if (command == ADMIN_DAY)
        return ",\"action\":\"end\",\"name\":\"D1\"";
    if (command == ADMIN_MEMBER)
        return ",\"was\":0,\"voters\":[1,2],\"learners\":[]";
    if (command == ADMIN_AUTOPILOT_SET)
        return ",\"was\":0,\"mode\":\"off\",\"dead_ms\":1000,\"stabilise_ms\":1000,"
               "\"standbys\":[]";
    if (command == ADMIN_DRAIN || command == ADMIN_RESUME)
        return ",\"replica\":2";
    if (command == ADMIN_SESSION_LIMIT)
        return ",\"session\":7,\"rate\":0";
    if (command == ADMIN_NODE_ACL)
        return ",\"path\":\"/a\",\"acl\":[]";
    if (command >= ADMIN_NODE_GET && command <= ADMIN_LOCK_BREAK)
        return ",\"path\":\"/a\"";
    return command > ADMIN_SESSION_LIST && command < ADMIN_NODE_GET ? ",\"session\":7" : "";
}

static void admin_requests(void)
{
    struct admin_request r;
    for (int i = 0; i < ADMIN_COMMAND_COUNT; i++) {
        char text[128];
        snprintf(text, sizeof(text), "{\"v\":1,\"cmd\":\"%s\"%s}", admin_commands[i].name,
                 needs(i));
        CU_ASSERT_EQUAL(ask(text, &r), ADMIN_OK);
        CU_ASSERT_EQUAL((int)r.command, i);
    }
    CU_ASSERT_EQUAL(ask("{\"v\":1,\"cmd\":\"day\",\"action\":\"begin\",\"name\":\"D2\"}", &r),
                    ADMIN_OK);
    CU_ASSERT_TRUE(r.day_begin);
    CU_ASSERT_EQUAL(memcmp(r.day, "D2        ", 10), 0);
    CU_ASSERT_EQUAL(ask("{\"v\":1,\"cmd\":\"backup\",\"backup\":7,\"offset\":0}", &r), ADMIN_OK);
    CU_ASSERT_TRUE(r.backup == 7 && r.offset == 0);
    static const char *const others[] = {"\"backup\":7", "\"offset\":0", "\"other\":1",
                                         "\"backup\":\"7\",\"offset\":0",
                                         "\"backup\":7,\"offset\":\"0\""};
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        char text[128];
        snprintf(text, sizeof(text), "{\"v\":1,\"cmd\":\"backup\",%s}", others[i]);
        CU_ASSERT_EQUAL(ask(text, &r), ADMIN_BAD_REQUEST);
    }
    CU_ASSERT_EQUAL(ask("{\"v\":1,\"cmd\":\"backup\",\"backup\":0,\"offset\":0}", &r),
                    ADMIN_BAD_REQUEST);
    CU_ASSERT_EQUAL(ask("{\"v\":1,\"cmd\":\"backup\",\"backup\":7,\"offset\":-1}", &r),
                    ADMIN_BAD_REQUEST);
    CU_ASSERT_EQUAL(ask("{\"v\":1,\"cmd\":\"metrics\",\"format\":\"numbers\"}", &r), ADMIN_OK);
    CU_ASSERT_FALSE(r.text);
}

static void admin_garbage(void)
{
    static const char *const bad[] = {
        "",
        " ",
        "{",
        "[]",
        "1",
        "\"status\"",
        "null",
        "{}",
        "{\"v\":1}",
        "{\"cmd\":\"status\"}",
        "{\"v\":2,\"cmd\":\"status\"}",
        "{\"v\":\"1\",\"cmd\":\"status\"}",
        "{\"v\":1,\"cmd\":7}",
        "{\"v\":1,\"cmd\":\"status\"} x",
        "{\"v\":1,\"cmd\":\"status\",\"cmd\":\"ring\"}",
        "{\"v\":1,\"cmd\":\"status\",\"jsn\":1}",
        "{\"v\":1,\"cmd\":\"day\"}",
        "{\"v\":1,\"cmd\":\"day\",\"action\":\"stop\",\"name\":\"D\"}",
        "{\"v\":1,\"cmd\":\"day\",\"action\":\"end\",\"name\":\"\"}",
        "{\"v\":1,\"cmd\":\"day\",\"action\":\"end\",\"name\":\"01234567890\"}",
        "{\"v\":1,\"cmd\":\"day\",\"action\":\"end\",\"name\":\"a b\"}",
        "{\"v\":1,\"cmd\":\"metrics\",\"format\":\"xml\"}",
        "{\"v\":1,\"cmd\":\"leader transfer\",\"to\":0}",
        "{\"v\":1,\"cmd\":\"leader transfer\",\"to\":8}",
        "{\"v\":1,\"cmd\":\"leader transfer\",\"to\":\"2\"}",
        "{\"v\":1,\"cmd\":\"status\",\"to\":2}",
        "{\"v\":1,\"cmd\":\"status\",\"read\":1}",
        "\xff\xfe",
        "{\"v\":1,\"cmd\":\"\\u0000\"}"};
    struct admin_request r;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        CU_ASSERT_EQUAL(ask(bad[i], &r), ADMIN_BAD_REQUEST);
    CU_ASSERT_EQUAL(ask("{\"v\":1,\"cmd\":\"reboot\"}", &r), ADMIN_UNKNOWN_COMMAND);
    char why[ADMIN_WHY_MAX], *large = malloc(2 * ADMIN_LINE_MAX);
    memset(large, '[', 2 * ADMIN_LINE_MAX); /* deep as well as long */
    CU_ASSERT_EQUAL(admin_request_parse(large, 2 * ADMIN_LINE_MAX, &r, why), ADMIN_BAD_REQUEST);
    CU_ASSERT_EQUAL(admin_request_parse(large, ADMIN_LINE_MAX, &r, why), ADMIN_BAD_REQUEST);
    free(large);
    /* every truncation, and every changed byte, gives a request or a reason */
    const char *sound = "{\"v\":1,\"cmd\":\"day\",\"action\":\"begin\",\"name\":\"D2\"}";
    for (size_t i = 0; i < strlen(sound); i++) {
        CU_ASSERT_EQUAL(admin_request_parse(sound, i, &r, why), ADMIN_BAD_REQUEST);
        char text[128];
        strcpy(text, sound);
        for (int b = 1; b < 256; b++) {
            text[i] = (char)b;
            ask(text, &r);
        }
    }
}

static void error_words_are_distinct(void)
{
    for (int i = 0; i < ADMIN_ERROR_COUNT; i++)
        for (int k = 0; k < i; k++)
            CU_ASSERT_STRING_NOT_EQUAL(admin_error_name((enum admin_error)i),
                                       admin_error_name((enum admin_error)k));
}

/* --- keelctl
 * ------------------------------------------------------------------------------------------ */

static int parse_line(struct ctl *ctl, const char *line)
{
    static char buffer[512];
    char *argv[32];
    int argc = 1;
    argv[0] = "keelctl";
    snprintf(buffer, sizeof(buffer), "%s", line);
    for (char *word = strtok(buffer, " "); word != NULL && argc < 32; word = strtok(NULL, " "))
        argv[argc++] = word;
    return ctl_parse(ctl, argc, argv);
}

static void every_command_is_found(void)
{
    for (uint32_t i = 0; i < ctl_command_count; i++) {
        const struct ctl_command *c = &ctl_commands[i];
        struct ctl ctl;
        char line[512];
        int at = snprintf(line, sizeof(line), "%s", c->name);
        for (int w = 0; w < c->words_min; w++)
            at += snprintf(line + at, sizeof(line) - (size_t)at, " word%d", w);
        CU_ASSERT_EQUAL(parse_line(&ctl, line), CTL_DONE);
        CU_ASSERT_PTR_EQUAL(ctl.command, c);
        CU_ASSERT_EQUAL(ctl.word_count, c->words_min);
        CU_ASSERT_PTR_NOT_NULL(c->run);
        CU_ASSERT_EQUAL(strncmp(c->example, "keelctl ", 8), 0);
        CU_ASSERT_EQUAL(strncmp(c->example + 8, c->name, strlen(c->name)), 0);
        CU_ASSERT_EQUAL(c->words_max > 0, c->words != NULL);
        snprintf(line, sizeof(line), "%s --help", c->name);
        CU_ASSERT_EQUAL(parse_line(&ctl, line), CTL_DONE);
        CU_ASSERT_TRUE(ctl.help && ctl.command == c);
    }
}

static void every_admin_command_has_one_that_asks_it(void)
{
    for (int i = 0; i < ADMIN_COMMAND_COUNT; i++) {
        bool found = false;
        size_t size = strlen(admin_commands[i].name);
        for (uint32_t k = 0; k < ctl_command_count; k++)
            found = found ||
                    (strncmp(ctl_commands[k].name, admin_commands[i].name, size) == 0 &&
                     (ctl_commands[k].name[size] == '\0' || ctl_commands[k].name[size] == ' '));
        CU_ASSERT_TRUE(found);
    }
}

static void options_anywhere(void)
{
    struct ctl ctl;
    CU_ASSERT_EQUAL(parse_line(&ctl, "-s /x --json ring dump --from 5 --to=9 FILE --pages"),
                    CTL_DONE);
    CU_ASSERT_STRING_EQUAL(ctl.command->name, "ring dump");
    CU_ASSERT_STRING_EQUAL(ctl.socket, "/x");
    CU_ASSERT_TRUE(ctl.json);
    CU_ASSERT_STRING_EQUAL(ctl.value[0], "5");
    CU_ASSERT_STRING_EQUAL(ctl.value[1], "9");
    CU_ASSERT_PTR_NOT_NULL(ctl.value[2]);
    CU_ASSERT_PTR_NULL(ctl.value[3]);
    CU_ASSERT_STRING_EQUAL(ctl.word[0], "FILE");
    CU_ASSERT_EQUAL(parse_line(&ctl, "status --timeout 3000"), CTL_DONE);
    CU_ASSERT_EQUAL(ctl.timeout_ms, 3000);
    CU_ASSERT_EQUAL(parse_line(&ctl, "ring verify -- --odd-name"), CTL_DONE);
    CU_ASSERT_STRING_EQUAL(ctl.word[0], "--odd-name");
    CU_ASSERT_EQUAL(parse_line(&ctl, "ring"), CTL_DONE);
    CU_ASSERT_STRING_EQUAL(ctl.command->name, "ring");
    CU_ASSERT_EQUAL(parse_line(&ctl, "--help"), CTL_DONE);
    CU_ASSERT_PTR_NULL(ctl.command);
}

static void a_line_of_the_shell(void)
{
    static const struct {
        const char *line;
        int count;
        const char *last;
    } list[] = {{"", 0, ""},
                {"   ", 0, ""},
                {"status", 1, "status"},
                {" ring  verify\t'/a b'  ", 3, "/a b"},
                {"node set /a --text \"it's\"", 5, "it's"},
                {"x ''", 2, ""},
                {"a'b c'd", 1, "ab cd"},
                {"x 'y", -1, ""}};
    for (size_t i = 0; i < sizeof(list) / sizeof(list[0]); i++) {
        char line[64], *word[CTL_SHELL_WORDS];
        strcpy(line, list[i].line);
        int count = ctl_shell_words(line, word);
        CU_ASSERT_EQUAL(count, list[i].count);
        if (count > 0)
            CU_ASSERT_STRING_EQUAL(word[count - 1], list[i].last);
    }
    char many[4 * CTL_SHELL_WORDS + 1] = "", *word[CTL_SHELL_WORDS];
    for (int i = 0; i < CTL_SHELL_WORDS; i++)
        strcat(many, "x ");
    CU_ASSERT_EQUAL(ctl_shell_words(many, word), -1);
}

static void what_the_shell_completes(void)
{
    static const struct {
        const char *line, *all;
    } list[] = {{"mem", "member "},
                {"ring ", "verify dump "},
                {"ring v", "verify "},
                {"genesis create --d", "--day "},
                {"status --re", "--read "},
                {"status --", "--read --socket --timeout --watch --json --help "},
                {"ring verify x --s", "--socket "},
                {"ring verify x", ""},
                {"nothing ", ""},
                {"'open ", ""}};
    for (size_t i = 0; i < sizeof(list) / sizeof(list[0]); i++) {
        char all[256] = "", text[64];
        const char *one;
        for (uint32_t n = 0;
             (one = ctl_shell_candidate(list[i].line, (int)strlen(list[i].line), n, text)) != NULL;
             n++) {
            strcat(all, one);
            strcat(all, " ");
        }
        CU_ASSERT_STRING_EQUAL(all, list[i].all);
    }
}

static void usage_errors(void)
{
    static const char *const bad[] = {"",
                                      "stat",
                                      "ring verify",
                                      "ring verify a b",
                                      "ring frob",
                                      "day",
                                      "day end",
                                      "day end a b",
                                      "genesis",
                                      "key new replica",
                                      "status extra",
                                      "status --verbose",
                                      "status -x",
                                      "status --json=1",
                                      "status --timeout",
                                      "status --timeout 0",
                                      "status --timeout x",
                                      "--socket",
                                      "ring dump --from",
                                      "ring dump f --from 1 --from 2",
                                      "ring dump f --pages=1",
                                      "--",
                                      "genesis create x --frob 1",
                                      "genesis create x --election-min-ms many"};
    struct ctl ctl;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        int code = parse_line(&ctl, bad[i]);
        if (code != CTL_USAGE)
            printf("# '%s' gave %d\n", bad[i], code);
        CU_ASSERT_EQUAL(code, CTL_USAGE);
        free(ctl.more);
    }
}

static void exit_codes_are_pinned(void)
{
    static const struct {
        const char *code;
        int leader, exit;
    } list[] = {{"bad-request", 0, 2},   {"unknown-command", 0, 2}, {"denied", 0, 1},
                {"not-leader", 2, 5},    {"not-leader", 0, 7},      {"busy", 0, 1},
                {"lost", 0, 1},          {"timed-out", 0, 4},       {"refused", 0, 1},
                {"configuration", 0, 6}, {"failed", 0, 1},          {"unsafe", 0, 6},
                {"no-quorum", 0, 7}};
    for (size_t i = 0; i < sizeof(list) / sizeof(list[0]); i++) {
        json_t *error = json_pack("{s:s,s:s,s:i}", "code", list[i].code, "why", "because", "leader",
                                  list[i].leader);
        CU_ASSERT_EQUAL(ctl_error("day", error), list[i].exit);
        json_decref(error);
    }
    struct ctl ctl = {.socket = "/nonexistent/keeld.sock", .timeout_ms = 1000};
    json_t *result = NULL;
    CU_ASSERT_EQUAL(ctl_ask(&ctl, "status", NULL, &result), 3);
    CU_ASSERT_EQUAL(CTL_DONE, 0);
    CU_ASSERT_EQUAL(CTL_REFUSED, 6);
}

int main(void)
{
    static const struct unit_test tests[] = {
        {"addresses", addresses},
        {"sizes", sizes},
        {"identities as format prints them", identities},
        {"names of the genesis record's numbers", genesis_field_names},
        {"admin requests", admin_requests},
        {"admin garbage, oversize, truncated, changed", admin_garbage},
        {"error words are distinct", error_words_are_distinct},
        {"keelctl: every command is found and has its help", every_command_is_found},
        {"keelctl asks everything that the daemon answers",
         every_admin_command_has_one_that_asks_it},
        {"keelctl: options stand anywhere", options_anywhere},
        {"keelctl: a line of the shell", a_line_of_the_shell},
        {"keelctl: what the shell completes", what_the_shell_completes},
        {"keelctl: usage errors", usage_errors},
        {"keelctl: exit codes are pinned", exit_codes_are_pinned},
        {0}};
    return unit_main("words", tests);
}
