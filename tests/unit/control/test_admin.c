/* The admin socket itself: lines in pieces, garbage, oversize, too many, gone askers; and that a
 * request that needs the log is answered when it is applied.
 */
#include "control/admin_request.h"
#include "control/backup_file.h"
#include "tests/unit/control/desk.h"
#include "tests/unit/unit.h"

#include <jansson.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { ANSWER_WAIT_MS = 10000, ANSWER_ROOM = 1 << 20 };

static int dial(const struct desk *d)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", d->config.socket);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CU_ASSERT_EQUAL_FATAL(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

/* The next line as JSON; NULL: the other side closed. The bench goes on turning meanwhile. */
static json_t *listen_to(struct desk *d, int fd)
{
    char *text = malloc(ANSWER_ROOM);
    size_t size = 0;
    json_t *answer = NULL;
    for (int ms = 0; ms < ANSWER_WAIT_MS && size < ANSWER_ROOM; ms++) {
        struct pollfd one = {.fd = fd, .events = POLLIN};
        bench_run(d->bench, 1);
        if (poll(&one, 1, 1) <= 0)
            continue;
        ssize_t got = recv(fd, text + size, 1, 0);
        if (got <= 0)
            break;
        ms--;
        size++;
        if (text[size - 1] != '\n')
            continue;
        answer = json_loadb(text, size, 0, NULL);
        CU_ASSERT_PTR_NOT_NULL(answer);
        break;
    }
    free(text);
    return answer;
}

