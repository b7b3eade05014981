/*
 * Ends. Whoever first knows why a connection fails blames it; the place that got the error back from
 * ngtcp2 then ends it. An ended connection keeps only its ids and, if it said goodbye, that packet:
 * for three probe time-outs a late packet of the peer's is answered with it (RFC 9000 section 10.2),
 * less and less often, or with nothing when the peer was the one to close.
 */
#include "net/net_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PERIOD_MAX_NS (5 * STOQ_SEC) /* of closing, whatever the round trip was thought to be */

void net_copy_printable(char *out, size_t cap, const void *p, size_t n)
{
    const uint8_t *b = p;
    size_t used = 0;
    for (size_t i = 0; i < n && used + 1 < cap; i++) {
        out[used++] = (char)(b[i] >= 0x20 && b[i] < 0x7f ? b[i] : '?');
    }
    out[used] = '\0';
}

void net_conn_blame(struct net_conn *conn, enum stoq_net_why why, const char *text)
{
    if (conn->failed) {
        return;
    }
    conn->failed = true;
    conn->why = why;
    conn->text = strdup(text); /* without memory the reason's few words must do */
}

static void blame_timeout(struct net_conn *conn, const char *what)
{
    net_conn_blame(conn, STOQ_NET_TIMED_OUT, what);
}

/* Text for a TLS alert that says what both sides would have to know to mend it. */
static void describe_alert(const struct net_conn *conn, enum stoq_net_why why, bool by_peer,
                           unsigned alert, const char *reason, char out[STOQ_NET_CLOSE_TEXT_MAX])
{
    const char *groups = net_tls_mode_groups(conn->net->cfg.mode);
    const char *who = by_peer ? "the peer" : "this side";
    if (by_peer && reason[0] != '\0') {
        (void)snprintf(out, STOQ_NET_CLOSE_TEXT_MAX, "the peer refused: %s", reason);
    } else if (why == STOQ_NET_NO_GROUP) {
        (void)snprintf(out, STOQ_NET_CLOSE_TEXT_MAX,
                       "no key exchange in common: this side takes %s; the peer did not say",
                       groups);
    } else if (why == STOQ_NET_NO_ALPN) {
        (void)snprintf(out, STOQ_NET_CLOSE_TEXT_MAX, "the peer does not speak " STOQ_NET_ALPN);
    } else if (why == STOQ_NET_WRONG_KEY || why == STOQ_NET_NO_KEY) {
        (void)snprintf(out, STOQ_NET_CLOSE_TEXT_MAX, "%s refused the key shown", who);
    } else {
        (void)snprintf(out, STOQ_NET_CLOSE_TEXT_MAX, "TLS handshake failed at %s: %s", who,
                       SSL_alert_desc_string_long((int)alert));
    }
}

/* The peer's CONNECTION_CLOSE, or its stateless reset. */
static void blame_peer(struct net_conn *conn)
{
    const ngtcp2_ccerr *e = ngtcp2_conn_get_ccerr(conn->q);
    char reason[STOQ_NET_CLOSE_TEXT_MAX];
    char text[STOQ_NET_CLOSE_TEXT_MAX];
    net_copy_printable(reason, sizeof reason - 48, e->reason, e->reasonlen);
    if (conn->was_reset) {
        net_conn_blame(conn, STOQ_NET_RESET, "the peer lost this connection's state");
    } else if (e->type == NGTCP2_CCERR_TYPE_APPLICATION) {
        conn->code = e->error_code;
        net_conn_blame(conn, STOQ_NET_PEER, reason);
    } else if (e->error_code == NGTCP2_CONNECTION_REFUSED) {
        (void)snprintf(text, sizeof text, "the peer takes no more connections%s%.180s",
                       reason[0] == '\0' ? "" : ": ", reason);
        net_conn_blame(conn, STOQ_NET_REFUSED, text);
    } else if (e->error_code == NGTCP2_NO_ERROR || e->error_code == NGTCP2_APPLICATION_ERROR) {
        net_conn_blame(conn, STOQ_NET_PEER, "the peer closed without giving a reason");
    } else if (e->error_code >= NGTCP2_CRYPTO_ERROR && e->error_code < NGTCP2_CRYPTO_ERROR + 256) {
        unsigned alert = (unsigned)(e->error_code - NGTCP2_CRYPTO_ERROR);
        enum stoq_net_why why = net_tls_why(alert);
        describe_alert(conn, why, true, alert, reason, text);
        net_conn_blame(conn, why, text);
    } else {
        (void)snprintf(text, sizeof text, "the peer reports QUIC error 0x%llx%s%.180s",
                       (unsigned long long)e->error_code, reason[0] == '\0' ? "" : ": ", reason);
        net_conn_blame(conn, STOQ_NET_PROTOCOL, text);
    }
}

