/*
 * Workers take one shard after the other: its chunk list is checked against the shard's root, then
 * each of its chunks is read and hashed. The caller's thread reports and listens for a stop. What is
 * damaged is counted, not fatal: the verdict says how much is wrong and where it begins.
 */
#include "daemon/verify.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "daemon/held.h"
#include "daemon/local.h"
#include "os/sys.h"
#include "os/workers.h"

#define THREADS_DEFAULT_MAX 8
#define THREADS_MAX 64
#define REPORT_EVERY_NS 100000000L

struct verify {
    struct stoq_store *store;
    const struct stoq_verify_ask *ask;
    struct stoq_verify_report *report;
    struct stoq_held *held;
    uint64_t *first_chunk; /* of each shard */
    atomic_size_t next_shard;
    atomic_uint_fast64_t bytes_done;
    atomic_bool stop;
    pthread_mutex_t lock;
    pthread_cond_t ended;
    /* Under the lock: */
    unsigned working;
    struct stoq_error failed; /* the world's failure, not a damaged chunk */
};

struct worker {
    struct stoq_job job;
    struct verify *v;
};

/* One chunk, or `count` of them whose list is unusable, from the index on. */
static void count_fault(struct verify *v, uint64_t index, uint64_t count, enum stoq_status why)
{
    struct stoq_verify_report *r = v->report;
    (void)pthread_mutex_lock(&v->lock);
    if (r->chunks_bad + r->chunks_missing == 0 || index < r->first_fault) {
        r->first_fault = index;
    }
    if (why == STOQ_NOTFOUND) {
        r->chunks_missing += count;
    } else {
        r->chunks_bad += count;
    }
    (void)pthread_mutex_unlock(&v->lock);
}

static bool is_fault(enum stoq_status st)
{
    return st == STOQ_NOTFOUND || st == STOQ_PROOF;
}

static enum stoq_status check_chunks(struct verify *v, size_t shard, struct stoq_span list,
                                     struct stoq_buf *bytes, struct stoq_error *err)
{
    size_t n = list.n / STOQ_MERKLE_CHUNK_ENTRY_BYTES;
    uint64_t good = 0;
    for (size_t i = 0; i < n && !atomic_load(&v->stop); i++) {
        struct stoq_merkle_chunk c = stoq_merkle_chunk_at(list, i);
        enum stoq_status st =
            stoq_store_read(v->store, STOQ_RECORD_CHUNK, stoq_span(c.hash.b, sizeof c.hash.b),
                            STOQ_STORE_VERIFY, bytes, err);
        if (st == STOQ_OK && bytes->n != c.bytes) {
            st = STOQ_PROOF;
        }
        if (is_fault(st)) {
            count_fault(v, v->first_chunk[shard] + i, 1, st);
        } else if (st != STOQ_OK) {
            return st;
        }
        good += st == STOQ_OK;
        atomic_fetch_add(&v->bytes_done, c.bytes);
    }
    (void)pthread_mutex_lock(&v->lock);
    v->report->chunks_good += good;
    (void)pthread_mutex_unlock(&v->lock);
    return STOQ_OK;
}

static enum stoq_status check_shards(struct verify *v, struct stoq_buf *list,
                                     struct stoq_buf *bytes, struct stoq_error *err)
{
    size_t count = stoq_held_shard_count(v->held);
    enum stoq_status st = STOQ_OK;
    while (st == STOQ_OK && !atomic_load(&v->stop)) {
        size_t i = atomic_fetch_add(&v->next_shard, 1);
        if (i >= count) {
            break;
        }
        struct stoq_merkle_shard shard = stoq_merkle_shard_at(stoq_held_shard_list(v->held), i);
        st = stoq_held_chunk_list(v->held, i, list, err);
        if (st == STOQ_OK) {
            st = check_chunks(v, i, stoq_buf_span(list), bytes, err);
        } else if (is_fault(st)) {
            count_fault(v, v->first_chunk[i], shard.chunks, st);
            atomic_fetch_add(&v->bytes_done, shard.bytes);
            st = STOQ_OK;
        }
    }
    return st;
}

