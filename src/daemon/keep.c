#include "daemon/keep.h"

#include <stdlib.h>
#include <string.h>

/* Keys gathered at once: a million roots with the longest names. */
#define KEYS_BYTES_MAX ((size_t)80 << 20)
#define SUBJECTS_BYTES_MAX ((size_t)64 << 20)

static const char *word_of(enum stoq_record_type type)
{
    return type == STOQ_RECORD_PIN ? "pin" : type == STOQ_RECORD_ROOT ? "root" : "lease";
}

enum stoq_status stoq_keep_put(struct stoq_store *store, const struct stoq_keep *k,
                               struct stoq_error *err)
{
    struct stoq_buf b;
    stoq_buf_init(&b, STOQ_KEEP_RECORD_BYTES_MAX);
    enum stoq_status st = stoq_keep_encode(k, &b);
    if (st != STOQ_OK) {
        st = stoq_fail(err, st, 0, "write a %s", word_of(k->type));
    } else {
        st = stoq_store_put(store, k->type, stoq_keep_key(k), STOQ_STORE_OVERWRITE,
                            stoq_buf_span(&b), NULL, err);
    }
    stoq_buf_release(&b);
    return st == STOQ_OK ? stoq_store_sync(store, err) : st;
}

enum stoq_status stoq_keep_get(struct stoq_store *store, enum stoq_record_type type,
                               struct stoq_span key, struct stoq_keep *out, struct stoq_error *err)
{
    struct stoq_buf b;
    *out = (struct stoq_keep){.type = type};
    stoq_buf_init(&b, STOQ_KEEP_RECORD_BYTES_MAX);
    enum stoq_status st = stoq_store_read(store, type, key, 0, &b, err);
    if (st == STOQ_FULL ||
        (st == STOQ_OK && stoq_keep_decode(type, key, stoq_buf_span(&b), out) != STOQ_OK)) {
        st = stoq_fail_code(err, STOQ_PROOF, "IntegrityCheckFailed", "a %s's record is damaged",
                            word_of(type));
    }
    stoq_buf_release(&b);
    return st;
}

enum stoq_status stoq_keep_drop(struct stoq_store *store, enum stoq_record_type type,
                                struct stoq_span key, struct stoq_error *err)
{
    enum stoq_status st = stoq_store_delete(store, type, key, err);
    if (st == STOQ_NOTFOUND) {
        return stoq_fail(err, st, 0, "no such %s", word_of(type));
    }
    return st == STOQ_OK ? stoq_store_sync(store, err) : st;
}

/* All keys of a type, each behind its length. */
struct keys {
    struct stoq_buf joined;
    enum stoq_status status;
};

static bool gather(void *user, struct stoq_span key, struct stoq_stored info)
{
    struct keys *k = user;
    uint8_t n = (uint8_t)key.n;
    (void)info;
    k->status = stoq_buf_add(&k->joined, stoq_span(&n, 1));
    if (k->status == STOQ_OK) {
        k->status = stoq_buf_add(&k->joined, key);
    }
    return k->status == STOQ_OK;
}

enum stoq_status stoq_keep_each(struct stoq_store *store, enum stoq_record_type type,
                                bool (*each)(void *user, const struct stoq_keep *k), void *user,
                                uint64_t *damaged, struct stoq_error *err)
{
    struct keys keys = {.status = STOQ_OK};
    uint64_t bad = 0;
    stoq_buf_init(&keys.joined, KEYS_BYTES_MAX);
    enum stoq_status st = stoq_store_each(store, type, gather, &keys, err);
    if (st == STOQ_OK && keys.status != STOQ_OK) {
        st = stoq_fail(err, keys.status, 0, "too many %ss for one list", word_of(type));
    }
    if (st == STOQ_OK) {
        st = stoq_store_count_quarantined(store, type, &bad, err);
    }
    bool go_on = true;
    for (size_t at = 0; st == STOQ_OK && go_on && at < keys.joined.n;) {
        struct stoq_keep k;
        struct stoq_span key = stoq_span(keys.joined.p + at + 1, keys.joined.p[at]);
        enum stoq_status got = stoq_keep_get(store, type, key, &k, NULL);
        if (got == STOQ_OK) {
            go_on = each(user, &k);
        }
        bad += got != STOQ_OK && got != STOQ_NOTFOUND;
        at += 1 + key.n;
    }
    if (damaged != NULL) {
        *damaged = bad;
    }
    stoq_buf_release(&keys.joined);
    return st;
}

