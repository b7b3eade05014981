/*
 * What a package or content alone uses is found by marking: the hashes of its chunks are sorted, then
 * the chunk lists of every other one are read and what they name is marked as shared. Everything is
 * known before anything is deleted. The same for shard roots (two of them can share a shard) and the
 * root (two manifests, or a manifest and a content, can describe one stream).
 */
#include <stdlib.h>
#include <string.h>

#include "daemon/alias_record.h"
#include "daemon/content.h"
#include "daemon/held.h"
#include "daemon/local.h"
#include "store/place.h"

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

/* What refers to a stream: the record of a package's manifest or of a content. */
struct owner {
    enum stoq_record_type type;
    struct stoq_span key;
};

struct removal {
    struct stoq_store *store;
    struct owner self;
    struct stoq_hash root;
    bool has_root;       /* the stream's description could be read */
    bool root_is_shared; /* another owner has the same root */
    struct set chunks;
    struct set shards;
    struct stoq_buf list; /* one chunk list */
    struct stoq_buf keys; /* of other owners, or of this package's own records */
    size_t key_bytes;
    enum stoq_status status;
    struct stoq_error *err;
};

typedef enum stoq_status use_fn(struct removal *r, const struct stoq_merkle_shard *shard,
                                struct stoq_span list);

/*
 * Call use for every chunk list of a stream that is here. A package whose fetch has not come as far as
 * a list has no chunks of it either. STOQ_PROOF: something is here and cannot be read.
 */
static enum stoq_status each_list_of(struct removal *r, const struct stoq_stream *stream,
                                     use_fn *use, struct stoq_error *err)
{
    enum stoq_status st = STOQ_OK;
    size_t count = stoq_stream_shard_count(stream);
    for (size_t i = 0; st == STOQ_OK && i < count; i++) {
        struct stoq_merkle_shard shard = stoq_merkle_shard_at(stoq_stream_shard_list(stream), i);
        st = stoq_stream_chunk_list(stream, i, &r->list, err);
        if (st == STOQ_OK) {
            st = use(r, &shard, stoq_buf_span(&r->list));
        } else if (st == STOQ_NOTFOUND) {
            st = STOQ_OK;
        }
    }
    return st;
}

static enum stoq_status each_list_of_package(struct removal *r, struct stoq_span key, use_fn *use,
                                             struct stoq_hash *root, struct stoq_error *err)
{
    struct stoq_package_id id;
    struct stoq_held *held;
    memcpy(id.h.b, key.p, HASH_BYTES);
    enum stoq_status st = stoq_held_look(&held, r->store, &id, err);
    if (st == STOQ_OK) {
        *root = stoq_held_manifest(held)->root;
        st = each_list_of(r, stoq_held_stream(held), use, err);
        stoq_held_close(held);
    }
    return st;
}

static enum stoq_status each_list_of_content(struct removal *r, struct stoq_span key, use_fn *use,
                                             struct stoq_hash *root, struct stoq_error *err)
{
    struct stoq_address address = {.algorithm = key.p[0]};
    struct stoq_content content;
    struct stoq_stream *stream;
    memcpy(address.digest.b, key.p + 1, HASH_BYTES);
    enum stoq_status st = stoq_content_info(r->store, &address, &content, err);
    if (st == STOQ_OK) {
        st = stoq_stream_open(&stream, r->store, &content.root, err);
    }
    if (st == STOQ_OK) {
        *root = content.root.hash;
        st = each_list_of(r, stream, use, err);
        stoq_stream_close(stream);
    }
    return st;
}

