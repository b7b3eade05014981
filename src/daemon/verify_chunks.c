/*
 * Workers take one chunk after the other from a common feed, which reads and checks the chunk lists on
 * its way. The caller's thread reports and listens for a stop.
 *
 * A digest of the whole stream needs its bytes in order, and the workers have them anyway: a worker
 * that has checked chunk i waits for its turn, hashes, and gives the turn to i + 1. So nothing is read
 * twice, at most one chunk per worker waits, and the chunks' own hashes still run side by side. The
 * first bad chunk ends the turns: there is no such digest then.
 */
#include "daemon/verify_internal.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "os/cond.h"
#include "os/sys.h"
#include "os/workers.h"

#define THREADS_DEFAULT_MAX 8
#define THREADS_MAX 64
#define REPORT_EVERY (100 * STOQ_MS)

struct reading {
    struct stoq_held *held;
    struct stoq_store *store;
    const struct stoq_verify_ask *ask;
    struct stoq_verify_report *report;
    atomic_uint_fast64_t bytes_done;
    atomic_bool stop;
    pthread_mutex_t feed; /* the next five: */
    struct stoq_buf list; /* of the shard before next_shard */
    size_t next_shard;
    size_t next_in_list;
    uint64_t next_chunk;  /* of the package */
    uint64_t next_offset; /* its first byte in the stream */
    pthread_mutex_t lock; /* the rest; never held while feed is waited for */
    pthread_cond_t ended; /* a worker has */
    pthread_cond_t turns; /* turn or is_whole has changed */
    bool is_whole;        /* the stream is being hashed: no chunk was bad so far */
    uint64_t turn; /* the chunk to be hashed next; the one whose turn it is owns the hasher */
    struct stoq_hasher hasher;
    unsigned working;
    struct stoq_error failed; /* the world's failure, not a damaged chunk */
};

struct worker {
    struct stoq_job job;
    struct reading *r;
};

/* Chunks from an index on, or those of a list that is unusable, and where they lie in the stream. */
struct fault {
    uint64_t index;
    uint64_t count;
    uint64_t offset;
    uint64_t bytes;
};

static void count_fault(struct reading *r, const struct fault *f, enum stoq_status why,
                        const struct stoq_error *err)
{
    struct stoq_verify_report *report = r->report;
    uint64_t index = f->index;
    uint64_t count = f->count;
    (void)pthread_mutex_lock(&r->lock);
    stoq_stretches_add(&report->faults, f->offset, f->bytes);
    if (report->chunks_bad + report->chunks_missing == 0 || index < report->first_fault) {
        report->first_fault = index;
        (void)snprintf(report->first_why, sizeof report->first_why, "%s", err->text);
    }
    if (why == STOQ_NOTFOUND) {
        report->chunks_missing += count;
    } else {
        report->chunks_bad += count;
    }
    r->is_whole = false;
    (void)pthread_cond_broadcast(&r->turns);
    (void)pthread_mutex_unlock(&r->lock);
}

static bool is_fault(enum stoq_status st)
{
    return st == STOQ_NOTFOUND || st == STOQ_PROOF;
}

/* Under feed. Load the next usable chunk list; *more false: there is none. */
static enum stoq_status next_list(struct reading *r, bool *more, struct stoq_error *err)
{
    *more = false;
    while (r->next_shard < stoq_held_shard_count(r->held) && !atomic_load(&r->stop)) {
        size_t i = r->next_shard++;
        enum stoq_status st = stoq_held_chunk_list(r->held, i, &r->list, err);
        if (st == STOQ_OK) {
            r->next_in_list = 0;
            *more = true;
            return st;
        }
        if (!is_fault(st)) {
            return st;
        }
        struct stoq_merkle_shard shard = stoq_merkle_shard_at(stoq_held_shard_list(r->held), i);
        const struct fault f = {r->next_chunk, shard.chunks, r->next_offset, shard.bytes};
        count_fault(r, &f, st, err);
        atomic_fetch_add(&r->bytes_done, shard.bytes);
        r->next_chunk += shard.chunks;
        r->next_offset += shard.bytes;
        stoq_buf_clear(&r->list);
        r->next_in_list = 0;
    }
    return STOQ_OK;
}

