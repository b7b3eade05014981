#include "daemon/alias.h"

#include <stdlib.h>
#include <string.h>

#include "daemon/local.h"
#include "hash/many.h"

#define INDEX_BYTES 4
/* Rows in memory: 2^24 files, the most a package can have, by one algorithm. */
#define ROWS_BYTES_MAX ((size_t)STOQ_GIB)
/* Keys of one digest's packages. */
#define KEYS_BYTES_MAX ((size_t)64 << 20)

/* The digests by one algorithm: digest, then index big-endian, so that memcmp orders rows by both. */
struct rows {
    enum stoq_hash_alg alg;
    size_t digest_bytes;
    struct stoq_buf joined;
};

struct stoq_aliases {
    struct rows rows[STOQ_HASH_MANY_MAX];
    enum stoq_hash_alg algs[STOQ_HASH_MANY_MAX];
    size_t count;
    struct stoq_hash_many hashers; /* of the file under way */
};

enum stoq_hash_alg stoq_alias_alg_named(const char *name)
{
    enum stoq_hash_alg alg =
        strcmp(name, "b3sum") == 0 ? STOQ_HASH_BLAKE3 : stoq_hash_alg_named(name);
    return stoq_alias_alg_is_fit(alg) ? alg : STOQ_HASH_NONE;
}

enum stoq_status stoq_aliases_new(struct stoq_aliases **out, const enum stoq_hash_alg *algs,
                                  size_t count, struct stoq_error *err)
{
    STOQ_ASSERT(count <= STOQ_HASH_MANY_MAX);
    struct stoq_aliases *a = calloc(1, sizeof *a);
    if (a == NULL) {
        return stoq_fail(err, STOQ_NOMEM, 0, "no memory for aliases");
    }
    a->count = count;
    for (size_t i = 0; i < count; i++) {
        STOQ_ASSERT(stoq_alias_alg_is_fit(algs[i]));
        a->algs[i] = algs[i];
        a->rows[i] = (struct rows){.alg = algs[i], .digest_bytes = stoq_hash_alg_size(algs[i])};
        stoq_buf_init(&a->rows[i].joined, ROWS_BYTES_MAX);
    }
    *out = a;
    return STOQ_OK;
}

void stoq_aliases_free(struct stoq_aliases *a)
{
    if (a == NULL) {
        return;
    }
    stoq_hash_many_release(&a->hashers);
    for (size_t i = 0; i < a->count; i++) {
        stoq_buf_release(&a->rows[i].joined);
    }
    free(a);
}

enum stoq_status stoq_aliases_begin(struct stoq_aliases *a, struct stoq_error *err)
{
    stoq_hash_many_release(&a->hashers);
    enum stoq_status st = stoq_hash_many_init(&a->hashers, a->algs, a->count);
    STOQ_ASSERT(st != STOQ_RANGE);
    return st == STOQ_OK ? st : stoq_fail(err, st, 0, "no memory to hash");
}

void stoq_aliases_update(struct stoq_aliases *a, struct stoq_span bytes)
{
    stoq_hash_many_update(&a->hashers, bytes);
}

enum stoq_status stoq_aliases_end(struct stoq_aliases *a, uint32_t index, struct stoq_error *err)
{
    struct stoq_digest digests[STOQ_HASH_MANY_MAX];
    const uint8_t tail[INDEX_BYTES] = {(uint8_t)(index >> 24), (uint8_t)(index >> 16),
                                       (uint8_t)(index >> 8), (uint8_t)index};
    enum stoq_status st = stoq_hash_many_final(&a->hashers, digests);
    for (size_t i = 0; st == STOQ_OK && i < a->count; i++) {
        st = stoq_buf_add(&a->rows[i].joined, stoq_digest_span(&digests[i]));
        if (st == STOQ_OK) {
            st = stoq_buf_add(&a->rows[i].joined, stoq_span(tail, sizeof tail));
        }
    }
    stoq_hash_many_release(&a->hashers);
    return st == STOQ_OK ? st : stoq_fail(err, st, 0, "the files are too many for aliases");
}

static int row_cmp(const void *x, const void *y, void *row_bytes)
{
    return memcmp(x, y, *(const size_t *)row_bytes);
}

/* What one call of stoq_aliases_put carries along. */
struct putting {
    struct stoq_store *store;
    struct stoq_alias alias;
    struct stoq_buf payload;
    struct stoq_span (*path_of)(void *user, uint32_t index);
    void *user;
    uint64_t *records;
    struct stoq_error *err;
};

static enum stoq_status put_record(struct putting *p)
{
    uint8_t key[STOQ_ALIAS_KEY_BYTES];
    stoq_buf_clear(&p->payload);
    enum stoq_status st = stoq_alias_encode(&p->alias, &p->payload);
    if (st != STOQ_OK) {
        return stoq_fail(p->err, st, 0, "no memory for aliases");
    }
    stoq_alias_key_put(key, &p->alias.digest, &p->alias.id);
    (*p->records)++;
    return stoq_store_put(p->store, STOQ_RECORD_ALIAS, stoq_span(key, sizeof key), 0,
                          stoq_buf_span(&p->payload), NULL, p->err);
}

