#ifndef STOQ_OS_TREE_READ_H
#define STOQ_OS_TREE_READ_H
/*
 * Reading a tree: every file, directory and symbolic link below a path, in order of path bytes, and
 * the files' contents with a watch on their changing meanwhile. Links are read, never followed; other
 * file systems mounted inside are part of the tree.
 */
#include "base/bytes.h"
#include "os/beneath.h"

#define STOQ_TREE_PATH_MAX 4096
#define STOQ_TREE_ENTRIES_MAX ((size_t)1 << 24)

enum stoq_tree_kind {
    STOQ_TREE_FILE,
    STOQ_TREE_EXECUTABLE, /* a file whose owner may execute it */
    STOQ_TREE_DIRECTORY,
    STOQ_TREE_LINK,
};

struct stoq_tree_entry {
    struct stoq_span path; /* below the tree's root */
    enum stoq_tree_kind kind;
    uint64_t size;           /* of a file, when it was listed */
    struct stoq_span target; /* of a link */
};

static inline bool stoq_tree_is_file(const struct stoq_tree_entry *e)
{
    return e->kind == STOQ_TREE_FILE || e->kind == STOQ_TREE_EXECUTABLE;
}

/* A listing; one thread at a time. */
struct stoq_tree;

/*
 * List the tree at path: a directory (its own name is not in it), or a regular file, which is one
 * entry under its base name. A symbolic link at path itself is followed.
 *
 * cancelled  asked now and then; NULL: never
 *
 * STOQ_OK         *out is the listing; stoq_tree_free ends it
 * STOQ_NOTFOUND   nothing at path
 * STOQ_RANGE      path is neither a directory nor a regular file; a path longer than
 *                 STOQ_TREE_PATH_MAX or more than STOQ_TREE_ENTRIES_MAX entries below it
 * STOQ_IO         something below is unreadable, or neither file, directory nor link
 * STOQ_BUSY       something went away between listing and looking
 * STOQ_CANCELLED, STOQ_NOMEM
 * The sentence names the path at fault. Memory: 56 bytes and the path per entry. Descriptors: two.
 */
STOQ_WARN_UNUSED enum stoq_status stoq_tree_list(struct stoq_tree **out, const char *path,
                                                 bool (*cancelled)(void *user), void *user,
                                                 struct stoq_error *err);
void stoq_tree_free(struct stoq_tree *tree); /* NULL is fine */

size_t stoq_tree_count(const struct stoq_tree *tree);
/* Entry i, 0 .. count - 1 (asserted); spans live as long as the tree. */
struct stoq_tree_entry stoq_tree_at(const struct stoq_tree *tree, size_t i);

/* What file i was like when it was listed. */
struct stoq_tree_identity {
    uint64_t size;
    int64_t mtime_ns;
    int64_t ctime_ns;
    uint64_t inode;
};
struct stoq_tree_identity stoq_tree_identity_at(const struct stoq_tree *tree, size_t i);
/* Its absolute path, without links in it, into out (cleared). STOQ_OK; STOQ_FULL: longer than
 * STOQ_TREE_PATH_MAX bytes; STOQ_IO, STOQ_NOMEM. Any thread. */
STOQ_WARN_UNUSED enum stoq_status stoq_tree_path(const struct stoq_tree *tree, size_t i,
                                                 struct stoq_buf *out);

/*
 * Open file i for reading. *fd is the caller's, to be given to stoq_tree_close.
 * STOQ_OK; STOQ_IO: unreadable; STOQ_BUSY: gone or no longer a file. The sentence names the path.
 */
STOQ_WARN_UNUSED enum stoq_status stoq_tree_open(struct stoq_tree *tree, size_t i, int *fd,
                                                 struct stoq_error *err);
/* The same from another thread: where is that thread's, set up once by stoq_tree_where and ended by
 * stoq_beneath_release. Reading and closing may be done by any thread. */
void stoq_tree_where(const struct stoq_tree *tree, struct stoq_beneath *where);
STOQ_WARN_UNUSED enum stoq_status stoq_tree_open_with(const struct stoq_tree *tree,
                                                      struct stoq_beneath *where, size_t i, int *fd,
                                                      struct stoq_error *err);
/* Exactly n bytes of file i at offset. STOQ_OK; STOQ_BUSY: the file has become shorter; STOQ_IO. */
STOQ_WARN_UNUSED enum stoq_status stoq_tree_read(const struct stoq_tree *tree, size_t i, int fd,
                                                 void *p, size_t n, uint64_t offset,
                                                 struct stoq_error *err);
/* Close the file and compare size, times and inode with the listing: STOQ_BUSY when it changed. */
STOQ_WARN_UNUSED enum stoq_status stoq_tree_close(const struct stoq_tree *tree, size_t i, int fd,
                                                  struct stoq_error *err);

/*
 * Remove the directory `name` of dir_fd and everything in it, following no link. STOQ_OK; otherwise
 * parts of it may be left.
 */
STOQ_WARN_UNUSED enum stoq_status stoq_tree_remove(int dir_fd, const char *name,
                                                   struct stoq_error *err);

#endif
