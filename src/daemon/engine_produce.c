/*
 * What is answered from the store. The two produce functions run on a worker and touch only the
 * inbound request they are given (nobody else does while its job runs), the store, and a package's
 * lists, which are read-only once open. The cache of open packages belongs to the network thread.
 */
#include "daemon/engine_internal.h"
#include "daemon/pointers.h"

#include <stdlib.h>
#include <string.h>

#include "merkle/proof.h"
#include "os/sys.h"
#include "wire/opening.h"

struct held_ref *engine_held(struct stoq_engine *e, const struct stoq_package_id *id)
{
    for (size_t i = 0; i < ENGINE_HELD_MAX; i++) {
        struct held_ref *r = e->held[i];
        if (r != NULL && stoq_hash_eq(&r->id.h, &id->h)) {
            r->refs++;
            r->used_at = ++e->held_clock;
            return r;
        }
    }
    return NULL;
}

void engine_held_release(struct stoq_engine *e, struct held_ref *r)
{
    (void)e;
    STOQ_ASSERT(r->refs > 0);
    if (--r->refs == 0) { /* the cache holds one itself while it keeps it */
        stoq_held_close(r->held);
        free(r);
    }
}

struct held_ref *engine_held_keep(struct stoq_engine *e, const struct stoq_package_id *id,
                                  struct stoq_held *held)
{
    struct held_ref *r = calloc(1, sizeof *r);
    if (r == NULL) {
        return NULL;
    }
    size_t oldest = 0;
    for (size_t i = 0; i < ENGINE_HELD_MAX; i++) {
        if (e->held[i] == NULL) {
            oldest = i;
            break;
        }
        if (e->held[i]->used_at < e->held[oldest]->used_at) {
            oldest = i;
        }
    }
    if (e->held[oldest] != NULL) {
        engine_held_release(e, e->held[oldest]);
    }
    *r = (struct held_ref){.id = *id, .held = held, .refs = 2, .used_at = ++e->held_clock};
    e->held[oldest] = r;
    return r;
}

void engine_helds_close(struct stoq_engine *e)
{
    for (size_t i = 0; i < ENGINE_HELD_MAX; i++) {
        if (e->held[i] != NULL) {
            engine_held_release(e, e->held[i]);
            e->held[i] = NULL;
        }
    }
}

static void refuse(struct inbound *in, enum stoq_status st)
{
    switch (st) {
    case STOQ_NOTFOUND:
        in->error = STOQ_ERR_CONTENT_NOT_FOUND;
        break;
    case STOQ_PROOF:
        in->error = STOQ_ERR_INTEGRITY_CHECK_FAILED;
        break;
    case STOQ_RANGE:
        in->error = STOQ_ERR_INVALID_CHUNK_INDEX;
        break;
    case STOQ_FULL:
        in->error = STOQ_ERR_TOO_LARGE;
        break;
    default:
        in->error = STOQ_ERR_INTERNAL;
        break;
    }
    if (in->error == STOQ_ERR_INTERNAL) {
        (void)stoq_fail(&in->err, st, 0, "%s", stoq_status_str(st)); /* no paths leave this host */
    } else if (in->error == STOQ_ERR_CONTENT_NOT_FOUND) {
        (void)stoq_fail(&in->err, st, 0, "this peer does not have the package");
    }
}

static struct stoq_held *open_held(struct inbound *in)
{
    if (in->held != NULL) {
        return in->held->held;
    }
    if (in->opened == NULL) {
        enum stoq_status st = stoq_held_open(&in->opened, in->engine->cfg.store, &in->id, &in->err);
        if (st != STOQ_OK) {
            refuse(in, st);
            return NULL;
        }
    }
    return in->opened;
}

/* The manifest alone: a peer that is still fetching serves it before it has the shard list. */
static void produce_record(struct inbound *in, enum stoq_record_type type)
{
    enum stoq_status st =
        stoq_store_read(in->engine->cfg.store, type, stoq_span(in->id.h.b, sizeof in->id.h.b), 0,
                        &in->meta, &in->err);
    if (st != STOQ_OK) {
        refuse(in, st);
    }
}

