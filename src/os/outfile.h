#ifndef STOQ_OS_OUTFILE_H
#define STOQ_OS_OUTFILE_H
/*
 * One new file written piece by piece: under a temporary name beside its destination, made visible by
 * one rename when all of it is on disk, so that a name never stands for bytes that were not checked.
 */
#include "base/bytes.h"

/* One thread at a time. */
struct stoq_outfile;

/*
 * Begin a file that shall be called path; its mode is 0666 less the umask.
 *
 * STOQ_OK        *out is the caller's, to be freed
 * STOQ_EXISTS    something of that name is there (OutputExists; a dangling link counts)
 * STOQ_NOTFOUND  the directory it should be in is missing
 * STOQ_RANGE     no name that a file can have
 * STOQ_FULL, STOQ_IO, STOQ_NOMEM
 */
STOQ_WARN_UNUSED enum stoq_status stoq_outfile_new(struct stoq_outfile **out, const char *path,
                                                   struct stoq_error *err);
/* Before its first byte: its owner alone may read it (0600). STOQ_OK, STOQ_IO. */
STOQ_WARN_UNUSED enum stoq_status stoq_outfile_make_private(struct stoq_outfile *f,
                                                            struct stoq_error *err);
/* Without a commit, what was written is removed. NULL is fine. */
void stoq_outfile_free(struct stoq_outfile *f);

/* Append. STOQ_OK; STOQ_FULL, STOQ_IO: only free may follow. */
STOQ_WARN_UNUSED enum stoq_status stoq_outfile_write(struct stoq_outfile *f, struct stoq_span s,
                                                     struct stoq_error *err);

/* fsync, rename to the destination, which must still be free, fsync of the directory. STOQ_OK: it is
 * there, durably; STOQ_EXISTS; STOQ_FULL; STOQ_IO. Only free may follow. */
STOQ_WARN_UNUSED enum stoq_status stoq_outfile_commit(struct stoq_outfile *f,
                                                      struct stoq_error *err);

#endif
