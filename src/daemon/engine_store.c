/*
 * The node's store actions. Each is a job: it runs on a worker, and its closing event is fed when it
 * comes back. What the node lends with SAVE_META and CHECK_HAVE stays lent until then.
 */
#include "daemon/engine_internal.h"

#include <stdlib.h>
#include <string.h>

#include "daemon/local.h"
#include "daemon/seed.h"

struct task {
    struct stoq_job job;
    struct stoq_engine *engine;
    stoq_node_cookie cookie;
    enum stoq_meta_kind kind;
    struct stoq_hash key;
    struct stoq_key_id signer;
    struct stoq_span bytes; /* the node's */
    uint32_t count;
    stoq_fetch_id fetch;
    struct stoq_seed *seed; /* held; NULL: none */
    uint64_t seed_bytes;
    uint64_t seed_bytes_new;
    struct stoq_buf out;
    enum stoq_status status;
    struct stoq_error err;
};

static struct task *task_new(struct stoq_engine *e, stoq_node_cookie cookie,
                             void (*work)(struct stoq_job *), void (*done)(struct stoq_job *))
{
    struct task *t = calloc(1, sizeof *t);
    if (t != NULL) {
        t->job = (struct stoq_job){.work = work, .done = done};
        t->engine = e;
        t->cookie = cookie;
        stoq_buf_init(&t->out, STOQ_RECORD_BYTES_MAX);
    }
    return t;
}

static void task_run(struct task *t)
{
    enum stoq_status st = engine_run(t->engine, &t->job);
    if (st != STOQ_OK) {
        t->engine->jobs++; /* done takes it back */
        t->status = st;
        t->job.done(&t->job);
    }
}

static void task_free(struct task *t)
{
    engine_job_done(t->engine);
    stoq_buf_release(&t->out);
    free(t);
}

static enum stoq_record_type record_of(enum stoq_meta_kind kind)
{
    switch (kind) {
    case STOQ_META_MANIFEST:
        return STOQ_RECORD_MANIFEST;
    case STOQ_META_SHARD_LIST:
        return STOQ_RECORD_SHARD_LIST;
    case STOQ_META_CHUNK_LISTS:
        return STOQ_RECORD_CHUNK_LIST;
    default:
        return STOQ_RECORD_SIGNATURE;
    }
}

struct gather {
    struct stoq_store *store;
    const struct stoq_hash *package;
    struct stoq_buf *out;
    struct stoq_buf one;
    size_t count;
};

static bool gather_one(void *user, struct stoq_span key, struct stoq_stored info)
{
    struct gather *g = user;
    (void)info;
    int order = key.n >= 32 ? memcmp(key.p, g->package->b, 32) : -1;
    if (order != 0) {
        return order < 0; /* keys come in order: past it, nothing follows */
    }
    uint8_t head[4];
    if (stoq_store_read(g->store, STOQ_RECORD_SIGNATURE, key, 0, &g->one, NULL) != STOQ_OK) {
        return true;
    }
    stoq_le32_put(head, (uint32_t)g->one.n);
    if (stoq_buf_add(g->out, stoq_span(head, sizeof head)) == STOQ_OK &&
        stoq_buf_add(g->out, stoq_buf_span(&g->one)) == STOQ_OK) {
        g->count++;
    }
    return g->count < STOQ_META_SIGNATURES_MAX;
}

size_t engine_signatures(struct stoq_store *store, const struct stoq_hash *package,
                         struct stoq_buf *out)
{
    struct gather g = {.store = store, .package = package, .out = out};
    stoq_buf_init(&g.one, STOQ_ENVELOPE_MAX);
    /* A listing that fails has found nothing: the peer is asked for signatures then. */
    enum stoq_status st = stoq_store_each(store, STOQ_RECORD_SIGNATURE, gather_one, &g, NULL);
    stoq_buf_release(&g.one);
    return st == STOQ_OK ? g.count : 0;
}

static void load_work(struct stoq_job *job)
{
    struct task *t = (struct task *)job; /* its first member */
    if (t->kind == STOQ_META_SIGNATURES) {
        size_t n = engine_signatures(t->engine->cfg.store, &t->key, &t->out);
        t->status = n > 0 ? STOQ_OK : STOQ_NOTFOUND;
        return;
    }
    t->status = stoq_store_read(t->engine->cfg.store, record_of(t->kind),
                                stoq_span(t->key.b, sizeof t->key.b), 0, &t->out, &t->err);
}

