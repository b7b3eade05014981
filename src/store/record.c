#include "store/record.h"

#include "hash/hash.h"

#include <string.h>

#define SEGMENT_VERSION 1
static const char segment_magic[8] = {'s', 't', 'o', 'q', 's', 'e', 'g', '1'};
static const char record_magic[4] = {'s', 'q', 'r', '1'};

void stoq_segment_header_encode(uint8_t out[STOQ_SEGMENT_HEADER_BYTES],
                                const struct stoq_segment_header *header)
{
    struct stoq_wr w = stoq_wr(out, STOQ_SEGMENT_HEADER_BYTES);
    stoq_wr_bytes(&w, stoq_span(segment_magic, sizeof segment_magic));
    stoq_wr_u32(&w, SEGMENT_VERSION);
    stoq_wr_u32(&w, header->number);
    stoq_wr_bytes(&w, stoq_span(header->store_id, sizeof header->store_id));
    static const uint8_t zero[24] = {0};
    stoq_wr_bytes(&w, stoq_span(zero, sizeof zero));
    stoq_wr_u64(&w, stoq_hash_xxh3_64(stoq_wr_span(&w)));
    STOQ_ASSERT(!w.bad && w.n == STOQ_SEGMENT_HEADER_BYTES);
}

enum stoq_status stoq_segment_header_decode(struct stoq_span s, struct stoq_segment_header *out)
{
    if (s.n < STOQ_SEGMENT_HEADER_BYTES) {
        return STOQ_TRUNC;
    }
    struct stoq_rd r = stoq_rd(stoq_span(s.p, STOQ_SEGMENT_HEADER_BYTES));
    struct stoq_span magic = stoq_rd_bytes(&r, sizeof segment_magic);
    uint32_t version = stoq_rd_u32(&r);
    uint32_t number = stoq_rd_u32(&r);
    struct stoq_span id = stoq_rd_bytes(&r, STOQ_STORE_ID_BYTES);
    struct stoq_span zero = stoq_rd_bytes(&r, 24);
    uint64_t checksum = stoq_rd_u64(&r);
    if (memcmp(magic.p, segment_magic, sizeof segment_magic) != 0 ||
        checksum != stoq_hash_xxh3_64(stoq_span(s.p, 56))) {
        return STOQ_MALFORMED;
    }
    if (version != SEGMENT_VERSION) {
        return STOQ_VERSION;
    }
    for (size_t i = 0; i < zero.n; i++) {
        if (zero.p[i] != 0) {
            return STOQ_MALFORMED;
        }
    }
    out->number = number;
    memcpy(out->store_id, id.p, sizeof out->store_id);
    return STOQ_OK;
}

bool stoq_record_shape_ok(uint8_t type, size_t key_len, struct stoq_stored info)
{
    if (type == 0 || type >= STOQ_RECORD_TYPES || (info.flags & ~STOQ_STORED_ZSTD) != 0) {
        return false;
    }
    size_t key_max = type == STOQ_RECORD_TOMBSTONE ? STOQ_RECORD_ID_MAX : STOQ_RECORD_KEY_MAX;
    size_t key_min = type == STOQ_RECORD_TOMBSTONE ? 2 : 1;
    uint32_t raw_max = type == STOQ_RECORD_CHUNK ? STOQ_CHUNK_BYTES_MAX : STOQ_RECORD_BYTES_MAX;
    if (type == STOQ_RECORD_TOMBSTONE) {
        raw_max = 0;
    }
    if (key_len < key_min || key_len > key_max || info.raw_len > raw_max) {
        return false;
    }
    if ((info.flags & STOQ_STORED_ZSTD) != 0) {
        return info.stored_len > 0 && info.stored_len < info.raw_len;
    }
    return info.stored_len == info.raw_len;
}

uint64_t stoq_record_checksum(const uint8_t head[STOQ_RECORD_HEAD_BYTES], struct stoq_span key,
                              struct stoq_span stored)
{
    const struct stoq_span parts[] = {stoq_span(head, 24), key, stored};
    return stoq_hash_xxh3_64_parts(parts, STOQ_COUNT(parts));
}

void stoq_record_encode(uint8_t *p, const struct stoq_record *rec)
{
    uint64_t total = stoq_record_bytes(rec->key.n, rec->info.stored_len);
    struct stoq_wr w = stoq_wr(p, total);
    stoq_wr_bytes(&w, stoq_span(record_magic, sizeof record_magic));
    stoq_wr_u8(&w, rec->type);
    stoq_wr_u8(&w, rec->info.flags);
    stoq_wr_u16(&w, (uint16_t)rec->key.n);
    stoq_wr_u64(&w, rec->sequence);
    stoq_wr_u32(&w, rec->info.raw_len);
    stoq_wr_u32(&w, rec->info.stored_len);
    stoq_wr_u64(&w, 0);
    stoq_wr_bytes(&w, rec->key);
    stoq_wr_bytes(&w, rec->stored);
    STOQ_ASSERT(!w.bad);
    memset(p + w.n, 0, total - w.n);
    const uint8_t *key = p + STOQ_RECORD_HEAD_BYTES;
    stoq_le64_put(p + 24, stoq_record_checksum(p, stoq_span(key, rec->key.n),
                                               stoq_span(key + rec->key.n, rec->stored.n)));
}

enum stoq_status stoq_record_head_decode(struct stoq_span s, struct stoq_record_head *out)
{
    if (s.n < STOQ_RECORD_HEAD_BYTES) {
        return STOQ_TRUNC;
    }
    struct stoq_rd r = stoq_rd(stoq_span(s.p, STOQ_RECORD_HEAD_BYTES));
    struct stoq_span magic = stoq_rd_bytes(&r, sizeof record_magic);
    out->type = stoq_rd_u8(&r);
    out->info.flags = stoq_rd_u8(&r);
    out->key_len = stoq_rd_u16(&r);
    out->sequence = stoq_rd_u64(&r);
    out->info.raw_len = stoq_rd_u32(&r);
    out->info.stored_len = stoq_rd_u32(&r);
    out->checksum = stoq_rd_u64(&r);
    if (memcmp(magic.p, record_magic, sizeof record_magic) != 0 ||
        !stoq_record_shape_ok(out->type, out->key_len, out->info)) {
        return STOQ_MALFORMED;
    }
    return STOQ_OK;
}

enum stoq_status stoq_record_decode(struct stoq_span s, struct stoq_record *out)
{
    struct stoq_record_head head;
    enum stoq_status st = stoq_record_head_decode(s, &head);
    if (st != STOQ_OK) {
        return st;
    }
    uint64_t total = stoq_record_bytes(head.key_len, head.info.stored_len);
    if (s.n < total) {
        return STOQ_TRUNC;
    }
    out->type = head.type;
    out->sequence = head.sequence;
    out->info = head.info;
    out->key = stoq_span(s.p + STOQ_RECORD_HEAD_BYTES, head.key_len);
    out->stored = stoq_span(out->key.p + head.key_len, head.info.stored_len);
    if (stoq_record_checksum(s.p, out->key, out->stored) != head.checksum) {
        return STOQ_PROOF;
    }
    for (const uint8_t *pad = out->stored.p + out->stored.n; pad < s.p + total; pad++) {
        if (*pad != 0) {
            return STOQ_PROOF;
        }
    }
    return STOQ_OK;
}
