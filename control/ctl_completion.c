/* `keelctl completion bash`: a completion script made of the command table. */
#include "control/ctl.h"

#include <stdio.h>
#include <string.h>

/* The words that may stand first, or behind `first`; each once. */
static void print_words(const char *first)
{
    for (uint32_t i = 0; i < ctl_command_count; i++) {
        const char *name = ctl_commands[i].name, *space = strchr(name, ' ');
        size_t size = space != NULL ? (size_t)(space - name) : strlen(name);
        if (first == NULL) {
            bool again = false;
            for (uint32_t k = 0; k < i && !again; k++)
                again = strncmp(ctl_commands[k].name, name, size) == 0 &&
                        (ctl_commands[k].name[size] == ' ' || ctl_commands[k].name[size] == '\0');
            if (!again)
                printf("%.*s ", (int)size, name);
        } else if (space != NULL && strncmp(name, first, size) == 0 && first[size] == '\0') {
            printf("%s ", space + 1);
        }
    }
}

static void print_options(const struct ctl_option *list, int max)
{
    for (int i = 0; i < max && list[i].name != NULL; i++)
        printf("--%s ", list[i].name);
}

/* Options whose value is the next word, of all commands: they are skipped to find the command. */
static void print_valued(void)
{
    for (const struct ctl_option *o = ctl_common_options; o->name != NULL; o++)
        if (o->argument != NULL && o->argument[0] != '[')
            printf("--%s|", o->name);
    for (uint32_t i = 0; i < ctl_command_count; i++)
        for (int k = 0; k < CTL_OPTIONS_MAX && ctl_commands[i].options[k].name != NULL; k++)
            if (ctl_commands[i].options[k].argument != NULL)
                printf("--%s|", ctl_commands[i].options[k].name);
    fputs("-s", stdout);
}

static bool of_files(const char *words)
{
    return words != NULL && (strstr(words, "FILE") != NULL || strstr(words, "RING") != NULL);
}

static bool is_group(const char *first)
{
    for (uint32_t i = 0; i < ctl_command_count; i++) {
        const char *name = ctl_commands[i].name;
        if (strncmp(name, first, strlen(first)) == 0 && name[strlen(first)] == ' ')
            return true;
    }
    return false;
}

static void print_command(const struct ctl_command *c)
{
    printf("    '%s') options='", c->name);
    print_options(c->options, CTL_OPTIONS_MAX);
    printf("' files=%d ;;\n", of_files(c->words));
}

static void print_groups(void)
{
    for (uint32_t i = 0; i < ctl_command_count; i++) {
        char first[32];
        const char *space = strchr(ctl_commands[i].name, ' ');
        if (space == NULL)
            continue;
        snprintf(first, sizeof(first), "%.*s", (int)(space - ctl_commands[i].name),
                 ctl_commands[i].name);
        bool again = false;
        for (uint32_t k = 0; k < i && !again; k++)
            again = strncmp(ctl_commands[k].name, ctl_commands[i].name, strlen(first) + 1) == 0;
        if (again)
            continue;
        printf("    '%s') second='", first);
        print_words(first);
        puts("' ;;");
    }
}

static const char head[] =
    "# bash completion for keelctl, made by `keelctl completion bash`\n"
    "_keelctl()\n"
    "{\n"
    "    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}\n"
    "    local first='' command='' second='' options='' files=0 i skip=0 word\n"
    "    COMPREPLY=()\n"
    "    for ((i = 1; i < COMP_CWORD; i++)); do\n"
    "        word=${COMP_WORDS[i]}\n"
    "        if ((skip)); then skip=0; continue; fi\n"
    "        case $word in\n"
    "        %s) skip=1 ;;\n";

int ctl_completion(struct ctl *ctl)
{
    if (strcmp(ctl->word[0], "bash") != 0)
        return ctl_fail(CTL_USAGE, "completion: '%s': there is bash", ctl->word[0]);
    const char *hole = strstr(head, "%s");
    printf("%.*s", (int)(hole - head), head);
    print_valued();
    fputs(hole + 2, stdout);
    puts("        -*) ;;\n"
         "        *) if [[ -z $first ]]; then first=$word command=$word\n"
         "           elif [[ $command == \"$first\" ]]; then command=\"$first $word\"; fi ;;\n"
         "        esac\n"
         "    done\n"
         "    case $first in");
    print_groups();
    puts("    esac\n"
         "    case $command in");
    for (uint32_t i = 0; i < ctl_command_count; i++)
        print_command(&ctl_commands[i]);
    /* a command of one word, whatever words follow it */
    puts("    *) case $first in");
    for (uint32_t i = 0; i < ctl_command_count; i++)
        if (strchr(ctl_commands[i].name, ' ') == NULL && !is_group(ctl_commands[i].name))
            print_command(&ctl_commands[i]);
    puts("    esac ;;\n    esac");
    fputs("    options+=' ", stdout);
    print_options(ctl_common_options, CTL_OPTIONS_MAX);
    fputs("'\n    if ((skip)); then\n"
          "        case $prev in\n"
          "        -s | --socket | --out | --data | --to | --genesis | --tail | --key | --config)\n"
          "            COMPREPLY=($(compgen -f -- \"$cur\")) ;;\n"
          "        esac\n"
          "    elif [[ $cur == -* ]]; then\n"
          "        COMPREPLY=($(compgen -W \"$options\" -- \"$cur\"))\n"
          "    elif [[ -z $first ]]; then\n"
          "        COMPREPLY=($(compgen -W '",
          stdout);
    print_words(NULL);
    puts("' -- \"$cur\"))\n"
         "    elif [[ -n $second && $command == \"$first\" ]]; then\n"
         "        COMPREPLY=($(compgen -W \"$second\" -- \"$cur\"))\n"
         "    elif ((files)); then\n"
         "        COMPREPLY=($(compgen -f -- \"$cur\"))\n"
         "    fi\n"
         "}\n"
         "complete -o filenames -o bashdefault -F _keelctl keelctl");
    return CTL_DONE;
}
