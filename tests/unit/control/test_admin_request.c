/* Admin requests field by field: what each command takes, and what it says about what it does not.
 */
#include "control/admin_request.h"
#include "tests/unit/unit.h"

#include <stdio.h>
#include <string.h>

static enum admin_error ask(const char *command, const char *more, struct admin_request *request,
                            char *why)
{
    char line[512];
    int size = snprintf(line, sizeof(line), "{\"v\":1,\"cmd\":\"%s\"%s%s}", command,
                        more[0] != '\0' ? "," : "", more);
    return admin_request_parse(line, (size_t)size, request, why);
}

#define NEW "\"was\":7,\"voters\":[1,4],\"learners\":[],\"new\":"
#define FOUR "\"replica\":4,\"address\":\"10.0.0.4:7400\",\"incarnation\":\"00c0ffee\""

#define ACL "\"path\":\"/a\",\"acl\":["
#define TIMES "\"dead_ms\":1000,\"stabilise_ms\":86400000"
#define ON "\"mode\":\"on\"," TIMES ",\"standbys\":[5,4]"

static const struct refusal {
    const char *command, *more, *says;
} refusals[] = {
    {"day", "\"action\":\"end\"", "\"name\""},
    {"day", "\"action\":\"end\",\"name\":7", "\"name\""},
    {"day", "\"action\":\"end\",\"name\":\"\\u007f\"", "\"name\""},
    {"day", "\"action\":7,\"name\":\"D\"", "\"action\""},
    {"member", "", "\"was\""},
    {"member", "\"was\":\"7\",\"voters\":[1],\"learners\":[]", "\"was\""},
    {"member", "\"was\":-1,\"voters\":[1],\"learners\":[]", "\"was\""},
    {"member", "\"was\":7,\"learners\":[]", "at least one voter"},
    {"member", "\"was\":7,\"voters\":1,\"learners\":[]", "at least one voter"},
    {"member", "\"was\":7,\"voters\":[],\"learners\":[]", "at least one voter"},
    {"member", "\"was\":7,\"voters\":[0],\"learners\":[]", "ids from 1 to 7"},
    {"member", "\"was\":7,\"voters\":[8],\"learners\":[]", "ids from 1 to 7"},
    {"member", "\"was\":7,\"voters\":[4294967297],\"learners\":[]", "ids from 1 to 7"},
    {"member", "\"was\":7,\"voters\":[\"1\"],\"learners\":[]", "ids from 1 to 7"},
    {"member", "\"was\":7,\"voters\":[1,1],\"learners\":[]", "none twice"},
    {"member", "\"was\":7,\"voters\":[1],\"learners\":[1]", "none twice"},
    {"member", "\"was\":7,\"voters\":[1]", "\"learners\""},
    {"member", "\"was\":7,\"voters\":[1],\"learners\":[9]", "\"learners\""},
    {"member", NEW "{" FOUR "}", "an array"},
    {"member", NEW "[7]", "a new member has"},
    {"member", NEW "[{}]", "a new member has"},
    {"member", NEW "[{\"replica\":8,\"address\":\"10.0.0.4:7400\",\"incarnation\":\"1\"}]",
     "a new member has"},
    {"member", NEW "[{\"replica\":4,\"incarnation\":\"1\"}]", "a new member has"},
    {"member", NEW "[{\"replica\":4,\"address\":\"10.0.0.4:7400\"}]", "a new member has"},
    {"member", NEW "[{\"replica\":4,\"address\":\"10.0.0.4:7400\",\"incarnation\":\"0\"}]",
     "a new member has"},
    {"member", NEW "[{\"replica\":4,\"address\":\"10.0.0.4\",\"incarnation\":\"1\"}]",
     "a new member has"},
    {"member", NEW "[{\"replica\":4,\"address\":\"10.0.0.4:0\",\"incarnation\":\"1\"}]",
     "a new member has"},
    {"member", NEW "[{\"replica\":4,\"address\":\"0.0.0.0:7400\",\"incarnation\":\"1\"}]",
     "a new member has"},
    {"member", NEW "[{" FOUR "},{}]", "a new member has"},
    {"member", "\"to\":1", "a key that this command does not take"},
    {"leader transfer", "\"to\":null", "1 to 7"},
    {"leader transfer", "\"to\":0", "1 to 7"},
    {"leader transfer", "\"to\":8", "1 to 7"},
    {"leader transfer", "\"was\":1", "a key that this command does not take"},
    {"leader step-down", "\"to\":1", "a key that this command does not take"},
    {"status", "\"read\":\"yes\"", "true or false"},
    {"status", "\"format\":\"numbers\"", "a key that this command does not take"},
    {"health", "\"read\":true", "a key that this command does not take"},
    {"health", "\"timeout_ms\":0", "1 to 60000"},
    {"events", "\"timeout_ms\":0", "1 to 60000"},
    {"events", "\"since\":-1", "an event's number"},
    {"events", "\"since\":\"1\"", "an event's number"},
    {"health", "\"since\":1", "a key that this command does not take"},
    {"health", "\"timeout_ms\":60001", "1 to 60000"},
    {"health", "\"timeout_ms\":\"1\"", "1 to 60000"},
    {"status", "\"timeout_ms\":1", "a key that this command does not take"},
    {"backup", "\"offset\":0", "or neither"},
    {"backup", "\"backup\":1", "or neither"},
    {"backup", "\"backup\":\"1\",\"offset\":0", "or neither"},
    {"backup", "\"backup\":1,\"offset\":0.5", "or neither"},
    {"backup", "\"backup\":0,\"offset\":0", "or neither"},
    {"backup", "\"backup\":1,\"offset\":-1", "or neither"},
    {"backup", "\"to\":1", "a key that this command does not take"},
    {"autopilot show", "\"mode\":\"on\"", "a key that this command does not take"},
    {"autopilot", "\"was\":\"0\"," ON, "\"was\""},
    {"autopilot", "\"was\":-1," ON, "\"was\""},
    {"autopilot", ON, "\"was\""},
    {"autopilot", "\"was\":0," TIMES ",\"standbys\":[]", "\"mode\""},
    {"autopilot", "\"was\":0,\"mode\":\"maybe\"," TIMES ",\"standbys\":[]", "\"mode\""},
    {"autopilot", "\"was\":0,\"mode\":\"on\",\"standbys\":[]", "\"dead_ms\""},
    {"autopilot", "\"was\":0,\"mode\":\"on\",\"dead_ms\":999,\"stabilise_ms\":1000,\"standbys\":[]",
     "from 1000"},
    {"autopilot",
     "\"was\":0,\"mode\":\"on\",\"dead_ms\":1000,\"stabilise_ms\":86400001,\"standbys\":[]",
     "to 86400000"},
    {"autopilot", "\"was\":0,\"mode\":\"on\"," TIMES, "\"standbys\""},
    {"autopilot", "\"was\":0,\"mode\":\"on\"," TIMES ",\"standbys\":[8]", "ids from 1 to 7"},
    {"autopilot", "\"was\":0,\"to\":1," ON, "a key that this command does not take"},
    {"metrics", "\"format\":\"xml\"", "\"openmetrics\" or \"numbers\""},
    {"metrics", "\"name\":\"D\"", "a key that this command does not take"},
    {"drain", "", "which one"},
    {"resume", "\"replica\":8", "1 to 7"},
    {"drain", "\"session\":8", "a key that this command does not take"},
    {"drain", "\"replica\":1,\"request\":7", "32 hex digits"},
    {"drain", "\"replica\":1,\"request\":\"00\"", "32 hex digits"},
    {"drain", "\"replica\":1,\"request\":\"0000000000000000000000000000000g\"", "32 hex digits"},
    {"drain", "\"replica\":1,\"request\":\"A0000000000000000000000000000000\"", "32 hex digits"},
    {"drain", "\"replica\":1,\"request\":\"00000000000000000000000000000000\"", "32 hex digits"},
    {"drain", "\"replica\":1,\"dry_run\":1", "true or false"},
    {"config reload", "\"dry_run\":true", "cannot be tried out"},
    {"backup", "\"dry_run\":true", "cannot be tried out"},
    {"snapshot", "\"dry_run\":true", "cannot be tried out"},
    {"status", "\"\":1", "a key that this command does not take"},
    {"status", "\"re\":true", "a key that this command does not take"},
    {"status", "\"ad\":true", "a key that this command does not take"},
    {"member", "\"learner\":[]", "a key that this command does not take"},
    {"status", "\"dry_run\":true", "a key that this command does not take"},
    {"session list", "\"principal\":15", "from 16 on"},
    {"session list", "\"principal\":4294967296", "from 16 on"},
    {"session list", "\"session\":0", "numbers from 1"},
    {"session list", "\"after\":-1", "numbers from 1"},
    {"session list", "\"name\":7", "1 to 31"},
    {"session list", "\"name\":\"\"", "1 to 31"},
    {"session list", "\"name\":\"a\\u0000b\"", "a JSON object"},
    {"session list", "\"name\":\"12345678901234567890123456789012\"", "1 to 31"},
    {"session list", "\"read\":1", "true or false"},
    {"session list", "\"epoch\":1", "a key that this command does not take"},
    {"session show", "", "which one"},
    {"session kick", "", "which one"},
    {"session kick", "\"session\":1,\"epoch\":0", "numbers from 1"},
    {"session suspend", "", "name a \"session\" or a \"principal\""},
    {"session suspend", "\"session\":1,\"principal\":16", "name a \"session\" or a \"principal\""},
    {"session limit", "\"session\":1", "how many messages"},
    {"session limit", "\"session\":1,\"rate\":10000001", "10000000"},
    {"session limit", "\"session\":1,\"rate\":-1", "10000000"},
    {"node get", "", "up to 16 parts"},
    {"node get", "\"path\":\"a\"", "up to 16 parts"},
    {"node get", "\"path\":7", "at most 127"},
    {"node get", "\"path\":\"/a\",\"content\":\"\"", "a key that this command does not take"},
    {"node set", "\"path\":\"/a\",\"content\":7", "hex digits"},
    {"node set", "\"path\":\"/a\",\"content\":\"6\"", "hex digits"},
    {"node set", "\"path\":\"/a\",\"content\":\"6G\"", "hex digits"},
    {"node set", "\"path\":\"/a\",\"content\":\"G6\"", "hex digits"},
    {"node set", "\"path\":\"/a\",\"if\":0", "numbers from 1"},
    {"node acl", "\"path\":\"/a\"", "\"acl\""},
    {"node acl", "\"path\":\"/a\",\"acl\":7", "\"acl\""},
    {"node acl", "\"path\":\"/a\",\"acl\":[1,2,3,4,5,6,7,8,9]", "\"acl\""},
    {"node acl", ACL "{}]", "\"acl\""},
    {"node acl", ACL "{\"principal\":-1,\"rights\":\"r\"}]", "\"acl\""},
    {"node acl", ACL "{\"principal\":4294967296,\"rights\":\"r\"}]", "\"acl\""},
    {"node acl", ACL "{\"principal\":100}]", "\"acl\""},
    {"node acl", ACL "{\"principal\":100,\"rights\":\"rx\"}]", "\"acl\""},
    {"node acl", ACL "{\"principal\":100,\"rights\":\"rr\"}]", "\"acl\""},
    {"node acl", ACL "{\"principal\":7,\"rights\":\"r\"}]", "\"acl\""},
    {"lock break", "\"path\":\"/a\",\"now\":1", "true or false"},
};

