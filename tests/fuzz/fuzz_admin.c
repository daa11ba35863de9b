/* Admin requests and keelctl's command line. A request line gets one answer, or control has it; an
 * answer is one line of JSON in the protocol's form. The replica behind it is real and does not
 * lead: requests that need the log are answered "not the leader" and change nothing, so that each
 * run is like the first. */
#include "tests/fuzz/fuzz.h"

#include "control/admin.h"
#include "control/admin_request.h"
#include "control/ctl.h"
#include "tests/unit/control/bench.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { WORDS_MAX = 80, TEXT_MAX = 8192 };

static struct {
    struct bench *bench;
    struct config config;
    struct node *node;
    struct admin *admin;
    char directory[64];
} desk;

static void leave(void)
{
    admin_close(desk.admin);
    rmdir(desk.directory);
}

static void prepare(void)
{
    char problem[CONFIG_PROBLEM_SIZE] = "";
    if (desk.admin != NULL)
        return;
    desk.bench = bench_new(3);
    FUZZ_REQUIRE(bench_start(desk.bench, 1) == STARTUP_OK);
    bench_run(desk.bench, 5);
    strcpy(desk.directory, "/tmp/keel-fuzz-XXXXXX");
    FUZZ_REQUIRE(mkdtemp(desk.directory) != NULL);
    snprintf(desk.config.socket, sizeof(desk.config.socket), "%s/s", desk.directory);
    desk.config.id = 1;
    strcpy(desk.config.data, "memory");
    desk.node = calloc(1, sizeof(*desk.node));
    desk.node->config = &desk.config;
    desk.node->start = desk.bench->node[1].start; /* read only */
    desk.node->port = &desk.bench->node[1].port;
    desk.node->thread_count = 1;
    FUZZ_REQUIRE(admin_open(&desk.admin, desk.node, problem) == 0);
    atexit(leave);
    stderr = fopen("/dev/null", "w"); /* what keelctl tells people; failures go to the descriptor */
    FUZZ_REQUIRE(stderr != NULL);
}

static void check_answer(const char *text)
{
    json_error_t error;
    size_t size = strlen(text);
    FUZZ_REQUIRE(size > 2 && size <= ADMIN_ANSWER_MAX && text[size - 1] == '\n');
    FUZZ_REQUIRE(strchr(text, '\n') == text + size - 1);
    json_t *answer = json_loadb(text, size, JSON_REJECT_DUPLICATES, &error);
    FUZZ_REQUIRE(json_is_object(answer));
    FUZZ_REQUIRE(json_integer_value(json_object_get(answer, "v")) == ADMIN_VERSION);
    const json_t *ok = json_object_get(answer, "ok");
    FUZZ_REQUIRE(json_is_boolean(ok));
    if (json_is_true(ok)) {
        FUZZ_REQUIRE(json_object_get(answer, "result") != NULL);
    } else {
        const json_t *why = json_object_get(answer, "error");
        const char *code = json_string_value(json_object_get(why, "code"));
        uint32_t known = 0;
        for (int e = ADMIN_BAD_REQUEST; e < ADMIN_ERROR_COUNT && code != NULL; e++)
            known += strcmp(code, admin_error_name((enum admin_error)e)) == 0;
        FUZZ_REQUIRE(known == 1);
        FUZZ_REQUIRE(json_string_length(json_object_get(why, "why")) > 0);
    }
    json_decref(answer);
}

/* Control's answer to what it was handed: this replica leads nobody. */
static void check_late(enum admin_command command)
{
    struct control_reply reply;
    struct control *control = desk.node->start.control;
    for (uint32_t ms = 0; !control_answer(control, &reply); ms++) {
        FUZZ_REQUIRE(ms < 2 * CONTROL_REQUEST_MS);
        desk.bench->now_ns += 1000000;
        control_turn(control, desk.bench->now_ns);
    }
    bool looks = admin_target_command(command) && !admin_commands[command].changes;
    FUZZ_REQUIRE(reply.result == CONTROL_NOT_LEADER || command == ADMIN_SNAPSHOT ||
                 (looks && reply.result == CONTROL_APPLIED && reply.size <= CONTROL_LOOK_BYTES));
}

/* Control takes one at its next turn. */
static void check_backup(void)
{
    struct control *control = desk.node->start.control;
    uint64_t size;
    control_turn(control, desk.bench->now_ns);
    FUZZ_REQUIRE(control_backup_held(control, &size) != NULL);
}

static void request(const char *line, size_t size, bool may_change)
{
    struct admin_request parsed;
    char why[ADMIN_WHY_MAX];
    memset(why, 'x', sizeof(why));
    enum admin_error error = admin_request_parse(line, size, &parsed, why);
    FUZZ_REQUIRE(memchr(why, 0, sizeof(why)) != NULL && (error == ADMIN_OK) == (why[0] == 0));
    if (error == ADMIN_OK)
        FUZZ_REQUIRE(parsed.command < ADMIN_COMMAND_COUNT);
    char *answer = admin_line(desk.admin, 0, line, size, may_change);
    if (answer == NULL) {
        FUZZ_REQUIRE(error == ADMIN_OK && (!admin_commands[parsed.command].changes || may_change));
        if (parsed.command == ADMIN_BACKUP)
            check_backup();
        else if (parsed.command != ADMIN_EVENTS)
            check_late(parsed.command);
        return;
    }
    check_answer(answer);
    free(answer);
}

/* The words of a command line, one a line of the input. */
static void command_line(const uint8_t *data, size_t size)
{
    static char text[TEXT_MAX];
    char *words[WORDS_MAX + 2] = {"keelctl"};
    struct ctl ctl;
    int count = 1;
    size = size < TEXT_MAX - 1 ? size : TEXT_MAX - 1;
    memcpy(text, data, size);
    text[size] = 0;
    for (char *at = text; count <= WORDS_MAX && at != NULL; count++) {
        words[count] = at;
        at = strchr(at, '\n');
        if (at != NULL)
            *at++ = 0;
    }
    int result = ctl_parse(&ctl, count, words);
    FUZZ_REQUIRE(result == CTL_DONE || result == CTL_USAGE);
    FUZZ_REQUIRE(ctl.word_count >= 0 && ctl.word_count <= CTL_WORDS_MAX);
    if (result == CTL_DONE && !ctl.help) {
        FUZZ_REQUIRE(ctl.command != NULL && ctl.socket != NULL && ctl.timeout_ms > 0);
        FUZZ_REQUIRE(ctl.word_count >= ctl.command->words_min &&
                     ctl.word_count <= ctl.command->words_max);
    }
    free(ctl.more);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    prepare();
    if (size < 1)
        return 0;
    if (data[0] % 2 == 0)
        request((const char *)data + 1, size - 1, data[0] < 128);
    else
        command_line(data + 1, size - 1);
    return 0;
}