/* The next chunk, its index in the package and its place in the stream; *more false: all are taken, or
 * stop. */
static enum stoq_status take_chunk(struct reading *r, struct stoq_merkle_chunk *chunk,
                                   struct fault *place, bool *more, struct stoq_error *err)
{
    enum stoq_status st = STOQ_OK;
    (void)pthread_mutex_lock(&r->feed);
    *more = !atomic_load(&r->stop);
    if (*more && r->next_in_list * STOQ_MERKLE_CHUNK_ENTRY_BYTES == r->list.n) {
        st = next_list(r, more, err);
    }
    if (st == STOQ_OK && *more) {
        *chunk = stoq_merkle_chunk_at(stoq_buf_span(&r->list), r->next_in_list++);
        *place = (struct fault){r->next_chunk++, 1, r->next_offset, chunk->bytes};
        r->next_offset += chunk->bytes;
    }
    (void)pthread_mutex_unlock(&r->feed);
    return st;
}

/* Hash chunk `index` into the digest of the stream once those before it are. */
static void hash_in_turn(struct reading *r, uint64_t index, struct stoq_span bytes)
{
    (void)pthread_mutex_lock(&r->lock);
    while (r->is_whole && r->turn != index && !atomic_load(&r->stop)) {
        (void)pthread_cond_wait(&r->turns, &r->lock);
    }
    bool is_mine = r->is_whole && r->turn == index;
    (void)pthread_mutex_unlock(&r->lock);
    if (!is_mine) {
        return;
    }
    stoq_hasher_update(&r->hasher, bytes);
    (void)pthread_mutex_lock(&r->lock);
    r->turn++;
    (void)pthread_cond_broadcast(&r->turns);
    (void)pthread_mutex_unlock(&r->lock);
}

static enum stoq_status check_chunks(struct reading *r, struct stoq_buf *bytes, uint64_t *good,
                                     struct stoq_error *err)
{
    for (;;) {
        struct stoq_merkle_chunk c;
        struct fault place;
        bool more;
        enum stoq_status st = take_chunk(r, &c, &place, &more, err);
        if (st != STOQ_OK || !more) {
            return st;
        }
        st = stoq_store_read(r->store, STOQ_RECORD_CHUNK, stoq_span(c.hash.b, sizeof c.hash.b),
                             STOQ_STORE_VERIFY, bytes, err);
        if (st == STOQ_OK && bytes->n != c.bytes) {
            st = stoq_fail(err, STOQ_PROOF, 0, "a chunk of the wrong length");
        }
        if (is_fault(st)) {
            count_fault(r, &place, st, err);
        } else if (st != STOQ_OK) {
            return st;
        } else {
            ++*good;
            hash_in_turn(r, place.index, stoq_buf_span(bytes));
        }
        atomic_fetch_add(&r->bytes_done, c.bytes);
    }
}

static void end_turns(struct reading *r)
{
    atomic_store(&r->stop, true);
    (void)pthread_cond_broadcast(&r->turns);
}

static void work(struct stoq_job *job)
{
    struct worker *w = (struct worker *)((char *)job - offsetof(struct worker, job));
    struct reading *r = w->r;
    struct stoq_buf bytes;
    struct stoq_error err = {0};
    uint64_t good = 0;
    stoq_buf_init(&bytes, STOQ_MERKLE_CHUNK_BYTES_MAX);
    enum stoq_status st = check_chunks(r, &bytes, &good, &err);
    stoq_buf_release(&bytes);
    (void)pthread_mutex_lock(&r->lock);
    r->report->chunks_good += good;
    if (st != STOQ_OK && r->failed.status == STOQ_OK) {
        r->failed = err;
        r->failed.status = st;
        end_turns(r);
    }
    r->working--;
    (void)pthread_cond_signal(&r->ended);
    (void)pthread_mutex_unlock(&r->lock);
}

