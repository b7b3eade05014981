#ifndef STOQ_DAEMON_INGEST_H
#define STOQ_DAEMON_INGEST_H
/*
 * The inside of a publish: stream bytes in, stored chunks out. The caller reads, a thread cuts,
 * workers hash and store, and the chunks are told in stream order whatever the workers' order was.
 * Memory is a fixed number of blocks.
 */
#include "chunk/fastcdc.h"
#include "daemon/pieces.h"
#include "merkle/merkle.h"
#include "store/store.h"

/* Bytes that one call of stoq_ingest_room can give at most. */
#define STOQ_INGEST_ROOM_MAX ((size_t)1 << 20)

struct stoq_ingest;

/* Sees all bytes and marks in stream order, on a thread of its own where there are threads. */
struct stoq_ingest_follower {
    void (*bytes)(void *user, struct stoq_span bytes);
    void (*mark)(void *user, uint64_t value); /* NULL: of no interest */
    void *user;
};
#define STOQ_INGEST_FOLLOWERS_MAX 8

/* Takes the chunks, in stream order, on the thread that calls the ingest; a failure ends it. */
struct stoq_chunk_sink {
    enum stoq_status (*add)(void *user, const struct stoq_merkle_chunk *chunk,
                            struct stoq_error *err);
    void *user;
};

struct stoq_ingest_counts {
    uint64_t chunks_new;   /* the store did not have */
    uint64_t bytes_new;    /* their bytes */
    uint64_t bytes_stored; /* the same after compression; 0 of those kept elsewhere */
    uint64_t bytes_kept;   /* of chunks, new or not, that stay where they came from */
};

/* Keeps chunks where they came from instead of in the store. */
struct stoq_keeper {
    /*
     * Keep a chunk whose bytes are these pieces. Called on any of the ingest's threads.
     *
     * *kept    false: it must be stored after all
     * *is_new  the store did not have it
     */
    enum stoq_status (*keep)(void *user, const struct stoq_hash *hash,
                             const struct stoq_piece *pieces, size_t count, bool *kept,
                             bool *is_new, struct stoq_error *err);
    void *user;
};

/*
 * Begin.
 *
 * chunker  copied; its max is at most STOQ_MERKLE_CHUNK_BYTES_MAX (asserted)
 * threads  that hash and store, 1 .. 64; with 1 everything happens inside the calls
 *
 * STOQ_OK, STOQ_NOMEM, STOQ_IO
 */
STOQ_WARN_UNUSED enum stoq_status stoq_ingest_new(struct stoq_ingest **out,
                                                  struct stoq_store *store,
                                                  const struct stoq_chunker *chunker,
                                                  unsigned threads, struct stoq_error *err);
/* Waits for what is under way. NULL is fine. */
void stoq_ingest_free(struct stoq_ingest *in);

/*
 * Where the next bytes of the open run go: 1 .. STOQ_INGEST_ROOM_MAX bytes at *out, *n of them. Fill any
 * number and report them with stoq_ingest_filled before another call of either.
 *
 * STOQ_OK, or what storing an earlier chunk met (from then on always).
 */
STOQ_WARN_UNUSED enum stoq_status stoq_ingest_room(struct stoq_ingest *in, uint8_t **out, size_t *n,
                                                   struct stoq_error *err);
void stoq_ingest_filled(struct stoq_ingest *in, size_t n);

/* The last n bytes of what the last call of stoq_ingest_filled reported, borrowed until the next of room. */
struct stoq_span stoq_ingest_last(const struct stoq_ingest *in, size_t n);

/* Before the first byte, and after a drain. */
void stoq_ingest_set_sink(struct stoq_ingest *in, struct stoq_chunk_sink sink);

/* Before the first byte. Chunks all of whose bytes come from sources go to the keeper. */
void stoq_ingest_set_keeper(struct stoq_ingest *in, struct stoq_keeper keeper);
/* What is filled from now on comes from this source, from the offset on; STOQ_INGEST_NO_SOURCE: from
 * nowhere. */
#define STOQ_INGEST_NO_SOURCE UINT64_MAX
void stoq_ingest_from(struct stoq_ingest *in, uint64_t source, uint64_t offset);

/* Before the first byte. A drain waits until its followers have seen everything. STOQ_IO: no thread. */
STOQ_WARN_UNUSED enum stoq_status stoq_ingest_follow(struct stoq_ingest *in,
                                                     struct stoq_ingest_follower follower,
                                                     struct stoq_error *err);
/* Tell the followers something behind the last byte filled. Results as room. */
STOQ_WARN_UNUSED enum stoq_status stoq_ingest_mark(struct stoq_ingest *in, uint64_t value,
                                                   struct stoq_error *err);

/* Copy bytes into the open run: room and filled as often as needed. */
STOQ_WARN_UNUSED enum stoq_status stoq_ingest_add(struct stoq_ingest *in, struct stoq_span bytes,
                                                  struct stoq_error *err);

/*
 * The open run ends `after` bytes before the last one filled, and the next begins there; 0: here. What
 * is left of the run is its last chunk. Ends inside what one call of stoq_ingest_filled reported are
 * told in order, before the next call of stoq_ingest_room. Results as room.
 */
STOQ_WARN_UNUSED enum stoq_status stoq_ingest_end_run(struct stoq_ingest *in, size_t after,
                                                      struct stoq_error *err);

/* End the open run and wait: every chunk so far is in the store (not yet synced) and the sink has taken it.
 * Another run may follow. Results as room, and the sink's. */
STOQ_WARN_UNUSED enum stoq_status stoq_ingest_drain(struct stoq_ingest *in, struct stoq_error *err);

/* Of all chunks that a drain has waited for. */
struct stoq_ingest_counts stoq_ingest_counts(const struct stoq_ingest *in);

#endif
