/*
 * Six stories of a store with segments of 64 KiB:
 *
 *   life     made, filled over several segments, chunks deleted and put again, closed and reopened
 *   killed   sessions that end without a sync, their last records in the page cache alone, and
 *            sessions after them that build on what they found
 *   torn     a power cut has torn the last record; it is cut off and the store goes on after it
 *   rebuilt  the index is lost, or damaged, and made anew; then the store goes on
 *   collected  segments are rewritten without what was deleted, and removed, while things are put;
 *            what nothing refers to is deleted by the collection itself
 *   faulty   one call a session fails: a write comes back short and then with ENOSPC, a sync with
 *            EIO, and what it was to make durable is lost for good
 *
 * A killed session's successor sees the page cache, a power cut's sees what had been synced: the
 * log goes on over a kill, and begins anew (crash_record_base) at a power cut.
 */
#include "work.h"
#include "check.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "store/gc.h"
#include "store/store.h"

struct session {
    const struct crash_keys *keys;
    struct stoq_store *s;
    bool bad;
};

static void check(struct session *w, enum stoq_status st, const struct stoq_error *err)
{
    if (st != STOQ_OK && !w->bad) {
        (void)fprintf(stderr, "crash: the workload fails: %s\n", err->text);
        w->bad = true;
    }
}

static void begin(struct session *w, const struct crash_keys *keys, const char *dir)
{
    char path[512];
    (void)snprintf(path, sizeof path, "%s/store", dir);
    struct stoq_store_config cfg = {.dir = path,
                                    .create = true,
                                    .segment_bytes = CRASH_SEGMENT_BYTES,
                                    .map_bytes = CRASH_MAP_BYTES};
    struct stoq_error err = {0};
    *w = (struct session){.keys = keys};
    check(w, stoq_store_open(&w->s, &cfg, &err), &err);
}

static void put(struct session *w, uint32_t from, uint32_t to)
{
    for (uint32_t k = from; k < to && !w->bad; k++) {
        const struct crash_key *key = &w->keys->key[k];
        struct stoq_error err = {0};
        bool is_new;
        crash_record_touch(k, false);
        check(w,
              stoq_store_put(w->s, STOQ_RECORD_CHUNK, stoq_span(key->id, sizeof key->id),
                             STOQ_STORE_VERIFY, key->bytes, &is_new, &err),
              &err);
    }
}

static void drop(struct session *w, uint32_t k)
{
    struct stoq_error err = {0};
    const struct crash_key *key = &w->keys->key[k];
    struct stoq_span id = stoq_span(key->id, sizeof key->id);
    if (!w->bad && stoq_store_has(w->s, STOQ_RECORD_CHUNK, id)) {
        crash_record_touch(k, true);
        check(w, stoq_store_delete(w->s, STOQ_RECORD_CHUNK, id, &err), &err);
    }
}

static void sync_all(struct session *w)
{
    struct stoq_error err = {0};
    if (!w->bad) {
        check(w, stoq_store_sync(w->s, &err), &err);
        crash_record_ack();
    }
}

static bool end(struct session *w)
{
    struct stoq_error err = {0};
    check(w, stoq_store_close(w->s, &err), &err);
    if (!w->bad) {
        crash_record_ack();
    }
    return !w->bad;
}

static void put_each(struct session *w, uint32_t from, uint32_t to, uint32_t step)
{
    for (uint32_t k = from; k < to; k += step) {
        put(w, k, k + step < to ? k + step : to);
        sync_all(w);
    }
}

static bool life(const struct crash_keys *keys, const char *dir)
{
    struct session w;
    begin(&w, keys, dir);
    put_each(&w, 0, 8, 1);
    put_each(&w, 8, 48, 5);
    drop(&w, 2);
    drop(&w, 20);
    sync_all(&w);
    put(&w, 48, 100);
    drop(&w, 30);
    drop(&w, 60);
    put(&w, 2, 3);
    sync_all(&w);
    if (!end(&w)) {
        return false;
    }
    begin(&w, keys, dir);
    put_each(&w, 100, 112, 3);
    drop(&w, 2);
    drop(&w, 101);
    return end(&w);
}

