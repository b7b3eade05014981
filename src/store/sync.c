/*
 * The sync thread. It works in rounds; a round takes everything that was appended when it began:
 *
 *   1. seal the open block, write what nobody else is writing
 *   2. fdatasync the segments; fsync the directory when one is new
 *   3. commit the pending records to the index, with the mark behind them
 *
 * A caller of sync waits until the index holds the last sequence given out before its call; any
 * number of callers share a round, and appends go on during it. Without callers a round begins
 * when 6 MiB are written, so that memory stays flat and the disk never idles, or when puts wait for
 * the room that its blocks take; such a round leaves step 3 to later ones, for a commit costs two
 * flushes more, and where chunks come in no order a page of the index each: a crash then means
 * scanning at most 512 MiB of log.
 *
 * When a round fails, whatever it covered stays in memory and readable, "stuck" makes each put and
 * sync try another round, and waiters get the error. A failed fdatasync leads to salvage.c.
 */
#include "store/store_internal.h"

#include "os/cond.h"
#include "os/file.h"
#include "os/sys.h"

#include <errno.h>
#include <stdlib.h>

/* Spare blocks kept by a store that has been idle for so long. */
#define SPARE_IDLE 2
#define SPARE_IDLE_TIME STOQ_SEC

static bool round_is_wanted(const struct stoq_log *log)
{
    if (log->round_wanted || log->wanted_sequence > log->committed_sequence) {
        return true;
    }
    return !log->stuck && (log->room_wanted || log->pending.count >= STOQ_PENDING_TRIGGER ||
                           log->written_bytes >= STOQ_UNSYNCED_BYTES_TRIGGER);
}

/* Step 1. Only the sync thread takes blocks out of the queue, so it can be walked across waits. */
static int write_out(struct stoq_store *s, bool all)
{
    struct stoq_log *log = &s->log;
    if (all) {
        stoq_block_seal(s);
    }
    const struct stoq_block *end = log->last;
    for (struct stoq_block *b = log->first; b != NULL; b = b->next) {
        while (b->state == STOQ_BLOCK_WRITING ||
               (b->state == STOQ_BLOCK_SEALED && b->fillers > 0)) {
            (void)pthread_cond_wait(&log->changed, &log->lock);
        }
        if (b->state == STOQ_BLOCK_SEALED) {
            int e = stoq_block_write(s, b);
            if (e != 0) {
                return e;
            }
        }
        if (b == end) {
            break;
        }
    }
    return 0;
}

/* The last block of the written run at the head of the queue; NULL: none. */
static struct stoq_block *written_run_end(const struct stoq_log *log)
{
    struct stoq_block *last = NULL;
    for (struct stoq_block *b = log->first; b != NULL && b->state == STOQ_BLOCK_WRITTEN;
         b = b->next) {
        last = b;
    }
    return last;
}

/* fdatasync each segment of first..last and, for new ones, the directory. No lock held: these
 * blocks are written, and only this thread retires blocks. */
static int flush_files(struct stoq_store *s, struct stoq_block *first,
                       const struct stoq_block *last)
{
    struct stoq_segment_file *done = NULL;
    bool any_new = false;
    for (struct stoq_block *b = first;; b = b->next) {
        if (b->file != done) {
            int e = stoq_durable_segment_fdatasync(&s->fault, b->file->fd);
            if (e != 0) {
                return e;
            }
            done = b->file;
            any_new = any_new || b->file->is_new;
        }
        if (b == last) {
            break;
        }
    }
    return any_new ? stoq_durable_segment_dirsync(&s->fault, s->segments_fd) : 0;
}

void stoq_sync_retire_through(struct stoq_store *s, const struct stoq_block *last)
{
    struct stoq_log *log = &s->log;
    uint64_t sequence = last->last_sequence;
    while (log->volatile_from != NULL && log->volatile_from->e.sequence <= sequence) {
        log->volatile_from->block = NULL;
        log->volatile_from = log->volatile_from->newer;
    }
    log->durable_sequence = sequence;
    bool more = true;
    while (more) {
        more = log->first != last;
        if (log->first->passing) {
            stoq_behind_add(&s->behind, log->first->file->number, log->first->offset,
                            log->first->n);
        }
        log->first->file->is_new = false;
        stoq_block_retire_first(s);
    }
    (void)pthread_cond_broadcast(&log->changed);
}

