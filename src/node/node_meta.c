/*
 * Metadata of a fetch: manifest, shard list, chunk lists, signatures. Each is looked for in the store
 * first, then asked of one source after the other until one gives what fits. What does not fit is
 * that source's fault; what it lacks or cannot give now is not. Where the manifest is missing an opening
 * is asked for, which brings the rest of a small package along; who does not know that says so.
 */
#include "node/node_internal.h"

#include "wire/opening.h"

#define SIGNATURES_MAX ((uint64_t)STOQ_META_SIGNATURES_MAX * (4 + STOQ_ENVELOPE_MAX))
#define OPENING_MAX                                                                                \
    (8 + STOQ_MANIFEST_BYTES_MAX + SIGNATURES_MAX + STOQ_OPENING_LIST_MAX + STOQ_OPENING_CHUNKS_MAX)

enum stoq_status meta_load(struct fetch *f, enum stoq_meta_kind kind, struct stoq_hash key,
                           uint64_t shard)
{
    struct stoq_node *n = f->node;
    struct pending *p = node_pending(n, PENDING_LOAD, f);
    struct out *o = p == NULL ? NULL : node_out(n, STOQ_NODE_LOAD_META);
    if (o == NULL) {
        if (p != NULL) {
            node_pending_close(n, p);
        }
        return STOQ_NOMEM;
    }
    p->meta = kind;
    p->shard = shard;
    o->action.u.meta = (struct stoq_node_meta){.cookie = p->cookie, .kind = kind, .key = key};
    return STOQ_OK;
}

enum stoq_status meta_save(struct fetch *f, enum stoq_meta_kind kind, struct stoq_hash key,
                           const struct stoq_key_id *signer, struct blob *bytes)
{
    struct stoq_node *n = f->node;
    struct pending *p = node_pending(n, PENDING_SAVE, f);
    struct out *o = p == NULL ? NULL : node_out(n, STOQ_NODE_SAVE_META);
    if (o == NULL) {
        if (p != NULL) {
            node_pending_close(n, p);
        }
        return STOQ_NOMEM;
    }
    p->meta = kind;
    p->blob = bytes;
    bytes->refs++;
    o->action.u.meta = (struct stoq_node_meta){
        .cookie = p->cookie, .kind = kind, .key = key, .bytes = node_blob_span(bytes)};
    if (signer != NULL) {
        o->action.u.meta.signer = *signer;
    }
    f->saves++;
    return STOQ_OK;
}

/* Does it answer an opening, as far as is known? */
static bool opens(const struct fetch *f, const struct source *s)
{
    const struct link *l = node_link(f->node, s->peer);
    bool says_no =
        l != NULL && l->hello == HELLO_KNOWN && (l->said.features & STOQ_FEATURE_OPENING) == 0;
    return !s->no_opening && !says_no;
}

/* What opens a fetch is small; lists may be megabytes, and slow for that. */
static bool is_small(enum stoq_meta_kind kind)
{
    return kind == STOQ_META_MANIFEST || kind == STOQ_META_OPENING || kind == STOQ_META_SIGNATURES;
}

static uint32_t usable_but(const struct fetch *f, stoq_peer peer)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < f->source_count; i++) {
        n += f->sources[i].state == SOURCE_USABLE && f->sources[i].peer != peer;
    }
    return n;
}

/* A source may be dead and its connection not know it yet; nine of ten may. Once all were asked there is no
 * hurry. */
static stoq_ns patience(const struct fetch *f, const struct source *s, enum stoq_meta_kind kind)
{
    const struct link *l = node_link(f->node, s->peer);
    uint32_t slow = f->slow_in_a_row;
    if (!is_small(kind) || l == NULL || (slow > 0 && slow >= usable_but(f, s->peer))) {
        return META_PATIENCE;
    }
    uint32_t halves = slow < META_PATIENCE_HALVES ? slow : META_PATIENCE_HALVES;
    stoq_ns small = (META_PATIENCE_SMALL + 4 * l->rtt_ns) >> halves;
    return small < META_PATIENCE ? small : META_PATIENCE;
}

