#ifndef STOQ_DAEMON_POINTERS_H
#define STOQ_DAEMON_POINTERS_H
/*
 * Release pointers in the store (docs/FORMATS.md section 14): records of type 13 under their lookup key, the
 * signed pointer as the payload. Of each key the one with the highest sequence that was ever seen here stays,
 * so that an older one is known for what it is.
 */
#include "package/pointer.h"
#include "store/store.h"

#include <pthread.h>

#define STOQ_POINTER_LIFE_S ((uint64_t)366 * 86400) /* of those we sign; a publish renews it */

/* One, with its bytes; p borrows from them, so it is not to be copied. */
struct stoq_pointer_kept {
    uint8_t bytes[STOQ_POINTER_BYTES_MAX];
    size_t n; /* 0: none */
    struct stoq_pointer p;
};

/* Fill it. STOQ_OK, STOQ_MALFORMED. */
STOQ_WARN_UNUSED enum stoq_status stoq_pointer_kept_set(struct stoq_pointer_kept *k,
                                                        struct stoq_span bytes);

/* STOQ_OK; STOQ_NOTFOUND; STOQ_MALFORMED, STOQ_IO, STOQ_NOMEM. */
STOQ_WARN_UNUSED enum stoq_status stoq_pointers_load(struct stoq_store *store,
                                                     const struct stoq_hash *key,
                                                     struct stoq_pointer_kept *out,
                                                     struct stoq_error *err);

/*
 * Keep a pointer that was checked, durably.
 *
 * lock  held by whoever changes pointers, meanwhile
 *
 * STOQ_OK: also where it was there; STOQ_RANGE: a newer one is; what the store gives
 */
STOQ_WARN_UNUSED enum stoq_status stoq_pointers_keep(struct stoq_store *store,
                                                     pthread_mutex_t *lock,
                                                     const struct stoq_hash *key,
                                                     struct stoq_span bytes,
                                                     struct stoq_error *err);

/*
 * Say that this name and version are this package, newer than all that was said of that version before,
 * unless that was said last and holds for half of its time yet. Durable after the next sync. As
 * stoq_pointers_keep.
 *
 * name       whose publisher is key's id
 * is_newest  in: it becomes the newest release of the name, whatever its version; out: it is. Unasked it
 *            becomes so unless the newest one that holds has a later version (package/version.h)
 *
 * STOQ_RANGE: no sequence is left below the newest's
 */
STOQ_WARN_UNUSED enum stoq_status stoq_pointers_publish(struct stoq_store *store,
                                                        pthread_mutex_t *lock,
                                                        const struct stoq_key *key,
                                                        const struct stoq_package_id *id,
                                                        const struct stoq_pointer_name *name,
                                                        bool *is_newest, struct stoq_error *err);

/* Append what is told others of this key: the pointer, sealed. STOQ_OK; STOQ_NOTFOUND: there is none, its
 * time is over, or its package is not here whole; STOQ_FULL, STOQ_IO, STOQ_NOMEM. */
STOQ_WARN_UNUSED enum stoq_status stoq_pointers_sealed(struct stoq_store *store,
                                                       const struct stoq_hash *key,
                                                       struct stoq_buf *out);

/* Call fn for the key of each pointer to this package, or with id NULL for every one. */
STOQ_WARN_UNUSED enum stoq_status stoq_pointers_each(
    struct stoq_store *store, const struct stoq_package_id *id,
    void (*fn)(void *user, const struct stoq_hash *key), void *user, struct stoq_error *err);

#endif
