#ifndef STOQ_NODE_NODE_WORLD_TEST_H
#define STOQ_NODE_NODE_WORLD_TEST_H
/*
 * For tests: a few real nodes back to back, with the real codec, on a virtual network and virtual
 * stores, in virtual time. What a shell does with bytes is done here in memory; faults are planted on
 * the way out. Everything happens in an order that the seed decides.
 */
#include "base/map.h"
#include "base/prng.h"
#include "hash/hash.h"
#include "node/node.h"
#include "package/manifest.h"
#include "wire/items.h"
#include "wire/opening.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define WORLD_NODES 6
#define WORLD_PIECE 16384u

enum world_fault {
    WORLD_HONEST,
    WORLD_LIES,      /* a bit of every chunk is wrong */
    WORLD_LIES_META, /* a bit of what fault_meta says is wrong */
    WORLD_SILENT,    /* takes requests and never answers */
    WORLD_DIES,      /* at fault_at */
    WORLD_ABSENT,    /* does not answer dials */
    WORLD_GARBAGE,   /* answers are no frames */
    WORLD_SHORT,     /* ends its payloads early */
    WORLD_HALF,      /* lacks every second chunk */
    WORLD_DAMAGED,   /* has it, damaged */
    WORLD_BUSY,      /* says so to its first 5 requests */
    WORLD_WRONG_KEY, /* somebody else answers there */
};

struct world_record {
    struct stoq_hash key;
    size_t n;
    uint8_t bytes[];
};

struct world_ask {
    stoq_node_cookie cookie;
    uint32_t peer;
    bool wants_chunks;
    bool over;
    uint32_t payload_max;
    const struct stoq_merkle_chunk *chunks; /* the node's, until ASK_ENDED: the sanitizer watches */
    uint64_t *indexes;
    uint32_t chunk_count;
    struct stoq_items items;
    struct stoq_buf data;
};

struct world_node {
    struct stoq_node *node;
    struct stoq_map store; /* first 8 bytes of the key, kind (0: chunk) -> record */
    struct stoq_map asks;  /* cookie -> world_ask */
    uint64_t rate;         /* bytes per second it sends */
    stoq_ns free_at;
    enum world_fault fault;
    stoq_ns fault_at;
    enum stoq_meta_kind fault_meta;
    uint32_t busy;
    bool dead;
    bool linked[WORLD_NODES];
    bool store_full;
    bool done;
    struct stoq_node_report report;
    bool second_done; /* of fetch 2 */
    struct stoq_node_report second;
    uint32_t charges;
    uint32_t closes;
    uint32_t dials;
    uint32_t recorded;  /* SAVE_PACKAGE */
    uint32_t unsynced;  /* saves and chunks since the last SYNC */
    uint32_t bad_given; /* chunks that failed their check here */
    uint64_t chunks_sent;
    uint64_t missing_sent;
    uint32_t asks_open;
    uint32_t asks_open_max;
};

struct world;
struct world_job {
    stoq_ns at;
    uint64_t seq;
    void (*run)(struct world *w, struct world_job *job);
    uint32_t node;
    uint32_t peer;
    uint64_t cookie;
    uint64_t stream;
    uint64_t bytes_served;
    enum stoq_status status;
    bool first;
    bool last;
    size_t n;
    uint8_t *bytes;
};

struct world {
    stoq_ns now;
    stoq_ns rtt;
    bool local; /* all are on one machine */
    uint64_t seq;
    uint64_t trace;
    struct world_node at[WORLD_NODES];
    struct world_job **heap;
    size_t heap_count;
    size_t heap_cap;
    struct stoq_package_id id;
    uint64_t bytes;
    uint64_t chunks;
    uint64_t shards;
    uint64_t period; /* chunks until the same content comes again; 0: never */
    struct stoq_range ranges[STOQ_REQUEST_RANGES_MAX];
};

static inline void world_push(struct world *w, struct world_job job)
{
    struct world_job *j = malloc(sizeof *j);
    job.seq = ++w->seq;
    *j = job;
    if (w->heap_count == w->heap_cap) {
        w->heap_cap = w->heap_cap == 0 ? 64 : 2 * w->heap_cap;
        w->heap = realloc(w->heap, w->heap_cap * sizeof(struct world_job *));
    }
    size_t i = w->heap_count++;
    while (i > 0) {
        struct world_job *up = w->heap[(i - 1) / 2];
        if (up->at < j->at || (up->at == j->at && up->seq < j->seq)) {
            break;
        }
        w->heap[i] = up;
        i = (i - 1) / 2;
    }
    w->heap[i] = j;
}

static inline struct world_job *world_pop(struct world *w)
{
    struct world_job *top = w->heap[0];
    struct world_job *last = w->heap[--w->heap_count];
    size_t i = 0;
    for (;;) {
        size_t k = 2 * i + 1;
        if (k >= w->heap_count) {
            break;
        }
        if (k + 1 < w->heap_count &&
            (w->heap[k + 1]->at < w->heap[k]->at ||
             (w->heap[k + 1]->at == w->heap[k]->at && w->heap[k + 1]->seq < w->heap[k]->seq))) {
            k++;
        }
        if (last->at < w->heap[k]->at ||
            (last->at == w->heap[k]->at && last->seq < w->heap[k]->seq)) {
            break;
        }
        w->heap[i] = w->heap[k];
        i = k;
    }
    if (w->heap_count > 0) {
        w->heap[i] = last;
    }
    return top;
}

static inline void world_note(struct world *w, uint64_t a, uint64_t b)
{
    w->trace = (w->trace ^ a) * 0x100000001b3u;
    w->trace = (w->trace ^ b ^ w->now) * 0x100000001b3u;
}

/* ---- stores ---- */

static inline struct stoq_map_key world_key(uint64_t kind, const struct stoq_hash *key)
{
    return (struct stoq_map_key){stoq_le64(key->b), kind};
}

static inline struct world_record *world_get(struct world_node *n, uint64_t kind,
                                             const struct stoq_hash *key)
{
    return stoq_map_get(&n->store, world_key(kind, key));
}

