#include "daemon/held.h"

#include <stdlib.h>
#include <string.h>

#include "store/use.h"

struct stoq_held {
    struct stoq_store *store;
    struct stoq_hash id;
    bool is_use;
    struct stoq_buf manifest_bytes;
    struct stoq_manifest manifest; /* borrows from manifest_bytes */
    struct stoq_stream *stream;
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
