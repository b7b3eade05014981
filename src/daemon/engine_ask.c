/*
 * Requests of ours. A request is one frame on a stream of its own; the reply is a frame and perhaps a
 * payload. Metadata is gathered and handed to the node. Chunks are cut out of the payload as it
 * arrives and gathered into batches of at most half a megabyte: BLAKE3 over whole chunks on a worker is six
 * times cheaper than packet by packet, and one job per batch keeps the switching low. Flow control
 * gets a batch's bytes back when its job is done, so a slow disk slows the sender and nothing piles up.
 * While no job of a reply is at work what is gathered is given back at once: a batch that waits for more
 * bytes must not hold the credit they need, or some replies side by side hold all of the window.
 */
#include "daemon/engine_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REQUEST_BYTES_MAX (STOQ_FRAME_BYTES_MAX + STOQ_FRAME_HEAD_BYTES)
#define TELL_EVERY (50 * STOQ_MS)
#define GIVE_BACK_BYTES 4096 /* at least: sixteen replies hold less than any window */

struct ask *engine_ask_of(struct stoq_engine *e, stoq_net_conn conn, stoq_net_stream stream)
{
    return stoq_map_get(&e->asks, (struct stoq_map_key){conn, (uint64_t)stream});
}

/* A batch's memory is used again: half a megabyte taken from the system and given back for each would cost
 * as much as hashing a tenth of it. */
static struct batch *batch_take(struct stoq_engine *e)
{
    struct batch *b = e->batches_idle;
    if (b == NULL) {
        b = calloc(1, sizeof *b);
        if (b != NULL) {
            stoq_buf_init(&b->bytes, ENGINE_BATCH_BYTES);
        }
        return b;
    }
    e->batches_idle = b->next;
    e->batches_idle_count--;
    if (e->batches_idle_count < e->batches_idle_least) {
        e->batches_idle_least = e->batches_idle_count;
    }
    return b;
}

static void batch_give(struct stoq_engine *e, struct batch *b)
{
    stoq_buf_clear(&b->bytes);
    b->count = 0;
    b->stream_bytes = 0;
    b->next = e->batches_idle;
    e->batches_idle = b;
    e->batches_idle_count++;
}

static void batches_drop(struct stoq_engine *e, uint32_t n)
{
    for (; n > 0; n--) {
        struct batch *b = e->batches_idle;
        e->batches_idle = b->next;
        e->batches_idle_count--;
        stoq_buf_release(&b->bytes);
        free(b);
    }
}

void engine_batches_trim(struct stoq_engine *e)
{
    batches_drop(e, e->batches_idle_least);
    e->batches_idle_least = e->batches_idle_count;
}

void engine_batches_release(struct stoq_engine *e)
{
    batches_drop(e, e->batches_idle_count);
}

static void ask_free(struct ask *a)
{
    struct stoq_engine *e = a->engine;
    (void)stoq_map_remove(&e->cookies, (struct stoq_map_key){a->cookie, 0});
    engine_budget_ask_end(a);
    engine_peer_unref(e, a->peer);
    stoq_buf_release(&a->request);
    stoq_buf_release(&a->payload);
    stoq_buf_release(&a->frame_copy);
    stoq_frame_release(&a->frame);
    if (a->batch != NULL) {
        batch_give(e, a->batch);
    }
    free(a->indexes);
    free(a);
}

static void unwait(struct ask *a)
{
    struct peer *p = a->peer;
    struct ask **at = &p->waiting;
    while (*at != NULL && *at != a) {
        at = &(*at)->next;
    }
    if (*at == a) {
        *at = a->next;
        if (*at == NULL) {
            p->waiting_last = at;
        }
    }
}

static void forget_stream(struct ask *a)
{
    if (a->phase == ASK_WAITING) {
        unwait(a);
    } else if (a->phase != ASK_OVER) {
        (void)stoq_map_remove(&a->engine->asks,
                              (struct stoq_map_key){a->conn, (uint64_t)a->stream});
    }
    a->phase = ASK_OVER;
}

static enum stoq_status remote_status(struct ask *a)
{
    const struct stoq_msg_error *err = &a->reply.u.error;
    (void)snprintf(a->peer->why, sizeof a->peer->why, "%s: %.*s", stoq_error_code_name(err->code),
                   (int)err->text.n, (const char *)err->text.p);
    for (char *c = a->peer->why; *c != '\0'; c++) {
        *c = *c >= ' ' && *c <= '~' ? *c : '?'; /* a peer's words go to a terminal */
    }
    return stoq_error_code_status(err->code);
}

