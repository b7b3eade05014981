/*
 * Requests reach a node, and what it decides to answer is made from its store. In the wide simulator a
 * reply is its message and a list of items with their lengths; in the deep one it is bytes.
 */
#include "sim/sim_internal.h"

#include <stdlib.h>
#include <string.h>

#include "wire/opening.h"

#define HEAD_BYTES 64u /* of a reply in the wide simulator */

void sim_letter_free(struct sim_world *w, uint32_t letter)
{
    struct sim_letter *m = sim_pool_at(&w->letters, letter);
    free(m->ranges);
    stoq_buf_release(&m->coded);
    sim_pool_give(&w->letters, letter);
}

/* A stream is named by who asked, and the cookie it has there. */
static stoq_stream stream_of(uint32_t from, stoq_node_cookie cookie)
{
    STOQ_ASSERT(cookie < (UINT64_C(1) << 40));
    return (uint64_t)from << 40 | cookie;
}

/* What it costs the line and the processor goes before it is read. */
void sim_serve_arrived(struct sim_world *w, uint32_t node, uint32_t from, uint32_t letter)
{
    const struct sim_cost *cost = sim_cost(SIM_COST_WARM);
    sim_line_down(w, node, sim_cost_line_bytes(&cost->asker));
    sim_line_up(w, node, sim_cost_answer_head());
    sim_put(w, sim_work(w, node, sim_cost_cpu(cost, true)), node, from, EV_ASKED, letter);
}

void sim_serve_request(struct sim_world *w, uint32_t node, uint32_t from, uint32_t letter)
{
    struct sim_letter *m = sim_pool_at(&w->letters, letter);
    struct stoq_message msg = m->msg;
    enum stoq_status st = STOQ_OK;
    stoq_stream stream = stream_of(from, m->cookie);
    const struct sim_link *l = sim_link(w, node, from);
    w->result->requests++;
    if (l == NULL || l->number != (uint32_t)m->bytes) {
        sim_letter_free(w, letter);
        return; /* the connection that it went over is gone */
    }
    if (m->coded.n > 0) {
        struct stoq_span cbor =
            stoq_span(m->coded.p + STOQ_FRAME_HEAD_BYTES, m->coded.n - STOQ_FRAME_HEAD_BYTES);
        st = stoq_message_decode(cbor, w->ranges, &msg);
    }
    struct stoq_node_event ev = {.kind = STOQ_NODE_INBOUND,
                                 .u.inbound = {.peer = from, .stream = stream, .msg = &msg}};
    sim_uplink_queue(w, node, &ev.u.inbound.queue_bytes, &ev.u.inbound.queue_ns);
    if (st != STOQ_OK) {
        ev = (struct stoq_node_event){.kind = STOQ_NODE_INBOUND_BAD,
                                      .u.bad = {from, stream, msg.request_id, st}};
    }
    sim_feed(w, node, &ev);
    sim_letter_free(w, letter);
}

void sim_serve_stop(struct sim_world *w, uint32_t node, uint32_t from, uint32_t letter)
{
    const struct sim_letter *m = sim_pool_at(&w->letters, letter);
    uintptr_t number =
        (uintptr_t)stoq_map_get(&w->nodes[node].flows, (struct stoq_map_key){m->cookie, from});
    if (number != 0) {
        sim_flow_end(w, (uint32_t)(number - 1));
    }
    sim_letter_free(w, letter);
}

void sim_served(struct sim_world *w, uint32_t node, uint32_t from, uint32_t letter)
{
    const struct sim_letter *m = sim_pool_at(&w->letters, letter);
    struct stoq_node_event ev = {
        .kind = STOQ_NODE_SERVED,
        .u.served = {.peer = from, .stream = m->stream, .bytes = m->bytes}};
    sim_feed(w, node, &ev);
    sim_letter_free(w, letter);
}

