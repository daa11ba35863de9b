/* The drive through io_uring: a regular file or a block device, O_DIRECT, registered memory and
 * file, RWF_DSYNC on every write (the kernel makes that FUA where the device has it).
 *
 * The submission ring is a plain one on purpose: with SINGLE_ISSUER the opening thread would have
 * to submit, with DEFER_TASKRUN or COOP_TASKRUN completions would show only after a system call,
 * and the disk role peeks without one. Polled completions need a second ring for flushes and polled
 * queues of the device; without those they are silently slower by an order of magnitude, so they
 * are not used.
 */
#include "consensus/ensure.h"
#include "dataplane/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <unistd.h>

enum {
    REGISTERED_PIECE = 1 << 30, /* the kernel's limit for one registered buffer */
    REGISTERED_PIECES_MAX = 64
};

struct operation {
    uint64_t tag;
    uint32_t expected; /* bytes */
    uint32_t next_free;
};

struct disk {
    struct io_uring ring;
    int fd;
    bool direct;
    bool fixed_file;
    uint32_t depth;
    uint32_t in_flight; /* queued or with the kernel */
    uint32_t queued;    /* not yet handed to the kernel */
    uint32_t free_head; /* index into operation, depth: none */
    uint8_t *zeros;     /* DISK_ZERO_MAX bytes, never written */
    const uint8_t *registered;
    size_t registered_size;
    struct disk_facts facts;
    struct operation operation[DISK_DEPTH_MAX];
};

/* --- what the kernel says of the device
 * ------------------------------------------------------------ */

static bool read_queue_file(dev_t device, const char *name, char *text, size_t size)
{
    /* A partition has no queue of its own; its disk is the folder above. */
    static const char *const places[] = {"queue", "../queue"};
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        char path[128];
        snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/%s/%s", major(device), minor(device),
                 places[i], name);
        FILE *file = fopen(path, "re");
        if (file == NULL)
            continue;
        bool read = fgets(text, (int)size, file) != NULL;
        fclose(file);
        if (read)
            return true;
    }
    return false;
}

static void find_facts(struct disk *disk, const struct stat *status, bool registered)
{
    struct disk_facts *facts = &disk->facts;
    bool block = S_ISBLK(status->st_mode);
    dev_t device = block ? status->st_rdev : status->st_dev;
    char text[64];
    if (read_queue_file(device, "write_cache", text, sizeof(text))) {
        facts->known = true;
        facts->volatile_cache = strncmp(text, "write back", 10) == 0;
    }
    if (read_queue_file(device, "fua", text, sizeof(text)))
        facts->fua = text[0] == '1';
    if (read_queue_file(device, "io_poll", text, sizeof(text)))
        facts->polled = text[0] == '1';
    if (read_queue_file(device, "atomic_write_unit_max_bytes", text, sizeof(text)))
        facts->atomic_bytes = (uint32_t)strtoul(text, NULL, 10);
    snprintf(facts->mode, sizeof(facts->mode), "%s%s io_uring%s", block ? "block" : "file",
             disk->direct ? "" : " buffered", registered ? " registered" : "");
}

static int find_size(int fd, const struct stat *status, uint64_t *size)
{
    if (S_ISREG(status->st_mode)) {
        *size = (uint64_t)status->st_size;
        return 0;
    }
    if (!S_ISBLK(status->st_mode))
        return -ENOTBLK;
    return ioctl(fd, BLKGETSIZE64, size) == 0 ? 0 : -errno;
}

/* --- create
 * ---------------------------------------------------------------------------------------- */

static int grow(int fd, uint64_t size)
{
    struct stat status;
    if (fstat(fd, &status) != 0)
        return -errno;
    uint64_t now;
    int result = find_size(fd, &status, &now);
    if (result < 0)
        return result;
    if (now >= size)
        return 0;
    if (!S_ISREG(status.st_mode))
        return -ENOSPC;
    if (fallocate(fd, 0, 0, (off_t)size) == 0)
        return fsync(fd) == 0 ? 0 : -errno;
    if (errno != EOPNOTSUPP)
        return -errno;
    /* No blocks ahead of time on this file system: format writes every byte, which allocates them.
     */
    return ftruncate(fd, (off_t)size) == 0 && fsync(fd) == 0 ? 0 : -errno;
}