static inline bool world_put(struct world_node *n, uint64_t kind, const struct stoq_hash *key,
                             struct stoq_span bytes)
{
    if (world_get(n, kind, key) != NULL) {
        return false;
    }
    struct world_record *r = malloc(sizeof *r + bytes.n);
    r->key = *key;
    r->n = bytes.n;
    if (bytes.n > 0) {
        memcpy(r->bytes, bytes.p, bytes.n);
    }
    assert_int_equal(stoq_map_put(&n->store, world_key(kind, key), r), STOQ_OK);
    n->unsynced++;
    return true;
}

/* ---- life ---- */

static inline void world_init(struct world *w, uint32_t nodes, struct stoq_alloc *alloc)
{
    memset(w, 0, sizeof *w);
    w->now = STOQ_SEC;
    w->rtt = 10 * STOQ_MS;
    for (uint32_t i = 0; i < nodes; i++) {
        struct world_node *n = &w->at[i];
        struct stoq_node_config cfg = {.agent = stoq_span_str("test/1")};
        if (i == 0 && alloc != NULL) {
            cfg.alloc = *alloc;
        }
        n->rate = 10000000;
        stoq_map_init(&n->store, i);
        stoq_map_init(&n->asks, i);
        enum stoq_status st = stoq_node_new(&n->node, &cfg, 100 + i);
        if (st == STOQ_NOMEM) {
            st = stoq_node_new(&n->node, &cfg, 100 + i);
        }
        assert_int_equal(st, STOQ_OK);
    }
}

static inline void world_ask_free(struct world_node *n, struct world_ask *a)
{
    (void)stoq_map_remove(&n->asks, (struct stoq_map_key){a->cookie, 0});
    stoq_buf_release(&a->data);
    free(a->indexes);
    free(a);
    n->asks_open--;
}

static inline void world_release(struct world *w)
{
    for (uint32_t i = 0; i < WORLD_NODES; i++) {
        struct world_node *n = &w->at[i];
        void *p;
        size_t at = 0;
        stoq_node_free(n->node);
        while ((p = stoq_map_next(&n->store, &at)) != NULL) {
            free(p);
        }
        at = 0;
        while (n->node != NULL && (p = stoq_map_next(&n->asks, &at)) != NULL) {
            world_ask_free(n, p);
            at = 0;
        }
        stoq_map_release(&n->store);
        stoq_map_release(&n->asks);
    }
    while (w->heap_count > 0) {
        struct world_job *j = world_pop(w);
        free(j->bytes);
        free(j);
    }
    free(w->heap);
}

static inline enum stoq_status world_feed(struct world *w, uint32_t node,
                                          struct stoq_node_event ev);

/* ---- answers reach the one who asked ---- */

static inline void world_close(struct world *w, uint32_t node, struct world_ask *a,
                               enum stoq_status status, const struct stoq_message *msg,
                               struct stoq_span payload)
{
    const struct stoq_node_reply reply = {a->cookie, status, msg, payload};
    a->over = true;
    (void)world_feed(w, node, stoq_node_closing(&reply, a->wants_chunks));
    world_ask_free(&w->at[node], a);
}

static inline void world_item(struct world *w, uint32_t node, struct world_ask *a,
                              const struct stoq_items_out *out)
{
    struct world_node *n = &w->at[node];
    struct stoq_node_event ev = {.kind = STOQ_NODE_CHUNK,
                                 .u.chunk = {.cookie = a->cookie,
                                             .index = a->indexes[out->index],
                                             .status = STOQ_NOTFOUND,
                                             .wire_bytes = 16 + out->item.stored_len}};
    ev.u.chunk.damaged = out->item.encoding == STOQ_ITEM_DAMAGED;
    if (out->item.encoding == STOQ_ITEM_RAW) {
        struct stoq_hash h = stoq_hash_blake3(stoq_buf_span(&a->data));
        const struct stoq_merkle_chunk *want = &a->chunks[out->index];
        bool fits = stoq_hash_eq(&h, &want->hash) && a->data.n == want->bytes;
        ev.u.chunk.status = fits ? STOQ_OK : STOQ_PROOF;
        if (fits && n->store_full) {
            ev.u.chunk.status = STOQ_FULL;
        } else if (fits) {
            ev.u.chunk.is_new = world_put(n, 0, &h, stoq_buf_span(&a->data));
        } else {
            n->bad_given++;
        }
    }
    stoq_buf_clear(&a->data);
    (void)world_feed(w, node, ev);
}

static inline enum stoq_status world_items(struct world *w, uint32_t node, struct world_ask *a,
                                           struct stoq_span in)
{
    struct stoq_items_out out;
    do {
        if (stoq_items_next(&a->items, &in, &out) != STOQ_OK) {
            return STOQ_MALFORMED;
        }
        if (out.what == STOQ_ITEMS_DATA) {
            assert_int_equal(stoq_buf_add(&a->data, out.bytes), STOQ_OK);
        }
        if (out.last) {
            world_item(w, node, a, &out);
        }
    } while (out.what != STOQ_ITEMS_WAIT && out.what != STOQ_ITEMS_END && !a->over);
    return STOQ_OK;
}