static void each_refusal_says_what_is_wanted(void)
{
    for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
        const struct refusal *r = &refusals[i];
        struct admin_request request;
        char why[ADMIN_WHY_MAX];
        enum admin_error error = ask(r->command, r->more, &request, why);
        if (error != ADMIN_BAD_REQUEST || strstr(why, r->says) == NULL) {
            printf("# %s %s: %d %s\n", r->command, r->more, (int)error, why);
            CU_FAIL("another answer");
        }
    }
}

static void targets(void)
{
    struct admin_request r;
    char why[ADMIN_WHY_MAX];
    const struct admin_target *t = &r.target;
    CU_ASSERT_EQUAL(ask("drain",
                        "\"replica\":7,\"dry_run\":true,"
                        "\"request\":\"0123456789abcdef00000000000000ff\"",
                        &r, why),
                    ADMIN_OK);
    CU_ASSERT(t->replica == 7 && r.dry_run);
    CU_ASSERT(r.id[0] == 0x0123456789abcdef && r.id[1] == 0xff);
    CU_ASSERT_EQUAL(ask("drain", "\"replica\":7,\"dry_run\":false", &r, why), ADMIN_OK);
    CU_ASSERT_FALSE(r.dry_run);
    CU_ASSERT_EQUAL(ask("session list", "\"name\":\"desk\",\"after\":9,\"read\":true", &r, why),
                    ADMIN_OK);
    CU_ASSERT(strcmp(t->name, "desk") == 0 && t->after == 9 && r.read && r.id[0] == 0);
    CU_ASSERT_EQUAL(ask("session kick", "\"session\":5,\"epoch\":6", &r, why), ADMIN_OK);
    CU_ASSERT(t->session == 5 && t->epoch == 6);
    CU_ASSERT_EQUAL(ask("session limit", "\"principal\":16,\"rate\":10000000", &r, why), ADMIN_OK);
    CU_ASSERT(t->principal == 16 && t->rate == 10000000);
    CU_ASSERT_EQUAL(ask("node set", "\"path\":\"/a/b\",\"content\":\"00ff\",\"if\":3", &r, why),
                    ADMIN_OK);
    CU_ASSERT(t->content_size == 2 && t->content[1] == 0xff && t->compares && t->compare == 3);
    CU_ASSERT_EQUAL(ask("node acl", ACL "{\"principal\":0,\"rights\":\"rwc\"}]", &r, why),
                    ADMIN_OK);
    CU_ASSERT(t->content_size == sizeof(struct node_right) && t->content[4] == 7);
    CU_ASSERT_EQUAL(ask("lock break", "\"path\":\"/a\",\"now\":true", &r, why), ADMIN_OK);
    CU_ASSERT(t->now);
}