/* Step 2. */
static enum stoq_status make_durable(struct stoq_store *s)
{
    struct stoq_log *log = &s->log;
    struct stoq_block *last = written_run_end(log);
    if (last == NULL) {
        return STOQ_OK;
    }
    struct stoq_block *first = log->first;
    (void)pthread_mutex_unlock(&log->lock);
    int e = flush_files(s, first, last);
    (void)pthread_mutex_lock(&log->lock);
    s->stats.syncs++;
    if (e != 0) {
        s->stats.fsync_failures++;
        log->homeless = true;
        return stoq_salvage(s);
    }
    stoq_sync_retire_through(s, last);
    (void)pthread_mutex_unlock(&log->lock);
    uint64_t forgotten = stoq_behind_forget(&s->behind, s->cache);
    (void)pthread_mutex_lock(&log->lock);
    s->stats.forgotten_bytes += forgotten;
    return STOQ_OK;
}

/* What there is to commit, none beyond limit; the mark behind the last one. */
static size_t gather(const struct stoq_log *log, uint64_t limit, const struct stoq_entry **out,
                     size_t room, struct stoq_index_mark *mark)
{
    size_t n = 0;
    const struct stoq_pending *p = log->pending.oldest;
    for (; p != NULL && n < room && p->e.sequence <= limit; p = p->newer) {
        out[n++] = &p->e;
        mark->segment = p->e.segment;
        mark->offset = p->e.offset + stoq_record_bytes(p->e.key_len, p->e.info.stored_len);
        mark->next_sequence = p->e.sequence + 1;
    }
    return n;
}

/*
 * Chunks come in no order of their keys, so that a transaction touches nearly every page of the index.
 * All that is pending is therefore put into order first and applied in stretches of keys, each of which
 * touches its own pages. The mark moves with the last one: after a crash before that, recovery finds
 * what the others have already brought and changes nothing by it.
 */
static enum stoq_status apply_in_order(struct stoq_store *s, const struct stoq_entry **entries,
                                       size_t n, const struct stoq_index_mark *mark,
                                       struct stoq_error *err)
{
    enum stoq_status st = STOQ_OK;
    stoq_index_sort(entries, n);
    for (size_t at = 0; at < n && st == STOQ_OK; at += STOQ_COMMIT_BATCH) {
        bool is_last = n - at <= STOQ_COMMIT_BATCH;
        int e = stoq_durable_ask(&s->fault, STOQ_DURABLE_INDEX_COMMIT);
        st = e != 0 ? stoq_fail(err, stoq_file_status(e), e, "index: commit")
                    : stoq_index_apply(s->index, entries + at, is_last ? n - at : STOQ_COMMIT_BATCH,
                                       is_last ? mark : NULL, err);
    }
    return st;
}

/* Step 3, for records up to limit. */
static enum stoq_status commit(struct stoq_store *s, uint64_t limit)
{
    struct stoq_log *log = &s->log;
    size_t room = log->pending.count;
    const struct stoq_entry **entries = room > 0 ? calloc(room, sizeof *entries) : NULL;
    struct stoq_index_mark mark;
    size_t n = entries != NULL ? gather(log, limit, entries, room, &mark) : 0;
    if (n == 0) {
        bool failed = room > 0 && entries == NULL;
        free(entries);
        return failed ? stoq_log_stick(s, ENOMEM, "commit to the index") : STOQ_OK;
    }
    (void)pthread_mutex_unlock(&log->lock);
    struct stoq_error err = {0};
    enum stoq_status st = apply_in_order(s, entries, n, &mark, &err);
    (void)pthread_mutex_lock(&log->lock);
    free(entries);
    if (st != STOQ_OK) {
        log->stuck = true;
        log->failure = err;
        return st;
    }
    for (; n > 0; n--) {
#ifdef STOQ_LEFT_OUT_index_commit_order
        if (log->volatile_from == log->pending.oldest) {
            log->volatile_from = log->pending.oldest->newer;
        }
#endif
        stoq_pending_drop_oldest(&log->pending);
    }
    log->commit_count++;
    log->committed_sequence = mark.next_sequence - 1;
    return STOQ_OK;
}

