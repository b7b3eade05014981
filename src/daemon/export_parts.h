#ifndef STOQ_DAEMON_EXPORT_PARTS_H
#define STOQ_DAEMON_EXPORT_PARTS_H
/*
 * Where the entries of a chunk list stand in the lists that a receiver has, so that an export can send
 * a list by parts (package/list_parts.h).
 */
#include "daemon/have.h"

struct stoq_export_parts;

/* Look through the lists of the receiver's shards that this store has too. store is kept. STOQ_OK;
 * STOQ_FULL, STOQ_IO, STOQ_NOMEM. Memory: 24 bytes per chunk in them. */
STOQ_WARN_UNUSED enum stoq_status stoq_export_parts_new(struct stoq_export_parts **out,
                                                        struct stoq_store *store,
                                                        const struct stoq_have *have,
                                                        struct stoq_error *err);
void stoq_export_parts_free(struct stoq_export_parts *p); /* NULL is fine */

/* The payload for this chunk list, into out (cleared). STOQ_OK; STOQ_NOTFOUND: the list itself is as
 * short; STOQ_NOMEM. The same list gives the same bytes each time. */
STOQ_WARN_UNUSED enum stoq_status stoq_export_parts_of(struct stoq_export_parts *p,
                                                       struct stoq_span list, struct stoq_buf *out);

#endif
