#ifndef STOQ_WIRE_MESSAGE_H
#define STOQ_WIRE_MESSAGE_H
/*
 * The messages of the protocol (docs/PROTOCOL.md section 5), typed, and their bytes. One request
 * per bidirectional stream: the request is one frame; the reply is one frame, for a Response followed
 * by its payload (metadata bytes, or the items of wire/items.h).
 */
#include "base/types.h"
#include "wire/frame.h"
#include "wire/signed.h"

#define STOQ_PROTOCOL_VERSION 1

/* Limits of version 1. A Hello may state smaller ones for its sender's own serving. */
#define STOQ_HELLO_VERSIONS_MAX 8
#define STOQ_HELLO_AGENT_MAX 64         /* bytes of UTF-8 */
#define STOQ_HELLO_RPC_KEY_BYTES 32     /* an X25519 public key */
#define STOQ_HELLO_RPC_PROOF_MAX 512    /* the envelope that signs it */
#define STOQ_REQUEST_RANGES_MAX 4096    /* ranges in a ChunkRequest */
#define STOQ_REQUEST_CHUNKS_MAX 4096    /* chunks in a ChunkRequest, all ranges together */
#define STOQ_META_LISTS_MAX 256         /* chunk lists in a MetadataQuery */
#define STOQ_META_HAVE_MAX 65536        /* shards in a query of kind STOQ_META_HAVE_SHARDS */
#define STOQ_META_BYTES_MAX (16u << 20) /* any metadata payload: 349,525 shards */
#define STOQ_META_SIGNATURES_MAX 16     /* envelopes in a payload of kind STOQ_META_SIGNATURES */
#define STOQ_ERROR_TEXT_MAX 256         /* bytes of UTF-8 */
#define STOQ_RESPONSE_CAP_MAX ((uint64_t)1 << 50) /* bytes per second */
#define STOQ_PROOF_BYTES_MAX 32768                /* docs/FORMATS.md section 6 */
#define STOQ_REQUEST_HASHES_MAX 1024              /* chunk hashes in a Request */
#define STOQ_HAVE_CHUNKS_MAX 262144               /* chunks in a Have: 32 KiB of bits */
#define STOQ_ANNOUNCE_TEXT_MAX 128                /* bytes of a package's name and of its version */
#define STOQ_EXCHANGE_PEERS_MAX 50                /* records in a PeerExchange */
#define STOQ_OFFER_SOURCES_MAX 8                  /* contacts in an Offer */
#define STOQ_FIND_NEAR_MAX 20     /* contacts in an answer to FindNode and FindValue */
#define STOQ_FIND_VALUES_MAX 64   /* location records in an answer to FindValue */
#define STOQ_STORE_RECORDS_MAX 16 /* location records in a Store */
#define STOQ_FIND_SKIP_MAX 1024   /* contacts or records that a request may leave out */
#define STOQ_PATCH_MAX 14         /* records in a Patch, so that it fits a datagram */
#define STOQ_PATCH_SIGNATURE_BYTES 64
#define STOQ_PATCH_BYTES (STOQ_RENEWAL_DIGEST_BYTES + STOQ_PATCH_SIGNATURE_BYTES) /* of each */
#define STOQ_PATCH_BUSY 255 /* in an answer: of this one nothing was taken now */

/* Frame types. Which of them a responder serves its Hello tells; others are answered with
 * Error{Unsupported}. */
enum stoq_message_type {
    STOQ_MSG_HELLO = 1,
    STOQ_MSG_PING = 2,
    STOQ_MSG_ERROR = 3,
    STOQ_MSG_RESPONSE = 4,
    STOQ_MSG_PROOF = 5,
    STOQ_MSG_METADATA_QUERY = 6,
    STOQ_MSG_CHUNK_REQUEST = 7,
    STOQ_MSG_HAVE = 8,
    STOQ_MSG_CANCEL = 9,
    STOQ_MSG_ANNOUNCE = 10,
    STOQ_MSG_REQUEST = 11,
    STOQ_MSG_PACKAGE_DOWNLOAD = 12,
    STOQ_MSG_PEER_EXCHANGE = 13,
    STOQ_MSG_OFFER = 14,
    STOQ_MSG_RECEIPT = 15,
    STOQ_MSG_FIND_NODE = 16,
    STOQ_MSG_FIND_VALUE = 17,
    STOQ_MSG_STORE = 18,
    STOQ_MSG_RENEW = 19,
    STOQ_MSG_PATCH = 20,
};

