/* keelcat's options: one table for the command line and for the configuration file. */
#include "client/cat.h"

#include <errno.h>
#include <getopt.h>
#include <ini.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum kind { TEXT, NUMBER, HEX64, FLAG, FORMAT, FRAMING, FROM };
enum { FOR_PUBLISH = 1, FOR_FOLLOW = 2, FOR_REPLAY = 4, FOR_READERS = 6, FOR_ALL = 7 };

struct setting {
    const char *name;
    const char *section; /* of the configuration file; NULL: command line only */
    enum kind kind;
    unsigned commands;
    size_t offset;
    uint64_t least, most;
};

#define FIELD(field) offsetof(struct cat_options, field)

static const struct setting settings[] = {
    {"config", NULL, TEXT, FOR_ALL, FIELD(config), 0, 0},
    {"members", "cluster", TEXT, FOR_PUBLISH, FIELD(members), 0, 0},
    {"cluster", "cluster", HEX64, FOR_PUBLISH, FIELD(cluster), 0, 0},
    {"key", "client", TEXT, FOR_PUBLISH, FIELD(key), 0, 0},
    {"principal", "client", NUMBER, FOR_PUBLISH, FIELD(principal), 16, UINT32_MAX},
    {"session", "client", TEXT, FOR_PUBLISH, FIELD(session), 0, 0},
    {"window", "client", NUMBER, FOR_PUBLISH, FIELD(window), 1, KEEL_WINDOW_MAX},
    {"ttl-ms", "client", NUMBER, FOR_PUBLISH, FIELD(ttl_ms), 1, 3600000},
    {"bind", "client", TEXT, FOR_ALL, FIELD(bind), 0, 0},
    {"listen", "feed", TEXT, FOR_READERS, FIELD(listen), 0, 0},
    {"request", "feed", TEXT, FOR_READERS, FIELD(request), 0, 0},
    {"framing", "feed", FRAMING, FOR_READERS, FIELD(framing), 0, 0},
    {"request-ms", "feed", NUMBER, FOR_READERS, FIELD(request_ms), 1, 60000},
    {"day", NULL, TEXT, FOR_READERS, FIELD(day), 0, 0},
    {"format", NULL, FORMAT, FOR_ALL, FIELD(format), 0, 0},
    {"rate", NULL, NUMBER, FOR_PUBLISH, FIELD(rate), 1, 100000000},
    {"count", NULL, NUMBER, FOR_ALL, FIELD(count), 1, UINT64_MAX - 1},
    {"from", NULL, FROM, FOR_FOLLOW, FIELD(from), 0, 0},
    {"log", NULL, TEXT, FOR_PUBLISH, FIELD(log), 0, 0},
    {"sequencer", NULL, TEXT, FOR_PUBLISH, FIELD(sequencer), 0, 0},
    {"stats", NULL, TEXT, FOR_ALL, FIELD(stats), 0, 0},
    {"gaps", NULL, NUMBER, FOR_PUBLISH, FIELD(gaps_ms), 0, 3600000},
    {"open-wait", NULL, NUMBER, FOR_PUBLISH, FIELD(open_wait_s), 1, 86400},
    {"timeout", NULL, NUMBER, FOR_PUBLISH, FIELD(timeout_s), 1, 86400},
    {"idle-exit", NULL, NUMBER, FOR_READERS, FIELD(idle_exit_s), 1, 86400},
    {"until-end", NULL, FLAG, FOR_FOLLOW, FIELD(until_end), 0, 0},
    {"progress", NULL, FLAG, FOR_ALL, FIELD(progress), 0, 0},
    {"json", NULL, FLAG, FOR_PUBLISH, FIELD(json), 0, 0},
    {"keep", NULL, FLAG, FOR_PUBLISH, FIELD(keep), 0, 0},
    {"new", NULL, FLAG, FOR_PUBLISH, FIELD(fresh), 0, 0},
    {"resend-lost", NULL, FLAG, FOR_PUBLISH, FIELD(resend_lost), 0, 0},
};
enum { SETTINGS = sizeof(settings) / sizeof(settings[0]), OPTION_HELP = 1000 };

/* --- one setting ------------------------------------------------------------------------------ */

static bool number_of(const char *text, int base, uint64_t *value)
{
    char *end;
    errno = 0;
    bool digits = base == 16 ? strspn(text, "0123456789abcdefABCDEFx") == strlen(text)
                             : strspn(text, "0123456789") == strlen(text);
    if (text[0] == 0 || !digits)
        return false;
    *value = strtoull(text, &end, base);
    return errno == 0 && *end == 0;
}

