/* keelctl's command line, with a table of the test's own: what is taken, what is said of the rest.
 * test_words.c holds the real table to its form.
 */
#include "control/ctl.h"

#include "consensus/ensure.h"
#include "tests/unit/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static int run(struct ctl *ctl)
{
    (void)ctl;
    return CTL_DONE;
}

/* Takes --more-... with the value "good". */
static bool take_more(struct ctl *ctl, const char *name, const char *value)
{
    ctl->more = ctl;
    return strncmp(name, "more-", 5) == 0 && value != NULL && strcmp(value, "good") == 0;
}

const struct ctl_command ctl_commands[] = {
    {.name = "ring verify", /* before the shorter name */
     .words = "FILE",
     .words_min = 1,
     .words_max = 1,
     .summary = "reads a ring",
     .example = "keelctl ring verify FILE",
     .options = {{"from", "PAGE", "begins there"}, {"quiet", NULL, "says little"}},
     .run = run},
    {.name = "ring",
     .summary = "shows the ring",
     .shows = true,
     .example = "keelctl ring",
     /* as many as there may be */
     .options = {{"a", NULL, "1"},
                 {"b", NULL, "2"},
                 {"c", NULL, "3"},
                 {"d", NULL, "4"},
                 {"e", NULL, "5"},
                 {"f", NULL, "6"},
                 {"g", NULL, "7"},
                 {"h", "X", "8"},
                 {"i", NULL, "9"},
                 {"j", NULL, "10"},
                 {"k", NULL, "11"},
                 {"l", "Y", "12"}},
     .run = run},
    {.name = "make",
     .words = "[NAME...]",
     .words_max = CTL_WORDS_MAX,
     .summary = "makes",
     .example = "keelctl make",
     .take_more = take_more,
     .more_help = "  --more-ANYTHING good\n",
     .run = run},
    {.name = "day end",
     .words = "NAME",
     .words_min = 1,
     .words_max = 1,
     .summary = "ends a day",
     .example = "keelctl day end D",
     .run = run},
};
const uint32_t ctl_command_count = sizeof(ctl_commands) / sizeof(ctl_commands[0]);

/* --- what is written -----------------------------------------------------------------------------
 */

struct capture {
    int fd, file, kept;
};

static struct capture capture_begin(int fd)
{
    fflush(NULL);
    struct capture c = {.fd = fd, .file = memfd_create("said", MFD_CLOEXEC), .kept = dup(fd)};
    ENSURE(c.file >= 0 && c.kept >= 0 && dup2(c.file, fd) == fd);
    return c;
}

static void capture_end(struct capture *c, char *text, size_t room)
{
    fflush(NULL);
    ENSURE(dup2(c->kept, c->fd) == c->fd);
    ssize_t size = pread(c->file, text, room - 1, 0);
    ENSURE(size >= 0);
    text[size] = '\0';
    close(c->file);
    close(c->kept);
}

/* --- parsing -------------------------------------------------------------------------------------
 */

static char said[1024]; /* on stderr, by the last parse() */

static int parse(struct ctl *ctl, const char *line)
{
    static char words[1024];
    char *argv[100] = {"keelctl"};
    int argc = 1;
    snprintf(words, sizeof(words), "%s", line);
    for (char *word = strtok(words, " "); word != NULL && argc < 100; word = strtok(NULL, " "))
        argv[argc++] = word;
    struct capture c = capture_begin(STDERR_FILENO);
    int code = ctl_parse(ctl, argc, argv);
    capture_end(&c, said, sizeof(said));
    return code;
}

