#ifndef STOQ_DAEMON_KEEP_H
#define STOQ_DAEMON_KEEP_H
/*
 * Pins, named roots and leases of a store: made, ended, listed, and asked what they keep. Each is one
 * durable record. A pin holds until it is taken away, a root until its name means something else, a lease
 * until its time is over.
 */
#include "daemon/keep_record.h"

/* Write a record, in the place of one with the same key. Durable when it returns.
 * STOQ_OK; STOQ_FULL, STOQ_IO, STOQ_NOMEM. */
STOQ_WARN_UNUSED enum stoq_status stoq_keep_put(struct stoq_store *store, const struct stoq_keep *k,
                                                struct stoq_error *err);

/* STOQ_OK; STOQ_NOTFOUND; STOQ_PROOF: it is damaged. */
STOQ_WARN_UNUSED enum stoq_status stoq_keep_get(struct stoq_store *store,
                                                enum stoq_record_type type, struct stoq_span key,
                                                struct stoq_keep *out, struct stoq_error *err);

/* Delete a record. Durable when it returns. STOQ_OK; STOQ_NOTFOUND; STOQ_FULL, STOQ_IO. */
STOQ_WARN_UNUSED enum stoq_status stoq_keep_drop(struct stoq_store *store,
                                                 enum stoq_record_type type, struct stoq_span key,
                                                 struct stoq_error *err);

/* Call each for every record of a type, in key order, until it returns false. Records that cannot be read
 * are skipped and counted in *damaged (NULL is fine). each may call the store. */
STOQ_WARN_UNUSED enum stoq_status stoq_keep_each(
    struct stoq_store *store, enum stoq_record_type type,
    bool (*each)(void *user, const struct stoq_keep *k), void *user, uint64_t *damaged,
    struct stoq_error *err);

/* Is it here: a package's manifest, or a content's record? */
bool stoq_subject_is_here(struct stoq_store *store, const struct stoq_subject *s);

/*
 * May the user remove it?
 *
 * now  seconds since 1970
 *
 * STOQ_OK    nothing keeps it
 * STOQ_BUSY  a pin, a root or a lease does (code ContentKept); the sentence says which, and how to end it
 * STOQ_PROOF such a record is damaged, so it may
 */
STOQ_WARN_UNUSED enum stoq_status stoq_keep_check_free(struct stoq_store *store,
                                                       const struct stoq_subject *s, uint64_t now,
                                                       struct stoq_error *err);

/* Delete the leases that are over; *count of them (NULL is fine). Durable when it returns. */
STOQ_WARN_UNUSED enum stoq_status stoq_keep_sweep(struct stoq_store *store, uint64_t now,
                                                  uint64_t *count, struct stoq_error *err);

/* Everything that is kept, to be asked many times. Memory: 40 bytes each. */
struct stoq_kept {
    struct stoq_buf subjects; /* sorted struct stoq_subject */
    size_t count;
};
/*
 * STOQ_OK     release with stoq_kept_release
 * STOQ_PROOF  a record is damaged: what it keeps is not known, so nothing may be collected
 */
STOQ_WARN_UNUSED enum stoq_status stoq_kept_load(struct stoq_kept *out, struct stoq_store *store,
                                                 uint64_t now, struct stoq_error *err);
void stoq_kept_release(struct stoq_kept *kept);
bool stoq_kept_has(const struct stoq_kept *kept, const struct stoq_subject *s);

#endif
