/*
 * One thread, of idle disk priority and low CPU priority, that mostly sleeps:
 *
 *     damage was met       a look at what is missing, and mending, two seconds later; then not again
 *                          before twenty times as long as the look took, or a minute, have passed
 *     something is missing the same once a minute, then every two, four ... sixty
 *     a pass is due        one step of it, then as long a sleep as the budget wants
 *
 * A pass that somebody waits for takes the pass over: the thread rests until it is done.
 */
#include "daemon/scrubber.h"

#include "os/cond.h"
#include "os/sys.h"
#include "wire/bech32m.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define STEP_BYTES ((uint64_t)STOQ_MIB)
#define SAVE_EVERY (30 * STOQ_SEC)
#define MEND_DELAY (2 * STOQ_SEC)
#define MEND_AGAIN (60 * STOQ_SEC)
#define MEND_AGAIN_MAX (3600 * STOQ_SEC)
#define MEND_SHARE 20
#define TROUBLE_REST (60 * STOQ_SEC)
#define PROGRESS_EVERY (100 * STOQ_MS)
#define REMEMBERED_MAX 256

struct remembered {
    struct stoq_package_id id;
    size_t count;
    struct stoq_fetch_source source[STOQ_SCRUBBER_SOURCES_MAX];
};

struct stoq_scrubber {
    struct stoq_host *host;
    pthread_t thread;
    bool thread_runs;
    pthread_mutex_t lock; /* all below */
    pthread_cond_t changed;
    bool stopping;
    bool is_loaded;
    struct stoq_scrub_state state; /* of whoever is busy */
    struct stoq_scrub_state shown; /* a copy for status */
    bool foreground;               /* somebody waits for a pass */
    bool busy;                     /* the thread is at work */
    bool reading;                  /* a step of a pass is under way or about to be */
    stoq_ns saved_at;
    stoq_ns step_at;  /* not before */
    stoq_ns mend_at;  /* STOQ_NEVER: nothing to mend */
    stoq_ns mend_min; /* and not before this */
    stoq_ns mend_gap;
    struct stoq_mend_report mended;
    uint64_t chunks_mended;
    struct remembered *remembered; /* REMEMBERED_MAX; NULL: none yet */
    size_t remembered_count;
    size_t remembered_next;
};

enum stoq_status stoq_scrubber_new(struct stoq_scrubber **out, struct stoq_host *host)
{
    struct stoq_scrubber *s = calloc(1, sizeof *s);
    if (s == NULL) {
        return STOQ_NOMEM;
    }
    s->host = host;
    s->mend_at = STOQ_NEVER;
    s->mend_gap = MEND_AGAIN;
    stoq_cond_init(&s->changed);
    (void)pthread_mutex_init(&s->lock, NULL);
    *out = s;
    return STOQ_OK;
}

void stoq_scrubber_stop(struct stoq_scrubber *s)
{
    if (s != NULL && s->thread_runs) {
        (void)pthread_mutex_lock(&s->lock);
        s->stopping = true;
        (void)pthread_cond_broadcast(&s->changed);
        (void)pthread_mutex_unlock(&s->lock);
        (void)pthread_join(s->thread, NULL);
        s->thread_runs = false;
    }
}

void stoq_scrubber_free(struct stoq_scrubber *s)
{
    if (s == NULL) {
        return;
    }
    stoq_scrubber_stop(s);
    (void)pthread_cond_destroy(&s->changed);
    (void)pthread_mutex_destroy(&s->lock);
    free(s->remembered);
    free(s);
}

static const char *store_dir(const struct stoq_scrubber *s)
{
    return stoq_host_home(s->host)->store_dir;
}

static void settings(struct stoq_scrubber *s, uint64_t *rate_bytes_per_s, uint64_t *every_s)
{
    struct stoq_config *config = malloc(sizeof *config);
    *rate_bytes_per_s = 0;
    *every_s = 0;
    if (config != NULL) {
        stoq_host_config(s->host, config);
        *rate_bytes_per_s = config->scrub_rate_bytes_per_s;
        *every_s = config->scrub_every_s;
    }
    free(config);
}

/* Under lock. A store that was never scrubbed counts as read when first looked at. */
static void load(struct stoq_scrubber *s)
{
    if (s->is_loaded) {
        return;
    }
    s->is_loaded = true;
    if (stoq_scrub_load(store_dir(s), &s->state, NULL) != STOQ_OK) {
        s->state.finished_at = stoq_wall_seconds();
    }
    s->shown = s->state;
}

