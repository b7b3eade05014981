#include "wire/items.h"

#include <string.h>

/* Head: u8 encoding, u8 zero, u16 zero, u32le stored, u32le raw, u32le proof. */

static bool item_fits(const struct stoq_item *item)
{
    if (item->proof_len > STOQ_ITEM_PROOF_MAX) {
        return false;
    }
    switch (item->encoding) {
    case STOQ_ITEM_RAW:
        return item->raw_len >= 1 && item->raw_len <= STOQ_ITEM_RAW_MAX &&
               item->stored_len == item->raw_len;
    case STOQ_ITEM_ZSTD:
        return item->raw_len >= 1 && item->raw_len <= STOQ_ITEM_RAW_MAX && item->stored_len >= 1 &&
               item->stored_len <= item->raw_len + STOQ_ITEM_STORED_SLACK;
    case STOQ_ITEM_DAMAGED:
    case STOQ_ITEM_MISSING:
        return item->stored_len == 0 && item->raw_len == 0 && item->proof_len == 0;
    }
    return false;
}

void stoq_item_head_put(uint8_t out[STOQ_ITEM_HEAD_BYTES], const struct stoq_item *item)
{
    STOQ_ASSERT(item_fits(item));
    memset(out, 0, STOQ_ITEM_HEAD_BYTES);
    out[0] = (uint8_t)item->encoding;
    stoq_le32_put(out + 4, item->stored_len);
    stoq_le32_put(out + 8, item->raw_len);
    stoq_le32_put(out + 12, item->proof_len);
}

enum stoq_status stoq_item_head_get(const uint8_t in[STOQ_ITEM_HEAD_BYTES], struct stoq_item *out)
{
    struct stoq_item item = {
        .encoding = (enum stoq_item_encoding)in[0],
        .stored_len = stoq_le32(in + 4),
        .raw_len = stoq_le32(in + 8),
        .proof_len = stoq_le32(in + 12),
    };
    if (in[1] != 0 || in[2] != 0 || in[3] != 0 || !item_fits(&item)) {
        return STOQ_MALFORMED;
    }
    *out = item;
    return STOQ_OK;
}

void stoq_items_init(struct stoq_items *it, uint32_t items)
{
    *it = (struct stoq_items){.items = items};
}

/* Give a piece of *left bytes or less from the front of *in. */
static void give(struct stoq_items *it, struct stoq_span *in, uint32_t *left,
                 enum stoq_items_what what, struct stoq_items_out *out)
{
    size_t n = *left < in->n ? *left : in->n;
    out->what = what;
    out->bytes = stoq_span(in->p, n);
    in->p += n;
    in->n -= n;
    *left -= (uint32_t)n;
    out->last = it->proof_left == 0 && it->data_left == 0;
    if (out->last) {
        it->index++;
    }
}

/* Collect the head of the next item. */
static enum stoq_status begin_item(struct stoq_items *it, struct stoq_span *in,
                                   struct stoq_items_out *out)
{
    size_t want = STOQ_ITEM_HEAD_BYTES - it->head_bytes;
    size_t n = want < in->n ? want : in->n;
    memcpy(it->head + it->head_bytes, in->p, n);
    in->p += n;
    in->n -= n;
    it->head_bytes += (uint32_t)n;
    if (it->head_bytes < STOQ_ITEM_HEAD_BYTES) {
        return STOQ_OK;
    }
    it->head_bytes = 0;
    if (stoq_item_head_get(it->head, &it->item) != STOQ_OK) {
        it->failed = true;
        return STOQ_MALFORMED;
    }
    it->proof_left = it->item.proof_len;
    it->data_left = it->item.stored_len;
    *out = (struct stoq_items_out){
        .what = STOQ_ITEMS_HEAD,
        .index = it->index,
        .item = it->item,
        .last = it->item.encoding == STOQ_ITEM_MISSING || it->item.encoding == STOQ_ITEM_DAMAGED,
    };
    if (out->last) {
        it->index++;
    }
    return STOQ_OK;
}

enum stoq_status stoq_items_next(struct stoq_items *it, struct stoq_span *in,
                                 struct stoq_items_out *out)
{
    *out = (struct stoq_items_out){.what = STOQ_ITEMS_WAIT, .index = it->index, .item = it->item};
    if (it->failed) {
        return STOQ_MALFORMED;
    }
    bool between = it->proof_left == 0 && it->data_left == 0;
    if (between && it->index == it->items) {
        out->what = STOQ_ITEMS_END;
        return STOQ_OK;
    }
    if (in->n == 0) {
        return STOQ_OK;
    }
    if (between) {
        return begin_item(it, in, out);
    }
    if (it->proof_left > 0) {
        give(it, in, &it->proof_left, STOQ_ITEMS_PROOF, out);
    } else {
        give(it, in, &it->data_left, STOQ_ITEMS_DATA, out);
    }
    return STOQ_OK;
}
