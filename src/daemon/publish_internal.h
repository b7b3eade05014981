#ifndef STOQ_DAEMON_PUBLISH_INTERNAL_H
#define STOQ_DAEMON_PUBLISH_INTERNAL_H
/* A publish under way: publish.c makes the manifest and the records, publish_files.c the stream. */
#include "chunk/runs.h"
#include "daemon/alias.h"
#include "daemon/ingest.h"
#include "daemon/keep_in_place.h"
#include "daemon/publish.h"
#include "os/tree_ahead.h"
#include "package/table.h"

struct publish {
    struct stoq_store *store;
    const struct stoq_publish_ask *ask;
    struct stoq_publish_report *report;
    struct stoq_tree *tree;
    struct stoq_ingest *ingest;
    struct stoq_ahead *ahead;       /* NULL: one thread does everything */
    struct stoq_keep_in_place keep; /* with ask->in_place */
    struct stoq_aliases *aliases;   /* NULL: none are wanted */
    const struct stoq_chunk_profile *profile;
    struct stoq_runs runs;
    struct stoq_table_writer table;
    struct stoq_manifest manifest;
    struct stoq_hasher secondary; /* of the stream; without state: none is wanted */
    struct stoq_buf scratch;      /* an entry, then the manifest, then the signature */
    size_t read_bytes;
    struct stoq_publish_progress progress;
    stoq_ns reported_at;
};

/* Put the file table into the ingest; the report's counts and what the stream adds up to are known
 * then. STOQ_RANGE: the tree does not fit the format; and what storing a chunk can meet. */
STOQ_WARN_UNUSED enum stoq_status publish_table(struct publish *p, struct stoq_error *err);

/* Put the contents of all files into it. STOQ_BUSY: one differs from the listing; STOQ_IO;
 * STOQ_CANCELLED; and what storing a chunk can meet. */
STOQ_WARN_UNUSED enum stoq_status publish_contents(struct publish *p, struct stoq_error *err);

#endif
