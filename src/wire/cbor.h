#ifndef STOQ_WIRE_CBOR_H
#define STOQ_WIRE_CBOR_H
/*
 * Deterministic CBOR (docs/FORMATS.md section 1; RFC 8949 section 4.2.1), written and read
 * strictly.
 *
 * Written:
 *     struct stoq_cbor_wr w = stoq_cbor_wr(&buf);
 *     stoq_cbor_put_map(&w, 2);
 *     stoq_cbor_put_uint(&w, 1);
 *     stoq_cbor_put_text(&w, name);
 *     stoq_cbor_put_uint(&w, 7);
 *     stoq_cbor_put_hash(&w, &root);
 *     return stoq_cbor_wr_done(&w);
 *
 * Read:
 *     struct stoq_cbor_rd r = stoq_cbor_rd(span);
 *     uint64_t n = stoq_cbor_rd_array(&r);
 *     name = stoq_cbor_rd_text(&r, 1, 128);
 *     root = stoq_cbor_rd_hash(&r);
 *     stoq_cbor_rd_leave(&r);
 *     return n == 2 ? stoq_cbor_rd_done(&r) : STOQ_MALFORMED;
 *
 * A map with numbers as keys is better a table: wire/form.h.
 */
#include "base/bytes.h"

#define STOQ_CBOR_DEPTH_MAX 8 /* arrays and maps inside one another */

/*
 * A writer that appends to a buffer and stays bad once bad. The caller writes as many items as it
 * declared, and map keys in ascending order (that is asserted by nobody here: the strict reader is
 * the test of it).
 */
struct stoq_cbor_wr {
    struct stoq_buf *buf;
    enum stoq_status status;
};

static inline struct stoq_cbor_wr stoq_cbor_wr(struct stoq_buf *buf)
{
    return (struct stoq_cbor_wr){buf, STOQ_OK};
}
void stoq_cbor_put_uint(struct stoq_cbor_wr *w, uint64_t v);
void stoq_cbor_put_bool(struct stoq_cbor_wr *w, bool v);
void stoq_cbor_put_bytes(struct stoq_cbor_wr *w, struct stoq_span s);
void stoq_cbor_put_hash(struct stoq_cbor_wr *w, const struct stoq_hash *h); /* a 32-byte string */
/* Text that is not UTF-8 makes the writer bad with STOQ_MALFORMED. */
void stoq_cbor_put_text(struct stoq_cbor_wr *w, struct stoq_span s);
void stoq_cbor_put_array(struct stoq_cbor_wr *w, uint64_t item_count);
void stoq_cbor_put_map(struct stoq_cbor_wr *w, uint64_t pair_count);
/* An item that is encoded already. */
void stoq_cbor_put_raw(struct stoq_cbor_wr *w, struct stoq_span item);

/* STOQ_OK; STOQ_FULL or STOQ_NOMEM from the buffer; STOQ_MALFORMED for text that is not UTF-8.
 * After a failure the buffer holds what was written before it. */
STOQ_WARN_UNUSED enum stoq_status stoq_cbor_wr_done(const struct stoq_cbor_wr *w);

enum stoq_cbor_type {
    STOQ_CBOR_END = 0, /* nothing left in this container (or in the input), or the reader is bad */
    STOQ_CBOR_UINT,
    STOQ_CBOR_BYTES,
    STOQ_CBOR_TEXT,
    STOQ_CBOR_ARRAY,
    STOQ_CBOR_MAP,
    STOQ_CBOR_BOOL,
};

/* One open container: items left in it (a pair counts two), and the last key's encoding. */
struct stoq_cbor_frame {
    uint64_t left;
    struct stoq_span key;
    bool is_map;
};

/*
 * A pull reader over borrowed bytes: a CBOR sequence, of which one item is the usual case. It stays
 * bad once bad: every read then gives zero, false or an empty span. Spans it returns point into the
 * input. Anything that is not deterministic CBOR within our limits is refused while reading: longer
 * forms than needed, indefinite lengths, tags, floats, null, negative integers, text that is not
 * UTF-8, map keys that repeat or do not ascend, containers as keys, nesting past
 * STOQ_CBOR_DEPTH_MAX. Neither time nor memory depends on a declared length: a count beyond the
 * bytes left fails at once.
 */
