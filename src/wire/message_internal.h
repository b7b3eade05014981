#ifndef STOQ_WIRE_MESSAGE_INTERNAL_H
#define STOQ_WIRE_MESSAGE_INTERNAL_H
/*
 * What the parts of the message codec share: message_encode.c and message_decode.c with the messages of a
 * fetch, message_bulk.c with those of whole packages and their placement, message_peer.c with those about
 * peers. put_ functions return false when a field is outside its limits; get_ functions make the reader bad.
 */
#include "wire/cbor.h"
#include "wire/message.h"

/* Chunk and shard indices stay under this: docs/FORMATS.md section 7 bounds a package's bytes. */
#define STOQ_MESSAGE_INDEX_MAX ((uint64_t)1 << 48)
#define STOQ_HELLO_FRAME_MIN 4096

/* How many shards a query of this kind may name; 0: it names none. */
uint32_t stoq_meta_shards_max(enum stoq_meta_kind kind);
/* Is it a kind of metadata, as opposed to items or no kind at all? */
bool stoq_meta_is_metadata(uint64_t kind);

/* The keys of a Response beside its kind, a bit each, and whether its lengths fit the kind. */
uint32_t message_response_keys(uint64_t kind);
bool message_response_fits(const struct stoq_msg_response *m);

/* Which keys of a body were there: the reader makes each key come once, this makes each needed one
 * come. */
struct message_fields {
    uint32_t seen; /* bit per key */
};

bool message_next_field(struct stoq_cbor_rd *r, struct message_fields *f, uint64_t *key);
void message_need_fields(struct stoq_cbor_rd *r, const struct message_fields *f, uint32_t mask);

/* Ranges as pairs: chunks left out since the last range, chunks in this one. */
struct message_ranges {
    const struct stoq_range *v;
    uint32_t count;
    uint64_t chunks; /* of all; get fills it */
};
bool message_put_ranges(struct stoq_cbor_wr *w, const struct message_ranges *ranges,
                        uint64_t chunks_max);
void message_get_ranges(struct stoq_cbor_rd *r, struct stoq_range *memory, uint64_t chunks_max,
                        struct message_ranges *out);

void message_get_nonce(struct stoq_cbor_rd *r, uint8_t out[STOQ_RECEIPT_NONCE_BYTES]);
/* Presence is the meaning: only true is ever written. */
void message_get_true(struct stoq_cbor_rd *r, bool *out);

/* Signed objects, signed.c; a body is looked into by the two below. */
bool message_put_signed(struct stoq_cbor_wr *w, const struct stoq_signed *s);
void message_get_signed(struct stoq_cbor_rd *r, struct stoq_signed *s);

/* A record, with or without a key. */
bool message_put_contact(struct stoq_cbor_wr *w, const struct stoq_signed *s, bool with_key);
void message_get_contact(struct stoq_cbor_rd *r, struct stoq_signed *s, bool with_key);
/* An array of at most max such records. */
bool message_put_contacts(struct stoq_cbor_wr *w, const struct stoq_signed_list *list,
                          bool with_key, uint32_t max);
void message_get_contacts(struct stoq_cbor_rd *r, struct stoq_signed_list *list, bool with_key,
                          uint32_t max);

/* message_bulk.c, message_peer.c: bodies by type. put gives false for other types too; get gives false for
 * other types, having read nothing. */
bool message_put_bulk(struct stoq_cbor_wr *w, const struct stoq_message *m);
bool message_get_bulk(struct stoq_cbor_rd *r, struct stoq_range *memory, struct stoq_message *m);
bool message_put_peer(struct stoq_cbor_wr *w, const struct stoq_message *m);
bool message_get_peer(struct stoq_cbor_rd *r, struct stoq_message *m);

#endif
