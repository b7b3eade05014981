#ifndef STOQ_DAEMON_LOCAL_H
#define STOQ_DAEMON_LOCAL_H
/*
 * The packages of the local store: which there are, what they are, and their removal.
 */
#include "package/manifest.h"
#include "store/store.h"

/* What the store knows of a package without reading its content. */
struct stoq_local_package {
    struct stoq_package_id id;
    uint64_t added_at;         /* seconds since 1970; not part of the id */
    bool complete;             /* every chunk was durable here when the record was written */
    bool is_signed;            /* some signature beside it verifies */
    struct stoq_key_id signer; /* whose; of several the lowest key id */
    const struct stoq_manifest *manifest; /* borrowed for the call */
};

/*
 * Call each for every package, in order of ids, until it returns false. Records that cannot be read
 * are skipped and counted in *damaged (NULL is fine). each may call the store.
 */
STOQ_WARN_UNUSED enum stoq_status stoq_local_each(
    struct stoq_store *store, bool (*each)(void *user, const struct stoq_local_package *p),
    void *user, uint64_t *damaged, struct stoq_error *err);

/* One package: each is called once, its result is not looked at. STOQ_NOTFOUND (ContentNotFound). */
STOQ_WARN_UNUSED enum stoq_status stoq_local_info(struct stoq_store *store,
                                                  const struct stoq_package_id *id,
                                                  bool (*each)(void *user,
                                                               const struct stoq_local_package *p),
                                                  void *user, struct stoq_error *err);

/* The package record (FORMATS.md section 9, type 15). */
struct stoq_local_facts {
    uint64_t added_at; /* seconds since 1970 */
    bool complete;     /* false: some chunks are still missing */
    bool made_here;    /* published or imported: nobody else need have it, so it never gives way */
};

/* STOQ_OK; STOQ_NOTFOUND; STOQ_PROOF: the record is damaged. */
STOQ_WARN_UNUSED enum stoq_status stoq_local_facts(struct stoq_store *store,
                                                   const struct stoq_package_id *id,
                                                   struct stoq_local_facts *out,
                                                   struct stoq_error *err);

/* Is it here and complete? */
bool stoq_local_has(struct stoq_store *store, const struct stoq_package_id *id);

/*
 * Whose signature lies beside the package and verifies; of several the lowest key id.
 * STOQ_OK; STOQ_NOTFOUND: unsigned; STOQ_PROOF: there are signatures, and none is good.
 */
STOQ_WARN_UNUSED enum stoq_status stoq_local_signer(struct stoq_store *store,
                                                    const struct stoq_package_id *id,
                                                    struct stoq_key_id *out,
                                                    struct stoq_error *err);

/* Write the package record: after everything it names is durable. The caller syncs. */
STOQ_WARN_UNUSED enum stoq_status stoq_local_record(struct stoq_store *store,
                                                    const struct stoq_package_id *id,
                                                    const struct stoq_local_facts *facts,
                                                    struct stoq_error *err);

/* The same, keeping the other facts where they are known. A record that says so already is not
 * written again. */
STOQ_WARN_UNUSED enum stoq_status stoq_local_set_complete(struct stoq_store *store,
                                                          const struct stoq_package_id *id,
                                                          bool complete, struct stoq_error *err);

struct stoq_local_removed {
    uint64_t chunks;        /* deleted, no other package uses them */
    uint64_t bytes;         /* of them, as stored */
    uint64_t chunks_shared; /* kept for other packages */
};

/*
 * Remove a package: its record, manifest, signatures, aliases and shard list, then the chunk lists
 * and chunks that no other package or content here uses. Durable when it returns. The record goes
 * first: a crash in between leaves chunks nobody refers to, never a package with holes. Space in the
 * segments is given back by compaction, not here.
 *
 * report  may be NULL
 *
 * STOQ_OK
 * STOQ_NOTFOUND  no such package (ContentNotFound)
 * STOQ_PROOF     another package's lists cannot be read, so what it uses is unknown: nothing was
 *                removed
 * STOQ_FULL, STOQ_IO, STOQ_NOMEM
 * Must not run beside a publish or fetch into the same store: chunks they count on could go.
 * Memory: 32 bytes per chunk of the package. Cost: reads every package's chunk lists.
 */
STOQ_WARN_UNUSED enum stoq_status stoq_local_remove(struct stoq_store *store,
                                                    const struct stoq_package_id *id,
                                                    struct stoq_local_removed *report,
                                                    struct stoq_error *err);

#endif
