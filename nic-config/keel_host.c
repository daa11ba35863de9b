/* keel-host: checks a host for Keel, sets it up, puts it back. */
#include "consensus/ensure.h"
#include "control/address.h"
#include "nic-config/host_need.h"

#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CONFIG_PATH "/etc/keel/keeld.conf"

enum { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2, PAGES_MAX = 1 << 24 };

static const char help[] =
    "usage: keel-host doctor [--json] [options]\n"
    "       keel-host plan | apply [options]\n"
    "       keel-host undo [--state FILE]\n"
    "\n"
    "Checks whether a host is fit for keeld, makes it so, and puts it back.\n"
    "\n"
    "  doctor         one finding a line: PASS, WARN, FAIL or SKIP, what it means for Keel, and "
    "the\n"
    "                 command that mends it; changes nothing\n"
    "  plan           what apply would do; changes nothing\n"
    "  apply          does it, and stops at the first failure; a second time there is nothing to "
    "do\n"
    "  undo           puts back what was there before apply\n"
    "\n"
    "  --config FILE  keeld's configuration: what it needs is counted as keeld counts it\n"
    "                 (default: " CONFIG_PATH " below the root, if it is there)\n"
    "  --pages N      instead: so many pages of 2 MiB that nobody holds\n"
    "  --node N       of this NUMA node (default: that of [cores] seq where there are several)\n"
    "  --root DIR     doctor and plan: the host that is recorded below DIR\n"
    "  --state FILE   apply and undo: what was there before (default: " UNDO_PATH ")\n"
    "  --json         doctor: one line of JSON\n"
    "  --version      prints the version\n"
    "  --help         prints this\n"
    "\n"
    "exit codes: doctor: 0 all well, 1 a warning, 2 a failure, or usage\n"
    "            the others: 0 done, 1 failed, 2 usage\n"
    "\n"
    "example: keel-host doctor && keel-host apply --config /etc/keel/keeld.conf\n";

struct arguments {
    const char *verb, *root, *config, *state;
    uint32_t pages; /* 0: not given */
    int node;
    bool json;
};

_Noreturn void ensure_failed(const char *file, int line, const char *condition)
{
    fprintf(stderr, "keel-host: %s:%d: ENSURE failed: %s: this is a defect, report it\n", file,
            line, condition);
    abort();
}

static int usage(const char *what, const char *why)
{
    fprintf(stderr, "keel-host: %s: %s: see `keel-host --help`\n", what, why);
    return EXIT_USAGE;
}

static int failed(const char *stage, const char *why)
{
    fprintf(stderr, "keel-host: %s: %s\n", stage, why);
    return EXIT_FAILED;
}

/* --- verbs
 * ---------------------------------------------------------------------------------------------- */

static int doctor(const struct host *host, bool json)
{
    struct report report = {0};
    for (uint32_t i = 0; i < stage_count; i++)
        stages[i]->check(host, &report);
    if (!(json ? report_print_json(&report) : report_print(&report)))
        return failed("doctor", "stdout cannot be written");
    return report_code(&report);
}

static int plan(struct host *host)
{
    host->dry = true;
    for (uint32_t i = 0; i < stage_count; i++)
        if (!stages[i]->apply(host))
            return failed(stages[i]->name, host->why);
    return EXIT_DONE;
}

static int change(struct host *host, const struct arguments *a)
{
    bool back = strcmp(a->verb, "undo") == 0;
    const char *path = a->state != NULL ? a->state : UNDO_PATH;
    if (geteuid() != 0)
        return failed(a->verb, "this changes the host and needs root: run it as root");
    if (!undo_open(&host->undo, path, host->why, sizeof(host->why)))
        return failed(a->verb, host->why);
    int code = EXIT_DONE;
    for (uint32_t i = 0; i < stage_count && code == EXIT_DONE; i++) {
        const struct host_stage *stage = stages[back ? stage_count - 1 - i : i];
        if (!(back ? stage->undo(host) : stage->apply(host)))
            code = failed(stage->name, host->why);
    }
    undo_close(&host->undo);
    return code;
}

/* --- arguments
 * ------------------------------------------------------------------------------------------ */

