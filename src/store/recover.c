#include "store/fold.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* Where the log goes on: at the end of the last segment, if it is sound, else in a new one. */
static enum stoq_status set_up_log(struct stoq_store *s, const struct stoq_fold *f,
                                   const uint32_t *number, size_t count, struct stoq_error *err)
{
    struct stoq_log *log = &s->log;
    log->next_sequence = f->mark.next_sequence;
    log->durable_sequence = log->next_sequence - 1;
    log->committed_sequence = log->durable_sequence;
    log->next_segment = count == 0 ? 1 : number[count - 1] + 1;
    if (count == 0 || !f->append_after) {
        return STOQ_OK;
    }
    struct stoq_segment_file *file = calloc(1, sizeof *file);
    if (file == NULL) {
        return stoq_fail(err, STOQ_NOMEM, 0, "open %s", s->dir);
    }
    char name[STOQ_SEGMENT_NAME_BYTES];
    stoq_segment_name(name, number[count - 1]);
    file->fd = openat(s->segments_fd, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    struct stat sb;
    if (file->fd < 0 || fstat(file->fd, &sb) != 0) {
        int e = errno;
        if (file->fd >= 0) {
            (void)close(file->fd);
        }
        free(file);
        return stoq_fail(err, STOQ_IO, e, "open segment %08x", number[count - 1]);
    }
    file->number = number[count - 1];
    file->refs = 1;
    file->is_new = true; /* its name may be as young as the crash: the first sync makes sure */
    log->active = file;
    log->active_end = (uint64_t)sb.st_size;
    if (log->active_end % 8 != 0 || log->active_end < STOQ_SEGMENT_HEADER_BYTES) {
        stoq_segment_file_unref(file);
        log->active = NULL;
    }
    return STOQ_OK;
}

enum stoq_status stoq_recover_tail(struct stoq_store *s, struct stoq_error *err)
{
    struct stoq_index_meta meta;
    enum stoq_status st = stoq_index_meta(s->index, &meta, err);
    if (st != STOQ_OK) {
        return st;
    }
    uint32_t *number;
    size_t count;
    st = stoq_segment_list(s->segments_fd, &number, &count, err);
    if (st != STOQ_OK) {
        return st;
    }
    struct stoq_fold f;
    st = stoq_fold_init(&f, s, s->index, true, err);
    if (st == STOQ_OK) {
        st = stoq_fold_all(&f, number, count, meta.mark, err);
    }
    if (st == STOQ_OK && f.report.records > 0) {
        stoq_store_say(s, "recovered %llu records that were not yet indexed",
                       (unsigned long long)f.report.records);
    }
    if (st == STOQ_OK) {
        s->stats.quarantined += f.report.quarantined;
        free(number); /* the list may have lost its last, short one */
        st = stoq_segment_list(s->segments_fd, &number, &count, err);
    }
    if (st == STOQ_OK) {
        st = set_up_log(s, &f, number, count, err);
    }
    stoq_fold_release(&f);
    free(number);
    return st;
}
