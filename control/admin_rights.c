#include "control/admin_rights.h"

#include "control/address.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { NAME_BUFFER = 8192 };
static const char separators[] = ", \t";

static int no_such(const char *key, const char *name, const char *command, char *problem)
{
    snprintf(problem, CONFIG_PROBLEM_SIZE,
             "[admin] %s: %s does not exist: make it with `%s %s`, or take it out", key, name,
             command, name);
    return -ENOENT;
}

static int find_group(const char *key, const char *name, struct admin_circle *circle, char *problem)
{
    struct group entry, *found = NULL;
    char buffer[NAME_BUFFER];
    uint64_t number;
    if (name[0] == '\0')
        return 0;
    if (address_number(name, 0, UINT32_MAX - 1, &number))
        circle->group = (gid_t)number;
    else if (getgrnam_r(name, &entry, buffer, sizeof(buffer), &found) != 0 || found == NULL)
        return no_such(key, name, "groupadd", problem);
    else
        circle->group = found->gr_gid;
    circle->has_group = true;
    return 0;
}

static int find_user(const char *key, const char *name, uid_t *uid, char *problem)
{
    struct passwd entry, *found = NULL;
    char buffer[NAME_BUFFER];
    uint64_t number;
    if (address_number(name, 0, UINT32_MAX - 1, &number))
        *uid = (uid_t)number;
    else if (getpwnam_r(name, &entry, buffer, sizeof(buffer), &found) != 0 || found == NULL)
        return no_such(key, name, "useradd", problem);
    else
        *uid = found->pw_uid;
    return 0;
}

static int find_users(const char *key, const char *names, struct admin_circle *circle,
                      char *problem)
{
    char text[CONFIG_TEXT_MAX], *rest = NULL;
    snprintf(text, sizeof(text), "%s", names);
    for (char *name = strtok_r(text, separators, &rest); name != NULL;
         name = strtok_r(NULL, separators, &rest)) { /* bound: ADMIN_USERS_MAX */
        if (circle->user_count == ADMIN_USERS_MAX) {
            snprintf(problem, CONFIG_PROBLEM_SIZE,
                     "[admin] %s: more than %d users: put them into a group", key, ADMIN_USERS_MAX);
            return -EINVAL;
        }
        int rc = find_user(key, name, &circle->user[circle->user_count], problem);
        if (rc != 0)
            return rc;
        circle->user_count++;
    }
    return 0;
}

int admin_rights_open(struct admin_rights *rights, const struct config *config, char *problem)
{
    memset(rights, 0, sizeof(*rights));
    rights->own = geteuid();
    rights->all_read = config->read_group[0] == '\0' && config->read_users[0] == '\0';
    int rc = find_group("group", config->group, &rights->change, problem);
    if (rc == 0)
        rc = find_users("users", config->users, &rights->change, problem);
    if (rc == 0)
        rc = find_group("read_group", config->read_group, &rights->read, problem);
    if (rc == 0)
        rc = find_users("read_users", config->read_users, &rights->read, problem);
    return rc;
}

bool admin_peer_read(const struct admin_rights *rights, int fd, struct admin_peer *peer)
{
    struct ucred credentials;
    socklen_t size = sizeof(credentials);
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0)
        return false;
    peer->uid = credentials.uid;
    peer->gid = credentials.gid;
    peer->group_count = 0;
    size = sizeof(peer->group);
    if ((rights->change.has_group || rights->read.has_group) &&
        getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, peer->group, &size) == 0)
        peer->group_count = (uint32_t)(size / sizeof(peer->group[0]));
    return true;
}

static bool belongs(const struct admin_circle *circle, const struct admin_peer *peer)
{
    for (uint32_t i = 0; i < circle->user_count; i++)
        if (circle->user[i] == peer->uid)
            return true;
    if (!circle->has_group)
        return false;
    if (circle->group == peer->gid)
        return true;
    for (uint32_t i = 0; i < peer->group_count; i++)
        if (circle->group == peer->group[i])
            return true;
    return false;
}

enum admin_right admin_right_of(const struct admin_rights *rights, const struct admin_peer *peer)
{
    if (peer->uid == 0 || peer->uid == rights->own)
        return ADMIN_RIGHT_OWNER;
    if (belongs(&rights->change, peer))
        return ADMIN_RIGHT_CHANGE;
    if (rights->all_read || belongs(&rights->read, peer))
        return ADMIN_RIGHT_READ;
    return ADMIN_RIGHT_NONE;
}
