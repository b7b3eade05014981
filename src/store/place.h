#ifndef STOQ_STORE_PLACE_H
#define STOQ_STORE_PLACE_H
/*
 * Chunks that stay where the user's own files are: a record of type 12 (docs/FORMATS.md section 9) says
 * from which files, at which offsets, a chunk's bytes are read. Reading, stoq_store_read of the chunk
 * and its relatives find it like any other, and compare the bytes with the chunk's hash every time
 * before one of them is handed out: a file that changed gives nothing, never something else.
 *
 * A chunk that is stored as well is read from the store.
 */
#include "store/store.h"
#include "wire/cbor.h"

#define STOQ_PLACE_PATH_MAX 4096
/* Of a record's payload; what would take more is stored. */
#define STOQ_PLACES_BYTES_MAX 65536

/* A stretch of a file, and what the file was like when it was read. */
struct stoq_place {
    struct stoq_span path; /* absolute; no NUL */
    uint64_t offset;
    uint32_t bytes; /* at least 1 */
    uint64_t size;
    int64_t mtime_ns;
    int64_t ctime_ns;
    uint64_t inode;
};

/* Why a record of these places is not worth it: it would be longer than a quarter of the chunk, or than
 * it may be. Then the chunk should be stored. */
bool stoq_places_pay(const struct stoq_place *places, size_t count);

/*
 * Say where a chunk is. What was said before of the same chunk is replaced, unless it is the same.
 *
 * key     the chunk's hash; the caller has compared the bytes with it
 * places  one after the other they are the chunk, at most STOQ_CHUNK_BYTES_MAX bytes
 *
 * STOQ_OK; STOQ_RANGE: places that cannot be; what stoq_store_put gives
 */
STOQ_WARN_UNUSED enum stoq_status stoq_store_put_places(struct stoq_store *s, struct stoq_span key,
                                                        const struct stoq_place *places,
                                                        size_t count, bool *is_new,
                                                        struct stoq_error *err);

/* Is the chunk in the store itself, whatever is said of places? */
bool stoq_store_is_stored(struct stoq_store *s, struct stoq_span key);

/* The payload of such a record, appended to out. STOQ_OK; STOQ_RANGE; STOQ_FULL: more than
 * STOQ_PLACES_BYTES_MAX; STOQ_NOMEM. */
STOQ_WARN_UNUSED enum stoq_status stoq_places_encode(const struct stoq_place *places, size_t count,
                                                     struct stoq_buf *out);

/* A payload read place by place. */
struct stoq_places {
    struct stoq_cbor_rd rd;
    uint64_t count;   /* of the places */
    uint32_t raw_len; /* of the chunk */
    uint64_t read;    /* places */
    uint32_t left;    /* bytes of the chunk that the places read so far leave */
};
/* STOQ_OK; STOQ_MALFORMED. */
STOQ_WARN_UNUSED enum stoq_status stoq_places_begin(struct stoq_places *p,
                                                    struct stoq_span payload);
/* STOQ_OK: *out is the next, its path borrowed from the payload; STOQ_NOTFOUND: all were read and all
 * is well; STOQ_MALFORMED. */
STOQ_WARN_UNUSED enum stoq_status stoq_places_next(struct stoq_places *p, struct stoq_place *out);

#endif
