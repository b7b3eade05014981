#include "daemon/collect.h"

#include "daemon/alias_record.h"
#include "daemon/content.h"
#include "daemon/reach.h"
#include "os/sys.h"

#include <stdlib.h>
#include <string.h>

#define ID_BYTES 32
#define SIGNATURE_KEY_BYTES 64
#define OWNERS_BYTES_MAX ((size_t)1 << 28)

struct collection {
    struct stoq_store *store;
    const struct stoq_collect_ask *ask;
    struct stoq_kept kept;
    struct stoq_mark *mark;
    struct stoq_buf packages; /* ids of the live ones, ascending */
    struct stoq_buf contents; /* keys */
    bool has_owners;
    struct stoq_buf *into; /* while keys are gathered */
    size_t key_bytes;
    enum stoq_status status;
};

static bool is_cancelled(void *user)
{
    const struct collection *c = user;
    return c->ask->cancelled != NULL && c->ask->cancelled(c->ask->user);
}

static bool gather_key(void *user, struct stoq_span key, struct stoq_stored info)
{
    struct collection *c = user;
    (void)info;
    if (key.n == c->key_bytes) {
        c->status = stoq_buf_add(c->into, key);
    }
    return c->status == STOQ_OK;
}

static enum stoq_status gather(struct collection *c, enum stoq_record_type type, size_t key_bytes,
                               struct stoq_buf *into, struct stoq_error *err)
{
    c->into = into;
    c->key_bytes = key_bytes;
    c->status = STOQ_OK;
    enum stoq_status st = stoq_store_each(c->store, type, gather_key, c, err);
    return st == STOQ_OK && c->status != STOQ_OK
               ? stoq_fail(err, c->status, 0, "too many packages to look through")
               : st;
}

/* Is this manifest's package live? */
static bool is_live(struct collection *c, const uint8_t *id)
{
    struct stoq_subject subject = {.n = ID_BYTES};
    struct stoq_stored info;
    struct stoq_span key = stoq_span(id, ID_BYTES);
    memcpy(subject.b, id, ID_BYTES);
    return stoq_store_stat(c->store, STOQ_RECORD_PACKAGE, key, &info, NULL) == STOQ_OK ||
           stoq_kept_has(&c->kept, &subject) ||
           stoq_mark_is_young(c->mark, STOQ_RECORD_MANIFEST, key);
}

/* What is live, as the collection begins. A package that is recorded later was being added by then,
 * and the store
 * knows what an addition counts on. */
static enum stoq_status find_owners(struct collection *c, struct stoq_error *err)
{
    enum stoq_status st = gather(c, STOQ_RECORD_MANIFEST, ID_BYTES, &c->packages, err);
    if (st == STOQ_OK) {
        st = gather(c, STOQ_RECORD_CONTENT, STOQ_CONTENT_KEY_BYTES, &c->contents, err);
    }
    size_t kept = 0;
    for (size_t at = 0; st == STOQ_OK && at < c->packages.n; at += ID_BYTES) {
        if (is_live(c, c->packages.p + at)) {
            memmove(c->packages.p + kept, c->packages.p + at, ID_BYTES);
            kept += ID_BYTES;
        }
    }
    c->packages.n = kept;
    c->has_owners = st == STOQ_OK;
    return st;
}

static void mark_key(void *user, struct stoq_span key)
{
    struct collection *c = user;
    stoq_mark_add(c->mark, key);
}

/* Mark what some owners refer to; their keys are joined. */
static enum stoq_status mark_owners(struct collection *c, const struct stoq_buf *keys,
                                    size_t key_bytes, struct stoq_error *err)
{
    enum stoq_status st = STOQ_OK;
    for (size_t at = 0; st == STOQ_OK && at < keys->n; at += key_bytes) {
        struct stoq_subject subject;
        if (stoq_subject_get(&subject, stoq_span(keys->p + at, key_bytes)) != STOQ_OK) {
            continue;
        }
        st = stoq_reach(c->store, &subject, mark_key, c, err);
        if (st == STOQ_NOTFOUND) {
            st = STOQ_OK; /* its lists have not come yet, or it has just been removed */
        } else if (st != STOQ_OK) {
            char text[STOQ_ID_TEXT_CAP];
            stoq_subject_put(text, &subject);
            stoq_error_prefix(err, "what %.20s... refers to is not known: ", text);
        }
        if (st == STOQ_OK && is_cancelled(c)) {
            st = stoq_fail(err, STOQ_CANCELLED, 0, "interrupted");
        }
    }
    return st;
}

