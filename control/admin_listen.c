#include "control/admin_listen.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* A socket that a dead daemon left answers nobody; before a living one there may be a crowd. */
static bool answers(const struct sockaddr_un *address)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    bool alive = fd >= 0 && (connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0 ||
                             errno == EAGAIN);
    if (fd >= 0)
        close(fd);
    return alive;
}

int admin_listen(const char *path, const struct admin_rights *rights, char *problem)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct stat st;
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd >= 0 && lstat(path, &st) == 0) {
        if (!S_ISSOCK(st.st_mode) || answers(&address)) {
            snprintf(problem, CONFIG_PROBLEM_SIZE, "[admin] socket %s: %s", path,
                     S_ISSOCK(st.st_mode)
                         ? "another keeld answers there: give each its own"
                         : "something that is no socket stands there: name another");
            close(fd);
            return -EEXIST;
        }
        unlink(path);
    }
    mode_t mask = umask(0117); /* 0660 from the first moment */
    int rc =
        fd < 0 || bind(fd, (const struct sockaddr *)&address, sizeof(address)) != 0 ? -errno : 0;
    umask(mask);
    if (rc == 0 && rights->change.has_group && chown(path, (uid_t)-1, rights->change.group) != 0)
        rc = -errno;
    if (rc == 0 && (chmod(path, 0666) != 0 || listen(fd, ADMIN_LISTEN_BACKLOG) != 0))
        rc = -errno;
    if (rc != 0)
        snprintf(problem, CONFIG_PROBLEM_SIZE,
                 "[admin] socket %s: %s: make its directory, owned by "
                 "the daemon's user",
                 path, strerror(-rc));
    if (rc != 0 && fd >= 0)
        close(fd);
    return rc != 0 ? rc : fd;
}
