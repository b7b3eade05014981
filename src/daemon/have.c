/*
 * Two sorted arrays, of shard roots and of hash prefixes, asked by bisection. They are a fraction of
 * the content they speak of (16 bytes for some 64 KiB), so they are simply held in memory.
 */
#include "daemon/have.h"

#include <stdlib.h>
#include <string.h>

#include "daemon/held.h"
#include "hash/hash.h"
#include "os/file.h"
#include "os/show.h"

#define MAGIC "stoqhav1"
#define VERSION 1
#define HEADER_BYTES 32
#define ROOT_BYTES 32u
#define PREFIX_BYTES 16u
#define DIGEST_BYTES 32u
#define CANCEL_EVERY 1024 /* records between two looks at cancelled */

struct stoq_have {
    struct stoq_buf roots;
    struct stoq_buf prefixes;
};

enum stoq_status stoq_have_new(struct stoq_have **out, struct stoq_error *err)
{
    struct stoq_have *have = calloc(1, sizeof *have);
    if (have == NULL) {
        return stoq_fail(err, STOQ_NOMEM, 0, "no memory for a have-list");
    }
    stoq_buf_init(&have->roots, STOQ_HAVE_BYTES_MAX);
    stoq_buf_init(&have->prefixes, STOQ_HAVE_BYTES_MAX);
    *out = have;
    return STOQ_OK;
}

void stoq_have_free(struct stoq_have *have)
{
    if (have != NULL) {
        stoq_buf_release(&have->roots);
        stoq_buf_release(&have->prefixes);
        free(have);
    }
}

static int root_cmp(const void *a, const void *b)
{
    return memcmp(a, b, ROOT_BYTES);
}

static int prefix_cmp(const void *a, const void *b)
{
    return memcmp(a, b, PREFIX_BYTES);
}

/* Sort items of n bytes each and drop twins. */
static void sort(struct stoq_buf *b, size_t n, int (*cmp)(const void *, const void *))
{
    size_t count = b->n / n;
    size_t kept = 0;
    if (count > 1) {
        qsort(b->p, count, n, cmp);
    }
    for (size_t i = 0; i < count; i++) {
        if (kept == 0 || cmp(b->p + (kept - 1) * n, b->p + i * n) != 0) {
            memmove(b->p + kept++ * n, b->p + i * n, n);
        }
    }
    b->n = kept * n;
}

void stoq_have_seal(struct stoq_have *have)
{
    sort(&have->roots, ROOT_BYTES, root_cmp);
    sort(&have->prefixes, PREFIX_BYTES, prefix_cmp);
}

bool stoq_have_shard(const struct stoq_have *have, const struct stoq_hash *root)
{
    size_t count = stoq_have_shard_count(have);
    return count > 0 && bsearch(root->b, have->roots.p, count, ROOT_BYTES, root_cmp) != NULL;
}

bool stoq_have_chunk(const struct stoq_have *have, const struct stoq_hash *hash)
{
    size_t count = stoq_have_chunk_count(have);
    return count > 0 && bsearch(hash->b, have->prefixes.p, count, PREFIX_BYTES, prefix_cmp) != NULL;
}

size_t stoq_have_shard_count(const struct stoq_have *have)
{
    return have->roots.n / ROOT_BYTES;
}

struct stoq_hash stoq_have_shard_at(const struct stoq_have *have, size_t i)
{
    struct stoq_hash h;
    STOQ_ASSERT(i < stoq_have_shard_count(have));
    memcpy(h.b, have->roots.p + i * ROOT_BYTES, sizeof h.b);
    return h;
}

size_t stoq_have_chunk_count(const struct stoq_have *have)
{
    return have->prefixes.n / PREFIX_BYTES;
}

/* Items of n bytes each ascend, none twice. */
static bool ascends(const uint8_t *p, uint64_t count, size_t n)
{
    for (uint64_t i = 1; i < count; i++) {
        if (memcmp(p + (i - 1) * n, p + i * n, n) >= 0) {
            return false;
        }
    }
    return true;
}

static enum stoq_status fail_full(enum stoq_status st, struct stoq_error *err)
{
    return stoq_fail(err, st, 0, "%s",
                     st == STOQ_FULL ? "more chunks than a have-list can name (2^26)"
                                     : "no memory for a have-list");
}

