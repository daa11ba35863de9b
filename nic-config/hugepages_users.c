/* Stage "hugepages": who uses the pool, and with what it is set. */
#include "nic-config/hugepages.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { MOUNTS_SIZE = 65536, STATUS_SIZE = 4096, NAMED_MAX = 3 };

/* --- the words of the undo file
 * ------------------------------------------------------------------------- */

void hugepages_write_was(const struct hugepages_was *was, char words[UNDO_WORDS_MAX])
{
    snprintf(words, UNDO_WORDS_MAX,
             "size_kb=2048 before=%" PRIu64 " added=%" PRIu64 " overcommit=%" PRIu64, was->before,
             was->added, was->overcommit);
}

bool hugepages_read_was(struct hugepages_was *was, const char *words)
{
    int end = -1;
    return sscanf(words,
                  "size_kb=2048 before=%" SCNu64 " added=%" SCNu64 " overcommit=%" SCNu64 "%n",
                  &was->before, &was->added, &was->overcommit, &end) == 3 &&
           words[end] == '\0';
}

uint64_t hugepages_undone(const struct hugepages_was *was, uint64_t reserved)
{
    if (reserved <= was->before)
        return reserved;
    uint64_t without = reserved > was->added ? reserved - was->added : 0;
    return without > was->before ? without : was->before;
}

/* --- who holds pages
 * ------------------------------------------------------------------------------------ */

bool hugepages_holder(const char *status, char name[32], uint64_t *megabytes)
{
    const char *at = strstr(status, "\nHugetlbPages:");
    uint64_t kilobytes = 0;
    if (at == NULL || sscanf(at, "\nHugetlbPages: %" SCNu64 " kB", &kilobytes) != 1 ||
        kilobytes == 0)
        return false;
    if (sscanf(status, "Name: %31[^\n]", name) != 1)
        snprintf(name, 32, "?");
    *megabytes = kilobytes >> 10;
    return true;
}

static int by_number(const struct dirent **a, const struct dirent **b)
{
    long first = strtol((*a)->d_name, NULL, 10), second = strtol((*b)->d_name, NULL, 10);
    return (first > second) - (first < second);
}

static int is_process(const struct dirent *entry)
{
    return isdigit((unsigned char)entry->d_name[0]) != 0;
}

static void add_holder(struct hugepages_held *held, uint32_t count, const char *pid,
                       const char *name, uint64_t megabytes)
{
    if (count < NAMED_MAX)
        report_more(held->names, "%s%s (pid %.12s) %" PRIu64 " MB", count > 0 ? ", " : "", name,
                    pid, megabytes);
    else if (count == NAMED_MAX)
        report_more(held->names, ", and others");
    *(strcmp(name, "keeld") == 0 ? &held->keeld_mb : &held->other_mb) += megabytes;
}

void hugepages_holders(const struct host *host, struct hugepages_held *held)
{
    struct dirent **process;
    char path[PATH_MAX], status[STATUS_SIZE], name[32];
    uint32_t count = 0;
    uint64_t megabytes;
    memset(held, 0, sizeof(*held));
    snprintf(path, sizeof(path), "%s/proc", host->root);
    int found = scandir(path, &process, is_process, by_number);
    for (int i = 0; i < found; i++) {
        snprintf(path, sizeof(path), "/proc/%s/status", process[i]->d_name);
        if (host_read(host, path, status, sizeof(status)) &&
            hugepages_holder(status, name, &megabytes))
            add_holder(held, count++, process[i]->d_name, name, megabytes);
        free(process[i]);
    }
    if (found >= 0)
        free(process);
}

static void check_holders(const struct host *host, uint64_t missing, struct report *report)
{
    struct hugepages_held held;
    hugepages_holders(host, &held);
    struct finding *f = report_add(report, VERDICT_PASS, "hugepages", "holders");
    report_text(f->found, "%s", held.names[0] != '\0' ? held.names : "no process holds hugepages");
    bool counted = host->need.known && !host->need.by_option;
    bool taken = held.other_mb > 0 || (held.keeld_mb > 0 && !counted);
    if (taken && missing > 0)
        f->verdict = VERDICT_WARN;
    report_text(f->means, "%s",
                taken && missing > 0 ? "what they hold nobody else can have: reserve more, or stop "
                                       "those that are not needed"
                : counted && held.keeld_mb > 0
                    ? "what keeld holds counts as to be had: it is free when keeld starts again"
                    : "the pool is not short by what others hold");
}

/* --- files in hugetlbfs
 * --------------------------------------------------------------------------------- */

/* Regular files in a folder below the root. */
static uint32_t count_files(const struct host *host, const char *folder)
{
    char path[PATH_MAX];
    uint32_t count = 0;
    struct dirent *entry;
    struct stat facts;
    snprintf(path, sizeof(path), "%s%s", host->root, folder);
    DIR *open = opendir(path);
    if (open == NULL)
        return 0;
    while ((entry = readdir(open)) != NULL) /* bound: the folder's */
        count += fstatat(dirfd(open), entry->d_name, &facts, AT_SYMLINK_NOFOLLOW) == 0 &&
                 S_ISREG(facts.st_mode);
    closedir(open);
    return count;
}

static void check_files(const struct host *host, uint64_t missing, struct report *report)
{
    char mounts[MOUNTS_SIZE], point[200], kind[32], *rest = mounts;
    char list[REPORT_TEXT_MAX] = "", first[200] = "";
    uint32_t files = 0;
    if (!host_read(host, "/proc/mounts", mounts, sizeof(mounts)))
        mounts[0] = '\0';
    for (char *line = strsep(&rest, "\n"); line != NULL; line = strsep(&rest, "\n")) {
        if (sscanf(line, "%*s %199s %31s", point, kind) != 2 || strcmp(kind, "hugetlbfs") != 0)
            continue;
        uint32_t here = count_files(host, point);
        report_more(list, "%s%s: %u file%s", list[0] != 0 ? ", " : "", point, here,
                    here == 1 ? "" : "s");
        if (here > 0 && first[0] == '\0')
            snprintf(first, sizeof(first), "%s", point);
        files += here;
    }
    struct finding *f = report_add(report, VERDICT_PASS, "hugepages", "files");
    report_text(f->found, "%s", list[0] != '\0' ? list : "no hugetlbfs is mounted");
    if (files > 0 && missing > 0) {
        f->verdict = VERDICT_WARN;
        report_text(f->means, "a file holds its pages also when the process that made it has "
                              "crashed: remove those that nobody uses");
        report_text(f->mend, "for f in %s/*; do fuser -s \"$f\"; [ $? = 1 ] && rm \"$f\"; done",
                    first);
    } else {
        report_text(f->means, "keeld takes hugepages without files and needs no mount");
    }
}

static void check_tool(const struct host *host, struct report *report)
{
    bool there = host_has(host, "/usr/bin/hugeadm");
    struct finding *f =
        report_add(report, there ? VERDICT_PASS : VERDICT_WARN, "hugepages", "hugeadm");
    report_text(f->found, "/usr/bin/hugeadm is %s", there ? "installed" : "not there");
    report_text(f->means, "%s",
                there ? "keel-host apply reserves pages through it"
                      : "keel-host apply cannot reserve pages");
    if (!there)
        report_text(f->mend, "apt-get install libhugetlbfs-bin");
}

void hugepages_check_users(const struct host *host, uint64_t missing, struct report *report)
{
    check_holders(host, missing, report);
    check_files(host, missing, report);
    check_tool(host, report);
}
