#ifndef STOQ_DAEMON_DHT_FILE_H
#define STOQ_DAEMON_DHT_FILE_H
/*
 * What the DHT remembers from one start to the next (docs/FORMATS.md section 13): the nonce that was
 * searched for, where the sweep of announcements stood, and contacts as signed records. The file is the
 * caller's; losing it costs the search and a bootstrap.
 */
#include "base/bytes.h"

#define STOQ_DHT_FILE_BYTES_MAX ((size_t)1 << 20)

struct stoq_dht_file {
    uint64_t epoch;
    uint64_t bits;
    uint64_t nonce;
    struct stoq_hash sweep_at;
    struct stoq_span contacts; /* signed records, one after the other; borrowed */
};

/* Append. STOQ_OK, STOQ_FULL, STOQ_NOMEM, STOQ_RANGE. */
STOQ_WARN_UNUSED enum stoq_status stoq_dht_file_encode(const struct stoq_dht_file *file,
                                                       struct stoq_buf *out);
/* STOQ_OK; STOQ_MALFORMED, STOQ_TRUNC: not such a file; STOQ_VERSION: a newer program's. */
STOQ_WARN_UNUSED enum stoq_status stoq_dht_file_decode(struct stoq_dht_file *out,
                                                       struct stoq_span bytes);

#endif