static void save(struct stoq_scrubber *s, const struct stoq_scrub_state *state)
{
    struct stoq_error err;
    if (stoq_scrub_save(store_dir(s), state, &err) != STOQ_OK) {
        stoq_host_log(s->host, STOQ_LOG_INFO, "scrub: %s", err.text);
    }
}

static void show(struct stoq_scrubber *s)
{
    (void)pthread_mutex_lock(&s->lock);
    s->shown = s->state;
    (void)pthread_mutex_unlock(&s->lock);
}

void stoq_scrubber_wake(struct stoq_scrubber *s)
{
    (void)pthread_mutex_lock(&s->lock);
    stoq_ns at = stoq_now() + MEND_DELAY;
    at = at > s->mend_min ? at : s->mend_min;
    if (at < s->mend_at) {
        s->mend_at = at;
        (void)pthread_cond_broadcast(&s->changed);
    }
    (void)pthread_mutex_unlock(&s->lock);
}

void stoq_scrubber_remember(struct stoq_scrubber *s, const struct stoq_package_id *id,
                            const struct stoq_fetch_source *sources, size_t count)
{
    if (count == 0) {
        return;
    }
    (void)pthread_mutex_lock(&s->lock);
    if (s->remembered == NULL) {
        s->remembered = calloc(REMEMBERED_MAX, sizeof *s->remembered);
    }
    if (s->remembered != NULL) {
        size_t i = 0;
        while (i < s->remembered_count && !stoq_hash_eq(&s->remembered[i].id.h, &id->h)) {
            i++;
        }
        if (i == s->remembered_count && i < REMEMBERED_MAX) {
            s->remembered_count++;
        } else if (i == s->remembered_count) {
            i = s->remembered_next++ % REMEMBERED_MAX; /* the oldest */
        }
        struct remembered *r = &s->remembered[i];
        r->id = *id;
        r->count = count < STOQ_SCRUBBER_SOURCES_MAX ? count : STOQ_SCRUBBER_SOURCES_MAX;
        memcpy(r->source, sources, r->count * sizeof r->source[0]);
    }
    (void)pthread_mutex_unlock(&s->lock);
}

size_t stoq_scrubber_sources(struct stoq_scrubber *s, const struct stoq_package_id *id,
                             struct stoq_fetch_source *out)
{
    size_t n = 0;
    (void)pthread_mutex_lock(&s->lock);
    for (size_t i = 0; i < s->remembered_count; i++) {
        const struct remembered *r = &s->remembered[i];
        if (stoq_hash_eq(&r->id.h, &id->h)) {
            n = r->count;
            memcpy(out, r->source, n * sizeof out[0]);
        }
    }
    (void)pthread_mutex_unlock(&s->lock);
    return n;
}

static bool thread_stops(void *user)
{
    struct stoq_scrubber *s = user;
    (void)pthread_mutex_lock(&s->lock);
    bool stop = s->stopping || s->foreground;
    (void)pthread_mutex_unlock(&s->lock);
    return stop;
}

static void log_found(void *user, bool lost, const char *what)
{
    const struct stoq_scrubber *s = user;
    if (!lost) { /* of what is lost the store's own notice tells */
        stoq_host_log(s->host, STOQ_LOG_INFO, "scrub: %s", what);
    }
}

static void log_item(void *user, const struct stoq_mend_item *item)
{
    const struct stoq_scrubber *s = user;
    char id[STOQ_ID_TEXT_CAP];
    if (item->is_content) {
        stoq_address_put(id, &item->address);
    } else {
        stoq_package_id_put(id, &item->id);
    }
    const char *file = item->holes->paths.n > 0 ? (const char *)item->holes->paths.p : "";
    if (item->mended) {
        stoq_host_log(s->host, STOQ_LOG_INFO, "%s %.*s: mended, %llu chunks fetched again", id,
                      (int)item->name.n, (const char *)item->name.p,
                      (unsigned long long)item->holes->chunks);
        return;
    }
    stoq_host_log(s->host, STOQ_LOG_INFO, "%s %.*s: %llu chunks are missing%s%.200s: %.300s", id,
                  (int)item->name.n, (const char *)item->name.p,
                  (unsigned long long)item->chunks_left, file[0] != '\0' ? ", in " : "", file,
                  item->why);
}

static void log_lost(void *user, const char *what)
{
    const struct stoq_scrubber *s = user;
    stoq_host_log(s->host, STOQ_LOG_INFO, "scrub: %s", what);
}

