#ifndef STOQ_STORE_GC_INTERNAL_H
#define STOQ_STORE_GC_INTERNAL_H
/* What gc.c (the plan), sweep.c (deletion), tombs.c and compact.c (rewriting) share. */
#include "store/gc.h"
#include "store/mark.h"
#include "store/pace.h"
#include "store/usage.h"

struct stoq_tombs;

struct stoq_gc {
    struct stoq_store *s;
    const struct stoq_gc_ask *ask;
    struct stoq_gc_report *r;
    struct stoq_pace pace;
    struct stoq_usage usage;
    struct stoq_tombs *tombs;
    uint64_t now;          /* seconds since 1970 */
    uint32_t sealed_below; /* what these segments hold was in the index when it was counted */
    bool has_rolled;
    uint32_t out_next; /* numbers for new segments: from here */
    uint32_t out_end;  /* up to here */
};

/* --- gc.c --- */

/* Have the log go on in a new segment, so that all that were there may be rewritten; once. */
STOQ_WARN_UNUSED enum stoq_status stoq_gc_roll(struct stoq_gc *g, struct stoq_error *err);

/* --- sweep.c --- */

/* Delete what nothing refers to, or (dry run) count it: usage's going_bytes, the report. */
STOQ_WARN_UNUSED enum stoq_status stoq_gc_sweep(struct stoq_gc *g, struct stoq_error *err);

/* --- tombs.c: which tombstones still hold something down --- */

/* Look: usage's tomb_bytes. Segments that are victims already count as gone. */
STOQ_WARN_UNUSED enum stoq_status stoq_tombs_look(struct stoq_gc *g, struct stoq_error *err);
void stoq_tombs_free(struct stoq_tombs *t); /* NULL is fine */
/* From here on none may be dropped: a victim stays after all. */
void stoq_tombs_stay(struct stoq_tombs *t);
/* May the tombstone with this key (type and key of what it deletes) be dropped with its segment? */
bool stoq_tombs_may_go(const struct stoq_tombs *t, struct stoq_span key);

/* --- compact.c --- */

/* Rewrite the victims and remove them. */
STOQ_WARN_UNUSED enum stoq_status stoq_gc_compact(struct stoq_gc *g, struct stoq_error *err);

#endif
