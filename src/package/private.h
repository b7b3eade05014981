#ifndef STOQ_PACKAGE_PRIVATE_H
#define STOQ_PACKAGE_PRIVATE_H
/*
 * The secret of private packages (profiles 1k and 2k, docs/FORMATS.md section 4.3): where their content
 * is cut depends on it, so that lengths of chunks tell nobody else what the content is.
 */
#include "chunk/fastcdc.h"

/* Secret: the caller wipes it (stoq_key_wipe), and a gear made of it. */
struct stoq_private_key {
    uint8_t b[32];
};

/* The numbers that a key stands for. */
void stoq_private_gear(struct stoq_gear *out, const struct stoq_private_key *key);

/* What may be shown of a key, to see whether two are the same: 16 hexadecimal digits. */
#define STOQ_PRIVATE_MARK_CAP 17
void stoq_private_mark(char out[STOQ_PRIVATE_MARK_CAP], const struct stoq_private_key *key);

/* The text of a key file, with a NUL behind it. */
#define STOQ_PRIVATE_TEXT_CAP 88
void stoq_private_put(char out[STOQ_PRIVATE_TEXT_CAP], const struct stoq_private_key *key);
/* STOQ_OK; STOQ_VERSION: of a newer form; STOQ_MALFORMED: no such text. */
STOQ_WARN_UNUSED enum stoq_status stoq_private_get(struct stoq_private_key *out,
                                                   struct stoq_span text);

#endif
