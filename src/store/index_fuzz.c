/*
 * What the index's file gives back: the first byte says whether the rest is an entry's value or the head.
 * Whatever is accepted is what the writer makes of it, and asks for no more than a record can have.
 */
#include "store/index_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void entry(struct stoq_span in)
{
    struct stoq_entry e = {.type = STOQ_RECORD_CHUNK};
    uint8_t again[STOQ_INDEX_VALUE_BYTES];
    MDB_val v = {in.n, (void *)(uintptr_t)in.p};
    if (stoq_index_value_get(&e, v) != STOQ_OK) {
        return;
    }
    STOQ_ASSERT(e.info.stored_len <= STOQ_RECORD_BYTES_MAX && e.offset % 8 == 0);
    MDB_val w = stoq_index_value(again, &e);
    STOQ_ASSERT(stoq_span_eq(stoq_span(w.mv_data, w.mv_size), in));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct stoq_index_meta meta;
    uint8_t again[STOQ_INDEX_META_BYTES];
    if (size == 0) {
        return 0;
    }
    struct stoq_span in = stoq_span(data + 1, size - 1);
    if (data[0] % 2 == 0) {
        entry(in);
    } else if (stoq_index_head_get(&meta, in) == STOQ_OK) {
        stoq_index_head_put(again, &meta);
        STOQ_ASSERT(stoq_span_eq(stoq_span(again, sizeof again), in));
    }
    return 0;
}
