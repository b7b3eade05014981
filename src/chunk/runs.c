#include "chunk/runs.h"

/*
 * A run boundary is forced where a large file begins or ends, so that an unchanged large file has the
 * same chunks whatever stands around it. Small files share runs, because a chunk per file would be
 * too many. Only a small file after a small file joins; the table never lets a file join. The same
 * reasons hold for the members of an archive, one level down and no further.
 */

void stoq_runs_init(struct stoq_runs *r, const struct stoq_chunk_profile *profile)
{
    *r = (struct stoq_runs){.profile = profile};
}

enum stoq_status stoq_runs_add(struct stoq_runs *r, enum stoq_run_part part, uint64_t bytes,
                               uint64_t *ended)
{
    uint64_t stream_bytes;
    if (!stoq_add_u64(r->stream_bytes, bytes, &stream_bytes) ||
        stream_bytes > STOQ_RUN_STREAM_BYTES_MAX) {
        return STOQ_RANGE;
    }
    STOQ_ASSERT(!r->scanning || r->tar.at == r->tar.file_bytes);
    bool small = part == STOQ_RUN_FILE && bytes < r->profile->run_bytes_min;
    bool joins = small && r->small;
    *ended = joins ? 0 : r->open_bytes;
    r->open_bytes = joins ? r->open_bytes + bytes : bytes;
    r->stream_bytes = stream_bytes;
    r->small = small;
    r->scanning = r->profile->scans_tar && part == STOQ_RUN_FILE && !small;
    if (r->scanning) {
        r->run_taken = 0;
        stoq_tar_scan_init(&r->tar, bytes, r->profile->run_bytes_min);
    }
    return STOQ_OK;
}

size_t stoq_runs_take(struct stoq_runs *r, struct stoq_span data, uint64_t *ended)
{
    *ended = 0;
    if (!r->scanning) {
        return data.n;
    }
    bool ends;
    size_t n = stoq_tar_scan_take(&r->tar, data, &ends);
    r->run_taken += n;
    if (ends) {
        *ended = r->run_taken;
        r->open_bytes -= r->run_taken;
        r->run_taken = 0;
    }
    return n;
}

uint64_t stoq_runs_finish(struct stoq_runs *r)
{
    STOQ_ASSERT(!r->scanning || r->tar.at == r->tar.file_bytes);
    uint64_t ended = r->open_bytes;
    stoq_runs_init(r, r->profile);
    return ended;
}
