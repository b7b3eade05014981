#include "sign/sign.h"

/* Any bytes as a key file; what is accepted must come back as the same key. */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct stoq_key *key = NULL;
    if (stoq_key_from_pem(&key, stoq_span(data, size)) != STOQ_OK) {
        return 0;
    }
    struct stoq_key *again = NULL;
    struct stoq_buf pem;
    stoq_buf_init(&pem, STOQ_KEY_PEM_MAX);
    STOQ_ASSERT(stoq_key_to_pem(key, &pem) == STOQ_OK);
    STOQ_ASSERT(stoq_key_from_pem(&again, stoq_buf_span(&pem)) == STOQ_OK);
    STOQ_ASSERT(stoq_span_eq(stoq_key_spki(key), stoq_key_spki(again)));
    stoq_key_free(key);
    stoq_key_free(again);
    stoq_buf_release(&pem);
    return 0;
}
