/*
 * Three walks over the packages' chunk lists, which are a two-thousandth of the content. The first
 * gathers what the receiver lacks into a sorted array of hash prefixes, one per distinct chunk. The
 * second marks each of them at the first place it is needed and adds up, package by package, so that
 * header and index stand in front with true numbers. The third writes: a chunk at its mark's first
 * place, none twice.
 *
 * So the header's length is known before the first chunk is read, and a bundle that comes out shorter
 * or longer (something was removed meanwhile) is refused here already.
 */
#include "daemon/export.h"
#include "daemon/beat.h"

#include <stdlib.h>
#include <string.h>

#include "daemon/export_parts.h"
#include "daemon/held.h"
#include "hash/hash.h"
#include "os/sys.h"
#include "sign/sign.h"

#define HASH_BYTES 32u
#define PREFIX_BYTES 16u
#define SIGNATURE_KEY_BYTES 64u
#define OUT_BYTES ((size_t)1 << 20) /* heads are small, writes should not be */
/* Prefixes of 2^26 chunks, some 4 TiB, and as many signatures. */
#define GATHERED_BYTES_MAX ((size_t)1 << 30)

struct package {
    struct stoq_package_id id;
    struct stoq_buf entry; /* its CBOR */
};

struct export
{
    struct stoq_store *store;
    const struct stoq_export_ask *ask;
    struct stoq_export_report *report;
    struct package *packages;
    size_t package_count;
    struct stoq_buf signatures; /* keys of these packages' signatures, ascending */
    size_t signature_at;        /* the next one in this walk */
    enum stoq_status status;    /* of a gathering callback */
    struct stoq_buf prefixes;   /* of the chunks to carry, ascending once the first walk is done */
    uint8_t *marks;             /* one byte per prefix: met in this walk */
    struct stoq_export_parts *parts; /* NULL: the receiver has nothing */
    struct stoq_held *held;          /* the package of the walk */
    struct stoq_bundle_entry entry;
    struct stoq_buf list;
    struct stoq_buf payload;
    struct stoq_buf out;
    struct stoq_hasher hasher;
    uint64_t bytes; /* written, or in out */
    struct stoq_bundle_header header;
    stoq_ns reported_at;
    struct stoq_error *err;
};

static enum stoq_status look_up(struct export *x)
{
    if (!stoq_beat(&x->reported_at)) {
        return STOQ_OK;
    }
    if (x->ask->progress != NULL) {
        const struct stoq_export_progress p = {.bytes_total = x->header.bytes,
                                               .bytes_done = x->bytes};
        x->ask->progress(x->ask->user, &p);
    }
    return stoq_go_on(x->ask->cancelled, x->ask->user, x->err);
}

static enum stoq_status fail_memory(struct export *x, enum stoq_status st)
{
    return stoq_fail(x->err, st, 0, "%s",
                     st == STOQ_FULL ? "more chunks than one bundle can carry (2^26)"
                                     : "no memory to export");
}

static int id_cmp(const void *a, const void *b)
{
    return memcmp(a, b, HASH_BYTES);
}

static int prefix_cmp(const void *a, const void *b)
{
    return memcmp(a, b, PREFIX_BYTES);
}

/* What each of the walks does with what the receiver lacks. */
struct walk {
    enum stoq_status (*begin)(struct export *x); /* a package */
    enum stoq_status (*shard)(struct export *x, const struct stoq_merkle_shard *shard);
    enum stoq_status (*chunk)(struct export *x, const struct stoq_merkle_chunk *chunk);
    enum stoq_status (*end)(struct export *x, struct package *p);
};

