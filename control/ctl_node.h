/* What the two ways to nodes share: as a client of the cluster (ctl_node.c), and by the admin
 * socket (ctl_node_admin.c).
 */
#ifndef KEEL_CTL_NODE_H
#define KEEL_CTL_NODE_H

#include "control/ctl_session.h"

/* No client is named: not on the command line, nor by a file of this host. A socket that is named
 * decides. */
bool ctl_node_by_socket(const struct ctl *ctl);

/* ctl_node_admin.c: each returns CTL_DONE, or an exit code after saying why. */
int ctl_node_look(const struct ctl *ctl, struct keel_node *node);
/* Appends a page of children; *after: where the next begins, 0: that was the last. */
int ctl_node_children(const struct ctl *ctl, const char *path, uint64_t *after, json_t *rows);
/* Asks for the command's operation on the node that the first word names, and says what came of it.
 * `extra` is taken over; generation 0: whichever is in force. */
int ctl_node_change(struct ctl *ctl, json_t *extra, uint64_t generation, const char *what);
void ctl_node_put_content(json_t *extra, const uint8_t *content, size_t size);
void ctl_node_put_rights(json_t *extra, const struct keel_right_of *rights, size_t count);

/* ctl_node.c: "rwc", as far as they are there. */
void ctl_node_rights_text(uint32_t rights, char text[4]);

#endif
