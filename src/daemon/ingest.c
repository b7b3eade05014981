/*
 * A ring of blocks that go through stages, each on threads of its own, so that the stream is read, cut,
 * hashed and stored at once, and there is one hand-over per megabyte and not one per chunk:
 *
 *     oldest                                                              newest
 *     [done] [at a worker] [at a worker] [waits] [being cut] [waits] [being filled] [free] ...
 *
 * The caller fills the newest and hands it to the cutter (ingest_cut.c), which hands it to the workers
 * (ingest_work.c); whoever follows the bytes gets each block in order as well. The caller retires finished
 * blocks from the oldest on: their chunks go to the sink in stream order. With one thread a block goes
 * through all stages on the spot.
 */
#include "daemon/ingest_internal.h"

#include <stdlib.h>
#include <string.h>

/* A worker busy with one block finds another one cut. Three more: being retired, cut and filled. */
#define BLOCKS_PER_WORKER 2
#define BLOCKS_MORE 3
/* Less than this is not worth a read. */
#define READ_BYTES_MIN ((size_t)64 * STOQ_KIB)
/* A block with more marks than this is handed over early (empty files have marks and no bytes). */
#define MARKS_MAX 8192

void ingest_fail(struct stoq_ingest *in, const struct stoq_error *err)
{
    (void)pthread_mutex_lock(&in->lock);
    if (in->failed.status == STOQ_OK) {
        in->failed = *err;
    }
    (void)pthread_mutex_unlock(&in->lock);
}

enum stoq_status ingest_failure(struct stoq_ingest *in, struct stoq_error *err)
{
    (void)pthread_mutex_lock(&in->lock);
    struct stoq_error failed = in->failed;
    (void)pthread_mutex_unlock(&in->lock);
    if (failed.status != STOQ_OK && err != NULL) {
        *err = failed;
    }
    return failed.status;
}

static enum stoq_status add_event(struct events *e, size_t at, uint64_t value,
                                  struct stoq_error *err)
{
    if (e->n == e->cap) {
        size_t cap = e->cap == 0 ? 64 : e->cap * 2;
        struct event *more = realloc(e->v, cap * sizeof *more);
        if (more == NULL) {
            return stoq_fail(err, STOQ_NOMEM, 0, "no memory to publish");
        }
        e->v = more;
        e->cap = cap;
    }
    e->v[e->n++] = (struct event){at, value};
    return STOQ_OK;
}

static void work(struct stoq_job *job)
{
    ingest_work((struct block *)((char *)job - offsetof(struct block, job)));
}

/* Wait for the next block after the first n; NULL: it is time to stop. */
static struct block *next_handed(struct stoq_ingest *in, uint64_t n)
{
    (void)pthread_mutex_lock(&in->lock);
    while (in->handed_count == n && !in->stop) {
        (void)pthread_cond_wait(&in->handed, &in->lock);
    }
    bool stop = in->stop;
    (void)pthread_mutex_unlock(&in->lock);
    return stop ? NULL : block_at(in, n);
}

static void *cutter_main(void *user)
{
    struct stoq_ingest *in = user;
    struct block *b;
    for (uint64_t n = 0; (b = next_handed(in, n)) != NULL; n++) {
        ingest_cut(in, b);
        enum stoq_status st = stoq_workers_run(in->workers, &b->job);
        STOQ_ASSERT(st == STOQ_OK); /* the queue holds every block there is */
    }
    return NULL;
}

static void *follower_main(void *user)
{
    const struct follower *f = user;
    struct block *b;
    for (uint64_t n = 0; (b = next_handed(f->in, n)) != NULL; n++) {
        ingest_show(f, b);
        ingest_done(b);
    }
    return NULL;
}

