#ifndef STOQ_CHUNK_RUNS_H
#define STOQ_CHUNK_RUNS_H
/*
 * The runs of a package stream (docs/FORMATS.md section 4): where chunking starts afresh.
 *
 * Feed the parts of the stream in their order: the file table, then every regular file. Each part
 * either joins the open run or ends it. A run of 0 bytes is never reported. With a profile that scans
 * for tar archives, the contents of every file go through stoq_runs_take as well, which tells the runs
 * that end inside it.
 */
#include "chunk/profile.h"
#include "chunk/tar_scan.h"

/* Bytes of a stream, docs/FORMATS.md section 7. */
#define STOQ_RUN_STREAM_BYTES_MAX ((uint64_t)1 << 48)

enum stoq_run_part {
    STOQ_RUN_TABLE, /* the file table */
    STOQ_RUN_FILE,  /* a regular file's contents; 0 bytes are fine */
};

/* Plain data of the caller's; needs no release. */
struct stoq_runs {
    const struct stoq_chunk_profile *profile;
    uint64_t open_bytes;   /* of the run not yet ended, as far as known */
    uint64_t stream_bytes; /* of all parts fed */
    uint64_t run_taken;    /* of the open run's bytes, where a file is scanned */
    bool small;            /* the open run is one of small files: another may join */
    bool scanning;         /* the last part is looked at by tar */
    struct stoq_tar_scan tar;
};

/* profile is kept. */
void stoq_runs_init(struct stoq_runs *r, const struct stoq_chunk_profile *profile);

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

/*
 * Take the next bytes of the part last added, up to the next end of a run inside it. Needed for all
 * bytes of a file before the next part when the profile scans, and free of effect when it does not.
 *
 * data   borrowed; in all no more than the part's size
 * ended  the length of the run that ends behind the bytes taken; 0: none ends there
 *
 * Returns how many bytes were taken: all of data, or fewer when a run ends before.
 */
size_t stoq_runs_take(struct stoq_runs *r, struct stoq_span data, uint64_t *ended);

/* End the stream: the length of its last run, 0 when there is none. r starts over. */
uint64_t stoq_runs_finish(struct stoq_runs *r);

#endif