struct stoq_cbor_rd {
    const uint8_t *p;
    size_t n;                /* bytes left */
    size_t more;             /* bytes that may still arrive after these; see stoq_cbor_item */
    enum stoq_status status; /* STOQ_TRUNC: the input ends inside an item; MALFORMED; FULL */
    unsigned depth;
    struct stoq_cbor_frame frame[STOQ_CBOR_DEPTH_MAX + 1]; /* frame[0]: the top level, endless */
};

/* A reader over all of in; input that ends early gives STOQ_TRUNC. */
struct stoq_cbor_rd stoq_cbor_rd(struct stoq_span in);

/* The type of the next item. STOQ_CBOR_END where none is left; an unusable first byte makes
 * the reader bad. */
enum stoq_cbor_type stoq_cbor_rd_peek(struct stoq_cbor_rd *r);
/* True while the open container (at the top level: the input) has another item. */
bool stoq_cbor_rd_more(const struct stoq_cbor_rd *r);

uint64_t stoq_cbor_rd_uint(struct stoq_cbor_rd *r);
/* A value outside min .. max is STOQ_MALFORMED and reads as min. */
uint64_t stoq_cbor_rd_uint_in(struct stoq_cbor_rd *r, uint64_t min, uint64_t max);
bool stoq_cbor_rd_bool(struct stoq_cbor_rd *r);
/* A length outside n_min .. n_max is STOQ_MALFORMED. */
struct stoq_span stoq_cbor_rd_bytes(struct stoq_cbor_rd *r, size_t n_min, size_t n_max);
struct stoq_span stoq_cbor_rd_text(struct stoq_cbor_rd *r, size_t n_min, size_t n_max);
/* A byte string of exactly 32 bytes. */
struct stoq_hash stoq_cbor_rd_hash(struct stoq_cbor_rd *r);

/* Open a container and return its items or pairs. Every open needs its leave. */
uint64_t stoq_cbor_rd_array(struct stoq_cbor_rd *r);
uint64_t stoq_cbor_rd_map(struct stoq_cbor_rd *r);
/* The next key of the open map; false when there is none left or the reader is bad. */
bool stoq_cbor_rd_key(struct stoq_cbor_rd *r, uint64_t *out);
bool stoq_cbor_rd_key_text(struct stoq_cbor_rd *r, struct stoq_span *out);
/* Close the container: items left unread are STOQ_MALFORMED. */
void stoq_cbor_rd_leave(struct stoq_cbor_rd *r);

/* Read over the next item, whatever it is, with all checks; its encoded bytes. */
struct stoq_span stoq_cbor_rd_any(struct stoq_cbor_rd *r);

/* Make the reader bad (the first reason stays). For checks of the caller's own. */
void stoq_cbor_rd_fail(struct stoq_cbor_rd *r, enum stoq_status status);

/* The end of the input: STOQ_OK when all was well, every container is closed and nothing follows;
 * bytes that follow are STOQ_MALFORMED. */
STOQ_WARN_UNUSED enum stoq_status stoq_cbor_rd_done(const struct stoq_cbor_rd *r);

/*
 * Find the first item in a stream that is still arriving.
 *
 * in      what is here so far; borrowed
 * n_max   the most bytes an item may have
 * out_n   its length, when it is complete
 *
 * STOQ_OK         a whole, well-formed item of *out_n bytes is at the start
 * STOQ_TRUNC      fine so far, more bytes are needed
 * STOQ_FULL       it is longer than n_max bytes, or says it will be
 * STOQ_MALFORMED  no continuation can be well-formed
 * Cost: one pass over the item, no allocation.
 */
STOQ_WARN_UNUSED enum stoq_status stoq_cbor_item(struct stoq_span in, size_t n_max, size_t *out_n);

#endif
