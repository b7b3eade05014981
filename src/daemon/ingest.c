/*
 * A ring of blocks. The caller fills the newest; when it is full, or holds as many chunks as it can
 * describe, it goes to the workers and the bytes after the last cut move to the next block. A worker
 * hashes and stores all chunks of a block, so there is one hand-over per megabyte and not one per
 * chunk. The caller retires finished blocks from the oldest on: their chunks go to the sink in stream
 * order.
 *
 *     oldest                                        newest
 *     [done] [done] [at a worker] [at a worker] [being filled] [free] ...
 *
 * With one thread there are no workers: the block is hashed and stored on the spot. The cuts depend
 * on the bytes of the run alone (the chunker is asked only when it has a full window or the run's
 * end), never on how the bytes were read or which block they lie in.
 */
#include "daemon/ingest.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "hash/hash.h"
#include "os/workers.h"

/* A block takes a full room behind the longest possible rest of a chunk. */
#define BLOCK_BYTES (STOQ_INGEST_ROOM_MAX + STOQ_MERKLE_CHUNK_BYTES_MAX)
/* At least 8 KiB lie between every second cut, so this seals few blocks early. */
#define BLOCK_CHUNKS 256
/* Two blocks per worker keep it busy while one is filled and one retired. */
#define BLOCKS_PER_WORKER 2
#define BLOCKS_MORE 2

struct block {
    struct stoq_job job;
    struct stoq_ingest *in;
    uint8_t *bytes;
    size_t filled;
    size_t cut; /* bytes that are chunks already; the rest moves on */
    size_t chunk_count;
    struct stoq_merkle_chunk chunks[BLOCK_CHUNKS]; /* lengths by the caller, hashes by the worker */
    struct stoq_pieces pieces;                     /* where the bytes come from, with a keeper */
    bool is_done;
};

struct stoq_ingest {
    struct stoq_store *store;
    struct stoq_chunker chunker;
    struct stoq_chunk_sink sink;
    struct stoq_workers *workers; /* NULL: one thread */
    struct block *blocks;
    size_t block_count;
    uint64_t first;            /* oldest block not retired; block n is blocks[n % block_count] */
    uint64_t next;             /* the one being filled */
    struct stoq_keeper keeper; /* keep NULL: none */
    uint64_t source;           /* of what is being filled, and where in it */
    uint64_t source_offset;
    pthread_mutex_t lock;
    pthread_cond_t done; /* some block is done */
    /* Under the lock: */
    struct stoq_ingest_counts counts;
    struct stoq_error failed; /* status STOQ_OK: nothing has */
};

static struct block *block_at(struct stoq_ingest *in, uint64_t n)
{
    return &in->blocks[n % in->block_count];
}

static void keep_failure(struct stoq_ingest *in, const struct stoq_error *err)
{
    (void)pthread_mutex_lock(&in->lock);
    if (in->failed.status == STOQ_OK) {
        in->failed = *err;
    }
    (void)pthread_mutex_unlock(&in->lock);
}

static enum stoq_status failure(struct stoq_ingest *in, struct stoq_error *err)
{
    (void)pthread_mutex_lock(&in->lock);
    struct stoq_error failed = in->failed;
    (void)pthread_mutex_unlock(&in->lock);
    if (failed.status != STOQ_OK && err != NULL) {
        *err = failed;
    }
    return failed.status;
}

static enum stoq_status store_chunk(struct stoq_ingest *in, struct stoq_merkle_chunk *chunk,
                                    const uint8_t *bytes, struct stoq_ingest_counts *counts,
                                    struct stoq_error *err)
{
    struct stoq_span payload = stoq_span(bytes, chunk->bytes);
    chunk->hash = stoq_hash_blake3(payload);
    struct stoq_span key = stoq_span(chunk->hash.b, sizeof chunk->hash.b);
    bool is_new = false;
    enum stoq_status st =
        stoq_store_put(in->store, STOQ_RECORD_CHUNK, key, 0, payload, &is_new, err);
    struct stoq_stored stored;
    if (st == STOQ_OK && is_new) {
        st = stoq_store_stat(in->store, STOQ_RECORD_CHUNK, key, &stored, err);
    }
    if (st == STOQ_OK && is_new) {
        counts->chunks_new++;
        counts->bytes_new += chunk->bytes;
        counts->bytes_stored += stored.stored_len;
    }
    return st;
}

