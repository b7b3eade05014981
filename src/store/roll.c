#include "store/store_internal.h"

#include "os/file.h"

#include <errno.h>
#include <unistd.h>

/* No block takes records, and none will while the lock is not released. log.lock held. False: the log is
 * stuck. */
static bool close_open_block(struct stoq_store *s)
{
    struct stoq_log *log = &s->log;
    for (;;) {
        struct stoq_block *b = log->last;
        if (log->stuck) {
            return false;
        }
        if (log->salvaging) {
            (void)pthread_cond_wait(&log->changed, &log->lock);
        } else if (b == NULL || b->state != STOQ_BLOCK_OPEN) {
            return true;
        } else {
            stoq_block_seal(s);
            if (b->fillers == 0) {
                (void)stoq_block_write(s, b); /* others may begin a block meanwhile */
            }
        }
    }
}

/* Begin a segment behind `reserve` free numbers; *fd_out is a descriptor of it. log.lock held. 0 or an
 * errno. */
static int begin_segment(struct stoq_store *s, uint32_t reserve, uint32_t *first, int *fd_out)
{
    struct stoq_log *log = &s->log;
    if (!close_open_block(s)) {
        return EAGAIN;
    }
    *first = log->next_segment;
    log->next_segment += reserve;
    int e = stoq_block_next_segment(s);
    if (e == 0) {
        *fd_out = dup(log->active->fd);
        e = *fd_out < 0 ? errno : 0;
    }
    return e;
}

enum stoq_status stoq_log_roll(struct stoq_store *s, uint32_t reserve, uint32_t *first,
                               struct stoq_error *err)
{
    struct stoq_log *log = &s->log;
    int fd = -1;
    enum stoq_status st = stoq_store_sync(s, err); /* if it is stuck, it says why */
    if (st != STOQ_OK) {
        return st;
    }
    (void)pthread_mutex_lock(&log->lock);
    int e = begin_segment(s, reserve, first, &fd);
    (void)pthread_mutex_unlock(&log->lock);
    if (e == 0) {
        e = stoq_durable_roll_sync(fd, s->segments_fd);
    }
    if (fd >= 0) {
        (void)close(fd);
    }
    if (e != 0) {
        return stoq_fail(err, stoq_file_status(e) == STOQ_FULL ? STOQ_FULL : STOQ_IO, e,
                         "begin a segment in %s", s->dir);
    }
    st = stoq_store_sync(s, err);
    return st == STOQ_OK
               ? stoq_index_advance(s->index, *first + reserve, STOQ_SEGMENT_HEADER_BYTES, err)
               : st;
}