/* A piece of an answer's payload, or its frame, or all of it. */
static inline void world_run_answer(struct world *w, struct world_job *job)
{
    struct world_node *n = &w->at[job->node];
    struct world_ask *a = stoq_map_get(&n->asks, (struct stoq_map_key){job->cookie, 0});
    if (a == NULL || a->over || n->dead || !n->linked[job->peer]) {
        return;
    }
    struct stoq_span in = stoq_span(job->bytes, job->n);
    struct stoq_message msg = {0};
    if (job->first) {
        struct stoq_frame f;
        struct stoq_span cbor;
        stoq_frame_init(&f);
        enum stoq_status st = stoq_frame_take(&f, &in, &cbor);
        st = st == STOQ_OK ? stoq_message_decode(cbor, w->ranges, &msg) : STOQ_MALFORMED;
        bool is_chunks = st == STOQ_OK && msg.type == STOQ_MSG_RESPONSE &&
                         msg.u.response.kind == STOQ_META_CHUNKS;
        if (st == STOQ_OK && msg.type == STOQ_MSG_RESPONSE && !is_chunks &&
            msg.u.response.payload_bytes != in.n) {
            st = STOQ_MALFORMED;
        }
        if (st == STOQ_OK && a->payload_max < in.n && !a->wants_chunks) {
            st = STOQ_FULL;
        }
        if (st == STOQ_OK && a->wants_chunks && is_chunks) {
            stoq_items_init(&a->items, msg.u.response.items);
        } else {
            world_close(w, job->node, a, st, &msg, st == STOQ_OK ? in : stoq_span(NULL, 0));
            stoq_frame_release(&f);
            return;
        }
        stoq_frame_release(&f);
    }
    enum stoq_status st = world_items(w, job->node, a, in);
    a = stoq_map_get(&n->asks, (struct stoq_map_key){job->cookie, 0});
    if (a != NULL && (st != STOQ_OK || job->last)) {
        bool whole = a->items.index == a->items.items && a->items.items == a->chunk_count;
        world_close(w, job->node, a, st != STOQ_OK || !whole ? STOQ_MALFORMED : STOQ_OK, NULL,
                    stoq_span(NULL, 0));
    }
}

static inline void world_run_served(struct world *w, struct world_job *job)
{
    struct stoq_node_event ev = {.kind = STOQ_NODE_SERVED,
                                 .u.served = {job->peer, job->stream, job->bytes_served}};
    if (!w->at[job->node].dead) {
        (void)world_feed(w, job->node, ev);
    }
}

/* Send a whole answer back over stream (asker, cookie), in pieces at the sender's rate. */
static inline void world_answer(struct world *w, uint32_t from, uint64_t stream,
                                struct stoq_buf *out, bool is_serve)
{
    struct world_node *n = &w->at[from];
    uint32_t to = (uint32_t)(stream >> 48);
    if (n->fault == WORLD_GARBAGE) {
        memset(out->p, 0xee, out->n < 64 ? out->n : 64);
    }
    size_t at = 0;
    n->free_at = n->free_at > w->now ? n->free_at : w->now;
    while (at < out->n) {
        size_t piece = out->n - at < WORLD_PIECE ? out->n - at : WORLD_PIECE;
        struct world_job job = {.run = world_run_answer,
                                .node = to,
                                .peer = from,
                                .cookie = stream & 0xffffffffffffu,
                                .first = at == 0,
                                .last = at + piece == out->n,
                                .n = piece,
                                .bytes = malloc(piece)};
        /* Metadata answers go in one piece: the shell collects them. */
        memcpy(job.bytes, out->p + at, piece);
        n->free_at += piece * STOQ_SEC / n->rate;
        job.at = n->free_at + w->rtt / 2;
        world_push(w, job);
        at += piece;
    }
    if (is_serve) {
        world_push(w, (struct world_job){.at = n->free_at,
                                         .run = world_run_served,
                                         .node = from,
                                         .peer = to,
                                         .stream = stream,
                                         .bytes_served = out->n});
    }
}

static inline void world_answer_whole(struct world *w, uint32_t from, uint64_t stream,
                                      const struct stoq_buf *out, bool is_serve)
{
    struct world_node *n = &w->at[from];
    n->free_at = (n->free_at > w->now ? n->free_at : w->now) + out->n * STOQ_SEC / n->rate;
    struct world_job job = {.at = n->free_at + w->rtt / 2,
                            .run = world_run_answer,
                            .node = (uint32_t)(stream >> 48),
                            .peer = from,
                            .cookie = stream & 0xffffffffffffu,
                            .first = true,
                            .last = true,
                            .n = out->n,
                            .bytes = malloc(out->n)};
    memcpy(job.bytes, out->p, out->n);
    if (n->fault == WORLD_GARBAGE) {
        memset(job.bytes, 0xee, job.n < 64 ? job.n : 64);
    }
    world_push(w, job);
    if (is_serve) {
        world_push(w, (struct world_job){.at = n->free_at,
                                         .run = world_run_served,
                                         .node = from,
                                         .peer = (uint32_t)(stream >> 48),
                                         .stream = stream,
                                         .bytes_served = out->n});
    }
}

static inline void world_error(struct world *w, uint32_t from, uint64_t stream,
                               enum stoq_error_code code)
{
    struct stoq_message msg = {
        .type = STOQ_MSG_ERROR, .request_id = stream & 0xffffffffffffu, .u.error = {.code = code}};
    struct stoq_buf out;
    stoq_buf_init(&out, 1000);
    assert_int_equal(stoq_message_encode(&msg, &out), STOQ_OK);
    world_answer_whole(w, from, stream, &out, true);
    stoq_buf_release(&out);
}

/* A bit per chunk of these shards. */
static inline bool world_have(struct world_node *n, const struct stoq_node_serve *s,
                              struct stoq_span shard_list, struct stoq_buf *out)
{
    uint32_t at = 0;
    uint64_t first = 0;
    for (uint64_t k = 0; k < s->shards.first; k++) {
        first += stoq_merkle_shard_at(shard_list, (size_t)k).chunks;
    }
    assert_int_equal(stoq_buf_reserve(out, s->shards.count * 64u), STOQ_OK);
    memset(out->p, 0, s->shards.count * 64u);
    for (uint32_t k = 0; k < s->shards.count; k++) {
        struct stoq_merkle_shard shard =
            stoq_merkle_shard_at(shard_list, (size_t)(s->shards.first + k));
        const struct world_record *r = world_get(n, STOQ_META_CHUNK_LISTS, &shard.root);
        for (uint32_t i = 0; i < shard.chunks; i++, at++) {
            bool hides = n->fault == WORLD_HALF && (first + at) % 2 == 1;
            if (r == NULL || hides) {
                continue;
            }
            struct stoq_merkle_chunk c = stoq_merkle_chunk_at(stoq_span(r->bytes, r->n), i);
            out->p[at / 8] |= (uint8_t)((world_get(n, 0, &c.hash) != NULL ? 1u : 0u) << (at & 7));
        }
    }
    out->n = (at + 7) / 8;
    return true;
}