/* The closing event, once nothing is outstanding. */
static void ask_finish(struct ask *a)
{
    if (a->phase != ASK_OVER || a->jobs > 0) {
        return;
    }
    struct stoq_node_event ev;
    if (a->own != NULL) {
        a->own(a);
        ask_free(a);
        return;
    }
    if (a->wants_chunks) {
        ev = (struct stoq_node_event){.kind = STOQ_NODE_ASK_ENDED,
                                      .u.ended = {.cookie = a->cookie, .status = a->status}};
    } else {
        bool ok = a->status == STOQ_OK;
        ev = (struct stoq_node_event){
            .kind = STOQ_NODE_REPLY,
            .u.reply = {.cookie = a->cookie,
                        .status = a->status,
                        .msg = ok ? &a->reply : NULL,
                        .payload = ok ? stoq_buf_span(&a->payload) : stoq_span(NULL, 0)}};
    }
    (void)engine_feed(a->engine, &ev);
    ask_free(a);
}

/* Stop reading for a reason; the stream is given up in both directions. */
static void ask_give_up(struct ask *a, enum stoq_status status, uint64_t code)
{
    struct stoq_engine *e = a->engine;
    if (a->phase == ASK_FRAME || a->phase == ASK_PAYLOAD) {
        a->stopped = true;
        engine_budget_stopped(a);
        stoq_net_stream_stop(e->net, a->conn, a->stream, code);
        stoq_net_stream_reset(e->net, a->conn, a->stream, code);
    }
    forget_stream(a);
    if (a->status == STOQ_OK) {
        a->status = status;
    }
}

void engine_ask_lost(struct ask *a, enum stoq_status status)
{
    forget_stream(a);
    if (a->status == STOQ_OK) {
        a->status = status;
    }
    ask_finish(a);
}

void engine_asks_conn_lost(struct stoq_engine *e, stoq_net_conn conn)
{
    size_t at = 0;
    struct ask *a;
    while ((a = stoq_map_next(&e->asks, &at)) != NULL) {
        if (a->conn == conn) {
            engine_ask_lost(a, STOQ_NET);
            at = 0; /* removing has moved things */
        }
    }
    struct peer *p = NULL;
    for (uint32_t i = 0; i < e->peer_slots; i++) {
        if (e->peers[i]->live && e->peers[i]->conn == conn) {
            p = e->peers[i];
        }
    }
    while (p != NULL && p->waiting != NULL) {
        engine_ask_lost(p->waiting, STOQ_NET);
    }
}

/* False: the peer allows no more streams at present. Else it is on its way, or over and gone. */
static bool ask_send_on(struct ask *a, stoq_net_conn conn)
{
    struct stoq_engine *e = a->engine;
    enum stoq_status st = stoq_net_stream_open(e->net, conn, &a->stream);
    if (st == STOQ_FULL) {
        return false;
    }
    a->conn = conn;
    if (st == STOQ_OK) {
        a->phase = ASK_FRAME;
        stoq_net_stream_class(e->net, a->conn, a->stream, STOQ_NET_CONTROL); /* it is short */
        st = stoq_map_put(&e->asks, (struct stoq_map_key){a->conn, (uint64_t)a->stream}, a);
        if (st == STOQ_OK) {
            st = stoq_net_write_copy(e->net, a->conn, a->stream, stoq_buf_span(&a->request), true);
        }
        if (st != STOQ_OK) {
            ask_give_up(a, st, STOQ_APP_CANCELLED);
        }
    } else {
        a->phase = ASK_OVER;
        a->status = st == STOQ_NOTFOUND ? STOQ_NET : st;
    }
    stoq_buf_release(&a->request);
    ask_finish(a);
    return true;
}

static bool ask_send(struct ask *a)
{
    if (a->peer->state != PEER_UP) {
        a->phase = ASK_OVER;
        a->status = STOQ_NET;
        ask_finish(a);
        return true;
    }
    return ask_send_on(a, a->peer->conn);
}

/* Send it, or let it wait its turn behind those that wait already. */
static void ask_submit(struct ask *a)
{
    struct peer *p = a->peer;
    if (p->waiting == NULL && ask_send(a)) {
        return;
    }
    a->phase = ASK_WAITING;
    a->next = NULL;
    *p->waiting_last = a;
    p->waiting_last = &a->next;
}

