/*
 * Chunks of replies to us. They are cut out of the payload as it arrives and gathered into batches of at most
 * 256 KiB: BLAKE3 over whole chunks on a worker is six times cheaper than packet by packet, and one job per
 * batch keeps the switching low. Flow control gets a batch's bytes back when its job is done, so a slow disk
 * slows the sender and nothing piles up. While no job of a reply is at work what is gathered is given back at
 * once: a batch that waits for more bytes must not hold the credit they need, or some replies side by side
 * hold all of the window.
 */
#include "daemon/engine_internal.h"

#include <stdio.h>
#include <stdlib.h>

#define GIVE_BACK_BYTES 4096 /* at least: sixteen replies hold less than any window */

/* A batch's memory is used again: to take it from the system and give it back for each would cost as much as
 * hashing a tenth of it. */
static struct batch *batch_take(struct stoq_engine *e)
{
    struct batch *b = stoq_shelf_take(&e->batches_idle);
    if (b == NULL) {
        b = calloc(1, sizeof *b);
        if (b != NULL) {
            stoq_buf_init(&b->bytes, ENGINE_BATCH_BYTES);
        }
    }
    return b;
}

void engine_batch_drop(void *item)
{
    struct batch *b = item;
    stoq_buf_release(&b->bytes);
    free(b);
}

void engine_batch_give(struct stoq_engine *e, struct batch *b)
{
    stoq_buf_clear(&b->bytes);
    b->count = 0;
    b->stream_bytes = 0;
    if (!stoq_shelf_put(&e->batches_idle, b)) {
        engine_batch_drop(b);
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
                                          stoq_span(want->hash.b, sizeof want->hash.b), b->flags,
                                          c->info, stored, &c->is_new, &b->err);
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
        engine_peer_why(a->peer, "its copy of chunk %llu (%s..) is damaged, it says", index, hex);
    } else if (c->status == STOQ_PROOF) {
        engine_peer_why(a->peer, "the bytes it sent for chunk %llu do not have the hash %s..",
                        index, hex);
        a->peer->forged = true;
    } else if (c->status != STOQ_OK && c->status != STOQ_NOTFOUND) {
        engine_store_refused(a->engine, &b->err);
    } else if (c->is_new) {
        engine_store_took(a->engine);
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
        engine_request_chunk(a, c->item, c->status);
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
    engine_batch_give(e, b);
    a->jobs--;
    give_back_gathered(a);
    engine_ask_finish(a);
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
    const struct stoq_fetch *f = engine_fetch_find(a->engine, a->fetch);
    b->ask = a;
    b->flags = STOQ_STORE_VERIFY;
    b->flags |= f != NULL && f->ask->passing ? (unsigned)STOQ_STORE_PASSING : 0U;
    b->job = (struct stoq_job){.work = verify_batch, .done = batch_done};
    a->batch = b;
    return stoq_buf_reserve(&b->bytes, ENGINE_BATCH_BYTES);
}

void engine_batch_submit(struct ask *a)
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
    engine_batch_submit(a);
}

enum stoq_status engine_batch_items(struct ask *a, struct stoq_span bytes)
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