static enum stoq_status run_round(struct stoq_store *s)
{
    struct stoq_log *log = &s->log;
    bool wanted = log->round_wanted || log->wanted_sequence > log->committed_sequence;
    bool all = wanted || log->room_wanted;
    bool index = wanted || log->pending.count >= STOQ_PENDING_TRIGGER ||
                 log->bytes_since_commit >= STOQ_COMMIT_BYTES_TRIGGER;
    log->round_wanted = false;
    log->room_wanted = false;
    log->stuck = false; /* set again by whatever fails */
    if (log->homeless) {
        enum stoq_status st = stoq_salvage(s);
        if (st != STOQ_OK) {
            return st;
        }
    }
    if (write_out(s, all) != 0) {
        return log->failure.status;
    }
#ifdef STOQ_LEFT_OUT_index_commit_order
    if (index && written_run_end(log) != NULL) {
        (void)commit(s, written_run_end(log)->last_sequence);
    }
#endif
    enum stoq_status st = make_durable(s);
    if (st == STOQ_OK && index) {
        uint64_t covers = log->durable_sequence;
        log->bytes_since_commit = 0;
        st = commit(s, covers);
    }
    return st;
}

/* Until a round may be wanted. Whoever fetches slowly leaves nothing to write time and again: blocks that
 * were given back at each such moment would be faulted in anew for the next bytes. */
static void wait_for_work(struct stoq_store *s)
{
    struct stoq_log *log = &s->log;
    if (log->first != NULL || log->spare_count <= SPARE_IDLE) {
        (void)pthread_cond_wait(&log->work, &log->lock);
        return;
    }
    uint64_t sequence = log->next_sequence;
    if (!stoq_cond_wait_until(&log->work, &log->lock, stoq_now() + SPARE_IDLE_TIME) &&
        log->next_sequence == sequence) {
        stoq_block_trim(s, SPARE_IDLE);
    }
}

static void *sync_thread(void *arg)
{
    struct stoq_store *s = arg;
    struct stoq_log *log = &s->log;
    (void)pthread_mutex_lock(&log->lock);
    for (;;) {
        while (!log->stopping && !round_is_wanted(log)) {
            wait_for_work(s);
        }
        if (log->stopping) {
            break;
        }
        log->rounds_begun++;
        if (run_round(s) != STOQ_OK) {
            log->rounds_failed = log->rounds_begun;
            log->stuck = true;
            log->wanted_sequence = 0; /* each waiter takes the error and may ask again */
        }
        log->rounds_done = log->rounds_begun;
        (void)pthread_cond_broadcast(&log->changed);
    }
    (void)pthread_mutex_unlock(&log->lock);
    return NULL;
}

enum stoq_status stoq_sync_start(struct stoq_store *s, struct stoq_error *err)
{
    int e = pthread_create(&s->thread, NULL, sync_thread, s);
    if (e != 0) {
        return stoq_fail(err, STOQ_NOMEM, e, "start the sync thread");
    }
    s->thread_running = true;
    return STOQ_OK;
}

void stoq_sync_stop(struct stoq_store *s)
{
    if (!s->thread_running) {
        return;
    }
    (void)pthread_mutex_lock(&s->log.lock);
    s->log.stopping = true;
    (void)pthread_cond_signal(&s->log.work);
    (void)pthread_mutex_unlock(&s->log.lock);
    (void)pthread_join(s->thread, NULL);
    s->thread_running = false;
}

/* Wait until a round that began after this call is done. */
enum stoq_status stoq_sync_round_now(struct stoq_store *s, struct stoq_error *err)
{
    struct stoq_log *log = &s->log;
    uint64_t mine = log->rounds_begun + 1;
    log->round_wanted = true;
    (void)pthread_cond_signal(&log->work);
    while (log->rounds_done < mine) {
        (void)pthread_cond_wait(&log->changed, &log->lock);
    }
    if (log->rounds_failed >= mine) {
        if (err != NULL) {
            *err = log->failure;
        }
        return log->failure.status;
    }
    return STOQ_OK;
}

enum stoq_status stoq_store_sync(struct stoq_store *s, struct stoq_error *err)
{
    if (s->read_only) {
        return STOQ_OK;
    }
    struct stoq_log *log = &s->log;
    enum stoq_status st = STOQ_OK;
    (void)pthread_mutex_lock(&log->lock);
    uint64_t target = log->next_sequence - 1;
    /* A round under way may have begun before our last put: its failure is not necessarily ours,
     * and its success need not reach us. So count failures of later rounds only. */
    uint64_t begun = log->rounds_begun;
    while (log->committed_sequence < target) {
        if (log->rounds_failed > begun) {
            if (err != NULL) {
                *err = log->failure;
            }
            st = log->failure.status;
            break;
        }
        if (log->wanted_sequence < target) {
            log->wanted_sequence = target;
            (void)pthread_cond_signal(&log->work);
        }
        (void)pthread_cond_wait(&log->changed, &log->lock);
    }
    (void)pthread_mutex_unlock(&log->lock);
    return st;
}