static void work(struct stoq_job *job)
{
    struct worker *w = (struct worker *)((char *)job - offsetof(struct worker, job));
    struct verify *v = w->v;
    struct stoq_buf list;
    struct stoq_buf bytes;
    struct stoq_error err = {0};
    stoq_buf_init(&list, (size_t)STOQ_MERKLE_SHARD_CHUNKS_MAX * STOQ_MERKLE_CHUNK_ENTRY_BYTES);
    stoq_buf_init(&bytes, STOQ_MERKLE_CHUNK_BYTES_MAX);
    enum stoq_status st = check_shards(v, &list, &bytes, &err);
    stoq_buf_release(&list);
    stoq_buf_release(&bytes);
    (void)pthread_mutex_lock(&v->lock);
    if (st != STOQ_OK && v->failed.status == STOQ_OK) {
        v->failed = err;
        v->failed.status = st;
        atomic_store(&v->stop, true);
    }
    v->working--;
    (void)pthread_cond_signal(&v->ended);
    (void)pthread_mutex_unlock(&v->lock);
}

/* Report ten times a second until no worker is left. */
static enum stoq_status wait_for_workers(struct verify *v, struct stoq_error *err)
{
    const struct stoq_verify_ask *ask = v->ask;
    bool is_cancelled = false;
    (void)pthread_mutex_lock(&v->lock);
    while (v->working > 0) {
        struct timespec until;
        (void)clock_gettime(CLOCK_REALTIME, &until);
        until.tv_nsec += REPORT_EVERY_NS;
        until.tv_sec += until.tv_nsec / 1000000000L;
        until.tv_nsec %= 1000000000L;
        (void)pthread_cond_timedwait(&v->ended, &v->lock, &until);
        (void)pthread_mutex_unlock(&v->lock);
        if (ask->progress != NULL) {
            const struct stoq_verify_progress p = {.bytes_total = v->report->bytes,
                                                   .bytes_done = atomic_load(&v->bytes_done)};
            ask->progress(ask->user, &p);
        }
        if (!is_cancelled && ask->cancelled != NULL && ask->cancelled(ask->user)) {
            is_cancelled = true;
            atomic_store(&v->stop, true);
        }
        (void)pthread_mutex_lock(&v->lock);
    }
    struct stoq_error failed = v->failed;
    (void)pthread_mutex_unlock(&v->lock);
    if (is_cancelled) {
        return stoq_fail(err, STOQ_CANCELLED, 0, "interrupted");
    }
    if (failed.status != STOQ_OK && err != NULL) {
        *err = failed;
    }
    return failed.status;
}

static enum stoq_status run_workers(struct verify *v, unsigned threads, struct stoq_error *err)
{
    struct stoq_workers *pool = NULL;
    struct worker *workers = calloc(threads, sizeof *workers);
    if (workers == NULL) {
        return stoq_fail(err, STOQ_NOMEM, 0, "no memory to verify");
    }
    enum stoq_status st = stoq_workers_new(&pool, NULL, threads, threads, err);
    if (st == STOQ_OK) {
        v->working = threads;
        for (unsigned i = 0; i < threads; i++) {
            workers[i] = (struct worker){.job = {.work = work}, .v = v};
            st = stoq_workers_run(pool, &workers[i].job);
            STOQ_ASSERT(st == STOQ_OK); /* the queue has room for all of them */
        }
        st = wait_for_workers(v, err);
    }
    stoq_workers_free(pool);
    free(workers);
    return st;
}

static enum stoq_status ignore_entry(void *user, const struct stoq_entry *entry, uint64_t offset,
                                     struct stoq_error *err)
{
    (void)user;
    (void)entry;
    (void)offset;
    (void)err;
    return STOQ_OK;
}

static void say(struct stoq_verdict *verdict, bool valid, const char *why)
{
    size_t n = strnlen(why, sizeof verdict->why - 1);
    while (n > 0 && (why[n] & 0xc0) == 0x80) {
        n--; /* not inside a character */
    }
    verdict->valid = valid;
    memcpy(verdict->why, why, n);
    verdict->why[n] = 0;
}

