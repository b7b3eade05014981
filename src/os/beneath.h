#ifndef STOQ_OS_BENEATH_H
#define STOQ_OS_BENEATH_H
/*
 * Opening things below a directory and nowhere else: no path leaves it through `..`, an absolute name
 * or a symbolic link, whatever others do to the tree meanwhile.
 */
#include "base/bytes.h"

#include <fcntl.h>

#define STOQ_BENEATH_PATH_MAX 4096
#define STOQ_BENEATH_NAME_MAX 255

/*
 * openat(root, path, flags | O_CLOEXEC, mode) with every component below root and none a symbolic
 * link: openat2 with RESOLVE_BENEATH and RESOLVE_NO_SYMLINKS, component by component where the kernel
 * or a sandbox has no openat2. The descriptor, or -1 with errno (ELOOP: a link is in the way; EXDEV:
 * the path would leave).
 */
int stoq_beneath_open(int root, const char *path, int flags, mode_t mode);

/* A directory with the parent last asked for kept open: neighbours cost no path walk. */
struct stoq_beneath {
    int root; /* borrowed */
    int dir;  /* the parent kept open, or -1 */
    size_t dir_bytes;
    uint8_t dir_path[STOQ_BENEATH_PATH_MAX];
};

void stoq_beneath_init(struct stoq_beneath *b, int root);
void stoq_beneath_release(struct stoq_beneath *b);

/*
 * The directory that holds the last component of path, which is copied to name.
 *
 * path  components joined by single slashes, relative; no NUL
 *
 * The descriptor, borrowed until the next call; or -1 with errno: EINVAL for a component that is
 * empty, `.` or `..`, ENAMETOOLONG, or stoq_beneath_open's. name is never more than one component.
 */
int stoq_beneath_parent(struct stoq_beneath *b, struct stoq_span path,
                        char name[STOQ_BENEATH_NAME_MAX + 1]);

#endif