/* Retire the oldest block, waiting for it if need be. */
static enum stoq_status retire(struct stoq_ingest *in, struct stoq_error *err)
{
    struct block *b = block_at(in, in->first);
    (void)pthread_mutex_lock(&in->lock);
    while (b->pending > 0) {
        (void)pthread_cond_wait(&in->done, &in->lock);
    }
    (void)pthread_mutex_unlock(&in->lock);
    in->first++;
    enum stoq_status st = ingest_failure(in, err);
    for (size_t i = 0; st == STOQ_OK && i < b->chunk_count; i++) {
        st = in->sink.add(in->sink.user, &b->chunks[i], err);
    }
    return st;
}

static void clear(struct block *b)
{
    b->filled = BLOCK_HEAD;
    b->ends.n = 0;
    b->marks.n = 0;
    b->chunk_count = 0;
    stoq_pieces_clear(&b->fresh);
    stoq_pieces_clear(&b->pieces);
}

/* Hand over the block being filled and begin the next one. */
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
    in->next++;
    clear(block_at(in, in->next));
    b->pending = 1;
    if (in->workers == NULL) {
        ingest_cut(in, b);
        for (unsigned i = 0; i < in->follower_count; i++) {
            ingest_show(&in->followers[i], b);
        }
        ingest_work(b);
        return ingest_failure(in, err);
    }
    (void)pthread_mutex_lock(&in->lock);
    b->pending += in->follower_count;
    in->handed_count++;
    (void)pthread_cond_broadcast(&in->handed);
    (void)pthread_mutex_unlock(&in->lock);
    return STOQ_OK;
}

static enum stoq_status start_threads(struct stoq_ingest *in, unsigned threads,
                                      struct stoq_error *err)
{
    enum stoq_status st = stoq_workers_new(&in->workers, NULL, threads, in->block_count, err);
    if (st != STOQ_OK) {
        return st;
    }
    int e = pthread_create(&in->cutter, NULL, cutter_main, in);
    in->has_cutter = e == 0;
    return e == 0 ? STOQ_OK : stoq_fail(err, STOQ_IO, e, "start a thread to publish");
}

static enum stoq_status ingest_init(struct stoq_ingest *in, unsigned threads,
                                    struct stoq_error *err)
{
    in->block_count = threads > 1 ? threads * BLOCKS_PER_WORKER + BLOCKS_MORE : 2;
    in->blocks = calloc(in->block_count, sizeof *in->blocks);
    in->rest = malloc(BLOCK_HEAD);
    if (in->blocks == NULL || in->rest == NULL) {
        return stoq_fail(err, STOQ_NOMEM, 0, "no memory to publish");
    }
    for (size_t i = 0; i < in->block_count; i++) {
        struct block *b = &in->blocks[i];
        b->in = in;
        b->job.work = work;
        b->filled = BLOCK_HEAD;
        b->bytes = malloc(BLOCK_BYTES);
        if (b->bytes == NULL) {
            return stoq_fail(err, STOQ_NOMEM, 0, "no memory to publish");
        }
    }
    return threads > 1 ? start_threads(in, threads, err) : STOQ_OK;
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
    (void)pthread_cond_init(&in->handed, NULL);
    enum stoq_status st = ingest_init(in, threads, err);
    if (st != STOQ_OK) {
        stoq_ingest_free(in);
        return st;
    }
    *out = in;
    return STOQ_OK;
}

/* What is under way ends at once. */
static void end_threads(struct stoq_ingest *in)
{
    const struct stoq_error stop = {.status = STOQ_CANCELLED};
    ingest_fail(in, &stop);
    (void)pthread_mutex_lock(&in->lock);
    in->stop = true;
    (void)pthread_cond_broadcast(&in->handed);
    (void)pthread_mutex_unlock(&in->lock);
    if (in->has_cutter) {
        (void)pthread_join(in->cutter, NULL);
    }
    for (unsigned i = 0; in->workers != NULL && i < in->follower_count; i++) {
        (void)pthread_join(in->followers[i].thread, NULL);
    }
    stoq_workers_free(in->workers);
}

