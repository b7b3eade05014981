/*
 * What a package alone uses is found by marking: the hashes of its chunks are sorted, then every other
 * package's chunk lists are read and what they name is marked as shared. Everything is known before
 * anything is deleted. The same for shard roots (two packages can share a shard) and the package root
 * (two manifests can describe one tree).
 */
#include <stdlib.h>
#include <string.h>

#include "daemon/held.h"
#include "daemon/local.h"

#define HASH_BYTES 32
#define SIGNATURE_KEY_BYTES 64
/* 32 bytes per chunk: packages of up to 2^25 chunks, some 2 TiB, can be removed. */
#define SET_BYTES_MAX ((size_t)1 << 30)

/* A sorted set of hashes with a mark each. */
struct set {
    struct stoq_buf hashes;
    uint8_t *marks;
    size_t count;
};

static int hash_cmp(const void *a, const void *b)
{
    return memcmp(a, b, HASH_BYTES);
}

/* Sort, drop twins, and make the marks. */
static enum stoq_status set_seal(struct set *s)
{
    size_t n = s->hashes.n / HASH_BYTES;
    uint8_t *p = s->hashes.p;
    if (n > 1) {
        qsort(p, n, HASH_BYTES, hash_cmp);
    }
    s->count = 0;
    for (size_t i = 0; i < n; i++) {
        const uint8_t *h = p + i * HASH_BYTES;
        if (s->count == 0 || hash_cmp(p + (s->count - 1) * HASH_BYTES, h) != 0) {
            memmove(p + s->count++ * HASH_BYTES, h, HASH_BYTES);
        }
    }
    s->marks = calloc(n > 0 ? n : 1, 1);
    return s->marks == NULL ? STOQ_NOMEM : STOQ_OK;
}

static void set_mark(struct set *s, const struct stoq_hash *h)
{
    if (s->count == 0) {
        return;
    }
    const uint8_t *found = bsearch(h->b, s->hashes.p, s->count, HASH_BYTES, hash_cmp);
    if (found != NULL) {
        s->marks[(size_t)(found - s->hashes.p) / HASH_BYTES] = 1;
    }
}

static void set_release(struct set *s)
{
    stoq_buf_release(&s->hashes);
    free(s->marks);
}

struct removal {
    struct stoq_store *store;
    const struct stoq_package_id *id;
    struct stoq_hash root;
    bool has_root;       /* the manifest could be read */
    bool root_is_shared; /* another manifest has the same root */
    struct set chunks;
    struct set shards;
    struct stoq_buf list; /* one chunk list */
    struct stoq_buf keys; /* manifests, or signatures of this package */
    enum stoq_status status;
    struct stoq_error *err;
};

/*
 * Call use for every chunk list of a package that is here. A package whose fetch has not come as far
 * as a list has no chunks of it either. STOQ_PROOF: something is here and cannot be read.
 */
static enum stoq_status each_list(struct removal *r, const struct stoq_package_id *id,
                                  enum stoq_status (*use)(struct removal *r,
                                                          const struct stoq_merkle_shard *shard,
                                                          struct stoq_span list),
                                  struct stoq_hash *root, struct stoq_error *err)
{
    struct stoq_held *held;
    enum stoq_status st = stoq_held_open(&held, r->store, id, err);
    if (st != STOQ_OK) {
        return st;
    }
    *root = stoq_held_manifest(held)->root;
    size_t count = stoq_held_shard_count(held);
    for (size_t i = 0; st == STOQ_OK && i < count; i++) {
        struct stoq_merkle_shard shard = stoq_merkle_shard_at(stoq_held_shard_list(held), i);
        st = stoq_held_chunk_list(held, i, &r->list, err);
        if (st == STOQ_OK) {
            st = use(r, &shard, stoq_buf_span(&r->list));
        } else if (st == STOQ_NOTFOUND) {
            st = STOQ_OK;
        }
    }
    stoq_held_close(held);
    return st;
}