static void members(void)
{
    struct admin_request r;
    char why[ADMIN_WHY_MAX];
    CU_ASSERT_EQUAL(ask("member", "\"was\":0,\"voters\":[7,1],\"learners\":[3]", &r, why),
                    ADMIN_OK);
    CU_ASSERT_EQUAL(r.was, 0);
    CU_ASSERT_EQUAL(r.wanted.voters, 1u << 7 | 1u << 1);
    CU_ASSERT_EQUAL(r.wanted.learners, 1u << 3);
    CU_ASSERT_EQUAL(r.wanted.member[3].port, 0);
    CU_ASSERT_EQUAL(ask("member", NEW "[]", &r, why), ADMIN_OK);
    CU_ASSERT_EQUAL(r.wanted.member[4].incarnation, 0);
    CU_ASSERT_EQUAL(ask("member", NEW "[{" FOUR "}]", &r, why), ADMIN_OK);
    CU_ASSERT_EQUAL(r.was, 7);
    CU_ASSERT_EQUAL(r.wanted.voters, 1u << 4 | 1u << 1);
    CU_ASSERT_EQUAL(r.wanted.learners, 0);
    CU_ASSERT_EQUAL(r.wanted.member[4].incarnation, 0xc0ffee);
    CU_ASSERT_EQUAL(r.wanted.member[4].ip, 0x0a000004);
    CU_ASSERT_EQUAL(r.wanted.member[4].port, 7400);
    CU_ASSERT_EQUAL(r.wanted.member[1].port, 0);
}