bool stoq_subject_is_here(struct stoq_store *store, const struct stoq_subject *s)
{
    return stoq_store_has(store,
                          stoq_subject_is_package(s) ? STOQ_RECORD_MANIFEST : STOQ_RECORD_CONTENT,
                          stoq_subject_span(s));
}

struct search {
    const struct stoq_subject *subject;
    struct stoq_keep found;
    bool has_found;
};

static bool find_root(void *user, const struct stoq_keep *k)
{
    struct search *s = user;
    s->has_found = stoq_span_eq(stoq_subject_span(&k->subject), stoq_subject_span(s->subject));
    s->found = *k;
    return !s->has_found;
}

static enum stoq_status fail_kept(const struct stoq_keep *k, struct stoq_error *err)
{
    char text[STOQ_ID_TEXT_CAP];
    static const char code[] = "ContentKept";
    stoq_subject_put(text, &k->subject);
    if (k->type == STOQ_RECORD_PIN) {
        return stoq_fail_code(err, STOQ_BUSY, code, "%.20s... is pinned; 'stoq unpin' it first",
                              text);
    }
    if (k->type == STOQ_RECORD_ROOT) {
        return stoq_fail_code(err, STOQ_BUSY, code,
                              "%.20s... is the root %s; 'stoq root rm %s' first", text, k->name,
                              k->name);
    }
    return stoq_fail_code(err, STOQ_BUSY, code,
                          "%.20s... is leased; 'stoq lease --end' or wait until the lease is over",
                          text);
}

enum stoq_status stoq_keep_check_free(struct stoq_store *store, const struct stoq_subject *s,
                                      uint64_t now, struct stoq_error *err)
{
    struct search search = {.subject = s};
    uint64_t damaged = 0;
    static const enum stoq_record_type by_subject[] = {STOQ_RECORD_PIN, STOQ_RECORD_LEASE};
    for (size_t i = 0; i < STOQ_COUNT(by_subject); i++) {
        enum stoq_status st =
            stoq_keep_get(store, by_subject[i], stoq_subject_span(s), &search.found, err);
        if (st == STOQ_OK && (by_subject[i] == STOQ_RECORD_PIN || search.found.expires_at > now)) {
            return fail_kept(&search.found, err);
        }
        if (st != STOQ_OK && st != STOQ_NOTFOUND) {
            return st;
        }
    }
    enum stoq_status st =
        stoq_keep_each(store, STOQ_RECORD_ROOT, find_root, &search, &damaged, err);
    if (st == STOQ_OK && search.has_found) {
        return fail_kept(&search.found, err);
    }
    return st == STOQ_OK && damaged > 0
               ? stoq_fail_code(err, STOQ_PROOF, "IntegrityCheckFailed",
                                "a root's record is damaged, so what it keeps is not known")
               : st;
}

struct sweep {
    struct stoq_buf keys; /* struct stoq_subject of the leases that are over */
    uint64_t now;
    enum stoq_status status;
};

static bool gather_over(void *user, const struct stoq_keep *k)
{
    struct sweep *s = user;
    if (k->expires_at <= s->now) {
        s->status = stoq_buf_add(&s->keys, stoq_span(&k->subject, sizeof k->subject));
    }
    return s->status == STOQ_OK;
}

