/* A pin, root or lease: a type, a key length, the key, then the payload. Whatever is accepted is the one
 * encoding of what it says, and no part of it is accepted. */
#include "daemon/keep_record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct stoq_keep k;
    if (size < 2 || size - 2 < data[1]) {
        return 0;
    }
    enum stoq_record_type type = (enum stoq_record_type)(STOQ_RECORD_PIN + data[0] % 3);
    struct stoq_span key = stoq_span(data + 2, data[1]);
    struct stoq_span payload = stoq_span(key.p + key.n, size - 2 - key.n);
    if (stoq_keep_decode(type, key, payload, &k) != STOQ_OK) {
        return 0;
    }
    STOQ_ASSERT(payload.n <= STOQ_KEEP_RECORD_BYTES_MAX);
    STOQ_ASSERT(stoq_span_eq(stoq_keep_key(&k), key));
    struct stoq_buf again;
    stoq_buf_init(&again, STOQ_KEEP_RECORD_BYTES_MAX);
    STOQ_ASSERT(stoq_keep_encode(&k, &again) == STOQ_OK);
    STOQ_ASSERT(stoq_span_eq(stoq_buf_span(&again), payload));
    for (size_t n = 0; n < payload.n; n++) {
        STOQ_ASSERT(stoq_keep_decode(type, key, stoq_span(payload.p, n), &k) != STOQ_OK);
    }
    stoq_buf_release(&again);
    return 0;
}
