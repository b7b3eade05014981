/*
 * What comes back to the one who asked. The bytes of a reply come in order; each item that is complete
 * is compared with its hash (deep), or known to be true or false (wide), and put into the store.
 */
#include "hash/hash.h"
#include "sim/sim_internal.h"

#include <stdlib.h>
#include <string.h>

static struct sim_ask *ask_of(const struct sim_world *w, uint32_t node, stoq_node_cookie cookie)
{
    return stoq_map_get(&w->nodes[node].asks, (struct stoq_map_key){cookie, 0});
}

static struct sim_ask *ask_new(struct sim_world *w, uint32_t node, uint32_t peer,
                               stoq_node_cookie cookie)
{
    uint32_t handle = sim_pool_take(&w->asks);
    struct sim_ask *a = sim_pool_at(&w->asks, handle);
    sim_check_cookie(w, node, cookie);
    a->cookie = cookie;
    a->handle = handle;
    a->peer = peer;
    stoq_buf_init(&a->data, STOQ_ITEM_STORED_MAX);
    enum stoq_status st = stoq_map_put(&w->nodes[node].asks, (struct stoq_map_key){cookie, 0}, a);
    STOQ_ASSERT(st == STOQ_OK);
    return a;
}

void sim_ask_drop(struct sim_world *w, uint32_t ask)
{
    struct sim_ask *a = sim_pool_at(&w->asks, ask);
    stoq_buf_release(&a->data);
    free(a->indexes);
    sim_pool_give(&w->asks, ask);
}

void sim_ask_free(struct sim_world *w, uint32_t node, struct sim_ask *a)
{
    (void)stoq_map_remove(&w->nodes[node].asks, (struct stoq_map_key){a->cookie, 0});
    sim_ask_drop(w, a->handle);
}

void sim_ask_over(struct sim_world *w, uint32_t node, struct sim_ask *a, enum stoq_status status,
                  stoq_ns at)
{
    if (!a->is_over) {
        a->is_over = true;
        a->status = status;
        sim_put(w, at, node, a->peer, EV_CLOSE, a->handle);
    }
}

/* The closing event of a request. */
static void close_with(struct sim_world *w, uint32_t node, struct sim_ask *a,
                       enum stoq_status status, const struct stoq_message *msg,
                       struct stoq_span payload)
{
    const struct stoq_node_reply reply = {a->cookie, status, msg, payload};
    struct stoq_node_event ev = stoq_node_closing(&reply, a->wants_chunks);
    a->is_over = true;
    sim_feed(w, node, &ev);
    sim_ask_free(w, node, a);
}

void sim_ask_close(struct sim_world *w, uint32_t node, uint32_t ask)
{
    struct sim_ask *a = sim_pool_at(&w->asks, ask);
    if (a->is_orphan) {
        sim_ask_drop(w, ask);
    } else {
        close_with(w, node, a, a->status, NULL, stoq_span(NULL, 0));
    }
}

/* ---- requests ---- */

static void post(struct sim_world *w, uint32_t node, struct sim_ask *a,
                 const struct stoq_message *msg)
{
    struct sim_link *l = sim_link(w, node, a->peer);
    if (l == NULL || !l->is_told) {
        sim_ask_over(w, node, a, STOQ_NET, w->now);
        return;
    }
    uint32_t letter = sim_pool_take(&w->letters);
    struct sim_letter *m = sim_pool_at(&w->letters, letter);
    m->cookie = a->cookie;
    m->bytes = l->number;
    stoq_buf_init(&m->coded, STOQ_FRAME_BYTES_MAX + STOQ_FRAME_HEAD_BYTES);
    m->msg = *msg;
    if (w->cfg.width == SIM_DEEP) {
        enum stoq_status st = stoq_message_encode(msg, &m->coded);
        STOQ_ASSERT(st == STOQ_OK);
    } else if (msg->type == STOQ_MSG_CHUNK_REQUEST) {
        const struct stoq_msg_chunk_request *q = &msg->u.chunk_request;
        m->ranges = sim_alloc(q->range_count, sizeof *m->ranges);
        memcpy(m->ranges, q->ranges, q->range_count * sizeof *m->ranges);
        m->msg.u.chunk_request.ranges = m->ranges;
    }
    sim_note(w, msg->type, a->cookie);
    sim_line_up(w, node, sim_cost_line_bytes(&sim_cost(SIM_COST_WARM)->asker));
    sim_put(w, sim_path_arrival(w, l), a->peer, node, EV_REQUEST, letter);
}

