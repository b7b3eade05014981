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
#include "wire/form.h"

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

static bool put_annotations(struct stoq_cbor_wr *w, const struct stoq_field *f, const void *at)
{
    const struct stoq_manifest *m = at;
    stoq_cbor_put_map(w, m->annotation_count);
    for (size_t i = 0; i < m->annotation_count; i++) {
        stoq_cbor_put_text(w, m->annotations[i].key);
        stoq_cbor_put_text(w, m->annotations[i].value);
    }
    return true;
}

static void get_annotations(struct stoq_cbor_rd *r, const struct stoq_field *f, void *at,
                            void *memory)
{
    struct stoq_manifest *m = at;
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

static bool put_dependencies(struct stoq_cbor_wr *w, const struct stoq_field *f, const void *at)
{
    const struct stoq_manifest *m = at;
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
    return true;
}

static void get_dependencies(struct stoq_cbor_rd *r, const struct stoq_field *f, void *at,
                             void *memory)
{
    struct stoq_manifest *m = at;
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

static bool put_secondary(struct stoq_cbor_wr *w, const struct stoq_field *f, const void *at)
{
    const struct stoq_manifest *m = at;
    stoq_cbor_put_array(w, 2);
    stoq_cbor_put_uint(w, m->secondary_algorithm);
    stoq_cbor_put_bytes(w, m->secondary_digest);
    return true;
}

static void get_secondary(struct stoq_cbor_rd *r, const struct stoq_field *f, void *at,
                          void *memory)
{
    struct stoq_manifest *m = at;
    if (stoq_cbor_rd_array(r) != 2) {
        stoq_cbor_rd_fail(r, STOQ_MALFORMED);
    }
    m->secondary_algorithm = stoq_cbor_rd_uint_in(r, 1, UINT64_MAX);
    m->secondary_digest = stoq_cbor_rd_bytes(r, 1, STOQ_DIGEST_MAX);
    stoq_cbor_rd_leave(r);
}

/* A profile that we do not have is of a later version. */
static void get_profile(struct stoq_cbor_rd *r, const struct stoq_field *f, void *at, void *memory)
{
    uint64_t *code = at;
    *code = stoq_cbor_rd_uint(r);
    if (stoq_chunk_profile(*code) == NULL) {
        stoq_cbor_rd_fail(r, STOQ_VERSION);
    }
}

static bool put_profile(struct stoq_cbor_wr *w, const struct stoq_field *f, const void *at)
{
    const uint64_t *code = at;
    stoq_cbor_put_uint(w, *code);
    return true;
}

enum { KEY_ANNOTATIONS = 6, KEY_DEPENDENCIES = 7, KEY_SECONDARY = 10 };

static const struct stoq_field manifest_fields[] = {
    {1, STOQ_IS_CONST(STOQ_MANIFEST_VERSION, STOQ_VERSION)},
    {2, STOQ_IS_TEXT(struct stoq_manifest, name, 1, STOQ_MANIFEST_NAME_MAX)},
    {3, STOQ_IS_TEXT(struct stoq_manifest, version, 1, STOQ_MANIFEST_VERSION_TEXT_MAX)},
    {4, STOQ_IS_TEXT(struct stoq_manifest, description, 1, STOQ_MANIFEST_DESCRIPTION_MAX),
     .optional = true},
    {5, STOQ_IS_TEXT(struct stoq_manifest, license, 1, STOQ_MANIFEST_LICENSE_MAX),
     .optional = true},
    {KEY_ANNOTATIONS, STOQ_IS_OWN_OF_ALL(get_annotations, put_annotations), .optional = true},
    {KEY_DEPENDENCIES, STOQ_IS_OWN_OF_ALL(get_dependencies, put_dependencies), .optional = true},
    {8, STOQ_IS_OWN(struct stoq_manifest, profile, uint64_t, get_profile, put_profile, 0, 0)},
    {9, STOQ_IS_UINT(struct stoq_manifest, table_bytes, 0, UINT64_MAX)},
    {KEY_SECONDARY, STOQ_IS_OWN_OF_ALL(get_secondary, put_secondary), .optional = true},
    {11, STOQ_IS_UINT(struct stoq_manifest, entries, 0, UINT64_MAX)},
    {12, STOQ_IS_UINT(struct stoq_manifest, shards, 0, UINT64_MAX)},
    {13, STOQ_IS_UINT(struct stoq_manifest, chunks, 0, UINT64_MAX)},
    {14, STOQ_IS_UINT(struct stoq_manifest, bytes, 0, UINT64_MAX)},
    {15, STOQ_IS_HASH(struct stoq_manifest, root)},
};
static const struct stoq_form manifest_form = STOQ_FORM(manifest_fields);

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
    uint32_t keys = stoq_form_keys(&manifest_form, m);
    keys |= m->annotation_count > 0 ? STOQ_KEY(KEY_ANNOTATIONS) : 0;
    keys |= m->dependency_count > 0 ? STOQ_KEY(KEY_DEPENDENCIES) : 0;
    keys |= m->secondary_algorithm != STOQ_HASH_NONE ? STOQ_KEY(KEY_SECONDARY) : 0;
    size_t before = out->n;
    enum stoq_status st = stoq_form_encode(&manifest_form, m, keys, out);
    if (st == STOQ_OK && out->n - before > STOQ_MANIFEST_BYTES_MAX) {
        out->n = before;
        st = STOQ_FULL;
    }
    return st;
}

enum stoq_status stoq_manifest_decode(struct stoq_span bytes, struct stoq_manifest *out)
{
    if (bytes.n > STOQ_MANIFEST_BYTES_MAX) {
        return STOQ_MALFORMED;
    }
    memset(out, 0, sizeof *out);
    enum stoq_status st = stoq_form_decode(&manifest_form, bytes, out);
    bool is_one = st == STOQ_OK && stoq_manifest_fault(out) == NULL && lists_ascend(out);
    return st == STOQ_OK && !is_one ? STOQ_MALFORMED : st;
}

struct stoq_package_id stoq_manifest_id(struct stoq_span bytes)
{
    return (struct stoq_package_id){stoq_hash_blake3(bytes)};
}
