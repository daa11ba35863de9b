#include "dataplane/auth/keys.h"

#include "tests/unit/auth/fixture.h"
#include "tests/unit/unit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define K0 "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
#define K1 "FFFEFDFCFBFAF9F8F7F6F5F4F3F2F1F0efeeedecebeae9e8e7e6e5e4e3e2e1e0"
#define ZEROS "0000000000000000000000000000000000000000000000000000000000000000"

static struct keyring *ring;
static char problem[200];

/* Reads a text through a file in memory of the given mode. */
static int read_text(const char *text, size_t size, mode_t mode)
{
    char path[40];
    int fd = memfd_create("keys", MFD_CLOEXEC);

    ENSURE(fd >= 0 && write(fd, text, size) == (ssize_t)size && fchmod(fd, mode) == 0);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    memset(problem, 0, sizeof problem);
    int result = keyring_read(ring, path, problem);
    close(fd);
    return result;
}

static int read_good(const char *text)
{
    int result = read_text(text, strlen(text), 0600);

    if (result != 0)
        printf("# %s\n", problem);
    return result;
}

/* True if the text is refused at that line with those words, and nothing of it stays in the
 * keyring. */
static bool refused(const char *text, int line, const char *words)
{
    static const struct keyring empty;
    char where[16];

    snprintf(where, sizeof where, ":%d: ", line);
    int result = read_text(text, strlen(text), 0600);
    bool right = result == -EINVAL && strstr(problem, where) != NULL &&
                 strstr(problem, words) != NULL && memcmp(ring, &empty, sizeof empty) == 0;
    if (!right)
        printf("# %d: %s (wanted line %d, '%s')\n", result, problem, line, words);
    return right;
}

static void test_good_file(void)
{
    CU_ASSERT_FATAL(read_good("# keys of replica 2\n"
                              "[client 100]\nname = gateway one\nkey = " K1 "\n"
                              "[replica 2]\nkey=" K0 "\n\n"
                              "[ client 4294967295 ]\nkey = " K0 " ; kept apart\nrights = none\n"
                              "[replica 1]\nkey = " K0 "\nkey_next = " K1 "\n") == -EINVAL);
    CU_ASSERT_FATAL(read_good("# keys of replica 2\n"
                              "[client 100]\nname = gateway one\nkey = " K1 "\n"
                              "[replica 2]\nkey=" K0 "\n\n"
                              "[client 4294967295]\nkey = " K0 " ; kept apart\nrights = none\n"
                              "[replica 1]\nkey = " K0 "\nkey_next = " K1 "") == 0);
    CU_ASSERT(ring->count == 4);
    for (uint32_t i = 1; i < ring->count; i++)
        CU_ASSERT(ring->key[i - 1].principal < ring->key[i].principal);
    const struct keyring_key *one = keyring_find(ring, 1), *two = keyring_find(ring, 2);
    const struct keyring_key *client = keyring_find(ring, 100);
    const struct keyring_key *last = keyring_find(ring, UINT32_MAX);
    CU_ASSERT_FATAL(one != NULL && two != NULL && client != NULL && last != NULL);
    CU_ASSERT(one->key_count == 2 && two->key_count == 1 && one->rights == AUTH_RIGHT_PEER);
    CU_ASSERT(client->rights == AUTH_RIGHT_SUBMIT && last->rights == 0);
    CU_ASSERT(strcmp(client->name, "gateway one") == 0 && one->name[0] == '\0');
    for (int i = 0; i < AUTH_ROOT_SIZE; i++)
        CU_ASSERT(one->key[0][i] == i && one->key[1][i] == 255 - i && client->key[0][i] == 255 - i);
    CU_ASSERT(keyring_find(ring, 0) == NULL && keyring_find(ring, 3) == NULL &&
              keyring_find(ring, 101) == NULL);
    keyring_wipe(ring);
    CU_ASSERT(ring->count == 0 && keyring_find(ring, 1) == NULL);
}