static inline bool world_chunk_lists(struct world_node *n, const struct world_record *list,
                                     struct stoq_range shards, struct stoq_buf *out)
{
    for (uint32_t k = 0; k < shards.count; k++) {
        struct stoq_merkle_shard shard =
            stoq_merkle_shard_at(stoq_span(list->bytes, list->n), (size_t)(shards.first + k));
        const struct world_record *r = world_get(n, STOQ_META_CHUNK_LISTS, &shard.root);
        if (r == NULL || stoq_buf_add(out, stoq_span(r->bytes, r->n)) != STOQ_OK) {
            return false;
        }
    }
    return true;
}

/* Manifest and signatures, with the shard list where it is here, with chunk lists where they are short. */
static inline bool world_opening(struct world_node *n, const struct stoq_node_serve *s,
                                 const struct world_record *list, struct stoq_buf *out)
{
    const struct world_record *manifest = world_get(n, STOQ_META_MANIFEST, &s->id.h);
    const struct world_record *signatures = world_get(n, STOQ_META_SIGNATURES, &s->id.h);
    struct stoq_opening o = {.manifest = {manifest->bytes, manifest->n}};
    struct stoq_buf lists;
    stoq_buf_init(&lists, STOQ_META_BYTES_MAX);
    if (signatures != NULL) {
        o.signatures = stoq_span(signatures->bytes, signatures->n);
    }
    if (list != NULL && list->n <= STOQ_OPENING_LIST_MAX) {
        assert_int_equal(stoq_buf_add(&lists, stoq_span(list->bytes, list->n)), STOQ_OK);
        const struct stoq_range all = {.count =
                                           (uint32_t)(list->n / STOQ_MERKLE_SHARD_ENTRY_BYTES)};
        size_t before = lists.n;
        if (!world_chunk_lists(n, list, all, &lists) ||
            lists.n - before > STOQ_OPENING_CHUNKS_MAX) {
            lists.n = before;
        }
    }
    o.lists = stoq_buf_span(&lists);
    bool ok = stoq_opening_put(&o, out) == STOQ_OK;
    stoq_buf_release(&lists);
    return ok;
}

/* What a store says to a metadata query; false: nothing of the package. */
static inline bool world_meta(struct world_node *n, const struct stoq_node_serve *s,
                              struct stoq_buf *out)
{
    struct world_record *r = world_get(n, STOQ_META_MANIFEST, &s->id.h);
    struct stoq_manifest *m = malloc(sizeof *m);
    bool ok = r != NULL && stoq_manifest_decode(stoq_span(r->bytes, r->n), m) == STOQ_OK;
    struct world_record *list = ok ? world_get(n, STOQ_META_SHARD_LIST, &m->root) : NULL;
    free(m);
    if (s->kind == STOQ_META_SIGNATURES) {
        struct world_record *sig = world_get(n, STOQ_META_SIGNATURES, &s->id.h);
        return ok && (sig == NULL || stoq_buf_add(out, stoq_span(sig->bytes, sig->n)) == STOQ_OK);
    }
    if (s->kind == STOQ_META_OPENING) {
        return ok && world_opening(n, s, list, out);
    }
    if (s->kind == STOQ_META_HAVE_CHUNKS) {
        return list != NULL && world_have(n, s, stoq_span(list->bytes, list->n), out);
    }
    if (s->kind == STOQ_META_SHARD_LIST) {
        r = list;
    }
    if (s->kind != STOQ_META_CHUNK_LISTS) {
        return r != NULL && stoq_buf_add(out, stoq_span(r->bytes, r->n)) == STOQ_OK;
    }
    return list != NULL && world_chunk_lists(n, list, s->shards, out);
}

static inline void world_serve_meta(struct world *w, uint32_t node, const struct stoq_node_serve *s)
{
    struct world_node *n = &w->at[node];
    struct stoq_buf payload;
    struct stoq_buf out;
    stoq_buf_init(&payload, STOQ_META_BYTES_MAX);
    stoq_buf_init(&out, STOQ_META_BYTES_MAX + 1000);
    bool is_old = n->fault == WORLD_LIES_META && n->fault_meta != STOQ_META_OPENING;
    if (is_old && s->kind == STOQ_META_OPENING) {
        world_error(w, node, s->stream, STOQ_ERR_UNSUPPORTED);
    } else if (!world_meta(n, s, &payload)) {
        world_error(w, node, s->stream, STOQ_ERR_CONTENT_NOT_FOUND);
    } else {
        if (n->fault == WORLD_LIES_META && n->fault_meta == s->kind && payload.n > 0) {
            payload.p[payload.n / 2] ^= 1;
        }
        struct stoq_message msg = {.type = STOQ_MSG_RESPONSE,
                                   .request_id = s->request_id,
                                   .u.response = {.kind = s->kind, .payload_bytes = payload.n}};
        assert_int_equal(stoq_message_encode(&msg, &out), STOQ_OK);
        payload.n -= n->fault == WORLD_SHORT && payload.n > 0 ? 1 : 0;
        assert_int_equal(stoq_buf_add(&out, stoq_buf_span(&payload)), STOQ_OK);
        world_answer_whole(w, node, s->stream, &out, true);
    }
    stoq_buf_release(&payload);
    stoq_buf_release(&out);
}

/* The hash of a chunk by its index; false: the package is not here or has none such. */
static inline bool world_chunk_hash(struct world_node *n, const struct stoq_package_id *id,
                                    uint64_t index, struct stoq_hash *out)
{
    struct stoq_node_serve s = {.id = *id, .kind = STOQ_META_SHARD_LIST};
    struct stoq_buf list;
    struct stoq_merkle_place place;
    stoq_buf_init(&list, STOQ_META_BYTES_MAX);
    bool ok = world_meta(n, &s, &list) &&
              stoq_merkle_find_chunk(stoq_buf_span(&list), index, &place) == STOQ_OK;
    if (ok) {
        struct stoq_merkle_shard shard =
            stoq_merkle_shard_at(stoq_buf_span(&list), (size_t)place.shard);
        struct world_record *r = world_get(n, STOQ_META_CHUNK_LISTS, &shard.root);
        ok = r != NULL;
        if (ok) {
            *out =
                stoq_merkle_chunk_at(stoq_span(r->bytes, r->n), (size_t)(index - place.first_chunk))
                    .hash;
        }
    }
    stoq_buf_release(&list);
    return ok;
}