static uint32_t flow_new(struct sim_world *w, uint32_t node, stoq_stream stream)
{
    uint32_t flow = sim_pool_take(&w->flows);
    struct sim_flow *f = sim_flow(w, flow);
    f->from = node;
    f->to = (uint32_t)(stream >> 40);
    f->cookie = stream & ((UINT64_C(1) << 40) - 1);
    f->stream = stream;
    f->is_urgent = true;
    stoq_buf_init(&f->payload, STOQ_META_BYTES_MAX);
    stoq_buf_init(&f->coded, (size_t)64 << 20);
    return flow;
}

/* Put the message in front; the deep simulator has it encoded. */
static void flow_head(struct sim_world *w, struct sim_flow *f, const struct stoq_message *msg)
{
    if (w->cfg.width == SIM_DEEP) {
        enum stoq_status st = stoq_message_encode(msg, &f->coded);
        STOQ_ASSERT(st == STOQ_OK);
        f->head_bytes = f->coded.n;
    } else {
        f->msg = *msg;
        f->head_bytes = HEAD_BYTES;
    }
    f->total = f->head_bytes;
}

static void send(struct sim_world *w, uint32_t node, stoq_stream stream,
                 const struct stoq_message *msg)
{
    uint32_t flow = flow_new(w, node, stream);
    flow_head(w, sim_flow(w, flow), msg);
    (void)sim_flow_send(w, flow); /* no connection: nobody waits for it */
}

void sim_serve_send(struct sim_world *w, uint32_t node, const struct stoq_node_send *s)
{
    send(w, node, s->stream, s->msg);
}

/* A reply from the store begins; without a connection it is over at once. */
static void serve(struct sim_world *w, uint32_t flow)
{
    struct sim_flow *f = sim_flow(w, flow);
    struct sim_node *n = &w->nodes[f->from];
    uint32_t from = f->from;
    uint32_t letter = sim_pool_take(&w->letters);
    struct sim_letter *m = sim_pool_at(&w->letters, letter);
    m->stream = f->stream;
    f->is_serve = true;
    if (!n->is_seed && !n->is_done && f->item_count > 0) {
        n->serves++;
    }
    uint32_t to = f->to;
    if (sim_flow_send(w, flow)) {
        sim_letter_free(w, letter);
    } else {
        sim_put(w, w->now, from, to, EV_SERVED, letter);
    }
}

static void serve_error(struct sim_world *w, uint32_t node, const struct stoq_node_serve *s,
                        enum stoq_error_code code)
{
    struct stoq_message msg = {
        .type = STOQ_MSG_ERROR, .request_id = s->request_id, .u.error = {.code = code}};
    uint32_t flow = flow_new(w, node, s->stream);
    flow_head(w, sim_flow(w, flow), &msg);
    serve(w, flow);
}

static bool shards_fit(const struct sim_package *p, const struct stoq_range *shards)
{
    return shards->first < p->shards && shards->count <= p->shards - shards->first;
}

/* The bits of these shards' chunks, or one a shard. */
static void add_have(struct sim_world *w, const struct sim_node *n, const struct stoq_node_serve *s,
                     struct stoq_buf *out)
{
    const struct sim_package *p = &w->package;
    uint64_t first = p->first_chunk[s->shards.first];
    uint64_t end = p->first_chunk[s->shards.first + s->shards.count];
    bool per_shard = s->kind == STOQ_META_HAVE_SHARDS;
    size_t bits = per_shard ? s->shards.count : (size_t)(end - first);
    enum stoq_status st = stoq_buf_reserve(out, (bits + 7) / 8);
    STOQ_ASSERT(st == STOQ_OK);
    memset(out->p, 0, (bits + 7) / 8);
    out->n = (bits + 7) / 8;
    for (uint64_t i = 0; i < s->shards.count; i++) {
        bool is_all = true;
        for (uint64_t c = p->first_chunk[s->shards.first + i];
             c < p->first_chunk[s->shards.first + i + 1]; c++) {
            bool is_here = sim_bit(n->chunks, c);
            is_all = is_all && is_here;
            if (!per_shard && is_here) {
                sim_bit_set(out->p, c - first);
            }
        }
        if (per_shard && is_all) {
            sim_bit_set(out->p, i);
        }
    }
}

