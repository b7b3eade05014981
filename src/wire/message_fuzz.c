/*
 * A frame from a stream, then its message: what decodes encodes to the same bytes.
 */
#include "wire/message.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct stoq_range ranges[STOQ_REQUEST_RANGES_MAX];

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct stoq_frame f;
    struct stoq_span cbor;
    struct stoq_message m;
    stoq_frame_init(&f);
    struct stoq_span in = stoq_span(data, size);
    while (stoq_frame_take(&f, &in, &cbor) == STOQ_OK) {
        if (stoq_message_decode(cbor, ranges, &m) == STOQ_OK) {
            struct stoq_buf out;
            stoq_buf_init(&out, STOQ_FRAME_HEAD_BYTES + STOQ_FRAME_BYTES_MAX);
            STOQ_ASSERT(stoq_message_encode(&m, &out) == STOQ_OK);
            STOQ_ASSERT(out.n == cbor.n + STOQ_FRAME_HEAD_BYTES);
            STOQ_ASSERT(memcmp(out.p + STOQ_FRAME_HEAD_BYTES, cbor.p, cbor.n) == 0);
            stoq_buf_release(&out);
        }
        stoq_frame_clear(&f);
    }
    stoq_frame_release(&f);
    return 0;
}