static inline void world_put_item(struct world_node *n, const struct world_record *r,
                                  uint64_t index, struct stoq_buf *out)
{
    struct stoq_item item = {.encoding = STOQ_ITEM_MISSING};
    uint8_t head[STOQ_ITEM_HEAD_BYTES];
    bool is_odd = index % 2 == 1;
    if (n->fault == WORLD_DAMAGED && is_odd) {
        item.encoding = STOQ_ITEM_DAMAGED;
    } else if (r != NULL && !(n->fault == WORLD_HALF && is_odd)) {
        item = (struct stoq_item){STOQ_ITEM_RAW, (uint32_t)r->n, (uint32_t)r->n, 0};
    }
    n->missing_sent += item.encoding == STOQ_ITEM_MISSING ? 1 : 0;
    stoq_item_head_put(head, &item);
    assert_int_equal(stoq_buf_add(out, stoq_span(head, sizeof head)), STOQ_OK);
    if (item.encoding == STOQ_ITEM_RAW) {
        assert_int_equal(stoq_buf_add(out, stoq_span(r->bytes, r->n)), STOQ_OK);
        out->p[out->n - 1] ^= n->fault == WORLD_LIES ? 1 : 0;
        n->chunks_sent++;
    }
}

static inline void world_serve_chunks(struct world *w, uint32_t node,
                                      const struct stoq_node_serve *s)
{
    struct world_node *n = &w->at[node];
    struct stoq_buf out;
    struct stoq_hash h;
    stoq_buf_init(&out, 64u << 20);
    struct stoq_node_serve lists = {.id = s->id, .kind = STOQ_META_SHARD_LIST};
    if (!world_meta(n, &lists, &out)) {
        world_error(w, node, s->stream, STOQ_ERR_CONTENT_NOT_FOUND);
        return;
    }
    stoq_buf_clear(&out);
    struct stoq_message msg = {.type = STOQ_MSG_RESPONSE,
                               .request_id = s->request_id,
                               .u.response = {.kind = STOQ_META_CHUNKS, .items = s->chunk_count}};
    assert_int_equal(stoq_message_encode(&msg, &out), STOQ_OK);
    for (uint32_t r = 0; r < s->range_count; r++) {
        for (uint32_t k = 0; k < s->ranges[r].count; k++) {
            uint64_t index = s->ranges[r].first + k;
            bool known = world_chunk_hash(n, &s->id, index, &h);
            world_put_item(n, known ? world_get(n, 0, &h) : NULL, index, &out);
        }
    }
    out.n -= n->fault == WORLD_SHORT ? 1 : 0;
    world_answer(w, node, s->stream, &out, true);
    stoq_buf_release(&out);
}

/* ---- requests ---- */

static inline void world_run_request(struct world *w, struct world_job *job)
{
    struct world_node *n = &w->at[job->node];
    if (n->dead || !n->linked[job->peer]) {
        return;
    }
    if (n->fault == WORLD_SILENT && w->now >= n->fault_at) {
        return;
    }
    struct stoq_message msg;
    enum stoq_status st =
        stoq_message_decode(stoq_span(job->bytes + 4, job->n - 4), w->ranges, &msg);
    if (n->fault == WORLD_BUSY && n->busy < 5 && msg.type != STOQ_MSG_HELLO) {
        n->busy++;
        world_error(w, job->node, job->stream, STOQ_ERR_BUSY);
        return;
    }
    struct stoq_node_event ev = {.kind = STOQ_NODE_INBOUND,
                                 .u.inbound = {job->peer, job->stream, &msg}};
    if (st != STOQ_OK) {
        ev = (struct stoq_node_event){.kind = STOQ_NODE_INBOUND_BAD,
                                      .u.bad = {job->peer, job->stream, msg.request_id, st}};
    }
    (void)world_feed(w, job->node, ev);
}

static inline struct world_ask *world_ask_new(struct world_node *n, uint32_t peer,
                                              stoq_node_cookie cookie)
{
    struct world_ask *a = calloc(1, sizeof *a);
    a->cookie = cookie;
    a->peer = peer;
    stoq_buf_init(&a->data, STOQ_ITEM_STORED_MAX);
    assert_null(stoq_map_get(&n->asks, (struct stoq_map_key){cookie, 0})); /* never used twice */
    assert_int_equal(stoq_map_put(&n->asks, (struct stoq_map_key){cookie, 0}, a), STOQ_OK);
    n->asks_open++;
    n->asks_open_max = n->asks_open > n->asks_open_max ? n->asks_open : n->asks_open_max;
    return a;
}

static inline void world_run_lost(struct world *w, struct world_job *job)
{
    struct world_node *n = &w->at[job->node];
    struct world_ask *a = stoq_map_get(&n->asks, (struct stoq_map_key){job->cookie, 0});
    if (a != NULL && !n->dead) {
        world_close(w, job->node, a, job->status, NULL, stoq_span(NULL, 0));
    }
}

static inline void world_send(struct world *w, uint32_t node, struct world_ask *a,
                              const struct stoq_message *msg)
{
    struct world_node *n = &w->at[node];
    struct stoq_buf out;
    stoq_buf_init(&out, 70000);
    assert_int_equal(stoq_message_encode(msg, &out), STOQ_OK);
    world_note(w, msg->type, msg->request_id);
    if (!n->linked[a->peer]) {
        world_push(w, (struct world_job){.at = w->now + 1,
                                         .run = world_run_lost,
                                         .node = node,
                                         .cookie = a->cookie,
                                         .status = STOQ_NET});
        stoq_buf_release(&out);
        return;
    }
    world_push(w, (struct world_job){.at = w->now + w->rtt / 2,
                                     .run = world_run_request,
                                     .node = a->peer,
                                     .peer = node,
                                     .stream = (uint64_t)node << 48 | a->cookie,
                                     .n = out.n,
                                     .bytes = out.p});
}