enum stoq_status stoq_have_parse(struct stoq_have *have, struct stoq_span list,
                                 struct stoq_error *err)
{
    const uint8_t *p = list.p;
    if (list.n < HEADER_BYTES + DIGEST_BYTES || memcmp(p, MAGIC, 8) != 0 ||
        stoq_le32(p + 12) != 0) {
        return stoq_fail(err, STOQ_MALFORMED, 0, "not a have-list");
    }
    if (stoq_le32(p + 8) != VERSION) {
        return stoq_fail(err, STOQ_VERSION, 0, "a have-list of a newer format");
    }
    uint64_t shards = stoq_le64(p + 16);
    uint64_t chunks = stoq_le64(p + 24);
    if (shards > STOQ_HAVE_BYTES_MAX / ROOT_BYTES || chunks > STOQ_HAVE_BYTES_MAX / PREFIX_BYTES) {
        return stoq_fail(err, STOQ_MALFORMED, 0, "a have-list of more chunks than it can name");
    }
    uint64_t n = HEADER_BYTES + shards * ROOT_BYTES + chunks * PREFIX_BYTES;
    uint64_t whole = n + DIGEST_BYTES;
    if (list.n != whole) {
        return stoq_fail(err, list.n < whole ? STOQ_TRUNC : STOQ_MALFORMED, 0,
                         "a have-list of %zu bytes that should have %llu", list.n,
                         (unsigned long long)whole);
    }
    struct stoq_hash h = stoq_hash_blake3(stoq_span(p, (size_t)n));
    if (memcmp(h.b, p + n, DIGEST_BYTES) != 0) {
        return stoq_fail(err, STOQ_PROOF, 0, "a damaged have-list: its hash disagrees");
    }
    const uint8_t *prefixes = p + HEADER_BYTES + shards * ROOT_BYTES;
    if (!ascends(p + HEADER_BYTES, shards, ROOT_BYTES) ||
        !ascends(prefixes, chunks, PREFIX_BYTES)) {
        return stoq_fail(err, STOQ_MALFORMED, 0, "a have-list out of order");
    }
    enum stoq_status st =
        stoq_buf_add(&have->roots, stoq_span(p + HEADER_BYTES, (size_t)shards * ROOT_BYTES));
    if (st == STOQ_OK) {
        st = stoq_buf_add(&have->prefixes, stoq_span(prefixes, (size_t)chunks * PREFIX_BYTES));
    }
    return st == STOQ_OK ? st : fail_full(st, err);
}

enum stoq_status stoq_have_read(struct stoq_have *have, const char *path, struct stoq_error *err)
{
    struct stoq_buf b;
    char text[STOQ_SHOW_BYTES];
    const size_t max = 2 * STOQ_HAVE_BYTES_MAX + HEADER_BYTES + DIGEST_BYTES;
    stoq_buf_init(&b, max);
    enum stoq_status st = stoq_file_read(path, max, &b, err);
    if (st == STOQ_OK) {
        st = stoq_have_parse(have, stoq_buf_span(&b), err);
        if (st != STOQ_OK) {
            stoq_error_prefix(err, "%s: ", stoq_show_path(text, stoq_span_str(path)));
        }
    }
    stoq_buf_release(&b);
    return st;
}

static enum stoq_status add_list(struct stoq_have *have, struct stoq_span list)
{
    enum stoq_status st = STOQ_OK;
    for (size_t at = 0; st == STOQ_OK && at < list.n; at += STOQ_MERKLE_CHUNK_ENTRY_BYTES) {
        st = stoq_buf_add(&have->prefixes, stoq_span(list.p + at, PREFIX_BYTES));
    }
    return st;
}

enum stoq_status stoq_have_add_package(struct stoq_have *have, struct stoq_store *store,
                                       const struct stoq_package_id *id, struct stoq_error *err)
{
    struct stoq_held *held = NULL;
    struct stoq_buf list;
    stoq_buf_init(&list, (size_t)STOQ_MERKLE_SHARD_CHUNKS_MAX * STOQ_MERKLE_CHUNK_ENTRY_BYTES);
    enum stoq_status st = stoq_held_open(&held, store, id, err);
    size_t count = st == STOQ_OK ? stoq_held_shard_count(held) : 0;
    for (size_t i = 0; st == STOQ_OK && i < count; i++) {
        struct stoq_merkle_shard shard = stoq_merkle_shard_at(stoq_held_shard_list(held), i);
        st = stoq_held_chunk_list(held, i, &list, err);
        if (st != STOQ_OK) {
            break;
        }
        st = stoq_buf_add(&have->roots, stoq_span(shard.root.b, ROOT_BYTES));
        if (st == STOQ_OK) {
            st = add_list(have, stoq_buf_span(&list));
        }
        if (st != STOQ_OK) {
            st = fail_full(st, err);
        }
    }
    stoq_buf_release(&list);
    stoq_held_close(held);
    return st;
}

struct gathering {
    struct stoq_have *have;
    struct stoq_store *store;
    bool (*cancelled)(void *user);
    void *user;
    size_t seen;
    struct stoq_buf list;
    struct stoq_buf keys;
    enum stoq_status status;
    struct stoq_error *err;
};