static enum stoq_status check_content(struct verify *v, struct stoq_error *err)
{
    struct stoq_verify_report *r = v->report;
    const struct stoq_manifest *m = stoq_held_manifest(v->held);
    r->chunks = m->chunks;
    r->bytes = m->bytes;
    size_t shards = stoq_held_shard_count(v->held);
    v->first_chunk = calloc(shards + 1, sizeof *v->first_chunk);
    if (v->first_chunk == NULL) {
        return stoq_fail(err, STOQ_NOMEM, 0, "no memory to verify");
    }
    for (size_t i = 0; i < shards; i++) {
        v->first_chunk[i + 1] =
            v->first_chunk[i] + stoq_merkle_shard_at(stoq_held_shard_list(v->held), i).chunks;
    }
    unsigned threads = v->ask->threads;
    if (threads == 0) {
        long n = sysconf(_SC_NPROCESSORS_ONLN);
        threads = n < 1 ? 1 : n > THREADS_DEFAULT_MAX ? THREADS_DEFAULT_MAX : (unsigned)n;
    }
    enum stoq_status st = run_workers(v, threads < THREADS_MAX ? threads : THREADS_MAX, err);
    if (st != STOQ_OK) {
        return st;
    }
    if (r->chunks_bad + r->chunks_missing > 0) {
        r->merkle.valid = false;
        (void)snprintf(
            r->merkle.why, sizeof r->merkle.why,
            "%llu chunks are damaged and %llu are not here, the first of them chunk %llu",
            (unsigned long long)r->chunks_bad, (unsigned long long)r->chunks_missing,
            (unsigned long long)r->first_fault);
        return STOQ_OK;
    }
    st = stoq_held_each_entry(v->held, ignore_entry, NULL, err);
    if (st == STOQ_MALFORMED || is_fault(st)) {
        say(&r->merkle, false, "the file table breaks the format, as it was published");
        return STOQ_OK;
    }
    if (st == STOQ_OK) {
        say(&r->merkle, true, "manifest, lists, file table and every chunk belong to the id");
    }
    return st;
}

static enum stoq_status check_signature(struct verify *v, struct stoq_error *err)
{
    struct stoq_verify_report *r = v->report;
    enum stoq_status st = stoq_local_signer(v->store, &v->ask->id, &r->signer, err);
    switch (st) {
    case STOQ_OK:
        say(&r->signature, true, "signed by the key named; whether to trust it is your choice");
        return STOQ_OK;
    case STOQ_NOTFOUND:
        say(&r->signature, false, "unsigned");
        return STOQ_OK;
    case STOQ_PROOF:
        say(&r->signature, false, "there are signatures here and none of them is good");
        return STOQ_OK;
    default:
        return st;
    }
}

static void conclude(struct verify *v)
{
    struct stoq_verify_report *r = v->report;
    say(&r->consensus, false, "no witness log is asked about packages");
    bool unsigned_is_fine =
        !v->ask->signature_required && strcmp(r->signature.why, "unsigned") == 0;
    if (!r->merkle.valid) {
        r->overall = r->merkle;
    } else if (!r->signature.valid && !unsigned_is_fine) {
        r->overall = r->signature;
    } else {
        say(&r->overall, true,
            r->signature.valid ? "content and signature are good" : "content is good; unsigned");
    }
}

enum stoq_status stoq_verify(struct stoq_store *store, const struct stoq_verify_ask *ask,
                             struct stoq_verify_report *report, struct stoq_error *err)
{
    stoq_ns began = stoq_now();
    struct stoq_error why = {0};
    struct verify v = {.store = store, .ask = ask, .report = report};
    memset(report, 0, sizeof *report);
    if (!stoq_store_has(store, STOQ_RECORD_MANIFEST, stoq_span(ask->id.h.b, 32))) {
        return stoq_fail_code(err, STOQ_NOTFOUND, "ContentNotFound", "no such package here");
    }
    (void)pthread_mutex_init(&v.lock, NULL);
    (void)pthread_cond_init(&v.ended, NULL);
    enum stoq_status st = stoq_held_open(&v.held, store, &ask->id, &why);
    if (is_fault(st)) {
        say(&report->merkle, false, why.text);
        st = STOQ_OK;
    } else if (st == STOQ_OK) {
        st = check_content(&v, err);
    } else if (err != NULL) {
        *err = why;
    }
    if (st == STOQ_OK) {
        st = check_signature(&v, err);
    }
    if (st == STOQ_OK) {
        conclude(&v);
    }
    stoq_held_close(v.held);
    free(v.first_chunk);
    (void)pthread_cond_destroy(&v.ended);
    (void)pthread_mutex_destroy(&v.lock);
    report->elapsed_ns = stoq_now() - began;
    return st;
}
