#ifndef STOQ_DAEMON_EXTRACT_H
#define STOQ_DAEMON_EXTRACT_H
/*
 * Extract: a package of the local store becomes a tree again, whole or one file of it.
 */
#include "base/bytes.h"
#include "store/store.h"

struct stoq_held;
struct stoq_live;

struct stoq_extract_progress {
    uint64_t bytes_total; /* of the files' contents */
    uint64_t bytes_done;
    uint64_t entries_total;
    uint64_t entries_done;
};

/* All borrowed for the call. */
struct stoq_extract_ask {
    struct stoq_package_id id;
    const char *out; /* the directory to make; must not exist, its parent must */
    bool no_sync;    /* do not wait for the disk: a power cut may then leave any part of out */
    /* Called on the caller's thread, about ten times a second. NULL: none. */
    void (*progress)(void *user, const struct stoq_extract_progress *p);
    bool (*cancelled)(void *user); /* true: stop */
    void *user;
};

struct stoq_extract_report {
    uint64_t files;
    uint64_t directories;
    uint64_t links;
    uint64_t bytes;      /* of the files' contents */
    uint64_t elapsed_ns; /* until everything was durable, unless no_sync */
};

/*
 * Write a package's tree. It grows under a temporary name beside out, is synced (not with no_sync) and then
 * renamed, so out appears whole or not at all. Every chunk is checked against its hash before a byte of it is
 * written; nothing is ever created outside, whatever the table says; links come last.
 *
 * STOQ_OK
 * STOQ_EXISTS     out is there already; nothing was touched
 * STOQ_NOTFOUND   no such package, or a chunk of it is not here (ContentNotFound, ChunkNotFound),
 *                 or out's parent is missing
 * STOQ_PROOF      damaged content (IntegrityCheckFailed)
 * STOQ_MALFORMED  the package's table breaks the format, or two names are one on this file system
 * STOQ_FULL       no room
 * STOQ_CANCELLED, STOQ_IO, STOQ_NOMEM
 * On failure the temporary tree is removed.
 */
STOQ_WARN_UNUSED enum stoq_status stoq_extract(struct stoq_store *store,
                                               const struct stoq_extract_ask *ask,
                                               struct stoq_extract_report *report,
                                               struct stoq_error *err);

/* Bytes of a file, counted from 0: first .. last, both in it; or its last `last` bytes. */
struct stoq_byte_range {
    uint64_t first;
    uint64_t last; /* UINT64_MAX: to the end */
    bool is_suffix;
};

/* "A-B", "A-" or "-N", as HTTP writes them. STOQ_OK; STOQ_RANGE: none of these. */
STOQ_WARN_UNUSED enum stoq_status stoq_byte_range_parse(struct stoq_byte_range *out,
                                                        const char *text, struct stoq_error *err);

/*
 * What a range means of something of size bytes: *skip bytes before it, *n in it. Where it reaches past
 * the end, the end ends it. STOQ_OK; STOQ_RANGE: it begins past the end (what names it: "the file").
 */
STOQ_WARN_UNUSED enum stoq_status stoq_byte_range_apply(const struct stoq_byte_range *range,
                                                        uint64_t size, const char *what,
                                                        uint64_t *skip, uint64_t *n,
                                                        struct stoq_error *err);

/*
 * Hand one file's bytes to sink, in order, each piece checked before it leaves. A link gives the bytes
 * of its target text: it is never followed. Of the store's chunks, only those of the file table up to
 * the file's entry and those that hold the bytes are read, and the package may be incomplete otherwise.
 *
 * path   as in the file table, any bytes
 * range  NULL: all of it; where it reaches past the end, the end ends it
 * sink   borrows the bytes; anything but STOQ_OK ends the call and is returned
 *
 * STOQ_NOTFOUND  also: the package has no such path (ContentNotFound)
 * STOQ_RANGE     the path is a directory, or the file ends before the range
 * and as stoq_extract.
 */
STOQ_WARN_UNUSED enum stoq_status stoq_cat(struct stoq_store *store,
                                           const struct stoq_package_id *id, struct stoq_span path,
                                           const struct stoq_byte_range *range,
                                           enum stoq_status (*sink)(void *user,
                                                                    struct stoq_span bytes),
                                           void *user, struct stoq_error *err);
/* The same of an open package. live: it was opened there, and what the bytes need is brought; NULL: what
 * is here is all there is. */
STOQ_WARN_UNUSED enum stoq_status stoq_cat_held(struct stoq_held *held, struct stoq_live *live,
                                                struct stoq_span path,
                                                const struct stoq_byte_range *range,
                                                enum stoq_status (*sink)(void *user,
                                                                         struct stoq_span bytes),
                                                void *user, struct stoq_error *err);

#endif
