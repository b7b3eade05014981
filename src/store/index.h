#ifndef STOQ_STORE_INDEX_H
#define STOQ_STORE_INDEX_H
/*
 * The index: where each live record lies. An LMDB environment, a projection of the segments with a
 * high-water mark; it can be thrown away at any time. Any thread; writes come from one at a time.
 */
#include "store/record.h"

struct stoq_index;

/* A record's place. A tombstone's key is the type and key of what it deletes. */
struct stoq_entry {
    uint8_t type;
    uint8_t key_len;
    bool quarantined;
    uint32_t segment;
    uint32_t offset;
    uint64_t sequence;
    struct stoq_stored info;
    uint8_t key[STOQ_RECORD_ID_MAX];
};

static inline struct stoq_span stoq_entry_key(const struct stoq_entry *e)
{
    return stoq_span(e->key, e->key_len);
}

/* All records before this place are in the index; the next record gets next_sequence at least. */
struct stoq_index_mark {
    uint32_t segment;
    uint64_t offset;
    uint64_t next_sequence;
};

struct stoq_index_meta {
    uint8_t store_id[STOQ_STORE_ID_BYTES];
    struct stoq_index_mark mark;
    struct stoq_store_type_stats type[STOQ_RECORD_TYPES];
};

enum stoq_index_mode {
    STOQ_INDEX_WRITE,
    STOQ_INDEX_READ,  /* beside a writer of another process */
    STOQ_INDEX_BUILD, /* a new one, not yet in place: synced only by stoq_index_sync */
};

/*
 * Open the environment in dir, which exists.
 *
 * STOQ_OK; STOQ_NOTFOUND: there is none or it is empty (STOQ_INDEX_BUILD and _WRITE create it: then
 * *out is set and stoq_index_start must follow); STOQ_MALFORMED: damaged; STOQ_VERSION; STOQ_IO
 */
STOQ_WARN_UNUSED enum stoq_status stoq_index_open(struct stoq_index **out, const char *dir,
                                                  uint64_t map_bytes, enum stoq_index_mode mode,
                                                  struct stoq_error *err);
void stoq_index_close(struct stoq_index *ix); /* NULL is fine */

/* Begin an empty index for a store. */
STOQ_WARN_UNUSED enum stoq_status stoq_index_start(struct stoq_index *ix,
                                                   const uint8_t store_id[STOQ_STORE_ID_BYTES],
                                                   struct stoq_error *err);

STOQ_WARN_UNUSED enum stoq_status stoq_index_meta(struct stoq_index *ix,
                                                  struct stoq_index_meta *out,
                                                  struct stoq_error *err);

/* STOQ_OK (also for a quarantined one: look at out->quarantined), STOQ_NOTFOUND, STOQ_IO. */
STOQ_WARN_UNUSED enum stoq_status stoq_index_get(struct stoq_index *ix, uint8_t type,
                                                 struct stoq_span key, struct stoq_entry *out,
                                                 struct stoq_error *err);

/* Set bit i of out for each of key_count 32-byte keys that is there and not quarantined; bits are
 * only ever set. */
STOQ_WARN_UNUSED enum stoq_status stoq_index_get_many(struct stoq_index *ix, uint8_t type,
                                                      struct stoq_span keys, size_t key_count,
                                                      uint8_t *out, struct stoq_error *err);

/*
 * Up to entry_max entries of a type in key order, after the key *after (NULL or empty: from the
 * first). *count_out 0: no more.
 */
STOQ_WARN_UNUSED enum stoq_status stoq_index_page(struct stoq_index *ix, uint8_t type,
                                                  struct stoq_span after, struct stoq_entry *out,
                                                  size_t entry_max, size_t *count_out,
                                                  struct stoq_error *err);

/* Sort by key, as the index has them. */
void stoq_index_sort(const struct stoq_entry **entries, size_t entry_count);

/*
 * Fold records into the index in one transaction and move its mark (NULL: leave it, more of what lies before
 * it will follow; what is applied again comes out the same). The highest sequence of a key wins, whatever
 * the order; a tombstone removes what is older. Sorts the array.
 *
 * STOQ_OK: committed; STOQ_FULL; STOQ_IO: nothing of it is there
 */
STOQ_WARN_UNUSED enum stoq_status stoq_index_apply(struct stoq_index *ix,
                                                   const struct stoq_entry **entries,
                                                   size_t entry_count,
                                                   const struct stoq_index_mark *mark,
                                                   struct stoq_error *err);

/* A record that compaction has copied, or (drop) will not copy. */
struct stoq_index_move {
    struct stoq_entry e; /* as the index had it: where it was */
    uint32_t segment;    /* where it is now */
    uint32_t offset;
    bool drop;
};

/*
 * Point entries at their copies, or drop them, in one transaction: each only if the index still means that
 * record in that place. Sorts the array. STOQ_OK: committed; STOQ_FULL; STOQ_IO: nothing of it is there.
 */
STOQ_WARN_UNUSED enum stoq_status stoq_index_move(struct stoq_index *ix,
                                                  struct stoq_index_move *moves, size_t count,
                                                  struct stoq_error *err);

/* Everything in segments below this one is in the index: put the mark there, if it is not further. */
STOQ_WARN_UNUSED enum stoq_status stoq_index_advance(struct stoq_index *ix, uint32_t segment,
                                                     uint64_t offset, struct stoq_error *err);

/* Mark a damaged record, if the index still means this one (same sequence). */
STOQ_WARN_UNUSED enum stoq_status stoq_index_quarantine(struct stoq_index *ix,
                                                        const struct stoq_entry *e,
                                                        struct stoq_error *err);

/* The reverse: what is promised again. */
STOQ_WARN_UNUSED enum stoq_status stoq_index_readmit(struct stoq_index *ix,
                                                     const struct stoq_entry *e,
                                                     struct stoq_error *err);

/* Everything to disk: for STOQ_INDEX_BUILD. */
STOQ_WARN_UNUSED enum stoq_status stoq_index_sync(struct stoq_index *ix, struct stoq_error *err);

#endif