static void load_done(struct stoq_job *job)
{
    struct task *t = (struct task *)job;
    struct stoq_node_event ev = {
        .kind = STOQ_NODE_LOADED,
        .u.loaded = {.cookie = t->cookie, .status = t->status, .bytes = stoq_buf_span(&t->out)}};
    (void)engine_feed(t->engine, &ev);
    task_free(t);
}

void engine_load_meta(struct stoq_engine *e, const struct stoq_node_meta *m)
{
    struct task *t = task_new(e, m->cookie, load_work, load_done);
    if (t == NULL) {
        struct stoq_node_event ev = {.kind = STOQ_NODE_LOADED,
                                     .u.loaded = {.cookie = m->cookie, .status = STOQ_NOMEM}};
        (void)engine_feed(e, &ev);
        return;
    }
    t->kind = m->kind;
    t->key = m->key;
    task_run(t);
}

void engine_store_refused(struct stoq_engine *e, const struct stoq_error *err)
{
    if (e->store_refused.status != err->status) {
        engine_log(e, "the store refuses data: %s", err->text);
    }
    e->store_refused = *err;
    e->store_refused_at = stoq_now();
    e->store_refusals++;
}

void engine_store_took(struct stoq_engine *e)
{
    if (e->store_refused.status == STOQ_OK ||
        stoq_now() < e->store_refused_at + ENGINE_STORE_CALM) {
        return;
    }
    engine_log(e, "the store takes data again; refused meanwhile: %llu",
               (unsigned long long)e->store_refusals);
    e->store_refused = (struct stoq_error){0};
    e->store_refusals = 0;
}

static void saved(struct stoq_job *job)
{
    struct task *t = (struct task *)job;
    if (t->status != STOQ_OK) {
        engine_store_refused(t->engine, &t->err);
    } else {
        engine_store_took(t->engine);
    }
    struct stoq_node_event ev = {.kind = STOQ_NODE_SAVED,
                                 .u.ended = {.cookie = t->cookie, .status = t->status}};
    (void)engine_feed(t->engine, &ev);
    task_free(t);
}

static struct task *saving(struct stoq_engine *e, stoq_node_cookie cookie,
                           void (*work)(struct stoq_job *))
{
    struct task *t = task_new(e, cookie, work, saved);
    if (t == NULL) {
        struct stoq_node_event ev = {.kind = STOQ_NODE_SAVED,
                                     .u.ended = {.cookie = cookie, .status = STOQ_NOMEM}};
        (void)engine_feed(e, &ev);
    }
    return t;
}

static void save_work(struct stoq_job *job)
{
    struct task *t = (struct task *)job;
    uint8_t key[64];
    size_t n = 32;
    memcpy(key, t->key.b, 32);
    if (t->kind == STOQ_META_SIGNATURES) {
        memcpy(key + 32, t->signer.h.b, 32);
        n = 64;
    }
    t->status = stoq_store_put(t->engine->cfg.store, record_of(t->kind), stoq_span(key, n), 0,
                               t->bytes, NULL, &t->err);
}

void engine_save_meta(struct stoq_engine *e, const struct stoq_node_meta *m)
{
    struct task *t = saving(e, m->cookie, save_work);
    if (t != NULL) {
        t->kind = m->kind;
        t->key = m->key;
        t->signer = m->signer;
        t->bytes = m->bytes;
        task_run(t);
    }
}

static void sync_work(struct stoq_job *job)
{
    struct task *t = (struct task *)job;
    t->status = stoq_store_sync(t->engine->cfg.store, &t->err);
}

void engine_sync(struct stoq_engine *e, stoq_node_cookie cookie)
{
    struct task *t = saving(e, cookie, sync_work);
    if (t != NULL) {
        task_run(t);
    }
}

static void package_work(struct stoq_job *job)
{
    struct task *t = (struct task *)job;
    struct stoq_package_id id = {t->key};
    struct stoq_store *store = t->engine->cfg.store;
    t->status = stoq_local_set_complete(store, &id, true, &t->err);
    if (t->status == STOQ_OK) {
        t->status = stoq_store_sync(store, &t->err);
    }
}

void engine_save_package(struct stoq_engine *e, const struct stoq_node_package *p)
{
    struct task *t = saving(e, p->cookie, package_work);
    if (t != NULL) {
        t->key = p->id.h;
        task_run(t);
    }
}