void engine_ask_retry(struct peer *p)
{
    while (p->waiting != NULL) {
        struct ask *a = p->waiting;
        unwait(a);
        if (!ask_send(a)) {
            a->next = p->waiting; /* first again */
            p->waiting = a;
            if (a->next == NULL) {
                p->waiting_last = &a->next;
            }
            return;
        }
    }
}

void engine_may_open(void *user, stoq_net_conn conn)
{
    struct stoq_engine *e = user;
    struct peer *p = stoq_map_get(&e->conns, (struct stoq_map_key){conn, 0});
    if (p != NULL) {
        engine_ask_retry(p);
    }
}

static struct ask *ask_new(struct stoq_engine *e, struct peer *p, stoq_node_cookie cookie)
{
    struct ask *a = calloc(1, sizeof *a);
    if (a == NULL) {
        return NULL;
    }
    a->engine = e;
    a->cookie = cookie;
    a->peer = p;
    engine_peer_ref(a->peer);
    stoq_buf_init(&a->request, REQUEST_BYTES_MAX);
    stoq_buf_init(&a->frame_copy, STOQ_FRAME_BYTES_MAX);
    stoq_buf_init(&a->payload, STOQ_META_BYTES_MAX);
    stoq_frame_init(&a->frame);
    if (stoq_map_put(&e->cookies, (struct stoq_map_key){cookie, 0}, a) != STOQ_OK) {
        ask_free(a);
        return NULL;
    }
    return a;
}

void engine_ask(struct stoq_engine *e, const struct stoq_node_ask *want)
{
    struct ask *a = ask_new(e, engine_peer_at(e, want->peer), want->cookie);
    if (a == NULL || stoq_message_encode(want->msg, &a->request) != STOQ_OK) {
        if (a != NULL) {
            ask_free(a);
        }
        struct stoq_node_event ev = {.kind = STOQ_NODE_REPLY,
                                     .u.reply = {.cookie = want->cookie, .status = STOQ_NOMEM}};
        (void)engine_feed(e, &ev);
        return;
    }
    a->payload_max = want->payload_max;
    ask_submit(a);
}

#define OWN_COOKIE (UINT64_C(1) << 63) /* the node counts from 1 */

stoq_node_cookie engine_ask_own(struct stoq_engine *e, struct peer *p, struct stoq_message *msg,
                                stoq_net_conn early, void (*own)(struct ask *a), uint64_t tag)
{
    stoq_node_cookie cookie = OWN_COOKIE | ++e->own_last;
    struct ask *a = ask_new(e, p, cookie);
    msg->request_id = cookie;
    if (a == NULL || stoq_message_encode(msg, &a->request) != STOQ_OK) {
        if (a != NULL) {
            ask_free(a);
        }
        return 0;
    }
    a->own = own;
    a->own_tag = tag;
    if (early == 0) {
        ask_submit(a);
    } else if (!ask_send_on(a, early)) {
        a->phase = ASK_OVER;
        a->status = STOQ_NET;
        ask_finish(a);
    }
    return cookie;
}

static enum stoq_status chunk_request(struct ask *a, const struct stoq_node_ask_chunks *want)
{
    a->wants_chunks = true;
    a->chunks = want->chunks;
    a->chunk_count = want->chunk_count;
    a->want_proofs = want->want_proofs;
    a->indexes = calloc(want->chunk_count, sizeof *a->indexes);
    if (a->indexes == NULL) {
        return STOQ_NOMEM;
    }
    uint32_t n = 0;
    for (uint32_t i = 0; i < want->range_count; i++) {
        for (uint32_t k = 0; k < want->ranges[i].count; k++) {
            STOQ_ASSERT(n < want->chunk_count);
            a->indexes[n++] = want->ranges[i].first + k;
        }
    }
    struct stoq_msg_hello hello;
    bool knows = stoq_node_peer_hello(a->engine->node, want->peer, &hello) &&
                 (hello.features & STOQ_FEATURE_PRIORITY) != 0;
    a->fetch = want->fetch;
    struct stoq_message msg = {.type = STOQ_MSG_CHUNK_REQUEST,
                               .request_id = want->cookie,
                               .u.chunk_request = {.priority = knows ? want->priority : 0,
                                                   .id = want->id,
                                                   .ranges = want->ranges,
                                                   .range_count = want->range_count,
                                                   .chunk_count = want->chunk_count,
                                                   .want_proofs = want->want_proofs}};
    return stoq_message_encode(&msg, &a->request);
}