static void test_every_problem_names_its_line(void)
{
    CU_ASSERT(refused("", 1, "no section"));
    CU_ASSERT(refused("key = " K0 "\n", 1, "before the first section"));
    CU_ASSERT(refused("[replica 1]\n\nkey = " K0 "\nkye = 1\n", 4, "unknown setting 'kye'"));
    CU_ASSERT(refused("[replica 1]\nkey = " K0 "\nkey = " K1 "\n", 3, "stands twice"));
    CU_ASSERT(refused("[replica 1]\nkey = " K0 "0\n", 2, "65 characters"));
    CU_ASSERT(refused("[replica 1]\nkey = " K0 "\n  " K0 "\n", 3, "neither [section]"));
    CU_ASSERT(refused("[replica 1]\nkey_next = " K1 "\nkey = " K1 "\n", 1, "equals key"));
    CU_ASSERT(refused("[]\nkey = " K0 "\n", 2, "before the first section"));
    CU_ASSERT(refused("[replica ]\nkey = " K0 "\n", 1, "[replica 1..7]"));
    CU_ASSERT(refused("[client ]\nkey = " K0 "\n", 1, "[client 16.."));
    CU_ASSERT(refused("[replica 1]\nkey =\n", 2, "0 characters"));
    CU_ASSERT(refused("[replica 1]\nkey = g" ZEROS "\n", 2, "65 characters"));
    CU_ASSERT(refused("[replica 1]\nkey = 0g0102030405060708090a0b0c0d0e0f101112131415161718191a1b1"
                      "c1d1e1f\n",
                      2, "character 2 is no hex digit"));
    CU_ASSERT(refused("[replica 1]\nkey = " ZEROS "\n", 2, "all zeros"));
    CU_ASSERT(refused("\n[replica 1]\nname = a\n", 2, "has no key"));
    CU_ASSERT(
        refused("[replica 1]\nkey_next = " K1 "\n[replica 2]\nkey = " K0 "\n", 1, "has no key"));
    CU_ASSERT(refused("[replica 1]\nkey = " K0 "\nkey_next = " K0 "\n", 1, "equals key"));
    CU_ASSERT(refused("[replica 0]\nkey = " K0 "\n", 1, "[replica 1..7]"));
    CU_ASSERT(refused("[replica 8]\nkey = " K0 "\n", 1, "[replica 1..7]"));
    CU_ASSERT(refused("[replica 01]\nkey = " K0 "\n", 1, "[replica 1..7]"));
    CU_ASSERT(refused("[replica 1 ]\nkey = " K0 "\n", 1, "[replica 1..7]"));
    CU_ASSERT(refused("[client 15]\nkey = " K0 "\n", 1, "[client 16.."));
    CU_ASSERT(refused("[client 4294967296]\nkey = " K0 "\n", 1, "[client 16.."));
    CU_ASSERT(refused("[client 99999999999999999999]\nkey = " K0 "\n", 1, "[client 16.."));
    CU_ASSERT(refused("[gateway 16]\nkey = " K0 "\n", 1, "[gateway 16]"));
    CU_ASSERT(refused("[replica 1]\nkey = " K0 "\nrights = submit\n", 3, "for clients"));
    CU_ASSERT(refused("[client 16]\nkey = " K0 "\nrights = peer\n", 3, "unknown rights 'peer'"));
    CU_ASSERT(refused("[client 16]\nkey = " K0 "\nname = 12345678901234567890123456789012\n", 3,
                      "32 characters"));
    CU_ASSERT(refused("[client 16]\nkey = " K0 "\nname = \xc3\xa4\n", 3, "not printable"));
    CU_ASSERT(refused("[client 16]\nkey = " K0 "\nname = a\x7f\n", 3, "character 2 is not"));
    CU_ASSERT(refused("[replica 1]\nkey = " K0 "\n[replica 2]\nkey = " K0 "\n[replica 1]\nkey = " K1
                      "\n",
                      5, "stands twice"));
    CU_ASSERT(refused("[replica 1]\nkey = " K0 "\n[replica 1]\nname = a\n", 3, "stands twice"));
    CU_ASSERT(refused("[replica 1]\n[replica 2]\nkey = " K0 "\n", 1, "without settings"));
    CU_ASSERT(refused("[replica 1]\nkey = " K0 "\n[client 16]\n", 3, "without settings"));
    CU_ASSERT(refused("[replica 1]\nkey = " K0 "\nwhat is this\n", 3, "neither [section]"));
    CU_ASSERT(refused("[replica 1\nkey = " K0 "\n", 1, "neither [section]"));

    char text[400];
    snprintf(text, sizeof text, "[replica 1]\nname = %0300d\n", 0);
    CU_ASSERT(refused(text, 2, "line of"));
    CU_ASSERT(read_text("[replica 1]\nkey\0 = ", 20, 0600) == -EINVAL);
    CU_ASSERT(strstr(problem, ":2: ") != NULL && strstr(problem, "zero byte") != NULL);
}

