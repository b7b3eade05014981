#include "package/bundle.h"

#include <string.h>

#include "hash/hash.h"
#include "wire/form.h"

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

static const struct stoq_field entry_fields[] = {
    {1, STOQ_IS_HASH(struct stoq_bundle_entry, id.h)},
    {2, STOQ_IS_TEXT(struct stoq_bundle_entry, name, 1, STOQ_MANIFEST_NAME_MAX)},
    {3, STOQ_IS_TEXT(struct stoq_bundle_entry, version, 1, STOQ_MANIFEST_VERSION_TEXT_MAX)},
    {4, STOQ_IS_UINT(struct stoq_bundle_entry, bytes, 0, UINT64_MAX)},
    {5, STOQ_IS_UINT(struct stoq_bundle_entry, chunks, 0, UINT64_MAX)},
    {6, STOQ_IS_UINT(struct stoq_bundle_entry, chunks_carried, 0, UINT64_MAX)},
    {7, STOQ_IS_UINT(struct stoq_bundle_entry, stored_bytes, 0, UINT64_MAX)},
    {8, STOQ_IS_UINT(struct stoq_bundle_entry, chunks_assumed, 0, UINT64_MAX)},
};
static const struct stoq_form entry_form = STOQ_FORM(entry_fields);

enum stoq_status stoq_bundle_entry_encode(const struct stoq_bundle_entry *entry,
                                          struct stoq_buf *out)
{
    return stoq_form_encode(&entry_form, entry, stoq_form_keys(&entry_form, entry), out);
}

enum stoq_status stoq_bundle_entry_decode(struct stoq_span in, struct stoq_bundle_entry *out)
{
    bool is_good = stoq_form_decode(&entry_form, in, out) == STOQ_OK &&
                   stoq_manifest_name_fault(out->name) == NULL &&
                   stoq_manifest_version_fault(out->version) == NULL;
    return is_good ? STOQ_OK : STOQ_MALFORMED;
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