/* Under lock: note how a look ended, and when the next is due. */
static void note_mended(struct stoq_scrubber *s, const struct stoq_mend_report *r, stoq_ns took)
{
    stoq_ns now = stoq_now();
    s->mended = *r;
    s->chunks_mended += r->chunks_mended;
    s->mend_gap = r->chunks_mended > 0 ? MEND_AGAIN : s->mend_gap;
    s->mend_min = now + (took * MEND_SHARE > MEND_AGAIN ? took * MEND_SHARE : MEND_AGAIN);
    if (r->mended > 0) {
        s->mend_min = now; /* it went well: what comes next is news */
    }
    if (r->lacking == 0) {
        s->mend_gap = MEND_AGAIN;
        return;
    }
    if (s->mend_at == STOQ_NEVER) {
        s->mend_at = now + s->mend_gap;
        s->mend_gap = 2 * s->mend_gap < MEND_AGAIN_MAX ? 2 * s->mend_gap : MEND_AGAIN_MAX;
    }
}

/* The thread's look at what is missing. Under lock; released meanwhile. */
static void mend(struct stoq_scrubber *s)
{
    struct stoq_mend_report report;
    struct stoq_error err = {0};
    const struct stoq_mend_ask ask = {
        .each = log_item, .lost = log_lost, .cancelled = thread_stops, .user = s};
    s->mend_at = STOQ_NEVER;
    (void)pthread_mutex_unlock(&s->lock);
    stoq_ns began = stoq_now();
    enum stoq_status st = stoq_mend(s->host, &ask, &report, &err);
    stoq_ns took = stoq_now() - began;
    if (st != STOQ_OK && st != STOQ_CANCELLED) {
        stoq_host_log(s->host, STOQ_LOG_INFO, "scrub: %s", err.text);
    }
    (void)pthread_mutex_lock(&s->lock);
    if (st == STOQ_OK) {
        note_mended(s, &report, took);
    } else if (!s->stopping && s->mend_at == STOQ_NEVER) {
        s->mend_at = stoq_now() + s->mend_gap;
    }
}

/* Whatever ends the pass under way. */
static void finish_pass(struct stoq_scrubber *s)
{
    const struct stoq_scrub_counts *c = &s->state.last;
    s->state.finished_at = stoq_wall_seconds();
    stoq_host_log(s->host, STOQ_LOG_INFO,
                  "scrub: pass %llu done: %llu records and %llu chunks in place read, %llu lost, "
                  "%llu made good",
                  (unsigned long long)s->state.pass, (unsigned long long)c->records,
                  (unsigned long long)c->places, (unsigned long long)c->lost,
                  (unsigned long long)c->healed);
}

/* One step of the background's pass; false: it cannot go on now. */
static bool step(struct stoq_scrubber *s, struct stoq_scrub **sc, bool *done)
{
    struct stoq_error err = {0};
    enum stoq_status st = STOQ_OK;
    *done = false;
    if (*sc == NULL) {
        const struct stoq_scrub_config cfg = {
            .store = stoq_host_store(s->host), .found = log_found, .stop = thread_stops, .user = s};
        if (s->state.phase == STOQ_SCRUB_IDLE) {
            s->state.began_at = stoq_wall_seconds();
        }
        st = stoq_scrub_new(sc, &cfg, &s->state, &err);
    }
    if (st == STOQ_OK) {
        st = stoq_scrub_step(*sc, STEP_BYTES, done, &err);
    }
    if (st != STOQ_OK && st != STOQ_CANCELLED) {
        stoq_host_log(s->host, STOQ_LOG_INFO, "scrub: %s", err.text);
    }
    if (*done) {
        finish_pass(s);
    }
    return st == STOQ_OK;
}

/* Under lock; released meanwhile. */
static void read_on(struct stoq_scrubber *s, struct stoq_scrub **sc, uint64_t rate_bytes_per_s)
{
    uint64_t before = s->state.phase == STOQ_SCRUB_IDLE ? 0 : s->state.counts.bytes;
    bool done;
    s->reading = true;
    (void)pthread_mutex_unlock(&s->lock);
    bool ok = step(s, sc, &done);
    stoq_ns now = stoq_now();
    bool save_now = done || now >= s->saved_at + SAVE_EVERY;
    if (save_now) {
        save(s, &s->state);
        s->saved_at = now;
    }
    if (done || !ok) {
        stoq_scrub_free(*sc);
        *sc = NULL;
    }
    show(s);
    (void)pthread_mutex_lock(&s->lock);
    uint64_t bytes = done ? s->state.last.bytes - before : s->state.counts.bytes - before;
    stoq_ns pause = 0;
    if (rate_bytes_per_s > 0 && bytes < 64 * STOQ_GIB / 8) {
        pause = (stoq_ns)(bytes * 1000 / rate_bytes_per_s) * STOQ_MS;
    }
    /* Against the time it should have been, so that what a step itself takes counts. */
    s->step_at = (s->step_at + pause > now ? s->step_at : now) + (ok ? pause : TROUBLE_REST);
    s->reading = !done;
    if (done && s->mend_at == STOQ_NEVER) {
        s->mend_at = now; /* also what earlier passes have left */
    }
}

