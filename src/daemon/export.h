#ifndef STOQ_DAEMON_EXPORT_H
#define STOQ_DAEMON_EXPORT_H
/*
 * Export: packages of the local store become a bundle (docs/FORMATS.md section 11).
 */
#include "daemon/have.h"
#include "package/bundle.h"

struct stoq_export_progress {
    uint64_t bytes_total; /* of the bundle */
    uint64_t bytes_done;
};

/* All borrowed for the call. */
struct stoq_export_ask {
    const struct stoq_package_id
        *ids; /* 1 .. STOQ_BUNDLE_PACKAGES_MAX; one named twice counts once */
    size_t id_count;
    const struct stoq_have *have; /* sealed; what the receiver has; NULL: nothing */
    /* The bundle's bytes in order, borrowed. A failure ends the export. */
    enum stoq_status (*sink)(void *user, struct stoq_span bytes, struct stoq_error *err);
    void *sink_user;
    /* Both are called on the caller's thread, about ten times a second. NULL: none. */
    void (*progress)(void *user, const struct stoq_export_progress *p);
    bool (*cancelled)(void *user); /* true: stop */
    void *user;
};

struct stoq_export_report {
    uint64_t packages;
    uint64_t bytes;          /* of the bundle */
    uint64_t chunks;         /* carried */
    uint64_t stored_bytes;   /* of them */
    uint64_t chunks_assumed; /* places left out because the receiver has the chunk */
    uint64_t elapsed_ns;
};

/*
 * Write a bundle. What is missing here is found out before the first byte; each chunk is compared with
 * its hash as it goes. Memory is flat but for 17 bytes per chunk that is carried and 400 per package.
 *
 * STOQ_OK
 * STOQ_NOTFOUND  a package, or a chunk of one, is not here (ContentNotFound, ChunkNotFound)
 * STOQ_PROOF     damaged content (IntegrityCheckFailed)
 * STOQ_BUSY      the store changed meanwhile: the bundle is not what its header says
 * STOQ_RANGE     no packages, or too many
 * STOQ_CANCELLED, STOQ_IO, STOQ_NOMEM, what sink returns
 */
STOQ_WARN_UNUSED enum stoq_status stoq_export(struct stoq_store *store,
                                              const struct stoq_export_ask *ask,
                                              struct stoq_export_report *report,
                                              struct stoq_error *err);

#endif
