/*
 * libuv carries the loop; this file is its only includer. A deadline is a timerfd watched through
 * uv_poll, because uv_timer counts in milliseconds. libuv closes handles asynchronously: each of ours
 * frees its memory in the close callback, and stoq_loop_free turns the loop until all are gone.
 */
#include "os/loop.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <uv.h>

/* What hurrying costs is paid back by sleeping SHARE - 1 times as long; so much may be owed when it
 * begins. */
#define HURRY_SHARE 20
#define HURRY_OWED_MAX STOQ_SEC
#define HURRY_MAX (HURRY_OWED_MAX / HURRY_SHARE) /* at a stretch */

struct stoq_loop {
    uv_loop_t uv;
    uv_async_t wake;
    uv_prepare_t prepare;
    uv_idle_t hurry; /* while it is active, libuv does not sleep */
    uv_idle_t again; /* active for one turn */
    bool may_hurry;  /* there is another processor for whom we wait for */
    bool hurries;
    stoq_ns hurry_began;
    stoq_ns hurry_until;
    stoq_ns hurry_paid_at;
    stoq_ns hurry_spent;
    uint64_t hurry_times;
    struct stoq_hook *hooks;
    pthread_mutex_t lock; /* guards the queue and stopping */
    struct stoq_post *first;
    struct stoq_post **last;
    bool stopping;
};

struct stoq_watch {
    uv_poll_t poll;
    stoq_watch_fn *fn;
    void *user;
    unsigned events;
};

struct stoq_timer {
    uv_poll_t poll;
    int fd;
    stoq_ns deadline;
    stoq_ns armed_at; /* what the descriptor is set to */
    stoq_timer_fn *fn;
    void *user;
};

struct stoq_signal {
    uv_signal_t uv;
    stoq_signal_fn *fn;
    void *user;
};

static enum stoq_status fail_uv(struct stoq_error *err, int code, const char *what)
{
    if (code == UV_ENOMEM) {
        return stoq_fail(err, STOQ_NOMEM, 0, "%s: out of memory", what);
    }
    return stoq_fail(err, STOQ_IO, 0, "%s: %s", what, uv_strerror(code));
}

static void run_posts(struct stoq_loop *loop)
{
    pthread_mutex_lock(&loop->lock);
    struct stoq_post *p = loop->first;
    loop->first = NULL;
    loop->last = &loop->first;
    bool stopping = loop->stopping;
    loop->stopping = false;
    pthread_mutex_unlock(&loop->lock);
    while (p != NULL) {
        struct stoq_post *next = p->next; /* p may be freed or posted again by its own run */
        p->run(p);
        p = next;
    }
    if (stopping) {
        uv_stop(&loop->uv);
    }
}

static void on_wake(uv_async_t *async)
{
    run_posts(async->data);
}

static void on_prepare(uv_prepare_t *prepare)
{
    struct stoq_loop *loop = prepare->data;
    for (struct stoq_hook *h = loop->hooks; h != NULL; h = h->next) {
        h->run(h->user);
    }
}

static void hurry_end(struct stoq_loop *loop, stoq_ns now)
{
    stoq_ns spent = now - loop->hurry_began;
    stoq_ns owed_from =
        loop->hurry_paid_at > loop->hurry_began ? loop->hurry_paid_at : loop->hurry_began;
    loop->hurries = false;
    loop->hurry_spent += spent;
    loop->hurry_paid_at = owed_from + spent * HURRY_SHARE;
    (void)uv_idle_stop(&loop->hurry);
}

static void on_hurry(uv_idle_t *idle)
{
    struct stoq_loop *loop = idle->data;
    stoq_ns now = stoq_now();
    if (now >= loop->hurry_until) {
        hurry_end(loop, now);
    } else {
        (void)sched_yield();
    }
}

void stoq_loop_hurry(struct stoq_loop *loop, stoq_ns for_ns)
{
    stoq_ns now = stoq_now();
    bool spent = loop->hurries ? now - loop->hurry_began > HURRY_MAX
                               : loop->hurry_paid_at > now + HURRY_OWED_MAX;
    if (!loop->may_hurry || spent) {
        return;
    }
    if (!loop->hurries) {
        loop->hurries = true;
        loop->hurry_began = now;
        loop->hurry_times++;
        (void)uv_idle_start(&loop->hurry, on_hurry);
    }
    loop->hurry_until = now + for_ns;
}

static void on_again(uv_idle_t *idle)
{
    (void)uv_idle_stop(idle);
}

void stoq_loop_again(struct stoq_loop *loop)
{
    (void)uv_idle_start(&loop->again, on_again);
}

void stoq_loop_hurried(const struct stoq_loop *loop, uint64_t *times, stoq_ns *spent_ns)
{
    *times = loop->hurry_times;
    *spent_ns = loop->hurry_spent;
}

