#ifndef STOQ_DAEMON_TREE_CUT_H
#define STOQ_DAEMON_TREE_CUT_H
/*
 * The chunks that a publish of a tree would make, one after the other and without a store: the file
 * table, then the files, in runs. Memory is flat.
 */
#include "chunk/profile.h"
#include "os/tree_read.h"

struct stoq_tree_cut;

struct stoq_tree_cut_ask {
    struct stoq_tree *tree; /* kept; not used otherwise until close */
    const struct stoq_chunk_profile *profile;
    /* What cannot be read, or has changed since the listing, counts as zeros or as what is read now;
     * else it is an error. */
    bool is_lenient;
};

/* STOQ_OK, STOQ_NOMEM; STOQ_RANGE: no package can hold one of the names (err has it). */
STOQ_WARN_UNUSED enum stoq_status stoq_tree_cut_open(struct stoq_tree_cut **out,
                                                     const struct stoq_tree_cut_ask *ask,
                                                     struct stoq_error *err);
void stoq_tree_cut_close(struct stoq_tree_cut *p); /* NULL is fine */

/*
 * The next chunk, borrowed until the next call.
 *
 * STOQ_OK
 * STOQ_NOTFOUND  there are no more (err is not filled)
 * STOQ_IO, STOQ_BUSY (a file changed meanwhile), STOQ_NOMEM, STOQ_RANGE (more than 2^48 bytes)
 */
STOQ_WARN_UNUSED enum stoq_status stoq_tree_cut_next(struct stoq_tree_cut *p, struct stoq_span *out,
                                                     struct stoq_error *err);

#endif
