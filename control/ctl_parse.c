#include "control/ctl.h"

#include "control/address.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { HELP_COLUMN = 20, COMMAND_WORD_MAX = 64 };

const struct ctl_option ctl_common_options[] = {
    {"socket", "PATH", "admin socket, also -s (default " CTL_SOCKET ")"},
    {"timeout", "MS", "give up after so many milliseconds, exit 4 (default 10000)"},
    {"watch", "[S]", "show it again every S seconds (default 2)"},
    {"json", NULL, "one line of JSON instead of tables"},
    {"help", NULL, "this"},
    {0}};

int ctl_fail(int code, const char *format, ...)
{
    va_list args;
    fputs("keelctl: ", stderr);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    return code;
}

static void help_option(const char *name, const char *argument, const char *text)
{
    char left[48];
    int size = snprintf(left, sizeof(left), "--%s%s%s", name, argument != NULL ? " " : "",
                        argument != NULL ? argument : "");
    printf("  %-*s%s\n", size < HELP_COLUMN ? HELP_COLUMN : size + 1, left, text);
}

void ctl_help(const struct ctl_command *c)
{
    if (c == NULL) {
        puts("usage: keelctl COMMAND [OPTIONS] [WORDS]\n       keelctl                             "
             "     on a terminal: a shell\n\n"
             "Asks and changes a running keeld by its admin socket; reads rings and genesis "
             "records.\n");
        for (uint32_t i = 0; i < ctl_command_count; i++)
            printf("  %-*s%s\n", HELP_COLUMN, ctl_commands[i].name, ctl_commands[i].summary);
        puts("\nOptions of every command:");
    } else {
        printf("usage: keelctl %s%s%s [OPTIONS]\n\n%s\n\n", c->name, c->words != NULL ? " " : "",
               c->words != NULL ? c->words : "", c->summary);
        for (int i = 0; i < CTL_OPTIONS_MAX && c->options[i].name != NULL; i++)
            help_option(c->options[i].name, c->options[i].argument, c->options[i].help);
        if (c->more_help != NULL)
            fputs(c->more_help, stdout);
    }
    for (const struct ctl_option *o = ctl_common_options; o->name != NULL; o++)
        if (c == NULL || c->shows || strcmp(o->name, "watch") != 0)
            help_option(o->name, o->argument, o->help);
    if (c != NULL)
        printf("\nexample: %s\n", c->example);
    else
        puts("\nexit codes: 0 done, 1 failed, 2 usage, 3 daemon unreachable, 4 timed out,\n"
             "            5 not the leader (it is printed), 6 refused for safety, 7 no quorum\n\n"
             "example: keelctl status --json");
}

/* The command whose words begin the line; the longest name wins ("ring verify" before "ring"). */
static const struct ctl_command *find(int count, const char *const *words, int *used)
{
    const struct ctl_command *best = NULL;
    *used = 0;
    for (uint32_t i = 0; i < ctl_command_count; i++) {
        const char *name = ctl_commands[i].name, *space = strchr(name, ' ');
        size_t first = space != NULL ? (size_t)(space - name) : strlen(name);
        int need = space != NULL ? 2 : 1;
        if (count < need || strlen(words[0]) != first || strncmp(words[0], name, first) != 0 ||
            (need == 2 && strcmp(words[1], space + 1) != 0) || need <= *used)
            continue;
        best = &ctl_commands[i];
        *used = need;
    }
    return best;
}

/* Is it the first word of a two-word command? Then the second is missing or wrong. */
static bool is_group(const char *word)
{
    size_t size = strlen(word);
    for (uint32_t i = 0; i < ctl_command_count; i++)
        if (strncmp(ctl_commands[i].name, word, size) == 0 && ctl_commands[i].name[size] == ' ')
            return true;
    return false;
}

static int unknown(const char *word)
{
    if (is_group(word))
        return ctl_fail(CTL_USAGE, "%s: wants a second word: see `keelctl --help`", word);
    return ctl_fail(CTL_USAGE, "%s: no such command: see `keelctl --help`", word);
}

