/* keelctl without a command, on a terminal: each line is a command, with a history that is kept and
 * completion from the table. A command runs in a process of its own, so that it can be interrupted
 * and leaves nothing behind.
 */
#include "control/ctl.h"

#include <editline/readline.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    SHELL_HISTORY = 1000, /* lines that are kept */
    SHELL_PATH_MAX = 512,
    SHELL_PROMPT_MAX = 128
};

/* --- words of a line
 * ------------------------------------------------------------------------------ */

int ctl_shell_words(char *line, char *word[CTL_SHELL_WORDS])
{
    int count = 0;
    char *from = line, *to = line;
    while (*from != '\0') { /* bound: the line */
        from += strspn(from, " \t");
        if (*from == '\0')
            break;
        if (count == CTL_SHELL_WORDS - 1)
            return -1;
        word[count++] = to;
        char quote = '\0';
        for (; *from != '\0' && (quote != '\0' || strchr(" \t", *from) == NULL); from++) {
            if (quote == '\0' && (*from == '"' || *from == '\''))
                quote = *from;
            else if (*from == quote)
                quote = '\0';
            else
                *to++ = *from;
        }
        if (quote != '\0')
            return -1;
        from += *from != '\0';
        *to++ = '\0';
    }
    word[count] = NULL;
    return count;
}

/* --- completion
 * ------------------------------------------------------------------------------------- */

/* Candidate `number` for the last word behind `before` (words that stand already); NULL: no more.
 * Names of commands word by word; options once a command stands. */
static const char *candidate(int before, char *const *word, const char *begin, uint32_t number,
                             char text[64])
{
    size_t size = strlen(begin);
    uint32_t found = 0;
    for (uint32_t i = 0; i < ctl_command_count; i++) {
        const struct ctl_command *c = &ctl_commands[i];
        const char *space = strchr(c->name, ' ');
        size_t first = space != NULL ? (size_t)(space - c->name) : strlen(c->name);
        const char *offer = NULL;
        if (before == 0 && begin[0] != '-') {
            snprintf(text, 64, "%.*s", (int)first, c->name);
            offer = text;
            for (uint32_t k = 0; k < i && offer != NULL; k++) /* each first word once */
                if (strncmp(ctl_commands[k].name, text, first) == 0 &&
                    (ctl_commands[k].name[first] == ' ' || ctl_commands[k].name[first] == '\0'))
                    offer = NULL;
        } else if (before == 1 && space != NULL && begin[0] != '-' &&
                   strncmp(word[0], c->name, first) == 0 && word[0][first] == '\0') {
            snprintf(text, 64, "%s", space + 1);
            offer = text;
        }
        if (offer != NULL && strncmp(offer, begin, size) == 0 && found++ == number)
            return offer;
    }
    return NULL;
}

static const struct ctl_option *option_at(const struct ctl_command *c, uint32_t number)
{
    for (uint32_t i = 0; c != NULL && i < CTL_OPTIONS_MAX && c->options[i].name != NULL; i++)
        if (number-- == 0)
            return &c->options[i];
    for (const struct ctl_option *o = ctl_common_options; o->name != NULL; o++)
        if (number-- == 0)
            return o;
    return NULL;
}

static const char *option_candidate(int before, char *const *word, const char *begin,
                                    uint32_t number, char text[64])
{
    const struct ctl_command *command = NULL;
    const struct ctl_option *option;
    uint32_t found = 0;
    for (uint32_t i = 0; i < ctl_command_count; i++) { /* the longest name that stands there */
        const char *space = strchr(ctl_commands[i].name, ' ');
        size_t first =
            space != NULL ? (size_t)(space - ctl_commands[i].name) : strlen(ctl_commands[i].name);
        if (before < 1 || strncmp(word[0], ctl_commands[i].name, first) != 0 ||
            word[0][first] != '\0')
            continue;
        if (space == NULL ? command == NULL : before > 1 && strcmp(word[1], space + 1) == 0)
            command = &ctl_commands[i];
    }
    for (uint32_t i = 0; (option = option_at(command, i)) != NULL; i++) {
        snprintf(text, 64, "--%s", option->name);
        if (strncmp(text, begin, strlen(begin)) == 0 && found++ == number)
            return text;
    }
    return NULL;
}