static void produce_pointer(struct inbound *in)
{
    enum stoq_status st = stoq_pointers_sealed(in->engine->cfg.store, &in->id.h, &in->meta);
    if (st != STOQ_OK) {
        refuse(in, st);
    }
}

static enum stoq_status add_chunk_lists(struct inbound *in, const struct stoq_held *held)
{
    enum stoq_status st = STOQ_OK;
    for (uint32_t i = 0; i < in->shards.count && st == STOQ_OK; i++) {
        st = stoq_held_add_list(held, (size_t)(in->shards.first + i), &in->meta, &in->err);
    }
    return st;
}

/* Bits of what is here: one per chunk of the shards, or one per shard whose chunks all are. */
static enum stoq_status add_have(struct inbound *in, struct stoq_held *held)
{
    bool per_shard = in->kind == STOQ_META_HAVE_SHARDS;
    struct stoq_span shards = stoq_held_shard_list(held);
    uint8_t bits[STOQ_MERKLE_SHARD_CHUNKS_MAX / 8];
    stoq_ns now = stoq_now();
    size_t out = 0;
    for (uint32_t i = 0; i < in->shards.count; i++) {
        size_t shard = (size_t)(in->shards.first + i);
        enum stoq_status st = stoq_held_have(held, shard, now, bits, &in->err);
        if (st != STOQ_OK) {
            return st;
        }
        uint64_t n = stoq_merkle_shard_at(shards, shard).chunks;
        bool all = n > 0;
        for (uint64_t k = 0; k < n; k++) {
            bool have = (bits[k / 8] >> (k & 7) & 1) != 0;
            all = all && have;
            if (!per_shard && have) {
                in->meta.p[(out + k) / 8] |= (uint8_t)(1u << ((out + k) & 7));
            }
        }
        if (per_shard && all) {
            in->meta.p[out / 8] |= (uint8_t)(1u << (out & 7));
        }
        out += per_shard ? 1 : (size_t)n;
    }
    return STOQ_OK;
}

static enum stoq_status reserve_have(struct inbound *in, const struct stoq_held *held)
{
    struct stoq_span shards = stoq_held_shard_list(held);
    uint64_t bits = in->shards.count;
    if (in->kind == STOQ_META_HAVE_CHUNKS) {
        bits = 0;
        for (uint32_t i = 0; i < in->shards.count; i++) {
            bits += stoq_merkle_shard_at(shards, (size_t)(in->shards.first + i)).chunks;
        }
    }
    size_t n = (size_t)((bits + 7) / 8);
    enum stoq_status st = stoq_buf_reserve(&in->meta, n);
    if (st == STOQ_OK) {
        memset(in->meta.p, 0, n);
        in->meta.n = n;
    }
    return st;
}

/* Of a package that is whole here: its lists, as far as they are short. */
static enum stoq_status add_lists(struct inbound *in, const struct stoq_held *held,
                                  struct stoq_buf *lists)
{
    struct stoq_span shards = stoq_held_shard_list(held);
    uint64_t chunks = stoq_held_manifest(held)->chunks;
    if (shards.n > STOQ_OPENING_LIST_MAX) {
        return STOQ_OK;
    }
    enum stoq_status st = stoq_buf_add(lists, shards);
    bool is_short = chunks <= STOQ_OPENING_CHUNKS_MAX / STOQ_MERKLE_CHUNK_ENTRY_BYTES;
    for (size_t i = 0; is_short && i < stoq_held_shard_count(held) && st == STOQ_OK; i++) {
        st = stoq_held_add_list(held, i, lists, &in->err);
    }
    if (st == STOQ_NOTFOUND) { /* it is being fetched here */
        lists->n = shards.n;
        st = STOQ_OK;
    }
    return st;
}

