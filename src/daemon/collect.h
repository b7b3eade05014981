#ifndef STOQ_DAEMON_COLLECT_H
#define STOQ_DAEMON_COLLECT_H
/*
 * Collection of a store's garbage: what no package and no content refers to. Live are the packages that
 * are recorded and every content, until they are removed; further, a manifest that is kept (pin, root,
 * lease) or young, for a fetch may go on with it. What nothing live refers to goes once it is older
 * than the grace, which leaves an interrupted fetch or publish time to be taken up again.
 */
#include "daemon/keep.h"
#include "store/gc.h"

#include <pthread.h>

#define STOQ_COLLECT_GRACE_SECONDS ((uint64_t)86400)

/* All borrowed for the call. */
struct stoq_collect_ask {
    bool dry_run;
    uint64_t rate_bytes_per_s; /* 0: no limit */
    uint64_t grace_seconds;
    unsigned dead_percent_min; /* 0: the store's default */
    /* Held while leases that are over are deleted; when somebody has it they are left [NULL: leases stay]. */
    pthread_mutex_t *record_lock;
    bool (*cancelled)(void *user);
    void *user;
};

struct stoq_collect_report {
    struct stoq_gc_report gc;
    uint64_t packages; /* among what was deleted: leftovers of fetches */
    uint64_t leases;   /* that were over */
    bool was_marked;   /* false: only rewritten, nothing was deleted, and why: */
    struct stoq_error why;
};

/*
 * Collect. Runs beside additions, reads and removals.
 *
 * STOQ_OK         also when something that is live cannot be read, so that what it refers to is not known:
 *                 then was_marked is false and why says which
 * STOQ_BUSY       another collection is running
 * STOQ_CANCELLED, STOQ_FULL, STOQ_IO, STOQ_NOMEM
 * Memory: 64 MiB at most, and 33 bytes for each package and content.
 */
STOQ_WARN_UNUSED enum stoq_status stoq_collect(struct stoq_store *store,
                                               const struct stoq_collect_ask *ask,
                                               struct stoq_collect_report *report,
                                               struct stoq_error *err);

#endif
