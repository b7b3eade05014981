/*
 * The order of a bundle, and what each record is held to:
 *
 *     header
 *     entry ...                         one per package; the rest comes in their order
 *     per package:
 *       manifest                        hashes to the entry's id
 *       signature ...                   name that id
 *       shard list                      leads to the manifest's root
 *       per shard that is carried:
 *         chunk list, or parts          leads to the shard's root, which stands in the shard list
 *         chunk ...                     stand in the chunk list, in its order
 *       package end                     the entry, made anew from what came, is the entry
 *     end                               the hash of everything before
 *
 * Each head is judged before its payload is asked for, so a declared length costs nothing: lists have
 * the length that the manifest or shard calls for, chunks the length their list names.
 *
 * Of an entry only id and hash are kept. At the package's end the same entry is encoded from the
 * manifest and what was counted; another hash means that the front page lied.
 */
#include "package/bundle.h"

#include <stdlib.h>
#include <string.h>

#include "hash/hash.h"
#include "merkle/merkle.h"
#include "package/bundle_internal.h"
#include "sign/sign.h"

#define HASH_BYTES 32u

enum stoq_status stoq_bundle_reader_new(struct stoq_bundle_reader **out)
{
    struct stoq_bundle_reader *r = calloc(1, sizeof *r);
    if (r == NULL) {
        return STOQ_NOMEM;
    }
    enum stoq_status st = stoq_hasher_init(&r->hasher, STOQ_HASH_BLAKE3);
    stoq_buf_init(&r->manifest_bytes, STOQ_MANIFEST_BYTES_MAX);
    stoq_buf_init(&r->shard_list, STOQ_BUNDLE_PAYLOAD_MAX);
    stoq_buf_init(&r->chunk_list,
                  (size_t)STOQ_MERKLE_SHARD_CHUNKS_MAX * STOQ_MERKLE_CHUNK_ENTRY_BYTES);
    stoq_buf_init(&r->parts, r->chunk_list.max);
    stoq_buf_init(&r->bases, STOQ_LIST_PARTS_BASES_MAX * r->chunk_list.max);
    r->part = STOQ_BUNDLE_PART_HEADER;
    r->fault = "";
    if (st != STOQ_OK) {
        stoq_bundle_reader_free(r);
        return st;
    }
    *out = r;
    return STOQ_OK;
}

void stoq_bundle_reader_free(struct stoq_bundle_reader *r)
{
    if (r == NULL) {
        return;
    }
    stoq_hasher_release(&r->hasher);
    stoq_buf_release(&r->manifest_bytes);
    stoq_buf_release(&r->shard_list);
    stoq_buf_release(&r->chunk_list);
    stoq_buf_release(&r->parts);
    stoq_buf_release(&r->bases);
    free(r->promised);
    free(r);
}

size_t stoq_bundle_reader_want(const struct stoq_bundle_reader *r)
{
    switch (r->part) {
    case STOQ_BUNDLE_PART_HEADER:
        return STOQ_BUNDLE_HEADER_BYTES;
    case STOQ_BUNDLE_PART_HEAD:
        return STOQ_BUNDLE_HEAD_BYTES;
    case STOQ_BUNDLE_PART_BODY:
        return r->key_len + r->stored_len;
    case STOQ_BUNDLE_PART_GIVE:
    case STOQ_BUNDLE_PART_DONE:
    case STOQ_BUNDLE_PART_FAILED:
        break;
    }
    return 0;
}

const char *stoq_bundle_reader_fault(const struct stoq_bundle_reader *r)
{
    return r->fault;
}

uint64_t stoq_bundle_reader_offset(const struct stoq_bundle_reader *r)
{
    return r->offset;
}

enum stoq_status stoq_bundle_refuse(struct stoq_bundle_reader *r, enum stoq_status st,
                                    const char *why)
{
    r->fault = why;
    return st;
}

