#include "dataplane/auth/keys.h"

#include "dataplane/ini_line.h"

#include <errno.h>
#include <fcntl.h>
#include <ini.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    FILE_SIZE_MAX = KEYRING_MAX * 512, /* bytes: far more than a section needs */
    SECTION_MAX = 50,                  /* libinih's longest section name, with its end */
    PRINCIPAL_NONE = 0,
    HEX_DIGITS = 2 * AUTH_ROOT_SIZE
};

struct reading {
    struct keyring *keyring;
    const char *text; /* the whole file */
    size_t size;
    size_t at;
    int line;   /* the one that libinih is at */
    int header; /* line of a section's head that no setting has followed yet; 0: none */
    int problem_line;
    char problem[120];
    char section[SECTION_MAX];
    int section_line;
    struct keyring_key key; /* of the section at hand */
    bool named[4];          /* settings seen in it: key, key_next, name, rights */
};

/* --- problems ----------------------------------------------------------------------------------
 */

/* Returns 0, as libinih's handlers do for "no". After it the file has no line any more. */
__attribute__((format(printf, 3, 4))) static int problem_at(struct reading *r, int line,
                                                            const char *format, ...)
{
    va_list arguments;

    r->problem_line = line > 0 ? line : 1;
    va_start(arguments, format);
    vsnprintf(r->problem, sizeof r->problem, format, arguments);
    va_end(arguments);
    return 0;
}

/* --- values ------------------------------------------------------------------------------------
 */

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

static int parse_root(struct reading *r, const char *name, const char *value,
                      uint8_t root[AUTH_ROOT_SIZE])
{
    uint8_t any = 0;

    if (strlen(value) != HEX_DIGITS)
        return problem_at(r, r->line, "%s has %zu characters: give %d hex digits", name,
                          strlen(value), HEX_DIGITS);
    for (int i = 0; i < AUTH_ROOT_SIZE; i++) {
        int high = hex_digit(value[2 * i]), low = hex_digit(value[2 * i + 1]);
        if (high < 0 || low < 0)
            return problem_at(r, r->line, "%s: character %d is no hex digit", name,
                              2 * i + (high < 0 ? 1 : 2));
        root[i] = (uint8_t)(high << 4 | low);
        any |= root[i];
    }
    if (any == 0)
        return problem_at(r, r->line, "%s is all zeros: draw one with `keelctl key new`", name);
    return 1;
}

static int parse_name(struct reading *r, const char *value)
{
    size_t size = strlen(value);

    if (size == 0 || size >= sizeof r->key.name)
        return problem_at(r, r->line, "name has %zu characters: give 1 to %zu", size,
                          sizeof r->key.name - 1);
    for (size_t i = 0; i < size; i++) /* below 32 */
        if (value[i] < ' ' || value[i] > '~')
            return problem_at(r, r->line, "name: character %zu is not printable ASCII", i + 1);
    memcpy(r->key.name, value, size + 1);
    return 1;
}

static int parse_rights(struct reading *r, const char *value)
{
    if (r->key.principal < KEEL_CLIENT_MIN)
        return problem_at(r, r->line, "rights is for clients: take the line out");
    if (strcmp(value, "submit") == 0)
        r->key.rights = AUTH_RIGHT_SUBMIT;
    else if (strcmp(value, "none") == 0)
        r->key.rights = 0;
    else
        return problem_at(r, r->line, "unknown rights '%.40s': give submit or none", value);
    return 1;
}

/* "replica 1" or "client 100"; PRINCIPAL_NONE if it is neither. */
static uint32_t parse_section(const char *section)
{
    bool replica = strncmp(section, "replica ", 8) == 0;
    const char *digits = section + (replica ? 8 : 7);

    if (!replica && strncmp(section, "client ", 7) != 0)
        return PRINCIPAL_NONE;
    size_t size = strlen(digits);
    if (size == 0 || size > 10 || strspn(digits, "0123456789") != size || digits[0] == '0')
        return PRINCIPAL_NONE;
    unsigned long long value = strtoull(digits, NULL, 10);
    bool fits =
        replica ? value <= KEEL_REPLICA_MAX : value >= KEEL_CLIENT_MIN && value <= UINT32_MAX;
    return fits ? (uint32_t)value : PRINCIPAL_NONE;
}

/* --- sections ----------------------------------------------------------------------------------
 */

/* Puts a finished section in its place. */
static int section_end(struct reading *r)
{
    struct keyring *keyring = r->keyring;
    uint32_t at = keyring->count;

    if (r->section[0] == '\0')
        return 1;
    if (!r->named[0])
        return problem_at(r, r->section_line, "[%s] has no key: add one with `keelctl key new`",
                          r->section);
    if (r->key.key_count == 2 && memcmp(r->key.key[0], r->key.key[1], AUTH_ROOT_SIZE) == 0)
        return problem_at(r, r->section_line, "[%s]: key_next equals key: take it out", r->section);
    if (keyring->count == KEYRING_MAX)
        return problem_at(r, r->section_line, "more than %d sections", KEYRING_MAX);
    while (at > 0 && keyring->key[at - 1].principal > r->key.principal) { /* to the front at most */
        keyring->key[at] = keyring->key[at - 1];
        at--;
    }
    keyring->key[at] = r->key;
    keyring->count++;
    return 1;
}

