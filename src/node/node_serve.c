/*
 * Requests of others: which are answered at once, which are served from the store, which are refused.
 * A peer has a few requests under way at a time and a few mistakes per connection.
 */
#include "node/node_internal.h"

#include <string.h>

static struct out *reply(struct stoq_node *n, stoq_peer peer, stoq_stream stream,
                         enum stoq_node_action_kind kind)
{
    struct out *o = node_out(n, kind);
    if (o == NULL) {
        return NULL;
    }
    struct link *l = node_link(n, peer);
    n->replies++;
    if (l != NULL) {
        l->replies++;
    }
    if (kind == STOQ_NODE_SEND) {
        o->action.u.send = (struct stoq_node_send){.peer = peer, .stream = stream, .msg = &o->msg};
    } else {
        o->action.u.serve.peer = peer;
        o->action.u.serve.stream = stream;
    }
    return o;
}

static void refuse(struct stoq_node *n, stoq_peer peer, stoq_stream stream, uint64_t request_id,
                   enum stoq_error_code code, const char *text)
{
    struct out *o = reply(n, peer, stream, STOQ_NODE_SEND);
    n->requests_refused++;
    if (o == NULL) {
        return;
    }
    o->msg = (struct stoq_message){.type = STOQ_MSG_ERROR,
                                   .request_id = request_id,
                                   .u.error = {.code = code, .text = stoq_span_str(text)}};
}

static void answer_hello(struct stoq_node *n, struct link *l, const struct stoq_node_inbound *in)
{
    node_link_hello_in(n, l, &in->msg->u.hello);
    if (l->hello == HELLO_FAILED) {
        refuse(n, in->peer, in->stream, in->msg->request_id, STOQ_ERR_UNSUPPORTED,
               "this peer speaks protocol version 1 only");
        return;
    }
    struct out *o = reply(n, in->peer, in->stream, STOQ_NODE_SEND);
    if (o != NULL) {
        o->msg = (struct stoq_message){.type = STOQ_MSG_HELLO,
                                       .request_id = in->msg->request_id,
                                       .u.hello = stoq_node_hello(n)};
    }
}

static void answer_ping(struct stoq_node *n, const struct stoq_node_inbound *in)
{
    struct out *o = reply(n, in->peer, in->stream, STOQ_NODE_SEND);
    if (o != NULL) {
        o->msg = (struct stoq_message){.type = STOQ_MSG_PING, .request_id = in->msg->request_id};
    }
}

static bool has_room(struct stoq_node *n, const struct link *l)
{
    uint32_t all = n->cfg.serves_max == 0 ? STOQ_NODE_SERVES_MAX : n->cfg.serves_max;
    uint32_t one = n->cfg.serves_link_max == 0 ? STOQ_NODE_SERVES_LINK_MAX : n->cfg.serves_link_max;
    uint32_t least =
        n->cfg.serves_link_least == 0 ? STOQ_NODE_SERVES_LINK_LEAST : n->cfg.serves_link_least;
    return l->serves < one && (n->serves < all || l->serves < least);
}

static void serve_meta(struct stoq_node *n, const struct stoq_node_inbound *in)
{
    const struct stoq_msg_metadata_query *q = &in->msg->u.metadata_query;
    struct out *o = reply(n, in->peer, in->stream, STOQ_NODE_SERVE_META);
    if (o != NULL) {
        o->action.u.serve.request_id = in->msg->request_id;
        o->action.u.serve.id = q->id;
        o->action.u.serve.kind = q->kind;
        o->action.u.serve.shards = q->shards;
    }
}

static bool serve_chunks(struct stoq_node *n, const struct stoq_node_inbound *in)
{
    const struct stoq_msg_chunk_request *q = &in->msg->u.chunk_request;
    struct stoq_range *ranges = stoq_alloc(&n->cfg.alloc, q->range_count, sizeof *ranges);
    struct out *o = ranges == NULL ? NULL : reply(n, in->peer, in->stream, STOQ_NODE_SERVE_CHUNKS);
    if (o == NULL) {
        stoq_free(&n->cfg.alloc, ranges);
        return false;
    }
    memcpy(ranges, q->ranges, q->range_count * sizeof *ranges);
    o->ranges = ranges;
    o->action.u.serve.request_id = in->msg->request_id;
    o->action.u.serve.id = q->id;
    o->action.u.serve.kind = STOQ_META_CHUNKS;
    o->action.u.serve.ranges = ranges;
    o->action.u.serve.range_count = q->range_count;
    o->action.u.serve.chunk_count = q->chunk_count;
    o->action.u.serve.want_proofs = q->want_proofs;
    o->action.u.serve.priority = q->priority;
    return true;
}

