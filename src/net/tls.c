/*
 * Why both a verify callback and a check after the handshake: the callback refuses a wrong key before
 * we have sent anything of ours but the handshake; the check afterwards also holds where TLS does not
 * call it (a resumed session) and when a peer found a way to show no key at all.
 *
 * A client hello is looked at first only to be able to say which key exchanges the other side
 * offered; OpenSSL alone would say "no suitable key share".
 */
#include "net/tls.h"

#include "hash/hash.h"
#include "sign/sign.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include <ngtcp2/ngtcp2_crypto_ossl.h>
#include <openssl/err.h>
#include <openssl/x509.h>

#define GROUPS_SHOWN 8 /* of a stranger's list, in a text */

static const uint8_t alpn_wire[] = {6, 's', 't', 'o', 'q', '/', '1'};

/* TLS supported groups by number, as IANA lists them: ours, and those worth naming. */
static const struct {
    uint16_t number;
    const char *name;
} group_names[] = {
    {0x11ed, "SecP384r1MLKEM1024"},
    {0x0202, "MLKEM1024"},
    {0x11ec, "X25519MLKEM768"},
    {0x11eb, "SecP256r1MLKEM768"},
    {0x0201, "MLKEM768"},
    {0x0200, "MLKEM512"},
    {0x001d, "X25519"},
    {0x001e, "X448"},
    {0x0017, "secp256r1"},
    {0x0018, "secp384r1"},
    {0x0019, "secp521r1"},
    {0x0100, "ffdhe2048"},
    {0x0101, "ffdhe3072"},
    {0x6399, "X25519Kyber768Draft00"},
};

static const struct {
    const char *list; /* OpenSSL's form; only the first gets a key share */
    const char *shown;
    uint16_t numbers[2];
} modes[] = {
    [STOQ_NET_KYBER1024] = {"SecP384r1MLKEM1024:MLKEM1024",
                            "SecP384r1MLKEM1024, MLKEM1024",
                            {0x11ed, 0x0202}},
    [STOQ_NET_KYBER1024_PURE] = {"MLKEM1024", "MLKEM1024", {0x0202, 0x0202}},
    [STOQ_NET_KYBER768_HYBRID] = {"X25519MLKEM768", "X25519MLKEM768", {0x11ec, 0x11ec}},
};

const char *net_tls_mode_groups(enum stoq_net_mode mode)
{
    return modes[mode].shown;
}

static const char *group_name(uint16_t number, char buf[8])
{
    for (size_t i = 0; i < STOQ_COUNT(group_names); i++) {
        if (group_names[i].number == number) {
            return group_names[i].name;
        }
    }
    (void)snprintf(buf, 8, "0x%04x", number);
    return buf;
}

/* The names in a supported_groups extension, the first few of them. */
static void list_groups(char *out, size_t cap, const uint8_t *p, size_t n)
{
    size_t used = 0;
    out[0] = '\0';
    for (size_t i = 0; i + 1 < n && i / 2 < GROUPS_SHOWN; i += 2) {
        char buf[8];
        uint16_t number = (uint16_t)(p[i] << 8 | p[i + 1]);
        int more = snprintf(out + used, cap - used, "%s%s", used == 0 ? "" : ", ",
                            group_name(number, buf));
        if (more < 0 || (size_t)more >= cap - used) {
            return;
        }
        used += (size_t)more;
    }
    if (n / 2 > GROUPS_SHOWN) {
        (void)snprintf(out + used, cap - used, ", ...");
    } else if (used == 0) {
        (void)snprintf(out, cap, "none");
    }
}

static bool shares_group(enum stoq_net_mode mode, const uint8_t *p, size_t n)
{
    for (size_t i = 0; i + 1 < n; i += 2) {
        uint16_t number = (uint16_t)(p[i] << 8 | p[i + 1]);
        if (number == modes[mode].numbers[0] || number == modes[mode].numbers[1]) {
            return true;
        }
    }
    return false;
}

/* The context's app data carries owner and mode to the callbacks. */
struct shared {
    const struct net_tls_owner *owner;
    enum stoq_net_mode mode;
};

static int on_client_hello(SSL *ssl, int *alert, void *arg)
{
    const struct shared *shared = arg;
    const uint8_t *p = NULL;
    size_t n = 0;
    if (SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_supported_groups, &p, &n) == 1 && n >= 2) {
        p += 2;
        n -= 2;
    } else {
        n = 0;
    }
    if (shares_group(shared->mode, p, n)) {
        return SSL_CLIENT_HELLO_SUCCESS;
    }
    char theirs[160];
    char text[STOQ_NET_CLOSE_TEXT_MAX];
    list_groups(theirs, sizeof theirs, p, n);
    (void)snprintf(text, sizeof text,
                   "no key exchange in common: the listener takes %s; the dialler "
                   "offers %s",
                   modes[shared->mode].shown, theirs);
    void *conn = shared->owner->conn_of(ssl);
    if (conn != NULL) {
        shared->owner->refuse(conn, STOQ_NET_NO_GROUP, text);
    }
    *alert = SSL_AD_HANDSHAKE_FAILURE;
    return SSL_CLIENT_HELLO_ERROR;
}

