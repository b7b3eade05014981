#include "os/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum stoq_status stoq_file_status(int sys_errno)
{
    switch (sys_errno) {
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
        return STOQ_FULL;
    case ENOENT:
        return STOQ_NOTFOUND;
    case EEXIST:
        return STOQ_EXISTS;
    case ENOMEM:
        return STOQ_NOMEM;
    default:
        return STOQ_IO;
    }
}

/* A write fails with "full" or "io"; the other meanings are for calls that name a path. */
static enum stoq_status write_status(int sys_errno)
{
    return stoq_file_status(sys_errno) == STOQ_FULL ? STOQ_FULL : STOQ_IO;
}

enum stoq_status stoq_file_write_all(int fd, struct stoq_span s)
{
    while (s.n > 0) {
        ssize_t n = write(fd, s.p, s.n);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return write_status(errno);
        }
        s = stoq_span(s.p + n, s.n - (size_t)n);
    }
    return STOQ_OK;
}

enum stoq_status stoq_file_pwrite_all(int fd, struct stoq_span s, uint64_t offset)
{
    while (s.n > 0) {
        ssize_t n = pwrite(fd, s.p, s.n, (off_t)offset);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return write_status(errno);
        }
        s = stoq_span(s.p + n, s.n - (size_t)n);
        offset += (uint64_t)n;
    }
    return STOQ_OK;
}

enum stoq_status stoq_file_pread_some(int fd, void *p, size_t n, uint64_t offset, size_t *got)
{
    return stoq_file_pread_min(fd, p, n, n, offset, got);
}

enum stoq_status stoq_file_pread_min(int fd, void *p, size_t need, size_t n, uint64_t offset,
                                     size_t *got)
{
    *got = 0;
    while (*got < need) {
        ssize_t r = pread(fd, (uint8_t *)p + *got, n - *got, (off_t)(offset + *got));
        if (r < 0 && errno == EINTR) {
            continue;
        }
        if (r < 0) {
            return STOQ_IO;
        }
        if (r == 0) {
            break;
        }
        *got += (size_t)r;
    }
    return STOQ_OK;
}

enum stoq_status stoq_file_pread_all(int fd, void *p, size_t n, uint64_t offset)
{
    size_t got;
    enum stoq_status st = stoq_file_pread_some(fd, p, n, offset, &got);
    if (st == STOQ_OK && got < n) {
        return STOQ_TRUNC;
    }
    return st;
}

/* Up to room bytes from fd onto the end of out, until the file ends. */
static enum stoq_status read_on(int fd, size_t room, struct stoq_buf *out, struct stoq_error *err,
                                const char *path)
{
    while (room > 0) {
        size_t want = room < 65536 ? room : 65536;
        enum stoq_status st = stoq_buf_reserve(out, want);
        if (st != STOQ_OK) {
            return stoq_fail(err, st, 0, "read %s", path);
        }
        ssize_t n = read(fd, out->p + out->n, want);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return stoq_fail(err, STOQ_IO, errno, "read %s", path);
        }
        if (n == 0) {
            break;
        }
        out->n += (size_t)n;
        room -= (size_t)n;
    }
    return STOQ_OK;
}

enum stoq_status stoq_file_read(const char *path, size_t max, struct stoq_buf *out,
                                struct stoq_error *err)
{
    stoq_buf_clear(out);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK); /* a pipe's would wait */
    if (fd < 0) {
        int e = errno;
        return stoq_fail(err, e == ENOENT ? STOQ_NOTFOUND : STOQ_IO, e, "open %s", path);
    }
    (void)fcntl(fd, F_SETFL, 0);
    enum stoq_status st = read_on(fd, max, out, err, path);
    struct stat info;
    if (st == STOQ_OK && out->n == 0 && fstat(fd, &info) == 0 && S_ISFIFO(info.st_mode)) {
        st = stoq_fail(err, STOQ_IO, 0, "%s is a pipe to which nobody writes", path);
    }
    uint8_t more;
    if (st == STOQ_OK && out->n == max && read(fd, &more, 1) == 1) {
        st = stoq_fail(err, STOQ_FULL, 0, "%s is longer than %zu bytes", path, max);
    }
    (void)close(fd);
    return st;
}

enum stoq_status stoq_file_join(char *out, size_t cap, const char *dir, const char *name)
{
    int n = snprintf(out, cap, "%s/%s", dir, name);
    return n < 0 || (size_t)n >= cap ? STOQ_RANGE : STOQ_OK;
}

enum stoq_status stoq_file_nameless(const char *dir, int *fd, struct stoq_error *err)
{
    *fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    char path[4096];
    bool is_odd = *fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR || errno == EINVAL);
    if (is_odd && stoq_file_join(path, sizeof path, dir, ".stoq-XXXXXX") == STOQ_OK) {
        *fd = mkostemp(path, O_CLOEXEC); /* a file system without nameless files */
        if (*fd >= 0) {
            (void)unlink(path);
        }
    }
    return *fd >= 0 ? STOQ_OK
                    : stoq_fail(err, stoq_file_status(errno), errno, "make a file in %s", dir);
}

enum stoq_status stoq_file_sync_dir(const char *dir, struct stoq_error *err)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return stoq_fail(err, STOQ_IO, errno, "open directory %s", dir);
    }
    enum stoq_status st = STOQ_OK;
    if (fsync(fd) != 0) {
        st = stoq_fail(err, STOQ_IO, errno, "sync directory %s", dir);
    }
    (void)close(fd);
    return st;
}

