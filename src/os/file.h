#ifndef STOQ_OS_FILE_H
#define STOQ_OS_FILE_H
/*
 * Files: whole reads and writes, durable replacement, directories, the lock that says who writes.
 * Every call blocks; none belongs on a network thread. Any thread. Descriptors are close-on-exec.
 */
#include "base/bytes.h"

#include <sys/types.h>

/* Write all of s, however many system calls it takes (EINTR is retried). STOQ_OK; STOQ_FULL: no
 * space, quota or size limit; STOQ_IO. errno tells; how much was written is unknown on failure. */
STOQ_WARN_UNUSED enum stoq_status stoq_file_write_all(int fd, struct stoq_span s);
STOQ_WARN_UNUSED enum stoq_status stoq_file_pwrite_all(int fd, struct stoq_span s, uint64_t offset);

/* Exactly n bytes at offset. STOQ_OK; STOQ_TRUNC: the file ends before them; STOQ_IO: errno tells.
 * */
STOQ_WARN_UNUSED enum stoq_status stoq_file_pread_all(int fd, void *p, size_t n, uint64_t offset);

/* As much of n as there is at offset; *got tells. STOQ_OK or STOQ_IO. */
STOQ_WARN_UNUSED enum stoq_status stoq_file_pread_some(int fd, void *p, size_t n, uint64_t offset,
                                                       size_t *got);

/* At least need bytes of the n at offset, if the file has them: does not ask again once need is
 * there, so that O_DIRECT reads stay aligned at the file's end. STOQ_OK or STOQ_IO. */
STOQ_WARN_UNUSED enum stoq_status stoq_file_pread_min(int fd, void *p, size_t need, size_t n,
                                                      uint64_t offset, size_t *got);

/* STOQ_FULL for ENOSPC, EDQUOT and EFBIG, STOQ_NOTFOUND for ENOENT, STOQ_EXISTS for EEXIST,
 * STOQ_NOMEM for ENOMEM, else STOQ_IO. */
enum stoq_status stoq_file_status(int sys_errno);

/*
 * Read a small file whole into out (cleared first; its own max holds too).
 *
 * STOQ_OK; STOQ_NOTFOUND: no such file; STOQ_FULL: longer than max bytes; STOQ_NOMEM; STOQ_IO, also of a
 * pipe to which nobody writes
 */
STOQ_WARN_UNUSED enum stoq_status stoq_file_read(const char *path, size_t max, struct stoq_buf *out,
                                                 struct stoq_error *err);

/*
 * Put a file in place so that after a crash either the old or the whole new one is there: write
 * PATH.tmp, fsync, rename, fsync of the directory. mode is the file's, whatever the umask; secrets
 * pass 0600.
 *
 * STOQ_OK; STOQ_FULL; STOQ_IO. On failure the temporary file is gone and the old one stands, unless
 * only the directory's fsync failed.
 */
STOQ_WARN_UNUSED enum stoq_status stoq_file_replace(const char *path, struct stoq_span content,
                                                    mode_t mode, struct stoq_error *err);

/* A file in dir that has no name and is gone with its descriptor. STOQ_OK; STOQ_NOTFOUND: no such
 * directory; STOQ_FULL; STOQ_IO. */
STOQ_WARN_UNUSED enum stoq_status stoq_file_nameless(const char *dir, int *fd,
                                                     struct stoq_error *err);

/* Make a file's entry in its directory durable: fsync of the directory. STOQ_OK or STOQ_IO. */
STOQ_WARN_UNUSED enum stoq_status stoq_file_sync_dir(const char *dir, struct stoq_error *err);
/* The same for the directory that holds path. */
STOQ_WARN_UNUSED enum stoq_status stoq_file_sync_parent(const char *path, struct stoq_error *err);

/* Create dir and the missing ones above it with this mode. STOQ_OK also when it is there already.
 * STOQ_IO, STOQ_FULL. */
STOQ_WARN_UNUSED enum stoq_status stoq_file_mkdir_p(const char *dir, mode_t mode,
                                                    struct stoq_error *err);

/*
 * Take the exclusive lock of a lock file (created with 0600 when missing) and write our pid into
 * it. Held until the descriptor *fd_out is closed or the process ends.
 *
 * STOQ_OK; STOQ_BUSY: *holder_pid is the process that has it, 0 when unknown; STOQ_IO
 */
STOQ_WARN_UNUSED enum stoq_status stoq_file_lock(const char *path, int *fd_out, pid_t *holder_pid,
                                                 struct stoq_error *err);

/* "dir/name" into out; STOQ_RANGE when it does not fit. */
STOQ_WARN_UNUSED enum stoq_status stoq_file_join(char *out, size_t cap, const char *dir,
                                                 const char *name);

#endif
