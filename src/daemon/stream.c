#include "daemon/stream.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#define BRINGS_MAX 3
/* Chunk lists, each in the place that its shard's number gives it: of some 600 MB, so that all who ask for
 * those that a query can name are answered from memory. 6 KB each, 18 KB at most. */
#define LISTS_KEPT 64

struct stoq_stream_list {
    _Atomic unsigned refs;
    size_t shard;
    struct stoq_buf bytes;
};

struct stoq_stream {
    struct stoq_store *store;
    struct stoq_merkle_root root;
    struct stoq_buf shard_list;
    enum stoq_status (*bring)(void *user, uint64_t offset, bool is_missing, struct stoq_error *err);
    void *bring_user;
    pthread_mutex_t lock;                      /* guards what follows */
    struct stoq_stream_list *kept[LISTS_KEPT]; /* of shard i at i % LISTS_KEPT; NULL: none */
};

struct stoq_cursor {
    struct stoq_stream *stream;
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

static enum stoq_status load_shard_list(struct stoq_stream *s, struct stoq_error *err)
{
    enum stoq_status st = stoq_store_read(s->store, STOQ_RECORD_SHARD_LIST, key_of(&s->root.hash),
                                          0, &s->shard_list, err);
    if (st != STOQ_OK) {
        stoq_error_prefix(err, "shard list: ");
        return st;
    }
    st = stoq_merkle_check_shard_list(&s->root, STOQ_MERKLE_CHUNK_BYTES_MAX,
                                      stoq_buf_span(&s->shard_list));
    if (st != STOQ_OK) {
        return stoq_fail_code(err, STOQ_PROOF, "IntegrityCheckFailed",
                              "the shard list does not belong to its root");
    }
    return STOQ_OK;
}

enum stoq_status stoq_stream_open(struct stoq_stream **out, struct stoq_store *store,
                                  const struct stoq_merkle_root *root, struct stoq_error *err)
{
    struct stoq_stream *s = calloc(1, sizeof *s);
    if (s == NULL) {
        return stoq_fail(err, STOQ_NOMEM, 0, "no memory to open a stream");
    }
    s->store = store;
    s->root = *root;
    (void)pthread_mutex_init(&s->lock, NULL);
    stoq_buf_init(&s->shard_list, STOQ_RECORD_BYTES_MAX);
    enum stoq_status st = load_shard_list(s, err);
    if (st != STOQ_OK) {
        stoq_stream_close(s);
        return st;
    }
    *out = s;
    return STOQ_OK;
}

void stoq_stream_close(struct stoq_stream *s)
{
    if (s != NULL) {
        for (size_t i = 0; i < LISTS_KEPT; i++) {
            stoq_stream_list_drop(s->kept[i]);
        }
        (void)pthread_mutex_destroy(&s->lock);
        stoq_buf_release(&s->shard_list);
        free(s);
    }
}

void stoq_stream_set_bring(struct stoq_stream *s,
                           enum stoq_status (*bring)(void *user, uint64_t offset, bool is_missing,
                                                     struct stoq_error *err),
                           void *user)
{
    s->bring = bring;
    s->bring_user = user;
}

uint64_t stoq_stream_bytes(const struct stoq_stream *s)
{
    return s->root.bytes;
}

struct stoq_span stoq_stream_shard_list(const struct stoq_stream *s)
{
    return stoq_buf_span(&s->shard_list);
}

size_t stoq_stream_shard_count(const struct stoq_stream *s)
{
    return s->shard_list.n / STOQ_MERKLE_SHARD_ENTRY_BYTES;
}

enum stoq_status stoq_stream_chunk_list(const struct stoq_stream *s, size_t i, struct stoq_buf *out,
                                        struct stoq_error *err)
{
    if (i >= stoq_stream_shard_count(s)) {
        return stoq_fail(err, STOQ_RANGE, 0, "the stream has no shard %zu", i);
    }
    struct stoq_merkle_shard shard = stoq_merkle_shard_at(stoq_stream_shard_list(s), i);
    enum stoq_status st =
        stoq_store_read(s->store, STOQ_RECORD_CHUNK_LIST, key_of(&shard.root), 0, out, err);
    if (st != STOQ_OK) {
        stoq_error_prefix(err, "chunk list of shard %zu: ", i);
        return st;
    }
    st = stoq_merkle_check_chunk_list(&shard, STOQ_MERKLE_CHUNK_BYTES_MAX, stoq_buf_span(out));
    if (st != STOQ_OK) {
        return stoq_fail_code(err, STOQ_PROOF, "IntegrityCheckFailed",
                              "the chunk list of shard %zu does not belong to it", i);
    }
    return STOQ_OK;
}

void stoq_stream_list_drop(struct stoq_stream_list *list)
{
    if (list != NULL && atomic_fetch_sub(&list->refs, 1) == 1) {
        stoq_buf_release(&list->bytes);
        free(list);
    }
}

struct stoq_span stoq_stream_list_span(const struct stoq_stream_list *list)
{
    return stoq_buf_span(&list->bytes);
}

/* The kept one of shard i, with a reference for the caller; NULL: it is not kept. */
static struct stoq_stream_list *kept(struct stoq_stream *s, size_t i)
{
    (void)pthread_mutex_lock(&s->lock);
    struct stoq_stream_list *found = s->kept[i % LISTS_KEPT];
    found = found != NULL && found->shard == i ? found : NULL;
    if (found != NULL) {
        atomic_fetch_add(&found->refs, 1);
    }
    (void)pthread_mutex_unlock(&s->lock);
    return found;
}

/* In the place of another one, or of the same one that somebody else has kept meanwhile. */
static void keep(struct stoq_stream *s, struct stoq_stream_list *list)
{
    struct stoq_stream_list **place = &s->kept[list->shard % LISTS_KEPT];
    atomic_fetch_add(&list->refs, 1);
    (void)pthread_mutex_lock(&s->lock);
    struct stoq_stream_list *was = *place;
    *place = list;
    (void)pthread_mutex_unlock(&s->lock);
    stoq_stream_list_drop(was);
}

enum stoq_status stoq_stream_list_take(struct stoq_stream *s, size_t i,
                                       struct stoq_stream_list **out, struct stoq_error *err)
{
    struct stoq_stream_list *list = kept(s, i);
    if (list != NULL) {
        *out = list;
        return STOQ_OK;
    }
    list = calloc(1, sizeof *list);
    if (list == NULL) {
        return stoq_fail(err, STOQ_NOMEM, 0, "no memory for a chunk list");
    }
    atomic_init(&list->refs, 1);
    list->shard = i;
    stoq_buf_init(&list->bytes,
                  (size_t)STOQ_MERKLE_SHARD_CHUNKS_MAX * STOQ_MERKLE_CHUNK_ENTRY_BYTES);
    enum stoq_status st = stoq_stream_chunk_list(s, i, &list->bytes, err);
    if (st != STOQ_OK) {
        stoq_stream_list_drop(list);
        return st;
    }
    keep(s, list);
    *out = list;
    return STOQ_OK;
}

enum stoq_status stoq_cursor_new(struct stoq_cursor **out, struct stoq_stream *stream)
{
    struct stoq_cursor *c = calloc(1, sizeof *c);
    if (c == NULL) {
        return STOQ_NOMEM;
    }
    c->stream = stream;
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
    if (offset > c->stream->root.bytes) {
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
    struct stoq_span list = stoq_buf_span(&c->stream->shard_list);
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
    enum stoq_status st = stoq_stream_chunk_list(c->stream, i, &c->list, err);
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
    enum stoq_status st = stoq_store_read(c->stream->store, STOQ_RECORD_CHUNK, key_of(&chunk.hash),
                                          STOQ_STORE_VERIFY, &c->bytes, err);
    if (st == STOQ_OK && c->bytes.n != chunk.bytes) {
        st = stoq_fail_code(err, STOQ_PROOF, "IntegrityCheckFailed", "wrong length");
    }
    if (st != STOQ_OK) {
        stoq_error_prefix(err, "chunk %zu of shard %zu: ", i, c->shard);
        return st;
    }
    c->chunk = i;
    c->chunk_offset = at;
    return STOQ_OK;
}

static enum stoq_status load(struct stoq_cursor *c, struct stoq_error *err)
{
    enum stoq_status st = load_shard(c, err);
    return st == STOQ_OK ? load_chunk(c, err) : st;
}

/* The same where what is missing can be brought. When a damaged chunk cannot be had anew, the damage is
 * what is said. */
static enum stoq_status load_or_bring(struct stoq_cursor *c, struct stoq_error *err)
{
    struct stoq_stream *s = c->stream;
    struct stoq_error other = {0};
    enum stoq_status st = s->bring(s->bring_user, c->offset, false, err);
    if (st == STOQ_OK) {
        st = load(c, err);
    }
    /* Again when it came between the look and the question, and once more when it had to be fetched. */
    for (int i = 0; i < BRINGS_MAX && (st == STOQ_NOTFOUND || st == STOQ_PROOF); i++) {
        enum stoq_status brought = s->bring(s->bring_user, c->offset, true, &other);
        if (brought == STOQ_OK) {
            st = load(c, err);
            continue;
        }
        if (st == STOQ_NOTFOUND && err != NULL) {
            *err = other;
        }
        return st == STOQ_NOTFOUND ? brought : st;
    }
    return st;
}

enum stoq_status stoq_cursor_next(struct stoq_cursor *c, size_t n_max, struct stoq_span *out,
                                  struct stoq_error *err)
{
    if (c->offset == c->stream->root.bytes) {
        *out = stoq_span(NULL, 0);
        return STOQ_OK;
    }
    enum stoq_status st = c->stream->bring == NULL ? load(c, err) : load_or_bring(c, err);
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