static enum stoq_status read_header(struct stoq_bundle_reader *r, struct stoq_span in,
                                    struct stoq_bundle_event *event)
{
    enum stoq_status st = stoq_bundle_header_decode(in.p, &r->header);
    if (st == STOQ_VERSION) {
        return stoq_bundle_refuse(r, st, "the bundle is of a newer format than this program reads");
    }
    if (st != STOQ_OK) {
        return stoq_bundle_refuse(r, st, "this is not a bundle, or its header is damaged");
    }
    r->promised = calloc(r->header.packages, sizeof *r->promised);
    if (r->promised == NULL) {
        return stoq_bundle_refuse(r, STOQ_NOMEM, "no memory to read a bundle");
    }
    event->kind = STOQ_BUNDLE_SAW_HEADER;
    event->header = &r->header;
    r->offset = STOQ_BUNDLE_HEADER_BYTES;
    r->part = STOQ_BUNDLE_PART_HEAD;
    return STOQ_OK;
}

static bool chunk_shape_ok(const struct stoq_bundle_reader *r)
{
    bool packed = (r->rec.flags & STOQ_BUNDLE_ZSTD) != 0;
    return r->rec.raw_len >= 1 && r->rec.raw_len <= STOQ_MERKLE_CHUNK_BYTES_MAX &&
           (packed ? r->stored_len < r->rec.raw_len : r->stored_len == r->rec.raw_len);
}

/* May a record of this type stand here? NULL, or why not. */
static const char *order_fault(const struct stoq_bundle_reader *r)
{
    bool all_entries = r->entries == r->header.packages;
    bool right;
    switch (r->rec.type) {
    case STOQ_BUNDLE_ENTRY:
        right = !all_entries;
        break;
    case STOQ_BUNDLE_MANIFEST:
        right = all_entries && !r->is_open && r->packages < r->header.packages;
        break;
    case STOQ_BUNDLE_SIGNATURE:
    case STOQ_BUNDLE_SHARD_LIST:
        right = r->is_open && !r->has_shard_list;
        break;
    case STOQ_BUNDLE_CHUNK_LIST:
    case STOQ_BUNDLE_CHUNK_PARTS:
    case STOQ_BUNDLE_PACKAGE_END:
        right = r->is_open && r->has_shard_list;
        break;
    case STOQ_BUNDLE_CHUNK:
        right = r->is_open && r->chunk_list.n > 0;
        break;
    case STOQ_BUNDLE_END:
        right = all_entries && !r->is_open && r->packages == r->header.packages;
        break;
    default:
        return "a record of a type that no bundle has";
    }
    return right ? NULL : "a record that may not stand where it does";
}

/* Can a record of this type have these lengths here? */
static bool lengths_ok(const struct stoq_bundle_reader *r)
{
    size_t key = r->key_len;
    uint64_t n = r->stored_len;
    if (r->rec.type == STOQ_BUNDLE_CHUNK) {
        return key == HASH_BYTES && chunk_shape_ok(r);
    }
    if (r->rec.flags != 0 || r->rec.raw_len != n) {
        return false;
    }
    switch (r->rec.type) {
    case STOQ_BUNDLE_ENTRY:
        return key == HASH_BYTES && n <= STOQ_BUNDLE_ENTRY_BYTES_MAX;
    case STOQ_BUNDLE_MANIFEST:
        return key == HASH_BYTES && n <= STOQ_MANIFEST_BYTES_MAX;
    case STOQ_BUNDLE_SIGNATURE:
        return key == (size_t)2 * HASH_BYTES && n <= STOQ_ENVELOPE_MAX;
    case STOQ_BUNDLE_SHARD_LIST:
        return key == HASH_BYTES && n <= STOQ_BUNDLE_PAYLOAD_MAX &&
               n == r->manifest.shards * STOQ_MERKLE_SHARD_ENTRY_BYTES;
    case STOQ_BUNDLE_CHUNK_LIST:
        return key == HASH_BYTES && n > 0 && n <= r->chunk_list.max &&
               n % STOQ_MERKLE_CHUNK_ENTRY_BYTES == 0;
    case STOQ_BUNDLE_CHUNK_PARTS:
        return key == HASH_BYTES && n > 0 && n <= r->parts.max;
    case STOQ_BUNDLE_PACKAGE_END:
        return key == HASH_BYTES && n == 0;
    default:
        return key == 0 && n == HASH_BYTES;
    }
}

