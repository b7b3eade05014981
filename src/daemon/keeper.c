/*
 * One at a time works: the thread, or a putter that found no room; other putters wait for him and look again.
 * The thread keeps to its budget, which may take hours, so it stops where it is when a putter waits: that one
 * goes on without a budget.
 * A putter for whom nothing could be done says so to all that come in the next seconds, unless something was
 * freed meanwhile: a full store answers quickly.
 */
#include "daemon/keeper.h"

#include "daemon/collect.h"
#include "daemon/evict.h"
#include "daemon/host.h"
#include "os/cond.h"
#include "os/sys.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#define LOOK_EVERY_S 30
#define COLLECT_EVERY_S ((uint64_t)86400) /* for leftovers and leases */
#define DEAD_BYTES_MIN (8 * STOQ_MIB)     /* less is not worth a collection */
#define REFUSAL_HOLDS (5 * STOQ_SEC)
#define BUSY_WAIT (60 * STOQ_SEC)
#define RECORD_OVERHEAD 72 /* bytes beside the payload */

struct stoq_keeper {
    struct stoq_host *host;
    pthread_t thread;
    bool thread_runs;
    pthread_mutex_t lock; /* all below */
    pthread_cond_t changed;
    bool stopping;
    bool wanted;
    bool busy;
    bool in_background; /* the thread is at work */
    size_t waiting;     /* putters, for their turn */
    bool has_refused;
    stoq_ns refused_at;
    uint64_t used_when_refused;
    uint64_t collected_at; /* seconds since 1970 */
    struct stoq_keeper_status total;
};

enum stoq_status stoq_keeper_new(struct stoq_keeper **out, struct stoq_host *host)
{
    struct stoq_keeper *k = calloc(1, sizeof *k);
    if (k == NULL) {
        return STOQ_NOMEM;
    }
    k->host = host;
    stoq_cond_init(&k->changed);
    (void)pthread_mutex_init(&k->lock, NULL);
    *out = k;
    return STOQ_OK;
}

void stoq_keeper_stop(struct stoq_keeper *k)
{
    if (k == NULL) {
        return;
    }
    (void)pthread_mutex_lock(&k->lock);
    k->stopping = true;
    (void)pthread_cond_broadcast(&k->changed);
    (void)pthread_mutex_unlock(&k->lock);
    if (k->thread_runs) {
        (void)pthread_join(k->thread, NULL);
        k->thread_runs = false;
    }
}

void stoq_keeper_free(struct stoq_keeper *k)
{
    if (k == NULL) {
        return;
    }
    stoq_keeper_stop(k);
    (void)pthread_cond_destroy(&k->changed);
    (void)pthread_mutex_destroy(&k->lock);
    free(k);
}

void stoq_keeper_wake(struct stoq_keeper *k)
{
    if (k != NULL) {
        (void)pthread_mutex_lock(&k->lock);
        k->wanted = true;
        k->has_refused = false;
        (void)pthread_cond_broadcast(&k->changed);
        (void)pthread_mutex_unlock(&k->lock);
    }
}

/* The store is being closed, or a putter waits for the thread. */
static bool must_stop(void *user)
{
    struct stoq_keeper *k = user;
    (void)pthread_mutex_lock(&k->lock);
    bool yes = k->stopping || (k->in_background && k->waiting > 0);
    (void)pthread_mutex_unlock(&k->lock);
    return yes;
}

/* The bounds, as the configuration and the store say. */
static void bounds(struct stoq_keeper *k, struct stoq_keeper_status *out)
{
    struct stoq_store_room room;
    struct stoq_config *config = malloc(sizeof *config);
    stoq_store_room(stoq_host_store(k->host), &room);
    *out =
        (struct stoq_keeper_status){.used_bytes = room.used_bytes, .quota_bytes = room.quota_bytes};
    if (config != NULL) {
        stoq_host_config(k->host, config);
        out->high_bytes = room.quota_bytes / 100 * config->quota_high_percent;
        out->low_bytes = room.quota_bytes / 100 * config->quota_low_percent;
    }
    free(config);
}

void stoq_keeper_status(struct stoq_keeper *k, struct stoq_keeper_status *out)
{
    bounds(k, out);
    (void)pthread_mutex_lock(&k->lock);
    out->collections = k->total.collections;
    out->bytes_freed = k->total.bytes_freed;
    out->packages_given_up = k->total.packages_given_up;
    (void)pthread_mutex_unlock(&k->lock);
}

static void pause_a_moment(void)
{
    const struct timespec ts = {.tv_nsec = (long)(50 * STOQ_MS)};
    (void)nanosleep(&ts, NULL);
}