/* Manifest, signatures and short lists; the manifest alone of a package that is only being fetched here. */
static void produce_opening(struct inbound *in)
{
    struct stoq_store *store = in->engine->cfg.store;
    struct stoq_buf manifest;
    struct stoq_buf signatures;
    struct stoq_buf lists;
    enum stoq_status st;
    stoq_buf_init(&manifest, STOQ_MANIFEST_BYTES_MAX);
    stoq_buf_init(&signatures, STOQ_META_BYTES_MAX);
    stoq_buf_init(&lists, STOQ_OPENING_LIST_MAX + STOQ_OPENING_CHUNKS_MAX);
    const struct stoq_held *held = open_held(in);
    if (held != NULL) {
        st = stoq_buf_add(&manifest, stoq_held_manifest_bytes(held));
        st = st == STOQ_OK ? add_lists(in, held, &lists) : st;
    } else {
        in->error = 0;
        st = stoq_store_read(store, STOQ_RECORD_MANIFEST, stoq_span(in->id.h.b, sizeof in->id.h.b),
                             0, &manifest, &in->err);
    }
    if (st == STOQ_OK) {
        (void)engine_signatures(store, &in->id.h, &signatures);
        st = stoq_opening_put(&(struct stoq_opening){stoq_buf_span(&manifest),
                                                     stoq_buf_span(&signatures),
                                                     stoq_buf_span(&lists)},
                              &in->meta);
    }
    if (st != STOQ_OK) {
        refuse(in, st);
    }
    stoq_buf_release(&manifest);
    stoq_buf_release(&signatures);
    stoq_buf_release(&lists);
}

void engine_produce_meta(struct inbound *in)
{
    if (in->kind == STOQ_META_MANIFEST) {
        produce_record(in, STOQ_RECORD_MANIFEST);
        return;
    }
    if (in->kind == STOQ_META_OPENING) {
        produce_opening(in);
        return;
    }
    if (in->kind == STOQ_META_SIGNATURES) {
        (void)engine_signatures(in->engine->cfg.store, &in->id.h, &in->meta);
        return;
    }
    if (in->kind == STOQ_META_POINTER) {
        produce_pointer(in);
        return;
    }
    struct stoq_held *held = open_held(in);
    if (held == NULL) {
        return;
    }
    enum stoq_status st = STOQ_OK;
    if (in->kind == STOQ_META_SHARD_LIST) {
        st = stoq_buf_add(&in->meta, stoq_held_shard_list(held));
    } else {
        uint64_t end;
        if (!stoq_add_u64(in->shards.first, in->shards.count, &end) ||
            end > stoq_held_shard_count(held)) {
            st = stoq_fail(&in->err, STOQ_RANGE, 0, "the package has %zu shards",
                           stoq_held_shard_count(held));
        } else if (in->kind == STOQ_META_CHUNK_LISTS) {
            st = add_chunk_lists(in, held);
        } else {
            st = reserve_have(in, held);
            st = st == STOQ_OK ? add_have(in, held) : st;
        }
    }
    if (st != STOQ_OK) {
        refuse(in, st);
    }
}

/* Have the chunk list at hand that covers a chunk. */
static enum stoq_status load_list(struct inbound *in, const struct stoq_held *held, uint64_t index)
{
    if (in->chunks != NULL && index >= in->chunks_place.first_chunk &&
        index - in->chunks_place.first_chunk <
            stoq_stream_list_span(in->chunks).n / STOQ_MERKLE_CHUNK_ENTRY_BYTES) {
        return STOQ_OK;
    }
    stoq_stream_list_drop(in->chunks);
    in->chunks = NULL;
    enum stoq_status st =
        stoq_merkle_find_chunk(stoq_held_shard_list(held), index, &in->chunks_place);
    if (st == STOQ_OK) {
        st = stoq_stream_list_take(stoq_held_stream(held), (size_t)in->chunks_place.shard,
                                   &in->chunks, &in->err);
    }
    return st;
}

static enum stoq_status add_proof(struct inbound *in, const struct stoq_held *held, uint64_t index,
                                  struct piece *p)
{
    const struct stoq_manifest *m = stoq_held_manifest(held);
    struct stoq_merkle_root root = {
        .hash = m->root, .shards = m->shards, .chunks = m->chunks, .bytes = m->bytes};
    struct stoq_merkle_proof proof;
    enum stoq_status st = stoq_merkle_prove_chunk(&root, stoq_held_shard_list(held),
                                                  stoq_stream_list_span(in->chunks), index, &proof);
    stoq_buf_clear(&p->proof);
    return st == STOQ_OK ? stoq_merkle_proof_encode(&proof, &p->proof) : st;
}

