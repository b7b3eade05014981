#ifndef STOQ_STORE_RECORD_H
#define STOQ_STORE_RECORD_H
/*
 * The bytes of segments: their header and their records (docs/FORMATS.md section 9). Pure: memory
 * in, memory out.
 */
#include "store/store.h"

#define STOQ_SEGMENT_HEADER_BYTES 64
#define STOQ_RECORD_HEAD_BYTES 32
#define STOQ_STORE_ID_BYTES 16
/* A tombstone's key is a type and the key of what it deletes. */
#define STOQ_RECORD_ID_MAX (1 + STOQ_RECORD_KEY_MAX)
#define STOQ_STORE_FORMAT_TEXT "stoq store 1\n"

struct stoq_segment_header {
    uint32_t number;
    uint8_t store_id[STOQ_STORE_ID_BYTES];
};

void stoq_segment_header_encode(uint8_t out[STOQ_SEGMENT_HEADER_BYTES],
                                const struct stoq_segment_header *header);

/* STOQ_OK; STOQ_TRUNC: fewer than 64 bytes; STOQ_MALFORMED: magic, checksum or reserved bytes are
 * wrong; STOQ_VERSION: a whole header of another format version. */
STOQ_WARN_UNUSED enum stoq_status stoq_segment_header_decode(struct stoq_span s,
                                                             struct stoq_segment_header *out);

/* A record in memory. Spans are borrowed. */
struct stoq_record {
    uint8_t type; /* enum stoq_record_type */
    uint64_t sequence;
    struct stoq_stored info;
    struct stoq_span key;
    struct stoq_span stored;
};

/* Are these lengths and flags possible for a record of this type? */
bool stoq_record_shape_ok(uint8_t type, size_t key_len, struct stoq_stored info);

/* Bytes a record takes in a segment, padding included. */
static inline uint64_t stoq_record_bytes(size_t key_len, uint32_t stored_len)
{
    return (STOQ_RECORD_HEAD_BYTES + (uint64_t)key_len + stored_len + 7) & ~(uint64_t)7;
}

/* Lay out a record: head, key, payload, padding; p holds stoq_record_bytes. key and payload are
 * copied; the checksum is computed over the copy. */
void stoq_record_encode(uint8_t *p, const struct stoq_record *rec);

/* What a record's first 32 bytes say. */
struct stoq_record_head {
    uint8_t type;
    uint16_t key_len;
    uint64_t sequence;
    struct stoq_stored info;
    uint64_t checksum;
};

/* STOQ_OK; STOQ_TRUNC: fewer than 32 bytes; STOQ_MALFORMED: no record begins like that. */
STOQ_WARN_UNUSED enum stoq_status stoq_record_head_decode(struct stoq_span s,
                                                          struct stoq_record_head *out);

/* The checksum that belongs in bytes 24..31: over bytes 0..23 of head, the key, the payload. */
uint64_t stoq_record_checksum(const uint8_t head[STOQ_RECORD_HEAD_BYTES], struct stoq_span key,
                              struct stoq_span stored);

/* Read the record that s begins with. STOQ_OK: *out points into s; STOQ_TRUNC: s ends inside it;
 * STOQ_MALFORMED: none begins here; STOQ_PROOF: its checksum disagrees (or the padding is not
 * zero). */
STOQ_WARN_UNUSED enum stoq_status stoq_record_decode(struct stoq_span s, struct stoq_record *out);

#endif
