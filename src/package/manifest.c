/*
 * The manifest is small and read by everybody, so it is decoded in one pass into a plain struct and
 * then judged as a whole by the same function that judges what is about to be encoded: a manifest
 * that could not have been written cannot be read. One value has one encoding because the CBOR
 * reader refuses every other form, and because the two lists have an order here: annotations by the
 * encoding of their keys (the shorter first, as RFC 8949 asks), dependencies by name, then
 * requirement, both as bytes.
 *
 * Counts are checked against each other (FORMATS.md section 7) before anything is allocated or asked
 * of a peer on their word.
 */
#include "package/manifest.h"

#include <stdlib.h>
#include <string.h>

#include "hash/hash.h"
#include "wire/cbor.h"

enum manifest_key {
    KEY_FORMAT = 1,
    KEY_NAME = 2,
    KEY_VERSION = 3,
    KEY_DESCRIPTION = 4,
    KEY_LICENSE = 5,
    KEY_ANNOTATIONS = 6,
    KEY_DEPENDENCIES = 7,
    KEY_PROFILE = 8,
    KEY_TABLE_BYTES = 9,
    KEY_SECONDARY = 10,
    KEY_ENTRIES = 11,
    KEY_SHARDS = 12,
    KEY_CHUNKS = 13,
    KEY_BYTES = 14,
    KEY_ROOT = 15,
};

/* All keys but the five optional ones. */
#define REQUIRED_KEYS                                                                              \
    (1u << KEY_FORMAT | 1u << KEY_NAME | 1u << KEY_VERSION | 1u << KEY_PROFILE |                   \
     1u << KEY_TABLE_BYTES | 1u << KEY_ENTRIES | 1u << KEY_SHARDS | 1u << KEY_CHUNKS |             \
     1u << KEY_BYTES | 1u << KEY_ROOT)

static int annotation_cmp(const void *a, const void *b)
{
    const struct stoq_manifest_annotation *x = a;
    const struct stoq_manifest_annotation *y = b;
    if (x->key.n != y->key.n) {
        return x->key.n < y->key.n ? -1 : 1;
    }
    return stoq_span_cmp(x->key, y->key);
}

static int dependency_cmp(const void *a, const void *b)
{
    const struct stoq_manifest_dependency *x = a;
    const struct stoq_manifest_dependency *y = b;
    int c = stoq_span_cmp(x->name, y->name);
    return c != 0 ? c : stoq_span_cmp(x->requirement, y->requirement);
}

static bool lists_ascend(const struct stoq_manifest *m)
{
    for (size_t i = 1; i < m->annotation_count; i++) {
        if (annotation_cmp(&m->annotations[i - 1], &m->annotations[i]) >= 0) {
            return false;
        }
    }
    for (size_t i = 1; i < m->dependency_count; i++) {
        if (dependency_cmp(&m->dependencies[i - 1], &m->dependencies[i]) >= 0) {
            return false;
        }
    }
    return true;
}

static void put_annotations(struct stoq_cbor_wr *w, const struct stoq_manifest *m)
{
    stoq_cbor_put_uint(w, KEY_ANNOTATIONS);
    stoq_cbor_put_map(w, m->annotation_count);
    for (size_t i = 0; i < m->annotation_count; i++) {
        stoq_cbor_put_text(w, m->annotations[i].key);
        stoq_cbor_put_text(w, m->annotations[i].value);
    }
}

static void put_dependencies(struct stoq_cbor_wr *w, const struct stoq_manifest *m)
{
    stoq_cbor_put_uint(w, KEY_DEPENDENCIES);
    stoq_cbor_put_array(w, m->dependency_count);
    for (size_t i = 0; i < m->dependency_count; i++) {
        const struct stoq_manifest_dependency *d = &m->dependencies[i];
        stoq_cbor_put_array(w, d->has_id ? 3 : 2);
        stoq_cbor_put_text(w, d->name);
        stoq_cbor_put_text(w, d->requirement);
        if (d->has_id) {
            stoq_cbor_put_hash(w, &d->id.h);
        }
    }
}

static void put_text_field(struct stoq_cbor_wr *w, enum manifest_key key, struct stoq_span text)
{
    stoq_cbor_put_uint(w, key);
    stoq_cbor_put_text(w, text);
}

static void put_uint_field(struct stoq_cbor_wr *w, enum manifest_key key, uint64_t v)
{
    stoq_cbor_put_uint(w, key);
    stoq_cbor_put_uint(w, v);
}

