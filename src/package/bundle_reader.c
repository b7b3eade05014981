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
 *         chunk list                    leads to the shard's root, which stands in the shard list
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
#include "sign/sign.h"

#define RECORD_MAGIC "sqb1"
#define HASH_BYTES 32u
#define NO_LIST UINT64_MAX

enum part {
    PART_HEADER,
    PART_HEAD, /* of a record */
    PART_BODY, /* key and payload */
    PART_DONE,
    PART_FAILED,
};

struct promised {
    struct stoq_hash id;
    struct stoq_hash entry; /* BLAKE3 of its CBOR */
    uint64_t assumed;
};

struct stoq_bundle_reader {
    enum part part;
    struct stoq_bundle_header header;
    struct stoq_hasher hasher; /* of everything before the record being read */
    uint64_t offset;           /* of the record being read */
    const char *fault;
    uint8_t head[STOQ_BUNDLE_HEAD_BYTES];
    struct stoq_bundle_record rec; /* its key and stored are set with the body */
    size_t key_len;
    uint32_t stored_len;

    struct promised *promised;
    uint32_t entries;  /* read so far */
    uint32_t packages; /* ended so far */
    uint64_t chunks;   /* read so far, of the whole bundle */
    uint64_t stored_bytes;
    uint64_t assumed;

    /* The open package. */
    bool is_open;
    struct stoq_buf manifest_bytes;
    struct stoq_manifest manifest;
    bool has_shard_list;
    struct stoq_buf shard_list;
    uint64_t next_shard; /* the first that a chunk list may still come for */
    struct stoq_buf chunk_list;
    size_t next_chunk; /* of chunk_list, the first that may still come */
    struct stoq_bundle_entry got;
};

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
    r->part = PART_HEADER;
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
    free(r->promised);
    free(r);
}