static bool go_on(struct gathering *g)
{
    if (g->status == STOQ_OK && ++g->seen % CANCEL_EVERY == 0 && g->cancelled != NULL &&
        g->cancelled(g->user)) {
        g->status = stoq_fail(g->err, STOQ_CANCELLED, 0, "interrupted");
    }
    return g->status == STOQ_OK;
}

static bool gather_chunk(void *user, struct stoq_span key, struct stoq_stored info)
{
    struct gathering *g = user;
    (void)info;
    if (key.n == ROOT_BYTES) {
        g->status = stoq_buf_add(&g->have->prefixes, stoq_span(key.p, PREFIX_BYTES));
        if (g->status != STOQ_OK) {
            g->status = fail_full(g->status, g->err);
        }
    }
    return go_on(g);
}

/* Are all chunks of the loaded chunk list here? */
static bool has_all(struct gathering *g)
{
    uint8_t here[STOQ_MERKLE_SHARD_CHUNKS_MAX / 8];
    size_t n = g->list.n / STOQ_MERKLE_CHUNK_ENTRY_BYTES;
    stoq_buf_clear(&g->keys);
    for (size_t i = 0; i < n && g->status == STOQ_OK; i++) {
        g->status = stoq_buf_add(
            &g->keys, stoq_span(g->list.p + i * STOQ_MERKLE_CHUNK_ENTRY_BYTES, ROOT_BYTES));
    }
    if (g->status != STOQ_OK ||
        stoq_store_has_many(g->store, STOQ_RECORD_CHUNK, stoq_buf_span(&g->keys), n, here, NULL) !=
            STOQ_OK) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        if ((here[i / 8] & 1u << i % 8) == 0) {
            return false;
        }
    }
    return true;
}

static bool gather_shard(void *user, struct stoq_span key, struct stoq_stored info)
{
    struct gathering *g = user;
    (void)info;
    if (key.n == ROOT_BYTES &&
        stoq_store_read(g->store, STOQ_RECORD_CHUNK_LIST, key, 0, &g->list, NULL) == STOQ_OK &&
        g->list.n % STOQ_MERKLE_CHUNK_ENTRY_BYTES == 0 && has_all(g)) {
        g->status = stoq_buf_add(&g->have->roots, key);
    }
    if (g->status != STOQ_OK) {
        g->status = fail_full(g->status, g->err);
    }
    return go_on(g);
}

enum stoq_status stoq_have_add_store(struct stoq_have *have, struct stoq_store *store,
                                     bool (*cancelled)(void *user), void *user,
                                     struct stoq_error *err)
{
    struct gathering g = {.have = have,
                          .store = store,
                          .cancelled = cancelled,
                          .user = user,
                          .status = STOQ_OK,
                          .err = err};
    stoq_buf_init(&g.list, (size_t)STOQ_MERKLE_SHARD_CHUNKS_MAX * STOQ_MERKLE_CHUNK_ENTRY_BYTES);
    stoq_buf_init(&g.keys, (size_t)STOQ_MERKLE_SHARD_CHUNKS_MAX * ROOT_BYTES);
    enum stoq_status st = stoq_store_each(store, STOQ_RECORD_CHUNK, gather_chunk, &g, err);
    if (st == STOQ_OK && g.status == STOQ_OK) {
        st = stoq_store_each(store, STOQ_RECORD_IN_PLACE, gather_chunk, &g, err);
    }
    if (st == STOQ_OK && g.status == STOQ_OK) {
        st = stoq_store_each(store, STOQ_RECORD_CHUNK_LIST, gather_shard, &g, err);
    }
    stoq_buf_release(&g.list);
    stoq_buf_release(&g.keys);
    return st == STOQ_OK ? g.status : st;
}

enum stoq_status stoq_have_write(const struct stoq_have *have,
                                 enum stoq_status (*sink)(void *user, struct stoq_span bytes,
                                                          struct stoq_error *err),
                                 void *user, struct stoq_error *err)
{
    uint8_t header[HEADER_BYTES] = {0};
    memcpy(header, MAGIC, 8);
    stoq_le32_put(header + 8, VERSION);
    stoq_le64_put(header + 16, stoq_have_shard_count(have));
    stoq_le64_put(header + 24, stoq_have_chunk_count(have));
    struct stoq_span parts[] = {stoq_span(header, sizeof header), stoq_buf_span(&have->roots),
                                stoq_buf_span(&have->prefixes)};
    struct stoq_hash h = stoq_hash_blake3_parts(parts, STOQ_COUNT(parts));
    enum stoq_status st = STOQ_OK;
    for (size_t i = 0; st == STOQ_OK && i < STOQ_COUNT(parts); i++) {
        st = parts[i].n > 0 ? sink(user, parts[i], err) : STOQ_OK;
    }
    return st == STOQ_OK ? sink(user, stoq_span(h.b, sizeof h.b), err) : st;
}
