#ifndef STOQ_OS_WORKERS_H
#define STOQ_OS_WORKERS_H
/*
 * Worker threads for what must not run on a network thread: hashing, compression, disk. A job's work
 * runs on some worker; its done then runs on the loop's thread, or on that worker when the pool has no
 * loop.
 */
#include "os/loop.h"

struct stoq_workers;

/* The caller embeds this and owns it until done has been called. */
struct stoq_job {
    void (*work)(struct stoq_job *job);
    void (*done)(struct stoq_job *job); /* NULL: none; then work may free the job */
    struct stoq_post post;              /* the pool's, as are the two below */
    struct stoq_job *next;
    struct stoq_workers *pool;
};

/* threads 1 .. 64; queue_max jobs may wait, one more is refused. STOQ_NOMEM, STOQ_IO, STOQ_RANGE. */
STOQ_WARN_UNUSED enum stoq_status stoq_workers_new(struct stoq_workers **out,
                                                   struct stoq_loop *loop, unsigned threads,
                                                   size_t queue_max, struct stoq_error *err);
/* Run what is queued, then end the threads. done callbacks of a pool with a loop are posted to it and
 * run there: the loop must still be served or freed after this. NULL is fine. */
void stoq_workers_free(struct stoq_workers *workers);
/* Any thread. STOQ_FULL when queue_max jobs are waiting. */
STOQ_WARN_UNUSED enum stoq_status stoq_workers_run(struct stoq_workers *workers,
                                                   struct stoq_job *job);
/* Jobs waiting or running. Any thread. */
size_t stoq_workers_busy(struct stoq_workers *workers);

#endif
