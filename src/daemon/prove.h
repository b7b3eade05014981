#ifndef STOQ_DAEMON_PROVE_H
#define STOQ_DAEMON_PROVE_H
/*
 * Proof files (docs/FORMATS.md section 6.2) of what the store holds: a chunk, a run of chunks, a shard,
 * or the chunks that some bytes lie in.
 */
#include "daemon/extract.h"
#include "package/proof_file.h"
#include "store/store.h"

enum stoq_prove_what {
    STOQ_PROVE_CHUNKS, /* first .. last */
    STOQ_PROVE_SHARD,  /* first: its index */
    STOQ_PROVE_BYTES,  /* range: of the package's stream */
    STOQ_PROVE_FILE,   /* range: of the file at path */
    STOQ_PROVE_TABLE,  /* the file table */
};

/* All borrowed for the call. */
struct stoq_prove_ask {
    struct stoq_package_id id;
    enum stoq_prove_what what;
    uint64_t first;
    uint64_t last; /* first <= last */
    struct stoq_byte_range range;
    struct stoq_span path;
    bool with_data; /* the chunks' bytes too; without, only lists are read */
    /* The file's bytes, in order, borrowed; failure ends the call and is returned. */
    enum stoq_status (*sink)(void *user, struct stoq_span bytes, struct stoq_error *err);
    void *sink_user;
    bool (*cancelled)(void *user); /* true: stop */
    void *user;
};

struct stoq_prove_report {
    enum stoq_merkle_proof_kind kind;
    uint64_t first; /* chunk */
    uint64_t count;
    uint64_t shard;
    uint64_t offset; /* in the package's stream: of the chunks */
    uint64_t bytes;
    /* What was asked for, in the stream; for chunks and shards the same again. */
    uint64_t asked_offset;
    uint64_t asked_bytes;
    uint64_t file_bytes; /* of the proof file */
};

/*
 * Write a proof file. Of one chunk it is a chunk proof. Everything in it was checked against the id.
 *
 * STOQ_OK
 * STOQ_RANGE      there is no such chunk (InvalidChunkIndex), shard, byte; or nothing to prove: an empty
 *                 file, a directory, a link
 * STOQ_FULL       more chunks than a proof may have; ask for fewer at a time
 * STOQ_NOTFOUND   no such package or path, a list or a chunk is not here
 * STOQ_PROOF      damaged content (IntegrityCheckFailed)
 * STOQ_CANCELLED, STOQ_IO, STOQ_NOMEM, and what sink returns
 * Memory: 48 bytes per shard of the package and 36 per chunk proved.
 */
STOQ_WARN_UNUSED enum stoq_status stoq_prove(struct stoq_store *store,
                                             const struct stoq_prove_ask *ask,
                                             struct stoq_prove_report *report,
                                             struct stoq_error *err);

#endif