static int section_begin(struct reading *r, const char *section)
{
    uint32_t principal = parse_section(section);
    int line = r->header != 0 ? r->header : r->line;

    r->header = 0;
    if (!section_end(r))
        return 0;
    if (section[0] == '\0')
        return problem_at(r, r->line, "a setting before the first section: put [replica N] above");
    if (principal == PRINCIPAL_NONE)
        return problem_at(r, line, "[%.40s]: give [replica 1..%d] or [client %d..%u]", section,
                          KEEL_REPLICA_MAX, KEEL_CLIENT_MIN, UINT32_MAX);
    if (keyring_find(r->keyring, principal) != NULL)
        return problem_at(r, line, "[%s] stands twice: remove one", section);
    explicit_bzero(&r->key, sizeof r->key);
    memset(r->named, 0, sizeof r->named);
    r->key.principal = principal;
    r->key.rights = principal < KEEL_CLIENT_MIN ? AUTH_RIGHT_PEER : AUTH_RIGHT_SUBMIT;
    r->section_line = line;
    snprintf(r->section, sizeof r->section, "%s", section);
    return 1;
}

/* libinih's handler: one setting. 1 taken, 0 not. */
static int take_setting(void *user, const char *section, const char *name, const char *value)
{
    static const char *const names[] = {"key", "key_next", "name", "rights"};
    struct reading *r = user;
    int which = -1;

    if ((r->header != 0 || section[0] == '\0') && !section_begin(r, section))
        return 0;
    for (int i = 0; i < 4; i++)
        if (strcmp(name, names[i]) == 0)
            which = i;
    if (which < 0)
        return problem_at(r, r->line, "unknown setting '%.40s': key, key_next, name, rights exist",
                          name);
    if (r->named[which])
        return problem_at(r, r->line, "%s stands twice in [%s]: remove one", name, section);
    r->named[which] = true;
    if (which == 1)
        r->key.key_count = 2;
    else if (which == 0 && r->key.key_count == 0)
        r->key.key_count = 1;
    switch (which) {
    case 0:
        return parse_root(r, name, value, r->key.key[0]);
    case 1:
        return parse_root(r, name, value, r->key.key[1]);
    case 2:
        return parse_name(r, value);
    default:
        return parse_rights(r, value);
    }
}

/* libinih's reader: one line, without leading blanks. A line longer than its buffer would come in
 * pieces: it is refused. */
static char *take_line(char *out, int room, void *stream)
{
    struct reading *r = stream;
    const char *from = r->text + r->at;
    size_t left = r->size - r->at;
    const char *end = memchr(from, '\n', left);
    size_t size = end != NULL ? (size_t)(end - from) + 1 : left;

    if (left == 0 || r->problem_line != 0)
        return NULL;
    r->line++;
    r->at += size;
    if (size >= (size_t)room) {
        problem_at(r, r->line, "line of %zu characters: %d are the most", size, room - 2);
        return NULL;
    }
    if (memchr(from, '\0', size) != NULL) {
        problem_at(r, r->line, "a zero byte: this is no text file");
        return NULL;
    }
    const char *begin = ini_line_begin(from, from + size);
    size -= (size_t)(begin - from);
    memcpy(out, begin, size);
    out[size] = '\0';
    if (out[0] != '[')
        return out;
    if (r->header != 0) {
        problem_at(r, r->header, "a section without settings: take it out");
        return NULL;
    }
    r->header = r->line;
    return out;
}

/* --- files -------------------------------------------------------------------------------------
 */

int keyring_file_judge(const struct stat *status, uid_t caller, char *problem, size_t room)
{
    unsigned mode = (unsigned)(status->st_mode & 07777), owner = (unsigned)status->st_uid;

    if (!S_ISREG(status->st_mode)) {
        snprintf(problem, room, "it is not a regular file");
        return -EINVAL;
    }
    if ((mode & (S_IRWXG | S_IRWXO)) != 0) {
        snprintf(problem, room, "mode %04o lets group or others at it: chmod 600", mode);
        return -EPERM;
    }
    if (owner != caller && owner != 0) {
        snprintf(problem, room, "it belongs to user %u: chown it to %u or root", owner,
                 (unsigned)caller);
        return -EPERM;
    }
    if (status->st_size > FILE_SIZE_MAX) {
        snprintf(problem, room, "larger than %d bytes", FILE_SIZE_MAX);
        return -EFBIG;
    }
    return 0;
}