enum stoq_status stoq_loop_new(struct stoq_loop **out, struct stoq_error *err)
{
    struct stoq_loop *loop = calloc(1, sizeof *loop);
    if (loop == NULL) {
        return stoq_fail(err, STOQ_NOMEM, 0, "event loop: out of memory");
    }
    int code = uv_loop_init(&loop->uv);
    if (code != 0) {
        free(loop);
        return fail_uv(err, code, "event loop");
    }
    code = uv_async_init(&loop->uv, &loop->wake, on_wake);
    if (code != 0) {
        (void)uv_loop_close(&loop->uv);
        free(loop);
        return fail_uv(err, code, "event loop");
    }
    (void)uv_prepare_init(&loop->uv, &loop->prepare);
    (void)uv_idle_init(&loop->uv, &loop->hurry);
    (void)uv_idle_init(&loop->uv, &loop->again);
    loop->wake.data = loop;
    loop->prepare.data = loop;
    loop->hurry.data = loop;
    loop->may_hurry = sysconf(_SC_NPROCESSORS_ONLN) > 1;
    (void)uv_prepare_start(&loop->prepare, on_prepare);
    STOQ_ASSERT(pthread_mutex_init(&loop->lock, NULL) == 0);
    loop->last = &loop->first;
    *out = loop;
    return STOQ_OK;
}

void stoq_loop_free(struct stoq_loop *loop)
{
    if (loop == NULL) {
        return;
    }
    run_posts(loop);
    uv_close((uv_handle_t *)&loop->wake, NULL);
    uv_close((uv_handle_t *)&loop->prepare, NULL);
    uv_close((uv_handle_t *)&loop->hurry, NULL);
    uv_close((uv_handle_t *)&loop->again, NULL);
    (void)uv_run(&loop->uv, UV_RUN_DEFAULT);
    STOQ_ASSERT(uv_loop_close(&loop->uv) == 0); /* EBUSY: somebody forgot to free a handle */
    pthread_mutex_destroy(&loop->lock);
    free(loop);
}

void stoq_loop_run(struct stoq_loop *loop)
{
    (void)uv_run(&loop->uv, UV_RUN_DEFAULT);
}

stoq_ns stoq_loop_looked_at(const struct stoq_loop *loop)
{
    return uv_now(&loop->uv) * STOQ_MS;
}

void stoq_loop_stop(struct stoq_loop *loop)
{
    pthread_mutex_lock(&loop->lock);
    loop->stopping = true;
    pthread_mutex_unlock(&loop->lock);
    (void)uv_async_send(&loop->wake);
}

void stoq_loop_before_wait(struct stoq_loop *loop, struct stoq_hook *hook)
{
    struct stoq_hook **at = &loop->hooks;
    while (*at != NULL) {
        at = &(*at)->next;
    }
    hook->next = NULL;
    *at = hook;
}

void stoq_loop_unhook(struct stoq_loop *loop, struct stoq_hook *hook)
{
    for (struct stoq_hook **at = &loop->hooks; *at != NULL; at = &(*at)->next) {
        if (*at == hook) {
            *at = hook->next;
            return;
        }
    }
}

void stoq_loop_post(struct stoq_loop *loop, struct stoq_post *post)
{
    post->next = NULL;
    pthread_mutex_lock(&loop->lock);
    *loop->last = post;
    loop->last = &post->next;
    pthread_mutex_unlock(&loop->lock);
    (void)uv_async_send(&loop->wake);
}

void stoq_loop_unpost(struct stoq_loop *loop, struct stoq_post *post)
{
    pthread_mutex_lock(&loop->lock);
    for (struct stoq_post **at = &loop->first; *at != NULL; at = &(*at)->next) {
        if (*at == post) {
            *at = post->next;
            loop->last = *at == NULL ? at : loop->last;
            break;
        }
    }
    pthread_mutex_unlock(&loop->lock);
}

static void on_watch(uv_poll_t *poll, int status, int events)
{
    struct stoq_watch *w = poll->data;
    unsigned ev = 0;
    /* An error on the descriptor shows when the owner reads it. */
    if (status < 0 || (events & UV_READABLE) != 0) {
        ev |= STOQ_LOOP_READ;
    }
    if ((events & UV_WRITABLE) != 0) {
        ev |= STOQ_LOOP_WRITE;
    }
    w->fn(w->user, ev & w->events);
}

enum stoq_status stoq_watch_new(struct stoq_watch **out, struct stoq_loop *loop, int fd,
                                stoq_watch_fn *fn, void *user, struct stoq_error *err)
{
    struct stoq_watch *w = calloc(1, sizeof *w);
    if (w == NULL) {
        return stoq_fail(err, STOQ_NOMEM, 0, "watch: out of memory");
    }
    int code = uv_poll_init(&loop->uv, &w->poll, fd);
    if (code != 0) {
        free(w);
        return fail_uv(err, code, "watch");
    }
    w->poll.data = w;
    w->fn = fn;
    w->user = user;
    *out = w;
    return STOQ_OK;
}