static void taken(void)
{
    struct ctl ctl;
    CU_ASSERT_EQUAL(parse(&ctl, "ring verify f"), CTL_DONE);
    CU_ASSERT_PTR_EQUAL(ctl.command, &ctl_commands[0]);
    CU_ASSERT_TRUE(ctl.word_count == 1 && ctl.timeout_ms == CTL_TIMEOUT_MS && !ctl.timeout_given);
    CU_ASSERT_STRING_EQUAL(ctl.socket, CTL_SOCKET);
    CU_ASSERT_EQUAL(parse(&ctl, "ring --a --h 8 --l 12 --json"), CTL_DONE);
    CU_ASSERT_PTR_EQUAL(ctl.command, &ctl_commands[1]);
    CU_ASSERT_TRUE(ctl.json && ctl.value[0] != NULL && ctl.value[1] == NULL);
    CU_ASSERT_STRING_EQUAL(ctl.value[7], "8");
    CU_ASSERT_STRING_EQUAL(ctl.value[CTL_OPTIONS_MAX - 1], "12");
    CU_ASSERT_EQUAL(ctl.watch_s, 0);
    /* a number behind --watch is its value, anything else is not */
    CU_ASSERT_EQUAL(parse(&ctl, "ring --watch"), CTL_DONE);
    CU_ASSERT_EQUAL(ctl.watch_s, CTL_WATCH_S);
    CU_ASSERT_EQUAL(parse(&ctl, "--watch ring"), CTL_DONE);
    CU_ASSERT_EQUAL(ctl.watch_s, CTL_WATCH_S);
    CU_ASSERT_EQUAL(parse(&ctl, "--watch 5 ring --json"), CTL_DONE);
    CU_ASSERT_TRUE(ctl.watch_s == 5 && ctl.json && ctl.word_count == 0);
    CU_ASSERT_EQUAL(parse(&ctl, "ring --watch=3600"), CTL_DONE);
    CU_ASSERT_EQUAL(ctl.watch_s, 3600);
    /* options before, between and behind the words; each form of a value */
    CU_ASSERT_EQUAL(parse(&ctl, "-s /a --timeout 2 ring --from=5 verify --quiet f --timeout=3000"),
                    CTL_DONE);
    CU_ASSERT_PTR_EQUAL(ctl.command, &ctl_commands[0]);
    CU_ASSERT_TRUE(ctl.timeout_given && ctl.timeout_ms == 3000);
    CU_ASSERT_STRING_EQUAL(ctl.socket, "/a");
    CU_ASSERT_STRING_EQUAL(ctl.value[0], "5");
    CU_ASSERT_STRING_EQUAL(ctl.value[1], "");
    CU_ASSERT_STRING_EQUAL(ctl.word[0], "f");
    CU_ASSERT_EQUAL(parse(&ctl, "--socket /b ring verify --socket=/c f"), CTL_DONE);
    CU_ASSERT_STRING_EQUAL(ctl.socket, "/c");
    /* words that look like options, and a dash alone, which is a word */
    CU_ASSERT_EQUAL(parse(&ctl, "make - -- --json -- -x"), CTL_DONE);
    CU_ASSERT_TRUE(ctl.word_count == 4 && !ctl.json);
    CU_ASSERT_STRING_EQUAL(ctl.word[0], "-");
    CU_ASSERT_STRING_EQUAL(ctl.word[1], "--json");
    CU_ASSERT_STRING_EQUAL(ctl.word[2], "--");
    CU_ASSERT_EQUAL(parse(&ctl, "-- ring verify -f"), CTL_DONE);
    CU_ASSERT_STRING_EQUAL(ctl.word[0], "-f");
    CU_ASSERT_EQUAL(parse(&ctl, "make --more-of good --more-or=good a"), CTL_DONE);
    CU_ASSERT_TRUE(ctl.more == &ctl && ctl.word_count == 1);
    /* help is given whatever else is missing */
    CU_ASSERT_EQUAL(parse(&ctl, "-h"), CTL_DONE);
    CU_ASSERT_TRUE(ctl.help && ctl.command == NULL);
    CU_ASSERT_EQUAL(parse(&ctl, "day end --help"), CTL_DONE);
    CU_ASSERT_TRUE(ctl.help && ctl.command == &ctl_commands[3]);
    CU_ASSERT_STRING_EQUAL(said, "");
}

