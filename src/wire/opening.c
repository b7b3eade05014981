#include "wire/opening.h"

#define LENGTH_BYTES 4

static enum stoq_status put_part(struct stoq_span part, struct stoq_buf *out)
{
    uint8_t length[LENGTH_BYTES];
    stoq_le32_put(length, (uint32_t)part.n);
    enum stoq_status st = stoq_buf_add(out, stoq_span(length, sizeof length));
    return st == STOQ_OK ? stoq_buf_add(out, part) : st;
}

enum stoq_status stoq_opening_put(const struct stoq_opening *o, struct stoq_buf *out)
{
    size_t before = out->n;
    enum stoq_status st = put_part(o->manifest, out);
    st = st == STOQ_OK ? put_part(o->signatures, out) : st;
    st = st == STOQ_OK ? stoq_buf_add(out, o->lists) : st;
    if (st != STOQ_OK) {
        out->n = before;
    }
    return st;
}

enum stoq_status stoq_opening_get(struct stoq_span payload, struct stoq_opening *out)
{
    struct stoq_rd r = stoq_rd(payload);
    out->manifest = stoq_rd_bytes(&r, stoq_rd_u32(&r));
    out->signatures = stoq_rd_bytes(&r, stoq_rd_u32(&r));
    out->lists = stoq_rd_bytes(&r, r.n);
    return r.bad ? STOQ_MALFORMED : STOQ_OK;
}
