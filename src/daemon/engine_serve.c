/*
 * Requests of others. A stream brings one frame (engine_decide.c); the node decides what becomes of it; a
 * reply from the store is made in workers, some sixteen chunks at a time, and handed to the transport
 * without a copy: each chunk stays in its buffer (struct piece) until the peer has acknowledged it. We read
 * ahead by about a megabyte a reply, as far as there is room for it (engine_piece.c). A reply that does not
 * move for ENGINE_SERVE_TIMEOUT is cut.
 */
#include "daemon/engine_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct inbound *inbound_of(struct stoq_engine *e, stoq_net_conn conn, stoq_net_stream stream)
{
    return stoq_map_get(&e->streams, (struct stoq_map_key){conn, (uint64_t)stream});
}

static void inbound_free(struct inbound *in)
{
    struct stoq_engine *e = in->engine;
    (void)stoq_map_remove(&e->inbounds, (struct stoq_map_key){in->number, 0});
    engine_room_leave(in);
    engine_pieces_free(in->pieces);
    engine_pieces_free(in->spare);
    if (in->held != NULL) {
        engine_held_release(e, in->held);
    }
    stoq_held_close(in->opened);
    engine_budget_end(in);
    engine_yield_end(in);
    in->peer->inbound_count--;
    *in->peer_at = in->peer_next;
    if (in->peer_next != NULL) {
        in->peer_next->peer_at = in->peer_at;
    }
    engine_peer_unref(e, in->peer);
    stoq_frame_release(&in->frame);
    stoq_stream_list_drop(in->chunks);
    stoq_buf_release(&in->meta);
    free(in->ranges);
    free(in->hashes);
    free(in);
}

/* The stream is gone, and the node is told; what jobs and the transport still hold comes back later. */
static void inbound_over(struct inbound *in)
{
    struct stoq_engine *e = in->engine;
    if (!in->over) {
        in->over = true;
        (void)stoq_map_remove(&e->streams, (struct stoq_map_key){in->conn, (uint64_t)in->stream});
        if (in->serving) {
            in->serving = false;
            engine_request_served(in);
            struct stoq_node_event ev = {.kind = STOQ_NODE_SERVED,
                                         .u.served = {.peer = in->peer->number,
                                                      .stream = in->number,
                                                      .bytes = in->bytes_out}};
            (void)engine_feed(e, &ev);
        }
    }
    if (!in->reading && !in->in_pump && in->bytes_queued == 0) {
        inbound_free(in);
    }
}

void engine_inbound_cut(struct inbound *in, uint64_t code)
{
    stoq_net_stream_stop(in->engine->net, in->conn, in->stream, code);
    stoq_net_stream_reset(in->engine->net, in->conn, in->stream, code);
    inbound_over(in);
}

void engine_pump_later(struct inbound *in)
{
    struct stoq_engine *e = in->engine;
    if (!in->in_pump) {
        in->in_pump = true;
        in->pump_next = NULL;
        *e->pump_last = in;
        e->pump_last = &in->pump_next;
    }
}

/* The transport is done with one span of a piece. */
static void part_released(void *user)
{
    struct piece_part *part = user;
    struct piece *p = part->piece;
    struct inbound *in = p->owner;
    in->bytes_queued -= part->bytes;
    in->moved_at = stoq_now();
    if (--p->parts_out == 0 && p->parts_sent == STOQ_COUNT(p->part)) {
        engine_piece_free(p);
    }
    engine_pump_later(in);
}

static void count_sent(struct inbound *in, struct piece_part *part, size_t n)
{
    struct stoq_engine *e = in->engine;
    part->bytes = (uint32_t)n;
    part->piece->parts_out++;
    in->bytes_out += n;
    in->bytes_queued += n;
    in->peer->bytes_served += n;
    e->bytes_served += n;
    engine_placements_sent(e, in->peer, &in->id, n);
}

/* Hand a piece over: head, proof, data. STOQ_FULL: it goes on where it stopped once there is room. */
static enum stoq_status piece_send(struct inbound *in, struct piece *p, bool fin)
{
    struct stoq_span span[3] = {stoq_span(p->head, sizeof p->head), stoq_buf_span(&p->proof),
                                stoq_buf_span(&p->data)};
    size_t last = p->data.n > 0 ? 2 : p->proof.n > 0 ? 1 : 0;
    while (p->parts_sent < STOQ_COUNT(span)) {
        size_t i = p->parts_sent;
        struct piece_part *part = &p->part[i];
        part->piece = p;
        if (span[i].n > 0) {
            struct stoq_net_buf buf = {span[i], part_released, part};
            enum stoq_status st =
                stoq_net_write(in->engine->net, in->conn, in->stream, &buf, fin && i == last);
            if (st != STOQ_OK) {
                return st;
            }
            count_sent(in, part, span[i].n);
        }
        p->parts_sent++;
    }
    return STOQ_OK;
}

