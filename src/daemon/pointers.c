#include "daemon/pointers.h"

#include "daemon/local.h"
#include "os/sys.h"

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

/* One more than the highest under these keys, and no less than the microsecond it is. */
static uint64_t next_sequence(struct stoq_store *store, const struct stoq_hash *keys, size_t n)
{
    uint64_t sequence = stoq_wall_seconds() * US_PER_S;
    struct stoq_pointer_kept had;
    struct stoq_error none;
    for (size_t i = 0; i < n; i++) {
        if (stoq_pointers_load(store, &keys[i], &had, &none) == STOQ_OK &&
            had.p.sequence >= sequence && had.p.sequence < UINT64_MAX) {
            sequence = had.p.sequence + 1;
        }
    }
    return sequence;
}

static bool is_said(struct stoq_store *store, const struct stoq_hash *key,
                    const struct stoq_package_id *id, uint64_t now_s)
{
    struct stoq_pointer_kept had;
    struct stoq_error none;
    return stoq_pointers_load(store, key, &had, &none) == STOQ_OK &&
           stoq_hash_eq(&had.p.id.h, &id->h) && had.p.expires_s > now_s + STOQ_POINTER_LIFE_S / 2;
}

/* The lock is held. */
static enum stoq_status sign_and_put(struct stoq_store *store, const struct stoq_key *key,
                                     struct stoq_pointer *p, const struct stoq_hash *keys, size_t n,
                                     struct stoq_error *err)
{
    struct stoq_buf bytes;
    stoq_buf_init(&bytes, STOQ_POINTER_BYTES_MAX);
    p->sequence = next_sequence(store, keys, n);
    enum stoq_status st = stoq_pointer_sign(key, p, &bytes);
    if (st != STOQ_OK) {
        st = stoq_fail(err, st, 0, "sign a release pointer: %s", stoq_status_str(st));
    }
    for (size_t i = 0; i < n && st == STOQ_OK; i++) {
        st = put(store, &keys[i], stoq_buf_span(&bytes), err);
    }
    stoq_buf_release(&bytes);
    return st;
}

enum stoq_status stoq_pointers_publish(struct stoq_store *store, pthread_mutex_t *lock,
                                       const struct stoq_key *key, const struct stoq_package_id *id,
                                       const struct stoq_pointer_name *name, struct stoq_error *err)
{
    struct stoq_pointer_name newest = *name;
    newest.version.n = 0;
    const struct stoq_hash keys[] = {stoq_pointer_key(name), stoq_pointer_key(&newest)};
    uint64_t now_s = stoq_wall_seconds();
    struct stoq_pointer p = {.spki = stoq_key_spki(key),
                             .name = name->name,
                             .version = name->version,
                             .id = *id,
                             .issued_at_s = now_s,
                             .expires_s = now_s + STOQ_POINTER_LIFE_S};
    enum stoq_status st = STOQ_OK;
    pthread_mutex_lock(lock);
    if (!is_said(store, &keys[0], id, now_s) || !is_said(store, &keys[1], id, now_s)) {
        st = sign_and_put(store, key, &p, keys, STOQ_COUNT(keys), err);
    }
    pthread_mutex_unlock(lock);
    return st;
}

enum stoq_status stoq_pointers_sealed(struct stoq_store *store, const struct stoq_hash *key,
                                      struct stoq_buf *out)
{
    struct stoq_pointer_kept k;
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
