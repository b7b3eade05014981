#include "daemon/alias.h"

#include "daemon/extract.h"

struct reading {
    const struct stoq_alias_ask *ask;
    struct stoq_alias_found *found;
    bool is_found;
    enum stoq_status status; /* of keeping the path */
    struct stoq_hasher hasher;
    struct stoq_buf held_back; /* the beginning, until it is the whole or too long */
    bool is_flowing;
};

static bool take_first(void *user, const struct stoq_package_id *id, struct stoq_span path)
{
    struct reading *r = user;
    r->is_found = true;
    r->found->id = *id;
    stoq_buf_clear(&r->found->path);
    r->status = stoq_buf_add(&r->found->path, path);
    return false;
}

static enum stoq_status pass(struct reading *r, struct stoq_span bytes)
{
    return r->ask->sink == NULL || bytes.n == 0 ? STOQ_OK : r->ask->sink(r->ask->sink_user, bytes);
}

static enum stoq_status take_bytes(void *user, struct stoq_span bytes)
{
    struct reading *r = user;
    enum stoq_status st = STOQ_OK;
    stoq_hasher_update(&r->hasher, bytes);
    r->found->bytes += bytes.n;
    if (!r->is_flowing && r->held_back.n + bytes.n <= STOQ_ALIAS_WHOLE_BYTES_MAX) {
        return stoq_buf_add(&r->held_back, bytes);
    }
    if (!r->is_flowing) {
        r->is_flowing = true;
        st = pass(r, stoq_buf_span(&r->held_back));
        stoq_buf_clear(&r->held_back);
    }
    return st == STOQ_OK ? pass(r, bytes) : st;
}

static enum stoq_status check(struct reading *r, struct stoq_error *err)
{
    struct stoq_digest got;
    if (stoq_hasher_final(&r->hasher, &got) != STOQ_OK) {
        return stoq_fail(err, STOQ_NOMEM, 0, "no memory to hash");
    }
    if (!stoq_digest_eq(&got, &r->ask->digest)) {
        return stoq_fail_code(err, STOQ_PROOF, "IntegrityCheckFailed",
                              "the file known by that %s does not have it",
                              stoq_hash_alg_name(got.alg));
    }
    return pass(r, stoq_buf_span(&r->held_back));
}

static enum stoq_status read_file(struct reading *r, struct stoq_store *store,
                                  struct stoq_error *err)
{
    enum stoq_status st = stoq_hasher_init(&r->hasher, r->ask->digest.alg);
    if (st != STOQ_OK) {
        return stoq_fail(err, st, 0, "no memory to hash");
    }
    st = stoq_cat(store, &r->found->id, stoq_buf_span(&r->found->path), NULL, take_bytes, r, err);
    return st == STOQ_OK ? check(r, err) : st;
}

enum stoq_status stoq_alias_read(struct stoq_store *store, const struct stoq_alias_ask *ask,
                                 struct stoq_alias_found *found, struct stoq_error *err)
{
    struct reading r = {.ask = ask, .found = found, .status = STOQ_OK};
    stoq_buf_init(&r.held_back, STOQ_ALIAS_WHOLE_BYTES_MAX);
    found->bytes = 0;
    enum stoq_status st = stoq_alias_find(store, &ask->digest, take_first, &r, err);
    if (st == STOQ_OK && !r.is_found) {
        st = stoq_fail_code(err, STOQ_NOTFOUND, "ContentNotFound",
                            "no package here has a file known by that %s",
                            stoq_hash_alg_name(ask->digest.alg));
    } else if (st == STOQ_OK && r.status != STOQ_OK) {
        st = stoq_fail(err, r.status, 0, "no memory for a path");
    }
    if (st == STOQ_OK) {
        st = read_file(&r, store, err);
    }
    stoq_hasher_release(&r.hasher);
    stoq_buf_release(&r.held_back);
    return st;
}