/* One record per run of rows with the same digest. */
static enum stoq_status put_rows(struct putting *p, struct rows *rows)
{
    size_t row_bytes = rows->digest_bytes + INDEX_BYTES;
    struct stoq_span all = stoq_buf_span(&rows->joined);
    if (all.n > 0) {
        qsort_r(rows->joined.p, all.n / row_bytes, row_bytes, row_cmp, &row_bytes);
    }
    enum stoq_status st = STOQ_OK;
    struct stoq_alias *a = &p->alias;
    a->digest = (struct stoq_digest){.alg = rows->alg};
    a->path_count = 0;
    for (size_t at = 0; st == STOQ_OK && at < all.n; at += row_bytes) {
        const uint8_t *row = all.p + at;
        if (a->path_count > 0 && memcmp(a->digest.b, row, rows->digest_bytes) != 0) {
            st = put_record(p);
            a->path_count = 0;
        }
        memcpy(a->digest.b, row, rows->digest_bytes);
        if (a->path_count < STOQ_ALIAS_PATHS_MAX) {
            const uint8_t *i = row + rows->digest_bytes;
            uint32_t index =
                (uint32_t)i[0] << 24 | (uint32_t)i[1] << 16 | (uint32_t)i[2] << 8 | i[3];
            a->paths[a->path_count++] = p->path_of(p->user, index);
        }
    }
    return st == STOQ_OK && a->path_count > 0 ? put_record(p) : st;
}

enum stoq_status stoq_aliases_put(struct stoq_aliases *a, struct stoq_store *store,
                                  const struct stoq_package_id *id,
                                  struct stoq_span (*path_of)(void *user, uint32_t index),
                                  void *user, uint64_t *records, struct stoq_error *err)
{
    struct putting p = {
        .store = store, .path_of = path_of, .user = user, .records = records, .err = err};
    enum stoq_status st = STOQ_OK;
    p.alias.id = *id;
    *records = 0;
    stoq_buf_init(&p.payload, STOQ_ALIAS_RECORD_BYTES_MAX);
    for (size_t i = 0; st == STOQ_OK && i < a->count; i++) {
        st = put_rows(&p, &a->rows[i]);
    }
    stoq_buf_release(&p.payload);
    return st;
}

static bool gather_key(void *user, struct stoq_span key, struct stoq_stored info)
{
    struct stoq_buf *keys = user;
    (void)info;
    return key.n != STOQ_ALIAS_KEY_BYTES || stoq_buf_add(keys, key) == STOQ_OK;
}

/* The files of one record; false: stop. */
static bool each_path(struct stoq_store *store, const struct stoq_digest *digest,
                      struct stoq_span key, struct stoq_buf *scratch,
                      bool (*each)(void *user, const struct stoq_package_id *id,
                                   struct stoq_span path),
                      void *user)
{
    struct stoq_alias alias;
    if (stoq_store_read(store, STOQ_RECORD_ALIAS, key, 0, scratch, NULL) != STOQ_OK ||
        stoq_alias_decode(key, stoq_buf_span(scratch), &alias) != STOQ_OK ||
        !stoq_digest_eq(&alias.digest, digest) || !stoq_local_has(store, &alias.id)) {
        return true;
    }
    for (size_t i = 0; i < alias.path_count; i++) {
        if (!each(user, &alias.id, alias.paths[i])) {
            return false;
        }
    }
    return true;
}

enum stoq_status stoq_alias_find(struct stoq_store *store, const struct stoq_digest *digest,
                                 bool (*each)(void *user, const struct stoq_package_id *id,
                                              struct stoq_span path),
                                 void *user, struct stoq_error *err)
{
    uint8_t prefix[STOQ_ALIAS_PREFIX_BYTES];
    struct stoq_buf keys;
    struct stoq_buf scratch;
    stoq_buf_init(&keys, KEYS_BYTES_MAX);
    stoq_buf_init(&scratch, STOQ_ALIAS_RECORD_BYTES_MAX);
    stoq_alias_prefix_put(prefix, digest);
    enum stoq_status st = stoq_store_each_under(
        store, STOQ_RECORD_ALIAS, stoq_span(prefix, sizeof prefix), gather_key, &keys, err);
    bool go_on = true;
    for (size_t at = 0; st == STOQ_OK && go_on && at < keys.n; at += STOQ_ALIAS_KEY_BYTES) {
        go_on = each_path(store, digest, stoq_span(keys.p + at, STOQ_ALIAS_KEY_BYTES), &scratch,
                          each, user);
    }
    stoq_buf_release(&keys);
    stoq_buf_release(&scratch);
    return st;
}