static inline void world_ask_chunks(struct world *w, uint32_t node,
                                    const struct stoq_node_ask_chunks *want)
{
    struct world_ask *a = world_ask_new(&w->at[node], want->peer, want->cookie);
    a->wants_chunks = true;
    a->chunks = want->chunks;
    a->chunk_count = want->chunk_count;
    a->indexes = calloc(want->chunk_count, sizeof *a->indexes);
    uint32_t n = 0;
    for (uint32_t r = 0; r < want->range_count; r++) {
        for (uint32_t k = 0; k < want->ranges[r].count; k++) {
            assert_true(n < want->chunk_count);
            a->indexes[n++] = want->ranges[r].first + k;
        }
    }
    assert_int_equal(n, want->chunk_count);
    struct stoq_message msg = {.type = STOQ_MSG_CHUNK_REQUEST,
                               .request_id = want->cookie,
                               .u.chunk_request = {.id = want->id,
                                                   .ranges = want->ranges,
                                                   .range_count = want->range_count,
                                                   .want_proofs = want->want_proofs}};
    world_send(w, node, a, &msg);
}

/* ---- links ---- */

static inline void world_link_down(struct world *w, uint32_t a, uint32_t b, enum stoq_status status)
{
    struct world_node *n = &w->at[a];
    n->linked[b] = false;
    if (n->dead) {
        return;
    }
    size_t at = 0;
    struct world_ask *ask;
    while ((ask = stoq_map_next(&n->asks, &at)) != NULL) {
        if (ask->peer == b) {
            world_push(w, (struct world_job){.at = w->now,
                                             .run = world_run_lost,
                                             .node = a,
                                             .cookie = ask->cookie,
                                             .status = STOQ_NET});
        }
    }
    (void)world_feed(w, a,
                     (struct stoq_node_event){.kind = STOQ_NODE_LINK_DOWN,
                                              .u.link = {.peer = b, .status = status}});
}

static inline void world_run_dial(struct world *w, struct world_job *job)
{
    struct world_node *to = &w->at[job->peer];
    struct stoq_node_event up = {.kind = STOQ_NODE_LINK_UP,
                                 .u.link = {.rtt_ns = w->rtt, .local = w->local}};
    if (to->dead || to->fault == WORLD_ABSENT || to->fault == WORLD_WRONG_KEY) {
        world_link_down(w, job->node, job->peer,
                        to->fault == WORLD_WRONG_KEY ? STOQ_PROOF : STOQ_TIMEOUT);
        return;
    }
    to->linked[job->node] = true;
    w->at[job->node].linked[job->peer] = true;
    up.u.link.peer = job->node;
    (void)world_feed(w, job->peer, up);
    up.u.link.peer = job->peer;
    (void)world_feed(w, job->node, up);
}

static inline void world_kill(struct world *w, uint32_t node)
{
    w->at[node].dead = true;
    for (uint32_t i = 0; i < WORLD_NODES; i++) {
        if (i != node && w->at[i].linked[node]) {
            world_link_down(w, i, node, STOQ_NET);
        }
    }
}

/* ---- the store's answers ---- */

static inline void world_run_loaded(struct world *w, struct world_job *job)
{
    struct stoq_node_event ev = {
        .kind = STOQ_NODE_LOADED,
        .u.loaded = {job->cookie, job->status, stoq_span(job->bytes, job->n)}};
    (void)world_feed(w, job->node, ev);
}

static inline void world_run_have(struct world *w, struct world_job *job)
{
    struct stoq_node_event ev = {.kind = STOQ_NODE_HAVE, .u.have = {job->cookie, job->bytes}};
    (void)world_feed(w, job->node, ev);
}

static inline void world_run_saved(struct world *w, struct world_job *job)
{
    struct stoq_node_event ev = {.kind = STOQ_NODE_SAVED, .u.ended = {job->cookie, job->status}};
    (void)world_feed(w, job->node, ev);
}

static inline void world_load(struct world *w, uint32_t node, const struct stoq_node_meta *m)
{
    const struct world_record *r = world_get(&w->at[node], m->kind, &m->key);
    struct world_job job = {.at = w->now + STOQ_MS / 10,
                            .run = world_run_loaded,
                            .node = node,
                            .cookie = m->cookie,
                            .status = r == NULL ? STOQ_NOTFOUND : STOQ_OK};
    if (r != NULL) {
        job.n = r->n;
        job.bytes = malloc(r->n + 1);
        memcpy(job.bytes, r->bytes, r->n);
    }
    world_push(w, job);
}

static inline void world_save(struct world *w, uint32_t node, const struct stoq_node_meta *m)
{
    struct world_node *n = &w->at[node];
    if (m->kind == STOQ_META_SIGNATURES) {
        struct stoq_buf framed;
        uint8_t length[4];
        stoq_buf_init(&framed, 10000);
        stoq_le32_put(length, (uint32_t)m->bytes.n);
        assert_int_equal(stoq_buf_add(&framed, stoq_span(length, 4)), STOQ_OK);
        assert_int_equal(stoq_buf_add(&framed, m->bytes), STOQ_OK);
        (void)world_put(n, m->kind, &m->key, stoq_buf_span(&framed));
        stoq_buf_release(&framed);
    } else {
        (void)world_put(n, m->kind, &m->key, m->bytes);
    }
    world_push(w, (struct world_job){.at = w->now + STOQ_MS / 5,
                                     .run = world_run_saved,
                                     .node = node,
                                     .cookie = m->cookie,
                                     .status = n->store_full ? STOQ_FULL : STOQ_OK});
}

static inline void world_check(struct world *w, uint32_t node, const struct stoq_node_check *c)
{
    struct world_job job = {.at = w->now + STOQ_MS / 5,
                            .run = world_run_have,
                            .node = node,
                            .cookie = c->cookie,
                            .bytes = calloc(1, (c->chunk_count + 7) / 8)};
    for (uint32_t i = 0; i < c->chunk_count; i++) {
        struct stoq_merkle_chunk chunk = stoq_merkle_chunk_at(c->chunk_list, i);
        if (world_get(&w->at[node], 0, &chunk.hash) != NULL) {
            job.bytes[i / 8] |= (uint8_t)(1u << (i & 7));
        }
    }
    world_push(w, job);
}

