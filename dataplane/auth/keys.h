/* Root keys: one per principal, from a file that others cannot read. Cold path only.
 *
 * File format (INI): a section per principal, `[replica 1]` or `[client 100]`, keys `key` (64 hex
 * digits), optionally `key_next` (a second key that is accepted too, for roll-over), `name` (for
 * people) and for clients `rights` (default `submit`). A replica's file holds its own key, the lower
 * replicas' and all clients'; a client's file its own only.
 */
#ifndef KEEL_KEYS_H
#define KEEL_KEYS_H

#include "dataplane/auth/auth.h"

enum { KEYRING_MAX = 1024 };

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

/* Reads a file. 0, or negative errno with *problem (at least 200 bytes): line, what is wrong, what to
 * do. -EPERM where group or others can read it. The caller wipes *keyring with keyring_wipe(). */
int keyring_read(struct keyring *keyring, const char *path, char *problem);
const struct keyring_key *keyring_find(const struct keyring *keyring, uint32_t principal);
void keyring_wipe(struct keyring *keyring);

#endif
