#ifndef STOQ_WIRE_MESSAGE_INTERNAL_H
#define STOQ_WIRE_MESSAGE_INTERNAL_H
/* What the writing and the reading half of the message codec share. */
#include "wire/message.h"

/* Chunk and shard indices stay under this: docs/FORMATS.md section 7 bounds a package's bytes. */
#define STOQ_MESSAGE_INDEX_MAX ((uint64_t)1 << 48)
#define STOQ_HELLO_FRAME_MIN 4096

/* How many shards a query of this kind may name; 0: it names none. */
uint32_t stoq_meta_shards_max(enum stoq_meta_kind kind);
/* Is it a kind of metadata, as opposed to STOQ_META_CHUNKS or no kind at all? */
bool stoq_meta_is_metadata(uint64_t kind);

#endif