static enum stoq_status send_message(struct inbound *in, const struct stoq_message *msg, bool fin)
{
    struct stoq_buf out;
    stoq_buf_init(&out, STOQ_FRAME_BYTES_MAX + STOQ_FRAME_HEAD_BYTES);
    enum stoq_status st = stoq_message_encode(msg, &out);
    if (st == STOQ_OK) {
        st = stoq_net_write_copy(in->engine->net, in->conn, in->stream, stoq_buf_span(&out), fin);
    }
    stoq_buf_release(&out);
    return st;
}

void engine_send_error(struct inbound *in)
{
    size_t n = strnlen(in->err.text, STOQ_ERROR_TEXT_MAX);
    struct stoq_message msg = {.type = STOQ_MSG_ERROR,
                               .request_id = in->request_id,
                               .u.error = {.code = in->error, .text = stoq_span(in->err.text, n)}};
    in->ended = true;
    if (send_message(in, &msg, true) != STOQ_OK) {
        engine_inbound_cut(in, STOQ_APP_CANCELLED);
    }
}

static void meta_released(void *user)
{
    struct inbound *in = user;
    in->bytes_queued = 0;
    engine_pump_later(in);
}

/* Now, or when what was sent before it is paid. */
static void send_meta(struct inbound *in)
{
    struct stoq_engine *e = in->engine;
    if (in->meta.n > 0 && !engine_budget_meta(in, in->meta.n)) {
        return;
    }
    struct stoq_message msg = {.type = STOQ_MSG_RESPONSE,
                               .request_id = in->request_id,
                               .u.response = {.kind = in->kind, .payload_bytes = in->meta.n}};
    in->ended = true;
    enum stoq_status st = send_message(in, &msg, in->meta.n == 0);
    if (st == STOQ_OK && in->meta.n > 0) {
        struct stoq_net_buf buf = {stoq_buf_span(&in->meta), meta_released, in};
        in->bytes_queued = in->meta.n;
        st = stoq_net_write(e->net, in->conn, in->stream, &buf, true);
        if (st != STOQ_OK) {
            in->bytes_queued = 0;
        }
    }
    if (st != STOQ_OK) {
        engine_inbound_cut(in, STOQ_APP_CANCELLED);
        return;
    }
    in->bytes_out = in->meta.n;
    in->peer->bytes_served += in->meta.n;
    e->bytes_served += in->meta.n;
}

static uint64_t piece_bytes(const struct piece *p)
{
    return sizeof p->head + p->proof.n + p->data.n;
}

static void before_released(void *user)
{
    struct inbound *in = user;
    in->bytes_queued -= in->meta.n;
    in->moved_at = stoq_now();
    engine_room_meta_sent(in);
    engine_pump_later(in);
}

/* The metadata that go before the chunks. */
static enum stoq_status send_before(struct inbound *in)
{
    struct stoq_net_buf buf = {stoq_buf_span(&in->meta), before_released, in};
    if (in->meta.n == 0 || in->meta_sent) {
        return STOQ_OK;
    }
    bool fin = in->chunk_count == 0;
    enum stoq_status st = stoq_net_write(in->engine->net, in->conn, in->stream, &buf, fin);
    if (st == STOQ_OK) {
        in->meta_sent = true;
        in->ended = fin;
        in->bytes_queued += in->meta.n;
        in->bytes_out += in->meta.n;
        in->peer->bytes_served += in->meta.n;
        in->engine->bytes_served += in->meta.n;
    }
    return st;
}

static enum stoq_status send_head(struct inbound *in)
{
    if (in->head_sent) {
        return STOQ_OK;
    }
    struct stoq_message msg = {
        .type = STOQ_MSG_RESPONSE,
        .request_id = in->request_id,
        .u.response = {.kind = in->kind,
                       .payload_bytes = in->meta.n,
                       .items = in->chunk_count,
                       .cap_bytes_per_s = in->tells_cap ? engine_budget_cap(in) : 0}};
    in->ended = in->chunk_count == 0 && in->meta.n == 0;
    in->head_sent = true;
    return send_message(in, &msg, in->ended);
}