static enum stoq_status walk_shard(struct export *x, const struct walk *w, size_t i)
{
    struct stoq_merkle_shard shard = stoq_merkle_shard_at(stoq_held_shard_list(x->held), i);
    const struct stoq_have *have = x->ask->have;
    if (have != NULL && stoq_have_shard(have, &shard.root)) {
        x->entry.chunks_assumed += shard.chunks;
        return STOQ_OK;
    }
    enum stoq_status st = stoq_held_chunk_list(x->held, i, &x->list, x->err);
    if (st == STOQ_OK && w->shard != NULL) {
        st = w->shard(x, &shard);
    }
    size_t n = x->list.n / STOQ_MERKLE_CHUNK_ENTRY_BYTES;
    for (size_t k = 0; st == STOQ_OK && k < n; k++) {
        struct stoq_merkle_chunk chunk = stoq_merkle_chunk_at(stoq_buf_span(&x->list), k);
        if (have != NULL && stoq_have_chunk(have, &chunk.hash)) {
            x->entry.chunks_assumed++;
        } else {
            st = w->chunk(x, &chunk);
        }
        if (st == STOQ_NOTFOUND || st == STOQ_PROOF) {
            stoq_error_prefix(x->err, "chunk %zu of shard %zu: ", k, i);
        }
    }
    return st == STOQ_OK ? look_up(x) : st;
}

static enum stoq_status walk_package(struct export *x, const struct walk *w, struct package *p)
{
    enum stoq_status st = stoq_held_open(&x->held, x->store, &p->id, x->err);
    if (st != STOQ_OK) {
        return st;
    }
    const struct stoq_manifest *m = stoq_held_manifest(x->held);
    x->entry = (struct stoq_bundle_entry){.id = p->id,
                                          .name = m->name,
                                          .version = m->version,
                                          .bytes = m->bytes,
                                          .chunks = m->chunks};
    st = w->begin != NULL ? w->begin(x) : STOQ_OK;
    size_t count = stoq_held_shard_count(x->held);
    for (size_t i = 0; st == STOQ_OK && i < count; i++) {
        st = walk_shard(x, w, i);
    }
    if (st == STOQ_OK && w->end != NULL) {
        st = w->end(x, p);
    }
    stoq_held_close(x->held);
    x->held = NULL;
    return st;
}

static enum stoq_status walk_all(struct export *x, const struct walk *w)
{
    enum stoq_status st = STOQ_OK;
    x->signature_at = 0;
    for (size_t i = 0; st == STOQ_OK && i < x->package_count; i++) {
        st = walk_package(x, w, &x->packages[i]);
    }
    return st;
}

/* --- the first walk --- */

static enum stoq_status gather_chunk(struct export *x, const struct stoq_merkle_chunk *chunk)
{
    enum stoq_status st = stoq_buf_add(&x->prefixes, stoq_span(chunk->hash.b, PREFIX_BYTES));
    return st == STOQ_OK ? st : fail_memory(x, st);
}

static enum stoq_status gather(struct export *x)
{
    const struct walk w = {.chunk = gather_chunk};
    enum stoq_status st = walk_all(x, &w);
    if (st != STOQ_OK) {
        return st;
    }
    uint8_t *p = x->prefixes.p;
    size_t count = x->prefixes.n / PREFIX_BYTES;
    size_t kept = 0;
    if (count > 1) {
        qsort(p, count, PREFIX_BYTES, prefix_cmp);
    }
    for (size_t i = 0; i < count; i++) {
        if (kept == 0 || prefix_cmp(p + (kept - 1) * PREFIX_BYTES, p + i * PREFIX_BYTES) != 0) {
            memmove(p + kept++ * PREFIX_BYTES, p + i * PREFIX_BYTES, PREFIX_BYTES);
        }
    }
    x->prefixes.n = kept * PREFIX_BYTES;
    x->marks = calloc(kept > 0 ? kept : 1, 1);
    return x->marks == NULL ? fail_memory(x, STOQ_NOMEM) : STOQ_OK;
}

/* Is this the first place of the chunk in this walk? */
static bool mark(struct export *x, const struct stoq_hash *hash)
{
    const uint8_t *found =
        bsearch(hash->b, x->prefixes.p, x->prefixes.n / PREFIX_BYTES, PREFIX_BYTES, prefix_cmp);
    STOQ_ASSERT(found != NULL); /* the lists were hashed: every walk sees the same ones */
    size_t i = (size_t)(found - x->prefixes.p) / PREFIX_BYTES;
    bool first = x->marks[i] == 0;
    x->marks[i] = 1;
    return first;
}