/* A Request or a PackageDownload. */
static bool serve_whole(struct stoq_node *n, const struct stoq_node_inbound *in)
{
    bool is_package = in->msg->type == STOQ_MSG_PACKAGE_DOWNLOAD;
    const struct stoq_msg_request *q = &in->msg->u.request;
    const struct stoq_msg_package_download *d = &in->msg->u.package_download;
    const struct stoq_range *held = is_package ? d->held : q->held;
    uint32_t count = is_package ? d->held_count : q->held_count;
    struct stoq_span hashes = is_package ? stoq_span(NULL, 0) : q->hashes;
    struct stoq_range *ranges = stoq_alloc(&n->cfg.alloc, count + 1, sizeof *ranges);
    uint8_t *copy = stoq_alloc(&n->cfg.alloc, hashes.n + 1, 1);
    struct out *o = ranges == NULL || copy == NULL
                        ? NULL
                        : reply(n, in->peer, in->stream, STOQ_NODE_SERVE_CHUNKS);
    if (o == NULL) {
        stoq_free(&n->cfg.alloc, ranges);
        stoq_free(&n->cfg.alloc, copy);
        return false;
    }
    if (count > 0) {
        memcpy(ranges, held, count * sizeof *ranges);
    }
    if (hashes.n > 0) {
        memcpy(copy, hashes.p, hashes.n);
    }
    o->ranges = ranges;
    o->hashes = copy;
    o->action.u.serve.request_id = in->msg->request_id;
    o->action.u.serve.id = is_package ? d->id : q->id;
    o->action.u.serve.kind = is_package     ? STOQ_META_PACKAGE
                             : hashes.n > 0 ? STOQ_META_CHUNKS
                                            : STOQ_META_ALL_CHUNKS;
    o->action.u.serve.ranges = ranges;
    o->action.u.serve.range_count = count;
    o->action.u.serve.hashes = stoq_span(copy, hashes.n);
    o->action.u.serve.chunk_count = (uint32_t)(hashes.n / sizeof(struct stoq_hash));
    o->action.u.serve.want_proofs = is_package ? d->want_proofs : q->want_proofs;
    o->action.u.serve.priority = STOQ_PRIORITY_NORMAL;
    return true;
}

static bool is_whole(const struct stoq_message *msg)
{
    return msg->type == STOQ_MSG_REQUEST || msg->type == STOQ_MSG_PACKAGE_DOWNLOAD;
}

/* The package that a request for its metadata or chunks is about. */
static const struct stoq_package_id *id_of(const struct stoq_message *msg)
{
    switch (msg->type) {
    case STOQ_MSG_METADATA_QUERY:
        return &msg->u.metadata_query.id;
    case STOQ_MSG_REQUEST:
        return &msg->u.request.id;
    case STOQ_MSG_PACKAGE_DOWNLOAD:
        return &msg->u.package_download.id;
    default:
        return &msg->u.chunk_request.id;
    }
}

/* It asks more than is answered between two looks of ours: others that ask meanwhile are not at fault. */
static bool floods(const struct stoq_node *n, const struct link *l)
{
    return n->replies >= STOQ_NODE_REPLIES_MAX && l->replies >= STOQ_NODE_REPLIES_LINK_LEAST;
}

static void close_flood(struct stoq_node *n, stoq_peer peer)
{
    struct out *o = node_out(n, STOQ_NODE_CLOSE);
    if (o != NULL) {
        o->action.u.close = (struct stoq_node_close){.peer = peer, .why = STOQ_NODE_BAD_REQUEST};
    }
}

/* We are fetching it ourselves, and what is asked comes before we have it: the asker comes again. */
static bool is_too_early(const struct stoq_node *n, const struct stoq_message *msg)
{
    bool is_query = msg->type == STOQ_MSG_METADATA_QUERY;
    const struct stoq_package_id *id = id_of(msg);
    for (const struct fetch *f = n->fetches; f != NULL; f = f->next) {
        if (f->over || !stoq_hash_eq(&f->package.h, &id->h)) {
            continue;
        }
        bool is_manifest = is_query && (msg->u.metadata_query.kind == STOQ_META_MANIFEST ||
                                        msg->u.metadata_query.kind == STOQ_META_OPENING);
        bool has_it = f->step > STEP_SHARD_LIST || (is_manifest && f->step > STEP_MANIFEST);
        return !has_it || (is_query && f->saves > 0);
    }
    return false;
}

/* Whoever asks for more than how a package begins knows that, and fetches it. */
static void note_asker(struct stoq_node *n, const struct link *l, const struct stoq_message *msg)
{
    const struct stoq_msg_metadata_query *q = &msg->u.metadata_query;
    if (msg->type != STOQ_MSG_METADATA_QUERY) {
        fetch_source_asks(n, l, id_of(msg));
    } else if (q->kind != STOQ_META_MANIFEST && q->kind != STOQ_META_OPENING) {
        fetch_source_asks(n, l, &q->id);
    }
}

