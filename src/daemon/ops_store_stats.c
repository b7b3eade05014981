/* store stats: what the store holds, and what sharing and compression saved of it, with the reason. */
#include "daemon/ops_internal.h"

#include "daemon/content.h"
#include "daemon/keeper.h"

#include <stdio.h>
#include <string.h>

struct totals {
    uint64_t packages; /* complete ones */
    uint64_t contents;
    uint64_t bytes;             /* of their streams, each for itself */
    uint64_t chunks_compressed; /* stored as a zstd frame */
    uint64_t compressed_raw_bytes;
    uint64_t compressed_stored_bytes;
};

static bool add_package(void *user, const struct stoq_local_package *p)
{
    struct totals *t = user;
    if (p->complete) {
        t->packages++;
        t->bytes += p->manifest->bytes;
    }
    return true;
}

static bool add_content(void *user, const struct stoq_content *c)
{
    struct totals *t = user;
    t->contents++;
    t->bytes += c->root.bytes;
    return true;
}

static bool add_chunk(void *user, struct stoq_span key, struct stoq_stored info)
{
    struct totals *t = user;
    if ((info.flags & STOQ_STORED_ZSTD) != 0) {
        t->chunks_compressed++;
        t->compressed_raw_bytes += info.raw_len;
        t->compressed_stored_bytes += info.stored_len;
    }
    return true;
}

static json_t *records_to_json(const struct stoq_store_stats *s)
{
    static const char *const name[STOQ_RECORD_TYPES] = {
        [STOQ_RECORD_CHUNK] = "chunk",           [STOQ_RECORD_MANIFEST] = "manifest",
        [STOQ_RECORD_SHARD_LIST] = "shard_list", [STOQ_RECORD_CHUNK_LIST] = "chunk_list",
        [STOQ_RECORD_SIGNATURE] = "signature",   [STOQ_RECORD_TOMBSTONE] = "tombstone",
        [STOQ_RECORD_ALIAS] = "alias",           [STOQ_RECORD_PACKAGE] = "package",
        [STOQ_RECORD_CONTENT] = "content",       [STOQ_RECORD_RECEIPT] = "receipt",
    };
    json_t *all = json_object();
    for (size_t i = 0; i < STOQ_RECORD_TYPES; i++) {
        const struct stoq_store_type_stats *t = &s->type[i];
        if (name[i] != NULL || t->records > 0) {
            char number[16];
            (void)snprintf(number, sizeof number, "type_%zu", i);
            (void)json_object_set_new(
                all, name[i] != NULL ? name[i] : number,
                json_pack("{s:I, s:I, s:I}", "records", (json_int_t)t->records, "bytes",
                          (json_int_t)t->raw_bytes, "bytes_stored", (json_int_t)t->stored_bytes));
        }
    }
    return all;
}

static uint64_t live_bytes(const struct stoq_store_stats *s)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < STOQ_RECORD_TYPES; i++) {
        sum += s->type[i].stored_bytes;
    }
    return sum;
}

static json_t *why_to_json(const struct totals *t, const struct stoq_store_type_stats *chunks)
{
    char dedup[200];
    char zstd[200];
    (void)snprintf(
        dedup, sizeof dedup,
        "%llu packages and %llu contents have %llu bytes; chunks that are equal are kept "
        "once, which leaves %llu bytes",
        (unsigned long long)t->packages, (unsigned long long)t->contents,
        (unsigned long long)t->bytes, (unsigned long long)chunks->raw_bytes);
    (void)snprintf(
        zstd, sizeof zstd,
        "%llu of %llu chunks are compressed, %llu bytes to %llu; of the others the first "
        "4 KiB shrink by less than 1/8, or all of it did not",
        (unsigned long long)t->chunks_compressed, (unsigned long long)chunks->records,
        (unsigned long long)t->compressed_raw_bytes,
        (unsigned long long)t->compressed_stored_bytes);
    return json_pack("{s:s, s:s}", "dedup", dedup, "zstd", zstd);
}

static json_t *to_json(const struct totals *t, const struct stoq_store_stats *s)
{
    const struct stoq_store_type_stats *chunks = &s->type[STOQ_RECORD_CHUNK];
    uint64_t dedup = t->bytes > chunks->raw_bytes ? t->bytes - chunks->raw_bytes : 0;
    json_t *saved = json_pack("{s:I, s:I}", "dedup_bytes", (json_int_t)dedup, "zstd_bytes",
                              (json_int_t)(chunks->raw_bytes - chunks->stored_bytes));
    json_t *since = json_pack(
        "{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "dedup_hits", (json_int_t)s->dedup_hits,
        "dedup_bytes", (json_int_t)s->dedup_bytes, "zstd_saved_bytes",
        (json_int_t)s->zstd_saved_bytes, "appended_bytes", (json_int_t)s->appended_bytes, "syncs",
        (json_int_t)s->syncs, "fsync_failures", (json_int_t)s->fsync_failures, "quarantined",
        (json_int_t)s->quarantined, "forgotten_bytes", (json_int_t)s->forgotten_bytes);
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o, s:o, s:I, s:I, s:I, s:I, s:o, s:o}",
                     "packages", (json_int_t)t->packages, "contents", (json_int_t)t->contents,
                     "content_bytes", (json_int_t)t->bytes, "chunks", (json_int_t)chunks->records,
                     "chunk_bytes", (json_int_t)chunks->raw_bytes, "chunk_bytes_stored",
                     (json_int_t)chunks->stored_bytes, "chunks_compressed",
                     (json_int_t)t->chunks_compressed, "saved", saved, "why",
                     why_to_json(t, chunks), "segments", (json_int_t)s->segment_count,
                     "segment_bytes", (json_int_t)s->segment_bytes, "segment_bytes_live",
                     (json_int_t)live_bytes(s), "index_bytes", (json_int_t)s->index_bytes,
                     "records", records_to_json(s), "since_open", since);
}

static bool add_room(struct stoq_host *host, json_t *o)
{
    struct stoq_keeper_status k;
    stoq_keeper_status(stoq_host_keeper(host), &k);
    return stoq_json_set_u64(o, "quota_bytes", k.quota_bytes) &&
           stoq_json_set_u64(o, "quota_used_bytes", k.used_bytes) &&
           stoq_json_set_u64(o, "quota_high_bytes", k.high_bytes) &&
           stoq_json_set_u64(o, "quota_low_bytes", k.low_bytes);
}

enum stoq_status op_store_stats(struct stoq_host *host, const json_t *args, struct stoq_op_io *io,
                                json_t **result, struct stoq_error *err)
{
    struct stoq_store *store = stoq_host_store(host);
    struct totals t = {0};
    struct stoq_store_stats s;
    enum stoq_status st = stoq_local_each(store, add_package, &t, NULL, err);
    if (st == STOQ_OK) {
        st = stoq_content_each(store, add_content, &t, NULL, err);
    }
    if (st == STOQ_OK) {
        st = stoq_store_each(store, STOQ_RECORD_CHUNK, add_chunk, &t, err);
    }
    if (st == STOQ_OK) {
        st = stoq_store_stats(store, &s, err);
    }
    if (st == STOQ_OK) {
        *result = to_json(&t, &s);
        st = *result != NULL && add_room(host, *result)
                 ? STOQ_OK
                 : stoq_fail(err, STOQ_NOMEM, 0, "no memory for the figures");
    }
    return st;
}