/* A chunk whose pieces are known: *done when it needs not be stored. */
static enum stoq_status keep_chunk(struct stoq_ingest *in, struct stoq_merkle_chunk *chunk,
                                   const uint8_t *bytes, const struct stoq_piece *pieces,
                                   size_t count, struct stoq_ingest_counts *counts, bool *done,
                                   struct stoq_error *err)
{
    bool is_new = false;
    chunk->hash = stoq_hash_blake3(stoq_span(bytes, chunk->bytes));
    enum stoq_status st =
        in->keeper.keep(in->keeper.user, &chunk->hash, pieces, count, done, &is_new, err);
    if (st == STOQ_OK && *done) {
        counts->bytes_kept += chunk->bytes;
        counts->chunks_new += is_new;
        counts->bytes_new += is_new ? chunk->bytes : 0;
    }
    return st;
}

/* The block's chunks, with a keeper asked first. */
static enum stoq_status keep_or_store(struct block *b, struct stoq_ingest_counts *counts,
                                      struct stoq_error *err)
{
    struct stoq_piece *pieces = calloc(b->pieces.n + 1, sizeof *pieces);
    enum stoq_status st = pieces == NULL ? STOQ_NOMEM : STOQ_OK;
    size_t at = 0;
    size_t first = 0;
    for (size_t i = 0; st == STOQ_OK && i < b->chunk_count; i++) {
        bool done = false;
        size_t n = stoq_pieces_of(&b->pieces, at, b->chunks[i].bytes, &first, pieces);
        if (n > 0) {
            st = keep_chunk(b->in, &b->chunks[i], b->bytes + at, pieces, n, counts, &done, err);
        }
        if (st == STOQ_OK && !done) {
            st = store_chunk(b->in, &b->chunks[i], b->bytes + at, counts, err);
        }
        at += b->chunks[i].bytes;
    }
    free(pieces);
    return st;
}

/* Hash and store a block's chunks, on whatever thread. */
static void work_on(struct block *b)
{
    struct stoq_ingest *in = b->in;
    struct stoq_error err = {0};
    struct stoq_ingest_counts counts = {0};
    enum stoq_status st = failure(in, NULL);
    size_t at = 0;
    if (st == STOQ_OK && in->keeper.keep != NULL) {
        st = keep_or_store(b, &counts, &err);
    }
    for (size_t i = 0; st == STOQ_OK && in->keeper.keep == NULL && i < b->chunk_count; i++) {
        st = store_chunk(in, &b->chunks[i], b->bytes + at, &counts, &err);
        at += b->chunks[i].bytes;
    }
    if (st != STOQ_OK && err.status == STOQ_OK) {
        err.status = st;
    }
    (void)pthread_mutex_lock(&in->lock);
    if (err.status != STOQ_OK && in->failed.status == STOQ_OK) {
        in->failed = err;
    }
    in->counts.chunks_new += counts.chunks_new;
    in->counts.bytes_new += counts.bytes_new;
    in->counts.bytes_stored += counts.bytes_stored;
    in->counts.bytes_kept += counts.bytes_kept;
    b->is_done = true;
    (void)pthread_cond_signal(&in->done);
    (void)pthread_mutex_unlock(&in->lock);
}

static void work(struct stoq_job *job)
{
    struct block *b = (struct block *)((char *)job - offsetof(struct block, job));
    work_on(b);
}

/* Retire the oldest block, waiting for it if need be. */
static enum stoq_status retire(struct stoq_ingest *in, struct stoq_error *err)
{
    struct block *b = block_at(in, in->first);
    (void)pthread_mutex_lock(&in->lock);
    while (!b->is_done) {
        (void)pthread_cond_wait(&in->done, &in->lock);
    }
    (void)pthread_mutex_unlock(&in->lock);
    in->first++;
    enum stoq_status st = failure(in, err);
    for (size_t i = 0; st == STOQ_OK && i < b->chunk_count; i++) {
        st = in->sink.add(in->sink.user, &b->chunks[i], err);
    }
    return st;
}

static void clear(struct block *b)
{
    b->filled = 0;
    b->cut = 0;
    b->chunk_count = 0;
    b->is_done = false;
    stoq_pieces_clear(&b->pieces);
}

