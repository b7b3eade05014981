#ifndef STOQ_STORE_DURABLE_H
#define STOQ_STORE_DURABLE_H
/*
 * The durability steps, one function each, so that a build with -Dleft_out=NAME can leave exactly
 * one out and the crash campaign must then fail; and so that tests can make each of them fail.
 *
 *   NAME                 what it makes durable
 *   segment_fdatasync    a segment's records, before the index may point at them
 *   segment_dirsync      a new segment's name, before the index may point into it
 *   index_commit_order   the index commit comes after these two (left out: before)
 *   index_sync           the index's own pages at its commit
 *   recovery_fdatasync   a recovered tail, before it is indexed
 *   truncate_fdatasync   the cut of a torn tail, before anything is appended after it
 *   rewrite_readback     after a failed fdatasync: the rewritten bytes, read from the device
 *   rebuild_sync         a rebuilt index's pages, before it takes the old one's place
 *   rebuild_dirsync      that it took the place
 *   format_sync          FORMAT's content and name
 *   create_dirsync       the names of the store's own directories
 *   roll_sync            a new segment of the log, before the index's mark may lie in it
 *   compact_fdatasync    a collection's copies, before the index may point at them
 *   compact_dirsync      the name of the segment they are in, likewise
 *   compact_index_order  the index points at the copies before the old segment is removed (left out:
 *                        after)
 *   unlink_dirsync       that a segment is gone, before the tombstones for what it held go too
 */
#include "store/store.h"

enum stoq_durable_step {
    STOQ_DURABLE_SEGMENT_WRITE, /* not a sync: the pwrite of a block */
    STOQ_DURABLE_SEGMENT_CREATE,
    STOQ_DURABLE_SEGMENT_FDATASYNC,
    STOQ_DURABLE_SEGMENT_DIRSYNC,
    STOQ_DURABLE_INDEX_COMMIT,
    STOQ_DURABLE_REWRITE_READBACK,
};

/* A test's way in: before a step it may answer with an errno, and the step fails with it (a failed
 * write leaves half of its bytes). Zeroed: none. */
struct stoq_durable_fault {
    int (*fail)(void *user, enum stoq_durable_step step);
    void *user;
};

static inline int stoq_durable_ask(const struct stoq_durable_fault *fault,
                                   enum stoq_durable_step step)
{
    return fault->fail == NULL ? 0 : fault->fail(fault->user, step);
}

/* Each returns 0 or an errno. */
int stoq_durable_segment_write(const struct stoq_durable_fault *fault, int fd, struct stoq_span s,
                               uint64_t offset);
int stoq_durable_segment_fdatasync(const struct stoq_durable_fault *fault, int fd);
int stoq_durable_segment_dirsync(const struct stoq_durable_fault *fault, int dir_fd);
int stoq_durable_recovery_fdatasync(int fd);
int stoq_durable_truncate(int fd, uint64_t bytes);
int stoq_durable_rebuild_dirsync(int dir_fd);
int stoq_durable_create_dirsync(int dir_fd);
int stoq_durable_roll_sync(int fd, int dir_fd);
int stoq_durable_compact_fdatasync(int fd);
int stoq_durable_compact_dirsync(int dir_fd);
int stoq_durable_unlink_dirsync(int dir_fd);

/* Compare what the device holds at offset with s, past the page cache where the file system allows
 * it (O_DIRECT). 0, EIO when it differs, or the errno of the failure. */
int stoq_durable_readback(const struct stoq_durable_fault *fault, const char *path,
                          struct stoq_span s, uint64_t offset);

#endif
