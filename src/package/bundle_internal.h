#ifndef STOQ_PACKAGE_BUNDLE_INTERNAL_H
#define STOQ_PACKAGE_BUNDLE_INTERNAL_H
/* The inside of a bundle's reader: framing is in bundle_reader.c, what records say in bundle_take.c. */
#include "hash/hash.h"
#include "merkle/merkle.h"
#include "package/bundle.h"
#include "package/list_parts.h"

#define STOQ_BUNDLE_MAGIC "sqb1" /* of a record */

enum stoq_bundle_part {
    STOQ_BUNDLE_PART_HEADER,
    STOQ_BUNDLE_PART_HEAD, /* of a record */
    STOQ_BUNDLE_PART_BODY, /* key and payload */
    STOQ_BUNDLE_PART_GIVE, /* a chunk list of the receiver's */
    STOQ_BUNDLE_PART_DONE,
    STOQ_BUNDLE_PART_FAILED,
};

struct stoq_bundle_promised {
    struct stoq_hash id;
    struct stoq_hash entry; /* BLAKE3 of its CBOR */
    uint64_t assumed;
};

struct stoq_bundle_reader {
    enum stoq_bundle_part part;
    struct stoq_bundle_header header;
    struct stoq_hasher hasher; /* of everything before the record being read */
    uint64_t offset;           /* of the record being read */
    const char *fault;
    uint8_t head[STOQ_BUNDLE_HEAD_BYTES];
    struct stoq_bundle_record rec; /* its key and stored are set with the body */
    size_t key_len;
    uint32_t stored_len;

    struct stoq_bundle_promised *promised;
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
    /* Parts that wait for the lists they are of. */
    uint64_t parts_shard;
    struct stoq_hash parts_root;
    struct stoq_buf parts;
    struct stoq_buf bases; /* the lists given so far, joined */
    size_t base_count;
    size_t base_bytes[STOQ_LIST_PARTS_BASES_MAX];
};

/* Say why, and return the status. */
enum stoq_status stoq_bundle_refuse(struct stoq_bundle_reader *r, enum stoq_status st,
                                    const char *why);
/* A whole record, its checksum right: hold it to what came before and fill in the event. */
enum stoq_status stoq_bundle_take(struct stoq_bundle_reader *r, struct stoq_bundle_event *event);
/* Ask for the next list that parts are of. */
void stoq_bundle_wish(struct stoq_bundle_reader *r, struct stoq_bundle_event *event);

#endif
