#include "check.h"
#include "reader.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "store/gc.h"
#include "store/store.h"

#define WHY_BYTES 512

static bool broken(char why[WHY_BYTES], const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static bool broken(char why[WHY_BYTES], const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(why, WHY_BYTES, fmt, ap);
    va_end(ap);
    return false;
}

static bool segments_keep(const struct crash_keys *keys, const char *dir,
                          const enum crash_expect expect[CRASH_KEYS], const char *when, char *why)
{
    enum crash_expect seen[CRASH_KEYS];
    if (!crash_reader_run(keys, dir, seen)) {
        return broken(why, "%s: the segments cannot be read", when);
    }
    for (unsigned k = 0; k < CRASH_KEYS; k++) {
        if (expect[k] != CRASH_ANY && expect[k] != seen[k]) {
            return broken(why, "%s, in the segments: chunk %u was %s and %s there", when, k,
                          expect[k] == CRASH_PRESENT ? "acknowledged" : "deleted",
                          seen[k] == CRASH_PRESENT ? "is" : "is not");
        }
    }
    return true;
}

/* One key: acknowledged means had, had means readable, deleted means neither. */
static bool store_keeps(struct stoq_store *s, const struct crash_key *key, enum crash_expect expect,
                        const char *when, unsigned k, char *why)
{
    struct stoq_span id = stoq_span(key->id, sizeof key->id);
    bool has = stoq_store_has(s, STOQ_RECORD_CHUNK, id);
    if (expect == CRASH_PRESENT && !has) {
        return broken(why, "%s: chunk %u was acknowledged and is lost", when, k);
    }
    if (expect == CRASH_ABSENT && has) {
        return broken(why, "%s: chunk %u was deleted and came back", when, k);
    }
    struct stoq_buf out;
    struct stoq_error err = {0};
    stoq_buf_init(&out, STOQ_CHUNK_BYTES_MAX);
    enum stoq_status st = stoq_store_read(s, STOQ_RECORD_CHUNK, id, STOQ_STORE_VERIFY, &out, &err);
    bool same = st == STOQ_OK && stoq_span_eq(stoq_buf_span(&out), key->bytes);
    stoq_buf_release(&out);
    if (has && !same) {
        return broken(why, "%s: a false have, chunk %u: %s", when, k,
                      st == STOQ_OK ? "other bytes" : err.text);
    }
    if (!has && st != STOQ_NOTFOUND) {
        return broken(why, "%s: chunk %u is not had, and reading it says %s", when, k, err.text);
    }
    return true;
}

static bool store_keeps_all(struct stoq_store *s, const struct crash_keys *keys,
                            const enum crash_expect expect[CRASH_KEYS], const char *when, char *why)
{
    for (unsigned k = 0; k < CRASH_KEYS; k++) {
        if (!store_keeps(s, &keys->key[k], expect[k], when, k, why)) {
            return false;
        }
    }
    return true;
}

/* Life goes on: the last key is never one of a workload's. */
static bool goes_on(struct stoq_store *s, const struct crash_keys *keys, char *why)
{
    const struct crash_key *key = &keys->key[CRASH_KEYS - 1];
    struct stoq_error err = {0};
    bool is_new;
    if (stoq_store_put(s, STOQ_RECORD_CHUNK, stoq_span(key->id, sizeof key->id), 0, key->bytes,
                       &is_new, &err) != STOQ_OK ||
        stoq_store_sync(s, &err) != STOQ_OK) {
        return broken(why, "recovered: it takes nothing more: %s", err.text);
    }
    return true;
}

/* The index was durable before what it speaks of. */
static void on_notice(void *user, const char *text)
{
    bool *is_ahead = user;
    *is_ahead = *is_ahead || strstr(text, "ahead of segment") != NULL;
}

static bool collected(struct stoq_store *s, const struct crash_keys *keys,
                      const enum crash_expect expect[CRASH_KEYS], char *why)
{
    const struct stoq_gc_ask ask = {.dead_percent_min = 1};
    struct stoq_gc_report report;
    struct stoq_error err = {0};
    if (stoq_store_gc(s, &ask, &report, &err) != STOQ_OK) {
        return broken(why, "it cannot be collected: %s", err.text);
    }
    return store_keeps_all(s, keys, expect, "collected", why);
}

static bool opened(const struct crash_keys *keys, const char *dir,
                   const enum crash_expect expect[CRASH_KEYS], const char *when, bool collect,
                   char *why)
{
    bool is_ahead = false;
    struct stoq_store_config cfg = {.dir = dir,
                                    .create = true,
                                    .segment_bytes = CRASH_SEGMENT_BYTES,
                                    .map_bytes = CRASH_MAP_BYTES,
                                    .notice = on_notice,
                                    .notice_user = &is_ahead};
    struct stoq_error err = {0};
    struct stoq_store *s;
    if (stoq_store_open(&s, &cfg, &err) != STOQ_OK) {
        return broken(why, "%s: it does not open: %s", when, err.text);
    }
    bool good = store_keeps_all(s, keys, expect, when, why) && goes_on(s, keys, why) &&
                (!collect || collected(s, keys, expect, why));
    if (is_ahead && good) {
        good = broken(why, "%s: the index was ahead of the segments", when);
    }
    if (stoq_store_close(s, &err) != STOQ_OK && good) {
        good = broken(why, "%s: it does not close: %s", when, err.text);
    }
    return good;
}

bool crash_check(const struct crash_keys *keys, const char *dir,
                 const enum crash_expect expect[CRASH_KEYS], bool rebuild, char why[WHY_BYTES])
{
    enum crash_expect later[CRASH_KEYS];
    memcpy(later, expect, sizeof later);
    later[CRASH_KEYS - 1] = CRASH_PRESENT;
    if (!segments_keep(keys, dir, expect, "after the crash", why) ||
        !opened(keys, dir, expect, "recovered", rebuild, why) ||
        !segments_keep(keys, dir, later, "recovered", why)) {
        return false;
    }
    if (!rebuild) {
        return true;
    }
    struct stoq_error err = {0};
    struct stoq_store_config cfg = {
        .dir = dir, .segment_bytes = CRASH_SEGMENT_BYTES, .map_bytes = CRASH_MAP_BYTES};
    if (stoq_store_rebuild(&cfg, NULL, &err) != STOQ_OK) {
        return broken(why, "the index cannot be rebuilt: %s", err.text);
    }
    return opened(keys, dir, later, "rebuilt", true, why) &&
           segments_keep(keys, dir, later, "collected and rebuilt", why);
}