/* Send what a job has made. False: the stream takes no more now, or is gone. */
static bool send_pieces(struct inbound *in)
{
    if (!in->meta_sent && in->meta.n > 0 && !in->head_sent && !engine_budget_send(in, in->meta.n)) {
        return false;
    }
    enum stoq_status head = send_head(in);
    head = head == STOQ_OK ? send_before(in) : head;
    if (head != STOQ_OK) {
        if (head != STOQ_FULL) {
            engine_inbound_cut(in, STOQ_APP_CANCELLED);
        }
        return false;
    }
    while (in->pieces != NULL) {
        struct piece *p = in->pieces;
        bool fin = p->next == NULL && in->range_at == in->range_count;
        if (p->parts_sent == 0 && !engine_budget_send(in, piece_bytes(p))) {
            return false;
        }
        enum stoq_status st = piece_send(in, p, fin);
        if (st == STOQ_FULL) {
            return false;
        }
        if (st != STOQ_OK) {
            engine_inbound_cut(in, STOQ_APP_CANCELLED);
            return false;
        }
        in->pieces = p->next; /* the transport has it now */
        in->ended = fin;
    }
    return true;
}

static void produce_work(struct stoq_job *job)
{
    struct inbound *in = (struct inbound *)((char *)job - offsetof(struct inbound, job));
    if (in->is_meta) {
        engine_produce_meta(in);
    } else {
        engine_produce_chunks(in);
    }
}

static void produce_done(struct stoq_job *job)
{
    struct inbound *in = (struct inbound *)((char *)job - offsetof(struct inbound, job));
    struct stoq_engine *e = in->engine;
    engine_job_done(e);
    engine_room_settle(in);
    in->reading = false;
    in->moved_at = stoq_now();
    if (in->opened != NULL && in->held == NULL) {
        in->held = engine_held(e, &in->id); /* somebody may have been quicker */
        if (in->held == NULL) {
            in->held = engine_held_keep(e, &in->id, in->opened);
            in->opened = in->held != NULL ? NULL : in->opened;
        }
    }
    if (in->over) {
        inbound_over(in);
        return;
    }
    if (in->error != 0 && !in->head_sent) {
        engine_send_error(in);
    } else if (in->error != 0) {
        engine_inbound_cut(in, STOQ_APP_CANCELLED);
    } else if (in->is_meta) {
        send_meta(in);
    } else {
        engine_pump_later(in);
    }
}

static bool give_spares(struct inbound *in)
{
    struct piece **at = &in->spare;
    unsigned n = 0;
    for (; *at != NULL; at = &(*at)->next) {
        n++;
    }
    while (n < ENGINE_PIECES) {
        *at = engine_piece_new(in);
        if (*at == NULL) {
            return n > 0;
        }
        at = &(*at)->next;
        n++;
    }
    return true;
}

static void produce(struct inbound *in)
{
    if (!in->is_meta && !engine_room_take(in)) {
        return;
    }
    if (!in->is_meta && !give_spares(in)) {
        engine_inbound_cut(in, STOQ_APP_CANCELLED);
        return;
    }
    in->job = (struct stoq_job){.work = produce_work, .done = produce_done};
    in->pieces_last = &in->pieces;
    in->reading = true;
    if (engine_run(in->engine, &in->job) != STOQ_OK) {
        in->reading = false;
        engine_inbound_cut(in, STOQ_APP_CANCELLED);
    }
}

/* Move one reply on: send what is made, make more when little is waiting. */
static void pump_one(struct inbound *in)
{
    if (in->over) {
        inbound_over(in);
        return;
    }
    if (in->is_meta && in->budget.granted) {
        send_meta(in);
        return;
    }
    if (in->reading || in->ended || in->is_meta || in->phase != INBOUND_ANSWERING) {
        return;
    }
    bool has_begun = in->checked && (!in->head_sent || (in->meta.n > 0 && !in->meta_sent));
    if ((in->pieces != NULL || has_begun) && !send_pieces(in)) {
        return;
    }
    if (in->ended || in->range_at == in->range_count || in->bytes_queued >= ENGINE_SERVE_AHEAD) {
        return;
    }
    produce(in);
}

