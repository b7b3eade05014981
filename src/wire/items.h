#ifndef STOQ_WIRE_ITEMS_H
#define STOQ_WIRE_ITEMS_H
/*
 * The payload that answers a ChunkRequest (docs/PROTOCOL.md section 6): per chunk, in the order
 * asked, a 16-byte head, the proof where asked for, and the chunk's stored bytes.
 */
#include "base/bytes.h"

#define STOQ_ITEM_HEAD_BYTES 16
#define STOQ_ITEM_RAW_MAX 262144u    /* a chunk of a package */
#define STOQ_ITEM_STORED_SLACK 1024u /* a frame of zstd may be this much longer */
#define STOQ_ITEM_STORED_MAX (STOQ_ITEM_RAW_MAX + STOQ_ITEM_STORED_SLACK)
#define STOQ_ITEM_PROOF_MAX 32768u

enum stoq_item_encoding {
    STOQ_ITEM_RAW = 0,        /* stored_len = raw_len */
    STOQ_ITEM_ZSTD = 1,       /* one zstd frame that gives raw_len bytes */
    STOQ_ITEM_DAMAGED = 0xfe, /* the sender has it, damaged; all lengths 0 */
    STOQ_ITEM_MISSING = 0xff, /* the sender lacks this chunk; all lengths 0 */
};

struct stoq_item {
    enum stoq_item_encoding encoding;
    uint32_t stored_len;
    uint32_t raw_len; /* 1 .. STOQ_ITEM_RAW_MAX; a claim until checked against the chunk list */
    uint32_t proof_len;
};

/* Write a head. The lengths must fit the limits (asserted). */
void stoq_item_head_put(uint8_t out[STOQ_ITEM_HEAD_BYTES], const struct stoq_item *item);
/* STOQ_OK; STOQ_MALFORMED: outside the limits, or an encoding this version does not have. */
STOQ_WARN_UNUSED enum stoq_status stoq_item_head_get(const uint8_t in[STOQ_ITEM_HEAD_BYTES],
                                                     struct stoq_item *out);

/* The parser of an arriving payload. No allocation, nothing is copied but heads. */
struct stoq_items {
    uint32_t items;      /* announced by the Response */
    uint32_t index;      /* of the item being read, 0-based; items: all read */
    uint32_t proof_left; /* bytes to come of the current item */
    uint32_t data_left;
    uint32_t head_bytes; /* collected so far */
    bool failed;
    struct stoq_item item;
    uint8_t head[STOQ_ITEM_HEAD_BYTES];
};

enum stoq_items_what {
    STOQ_ITEMS_WAIT,  /* *in is used up, more is to come */
    STOQ_ITEMS_HEAD,  /* item `index` begins: out->item */
    STOQ_ITEMS_PROOF, /* out->bytes: the next piece of its proof */
    STOQ_ITEMS_DATA,  /* out->bytes: the next piece of its stored bytes */
    STOQ_ITEMS_END, /* all items are read; *in holds what follows (nothing, from an honest peer) */
};

struct stoq_items_out {
    enum stoq_items_what what;
    uint32_t index;
    struct stoq_item item;
    struct stoq_span bytes; /* borrowed from *in */
    bool last;              /* nothing more comes for this item */
};

void stoq_items_init(struct stoq_items *it, uint32_t items);

/*
 * Take the next thing from the front of *in, which is moved past it. Call until STOQ_ITEMS_WAIT or
 * STOQ_ITEMS_END. A head with lengths 0 (missing) has last set; else the piece that completes an item
 * has.
 *
 * STOQ_OK; STOQ_MALFORMED: a head breaks the limits; so from then on.
 */
STOQ_WARN_UNUSED enum stoq_status stoq_items_next(struct stoq_items *it, struct stoq_span *in,
                                                  struct stoq_items_out *out);

#endif
