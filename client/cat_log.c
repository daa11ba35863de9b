/* The gateway's log: what an auditor holds against the order.
 *
 *     session <utc_ns> <name> <session id> <epoch> <principal>
 *     submit <session> <number> <size> <first 16 hex digits of the payload's SHA-256>
 *     ack <session> <number> <status> <feed number> <utc_ns> <day, or '-'>
 *     end <session> <last number>
 *
 * A number is logged before it is first sent. A process that was killed may leave a line cut off at
 * the end: nothing of such a write was sent, so it is taken off when the log is opened again.
 */
#include "client/cat.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <openssl/evp.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LINE_MAX_BYTES = 160, READ_BYTES = 1 << 16 };

/* --- what it said before ---------------------------------------------------------------------- */

static bool take_line(struct cat_log *log, const char *line, const char *session)
{
    char name[CAT_TEXT_MAX], word[32];
    uint64_t id, number, epoch;
    if (sscanf(line, "session %*u %31s %" SCNu64 " %" SCNu64, name, &id, &epoch) == 3) {
        bool ours = strcmp(name, session) == 0;
        if (ours && id != log->session) {
            log->session = id;
            log->ended = false;
            log->submitted = log->acked = 0;
        }
        return true;
    }
    if (sscanf(line, "submit %" SCNu64 " %" SCNu64, &id, &number) == 2) {
        if (id == log->session && number > log->submitted)
            log->submitted = number;
        return true;
    }
    if (sscanf(line, "ack %" SCNu64 " %" SCNu64 " %31s", &id, &number, word) == 3) {
        if (id == log->session && number > log->acked)
            log->acked = number;
        return true;
    }
    if (sscanf(line, "end %" SCNu64 " %" SCNu64, &id, &number) == 2) {
        log->ended = log->ended || id == log->session;
        return true;
    }
    return false;
}

/* Reads all lines; the size of the whole lines is where appending goes on. */
static bool take_lines(struct cat_log *log, const char *session, off_t *whole, char *problem)
{
    char *buffer = log->buffer;
    size_t have = 0;
    uint64_t place = 0;
    *whole = 0;
    for (;;) { /* until the end of the file */
        ssize_t n = pread(log->fd, buffer + have, LOG_BUFFER - have, *whole + (off_t)have);
        if (n < 0)
            return snprintf(problem, CAT_PROBLEM_SIZE, "reading the log: %s", strerror(errno)) < 0;
        have += (size_t)n;
        size_t at = 0;
        char *newline;
        while ((newline = memchr(buffer + at, '\n', have - at)) != NULL) {
            *newline = 0;
            place++;
            if (!take_line(log, buffer + at, session))
                return snprintf(problem, CAT_PROBLEM_SIZE,
                                "line %" PRIu64 " is not a line of a gateway's log: name another "
                                "file",
                                place) < 0;
            at = (size_t)(newline - buffer) + 1;
        }
        *whole += (off_t)at;
        have -= at;
        memmove(buffer, buffer + at, have);
        if (n == 0)
            return true;
        if (have == LOG_BUFFER)
            return snprintf(problem, CAT_PROBLEM_SIZE, "not a gateway's log: name another file") <
                   0;
    }
}

bool log_open(struct cat_log *log, const char *path, const char *session, char *problem)
{
    char why[CAT_PROBLEM_SIZE] = "";
    struct stat status;
    off_t whole;
    memset(log, 0, sizeof(*log));
    log->fd = -1;
    if (path[0] == 0)
        return true;
    log->digest = EVP_MD_CTX_new();
    log->sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
    log->fd = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    bool good = log->fd >= 0 && log->digest != NULL && log->sha256 != NULL;
    if (!good)
        snprintf(why, sizeof(why), "%s: name a file that can be written", strerror(errno));
    if (good && flock(log->fd, LOCK_EX | LOCK_NB) != 0) {
        snprintf(why, sizeof(why), "another process writes it: stop that one first");
        good = false;
    }
    good = good && take_lines(log, session, &whole, why);
    if (good && (fstat(log->fd, &status) != 0 ||
                 (status.st_size > whole && ftruncate(log->fd, whole) != 0))) {
        snprintf(why, sizeof(why), "taking off a line cut off: %s", strerror(errno));
        good = false;
    }
    if (!good) {
        snprintf(problem, CAT_PROBLEM_SIZE, "log '%.200s': %.250s", path, why);
        log_close(log);
    }
    return good;
}

void log_close(struct cat_log *log)
{
    EVP_MD_CTX_free(log->digest);
    EVP_MD_free(log->sha256);
    log->digest = log->sha256 = NULL;
    if (log->fd >= 0)
        close(log->fd);
    log->fd = -1;
}

/* --- what it says ----------------------------------------------------------------------------- */

static void put_line(struct cat_log *log, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static void put_line(struct cat_log *log, const char *format, ...)
{
    va_list arguments;
    if (log->fd < 0)
        return;
    va_start(arguments, format);
    int n = vsnprintf(log->buffer + log->used, LOG_BUFFER - log->used, format, arguments);
    va_end(arguments);
    log->used += n > 0 ? (size_t)n : 0; /* a window's lines always fit */
}

void log_session(struct cat_log *log, const char *name, const struct keel_info *info)
{
    put_line(log, "session %" PRIu64 " %s %" PRIu64 " %" PRIu64 " %" PRIu32 "\n", figures_utc_ns(),
             name, info->session, info->epoch, info->principal);
}

void log_submit(struct cat_log *log, uint64_t session, uint64_t number, const void *payload,
                size_t size)
{
    uint8_t hash[EVP_MAX_MD_SIZE] = {0};
    char text[LOG_HASH_DIGITS + 1];
    if (log->fd < 0)
        return;
    EVP_DigestInit_ex(log->digest, log->sha256, NULL);
    EVP_DigestUpdate(log->digest, payload, size);
    EVP_DigestFinal_ex(log->digest, hash, NULL);
    for (int i = 0; i < LOG_HASH_DIGITS / 2; i++)
        snprintf(text + 2 * i, 3, "%02x", hash[i]);
    put_line(log, "submit %" PRIu64 " %" PRIu64 " %zu %s\n", session, number, size, text);
}

void log_ack(struct cat_log *log, uint64_t session, const struct keel_result *result)
{
    put_line(log, "ack %" PRIu64 " %" PRIu64 " %s %" PRIu64 " %" PRIu64 " %s\n", session,
             result->number, keel_status_name((int)result->status), result->feed, result->utc_ns,
             result->day[0] != 0 ? result->day : "-");
}

void log_end(struct cat_log *log, uint64_t session, uint64_t last)
{
    put_line(log, "end %" PRIu64 " %" PRIu64 "\n", session, last);
}

bool log_write(struct cat_log *log, char *problem)
{
    size_t done = 0;
    if (log->fd < 0)
        return true;
    while (done < log->used) { /* one call, unless the disk takes less */
        ssize_t n = write(log->fd, log->buffer + done, log->used - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            snprintf(problem, CAT_PROBLEM_SIZE, "writing the log: %s", strerror(errno));
            return false;
        }
        done += (size_t)n;
    }
    log->used = 0;
    return true;
}
