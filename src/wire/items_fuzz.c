/*
 * A payload of items: one piece or many, the same comes out, and never more than went in. The first
 * byte says how long the pieces are.
 */
#include "wire/items.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A digest of everything the parser says. */
static uint64_t parse(struct stoq_span all, size_t piece)
{
    struct stoq_items it;
    struct stoq_items_out out = {.what = STOQ_ITEMS_WAIT};
    uint64_t sum = 0;
    size_t at = 0;
    stoq_items_init(&it, 100);
    while (at < all.n && out.what != STOQ_ITEMS_END) {
        struct stoq_span in = stoq_span(all.p + at, piece < all.n - at ? piece : all.n - at);
        size_t before = in.n;
        do {
            if (stoq_items_next(&it, &in, &out) != STOQ_OK) {
                return sum * 31 + 1;
            }
            STOQ_ASSERT(out.bytes.n <= all.n);
            STOQ_ASSERT(out.item.raw_len <= STOQ_ITEM_RAW_MAX);
            for (size_t i = 0; i < out.bytes.n; i++) {
                sum = sum * 31 + out.bytes.p[i];
            }
            if (out.what == STOQ_ITEMS_HEAD) {
                sum = sum * 31 + out.index + out.item.stored_len;
            }
            sum += out.last ? 7 : 0;
        } while (out.what != STOQ_ITEMS_WAIT && out.what != STOQ_ITEMS_END);
        at += before - in.n;
    }
    return sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1) {
        return 0;
    }
    struct stoq_span all = stoq_span(data + 1, size - 1);
    STOQ_ASSERT(parse(all, all.n) == parse(all, 1 + (size_t)data[0]));
    return 0;
}