static int find_need(struct host *host, const struct arguments *a)
{
    char path[PATH_MAX];
    host->need.node = a->node;
    if (a->pages > 0) {
        host_need_pages(&host->need, a->pages);
        return EXIT_DONE;
    }
    snprintf(path, sizeof(path), "%s%s", a->config != NULL ? "" : host->root,
             a->config != NULL ? a->config : CONFIG_PATH);
    if (a->config == NULL && access(path, F_OK) != 0) {
        snprintf(host->need.why, sizeof(host->need.why),
                 "what keeld needs is not known without a configuration: state --config or "
                 "--pages");
        return EXIT_DONE;
    }
    if (host_need_config(host, path))
        return EXIT_DONE;
    fprintf(stderr, "keel-host: %s\n", host->why);
    return EXIT_USAGE;
}

static bool number(const char *text, uint64_t low, uint64_t high, uint64_t *value)
{
    return text != NULL && address_number(text, low, high, value);
}

/* EXIT_DONE, or EXIT_USAGE and said why; -1: only --help or --version. */
static int parse(int argc, char **argv, struct arguments *a)
{
    static const struct option options[] = {{"config", required_argument, NULL, 'c'},
                                            {"pages", required_argument, NULL, 'p'},
                                            {"node", required_argument, NULL, 'n'},
                                            {"root", required_argument, NULL, 'r'},
                                            {"state", required_argument, NULL, 's'},
                                            {"json", no_argument, NULL, 'j'},
                                            {"version", no_argument, NULL, 'v'},
                                            {"help", no_argument, NULL, 'h'},
                                            {0}};
    int option;
    uint64_t value;
    opterr = 0;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) { /* bound: argc */
        switch (option) {
        case 'c':
            a->config = optarg;
            break;
        case 'p':
            if (!number(optarg, 1, PAGES_MAX, &value))
                return usage("--pages", "give a whole number of pages");
            a->pages = (uint32_t)value;
            break;
        case 'n':
            if (!number(optarg, 0, 63, &value))
                return usage("--node", "give a NUMA node's number");
            a->node = (int)value;
            break;
        case 'r':
            a->root = optarg;
            break;
        case 's':
            a->state = optarg;
            break;
        case 'j':
            a->json = true;
            break;
        case 'v':
            puts("keel-host " KEEL_VERSION);
            return -1;
        case 'h':
            fputs(help, stdout);
            return -1;
        default:
            return usage(argv[optind - 1], "no such option, or its value is missing");
        }
    }
    if (optind >= argc)
        return usage("what to do", "doctor, plan, apply or undo");
    a->verb = argv[optind++];
    return optind < argc ? usage(argv[optind], "a word too many") : EXIT_DONE;
}

/* What fits the verb. */
static int judge(const struct arguments *a)
{
    static const char *const verbs[] = {"doctor", "plan", "apply", "undo"};
    enum { DOCTOR, PLAN, APPLY, UNDO, VERBS } verb = DOCTOR;
    while (verb < VERBS && strcmp(a->verb, verbs[verb]) != 0) /* bound: VERBS */
        verb++;
    if (verb == VERBS)
        return usage(a->verb, "no such verb: doctor, plan, apply or undo");
    if (a->json && verb != DOCTOR)
        return usage("--json", "for doctor only");
    if (a->root != NULL && verb >= APPLY)
        return usage("--root", "a recording answers no kernel's call: doctor and plan read it, "
                               "nothing can be applied to it");
    if (a->state != NULL && verb < APPLY)
        return usage("--state", "for apply and undo only");
    if (verb == UNDO && (a->config != NULL || a->pages > 0 || a->node >= 0))
        return usage("undo", "it takes what was there from the state file alone");
    if (a->config != NULL && a->pages > 0)
        return usage("--pages", "instead of --config, not beside it");
    return EXIT_DONE;
}

int main(int argc, char **argv)
{
    struct arguments a = {.node = -1};
    int code = parse(argc, argv, &a);
    if (code != EXIT_DONE)
        return code < 0 ? EXIT_DONE : code;
    code = judge(&a);
    if (code != EXIT_DONE)
        return code;
    static struct host host; /* main's: too large for comfort on a stack */
    host.root = a.root != NULL ? a.root : "";
    if (strcmp(a.verb, "undo") != 0)
        code = find_need(&host, &a);
    if (code != EXIT_DONE)
        return code;
    if (strcmp(a.verb, "doctor") == 0)
        return doctor(&host, a.json);
    return strcmp(a.verb, "plan") == 0 ? plan(&host) : change(&host, &a);
}
