#include "os/workers.h"

#include <pthread.h>
#include <stdlib.h>

#define THREADS_MAX 64

struct stoq_workers {
    struct stoq_loop *loop;
    pthread_mutex_t lock;
    pthread_cond_t filled;
    struct stoq_job *first;
    struct stoq_job **last;
    size_t waiting;
    size_t running;
    size_t sleeping; /* threads that wait for a job, told or not */
    size_t told;     /* of them, those that were told to get up and have not yet */
    size_t queue_max;
    bool ending;
    unsigned count;
    pthread_t threads[THREADS_MAX];
};

static void finish_on_loop(struct stoq_post *post)
{
    struct stoq_job *job = (struct stoq_job *)((char *)post - offsetof(struct stoq_job, post));
    job->done(job);
}

static void run_job(struct stoq_workers *w, struct stoq_job *job)
{
    void (*done)(struct stoq_job *) = job->done;
    job->work(job);
    if (done == NULL) {
        return;
    }
    if (w->loop == NULL) {
        done(job);
        return;
    }
    job->post.run = finish_on_loop;
    stoq_loop_post(w->loop, &job->post);
}

/* Lock held. */
static void sleep_until_told(struct stoq_workers *w)
{
    w->sleeping++;
    while (w->told == 0 && !w->ending) {
        pthread_cond_wait(&w->filled, &w->lock);
    }
    w->told -= w->told > 0 ? 1 : 0;
    w->sleeping--;
}

static void *worker_main(void *arg)
{
    struct stoq_workers *w = arg;
    pthread_mutex_lock(&w->lock);
    for (;;) {
        while (w->first == NULL && !w->ending) {
            sleep_until_told(w);
        }
        struct stoq_job *job = w->first;
        if (job == NULL) {
            break;
        }
        w->first = job->next;
        if (w->first == NULL) {
            w->last = &w->first;
        }
        w->waiting--;
        w->running++;
        pthread_mutex_unlock(&w->lock);
        run_job(w, job);
        pthread_mutex_lock(&w->lock);
        w->running--;
    }
    pthread_mutex_unlock(&w->lock);
    return NULL;
}

enum stoq_status stoq_workers_new(struct stoq_workers **out, struct stoq_loop *loop,
                                  unsigned threads, size_t queue_max, struct stoq_error *err)
{
    if (threads < 1 || threads > THREADS_MAX) {
        return stoq_fail(err, STOQ_RANGE, 0, "worker threads must be 1 to %d", THREADS_MAX);
    }
    struct stoq_workers *w = calloc(1, sizeof *w);
    if (w == NULL) {
        return stoq_fail(err, STOQ_NOMEM, 0, "workers: out of memory");
    }
    w->loop = loop;
    w->queue_max = queue_max;
    w->last = &w->first;
    STOQ_ASSERT(pthread_mutex_init(&w->lock, NULL) == 0);
    STOQ_ASSERT(pthread_cond_init(&w->filled, NULL) == 0);
    for (; w->count < threads; w->count++) {
        int e = pthread_create(&w->threads[w->count], NULL, worker_main, w);
        if (e != 0) {
            stoq_workers_free(w);
            return stoq_fail(err, STOQ_IO, e, "start a worker thread");
        }
    }
    *out = w;
    return STOQ_OK;
}

void stoq_workers_free(struct stoq_workers *w)
{
    if (w == NULL) {
        return;
    }
    pthread_mutex_lock(&w->lock);
    w->ending = true;
    pthread_cond_broadcast(&w->filled);
    pthread_mutex_unlock(&w->lock);
    for (unsigned i = 0; i < w->count; i++) {
        (void)pthread_join(w->threads[i], NULL);
    }
    pthread_cond_destroy(&w->filled);
    pthread_mutex_destroy(&w->lock);
    free(w);
}

enum stoq_status stoq_workers_run(struct stoq_workers *w, struct stoq_job *job)
{
    enum stoq_status st = STOQ_FULL;
    bool tell = false;
    pthread_mutex_lock(&w->lock);
    if (w->waiting < w->queue_max && !w->ending) {
        job->next = NULL;
        job->pool = w;
        *w->last = job;
        w->last = &job->next;
        w->waiting++;
        tell = w->sleeping > w->told;
        w->told += tell ? 1 : 0;
        st = STOQ_OK;
    }
    pthread_mutex_unlock(&w->lock);
    if (tell) { /* after the unlocking: it would get up only to wait for the lock */
        pthread_cond_signal(&w->filled);
    }
    return st;
}

size_t stoq_workers_busy(struct stoq_workers *w)
{
    pthread_mutex_lock(&w->lock);
    size_t n = w->waiting + w->running;
    pthread_mutex_unlock(&w->lock);
    return n;
}
