/*
 * Sealed datagrams of a stranger: any bytes as request and as reply, and any bytes inside of what was
 * sealed by the rules. Only what was sealed opens, and what opens is within its datagram.
 */
#include "net/seal.h"

#include "sign/sign.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t seed[STOQ_KEY_SEED_BYTES] = {7};
    static struct net_seal_key key; /* made once: it is the same in every run */
    struct net_seal_body body;
    struct net_seal_reply reply = {.tag = {1, 2, 3, 4, 5, 6, 7, 8}};
    uint8_t plain[NET_SEAL_REQUEST_MAX];
    uint8_t datagram[NET_SEAL_REQUEST_MAX];
    if (key.secret == NULL) {
        struct stoq_key *identity;
        STOQ_ASSERT(stoq_key_from_seed(&identity, seed) == STOQ_OK &&
                    net_seal_key_init(&key, identity) == STOQ_OK);
        stoq_key_free(identity);
    }
    struct stoq_span in = stoq_span(data, size);
    if (net_seal_get_body(in, &body) == STOQ_OK) {
        STOQ_ASSERT(body.message.p >= data && body.message.p + body.message.n <= data + size);
    }
    STOQ_ASSERT(net_open_request(&key, NULL, in, plain, &body, &reply) != STOQ_OK);
    STOQ_ASSERT(net_open_answer(&reply, in, plain, &body) != STOQ_OK);
    /* With the hint and the tag right they get as far as the cryptography. */
    if (size >= NET_SEAL_REQUEST_MIN && size <= sizeof datagram) {
        memcpy(datagram, data, size);
        datagram[0] = NET_SEAL_REQUEST;
        memcpy(datagram + 1, key.hint, sizeof key.hint);
        STOQ_ASSERT(net_open_request(&key, NULL, stoq_span(datagram, size), plain, &body, &reply) !=
                    STOQ_OK);
        datagram[0] = NET_SEAL_REPLY;
        memcpy(datagram + 1, reply.tag, sizeof reply.tag);
        STOQ_ASSERT(net_open_answer(&reply, stoq_span(datagram, size), plain, &body) != STOQ_OK);
    }
    return 0;
}
