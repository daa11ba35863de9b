/* A founder's identity as `keeld format` prints it and `keelctl genesis create` takes it:
 * "replica=N incarnation=HEX address=IP:PORT". Total on any text.
 */
#ifndef KEEL_CONTROL_IDENTITY_H
#define KEEL_CONTROL_IDENTITY_H

#include "consensus/wire/genesis.h"

/* Takes words of identities, in any grouping: each text holds one or more words, separated by
 * blanks; "replica=" begins the next identity. Fills genesis->founder. NULL, or why not (static
 * text, or `why`, IDENTITY_WHY_MAX bytes). */
enum { IDENTITY_WHY_MAX = 160 };
const char *identity_read(struct genesis *genesis, int count, const char *const *texts,
                          char why[IDENTITY_WHY_MAX]);

/* 1 to 16 hex digits, not 0. */
bool identity_hex(const char *text, uint64_t *value);

#endif
