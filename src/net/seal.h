#ifndef STOQ_NET_SEAL_H
#define STOQ_NET_SEAL_H
/*
 * Sealed datagrams (docs/PROTOCOL.md section 11): one request, one reply, no connection. A request is
 * sealed to the responder's static X25519 key by HPKE (RFC 9180, base mode; with a network key its PSK
 * mode); the reply with a key that both derive from it. Bytes in, bytes out; nothing is kept.
 */
#include "net/net.h"

/* A time in what members of a private network send: milliseconds since 1970, little-endian. */
#define NET_MADE_BYTES 6
void net_made_put(uint8_t out[NET_MADE_BYTES], uint64_t made_ms);
uint64_t net_made_get(const uint8_t p[NET_MADE_BYTES]);

#define NET_SEAL_KEY_BYTES 32
#define NET_SEAL_HINT_BYTES 8
#define NET_SEAL_TOKEN_BYTES 16
#define NET_SEAL_SALT_BYTES 16
#define NET_SEAL_REQUEST_MIN 256 /* so that every small reply is shorter */
#define NET_SEAL_REQUEST_MAX 1200
#define NET_SEAL_REQUEST 0x01 /* first bytes; QUIC's are 0x40 and above */
#define NET_SEAL_REPLY 0x02
/* Longest messages that fit. */
#define NET_SEAL_MESSAGE_MAX (NET_SEAL_REQUEST_MAX - 75)

/* Our side's static key: made of the identity key, so it is the same in every run. */
struct net_seal_key {
    void *secret; /* EVP_PKEY */
    uint8_t pub[NET_SEAL_KEY_BYTES];
    uint8_t hint[NET_SEAL_HINT_BYTES]; /* in front of every request to it */
};

/* STOQ_NOMEM: out of memory, or OpenSSL lacks HPKE. */
STOQ_WARN_UNUSED enum stoq_status net_seal_key_init(struct net_seal_key *key,
                                                    const struct stoq_key *identity);
void net_seal_key_release(struct net_seal_key *key);

/* Message bytes that the reply to a request of n bytes has room for. */
size_t net_seal_room(size_t n);

/* What makes and opens the reply to one request. */
struct net_seal_reply {
    uint8_t secret[32];
    uint8_t tag[8];
};

/* What is inside, both ways. */
struct net_seal_body {
    uint8_t token[NET_SEAL_TOKEN_BYTES]; /* return-path token; zeros: none */
    struct stoq_span message;            /* a frame's CBOR, without its length */
    size_t room; /* a request's: of its reply's message, which must not be longer than it */
};

/*
 * Seal a request.
 *
 * pub      the responder's static key
 * network  32 bytes of the private network's, or NULL
 * made_ms   the time, milliseconds since 1970, which travels with it; without a network not looked at
 * out, *n  the datagram, padded to 256, 512 or 1200 bytes
 * reply    what its reply will open with
 *
 * STOQ_OK; STOQ_RANGE: the message has more than NET_SEAL_MESSAGE_MAX bytes, or pub is no key;
 * STOQ_NOMEM
 */
STOQ_WARN_UNUSED enum stoq_status net_seal_request(const uint8_t pub[NET_SEAL_KEY_BYTES],
                                                   const uint8_t *network, uint64_t made_ms,
                                                   const struct net_seal_body *body,
                                                   uint8_t out[NET_SEAL_REQUEST_MAX], size_t *n,
                                                   struct net_seal_reply *reply);

/* Is this a request to our key, as far as can be seen without cryptography? */
bool net_seal_is_ours(const struct net_seal_key *key, const uint8_t *network,
                      struct stoq_span datagram);
/* Of one that opened, in a private network: when it was made, and 8 bytes that no other one has. */
uint64_t net_seal_made(struct stoq_span datagram);
const uint8_t *net_seal_mark(struct stoq_span datagram);
/* Open one. plain holds the bytes that body's span points into. STOQ_OK; STOQ_PROOF: not sealed to this
 * key, in this network, or damaged; STOQ_MALFORMED: its inside is not as it should be; STOQ_NOMEM. */
STOQ_WARN_UNUSED enum stoq_status net_open_request(
    const struct net_seal_key *key, const uint8_t *network, struct stoq_span datagram,
    uint8_t plain[NET_SEAL_REQUEST_MAX], struct net_seal_body *body, struct net_seal_reply *reply);

/* Seal the reply: salt is random, new for each. STOQ_OK; STOQ_RANGE: it would be longer than max bytes,
 * those of its request; STOQ_NOMEM. */
STOQ_WARN_UNUSED enum stoq_status net_seal_answer(const struct net_seal_reply *reply,
                                                  const uint8_t salt[NET_SEAL_SALT_BYTES],
                                                  const struct net_seal_body *body, size_t max,
                                                  uint8_t out[NET_SEAL_REQUEST_MAX], size_t *n);
/* Which request it answers; false: not a reply. */
bool net_seal_answer_tag(struct stoq_span datagram, uint8_t tag[8]);
/* As net_open_request. */
STOQ_WARN_UNUSED enum stoq_status net_open_answer(const struct net_seal_reply *reply,
                                                  struct stoq_span datagram,
                                                  uint8_t plain[NET_SEAL_REQUEST_MAX],
                                                  struct net_seal_body *body);

/* AES-128-GCM over n bytes, into a tag or checked against one; keys: the key, then the nonce. False: the tag
 * does not fit, or out of memory. */
#define NET_GCM_KEYS_BYTES 28
#define NET_GCM_TAG_BYTES 16
bool net_gcm(bool seal, const uint8_t keys[NET_GCM_KEYS_BYTES], struct stoq_span head,
             const uint8_t *in, size_t n, uint8_t *out, uint8_t tag[NET_GCM_TAG_BYTES]);

/* The inside of either; for the fuzzer. body points into plain. STOQ_OK, STOQ_MALFORMED. */
STOQ_WARN_UNUSED enum stoq_status net_seal_get_body(struct stoq_span plain,
                                                    struct net_seal_body *body);

#endif
