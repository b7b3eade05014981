#ifndef STOQ_STORE_GC_H
#define STOQ_STORE_GC_H
/*
 * Collection: records that nothing refers to are deleted, and segments with much that is dead are
 * rewritten without it. The caller says what is live; the store knows records, not packages.
 *
 * It runs beside puts and reads of any thread and holds up none of them. What an addition asks for or
 * puts while it lasts is never deleted, though nothing refers to it yet: see stoq_store_add_begin.
 */
#include "store/store.h"

struct stoq_mark;

/*
 * Somebody begins to add content: from here on the store remembers which records he asked for
 * (stoq_store_has, stoq_store_has_many, stoq_store_put), until stoq_store_add_end. By then what refers
 * to them must be in the store. Cheap; any number at once.
 */
unsigned stoq_store_add_begin(struct stoq_store *s);
void stoq_store_add_end(struct stoq_store *s, unsigned number);

/* Zero means the default in brackets. All borrowed for the call. */
struct stoq_gc_ask {
    bool dry_run;              /* change nothing, report the same */
    uint64_t rate_bytes_per_s; /* read and written, at most [no limit] */
    uint64_t grace_seconds;    /* what nobody refers to is left while its segment is younger [0] */
    unsigned dead_percent_min; /* segments with this much dead are rewritten [20] */
    /*
     * Call stoq_mark_add for the key of every chunk, chunk list and shard list that is referred to. Called
     * once or more; each time for all of them. Its failure ends the collection; nothing is deleted
     * then. NULL: nothing is deleted, only rewritten.
     */
    enum stoq_status (*mark)(void *user, struct stoq_mark *m, struct stoq_error *err);
    /* Of a manifest, signature or alias record: must it stay? Not asked when mark is NULL. */
    bool (*keeps)(void *user, enum stoq_record_type type, struct stoq_span key);
    bool (*cancelled)(void *user); /* true: stop soon; NULL: never */
    void *user;
};

struct stoq_gc_report {
    uint64_t records;        /* deleted: nothing referred to them */
    uint64_t record_bytes;   /* of their payloads, as stored */
    uint64_t manifests;      /* of them */
    uint64_t tombstones;     /* dropped: no segment holds anything they delete */
    uint64_t lost;           /* records in rewritten segments that could not be read */
    uint64_t segments;       /* removed */
    uint64_t bytes_copied;   /* out of these, into new ones */
    uint64_t bytes_freed;    /* bytes of the removed segments, less those copied */
    uint64_t seconds_waited; /* for the rate */
};

/*
 * Collect.
 *
 * STOQ_OK         report tells
 * STOQ_BUSY       another collection is running
 * STOQ_CANCELLED  asked to stop; what was done is done
 * STOQ_FULL       no room for a segment's copy; nothing is lost
 * STOQ_IO, STOQ_NOMEM, and what mark returned
 * Memory: some 40 MiB while it runs. Cost: a pass over the index, one over what mark reads for every 3
 * million
 * records, and the bytes of the segments that are rewritten, twice.
 */
STOQ_WARN_UNUSED enum stoq_status stoq_store_gc(struct stoq_store *s, const struct stoq_gc_ask *ask,
                                                struct stoq_gc_report *report,
                                                struct stoq_error *err);

/* This record is referred to. key has 32 bytes. */
void stoq_mark_add(struct stoq_mark *m, struct stoq_span key);
/* Is the record here, and in a segment younger than the grace? */
bool stoq_mark_is_young(struct stoq_mark *m, enum stoq_record_type type, struct stoq_span key);

#endif
