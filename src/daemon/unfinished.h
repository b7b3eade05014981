#ifndef STOQ_DAEMON_UNFINISHED_H
#define STOQ_DAEMON_UNFINISHED_H
/*
 * The sources that were named for a fetch, for as long as it is unfinished: whoever asks for the package
 * again, after a crash or another day, need not name them again. A record of type transfer in the store
 * (docs/FORMATS.md section 9), durable from the moment that bytes have come. A collection takes it like
 * everything else that an unfinished fetch has left.
 */
#include "daemon/engine.h"
#include "store/store.h"

/* Keep them, in place of others, and sync. Where it fails the fetch does not: they are named again, then. */
void stoq_unfinished_note(struct stoq_store *store, const struct stoq_package_id *id,
                          const struct stoq_fetch_source *sources, size_t count);

/* Add those that were kept behind the count in out, each peer once; the new count. What does not read as a
 * source is passed over. */
size_t stoq_unfinished_sources(struct stoq_store *store, const struct stoq_package_id *id,
                               struct stoq_fetch_source out[STOQ_FETCH_SOURCES_MAX], size_t count);

/* The fetch has ended with this. What may be otherwise next time keeps its sources: an interruption, the
 * network, a full disk. */
void stoq_unfinished_end(struct stoq_store *store, const struct stoq_package_id *id,
                         enum stoq_status status);

#endif
