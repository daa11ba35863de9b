/* `keelctl backup FILE`, `backup verify FILE` and `restore FILE`.
 *
 * keeld encodes its state once, at one committed index; keelctl fetches it over the admin socket
 * and is the only one that touches files. The file appears under its name only when all of it is on
 * the drive and has been read back and verified; until then, and after whatever goes wrong, there
 * is at most NAME.partial.
 */
#include "control/backup_file.h"
#include "control/ctl_seed.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { OPTION_TO, OPTION_GENESIS, OPTION_ADDRESS, OPTION_DAY, OPTION_YES };

/* --- a backup that is being fetched
 * -------------------------------------------------------------- */

struct fetch {
    const struct ctl *ctl;
    const char *path;
    char partial[PATH_MAX];
    int fd;
    uint64_t id, size, have;
    int shown; /* percent */
};

static int file_problem(const struct fetch *f, const char *path, int error)
{
    return ctl_fail(CTL_FAILED, "backup: %s: %s: %s", path, strerror(error),
                    error == ENOSPC || error == EDQUOT
                        ? "make room, or name a file elsewhere; no backup was made"
                    : f->have > 0 ? "no backup was made"
                                  : "name a file in a directory that can be written");
}

static int make_partial(struct fetch *f)
{
    if (access(f->path, F_OK) == 0)
        return ctl_fail(CTL_FAILED, "backup: %s is there already: name a new file, or remove it",
                        f->path);
    int n = snprintf(f->partial, sizeof(f->partial), "%s.partial", f->path);
    if (n < 0 || (size_t)n >= sizeof(f->partial))
        return ctl_fail(CTL_USAGE, "backup: the name is too long");
    f->fd = open(f->partial, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (f->fd < 0)
        return file_problem(f, f->partial, errno);
    if (flock(f->fd, LOCK_EX | LOCK_NB) == 0 && ftruncate(f->fd, 0) == 0)
        return CTL_DONE;
    int error = errno;
    close(f->fd);
    f->fd = -1;
    return error == EWOULDBLOCK
               ? ctl_fail(CTL_FAILED, "backup: %s: another keelctl writes it", f->partial)
               : file_problem(f, f->partial, error);
}

static int nibble(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* In place; false: it is no hex. */
static bool from_hex(const char *text, size_t digits, uint8_t *bytes)
{
    for (size_t i = 0; i + 1 < digits; i += 2) {
        int high = nibble(text[i]), low = nibble(text[i + 1]);
        if (high < 0 || low < 0)
            return false;
        bytes[i / 2] = (uint8_t)(high << 4 | low);
    }
    return digits % 2 == 0;
}

static int write_all(struct fetch *f, const uint8_t *bytes, size_t size)
{
    for (size_t done = 0; done < size;) { /* bound: size */
        ssize_t n = write(f->fd, bytes + done, size - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return file_problem(f, f->partial, n == 0 ? EIO : errno);
        done += (size_t)n;
    }
    f->have += size;
    return CTL_DONE;
}

static void progress(struct fetch *f)
{
    int percent = (int)(f->have * 100 / f->size);
    if (percent == f->shown || !isatty(STDERR_FILENO))
        return;
    f->shown = percent;
    fprintf(stderr, "\rkeelctl: backup: %3d %%%s", percent, percent == 100 ? "\n" : "");
}

static int fetch_piece(struct fetch *f)
{
    json_t *result;
    json_t *extra =
        json_pack("{s:I,s:I}", "backup", (json_int_t)f->id, "offset", (json_int_t)f->have);
    int code = ctl_ask(f->ctl, "backup", extra, &result);
    if (code != CTL_DONE)
        return code;
    json_t *value = json_object_get(result, "hex");
    const char *text = json_string_value(value);
    size_t digits = json_string_length(value);
    uint8_t *bytes = digits >= 2 && digits / 2 <= f->size - f->have ? malloc(digits / 2) : NULL;
    if (text == NULL || bytes == NULL || !from_hex(text, digits, bytes))
        code = ctl_fail(CTL_FAILED, "backup: an answer that this keelctl does not know");
    else
        code = write_all(f, bytes, digits / 2);
    free(bytes);
    json_decref(result);
    return code;
}

static int fetch_all(struct fetch *f)
{
    json_t *result;
    int code = ctl_ask(f->ctl, "backup", NULL, &result);
    if (code != CTL_DONE)
        return code;
    f->id = (uint64_t)json_integer_value(json_object_get(result, "backup"));
    f->size = (uint64_t)json_integer_value(json_object_get(result, "size"));
    json_decref(result);
    if (f->id == 0 || f->size <= BACKUP_HEAD_SIZE)
        return ctl_fail(CTL_FAILED, "backup: an answer that this keelctl does not know");
    while (code == CTL_DONE && f->have < f->size) { /* bound: size */
        code = fetch_piece(f);
        progress(f);
    }
    if (code == CTL_DONE && fsync(f->fd) != 0)
        code = file_problem(f, f->partial, errno);
    return code;
}

/* --- a file that is there
 * ------------------------------------------------------------------------ */

struct backup {
    struct backup_head head;
    struct genesis genesis;
    struct machine *machine; /* free() */
};

/* `name`: of the command, for what is said. */
static int read_backup(const char *name, const char *path, struct backup *b)
{
    char why[BACKUP_WHY_MAX];
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    b->machine = NULL;
    if (fd < 0 || fstat(fd, &st) != 0) {
        int error = errno;
        if (fd >= 0)
            close(fd);
        return ctl_fail(CTL_FAILED, "%s: %s: %s", name, path, strerror(error));
    }
    uint64_t size = S_ISREG(st.st_mode) ? (uint64_t)st.st_size : 0, done = 0;
    /* no backup is larger than the largest tables make it; what is, is none */
    static const struct genesis largest = {.sessions_max = GENESIS_SESSIONS_MAX,
                                           .window_max = KEEL_SESSION_WINDOW_MAX,
                                           .nodes_max = GENESIS_NODES_MAX,
                                           .handles_max = GENESIS_HANDLES_MAX};
    if (size > backup_size_max(&largest))
        size = BACKUP_HEAD_SIZE;
    uint8_t *bytes = malloc(size + 1);
    ssize_t n = bytes != NULL ? 1 : -1;
    while (n > 0 && done < size) { /* bound: size */
        n = read(fd, bytes + done, size - done);
        done += n > 0 ? (uint64_t)n : 0;
    }
    int error = bytes == NULL ? ENOMEM : errno;
    close(fd);
    int code = CTL_DONE;
    if (n < 0)
        code = ctl_fail(CTL_FAILED, "%s: %s: %s", name, path, strerror(error));
    else if (!backup_decode(bytes, done, &b->head, &b->genesis, &b->machine, why))
        code = ctl_fail(CTL_FAILED, "%s: %s: %s: take another backup", name, path, why);
    free(bytes);
    return code;
}

static json_t *backup_object(const struct backup *b, const char *path)
{
    json_t *to = ctl_state_object(b->machine, &b->genesis);
    char text[20];
    json_object_set_new(to, "file", json_string(path));
    snprintf(text, sizeof(text), "%016" PRIx64, b->head.fingerprint);
    json_object_set_new(to, "fingerprint", json_string(text));
    json_object_set_new(to, "replica", json_integer(b->head.replica));
    json_object_set_new(to, "taken_utc_ns", json_integer((json_int_t)b->head.utc_ns));
    json_object_set_new(
        to, "bytes",
        json_integer((json_int_t)(BACKUP_HEAD_SIZE + GENESIS_SIZE + b->head.machine_size)));
    return to;
}

static int print_backup(const struct ctl *ctl, const struct backup *b, const char *path)
{
    json_t *object = backup_object(b, path);
    int code = CTL_DONE;
    if (ctl->json)
        code = ctl_print_json(object);
    else
        ctl_print_pairs(object, 0);
    json_decref(object);
    return code;
}

/* --- the commands
 * ------------------------------------------------------------------------------------ */

/* Under its own name, durably, and never over another file. */
static int give_name(const struct fetch *f)
{
    int rc = renameat2(AT_FDCWD, f->partial, AT_FDCWD, f->path, RENAME_NOREPLACE);
    if (rc != 0 && errno == EINVAL) /* a file system that cannot promise it; looked for before */
        rc = rename(f->partial, f->path);
    if (rc != 0)
        return errno == EEXIST
                   ? ctl_fail(CTL_FAILED, "backup: %s is there already: name a new file", f->path)
                   : file_problem(f, f->path, errno);
    char copy[PATH_MAX];
    snprintf(copy, sizeof(copy), "%s", f->path);
    int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool good = fd >= 0 && fsync(fd) == 0;
    int error = errno;
    if (fd >= 0)
        close(fd);
    if (good)
        return CTL_DONE;
    unlink(f->path);
    return file_problem(f, f->path, error);
}

int ctl_backup(struct ctl *ctl)
{
    struct fetch f = {.ctl = ctl, .path = ctl->word[0], .fd = -1, .shown = -1};
    struct backup b = {.machine = NULL};
    int code = make_partial(&f);
    if (code != CTL_DONE)
        return code;
    code = fetch_all(&f);
    if (code == CTL_DONE)
        code = read_backup("backup", f.partial, &b);
    if (code == CTL_DONE)
        code = give_name(&f);
    unlink(f.partial);
    close(f.fd);
    if (code == CTL_DONE)
        code = print_backup(ctl, &b, f.path);
    free(b.machine);
    return code;
}

int ctl_backup_verify(struct ctl *ctl)
{
    struct backup b;
    int code = read_backup("backup verify", ctl->word[0], &b);
    if (code == CTL_DONE)
        code = print_backup(ctl, &b, ctl->word[0]);
    free(b.machine);
    return code;
}

static void warn(const struct backup *b)
{
    fprintf(stderr,
            "\nWHAT IS LOST\n"
            "  Everything that cluster %016" PRIx64 " did after index %" PRIu64
            ": every message with a feed\n"
            "  number of %" PRIu64 " or more of day %.10s, every later day, every session opened "
            "since.\n"
            "  If any ring of that cluster is left: `keelctl recover` loses less.\n",
            b->head.cluster_id, b->head.index, b->head.feed_next, b->head.day);
}

int ctl_restore(struct ctl *ctl)
{
    struct backup b;
    int code = read_backup("restore", ctl->word[0], &b);
    if (code != CTL_DONE)
        return code;
    struct ctl_seed seed = {.ctl = ctl,
                            .how = GENESIS_SEED_RESTORED,
                            .to = ctl->value[OPTION_TO],
                            .genesis_path = ctl->value[OPTION_GENESIS],
                            .address = ctl->value[OPTION_ADDRESS],
                            .day = ctl->value[OPTION_DAY],
                            .yes = ctl->value[OPTION_YES],
                            .from = &b.genesis,
                            .machine = b.machine,
                            .term = b.head.current_term};
    json_t *backup = backup_object(&b, ctl->word[0]);
    code = ctl_seed_open(&seed);
    if (code == CTL_DONE) {
        warn(&b);
        code = ctl_seed_confirm(&seed);
    }
    if (code == CTL_DONE)
        code = ctl_seed_form(&seed);
    if (code == CTL_DONE) {
        json_t *result = json_pack("{s:O,s:o}", "backup", backup, "formed", ctl_seed_result(&seed));
        if (ctl->json)
            code = ctl_print_json(result);
        else
            ctl_print_pairs(json_object_get(result, "formed"), 0);
        if (!ctl->json)
            ctl_seed_next(&seed);
        json_decref(result);
    }
    json_decref(backup);
    ctl_seed_close(&seed);
    free(b.machine);
    return code;
}
