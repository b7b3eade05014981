#ifndef STOQ_DAEMON_STREAM_H
#define STOQ_DAEMON_STREAM_H
/*
 * A stream of bytes as the store holds it, of a package or of a content: its shard list, checked
 * against a root the caller trusts, and readers. Chunk lists are compared with the shard roots,
 * chunks with their hashes, before anything comes out.
 */
#include "merkle/merkle.h"
#include "store/store.h"

struct stoq_stream;

/*
 * Load and check a stream's shard list.
 *
 * store  kept; must outlive the result
 * root   trusted; its height is not read
 *
 * STOQ_OK        *out is the stream; stoq_stream_close ends it
 * STOQ_NOTFOUND  no shard list of it here
 * STOQ_PROOF     the list here is not that root's (IntegrityCheckFailed)
 * STOQ_IO, STOQ_NOMEM
 * Memory: 48 bytes per shard, and the chunk lists that are kept for those who take them, 64 of at most 18 KB.
 */
STOQ_WARN_UNUSED enum stoq_status stoq_stream_open(struct stoq_stream **out,
                                                   struct stoq_store *store,
                                                   const struct stoq_merkle_root *root,
                                                   struct stoq_error *err);
void stoq_stream_close(
    struct stoq_stream *stream); /* NULL is fine; after the last of its cursors */

uint64_t stoq_stream_bytes(const struct stoq_stream *stream);
/* Borrowed until close. */
struct stoq_span stoq_stream_shard_list(const struct stoq_stream *stream);
size_t stoq_stream_shard_count(const struct stoq_stream *stream);

/*
 * What a reader does about bytes that are not here. bring is called with each chunk that a cursor comes to,
 * and again with is_missing when the store lacks it, or has it damaged, or lacks its list: STOQ_OK then
 * means that it is here now, anything else is the reader's result. Set before the first cursor.
 */
void stoq_stream_set_bring(struct stoq_stream *stream,
                           enum stoq_status (*bring)(void *user, uint64_t offset, bool is_missing,
                                                     struct stoq_error *err),
                           void *user);

/*
 * Read shard i's chunk list (36 bytes per chunk) into out, cleared first, and check it.
 * STOQ_OK; STOQ_NOTFOUND: not here; STOQ_PROOF: not that shard's; STOQ_RANGE: no shard i.
 */
STOQ_WARN_UNUSED enum stoq_status stoq_stream_chunk_list(const struct stoq_stream *stream, size_t i,
                                                         struct stoq_buf *out,
                                                         struct stoq_error *err);

/* The same list, read and checked once for all who need it at a time: it is kept until that of another
 * shard, 64 further, takes its place. Borrowed until it is dropped, which may be after the stream's end. Any
 * thread. Results as above. */
struct stoq_stream_list;
STOQ_WARN_UNUSED enum stoq_status stoq_stream_list_take(struct stoq_stream *stream, size_t i,
                                                        struct stoq_stream_list **out,
                                                        struct stoq_error *err);
struct stoq_span stoq_stream_list_span(const struct stoq_stream_list *list);
void stoq_stream_list_drop(struct stoq_stream_list *list); /* NULL is fine */

/* A reader of the stream from some byte on, in order, one chunk at a time. Flat memory: one chunk
 * list and one chunk. */
struct stoq_cursor;

/* STOQ_NOMEM. It stands at byte 0. */
STOQ_WARN_UNUSED enum stoq_status stoq_cursor_new(struct stoq_cursor **out,
                                                  struct stoq_stream *stream);
void stoq_cursor_free(struct stoq_cursor *c); /* NULL is fine */
/* Stand at a byte of the stream, 0 .. bytes. STOQ_RANGE past the end. Nothing is read yet. */
STOQ_WARN_UNUSED enum stoq_status stoq_cursor_seek(struct stoq_cursor *c, uint64_t offset);
uint64_t stoq_cursor_offset(const struct stoq_cursor *c);

/*
 * The next bytes: the rest of the chunk the cursor stands in, but no more than n_max. The cursor
 * moves past them.
 *
 * out  borrowed until the next call; empty at the end of the stream
 *
 * STOQ_OK
 * STOQ_NOTFOUND  a chunk list or chunk is not here (ChunkNotFound); the sentence names which
 * STOQ_PROOF     the stored bytes are not what the package says (IntegrityCheckFailed)
 */
STOQ_WARN_UNUSED enum stoq_status stoq_cursor_next(struct stoq_cursor *c, size_t n_max,
                                                   struct stoq_span *out, struct stoq_error *err);

#endif
