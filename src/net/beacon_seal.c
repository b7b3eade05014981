/*
 * Sealed beacons: AES-GCM under a key that members know. A member of a network by list tries one key for each
 * peer on its list, so the nonce ends in a hash of key and salt that says which one it is: a thousand keys
 * cost a thousand short hashes, and a datagram of somebody else's not one decryption.
 *
 *     0    1        9        13                              240        256
 *     +----+--------+--------+-------------------------------+----------+
 *     | 03 | salt   | hint   | n, u16le | beacon, n | zeros  | tag      |
 *     +----+--------+--------+-------------------------------+----------+
 *                                     sealed
 */
#include "net/beacon.h"

#include "hash/hash.h"
#include "net/seal.h"

#include <string.h>

#define SEALED 0x03 /* first byte; an open beacon begins with 0x82 */
#define HINT_BYTES 4
#define HINT_AT (1 + STOQ_BEACON_SALT_BYTES)
#define PLAIN_AT (HINT_AT + HINT_BYTES)
#define TAG_AT (STOQ_BEACON_SEALED_BYTES - NET_GCM_TAG_BYTES)
#define PLAIN_BYTES (TAG_AT - PLAIN_AT)
_Static_assert(STOQ_BEACON_KEY_BYTES + STOQ_BEACON_SALT_BYTES + HINT_BYTES == NET_GCM_KEYS_BYTES,
               "key and nonce");

static void derive(uint8_t out[STOQ_BEACON_KEY_BYTES], const char *what, struct stoq_span from)
{
    struct stoq_hash h = stoq_hash_blake3_2(stoq_span_str(what), from);
    memcpy(out, h.b, STOQ_BEACON_KEY_BYTES);
}

void stoq_beacon_key(uint8_t out[STOQ_BEACON_KEY_BYTES], const uint8_t network_key[32])
{
    derive(out, "stoq network beacon v1", stoq_span(network_key, 32));
}

void stoq_beacon_peer_key(uint8_t out[STOQ_BEACON_KEY_BYTES], const struct stoq_peer_id *sender)
{
    derive(out, "stoq peer beacon v1", stoq_span(sender->h.b, sizeof sender->h.b));
}

static void hint_of(uint8_t out[HINT_BYTES], const uint8_t *key, const uint8_t *salt)
{
    struct stoq_hash h = stoq_hash_blake3_2(stoq_span(key, STOQ_BEACON_KEY_BYTES),
                                            stoq_span(salt, STOQ_BEACON_SALT_BYTES));
    memcpy(out, h.b, HINT_BYTES);
}

/* The datagram's bytes behind the first are the nonce. */
static bool gcm(bool seal, const uint8_t *key, const uint8_t *datagram, const uint8_t *in,
                uint8_t *out, uint8_t *tag)
{
    uint8_t keys[NET_GCM_KEYS_BYTES];
    memcpy(keys, key, STOQ_BEACON_KEY_BYTES);
    memcpy(keys + STOQ_BEACON_KEY_BYTES, datagram + 1, STOQ_BEACON_SALT_BYTES + HINT_BYTES);
    return net_gcm(seal, keys, stoq_span(datagram, 1), in, PLAIN_BYTES, out, tag);
}

enum stoq_status stoq_beacon_seal(const uint8_t key[STOQ_BEACON_KEY_BYTES],
                                  const uint8_t salt[STOQ_BEACON_SALT_BYTES],
                                  struct stoq_span beacon, uint8_t out[STOQ_BEACON_SEALED_BYTES])
{
    uint8_t plain[PLAIN_BYTES] = {0};
    if (beacon.n > sizeof plain - 2) {
        return STOQ_RANGE;
    }
    plain[0] = (uint8_t)beacon.n;
    plain[1] = (uint8_t)(beacon.n >> 8);
    memcpy(plain + 2, beacon.p, beacon.n);
    out[0] = SEALED;
    memcpy(out + 1, salt, STOQ_BEACON_SALT_BYTES);
    hint_of(out + HINT_AT, key, salt);
    return gcm(true, key, out, plain, out + PLAIN_AT, out + TAG_AT) ? STOQ_OK : STOQ_NOMEM;
}

static enum stoq_status open_with(const uint8_t *key, const uint8_t *datagram,
                                  uint8_t out[STOQ_BEACON_BYTES_MAX], size_t *n)
{
    uint8_t plain[PLAIN_BYTES];
    uint8_t tag[NET_GCM_TAG_BYTES];
    memcpy(tag, datagram + TAG_AT, sizeof tag);
    if (!gcm(false, key, datagram, datagram + PLAIN_AT, plain, tag)) {
        return STOQ_PROOF;
    }
    size_t length = plain[0] | (size_t)plain[1] << 8;
    if (length > sizeof plain - 2) {
        return STOQ_PROOF;
    }
    memcpy(out, plain + 2, length);
    *n = length;
    return STOQ_OK;
}

enum stoq_status stoq_beacon_open(const uint8_t *keys, size_t count, struct stoq_span datagram,
                                  uint8_t out[STOQ_BEACON_BYTES_MAX], size_t *n, uint64_t *tag)
{
    if (datagram.n != STOQ_BEACON_SEALED_BYTES || datagram.p[0] != SEALED) {
        return STOQ_PROOF;
    }
    for (size_t i = 0; i < count; i++) {
        const uint8_t *key = keys + i * STOQ_BEACON_KEY_BYTES;
        uint8_t hint[HINT_BYTES];
        hint_of(hint, key, datagram.p + 1);
        if (memcmp(hint, datagram.p + HINT_AT, sizeof hint) == 0 &&
            open_with(key, datagram.p, out, n) == STOQ_OK) {
            *tag = stoq_le64(datagram.p + TAG_AT);
            return STOQ_OK;
        }
    }
    return STOQ_PROOF;
}
