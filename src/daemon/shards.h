#ifndef STOQ_DAEMON_SHARDS_H
#define STOQ_DAEMON_SHARDS_H
/*
 * Chunks of a stream in, in stream order; the Merkle root and the shard list out. The chunk list of every
 * shard that closes goes to the store. One thread at a time.
 */
#include "merkle/merkle.h"
#include "store/store.h"

struct stoq_shards;

/* store is kept. STOQ_NOMEM. */
STOQ_WARN_UNUSED enum stoq_status stoq_shards_new(struct stoq_shards **out,
                                                  struct stoq_store *store, struct stoq_error *err);
void stoq_shards_free(struct stoq_shards *s); /* NULL is fine */

/* The stream's next chunk; shards is a struct stoq_shards, so that this can be an ingest's sink. STOQ_OK;
 * STOQ_RANGE: the stream is longer than 2^48 bytes; what storing a list can meet. */
STOQ_WARN_UNUSED enum stoq_status stoq_shards_add(void *shards,
                                                  const struct stoq_merkle_chunk *chunk,
                                                  struct stoq_error *err);

/*
 * End the stream; every chunk list is then in the store (not yet synced). Only free may follow.
 *
 * root        its root
 * shard_list  borrowed until free
 */
STOQ_WARN_UNUSED enum stoq_status stoq_shards_finish(struct stoq_shards *s,
                                                     struct stoq_merkle_root *root,
                                                     struct stoq_span *shard_list,
                                                     struct stoq_error *err);

#endif
