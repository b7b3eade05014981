/* A content record: 33 bytes of key, then the payload. Whatever is accepted is the one encoding of what
 * it says, and no part of it is accepted. */
#include "daemon/content_record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct stoq_content c;
    if (size < STOQ_CONTENT_KEY_BYTES) {
        return 0;
    }
    struct stoq_span key = stoq_span(data, STOQ_CONTENT_KEY_BYTES);
    struct stoq_span payload = stoq_span(data + key.n, size - key.n);
    if (stoq_content_decode(key, payload, &c) != STOQ_OK) {
        return 0;
    }
    STOQ_ASSERT(payload.n <= STOQ_CONTENT_RECORD_BYTES_MAX);
    STOQ_ASSERT(c.secondary_count <= STOQ_CONTENT_SECONDARY_MAX);
    uint8_t again_key[STOQ_CONTENT_KEY_BYTES];
    struct stoq_buf again;
    stoq_buf_init(&again, STOQ_CONTENT_RECORD_BYTES_MAX);
    stoq_content_key_put(again_key, &c.address);
    STOQ_ASSERT(stoq_content_encode(&c, &again) == STOQ_OK);
    STOQ_ASSERT(stoq_span_eq(stoq_buf_span(&again), payload));
    STOQ_ASSERT(stoq_span_eq(stoq_span(again_key, sizeof again_key), key));
    for (size_t n = 0; n < payload.n; n++) {
        STOQ_ASSERT(stoq_content_decode(key, stoq_span(payload.p, n), &c) != STOQ_OK);
    }
    stoq_buf_release(&again);
    return 0;
}
