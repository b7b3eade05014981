#ifndef STOQ_DAEMON_EVICT_H
#define STOQ_DAEMON_EVICT_H
/*
 * Giving up packages when the store is too full. Who goes first is decided in one place,
 * stoq_evict_list: today
 * the package that was used least recently, where a package's last use is the last time this process read
 * or served it, or else when it was added. Kept ones (pins, roots, leases), those published or imported here
 * (nobody else need have them) and those in use never go, contents by address stay until they are removed.
 */
#include "daemon/keep.h"

struct stoq_evict_candidate {
    struct stoq_package_id id;
    uint64_t last_use; /* seconds since 1970 */
};

/* The packages that may go, the first to go first; free(*out). STOQ_OK; STOQ_PROOF: what is kept is
 * not known, so
 * none may; STOQ_IO, STOQ_NOMEM. */
STOQ_WARN_UNUSED enum stoq_status stoq_evict_list(struct stoq_store *store,
                                                  struct stoq_evict_candidate **out, size_t *count,
                                                  struct stoq_error *err);

/*
 * Give a package up: durable when it returns. A collection gives its space back.
 *
 * bytes  of its stream: at most this much comes free
 *
 * STOQ_OK; STOQ_BUSY: somebody uses it; STOQ_FULL, STOQ_IO, STOQ_NOMEM
 */
STOQ_WARN_UNUSED enum stoq_status stoq_evict(struct stoq_store *store,
                                             const struct stoq_package_id *id, uint64_t *bytes,
                                             struct stoq_error *err);

#endif
