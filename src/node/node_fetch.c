/*
 * A fetch walks: manifest, shard list, chunks (see node_window.c and node_swarm.c), sync, package record.
 * Sources are dialled at the start, all of them, while the store is asked for what an earlier,
 * interrupted fetch has left. Everything learned is saved as it is checked, so that this node serves it
 * on at once; the package record is written only when every chunk is durable. A fetch of a part ends
 * with its chunks and writes no record.
 */
#include "node/node_internal.h"

#include <string.h>

#include "wire/opening.h"

struct fetch *fetch_find(const struct stoq_node *n, stoq_fetch_id id)
{
    struct fetch *f = n->fetches;
    while (f != NULL && (f->over || f->id != id)) {
        f = f->next;
    }
    return f;
}

static enum stoq_node_step report_step(const struct fetch *f)
{
    switch (f->step) {
    case STEP_MANIFEST:
        return STOQ_NODE_STEP_MANIFEST;
    case STEP_SHARD_LIST:
        return STOQ_NODE_STEP_SHARD_LIST;
    default:
        return STOQ_NODE_STEP_CHUNKS;
    }
}

enum stoq_status fetch_begin(struct stoq_node *n, const struct stoq_node_fetch *ev)
{
    if (fetch_find(n, ev->fetch) != NULL) {
        return STOQ_EXISTS;
    }
    if (n->fetch_count == STOQ_NODE_FETCHES_MAX || ev->source_count > STOQ_NODE_SOURCES_MAX) {
        return STOQ_FULL;
    }
    struct fetch *f = stoq_alloc(&n->cfg.alloc, 1, sizeof *f);
    if (f == NULL) {
        return STOQ_NOMEM;
    }
    f->node = n;
    f->id = ev->fetch;
    f->package = ev->id;
    f->strategy = ev->strategy;
    f->priority = ev->priority;
    f->more = ev->more;
    f->is_part = ev->is_part;
    f->first = ev->is_part ? ev->first : 0;
    f->end = ev->is_part ? ev->end : UINT64_MAX;
    f->until = ev->until == 0 ? UINT64_MAX : ev->until;
    f->manifest_q.kind = STOQ_META_MANIFEST;
    f->list_q.kind = STOQ_META_SHARD_LIST;
    f->signatures_q.kind = STOQ_META_SIGNATURES;
    f->report.id = ev->id;
    f->report.started_at = n->now;
    f->next = n->fetches;
    n->fetches = f;
    n->fetch_count++;
    bool may_wait = !f->is_part && ev->until == 0;
    queue_enter(f, may_wait);
    for (uint32_t i = 0; i < ev->source_count; i++) {
        struct source *s = &f->sources[f->source_count++];
        *s = (struct source){.peer = ev->sources[i], .report = {.peer = ev->sources[i]}};
    }
    if (!may_wait) {
        fetch_start(f);
    }
    return STOQ_OK;
}

void fetch_start(struct fetch *f)
{
    enum stoq_status st = meta_load(f, STOQ_META_MANIFEST, f->package.h, 0);
    for (uint32_t i = 0; st == STOQ_OK && i < f->source_count && !f->over; i++) {
        st = fetch_source_begin(f, &f->sources[i]);
    }
    if (st != STOQ_OK && !f->over) {
        fetch_end(f, st);
    }
}

static void fill_report(const struct fetch *f, enum stoq_status status, struct stoq_node_report *r)
{
    r->status = status;
    r->step = report_step(f);
    r->ended_at = f->node->now;
    r->bytes = f->root.bytes;
    r->chunks = f->root.chunks;
    r->shards = f->root.shards;
    r->source_count = f->source_count;
    for (uint32_t i = 0; i < f->source_count; i++) {
        r->sources[i] = f->sources[i].report;
        if (status != STOQ_OK && f->sources[i].state == SOURCE_USABLE &&
            f->sources[i].said_missing) {
            r->sources[i].status = STOQ_NOTFOUND;
        }
    }
}

bool stoq_node_fetch_report(const struct stoq_node *n, stoq_fetch_id fetch,
                            struct stoq_node_report *out)
{
    const struct fetch *f = fetch_find(n, fetch);
    if (f == NULL) {
        return false;
    }
    *out = f->report;
    fill_report(f, STOQ_OK, out);
    return true;
}

void fetch_end(struct fetch *f, enum stoq_status status)
{
    struct stoq_node *n = f->node;
    if (f->over) {
        return;
    }
    f->over = true;
    n->fetch_count--;
    queue_leave(f);
    share_drop(f);
    for (struct pending *p = n->pending_first; p != NULL; p = p->next) {
        if (p->fetch == f) {
            node_pending_cancel(n, p);
            p->fetch = NULL;
        }
    }
    fill_report(f, status, &f->report);
    f->done_owed = true;
}

