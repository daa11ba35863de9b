/* A drive that is slow and otherwise itself: what keeld-slow has between its ring and disk_uring.
 *
 * The linker leads keeld's calls of the seam disk.h through here (--wrap). Every operation goes to
 * the real drive at once; its completion is held back until `factor` times as long as the drive
 * took has passed since it was submitted. So a write is durable before it is told, as on a drive
 * that stalls, and at most `depth` are out at once, which slows what passes in a second as well.
 * Where KEEL_SLOW_LEAST_US is set, no operation counts as shorter than that: a file in memory,
 * which nobody else on the machine shares, so stands for a drive. The factor is a number of up to
 * 15 digits at the start of the file that KEEL_SLOW_DRIVE names, 1 at least; it is read anew with
 * every reaping, so that a test changes it while the daemon runs. Without the variable nothing is
 * held back. For tests alone: keeld itself has none of this.
 */
#include "consensus/ensure.h"
#include "dataplane/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum {
    HANDLES = 8,
    FACTOR_DIGITS = 15,
    FACTOR_FILE = 4096,
    HOLD_NS = 1000000 /* between two looks at the factor */
};

struct waiting { /* an operation that is out */
    uint64_t tag;
    uint64_t began_ns;
    uint64_t took_ns; /* done: the drive itself */
    bool done;
    int32_t result;
};

struct handle { /* used by the thread that its disk belongs to */
    const struct disk *disk;
    uint32_t depth, count;
    struct waiting waiting[DISK_DEPTH_MAX];
};

static struct handle handles[HANDLES];
static pthread_mutex_t opening = PTHREAD_MUTEX_INITIALIZER;
static const volatile char *factor_text;
static uint64_t least_ns;

int __real_disk_open(struct disk **disk, const struct disk_options *options, char *problem);
int __real_disk_submit(struct disk *disk, enum disk_op op, uint64_t offset, void *buffer,
                       uint32_t size, uint64_t tag);
uint32_t __real_disk_reap(struct disk *disk, struct disk_done *done, uint32_t max);
int __real_disk_pread(struct disk *disk, uint64_t offset, void *buffer, size_t size);
int __real_disk_pwrite(struct disk *disk, uint64_t offset, const void *buffer, size_t size);
int __real_disk_flush(struct disk *disk);
void __real_disk_close(struct disk *disk);
int __wrap_disk_open(struct disk **disk, const struct disk_options *options, char *problem);
int __wrap_disk_submit(struct disk *disk, enum disk_op op, uint64_t offset, void *buffer,
                       uint32_t size, uint64_t tag);
uint32_t __wrap_disk_reap(struct disk *disk, struct disk_done *done, uint32_t max);
int __wrap_disk_pread(struct disk *disk, uint64_t offset, void *buffer, size_t size);
int __wrap_disk_pwrite(struct disk *disk, uint64_t offset, const void *buffer, size_t size);
int __wrap_disk_flush(struct disk *disk);
void __wrap_disk_close(struct disk *disk);

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static uint64_t factor(void)
{
    uint64_t value = 0;
    if (factor_text == NULL)
        return 1;
    for (int i = 0; i < FACTOR_DIGITS && factor_text[i] >= '0' && factor_text[i] <= '9'; i++)
        value = value * 10 + (uint64_t)(factor_text[i] - '0');
    return value > 1 ? value : 1;
}

static void open_factor(void)
{
    const char *path = getenv("KEEL_SLOW_DRIVE");
    if (path == NULL || factor_text != NULL)
        return;
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0 || ftruncate(fd, FACTOR_FILE) != 0) {
        fprintf(stderr, "keeld-slow: %s: %s\n", path, strerror(errno));
        exit(1);
    }
    void *map = mmap(NULL, FACTOR_FILE, PROT_READ, MAP_SHARED, fd, 0);
    close(fd);
    ENSURE(map != MAP_FAILED);
    factor_text = map;
    const char *least = getenv("KEEL_SLOW_LEAST_US");
    least_ns = least == NULL ? 0 : strtoull(least, NULL, 10) * 1000;
}

