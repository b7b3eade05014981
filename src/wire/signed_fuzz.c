/* Signed objects: what decodes encodes to the same bytes, as a record, receipt, renewal, and in a list. */
#include "wire/signed.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void same(const struct stoq_buf *out, struct stoq_span in)
{
    STOQ_ASSERT(stoq_span_eq(stoq_buf_span(out), in));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct stoq_span in = stoq_span(data, size);
    struct stoq_span rest = in;
    struct stoq_contact record;
    struct stoq_receipt receipt;
    struct stoq_renewal renewal;
    struct stoq_signed s;
    struct stoq_buf out;
    stoq_buf_init(&out, size + 16);
    if (stoq_contact_decode(in, &record) == STOQ_OK) {
        STOQ_ASSERT(stoq_contact_encode(&record, &out) == STOQ_OK);
        same(&out, in);
    }
    stoq_buf_clear(&out);
    if (stoq_receipt_decode(in, &receipt) == STOQ_OK) {
        STOQ_ASSERT(stoq_receipt_encode(&receipt, &out) == STOQ_OK);
        same(&out, in);
    }
    stoq_buf_clear(&out);
    if (stoq_renewal_decode(in, &renewal) == STOQ_OK) {
        STOQ_ASSERT(renewal.digests.n % STOQ_RENEWAL_DIGEST_BYTES == 0);
        STOQ_ASSERT(stoq_renewal_encode(&renewal, &out) == STOQ_OK);
        same(&out, in);
    }
    stoq_buf_clear(&out);
    while (stoq_signed_next(&rest, &s)) {
        STOQ_ASSERT(stoq_signed_put(&s, &out) == STOQ_OK);
    }
    same(&out, stoq_span(data, size - rest.n));
    stoq_buf_release(&out);
    return 0;
}
