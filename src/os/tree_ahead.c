/*
 * Files go from the thread to the caller in batches, through a ring: one hand-over per 64 files or 256
 * KiB. A batch is opened whole, then read and closed file by file. Where that shows that the files are
 * not in memory, the kernel is told of all files of the next batches before the first is read: the disk
 * then has many requests at once. That call is left out while the page cache has the files, where it
 * would only cost.
 */
#include "os/tree_ahead.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "os/beneath.h"
#include "os/sys.h"

#define BATCHES 4
#define BATCH_FILES 64
#define BATCH_BYTES ((size_t)(256 * STOQ_KIB))
#define COLD_FILE_NS (STOQ_MS / 20) /* longer on average: from the disk */
#define COLD_BATCHES 32             /* before another look */

struct batch {
    uint8_t *bytes;
    size_t index[BATCH_FILES];
    size_t file_count;
    struct stoq_error failed; /* of the file after those; status STOQ_OK: none */
};

struct stoq_ahead {
    const struct stoq_tree *tree;
    struct stoq_beneath where;
    struct batch batches[BATCHES];
    size_t next_entry;     /* of the listing; the thread's own, as the next one */
    unsigned cold_batches; /* for which the kernel is told beforehand */
    size_t next_file;      /* of the batch being taken; the caller's own, as the next one */
    size_t next_byte;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t moved;
    /* Under the lock: */
    uint64_t filled; /* batches, so far */
    uint64_t taken;
    bool stop;
};

/* Choose the files of a batch; false: there are no more. */
static bool plan(struct stoq_ahead *a, struct batch *b)
{
    size_t bytes = 0;
    b->file_count = 0;
    for (; a->next_entry < stoq_tree_count(a->tree); a->next_entry++) {
        struct stoq_tree_entry e = stoq_tree_at(a->tree, a->next_entry);
        if (!stoq_tree_is_file(&e) || e.size > STOQ_AHEAD_FILE_MAX) {
            continue;
        }
        if (b->file_count == BATCH_FILES || bytes + e.size > BATCH_BYTES) {
            break;
        }
        bytes += e.size;
        b->index[b->file_count++] = a->next_entry;
    }
    return b->file_count > 0;
}

/* Open as many of the batch's files as can be. */
static size_t open_files(struct stoq_ahead *a, struct batch *b, int fds[BATCH_FILES])
{
    for (size_t k = 0; k < b->file_count; k++) {
        if (stoq_tree_open_with(a->tree, &a->where, b->index[k], &fds[k], &b->failed) != STOQ_OK) {
            return k;
        }
        if (a->cold_batches > 0) {
            (void)posix_fadvise(fds[k], 0, 0, POSIX_FADV_WILLNEED);
        }
    }
    return b->file_count;
}

static enum stoq_status read_one(struct stoq_ahead *a, size_t i, int fd, uint8_t *p, size_t n,
                                 struct stoq_error *err)
{
    enum stoq_status st = n == 0 ? STOQ_OK : stoq_tree_read(a->tree, i, fd, p, n, 0, err);
    enum stoq_status closed = stoq_tree_close(a->tree, i, fd, st == STOQ_OK ? err : NULL);
    return st == STOQ_OK ? closed : st;
}

static void fill(struct stoq_ahead *a, struct batch *b)
{
    int fds[BATCH_FILES];
    size_t at = 0;
    b->failed.status = STOQ_OK;
    size_t opened = open_files(a, b, fds);
    stoq_ns began = stoq_now();
    size_t k = 0;
    for (bool is_good = true; is_good && k < opened; k += is_good) {
        size_t n = (size_t)stoq_tree_at(a->tree, b->index[k]).size;
        is_good = read_one(a, b->index[k], fds[k], b->bytes + at, n, &b->failed) == STOQ_OK;
        at += n;
    }
    b->file_count = k;
    for (k++; k < opened; k++) {
        (void)close(fds[k]);
    }
    if (a->cold_batches > 0) {
        a->cold_batches--;
    } else if (stoq_now() - began > opened * COLD_FILE_NS) {
        a->cold_batches = COLD_BATCHES;
    }
}

