#ifndef STOQ_STORE_USAGE_H
#define STOQ_STORE_USAGE_H
/* How much of each segment is live, as the index says: a collection's plan. */
#include "store/store_internal.h"

struct stoq_segment_use {
    uint32_t number;
    bool is_victim;
    uint64_t file_bytes;
    uint64_t live_bytes;  /* of records that the index means, whole */
    uint64_t going_bytes; /* of these: about to be deleted */
    uint64_t tomb_bytes;  /* of these: tombstones that can be dropped */
    uint64_t changed_at;  /* mtime, seconds since 1970 */
};

struct stoq_usage {
    struct stoq_segment_use *segment; /* by number, ascending */
    size_t count;
};

/* The segments and their sizes. release in any case. STOQ_OK, STOQ_IO, STOQ_NOMEM. */
STOQ_WARN_UNUSED enum stoq_status stoq_usage_list(struct stoq_usage *u, const struct stoq_store *s,
                                                  struct stoq_error *err);
void stoq_usage_release(struct stoq_usage *u);
/* NULL: it came later. */
struct stoq_segment_use *stoq_usage_find(const struct stoq_usage *u, uint32_t number);
/* Count the live bytes: a pass over the index. */
STOQ_WARN_UNUSED enum stoq_status stoq_usage_count(struct stoq_usage *u, struct stoq_store *s,
                                                   struct stoq_error *err);

/* Bytes of the file that a rewriting would not copy. */
uint64_t stoq_segment_dead(const struct stoq_segment_use *u);

static inline uint64_t stoq_entry_bytes(const struct stoq_entry *e)
{
    return stoq_record_bytes(e->key_len, e->info.stored_len);
}

/* Entries of an index in pages, of all types in turn, or of some. */
#define STOQ_WALK_PAGE 256
struct stoq_walk {
    struct stoq_index *ix;
    struct stoq_entry *page; /* one at a time from here */
    size_t n;
    size_t at;
    uint8_t type;      /* the next page's */
    uint8_t type_last; /* inclusive */
    struct stoq_entry last;
};
STOQ_WARN_UNUSED enum stoq_status stoq_walk_init(struct stoq_walk *w, struct stoq_index *ix,
                                                 uint8_t type_first, uint8_t type_last,
                                                 struct stoq_error *err);
void stoq_walk_release(struct stoq_walk *w);
/* STOQ_OK and the next one, borrowed until the next call; NULL: the end. */
STOQ_WARN_UNUSED enum stoq_status stoq_walk_next(struct stoq_walk *w, const struct stoq_entry **out,
                                                 struct stoq_error *err);

#endif