/* Queue DONE; without memory it is owed until there is some. */
static void pay_done(struct fetch *f)
{
    struct stoq_node *n = f->node;
    struct stoq_node_report *report = stoq_alloc(&n->cfg.alloc, 1, sizeof *report);
    struct out *o = report == NULL ? NULL : node_out(n, STOQ_NODE_DONE);
    if (o == NULL) {
        stoq_free(&n->cfg.alloc, report);
        n->retry_at = n->now + NOMEM_RETRY;
        return;
    }
    *report = f->report;
    o->report = report;
    o->action.u.done = (struct stoq_node_done){.fetch = f->id, .report = report};
    f->done_owed = false;
}

void fetch_free_over(struct stoq_node *n)
{
    struct fetch **at = &n->fetches;
    while (*at != NULL) {
        struct fetch *f = *at;
        if (f->over && f->done_owed) {
            pay_done(f);
        }
        if (!f->over || f->done_owed) {
            at = &f->next;
            continue;
        }
        *at = f->next;
        window_release(f);
        node_blob_drop(n, f->manifest_bytes);
        node_blob_drop(n, f->signatures);
        node_blob_drop(n, f->shard_list);
        node_blob_drop(n, f->chunk_lists);
        stoq_free(&n->cfg.alloc, f);
    }
}

/* Go on to the shard list: from the store, else from a source. */
static void want_shard_list(struct fetch *f)
{
    enum stoq_status st = STOQ_OK;
    if (f->root.shards == 0) {
        fetch_shard_list(f, stoq_span(NULL, 0), false, &st);
    } else {
        st = meta_load(f, STOQ_META_SHARD_LIST, f->root.hash, 0);
    }
    if (st != STOQ_OK) {
        fetch_end(f, st);
    }
}

/* True: it is the manifest that was wanted, and saved. Else it is not, or the fetch is over. */
static bool take_manifest(struct fetch *f, struct stoq_span bytes, bool from_store,
                          enum stoq_status *status)
{
    struct stoq_node *n = f->node;
    if (f->step != STEP_MANIFEST) {
        return false;
    }
    struct stoq_package_id id = stoq_manifest_id(bytes);
    if (!stoq_hash_eq(&id.h, &f->package.h)) {
        *status = STOQ_PROOF;
        return false;
    }
    f->manifest_q.open = false;
    struct stoq_manifest *m = &n->scratch;
    enum stoq_status st = stoq_manifest_decode(bytes, m);
    if (st != STOQ_OK) { /* the id names something that is no package we can read */
        fetch_end(f, st == STOQ_VERSION ? STOQ_VERSION : STOQ_PROOF);
        return false;
    }
    f->root = (struct stoq_merkle_root){
        .hash = m->root, .shards = m->shards, .chunks = m->chunks, .bytes = m->bytes};
    f->end = f->end < m->bytes ? f->end : m->bytes;
    if (f->first >= f->end) { /* nothing of the stream */
        f->first = 0;
        f->end = 0;
    }
    f->manifest_bytes = node_blob(n, bytes);
    st = f->manifest_bytes == NULL ? STOQ_NOMEM : STOQ_OK;
    if (st == STOQ_OK && !from_store) {
        st = meta_save(f, STOQ_META_MANIFEST, f->package.h, NULL, f->manifest_bytes);
    }
    if (st == STOQ_OK && m->shards * STOQ_MERKLE_SHARD_ENTRY_BYTES > STOQ_META_BYTES_MAX) {
        st = STOQ_FULL;
    }
    if (st != STOQ_OK) {
        fetch_end(f, st);
        return false;
    }
    f->step = STEP_SHARD_LIST;
    f->report.manifest_at = n->now;
    return true;
}

void fetch_manifest(struct fetch *f, struct stoq_span bytes, bool from_store,
                    enum stoq_status *status)
{
    if (!take_manifest(f, bytes, from_store, status)) {
        return;
    }
    enum stoq_status st = meta_load(f, STOQ_META_SIGNATURES, f->package.h, 0);
    if (st != STOQ_OK) {
        fetch_end(f, st);
        return;
    }
    want_shard_list(f);
}

