#include "wire/cbor_copy.h"

/*
 * Any bytes as a CBOR sequence. What reads well must be written back to the same bytes (one
 * encoding per value), and the stream form must agree with the whole form on every prefix.
 */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void copy_all(struct stoq_span in)
{
    struct stoq_buf out;
    stoq_buf_init(&out, in.n + 16);
    struct stoq_cbor_rd r = stoq_cbor_rd(in);
    struct stoq_cbor_wr w = stoq_cbor_wr(&out);
    while (r.status == STOQ_OK && stoq_cbor_rd_more(&r)) {
        cbor_copy_item(&r, &w);
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
