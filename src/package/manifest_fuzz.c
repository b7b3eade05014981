#include "package/manifest.h"

/* Whatever is accepted is the one encoding of what it says. */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct stoq_manifest m;
    struct stoq_span bytes = stoq_span(data, size);
    if (stoq_manifest_decode(bytes, &m) != STOQ_OK) {
        return 0;
    }
    STOQ_ASSERT(stoq_manifest_fault(&m) == NULL);
    struct stoq_buf again;
    stoq_buf_init(&again, STOQ_MANIFEST_BYTES_MAX);
    STOQ_ASSERT(stoq_manifest_encode(&m, &again) == STOQ_OK);
    STOQ_ASSERT(stoq_span_eq(stoq_buf_span(&again), bytes));
    for (size_t n = 0; n < size; n += 1 + size / 16) {
        STOQ_ASSERT(stoq_manifest_decode(stoq_span(data, n), &m) != STOQ_OK);
    }
    stoq_buf_release(&again);
    return 0;
}
