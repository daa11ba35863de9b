#include "dataplane/eal.h"

#include "consensus/ensure.h"
#include "dataplane/huge_pool.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/mman.h>
#include <pthread.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_lcore.h>
#include <rte_log.h>

enum { ARGUMENTS_MAX = 16 + EAL_DEVICES_MAX * 2 + EAL_EXTRA_MAX, HUGE_2M = 2 << 20 };

/* EAL is one for the process, and so is this: a named exception to "no static state". */
static struct {
    pthread_mutex_t lock; /* of the log */
    bool tried;
    bool up;
    int stderr_kept, stderr_now; /* while it is quiet */
    bool quiet;
    size_t log_size;
    char log[EAL_LOG_SIZE];
    int argc;
    char *argv[ARGUMENTS_MAX + 1];
    char text[4 * EAL_LINE_MAX]; /* of the arguments */
    size_t text_used;
} eal = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void say(const struct eal_options *options, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void say(const struct eal_options *options, const char *format, ...)
{
    if (options->say == NULL)
        return;
    char line[EAL_LINE_MAX];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    options->say(options->say_context, line);
}

/* DPDK's log goes into a buffer: it is shown when something fails, and is noise otherwise. */
static ssize_t keep_log(void *cookie, const char *text, size_t size)
{
    (void)cookie;
    size_t keep = size < EAL_LOG_SIZE / 2 ? size : EAL_LOG_SIZE / 2;
    pthread_mutex_lock(&eal.lock);
    if (eal.log_size + keep >= EAL_LOG_SIZE) {
        size_t drop = eal.log_size + keep + 1 - EAL_LOG_SIZE;
        drop = drop < EAL_LOG_SIZE / 2 ? EAL_LOG_SIZE / 2 : drop;
        drop = drop < eal.log_size ? drop : eal.log_size;
        memmove(eal.log, eal.log + drop, eal.log_size - drop);
        eal.log_size -= drop;
    }
    memcpy(eal.log + eal.log_size, text + size - keep, keep);
    eal.log_size += keep;
    eal.log[eal.log_size] = 0;
    pthread_mutex_unlock(&eal.lock);
    return (ssize_t)size;
}

const char *eal_log_text(void)
{
    return eal.log;
}

static bool capture_log(void)
{
    cookie_io_functions_t functions = {.write = keep_log};
    FILE *stream = fopencookie(NULL, "w", functions);
    if (stream == NULL)
        return false;
    setvbuf(stream, NULL, _IOLBF, EAL_LINE_MAX);
    return rte_openlog_stream(stream) == 0;
}

void eal_quiet_begin(void)
{
    eal.stderr_kept = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
    eal.stderr_now = memfd_create("keel-stderr", MFD_CLOEXEC);
    eal.quiet =
        eal.stderr_kept >= 0 && eal.stderr_now >= 0 && dup2(eal.stderr_now, STDERR_FILENO) >= 0;
}

void eal_quiet_end(void)
{
    char text[EAL_LOG_SIZE / 2];
    if (eal.quiet) {
        fflush(stderr);
        dup2(eal.stderr_kept, STDERR_FILENO);
        off_t size = lseek(eal.stderr_now, 0, SEEK_END);
        off_t from = size > (off_t)sizeof(text) ? size - (off_t)sizeof(text) : 0;
        ssize_t got = pread(eal.stderr_now, text, sizeof(text), from);
        if (got > 0)
            keep_log(NULL, text, (size_t)got);
    }
    if (eal.stderr_kept >= 0)
        close(eal.stderr_kept);
    if (eal.stderr_now >= 0)
        close(eal.stderr_now);
    eal.quiet = false;
}

/* Appends one argument; false: too many or too long. */
static bool argument(const char *format, ...) __attribute__((format(printf, 1, 2)));

static bool argument(const char *format, ...)
{
    size_t room = sizeof(eal.text) - eal.text_used;
    char *at = eal.text + eal.text_used;
    va_list args;
    va_start(args, format);
    int size = vsnprintf(at, room, format, args);
    va_end(args);
    if (size < 0 || (size_t)size >= room || eal.argc == ARGUMENTS_MAX)
        return false;
    eal.text_used += (size_t)size + 1;
    eal.argv[eal.argc++] = at;
    return true;
}

static bool argument_cores(const cpu_set_t *cores)
{
    char list[EAL_LINE_MAX / 2];
    size_t used = 0;
    for (unsigned core = 0; core < CPU_SETSIZE; core++) {
        if (!CPU_ISSET(core, cores))
            continue;
        int size = snprintf(list + used, sizeof(list) - used, "%s%u", used == 0 ? "" : ",", core);
        if (size < 0 || (size_t)size >= sizeof(list) - used)
            return false;
        used += (size_t)size;
    }
    /* One logical core that may float on all of them: the thread that calls eal_init(). */
    return argument("--lcores=0@(%s)", list);
}

/* "04:00.0" or "0000:04:00.0", then nothing or ",arguments". */
static bool is_pci(const char *device)
{
    unsigned a, b, c, d;
    int used = 0;
    if (sscanf(device, "%4x:%2x:%2x.%1x%n", &a, &b, &c, &d, &used) != 4 &&
        sscanf(device, "%2x:%2x.%1x%n", &b, &c, &d, &used) != 3)
        return false;
    return used > 0 && (device[used] == 0 || device[used] == ',');
}

static bool argument_devices(const struct eal_options *options)
{
    uint32_t pci = 0;
    bool fits = true;
    for (uint32_t i = 0; i < options->device_count; i++) {
        bool on_pci = is_pci(options->devices[i]);
        pci += on_pci;
        fits = fits && argument(on_pci ? "-a%s" : "--vdev=%s", options->devices[i]);
    }
    /* Without an allowed device EAL would probe every device that is bound to vfio. Virtual devices
     * need no physical addresses, and those need a privilege. */
    if (pci == 0)
        fits = fits && argument("--no-pci") && argument("--iova-mode=va");
    return fits;
}

static bool argument_extra(const char *extra)
{
    const char *at = extra == NULL ? "" : extra;
    for (int word = 0; word <= EAL_EXTRA_MAX; word++) {
        at += strspn(at, " \t");
        size_t size = strcspn(at, " \t");
        if (size == 0)
            return true;
        if (!argument("%.*s", (int)size, at))
            return false;
        at += size;
    }
    return false;
}

static bool make_arguments(const struct eal_options *options, const cpu_set_t *cores, bool huge)
{
    bool fits = argument("keel") && argument_cores(cores) && argument("-m%u", options->memory_mb) &&
                argument("--no-telemetry") && argument("--file-prefix=%s", options->prefix);
    /* --in-memory leaves no hugepage file behind a killed process; --no-huge does not go with it.
     */
    fits =
        fits && (huge ? argument("--in-memory") : argument("--no-huge") && argument("--no-shconf"));
    return fits && argument_devices(options) && argument_extra(options->extra);
}

static void print_arguments(char line[EAL_LINE_MAX])
{
    size_t used = 0;
    line[0] = 0;
    for (int i = 1; i < eal.argc && used < EAL_LINE_MAX; i++) {
        int size =
            snprintf(line + used, EAL_LINE_MAX - used, "%s%s", i == 1 ? "" : " ", eal.argv[i]);
        used += size < 0 ? 0 : (size_t)size;
    }
}

uint64_t eal_huge_free_mb(void)
{
    return huge_pool_usable_mb("", HUGE_POOL_ALL_NODES);
}

/* 0, with *huge set; or a negative errno. */
static int choose_pages(const struct eal_options *options, uint64_t free_mb, bool *huge, char *why,
                        size_t why_size)
{
    *huge = options->pages != EAL_PAGES_ORDINARY && free_mb >= options->memory_mb;
    if (*huge)
        return 0;
    if (options->pages == EAL_PAGES_HUGE) {
        snprintf(why, why_size,
                 "DPDK memory: %llu MB of hugepages are free, %u MB are needed: reserve more "
                 "(hugeadm --pool-pages-min 2MB:%u)",
                 (unsigned long long)free_mb, options->memory_mb, (options->memory_mb + 1) / 2);
        return -ENOMEM;
    }
    if (options->pages == EAL_PAGES_AUTO)
        say(options,
            "DPDK runs on ordinary pages (--no-huge): %llu MB of hugepages are free, %u MB are "
            "needed. More TLB misses, and memory that the kernel may move or swap; a PCI device "
            "may refuse it",
            (unsigned long long)free_mb, options->memory_mb);
    return 0;
}

static int pin(const struct eal_options *options, cpu_set_t *cores, char *why, size_t why_size)
{
    if (options->core_count == 0) {
        if (sched_getaffinity(0, sizeof(*cores), cores) == 0)
            return 0;
        snprintf(why, why_size, "reading the cores of this thread: %s", strerror(errno));
        return -errno;
    }
    CPU_ZERO(cores);
    for (uint32_t i = 0; i < options->core_count; i++) {
        if (options->cores[i] < 0 || options->cores[i] >= CPU_SETSIZE) {
            snprintf(why, why_size, "core %d: no such number", options->cores[i]);
            return -EINVAL;
        }
        CPU_SET((size_t)options->cores[i], cores);
    }
    if (sched_setaffinity(0, sizeof(*cores), cores) == 0)
        return 0;
    int error = errno;
    snprintf(why, why_size,
             "pinning to the housekeeping cores: %s: name cores that this process may use",
             strerror(error));
    return -error;
}

int eal_init(const struct eal_options *options, struct eal_facts *facts, char *why, size_t why_size)
{
    ENSURE(options->memory_mb > 0 && options->device_count <= EAL_DEVICES_MAX);
    ENSURE(options->core_count <= EAL_CORES_MAX && options->prefix != NULL);
    memset(facts, 0, sizeof(*facts));
    if (eal.tried) {
        snprintf(why, why_size, "DPDK was started before in this process");
        return -EALREADY;
    }
    facts->huge_free_mb = eal_huge_free_mb();
    facts->memory_mb = options->memory_mb;
    cpu_set_t cores;
    int error = choose_pages(options, facts->huge_free_mb, &facts->huge, why, why_size);
    if (error == 0)
        error = pin(options, &cores, why, why_size);
    if (error != 0)
        return error;

    eal.argc = 0;
    eal.text_used = 0;
    if (!make_arguments(options, &cores, facts->huge)) {
        snprintf(why, why_size, "DPDK's arguments: more than %d, or %zu bytes: shorten them",
                 ARGUMENTS_MAX, sizeof(eal.text));
        return -E2BIG;
    }
    print_arguments(facts->line);
    say(options, "EAL: %s", facts->line);
    if (!capture_log()) {
        snprintf(why, why_size, "DPDK's log: out of memory");
        return -ENOMEM;
    }
    eal.tried = true;
    char *argv[ARGUMENTS_MAX + 1]; /* getopt may reorder it */
    memcpy(argv, eal.argv, sizeof(argv));
    argv[eal.argc] = NULL;
    eal_quiet_begin();
    int done = rte_eal_init(eal.argc, argv);
    eal_quiet_end();
    /* Without files to share, EAL's folder is empty and stays so: without this each start of each
     * process would leave one behind, also if it is killed. Any other is not empty and stays. */
    rmdir(rte_eal_get_runtime_dir());
    if (done < 0) {
        error = rte_errno == 0 ? EIO : rte_errno;
        snprintf(why, why_size, "starting DPDK with %s: %s: it said: %s", facts->line,
                 rte_strerror(error), eal_log_text());
        return -error;
    }
    eal.up = true;
    return 0;
}

void eal_cleanup(void)
{
    if (eal.up)
        rte_eal_cleanup();
    eal.up = false;
}

int eal_thread_register(void)
{
    return rte_thread_register() == 0 ? 0 : -(rte_errno == 0 ? ENOSPC : rte_errno);
}

void eal_thread_unregister(void)
{
    rte_thread_unregister();
}

/* Hugepages that are there: populated at once, since a page that a control group refuses later ends
 * the process with SIGBUS. MAP_FAILED: not to be had. */
static void *map_huge(size_t room)
{
    struct huge_pool pool;
    huge_pool_read("", HUGE_POOL_ALL_NODES, HUGE_POOL_2M, &pool);
    if (room / HUGE_2M > huge_pool_usable(&pool))
        return MAP_FAILED;
    /* The size is named: a host's default may be 1 GiB. */
    void *base = mmap(NULL, room, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | (int)MAP_HUGE_2MB, -1, 0);
    if (base == MAP_FAILED || madvise(base, room, MADV_POPULATE_WRITE) == 0)
        return base;
    munmap(base, room);
    return MAP_FAILED;
}

int eal_memory_take(struct eal_memory *memory, size_t size, size_t align)
{
    ENSURE(size > 0 && align > 0 && align <= HUGE_2M && (align & (align - 1)) == 0);
    memset(memory, 0, sizeof(*memory));
    size_t room = (size + HUGE_2M - 1) & ~(size_t)(HUGE_2M - 1);
    void *base = map_huge(room);
    memory->huge = base != MAP_FAILED;
    if (!memory->huge) {
        room = size + align;
        base = mmap(NULL, room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE,
                    -1, 0);
        if (base == MAP_FAILED)
            return -ENOMEM;
    }
    memory->mapped = base;
    memory->mapped_size = room;
    memory->base = (void *)(((uintptr_t)base + align - 1) & ~(uintptr_t)(align - 1));
    memory->size = size;
    memory->locked = memory->huge || mlock(base, room) == 0;
    return 0;
}

void eal_memory_return(struct eal_memory *memory)
{
    if (memory->mapped != NULL)
        munmap(memory->mapped, memory->mapped_size);
    memset(memory, 0, sizeof(*memory));
}