static int on_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_n,
                   const unsigned char *in, unsigned in_n, void *arg)
{
    (void)ssl;
    (void)arg;
    for (unsigned i = 0; i < in_n && i + 1U + in[i] <= in_n; i += 1U + in[i]) {
        if (in[i] == alpn_wire[0] && memcmp(in + i, alpn_wire, sizeof alpn_wire) == 0) {
            *out = in + i + 1;
            *out_n = in[i];
            return SSL_TLSEXT_ERR_OK;
        }
    }
    return SSL_TLSEXT_ERR_ALERT_FATAL;
}

static size_t spki_of(EVP_PKEY *key, uint8_t out[NET_SPKI_MAX])
{
    if (key == NULL || EVP_PKEY_get_id(key) != EVP_PKEY_ED25519) {
        return 0;
    }
    int n = i2d_PUBKEY(key, NULL);
    if (n <= 0 || n > NET_SPKI_MAX) {
        return 0;
    }
    unsigned char *p = out;
    return i2d_PUBKEY(key, &p) == n ? (size_t)n : 0;
}

size_t net_tls_spki(void *evp_pkey, uint8_t out[NET_SPKI_MAX])
{
    return spki_of(evp_pkey, out);
}

static int on_verify(X509_STORE_CTX *store, void *arg)
{
    const struct shared *shared = arg;
    SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
    void *conn = ssl == NULL ? NULL : shared->owner->conn_of(ssl);
    uint8_t spki[NET_SPKI_MAX];
    size_t n = spki_of(X509_STORE_CTX_get0_rpk(store), spki);
    if (conn != NULL && shared->owner->check_key(conn, stoq_span(spki, n))) {
        X509_STORE_CTX_set_error(store, X509_V_OK);
        return 1;
    }
    X509_STORE_CTX_set_error(store, X509_V_ERR_RPK_UNTRUSTED);
    return 0;
}

size_t net_tls_peer_spki(SSL *ssl, uint8_t out[NET_SPKI_MAX])
{
    return spki_of(SSL_get0_peer_rpk(ssl), out);
}

bool net_tls_has_alpn(const SSL *ssl)
{
    const unsigned char *p = NULL;
    unsigned n = 0;
    SSL_get0_alpn_selected(ssl, &p, &n);
    return n == alpn_wire[0] && memcmp(p, alpn_wire + 1, n) == 0;
}

const char *net_tls_group(SSL *ssl)
{
    const char *name = SSL_get0_group_name(ssl);
    for (size_t i = 0; name != NULL && i < STOQ_COUNT(group_names); i++) {
        if (strcasecmp(name, group_names[i].name) == 0) {
            return group_names[i].name;
        }
    }
    return "";
}

bool net_tls_secret(const struct stoq_key *key, const char *purpose, uint8_t out[32])
{
    uint8_t raw[32];
    size_t n = sizeof raw;
    if (EVP_PKEY_get_raw_private_key(stoq_key_evp(key), raw, &n) != 1) {
        return false;
    }
    struct stoq_hash h = stoq_hash_blake3_2(stoq_span_str(purpose), stoq_span(raw, n));
    stoq_key_wipe(raw, sizeof raw);
    memcpy(out, h.b, sizeof h.b);
    return true;
}

enum stoq_net_why net_tls_why(unsigned alert)
{
    switch (alert) {
    case SSL_AD_HANDSHAKE_FAILURE:
        return STOQ_NET_NO_GROUP; /* suites and signature schemes are fixed: only groups vary */
    case SSL_AD_BAD_CERTIFICATE:
        return STOQ_NET_WRONG_KEY;
    case SSL_AD_UNSUPPORTED_CERTIFICATE:
    case SSL_AD_CERTIFICATE_REQUIRED:
        return STOQ_NET_NO_KEY;
    case SSL_AD_NO_APPLICATION_PROTOCOL:
        return STOQ_NET_NO_ALPN;
    default:
        return STOQ_NET_PROTOCOL;
    }
}