static void put_optional(struct stoq_cbor_wr *w, const struct stoq_manifest *m)
{
    if (m->description.n > 0) {
        put_text_field(w, KEY_DESCRIPTION, m->description);
    }
    if (m->license.n > 0) {
        put_text_field(w, KEY_LICENSE, m->license);
    }
    if (m->annotation_count > 0) {
        put_annotations(w, m);
    }
    if (m->dependency_count > 0) {
        put_dependencies(w, m);
    }
}

static void put_content(struct stoq_cbor_wr *w, const struct stoq_manifest *m)
{
    put_uint_field(w, KEY_PROFILE, m->profile);
    put_uint_field(w, KEY_TABLE_BYTES, m->table_bytes);
    if (m->secondary_algorithm != STOQ_HASH_NONE) {
        stoq_cbor_put_uint(w, KEY_SECONDARY);
        stoq_cbor_put_array(w, 2);
        stoq_cbor_put_uint(w, m->secondary_algorithm);
        stoq_cbor_put_bytes(w, m->secondary_digest);
    }
    put_uint_field(w, KEY_ENTRIES, m->entries);
    put_uint_field(w, KEY_SHARDS, m->shards);
    put_uint_field(w, KEY_CHUNKS, m->chunks);
    put_uint_field(w, KEY_BYTES, m->bytes);
    stoq_cbor_put_uint(w, KEY_ROOT);
    stoq_cbor_put_hash(w, &m->root);
}

enum stoq_status stoq_manifest_encode(struct stoq_manifest *m, struct stoq_buf *out)
{
    if (stoq_manifest_fault(m) != NULL) {
        return STOQ_RANGE;
    }
    qsort(m->annotations, m->annotation_count, sizeof m->annotations[0], annotation_cmp);
    qsort(m->dependencies, m->dependency_count, sizeof m->dependencies[0], dependency_cmp);
    if (!lists_ascend(m)) {
        return STOQ_RANGE;
    }
    int optional = (m->description.n > 0) + (m->license.n > 0) + (m->annotation_count > 0) +
                   (m->dependency_count > 0) + (m->secondary_algorithm != STOQ_HASH_NONE);
    size_t before = out->n;
    struct stoq_cbor_wr w = stoq_cbor_wr(out);
    stoq_cbor_put_map(&w, 10 + (uint64_t)optional);
    put_uint_field(&w, KEY_FORMAT, STOQ_MANIFEST_VERSION);
    put_text_field(&w, KEY_NAME, m->name);
    put_text_field(&w, KEY_VERSION, m->version);
    put_optional(&w, m);
    put_content(&w, m);
    enum stoq_status st = stoq_cbor_wr_done(&w);
    if (st == STOQ_OK && out->n - before > STOQ_MANIFEST_BYTES_MAX) {
        st = STOQ_FULL;
    }
    if (st != STOQ_OK) {
        out->n = before;
    }
    return st;
}

static void read_annotations(struct stoq_cbor_rd *r, struct stoq_manifest *m)
{
    uint64_t count = stoq_cbor_rd_map(r);
    if (count == 0 || count > STOQ_MANIFEST_ANNOTATIONS_MAX) {
        stoq_cbor_rd_fail(r, STOQ_MALFORMED);
    }
    struct stoq_span key;
    while (m->annotation_count < STOQ_MANIFEST_ANNOTATIONS_MAX && stoq_cbor_rd_key_text(r, &key)) {
        struct stoq_manifest_annotation *a = &m->annotations[m->annotation_count++];
        a->key = key;
        a->value = stoq_cbor_rd_text(r, 0, STOQ_MANIFEST_ANNOTATION_VALUE_MAX);
    }
    stoq_cbor_rd_leave(r);
}

static void read_dependencies(struct stoq_cbor_rd *r, struct stoq_manifest *m)
{
    uint64_t count = stoq_cbor_rd_array(r);
    if (count == 0 || count > STOQ_MANIFEST_DEPENDENCIES_MAX) {
        stoq_cbor_rd_fail(r, STOQ_MALFORMED);
    }
    while (m->dependency_count < STOQ_MANIFEST_DEPENDENCIES_MAX && stoq_cbor_rd_more(r)) {
        struct stoq_manifest_dependency *d = &m->dependencies[m->dependency_count++];
        uint64_t items = stoq_cbor_rd_array(r);
        if (items != 2 && items != 3) {
            stoq_cbor_rd_fail(r, STOQ_MALFORMED);
        }
        d->name = stoq_cbor_rd_text(r, 1, STOQ_MANIFEST_NAME_MAX);
        d->requirement = stoq_cbor_rd_text(r, 0, STOQ_MANIFEST_REQUIREMENT_MAX);
        d->has_id = items == 3;
        if (d->has_id) {
            d->id.h = stoq_cbor_rd_hash(r);
        }
        stoq_cbor_rd_leave(r);
    }
    stoq_cbor_rd_leave(r);
}

