#include "chunk/runs.h"

/*
 * A run boundary is forced where a large file begins or ends, so that an unchanged large file has the
 * same chunks whatever stands around it. Small files share runs, because a chunk per file would be
 * too many. Only a small file after a small file joins; the table never lets a file join.
 */

void stoq_runs_init(struct stoq_runs *r)
{
    *r = (struct stoq_runs){0};
}

enum stoq_status stoq_runs_add(struct stoq_runs *r, enum stoq_run_part part, uint64_t bytes,
                               uint64_t *ended)
{
    uint64_t stream_bytes;
    if (!stoq_add_u64(r->stream_bytes, bytes, &stream_bytes) ||
        stream_bytes > STOQ_RUN_STREAM_BYTES_MAX) {
        return STOQ_RANGE;
    }
    bool small = part == STOQ_RUN_FILE && bytes < STOQ_RUN_FILE_BYTES_MIN;
    bool joins = small && r->small;
    *ended = joins ? 0 : r->open_bytes;
    r->open_bytes = joins ? r->open_bytes + bytes : bytes;
    r->stream_bytes = stream_bytes;
    r->small = small;
    return STOQ_OK;
}

uint64_t stoq_runs_finish(struct stoq_runs *r)
{
    uint64_t ended = r->open_bytes;
    stoq_runs_init(r);
    return ended;
}
