/* The stage of hugepages, from the inside: what its parts and their tests share. */
#ifndef KEEL_NIC_HUGEPAGES_H
#define KEEL_NIC_HUGEPAGES_H

#include "dataplane/huge_pool.h"
#include "nic-config/stage.h"

/* One pool as apply found it and changed it, kept as the words of a line of the undo file. */
struct hugepages_was {
    uint64_t before;     /* pages reserved before the first apply */
    uint64_t added;      /* by all applies since */
    uint64_t overcommit; /* before the first apply */
};

/* The words fit UNDO_WORDS_MAX. */
void hugepages_write_was(const struct hugepages_was *was, char words[UNDO_WORDS_MAX]);
bool hugepages_read_was(struct hugepages_was *was, const char *words);
/* What undo makes of a pool in which `reserved` pages are reserved now: what was added goes, what
 * others added since stays, and what others took away is not brought back. */
uint64_t hugepages_undone(const struct hugepages_was *was, uint64_t reserved);

/* Who holds hugepages: /proc/PID/status of all processes. */
struct hugepages_held {
    uint64_t keeld_mb; /* by processes named keeld, to be had again when they are restarted */
    uint64_t other_mb;
    char names[REPORT_TEXT_MAX]; /* "keeld (pid 12) 84 MB, ..." the first few */
};
void hugepages_holders(const struct host *host, struct hugepages_held *held);
/* One status file's text; false: it holds none. */
bool hugepages_holder(const char *status, char name[32], uint64_t *megabytes);

/* Findings beside the pool itself: who holds pages, files in hugetlbfs, hugeadm. `missing`: pages
 * that the pool lacks. */
void hugepages_check_users(const struct host *host, uint64_t missing, struct report *report);

#endif