/* What a Response's payload is, and what a MetadataQuery asks for. */
enum stoq_meta_kind {
    STOQ_META_MANIFEST = 1,
    STOQ_META_SHARD_LIST = 2,
    STOQ_META_CHUNK_LISTS = 3, /* of shards first .. first + count - 1, one after the other */
    STOQ_META_SIGNATURES = 4,  /* per envelope: u32le length, envelope; at most 16 */
    STOQ_META_HAVE_SHARDS = 5, /* one bit per shard, lowest bit first: all its chunks are here */
    STOQ_META_HAVE_CHUNKS = 6, /* one bit per chunk of these shards, without gaps between them */
    STOQ_META_OPENING = 7,     /* manifest, signatures and short lists together: wire/opening.h */
    STOQ_META_POINTER = 8,     /* a sealed release pointer; the id is its lookup key */
    /* In a Response only: */
    STOQ_META_CHUNKS = 16,     /* the items that answer a ChunkRequest */
    STOQ_META_ALL_CHUNKS = 17, /* the items that answer a Request */
    STOQ_META_PACKAGE = 18,    /* metadata, then items: what answers a PackageDownload */
    STOQ_META_ACCEPTED = 19,   /* nothing: what was sent is taken in */
};

enum stoq_error_code {
    STOQ_ERR_CONTENT_NOT_FOUND = 1,
    STOQ_ERR_CHUNK_NOT_FOUND = 2,
    STOQ_ERR_INVALID_CHUNK_INDEX = 3,
    STOQ_ERR_INTEGRITY_CHECK_FAILED = 4,
    STOQ_ERR_INSUFFICIENT_REPLICAS = 5,
    STOQ_ERR_MALFORMED = 6,
    STOQ_ERR_UNSUPPORTED = 7,
    STOQ_ERR_BUSY = 8,
    STOQ_ERR_REFUSED = 9,
    STOQ_ERR_TOO_LARGE = 10,
    STOQ_ERR_INTERNAL = 11,
    STOQ_ERR_STALE = 12,
    STOQ_ERR_SIGNATURE_REJECTED = 13,
    STOQ_ERR_QUOTA_REACHED = 14,
    STOQ_ERR_DISK_FULL = 15,
};

/* Application error codes of connections and streams (docs/PROTOCOL.md section 1). */
enum stoq_app_code {
    STOQ_APP_NONE = 0,
    STOQ_APP_CANCELLED = 1,
    STOQ_APP_VIOLATION = 2,
    STOQ_APP_OVERLOADED = 3,
    STOQ_APP_GOING_AWAY = 4,
    STOQ_APP_INTERNAL = 5,
};

/* "ContentNotFound", ...; "UnknownError" for any other value. Static. */
const char *stoq_error_code_name(uint64_t code);
/* The status a requester reports for such an answer; STOQ_NET for codes we do not know. */
enum stoq_status stoq_error_code_status(uint64_t code);
/* May a message of this type be a request? Error, Response and Proof are answers only. */
bool stoq_message_is_request(uint64_t type);
/* "Hello", ...; "Unknown" for any other value. Static. */
const char *stoq_message_name(uint64_t type);

enum stoq_hello_features {
    STOQ_FEATURE_PROOFS = 1 << 0,    /* serves proofs with chunks */
    STOQ_FEATURE_ZSTD = 1 << 1,      /* takes items of encoding zstd */
    STOQ_FEATURE_HAVE = 1 << 2,      /* answers the two HAVE kinds */
    STOQ_FEATURE_WHOLE = 1 << 3,     /* serves Request and PackageDownload */
    STOQ_FEATURE_PEERS = 1 << 4,     /* takes Announce and Have */
    STOQ_FEATURE_DHT = 1 << 5,       /* answers FindNode, FindValue, Store */
    STOQ_FEATURE_OFFERS = 1 << 6,    /* takes Offer and Receipt */
    STOQ_FEATURE_PRIORITY = 1 << 7,  /* knows a ChunkRequest's priority and a Response's cap */
    STOQ_FEATURE_OPENING = 1 << 8,   /* answers STOQ_META_OPENING */
    STOQ_FEATURE_NAMES = 1 << 9,     /* answers STOQ_META_POINTER */
    STOQ_FEATURE_EXCHANGE = 1 << 10, /* answers PeerExchange */
    STOQ_FEATURE_RENEW = 1 << 11,    /* answers Renew */
    STOQ_FEATURE_PATCH = 1 << 12,    /* answers Patch */
};

/* First request of a dialler; the reply is the other side's. */
struct stoq_msg_hello {
    uint32_t version_count;                     /* 1 .. STOQ_HELLO_VERSIONS_MAX */
    uint32_t versions[STOQ_HELLO_VERSIONS_MAX]; /* strictly increasing */
    uint64_t features;                          /* unknown bits are ignored */
    struct stoq_span agent;                     /* 1 .. 64 bytes, "stoq/0.1.0" */
    uint32_t ranges_max;                        /* 1 .. STOQ_REQUEST_RANGES_MAX */
    uint32_t chunks_max;                        /* 1 .. STOQ_REQUEST_CHUNKS_MAX */
    uint32_t frame_bytes_max;                   /* 4096 .. STOQ_FRAME_BYTES_MAX */
    /* The key that datagrams to it are sealed with, and its signature over it: both or neither. */
    struct stoq_span rpc_key;
    struct stoq_span rpc_proof;
};

