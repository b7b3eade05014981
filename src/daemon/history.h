#ifndef STOQ_DAEMON_HISTORY_H
#define STOQ_DAEMON_HISTORY_H
/*
 * Transfers and requests as bytes, for the home's file `transfers` (docs/FORMATS.md section 15): how they
 * went is known after a restart too. Advice, not truth: what is lost is not known any more, and nothing
 * else.
 */
#include "daemon/engine.h"

/* Of the file. All that can be kept, with every text at its longest, is 3 MB. */
#define STOQ_HISTORY_BYTES_MAX ((size_t)4 << 20)

/* Begin such a file; last is the number of the latest transfer. STOQ_OK, STOQ_FULL, STOQ_NOMEM. */
STOQ_WARN_UNUSED enum stoq_status stoq_history_begin(struct stoq_buf *out, uint64_t wall_s,
                                                     uint32_t last);
/* Append a transfer with its sources and requests. One that runs is kept as one that did not end. On failure
 * out is unchanged. STOQ_OK; STOQ_RANGE: more of them than are kept; STOQ_FULL, STOQ_NOMEM. */
STOQ_WARN_UNUSED enum stoq_status stoq_history_transfer(struct stoq_buf *out,
                                                        const struct stoq_transfer *t);
/* Append a request that was answered. Likewise. */
STOQ_WARN_UNUSED enum stoq_status stoq_history_served(struct stoq_buf *out,
                                                      const struct stoq_request *r);

/* What comes out of such bytes, one after the other. */
struct stoq_history_item {
    bool is_served;
    struct stoq_transfer transfer; /* its sources and requests are those below */
    struct stoq_request served;
    struct stoq_fetch_report_source sources[STOQ_FETCH_SOURCES_MAX];
    struct stoq_request requests[STOQ_TRANSFER_REQUESTS_KEPT];
};
struct stoq_history {
    struct stoq_span rest; /* private */
    uint64_t written_s;
    uint32_t last;
};
/* Begin to read such bytes. STOQ_OK; STOQ_MALFORMED, STOQ_TRUNC; STOQ_VERSION: of a newer program. */
STOQ_WARN_UNUSED enum stoq_status stoq_history_open(struct stoq_history *out,
                                                    struct stoq_span bytes);
/* The next one; out is large. STOQ_OK; STOQ_NOTFOUND: no more; STOQ_MALFORMED, STOQ_TRUNC. */
STOQ_WARN_UNUSED enum stoq_status stoq_history_next(struct stoq_history *h,
                                                    struct stoq_history_item *out);

#endif
