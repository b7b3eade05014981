#include "daemon/pointers.h"

#include "daemon/local.h"
#include "os/sys.h"
#include "package/version.h"

#include <string.h>

#define US_PER_S 1000000u

static struct stoq_span key_span(const struct stoq_hash *key)
{
    return stoq_span(key->b, sizeof key->b);
}

enum stoq_status stoq_pointer_kept_set(struct stoq_pointer_kept *k, struct stoq_span bytes)
{
    k->n = 0;
    if (bytes.n == 0 || bytes.n > sizeof k->bytes) {
        return STOQ_MALFORMED;
    }
    memcpy(k->bytes, bytes.p, bytes.n);
    enum stoq_status st = stoq_pointer_decode(stoq_span(k->bytes, bytes.n), &k->p);
    k->n = st == STOQ_OK ? bytes.n : 0;
    return st;
}

enum stoq_status stoq_pointers_load(struct stoq_store *store, const struct stoq_hash *key,
                                    struct stoq_pointer_kept *out, struct stoq_error *err)
{
    struct stoq_buf bytes;
    out->n = 0;
    stoq_buf_init(&bytes, STOQ_POINTER_BYTES_MAX);
    enum stoq_status st =
        stoq_store_read(store, STOQ_RECORD_POINTER, key_span(key), 0, &bytes, err);
    if (st == STOQ_OK) {
        st = stoq_pointer_kept_set(out, stoq_buf_span(&bytes));
        st = st == STOQ_OK ? st : stoq_fail(err, st, 0, "a release pointer in the store is none");
    }
    stoq_buf_release(&bytes);
    return st;
}

/* The lock is held. */
static enum stoq_status put(struct stoq_store *store, const struct stoq_hash *key,
                            struct stoq_span bytes, struct stoq_error *err)
{
    struct stoq_pointer_kept had;
    struct stoq_pointer p;
    enum stoq_status st = stoq_pointer_decode(bytes, &p);
    if (st != STOQ_OK) {
        return stoq_fail(err, st, 0, "no release pointer");
    }
    st = stoq_pointers_load(store, key, &had, err);
    if (st == STOQ_OK && stoq_span_eq(stoq_span(had.bytes, had.n), bytes)) {
        return STOQ_OK;
    }
    if (st == STOQ_OK && had.p.sequence >= p.sequence) {
        return stoq_fail(err, STOQ_RANGE, 0, "a newer release pointer is here");
    }
    if (st != STOQ_OK && st != STOQ_NOTFOUND && st != STOQ_MALFORMED) {
        return st;
    }
    return stoq_store_put(store, STOQ_RECORD_POINTER, key_span(key), STOQ_STORE_OVERWRITE, bytes,
                          NULL, err);
}

enum stoq_status stoq_pointers_keep(struct stoq_store *store, pthread_mutex_t *lock,
                                    const struct stoq_hash *key, struct stoq_span bytes,
                                    struct stoq_error *err)
{
    pthread_mutex_lock(lock);
    enum stoq_status st = put(store, key, bytes, err);
    pthread_mutex_unlock(lock);
    return st == STOQ_OK ? stoq_store_sync(store, err) : st;
}

/* Where a pointer is kept: that of its version, and that of the newest, whatever its version. */
enum { OF_VERSION, OF_NEWEST, KEYS };

struct release {
    struct stoq_store *store;
    struct stoq_pointer p;
    struct stoq_hash keys[KEYS];
    struct stoq_pointer_kept had[KEYS]; /* n = 0: none */
    bool is_newest;
};

static enum stoq_status load_both(struct release *r, struct stoq_error *err)
{
    for (size_t i = 0; i < KEYS; i++) {
        enum stoq_status st = stoq_pointers_load(r->store, &r->keys[i], &r->had[i], err);
        if (st != STOQ_OK && st != STOQ_NOTFOUND && st != STOQ_MALFORMED) {
            return st;
        }
    }
    return STOQ_OK;
}

/* Is the release that counts as the newest a later one than this, as their versions say? */
static bool is_behind(const struct release *r)
{
    const struct stoq_pointer_kept *newest = &r->had[OF_NEWEST];
    return newest->n > 0 && newest->p.expires_s > r->p.issued_at_s &&
           stoq_version_cmp(r->p.version, newest->p.version) < 0;
}

static bool is_said(const struct stoq_pointer_kept *had, const struct stoq_pointer *p)
{
    return had->n > 0 && stoq_hash_eq(&had->p.id.h, &p->id.h) &&
           had->p.expires_s > p->issued_at_s + STOQ_POINTER_LIFE_S / 2;
}

/* Higher than what was said of this version. The newest release has the highest of all: of several good
 * pointers of a name that counts, whoever shows them. False: there is no such number. */
