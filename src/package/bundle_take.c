/*
 * What each record of a bundle is held to. Everything here has a right checksum and a possible length;
 * now it has to lead to what was promised: an entry to its manifest, that to the lists, those to chunks.
 */
#include <string.h>

#include "package/bundle_internal.h"

#define HASH_BYTES 32u

static bool key_is(const struct stoq_bundle_reader *r, const struct stoq_hash *h)
{
    return memcmp(r->rec.key.p, h->b, HASH_BYTES) == 0;
}

static enum stoq_status take_entry(struct stoq_bundle_reader *r, struct stoq_bundle_event *event)
{
    if (stoq_bundle_entry_decode(r->rec.stored, &event->entry) != STOQ_OK ||
        !key_is(r, &event->entry.id.h)) {
        return stoq_bundle_refuse(r, STOQ_MALFORMED, "an entry of the index breaks the format");
    }
    struct stoq_bundle_promised *p = &r->promised[r->entries++];
    p->id = event->entry.id.h;
    p->entry = stoq_hash_blake3(r->rec.stored);
    p->assumed = event->entry.chunks_assumed;
    if (!stoq_add_u64(r->assumed, p->assumed, &r->assumed)) {
        return stoq_bundle_refuse(r, STOQ_MALFORMED, "an entry of the index counts too much");
    }
    event->kind = STOQ_BUNDLE_SAW_ENTRY;
    event->id = event->entry.id;
    return STOQ_OK;
}

static enum stoq_status take_manifest(struct stoq_bundle_reader *r, struct stoq_bundle_event *event)
{
    struct stoq_package_id id = stoq_manifest_id(r->rec.stored);
    if (!key_is(r, &r->promised[r->packages].id)) {
        return stoq_bundle_refuse(r, STOQ_MALFORMED, "a manifest that is not the index's next");
    }
    if (!key_is(r, &id.h)) {
        return stoq_bundle_refuse(r, STOQ_PROOF, "a manifest that does not hash to its package id");
    }
    stoq_buf_clear(&r->manifest_bytes);
    enum stoq_status st = stoq_buf_add(&r->manifest_bytes, r->rec.stored);
    if (st != STOQ_OK) {
        return stoq_bundle_refuse(r, st, "no memory for a manifest");
    }
    st = stoq_manifest_decode(stoq_buf_span(&r->manifest_bytes), &r->manifest);
    if (st == STOQ_VERSION) {
        return stoq_bundle_refuse(r, st, "a manifest of a newer format or profile");
    }
    if (st != STOQ_OK) {
        return stoq_bundle_refuse(r, STOQ_MALFORMED,
                                  "a manifest that breaks the format, as it was published");
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
        return stoq_bundle_refuse(r, STOQ_MALFORMED, "a signature of another package");
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
        return stoq_bundle_refuse(r, STOQ_PROOF,
                                  "a shard list that does not lead to the manifest's root");
    }
    stoq_buf_clear(&r->shard_list);
    enum stoq_status st = stoq_buf_add(&r->shard_list, r->rec.stored);
    if (st != STOQ_OK) {
        return stoq_bundle_refuse(r, st, "no memory for a shard list");
    }
    r->has_shard_list = true;
    event->kind = STOQ_BUNDLE_SAW_SHARD_LIST;
    return STOQ_OK;
}

/* What does not come of a list, or a shard whose list does not come, is assumed to be at the receiver,
 * or came before in this bundle. The shard that the record's key names; the shard count: none. */
static uint64_t find_shard(const struct stoq_bundle_reader *r)
{
    struct stoq_span list = stoq_buf_span(&r->shard_list);
    uint64_t i = r->next_shard;
    for (; i < r->manifest.shards; i++) {
        struct stoq_merkle_shard shard = stoq_merkle_shard_at(list, (size_t)i);
        if (key_is(r, &shard.root)) {
            break;
        }
    }
    return i;
}