/* Hand the block being filled to the workers; what is not cut yet moves to the next one. */
static enum stoq_status submit(struct stoq_ingest *in, struct stoq_error *err)
{
    enum stoq_status st = STOQ_OK;
    if (in->next + 1 - in->first == in->block_count) {
        st = retire(in, err);
    }
    if (st != STOQ_OK) {
        return st;
    }
    struct block *b = block_at(in, in->next);
    struct block *after = block_at(in, in->next + 1);
    clear(after);
    after->filled = b->filled - b->cut;
    memcpy(after->bytes, b->bytes + b->cut, after->filled);
    if (stoq_pieces_move_on(&b->pieces, b->cut, &after->pieces) != STOQ_OK) {
        return stoq_fail(err, STOQ_NOMEM, 0, "no memory to publish");
    }
    in->next++;
    if (in->workers == NULL) {
        work_on(b);
        return failure(in, err);
    }
    st = stoq_workers_run(in->workers, &b->job);
    STOQ_ASSERT(st == STOQ_OK); /* the queue holds every block there is */
    return st;
}

/* Cut what can be cut of the bytes before `end`. False: the block's list of chunks is full. */
static bool cut(struct stoq_ingest *in, struct block *b, size_t end, bool last)
{
    while (end > b->cut) {
        if (b->chunk_count == BLOCK_CHUNKS) {
            return false;
        }
        struct stoq_span rest = stoq_span(b->bytes + b->cut, end - b->cut);
        size_t n = stoq_chunker_cut(&in->chunker, rest, last);
        if (n == 0) {
            break;
        }
        b->chunks[b->chunk_count++].bytes = (uint32_t)n;
        b->cut += n;
    }
    return true;
}

static enum stoq_status ingest_init(struct stoq_ingest *in, unsigned threads,
                                    struct stoq_error *err)
{
    in->block_count = threads > 1 ? threads * BLOCKS_PER_WORKER + BLOCKS_MORE : BLOCKS_MORE;
    in->blocks = calloc(in->block_count, sizeof *in->blocks);
    if (in->blocks == NULL) {
        return stoq_fail(err, STOQ_NOMEM, 0, "no memory to publish");
    }
    for (size_t i = 0; i < in->block_count; i++) {
        struct block *b = &in->blocks[i];
        b->in = in;
        b->job.work = work;
        b->bytes = malloc(BLOCK_BYTES);
        if (b->bytes == NULL) {
            return stoq_fail(err, STOQ_NOMEM, 0, "no memory to publish");
        }
    }
    return threads > 1 ? stoq_workers_new(&in->workers, NULL, threads, in->block_count, err)
                       : STOQ_OK;
}

enum stoq_status stoq_ingest_new(struct stoq_ingest **out, struct stoq_store *store,
                                 const struct stoq_chunker *chunker, unsigned threads,
                                 struct stoq_error *err)
{
    struct stoq_ingest *in = calloc(1, sizeof *in);
    if (in == NULL) {
        return stoq_fail(err, STOQ_NOMEM, 0, "no memory to publish");
    }
    STOQ_ASSERT(chunker->params.max <= STOQ_MERKLE_CHUNK_BYTES_MAX);
    in->store = store;
    in->chunker = *chunker;
    in->source = STOQ_INGEST_NO_SOURCE;
    (void)pthread_mutex_init(&in->lock, NULL);
    (void)pthread_cond_init(&in->done, NULL);
    enum stoq_status st = ingest_init(in, threads, err);
    if (st != STOQ_OK) {
        stoq_ingest_free(in);
        return st;
    }
    *out = in;
    return STOQ_OK;
}

void stoq_ingest_free(struct stoq_ingest *in)
{
    if (in == NULL) {
        return;
    }
    const struct stoq_error stop = {.status = STOQ_CANCELLED};
    keep_failure(in, &stop); /* what is queued ends at once */
    stoq_workers_free(in->workers);
    for (size_t i = 0; in->blocks != NULL && i < in->block_count; i++) {
        free(in->blocks[i].bytes);
        stoq_pieces_release(&in->blocks[i].pieces);
    }
    free(in->blocks);
    (void)pthread_cond_destroy(&in->done);
    (void)pthread_mutex_destroy(&in->lock);
    free(in);
}