enum stoq_status stoq_keep_sweep(struct stoq_store *store, uint64_t now, uint64_t *count,
                                 struct stoq_error *err)
{
    struct sweep s = {.now = now, .status = STOQ_OK};
    uint64_t gone = 0;
    stoq_buf_init(&s.keys, SUBJECTS_BYTES_MAX);
    enum stoq_status st = stoq_keep_each(store, STOQ_RECORD_LEASE, gather_over, &s, NULL, err);
    for (size_t at = 0; st == STOQ_OK && at + sizeof(struct stoq_subject) <= s.keys.n;
         at += sizeof(struct stoq_subject)) {
        struct stoq_subject subject;
        struct stoq_keep k;
        memcpy(&subject, s.keys.p + at, sizeof subject);
        /* It may have been extended meanwhile; whoever extends and sweeps holds the record lock. */
        st = stoq_keep_get(store, STOQ_RECORD_LEASE, stoq_subject_span(&subject), &k, err);
        if (st == STOQ_OK && k.expires_at <= now) {
            st = stoq_store_delete(store, STOQ_RECORD_LEASE, stoq_subject_span(&subject), err);
            gone += st == STOQ_OK;
        }
        st = st == STOQ_NOTFOUND ? STOQ_OK : st;
    }
    stoq_buf_release(&s.keys);
    if (count != NULL) {
        *count = gone;
    }
    return st == STOQ_OK && gone > 0 ? stoq_store_sync(store, err) : st;
}

static int subject_cmp(const void *a, const void *b)
{
    const struct stoq_subject *x = a;
    const struct stoq_subject *y = b;
    return stoq_span_cmp(stoq_subject_span(x), stoq_subject_span(y));
}

struct load {
    struct stoq_kept *out;
    uint64_t now;
    enum stoq_status status;
};

static bool load_one(void *user, const struct stoq_keep *k)
{
    struct load *l = user;
    if (k->type != STOQ_RECORD_LEASE || k->expires_at > l->now) {
        l->status = stoq_buf_add(&l->out->subjects, stoq_span(&k->subject, sizeof k->subject));
        l->out->count += l->status == STOQ_OK;
    }
    return l->status == STOQ_OK;
}

enum stoq_status stoq_kept_load(struct stoq_kept *out, struct stoq_store *store, uint64_t now,
                                struct stoq_error *err)
{
    static const enum stoq_record_type types[] = {STOQ_RECORD_PIN, STOQ_RECORD_ROOT,
                                                  STOQ_RECORD_LEASE};
    struct load load = {.out = out, .now = now, .status = STOQ_OK};
    enum stoq_status st = STOQ_OK;
    *out = (struct stoq_kept){.count = 0};
    stoq_buf_init(&out->subjects, SUBJECTS_BYTES_MAX);
    for (size_t i = 0; st == STOQ_OK && i < STOQ_COUNT(types); i++) {
        uint64_t damaged = 0;
        st = stoq_keep_each(store, types[i], load_one, &load, &damaged, err);
        if (st == STOQ_OK && load.status != STOQ_OK) {
            st = stoq_fail(err, load.status, 0, "too many pins, roots and leases");
        }
        if (st == STOQ_OK && damaged > 0) {
            st = stoq_fail_code(err, STOQ_PROOF, "IntegrityCheckFailed",
                                "a %s's record is damaged, so what it keeps is not known",
                                word_of(types[i]));
        }
    }
    if (st == STOQ_OK && out->count > 1) {
        qsort(out->subjects.p, out->count, sizeof(struct stoq_subject), subject_cmp);
    } else if (st != STOQ_OK) {
        stoq_kept_release(out);
    }
    return st;
}

void stoq_kept_release(struct stoq_kept *kept)
{
    stoq_buf_release(&kept->subjects);
    kept->count = 0;
}

bool stoq_kept_has(const struct stoq_kept *kept, const struct stoq_subject *s)
{
    return kept->count > 0 && bsearch(s, kept->subjects.p, kept->count, sizeof(struct stoq_subject),
                                      subject_cmp) != NULL;
}
