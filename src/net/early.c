/*
 * What a resumed session skips is the proof of a key, so the key it was made with takes its place: the
 * dialler compares it with the pin before it sends a byte under the ticket and again when the handshake is
 * done; the listener knows the peer by it before any early byte reaches its owner, and compares it again
 * likewise (conn_callbacks.c). A session without a raw key is good for nothing.
 *
 * Replay: TLS hands out tickets that name an entry of the listener's session cache and drops the entry at
 * its first use (OpenSSL's anti-replay), so the same first flight, sent again, is an ordinary handshake
 * that its sender cannot finish. Its early data is dropped unread.
 */
#include "net/early.h"

#include "net/net_internal.h"
#include "sign/sign.h"

#include <stdlib.h>
#include <string.h>

enum stoq_status net_tickets_init(struct net_tickets *t)
{
    t->v = calloc(NET_TICKETS_MAX, sizeof *t->v);
    return t->v == NULL ? STOQ_NOMEM : STOQ_OK;
}

static void drop(struct net_ticket *ticket)
{
    SSL_SESSION_free(ticket->session);
    ticket->session = NULL;
}

void net_tickets_release(struct net_tickets *t)
{
    for (size_t i = 0; t->v != NULL && i < NET_TICKETS_MAX; i++) {
        drop(&t->v[i]);
    }
    free(t->v);
    t->v = NULL;
}

static struct net_ticket *find(struct net_tickets *t, const struct stoq_peer_id *peer)
{
    for (size_t i = 0; t->v != NULL && i < NET_TICKETS_MAX; i++) {
        if (t->v[i].session != NULL && stoq_hash_eq(&t->v[i].peer.h, &peer->h)) {
            return &t->v[i];
        }
    }
    return NULL;
}

/* A place for this peer's ticket: its own, a free one, or that of the oldest. */
static struct net_ticket *place_for(struct net_tickets *t, const struct stoq_peer_id *peer)
{
    struct net_ticket *ticket = find(t, peer);
    if (ticket == NULL) {
        ticket = &t->v[t->next];
        t->next = (t->next + 1) % NET_TICKETS_MAX;
    }
    drop(ticket);
    return ticket;
}

void net_ticket_take(struct net_conn *conn)
{
    struct net_tickets *t = &conn->net->tickets;
    if (t->v == NULL || conn->inbound || conn->ticket_taken || !conn->complete) {
        return;
    }
    SSL_SESSION *session = SSL_get1_session(conn->ssl);
    if (session == NULL || SSL_SESSION_is_resumable(session) != 1 ||
        SSL_SESSION_get_max_early_data(session) == 0) {
        SSL_SESSION_free(session);
        return;
    }
    struct net_ticket *ticket = place_for(t, &conn->peer);
    ngtcp2_ssize n =
        ngtcp2_conn_encode_0rtt_transport_params(conn->q, ticket->params, sizeof ticket->params);
    if (n <= 0) {
        SSL_SESSION_free(session);
        return;
    }
    ticket->peer = conn->peer;
    ticket->session = session;
    ticket->params_n = (size_t)n;
    conn->ticket_taken = true;
}

bool net_ticket_awaited(const struct net_conn *conn)
{
    return conn->net->tickets.v != NULL && !conn->inbound && !conn->ticket_taken &&
           conn->net->now < conn->opened_at + NET_TICKET_WAIT;
}

/* Was the session made with the key that this connection is to be with? */
static bool session_fits(const struct net_conn *conn, SSL_SESSION *session)
{
    uint8_t spki[NET_SPKI_MAX];
    size_t n = net_tls_spki(SSL_SESSION_get0_peer_rpk(session), spki);
    struct stoq_peer_id id = stoq_spki_peer_id(stoq_span(spki, n));
    return n > 0 && stoq_hash_eq(&id.h, &conn->pin.h);
}

void net_ticket_use(struct net_conn *conn)
{
    struct net_ticket *ticket = conn->pinned ? find(&conn->net->tickets, &conn->pin) : NULL;
    if (ticket == NULL) {
        return;
    }
    if (session_fits(conn, ticket->session) && SSL_set_session(conn->ssl, ticket->session) == 1 &&
        SSL_set_quic_tls_early_data_enabled(conn->ssl, 1) == 1 &&
        ngtcp2_conn_decode_and_set_0rtt_transport_params(conn->q, ticket->params,
                                                         ticket->params_n) == 0) {
        conn->early = true;
    }
    drop(ticket);
}

bool stoq_net_early(const struct stoq_net *net, stoq_net_conn id)
{
    const struct net_conn *conn = net_conn_find(net, id);
    return conn != NULL && conn->early && !conn->complete && !conn->inbound;
}

bool stoq_net_stream_early(const struct stoq_net *net, stoq_net_conn id, stoq_net_stream stream)
{
    const struct net_far *far = net_far_of(net, id);
    if (far != NULL) {
        return net_far_stream_is_early(far, id, stream);
    }
    struct net_conn *conn = net_conn_find(net, id);
    const struct net_stream *s =
        conn == NULL || conn->q == NULL ? NULL : ngtcp2_conn_get_stream_user_data(conn->q, stream);
    return s != NULL && s->early;
}

bool net_early_begin(struct net_conn *conn)
{
    if (conn->opened) {
        return true;
    }
    if (!conn->inbound || !net_conn_knows_peer(conn)) {
        return false;
    }
    conn->early = true;
    net_conn_open_for_owner(conn);
    return true;
}

void net_early_count(struct net_conn *conn)
{
    if (conn->inbound && conn->ssl != NULL &&
        SSL_get_early_data_status(conn->ssl) == SSL_EARLY_DATA_REJECTED) {
        conn->net->stats.early_refused++;
    }
}

bool net_early_settle(struct net_conn *conn)
{
    net_early_count(conn);
    bool taken = conn->inbound || !conn->early ||
                 SSL_get_early_data_status(conn->ssl) == SSL_EARLY_DATA_ACCEPTED;
    return taken || ngtcp2_conn_tls_early_data_rejected(conn->q) == 0;
}

int net_on_early_rejected(ngtcp2_conn *q, void *user)
{
    struct net_conn *conn = user;
    struct stoq_net *net = conn->net;
    (void)q;
    conn->early = false;
    net->stats.early_rejected++;
    struct net_stream *s;
    while ((s = TAILQ_FIRST(&conn->streams)) != NULL) {
        int64_t id = s->id;
        net_stream_release(s);
        if (net->cfg.cb.stream_closed != NULL && !conn->close_asked) {
            net->cfg.cb.stream_closed(net->cfg.user, conn->id, id, 0);
        }
    }
    return 0;
}
