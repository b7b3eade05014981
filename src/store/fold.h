#ifndef STOQ_STORE_FOLD_H
#define STOQ_STORE_FOLD_H
/* Reading segments into an index: what recover.c (the tail) and rebuild.c (everything) share. */
#include "store/store_internal.h"

struct stoq_fold {
    struct stoq_store *s;
    struct stoq_index *index;
    bool tail; /* see fold.c */
    struct stoq_entry *entries;
    const struct stoq_entry **batch;
    size_t n;
    struct stoq_index_mark mark;
    bool append_after; /* the last segment is sound and can be appended to */
    struct stoq_store_rebuild_report report;
};

STOQ_WARN_UNUSED enum stoq_status stoq_fold_init(struct stoq_fold *f, struct stoq_store *s,
                                                 struct stoq_index *index, bool tail,
                                                 struct stoq_error *err);
void stoq_fold_release(struct stoq_fold *f); /* a zeroed one is fine */

/* Fold all of these segments (ascending numbers) from a place on and commit; f->mark is behind the
 * last record then. A torn end of the last one is cut. STOQ_VERSION, STOQ_IO, STOQ_FULL. */
STOQ_WARN_UNUSED enum stoq_status stoq_fold_all(struct stoq_fold *f, const uint32_t *number,
                                                size_t count, struct stoq_index_mark from,
                                                struct stoq_error *err);

#endif
