/* The admin socket: one JSON object a line each way, on a Unix socket, on a thread of its own.
 *
 * Who may look and who may change things: admin_rights.h. Who gets in while others crowd the door,
 * and for how long: admin_places.h. A connection has one request under way at a time and is served
 * one a turn; those who may change things come first. Nothing here waits for `seq`: a wedged data
 * path still answers `status`.
 */
#ifndef KEEL_ADMIN_H
#define KEEL_ADMIN_H

#include "control/admin_places.h"
#include "control/node.h"

enum { ADMIN_ANSWER_MAX = 1 << 20 }; /* bytes of one answer */

/* Since start; the admin thread's, which alone reports them. */
struct admin_counts {
    uint64_t accepted, requests;
    uint64_t ended[ADMIN_END_COUNT];
};

struct admin;

/* Makes the socket (a left-over one of a dead daemon is replaced, a living one is not). 0 or
 * negative errno, with *problem (CONFIG_PROBLEM_SIZE) saying what to do. */
int admin_open(struct admin **admin, const struct node *node, char *problem);
/* Serves until *stop (relaxed) is set; the admin thread's whole life. */
void admin_run(struct admin *admin, const uint32_t *stop);
const struct admin_counts *admin_counts(const struct admin *admin);
/* Closes everything and removes the socket. */
void admin_close(struct admin *admin);

/* --- for tests: one line through the same code, without a socket --- */
/* The answer line (malloc'd, with its newline), or NULL if it comes later, when control has it.
 * `place` is a connection's number below ADMIN_CONNECTIONS_MAX. */
char *admin_line(struct admin *admin, uint32_t place, const char *line, size_t size,
                 bool may_change);

#endif