/* What to do about a path that cannot be opened; begins with ": ". */
static const char *advice(int error)
{
    if (error == EROFS)
        return ": mount its file system read-write, or name another place";
    if (error == EACCES || error == EPERM)
        return ": give this user the right to read and write it";
    return "";
}

int disk_create(const char *path, uint64_t size, char *problem)
{
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    bool made = fd >= 0;
    if (!made && errno == EEXIST)
        fd = open(path, O_RDWR | O_CLOEXEC);
    int result = fd < 0 ? -errno : grow(fd, size);
    if (result == -ENOTBLK)
        snprintf(problem, DISK_PROBLEM_SIZE, "%s: neither a regular file nor a block device", path);
    else if (result == -ENOSPC)
        snprintf(problem, DISK_PROBLEM_SIZE, "%s: no room for %llu bytes: make the ring smaller",
                 path, (unsigned long long)size);
    else if (result < 0)
        snprintf(problem, DISK_PROBLEM_SIZE, "%s: %s%s", path, strerror(-result), advice(-result));
    if (fd >= 0)
        close(fd);
    if (made && result < 0)
        unlink(path); /* nothing was there before */
    return result;
}

/* --- open
 * ------------------------------------------------------------------------------------------ */

/* tmpfs knows no O_DIRECT in older kernels: then the page cache is written through by RWF_DSYNC. */
static int open_file(struct disk *disk, const struct disk_options *options)
{
    int flags = (options->read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC;
    struct stat status;
    if (options->exclusive && stat(options->path, &status) == 0 && S_ISBLK(status.st_mode))
        flags |= O_EXCL; /* refused while mounted, or held by another such open */
    disk->fd = open(options->path, flags | O_DIRECT);
    disk->direct = disk->fd >= 0;
    if (disk->fd < 0 && errno == EINVAL)
        disk->fd = open(options->path, flags);
    return disk->fd >= 0 ? 0 : -errno;
}

/* dup() shares the open file description: its flock goes only when the last descriptor and the last
 * write in flight through it are gone (H9). */
static int get_file(struct disk *disk, const struct disk_options *options, char *problem)
{
    int result;
    if (options->same_file != NULL) {
        disk->fd = fcntl(options->same_file->fd, F_DUPFD_CLOEXEC, 0);
        disk->direct = options->same_file->direct;
        result = disk->fd >= 0 ? 0 : -errno;
    } else {
        result = open_file(disk, options);
    }
    if (result < 0) {
        if (result == -EBUSY)
            snprintf(problem, DISK_PROBLEM_SIZE,
                     "%s: in use: mounted, part of another volume, or opened by another process",
                     options->path);
        else
            snprintf(problem, DISK_PROBLEM_SIZE, "%s: %s%s", options->path, strerror(-result),
                     advice(-result));
        return result;
    }
    if (options->exclusive && flock(disk->fd, LOCK_EX | LOCK_NB) != 0)
        result = errno == EAGAIN ? -EWOULDBLOCK : -errno;
    if (result < 0)
        snprintf(
            problem, DISK_PROBLEM_SIZE,
            result == -EWOULDBLOCK
                ? "%s: another process uses this ring, or one that was killed is still writing: "
                  "stop it, or wait"
                : "%s: flock failed",
            options->path);
    return result;
}

static bool register_memory(struct disk *disk, const struct disk_options *options)
{
    struct iovec pieces[REGISTERED_PIECES_MAX];
    size_t left = options->registered_size;
    uint8_t *at = options->registered;
    unsigned count = 0;
    for (; left > 0 && count < REGISTERED_PIECES_MAX; count++) {
        size_t size = left < REGISTERED_PIECE ? left : REGISTERED_PIECE;
        pieces[count] = (struct iovec){.iov_base = at, .iov_len = size};
        at += size;
        left -= size;
    }
    if (count == 0 || io_uring_register_buffers(&disk->ring, pieces, count) != 0)
        return false; /* for want of lockable memory, mostly; only slower */
    disk->registered = options->registered;
    disk->registered_size = options->registered_size - left;
    return true;
}

static int set_up_ring(struct disk *disk, const struct disk_options *options, char *problem)
{
    int result = io_uring_queue_init(options->depth, &disk->ring, 0);
    if (result < 0) {
        disk->ring.ring_fd = -1;
        snprintf(problem, DISK_PROBLEM_SIZE,
                 "%s: io_uring: %s: is it forbidden here "
                 "(kernel.io_uring_disabled, seccomp)?",
                 options->path, strerror(-result));
        return result;
    }
    disk->fixed_file = io_uring_register_files(&disk->ring, &disk->fd, 1) == 0;
    disk->depth = options->depth;
    for (uint32_t i = 0; i < disk->depth; i++)
        disk->operation[i].next_free = i + 1;
    disk->zeros = mmap(NULL, DISK_ZERO_MAX, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (disk->zeros == MAP_FAILED) {
        disk->zeros = NULL;
        snprintf(problem, DISK_PROBLEM_SIZE, "%s: no memory", options->path);
        return -ENOMEM;
    }
    return 0;
}

int disk_open(struct disk **disk_out, const struct disk_options *options, char *problem)
{
    ENSURE(options->depth >= 1 && options->depth <= DISK_DEPTH_MAX);
    *disk_out = NULL;
    struct disk *disk = calloc(1, sizeof(*disk));
    if (disk == NULL) {
        snprintf(problem, DISK_PROBLEM_SIZE, "%s: no memory", options->path);
        return -ENOMEM;
    }
    disk->fd = -1;
    disk->ring.ring_fd = -1;
    int result = get_file(disk, options, problem);
    struct stat status;
    if (result == 0 && fstat(disk->fd, &status) != 0)
        result = -errno;
    if (result == 0) {
        result = find_size(disk->fd, &status, &disk->facts.size);
        if (result < 0)
            snprintf(problem, DISK_PROBLEM_SIZE, "%s: neither a regular file nor a block device",
                     options->path);
    }
    if (result == 0)
        result = set_up_ring(disk, options, problem);
    if (result < 0) {
        disk_close(disk);
        return result;
    }
    find_facts(disk, &status, register_memory(disk, options));
    *disk_out = disk;
    return 0;
}

void disk_facts(const struct disk *disk, struct disk_facts *facts)
{
    *facts = disk->facts;
}

/* --- asynchronous
 * ---------------------------------------------------------------------------------- */

/* Number of the registered piece that holds the whole buffer, or -1. */
static int registered_piece(const struct disk *disk, const void *buffer, uint32_t size)
{
    if (disk->registered == NULL || (const uint8_t *)buffer < disk->registered)
        return -1;
    size_t offset = (size_t)((const uint8_t *)buffer - disk->registered);
    if (offset + size > disk->registered_size ||
        offset / REGISTERED_PIECE != (offset + size - 1) / REGISTERED_PIECE)
        return -1;
    return (int)(offset / REGISTERED_PIECE);
}

static void prepare(struct disk *disk, struct io_uring_sqe *sqe, enum disk_op op, uint64_t offset,
                    void *buffer, uint32_t size)
{
    int fd = disk->fixed_file ? 0 : disk->fd;
    int piece = registered_piece(disk, buffer, size);
    switch (op) {
    case DISK_WRITE:
        if (piece >= 0)
            io_uring_prep_write_fixed(sqe, fd, buffer, size, offset, piece);
        else
            io_uring_prep_write(sqe, fd, buffer, size, offset);
        sqe->rw_flags = RWF_DSYNC;
        break;
    case DISK_READ:
        if (piece >= 0)
            io_uring_prep_read_fixed(sqe, fd, buffer, size, offset, piece);
        else
            io_uring_prep_read(sqe, fd, buffer, size, offset);
        break;
    case DISK_ZERO:
        io_uring_prep_write(sqe, fd, disk->zeros, size, offset);
        sqe->rw_flags = RWF_DSYNC;
        break;
    case DISK_FLUSH:
        io_uring_prep_fsync(sqe, fd, IORING_FSYNC_DATASYNC);
        break;
    }
    if (disk->fixed_file)
        io_uring_sqe_set_flags(sqe, IOSQE_FIXED_FILE);
}

int disk_submit(struct disk *disk, enum disk_op op, uint64_t offset, void *buffer, uint32_t size,
                uint64_t tag)
{
    if (op == DISK_FLUSH)
        size = 0;
    else
        ENSURE(size > 0 && size % DISK_BLOCK == 0 && offset % DISK_BLOCK == 0);
    if (op == DISK_ZERO) {
        ENSURE(size <= DISK_ZERO_MAX);
        buffer = NULL;
    }
    if (disk->in_flight == disk->depth)
        return -EBUSY;
    struct io_uring_sqe *sqe = io_uring_get_sqe(&disk->ring);
    if (sqe == NULL)
        return -EBUSY;
    uint32_t slot = disk->free_head;
    struct operation *operation = &disk->operation[slot];
    disk->free_head = operation->next_free;
    operation->tag = tag;
    operation->expected = size;
    prepare(disk, sqe, op, offset, buffer, size);
    io_uring_sqe_set_data64(sqe, slot);
    disk->in_flight++;
    disk->queued++;
    return 0;
}

int disk_kick(struct disk *disk)
{
    enum { TRIES_MAX = 1000 };
    for (uint32_t tries = 0; disk->queued > 0; tries++) {
        int submitted = io_uring_submit(&disk->ring);
        if (submitted < 0 && submitted != -EINTR && submitted != -EAGAIN)
            return submitted;
        if (submitted > 0)
            disk->queued -= (uint32_t)submitted;
        if (tries == TRIES_MAX)
            return -EAGAIN;
    }
    return 0;
}

uint32_t disk_reap(struct disk *disk, struct disk_done *done, uint32_t max)
{
    uint32_t count = 0;
    struct io_uring_cqe *cqe;
    while (count < max && disk->in_flight > disk->queued &&
           io_uring_peek_cqe(&disk->ring, &cqe) == 0) {
        uint32_t slot = (uint32_t)io_uring_cqe_get_data64(cqe);
        ENSURE(slot < disk->depth);
        struct operation *operation = &disk->operation[slot];
        int32_t result = cqe->res;
        io_uring_cqe_seen(&disk->ring, cqe);
        if (result >= 0)
            result = (uint32_t)result == operation->expected ? 0 : -EIO;
        done[count++] = (struct disk_done){.tag = operation->tag, .result = result};
        operation->next_free = disk->free_head;
        disk->free_head = slot;
        disk->in_flight--;
    }
    return count;
}

/* --- blocking
 * -------------------------------------------------------------------------------------- */

int disk_pread(struct disk *disk, uint64_t offset, void *buffer, size_t size)
{
    for (size_t done = 0; done < size;) { /* bound: size, each turn adds or returns */
        ssize_t got =
            pread(disk->fd, (uint8_t *)buffer + done, size - done, (off_t)(offset + done));
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return got < 0 ? -errno : -EIO;
        done += (size_t)got;
    }
    return 0;
}

int disk_pwrite(struct disk *disk, uint64_t offset, const void *buffer, size_t size)
{
    for (size_t done = 0; done < size;) { /* bound: size, each turn adds or returns */
        struct iovec piece = {.iov_base = (uint8_t *)(uintptr_t)buffer + done,
                              .iov_len = size - done};
        ssize_t put = pwritev2(disk->fd, &piece, 1, (off_t)(offset + done), RWF_DSYNC);
        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0)
            return put < 0 ? -errno : -EIO;
        done += (size_t)put;
    }
    return 0;
}

int disk_flush(struct disk *disk)
{
    return fdatasync(disk->fd) == 0 ? 0 : -errno;
}

void disk_close(struct disk *disk)
{
    if (disk == NULL)
        return;
    if (disk->ring.ring_fd >= 0) {
        disk_kick(disk);
        struct io_uring_cqe *cqe;
        while (disk->in_flight > disk->queued) { /* bound: depth */
            if (io_uring_wait_cqe(&disk->ring, &cqe) < 0)
                break;
            io_uring_cqe_seen(&disk->ring, cqe);
            disk->in_flight--;
        }
        if (disk->fixed_file)
            io_uring_unregister_files(
                &disk->ring); /* or the file would outlive this call for a while */
        io_uring_queue_exit(&disk->ring);
    }
    if (disk->zeros != NULL)
        munmap(disk->zeros, DISK_ZERO_MAX);
    if (disk->fd >= 0)
        close(disk->fd);
    free(disk);
}