void engine_pump(struct stoq_engine *e)
{
    struct inbound *in = e->pump_first;
    e->pump_first = NULL;
    e->pump_last = &e->pump_first;
    while (in != NULL) {
        struct inbound *next = in->pump_next;
        in->in_pump = false;
        pump_one(in);
        in = next;
    }
}

void engine_stream(void *user, stoq_net_conn conn, stoq_net_stream stream)
{
    struct stoq_engine *e = user;
    struct peer *p = stoq_map_get(&e->conns, (struct stoq_map_key){conn, 0});
    struct inbound *in = p == NULL || e->draining ? NULL : calloc(1, sizeof *in);
    if (in == NULL) {
        stoq_net_stream_stop(e->net, conn, stream, STOQ_APP_GOING_AWAY);
        stoq_net_stream_reset(e->net, conn, stream, STOQ_APP_GOING_AWAY);
        return;
    }
    in->engine = e;
    in->peer = p;
    in->number = ++e->inbound_last;
    in->conn = conn;
    in->stream = stream;
    in->moved_at = stoq_now();
    in->pieces_last = &in->pieces;
    stoq_frame_init(&in->frame);
    stoq_buf_init(&in->meta, STOQ_META_BYTES_MAX);
    struct stoq_map_key key = {conn, (uint64_t)stream};
    engine_peer_ref(p);
    p->inbound_count++;
    in->peer_next = p->inbounds;
    in->peer_at = &p->inbounds;
    if (in->peer_next != NULL) {
        in->peer_next->peer_at = &in->peer_next;
    }
    p->inbounds = in;
    if (stoq_map_put(&e->streams, key, in) != STOQ_OK ||
        stoq_map_put(&e->inbounds, (struct stoq_map_key){in->number, 0}, in) != STOQ_OK) {
        engine_inbound_cut(in, STOQ_APP_GOING_AWAY);
    }
}

void engine_data(void *user, stoq_net_conn conn, stoq_net_stream stream, struct stoq_span bytes,
                 bool fin)
{
    struct stoq_engine *e = user;
    struct ask *a = engine_ask_of(e, conn, stream);
    if (a != NULL) {
        engine_ask_data(a, bytes, fin);
        return;
    }
    struct inbound *in = inbound_of(e, conn, stream);
    if (in != NULL) {
        engine_inbound_data(in, bytes, fin);
        return;
    }
    stoq_net_consumed(e->net, conn, stream, bytes.n);
}

void engine_writable(void *user, stoq_net_conn conn, stoq_net_stream stream)
{
    struct inbound *in = inbound_of(user, conn, stream);
    if (in != NULL) {
        engine_pump_later(in);
    }
}

void engine_stream_ended(void *user, stoq_net_conn conn, stoq_net_stream stream, bool stop,
                         uint64_t code)
{
    struct stoq_engine *e = user;
    struct ask *a = engine_ask_of(e, conn, stream);
    if (a != NULL) {
        if (!stop) {
            engine_peer_why(a->peer, "it broke off its reply (code %llu)",
                            (unsigned long long)code);
            engine_ask_lost(a, STOQ_NET);
        }
        return;
    }
    struct inbound *in = inbound_of(e, conn, stream);
    if (in != NULL) {
        engine_inbound_cut(in, STOQ_APP_CANCELLED);
    }
}

void engine_stream_closed(void *user, stoq_net_conn conn, stoq_net_stream stream, uint64_t code)
{
    struct stoq_engine *e = user;
    struct ask *a = engine_ask_of(e, conn, stream);
    if (a != NULL) {
        engine_ask_lost(a, STOQ_NET);
    }
    struct inbound *in = inbound_of(e, conn, stream);
    if (in != NULL) {
        inbound_over(in);
    }
    (void)code;
}

void engine_send(struct stoq_engine *e, const struct stoq_node_send *s)
{
    struct inbound *in = stoq_map_get(&e->inbounds, (struct stoq_map_key){s->stream, 0});
    if (in == NULL || in->over) {
        return;
    }
    in->phase = INBOUND_ANSWERING;
    in->is_meta = true;
    in->ended = true;
    in->moved_at = stoq_now();
    stoq_net_stream_class(e->net, in->conn, in->stream, STOQ_NET_CONTROL);
    if (send_message(in, s->msg, true) != STOQ_OK) {
        engine_inbound_cut(in, STOQ_APP_CANCELLED);
    }
}