static bool choose_sequence(struct release *r)
{
    const struct stoq_pointer_kept *newest = &r->had[OF_NEWEST];
    uint64_t last = r->had[OF_VERSION].n > 0 ? r->had[OF_VERSION].p.sequence : 0;
    uint64_t top = newest->n > 0 ? newest->p.sequence : 0;
    if (r->is_newest) {
        uint64_t now = r->p.issued_at_s * US_PER_S;
        top = last > top ? last : top;
        r->p.sequence = now > top ? now : top + 1;
        return top < UINT64_MAX;
    }
    uint64_t below = top > US_PER_S ? top - US_PER_S : 1; /* with room for as many again */
    r->p.sequence = last < below ? below : last + 1;
    return r->p.sequence < top;
}

/* The lock is held. */
static enum stoq_status sign_and_put(struct release *r, const struct stoq_key *key,
                                     struct stoq_error *err)
{
    struct stoq_buf bytes;
    if (!choose_sequence(r)) {
        return stoq_fail(err, STOQ_RANGE, 0,
                         "no sequence is left for this release pointer below the newest");
    }
    stoq_buf_init(&bytes, STOQ_POINTER_BYTES_MAX);
    enum stoq_status st = stoq_pointer_sign(key, &r->p, &bytes);
    if (st != STOQ_OK) {
        st = stoq_fail(err, st, 0, "sign a release pointer: %s", stoq_status_str(st));
    }
    for (size_t i = 0; i < KEYS && st == STOQ_OK; i++) {
        if (i != OF_NEWEST || r->is_newest) {
            st = put(r->store, &r->keys[i], stoq_buf_span(&bytes), err);
        }
    }
    stoq_buf_release(&bytes);
    return st;
}

enum stoq_status stoq_pointers_publish(struct stoq_store *store, pthread_mutex_t *lock,
                                       const struct stoq_key *key, const struct stoq_package_id *id,
                                       const struct stoq_pointer_name *name, bool *is_newest,
                                       struct stoq_error *err)
{
    struct stoq_pointer_name newest = *name;
    newest.version.n = 0;
    uint64_t now_s = stoq_wall_seconds();
    struct release r = {.store = store,
                        .p = {.spki = stoq_key_spki(key),
                              .name = name->name,
                              .version = name->version,
                              .id = *id,
                              .issued_at_s = now_s,
                              .expires_s = now_s + STOQ_POINTER_LIFE_S},
                        .keys = {stoq_pointer_key(name), stoq_pointer_key(&newest)}};
    pthread_mutex_lock(lock);
    enum stoq_status st = load_both(&r, err);
    r.is_newest = st == STOQ_OK && (*is_newest || !is_behind(&r));
    bool said =
        is_said(&r.had[OF_VERSION], &r.p) && (!r.is_newest || is_said(&r.had[OF_NEWEST], &r.p));
    if (st == STOQ_OK && !said) {
        st = sign_and_put(&r, key, err);
    }
    pthread_mutex_unlock(lock);
    *is_newest = r.is_newest;
    return st;
}

enum stoq_status stoq_pointers_sealed(struct stoq_store *store, const struct stoq_hash *key,
                                      struct stoq_buf *out)
{
    struct stoq_pointer_kept k = {.n = 0};
    struct stoq_error none;
    enum stoq_status st = stoq_pointers_load(store, key, &k, &none);
    if (st != STOQ_OK) {
        return st;
    }
    if (k.p.expires_s <= stoq_wall_seconds() || !stoq_local_has(store, &k.p.id)) {
        return STOQ_NOTFOUND;
    }
    struct stoq_pointer_name name = {.publisher = stoq_spki_key_id(k.p.spki), .name = k.p.name};
    return stoq_pointer_seal(&name, stoq_span(k.bytes, k.n), out);
}

struct walk {
    struct stoq_store *store;
    const struct stoq_package_id *id;
    void (*fn)(void *user, const struct stoq_hash *key);
    void *user;
};

static bool visit(void *user, struct stoq_span bytes, struct stoq_stored info)
{
    struct walk *w = user;
    struct stoq_hash key;
    struct stoq_pointer_kept k;
    struct stoq_error none;
    (void)info;
    if (bytes.n != sizeof key.b) {
        return true;
    }
    memcpy(key.b, bytes.p, sizeof key.b);
    if (w->id == NULL || (stoq_pointers_load(w->store, &key, &k, &none) == STOQ_OK &&
                          stoq_hash_eq(&k.p.id.h, &w->id->h))) {
        w->fn(w->user, &key);
    }
    return true;
}

enum stoq_status stoq_pointers_each(struct stoq_store *store, const struct stoq_package_id *id,
                                    void (*fn)(void *user, const struct stoq_hash *key), void *user,
                                    struct stoq_error *err)
{
    struct walk w = {store, id, fn, user};
    return stoq_store_each(store, STOQ_RECORD_POINTER, visit, &w, err);
}
