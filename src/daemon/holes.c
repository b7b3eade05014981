#include "daemon/holes.h"

#include "store/store.h"

#include <stdlib.h>
#include <string.h>

#define PATHS_BYTES_MAX ((size_t)STOQ_HOLES_PATHS_MAX * 4097)
#define ASK_CHUNKS 64 /* of one question to the index */

void stoq_stretches_add(struct stoq_stretches *s, uint64_t from, uint64_t bytes)
{
    size_t i = s->count;
    while (i > 0 && s->at[i - 1].from > from) {
        i--; /* most come in order */
    }
    if (i > 0 && (s->at[i - 1].to >= from || s->count == STOQ_HOLES_STRETCHES_MAX)) {
        uint64_t to = from + bytes;
        s->at[i - 1].to = to > s->at[i - 1].to ? to : s->at[i - 1].to;
        return;
    }
    if (s->count == STOQ_HOLES_STRETCHES_MAX) {
        s->at[0].from = from;
        return;
    }
    memmove(&s->at[i + 1], &s->at[i], (s->count - i) * sizeof s->at[0]);
    s->at[i] = (struct stoq_bytes_from){from, from + bytes};
    s->count++;
}

void stoq_holes_init(struct stoq_holes *h)
{
    memset(h, 0, sizeof *h);
    stoq_buf_init(&h->paths, PATHS_BYTES_MAX);
}

void stoq_holes_release(struct stoq_holes *h)
{
    stoq_buf_release(&h->paths);
}

static void holes_clear(struct stoq_holes *h)
{
    stoq_buf_clear(&h->paths);
    h->chunks = 0;
    h->bytes = 0;
    h->metadata = false;
    h->files = 0;
    h->where.count = 0;
}

static void add_hole(struct stoq_holes *h, uint64_t chunks, uint64_t from, uint64_t bytes)
{
    h->chunks += chunks;
    h->bytes += bytes;
    stoq_stretches_add(&h->where, from, bytes);
}

/* Ask for the chunks of one list; *offset moves past them. */
static enum stoq_status look_through(struct stoq_store *store, struct stoq_span list,
                                     uint64_t *offset, struct stoq_holes *h, struct stoq_error *err)
{
    size_t count = list.n / STOQ_MERKLE_CHUNK_ENTRY_BYTES;
    uint8_t keys[ASK_CHUNKS * 32];
    uint8_t bits[ASK_CHUNKS / 8];
    for (size_t first = 0; first < count; first += ASK_CHUNKS) {
        size_t n = count - first < ASK_CHUNKS ? count - first : ASK_CHUNKS;
        for (size_t i = 0; i < n; i++) {
            memcpy(keys + 32 * i, list.p + (first + i) * STOQ_MERKLE_CHUNK_ENTRY_BYTES, 32);
        }
        enum stoq_status st =
            stoq_store_has_many(store, STOQ_RECORD_CHUNK, stoq_span(keys, 32 * n), n, bits, err);
        if (st != STOQ_OK) {
            return st;
        }
        for (size_t i = 0; i < n; i++) {
            uint32_t bytes = stoq_merkle_chunk_at(list, first + i).bytes;
            if ((bits[i / 8] >> (i & 7) & 1) == 0) {
                add_hole(h, 1, *offset, bytes);
            }
            *offset += bytes;
        }
    }
    return STOQ_OK;
}

static bool is_gone(enum stoq_status st)
{
    return st == STOQ_NOTFOUND || st == STOQ_PROOF;
}

static enum stoq_status look_through_stream(struct stoq_store *store,
                                            const struct stoq_stream *stream,
                                            bool (*stop)(void *user), void *user,
                                            struct stoq_holes *h, struct stoq_error *err)
{
    struct stoq_buf list;
    uint64_t offset = 0;
    enum stoq_status st = STOQ_OK;
    size_t count = stoq_stream_shard_count(stream);
    stoq_buf_init(&list, (size_t)STOQ_MERKLE_SHARD_CHUNKS_MAX * STOQ_MERKLE_CHUNK_ENTRY_BYTES);
    for (size_t i = 0; st == STOQ_OK && i < count; i++) {
        if (stop != NULL && stop(user)) {
            st = stoq_fail(err, STOQ_CANCELLED, 0, "interrupted");
            break;
        }
        st = stoq_stream_chunk_list(stream, i, &list, err);
        if (st == STOQ_OK) {
            st = look_through(store, stoq_buf_span(&list), &offset, h, err);
        } else if (is_gone(st)) {
            struct stoq_merkle_shard shard =
                stoq_merkle_shard_at(stoq_stream_shard_list(stream), i);
            h->metadata = true;
            add_hole(h, shard.chunks, offset, shard.bytes);
            offset += shard.bytes;
            st = STOQ_OK;
        }
    }
    stoq_buf_release(&list);
    return st;
}

struct naming {
    struct stoq_holes *h;
    size_t named;
    size_t at; /* stretches before it lie before the entry */
};

static enum stoq_status name_file(void *user, const struct stoq_entry *entry, uint64_t offset,
                                  struct stoq_error *err)
{
    static const uint8_t nul = 0;
    struct naming *n = user;
    const struct stoq_stretches *w = &n->h->where;
    if (entry->kind == STOQ_ENTRY_DIRECTORY || entry->kind == STOQ_ENTRY_LINK || entry->size == 0) {
        return STOQ_OK;
    }
    while (n->at < w->count && w->at[n->at].to <= offset) {
        n->at++;
    }
    if (n->at == w->count || w->at[n->at].from >= offset + entry->size) {
        return STOQ_OK;
    }
    n->h->files++;
    if (n->named < STOQ_HOLES_PATHS_MAX && n->h->paths.n + entry->path.n < PATHS_BYTES_MAX &&
        stoq_buf_add(&n->h->paths, entry->path) == STOQ_OK &&
        stoq_buf_add(&n->h->paths, stoq_span(&nul, 1)) == STOQ_OK) {
        n->named++;
    }
    return STOQ_OK;
}

void stoq_holes_name_files(struct stoq_held *held, struct stoq_holes *h)
{
    struct naming n = {.h = h};
    /* The table itself may have the hole: then it names those before it. */
    enum stoq_status st = stoq_held_each_entry(held, name_file, &n, NULL);
    (void)st;
}

enum stoq_status stoq_holes_of_package(struct stoq_store *store, const struct stoq_package_id *id,
                                       bool (*stop)(void *user), void *user, struct stoq_holes *h,
                                       struct stoq_error *err)
{
    struct stoq_held *held = NULL;
    holes_clear(h);
    enum stoq_status st = stoq_held_open(&held, store, id, err);
    if (is_gone(st)) {
        h->metadata = true;
        return STOQ_OK;
    }
    if (st == STOQ_OK) {
        st = look_through_stream(store, stoq_held_stream(held), stop, user, h, err);
    }
    if (st == STOQ_OK && stoq_holes_any(h)) {
        stoq_holes_name_files(held, h);
    }
    stoq_held_close(held);
    return st;
}

enum stoq_status stoq_holes_of_content(struct stoq_store *store, const struct stoq_content *content,
                                       bool (*stop)(void *user), void *user, struct stoq_holes *h,
                                       struct stoq_error *err)
{
    struct stoq_stream *stream = NULL;
    holes_clear(h);
    enum stoq_status st = stoq_stream_open(&stream, store, &content->root, err);
    if (is_gone(st)) {
        h->metadata = true;
        return STOQ_OK;
    }
    if (st == STOQ_OK) {
        st = look_through_stream(store, stream, stop, user, h, err);
    }
    stoq_stream_close(stream);
    return st;
}