/* Report ten times a second until no worker is left. */
static enum stoq_status wait_for_workers(struct reading *r, struct stoq_error *err)
{
    const struct stoq_verify_ask *ask = r->ask;
    bool is_cancelled = false;
    (void)pthread_mutex_lock(&r->lock);
    while (r->working > 0) {
        (void)stoq_cond_wait_until(&r->ended, &r->lock, stoq_now() + REPORT_EVERY);
        (void)pthread_mutex_unlock(&r->lock);
        if (ask->progress != NULL) {
            const struct stoq_verify_progress p = {.bytes_total = r->report->bytes,
                                                   .bytes_done = atomic_load(&r->bytes_done)};
            ask->progress(ask->user, &p);
        }
        bool cancel = !is_cancelled && ask->cancelled != NULL && ask->cancelled(ask->user);
        (void)pthread_mutex_lock(&r->lock);
        if (cancel) {
            is_cancelled = true;
            end_turns(r);
        }
    }
    struct stoq_error failed = r->failed;
    (void)pthread_mutex_unlock(&r->lock);
    if (is_cancelled) {
        return stoq_fail(err, STOQ_CANCELLED, 0, "interrupted");
    }
    if (failed.status != STOQ_OK && err != NULL) {
        *err = failed;
    }
    return failed.status;
}

static unsigned thread_count(unsigned asked)
{
    if (asked > 0) {
        return asked < THREADS_MAX ? asked : THREADS_MAX;
    }
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    return n < 1 ? 1 : n > THREADS_DEFAULT_MAX ? THREADS_DEFAULT_MAX : (unsigned)n;
}

static enum stoq_status run_workers(struct reading *r, struct stoq_error *err)
{
    struct stoq_workers *pool = NULL;
    unsigned threads = thread_count(r->ask->threads);
    struct worker *workers = calloc(threads, sizeof *workers);
    if (workers == NULL) {
        return stoq_fail(err, STOQ_NOMEM, 0, "no memory to verify");
    }
    enum stoq_status st = stoq_workers_new(&pool, NULL, threads, threads, err);
    if (st == STOQ_OK) {
        r->working = threads;
        for (unsigned i = 0; i < threads; i++) {
            workers[i] = (struct worker){.job = {.work = work}, .r = r};
            st = stoq_workers_run(pool, &workers[i].job);
            STOQ_ASSERT(st == STOQ_OK); /* the queue has room for all of them */
        }
        st = wait_for_workers(r, err);
    }
    stoq_workers_free(pool);
    free(workers);
    return st;
}

enum stoq_status stoq_verify_chunks(struct stoq_held *held, struct stoq_store *store,
                                    const struct stoq_verify_ask *ask, enum stoq_hash_alg alg,
                                    struct stoq_verify_report *report, struct stoq_digest *digest,
                                    struct stoq_error *err)
{
    struct reading r = {.held = held, .store = store, .ask = ask, .report = report};
    memset(digest, 0, sizeof *digest);
    if (alg != STOQ_HASH_NONE && stoq_hasher_init(&r.hasher, alg) != STOQ_OK) {
        return stoq_fail(err, STOQ_NOMEM, 0, "no memory to hash");
    }
    r.is_whole = alg != STOQ_HASH_NONE;
    stoq_buf_init(&r.list, (size_t)STOQ_MERKLE_SHARD_CHUNKS_MAX * STOQ_MERKLE_CHUNK_ENTRY_BYTES);
    (void)pthread_mutex_init(&r.feed, NULL);
    (void)pthread_mutex_init(&r.lock, NULL);
    stoq_cond_init(&r.ended);
    (void)pthread_cond_init(&r.turns, NULL);
    enum stoq_status st = run_workers(&r, err);
    if (st == STOQ_OK && r.is_whole && stoq_hasher_final(&r.hasher, digest) != STOQ_OK) {
        st = stoq_fail(err, STOQ_NOMEM, 0, "no memory to hash");
    }
    stoq_hasher_release(&r.hasher);
    stoq_buf_release(&r.list);
    (void)pthread_cond_destroy(&r.turns);
    (void)pthread_cond_destroy(&r.ended);
    (void)pthread_mutex_destroy(&r.lock);
    (void)pthread_mutex_destroy(&r.feed);
    return st;
}