static int take_watch(struct ctl *ctl, const char *value)
{
    uint64_t seconds = CTL_WATCH_S;
    if (ctl->command != NULL && !ctl->command->shows)
        return ctl_fail(CTL_USAGE, "--watch: %s does not only show something", ctl->command->name);
    if (value != NULL && !address_number(value, 1, CTL_WATCH_MAX_S, &seconds))
        return ctl_fail(CTL_USAGE, "--watch %s: give whole seconds from 1 to %d", value,
                        CTL_WATCH_MAX_S);
    ctl->watch_s = (uint32_t)seconds;
    return CTL_DONE;
}

static int common_option(struct ctl *ctl, const char *name, const char *value, bool *taken)
{
    uint64_t ms;
    *taken = true;
    if (strcmp(name, "watch") == 0)
        return take_watch(ctl, value);
    if (strcmp(name, "json") == 0)
        ctl->json = true;
    else if (strcmp(name, "help") == 0)
        ctl->help = true;
    else if (strcmp(name, "socket") == 0)
        ctl->socket = value;
    else if (strcmp(name, "timeout") != 0)
        *taken = false;
    else if (!address_number(value, 1, CTL_TIMEOUT_MAX_MS, &ms))
        return ctl_fail(CTL_USAGE, "--timeout %s: give milliseconds from 1 to %d", value,
                        CTL_TIMEOUT_MAX_MS);
    else
        ctl->timeout_ms = (uint32_t)ms;
    ctl->timeout_given = ctl->timeout_given || strcmp(name, "timeout") == 0;
    return CTL_DONE;
}

static const struct ctl_option *common_option_of(const char *name)
{
    for (const struct ctl_option *o = ctl_common_options; o->name != NULL; o++)
        if (strcmp(o->name, name) == 0)
            return o;
    return NULL;
}

static bool is_number(const char *word)
{
    return strspn(word, "0123456789") == strlen(word);
}

/* Place in the command's table, -1: none. */
static int own_option(const struct ctl_command *c, const char *name)
{
    for (int i = 0; c != NULL && i < CTL_OPTIONS_MAX && c->options[i].name != NULL; i++)
        if (strcmp(c->options[i].name, name) == 0)
            return i;
    return -1;
}

static bool is_known(const struct ctl_command *c, const char *name)
{
    return common_option_of(name) != NULL || own_option(c, name) >= 0 ||
           (c != NULL && c->take_more != NULL);
}

enum value { VALUE_NONE, VALUE_MAY, VALUE_MUST };

/* Whether the word behind --name is its value; an unknown name is refused whatever follows. */
static enum value wants_value(const struct ctl_command *c, const char *name)
{
    const struct ctl_option *common = common_option_of(name);
    int own = own_option(c, name);
    if (!is_known(c, name))
        return VALUE_NONE;
    const char *argument = common != NULL ? common->argument
                           : own >= 0     ? c->options[own].argument
                                          : "VALUE"; /* one that take_more() knows */
    if (argument == NULL)
        return VALUE_NONE;
    return argument[0] == '[' ? VALUE_MAY : VALUE_MUST;
}

/* A value that may be left out is one only where it can be nothing else: a number. */
static bool takes_next(const struct ctl_command *c, const char *name, const char *next)
{
    enum value wants = wants_value(c, name);
    return wants == VALUE_MUST || (wants == VALUE_MAY && is_number(next));
}

static int take_option(struct ctl *ctl, const char *name, const char *value)
{
    bool taken;
    int own = own_option(ctl->command, name);
    if (!is_known(ctl->command, name))
        return ctl_fail(CTL_USAGE, "--%s: no such option: see `keelctl %s%s--help`", name,
                        ctl->command != NULL ? ctl->command->name : "",
                        ctl->command != NULL ? " " : "");
    if (wants_value(ctl->command, name) == VALUE_MUST && value == NULL)
        return ctl_fail(CTL_USAGE, "--%s: wants a value", name);
    if (wants_value(ctl->command, name) == VALUE_NONE && value != NULL)
        return ctl_fail(CTL_USAGE, "--%s: takes no value", name);
    int result = common_option(ctl, name, value, &taken);
    if (taken)
        return result;
    if (own >= 0) {
        if (ctl->value[own] != NULL)
            return ctl_fail(CTL_USAGE, "--%s: given twice", name);
        ctl->value[own] = value != NULL ? value : "";
        return CTL_DONE;
    }
    return ctl->command->take_more(ctl, name, value) ? CTL_DONE : CTL_USAGE;
}

