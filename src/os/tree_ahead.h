#ifndef STOQ_OS_TREE_AHEAD_H
#define STOQ_OS_TREE_AHEAD_H
/*
 * Reading ahead: a thread that opens, reads, compares and closes the small files of a listing, in order,
 * so that whoever needs their bytes finds them in memory. Large files stay the caller's.
 */
#include "os/tree_read.h"

#define STOQ_AHEAD_FILE_MAX ((uint64_t)(64 * STOQ_KIB)) /* bytes of a small file */

struct stoq_ahead;

/* Start. tree is kept and must outlive it. STOQ_OK; STOQ_NOMEM; STOQ_IO: no thread. */
STOQ_WARN_UNUSED enum stoq_status stoq_ahead_new(struct stoq_ahead **out,
                                                 const struct stoq_tree *tree,
                                                 struct stoq_error *err);
/* Ends the thread. NULL is fine. */
void stoq_ahead_free(struct stoq_ahead *a);

/*
 * The content of file i, a small one. Every small file must be taken, in the listing's order (asserted).
 *
 * out  as many bytes as the listing says; borrowed until the next take or free
 *
 * STOQ_OK, or what stoq_tree_open, stoq_tree_read or stoq_tree_close says of that file; only free may
 * follow then
 */
STOQ_WARN_UNUSED enum stoq_status stoq_ahead_take(struct stoq_ahead *a, size_t i,
                                                  struct stoq_span *out, struct stoq_error *err);

#endif