void sim_ask_send(struct sim_world *w, uint32_t node, const struct stoq_node_ask *ask)
{
    struct sim_ask *a = ask_new(w, node, ask->peer, ask->cookie);
    a->payload_max = ask->payload_max;
    post(w, node, a, ask->msg);
}

void sim_ask_chunks(struct sim_world *w, uint32_t node, const struct stoq_node_ask_chunks *want)
{
    struct sim_ask *a = ask_new(w, node, want->peer, want->cookie);
    a->wants_chunks = true;
    a->chunks = want->chunks;
    a->indexes = sim_alloc(want->chunk_count, sizeof *a->indexes);
    for (uint32_t r = 0; r < want->range_count; r++) {
        for (uint32_t k = 0; k < want->ranges[r].count; k++) {
            STOQ_ASSERT(a->chunk_count < want->chunk_count);
            a->indexes[a->chunk_count++] = want->ranges[r].first + k;
        }
    }
    STOQ_ASSERT(a->chunk_count == want->chunk_count);
    struct stoq_message msg = {.type = STOQ_MSG_CHUNK_REQUEST,
                               .request_id = want->cookie,
                               .u.chunk_request = {.id = want->id,
                                                   .ranges = want->ranges,
                                                   .range_count = want->range_count,
                                                   .chunk_count = want->chunk_count,
                                                   .want_proofs = want->want_proofs}};
    post(w, node, a, &msg);
}

void sim_ask_cancel(struct sim_world *w, uint32_t node, const struct stoq_node_cancel *c)
{
    struct sim_ask *a = ask_of(w, node, c->cookie);
    struct sim_link *l = sim_link(w, node, c->peer);
    if (a == NULL || a->is_over) {
        return;
    }
    sim_ask_over(w, node, a, STOQ_CANCELLED, w->now + STOQ_MS);
    if (l != NULL) {
        uint32_t letter = sim_pool_take(&w->letters);
        ((struct sim_letter *)sim_pool_at(&w->letters, letter))->cookie = c->cookie;
        sim_put(w, sim_path_arrival(w, l), c->peer, node, EV_STOP, letter);
    }
}

/* ---- what comes ---- */

static void tell_progress(struct sim_world *w, uint32_t node, struct sim_ask *a, bool at_end)
{
    if (a->unreported == 0 || (!at_end && w->now - a->told_at < SIM_TELL_EVERY)) {
        return;
    }
    struct stoq_node_event ev = {.kind = STOQ_NODE_PROGRESS,
                                 .u.progress = {.cookie = a->cookie, .bytes = a->unreported}};
    a->unreported = 0;
    a->told_at = w->now;
    sim_feed(w, node, &ev);
}

/* Put a chunk into the store; is it new there? */
static bool store_chunk(struct sim_world *w, uint32_t node, uint64_t chunk, bool is_true)
{
    struct sim_node *n = &w->nodes[node];
    sim_check_stored(w, node, chunk, is_true);
    if (sim_bit(n->chunks, chunk)) {
        return false;
    }
    n->unsynced++;
    sim_bit_set(n->chunks, chunk);
    n->chunk_count++;
    return true;
}

/* An item is here to its end. */
static void take_item(struct sim_world *w, uint32_t node, struct sim_ask *a, uint32_t item,
                      enum sim_item_what what, uint32_t bytes)
{
    struct stoq_node_event ev = {.kind = STOQ_NODE_CHUNK,
                                 .u.chunk = {.cookie = a->cookie,
                                             .index = a->indexes[item],
                                             .status = STOQ_NOTFOUND,
                                             .wire_bytes = bytes}};
    bool is_taken = what == ITEM_TRUE || w->cfg.canary == SIM_CANARY_UNVERIFIED;
    if (what != ITEM_MISSING && is_taken) {
        ev.u.chunk.status = STOQ_OK;
        ev.u.chunk.is_new = store_chunk(w, node, a->indexes[item], what == ITEM_TRUE);
    } else if (what == ITEM_FALSE) {
        ev.u.chunk.status = STOQ_PROOF;
        sim_check_bad(w, node, a->peer);
    }
    sim_feed(w, node, &ev);
}