/* ---- actions ---- */

static inline void world_cancel(struct world *w, uint32_t node, const struct stoq_node_cancel *c)
{
    struct world_ask *a = stoq_map_get(&w->at[node].asks, (struct stoq_map_key){c->cookie, 0});
    if (a != NULL && !a->over) {
        a->over = true;
        world_push(w, (struct world_job){.at = w->now + STOQ_MS,
                                         .run = world_run_lost,
                                         .node = node,
                                         .cookie = c->cookie,
                                         .status = STOQ_CANCELLED});
    }
}

static inline void world_act(struct world *w, uint32_t node, const struct stoq_node_action *a)
{
    struct world_node *n = &w->at[node];
    struct stoq_buf out;
    struct world_ask *ask;
    switch (a->kind) {
    case STOQ_NODE_DIAL:
        n->dials++;
        world_push(w, (struct world_job){.at = w->now + w->rtt,
                                         .run = world_run_dial,
                                         .node = node,
                                         .peer = a->u.dial.peer});
        break;
    case STOQ_NODE_ASK:
        ask = world_ask_new(n, a->u.ask.peer, a->u.ask.cookie);
        ask->payload_max = a->u.ask.payload_max;
        world_send(w, node, ask, a->u.ask.msg);
        break;
    case STOQ_NODE_ASK_CHUNKS:
        world_ask_chunks(w, node, &a->u.ask_chunks);
        break;
    case STOQ_NODE_CANCEL:
        world_cancel(w, node, &a->u.cancel);
        break;
    case STOQ_NODE_LOAD_META:
        world_load(w, node, &a->u.meta);
        break;
    case STOQ_NODE_SAVE_META:
        world_save(w, node, &a->u.meta);
        break;
    case STOQ_NODE_CHECK_HAVE:
        world_check(w, node, &a->u.check);
        break;
    case STOQ_NODE_SYNC:
        n->unsynced = 0;
        world_push(w, (struct world_job){.at = w->now + 5 * STOQ_MS,
                                         .run = world_run_saved,
                                         .node = node,
                                         .cookie = a->u.sync.cookie});
        break;
    case STOQ_NODE_SAVE_PACKAGE:
        assert_int_equal(n->unsynced, 0); /* everything it names is durable */
        n->recorded++;
        world_push(w, (struct world_job){.at = w->now + 5 * STOQ_MS,
                                         .run = world_run_saved,
                                         .node = node,
                                         .cookie = a->u.package.cookie});
        break;
    case STOQ_NODE_DONE:
        if (a->u.done.fetch == 2) {
            assert_false(n->second_done);
            n->second_done = true;
            n->second = *a->u.done.report;
            break;
        }
        assert_false(n->done);
        n->done = true;
        n->report = *a->u.done.report;
        break;
    case STOQ_NODE_CHARGE:
        n->charges++;
        break;
    case STOQ_NODE_CLOSE:
        n->closes++;
        if (n->linked[a->u.close.peer]) {
            world_link_down(w, a->u.close.peer, node, STOQ_NET);
            world_link_down(w, node, a->u.close.peer, STOQ_NET);
        }
        break;
    case STOQ_NODE_SEND:
        stoq_buf_init(&out, 70000);
        assert_int_equal(stoq_message_encode(a->u.send.msg, &out), STOQ_OK);
        world_answer_whole(w, node, a->u.send.stream, &out, false);
        stoq_buf_release(&out);
        break;
    case STOQ_NODE_SERVE_META:
        world_serve_meta(w, node, &a->u.serve);
        break;
    case STOQ_NODE_SERVE_CHUNKS:
        world_serve_chunks(w, node, &a->u.serve);
        break;
    }
}

static inline void world_drain(struct world *w, uint32_t node)
{
    struct stoq_node_action a;
    uint32_t steps = 0;
    while (stoq_node_poll(w->at[node].node, w->now, &a)) {
        assert_true(++steps < 100000);
        world_note(w, a.kind, node);
        world_act(w, node, &a);
    }
}

static inline enum stoq_status world_feed(struct world *w, uint32_t node, struct stoq_node_event ev)
{
    return stoq_node_feed(w->at[node].node, &ev, w->now);
}

/* One step: the next job or deadline. False: nothing is to come. */
static inline bool world_step(struct world *w)
{
    stoq_ns at = w->heap_count > 0 ? w->heap[0]->at : STOQ_NEVER;
    bool is_job = at != STOQ_NEVER;
    for (uint32_t i = 0; i < WORLD_NODES && w->at[i].node != NULL; i++) {
        world_drain(w, i);
        stoq_ns mine = w->at[i].dead ? STOQ_NEVER : stoq_node_deadline(w->at[i].node);
        is_job = is_job && at <= mine;
        at = mine < at ? mine : at;
        struct world_node *n = &w->at[i];
        if (n->fault == WORLD_DIES && !n->dead && n->fault_at <= w->now) {
            world_kill(w, i);
        }
    }
    if (w->heap_count > 0 && w->heap[0]->at <= at) {
        at = w->heap[0]->at;
        is_job = true;
    }
    if (at == STOQ_NEVER) {
        return false;
    }
    w->now = at > w->now ? at : w->now;
    if (is_job) {
        struct world_job *job = world_pop(w);
        job->run(w, job);
        free(job->bytes);
        free(job);
    }
    for (uint32_t i = 0; i < WORLD_NODES && w->at[i].node != NULL; i++) {
        world_drain(w, i);
    }
    return true;
}

/* Run until node's fetch is over; how long that took. */
static inline stoq_ns world_run(struct world *w, uint32_t node)
{
    stoq_ns start = w->now;
    while (!w->at[node].done) {
        assert_true(world_step(w)); /* a fetch never waits for nothing */
        assert_true(w->now - start < 600 * STOQ_SEC);
    }
    return w->now - start;
}