static void refused(void)
{
    static const struct {
        const char *line, *says;
    } list[] = {
        {"", "no command: see `keelctl --help`"},
        {"--json", "no command"},
        {"frob", "frob: no such command"},
        {"rin", "rin: no such command"},
        {"rings", "rings: no such command"},
        {"verify f", "verify: no such command"},
        {"- ring", "-: no such command"},
        {"-- --json", "--json: no such command"},
        {"day", "day: wants a second word"},
        {"day begin D", "day: wants a second word"},
        {"da end D", "da: no such command"},
        {"day end", "day end: wants NAME"},
        {"ring verify", "ring verify: wants FILE"},
        {"ring verify f g",
         "ring verify: 'g' is a word too many: see `keelctl ring verify --help`"},
        {"ring f", "ring: 'f' is a word too many"},
        {"ring -x", "-x: no such option"},
        {"ring -sx", "-sx: no such option"},
        {"ring --=1", "--=1: no such option"},
        {"ring --m", "--m: no such option: see `keelctl ring --help`"},
        {"--m", "--m: no such option: see `keelctl --help`"},
        {"ring --a123456789012345678901234567890123456789012345678901234567890123 5",
         "--a12345678901234567: no such option"},
        {"ring --a12345678901234567890123456789012345678901234567890123456789012=5",
         "--a12345678901234567890123456789012345678901234567890123456789012: no such option"},
        {"ring --h", "--h: wants a value"},
        {"ring verify f --from", "--from: wants a value"},
        {"ring --a=1", "--a: takes no value"},
        {"ring --json=1", "--json: takes no value"},
        {"ring --help=", "--help: takes no value"},
        {"ring --a --a", "--a: given twice"},
        {"ring --h 1 --h=2", "--h: given twice"},
        {"ring -s", "--socket: wants a value"},
        {"ring --timeout", "--timeout: wants a value"},
        {"ring --timeout 0", "--timeout 0: give milliseconds from 1 to 3600000"},
        {"ring --timeout=3600001", "--timeout 3600001: give"},
        {"ring --m 5", "--m: no such option"},
        {"frob --watch", "frob: no such command"},
        {"ring --watch=0", "--watch 0: give whole seconds from 1 to 3600"},
        {"ring --watch=", "--watch : give whole seconds"},
        {"ring --watch 3601", "--watch 3601: give"},
        {"ring --watch soon", "ring: 'soon' is a word too many"},
        {"ring verify f --watch", "--watch: ring verify does not only show something"},
        {"ring --timeout 1s", "--timeout 1s: give"},
        {"make --more-of", "--more-of: wants a value"},
        {"make x x x x x x x x x x x x x x x x x x x x x x x x x x x x x x x x x x x x x x x x "
         "x x x x x x x x x x x x x x x x x x x x x x x x x",
         "more than 64 words"},
    };
    for (size_t i = 0; i < sizeof(list) / sizeof(list[0]); i++) {
        struct ctl ctl;
        int code = parse(&ctl, list[i].line);
        bool right = code == CTL_USAGE && strncmp(said, "keelctl: ", 9) == 0 &&
                     strncmp(said + 9, list[i].says, strlen(list[i].says)) == 0;
        if (!right)
            printf("# '%s' gave %d: %s\n", list[i].line, code, said);
        CU_ASSERT_TRUE(right);
    }
    struct ctl ctl;
    CU_ASSERT_EQUAL(parse(&ctl, "make --more-of bad"), CTL_USAGE); /* whoever takes more says why */
    CU_ASSERT_STRING_EQUAL(said, "");
}

/* --- help ----------------------------------------------------------------------------------------
 */

static const char *help(const struct ctl_command *command)
{
    static char text[4096];
    struct capture c = capture_begin(STDOUT_FILENO);
    ctl_help(command);
    capture_end(&c, text, sizeof(text));
    return text;
}

static void helped(void)
{
    const char *text = help(NULL);
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "usage: keelctl COMMAND"));
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "exit codes: 0 done"));
    for (uint32_t i = 0; i < ctl_command_count; i++)
        CU_ASSERT_PTR_NOT_NULL(strstr(text, ctl_commands[i].summary));
    for (uint32_t i = 0; i < ctl_command_count; i++) {
        const struct ctl_command *c = &ctl_commands[i];
        char usage[100], example[100];
        snprintf(usage, sizeof(usage), "usage: keelctl %s%s%s [OPTIONS]\n\n%s\n\n", c->name,
                 c->words != NULL ? " " : "", c->words != NULL ? c->words : "", c->summary);
        snprintf(example, sizeof(example), "example: %s\n", c->example);
        text = help(c);
        CU_ASSERT_EQUAL(strncmp(text, usage, strlen(usage)), 0);
        CU_ASSERT_PTR_NOT_NULL(strstr(text, example));
        CU_ASSERT_PTR_NOT_NULL(strstr(text, "  --timeout MS"));
        CU_ASSERT_EQUAL(strstr(text, "  --watch [S]") != NULL, c->shows);
        CU_ASSERT_EQUAL(strstr(text, "more-ANYTHING") != NULL, c->more_help != NULL);
        for (int k = 0; k < CTL_OPTIONS_MAX && c->options[k].name != NULL; k++) {
            const struct ctl_option *o = &c->options[k];
            char left[40], line[80];
            snprintf(left, sizeof(left), "--%s%s%s", o->name, o->argument != NULL ? " " : "",
                     o->argument != NULL ? o->argument : "");
            snprintf(line, sizeof(line), "\n  %-20s%s\n", left, o->help);
            CU_ASSERT_PTR_NOT_NULL(strstr(text, line));
        }
    }
}

int main(void)
{
    static const struct unit_test tests[] = {{"command lines that are taken", taken},
                                             {"refused, and why", refused},
                                             {"help", helped},
                                             {0}};
    return unit_main("ctl_parse", tests);
}