static bool ask(struct fetch *f, const struct source *s, bool early, enum stoq_meta_kind kind,
                struct stoq_range shards, uint64_t payload_max)
{
    struct stoq_node *n = f->node;
    struct pending *p = node_pending(n, PENDING_META, f);
    struct out *o = p == NULL ? NULL : node_out(n, STOQ_NODE_ASK);
    if (o == NULL) {
        if (p != NULL) {
            node_pending_close(n, p);
        }
        return false;
    }
    p->peer = s->peer;
    p->meta = kind;
    p->shards = shards;
    p->early = early;
    p->deadline = n->now + STOQ_NODE_META_TIMEOUT;
    p->other_at = n->now + patience(f, s, kind);
    o->msg = (struct stoq_message){
        .type = STOQ_MSG_METADATA_QUERY,
        .request_id = p->cookie,
        .u.metadata_query = {.id = f->package, .kind = kind, .shards = shards}};
    o->action.u.ask = (struct stoq_node_ask){.peer = s->peer,
                                             .cookie = p->cookie,
                                             .msg = &o->msg,
                                             .payload_max = (uint32_t)payload_max,
                                             .early = early};
    return true;
}

bool meta_ask(struct fetch *f, enum stoq_meta_kind kind, uint64_t payload_max)
{
    bool early;
    struct source *s = fetch_source_pick(f, &early);
    if (s == NULL) {
        return false;
    }
    if (kind == STOQ_META_MANIFEST && opens(f, s)) {
        kind = STOQ_META_OPENING;
        payload_max = OPENING_MAX;
    }
    return ask(f, s, early, kind, (struct stoq_range){0, 0}, payload_max);
}

bool meta_ask_lists(struct fetch *f, struct source *s, bool early, struct stoq_range shards,
                    uint64_t payload_max)
{
    return ask(f, s, early, STOQ_META_CHUNK_LISTS, shards, payload_max);
}

static void ask_question(struct fetch *f, struct question *q, uint64_t payload_max)
{
    if (q->open && !q->asked) {
        q->asked = meta_ask(f, q->kind, payload_max);
    }
}

void meta_drive(struct fetch *f)
{
    ask_question(f, &f->manifest_q, STOQ_MANIFEST_BYTES_MAX);
    ask_question(f, &f->list_q, f->root.shards * STOQ_MERKLE_SHARD_ENTRY_BYTES);
    ask_question(f, &f->signatures_q, SIGNATURES_MAX);
}

static struct question *question_of(struct fetch *f, enum stoq_meta_kind kind)
{
    switch (kind) {
    case STOQ_META_MANIFEST:
    case STOQ_META_OPENING:
        return &f->manifest_q;
    case STOQ_META_SHARD_LIST:
        return &f->list_q;
    case STOQ_META_SIGNATURES:
        return &f->signatures_q;
    default:
        return NULL;
    }
}

/* What was asked is not on its way any more. */
static void not_asked(struct fetch *f, const struct pending *p)
{
    struct question *q = question_of(f, p->meta);
    if (q != NULL) {
        q->asked = false;
    } else {
        window_asked(f, p->shards, false);
    }
}

void meta_ask_other(struct fetch *f, struct pending *p)
{
    if (usable_but(f, p->peer) > 0) {
        p->other = true;
        f->slow_in_a_row++;
        not_asked(f, p);
    }
}

void meta_source_came(struct fetch *f, stoq_peer peer)
{
    for (struct pending *p = f->node->pending_first; p != NULL; p = p->next) {
        bool overdue = p->kind == PENDING_META && p->meta != STOQ_META_HAVE_CHUNKS && !p->other &&
                       p->other_at == STOQ_NEVER;
        if (overdue && p->fetch == f && p->peer != peer) {
            p->other_at = f->node->now;
        }
    }
}