static void leadership_and_metrics(void)
{
    struct admin_request r;
    char why[ADMIN_WHY_MAX];
    CU_ASSERT_EQUAL(ask("health", "", &r, why), ADMIN_OK);
    CU_ASSERT_EQUAL(r.timeout_ms, 0);
    CU_ASSERT_EQUAL(ask("health", "\"timeout_ms\":60000", &r, why), ADMIN_OK);
    CU_ASSERT_EQUAL(r.timeout_ms, 60000);
    CU_ASSERT_EQUAL(ask("events", "", &r, why), ADMIN_OK);
    CU_ASSERT_EQUAL(r.since, 0);
    CU_ASSERT_EQUAL(ask("events", "\"since\":7,\"timeout_ms\":1", &r, why), ADMIN_OK);
    CU_ASSERT_TRUE(r.since == 7 && r.timeout_ms == 1);
    CU_ASSERT_EQUAL(ask("leader transfer", "", &r, why), ADMIN_OK);
    CU_ASSERT_EQUAL(r.to, 0);
    CU_ASSERT_EQUAL(ask("leader transfer", "\"to\":7", &r, why), ADMIN_OK);
    CU_ASSERT_EQUAL(r.to, 7);
    CU_ASSERT_EQUAL(ask("status", "", &r, why), ADMIN_OK);
    CU_ASSERT_FALSE(r.read);
    CU_ASSERT_EQUAL(ask("status", "\"read\":true", &r, why), ADMIN_OK);
    CU_ASSERT_TRUE(r.read);
    CU_ASSERT_EQUAL(ask("status", "\"read\":false", &r, why), ADMIN_OK);
    CU_ASSERT_FALSE(r.read);
    CU_ASSERT_EQUAL(ask("metrics", "", &r, why), ADMIN_OK);
    CU_ASSERT_TRUE(r.text);
    CU_ASSERT_EQUAL(ask("metrics", "\"format\":\"openmetrics\"", &r, why), ADMIN_OK);
    CU_ASSERT_TRUE(r.text);
    CU_ASSERT_EQUAL(ask("metrics", "\"format\":\"numbers\"", &r, why), ADMIN_OK);
    CU_ASSERT_FALSE(r.text);
}