/* Collect; one that is running already is waited for. False: it failed, and the log knows why. */
static bool collect(struct stoq_keeper *k, uint64_t grace_seconds, uint64_t rate, unsigned percent)
{
    struct stoq_collect_report r;
    struct stoq_error err = {0};
    const struct stoq_collect_ask ask = {.rate_bytes_per_s = rate,
                                         .grace_seconds = grace_seconds,
                                         .dead_percent_min = percent,
                                         .record_lock = stoq_host_record_lock(k->host),
                                         .cancelled = must_stop,
                                         .user = k};
    stoq_ns give_up_at = stoq_now() + BUSY_WAIT;
    enum stoq_status st;
    while ((st = stoq_collect(stoq_host_store(k->host), &ask, &r, &err)) == STOQ_BUSY &&
           stoq_now() < give_up_at && !must_stop(k)) {
        pause_a_moment();
    }
    (void)pthread_mutex_lock(&k->lock);
    k->collected_at = stoq_wall_seconds();
    k->total.collections += st == STOQ_OK;
    k->total.bytes_freed += r.gc.bytes_freed;
    (void)pthread_mutex_unlock(&k->lock);
    if (st != STOQ_OK && st != STOQ_CANCELLED) {
        stoq_host_log(k->host, STOQ_LOG_INFO, "collection: %s", err.text);
    } else if (st == STOQ_OK && !r.was_marked) {
        stoq_host_log(k->host, STOQ_LOG_INFO, "collection: nothing was deleted: %s", r.why.text);
    } else if (r.gc.bytes_freed > 0) {
        stoq_host_log(k->host, STOQ_LOG_INFO, "collection: %llu bytes freed in %llu segments",
                      (unsigned long long)r.gc.bytes_freed, (unsigned long long)r.gc.segments);
    }
    return st == STOQ_OK;
}

/* Give packages up until some `bytes` may come free. How many went. */
static size_t give_up(struct stoq_keeper *k, uint64_t bytes)
{
    struct stoq_evict_candidate *list;
    struct stoq_error err = {0};
    size_t count;
    size_t gone = 0;
    uint64_t sum = 0;
    struct stoq_store *store = stoq_host_store(k->host);
    if (stoq_evict_list(store, &list, &count, &err) != STOQ_OK) {
        stoq_host_log(k->host, STOQ_LOG_INFO, "the store is full and nothing may go: %s", err.text);
        return 0;
    }
    for (size_t i = 0; i < count && sum < bytes && !must_stop(k); i++) {
        uint64_t n;
        if (stoq_evict(store, &list[i].id, &n, &err) == STOQ_OK) {
            sum += n;
            gone++;
        }
    }
    free(list);
    (void)pthread_mutex_lock(&k->lock);
    k->total.packages_given_up += gone;
    (void)pthread_mutex_unlock(&k->lock);
    if (gone > 0) {
        stoq_host_log(k->host, STOQ_LOG_INFO, "the quota: %llu packages were given up",
                      (unsigned long long)gone);
    }
    return gone;
}

static uint64_t used(struct stoq_keeper *k)
{
    struct stoq_store_room room;
    stoq_store_room(stoq_host_store(k->host), &room);
    return room.used_bytes;
}

/* Bring what is used to at most `target` bytes where it is more than `limit`. True: it is not more now. */
static bool relieve(struct stoq_keeper *k, uint64_t limit, uint64_t target, uint64_t rate)
{
    if (used(k) > limit) {
        (void)collect(k, STOQ_COLLECT_GRACE_SECONDS, rate, 1);
    }
    if (used(k) > limit && !must_stop(k)) {
        (void)collect(k, 0, rate, 1);
    }
    while (used(k) > limit && !must_stop(k)) {
        uint64_t before = used(k);
        if (give_up(k, before > target ? before - target : 1) == 0 || !collect(k, 0, rate, 1)) {
            break;
        }
        limit = target; /* having begun */
    }
    return used(k) <= limit;
}

/* Have the work to oneself; putters go first. Lock held; false: the store is being closed, or time is up. */
static bool take_turn(struct stoq_keeper *k, bool is_putter)
{
    stoq_ns give_up_at = stoq_now() + BUSY_WAIT;
    bool in_time = true;
    k->waiting += is_putter;
    while (in_time && !k->stopping && (k->busy || (!is_putter && k->waiting > 0))) {
        in_time = stoq_cond_wait_until(&k->changed, &k->lock, give_up_at);
    }
    k->waiting -= is_putter;
    bool mine = !k->stopping && !k->busy;
    k->busy = k->busy || mine;
    return mine;
}