static enum stoq_status mark_live(void *user, struct stoq_mark *m, struct stoq_error *err)
{
    struct collection *c = user;
    c->mark = m;
    enum stoq_status st = c->has_owners ? STOQ_OK : find_owners(c, err);
    if (st == STOQ_OK) {
        st = mark_owners(c, &c->packages, ID_BYTES, err);
    }
    return st == STOQ_OK ? mark_owners(c, &c->contents, STOQ_CONTENT_KEY_BYTES, err) : st;
}

static int id_cmp(const void *a, const void *b)
{
    return memcmp(a, b, ID_BYTES);
}

/* A manifest, or what is said of one: is that package live? Of a fetch that did not end nothing is. */
static bool keeps(void *user, enum stoq_record_type type, struct stoq_span key)
{
    const struct collection *c = user;
    const uint8_t *id = key.p;
    if (type == STOQ_RECORD_TRANSFER) {
        return false;
    }
    if (type == STOQ_RECORD_ALIAS && key.n == STOQ_ALIAS_KEY_BYTES) {
        id = key.p + STOQ_ALIAS_PREFIX_BYTES;
    } else if (key.n != (type == STOQ_RECORD_MANIFEST ? ID_BYTES : SIGNATURE_KEY_BYTES)) {
        return true; /* not one of ours to judge */
    }
    return c->packages.n > 0 &&
           bsearch(id, c->packages.p, c->packages.n / ID_BYTES, ID_BYTES, id_cmp) != NULL;
}

static enum stoq_status sweep_leases(const struct collection *c, struct stoq_collect_report *r,
                                     struct stoq_error *err)
{
    pthread_mutex_t *lock = c->ask->record_lock;
    if (c->ask->dry_run || lock == NULL || pthread_mutex_trylock(lock) != 0) {
        return STOQ_OK;
    }
    enum stoq_status st = stoq_keep_sweep(c->store, stoq_wall_seconds(), &r->leases, err);
    pthread_mutex_unlock(lock);
    return st;
}

static enum stoq_status run_gc(struct collection *c, bool marks, struct stoq_collect_report *r,
                               struct stoq_error *err)
{
    const struct stoq_gc_ask ask = {
        .dry_run = c->ask->dry_run,
        .rate_bytes_per_s = c->ask->rate_bytes_per_s,
        .grace_seconds = c->ask->grace_seconds,
        .dead_percent_min = c->ask->dead_percent_min,
        .mark = marks ? mark_live : NULL,
        .keeps = keeps,
        .cancelled = is_cancelled,
        .user = c,
    };
    return stoq_store_gc(c->store, &ask, &r->gc, err);
}

/* Are the records that say what is live all readable? STOQ_PROOF: not all. */
static enum stoq_status check_owners(struct collection *c, struct stoq_error *err)
{
    static const enum stoq_record_type types[] = {STOQ_RECORD_PACKAGE, STOQ_RECORD_MANIFEST,
                                                  STOQ_RECORD_CONTENT};
    enum stoq_status st = STOQ_OK;
    for (size_t i = 0; st == STOQ_OK && i < STOQ_COUNT(types); i++) {
        uint64_t count = 0;
        st = stoq_store_count_quarantined(c->store, types[i], &count, err);
        if (st == STOQ_OK && count > 0) {
            st = stoq_fail_code(
                err, STOQ_PROOF, "IntegrityCheckFailed",
                "the record of a package or content is damaged, so what it refers to "
                "is not known; fsck tells which");
        }
    }
    return st;
}

static enum stoq_status run(struct collection *c, struct stoq_collect_report *r,
                            struct stoq_error *err)
{
    enum stoq_status st = sweep_leases(c, r, err);
    if (st == STOQ_OK) {
        st = check_owners(c, &r->why);
        if (st == STOQ_OK) {
            st = stoq_kept_load(&c->kept, c->store, stoq_wall_seconds(), &r->why);
        }
        if (st == STOQ_OK) {
            st = run_gc(c, true, r, &r->why);
            stoq_kept_release(&c->kept);
        }
        r->was_marked = st == STOQ_OK;
        if (st == STOQ_PROOF || st == STOQ_VERSION || st == STOQ_MALFORMED) {
            st = run_gc(c, false, r, err);
        } else if (st != STOQ_OK && err != NULL) {
            *err = r->why;
        }
    }
    r->packages = r->gc.manifests;
    return st;
}

enum stoq_status stoq_collect(struct stoq_store *store, const struct stoq_collect_ask *ask,
                              struct stoq_collect_report *report, struct stoq_error *err)
{
    struct collection c = {.store = store, .ask = ask};
    memset(report, 0, sizeof *report);
    stoq_buf_init(&c.packages, OWNERS_BYTES_MAX);
    stoq_buf_init(&c.contents, OWNERS_BYTES_MAX);
    enum stoq_status st = run(&c, report, err);
    stoq_buf_release(&c.packages);
    stoq_buf_release(&c.contents);
    return st;
}
