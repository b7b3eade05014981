#ifndef STOQ_DAEMON_TRUST_FILE_H
#define STOQ_DAEMON_TRUST_FILE_H
/* Reputation as bytes, for the home's file `trust` (docs/TRUST.md section 4). Advice, not truth: what is
 * lost is learned again. */
#include "trust/trust.h"

#define STOQ_TRUST_FILE_BYTES_MAX ((size_t)1 << 20)

/* Append all records as of now; wall_s: seconds since 1970. STOQ_OK, STOQ_FULL, STOQ_NOMEM. */
STOQ_WARN_UNUSED enum stoq_status stoq_trust_file_encode(const struct stoq_trust *trust,
                                                         stoq_ns now, uint64_t wall_s,
                                                         struct stoq_buf *out);

struct stoq_trust_file {
    struct stoq_span rest; /* private */
    uint64_t written_s;
};
/* Begin to read such bytes. STOQ_OK; STOQ_MALFORMED, STOQ_TRUNC; STOQ_VERSION: of a newer program. */
STOQ_WARN_UNUSED enum stoq_status stoq_trust_file_open(struct stoq_trust_file *out,
                                                       struct stoq_span bytes);
/* The next record. STOQ_OK; STOQ_NOTFOUND: no more; STOQ_MALFORMED, STOQ_TRUNC. */
STOQ_WARN_UNUSED enum stoq_status stoq_trust_file_next(struct stoq_trust_file *file,
                                                       struct stoq_trust_record *out);

#endif