static enum stoq_node_step step_of(enum stoq_meta_kind kind)
{
    switch (kind) {
    case STOQ_META_SHARD_LIST:
        return STOQ_NODE_STEP_SHARD_LIST;
    case STOQ_META_CHUNK_LISTS:
        return STOQ_NODE_STEP_CHUNK_LISTS;
    default:
        return STOQ_NODE_STEP_MANIFEST;
    }
}

/* Hand the payload's lists to the window, one by one. */
static enum stoq_status take_lists(struct fetch *f, const struct pending *p,
                                   struct stoq_span payload)
{
    for (uint32_t i = 0; i < p->shards.count; i++) {
        struct stoq_merkle_shard entry =
            stoq_merkle_shard_at(node_blob_span(f->shard_list), (size_t)(p->shards.first + i));
        size_t want = (size_t)entry.chunks * STOQ_MERKLE_CHUNK_ENTRY_BYTES;
        if (payload.n < want) {
            return STOQ_MALFORMED;
        }
        enum stoq_status st = STOQ_OK;
        window_list(f, p->shards.first + i, stoq_span(payload.p, want), false, &st);
        if (st != STOQ_OK || f->over) {
            return st;
        }
        payload.p += want;
        payload.n -= want;
    }
    return payload.n == 0 ? STOQ_OK : STOQ_MALFORMED;
}

/* What the payload is worth: STOQ_OK, or the source's fault. */
static enum stoq_status take_payload(struct fetch *f, const struct pending *p,
                                     struct stoq_span payload)
{
    enum stoq_status st = STOQ_OK;
    switch (p->meta) {
    case STOQ_META_MANIFEST:
        fetch_manifest(f, payload, false, &st);
        break;
    case STOQ_META_OPENING:
        fetch_opening(f, payload, &st);
        break;
    case STOQ_META_SHARD_LIST:
        fetch_shard_list(f, payload, false, &st);
        break;
    case STOQ_META_CHUNK_LISTS:
        st = take_lists(f, p, payload);
        break;
    default:
        fetch_signatures(f, payload, false);
        break;
    }
    return st;
}

/* It has no room, or fetches the package too and lacks that yet. Many may have been told so at the same
 * moment: not all come back at the same moment. */
static void come_again(struct fetch *f, struct source *s)
{
    uint32_t doublings = (s->busy - 1) / BUSY_TRIES;
    stoq_ns wait = BUSY_RETRY << (doublings < BUSY_DOUBLINGS ? doublings : BUSY_DOUBLINGS);
    s->retry_at = f->node->now + wait / 2 + stoq_prng_below(&f->node->prng, wait / 2);
    s->lists_max = 1;
}

/* Something was to be had: whoever had nothing yet may have it by now. */
static void got_further(struct fetch *f, struct source *s, const struct pending *p)
{
    for (uint32_t i = 0; i < f->source_count; i++) {
        f->sources[i].busy = 0;
    }
    if (s != NULL && p->meta == STOQ_META_CHUNK_LISTS && s->lists_max < LISTS_PER_QUERY) {
        s->lists_max *= 2;
    }
}

/* No answer worth having: what that says of the source. said: it was an Error message. */
static void refused(struct fetch *f, struct source *s, struct pending *p, enum stoq_status status,
                    bool said)
{
    if (p->meta == STOQ_META_SIGNATURES && status == STOQ_NOTFOUND) {
        f->signatures_q.open = false;
        f->signatures_done = true;
        return;
    }
    if (p->early && status == STOQ_NET && !said) {
        /* Not taken: it is asked again when it is connected, as if this had not been. */
        struct link *l = node_link(f->node, p->peer);
        if (l != NULL) {
            l->early = false;
        }
        return;
    }
    if (s == NULL || s->state != SOURCE_USABLE) {
        return;
    }
    if (p->meta == STOQ_META_OPENING && said && status == STOQ_VERSION) {
        s->no_opening = true; /* it is asked for the manifest next */
        return;
    }
    /* Who fetches it too has lists later that it lacks now. */
    bool is_early =
        status == STOQ_BUSY || (status == STOQ_NOTFOUND && p->meta == STOQ_META_CHUNK_LISTS);
    if (is_early && ++s->busy < BUSY_MAX) {
        come_again(f, s);
        return;
    }
    if (status == STOQ_NET && !said && ++s->lost < LOST_MAX) {
        /* The connection's end is told by LINK_DOWN; a lone stream is asked again, in a while. */
        uint32_t doublings = s->lost - 1 < LOST_DOUBLINGS ? s->lost - 1 : LOST_DOUBLINGS;
        s->retry_at = f->node->now + (LOST_RETRY << doublings);
        return;
    }
    fetch_source_fail(f, s, status);
}

