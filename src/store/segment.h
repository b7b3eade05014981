#ifndef STOQ_STORE_SEGMENT_H
#define STOQ_STORE_SEGMENT_H
/*
 * Segment files: their names, their making, their scanning from end to end, and a small cache of
 * descriptors for readers.
 */
#include "store/durable.h"
#include "store/record.h"

#define STOQ_SEGMENT_NAME_BYTES sizeof "00000000.seg"

void stoq_segment_name(char out[STOQ_SEGMENT_NAME_BYTES], uint32_t number);
/* False: not the name of a segment. */
bool stoq_segment_number(const char *name, uint32_t *number);

/* The numbers of all segments in a directory, ascending; free(*out). STOQ_OK, STOQ_IO, STOQ_NOMEM.
 * */
STOQ_WARN_UNUSED enum stoq_status stoq_segment_list(int dir_fd, uint32_t **out, size_t *count,
                                                    struct stoq_error *err);

/* Make a new segment file and write its header. 0 or an errno; nothing is left behind on failure.
 * */
int stoq_segment_create(const struct stoq_durable_fault *fault, int dir_fd,
                        const struct stoq_segment_header *header, int *fd_out);

/* Descriptors for reading, a bounded number of them. Any thread. */
struct stoq_segment_cache;

STOQ_WARN_UNUSED enum stoq_status stoq_segment_cache_new(struct stoq_segment_cache **out,
                                                         int dir_fd);
void stoq_segment_cache_free(struct stoq_segment_cache *cache); /* NULL is fine */

struct stoq_segment_ref {
    int fd;
    int slot; /* -1: not cached, closed when put back */
};
/* STOQ_OK; STOQ_NOTFOUND: no such segment; STOQ_IO: errno tells. */
STOQ_WARN_UNUSED enum stoq_status stoq_segment_cache_get(struct stoq_segment_cache *cache,
                                                         uint32_t number,
                                                         struct stoq_segment_ref *out);
void stoq_segment_cache_put(struct stoq_segment_cache *cache, struct stoq_segment_ref ref);
/* Forget a segment that is gone or whose number will mean another file. */
void stoq_segment_cache_drop(struct stoq_segment_cache *cache, uint32_t number);

/* What a scan meets, in the order of the file. */
enum stoq_scan_kind {
    STOQ_SCAN_RECORD, /* a whole record */
    STOQ_SCAN_DAMAGE, /* bytes that are no record, or one whose checksum fails */
    STOQ_SCAN_END,
};
struct stoq_scan_item {
    enum stoq_scan_kind kind;
    uint64_t offset;
    uint64_t bytes;
    bool doubtful;          /* of damage: there may be records in it that could not be believed */
    struct stoq_record rec; /* of a record; borrowed until the next step */
};

struct stoq_scan {
    int fd; /* borrowed */
    uint64_t file_bytes;
    uint64_t at;
    uint64_t trusted_from; /* see scan.c */
    uint64_t sequence;     /* the highest believed so far */
    bool doubtful;
    uint8_t *buf;
    size_t cap;
    uint64_t buf_at;
    size_t buf_n;
    struct stoq_codec *codec; /* borrowed */
};

/*
 * Begin.
 *
 * fd        borrowed; may be O_DIRECT
 * from      a record's offset; STOQ_SEGMENT_HEADER_BYTES is the first
 * sequence  the highest known from before
 *
 * STOQ_OK, STOQ_IO, STOQ_NOMEM; release in any case
 */
STOQ_WARN_UNUSED enum stoq_status stoq_scan_init(struct stoq_scan *scan, int fd, uint64_t from,
                                                 uint64_t sequence, struct stoq_codec *codec);
/* Read pieces of so many bytes, 4096 to a megabyte, so that others' reads fit between them. */
void stoq_scan_pieces(struct stoq_scan *scan, size_t bytes);
void stoq_scan_release(struct stoq_scan *scan);
/* STOQ_OK: *out is what comes next; STOQ_IO, STOQ_NOMEM: the file cannot be read. */
STOQ_WARN_UNUSED enum stoq_status stoq_scan_next(struct stoq_scan *scan,
                                                 struct stoq_scan_item *out);

#endif
