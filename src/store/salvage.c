/*
 * After a failed fdatasync. The kernel may have marked the pages clean although they never reached
 * the disk, so a second fdatasync could succeed and mean nothing ("fsyncgate", 2018). What is
 * known to be good ends where the last successful one ended. Everything since is still in our
 * blocks; so:
 *
 *   1. no more appends; wait until no block is being filled or written
 *   2. cut the old segments at their last good byte (best effort; what stays is scanned like any
 *   tail
 *      and loses against the copies, which carry the same sequences)
 *   3. write the blocks one behind the other into a new segment, fdatasync it, fsync the directory,
 *      and read it back past the page cache: this disk has just lied
 *   4. point the blocks' records to their new places
 *
 * When any of that fails the new file is removed, the blocks stay "homeless" and the next round
 * tries with yet another segment.
 */
#include "store/store_internal.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

/* Step 1. */
static void settle(struct stoq_store *s)
{
    struct stoq_log *log = &s->log;
    log->salvaging = true;
    stoq_block_seal(s);
    for (;;) {
        bool busy = false;
        for (const struct stoq_block *b = log->first; b != NULL; b = b->next) {
            busy = busy || b->fillers > 0 || b->state == STOQ_BLOCK_WRITING;
        }
        if (!busy) {
            return;
        }
        (void)pthread_cond_wait(&log->changed, &log->lock);
    }
}

/* Step 2. The queue's first block begins at the first segment's last good byte; later segments of
 * the queue have none. */
static void cut_old(struct stoq_store *s)
{
    const struct stoq_segment_file *seen = NULL;
    for (const struct stoq_block *b = s->log.first; b != NULL; b = b->next) {
        if (b->file == seen) {
            continue;
        }
        seen = b->file;
        stoq_segment_cache_drop(s->cache, b->file->number);
        if (b->offset > STOQ_SEGMENT_HEADER_BYTES) {
            (void)!ftruncate(b->file->fd, (off_t)b->offset);
        } else {
            char name[STOQ_SEGMENT_NAME_BYTES];
            stoq_segment_name(name, b->file->number);
            (void)unlinkat(s->segments_fd, name, 0);
            s->log.used_bytes -= STOQ_SEGMENT_HEADER_BYTES; /* what was behind it comes again */
        }
    }
}

/* Step 3, with the new segment active. No lock held: appends wait, putters have no block. */
static int write_anew(struct stoq_store *s)
{
    const struct stoq_segment_file *f = s->log.active;
    uint64_t at = STOQ_SEGMENT_HEADER_BYTES;
    for (const struct stoq_block *b = s->log.first; b != NULL; b = b->next) {
        int e = stoq_durable_segment_write(&s->fault, f->fd, stoq_span(b->p, b->n), at);
        if (e != 0) {
            return e;
        }
        at += b->n;
    }
    int e = stoq_durable_segment_fdatasync(&s->fault, f->fd);
    if (e == 0) {
        e = stoq_durable_segment_dirsync(&s->fault, s->segments_fd);
    }
    char path[4096];
    int n = snprintf(path, sizeof path, "%s/segments/%08x.seg", s->dir, f->number);
    if (n < 0 || (size_t)n >= sizeof path) {
        e = ENAMETOOLONG;
    }
    at = STOQ_SEGMENT_HEADER_BYTES;
    for (const struct stoq_block *b = s->log.first; e == 0 && b != NULL; b = b->next) {
        e = stoq_durable_readback(&s->fault, path, stoq_span(b->p, b->n), at);
        at += b->n;
    }
    return e;
}

/* Step 4. */
static void move_in(struct stoq_store *s)
{
    struct stoq_log *log = &s->log;
    struct stoq_pending *p = log->volatile_from;
    uint64_t at = STOQ_SEGMENT_HEADER_BYTES;
    for (struct stoq_block *b = log->first; b != NULL; b = b->next) {
        for (; p != NULL && p->block == b; p = p->newer) {
            p->e.segment = log->active->number;
            p->e.offset = (uint32_t)(p->e.offset - b->offset + at);
        }
        if (b->state == STOQ_BLOCK_SEALED) {
            log->written_bytes += b->n;
        }
        b->state = STOQ_BLOCK_WRITTEN;
        b->offset = at;
        stoq_segment_file_unref(b->file);
        b->file = log->active;
        b->file->refs++;
        at += b->n;
    }
    STOQ_ASSERT(p == NULL);
    log->active_end = at;
    log->homeless = false;
}

/* The new segment did not work out. */
static void give_up(struct stoq_store *s)
{
    struct stoq_log *log = &s->log;
    char name[STOQ_SEGMENT_NAME_BYTES];
    stoq_segment_name(name, log->active->number);
    (void)unlinkat(s->segments_fd, name, 0);
    log->used_bytes -= STOQ_SEGMENT_HEADER_BYTES;
    stoq_segment_file_unref(log->active);
    log->active = NULL;
}

enum stoq_status stoq_salvage(struct stoq_store *s)
{
    struct stoq_log *log = &s->log;
    enum stoq_status st = STOQ_OK;
    settle(s);
    cut_old(s);
    int e = stoq_block_next_segment(s);
    if (e == 0) {
        (void)pthread_mutex_unlock(&log->lock);
        e = write_anew(s);
        (void)pthread_mutex_lock(&log->lock);
        if (e == 0) {
            move_in(s);
            if (log->last != NULL) {
                stoq_sync_retire_through(s, log->last);
            }
        } else {
            give_up(s);
        }
    }
    if (e != 0) {
        st = stoq_log_stick(s, e, "rewrite what a failed fdatasync left behind");
    }
    log->salvaging = false;
    (void)pthread_cond_broadcast(&log->changed);
    struct stoq_error why = log->failure;
    (void)pthread_mutex_unlock(&log->lock);
    if (st == STOQ_OK) {
        stoq_store_say(s, "an fdatasync failed; the unsynced records were written anew");
    } else {
        stoq_store_say(s, "an fdatasync failed, and what it left behind waits: %s", why.text);
    }
    (void)pthread_mutex_lock(&log->lock);
    return st;
}