static void backups(void)
{
    struct admin_request r;
    char why[ADMIN_WHY_MAX];
    CU_ASSERT_EQUAL(ask("backup", "", &r, why), ADMIN_OK);
    CU_ASSERT(r.command == ADMIN_BACKUP && r.backup == 0 && r.offset == 0);
    CU_ASSERT_EQUAL(ask("backup", "\"backup\":3,\"offset\":0", &r, why), ADMIN_OK);
    CU_ASSERT(r.backup == 3 && r.offset == 0);
    CU_ASSERT_EQUAL(ask("backup", "\"offset\":1048576,\"backup\":1", &r, why), ADMIN_OK);
    CU_ASSERT(r.backup == 1 && r.offset == 1048576);
}

static void autopilot(void)
{
    struct admin_request r;
    char why[ADMIN_WHY_MAX];
    CU_ASSERT_EQUAL(ask("autopilot show", "", &r, why), ADMIN_OK);
    CU_ASSERT_EQUAL(ask("autopilot", "\"was\":7," ON, &r, why), ADMIN_OK);
    CU_ASSERT(r.was == 7 && r.autopilot.was == 7);
    CU_ASSERT(r.autopilot.action == AUTOPILOT_SET && r.autopilot.mode == AUTOPILOT_ON);
    CU_ASSERT(r.autopilot.dead_ms == 1000 && r.autopilot.stabilise_ms == 86400000);
    CU_ASSERT_EQUAL(r.autopilot.standbys, 0x30);
    for (uint32_t mode = AUTOPILOT_OFF; mode <= AUTOPILOT_ON; mode++)
        CU_ASSERT_EQUAL(admin_autopilot_mode(admin_autopilot_mode_name(mode)), mode);
    CU_ASSERT_EQUAL(admin_autopilot_mode("unknown"), -1);
    CU_ASSERT_STRING_EQUAL(admin_autopilot_mode_name(AUTOPILOT_ON + 1), "unknown");
}

/* The whole line is an object, and nothing else. */
static void other_json_is_no_request(void)
{
    static const char *const lines[] = {"[1]", "7", "null", "\"day\"", ""};
    struct admin_request r;
    char why[ADMIN_WHY_MAX];
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        CU_ASSERT_EQUAL(admin_request_parse(lines[i], strlen(lines[i]), &r, why),
                        ADMIN_BAD_REQUEST);
        CU_ASSERT_EQUAL(strncmp(why, "not a JSON object: ", 19), 0);
    }
}

/* Words for programs: they stand in docs and scripts, and must not move. */
static void error_words(void)
{
    static const char *const words[ADMIN_ERROR_COUNT] = {
        "ok",     "bad-request", "unknown-command", "denied",        "not-leader",
        "busy",   "lost",        "timed-out",       "refused",       "behind",
        "unsafe", "no-quorum",   "founding",        "configuration", "failed"};
    for (int i = 0; i < ADMIN_ERROR_COUNT; i++)
        CU_ASSERT_STRING_EQUAL(admin_error_name((enum admin_error)i), words[i]);
    CU_ASSERT_STRING_EQUAL(admin_error_name(ADMIN_ERROR_COUNT), "unknown");
    CU_ASSERT_STRING_EQUAL(admin_error_name((enum admin_error)(ADMIN_ERROR_COUNT + 1)), "unknown");
}

int main(void)
{
    static const struct unit_test tests[] = {
        {"each refusal says what is wanted", each_refusal_says_what_is_wanted},
        {"a configuration and its new members", members},
        {"sessions, nodes, locks, replicas", targets},
        {"transfer, status, metrics", leadership_and_metrics},
        {"a backup and its pieces", backups},
        {"the autopilot's settings", autopilot},
        {"other JSON is no request", other_json_is_no_request},
        {"the words of errors", error_words},
        {0}};
    return unit_main("admin_request", tests);
}