enum stoq_status stoq_ingest_room(struct stoq_ingest *in, uint8_t **out, size_t *n,
                                  struct stoq_error *err)
{
    struct block *b = block_at(in, in->next);
    /* Less than a chunk's worth of room is not worth a read. Once all is cut that can be, the rest is
     * shorter than the longest chunk, so the next block has more room than that. */
    while (!cut(in, b, b->filled, false) || BLOCK_BYTES - b->filled < STOQ_MERKLE_CHUNK_BYTES_MAX) {
        enum stoq_status st = submit(in, err);
        if (st != STOQ_OK) {
            return st;
        }
        b = block_at(in, in->next);
    }
    size_t room = BLOCK_BYTES - b->filled;
    *out = b->bytes + b->filled;
    *n = room < STOQ_INGEST_ROOM_MAX ? room : STOQ_INGEST_ROOM_MAX;
    return STOQ_OK;
}

void stoq_ingest_filled(struct stoq_ingest *in, size_t n)
{
    struct block *b = block_at(in, in->next);
    STOQ_ASSERT(n <= BLOCK_BYTES - b->filled);
    if (in->keeper.keep != NULL && in->source != STOQ_INGEST_NO_SOURCE && n > 0) {
        const struct stoq_piece piece = {in->source, in->source_offset, n};
        if (stoq_pieces_add(&b->pieces, b->filled, piece) != STOQ_OK) {
            struct stoq_error err;
            (void)stoq_fail(&err, STOQ_NOMEM, 0, "no memory to publish");
            keep_failure(in, &err);
        }
        in->source_offset += n;
    }
    b->filled += n;
}

struct stoq_span stoq_ingest_last(const struct stoq_ingest *in, size_t n)
{
    const struct block *b = &in->blocks[in->next % in->block_count];
    STOQ_ASSERT(n <= b->filled - b->cut);
    return stoq_span(b->bytes + b->filled - n, n);
}

void stoq_ingest_set_sink(struct stoq_ingest *in, struct stoq_chunk_sink sink)
{
    STOQ_ASSERT(in->first == in->next);
    in->sink = sink;
}

void stoq_ingest_set_keeper(struct stoq_ingest *in, struct stoq_keeper keeper)
{
    in->keeper = keeper;
}

void stoq_ingest_from(struct stoq_ingest *in, uint64_t source, uint64_t offset)
{
    in->source = source;
    in->source_offset = offset;
}

enum stoq_status stoq_ingest_add(struct stoq_ingest *in, struct stoq_span bytes,
                                 struct stoq_error *err)
{
    while (bytes.n > 0) {
        uint8_t *room;
        size_t n;
        enum stoq_status st = stoq_ingest_room(in, &room, &n, err);
        if (st != STOQ_OK) {
            return st;
        }
        n = n < bytes.n ? n : bytes.n;
        memcpy(room, bytes.p, n);
        stoq_ingest_filled(in, n);
        bytes = stoq_span(bytes.p + n, bytes.n - n);
    }
    return STOQ_OK;
}

enum stoq_status stoq_ingest_end_run(struct stoq_ingest *in, size_t after, struct stoq_error *err)
{
    for (;;) {
        struct block *b = block_at(in, in->next);
        STOQ_ASSERT(after <= b->filled - b->cut);
        if (cut(in, b, b->filled - after, true)) {
            return STOQ_OK;
        }
        /* The next block begins with all that is not cut yet, what is after the end included. */
        enum stoq_status st = submit(in, err);
        if (st != STOQ_OK) {
            return st;
        }
    }
}

enum stoq_status stoq_ingest_drain(struct stoq_ingest *in, struct stoq_error *err)
{
    enum stoq_status st = stoq_ingest_end_run(in, 0, err);
    if (st == STOQ_OK && block_at(in, in->next)->chunk_count > 0) {
        st = submit(in, err);
    }
    while (st == STOQ_OK && in->first < in->next) {
        st = retire(in, err);
    }
    return st;
}

struct stoq_ingest_counts stoq_ingest_counts(const struct stoq_ingest *in)
{
    STOQ_ASSERT(in->first == in->next); /* no worker counts meanwhile */
    return in->counts;
}