/* What libinih passes over at the begin of a line hides no section. */
static void test_a_section_is_seen_behind_anything(void)
{
    static const char *const blanks[] = {" ", "\t", "\f", "\v\r", "\xef\xbb\xbf", " \xef\xbb\xbf "};
    static const struct {
        const char *before, *after, *says;
        int line;
    } list[] = {
        {"", "[replica 1]\n[replica 2]\nkey = " K0 "\n", "without settings", 1},
        {"[replica 1]\n", "[replica 2]\nkey = " K0 "\n", "without settings", 1},
        {"[replica 1]\nkey = " K0 "\n", "[replica 2]\n", "without settings", 3},
        {"[replica 1]\nkey = " K0 "\n", "[replica 1]\nkey_next = " K1 "\n", "stands twice", 3}};
    char text[400];

    for (size_t b = 0; b < sizeof blanks / sizeof blanks[0]; b++) {
        for (size_t i = 0; i < sizeof list / sizeof list[0]; i++) {
            snprintf(text, sizeof text, "%s%s%s", list[i].before, blanks[b], list[i].after);
            CU_ASSERT(refused(text, list[i].line, list[i].says));
        }
        snprintf(text, sizeof text, "%s[replica 1]\n%skey = " K0 "\n", blanks[b], blanks[b]);
        CU_ASSERT(read_good(text) == 0 && ring->count == 1);
    }
}

static void test_file_modes(void)
{
    static const char text[] = "[replica 1]\nkey = " K0 "\n";

    for (unsigned mode = 0; mode < 01000; mode++) {
        if ((mode & 0400) == 0)
            continue;
        int result = read_text(text, sizeof text - 1, mode);
        CU_ASSERT(result == ((mode & 077) == 0 ? 0 : -EPERM));
        if (result != 0)
            CU_ASSERT(strstr(problem, "chmod 600") != NULL && ring->count == 0);
    }
    CU_ASSERT(keyring_read(ring, "/nonexistent/keys", problem) == -ENOENT);
    CU_ASSERT(strstr(problem, "/nonexistent/keys: cannot open it") != NULL);
    CU_ASSERT(keyring_read(ring, "/proc/self", problem) == -EINVAL);
    CU_ASSERT(strstr(problem, "not a regular file") != NULL);
}

/* Files that root may open and should not trust; a name for each refusal. */
static void test_status(void)
{
    static const struct {
        mode_t mode;
        uid_t owner, caller;
        off_t size;
        int result;
        const char *says;
    } list[] = {{S_IFREG | 0600, 0, 0, 1, 0, ""},
                {S_IFREG | 0400, 7, 7, 512 * KEYRING_MAX, 0, ""},
                {S_IFREG | 0600, 0, 7, 1, 0, ""}, /* with the capability to read it */
                {S_IFREG | 0600, 8, 7, 1, -EPERM, "belongs to user 8: chown it to 7 or root"},
                {S_IFREG | 0600, 8, 0, 1, -EPERM, "belongs to user 8: chown it to 0 or root"},
                {S_IFREG | 0640, 7, 7, 1, -EPERM, "mode 0640"},
                {S_IFREG | 0604, 7, 7, 1, -EPERM, "mode 0604"},
                {S_IFIFO | 0600, 7, 7, 1, -EINVAL, "not a regular file"},
                {S_IFREG | 0600, 7, 7, 512 * KEYRING_MAX + 1, -EFBIG, "larger than 524288"}};

    for (size_t i = 0; i < sizeof list / sizeof list[0]; i++) {
        struct stat status = {
            .st_mode = list[i].mode, .st_uid = list[i].owner, .st_size = list[i].size};
        problem[0] = '\0';
        int result = keyring_file_judge(&status, list[i].caller, problem, sizeof problem);
        CU_ASSERT(result == list[i].result && strstr(problem, list[i].says) != NULL);
        CU_ASSERT((result == 0) == (problem[0] == '\0'));
    }
}

