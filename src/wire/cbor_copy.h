#ifndef STOQ_WIRE_CBOR_COPY_H
#define STOQ_WIRE_CBOR_COPY_H
/* For the tests: what the reader reads is written again, so that both agree on the one encoding of it. */
#include "wire/cbor.h"

/* A value, or the beginning or the end of a container. */
static inline void cbor_copy_step(struct stoq_cbor_rd *r, struct stoq_cbor_wr *w)
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

/* One item, however deep the reader lets it nest. */
static inline void cbor_copy_item(struct stoq_cbor_rd *r, struct stoq_cbor_wr *w)
{
    do {
        cbor_copy_step(r, w);
    } while (r->status == STOQ_OK && r->depth > 0);
}

#endif