static enum stoq_status read_head(struct stoq_bundle_reader *r, struct stoq_span in)
{
    memcpy(r->head, in.p, sizeof r->head);
    if (memcmp(in.p, STOQ_BUNDLE_MAGIC, 4) != 0 || in.p[7] != 0) {
        return stoq_bundle_refuse(r, STOQ_MALFORMED, "no record begins here");
    }
    r->rec = (struct stoq_bundle_record){
        .type = in.p[4], .flags = in.p[5], .raw_len = stoq_le32(in.p + 8)};
    r->key_len = in.p[6];
    r->stored_len = stoq_le32(in.p + 12);
    const char *why = order_fault(r);
    if (why != NULL) {
        return stoq_bundle_refuse(r, STOQ_MALFORMED, why);
    }
    if ((r->rec.flags & ~STOQ_BUNDLE_ZSTD) != 0 || !lengths_ok(r)) {
        return stoq_bundle_refuse(r, STOQ_MALFORMED,
                                  "a record of lengths or flags that it cannot have");
    }
    uint64_t end = r->offset + stoq_bundle_record_bytes(r->key_len, r->stored_len);
    if (end > r->header.bytes || (r->rec.type == STOQ_BUNDLE_END && end != r->header.bytes)) {
        return stoq_bundle_refuse(r, STOQ_MALFORMED,
                                  "a record that ends elsewhere than the header says");
    }
    r->part = STOQ_BUNDLE_PART_BODY;
    return STOQ_OK;
}

static enum stoq_status read_body(struct stoq_bundle_reader *r, struct stoq_span in,
                                  struct stoq_bundle_event *event)
{
    r->rec.key = stoq_span(in.p, r->key_len);
    r->rec.stored = stoq_span(in.p + r->key_len, r->stored_len);
    const struct stoq_span parts[] = {stoq_span(r->head, 16), in};
    if (stoq_hash_xxh3_64_parts(parts, STOQ_COUNT(parts)) != stoq_le64(r->head + 16)) {
        return stoq_bundle_refuse(r, STOQ_PROOF,
                                  "a record's checksum disagrees: bytes were damaged");
    }
    event->key = r->rec.key;
    event->stored = r->rec.stored;
    event->raw_len = r->rec.raw_len;
    event->flags = r->rec.flags;
    enum stoq_status st = stoq_bundle_take(r, event);
    if (st != STOQ_OK) {
        return st;
    }
    event->id = r->rec.type == STOQ_BUNDLE_ENTRY ? event->id : r->got.id;
    event->manifest = r->rec.type == STOQ_BUNDLE_ENTRY ? NULL : &r->manifest;
    r->offset += STOQ_BUNDLE_HEAD_BYTES + in.n;
    r->part = STOQ_BUNDLE_PART_DONE;
    if (r->rec.type != STOQ_BUNDLE_END) {
        stoq_hasher_update(&r->hasher, stoq_span(r->head, sizeof r->head));
        stoq_hasher_update(&r->hasher, in);
        r->part = STOQ_BUNDLE_PART_HEAD;
    }
    if (event->kind == STOQ_BUNDLE_WANTS_CHUNK_LIST) {
        stoq_bundle_wish(r, event);
    }
    return STOQ_OK;
}

enum stoq_status stoq_bundle_reader_feed(struct stoq_bundle_reader *r, struct stoq_span in,
                                         struct stoq_bundle_event *event)
{
    STOQ_ASSERT(in.n == stoq_bundle_reader_want(r) && in.n > 0);
    *event = (struct stoq_bundle_event){.kind = STOQ_BUNDLE_NOTHING};
    enum stoq_status st;
    if (r->part == STOQ_BUNDLE_PART_HEADER) {
        st = read_header(r, in, event);
        stoq_hasher_update(&r->hasher, in);
    } else if (r->part == STOQ_BUNDLE_PART_HEAD) {
        st = read_head(r, in);
    } else {
        st = read_body(r, in, event);
    }
    if (st != STOQ_OK) {
        r->part = STOQ_BUNDLE_PART_FAILED;
    }
    return st;
}
