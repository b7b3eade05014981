#ifndef STOQ_APPS_STOQ_CUT_PACKAGE_H
#define STOQ_APPS_STOQ_CUT_PACKAGE_H
/* The chunks of a package: its file table, then its files, in runs. */
#include "chunk/profile.h"

struct package_cut;

/* List what is at path, a file or a directory. STOQ_OK, or as stoq_tree_list and STOQ_RANGE for a name
 * that no package can hold; *out stays NULL then. */
STOQ_WARN_UNUSED enum stoq_status package_cut_open(struct package_cut **out, const char *path,
                                                   const struct stoq_chunk_profile *profile,
                                                   struct stoq_error *err);
void package_cut_close(struct package_cut *p); /* NULL is fine */

/* Length of the next chunk. STOQ_OK; STOQ_NOTFOUND: there are no more (err is not filled); STOQ_IO,
 * STOQ_BUSY (a file changed meanwhile), STOQ_NOMEM, STOQ_RANGE (the package would be too large). */
STOQ_WARN_UNUSED enum stoq_status package_cut_next(struct package_cut *p, size_t *out,
                                                   struct stoq_error *err);

#endif