static enum stoq_status each_list(struct removal *r, const struct owner *owner, use_fn *use,
                                  struct stoq_hash *root, struct stoq_error *err)
{
    return owner->type == STOQ_RECORD_CONTENT ? each_list_of_content(r, owner->key, use, root, err)
                                              : each_list_of_package(r, owner->key, use, root, err);
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

static bool gather_owner(void *user, struct stoq_span key, struct stoq_stored info)
{
    struct removal *r = user;
    (void)info;
    if (key.n == r->key_bytes && !stoq_span_eq(key, r->self.key)) {
        r->status = stoq_buf_add(&r->keys, key);
    }
    return r->status == STOQ_OK;
}

static bool gather_signature(void *user, struct stoq_span key, struct stoq_stored info)
{
    struct removal *r = user;
    (void)info;
    if (key.n == r->key_bytes && memcmp(key.p, r->self.key.p, HASH_BYTES) == 0) {
        r->status = stoq_buf_add(&r->keys, key);
    }
    return r->status == STOQ_OK;
}

/* Aliases end in the package id; they are sorted by digest, so all of them are looked at. */
static bool gather_alias(void *user, struct stoq_span key, struct stoq_stored info)
{
    struct removal *r = user;
    (void)info;
    if (key.n == r->key_bytes &&
        memcmp(key.p + STOQ_ALIAS_PREFIX_BYTES, r->self.key.p, HASH_BYTES) == 0) {
        r->status = stoq_buf_add(&r->keys, key);
    }
    return r->status == STOQ_OK;
}

static enum stoq_status gather(struct removal *r, enum stoq_record_type type, size_t key_bytes,
                               bool (*each)(void *user, struct stoq_span key,
                                            struct stoq_stored info))
{
    stoq_buf_clear(&r->keys);
    r->key_bytes = key_bytes;
    r->status = STOQ_OK;
    enum stoq_status st = stoq_store_each(r->store, type, each, r, r->err);
    if (st == STOQ_OK && r->status != STOQ_OK) {
        st = stoq_fail(r->err, r->status, 0, "too many packages to look through");
    }
    return st;
}

/* What it uses, as far as that is here. */
static enum stoq_status find_own(struct removal *r)
{
    struct stoq_error err = {0};
    enum stoq_status st = each_list(r, &r->self, use_own, &r->root, &err);
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
                         err.text[0] != 0 ? err.text : "it is too large to remove");
    }
    return STOQ_OK;
}