/* The largest file is read to its end; one that cannot be read (nothing is mapped at 0) is told. */
static void test_reading(void)
{
    static const char section[] = "[replica 1]\nkey = " K0 "\n";
    size_t size = 512 * KEYRING_MAX;
    char *text = malloc(size + 1);

    ENSURE(text != NULL);
    for (size_t i = 0; i <= size; i++)
        text[i] = i % 2 == 0 ? '\n' : '#';
    memcpy(text + size - (sizeof section - 1), section, sizeof section - 1);
    CU_ASSERT(read_text(text, size, 0600) == 0 && ring->count == 1);
    CU_ASSERT(read_text(text, size + 1, 0600) == -EFBIG && strstr(problem, "larger than") != NULL);
    free(text);
    CU_ASSERT(keyring_read(ring, "/proc/self/mem", problem) == -EIO);
    CU_ASSERT(strstr(problem, "cannot read it") != NULL && ring->count == 0);
}

/* KEYRING_MAX sections fit, one more does not; in falling order, so that each is moved. */
static void test_full_ring(void)
{
    char *text = malloc(KEYRING_MAX * 160);
    size_t at = 0;

    ENSURE(text != NULL);
    for (uint32_t i = 0; i < KEYRING_MAX; i++)
        at += (size_t)sprintf(text + at, "[client %u]\nkey = " K0 "\n", 5000 - i);
    CU_ASSERT(read_text(text, at, 0600) == 0 && ring->count == KEYRING_MAX);
    for (uint32_t i = 0; i < KEYRING_MAX; i++)
        CU_ASSERT(keyring_find(ring, 5000 - i) != NULL);
    at += (size_t)sprintf(text + at, "[client 9000]\nkey = " K0 "\n");
    CU_ASSERT(read_text(text, at, 0600) == -EINVAL && strstr(problem, "more than 1024") != NULL);
    free(text);
}

/* What keyring_format_key() writes, keyring_read() reads. */
static void test_format(void)
{
    struct rng rng = {5};

    for (int i = 0; i < 200; i++) {
        struct keyring_key key = {.principal = 1 + rng_below(&rng, 7),
                                  .rights = AUTH_RIGHT_PEER,
                                  .key_count = 1 + rng_below(&rng, 2)};
        char text[KEYRING_TEXT_MAX];
        if (i % 2 == 0) {
            key.principal = UINT32_MAX - rng_below(&rng, 3);
            key.rights = i % 4 == 0 ? AUTH_RIGHT_SUBMIT : 0;
        }
        if (i % 3 == 0)
            memset(key.name, 'n', sizeof key.name - 1);
        rng_bytes(&rng, key.key, key.key_count * sizeof key.key[0]);
        CU_ASSERT(keyring_format_key(&key, text) == strlen(text));
        CU_ASSERT(read_good(text) == 0 && ring->count == 1);
        CU_ASSERT(memcmp(&ring->key[0], &key, sizeof key) == 0);
    }
}

/* Seeded damage to a good file: an error with a line, or a file that still means something; never
 * more. */
static void test_fuzz(void)
{
    static const char good[] = "[replica 1]\nname = one\nkey = " K0 "\nkey_next = " K1
                               "\n[client 100]\nkey = " K1 "\nrights = submit\n";
    struct rng rng = {6};
    uint32_t read = 0, bad = 0;

    for (int i = 0; i < 5000; i++) {
        char text[sizeof good];
        memcpy(text, good, sizeof good);
        size_t size = sizeof good - 1;
        for (uint32_t n = 1 + rng_below(&rng, 3); n > 0; n--)
            text[rng_below(&rng, (uint32_t)size)] = (char)rng_next(&rng);
        if (rng_below(&rng, 4) == 0)
            size = rng_below(&rng, (uint32_t)size);
        int result = read_text(text, size, 0600);
        CU_ASSERT(result == 0 ? ring->count >= 1 && ring->count <= 2 : ring->count == 0);
        CU_ASSERT(result == 0 || (result == -EINVAL && problem[0] != '\0'));
        read += result == 0;
        bad += result != 0;
    }
    CU_ASSERT(read > 100 && bad > 1000);
}

int main(void)
{
    static const struct unit_test tests[] = {
        {"a good file", test_good_file},
        {"every problem names its line", test_every_problem_names_its_line},
        {"a section is seen behind anything", test_a_section_is_seen_behind_anything},
        {"modes, missing files, directories", test_file_modes},
        {"whose files are trusted", test_status},
        {"the largest file, and one that can't be read", test_reading},
        {"1024 sections fit", test_full_ring},
        {"a formatted key is read back", test_format},
        {"damaged files", test_fuzz},
        {0}};

    ring = calloc(1, sizeof *ring);
    ENSURE(ring != NULL);
    int result = unit_main("keys", tests);
    free(ring);
    return result;
}
