/* Who may do what at the admin socket, by the user and groups that the kernel states of the process
 * which connected (SO_PEERCRED, SO_PEERGROUPS: as of connect, whatever the process does
 * afterwards).
 *
 * Root and the daemon's own user own the place. The users and the group of [admin] users and group
 * may change things. Those of read_users and read_group may look; where neither key is given,
 * everybody on this host may. All others are refused. The admin thread's; no state beyond start.
 */
#ifndef KEEL_ADMIN_RIGHTS_H
#define KEEL_ADMIN_RIGHTS_H

#include "control/config.h"

#include <stdbool.h>
#include <sys/types.h>

/* Each may what those above it may. */
enum admin_right {
    ADMIN_RIGHT_NONE,
    ADMIN_RIGHT_READ,
    ADMIN_RIGHT_CHANGE,
    ADMIN_RIGHT_OWNER,
    ADMIN_RIGHT_COUNT
};

enum { ADMIN_GROUPS_MAX = 128, ADMIN_USERS_MAX = 16 };

struct admin_peer {
    uid_t uid;
    gid_t gid;
    uint32_t group_count;
    gid_t group[ADMIN_GROUPS_MAX]; /* beside gid */
};

/* One side of the policy: some users, and perhaps a group. */
struct admin_circle {
    bool has_group;
    gid_t group;
    uint32_t user_count;
    uid_t user[ADMIN_USERS_MAX];
};

struct admin_rights {
    uid_t own;
    bool all_read; /* nobody in particular was named as reader */
    struct admin_circle change, read;
};

/* Looks the configured names up (a number is taken for an id). 0, or -ENOENT, -EINVAL with *problem
 * (CONFIG_PROBLEM_SIZE) saying which name, and what to do. */
int admin_rights_open(struct admin_rights *rights, const struct config *config, char *problem);

/* Who is at the other end of a Unix socket, with all its groups where a group has rights; false:
 * the kernel does not say. A process in more than ADMIN_GROUPS_MAX counts with its own one alone.
 */
bool admin_peer_read(const struct admin_rights *rights, int fd, struct admin_peer *peer);

enum admin_right admin_right_of(const struct admin_rights *rights, const struct admin_peer *peer);

#endif