/* How long an operation takes that took the drive itself so long. */
static uint64_t length_ns(uint64_t took_ns)
{
    return (took_ns > least_ns ? took_ns : least_ns) * factor();
}

/* NULL: no slot was free when it was opened, or it is closed; then it is as fast as it is. */
static struct handle *find(const struct disk *disk)
{
    for (uint32_t i = 0; i < HANDLES; i++)
        if (handles[i].disk == disk)
            return &handles[i];
    return NULL;
}

int __wrap_disk_open(struct disk **disk, const struct disk_options *options, char *problem)
{
    int result = __real_disk_open(disk, options, problem);
    if (result != 0)
        return result;
    pthread_mutex_lock(&opening);
    open_factor();
    struct handle *handle = find(NULL);
    ENSURE(handle != NULL);
    handle->count = 0;
    handle->depth = options->depth;
    handle->disk = *disk;
    pthread_mutex_unlock(&opening);
    return 0;
}

int __wrap_disk_submit(struct disk *disk, enum disk_op op, uint64_t offset, void *buffer,
                       uint32_t size, uint64_t tag)
{
    struct handle *handle = find(disk);
    if (handle->count == handle->depth)
        return -EBUSY;
    int result = __real_disk_submit(disk, op, offset, buffer, size, tag);
    if (result == 0)
        handle->waiting[handle->count++] = (struct waiting){.tag = tag, .began_ns = now_ns()};
    return result;
}

static void note_done(struct handle *handle, uint64_t now)
{
    struct disk_done done[DISK_DEPTH_MAX];
    uint32_t count = __real_disk_reap((struct disk *)handle->disk, done, DISK_DEPTH_MAX);
    for (uint32_t i = 0; i < count; i++)
        for (uint32_t k = 0; k < handle->count; k++) {
            struct waiting *w = &handle->waiting[k];
            if (w->done || w->tag != done[i].tag)
                continue;
            w->done = true;
            w->result = done[i].result;
            w->took_ns = now - w->began_ns;
            break;
        }
}

uint32_t __wrap_disk_reap(struct disk *disk, struct disk_done *done, uint32_t max)
{
    struct handle *handle = find(disk);
    uint64_t now = now_ns();
    note_done(handle, now);
    uint32_t told = 0, kept = 0;
    for (uint32_t i = 0; i < handle->count; i++) {
        struct waiting *w = &handle->waiting[i];
        /* by the present factor: what is held back ends with the slowness */
        if (told < max && w->done && now - w->began_ns >= length_ns(w->took_ns))
            done[told++] = (struct disk_done){.tag = w->tag, .result = w->result};
        else
            handle->waiting[kept++] = *w;
    }
    handle->count = kept;
    return told;
}

static void hold(uint64_t began_ns)
{
    uint64_t took_ns = now_ns() - began_ns, passed_ns;
    while ((passed_ns = now_ns() - began_ns) < length_ns(took_ns)) { /* bound: the factor */
        uint64_t left_ns = length_ns(took_ns) - passed_ns;
        struct timespec pause = {.tv_nsec = left_ns < HOLD_NS ? (long)left_ns : HOLD_NS};
        nanosleep(&pause, NULL);
    }
}

int __wrap_disk_pread(struct disk *disk, uint64_t offset, void *buffer, size_t size)
{
    uint64_t began_ns = now_ns();
    int result = __real_disk_pread(disk, offset, buffer, size);
    hold(began_ns);
    return result;
}

int __wrap_disk_pwrite(struct disk *disk, uint64_t offset, const void *buffer, size_t size)
{
    uint64_t began_ns = now_ns();
    int result = __real_disk_pwrite(disk, offset, buffer, size);
    hold(began_ns);
    return result;
}

int __wrap_disk_flush(struct disk *disk)
{
    uint64_t began_ns = now_ns();
    int result = __real_disk_flush(disk);
    hold(began_ns);
    return result;
}

void __wrap_disk_close(struct disk *disk)
{
    struct handle *handle = disk == NULL ? NULL : find(disk);
    __real_disk_close(disk);
    if (handle != NULL) {
        pthread_mutex_lock(&opening);
        handle->disk = NULL;
        pthread_mutex_unlock(&opening);
    }
}
