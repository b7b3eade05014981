#ifndef STOQ_DAEMON_IMPORT_H
#define STOQ_DAEMON_IMPORT_H
/*
 * Import: a bundle's packages become packages of the local store.
 */
#include "daemon/input.h"
#include "package/bundle.h"
#include "store/store.h"

struct stoq_import_progress {
    uint64_t bytes_total; /* of the bundle */
    uint64_t bytes_done;
};

struct stoq_import_package {
    struct stoq_bundle_entry entry; /* name and version are borrowed for the call */
    bool existed;                   /* this package was here, complete, before */
    uint64_t chunks_missing;        /* neither in the bundle nor here; 0: the package is complete */
};

/* All borrowed for the call. */
struct stoq_import_ask {
    struct stoq_input input;
    bool index_only; /* tell what is in it and touch no store; each gets no more than entry */
    /* Called for every package, in the bundle's order, once its fate is known. NULL: none. */
    void (*each)(void *user, const struct stoq_import_package *p);
    /* Both are called on the caller's thread, about ten times a second. NULL: none. */
    void (*progress)(void *user, const struct stoq_import_progress *p);
    bool (*cancelled)(void *user); /* true: stop */
    void *user;
};

struct stoq_import_report {
    struct stoq_bundle_header header;
    uint64_t packages;            /* taken */
    uint64_t packages_incomplete; /* for want of chunks that the bundle leaves out */
    uint64_t chunks_new;          /* the store did not have */
    uint64_t bytes_new;           /* their bytes */
    uint64_t bytes_stored;        /* the same as they lie on disk */
    uint64_t chunks_had;          /* of those in the bundle */
    uint64_t elapsed_ns;          /* until everything was durable */
};

/*
 * Read a bundle and keep what is in it. Every byte is led back to a package id before it is stored. A
 * package is recorded only when all of it is here and durable. Interrupted or broken off, what came
 * stays: the same import again reads over it. Memory is flat but for some 300 bytes per
 * package.
 *
 * store  not looked at with index_only
 *
 * STOQ_OK         all of it, durable
 * STOQ_TRUNC      the bundle is cut; the sentence says where
 * STOQ_MALFORMED, STOQ_PROOF, STOQ_VERSION  not a bundle, damaged, newer; the sentence says at which
 *                 byte and why
 * STOQ_NOTFOUND   (ChunkNotFound) it leaves out chunks that are not here: report->packages_incomplete
 *                 packages are not recorded
 * STOQ_FULL, STOQ_IO, STOQ_CANCELLED, STOQ_NOMEM
 */
STOQ_WARN_UNUSED enum stoq_status stoq_import(struct stoq_store *store,
                                              const struct stoq_import_ask *ask,
                                              struct stoq_import_report *report,
                                              struct stoq_error *err);

#endif