/* r->chunk_list is the list of shard i, if it leads there. */
static enum stoq_status begin_shard(struct stoq_bundle_reader *r, uint64_t i,
                                    struct stoq_bundle_event *event)
{
    struct stoq_merkle_shard shard = stoq_merkle_shard_at(stoq_buf_span(&r->shard_list), (size_t)i);
    if (stoq_merkle_check_chunk_list(&shard, STOQ_MERKLE_CHUNK_BYTES_MAX,
                                     stoq_buf_span(&r->chunk_list)) != STOQ_OK) {
        return stoq_bundle_refuse(r, STOQ_PROOF,
                                  "a chunk list that does not lead to its shard's root");
    }
    r->next_shard = i + 1;
    r->next_chunk = 0;
    event->kind = STOQ_BUNDLE_SAW_CHUNK_LIST;
    event->stored = stoq_buf_span(&r->chunk_list);
    return STOQ_OK;
}

static enum stoq_status take_chunk_list(struct stoq_bundle_reader *r,
                                        struct stoq_bundle_event *event)
{
    uint64_t i = find_shard(r);
    if (i == r->manifest.shards) {
        return stoq_bundle_refuse(r, STOQ_MALFORMED,
                                  "a chunk list of no shard that is still to come");
    }
    stoq_buf_clear(&r->chunk_list);
    if (stoq_buf_add(&r->chunk_list, r->rec.stored) != STOQ_OK) {
        return stoq_bundle_refuse(r, STOQ_NOMEM, "no memory for a chunk list");
    }
    return begin_shard(r, i, event);
}

void stoq_bundle_wish(struct stoq_bundle_reader *r, struct stoq_bundle_event *event)
{
    /* The root lies in the payload, behind the count. */
    event->kind = STOQ_BUNDLE_WANTS_CHUNK_LIST;
    event->key = stoq_span(r->parts.p + 1 + r->base_count * HASH_BYTES, HASH_BYTES);
    r->part = STOQ_BUNDLE_PART_GIVE;
}

static enum stoq_status take_parts(struct stoq_bundle_reader *r, struct stoq_bundle_event *event)
{
    r->parts_shard = find_shard(r);
    if (r->parts_shard == r->manifest.shards) {
        return stoq_bundle_refuse(r, STOQ_MALFORMED,
                                  "a chunk list of no shard that is still to come");
    }
    if (stoq_list_parts_base_count(r->rec.stored) == 0) {
        return stoq_bundle_refuse(r, STOQ_MALFORMED, "parts of a chunk list that break the format");
    }
    stoq_buf_clear(&r->parts);
    stoq_buf_clear(&r->bases);
    r->base_count = 0;
    if (stoq_buf_add(&r->parts, r->rec.stored) != STOQ_OK) {
        return stoq_bundle_refuse(r, STOQ_NOMEM, "no memory for a chunk list");
    }
    event->kind = STOQ_BUNDLE_WANTS_CHUNK_LIST;
    return STOQ_OK;
}

static enum stoq_status join_parts(struct stoq_bundle_reader *r, struct stoq_bundle_event *event)
{
    struct stoq_span lists[STOQ_LIST_PARTS_BASES_MAX];
    size_t at = 0;
    for (size_t i = 0; i < r->base_count; i++) {
        const uint8_t *list = r->base_bytes[i] > 0 ? r->bases.p + at : NULL;
        lists[i] = stoq_span(list, r->base_bytes[i]);
        at += r->base_bytes[i];
    }
    stoq_buf_clear(&r->chunk_list);
    enum stoq_status st = stoq_list_parts_join(stoq_buf_span(&r->parts), lists, &r->chunk_list);
    if (st == STOQ_NOMEM) {
        return stoq_bundle_refuse(r, st, "no memory for a chunk list");
    }
    if (st != STOQ_OK) {
        return stoq_bundle_refuse(r, STOQ_MALFORMED, "parts of a chunk list that break the format");
    }
    st = begin_shard(r, r->parts_shard, event);
    struct stoq_merkle_shard shard =
        stoq_merkle_shard_at(stoq_buf_span(&r->shard_list), (size_t)r->parts_shard);
    memcpy(r->parts_root.b, shard.root.b, HASH_BYTES);
    event->key = stoq_span(r->parts_root.b, HASH_BYTES);
    return st;
}