static void blame_tls(struct net_conn *conn)
{
    char text[STOQ_NET_CLOSE_TEXT_MAX];
    unsigned alert = ngtcp2_conn_get_tls_alert(conn->q);
    enum stoq_net_why why = net_tls_why(alert);
    describe_alert(conn, why, false, alert, "", text);
    net_conn_blame(conn, why, text);
}

void net_conn_error(struct net_conn *conn, int error)
{
    char text[STOQ_NET_CLOSE_TEXT_MAX];
    switch (error) {
    case NGTCP2_ERR_DRAINING:
        blame_peer(conn);
        net_conn_end(conn, NET_SILENT);
        return;
    case NGTCP2_ERR_DROP_CONN:
    case NGTCP2_ERR_RETRY:
        net_conn_blame(conn, STOQ_NET_PROTOCOL, "the first packet made no sense");
        net_conn_end(conn, NET_SILENT);
        return;
    case NGTCP2_ERR_IDLE_CLOSE:
        blame_timeout(conn, conn->opened ? "the peer fell silent" : "no answer");
        net_conn_end(conn, NET_SILENT);
        return;
    case NGTCP2_ERR_HANDSHAKE_TIMEOUT:
        blame_timeout(conn, "no answer, or the handshake took too long");
        net_conn_end(conn, NET_SILENT);
        return;
    case NGTCP2_ERR_RECV_VERSION_NEGOTIATION:
        net_conn_blame(conn, STOQ_NET_PROTOCOL, "the peer does not speak QUIC version 1");
        net_conn_end(conn, NET_SILENT);
        return;
    case NGTCP2_ERR_CRYPTO:
        blame_tls(conn);
        net_conn_end(conn, NET_SAY);
        return;
    case NGTCP2_ERR_NOMEM:
    case NGTCP2_ERR_CALLBACK_FAILURE:
        net_conn_blame(conn, STOQ_NET_FAILED, "out of memory");
        net_conn_end(conn, NET_SAY);
        return;
    default:
        (void)snprintf(text, sizeof text, "QUIC: %s", ngtcp2_strerror(error));
        conn->code = ngtcp2_err_infer_quic_transport_error_code(error);
        net_conn_blame(conn, STOQ_NET_PROTOCOL, text);
        net_conn_end(conn, NET_SAY);
    }
}

/* What the goodbye says: an application's code, a TLS alert, or a QUIC error. */
static void fill_close(const struct net_conn *conn, ngtcp2_ccerr *e)
{
    const uint8_t *reason = (const uint8_t *)conn->text;
    size_t n = conn->text == NULL ? 0 : strlen(conn->text);
    unsigned alert = ngtcp2_conn_get_tls_alert(conn->q);
    ngtcp2_ccerr_default(e);
    switch (conn->why) {
    case STOQ_NET_LOCAL:
        ngtcp2_ccerr_set_application_error(e, conn->code, reason, n);
        return;
    case STOQ_NET_WRONG_KEY:
        /* Whom we expected is none of a stranger's business. */
        ngtcp2_ccerr_set_tls_alert(e, SSL_AD_BAD_CERTIFICATE, NULL, 0);
        return;
    case STOQ_NET_NO_KEY:
        ngtcp2_ccerr_set_tls_alert(e, alert == 0 ? SSL_AD_CERTIFICATE_REQUIRED : (uint8_t)alert,
                                   reason, n);
        return;
    case STOQ_NET_NO_GROUP:
        ngtcp2_ccerr_set_tls_alert(e, SSL_AD_HANDSHAKE_FAILURE, reason, n);
        return;
    case STOQ_NET_NO_ALPN:
        ngtcp2_ccerr_set_tls_alert(e, SSL_AD_NO_APPLICATION_PROTOCOL, NULL, 0);
        return;
    case STOQ_NET_FAILED:
        ngtcp2_ccerr_set_transport_error(e, NGTCP2_INTERNAL_ERROR, NULL, 0);
        return;
    case STOQ_NET_REFUSED:
        ngtcp2_ccerr_set_transport_error(e, conn->code, reason, n);
        return;
    default:
        if (alert != 0) {
            ngtcp2_ccerr_set_tls_alert(e, (uint8_t)alert, NULL, 0);
        } else {
            ngtcp2_ccerr_set_transport_error(e, conn->code, NULL, 0);
        }
    }
}