static void lower_priority(void)
{
    enum { IOPRIO_WHO_PROCESS = 1, IOPRIO_CLASS_IDLE = 3, IOPRIO_CLASS_SHIFT = 13, NICE = 10 };
    pid_t tid = (pid_t)syscall(SYS_gettid);
    (void)setpriority(PRIO_PROCESS, (id_t)tid, NICE);
    (void)syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, tid, IOPRIO_CLASS_IDLE << IOPRIO_CLASS_SHIFT);
}

/* Under lock: sleep until a time or a change. */
static void rest(struct stoq_scrubber *s, stoq_ns until)
{
    (void)stoq_cond_wait_until(&s->changed, &s->lock, until);
}

/* When the next step of a pass is due; now at the earliest. */
static stoq_ns pass_at(const struct stoq_scrubber *s, uint64_t every_s, stoq_ns now)
{
    if (every_s == 0) {
        return STOQ_NEVER;
    }
    uint64_t wall = stoq_wall_seconds();
    uint64_t due = s->state.finished_at + every_s;
    if (s->state.phase != STOQ_SCRUB_IDLE || due <= wall) {
        return s->step_at > now ? s->step_at : now;
    }
    uint64_t wait_s = due - wall < 86400 ? due - wall : 86400; /* clocks are set now and then */
    return now + wait_s * STOQ_SEC;
}

static void *scrubber_main(void *arg)
{
    struct stoq_scrubber *s = arg;
    struct stoq_scrub *sc = NULL;
    lower_priority();
    (void)pthread_mutex_lock(&s->lock);
    load(s);
    while (!s->stopping) {
        uint64_t rate;
        uint64_t every_s;
        (void)pthread_mutex_unlock(&s->lock);
        settings(s, &rate, &every_s);
        (void)pthread_mutex_lock(&s->lock);
        if (s->stopping) {
            break;
        }
        if (s->foreground) {
            stoq_scrub_free(sc);
            sc = NULL;
            s->busy = false;
            (void)pthread_cond_broadcast(&s->changed);
            rest(s, STOQ_NEVER);
            continue;
        }
        s->busy = true;
        stoq_ns now = stoq_now();
        stoq_ns pass = pass_at(s, every_s, now);
        if (s->mend_at <= now) {
            mend(s);
        } else if (pass <= now) {
            read_on(s, &sc, rate);
        } else {
            s->busy = false;
            rest(s, s->mend_at < pass ? s->mend_at : pass);
        }
    }
    stoq_scrub_free(sc);
    s->busy = false;
    struct stoq_scrub_state state = s->state;
    (void)pthread_mutex_unlock(&s->lock);
    save(s, &state);
    return NULL;
}

enum stoq_status stoq_scrubber_start(struct stoq_scrubber *s, struct stoq_error *err)
{
    if (s->thread_runs) {
        return STOQ_OK;
    }
    int e = pthread_create(&s->thread, NULL, scrubber_main, s);
    if (e != 0) {
        return stoq_fail(err, STOQ_NOMEM, e, "start the scrub thread");
    }
    s->thread_runs = true;
    return STOQ_OK;
}

enum stoq_status stoq_scrubber_status(struct stoq_scrubber *s, struct stoq_scrubber_status *out,
                                      struct stoq_error *err)
{
    uint64_t every_s;
    memset(out, 0, sizeof *out);
    settings(s, &out->rate_bytes_per_s, &every_s);
    (void)pthread_mutex_lock(&s->lock);
    load(s);
    out->state = s->shown;
    out->running = s->reading;
    out->mended = s->mended;
    out->chunks_mended = s->chunks_mended;
    (void)pthread_mutex_unlock(&s->lock);
    out->next_at = every_s == 0 ? 0 : out->state.finished_at + every_s;
    out->bytes_total = stoq_scrub_bytes_total(stoq_host_store(s->host));
    return STOQ_OK;
}