/* Stateful tickets, one a handshake, each good for one use. SSL_OP_NO_ANTI_REPLAY stays off. */
static bool configure_tickets(SSL_CTX *ctx)
{
    static const unsigned char context[] = "stoq";
    (void)SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_SERVER);
    (void)SSL_CTX_sess_set_cache_size(ctx, NET_TLS_SESSIONS_MAX);
    (void)SSL_CTX_set_timeout(ctx, NET_TLS_SESSION_S);
    return SSL_CTX_set_session_id_context(ctx, context, sizeof context - 1) == 1 &&
           SSL_CTX_set_max_early_data(ctx, UINT32_MAX) == 1 && SSL_CTX_set_num_tickets(ctx, 1) == 1;
}

static bool configure(SSL_CTX *ctx, enum stoq_net_mode mode, const struct stoq_key *key)
{
    static const unsigned char raw_keys_only[] = {TLSEXT_cert_type_rpk};
    EVP_PKEY *pkey = stoq_key_evp(key);
    void *groups =
        (void *)(uintptr_t)modes[mode].list; /* only read: the macro for it drops const */
    SSL_CTX_clear_options(ctx, SSL_OP_ENABLE_MIDDLEBOX_COMPAT);
    (void)SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET | SSL_OP_CIPHER_SERVER_PREFERENCE);
    (void)SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
    (void)SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    return SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) == 1 &&
           SSL_CTX_set_max_proto_version(ctx, TLS1_3_VERSION) == 1 &&
           SSL_CTX_set_ciphersuites(ctx, "TLS_AES_128_GCM_SHA256") == 1 &&
           SSL_CTX_ctrl(ctx, SSL_CTRL_SET_GROUPS_LIST, 0, groups) == 1 &&
           SSL_CTX_set1_sigalgs_list(ctx, "ed25519") == 1 &&
           SSL_CTX_set1_client_sigalgs_list(ctx, "ed25519") == 1 &&
           SSL_CTX_set1_server_cert_type(ctx, raw_keys_only, sizeof raw_keys_only) == 1 &&
           SSL_CTX_set1_client_cert_type(ctx, raw_keys_only, sizeof raw_keys_only) == 1 &&
           SSL_CTX_set_num_tickets(ctx, 0) == 1 && SSL_CTX_use_PrivateKey(ctx, pkey) == 1 &&
           SSL_CTX_set_alpn_protos(ctx, alpn_wire, sizeof alpn_wire) == 0;
}

enum stoq_status net_tls_init(struct net_tls *tls, enum stoq_net_mode mode, bool early_data,
                              const struct stoq_key *key, const struct net_tls_owner *owner,
                              struct stoq_error *err)
{
    struct shared *shared = OPENSSL_zalloc(sizeof *shared);
    SSL_CTX *ctx = SSL_CTX_new(TLS_method());
    if (shared == NULL || ctx == NULL || !configure(ctx, mode, key) ||
        (early_data && !configure_tickets(ctx))) {
        char why[160] = "out of memory";
        unsigned long code = ERR_get_error();
        if (code != 0) {
            ERR_error_string_n(code, why, sizeof why);
        }
        SSL_CTX_free(ctx);
        OPENSSL_free(shared);
        return stoq_fail(err, STOQ_NOMEM, 0, "TLS set-up: %s", why);
    }
    *shared = (struct shared){owner, mode};
    SSL_CTX_set_app_data(ctx, shared);
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    SSL_CTX_set_cert_verify_callback(ctx, on_verify, shared);
    SSL_CTX_set_alpn_select_cb(ctx, on_alpn, shared);
    SSL_CTX_set_client_hello_cb(ctx, on_client_hello, shared);
    *tls = (struct net_tls){.ctx = ctx, .early_data = early_data, .mode = mode};
    return STOQ_OK;
}

void net_tls_borrow(struct net_tls *tls, const struct net_tls *from)
{
    *tls = *from;
    tls->borrowed = true;
}

void net_tls_release(struct net_tls *tls)
{
    if (tls->ctx != NULL && !tls->borrowed) {
        OPENSSL_free(SSL_CTX_get_app_data(tls->ctx));
        SSL_CTX_free(tls->ctx);
    }
    tls->ctx = NULL;
}

SSL *net_tls_new(const struct net_tls *tls, bool server, void *app_data)
{
    SSL *ssl = SSL_new(tls->ctx);
    if (ssl == NULL) {
        return NULL;
    }
    SSL_set_app_data(ssl, app_data);
    int bad = server ? ngtcp2_crypto_ossl_configure_server_session(ssl)
                     : ngtcp2_crypto_ossl_configure_client_session(ssl);
    if (bad != 0) {
        SSL_set_app_data(ssl, NULL);
        SSL_free(ssl);
        return NULL;
    }
    if (server) {
        SSL_set_accept_state(ssl);
        (void)SSL_set_quic_tls_early_data_enabled(ssl, tls->early_data); /* or it is not taken */
    } else {
        SSL_set_connect_state(ssl);
    }
    return ssl;
}