static bool add_opening(const struct sim_package *p, const struct sim_node *n, struct stoq_buf *out)
{
    struct stoq_opening o = {.manifest = stoq_buf_span(&p->manifest)};
    bool is_short = p->chunks * STOQ_MERKLE_CHUNK_ENTRY_BYTES <= STOQ_OPENING_CHUNKS_MAX;
    if (n->has_shard_list && p->shard_list.n <= STOQ_OPENING_LIST_MAX) {
        o.lists = stoq_buf_span(&p->shard_list);
    }
    enum stoq_status st = stoq_opening_put(&o, out);
    for (uint64_t i = 0; is_short && o.lists.n > 0 && i < p->shards; i++) {
        is_short = sim_bit(n->lists, i);
    }
    for (uint64_t i = 0; is_short && o.lists.n > 0 && st == STOQ_OK && i < p->shards; i++) {
        st = stoq_buf_add(out, stoq_buf_span(&p->lists[i]));
    }
    return st == STOQ_OK;
}

static bool add_meta(struct sim_world *w, const struct sim_node *n, const struct stoq_node_serve *s,
                     struct stoq_buf *out)
{
    const struct sim_package *p = &w->package;
    enum stoq_status st = STOQ_OK;
    switch (s->kind) {
    case STOQ_META_MANIFEST:
        return n->has_manifest && stoq_buf_add(out, stoq_buf_span(&p->manifest)) == STOQ_OK;
    case STOQ_META_SIGNATURES:
        return n->has_manifest; /* there are none */
    case STOQ_META_SHARD_LIST:
        return n->has_shard_list && stoq_buf_add(out, stoq_buf_span(&p->shard_list)) == STOQ_OK;
    case STOQ_META_CHUNK_LISTS:
        for (uint32_t i = 0; i < s->shards.count && st == STOQ_OK; i++) {
            uint64_t shard = s->shards.first + i;
            st = sim_bit(n->lists, shard) ? stoq_buf_add(out, stoq_buf_span(&p->lists[shard]))
                                          : STOQ_NOTFOUND;
        }
        return st == STOQ_OK;
    case STOQ_META_OPENING:
        return n->has_manifest && add_opening(p, n, out);
    default:
        if (n->has_shard_list) {
            add_have(w, n, s, out);
        }
        return n->has_shard_list;
    }
}

void sim_serve_meta(struct sim_world *w, uint32_t node, const struct stoq_node_serve *s)
{
    const struct sim_node *n = &w->nodes[node];
    bool has_shards = s->kind == STOQ_META_CHUNK_LISTS || s->kind == STOQ_META_HAVE_SHARDS ||
                      s->kind == STOQ_META_HAVE_CHUNKS;
    if (stoq_hash_eq(&s->id.h, &w->package.id.h) && has_shards && n->has_shard_list &&
        !shards_fit(&w->package, &s->shards)) {
        serve_error(w, node, s, STOQ_ERR_INVALID_CHUNK_INDEX);
        return;
    }
    uint32_t flow = flow_new(w, node, s->stream);
    struct sim_flow *f = sim_flow(w, flow);
    if (!stoq_hash_eq(&s->id.h, &w->package.id.h) || !add_meta(w, n, s, &f->payload)) {
        sim_flow_free(w, flow);
        serve_error(w, node, s, STOQ_ERR_CONTENT_NOT_FOUND);
        return;
    }
    struct stoq_message msg = {.type = STOQ_MSG_RESPONSE,
                               .request_id = s->request_id,
                               .u.response = {.kind = s->kind, .payload_bytes = f->payload.n}};
    flow_head(w, f, &msg);
    if (w->cfg.width == SIM_DEEP) {
        enum stoq_status st = stoq_buf_add(&f->coded, stoq_buf_span(&f->payload));
        STOQ_ASSERT(st == STOQ_OK);
        f->payload.n = 0;
        f->total = f->coded.n;
    } else {
        f->total += f->payload.n;
    }
    serve(w, flow);
}

