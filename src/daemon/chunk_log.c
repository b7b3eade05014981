#include "daemon/chunk_log.h"

#include <errno.h>
#include <unistd.h>

#include "os/file.h"

#define ENTRY ((size_t)STOQ_MERKLE_CHUNK_ENTRY_BYTES)
#define TAIL_ENTRIES (STOQ_CHUNK_LOG_MEMORY / ENTRY)
#define WINDOW_ENTRIES ((size_t)2048)

void stoq_chunk_log_init(struct stoq_chunk_log *log, const char *dir)
{
    *log = (struct stoq_chunk_log){.dir = dir, .fd = -1};
    stoq_buf_init(&log->tail, TAIL_ENTRIES * ENTRY);
    stoq_buf_init(&log->window, WINDOW_ENTRIES * ENTRY);
}

void stoq_chunk_log_release(struct stoq_chunk_log *log)
{
    if (log->fd >= 0) {
        (void)close(log->fd);
    }
    log->fd = -1;
    stoq_buf_release(&log->tail);
    stoq_buf_release(&log->window);
}

uint64_t stoq_chunk_log_count(const struct stoq_chunk_log *log)
{
    return log->spilled + log->tail.n / ENTRY;
}

static enum stoq_status spill(struct stoq_chunk_log *log, struct stoq_error *err)
{
    enum stoq_status st = STOQ_OK;
    if (log->fd < 0) {
        st = stoq_file_nameless(log->dir, &log->fd, err);
    }
    if (st != STOQ_OK) {
        return st;
    }
    st = stoq_file_pwrite_all(log->fd, stoq_buf_span(&log->tail), log->spilled * ENTRY);
    if (st != STOQ_OK) {
        return stoq_fail(err, st, errno, "write a list of chunks in %.300s", log->dir);
    }
    log->spilled += log->tail.n / ENTRY;
    stoq_buf_clear(&log->tail);
    return STOQ_OK;
}

enum stoq_status stoq_chunk_log_add(void *user, const struct stoq_merkle_chunk *chunk,
                                    struct stoq_error *err)
{
    struct stoq_chunk_log *log = user;
    uint8_t entry[ENTRY];
    enum stoq_status st = STOQ_OK;
    if (log->tail.n == TAIL_ENTRIES * ENTRY) {
        st = spill(log, err);
    }
    if (st != STOQ_OK) {
        return st;
    }
    stoq_merkle_chunk_put(entry, chunk);
    st = stoq_buf_add(&log->tail, stoq_span(entry, sizeof entry));
    return st == STOQ_OK ? st : stoq_fail(err, st, 0, "no memory for a list of chunks");
}

/* Read the entries from i on. */
static enum stoq_status move_window(struct stoq_chunk_log *log, uint64_t i, struct stoq_error *err)
{
    uint64_t left = log->spilled - i;
    size_t n = left < WINDOW_ENTRIES ? (size_t)left : WINDOW_ENTRIES;
    stoq_buf_clear(&log->window);
    enum stoq_status st = stoq_buf_reserve(&log->window, n * ENTRY);
    if (st != STOQ_OK) {
        return stoq_fail(err, st, 0, "no memory for a list of chunks");
    }
    if (stoq_file_pread_all(log->fd, log->window.p, n * ENTRY, i * ENTRY) != STOQ_OK) {
        return stoq_fail(err, STOQ_IO, errno, "read a list of chunks in %.300s", log->dir);
    }
    log->window.n = n * ENTRY;
    log->window_first = i;
    return STOQ_OK;
}

enum stoq_status stoq_chunk_log_at(struct stoq_chunk_log *log, uint64_t i,
                                   struct stoq_merkle_chunk *out, struct stoq_error *err)
{
    STOQ_ASSERT(i < stoq_chunk_log_count(log));
    if (i >= log->spilled) {
        *out = stoq_merkle_chunk_at(stoq_buf_span(&log->tail), (size_t)(i - log->spilled));
        return STOQ_OK;
    }
    if (i < log->window_first || i - log->window_first >= log->window.n / ENTRY) {
        enum stoq_status st = move_window(log, i, err);
        if (st != STOQ_OK) {
            return st;
        }
    }
    *out = stoq_merkle_chunk_at(stoq_buf_span(&log->window), (size_t)(i - log->window_first));
    return STOQ_OK;
}
