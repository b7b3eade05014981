#ifndef STOQ_CHUNK_RUNS_H
#define STOQ_CHUNK_RUNS_H
/*
 * The runs of a package stream (docs/FORMATS.md section 4): where chunking starts afresh.
 *
 * Feed the parts of the stream in their order: the file table, then every regular file. Each part
 * either joins the open run or ends it. A run of 0 bytes is never reported.
 */
#include "base/bytes.h"

/* T: a file of this many bytes or more is a run of its own. */
#define STOQ_RUN_FILE_BYTES_MIN 16384u
/* Bytes of a stream, docs/FORMATS.md section 7. */
#define STOQ_RUN_STREAM_BYTES_MAX ((uint64_t)1 << 48)

enum stoq_run_part {
    STOQ_RUN_TABLE, /* the file table */
    STOQ_RUN_FILE,  /* a regular file's contents; 0 bytes are fine */
};

/* Plain data of the caller's; needs no release. */
struct stoq_runs {
    uint64_t open_bytes;   /* of the run not yet ended */
    uint64_t stream_bytes; /* of all parts fed */
    bool small;            /* the open run is one of small files: another may join */
};

void stoq_runs_init(struct stoq_runs *r);

/*
 * Take the next part.
 *
 * bytes  its size
 * ended  the length of the run that ends where this part begins; 0: none ends there
 *
 * STOQ_OK     taken
 * STOQ_RANGE  the stream would grow past STOQ_RUN_STREAM_BYTES_MAX; nothing has changed
 */
STOQ_WARN_UNUSED enum stoq_status stoq_runs_add(struct stoq_runs *r, enum stoq_run_part part,
                                                uint64_t bytes, uint64_t *ended);

/* End the stream: the length of its last run, 0 when there is none. r starts over. */
uint64_t stoq_runs_finish(struct stoq_runs *r);

#endif
