#ifndef STOQ_WIRE_BECH32M_H
#define STOQ_WIRE_BECH32M_H
/*
 * Ids and addresses as text: bech32m (BIP 350) over a version symbol and the payload's bits
 * (docs/FORMATS.md section 2).
 */
#include "base/bytes.h"

#define STOQ_ID_TEXT_CAP 72    /* holds every typed id below with its NUL; the longest is 65 + 1 */
#define STOQ_ID_PAYLOAD_MAX 40 /* bytes; the checksum's guarantee ends at 90 characters */

/*
 * Write payload as `HRP 1 q...`, NUL-terminated.
 *
 * hrp      1 to 16 characters a-z, 0-9; our constant, asserted
 * payload  at most STOQ_ID_PAYLOAD_MAX bytes; asserted
 *
 * STOQ_OK; STOQ_FULL when cap is too small (nothing is written then).
 */
STOQ_WARN_UNUSED enum stoq_status stoq_id_put(char *out, size_t cap, const char *hrp,
                                              struct stoq_span payload);

/*
 * Read such a text: exactly n payload bytes under this hrp.
 *
 * text  borrowed; all lower or all upper case
 *
 * STOQ_OK         out holds the n bytes
 * STOQ_NOTFOUND   another prefix before the last '1': not this kind of id
 * STOQ_VERSION    well-formed, but of another version than 0
 * STOQ_MALFORMED  mixed case, foreign characters, wrong checksum or length, non-zero padding
 */
STOQ_WARN_UNUSED enum stoq_status stoq_id_get(uint8_t *out, size_t n, const char *hrp,
                                              struct stoq_span text);

/* A content address: where `data1q...` points. */
struct stoq_address {
    uint8_t algorithm; /* 1 BLAKE3-256, 2 SHA3-256 (enum stoq_hash_alg); others are no addresses */
    struct stoq_hash digest;
};

/* Typed forms; out holds STOQ_ID_TEXT_CAP bytes. An address's algorithm must be 1 or 2; asserted.
 * */
void stoq_package_id_put(char *out, const struct stoq_package_id *id);
void stoq_peer_id_put(char *out, const struct stoq_peer_id *id);
void stoq_key_id_put(char *out, const struct stoq_key_id *id);
void stoq_address_put(char *out, const struct stoq_address *address);

/* Results as stoq_id_get; *out is untouched on failure. */
STOQ_WARN_UNUSED enum stoq_status stoq_package_id_get(struct stoq_package_id *out,
                                                      struct stoq_span text);
STOQ_WARN_UNUSED enum stoq_status stoq_peer_id_get(struct stoq_peer_id *out, struct stoq_span text);
STOQ_WARN_UNUSED enum stoq_status stoq_key_id_get(struct stoq_key_id *out, struct stoq_span text);
/* Also STOQ_RANGE: an algorithm that may not be an address (XXH3-128 and its like can be forged).
 * */
STOQ_WARN_UNUSED enum stoq_status stoq_address_get(struct stoq_address *out, struct stoq_span text);

#endif
