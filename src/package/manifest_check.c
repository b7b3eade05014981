#include "package/manifest.h"

#include "hash/hash.h"
#include "wire/text.h"

static bool is_name_byte(uint8_t c, bool first)
{
    if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9')) {
        return true;
    }
    return !first && (c == '+' || c == '.' || c == '_' || c == '-');
}

const char *stoq_manifest_name_fault(struct stoq_span name)
{
    if (name.n == 0) {
        return "is empty";
    }
    if (name.n > STOQ_MANIFEST_NAME_MAX) {
        return "is longer than 128 bytes";
    }
    if (!is_name_byte(name.p[0], true)) {
        return "must begin with a lower-case letter or a digit";
    }
    for (size_t i = 1; i < name.n; i++) {
        if (!is_name_byte(name.p[i], false)) {
            return "may only have lower-case letters, digits and + . _ -";
        }
    }
    return NULL;
}

const char *stoq_manifest_version_fault(struct stoq_span version)
{
    if (version.n == 0) {
        return "is empty";
    }
    if (version.n > STOQ_MANIFEST_VERSION_TEXT_MAX) {
        return "is longer than 128 bytes";
    }
    if (!stoq_utf8_valid(version)) {
        return "is not UTF-8";
    }
    for (size_t i = 0; i < version.n; i++) {
        uint8_t c = version.p[i];
        if (c == '/' || c == '@' || c <= 0x20 || c == 0x7f) {
            return "may not have / or @, spaces or control characters";
        }
    }
    return NULL;
}

const char *stoq_manifest_description_fault(struct stoq_span description)
{
    if (description.n > STOQ_MANIFEST_DESCRIPTION_MAX) {
        return "is longer than 4096 bytes";
    }
    return stoq_utf8_valid(description) ? NULL : "is not UTF-8";
}

const char *stoq_manifest_license_fault(struct stoq_span license)
{
    if (license.n > STOQ_MANIFEST_LICENSE_MAX) {
        return "is longer than 256 bytes";
    }
    return stoq_utf8_valid(license) ? NULL : "is not UTF-8";
}

static const char *annotations_fault(const struct stoq_manifest *m)
{
    if (m->annotation_count > STOQ_MANIFEST_ANNOTATIONS_MAX) {
        return "there are more than 64 annotations";
    }
    for (size_t i = 0; i < m->annotation_count; i++) {
        const struct stoq_manifest_annotation *a = &m->annotations[i];
        if (a->key.n == 0 || a->key.n > STOQ_MANIFEST_ANNOTATION_KEY_MAX) {
            return "an annotation's key is not 1 to 128 bytes long";
        }
        if (a->value.n > STOQ_MANIFEST_ANNOTATION_VALUE_MAX) {
            return "an annotation's value is longer than 4096 bytes";
        }
        if (!stoq_utf8_valid(a->key) || !stoq_utf8_valid(a->value)) {
            return "an annotation is not UTF-8";
        }
    }
    return NULL;
}

static const char *dependencies_fault(const struct stoq_manifest *m)
{
    if (m->dependency_count > STOQ_MANIFEST_DEPENDENCIES_MAX) {
        return "there are more than 256 dependencies";
    }
    for (size_t i = 0; i < m->dependency_count; i++) {
        const struct stoq_manifest_dependency *d = &m->dependencies[i];
        if (stoq_manifest_name_fault(d->name) != NULL) {
            return "a dependency's name is not a package name";
        }
        if (d->requirement.n > STOQ_MANIFEST_REQUIREMENT_MAX) {
            return "a dependency's requirement is longer than 128 bytes";
        }
        if (!stoq_utf8_valid(d->requirement)) {
            return "a dependency's requirement is not UTF-8";
        }
    }
    return NULL;
}

bool stoq_manifest_secondary_is_fit(uint64_t code)
{
    return code == STOQ_HASH_SHA3_256 || code == STOQ_HASH_SHA256 || code == STOQ_HASH_SHA512;
}

static const char *secondary_fault(const struct stoq_manifest *m)
{
    if (m->secondary_algorithm == STOQ_HASH_NONE) {
        return m->secondary_digest.n == 0 ? NULL : "a secondary digest has no algorithm";
    }
    if (!stoq_manifest_secondary_is_fit(m->secondary_algorithm)) {
        return "the secondary hash is not SHA3-256, SHA-256 or SHA-512";
    }
    if (m->secondary_digest.n != stoq_hash_alg_size(stoq_hash_alg_code(m->secondary_algorithm))) {
        return "the secondary digest has not its algorithm's length";
    }
    return NULL;
}

/* The fewest pieces of up to piece_max that make whole: 0 for 0. */
static uint64_t pieces(uint64_t whole, uint64_t piece_max)
{
    return whole / piece_max + (whole % piece_max != 0);
}

static const char *counts_fault(const struct stoq_manifest *m)
{
    if (m->entries > STOQ_MANIFEST_ENTRIES_MAX) {
        return "there are more than 16777216 entries";
    }
    if (m->bytes > STOQ_MANIFEST_STREAM_BYTES_MAX) {
        return "the stream is longer than 2^48 bytes";
    }
    if (m->table_bytes > m->bytes || (m->entries == 0) != (m->table_bytes == 0) ||
        (m->entries == 0 && m->bytes != 0)) {
        return "the table's bytes, the entries and the stream's bytes do not fit together";
    }
    if (m->chunks > m->bytes || m->chunks < pieces(m->bytes, STOQ_MANIFEST_CHUNK_BYTES_MAX)) {
        return "the chunks and the stream's bytes do not fit together";
    }
    if (m->shards > m->chunks || m->shards < pieces(m->chunks, STOQ_MANIFEST_SHARD_CHUNKS_MAX)) {
        return "the shards and the chunks do not fit together";
    }
    return NULL;
}

const char *stoq_manifest_fault(const struct stoq_manifest *m)
{
    if (stoq_manifest_name_fault(m->name) != NULL) {
        return "the name is not [a-z0-9][a-z0-9+._-]{0,127}";
    }
    if (stoq_manifest_version_fault(m->version) != NULL) {
        return "the version is not 1 to 128 bytes without / @ spaces and control characters";
    }
    if (stoq_manifest_description_fault(m->description) != NULL) {
        return "the description is not UTF-8 of up to 4096 bytes";
    }
    if (stoq_manifest_license_fault(m->license) != NULL) {
        return "the license is not UTF-8 of up to 256 bytes";
    }
    if (stoq_chunk_profile(m->profile) == NULL) {
        return "the profile is none that this program knows";
    }
    const char *why = annotations_fault(m);
    if (why == NULL) {
        why = dependencies_fault(m);
    }
    if (why == NULL) {
        why = secondary_fault(m);
    }
    return why != NULL ? why : counts_fault(m);
}