const char *ctl_shell_candidate(const char *line, int at, uint32_t number, char text[64])
{
    char copy[1024], *word[CTL_SHELL_WORDS];
    snprintf(copy, sizeof(copy), "%.*s", at, line);
    const char *begin = copy + strlen(copy);
    while (begin > copy && begin[-1] != ' ')
        begin--;
    char last[sizeof(copy)];
    snprintf(last, sizeof(last), "%s", begin);
    copy[begin - copy] = '\0';
    int before = ctl_shell_words(copy, word);
    if (before < 0)
        return NULL;
    return last[0] == '-' ? option_candidate(before, word, last, number, text)
                          : candidate(before, word, last, number, text);
}

static char *next_candidate(const char *begin, int state)
{
    static uint32_t number; /* libedit calls it again and again for one question */
    char text[64];
    (void)begin;
    number = state == 0 ? 0 : number + 1;
    const char *found = ctl_shell_candidate(rl_line_buffer, rl_point, number, text);
    return found != NULL ? strdup(found) : NULL;
}

static char **complete(const char *begin, int from, int to)
{
    (void)from;
    (void)to;
    char **matches = rl_completion_matches(begin, next_candidate);
    rl_attempted_completion_over = matches != NULL; /* else names of files */
    return matches;
}

/* --- the shell
 * -------------------------------------------------------------------------------------- */

static void run_line(const struct ctl *ctl, int count, char **word)
{
    char *argv[CTL_SHELL_WORDS + 4];
    int argc = 0, status = 0;
    argv[argc++] = (char *)(uintptr_t) "keelctl";
    argv[argc++] = (char *)(uintptr_t) "-s"; /* the line may name another behind it */
    argv[argc++] = (char *)(uintptr_t)ctl->socket;
    for (int i = 0; i < count; i++)
        argv[argc++] = word[i];
    argv[argc] = NULL;
    fflush(stdout);
    signal(SIGINT, SIG_IGN); /* the command's, not the shell's */
    pid_t child = fork();
    if (child == 0) {
        signal(SIGINT, SIG_DFL);
        struct ctl one;
        int code = ctl_parse(&one, argc, argv);
        if (code == CTL_DONE && one.help)
            ctl_help(one.command);
        else if (code == CTL_DONE)
            code = ctl_run(&one);
        fflush(stdout);
        _exit(code);
    }
    while (child > 0 && waitpid(child, &status, 0) < 0 && errno == EINTR) /* bound: the command */
        continue;
    signal(SIGINT, SIG_DFL);
    if (child < 0)
        ctl_fail(CTL_FAILED, "no process can be started: %s", strerror(errno));
    else if (WIFEXITED(status) && WEXITSTATUS(status) != CTL_DONE)
        printf("(exit code %d)\n", WEXITSTATUS(status));
}

/* Kept between shells, for its owner only; "" where there is no place. */
static void history_path(char path[SHELL_PATH_MAX])
{
    const char *home = getenv("HOME"), *state = getenv("XDG_STATE_HOME");
    if (state != NULL && state[0] != '\0')
        snprintf(path, SHELL_PATH_MAX, "%s/keelctl_history", state);
    else
        snprintf(path, SHELL_PATH_MAX, "%s%s", home != NULL ? home : "",
                 home != NULL ? "/.keelctl_history" : "");
}

int ctl_shell(const struct ctl *ctl)
{
    char path[SHELL_PATH_MAX], prompt[SHELL_PROMPT_MAX], *line;
    rl_readline_name = (char *)(uintptr_t) "keelctl";
    rl_attempted_completion_function = complete;
    using_history();
    stifle_history(SHELL_HISTORY);
    history_path(path);
    if (path[0] != '\0')
        read_history(path);
    printf("keelctl on %s: a command a line, Tab completes, `help` lists them, `quit` ends\n",
           ctl->socket);
    snprintf(prompt, sizeof(prompt), "keel> ");
    while ((line = readline(prompt)) != NULL) { /* until quit, or the input's end */
        char *word[CTL_SHELL_WORDS], *copy = strdup(line);
        int count = copy != NULL ? ctl_shell_words(copy, word) : -1;
        if (count != 0)
            add_history(line);
        free(line);
        bool quit = count == 1 && (strcmp(word[0], "quit") == 0 || strcmp(word[0], "exit") == 0);
        if (count < 0)
            fputs("keelctl: a quote that does not end, or too many words\n", stderr);
        else if (count > 0 && strcmp(word[0], "help") == 0) {
            word[0] = (char *)(uintptr_t) "--help"; /* `help ring verify` too */
            run_line(ctl, count, word);
        } else if (count > 0 && !quit)
            run_line(ctl, count, word);
        free(copy);
        if (quit)
            break;
    }
    if (path[0] != '\0' && write_history(path) == 0)
        (void)!chmod(path, 0600);
    return CTL_DONE;
}
