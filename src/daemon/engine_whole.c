/*
 * Chunks that are asked for otherwise than by their index: by their hashes, and all but those that the asker
 * has, behind the metadata if it wants them too (docs/PROTOCOL.md, Request and PackageDownload). On a worker,
 * once: all of it becomes ranges of chunks, which are served like any others.
 */
#include "daemon/engine_internal.h"

#include <stdlib.h>
#include <string.h>

#define HASH_BYTES sizeof(struct stoq_hash)

/* A chunk that was asked for by its hash, and where in the answer it stands. */
struct wanted {
    struct stoq_hash hash;
    uint32_t at;
};

static enum stoq_status no_memory(struct inbound *in)
{
    return stoq_fail(&in->err, STOQ_NOMEM, 0, "no memory for the answer");
}

/* Ranges of what lies between those that are held. */
static enum stoq_status take_rest(struct inbound *in, uint64_t chunks)
{
    struct stoq_range *rest = calloc((size_t)in->range_count + 1, sizeof *rest);
    uint64_t at = 0;
    uint64_t total = 0;
    uint32_t n = 0;
    if (rest == NULL) {
        return no_memory(in);
    }
    for (uint32_t i = 0; i <= in->range_count; i++) {
        const struct stoq_range *held = i < in->range_count ? &in->ranges[i] : NULL;
        uint64_t first = held != NULL ? held->first : chunks;
        uint64_t end = held != NULL ? held->first + held->count : chunks;
        if (end > chunks || first < at || first - at > UINT32_MAX - total) {
            free(rest);
            return stoq_fail(&in->err, STOQ_RANGE, 0, "the package has %llu chunks",
                             (unsigned long long)chunks);
        }
        if (first > at) {
            rest[n++] = (struct stoq_range){at, (uint32_t)(first - at)};
            total += first - at;
        }
        at = end;
    }
    free(in->ranges);
    in->ranges = rest;
    in->range_count = n;
    in->chunk_count = (uint32_t)total;
    return STOQ_OK;
}

static int by_hash(const void *a, const void *b)
{
    return memcmp(a, b, HASH_BYTES);
}

/* Those of the chunk at index get it. How many. */
static uint32_t settle(struct inbound *in, const struct wanted *v, size_t n, const uint8_t *hash,
                       uint64_t index)
{
    const struct wanted *w = bsearch(hash, v, n, sizeof *v, by_hash);
    uint32_t found = 0;
    while (w != NULL && w > v && memcmp(w[-1].hash.b, hash, HASH_BYTES) == 0) {
        w--;
    }
    for (; w != NULL && w < v + n && memcmp(w->hash.b, hash, HASH_BYTES) == 0; w++) {
        if (in->ranges[w->at].first == ENGINE_NO_CHUNK) {
            in->ranges[w->at].first = index;
            found++;
        }
    }
    return found;
}

/* Look through the lists until all are found. What the store lacks is not looked for. */
static enum stoq_status find_all(struct inbound *in, const struct stoq_held *held, struct wanted *v,
                                 size_t n)
{
    struct stoq_span shards = stoq_held_shard_list(held);
    size_t left = n;
    uint64_t index = 0;
    for (size_t s = 0; s < stoq_held_shard_count(held) && left > 0; s++) {
        struct stoq_stream_list *list = NULL;
        enum stoq_status st = stoq_stream_list_take(stoq_held_stream(held), s, &list, &in->err);
        struct stoq_span entries = st == STOQ_OK ? stoq_stream_list_span(list) : stoq_span(NULL, 0);
        if (st != STOQ_OK && st != STOQ_NOTFOUND) { /* not found: it is being fetched here */
            return st;
        }
        for (size_t i = 0; i < entries.n / STOQ_MERKLE_CHUNK_ENTRY_BYTES && left > 0; i++) {
            left -= settle(in, v, n, entries.p + i * STOQ_MERKLE_CHUNK_ENTRY_BYTES, index + i);
        }
        stoq_stream_list_drop(list);
        index += stoq_merkle_shard_at(shards, s).chunks;
    }
    return STOQ_OK;
}

static enum stoq_status take_hashes(struct inbound *in, const struct stoq_held *held)
{
    uint32_t n = in->chunk_count;
    struct wanted *v = calloc(n, sizeof *v);
    uint8_t here[STOQ_REQUEST_HASHES_MAX / 8];
    size_t count = 0;
    free(in->ranges);
    in->ranges = calloc(n, sizeof *in->ranges);
    in->range_count = n;
    if (v == NULL || in->ranges == NULL) {
        in->range_count = 0;
        free(v);
        return no_memory(in);
    }
    memset(here, 0, sizeof here);
    enum stoq_status st =
        stoq_store_has_many(in->engine->cfg.store, STOQ_RECORD_CHUNK,
                            stoq_span(in->hashes, n * HASH_BYTES), n, here, &in->err);
    for (uint32_t i = 0; i < n; i++) {
        in->ranges[i] = (struct stoq_range){ENGINE_NO_CHUNK, 1};
        if ((here[i / 8] >> (i & 7) & 1) != 0) {
            memcpy(v[count].hash.b, in->hashes + i * HASH_BYTES, HASH_BYTES);
            v[count++].at = i;
        }
    }
    if (st == STOQ_OK && count > 0) {
        qsort(v, count, sizeof *v, by_hash);
        st = find_all(in, held, v, count);
    }
    free(v);
    return st;
}

static enum stoq_status add_framed(struct stoq_buf *out, struct stoq_span s)
{
    uint8_t head[4];
    stoq_le32_put(head, (uint32_t)s.n);
    enum stoq_status st = stoq_buf_add(out, stoq_span(head, sizeof head));
    return st == STOQ_OK ? stoq_buf_add(out, s) : st;
}

static enum stoq_status add_metadata(struct inbound *in, const struct stoq_held *held)
{
    struct stoq_buf signatures;
    stoq_buf_init(&signatures, STOQ_META_BYTES_MAX);
    (void)engine_signatures(in->engine->cfg.store, &in->id.h, &signatures);
    in->meta.max = ENGINE_WHOLE_META_MAX;
    enum stoq_status st = add_framed(&in->meta, stoq_held_manifest_bytes(held));
    if (st == STOQ_OK) {
        st = add_framed(&in->meta, stoq_buf_span(&signatures));
    }
    if (st == STOQ_OK) {
        st = stoq_buf_add(&in->meta, stoq_held_shard_list(held));
    }
    for (size_t i = 0; st == STOQ_OK && i < stoq_held_shard_count(held); i++) {
        st = stoq_held_add_list(held, i, &in->meta, &in->err);
    }
    stoq_buf_release(&signatures);
    if (st == STOQ_FULL) {
        (void)stoq_fail(&in->err, st, 0, "its metadata pass %u bytes: ask for them one by one",
                        ENGINE_WHOLE_META_MAX);
    }
    return st;
}

enum stoq_status engine_whole_prepare(struct inbound *in, const struct stoq_held *held)
{
    enum stoq_status st = in->hashes != NULL ? take_hashes(in, held)
                                             : take_rest(in, stoq_held_manifest(held)->chunks);
    if (st == STOQ_OK && in->kind == STOQ_META_PACKAGE) {
        st = add_metadata(in, held);
    }
    return st;
}