static const char *set_text(char *field, const char *value, bool list)
{
    size_t used = list ? strlen(field) : 0;
    if (used + strlen(value) + 2 > CAT_TEXT_MAX)
        return "too long: at most 510 bytes";
    if (value[0] == 0)
        return "empty: give a value";
    if (used > 0)
        field[used++] = ',';
    strcpy(field + used, value);
    return NULL;
}

static bool set_word(int *field, const char *value, const char *const *words, int count)
{
    for (int i = 0; i < count; i++) {
        if (strcmp(value, words[i]) == 0) {
            *field = i;
            return true;
        }
    }
    return false;
}

static const char *set_number(uint64_t *field, const char *value, const struct setting *setting)
{
    if (!number_of(value, 10, field))
        return "not a number";
    return *field < setting->least || *field > setting->most ? "out of range" : NULL;
}

static const char *set_from(uint64_t *field, const char *value)
{
    if (strcmp(value, "start") == 0)
        *field = 1;
    else if (strcmp(value, "next") == 0)
        *field = KEEL_FROM_NEXT;
    else if (!number_of(value, 10, field) || *field == 0)
        return "not a place: write a number from 1 on, 'start' or 'next'";
    return NULL;
}

static const char *apply(struct cat_options *options, const struct setting *setting,
                         const char *value, bool again)
{
    static const char *const formats[] = {"lines", "length-prefixed", "hex", "decode"};
    static const char *const framings[] = {"raw", "envelope"};
    void *field = (char *)options + setting->offset;
    int word = 0;
    switch (setting->kind) {
    case TEXT: /* --listen and --request may be repeated */
        return set_text(
            field, value,
            again && (setting->offset == FIELD(listen) || setting->offset == FIELD(request)));
    case NUMBER:
        return set_number(field, value, setting);
    case HEX64:
        return number_of(value, 16, field) ? NULL : "not a number: write up to 16 hex digits";
    case FLAG:
        *(bool *)field = true;
        return NULL;
    case FORMAT:
        if (!set_word(&word, value, formats, 4))
            return "not a format: write lines, length-prefixed, hex, or (for reading) decode";
        options->format = (enum cat_format)word;
        return NULL;
    case FRAMING:
        if (!set_word(&word, value, framings, 2))
            return "not a framing: write raw or envelope";
        options->framing = (enum keel_framing)word;
        return NULL;
    case FROM:
        return set_from(field, value);
    }
    return "unknown";
}

const char *cat_option_set(struct cat_options *options, const char *name, const char *value)
{
    for (size_t i = 0; i < SETTINGS; i++)
        if (strcmp(settings[i].name, name) == 0)
            return apply(options, &settings[i], value, false);
    return "unknown setting";
}

/* `why` and, for a number, the limits. */
static void explain(char *text, const struct setting *setting, const char *why)
{
    int n = snprintf(text, CAT_PROBLEM_SIZE, "%s", why);
    if (setting->kind == NUMBER && setting->most > UINT32_MAX)
        snprintf(text + n, CAT_PROBLEM_SIZE - (size_t)n, ": write a whole number from %" PRIu64,
                 setting->least);
    else if (setting->kind == NUMBER)
        snprintf(text + n, CAT_PROBLEM_SIZE - (size_t)n,
                 ": write a whole number from %" PRIu64 " to %" PRIu64, setting->least,
                 setting->most);
}

/* --- the file --------------------------------------------------------------------------------- */

struct reading {
    struct cat_options *options;
    const char *path;
    char *problem;
};

static int on_setting(void *user, const char *section, const char *name, const char *value)
{
    struct reading *reading = user;
    char dashed[64];
    size_t size = strlen(name);
    if (size < sizeof(dashed)) {
        for (size_t i = 0; i <= size; i++)
            dashed[i] = name[i] == '_' ? '-' : name[i];
        if (strcmp(section, "cluster") == 0 && strcmp(dashed, "id") == 0)
            strcpy(dashed, "cluster");
    }
    const char *why = "no such setting: see `keelcat publish --help`, --config";
    char text[CAT_PROBLEM_SIZE];
    snprintf(text, sizeof(text), "%s", why);
    for (size_t i = 0; size < sizeof(dashed) && i < SETTINGS; i++) {
        if (settings[i].section == NULL || strcmp(settings[i].section, section) != 0 ||
            strcmp(settings[i].name, dashed) != 0)
            continue;
        why = apply(reading->options, &settings[i], value, false);
        if (why != NULL)
            explain(text, &settings[i], why);
    }
    if (why != NULL && reading->problem[0] == 0)
        snprintf(reading->problem, CAT_PROBLEM_SIZE, "[%.40s] %.80s: %.300s", section, name, text);
    return why == NULL;
}

