#include "wire/cbor.h"
#include "wire/text.h"

enum { MAJOR_UINT = 0, MAJOR_BYTES = 2, MAJOR_TEXT = 3, MAJOR_ARRAY = 4, MAJOR_MAP = 5 };

static void put(struct stoq_cbor_wr *w, struct stoq_span s)
{
    if (w->status == STOQ_OK) {
        w->status = stoq_buf_add(w->buf, s);
    }
}

/* The shortest head: a major type and its argument, big-endian. */
static void put_head(struct stoq_cbor_wr *w, unsigned major, uint64_t v)
{
    uint8_t b[9];
    size_t n = v < 24 ? 0 : v <= UINT8_MAX ? 1 : v <= UINT16_MAX ? 2 : v <= UINT32_MAX ? 4 : 8;
    static const uint8_t info[] = {[1] = 24, [2] = 25, [4] = 26, [8] = 27};
    b[0] = (uint8_t)(major << 5 | (n == 0 ? (unsigned)v : info[n]));
    for (size_t i = 0; i < n; i++) {
        b[1 + i] = (uint8_t)(v >> (8 * (n - 1 - i)));
    }
    put(w, stoq_span(b, 1 + n));
}

void stoq_cbor_put_uint(struct stoq_cbor_wr *w, uint64_t v)
{
    put_head(w, MAJOR_UINT, v);
}

void stoq_cbor_put_bool(struct stoq_cbor_wr *w, bool v)
{
    const uint8_t b = v ? 0xf5 : 0xf4;
    put(w, stoq_span(&b, 1));
}

void stoq_cbor_put_bytes(struct stoq_cbor_wr *w, struct stoq_span s)
{
    put_head(w, MAJOR_BYTES, s.n);
    put(w, s);
}

void stoq_cbor_put_hash(struct stoq_cbor_wr *w, const struct stoq_hash *h)
{
    stoq_cbor_put_bytes(w, stoq_span(h->b, sizeof h->b));
}

void stoq_cbor_put_text(struct stoq_cbor_wr *w, struct stoq_span s)
{
    if (w->status == STOQ_OK && !stoq_utf8_valid(s)) {
        w->status = STOQ_MALFORMED;
        return;
    }
    put_head(w, MAJOR_TEXT, s.n);
    put(w, s);
}

void stoq_cbor_put_array(struct stoq_cbor_wr *w, uint64_t item_count)
{
    put_head(w, MAJOR_ARRAY, item_count);
}

void stoq_cbor_put_map(struct stoq_cbor_wr *w, uint64_t pair_count)
{
    put_head(w, MAJOR_MAP, pair_count);
}

void stoq_cbor_put_raw(struct stoq_cbor_wr *w, struct stoq_span item)
{
    put(w, item);
}

enum stoq_status stoq_cbor_wr_done(const struct stoq_cbor_wr *w)
{
    return w->status;
}
