#ifndef STOQ_OS_TREE_WRITE_H
#define STOQ_OS_TREE_WRITE_H
/*
 * Writing a tree that comes from outside: under a temporary name beside its destination, below it and
 * nowhere else, made visible by one rename when all of it is on disk.
 */
#include "base/bytes.h"

/* One thread at a time. */
struct stoq_tree_writer;

/*
 * Begin a tree that shall become the directory `out`, and make its temporary sibling
 * (`.NAME.stoq-XXXXXXXX`).
 *
 * STOQ_OK        *out_writer is the caller's, to be freed
 * STOQ_EXISTS    something of that name is there (a dangling link counts)
 * STOQ_NOTFOUND  the directory it should be in is missing
 * STOQ_RANGE     no name that a directory can have
 * STOQ_FULL, STOQ_IO, STOQ_NOMEM
 */
STOQ_WARN_UNUSED enum stoq_status stoq_tree_writer_new(struct stoq_tree_writer **out_writer,
                                                       const char *out, struct stoq_error *err);
/* Without a commit, the temporary tree is removed. NULL is fine. */
void stoq_tree_writer_free(struct stoq_tree_writer *w);

/*
 * Add to the tree. Paths are relative, components joined by single slashes; the parent must have been
 * added. Modes are 0755, and 0644 for a file that is not executable, whatever the umask.
 *
 * STOQ_OK
 * STOQ_MALFORMED  the path leaves the tree, a link is in its way, or there is one already (on a file
 *                 system that takes two names for one)
 * STOQ_FULL, STOQ_IO: the sentence names the path
 */
STOQ_WARN_UNUSED enum stoq_status stoq_tree_writer_directory(struct stoq_tree_writer *w,
                                                             struct stoq_span path,
                                                             struct stoq_error *err);
STOQ_WARN_UNUSED enum stoq_status stoq_tree_writer_link(struct stoq_tree_writer *w,
                                                        struct stoq_span path,
                                                        struct stoq_span target,
                                                        struct stoq_error *err);
/* *fd is an empty file open for writing, the caller's to close. */
STOQ_WARN_UNUSED enum stoq_status stoq_tree_writer_file(struct stoq_tree_writer *w,
                                                        struct stoq_span path, bool executable,
                                                        int *fd, struct stoq_error *err);

/*
 * Rename the tree to its destination, which must still be free. durable: bring everything to the disk before
 * and the name after it; else the kernel does that in its time, and a power cut may leave any part of it.
 * STOQ_OK: it is there; STOQ_EXISTS; STOQ_FULL; STOQ_IO. Only free may follow.
 */
STOQ_WARN_UNUSED enum stoq_status stoq_tree_writer_commit(struct stoq_tree_writer *w, bool durable,
                                                          struct stoq_error *err);

#endif