static enum stoq_status reply_status(const struct pending *p, const struct stoq_node_reply *reply)
{
    if (p->timed_out) {
        return STOQ_TIMEOUT;
    }
    if (reply->status != STOQ_OK) {
        return reply->status;
    }
    if (reply->msg->type == STOQ_MSG_ERROR) {
        return stoq_error_code_status(reply->msg->u.error.code);
    }
    bool fits = reply->msg->type == STOQ_MSG_RESPONSE && reply->msg->u.response.kind == p->meta;
    return fits ? STOQ_OK : STOQ_MALFORMED;
}

void meta_reply(struct stoq_node *n, struct pending *p, const struct stoq_node_reply *reply)
{
    struct fetch *f = p->fetch;
    STOQ_ASSERT(f != NULL);
    if (p->meta == STOQ_META_HAVE_CHUNKS) {
        have_reply(n, p, reply);
        return;
    }
    struct question *q = question_of(f, p->meta);
    struct source *s = fetch_source(f, p->peer);
    f->queries -= q == NULL;
    if (!p->other) {
        not_asked(f, p);
    }
    if (p->cancelled && !p->timed_out) {
        return;
    }
    enum stoq_status st = reply_status(p, reply);
    if (s != NULL && s->report.step < step_of(p->meta)) {
        s->report.step = step_of(p->meta);
    }
    if (st != STOQ_OK) {
        if (st == STOQ_MALFORMED || st == STOQ_FULL) {
            node_charge(n, p->peer, STOQ_NODE_BAD_REPLY, true);
        }
        refused(f, s, p, st,
                reply->status == STOQ_OK && !p->timed_out && reply->msg->type == STOQ_MSG_ERROR);
        return;
    }
    f->slow_in_a_row = 0;
    got_further(f, s, p);
    if (s != NULL) {
        s->lost = 0;
        s->report.wire_bytes += reply->payload.n;
    }
    f->report.bytes_wire += reply->payload.n;
    st = take_payload(f, p, reply->payload);
    if (st != STOQ_OK && !f->over) {
        node_charge(n, p->peer, STOQ_NODE_BAD_METADATA, true);
        if (s != NULL) {
            fetch_source_fail(f, s, STOQ_PROOF);
        }
    }
}

void meta_loaded(struct stoq_node *n, struct pending *p, const struct stoq_node_loaded *loaded)
{
    struct fetch *f = p->fetch;
    enum stoq_status st = loaded->status;
    (void)n;
    switch (p->meta) {
    case STOQ_META_MANIFEST:
        if (st == STOQ_OK) {
            fetch_manifest(f, loaded->bytes, true, &st);
        }
        f->manifest_q.open = st != STOQ_OK;
        break;
    case STOQ_META_SHARD_LIST:
        if (st == STOQ_OK) {
            fetch_shard_list(f, loaded->bytes, true, &st);
        }
        f->list_q.open = st != STOQ_OK;
        break;
    case STOQ_META_CHUNK_LISTS:
        f->loads--;
        if (st == STOQ_OK) {
            window_list(f, p->shard, loaded->bytes, true, &st);
        }
        if (st != STOQ_OK) {
            window_list_missing(f, p->shard);
        }
        break;
    default:
        if (st == STOQ_OK) {
            fetch_signatures(f, loaded->bytes, true);
        }
        f->signatures_q.open = f->report.signer_count == 0 && f->source_count > 0;
        f->signatures_done = !f->signatures_q.open;
        break;
    }
}
