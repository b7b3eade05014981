#ifndef STOQ_OS_UNIX_H
#define STOQ_OS_UNIX_H
/*
 * Unix sockets: an address holds 107 bytes of path, homes may be deeper; the control socket must answer
 * its own user only.
 */
#include "base/bytes.h"

#include <sys/types.h>

#define STOQ_UNIX_PATH_CAP 108

/*
 * A path that fits an address: path itself, or where it is too long, the same file seen through
 * /proc/self/fd of its directory, for as long as *dir_fd (then not -1) is open; the caller closes it.
 * STOQ_OK; STOQ_NOTFOUND: the directory is missing; STOQ_IO; STOQ_RANGE: the name alone is too long.
 */
STOQ_WARN_UNUSED enum stoq_status stoq_unix_path(const char *path, char out[STOQ_UNIX_PATH_CAP],
                                                 int *dir_fd, struct stoq_error *err);

/*
 * Listen on path with mode 0600 from the first moment. A socket file that nobody serves any more is
 * replaced. STOQ_OK: *fd_out is the caller's; STOQ_BUSY: somebody answers there; STOQ_IO.
 */
STOQ_WARN_UNUSED enum stoq_status stoq_unix_listen(const char *path, int *fd_out,
                                                   struct stoq_error *err);

/* Connect to path. STOQ_OK: *fd_out is the caller's; STOQ_NOTFOUND: nobody answers there; STOQ_IO;
 * STOQ_RANGE: the name is too long. */
STOQ_WARN_UNUSED enum stoq_status stoq_unix_connect(const char *path, int *fd_out,
                                                    struct stoq_error *err);

/* True when something accepts connections at path. */
bool stoq_unix_answers(const char *path);

/* The user at the other end of a connected socket. False when the kernel does not tell. */
bool stoq_unix_peer_uid(int fd, uid_t *out);

#endif