/* ---- chunks ---- */

static void code_item(struct sim_world *w, struct sim_flow *f, uint64_t chunk)
{
    struct stoq_item item = {.encoding = STOQ_ITEM_MISSING};
    uint8_t head[STOQ_ITEM_HEAD_BYTES];
    uint32_t i = f->item_count;
    uint32_t n = f->item_bytes[i] - STOQ_ITEM_HEAD_BYTES;
    if (f->item_what[i] != ITEM_MISSING) {
        item = (struct stoq_item){STOQ_ITEM_RAW, n, n, 0};
    }
    stoq_item_head_put(head, &item);
    enum stoq_status st = stoq_buf_add(&f->coded, stoq_span(head, sizeof head));
    if (st == STOQ_OK && n > 0) {
        st = stoq_buf_reserve(&f->coded, n);
    }
    STOQ_ASSERT(st == STOQ_OK);
    if (n > 0) {
        sim_package_bytes(&w->package, chunk, f->coded.p + f->coded.n);
        f->coded.p[f->coded.n + n / 2] ^= f->item_what[i] == ITEM_FALSE ? 4 : 0;
        f->coded.n += n;
    }
}

static void add_item(struct sim_world *w, struct sim_flow *f, uint64_t chunk)
{
    const struct sim_node *n = &w->nodes[f->from];
    bool is_here = chunk < w->package.chunks && sim_bit(n->chunks, chunk);
    bool is_lie = n->kind == SIM_LIE && sim_life_is_bad(w, f->from);
    uint32_t i = f->item_count;
    f->item_what[i] = !is_here ? ITEM_MISSING : is_lie ? ITEM_FALSE : ITEM_TRUE;
    f->item_bytes[i] =
        STOQ_ITEM_HEAD_BYTES + (is_here ? sim_package_chunk(&w->package, chunk).bytes : 0);
    if (w->cfg.width == SIM_DEEP) {
        code_item(w, f, chunk);
    }
    f->total += f->item_bytes[i];
    f->item_count++;
}

void sim_serve_chunks(struct sim_world *w, uint32_t node, const struct stoq_node_serve *s)
{
    const struct sim_node *n = &w->nodes[node];
    const struct stoq_range *last = &s->ranges[s->range_count - 1];
    if (!stoq_hash_eq(&s->id.h, &w->package.id.h) || !n->has_shard_list) {
        serve_error(w, node, s, STOQ_ERR_CONTENT_NOT_FOUND);
        return;
    }
    if (last->first + last->count > w->package.chunks) {
        serve_error(w, node, s, STOQ_ERR_INVALID_CHUNK_INDEX);
        return;
    }
    struct stoq_message msg = {.type = STOQ_MSG_RESPONSE,
                               .request_id = s->request_id,
                               .u.response = {.kind = STOQ_META_CHUNKS, .items = s->chunk_count}};
    uint32_t flow = flow_new(w, node, s->stream);
    struct sim_flow *f = sim_flow(w, flow);
    f->is_urgent = false;
    flow_head(w, f, &msg);
    f->item_what = sim_alloc(s->chunk_count, sizeof *f->item_what);
    f->item_bytes = sim_alloc(s->chunk_count, sizeof *f->item_bytes);
    for (uint32_t r = 0; r < s->range_count; r++) {
        for (uint32_t k = 0; k < s->ranges[r].count; k++) {
            add_item(w, f, s->ranges[r].first + k);
        }
    }
    f->item_end = f->head_bytes;
    f->item_up_end = f->head_bytes + f->item_bytes[0];
    f->item_up = 1;
    serve(w, flow);
}
