/*
 * Calls from other threads. A call is posted to the loop, and its caller waits on a condition until it has
 * run. What takes longer is begun by a call and then waited for: the network thread has it in a list and
 * ends it, the caller looks up ten times a second whether it should go on. It lies in the caller's memory,
 * so whoever ends it does not touch it again.
 */
#include "daemon/engine_internal.h"

#include "os/cond.h"
#include "os/sys.h"

#include <stdlib.h>

#define POLL_NS (100 * STOQ_MS)

struct call {
    struct stoq_post post;
    struct stoq_engine *engine;
    void (*fn)(struct stoq_engine *e, void *arg);
    void *arg;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool done;
};

static void run_call(struct stoq_post *post)
{
    struct call *c = (struct call *)post; /* its first member */
    c->fn(c->engine, c->arg);
    pthread_mutex_lock(&c->lock);
    c->done = true;
    pthread_cond_signal(&c->changed);
    pthread_mutex_unlock(&c->lock);
}

void engine_call(struct stoq_engine *e, void (*fn)(struct stoq_engine *e, void *arg), void *arg)
{
    struct call c = {.post = {.run = run_call}, .engine = e, .fn = fn, .arg = arg};
    STOQ_ASSERT(pthread_mutex_init(&c.lock, NULL) == 0);
    STOQ_ASSERT(pthread_cond_init(&c.changed, NULL) == 0);
    stoq_loop_post(e->loop, &c.post);
    pthread_mutex_lock(&c.lock);
    while (!c.done) {
        pthread_cond_wait(&c.changed, &c.lock);
    }
    pthread_mutex_unlock(&c.lock);
    pthread_cond_destroy(&c.changed);
    pthread_mutex_destroy(&c.lock);
}

void engine_wait_init(struct engine_wait *w)
{
    *w = (struct engine_wait){.status = STOQ_OK};
    stoq_cond_init(&w->changed);
    STOQ_ASSERT(pthread_mutex_init(&w->lock, NULL) == 0);
}

void engine_wait_release(struct engine_wait *w)
{
    pthread_cond_destroy(&w->changed);
    pthread_mutex_destroy(&w->lock);
}

bool engine_wait_some(struct engine_wait *w, bool *news)
{
    pthread_mutex_lock(&w->lock);
    if (!w->done && !w->news) {
        (void)stoq_cond_wait_until(&w->changed, &w->lock, stoq_now() + POLL_NS);
    }
    bool done = w->done;
    *news = w->news;
    w->news = false;
    pthread_mutex_unlock(&w->lock);
    return done;
}

bool engine_wait_watch(struct stoq_engine *e, struct engine_wait *w,
                       const struct engine_patience *how)
{
    stoq_ns limit = stoq_now() + how->timeout_ns;
    bool timed_out;
    bool news;
    do {
        timed_out = stoq_now() >= limit;
        if (timed_out || (how->cancelled != NULL && how->cancelled(how->user))) {
            engine_call(e, how->stop, w);
        }
    } while (!engine_wait_some(w, &news));
    return timed_out;
}

void engine_wait_add(struct engine_waits *list, struct engine_wait *w)
{
    w->number = ++list->last;
    w->next = list->first;
    list->first = w;
}

void *engine_wait_find(const struct engine_waits *list, uint64_t number)
{
    struct engine_wait *w = list->first;
    while (w != NULL && w->number != number) {
        w = w->next;
    }
    return w;
}

bool engine_wait_is_open(const struct engine_waits *list, const struct engine_wait *w)
{
    const struct engine_wait *k = list->first;
    while (k != NULL && k != w) {
        k = k->next;
    }
    return k != NULL;
}

void engine_wait_news(struct engine_wait *w)
{
    w->news = true;
    pthread_cond_signal(&w->changed);
}

void engine_wait_end(struct engine_waits *list, struct engine_wait *w, enum stoq_status status)
{
    struct engine_wait **at = &list->first;
    while (*at != w) {
        at = &(*at)->next;
    }
    *at = w->next;
    pthread_mutex_lock(&w->lock);
    w->status = status;
    w->done = true;
    pthread_cond_signal(&w->changed);
    pthread_mutex_unlock(&w->lock);
}

bool engine_list_room(struct engine_list *list, size_t n)
{
    list->v = calloc(n == 0 ? 1 : n, list->item_bytes);
    list->room = list->v == NULL ? 0 : n;
    return list->v != NULL;
}

enum stoq_status engine_list_tell(struct stoq_engine *e, size_t item_bytes,
                                  void (*take)(struct stoq_engine *e, void *list),
                                  void (*tell)(void *user, const void *item), void *user)
{
    struct engine_list list = {.item_bytes = item_bytes};
    engine_call(e, take, &list);
    if (list.v == NULL) {
        return STOQ_NOMEM;
    }
    for (size_t i = 0; i < list.count; i++) {
        tell(user, (const uint8_t *)list.v + i * item_bytes);
    }
    free(list.v);
    return STOQ_OK;
}
