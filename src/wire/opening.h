#ifndef STOQ_WIRE_OPENING_H
#define STOQ_WIRE_OPENING_H
/*
 * The payload of kind STOQ_META_OPENING (docs/PROTOCOL.md section 5): manifest and signatures, and of a
 * small package the lists, so that a fetch begins with one question instead of four.
 */
#include "base/bytes.h"

#define STOQ_OPENING_LIST_MAX 16384u /* a longer shard list is asked for by itself */
/* All chunk lists together, likewise. Somebody who has an older version may have them already, so they
 * cost no more than that they are worth a round trip. */
#define STOQ_OPENING_CHUNKS_MAX 4096u

struct stoq_opening {
    struct stoq_span manifest;
    struct stoq_span signatures; /* framed as in the payload of STOQ_META_SIGNATURES */
    struct stoq_span lists;      /* nothing; the shard list; it and the chunk lists of all shards */
};

/* Append it. STOQ_OK; STOQ_FULL, STOQ_NOMEM: out cannot grow, and is as it was. */
STOQ_WARN_UNUSED enum stoq_status stoq_opening_put(const struct stoq_opening *o,
                                                   struct stoq_buf *out);
/* Take a payload apart, borrowed; what is in its parts is not looked at. STOQ_OK; STOQ_MALFORMED: a part is
 * longer than what is left. */
STOQ_WARN_UNUSED enum stoq_status stoq_opening_get(struct stoq_span payload,
                                                   struct stoq_opening *out);

#endif
