#ifndef STOQ_DAEMON_CHUNK_LOG_H
#define STOQ_DAEMON_CHUNK_LOG_H
/*
 * A list of chunks that may be long: appended to at its end, read anywhere. What does not fit in
 * STOQ_CHUNK_LOG_MEMORY goes to a file without a name. One thread at a time.
 */
#include "merkle/merkle.h"

#define STOQ_CHUNK_LOG_MEMORY ((size_t)512 * STOQ_KIB)

struct stoq_chunk_log {
    const char *dir;
    int fd;                 /* -1: nothing was spilled */
    uint64_t spilled;       /* entries in the file */
    struct stoq_buf tail;   /* the entries behind them */
    struct stoq_buf window; /* entries of the file that were read last */
    uint64_t window_first;
};

/* dir  where the file would be; kept */
void stoq_chunk_log_init(struct stoq_chunk_log *log, const char *dir);
void stoq_chunk_log_release(struct stoq_chunk_log *log);

uint64_t stoq_chunk_log_count(const struct stoq_chunk_log *log);

/* Append; log is a struct stoq_chunk_log, so that this can be an ingest's sink. STOQ_OK, STOQ_NOMEM,
 * STOQ_FULL, STOQ_IO. */
STOQ_WARN_UNUSED enum stoq_status stoq_chunk_log_add(void *log,
                                                     const struct stoq_merkle_chunk *chunk,
                                                     struct stoq_error *err);

/* Entry i, 0 .. count - 1 (asserted). In order it costs one read per some thousand. STOQ_OK, STOQ_NOMEM,
 * STOQ_IO. */
STOQ_WARN_UNUSED enum stoq_status stoq_chunk_log_at(struct stoq_chunk_log *log, uint64_t i,
                                                    struct stoq_merkle_chunk *out,
                                                    struct stoq_error *err);

#endif
