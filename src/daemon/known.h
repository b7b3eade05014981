#ifndef STOQ_DAEMON_KNOWN_H
#define STOQ_DAEMON_KNOWN_H
/*
 * What is remembered of peers from one connection to the next and over restarts: where and how near they
 * are, and the key that datagrams to them are sealed with. A table in memory and its bytes (docs/FORMATS.md
 * section 12); the file is the caller's. Nothing here is needed to be right: what is wrong or lost is
 * learned again.
 */
#include "base/bytes.h"

#define STOQ_KNOWN_MAX 4096           /* the one seen longest ago gives way to another */
#define STOQ_KNOWN_AGE_S (30 * 86400) /* not connected for so long: forgotten */
#define STOQ_KNOWN_RPC_BYTES 32
#define STOQ_KNOWN_ADDR_BYTES 18               /* 16 of IPv6 or mapped IPv4, then u16le port */
#define STOQ_KNOWN_BYTES_MAX ((size_t)1 << 20) /* of the file */

struct stoq_known_peer {
    struct stoq_peer_id id;
    uint64_t seen_s;     /* when it was last connected, in seconds since 1970 */
    uint32_t min_rtt_us; /* of its latest connection; 0: not known */
    bool has_rpc;
    uint8_t rpc[STOQ_KNOWN_RPC_BYTES]; /* as it signed it; checked before it came here */
    bool has_addr;
    uint8_t addr[STOQ_KNOWN_ADDR_BYTES]; /* where it answered, when it serves others there */
};

struct stoq_known;

/* seed is secret: peers choose their ids. STOQ_OK, STOQ_NOMEM. */
STOQ_WARN_UNUSED enum stoq_status stoq_known_new(struct stoq_known **out, uint64_t seed);
void stoq_known_free(struct stoq_known *known); /* NULL is fine */

size_t stoq_known_count(const struct stoq_known *known);
/* NULL: not known. Good until the next stoq_known_note. */
const struct stoq_known_peer *stoq_known_find(const struct stoq_known *known,
                                              const struct stoq_peer_id *id);
/* Remember: takes the place of what was known of this peer. An rpc key that is known stays when *peer
 * has none, likewise min_rtt_us and the address. STOQ_OK, STOQ_NOMEM. */
STOQ_WARN_UNUSED enum stoq_status stoq_known_note(struct stoq_known *known,
                                                  const struct stoq_known_peer *peer);

/* Forget those seen before that second; how many. */
size_t stoq_known_forget(struct stoq_known *known, uint64_t before_s);
/* Those with an address, seen last first; at most max. How many. */
size_t stoq_known_recent(const struct stoq_known *known, struct stoq_known_peer *out, size_t max);

/* The i-th; NULL past the last. Good until the next stoq_known_note. */
const struct stoq_known_peer *stoq_known_at(const struct stoq_known *known, size_t i);

/* Append the table's bytes. STOQ_OK, STOQ_FULL, STOQ_NOMEM. */
STOQ_WARN_UNUSED enum stoq_status stoq_known_encode(const struct stoq_known *known,
                                                    struct stoq_buf *out);
/* Note every peer of such bytes. STOQ_OK; STOQ_MALFORMED, STOQ_TRUNC: the table has what came before the
 * damage; STOQ_VERSION: of a newer program; STOQ_NOMEM. */
STOQ_WARN_UNUSED enum stoq_status stoq_known_decode(struct stoq_known *known,
                                                    struct stoq_span bytes);

#endif