static enum stoq_status mark_others(struct removal *r, enum stoq_record_type type, size_t key_bytes)
{
    enum stoq_status st = gather(r, type, key_bytes, gather_owner);
    for (size_t at = 0; st == STOQ_OK && at < r->keys.n; at += key_bytes) {
        const struct owner other = {type, stoq_span(r->keys.p + at, key_bytes)};
        struct stoq_hash root;
        st = each_list(r, &other, use_other, &root, r->err);
        if (st == STOQ_OK && r->has_root && stoq_hash_eq(&root, &r->root)) {
            r->root_is_shared = true;
        } else if (st == STOQ_NOTFOUND) {
            st = STOQ_OK; /* its shard list has not come yet: it has no chunks */
        } else if (st != STOQ_OK) {
            stoq_error_prefix(r->err, "another %s's lists cannot be read: ",
                              type == STOQ_RECORD_CONTENT ? "content" : "package");
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

static enum stoq_status drop_gathered(struct removal *r, enum stoq_record_type type)
{
    enum stoq_status st = STOQ_OK;
    for (size_t at = 0; st == STOQ_OK && at < r->keys.n; at += r->key_bytes) {
        st = drop(r, type, stoq_span(r->keys.p + at, r->key_bytes));
    }
    return st;
}

/* First what makes it a package or content of this store, for a crash may come at any time. */
static enum stoq_status drop_record(struct removal *r)
{
    bool is_package = r->self.type == STOQ_RECORD_MANIFEST;
    enum stoq_status st =
        drop(r, is_package ? STOQ_RECORD_PACKAGE : STOQ_RECORD_CONTENT, r->self.key);
    return st == STOQ_OK ? stoq_store_sync(r->store, r->err) : st;
}

static enum stoq_status drop_description(struct removal *r)
{
    enum stoq_status st = STOQ_OK;
    if (r->self.type == STOQ_RECORD_MANIFEST) {
        st = gather(r, STOQ_RECORD_ALIAS, STOQ_ALIAS_KEY_BYTES, gather_alias);
        if (st == STOQ_OK) {
            st = drop_gathered(r, STOQ_RECORD_ALIAS);
        }
        if (st == STOQ_OK) {
            st = gather(r, STOQ_RECORD_SIGNATURE, SIGNATURE_KEY_BYTES, gather_signature);
        }
        if (st == STOQ_OK) {
            st = drop_gathered(r, STOQ_RECORD_SIGNATURE);
        }
        if (st == STOQ_OK) {
            st = drop(r, STOQ_RECORD_MANIFEST, r->self.key);
        }
    }
    if (st == STOQ_OK && r->has_root && !r->root_is_shared) {
        st = drop(r, STOQ_RECORD_SHARD_LIST, stoq_span(r->root.b, HASH_BYTES));
    }
    return st;
}

/* The stored chunk, and what is said of the user's own files. Those stay. */
static enum stoq_status drop_chunk(struct removal *r, struct stoq_span key,
                                   struct stoq_local_removed *report)
{
    struct stoq_stored info;
    enum stoq_status st = STOQ_OK;
    if (stoq_store_stat(r->store, STOQ_RECORD_CHUNK, key, &info, NULL) != STOQ_OK) {
        return st;
    }
    report->chunks++;
    if (stoq_store_is_stored(r->store, key)) {
        report->bytes += info.stored_len;
        st = drop(r, STOQ_RECORD_CHUNK, key);
    }
    return st == STOQ_OK ? drop(r, STOQ_RECORD_IN_PLACE, key) : st;
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
        if (r->chunks.marks[i] != 0) {
            report->chunks_shared++;
        } else {
            st = drop_chunk(r, key, report);
        }
    }
    return st;
}

static enum stoq_status run(struct removal *r, struct stoq_local_removed *report)
{
    stoq_buf_init(&r->chunks.hashes, SET_BYTES_MAX);
    stoq_buf_init(&r->shards.hashes, SET_BYTES_MAX);
    stoq_buf_init(&r->list, (size_t)STOQ_MERKLE_SHARD_CHUNKS_MAX * STOQ_MERKLE_CHUNK_ENTRY_BYTES);
    stoq_buf_init(&r->keys, SET_BYTES_MAX);
    enum stoq_status st = find_own(r);
    if (st == STOQ_OK) {
        st = mark_others(r, STOQ_RECORD_MANIFEST, HASH_BYTES);
    }
    if (st == STOQ_OK) {
        st = mark_others(r, STOQ_RECORD_CONTENT, STOQ_CONTENT_KEY_BYTES);
    }
    if (st == STOQ_OK) {
        st = drop_record(r);
    }
    if (st == STOQ_OK) {
        st = drop_description(r);
    }
    if (st == STOQ_OK) {
        st = drop_chunks(r, report);
    }
    if (st == STOQ_OK) {
        st = stoq_store_sync(r->store, r->err);
    }
    set_release(&r->chunks);
    set_release(&r->shards);
    stoq_buf_release(&r->list);
    stoq_buf_release(&r->keys);
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
    struct removal r = {.store = store, .self = {STOQ_RECORD_MANIFEST, key}, .err = err};
    return run(&r, report);
}

enum stoq_status stoq_content_remove(struct stoq_store *store, const struct stoq_address *address,
                                     struct stoq_local_removed *report, struct stoq_error *err)
{
    struct stoq_local_removed none;
    uint8_t key[STOQ_CONTENT_KEY_BYTES];
    report = report == NULL ? &none : report;
    memset(report, 0, sizeof *report);
    stoq_content_key_put(key, address);
    struct owner self = {STOQ_RECORD_CONTENT, stoq_span(key, sizeof key)};
    if (!stoq_store_has(store, self.type, self.key)) {
        return stoq_fail_code(err, STOQ_NOTFOUND, "ContentNotFound",
                              "no content of that address here");
    }
    struct removal r = {.store = store, .self = self, .err = err};
    return run(&r, report);
}
