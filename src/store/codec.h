#ifndef STOQ_STORE_CODEC_H
#define STOQ_STORE_CODEC_H
/* The stored form: raw bytes, or one zstd frame where that pays. Contexts are pooled. Any thread.
 * */
#include "store/store.h"

struct stoq_codec;

/* level as of struct stoq_store_config. STOQ_OK or STOQ_NOMEM. */
STOQ_WARN_UNUSED enum stoq_status stoq_codec_new(struct stoq_codec **out, int level);
void stoq_codec_free(struct stoq_codec *codec); /* NULL is fine */

/* A payload in its stored form. Bytes are borrowed from the payload or from slot; give the slot
 * back with stoq_codec_put_back when they are no longer needed (NULL is fine). */
struct stoq_coded {
    struct stoq_stored info;
    struct stoq_span stored;
    struct stoq_codec_slot *slot;
};

/* Choose the stored form. STOQ_OK or STOQ_NOMEM. */
STOQ_WARN_UNUSED enum stoq_status stoq_codec_encode(struct stoq_codec *codec,
                                                    struct stoq_span payload,
                                                    struct stoq_coded *out);
/* Calls of the compressor so far, those on a payload's first bytes included. */
uint64_t stoq_codec_compressions(const struct stoq_codec *codec);
void stoq_codec_put_back(struct stoq_codec *codec, struct stoq_codec_slot *slot);

/* As stoq_store_decode, with a pooled context; codec NULL: a fresh one. Stored forms that are raw
 * are copied. */
STOQ_WARN_UNUSED enum stoq_status stoq_codec_decode(struct stoq_codec *codec,
                                                    struct stoq_stored info,
                                                    struct stoq_span stored, uint32_t raw_max,
                                                    struct stoq_buf *out);

/* The same in place: buf holds the frame, then the payload. */
STOQ_WARN_UNUSED enum stoq_status stoq_codec_unpack(struct stoq_codec *codec,
                                                    struct stoq_stored info, struct stoq_buf *buf);

/* Does a chunk's stored form unpack to bytes with this BLAKE3? STOQ_OK, STOQ_PROOF, STOQ_MALFORMED,
 * STOQ_NOMEM. A raw form is hashed where it lies. */
STOQ_WARN_UNUSED enum stoq_status stoq_codec_check(struct stoq_codec *codec, struct stoq_span key,
                                                   struct stoq_stored info,
                                                   struct stoq_span stored);

#endif
