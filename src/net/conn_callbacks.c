/* What ngtcp2 and TLS ask of a connection during the handshake, and its connection ids. */
#include "net/net_internal.h"

#include "sign/sign.h"
#include "wire/bech32m.h"

#include <stdio.h>
#include <string.h>

static bool key_fits(struct net_conn *conn, struct stoq_span spki)
{
    if (spki.n == 0) {
        net_conn_blame(conn, STOQ_NET_NO_KEY, "the peer showed no raw Ed25519 key");
        return false;
    }
    struct stoq_peer_id peer = stoq_spki_peer_id(spki);
    if (conn->pinned && !stoq_hash_eq(&peer.h, &conn->pin.h)) {
        char wanted[STOQ_ID_TEXT_CAP];
        char got[STOQ_ID_TEXT_CAP];
        char text[STOQ_NET_CLOSE_TEXT_MAX];
        stoq_peer_id_put(wanted, &conn->pin);
        stoq_peer_id_put(got, &peer);
        (void)snprintf(text, sizeof text, "another key answered: expected %s, got %s", wanted, got);
        net_conn_blame(conn, STOQ_NET_WRONG_KEY, text);
        return false;
    }
    conn->peer = peer;
    return true;
}

static bool on_key(void *user, struct stoq_span spki)
{
    return key_fits(user, spki);
}

static void on_refuse(void *user, enum stoq_net_why why, const char *text)
{
    net_conn_blame(user, why, text);
}

static void *conn_of(SSL *ssl)
{
    ngtcp2_crypto_conn_ref *ref = SSL_get_app_data(ssl);
    return ref == NULL ? NULL : ref->user_data;
}

const struct net_tls_owner net_tls_owner = {on_key, on_refuse, conn_of};

static void tell_opened(struct net_conn *conn)
{
    struct stoq_net *net = conn->net;
    struct stoq_net_opened info = {.peer = conn->peer,
                                   .addr = conn->remote,
                                   .inbound = conn->inbound,
                                   .early = !conn->complete,
                                   .group = conn->group};
    if (conn->inbound) {
        net->stats.opened_inbound++;
    } else {
        net->stats.opened_outbound++;
    }
    net->cfg.cb.opened(net->cfg.user, conn->id, &info);
}

bool net_conn_knows_peer(struct net_conn *conn)
{
    uint8_t spki[NET_SPKI_MAX];
    size_t n = net_tls_peer_spki(conn->ssl, spki);
    if (!net_tls_has_alpn(conn->ssl)) {
        net_conn_blame(conn, STOQ_NET_NO_ALPN, "the peer does not speak " STOQ_NET_ALPN);
        return false;
    }
    return key_fits(conn, stoq_span(spki, n));
}

void net_conn_open_for_owner(struct net_conn *conn)
{
    conn->state = NET_OPEN;
    conn->opened = true;
    conn->opened_at = conn->last_ts;
    tell_opened(conn);
}

/* The key is compared again here: the verify callback is TLS's to call or not. */
static int on_handshake_completed(ngtcp2_conn *q, void *user)
{
    struct net_conn *conn = user;
    struct stoq_peer_id early = conn->peer;
    (void)q;
    if (!net_conn_knows_peer(conn)) {
        return NGTCP2_ERR_CALLBACK_FAILURE;
    }
    conn->group = net_tls_group(conn->ssl);
    if (conn->group[0] == '\0') {
        return NGTCP2_ERR_CALLBACK_FAILURE;
    }
    if (conn->opened && !stoq_hash_eq(&early.h, &conn->peer.h)) {
        net_conn_blame(conn, STOQ_NET_WRONG_KEY, "another key than the ticket's");
        return NGTCP2_ERR_CALLBACK_FAILURE;
    }
    if (!net_early_settle(conn)) {
        return NGTCP2_ERR_CALLBACK_FAILURE;
    }
    if (!net_conn_settle(conn)) {
        return NGTCP2_ERR_CALLBACK_FAILURE;
    }
    conn->complete = true;
    if (!conn->opened) {
        net_conn_open_for_owner(conn);
    }
    return 0;
}

/* TLS is over when the handshake is (net_conn_drop_tls): tickets that a peer sends all the same are
 * nothing to us. */
static int on_crypto_data(ngtcp2_conn *q, ngtcp2_encryption_level level, uint64_t offset,
                          const uint8_t *p, size_t n, void *user)
{
    struct net_conn *conn = user;
    if (conn->ssl == NULL) {
        return 0;
    }
    int rv = ngtcp2_crypto_recv_crypto_data_cb(q, level, offset, p, n, user);
    if (rv == 0 && level == NGTCP2_ENCRYPTION_LEVEL_1RTT) {
        net_ticket_take(conn);
    }
    return rv;
}

static void on_rand(uint8_t *p, size_t n, const ngtcp2_rand_ctx *ctx)
{
    net_random(ctx->native_handle, p, n);
}

