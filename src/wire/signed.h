#ifndef STOQ_WIRE_SIGNED_H
#define STOQ_WIRE_SIGNED_H
/*
 * The signed objects that peers pass on (docs/PROTOCOL.md section 14): contact and location records, what
 * renews those, and receipts. Here they are bytes and fields; whether a signature holds is for whoever
 * uses them.
 */
#include "base/bytes.h"

#define STOQ_SIGNED_BODY_MAX 4096
#define STOQ_SIGNED_SIGNATURE_MAX 4800 /* Ed25519: 64; with ML-DSA-87 beside it: 4691 */
#define STOQ_CONTACT_SPKI_MAX 2800     /* Ed25519: 44; with ML-DSA-87 beside it: some 2700 */
#define STOQ_CONTACT_ADDRESSES_MAX 8
#define STOQ_CONTACT_ADDRESS_BYTES 18 /* 16 of IPv6 or mapped IPv4, then u16le port */
#define STOQ_CONTACT_TTL_MAX 86400    /* seconds */
#define STOQ_CONTACT_VALUE_MAX 496    /* so that a record fits a datagram: a sealed pointer */
#define STOQ_RECEIPT_NONCE_BYTES 16
#define STOQ_RENEWAL_MAX 112 /* records in a renewal, so that it fits a datagram */
#define STOQ_RENEWAL_DIGEST_BYTES 8

/* What somebody signed, and the signature: a CBOR array of two byte strings. */
struct stoq_signed {
    struct stoq_span body;
    struct stoq_span signature;
};

/* Several of them, encoded one after the other. */
struct stoq_signed_list {
    uint32_t count;
    struct stoq_span items;
};

/* Who a peer is and where it can be reached; with a key, that it provides what the key stands for. */
struct stoq_contact {
    struct stoq_span spki; /* DER SubjectPublicKeyInfo: peer id and signature are of this key */
    struct stoq_span addresses; /* 0 .. 8 of 18 bytes; none takes the record back */
    uint64_t sequence;          /* of one signer (and key) the highest counts */
    uint64_t issued_at_s;       /* since 1970 */
    uint32_t ttl_s;             /* 1 .. STOQ_CONTACT_TTL_MAX */
    bool has_rpc_key;
    struct stoq_hash rpc_key; /* X25519, for datagrams */
    bool has_nonce;
    uint64_t nonce; /* of its node id */
    bool has_key;
    struct stoq_hash key; /* what it provides, as the DHT looks it up; contacts have none */
    struct stoq_span
        value; /* said under that key, 1 .. STOQ_CONTACT_VALUE_MAX bytes; n = 0: nothing */
};

/* Append a record's body. STOQ_OK; STOQ_RANGE: a field is outside its limits; STOQ_FULL, STOQ_NOMEM. On
 * failure out is unchanged. */
STOQ_WARN_UNUSED enum stoq_status stoq_contact_encode(const struct stoq_contact *rec,
                                                      struct stoq_buf *out);
/* Read one. STOQ_OK: spans are borrowed from body; STOQ_MALFORMED. No allocation. */
STOQ_WARN_UNUSED enum stoq_status stoq_contact_decode(struct stoq_span body,
                                                      struct stoq_contact *out);

/* That location records of its signer's, which the holder has, are as good as before. */
struct stoq_renewal {
    struct stoq_span spki;      /* the provider's */
    struct stoq_peer_id holder; /* nobody else keeps anything on by it */
    uint64_t issued_at_s;       /* since 1970 */
    struct stoq_span digests;   /* 1 .. STOQ_RENEWAL_MAX of 8 bytes: the first of H(record) */
};

/* As stoq_contact_encode and stoq_contact_decode. */
STOQ_WARN_UNUSED enum stoq_status stoq_renewal_encode(const struct stoq_renewal *rec,
                                                      struct stoq_buf *out);
STOQ_WARN_UNUSED enum stoq_status stoq_renewal_decode(struct stoq_span body,
                                                      struct stoq_renewal *out);

/* That a peer holds shards of a package, verified. */
struct stoq_receipt {
    struct stoq_package_id id;
    struct stoq_span spki; /* the holder's */
    uint64_t first_shard;
    uint64_t shard_count; /* 0: the whole package */
    uint64_t bytes;       /* of their chunks, as they are in the package */
    uint64_t verified_at_s;
    uint64_t keep_until_s;                   /* 0: no promise */
    uint8_t nonce[STOQ_RECEIPT_NONCE_BYTES]; /* the offer's */
};

/* As stoq_contact_encode and stoq_contact_decode. */
STOQ_WARN_UNUSED enum stoq_status stoq_receipt_encode(const struct stoq_receipt *rec,
                                                      struct stoq_buf *out);
STOQ_WARN_UNUSED enum stoq_status stoq_receipt_decode(struct stoq_span body,
                                                      struct stoq_receipt *out);

/* Append [body, signature] to the items of a list. STOQ_RANGE: too long or empty; STOQ_FULL,
 * STOQ_NOMEM. */
STOQ_WARN_UNUSED enum stoq_status stoq_signed_put(const struct stoq_signed *s,
                                                  struct stoq_buf *items);
/* The next of a list's items, which is moved past it; false at the end, or where they are damaged. */
bool stoq_signed_next(struct stoq_span *items, struct stoq_signed *out);

#endif
