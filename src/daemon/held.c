#include "daemon/held.h"

#include <stdlib.h>
#include <string.h>

struct stoq_held {
    struct stoq_store *store;
    struct stoq_buf manifest_bytes;
    struct stoq_manifest manifest; /* borrows from manifest_bytes */
    struct stoq_buf shard_list;
};

struct stoq_cursor {
    struct stoq_held *held;
    uint64_t offset; /* of the next byte */
    /* The shard whose list is loaded, and where it begins; SIZE_MAX: none. */
    size_t shard;
    uint64_t shard_offset;
    struct stoq_buf list;
    /* The chunk that is loaded, inside that shard, and where it begins; SIZE_MAX: none. */
    size_t chunk;
    uint64_t chunk_offset;
    struct stoq_buf bytes;
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
        stoq_error_prefix(err, "manifest");
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

static enum stoq_status load_shard_list(struct stoq_held *held, struct stoq_error *err)
{
    const struct stoq_manifest *m = &held->manifest;
    enum stoq_status st = stoq_store_read(held->store, STOQ_RECORD_SHARD_LIST, key_of(&m->root), 0,
                                          &held->shard_list, err);
    if (st != STOQ_OK) {
        stoq_error_prefix(err, "shard list");
        return st;
    }
    const struct stoq_merkle_root root = {
        .hash = m->root, .shards = m->shards, .chunks = m->chunks, .bytes = m->bytes};
    st = stoq_merkle_check_shard_list(&root, STOQ_MERKLE_CHUNK_BYTES_MAX,
                                      stoq_buf_span(&held->shard_list));
    if (st != STOQ_OK) {
        return stoq_fail_code(err, STOQ_PROOF, "IntegrityCheckFailed",
                              "the shard list does not belong to the package's root");
    }
    return STOQ_OK;
}

enum stoq_status stoq_held_open(struct stoq_held **out, struct stoq_store *store,
                                const struct stoq_package_id *id, struct stoq_error *err)
{
    struct stoq_held *held = calloc(1, sizeof *held);
    if (held == NULL) {
        return stoq_fail(err, STOQ_NOMEM, 0, "no memory to open a package");
    }
    held->store = store;
    stoq_buf_init(&held->manifest_bytes, STOQ_MANIFEST_BYTES_MAX);
    stoq_buf_init(&held->shard_list, STOQ_RECORD_BYTES_MAX);
    enum stoq_status st = load_manifest(held, id, err);
    if (st == STOQ_OK) {
        st = load_shard_list(held, err);
    }
    if (st != STOQ_OK) {
        stoq_held_close(held);
        return st;
    }
    *out = held;
    return STOQ_OK;
}

void stoq_held_close(struct stoq_held *held)
{
    if (held == NULL) {
        return;
    }
    stoq_buf_release(&held->manifest_bytes);
    stoq_buf_release(&held->shard_list);
    free(held);
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
    return stoq_buf_span(&held->shard_list);
}

size_t stoq_held_shard_count(const struct stoq_held *held)
{
    return held->shard_list.n / STOQ_MERKLE_SHARD_ENTRY_BYTES;
}

enum stoq_status stoq_held_chunk_list(const struct stoq_held *held, size_t i, struct stoq_buf *out,
                                      struct stoq_error *err)
{
    if (i >= stoq_held_shard_count(held)) {
        return stoq_fail(err, STOQ_RANGE, 0, "the package has no shard %zu", i);
    }
    struct stoq_merkle_shard shard = stoq_merkle_shard_at(stoq_held_shard_list(held), i);
    enum stoq_status st =
        stoq_store_read(held->store, STOQ_RECORD_CHUNK_LIST, key_of(&shard.root), 0, out, err);
    if (st != STOQ_OK) {
        stoq_error_prefix(err, "chunk list of shard %zu", i);
        return st;
    }
    st = stoq_merkle_check_chunk_list(&shard, STOQ_MERKLE_CHUNK_BYTES_MAX, stoq_buf_span(out));
    if (st != STOQ_OK) {
        return stoq_fail_code(err, STOQ_PROOF, "IntegrityCheckFailed",
                              "the chunk list of shard %zu does not belong to it", i);
    }
    return STOQ_OK;
}

enum stoq_status stoq_cursor_new(struct stoq_cursor **out, struct stoq_held *held)
{
    struct stoq_cursor *c = calloc(1, sizeof *c);
    if (c == NULL) {
        return STOQ_NOMEM;
    }
    c->held = held;
    c->shard = SIZE_MAX;
    c->chunk = SIZE_MAX;
    stoq_buf_init(&c->list, (size_t)STOQ_MERKLE_SHARD_CHUNKS_MAX * STOQ_MERKLE_CHUNK_ENTRY_BYTES);
    stoq_buf_init(&c->bytes, STOQ_MERKLE_CHUNK_BYTES_MAX);
    *out = c;
    return STOQ_OK;
}

void stoq_cursor_free(struct stoq_cursor *c)
{
    if (c == NULL) {
        return;
    }
    stoq_buf_release(&c->list);
    stoq_buf_release(&c->bytes);
    free(c);
}

enum stoq_status stoq_cursor_seek(struct stoq_cursor *c, uint64_t offset)
{
    if (offset > c->held->manifest.bytes) {
        return STOQ_RANGE;
    }
    c->offset = offset;
    return STOQ_OK;
}

uint64_t stoq_cursor_offset(const struct stoq_cursor *c)
{
    return c->offset;
}

/* Load the chunk list of the shard that holds offset, unless it is loaded. */
static enum stoq_status load_shard(struct stoq_cursor *c, struct stoq_error *err)
{
    struct stoq_span list = stoq_held_shard_list(c->held);
    size_t i = 0;
    uint64_t at = 0;
    if (c->shard != SIZE_MAX && c->offset >= c->shard_offset) {
        i = c->shard;
        at = c->shard_offset;
    }
    uint64_t bytes = stoq_merkle_shard_at(list, i).bytes;
    while (c->offset - at >= bytes) {
        at += bytes;
        bytes = stoq_merkle_shard_at(list, ++i).bytes;
    }
    if (i == c->shard) {
        return STOQ_OK;
    }
    c->shard = SIZE_MAX;
    c->chunk = SIZE_MAX;
    enum stoq_status st = stoq_held_chunk_list(c->held, i, &c->list, err);
    if (st == STOQ_OK) {
        c->shard = i;
        c->shard_offset = at;
    }
    return st;
}

/* Load and check the chunk that holds offset, unless it is loaded. */
static enum stoq_status load_chunk(struct stoq_cursor *c, struct stoq_error *err)
{
    struct stoq_span list = stoq_buf_span(&c->list);
    size_t i = 0;
    uint64_t at = c->shard_offset;
    if (c->chunk != SIZE_MAX && c->offset >= c->chunk_offset) {
        i = c->chunk;
        at = c->chunk_offset;
    }
    struct stoq_merkle_chunk chunk = stoq_merkle_chunk_at(list, i);
    while (c->offset - at >= chunk.bytes) {
        at += chunk.bytes;
        chunk = stoq_merkle_chunk_at(list, ++i);
    }
    if (i == c->chunk) {
        return STOQ_OK;
    }
    c->chunk = SIZE_MAX;
    enum stoq_status st = stoq_store_read(c->held->store, STOQ_RECORD_CHUNK, key_of(&chunk.hash),
                                          STOQ_STORE_VERIFY, &c->bytes, err);
    if (st == STOQ_OK && c->bytes.n != chunk.bytes) {
        st = stoq_fail_code(err, STOQ_PROOF, "IntegrityCheckFailed", "wrong length");
    }
    if (st != STOQ_OK) {
        stoq_error_prefix(err, "chunk %zu of shard %zu", i, c->shard);
        return st;
    }
    c->chunk = i;
    c->chunk_offset = at;
    return STOQ_OK;
}

enum stoq_status stoq_cursor_next(struct stoq_cursor *c, size_t n_max, struct stoq_span *out,
                                  struct stoq_error *err)
{
    if (c->offset == c->held->manifest.bytes) {
        *out = stoq_span(NULL, 0);
        return STOQ_OK;
    }
    enum stoq_status st = load_shard(c, err);
    if (st == STOQ_OK) {
        st = load_chunk(c, err);
    }
    if (st != STOQ_OK) {
        return st;
    }
    size_t skip = (size_t)(c->offset - c->chunk_offset);
    size_t n = c->bytes.n - skip;
    n = n < n_max ? n : n_max;
    *out = stoq_span(c->bytes.p + skip, n);
    c->offset += n;
    return STOQ_OK;
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
    enum stoq_status st = r == NULL ? STOQ_NOMEM : stoq_cursor_new(&c, held);
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
