#include "os/beneath.h"

#include <errno.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static bool is_plain_component(const char *name, size_t n)
{
    bool dots = (n == 1 && name[0] == '.') || (n == 2 && name[0] == '.' && name[1] == '.');
    return n > 0 && !dots;
}

/* One component at a time, each directory opened without following a link. */
static int open_by_steps(int root, const char *path, int flags, mode_t mode)
{
    int dir = root;
    int fd = -1;
    for (;;) {
        size_t n = strcspn(path, "/");
        char name[STOQ_BENEATH_NAME_MAX + 1];
        if (n > STOQ_BENEATH_NAME_MAX || !is_plain_component(path, n)) {
            errno = n > STOQ_BENEATH_NAME_MAX ? ENAMETOOLONG : EXDEV;
            break;
        }
        memcpy(name, path, n);
        name[n] = 0;
        if (path[n] == 0) {
            fd = openat(dir, name, flags | O_NOFOLLOW | O_CLOEXEC, mode);
            break;
        }
        int next = openat(dir, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (next < 0) {
            break;
        }
        if (dir != root) {
            (void)close(dir);
        }
        dir = next;
        path += n + 1;
    }
    int failed = errno;
    if (dir != root) {
        (void)close(dir);
    }
    errno = failed;
    return fd;
}

int stoq_beneath_open(int root, const char *path, int flags, mode_t mode)
{
    struct open_how how = {
        .flags = (uint64_t)(unsigned)(flags | O_CLOEXEC),
        .mode = mode,
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
    };
    for (;;) {
        long fd = syscall(SYS_openat2, root, path, &how, sizeof how);
        if (fd >= 0) {
            return (int)fd;
        }
        if (errno == ENOSYS || errno == EPERM) {
            return open_by_steps(root, path, flags, mode);
        }
        /* EAGAIN: something was renamed during the walk, so BENEATH could not be told. */
        if (errno != EINTR && errno != EAGAIN) {
            return -1;
        }
    }
}

void stoq_beneath_init(struct stoq_beneath *b, int root)
{
    b->root = root;
    b->dir = -1;
    b->dir_bytes = 0;
}

void stoq_beneath_release(struct stoq_beneath *b)
{
    if (b->dir >= 0) {
        (void)close(b->dir);
        b->dir = -1;
    }
}

/* No component of the path is empty, `.` or `..`. */
static bool is_plain_path(const char *path)
{
    for (;;) {
        size_t n = strcspn(path, "/");
        if (!is_plain_component(path, n)) {
            return false;
        }
        if (path[n] == 0) {
            return true;
        }
        path += n + 1;
    }
}

/* Make the directory of n bytes of path the one kept open. */
static int move_to(struct stoq_beneath *b, const uint8_t *path, size_t n)
{
    if (b->dir >= 0 && b->dir_bytes == n && memcmp(b->dir_path, path, n) == 0) {
        return b->dir;
    }
    char text[STOQ_BENEATH_PATH_MAX];
    if (n >= sizeof text) {
        errno = ENAMETOOLONG;
        return -1;
    }
    memcpy(text, path, n);
    text[n] = 0;
    if (!is_plain_path(text)) {
        errno = EINVAL;
        return -1;
    }
    int fd = stoq_beneath_open(b->root, text, O_PATH | O_DIRECTORY, 0);
    if (fd < 0) {
        return -1;
    }
    stoq_beneath_release(b);
    b->dir = fd;
    b->dir_bytes = n;
    memcpy(b->dir_path, path, n);
    return fd;
}

int stoq_beneath_parent(struct stoq_beneath *b, struct stoq_span path,
                        char name[STOQ_BENEATH_NAME_MAX + 1])
{
    const uint8_t *slash = path.n > 0 ? memrchr(path.p, '/', path.n) : NULL;
    size_t above = slash != NULL ? (size_t)(slash - path.p) : 0;
    size_t start = slash != NULL ? above + 1 : 0;
    size_t n = path.n - start;
    if (n > STOQ_BENEATH_NAME_MAX) {
        errno = ENAMETOOLONG;
        return -1;
    }
    if (n > 0) {
        memcpy(name, path.p + start, n);
    }
    name[n] = 0;
    if (!is_plain_component(name, n)) {
        errno = EINVAL;
        return -1;
    }
    return slash == NULL ? b->root : move_to(b, path.p, above);
}
