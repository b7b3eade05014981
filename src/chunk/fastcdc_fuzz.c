#include "chunk/fastcdc.h"

#include "chunk/gear.h"

/*
 * Cuts against a model that tests one pair at a time and picks its mask by position. The first bytes
 * of the input choose the parameters and the size of the reads.
 */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t model_cut(const struct stoq_chunker *c, const uint8_t *b, size_t n)
{
    const struct stoq_chunk_params *p = &c->params;
    if (n <= p->min) {
        return n;
    }
    size_t end = n < p->max ? n : p->max;
    size_t centre = p->avg < end ? p->avg : end;
    uint64_t hash = 0;
    for (size_t i = p->min / 2; i < end / 2; i++) {
        uint64_t mask = i < centre / 2 ? c->mask_strict : c->mask_loose;
        hash = hash * 4 + stoq_gear[b[2 * i]] * 2;
        if ((hash & mask * 2) == 0) {
            return 2 * i;
        }
        hash += stoq_gear[b[2 * i + 1]];
        if ((hash & mask) == 0) {
            return 2 * i + 1;
        }
    }
    return end;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct stoq_rd r = stoq_rd(stoq_span(data, size));
    struct stoq_chunk_params params = {stoq_rd_u16(&r), stoq_rd_u16(&r), stoq_rd_u16(&r),
                                       stoq_rd_u8(&r)};
    size_t step = 1 + (size_t)stoq_rd_u16(&r);
    struct stoq_chunker c;
    if (stoq_chunker_init(&c, &params) != STOQ_OK || r.bad) {
        return 0;
    }
    size_t held = 0;
    while (r.n > 0) {
        held = held + step < r.n ? held + step : r.n;
        size_t got = stoq_chunker_cut(&c, stoq_span(r.p, held), held == r.n);
        STOQ_ASSERT(got <= held && got <= params.max);
        if (got == 0) {
            STOQ_ASSERT(held < params.max && held < r.n);
            continue;
        }
        STOQ_ASSERT(got == model_cut(&c, r.p, r.n));
        (void)stoq_rd_bytes(&r, got);
        held -= got;
    }
    return 0;
}