/* In a child: work, then end as by kill -9. */
static bool killed_session(const struct crash_keys *keys, const char *dir, uint32_t from)
{
    pid_t pid = fork();
    if (pid == 0) {
        struct session w;
        begin(&w, keys, dir);
        put_each(&w, from, from + 6, 3);
        drop(&w, from + 1);
        put(&w, from + 6, from + 44); /* more than a segment: its blocks are written */
        struct timespec ts = {0, 20000000};
        (void)nanosleep(&ts, NULL);
        crash_record_kill();
        _exit(w.bad ? 1 : 0);
    }
    int how = 1;
    return pid > 0 && waitpid(pid, &how, 0) == pid && how == 0;
}

static bool killed(const struct crash_keys *keys, const char *dir)
{
    if (!killed_session(keys, dir, 0) || !killed_session(keys, dir, 50)) {
        return false;
    }
    struct session w;
    begin(&w, keys, dir);
    put_each(&w, 100, 106, 2);
    drop(&w, 0);
    drop(&w, 51);
    sync_all(&w);
    put(&w, 10, 40);
    return end(&w);
}

/* Chunks from .. to are referred to. */
struct referred {
    const struct crash_keys *keys;
    uint32_t from;
    uint32_t to;
};

static enum stoq_status mark_referred(void *user, struct stoq_mark *m, struct stoq_error *err)
{
    const struct referred *r = user;
    (void)err;
    for (uint32_t k = r->from; k < r->to; k++) {
        stoq_mark_add(m, stoq_span(r->keys->key[k].id, sizeof r->keys->key[k].id));
    }
    return STOQ_OK;
}

static bool keep_no_other(void *user, enum stoq_record_type type, struct stoq_span key)
{
    (void)user;
    (void)type;
    (void)key;
    return false;
}

/* Collect; with from < to also delete what lies outside of these. */
static void collect(struct session *w, uint32_t from, uint32_t to)
{
    struct referred r = {.keys = w->keys, .from = from, .to = to};
    struct stoq_gc_ask ask = {.dead_percent_min = 1, .user = &r};
    struct stoq_gc_report report;
    struct stoq_error err = {0};
    if (w->bad) {
        return;
    }
    if (from < to) {
        ask.mark = mark_referred;
        ask.keeps = keep_no_other;
    }
    for (uint32_t k = 0; from < to && k < CRASH_KEYS; k++) {
        const struct crash_key *key = &w->keys->key[k];
        if ((k < from || k >= to) &&
            stoq_store_has(w->s, STOQ_RECORD_CHUNK, stoq_span(key->id, sizeof key->id))) {
            crash_record_touch(k, true);
        }
    }
    check(w, stoq_store_gc(w->s, &ask, &report, &err), &err);
    if (!w->bad) {
        crash_record_ack();
    }
}

static bool collected(const struct crash_keys *keys, const char *dir)
{
    struct session w;
    begin(&w, keys, dir);
    put_each(&w, 0, 60, 20);
    for (uint32_t k = 1; k < 60; k += 7) {
        drop(&w, k);
    }
    put_each(&w, 60, 80, 10);
    collect(&w, 0, 0);
    put(&w, 80, 84); /* not acknowledged when the next one begins */
    drop(&w, 70);
    collect(&w, 30, 84);
    put_each(&w, 2, 6, 2);
    drop(&w, 40);
    sync_all(&w);
    collect(&w, 0, 0);
    put(&w, 90, 95);
    if (!end(&w)) {
        return false;
    }
    begin(&w, keys, dir);
    drop(&w, 91);
    put_each(&w, 100, 104, 2);
    collect(&w, 0, 0);
    collect(&w, 80, 110);
    return end(&w);
}

static bool store_path(char out[512], const char *dir, const char *name)
{
    return snprintf(out, 512, "%s/store/%s", dir, name) < 512;
}

/* Half of a record, as a power cut leaves it, at the end of the last segment. */
static bool tear(const char *dir)
{
    char path[512];
    int fd = -1;
    for (unsigned n = 64; n > 0 && fd < 0; n--) {
        char name[40];
        (void)snprintf(name, sizeof name, "segments/%08x.seg", n);
        fd = store_path(path, dir, name) ? open(path, O_RDWR | O_CLOEXEC) : -1;
    }
    uint8_t half[3000];
    struct stat sb;
    memset(half, 0xa5, sizeof half);
    bool good = fd >= 0 && fstat(fd, &sb) == 0 && pread(fd, half, 32, 64) == 32;
    half[9] = 0x7f; /* a sequence of its own */
    good = good && pwrite(fd, half, sizeof half, sb.st_size) == (ssize_t)sizeof half;
    if (fd >= 0) {
        (void)close(fd);
    }
    return good;
}

