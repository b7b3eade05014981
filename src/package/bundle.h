#ifndef STOQ_PACKAGE_BUNDLE_H
#define STOQ_PACKAGE_BUNDLE_H
/*
 * A bundle: packages in one self-verifying file (docs/FORMATS.md section 11), to be carried where no
 * network goes. Here: its records, and a reader that takes the bytes in order and lets nothing pass
 * that does not lead back to a package id. What is left to its caller is what needs zstd or a store:
 * that a chunk's bytes are what its hash says, and a signature's arithmetic.
 */
#include "package/manifest.h"

#define STOQ_BUNDLE_VERSION 1
#define STOQ_BUNDLE_HEADER_BYTES 64
#define STOQ_BUNDLE_HEAD_BYTES 24 /* of a record, before key and payload */
#define STOQ_BUNDLE_KEY_MAX 64
/* Two hashes per package are kept while a bundle is read: some 5 MiB. */
#define STOQ_BUNDLE_PACKAGES_MAX 65536
/* The shard list of a million shards, as the store's records. */
#define STOQ_BUNDLE_PAYLOAD_MAX ((uint32_t)(48 * STOQ_MIB))

/* Types below 32 are those of docs/FORMATS.md section 9. */
enum stoq_bundle_type {
    STOQ_BUNDLE_CHUNK = 1,
    STOQ_BUNDLE_MANIFEST = 2,
    STOQ_BUNDLE_SHARD_LIST = 3,
    STOQ_BUNDLE_CHUNK_LIST = 4,
    STOQ_BUNDLE_SIGNATURE = 5,
    STOQ_BUNDLE_ENTRY = 32,
    STOQ_BUNDLE_PACKAGE_END = 33,
    STOQ_BUNDLE_CHUNK_PARTS = 34, /* a chunk list by parts of others, package/list_parts.h */
    STOQ_BUNDLE_END = 63,
};

#define STOQ_BUNDLE_ZSTD 1 /* a record's flag: the payload is one zstd frame */

struct stoq_bundle_header {
    uint32_t packages;       /* 1 .. STOQ_BUNDLE_PACKAGES_MAX */
    uint64_t bytes;          /* of the whole bundle */
    uint64_t chunks;         /* chunk records in it */
    uint64_t stored_bytes;   /* of their payloads */
    uint64_t chunks_assumed; /* places where a chunk is left out because the receiver has it */
};

/* One line of the index at the front. */
struct stoq_bundle_entry {
    struct stoq_package_id id;
    struct stoq_span name;
    struct stoq_span version;
    uint64_t bytes;          /* of the package stream */
    uint64_t chunks;         /* of the package */
    uint64_t chunks_carried; /* chunk records that follow for it */
    uint64_t stored_bytes;   /* of their payloads */
    uint64_t chunks_assumed;
};
#define STOQ_BUNDLE_ENTRY_BYTES_MAX 400

struct stoq_bundle_record {
    uint8_t type;
    uint8_t flags;
    uint32_t raw_len; /* of the payload after decompression */
    struct stoq_span key;
    struct stoq_span stored;
};

void stoq_bundle_header_encode(uint8_t out[STOQ_BUNDLE_HEADER_BYTES],
                               const struct stoq_bundle_header *header);
/* STOQ_OK; STOQ_MALFORMED: no bundle begins like that; STOQ_VERSION: a newer one. */
STOQ_WARN_UNUSED enum stoq_status stoq_bundle_header_decode(
    const uint8_t in[STOQ_BUNDLE_HEADER_BYTES], struct stoq_bundle_header *out);

/* Append an entry's CBOR. STOQ_OK, STOQ_FULL, STOQ_NOMEM; STOQ_MALFORMED: name or version is not
 * UTF-8. */
STOQ_WARN_UNUSED enum stoq_status stoq_bundle_entry_encode(const struct stoq_bundle_entry *entry,
                                                           struct stoq_buf *out);
/* Spans point into in. STOQ_OK, STOQ_MALFORMED. */
STOQ_WARN_UNUSED enum stoq_status stoq_bundle_entry_decode(struct stoq_span in,
                                                           struct stoq_bundle_entry *out);

/* Write what stands before a record's payload: head and key. Returns the bytes written. */
size_t stoq_bundle_record_head(uint8_t out[STOQ_BUNDLE_HEAD_BYTES + STOQ_BUNDLE_KEY_MAX],
                               const struct stoq_bundle_record *rec);
