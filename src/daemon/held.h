#ifndef STOQ_DAEMON_HELD_H
#define STOQ_DAEMON_HELD_H
/*
 * A package as the store holds it: its manifest, checked, and its stream (daemon/stream.h). Whatever
 * comes out of here has been compared with the package id: the manifest by its hash, the stream by
 * the manifest's root.
 */
#include "daemon/stream.h"
#include "package/manifest.h"
#include "package/table.h"

struct stoq_held;

/*
 * Load and check a package's manifest and shard list. Until it is closed the package is in use: the quota
 * does not take it.
 *
 * store  kept; must outlive the result
 *
 * STOQ_OK         *out is the package; stoq_held_close ends it
 * STOQ_NOTFOUND   no manifest (ContentNotFound) or no shard list of it here
 * STOQ_PROOF      what is here is not that package (IntegrityCheckFailed)
 * STOQ_VERSION    a manifest or profile newer than this program
 * STOQ_IO, STOQ_NOMEM
 * Memory: the manifest, and the stream's.
 */
STOQ_WARN_UNUSED enum stoq_status stoq_held_open(struct stoq_held **out, struct stoq_store *store,
                                                 const struct stoq_package_id *id,
                                                 struct stoq_error *err);
/* The same without counting as a use of the package, for those who look after the store. */
STOQ_WARN_UNUSED enum stoq_status stoq_held_look(struct stoq_held **out, struct stoq_store *store,
                                                 const struct stoq_package_id *id,
                                                 struct stoq_error *err);
void stoq_held_close(struct stoq_held *held); /* NULL is fine; after the last of its cursors */

/* Borrowed until close. */
struct stoq_stream *stoq_held_stream(const struct stoq_held *held);
const struct stoq_manifest *stoq_held_manifest(const struct stoq_held *held);
struct stoq_span stoq_held_manifest_bytes(const struct stoq_held *held);
struct stoq_span stoq_held_shard_list(const struct stoq_held *held);
size_t stoq_held_shard_count(const struct stoq_held *held);

/*
 * Read shard i's chunk list (36 bytes per chunk) into out, cleared first, and check it.
 * STOQ_OK; STOQ_NOTFOUND: not here; STOQ_PROOF: not that shard's; STOQ_RANGE: no shard i.
 */
STOQ_WARN_UNUSED enum stoq_status stoq_held_chunk_list(const struct stoq_held *held, size_t i,
                                                       struct stoq_buf *out,
                                                       struct stoq_error *err);

/* The same list behind what out has, one that is kept (stoq_stream_list_take). STOQ_FULL: out takes no
 * more. */
STOQ_WARN_UNUSED enum stoq_status stoq_held_add_list(const struct stoq_held *held, size_t i,
                                                     struct stoq_buf *out, struct stoq_error *err);

/* How old what stoq_held_have says may be: of a chunk that is said not to be here, and of one that is. */
#define STOQ_HELD_HAVE_AGE (100 * STOQ_MS)
#define STOQ_HELD_HAVE_BELIEVED (10 * STOQ_SEC)

/*
 * Which chunks of shard i are here: bit k & 7 of byte k / 8 is its k-th, the others are 0. Looked up once
 * for all who ask in that time: while a package spreads, everybody asks everybody several times a second,
 * and each answer is a lookup for every chunk. What is gone meanwhile is answered as missing when it is
 * asked for. Any thread.
 *
 * now  of stoq_now()
 *
 * STOQ_OK, also if the shard's chunk list is not here yet: then none of its chunks counts as here;
 * STOQ_PROOF: the list is not that shard's; STOQ_RANGE: no shard i; STOQ_IO, STOQ_NOMEM.
 */
STOQ_WARN_UNUSED enum stoq_status stoq_held_have(struct stoq_held *held, size_t i, stoq_ns now,
                                                 uint8_t bits[STOQ_MERKLE_SHARD_CHUNKS_MAX / 8],
                                                 struct stoq_error *err);

/*
 * Call each for every entry of the file table, in order; offset is where a file's bytes start in the
 * stream (the end of the bytes before it for entries without any). Entries are borrowed for the call.
 * each returns STOQ_OK to go on; anything else ends the walk and is returned.
 *
 * STOQ_MALFORMED  the table breaks the format: the publisher's fault, the chunks are as published
 * and what stoq_cursor_next returns
 */
STOQ_WARN_UNUSED enum stoq_status stoq_held_each_entry(
    struct stoq_held *held,
    enum stoq_status (*each)(void *user, const struct stoq_entry *entry, uint64_t offset,
                             struct stoq_error *err),
    void *user, struct stoq_error *err);

#endif
