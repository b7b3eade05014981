/* Any bytes as the file of known peers: refused, or a table that is written and read back the same. */
#include "daemon/known.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct stoq_known *k;
    struct stoq_known *again;
    struct stoq_buf out;
    struct stoq_buf twice;
    STOQ_ASSERT(stoq_known_new(&k, 1) == STOQ_OK && stoq_known_new(&again, 2) == STOQ_OK);
    stoq_buf_init(&out, STOQ_KNOWN_BYTES_MAX);
    stoq_buf_init(&twice, STOQ_KNOWN_BYTES_MAX);
    enum stoq_status st = stoq_known_decode(k, stoq_span(data, size));
    STOQ_ASSERT(st != STOQ_OK || size > 0); /* what came before damage is there all the same */
    STOQ_ASSERT(stoq_known_count(k) <= STOQ_KNOWN_MAX);
    STOQ_ASSERT(stoq_known_encode(k, &out) == STOQ_OK);
    STOQ_ASSERT(stoq_known_decode(again, stoq_buf_span(&out)) == STOQ_OK);
    STOQ_ASSERT(stoq_known_encode(again, &twice) == STOQ_OK);
    STOQ_ASSERT(stoq_span_eq(stoq_buf_span(&out), stoq_buf_span(&twice)));
    stoq_buf_release(&out);
    stoq_buf_release(&twice);
    stoq_known_free(k);
    stoq_known_free(again);
    return 0;
}