/* It would wait so long that the asker might take us for dead: it may ask others meanwhile. Not so where few
 * requests are all the crowd and none of them is its own, since the line is shared by peers, not in turn. */
static bool is_crowded(const struct stoq_node *n, const struct link *l,
                       const struct stoq_node_inbound *in)
{
    return in->queue_ns > STOQ_NODE_QUEUE_NS && in->queue_bytes >= STOQ_NODE_QUEUE_BYTES &&
           (l->serves > 0 || n->serves >= STOQ_NODE_QUEUE_FEW);
}

void serve_inbound(struct stoq_node *n, const struct stoq_node_inbound *in)
{
    struct link *l = node_link(n, in->peer);
    if (l == NULL) {
        return; /* its connection is gone, the stream with it */
    }
    if (floods(n, l)) {
        n->requests_refused++;
        close_flood(n, in->peer);
        return;
    }
    bool heavy = in->msg->type == STOQ_MSG_METADATA_QUERY ||
                 in->msg->type == STOQ_MSG_CHUNK_REQUEST || is_whole(in->msg);
    if (heavy && !has_room(n, l)) {
        refuse(n, in->peer, in->stream, in->msg->request_id, STOQ_ERR_BUSY,
               "too many requests under way");
        return;
    }
    if (heavy && n->fetches != NULL) {
        note_asker(n, l, in->msg);
    }
    if (heavy && is_too_early(n, in->msg)) {
        refuse(n, in->peer, in->stream, in->msg->request_id, STOQ_ERR_BUSY,
               "it is being fetched here");
        return;
    }
    if (heavy && in->msg->type != STOQ_MSG_METADATA_QUERY && is_crowded(n, l, in)) {
        refuse(n, in->peer, in->stream, in->msg->request_id, STOQ_ERR_BUSY,
               "too much waits for its line");
        return;
    }
    if (in->msg->type == STOQ_MSG_CHUNK_REQUEST && spread_holds_back(n, l, in)) {
        refuse(n, in->peer, in->stream, in->msg->request_id, STOQ_ERR_BUSY,
               "it was sent to others just now");
        return;
    }
    if (in->msg->type == STOQ_MSG_METADATA_QUERY && spread_holds_back_meta(n, l, in)) {
        refuse(n, in->peer, in->stream, in->msg->request_id, STOQ_ERR_BUSY,
               "it was sent to others just now");
        return;
    }
    n->requests_served++;
    if (heavy) {
        l->serves++;
        n->serves++;
    }
    switch (in->msg->type) {
    case STOQ_MSG_HELLO:
        answer_hello(n, l, in);
        break;
    case STOQ_MSG_PING:
        answer_ping(n, in);
        break;
    case STOQ_MSG_METADATA_QUERY:
        spread_note_meta(n, l, in);
        serve_meta(n, in);
        break;
    case STOQ_MSG_REQUEST:
    case STOQ_MSG_PACKAGE_DOWNLOAD:
        if (!serve_whole(n, in)) {
            l->serves--;
            n->serves--;
        }
        break;
    case STOQ_MSG_CHUNK_REQUEST:
        if (serve_chunks(n, in)) {
            spread_note(n, in);
        } else {
            l->serves--;
            n->serves--;
        }
        break;
    default: { /* a reply where a request belongs, or a message that this node does not take part in */
        struct stoq_node_bad bad = {
            .peer = in->peer,
            .stream = in->stream,
            .request_id = in->msg->request_id,
            .status = stoq_message_is_request(in->msg->type) ? STOQ_VERSION : STOQ_MALFORMED};
        serve_bad(n, &bad);
        break;
    }
    }
}

void serve_bad(struct stoq_node *n, const struct stoq_node_bad *bad)
{
    struct link *l = node_link(n, bad->peer);
    if (l == NULL) {
        return;
    }
    if (floods(n, l)) {
        close_flood(n, bad->peer);
        return;
    }
    if (bad->status == STOQ_VERSION) {
        refuse(n, bad->peer, bad->stream, bad->request_id, STOQ_ERR_UNSUPPORTED,
               "this peer does not have that message");
        return;
    }
    refuse(n, bad->peer, bad->stream, bad->request_id, STOQ_ERR_MALFORMED, "not a request");
    n->requests_malformed++;
    l->faults++;
    node_charge(n, bad->peer, STOQ_NODE_BAD_REQUEST, l->faults >= STOQ_NODE_FAULTS_MAX);
}

void serve_done(struct stoq_node *n, const struct stoq_node_served *served)
{
    struct link *l = node_link(n, served->peer);
    n->bytes_served += served->bytes;
    if (n->serves > 0) {
        n->serves--;
    }
    if (l != NULL && l->serves > 0) {
        l->serves--;
    }
}