void engine_ask_chunks(struct stoq_engine *e, const struct stoq_node_ask_chunks *want)
{
    struct ask *a = ask_new(e, engine_peer_at(e, want->peer), want->cookie);
    if (a == NULL || chunk_request(a, want) != STOQ_OK) {
        if (a != NULL) {
            ask_free(a);
        }
        struct stoq_node_event ev = {.kind = STOQ_NODE_ASK_ENDED,
                                     .u.ended = {.cookie = want->cookie, .status = STOQ_NOMEM}};
        (void)engine_feed(e, &ev);
        return;
    }
    engine_budget_ask(a, want);
    ask_submit(a);
}

void engine_ask_cancel(struct stoq_engine *e, stoq_node_cookie cookie)
{
    struct ask *a = stoq_map_get(&e->cookies, (struct stoq_map_key){cookie, 0});
    if (a != NULL) {
        ask_give_up(a, STOQ_CANCELLED, STOQ_APP_CANCELLED);
        ask_finish(a);
    }
}

void engine_asks_cut(struct stoq_engine *e)
{
    size_t at = 0;
    struct ask *a;
    while ((a = stoq_map_next(&e->cookies, &at)) != NULL) {
        if (a->phase != ASK_OVER) {
            ask_give_up(a, STOQ_CANCELLED, STOQ_APP_GOING_AWAY);
            ask_finish(a);
            at = 0; /* removing has moved things */
        }
    }
}

/* On a worker: check each chunk of a batch against its hash and put it into the store. */
static void verify_batch(struct stoq_job *job)
{
    struct batch *b = (struct batch *)job; /* its first member */
    for (uint32_t i = 0; i < b->count; i++) {
        struct batch_chunk *c = &b->chunk[i];
        const struct stoq_merkle_chunk *want = &b->ask->chunks[c->item];
        if (c->missing) {
            c->status = STOQ_NOTFOUND;
            continue;
        }
        if (c->info.raw_len != want->bytes) {
            c->status = STOQ_PROOF;
            continue;
        }
        struct stoq_span stored = stoq_span(b->bytes.p + c->offset, c->info.stored_len);
        c->status = stoq_store_put_stored(b->ask->engine->cfg.store, STOQ_RECORD_CHUNK,
                                          stoq_span(want->hash.b, sizeof want->hash.b),
                                          STOQ_STORE_VERIFY, c->info, stored, &c->is_new, &b->err);
        if (c->status == STOQ_MALFORMED) {
            c->status = STOQ_PROOF; /* a frame that does not unpack is not the chunk */
        }
    }
}

static void explain_chunk(struct ask *a, const struct batch *b, const struct batch_chunk *c)
{
    char hex[17];
    stoq_hex_put(hex, stoq_span(a->chunks[c->item].hash.b, 8));
    unsigned long long index = a->indexes[c->item];
    if (c->damaged) {
        a->peer->damaged = true;
        (void)snprintf(a->peer->why, sizeof a->peer->why,
                       "its copy of chunk %llu (%s..) is damaged, it says", index, hex);
    } else if (c->status == STOQ_PROOF) {
        (void)snprintf(a->peer->why, sizeof a->peer->why,
                       "the bytes it sent for chunk %llu do not have the hash %s..", index, hex);
    } else if (c->status != STOQ_OK && c->status != STOQ_NOTFOUND) {
        engine_log(a->engine, "chunk %llu: %s", index, b->err.text);
        a->engine->store_refused = b->err;
    }
}

/* What waits in a batch for more to come, unless jobs are behind with what came before. */
static void give_back_gathered(struct ask *a)
{
    struct batch *b = a->batch;
    if (b != NULL && a->jobs == 0 && !a->stopped && b->stream_bytes >= GIVE_BACK_BYTES) {
        engine_budget_received(a, b->stream_bytes);
        b->stream_bytes = 0;
    }
}