/* Opens and checks the file, reads it whole. Its size, or negative errno. */
static ssize_t read_file(const char *path, char *text, char *problem, size_t room)
{
    struct stat status;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    ssize_t size = 0;

    if (fd < 0) {
        int error = errno;
        snprintf(problem, room, "cannot open it: %s", strerror(error));
        return -error;
    }
    if (fstat(fd, &status) != 0) /* unreachable: an open file has a status */
        size = -errno;
    else
        size = keyring_file_judge(&status, geteuid(), problem, room);
    for (ssize_t got = 1; size >= 0 && got > 0 && size < FILE_SIZE_MAX;) { /* until all is there */
        got = read(fd, text + size, (size_t)(FILE_SIZE_MAX - size));
        if (got < 0) {
            size = -errno;
            snprintf(problem, room, "cannot read it: %s", strerror(errno));
        } else {
            size += got;
        }
    }
    close(fd);
    return size;
}

/* Runs libinih over the text. 0, or -EINVAL with the problem in *r. */
static int parse(struct reading *r)
{
    int bad_line = ini_parse_stream(take_line, r, take_setting, r);

    if (bad_line > 0 && bad_line < r->problem_line)
        r->problem_line = 0; /* what the handler minded came of an earlier line's form */
    if (r->problem_line == 0 && bad_line != 0)
        problem_at(r, bad_line, "neither [section] nor setting = value");
    if (r->problem_line == 0 && r->header != 0)
        problem_at(r, r->header, "a section without settings: take it out");
    if (r->problem_line == 0)
        section_end(r);
    if (r->problem_line == 0 && r->keyring->count == 0)
        problem_at(r, r->line, "no section: add one with `keelctl key new`");
    return r->problem_line == 0 ? 0 : -EINVAL;
}

int keyring_read(struct keyring *keyring, const char *path, char *problem)
{
    enum { ROOM = 200 };
    char why[120] = "";
    int result;

    memset(keyring, 0, sizeof *keyring);
    char *text = malloc(FILE_SIZE_MAX + 1);
    struct reading *r = calloc(1, sizeof *r);
    if (text == NULL || r == NULL) { /* unreachable: no memory */
        free(text);
        free(r);
        snprintf(problem, ROOM, "%.70s: no memory", path);
        return -ENOMEM;
    }
    ssize_t size = read_file(path, text, why, sizeof why);
    if (size < 0) {
        snprintf(problem, ROOM, "%.70s: %s", path, why);
        result = (int)size;
    } else {
        *r = (struct reading){.keyring = keyring, .text = text, .size = (size_t)size};
        text[size] = '\0';
        result = parse(r);
        if (result != 0)
            snprintf(problem, ROOM, "%.60s:%d: %s", path, r->problem_line, r->problem);
    }
    if (result != 0)
        keyring_wipe(keyring);
    explicit_bzero(text, FILE_SIZE_MAX);
    explicit_bzero(r, sizeof *r);
    free(text);
    free(r);
    return result;
}

const struct keyring_key *keyring_find(const struct keyring *keyring, uint32_t principal)
{
    uint32_t low = 0, high = keyring->count;

    while (low < high) { /* halves: at most 11 steps */
        uint32_t middle = low + (high - low) / 2;
        if (keyring->key[middle].principal < principal)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == keyring->count || keyring->key[low].principal != principal)
        return NULL;
    return &keyring->key[low];
}

/* --- new keys ----------------------------------------------------------------------------------
 */

static size_t format_root(char *text, size_t room, const char *name,
                          const uint8_t root[AUTH_ROOT_SIZE])
{
    char hex[HEX_DIGITS + 1];

    for (int i = 0; i < AUTH_ROOT_SIZE; i++)
        snprintf(hex + 2 * i, 3, "%02x", root[i]);
    int size = snprintf(text, room, "%s = %s\n", name, hex);
    explicit_bzero(hex, sizeof hex);
    return (size_t)size;
}

size_t keyring_format_key(const struct keyring_key *key, char text[KEYRING_TEXT_MAX])
{
    bool replica = key->principal < KEEL_CLIENT_MIN;
    size_t at = 0;

    ENSURE(key->key_count >= 1 && key->key_count <= 2);
    at += (size_t)snprintf(text, KEYRING_TEXT_MAX, "[%s %u]\n", replica ? "replica" : "client",
                           key->principal);
    if (key->name[0] != '\0')
        at += (size_t)snprintf(text + at, KEYRING_TEXT_MAX - at, "name = %s\n", key->name);
    at += format_root(text + at, KEYRING_TEXT_MAX - at, "key", key->key[0]);
    if (key->key_count == 2)
        at += format_root(text + at, KEYRING_TEXT_MAX - at, "key_next", key->key[1]);
    if (!replica)
        at += (size_t)snprintf(text + at, KEYRING_TEXT_MAX - at, "rights = %s\n",
                               key->rights & AUTH_RIGHT_SUBMIT ? "submit" : "none");
    ENSURE(at < KEYRING_TEXT_MAX);
    return at;
}

void keyring_wipe(struct keyring *keyring)
{
    explicit_bzero(keyring, sizeof *keyring);
}
