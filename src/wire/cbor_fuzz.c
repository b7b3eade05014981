#include "wire/cbor.h"

/*
 * Any bytes as a CBOR sequence. What reads well must be written back to the same bytes (one
 * encoding per value), and the stream form must agree with the whole form on every prefix.
 */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Copy one item without recursion: a container's head, then its items come by themselves. */
static void copy_next(struct stoq_cbor_rd *r, struct stoq_cbor_wr *w)
{
    switch (stoq_cbor_rd_peek(r)) {
    case STOQ_CBOR_UINT:
        stoq_cbor_put_uint(w, stoq_cbor_rd_uint(r));
        break;
    case STOQ_CBOR_BYTES:
        stoq_cbor_put_bytes(w, stoq_cbor_rd_bytes(r, 0, SIZE_MAX));
        break;
    case STOQ_CBOR_TEXT:
        stoq_cbor_put_text(w, stoq_cbor_rd_text(r, 0, SIZE_MAX));
        break;
    case STOQ_CBOR_BOOL:
        stoq_cbor_put_bool(w, stoq_cbor_rd_bool(r));
        break;
    case STOQ_CBOR_ARRAY:
        stoq_cbor_put_array(w, stoq_cbor_rd_array(r));
        break;
    case STOQ_CBOR_MAP:
        stoq_cbor_put_map(w, stoq_cbor_rd_map(r));
        break;
    case STOQ_CBOR_END:
        stoq_cbor_rd_leave(r);
        break;
    }
}

static void copy_all(struct stoq_span in)
{
    struct stoq_buf out;
    stoq_buf_init(&out, in.n + 16);
    struct stoq_cbor_rd r = stoq_cbor_rd(in);
    struct stoq_cbor_wr w = stoq_cbor_wr(&out);
    while (r.status == STOQ_OK && (r.depth > 0 || stoq_cbor_rd_more(&r))) {
        copy_next(&r, &w);
    }
    STOQ_ASSERT(r.depth <= STOQ_CBOR_DEPTH_MAX);
    if (stoq_cbor_rd_done(&r) == STOQ_OK) {
        STOQ_ASSERT(stoq_cbor_wr_done(&w) == STOQ_OK);
        STOQ_ASSERT(stoq_span_eq(stoq_buf_span(&out), in));
    }
    stoq_buf_release(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct stoq_span in = stoq_span(data, size);
    copy_all(in);
    size_t n = 0;
    enum stoq_status whole = stoq_cbor_item(in, size, &n);
    STOQ_ASSERT(whole != STOQ_OK || (n >= 1 && n <= size));
    for (size_t k = 0; k < size && k < 64; k++) {
        size_t m = 0;
        enum stoq_status st = stoq_cbor_item(stoq_span(data, k), size, &m);
        if (whole == STOQ_OK) {
            STOQ_ASSERT(k < n ? st == STOQ_TRUNC : st == STOQ_OK && m == n);
        } else {
            STOQ_ASSERT(st == STOQ_TRUNC || st == whole);
        }
    }
    return 0;
}
