#ifndef STOQ_PACKAGE_MANIFEST_H
#define STOQ_PACKAGE_MANIFEST_H
/*
 * The manifest: what a package is called, how its stream was cut, and the root that commits to its
 * content (docs/FORMATS.md section 7). Its hash is the package id, so one set of values has exactly
 * one encoding and every other encoding is refused.
 */
#include "chunk/profile.h"

#define STOQ_MANIFEST_VERSION 1
#define STOQ_MANIFEST_BYTES_MAX 65536
#define STOQ_MANIFEST_NAME_MAX 128
#define STOQ_MANIFEST_VERSION_TEXT_MAX 128
#define STOQ_MANIFEST_DESCRIPTION_MAX 4096
#define STOQ_MANIFEST_LICENSE_MAX 256
#define STOQ_MANIFEST_ANNOTATIONS_MAX 64
#define STOQ_MANIFEST_ANNOTATION_KEY_MAX 128
#define STOQ_MANIFEST_ANNOTATION_VALUE_MAX 4096
#define STOQ_MANIFEST_DEPENDENCIES_MAX 256
#define STOQ_MANIFEST_REQUIREMENT_MAX 128
#define STOQ_MANIFEST_CHUNK_BYTES_MAX 262144 /* a chunk of a package, section 4 */
#define STOQ_MANIFEST_SHARD_CHUNKS_MAX 512   /* chunks of a shard, section 5 */
#define STOQ_MANIFEST_ENTRIES_MAX ((uint64_t)1 << 24)
#define STOQ_MANIFEST_STREAM_BYTES_MAX ((uint64_t)1 << 48)

struct stoq_manifest_annotation {
    struct stoq_span key;
    struct stoq_span value;
};

struct stoq_manifest_dependency {
    struct stoq_span name;
    struct stoq_span requirement; /* may be empty */
    bool has_id;
    struct stoq_package_id id; /* meaningful when has_id */
};

/*
 * All spans are borrowed: from the bytes a manifest was decoded from, or from whoever fills it in to
 * encode it. An absent optional text has n = 0. About 21 KiB: keep it out of deep stacks.
 */
struct stoq_manifest {
    struct stoq_span name;
    struct stoq_span version;
    struct stoq_span description; /* optional */
    struct stoq_span license;     /* optional */
    size_t annotation_count;
    struct stoq_manifest_annotation annotations[STOQ_MANIFEST_ANNOTATIONS_MAX];
    size_t dependency_count;
    struct stoq_manifest_dependency dependencies[STOQ_MANIFEST_DEPENDENCIES_MAX];
    uint64_t profile; /* a code of chunk/profile.h */
    uint64_t table_bytes;
    uint64_t secondary_algorithm; /* 0: absent; else code 2, 3 or 5 of section 2 */
    struct stoq_span secondary_digest;
    uint64_t entries;
    uint64_t shards;
    uint64_t chunks;
    uint64_t bytes;
    struct stoq_hash root;
};

/*
 * Why a text is not acceptable as a package name, as a version, as a description or a license (those
 * two may be empty here, which means absent): one static English phrase to follow the word "name",
 * "version", ..., or NULL when it is fine.
 */
const char *stoq_manifest_name_fault(struct stoq_span name);
const char *stoq_manifest_version_fault(struct stoq_span version);
const char *stoq_manifest_description_fault(struct stoq_span description);
const char *stoq_manifest_license_fault(struct stoq_span license);

/* May a manifest's secondary digest be of the algorithm with this code (section 7, key 10)? */
bool stoq_manifest_secondary_is_fit(uint64_t code);

/* Why these values cannot be a manifest: a static English sentence, or NULL when they can. Order of
 * annotations and dependencies is not looked at: encode sorts them. */
const char *stoq_manifest_fault(const struct stoq_manifest *m);

/*
 * Append the one encoding of m to out. Annotations and dependencies are sorted in place, so m may be
 * filled in any order.
 *
 * STOQ_RANGE      stoq_manifest_fault(m) tells why, or two annotations share a key, or two
 *                 dependencies a name and requirement; m may be reordered, out is unchanged
 * STOQ_FULL       more than STOQ_MANIFEST_BYTES_MAX bytes, or past out's own cap; out is unchanged
 * STOQ_NOMEM
 */
STOQ_WARN_UNUSED enum stoq_status stoq_manifest_encode(struct stoq_manifest *m,
                                                       struct stoq_buf *out);

/*
 * Read a manifest; *out borrows from bytes. Everything is checked: form, ranges, order, and that the
 * counts can belong together. On failure *out is undefined.
 *
 * STOQ_TRUNC      the bytes end inside the manifest
 * STOQ_VERSION    a format version other than 1, or a profile that chunk/profile.h does not have
 * STOQ_MALFORMED  anything else that section 7 does not allow, bytes after the map included
 * Cost: one pass, no allocation.
 */
STOQ_WARN_UNUSED enum stoq_status stoq_manifest_decode(struct stoq_span bytes,
                                                       struct stoq_manifest *out);

/* The package id of these manifest bytes. They are hashed as they are, not checked. */
struct stoq_package_id stoq_manifest_id(struct stoq_span bytes);

#endif
