/* The admin socket: one JSON object a line each way, on a Unix socket, on a thread of its own.
 *
 * Everybody who can open the socket may read; root, the daemon's own user and the members of the
 * configured group may change things (SO_PEERCRED, and the kernel's group list of that process at
 * connect). A connection has one request under way at a time; lines, connections and answers that
 * nobody reads are bounded. Nothing here waits for `seq`: a wedged data path still answers
 * `status`.
 */
#ifndef KEEL_ADMIN_H
#define KEEL_ADMIN_H

#include "control/node.h"

enum {
    ADMIN_CONNECTIONS_MAX = 32,
    ADMIN_ANSWER_MAX = 1 << 20, /* bytes of one answer */
    ADMIN_IDLE_MS = 60000       /* a connection that says nothing this long is closed */
};

struct admin;

/* Makes the socket (a left-over one of a dead daemon is replaced, a living one is not). 0 or
 * negative errno, with *problem (CONFIG_PROBLEM_SIZE) saying what to do. */
int admin_open(struct admin **admin, const struct node *node, char *problem);
/* Serves until *stop (relaxed) is set; the admin thread's whole life. */
void admin_run(struct admin *admin, const uint32_t *stop);
/* Closes everything and removes the socket. */
void admin_close(struct admin *admin);

/* --- for tests: one line through the same code, without a socket --- */
/* The answer line (malloc'd, with its newline), or NULL if it comes later, when control has it.
 * `place` is a connection's number below ADMIN_CONNECTIONS_MAX. */
char *admin_line(struct admin *admin, uint32_t place, const char *line, size_t size,
                 bool may_change);

#endif