static inline void world_fetch(struct world *w, uint32_t node, const stoq_peer *sources,
                               uint32_t count)
{
    struct stoq_node_event ev = {
        .kind = STOQ_NODE_FETCH,
        .u.fetch = {.fetch = 1, .id = w->id, .sources = sources, .source_count = count}};
    w->at[node].done = false;
    enum stoq_status st = world_feed(w, node, ev);
    if (st == STOQ_NOMEM) {
        st = world_feed(w, node, ev);
    }
    assert_int_equal(st, STOQ_OK);
}

/* Run until a fetch has brought so many bytes. */
static inline void world_run_to(struct world *w, uint32_t node, stoq_fetch_id fetch, uint64_t bytes)
{
    struct stoq_node_fetch_progress p = {0};
    do {
        assert_true(world_step(w));
        assert_true(stoq_node_fetch_progress(w->at[node].node, fetch, &p));
    } while (p.bytes_done < bytes || p.bytes_done == 0);
}

/* Run until nothing happens by itself for a while. */
static inline void world_settle(struct world *w)
{
    stoq_ns until = w->now + 2 * STOQ_SEC;
    do {
        (void)world_step(w);
    } while (w->heap_count > 0 && w->now < until);
}

/* ---- a package ---- */

static inline void world_put_shard(struct world_node *n, const struct stoq_merkle_closed *closed,
                                   struct stoq_buf *shard_list)
{
    uint8_t entry[STOQ_MERKLE_SHARD_ENTRY_BYTES];
    stoq_merkle_shard_put(entry, &closed->shard);
    assert_int_equal(stoq_buf_add(shard_list, stoq_span(entry, sizeof entry)), STOQ_OK);
    (void)world_put(n, STOQ_META_CHUNK_LISTS, &closed->shard.root, closed->list);
}

/* Publish a package of random chunks at a node; edit: which run of ten chunks differs (0: none). */
static inline void world_publish(struct world *w, uint32_t node, uint64_t chunks, uint64_t seed,
                                 uint64_t edit)
{
    struct world_node *n = &w->at[node];
    struct stoq_prng r = stoq_prng(seed);
    struct stoq_merkle *tree;
    struct stoq_merkle_config cfg = {.chunk_bytes_max = STOQ_MERKLE_CHUNK_BYTES_MAX};
    struct stoq_buf list;
    struct stoq_merkle_closed closed;
    struct stoq_merkle_root root;
    bool is_closed;
    uint64_t table_bytes = 0;
    assert_int_equal(stoq_merkle_new(&tree, &cfg), STOQ_OK);
    stoq_buf_init(&list, 1 << 20);
    for (uint64_t i = 0; i < chunks; i++) {
        uint8_t bytes[4096];
        if (w->period != 0) {
            r = stoq_prng(seed + i % w->period);
        }
        size_t size = 512 + (size_t)stoq_prng_below(&r, 3000);
        uint64_t salt = edit != 0 && i / 10 == edit ? 1 : 0;
        for (size_t k = 0; k < size; k += 8) {
            stoq_le64_put(bytes + k, stoq_prng_next(&r) + salt);
        }
        struct stoq_merkle_chunk chunk = {stoq_hash_blake3(stoq_span(bytes, size)), (uint32_t)size};
        (void)world_put(n, 0, &chunk.hash, stoq_span(bytes, size));
        assert_int_equal(stoq_merkle_add(tree, &chunk, &closed, &is_closed), STOQ_OK);
        table_bytes = i == 0 ? size : table_bytes;
        if (is_closed) {
            world_put_shard(n, &closed, &list);
        }
    }
    stoq_merkle_finish(tree, &closed, &is_closed, &root);
    if (is_closed) {
        world_put_shard(n, &closed, &list);
    }
    stoq_merkle_free(tree);
    (void)world_put(n, STOQ_META_SHARD_LIST, &root.hash, stoq_buf_span(&list));
    struct stoq_manifest *m = calloc(1, sizeof *m);
    *m = (struct stoq_manifest){.name = stoq_span_str("test"),
                                .version = stoq_span_str("1"),
                                .profile = STOQ_PROFILE_1,
                                .table_bytes = table_bytes,
                                .entries = chunks > 0 ? 1 : 0,
                                .shards = root.shards,
                                .chunks = root.chunks,
                                .bytes = root.bytes,
                                .root = root.hash};
    stoq_buf_clear(&list);
    assert_int_equal(stoq_manifest_encode(m, &list), STOQ_OK);
    w->id = stoq_manifest_id(stoq_buf_span(&list));
    w->bytes = root.bytes;
    w->chunks = root.chunks;
    w->shards = root.shards;
    (void)world_put(n, STOQ_META_MANIFEST, &w->id.h, stoq_buf_span(&list));
    stoq_buf_release(&list);
    free(m);
}

/* Copy everything one node has to another. */
static inline void world_copy(struct world *w, uint32_t from, uint32_t to)
{
    struct world_node *n = &w->at[from];
    for (size_t i = 0; i < n->store.capacity; i++) {
        const struct world_record *r = n->store.slots[i].value;
        if (r != NULL) {
            (void)world_put(&w->at[to], n->store.slots[i].key.b, &r->key,
                            stoq_span(r->bytes, r->n));
        }
    }
}

/* The fetch was a full success and the package is whole in the node's store. */
static inline void world_check_whole(struct world *w, uint32_t node)
{
    struct world_node *n = &w->at[node];
    assert_true(n->done);
    assert_int_equal(n->report.status, STOQ_OK);
    assert_int_equal(n->recorded, 1);
    assert_int_equal(n->report.bytes, w->bytes);
    assert_int_equal(n->report.chunks, w->chunks);
    assert_int_equal(n->report.bytes_had + n->report.bytes_from_peers + n->report.bytes_shared,
                     w->bytes);
    assert_int_equal(n->report.chunks_had + n->report.chunks_from_peers + n->report.chunks_shared,
                     w->chunks);
    for (uint64_t i = 0; i < w->chunks; i++) {
        struct stoq_hash h;
        assert_true(world_chunk_hash(n, &w->id, i, &h));
        assert_non_null(world_get(n, 0, &h));
    }
}

#endif