static int on_new_cid(ngtcp2_conn *q, ngtcp2_cid *cid, uint8_t *token, size_t n, void *user)
{
    struct net_conn *conn = user;
    (void)q;
    STOQ_ASSERT(n == NET_CID_BYTES);
    net_new_cid(conn->net, cid);
    net_reset_token(conn->net, cid, token);
    if (net_cids_add(&conn->net->cids, &conn->cids, conn, stoq_span(cid->data, cid->datalen)) !=
        STOQ_OK) {
        return NGTCP2_ERR_CALLBACK_FAILURE;
    }
    return 0;
}

static int on_drop_cid(ngtcp2_conn *q, const ngtcp2_cid *cid, void *user)
{
    struct net_conn *conn = user;
    (void)q;
    net_cids_remove(&conn->net->cids, &conn->cids, stoq_span(cid->data, cid->datalen));
    return 0;
}

/* A stateless reset shows no id of ours, only the token that came with the peer's: keep those in use. */
static int on_peer_cid(ngtcp2_conn *q, ngtcp2_connection_id_status_type type, uint64_t seq,
                       const ngtcp2_cid *cid, const uint8_t *token, void *user)
{
    struct net_conn *conn = user;
    (void)q;
    (void)seq;
    (void)cid;
    if (token == NULL) {
        return 0;
    }
    struct stoq_span t = stoq_span(token, NGTCP2_STATELESS_RESET_TOKENLEN);
    if (type == NGTCP2_CONNECTION_ID_STATUS_TYPE_DEACTIVATE) {
        net_cids_remove(&conn->net->tokens, &conn->tokens, t);
        return 0;
    }
    /* A peer that gives out another's token has its own reset go unseen: its loss. */
    enum stoq_status st = net_cids_add(&conn->net->tokens, &conn->tokens, conn, t);
    return st == STOQ_NOMEM ? NGTCP2_ERR_CALLBACK_FAILURE : 0;
}

/* The peer's address changed and answered there. */
static int on_path(ngtcp2_conn *q, uint32_t flags, const ngtcp2_path *path,
                   const ngtcp2_path *fallback, ngtcp2_path_validation_result res, void *user)
{
    struct net_conn *conn = user;
    struct stoq_addr remote;
    (void)q;
    (void)flags;
    (void)fallback;
    if (res == NGTCP2_PATH_VALIDATION_RESULT_SUCCESS &&
        stoq_addr_from_sockaddr(&remote, (const struct sockaddr *)path->remote.addr,
                                path->remote.addrlen) == STOQ_OK) {
        conn->remote = remote;
    }
    return 0;
}

static int on_reset(ngtcp2_conn *q, const ngtcp2_pkt_stateless_reset *reset, void *user)
{
    struct net_conn *conn = user;
    (void)q;
    (void)reset;
    conn->was_reset = true;
    return 0;
}

void net_callbacks(ngtcp2_callbacks *cb, bool server)
{
    *cb = (ngtcp2_callbacks){
        .recv_crypto_data = on_crypto_data,
        .encrypt = ngtcp2_crypto_encrypt_cb,
        .decrypt = ngtcp2_crypto_decrypt_cb,
        .hp_mask = ngtcp2_crypto_hp_mask_cb,
        .update_key = ngtcp2_crypto_update_key_cb,
        .delete_crypto_aead_ctx = ngtcp2_crypto_delete_crypto_aead_ctx_cb,
        .delete_crypto_cipher_ctx = ngtcp2_crypto_delete_crypto_cipher_ctx_cb,
        .get_path_challenge_data = ngtcp2_crypto_get_path_challenge_data_cb,
        .version_negotiation = ngtcp2_crypto_version_negotiation_cb,
        .handshake_completed = on_handshake_completed,
        .rand = on_rand,
        .get_new_connection_id = on_new_cid,
        .remove_connection_id = on_drop_cid,
        .dcid_status = on_peer_cid,
        .path_validation = on_path,
        .recv_stateless_reset = on_reset,
        .tls_early_data_rejected = net_on_early_rejected,
        .stream_open = net_on_stream_open,
        .recv_stream_data = net_on_stream_data,
        .acked_stream_data_offset = net_on_stream_acked,
        .stream_close = net_on_stream_close,
        .stream_reset = net_on_stream_reset,
        .extend_max_stream_data = net_on_stream_credit,
        .extend_max_local_streams_bidi = net_on_streams_allowed,
    };
#if NGTCP2_VERSION_NUM >= 0x011800
    /* Before 1.24 the next write finds out, and the code is not known. */
    cb->recv_stop_sending = net_on_stream_stop;
#endif
    if (server) {
        cb->recv_client_initial = ngtcp2_crypto_recv_client_initial_cb;
    } else {
        cb->client_initial = ngtcp2_crypto_client_initial_cb;
        cb->recv_retry = ngtcp2_crypto_recv_retry_cb;
    }
}
