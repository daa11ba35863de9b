/* keeld: the daemon of one replica. */
#include "consensus/ensure.h"
#include "control/blackbox.h"
#include "control/config_check.h"
#include "control/daemon.h"
#include "control/format_command.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char help[] =
    "usage: keeld --config FILE [--check]\n"
    "       keeld format --data PATH --replica N --address IP:PORT --size SIZE\n"
    "\n"
    "Runs one replica of a Keel cluster until SIGTERM or SIGINT.\n"
    "\n"
    "  --config FILE  the configuration (INI)\n"
    "  --ordinary-pages\n"
    "                 no hugepages for DPDK, whatever the configuration says\n"
    "  --check        only reads the configuration and the keys, and says what is wrong\n"
    "  --version      prints the version\n"
    "  --help         prints this\n"
    "\n"
    "exit codes: 0 stopped as asked, 1 failed, 2 usage or configuration, 3 no ring (format it),\n"
    "            4 no genesis record (install it), 6 refused for safety (damage, or already "
    "running)\n"
    "\n"
    "example: keeld --config /etc/keel/keeld.conf\n";

_Noreturn void ensure_failed(const char *file, int line, const char *condition)
{
    blackbox_write(0, 0, file, line, condition);
    fprintf(stderr, "<2>event=ensure file=%s line=%d condition=\"%s\"\n", file, line, condition);
    fflush(stderr);
    abort();
}

static int check(const char *path)
{
    struct config_checked *checked = malloc(sizeof(*checked));
    if (checked == NULL)
        return STARTUP_FAILED;
    bool good = config_check(path, checked);
    const struct config *c = &checked->config;
    if (good)
        printf("%s: replica %u, data %s, port %s, %u keys\n", path, c->id, c->data, c->device,
               checked->keys);
    else
        fprintf(stderr, "keeld: %s\n", checked->problem);
    free(checked);
    return good ? STARTUP_OK : STARTUP_CONFIG;
}

/* EAL starts once in a process: the same process goes on as another program image. */
static int again(const char *path, bool ordinary_pages)
{
    const char *option = ordinary_pages ? "--ordinary-pages" : NULL;
    execl("/proc/self/exe", "keeld", "--config", path, option, (char *)NULL);
    fprintf(stderr, "keeld: starting again%s: %s: start it by hand\n",
            ordinary_pages ? " on ordinary pages" : "", strerror(errno));
    return STARTUP_FAILED;
}

static int usage(const char *what)
{
    fprintf(stderr, "keeld: %s: see `keeld --help`\n", what);
    return STARTUP_CONFIG;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"config", required_argument, NULL, 'c'},   {"check", no_argument, NULL, 'k'},
        {"ordinary-pages", no_argument, NULL, 'o'}, {"version", no_argument, NULL, 'v'},
        {"help", no_argument, NULL, 'h'},           {0}};
    const char *path = NULL;
    bool only_check = false, ordinary_pages = false;
    int option;
    if (argc > 1 && strcmp(argv[1], "format") == 0)
        return format_command(argc - 1, argv + 1);
    opterr = 0;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) { /* bound: argc */
        switch (option) {
        case 'c':
            path = optarg;
            break;
        case 'k':
            only_check = true;
            break;
        case 'o':
            ordinary_pages = true;
            break;
        case 'v':
            puts("keeld " KEEL_VERSION);
            return 0;
        case 'h':
            fputs(help, stdout);
            return 0;
        default:
            fprintf(stderr,
                    "keeld: %s: no such option, or its value is missing: see `keeld --help`\n",
                    argv[optind - 1]);
            return STARTUP_CONFIG;
        }
    }
    if (optind != argc)
        return usage("there is a word too many");
    if (path == NULL)
        return usage("--config is needed");
    struct config *config = malloc(sizeof(*config)); /* too large for comfort on a stack */
    char problem[CONFIG_PROBLEM_SIZE];
    if (config == NULL)
        return STARTUP_FAILED;
    int result = STARTUP_CONFIG;
    if (only_check)
        result = check(path);
    else if (!config_read(config, path, problem))
        fprintf(stderr, "keeld: %s\n", problem);
    else
        result = daemon_run(config, path, ordinary_pages);
    if (result == DAEMON_PAGES_GONE || result == DAEMON_START_AGAIN)
        result = again(path, ordinary_pages || result == DAEMON_PAGES_GONE);
    free(config);
    return result;
}
