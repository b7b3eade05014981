#include "store/durable.h"

#include "os/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* O_DIRECT wants offsets, lengths and memory aligned to the device's blocks; 4096 suits all. */
#define DIRECT_ALIGN ((uint64_t)4096)
#define READBACK_BYTES (256 * STOQ_KIB)

int stoq_durable_segment_write(const struct stoq_durable_fault *fault, int fd, struct stoq_span s,
                               uint64_t offset)
{
    int e = stoq_durable_ask(fault, STOQ_DURABLE_SEGMENT_WRITE);
    if (e != 0) {
        (void)!stoq_file_pwrite_all(fd, stoq_span(s.p, s.n / 2), offset);
        return e;
    }
    if (stoq_file_pwrite_all(fd, s, offset) != STOQ_OK) {
        return errno;
    }
    /* Let the disk begin now: the fdatasync that follows then waits for little. */
    (void)sync_file_range(fd, (off_t)offset, (off_t)s.n, SYNC_FILE_RANGE_WRITE);
    return 0;
}

int stoq_durable_segment_fdatasync(const struct stoq_durable_fault *fault, int fd)
{
    int e = stoq_durable_ask(fault, STOQ_DURABLE_SEGMENT_FDATASYNC);
    if (e != 0) {
        return e;
    }
#ifndef STOQ_LEFT_OUT_segment_fdatasync
    return fdatasync(fd) == 0 ? 0 : errno;
#else
    (void)fd;
    return 0;
#endif
}

int stoq_durable_segment_dirsync(const struct stoq_durable_fault *fault, int dir_fd)
{
    int e = stoq_durable_ask(fault, STOQ_DURABLE_SEGMENT_DIRSYNC);
    if (e != 0) {
        return e;
    }
#ifndef STOQ_LEFT_OUT_segment_dirsync
    return fsync(dir_fd) == 0 ? 0 : errno;
#else
    (void)dir_fd;
    return 0;
#endif
}

int stoq_durable_recovery_fdatasync(int fd)
{
#ifndef STOQ_LEFT_OUT_recovery_fdatasync
    return fdatasync(fd) == 0 ? 0 : errno;
#else
    (void)fd;
    return 0;
#endif
}

int stoq_durable_truncate(int fd, uint64_t bytes)
{
    if (ftruncate(fd, (off_t)bytes) != 0) {
        return errno;
    }
#ifndef STOQ_LEFT_OUT_truncate_fdatasync
    return fdatasync(fd) == 0 ? 0 : errno;
#else
    return 0;
#endif
}

int stoq_durable_rebuild_dirsync(int dir_fd)
{
#ifndef STOQ_LEFT_OUT_rebuild_dirsync
    return fsync(dir_fd) == 0 ? 0 : errno;
#else
    (void)dir_fd;
    return 0;
#endif
}

int stoq_durable_create_dirsync(int dir_fd)
{
#ifndef STOQ_LEFT_OUT_create_dirsync
    return fsync(dir_fd) == 0 ? 0 : errno;
#else
    (void)dir_fd;
    return 0;
#endif
}

int stoq_durable_compact_fdatasync(int fd)
{
#ifndef STOQ_LEFT_OUT_compact_fdatasync
    return fdatasync(fd) == 0 ? 0 : errno;
#else
    (void)fd;
    return 0;
#endif
}

int stoq_durable_compact_dirsync(int dir_fd)
{
#ifndef STOQ_LEFT_OUT_compact_dirsync
    return fsync(dir_fd) == 0 ? 0 : errno;
#else
    (void)dir_fd;
    return 0;
#endif
}

int stoq_durable_unlink_dirsync(int dir_fd)
{
#ifndef STOQ_LEFT_OUT_unlink_dirsync
    return fsync(dir_fd) == 0 ? 0 : errno;
#else
    (void)dir_fd;
    return 0;
#endif
}

int stoq_durable_roll_sync(int fd, int dir_fd)
{
#ifndef STOQ_LEFT_OUT_roll_sync
    return fdatasync(fd) == 0 && fsync(dir_fd) == 0 ? 0 : errno;
#else
    (void)fd;
    (void)dir_fd;
    return 0;
#endif
}

#ifndef STOQ_LEFT_OUT_rewrite_readback
static int compare(int fd, uint8_t *buf, struct stoq_span s, uint64_t offset)
{
    uint64_t at = offset & ~(DIRECT_ALIGN - 1);
    while (at < offset + s.n) {
        uint64_t lo = at < offset ? offset : at;
        uint64_t end = offset + s.n;
        uint64_t hi = at + READBACK_BYTES < end ? at + READBACK_BYTES : end;
        size_t got;
        if (stoq_file_pread_min(fd, buf, hi - at, READBACK_BYTES, at, &got) != STOQ_OK) {
            return errno;
        }
        if (got < hi - at || memcmp(buf + (lo - at), s.p + (lo - offset), hi - lo) != 0) {
            return EIO;
        }
        at += READBACK_BYTES;
    }
    return 0;
}
#endif

int stoq_durable_readback(const struct stoq_durable_fault *fault, const char *path,
                          struct stoq_span s, uint64_t offset)
{
    int e = stoq_durable_ask(fault, STOQ_DURABLE_REWRITE_READBACK);
    if (e != 0) {
        return e;
    }
#ifndef STOQ_LEFT_OUT_rewrite_readback
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_DIRECT);
    if (fd < 0 && errno == EINVAL) {
        fd = open(path, O_RDONLY | O_CLOEXEC); /* a file system without O_DIRECT */
    }
    if (fd < 0) {
        return errno;
    }
    void *buf = NULL;
    e = posix_memalign(&buf, DIRECT_ALIGN, READBACK_BYTES);
    if (e == 0) {
        e = compare(fd, buf, s, offset);
        free(buf);
    }
    (void)close(fd);
    return e;
#else
    (void)path;
    (void)s;
    (void)offset;
    return 0;
#endif
}
