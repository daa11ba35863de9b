/* The admin socket in the file system: everybody on this host may knock, admin_rights.h decides. */
#ifndef KEEL_ADMIN_LISTEN_H
#define KEEL_ADMIN_LISTEN_H

#include "control/admin_rights.h"

enum { ADMIN_LISTEN_BACKLOG = 1024 }; /* who wait to be let in */

/* Makes the socket and listens, never blocking; the descriptor is the caller's, the path too: it
 * removes it in the end. A left-over socket of a dead daemon is replaced, a living one is not.
 * Negative errno with *problem (CONFIG_PROBLEM_SIZE) saying what to do. */
int admin_listen(const char *path, const struct admin_rights *rights, char *problem);

#endif
