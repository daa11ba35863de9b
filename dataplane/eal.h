/* DPDK's environment: the one that belongs to the process, not to a replica.
 *
 * The daemon's main thread calls eal_init() once, before any port is opened; the arguments of
 * rte_eal_init() are made here from a few facts, so that nobody has to write them. A thread that is
 * to poll a port calls eal_thread_register() first. Memory for the log window comes from here too,
 * but needs no DPDK: it may be taken before eal_init() or without it.
 */
#ifndef KEEL_EAL_H
#define KEEL_EAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    EAL_CORES_MAX = 64,
    EAL_DEVICES_MAX = 8,
    EAL_EXTRA_MAX = 24, /* words in eal_options.extra */
    EAL_LINE_MAX = 1024,
    EAL_LOG_SIZE = 8192 /* the newest bytes of what DPDK said */
};

enum eal_pages {
    EAL_PAGES_AUTO, /* hugepages if enough are free, else ordinary pages, and says so */
    EAL_PAGES_HUGE, /* refuse to start without */
    EAL_PAGES_ORDINARY
};

struct eal_options {
    const int *cores;    /* of the calling thread and EAL's own threads, never those of polling */
    uint32_t core_count; /* 0: those that the calling thread may use now */
    uint32_t memory_mb;  /* heap for mempools and rings: see port_pool_plan() */
    enum eal_pages pages;
    const char *prefix;         /* of EAL's run-time files; differs for each process of a host */
    const char *const *devices; /* PCI addresses ("0000:04:00.0[,args]") or virtual devices
                                   ("net_af_packet0,iface=v0"); nothing else is probed */
    uint32_t device_count;
    const char *extra; /* more EAL arguments, separated by spaces, or NULL */
    void (*say)(void *context, const char *line); /* one line for the operator, or NULL */
    void *say_context;
};

struct eal_facts {
    bool huge;
    uint32_t memory_mb;
    uint64_t huge_free_mb;   /* before the start, all sizes and nodes */
    char line[EAL_LINE_MAX]; /* the final arguments */
};

/* Once in a process. Pins the calling thread to the cores first, so that EAL's own threads stay on
 * them too. 0 or negative errno, with what failed, why and what to do in `why`; after a failure in
 * rte_eal_init() itself the process cannot try again (-EALREADY). */
int eal_init(const struct eal_options *options, struct eal_facts *facts, char *why,
             size_t why_size);
/* The last EAL_LOG_SIZE bytes that DPDK logged, as one string; valid until the process ends. */
const char *eal_log_text(void);
/* The libraries under some drivers (libbpf, libxdp) write to standard error as they please. Between
 * these two calls that goes into the log instead; whatever else the process writes there goes with
 * it. The main thread, at start. */
void eal_quiet_begin(void);
void eal_quiet_end(void);
/* After all ports are closed. */
void eal_cleanup(void);

/* A thread that polls gets the mempools' per-thread caches; without, each buffer costs an atomic
 * exchange. 0 or negative errno. The thread that called eal_init() is registered already. */
int eal_thread_register(void);
void eal_thread_unregister(void);

/* Free hugepages of the host in MB, of all sizes and nodes. */
uint64_t eal_huge_free_mb(void);

struct eal_memory {
    void *base;   /* zeroed, faulted in */
    size_t size;  /* what was asked for */
    bool huge;    /* hugepages */
    bool locked;  /* cannot be swapped */
    void *mapped; /* own use */
    size_t mapped_size;
};

/* Memory for a ring's window, from hugepages if enough are free, else from ordinary pages, locked
 * if the limit allows. `align` is a power of two up to 2 MiB. 0 or -ENOMEM. */
int eal_memory_take(struct eal_memory *memory, size_t size, size_t align);
void eal_memory_return(struct eal_memory *memory);

#endif
