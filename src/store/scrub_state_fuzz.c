/* Any bytes as a scrub's state: refused, or the one encoding of what it says. */
#include "store/scrub.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct stoq_scrub_state s;
    struct stoq_buf again;
    if (stoq_scrub_state_decode(stoq_span(data, size), &s) != STOQ_OK) {
        return 0;
    }
    stoq_buf_init(&again, 1024);
    STOQ_ASSERT(stoq_scrub_state_encode(&s, &again) == STOQ_OK);
    STOQ_ASSERT(stoq_span_eq(stoq_buf_span(&again), stoq_span(data, size)));
    stoq_buf_release(&again);
    return 0;
}
