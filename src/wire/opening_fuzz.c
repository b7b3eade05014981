/* An opening: what is read out of a payload lies in it, and gives the same payload again. */
#include "wire/opening.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct stoq_opening o;
    struct stoq_buf again;
    if (stoq_opening_get(stoq_span(data, size), &o) != STOQ_OK) {
        return 0;
    }
    stoq_buf_init(&again, size);
    STOQ_ASSERT(stoq_opening_put(&o, &again) == STOQ_OK);
    STOQ_ASSERT(stoq_span_eq(stoq_buf_span(&again), stoq_span(data, size)));
    stoq_buf_release(&again);
    return 0;
}
