/* Any bytes as the file of transfers: refused, or items that are written and read back the same. */
#include "daemon/history.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What can be read of bytes, written again. */
static enum stoq_status again(struct stoq_span bytes, struct stoq_buf *out)
{
    struct stoq_history h;
    struct stoq_history_item *item = calloc(1, sizeof *item);
    STOQ_ASSERT(item != NULL);
    enum stoq_status st = stoq_history_open(&h, bytes);
    if (st == STOQ_OK) {
        STOQ_ASSERT(stoq_history_begin(out, h.written_s, h.last) == STOQ_OK);
    }
    while (st == STOQ_OK) {
        st = stoq_history_next(&h, item);
        if (st == STOQ_OK) {
            enum stoq_status put = item->is_served ? stoq_history_served(out, &item->served)
                                                   : stoq_history_transfer(out, &item->transfer);
            STOQ_ASSERT(put == STOQ_OK);
        }
    }
    free(item);
    return st;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct stoq_buf once;
    struct stoq_buf twice;
    stoq_buf_init(&once, STOQ_HISTORY_BYTES_MAX);
    stoq_buf_init(&twice, STOQ_HISTORY_BYTES_MAX);
    if (size <= STOQ_HISTORY_BYTES_MAX / 2) {
        (void)again(stoq_span(data, size), &once);
        if (once.n > 0) {
            STOQ_ASSERT(again(stoq_buf_span(&once), &twice) == STOQ_NOTFOUND);
            STOQ_ASSERT(stoq_span_eq(stoq_buf_span(&once), stoq_buf_span(&twice)));
        }
    }
    stoq_buf_release(&once);
    stoq_buf_release(&twice);
    return 0;
}
