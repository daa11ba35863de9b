/* The stages of setting a host up, and what they work on.
 *
 * A stage is one thing of the host (its hugepages, its interrupts, ...) in one file. check() only
 * reads, from below host->root. apply() makes the host fit, and does nothing where it fits already;
 * before it changes anything it writes down what was there (undo.h), and when it fails it has put
 * back what it changed. With host->dry it says what it would do instead. undo() puts back what all
 * apply()s since the last undo() changed. keel-host runs them in the table's order, undo() in the
 * reverse, one thread.
 */
#ifndef KEEL_NIC_STAGE_H
#define KEEL_NIC_STAGE_H

#include "control/need.h"
#include "nic-config/report.h"
#include "nic-config/undo.h"

enum { HOST_WHY_MAX = 400 };

struct host_need {
    bool known;       /* else `why` says what is missing */
    bool by_option;   /* --pages, all of it in `need.window_huge`; else a configuration's */
    bool ordinary;    /* the configuration wants no hugepages */
    bool insists;     /* keeld refuses to start without them */
    struct need need; /* window_bytes is not used here */
    int node;         /* NUMA node that the memory is to be of; -1: not stated */
    char why[HOST_WHY_MAX];
};

struct host {
    const char *root; /* "": the running host; else a folder with its recorded /sys, /proc, ... */
    bool dry;         /* apply() only says what it would do */
    struct host_need need;
    struct undo undo;
    char why[HOST_WHY_MAX]; /* of the last failure: what failed, why, what to do */
};

struct host_stage {
    const char *name, *summary;
    void (*check)(const struct host *host, struct report *report);
    bool (*apply)(struct host *host); /* false: host->why */
    bool (*undo)(struct host *host);  /* false: host->why */
};

/* In the order in which apply runs them. */
extern const struct host_stage *const stages[];
extern const uint32_t stage_count;

extern const struct host_stage stage_hugepages;

/* One line about what a stage does or would do, to stdout. */
void host_say(const char *stage, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Fills host->why; always false. */
bool host_fail(struct host *host, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Whole text of a file below the root, cut to size - 1 bytes. False: it cannot be read. */
bool host_read(const struct host *host, const char *path, char *text, size_t size);
/* Is there a file below the root? */
bool host_has(const struct host *host, const char *path);
/* Writes a number into a file of the running host. False: host->why. */
bool host_write(struct host *host, const char *path, uint64_t number);
/* Runs a program of the running host, argv[0] by PATH, at most a minute; its words are kept for
 * host->why. False: it is not there, or ended with another code than 0. */
bool host_run(struct host *host, char *const argv[]);
/* NUMA nodes of the host, as a mask of the first 64; 0: the kernel tells of none. */
uint64_t host_nodes(const struct host *host);
/* The NUMA node of a core; -1: not known. */
int host_node_of(const struct host *host, uint32_t core);
/* Is a number in a list as the kernel writes it ("0-3,8")? */
bool host_list_has(const char *list, uint32_t number);

#endif
