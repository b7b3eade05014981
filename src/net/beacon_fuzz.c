/*
 * Datagrams as anybody on the link can send them, open and sealed. What decodes was signed by the peer it
 * names, so it encodes to the same bytes with that peer's key; here that is the key of the corpus.
 */
#include "net/beacon.h"

#include "sign/sign.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t seed[STOQ_KEY_SEED_BYTES] = {1};
    struct stoq_beacon b;
    static const uint8_t keys[2][STOQ_BEACON_KEY_BYTES] = {{1}};
    uint8_t plain[STOQ_BEACON_BYTES_MAX];
    uint64_t tag;
    size_t n;
    if (stoq_beacon_open(keys[0], 2, stoq_span(data, size), plain, &n, &tag) == STOQ_OK) {
        STOQ_ASSERT(n <= sizeof plain && size == STOQ_BEACON_SEALED_BYTES);
    }
    if (stoq_beacon_decode(&b, stoq_span(data, size)) != STOQ_OK) {
        return 0;
    }
    struct stoq_key *key;
    struct stoq_buf out;
    STOQ_ASSERT(stoq_key_from_seed(&key, seed) == STOQ_OK);
    struct stoq_peer_id self = stoq_key_peer_id(key);
    stoq_buf_init(&out, STOQ_BEACON_BYTES_MAX);
    if (stoq_hash_eq(&b.peer.h, &self.h)) {
        STOQ_ASSERT(stoq_beacon_encode(&b, key, &out) == STOQ_OK);
        STOQ_ASSERT(out.n == size && memcmp(out.p, data, size) == 0);
    }
    stoq_buf_release(&out);
    stoq_key_free(key);
    return 0;
}
