#include "daemon/keep_in_place.h"

#include <stdlib.h>

#include "store/place.h"

static struct stoq_place place_of(const struct stoq_tree *tree, const struct stoq_piece *piece,
                                  struct stoq_span path)
{
    struct stoq_tree_identity id = stoq_tree_identity_at(tree, (size_t)piece->source);
    return (struct stoq_place){
        .path = path,
        .offset = piece->offset,
        .bytes = (uint32_t)piece->bytes,
        .size = id.size,
        .mtime_ns = id.mtime_ns,
        .ctime_ns = id.ctime_ns,
        .inode = id.inode,
    };
}

/* Put the record where it pays; places and paths are scratch. */
static enum stoq_status put(const struct stoq_keep_in_place *k, struct stoq_span key,
                            const struct stoq_piece *pieces, size_t count,
                            struct stoq_place *places, struct stoq_buf *paths, bool *kept,
                            struct stoq_error *err)
{
    struct stoq_buf path;
    bool is_new;
    enum stoq_status st = STOQ_OK;
    stoq_buf_init(&path, 2 * STOQ_TREE_PATH_MAX);
    for (size_t i = 0; st == STOQ_OK && i < count; i++) {
        st = stoq_tree_path(k->tree, (size_t)pieces[i].source, &path);
        if (st == STOQ_OK) {
            st = stoq_buf_add(paths, stoq_buf_span(&path));
        }
        places[i] = place_of(k->tree, &pieces[i], stoq_span(NULL, path.n));
    }
    stoq_buf_release(&path);
    if (st != STOQ_OK) {
        *kept = false; /* a path too long, or too many of them */
        return st == STOQ_NOMEM ? stoq_fail(err, st, 0, "no memory to publish") : STOQ_OK;
    }
    size_t at = 0; /* now the paths no longer move */
    for (size_t i = 0; i < count; i++) {
        places[i].path.p = paths->p + at;
        at += places[i].path.n;
    }
    *kept = stoq_places_pay(places, count);
    return *kept ? stoq_store_put_places(k->store, key, places, count, &is_new, err) : STOQ_OK;
}

static enum stoq_status keep(void *user, const struct stoq_hash *hash,
                             const struct stoq_piece *pieces, size_t count, bool *kept,
                             bool *is_new, struct stoq_error *err)
{
    const struct stoq_keep_in_place *k = user;
    struct stoq_span key = stoq_span(hash->b, sizeof hash->b);
    struct stoq_buf paths;
    *is_new = false;
    *kept = false;
    if (stoq_store_is_stored(k->store, key)) {
        return STOQ_OK; /* putting it again finds it there */
    }
    bool is_had = stoq_store_has(k->store, STOQ_RECORD_CHUNK, key);
    struct stoq_place *places = calloc(count, sizeof *places);
    if (places == NULL) {
        return stoq_fail(err, STOQ_NOMEM, 0, "no memory to publish");
    }
    stoq_buf_init(&paths, STOQ_PLACES_BYTES_MAX);
    enum stoq_status st = put(k, key, pieces, count, places, &paths, kept, err);
    *is_new = *kept && !is_had;
    stoq_buf_release(&paths);
    free(places);
    return st;
}

struct stoq_keeper stoq_keep_in_place(struct stoq_keep_in_place *k)
{
    return (struct stoq_keeper){.keep = keep, .user = k};
}
