#ifndef STOQ_DAEMON_HOLES_H
#define STOQ_DAEMON_HOLES_H
/*
 * What a package or content that should be here lacks: chunks and lists that are in quarantine or gone.
 * Asks the index alone, reads no chunk but those of the file table, to name the files.
 */
#include "daemon/content_record.h"
#include "daemon/held.h"

/* Files named; of more, only their number is known. */
#define STOQ_HOLES_PATHS_MAX 100
/* Stretches of the stream kept for naming files; past them the last one grows. */
#define STOQ_HOLES_STRETCHES_MAX 256

/* Stretches of a package's stream, ascending. */
struct stoq_stretches {
    size_t count;
    struct stoq_bytes_from {
        uint64_t from;
        uint64_t to;
    } at[STOQ_HOLES_STRETCHES_MAX];
};

/* In any order. */
void stoq_stretches_add(struct stoq_stretches *s, uint64_t from, uint64_t bytes);

struct stoq_holes {
    uint64_t chunks; /* not here, or damaged; all of a shard without its list */
    uint64_t bytes;
    bool metadata;         /* manifest, shard list or a chunk list is missing */
    uint64_t files;        /* that have such bytes, as far as the file table can be read */
    struct stoq_buf paths; /* of the first ones, each with a NUL behind it */
    struct stoq_stretches where;
};

void stoq_holes_init(struct stoq_holes *h);
void stoq_holes_release(struct stoq_holes *h);
static inline bool stoq_holes_any(const struct stoq_holes *h)
{
    return h->chunks > 0 || h->metadata;
}

/*
 * What of a package is missing. h is initialised; it is cleared first.
 *
 * STOQ_OK: h says, also for a package without a manifest; STOQ_CANCELLED, STOQ_IO, STOQ_NOMEM
 * Cost: an index lookup per chunk; the file table where something is missing.
 */
STOQ_WARN_UNUSED enum stoq_status stoq_holes_of_package(struct stoq_store *store,
                                                        const struct stoq_package_id *id,
                                                        bool (*stop)(void *user), void *user,
                                                        struct stoq_holes *h,
                                                        struct stoq_error *err);
/* The same of a content; it has no files. */
STOQ_WARN_UNUSED enum stoq_status stoq_holes_of_content(struct stoq_store *store,
                                                        const struct stoq_content *content,
                                                        bool (*stop)(void *user), void *user,
                                                        struct stoq_holes *h,
                                                        struct stoq_error *err);

/* Name the files that have bytes in h->where. A file table that cannot be read names none. */
void stoq_holes_name_files(struct stoq_held *held, struct stoq_holes *h);

#endif
