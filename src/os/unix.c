#include "os/unix.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { LISTEN_BACKLOG = 64 };

enum stoq_status stoq_unix_path(const char *path, char out[STOQ_UNIX_PATH_CAP], int *dir_fd,
                                struct stoq_error *err)
{
    *dir_fd = -1;
    size_t n = strlen(path);
    if (n < STOQ_UNIX_PATH_CAP) {
        memcpy(out, path, n + 1);
        return STOQ_OK;
    }
    const char *slash = strrchr(path, '/');
    char dir[4096];
    if (slash == NULL || slash == path || (size_t)(slash - path) >= sizeof dir) {
        return stoq_fail(err, STOQ_RANGE, 0, "socket name is too long: %s", path);
    }
    memcpy(dir, path, (size_t)(slash - path));
    dir[slash - path] = '\0';
    int fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return stoq_fail(err, errno == ENOENT ? STOQ_NOTFOUND : STOQ_IO, errno, "%s", dir);
    }
    int w = snprintf(out, STOQ_UNIX_PATH_CAP, "/proc/self/fd/%d%s", fd, slash);
    if (w < 0 || w >= STOQ_UNIX_PATH_CAP) {
        close(fd);
        return stoq_fail(err, STOQ_RANGE, 0, "socket name is too long: %s", path);
    }
    *dir_fd = fd;
    return STOQ_OK;
}

static void address(struct sockaddr_un *to, const char fitting[STOQ_UNIX_PATH_CAP])
{
    memset(to, 0, sizeof *to);
    to->sun_family = AF_UNIX;
    memcpy(to->sun_path, fitting, strlen(fitting) + 1);
}

/* A connected socket, or -1 with errno. */
static int connect_to(const char fitting[STOQ_UNIX_PATH_CAP])
{
    struct sockaddr_un to;
    address(&to, fitting);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (const struct sockaddr *)&to, sizeof to) != 0) {
        int e = errno;
        close(fd);
        errno = e;
        fd = -1;
    }
    return fd;
}

static bool answers(const char fitting[STOQ_UNIX_PATH_CAP])
{
    int fd = connect_to(fitting);
    if (fd >= 0) {
        close(fd);
    }
    return fd >= 0;
}

enum stoq_status stoq_unix_connect(const char *path, int *fd_out, struct stoq_error *err)
{
    char fitting[STOQ_UNIX_PATH_CAP];
    int dir_fd;
    enum stoq_status st = stoq_unix_path(path, fitting, &dir_fd, err);
    if (st != STOQ_OK) {
        return st;
    }
    *fd_out = connect_to(fitting);
    if (*fd_out < 0) {
        bool nobody = errno == ENOENT || errno == ECONNREFUSED;
        st = stoq_fail(err, nobody ? STOQ_NOTFOUND : STOQ_IO, errno, "connect to %s", path);
    }
    if (dir_fd >= 0) {
        close(dir_fd);
    }
    return st;
}

bool stoq_unix_answers(const char *path)
{
    int fd;
    bool ok = stoq_unix_connect(path, &fd, NULL) == STOQ_OK;
    if (ok) {
        close(fd);
    }
    return ok;
}

/* Nobody can connect between bind and chmod: the socket does not listen yet. */
static enum stoq_status bind_private(int fd, const char fitting[STOQ_UNIX_PATH_CAP],
                                     const char *path, struct stoq_error *err)
{
    struct sockaddr_un to;
    address(&to, fitting);
    int rc = bind(fd, (const struct sockaddr *)&to, sizeof to);
    if (rc != 0 && errno == EADDRINUSE) {
        if (answers(fitting)) {
            return stoq_fail(err, STOQ_BUSY, 0, "another process serves %s", path);
        }
        rc = unlink(fitting) == 0 ? bind(fd, (const struct sockaddr *)&to, sizeof to) : -1;
    }
    if (rc != 0) {
        return stoq_fail(err, STOQ_IO, errno, "cannot make the socket %s", path);
    }
    if (chmod(fitting, S_IRUSR | S_IWUSR) != 0 || listen(fd, LISTEN_BACKLOG) != 0) {
        return stoq_fail(err, STOQ_IO, errno, "cannot listen on %s", path);
    }
    return STOQ_OK;
}

enum stoq_status stoq_unix_listen(const char *path, int *fd_out, struct stoq_error *err)
{
    char fitting[STOQ_UNIX_PATH_CAP];
    int dir_fd;
    enum stoq_status st = stoq_unix_path(path, fitting, &dir_fd, err);
    if (st != STOQ_OK) {
        return st;
    }
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        st = stoq_fail(err, STOQ_IO, errno, "socket");
    } else {
        st = bind_private(fd, fitting, path, err);
    }
    if (dir_fd >= 0) {
        close(dir_fd);
    }
    if (st != STOQ_OK) {
        if (fd >= 0) {
            close(fd);
        }
        return st;
    }
    *fd_out = fd;
    return STOQ_OK;
}

bool stoq_unix_peer_uid(int fd, uid_t *out)
{
    struct ucred who;
    socklen_t n = sizeof who;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &n) != 0 || n != sizeof who) {
        return false;
    }
    *out = who.uid;
    return true;
}
