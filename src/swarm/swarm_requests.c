/*
 * Outstanding requests. A chunk knows the (at most two) requests it is part of; a request knows its
 * indices and how many of them are still outstanding. The low bits of a cookie are its slot, the rest a
 * count, so that late answers find nothing instead of somebody else's request.
 */
#include "swarm/swarm_internal.h"

#include <stdlib.h>

#define SLOT_BITS 9
_Static_assert(1u << SLOT_BITS == STOQ_SWARM_REQUESTS_MAX, "a slot fills its bits");

static uint32_t slot_of(stoq_swarm_cookie cookie)
{
    return (uint32_t)(cookie & (STOQ_SWARM_REQUESTS_MAX - 1));
}

struct swarm_request *stoq_swarm_find_request(const struct stoq_swarm *sw, stoq_swarm_cookie cookie)
{
    struct swarm_request *rq = sw->request[slot_of(cookie)];
    return rq != NULL && rq->cookie == cookie && !rq->cancelled ? rq : NULL;
}

struct swarm_request *stoq_swarm_new_request(struct stoq_swarm *sw, uint32_t peer_slot,
                                             uint32_t chunks_max, stoq_ns now)
{
    uint32_t slot = 0;
    while (slot < STOQ_SWARM_REQUESTS_MAX && sw->request[slot] != NULL) {
        slot++;
    }
    if (slot == STOQ_SWARM_REQUESTS_MAX) {
        return NULL;
    }
    size_t size = sizeof(struct swarm_request) + (size_t)chunks_max * sizeof(uint64_t);
    struct swarm_request *rq = stoq_swarm_alloc(sw, size);
    if (rq == NULL) {
        sw->no_memory = true;
        return NULL;
    }
    sw->next_cookie++;
    rq->cookie = sw->next_cookie << SLOT_BITS | slot;
    rq->peer_slot = peer_slot;
    rq->size = size;
    rq->made_at = now;
    rq->progress_at = now;
    sw->request[slot] = rq;
    return rq;
}

void stoq_swarm_ask(struct stoq_swarm *sw, struct swarm_request *rq, struct swarm_run *run,
                    uint32_t i)
{
    struct swarm_chunk *chunk = &run->chunk[i];
    uint16_t name = (uint16_t)(slot_of(rq->cookie) + 1);
    if (chunk->state == SWARM_WANTED) {
        stoq_swarm_set_state(sw, run, chunk, SWARM_ASKED);
        chunk->ask[0] = name;
    } else {
        STOQ_ASSERT(chunk->state == SWARM_ASKED && chunk->ask[1] == 0 && chunk->ask[0] != name);
        chunk->ask[1] = name;
        sw->bytes_asked_twice += chunk->length;
    }
    rq->index[rq->count] = run->first + i;
    rq->count++;
    rq->left++;
    rq->bytes += chunk->length;
    rq->left_bytes += chunk->length;
}

static int by_index(const void *a, const void *b)
{
    const uint64_t *x = a;
    const uint64_t *y = b;
    return *x < *y ? -1 : *x > *y;
}

void stoq_swarm_send(struct stoq_swarm *sw, struct swarm_request *rq, stoq_ns now,
                     struct stoq_swarm_action *out)
{
    struct swarm_peer *p = &sw->peer[rq->peer_slot];
    qsort(rq->index, rq->count, sizeof rq->index[0], by_index);
    uint32_t ranges = 0;
    for (uint32_t i = 0; i < rq->count; i++) {
        struct stoq_range *last = ranges == 0 ? NULL : &sw->ranges[ranges - 1];
        if (last != NULL && last->first + last->count == rq->index[i]) {
            last->count++;
        } else {
            sw->ranges[ranges] = (struct stoq_range){rq->index[i], 1};
            ranges++;
        }
    }
    p->requests++;
    p->inflight_bytes += rq->bytes;
    if (p->requests == 1) {
        stoq_swarm_busy(p, now);
    }
    sw->request_count++;
    *out = (struct stoq_swarm_action){
        .kind = STOQ_SWARM_REQUEST,
        .u.request = {.peer = p->peer,
                      .cookie = rq->cookie,
                      .ranges = sw->ranges,
                      .range_count = ranges,
                      .chunk_count = rq->count,
                      .bytes = rq->bytes},
    };
}

/* Which of the chunk's two asks is this slot's; STOQ_SWARM_ASKS_PER_CHUNK: none. */
static uint32_t ask_of(const struct swarm_chunk *chunk, uint32_t slot)
{
    uint32_t k = 0;
    while (k < STOQ_SWARM_ASKS_PER_CHUNK && chunk->ask[k] != slot + 1) {
        k++;
    }
    return k;
}

