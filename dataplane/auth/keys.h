/* Root keys: one per principal, from a file that others cannot read. Cold path only.
 *
 * File format (INI): a section per principal, `[replica 1]` or `[client 100]`, keys `key` (64 hex
 * digits), optionally `key_next` (a second key that is accepted too, for roll-over), `name` (for
 * people: 1 to 31 printable characters) and for clients `rights` (`submit`, the default, or
 * `none`). Unknown settings and sections, doubled ones, and keys of zeros are errors. A replica's
 * file holds its own key, the lower replicas' and all clients'; a client's file its own only.
 */
#ifndef KEEL_KEYS_H
#define KEEL_KEYS_H

#include "dataplane/auth/auth.h"

#include <sys/stat.h>

enum {
    KEYRING_MAX = 1024,
    KEYRING_TEXT_MAX = 320 /* bytes of one section's text, with its end */
};

struct keyring_key {
    uint32_t principal;
    uint32_t rights;
    uint32_t key_count; /* 1 or 2 */
    char name[32];
    uint8_t key[2][AUTH_ROOT_SIZE];
};

struct keyring {
    uint32_t count;
    struct keyring_key key[KEYRING_MAX]; /* sorted by principal */
};

/* Reads a file. 0, or negative errno with *problem (at least 200 bytes): line, what is wrong, what
 * to do. -EPERM where group or others have any access, or it belongs to somebody else than the
 * caller or root. The caller has some 100 kB for *keyring; on an error it is wiped already. The
 * caller wipes *keyring with keyring_wipe(). */
int keyring_read(struct keyring *keyring, const char *path, char *problem);
/* Whether keys may be taken from such a file: 0, or negative errno with *problem (`room` bytes). */
int keyring_file_judge(const struct stat *status, uid_t caller, char *problem, size_t room);
const struct keyring_key *keyring_find(const struct keyring *keyring, uint32_t principal);

/* Writes a section as keyring_read() takes it, for a key just drawn; the caller wipes it. Returns
 * its length. */
size_t keyring_format_key(const struct keyring_key *key, char text[KEYRING_TEXT_MAX]);

void keyring_wipe(struct keyring *keyring);

#endif
