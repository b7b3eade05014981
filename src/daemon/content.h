#ifndef STOQ_DAEMON_CONTENT_H
#define STOQ_DAEMON_CONTENT_H
/*
 * Content by address: any bytes go into the store and come out under a digest of theirs. The bytes are
 * chunks like a package's, shared with packages and other contents; a record ties the address to them.
 */
#include "daemon/content_record.h"
#include "daemon/local.h"

#include <pthread.h>

/* Content of at most this many bytes is checked whole before the first byte leaves. */
#define STOQ_CONTENT_WHOLE_BYTES_MAX ((uint64_t)STOQ_MIB)

/* A further digest to keep and check. */
struct stoq_content_second {
    enum stoq_hash_alg alg;
    bool is_expected; /* the content must have digest want */
    struct stoq_digest want;
};

/* Zero means the default in brackets. All borrowed for the call. */
struct stoq_content_put_ask {
    /* The content: up to n bytes to p, *got of them, 0 at the end. Called on the caller's thread; its
     * failure ends the put. */
    enum stoq_status (*read)(void *user, uint8_t *p, size_t n, size_t *got, struct stoq_error *err);
    void *read_user;
    uint64_t bytes_total;         /* for progress [not known] */
    enum stoq_hash_alg algorithm; /* of the address [BLAKE3] */
    struct stoq_content_second second[STOQ_CONTENT_SECONDARY_MAX];
    size_t second_count;
    const struct stoq_address *expected; /* the content must have this address [any] */
    /* Held while a record is read, joined with what is new and written, so that puts of one content
     * side by side lose nothing of each other's; one per store [nobody else puts]. */
    pthread_mutex_t *record_lock;
    unsigned threads; /* that hash and store, 1 .. 64 [one per processor, at most 8] */
    /* Called on the caller's thread, about ten times a second. NULL: none. */
    void (*progress)(void *user, uint64_t bytes_done, uint64_t bytes_total);
    bool (*cancelled)(void *user); /* true: stop */
    void *user;
};

struct stoq_content_put_report {
    struct stoq_content content;
    bool existed;          /* it was here before */
    uint64_t chunks_new;   /* the store did not have */
    uint64_t bytes_new;    /* their bytes */
    uint64_t bytes_stored; /* the same as they lie on disk, after compression */
    uint64_t elapsed_ns;   /* until everything was durable */
};

/*
 * Add content. Its bytes are read once, in flat memory. Content that is here already adds no chunk; the
 * secondary digests its record holds are compared with those computed now, new ones are added to it.
 *
 * STOQ_OK     durable under report->content.address
 * STOQ_RANGE  the algorithm is no address (XXH3-128 can be forged), or a secondary one is named twice
 *             or is the address's own; nothing was read
 * STOQ_PROOF  the content is not what was expected, or its record says otherwise: no record was made
 *             or changed (IntegrityCheckFailed)
 * STOQ_FULL, STOQ_CANCELLED, STOQ_IO, STOQ_NOMEM, and what ask->read returned
 * After a failure the store holds at most chunks that nothing refers to.
 */
STOQ_WARN_UNUSED enum stoq_status stoq_content_put(struct stoq_store *store,
                                                   const struct stoq_content_put_ask *ask,
                                                   struct stoq_content_put_report *report,
                                                   struct stoq_error *err);

/* The record of an address. STOQ_OK; STOQ_NOTFOUND (ContentNotFound); STOQ_PROOF: it is damaged. */
STOQ_WARN_UNUSED enum stoq_status stoq_content_info(struct stoq_store *store,
                                                    const struct stoq_address *address,
                                                    struct stoq_content *out,
                                                    struct stoq_error *err);

/* All borrowed for the call. */
struct stoq_content_get_ask {
    struct stoq_address address;
    /* Borrows the bytes; anything but STOQ_OK ends the call and is returned. NULL: only check. */
    enum stoq_status (*sink)(void *user, struct stoq_span bytes);
    void *sink_user;
    void (*progress)(void *user, uint64_t bytes_done, uint64_t bytes_total);
    bool (*cancelled)(void *user);
    void *user;
};

/*
 * Hand out content, in order. Each chunk is compared with its hash, which the record's root commits to,
 * before a byte of it leaves; content of at most STOQ_CONTENT_WHOLE_BYTES_MAX bytes is compared with its
 * address and secondary digests before the first. Longer content is compared with them when its last
 * byte has left: only STOQ_OK says that all of it was the address's.
 *
 * out  its record; may be NULL
 *
 * STOQ_OK
 * STOQ_NOTFOUND  no such content (ContentNotFound) or a chunk is not here (ChunkNotFound)
 * STOQ_PROOF     the store's bytes are not that content (IntegrityCheckFailed)
 * STOQ_CANCELLED, STOQ_IO, STOQ_NOMEM, and what sink returned
 */
STOQ_WARN_UNUSED enum stoq_status stoq_content_get(struct stoq_store *store,
                                                   const struct stoq_content_get_ask *ask,
                                                   struct stoq_content *out,
                                                   struct stoq_error *err);

/* Call each for every content, in order of algorithm and digest, until it returns false. Records that
 * cannot be read are skipped and counted in *damaged (NULL is fine). each may call the store. */
STOQ_WARN_UNUSED enum stoq_status stoq_content_each(
    struct stoq_store *store, bool (*each)(void *user, const struct stoq_content *c), void *user,
    uint64_t *damaged, struct stoq_error *err);

/* Delete a content and what it alone uses; the chunks of packages and other contents stay. As
 * stoq_local_remove. */
STOQ_WARN_UNUSED enum stoq_status stoq_content_remove(struct stoq_store *store,
                                                      const struct stoq_address *address,
                                                      struct stoq_local_removed *report,
                                                      struct stoq_error *err);

#endif