static void read_secondary(struct stoq_cbor_rd *r, struct stoq_manifest *m)
{
    if (stoq_cbor_rd_array(r) != 2) {
        stoq_cbor_rd_fail(r, STOQ_MALFORMED);
    }
    m->secondary_algorithm = stoq_cbor_rd_uint_in(r, 1, UINT64_MAX);
    m->secondary_digest = stoq_cbor_rd_bytes(r, 1, STOQ_DIGEST_MAX);
    stoq_cbor_rd_leave(r);
}

/* Another number is a format we do not speak. */
static void read_format(struct stoq_cbor_rd *r)
{
    if (stoq_cbor_rd_uint(r) != STOQ_MANIFEST_VERSION) {
        stoq_cbor_rd_fail(r, STOQ_VERSION);
    }
}

static uint64_t read_profile(struct stoq_cbor_rd *r)
{
    uint64_t code = stoq_cbor_rd_uint(r);
    if (stoq_chunk_profile(code) == NULL) {
        stoq_cbor_rd_fail(r, STOQ_VERSION);
    }
    return code;
}

static void read_field(struct stoq_cbor_rd *r, uint64_t key, struct stoq_manifest *m)
{
    switch (key) {
    case KEY_FORMAT:
        read_format(r);
        break;
    case KEY_NAME:
        m->name = stoq_cbor_rd_text(r, 1, STOQ_MANIFEST_NAME_MAX);
        break;
    case KEY_VERSION:
        m->version = stoq_cbor_rd_text(r, 1, STOQ_MANIFEST_VERSION_TEXT_MAX);
        break;
    case KEY_DESCRIPTION:
        m->description = stoq_cbor_rd_text(r, 1, STOQ_MANIFEST_DESCRIPTION_MAX);
        break;
    case KEY_LICENSE:
        m->license = stoq_cbor_rd_text(r, 1, STOQ_MANIFEST_LICENSE_MAX);
        break;
    case KEY_ANNOTATIONS:
        read_annotations(r, m);
        break;
    case KEY_DEPENDENCIES:
        read_dependencies(r, m);
        break;
    case KEY_PROFILE:
        m->profile = read_profile(r);
        break;
    case KEY_TABLE_BYTES:
        m->table_bytes = stoq_cbor_rd_uint(r);
        break;
    case KEY_SECONDARY:
        read_secondary(r, m);
        break;
    case KEY_ENTRIES:
        m->entries = stoq_cbor_rd_uint(r);
        break;
    case KEY_SHARDS:
        m->shards = stoq_cbor_rd_uint(r);
        break;
    case KEY_CHUNKS:
        m->chunks = stoq_cbor_rd_uint(r);
        break;
    case KEY_BYTES:
        m->bytes = stoq_cbor_rd_uint(r);
        break;
    case KEY_ROOT:
        m->root = stoq_cbor_rd_hash(r);
        break;
    default:
        stoq_cbor_rd_fail(r, STOQ_MALFORMED);
        break;
    }
}

enum stoq_status stoq_manifest_decode(struct stoq_span bytes, struct stoq_manifest *out)
{
    if (bytes.n > STOQ_MANIFEST_BYTES_MAX) {
        return STOQ_MALFORMED;
    }
    memset(out, 0, sizeof *out);
    struct stoq_cbor_rd r = stoq_cbor_rd(bytes);
    uint32_t seen = 0;
    uint64_t key;
    (void)stoq_cbor_rd_map(&r);
    while (stoq_cbor_rd_key(&r, &key)) {
        read_field(&r, key, out);
        if (key < 32) {
            seen |= (uint32_t)1 << key;
        }
    }
    stoq_cbor_rd_leave(&r);
    enum stoq_status st = stoq_cbor_rd_done(&r);
    if (st != STOQ_OK) {
        return st;
    }
    bool complete = (seen & REQUIRED_KEYS) == REQUIRED_KEYS;
    return complete && stoq_manifest_fault(out) == NULL && lists_ascend(out) ? STOQ_OK
                                                                             : STOQ_MALFORMED;
}

struct stoq_package_id stoq_manifest_id(struct stoq_span bytes)
{
    return (struct stoq_package_id){stoq_hash_blake3(bytes)};
}
