#include "daemon/held.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "store/use.h"

#define HAVES_KEPT 64u /* shards, one at i % HAVES_KEPT: some 2 GiB of content */

/* Which chunks of a shard were here. */
struct have {
    size_t shard;
    stoq_ns since; /* none of the bits is older; 0: empty */
    stoq_ns at;    /* when those that were not here were looked for last; 0: never */
    uint8_t bits[STOQ_MERKLE_SHARD_CHUNKS_MAX / 8];
};

struct stoq_held {
    struct stoq_store *store;
    struct stoq_hash id;
    bool is_use;
    struct stoq_buf manifest_bytes;
    struct stoq_manifest manifest; /* borrows from manifest_bytes */
    struct stoq_stream *stream;
    pthread_mutex_t lock; /* of haves */
    struct have haves[HAVES_KEPT];
};

static struct stoq_span key_of(const struct stoq_hash *h)
{
    return stoq_span(h->b, sizeof h->b);
}

static enum stoq_status load_manifest(struct stoq_held *held, const struct stoq_package_id *id,
                                      struct stoq_error *err)
{
    enum stoq_status st = stoq_store_read(held->store, STOQ_RECORD_MANIFEST, key_of(&id->h), 0,
                                          &held->manifest_bytes, err);
    if (st != STOQ_OK) {
        stoq_error_prefix(err, "manifest: ");
        return st;
    }
    struct stoq_span bytes = stoq_buf_span(&held->manifest_bytes);
    struct stoq_package_id got = stoq_manifest_id(bytes);
    if (!stoq_hash_eq(&got.h, &id->h)) {
        return stoq_fail_code(err, STOQ_PROOF, "IntegrityCheckFailed",
                              "the stored manifest is not this package's");
    }
    st = stoq_manifest_decode(bytes, &held->manifest);
    if (st == STOQ_VERSION) {
        return stoq_fail(err, st, 0, "the manifest is of a newer format or profile");
    }
    if (st != STOQ_OK) {
        return stoq_fail_code(err, STOQ_PROOF, "IntegrityCheckFailed",
                              "the manifest breaks the format, as it was published");
    }
    return STOQ_OK;
}

static enum stoq_status open_it(struct stoq_held **out, struct stoq_store *store,
                                const struct stoq_package_id *id, bool is_use,
                                struct stoq_error *err)
{
    struct stoq_held *held = calloc(1, sizeof *held);
    if (held == NULL || (is_use && stoq_store_use_begin(store, key_of(&id->h)) != STOQ_OK)) {
        free(held);
        return stoq_fail(err, STOQ_NOMEM, 0, "no memory to open a package");
    }
    (void)pthread_mutex_init(&held->lock, NULL);
    held->store = store;
    held->id = id->h;
    held->is_use = is_use;
    stoq_buf_init(&held->manifest_bytes, STOQ_MANIFEST_BYTES_MAX);
    enum stoq_status st = load_manifest(held, id, err);
    if (st == STOQ_OK) {
        const struct stoq_manifest *m = &held->manifest;
        const struct stoq_merkle_root root = {
            .hash = m->root, .shards = m->shards, .chunks = m->chunks, .bytes = m->bytes};
        st = stoq_stream_open(&held->stream, store, &root, err);
    }
    if (st != STOQ_OK) {
        stoq_held_close(held);
        return st;
    }
    *out = held;
    return STOQ_OK;
}

enum stoq_status stoq_held_open(struct stoq_held **out, struct stoq_store *store,
                                const struct stoq_package_id *id, struct stoq_error *err)
{
    return open_it(out, store, id, true, err);
}

enum stoq_status stoq_held_look(struct stoq_held **out, struct stoq_store *store,
                                const struct stoq_package_id *id, struct stoq_error *err)
{
    return open_it(out, store, id, false, err);
}

void stoq_held_close(struct stoq_held *held)
{
    if (held == NULL) {
        return;
    }
    if (held->is_use) {
        stoq_store_use_end(held->store, key_of(&held->id));
    }
    stoq_stream_close(held->stream);
    stoq_buf_release(&held->manifest_bytes);
    (void)pthread_mutex_destroy(&held->lock);
    free(held);
}

struct stoq_stream *stoq_held_stream(const struct stoq_held *held)
{
    return held->stream;
}

const struct stoq_manifest *stoq_held_manifest(const struct stoq_held *held)
{
    return &held->manifest;
}

struct stoq_span stoq_held_manifest_bytes(const struct stoq_held *held)
{
    return stoq_buf_span(&held->manifest_bytes);
}

struct stoq_span stoq_held_shard_list(const struct stoq_held *held)
{
    return stoq_stream_shard_list(held->stream);
}

size_t stoq_held_shard_count(const struct stoq_held *held)
{
    return stoq_stream_shard_count(held->stream);
}

enum stoq_status stoq_held_chunk_list(const struct stoq_held *held, size_t i, struct stoq_buf *out,
                                      struct stoq_error *err)
{
    return stoq_stream_chunk_list(held->stream, i, out, err);
}

