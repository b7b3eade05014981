/*
 * Any bytes as a chunk's stored form: u8 flags, u32le length it says it unpacks to, the form. What unpacks
 * has the length it said, and not a byte more was written; a fresh context and a pooled one agree. Then the
 * same bytes as a payload: stored and unpacked they are themselves.
 */
#include "store/codec.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void unpack(struct stoq_codec *codec, const uint8_t *data, size_t size)
{
    struct stoq_span form = stoq_span(data + 5, size - 5);
    struct stoq_stored info = {
        .raw_len = stoq_le32(data + 1), .stored_len = (uint32_t)form.n, .flags = data[0]};
    struct stoq_buf fresh;
    struct stoq_buf pooled;
    stoq_buf_init(&fresh, STOQ_CHUNK_BYTES_MAX);
    stoq_buf_init(&pooled, STOQ_CHUNK_BYTES_MAX);
    enum stoq_status st = stoq_store_decode(info, form, STOQ_CHUNK_BYTES_MAX, &fresh, NULL);
    STOQ_ASSERT(stoq_codec_decode(codec, info, form, STOQ_CHUNK_BYTES_MAX, &pooled) == st);
    if (st == STOQ_OK) {
        STOQ_ASSERT(fresh.n == info.raw_len);
        STOQ_ASSERT(stoq_span_eq(stoq_buf_span(&fresh), stoq_buf_span(&pooled)));
    }
    stoq_buf_release(&fresh);
    stoq_buf_release(&pooled);
}

static void pack(struct stoq_codec *codec, struct stoq_span payload)
{
    struct stoq_coded coded;
    struct stoq_buf back;
    stoq_buf_init(&back, STOQ_CHUNK_BYTES_MAX);
    STOQ_ASSERT(stoq_codec_encode(codec, payload, &coded) == STOQ_OK);
    STOQ_ASSERT(stoq_codec_decode(codec, coded.info, coded.stored, STOQ_CHUNK_BYTES_MAX, &back) ==
                STOQ_OK);
    STOQ_ASSERT(stoq_span_eq(stoq_buf_span(&back), payload));
    stoq_codec_put_back(codec, coded.slot);
    stoq_buf_release(&back);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct stoq_codec *codec;
    STOQ_ASSERT(stoq_codec_new(&codec, 3) == STOQ_OK);
    if (size >= 5) {
        unpack(codec, data, size);
    }
    if (size > 0 && size <= STOQ_CHUNK_BYTES_MAX) {
        pack(codec, stoq_span(data, size));
    }
    stoq_codec_free(codec);
    return 0;
}
