#ifndef STOQ_WIRE_MESSAGE_INTERNAL_H
#define STOQ_WIRE_MESSAGE_INTERNAL_H
/*
 * What the parts of the message codec share. message_codec.c reads and writes messages by the bodies
 * that the others describe: message_fetch.c those of a fetch, message_bulk.c those of whole packages and
 * their placement, message_peer.c those about peers.
 */
#include "wire/form.h"
#include "wire/message.h"

/* Chunk and shard indices stay under this: docs/FORMATS.md section 7 bounds a package's bytes. */
#define STOQ_MESSAGE_INDEX_MAX ((uint64_t)1 << 48)

/*
 * A body: its fields, and what they cannot say each for itself. Which keys a body has follows from its
 * fields; the reader asks the same function as the writer and refuses a body that the writer would not have
 * made.
 */
struct message_body {
    struct stoq_form form;
    uint32_t (*keys)(const void *body); /* NULL: stoq_form_keys */
    bool (*fits)(const void *body);     /* do the fields fit one another? NULL: always */
    bool (*known)(
        const void *body); /* is it of this version? NULL: always; looked at before these */
};

extern const struct message_body message_hello;
extern const struct message_body message_ping;
extern const struct message_body message_error;
extern const struct message_body message_response;
extern const struct message_body message_metadata_query;
extern const struct message_body message_chunk_request;
extern const struct message_body message_have;
extern const struct message_body message_cancel;
extern const struct message_body message_request;
extern const struct message_body message_package_download;
extern const struct message_body message_offer;
extern const struct message_body message_receipt;
extern const struct message_body message_announce;
extern const struct message_body message_peer_exchange;
extern const struct message_body message_find_node;
extern const struct message_body message_find_value;
extern const struct message_body message_store;
extern const struct message_body message_renew;
extern const struct message_body message_patch;

/* Is it a kind of metadata, as opposed to items or no kind at all? */
bool stoq_meta_is_metadata(uint64_t kind);
/* How many shards a query of this kind may name; 0: it names none. */
uint32_t stoq_meta_shards_max(enum stoq_meta_kind kind);

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

/* Signed objects, signed.c. */
bool message_put_signed(struct stoq_cbor_wr *w, const struct stoq_signed *s);
void message_get_signed(struct stoq_cbor_rd *r, struct stoq_signed *s);

/* Fields of a struct stoq_signed_list: up to f->max contact records. */
stoq_field_get_fn message_get_contacts;
stoq_field_put_fn message_put_contacts;

#endif