static void say(int fd, const char *text)
{
    CU_ASSERT_EQUAL(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

static bool is_ok(json_t *answer)
{
    bool ok = json_is_true(json_object_get(answer, "ok"));
    json_decref(answer);
    return ok;
}

static const char *code(const json_t *answer)
{
    const char *text = json_string_value(json_object_get(json_object_get(answer, "error"), "code"));
    return text != NULL ? text : "";
}

static void each_command_is_answered(void)
{
    struct desk *d = desk_open();
    int fd = dial(d);
    for (int i = 0; i < ADMIN_COMMAND_COUNT; i++) {
        char line[128];
        if (i == ADMIN_DAY || i == ADMIN_RELOAD || i == ADMIN_MEMBER || i == ADMIN_AUTOPILOT_SET ||
            i == ADMIN_LEADER_STEP_DOWN || admin_target_command((enum admin_command)i))
            continue; /* they change things: see below, and test_reload.c */
        snprintf(line, sizeof(line), "{\"v\":1,\"cmd\":\"%s\"%s}\n", admin_commands[i].name,
                 i == ADMIN_LEADER_TRANSFER ? ",\"to\":1" : "");
        say(fd, line);
        json_t *answer = listen_to(d, fd);
        CU_ASSERT_TRUE(json_object_size(json_object_get(answer, "result")) > 0);
        if (i == ADMIN_STATUS) {
            json_t *role = json_object_get(json_object_get(answer, "result"), "role");
            CU_ASSERT_STRING_EQUAL(json_string_value(role), "leader");
        }
        if (i == ADMIN_METRICS) {
            const char *text =
                json_string_value(json_object_get(json_object_get(answer, "result"), "text"));
            CU_ASSERT_STRING_EQUAL(text + strlen(text) - 6, "# EOF\n");
        }
        CU_ASSERT_TRUE(is_ok(answer));
    }
    close(fd);
    desk_close(d);
}

static void leadership_of_one(void)
{
    struct desk *d = desk_open();
    int fd = dial(d);
    say(fd, "{\"v\":1,\"cmd\":\"status\",\"read\":true}\n");
    json_t *answer = listen_to(d, fd);
    json_t *result = json_object_get(answer, "result");
    CU_ASSERT_TRUE(json_integer_value(json_object_get(result, "read_index")) > 0);
    CU_ASSERT_EQUAL(json_integer_value(json_object_get(result, "read_term")),
                    json_integer_value(json_object_get(result, "term")));
    CU_ASSERT_TRUE(is_ok(answer));
    say(fd, "{\"v\":1,\"cmd\":\"leader transfer\",\"to\":1}\n");
    answer = listen_to(d, fd);
    result = json_object_get(answer, "result");
    CU_ASSERT_TRUE(json_is_false(json_object_get(result, "changed")));
    CU_ASSERT_EQUAL(json_integer_value(json_object_get(result, "leader")), 1);
    CU_ASSERT_TRUE(is_ok(answer));
    static const char *const unsafe[] = {"transfer\"", "transfer\",\"to\":2", "step-down\""};
    for (int i = 0; i < 3; i++) {
        char line[64];
        snprintf(line, sizeof(line), "{\"v\":1,\"cmd\":\"leader %s}\n", unsafe[i]);
        say(fd, line);
        answer = listen_to(d, fd);
        CU_ASSERT_STRING_EQUAL(code(answer), "unsafe");
        json_decref(answer);
    }
    close(fd);
    desk_close(d);
}

static void lines_in_pieces_and_in_heaps(void)
{
    struct desk *d = desk_open();
    int fd = dial(d);
    const char *line = "{\"v\":1,\"cmd\":\"version\"}\n";
    for (size_t i = 0; i < strlen(line); i++) {
        CU_ASSERT_EQUAL(send(fd, line + i, 1, 0), 1);
        bench_run(d->bench, 1);
    }
    CU_ASSERT_TRUE(is_ok(listen_to(d, fd)));
    say(fd, "{\"v\":1,\"cmd\":\"version\"}\nrubbish\n{\"v\":1,\"cmd\":\"health\"}\n");
    CU_ASSERT_TRUE(is_ok(listen_to(d, fd)));
    json_t *answer = listen_to(d, fd);
    CU_ASSERT_STRING_EQUAL(code(answer), "bad-request");
    json_decref(answer);
    CU_ASSERT_TRUE(is_ok(listen_to(d, fd)));
    close(fd);
    desk_close(d);
}

static void an_oversize_line_ends_the_connection(void)
{
    struct desk *d = desk_open();
    int fd = dial(d);
    char text[ADMIN_LINE_MAX + 2];
    memset(text, 'x', sizeof(text));
    CU_ASSERT_EQUAL(send(fd, text, sizeof(text), MSG_NOSIGNAL), (ssize_t)sizeof(text));
    json_t *answer = listen_to(d, fd);
    CU_ASSERT_STRING_EQUAL(code(answer), "bad-request");
    json_decref(answer);
    CU_ASSERT_PTR_NULL(listen_to(d, fd));
    close(fd);
    fd = dial(d);
    say(fd, "{\"v\":1,\"cmd\":\"version\"}\n");
    CU_ASSERT_TRUE(is_ok(listen_to(d, fd)));
    close(fd);
    desk_close(d);
}

static void a_day_is_answered_when_applied(void)
{
    struct desk *d = desk_open();
    int fd = dial(d);
    say(fd, "{\"v\":1,\"cmd\":\"day\",\"action\":\"end\",\"name\":\"DAY1\"}\n");
    json_t *answer = listen_to(d, fd);
    json_t *result = json_object_get(answer, "result");
    CU_ASSERT_TRUE(json_is_true(json_object_get(result, "changed")));
    CU_ASSERT_TRUE((uint64_t)json_integer_value(json_object_get(result, "index")) <=
                   control_machine(d->bench->node[1].start.control)->applied);
    CU_ASSERT_TRUE(is_ok(answer));
    bench_run(d->bench, 10);
    /* its answer was lost: asked again, it stands as wished */
    say(fd, "{\"v\":1,\"cmd\":\"day\",\"action\":\"end\",\"name\":\"DAY1\"}\n");
    answer = listen_to(d, fd);
    CU_ASSERT_TRUE(json_is_false(json_object_get(json_object_get(answer, "result"), "changed")));
    CU_ASSERT_TRUE(is_ok(answer));
    say(fd, "{\"v\":1,\"cmd\":\"day\",\"action\":\"begin\",\"name\":\"DAY1\"}\n");
    answer = listen_to(d, fd);
    CU_ASSERT_STRING_EQUAL(code(answer), "refused");
    json_decref(answer);
    close(fd);
    desk_close(d);
}

/* Two who ask at once share an entry, and who asks just after has it too: nobody fills the log. */
static void health_commits_an_entry(void)
{
    struct desk *d = desk_open();
    int fds[] = {dial(d), dial(d), dial(d)};
    json_int_t index = 0;
    const char *line = "{\"v\":1,\"cmd\":\"health\",\"timeout_ms\":3000}\n";
    uint64_t before = control_machine(d->bench->node[1].start.control)->applied;
    say(fds[0], line);
    say(fds[1], line);
    usleep(50000); /* both are heard before control turns */
    for (int i = 0; i < 3; i++) {
        if (i == 2)
            say(fds[2], line);
        json_t *answer = listen_to(d, fds[i]);
        json_t *result = json_object_get(answer, "result");
        CU_ASSERT_TRUE(json_is_true(json_object_get(result, "healthy")));
        CU_ASSERT_TRUE(json_is_integer(json_object_get(result, "commit_us")));
        CU_ASSERT_STRING_EQUAL(json_string_value(json_object_get(result, "probe")), "committed");
        json_int_t at = json_integer_value(json_object_get(result, "probe_index"));
        CU_ASSERT_TRUE(at > (json_int_t)before && (i == 0 || at == index));
        index = at;
        CU_ASSERT_TRUE(is_ok(answer));
        close(fds[i]);
    }
    CU_ASSERT_EQUAL(control_machine(d->bench->node[1].start.control)->applied, before + 1);
    desk_close(d);
}

static void an_asker_that_has_gone_harms_nobody(void)
{
    struct desk *d = desk_open();
    for (int i = 0; i < 2 * CONTROL_REQUESTS; i++) {
        int fd = dial(d);
        say(fd, "{\"v\":1,\"cmd\":\"day\",\"action\":\"end\",\"name\":\"OTHER\"}\n");
        if (i % 2 == 0)
            say(fd, "{\"v\":1,\"cmd\":\"status\"}\n{\"v\":1,");
        close(fd);
        usleep(2000);
        bench_run(d->bench, 20);
    }
    int fd = dial(d);
    say(fd, "{\"v\":1,\"cmd\":\"day\",\"action\":\"end\",\"name\":\"DAY1\"}\n");
    CU_ASSERT_TRUE(is_ok(listen_to(d, fd)));
    close(fd);
    desk_close(d);
}

/* Half a request holds no place against one who comes later. */
static void the_oldest_idle_connection_gives_way(void)
{
    struct desk *d = desk_open();
    int fds[ADMIN_CONNECTIONS_MAX + 1];
    fds[0] = dial(d);
    say(fds[0], "{\"v\":1,\"cmd\":");
    usleep(20000);
    for (int i = 1; i < ADMIN_CONNECTIONS_MAX; i++)
        fds[i] = dial(d);
    usleep((ADMIN_YOUNG_MS + 100) * 1000);
    fds[ADMIN_CONNECTIONS_MAX] = dial(d);
    CU_ASSERT_PTR_NULL(listen_to(d, fds[0]));
    CU_ASSERT_EQUAL(admin_counts(d->admin)->ended[ADMIN_END_GAVE_WAY], 1);
    for (int i = 1; i <= ADMIN_CONNECTIONS_MAX; i++) {
        say(fds[i], "{\"v\":1,\"cmd\":\"version\"}\n");
        CU_ASSERT_TRUE(is_ok(listen_to(d, fds[i])));
    }
    for (int i = 0; i <= ADMIN_CONNECTIONS_MAX; i++)
        close(fds[i]);
    desk_close(d);
}

static void a_living_socket_is_not_taken(void)
{
    struct desk *d = desk_open();
    struct admin *second = NULL;
    char problem[CONFIG_PROBLEM_SIZE] = "";
    CU_ASSERT_NOT_EQUAL(admin_open(&second, d->node, problem), 0);
    CU_ASSERT_PTR_NOT_NULL(strstr(problem, "another keeld answers there"));
    int fd = dial(d);
    say(fd, "{\"v\":1,\"cmd\":\"version\"}\n");
    CU_ASSERT_TRUE(is_ok(listen_to(d, fd)));
    close(fd);
    struct config other = d->config;
    snprintf(other.socket, sizeof(other.socket), "%s/none/s", d->directory);
    struct node node = *d->node;
    node.config = &other;
    CU_ASSERT_NOT_EQUAL(admin_open(&second, &node, problem), 0);
    CU_ASSERT_PTR_NOT_NULL(strstr(problem, "make its directory"));
    snprintf(other.socket, sizeof(other.socket), "%s/left", d->directory);
    struct sockaddr_un address = {.sun_family = AF_UNIX}; /* what a killed daemon leaves */
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", other.socket);
    fd = socket(AF_UNIX, SOCK_STREAM, 0);
    CU_ASSERT_EQUAL(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    close(fd);
    CU_ASSERT_EQUAL(admin_open(&second, &node, problem), 0);
    admin_close(second);
    desk_close(d);
}

/* One piece: its bytes behind those that are there; how many there are then, 0: refused. */
static uint64_t fetch(struct desk *d, int fd, json_int_t id, uint8_t *bytes, uint64_t have)
{
    char line[128];
    unsigned byte;
    snprintf(line, sizeof(line), "{\"v\":1,\"cmd\":\"backup\",\"backup\":%lld,\"offset\":%llu}\n",
             (long long)id, (unsigned long long)have);
    say(fd, line);
    json_t *answer = listen_to(d, fd);
    json_t *result = json_object_get(answer, "result");
    const char *hex = json_string_value(json_object_get(result, "hex"));
    for (; hex != NULL && hex[0] != '\0'; hex += 2) {
        CU_ASSERT_EQUAL_FATAL(sscanf(hex, "%2x", &byte), 1);
        bytes[have++] = (uint8_t)byte;
    }
    if (result == NULL) {
        CU_ASSERT_STRING_EQUAL(code(answer), "failed");
        have = 0;
    }
    json_decref(answer);
    return have;
}

/* Taken at one index, whatever is logged while it is fetched; one at a time. */
static void a_backup_is_fetched_in_pieces(void)
{
    struct desk *d = desk_open();
    int fd = dial(d), other = dial(d);
    const char *take = "{\"v\":1,\"cmd\":\"backup\"}\n";
    say(fd, take);
    json_t *answer = listen_to(d, fd);
    json_t *result = json_object_get(answer, "result");
    json_int_t id = json_integer_value(json_object_get(result, "backup"));
    uint64_t size = (uint64_t)json_integer_value(json_object_get(result, "size"));
    uint64_t index = (uint64_t)json_integer_value(json_object_get(result, "index"));
    CU_ASSERT_TRUE_FATAL(id > 0 && size > 1024 && index > 0);
    json_decref(answer);
    CU_ASSERT_EQUAL(bench_day_end(d->bench, 1, "DAY1      ").result, CONTROL_APPLIED);
    uint8_t *bytes = malloc(size);
    uint64_t have = 0;
    while (have < size) { /* bound: size */
        uint64_t now = fetch(d, fd, id, bytes, have);
        CU_ASSERT_TRUE_FATAL(now > have && now <= size);
        have = now;
    }
    struct backup_head head;
    struct genesis genesis;
    char why[BACKUP_WHY_MAX];
    CU_ASSERT_TRUE(backup_decode(bytes, size, &head, &genesis, NULL, why));
    CU_ASSERT_EQUAL(head.index, index);
    CU_ASSERT_EQUAL(head.replica, 1);
    say(other, take); /* the first one is complete, and gives way */
    answer = listen_to(d, other);
    json_int_t next =
        json_integer_value(json_object_get(json_object_get(answer, "result"), "backup"));
    CU_ASSERT_NOT_EQUAL(next, id);
    json_decref(answer);
    CU_ASSERT_EQUAL(fetch(d, fd, id, bytes, 0), 0);
    say(fd, take); /* the second one has just begun to be fetched */
    answer = listen_to(d, fd);
    CU_ASSERT_STRING_EQUAL(code(answer), "busy");
    json_decref(answer);
    CU_ASSERT_TRUE(fetch(d, other, next, bytes, 0) > 0);
    free(bytes);
    close(fd);
    close(other);
    desk_close(d);
}

static void rights(void)
{
    struct desk *d = desk_open();
    const char *day = "{\"v\":1,\"cmd\":\"day\",\"action\":\"end\",\"name\":\"DAY1\"}";
    const char *look = "{\"v\":1,\"cmd\":\"member list\"}";
    char *answer = admin_line(d->admin, 0, day, strlen(day), false);
    CU_ASSERT_PTR_NOT_NULL_FATAL(answer);
    CU_ASSERT_PTR_NOT_NULL(strstr(answer, "\"denied\""));
    free(answer);
    const char *again = "{\"v\":1,\"cmd\":\"config reload\"}";
    answer = admin_line(d->admin, 0, again, strlen(again), false);
    CU_ASSERT_PTR_NOT_NULL_FATAL(answer);
    CU_ASSERT_PTR_NOT_NULL(strstr(answer, "\"denied\""));
    free(answer);
    answer = admin_line(d->admin, 0, look, strlen(look), false);
    CU_ASSERT_PTR_NOT_NULL_FATAL(answer);
    CU_ASSERT_PTR_NOT_NULL(strstr(answer, "\"ok\":true"));
    free(answer);
    desk_close(d);
}

/* Says a line, without its beginning and end; the answer's result, or its error. */
static json_t *ask_line(struct desk *d, int fd, const char *text)
{
    char line[512];
    snprintf(line, sizeof(line), "{\"v\":1,\"cmd\":%s}\n", text);
    say(fd, line);
    json_t *answer = listen_to(d, fd);
    json_t *inner =
        json_object_get(answer, json_is_true(json_object_get(answer, "ok")) ? "result" : "error");
    json_incref(inner);
    json_decref(answer);
    return inner;
}

/* Whether an answer has just these keys; takes it over. */
static bool has_keys(json_t *object, const char *keys)
{
    const char *key;
    json_t *value;
    size_t count = 0;
    bool all = json_is_object(object);
    json_object_foreach(object, key, value)
    {
        size_t size = strlen(key);
        const char *at = strstr(keys, key);
        while (at != NULL && (at[size] != ' ' && at[size] != 0)) /* bound: the text */
            at = strstr(at + 1, key);
        all = all && at != NULL;
        count++;
    }
    for (const char *at = keys; *at != 0; at++)
        count -= *at != ' ' && (at[1] == ' ' || at[1] == 0);
    json_decref(object);
    return all && count == 0;
}

#define ID "\"request\":\"00000000000000000000000000000001\""

static void operators_ask(void)
{
    struct desk *d = desk_open();
    int fd = dial(d);
    CU_ASSERT_TRUE(has_keys(ask_line(d, fd, "\"session list\""), "sessions next index"));
    CU_ASSERT_TRUE(has_keys(ask_line(d, fd, "\"session show\",\"session\":9"), "locks next index"));
    CU_ASSERT_TRUE(
        has_keys(ask_line(d, fd, "\"node create\",\"path\":\"/a\",\"content\":\"6162\"," ID),
                 "index term instance repeated request"));
    json_t *again = ask_line(d, fd, "\"node create\",\"path\":\"/a\",\"content\":\"6162\"," ID);
    CU_ASSERT_TRUE(json_is_true(json_object_get(again, "repeated")));
    json_decref(again);
    json_t *other = ask_line(d, fd, "\"node create\",\"path\":\"/b\"," ID);
    CU_ASSERT_STRING_EQUAL(json_string_value(json_object_get(other, "code")), "refused");
    json_decref(other);
    json_t *node = ask_line(d, fd, "\"node get\",\"path\":\"/a\",\"read\":true");
    CU_ASSERT_STRING_EQUAL(json_string_value(json_object_get(node, "content")), "6162");
    CU_ASSERT_TRUE(has_keys(node, "path instance content content_generation acl_generation acl "
                                  "children handles ephemeral lock holders waiters lock_generation "
                                  "holder_session lock_delay_ms index"));
    CU_ASSERT_TRUE(
        has_keys(ask_line(d, fd, "\"node list\",\"path\":\"/\""), "children next index"));
    CU_ASSERT_TRUE(has_keys(
        ask_line(d, fd, "\"node set\",\"path\":\"/a\",\"content\":\"63\",\"dry_run\":true"),
        "repeated dry_run"));
    CU_ASSERT_TRUE(has_keys(ask_line(d, fd, "\"session limit\",\"principal\":100,\"rate\":5"),
                            "index term repeated"));
    static const char *const refused[][2] = {
        {"\"drain\",\"replica\":1", "unsafe"},
        {"\"drain\",\"replica\":1,\"dry_run\":true", "unsafe"},
        {"\"resume\",\"replica\":7", "refused"},
        {"\"lock break\",\"path\":\"/a\"", "refused"},
        {"\"lock break\",\"path\":\"/a\",\"now\":true,\"dry_run\":true", "refused"},
        {"\"node get\",\"path\":\"/none\"", "refused"},
        {"\"session kick\",\"session\":99", "refused"},
        {"\"session suspend\",\"session\":99", "refused"},
        {"\"session resume\",\"session\":99", "refused"},
        {"\"config reload\",\"dry_run\":true", "bad-request"},
        {"\"day\",\"action\":\"begin\",\"name\":\"D9\",\"dry_run\":true", "refused"}};
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        json_t *error = ask_line(d, fd, refused[i][0]);
        const char *word = json_string_value(json_object_get(error, "code"));
        if (word == NULL || strcmp(word, refused[i][1]) != 0)
            printf("# %s: %s\n", refused[i][0], word != NULL ? word : "done");
        CU_ASSERT_TRUE(word != NULL && strcmp(word, refused[i][1]) == 0);
        json_decref(error);
    }
    CU_ASSERT_TRUE(has_keys(ask_line(d, fd, "\"resume\",\"replica\":1"), "index term repeated"));
    CU_ASSERT_TRUE(has_keys(ask_line(d, fd, "\"node delete\",\"path\":\"/a\",\"if\":1"),
                            "index term repeated"));
    close(fd);
    desk_close(d);
}

int main(void)
{
    static const struct unit_test tests[] = {
        {"each command is answered", each_command_is_answered},
        {"operators ask about sessions, nodes, locks and replicas", operators_ask},
        {"a leader of one: proven status, transfer to itself", leadership_of_one},
        {"health commits an entry", health_commits_an_entry},
        {"lines in pieces and in heaps", lines_in_pieces_and_in_heaps},
        {"an oversize line ends the connection", an_oversize_line_ends_the_connection},
        {"a day is answered when applied, and again", a_day_is_answered_when_applied},
        {"an asker that has gone harms nobody", an_asker_that_has_gone_harms_nobody},
        {"the oldest idle connection gives way", the_oldest_idle_connection_gives_way},
        {"a living socket is not taken, a dead one is", a_living_socket_is_not_taken},
        {"a backup is fetched in pieces", a_backup_is_fetched_in_pieces},
        {"who may look may not change", rights},
        {0}};
    return unit_main("admin", tests);
}
