#ifndef STOQ_DAEMON_PUBLISH_INTERNAL_H
#define STOQ_DAEMON_PUBLISH_INTERNAL_H
/* A publish under way: publish.c makes the manifest and the records, publish_files.c the stream of a tree,
 * publish_input.c that of an input, publish_follow.c further digests. */
#include "chunk/runs.h"
#include "daemon/alias.h"
#include "daemon/ingest.h"
#include "daemon/keep_in_place.h"
#include "daemon/publish.h"
#include "daemon/shards.h"
#include "os/tree_ahead.h"
#include "package/table.h"

/* The files' digests of one algorithm. The follower's own until a drain. */
struct publish_alias {
    struct stoq_aliases *aliases; /* NULL: none are wanted */
    bool is_open;                 /* inside a file */
    struct stoq_error failed;
};

struct publish {
    struct stoq_store *store;
    const struct stoq_publish_ask *ask;
    struct stoq_publish_report *report;
    struct stoq_tree *tree; /* NULL: an input */
    struct stoq_ingest *ingest;
    struct stoq_shards *shards;
    struct stoq_ahead *ahead;       /* NULL: one thread does everything */
    struct stoq_keep_in_place keep; /* with ask->in_place */
    struct publish_alias aliases[STOQ_HASH_MANY_MAX];
    const struct stoq_chunk_profile *profile;
    struct stoq_gear gear; /* of the private key, with one; secret */
    struct stoq_runs runs;
    struct stoq_table_writer table;
    struct stoq_manifest manifest;
    struct stoq_hasher secondary; /* of the stream; without state: none is wanted */
    struct stoq_buf scratch;      /* an entry, then the manifest, then the signature */
    size_t read_bytes;
    struct stoq_publish_progress progress;
    stoq_ns reported_at;
};

/* Tell how far it is and ask whether to go on, ten times a second. STOQ_CANCELLED. */
STOQ_WARN_UNUSED enum stoq_status publish_look_up(struct publish *p, struct stoq_error *err);

/* What the file of an input is called. */
const char *publish_entry_name(const struct publish *p);

/* Add an entry to the file table and the stream. STOQ_RANGE: it does not fit the format; and what storing
 * a chunk can meet. */
STOQ_WARN_UNUSED enum stoq_status publish_entry(struct publish *p, const struct stoq_entry *e,
                                                struct stoq_error *err);

/* The next bytes of the stream, for the secondary digest; those of a tree come by themselves. */
void publish_hash(struct publish *p, struct stoq_span bytes);

/* Make what else is wanted of the stream's bytes follow them; free must follow. STOQ_NOMEM, STOQ_IO. */
STOQ_WARN_UNUSED enum stoq_status publish_follow(struct publish *p, struct stoq_error *err);
void publish_follow_free(struct publish *p);
/* File i begins, or ends, behind the last byte that the ingest was given. */
STOQ_WARN_UNUSED enum stoq_status publish_mark(struct publish *p, size_t i, bool ends,
                                               struct stoq_error *err);
/* After a drain: the aliases' records into the store. */
STOQ_WARN_UNUSED enum stoq_status publish_put_aliases(struct publish *p,
                                                      struct stoq_span (*path_of)(void *user,
                                                                                  uint32_t index),
                                                      struct stoq_error *err);

/* Put the whole stream into the ingest and its chunks into p->shards; the report's counts of entries and
 * p->progress.bytes_total are known then. STOQ_RANGE: the input does not fit the format; STOQ_BUSY: a file
 * differs from the listing; STOQ_IO; STOQ_CANCELLED; what storing a chunk can meet. */
STOQ_WARN_UNUSED enum stoq_status publish_files(struct publish *p, struct stoq_error *err);
STOQ_WARN_UNUSED enum stoq_status publish_input(struct publish *p, struct stoq_error *err);

#endif