void stoq_swarm_unask(struct stoq_swarm *sw, struct swarm_run *run, struct swarm_chunk *chunk,
                      uint32_t slot)
{
    uint32_t k = ask_of(chunk, slot);
    if (k == STOQ_SWARM_ASKS_PER_CHUNK) {
        return;
    }
    struct swarm_request *rq = sw->request[slot];
    STOQ_ASSERT(rq != NULL);
    rq->left--;
    rq->left_bytes -= chunk->length;
    sw->peer[rq->peer_slot].inflight_bytes -= chunk->length;
    chunk->ask[k] = 0;
    if (chunk->ask[0] == 0) {
        chunk->ask[0] = chunk->ask[1];
        chunk->ask[1] = 0;
    }
    if (chunk->ask[0] == 0 && chunk->state == SWARM_ASKED) {
        stoq_swarm_set_state(sw, run, chunk, SWARM_WANTED);
    }
}

void stoq_swarm_end_request(struct stoq_swarm *sw, struct swarm_request *rq, bool cancel)
{
    uint32_t slot = slot_of(rq->cookie);
    for (uint32_t i = 0; i < rq->count && rq->left > 0; i++) {
        struct swarm_run *run;
        struct swarm_chunk *chunk = stoq_swarm_find(sw, rq->index[i], &run);
        if (chunk != NULL) {
            stoq_swarm_unask(sw, run, chunk, slot);
        }
    }
    STOQ_ASSERT(rq->left == 0);
    struct swarm_peer *p = &sw->peer[rq->peer_slot];
    p->requests--;
    sw->request_count--;
    if (p->requests == 0) {
        stoq_swarm_drained(p, sw->now);
    }
    if (cancel) {
        rq->cancelled = true;
        sw->cancel_count++;
        return;
    }
    sw->request[slot] = NULL;
    stoq_swarm_unalloc(sw, rq, rq->size);
}

/* A request that has nothing outstanding is over; one that was not answered to its end is stopped. */
static void finish_if_empty(struct stoq_swarm *sw, struct swarm_request *rq, bool cancel)
{
    if (rq->left == 0) {
        stoq_swarm_end_request(sw, rq, cancel);
    }
}

void stoq_swarm_chunk_done(struct stoq_swarm *sw, struct swarm_request *rq,
                           const struct stoq_swarm_chunk *ev, stoq_ns now)
{
    struct swarm_peer *p = rq == NULL ? NULL : &sw->peer[rq->peer_slot];
    if (rq != NULL) {
        p->strikes = 0;
        p->busy = 0;
        rq->progress_at = now;
        stoq_swarm_arrived(p, p->told_progress ? 0 : ev->bytes, now);
    }
    struct swarm_run *run;
    struct swarm_chunk *chunk = stoq_swarm_find(sw, ev->index, &run);
    if (chunk == NULL || chunk->state == SWARM_DONE) {
        sw->chunks_duplicate++;
        sw->bytes_duplicate += chunk != NULL ? chunk->length : ev->bytes;
        return;
    }
    if (p != NULL) {
        p->chunks++;
        p->bytes += chunk->length;
    }
    sw->chunks_done++;
    sw->bytes_done += chunk->length;
    uint16_t ask[STOQ_SWARM_ASKS_PER_CHUNK] = {chunk->ask[0], chunk->ask[1]};
    stoq_swarm_set_state(sw, run, chunk, SWARM_DONE);
    for (uint32_t k = 0; k < STOQ_SWARM_ASKS_PER_CHUNK; k++) {
        if (ask[k] != 0) {
            struct swarm_request *of = sw->request[ask[k] - 1];
            STOQ_ASSERT(of != NULL);
            stoq_swarm_unask(sw, run, chunk, ask[k] - 1u);
            finish_if_empty(sw, of, of != rq);
        }
    }
    stoq_swarm_settle_run(sw, run);
}

bool stoq_swarm_poll_cancel(struct stoq_swarm *sw, struct stoq_swarm_action *out)
{
    for (uint32_t i = 0; i < STOQ_SWARM_REQUESTS_MAX && sw->cancel_count > 0; i++) {
        struct swarm_request *rq = sw->request[i];
        if (rq != NULL && rq->cancelled) {
            *out = (struct stoq_swarm_action){
                .kind = STOQ_SWARM_CANCEL,
                .u.cancel = {.peer = sw->peer[rq->peer_slot].peer, .cookie = rq->cookie},
            };
            sw->request[i] = NULL;
            sw->cancel_count--;
            stoq_swarm_unalloc(sw, rq, rq->size);
            return true;
        }
    }
    return false;
}