static void batch_done(struct stoq_job *job)
{
    struct batch *b = (struct batch *)job;
    struct ask *a = b->ask;
    struct stoq_engine *e = a->engine;
    engine_job_done(e);
    for (uint32_t i = 0; i < b->count; i++) {
        const struct batch_chunk *c = &b->chunk[i];
        explain_chunk(a, b, c);
        uint32_t wire = STOQ_ITEM_HEAD_BYTES + c->info.stored_len;
        struct stoq_node_event ev = {.kind = STOQ_NODE_CHUNK,
                                     .u.chunk = {.cookie = a->cookie,
                                                 .index = a->indexes[c->item],
                                                 .status = c->status,
                                                 .damaged = c->damaged,
                                                 .wire_bytes = wire,
                                                 .is_new = c->is_new}};
        (void)engine_feed(e, &ev);
        a->peer->bytes_fetched += wire;
        e->bytes_fetched += wire;
    }
    if (!a->stopped) { /* stopping has settled all of the stream's bytes */
        engine_budget_received(a, b->stream_bytes);
    }
    batch_give(e, b);
    a->jobs--;
    give_back_gathered(a);
    ask_finish(a);
}

static enum stoq_status batch_open(struct ask *a)
{
    if (a->batch != NULL) {
        return STOQ_OK;
    }
    struct batch *b = batch_take(a->engine);
    if (b == NULL) {
        return STOQ_NOMEM;
    }
    b->ask = a;
    b->job = (struct stoq_job){.work = verify_batch, .done = batch_done};
    a->batch = b;
    return stoq_buf_reserve(&b->bytes, ENGINE_BATCH_BYTES);
}

static void batch_submit(struct ask *a)
{
    struct batch *b = a->batch;
    if (b == NULL) {
        return;
    }
    a->batch = NULL;
    a->jobs++;
    if (engine_run(a->engine, &b->job) != STOQ_OK) {
        a->engine->jobs++; /* batch_done takes it back */
        for (uint32_t i = 0; i < b->count; i++) {
            b->chunk[i].status = STOQ_NOMEM;
        }
        batch_done(&b->job);
    }
}

static enum stoq_status item_begins(struct ask *a, const struct stoq_items_out *out)
{
    enum stoq_status st = batch_open(a);
    if (st != STOQ_OK) {
        return st;
    }
    struct batch *b = a->batch;
    struct batch_chunk *c = &b->chunk[b->count++];
    bool zstd = out->item.encoding == STOQ_ITEM_ZSTD;
    *c = (struct batch_chunk){.item = out->index,
                              .offset = (uint32_t)b->bytes.n,
                              .missing = out->item.encoding == STOQ_ITEM_MISSING ||
                                         out->item.encoding == STOQ_ITEM_DAMAGED,
                              .damaged = out->item.encoding == STOQ_ITEM_DAMAGED,
                              .info = {.raw_len = out->item.raw_len,
                                       .stored_len = out->item.stored_len,
                                       .flags = zstd ? STOQ_STORED_ZSTD : 0}};
    return STOQ_OK;
}

/* Hand over what is gathered, with the stream's bytes that belong to it. */
static void batch_close(struct ask *a, size_t stream_bytes)
{
    a->batch->stream_bytes += stream_bytes;
    batch_submit(a);
}

static enum stoq_status take_items(struct ask *a, struct stoq_span bytes)
{
    size_t before = bytes.n;
    struct stoq_items_out out;
    for (;;) {
        enum stoq_status st = stoq_items_next(&a->items, &bytes, &out);
        if (st == STOQ_OK && out.what == STOQ_ITEMS_HEAD) {
            if (a->batch != NULL && a->batch->bytes.n + out.item.stored_len > ENGINE_BATCH_BYTES) {
                batch_close(a, before - bytes.n);
                before = bytes.n;
            }
            st = item_begins(a, &out);
        } else if (st == STOQ_OK && out.what == STOQ_ITEMS_DATA) {
            st = stoq_buf_add(&a->batch->bytes, out.bytes);
        }
        if (st != STOQ_OK) {
            return st;
        }
        bool full = a->batch != NULL && (a->batch->bytes.n >= ENGINE_BATCH_FULL ||
                                         a->batch->count == ENGINE_BATCH_CHUNKS);
        bool over = out.what == STOQ_ITEMS_END;
        if (a->batch != NULL && ((out.last && full) || over)) {
            batch_close(a, before - bytes.n);
            before = bytes.n;
        }
        if (over && bytes.n > 0) {
            return STOQ_MALFORMED; /* more than was announced */
        }
        if (over || out.what == STOQ_ITEMS_WAIT) {
            break;
        }
    }
    if (a->batch != NULL) {
        a->batch->stream_bytes += before - bytes.n;
        give_back_gathered(a);
    } else {
        stoq_net_consumed(a->engine->net, a->conn, a->stream, before - bytes.n);
    }
    return STOQ_OK;
}