static enum stoq_net_class class_of(enum stoq_priority priority)
{
    switch (priority) {
    case STOQ_PRIORITY_INTERACTIVE:
        return STOQ_NET_INTERACTIVE;
    case STOQ_PRIORITY_BACKGROUND:
        return STOQ_NET_BACKGROUND;
    default:
        return STOQ_NET_BULK;
    }
}

void engine_serve(struct stoq_engine *e, const struct stoq_node_serve *s, bool is_meta)
{
    struct inbound *in = stoq_map_get(&e->inbounds, (struct stoq_map_key){s->stream, 0});
    if (in == NULL || in->over) {
        struct stoq_node_event ev = {.kind = STOQ_NODE_SERVED,
                                     .u.served = {.peer = s->peer, .stream = s->stream}};
        (void)engine_feed(e, &ev);
        return;
    }
    in->phase = INBOUND_ANSWERING;
    in->serving = true;
    in->moved_at = stoq_now();
    in->answer_at = in->moved_at;
    in->request_id = s->request_id;
    in->id = s->id;
    in->is_meta = is_meta;
    in->kind = s->kind;
    in->shards = s->shards;
    in->want_proofs = s->want_proofs;
    struct stoq_msg_hello hello = {.features = STOQ_FEATURE_ZSTD};
    (void)stoq_node_peer_hello(e->node, s->peer, &hello);
    in->raw = e->cfg.raw || (hello.features & STOQ_FEATURE_ZSTD) == 0;
    in->tells_cap = (hello.features & STOQ_FEATURE_PRIORITY) != 0;
    in->priority = is_meta ? STOQ_PRIORITY_INTERACTIVE : s->priority; /* a transfer waits for it */
    stoq_net_stream_class(e->net, in->conn, in->stream,
                          is_meta ? STOQ_NET_CONTROL : class_of(s->priority));
    if (!is_meta && s->priority == STOQ_PRIORITY_BACKGROUND) {
        engine_yield_begin(in);
    }
    if (!is_meta) {
        in->ranges = calloc((size_t)s->range_count + 1, sizeof *in->ranges);
        in->hashes = s->hashes.n > 0 ? malloc(s->hashes.n) : NULL;
        if (in->ranges == NULL || (s->hashes.n > 0 && in->hashes == NULL)) {
            engine_inbound_cut(in, STOQ_APP_GOING_AWAY);
            return;
        }
        if (s->range_count > 0) {
            memcpy(in->ranges, s->ranges, s->range_count * sizeof *in->ranges);
        }
        if (s->hashes.n > 0) {
            memcpy(in->hashes, s->hashes.p, s->hashes.n);
        }
        in->range_count = s->range_count;
        in->chunk_count = s->chunk_count;
    }
    in->held = engine_held(e, &in->id);
    produce(in);
}

void engine_serves_cut(struct stoq_engine *e)
{
    size_t at = 0;
    struct inbound *in;
    while ((in = stoq_map_next(&e->streams, &at)) != NULL) {
        engine_inbound_cut(in, STOQ_APP_GOING_AWAY);
        at = 0; /* removing has moved things */
    }
}

void engine_serves_conn_lost(struct stoq_engine *e, stoq_net_conn conn)
{
    size_t at = 0;
    struct inbound *in;
    while ((in = stoq_map_next(&e->streams, &at)) != NULL) {
        if (in->conn == conn) {
            inbound_over(in);
            at = 0; /* removing has moved things */
        }
    }
}

void engine_sweep(struct stoq_engine *e, stoq_ns now)
{
    size_t at = 0;
    struct inbound *in;
    while ((in = stoq_map_next(&e->streams, &at)) != NULL) {
        stoq_ns limit =
            in->phase == INBOUND_READING ? ENGINE_INBOUND_TIMEOUT : ENGINE_SERVE_TIMEOUT;
        if (!in->reading && !in->budget.waits &&
            in->moved_at + limit < now) { /* it may have moved since now */
            char name[16];
            if (in->phase == INBOUND_READING) {
                e->requests_slow++;
            } else {
                e->replies_stalled++;
            }
            engine_log(e, "%s..: request cut, it did not move for %u s",
                       engine_peer_name(in->peer, name), (unsigned)(limit / STOQ_SEC));
            engine_inbound_cut(in, STOQ_APP_VIOLATION);
            at = 0; /* removing has moved things */
        }
    }
}
