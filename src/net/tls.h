#ifndef STOQ_NET_TLS_H
#define STOQ_NET_TLS_H
/*
 * TLS 1.3 as STOQ uses it: raw Ed25519 keys on both sides (RFC 7250), ALPN stoq/1, one cipher suite,
 * the key exchanges of the encryption mode and no others, tickets only for early data.
 */
#include "net/net.h"

#include <openssl/ssl.h>

struct net_tls {
    SSL_CTX *ctx;
    bool borrowed;
    bool early_data;
    enum stoq_net_mode mode;
};

/* What TLS asks of, and tells, the connection that owns an SSL object. */
struct net_tls_owner {
    /* The peer shows this key during the handshake; false refuses it. spki is empty when it showed
     * none that we take. */
    bool (*check_key)(void *conn, struct stoq_span spki);
    /* The handshake cannot go on; text says why. */
    void (*refuse)(void *conn, enum stoq_net_why why, const char *text);
    /* The connection behind SSL_get_app_data(ssl), or NULL. */
    void *(*conn_of)(SSL *ssl);
};

#define NET_TLS_SESSIONS_MAX 4096 /* tickets given out that may still be used, some 2 KiB each */
#define NET_TLS_SESSION_S 7200

/* early_data: give out tickets, take early data once for each.
 * STOQ_NOMEM: out of memory, or OpenSSL lacks a needed algorithm (err says). owner is kept. */
STOQ_WARN_UNUSED enum stoq_status net_tls_init(struct net_tls *tls, enum stoq_net_mode mode,
                                               bool early_data, const struct stoq_key *key,
                                               const struct net_tls_owner *owner,
                                               struct stoq_error *err);
/* The same for another thread; from outlives tls. */
void net_tls_borrow(struct net_tls *tls, const struct net_tls *from);
void net_tls_release(struct net_tls *tls);
/* A new SSL object with its app data; NULL: out of memory. */
SSL *net_tls_new(const struct net_tls *tls, bool server, void *app_data);

/* The peer's key as DER SubjectPublicKeyInfo into out: its length, or 0 when the peer showed no raw
 * Ed25519 key. */
#define NET_SPKI_MAX 128
size_t net_tls_spki(void *evp_pkey,
                    uint8_t out[NET_SPKI_MAX]); /* of any key; 0: NULL, or not Ed25519 */
size_t net_tls_peer_spki(SSL *ssl, uint8_t out[NET_SPKI_MAX]);
bool net_tls_has_alpn(const SSL *ssl);
/* The key exchange agreed on, in our spelling; "" if it is none of ours. Static storage. */
const char *net_tls_group(SSL *ssl);
/* "SecP384r1MLKEM1024, MLKEM1024": what a mode accepts. Static storage. */
const char *net_tls_mode_groups(enum stoq_net_mode mode);

/* 32 bytes that only the holder of this key can know, the same in every run, other ones for every
 * purpose: for the tokens by which a restarted endpoint tells its old peers that it forgot them, and for
 * the key that datagrams to us are sealed with. False: out of memory. */
bool net_tls_secret(const struct stoq_key *key, const char *purpose, uint8_t out[32]);

/* What a TLS alert received from the peer, or sent by us, says about a connection. */
enum stoq_net_why net_tls_why(unsigned alert);

#endif