static enum stoq_status take_reply(struct ask *a, struct stoq_span cbor)
{
    enum stoq_status st = stoq_buf_add(&a->frame_copy, cbor);
    if (st != STOQ_OK) {
        return st;
    }
    st = stoq_message_decode(stoq_buf_span(&a->frame_copy), a->engine->ranges, &a->reply);
    if (st != STOQ_OK || a->reply.request_id != a->cookie) {
        return STOQ_MALFORMED;
    }
    a->has_reply = true;
    if (a->reply.type == STOQ_MSG_HELLO) {
        engine_peer_agent(a->peer, a->reply.u.hello.agent);
        engine_rpc_learn(a->engine, a->peer, &a->reply.u.hello);
    }
    if (a->reply.type == STOQ_MSG_ERROR) {
        enum stoq_status remote = remote_status(a);
        if (a->wants_chunks) {
            a->status = remote;
        }
        return STOQ_OK;
    }
    if (a->reply.type != STOQ_MSG_RESPONSE) {
        return a->wants_chunks ? STOQ_MALFORMED : STOQ_OK;
    }
    const struct stoq_msg_response *r = &a->reply.u.response;
    if (a->wants_chunks) {
        if (r->kind != STOQ_META_CHUNKS || r->items != a->chunk_count) {
            return STOQ_MALFORMED;
        }
        stoq_items_init(&a->items, r->items);
        engine_fetch_capped(a->engine, a->fetch, a->peer, r->cap_bytes_per_s);
        return STOQ_OK;
    }
    a->payload_want = r->payload_bytes;
    return r->payload_bytes > a->payload_max ? STOQ_FULL : STOQ_OK;
}

static enum stoq_status take_payload(struct ask *a, struct stoq_span bytes)
{
    if (a->wants_chunks && a->reply.type == STOQ_MSG_RESPONSE) {
        return take_items(a, bytes);
    }
    stoq_net_consumed(a->engine->net, a->conn, a->stream, bytes.n);
    if (bytes.n > a->payload_want - a->payload.n) {
        return STOQ_MALFORMED;
    }
    return stoq_buf_add(&a->payload, bytes);
}

static bool payload_complete(const struct ask *a)
{
    if (a->phase != ASK_PAYLOAD) {
        return false;
    }
    if (a->wants_chunks && a->reply.type == STOQ_MSG_RESPONSE) {
        return a->items.index == a->items.items;
    }
    return a->payload.n == a->payload_want;
}

/* Now and then, and what is left at the end: the swarm takes a peer's rate from nothing else. */
static void tell_progress(struct ask *a, size_t n, bool at_end)
{
    a->unreported += n;
    stoq_ns now = stoq_now();
    if (!a->wants_chunks || a->unreported == 0 || (!at_end && now - a->told_at < TELL_EVERY)) {
        return;
    }
    struct stoq_node_event ev = {.kind = STOQ_NODE_PROGRESS,
                                 .u.progress = {.cookie = a->cookie, .bytes = a->unreported}};
    a->unreported = 0;
    a->told_at = now;
    (void)engine_feed(a->engine, &ev);
}

void engine_ask_data(struct ask *a, struct stoq_span bytes, bool fin)
{
    enum stoq_status st = STOQ_OK;
    size_t arrived = bytes.n;
    if (a->phase == ASK_FRAME) {
        struct stoq_span cbor;
        size_t before = bytes.n;
        st = stoq_frame_take(&a->frame, &bytes, &cbor);
        stoq_net_consumed(a->engine->net, a->conn, a->stream, before - bytes.n);
        if (st == STOQ_OK) {
            st = take_reply(a, cbor);
            a->phase = st == STOQ_OK ? ASK_PAYLOAD : a->phase;
        } else if (st == STOQ_TRUNC) {
            st = STOQ_OK;
        }
    }
    if (st == STOQ_OK && a->phase == ASK_PAYLOAD && bytes.n > 0) {
        st = take_payload(a, bytes);
    }
    if (st == STOQ_OK && fin && !payload_complete(a)) {
        st = STOQ_MALFORMED;
    }
    if (st != STOQ_OK) {
        ask_give_up(a, st, STOQ_APP_VIOLATION);
        ask_finish(a);
        return;
    }
    tell_progress(a, arrived, fin);
    if (fin) {
        batch_submit(a);
        forget_stream(a);
        ask_finish(a);
    }
}
