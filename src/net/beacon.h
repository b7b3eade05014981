#ifndef STOQ_NET_BEACON_H
#define STOQ_NET_BEACON_H
/*
 * The beacon of LAN discovery (docs/PROTOCOL.md, "LAN beacons"): who I am and where I serve, in one
 * signed datagram. Pure: memory in, memory out.
 */
#include "base/bytes.h"

#define STOQ_BEACON_BYTES_MAX 512
#define STOQ_BEACON_VERSION 1

struct stoq_key;

struct stoq_beacon {
    struct stoq_peer_id peer; /* decoded: who signed it; encoding: ignored, the key's */
    uint8_t kind;             /* 1 here, 2 ask, 3 bye */
    uint64_t sequence;        /* microseconds since 1970 when it was made; only compared */
    uint16_t port; /* where it serves, at the address it is sent from; 0: it serves nobody */
};

/* Append a beacon signed by key. STOQ_OK, STOQ_FULL, STOQ_NOMEM. */
STOQ_WARN_UNUSED enum stoq_status stoq_beacon_encode(const struct stoq_beacon *b,
                                                     const struct stoq_key *key,
                                                     struct stoq_buf *out);

/*
 * Read and verify a datagram. The cheap checks come first, the signature last.
 *
 * STOQ_OK; STOQ_MALFORMED; STOQ_VERSION: of a later version; STOQ_PROOF: the signature does not fit;
 * STOQ_NOMEM. *out is filled on STOQ_OK only.
 */
STOQ_WARN_UNUSED enum stoq_status stoq_beacon_decode(struct stoq_beacon *out,
                                                     struct stoq_span datagram);

/*
 * In a private network beacons travel sealed, all of one length: who has no key that opens one reads neither
 * who nor where, and cannot tell one from another (docs/PROTOCOL.md section 12). The keys are the network's,
 * or where a list of peers makes the network, each sender's own, which whoever lists that sender knows.
 */
#define STOQ_BEACON_KEY_BYTES 16
#define STOQ_BEACON_SALT_BYTES 8
#define STOQ_BEACON_SEALED_BYTES 256
/* The beacons' key of a network's. */
void stoq_beacon_key(uint8_t out[STOQ_BEACON_KEY_BYTES], const uint8_t network_key[32]);
/* That of a sender without a network key. */
void stoq_beacon_peer_key(uint8_t out[STOQ_BEACON_KEY_BYTES], const struct stoq_peer_id *sender);
/* salt: random, new for each. STOQ_OK, STOQ_RANGE: too long a beacon, STOQ_NOMEM. */
STOQ_WARN_UNUSED enum stoq_status stoq_beacon_seal(const uint8_t key[STOQ_BEACON_KEY_BYTES],
                                                   const uint8_t salt[STOQ_BEACON_SALT_BYTES],
                                                   struct stoq_span beacon,
                                                   uint8_t out[STOQ_BEACON_SEALED_BYTES]);
/*
 * keys  count of them, one behind the other; a hash of each is made, and where that fits it is tried
 *
 * STOQ_OK: the beacon's bytes are in out, and *tag stands for this datagram and no other; STOQ_PROOF: of
 * another network, or of none.
 */
STOQ_WARN_UNUSED enum stoq_status stoq_beacon_open(const uint8_t *keys, size_t count,
                                                   struct stoq_span datagram,
                                                   uint8_t out[STOQ_BEACON_BYTES_MAX], size_t *n,
                                                   uint64_t *tag);

#endif
