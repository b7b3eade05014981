#include "daemon/beat.h"
#include "daemon/content.h"

#include <string.h>

#include "daemon/stream.h"
#include "hash/many.h"

/* Keys gathered in memory at once: some 8 million contents. */
#define KEYS_MAX ((size_t)256 << 20)

struct get {
    const struct stoq_content_get_ask *ask;
    struct stoq_content content;
    struct stoq_stream *stream;
    struct stoq_cursor *cursor;
    struct stoq_hash_many hashers;
    struct stoq_buf whole; /* of content that is checked before it leaves */
    stoq_ns reported_at;
};

static enum stoq_status read_record(struct stoq_store *store, struct stoq_span key,
                                    struct stoq_content *out, struct stoq_error *err)
{
    struct stoq_buf b;
    stoq_buf_init(&b, STOQ_CONTENT_RECORD_BYTES_MAX);
    enum stoq_status st = stoq_store_read(store, STOQ_RECORD_CONTENT, key, 0, &b, err);
    if (st == STOQ_OK) {
        st = stoq_content_decode(key, stoq_buf_span(&b), out);
        if (st == STOQ_VERSION) {
            st = stoq_fail(err, st, 0, "the content's record is of a newer format");
        } else if (st != STOQ_OK) {
            st = stoq_fail_code(err, STOQ_PROOF, "IntegrityCheckFailed",
                                "the content's record here is damaged");
        }
    } else if (st == STOQ_FULL) {
        st = stoq_fail_code(err, STOQ_PROOF, "IntegrityCheckFailed",
                            "the content's record here is longer than one can be");
    }
    stoq_buf_release(&b);
    return st;
}

enum stoq_status stoq_content_info(struct stoq_store *store, const struct stoq_address *address,
                                   struct stoq_content *out, struct stoq_error *err)
{
    uint8_t key[STOQ_CONTENT_KEY_BYTES];
    stoq_content_key_put(key, address);
    enum stoq_status st = read_record(store, stoq_span(key, sizeof key), out, err);
    return st == STOQ_NOTFOUND
               ? stoq_fail_code(err, st, "ContentNotFound", "no content of that address here")
               : st;
}

static enum stoq_status look_up(struct get *g, struct stoq_error *err)
{
    if (!stoq_beat(&g->reported_at)) {
        return STOQ_OK;
    }
    if (g->ask->progress != NULL) {
        g->ask->progress(g->ask->user, stoq_cursor_offset(g->cursor), g->content.root.bytes);
    }
    return stoq_go_on(g->ask->cancelled, g->ask->user, err);
}

static enum stoq_status begin(struct get *g, struct stoq_store *store, struct stoq_error *err)
{
    const struct stoq_content *c = &g->content;
    enum stoq_hash_alg algs[STOQ_HASH_MANY_MAX] = {(enum stoq_hash_alg)c->address.algorithm};
    for (size_t i = 0; i < c->secondary_count; i++) {
        algs[i + 1] = c->secondary[i].alg;
    }
    enum stoq_status st = stoq_stream_open(&g->stream, store, &c->root, err);
    if (st == STOQ_OK &&
        (stoq_cursor_new(&g->cursor, g->stream) != STOQ_OK ||
         stoq_hash_many_init(&g->hashers, algs, c->secondary_count + 1) != STOQ_OK)) {
        st = stoq_fail(err, STOQ_NOMEM, 0, "no memory to read content");
    }
    return st;
}

/* Every byte has passed the hashers: is it the content of that address? */
static enum stoq_status check(struct get *g, struct stoq_error *err)
{
    const struct stoq_content *c = &g->content;
    struct stoq_digest got[STOQ_HASH_MANY_MAX];
    enum stoq_hash_alg wrong = STOQ_HASH_NONE;
    if (stoq_hash_many_final(&g->hashers, got) != STOQ_OK) {
        return stoq_fail(err, STOQ_NOMEM, 0, "no memory to hash");
    }
    if (memcmp(got[0].b, c->address.digest.b, sizeof c->address.digest.b) != 0) {
        wrong = got[0].alg;
    }
    for (size_t i = 0; wrong == STOQ_HASH_NONE && i < c->secondary_count; i++) {
        wrong = stoq_digest_eq(&got[i + 1], &c->secondary[i]) ? STOQ_HASH_NONE : got[i + 1].alg;
    }
    if (wrong != STOQ_HASH_NONE) {
        return stoq_fail_code(err, STOQ_PROOF, "IntegrityCheckFailed",
                              "the stored bytes do not have the content's %s digest",
                              stoq_hash_alg_name(wrong));
    }
    return STOQ_OK;
}