/* Write the goodbye to p; its length, or not above 0: there is none (no keys yet, or no room). */
static ngtcp2_ssize write_goodbye(struct net_conn *conn, uint8_t *p)
{
    ngtcp2_ccerr e;
    ngtcp2_path_storage ps;
    ngtcp2_pkt_info pi;
    ngtcp2_path_storage_zero(&ps);
    fill_close(conn, &e);
    return ngtcp2_conn_write_connection_close(conn->q, &ps.path, &pi, p,
                                              NGTCP2_MAX_UDP_PAYLOAD_SIZE, &e, net_conn_now(conn));
}

/* Say it and keep a copy; false: nothing could be said. */
static bool say_goodbye(struct net_conn *conn)
{
    struct net_out *out = net_tx_next(&conn->net->tx, conn->socket);
    if (out == NULL) {
        return false;
    }
    uint8_t *p = net_tx_memory(&conn->net->tx, out);
    ngtcp2_ssize n = write_goodbye(conn, p);
    if (n <= 0) {
        return false;
    }
    out->n = (size_t)n;
    out->segment = out->n;
    out->to = conn->remote;
    out->from = conn->local;
    net_tx_commit(&conn->net->tx);
    conn->goodbye = malloc((size_t)n);
    if (conn->goodbye != NULL) {
        memcpy(conn->goodbye, p, (size_t)n);
        conn->goodbye_n = (size_t)n;
    }
    return true;
}

void net_conn_again(struct net_conn *conn)
{
    /* The first, second, fourth, ... packet gets an answer. */
    conn->goodbye_asked++;
    if (conn->state != NET_CLOSING || conn->goodbye == NULL ||
        (conn->goodbye_asked & (conn->goodbye_asked - 1)) != 0) {
        return;
    }
    struct net_out *out = net_tx_next(&conn->net->tx, conn->socket);
    if (out == NULL) {
        return;
    }
    memcpy(net_tx_memory(&conn->net->tx, out), conn->goodbye, conn->goodbye_n);
    out->n = conn->goodbye_n;
    out->segment = out->n;
    out->to = conn->remote;
    out->from = conn->local;
    net_tx_commit(&conn->net->tx);
}

void net_tell_refused(struct stoq_net *net, const struct stoq_net_closed *info)
{
    if (net->now - net->refused_told_at >= STOQ_SEC) {
        net->refused_told_at = net->now;
        net->refused_told = 0;
    }
    bool again = net->refused_told > 0 && net->refused_why == info->why &&
                 stoq_addr_eq(&info->addr, &net->refused_addr); /* a first flight is two packets */
    if (net->cfg.cb.refused == NULL || again || net->refused_told >= NET_REFUSED_TOLD_PER_S) {
        return;
    }
    net->refused_told++;
    net->refused_addr = info->addr;
    net->refused_why = info->why;
    net->cfg.cb.refused(net->cfg.user, info);
}

static void tell_closed(struct net_conn *conn, stoq_net_conn id)
{
    struct stoq_net *net = conn->net;
    const char *text = conn->text;
    bool ours = conn->why == STOQ_NET_LOCAL || conn->why == STOQ_NET_PEER;
    struct stoq_net_closed info = {
        .why = conn->why,
        .code = ours ? conn->code : 0,
        .text = text == NULL || text[0] == '\0' ? stoq_net_why_str(conn->why) : text,
        .addr = conn->remote,
        .opened = conn->opened,
        .min_rtt_ns = conn->min_rtt,
    };
    if (conn->inbound && !conn->opened) {
        net->stats.refused++;
        net->stats.refused_why[conn->why]++;
        net_tell_refused(net, &info);
    } else {
        net->cfg.cb.closed(net->cfg.user, id, &info);
    }
}

void net_conn_end(struct net_conn *conn, enum net_goodbye goodbye)
{
    struct stoq_net *net = conn->net;
    stoq_net_conn id = conn->id;
    stoq_ns period = 3 * ngtcp2_conn_get_pto(conn->q);
    conn->min_rtt = net_conn_min_rtt(conn);
    if (!conn->complete) {
        net_early_count(conn); /* whoever replays a first flight gets no further */
    }
    bool said = goodbye == NET_SAY && say_goodbye(conn);
    bool linger = (said || conn->why == STOQ_NET_PEER) && net->closing < NET_CLOSING_MAX;
    net_conn_strip(conn);
    conn->state = said ? NET_CLOSING : NET_DRAINING;
    net->closing++;
    if (linger) {
        period = period < PERIOD_MAX_NS ? period : PERIOD_MAX_NS;
        stoq_heap_put(&net->deadlines, &conn->timer, net->now + period);
    }
    tell_closed(conn, id);
    if (!linger) {
        net_conn_discard(conn);
    }
}
