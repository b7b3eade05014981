#ifndef STOQ_DAEMON_VERIFY_H
#define STOQ_DAEMON_VERIFY_H
/*
 * Verify: read a package again, all of it, and compare it with its id.
 */
#include "base/bytes.h"
#include "daemon/holes.h"
#include "store/store.h"

struct stoq_verify_progress {
    uint64_t bytes_total;
    uint64_t bytes_done;
};

/* All borrowed for the call. */
struct stoq_verify_ask {
    struct stoq_package_id id;
    bool signature_required; /* overall_valid then needs a good signature */
    unsigned threads;        /* 0: one per processor, at most 8 */
    /* Called on the caller's thread, about ten times a second. NULL: none. */
    void (*progress)(void *user, const struct stoq_verify_progress *p);
    bool (*cancelled)(void *user); /* true: stop */
    void *user;
};

/* A verdict and its reason, one sentence, also when it is good. */
struct stoq_verdict {
    bool valid;
    char why[400];
};

/* The specification's VerificationResult. */
struct stoq_verify_report {
    struct stoq_verdict merkle;    /* manifest, lists, file table and every chunk */
    struct stoq_verdict signature; /* an unsigned package is not valid here, and says so */
    struct stoq_verdict consensus; /* no witness quorum is asked of packages yet: not valid */
    struct stoq_verdict secondary; /* the manifest's digest of the whole stream, where it has one */
    bool has_secondary;            /* it has: a mismatch makes overall invalid */
    struct stoq_verdict overall;   /* what the ask required */
    struct stoq_key_id signer;     /* when signature.valid */
    uint64_t chunks;               /* of the package */
    uint64_t bytes;
    uint64_t chunks_good;
    uint64_t chunks_bad;          /* damaged */
    uint64_t chunks_missing;      /* not here */
    uint64_t first_fault;         /* index of the first bad or missing chunk, when there is one */
    char first_why[512];          /* what is wrong with it */
    struct stoq_stretches faults; /* where bad and missing chunks lie in the package's stream */
    uint64_t elapsed_ns;
};

/*
 * STOQ_OK         the check ran to its end: read the verdicts, overall.valid may be false
 * STOQ_NOTFOUND   no such package here (ContentNotFound)
 * STOQ_CANCELLED, STOQ_IO, STOQ_NOMEM, STOQ_VERSION
 */
STOQ_WARN_UNUSED enum stoq_status stoq_verify(struct stoq_store *store,
                                              const struct stoq_verify_ask *ask,
                                              struct stoq_verify_report *report,
                                              struct stoq_error *err);

/*
 * For a package that has just come from elsewhere: where its manifest names a digest of the whole
 * stream, read everything and compare.
 *
 * STOQ_OK     it has none, or the right one
 * STOQ_PROOF  another one, or damaged content (IntegrityCheckFailed); the package is no longer taken
 *             for complete
 * and as stoq_verify. Costs nothing without such a digest.
 */
STOQ_WARN_UNUSED enum stoq_status stoq_verify_secondary(struct stoq_store *store,
                                                        const struct stoq_verify_ask *ask,
                                                        struct stoq_error *err);

#endif