void stoq_ingest_free(struct stoq_ingest *in)
{
    if (in == NULL) {
        return;
    }
    end_threads(in);
    for (size_t i = 0; in->blocks != NULL && i < in->block_count; i++) {
        struct block *b = &in->blocks[i];
        free(b->bytes);
        free(b->chunks);
        free(b->ends.v);
        free(b->marks.v);
        stoq_pieces_release(&b->fresh);
        stoq_pieces_release(&b->pieces);
    }
    free(in->blocks);
    free(in->rest);
    stoq_pieces_release(&in->rest_pieces);
    (void)pthread_cond_destroy(&in->handed);
    (void)pthread_cond_destroy(&in->done);
    (void)pthread_mutex_destroy(&in->lock);
    free(in);
}

enum stoq_status stoq_ingest_room(struct stoq_ingest *in, uint8_t **out, size_t *n,
                                  struct stoq_error *err)
{
    enum stoq_status st = ingest_failure(in, err);
    if (st == STOQ_OK && BLOCK_BYTES - block_at(in, in->next)->filled < READ_BYTES_MIN) {
        st = submit(in, err);
    }
    if (st != STOQ_OK) {
        return st;
    }
    struct block *b = block_at(in, in->next);
    *out = b->bytes + b->filled;
    *n = BLOCK_BYTES - b->filled;
    return STOQ_OK;
}

void stoq_ingest_filled(struct stoq_ingest *in, size_t n)
{
    struct block *b = block_at(in, in->next);
    STOQ_ASSERT(n <= BLOCK_BYTES - b->filled);
    if (in->keeper.keep != NULL && in->source != STOQ_INGEST_NO_SOURCE && n > 0) {
        const struct stoq_piece piece = {in->source, in->source_offset, n};
        if (stoq_pieces_add(&b->fresh, b->filled, piece) != STOQ_OK) {
            struct stoq_error err;
            (void)stoq_fail(&err, STOQ_NOMEM, 0, "no memory to publish");
            ingest_fail(in, &err);
        }
        in->source_offset += n;
    }
    b->filled += n;
}

struct stoq_span stoq_ingest_last(const struct stoq_ingest *in, size_t n)
{
    const struct block *b = &in->blocks[in->next % in->block_count];
    STOQ_ASSERT(n <= b->filled - BLOCK_HEAD);
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

enum stoq_status stoq_ingest_follow(struct stoq_ingest *in, struct stoq_ingest_follower follower,
                                    struct stoq_error *err)
{
    STOQ_ASSERT(in->next == 0 && in->follower_count < STOQ_INGEST_FOLLOWERS_MAX);
    struct follower *f = &in->followers[in->follower_count];
    *f = (struct follower){.to = follower, .in = in};
    int e = in->workers == NULL ? 0 : pthread_create(&f->thread, NULL, follower_main, f);
    if (e != 0) {
        return stoq_fail(err, STOQ_IO, e, "start a thread to publish");
    }
    in->follower_count++;
    return STOQ_OK;
}

enum stoq_status stoq_ingest_mark(struct stoq_ingest *in, uint64_t value, struct stoq_error *err)
{
    struct block *b = block_at(in, in->next);
    enum stoq_status st = STOQ_OK;
    if (in->follower_count == 0) {
        return STOQ_OK;
    }
    if (b->marks.n >= MARKS_MAX) {
        st = submit(in, err);
        b = block_at(in, in->next);
    }
    return st == STOQ_OK ? add_event(&b->marks, b->filled, value, err) : st;
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
    struct block *b = block_at(in, in->next);
    STOQ_ASSERT(after <= b->filled - BLOCK_HEAD);
    size_t at = b->filled - after;
    bool is_known = b->ends.n > 0 && b->ends.v[b->ends.n - 1].at == at;
    return is_known ? STOQ_OK : add_event(&b->ends, at, 0, err);
}

enum stoq_status stoq_ingest_drain(struct stoq_ingest *in, struct stoq_error *err)
{
    enum stoq_status st = stoq_ingest_end_run(in, 0, err);
    if (st == STOQ_OK) {
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