enum stoq_status stoq_bundle_reader_give(struct stoq_bundle_reader *r, struct stoq_span list,
                                         struct stoq_bundle_event *event)
{
    STOQ_ASSERT(r->part == STOQ_BUNDLE_PART_GIVE);
    *event = (struct stoq_bundle_event){
        .kind = STOQ_BUNDLE_NOTHING, .id = r->got.id, .manifest = &r->manifest};
    enum stoq_status st = STOQ_OK;
    if (list.n > r->chunk_list.max) {
        st = stoq_bundle_refuse(r, STOQ_MALFORMED, "a chunk list longer than any shard's");
    } else if (stoq_buf_add(&r->bases, list) != STOQ_OK) {
        st = stoq_bundle_refuse(r, STOQ_NOMEM, "no memory for a chunk list");
    } else {
        r->base_bytes[r->base_count++] = list.n;
    }
    if (st == STOQ_OK && r->base_count < stoq_list_parts_base_count(stoq_buf_span(&r->parts))) {
        stoq_bundle_wish(r, event);
        return st;
    }
    if (st == STOQ_OK) {
        st = join_parts(r, event);
    }
    r->part = st == STOQ_OK ? STOQ_BUNDLE_PART_HEAD : STOQ_BUNDLE_PART_FAILED;
    return st;
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
        return stoq_bundle_refuse(r, STOQ_MALFORMED,
                                  "a chunk that its shard's list does not name next");
    }
    if (stoq_merkle_chunk_at(list, i).bytes != r->rec.raw_len) {
        return stoq_bundle_refuse(r, STOQ_MALFORMED,
                                  "a chunk of another length than its list says");
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
    const struct stoq_bundle_promised *p = &r->promised[r->packages];
    struct stoq_buf again;
    r->got.chunks_assumed = p->assumed;
    stoq_buf_init(&again, STOQ_BUNDLE_ENTRY_BYTES_MAX);
    enum stoq_status st = stoq_bundle_entry_encode(&r->got, &again);
    struct stoq_hash h = stoq_hash_blake3(stoq_buf_span(&again));
    stoq_buf_release(&again);
    if (st == STOQ_NOMEM) {
        return stoq_bundle_refuse(r, st, "no memory to check a package");
    }
    if (st != STOQ_OK || !stoq_hash_eq(&h, &p->entry)) {
        return stoq_bundle_refuse(r, STOQ_MALFORMED,
                                  "a package that is not what the index says of it");
    }
    return STOQ_OK;
}

static enum stoq_status take_package_end(struct stoq_bundle_reader *r,
                                         struct stoq_bundle_event *event)
{
    if (!key_is(r, &r->got.id.h)) {
        return stoq_bundle_refuse(r, STOQ_MALFORMED, "the end of another package");
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
        return stoq_bundle_refuse(r, STOQ_MALFORMED,
                                  "the header counts other chunks than there are");
    }
    if (stoq_hasher_final(&r->hasher, &whole) != STOQ_OK) {
        return stoq_bundle_refuse(r, STOQ_NOMEM, "no memory to check a bundle");
    }
    if (!stoq_span_eq(stoq_digest_span(&whole), r->rec.stored)) {
        return stoq_bundle_refuse(r, STOQ_PROOF, "the hash of the whole bundle disagrees");
    }
    event->kind = STOQ_BUNDLE_SAW_END;
    return STOQ_OK;
}

enum stoq_status stoq_bundle_take(struct stoq_bundle_reader *r, struct stoq_bundle_event *event)
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
    case STOQ_BUNDLE_CHUNK_PARTS:
        return take_parts(r, event);
    case STOQ_BUNDLE_CHUNK:
        return take_chunk(r, event);
    case STOQ_BUNDLE_PACKAGE_END:
        return take_package_end(r, event);
    default:
        return take_end(r, event);
    }
}