/* A chunk as it travels: as it is stored, or unpacked for those who want it so. */
static enum stoq_status read_chunk(struct inbound *in, const struct stoq_hash *hash,
                                   struct stoq_stored *info, struct stoq_buf *out)
{
    struct stoq_span key = stoq_span(hash->b, sizeof hash->b);
    struct stoq_store *store = in->engine->cfg.store;
    if (!in->raw) {
        return stoq_store_read_stored(store, STOQ_RECORD_CHUNK, key, 0, info, out, &in->err);
    }
    enum stoq_status st = stoq_store_read(store, STOQ_RECORD_CHUNK, key, 0, out, &in->err);
    *info = (struct stoq_stored){.raw_len = (uint32_t)out->n, .stored_len = (uint32_t)out->n};
    return st;
}

static void fill_piece(struct inbound *in, const struct stoq_held *held, uint64_t index,
                       struct piece *p)
{
    struct stoq_stored info = {0};
    p->item = (struct stoq_item){.encoding = STOQ_ITEM_MISSING};
    stoq_buf_clear(&p->data);
    stoq_buf_clear(&p->proof);
    enum stoq_status st = load_list(in, held, index);
    if (st == STOQ_OK) {
        struct stoq_merkle_chunk chunk = stoq_merkle_chunk_at(
            stoq_stream_list_span(in->chunks), (size_t)(index - in->chunks_place.first_chunk));
        st = read_chunk(in, &chunk.hash, &info, &p->data);
    }
    if (st == STOQ_OK && in->want_proofs) {
        st = add_proof(in, held, index, p);
    }
    if (st == STOQ_OK) {
        p->item = (struct stoq_item){
            .encoding = (info.flags & STOQ_STORED_ZSTD) != 0 ? STOQ_ITEM_ZSTD : STOQ_ITEM_RAW,
            .stored_len = info.stored_len,
            .raw_len = info.raw_len,
            .proof_len = (uint32_t)p->proof.n};
    } else {
        p->item.encoding = st == STOQ_PROOF ? STOQ_ITEM_DAMAGED : STOQ_ITEM_MISSING;
        stoq_buf_clear(&p->data);
        stoq_buf_clear(&p->proof);
    }
    stoq_item_head_put(p->head, &p->item);
}

static bool check_ranges(struct inbound *in, const struct stoq_held *held)
{
    if (in->hashes != NULL || in->kind != STOQ_META_CHUNKS) {
        enum stoq_status st = engine_whole_prepare(in, held);
        if (st != STOQ_OK) {
            refuse(in, st);
        }
        in->checked = st == STOQ_OK;
        return in->checked;
    }
    uint64_t chunks = stoq_held_manifest(held)->chunks;
    for (uint32_t i = 0; i < in->range_count; i++) {
        uint64_t end;
        if (!stoq_add_u64(in->ranges[i].first, in->ranges[i].count, &end) || end > chunks) {
            refuse(in, stoq_fail(&in->err, STOQ_RANGE, 0, "the package has %llu chunks",
                                 (unsigned long long)chunks));
            return false;
        }
    }
    in->checked = true;
    return true;
}

void engine_produce_chunks(struct inbound *in)
{
    const struct stoq_held *held = open_held(in);
    if (held == NULL || (!in->checked && !check_ranges(in, held))) {
        return;
    }
    size_t bytes = 0;
    while (in->range_at < in->range_count && in->spare != NULL && bytes < ENGINE_SERVE_AHEAD) {
        struct piece *p = in->spare;
        in->spare = p->next;
        p->next = NULL;
        fill_piece(in, held, in->ranges[in->range_at].first + in->range_done, p);
        bytes += p->data.n;
        *in->pieces_last = p;
        in->pieces_last = &p->next;
        if (++in->range_done == in->ranges[in->range_at].count) {
            in->range_done = 0;
            in->range_at++;
        }
    }
}