static bool torn(const struct crash_keys *keys, const char *dir)
{
    struct session w;
    begin(&w, keys, dir);
    put_each(&w, 0, 20, 5);
    if (!end(&w) || !tear(dir)) {
        return false;
    }
    crash_record_base();
    begin(&w, keys, dir);
    put_each(&w, 20, 30, 1);
    drop(&w, 3);
    put_each(&w, 30, 60, 10);
    return end(&w);
}

static bool lose_index(const char *dir, bool damage)
{
    char path[512];
    if (!store_path(path, dir, "index/data.mdb")) {
        return false;
    }
    if (!damage) {
        return unlink(path) == 0;
    }
    int fd = open(path, O_RDWR | O_CLOEXEC);
    bool good = fd >= 0 && ftruncate(fd, 8192) == 0;
    if (fd >= 0) {
        (void)close(fd);
    }
    return good;
}

static bool rebuilt(const struct crash_keys *keys, const char *dir)
{
    struct session w;
    begin(&w, keys, dir);
    put_each(&w, 0, 130, 26); /* an index of several leaves */
    drop(&w, 5);
    if (!end(&w) || !lose_index(dir, true)) {
        return false;
    }
    crash_record_base();
    begin(&w, keys, dir);
    put_each(&w, 130, 140, 5);
    drop(&w, 6);
    if (!end(&w) || !lose_index(dir, false)) {
        return false;
    }
    begin(&w, keys, dir);
    put_each(&w, 140, 150, 5);
    return end(&w);
}

/* Put, delete and sync while one call fails; what the store refuses is in doubt, what it says it has
 * synced it must keep. */
static void put_or_doubt(struct session *w, uint32_t k, bool deleted)
{
    const struct crash_key *key = &w->keys->key[k];
    struct stoq_span id = stoq_span(key->id, sizeof key->id);
    bool is_new;
    if (deleted && !stoq_store_has(w->s, STOQ_RECORD_CHUNK, id)) {
        return;
    }
    crash_record_touch(k, deleted);
    enum stoq_status st = deleted ? stoq_store_delete(w->s, STOQ_RECORD_CHUNK, id, NULL)
                                  : stoq_store_put(w->s, STOQ_RECORD_CHUNK, id, STOQ_STORE_VERIFY,
                                                   key->bytes, &is_new, NULL);
    if (st != STOQ_OK) {
        crash_record_doubt(k);
    }
}

static bool sync_in_the_end(struct session *w)
{
    for (int i = 0; i < 4; i++) {
        if (stoq_store_sync(w->s, NULL) == STOQ_OK) {
            crash_record_ack();
            return true;
        }
    }
    return false;
}

/* Whatever fails, the session goes on: a write of LMDB's own head too, which ends its environment. */
static bool faulty_session(const struct crash_keys *keys, const char *dir, uint32_t from,
                           enum crash_kind kind, unsigned nth)
{
    struct session w;
    begin(&w, keys, dir);
    if (w.bad) {
        return false;
    }
    crash_record_fail(kind, nth, kind == CRASH_SYNC ? EIO : ENOSPC);
    put_or_doubt(&w, from, false);
    bool good = sync_in_the_end(&w);
    put_or_doubt(&w, from + 1, false);
    put_or_doubt(&w, from, true);
    put_or_doubt(&w, from + 2, false);
    good = sync_in_the_end(&w) && good;
    crash_record_fail(kind, 0, 0);
    good = stoq_store_close(w.s, NULL) == STOQ_OK && good;
    if (!good) {
        (void)fprintf(stderr, "crash: nothing goes on after failure %u\n", nth);
    }
    return good;
}

static bool faulty(const struct crash_keys *keys, const char *dir)
{
    bool good = true;
    for (unsigned nth = 1; nth <= 14 && good; nth++) {
        good = faulty_session(keys, dir, nth * 4, CRASH_WRITE, nth);
    }
    for (unsigned nth = 1; nth <= 7 && good; nth++) {
        good = faulty_session(keys, dir, 80 + nth * 4, CRASH_SYNC, nth);
    }
    return good;
}

const struct crash_work crash_works[] = {{"life", life},           {"killed", killed},
                                         {"torn", torn},           {"rebuilt", rebuilt},
                                         {"collected", collected}, {"faulty", faulty}};
const unsigned crash_work_count = sizeof crash_works / sizeof crash_works[0];