/* "--name", "--name=value", "-s": the name (in `name`) and the joined value. */
static int split_option(const char *word, char *name, const char **value)
{
    const char *equals = strchr(word, '=');
    *value = NULL;
    if (word[1] != '-') {
        if (strcmp(word, "-s") != 0 && strcmp(word, "-h") != 0)
            return ctl_fail(CTL_USAGE, "%s: no such option: see `keelctl --help`", word);
        strcpy(name, word[1] == 's' ? "socket" : "help");
        return CTL_DONE;
    }
    size_t size = equals != NULL ? (size_t)(equals - word) - 2 : strlen(word) - 2;
    if (size == 0 || size >= COMMAND_WORD_MAX)
        return ctl_fail(CTL_USAGE, "%.20s: no such option: see `keelctl --help`", word);
    memcpy(name, word + 2, size);
    name[size] = '\0';
    if (equals != NULL)
        *value = equals + 1;
    return CTL_DONE;
}

static bool is_word(const char *word, bool only_words)
{
    return only_words || word[0] != '-' || word[1] == '\0';
}

/* Words only, to find the command: options may stand before it, and `-s PATH` has a value. */
static const struct ctl_command *scan(int argc, char **argv, int *used, const char **words,
                                      int *count)
{
    bool only_words = false;
    *count = 0;
    for (int i = 1; i < argc && *count < 2; i++) {
        if (is_word(argv[i], only_words))
            words[(*count)++] = argv[i];
        else if (strcmp(argv[i], "--") == 0)
            only_words = true;
        else if (strcmp(argv[i], "-s") == 0 || strcmp(argv[i], "--socket") == 0 ||
                 strcmp(argv[i], "--timeout") == 0 ||
                 (strcmp(argv[i], "--watch") == 0 && i + 1 < argc && is_number(argv[i + 1])))
            i++;
    }
    return *count > 0 ? find(*count, words, used) : NULL;
}

int ctl_parse(struct ctl *ctl, int argc, char **argv)
{
    const char *first[2];
    int used = 0, count = 0, words = 0;
    bool only_words = false;
    *ctl = (struct ctl){.socket = CTL_SOCKET, .timeout_ms = CTL_TIMEOUT_MS};
    ctl->command = scan(argc, argv, &used, first, &count);
    for (int i = 1; i < argc; i++) {
        char name[COMMAND_WORD_MAX];
        const char *value;
        if (is_word(argv[i], only_words)) {
            if (++words <= used)
                continue;
            if (ctl->word_count == CTL_WORDS_MAX)
                return ctl_fail(CTL_USAGE, "more than %d words", CTL_WORDS_MAX);
            ctl->word[ctl->word_count++] = argv[i];
            continue;
        }
        if (strcmp(argv[i], "--") == 0) {
            only_words = true;
            continue;
        }
        int result = split_option(argv[i], name, &value);
        if (result == CTL_DONE && value == NULL && i + 1 < argc &&
            takes_next(ctl->command, name, argv[i + 1]))
            value = argv[++i];
        if (result == CTL_DONE)
            result = take_option(ctl, name, value);
        if (result != CTL_DONE)
            return result;
    }
    if (ctl->help)
        return CTL_DONE;
    if (ctl->command == NULL)
        return count > 0 ? unknown(first[0])
                         : ctl_fail(CTL_USAGE, "no command: see `keelctl --help`");
    const struct ctl_command *c = ctl->command;
    if (ctl->word_count < c->words_min)
        return ctl_fail(CTL_USAGE, "%s: wants %s", c->name, c->words);
    if (ctl->word_count > c->words_max)
        return ctl_fail(CTL_USAGE, "%s: '%s' is a word too many: see `keelctl %s --help`", c->name,
                        ctl->word[c->words_max], c->name);
    return CTL_DONE;
}