void stoq_watch_set(struct stoq_watch *w, unsigned events)
{
    if (events == w->events) {
        return;
    }
    w->events = events;
    int want = 0;
    want |= (events & STOQ_LOOP_READ) != 0 ? UV_READABLE : 0;
    want |= (events & STOQ_LOOP_WRITE) != 0 ? UV_WRITABLE : 0;
    if (want == 0) {
        (void)uv_poll_stop(&w->poll);
    } else {
        (void)uv_poll_start(&w->poll, want, on_watch);
    }
}

static void free_data(uv_handle_t *handle)
{
    free(handle->data);
}

void stoq_watch_free(struct stoq_watch *w)
{
    if (w != NULL) {
        (void)uv_poll_stop(&w->poll);
        uv_close((uv_handle_t *)&w->poll, free_data);
    }
}

static void arm(struct stoq_timer *t)
{
    struct itimerspec its = {0};
    stoq_ns at = t->deadline == 0 ? 1 : t->deadline; /* all zero would disarm */
    its.it_value.tv_sec = (time_t)(at / STOQ_SEC);
    its.it_value.tv_nsec = (long)(at % STOQ_SEC);
    t->armed_at = t->deadline;
    STOQ_ASSERT(timerfd_settime(t->fd, TFD_TIMER_ABSTIME, &its, NULL) == 0);
}

static void on_timer(uv_poll_t *poll, int status, int events)
{
    (void)status;
    (void)events;
    struct stoq_timer *t = poll->data;
    uint64_t expirations;
    if (read(t->fd, &expirations, sizeof expirations) < 0) {
        return; /* set anew since it fired */
    }
    t->armed_at = STOQ_NEVER;
    if (t->deadline > stoq_now()) {
        stoq_timer_set(t, t->deadline);
        return;
    }
    t->deadline = STOQ_NEVER;
    t->fn(t->user);
}

enum stoq_status stoq_timer_new(struct stoq_timer **out, struct stoq_loop *loop, stoq_timer_fn *fn,
                                void *user, struct stoq_error *err)
{
    struct stoq_timer *t = calloc(1, sizeof *t);
    if (t == NULL) {
        return stoq_fail(err, STOQ_NOMEM, 0, "timer: out of memory");
    }
    t->fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    if (t->fd < 0) {
        int e = errno;
        free(t);
        return stoq_fail(err, STOQ_IO, e, "timer");
    }
    int code = uv_poll_init(&loop->uv, &t->poll, t->fd);
    if (code != 0) {
        close(t->fd);
        free(t);
        return fail_uv(err, code, "timer");
    }
    t->poll.data = t;
    t->deadline = STOQ_NEVER;
    t->armed_at = STOQ_NEVER;
    t->fn = fn;
    t->user = user;
    (void)uv_poll_start(&t->poll, UV_READABLE, on_timer);
    *out = t;
    return STOQ_OK;
}

/* Setting the descriptor costs up to 20 us on a virtual machine, and most deadlines are put off time
 * and again before they come. So it is only ever set to an earlier time; when it fires too early it is
 * set anew. */
void stoq_timer_set(struct stoq_timer *t, stoq_ns deadline)
{
    t->deadline = deadline;
    if (deadline < t->armed_at) {
        arm(t);
    }
}

void stoq_timer_free(struct stoq_timer *t)
{
    if (t != NULL) {
        (void)uv_poll_stop(&t->poll);
        close(t->fd);
        uv_close((uv_handle_t *)&t->poll, free_data);
    }
}

static void on_signal(uv_signal_t *uv, int signum)
{
    struct stoq_signal *s = uv->data;
    s->fn(s->user, signum);
}

enum stoq_status stoq_signal_new(struct stoq_signal **out, struct stoq_loop *loop, int signum,
                                 stoq_signal_fn *fn, void *user, struct stoq_error *err)
{
    struct stoq_signal *s = calloc(1, sizeof *s);
    if (s == NULL) {
        return stoq_fail(err, STOQ_NOMEM, 0, "signal: out of memory");
    }
    (void)uv_signal_init(&loop->uv, &s->uv);
    s->uv.data = s;
    s->fn = fn;
    s->user = user;
    int code = uv_signal_start(&s->uv, on_signal, signum);
    if (code != 0) {
        uv_close((uv_handle_t *)&s->uv, free_data);
        return fail_uv(err, code, "signal");
    }
    *out = s;
    return STOQ_OK;
}

void stoq_signal_free(struct stoq_signal *s)
{
    if (s != NULL) {
        (void)uv_signal_stop(&s->uv);
        uv_close((uv_handle_t *)&s->uv, free_data);
    }
}