/* Bytes of a whole record. */
static inline uint64_t stoq_bundle_record_bytes(size_t key_len, uint64_t stored_len)
{
    return STOQ_BUNDLE_HEAD_BYTES + (uint64_t)key_len + stored_len;
}

/* What has just been read. */
enum stoq_bundle_event_kind {
    STOQ_BUNDLE_NOTHING,          /* half a record: go on */
    STOQ_BUNDLE_SAW_HEADER,       /* header */
    STOQ_BUNDLE_SAW_ENTRY,        /* entry; its counts are a claim until its package has ended */
    STOQ_BUNDLE_SAW_MANIFEST,     /* id, manifest, stored: a package begins */
    STOQ_BUNDLE_SAW_SIGNATURE,    /* key, stored; names this package, its arithmetic is unchecked */
    STOQ_BUNDLE_SAW_SHARD_LIST,   /* key: the package root; stored */
    STOQ_BUNDLE_SAW_CHUNK_LIST,   /* key: the shard root; stored */
    STOQ_BUNDLE_WANTS_CHUNK_LIST, /* key: a shard root whose list is needed; give follows, not feed */
    STOQ_BUNDLE_SAW_CHUNK,        /* key: the chunk's hash; raw_len is true, stored unchecked */
    STOQ_BUNDLE_SAW_PACKAGE_END, /* id */
    STOQ_BUNDLE_SAW_END,         /* the whole is as it was written; nothing may follow */
};

/* All spans are borrowed from what was fed or from the reader, until the next call. */
struct stoq_bundle_event {
    enum stoq_bundle_event_kind kind;
    const struct stoq_bundle_header *header;
    struct stoq_bundle_entry entry;
    struct stoq_package_id id;
    const struct stoq_manifest *manifest; /* from SAW_MANIFEST to SAW_PACKAGE_END */
    struct stoq_span key;
    struct stoq_span stored;
    uint32_t raw_len;
    uint8_t flags;
};

struct stoq_bundle_reader;

/* STOQ_OK, STOQ_NOMEM. */
STOQ_WARN_UNUSED enum stoq_status stoq_bundle_reader_new(struct stoq_bundle_reader **out);
void stoq_bundle_reader_free(struct stoq_bundle_reader *r); /* NULL is fine */

/* How many bytes the next feed takes, at most STOQ_BUNDLE_PAYLOAD_MAX + STOQ_BUNDLE_KEY_MAX and
 * never more than what was said before allows; 0 after SAW_END. */
size_t stoq_bundle_reader_want(const struct stoq_bundle_reader *r);

/*
 * Take the next bytes, exactly as many as wanted (asserted).
 *
 * STOQ_OK         *event says what they were
 * STOQ_MALFORMED  they break the format, STOQ_PROOF: a checksum or hash disagrees, STOQ_VERSION: a
 *                 newer bundle, manifest or profile; stoq_bundle_reader_fault says what exactly, and
 *                 only free may follow
 * STOQ_NOMEM
 * Memory: 72 bytes per package, one manifest, one shard list, up to 33 chunk lists.
 */
STOQ_WARN_UNUSED enum stoq_status stoq_bundle_reader_feed(struct stoq_bundle_reader *r,
                                                          struct stoq_span in,
                                                          struct stoq_bundle_event *event);

/*
 * After STOQ_BUNDLE_WANTS_CHUNK_LIST: the chunk list of the shard it named. The next event is another
 * wish or STOQ_BUNDLE_SAW_CHUNK_LIST.
 *
 * list  borrowed for the call; its entries are checked with the list they become part of
 *
 * STOQ_OK; STOQ_PROOF, STOQ_MALFORMED, STOQ_NOMEM as feed
 */
STOQ_WARN_UNUSED enum stoq_status stoq_bundle_reader_give(struct stoq_bundle_reader *r,
                                                          struct stoq_span list,
                                                          struct stoq_bundle_event *event);

/* A static English sentence about the last failure, and the byte where the record at fault begins
 * (before a failure: the record being read). */
const char *stoq_bundle_reader_fault(const struct stoq_bundle_reader *r);
uint64_t stoq_bundle_reader_offset(const struct stoq_bundle_reader *r);

#endif
