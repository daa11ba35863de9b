/* What every stage needs of the host: its files below the root, its programs. */
#include "nic-config/stage.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { NODES_MAX = 64, RUN_SECONDS_MAX = 60 };

void host_say(const char *stage, const char *format, ...)
{
    va_list args;
    printf("%s: ", stage);
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    putchar('\n');
    fflush(stdout);
}

bool host_fail(struct host *host, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(host->why, sizeof(host->why), format, args);
    va_end(args);
    return false;
}

bool host_read(const struct host *host, const char *path, char *text, size_t size)
{
    char name[PATH_MAX];
    snprintf(name, sizeof(name), "%s%s", host->root, path);
    FILE *file = fopen(name, "re");
    if (file == NULL)
        return false;
    size_t got = fread(text, 1, size - 1, file);
    bool read = ferror(file) == 0;
    fclose(file);
    text[got] = '\0';
    return read;
}

bool host_has(const struct host *host, const char *path)
{
    char name[PATH_MAX];
    snprintf(name, sizeof(name), "%s%s", host->root, path);
    return access(name, F_OK) == 0;
}

bool host_write(struct host *host, const char *path, uint64_t number)
{
    char text[24];
    int size = snprintf(text, sizeof(text), "%llu\n", (unsigned long long)number);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    bool written = fd >= 0 && write(fd, text, (size_t)size) == size;
    int error = errno;
    if (fd >= 0)
        close(fd);
    return written || host_fail(host, "%s: writing %llu: %s", path, (unsigned long long)number,
                                strerror(error));
}

static _Noreturn void become(char *const argv[], int words)
{
    int nothing = open("/dev/null", O_RDONLY);
    dup2(nothing, STDIN_FILENO);
    dup2(words, STDOUT_FILENO);
    dup2(words, STDERR_FILENO);
    alarm(RUN_SECONDS_MAX); /* stays over execvp() and ends it */
    execvp(argv[0], argv);
    dprintf(STDERR_FILENO, "%s", strerror(errno));
    _exit(127);
}

/* What the program says, on one line; the newest is cut off when it is too long. */
static void listen_to(int fd, char *words, size_t size)
{
    size_t used = 0;
    char more[256];
    ssize_t got;
    while ((got = read(fd, more, sizeof(more))) > 0) { /* bound: the alarm */
        size_t keep = (size_t)got < size - 1 - used ? (size_t)got : size - 1 - used;
        memcpy(words + used, more, keep);
        used += keep;
    }
    while (used > 0 && words[used - 1] == '\n')
        used--;
    words[used] = '\0';
    for (char *at = words; *at != '\0'; at++)
        *at = *at == '\n' ? ' ' : *at;
}

bool host_run(struct host *host, char *const argv[])
{
    int ends[2], status = -1;
    char words[HOST_WHY_MAX / 2];
    if (pipe2(ends, O_CLOEXEC) != 0)
        return host_fail(host, "%s: %s", argv[0], strerror(errno));
    fflush(NULL);
    pid_t child = fork();
    if (child == 0)
        become(argv, ends[1]);
    int error = errno;
    close(ends[1]);
    if (child > 0) {
        listen_to(ends[0], words, sizeof(words));
        while (waitpid(child, &status, 0) < 0 && errno == EINTR)
            continue;
    }
    close(ends[0]);
    if (child < 0)
        return host_fail(host, "%s: %s", argv[0], strerror(error));
    if (WIFSIGNALED(status))
        return host_fail(host, "%s: ended by signal %d: %s", argv[0], WTERMSIG(status), words);
    if (WEXITSTATUS(status) != 0)
        return host_fail(host, "%s: exit %d: %s", argv[0], WEXITSTATUS(status), words);
    snprintf(host->why, sizeof(host->why), "%s", words);
    return true;
}

uint64_t host_nodes(const struct host *host)
{
    char path[64];
    uint64_t nodes = 0;
    for (int node = 0; node < NODES_MAX; node++) {
        snprintf(path, sizeof(path), "/sys/devices/system/node/node%d/cpulist", node);
        if (host_has(host, path))
            nodes |= 1ull << node;
    }
    return nodes;
}

int host_node_of(const struct host *host, uint32_t core)
{
    char path[64], list[4096];
    for (int node = 0; node < NODES_MAX; node++) {
        snprintf(path, sizeof(path), "/sys/devices/system/node/node%d/cpulist", node);
        if (host_read(host, path, list, sizeof(list)) && host_list_has(list, core))
            return node;
    }
    return -1;
}

bool host_list_has(const char *list, uint32_t number)
{
    while (*list >= '0' && *list <= '9') { /* bound: the text's length */
        char *end;
        unsigned long first = strtoul(list, &end, 10), last = first;
        if (*end == '-')
            last = strtoul(end + 1, &end, 10);
        if (first <= number && number <= last)
            return true;
        list = *end == ',' ? end + 1 : end;
    }
    return false;
}