static void take_wide(struct sim_world *w, uint32_t node, struct sim_flow *f, struct sim_ask *a)
{
    stoq_node_cookie cookie = a->cookie;
    while (a != NULL && !a->is_over && f->item < f->item_count &&
           f->taken >= f->item_end + f->item_bytes[f->item]) {
        uint32_t i = f->item++;
        f->item_end += f->item_bytes[i];
        take_item(w, node, a, i, (enum sim_item_what)f->item_what[i], f->item_bytes[i]);
        sim_drain(w, node); /* the one who lies is cut before the next */
        a = ask_of(w, node, cookie);
    }
    if (a == NULL || a->is_over || f->taken < f->total) {
        return;
    }
    tell_progress(w, node, a, true);
    if (f->item_count > 0) {
        close_with(w, node, a, STOQ_OK, NULL, stoq_span(NULL, 0));
        return;
    }
    bool is_long = f->payload.n > a->payload_max && f->msg.type == STOQ_MSG_RESPONSE;
    close_with(w, node, a, is_long ? STOQ_FULL : STOQ_OK, &f->msg, stoq_buf_span(&f->payload));
}

/* ---- the same from bytes ---- */

static enum sim_item_what judge(const struct sim_ask *a, const struct stoq_items_out *out)
{
    const struct stoq_merkle_chunk *want = &a->chunks[out->index];
    if (out->item.encoding == STOQ_ITEM_MISSING) {
        return ITEM_MISSING;
    }
    struct stoq_hash h = stoq_hash_blake3(stoq_buf_span(&a->data));
    bool fits = stoq_hash_eq(&h, &want->hash) && a->data.n == want->bytes;
    return fits ? ITEM_TRUE : ITEM_FALSE;
}

/* The items in these bytes. NULL: the request is over meanwhile. */
static struct sim_ask *take_items(struct sim_world *w, uint32_t node, struct sim_ask *a,
                                  struct stoq_span in)
{
    stoq_node_cookie cookie = a->cookie;
    struct stoq_items_out out;
    do {
        enum stoq_status st = stoq_items_next(&a->items, &in, &out);
        if (st == STOQ_OK && out.what == STOQ_ITEMS_DATA) {
            st = stoq_buf_add(&a->data, out.bytes);
        }
        STOQ_ASSERT(st == STOQ_OK); /* no node sends what is none */
        if (out.last) {
            uint32_t bytes = STOQ_ITEM_HEAD_BYTES + out.item.stored_len;
            enum sim_item_what what = judge(a, &out);
            stoq_buf_clear(&a->data);
            take_item(w, node, a, out.index, what, bytes);
            sim_drain(w, node);
            a = ask_of(w, node, cookie);
        }
    } while (a != NULL && !a->is_over && out.what != STOQ_ITEMS_WAIT && out.what != STOQ_ITEMS_END);
    return a;
}

static struct stoq_message decode_head(struct sim_world *w, const struct sim_flow *f)
{
    struct stoq_message msg = {0};
    struct stoq_span cbor = stoq_span(f->coded.p + STOQ_FRAME_HEAD_BYTES,
                                      (size_t)f->head_bytes - STOQ_FRAME_HEAD_BYTES);
    enum stoq_status st = stoq_message_decode(cbor, w->ranges, &msg);
    STOQ_ASSERT(st == STOQ_OK);
    return msg;
}

static void take_deep(struct sim_world *w, uint32_t node, struct sim_flow *f, struct sim_ask *a,
                      uint64_t n)
{
    uint64_t from = f->taken - n;
    if (f->taken < f->head_bytes) {
        return;
    }
    struct stoq_message msg = decode_head(w, f);
    if (from < f->head_bytes) {
        stoq_items_init(&a->items, msg.type == STOQ_MSG_RESPONSE ? msg.u.response.items : 0);
        from = f->head_bytes;
    }
    struct stoq_span payload =
        stoq_span(f->coded.p + f->head_bytes, (size_t)(f->total - f->head_bytes));
    if (f->item_count > 0 && f->taken > from) {
        a = take_items(w, node, a, stoq_span(f->coded.p + from, (size_t)(f->taken - from)));
    }
    if (a == NULL || a->is_over || f->taken < f->total) {
        return;
    }
    tell_progress(w, node, a, true);
    if (f->item_count > 0) {
        close_with(w, node, a, STOQ_OK, NULL, stoq_span(NULL, 0));
        return;
    }
    bool is_long = payload.n > a->payload_max && msg.type == STOQ_MSG_RESPONSE;
    close_with(w, node, a, is_long ? STOQ_FULL : STOQ_OK, &msg, payload);
}

void sim_take(struct sim_world *w, uint32_t node, struct sim_flow *f, uint64_t n)
{
    struct sim_ask *a = ask_of(w, node, f->cookie);
    if (a == NULL || a->is_over) {
        return;
    }
    if (a->wants_chunks) {
        a->unreported += n;
        tell_progress(w, node, a, false);
    }
    if (w->cfg.width == SIM_DEEP) {
        take_deep(w, node, f, a, n);
    } else {
        take_wide(w, node, f, a);
    }
}