static bool gather_signature(void *user, struct stoq_span key, struct stoq_stored info)
{
    struct export *x = user;
    (void)info;
    if (key.n == SIGNATURE_KEY_BYTES &&
        bsearch(key.p, x->packages, x->package_count, sizeof *x->packages, id_cmp) != NULL) {
        x->status = stoq_buf_add(&x->signatures, key);
    }
    return x->status == STOQ_OK;
}

/* Is it good? A bad one would have the whole bundle refused. */
static bool signature_is_good(struct export *x, const uint8_t *key)
{
    struct stoq_hash id;
    struct stoq_key_id signer;
    memcpy(id.b, key, HASH_BYTES);
    struct stoq_span k = stoq_span(key, SIGNATURE_KEY_BYTES);
    return stoq_store_read(x->store, STOQ_RECORD_SIGNATURE, k, 0, &x->payload, NULL) == STOQ_OK &&
           stoq_sign_verify(stoq_buf_span(&x->payload), STOQ_SIGN_PACKAGE, &id, &signer) ==
               STOQ_OK &&
           memcmp(signer.h.b, key + HASH_BYTES, HASH_BYTES) == 0;
}

/* The keys of the packages' good signatures, ascending, so in the order of the packages. */
static enum stoq_status gather_signatures(struct export *x)
{
    enum stoq_status st =
        stoq_store_each(x->store, STOQ_RECORD_SIGNATURE, gather_signature, x, x->err);
    if (st == STOQ_OK && x->status != STOQ_OK) {
        return fail_memory(x, x->status);
    }
    size_t kept = 0;
    for (size_t at = 0; at < x->signatures.n; at += SIGNATURE_KEY_BYTES) {
        if (signature_is_good(x, x->signatures.p + at)) {
            memmove(x->signatures.p + kept, x->signatures.p + at, SIGNATURE_KEY_BYTES);
            kept += SIGNATURE_KEY_BYTES;
        }
    }
    x->signatures.n = kept;
    return st;
}

/* The next signature of this package in a walk; false: no more. */
static bool next_signature(struct export *x, struct stoq_span *key)
{
    const uint8_t *p = x->signatures.p + x->signature_at;
    if (x->signature_at == x->signatures.n || memcmp(p, x->entry.id.h.b, HASH_BYTES) != 0) {
        return false;
    }
    x->signature_at += SIGNATURE_KEY_BYTES;
    *key = stoq_span(p, SIGNATURE_KEY_BYTES);
    return true;
}

/* --- the second walk --- */

/* The open chunk list as it will be sent: by parts where that is shorter. */
static enum stoq_status form_list(struct export *x, enum stoq_bundle_type *type,
                                  struct stoq_span *payload)
{
    *type = STOQ_BUNDLE_CHUNK_LIST;
    *payload = stoq_buf_span(&x->list);
    if (x->parts == NULL) {
        return STOQ_OK;
    }
    enum stoq_status st = stoq_export_parts_of(x->parts, *payload, &x->payload);
    if (st == STOQ_OK) {
        *type = STOQ_BUNDLE_CHUNK_PARTS;
        *payload = stoq_buf_span(&x->payload);
    }
    return st == STOQ_NOMEM ? fail_memory(x, st) : STOQ_OK;
}

static enum stoq_status plan_shard(struct export *x, const struct stoq_merkle_shard *shard)
{
    enum stoq_bundle_type type;
    struct stoq_span payload;
    enum stoq_status st = form_list(x, &type, &payload);
    (void)shard;
    x->header.bytes += stoq_bundle_record_bytes(HASH_BYTES, payload.n);
    return st;
}

static enum stoq_status plan_chunk(struct export *x, const struct stoq_merkle_chunk *chunk)
{
    struct stoq_stored info;
    if (!mark(x, &chunk->hash)) {
        return STOQ_OK;
    }
    enum stoq_status st = stoq_store_stat(x->store, STOQ_RECORD_CHUNK,
                                          stoq_span(chunk->hash.b, HASH_BYTES), &info, x->err);
    if (st == STOQ_OK) {
        x->entry.chunks_carried++;
        x->entry.stored_bytes += info.stored_len;
        x->header.bytes += stoq_bundle_record_bytes(HASH_BYTES, info.stored_len);
    }
    return st;
}

