/* An alias record: 64 bytes of key, then the payload. Whatever is accepted is the one encoding of what
 * it says, and no part of it is accepted. */
#include "daemon/alias_record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct stoq_alias a;
    if (size < STOQ_ALIAS_KEY_BYTES) {
        return 0;
    }
    struct stoq_span key = stoq_span(data, STOQ_ALIAS_KEY_BYTES);
    struct stoq_span payload = stoq_span(data + key.n, size - key.n);
    if (stoq_alias_decode(key, payload, &a) != STOQ_OK) {
        return 0;
    }
    STOQ_ASSERT(payload.n <= STOQ_ALIAS_RECORD_BYTES_MAX);
    STOQ_ASSERT(a.path_count >= 1 && a.path_count <= STOQ_ALIAS_PATHS_MAX);
    uint8_t again_key[STOQ_ALIAS_KEY_BYTES];
    struct stoq_buf again;
    stoq_buf_init(&again, STOQ_ALIAS_RECORD_BYTES_MAX);
    stoq_alias_key_put(again_key, &a.digest, &a.id);
    STOQ_ASSERT(stoq_alias_encode(&a, &again) == STOQ_OK);
    STOQ_ASSERT(stoq_span_eq(stoq_buf_span(&again), payload));
    STOQ_ASSERT(stoq_span_eq(stoq_span(again_key, sizeof again_key), key));
    for (size_t n = 0; n < payload.n; n += 1 + payload.n / 64) {
        STOQ_ASSERT(stoq_alias_decode(key, stoq_span(data + key.n, n), &a) != STOQ_OK);
    }
    stoq_buf_release(&again);
    return 0;
}