struct stoq_msg_error {
    uint64_t code;         /* enum stoq_error_code, or one of a later version */
    struct stoq_span text; /* 0 .. 256 bytes; for people, never parsed */
};

struct stoq_msg_response {
    enum stoq_meta_kind kind;
    uint64_t payload_bytes; /* metadata kinds, STOQ_META_PACKAGE: 0 .. STOQ_META_BYTES_MAX */
    uint32_t items; /* STOQ_META_CHUNKS: as many as chunks were asked for; _ALL_CHUNKS, _PACKAGE */
    /* With items, to peers of STOQ_FEATURE_PRIORITY: what the responder's caps let it send this way a
     * second, at most STOQ_RESPONSE_CAP_MAX; 0: nothing caps it. */
    uint64_t cap_bytes_per_s;
};

/* The body is docs/FORMATS.md section 6 itself, not looked into here (merkle/proof.h does). */
struct stoq_msg_proof {
    struct stoq_span proof;
};

struct stoq_msg_metadata_query {
    struct stoq_package_id id;
    enum stoq_meta_kind kind; /* 1 .. 7 */
    struct stoq_range shards; /* kinds with shards: count 1 .. their limit; others: zero */
};

struct stoq_msg_chunk_request {
    struct stoq_package_id id;
    /* Increasing, neither overlapping nor touching, each count >= 1, at most STOQ_REQUEST_CHUNKS_MAX in
     * all; items come in this order. */
    const struct stoq_range *ranges;
    uint32_t range_count; /* 1 .. STOQ_REQUEST_RANGES_MAX */
    uint32_t chunk_count; /* sum of the counts; filled by decode */
    bool want_proofs;
    enum stoq_priority priority; /* other than normal: to peers of STOQ_FEATURE_PRIORITY */
};

/* What the sender holds of a package; chunk_count 0: all of it. */
struct stoq_msg_have {
    struct stoq_package_id id;
    uint64_t first_chunk;
    uint32_t chunk_count;  /* up to STOQ_HAVE_CHUNKS_MAX */
    struct stoq_span bits; /* one per chunk, lowest bit first, the last byte padded with zeros */
};

struct stoq_msg_cancel {
    uint64_t request_id; /* of the same connection and the same requester */
};

/* The sender provides a package. */
struct stoq_msg_announce {
    struct stoq_package_id id;
    struct stoq_span name;    /* as the manifest has them, so that people know what it is */
    struct stoq_span version; /* 1 .. STOQ_ANNOUNCE_TEXT_MAX */
    uint64_t bytes;
    struct stoq_signed record; /* a location record */
};

/* Chunks by hash, or (no hashes) all but those held. */
struct stoq_msg_request {
    struct stoq_package_id id;
    struct stoq_span hashes;       /* 32 bytes each, up to STOQ_REQUEST_HASHES_MAX */
    const struct stoq_range *held; /* as in a ChunkRequest; none with hashes */
    uint32_t held_count;
    bool want_proofs;
};

/* Metadata and all chunks but those held. */
struct stoq_msg_package_download {
    struct stoq_package_id id;
    const struct stoq_range *held;
    uint32_t held_count;
    bool want_proofs;
};

/* Request and answer. */
struct stoq_msg_peer_exchange {
    uint32_t want;                 /* 0 .. STOQ_EXCHANGE_PEERS_MAX */
    struct stoq_signed_list peers; /* contact records, up to STOQ_EXCHANGE_PEERS_MAX */
};

/* Please keep this; pull it from me or from these. */
struct stoq_msg_offer {
    struct stoq_package_id id;
    uint64_t first_shard;
    uint64_t shard_count; /* 0: the whole package */
    uint64_t bytes;
    uint64_t keep_until_s; /* since 1970; 0: as you like */
    uint8_t nonce[STOQ_RECEIPT_NONCE_BYTES];
    struct stoq_signed_list sources; /* contact records, up to STOQ_OFFER_SOURCES_MAX */
};

struct stoq_msg_receipt {
    struct stoq_signed receipt; /* struct stoq_receipt */
};

/* What the requests of both say besides, and their answers. */
struct stoq_find_page {
    struct stoq_signed
        asker;     /* request: its contact record, body.n 0: none, it is no part of the DHT */
    uint32_t skip; /* request: so many were had before; up to STOQ_FIND_SKIP_MAX */
    bool more;     /* answer: there was no room for all */
};