static enum stoq_status pass_on(struct get *g, struct stoq_span bytes, bool is_small,
                                struct stoq_error *err)
{
    if (g->ask->sink == NULL) {
        return STOQ_OK;
    }
    if (!is_small) {
        return g->ask->sink(g->ask->sink_user, bytes);
    }
    enum stoq_status st = stoq_buf_add(&g->whole, bytes);
    return st == STOQ_OK ? st : stoq_fail(err, st, 0, "no memory to read content");
}

static enum stoq_status send(struct get *g, struct stoq_error *err)
{
    bool is_small = g->content.root.bytes <= STOQ_CONTENT_WHOLE_BYTES_MAX;
    enum stoq_status st = STOQ_OK;
    while (st == STOQ_OK) {
        struct stoq_span bytes;
        st = stoq_cursor_next(g->cursor, SIZE_MAX, &bytes, err);
        if (st != STOQ_OK || bytes.n == 0) {
            break;
        }
        stoq_hash_many_update(&g->hashers, bytes);
        st = pass_on(g, bytes, is_small, err);
        if (st == STOQ_OK) {
            st = look_up(g, err);
        }
    }
    if (st == STOQ_OK) {
        st = check(g, err);
    }
    if (st == STOQ_OK && g->whole.n > 0) {
        st = g->ask->sink(g->ask->sink_user, stoq_buf_span(&g->whole));
    }
    return st;
}

enum stoq_status stoq_content_get(struct stoq_store *store, const struct stoq_content_get_ask *ask,
                                  struct stoq_content *out, struct stoq_error *err)
{
    struct get g = {.ask = ask};
    stoq_buf_init(&g.whole, STOQ_CONTENT_WHOLE_BYTES_MAX);
    enum stoq_status st = stoq_content_info(store, &ask->address, &g.content, err);
    if (st == STOQ_OK) {
        st = begin(&g, store, err);
    }
    if (st == STOQ_OK) {
        st = send(&g, err);
    }
    if (out != NULL) {
        *out = g.content;
    }
    stoq_hash_many_release(&g.hashers);
    stoq_cursor_free(g.cursor);
    stoq_stream_close(g.stream);
    stoq_buf_release(&g.whole);
    return st;
}

struct keys {
    struct stoq_buf joined;
    uint64_t odd; /* of another length than a content's */
    enum stoq_status status;
};

static bool gather_key(void *user, struct stoq_span key, struct stoq_stored info)
{
    struct keys *k = user;
    (void)info;
    if (key.n == STOQ_CONTENT_KEY_BYTES) {
        k->status = stoq_buf_add(&k->joined, key);
    } else {
        k->odd++;
    }
    return k->status == STOQ_OK;
}

enum stoq_status stoq_content_each(struct stoq_store *store,
                                   bool (*each)(void *user, const struct stoq_content *c),
                                   void *user, uint64_t *damaged, struct stoq_error *err)
{
    struct keys k = {.status = STOQ_OK};
    stoq_buf_init(&k.joined, KEYS_MAX);
    enum stoq_status st = stoq_store_each(store, STOQ_RECORD_CONTENT, gather_key, &k, err);
    if (st == STOQ_OK && k.status != STOQ_OK) {
        st = stoq_fail(err, k.status, 0, "too many contents for one list");
    }
    uint64_t bad = k.odd;
    for (size_t at = 0; st == STOQ_OK && at < k.joined.n; at += STOQ_CONTENT_KEY_BYTES) {
        struct stoq_content c;
        struct stoq_span key = stoq_span(k.joined.p + at, STOQ_CONTENT_KEY_BYTES);
        enum stoq_status got = read_record(store, key, &c, NULL);
        if (got == STOQ_OK && !each(user, &c)) {
            break;
        }
        bad += got != STOQ_OK && got != STOQ_NOTFOUND;
    }
    if (damaged != NULL) {
        *damaged = bad;
    }
    stoq_buf_release(&k.joined);
    return st;
}