static enum stoq_status use_own(struct removal *r, const struct stoq_merkle_shard *shard,
                                struct stoq_span list)
{
    enum stoq_status st = stoq_buf_add(&r->shards.hashes, stoq_span(shard->root.b, HASH_BYTES));
    size_t n = list.n / STOQ_MERKLE_CHUNK_ENTRY_BYTES;
    for (size_t i = 0; st == STOQ_OK && i < n; i++) {
        struct stoq_merkle_chunk c = stoq_merkle_chunk_at(list, i);
        st = stoq_buf_add(&r->chunks.hashes, stoq_span(c.hash.b, HASH_BYTES));
    }
    return st;
}

static enum stoq_status use_other(struct removal *r, const struct stoq_merkle_shard *shard,
                                  struct stoq_span list)
{
    set_mark(&r->shards, &shard->root);
    size_t n = list.n / STOQ_MERKLE_CHUNK_ENTRY_BYTES;
    for (size_t i = 0; i < n; i++) {
        struct stoq_merkle_chunk c = stoq_merkle_chunk_at(list, i);
        set_mark(&r->chunks, &c.hash);
    }
    return STOQ_OK;
}

static bool gather_manifest(void *user, struct stoq_span key, struct stoq_stored info)
{
    struct removal *r = user;
    (void)info;
    if (key.n == HASH_BYTES && memcmp(key.p, r->id->h.b, HASH_BYTES) != 0) {
        r->status = stoq_buf_add(&r->keys, key);
    }
    return r->status == STOQ_OK;
}

static bool gather_signature(void *user, struct stoq_span key, struct stoq_stored info)
{
    struct removal *r = user;
    (void)info;
    if (key.n == SIGNATURE_KEY_BYTES && memcmp(key.p, r->id->h.b, HASH_BYTES) == 0) {
        r->status = stoq_buf_add(&r->keys, key);
    }
    return r->status == STOQ_OK;
}

static enum stoq_status gather(struct removal *r, enum stoq_record_type type,
                               bool (*each)(void *user, struct stoq_span key,
                                            struct stoq_stored info))
{
    stoq_buf_clear(&r->keys);
    r->status = STOQ_OK;
    enum stoq_status st = stoq_store_each(r->store, type, each, r, r->err);
    if (st == STOQ_OK && r->status != STOQ_OK) {
        st = stoq_fail(r->err, r->status, 0, "too many packages to look through");
    }
    return st;
}

/* What the package uses, as far as it is here. */
static enum stoq_status find_own(struct removal *r)
{
    struct stoq_error err = {0};
    enum stoq_status st = each_list(r, r->id, use_own, &r->root, &err);
    r->has_root = st == STOQ_OK;
    if (st == STOQ_NOTFOUND || st == STOQ_PROOF) {
        /* Incomplete or damaged: it can go all the same, and its chunks with the next one's. */
        st = STOQ_OK;
    }
    if (st == STOQ_OK) {
        st = set_seal(&r->chunks);
    }
    if (st == STOQ_OK) {
        st = set_seal(&r->shards);
    }
    if (st != STOQ_OK) {
        return stoq_fail(r->err, st, err.sys_errno, "%s",
                         err.text[0] != 0 ? err.text : "the package is too large to remove");
    }
    return STOQ_OK;
}

static enum stoq_status mark_others(struct removal *r)
{
    enum stoq_status st = gather(r, STOQ_RECORD_MANIFEST, gather_manifest);
    for (size_t at = 0; st == STOQ_OK && at < r->keys.n; at += HASH_BYTES) {
        struct stoq_package_id id;
        struct stoq_hash root;
        memcpy(id.h.b, r->keys.p + at, HASH_BYTES);
        st = each_list(r, &id, use_other, &root, r->err);
        if (st == STOQ_OK && r->has_root && stoq_hash_eq(&root, &r->root)) {
            r->root_is_shared = true;
        } else if (st == STOQ_NOTFOUND) {
            st = STOQ_OK; /* its shard list has not come yet: it has no chunks */
        } else if (st != STOQ_OK) {
            stoq_error_prefix(r->err, "another package's lists cannot be read");
        }
    }
    return st;
}

