/*
 * The memory of replies. A job of a reply makes some sixteen pieces, one per chunk, and each stays until
 * the peer has acknowledged it; then its memory serves the next one. Before a job runs it takes
 * ENGINE_SERVE_AHEAD from the room that all replies share; what it really made counts from its end until the
 * piece is freed.
 *
 * Who finds no room waits in order. Nobody can shut others out by asking for much and reading nothing: one
 * peer gets at most its serve_most of the room, and a connection that holds nothing may always make
 * one job's worth, also when the room is full, up to half of what limits.memory allows in all: a peer that
 * was killed and has begun anew does not wait until its old connection, whose replies have taken all, is
 * given up.
 */
#include "daemon/engine_internal.h"

#include <stdlib.h>

#define IDLE_BYTES_MAX (64u << 10) /* of a piece kept for reuse: nine chunks of ten are shorter */

void engine_piece_drop(void *item)
{
    struct piece *p = item;
    stoq_buf_release(&p->data);
    stoq_buf_release(&p->proof);
    free(p);
}

struct piece *engine_piece_new(struct inbound *in)
{
    struct piece *p = stoq_shelf_take(&in->engine->pieces_idle);
    if (p == NULL) {
        p = calloc(1, sizeof *p);
        if (p == NULL) {
            return NULL;
        }
        stoq_buf_init(&p->data, STOQ_ITEM_STORED_MAX);
        stoq_buf_init(&p->proof, STOQ_ITEM_PROOF_MAX);
    }
    p->owner = in;
    if (stoq_buf_reserve(&p->data, IDLE_BYTES_MAX) != STOQ_OK) {
        engine_piece_drop(p);
        return NULL;
    }
    return p;
}

/* Its buffers are used again while they are in the cache, and the system need not clear new ones. */
static void put_away(struct stoq_engine *e, struct piece *p)
{
    bool is_short = p->data.cap <= IDLE_BYTES_MAX;
    stoq_buf_clear(&p->data);
    stoq_buf_release(&p->proof);
    *p = (struct piece){.data = p->data, .proof = p->proof};
    if (!is_short || !stoq_shelf_put(&e->pieces_idle, p)) {
        engine_piece_drop(p);
    }
}

/* Is nothing held by replies on its connection? */
static bool holds_nothing(const struct inbound *in)
{
    const struct inbound *other = in->peer->inbounds;
    while (other != NULL && (other->conn != in->conn || other->held_bytes == 0)) {
        other = other->peer_next;
    }
    return other == NULL;
}

static bool has_room(const struct inbound *in)
{
    const struct stoq_engine *e = in->engine;
    uint64_t peer_bytes = in->peer->serve_bytes;
    if (e->serve_bytes + ENGINE_SERVE_AHEAD > e->cfg.limits.memory_bytes / 2) {
        return false;
    }
    bool is_below = peer_bytes + ENGINE_SERVE_AHEAD <= in->peer->serve_most &&
                    e->serve_bytes + ENGINE_SERVE_AHEAD <= ENGINE_SERVE_BYTES_MAX;
    return is_below || holds_nothing(in);
}

static void unwait(struct inbound *in)
{
    struct stoq_engine *e = in->engine;
    struct inbound **at = &e->room_first;
    if (!in->waits_room) {
        return;
    }
    while (*at != in) {
        at = &(*at)->room_next;
    }
    *at = in->room_next;
    if (*at == NULL) {
        e->room_last = at;
    }
    in->waits_room = false;
}

static void count(struct inbound *in, uint64_t plus, uint64_t minus)
{
    struct stoq_engine *e = in->engine;
    e->serve_bytes = e->serve_bytes + plus - minus;
    in->peer->serve_bytes = in->peer->serve_bytes + plus - minus;
    in->held_bytes = in->held_bytes + plus - minus;
}

/* The first of those that wait and now may go on. */
static void room_offer(struct stoq_engine *e)
{
    struct inbound *in = e->room_first;
    while (in != NULL && !has_room(in)) {
        in = in->room_next;
    }
    if (in != NULL) {
        unwait(in);
        engine_pump_later(in);
    }
}

/* It may have been offered room that it never took: others are waiting for that. */
void engine_room_leave(struct inbound *in)
{
    unwait(in);
    count(in, 0, in->reserved + (uint64_t)in->meta_held);
    in->reserved = 0;
    in->meta_held = 0;
    room_offer(in->engine);
}

void engine_room_meta_sent(struct inbound *in)
{
    stoq_buf_release(&in->meta);
    count(in, 0, in->meta_held);
    in->meta_held = 0;
    room_offer(in->engine);
}

bool engine_room_take(struct inbound *in)
{
    struct stoq_engine *e = in->engine;
    if (has_room(in)) {
        in->reserved = ENGINE_SERVE_AHEAD;
        count(in, in->reserved, 0);
        return true;
    }
    if (!in->waits_room) {
        in->waits_room = true;
        in->room_next = NULL;
        *e->room_last = in;
        e->room_last = &in->room_next;
    }
    return false;
}

void engine_room_settle(struct inbound *in)
{
    for (struct piece *p = in->pieces; p != NULL; p = p->next) {
        p->held_bytes = (uint32_t)(p->data.cap + p->proof.cap);
        count(in, p->held_bytes, 0);
    }
    if (!in->is_meta && in->meta_held == 0 && in->meta.cap > 0) {
        in->meta_held = (uint32_t)in->meta.cap;
        count(in, in->meta_held, 0);
    }
    count(in, 0, in->reserved);
    in->reserved = 0;
    room_offer(in->engine);
}

void engine_piece_free(struct piece *p)
{
    struct inbound *in = p->owner;
    STOQ_ASSERT(p->parts_out == 0);
    count(in, 0, p->held_bytes);
    if (p->held_bytes > 0) {
        room_offer(in->engine);
    }
    put_away(in->engine, p);
}

void engine_pieces_free(struct piece *list)
{
    while (list != NULL) {
        struct piece *next = list->next;
        engine_piece_free(list);
        list = next;
    }
}