static enum stoq_status plan_signatures(struct export *x)
{
    enum stoq_status st = STOQ_OK;
    struct stoq_span key;
    while (st == STOQ_OK && next_signature(x, &key)) {
        struct stoq_stored info;
        st = stoq_store_stat(x->store, STOQ_RECORD_SIGNATURE, key, &info, x->err);
        x->header.bytes += stoq_bundle_record_bytes(SIGNATURE_KEY_BYTES, info.raw_len);
    }
    return st;
}

static enum stoq_status plan_end(struct export *x, struct package *p)
{
    enum stoq_status st = plan_signatures(x);
    if (st != STOQ_OK) {
        return st;
    }
    st = stoq_bundle_entry_encode(&x->entry, &p->entry);
    if (st != STOQ_OK) {
        return fail_memory(x, st);
    }
    x->header.bytes += stoq_bundle_record_bytes(HASH_BYTES, p->entry.n);
    x->header.bytes += stoq_bundle_record_bytes(HASH_BYTES, stoq_held_manifest_bytes(x->held).n);
    x->header.bytes += stoq_bundle_record_bytes(HASH_BYTES, stoq_held_shard_list(x->held).n);
    x->header.bytes += stoq_bundle_record_bytes(HASH_BYTES, 0);
    x->header.chunks += x->entry.chunks_carried;
    x->header.stored_bytes += x->entry.stored_bytes;
    x->header.chunks_assumed += x->entry.chunks_assumed;
    return STOQ_OK;
}

static enum stoq_status plan(struct export *x)
{
    const struct walk w = {.shard = plan_shard, .chunk = plan_chunk, .end = plan_end};
    x->header = (struct stoq_bundle_header){
        .packages = (uint32_t)x->package_count,
        .bytes = STOQ_BUNDLE_HEADER_BYTES + stoq_bundle_record_bytes(0, HASH_BYTES),
    };
    return walk_all(x, &w);
}

/* --- the third walk --- */

static enum stoq_status flush(struct export *x)
{
    enum stoq_status st = STOQ_OK;
    if (x->out.n > 0) {
        st = x->ask->sink(x->ask->sink_user, stoq_buf_span(&x->out), x->err);
        stoq_buf_clear(&x->out);
    }
    return st;
}

static enum stoq_status write_bytes(struct export *x, struct stoq_span s)
{
    enum stoq_status st = STOQ_OK;
    stoq_hasher_update(&x->hasher, s);
    x->bytes += s.n;
    if (s.n > OUT_BYTES - x->out.n) {
        st = flush(x);
    }
    if (st == STOQ_OK && s.n > OUT_BYTES) {
        return x->ask->sink(x->ask->sink_user, s, x->err);
    }
    if (st == STOQ_OK && s.n > 0) {
        st = stoq_buf_add(&x->out, s);
        return st == STOQ_OK ? st : fail_memory(x, st);
    }
    return st;
}

static enum stoq_status write_record(struct export *x, const struct stoq_bundle_record *rec)
{
    uint8_t head[STOQ_BUNDLE_HEAD_BYTES + STOQ_BUNDLE_KEY_MAX];
    size_t n = stoq_bundle_record_head(head, rec);
    enum stoq_status st = write_bytes(x, stoq_span(head, n));
    return st == STOQ_OK ? write_bytes(x, rec->stored) : st;
}

/* A record whose payload goes as it is. */
static enum stoq_status write_plain(struct export *x, enum stoq_bundle_type type,
                                    struct stoq_span key, struct stoq_span payload)
{
    const struct stoq_bundle_record rec = {
        .type = (uint8_t)type, .raw_len = (uint32_t)payload.n, .key = key, .stored = payload};
    return write_record(x, &rec);
}

static enum stoq_status write_signatures(struct export *x)
{
    enum stoq_status st = STOQ_OK;
    struct stoq_span key;
    while (st == STOQ_OK && next_signature(x, &key)) {
        st = stoq_store_read(x->store, STOQ_RECORD_SIGNATURE, key, 0, &x->payload, x->err);
        if (st == STOQ_OK) {
            st = write_plain(x, STOQ_BUNDLE_SIGNATURE, key, stoq_buf_span(&x->payload));
        }
    }
    return st;
}