static void *run(void *user)
{
    struct stoq_ahead *a = user;
    bool more = true;
    while (more) {
        (void)pthread_mutex_lock(&a->lock);
        while (!a->stop && a->filled - a->taken == BATCHES) {
            (void)pthread_cond_wait(&a->moved, &a->lock);
        }
        struct batch *b = &a->batches[a->filled % BATCHES];
        more = !a->stop;
        (void)pthread_mutex_unlock(&a->lock);
        more = more && plan(a, b);
        if (more) {
            fill(a, b);
            more = b->failed.status == STOQ_OK;
            (void)pthread_mutex_lock(&a->lock);
            a->filled++;
            (void)pthread_cond_signal(&a->moved);
            (void)pthread_mutex_unlock(&a->lock);
        }
    }
    return NULL;
}

enum stoq_status stoq_ahead_new(struct stoq_ahead **out, const struct stoq_tree *tree,
                                struct stoq_error *err)
{
    struct stoq_ahead *a = calloc(1, sizeof *a);
    uint8_t *bytes = malloc(BATCHES * BATCH_BYTES);
    if (a == NULL || bytes == NULL) {
        free(a);
        free(bytes);
        return stoq_fail(err, STOQ_NOMEM, 0, "no memory to read ahead");
    }
    a->tree = tree;
    stoq_tree_where(tree, &a->where);
    for (size_t i = 0; i < BATCHES; i++) {
        a->batches[i].bytes = bytes + i * BATCH_BYTES;
    }
    (void)pthread_mutex_init(&a->lock, NULL);
    (void)pthread_cond_init(&a->moved, NULL);
    int e = pthread_create(&a->thread, NULL, run, a);
    if (e != 0) {
        (void)pthread_cond_destroy(&a->moved);
        (void)pthread_mutex_destroy(&a->lock);
        free(bytes);
        free(a);
        return stoq_fail(err, STOQ_IO, e, "start a thread to read ahead");
    }
    *out = a;
    return STOQ_OK;
}

void stoq_ahead_free(struct stoq_ahead *a)
{
    if (a == NULL) {
        return;
    }
    (void)pthread_mutex_lock(&a->lock);
    a->stop = true;
    (void)pthread_cond_signal(&a->moved);
    (void)pthread_mutex_unlock(&a->lock);
    (void)pthread_join(a->thread, NULL);
    stoq_beneath_release(&a->where);
    (void)pthread_cond_destroy(&a->moved);
    (void)pthread_mutex_destroy(&a->lock);
    free(a->batches[0].bytes);
    free(a);
}

/* The batch that has the next file; the one before, when it is used up, goes back to the thread. */
static struct batch *batch_to_take(struct stoq_ahead *a)
{
    struct batch *b = &a->batches[a->taken % BATCHES]; /* only this thread changes taken */
    (void)pthread_mutex_lock(&a->lock);
    if (a->filled > a->taken && a->next_file == b->file_count && b->failed.status == STOQ_OK) {
        a->taken++;
        a->next_file = 0;
        a->next_byte = 0;
        b = &a->batches[a->taken % BATCHES];
        (void)pthread_cond_signal(&a->moved);
    }
    while (a->filled == a->taken) {
        (void)pthread_cond_wait(&a->moved, &a->lock);
    }
    (void)pthread_mutex_unlock(&a->lock);
    return b;
}

enum stoq_status stoq_ahead_take(struct stoq_ahead *a, size_t i, struct stoq_span *out,
                                 struct stoq_error *err)
{
    struct batch *b = batch_to_take(a);
    if (a->next_file == b->file_count) {
        if (err != NULL) {
            *err = b->failed;
        }
        return b->failed.status;
    }
    STOQ_ASSERT(b->index[a->next_file] == i);
    size_t n = (size_t)stoq_tree_at(a->tree, i).size;
    *out = stoq_span(b->bytes + a->next_byte, n);
    a->next_file++;
    a->next_byte += n;
    return STOQ_OK;
}
