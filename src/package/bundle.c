#include "package/bundle.h"

#include <string.h>

#include "hash/hash.h"
#include "wire/cbor.h"

#define HEADER_MAGIC "stoqbun1"
#define RECORD_MAGIC "sqb1"

void stoq_bundle_header_encode(uint8_t out[STOQ_BUNDLE_HEADER_BYTES],
                               const struct stoq_bundle_header *header)
{
    memset(out, 0, STOQ_BUNDLE_HEADER_BYTES);
    memcpy(out, HEADER_MAGIC, 8);
    stoq_le32_put(out + 8, STOQ_BUNDLE_VERSION);
    stoq_le32_put(out + 12, header->packages);
    stoq_le64_put(out + 16, header->bytes);
    stoq_le64_put(out + 24, header->chunks);
    stoq_le64_put(out + 32, header->stored_bytes);
    stoq_le64_put(out + 40, header->chunks_assumed);
    stoq_le64_put(out + 56, stoq_hash_xxh3_64(stoq_span(out, 56)));
}

enum stoq_status stoq_bundle_header_decode(const uint8_t in[STOQ_BUNDLE_HEADER_BYTES],
                                           struct stoq_bundle_header *out)
{
    if (memcmp(in, HEADER_MAGIC, 8) != 0 ||
        stoq_le64(in + 56) != stoq_hash_xxh3_64(stoq_span(in, 56))) {
        return STOQ_MALFORMED;
    }
    if (stoq_le32(in + 8) != STOQ_BUNDLE_VERSION) {
        return STOQ_VERSION;
    }
    *out = (struct stoq_bundle_header){
        .packages = stoq_le32(in + 12),
        .bytes = stoq_le64(in + 16),
        .chunks = stoq_le64(in + 24),
        .stored_bytes = stoq_le64(in + 32),
        .chunks_assumed = stoq_le64(in + 40),
    };
    bool fits = out->packages >= 1 && out->packages <= STOQ_BUNDLE_PACKAGES_MAX &&
                out->bytes >= STOQ_BUNDLE_HEADER_BYTES && out->bytes <= INT64_MAX &&
                out->stored_bytes <= out->bytes && out->chunks <= out->stored_bytes;
    return fits && stoq_le64(in + 48) == 0 ? STOQ_OK : STOQ_MALFORMED;
}

enum stoq_status stoq_bundle_entry_encode(const struct stoq_bundle_entry *entry,
                                          struct stoq_buf *out)
{
    const uint64_t numbers[] = {entry->bytes, entry->chunks, entry->chunks_carried,
                                entry->stored_bytes, entry->chunks_assumed};
    struct stoq_cbor_wr w = stoq_cbor_wr(out);
    stoq_cbor_put_map(&w, 3 + STOQ_COUNT(numbers));
    stoq_cbor_put_uint(&w, 1);
    stoq_cbor_put_hash(&w, &entry->id.h);
    stoq_cbor_put_uint(&w, 2);
    stoq_cbor_put_text(&w, entry->name);
    stoq_cbor_put_uint(&w, 3);
    stoq_cbor_put_text(&w, entry->version);
    for (size_t i = 0; i < STOQ_COUNT(numbers); i++) {
        stoq_cbor_put_uint(&w, 4 + i);
        stoq_cbor_put_uint(&w, numbers[i]);
    }
    return stoq_cbor_wr_done(&w);
}

enum stoq_status stoq_bundle_entry_decode(struct stoq_span in, struct stoq_bundle_entry *out)
{
    uint64_t numbers[5] = {0};
    uint64_t key;
    unsigned seen = 0;
    struct stoq_cbor_rd r = stoq_cbor_rd(in);
    (void)stoq_cbor_rd_map(&r);
    while (stoq_cbor_rd_key(&r, &key)) {
        if (key == 1) {
            out->id.h = stoq_cbor_rd_hash(&r);
        } else if (key == 2) {
            out->name = stoq_cbor_rd_text(&r, 1, STOQ_MANIFEST_NAME_MAX);
        } else if (key == 3) {
            out->version = stoq_cbor_rd_text(&r, 1, STOQ_MANIFEST_VERSION_TEXT_MAX);
        } else if (key >= 4 && key < 4 + STOQ_COUNT(numbers)) {
            numbers[key - 4] = stoq_cbor_rd_uint(&r);
        } else {
            stoq_cbor_rd_fail(&r, STOQ_MALFORMED);
        }
        seen |= key < 16 ? 1u << key : 0;
    }
    stoq_cbor_rd_leave(&r);
    if (stoq_cbor_rd_done(&r) != STOQ_OK || seen != 0x1fe ||
        stoq_manifest_name_fault(out->name) != NULL ||
        stoq_manifest_version_fault(out->version) != NULL) {
        return STOQ_MALFORMED;
    }
    out->bytes = numbers[0];
    out->chunks = numbers[1];
    out->chunks_carried = numbers[2];
    out->stored_bytes = numbers[3];
    out->chunks_assumed = numbers[4];
    return STOQ_OK;
}

size_t stoq_bundle_record_head(uint8_t out[STOQ_BUNDLE_HEAD_BYTES + STOQ_BUNDLE_KEY_MAX],
                               const struct stoq_bundle_record *rec)
{
    STOQ_ASSERT(rec->key.n <= STOQ_BUNDLE_KEY_MAX && rec->stored.n <= STOQ_BUNDLE_PAYLOAD_MAX);
    memcpy(out, RECORD_MAGIC, 4);
    out[4] = rec->type;
    out[5] = rec->flags;
    out[6] = (uint8_t)rec->key.n;
    out[7] = 0;
    stoq_le32_put(out + 8, rec->raw_len);
    stoq_le32_put(out + 12, (uint32_t)rec->stored.n);
    const struct stoq_span parts[] = {stoq_span(out, 16), rec->key, rec->stored};
    stoq_le64_put(out + 16, stoq_hash_xxh3_64_parts(parts, STOQ_COUNT(parts)));
    if (rec->key.n > 0) {
        memcpy(out + STOQ_BUNDLE_HEAD_BYTES, rec->key.p, rec->key.n);
    }
    return STOQ_BUNDLE_HEAD_BYTES + rec->key.n;
}
