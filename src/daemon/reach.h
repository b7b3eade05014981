#ifndef STOQ_DAEMON_REACH_H
#define STOQ_DAEMON_REACH_H
/* What a package or content refers to: its shard list, chunk lists and chunks, as far as they are here. */
#include "daemon/keep_record.h"

/*
 * Call each with the key (32 bytes) of the shard list, of every chunk list and of every chunk.
 *
 * STOQ_OK
 * STOQ_NOTFOUND  not even its description is here: it refers to nothing
 * STOQ_PROOF     a list is here and cannot be read: what it refers to is not known
 * STOQ_IO, STOQ_NOMEM
 */
STOQ_WARN_UNUSED enum stoq_status stoq_reach(struct stoq_store *store,
                                             const struct stoq_subject *subject,
                                             void (*each)(void *user, struct stoq_span key),
                                             void *user, struct stoq_error *err);

#endif