static enum stoq_status write_begin(struct export *x)
{
    struct stoq_span id = stoq_span(x->entry.id.h.b, HASH_BYTES);
    struct stoq_span root = stoq_span(stoq_held_manifest(x->held)->root.b, HASH_BYTES);
    enum stoq_status st =
        write_plain(x, STOQ_BUNDLE_MANIFEST, id, stoq_held_manifest_bytes(x->held));
    if (st == STOQ_OK) {
        st = write_signatures(x);
    }
    if (st == STOQ_OK) {
        st = write_plain(x, STOQ_BUNDLE_SHARD_LIST, root, stoq_held_shard_list(x->held));
    }
    return st;
}

static enum stoq_status write_shard(struct export *x, const struct stoq_merkle_shard *shard)
{
    enum stoq_bundle_type type;
    struct stoq_span payload;
    enum stoq_status st = form_list(x, &type, &payload);
    return st == STOQ_OK ? write_plain(x, type, stoq_span(shard->root.b, HASH_BYTES), payload) : st;
}

static enum stoq_status write_chunk(struct export *x, const struct stoq_merkle_chunk *chunk)
{
    struct stoq_stored info;
    struct stoq_span key = stoq_span(chunk->hash.b, HASH_BYTES);
    if (!mark(x, &chunk->hash)) {
        return STOQ_OK;
    }
    enum stoq_status st = stoq_store_read_stored(x->store, STOQ_RECORD_CHUNK, key,
                                                 STOQ_STORE_VERIFY, &info, &x->payload, x->err);
    if (st != STOQ_OK) {
        return st;
    }
    const struct stoq_bundle_record rec = {
        .type = STOQ_BUNDLE_CHUNK,
        .flags = (info.flags & STOQ_STORED_ZSTD) != 0 ? STOQ_BUNDLE_ZSTD : 0,
        .raw_len = info.raw_len,
        .key = key,
        .stored = stoq_buf_span(&x->payload),
    };
    st = write_record(x, &rec);
    return st == STOQ_OK ? look_up(x) : st;
}

static enum stoq_status write_end(struct export *x, struct package *p)
{
    return write_plain(x, STOQ_BUNDLE_PACKAGE_END, stoq_span(p->id.h.b, HASH_BYTES),
                       stoq_span(NULL, 0));
}

static enum stoq_status write_index(struct export *x)
{
    uint8_t header[STOQ_BUNDLE_HEADER_BYTES];
    stoq_bundle_header_encode(header, &x->header);
    enum stoq_status st = write_bytes(x, stoq_span(header, sizeof header));
    for (size_t i = 0; st == STOQ_OK && i < x->package_count; i++) {
        struct package *p = &x->packages[i];
        st = write_plain(x, STOQ_BUNDLE_ENTRY, stoq_span(p->id.h.b, HASH_BYTES),
                         stoq_buf_span(&p->entry));
    }
    return st;
}

static enum stoq_status write_all(struct export *x)
{
    const struct walk w = {
        .begin = write_begin, .shard = write_shard, .chunk = write_chunk, .end = write_end};
    struct stoq_digest whole;
    memset(x->marks, 0, x->prefixes.n / PREFIX_BYTES);
    enum stoq_status st = stoq_hasher_init(&x->hasher, STOQ_HASH_BLAKE3);
    if (st == STOQ_OK) {
        st = stoq_buf_reserve(&x->out, OUT_BYTES);
    }
    if (st != STOQ_OK) {
        return fail_memory(x, STOQ_NOMEM);
    }
    st = write_index(x);
    if (st == STOQ_OK) {
        st = walk_all(x, &w);
    }
    if (st != STOQ_OK) {
        return st;
    }
    if (stoq_hasher_final(&x->hasher, &whole) != STOQ_OK) {
        return fail_memory(x, STOQ_NOMEM);
    }
    const struct stoq_bundle_record end = {
        .type = STOQ_BUNDLE_END, .raw_len = HASH_BYTES, .stored = stoq_digest_span(&whole)};
    uint8_t head[STOQ_BUNDLE_HEAD_BYTES + STOQ_BUNDLE_KEY_MAX];
    size_t n = stoq_bundle_record_head(head, &end);
    x->bytes += n + HASH_BYTES;
    if (x->bytes != x->header.bytes) {
        return stoq_fail(x->err, STOQ_BUSY, 0, "the store changed during the export; try again");
    }
    st = flush(x);
    if (st == STOQ_OK) {
        st = stoq_buf_add(&x->out, stoq_span(head, n));
    }
    if (st == STOQ_OK) {
        st = stoq_buf_add(&x->out, end.stored);
    }
    return st == STOQ_OK ? flush(x) : st;
}