/* Keep the chunk lists of all shards, one behind the other, for the window: each belongs to its shard. */
static enum stoq_status take_chunk_lists(struct fetch *f, struct stoq_span lists)
{
    struct stoq_span left = lists;
    for (uint64_t i = 0; i < f->root.shards; i++) {
        struct stoq_merkle_shard entry =
            stoq_merkle_shard_at(node_blob_span(f->shard_list), (size_t)i);
        size_t n = (size_t)entry.chunks * STOQ_MERKLE_CHUNK_ENTRY_BYTES;
        if (n > left.n || stoq_merkle_check_chunk_list(&entry, STOQ_MERKLE_CHUNK_BYTES_MAX,
                                                       stoq_span(left.p, n)) != STOQ_OK) {
            return STOQ_PROOF;
        }
        left = stoq_span(left.p + n, left.n - n);
    }
    if (left.n > 0) {
        return STOQ_MALFORMED;
    }
    f->chunk_lists = node_blob(f->node, lists); /* without memory they are asked for later */
    return STOQ_OK;
}

void fetch_opening(struct fetch *f, struct stoq_span payload, enum stoq_status *status)
{
    struct stoq_opening o;
    *status = stoq_opening_get(payload, &o);
    if (*status != STOQ_OK || !take_manifest(f, o.manifest, false, status)) {
        return;
    }
    f->signatures = node_blob(f->node, o.signatures);
    if (f->signatures == NULL) {
        fetch_signatures(f, o.signatures, false);
    }
    size_t list_bytes = (size_t)f->root.shards * STOQ_MERKLE_SHARD_ENTRY_BYTES;
    if (o.lists.n == 0) {
        want_shard_list(f);
        return;
    }
    f->list_q.open = true; /* until it is here: of another source, if this one's is none */
    if (o.lists.n < list_bytes) {
        *status = STOQ_MALFORMED;
        return;
    }
    fetch_shard_list(f, stoq_span(o.lists.p, list_bytes), false, status);
    struct stoq_span chunk_lists = stoq_span(o.lists.p + list_bytes, o.lists.n - list_bytes);
    if (*status == STOQ_OK && !f->over && chunk_lists.n > 0) {
        *status = take_chunk_lists(f, chunk_lists);
    }
}

void fetch_shard_list(struct fetch *f, struct stoq_span bytes, bool from_store,
                      enum stoq_status *status)
{
    if (f->step != STEP_SHARD_LIST || f->shard_list != NULL) {
        return;
    }
    *status = stoq_merkle_check_shard_list(&f->root, STOQ_MERKLE_CHUNK_BYTES_MAX, bytes);
    if (*status != STOQ_OK) {
        return;
    }
    f->list_q.open = false;
    f->shard_list = node_blob(f->node, bytes);
    enum stoq_status st = f->shard_list == NULL ? STOQ_NOMEM : STOQ_OK;
    if (st == STOQ_OK && !from_store) {
        st = meta_save(f, STOQ_META_SHARD_LIST, f->root.hash, NULL, f->shard_list);
    }
    if (st == STOQ_OK) {
        f->step = STEP_CHUNKS;
        f->report.shard_list_at = f->node->now;
        st = window_begin(f);
    }
    if (st != STOQ_OK) {
        fetch_end(f, st);
    }
}

static void take_signature(struct fetch *f, struct stoq_span envelope, bool from_store)
{
    struct stoq_key_id signer;
    struct stoq_node_report *r = &f->report;
    if (stoq_sign_verify(envelope, STOQ_SIGN_PACKAGE, &f->package.h, &signer) != STOQ_OK) {
        return; /* somebody's mistake, no proof of anything */
    }
    for (uint32_t i = 0; i < r->signer_count; i++) {
        if (stoq_hash_eq(&r->signers[i].h, &signer.h)) {
            return;
        }
    }
    if (r->signer_count == STOQ_NODE_SIGNERS_MAX) {
        return;
    }
    r->signers[r->signer_count++] = signer;
    struct blob *b = from_store ? NULL : node_blob(f->node, envelope);
    if (b != NULL) {
        (void)meta_save(f, STOQ_META_SIGNATURES, f->package.h, &signer, b);
        node_blob_drop(f->node, b);
    }
}

void fetch_signatures(struct fetch *f, struct stoq_span framed, bool from_store)
{
    struct stoq_rd r = stoq_rd(framed);
    for (uint32_t i = 0; i < STOQ_META_SIGNATURES_MAX && r.n > 0 && !r.bad; i++) {
        uint32_t n = stoq_rd_u32(&r);
        struct stoq_span envelope = stoq_rd_bytes(&r, n);
        if (!r.bad) {
            take_signature(f, envelope, from_store);
        }
    }
    if (!from_store) {
        f->signatures_q.open = false;
        f->signatures_done = true;
    }
}

