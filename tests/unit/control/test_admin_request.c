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
        "ok",     "bad-request", "unknown-command", "denied",  "not-leader",
        "busy",   "lost",        "timed-out",       "refused", "behind",
        "unsafe", "no-quorum",   "configuration",   "failed"};
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
        {"transfer, status, metrics", leadership_and_metrics},
        {"a backup and its pieces", backups},
        {"the autopilot's settings", autopilot},
        {"other JSON is no request", other_json_is_no_request},
        {"the words of errors", error_words},
        {0}};
    return unit_main("admin_request", tests);
}
