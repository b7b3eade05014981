/*
 * Cutting, block after block, on a thread of its own where there are threads. A chunk may begin in one block
 * and end in the next, so what cannot be cut yet is kept and put before the next block's bytes:
 *
 *     bytes        begin            BLOCK_HEAD              cut        filled
 *     |             | kept from before |  fresh bytes ...    | kept for |
 *                                                              the next one
 *
 * The cuts depend on the bytes of the run alone (the chunker is asked only when it has a full window or the
 * run's end), never on how the bytes were read or which block they lie in.
 */
#include "daemon/ingest_internal.h"

#include <stdlib.h>
#include <string.h>

static bool add_chunk(struct block *b, size_t n)
{
    if (b->chunk_count == b->chunk_cap) {
        size_t cap = b->chunk_cap == 0 ? 128 : b->chunk_cap * 2;
        struct stoq_merkle_chunk *more = realloc(b->chunks, cap * sizeof *more);
        if (more == NULL) {
            return false;
        }
        b->chunks = more;
        b->chunk_cap = cap;
    }
    b->chunks[b->chunk_count++].bytes = (uint32_t)n;
    b->cut += n;
    return true;
}

/* Cut what can be cut of the bytes before `end`. False: no memory. */
static bool cut_to(const struct stoq_chunker *c, struct block *b, size_t end, bool last)
{
    while (end > b->cut) {
        size_t n = stoq_chunker_cut(c, stoq_span(b->bytes + b->cut, end - b->cut), last);
        if (n == 0) {
            break;
        }
        if (!add_chunk(b, n)) {
            return false;
        }
    }
    return true;
}

/* Put what was kept before the block's bytes, and its pieces before theirs. */
static bool join(struct stoq_ingest *in, struct block *b)
{
    bool ok = true;
    b->begin = BLOCK_HEAD - in->rest_bytes;
    b->cut = b->begin;
    memcpy(b->bytes + b->begin, in->rest, in->rest_bytes);
    for (size_t i = 0; ok && i < in->rest_pieces.n; i++) {
        const struct stoq_placed *p = &in->rest_pieces.v[i];
        ok = stoq_pieces_add(&b->pieces, b->begin + p->at, p->piece) == STOQ_OK;
    }
    for (size_t i = 0; ok && i < b->fresh.n; i++) {
        const struct stoq_placed *p = &b->fresh.v[i];
        ok = stoq_pieces_add(&b->pieces, p->at, p->piece) == STOQ_OK;
    }
    return ok;
}

static bool keep_rest(struct stoq_ingest *in, const struct block *b)
{
    in->rest_bytes = b->filled - b->cut;
    memcpy(in->rest, b->bytes + b->cut, in->rest_bytes);
    stoq_pieces_clear(&in->rest_pieces);
    return stoq_pieces_move_on(&b->pieces, b->cut, &in->rest_pieces) == STOQ_OK;
}

void ingest_cut(struct stoq_ingest *in, struct block *b)
{
    if (ingest_failure(in, NULL) != STOQ_OK) {
        return; /* its worker will not look at it */
    }
    bool ok = join(in, b);
    for (size_t i = 0; ok && i < b->ends.n; i++) {
        ok = cut_to(&in->chunker, b, b->ends.v[i].at, true);
    }
    ok = ok && cut_to(&in->chunker, b, b->filled, false) && keep_rest(in, b);
    if (!ok) {
        struct stoq_error err;
        (void)stoq_fail(&err, STOQ_NOMEM, 0, "no memory to publish");
        ingest_fail(in, &err);
    }
}
