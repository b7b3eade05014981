#include "daemon/evict.h"

#include "daemon/local.h"
#include "os/sys.h"
#include "store/use.h"

#include <stdlib.h>
#include <string.h>

#define ID_BYTES 32
#define CANDIDATES_BYTES_MAX ((size_t)1 << 28)

struct listing {
    struct stoq_buf keys;
    enum stoq_status status;
};

static bool gather_key(void *user, struct stoq_span key, struct stoq_stored info)
{
    struct listing *l = user;
    (void)info;
    if (key.n == ID_BYTES) {
        l->status = stoq_buf_add(&l->keys, key);
    }
    return l->status == STOQ_OK;
}

static int by_last_use(const void *pa, const void *pb)
{
    const struct stoq_evict_candidate *a = pa;
    const struct stoq_evict_candidate *b = pb;
    if (a->last_use != b->last_use) {
        return a->last_use < b->last_use ? -1 : 1;
    }
    return memcmp(a->id.h.b, b->id.h.b, ID_BYTES);
}

/* Those of the gathered packages that may go. */
static size_t choose(struct stoq_store *store, const struct stoq_kept *kept,
                     const struct stoq_buf *keys, struct stoq_evict_candidate *out)
{
    size_t n = 0;
    for (size_t at = 0; at < keys->n; at += ID_BYTES) {
        struct stoq_evict_candidate *c = &out[n];
        struct stoq_local_facts facts;
        memcpy(c->id.h.b, keys->p + at, ID_BYTES);
        struct stoq_subject subject = stoq_subject_of_package(&c->id);
        uint64_t used_at = stoq_store_last_use(store, stoq_subject_span(&subject));
        if (used_at == UINT64_MAX || stoq_kept_has(kept, &subject) ||
            stoq_local_facts(store, &c->id, &facts, NULL) != STOQ_OK || facts.made_here) {
            continue;
        }
        c->last_use = used_at > facts.added_at ? used_at : facts.added_at;
        n++;
    }
    qsort(out, n, sizeof *out, by_last_use);
    return n;
}

enum stoq_status stoq_evict_list(struct stoq_store *store, struct stoq_evict_candidate **out,
                                 size_t *count, struct stoq_error *err)
{
    struct listing l = {.status = STOQ_OK};
    struct stoq_kept kept;
    *out = NULL;
    *count = 0;
    enum stoq_status st = stoq_kept_load(&kept, store, stoq_wall_seconds(), err);
    if (st != STOQ_OK) {
        return st;
    }
    stoq_buf_init(&l.keys, CANDIDATES_BYTES_MAX);
    st = stoq_store_each(store, STOQ_RECORD_PACKAGE, gather_key, &l, err);
    if (st == STOQ_OK) {
        *out = l.status == STOQ_OK ? calloc(l.keys.n / ID_BYTES + 1, sizeof **out) : NULL;
        if (*out != NULL) {
            *count = choose(store, &kept, &l.keys, *out);
        } else {
            st = stoq_fail(err, STOQ_NOMEM, 0, "no memory to choose what to give up");
        }
    }
    stoq_buf_release(&l.keys);
    stoq_kept_release(&kept);
    return st;
}

static uint64_t bytes_of(struct stoq_store *store, struct stoq_span key)
{
    struct stoq_buf b;
    struct stoq_manifest *m = malloc(sizeof *m);
    uint64_t bytes = 0;
    stoq_buf_init(&b, STOQ_MANIFEST_BYTES_MAX);
    if (m != NULL && stoq_store_read(store, STOQ_RECORD_MANIFEST, key, 0, &b, NULL) == STOQ_OK &&
        stoq_manifest_decode(stoq_buf_span(&b), m) == STOQ_OK) {
        bytes = m->bytes;
    }
    stoq_buf_release(&b);
    free(m);
    return bytes;
}

/* The record first: a crash then leaves what a fetch leaves that did not end. */
static enum stoq_status drop(struct stoq_store *store, struct stoq_span key, struct stoq_error *err)
{
    static const enum stoq_record_type types[] = {STOQ_RECORD_PACKAGE, STOQ_RECORD_MANIFEST};
    enum stoq_status st = STOQ_OK;
    for (size_t i = 0; st == STOQ_OK && i < STOQ_COUNT(types); i++) {
        st = stoq_store_delete(store, types[i], key, err);
        st = st == STOQ_NOTFOUND ? STOQ_OK : st;
    }
    return st == STOQ_OK ? stoq_store_sync(store, err) : st;
}

enum stoq_status stoq_evict(struct stoq_store *store, const struct stoq_package_id *id,
                            uint64_t *bytes, struct stoq_error *err)
{
    struct stoq_subject subject = stoq_subject_of_package(id);
    struct stoq_span key = stoq_subject_span(&subject);
    *bytes = bytes_of(store, key);
    if (!stoq_store_give_up_begin(store, key)) {
        return stoq_fail(err, STOQ_BUSY, 0, "it is in use");
    }
    enum stoq_status st = drop(store, key, err);
    stoq_store_give_up_end(store, key);
    return st;
}
