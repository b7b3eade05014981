#ifndef STOQ_DAEMON_HAVE_H
#define STOQ_DAEMON_HAVE_H
/*
 * What a receiver has already, so that a bundle can leave it out (docs/FORMATS.md section 11): from a
 * have-list file, from packages this store knows, or of this store as a whole, to be written to a file.
 */
#include "merkle/merkle.h"
#include "store/store.h"

/* 16 bytes per chunk and 32 per shard are held: 2^26 chunks, some 4 TiB. */
#define STOQ_HAVE_BYTES_MAX ((size_t)1 << 30)

struct stoq_have;

STOQ_WARN_UNUSED enum stoq_status stoq_have_new(struct stoq_have **out, struct stoq_error *err);
void stoq_have_free(struct stoq_have *have); /* NULL is fine */

/* Add what a have-list says. STOQ_OK; STOQ_MALFORMED: not one, STOQ_TRUNC: cut, STOQ_PROOF: damaged,
 * STOQ_VERSION: a newer one; STOQ_FULL, STOQ_NOMEM. */
STOQ_WARN_UNUSED enum stoq_status stoq_have_parse(struct stoq_have *have, struct stoq_span list,
                                                  struct stoq_error *err);
/* The same of a file. Also STOQ_NOTFOUND, STOQ_IO. */
STOQ_WARN_UNUSED enum stoq_status stoq_have_read(struct stoq_have *have, const char *path,
                                                 struct stoq_error *err);

/* Add all shards and chunks of a package whose lists are in the store. STOQ_OK; what stoq_held_open
 * and stoq_held_chunk_list give. */
STOQ_WARN_UNUSED enum stoq_status stoq_have_add_package(struct stoq_have *have,
                                                        struct stoq_store *store,
                                                        const struct stoq_package_id *id,
                                                        struct stoq_error *err);

/* Add every chunk of the store, and every shard of which all chunks are there. STOQ_CANCELLED; what
 * stoq_store_each gives. */
STOQ_WARN_UNUSED enum stoq_status stoq_have_add_store(struct stoq_have *have,
                                                      struct stoq_store *store,
                                                      bool (*cancelled)(void *user), void *user,
                                                      struct stoq_error *err);

/* Call once after the last addition, before what follows. */
void stoq_have_seal(struct stoq_have *have);

bool stoq_have_shard(const struct stoq_have *have, const struct stoq_hash *root);
bool stoq_have_chunk(const struct stoq_have *have, const struct stoq_hash *hash);
/* The i-th shard's root, ascending; i must be less than the count (asserted). */
struct stoq_hash stoq_have_shard_at(const struct stoq_have *have, size_t i);
size_t stoq_have_shard_count(const struct stoq_have *have);
size_t stoq_have_chunk_count(const struct stoq_have *have);

/* Write the have-list: sink gets it in order. What sink returns ends it; STOQ_NOMEM. */
STOQ_WARN_UNUSED enum stoq_status stoq_have_write(const struct stoq_have *have,
                                                  enum stoq_status (*sink)(void *user,
                                                                           struct stoq_span bytes,
                                                                           struct stoq_error *err),
                                                  void *user, struct stoq_error *err);

#endif