/* Delete one record; one that is not there is as good. */
static enum stoq_status drop(struct removal *r, enum stoq_record_type type, struct stoq_span key)
{
    enum stoq_status st = stoq_store_delete(r->store, type, key, r->err);
    return st == STOQ_NOTFOUND ? STOQ_OK : st;
}

static enum stoq_status drop_description(struct removal *r)
{
    struct stoq_span id = stoq_span(r->id->h.b, HASH_BYTES);
    enum stoq_status st = drop(r, STOQ_RECORD_PACKAGE, id);
    if (st == STOQ_OK) {
        st = stoq_store_sync(r->store, r->err);
    }
    if (st == STOQ_OK) {
        st = gather(r, STOQ_RECORD_SIGNATURE, gather_signature);
    }
    for (size_t at = 0; st == STOQ_OK && at < r->keys.n; at += SIGNATURE_KEY_BYTES) {
        st = drop(r, STOQ_RECORD_SIGNATURE, stoq_span(r->keys.p + at, SIGNATURE_KEY_BYTES));
    }
    if (st == STOQ_OK) {
        st = drop(r, STOQ_RECORD_MANIFEST, id);
    }
    if (st == STOQ_OK && r->has_root && !r->root_is_shared) {
        st = drop(r, STOQ_RECORD_SHARD_LIST, stoq_span(r->root.b, HASH_BYTES));
    }
    return st;
}

static enum stoq_status drop_chunks(struct removal *r, struct stoq_local_removed *report)
{
    enum stoq_status st = STOQ_OK;
    for (size_t i = 0; st == STOQ_OK && i < r->shards.count; i++) {
        if (r->shards.marks[i] == 0) {
            st = drop(r, STOQ_RECORD_CHUNK_LIST,
                      stoq_span(r->shards.hashes.p + i * HASH_BYTES, HASH_BYTES));
        }
    }
    for (size_t i = 0; st == STOQ_OK && i < r->chunks.count; i++) {
        struct stoq_span key = stoq_span(r->chunks.hashes.p + i * HASH_BYTES, HASH_BYTES);
        struct stoq_stored info;
        if (r->chunks.marks[i] != 0) {
            report->chunks_shared++;
        } else if (stoq_store_stat(r->store, STOQ_RECORD_CHUNK, key, &info, NULL) == STOQ_OK) {
            st = drop(r, STOQ_RECORD_CHUNK, key);
            report->chunks++;
            report->bytes += info.stored_len;
        }
    }
    return st;
}

enum stoq_status stoq_local_remove(struct stoq_store *store, const struct stoq_package_id *id,
                                   struct stoq_local_removed *report, struct stoq_error *err)
{
    struct stoq_local_removed none;
    report = report == NULL ? &none : report;
    memset(report, 0, sizeof *report);
    struct stoq_span key = stoq_span(id->h.b, HASH_BYTES);
    if (!stoq_store_has(store, STOQ_RECORD_PACKAGE, key) &&
        !stoq_store_has(store, STOQ_RECORD_MANIFEST, key)) {
        return stoq_fail_code(err, STOQ_NOTFOUND, "ContentNotFound", "no such package here");
    }
    struct removal r = {.store = store, .id = id, .err = err};
    stoq_buf_init(&r.chunks.hashes, SET_BYTES_MAX);
    stoq_buf_init(&r.shards.hashes, SET_BYTES_MAX);
    stoq_buf_init(&r.list, (size_t)STOQ_MERKLE_SHARD_CHUNKS_MAX * STOQ_MERKLE_CHUNK_ENTRY_BYTES);
    stoq_buf_init(&r.keys, SET_BYTES_MAX);
    enum stoq_status st = find_own(&r);
    if (st == STOQ_OK) {
        st = mark_others(&r);
    }
    if (st == STOQ_OK) {
        st = drop_description(&r);
    }
    if (st == STOQ_OK) {
        st = drop_chunks(&r, report);
    }
    if (st == STOQ_OK) {
        st = stoq_store_sync(store, err);
    }
    set_release(&r.chunks);
    set_release(&r.shards);
    stoq_buf_release(&r.list);
    stoq_buf_release(&r.keys);
    return st;
}