/* Take the pass over from the thread. */
static enum stoq_status take_over(struct stoq_scrubber *s, const struct stoq_mend_ask *ask,
                                  struct stoq_error *err)
{
    enum stoq_status st = STOQ_OK;
    (void)pthread_mutex_lock(&s->lock);
    if (s->foreground) {
        (void)pthread_mutex_unlock(&s->lock);
        return stoq_fail(err, STOQ_BUSY, 0, "another scrub is running; see stoq scrub --status");
    }
    s->foreground = true;
    (void)pthread_cond_broadcast(&s->changed);
    while (s->busy && st == STOQ_OK) {
        rest(s, stoq_now() + PROGRESS_EVERY);
        if (ask->cancelled != NULL && ask->cancelled(ask->user)) {
            st = stoq_fail(err, STOQ_CANCELLED, 0, "interrupted");
            s->foreground = false;
        }
    }
    if (st == STOQ_OK) {
        load(s);
        s->reading = true;
    }
    (void)pthread_cond_broadcast(&s->changed);
    (void)pthread_mutex_unlock(&s->lock);
    return st;
}

static void give_back(struct stoq_scrubber *s)
{
    (void)pthread_mutex_lock(&s->lock);
    s->foreground = false;
    s->reading = false;
    s->shown = s->state;
    (void)pthread_cond_broadcast(&s->changed);
    (void)pthread_mutex_unlock(&s->lock);
}

/* Sleep as long as the budget wants, but listen. */
static enum stoq_status pace(const struct stoq_scrubber_ask *ask, stoq_ns until,
                             struct stoq_error *err)
{
    const struct stoq_mend_ask *m = &ask->mend;
    for (;;) {
        if (m->cancelled != NULL && m->cancelled(m->user)) {
            return stoq_fail(err, STOQ_CANCELLED, 0, "interrupted; the next scrub goes on there");
        }
        stoq_ns now = stoq_now();
        if (now >= until) {
            return STOQ_OK;
        }
        stoq_ns nap = until - now < PROGRESS_EVERY ? until - now : PROGRESS_EVERY;
        struct timespec t = {.tv_sec = 0, .tv_nsec = (long)nap};
        (void)nanosleep(&t, NULL);
    }
}

static enum stoq_status run_pass(struct stoq_scrubber *s, const struct stoq_scrubber_ask *ask,
                                 struct stoq_error *err)
{
    struct stoq_scrub *sc = NULL;
    bool done = false;
    if (ask->anew) {
        s->state.phase = STOQ_SCRUB_IDLE;
    }
    if (s->state.phase == STOQ_SCRUB_IDLE) {
        s->state.began_at = stoq_wall_seconds();
    }
    const struct stoq_scrub_config cfg = {.store = stoq_host_store(s->host),
                                          .found = ask->found,
                                          .stop = ask->mend.cancelled,
                                          .user = ask->mend.user};
    enum stoq_status st = stoq_scrub_new(&sc, &cfg, &s->state, err);
    uint64_t total = stoq_scrub_bytes_total(stoq_host_store(s->host));
    stoq_ns began = stoq_now();
    uint64_t before = s->state.counts.bytes;
    while (st == STOQ_OK && !done) {
        st = stoq_scrub_step(sc, STEP_BYTES, &done, err);
        show(s);
        if (st == STOQ_OK && ask->progress != NULL) {
            ask->progress(ask->mend.user, s->state.counts.bytes, total);
        }
        uint64_t read = s->state.counts.bytes - before;
        stoq_ns until = began;
        if (ask->rate_bytes_per_s > 0) {
            until += (stoq_ns)((double)read / (double)ask->rate_bytes_per_s * 1e9);
        }
        if (st == STOQ_OK && !done) {
            st = pace(ask, until, err);
        }
    }
    stoq_scrub_free(sc);
    if (done) {
        finish_pass(s);
    }
    save(s, &s->state);
    return st;
}

enum stoq_status stoq_scrubber_pass(struct stoq_scrubber *s, const struct stoq_scrubber_ask *ask,
                                    struct stoq_scrub_counts *counts,
                                    struct stoq_mend_report *report, struct stoq_error *err)
{
    enum stoq_status st = take_over(s, &ask->mend, err);
    if (st != STOQ_OK) {
        return st;
    }
    st = run_pass(s, ask, err);
    *counts = s->state.last;
    if (st == STOQ_OK) {
        stoq_ns began = stoq_now();
        st = stoq_mend(s->host, &ask->mend, report, err);
        (void)pthread_mutex_lock(&s->lock);
        if (st == STOQ_OK) {
            s->mend_at = STOQ_NEVER; /* it has just been done */
            note_mended(s, report, stoq_now() - began);
        }
        (void)pthread_mutex_unlock(&s->lock);
    }
    give_back(s);
    return st;
}