enum stoq_status stoq_file_sync_parent(const char *path, struct stoq_error *err)
{
    const char *slash = strrchr(path, '/');
    if (slash == NULL) {
        return stoq_file_sync_dir(".", err);
    }
    if (slash == path) {
        return stoq_file_sync_dir("/", err);
    }
    char *dir = strndup(path, (size_t)(slash - path));
    if (dir == NULL) {
        return stoq_fail(err, STOQ_NOMEM, 0, "sync the directory of %s", path);
    }
    enum stoq_status st = stoq_file_sync_dir(dir, err);
    free(dir);
    return st;
}

/* Write and fsync a file that must not be there yet. */
static enum stoq_status write_new(const char *path, struct stoq_span content, mode_t mode,
                                  struct stoq_error *err)
{
    if (unlink(path) != 0 && errno != ENOENT) {
        return stoq_fail(err, STOQ_IO, errno, "remove %s", path);
    }
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);
    if (fd < 0) {
        return stoq_fail(err, write_status(errno), errno, "create %s", path);
    }
    enum stoq_status st = STOQ_OK;
    if (fchmod(fd, mode) != 0) {
        st = stoq_fail(err, STOQ_IO, errno, "set the mode of %s", path);
    }
    if (st == STOQ_OK) {
        st = stoq_file_write_all(fd, content);
        if (st != STOQ_OK) {
            st = stoq_fail(err, st, errno, "write %s", path);
        }
    }
    if (st == STOQ_OK && fsync(fd) != 0) {
        st = stoq_fail(err, write_status(errno), errno, "sync %s", path);
    }
    (void)close(fd);
    return st;
}

enum stoq_status stoq_file_replace(const char *path, struct stoq_span content, mode_t mode,
                                   struct stoq_error *err)
{
    size_t n = strlen(path) + sizeof ".tmp";
    char *tmp = malloc(n);
    if (tmp == NULL) {
        return stoq_fail(err, STOQ_NOMEM, 0, "write %s", path);
    }
    (void)snprintf(tmp, n, "%s.tmp", path);
    enum stoq_status st = write_new(tmp, content, mode, err);
    if (st == STOQ_OK && rename(tmp, path) != 0) {
        st = stoq_fail(err, write_status(errno), errno, "rename %s", tmp);
    }
    if (st == STOQ_OK) {
        st = stoq_file_sync_parent(path, err);
    } else {
        (void)unlink(tmp);
    }
    free(tmp);
    return st;
}

static enum stoq_status make_dir(const char *dir, mode_t mode, struct stoq_error *err)
{
    if (mkdir(dir, mode) == 0) {
        return STOQ_OK;
    }
    int e = errno;
    struct stat sb;
    if (e == EEXIST && stat(dir, &sb) == 0 && S_ISDIR(sb.st_mode)) {
        return STOQ_OK;
    }
    return stoq_fail(err, write_status(e), e == EEXIST ? ENOTDIR : e, "create directory %s", dir);
}

enum stoq_status stoq_file_mkdir_p(const char *dir, mode_t mode, struct stoq_error *err)
{
    struct stat sb;
    if (stat(dir, &sb) == 0 && S_ISDIR(sb.st_mode)) {
        return STOQ_OK; /* the usual case, and parents we may not look into do no harm */
    }
    char *path = strdup(dir);
    if (path == NULL) {
        return stoq_fail(err, STOQ_NOMEM, 0, "create directory %s", dir);
    }
    enum stoq_status st = STOQ_OK;
    for (char *p = path; st == STOQ_OK && *p != '\0'; p++) {
        if (*p != '/' || p == path || p[-1] == '/') {
            continue;
        }
        *p = '\0';
        if (stat(path, &sb) != 0 || !S_ISDIR(sb.st_mode)) {
            st = make_dir(path, mode, err);
        }
        *p = '/';
    }
    if (st == STOQ_OK) {
        st = make_dir(path, mode, err);
    }
    free(path);
    return st;
}

/* The pid that the holder wrote; 0 when there is none to be read. */
static pid_t read_pid(int fd)
{
    char text[24];
    size_t n;
    if (stoq_file_pread_some(fd, text, sizeof text - 1, 0, &n) != STOQ_OK) {
        return 0;
    }
    text[n] = '\0';
    long pid = strtol(text, NULL, 10);
    return pid > 0 ? (pid_t)pid : 0;
}

enum stoq_status stoq_file_lock(const char *path, int *fd_out, pid_t *holder_pid,
                                struct stoq_error *err)
{
    *fd_out = -1;
    *holder_pid = 0;
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        return stoq_fail(err, write_status(errno), errno, "open lock file %s", path);
    }
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        int e = errno;
        *holder_pid = e == EWOULDBLOCK ? read_pid(fd) : 0;
        (void)close(fd);
        if (e != EWOULDBLOCK) {
            return stoq_fail(err, STOQ_IO, e, "lock %s", path);
        }
        return stoq_fail(err, STOQ_BUSY, 0, "%s is held by process %ld", path, (long)*holder_pid);
    }
    char text[24];
    int n = snprintf(text, sizeof text, "%ld\n", (long)getpid());
    /* The pid is a courtesy to whoever is refused: a full disk must not keep us from opening. */
    if (ftruncate(fd, 0) == 0) {
        (void)!pwrite(fd, text, (size_t)n, 0);
    }
    *fd_out = fd;
    return STOQ_OK;
}