static void end_turn(struct stoq_keeper *k)
{
    k->busy = false;
    k->in_background = false;
    (void)pthread_cond_broadcast(&k->changed);
}

static bool has_room(struct stoq_keeper *k, uint64_t bytes)
{
    struct stoq_store_room room;
    stoq_store_room(stoq_host_store(k->host), &room);
    return room.used_bytes <= room.content_bytes_max &&
           bytes <= room.content_bytes_max - room.used_bytes;
}

bool stoq_keeper_make_room(void *user, uint64_t bytes)
{
    struct stoq_keeper *k = user;
    struct stoq_keeper_status b;
    (void)pthread_mutex_lock(&k->lock);
    bool mine = take_turn(k, true);
    bool refuses = k->has_refused && stoq_now() - k->refused_at < REFUSAL_HOLDS &&
                   used(k) >= k->used_when_refused;
    (void)pthread_mutex_unlock(&k->lock);
    if (!mine) {
        return false;
    }
    bool good = has_room(k, bytes);
    if (!good && !refuses) {
        struct stoq_store_room room;
        stoq_store_room(stoq_host_store(k->host), &room);
        bounds(k, &b);
        uint64_t limit = room.content_bytes_max > bytes ? room.content_bytes_max - bytes : 0;
        (void)relieve(k, limit, b.low_bytes < limit ? b.low_bytes : limit, 0);
        good = has_room(k, bytes);
    }
    (void)pthread_mutex_lock(&k->lock);
    if (!good && !refuses) {
        k->refused_at = stoq_now();
        k->used_when_refused = used(k);
    }
    k->has_refused = !good;
    end_turn(k);
    (void)pthread_mutex_unlock(&k->lock);
    return good;
}

/* Is much of the store dead? */
static bool has_garbage(struct stoq_keeper *k, uint64_t percent)
{
    struct stoq_store_stats s;
    uint64_t live = 0;
    if (stoq_store_stats(stoq_host_store(k->host), &s, NULL) != STOQ_OK) {
        return false;
    }
    for (size_t i = 0; i < STOQ_RECORD_TYPES; i++) {
        live += s.type[i].stored_bytes + s.type[i].records * RECORD_OVERHEAD;
    }
    uint64_t dead = s.segment_bytes > live ? s.segment_bytes - live : 0;
    return dead >= DEAD_BYTES_MIN && dead >= s.segment_bytes / 100 * percent;
}

static void look(struct stoq_keeper *k)
{
    struct stoq_keeper_status b;
    struct stoq_config *config = malloc(sizeof *config);
    if (config == NULL) {
        return;
    }
    stoq_host_config(k->host, config);
    uint64_t rate = config->gc_rate_bytes_per_s;
    unsigned percent = config->gc_garbage_percent;
    free(config);
    bounds(k, &b);
    if (b.quota_bytes > 0 && b.used_bytes > b.high_bytes) {
        (void)relieve(k, b.high_bytes, b.low_bytes, rate);
    } else if (has_garbage(k, percent) || stoq_wall_seconds() - k->collected_at > COLLECT_EVERY_S) {
        (void)collect(k, STOQ_COLLECT_GRACE_SECONDS, rate, 0);
    }
}

static void *keeper_thread(void *user)
{
    struct stoq_keeper *k = user;
    (void)pthread_mutex_lock(&k->lock);
    while (!k->stopping) {
        if (!k->wanted) {
            (void)stoq_cond_wait_until(&k->changed, &k->lock, stoq_now() + LOOK_EVERY_S * STOQ_SEC);
        }
        k->wanted = false;
        if (take_turn(k, false)) {
            k->in_background = true;
            (void)pthread_mutex_unlock(&k->lock);
            look(k);
            (void)pthread_mutex_lock(&k->lock);
            k->wanted =
                k->wanted || k->waiting > 0; /* stopped for them: the rest is looked at again */
            end_turn(k);
        }
    }
    (void)pthread_mutex_unlock(&k->lock);
    return NULL;
}

enum stoq_status stoq_keeper_start(struct stoq_keeper *k, struct stoq_error *err)
{
    if (k->thread_runs) {
        return STOQ_OK;
    }
    k->collected_at = stoq_wall_seconds();
    int e = pthread_create(&k->thread, NULL, keeper_thread, k);
    k->thread_runs = e == 0;
    return e == 0 ? STOQ_OK : stoq_fail(err, STOQ_NOMEM, e, "start the store's keeper");
}
