/* Runs the Raft transcripts of tests/scenarios/raft/ over real cores
 * (tests/unit/raft/raft_world.h).
 *
 *     raft_scenarios [--rewrite | --reach] FILE|FOLDER...
 *
 * A transcript is blocks of commands, a line `----`, and the output expected up to an empty line;
 * lines that begin with # are comments. All blocks of a file act on one world. --rewrite puts the
 * actual output in place of the expected one: read it before believing it. The commands are listed
 * in tests/scenarios/raft/README.md. --reach prints the rare states of each file besides
 * (tests/reach).
 */
#include "consensus/ensure.h"
#include "tests/scenarios/raft_command.h"

#include <glob.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { BLOCK_MAX_BYTES = 1 << 16 };

_Noreturn void ensure_failed(const char *file, int line, const char *condition)
{
    fflush(stdout);
    fprintf(stderr, "%s:%d: ENSURE failed: %s\n", file, line, condition);
    abort();
}

/* Ends a block: compares or rewrites. Returns whether the output was as expected. */
static bool compare(struct runner *r, const char *path, uint32_t line, const char *expected,
                    const char *actual, bool rewrite, FILE *rewritten)
{
    bool sound = strstr(actual, "error: ") == NULL && r->world->violation[0] == '\0';
    if (rewrite) {
        fputs(actual, rewritten);
        fputs("\n", rewritten);
    }
    if (rewrite || !sound) {
        if (!sound)
            printf("# %s:%u: no such thing may be expected:\n%s", path, line, actual);
        return sound;
    }
    if (strcmp(expected, actual) == 0)
        return true;
    printf("# %s:%u: expected\n%s# but got\n%s", path, line, expected, actual);
    return false;
}

struct block {
    uint32_t line;
    bool in_output;
    char *actual;
    size_t actual_size;
    char expected[BLOCK_MAX_BYTES];
};

static void begin_output(struct runner *r, struct block *block)
{
    if (r->world->violation[0] != '\0')
        fprintf(r->out, "VIOLATION: %s\n", r->world->violation);
    if (ftell(r->out) == 0)
        fputs("(nothing)\n", r->out);
    fclose(r->out);
    r->out = NULL;
    block->in_output = true;
    block->expected[0] = '\0';
}

static bool run_lines(struct runner *r, FILE *in, const char *path, bool rewrite, FILE *rewritten)
{
    struct block block = {0};
    char line[LINE_MAX_BYTES];
    bool good = true;
    for (;;) { /* the file's lines */
        bool more = fgets(line, sizeof(line), in) != NULL;
        block.line++;
        if (block.in_output && (!more || line[0] == '\n')) {
            good = compare(r, path, block.line, block.expected, block.actual, rewrite, rewritten) &&
                   good;
            free(block.actual);
            block.in_output = false;
        } else if (block.in_output) {
            ENSURE(strlen(block.expected) + strlen(line) < sizeof(block.expected));
            strcat(block.expected, line);
        } else if (more) {
            if (rewrite)
                fputs(line, rewritten);
            if (strncmp(line, "----", 4) == 0) {
                begin_output(r, &block);
            } else if (line[0] != '#' && line[0] != '\n') {
                if (r->out == NULL)
                    r->out = open_memstream(&block.actual, &block.actual_size);
                ENSURE(r->out != NULL);
                raft_command(r, line);
                fflush(r->out);
            }
        }
        if (!more)
            break;
    }
    if (r->out != NULL) {
        printf("# %s: commands without ----\n", path);
        fclose(r->out);
        r->out = NULL;
        free(block.actual);
        return false;
    }
    return good && r->world->violation[0] == '\0';
}

static bool run_file(struct world *world, const char *path, bool rewrite, struct reach *reach)
{
    struct runner r = {.world = world, .reach = reach};
    memset(world, 0, sizeof(*world));
    FILE *in = fopen(path, "r");
    if (in == NULL) {
        printf("# %s: cannot be read\n", path);
        return false;
    }
    char *text = NULL;
    size_t size = 0;
    FILE *rewritten = rewrite ? open_memstream(&text, &size) : NULL;
    bool good = run_lines(&r, in, path, rewrite, rewritten);
    fclose(in);
    if (rewrite) {
        fclose(rewritten);
        while (size > 1 && text[size - 1] == '\n' && text[size - 2] == '\n')
            size--;
        FILE *file = fopen(path, "w");
        good = file != NULL && fwrite(text, 1, size, file) == size && good;
        if (file != NULL)
            fclose(file);
        free(text);
    }
    return good;
}

/* The named files, and of a folder all of its transcripts, so that none is forgotten. */
static bool find_files(char *const *argument, int count, glob_t *files)
{
    enum { PATTERN_MAX = 4096 };
    char pattern[PATTERN_MAX];
    struct stat found;
    for (int i = 0; i < count; i++) {
        bool folder = stat(argument[i], &found) == 0 && S_ISDIR(found.st_mode);
        int size = snprintf(pattern, sizeof(pattern), "%s%s", argument[i], folder ? "/*.txt" : "");
        int flags = (i > 0 ? GLOB_APPEND : 0) | (folder ? 0 : GLOB_NOCHECK);
        if (size >= PATTERN_MAX || glob(pattern, flags, NULL, files) != 0) {
            fprintf(stderr, "raft_scenarios: %s: no transcript there\n", argument[i]);
            return false;
        }
    }
    return true;
}

int main(int argc, char **argv)
{
    bool rewrite = argc > 1 && strcmp(argv[1], "--rewrite") == 0;
    bool reaches = argc > 1 && strcmp(argv[1], "--reach") == 0;
    static struct reach reach;
    int first = rewrite || reaches ? 2 : 1;
    if (first >= argc) {
        fputs("usage: raft_scenarios [--rewrite | --reach] FILE|FOLDER...\n", stderr);
        return 2;
    }
    glob_t files = {0};
    if (!find_files(argv + first, argc - first, &files))
        return 2;
    struct world *world = malloc(sizeof(*world));
    if (world == NULL)
        return 99;
    int failed = 0;
    if (reaches)
        reach_list(stdout);
    printf("1..%zu\n", files.gl_pathc);
    for (size_t i = 0; i < files.gl_pathc; i++) {
        const char *path = files.gl_pathv[i], *slash = strrchr(path, '/');
        const char *name = slash != NULL ? slash + 1 : path;
        reach_init(&reach);
        bool good = run_file(world, path, rewrite, reaches ? &reach : NULL);
        failed += !good;
        printf("%s %zu - %s\n", good ? "ok" : "not ok", i + 1, name);
        reach_print(reach.count, reach.first_ns, stdout, name);
    }
    free(world);
    globfree(&files);
    return failed == 0 ? 0 : 1;
}
