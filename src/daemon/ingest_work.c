#include "daemon/ingest_internal.h"

#include <stdlib.h>

#include "hash/hash.h"

static enum stoq_status store_chunk(struct stoq_ingest *in, const struct stoq_merkle_chunk *chunk,
                                    const uint8_t *bytes, struct stoq_ingest_counts *counts,
                                    struct stoq_error *err)
{
    struct stoq_span key = stoq_span(chunk->hash.b, sizeof chunk->hash.b);
    bool is_new = false;
    enum stoq_status st = stoq_store_put(in->store, STOQ_RECORD_CHUNK, key, 0,
                                         stoq_span(bytes, chunk->bytes), &is_new, err);
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
static enum stoq_status keep_chunk(struct stoq_ingest *in, const struct stoq_merkle_chunk *chunk,
                                   const struct stoq_piece *pieces, size_t count,
                                   struct stoq_ingest_counts *counts, bool *done,
                                   struct stoq_error *err)
{
    bool is_new = false;
    enum stoq_status st =
        in->keeper.keep(in->keeper.user, &chunk->hash, pieces, count, done, &is_new, err);
    if (st == STOQ_OK && *done) {
        counts->bytes_kept += chunk->bytes;
        counts->chunks_new += is_new;
        counts->bytes_new += is_new ? chunk->bytes : 0;
    }
    return st;
}

/* All chunks of a block. */
static enum stoq_status take_chunks(struct block *b, struct stoq_ingest_counts *counts,
                                    struct stoq_error *err)
{
    struct stoq_ingest *in = b->in;
    struct stoq_piece *pieces = calloc(b->pieces.n + 1, sizeof *pieces);
    if (pieces == NULL) {
        return stoq_fail(err, STOQ_NOMEM, 0, "no memory to publish");
    }
    enum stoq_status st = STOQ_OK;
    size_t at = b->begin;
    size_t first = 0;
    for (size_t i = 0; st == STOQ_OK && i < b->chunk_count; i++) {
        struct stoq_merkle_chunk *chunk = &b->chunks[i];
        bool done = false;
        chunk->hash = stoq_hash_blake3(stoq_span(b->bytes + at, chunk->bytes));
        size_t n = stoq_pieces_of(&b->pieces, at, chunk->bytes, &first, pieces);
        if (n > 0) {
            st = keep_chunk(in, chunk, pieces, n, counts, &done, err);
        }
        if (st == STOQ_OK && !done) {
            st = store_chunk(in, chunk, b->bytes + at, counts, err);
        }
        at += chunk->bytes;
    }
    free(pieces);
    return st;
}

void ingest_done(struct block *b)
{
    struct stoq_ingest *in = b->in;
    (void)pthread_mutex_lock(&in->lock);
    STOQ_ASSERT(b->pending > 0);
    if (--b->pending == 0) {
        (void)pthread_cond_signal(&in->done);
    }
    (void)pthread_mutex_unlock(&in->lock);
}

void ingest_work(struct block *b)
{
    struct stoq_ingest *in = b->in;
    struct stoq_error err = {0};
    struct stoq_ingest_counts counts = {0};
    enum stoq_status st = ingest_failure(in, NULL);
    if (st == STOQ_OK && take_chunks(b, &counts, &err) != STOQ_OK) {
        ingest_fail(in, &err);
    }
    (void)pthread_mutex_lock(&in->lock);
    in->counts.chunks_new += counts.chunks_new;
    in->counts.bytes_new += counts.bytes_new;
    in->counts.bytes_stored += counts.bytes_stored;
    in->counts.bytes_kept += counts.bytes_kept;
    (void)pthread_mutex_unlock(&in->lock);
    ingest_done(b);
}

static void show_bytes(const struct follower *f, const struct block *b, size_t from, size_t to)
{
    if (to > from) {
        f->to.bytes(f->to.user, stoq_span(b->bytes + from, to - from));
    }
}

void ingest_show(const struct follower *f, const struct block *b)
{
    size_t at = BLOCK_HEAD;
    for (size_t i = 0; i < b->marks.n; i++) {
        show_bytes(f, b, at, b->marks.v[i].at);
        at = b->marks.v[i].at;
        if (f->to.mark != NULL) {
            f->to.mark(f->to.user, b->marks.v[i].value);
        }
    }
    show_bytes(f, b, at, b->filled);
}
