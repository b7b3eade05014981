/*
 * The append path. A record is copied once, into a block of 1 MiB that one pwrite will take:
 *
 *   putter:  room -> take (offset and sequence fixed, under the lock)
 *            copy and checksum (no lock) -> filled
 *
 *     first                                              last
 *   [ WRITTEN ]--[ WRITTEN ]--[ WRITING ]--[ SEALED ]--[ OPEN ]      all unsynced
 *
 * Whoever completes a sealed block writes it, so with several putters the copies into the page
 * cache run side by side, and the disk is kept busy while the sync thread waits for its fdatasync.
 * Blocks stay until they are durable: after a failed fdatasync the page cache cannot be believed
 * and memory is the only copy. A failed write (disk full) leaves its block SEALED; nothing is
 * lost, the log is "stuck" and every put or sync begins with another try.
 */
#include "store/store_internal.h"

#include "os/file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum stoq_status stoq_log_stick(struct stoq_store *s, int sys_errno, const char *what)
{
    enum stoq_status st = stoq_file_status(sys_errno);
    if (st != STOQ_FULL && st != STOQ_NOMEM) {
        st = STOQ_IO;
    }
    s->log.stuck = true;
    return stoq_fail(&s->log.failure, st, sys_errno, "%s in %s", what, s->dir);
}

void stoq_segment_file_unref(struct stoq_segment_file *f)
{
    if (f == NULL || --f->refs > 0) {
        return;
    }
    (void)close(f->fd);
    free(f);
}

int stoq_block_next_segment(struct stoq_store *s)
{
    struct stoq_log *log = &s->log;
    struct stoq_segment_file *f = calloc(1, sizeof *f);
    if (f == NULL) {
        return ENOMEM;
    }
    struct stoq_segment_header header = {.number = log->next_segment};
    memcpy(header.store_id, s->id, sizeof header.store_id);
    int e = stoq_segment_create(&s->fault, s->segments_fd, &header, &f->fd);
    if (e != 0) {
        free(f);
        return e;
    }
    f->number = log->next_segment++;
    f->is_new = true;
    f->refs = 1;
    stoq_segment_file_unref(log->active);
    log->active = f;
    log->active_end = STOQ_SEGMENT_HEADER_BYTES;
    log->used_bytes += STOQ_SEGMENT_HEADER_BYTES;
    return 0;
}

