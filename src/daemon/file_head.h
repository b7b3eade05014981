#ifndef STOQ_DAEMON_FILE_HEAD_H
#define STOQ_DAEMON_FILE_HEAD_H
/* How those files of a home begin whose contents age: what form they have, and when they were written. */
#include "wire/cbor.h"

/* wall_s: seconds since 1970. */
void stoq_file_head_put(struct stoq_cbor_wr *w, uint64_t version, uint64_t wall_s);
/* STOQ_OK; STOQ_VERSION: of a newer program; STOQ_MALFORMED: no version of ours; STOQ_TRUNC. */
STOQ_WARN_UNUSED enum stoq_status stoq_file_head_get(struct stoq_cbor_rd *r, uint64_t version,
                                                     uint64_t *written_s);

#endif