size_t stoq_bundle_reader_want(const struct stoq_bundle_reader *r)
{
    switch (r->part) {
    case PART_HEADER:
        return STOQ_BUNDLE_HEADER_BYTES;
    case PART_HEAD:
        return STOQ_BUNDLE_HEAD_BYTES;
    case PART_BODY:
        return r->key_len + r->stored_len;
    case PART_DONE:
    case PART_FAILED:
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

static enum stoq_status refuse(struct stoq_bundle_reader *r, enum stoq_status st, const char *why)
{
    r->fault = why;
    return st;
}

static enum stoq_status read_header(struct stoq_bundle_reader *r, struct stoq_span in,
                                    struct stoq_bundle_event *event)
{
    enum stoq_status st = stoq_bundle_header_decode(in.p, &r->header);
    if (st == STOQ_VERSION) {
        return refuse(r, st, "the bundle is of a newer format than this program reads");
    }
    if (st != STOQ_OK) {
        return refuse(r, st, "this is not a bundle, or its header is damaged");
    }
    r->promised = calloc(r->header.packages, sizeof *r->promised);
    if (r->promised == NULL) {
        return refuse(r, STOQ_NOMEM, "no memory to read a bundle");
    }
    event->kind = STOQ_BUNDLE_SAW_HEADER;
    event->header = &r->header;
    r->offset = STOQ_BUNDLE_HEADER_BYTES;
    r->part = PART_HEAD;
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
    case STOQ_BUNDLE_PACKAGE_END:
        return key == HASH_BYTES && n == 0;
    default:
        return key == 0 && n == HASH_BYTES;
    }
}

static enum stoq_status read_head(struct stoq_bundle_reader *r, struct stoq_span in)
{
    memcpy(r->head, in.p, sizeof r->head);
    if (memcmp(in.p, RECORD_MAGIC, 4) != 0 || in.p[7] != 0) {
        return refuse(r, STOQ_MALFORMED, "no record begins here");
    }
    r->rec = (struct stoq_bundle_record){
        .type = in.p[4], .flags = in.p[5], .raw_len = stoq_le32(in.p + 8)};
    r->key_len = in.p[6];
    r->stored_len = stoq_le32(in.p + 12);
    const char *why = order_fault(r);
    if (why != NULL) {
        return refuse(r, STOQ_MALFORMED, why);
    }
    if ((r->rec.flags & ~STOQ_BUNDLE_ZSTD) != 0 || !lengths_ok(r)) {
        return refuse(r, STOQ_MALFORMED, "a record of lengths or flags that it cannot have");
    }
    uint64_t end = r->offset + stoq_bundle_record_bytes(r->key_len, r->stored_len);
    if (end > r->header.bytes || (r->rec.type == STOQ_BUNDLE_END && end != r->header.bytes)) {
        return refuse(r, STOQ_MALFORMED, "a record that ends elsewhere than the header says");
    }
    r->part = PART_BODY;
    return STOQ_OK;
}

static bool key_is(const struct stoq_bundle_reader *r, const struct stoq_hash *h)
{
    return memcmp(r->rec.key.p, h->b, HASH_BYTES) == 0;
}

static enum stoq_status take_entry(struct stoq_bundle_reader *r, struct stoq_bundle_event *event)
{
    if (stoq_bundle_entry_decode(r->rec.stored, &event->entry) != STOQ_OK ||
        !key_is(r, &event->entry.id.h)) {
        return refuse(r, STOQ_MALFORMED, "an entry of the index breaks the format");
    }
    struct promised *p = &r->promised[r->entries++];
    p->id = event->entry.id.h;
    p->entry = stoq_hash_blake3(r->rec.stored);
    p->assumed = event->entry.chunks_assumed;
    if (!stoq_add_u64(r->assumed, p->assumed, &r->assumed)) {
        return refuse(r, STOQ_MALFORMED, "an entry of the index counts too much");
    }
    event->kind = STOQ_BUNDLE_SAW_ENTRY;
    event->id = event->entry.id;
    return STOQ_OK;
}

static enum stoq_status take_manifest(struct stoq_bundle_reader *r, struct stoq_bundle_event *event)
{
    struct stoq_package_id id = stoq_manifest_id(r->rec.stored);
    if (!key_is(r, &r->promised[r->packages].id)) {
        return refuse(r, STOQ_MALFORMED, "a manifest that is not the index's next");
    }
    if (!key_is(r, &id.h)) {
        return refuse(r, STOQ_PROOF, "a manifest that does not hash to its package id");
    }
    stoq_buf_clear(&r->manifest_bytes);
    enum stoq_status st = stoq_buf_add(&r->manifest_bytes, r->rec.stored);
    if (st != STOQ_OK) {
        return refuse(r, st, "no memory for a manifest");
    }
    st = stoq_manifest_decode(stoq_buf_span(&r->manifest_bytes), &r->manifest);
    if (st == STOQ_VERSION) {
        return refuse(r, st, "a manifest of a newer format or profile");
    }
    if (st != STOQ_OK) {
        return refuse(r, STOQ_MALFORMED, "a manifest that breaks the format, as it was published");
    }
    r->is_open = true;
    r->has_shard_list = false;
    r->next_shard = 0;
    stoq_buf_clear(&r->chunk_list);
    r->got = (struct stoq_bundle_entry){
        .id = id,
        .name = r->manifest.name,
        .version = r->manifest.version,
        .bytes = r->manifest.bytes,
        .chunks = r->manifest.chunks,
    };
    event->kind = STOQ_BUNDLE_SAW_MANIFEST;
    return STOQ_OK;
}

static enum stoq_status take_signature(struct stoq_bundle_reader *r,
                                       struct stoq_bundle_event *event)
{
    if (!key_is(r, &r->got.id.h)) {
        return refuse(r, STOQ_MALFORMED, "a signature of another package");
    }
    event->kind = STOQ_BUNDLE_SAW_SIGNATURE;
    return STOQ_OK;
}

static enum stoq_status take_shard_list(struct stoq_bundle_reader *r,
                                        struct stoq_bundle_event *event)
{
    const struct stoq_manifest *m = &r->manifest;
    const struct stoq_merkle_root root = {
        .hash = m->root, .shards = m->shards, .chunks = m->chunks, .bytes = m->bytes};
    if (!key_is(r, &m->root) || stoq_merkle_check_shard_list(&root, STOQ_MERKLE_CHUNK_BYTES_MAX,
                                                             r->rec.stored) != STOQ_OK) {
        return refuse(r, STOQ_PROOF, "a shard list that does not lead to the manifest's root");
    }
    stoq_buf_clear(&r->shard_list);
    enum stoq_status st = stoq_buf_add(&r->shard_list, r->rec.stored);
    if (st != STOQ_OK) {
        return refuse(r, st, "no memory for a shard list");
    }
    r->has_shard_list = true;
    event->kind = STOQ_BUNDLE_SAW_SHARD_LIST;
    return STOQ_OK;
}

/* What does not come of a list, or a shard whose list does not come, is assumed to be at the receiver,
 * or came before in this bundle. */
static enum stoq_status take_chunk_list(struct stoq_bundle_reader *r,
                                        struct stoq_bundle_event *event)
{
    struct stoq_span list = stoq_buf_span(&r->shard_list);
    uint64_t count = r->manifest.shards;
    uint64_t i = r->next_shard;
    struct stoq_merkle_shard shard;
    for (; i < count; i++) {
        shard = stoq_merkle_shard_at(list, (size_t)i);
        if (key_is(r, &shard.root)) {
            break;
        }
    }
    if (i == count) {
        return refuse(r, STOQ_MALFORMED, "a chunk list of no shard that is still to come");
    }
    if (stoq_merkle_check_chunk_list(&shard, STOQ_MERKLE_CHUNK_BYTES_MAX, r->rec.stored) !=
        STOQ_OK) {
        return refuse(r, STOQ_PROOF, "a chunk list that does not lead to its shard's root");
    }
    stoq_buf_clear(&r->chunk_list);
    enum stoq_status st = stoq_buf_add(&r->chunk_list, r->rec.stored);
    if (st != STOQ_OK) {
        return refuse(r, st, "no memory for a chunk list");
    }
    r->next_shard = i + 1;
    r->next_chunk = 0;
    event->kind = STOQ_BUNDLE_SAW_CHUNK_LIST;
    return STOQ_OK;
}

static enum stoq_status take_chunk(struct stoq_bundle_reader *r, struct stoq_bundle_event *event)
{
    struct stoq_span list = stoq_buf_span(&r->chunk_list);
    size_t count = list.n / STOQ_MERKLE_CHUNK_ENTRY_BYTES;
    size_t i = r->next_chunk;
    while (i < count &&
           memcmp(r->rec.key.p, list.p + i * STOQ_MERKLE_CHUNK_ENTRY_BYTES, HASH_BYTES) != 0) {
        i++;
    }
    if (i == count) {
        return refuse(r, STOQ_MALFORMED, "a chunk that its shard's list does not name next");
    }
    if (stoq_merkle_chunk_at(list, i).bytes != r->rec.raw_len) {
        return refuse(r, STOQ_MALFORMED, "a chunk of another length than its list says");
    }
    r->next_chunk = i + 1;
    r->got.chunks_carried++;
    r->got.stored_bytes += r->stored_len;
    event->kind = STOQ_BUNDLE_SAW_CHUNK;
    return STOQ_OK;
}

/* The claim about assumed chunks is the one thing of an entry that cannot be counted here: the
 * receiver's store finds out. */
static enum stoq_status check_entry(struct stoq_bundle_reader *r)
{
    const struct promised *p = &r->promised[r->packages];
    struct stoq_buf again;
    r->got.chunks_assumed = p->assumed;
    stoq_buf_init(&again, STOQ_BUNDLE_ENTRY_BYTES_MAX);
    enum stoq_status st = stoq_bundle_entry_encode(&r->got, &again);
    struct stoq_hash h = stoq_hash_blake3(stoq_buf_span(&again));
    stoq_buf_release(&again);
    if (st == STOQ_NOMEM) {
        return refuse(r, st, "no memory to check a package");
    }
    if (st != STOQ_OK || !stoq_hash_eq(&h, &p->entry)) {
        return refuse(r, STOQ_MALFORMED, "a package that is not what the index says of it");
    }
    return STOQ_OK;
}

static enum stoq_status take_package_end(struct stoq_bundle_reader *r,
                                         struct stoq_bundle_event *event)
{
    if (!key_is(r, &r->got.id.h)) {
        return refuse(r, STOQ_MALFORMED, "the end of another package");
    }
    enum stoq_status st = check_entry(r);
    if (st != STOQ_OK) {
        return st;
    }
    r->chunks += r->got.chunks_carried;
    r->stored_bytes += r->got.stored_bytes;
    r->is_open = false;
    r->packages++;
    event->kind = STOQ_BUNDLE_SAW_PACKAGE_END;
    return STOQ_OK;
}

static enum stoq_status take_end(struct stoq_bundle_reader *r, struct stoq_bundle_event *event)
{
    struct stoq_digest whole;
    if (r->chunks != r->header.chunks || r->stored_bytes != r->header.stored_bytes ||
        r->assumed != r->header.chunks_assumed) {
        return refuse(r, STOQ_MALFORMED, "the header counts other chunks than there are");
    }
    if (stoq_hasher_final(&r->hasher, &whole) != STOQ_OK) {
        return refuse(r, STOQ_NOMEM, "no memory to check a bundle");
    }
    if (!stoq_span_eq(stoq_digest_span(&whole), r->rec.stored)) {
        return refuse(r, STOQ_PROOF, "the hash of the whole bundle disagrees");
    }
    event->kind = STOQ_BUNDLE_SAW_END;
    return STOQ_OK;
}

static enum stoq_status take(struct stoq_bundle_reader *r, struct stoq_bundle_event *event)
{
    switch (r->rec.type) {
    case STOQ_BUNDLE_ENTRY:
        return take_entry(r, event);
    case STOQ_BUNDLE_MANIFEST:
        return take_manifest(r, event);
    case STOQ_BUNDLE_SIGNATURE:
        return take_signature(r, event);
    case STOQ_BUNDLE_SHARD_LIST:
        return take_shard_list(r, event);
    case STOQ_BUNDLE_CHUNK_LIST:
        return take_chunk_list(r, event);
    case STOQ_BUNDLE_CHUNK:
        return take_chunk(r, event);
    case STOQ_BUNDLE_PACKAGE_END:
        return take_package_end(r, event);
    default:
        return take_end(r, event);
    }
}

static enum stoq_status read_body(struct stoq_bundle_reader *r, struct stoq_span in,
                                  struct stoq_bundle_event *event)
{
    r->rec.key = stoq_span(in.p, r->key_len);
    r->rec.stored = stoq_span(in.p + r->key_len, r->stored_len);
    const struct stoq_span parts[] = {stoq_span(r->head, 16), in};
    if (stoq_hash_xxh3_64_parts(parts, STOQ_COUNT(parts)) != stoq_le64(r->head + 16)) {
        return refuse(r, STOQ_PROOF, "a record's checksum disagrees: bytes were damaged");
    }
    event->key = r->rec.key;
    event->stored = r->rec.stored;
    event->raw_len = r->rec.raw_len;
    event->flags = r->rec.flags;
    enum stoq_status st = take(r, event);
    if (st != STOQ_OK) {
        return st;
    }
    event->id = r->rec.type == STOQ_BUNDLE_ENTRY ? event->id : r->got.id;
    event->manifest = r->rec.type == STOQ_BUNDLE_ENTRY ? NULL : &r->manifest;
    r->offset += STOQ_BUNDLE_HEAD_BYTES + in.n;
    r->part = PART_DONE;
    if (r->rec.type != STOQ_BUNDLE_END) {
        stoq_hasher_update(&r->hasher, stoq_span(r->head, sizeof r->head));
        stoq_hasher_update(&r->hasher, in);
        r->part = PART_HEAD;
    }
    return STOQ_OK;
}

enum stoq_status stoq_bundle_reader_feed(struct stoq_bundle_reader *r, struct stoq_span in,
                                         struct stoq_bundle_event *event)
{
    STOQ_ASSERT(in.n == stoq_bundle_reader_want(r) && in.n > 0);
    *event = (struct stoq_bundle_event){.kind = STOQ_BUNDLE_NOTHING};
    enum stoq_status st;
    if (r->part == PART_HEADER) {
        st = read_header(r, in, event);
        stoq_hasher_update(&r->hasher, in);
    } else if (r->part == PART_HEAD) {
        st = read_head(r, in);
    } else {
        st = read_body(r, in, event);
    }
    if (st != STOQ_OK) {
        r->part = PART_FAILED;
    }
    return st;
}