static struct stoq_block *block_new(struct stoq_log *log, size_t cap)
{
    if (cap == STOQ_BLOCK_BYTES && log->spare != NULL) {
        struct stoq_block *b = log->spare;
        log->spare = b->next;
        log->spare_count--;
        *b = (struct stoq_block){.p = b->p, .cap = cap};
        return b;
    }
    struct stoq_block *b = calloc(1, sizeof *b);
    /* Not malloc: what is freed must go back to the system, whatever thread took it. */
    void *p = mmap(NULL, cap, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (b == NULL || p == MAP_FAILED) {
        free(b);
        if (p != MAP_FAILED) {
            (void)munmap(p, cap);
        }
        return NULL;
    }
    b->p = p;
    b->cap = cap;
    return b;
}

static void block_free(struct stoq_block *b)
{
    (void)munmap(b->p, b->cap);
    free(b);
}

/* Its memory is no longer needed. */
static void block_recycle(struct stoq_log *log, struct stoq_block *b)
{
    if (b->cap != STOQ_BLOCK_BYTES || log->stopping) {
        block_free(b);
        return;
    }
    b->next = log->spare;
    log->spare = b;
    log->spare_count++;
}

void stoq_block_trim(struct stoq_store *s, size_t keep)
{
    struct stoq_log *log = &s->log;
    while (log->spare_count > keep) {
        struct stoq_block *b = log->spare;
        log->spare = b->next;
        log->spare_count--;
        block_free(b);
    }
}

/* Must a record of n bytes go to a new segment? */
static bool begins_segment(const struct stoq_store *s, size_t n)
{
    const struct stoq_log *log = &s->log;
    return log->active == NULL ||
           (log->active_end + n > s->segment_bytes && log->active_end > STOQ_SEGMENT_HEADER_BYTES);
}

static enum stoq_status block_begin(struct stoq_store *s, size_t n, struct stoq_error *err)
{
    struct stoq_log *log = &s->log;
    if (begins_segment(s, n)) {
        int e = stoq_block_next_segment(s);
        if (e != 0) {
            enum stoq_status st = stoq_file_status(e) == STOQ_FULL ? STOQ_FULL : STOQ_IO;
            return stoq_fail(err, st, e, "begin a segment in %s", s->dir);
        }
    }
    struct stoq_block *b = block_new(log, n > STOQ_BLOCK_BYTES ? n : STOQ_BLOCK_BYTES);
    if (b == NULL) {
        return stoq_fail(err, STOQ_NOMEM, 0, "no memory to write to %s", s->dir);
    }
    b->file = log->active;
    b->file->refs++;
    b->offset = log->active_end;
    b->passing = true;
    b->last_sequence = log->next_sequence - 1; /* it may stay empty */
    if (log->last != NULL) {
        log->last->next = b;
    } else {
        log->first = b;
    }
    log->last = b;
    log->retained_bytes += b->cap;
    return STOQ_OK;
}

/* Too much waits for the disk, or for the index, to take a record of n bytes now. */
static bool must_wait(const struct stoq_log *log, size_t n)
{
    bool begins = log->last == NULL || log->last->state != STOQ_BLOCK_OPEN;
    size_t cap = n > STOQ_BLOCK_BYTES ? n : STOQ_BLOCK_BYTES;
    return log->pending.count >= STOQ_PENDING_MAX ||
           (begins && log->first != NULL && log->retained_bytes + cap > STOQ_UNSYNCED_BYTES_MAX);
}

enum stoq_status stoq_block_room(struct stoq_store *s, size_t n, uint64_t limit, bool *over_quota,
                                 struct stoq_error *err)
{
    struct stoq_log *log = &s->log;
    for (;;) {
        uint64_t takes = n + (begins_segment(s, n) ? STOQ_SEGMENT_HEADER_BYTES : 0);
        *over_quota = !stoq_quota_has(s, takes, limit);
        if (*over_quota) {
            return stoq_quota_fail(s, err);
        }
        struct stoq_block *b = log->last;
        enum stoq_status st = STOQ_OK;
        if (log->salvaging) {
            (void)pthread_cond_wait(&log->changed, &log->lock);
        } else if (log->stuck) {
            st = stoq_sync_round_now(s, err);
        } else if (must_wait(log, n)) {
            log->room_wanted = true;
            (void)pthread_cond_signal(&log->work);
            (void)pthread_cond_wait(&log->changed, &log->lock);
        } else if (b != NULL && b->state == STOQ_BLOCK_OPEN) {
            bool in_segment = log->active_end + n <= s->segment_bytes ||
                              log->active_end == STOQ_SEGMENT_HEADER_BYTES;
            if (b->cap - b->n >= n && in_segment) {
                return STOQ_OK;
            }
            stoq_block_seal(s);
            if (b->fillers == 0) {
                (void)stoq_block_write(s, b); /* a failure shows as stuck */
            }
        } else {
            st = block_begin(s, n, err);
        }
        if (st != STOQ_OK) {
            return st;
        }
    }
}

struct stoq_block *stoq_block_take(struct stoq_store *s, size_t n, uint64_t *offset)
{
    struct stoq_log *log = &s->log;
    struct stoq_block *b = log->last;
    STOQ_ASSERT(b != NULL && b->state == STOQ_BLOCK_OPEN && b->cap - b->n >= n);
    *offset = log->active_end;
    b->n += n;
    b->fillers++;
    log->active_end += n;
    log->used_bytes += n;
    log->bytes_since_commit += n;
    s->stats.appended_bytes += n;
    return b;
}

void stoq_block_seal(struct stoq_store *s)
{
    struct stoq_block *b = s->log.last;
    if (b != NULL && b->state == STOQ_BLOCK_OPEN) {
        b->state = STOQ_BLOCK_SEALED;
    }
}

int stoq_block_write(struct stoq_store *s, struct stoq_block *b)
{
    struct stoq_log *log = &s->log;
    STOQ_ASSERT(b->state == STOQ_BLOCK_SEALED && b->fillers == 0);
    b->state = STOQ_BLOCK_WRITING;
    (void)pthread_mutex_unlock(&log->lock);
    int e = stoq_durable_segment_write(&s->fault, b->file->fd, stoq_span(b->p, b->n), b->offset);
    (void)pthread_mutex_lock(&log->lock);
    if (e == 0) {
        b->state = STOQ_BLOCK_WRITTEN;
        log->written_bytes += b->n;
        if (log->written_bytes >= STOQ_UNSYNCED_BYTES_TRIGGER) {
            (void)pthread_cond_signal(&log->work);
        }
    } else {
        b->state = STOQ_BLOCK_SEALED;
        (void)stoq_log_stick(s, e, "write a segment");
    }
    (void)pthread_cond_broadcast(&log->changed);
    return e;
}

void stoq_block_filled(struct stoq_store *s, struct stoq_block *b)
{
    struct stoq_log *log = &s->log;
    STOQ_ASSERT(b->fillers > 0);
    b->fillers--;
    if (b->fillers == 0 && b->state == STOQ_BLOCK_SEALED && !log->salvaging && !log->homeless) {
        (void)stoq_block_write(s, b);
        return;
    }
    (void)pthread_cond_broadcast(&log->changed);
}

void stoq_block_retire_first(struct stoq_store *s)
{
    struct stoq_log *log = &s->log;
    struct stoq_block *b = log->first;
    log->first = b->next;
    if (log->first == NULL) {
        log->last = NULL;
    }
    log->retained_bytes -= b->cap;
    log->written_bytes -= b->n;
    stoq_segment_file_unref(b->file);
    b->file = NULL;
    b->retired = true;
    if (b->readers == 0) {
        block_recycle(log, b);
    }
}

void stoq_block_unread(struct stoq_store *s, struct stoq_block *b)
{
    STOQ_ASSERT(b->readers > 0);
    b->readers--;
    if (b->readers == 0 && b->retired) {
        block_recycle(&s->log, b);
    }
}