bool cat_config_read(struct cat_options *options, const char *path, char *problem)
{
    struct reading reading = {.options = options, .path = path, .problem = problem};
    char why[CAT_PROBLEM_SIZE];
    problem[0] = 0;
    int line = ini_parse(path, on_setting, &reading);
    if (line == 0)
        return true;
    if (line < 0) {
        snprintf(problem, CAT_PROBLEM_SIZE,
                 "configuration '%.200s': %s: name a file that can be read with --config", path,
                 strerror(errno));
        return false;
    }
    snprintf(why, sizeof(why), "%s",
             problem[0] != 0 ? problem : "not a setting: write NAME = VALUE");
    snprintf(problem, CAT_PROBLEM_SIZE, "configuration '%.120s' line %d: %.300s", path, line, why);
    return false;
}

/* --- the command line ------------------------------------------------------------------------- */

static void defaults(struct cat_options *options, enum cat_command command)
{
    memset(options, 0, sizeof(*options));
    options->count = options->gaps_ms = options->idle_exit_s = UINT64_MAX;
    options->open_wait_s = 10;
    options->timeout_s = 60;
    options->from = command == CAT_REPLAY ? 1 : KEEL_FROM_NEXT;
    options->until_present = command == CAT_REPLAY;
    if (command == CAT_REPLAY)
        options->idle_exit_s = 10;
    strcpy(options->input, "-");
}

static int bad(const struct setting *setting, const char *value, const char *why)
{
    char text[CAT_PROBLEM_SIZE];
    explain(text, setting, why);
    return cat_error(CAT_USAGE, "--%s '%.200s': %s", setting->name, value, text);
}

/* Options of this command only; 0 ends the table. */
static void table_of(enum cat_command command, struct option table[SETTINGS + 2])
{
    size_t count = 0;
    for (size_t i = 0; i < SETTINGS; i++)
        if (settings[i].commands & 1u << command)
            table[count++] = (struct option){
                settings[i].name, settings[i].kind == FLAG ? no_argument : required_argument, NULL,
                (int)i};
    table[count++] = (struct option){"help", no_argument, NULL, OPTION_HELP};
    table[count] = (struct option){0};
}

/* The file that --config names is read before any other option counts. */
static int config_first(struct cat_options *options, int argc, char **argv,
                        const struct option *table)
{
    char problem[CAT_PROBLEM_SIZE];
    int option;
    optind = 0; /* GNU: begin anew */
    while ((option = getopt_long(argc, argv, ":h", table, NULL)) != -1)
        if (option == 0 && settings[0].offset == FIELD(config))
            snprintf(options->config, sizeof(options->config), "%s", optarg);
    if (options->config[0] == 0 || cat_config_read(options, options->config, problem))
        return CAT_DONE;
    return cat_error(CAT_USAGE, "%s", problem);
}

int cat_options_read(struct cat_options *options, enum cat_command command, int argc, char **argv,
                     bool *help)
{
    static const char *const names[] = {"publish", "follow", "replay"};
    struct option table[SETTINGS + 2];
    bool seen[SETTINGS] = {false};
    int option;
    *help = false;
    opterr = 0; /* one line for an error, and that one is ours */
    defaults(options, command);
    table_of(command, table);
    int result = config_first(options, argc, argv, table);
    if (result != CAT_DONE)
        return result;
    optind = 0;
    while ((option = getopt_long(argc, argv, ":h", table, NULL)) != -1) {
        if (option == OPTION_HELP || option == 'h') {
            cat_help(stdout, names[command]);
            *help = true;
            return CAT_DONE;
        }
        if (option == '?' || option == ':')
            return cat_error(CAT_USAGE, "%s: '%.200s': %s: see `keelcat %s --help`", names[command],
                             argv[optind - 1],
                             option == ':' ? "needs a value"
                                           : "no such option, or one that takes no value",
                             names[command]);
        const char *why = apply(options, &settings[option], optarg, seen[option]);
        if (why != NULL)
            return bad(&settings[option], optarg == NULL ? "" : optarg, why);
        seen[option] = true;
    }
    if (command == CAT_PUBLISH && optind < argc)
        snprintf(options->input, sizeof(options->input), "%s", argv[optind++]);
    if (optind < argc)
        return cat_error(CAT_USAGE, "'%s': not expected: see `keelcat %s --help`", argv[optind],
                         names[command]);
    if (command == CAT_REPLAY && options->listen[0] == 0 && options->count == UINT64_MAX)
        return cat_error(
            CAT_USAGE, "replay: nothing would say where the present is: a request server answers "
                       "with messages or not at all: name a line with --listen, or say --count N");
    if (command == CAT_PUBLISH && options->format == CAT_DECODE)
        return cat_error(CAT_USAGE, "--format 'decode': decoding is for reading: write lines, "
                                    "length-prefixed or hex");
    return CAT_DONE;
}