/* --- */

static enum stoq_status take_ids(struct export *x)
{
    const struct stoq_export_ask *ask = x->ask;
    if (ask->id_count == 0 || ask->id_count > STOQ_BUNDLE_PACKAGES_MAX) {
        return stoq_fail(x->err, STOQ_RANGE, 0, "a bundle has 1 to %d packages",
                         STOQ_BUNDLE_PACKAGES_MAX);
    }
    struct stoq_package_id *sorted = calloc(ask->id_count, sizeof *sorted);
    x->packages = calloc(ask->id_count, sizeof *x->packages);
    if (sorted == NULL || x->packages == NULL) {
        free(sorted);
        return fail_memory(x, STOQ_NOMEM);
    }
    memcpy(sorted, ask->ids, ask->id_count * sizeof *sorted);
    qsort(sorted, ask->id_count, sizeof *sorted, id_cmp);
    for (size_t i = 0; i < ask->id_count; i++) {
        if (i == 0 || id_cmp(&sorted[i - 1], &sorted[i]) != 0) {
            x->packages[x->package_count].id = sorted[i];
            stoq_buf_init(&x->packages[x->package_count++].entry, STOQ_BUNDLE_ENTRY_BYTES_MAX);
        }
    }
    free(sorted);
    return STOQ_OK;
}

static enum stoq_status run(struct export *x)
{
    enum stoq_status st = take_ids(x);
    if (st == STOQ_OK) {
        st = gather(x);
    }
    if (st == STOQ_OK) {
        st = gather_signatures(x);
    }
    if (st == STOQ_OK && x->ask->have != NULL) {
        st = stoq_export_parts_new(&x->parts, x->store, x->ask->have, x->err);
    }
    if (st == STOQ_OK) {
        st = plan(x);
    }
    return st == STOQ_OK ? write_all(x) : st;
}

enum stoq_status stoq_export(struct stoq_store *store, const struct stoq_export_ask *ask,
                             struct stoq_export_report *report, struct stoq_error *err)
{
    stoq_ns began = stoq_now();
    struct export *x = calloc(1, sizeof *x);
    memset(report, 0, sizeof *report);
    if (x == NULL) {
        return stoq_fail(err, STOQ_NOMEM, 0, "no memory to export");
    }
    *x = (struct export){.store = store, .ask = ask, .report = report, .err = err};
    stoq_buf_init(&x->signatures, GATHERED_BYTES_MAX);
    stoq_buf_init(&x->prefixes, GATHERED_BYTES_MAX);
    stoq_buf_init(&x->list, (size_t)STOQ_MERKLE_SHARD_CHUNKS_MAX * STOQ_MERKLE_CHUNK_ENTRY_BYTES);
    stoq_buf_init(&x->payload, STOQ_MERKLE_CHUNK_BYTES_MAX);
    stoq_buf_init(&x->out, OUT_BYTES);
    enum stoq_status st = run(x);
    report->packages = x->package_count;
    report->bytes = x->bytes;
    report->chunks = x->header.chunks;
    report->stored_bytes = x->header.stored_bytes;
    report->chunks_assumed = x->header.chunks_assumed;
    for (size_t i = 0; i < x->package_count; i++) {
        stoq_buf_release(&x->packages[i].entry);
    }
    free(x->packages);
    stoq_buf_release(&x->signatures);
    stoq_buf_release(&x->prefixes);
    free(x->marks);
    stoq_held_close(x->held);
    stoq_export_parts_free(x->parts);
    stoq_buf_release(&x->list);
    stoq_buf_release(&x->payload);
    stoq_buf_release(&x->out);
    stoq_hasher_release(&x->hasher);
    free(x);
    report->elapsed_ns = stoq_now() - began;
    return st;
}