/* Put the chunk into the store if the seed has it. */
static enum stoq_status take_from_seed(struct task *t, const struct stoq_merkle_chunk *chunk,
                                       struct stoq_buf *bytes)
{
    enum stoq_status st = stoq_seed_read(t->seed, chunk, bytes);
    if (st != STOQ_OK) {
        return st;
    }
    bool is_new = false;
    st = stoq_store_put(t->engine->cfg.store, STOQ_RECORD_CHUNK,
                        stoq_span(chunk->hash.b, sizeof chunk->hash.b), 0, stoq_buf_span(bytes),
                        &is_new, &t->err);
    if (st == STOQ_OK) {
        t->seed_bytes += chunk->bytes;
        t->seed_bytes_new += is_new ? chunk->bytes : 0;
    }
    return st;
}

/* What the store lacks and the seed has. When the store refuses one, the rest are left to the peers'
 * chunks: those it refuses too, and that ends the fetch with its reason. */
static void take_seeds(struct task *t)
{
    struct stoq_buf bytes;
    enum stoq_status st = STOQ_OK;
    stoq_buf_init(&bytes, STOQ_MERKLE_CHUNK_BYTES_MAX);
    for (uint32_t i = 0; (st == STOQ_OK || st == STOQ_NOTFOUND) && i < t->count; i++) {
        if ((t->out.p[i / 8] >> (i & 7) & 1) == 0) {
            const struct stoq_merkle_chunk chunk = stoq_merkle_chunk_at(t->bytes, i);
            st = take_from_seed(t, &chunk, &bytes);
            t->out.p[i / 8] |= (uint8_t)((st == STOQ_OK ? 1u : 0u) << (i & 7));
        }
    }
    stoq_buf_release(&bytes);
}

static void check_work(struct stoq_job *job)
{
    struct task *t = (struct task *)job;
    uint8_t keys[64 * 32];
    size_t bytes = (t->count + 7u) / 8;
    t->status = stoq_buf_reserve(&t->out, bytes);
    if (t->status != STOQ_OK) {
        return;
    }
    memset(t->out.p, 0, bytes);
    t->out.n = bytes;
    for (uint32_t first = 0; first < t->count; first += 64) { /* whole bytes of bits each time */
        uint32_t n = t->count - first < 64 ? t->count - first : 64;
        for (uint32_t i = 0; i < n; i++) {
            memcpy(keys + 32 * i, t->bytes.p + (size_t)(first + i) * STOQ_MERKLE_CHUNK_ENTRY_BYTES,
                   32);
        }
        t->status = stoq_store_has_many(t->engine->cfg.store, STOQ_RECORD_CHUNK,
                                        stoq_span(keys, 32 * n), n, t->out.p + first / 8, &t->err);
        if (t->status != STOQ_OK) {
            return; /* then none counts as held */
        }
    }
    if (t->seed != NULL) {
        take_seeds(t);
    }
}

static void check_done(struct stoq_job *job)
{
    struct task *t = (struct task *)job;
    struct stoq_fetch *f = engine_fetch_find(t->engine, t->fetch);
    if (f != NULL) {
        f->seed_bytes += t->seed_bytes;
        f->seed_bytes_new += t->seed_bytes_new;
    }
    stoq_seed_drop(t->seed);
    struct stoq_node_event ev = {
        .kind = STOQ_NODE_HAVE,
        .u.have = {.cookie = t->cookie, .bits = t->status == STOQ_OK ? t->out.p : NULL}};
    (void)engine_feed(t->engine, &ev);
    task_free(t);
}

void engine_check_have(struct stoq_engine *e, const struct stoq_node_check *c)
{
    struct task *t = task_new(e, c->cookie, check_work, check_done);
    if (t == NULL) {
        struct stoq_node_event ev = {.kind = STOQ_NODE_HAVE, .u.have = {.cookie = c->cookie}};
        (void)engine_feed(e, &ev);
        return;
    }
    struct stoq_fetch *f = engine_fetch_find(e, c->fetch);
    t->bytes = c->chunk_list;
    t->count = c->chunk_count;
    t->fetch = c->fetch;
    t->seed = f == NULL ? NULL : f->ask->seed;
    if (t->seed != NULL) {
        stoq_seed_hold(t->seed); /* the fetch may be over before the job is */
    }
    task_run(t);
}