/* Request: target and want. Answer: near. */
struct stoq_msg_find_node {
    bool is_answer;
    struct stoq_hash target;
    uint32_t want; /* 1 .. STOQ_FIND_NEAR_MAX */
    struct stoq_signed_list near;
    struct stoq_find_page page;
};

/* Request: key and want. Answer: values (location records of this key) and near. */
struct stoq_msg_find_value {
    bool is_answer;
    struct stoq_hash key;
    uint32_t want; /* 1 .. STOQ_FIND_VALUES_MAX */
    struct stoq_signed_list values;
    struct stoq_signed_list near;
    struct stoq_find_page page;
};

/* Request: location records, the first and then more. Answer: for how long it is kept, or they are. */
struct stoq_msg_store {
    bool is_answer;
    struct stoq_signed record;
    struct stoq_signed_list more;            /* up to STOQ_STORE_RECORDS_MAX - 1 */
    uint32_t ttl_s;                          /* of one alone: 1 .. STOQ_CONTACT_TTL_MAX */
    uint32_t kept_count;                     /* of several: as many as the request has, else 0 */
    uint32_t kept_s[STOQ_STORE_RECORDS_MAX]; /* likewise; 0: it is not taken */
};

/* Request: a renewal. Answer: what becomes of each that it names. */
struct stoq_msg_renew {
    bool is_answer;
    struct stoq_signed renewal; /* struct stoq_renewal */
    /* A byte each, 1 .. STOQ_RENEWAL_MAX of them: for how many times 360 s after the renewal was issued it is
     * kept; 0: it is not here. */
    struct stoq_span kept;
};

/* Request: location records that the holder has are signed anew, with another sequence and time and no other
 * change. Answer: what becomes of each. */
struct stoq_msg_patch {
    bool is_answer;
    struct stoq_peer_id provider; /* whose they are */
    uint64_t sequence;            /* of all of them from now on ... */
    uint64_t issued_at_s;         /* ... and likewise, since 1970 */
    /* 1 .. STOQ_PATCH_MAX of STOQ_PATCH_BYTES: the first 8 of H(record) as it is there, and the signature. */
    struct stoq_span patches;
    /* As many bytes: for how many times 360 s from now on it is kept; 0: it is wanted whole;
     * STOQ_PATCH_BUSY. */
    struct stoq_span kept;
};

struct stoq_message {
    uint64_t type;       /* enum stoq_message_type, or one of a later version */
    uint64_t request_id; /* the requester's choice; the reply repeats it */
    union {
        struct stoq_msg_hello hello;
        struct stoq_msg_error error;
        struct stoq_msg_response response;
        struct stoq_msg_proof proof;
        struct stoq_msg_metadata_query metadata_query;
        struct stoq_msg_chunk_request chunk_request;
        struct stoq_msg_have have;
        struct stoq_msg_cancel cancel;
        struct stoq_msg_announce announce;
        struct stoq_msg_request request;
        struct stoq_msg_package_download package_download;
        struct stoq_msg_peer_exchange peer_exchange;
        struct stoq_msg_offer offer;
        struct stoq_msg_receipt receipt;
        struct stoq_msg_find_node find_node;
        struct stoq_msg_find_value find_value;
        struct stoq_msg_store store;
        struct stoq_msg_renew renew;
        struct stoq_msg_patch patch;
    } u; /* STOQ_MSG_PING has no body */
};

/*
 * Append a whole frame, length included.
 *
 * STOQ_OK
 * STOQ_RANGE  a field is outside the limits above, or the type has no body here
 * STOQ_FULL, STOQ_NOMEM  out cannot grow, or the frame would pass STOQ_FRAME_BYTES_MAX
 * On failure out is unchanged.
 */
STOQ_WARN_UNUSED enum stoq_status stoq_message_encode(const struct stoq_message *m,
                                                      struct stoq_buf *out);

/*
 * Read a frame's CBOR.
 *
 * cbor    without the length; borrowed, also by the spans in *out
 * ranges  where ranges are put; out borrows it. STOQ_REQUEST_RANGES_MAX of them
 *
 * STOQ_OK
 * STOQ_VERSION    well-formed, of an unknown type, or a MetadataQuery of an unknown kind: type and
 *                 request_id are filled in, the answer is Error{Unsupported}
 * STOQ_MALFORMED  anything else; request_id is filled in where it could be read, else 0
 * No allocation.
 */
STOQ_WARN_UNUSED enum stoq_status stoq_message_decode(
    struct stoq_span cbor, struct stoq_range ranges[STOQ_REQUEST_RANGES_MAX],
    struct stoq_message *out);

#endif
