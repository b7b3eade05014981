#ifndef STOQ_DAEMON_ALIAS_H
#define STOQ_DAEMON_ALIAS_H
/*
 * Aliases: files of packages found by the digest that other programs print. They are records of this
 * store, no part of a package or its id, and never believed: what is read by one is compared with it.
 */
#include "daemon/alias_record.h"
#include "hash/many.h"
#include "store/store.h"

/* Contents of at most this many bytes are compared with the digest before the first byte leaves. */
#define STOQ_ALIAS_WHOLE_BYTES_MAX ((size_t)STOQ_MIB)

/* "b3sum", or a name of stoq_hash_alg_named; STOQ_HASH_NONE for anything that is no alias. */
enum stoq_hash_alg stoq_alias_alg_named(const char *name);

/* The digests of a package's files, gathered while it is published. Memory: 36 bytes per file and
 * 32-byte digest, 68 for SHA-512. */
struct stoq_aliases;

/* algs: count of them, fit and each once (asserted). STOQ_NOMEM. */
STOQ_WARN_UNUSED enum stoq_status stoq_aliases_new(struct stoq_aliases **out,
                                                   const enum stoq_hash_alg *algs, size_t count,
                                                   struct stoq_error *err);
void stoq_aliases_free(struct stoq_aliases *a); /* NULL is fine */

/* One file after another: begin, its bytes, end. index names it, 0 .. 2^32 - 1. STOQ_NOMEM;
 * STOQ_FULL: too many files. */
STOQ_WARN_UNUSED enum stoq_status stoq_aliases_begin(struct stoq_aliases *a,
                                                     struct stoq_error *err);
void stoq_aliases_update(struct stoq_aliases *a, struct stoq_span bytes);
STOQ_WARN_UNUSED enum stoq_status stoq_aliases_end(struct stoq_aliases *a, uint32_t index,
                                                   struct stoq_error *err);

/*
 * Put the records, not yet synced. Of files with one digest the first STOQ_ALIAS_PATHS_MAX are kept.
 *
 * path_of  the path of a file by its index; a lower index has a lower path
 * records  how many, those that were here before included
 *
 * STOQ_OK; what stoq_store_put gives; STOQ_NOMEM
 */
STOQ_WARN_UNUSED enum stoq_status stoq_aliases_put(
    struct stoq_aliases *a, struct stoq_store *store, const struct stoq_package_id *id,
    struct stoq_span (*path_of)(void *user, uint32_t index), void *user, uint64_t *records,
    struct stoq_error *err);

/* All borrowed for the call. */
struct stoq_alias_make_ask {
    struct stoq_package_id id;
    enum stoq_hash_alg algs[STOQ_HASH_MANY_MAX]; /* fit, each once (asserted) */
    size_t alg_count;
    bool (*cancelled)(void *user); /* asked before each file; NULL: never */
    void *user;
};

/*
 * Make the files of a complete package here known by these digests, whoever published it. Reads all of
 * it, every chunk checked. Durable when it returns.
 *
 * STOQ_NOTFOUND  no such complete package (ContentNotFound)
 * STOQ_PROOF     damaged content
 * STOQ_CANCELLED, and as stoq_aliases_put; nothing was made
 */
STOQ_WARN_UNUSED enum stoq_status stoq_aliases_make(struct stoq_store *store,
                                                    const struct stoq_alias_make_ask *ask,
                                                    uint64_t *records, struct stoq_error *err);

/*
 * Call each for every file of a complete package here that is known by this digest, by package id and
 * path, until it returns false. Nothing is read of the files. each may call the store. Records that
 * cannot be read are skipped.
 */
STOQ_WARN_UNUSED enum stoq_status stoq_alias_find(
    struct stoq_store *store, const struct stoq_digest *digest,
    bool (*each)(void *user, const struct stoq_package_id *id, struct stoq_span path), void *user,
    struct stoq_error *err);

/* All borrowed for the call. */
struct stoq_alias_ask {
    struct stoq_digest digest;
    /* Borrows the bytes; anything but STOQ_OK ends the call and is returned. NULL: only check. */
    enum stoq_status (*sink)(void *user, struct stoq_span bytes);
    void *sink_user;
};

/* Where the bytes came from. */
struct stoq_alias_found {
    struct stoq_package_id id;
    struct stoq_buf path; /* init and release are the caller's */
    uint64_t bytes;
};

/*
 * Hand out the first file known by a digest, in order, every chunk checked as always, and compare all
 * of it with the digest: up to STOQ_ALIAS_WHOLE_BYTES_MAX bytes before the first one leaves, a longer
 * file after its last, so that only STOQ_OK says that it was right.
 *
 * STOQ_NOTFOUND  no complete package here has it (ContentNotFound)
 * STOQ_PROOF     the bytes do not have the digest: the record or the store is wrong
 *                (IntegrityCheckFailed)
 * and what stoq_cat gives
 */
STOQ_WARN_UNUSED enum stoq_status stoq_alias_read(struct stoq_store *store,
                                                  const struct stoq_alias_ask *ask,
                                                  struct stoq_alias_found *found,
                                                  struct stoq_error *err);

#endif