enum stoq_status stoq_held_add_list(const struct stoq_held *held, size_t i, struct stoq_buf *out,
                                    struct stoq_error *err)
{
    struct stoq_stream_list *list;
    enum stoq_status st = stoq_stream_list_take(held->stream, i, &list, err);
    if (st == STOQ_OK) {
        st = stoq_buf_add(out, stoq_stream_list_span(list));
        stoq_stream_list_drop(list);
    }
    return st;
}

/* Look for the chunks of a shard that have no bit yet. */
static enum stoq_status look_for_rest(const struct stoq_held *held, size_t i, uint8_t *bits,
                                      struct stoq_error *err)
{
    uint8_t keys[STOQ_MERKLE_SHARD_CHUNKS_MAX * sizeof(struct stoq_hash)];
    uint16_t chunk[STOQ_MERKLE_SHARD_CHUNKS_MAX];
    uint8_t here[STOQ_MERKLE_SHARD_CHUNKS_MAX / 8];
    struct stoq_stream_list *list = NULL;
    enum stoq_status st = stoq_stream_list_take(held->stream, i, &list, err);
    if (st != STOQ_OK) {
        return st == STOQ_NOTFOUND ? STOQ_OK : st;
    }
    struct stoq_span entries = stoq_stream_list_span(list);
    size_t n = 0;
    for (size_t k = 0; k < entries.n / STOQ_MERKLE_CHUNK_ENTRY_BYTES; k++) {
        if ((bits[k / 8] >> (k & 7) & 1) == 0) {
            memcpy(keys + sizeof(struct stoq_hash) * n,
                   entries.p + k * STOQ_MERKLE_CHUNK_ENTRY_BYTES, sizeof(struct stoq_hash));
            chunk[n++] = (uint16_t)k;
        }
    }
    stoq_stream_list_drop(list);
    st = stoq_store_has_many(held->store, STOQ_RECORD_CHUNK,
                             stoq_span(keys, sizeof(struct stoq_hash) * n), n, here, err);
    for (size_t k = 0; st == STOQ_OK && k < n; k++) {
        if ((here[k / 8] >> (k & 7) & 1) != 0) {
            bits[chunk[k] / 8] |= (uint8_t)(1u << (chunk[k] & 7));
        }
    }
    return st;
}

enum stoq_status stoq_held_have(struct stoq_held *held, size_t i, stoq_ns now,
                                uint8_t bits[STOQ_MERKLE_SHARD_CHUNKS_MAX / 8],
                                struct stoq_error *err)
{
    struct have *have = &held->haves[i % HAVES_KEPT];
    (void)pthread_mutex_lock(&held->lock);
    struct have was = *have;
    (void)pthread_mutex_unlock(&held->lock);
    if (was.since == 0 || was.shard != i || now >= was.since + STOQ_HELD_HAVE_BELIEVED) {
        was = (struct have){.shard = i, .since = now};
    }
    enum stoq_status st = STOQ_OK;
    if (was.at == 0 || now >= was.at + STOQ_HELD_HAVE_AGE) {
        st = look_for_rest(held, i, was.bits, err);
        was.at = now;
        if (st == STOQ_OK) {
            (void)pthread_mutex_lock(&held->lock);
            *have = was;
            (void)pthread_mutex_unlock(&held->lock);
        }
    }
    memcpy(bits, was.bits, sizeof was.bits);
    return st;
}

static enum stoq_status walk_table(
    struct stoq_held *held, struct stoq_cursor *c, struct stoq_table_reader *r,
    enum stoq_status (*each)(void *user, const struct stoq_entry *entry, uint64_t offset,
                             struct stoq_error *err),
    void *user, struct stoq_error *err)
{
    const struct stoq_manifest *m = &held->manifest;
    uint64_t offset = m->table_bytes;
    struct stoq_span in = stoq_span(NULL, 0);
    for (;;) {
        struct stoq_entry e;
        enum stoq_status st = stoq_table_reader_next(r, &in, &e);
        if (st == STOQ_NOTFOUND) {
            return STOQ_OK;
        }
        if (st == STOQ_MALFORMED) {
            return stoq_fail(err, st, 0, "the package's file table breaks the format");
        }
        if (st == STOQ_OK) {
            st = each(user, &e, offset, err);
            offset += e.size;
        } else {
            st = stoq_cursor_next(c, SIZE_MAX, &in, err);
        }
        if (st != STOQ_OK) {
            return st;
        }
    }
}

enum stoq_status stoq_held_each_entry(struct stoq_held *held,
                                      enum stoq_status (*each)(void *user,
                                                               const struct stoq_entry *entry,
                                                               uint64_t offset,
                                                               struct stoq_error *err),
                                      void *user, struct stoq_error *err)
{
    struct stoq_cursor *c = NULL;
    struct stoq_table_reader *r = malloc(sizeof *r);
    enum stoq_status st = r == NULL ? STOQ_NOMEM : stoq_cursor_new(&c, held->stream);
    if (st == STOQ_OK) {
        const struct stoq_manifest *m = &held->manifest;
        stoq_table_reader_init(r, m->table_bytes, m->entries, m->bytes);
        st = walk_table(held, c, r, each, user, err);
    } else {
        st = stoq_fail(err, st, 0, "no memory to read the file table");
    }
    stoq_cursor_free(c);
    free(r);
    return st;
}