void fetch_late(struct fetch *f)
{
    struct blob *signatures = f->signatures;
    f->signatures = NULL;
    if (signatures != NULL && !f->over) {
        fetch_signatures(f, node_blob_span(signatures), false);
    }
    node_blob_drop(f->node, signatures);
}

static enum stoq_status finish_step(struct fetch *f, enum stoq_node_action_kind kind)
{
    struct stoq_node *n = f->node;
    struct pending *p = node_pending(n, PENDING_SAVE, f);
    struct out *o = p == NULL ? NULL : node_out(n, kind);
    if (o == NULL) {
        if (p != NULL) {
            node_pending_close(n, p);
        }
        return STOQ_NOMEM;
    }
    p->finishing = true;
    if (kind == STOQ_NODE_SYNC) {
        o->action.u.sync.cookie = p->cookie;
    } else {
        o->action.u.package = (struct stoq_node_package){.cookie = p->cookie, .id = f->package};
    }
    return STOQ_OK;
}

void fetch_saved(struct fetch *f, struct pending *p, enum stoq_status status)
{
    if (status != STOQ_OK) {
        fetch_end(f, status);
        return;
    }
    if (!p->finishing) {
        f->saves--;
        return;
    }
    if (f->step == STEP_SYNC) {
        f->step = STEP_RECORD;
        enum stoq_status st = finish_step(f, STOQ_NODE_SAVE_PACKAGE);
        if (st != STOQ_OK) {
            fetch_end(f, st);
        }
        return;
    }
    fetch_end(f, STOQ_OK);
}

/* All chunks are here and everything learned is on its way to the store. */
static void drive_end(struct fetch *f)
{
    bool signatures = f->is_part || f->signatures_done || !fetch_source_hope(f);
    if (f->step != STEP_CHUNKS || !f->swarm_done || f->saves > 0 || !signatures) {
        return;
    }
    f->report.chunks_at = f->node->now;
    if (f->is_part) {
        fetch_end(f, STOQ_OK);
        return;
    }
    f->step = STEP_SYNC;
    enum stoq_status st = finish_step(f, STOQ_NODE_SYNC);
    if (st != STOQ_OK) {
        fetch_end(f, st);
    }
}

static bool waits_for_store(const struct fetch *f)
{
    for (const struct pending *p = f->node->pending_first; p != NULL; p = p->next) {
        if (p->fetch == f && (p->kind == PENDING_LOAD || p->kind == PENDING_HAVE)) {
            return true;
        }
    }
    return false;
}

/* Nobody can help any more: say so. */
static void drive_hopeless(struct fetch *f)
{
    bool needs_peers =
        f->manifest_q.open || f->list_q.open || (f->step == STEP_CHUNKS && !f->swarm_done);
    if (!needs_peers || f->more) {
        return;
    }
    if (!fetch_source_hope(f)) {
        if (!waits_for_store(f) && f->follows == 0) {
            fetch_end(f, fetch_verdict(f));
        }
        return;
    }
    if (!f->stuck) {
        return;
    }
    bool pending = false; /* somebody may yet join the swarm */
    for (uint32_t i = 0; i < f->source_count; i++) {
        const struct source *s = &f->sources[i];
        pending =
            pending || s->state == SOURCE_WAITED || (s->state == SOURCE_USABLE && !s->in_swarm);
    }
    bool is_due = f->node->now >= f->look_at;
    bool may_help = !is_due || swarm_look_again(f);
    if (!f->over && ((!pending && !may_help) || f->node->now >= f->stuck_until)) {
        fetch_end(f, fetch_verdict(f));
    }
}

void fetch_drive(struct fetch *f)
{
    if (f->waits) {
        return;
    }
    if (!f->over) {
        meta_drive(f);
    }
    if (!f->over && f->step == STEP_CHUNKS) {
        window_drive(f);
        have_drive(f);
    }
    if (!f->over) {
        drive_end(f);
    }
    if (!f->over) {
        drive_hopeless(f);
    }
    if (!f->over) {
        fetch_sources_again(f);
    }
}

stoq_ns fetch_deadline(const struct fetch *f)
{
    stoq_ns at = f->swarm == NULL ? STOQ_NEVER : stoq_swarm_deadline(f->swarm);
    stoq_ns map_at = have_deadline(f);
    at = map_at < at ? map_at : at;
    stoq_ns look_at = f->look_at < f->stuck_until ? f->look_at : f->stuck_until;
    if (f->stuck && look_at > f->node->now && look_at < at) {
        at = look_at;
    }
    stoq_ns source_at = fetch_sources_deadline(f);
    return source_at < at ? source_at : at;
}
